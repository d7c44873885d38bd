"""Which session an interface belongs to, and what follows when it goes up, goes down or is deleted behind our back.

That of an Ethernet pseudowire is a circuit, of which the peer is told; where it is gone, the session ends. That of PPP says nothing to the peer, which
would go on sending into nowhere: so PPP ends, with its session, whether it is gone or was set down. But a pppd sets its interface down itself, when it
negotiates anew or ends, and would forget why if it were told to end as well. An interface may be gone by our own doing, and
another one of its name there, when a report of it is read: what is so now is what counts.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import trio

from l2tpd.events import PppEvent, What
from l2tpd.kernel.linkwatch import Report
from l2tpd.supervise import contained
from l2tpd.wire.numbers import CallResult

if TYPE_CHECKING:
    from l2tpd.events import SessionEvent
    from l2tpd.ppp.instances import Instance, Instances, Key
    from l2tpd.registry import Registry
    from l2tpd.tunnel.task import Tunnel

_SIOCGIFFLAGS = 0x8913  # linux/sockios.h
_IFREQ = struct.Struct("=16sH14x")  # linux/if.h: name, flags
_IFF_UP = 1


class Circuits:
    """The interfaces of all sessions that are up, where the data plane or PPP made one."""

    def __init__(self, registry: Registry[Tunnel], instances: Instances) -> None:
        """Look sessions up in a registry, and their PPP among all."""
        self._registry = registry
        self._instances = instances
        self._sessions: dict[str, Key] = {}
        self._ppp: dict[str, set[Key]] = {}  # many, where they share one

    def follow(self, event: SessionEvent) -> None:
        """Take note of a session that comes up or goes down."""
        if not event.interface:
            return
        key = (event.tunnel_id, event.session_id)
        if event.what is What.UP:
            self._sessions[event.interface] = key
        elif event.what is What.DOWN and self._sessions.get(event.interface) == key:
            del self._sessions[event.interface]

    def follow_ppp(self, event: PppEvent) -> None:
        """Take note of PPP that comes up or goes down, of which a pppd's may go on with its other network."""
        key = (event.tunnel_id, event.session_id)
        if event.what is What.UP:
            self._ppp.setdefault(event.interface, set()).add(key)
        elif (keys := self._ppp.get(event.interface)) is not None and not self._goes_on(key, event.interface):
            keys.discard(key)
            if not keys:
                del self._ppp[event.interface]

    def _goes_on(self, key: Key, interface: str) -> bool:
        instance = self._instances.get(key)
        return instance is not None and interface in instance.report.interfaces

    def link_changed(self, report: Report) -> None:
        """Tell the sessions whose interface this is."""
        if report.name in self._ppp and not report.up:
            self._check_ppp(report.name, _flags([report.name]))
        key = self._sessions.get(report.name)
        tunnel = self._registry.by_id.get(key[0]) if key else None
        if key is None or tunnel is None:
            return
        if not report.there:
            self._close(key, f"the interface {report.name} was deleted")
            return
        tunnel.contained(partial(tunnel.core.set_circuit, key[1], trio.current_time(), active=report.up))
        tunnel.flush_contained()

    def check(self) -> None:
        """Find out which interfaces are gone, after reports were lost; where nobody can tell, for want of a descriptor, none is."""
        found = _flags([*self._sessions, *self._ppp])
        for name in list(self._sessions):
            if found.get(name, _IFF_UP) is None:
                self.link_changed(Report(name, up=False, there=False))
        for name in list(self._ppp):
            self._check_ppp(name, found)

    def _check_ppp(self, name: str, found: Mapping[str, int | None]) -> None:
        flags = found.get(name, _IFF_UP)
        if flags is not None and flags & _IFF_UP:
            return
        text = f"the interface {name} was {'deleted' if flags is None else 'set down'}"
        staying: set[Key] = set()
        for key in self._ppp.pop(name, ()):
            instance = self._instances.get(key)
            if instance is not None and instance.sets_down and flags is not None:
                staying.add(key)
            elif instance is not None:
                self._end(instance, text)
        if staying:
            self._ppp[name] = staying

    def _end(self, instance: Instance, text: str) -> None:
        """End PPP of a session, and where that meets a bug, the session at once."""
        key, done = instance.report.key, False
        with contained(f"the end of PPP of session {key[0]}/{key[1]}", kind="link"):
            instance.disconnect(text)
            done = True
        if not done:
            self._close(key, text)

    def _close(self, key: Key, text: str) -> None:
        tunnel = self._registry.by_id.get(key[0])
        if tunnel is not None:
            now, lost = trio.current_time(), CallResult.LOST_CARRIER
            tunnel.contained(partial(tunnel.core.close_session, key[1], now, text, lost))
            tunnel.flush_contained()


def _flags(names: Iterable[str]) -> Mapping[str, int | None]:
    """Return the flags of interfaces, None where there is none of that name; nothing where no descriptor is left to ask by."""
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    except OSError:
        return {}
    with sock:
        return {name: _flags_of(sock, name) for name in names}


def _flags_of(sock: socket.socket, name: str) -> int | None:
    try:
        answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, _IFREQ.pack(name.encode(), 0) + bytes(8))
    except OSError:
        return None
    return int(_IFREQ.unpack_from(answer)[1])
