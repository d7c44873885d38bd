"""One line about a frame or the end of PPP, for people who read logs: what it is, never what it hides."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from l2tpd.errors import Malformed
from l2tpd.ppp.ccp import Ccp
from l2tpd.ppp.frame import Packet, parse_frame, parse_options, parse_packet
from l2tpd.ppp.ipcp import Ipcp
from l2tpd.ppp.ipv6cp import Ipv6cp
from l2tpd.ppp.lcp import Lcp
from l2tpd.ppp.numbers import BY_PEER, BY_US, ChapCode, Code, Disconnect, PapCode, Protocol
from l2tpd.ppp.options import Table
from l2tpd.wire.values import DisconnectCause, unpack_text

_TEXT_LIMIT: Final = 64  # characters of a name


class _Kind(NamedTuple):
    """How the packets of a protocol are named, and its options if it has such."""

    codes: type[enum.IntEnum]
    options: Table[Any] | None = None


_KINDS: Final[Mapping[int, _Kind]] = {
    Protocol.LCP: _Kind(Code, Lcp.OPTIONS),
    Protocol.IPCP: _Kind(Code, Ipcp.OPTIONS),
    Protocol.IPV6CP: _Kind(Code, Ipv6cp.OPTIONS),
    Protocol.CCP: _Kind(Code, Ccp.OPTIONS),
    Protocol.PAP: _Kind(PapCode),
    Protocol.CHAP: _Kind(ChapCode),
}
_NAMES: Final[Mapping[int, str]] = {member.value: member.name for member in Protocol}
_SIDES: Final[Mapping[tuple[int, str], str]] = {
    (BY_PEER, "us"): "the peer's",
    (BY_US, "us"): "our",
    (BY_PEER, "peer"): "our",
    (BY_US, "peer"): "the peer's",
}
_NAMED: Final = {
    (Protocol.PAP, PapCode.REQUEST),
    (Protocol.CHAP, ChapCode.CHALLENGE),
    (Protocol.CHAP, ChapCode.RESPONSE),
}
_CONFIGURE: Final = frozenset(range(Code.CONFIGURE_REQUEST, Code.CONFIGURE_REJECT + 1))


def describe(frame: bytes) -> str:
    """Return the line, such as `LCP Configure-Request 1 <MRU 1400> <Magic 0x1a2b3c4d>`. Nothing is raised, and no password is shown."""
    try:
        protocol, information = parse_frame(frame)
        name = _NAMES.get(protocol, f"protocol 0x{protocol:04x}")
        kind = _KINDS.get(protocol)
        if kind is None:
            return f"{name}, {len(information)} octets"
        packet = parse_packet(information)
        return f"{name} {_title(kind.codes, packet.code)} {packet.identifier}{_details(protocol, kind, packet)}"
    except Malformed as error:
        return f"malformed: {error}, {len(frame)} octets"


def disconnect_text(cause: DisconnectCause, by: str) -> str:
    """Return why PPP ended in one line, such as `auth failed (16), protocol 0xc223, on the peer's side: wrong password`.

    `by` is "us" or "peer": who says so, since a direction is that of the sender (RFC 3145 2).
    """
    side = _SIDES.get((cause.direction, by))
    words = [
        f"{_disconnect(cause.code)} ({cause.code})",
        *([f"protocol 0x{cause.protocol:04x}"] if cause.protocol else []),
        *([f"on {side} side"] if side else []),
    ]
    return ", ".join(words) + (f": {cause.message}" if cause.message else "")


def _disconnect(code: int) -> str:
    try:
        return Disconnect(code).name.lower().replace("_", " ")
    except ValueError:
        return "code"


def _title(codes: type[enum.IntEnum], code: int) -> str:
    try:
        return codes(code).name.title().replace("_", "-")
    except ValueError:
        return f"code {code}"


def _details(protocol: int, kind: _Kind, packet: Packet) -> str:
    if kind.options is None:
        return _name(protocol, packet)
    if packet.code not in _CONFIGURE:
        return ""
    return "".join(f" <{_option(protocol, kind.options, *one)}>" for one in parse_options(packet.data))


def _name(protocol: int, packet: Packet) -> str:
    """Return the name that a login has: of PAP the first field, before the password; of CHAP what follows the value."""
    if (protocol, packet.code) not in _NAMED or not packet.data:
        return ""
    size = packet.data[0] + 1
    name = packet.data[1:size] if protocol == Protocol.PAP else packet.data[size:]
    return f" {unpack_text(name)[:_TEXT_LIMIT]!r}"


def _option(protocol: int, table: Table[Any], number: int, data: bytes) -> str:
    row = table.get(number)
    name = row.name if row else f"option {number}"
    if not data:
        return name
    if protocol == Protocol.IPCP and len(data) == 4:
        return f"{name} {'.'.join(map(str, data))}"
    return f"{name} {int.from_bytes(data, 'big')}" if len(data) == 2 else f"{name} 0x{data.hex()}"
