"""An L2TP suite for Linux: RFC 2661 tunnels and sessions as LAC and as LNS."""

__version__ = "0.1.0"
