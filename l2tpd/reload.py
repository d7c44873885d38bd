"""Reading the configuration again: load, compare, apply, and keep the old one whenever anything is wrong with the new.

Requests coalesce: a SIGHUP that comes while one is being served leads to one more run, not to many. What the plan calls in place is applied in
place; sessions that nothing changed about never notice.
"""

from __future__ import annotations

import ipaddress
import socket
import zlib
from typing import TYPE_CHECKING

import attrs
import trio

from l2tpd import log, systemd
from l2tpd.config.diff import Plan, Verb, When, diff
from l2tpd.config.load import load
from l2tpd.control.jsonrpc import REFUSED
from l2tpd.errors import ConfigError, ControlError, Exhausted, LocalProtocolError
from l2tpd.events import ConfigReloaded
from l2tpd.supervise import contained

if TYPE_CHECKING:
    from l2tpd.config.model import Config, TunnelInstance
    from l2tpd.daemon import Daemon

PACE = 64
"""How many tunnels are gone through before other tasks get their turn."""

_log = log.get("reload")


class Reloader:
    """Serves the reloads of a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        """Serve `daemon`."""
        self._daemon = daemon
        self._asked = trio.Event()
        self._lock = trio.Lock()
        self._limiter = trio.CapacityLimiter(1)
        self._missing: set[str] = set()  # tunnels of the configuration whose name an operator's tunnel has

    def request(self) -> None:
        """Ask for a reload, from a signal."""
        self._asked.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve requests until cancelled."""
        task_status.started()
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            try:
                await self.reload()
            except (ConfigError, ControlError):
                continue  # said in the log; the old configuration is in force
            except Exception as bug:  # noqa: BLE001 - a bug in a reload must not end the daemon
                self._daemon.crashed("reload", bug)

    async def plan(self) -> Plan:
        """Return what a reload would change. Raises `ConfigError`."""
        return (await self._read())[1]

    async def reload(self) -> Plan:
        """Read the configuration and apply it. Raises `ConfigError`, and then nothing has changed, and `ControlError` while stopping."""
        async with self._lock:
            if self._daemon.stopping:
                raise ControlError(REFUSED, "the daemon is stopping")
            notifier = systemd.Notifier()
            notifier.reloading()
            status = "serving"
            try:
                config, plan = await self._read()
                with trio.CancelScope(shield=True):  # who asked for it may go away; half of a plan is nobody's wish
                    await self._apply(config, plan)
            except ConfigError as error:
                # A supervisor that asked by a signal learns of it here alone.
                status = f"serving by the former configuration: {error.problems[0]}"
                self._report(error)
                raise
            finally:
                notifier.ready(status)
            return plan

    async def _read(self) -> tuple[Config, Plan]:
        """Read and compare in a thread of our own: both take long, and the shared ones may all be waiting for a resolver."""
        old, path = self._daemon.config, self._daemon.options.config_path

        def work() -> tuple[Config, Plan]:
            config = named(load(path))
            return config, diff(old, config)

        return await trio.to_thread.run_sync(work, limiter=self._limiter)

    def _report(self, error: ConfigError) -> None:
        for problem in error.problems:
            _log.error(str(problem))
        _log.error("the configuration is not used", problems=len(error.problems))
        self._daemon.publish(ConfigReloaded(problems=tuple(str(problem) for problem in error.problems)))

    async def _apply(self, config: Config, plan: Plan) -> None:
        daemon, old = self._daemon, self._daemon.config
        daemon.config = config
        daemon.policy.apply(config)
        daemon.site.name(config.system)
        if config.system.drain != old.system.drain:
            daemon.policy.drain = config.system.drain
        if config.system.log_level != old.system.log_level:
            log.set_level(log.raised(config.system.log_level, daemon.options.debug_level))
        daemon.apply_trace()
        daemon.scripts.directory = config.system.script_directory
        daemon.scripts.limit, daemon.scripts.timeout = config.system.script_limit, config.system.script_timeout
        if config.radius != old.radius:
            daemon.radius.apply()
        await self._apply_tunnels(config, plan)
        if _at_once(plan):
            await self._apply_ppp()
        self._apply_sessions(config, plan)
        counts = {verb: sum(step.verb is verb for step in plan.steps) for verb in Verb}
        for step in plan.steps:
            _log.notice(str(step))
        daemon.publish(
            ConfigReloaded(added=counts[Verb.ADDED], removed=counts[Verb.REMOVED], changed=counts[Verb.CHANGED])
        )
        _log.notice("configuration reloaded", steps=len(plan.steps))

    async def _apply_tunnels(self, config: Config, plan: Plan) -> None:
        lines = self._daemon.dialer.lines
        for name in plan.tunnels(Verb.REMOVED):
            self._missing.discard(name)
            if name in lines and lines[name].configured:
                self._daemon.dialer.remove(name, "removed from the configuration")
        restarted = set(plan.tunnels(Verb.CHANGED, When.RESTART_TUNNEL))
        # A tunnel that has no line was deleted by an operator, or was not to persist: only a change brings it back.
        touched = {*plan.tunnels(Verb.ADDED), *plan.tunnels(Verb.CHANGED), *restarted, *self._missing}
        for count, (name, instance) in enumerate(config.tunnels.items()):
            if count % PACE == PACE - 1:
                await trio.lowlevel.checkpoint()
            line = lines.get(name)
            outdated = False
            if line is not None and line.configured:
                line.config = config
                outdated = self._daemon.dialer.outdated(line)
            if outdated or name in touched:
                self._apply_tunnel(instance, config, restart=name in restarted)

    def _apply_tunnel(self, instance: TunnelInstance, config: Config, *, restart: bool) -> None:
        dialer, name = self._daemon.dialer, instance.name
        self._missing.discard(name)
        try:
            if name in dialer.lines and dialer.lines[name].configured:
                dialer.change(name, instance, config, restart=restart)
            else:
                dialer.place(instance, config, configured=True)
        except (LocalProtocolError, Exhausted) as error:
            self._missing.add(name)  # the next reload tries again
            _log.error("tunnel cannot be opened", tunnel=name, reason=str(error))

    async def _apply_ppp(self) -> None:
        for count, instance in enumerate(self._daemon.ppp.instances):
            if count % PACE == PACE - 1:
                await trio.lowlevel.checkpoint()
            with contained("PPP that goes by a new configuration", kind="link"):
                instance.configured()

    def _apply_sessions(self, config: Config, plan: Plan) -> None:
        dialer = self._daemon.dialer
        again = plan.sessions(Verb.CHANGED, When.RESTART_SESSION)
        for tunnel, session in (*plan.sessions(Verb.REMOVED), *again):
            dialer.close_session(tunnel, session, "changed in the configuration")
        for tunnel, session in (*plan.sessions(Verb.ADDED), *again):
            instance = config.tunnels.get(tunnel)
            if instance is not None and session in instance.sessions:
                dialer.take_session(tunnel, instance.sessions[session], config)


def _at_once(plan: Plan) -> bool:
    """Tell whether a profile or a user has changed for the PPP sessions that there are."""
    return any(step.when is When.IN_PLACE and step.path[0] in {"profile", "user"} for step in plan.steps)


def named(config: Config) -> Config:
    """Return a configuration whose host name is the machine's, unless it says one, and whose router id follows from it: the core cannot ask the machine."""
    system = config.system
    hostname = system.hostname or socket.gethostname()
    # Any number will do that no neighbour has (RFC 3931 5.4.3): it is not an address, only written like one.
    router_id = system.router_id or str(ipaddress.IPv4Address(zlib.crc32(hostname.encode()) or 1))
    if (hostname, router_id) == (system.hostname, system.router_id):
        return config
    return attrs.evolve(config, system=attrs.evolve(system, hostname=hostname, router_id=router_id))
