"""An L2TP suite for Linux: tunnels and sessions of L2TPv2 (RFC 2661) and L2TPv3 (RFC 3931), as LAC and as LNS."""

__version__ = "0.1.0"
