"""A value for each kind of value that an attribute may have."""

from __future__ import annotations

from l2tpd.radius import attributes as row

SAMPLES = {
    id(row.OCTETS): b"\x00\xff",
    id(row.TEXT): "grüße\udcff",
    id(row.U32): 0xFFFFFFFE,
    id(row.TAGGED_U32): 3,
    id(row.TAGGED_TEXT): "grüße\udcff",
    id(row.IPV4): "192.0.2.7",
    id(row.IPV6): "2001:db8::7",
    id(row.PREFIX6): "2001:db8:42::/48",
    id(row.IFID): bytes(range(8)),
}
"""By the identity of the kind."""
