"""The IPv6 Control Protocol: two interface identifiers that differ (RFC 5072 4.1)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import ClassVar, Final

import attrs

from l2tpd.ppp.control import Control
from l2tpd.ppp.frame import Options
from l2tpd.ppp.numbers import BY_PEER, Disconnect, Ipv6cpOption, Protocol
from l2tpd.ppp.options import ACCEPT, REFUSE, Answer, Option, Table, suggest, table
from l2tpd.ppp.settings import Ipv6Settings
from l2tpd.wire.values import DisconnectCause

_OPTION: Final = Ipv6cpOption.INTERFACE_IDENTIFIER
_ZERO: Final = bytes(8)
_NOT_UNIVERSAL: Final = 0xFDFF_FFFF_FFFF_FFFF  # the "u" bit: random identifiers "MUST" have it clear (4.1, case 3)


def link_local(identifier: bytes) -> str:
    """Return the link-local address of an interface identifier (RFC 5072 5); the empty text for none."""
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + identifier)) if len(identifier) == 8 else ""


def identifier(address: str) -> bytes:
    """Return the interface identifier of an address, empty without one."""
    return ipaddress.IPv6Address(address).packed[8:] if address else b""


def _judge(ipv6cp: Ipv6cp, data: bytes) -> Answer:
    """The four cases of RFC 5072 4.1."""
    ours = ipv6cp.local
    if data == ours:
        return REFUSE if data == _ZERO else suggest(ipv6cp.suggestion())
    return ACCEPT if data != _ZERO else suggest(ipv6cp.suggestion())


def _reconsider(ipv6cp: Ipv6cp, data: bytes) -> bytes | None:
    """Take what the peer suggests, unless it is what we have just suggested to the peer."""
    return data if data not in {_ZERO, ipv6cp.suggested} else ipv6cp.draw()


@attrs.define(eq=False)
class Ipv6cp(Control):
    """IPV6CP of one link."""

    PROTOCOL: ClassVar[int] = Protocol.IPV6CP
    OPTIONS: ClassVar[Table[Ipv6cp]] = table(
        Option(_OPTION, "Interface-Identifier", 8, "RFC 5072 4.1", _judge, _reconsider)
    )

    settings: Ipv6Settings = attrs.field(kw_only=True)
    random: Callable[[int], bytes] = attrs.field(kw_only=True)
    suggested: bytes = b""
    """What our last Configure-Nak suggested."""
    _own: bytes = b""

    def wishes(self) -> dict[int, bytes]:
        """Ask for the identifier that we were given, or for one of our making."""
        self._own = (
            self.settings.local or self._own or self.draw()
        )  # "consistently reproducible" (4.1) while the link lasts
        return {_OPTION: self._own}

    def prompts(self) -> Options:
        """Let the peer ask for an identifier (4.1: "SHOULD be appended")."""
        return ((_OPTION, self.suggestion()),)

    def lost(self, number: int) -> DisconnectCause | None:
        """Without an identifier there is no link-local address."""
        del number
        return self.fault(Disconnect.NO_ADDRESS, BY_PEER, "the peer grants us no interface identifier")

    @property
    def local(self) -> bytes:
        """Our interface identifier, zeros while there is none."""
        return self.wanted.get(_OPTION, _ZERO)

    @property
    def peer_identifier(self) -> bytes:
        """The peer's interface identifier, empty when it has none."""
        return self.peer.get(_OPTION, b"")

    def draw(self) -> bytes:
        """Draw an identifier that is neither zero nor the one that is ours."""
        number = int.from_bytes(self.random(8), "big") & _NOT_UNIVERSAL
        while number in {0, int.from_bytes(self.local, "big")}:
            number += 1
        return number.to_bytes(8, "big")

    def suggestion(self) -> bytes:
        """Return what the peer may well ask for: the same again as long as it differs from ours."""
        usable = (one for one in (self.settings.peer, self.suggested) if one not in {b"", self.local})
        self.suggested = next(usable, b"") or self.draw()
        return self.suggested
