"""`l2tpctl` and `l2tpwatch`: the command line of l2tpd, over its control socket."""
