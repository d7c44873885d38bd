"""The sending half of reliable delivery: queue, window, retransmission, congestion (RFC 2661 5.8 and appendix A).

Theory of operation. Messages are numbered by a running token whose low 16 bits are Ns. Four marks divide the tokens::

    acknowledged    next        fresh        queued
    |---in flight---|-to repeat-|-never sent-|

`next` is the message that leaves next, `fresh` the first that never left. Normally the two are equal. When the timer
of the oldest message fires, `next` falls back to `acknowledged`, the congestion window to one, and so exactly the head
is repeated. What follows is left to the answer: a peer that had queued the later messages acknowledges them all at
once and nothing else is repeated; a peer that had discarded them acknowledges the head alone, and they leave again as
the window opens. Repeating the whole window at once would be wrong for the first kind of peer and a burst into a
congested path for the second; repeating the head alone, one timeout after the other, would take N seconds for a window
of N towards the second.

The timer belongs to the oldest message in flight. It doubles up to a cap, and every acknowledgement that advances
gives it a fresh start, because RFC 2661 5.8 clears a tunnel for lack of *any* response, not for the age of one
message.

The sender never acts on an Nr that it cannot have provoked: one beyond `fresh` acknowledges nothing and condemns its
packet.
"""

from __future__ import annotations

import math
from typing import Final, Generic, NamedTuple, TypeVar

import attrs

from l2tpd.errors import LocalProtocolError
from l2tpd.tunnel.sequence import HALF, MASK, forward

T = TypeVar("T")

NEVER: Final = math.inf

DEFAULT_PEER_WINDOW: Final = 4
"""The peer's window until its Receive Window Size AVP says otherwise (RFC 2661 4.4.3)."""

LARGEST_WINDOW: Final = HALF - 1
"""With more in flight, a 16-bit Nr could mean an old acknowledgement as well as a new one."""

OLDEST_NR: Final = 1024
"""How far an Nr may lie behind. Reordering makes old ones, and so do peers that repeat a message without updating it; but if every old Nr were
taken, half of all random ones would do for a forger (RFC 5961 5.2 bounds TCP's likewise)."""

SMALLEST_THRESHOLD: Final = 2
"""Appendix A follows Stevens 21.6, who never halves the threshold below two packets."""


class Transmission(NamedTuple, Generic[T]):
    """One control packet to put on the wire; `item` is None for a ZLB."""

    ns: int
    nr: int
    item: T | None


@attrs.define(eq=False, weakref_slot=False)
class Sender(Generic[T]):
    """Number, send, repeat and release messages; times are absolute seconds, timeouts are seconds."""

    retry_timeout: float
    retry_cap: float
    max_retries: int
    delivered: list[int] = attrs.field(init=False, factory=list)
    deadline: float = attrs.field(init=False, default=NEVER)
    failed: bool = attrs.field(init=False, default=False)
    cwnd: int = attrs.field(init=False, default=1)
    ssthresh: int = attrs.field(init=False, default=DEFAULT_PEER_WINDOW)
    peer_window: int = attrs.field(init=False, default=DEFAULT_PEER_WINDOW)
    retransmitted: int = attrs.field(init=False, default=0)
    bad_nr: int = attrs.field(init=False, default=0)
    old_nr: int = attrs.field(init=False, default=0)
    acknowledged: int = attrs.field(init=False, default=0)
    fresh: int = attrs.field(init=False, default=0)
    queued: int = attrs.field(init=False, default=0)
    _next: int = attrs.field(init=False, default=0)
    _items: dict[int, T] = attrs.field(init=False, factory=dict)
    _noted: list[int] = attrs.field(init=False, factory=list)
    _interval: float = attrs.field(init=False)
    _retries: int = attrs.field(init=False, default=0)
    _credit: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        """Start with the first interval."""
        self._interval = self.retry_timeout

    @property
    def in_flight(self) -> int:
        """Messages sent, not acknowledged, and not given up for lost."""
        return self._next - self.acknowledged

    def set_peer_window(self, size: int) -> None:
        """Take the peer's Receive Window Size (messages) and start the threshold there (RFC 2661 4.4.3, appendix A).

        Raises LocalProtocolError for less than 1: the caller must have refused such an AVP (RFC 2661 5.8).
        """
        if size < 1:
            raise LocalProtocolError(f"a peer's receive window of {size} is invalid")
        self.peer_window = self.ssthresh = min(size, LARGEST_WINDOW)
        self.cwnd = min(self.cwnd, self.peer_window)

    def enqueue(self, item: T, *, note: bool) -> int:
        """Append `item` and return its token; with `note` the token appears in `delivered` once acknowledged."""
        token = self.queued
        self._items[token] = item
        self.queued = token + 1
        if note:
            self._noted.append(token)
        return token

    def transmit(self, nr: int, now: float) -> list[Transmission[T]]:
        """Return what the window allows, each with the present `nr`; a repeated call returns nothing (RFC 2661 5.8)."""
        first = self._next
        last = min(self.acknowledged + self.cwnd, self.queued)
        if first >= last or self.failed:
            return []
        items = self._items
        packets = [Transmission(token & MASK, nr, items[token]) for token in range(first, last)]
        self.retransmitted += min(last, self.fresh) - first
        self._next = last
        self.fresh = max(self.fresh, last)
        if self.deadline == NEVER:
            self.deadline = now + self._interval
        return packets

    def acknowledge(self, nr: int, now: float) -> bool:
        """Release what `nr` acknowledges; return False when it is none that an honest peer could send now."""
        advance = forward(nr, self.acknowledged)
        if advance == 0:
            return True
        if advance <= self.fresh - self.acknowledged:
            self._release(self.acknowledged + advance, now)
            return True
        if MASK + 1 - advance <= min(self.acknowledged, OLDEST_NR):
            self.old_nr += 1
            return True
        self.bad_nr += 1
        return False

    def _release(self, end: int, now: float) -> None:
        first = self.acknowledged
        for token in range(first, end):
            del self._items[token]
        self.acknowledged = end
        if self.cwnd < self.peer_window:
            # What was given up for lost and had arrived after all has not proved room in the path: it opens no window.
            self._open_window(min(end, self._next) - first)
        self._next = max(self._next, end)
        self._interval = self.retry_timeout
        self._retries = 0
        self.deadline = now + self._interval if self._next > end else NEVER
        if self._noted:
            self._report(end)
        if end == self.queued:
            self._items.clear()  # an emptied dict keeps the memory of its largest day

    def _report(self, end: int) -> None:
        done = [token for token in self._noted if token < end]
        self.delivered += done
        del self._noted[: len(done)]

    def _open_window(self, messages: int) -> None:
        """Widen the congestion window for `messages` newly acknowledged messages (appendix A).

        One Nr may acknowledge several messages. Each counts, for otherwise a peer that coalesces its ACKs, as we do,
        would be served with a window that grows by one packet a round trip instead of doubling.
        """
        slow_start = min(messages, max(self.ssthresh - self.cwnd, 0))
        self.cwnd += slow_start
        self._credit += messages - slow_start
        if self._credit >= self.cwnd:
            self._credit -= self.cwnd
            self.cwnd += 1
        self.cwnd = min(self.cwnd, self.peer_window)

    def expire(self, now: float) -> None:
        """Fall back to the oldest message if its timer has fired, or fail after the last retry (RFC 2661 5.8).

        One call is one step however late it comes, so a clock that jumped does not use up the retries.
        """
        if now < self.deadline:
            return
        if self._retries >= self.max_retries:
            self.failed = True
            self.deadline = NEVER
            return
        self._retries += 1
        self._interval = min(self._interval * 2, max(self.retry_cap, self.retry_timeout))
        self.deadline = now + self._interval
        self._next = self.acknowledged
        self.ssthresh = min(max(self.cwnd // 2, SMALLEST_THRESHOLD), self.peer_window)
        self.cwnd = 1
        self._credit = 0
