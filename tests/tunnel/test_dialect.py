"""What depends on the version of the protocol, and who decides which one is spoken."""

from __future__ import annotations

from typing import Any

import pytest

from dialogue import octets
from l2tpd.config.model import Encapsulation, Mode, TunnelSettings, Version
from l2tpd.errors import LocalProtocolError, Malformed
from l2tpd.tunnel.dialect import DIALECTS, EITHER, QUIESCENT, STATIC, V2, V3, Dialect, dialect_of
from l2tpd.wire.header import ControlHeader
from l2tpd.wire.messages import decode

ALL = {"V2": V2, "V3": V3, "EITHER": EITHER, "QUIESCENT": QUIESCENT, "STATIC": STATIC}
each = pytest.mark.parametrize("dialect", ALL.values(), ids=ALL)


@each
def test_a_dialect_is_found_by_version_and_mode(dialect: Dialect) -> None:
    """Each under its own."""
    assert dialect is dialect_of(dialect.version, dialect.mode)


@pytest.mark.parametrize(
    ("version", "mode"), [(Version.AUTO, Mode.STATIC), (Version.L2TPV2, Mode.QUIESCENT), (Version.L2TPV2, Mode.STATIC)]
)
def test_what_nobody_speaks_is_said_by_name(version: Version, mode: Mode) -> None:
    """The RFC knows tunnels without negotiation in version 3 alone."""
    with pytest.raises(LocalProtocolError, match=f"{mode.value} {version.value}"):
        dialect_of(version, mode)
    assert (version, mode) not in DIALECTS


@pytest.mark.parametrize(
    ("answer", "dialect"),
    [(b"\xc8\x03", V3), (b"\xc8\xf3", V3), (b"\xc8\x02", V2), (b"\xc8", EITHER), (b"", EITHER)],
)
def test_where_either_would_do_the_peer_chooses(answer: bytes, dialect: Dialect) -> None:
    """By the Ver of its answer, whose upper half is reserved (RFC 3931 4.7.3)."""
    assert dialect is EITHER.chosen(answer)


@pytest.mark.parametrize("dialect", [V2, V3, QUIESCENT, STATIC])
@pytest.mark.parametrize("answer", [b"\xc8\x02", b"\xc8\x03"])
def test_otherwise_nobody_chooses(dialect: Dialect, answer: bytes) -> None:
    """What is settled stays."""
    assert dialect is dialect.chosen(answer)


@each
def test_what_is_built_is_parsed_again(dialect: Dialect) -> None:
    """Ids and numbers come back; a session id has a place in version 2 alone."""
    hello = bytes.fromhex("8008 0000 0000 0006")
    header, body = dialect.parse(dialect.build(7, 5, 1, 2, hello))
    assert (ControlHeader(7, 5 if dialect.header == 2 else 0, 1, 2), hello) == (header, body)


@each
def test_what_only_acknowledges_has_no_body(dialect: Dialect) -> None:
    """A ZLB in version 2; an ACK in version 3, with whatever else stands in it, or a ZLB (RFC 3931 6.15)."""
    assert b"" == dialect.parse(dialect.build(7, 0, 1, 2, dialect.ack))[1]
    assert b"" == dialect.parse(dialect.build(7, 0, 1, 2, b""))[1]
    if dialect.header == 3:
        digest = bytes.fromhex("8017 0000 003b 00") + bytes(16)
        assert b"" == dialect.parse(dialect.build(7, 0, 1, 2, dialect.ack + digest))[1]
        assert 20 == decode(dialect.ack, vocabulary=dialect.vocabulary).type


@pytest.mark.parametrize(
    ("body", "acknowledges"),
    [
        ("8008 0000 0000 0014", True),
        ("0008 0000 0000 0014", True),
        ("bc08 0000 0000 0014", True),
        ("c008 0000 0000 0014", False),  # a Message Type must not be hidden
        ("8108 0000 0000 0014", False),  # its length is 8
        ("8009 0000 0000 0014", False),
        ("8008 0009 0000 0014", False),  # a vendor's message
        ("8008 0000 0001 0014", False),
        ("8008 0000 0000 0114", False),
        ("8008 0000 0000 00", False),
    ],
)
def test_an_ack_is_told_from_every_other_message(body: str, acknowledges: bool) -> None:
    """By its type alone; M and reserved bits do not matter (RFC 3931 5.1, 5.2)."""
    octets_ = bytes.fromhex(body)
    assert (b"" if acknowledges else octets_) == V3.parse(V3.build(7, 0, 0, 0, octets_))[1]


@each
def test_a_header_of_another_version_is_malformed(dialect: Dialect) -> None:
    """It cannot be told what it means."""
    with pytest.raises(Malformed):
        dialect.parse(bytes.fromhex("c805 000c 00000007 0000 0000"))


@each
def test_messages_are_signed_in_version_3_alone(dialect: Dialect) -> None:
    """Also while either version would do: the request has to be signed already."""
    arguments: Any = (TunnelSettings(), b"secret", Encapsulation.UDP, octets("us"))
    assert (dialect in {V3, EITHER}) is (dialect.guard(*arguments) is not None)


def test_ids_have_as_many_bits_as_the_request_has_room_for() -> None:
    """A request that either version may answer gives one id to both."""
    assert {"V2": 16, "V3": 32, "EITHER": 16, "QUIESCENT": 32, "STATIC": 32} == {n: d.id_bits for n, d in ALL.items()}


@each
def test_hellos_of_version_3_are_jittered(dialect: Dialect) -> None:
    """Up to a tenth early, never late (RFC 3931 4.4); RFC 2661 5.5 asks for nothing of the kind."""
    octets_ = iter(range(256))
    drawn = {dialect.jitter(lambda size: bytes((next(octets_),)) * size) for _ in range(256)}
    assert 0.9 <= min(drawn)
    assert 1.0 == max(drawn)
    assert (256 if dialect.header == 3 else 1) == len(drawn)
