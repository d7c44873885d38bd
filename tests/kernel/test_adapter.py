"""The task that feeds the data plane: order, withdrawal, cancellation, and a plane with bugs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from l2tpd.config.model import Pseudowire
from l2tpd.errors import PlaneError
from l2tpd.kernel.adapter import QUEUE, Adapter
from l2tpd.kernel.null import NullPlane
from l2tpd.kernel.ops import (
    CreateSession,
    CreateTunnel,
    DeleteSession,
    DeleteTunnel,
    ModifySession,
    Operation,
    Outcome,
)
from l2tpd.kernel.plane import DataPlane
from l2tpd.kernel.recording import RecordingPlane
from l2tpd.supervise import crashes


def tunnel(number: int = 1) -> CreateTunnel:
    return CreateTunnel(tunnel_id=number, peer_tunnel_id=number)


def session(number: int, of: int = 1) -> CreateSession:
    return CreateSession(tunnel_id=of, session_id=number, peer_session_id=number, pseudowire=Pseudowire.PPP)


def no_session(number: int, of: int = 1) -> DeleteSession:
    return DeleteSession(tunnel_id=of, session_id=number)


@attrs.define(eq=False)
class Gate:
    """Holds a plane's operations up until it opens; `reached` says that one waits there."""

    opens: trio.Event = attrs.field(factory=trio.Event)
    reached: trio.Event = attrs.field(factory=trio.Event)

    async def __call__(self) -> None:
        self.reached.set()
        await self.opens.wait()


@attrs.define(eq=False)
class Bench:
    """An adapter at work."""

    adapter: Adapter
    nursery: trio.Nursery
    refused: list[tuple[Operation, str]]

    def soon(self, operation: CreateTunnel | CreateSession) -> list[Outcome | str]:
        """Ask for a create in a task; the list gets its outcome, or why it failed."""
        replies: list[Outcome | str] = []

        async def ask() -> None:
            try:
                replies.append(await self.adapter.submit(operation))
            except PlaneError as error:
                replies.append(error.text)

        self.nursery.start_soon(ask)
        return replies


@asynccontextmanager
async def bench(plane: DataPlane) -> AsyncIterator[Bench]:
    refused: list[tuple[Operation, str]] = []
    adapter = Adapter(plane, lambda operation, error: refused.append((operation, error.text)))
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(adapter.run)
            yield Bench(adapter, nursery, refused)
            nursery.cancel_scope.cancel()


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_a_create_returns_what_came_of_it() -> None:
    """The outcome is the plane's; every operation is counted."""
    plane = RecordingPlane()
    async with bench(plane) as on:
        await on.adapter.submit(tunnel())
        assert Outcome("rec5") == await on.adapter.submit(session(5))
    assert [tunnel(), session(5)] == plane.log
    assert 2 == on.adapter.performed


async def test_a_refusal_is_the_submitters() -> None:
    """Who asked for a create learns why it failed; nobody else is told."""
    async with bench(RecordingPlane()) as on:
        with pytest.raises(PlaneError, match="no tunnel 1"):
            await on.adapter.submit(session(5))
        assert [] == on.refused


@pytest.mark.parametrize("times", [1, 2])
async def test_a_refused_delete_is_repeated_and_then_told(times: int) -> None:
    """Nobody waits for a delete, so it is asked for once more; its second failure goes to the one who is there for that, and the task lives on."""
    plane = RecordingPlane(failing=frozenset(range(times)))
    async with bench(plane) as on:
        on.adapter.delete(no_session(5))
        await settled()
        assert [no_session(5)] * 2 == plane.log
        assert [(no_session(5), "operation 1 fails by script")] * (times == 2) == on.refused
        on.adapter.delete(no_session(5))
        await settled()
        assert 3 == len(plane.log)
        await on.adapter.submit(tunnel())
    assert {1} == plane.tunnels


async def test_a_repeated_delete_comes_after_the_others_and_before_creates() -> None:
    """What was refused may depend on what waits behind it, and a create of the same id must not be undone by it."""
    gate = Gate()
    plane = RecordingPlane(delay=gate, failing=frozenset({1}), tunnels={1})
    async with bench(plane) as on:
        on.soon(tunnel(3))
        await gate.reached.wait()
        on.soon(session(5))
        await settled()
        on.adapter.delete(no_session(7))
        on.adapter.delete(no_session(8))
        gate.opens.set()
        await settled()
    assert [tunnel(3), no_session(7), no_session(8), no_session(7), session(5)] == plane.log


async def test_deletes_go_first() -> None:
    """A delete that comes after two creates is carried out before those that have not begun."""
    gate = Gate()
    plane = RecordingPlane(delay=gate)
    async with bench(plane) as on:
        on.soon(tunnel(1))
        await gate.reached.wait()
        on.soon(tunnel(2))
        await settled()
        on.adapter.delete(DeleteTunnel(tunnel_id=9))
        assert 2 == on.adapter.waiting
        gate.opens.set()
        await settled()
    assert [tunnel(1), DeleteTunnel(tunnel_id=9), tunnel(2)] == plane.log


@pytest.mark.parametrize("delete", [no_session(5), DeleteTunnel(tunnel_id=1)], ids=["session", "tunnel"])
async def test_a_delete_withdraws_what_has_not_begun(delete: DeleteSession | DeleteTunnel) -> None:
    """The create of the session, or of anything in the tunnel, never reaches the plane; one of another tunnel does."""
    gate = Gate()
    plane = RecordingPlane(delay=gate, tunnels={2})
    async with bench(plane) as on:
        on.soon(tunnel(3))
        await gate.reached.wait()
        gone, stays = on.soon(session(5)), on.soon(session(5, of=2))
        await settled()
        on.adapter.delete(delete)
        await settled()
        assert ["withdrawn"] == gone
        gate.opens.set()
        await settled()
        assert [Outcome("rec5")] == stays
    assert [tunnel(3), delete, session(5, of=2)] == plane.log


async def test_a_create_cancelled_in_flight_is_undone() -> None:
    """The operation that has begun ends; then its inverse follows, since nobody wants what it made."""
    gate = Gate()
    plane = RecordingPlane(delay=gate, tunnels={1})
    async with bench(plane) as on:
        with trio.CancelScope() as scope:

            async def cancel() -> None:
                await gate.reached.wait()
                scope.cancel()

            on.nursery.start_soon(cancel)
            await on.adapter.submit(session(5))
        assert scope.cancelled_caught
        gate.opens.set()
        await settled()
    assert [session(5), no_session(5)] == plane.log
    assert set() == plane.sessions


async def test_a_create_cancelled_in_the_queue_never_begins() -> None:
    """The plane hears nothing of it."""
    gate = Gate()
    plane = RecordingPlane(delay=gate)
    async with bench(plane) as on:
        on.soon(tunnel(1))
        await gate.reached.wait()
        with trio.CancelScope() as scope:
            scope.cancel()
            await on.adapter.submit(tunnel(2))
        gate.opens.set()
        await settled()
    assert [tunnel(1)] == plane.log


async def test_the_submitter_waits_for_room() -> None:
    """No more than the queue holds are taken; all of them are carried out in the end, in order."""
    gate = Gate()
    plane = RecordingPlane(delay=gate)
    async with bench(plane) as on:
        for number in range(QUEUE + 10):
            on.soon(tunnel(number))
        await gate.reached.wait()
        await settled()
        assert QUEUE - 1 == on.adapter.waiting  # one of them is being carried out
        gate.opens.set()
        await settled()
    assert set(range(QUEUE + 10)) == plane.tunnels


class Buggy(NullPlane):
    """A plane that crashes on everything to do with tunnel 13."""

    async def perform(self, operation: Operation) -> Outcome:
        if operation.tunnel_id == 13:
            raise KeyError("a bug")
        return await super().perform(operation)


async def test_a_bug_of_the_plane_ends_one_operation() -> None:
    """It is a refusal that says so, for creates and deletes, and the next operation works."""
    before = crashes["plane"]
    async with bench(Buggy()) as on:
        with pytest.raises(PlaneError, match=r"internal error: KeyError\('a bug'\)"):
            await on.adapter.submit(tunnel(13))
        on.adapter.delete(DeleteTunnel(tunnel_id=13))
        await settled()
        assert [(DeleteTunnel(tunnel_id=13), "internal error: KeyError('a bug')")] == on.refused
        assert before + 3 == crashes["plane"]  # what is to be deleted is asked for once more
        assert Outcome() == await on.adapter.submit(tunnel(1))


async def test_deletes_are_carried_out_after_the_end() -> None:
    """Who is cancelled with deletes in its queue carries them out first; creates nobody waits for are dropped."""
    plane = RecordingPlane(tunnels={1, 2})
    async with bench(plane) as on:
        on.nursery.cancel_scope.cancel()
        on.adapter.delete(DeleteTunnel(tunnel_id=1))
        on.adapter.delete(DeleteTunnel(tunnel_id=2))
    assert [DeleteTunnel(tunnel_id=1), DeleteTunnel(tunnel_id=2)] == plane.log


def test_a_plane_that_needs_no_waiting() -> None:
    """The null plane answers at once and is counted; the recording one asks to be awaited."""
    adapter = Adapter(NullPlane(), lambda _operation, _error: None)
    assert Outcome() == adapter.perform_nowait(tunnel())
    assert 1 == adapter.performed
    adapter.plane = RecordingPlane()
    assert adapter.perform_nowait(tunnel()) is None
    assert 1 == adapter.performed


class Full(NullPlane):
    """A plane that has no room."""

    def perform_nowait(self, operation: Operation) -> Outcome | None:
        raise PlaneError(0, f"no room for {operation}")


async def test_each_operation_is_told_with_what_became_of_it() -> None:
    """Whether it had to be awaited or not, and whether it was carried out, refused, or met a bug."""
    told: list[tuple[Operation, bool]] = []

    def performed(operation: Operation, seconds: float, *, refused: bool) -> None:
        assert 0 <= seconds < 60
        told.append((operation, refused))

    adapter = Adapter(Buggy(), lambda _operation, _error: None, performed)
    async with trio.open_nursery() as nursery:
        await nursery.start(adapter.run)
        await adapter.submit(tunnel(1))
        with pytest.raises(PlaneError):
            await adapter.submit(tunnel(13))
        nursery.cancel_scope.cancel()
    adapter.plane = NullPlane()
    adapter.perform_nowait(tunnel(2))
    adapter.plane = Full()
    with pytest.raises(PlaneError):
        adapter.perform_nowait(tunnel(3))
    assert [(tunnel(1), False), (tunnel(13), True), (tunnel(2), False), (tunnel(3), True)] == told


async def test_a_delete_withdraws_what_waits_for_room() -> None:
    """A create that is not in the queue yet does not come into it after its delete: nobody would ever delete it again."""
    gate = Gate()
    plane = RecordingPlane(delay=gate)
    async with bench(plane) as on:
        on.soon(tunnel(2))
        await gate.reached.wait()
        asked = [on.soon(session(number)) for number in range(QUEUE + 10)]
        await settled()
        on.adapter.delete(DeleteTunnel(tunnel_id=1))
        gate.opens.set()
        await settled()
        assert [["withdrawn"]] * len(asked) == asked
    assert [tunnel(2), DeleteTunnel(tunnel_id=1)] == plane.log


async def test_changes_keep_their_order() -> None:
    """The last one counts, whoever waits for it; those that have not begun when it comes are not carried out."""

    def change(sending: bool) -> ModifySession:
        return ModifySession(tunnel_id=1, session_id=5, sequencing=False, sending=sending)

    gate = Gate()
    plane = RecordingPlane(delay=gate, tunnels={1}, sessions={(1, 5)})
    async with bench(plane) as on:
        first = on.adapter.change(change(sending=False))
        await gate.reached.wait()
        others = [on.adapter.change(change(sending=sending)) for sending in (True, False, True)]
        gate.opens.set()
        for slot in (first, *others):
            assert Outcome() == await on.adapter.settled(slot)
    assert [change(sending=False), change(sending=True)] == plane.log
