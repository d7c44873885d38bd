"""L2TPv3 as its users have it, on the real kernel: daemons with configurations, against `ip l2tp` and against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import attrs
import pytest

from interop.daemon import Daemon
from interop.netns import Cable
from interop.program import polled
from vm.inside import dialled, ethernet, stage, wires
from vm.inside.conftest import Start
from vm.inside.ppp import shown


@pytest.fixture
def wired(cable: Cable) -> Cable:
    """The cable; new interfaces say nothing of their own accord."""
    wires.quiet(cable)
    return cable


async def agreed(cable: Cable, daemon: Daemon, sessions: Sequence[Any]) -> None:
    """Wait until `show` and `statistics` say of sessions, tunnels and the whole what the kernel says."""
    different: list[object] = []

    async def same() -> bool | None:
        different[:] = [*await different_sessions(cable, daemon, sessions), *await different_tunnels(cable, daemon)]
        return None if different else True

    await polled(same, lambda: f"the kernel and we do not agree: {different}")


async def different_sessions(cable: Cable, daemon: Daemon, sessions: Sequence[Any]) -> list[object]:
    """Return what we tell of sessions, and of them together, that is not what the kernel and their interfaces tell."""
    links = await wires.interfaces(cable.us)
    different: list[object] = []
    whole: Counter[str] = Counter()
    with wires.kernel(cable.us) as look:
        for row in sessions:
            told = (await shown(daemon, row))["counters"]
            whole.update(told)
            stats = links[row["interface"]]["stats64"]
            truth = look.session(row["tunnel_id"], row["id"]).counters
            if (told, stats["rx"]["packets"], stats["tx"]["packets"]) != (
                truth,
                told["rx_packets"],
                told["tx_packets"],
            ):
                different.append((row["name"], told, truth, stats))
    total = (await daemon.control.call("statistics.show"))["data"]
    return different if total == whole else [*different, ("total", total, whole)]


async def different_tunnels(cable: Cable, daemon: Daemon) -> list[object]:
    """Return what we tell of tunnels that is not what the kernel tells."""
    different: list[object] = []
    with wires.kernel(cable.us) as look:
        for row in await daemon.tunnels():
            told = (await daemon.control.call("tunnel.show", tunnel=f"@{row['id']}"))["counters"]
            truth = look.tunnel(row["id"]).counters
            if told != truth:
                different.append((row["name"], told, truth))
    return different


async def test_every_kind_against_ip_l2tp(wired: Cable, daemon: Start) -> None:
    """One configuration of 24 pseudowires in 8 tunnels: pings cross each; counters are the kernel's; the end leaves what is not ours, and that alone."""
    made = wires.matrix()
    wires.far_ends(wired.them, made)
    others = "tunnel_id 9 peer_tunnel_id 9 encap ip local 192.0.2.1 remote 192.0.2.2"
    ids = "tunnel_id 9 session_id 9 peer_session_id 9"
    wires.batch(wired.us, [f"l2tp add tunnel {others}", f"l2tp add session name others {ids}"])
    async with daemon(wired.us, wires.config(made)) as ours:
        sessions = await wires.all_up(ours, len(made))
        await wires.ping_all(wired, made)
        with wires.kernel(wired.us) as near, wires.kernel(wired.them) as far:
            for wire, (end, look) in product(made, enumerate((near, far))):
                facts = look.session(wire.tunnel_ids[end], wire.session_ids[end])
                assert (wire.sequencing, wire.sequencing) == (facts.send_sequence, facts.receive_sequence), wire
                assert 0 == facts.counters["rx_errors"], wire
        await agreed(wired, ours, sessions)
        assert {9, *(wire.tunnel_ids[0] for wire in made)} == tunnel_ids(wired)
    assert {9} == tunnel_ids(wired)
    assert {"others"} == {name for name in await wires.interfaces(wired.us) if name.startswith(("near", "others"))}


def tunnel_ids(cable: Cable) -> set[int]:
    """Return which tunnels the kernel has at our end."""
    with wires.kernel(cable.us) as look:
        return {facts.tunnel_id for facts in look.tunnels()}


UDP4, UDP6, IP4, IP6 = ethernet.WAYS.values()


@pytest.mark.stock
async def test_a_vlan_and_a_bridge_against_ip_l2tp(wired: Cable, daemon: Start) -> None:
    """A VLAN has its traffic on the VLAN link; a pseudowire between two bridges makes their networks one; both sizes are the kernel's own."""
    vlan = wires.Wire(number=1, tunnel=1, way=UDP6, octets=8, far_link={"vlan_id": 7})
    vlan = attrs.evolve(vlan, near_link={"pseudowire": "eth-vlan", "vlan_id": 7, "address": f"{vlan.near_address}/24"})
    bridged = wires.Wire(number=2, tunnel=2, way=IP4, near_link={"bridge": "br0"}, far_link={"bridge": "br0"})
    with wires.lan(wired.us, "10.8.0.1") as near_lan, wires.lan(wired.them, "10.8.0.2") as far_lan:
        wires.far_ends(wired.them, [vlan, bridged])
        lines = [
            f"link add link {vlan.far} name far1.7 type vlan id 7",
            f"address add {vlan.far_address}/24 dev far1.7",
        ]
        wires.batch(wired.them, [*lines, "link set far1.7 up", f"link set {bridged.far} master br0"])
        async with daemon(wired.us, wires.config([vlan, bridged])) as ours:
            rows = await wires.all_up(ours, 2)
            assert {("eth-vlan", "near1.7"), ("eth", "near2")} == {
                (row["pseudowire"], row["interface"]) for row in rows
            }
            await wires.ping_all(wired, [vlan])
            await stage.pings(near_lan, "10.8.0.2")
            await stage.pings(far_lan, "10.8.0.1")
            near, far = await wires.interfaces(wired.us), await wires.interfaces(wired.them)
            assert (far["far1"]["mtu"] - 4, far["far2"]["mtu"]) == (near["near1.7"]["mtu"], near["near2"]["mtu"])
        await wires.nothing_left(wired.us, "near")
        assert 0 == await wires.pinged(near_lan, "10.8.0.2")


async def test_a_reload_touches_what_changes(wired: Cable, daemon: Start, tmp_path: Path) -> None:
    """A cookie, a session and a tunnel change, and the pseudowire beside them goes on in the kernel as the same; a mistake changes nothing."""
    stays, changes, goes = (wires.Wire(number=number, tunnel=1, way=UDP4) for number in (1, 2, 3))
    other, comes = wires.Wire(number=4, tunnel=2, way=IP4), wires.Wire(number=5, tunnel=3, way=UDP6, octets=4)
    changed = attrs.evolve(changes, octets=8, sequencing=True)
    wires.far_ends(wired.them, [stays, changed, goes, other, comes])
    async with daemon(wired.us, wires.config([stays, changes, goes, other])) as ours:
        await wires.all_up(ours, 4)
        await wires.ping_all(wired, [stays, goes, other])
        assert 0 == await wires.pinged(wired.us, changes.far_address)
        with wires.kernel(wired.us) as look:
            before = look.session(stays.tunnel_ids[0], stays.session_ids[0]).counters["rx_packets"]
        index = (await wires.interfaces(wired.us))[stays.near]["ifindex"]
        folder = tmp_path / "l2tpd-1"
        wires.rewritten(folder, wires.config([stays, changes, goes, other]), wires.config([stays, changed, comes]))
        await ours.control.call("config.reload")
        rows = await wires.all_up(ours, 3)
        assert {"s1", "s2", "s5"} == {row["name"] for row in rows}
        await wires.ping_all(wired, [stays, changed, comes])
        with wires.kernel(wired.us) as look:
            assert before < look.session(stays.tunnel_ids[0], stays.session_ids[0]).counters["rx_packets"]
            assert {1001, 1002, 1005} == {facts.session_id for facts in look.sessions()}
            assert {101, 103} == {facts.tunnel_id for facts in look.tunnels()}
        assert index == (await wires.interfaces(wired.us))[stays.near]["ifindex"]
        wires.rewritten(folder, changed.near_address, "10.7.2.300")
        with pytest.raises(AssertionError, match=r"tunnel\.t1\.session\.s2\.address"):
            await ours.control.call("config.reload")
        await wires.ping_all(wired, [stays, changed, comes])
    await wires.nothing_left(wired.us, "near")


async def test_alike_at_both_ends(wired: Cable, daemon: Start, tmp_path: Path) -> None:
    """The 24 static pseudowires between two daemons with mirrored configurations, the far one on the user plane: pings cross, and nothing is dropped."""
    made = wires.matrix()
    far = wires.config(made, far=True)
    async with (
        daemon(wired.us, wires.config(made)) as ours,
        stage.l2tpd(wired.them, tmp_path / "far", far, data_plane="user") as theirs,
    ):
        rows = await wires.all_up(theirs, len(made))
        await wires.all_up(ours, len(made))
        await wires.ping_all(wired, made)
        for row in rows:
            counters = (await shown(theirs, row))["counters"]
            assert 0 == counters["rx_errors"], row
            assert 2 <= counters["rx_packets"], row
    await wires.nothing_left(wired.us, "near")
    assert not [name for name in await wires.interfaces(wired.them) if name.startswith("far")]


@pytest.mark.parametrize("plane", ["kernel", "user"])
async def test_two_of_ours_agree(wired: Cable, daemon: Start, tmp_path: Path, plane: str) -> None:
    """All pseudowires, also with a caller on the user plane, over each way, unsigned and signed by either hash: pings cross, cookies and numbers are as asked."""
    made = dialled.matrix()
    async with (
        daemon(wired.us, dialled.listener(wired.us, made)) as ours,
        stage.l2tpd(wired.them, tmp_path / "caller", dialled.caller(made), data_plane=plane) as theirs,
    ):
        far = {row["name"]: row for row in await wires.all_up(theirs, len(made))}
        near = {row["profile"]: row for row in await wires.all_up(ours, len(made))}
        lengths = await wires.cookies(wired.us)
        with wires.kernel(wired.us) as look:
            for wire in made:
                here, there = near[wire.name], far[wire.name]
                assert (wire.pseudowire, wire.pseudowire) == (here["pseudowire"], there["pseudowire"])
                ids = here["tunnel_id"], here["id"]
                assert (wire.near_octets, wire.far_octets) == lengths[ids], wire
                facts = look.session(*ids)
                assert (wire.sequencing, wire.sequencing) == (facts.send_sequence, facts.receive_sequence), wire
        for wire in made:
            await across(wired, wire)
    for host in (wired.us, wired.them):
        await wires.nothing_left(host, "near", "far")


async def across(cable: Cable, wire: dialled.Dialled) -> None:
    """Ping through a pseudowire; the near end of one with PPP does not know the caller's address."""
    if wire.pseudowire != "ppp":
        await stage.pings(cable.us, wire.far_address, "-I", wire.interface("near"))
    await stage.pings(cable.them, wire.near_address, "-I", wire.interface("far"))


async def test_a_quiescent_pair(wired: Cable, daemon: Start, tmp_path: Path) -> None:
    """Without a peer nothing is up; with one, pings cross; when he dies it is noticed, and when he is back they cross again."""
    made = [
        wires.Wire(number=1, tunnel=1, way=UDP4, octets=8, mode="quiescent"),
        wires.Wire(number=2, tunnel=2, way=IP6, sequencing=True, mode="quiescent"),
    ]
    far = wires.QUICK + wires.config(made, far=True)
    async with daemon(wired.us, wires.QUICK + wires.config(made)) as ours:
        assert [] == [row for row in [*await ours.tunnels(), *await ours.sessions()] if row["state"] == "up"]
        async with stage.l2tpd(wired.them, tmp_path / "first", far) as theirs:
            await quiescent_up(wired, ours, theirs, made)
            await theirs.kill()
        for wire in made:
            ended = {"tunnel_id": wire.tunnel_ids[0], "message": "the peer does not answer", "by": "us"}
            await ours.control.event("tunnel", "down", **ended)
        await wires.nothing_left(wired.us, "near")
        async with stage.l2tpd(wired.them, tmp_path / "second", far) as theirs:
            await quiescent_up(wired, ours, theirs, made)


async def quiescent_up(cable: Cable, ours: Daemon, theirs: Daemon, made: Sequence[wires.Wire]) -> None:
    """Wait until pseudowires are up at both ends, and ping across them."""
    for daemon in (ours, theirs):
        await wires.all_up(daemon, len(made))
    await wires.ping_all(cable, made)


REFUSALS = {"kernel": "give this one another `local_port`", "user": "call from another port"}
"""What a caller says of a second tunnel from one port, by his data plane: the first finds it out himself, to the other the peer says it."""


@pytest.mark.parametrize("plane", REFUSALS)
async def test_two_tunnels_from_one_port(wired: Cable, daemon: Start, tmp_path: Path, plane: str) -> None:
    """A newer kernel carries both; with an older one the second has a reason for not coming about, and the first goes on."""
    made = [dialled.Dialled(number=number, tunnel=number, way=UDP4) for number in (1, 2)]
    calls = dialled.caller(made, local_port=1701)
    async with (
        daemon(wired.us, dialled.listener(wired.us, made)) as ours,
        stage.l2tpd(wired.them, tmp_path / "caller", calls, data_plane=plane) as theirs,
    ):
        if stage.KERNEL < (6, 11):
            await theirs.program.says(REFUSALS[plane])
        rows = await wires.all_up(ours, 2 if stage.KERNEL >= (6, 11) else 1)
        assert {"192.0.2.2:1701"} == {row["peer_address"] for row in await ours.tunnels() if row["state"] == "up"}
        for wire in made:
            if wire.name in {row["profile"] for row in rows}:
                await across(wired, wire)
