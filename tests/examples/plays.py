"""What the READMEs of the examples describe, as it is played: the hosts that there are, and the parts of the READMEs that are followed on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from examples.hosts import Host, cable, hosts
from examples.readme import follow

WEST, EAST = "192.0.2.1/24", "192.0.2.2/24"
# What a machine of some reader has in these files is none of our business.
NO_SECRETS = "for file in /etc/ppp/*-secrets /etc/xl2tpd/l2tp-secrets; do [ ! -e $file ] || truncate -s 0 $file; done"


@contextmanager
def gateways(folder: Path) -> Iterator[Sequence[Host]]:
    """`west` and `east`, joined."""
    with hosts(folder, "west", "east") as (west, east):
        cable(west, east, interfaces=("eth0", "eth0"), addresses=(WEST, EAST))
        yield west, east


@contextmanager
def lan(folder: Path) -> Iterator[Sequence[Host]]:
    """The same with `alice` and `bob` behind them, in one IP network."""
    with gateways(folder) as (west, east), hosts(folder, "alice", "bob") as (alice, bob):
        cable(west, alice, interfaces=("eth1", "eth0"), addresses=("", "10.1.0.11/24"))
        cable(east, bob, interfaces=("eth1", "eth0"), addresses=("", "10.1.0.12/24"))
        yield west, east, alice, bob


@contextmanager
def sites(folder: Path) -> Iterator[Sequence[Host]]:
    """The same in two IP networks, with the gateways between them."""
    with gateways(folder) as (west, east), hosts(folder, "alice", "bob") as (alice, bob):
        cable(west, alice, interfaces=("eth1", "eth0"), addresses=("10.1.0.1/24", "10.1.0.11/24"))
        cable(east, bob, interfaces=("eth1", "eth0"), addresses=("10.2.0.1/24", "10.2.0.12/24"))
        alice.run("ip route add default via 10.1.0.1")
        bob.run("ip route add default via 10.2.0.1")
        yield west, east, alice, bob


@contextmanager
def provider(folder: Path) -> Iterator[Sequence[Host]]:
    """`lns` and `client`, joined."""
    with hosts(folder, "lns", "client") as (lns, client):
        cable(lns, client, interfaces=("eth0", "eth0"), addresses=(WEST, EAST))
        for host in (lns, client):
            host.run(NO_SECRETS)
        yield lns, client


@contextmanager
def with_radius(folder: Path) -> Iterator[Sequence[Host]]:
    """The same with `radius` behind `lns`."""
    with provider(folder) as (lns, client), hosts(folder, "radius") as (radius,):
        cable(lns, radius, interfaces=("eth1", "eth0"), addresses=("198.51.100.1/24", "198.51.100.2/24"))
        # Logs and records are those of these hosts; a package's scripts have made the first, a boot the second.
        radius.run("mount -t tmpfs tmpfs /var/log/freeradius && chown freerad: /var/log/freeradius")
        radius.run("install -d -o freerad -g freerad /run/freeradius")
        lns.run("install -d /var/lib/l2tpd && mount -t tmpfs tmpfs /var/lib/l2tpd")
        yield lns, client, radius


class Play(NamedTuple):
    """Hosts, and in order the README and headings that are followed on them."""

    scene: Callable[[Path], AbstractContextManager[Sequence[Host]]]
    acts: Sequence[tuple[str, Sequence[str]]]

    def perform(self, folder: Path) -> str:
        """Do all steps; return what was said. A step that fails fails the test."""
        with self.scene(folder) as there:
            return "".join(follow(example, there, *headings) for example, headings in self.acts)


OURS: Mapping[str, Play] = {
    "static-pseudowire": Play(gateways, [("static-pseudowire", ("The far end is l2tpd", "Try it"))]),
    "ethernet-bridge": Play(lan, [("ethernet-bridge", ())]),
    "ethernet-site-to-site": Play(sites, [("ethernet-site-to-site", ())]),
    "vlan": Play(gateways, [("vlan", ())]),
    "migrate": Play(provider, [("migrate", ("The server", "The client"))]),
    "ppp-client and ppp-lns": Play(
        provider,
        [
            ("ppp-lns", ("The server",)),
            ("ppp-client", ("The client", "While it runs")),
            ("ppp-lns", ("While it runs",)),
        ],
    ),
}
"""With l2tpd at both ends: what takes no L2TP in the kernel."""

RADIUS: Mapping[str, Play] = {
    "radius-lns": Play(
        with_radius,
        [
            ("radius-lns", ("The RADIUS server", "The LNS")),
            ("ppp-client", ("The client",)),
            ("radius-lns", ("While it runs",)),
        ],
    ),
}
"""With FreeRADIUS, which `nox -s interop` installs."""

THEIRS: Mapping[str, Play] = {
    "static-pseudowire to `ip l2tp`": Play(gateways, [("static-pseudowire", ("The far end is Linux alone", "Try it"))]),
    "ppp-lns with xl2tpd": Play(provider, [("ppp-lns", ("The server", "A subscriber", "While it runs"))]),
    "ppp-client with xl2tpd": Play(provider, [("ppp-client", ("A provider", "The client", "While it runs"))]),
}
"""With the kernel's L2TP and other people's daemons."""
