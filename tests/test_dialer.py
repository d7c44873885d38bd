"""The tunnels that we open ourselves: dialled, dialled again, given up."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from l2tpd.config.model import Address, Role
from l2tpd.config.resolve import session_settings
from l2tpd.daemon import Daemon
from l2tpd.dialer import RESOLVERS
from l2tpd.errors import LocalProtocolError
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.states import State
from l2tpd.wire.header import build_control
from pair import (
    ANYBODY,
    QUICK,
    Stage,
    address,
    call,
    calls,
    carried,
    free_port,
    listen,
    other_end,
    session,
    stage,
    tunnel,
    udp,
    until,
    up,
)

Found = list[tuple[socket.AddressFamily, int, int, str, tuple[str, int]]]

PATIENCE = 20.0
"""Seconds after which a thread of a test gives up, whatever happens."""


async def pair(on: Stage, keys: str = QUICK, sessions: str = "") -> tuple[Daemon, Daemon]:
    """Return an LNS, and a LAC whose tunnel `t` is up at both ends."""
    port = free_port()
    lns = await on.start("lns", listen(port) + ANYBODY)
    lac = await on.start("lac", calls("t", port, keys) + sessions)
    await until(lambda: up(lac, "t") and any(found.core.was_up for found in lns.registry))
    return lns, lac


def hang_up(daemon: Daemon) -> None:
    """Stop all tunnels of a daemon."""
    for found in daemon.registry:
        found.close(1, "enough")


def end_calls(daemon: Daemon) -> None:
    """End all sessions of a daemon, and keep the tunnels."""
    for found in daemon.registry:
        for each in list(found.core.calls.values()):
            found.core.close_session(each.local_id, trio.current_time(), "enough")
        found.flush()


# --- persistence


async def test_dialled_again_after_a_stop(tmp_path: Path) -> None:
    """A persistent tunnel whose peer says StopCCN comes again, under another id, with the reason on record."""
    async with stage(tmp_path) as on:
        lns, lac = await pair(on)
        first = tunnel(lac, "t")
        hang_up(lns)
        await until(lambda: tunnel(lac, "t") is not first and up(lac, "t"))
        assert first.core.local_id != tunnel(lac, "t").core.local_id
        ending = lac.dialer.lines["t"].last_ending
        assert ending is not None
        assert (1, "enough", "peer") == (ending.result, ending.message, ending.by)


async def test_dialled_again_after_a_dead_peer(tmp_path: Path) -> None:
    """Nobody answers: attempt follows attempt, until somebody does."""
    async with stage(tmp_path) as on:
        with udp() as silent:
            port = silent.getsockname()[1]
            lac = await on.start("lac", calls("t", port))
            await until(lambda: lac.dialer.lines["t"].attempts >= 3)
        await on.start("lns", listen(port) + ANYBODY)
        await until(lambda: up(lac, "t"))


async def test_a_line_that_is_not_persistent_goes(tmp_path: Path) -> None:
    """It is dialled once; when its tunnel ends, line and name are gone."""
    async with stage(tmp_path) as on:
        lns, lac = await pair(on, QUICK + "persist = false\n")
        hang_up(lns)
        await until(lambda: "t" not in lac.dialer.lines)
        assert [] == lac.registry.names()


async def test_thousands_of_attempts(tmp_path: Path) -> None:
    """Doubling a thousand times is more than a float can hold; the pause is the longest allowed all the same."""
    async with stage(tmp_path) as on:
        with udp() as silent:
            lac = await on.start("lac", calls("t", silent.getsockname()[1]))
            line = lac.dialer.lines["t"]
            line.attempts = 5000
            await until(lambda: line.attempts >= 5003)
            delay = lac.dialer._delay(line.instance, 5000)
            assert 0.1 <= delay <= 0.1 * 1.25
        assert 0 == lac.crashes


async def test_pauses_double_up_to_the_longest(tmp_path: Path) -> None:
    """1, 2, 4, ... up to `redial_delay_max`, each spread by at most a quarter."""
    async with stage(tmp_path) as on:
        lac = await on.start("lac", calls("t", 9, "redial_delay = 1\nredial_delay_max = 5\n"))
        instance = lac.dialer.lines["t"].instance
        for attempts, pause in ((0, 1), (1, 1), (2, 2), (3, 4), (4, 5), (99, 5)):
            assert pause <= lac.dialer._delay(instance, attempts) <= pause * 1.25


async def test_a_peer_that_flaps_is_called_ever_slower(tmp_path: Path) -> None:
    """A tunnel that is up and dropped at once does not count as success: the attempts go on counting."""
    async with stage(tmp_path) as on:
        lns, lac = await pair(on, "redial_delay = 0.01\nredial_delay_max = 10\n")
        for number in (2, 3):
            hang_up(lns)
            await until(lambda number=number: lac.dialer.lines["t"].attempts == number and up(lac, "t"))  # type: ignore[misc]
            await until(lambda: any(found.core.was_up for found in lns.registry))


async def test_a_name_that_is_taken(tmp_path: Path) -> None:
    """A name that is taken is refused, and the line that has it stays."""
    async with stage(tmp_path) as on:
        _, lac = await pair(on)
        first = lac.dialer.lines["t"]
        with pytest.raises(LocalProtocolError, match="a tunnel called `t` exists"):
            lac.dialer.place(first.instance, lac.config, configured=False)
        assert first is lac.dialer.lines["t"]


async def test_answers_to_what_was_never_asked(tmp_path: Path) -> None:
    """A line waits for its time; SCCRPs from its peer's address to its tunnel's id neither end it nor delay it."""
    mine = free_port()
    async with stage(tmp_path) as on:
        with udp() as silent:
            port = silent.getsockname()[1]
            keys = "retry_timeout = 0.05\nmax_retries = 1\nredial_delay = 0.5\nredial_delay_max = 0.5\n"
            lac = await on.start("lac", listen(mine) + calls("t", port, keys))
            line = lac.dialer.lines["t"]
            await until(lambda: line.last_ending and State.IDLE is line.tunnel.core.state)
            waiting, attempts = line.tunnel, line.attempts
            sccrp = build_control(waiting.core.local_id, 0, 0, 0, b"\x80\x08\0\0\0\0\0\x02")
            silent.sendto(sccrp, ("127.0.0.1", mine))
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert waiting is line.tunnel
            assert State.IDLE is waiting.core.state
        await on.start("lns", listen(port) + ANYBODY)
        await until(lambda: up(lac, "t"))
        assert attempts < line.attempts


# --- sessions


async def test_a_persistent_session_is_asked_for_again(tmp_path: Path) -> None:
    """The peer ends both sessions: the persistent one returns, the other one does not, and the tunnel never noticed."""
    async with stage(tmp_path) as on:
        lns, lac = await pair(on, sessions=session("t", "keep", "persist = true\n") + session("t", "once"))
        await until(lambda: carried(lac, "t", "keep") and carried(lac, "t", "once"))
        first, line = call(lac, "t", "keep"), tunnel(lac, "t")
        end_calls(lns)
        await until(lambda: call(lac, "t", "keep") is not first and carried(lac, "t", "keep"))
        assert call(lac, "t", "once") is None
        assert line is tunnel(lac, "t")
        assert {} == lac.dialer.lines["t"].session_attempts


async def test_all_sessions_come_with_the_next_tunnel(tmp_path: Path) -> None:
    """After a redial the tunnel has the sessions that it had, persistent or not."""
    async with stage(tmp_path) as on:
        lns, lac = await pair(on, sessions=session("t", "a", "persist = true\n") + session("t", "b"))
        await until(lambda: carried(lac, "t", "a") and carried(lac, "t", "b"))
        first = tunnel(lac, "t")
        hang_up(lns)
        await until(lambda: tunnel(lac, "t") is not first and carried(lac, "t", "a") and carried(lac, "t", "b"))


async def test_a_session_that_a_limit_refuses_comes_later(tmp_path: Path) -> None:
    """The peer took the last place for a while; once it is free again the persistent session has it."""
    keys = f"{QUICK}max_sessions = 2\n"
    async with stage(tmp_path) as on:
        lns, lac = await pair(on, keys, session("t", "a", "persist = true\n") + session("t", "b", "persist = true\n"))
        await until(lambda: carried(lac, "t", "a") and carried(lac, "t", "b"))
        remote = other_end(lns, tunnel(lac, "t"))
        a, now = call(lac, "t", "a"), trio.current_time
        assert a is not None
        remote.core.close_session(a.peer_id, now(), "bye")
        asked = attrs.evolve(session_settings(lns.config), role=Role.LNS)
        theirs = remote.core.open_session(asked, now())
        remote.flush()
        await until(lambda: theirs.state is CallState.ESTABLISHED)
        await until(lambda: lac.dialer.lines["t"].session_attempts.get("a", 0) >= 2)
        assert call(lac, "t", "a") is None
        remote.core.close_session(theirs.local_id, now(), "bye")
        remote.flush()
        await until(lambda: carried(lac, "t", "a"))


async def test_more_sessions_than_the_tunnel_may_have(tmp_path: Path) -> None:
    """What is beyond the limit is left out, time after time, and nobody crashes over it."""
    async with stage(tmp_path) as on:
        lns, lac = await pair(on, f"{QUICK}max_sessions = 1\n", session("t", "a") + session("t", "b"))
        await until(lambda: carried(lac, "t", "a"))
        first = tunnel(lac, "t")
        hang_up(lns)
        await until(lambda: tunnel(lac, "t") is not first and carried(lac, "t", "a"))
        assert call(lac, "t", "b") is None
        assert 0 == lac.crashes


async def test_a_bug_while_a_session_is_asked_for_again(tmp_path: Path) -> None:
    """The tunnel that it happens to ends; the dialler and the other line go on."""
    port = free_port()
    async with stage(tmp_path) as on:
        lns = await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("a", port) + calls("b", port) + session("b", "s", "persist = true\n"))
        await until(lambda: up(lac, "a") and carried(lac, "b", "s"))
        a, b = tunnel(lac, "a"), tunnel(lac, "b")

        class Broken(type(b.core)):  # type: ignore[misc]
            __slots__ = ()

            def open_session(self, *_: object, **__: object) -> None:
                raise RuntimeError("a bug")

        b.core.__class__ = Broken
        end_calls(lns)
        await until(lambda: lac.crashes)
        await until(lambda: tunnel(lac, "b") is not b and carried(lac, "b", "s"))
        assert a is tunnel(lac, "a")
        assert up(lac, "a")


# --- names


async def test_a_name_is_resolved_at_each_attempt(tmp_path: Path) -> None:
    """The first answer leads nowhere, the second to the peer."""
    port, asked = free_port(), 0
    with udp("127.0.0.2", port):
        async with stage(tmp_path) as on:
            await on.start("lns", listen(port) + ANYBODY)

            def resolve(host: str, service: int, **_: object) -> Found:
                nonlocal asked
                asked += 1
                found = "127.0.0.2" if asked == 1 else "127.0.0.1"
                return [(socket.AF_INET, 2, 17, "", (found, service))]

            lac = await on.start("lac", calls("t", port, host="lns.example"))
            lac.dialer.resolve = resolve
            await until(lambda: up(lac, "t"))
            assert 2 == asked


async def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    """The error is shown, and the line goes on trying."""

    def resolve(*_: object, **__: object) -> Found:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with stage(tmp_path) as on:
        lac = await on.start("lac", calls("t", 1701, host="nobody.invalid"))
        lac.dialer.resolve = resolve
        await until(lambda: lac.dialer.lines["t"].attempts >= 3)
        assert "nobody.invalid" in lac.dialer.lines["t"].last_error
        assert "not known" in lac.dialer.lines["t"].last_error


async def test_a_late_answer_does_not_survive_a_changed_peer(tmp_path: Path) -> None:
    """While the old name is being resolved the peer is changed: what the resolver says about the old one is not dialled."""
    port, asked, answer, answered = free_port(), threading.Event(), threading.Event(), threading.Event()

    def resolve(host: str, service: int, **_: object) -> Found:
        if host == "old.example":
            asked.set()
            answer.wait(PATIENCE)
            answered.set()
            return [(socket.AF_INET, 2, 17, "", ("127.0.0.1", service))]
        return [(socket.AF_INET, 2, 17, "", ("127.0.0.2", service))]

    async with stage(tmp_path) as on:
        await on.start("lns", listen(port) + listen(port, "127.0.0.2") + ANYBODY)
        lac = await on.start("lac", calls("t", port, host="old.example"))
        lac.dialer.resolve = resolve
        await until(asked.is_set)
        on.write("lac", calls("t", port, host="new.example"))
        await lac.reloader.reload()
        answer.set()
        await until(answered.is_set)
        await until(lambda: up(lac, "t"))
        assert Address("127.0.0.2", port) == address(tunnel(lac, "t"))


async def test_a_resolver_that_hangs_delays_nobody(tmp_path: Path) -> None:
    """Sixty names that are never answered: a line with a numeric peer comes up, a reload is served, hook scripts run, a stop ends.

    What waits for the resolver has threads of its own, and no more than it may have.
    """
    port, hanging, released = free_port(), [0], threading.Event()

    def resolve(*_: object, **__: object) -> Found:
        hanging[0] += 1
        released.wait(PATIENCE)
        return []

    folder = tmp_path / "scripts"
    folder.mkdir(mode=0o755)
    script = folder / "tunnel-up"
    script.write_text(f"#!/bin/sh\n: > {folder}/ran\n")
    script.chmod(0o755)
    try:
        async with stage(tmp_path) as on:
            await on.start("lns", listen(port) + ANYBODY)
            names = "".join(calls(f"n{number}", port, host=f"n{number}.example") for number in range(60))
            lac = await on.start("lac", names, system=f'script_directory = "{folder}"\n')
            lac.dialer.resolve = resolve
            await until(lambda: RESOLVERS == hanging[0])
            assert 0 == trio.to_thread.current_default_thread_limiter().borrowed_tokens
            on.write("lac", names + calls("t", port), system=f'script_directory = "{folder}"\n')
            await lac.reloader.reload()
            await until(lambda: up(lac, "t"))
            await until((folder / "ran").exists)
            lac.stop(at_once=False)
            await on.ended["lac"].wait()
        assert RESOLVERS == hanging[0]
    finally:
        released.set()


# --- sockets


@pytest.mark.parametrize("persist", ["true", "false"])
async def test_a_fixed_port_while_the_last_tunnel_lingers(tmp_path: Path, persist: str) -> None:
    """A restart from the same local port does not wait until the old tunnel, which still acknowledges, lets go of it."""
    mine = free_port()
    keys = f"{QUICK}local_port = {mine}\npersist = {persist}\nfirmware_revision = "
    async with stage(tmp_path) as on:
        _, lac = await pair(on, keys + "1\n")
        first = tunnel(lac, "t")
        port = address(first).port
        on.write("lac", calls("t", port, keys + "2\n"))
        await lac.reloader.reload()
        await until(lambda: tunnel(lac, "t") is not first and up(lac, "t"))
        assert mine == tunnel(lac, "t").local.port
        assert "" == lac.dialer.lines["t"].last_error


async def test_an_address_that_is_not_ours(tmp_path: Path) -> None:
    """Binding fails, the line says why, and tries again."""
    async with stage(tmp_path) as on:
        lac = await on.start("lac", calls("t", 1701, QUICK + 'local = "192.0.2.77"\n'))
        await until(lambda: lac.dialer.lines["t"].attempts >= 2)
        assert "cannot open a socket from 192.0.2.77" in lac.dialer.lines["t"].last_error
        assert State.IDLE is tunnel(lac, "t").core.state


async def test_an_address_that_is_not_ours_and_no_persistence(tmp_path: Path) -> None:
    """The line goes."""
    async with stage(tmp_path) as on:
        lac = await on.start("lac", calls("t", 1701, QUICK + 'persist = false\nlocal = "192.0.2.77"\n'))
        await until(lambda: "t" not in lac.dialer.lines)
        assert 0 == len(lac.registry)
