"""Interfaces of PPP that go down or away behind our back: whose session ends, and whose does not."""

from __future__ import annotations

import attrs
import pytest

import taps
from l2tpd.circuits import Circuits
from l2tpd.events import PppEvent, What
from l2tpd.kernel.linkwatch import Report
from l2tpd.ppp.instances import Instances
from l2tpd.registry import Registry
from l2tpd.tunnel.task import Tunnel
from ppp.test_instances import UP, Fixed, a_report

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
