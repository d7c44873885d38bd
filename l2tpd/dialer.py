"""The tunnels that we open ourselves: resolving, opening, opening again.

Theory of operation. A `Line` is one `[tunnel.NAME]`, from the configuration or from an operator. It always has a tunnel: one that is being set
up or is up, or one in state idle that waits for its time. When a tunnel ends, a persistent line gets a new idle one and a time, doubling from
`redial_delay` to `redial_delay_max` with every attempt in vain; any other line is dropped. One task watches all times on one heap. Attempts
leave at a bounded rate, so that a power cut does not become a burst that overruns the far end.

A peer's name is resolved anew for each attempt, in a task of its own with a limit on both number and time, so a dead resolver delays nobody
who needs no resolver.
"""

from __future__ import annotations

import errno
import functools
import math
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import trio

from l2tpd import log
from l2tpd.config.model import Address, Config, Encapsulation, HostPort, Mode, SessionInstance, TunnelInstance
from l2tpd.config.resolve import session_settings, tunnel_settings
from l2tpd.deadlines import Deadlines
from l2tpd.errors import LocalProtocolError
from l2tpd.rights import LOW_PORT, RAW, lacking
from l2tpd.session.call import Ending
from l2tpd.supervise import contain
from l2tpd.trace import Category
from l2tpd.tunnel import ipsock
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.dialect import dialect_of
from l2tpd.tunnel.outputs import Remark
from l2tpd.tunnel.port import any_address, bound, connected, enlarge_buffer, omit_checksums, source_towards
from l2tpd.tunnel.states import State
from l2tpd.tunnel.task import Tunnel
from l2tpd.wire.numbers import StopResult

if TYPE_CHECKING:
    from l2tpd.session.call import Call
    from l2tpd.tunnel.endpoint import Ward

RATE = 2000
"""How many attempts a second may leave, over all lines."""

RESOLVERS = 16
"""How many names may be resolved at once, with those that nobody waits for any longer."""

RESOLVE_TIMEOUT = 10.0
"""Seconds after which an attempt gives up on the resolver."""

UDP_PORT = 1701  # IANA
IP_PORT = 9  # over IP there are none; to ask for a route any will do

FUNC, SYSTEM = int(Category.FUNC), int(Category.SYSTEM)
_BATCH = 20

_log = log.get("dialer")


@attrs.define(eq=False)
class Line:
    """One tunnel that we keep open, whichever attempt it is at."""

    instance: TunnelInstance
    config: Config
    tunnel: Tunnel
    configured: bool  # it comes from the configuration, not from an operator
    attempts: int = 0  # since the tunnel last stayed up
    last_error: str = ""
    last_ending: Ending | None = None
    session_attempts: dict[str, int] = attrs.field(factory=dict)
    restart: bool = False  # opened again whatever the reason was for which it ended

    @property
    def config_sessions(self) -> Mapping[str, SessionInstance]:
        """The sessions that the configuration gives the tunnel; an operator may have added others."""
        instance = self.config.tunnels.get(self.instance.name)
        return instance.sessions if instance else {}

    @property
    def sessions(self) -> Mapping[str, SessionInstance]:
        """The sessions that belong to the tunnel."""
        return self.instance.sessions


class Dialer:
    """All lines of a daemon."""

    def __init__(self, ward: Ward) -> None:
        """Serve a daemon."""
        self._ward = ward
        self.lines: dict[str, Line] = {}
        self._due: Deadlines[tuple[str, str]] = (
            Deadlines()
        )  # (line, session): the session is empty for the tunnel itself
        self._wake = trio.Event()
        self._resolvers = trio.CapacityLimiter(RESOLVERS)
        self.resolve: Callable[..., Sequence[tuple[Any, ...]]] = socket.getaddrinfo  # blocks
        self._stopping = False

    # --- what operators and configuration ask for -----------------------------------------------------------------------------

    def place(self, instance: TunnelInstance, config: Config, *, configured: bool) -> Line:
        """Add a line and dial it at once. Raises `LocalProtocolError` when its name is taken, `Exhausted` when no id is free."""
        line = Line(instance, config, self._idle_tunnel(instance, config), configured)
        self.lines[instance.name] = line
        self._schedule((instance.name, ""), trio.current_time())
        return line

    def remove(self, name: str, reason: str) -> None:
        """Close a line's tunnel and do not dial it again."""
        line = self.lines.pop(name, None)
        if line is not None:
            self._forget(name, line)
            self._ward.registry.free_name(line.tunnel)
            _close(line.tunnel, reason)

    def change(self, name: str, instance: TunnelInstance, config: Config, *, restart: bool = False) -> None:
        """Go on with other settings: as far as a live tunnel can take them over, or with `restart` in a new tunnel."""
        line = self.lines[name]
        created = {key: value for key, value in line.sessions.items() if key not in line.config_sessions}
        line.instance = attrs.evolve(instance, sessions={**created, **instance.sessions})
        line.config = config
        tunnel, settings = line.tunnel, tunnel_settings(config, instance.profile, instance.said)
        if restart or tunnel.core.state is State.IDLE:
            line.restart = True
            _close(tunnel, "changed in the configuration")
        else:
            tunnel.contained(lambda: tunnel.core.reconfigure(settings, trio.current_time()))
            tunnel.flush_contained()

    def outdated(self, line: Line) -> bool:
        """Tell whether a line waits with settings that a changed profile no longer gives it."""
        core, instance = line.tunnel.core, line.instance
        return (
            core.state is State.IDLE and tunnel_settings(line.config, instance.profile, instance.said) != core.settings
        )

    def close_session(self, name: str, session: str, reason: str) -> None:
        """Close a session, which its line has no more or has with other settings."""
        line = self.lines.get(name)
        if line is not None:
            self.remove_session(line, session)
            tunnel = line.tunnel
            for call in [call for call in tunnel.core.calls.values() if call.name == session]:
                tunnel.contained(
                    functools.partial(tunnel.core.close_session, call.local_id, trio.current_time(), reason)
                )
            tunnel.flush_contained()

    def take_session(self, name: str, session: SessionInstance, config: Config) -> None:
        """Have a session of the configuration in its line, and ask for it if the tunnel is there; else it comes with the tunnel."""
        line = self.lines.get(name)
        if line is not None and line.configured:
            line.config = config
            line.instance = attrs.evolve(line.instance, sessions={**line.sessions, session.name: session})
            self._redial_session(line, session.name)

    def add_session(self, line: Line, session: SessionInstance) -> Call:
        """Add a session to a line and ask for it. Raises `LocalProtocolError`, and then nothing was added."""
        if session.name in line.sessions:
            raise LocalProtocolError(f"a session called `{session.name}` exists")
        if line.tunnel.core.state is State.IDLE:
            raise LocalProtocolError("the tunnel waits to be opened again")
        call = self._open_session(line, session)
        line.instance = attrs.evolve(line.instance, sessions={**line.sessions, session.name: session})
        return call

    def remove_session(self, line: Line, name: str) -> None:
        """Do not ask for a session again."""
        line.instance = attrs.evolve(
            line.instance, sessions={key: value for key, value in line.sessions.items() if key != name}
        )
        self._due.cancel((line.instance.name, name))

    def retry_in(self, line: Line) -> float | None:
        """Return in how many seconds a waiting line is dialled, or None when it is not waiting."""
        when = self._due.when((line.instance.name, ""))
        return None if when is None else max(0.0, when - trio.current_time())

    def stop(self) -> None:
        """Dial nothing any more."""
        self._stopping = True

    # --- what happens to tunnels ----------------------------------------------------------------------------------------------

    def over(self, tunnel: Tunnel) -> None:
        """Take note that a tunnel has ended, and dial its line again if it is persistent."""
        line = self._line_of(tunnel)
        if line is None or self._stopping:
            return
        line.last_ending = tunnel.core.ending
        stayed = tunnel.up_since is not None and trio.current_time() - tunnel.up_since >= line.instance.redial_delay_max
        if stayed:  # a peer that takes the tunnel and drops it at once is not to be called ever faster
            line.attempts = 0
        line.session_attempts.clear()
        self._again(line)

    def session_up(self, tunnel_name: str, name: str) -> None:
        """Take note that a session is established."""
        line = self.lines.get(tunnel_name)
        if line is not None:
            line.session_attempts.pop(name, None)

    def session_over(self, tunnel_name: str, name: str) -> None:
        """Ask again for a persistent session that ended while its tunnel lives on."""
        line = self.lines.get(tunnel_name)
        session = line.sessions.get(name) if line else None
        if line is None or session is None or line.tunnel.core.cleared:
            return
        if self._persists(line, session):
            self._ask_later(line, name)

    def _persists(self, line: Line, session: SessionInstance) -> bool:
        """Tell whether a session is asked for again; a configured pseudowire has no other way to come back."""
        if not line.tunnel.core.dialect.negotiates:
            return True
        try:
            return session_settings(line.config, session.profile, session.said).persist
        except LocalProtocolError:  # a reload has taken the profile away that an operator's session names
            return False

    def _ask_later(self, line: Line, name: str) -> None:
        attempts = line.session_attempts[name] = line.session_attempts.get(name, 0) + 1
        delay = self._delay(line.instance, attempts)
        self._schedule((line.instance.name, name), trio.current_time() + delay)

    # --- the task -------------------------------------------------------------------------------------------------------------

    async def run(
        self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Dial what is due until cancelled; attempts that must resolve a name run in `nursery`."""
        task_status.started()
        while True:
            await self._next_due()
            for count, key in enumerate(self._due.due(trio.current_time())):
                if count % _BATCH == _BATCH - 1:
                    await trio.sleep(_BATCH / RATE)
                if not self._stopping:
                    self._dial_contained(key, nursery)

    def _dial_contained(self, key: tuple[str, str], nursery: trio.Nursery) -> None:
        """Dial so that a bug that it meets costs this line's tunnel and no other."""
        try:
            self._dial(key, nursery)
        except Exception as bug:  # noqa: BLE001 - the boundary between one line and everybody's dialler
            self._ward.crashed(f"dialling {key[0]}", bug)
            line = self.lines.get(key[0])
            if line is not None and line.tunnel.sock is None:
                line.tunnel.crashed("internal error")

    async def _next_due(self) -> None:
        while (when := self._due.next()) is None or when > trio.current_time():
            self._wake = trio.Event()
            with trio.move_on_at(math.inf if when is None else when):
                await self._wake.wait()

    def _dial(self, key: tuple[str, str], nursery: trio.Nursery) -> None:
        name, session = key
        line = self.lines.get(name)
        if line is None:
            return
        if session:
            self._redial_session(line, session)
        elif line.tunnel.core.state is State.IDLE:
            line.attempts += 1
            if (line.tunnel.core.trace | self._ward.site.trace) & FUNC:
                self._ward.remark(line.tunnel, Remark(Category.FUNC, f"attempt {line.attempts}"))
            address = _numeric(line.instance)
            if address is not None:
                self._call(line, address)
            else:
                nursery.start_soon(self._resolve_contained, line)

    async def _resolve_contained(self, line: Line) -> None:
        def crashed(_: object) -> None:
            self._failed(line, "internal error")

        await contain(f"dialling {line.instance.name}", lambda: self._resolve(line), on_crash=crashed, kind="dialer")

    async def _resolve(self, line: Line) -> None:
        instance, tunnel = line.instance, line.tunnel
        try:
            with trio.fail_after(RESOLVE_TIMEOUT):
                found = await self._ask_resolver(instance.peer)
        except (OSError, trio.TooSlowError) as error:
            reason = "no answer from the resolver" if isinstance(error, trio.TooSlowError) else error.strerror
            self._failed(line, f"cannot resolve {instance.peer.host}: {reason}")
            return
        # Meanwhile the line may have been removed, or have got another tunnel for another peer.
        if self.lines.get(instance.name) is line and line.tunnel is tunnel and tunnel.core.state is State.IDLE:
            self._call(line, _preferred(found, instance.local))

    async def _ask_resolver(self, peer: HostPort) -> Sequence[tuple[Any, ...]]:
        """Return what getaddrinfo returns. Raises `OSError`.

        A question that was given up keeps its thread until the system's resolver gives up as well. So these threads are counted by us: those that
        everybody shares would be gone, and with them hook scripts and whatever else needs one.
        """
        question = functools.partial(self.resolve, peer.host, peer.port, type=socket.SOCK_DGRAM)
        return await trio.to_thread.run_sync(question, abandon_on_cancel=True, limiter=self._resolvers)

    def _call(self, line: Line, peer: Address) -> None:
        """Open the socket and the tunnel, and ask for its sessions."""
        tunnel, core = line.tunnel, line.tunnel.core
        core.peer = peer
        try:
            self._open_socket(line, peer)
        except OSError as error:
            reason = lacking(error, _right(line.instance))
            self._failed(line, f"cannot open a socket from {line.instance.local or 'any address'} to {peer}: {reason}")
            return
        self._ward.registry.note_calling(tunnel, peer.host)
        core.open(trio.current_time())
        for session in line.sessions.values():
            self._try_session(line, session)
        tunnel.flush()
        self._ward.launch(tunnel)

    def _open_socket(self, line: Line, peer: Address) -> None:
        tunnel, instance = line.tunnel, line.instance
        if instance.encap is Encapsulation.IP:
            self._open_ip(tunnel, instance, peer)
        else:
            self._open_udp(tunnel, instance, peer)
        if (tunnel.core.trace | self._ward.site.trace) & SYSTEM:
            self._ward.remark(tunnel, Remark(Category.SYSTEM, f"socket {tunnel.local} towards {peer}"))

    def _open_ip(self, tunnel: Tunnel, instance: TunnelInstance, peer: Address) -> None:
        """Open a socket for protocol 115. Raises `OSError`."""
        local = instance.local or source_towards(Address(peer.host, IP_PORT))
        core = tunnel.core
        tunnel.connected = True
        tunnel.sock = (
            ipsock.kernel_socket(local, core.local_id, peer.host)
            if self._ward.kernel_sockets
            else ipsock.raw_socket(local, peer.host)
        )
        tunnel.local = Address(local, 0)

    def _open_udp(self, tunnel: Tunnel, instance: TunnelInstance, peer: Address) -> None:
        """Open a socket for UDP. Raises `OSError`."""
        static = instance.mode is not Mode.DYNAMIC
        port = instance.local_port or (UDP_PORT if static else 0)
        # Which of our addresses it is decides whether a listener has this port already.
        host = instance.local or (source_towards(peer) if port else any_address(peer))
        local = Address(host, port)
        tunnel.shared_port = self._ward.serves(local)
        if port and self._ward.exclusive_paths:
            self._take_path(tunnel, (local, peer))
        # RFC 2661 8.1 lets the peer answer from another port, so the socket stays open to that until it has answered, unless the port
        # is also a listener's: then whatever this socket does not take arrives there.
        tunnel.connected = tunnel.shared_port or static
        # A fixed port may still be held by this line's last tunnel, which lingers.
        sock = connected(local, peer, share=True) if tunnel.connected else bound(local, share=bool(port))
        enlarge_buffer(sock)
        if not tunnel.core.settings.udp_checksum:
            sock = omit_checksums(sock)
        tunnel.sock = sock
        name = sock.getsockname()
        tunnel.local = Address(name[0], name[1])

    def _take_path(self, tunnel: Tunnel, path: tuple[Address, Address]) -> None:
        """Claim a path where the data plane can have but one tunnel. Raises `OSError`."""
        first = self._ward.registry.occupant(path)
        if first is not None and first is not tunnel:
            first.probe()
            text = f"tunnel {first.core.local_id} runs from {path[0]}, and this kernel carries one there: give this one another `local_port`"
            raise OSError(errno.EADDRINUSE, text)
        self._ward.registry.occupy(tunnel, path)

    def _open_session(self, line: Line, session: SessionInstance) -> Call:
        core = line.tunnel.core
        settings = session_settings(line.config, session.profile, session.said)
        return core.open_session(settings, trio.current_time(), name=session.name, profile=session.profile)

    def _redial_session(self, line: Line, name: str) -> None:
        session, tunnel = line.sessions.get(name), line.tunnel
        waiting = tunnel.core.state is State.IDLE or tunnel.core.cleared  # then the session comes with the next tunnel
        if session is None or waiting or any(call.name == name for call in tunnel.core.calls.values()):
            return
        tunnel.contained(functools.partial(self._try_session, line, session))
        tunnel.flush_contained()

    def _try_session(self, line: Line, session: SessionInstance) -> None:
        """Ask for a session; where a limit forbids it now, a persistent one is tried again later."""
        try:
            self._open_session(line, session)
        except LocalProtocolError as error:
            _log.warning(
                "session cannot be asked for", tunnel=line.instance.name, session=session.name, reason=str(error)
            )
            if self._persists(line, session):
                self._ask_later(line, session.name)

    # --- within ---------------------------------------------------------------------------------------------------------------

    def _idle_tunnel(self, instance: TunnelInstance, config: Config) -> Tunnel:
        ward = self._ward
        settings = tunnel_settings(config, instance.profile, instance.said)
        peer = Address(instance.peer.host, instance.peer.port)
        dialect = dialect_of(instance.version, instance.mode)
        if instance.tunnel_id:
            ward.check_id(instance.tunnel_id)
        core = ControlConnection(
            instance.tunnel_id or ward.new_id(dialect.id_bits),
            ward.site,
            settings,
            peer,
            trio.current_time(),
            origin="local",
            name=instance.name,
            profile=instance.profile,
            dialect=dialect,
            encap=instance.encap,
            peer_id=instance.peer_tunnel_id,
        )
        tunnel = Tunnel(core=core, house=ward, local=Address(instance.local or any_address(peer), instance.local_port))
        ward.registry.add(tunnel)
        tunnel.flush()
        return tunnel

    def _failed(self, line: Line, reason: str) -> None:
        """Take note of an attempt that did not come as far as a datagram."""
        line.last_error = reason
        _log.warning("tunnel cannot be opened", tunnel=line.instance.name, reason=reason)
        if self.lines.get(line.instance.name) is not line:
            return
        if line.instance.persist:
            self._schedule((line.instance.name, ""), trio.current_time() + self._delay(line.instance, line.attempts))
        else:
            self.remove(line.instance.name, reason)

    def _again(self, line: Line) -> None:
        name = line.instance.name
        self._forget(name, line)
        if not line.instance.persist and not line.restart:
            del self.lines[name]
            return
        line.tunnel = self._idle_tunnel(line.instance, line.config)
        delay = 0.0 if line.restart else self._delay(line.instance, line.attempts)
        line.restart = False
        _log.info("tunnel will be opened again", tunnel=name, seconds=round(delay, 1))
        self._schedule((name, ""), trio.current_time() + delay)

    def _forget(self, name: str, line: Line) -> None:
        self._due.cancel((name, ""))
        for session in line.sessions:
            self._due.cancel((name, session))

    def _delay(self, instance: TunnelInstance, attempts: int) -> float:
        """Return the pause before the next attempt, spread by up to a quarter so that many lines do not stay in step."""
        doublings = min(max(0, attempts - 1), 64)
        delay = min(instance.redial_delay_max, instance.redial_delay * 2.0**doublings)
        return delay * (1 + self._ward.site.random(1)[0] / 1024)

    def _schedule(self, key: tuple[str, str], when: float) -> None:
        self._due.set(key, when)
        self._wake.set()

    def _line_of(self, tunnel: Tunnel) -> Line | None:
        line = self.lines.get(tunnel.core.name)
        return line if line is not None and line.tunnel is tunnel else None


def _close(tunnel: Tunnel, reason: str) -> None:
    tunnel.close(StopResult.GENERAL, reason)
    if not tunnel.core.was_up:
        tunnel.abandon()  # nobody has answered yet, and nobody is waited for


def _right(instance: TunnelInstance) -> str:
    """Return which capability a tunnel's socket may take."""
    if instance.encap is Encapsulation.IP:
        return RAW
    return LOW_PORT if 0 < instance.local_port < 1024 else ""


def _numeric(instance: TunnelInstance) -> Address | None:
    """Return the peer's address where it needs no resolver."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, instance.peer.host.partition("%")[0])
        except OSError:
            continue
        return Address(instance.peer.host, instance.peer.port)
    return None


def _preferred(found: Sequence[tuple[Any, ...]], local: str) -> Address:
    """Return the first address of the family that our own address is of; `found` is what getaddrinfo returns."""
    names = [entry[4] for entry in found if not local or (entry[0] is socket.AF_INET6) == (":" in local)]
    host, port = (names or [found[0][4]])[0][:2]
    return Address(str(host), int(port))
