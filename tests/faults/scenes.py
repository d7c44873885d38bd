"""What scenarios of harm have in common, on whatever data plane: two daemons in one network namespace, and a session between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import trio

import taps
from faults.blows import Blow, everywhere, nothing_kept, quiet
from faults.means import no_descriptor_left
from l2tpd.control.jsonrpc import Json
from l2tpd.daemon import Daemon
from l2tpd.errors import PlaneError
from l2tpd.events import What
from l2tpd.kernel.ops import Operation, Outcome
from l2tpd.kernel.recording import RecordingPlane
from l2tpd.tunnel.states import State
from pair import (
    ANYBODY,
    QUICK,
    Stage,
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
    until,
    up,
)

POOL = '[profile.ppp.default]\nlocal_address = "10.9.0.1"\npool = "all"\n{keys}[pool.all]\nrange = "10.9.0.2-10.9.0.9"\nquarantine = 0\n'
"""What an LNS has for callers whose packets go through the user-space plane."""

PREFIXES = 'ipv6 = true\nprefix_pool = "links"\ndelegated_pool = "sites"\n'
PREFIX_POOLS = """[pool.links]
range = "2001:db8:1::/60"
prefix_length = 64
[pool.sites]
range = "2001:db8:2::/52"
prefix_length = 56
"""
SOON = "redial_delay = 0.05\nredial_delay_max = 0.1\n"
"""Keys of a tunnel that is patient with its peer all the same: it cannot be dialled anew."""

V3 = 'versions = ["l2tpv3"]\n'
ETHERNET = 'version = "l2tpv3"\n[tunnel.t.session.s]\npseudowire = "eth"\n'
"""What an LNS and its caller say of an Ethernet pseudowire."""


def interfaces() -> list[str]:
    return [line.split()[0] for line in taps.ip("-brief", "link", "show").splitlines()]


async def lns_and_lac(
    on: Stage, lines: str, *, lns_keys: str = "", planes: tuple[RecordingPlane, ...] = (), encap: str = "udp"
) -> Daemon:
    """Start both; return the LAC, which has just begun to dial."""
    lns_plane, lac_plane = planes or (None, None)
    port = free_port()
    listening, calling = listen(port), calls("t", port)
    if encap == "ip":
        listening = '[[listen]]\naddress = "127.0.0.1"\nencap = "ip"\n'
        calling = f'[tunnel.t]\npeer = "127.0.0.1"\nlocal = "127.0.0.2"\nencap = "ip"\n{QUICK}'
    await on.start("lns", listening + ANYBODY + lns_keys, plane=lns_plane, stop=0.01)
    return await on.start("lac", calling + lines, plane=lac_plane, stop=0.01)


async def link(
    directory: Path,
    blow: Blow,
    lines: str,
    lns_keys: str,
    done: Callable[[Daemon], object],
    *,
    data_plane: str = "user",
    encap: str = "udp",
) -> None:
    """Set a session up, where the blow may fall; daemons and data plane have nothing left of it."""
    before = interfaces()
    async with stage(directory, data_plane=data_plane) as on:
        lac = await lns_and_lac(on, lines, lns_keys=lns_keys, encap=encap)
        blow.strikes(on.nursery.cancel_scope)
        await until(lambda: done(lac))
        blow.holds()
    for daemon in on.daemons:
        nothing_kept(daemon)
    with trio.fail_after(60):  # the kernel itself lets go of some a moment after it was told to
        await until(lambda: interfaces() == before)


async def ended_at_any_moment(
    directory: Path,
    keys: Mapping[str, Json],
    lines: str,
    lns_keys: str,
    done: Callable[[Daemon], object],
    kept: Callable[[], object],
    *,
    data_plane: str,
    stride: int,
    encap: str = "udp",
) -> int:
    """Ask for a session again and again, and close it a step later each time, until it is `done` first; return how many steps that takes.

    After each time both daemons have what they had before, sessions have left what is `kept` without them, and their tunnel is the same.
    """
    async with stage(directory, seconds=240, data_plane=data_plane) as on:
        lac = await lns_and_lac(on, lines, lns_keys=lns_keys, encap=encap)
        await until(lambda: up(lac, "t") and all(one.core.state is State.ESTABLISHED for one in on.daemons[0].registry))
        stays, at, before = tunnel(lac, "t"), console(lac), kept()

        async def scenario(blow: Blow) -> None:
            over = trio.CancelScope()
            blow.strikes(over)
            at.create_session(stays.core.local_id, "s", keys)
            with over:
                await until(lambda: done(lac))
            blow.holds()
            lac.dialer.close_session("t", "s", "enough")
            await until(lambda: not any(daemon.registry.sessions for daemon in on.daemons))
            await until(lambda: not any(daemon.leases._addresses._held for daemon in on.daemons))
            await until(lambda: kept() == before)

        await scenario(Blow(0))  # never strikes: what is made once for all sessions is there afterwards
        await quiet()
        steps = await everywhere(scenario, stride=stride)
        assert (stays, True) == (tunnel(lac, "t"), up(lac, "t"))
    return steps


def addressed(lac: Daemon, *, six: bool = False) -> bool:
    """Tell whether PPP of the session `s` of `t` has its addresses."""
    found = call(lac, "t", "s")
    return found is not None and _has_addresses(lac, "t", "s") and bool(found.ppp_ipv6 or not six)


async def short_of_descriptors(
    directory: Path, left: int, *, data_plane: str = "user", lns_keys: str = POOL.format(keys=""), keys: str = ""
) -> None:
    """Ask for a session by PPP with so few descriptors left for both daemons: what is up stays up, and the new one comes once there are more."""
    async with stage(directory, seconds=60, data_plane=data_plane) as on:
        port = free_port()
        lns = await on.start("lns", listen(port) + ANYBODY + lns_keys)
        tunnels = calls("t", port, SOON) + calls("old", port, "") + session("old", "o") + keys
        lac = await on.start("lac", tunnels)
        await until(lambda: up(lac, "t") and _has_addresses(lac, "old", "o") and _all_have_addresses(lns))
        told = [hear(on, daemon) for daemon in on.daemons]
        old = {(found.core.local_id, call_id) for found in lac.registry for call_id in found.core.calls}
        on.write("lac", tunnels + session("t", "s", "persist = true\n"))
        plan = await lac.reloader._read()
        with no_descriptor_left(but=left):
            await lac.reloader._apply(*plan)
            await until(lambda: addressed(lac) or any(heard.sessions(What.DELETED) for heard in told))
            assert _has_addresses(lac, "old", "o")
        await until(lambda: addressed(lac))
        assert _has_addresses(lac, "old", "o")
        assert old.isdisjoint((event.tunnel_id, event.session_id) for event in told[1].sessions(What.DELETED))


def _has_addresses(daemon: Daemon, name: str, of: str) -> bool:
    found = call(daemon, name, of)
    return found is not None and bool(found.ppp_remote)


def _all_have_addresses(daemon: Daemon) -> bool:
    return all(found.ppp_remote for tunnel in daemon.registry for found in tunnel.core.calls.values())


HERE, HOME, OTHER = "10.1.0.1", "10.1.0.11", "10.1.0.12"


async def address_removed(directory: Path, *, data_plane: str = "null", lns_keys: str = "") -> None:
    """Take the address of one of two tunnels away, and give it back: the other one does not notice."""
    for address in (HERE, HOME, OTHER):
        taps.ip("address", "add", f"{address}/32", "dev", "lo")
    # Quick, but not so that the one that is to stay would not live through a second in which a busy machine has no time for us.
    keys = "retry_timeout = 0.3\nmax_retries = 2\nredial_delay = 0.05\nredial_delay_max = 0.1\nhello_timeout = 0.2\n"
    async with stage(directory, seconds=60, data_plane=data_plane) as on:
        port = free_port(HERE)
        lns = await on.start("lns", listen(port, HERE) + ANYBODY + lns_keys)
        lines = [
            calls(name, port, f'local = "{local}"\n{keys}', host=HERE) + session(name, "s")
            for name, local in (("a", HOME), ("b", OTHER))
        ]
        lac = await on.start("lac", "".join(lines))

        def well(name: str) -> bool:
            return carried(lac, name, "s") and (not lns_keys or _has_addresses(lac, name, "s"))

        await until(lambda: well("a") and well("b"))
        told, stays = hear(on, lac), tunnel(lac, "b")
        taps.ip("address", "del", f"{HOME}/32", "dev", "lo")
        await until(lambda: "Cannot assign requested address" in lac.dialer.lines["a"].last_error)
        assert ["a"] == [event.name for event in told.tunnels(What.DOWN)]
        taps.ip("address", "add", f"{HOME}/32", "dev", "lo")
        await until(lambda: well("a"))
        assert (stays, True) == (tunnel(lac, "b"), well("b"))
        assert ["a"] == [event.name for event in told.tunnels(What.DOWN)]
        assert lns.registry.by_id.get(stays.core.peer_id) is not None


@attrs.define(eq=False)
class Refusing:
    """A data plane that refuses one operation, counted from `arm` on, with an error of the kernel's, and carries out all others."""

    inner: Any
    number: int
    position: int | None = None
    refused: Operation | None = None

    def arm(self, position: int) -> None:
        """Refuse the operation at this position from now."""
        self.position = position

    async def perform(self, operation: Operation) -> Outcome:
        """Carry an operation out, unless it is the one."""
        if self.position == 0:
            self.position, self.refused = None, operation
            raise PlaneError(self.number, "refused by script")
        self.position = None if self.position is None else self.position - 1
        outcome: Outcome = await self.inner.perform(operation)
        return outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def refused_once(directory: Path, number: int, position: int) -> None:
    """Have the kernel refuse one operation of a tunnel with a session by PPP, on its way up or down: it comes up in the end, and nothing is left of it."""
    async with stage(directory, seconds=60, data_plane="kernel") as on:
        port = free_port()
        await on.start("lns", listen(port) + ANYBODY + POOL.format(keys=""))
        old = calls("old", port) + session("old", "o")
        lac = await on.start("lac", old)
        await until(lambda: _has_addresses(lac, "old", "o"))
        before, told = interfaces(), hear(on, lac)
        lac.adapter.plane = plane = Refusing(lac.adapter.plane, number)
        plane.arm(position)
        on.write("lac", old + calls("t", port) + session("t", "s", "persist = true\n"))
        await lac.reloader.reload()
        await until(lambda: addressed(lac))
        lac.dialer.remove("t", "enough")
        await until(lambda: interfaces() == before and plane.refused is not None)
        assert _has_addresses(lac, "old", "o")
        assert [] == [event for event in told.tunnels(What.DOWN) if event.name == "old"]
