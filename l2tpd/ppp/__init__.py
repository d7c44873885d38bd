"""PPP inside sessions: address pools, and the programs that run it."""
