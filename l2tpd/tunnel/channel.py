"""Reliable delivery of control messages over an unreliable datagram path (RFC 2661 5.5, 5.7, 5.8, appendix A).

Theory of operation. The channel owns what the two directions share: the debt of an acknowledgement, the silence that
calls for a HELLO, and the verdict that the peer is gone. `Sender` and `Receiver` know nothing of each other.

An ACK that is owed leaves on whatever goes out next, or alone in a ZLB. It leaves with the next `transmit`, unless the
caller says by `hold_ack` that its answer will follow shortly; even then it waits `ack_delay` at most, and a duplicate
ends the waiting, for it says that the peer is already repeating itself. Reading many datagrams before one `transmit`
makes one ACK of them all.

A packet is judged by its Nr first. An old Nr is what reordering produces, so it is counted and the message is taken.
An Nr beyond all that was sent cannot come from a peer that received it: the packet is counted and dropped whole,
message included. RFC 2661 is silent on it; this is TCP's rule (RFC 9293 3.10.7.4), it costs an honest peer nothing
since a retransmission carries an updated Nr, and it halves the guesses that lead a blind attacker to a StopCCN that we
accept. No ZLB answers such a packet: two sides out of step would answer each other for ever.

The Ns of a ZLB is never looked at (RFC 2661 5.8): peers disagree on what it should be while messages are in flight.

Never: block, read a clock, look into an item, deliver one twice or out of order, or send more than the peer's window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import attrs

from l2tpd.errors import LocalProtocolError
from l2tpd.tunnel.receiver import NOTHING, Arrival, Receiver
from l2tpd.tunnel.sender import LARGEST_WINDOW, NEVER, Sender, Transmission
from l2tpd.tunnel.sequence import MASK

__all__ = ["Channel", "ChannelSettings", "ChannelStats", "Transmission"]

T = TypeVar("T")
N = TypeVar("N", int, float)

LEAST_CAP: Final = 8.0
"""RFC 2661 5.8: the cap MUST be no less than 8 seconds."""


def _at_least(least: N) -> Callable[[object, attrs.Attribute[N], N], None]:
    def check(_: object, attribute: attrs.Attribute[N], value: N) -> None:
        if not least <= value < NEVER:
            raise LocalProtocolError(f"{attribute.name} must be a finite number of at least {least:g}, not {value}")

    return check


def _positive(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 < value < NEVER:
        raise LocalProtocolError(f"{attribute.name} must be a finite number above 0, not {value}")


def _window(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not 1 <= value <= LARGEST_WINDOW:
        raise LocalProtocolError(f"{attribute.name} must be 1 to {LARGEST_WINDOW}, not {value}")


@attrs.frozen(kw_only=True)
class ChannelSettings:
    """How one channel behaves: times in seconds, window in messages.

    A `retry_timeout` above `retry_cap` is its own cap. A `hello_timeout` of 0 sends no HELLO. Raises LocalProtocolError
    for what RFC 2661 5.8 forbids.
    """

    retry_timeout: float = attrs.field(default=1.0, validator=_positive)
    retry_cap: float = attrs.field(default=LEAST_CAP, validator=_at_least(LEAST_CAP))
    max_retries: int = attrs.field(default=5, validator=_at_least(0))
    receive_window: int = attrs.field(default=128, validator=_window)
    hello_timeout: float = attrs.field(default=60.0, validator=_at_least(0.0))
    ack_delay: float = attrs.field(default=0.1, validator=_at_least(0.0))


@attrs.frozen(kw_only=True)
class ChannelStats:
    """Counters of one channel since it was made.

    Every packet out is one of `sent` (first time), `retransmitted`, `zlb_sent`; every packet in is one of `received`
    (first time), `duplicates`, `out_of_window`, `zlb_received`, `bad_nr` (dropped: Nr beyond what was sent).
    `out_of_order` says how many of the received came early, `old_nr` how many packets carried an Nr that was already
    passed.
    """

    sent: int
    retransmitted: int
    zlb_sent: int
    received: int
    duplicates: int
    out_of_window: int
    zlb_received: int
    bad_nr: int
    out_of_order: int
    old_nr: int


@attrs.define(eq=False, weakref_slot=False, init=False)
class Channel(Generic[T]):
    """One end of a reliable control channel for items of type `T`, opaque to it; `now` is always absolute seconds.

    After any input call `transmit` and put its packets on the wire; call `handle_timer` when `next_timer` is reached.
    """

    hello_due: bool
    """Nothing was heard for `hello_timeout` and nothing of ours is outstanding: `send` a HELLO (RFC 2661 5.5)."""
    jitter: float
    """What of `hello_timeout` is waited, 1 for all of it: draw it anew for every HELLO where many connections share a path (RFC 3931 4.4)."""
    _settings: ChannelSettings
    _sender: Sender[T]
    _receiver: Receiver[T]
    _heard: float
    _ack_due: float
    _ack_limit: float
    _zlb_sent: int
    _zlb_received: int

    def __init__(self, settings: ChannelSettings, now: float) -> None:
        """Start at Ns 0, Nr 0, idle (RFC 2661 5.8)."""
        self.hello_due = False
        self.jitter = 1.0
        self._settings = settings
        self._sender = Sender(settings.retry_timeout, settings.retry_cap, settings.max_retries)
        self._receiver = Receiver(settings.receive_window)
        self._heard = now
        self._ack_due = self._ack_limit = NEVER
        self._zlb_sent = self._zlb_received = 0

    def reconfigure(self, settings: ChannelSettings) -> None:
        """Take new times and retries for deadlines to come; the receive window stays: it was advertised for good."""
        self._settings = settings
        sender = self._sender
        sender.retry_timeout = settings.retry_timeout
        sender.retry_cap = settings.retry_cap
        sender.max_retries = settings.max_retries

    def set_peer_window(self, size: int) -> None:
        """Take the peer's Receive Window Size AVP (messages); without one it is 4 (RFC 2661 4.4.3).

        Raises LocalProtocolError for less than 1.
        """
        self._sender.set_peer_window(size)

    def send(self, item: T, now: float, *, note: bool = False) -> int:
        """Queue `item` and return its token, a running number; with `note` the token will appear in `delivered`."""
        self.hello_due = False
        return self._sender.enqueue(item, note=note)

    def receive(self, ns: int, nr: int, item: T | None, now: float) -> Sequence[T]:
        """Take a control packet, `item` None for a ZLB, and return the items now deliverable (RFC 2661 5.8)."""
        if not self._sender.acknowledge(nr, now):
            return NOTHING
        self._heard = now
        self.hello_due = False
        if item is None:
            self._zlb_received += 1
            return NOTHING
        receiver = self._receiver
        arrival = receiver.classify(ns)
        if arrival is Arrival.OUTSIDE:
            return NOTHING
        self._owe_ack(now, urgent=arrival is Arrival.DUPLICATE)
        if arrival is Arrival.EXPECTED:
            return receiver.deliver(item)
        if arrival is Arrival.EARLY:
            receiver.keep(ns, item)
        return NOTHING

    def _owe_ack(self, now: float, *, urgent: bool) -> None:
        self._ack_due = now
        self._ack_limit = now if urgent else min(self._ack_limit, now + self._settings.ack_delay)

    def hold_ack(self) -> None:
        """Let the owed ACK wait for a reply, `ack_delay` at most from the oldest message that it answers."""
        self._ack_due = self._ack_limit

    def transmit(self, now: float) -> list[Transmission[T]]:
        """Return what is due: repetitions and new items in the window, else a ZLB if an ACK is due (RFC 2661 5.8)."""
        sender = self._sender
        nr = self._receiver.expected & MASK
        packets = sender.transmit(nr, now)
        if not packets:
            if self._ack_due > now or sender.failed:
                return packets
            packets.append(Transmission(sender.fresh & MASK, nr, None))
            self._zlb_sent += 1
        self._ack_due = self._ack_limit = NEVER
        return packets

    def handle_timer(self, now: float) -> None:
        """Act on deadlines that have passed; what became due is fetched by `transmit`."""
        self._sender.expire(now)
        if now >= self._hello_at():
            self.hello_due = True

    def next_timer(self) -> float | None:
        """Return the earliest deadline of retransmission, held ACK and HELLO, or None."""
        when = min(self._sender.deadline, self._hello_at(), NEVER if self.failed else self._ack_due)
        return None if when == NEVER else when

    def _hello_at(self) -> float:
        # RFC 2661 5.5: whatever of ours is outstanding probes the path as well as a HELLO would.
        timeout = self._settings.hello_timeout * self.jitter
        return self._heard + timeout if timeout and self.idle and not self.hello_due else NEVER

    def touch(self, now: float) -> None:
        """Count a data packet as a sign of life (RFC 2661 5.5)."""
        self._heard = now
        self.hello_due = False

    @property
    def failed(self) -> bool:
        """Whether a message ran out of retries: the peer is gone and the tunnel must be cleared (RFC 2661 5.8)."""
        return self._sender.failed

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or unacknowledged."""
        return self._sender.acknowledged == self._sender.queued

    @property
    def delivered(self) -> list[int]:
        """Tokens of noted items that the peer has acknowledged, oldest first; the caller empties it."""
        return self._sender.delivered

    @property
    def ns(self) -> int:
        """The Ns of the next new message."""
        return self._sender.fresh & MASK

    @property
    def nr(self) -> int:
        """The Ns of the message expected next."""
        return self._receiver.expected & MASK

    @property
    def cwnd(self) -> int:
        """The congestion window (messages)."""
        return self._sender.cwnd

    @property
    def ssthresh(self) -> int:
        """The congestion window at which slow start ends (messages)."""
        return self._sender.ssthresh

    @property
    def peer_window(self) -> int:
        """The window that the peer offers (messages)."""
        return self._sender.peer_window

    @property
    def queued(self) -> int:
        """Messages queued or unacknowledged."""
        return self._sender.queued - self._sender.acknowledged

    @property
    def in_flight(self) -> int:
        """Messages sent, not acknowledged, and not given up for lost."""
        return self._sender.in_flight

    @property
    def stats(self) -> ChannelStats:
        """A snapshot of the counters."""
        sender, receiver = self._sender, self._receiver
        return ChannelStats(
            sent=sender.fresh,
            retransmitted=sender.retransmitted,
            zlb_sent=self._zlb_sent,
            received=receiver.expected + receiver.waiting,
            duplicates=receiver.duplicates,
            out_of_window=receiver.out_of_window,
            zlb_received=self._zlb_received,
            bad_nr=sender.bad_nr,
            out_of_order=receiver.out_of_order,
            old_nr=sender.old_nr,
        )
