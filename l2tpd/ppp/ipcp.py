"""The IP Control Protocol: who has which address, and where names are looked up (RFC 1332, RFC 1877)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import ClassVar, Final

import attrs

from l2tpd.ppp.control import Control
from l2tpd.ppp.frame import Options
from l2tpd.ppp.numbers import BY_PEER, Disconnect, IpcpOption, Protocol
from l2tpd.ppp.options import ACCEPT, REFUSE, Answer, Option, Table, suggest, table
from l2tpd.ppp.settings import Ipv4Settings
from l2tpd.wire.values import DisconnectCause

_NOBODY: Final = bytes(4)


def pack_address(text: str) -> bytes:
    """Return the 4 octets of an address, zeros for the empty text. Raises `ValueError` for what is none."""
    return ipaddress.IPv4Address(text).packed if text else _NOBODY


def unpack_address(octets: bytes) -> str:
    """Return an address in dotted notation, the empty text for zeros."""
    return "" if octets == _NOBODY else ".".join(map(str, octets))


def _judge_address(ipcp: Ipcp, data: bytes) -> Answer:
    if ipcp.assigned != _NOBODY:  # RFC 1332 3.3: "by NAKing the option, and returning a valid IP-address"
        return ACCEPT if data == ipcp.assigned else suggest(ipcp.assigned)
    return ACCEPT if data not in {_NOBODY, ipcp.local} else REFUSE


def _reconsider_address(ipcp: Ipcp, data: bytes) -> bytes | None:
    free = not ipcp.settings.local or ipcp.settings.accept_local
    return data if free and data != _NOBODY else ipcp.wanted[IpcpOption.ADDRESS]


def _judge_server(servers: tuple[bytes, ...], data: bytes) -> Answer:
    if not servers:
        return REFUSE
    return ACCEPT if data == servers[0] else suggest(servers[0])


def _reconsider_server(ipcp: Ipcp, data: bytes) -> bytes | None:
    del ipcp
    return data if data != _NOBODY else None


@attrs.define(eq=False)
class Ipcp(Control):
    """IPCP of one link."""

    PROTOCOL: ClassVar[int] = Protocol.IPCP
    # fmt: off
    OPTIONS: ClassVar[Table[Ipcp]] = table(
        Option(IpcpOption.ADDRESSES,      "IP-Addresses",   None, "RFC 1332 3.1"),  # deprecated
        Option(IpcpOption.COMPRESSION,    "IP-Compression", None, "RFC 1332 3.2"),
        Option(IpcpOption.ADDRESS,        "IP-Address",     4,    "RFC 1332 3.3", _judge_address, _reconsider_address),
        Option(IpcpOption.PRIMARY_DNS,    "Primary DNS",    4,    "RFC 1877 1.1",
               lambda us, data: _judge_server(us.dns_servers[:1], data), _reconsider_server),
        Option(IpcpOption.PRIMARY_NBNS,   "Primary NBNS",   4,    "RFC 1877 1.2",
               lambda us, data: _judge_server(us.nbns_servers[:1], data)),
        Option(IpcpOption.SECONDARY_DNS,  "Secondary DNS",  4,    "RFC 1877 1.3",
               lambda us, data: _judge_server(us.dns_servers[1:], data), _reconsider_server),
        Option(IpcpOption.SECONDARY_NBNS, "Secondary NBNS", 4,    "RFC 1877 1.4",
               lambda us, data: _judge_server(us.nbns_servers[1:], data)),
    )
    # fmt: on

    settings: Ipv4Settings = attrs.field(kw_only=True)
    assigned: bytes = _NOBODY
    """The address that the peer is to have; zeros: it knows its own."""
    dns_servers: tuple[bytes, ...] = ()  # told to a peer that asks
    nbns_servers: tuple[bytes, ...] = ()  # likewise

    def provide(self, peer: str, dns: Iterable[str], nbns: Iterable[str]) -> None:
        """Have an address, empty for none, and servers for the peer. Raises `ValueError` for what is no address."""
        self.assigned = pack_address(peer)
        self.dns_servers, self.nbns_servers = tuple(map(pack_address, dns)), tuple(map(pack_address, nbns))

    def wishes(self) -> dict[int, bytes]:
        """Ask for our address, or for one; and for name servers."""
        asked = (IpcpOption.PRIMARY_DNS, IpcpOption.SECONDARY_DNS) if self.settings.ask_dns else ()
        return {IpcpOption.ADDRESS: pack_address(self.settings.local), **dict.fromkeys(asked, _NOBODY)}

    def prompts(self) -> Options:
        """Let the peer ask for the address that it is to have (3.3: "SHOULD be appended")."""
        return ((IpcpOption.ADDRESS, self.assigned),) if self.assigned != _NOBODY else ()

    def lost(self, number: int) -> DisconnectCause | None:
        """Nothing works without an address; one that we know by ourselves the peer need not grant."""
        if number != IpcpOption.ADDRESS or self.settings.local:
            return None
        return self.fault(Disconnect.NO_ADDRESS, BY_PEER, "the peer gives us no address")

    @property
    def local(self) -> bytes:
        """Our address as far as we know it."""
        return self.wanted.get(IpcpOption.ADDRESS) or pack_address(self.settings.local)

    @property
    def local_address(self) -> str:
        """Our address, empty when there is none."""
        return unpack_address(self.local)

    @property
    def peer_address(self) -> str:
        """The peer's address: what it was granted, else what it is to have; empty when nobody said."""
        return unpack_address(self.peer.get(IpcpOption.ADDRESS, _NOBODY)) or unpack_address(self.assigned)

    @property
    def dns(self) -> tuple[str, ...]:
        """The name servers that the peer told us."""
        told = (self.wanted.get(number, _NOBODY) for number in (IpcpOption.PRIMARY_DNS, IpcpOption.SECONDARY_DNS))
        return tuple(unpack_address(one) for one in told if one != _NOBODY)
