"""What a fuzzer that looks at coverage may aim at: each target takes octets, and lets out nothing but what is a fault of ours.

Decoders take the octets as they came; a dialogue takes them as the tape that its dice are read from (`tape`).
"""

from __future__ import annotations

import ipaddress
import itertools
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

import attrs

from fuzz import cores, decoders, links, seeds, seeds3
from fuzz.crash import need
from fuzz.tape import SpentError, Tape
from fuzz.words import BOTH
from l2tpctl import captures
from l2tpctl.errors import CommandError
from l2tpctl.importing import formats
from l2tpctl.importing.source import SourceError
from l2tpd.config import load
from l2tpd.config.keys import RULES
from l2tpd.config.model import Address
from l2tpd.control import jsonrpc, params
from l2tpd.control.methods import METHODS
from l2tpd.errors import ConfigError, ControlError, Malformed
from l2tpd.ppp import dhcp6, packet6
from l2tpd.ppp.numbers import Auth
from l2tpd.ppp.router6 import Router, Terms
from l2tpd.radius import access
from l2tpd.radius import attributes as rows
from l2tpd.radius.accounting import Identity
from l2tpd.radius.attributes import Attribute
from l2tpd.radius.dynauth import Client, Demand, Desk
from l2tpd.radius.numbers import Code
from l2tpd.radius.packet import Packet, check_answer, decode, encode_access, encode_answer, encode_signed
from l2tpd.tunnel.states import State

ROOT: Final = Path(__file__).resolve().parents[2]
STEPS: Final = 400
"""Longest dialogue."""
SECRET: Final = b"fuzz"
_PEER: Final = b"\xfe\x80" + bytes(13) + b"\2"
WALL: Final = 1_000_000.0
"""Seconds since 1970 at which a request of RADIUS comes."""

Target = Callable[[bytes], None]


def core(data: bytes) -> None:
    """Play a dialogue with one control connection, from one of its states."""
    dice = Tape(data)
    with suppress(SpentError):
        words = dice.choice(BOTH)
        made = dice.choice(tuple(cores.STATES.values()))(Random(dice.getrandbits(8)), words)
        made.dice = made.policy.dice = dice
        for _ in range(STEPS):
            if made.core.state is State.CLOSED:
                return
            dice.choice(cores.STEPS[:-1])(made)


def link(data: bytes) -> None:
    """Play a call of PPP, both ends of it."""
    with suppress(SpentError):
        made = links.crossing(Tape(data))
        for _ in range(STEPS):
            if made.over:
                return
            made.step()


def radius(data: bytes) -> None:
    """Read a packet of RADIUS: as an answer, as a request that is signed rightly or not, and each attribute alone."""
    desk = Desk([Client(prefix="192.0.2.0/24", secret=SECRET)], _identity, 0)
    desk.receive(data, Address("192.0.2.1", 3799), WALL)
    with suppress(Malformed):
        check_answer(_question(), data, SECRET, require_signature=True)
    with suppress(Malformed):
        packet = decode(data)
        _attributes(packet)
        for kind in (Auth.PAP, Auth.CHAP, Auth.MSCHAPV2):
            with suppress(Malformed):
                access.verdict(kind, packet)
        _demand(desk, packet)


def _attributes(packet: Packet) -> None:
    for attribute in _rows():
        with suppress(Malformed):
            attribute.of(packet.attributes)


def _demand(desk: Desk, packet: Packet) -> None:
    """Have who knows the secret ask what the packet says."""
    for code in (Code.COA_REQUEST, Code.DISCONNECT_REQUEST):
        request = encode_signed(code, packet.identifier, packet.attributes, SECRET)
        answer = desk.receive(request, Address("192.0.2.1", 3799), WALL)
        if isinstance(answer, Demand):
            answer = desk.answer(answer, None, WALL)
        need(answer is None or len(answer) <= 4096, "an answer that is too long for RADIUS")


def _identity() -> Identity:
    return Identity(identifier="fuzz", address="192.0.2.9")


@cache
def _question() -> bytes:
    return encode_access(1, bytes(16), {1: (b"joe",)}, SECRET, b"password")


@cache
def _rows() -> tuple[Attribute[object], ...]:
    return tuple(value for value in vars(rows).values() if isinstance(value, Attribute))


def ipv6(data: bytes) -> None:
    """Ask a subscriber's router: the octets are a packet, or behind right headers a message of ICMPv6 or of DHCPv6."""
    terms = Terms(identifier=bytes(7) + b"\1", mtu=1400, interval=600, lifetime=86400, prefix="2001:db8::/64",
                  delegated="2001:db8:1::/56", address="2001:db8::7", dns=("2001:db8::53",))  # fmt: skip
    router = Router(terms, bytes(18), lambda: 0.0)
    packet6.asks_router(data)
    answer = packet6.udp(_PEER, packet6.ALL_NODES, data)
    asked = answer[:40] + answer[42:44] + answer[40:42] + answer[44:]
    for octets in (data, packet6.icmp(_PEER, packet6.ALL_NODES, data.ljust(8, b"\0")), asked):
        router.receive(octets, 0.0)
        router.handle_timer(10.0)
        for packet in router.packets_to_send():
            need(len(packet6.parse(packet).payload) <= 300 + 12 * len(data), "an answer that is out of proportion")


def config(data: bytes) -> None:
    """Read a configuration: it holds, or says what is wrong where."""
    try:
        load.parse([("fuzz.toml", data.decode("utf-8", "replace"))])
    except ConfigError as error:
        need(error.problems, "a refusal without a reason")


def rpc(data: bytes) -> None:
    """Read a line of the control socket, and its parameters as those of every method."""
    with suppress(ControlError):
        jsonrpc.read_answer(data)
    try:
        request = jsonrpc.read_request(data)
    except ControlError:
        jsonrpc.request_id(data)
        return
    need(jsonrpc.read_request(jsonrpc.write_request(request)) == request, "a request that changes")
    for kind in _parameters():
        with suppress(ControlError):
            params.read(kind, request.params)


@cache
def _parameters() -> tuple[type, ...]:
    return tuple(kind for kind in vars(params).values() if isinstance(kind, type) and attrs.has(kind))


def capture(data: bytes) -> None:
    """Look for datagrams in a capture."""
    with suppress(CommandError):
        for found in itertools.islice(captures.read(data, frozenset({1701})), 100):
            if found.source:
                ipaddress.ip_address(_host(found.source))


def _host(said: str) -> str:
    """Return the address of a source that has a port, or, over IP, none."""
    if said.startswith("["):
        return said[1:].partition("]")[0]
    return said.partition(":")[0] if said.count(":") == 1 else said


def foreign(data: bytes) -> None:
    """Convert another daemon's configuration: the first octet says whose. What comes out is a configuration of ours."""
    kinds = sorted(formats.FORMATS)
    if not data:
        return
    text = data[1:].decode("utf-8", "replace")
    try:
        made = formats.convert(kinds[data[0] % len(kinds)], text, "fuzz.conf", lambda _name: None)
    except SourceError:
        return
    load.parse([("made.toml", made.toml)])


TARGETS: Final[Mapping[str, Target]] = {
    "wire": decoders.decode_everything,
    "core": core,
    "ppp": links.decode_everything,
    "link": link,
    "radius": radius,
    "ipv6": ipv6,
    "config": config,
    "rpc": rpc,
    "capture": capture,
    "foreign": foreign,
}


def first(name: str) -> list[bytes]:
    """Return inputs to begin with."""
    return list(_FIRST[name]())


def words(name: str) -> list[str]:
    """Return what the fuzzer may put into an input as a whole."""
    match name:
        case "config":
            return sorted({key for _table, key in RULES})
        case "rpc":
            return sorted({"jsonrpc", "2.0", "method", "params", "id", *METHODS, *_fields()})
        case _:
            return []


def _wire() -> Iterable[bytes]:
    return (data for data in {**seeds.datagrams(), **seeds3.datagrams()}.values() if len(data) < 2000)


def _tapes() -> Iterable[bytes]:
    return (Random(seed).randbytes(600) for seed in range(20))


def _answers() -> Iterable[bytes]:
    asked = decode(_question())
    for attribute in _rows():
        yield encode_answer(Code.ACCESS_ACCEPT, asked, {attribute.key: (bytes(range(4)),)}, SECRET, sign=True)
        yield encode_signed(Code.COA_REQUEST, 1, {attribute.key: (b"text",), 1: (b"joe",)}, SECRET)


def _questions() -> Iterable[bytes]:
    names = [dhcp6.Option(1, b"client"), dhcp6.Option(2, bytes(18))]
    prefix, address = dhcp6.prefix_option(bytes(16), 56, 1, 1), dhcp6.address_option(bytes(16), 1, 1)
    held = [dhcp6.associated(dhcp6.Association(code, b"iaid", (prefix, address))) for code in (3, 4, 25)]
    for kind in range(14):
        for options in ((names[0], *held), (*names, *held), (*names, dhcp6.Option(14, b"")), ()):
            yield dhcp6.build(dhcp6.Message(kind, b"abc", tuple(options)))
    yield b"\x85" + bytes(7) + b"\1\1abcdef"


def _examples() -> Iterable[bytes]:
    return (path.read_bytes() for path in sorted(ROOT.glob("examples/*/*.toml")))


def _requests() -> Iterable[bytes]:
    for method in METHODS:
        yield jsonrpc.write_request(jsonrpc.Request(method=method, id=1, params=dict.fromkeys(_fields(), "x")))


def _captures() -> Iterable[bytes]:
    datagram = bytes(20) + seeds.datagrams()["sccrq"]
    packet = (
        b"\x45"
        + bytes(8)
        + b"\x11"
        + bytes(10)
        + bytes.fromhex("06a506a5")
        + len(datagram).to_bytes(2, "big")
        + datagram
    )
    for magic, order in ((b"\xd4\xc3\xb2\xa1", "<"), (b"\xa1\xb2\x3c\x4d", ">")):
        for link_type in (101, 0):
            head = magic + struct.pack(order + "HHIIII", 2, 4, 0, 0, 65535, link_type)
            frame = packet if link_type else bytes(4) + packet
            yield head + struct.pack(order + "IIII", 1, 2, len(frame), len(frame)) + frame
    yield b"c802000c00000000"


def _foreign() -> Iterable[bytes]:
    files = [path.read_bytes() for path in sorted((ROOT / "tests/importing/samples").iterdir())]
    return (bytes([kind]) + text for kind in range(len(formats.FORMATS)) for text in files)


def _fields() -> tuple[str, ...]:
    return tuple({field.name for kind in _parameters() for field in attrs.fields(kind)})


_FIRST: Final[Mapping[str, Callable[[], Iterable[bytes]]]] = {
    "wire": _wire,
    "core": _tapes,
    "ppp": links.seeds,
    "link": _tapes,
    "radius": _answers,
    "ipv6": _questions,
    "config": _examples,
    "rpc": _requests,
    "capture": _captures,
    "foreign": _foreign,
}
