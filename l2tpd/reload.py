"""Reading the configuration again: load, compare, apply, and keep the old one whenever anything is wrong with the new.

Requests coalesce: a SIGHUP that comes while one is being served leads to one more run, not to many. What the plan calls in place is applied in
place; sessions that nothing changed about never notice.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import attrs
import trio

from l2tpd import log, systemd
from l2tpd.config.diff import Plan, Verb, When, diff
from l2tpd.config.load import load
from l2tpd.errors import ConfigError, Exhausted, LocalProtocolError
from l2tpd.events import ConfigReloaded

if TYPE_CHECKING:
    from l2tpd.config.model import Config
    from l2tpd.daemon import Daemon

_log = log.get("reload")


class Reloader:
    """Serves the reloads of a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        """Serve `daemon`."""
        self._daemon = daemon
        self._asked = trio.Event()
        self._lock = trio.Lock()

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
            except ConfigError:
                continue  # said in the log; the old configuration is in force

    async def plan(self) -> Plan:
        """Return what a reload would change. Raises `ConfigError`."""
        return diff(self._daemon.config, await self._load())

    async def reload(self) -> Plan:
        """Read the configuration and apply it. Raises `ConfigError`, and then nothing has changed."""
        async with self._lock:
            notifier = systemd.Notifier()
            notifier.reloading()
            try:
                config = await self._load()
            except ConfigError as error:
                self._report(error)
                raise
            finally:
                notifier.ready()
            plan = diff(self._daemon.config, config)
            self._apply(config, plan)
            return plan

    async def _load(self) -> Config:
        return named(await trio.to_thread.run_sync(load, self._daemon.options.config_path))

    def _report(self, error: ConfigError) -> None:
        for problem in error.problems:
            _log.error(str(problem))
        _log.error("the configuration is not used", problems=len(error.problems))
        self._daemon.bus.publish(ConfigReloaded(problems=tuple(str(problem) for problem in error.problems)))

    def _apply(self, config: Config, plan: Plan) -> None:
        daemon, old = self._daemon, self._daemon.config
        daemon.config = config
        daemon.policy.apply(config)
        if config.system.drain != old.system.drain:
            daemon.policy.drain = config.system.drain
        if config.system.log_level != old.system.log_level:
            log.set_level(log.raised(config.system.log_level, daemon.options.debug_level))
        daemon.apply_trace()
        self._apply_tunnels(config, plan)
        self._apply_sessions(config, plan)
        counts = {verb: sum(step.verb is verb for step in plan.steps) for verb in Verb}
        for step in plan.steps:
            _log.notice(str(step))
        daemon.bus.publish(
            ConfigReloaded(added=counts[Verb.ADDED], removed=counts[Verb.REMOVED], changed=counts[Verb.CHANGED])
        )
        _log.notice("configuration reloaded", steps=len(plan.steps))

    def _apply_tunnels(self, config: Config, plan: Plan) -> None:
        dialer = self._daemon.dialer
        for name in plan.tunnels(Verb.REMOVED):
            dialer.remove(name, "removed from the configuration")
        restarted = set(plan.tunnels(Verb.CHANGED, When.RESTART_TUNNEL))
        added = plan.tunnels(Verb.ADDED)
        for name, instance in config.tunnels.items():
            if name in dialer.lines and name not in added:
                dialer.change(name, instance, config, restart=name in restarted)
        for name in added:
            try:
                dialer.place(config.tunnels[name], config)
            except (LocalProtocolError, Exhausted) as error:
                _log.error("tunnel cannot be opened", tunnel=name, reason=str(error))

    def _apply_sessions(self, config: Config, plan: Plan) -> None:
        dialer = self._daemon.dialer
        gone = set(plan.sessions(Verb.REMOVED)) | set(plan.sessions(Verb.CHANGED, When.RESTART_SESSION))
        for tunnel, session in gone:
            dialer.close_session(tunnel, session, "removed from the configuration")
        for tunnel, session in (*plan.sessions(Verb.ADDED), *plan.sessions(Verb.CHANGED, When.RESTART_SESSION)):
            if tunnel in config.tunnels and session in config.tunnels[tunnel].sessions:
                dialer.ask_session(tunnel, session)


def named(config: Config) -> Config:
    """Return a configuration whose host name is the machine's, unless it says one: the core cannot ask the machine."""
    if config.system.hostname:
        return config
    return attrs.evolve(config, system=attrs.evolve(config.system, hostname=socket.gethostname()))
