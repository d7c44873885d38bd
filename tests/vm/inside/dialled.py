"""Pseudowires that two of our daemons agree on: the near one listens on everything it has, the far one calls."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby, product

import attrs

from interop.netns import Host
from vm.inside.ethernet import WAYS, Way
from vm.inside.wires import COOKIES, bracketed, table

DIGESTS = ("none", "hmac-md5", "hmac-sha1")
GATEWAY = "10.9.0.1"
"""Our address in all PPP sessions, whose callers get theirs from 10.9.0.0/24."""


@attrs.frozen(kw_only=True)
class Dialled:
    """A pseudowire that the far end asks for by the name `w1`; its interfaces are `near1` and `far1`, and 10.7.1.0/24 is in it unless it carries PPP."""

    number: int
    tunnel: int
    way: Way
    digest: str = "none"  # any other goes with a secret
    pseudowire: str = "eth"
    near_octets: int = 0  # of the cookie that the near end demands
    far_octets: int = 0
    sequencing: bool = False

    @property
    def name(self) -> str:
        """The session's name at the far end, which is the Remote End ID."""
        return f"w{self.number}"

    @property
    def near_address(self) -> str:
        """The address within the pseudowire at the near end."""
        return GATEWAY if self.pseudowire == "ppp" else f"10.7.{self.number}.1"

    @property
    def far_address(self) -> str:
        """The address within the pseudowire at the far end, of one that does not carry PPP."""
        return f"10.7.{self.number}.2"

    def interface(self, end: str) -> str:
        """Return the interface that has the traffic at an end, `near` or `far`."""
        return f"{end}{self.number}" + (f".{self._vlan_id}" if self.pseudowire == "eth-vlan" else "")

    @property
    def _vlan_id(self) -> int:
        return 100 + self.number

    def keys(self, end: str) -> dict[str, object]:
        """Return what the configuration of an end says of the session."""
        near = end == "near"
        address = self.near_address if near else self.far_address
        return {
            "pseudowire": self.pseudowire,
            "interface_name": f"{end}{self.number}",
            "cookie_size": self.near_octets if near else self.far_octets,
            **({} if self.pseudowire == "ppp" else {"address": f"{address}/24"}),
            **({"vlan_id": self._vlan_id} if self.pseudowire == "eth-vlan" else {}),
            **({"remote_end_id": self.name} if near else {"sequencing_required": self.sequencing}),
        }


def matrix() -> list[Dialled]:
    """Return pseudowires in one tunnel for each way and digest: Ethernet, a VLAN, and PPP; every other one numbered.

    Each of these kinds has every digest and cookies of every size on each way, with a VLAN's 0 at one end and 8 at the other.
    """
    places = product(enumerate(WAYS.values()), enumerate(DIGESTS), enumerate(("eth", "eth-vlan", "ppp")))
    made: list[Dialled] = []
    for number, ((row, way), (column, digest), (kind, pseudowire)) in enumerate(places, 1):
        octets = list(COOKIES)[(row + column) % len(COOKIES)]
        made.append(
            Dialled(
                number=number,
                tunnel=row * len(DIGESTS) + column,
                way=way,
                digest=digest,
                pseudowire=pseudowire,
                near_octets=octets,
                far_octets=8 - octets if pseudowire == "eth-vlan" else octets,
                sequencing=(row + column + kind) % 2 == 1,
            )
        )
    return made


PROFILES = "".join(
    table(f"profile.tunnel.{digest}", {"digest": digest} | ({} if digest == "none" else {"secret": f"of {digest}"}))
    for digest in DIGESTS
)


def listener(host: Host, wires: Iterable[Dialled]) -> str:
    """Return the configuration of the near end: whoever calls himself by a digest is expected to sign by it."""
    address6 = bracketed(host.address6)
    more = ((address6, "udp"), (host.address, "ip"), (address6, "ip"))
    listening = [table("[listen]", {"address": address, "encap": encap}) for address, encap in more]
    peers = [table(f"peer.{digest}", {"host_name": digest, "tunnel_profile": digest}) for digest in DIGESTS]
    pool = [
        table("profile.ppp.default", {"local_address": GATEWAY, "pool": "callers"}),
        table("pool.callers", {"range": "10.9.0.0/24"}),
    ]
    profiles = [table(f"profile.session.{wire.name}", wire.keys("near")) for wire in wires]
    return "".join([PROFILES, *listening, *peers, *pool, *profiles])


def caller(wires: Iterable[Dialled], **also: object) -> str:
    """Return the configuration of the far end; its tunnels have these keys as well."""
    text = PROFILES
    for number, several in groupby(wires, key=lambda wire: wire.tunnel):
        first, *others = several
        keys = {
            "peer": bracketed(first.way.near),
            "local": first.way.far,
            "version": "l2tpv3",
            "encap": first.way.encap.value,
            "host_name": first.digest,
            "profile": first.digest,
        }
        text += table(f"tunnel.t{number}", keys | also)
        text += "".join(table(f"tunnel.t{number}.session.{wire.name}", wire.keys("far")) for wire in (first, *others))
    return text
