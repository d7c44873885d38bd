"""The decisions of the Linux plane; the kernel itself answers in the virtual machine (`tests/vm/inside/test_{ppp,eth}_plane.py`)."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from typing import Any

import attrs
import pytest

from l2tpd.config.model import Pseudowire
from l2tpd.errors import PlaneError
from l2tpd.kernel import genl, netlink, nlsock, pppox
from l2tpd.kernel.netlink import LinuxPlane, Netlink
from l2tpd.kernel.ops import (
    CreateSession,
    CreateTunnel,
    Delete,
    DeleteSession,
    DeleteTunnel,
    ModifySession,
    Operation,
    Outcome,
)

CREATE = CreateSession(tunnel_id=1, session_id=2, peer_session_id=3, pseudowire=Pseudowire.PPP)
DELETE = DeleteSession(tunnel_id=1, session_id=2)


class Far:
    """A kernel that records what it is asked and refuses what `refusals` says."""

    def __init__(self) -> None:
        """Refuse nothing."""
        self.log: list[Operation] = []
        self.refusals: dict[type, PlaneError] = {}
        self.closed = False

    def carry_out(self, operation: Operation, *, descriptor: int = -1, version: int = 2) -> None:
        """Take note of a request."""
        assert (descriptor >= 0) is isinstance(operation, CreateTunnel)
        assert version in {2, 3}
        self.log.append(operation)
        if type(operation) in self.refusals:
            raise self.refusals[type(operation)]

    def counters(self, tunnel_id: int, session_id: int = 0) -> dict[str, int]:
        """Tell what a session, or a tunnel, has counted."""
        if (delete := DeleteSession if session_id else DeleteTunnel) in self.refusals:
            raise self.refusals[delete]
        return {"tx_packets": 10, "rx_errors": 1} if session_id else {"tx_packets": 100, "rx_errors": 1000}

    def close(self) -> None:
        """Take note of the end."""
        self.closed = True


@pytest.fixture
def far() -> Far:
    """A kernel."""
    return Far()


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    """A tunnel's socket."""
    with connected() as made:
        yield made


def connected(local: int = 0) -> socket.socket:
    """Return a socket connected to a port of this machine; several may share the path."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", local))
    made.connect(("127.0.0.1", 9))
    return made


@pytest.fixture
def plane(far: Any) -> Iterator[LinuxPlane]:
    """A plane over a kernel that wants every path for one tunnel."""
    with closing(LinuxPlane(far, "6.1.0-13-amd64")) as made:
        yield made


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """The PPPoX sockets that were made; ordinary ones stand in for them."""
    made: list[socket.socket] = []

    def open_session(*ids: int, version: int) -> socket.socket:
        assert 4 == len(ids)
        assert 2 == version
        made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        return made[-1]

    monkeypatch.setattr(pppox, "open_session", open_session)
    return made


def create_tunnel(sock: socket.socket, tunnel_id: int = 1) -> CreateTunnel:
    """Return the operation that makes a tunnel on a socket."""
    return CreateTunnel(tunnel_id=tunnel_id, peer_tunnel_id=9, socket=sock)


async def test_a_life(plane: LinuxPlane, far: Far, sock: socket.socket, channels: list[socket.socket]) -> None:
    """Repeating what was done asks the kernel nothing more; the session's socket is closed with it."""
    assert plane.perform_nowait(CREATE) is None
    for operation in (create_tunnel(sock), create_tunnel(sock), CREATE, CREATE):
        await plane.perform(operation)
    assert channels[0].fileno() == (await plane.perform(CREATE)).channel
    for delete in (DELETE, DELETE, DeleteTunnel(tunnel_id=1), DeleteTunnel(tunnel_id=1)):
        await plane.perform(delete)
    assert [create_tunnel(sock), CREATE, DELETE, DeleteTunnel(tunnel_id=1)] == far.log
    plane.close()
    assert far.closed
    assert [-1] == [channel.fileno() for channel in channels]


async def test_a_tunnel_takes_its_sessions_along(
    plane: LinuxPlane, far: Far, sock: socket.socket, channels: list[socket.socket]
) -> None:
    """However many sessions there are, the kernel is asked once."""
    await plane.perform(create_tunnel(sock))
    for number in range(3):
        await plane.perform(
            CreateSession(tunnel_id=1, session_id=number + 1, peer_session_id=3, pseudowire=Pseudowire.PPP)
        )
    del far.log[:]
    await plane.perform(DeleteTunnel(tunnel_id=1))
    assert [DeleteTunnel(tunnel_id=1)] == far.log
    plane.close()
    assert [-1, -1, -1] == [channel.fileno() for channel in channels]


@pytest.mark.parametrize(("version", "kept"), [(2, False), (3, True)])
async def test_what_the_kernel_may_not_be_done_with(
    plane: LinuxPlane, sock: socket.socket, version: int, kept: bool
) -> None:
    """Of many sessions that have ended the last has to wait longer than the first, but not for ever; in version 2 none has a number that comes again."""
    await plane.perform(attrs.evolve(create_tunnel(sock), version=version))
    for number in range(1, 501):
        plane._tunnels[1].sessions[number] = netlink._Session(Outcome(), numberable=True)
        await plane.perform(DeleteSession(tunnel_id=1, session_id=number))
    assert kept is bool(plane._ending)
    assert all(until <= time.monotonic() + netlink._ENDING_MOST for until, _ in plane._ending)


async def test_closing_the_plane_closes_its_sockets(
    plane: LinuxPlane, far: Far, sock: socket.socket, channels: list[socket.socket]
) -> None:
    """Sessions that nobody deleted end with the plane."""
    for operation in (create_tunnel(sock), CREATE):
        await plane.perform(operation)
    plane.close()
    assert [-1] == [channel.fileno() for channel in channels]


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENODEV])
async def test_what_is_gone_is_deleted(
    plane: LinuxPlane, far: Far, sock: socket.socket, channels: list[socket.socket], number: int
) -> None:
    """A session that went with its socket counts as deleted."""
    for operation in (create_tunnel(sock), CREATE):
        await plane.perform(operation)
    far.refusals = {DeleteSession: PlaneError(number, "gone"), DeleteTunnel: PlaneError(number, "gone")}
    await plane.perform(DELETE)
    await plane.perform(DeleteTunnel(tunnel_id=1))
    plane.close()
    assert -1 == channels[0].fileno()


async def test_refusals_say_what_was_refused(plane: LinuxPlane, far: Far, sock: socket.socket) -> None:
    """The kernel's words stand behind ours."""
    far.refusals[CreateTunnel] = PlaneError(errno.EEXIST, "File exists")
    with pytest.raises(PlaneError, match=r"^the kernel refused tunnel 1: File exists$"):
        await plane.perform(create_tunnel(sock))
    with pytest.raises(PlaneError, match=r"^the kernel has no tunnel for session 1/2$"):
        await plane.perform(CREATE)
    del far.refusals[CreateTunnel]
    await plane.perform(create_tunnel(sock))
    far.refusals = {CreateSession: PlaneError(errno.EBUSY, "busy"), DeleteTunnel: PlaneError(errno.EPERM, "not yours")}
    with pytest.raises(PlaneError, match=r"^the kernel refused session 1/2: busy$"):
        await plane.perform(CREATE)
    with pytest.raises(PlaneError, match=r"^the kernel does not let go of tunnel 1: not yours$"):
        await plane.perform(DeleteTunnel(tunnel_id=1))


@pytest.mark.parametrize("delete", [DELETE, DeleteTunnel(tunnel_id=1)], ids=["session", "tunnel"])
async def test_a_refused_delete_can_be_repeated(
    plane: LinuxPlane, far: Far, sock: socket.socket, channels: list[socket.socket], delete: Delete
) -> None:
    """The kernel is asked again; once it has let go, or been asked twice, it is left alone."""
    for refused in (1, 2):
        for operation in (create_tunnel(sock), CREATE):
            await plane.perform(operation)
        far.log.clear()
        for number in (1, 2):
            far.refusals = {type(delete): PlaneError(errno.ENOBUFS, "no memory")} if number <= refused else {}
            with pytest.raises(PlaneError, match="no memory") if number <= refused else nullcontext():
                await plane.perform(delete)
        far.refusals = {}
        await plane.perform(delete)
        assert [delete] * 2 == far.log
        await plane.perform(DeleteTunnel(tunnel_id=1))


async def test_a_session_without_a_socket_is_undone(
    plane: LinuxPlane, far: Far, sock: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the PPPoX socket cannot be had, the session does not stay behind in the kernel."""

    def refusing(*_ids: int, version: int) -> None:
        assert 2 == version
        raise PlaneError(errno.EMFILE, "too many")

    monkeypatch.setattr(pppox, "open_session", refusing)
    await plane.perform(create_tunnel(sock))
    with pytest.raises(PlaneError, match="too many"):
        await plane.perform(CREATE)
    assert [CREATE, DELETE] == far.log[1:]


async def test_one_path_one_tunnel_on_old_kernels(plane: LinuxPlane, far: Far, sock: socket.socket) -> None:
    """Before Linux 6.11 a second tunnel between the same addresses and ports is refused with what to do, until the first has gone."""
    assert plane.exclusive_paths
    await plane.perform(create_tunnel(sock))
    with connected(sock.getsockname()[1]) as same:
        with pytest.raises(
            PlaneError,
            match=r"Linux 6\.1\.0-13-amd64 cannot carry two tunnels between 127\.0\.0\.1:\d+ and 127\.0\.0\.1:9, and tunnel 1 is there: give one",
        ):
            await plane.perform(create_tunnel(same, 5))
        await plane.perform(DeleteTunnel(tunnel_id=1))
        await plane.perform(create_tunnel(same, 5))
    assert [1, 1, 5] == [operation.tunnel_id for operation in far.log]


@pytest.mark.parametrize(
    ("release", "exclusive"),
    [("6.10.9", True), ("6.11.0-rc1", False), ("6.12.95+deb13", False), ("7.0", False), ("unheard of", True)],
)
async def test_new_kernels_share_paths(far: Any, sock: socket.socket, release: str, exclusive: bool) -> None:
    """From Linux 6.11 on two tunnels may share addresses and ports."""
    with closing(LinuxPlane(far, release)) as plane, connected(sock.getsockname()[1]) as same:
        assert exclusive is plane.exclusive_paths
        if not exclusive:
            await plane.perform(create_tunnel(sock))
            await plane.perform(create_tunnel(same, 5))
            assert 2 == len(far.log)


async def test_a_socket_that_is_closed(plane: LinuxPlane, far: Far, sock: socket.socket) -> None:
    """A tunnel that ended before its turn came is refused, whatever has its descriptor's number now."""
    sock.close()
    with pytest.raises(PlaneError, match="tunnel 1 has no socket any more"):
        await plane.perform(create_tunnel(sock))
    with pytest.raises(PlaneError, match="tunnel 1 has no socket any more"):
        await plane.perform(CreateTunnel(tunnel_id=1, peer_tunnel_id=2))
    assert [] == far.log


async def test_a_socket_that_is_not_connected(plane: LinuxPlane) -> None:
    """The kernel would send to nobody."""
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as loose,
        pytest.raises(PlaneError, match="the tunnel's socket: "),
    ):
        await plane.perform(create_tunnel(loose))


async def test_totals_never_fall(
    plane: LinuxPlane, far: Far, sock: socket.socket, channels: list[socket.socket]
) -> None:
    """What tunnels count of packets and sessions of errors is added up, of ours alone; what has ended still counts, even if the kernel lost it."""
    assert {} == await plane.totals()
    for operation in (create_tunnel(sock), CREATE, attrs.evolve(CREATE, session_id=4)):
        await plane.perform(operation)
    both = {"tx_packets": 100, "rx_errors": 2}
    assert both == await plane.totals()
    await plane.perform(DELETE)
    assert {"tx_packets": 100, "rx_errors": 2} == await plane.totals()
    far.refusals = {DeleteTunnel: PlaneError(errno.ENODEV, "gone")}
    await plane.perform(DeleteTunnel(tunnel_id=1))
    del far.refusals[DeleteTunnel]
    assert both == await plane.totals()
    await plane.perform(create_tunnel(sock))
    assert {"tx_packets": 200, "rx_errors": 2} == await plane.totals()


async def test_totals_of_what_the_kernel_lost(
    plane: LinuxPlane, far: Far, sock: socket.socket, channels: list[socket.socket]
) -> None:
    """Counters that cannot be read any more stay as they were last seen; what is not ours any more when its turn comes is passed over."""
    for operation in (create_tunnel(sock), CREATE):
        await plane.perform(operation)
    seen = {"tx_packets": 100, "rx_errors": 1}
    assert seen == await plane.totals()
    gone = PlaneError(errno.ENODEV, "gone")
    far.refusals = {DeleteSession: gone, DeleteTunnel: gone}
    plane._look([(1, 99), (7, 0), (7, 2)])
    assert seen == await plane.totals()


async def test_totals_of_many(plane: LinuxPlane, far: Far, sock: socket.socket, channels: list[socket.socket]) -> None:
    """They are read in several lots, and every session counts once."""
    await plane.perform(create_tunnel(sock))
    many = 2 * netlink._LOT + 1
    for number in range(1, many + 1):
        await plane.perform(attrs.evolve(CREATE, session_id=number))
    assert {"tx_packets": 100, "rx_errors": many} == await plane.totals()


async def test_statistics_are_as_the_kernel_says(
    plane: LinuxPlane, sock: socket.socket, channels: list[socket.socket]
) -> None:
    """Of a tunnel and of a session, as they are."""
    for operation in (create_tunnel(sock), CREATE):
        await plane.perform(operation)
    assert {"tx_packets": 100, "rx_errors": 1000} == await plane.statistics(1)
    assert {"tx_packets": 10, "rx_errors": 1} == await plane.statistics(1, 2)


async def test_changes(plane: LinuxPlane, far: Far, sock: socket.socket, channels: list[socket.socket]) -> None:
    """A session of ours is changed, and no other; the kernel's words stand behind ours."""
    change = ModifySession(tunnel_id=1, session_id=2, sequencing=True)
    with pytest.raises(PlaneError, match=r"^the kernel has no session 1/2 of ours$"):
        await plane.perform(change)
    for operation in (create_tunnel(sock), CREATE, change):
        await plane.perform(operation)
    assert change == far.log[-1]
    far.refusals = {ModifySession: PlaneError(errno.EINVAL, "no")}
    with pytest.raises(PlaneError, match=r"^the kernel refused to change session 1/2: no$"):
        await plane.perform(change)


async def test_an_id_that_is_taken(plane: LinuxPlane, far: Far, sock: socket.socket) -> None:
    """The number of the refusal is the one for which another id is drawn."""
    await plane.perform(create_tunnel(sock))
    far.refusals = {CreateSession: PlaneError(errno.EEXIST, "File exists")}
    with pytest.raises(PlaneError, match="the kernel refused session 1/2: it has a session of this id") as refused:
        await plane.perform(CREATE)
    assert errno.EEXIST == refused.value.errno


class Slow(Far):
    """A kernel that takes its time to end a tunnel: so many creates find what they need still taken."""

    def __init__(self, attempts: int) -> None:
        """Refuse so many creates after a delete."""
        super().__init__()
        self.attempts = attempts
        self._left = 0

    def carry_out(self, operation: Operation, *, descriptor: int = -1, version: int = 2) -> None:
        """Take note of a request, and refuse it as long as it has to be."""
        super().carry_out(operation, descriptor=descriptor, version=version)
        if isinstance(operation, DeleteTunnel):
            self._left = self.attempts
        elif self._left:
            self._left -= 1
            raise PlaneError(errno.EEXIST, "File exists")


async def test_what_is_about_to_go_is_waited_for(sock: socket.socket) -> None:
    """A tunnel that comes back under its number is made as soon as the kernel has done with the first; a number of somebody else's is refused at once."""
    far: Any = Slow(3)
    with closing(LinuxPlane(far, "6.12")) as plane:
        for operation in (create_tunnel(sock), DeleteTunnel(tunnel_id=1), create_tunnel(sock)):
            await plane.perform(operation)
        assert [CreateTunnel, DeleteTunnel, *[CreateTunnel] * 4] == [type(operation) for operation in far.log]
        await plane.perform(DeleteTunnel(tunnel_id=1))
        with pytest.raises(PlaneError, match="the kernel refused tunnel 5: File exists"):
            await plane.perform(create_tunnel(sock, 5))
        assert 8 == len(far.log)


def test_ends_of_a_socket() -> None:
    """The zone of a link-local address stays with it."""
    assert ("192.0.2.1", 1701) == netlink._end(("192.0.2.1", 1701))
    assert ("2001:db8::1", 1701) == netlink._end(("2001:db8::1", 1701, 0, 0))
    assert ("fe80::1%3", 1701) == netlink._end(("fe80::1", 1701, 0, 3))


def test_paths_in_words() -> None:
    """IPv6 addresses stand in brackets."""
    assert ["192.0.2.1:1701", "[2001:db8::1]:1701"] == [
        netlink._shown((host, 1701)) for host in ("192.0.2.1", "2001:db8::1")
    ]


class Socket:
    """A netlink socket that gives these readings."""

    def __init__(self, *readings: bytes) -> None:
        """Give one reading after the other."""
        self._readings = list(readings)
        self.closed = False

    def send(self, _data: bytes) -> None:
        """Take a request."""

    def recv_into(self, buffer: memoryview) -> int:
        """Give the next reading."""
        reading = self._readings.pop(0)
        buffer[: len(reading)] = reading
        return len(reading)

    take_into = recv_into

    def close(self) -> None:
        """Take no more."""
        self.closed = True


def answering(monkeypatch: pytest.MonkeyPatch, *readings: bytes) -> Netlink:
    """Return a netlink that reads these answers, the first of them to the question for the family."""
    monkeypatch.setattr(nlsock, "_opened", lambda _protocol: Socket(*readings))
    return Netlink()


def answer(kind: int, sequence: int, body: bytes, flags: int = 0) -> bytes:
    """Return one message from the kernel."""
    import struct  # noqa: PLC0415

    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


FAMILY = answer(16, 1, bytes.fromhex("01010000") + bytes.fromhex("060001001c000000"))
ACK = bytes(20)


def test_a_dump_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """All parts belong to the answer until the kernel says that it is done."""
    parts = [answer(28, 2, genl.query(28, 2, number)[16:], 2) for number in (5, 6)]
    made = answering(monkeypatch, FAMILY + answer(2, 1, ACK), *parts, answer(3, 2, bytes(4), 2))
    assert [5, 6] == [facts.tunnel_id for facts in made.tunnels()]


def test_a_kernel_without_l2tp(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that there is no such family, and the socket is closed."""
    sock = Socket(answer(2, 1, (-errno.ENOENT).to_bytes(4, "little", signed=True) + bytes(16)))
    monkeypatch.setattr(nlsock, "_opened", lambda _protocol: sock)
    with pytest.raises(PlaneError, match="No such file or directory"):
        Netlink()
    assert sock.closed
