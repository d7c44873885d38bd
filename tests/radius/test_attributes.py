"""The attribute table: every row both ways, and values that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import LocalProtocolError, Malformed
from l2tpd.radius import attributes as row
from l2tpd.radius.attributes import ROWS, USES, Attribute, Draft
from radius.samples import SAMPLES


@pytest.mark.parametrize("attribute", ROWS, ids=lambda one: one.name)
def test_each_row_reads_what_it_writes(attribute: Attribute[object]) -> None:
    """What was put under a row is what is found under it, in the order in which it was put."""
    draft: Draft = {}
    value = SAMPLES[id(attribute.value)]
    attribute.put(draft, value)
    attribute.put(draft, value)
    assert (value, value) == attribute.of(draft)


def test_no_two_rows_share_a_number_or_a_name() -> None:
    """The table is a function in both directions."""
    assert len(ROWS) == len({one.key for one in ROWS}) == len({one.name for one in ROWS})
    assert all(set(one.use) <= USES.keys() for one in ROWS)


@pytest.mark.parametrize(
    ("attribute", "octets"),
    [
        (row.SESSION_TIMEOUT, b"\0\0\1"),
        (row.FRAMED_IP_ADDRESS, b"\x0a\0\0"),
        (row.NAS_IPV6_ADDRESS, bytes(15)),
        (row.FRAMED_INTERFACE_ID, bytes(7)),
        (row.DELEGATED_IPV6_PREFIX, bytes((0, 64)) + bytes(7)),
        (row.DELEGATED_IPV6_PREFIX, bytes((0, 129)) + bytes(16)),
        (row.DELEGATED_IPV6_PREFIX, b"\0"),
        (row.TUNNEL_TYPE, b"\0\0\3"),
    ],
)
def test_a_value_of_the_wrong_size_is_malformed(attribute: Attribute[object], octets: bytes) -> None:
    """A peer's mistake is told as such, with the attribute's name."""
    with pytest.raises(Malformed, match=attribute.name):
        attribute.of({attribute.key: (octets,)})


def test_bits_behind_a_prefix_do_not_matter() -> None:
    """RFC 3162 2.3 wants them to be zero; servers that leave them are understood."""
    octets = bytes((0, 56)) + bytes.fromhex("20010db800421234") + bytes(8)
    assert "2001:db8:42:1200::/56" == row.DELEGATED_IPV6_PREFIX.first({123: (octets,)}, "")


def test_text_may_end_in_a_nul_that_does_not_belong_to_it() -> None:
    """RFC 2865 5: such text "MUST NOT" be sent, and is."""
    assert "pool" == row.FRAMED_POOL.first({88: (b"pool\0",)}, "")


def test_a_text_with_or_without_a_tag_is_the_same() -> None:
    """RFC 2868 3.3: an octet of at most 0x1f is a tag; a text of ours that begins with such a one has a tag before it."""
    assert "192.0.2.1" == row.TUNNEL_CLIENT_ENDPOINT.first({66: (b"\x01192.0.2.1",)}, "")
    assert "192.0.2.1" == row.TUNNEL_CLIENT_ENDPOINT.first({66: (b"192.0.2.1",)}, "")
    draft: Draft = {}
    row.TUNNEL_CLIENT_AUTH_ID.put(draft, "\x02lac", "\x02" + "x" * 300)
    assert "\x02lac" == row.TUNNEL_CLIENT_AUTH_ID.first(draft, "")
    assert b"\0\x02lac" == draft[90][0]
    assert 253 == len(draft[90][1])


def test_text_that_is_too_long_is_cut_and_octets_are_refused() -> None:
    """A text is still of use without its end; octets are not."""
    draft: Draft = {}
    row.USER_NAME.put(draft, "x" * 300)
    assert "x" * 253 == row.USER_NAME.first(draft, "")
    with pytest.raises(LocalProtocolError):
        row.STATE.put(draft, bytes(254))


@given(st.binary(max_size=253))
def test_any_octets_survive_as_text(octets: bytes) -> None:
    """A user name may hold any octets, and goes on as it came."""
    draft: Draft = {}
    row.USER_NAME.put(draft, *row.USER_NAME.of({1: (octets + b"\0",)}))
    assert (octets,) == draft[1]
