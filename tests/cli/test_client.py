"""The client of the control socket, against daemons that misbehave."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from l2tpctl.client import connected
from l2tpctl.errors import CommandError, Disconnected, NotAllowed, NotRunning

Serve = Callable[[trio.SocketStream], Awaitable[None]]


async def call(nursery: trio.Nursery, tmp_path: Path, serve: Serve, *, pages: bool = False) -> object:
    """Call a method of a daemon that answers with what `serve` sends, and then closes."""
    path = tmp_path / "control.sock"
    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(os.fspath(path))
    listening.listen()

    async def daemon() -> None:
        accepted, _ = await listening.accept()
        async with trio.SocketStream(accepted) as stream:
            await stream.receive_some()
            await serve(stream)

    with listening:
        nursery.start_soon(daemon)
        async with connected(path) as client:
            if not pages:
                return await client.call("tunnel.list", {})
            await client.call_pages("tunnel.list", {}, lambda _: None)
    return None


def says(*lines: bytes) -> Serve:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(b"".join(lines))

    return serve


async def test_notifications_before_the_answer_are_kept_apart(nursery: trio.Nursery, tmp_path: Path) -> None:
    """The answer is the one with the request's id; an event that comes first is no answer."""
    event = b'{"jsonrpc":"2.0","method":"event","params":{"object":"tunnel"}}\n'
    other = b'{"jsonrpc":"2.0","id":99,"result":"another"}\n'
    assert 7 == await call(nursery, tmp_path, says(event, other, b'{"jsonrpc":"2.0","id":1,"result":7}\n'))


async def test_a_daemon_that_ends_before_it_answers_is_told(nursery: trio.Nursery, tmp_path: Path) -> None:
    """At once, or in the middle of its answer."""
    with pytest.raises(Disconnected):
        await call(nursery, tmp_path, says(b'{"jsonrpc":"2.0","id":1,'))


@pytest.mark.parametrize("line", [b"garbage\n", b'{"id":1,"error":7}\n', b"\xff\n"])
async def test_an_answer_that_is_none_is_told(nursery: trio.Nursery, tmp_path: Path, line: bytes) -> None:
    """In a sentence, without a traceback."""
    with pytest.raises(CommandError, match="answer cannot be read"):
        await call(nursery, tmp_path, says(line))


async def test_an_error_of_the_daemon_is_its_sentence(nursery: trio.Nursery, tmp_path: Path) -> None:
    """As the daemon put it; also when it turns us away before we asked."""
    with pytest.raises(CommandError, match="too many control connections"):
        await call(
            nursery,
            tmp_path,
            says(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"too many control connections"}}\n'),
        )


async def test_no_daemon_is_told_whatever_is_there_instead(tmp_path: Path) -> None:
    """No file, a file that is no socket, a stale socket, a directory in the way."""
    (tmp_path / "file").touch()
    stale = tmp_path / "stale.sock"
    with trio.socket.socket(trio.socket.AF_UNIX) as left:
        await left.bind(os.fspath(stale))
    for path in (tmp_path / "none", tmp_path / "file", stale, tmp_path / "file" / "x"):
        with pytest.raises(NotRunning):
            async with connected(path):
                raise AssertionError("it connected")
    with pytest.raises(CommandError, match="cannot connect"):
        async with connected(tmp_path / ("x" * 200)):
            raise AssertionError("it connected")


async def test_a_list_that_is_none_is_told(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A daemon that answers a list method with a number."""
    with pytest.raises(CommandError, match="something else than a list"):
        await call(nursery, tmp_path, says(b'{"jsonrpc":"2.0","id":1,"result":7}\n'), pages=True)


def test_who_may_not_connect_is_told_who_may() -> None:
    """The group by name, or that there is none."""
    path = Path("/run/l2tpd/control.sock")
    assert (
        "you may not use the control socket /run/l2tpd/control.sock: root and members of the group `l2tp` may"
        == str(NotAllowed(path, "l2tp"))
    )
    assert str(NotAllowed(path, "")).endswith(": only root may")
