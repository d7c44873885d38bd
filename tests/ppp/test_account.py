"""The account of one session: what it says when, and why it ended."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.config.model import SessionSettings
from l2tpd.events import By
from l2tpd.ppp.account import Account
from l2tpd.ppp.accountant import Cause, Meter, Subscriber, Traffic
from l2tpd.ppp.authority import Verdict
from l2tpd.ppp.numbers import BY_PEER, BY_US, Disconnect
from l2tpd.ppp.way import Way
from l2tpd.session.call import Call, Ending, Ipv6Facts, Kind
from l2tpd.wire.numbers import CallResult
from l2tpd.wire.values import DisconnectCause


@attrs.define
class Bookkeeper:
    """Writes down what it is told."""

    begun: list[Subscriber] = attrs.field(factory=list)
    renewed: list[tuple[str, Subscriber]] = attrs.field(factory=list)
    ended: list[tuple[str, Cause, Traffic]] = attrs.field(factory=list)

    def begin(self, subscriber: Subscriber) -> str:
        self.begun.append(subscriber)
        return f"account {len(self.begun)}"

    def renew(self, account: str, subscriber: Subscriber) -> None:
        self.renewed.append((account, subscriber))

    def end(self, account: str, cause: Cause) -> None:
        self.ended.append((account, cause, self.begun[-1].traffic()))


@attrs.define
class Found:
    """A way in that has found somebody."""

    tunnel_id: int = 1
    way: Way = attrs.field(factory=lambda: Way(peer="192.0.2.2"))
    verdict: Verdict = attrs.field(factory=lambda: Verdict(accepted=True, state_class=(b"x",), interim_interval=90.0))
    cause: Cause | None = None


@attrs.define
class Scene:
    """A call, its way in, and who keeps accounts."""

    keeper: Bookkeeper = attrs.field(factory=Bookkeeper)
    way: Found = attrs.field(factory=Found)
    meter: Meter = attrs.field(factory=Meter)
    call: Call = attrs.field(
        factory=lambda: Call(
            local_id=7, kind=Kind.LNS_INCOMING, settings=SessionSettings(), created=0.0, serial=1, calling_number="030"
        )
    )

    def count(self) -> Traffic:
        return self.meter.read()

    def disconnect(self, text: str) -> None:
        """Go on: who runs a session ends it, not its account."""

    def limit(self, session_timeout: float | None, idle_timeout: float | None) -> None:
        """Go on likewise."""

    def account(self, keeper: Bookkeeper | None) -> Account:
        return Account(
            accountant=keeper,
            call=self.call,
            gate=self.way,
            by_radius=True,
            count=self.count,
        )


def test_it_is_opened_and_closed_once() -> None:
    """A second protocol of the network opens no second account; an end without a beginning is none."""
    scene = Scene()
    scene.call.ppp_user, scene.call.ppp_remote, scene.call.interface = "joe", "10.0.0.7", "ppp0"
    account = scene.account(scene.keeper)
    account.close()
    account.open(scene)
    account.open(scene)
    account.close()
    account.close()
    (found,) = scene.keeper.begun
    assert ("joe", "10.0.0.7", "ppp0", 1, 7) == (
        found.user,
        found.address,
        found.interface,
        found.tunnel_id,
        found.session_id,
    )
    assert ("192.0.2.2", "030", True, (b"x",), 90.0) == (
        found.way.peer,
        found.calling_number,
        found.by_radius,
        found.state_class,
        found.interim_interval,
    )
    assert [("account 1", Cause.NAS_REQUEST, Traffic())] == scene.keeper.ended


def test_an_address_that_comes_later_is_told() -> None:
    """IPv6 may be up before IPv4; what is known already is not told again."""
    scene = Scene()
    account = scene.account(scene.keeper)
    account.open(scene)
    scene.call.ppp_remote = "10.0.0.7"
    account.open(scene)
    account.open(scene)
    assert [""] == [one.address for one in scene.keeper.begun]
    assert [("account 1", "10.0.0.7")] == [(name, one.address) for name, one in scene.keeper.renewed]


def test_what_was_told_stays_told() -> None:
    """A protocol that is down has no address to show; the session holds it on, and a server's pool takes back what a Stop names."""
    scene = Scene()
    scene.call.ppp_remote = "10.0.0.7"
    account = scene.account(scene.keeper)
    account.open(scene)
    scene.call.ppp_remote, scene.call.ppp_ipv6 = "", Ipv6Facts(remote="fe80::7", prefix="2001:db8::/64")
    account.open(scene)
    scene.call.ppp_remote, scene.call.ppp_ipv6 = "10.0.0.7", None
    account.open(scene)
    assert [("10.0.0.7", "2001:db8::/64")] == [(one.address, one.prefix) for _, one in scene.keeper.renewed]


def test_interfaces_that_are_gone_count_on() -> None:
    """A protocol that is negotiated anew makes another interface; the session's counters do not begin anew."""
    scene = Scene()
    account = scene.account(scene.keeper)
    account.open(scene)
    scene.meter.took(100)
    scene.meter.gave(40)
    account.carry_over()
    scene.meter = Meter()
    scene.meter.took(1)
    account.settle()
    scene.meter = Meter()
    account.close()
    expected = Traffic(input_octets=101, input_packets=2, output_octets=40, output_packets=1)
    assert [expected] == [traffic for _, _, traffic in scene.keeper.ended]


def test_without_an_accountant_nothing_happens() -> None:
    """A client keeps no accounts, and neither does who asks for none."""
    scene = Scene()
    account = scene.account(None)
    account.open(scene)
    account.carry_over()
    account.close()
    assert Traffic() == account.moved()


@pytest.mark.parametrize(
    ("code", "direction", "cause"),
    [
        (Disconnect.NORMAL, BY_PEER, Cause.USER_REQUEST),
        (Disconnect.NORMAL, BY_US, Cause.ADMIN_RESET),
        (Disconnect.ADMIN, BY_US, Cause.ADMIN_RESET),
        (Disconnect.ECHO_TIMEOUT, 0, Cause.LOST_CARRIER),
        (Disconnect.AUTH_FAILED, BY_PEER, Cause.USER_ERROR),
        (Disconnect.NO_ADDRESS, BY_US, Cause.NAS_ERROR),
    ],
)
def test_why_the_link_ended(code: Disconnect, direction: int, cause: Cause) -> None:
    """Acct-Terminate-Cause says it in RADIUS's words (RFC 2866 5.10)."""
    scene = Scene()
    account = scene.account(scene.keeper)
    account.open(scene)
    scene.call.disconnect = DisconnectCause(code, 0, direction)
    account.close()
    assert [cause] == [said for _, said, _ in scene.keeper.ended]


@pytest.mark.parametrize(
    ("result", "by", "cause"),
    [
        (CallResult.LOST_CARRIER, "peer", Cause.LOST_CARRIER),
        (CallResult.ADMIN, "us", Cause.ADMIN_RESET),
        (CallResult.ERROR, "us", Cause.NAS_ERROR),
        (None, "peer", Cause.LOST_SERVICE),
    ],
)
def test_why_the_call_ended(result: int | None, by: By, cause: Cause) -> None:
    """Where the call was taken from under the link, its CDN says why; a tunnel takes all its calls along."""
    scene = Scene()
    account = scene.account(scene.keeper)
    account.open(scene)
    scene.call.ending = Ending(result, None, "", by)
    account.close()
    assert [cause] == [said for _, said, _ in scene.keeper.ended]


def test_who_was_told_to_end_it_says_so() -> None:
    """Also where the peer's CDN is faster than the link's end."""
    scene = Scene()
    account = scene.account(scene.keeper)
    account.open(scene)
    account.told = True
    scene.call.ending = Ending(CallResult.LOST_CARRIER, None, "", "peer")
    account.close()
    assert [Cause.ADMIN_RESET] == [said for _, said, _ in scene.keeper.ended]


def test_a_limit_comes_first() -> None:
    """It is the limit that has ended the link."""
    scene = Scene(way=Found(cause=Cause.SESSION_TIMEOUT))
    account = scene.account(scene.keeper)
    account.open(scene)
    scene.call.disconnect = DisconnectCause(Disconnect.ADMIN, 0, BY_US)
    account.close()
    assert [Cause.SESSION_TIMEOUT] == [said for _, said, _ in scene.keeper.ended]
