"""Interfaces of PPP that go down or away behind our back: whose session ends, and whose does not."""

from __future__ import annotations

from typing import NoReturn

import attrs
import pytest

import taps
from house import Peer, house, until
from l2tpd.circuits import Circuits
from l2tpd.events import PppEvent, What
from l2tpd.kernel.linkwatch import Report
from l2tpd.ppp.instances import Instances
from l2tpd.registry import Registry
from l2tpd.tunnel.task import Tunnel
from l2tpd.wire.numbers import MessageType
from ppp.test_instances import SIX, UP, Fixed, a_report

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"INTERFACES ARE NOT MADE: {taps.why_not()}")


@pytest.mark.parametrize("by_itself", [False, True])
def test_who_sets_its_interface_down_itself_goes_on(by_itself: bool) -> None:
    """A pppd does, when it negotiates anew and when it ends, and would forget why; but where the interface is gone, it ends as well."""
    told: list[PppEvent] = []
    instances, registry = Instances(told.append), Registry[Tunnel]()
    one = Fixed(a_report(told), sets_down=by_itself)
    circuits = Circuits(registry, instances)
    with instances.holding(one), taps.namespace():
        taps.ip("link", "set", "lo", "down")
        for name, down in (("lo", "set down"), ("gone", "deleted")):
            one.ended.clear()
            circuits.follow_ppp(attrs.evolve(UP, interface=name))
            for _ in range(2):
                circuits.link_changed(Report(name, up=False, there=name == "lo"))
            ends = not by_itself or name == "gone"
            assert [f"the interface {name} was {down}"] * ends == one.ended
            circuits.follow_ppp(attrs.evolve(UP, what=What.DOWN, interface=name))
            circuits.link_changed(Report(name, up=False, there=False))
            assert len(one.ended) == ends


def test_a_network_that_ends_alone_leaves_the_interface_to_the_other() -> None:
    """As a pppd's does: where the interface goes then, the session ends; once both are down, it is nobody's."""
    told: list[PppEvent] = []
    instances, registry = Instances(told.append), Registry[Tunnel]()
    one, circuits = Fixed(a_report(told), sets_down=True), Circuits(registry, instances)
    gone = Report("ppp0", up=False, there=False)
    with instances.holding(one), taps.namespace():
        one.report.tell = circuits.follow_ppp
        for times in (1, 2):
            one.report.up(UP, 1.0)
            one.report.up(SIX, 1.0)
            one.report.down("ipv4", None, "IPCP terminated by peer", 2.0)
            circuits.link_changed(gone)
            assert ["the interface ppp0 was deleted"] * times == one.ended
            one.report.all_down(None, "over", 3.0)
            circuits.link_changed(gone)
            assert times == len(one.ended)


class Broken(Fixed):
    """One that meets a bug when it is to end."""

    def disconnect(self, text: str) -> NoReturn:
        raise ZeroDivisionError(text)


async def test_ppp_that_cannot_be_ended() -> None:
    """Its session ends all the same; the tunnel, its other session and who watches interfaces do not."""
    with taps.namespace():
        async with house() as lns:
            with Peer(lns.address) as lac:
                caller = await lac.connect()
                for number in (1, 2):
                    await caller.bring_up(number)
                tunnel, circuits = lns.the_tunnel(), lns.daemon.circuits
                ill, well = tunnel.core.calls.values()
                report = attrs.evolve(a_report([]), tunnel_id=tunnel.core.local_id, call=ill)
                with lns.daemon.ppp.instances.holding(Broken(report)):
                    circuits.follow_ppp(
                        attrs.evolve(UP, tunnel_id=report.key[0], session_id=report.key[1], interface="gone")
                    )
                    circuits.link_changed(Report("gone", up=False, there=False))
                    await until(lambda: 1 == len(tunnel.core.calls))
                assert [well] == list(tunnel.core.calls.values())
                assert "the interface gone was deleted" == (await caller.hear(MessageType.CDN)).result.message
                assert 0 == lns.daemon.crashes
