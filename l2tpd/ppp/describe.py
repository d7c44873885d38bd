"""One line about a frame, for people who read logs: what it is, never what it hides."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from l2tpd.errors import Malformed
from l2tpd.ppp.frame import Packet, parse_frame, parse_options, parse_packet
from l2tpd.ppp.ipcp import Ipcp
from l2tpd.ppp.ipv6cp import Ipv6cp
from l2tpd.ppp.lcp import Lcp
from l2tpd.ppp.numbers import ChapCode, Code, PapCode, Protocol
from l2tpd.ppp.options import Table
from l2tpd.wire.values import unpack_text

_TEXT_LIMIT: Final = 64  # characters of a name


class _Kind(NamedTuple):
    """How the packets of a protocol are named, and its options if it has such."""

    codes: type[enum.IntEnum]
    options: Table[Any] | None = None


_KINDS: Final[Mapping[int, _Kind]] = {
    Protocol.LCP: _Kind(Code, Lcp.OPTIONS),
    Protocol.IPCP: _Kind(Code, Ipcp.OPTIONS),
    Protocol.IPV6CP: _Kind(Code, Ipv6cp.OPTIONS),
    Protocol.CCP: _Kind(Code, {}),
    Protocol.PAP: _Kind(PapCode),
    Protocol.CHAP: _Kind(ChapCode),
}
_NAMES: Final[Mapping[int, str]] = {member.value: member.name for member in Protocol}
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
