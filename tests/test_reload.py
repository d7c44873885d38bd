"""Reading the configuration again while tunnels run: what changes, what must not, and what happens when it is wrong."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio

from l2tpd.config.model import Address
from l2tpd.daemon import Daemon
from l2tpd.errors import ConfigError, ControlError
from l2tpd.events import ConfigReloaded
from l2tpd.reload import named
from l2tpd.tunnel.states import State
from pair import (
    ANYBODY,
    QUICK,
    Stage,
    address,
    call,
    calls,
    carried,
    console,
    free_port,
    hear,
    listen,
    session,
    stage,
    tunnel,
    udp,
    until,
    up,
)


@attrs.define(eq=False)
class Case:
    """An LNS, and a LAC whose configuration changes."""

    on: Stage
    port: int
    lac: Daemon

    async def reload(self, text: str, *, system: str = "") -> None:
        self.on.write("lac", text, system=system)
        await self.lac.reloader.reload()


async def case(on: Stage, text: str = "", port: int = 0, *, system: str = "") -> Case:
    port = port or free_port()
    await on.start("lns", listen(port) + listen(port, "127.0.0.2") + ANYBODY)
    return Case(on, port, await on.start("lac", text, system=system))


async def test_added_removed_untouched(tmp_path: Path) -> None:
    """One tunnel goes, one comes, and the one that nothing was said about does not notice."""
    port = free_port()
    async with stage(tmp_path) as on:
        it = await case(on, calls("old", port) + calls("same", port) + session("same", "s"), port)
        await until(lambda: up(it.lac, "old") and carried(it.lac, "same", "s"))
        old, same, its = tunnel(it.lac, "old"), tunnel(it.lac, "same"), call(it.lac, "same", "s")
        await it.reload(calls("same", port) + session("same", "s") + calls("new", port))
        await until(lambda: up(it.lac, "new"))
        assert old.core.cleared
        assert ["new", "same"] == sorted(it.lac.dialer.lines)
        assert (same, its) == (tunnel(it.lac, "same"), call(it.lac, "same", "s"))
        assert up(it.lac, "same")


async def test_sessions_come_and_go(tmp_path: Path) -> None:
    """In a tunnel that stays, one session is added, one removed, one changed and so asked for anew, one untouched."""
    port = free_port()
    before = session("t", "gone") + session("t", "other", 'called_number = "1"\n') + session("t", "same")
    after = session("t", "new") + session("t", "other", 'called_number = "2"\n') + session("t", "same")
    async with stage(tmp_path) as on:
        it = await case(on, calls("t", port) + before, port)
        await until(lambda: all(carried(it.lac, "t", name) for name in ("gone", "other", "same")))
        line, same, other = tunnel(it.lac, "t"), call(it.lac, "t", "same"), call(it.lac, "t", "other")
        await it.reload(calls("t", port) + after)
        await until(lambda: carried(it.lac, "t", "new") and carried(it.lac, "t", "other"))
        assert line is tunnel(it.lac, "t")
        assert same is call(it.lac, "t", "same")
        assert other is not call(it.lac, "t", "other")
        assert call(it.lac, "t", "gone") is None


async def test_in_place(tmp_path: Path) -> None:
    """Keys that a live tunnel can take over are taken over by it, with its sessions, which only listen."""
    port = free_port()
    async with stage(tmp_path) as on:
        it = await case(on, calls("t", port) + session("t", "s"), port)
        await until(lambda: carried(it.lac, "t", "s"))
        line, its = tunnel(it.lac, "t"), call(it.lac, "t", "s")
        await it.reload(calls("t", port, QUICK + 'hello_timeout = 7\ntrace = ["fsm"]\n') + session("t", "s"))
        assert (line, its) == (tunnel(it.lac, "t"), call(it.lac, "t", "s"))
        assert 7 == line.core.settings.hello_timeout
        assert line.core.trace


async def test_restarted(tmp_path: Path) -> None:
    """A key that only a new tunnel can take makes one, with the same sessions."""
    port = free_port()
    async with stage(tmp_path) as on:
        it = await case(on, calls("t", port) + session("t", "s"), port)
        await until(lambda: carried(it.lac, "t", "s"))
        first = tunnel(it.lac, "t")
        await it.reload(calls("t", port, QUICK, host="127.0.0.2") + session("t", "s"))
        await until(lambda: tunnel(it.lac, "t") is not first and carried(it.lac, "t", "s"))
        assert Address("127.0.0.2", port) == address(tunnel(it.lac, "t"))


async def test_a_wrong_peer_is_corrected(tmp_path: Path) -> None:
    """A tunnel that calls a dead address at the default pace is given the right one, and does not first wait for the dead."""
    port = free_port()
    with udp() as silent:
        async with stage(tmp_path) as on:  # whose deadline is shorter than the 31 s of a full retransmission cycle
            it = await case(on, calls("t", silent.getsockname()[1], ""), port)
            await until(lambda: State.WAIT_CTL_REPLY is tunnel(it.lac, "t").core.state)
            await it.reload(calls("t", port, ""))
            await until(lambda: up(it.lac, "t"))


async def test_a_waiting_tunnel_takes_the_new_secret(tmp_path: Path) -> None:
    """The secret comes from a profile, which is for what is set up from now on: also for the next attempt, which is made at once."""
    port, keys = free_port(), "redial_delay = 60\nredial_delay_max = 60\n"
    profile = '[profile.tunnel.default]\nsecret = "{}"\n'
    async with stage(tmp_path) as on:
        await on.start("lns", listen(port) + ANYBODY + 'secret = "right"\n')
        lac = await on.start("lac", profile.format("wrong") + calls("t", port, keys))
        await until(lambda: lac.dialer.lines["t"].last_ending and State.IDLE is tunnel(lac, "t").core.state)
        await Case(on, port, lac).reload(profile.format("right") + calls("t", port, keys))
        await until(lambda: up(lac, "t"))


async def test_removed_and_added_again(tmp_path: Path) -> None:
    """While the removed tunnel is still on its way out, one of the same name comes."""
    port = free_port()
    with udp() as silent:
        text = calls("t", silent.getsockname()[1], "")
        async with stage(tmp_path) as on:
            it = await case(on, text + calls("u", port), port)
            await until(lambda: State.WAIT_CTL_REPLY is tunnel(it.lac, "t").core.state and up(it.lac, "u"))
            first = tunnel(it.lac, "t"), tunnel(it.lac, "u")
            await it.reload("")
            assert {} == it.lac.dialer.lines
            await it.reload(text + calls("u", port))
            await until(lambda: State.WAIT_CTL_REPLY is tunnel(it.lac, "t").core.state and up(it.lac, "u"))
            assert tunnel(it.lac, "t") is not first[0]
            assert tunnel(it.lac, "u") is not first[1]


async def test_an_operators_tunnel_has_the_name(tmp_path: Path) -> None:
    """It keeps it; the configuration's comes with the first reload after it is gone, whether or not the file changed."""
    port = free_port()
    async with stage(tmp_path) as on:
        it = await case(on, "", port)
        console(it.lac).create_tunnel("hq", {"peer": f"127.0.0.1:{port}"})
        await until(lambda: up(it.lac, "hq"))
        theirs = tunnel(it.lac, "hq")
        text = calls("hq", port, host="127.0.0.2") + session("hq", "s")
        for _ in range(2):
            await it.reload(text)
            assert theirs is tunnel(it.lac, "hq")
            assert {} == theirs.core.calls
            assert not it.lac.dialer.lines["hq"].configured
        console(it.lac).delete_tunnel(theirs.core.local_id, "make room")
        await it.reload(text)
        await until(lambda: carried(it.lac, "hq", "s"))
        assert Address("127.0.0.2", port) == address(tunnel(it.lac, "hq"))
        assert it.lac.dialer.lines["hq"].configured


async def test_what_an_operator_deleted_stays_deleted(tmp_path: Path) -> None:
    """A reload that says nothing new about a tunnel does not bring it back; a change does."""
    port = free_port()
    async with stage(tmp_path) as on:
        it = await case(on, calls("t", port), port)
        await until(lambda: up(it.lac, "t"))
        console(it.lac).delete_tunnel(tunnel(it.lac, "t").core.local_id, "not today")
        await it.lac.reloader.reload()
        assert {} == it.lac.dialer.lines
        await it.reload(calls("t", port, QUICK + "hello_timeout = 9\n"))
        await until(lambda: up(it.lac, "t"))


async def test_an_operators_session_survives(tmp_path: Path) -> None:
    """A change of its tunnel keeps a session that an operator added."""
    port = free_port()
    async with stage(tmp_path) as on:
        it = await case(on, calls("t", port), port)
        await until(lambda: up(it.lac, "t"))
        console(it.lac).create_session(tunnel(it.lac, "t").core.local_id, "mine", {})
        await until(lambda: carried(it.lac, "t", "mine"))
        mine = call(it.lac, "t", "mine")
        await it.reload(calls("t", port, QUICK + "hello_timeout = 9\n"))
        assert mine is call(it.lac, "t", "mine")
        await it.reload(calls("t", port, QUICK + "hello_timeout = 9\nfirmware_revision = 2\n"))
        await until(lambda: call(it.lac, "t", "mine") not in {None, mine} and carried(it.lac, "t", "mine"))


async def test_a_mistake_changes_nothing(tmp_path: Path) -> None:
    """The old configuration is in force, the tunnel up, and subscribers hear of the problem."""
    port = free_port()
    async with stage(tmp_path) as on:
        it = await case(on, calls("t", port), port)
        await until(lambda: up(it.lac, "t"))
        before, first = it.lac.config, tunnel(it.lac, "t")
        heard = hear(on, it.lac)
        with pytest.raises(ConfigError):
            await it.reload(calls("t", port, "hello_timeot = 9\n"))
        await until(lambda: heard.events)
        assert before is it.lac.config
        assert first is tunnel(it.lac, "t")
        told = heard.events[0]
        assert isinstance(told, ConfigReloaded)
        assert "hello_timeot" in told.problems[0]


async def test_a_signal_with_a_mistake_and_one_without(tmp_path: Path) -> None:
    """SIGHUP with a broken file is served like any other; the next one, with a good file, works."""
    port = free_port()
    async with stage(tmp_path) as on:
        it = await case(on, "", port)
        seen = it.lac.bus.published
        on.write("lac", "nonsense\n")
        it.lac.reloader.request()
        await until(lambda: it.lac.bus.published > seen)
        on.write("lac", calls("t", port))
        it.lac.reloader.request()
        await until(lambda: up(it.lac, "t"))
        assert 0 == it.lac.crashes


async def test_not_while_stopping(tmp_path: Path) -> None:
    """Who says goodbye opens nothing any more."""
    port = free_port()
    async with stage(tmp_path) as on:
        it = await case(on, "", port)
        it.lac.stop(at_once=False)
        with pytest.raises(ControlError, match="stopping"):
            await it.reload(calls("t", port))
        assert {} == it.lac.dialer.lines


async def test_a_bug_in_one_tunnel(tmp_path: Path) -> None:
    """It costs that tunnel, which comes again; the other one takes over what the file says."""
    port = free_port()
    async with stage(tmp_path) as on:
        it = await case(on, calls("a", port) + calls("b", port), port)
        await until(lambda: up(it.lac, "a") and up(it.lac, "b"))
        a, b = tunnel(it.lac, "a"), tunnel(it.lac, "b")

        class Broken(type(a.core)):  # type: ignore[misc]
            __slots__ = ()

            def reconfigure(self, *_: object) -> None:
                raise RuntimeError("a bug")

        a.core.__class__ = Broken
        await it.reload("".join(calls(name, port, QUICK + "hello_timeout = 9\n") for name in "ab"))
        await until(lambda: tunnel(it.lac, "a") is not a and up(it.lac, "a"))
        assert 1 == it.lac.crashes
        assert b is tunnel(it.lac, "b")
        assert 9 == b.core.settings.hello_timeout


async def test_a_bug_in_a_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted, and the next reload works."""
    port = free_port()
    async with stage(tmp_path) as on:
        it = await case(on, "", port)
        with monkeypatch.context() as patch:

            def bug(_: object) -> None:
                raise RuntimeError("a bug")

            patch.setattr(it.lac.policy, "apply", bug)
            it.lac.reloader.request()
            await until(lambda: it.lac.crashes)
        await it.reload(calls("t", port))
        await until(lambda: up(it.lac, "t"))


async def test_the_system_table(tmp_path: Path) -> None:
    """Names of ours, and whether we drain, follow the file at once; what needs a new process is only in the plan."""
    async with stage(tmp_path) as on:
        it = await case(on, system='hostname = "one"\n')
        text = listen(free_port())
        await it.reload(text, system='hostname = "two"\nvendor_name = "acme"\ndrain = true\n')
        assert ("two", "acme", True) == (it.lac.site.hostname, it.lac.site.vendor_name, it.lac.policy.drain)
        assert [] == it.lac.endpoint.listeners


async def test_a_plan_changes_nothing(tmp_path: Path) -> None:
    """It says what a reload would do, by name."""
    port = free_port()
    async with stage(tmp_path) as on:
        it = await case(on, "", port)
        on.write("lac", calls("t", port))
        plan = await console(it.lac).plan()
        assert ("tunnel.t",) == plan.added
        assert {} == it.lac.dialer.lines


async def test_who_asked_goes_away(tmp_path: Path) -> None:
    """A reload whose operator disconnects in the middle is carried out whole or not at all."""
    port = free_port()
    async with stage(tmp_path) as on:
        it = await case(on, "", port)
        on.write("lac", "".join(calls(f"t{number}", port, "") for number in range(200)))
        with trio.CancelScope() as scope:
            on.nursery.start_soon(_cancel_when, it.lac, scope)
            await it.lac.reloader.reload()
        assert 200 == len(it.lac.dialer.lines)


async def _cancel_when(lac: Daemon, scope: trio.CancelScope) -> None:
    while not lac.dialer.lines:
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def test_the_machines_own_name(tmp_path: Path) -> None:
    """Who says no host name has the machine's; who says one keeps it."""
    async with stage(tmp_path) as on:
        it = await case(on, system='hostname = "said"\n')
        assert it.lac.config is named(it.lac.config)
        silent = attrs.evolve(it.lac.config, system=attrs.evolve(it.lac.config.system, hostname=""))
        assert named(silent).system.hostname
