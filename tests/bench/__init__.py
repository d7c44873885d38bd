"""Load generator and benchmarks: an L2TPv2 speaker that shares no code with `l2tpd`, and what measures with it."""
