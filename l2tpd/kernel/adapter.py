"""The kernel task: one task that serialises the operations of every session on the data plane.

Theory of operation. Creates wait in a bounded queue, and it is the session's own task that waits when the queue is full, never a socket
reader. Changes of sessions stand in the same queue, in the order in which they were asked for; one that has not begun is replaced by the next. Deletes go first: they free what others wait for, they are few enough to
be bounded by the creates before them, and whoever asks for one may be dying and cannot wait. So one that is refused, for want of memory, say, is carried
out once more, after the others. A delete withdraws a create of the same thing that has not begun, so that the create cannot come after it.
An operation that has begun is shielded until its reply is there; a create whose submitter was cancelled meanwhile is undone at once. So
nothing that was created is ever forgotten.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

import attrs
import trio

from l2tpd import log
from l2tpd.errors import PlaneError
from l2tpd.kernel.ops import (
    Create,
    CreateSession,
    CreateTunnel,
    Delete,
    DeleteSession,
    DeleteTunnel,
    ModifySession,
    Operation,
    Outcome,
    inverse,
)
from l2tpd.kernel.plane import DataPlane
from l2tpd.supervise import crashes

_log = log.get("kernel")


class Performed(Protocol):
    """Takes note of an operation that was carried out or refused, and of the seconds that it took."""

    def __call__(self, operation: Operation, seconds: float, *, refused: bool) -> None:
        """Take note."""


QUEUE = 256
"""How many creates may wait in the queue."""


@attrs.define(eq=False)
class Slot:
    """A create or a change on its way: its reply arrives here, once."""

    operation: Create | ModifySession
    done: trio.Event = attrs.field(factory=trio.Event)
    outcome: Outcome | PlaneError | None = None
    abandoned: bool = False

    def reply(self, outcome: Outcome | PlaneError) -> bool:
        """Answer the submitter; return whether it is still there."""
        if not self.abandoned:
            self.outcome = outcome
        self.done.set()
        return not self.abandoned

    def take(self) -> Outcome:
        """Return the outcome, and keep it no longer: a refusal has a traceback, which has who waits for it. Raises `PlaneError`."""
        outcome, self.outcome = self.outcome, None
        try:
            if isinstance(outcome, PlaneError):
                raise outcome
            return outcome or Outcome()
        finally:
            del outcome


class Adapter:
    """Feeds one data plane, one operation at a time."""

    def __init__(
        self,
        plane: DataPlane,
        failed: Callable[[Operation, PlaneError], None],
        performed: Performed = lambda *_, **__: None,
    ) -> None:
        """Serve `plane`; `failed` is told of deletes that the plane refused, since nobody waits for those, `performed` of all operations."""
        self.plane = plane
        self._failed = failed
        self._tell = performed
        self._deletes: deque[Delete] = deque()
        self._refused: set[Delete] = set()  # of these, what was refused once already
        self._creates: deque[Slot] = deque()
        self._entering: dict[tuple[int, int], Slot] = {}  # before the queue, which is full: by tunnel and session, or 0
        self._room = trio.Semaphore(QUEUE)
        self._work = trio.Event()
        self.performed = 0

    def perform_nowait(self, operation: Operation) -> Outcome | None:
        """Carry out an operation on a plane that needs no waiting, and so no time worth a clock; else return None. Raises `PlaneError`."""
        try:
            outcome = self.plane.perform_nowait(operation)
        except PlaneError:
            self._note(operation, 0.0, refused=True)
            raise
        if outcome is not None:
            self._note(operation, 0.0, refused=False)
        return outcome

    async def submit(self, operation: Create) -> Outcome:
        """Carry out a create and return its outcome. Raises `PlaneError`. Cancelled, it leaves nothing behind."""
        slot, key = Slot(operation), _key(operation)
        self._entering[key] = slot
        try:
            await self._room.acquire()
        finally:
            if self._entering.get(key) is slot:
                del self._entering[key]
        try:
            if slot.outcome is None:  # else it was deleted meanwhile
                self._creates.append(slot)
                self._work.set()
            return await self.settled(slot)
        finally:
            self._room.release()

    def change(self, operation: ModifySession) -> Slot:
        """Carry out a change after all that waits, for `settled` to wait for. It takes the place of an earlier one of its session that has not begun."""
        for slot in self._creates:
            if isinstance(slot.operation, ModifySession) and _same_session(operation, slot.operation):
                slot.operation = operation
                return slot
        slot = Slot(operation)
        self._creates.append(slot)
        self._work.set()
        return slot

    async def settled(self, slot: Slot) -> Outcome:
        """Wait for the outcome of what is in the queue. Raises `PlaneError`."""
        try:
            await slot.done.wait()
        finally:
            slot.abandoned = slot.outcome is None
        return slot.take()

    def delete(self, operation: Delete) -> None:
        """Carry out a delete as soon as possible, without waiting for it."""
        for slot in [slot for slot in self._creates if _covers(operation, slot.operation)]:
            self._creates.remove(slot)
            slot.reply(PlaneError(0, "withdrawn"))
        for key in self._entering_below(operation):
            self._entering.pop(key).reply(PlaneError(0, "withdrawn"))
        self._deletes.append(operation)
        self._work.set()

    @property
    def waiting(self) -> int:
        """How many operations have not begun."""
        return len(self._creates) + len(self._deletes)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then carry out the deletes that are left, in bounded time."""
        task_status.started()
        try:
            while True:
                await self._work.wait()
                self._work = trio.Event()
                await self._drain(math.inf)
        finally:
            await self.finish()  # noqa: ASYNC102 - shielded, with a deadline

    async def finish(self) -> None:
        """Carry out the deletes that are left, in bounded time, cancelled or not: the last tunnels may outlive the task."""
        with trio.move_on_after(5, shield=True):
            await self._drain(0)

    def _entering_below(self, operation: Delete) -> list[tuple[int, int]]:
        if isinstance(operation, DeleteTunnel):
            return [key for key in self._entering if key[0] == operation.tunnel_id]
        key = operation.tunnel_id, operation.session_id
        return [key] if key in self._entering else []

    async def _drain(self, creates: float) -> None:
        while self._deletes or (self._creates and creates):
            with trio.CancelScope(shield=True):
                if self._deletes:
                    await self._delete(self._deletes.popleft())
                else:
                    await self._create(self._creates.popleft())
            await trio.lowlevel.checkpoint()

    async def _delete(self, operation: Delete) -> None:
        again = operation in self._refused
        self._refused.discard(operation)
        try:
            await self._perform(operation)
        except PlaneError as error:
            if again:
                self._failed(operation, error)
            else:
                self._refused.add(operation)
                self._deletes.append(operation)

    async def _create(self, slot: Slot) -> None:
        if slot.abandoned and not isinstance(slot.operation, ModifySession):
            return
        try:
            outcome = await self._perform(slot.operation)
        except PlaneError as error:
            slot.reply(error)
            return
        if not slot.reply(outcome) and not isinstance(slot.operation, ModifySession):
            self._deletes.append(inverse(slot.operation))

    async def _perform(self, operation: Operation) -> Outcome:
        began, refused = trio.current_time(), True
        try:
            outcome = await self.plane.perform(operation)
            refused = False
        except PlaneError:
            raise
        except Exception as bug:
            # A bug in one operation must not end the task that serves all of them.
            crashes["plane"] += 1
            _log.error(f"the data plane crashed at {type(operation).__name__}", exc_info=bug)
            raise PlaneError(0, f"internal error: {bug!r}") from bug
        finally:
            self._note(operation, trio.current_time() - began, refused=refused)
        return outcome

    def _note(self, operation: Operation, seconds: float, *, refused: bool) -> None:
        self.performed += 1
        self._tell(operation, seconds, refused=refused)


def _key(operation: Create) -> tuple[int, int]:
    return operation.tunnel_id, 0 if isinstance(operation, CreateTunnel) else operation.session_id


def _covers(delete: Delete, other: Create | ModifySession) -> bool:
    if isinstance(delete, DeleteTunnel):
        return other.tunnel_id == delete.tunnel_id
    return not isinstance(other, CreateTunnel) and _same_session(delete, other)


def _same_session(one: DeleteSession | ModifySession, other: CreateSession | ModifySession) -> bool:
    return (one.tunnel_id, one.session_id) == (other.tunnel_id, other.session_id)
