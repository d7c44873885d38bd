"""The composition root: what the daemon consists of, and the order in which it starts and stops.

Theory of operation. Nurseries nest by need. Outermost are the services that tunnels rely on: signals, the data plane's task, the listeners,
the control socket, the dialler. Inside is the nursery of the tunnels. So tunnels end first, and whatever they need to say goodbye is still
there.

A polite stop is a message, not a blow: no new tunnels, StopCCN to every peer (paced), and up to `stop_timeout` for their acknowledgements; then
the tunnels' nursery is cancelled, and after it the services'. A second signal skips the waiting.

One tunnel's bug ends one tunnel. Each runs inside `contain`; a bug that shows while a packet is dispatched to it is handed to its own task.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import trio

from l2tpd import log, portrait, signals, systemd
from l2tpd.bus import Bus
from l2tpd.capture import Tap
from l2tpd.circuits import Circuits
from l2tpd.config import scalars
from l2tpd.config.model import Address, Config, Encapsulation, Listen, Mode, PppAuthority
from l2tpd.console import Console
from l2tpd.control import server
from l2tpd.dialer import Dialer
from l2tpd.draws import Draws
from l2tpd.errors import LocalProtocolError, PlaneError, StartupError
from l2tpd.events import DaemonStopping, Event, PppEvent, SessionEvent, TunnelEvent, What
from l2tpd.ids import Allocator
from l2tpd.kernel import linkwatch
from l2tpd.kernel.adapter import Adapter
from l2tpd.kernel.choose import Chosen, choose
from l2tpd.kernel.null import NullPlane
from l2tpd.kernel.plane import DataPlane, MovingPlane, PacketPlane
from l2tpd.kernel.pppunit import interface_traffic
from l2tpd.ledger import Ledger
from l2tpd.options import Options
from l2tpd.ppp.describe import describe
from l2tpd.ppp.engines import Engines
from l2tpd.ppp.leases import Leases
from l2tpd.ppp.pppd import Pppd
from l2tpd.ppp.task import Builtin
from l2tpd.ppp.tun import Tuns
from l2tpd.ppp.way import UNTOLD, Way
from l2tpd.radius.client import Radius
from l2tpd.registry import Registry, source_of
from l2tpd.reload import Reloader, named
from l2tpd.scripts import Scripts
from l2tpd.supervise import contain, contained, crashes
from l2tpd.trace import Category, mask
from l2tpd.tunnel.actions import PACE
from l2tpd.tunnel.endpoint import Endpoint
from l2tpd.tunnel.ipsock import IpListener
from l2tpd.tunnel.linger import CYCLE, Lingering
from l2tpd.tunnel.outputs import Remark
from l2tpd.tunnel.policy import Policy
from l2tpd.tunnel.port import AnyListener, Arrived, Listener
from l2tpd.tunnel.site import Site
from l2tpd.tunnel.states import State
from l2tpd.tunnel.task import Tunnel
from l2tpd.wire.numbers import StopResult, call_result_text, error_text, stop_result_text

if TYPE_CHECKING:
    from l2tpd.kernel.ops import Operation

DUMPED = 200
"""How many tunnels are written to the log on SIGUSR2."""

_PPP = int(Category.PPP)  # in plain numbers, since each frame is looked at: an enumeration takes ten times as long
_log = log.get("daemon")


class Daemon:
    """All of a running daemon; the `House` of its tunnels and the `Ward` of its endpoint."""

    def __init__(self, config: Config, options: Options, chosen: Chosen | None = None) -> None:
        """Compose the parts; nothing is opened yet. Without a `chosen` plane `run` chooses one."""
        self._chosen = chosen
        self.config = config
        self.options = options
        self.started = trio.current_time()
        self.registry: Registry[Tunnel] = Registry()
        self.lingering = Lingering()
        self.policy = Policy(config, self.registry)
        self.site = Site(random=os.urandom, calls=self.policy, hostname="", vendor_name="")
        self.site.name(config.system)
        self.bus = Bus()
        self.tap = Tap()
        system = config.system
        self.scripts = Scripts(system.script_directory, limit=system.script_limit, timeout=system.script_timeout)
        self.ledger = Ledger()
        self.adapter = Adapter(NullPlane(), self._plane_refused, self.ledger.performed)
        self.endpoint = Endpoint(self)
        self.dialer = Dialer(self)
        self.reloader = Reloader(self)
        self.plane_reason = "not chosen yet"
        self.exclusive_paths = False
        self.packets: PacketPlane | None = None
        self.leases = Leases(lambda: self.config, trio.current_time)
        self.radius = Radius(lambda: self.config, self._way_of, interface_traffic)
        builtin = Builtin(self.leases, lambda: self.config.system.hostname, self._remark_ppp, self._way_of)
        builtin.authorities[PppAuthority.RADIUS] = builtin.accountant = self.radius
        self.ppp = Engines(Pppd(self.leases, self._remark_ppp), builtin)
        self.ppp.instances.tell = self._tell_ppp
        self.circuits = Circuits(self.registry, self.ppp.instances)
        self.crashes = 0
        self._ids = {bits: Allocator(bits, Draws(os.urandom), CYCLE) for bits in (16, 32)}
        self._tunnels: trio.Nursery | None = None
        self._stop = trio.Event()
        self._at_once = trio.Event()
        self._empty = trio.Event()  # set once a stop has nobody left to wait for
        self._remarks = log.RateLimit()
        self.apply_trace()

    # --- start and stop -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until told to stop. Raises `StartupError`, alone or in a group, when something cannot be opened."""
        plane, listeners = await self._choose_plane(), list[AnyListener]()
        try:
            listeners = self._bind()
            await self._serve(listeners)
        finally:
            for listener in listeners:
                listener.close()  # those that nobody came to read
            # Cancelled from outside, the tunnels and the adapter's task end side by side, and a tunnel's goodbye may take longer.
            await self.adapter.finish()  # noqa: ASYNC102 - shielded, with a deadline
            self.ppp.close()
            self.radius.close()
            if isinstance(plane, MovingPlane):
                plane.close()

    async def _choose_plane(self) -> DataPlane:
        chosen = self._chosen or await choose(self.config.system.data_plane)
        self.adapter.plane = plane = chosen.plane
        self.plane_reason = chosen.reason
        self.exclusive_paths = isinstance(plane, MovingPlane) and plane.exclusive_paths
        self.packets = plane if isinstance(plane, PacketPlane) else None
        self.ppp.tuns = plane if isinstance(plane, Tuns) else None
        if chosen.warning:
            _log.warning(chosen.warning)
        else:
            _log.notice("data plane", plane=plane.name, reason=chosen.reason)
        return plane

    async def _serve(self, listeners: list[AnyListener]) -> None:
        system = self.config.system
        async with trio.open_nursery() as services:
            services.start_soon(systemd.feed_watchdog)
            await services.start(signals.watch, self.stop, self.reloader.request, self.reopen_log, self.dump)
            if self.options.stop_at_eof:
                services.start_soon(signals.watch_input, self.stop)
            await services.start(self.adapter.run)
            if isinstance(self.adapter.plane, MovingPlane):
                await services.start(linkwatch.watch, self.circuits)
            await services.start(self.ppp.serve)
            await services.start(self.radius.run)
            await services.start(self.endpoint.sort_strays)
            for listener in listeners:
                await services.start(self.endpoint.serve, listener)
                _log.notice("listening", address=str(listener.address), encap=listener.encap.value)
            console = Console(self)
            await services.start(
                server.serve,
                console,
                system.control_socket,
                system.control_owner,
                system.control_group,
                system.control_mode,
            )
            if system.metrics_address:
                await self._serve_metrics(services, scalars.address(system.metrics_address), console)
            await services.start(self.reloader.run)
            await services.start(self.scripts.run)
            async with trio.open_nursery() as tunnels:
                self.adopt(tunnels)
                try:
                    await tunnels.start(self.dialer.run, tunnels)
                    self.dial(self.config)
                    self.options.ready()
                    await self._stop.wait()
                    await self._say_goodbye()
                finally:  # cancelled from outside, too: once its block is left, a nursery takes nobody
                    self.policy.drain = True
                    self.dialer.stop()
                    self.adopt(None)
                tunnels.cancel_scope.cancel()
            self.bus.close()
            self.tap.close()
            await trio.lowlevel.checkpoint()
            await self._finish_scripts()
            services.cancel_scope.cancel()

    async def _serve_metrics(self, services: trio.Nursery, address: Address, console: Console) -> None:
        try:
            from l2tpd import metrics  # noqa: PLC0415 - what it takes need not be installed where it is not asked for
        except ImportError as lack:
            text = f"system.metrics_address takes the package {lack.name} (pip install 'l2tpd[metrics]')"
            raise StartupError(text) from lack
        parts = metrics.Parts(
            registry=self.registry,
            site=self.site,
            adapter=self.adapter,
            scripts=self.scripts,
            ledger=self.ledger,
            system=lambda: self.config.system,
            drain=lambda: self.policy.drain,
            pools=console.pools,
            radius=self.radius.state,
            lost=self.lost,
        )
        _log.notice("metrics", address=str(await services.start(metrics.serve, address, parts)))

    def adopt(self, tunnels: trio.Nursery | None) -> None:
        """Run tunnels in this nursery from now on; none are begun without one."""
        self._tunnels = tunnels

    def stop(self, at_once: bool) -> None:
        """Begin a polite stop; with `at_once` do not wait for the peers any longer."""
        self._stop.set()
        if at_once:
            self._at_once.set()

    def dial(self, config: Config) -> None:
        """Begin with the tunnels of a configuration."""
        # Those whose ids are configured come first, before another one draws such an id.
        for instance in sorted(config.tunnels.values(), key=lambda one: not one.tunnel_id):
            self.dialer.place(instance, config, configured=True)

    def _bind(self) -> list[AnyListener]:
        listeners: list[AnyListener] = []
        try:
            listeners.extend(self._listener(listen) for listen in self.config.listen)
        except StartupError:
            for listener in listeners:
                listener.close()
            raise
        return listeners

    def _listener(self, listen: Listen) -> AnyListener:
        if listen.encap is Encapsulation.IP:
            return IpListener(listen.address, kernel=self.kernel_sockets)
        return Listener(listen.address)

    def lost(self) -> dict[str, int]:
        """Return what was lost at limits of which others than tunnels keep count, by the words of `gauges.LIMITS`."""
        return {"events": self.bus.lost, "captured-messages": self.tap.lost, **self.ppp.lost}

    @property
    def stopping(self) -> bool:
        """Whether a stop has begun."""
        return self._stop.is_set()

    async def _say_goodbye(self) -> None:
        _log.notice("stopping", tunnels=len(self.registry), sessions=self.registry.sessions)
        systemd.Notifier().stopping()
        self.publish(DaemonStopping(at_once=self._at_once.is_set()))
        self.policy.drain = True
        self.dialer.stop()
        with trio.move_on_after(self.config.system.stop_timeout):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._cut_short, nursery.cancel_scope)
                await self._close_all()
                if len(self.registry):
                    await self._empty.wait()
                nursery.cancel_scope.cancel()

    async def _finish_scripts(self) -> None:
        """Let the scripts of what has just ended run, and its accounting be delivered, unless an operator is in a hurry."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cut_short, nursery.cancel_scope)
            async with trio.open_nursery() as last:
                last.start_soon(self.radius.finish)
                await self.scripts.finish(self.config.system.stop_timeout)
            nursery.cancel_scope.cancel()

    async def _cut_short(self, scope: trio.CancelScope) -> None:
        await self._at_once.wait()
        scope.cancel()

    async def _close_all(self) -> None:
        ended = 0
        for tunnel in self.registry:
            ended += 1 + min(len(tunnel.core.calls), PACE)
            with contained(f"the goodbye of tunnel {tunnel.core.local_id}", kind="tunnel"):
                tunnel.close(StopResult.SHUTTING_DOWN, "shutting down")
            if not tunnel.core.was_up:
                tunnel.abandon()  # a stranger, perhaps forged, is not waited for
            if ended >= PACE:
                ended = 0
                await trio.lowlevel.checkpoint()

    # --- what tunnels need ----------------------------------------------------------------------------------------------------

    @property
    def kernel_sockets(self) -> bool:
        """Whether tunnels over IP need the kernel's own sockets, for the kernel to take their data."""
        return self.adapter.plane.name == "kernel"

    @property
    def stop_timeout(self) -> float:
        """How long a cancelled tunnel may take for its goodbye: none, once everybody was told to stop and given the time."""
        return 0.0 if self._stop.is_set() else self.config.system.stop_timeout

    def dispatch(self, arrived: Arrived) -> Tunnel | None:
        """Find the tunnel that a datagram is for which another one's socket took, and feed it."""
        return self.endpoint.forward(arrived)

    def publish(self, event: Event) -> None:
        """Tell everyone who listens, and the log."""
        if isinstance(event, TunnelEvent):
            self._log_tunnel(event)
        elif isinstance(event, SessionEvent):
            if event.what is What.DELETED and event.name:
                self.dialer.session_over(event.tunnel_name, event.name)
            elif event.what is What.UP and event.name:
                self.dialer.session_up(event.tunnel_name, event.name)
            if event.what is What.DOWN:  # and with it its PPP, of which this is to be said first
                self.ppp.instances.over((event.tunnel_id, event.session_id), event.message, trio.current_time())
            self.circuits.follow(event)
            self._log_session(event)
        elif isinstance(event, PppEvent):
            self.circuits.follow_ppp(event)
        self.ledger.follow(event, self._took(event))
        for tell in (self.radius.follow, self.bus.publish, self.scripts.offer):
            try:
                tell(event)
            except Exception as bug:  # noqa: BLE001 - who listens is no reason for a tunnel to end
                self.crashed("telling of an event", bug)

    def _took(self, event: Event) -> float | None:
        """Return how long the set-up took of what has come up, in seconds; None where nothing was set up."""
        if not isinstance(event, TunnelEvent | SessionEvent) or event.what is not What.UP:
            return None
        tunnel = self.registry.by_id.get(event.tunnel_id)
        if tunnel is None or tunnel.core.dialect.mode is not Mode.DYNAMIC:
            return None
        if isinstance(event, TunnelEvent):
            return trio.current_time() - tunnel.core.begun
        call = tunnel.core.calls.get(event.session_id)
        return None if call is None or call.begun is None else trio.current_time() - call.begun

    def remark(self, tunnel: Tunnel, remark: Remark) -> None:
        """Log a trace line, or, within limits, a complaint about a peer."""
        core = tunnel.core
        ids = _ids(core.local_id, remark.session_id)
        if remark.category is not None:
            log.traced(remark.category, f"tunnel {_whose(ids)}: {remark.text}", **ids)
        else:
            self._remarks.say(
                source_of(core.peer.host), trio.current_time(), _log.warning, remark.text, **ids, peer=str(core.peer)
            )

    def _tell_ppp(self, event: PppEvent) -> None:
        tunnel = self.registry.by_id.get(event.tunnel_id)
        name = tunnel.core.name if tunnel else ""
        self.publish(attrs.evolve(event, tunnel_name=name) if name else event)

    def _way_of(self, tunnel_id: int) -> Way:
        """Describe a tunnel by which callers come."""
        tunnel = self.registry.by_id.get(tunnel_id)
        return portrait.way(tunnel) if tunnel else UNTOLD

    def _remark_ppp(self, tunnel_id: int, session_id: int, text: str, frame: bytes = b"") -> None:
        """Log a line about PPP where somebody traces it, with a description of the frame that it is about, if it is about one."""
        tunnel = self.registry.by_id.get(tunnel_id)
        call = tunnel.core.calls.get(session_id) if tunnel else None
        traced = self.site.trace | (tunnel.core.trace if tunnel else 0) | (call.trace if call else 0)
        if traced & _PPP:
            ids = _ids(tunnel_id, session_id)
            line = f"{text} {describe(frame)}" if frame else text
            log.traced(Category.PPP, f"tunnel {_whose(ids)}: PPP: {line}", **ids)

    def opened(self, tunnel: Tunnel) -> None:
        """Take note that a tunnel is no longer half open."""
        core = tunnel.core
        if core.origin == "network":
            self.registry.close_half(tunnel)
        else:
            self.registry.forget_calling(tunnel)

    def over(self, tunnel: Tunnel) -> None:
        """Take note that a tunnel has ended: its id rests, its remains linger, its line is dialled again."""
        if tunnel.half_open:
            tunnel.half_open = False
            self.opened(tunnel)
        self.registry.remove(tunnel)
        self.ledger.close(tunnel.core.channel.stats)
        core, now = tunnel.core, trio.current_time()
        stranger = core.origin == "network" and not core.was_up
        self._ids[core.dialect.id_bits].release(core.local_id, now, stranger=stranger)
        if tunnel.shared_port and core.state is State.LINGERING:
            self.lingering.add(core.remains(), now, stranger=stranger)
        self.dialer.over(tunnel)
        if self._stop.is_set() and not len(self.registry):
            self._empty.set()

    def check_id(self, tunnel_id: int) -> None:
        """Raise `LocalProtocolError` when a configured tunnel id is in use."""
        if tunnel_id in self.registry.by_id:
            raise LocalProtocolError(f"tunnel id {tunnel_id} is in use")

    def new_id(self, bits: int) -> int:
        """Return a tunnel id of so many bits that is not in use. Raises `Exhausted`."""
        return self._ids[bits].allocate(trio.current_time(), self.registry.by_id)

    def crashed(self, where: str, bug: Exception) -> None:
        """Log a bug with its traceback, and count it."""
        self.crashes += 1
        crashes["other"] += 1
        _log.error(f"{where} crashed", exc_info=bug)

    def serves(self, local: Address) -> bool:
        """Tell whether a listener takes what is sent to this address of ours."""
        return any(listener.serves(local) for listener in self.endpoint.listeners)

    def launch(self, tunnel: Tunnel) -> None:
        """Start the task of a tunnel."""
        if self._tunnels is not None:
            self._tunnels.start_soon(self._run_tunnel, tunnel)
        else:  # it comes too late: no task would ever see to its end
            tunnel.crashed("shutting down")

    async def _run_tunnel(self, tunnel: Tunnel) -> None:
        def crashed(_: object) -> None:
            self.crashes += 1
            tunnel.crashed("internal error")

        await contain(f"tunnel {tunnel.core.local_id}", tunnel.run, on_crash=crashed, kind="tunnel")

    def _plane_refused(self, operation: Operation, error: PlaneError) -> None:
        _log.error("the data plane refused a delete", operation=str(operation), reason=error.text)

    # --- the log --------------------------------------------------------------------------------------------------------------

    def _log_tunnel(self, event: TunnelEvent) -> None:
        ids = {**_named(event.name), "tid": event.tunnel_id, "peer": event.peer_address}
        if event.what is What.UP:
            _log.notice("tunnel up", **ids, peer_tid=event.peer_tunnel_id)
        elif event.what is What.DOWN:
            _log.notice("tunnel down", **ids, **_reason(event, stop_result_text))
        elif event.what is What.DELETED and event.name and not event.up:
            _log.notice("tunnel not opened", **ids, **_reason(event, stop_result_text))
        elif event.what is What.DELETED and not event.up:
            # Anybody can begin a tunnel, also under a forged address, and must not be able to fill the log with it.
            _log.info("tunnel not set up", **ids, **_reason(event, stop_result_text))

    def _log_session(self, event: SessionEvent) -> None:
        ids = {**_named(event.name), "tid": event.tunnel_id, "sid": event.session_id}
        if event.what is What.UP:
            _log.notice("session up", **ids, peer_sid=event.peer_session_id, interface=event.interface)
        elif event.what is What.DOWN:
            _log.notice("session down", **ids, **_reason(event, call_result_text))
        elif event.what is What.DELETED and not event.up:
            self._log_failed(event, {**ids, **_reason(event, call_result_text)})

    def _log_failed(self, event: SessionEvent, context: dict[str, object]) -> None:
        """Say that a session was not set up: within limits where it is the peer's, who can ask and give up without end."""
        if event.name:
            _log.notice("session not set up", **context)
            return
        tunnel = self.registry.by_id.get(event.tunnel_id)
        key = "call", source_of(tunnel.core.peer.host) if tunnel else ""
        self._remarks.say(key, trio.current_time(), _log.notice, "session not set up", **context)

    def apply_trace(self) -> None:
        """Trace what the configuration says; at log level info and above every message gets a line."""
        self.site.trace = mask(self.config.system.trace)
        if log.level() in {"info", "debug"}:
            self.site.trace |= Category.PROTOCOL
        if log.level() == "debug":
            self.site.trace |= Category.FSM | Category.AVP_INFO

    def reopen_log(self) -> None:
        """Open the log files again, after they were rotated."""
        try:
            log.reopen()
        except OSError as error:
            _log.error("the log file cannot be opened again", reason=str(error))

    def dump(self) -> None:
        """Write the state to the log: of some tunnels, for writing of all of them would hold the others up."""
        _log.notice(
            "state", tunnels=len(self.registry), sessions=self.registry.sessions, half_open=self.registry.half_open
        )
        for tunnel in itertools.islice(self.registry, DUMPED):
            core = tunnel.core
            _log.notice(
                "state",
                tid=core.local_id,
                **_named(core.name),
                state=core.state.value,
                sessions=len(core.calls),
                peer=str(core.peer),
            )


async def serve(config: Config, options: Options) -> None:
    """Run the daemon. Raises `StartupError`, alone or in a group, when it cannot start."""
    await Daemon(named(config), options).run()


def _ids(tunnel_id: int, session_id: int) -> dict[str, int]:
    """Return what a log can be searched by, by the names that other lines have for it."""
    return {"tid": tunnel_id, "sid": session_id} if session_id else {"tid": tunnel_id}


def _whose(ids: dict[str, int]) -> str:
    return "/".join(map(str, ids.values()))


def _named(name: str) -> dict[str, object]:
    return {"name": name} if name else {}


def _reason(event: TunnelEvent | SessionEvent, meaning: Callable[[int], str]) -> dict[str, object]:
    """Return what is known of an end, its codes with their meaning."""
    reason: dict[str, object] = {}
    if event.result is not None:
        reason["result"] = f"{event.result} ({meaning(event.result)})"
    if isinstance(event, TunnelEvent) and event.result == StopResult.BAD_VERSION:
        reason["version"] = event.error  # RFC 2661 4.4.2: the highest that is spoken stands where an error code would
    elif event.error:
        reason["error"] = f"{event.error} ({error_text(event.error)})"
    if event.message:
        reason["message"] = event.message
    if isinstance(event, SessionEvent) and event.ppp_cause:
        reason["ppp"] = event.ppp_cause
    return {**reason, "by": event.by} if event.by else reason
