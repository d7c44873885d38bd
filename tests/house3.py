"""Peers of a real daemon (`house.py`) that speak version 3, or both versions in one request."""

from __future__ import annotations

import socket
from typing import NamedTuple

import attrs
import trio

from house import PATIENCE, Peer, settle
from l2tpd.tunnel.dialect import V2, V3
from l2tpd.wire.messages import Message, decode, encode
from seal import Seal


class Heard3(NamedTuple):
    """A control packet from the daemon, of either version; `said` is None where it only acknowledges."""

    version: int
    connection_id: int
    ns: int
    nr: int
    said: Message | None
    signed: bool | None

    @property
    def type(self) -> int | None:
        return self.said.type if self.said else None


@attrs.define(eq=False)
class Peer3(Peer):
    """A UDP socket of a peer with one request at a time."""

    seal: Seal = attrs.field(factory=Seal)

    def packet(self, said: Message, connection_id: int = 0, ns: int = 0, nr: int = 0, *, version: int = 3) -> bytes:
        """Return a message as a datagram with a header of this version, signed where the peer signs."""
        body = encode(self.seal.introduce(said), vocabulary=said.vocabulary)
        return self.seal.sign((V3 if version == 3 else V2).build(connection_id, 0, ns, nr, body))

    async def heard(self) -> Heard3:
        """Wait for the next packet."""
        with trio.fail_after(PATIENCE):
            return self.read(await self.socket.recv(65535))

    async def ask(self, said: Message, *, version: int = 3) -> Heard3:
        """Send a request and return what comes back."""
        await self.throw(self.packet(said, version=version))
        return await self.heard()

    async def silence(self) -> None:
        """Fail if the daemon has said anything by now."""
        await settle()
        with socket.fromfd(self.socket.fileno(), self.socket.family, self.socket.type) as stream:
            stream.setblocking(False)
            try:
                raise AssertionError(f"heard {stream.recv(65535)!r}")
            except BlockingIOError:
                return

    def read(self, datagram: bytes) -> Heard3:
        """Return what a packet of the daemon says."""
        version = datagram[1] & 0xF
        dialect = V3 if version == 3 else V2
        header, body = dialect.parse(datagram)
        said = decode(body, vocabulary=dialect.vocabulary) if body else None
        signed = self.seal.verify(datagram, said, heard=self.seal.signer is not None)
        return Heard3(version, header.tunnel_id, header.ns, header.nr, said, signed)
