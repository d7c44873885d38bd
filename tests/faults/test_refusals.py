"""The data plane refuses one operation, whichever: who asked for it is told, everybody else lives on, and nothing is left in the plane."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import trio

from faults.blows import nothing_kept
from l2tpd import log
from l2tpd.daemon import Daemon
from l2tpd.errors import PlaneError
from l2tpd.events import What
from l2tpd.kernel.ops import DeleteSession, DeleteTunnel, ModifySession, Operation, Outcome
from l2tpd.kernel.recording import RecordingPlane
from pair import (
    ANYBODY,
    QUICK,
    Stage,
    calls,
    carried,
    free_port,
    hear,
    listen,
    session,
    stage,
    tunnel,
    until,
    up,
)

ERRORS = [errno.ENOBUFS, errno.EAGAIN, errno.ENODEV, errno.EPERM]
OPERATIONS = 14
"""More than any scenario here has."""


@attrs.define(eq=False)
class Refusing(RecordingPlane):
    """A plane that refuses one operation, counted from `arm` on, with an error of the kernel's."""

    number: int = errno.ENOBUFS
    position: int | None = None  # of the operation to refuse, counted from `arm`
    refused: Operation | None = None
    _seen: int = 0

    def arm(self, position: int) -> None:
        """Refuse the operation at this position from now."""
        self.position, self._seen = position, 0

    async def perform(self, operation: Operation) -> Outcome:
        self._seen += 1
        if self.position is not None and self._seen == self.position + 1:
            self.log.append(operation)
            self.refused, self.position = operation, None
            raise PlaneError(self.number, "refused by script")
        return await super().perform(operation)


@attrs.define(eq=False)
class Scene:
    """Two daemons; the LAC's plane refuses, where `bystander` is up and not concerned."""

    on: Stage
    lns: Daemon
    lac: Daemon
    plane: Refusing
    lns_plane: RecordingPlane
    port: int

    async def reload(self, text: str) -> None:
        """Have the LAC read another configuration, that still has the bystander."""
        self.on.write("lac", bystander(self.port) + text)
        await self.lac.reloader.reload()

    async def more(self) -> None:
        """Have one more tunnel, with two sessions."""
        await self.reload(lines(self.port))
        await until(lambda: carried(self.lac, "t", "a") and carried(self.lac, "t", "b"))

    def is_well(self) -> bool:
        """Tell whether the bystander is as it was."""
        return up(self.lac, "bystander") and carried(self.lac, "bystander", "s")


def bystander(port: int) -> str:
    return calls("bystander", port) + session("bystander", "s")


async def begin(on: Stage, number: int) -> Scene:
    port, plane, lns_plane = free_port(), Refusing(number=number), RecordingPlane()
    lns = await on.start("lns", listen(port) + ANYBODY, plane=lns_plane)
    lac = await on.start("lac", bystander(port), plane=plane)
    scene = Scene(on, lns, lac, plane, lns_plane, port)
    await until(scene.is_well)
    return scene


async def finish(scene: Scene) -> None:
    """End both politely; nothing is left of either."""
    scene.plane.position = None
    for daemon in (scene.lac, scene.lns):
        daemon.stop(at_once=False)
    for name in ("lac", "lns"):
        await scene.on.ended[name].wait()
    for plane in (scene.plane, scene.lns_plane):
        assert (set(), set()) == (plane.tunnels, plane.sessions)
    for daemon in (scene.lac, scene.lns):
        nothing_kept(daemon)


def complaints() -> list[str]:
    return [line.text for line in log.ring.lines() if line.level in {"warning", "error", "critical"}]


@pytest.fixture(autouse=True)
def _fresh_log() -> Iterator[None]:
    log.ring.clear()
    log.configure("info")
    yield
    log.close()


KEEP = "persist = true\n"
LINES = calls("t", 0, QUICK) + session("t", "a", KEEP) + session("t", "b", KEEP)


def lines(port: int) -> str:
    return LINES.replace(":0", f":{port}")


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("number", ERRORS)
async def test_setting_up(tmp_path: Path, number: int, position: int) -> None:
    """A tunnel or session that is refused is closed with a reason that the peer hears, is tried again, and comes up; the bystander is untouched."""
    async with stage(tmp_path) as on:
        scene = await begin(on, number)
        before, heard = tunnel(scene.lac, "bystander"), hear(on, scene.lns)
        scene.plane.arm(position)
        await scene.more()
        assert scene.plane.refused is not None
        if position == 0:
            ends = [(event.result, event.error, event.message) for event in heard.tunnels(What.DELETED)]
            assert [(2, 4, "refused by script")] == ends
        else:
            assert [(4, "refused by script")] == [
                (event.result, event.message) for event in heard.sessions(What.DELETED)
            ]
        assert before is tunnel(scene.lac, "bystander")
        assert scene.is_well()
        await finish(scene)


@pytest.mark.parametrize("position", range(2))
@pytest.mark.parametrize("number", ERRORS)
async def test_changing(tmp_path: Path, number: int, position: int) -> None:
    """A session that cannot be as the peer demands is closed with the reason; its sister and its tunnel stay."""
    async with stage(tmp_path) as on:
        scene = await begin(on, number)
        await scene.more()
        mine = tunnel(scene.lac, "t")
        heard = hear(on, scene.lns)
        scene.plane.arm(position)
        calls_there = [found.local_id for found in mine.core.calls.values()]
        for local_id in calls_there:
            mine.core.calls[local_id].sequencing = True
            mine._ask_plane(
                ModifySession(tunnel_id=mine.core.local_id, session_id=local_id, sequencing=True), trio.current_time()
            )
        await until(lambda: heard.sessions(What.DELETED))
        await until(lambda: carried(scene.lac, "t", "a") and carried(scene.lac, "t", "b"))
        assert ["refused by script"] == [event.message for event in heard.sessions(What.DELETED)]
        assert mine is tunnel(scene.lac, "t")
        assert scene.is_well()
        await finish(scene)


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("number", ERRORS)
async def test_tearing_down(tmp_path: Path, number: int, position: int) -> None:
    """What the kernel does not let go of at first is asked for again: nothing is left of a tunnel whose sessions were closed before."""
    async with stage(tmp_path) as on:
        scene = await begin(on, number)
        await scene.more()
        here = len(scene.plane.tunnels), len(scene.plane.sessions)
        assert (2, 3) == here
        scene.plane.arm(position)
        for name in ("a", "b"):
            scene.lac.dialer.close_session("t", name, "enough")
        await until(lambda: not tunnel(scene.lac, "t").core.calls)
        scene.lac.dialer.remove("t", "enough")
        await until(lambda: (1, 1) == (len(scene.plane.tunnels), len(scene.plane.sessions)))
        if position < 3:
            assert isinstance(scene.plane.refused, DeleteSession | DeleteTunnel)
        assert scene.is_well()
        await finish(scene)


@pytest.mark.parametrize("position", range(OPERATIONS))
async def test_reloading(tmp_path: Path, position: int) -> None:
    """A reload that removes a tunnel, restarts another and adds a third: one refusal, wherever, delays what it concerns and nothing else."""
    async with stage(tmp_path) as on:
        scene = await begin(on, ERRORS[position % len(ERRORS)])
        before = tunnel(scene.lac, "bystander")
        old = (
            calls("gone", scene.port)
            + session("gone", "s", KEEP)
            + calls("other", scene.port)
            + session("other", "s", KEEP)
        )
        await scene.reload(old)
        await until(lambda: carried(scene.lac, "gone", "s") and carried(scene.lac, "other", "s"))
        new = calls("other", scene.port, QUICK + 'mode = "dynamic"\nreceive_window = 9\n') + session(
            "other", "s", KEEP + 'role = "lns"\n'
        )
        scene.plane.arm(position)
        await scene.reload(new + lines(scene.port))
        wanted = [("other", "s"), ("t", "a"), ("t", "b")]
        await until(lambda: all(name in scene.lac.dialer.lines and carried(scene.lac, name, of) for name, of in wanted))
        await until(lambda: (3, 4) == (len(scene.plane.tunnels), len(scene.plane.sessions)))
        assert before is tunnel(scene.lac, "bystander")
        assert scene.is_well()
        assert "gone" not in scene.lac.dialer.lines
        await finish(scene)


async def test_an_object_that_the_kernel_never_lets_go_of(tmp_path: Path) -> None:
    """It is said in the log what was refused and why, and nothing waits for it."""

    @attrs.define(eq=False)
    class Stubborn(RecordingPlane):
        async def perform(self, operation: Operation) -> Outcome:
            if isinstance(operation, DeleteTunnel):
                raise PlaneError(errno.EPERM, "never")
            return await super().perform(operation)

    plane, port = Stubborn(), free_port()
    async with stage(tmp_path) as on:
        await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("t", port), plane=plane)
        await until(lambda: up(lac, "t") and plane.tunnels)
        lac.stop(at_once=False)
        await on.ended["lac"].wait()
    (said,) = [line for line in complaints() if "refused a delete" in line]
    assert "DeleteTunnel" in said
    assert "never" in said
