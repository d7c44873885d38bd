"""Who may have a tunnel or a call: the configuration's answers."""

from __future__ import annotations

import attrs
import pytest

from dialogue import octets
from l2tpd.config.load import parse
from l2tpd.config.model import Address, Config, TunnelSettings
from l2tpd.errors import RemoteProtocolError
from l2tpd.events import Origin
from l2tpd.registry import Registry
from l2tpd.session.call import Kind
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.policy import Admitted, Policy
from l2tpd.tunnel.site import Site

PEERS = """
[peer.named]
host_name = "lac"
secret = "by name"
[peer.near]
match = ["192.0.2.0/24"]
secret = "by prefix"
roles = ["lns"]
session_profile = "theirs"
[peer.shut]
match = ["192.0.2.66"]
accept = false
[profile.session.theirs]
user_data = "theirs"
"""


@attrs.define(eq=False)
class Entry:
    """All that the registry wants of a tunnel."""

    core: ControlConnection


def configured(text: str) -> Config:
    return parse([("test.toml", text)])


def policy(text: str) -> Policy:
    return Policy(configured(text), Registry())


def tunnel(
    judge: Policy, local_id: int = 1, *, host: str = "192.0.2.9", origin: Origin = "network", profile: str = "default"
) -> ControlConnection:
    """Put a tunnel into the registry of a policy."""
    site = Site(random=octets("policy"), calls=judge, hostname="us", vendor_name="")
    core = ControlConnection(local_id, site, TunnelSettings(), Address(host, 1701), 0.0, origin=origin, profile=profile)
    judge._registry.add(Entry(core))
    return core


def test_callers_are_known_by_name_then_by_address() -> None:
    """With the settings of the entry that matches; its secret is known before anything else is."""
    judge = policy(PEERS)
    assert ("named", "by name") == _known(judge, "lac", "198.51.100.1")
    assert ("named", "by name") == _known(judge, "lac", "192.0.2.66")
    assert ("near", "by prefix") == _known(judge, "other", "192.0.2.1")
    assert b"by name" == judge.secret_of("lac", "192.0.2.1")
    assert b"" == judge.secret_of("", "198.51.100.1")


def _known(judge: Policy, host_name: str, address: str) -> tuple[str, str]:
    admitted = judge.known(host_name, address)
    return admitted.peer, admitted.settings.secret


@pytest.mark.parametrize("address", ["192.0.2.66", "198.51.100.1"], ids=["not accepted", "unknown"])
def test_others_are_refused(address: str) -> None:
    """With "not authorized", whether they are known or not."""
    with pytest.raises(RemoteProtocolError) as refusal:
        policy(PEERS).known("other", address)
    assert (4, 0) == (refusal.value.result, refusal.value.error)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("[peer.default]\n", None),
        ("[system]\nmax_tunnels = 2\n[peer.default]\nmax_tunnels = 2\n", None),
        ("[system]\nmax_tunnels = 1\n[peer.default]\n", (2, 4)),
        ("[peer.default]\nmax_tunnels = 1\n", (2, 4)),
        ("[peer.default]\n[peer.other]\nmax_tunnels = 1\n", None),
        ("[system]\ndrain = true\n[peer.default]\n", (2, 7)),
        ("[system]\ndrain = true\ndeny_remote_creates = true\n[peer.default]\n", (4, 0)),
    ],
)
def test_limits_on_tunnels(text: str, refusal: tuple[int, int] | None) -> None:
    """The second tunnel of a peer, under each limit."""
    judge = policy(text)
    tunnel(judge)
    admitted = Admitted("default", TunnelSettings())
    if refusal is None:
        judge.admit_tunnel(admitted)
        return
    with pytest.raises(RemoteProtocolError) as refused:
        judge.admit_tunnel(admitted)
    assert refusal == (refused.value.result, refused.value.error)


def test_who_goes_for_a_newcomer() -> None:
    """A source at its limit loses its own oldest, and otherwise the oldest of all goes once all are too many."""
    judge = policy("[system]\nmax_half_open = 3\nmax_half_open_per_source = 2\n")
    registry = judge._registry
    there = [Entry(tunnel(judge, n, host=host)) for n, host in enumerate(("192.0.2.1", "192.0.2.2", "192.0.2.2"), 1)]
    registry.open_half(there[0])
    registry.open_half(there[1])
    assert judge.displaced("192.0.2.2") is None
    registry.open_half(there[2])
    assert there[1] is judge.displaced("192.0.2.2")
    assert there[0] is judge.displaced("192.0.2.3")


def test_calls_are_counted_against_the_limit() -> None:
    """The last one that fits is admitted, the next one refused until one ends."""
    judge = policy("[system]\nmax_sessions = 1\n[peer.default]\n")
    core = tunnel(judge)
    assert "default" == judge.admit(core, Kind.LNS_INCOMING, "")[0]
    judge.began(core)
    with pytest.raises(RemoteProtocolError) as refusal:
        judge.admit(core, Kind.LNS_INCOMING, "")
    assert (4, 4) == (refusal.value.result, refusal.value.error)
    judge.ended(core)
    judge.admit(core, Kind.LNS_INCOMING, "")


def test_no_calls_while_drained() -> None:
    """The caller is sent to another LNS."""
    judge = policy("[system]\ndrain = true\n[peer.default]\n")
    with pytest.raises(RemoteProtocolError) as refusal:
        judge.admit(tunnel(judge), Kind.LNS_INCOMING, "")
    assert (2, 7) == (refusal.value.result, refusal.value.error)


def test_roles_of_a_peer() -> None:
    """We are LNS towards it, as configured, and no LAC; its sessions have its profile."""
    judge = policy(PEERS)
    core = tunnel(judge, profile="near")
    profile, settings = judge.admit(core, Kind.LNS_INCOMING, "")
    assert ("theirs", "theirs") == (profile, settings.user_data)
    with pytest.raises(RemoteProtocolError) as refusal:
        judge.admit(core, Kind.LAC_OUTGOING, "")
    assert (5, 0) == (refusal.value.result, refusal.value.error)


def test_a_tunnel_of_ours_admits_either_role() -> None:
    """Roles are a matter of peer entries, and a tunnel that we opened has none."""
    judge = policy(PEERS)
    core = tunnel(judge, origin="local")
    assert ["default", "default"] == [judge.admit(core, kind, "")[0] for kind in (Kind.LNS_INCOMING, Kind.LAC_OUTGOING)]


def test_another_configuration_applies_at_once() -> None:
    """Whom nobody knew is admitted."""
    judge = policy("")
    with pytest.raises(RemoteProtocolError):
        judge.known("", "192.0.2.1")
    judge.apply(configured("[peer.default]\n"))
    assert "default" == judge.known("", "192.0.2.1").peer
