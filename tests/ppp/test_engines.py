"""Which engine a session gets, and what becomes of its descriptor."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

import pytest
import trio

from l2tpd.config.load import parse
from l2tpd.config.model import PppAuthority, SessionSettings
from l2tpd.errors import Exhausted, LocalProtocolError
from l2tpd.ppp.engines import Engines
from l2tpd.ppp.leases import Leases, Name
from l2tpd.ppp.pppd import Pppd
from l2tpd.ppp.task import Builtin
from l2tpd.session.call import Call, Kind
from l2tpd.wire.numbers import CallResult

PPPD = '[profile.ppp.default]\nppp_engine = "pppd"\n'
POOLLESS = '[profile.ppp.default]\npool = "nothing"\n[pool.nothing]\nrange = "10.0.0.0/24"\n'


def engines(config: str, lines: list[str]) -> Engines:
    whole = parse([("l2tpd.toml", config)])
    leases = Leases(lambda: whole)

    def remark(tunnel_id: int, session_id: int, text: str, _frame: bytes = b"") -> None:
        lines.append(f"{tunnel_id}/{session_id} {text}")

    return Engines(Pppd(leases, remark), Builtin(leases, lambda: "lns", remark))


def call() -> Call:
    return Call(2, Kind.LNS_INCOMING, SessionSettings(), 0.0, 1)


def pair() -> tuple[socket.socket, int]:
    """Return a socket, and a descriptor of the other end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return ours, theirs.detach()


def closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


async def test_ours_unless_the_profile_says_otherwise() -> None:
    """It speaks at once, by the descriptor, which is closed with the session."""
    lines: list[str] = []
    ours, descriptor = pair()
    both = engines("", lines)
    with ours, trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(both.run, 1, call(), descriptor)
            await trio.lowlevel.wait_readable(ours)
            assert b"\xc0\x21\x01" == ours.recv(100)[:3]
            nursery.cancel_scope.cancel()
        assert b"\xc0\x21\x05" == ours.recv(100)[:3]  # a Terminate-Request, for goodbye
    assert closed(descriptor)
    assert "1/2 sent" == lines[0]
    both.close()


async def test_a_peer_that_hangs_up() -> None:
    """The end of the frames is the end of the session."""
    ours, descriptor = pair()
    ours.close()
    both = engines("", [])
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(both.serve)
            result = await both.run(1, call(), descriptor)
            nursery.cancel_scope.cancel()
    both.close()
    assert (CallResult.LOST_CARRIER, "the kernel has the session no longer") == result
    assert closed(descriptor)


async def test_ppp_that_cannot_begin() -> None:
    """The reason is told, and the descriptor is closed all the same."""
    ours, descriptor = pair()
    with ours:
        result, text = await engines(POOLLESS, []).run(1, call(), descriptor)
    assert CallResult.NO_FACILITIES_TEMPORARY == result
    assert "has a pool but no local_address" in text
    assert closed(descriptor)


async def test_a_pppd_where_the_profile_says_so() -> None:
    """It gets the descriptor, and fails here, where there is no session."""
    lines: list[str] = []
    ours, descriptor = pair()
    with ours, trio.fail_after(20):
        _, text = await engines(PPPD, lines).run(1, call(), descriptor)
    assert "pppd" in text
    assert closed(descriptor)
    assert not any("Configure-Request" in line for line in lines)


# --- what a session is lent -------------------------------------------------------------------------------------------------------

SERVED = """
[profile.ppp.default]
local_address = "10.0.0.1"
pool = "two"
[pool.two]
range = "10.0.0.2-10.0.0.3"
quarantine = 0
"""


def leases(config: str = SERVED) -> Leases:
    whole = parse([("l2tpd.toml", config)])
    return Leases(lambda: whole)


def asking(name: str) -> Call:
    return Call(2, Kind.LNS_INCOMING, SessionSettings(interface_name=name), 0.0, 1)


alice, bob = (Name(PppAuthority.USERS, user) for user in ("alice", "bob"))


def stay() -> None:
    """Do nothing, where a session is asked to make way for another one."""


def test_the_lowest_number_that_is_free() -> None:
    """Each pattern counts for itself; a number that was given back is the next one to be given."""
    lent = leases("")
    with ExitStack() as rest:
        first, *_ = held = [ExitStack() for _ in range(3)]
        names = [stack.enter_context(lent.lease(asking("x%dy"))).interface for stack in held]
        assert ["x0y", "x1y", "x2y"] == names
        assert "z0" == rest.enter_context(lent.lease(asking("z%d"))).interface
        first.close()
        assert ["x0y", "x3y"] == [rest.enter_context(lent.lease(asking("x%dy"))).interface for _ in range(2)]
        assert ["x1y"] * 2 == [rest.enter_context(lent.lease(asking("x1y"))).interface for _ in range(2)]
        for stack in held:
            stack.close()


def test_a_lease_that_cannot_be_had_takes_nothing() -> None:
    """Without an address no name is taken; without a name no address is."""
    lent = leases()
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(lent.lease(asking("x%d"), at_once=True))
        with pytest.raises(Exhausted), lent.lease(asking("x%d"), at_once=True):
            pytest.fail("there is no third address")
    with lent.lease(asking("x%d"), at_once=True) as lease:
        assert ("x0", "10.0.0.3", 1) == (
            lease.interface,
            lease.remote,
            lent.fill("two").used,
        )  # the first that came back
    assert 0 == lent.fill("two").used


def test_sessions_of_a_user_are_counted() -> None:
    """Those that there are now, each once, under the name that it has now."""
    lent = leases()
    first, second = asking("x%d"), asking("x%d")
    with ExitStack() as held:
        held.enter_context(lent.lease(second))
        with lent.lease(first):
            assert [True, True, False] == [lent.enter(call, alice, 1, stay) for call in (first, first, second)]
            assert [True, True] == [lent.enter(second, alice, limit, stay) for limit in (0, 2)]
            assert lent.enter(first, bob, 1, stay)
            assert lent.enter(second, alice, 1, stay)
            assert not lent.enter(second, bob, 1, stay)
        assert lent.enter(second, bob, 1, stay)


def test_an_address_rests_after_its_session() -> None:
    """For as long as its pool says, but not from the same user."""
    now = 0.0
    whole = parse([("l2tpd.toml", SERVED.replace("quarantine = 0", "quarantine = 9"))])
    lent = Leases(lambda: whole, lambda: now)
    caller = asking("x%d")
    with lent.lease(caller):
        lent.enter(caller, alice, 0, stay)
        assert "10.0.0.2" == lent.take(caller, "two")
        assert (1, 0, 1) == lent.fill("two")[1:]
    assert (0, 1, 1) == lent.fill("two")[1:]
    with lent.lease(caller):
        lent.enter(caller, alice, 0, stay)
        assert "10.0.0.2" == lent.take(caller, "two")
    now = 9.0
    assert (0, 0, 2) == lent.fill("two")[1:]


class Silent:
    """A port that nobody uses."""

    def send(self, frame: bytes | memoryview) -> None:
        raise AssertionError(frame)

    def spoofed(self) -> None:
        raise AssertionError

    def attach(self, taker: object) -> None:
        raise AssertionError(taker)


class NoTuns:
    """What makes no interfaces."""

    async def open_tun(self, interface: object) -> object:
        raise AssertionError(interface)

    async def close_tun(self, tun: object) -> None:
        raise AssertionError(tun)


async def test_a_pppd_where_the_kernel_has_no_session() -> None:
    """A pppd cannot run on frames of this process: refused with what to say instead."""
    both = engines(PPPD, [])
    with pytest.raises(LocalProtocolError, match="makes no interfaces"):
        await both.run_on_port(1, call(), Silent())
    both.tuns = NoTuns()  # type: ignore[assignment]
    result, text = await both.run_on_port(1, call(), Silent())
    assert CallResult.NO_FACILITIES_PERMANENT == result
    assert '`data_plane = "kernel"`' in text
