"""What is told of PPP, in which order, and what is not told any more."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.config.model import SessionSettings
from l2tpd.events import PppEvent, What
from l2tpd.ppp.accountant import Traffic
from l2tpd.ppp.instances import Instances, Limits, Report
from l2tpd.session.call import Call, Kind
from l2tpd.wire.values import DisconnectCause

UP = PppEvent(
    what=What.UP, network="ipv4", tunnel_id=1, session_id=2, interface="ppp0", local="10.0.0.1", remote="10.0.0.2"
)
SIX = attrs.evolve(UP, network="ipv6", local="fe80::1", remote="fe80::2")


@attrs.define(eq=False)
class Fixed:
    """An instance that does nothing by itself."""

    report: Report
    engine: str = "builtin"
    sets_down: bool = False
    state: str = "up"
    ended: list[str] = attrs.field(factory=list)

    def limits(self, now: float) -> Limits:
        return Limits()

    def disconnect(self, text: str) -> None:
        self.ended.append(text)

    def configured(self) -> None:
        return


@pytest.fixture
def told() -> list[PppEvent]:
    return []


def a_report(told: list[PppEvent], **call: object) -> Report:
    facts = Call(2, Kind.LNS_INCOMING, SessionSettings(user_data="x"), 0.0, 1, name="s", profile="p")
    for name, value in {"ppp_user": "alice", **call}.items():
        setattr(facts, name, value)
    return Report(
        1, facts, told.append, lambda: Traffic(input_octets=1, output_octets=2, input_packets=3, output_packets=4)
    )


def test_what_went_up_goes_down_once(told: list[PppEvent]) -> None:
    """With all that it was up with, how long that was, what has passed, and why it is over."""
    report = a_report(told)
    report.up(UP, 10.0)
    report.down("ipv4", DisconnectCause(1, 0, 2, "enough"), "enough", 12.5)
    report.down("ipv4", None, "again", 13.0)
    report.down("ipv6", None, "never up", 13.0)
    up, down = told
    assert ("s", "p", "x", "alice", 2.5, 1, 2, 3, 4, "enough") == (
        down.name, down.profile, down.user_data, down.user, down.duration,
        down.rx_bytes, down.tx_bytes, down.rx_packets, down.tx_packets, down.message,
    )  # fmt: skip
    assert "admin (1), on our side: enough" == down.cause
    same = attrs.fields_dict(PppEvent).keys() - {
        "what",
        "duration",
        "rx_bytes",
        "tx_bytes",
        "rx_packets",
        "tx_packets",
        "message",
        "cause",
    }
    assert all(getattr(up, name) == getattr(down, name) for name in same)
    assert (0.0, set()) == (report.duration(20.0), report.interfaces)


def test_what_comes_up_again_was_down_in_between(told: list[PppEvent]) -> None:
    """Also where nobody has said so: a pppd tells of its new addresses alone."""
    report = a_report(told)
    report.up(UP, 10.0)
    report.up(attrs.evolve(UP, remote="10.0.0.3"), 12.0)
    report.over("bye", 15.0)
    assert [(What.UP, "10.0.0.2"), (What.DOWN, "10.0.0.2"), (What.UP, "10.0.0.3"), (What.DOWN, "10.0.0.3")] == [
        (event.what, event.remote) for event in told
    ]
    assert [2.0, 3.0] == [event.duration for event in told if event.what is What.DOWN]


def test_after_the_session_nothing_is_told(told: list[PppEvent]) -> None:
    """Its end takes every network along; one that comes up too late is not told of."""
    report = a_report(told, disconnect=DisconnectCause(1, 0, 1, "x"))
    report.up(UP, 1.0)
    report.up(SIX, 2.0)
    assert (4.0, {"ppp0"}) == (report.duration(5.0), report.interfaces)
    report.over("bye", 5.0)
    report.over("bye again", 6.0)
    report.up(UP, 7.0)
    assert [("ipv4", What.UP), ("ipv6", What.UP), ("ipv4", What.DOWN), ("ipv6", What.DOWN)] == [
        (event.network, event.what) for event in told
    ]
    assert ["bye"] * 2 == [event.message for event in told[2:]]


def test_instances_are_found_by_what_they_are_called(told: list[PppEvent]) -> None:
    """Interface or session; and are there for as long as they run. A later one of the same ids is not taken away by the end of the first."""
    instances = Instances(told.append)
    first, second = Fixed(a_report(told)), Fixed(a_report(told))
    first.report.up(UP, 0.0)
    with instances.holding(first):
        assert ([first], [first], []) == tuple(map(instances.called, ("ppp0", "s", "ppp1")))
        assert first is instances.get((1, 2))
        assert [first] == list(instances)
        instances.over((1, 2), "the end", 1.0)
        instances.over((1, 3), "somebody else's", 1.0)
        assert [What.UP, What.DOWN] == [event.what for event in told]
        with instances.holding(second):
            assert second is instances.get((1, 2))
    assert ([], None) == (list(instances), instances.get((1, 2)))


def test_without_a_listener_nobody_is_told() -> None:
    """As where an engine runs by itself."""
    Instances().tell(UP)
