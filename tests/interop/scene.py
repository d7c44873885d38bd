"""One scenario: two hosts on a cable, captured or not, and the daemons that a test starts on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import trio

from interop.capture import Capture, Wire, capturing
from interop.daemon import Daemon, daemon
from interop.l2tpns import l2tpns
from interop.netns import Cable, Host, cable
from interop.program import Program
from interop.xl2tpd import Xl2tpd, xl2tpd

T = TypeVar("T")


class Scene:
    """Hosts, capture and running programs; at the end, all of them end."""

    def __init__(self, ends: Cable, capture: Capture | None, folder: Path, nursery: trio.Nursery) -> None:
        """Begin with nothing running but the capture, if there is one."""
        self.us = ends.us
        self.them = ends.them
        self._capture = capture
        self._folder = folder
        self._nursery = nursery
        self._held: list[_Held] = []
        self._started = 0
        self._wire: Wire | None = None

    async def xl2tpd(self, *sections: str, secret: str = "", host: Host | None = None) -> Xl2tpd:
        """Start an xl2tpd, on their host unless said otherwise, and return it when it listens."""
        return await self._hold("xl2tpd", xl2tpd(host or self.them, self._next("xl2tpd"), *sections, secret=secret))

    async def l2tpns(self, *, secret: str = "", more: str = "") -> Program:
        """Start an l2tpns on their host, with `more` in its configuration, and return it when it serves."""
        return await self._hold("l2tpns", l2tpns(self.them, self._next("l2tpns"), secret=secret, more=more))

    async def daemon(
        self, config: str, *, listen: str = "", host: Host | None = None, data_plane: str = "null"
    ) -> Daemon:
        """Start l2tpd with the tables of `config`, on our host unless said otherwise; return it when it is ready and its events are subscribed to."""
        starting = daemon(host or self.us, self._next("l2tpd"), config, listen=listen, data_plane=data_plane)
        return await self._hold("l2tpd", starting)

    def sign(self, secret: str) -> None:
        """Have the capture's digests verified with this secret at the end."""
        assert self._capture is not None
        self._capture.secret = secret

    async def end(self) -> Wire:
        """Stop every program, then the capture, and return what was on the cable, nothing if it was not captured; no packet of anybody may be unsound.

        l2tpd is stopped first, so that somebody is there to hear it say goodbye.
        """
        for held in sorted(self._held, key=lambda held: held.name != "l2tpd"):
            await held.let_go()
        self._held.clear()
        if self._wire is None:
            self._wire = await self._capture.finish() if self._capture else Wire(())
            assert self._wire.faults() == [], self._wire.dialogue()
        return self._wire

    def _next(self, name: str) -> Path:
        self._started += 1
        return self._folder / f"{self._started}-{name}"

    async def _hold(self, name: str, resource: AbstractAsyncContextManager[T]) -> T:
        held = _Held(name)
        value: T = await self._nursery.start(held.hold, resource)
        self._held.append(held)
        return value


class _Held:
    """A context that is open in a task of its own: a fixture and its test are two tasks, and a nursery belongs to one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._asked = trio.Event()
        self._left = trio.Event()

    async def hold(self, resource: AbstractAsyncContextManager[T], *, task_status: trio.TaskStatus[T]) -> None:
        async with resource as value:
            task_status.started(value)
            await self._asked.wait()
        self._left.set()

    async def let_go(self) -> None:
        self._asked.set()
        await self._left.wait()


@asynccontextmanager
async def open_scene(tag: str, folder: Path, *, captured: bool = True) -> AsyncIterator[Scene]:
    """Build the stage; at the end of the block take it down and have the capture judged, unless the test did that itself."""
    with cable(tag) as ends:
        async with AsyncExitStack() as stack:
            path = folder / "cable.pcapng"
            capture = await stack.enter_async_context(capturing(ends, path)) if captured else None
            nursery = await stack.enter_async_context(trio.open_nursery())
            scene = Scene(ends, capture, folder, nursery)
            yield scene
            await scene.end()
