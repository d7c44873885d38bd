"""The control socket over a real Unix socket: its rights, its answers, and clients that mean no good."""

import contextlib
import errno
import json
import os
import shutil
import socket
import stat
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from control.double import SESSION_DOWN, TUNNEL_UP, Double, example
from heap import small
from l2tpd import log
from l2tpd.config.model import Address, Encapsulation
from l2tpd.control import server
from l2tpd.control.jsonrpc import (
    BUSY,
    CONFIG_ERROR,
    FORBIDDEN,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    MAX_LINE,
    NOT_FOUND,
    PARSE_ERROR,
    REFUSED,
)
from l2tpd.errors import Problem, StartupError
from l2tpd.passed import Passed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


@pytest.fixture
def double() -> Double:
    return example()


@contextlib.asynccontextmanager
async def serving(
    double: Double, path: Path, owner: str = "", group: str = "", mode: int = 0o660
) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(server.serve, double, path, owner, group, mode))
        yield
        nursery.cancel_scope.cancel()


class Peer:
    """A client that sends what it likes and reads lines."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.held = b""

    async def send(self, octets: bytes) -> None:
        await self.stream.send_all(octets)

    async def line(self) -> Any:
        with trio.fail_after(20):
            while b"\n" not in self.held:
                received = await self.stream.receive_some()
                if not received:
                    return None
                self.held += received
        line, _, self.held = self.held.partition(b"\n")
        return json.loads(line)

    async def ask(self, method: str, **params: object) -> Any:
        await self.send(request(method, **params))
        return await self.line()


def request(method: str, **params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n"


@contextlib.asynccontextmanager
async def client(path: Path) -> AsyncIterator[Peer]:
    async with await trio.open_unix_socket(os.fspath(path)) as stream:
        yield Peer(stream)


class Credentials:
    """Says that every peer is a given user: a test cannot connect as every user there is."""

    size = 12

    def __init__(self, uid: int) -> None:
        self.uid = uid

    def unpack(self, _octets: bytes) -> tuple[int, int, int]:
        return (1, self.uid, self.uid)


# --- the socket


async def test_the_socket_has_its_rights_when_it_appears_and_is_gone_afterwards(double: Double, path: Path) -> None:
    """Mode, owner and group are as asked, its directory is made, nothing else is left in it."""
    async with serving(double, path, owner=str(os.geteuid()), group=str(os.getegid()), mode=0o640):
        made = path.stat()
        assert (0o640, os.geteuid(), os.getegid()) == (stat.S_IMODE(made.st_mode), made.st_uid, made.st_gid)
        assert [path] == list(path.parent.iterdir())
    assert [] == list(path.parent.iterdir())


async def test_the_mode_does_not_depend_on_the_umask(double: Double, path: Path) -> None:
    """A umask that allows everything leaves the socket as closed as was asked for."""
    before = os.umask(0)
    try:
        async with serving(double, path, mode=0o600):
            assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    finally:
        os.umask(before)


async def test_a_stale_socket_is_replaced(double: Double, path: Path) -> None:
    """What a killed daemon left behind does not prevent the next one."""
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(os.fspath(path))
    async with serving(double, path), client(path) as peer:
        assert "0.1" == (await peer.ask("system.show"))["result"]["version"]


def startup_error(caught: BaseException) -> StartupError:
    while isinstance(caught, BaseExceptionGroup):
        (caught,) = caught.exceptions
    assert isinstance(caught, StartupError)
    return caught


async def refused(double: Double, path: Path, **more: Any) -> str:
    with pytest.raises((StartupError, ExceptionGroup)) as caught:
        async with serving(double, path, **more):
            raise AssertionError("it started")
    return str(startup_error(caught.value))


async def test_a_second_daemon_is_refused_and_the_first_keeps_its_socket(double: Double, path: Path) -> None:
    """The sentence says that another l2tpd is running; the first still answers."""
    async with serving(double, path):
        assert f"another l2tpd is running: it answers on {path}" == await refused(Double(), path)
        async with client(path) as peer:
            assert "result" in await peer.ask("system.show")


async def test_a_file_of_that_name_is_not_replaced(double: Double, path: Path) -> None:
    """Somebody's file is not ours to remove."""
    path.parent.mkdir()
    path.write_text("precious")
    assert "there is something else of that name" in await refused(double, path)
    assert "precious" == path.read_text()


async def test_a_socket_that_cannot_be_made_is_told_in_a_sentence(double: Double, path: Path, tmp_path: Path) -> None:
    """A path that is too long, a directory that is a file, a user or group that does not exist."""
    assert "longer than 107 octets" in await refused(double, tmp_path / ("x" * 120))
    directory = tmp_path / ("x" * (server.MAX_PATH - len(os.fsencode(tmp_path)) - 3))
    assert "path too long" in await refused(
        double, directory / "s"
    )  # it would fit, but not the name that it has at first
    (tmp_path / "file").touch()
    assert "cannot make the control socket" in await refused(double, tmp_path / "file" / "control.sock")
    assert "there is no such user" in await refused(double, path, owner="no-such-user")
    assert "there is no such group" in await refused(double, path, group="no-such-group")


async def test_a_socket_whose_rights_cannot_be_set_never_appears(
    double: Double, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that may not give the socket away says so, and leaves nothing behind."""

    def chown(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chown", chown)
    assert "cannot give the control socket to system.control_owner" in await refused(double, path, owner="0")
    assert [] == list(path.parent.iterdir())


async def test_a_socket_that_was_removed_is_made_anew(double: Double, path: Path, mock_clock: MockClock) -> None:
    """With its directory and its rights; who is connected stays so. What prevents it is said once, and it is tried again."""
    log.configure("info")
    log.ring.clear()

    async def look(times: int = 1) -> None:
        for _ in range(times):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(server.LOOK)
        await trio.testing.wait_all_tasks_blocked()

    async with serving(double, path, mode=0o600), client(path) as old:
        shutil.rmtree(path.parent)
        path.parent.write_text("in the way")
        await look(3)
        path.parent.unlink()
        await look()
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)
        async with client(path) as new:
            for peer in (old, new):
                assert "result" in await peer.ask("system.show")
    assert [] == list(path.parent.iterdir())
    said = [line.text for line in log.ring.lines()]
    assert ["cannot make the control socket", "the control socket was removed"] == [line[:30] for line in said]


async def test_another_daemons_socket_is_not_removed_at_the_end(double: Double, path: Path) -> None:
    """If somebody else's socket has taken the place of ours, it stays."""
    with socket.socket(socket.AF_UNIX) as other:
        async with serving(double, path):
            path.unlink()
            other.bind(os.fspath(path))
        assert path.is_socket()


# --- answers


async def test_requests_are_read_into_small_rooms(double: Double, path: Path) -> None:
    """Few are large."""
    async with serving(double, path), client(path) as peer:
        await peer.ask("system.show")
        with small():
            await peer.send(b"{}\n")
            answer = await peer.stream.receive_some(4096)
        assert b"error" in answer


async def test_requests_are_answered_in_their_order(double: Double, path: Path) -> None:
    """Several in one write, each with its id; what is no request is answered with its error and the connection goes on."""
    async with serving(double, path), client(path) as peer:
        await peer.send(
            b'{"jsonrpc":"2.0","id":1,"method":"system.show"}\n'
            b"garbage\n"
            b'{"jsonrpc":"2.0","method":"drain.set","params":{"drain":true}}\n'
            b'{"jsonrpc":"2.0","id":"two","method":"tunnel.show","params":{"tunnel":"nope"}}\n'
            b'{"jsonrpc":"2.0","id":3,"method":"tunnel.list"}\n'
        )
        answers = [await peer.line() for _ in range(4)]
    assert [1, None, "two", 3] == [answer["id"] for answer in answers]
    assert [None, PARSE_ERROR, NOT_FOUND, None] == [answer.get("error", {}).get("code") for answer in answers]
    assert double.drain


async def test_mistakes_of_the_configuration_are_answered_one_by_one(double: Double, path: Path) -> None:
    """The error's data lists file, key and sentence of each."""
    double.problems = (Problem("a.toml", "system.x", "unknown"), Problem("b.toml", "", "not TOML"))
    async with serving(double, path), client(path) as peer:
        error = (await peer.ask("config.reload"))["error"]
    assert CONFIG_ERROR == error["code"]
    assert "a.toml: system.x: unknown\nb.toml: not TOML" == error["message"]
    assert {"file": "b.toml", "key": "", "text": "not TOML"} == error["data"][1]


async def test_a_refusal_of_the_state_is_answered(double: Double, path: Path) -> None:
    """What the protocol's state forbids is refused, and is no bug."""
    double.add_tunnel(1, "old", "closing")
    async with serving(double, path), client(path) as peer:
        assert REFUSED == (await peer.ask("tunnel.delete", tunnel="old"))["error"]["code"]
    assert [] == double.crashes


async def test_a_bug_in_one_method_ends_nothing(double: Double, path: Path) -> None:
    """The client is told of an internal error and nothing of the inside, the daemon logs it, and both go on."""
    double.log[-1] = double.log[-1].__class__(time=0.0, level="notice", text="clearing this log is a bug")
    async with serving(double, path), client(path) as peer:
        error = (await peer.ask("log.clear"))["error"]
        assert "result" in await peer.ask("system.show")
    assert INTERNAL_ERROR == error["code"]
    assert "ZeroDivision" not in error["message"]
    assert [("control method log.clear", ZeroDivisionError)] == [(where, type(bug)) for where, bug in double.crashes]


# --- rights


@pytest.mark.parametrize(("uid", "allowed"), [(0, True), (4711, True), (4712, False)])
async def test_root_and_the_owner_may_write_and_others_read(
    double: Double, path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, allowed: bool
) -> None:
    """Whoever can connect may read; the socket's owner, root and the daemon's user may write."""
    monkeypatch.setattr(server, "_PEERCRED", Credentials(uid))
    monkeypatch.setattr(server, "_uid", lambda _owner: 4711)
    monkeypatch.setattr(os, "chown", lambda *_: None)
    async with serving(double, path, owner="somebody"), client(path) as peer:
        assert "result" in await peer.ask("tunnel.list")
        answer = await peer.ask("drain.set", drain=True)
    assert (allowed, allowed) == ("result" in answer, double.drain)
    assert allowed or FORBIDDEN == answer["error"]["code"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_the_kernel_tells_who_the_client_is(double: Double, path: Path) -> None:
    """A process that became user 65534 and connects for real may read and may not write."""
    # It enters the directory while it is still root: the directories above are closed to others.
    script = (
        "import os,socket,sys\n"
        "os.chdir(sys.argv[1]); os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect('control.sock'); f = s.makefile('rwb')\n"
        'f.write(b\'{"jsonrpc":"2.0","id":1,"method":"drain.set","params":{"drain":true}}\\n\'); f.flush()\n'
        "sys.stdout.buffer.write(f.readline())\n"
    )
    async with serving(double, path, mode=0o666):
        done = await trio.run_process([sys.executable, "-c", script, os.fspath(path.parent)], capture_stdout=True)
    assert FORBIDDEN == json.loads(done.stdout)["error"]["code"]


async def test_one_user_cannot_take_all_connections(
    double: Double, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary user's seventeenth connection is refused with a sentence; root still gets in, and places become free again."""
    credentials = Credentials(4712)
    monkeypatch.setattr(server, "_PEERCRED", credentials)
    async with serving(double, path), contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(client(path)) for _ in range(server.MAX_CONNECTIONS_PER_USER)]
        for peer in peers:
            assert "result" in await peer.ask("system.show")
        async with client(path) as late:
            assert BUSY == (await late.line())["error"]["code"]
            assert await late.line() is None
        credentials.uid = 0
        async with client(path) as root:
            assert "result" in await root.ask("system.show")
        credentials.uid = 4712
        await peers[0].stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        async with client(path) as next_one:
            assert "result" in await next_one.ask("system.show")


async def test_many_users_cannot_take_all_connections(
    double: Double, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them has fewer than it may; the forty-ninth of all is refused, and root still gets in."""
    credentials = Credentials(0)
    monkeypatch.setattr(server, "_PEERCRED", credentials)
    async with serving(double, path), contextlib.AsyncExitStack() as stack:
        for number in range(server.MAX_CONNECTIONS_OF_USERS):
            credentials.uid = 4712 + number // 12
            peer = await stack.enter_async_context(client(path))
            assert "result" in await peer.ask("system.show")
        credentials.uid = 9999
        async with client(path) as late:
            assert BUSY == (await late.line())["error"]["code"]
        credentials.uid = 0
        async with client(path) as root:
            assert "result" in await root.ask("system.show")


async def test_connections_are_capped_for_everyone(double: Double, path: Path) -> None:
    """The sixty-fifth connection is refused, even root's."""
    async with serving(double, path), contextlib.AsyncExitStack() as stack:
        for _ in range(server.MAX_CONNECTIONS):
            peer = await stack.enter_async_context(client(path))
            assert "result" in await peer.ask("system.show")
        async with client(path) as late:
            assert BUSY == (await late.line())["error"]["code"]


# --- clients that mean no good


async def pour(peer: Peer, octets: bytes, most: int) -> int:
    """Send the same again and again until the daemon closes the connection; returns how many octets went out."""
    for sent in range(0, most, len(octets)):
        try:
            await peer.send(octets)
        except trio.BrokenResourceError:
            return sent
    raise AssertionError("the connection stayed open")


async def test_a_line_without_end_closes_the_connection(double: Double, path: Path) -> None:
    """Of a gigabyte on one line no more than the limit is taken; the client is told why and dropped."""
    async with serving(double, path), client(path) as peer:
        sent = await pour(peer, b"x" * 65536, 1 << 30)
        assert sent < MAX_LINE + (1 << 20)
        async with client(path) as other:
            assert "result" in await other.ask("system.show")


async def test_the_reason_for_closing_is_told(double: Double, path: Path) -> None:
    """A line just over the limit is answered before the connection ends."""
    async with serving(double, path), client(path) as peer:
        await peer.send(b"x" * (MAX_LINE + 1))
        assert INVALID_REQUEST == (await peer.line())["error"]["code"]
        assert await peer.line() is None
        assert 1 == double.too_long


async def test_half_a_line_may_wait_for_ever_and_hurts_nobody(
    double: Double, path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A client that stops in the middle of a line is left alone, an idle one too; others are served, and it may go on."""
    async with serving(double, path), client(path) as half, client(path) as other:
        text = request("system.show")
        await half.send(text[:20])
        assert "result" in await other.ask("system.show")
        await half.send(text[20:])
        assert "result" in await half.line()


async def test_an_answer_that_nobody_reads_ends_the_connection(
    double: Double, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that asks on and on and never reads is dropped when an answer was not taken in time; others notice nothing."""
    monkeypatch.setattr(server, "REPLY_TIMEOUT", 0.2)
    for number in range(1000, 2000):
        double.add_tunnel(number, f"tunnel-{number}")
    async with serving(double, path), client(path) as deaf, client(path) as other:
        with trio.fail_after(20):
            await pour(deaf, request("tunnel.list"), 1 << 30)
        assert "result" in await other.ask("system.show")


async def test_a_client_may_vanish_at_any_moment(double: Double, path: Path) -> None:
    """After any number of octets of a request, or with its answer unread, and the daemon serves the next one."""
    whole = request("tunnel.list") + request("events.subscribe") + b"garbage\n"
    async with serving(double, path):
        for length in range(0, len(whole), 7):
            async with client(path) as peer:
                await peer.send(whole[:length])
            double.bus.publish(TUNNEL_UP)
        async with client(path) as last:
            assert "result" in await last.ask("system.show")
        assert [] == double.crashes
    assert [] == double.bus.subscribers


async def test_garbage_is_answered_with_errors(double: Double, path: Path) -> None:
    """NUL, broken UTF-8, deep nesting, huge numbers: each line has its error, the connection goes on."""
    lines = [b"\x00", b"\xff", b"[" * 100_000, b"9" * 50_000, b"{}", b'"x"', b'{"jsonrpc":"2.0","method":[],"id":1}']
    async with serving(double, path), client(path) as peer:
        for line in lines:
            await peer.send(line + b"\n")
            assert "error" in await peer.line()
        assert "result" in await peer.ask("system.show")


async def test_a_watcher_that_goes_away_under_load_is_forgotten(double: Double, path: Path) -> None:
    """Its connection ends when an event cannot be sent, and so does its subscription."""
    async with serving(double, path), client(path) as other:
        async with client(path) as peer:
            await peer.ask("events.subscribe")
            for _ in range(5000):
                double.bus.publish(TUNNEL_UP)
                await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        assert [] == double.bus.subscribers
        assert "result" in await other.ask("system.show")


async def test_others_are_served_while_one_client_floods(double: Double, path: Path) -> None:
    """Requests take turns: a client with a thousand requests queued does not make another wait for them all."""
    flood = request("tunnel.list") * 1000
    async with serving(double, path), client(path) as busy, client(path) as other, trio.open_nursery() as nursery:
        read = 0
        begun = trio.Event()

        async def reading() -> None:
            nonlocal read
            while await busy.line() is not None:
                read += 1
                begun.set()

        nursery.start_soon(busy.send, flood)
        nursery.start_soon(reading)
        await begun.wait()
        for _ in range(20):
            assert "result" in await other.ask("system.show")
        assert read < 500
        nursery.cancel_scope.cancel()


# --- events


async def test_events_follow_a_subscription(double: Double, path: Path) -> None:
    """First the answer, then a notification an event, while requests go on being answered."""
    async with serving(double, path), client(path) as peer:
        answer = await peer.ask("events.subscribe", session=["down"])
        assert ["down"] == answer["result"]["session"]
        double.bus.publish(TUNNEL_UP)
        double.bus.publish(SESSION_DOWN)
        told = [await peer.line(), await peer.line()]
        assert "result" in await peer.ask("system.show")
    assert [("event", "tunnel", "up"), ("event", "session", "down")] == [
        (line["method"], line["params"]["object"], line["params"]["what"]) for line in told
    ]
    assert SESSION_DOWN.message == told[1]["params"]["message"]
    assert all("id" not in line for line in told)


async def test_a_connection_subscribes_once(double: Double, path: Path) -> None:
    """A second subscription is refused and leaves nothing behind."""
    async with serving(double, path), client(path) as peer:
        await peer.ask("events.subscribe")
        assert REFUSED == (await peer.ask("events.subscribe"))["error"]["code"]
        assert 1 == len(double.bus.subscribers)


async def test_a_watcher_that_does_not_read_loses_events_and_is_told_how_many(double: Double, path: Path) -> None:
    """Ten thousand events for a sleeping watcher: what fits waits, the rest is one gap with its length, and the sum is right."""
    async with serving(double, path), client(path) as peer:
        await peer.ask("events.subscribe")
        (queue,) = double.bus.subscribers
        for published in range(10_000):
            double.bus.publish(TUNNEL_UP)
            assert len(queue._waiting) + len(queue._taken) <= queue.size  # of which one may be a gap
            if published % 100 == 0:
                await trio.testing.wait_all_tasks_blocked()
        heard = lost = 0
        while heard + lost < 10_000:
            params = (await peer.line())["params"]
            lost += params["count"] if params["object"] == "lost" else 0
            heard += params["object"] == "tunnel"
        assert 10_000 == heard + lost
        assert lost > 0


async def test_captured_messages_are_not_kept(double: Double, path: Path) -> None:
    """Nobody else is told the same of them, and they are large: when they have been sent the daemon knows them no longer."""
    here, there = Address("192.0.2.1", 1701), Address("192.0.2.2", 1701)

    def passed(number: int) -> Passed:
        return Passed(float(number), "in", bytes(20), here, there, Encapsulation.UDP, 0, "", b"")

    async with serving(double, path), client(path) as peer:
        await peer.ask("capture.start")
        first = passed(0)
        before = sys.getrefcount(first)
        double.tap.offer(first)
        assert 0 == (await peer.line())["params"]["time"]
        double.tap.offer(passed(1))  # for the task that tells them has the last ones at hand
        assert 1 == (await peer.line())["params"]["time"]
        await trio.testing.wait_all_tasks_blocked()
        assert before == sys.getrefcount(first)


async def test_the_end_of_the_events_ends_the_connection(double: Double, path: Path) -> None:
    """When the bus closes, a watcher's connection does, after the last event."""
    async with serving(double, path), client(path) as peer:
        await peer.ask("events.subscribe")
        double.bus.publish(TUNNEL_UP)
        double.bus.close()
        assert "event" == (await peer.line())["method"]
        assert await peer.line() is None


async def test_the_end_of_the_daemon_ends_every_connection(double: Double, path: Path) -> None:
    """Cancelling the server closes idle, half-way and watching clients alike."""
    async with contextlib.AsyncExitStack() as stack:
        async with serving(double, path):
            peers = [await stack.enter_async_context(client(path)) for _ in range(3)]
            await peers[0].send(b'{"half')
            await peers[1].ask("events.subscribe")
        for peer in peers:
            assert await peer.line() is None
