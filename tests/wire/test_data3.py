"""The header of L2TPv3 data packets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import LocalProtocolError, Malformed
from l2tpd.wire import data3
from l2tpd.wire.data3 import Layout, build_data, build_header, parse_data, session_of

COOKIES = st.sampled_from(data3.COOKIES).flatmap(lambda size: st.binary(min_size=size, max_size=size))
LAYOUTS = st.builds(Layout, COOKIES, st.booleans())


@pytest.mark.parametrize(
    ("layout", "ns", "expected"),
    [
        (Layout(), None, "01020304 ff"),
        (Layout(b"abcd"), None, "01020304 61626364 ff"),
        (Layout(b"abcdefgh", sublayer=True), None, "01020304 61626364 65666768 00000000 ff"),
        (Layout(sublayer=True), 0, "01020304 40000000 ff"),
        (Layout(b"abcd", sublayer=True), 0xFFFFFF, "01020304 61626364 40ffffff ff"),
        (Layout(sublayer=True), 0x1000002, "01020304 40000002 ff"),
    ],
)
def test_octets(layout: Layout, ns: int | None, expected: str) -> None:
    """Session id, cookie, sublayer and frame stand where RFC 3931 4.1.1.1 and 4.6 draw them; a counter that runs on is cut to 24 bits."""
    assert bytes.fromhex(expected) == build_data(0x01020304, layout, b"\xff", ns)


def test_over_udp() -> None:
    """Over UDP a clear T bit, version 3 and reserved octets come first (RFC 3931 4.1.2.1)."""
    assert bytes.fromhex("0003 0000") == data3.OVER_UDP


@given(session_id=st.integers(0, 0xFFFFFFFF), layout=LAYOUTS, frame=st.binary(), ns=st.integers(0, 0xFFFFFF))
def test_round_trip(session_id: int, layout: Layout, frame: bytes, ns: int) -> None:
    """What was built is read again."""
    said = ns if layout.sublayer else None
    packet = memoryview(build_data(session_id, layout, frame, said))
    assert session_id == session_of(packet)
    assert layout.has_cookie(packet)
    ns_read, frame_read = parse_data(packet, layout)
    assert (said, frame) == (ns_read, bytes(frame_read))
    assert len(build_header(session_id, layout)) == layout.frame_at


@given(octets=st.binary(max_size=24), layout=LAYOUTS)
def test_octets_of_strangers(octets: bytes, layout: Layout) -> None:
    """Whatever comes, it is read or `Malformed`."""
    packet = memoryview(octets)
    assert layout.has_cookie(packet) is (octets[4 : layout.sublayer_at] == layout.cookie)
    if len(octets) < layout.frame_at:
        with pytest.raises(Malformed, match=f"data packet of {len(octets)} octets, of which its header takes"):
            parse_data(packet, layout)
    else:
        assert octets[layout.frame_at :] == parse_data(packet, layout)[1]


def test_a_session_id_that_is_cut_off() -> None:
    """Three octets are no session id."""
    assert 0x01020304 == session_of(memoryview(b"\1\2\3\4"))
    with pytest.raises(Malformed, match="data packet of 3 octets"):
        session_of(memoryview(b"\1\2\3"))


@pytest.mark.parametrize(("word", "ns"), [("00000007", None), ("40000007", 7), ("ff000007", 7), ("bf000007", None)])
def test_the_sublayer(word: str, ns: int | None) -> None:
    """Without the S bit a number is ignored, and so is every reserved bit (RFC 3931 4.6)."""
    read, frame = parse_data(memoryview(bytes(4) + bytes.fromhex(word) + b"f"), Layout(sublayer=True))
    assert (ns, b"f") == (read, bytes(frame))


@pytest.mark.parametrize("cookie", [b"abce", b"\0\0\0\0", b"abc"])
def test_wrong_cookies(cookie: bytes) -> None:
    """One wrong octet, or one too few, is no cookie."""
    assert not Layout(b"abcd").has_cookie(memoryview(bytes(4) + cookie))


def test_what_does_not_fit() -> None:
    """Our own mistakes are told."""
    with pytest.raises(LocalProtocolError, match="without L2-specific sublayer cannot number"):
        build_header(1, Layout(), 1)
    with pytest.raises(LocalProtocolError, match="does not fit into 32 bits"):
        build_header(1 << 32, Layout())


def test_a_cookie_is_a_secret() -> None:
    """It does not show where a layout is printed."""
    assert "abcd" not in repr(Layout(b"abcd"))
