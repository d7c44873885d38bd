"""A peer made by hand, that says what a test wants at the moment that it wants: L2TPv2 with one tunnel and one call, and raw PPP frames."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from bench import packets
from interop.netns import Host
from interop.program import PATIENCE
from vm.inside.ethernet import entered

PORT = 1701
OUR_TUNNEL, OUR_SESSION = 77, 78
DATA = struct.Struct("!HHHH")  # RFC 2661 3.1: flags with the length bit, length, tunnel id, session id
DATA_FLAGS = 0x4002
LCP = b"\xff\x03\xc0\x21"  # RFC 1661 2, RFC 1662 3.1: address, control, protocol
CONFIGURE_REQUEST, CONFIGURE_ACK, CONFIGURE_NAK, CONFIGURE_REJECT = 1, 2, 3, 4  # RFC 1661 5
ANSWERS = frozenset({CONFIGURE_ACK, CONFIGURE_NAK, CONFIGURE_REJECT})
IDENTIFIER = 201


class Handmade:
    """One end of a tunnel to l2tpd; control messages are acknowledged as they come, and nothing is ever sent twice."""

    def __init__(self, sock: trio.socket.SocketType, peer: tuple[str, int]) -> None:
        """Speak to `peer` by a socket of the right namespace."""
        self._sock = sock
        self._peer = peer
        self._ns = self._nr = 0
        self._tunnel = self.session = 0  # what the peer calls them
        self.requests = 0
        self.answers: list[int] = []

    async def say(self, message: bytearray) -> None:
        """Send a control message."""
        packets.stamp(message, self._ns, self._nr)
        self._ns += 1
        await self._sock.sendto(message, self._peer)

    async def configure(self) -> None:
        """Send one Configure-Request, which asks for the Maximum-Receive-Unit of 1400 and a magic number (RFC 1661 5.1, 6.1, 6.4)."""
        options = struct.pack("!BBHBBI", 1, 4, 1400, 5, 6, 0x2D1E5A3C)
        frame = LCP + struct.pack("!BBH", CONFIGURE_REQUEST, IDENTIFIER, 4 + len(options)) + options
        head = DATA.pack(DATA_FLAGS, DATA.size + len(frame), self._tunnel, self.session)
        self.requests += 1
        await self._sock.sendto(head + frame, self._peer)

    async def hear(self, kind: int) -> dict[int, bytes]:
        """Wait for a control message of this type and return its AVPs."""
        with trio.fail_after(PATIENCE):
            while True:
                data = await self._take()
                if data and packets.message_type(data) == kind:
                    return packets.avps(data, kind)

    async def answered(self) -> int:
        """Wait for the answer to our Configure-Request and return its code."""
        with trio.fail_after(PATIENCE):
            while not self.answers:
                await self._take()
        return self.answers[0]

    async def _take(self) -> bytes:
        """Take one datagram; return a control message that is new, acknowledged, and nothing for everything else."""
        data, self._peer = await self._sock.recvfrom(4096)
        if not data[0] & 0x80:
            self._data(data)
            return b""
        _, _, _, _, ns, _ = packets.HEADER.unpack_from(data)
        if len(data) == packets.HEADER_LENGTH or ns != self._nr:
            return b""
        self._nr += 1
        self._learn(data)
        await self._sock.sendto(packets.zlb(self._tunnel, self._ns, self._nr), self._peer)
        return data

    def _learn(self, data: bytes) -> None:
        found = packets.avps(data, 0)
        self._tunnel = packets.u16(found.get(packets.ASSIGNED_TUNNEL_ID, self._tunnel.to_bytes(2, "big")))
        self.session = packets.u16(found.get(packets.ASSIGNED_SESSION_ID, self.session.to_bytes(2, "big")))

    def _data(self, data: bytes) -> None:
        at = data.find(LCP)
        code, identifier = data[at + 4 : at + 6] if at >= 0 else (0, 0)
        if code in ANSWERS and identifier == IDENTIFIER:
            self.answers.append(code)

    # --- the exchanges of RFC 2661 5.1 and 5.2 --------------------------------------------------------------------------------

    async def open_tunnel(self) -> None:
        """Ask for a tunnel, as a LAC."""
        await self.say(packets.sccrq(OUR_TUNNEL, 1))
        await self.hear(packets.SCCRP)
        await self.say(packets.scccn(self._tunnel))

    async def call(self) -> None:
        """Announce an incoming call and wait until it is accepted."""
        await self.say(packets.icrq(self._tunnel, OUR_SESSION, 1))
        await self.hear(packets.ICRP)

    async def connect(self) -> None:
        """Send the ICCN."""
        await self.say(packets.iccn(self._tunnel, self.session))

    async def accept_tunnel(self) -> None:
        """Grant a tunnel, as an LNS."""
        await self.hear(packets.SCCRQ)
        await self.say(packets.sccrp(self._tunnel, OUR_TUNNEL))
        await self.hear(packets.SCCCN)

    async def accept_call(self) -> None:
        """Accept the incoming call that comes."""
        await self.hear(packets.ICRQ)
        await self.say(packets.icrp(self._tunnel, self.session, OUR_SESSION))


@contextmanager
def handmade(host: Host, peer: Host) -> Iterator[Handmade]:
    """Stand on a host, at port 1701, for an l2tpd on `peer`."""
    with entered(host):
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plain.bind((host.address, PORT))
    with trio.socket.from_stdlib_socket(plain) as sock:
        yield Handmade(sock, (peer.address, PORT))
