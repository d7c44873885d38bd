"""Which session an interface belongs to, and what follows when it goes up, goes down or is deleted behind our back."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import trio

from l2tpd.events import What
from l2tpd.kernel.linkwatch import Report
from l2tpd.wire.numbers import CallResult

if TYPE_CHECKING:
    from l2tpd.events import SessionEvent
    from l2tpd.registry import Registry
    from l2tpd.tunnel.task import Tunnel


class Circuits:
    """The interfaces of all sessions that are up, where the data plane made one."""

    def __init__(self, registry: Registry[Tunnel]) -> None:
        """Look sessions up in a registry."""
        self._registry = registry
        self._sessions: dict[str, tuple[int, int]] = {}

    def follow(self, event: SessionEvent) -> None:
        """Take note of a session that comes up or goes down."""
        if not event.interface:
            return
        key = (event.tunnel_id, event.session_id)
        if event.what is What.UP:
            self._sessions[event.interface] = key
        elif event.what is What.DOWN and self._sessions.get(event.interface) == key:
            del self._sessions[event.interface]

    def link_changed(self, report: Report) -> None:
        """Tell the session whose interface this is."""
        key = self._sessions.get(report.name)
        tunnel = self._registry.by_id.get(key[0]) if key else None
        if key is None or tunnel is None:
            return
        now, core = trio.current_time(), tunnel.core
        work: Callable[[], None] = partial(core.set_circuit, key[1], now, active=report.up)
        if not report.there:
            gone = f"the interface {report.name} was deleted"
            work = partial(core.close_session, key[1], now, gone, CallResult.LOST_CARRIER)
        tunnel.contained(work)
        tunnel.flush_contained()

    def check(self) -> None:
        """Find out which interfaces are gone, after reports were lost."""
        for name in list(self._sessions):
            try:
                socket.if_nametoindex(name)
            except OSError:
                self.link_changed(Report(name, up=False, there=False))
