"""What ends is freed at once, by reference counts alone.

The cycle collector has thresholds that are fit for mass set-ups: what only it can free may pile up for days (see `app.tune_collector`).
"""

from __future__ import annotations

import errno
import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

import taps
from l2tpd.daemon import Daemon
from l2tpd.errors import PlaneError
from l2tpd.kernel.adapter import Adapter
from l2tpd.kernel.ops import CreateTunnel, Operation, Outcome
from l2tpd.kernel.recording import RecordingPlane
from pair import ANYBODY, call, calls, carried, console, free_port, listen, session, stage, tunnel, until

INTERFACES = pytest.mark.skipif(
    bool(taps.why_not()), reason=f"NO INTERFACE OF THE USER PLANE IS FREED: {taps.why_not()}"
)
NULL = ""
ETHERNET = 'versions = ["l2tpv3"]\n'
LNS = """[profile.ppp.default]
local_address = "10.9.0.1"
pool = "all"
ipv6 = true
prefix_pool = "links"
{keys}[pool.all]
range = "10.9.0.2-10.9.0.9"
[pool.links]
range = "2001:db8:1::/60"
prefix_length = 64
"""
LAC = "[profile.ppp.default]\nipv6 = true\n"
OURS = ("l2tpd.kernel.", "l2tpd.ppp.", "l2tpd.session.", "l2tpd.tunnel.")


@contextmanager
def cycles() -> Iterator[Counter[str]]:
    """Count what objects of ours, by type, nobody can reach at the end of the block and only the collector would free."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = (f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
        found.update(kind for kind in kinds if kind.startswith(OURS))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.collect()


@pytest.fixture
def namespace() -> Iterator[None]:
    """A network namespace of the test's own, where there may be one."""
    if taps.why_not():
        yield
        return
    with taps.namespace():
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("0")
        yield


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("what", ["session", "tunnel"])
@pytest.mark.parametrize(
    ("plane", "lns", "lac"),
    [
        pytest.param("null", NULL, NULL, id="null"),
        pytest.param("user", LNS.format(keys=""), LAC, id="ppp", marks=INTERFACES),
        pytest.param("user", LNS.format(keys="shared_interface = true\n"), LAC, id="shared", marks=INTERFACES),
        pytest.param("user", ETHERNET, NULL, id="ethernet", marks=INTERFACES),
    ],
)
async def test_what_ends(tmp_path: Path, plane: str, lns: str, lac: str, what: str) -> None:
    """Neither end keeps anything of it that nobody knows."""
    assert {} == await left_over(tmp_path, plane, lns, lac, what)


async def left_over(folder: Path, plane: str, lns: str, lac: str, what: str) -> Counter[str]:
    """Have a `session` or a `tunnel` come up and end, with these keys of both configurations; return what only the collector would free."""
    port = free_port()
    version3 = "l2tpv3" in lns
    line = calls("t", port, "persist = false\n" + ('version = "l2tpv3"\n' if version3 else ""))
    line += session("t", "s", "persist = false\n" + ('pseudowire = "eth"\n' if version3 else ""))

    def there(daemon: Daemon) -> bool:
        found = call(daemon, "t", "s")
        return (
            found is not None and carried(daemon, "t", "s") and (not lac or bool(found.ppp_remote and found.ppp_ipv6))
        )

    async with stage(folder, data_plane=plane) as on:
        called = await on.start("lns", listen(port) + ANYBODY + lns)
        caller = await on.start("lac", line + lac)
        await until(lambda: there(caller))
        await until(lambda: called.registry.sessions == 1)
        with cycles() as found:
            ids = tunnel(caller, "t").core.local_id, next(iter(tunnel(caller, "t").core.calls))
            if what == "session":
                console(caller).delete_session(*ids, "enough")
            else:
                console(caller).delete_tunnel(ids[0], "enough")
            await until(lambda: not called.registry.sessions and not caller.registry.sessions)
            await trio.testing.wait_all_tasks_blocked(0.05)
        return found


class Unwilling(RecordingPlane):
    """A plane that refuses everything, but not at once."""

    asked: trio.Event
    answers: trio.Event

    async def perform(self, operation: Operation) -> Outcome:
        del operation
        self.asked.set()
        await self.answers.wait()
        raise PlaneError(errno.EPERM, "no")


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "waits no more"])
async def test_what_is_refused(waits: bool) -> None:
    """A refusal knows where it came from: whoever waits for it does not keep it, nor does it keep who waits no longer."""
    plane = Unwilling()
    plane.asked, plane.answers = trio.Event(), trio.Event()
    adapter = Adapter(plane, lambda _operation, _error: None)
    replies: list[str] = []

    async def submit(scope: trio.CancelScope) -> None:
        with scope:
            try:
                await adapter.submit(CreateTunnel(tunnel_id=1, peer_tunnel_id=2))
            except PlaneError as error:
                replies.append(error.text)

    with cycles() as found:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(adapter.run)
            scope = trio.CancelScope()
            nursery.start_soon(submit, scope)
            await plane.asked.wait()
            if not waits:
                scope.cancel()
                await trio.testing.wait_all_tasks_blocked()
            plane.answers.set()
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert ["no"] * waits == replies
    assert {} == found
