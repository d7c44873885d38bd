"""RADIUS: who may come in, what has become of them, and what an operator's server has to say about it meanwhile (RFC 2865, 2866, 5176)."""
