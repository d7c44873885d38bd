"""A user who comes and has a session already: let in, turned away, or let in once the old session is gone."""

from __future__ import annotations

from functools import partial

import attrs
import pytest

import taps
from l2tpd.config.model import SessionSettings
from l2tpd.ppp import gate
from l2tpd.ppp.accountant import Cause, Subscriber
from l2tpd.ppp.authority import Verdict
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


async def test_a_user_that_has_lost_its_line_takes_its_own_place() -> None:
    """Nobody answers on the old line; the new session has the address and the routes at once, and the old one's Stop comes before its Start."""
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
        assert ["10.9.0.3", Cause.NAS_REQUEST, "10.9.0.3"] == told


async def test_a_user_that_is_there_hears_that_it_makes_way() -> None:
    """Its client gets a Terminate-Request, and need not find out by itself; sessions of others stay."""
    async with lns(SINGLE("replace") + ALICE + '[user.bob]\npassword = "wonder"\n') as server:
        bob, old = await server.up("bob"), await server.up("alice")
        new = await server.up("alice")
        await until(lambda: not old.client.interface)
        assert bob.is_up
        assert new.is_up


async def test_two_that_take_the_same_place_at_once() -> None:
    """The first has come in when the second does, and makes way for it: none is refused, and one is left."""
    async with asking(Verdict(accepted=True), SINGLE("replace")) as (server, oracle):
        pair = [server.call("alice") for _ in range(2)]
        await until(lambda: 2 == len(oracle.asked))
        oracle.speaks.set()
        await until(lambda: 1 == sum(session.ending is None for session in pair))
        (left,) = (session for session in pair if session.ending is None)
        await until(lambda: left.is_up)
        assert ["its user has come anew"] == [session.ending[1] for session in pair if session.ending]


async def test_who_does_not_make_way_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an old session is not gone in time, the new one is turned away like one too many."""
    monkeypatch.setattr(gate, "_PATIENCE", 0.05)
    async with lns(SINGLE("replace") + ALICE) as server:
        asked: list[None] = []
        stubborn = Call(99, Kind.LNS_INCOMING, SessionSettings(), 0.0, 1)
        server.leases.enter(stubborn, "alice", 0, partial(asked.append, None))
        assert CallResult.ADMIN == (await server.refused("alice"))[0]
        assert [None] == asked
