"""Two daemons and what passes between them: from the first SCCRQ to the last StopCCN."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import trio

from l2tpd.config.load import load
from l2tpd.config.model import Pseudowire
from l2tpd.daemon import Daemon
from l2tpd.errors import StartupError
from l2tpd.events import DaemonStopping, What
from l2tpd.hooks import SCRIPTS
from l2tpd.kernel.ops import CreateSession, CreateTunnel
from l2tpd.kernel.recording import RecordingPlane
from l2tpd.reload import named
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.states import State
from l2tpd.wire.values import DisconnectCause
from pair import (
    ANYBODY,
    QUICK,
    Stage,
    call,
    calls,
    carried,
    free_port,
    hear,
    listen,
    other_end,
    session,
    stage,
    tunnel,
    udp,
    until,
    up,
)


async def pair(
    on: Stage, *, keys: str = QUICK, sessions: str = "", peer: str = ANYBODY, stop: float = 0.2
) -> tuple[Daemon, Daemon]:
    """Return an LNS, and a LAC whose tunnel `t` is up."""
    port = free_port()
    lns = await on.start("lns", listen(port) + peer, stop=stop)
    lac = await on.start("lac", calls("t", port, keys) + sessions, stop=stop)
    await until(lambda: up(lac, "t"))
    return lns, lac


# --- end to end


@pytest.mark.parametrize("hidden", [False, True])
async def test_secret_and_both_kinds_of_call(tmp_path: Path, hidden: bool) -> None:
    """Both sides prove the secret to each other; an incoming and an outgoing call come up, whether or not values are hidden."""
    keys = f'{QUICK}secret = "sesame"\nhide_avps = {str(hidden).lower()}\n'
    sessions = session("t", "in", 'calling_number = "12345"\n') + session("t", "out", 'role = "lns"\n')
    async with stage(tmp_path) as on:
        lns, lac = await pair(on, keys=keys, sessions=sessions, peer=ANYBODY + 'secret = "sesame"\n')
        await until(lambda: carried(lac, "t", "in") and carried(lac, "t", "out"))
        theirs = other_end(lns, tunnel(lac, "t"))
        await until(lambda: 2 == lns.registry.sessions)
        assert theirs.core.local_id == tunnel(lac, "t").core.peer_id
        assert ["12345"] == [call.calling_number for call in theirs.core.calls.values() if call.calling_number]


async def test_the_wrong_secret_opens_nothing(tmp_path: Path) -> None:
    """Whoever does not know the secret gets StopCCN 4, and neither side has a tunnel that was up (RFC 2661 5.1.1)."""
    port = free_port()
    async with stage(tmp_path) as on:
        lns = await on.start("lns", listen(port) + ANYBODY + 'secret = "right"\n')
        lac = await on.start("lac", calls("t", port, QUICK + 'secret = "wrong"\n'))
        await until(lambda: lac.dialer.lines["t"].last_ending is not None)
        ending = lac.dialer.lines["t"].last_ending
        assert ending is not None
        assert 4 == ending.result
        assert not any(found.core.was_up for found in lns.registry)


async def test_listener_in_use(tmp_path: Path) -> None:
    """An address that somebody has is said, and what was opened before it is closed again."""
    with udp() as taken:
        port = free_port()
        async with stage(tmp_path) as on:
            daemon = on.compose("lns", listen(port) + listen(taken.getsockname()[1]) + ANYBODY, ready=lambda: None)
            with pytest.raises(StartupError, match="cannot listen on"):
                await daemon.run()
        udp(port=port).close()  # it would raise were the port not free again


async def test_events_from_beginning_to_end(tmp_path: Path) -> None:
    """A tunnel and its session are created, up, down and deleted, in this order, and the daemon's own end is told."""
    port = free_port()
    async with stage(tmp_path) as on:
        await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", "")
        heard = hear(on, lac)
        on.write("lac", calls("t", port) + session("t", "s"))
        await lac.reloader.reload()
        await until(lambda: carried(lac, "t", "s"))
        lac.stop(at_once=False)
        await heard.closed.wait()
    everything = [What.CREATED, What.UP, What.DOWN, What.DELETED]
    assert everything == [event.what for event in heard.tunnels(*everything)]
    assert everything == [event.what for event in heard.sessions(*everything)]
    assert [DaemonStopping(at_once=False)] == [event for event in heard.events if isinstance(event, DaemonStopping)]


# --- the polite stop


async def test_stop_is_acknowledged_and_ends_at_once(tmp_path: Path) -> None:
    """Every peer hears StopCCN 6, and once all have acknowledged nothing is waited for, however long the timeout."""
    port = free_port()
    async with stage(tmp_path) as on:
        lns = await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("a", port) + calls("b", port), stop=1000)
        await until(lambda: up(lac, "a") and up(lac, "b") and 2 == sum(found.core.was_up for found in lns.registry))
        theirs = list(lns.registry)
        lac.stop(at_once=False)
        await on.ended["lac"].wait()
        await until(lambda: not len(lns.registry))
        endings = [found.core.ending for found in theirs]
        assert [(6, "peer")] * 2 == [(ending.result, ending.by) for ending in endings if ending]


def deafen(lns: Daemon) -> None:
    """Make a daemon drop whatever its tunnels are sent."""

    class Deaf(type(next(iter(lns.registry)).core)):  # type: ignore[misc]
        __slots__ = ()

        def receive_datagram(self, *_: object) -> None:
            """Hear nothing."""

    for found in lns.registry:
        found.core.__class__ = Deaf


async def test_stop_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    """A peer that never acknowledges holds the stop up for `stop_timeout`, and no longer."""
    async with stage(tmp_path) as on:
        lns, lac = await pair(on, stop=0.3, keys="")
        await until(lambda: all(found.core.was_up for found in lns.registry))
        deafen(lns)
        lac.stop(at_once=False)
        await until(lambda: lac.stopping and tunnel(lac, "t").core.state is State.CLOSING)
        assert not on.ended["lac"].is_set()
        await on.ended["lac"].wait()


async def test_the_second_signal_does_not_wait(tmp_path: Path) -> None:
    """With a timeout of a thousand seconds and a dead peer, the second signal ends it."""
    async with stage(tmp_path) as on:
        lns, lac = await pair(on, keys="")
        lac.config = attrs.evolve(lac.config, system=attrs.evolve(lac.config.system, stop_timeout=1000))
        await until(lambda: all(found.core.was_up for found in lns.registry))
        deafen(lns)
        lac.stop(at_once=False)
        await until(lambda: tunnel(lac, "t").core.state is State.CLOSING)
        lac.stop(at_once=True)
        await on.ended["lac"].wait()


async def test_strangers_are_not_waited_for(tmp_path: Path) -> None:
    """A tunnel that nobody has answered yet is told to stop, but holds nothing up."""
    with udp() as silent:
        async with stage(tmp_path) as on:
            lac = await on.start("lac", calls("t", silent.getsockname()[1], ""), stop=1000)
            await until(lambda: tunnel(lac, "t").core.state is State.WAIT_CTL_REPLY)
            lac.stop(at_once=False)
            await on.ended["lac"].wait()


async def test_a_stop_with_waiting_lines(tmp_path: Path) -> None:
    """A line that waits to be dialled again does not hold a stop up either."""
    keys = "retry_timeout = 0.05\nmax_retries = 1\nredial_delay = 60\nredial_delay_max = 60\n"
    with udp() as silent:
        async with stage(tmp_path) as on:
            lac = await on.start("lac", calls("t", silent.getsockname()[1], keys), stop=1000)
            await until(lambda: lac.dialer.lines["t"].last_ending is not None)
            await until(lambda: tunnel(lac, "t").core.state is State.IDLE)
            lac.stop(at_once=False)
            await on.ended["lac"].wait()


# --- one bug, one victim


def break_method(thing: object, method: str) -> None:
    """Put a bug into one method of one core."""

    def bug(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    kind = type(thing)
    thing.__class__ = type("Broken", (kind,), {"__slots__": (), method: bug})


@pytest.mark.parametrize("method", ["close", "receive_datagram", "handle_timer"])
async def test_a_bug_in_one_tunnel_ends_no_other(tmp_path: Path, method: str) -> None:
    """Whatever crashes in tunnel b, tunnel a stays, and stops politely."""
    port = free_port()
    async with stage(tmp_path) as on:
        lns = await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("a", port) + calls("b", port, "persist = false\n"), stop=1)
        await until(lambda: up(lac, "a") and up(lac, "b") and 2 == sum(found.core.was_up for found in lns.registry))
        a, b = tunnel(lac, "a"), tunnel(lac, "b")
        at_a = other_end(lns, a)
        break_method(b.core, method)
        at_b = other_end(lns, b)
        if method == "receive_datagram":
            at_b.core.probe(trio.current_time())
            at_b.flush()
            await until(lambda: lac.crashes)
        elif method == "handle_timer":
            assert b._scope is not None
            b._scope.cancel()
            await until(lambda: lac.crashes)
        assert State.ESTABLISHED is a.core.state
        lac.stop(at_once=False)
        await on.ended["lac"].wait()
        await until(lambda: at_a.core.ending is not None)
        assert at_a.core.ending is not None
        assert 6 == at_a.core.ending.result
        assert b.sock is None
        assert 1 <= lac.crashes


@pytest.mark.parametrize("part", ["radius", "bus", "scripts"])
async def test_a_bug_in_who_hears_of_events_ends_no_tunnel(tmp_path: Path, part: str) -> None:
    """What is told of comes up all the same, and down."""
    port, method = free_port(), {"radius": "follow", "bus": "publish", "scripts": "offer"}[part]
    async with stage(tmp_path) as on:
        lns = await on.start("lns", listen(port) + ANYBODY)
        break_method(getattr(lns, part), method)
        lac = await on.start("lac", calls("a", port) + session("a", "s"))
        await until(lambda: carried(lac, "a", "s"))
        assert 1 == len(lns.registry)
        assert lns.crashes
        lac.stop(at_once=False)
        await until(lambda: not len(lns.registry))


async def test_a_bug_in_one_that_waits_to_be_opened(tmp_path: Path) -> None:
    """It has no task that could meet the bug; the others stop politely all the same."""
    async with stage(tmp_path) as on:
        port = free_port()
        lns = await on.start("lns", listen(port) + ANYBODY)
        seldom = QUICK.replace("0.05\nredial_delay_max = 0.1", "3600\nredial_delay_max = 3600")
        lac = await on.start("lac", calls("b", free_port(), seldom) + calls("a", port))
        await until(lambda: up(lac, "a") and lac.dialer.retry_in(lac.dialer.lines["b"]) is not None)
        at_a = other_end(lns, tunnel(lac, "a"))
        break_method(tunnel(lac, "b").core, "close")
        lac.stop(at_once=False)
        await on.ended["lac"].wait()
        await until(lambda: at_a.core.ending is not None)
        assert at_a.core.ending is not None
        assert 6 == at_a.core.ending.result


async def test_a_bug_while_a_stray_is_dispatched(tmp_path: Path) -> None:
    """A packet for another tunnel that one tunnel's socket brings goes to the endpoint; a bug met there ends nobody."""
    port = free_port()
    async with stage(tmp_path) as on:
        lns = await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("a", port) + calls("b", port))
        await until(lambda: up(lac, "a") and up(lac, "b") and 2 == sum(found.core.was_up for found in lns.registry))
        a, b = tunnel(lac, "a"), tunnel(lac, "b")
        break_method(b.core, "receive_datagram")
        at_a = other_end(lns, a)
        assert at_a.sock is not None
        before = lac.crashes
        at_a.sock.send(b"\xc8\x02\0\x0c" + b.core.local_id.to_bytes(2, "big") + b"\0\0\0\0\0\0")
        await until(lambda: lac.crashes > before)
        assert State.ESTABLISHED is a.core.state


# --- the data plane


@attrs.define(eq=False)
class Gate:
    """Holds the n-th operation of a plane (from 0) up until it opens."""

    position: int
    reached: trio.Event = attrs.field(factory=trio.Event)
    opens: trio.Event = attrs.field(factory=trio.Event)
    seen: int = 0

    async def __call__(self) -> None:
        self.seen += 1
        if self.seen == self.position + 1:
            self.reached.set()
            await self.opens.wait()


async def carried_by(on: Stage, plane: RecordingPlane, sessions: int = 1) -> tuple[Daemon, Daemon]:
    """Return an LNS, and a LAC with these sessions whose data plane is `plane`; none of it is up yet."""
    port = free_port()
    lns = await on.start("lns", listen(port) + ANYBODY)
    asked = "".join(session("t", f"s{number}") for number in range(sessions))
    return lns, await on.start("lac", calls("t", port, QUICK + "persist = false\n") + asked, plane=plane)


async def test_a_session_is_up_when_the_plane_carries_it(tmp_path: Path) -> None:
    """Until the plane has it, it waits; tunnel before session in the plane, and afterwards nothing is left there."""
    gate = Gate(1)
    plane = RecordingPlane(delay=gate)
    async with stage(tmp_path) as on:
        _, lac = await carried_by(on, plane)
        await gate.reached.wait()
        its = call(lac, "t", "s0")
        assert its is not None
        assert CallState.WAIT_PLANE is its.state
        gate.opens.set()
        await until(lambda: carried(lac, "t", "s0"))
        mine = tunnel(lac, "t").core
        assert f"rec{its.local_id}" == its.interface
        assert [
            CreateTunnel(tunnel_id=mine.local_id, peer_tunnel_id=mine.peer_id),
            CreateSession(
                tunnel_id=mine.local_id, session_id=its.local_id, peer_session_id=its.peer_id, pseudowire=Pseudowire.PPP
            ),
        ] == plane.log
        lac.stop(at_once=False)
        await on.ended["lac"].wait()
    assert (set(), set()) == (plane.tunnels, plane.sessions)


async def test_a_session_that_the_plane_refuses(tmp_path: Path) -> None:
    """It ends with CDN 4, no facilities for now, while its sister and its tunnel live."""
    plane = RecordingPlane(failing=frozenset({1}))
    async with stage(tmp_path) as on:
        lns, lac = await carried_by(on, plane, sessions=2)
        heard = hear(on, lns)
        await until(lambda: heard.sessions(What.DELETED) and 1 == len(tunnel(lac, "t").core.calls))
        assert [(4, "peer")] == [(event.result, event.by) for event in heard.sessions(What.DELETED)]
        await until(lambda: carried(lac, "t", "s0") or carried(lac, "t", "s1"))
        assert up(lac, "t")


async def test_a_tunnel_that_the_plane_refuses(tmp_path: Path) -> None:
    """It ends with StopCCN 2, error 4: insufficient resources."""
    plane = RecordingPlane(failing=frozenset({0}))
    async with stage(tmp_path) as on:
        lns, lac = await carried_by(on, plane)
        heard = hear(on, lns)
        await until(lambda: heard.tunnels(What.DELETED))
        assert [(2, 4, "peer")] == [(event.result, event.error, event.by) for event in heard.tunnels(What.DELETED)]
        await until(lambda: "t" not in lac.dialer.lines)


async def test_a_session_that_ends_while_it_is_created(tmp_path: Path) -> None:
    """The create that has begun ends first; the delete follows, and nothing is left."""
    gate = Gate(1)
    plane = RecordingPlane(delay=gate)
    async with stage(tmp_path) as on:
        _, lac = await carried_by(on, plane)
        await gate.reached.wait()
        mine, its = tunnel(lac, "t"), call(lac, "t", "s0")
        assert its is not None
        mine.core.close_session(its.local_id, trio.current_time(), "changed my mind")
        mine.flush()
        gate.opens.set()
        await until(lambda: 3 <= len(plane.log) and not lac.adapter.waiting)
        assert (1, set()) == (len(plane.tunnels), plane.sessions)
        assert up(lac, "t")


async def test_a_tunnel_that_ends_while_its_session_is_created(tmp_path: Path) -> None:
    """Closed by the peer in the middle of a create, a tunnel leaves nothing behind either."""
    gate = Gate(1)
    plane = RecordingPlane(delay=gate)
    async with stage(tmp_path) as on:
        lns, lac = await carried_by(on, plane, sessions=3)
        await gate.reached.wait()
        await until(lambda: 2 == lac.adapter.waiting)
        for found in lns.registry:
            found.close(1, "enough")
        await until(lambda: "t" not in lac.dialer.lines)
        gate.opens.set()
        await until(lambda: not plane.tunnels and not plane.sessions and not lac.adapter.waiting)
        assert 1 == sum(isinstance(operation, CreateSession) for operation in plane.log)


# --- tie breaker (RFC 2661 4.4.3)


def tie_of(value: int) -> Callable[[int], bytes]:
    """Return a random source whose tie breaker is known."""
    return lambda size: value.to_bytes(8, "big") if size == 8 else os.urandom(size)


@pytest.mark.parametrize(
    ("first", "second", "tunnels"),
    [(1, 2, 1), (2, 1, 1), (1, None, 1), (None, 1, 1), (5, 5, 0), (None, None, 2)],
    ids=["ours", "theirs", "only ours", "only theirs", "both lose", "none"],
)
async def test_two_daemons_call_each_other(tmp_path: Path, first: int | None, second: int | None, tunnels: int) -> None:
    """Of two requests that cross, the lower tie breaker's lives; equal ones both die; where neither has one, both live."""
    ports = free_port(), free_port()
    async with stage(tmp_path) as on:
        daemons = []
        for number, value in enumerate((first, second)):
            system = f'hostname = "d{number}"\n'
            base = listen(ports[number]) + ANYBODY
            daemon = await on.start(f"d{number}", base, system=system)
            tie = f"persist = false\ntie_breaker = {str(value is not None).lower()}\n"
            if value is not None:
                daemon.site.random = tie_of(value)
            path = on.write(f"d{number}", base + calls("t", ports[1 - number], QUICK + tie), system=system)
            daemon.config = named(load(path))
            daemons.append(daemon)
        for daemon in daemons:  # no checkpoint in here: both requests leave before either arrives
            daemon.dial(daemon.config)
        mine = [tunnel(daemon, "t") for daemon in daemons]
        await until(lambda: all(one.core.state is State.ESTABLISHED or one.core.cleared for one in mine))
        assert tunnels == sum(one.core.state is State.ESTABLISHED for one in mine)
        for one, value, other in zip(mine, (first, second), (second, first), strict=True):
            wins = value is not None and (other is None or value < other)
            if tunnels == 1:
                assert wins == (one.core.state is State.ESTABLISHED)


# --- hook scripts


def script_directory(place: Path, *names: str) -> Path:
    """Return a directory whose scripts of these names note their name, arguments and variables."""
    folder = place / "scripts"
    folder.mkdir(mode=0o755)
    for name in names:
        script = folder / name
        script.write_text(f'#!/bin/sh\necho "{name} $* $TUNNEL_NAME/$SESSION_NAME/$USER_DATA" >> {folder}/notes\n')
        script.chmod(0o755)
    return folder


async def test_each_event_runs_its_hook_script(tmp_path: Path) -> None:
    """From created to deleted, of tunnel and session, the last ones while the daemon stops."""
    folder = script_directory(tmp_path, *SCRIPTS)
    async with stage(tmp_path) as on:
        port = free_port()
        await on.start("lns", listen(port) + ANYBODY)
        keys = session("t", "s", 'user_data = "site 9"\n')
        lac = await on.start("lac", calls("t", port) + keys, system=f'script_directory = "{folder}"\n', stop=10)
        await until(lambda: up(lac, "t") and carried(lac, "t", "s"))
        found = call(lac, "t", "s")
        assert found is not None
        tid, sid = tunnel(lac, "t").core.local_id, found.local_id
        lac.stop(at_once=False)
        await on.ended["lac"].wait()
    noted = (folder / "notes").read_text().splitlines()
    assert [f"tunnel-{word} {tid} t//" for word in ("created", "up", "down", "deleted")] == [
        line for line in noted if line.startswith("tunnel")
    ]
    assert [
        f"session-created {tid} {sid} t/s/site 9",
        *(f"session-{word} {tid} {sid} PPP t/s/site 9" for word in ("up", "down", "deleted")),
    ] == [line for line in noted if line.startswith("session")]


async def test_a_second_signal_waits_for_no_hook_script(tmp_path: Path) -> None:
    """A script that hangs delays a polite stop; a second signal ends that, and the script."""
    folder = script_directory(tmp_path)
    hanging = folder / "tunnel-down"
    hanging.write_text(f"#!/bin/sh\necho $$ > {folder}/notes\nexec sleep 1000\n")
    hanging.chmod(0o755)
    async with stage(tmp_path) as on:
        port = free_port()
        await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("t", port), system=f'script_directory = "{folder}"\n', stop=1000)
        await until(lambda: up(lac, "t"))
        lac.stop(at_once=False)
        await until((folder / "notes").exists)
        await until((folder / "notes").read_text)
        lac.stop(at_once=True)
        await on.ended["lac"].wait()
        assert not Path("/proc", (folder / "notes").read_text().strip()).exists()


@pytest.mark.parametrize(("ender", "sides"), [("lns", ("the peer's", "our")), ("lac", ("our", "the peer's"))])
async def test_why_ppp_ended_arrives(tmp_path: Path, ender: str, sides: tuple[str, str]) -> None:
    """RFC 3145: the cause stands in the CDN of who ends the call, and in the events of both, each time as seen from there."""
    async with stage(tmp_path) as on:
        lns, lac = await pair(on, sessions=session("t", "s"))
        await until(lambda: carried(lac, "t", "s") and lns.registry.sessions)
        mine = tunnel(lac, "t")
        ends = mine, other_end(lns, mine)
        await until(
            lambda: all(call.state is CallState.ESTABLISHED for end in ends for call in end.core.calls.values())
        )
        heard = hear(on, lns), hear(on, lac)
        ending = ends[ender == "lns"]
        (ours,) = ending.core.calls.values()
        ours.disconnect = DisconnectCause(16, 0xC223, 1, "wrong password")
        ending.core.close_session(ours.local_id, trio.current_time(), "refused")
        ending.flush()
        await until(lambda: all(one.sessions(What.DOWN) for one in heard))
        told = [one.sessions(What.DOWN)[0].ppp_cause for one in heard]
    words = "auth failed (16), protocol 0xc223, on {} side: wrong password"
    assert [words.format(side) for side in sides] == told
