"""A user who comes and has a session already: let in, turned away, or let in once the old session is gone."""

from __future__ import annotations

from functools import partial

import attrs
import pytest
import trio

import taps
from l2tpd.config.model import PppAuthority, SessionSettings
from l2tpd.ppp import gate
from l2tpd.ppp.accountant import Cause, Subscriber
from l2tpd.ppp.authorities import LocalUsers
from l2tpd.ppp.authority import Request, Verdict
from l2tpd.ppp.leases import Name
from l2tpd.session.call import Call, Kind
from l2tpd.wire.numbers import CallResult
from pppcable import until
from pppserver import ALICE, PROFILE, asking, lns

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"PPP IN THIS PROCESS IS NOT TESTED: {taps.why_not()}")

SINGLE = PROFILE.replace('"chap"', '"chap"\nsingle_session = "{}"').format


@attrs.define(eq=False)
class Bookkeeper:
    """Writes down the address of each session that begins, and why each has ended."""

    told: list[object]

    def begin(self, subscriber: Subscriber) -> str:
        self.told.append(subscriber.address)
        return subscriber.address

    def renew(self, account: str, subscriber: Subscriber) -> None:
        raise AssertionError(account, subscriber)

    def end(self, account: str, cause: Cause) -> None:
        del account
        self.told.append(cause)


async def test_a_user_with_one_session_is_turned_away() -> None:
    """Whatever its own limit is; others do not count."""
    async with lns(SINGLE("deny") + ALICE + '[user.bob]\npassword = "wonder"\n') as server:
        first = await server.up("alice")
        await server.up("bob")
        assert CallResult.ADMIN == (await server.refused("alice"))[0]
        assert first.is_up


async def test_a_user_that_has_lost_its_line_takes_its_own_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers on the old line; the new session has the address and the routes at once, and the old one's Stop comes before its Start."""
    monkeypatch.setattr(gate, "_PATIENCE", 2.5)  # less than the pause before a second Terminate-Request
    told: list[object] = []
    own = 'address = "10.9.0.3"\nroutes = ["192.0.2.0/24"]\n'
    async with lns(SINGLE("replace") + ALICE + own) as server:
        server.engine.accountant = Bookkeeper(told)
        old = await server.up("alice", interface="old")
        old.cable.cut = True
        new = await server.up("alice", interface="new")
        assert (CallResult.ADMIN, "its user has come anew") == old.ending
        assert "10.9.0.3" == new.lns.ppp_remote
        await until(lambda: "192.0.2.0/24 dev new" in taps.ip("route"))
        await until(lambda: 3 == len(told))  # the kernel has the route before the session's task goes on to accounting
        assert ["10.9.0.3", Cause.NAS_REQUEST, "10.9.0.3"] == told


async def test_a_user_that_is_there_hears_that_it_makes_way() -> None:
    """Its client gets a Terminate-Request, and need not find out by itself; sessions of others stay."""
    async with lns(SINGLE("replace") + ALICE + '[user.bob]\npassword = "wonder"\n') as server:
        bob, old = await server.up("bob"), await server.up("alice")
        new = await server.up("alice")
        await until(lambda: not old.client.interface)
        assert bob.is_up
        assert new.is_up


async def test_several_that_take_the_same_place_at_once() -> None:
    """Each makes way for the next: none is refused, and one is left."""
    async with asking(Verdict(accepted=True), SINGLE("replace")) as (server, oracle):
        crowd = [server.call("alice") for _ in range(5)]
        await until(lambda: 5 == len(oracle.asked))
        oracle.speaks.set()
        await until(lambda: 1 == sum(session.ending is None for session in crowd))
        (left,) = (session for session in crowd if session.ending is None)
        await until(lambda: left.is_up)
        assert 4 * ["its user has come anew"] == [session.ending[1] for session in crowd if session.ending]
        assert ({}, 1) == (server.leases._watched, len(server.leases._guests))


async def test_who_is_not_let_in_takes_nobodys_place() -> None:
    """A name alone ends no session: not with a wrong password, and not with the right one when nobody waits for the answer any longer."""
    async with asking(Verdict(accepted=True), SINGLE("replace")) as (server, oracle):
        oracle.speaks.set()
        old = await server.up("alice")
        oracle.verdict = Verdict(accepted=False)
        await server.refused("alice")
        oracle.verdict, oracle.speaks = Verdict(accepted=True), trio.Event()
        late = server.call("alice")
        await until(lambda: 3 == len(oracle.asked))
        late.cable.cut = True
        server.end(late)
        oracle.speaks.set()
        await until(lambda: late.ending)
        assert old.is_up
        assert old.ending is None


async def test_why_the_old_session_ends_stays_what_it_was() -> None:
    """Its user has hung up, and calls again before that is done."""
    told: list[object] = []
    async with lns(SINGLE("replace") + ALICE) as server:
        server.engine.accountant = Bookkeeper(told)
        old = await server.up("alice")
        old.hang_up.cancel()
        instance = server.engine.instances.get((1, old.lns.local_id))
        assert instance is not None
        await until(lambda: "terminate" == instance.state)
        await server.up("alice")
        assert Cause.USER_REQUEST == told[1]


OTHER = """
[profile.pseudowire.other]
ppp_profile = "other"
[profile.ppp.other]
local_address = "10.9.0.1"
pool = "subscribers"
auth = "chap"
authority = "{}"
single_session = "off"
chap_rechallenge = 0
"""


async def test_another_authority_may_mean_somebody_else() -> None:
    """By the same name."""
    async with lns(SINGLE("replace") + OTHER.format("secrets") + ALICE) as server:
        server.engine.authorities[PppAuthority.SECRETS] = server.engine.authorities[PppAuthority.USERS]
        namesake = await server.up("alice", through="other")
        await server.up("alice")
        assert namesake.is_up


class Counting(LocalUsers):
    """Counts its callers."""

    asked = 0

    def check_nowait(self, request: Request) -> Verdict | None:
        """Decide."""
        self.asked += 1
        return super().check_nowait(request)


async def test_who_proves_itself_again_is_not_coming() -> None:
    """It neither ends other sessions of its user, which a profile beside it has let in, nor its own."""
    config = SINGLE("replace").replace("single_session", "chap_rechallenge = 0.5\nsingle_session")
    async with lns(config + OTHER.format("users") + ALICE) as server:
        server.engine.authorities[PppAuthority.USERS] = counting = Counting(lambda: server.config)
        first = await server.up("alice")
        second = await server.up("alice", through="other")
        await until(lambda: 4 <= counting.asked)
        assert first.is_up
        assert second.is_up


async def test_who_does_not_make_way_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an old session is not gone in time, the new one is turned away like one too many."""
    monkeypatch.setattr(gate, "_PATIENCE", 0.05)
    async with lns(SINGLE("replace") + ALICE) as server:
        asked: list[None] = []
        stubborn = Call(99, Kind.LNS_INCOMING, SessionSettings(), 0.0, 1)
        server.leases.enter(stubborn, Name(PppAuthority.USERS, "alice"), 0, partial(asked.append, None))
        assert (CallResult.ADMIN, "its old session does not end") == await server.refused("alice")
        assert [None] == asked
