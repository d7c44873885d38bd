"""Reliable delivery of the generator in dialogue with a bare socket that plays the peer (RFC 2661 5.8)."""

import socket
from collections.abc import Iterator
from time import monotonic

import pytest

from bench import packets
from bench.engine import BACKOFF, Address, Engine, Link, Sent


class Diary:
    """A role that writes down what it is told."""

    def __init__(self, engine: Engine[Link]) -> None:
        """Take the engine over."""
        engine.role = self
        self.kinds: list[int] = []
        self.acknowledged_kinds: list[int] = []
        self.silences = 0

    def stranger(self, data: bytes, hit: bytes, sender: Address) -> None:
        """Write nothing."""

    def message(self, link: Link, kind: int, session: int, data: bytes, sender: Address) -> None:
        """Write the type of a message."""
        self.kinds.append(kind)

    def acknowledged(self, sent: Sent[Link]) -> None:
        """Write the type of an acknowledged message."""
        self.acknowledged_kinds.append(sent.kind)

    def silent(self, link: Link) -> None:
        """Count a silence."""
        self.silences += 1


class Stage:
    """One engine with one link, and the socket of its peer."""

    def __init__(self, rto: float = 30.0) -> None:
        """Connect them over loopback."""
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.bind(("127.0.0.1", 0))
        self.peer.settimeout(5)
        self.engine: Engine[Link] = Engine(("0.0.0.0", 0), rto=rto)  # noqa: S104
        self.diary = Diary(self.engine)
        self.link = Link(self.engine.free_id(), self.peer.getsockname(), bytes((127, 1, 0, 1)))
        self.link.remote = 9
        self.engine.links[self.link.local] = self.link

    def say(self, packet: bytes | bytearray, ns: int, nr: int) -> None:
        """Let the peer send a message to the link, and the engine read it."""
        data = bytearray(packet)
        packets.U16.pack_into(data, 4, self.link.local)
        packets.stamp(data, ns, nr)
        self.peer.sendto(data, ("127.1.0.1", self.engine.port))
        self.engine.turn(5)

    def hear(self) -> tuple[int, int, int]:
        """Return (length, Ns, Nr) of what arrives at the peer."""
        data = self.peer.recv(2048)
        _, length, _, _, ns, nr = packets.HEADER.unpack_from(data)
        return length, ns, nr


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Set a stage where no timer fires."""
    it = Stage()
    yield it
    it.engine.close()
    it.peer.close()


def test_a_message_is_acknowledged_and_its_copy_too(stage: Stage) -> None:
    """A HELLO is answered by a ZLB; its duplicate is not delivered again but acknowledged again."""
    for _ in range(2):
        stage.say(packets.hello(0), 0, 0)
        assert stage.hear() == (12, 0, 1)
    assert stage.diary.kinds == [packets.HELLO]


def test_early_messages_wait_for_the_missing_one(stage: Stage) -> None:
    """Ns 1 before Ns 0 is kept; then both are delivered in order."""
    stage.say(packets.cdn(0, 0, 1), 1, 0)
    assert stage.diary.kinds == []
    stage.say(packets.hello(0), 0, 0)
    assert stage.diary.kinds == [packets.HELLO, packets.CDN]
    assert stage.link.nr == 2


def test_window_holds_messages_back(stage: Stage) -> None:
    """Four messages leave (the default window); the fifth leaves when the first is acknowledged."""
    for _ in range(5):
        stage.engine.send(stage.link, packets.hello(9), packets.HELLO)
    assert [stage.hear()[1] for _ in range(4)] == [0, 1, 2, 3]
    assert len(stage.link.backlog) == 1
    stage.say(packets.zlb(0, 0, 1), 0, 1)
    assert stage.hear()[1] == 4
    assert stage.diary.acknowledged_kinds == [packets.HELLO]


def test_forged_nr_acknowledges_nothing(stage: Stage) -> None:
    """An Nr beyond what was sent is a complaint, not an acknowledgement."""
    stage.engine.send(stage.link, packets.hello(9), packets.HELLO)
    stage.say(packets.zlb(0, 0, 2), 0, 2)
    assert stage.diary.acknowledged_kinds == []
    assert stage.engine.complaints == {"Nr acknowledges what was never sent": 1}


def test_another_sender_is_not_the_peer(stage: Stage) -> None:
    """A message from another port than the peer's is counted and dropped."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        data = packets.hello(stage.link.local)
        other.sendto(data, ("127.1.0.1", stage.engine.port))
        stage.engine.turn(5)
    assert stage.diary.kinds == []
    assert stage.engine.counts["foreign"] == 1


def test_unanswered_message_is_repeated_five_times() -> None:
    """Unanswered, a message leaves six times with the same Ns; then the link is silent."""
    stage = Stage(rto=0.001)
    stage.engine.send(stage.link, packets.hello(9), packets.HELLO)
    end = monotonic() + 30
    while not stage.diary.silences and monotonic() < end:
        stage.engine.turn(0.001)
    assert [stage.hear() for _ in BACKOFF] == [(20, 0, 0)] * len(BACKOFF)
    assert stage.diary.silences == 1
    assert stage.engine.counts["retransmitted"] == 5
    stage.engine.close()
    stage.peer.close()
