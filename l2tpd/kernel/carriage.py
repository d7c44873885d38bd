"""Between the frames of one session and its packets: headers, cookies, numbers, order, counters. Pure; time is an argument.

Theory of operation. A carriage belongs to one session of the user-space plane. `head` gives the header for the next frame to send; `unwrap` takes a
received packet apart, checks it, and returns the frames that may be delivered now: none, this one, or several when it closed a gap. What it must
never do is to raise for what a stranger sent: it counts, and returns nothing. Which header that is, a `Form` knows, one for each version.

Who numbers. Version 3: both ends are configured alike or have agreed (Data Sequencing AVP, RFC 3931 5.4.4), and a packet without a number is dropped
where numbers are due. Version 2: the LNS decides, and a LAC that is not configured to number does as the LNS does (RFC 2661 5.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from l2tpd.config.model import Encapsulation, Pseudowire, Sublayer
from l2tpd.errors import Malformed, PlaneError
from l2tpd.kernel.ops import CreateSession, CreateTunnel
from l2tpd.kernel.reorder import Order
from l2tpd.wire import data3, header

Frame = bytes | memoryview

_V2_SEQUENCE_BITS = 16  # RFC 2661 3.1


@attrs.define(eq=False)
class Counters:
    """What is counted of a session, as Linux counts it: octets are those of L2TP header and frame, errors include every discard."""

    tx_packets: int = 0
    tx_bytes: int = 0
    tx_errors: int = 0
    rx_packets: int = 0
    rx_bytes: int = 0
    rx_seq_discards: int = 0  # old, duplicate, or without the number that it should have
    rx_oos_packets: int = 0  # came after a later one, and were put into their place
    rx_errors: int = 0
    rx_cookie_discards: int = 0
    rx_invalid: int = 0  # no packets, or of no session
    rx_spoofed: int = 0  # from an address that is not the subscriber's

    def add(self, other: Counters) -> None:
        """Add the counts of another."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_mapping(self) -> dict[str, int]:
        """Return the counts by name."""
        return {name: getattr(self, name) for name in _COUNTS}


_COUNTS = tuple(field.name for field in attrs.fields(Counters))


class Form(Protocol):
    """How the packets of a session look."""

    @property
    def unnumbered(self) -> bytes:
        """What precedes a frame without a sequence number, as most are."""

    def head(self, ns: int) -> bytes:
        """Return what precedes a frame with this sequence number."""

    def genuine(self, packet: memoryview) -> bool:
        """Tell whether a packet proves that it belongs to the session that it names."""

    def parse(self, packet: memoryview) -> tuple[int | None, Frame]:
        """Return sequence number and frame. Raises `Malformed`."""


@attrs.frozen
class FormV2:
    """RFC 2661 3.1. The Length field, which the RFC leaves to us, is not sent: the datagram has a length."""

    peer_tunnel_id: int
    peer_session_id: int
    unnumbered: bytes = attrs.field(init=False)

    @unnumbered.default
    def _build(self) -> bytes:
        return header.build_data(header.DataHeader(self.peer_tunnel_id, self.peer_session_id), b"", length=False)

    def head(self, ns: int) -> bytes:
        """Return the header."""
        fields = header.DataHeader(self.peer_tunnel_id, self.peer_session_id, ns & 0xFFFF)
        return header.build_data(fields, b"", length=False)

    def genuine(self, packet: memoryview) -> bool:
        """Believe every packet: version 2 has no cookies."""
        return True

    def parse(self, packet: memoryview) -> tuple[int | None, Frame]:
        """Return sequence number and frame. Raises `Malformed`."""
        fields, frame = header.parse_data(packet)
        return fields.ns, frame


@attrs.frozen
class FormV3:
    """RFC 3931 4.1, `before` being what the encapsulation wants before the session id of what we send."""

    before: bytes
    peer_session_id: int
    ours: data3.Layout  # of what we receive
    theirs: data3.Layout  # of what we send
    unnumbered: bytes = attrs.field(init=False)

    @unnumbered.default
    def _build(self) -> bytes:
        return self.before + data3.build_header(self.peer_session_id, self.theirs)

    def head(self, ns: int) -> bytes:
        """Return the header."""
        return self.unnumbered[:-4] + data3.WORD.pack(data3.sublayer_word(ns))

    def genuine(self, packet: memoryview) -> bool:
        """Tell whether a packet carries our cookie."""
        return self.ours.has_cookie(packet)

    def parse(self, packet: memoryview) -> tuple[int | None, Frame]:
        """Return sequence number and frame. Raises `Malformed`."""
        return data3.parse_data(packet, self.ours)


@attrs.define(eq=False, kw_only=True)
class Carriage:
    """One session's traffic, both ways."""

    form: Form
    order: Order
    sequencing: bool  # our packets are numbered, and the peer's must be
    obedient: bool = False  # do as the peer does
    unseen: int = 0  # octets of a received packet's header that its reader has taken off
    counters: Counters = attrs.field(factory=Counters)
    _numbers: bool = attrs.field(init=False)
    _next: int = 0

    def __attrs_post_init__(self) -> None:
        self._numbers = self.sequencing

    def sequence(self, on: bool) -> None:
        """Begin or cease to number packets and to demand numbers. The numbers go on from where they stopped."""
        self.sequencing = self._numbers = on

    def head(self) -> bytes:
        """Return the header for the next frame."""
        if not self._numbers:
            return self.form.unnumbered
        self._next += 1
        return self.form.head(self._next - 1)

    def sent(self, octets: int) -> None:
        """Count a packet that was sent, of so many octets."""
        self.counters.tx_packets += 1
        self.counters.tx_bytes += octets

    def unwrap(self, packet: memoryview, now: float) -> Sequence[Frame]:
        """Take a packet apart; return what is to be delivered now, in this order. A memoryview is the packet's own memory."""
        if not self.form.genuine(packet):
            self.counters.rx_cookie_discards += 1
            self.counters.rx_errors += 1
            return ()
        try:
            ns, frame = self.form.parse(packet)
        except Malformed:
            self.counters.rx_invalid += 1
            self.counters.rx_errors += 1
            return ()
        return self._admit(ns, frame, len(packet), now)

    def _admit(self, ns: int | None, frame: Frame, octets: int, now: float) -> Sequence[Frame]:
        if ns is None and self.sequencing:
            return self._out_of_sequence()
        if self.obedient:
            self._numbers = self.sequencing or ns is not None
        if ns is None or self.order.follows(ns):
            self._received(octets)
            return (frame,)
        before = self.order.discarded
        frames = self.order.take(ns, bytes(frame), now)
        self.counters.rx_oos_packets = self.order.out_of_order
        if self.order.discarded != before:
            return self._out_of_sequence()
        self._received(octets)
        return frames

    def _received(self, octets: int) -> None:
        self.counters.rx_packets += 1
        self.counters.rx_bytes += octets + self.unseen

    def _out_of_sequence(self) -> Sequence[Frame]:
        self.counters.rx_seq_discards += 1
        self.counters.rx_errors += 1
        return ()


def carriage(tunnel: CreateTunnel, session: CreateSession) -> Carriage:
    """Return what carries a session. Raises `PlaneError` for one that its tunnel's version cannot have."""
    timeout = session.reorder_timeout / 1000
    if tunnel.version == 2:
        return Carriage(
            form=_form_v2(tunnel, session),
            order=Order(_V2_SEQUENCE_BITS, timeout),
            sequencing=session.sequencing,
            obedient=not session.lns_mode,
        )
    form = _form_v3(tunnel, session)
    unseen = len(form.before)
    order = Order(data3.SEQUENCE_BITS, timeout)
    return Carriage(form=form, order=order, sequencing=session.sequencing, unseen=unseen)


def check_numbers(version: int, sublayer: Sublayer, sequencing: bool) -> None:
    """Raise `PlaneError` when packets are to be numbered that have no place for a number."""
    if sequencing and version == 3 and sublayer is Sublayer.NONE:
        raise PlaneError(0, "packets cannot be numbered without an L2-specific sublayer (RFC 3931 4.6)")


def _form_v2(tunnel: CreateTunnel, session: CreateSession) -> FormV2:
    if session.pseudowire is not Pseudowire.PPP:
        raise PlaneError(0, f"L2TPv2 carries PPP, not `{session.pseudowire.value}`")
    return FormV2(tunnel.peer_tunnel_id, session.peer_session_id)


def _form_v3(tunnel: CreateTunnel, session: CreateSession) -> FormV3:
    for cookie in (session.cookie, session.peer_cookie):
        if len(cookie) not in data3.COOKIES:
            raise PlaneError(0, f"a cookie has 0, 4 or 8 octets (RFC 3931 4.1), not {len(cookie)}")
    check_numbers(3, session.sublayer, session.sequencing)
    before = data3.OVER_UDP if tunnel.encap is Encapsulation.UDP else b""
    sublayer = session.sublayer is Sublayer.DEFAULT
    ours, theirs = data3.Layout(session.cookie, sublayer), data3.Layout(session.peer_cookie, sublayer)
    return FormV3(before, session.peer_session_id, ours, theirs)
