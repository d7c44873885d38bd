"""Pseudowires by the dozen for tests: what a configuration says at either end, what `ip l2tp` says, and what the kernel then has of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import groupby, pairwise, product
from pathlib import Path
from typing import Any

import attrs
import trio

from interop.daemon import Daemon
from interop.netns import Cable, Host
from interop.program import PATIENCE, SLOWNESS, polled
from l2tpd.config.model import Encapsulation
from l2tpd.kernel.netlink import Netlink
from vm.inside import ethernet, stage
from vm.inside.ethernet import WAYS, Way
from vm.inside.ppp import said, shown

COOKIES = {octets: (bytes(range(16, 16 + octets)), bytes(range(octets))) for octets in (0, 4, 8)}
"""By length, what the packets to the near end carry and what those to the far end do."""
QUICK = f"""\
[profile.tunnel.default]
hello_timeout = {SLOWNESS}
retry_timeout = {0.2 * SLOWNESS}
max_retries = 3

"""
"""A peer that has gone is noticed within seconds."""


# --- both ends configured alike -----------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Wire:
    """A static Ethernet pseudowire: its number gives it its ids, its interfaces `near1` and `far1`, and 10.7.1.0/24."""

    number: int
    tunnel: int
    way: Way
    octets: int = 0  # of either cookie
    sequencing: bool = False
    mode: str = "static"
    port: int = 0  # of both ends; 0: one for each tunnel
    near_link: Mapping[str, object] = attrs.field(factory=dict)  # instead of an address at the near end
    far_link: Mapping[str, object] = attrs.field(factory=dict)

    @property
    def near(self) -> str:
        """The interface at the near end."""
        return f"near{self.number}"

    @property
    def far(self) -> str:
        """The interface at the far end."""
        return f"far{self.number}"

    @property
    def near_address(self) -> str:
        """The address within the pseudowire at the near end."""
        return f"10.7.{self.number}.1"

    @property
    def far_address(self) -> str:
        """The address within the pseudowire at the far end."""
        return f"10.7.{self.number}.2"

    @property
    def tunnel_ids(self) -> tuple[int, int]:
        """The ids of the tunnel at the near end and at the far end."""
        return 100 + self.tunnel, 200 + self.tunnel

    @property
    def session_ids(self) -> tuple[int, int]:
        """The ids of the session at the near end and at the far end."""
        return 1000 + self.number, 2000 + self.number

    @property
    def udp_port(self) -> int:
        """The port of both ends, other tunnels having others unless one was said."""
        return self.port or 5000 + self.tunnel

    def session(self, *, far: bool = False) -> str:
        """Return the configuration of the session, as the far end has it if so said."""
        (here, there), (cookie, peer_cookie) = _ends(self.session_ids, far), _ends(COOKIES[self.octets], far)
        address = {"address": f"{self.far_address if far else self.near_address}/24"}
        keys = {
            "pseudowire": "eth",
            "interface_name": self.far if far else self.near,
            "session_id": here,
            "peer_session_id": there,
            "cookie": cookie.hex(),
            "peer_cookie": peer_cookie.hex(),
            "sequencing_required": self.sequencing,
            **((self.far_link if far else self.near_link) or address),
        }
        return table(f"tunnel.t{self.tunnel}.session.s{self.number}", keys)


def _ends(pair: tuple[Any, Any], far: bool) -> tuple[Any, Any]:
    """Return what is here and what is there, as the far end sees it if so said."""
    return pair[::-1] if far else pair


def table(name: str, keys: Mapping[str, object]) -> str:
    """Return a table of a configuration; numbers, words and truth look in JSON as they do in TOML."""
    return "\n".join([f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), "", ""])


def matrix() -> list[Wire]:
    """Return pseudowires of every kind, those of one tunnel side by side: two tunnels for each way, cookies of all sizes in each of them."""
    kinds = product(WAYS.values(), (False, True), COOKIES)
    return [
        Wire(number=number, tunnel=1 + (number - 1) // len(COOKIES), way=way, octets=octets, sequencing=sequencing)
        for number, (way, sequencing, octets) in enumerate(kinds, 1)
    ]


def tunnels(wires: Iterable[Wire]) -> Iterator[tuple[Wire, list[Wire]]]:
    """Yield each tunnel, by the first of its pseudowires, with all of them."""
    for _, several in groupby(wires, key=lambda wire: wire.tunnel):
        first, *others = several
        yield first, [first, *others]


def config(wires: Iterable[Wire], *, far: bool = False) -> str:
    """Return the configuration of static pseudowires, as the far end has it if so said."""
    return "".join(
        _tunnel(first, far) + "".join(wire.session(far=far) for wire in several) for first, several in tunnels(wires)
    )


def _tunnel(wire: Wire, far: bool) -> str:
    (here, there), way = _ends(wire.tunnel_ids, far), wire.way.back() if far else wire.way
    udp = wire.way.encap is Encapsulation.UDP
    keys = {
        "peer": bracketed(way.far) + (f":{wire.udp_port}" if udp else ""),
        "local": way.near,
        "version": "l2tpv3",
        "mode": wire.mode,
        "encap": way.encap.value,
        "tunnel_id": here,
        "peer_tunnel_id": there,
        **({"local_port": wire.udp_port} if udp else {}),
        **({"redial_delay_max": 1.0} if wire.mode == "quiescent" else {}),
    }
    return table(f"tunnel.t{wire.tunnel}", keys)


def bracketed(address: str) -> str:
    """Return an address as it stands before a port."""
    return f"[{address}]" if ":" in address else address


def far_ends(host: Host, wires: Sequence[Wire]) -> None:
    """Make the far ends of pseudowires by `ip l2tp`, switched on and with their addresses."""
    lines = [line for first, several in tunnels(wires) for line in (_far_tunnel(first), *map(_far_session, several))]
    lines += [f"link set {wire.far} up" for wire in wires]
    lines += [f"address add {wire.far_address}/24 dev {wire.far}" for wire in wires if not wire.far_link]
    batch(host, lines)


def batch(host: Host, lines: Iterable[str]) -> None:
    """Have `ip` do several things in a namespace; raises `AssertionError` with what it says."""
    command = host.command("ip", "-batch", "-")
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stderr


def _far_tunnel(wire: Wire) -> str:
    near_id, far_id = wire.tunnel_ids
    port = f"udp_sport {wire.udp_port} udp_dport {wire.udp_port}" if wire.way.encap is Encapsulation.UDP else ""
    ends = f"encap {wire.way.encap.value} local {wire.way.far} remote {wire.way.near}"
    return f"l2tp add tunnel tunnel_id {far_id} peer_tunnel_id {near_id} {ends} {port}"


def _far_session(wire: Wire) -> str:
    (near_id, far_id), (cookie, peer_cookie) = wire.session_ids, COOKIES[wire.octets]
    cookies = f"cookie {cookie.hex()} peer_cookie {peer_cookie.hex()}" if wire.octets else ""
    numbers = "seq both" if wire.sequencing else ""
    ids = f"tunnel_id {wire.tunnel_ids[1]} session_id {far_id} peer_session_id {near_id}"
    return f"l2tp add session name {wire.far} {ids} {cookies} {numbers}"


# --- what comes of it ---------------------------------------------------------------------------------------------------------------


@contextmanager
def kernel(host: Host) -> Iterator[Netlink]:
    """A look at what the kernel has in a namespace, apart from the daemon's own."""
    with ethernet.entered(host):
        made = Netlink()
    with closing(made):
        yield made


def quiet(cable: Cable) -> None:
    """Have interfaces made from now on say nothing of their own accord."""
    for host in (cable.us, cable.them):
        host.call("sysctl", "-w", "net.ipv6.conf.default.disable_ipv6=1")


async def all_up(daemon: Daemon, count: int) -> list[Any]:
    """Wait until so many sessions are up; return all that is told of them."""

    async def enough() -> bool | None:  # asked often, so it is not the whole list that is asked for
        states = (await daemon.control.call("system.show"))["sessions_by_state"]
        return True if states.get("up", 0) == count else None

    def complaint() -> str:
        return f"not {count} sessions are up; l2tpd wrote:\n{daemon.program.log}"

    await polled(enough, complaint, within=4 * PATIENCE)
    return [await shown(daemon, row) for row in await daemon.sessions() if row["state"] == "up"]


async def ping_all(cable: Cable, wires: Iterable[Wire]) -> None:
    """Ping across each pseudowire from either end."""
    for wire in wires:
        await stage.pings(cable.us, wire.far_address)
        await stage.pings(cable.them, wire.near_address)


async def pinged(host: Host, address: str, *options: str) -> int:
    """Return how many of three pings were answered."""
    return await trio.to_thread.run_sync(partial(stage.ping, host, address, *options))


async def interfaces(host: Host) -> dict[str, Any]:
    """Return what there is of interfaces in a namespace, by name."""
    return {found["ifname"]: found for found in json.loads(await said(host, "ip", "-j", "-s", "link"))}


async def nothing_left(host: Host, *prefixes: str) -> None:
    """Wait until the kernel has no tunnel, no session and no interface of these beginnings in a namespace."""
    found: list[object] = []

    async def gone() -> bool | None:
        with kernel(host) as look:
            found[:] = [*look.tunnels(), *look.sessions()]
        found.extend(name for name in await interfaces(host) if name.startswith(prefixes))
        return None if found else True

    await polled(gone, lambda: f"this is left in {host.namespace}: {found}")


async def cookies(host: Host) -> dict[tuple[int, int], tuple[int, int]]:
    """Return how long the cookies of each session are by `ip l2tp`: in what it receives, and in what it sends. They have to be random.

    `ip` shows a session that has none with those of the one before, by which it is known.
    """
    rows: list[dict[str, Any]] = json.loads(await said(host, "ip", "-j", "l2tp", "show", "session"))
    names = ("peer_cookie", "cookie")
    lengths: dict[tuple[int, int], tuple[int, int]] = {}
    for before, row in pairwise([{}, *rows]):
        ours, theirs = (0 if row.get(name) == before.get(name) else len(row[name]) // 2 for name in names)
        lengths[row["tunnel_id"], row["session_id"]] = ours, theirs
    return lengths


@contextmanager
def lan(host: Host, address: str) -> Iterator[Host]:
    """Put a further host behind one: a namespace with an address, whose cable ends in the bridge `br0` that is made there."""
    behind = Host(namespace=f"{host.namespace}-lan", address=address, address6="")
    outside = ("ip", "netns")
    subprocess.run([*outside, "add", behind.namespace], check=True, timeout=20)
    try:
        lines = ["link add br0 type bridge", "link set br0 up"]
        lines += [f"link add lan type veth peer name lan netns {behind.namespace}", "link set lan up master br0"]
        batch(host, lines)
        batch(behind, [f"address add {address}/24 dev lan", "link set lan up"])
        yield behind
    finally:
        subprocess.run([*outside, "delete", behind.namespace], check=True, timeout=20)


def rewritten(folder: Path, old: str, new: str) -> None:
    """Change something in the configuration of a running daemon, which has to be there."""
    path = folder / "l2tpd.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
