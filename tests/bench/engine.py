"""Reliable delivery for very many control connections on one UDP socket (RFC 2661 5.8).

One socket without a fixed source serves all tunnels: IP_PKTINFO chooses the source address of what is sent and tells
which address was hit by what is received, so that 10,000 LACs with an address each need one descriptor. Every
retransmission interval is a constant, so each attempt number has a first-in-first-out queue of deadlines, and no heap.

A `Role` (LAC or LNS) is told of messages in order and without duplicates, of acknowledgements, and of silent peers.
"""

import contextlib
import random
import select
import socket
import struct
from collections import Counter, deque
from time import monotonic
from typing import Generic, Protocol, Self, TypeVar

from bench import packets
from bench.packets3 import Signer

# RFC 2661 5.8: doubling with a cap of 8 s, five retransmissions, then given up; in units of the first interval, 1 s
BACKOFF = (1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
BATCH = 256
IP_PKTINFO = 8
PKTINFO = struct.Struct("@i4s4s")
ANCILLARY_SPACE = socket.CMSG_SPACE(PKTINFO.size)
HALF = 0x8000
SOCKET_BUFFER = 4 << 20
SO_RCVBUFFORCE = 33

L = TypeVar("L", bound="Link")
Address = tuple[str, int]
Ancillary = list[tuple[int, int, bytes]]


class Sent(Generic[L]):
    """A message that waits for its acknowledgement."""

    __slots__ = ("acked", "at", "call", "kind", "link", "packet", "tries")

    def __init__(self, link: L, packet: bytearray, kind: int, call: int) -> None:
        """Wrap `packet` of message type `kind`, which belongs to local session `call` (0: to the tunnel)."""
        self.link = link
        self.packet = packet
        self.kind = kind
        self.call = call
        self.tries = 0
        self.at = 0.0
        self.acked = False


class Link:
    """One control connection; roles derive from it."""

    __slots__ = (
        "ancillary",
        "backlog",
        "dest",
        "early",
        "gone",
        "local",
        "nr",
        "ns",
        "remote",
        "signer",
        "source",
        "told",
        "unacked",
        "window",
    )

    def __init__(self, local: int, dest: Address, source: bytes) -> None:
        """Make the link with our tunnel id `local` from the 4 octet address `source` (empty: let the kernel choose)."""
        self.local = local
        self.remote = 0
        self.dest = dest
        self.source = source
        self.ancillary: Ancillary = [pktinfo(source)] if source else []
        self.ns = 0
        self.nr = 0
        self.told = 0
        self.window = packets.DEFAULT_WINDOW
        self.unacked: list[Sent[Self]] = []
        self.backlog: list[Sent[Self]] = []
        self.early: dict[int, bytes] = {}
        self.gone = False
        self.signer: Signer | None = None

    def has_room(self) -> bool:
        """Tell whether another message would leave at once."""
        return len(self.unacked) < self.window and not self.backlog


def pktinfo(source: bytes) -> tuple[int, int, bytes]:
    """Build the ancillary item that sends from address `source` (4 octets)."""
    return (socket.IPPROTO_IP, IP_PKTINFO, PKTINFO.pack(0, source, b"\0\0\0\0"))


class Framing(Protocol):
    """What of a version of the protocol the engine has to know."""

    @property
    def CONTROL(self) -> int:  # noqa: N802 - a constant of a module
        """First word of a control message."""

    def zlb(self, peer: int, ns: int, nr: int) -> bytes | bytearray:
        """Build what only acknowledges."""

    def only_acknowledges(self, data: bytes) -> bool:
        """Tell whether a message is such."""

    def ids(self, high: int, low: int) -> tuple[int, int]:
        """Return tunnel and session id of a header."""


class Role(Protocol[L]):
    """What the engine drives."""

    def stranger(self, data: bytes, hit: bytes, sender: Address) -> None:
        """Take a control message whose tunnel id is not ours (0 included)."""

    def message(self, link: L, kind: int, session: int, data: bytes, sender: Address) -> None:
        """Take the next message of a link."""

    def acknowledged(self, sent: Sent[L]) -> None:
        """Learn that the peer has a message."""

    def silent(self, link: L) -> None:
        """Learn that the peer did not answer any retransmission."""


class Engine(Generic[L]):
    """The socket, the links by local tunnel id, and their timers."""

    def __init__(
        self,
        bind: Address,
        *,
        loss: float = 0.0,
        seed: int = 1,
        check_sender: bool = True,
        rto: float = 1.0,
        framing: Framing = packets,
    ) -> None:
        """Open the socket.

        `loss` (0..1) is the share of datagrams dropped in each direction, repeatably by `seed`; `rto` is the time in seconds
        until the first retransmission.
        """
        self._framing = framing
        self._intervals = tuple(rto * step for step in BACKOFF)
        self.links: dict[int, L] = {}
        self.counts: Counter[str] = Counter()
        self.complaints: Counter[str] = Counter()
        self.role: Role[L]
        self.loss = loss
        self.check_sender = check_sender
        self._dice = random.Random(seed)
        self._queues: tuple[deque[tuple[float, Sent[L]]], ...] = tuple(deque() for _ in BACKOFF)
        self._next_id = 0
        self.sock = open_socket(bind)
        self._poll = select.poll()
        self._poll.register(self.sock, select.POLLIN)

    @property
    def port(self) -> int:
        """Our UDP port."""
        return int(self.sock.getsockname()[1])

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def free_id(self) -> int:
        """Return a tunnel id that is not in use, going round so that a freed one rests as long as possible."""
        for _ in range(0xFFFF):
            self._next_id = self._next_id % 0xFFFF + 1
            if self._next_id not in self.links:
                return self._next_id
        raise OverflowError("all 65,535 tunnel ids are in use")

    def send(self, link: L, packet: bytearray, kind: int, call: int = 0) -> Sent[L]:
        """Send a message reliably, or queue it until the peer's window opens."""
        sent = Sent(link, packet, kind, call)
        if len(link.unacked) < link.window and not link.backlog:
            self._launch(link, sent)
        else:
            link.backlog.append(sent)
        return sent

    def _launch(self, link: L, sent: Sent[L]) -> None:
        packets.stamp(sent.packet, link.ns, link.nr)
        link.ns = (link.ns + 1) & 0xFFFF
        link.told = link.nr
        link.unacked.append(sent)
        sent.at = now = monotonic()
        self._queues[0].append((now + self._intervals[0], sent))
        self.transmit(link, sent.packet)

    def transmit(self, link: L, packet: bytes | bytearray) -> None:
        """Put one datagram on the wire, unless the dice say that it is lost."""
        self.counts["sent"] += 1
        if self.loss and self._dice.random() < self.loss:
            self.counts["dropped out"] += 1
            return
        if link.signer is not None:
            packet = link.signer.seal(bytearray(packet))
        try:
            self.sock.sendmsg((packet,), link.ancillary, 0, link.dest)
        except OSError:  # ENOBUFS, ECONNREFUSED of an earlier datagram: the retransmission makes good for it
            self.counts["send errors"] += 1

    def acknowledge(self, link: L) -> None:
        """Send a ZLB."""
        link.told = link.nr
        self.transmit(link, self._framing.zlb(link.remote, link.ns, link.nr))

    def forget(self, link: L) -> None:
        """Drop a link; what is still unacknowledged is not sent again."""
        link.gone = True
        for sent in (*link.unacked, *link.backlog):
            sent.acked = True
        link.unacked = []
        link.backlog = []
        link.early = {}
        if self.links.get(link.local) is link:
            del self.links[link.local]

    def turn(self, patience: float) -> None:
        """Serve timers and the socket once, waiting at most `patience` seconds when nothing is there."""
        self._expire(monotonic())
        if self._drain() == 0 and self._poll.poll(max(0.0, patience) * 1000):
            self._drain()

    def _drain(self) -> int:
        receive, take = self.sock.recvmsg, self._datagram
        for count in range(BATCH):
            try:
                data, ancillary, _, sender = receive(4096, ANCILLARY_SPACE)
            except BlockingIOError:
                return count
            except OSError:  # an ICMP error that the kernel reports here
                self.counts["receive errors"] += 1
                continue
            if self.loss and self._dice.random() < self.loss:
                self.counts["dropped in"] += 1
                continue
            take(data, ancillary[0][2][8:12] if ancillary else b"", sender)
        return BATCH

    def _datagram(self, data: bytes, hit: bytes, sender: Address) -> None:
        self.counts["received"] += 1
        if len(data) < packets.HEADER_LENGTH:
            self._complain("shorter than a control header")
            return
        flags, length, tunnel, session, ns, nr = packets.HEADER.unpack_from(data)
        if flags != self._framing.CONTROL:
            self._other(flags)
            return
        if length != len(data):
            self._complain("Length field is not the length of the datagram")
            return
        tunnel, session = self._framing.ids(tunnel, session)
        link = self.links.get(tunnel)
        if link is None:
            self.role.stranger(data, hit, sender)
        elif link.source and hit != link.source:
            self._complain("sent to an address that is not the tunnel's")
        elif self.check_sender and link.remote and sender != link.dest:
            self.counts["foreign"] += 1
        elif link.signer is not None and not link.signer.believes(data):
            self._complain("wrong digest")
        else:
            self._accept(link, data, (session, ns, nr), sender)

    def _other(self, flags: int) -> None:
        if flags & 0x8000:
            self._complain("control header with wrong flags")
        else:
            self.counts["data"] += 1

    def _complain(self, text: str) -> None:
        self.complaints[text] += 1

    def _accept(self, link: L, data: bytes, numbers: tuple[int, int, int], sender: Address) -> None:
        session, ns, nr = numbers
        if link.unacked:
            self._take_nr(link, nr)
        if link.gone or self._framing.only_acknowledges(data):
            return
        distance = (ns - link.nr) & 0xFFFF
        if distance == 0:
            self._deliver(link, data, session, sender)
            while link.early and (held := link.early.pop(link.nr, None)) is not None:
                self._deliver(link, held, packets.HEADER.unpack_from(held)[3], sender)
        elif distance < HALF:
            self.counts["early"] += 1
            link.early[ns] = data
        else:
            self.counts["duplicates"] += 1
            link.told = link.nr - 1
        if link.told != link.nr and not link.gone:
            self.acknowledge(link)

    def _take_nr(self, link: L, nr: int) -> None:
        unacked = link.unacked
        fresh = (nr - link.ns + len(unacked)) & 0xFFFF  # how many of the oldest are acknowledged
        if fresh > len(unacked):
            if fresh < HALF:
                self._complain("Nr acknowledges what was never sent")
            return
        if not fresh:
            return
        done, link.unacked = unacked[:fresh], unacked[fresh:]
        for sent in done:
            sent.acked = True
            self.role.acknowledged(sent)
        while link.backlog and len(link.unacked) < link.window and not link.gone:
            self._launch(link, link.backlog.pop(0))

    def _deliver(self, link: L, data: bytes, session: int, sender: Address) -> None:
        link.nr = (link.nr + 1) & 0xFFFF
        try:
            self.role.message(link, packets.message_type(data), session, data, sender)
        except packets.MalformedError as error:
            self._complain(str(error))

    def _expire(self, now: float) -> None:
        for queue in self._queues:
            while queue and (queue[0][0] <= now or queue[0][1].acked):
                sent = queue.popleft()[1]
                if not sent.acked:
                    self._again(sent, now)

    def _again(self, sent: Sent[L], now: float) -> None:
        sent.tries += 1
        link = sent.link
        if sent.tries >= len(BACKOFF):
            self.counts["given up"] += 1
            self.role.silent(link)
            return
        packets.U16.pack_into(sent.packet, packets.SEQUENCE_OFFSET + 2, link.nr)
        link.told = link.nr
        self.counts["retransmitted"] += 1
        self._queues[sent.tries].append((now + self._intervals[sent.tries], sent))
        self.transmit(link, sent.packet)


def open_socket(bind: Address) -> socket.socket:
    """Open a non-blocking UDP socket that reports the address hit; large buffers, for a burst must not be lost here."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    with contextlib.suppress(PermissionError):  # beyond net.core.rmem_max with CAP_NET_ADMIN only
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER)
    sock.bind(bind)
    sock.setblocking(False)
    return sock
