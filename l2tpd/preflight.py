"""What `l2tpctl check` looks at: whether this machine has what a configuration needs, before the daemon is started.

Each check is a function of the configuration and yields findings; `examine` runs them all, in the order of a table. A check tries the very thing that the
daemon will do, by the daemon's own functions where there is one (opening the data plane, binding a listener), and undoes it, so that its verdict cannot
differ from what happens later. What a check cannot find out is not guessed at. Nothing of a running daemon is disturbed.
"""

from __future__ import annotations

import errno
import grp
import ipaddress
import os
import pwd
import resource
import socket
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

import attrs
import trio

from l2tpd.config import load
from l2tpd.config.model import Config, DataPlane, Encapsulation, Mppe, PppEngine, Pseudowire, SessionSettings
from l2tpd.config.resolve import ppp_settings, pseudowire_settings, session_settings
from l2tpd.control.server import MAX_PATH
from l2tpd.errors import ConfigError, PlaneError, StartupError
from l2tpd.kernel.choose import choose
from l2tpd.kernel.links import Links
from l2tpd.kernel.plane import MovingPlane
from l2tpd.ppp import pppd
from l2tpd.tunnel.ipsock import IpListener
from l2tpd.tunnel.port import Listener


class Verdict(StrEnum):
    """How bad a finding is; the words are those of the JSON."""

    OK = "ok"
    WARNING = "warning"  # it works, but perhaps not as expected
    ERROR = "error"  # the daemon will not start, or something that is configured will not work


@attrs.frozen(kw_only=True)
class Finding:
    """What a check found, and what to do about it; texts are sentences without a full stop."""

    topic: str
    verdict: Verdict
    text: str
    remedy: str = ""


@attrs.frozen(kw_only=True)
class Machine:
    """What earlier checks found out for the later ones."""

    config: Config
    plane: str = ""  # the name of the data plane that the daemon will get; empty: none
    running: bool = False  # a daemon answers on the control socket


CONFIGURATION: Final = "configuration"

_INSTALL: Final = (
    "install the kernel's extra modules: linux-modules-extra (Ubuntu), kernel-modules-extra (Fedora, RHEL)"
)
_BASE_DESCRIPTORS: Final = 64  # listeners, control connections, logs, libraries
_PER_SESSION: Final = 3  # PPPoX socket, channel, unit
_FEW: Final = 4096


def examine(path: Path) -> Iterator[Finding]:
    """Run all checks for the configuration at `path`; with one that cannot be used, those of the machine alone."""
    try:
        config = load.load(path)
    except ConfigError as error:
        for problem in error.problems:
            yield _bad(CONFIGURATION, str(problem), "see l2tpd.toml(5)")
        config = Config()
    else:
        yield _good(CONFIGURATION, f"{path} is correct")
        for problem in load.warnings(path, config):
            yield _odd(CONFIGURATION, str(problem))
    machine = Machine(config=config, running=_answers(config.system.control_socket))
    plane, finding = _data_plane(config.system.data_plane)
    yield finding
    for check in CHECKS:
        yield from check(attrs.evolve(machine, plane=plane))


def _good(topic: str, text: str) -> Finding:
    return Finding(topic=topic, verdict=Verdict.OK, text=text)


def _odd(topic: str, text: str, remedy: str = "") -> Finding:
    return Finding(topic=topic, verdict=Verdict.WARNING, text=text, remedy=remedy)


def _bad(topic: str, text: str, remedy: str = "") -> Finding:
    return Finding(topic=topic, verdict=Verdict.ERROR, text=text, remedy=remedy)


# --- the data plane


def _data_plane(word: DataPlane) -> tuple[str, Finding]:
    """Open the data plane as the daemon will, and close it; return its name as well."""
    try:
        chosen = trio.run(choose, word)
    except StartupError as error:
        return "", _bad("data plane", str(error), 'make it possible, or let the daemon choose: data_plane = "auto"')
    if isinstance(chosen.plane, MovingPlane):
        chosen.plane.close()
    name = chosen.plane.name
    if chosen.warning:
        return name, _odd(
            "data plane", chosen.warning, f"{_INSTALL}; in a container, give it /dev/net/tun and NET_ADMIN"
        )
    return name, _good("data plane", f"{name}: {chosen.reason}")


def _modules(machine: Machine) -> Iterator[Finding]:
    """Say which modules of the kernel are there for what is configured; they are loaded on demand."""
    if machine.plane != DataPlane.KERNEL.value:
        return
    known = _known_modules(Path("/lib/modules") / os.uname().release)
    for module, why in _needed_modules(machine.config).items():
        if Path("/sys/module", module).is_dir():
            yield _good("kernel modules", f"{module} is loaded, for {why}")
        elif module in known:
            yield _good("kernel modules", f"{module} is there, for {why}, and will be loaded")
        else:
            yield _bad("kernel modules", f"{module} is missing, for {why}", _INSTALL)


def _needed_modules(config: Config) -> Mapping[str, str]:
    """Return the modules that a configuration needs, each with the reason."""
    kinds, ways = _pseudowires(config), _ip_versions(config)
    wanted = {
        "l2tp_ppp": (Pseudowire.PPP in kinds, "PPP sessions"),
        "ppp_mppe": (Pseudowire.PPP in kinds and _must_encrypt(config), 'encryption of PPP (`mppe = "require"`)'),
        "l2tp_eth": (bool(kinds - {Pseudowire.PPP}), "Ethernet and VLAN sessions"),
        "l2tp_ip": (4 in ways, "L2TP directly over IPv4"),
        "l2tp_ip6": (6 in ways, "L2TP directly over IPv6"),
    }
    return {module: why for module, (needed, why) in wanted.items() if needed}


def _must_encrypt(config: Config) -> bool:
    """Tell whether a PPP profile requires encryption."""
    return any(ppp_settings(config, name).mppe is Mppe.REQUIRE for name in config.ppp_profiles)


def _known_modules(folder: Path) -> frozenset[str]:
    """Return the names of the modules that are installed or built in."""
    lines: list[str] = []
    for name in ("modules.dep", "modules.builtin"):
        try:
            lines += (folder / name).read_text().splitlines()
        except OSError:
            continue
    files = (line.partition(":")[0].rpartition("/")[2] for line in lines)
    return frozenset(file.partition(".ko")[0].replace("-", "_") for file in files)


def _pseudowires(config: Config) -> frozenset[Pseudowire]:
    """Return what sessions carry: those that we ask for, and those that callers may."""
    ours = {session.pseudowire for _, session in _sessions(config)}
    called = {
        session_settings(config, peer.session_profile).pseudowire for peer in config.peers.values() if peer.accept
    }
    return frozenset(ours | called)


def _sessions(config: Config) -> Iterator[tuple[str, SessionSettings]]:
    """Yield the sessions that we ask for, each with the name of its tunnel."""
    for name, tunnel in config.tunnels.items():
        for session in tunnel.sessions.values():
            yield name, session_settings(config, session.profile, session.said)


def _ip_versions(config: Config) -> frozenset[int]:
    """Return the IP versions directly over which L2TP is configured."""
    hosts = [listen.address.host for listen in config.listen if listen.encap is Encapsulation.IP]
    hosts += [tunnel.peer.host for tunnel in config.tunnels.values() if tunnel.encap is Encapsulation.IP]
    found = (_address(host) for host in hosts)
    return frozenset(address.version for address in found if address is not None)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return a numeric address as such, None for a DNS name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


# --- rights and limits


# linux/capability.h: number, and what needs it
_CAPABILITIES: Final[Mapping[str, tuple[int, str]]] = {
    "CAP_NET_ADMIN": (12, "making interfaces and sessions"),
    "CAP_NET_RAW": (13, "L2TP directly over IP, or hearing what subscribers ask over IPv6"),
    "CAP_NET_BIND_SERVICE": (10, "ports that only root may have"),
}


def _capabilities(machine: Machine) -> Iterator[Finding]:
    """Say which capabilities this user lacks of those that the configuration needs."""
    try:
        held = _effective(Path("/proc/self/status").read_text())
    except OSError as error:
        yield _odd("capabilities", f"they cannot be read: {error}", "mount /proc")
        return
    config = machine.config
    ports = [one.address.port for one in config.listen if one.encap is Encapsulation.UDP]
    needed = {
        "CAP_NET_ADMIN": config.system.data_plane is not DataPlane.NULL,
        "CAP_NET_RAW": bool(_ip_versions(config)) or _hears(machine),
        "CAP_NET_BIND_SERVICE": any(port < _first_free_port() for port in ports),
    }
    lacking = [name for name, wanted in needed.items() if wanted and not held >> _CAPABILITIES[name][0] & 1]
    for name in lacking:
        text = f"this user (uid {os.geteuid()}) lacks {name}, for {_CAPABILITIES[name][1]}"
        yield _odd(
            "capabilities", text, f"run the daemon as root, or with AmbientCapabilities={name}, and check as that user"
        )
    if not lacking:
        yield _good("capabilities", "all that are needed")


def _hears(machine: Machine) -> bool:
    """Tell whether subscribers may ask us over IPv6 while the kernel moves their packets; where nobody does, it might once rights are there."""
    config = machine.config
    profiles = (ppp_settings(config, name) for name in ("default", *config.ppp_profiles))
    offers = any(ppp.ipv6 and ppp.ppp_engine is PppEngine.BUILTIN for ppp in profiles)
    return offers and machine.plane in {"kernel", ""} and config.system.data_plane in {DataPlane.KERNEL, DataPlane.AUTO}


def _effective(status: str) -> int:
    """Return the mask of effective capabilities in the text of /proc/PID/status (proc(5))."""
    found = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    return int(found.partition(":")[2], 16)


def _first_free_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def _open_files(machine: Machine) -> Iterator[Finding]:
    """Compare the limit on descriptors with what tunnels and sessions take."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = descriptors(machine.config)
    text = f"this user may have {hard} files open, and the configured tunnels and sessions take up to {needed}"
    remedy = "raise the hard limit: LimitNOFILE= of the unit, or limits.conf(5)"
    if hard not in {resource.RLIM_INFINITY, -1} and hard < needed:
        yield _bad("open files", text, remedy)
    elif hard != resource.RLIM_INFINITY and hard < _FEW:
        yield _odd("open files", text, remedy)
    else:
        yield _good("open files", text)


def descriptors(config: Config) -> int:
    """Return how many descriptors the tunnels and sessions of a configuration may take: its limits, or at least what it opens itself."""
    system = config.system
    tunnels = max(system.max_tunnels, len(config.tunnels))
    sessions = max(system.max_sessions, sum(len(tunnel.sessions) for tunnel in config.tunnels.values()))
    return _BASE_DESCRIPTORS + tunnels + _PER_SESSION * sessions


# --- addresses and files


def _listeners(machine: Machine) -> Iterator[Finding]:
    """Bind every listener as the daemon will."""
    for listen in machine.config.listen:
        shown = f"{listen.address} ({listen.encap.value})"
        if machine.running:
            yield _good("listeners", f"{shown} was not tried, for the daemon is running")
            continue
        try:
            if listen.encap is Encapsulation.IP:
                IpListener(listen.address, kernel=machine.plane == DataPlane.KERNEL.value).close()
            else:
                Listener(listen.address).close()
        except StartupError as error:
            yield _bad(
                "listeners", str(error), "see who has it with `ss -lnup`, or whether this machine has the address"
            )
        else:
            yield _good("listeners", f"{shown} can be had")


def _answers(path: Path) -> bool:
    """Tell whether somebody answers on a control socket."""
    if len(os.fsencode(path)) > MAX_PATH:  # for which `connect_ex` raises an error all the same
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(os.fsencode(path)) in {0, errno.EAGAIN}  # EAGAIN: it listens, and its backlog is full


def _control_socket(machine: Machine) -> Iterator[Finding]:
    """See whether the control socket can be made and given to whom it belongs."""
    system, topic = machine.config.system, "control socket"
    if machine.running:
        yield _good(topic, f"a daemon answers on {system.control_socket}")
        return
    if len(os.fsencode(system.control_socket)) > MAX_PATH:
        yield _bad(topic, f"{system.control_socket} cannot be made: it is longer than {MAX_PATH} octets")
        return
    # Not pathlib's `exists`, which raises an error where this user may not look.
    folder = next(parent for parent in system.control_socket.parents if os.path.exists(parent))  # noqa: PTH110 - see above
    if not os.access(folder, os.W_OK, effective_ids=True):
        yield _bad(topic, f"{system.control_socket} cannot be made: this user may not write {folder}")
    elif unknown := _unknown_owner(system.control_owner, system.control_group):
        yield _bad(topic, f"{system.control_socket} cannot be given away: there is no {unknown}", f"make it: {unknown}")
    else:
        yield _good(topic, f"{system.control_socket} can be made")


def _unknown_owner(owner: str, group: str) -> str:
    """Return which of a user and a group, by name, does not exist."""
    try:
        if owner and not owner.isdecimal():
            pwd.getpwnam(owner)
    except KeyError:
        return f"user `{owner}`"
    try:
        if group and not group.isdecimal():
            grp.getgrnam(group)
    except KeyError:
        return f"group `{group}`"
    return ""


def _pppd(machine: Machine) -> Iterator[Finding]:
    """See whether PPP sessions find the program that runs them, where that is pppd."""
    config, topic = machine.config, "pppd"
    carried = Pseudowire.PPP in _pseudowires(config)
    profiles = [name for name in dict.fromkeys(("default", *config.ppp_profiles)) if _runs_pppd(config, name)]
    if not carried or not profiles:
        return
    if machine.plane != DataPlane.KERNEL.value:
        text = f'profile.ppp.{profiles[0]}: `ppp_engine = "pppd"` needs the kernel\'s data plane, which this machine has not'
        yield _bad(topic, text, 'say `ppp_engine = "builtin"`')
    else:
        yield installed_pppd(Path(pppd.PROGRAM), Path("/usr"))


def _runs_pppd(config: Config, profile: str) -> bool:
    return ppp_settings(config, profile).ppp_engine is PppEngine.PPPD


def installed_pppd(program: Path, prefix: Path) -> Finding:
    """See whether a pppd is there, and the plugin that it needs, in a `lib` folder below `prefix`."""
    if not os.access(program, os.X_OK):
        return _bad("pppd", f"{program} is missing, which is to run PPP in sessions", "install the package ppp")
    if not any(found for folder in ("lib*", "lib*/*") for found in prefix.glob(f"{folder}/pppd/*/pppol2tp.so")):
        text = f"its plugin pppol2tp.so is not below {prefix}, where distributions put it"
        return _odd("pppd", text, "install a pppd of 2.4.5 or later, with its plugins")
    return _good("pppd", f"{program} and its plugin pppol2tp.so are there")


# --- routes


def _routing(machine: Machine) -> Iterator[Finding]:
    """See that no tunnel's own packets go into a tunnel: they would, once it is up, never leave this machine."""
    config, fine = machine.config, 0
    for name, tunnel in config.tunnels.items():
        if _address(tunnel.peer.host) is None:
            continue  # a DNS name: looked up anew for each attempt
        found = _recursion(config, name) or _lost(config, name, tunnel.peer.host)
        fine += found is None
        if found is not None:
            yield found
    if fine:
        yield _good("routing", f"numeric peers of tunnels that can be reached, and not by way of a tunnel: {fine}")


def _lost(config: Config, name: str, host: str) -> Finding | None:
    """Find a peer that has no route, or one by an interface of a tunnel."""
    try:
        interface = _interface_towards(host)
    except PlaneError as error:
        return _odd("routing", f"tunnel.{name}: {host} cannot be reached now: {error.text}", "see `ip route get`")
    if interface in {session.interface_name for _, session in _sessions(config)} - {""}:
        text = f"tunnel.{name}: {host} is reached by {interface}, which is the interface of a session"
        return _bad("routing", text, f"give {host} a route of its own by the interface that leads to it")
    return None


def _interface_towards(host: str) -> str:
    """Return the interface by which a numeric address is reached. Raises `PlaneError`."""
    links = Links()
    try:
        return links.route_interface(host)
    finally:
        links.close()


def _recursion(config: Config, name: str) -> Finding | None:
    """Find a session that will draw its own tunnel's packets into itself."""
    tunnel = config.tunnels[name]
    peer = _address(tunnel.peer.host)
    for whose, session in _sessions(config):
        if whose != name or peer is None:
            continue
        if session.address and peer in ipaddress.ip_interface(session.address).network:
            text = f"tunnel.{name}: its peer {peer} belongs to {session.address}, the network of its own session"
            return _bad("routing", text, "give the session another network")
        if session.pseudowire is Pseudowire.PPP and _takes_default_route(config, session):
            text = f"tunnel.{name}: its PPP profile says `default_route`, and the default route must not be the tunnel's own"
            return _odd("routing", text, f"see that the route to {peer} is another than the default route")
    return None


def _takes_default_route(config: Config, session: SessionSettings) -> bool:
    below = pseudowire_settings(config, session.pseudowire_profile)
    return ppp_settings(config, below.ppp_profile).default_route


CHECKS: Final[tuple[Callable[[Machine], Iterator[Finding]], ...]] = (
    _modules,
    _capabilities,
    _listeners,
    _control_socket,
    _open_files,
    _pppd,
    _routing,
)
"""The checks after those of configuration and data plane, in the order in which they are told."""
