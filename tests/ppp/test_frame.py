"""Frames, packets and lists of options: what is read, what is written, and what is refused (RFC 1661 2, 5, 6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import Malformed
from l2tpd.ppp.frame import (
    build_options,
    build_packet,
    frame_header,
    parse_frame,
    parse_options,
    parse_packet,
)


@pytest.mark.parametrize("head", ["ff03 0021", "0021", "ff03 21", "21"])
def test_address_control_and_protocol_may_be_short(head: str) -> None:
    """6.5: an implementation must accept both forms "and MUST NOT distinguish between them"."""
    assert (0x0021, b"IP") == parse_frame(bytes.fromhex(head) + b"IP")


@pytest.mark.parametrize("head", ["ff03 c021", "c021"])
def test_protocols_above_255_take_two_octets(head: str) -> None:
    """An even first octet says that another one follows."""
    assert (0xC021, b"\1") == parse_frame(bytes.fromhex(head) + b"\1")


@pytest.mark.parametrize("frame", [b"", b"\xff\x03", b"\xc0", b"\xff\x03\x80", b"\0"])
def test_a_frame_without_a_protocol_is_malformed(frame: bytes) -> None:
    """Nothing can be answered to it."""
    with pytest.raises(Malformed):
        parse_frame(frame)


def test_an_even_protocol_is_given_back_for_nobody_knows_it() -> None:
    """2: frames that break the rules are "treated as having an unrecognized Protocol"."""
    assert (0xC020, b"") == parse_frame(b"\xff\x03\xc0\x20")


@pytest.mark.parametrize(
    ("protocol", "acfc", "pfc", "head"),
    [
        (0x0021, False, False, "ff030021"),
        (0x0021, True, False, "0021"),
        (0x0021, False, True, "ff0321"),
        (0x0021, True, True, "21"),
        (0xC023, True, True, "c023"),
    ],
)
def test_what_was_agreed_on_is_left_out(protocol: int, acfc: bool, pfc: bool, head: str) -> None:
    """6.5, 6.6: each compression for itself; only protocols below 256 fit in one octet."""
    assert bytes.fromhex(head) == frame_header(protocol, acfc=acfc, pfc=pfc)


@given(st.sampled_from([0x21, 0x57, 0x8021, 0xC021, 0xC223]), st.booleans(), st.booleans(), st.binary(max_size=20))
def test_what_is_written_is_read(protocol: int, acfc: bool, pfc: bool, information: bytes) -> None:
    """Every header that we write is understood."""
    assert (protocol, information) == parse_frame(frame_header(protocol, acfc=acfc, pfc=pfc) + information)


def test_padding_behind_a_packet_is_ignored() -> None:
    """5: "octets outside the range of the Length field are treated as padding and are ignored on reception"."""
    assert (1, 7, b"ab") == parse_packet(bytes.fromhex("01 07 0006") + b"ab" + b"padding")


@pytest.mark.parametrize("octets", ["", "010700", "01070003", "01070000", "0107000561"[:8]])
def test_a_packet_with_a_wrong_length_is_malformed(octets: str) -> None:
    """5: "a packet received with an invalid Length field" is silently discarded."""
    with pytest.raises(Malformed):
        parse_packet(bytes.fromhex(octets))


@pytest.mark.parametrize("octets", ["01", "0100", "0101", "0104", "010405", "0104055c 05"])
def test_an_option_that_runs_over_the_end_is_malformed(octets: str) -> None:
    """6: "the entire packet is silently discarded"."""
    with pytest.raises(Malformed):
        parse_options(bytes.fromhex(octets))


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=253)), max_size=5))
def test_options_come_back_in_their_order(pairs: list[tuple[int, bytes]]) -> None:
    """Also options that stand twice, and such as nobody knows."""
    assert tuple(pairs) == parse_options(build_options(pairs))


@given(st.binary(max_size=60))
def test_garbage_is_read_or_malformed(octets: bytes) -> None:
    """Each reader raises `Malformed` and nothing else, and what it has read says the same when written."""
    for read in (parse_frame, parse_packet, parse_options):
        try:
            read(octets)
        except Malformed:
            continue
    try:
        packet = parse_packet(octets)
    except Malformed:
        return
    assert octets.startswith(build_packet(*packet))
