"""Who is let in and with what: an LNS with the users of its configuration, and clients on cables, each with a real TUN interface."""

from __future__ import annotations

import math
import os
from functools import partial

import attrs
import pytest
import trio
import trio.testing

import taps
from l2tpd.config.model import Config, PppAuthority, PppSettings, SessionSettings
from l2tpd.events import PppEvent
from l2tpd.kernel.tuntap import open_tap
from l2tpd.ppp import hashed
from l2tpd.ppp.accountant import Cause, Subscriber
from l2tpd.ppp.authorities import LocalUsers
from l2tpd.ppp.authority import Request, Verdict
from l2tpd.ppp.credentials import Credentials
from l2tpd.ppp.events import CheckCredentials
from l2tpd.ppp.gate import Gate
from l2tpd.ppp.lease import Lease
from l2tpd.ppp.leases import Leases
from l2tpd.ppp.link import Link
from l2tpd.ppp.numbers import Auth
from l2tpd.ppp.settings import LinkSettings
from l2tpd.ppp.task import _Running
from l2tpd.ppp.way import UNTOLD, Way
from l2tpd.session.call import Call, Kind
from l2tpd.wire.numbers import CallResult
from pppcable import until
from pppserver import ALICE, PROFILE, Oracle, asking, lns

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"PPP IN THIS PROCESS IS NOT TESTED: {taps.why_not()}")


@pytest.mark.parametrize("auth", ["pap", "chap", "mschapv2"])
async def test_a_user_has_an_address_and_routes(auth: str) -> None:
    """Its own address, the networks behind it, and both only while it is there; the call knows who it is."""
    routes = ALICE + 'address = "10.9.0.3"\nroutes = ["192.0.2.0/24", "198.51.100.7/32"]\n'
    async with lns(PROFILE.replace('"chap"', f'"{auth}"') + routes) as server:
        session = await server.up("alice")
        assert ("alice", "10.9.0.3") == (session.lns.ppp_user, session.lns.ppp_remote)
        await until(lambda: "198.51.100.7 dev sub0" in taps.ip("route"))
        assert "192.0.2.0/24 dev sub0" in taps.ip("route")
        session.hang_up.cancel()
        await until(lambda: session.ending)
        assert "192.0.2.0/24" not in taps.ip("route")


async def test_a_route_whose_former_interface_still_is() -> None:
    """An interface that is closed may live on for a moment, with its routes: that of who comes after it is there once it has gone."""
    async with lns(PROFILE + ALICE + 'routes = ["198.51.100.7/32", "192.0.2.0/24"]\n') as server:
        taps.ip("link", "add", "former", "type", "veth", "peer", "name", "peer")
        taps.ip("link", "set", "former", "up")
        taps.ip("route", "add", "192.0.2.0/24", "dev", "former")
        session = server.call("alice")
        await until(lambda: "198.51.100.7 dev sub0" in taps.ip("route"))
        assert "192.0.2.0/24 dev former" in taps.ip("route")
        taps.ip("link", "delete", "former")
        await until(lambda: session.is_up and "192.0.2.0/24 dev sub0" in taps.ip("route"))


async def test_two_sessions_with_the_same_route(caplog: pytest.LogCaptureFixture) -> None:
    """The first keeps it, and the second comes up without; that is said in the log, and to scripts. Who comes once the first has gone has it."""
    told: list[PppEvent] = []
    async with lns(PROFILE + ALICE + 'routes = ["192.0.2.0/24", "10.9.0.2/32"]\n') as server:
        server.engine.instances.tell = told.append
        first = await server.up("alice")
        await until(lambda: len(told) == 1)
        second = await server.up("alice")
        await until(lambda: len(told) == 2)
        assert "no route to what is behind the peer" in caplog.text
        assert "another session has it" in caplog.text
        assert "192.0.2.0/24 dev sub0" in taps.ip("route")
        assert [("192.0.2.0/24", "10.9.0.2/32"), ()] == [event.routes for event in told]
        for session in (second, first):
            assert "192.0.2.0/24 dev sub0" in taps.ip("route")
            server.end(session)
            await until(partial(getattr, session, "ending"))
        third = await server.up("alice")
        await until(lambda: third.is_up and "192.0.2.0/24 dev sub" in taps.ip("route"))


async def test_an_address_that_is_routed_to_another_session() -> None:
    """A pool passes it over: its packets would go to the other."""
    async with lns(PROFILE + ALICE + 'routes = ["10.9.0.3/32"]\n[user.bob]\npassword = "wonder"\n') as server:
        first = await server.up("alice")
        second = await server.up("bob")
        assert ("10.9.0.2", "10.9.0.4") == (first.lns.ppp_remote, second.lns.ppp_remote)


async def test_a_name_whose_former_interface_still_is() -> None:
    """As the route, so the name: who comes next has it a moment later."""
    async with lns(PROFILE + ALICE) as server:
        former, _ = open_tap("sub0", frames=False)
        session = server.call("alice", interface="sub0")
        await until(lambda: session.client.interface)
        os.close(former)
        await until(lambda: session.lns.interface == "sub0")


async def test_a_hashed_password() -> None:
    """PAP brings the password itself, which is hashed and compared; CHAP does not."""
    text = hashed.make(b"wonder", bytes(16))
    async with lns(PROFILE.replace('"chap"', '"pap"') + f'[user.alice]\npap_hash = "{text}"\n') as server:
        await server.up("alice")
        assert CallResult.ADMIN == (await server.refused("alice", "Wonder"))[0]


@pytest.mark.parametrize(("user", "password"), [("alice", "Wonder"), ("bob", "wonder"), ("carol", "wonder")])
async def test_who_is_not_let_in(user: str, password: str) -> None:
    """A wrong password, an unknown user, and one that is not enabled: nothing is given to them."""
    async with lns(PROFILE + ALICE + '[user.carol]\npassword = "wonder"\nenabled = false\n') as server:
        assert (CallResult.ADMIN, "wrong name or password") == await server.refused(user, password)
        assert 0 == server.leases.fill("subscribers").used


async def test_too_many_sessions_of_a_user() -> None:
    """One more than it may have is refused; when one has ended there is room again. Others do not count."""
    bob = '[user.bob]\npassword = "wonder"\n'
    async with lns(PROFILE + ALICE + "max_sessions = 1\n" + bob) as server:
        first = await server.up("alice")
        await server.up("bob")
        assert (CallResult.ADMIN, "it has as many sessions as it may have") == await server.refused("alice")
        first.hang_up.cancel()
        await until(lambda: first.ending)
        await server.up("alice")


async def test_an_address_that_another_session_has() -> None:
    """The second session of a user gets one out of the pool; where there is no pool it is refused."""
    own = ALICE + 'address = "10.9.0.3"\n'
    async with lns(PROFILE + own) as server:
        sessions = [await server.up("alice") for _ in range(2)]
        assert ["10.9.0.3", "10.9.0.2"] == [session.lns.ppp_remote for session in sessions]
    async with lns(PROFILE.replace('pool = "subscribers"\n', "") + own) as server:
        first = await server.up("alice")
        result, text = await server.refused("alice")
        assert (CallResult.NO_FACILITIES_TEMPORARY, True) == (result, text.startswith("10.9.0.3 is not free"))
        assert "10.9.0.3" == first.lns.ppp_remote


@attrs.define(eq=False)
class Landlord:
    """Gives an address to the next session as soon as it hears that one has ended, as a server with a pool of its own does."""

    leases: Leases
    next: Call
    let: list[bool] = attrs.field(factory=list)

    def begin(self, subscriber: Subscriber) -> str:
        return subscriber.address

    def renew(self, account: str, subscriber: Subscriber) -> None:
        raise AssertionError(account, subscriber)

    def end(self, account: str, cause: Cause) -> None:
        del cause
        self.let.append(self.leases.claim(self.next, account))


async def test_what_accounting_hears_of_is_free() -> None:
    """The Stop comes when the session has nothing any longer: a server may give its address to another one at once."""
    async with lns(PROFILE + ALICE + 'address = "10.9.0.3"\n') as server:
        landlord = Landlord(server.leases, Call(99, Kind.LNS_INCOMING, SessionSettings(), 0.0, 1))
        server.engine.accountant = landlord
        session = await server.up("alice")
        session.hang_up.cancel()
        await until(lambda: landlord.let)
        assert [True] == landlord.let


async def test_a_pool_for_a_user_and_no_address_left() -> None:
    """A user may have another pool than its profile; where that is empty the session ends for want of facilities."""
    other = ALICE + 'pool = "other"\n[pool.other]\nrange = "10.8.0.7-10.8.0.7"\n'
    async with lns(PROFILE + other) as server:
        assert "10.8.0.7" == (await server.up("alice")).lns.ppp_remote
        result, text = await server.refused("alice")
        assert (CallResult.NO_FACILITIES_TEMPORARY, True) == (result, "10.8.0.7-10.8.0.7 is in use" in text)


async def test_no_address_left_for_nobody_in_particular() -> None:
    """The same where callers need not say who they are."""
    config = PROFILE.replace('"chap"', '"none"').replace("10.9.0.2-10.9.0.4", "10.9.0.2-10.9.0.2")
    async with lns(config) as server:
        await server.up("")
        result, text = await server.refused("")
        assert (CallResult.NO_FACILITIES_TEMPORARY, True) == (result, "10.9.0.2-10.9.0.2 is in use" in text)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [("session_timeout", "the user's time is up"), ("idle_timeout", "the user has been idle for too long")],
)
async def test_limits_of_time(limit: str, reason: str) -> None:
    """A session ends by itself, for administrative reasons, and its peer is told."""
    async with lns(PROFILE + ALICE + f"{limit} = 0.3\n") as server:
        session = server.call("alice")
        await until(lambda: session.ending)
        assert (CallResult.ADMIN, reason) == session.ending
        await until(lambda: not session.client.interface)


async def test_what_an_authority_is_told_and_says() -> None:
    """It hears who calls from where, and what it says holds: address, MTU, and routes, of which one that is there already is left out."""
    routes = ("192.0.2.0/24", "192.0.2.0/24", "198.51.100.0/24")
    verdict = Verdict(accepted=True, message=b"hello", address="10.7.0.9", mtu=1300, routes=routes)
    async with asking(verdict) as (server, oracle):
        server.engine.way_of = lambda tunnel_id: Way(peer=f"192.0.2.{tunnel_id}")
        oracle.speaks.set()
        session = await server.up("alice", "wonder", calling_number="555", called_number="666")
        assert "10.7.0.9" == session.lns.ppp_remote
        assert "mtu 1300" in taps.ip("link", "show", "dev", session.lns.interface)
        await until(lambda: "198.51.100.0/24 dev" in taps.ip("route"))
        (request,) = oracle.asked
        assert (Auth.PAP, "alice", b"wonder") == (
            request.credentials.kind,
            request.credentials.user,
            request.credentials.response,
        )
        assert ("192.0.2.1", "555", "666") == (request.way.peer, request.calling_number, request.called_number)
        assert ("sub0", "lns", session.lns.local_id) == (request.interface, request.lns_name, request.session_id)


async def test_a_verdict_that_cannot_be() -> None:
    """An address that is none, and a pool that is not there: the session ends, with the reason."""
    for verdict, what in (
        (Verdict(accepted=True, pool="nowhere"), "there is no pool `nowhere`"),
        (Verdict(accepted=True, interface_id=b"short"), "an interface identifier has 8 octets"),
    ):
        async with asking(verdict) as (server, oracle):
            oracle.speaks.set()
            result, text = await server.refused("alice")
            assert (CallResult.NO_FACILITIES_TEMPORARY, True) == (result, what in text)


async def test_a_caller_that_does_not_wait() -> None:
    """It has hung up when the answer comes: nothing is given to it."""
    async with asking(Verdict(accepted=True)) as (server, oracle):
        session = server.call("alice")
        await until(lambda: oracle.asked)
        session.hang_up.cancel()
        await until(lambda: session.ending)
        oracle.speaks.set()
        await trio.testing.wait_all_tasks_blocked()
        assert ("", 0) == (session.lns.ppp_user, server.leases.fill("subscribers").used)


class Stubborn(Oracle):
    """One that goes on for a while when nobody wants to know any more, as a thread does."""

    async def check(self, request: Request) -> Verdict:
        with trio.move_on_after(10, shield=True):
            return await super().check(request)
        return self.verdict


@attrs.define(eq=False)
class Ready:
    """An authority that knows everybody at once."""

    async def check(self, request: Request) -> Verdict:
        raise AssertionError(f"asked again: {request}")

    def check_nowait(self, request: Request) -> Verdict:
        del request
        return Verdict(accepted=True, address="10.7.0.9")


async def test_who_is_known_at_once_is_let_in_there_and_then() -> None:
    """Nobody is asked who would take time."""
    async with lns(PROFILE) as server:
        server.engine.authorities[PppAuthority.USERS] = Ready()
        session = await server.up("alice")
        assert "10.7.0.9" == session.lns.ppp_remote


async def test_a_question_that_has_waited_too_long() -> None:
    """While an interface is being made, a caller may have begun anew: who it said to be before counts no longer."""
    async with lns(PROFILE + ALICE + '[user.bob]\npassword = "wonder"\nroutes = ["192.0.2.0/24"]\n') as server:
        session = await server.up("alice")
        instance = server.engine.instances.get((1, session.lns.local_id))
        assert isinstance(instance, _Running)
        said = Credentials(kind=Auth.PAP, user="bob", identifier=1, response=b"wonder")
        assert instance.gate.check_nowait(CheckCredentials(credentials=said))
        assert ("alice", ()) == (session.lns.ppp_user, instance.gate.verdict.routes)


async def test_one_question_at_a_time_about_a_caller() -> None:
    """Whoever begins anew while its question is being answered waits for that: it could have any number of them answered at once."""
    async with asking(Verdict(accepted=True)) as (server, _):
        server.engine.authorities[PppAuthority.USERS] = oracle = Stubborn(Verdict(accepted=True))
        session = server.call("alice")
        await until(lambda: oracle.asked)
        for number in (101, 102, 103):
            session.cable.hear(b"\xff\x03\xc0\x21\x01" + bytes((number, 0, 4)))  # Configure-Request: LCP again
            await trio.testing.wait_all_tasks_blocked(0.05)
        assert 1 == len(oracle.asked)
        oracle.speaks.set()
        await until(lambda: session.is_up)
        assert 2 == len(oracle.asked)  # those between had been given up by then


@attrs.define(eq=False)
class Turning:
    """An authority that says one thing after the other, and the last one for ever."""

    verdicts: list[Verdict]
    asked: int = 0

    def check_nowait(self, request: Request) -> None:
        del request

    async def check(self, request: Request) -> Verdict:
        del request
        self.asked += 1
        await trio.lowlevel.checkpoint()
        return self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]


async def test_who_proves_itself_again_keeps_its_address() -> None:
    """Whatever it is assigned by then: packets are on their way. Nobody else gets what it has."""
    pooled, assigned = Verdict(accepted=True), Verdict(accepted=True, address="10.7.0.9")
    async with lns(PROFILE.replace("authority", "chap_rechallenge = 0.1\nauthority")) as server:
        server.engine.authorities[PppAuthority.USERS] = turning = Turning([pooled, assigned])
        session = await server.up("alice")
        await until(lambda: turning.asked > 3)
        assert ("10.9.0.2", None) == (session.lns.ppp_remote, session.ending)
        assert 1 == server.leases.fill("subscribers").used
        session.hang_up.cancel()
        await until(lambda: session.ending)
        assert 0 == server.leases.fill("subscribers").used


def quiet_gate() -> Gate:
    """Return the way in of a session that nobody asks about."""
    empty, call = Config(), Call(2, Kind.LNS_INCOMING, SessionSettings(), 0.0, 1)
    leases, link = Leases(lambda: empty), Link(LinkSettings(), bytes)
    return Gate(
        tunnel_id=1,
        way=UNTOLD,
        name="lns",
        call=call,
        lease=Lease(ppp=PppSettings(), lns=True),
        leases=leases,
        link=link,
        authority=LocalUsers(leases.config),
    )


def test_idleness_is_looked_at_when_it_may_be_too_long() -> None:
    """Not at every packet; a limit that is taken away while the session lasts holds no longer."""
    gate = quiet_gate()
    gate.begin(0)
    assert math.inf == gate.deadline
    gate.limit(None, 5, 10)
    gate.begin(10)
    assert (15, "") == (gate.deadline, gate.overdue(14, lambda _now: 14))
    assert ("", 18) == (gate.overdue(15, lambda _now: 2), gate.deadline)
    gate.limit(None, 0, 17)
    assert ("", math.inf) == (gate.overdue(18, lambda _now: 18), gate.deadline)
    gate.limit(None, 5, 19)
    gate.begin(20)
    assert ("the user has been idle for too long", math.inf) == (gate.overdue(25, lambda _now: 5), gate.deadline)


def test_time_counts_from_the_first_network_of_who_was_asked_for_nothing() -> None:
    """Nobody has proved anything: a Session-Timeout that comes later is counted from the beginning all the same, and not from that of the clock."""
    gate = quiet_gate()
    gate.begin(1000)
    gate.begin(1010)
    gate.limit(60.0, None, 1020)
    assert 1060 == gate.deadline
    assert "" == gate.overdue(1059, lambda _now: 0)
    assert ("the user's time is up", Cause.SESSION_TIMEOUT) == (gate.overdue(1060, lambda _now: 0), gate.cause)


async def test_a_limit_that_comes_with_a_later_proof() -> None:
    """It holds from then on."""
    verdicts = [Verdict(accepted=True), Verdict(accepted=True, idle_timeout=0.05)]
    async with lns(PROFILE.replace("authority", "chap_rechallenge = 0.1\nauthority")) as server:
        server.engine.authorities[PppAuthority.USERS] = Turning(verdicts)
        session = server.call("alice")
        await until(lambda: session.ending)
        assert (CallResult.ADMIN, "the user has been idle for too long") == session.ending


async def test_time_is_not_given_twice() -> None:
    """Who proves itself again and again has no more of it for that."""
    config = PROFILE.replace("authority", "chap_rechallenge = 0.1\nauthority") + ALICE + "session_timeout = 1\n"
    async with lns(config) as server:
        session = server.call("alice")
        await until(lambda: session.ending)
        assert (CallResult.ADMIN, "the user's time is up") == session.ending


async def test_an_authority_that_is_not_there() -> None:
    """The session is refused before anything is said."""
    async with lns(PROFILE) as server:
        del server.engine.authorities[PppAuthority.USERS]
        result, text = await server.refused("alice")
        assert (CallResult.NO_FACILITIES_TEMPORARY, True) == (result, '`authority = "users"`' in text)
