"""Control messages: the decoder and encoder that the tables of RFC 2661 section 6 and RFC 3931 section 6 drive.

Which version of the protocol is spoken is the `vocabulary` of a call, version 2 unless said otherwise; `decode3` and
`encode3` speak version 3. Sections named without an RFC are those of RFC 2661, whose rules RFC 3931 5.2 and 7.1 keep.

`decode` is total: any octets give a `Message`, or `Malformed` when not even the Message Type can be read (RFC 2661
4.4.1). Everything else that may be wrong is judged by the M bit that the peer sent (7.1, 4.2): a defect that ends the
tunnel or the session is the message's `fault`, a defect that may be ignored is one of its `notes`. Reading goes on
past a fault as long as the AVP lengths make sense, so that the ids which an answer needs are found wherever they
stand. One pass, each octet looked at once, so the work is linear in the length.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import attrs

from l2tpd.errors import LocalProtocolError, Malformed
from l2tpd.wire.avp import (
    ASSIGNED_COOKIE,
    HEADER,
    HEADER_SIZE,
    HIDDEN,
    KNOWN_3,
    LENGTH,
    MANDATORY,
    MAX_VALUE,
    MESSAGE_TYPE,
    PSEUDOWIRE_CAPABILITIES,
    RANDOM_VECTOR,
    RESERVED,
    RESULT_CODE,
    Avp,
    RawAvp,
    encode_value,
    pack,
)
from l2tpd.wire.hide import hide as hide_value
from l2tpd.wire.hide import unhide
from l2tpd.wire.numbers import ErrorCode, MessageType, name_of
from l2tpd.wire.table import FALLBACK, MESSAGES, MESSAGES_3, V2, V3, AnyAvp, MessageRow, Vocabulary, opening_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "FALLBACK",
    "MESSAGES",
    "MESSAGES_3",
    "STRICT",
    "V2",
    "V3",
    "AnyAvp",
    "Fault",
    "Message",
    "Quirks",
    "Vocabulary",
    "decode",
    "decode3",
    "encode",
    "encode3",
    "message",
    "offers_v3",
]

T = TypeVar("T")

MAX_BODY: Final = 0xFFFF - 12
"""What a control header leaves of the 16-bit Length."""

MAX_NOTES: Final = 16
"""A hostile message holds thousands of defects; no log needs more than these."""

VECTOR_SIZE: Final = 16
"""Octets of a Random Vector.

At least so many are recommended (RFC 2661 4.4.1), and so many make a block of the hiding.
"""

_NO_ID: Final = (bytes(2), bytes(4))
"""What stands in an answer for the tunnel, connection or session id that its sender never chose."""

_SIZED_BY_VALUE: Final[frozenset[AnyAvp]] = frozenset({RESULT_CODE, ASSIGNED_COOKIE, PSEUDOWIRE_CAPABILITIES})
"""What their decoders refuse is a length that lies within the bounds of the row and is wrong all the same."""


class Fault(NamedTuple):
    """What must be answered: the result "general error" with this error code and text (RFC 2661 4.4.2)."""

    error: ErrorCode
    text: str


@attrs.frozen(kw_only=True)
class Quirks:
    """What a particular peer may do that RFC 2661 forbids; the default is the RFC.

    ignore_vendor_avps: its own AVPs carry an M bit that it does not mean (Cisco, Windows, WatchGuard).
    ignore_unknown_avps: so do unknown AVPs of the IETF's space.
    """

    ignore_vendor_avps: bool = False
    ignore_unknown_avps: bool = False


STRICT: Final = Quirks()


@attrs.define(order=False, repr=False)
class Message:
    """A control message, received or to be sent; treat it as immutable.

    `values` holds what the AVP table knows, `extra` the rest, octet for octet. On a message without a `fault` every
    AVP that its type requires is present. `notes` are the defects that were ignored; they hold nothing that the peer
    wrote and may be logged as they are.
    """

    type: int
    values: dict[AnyAvp, Any]
    extra: tuple[RawAvp, ...] = ()
    fault: Fault | None = None
    notes: tuple[str, ...] = attrs.field(default=(), eq=False)
    hides: bool = attrs.field(default=False, eq=False)  # it came with a Random Vector
    vocabulary: Vocabulary = attrs.field(default=V2, eq=False)

    def __repr__(self) -> str:
        """Name the type and its AVPs, but no values: some are secrets, and a repr ends up in tracebacks."""
        return f"<Message {self.name}: {', '.join(avp.name for avp in self.values if avp is not MESSAGE_TYPE)}>"

    def __getitem__(self, avp: Avp[T]) -> T:
        """Give the value of an AVP that is known to be present; raise `KeyError` otherwise."""
        value: T = self.values[avp]
        return value

    def get(self, avp: Avp[T]) -> T | None:
        """Give the value of an AVP, or None when it is absent."""
        return self.values.get(avp)

    def __contains__(self, avp: object) -> bool:
        """Tell whether the AVP is present and could be read."""
        return avp in self.values

    @property
    def session_scoped(self) -> bool:
        """Whether the message concerns one session: a fault ends the session, not the tunnel (RFC 2661 4.1)."""
        row = self.vocabulary.messages.get(self.type)
        return row is not None and row.session_scoped

    @property
    def known(self) -> bool:
        """Whether the type has a row; an unknown one without a fault may be ignored (RFC 2661 4.4.1)."""
        return self.type in self.vocabulary.messages

    @property
    def name(self) -> str:
        """The RFC's short name of the type, or its number."""
        row = self.vocabulary.messages.get(self.type)
        return name_of(MessageType, self.type) if row is None else row.name


def message(
    kind: int,
    values: Mapping[Avp[Any], Any] | None = None,
    extra: Iterable[RawAvp] = (),
    vocabulary: Vocabulary = V2,
) -> Message:
    """Compose a message to be sent; AVPs travel in the order given, after the Message Type."""
    return Message(int(kind), {MESSAGE_TYPE: int(kind), **(values or {})}, tuple(extra), vocabulary=vocabulary)


def offers_v3(said: Message) -> bool:
    """Tell whether an SCCRQ of version 2, read with `FALLBACK`, may as well be answered by version 3 (RFC 3931 4.7.3).

    It must carry all that an SCCRQ of version 3 must.
    """
    return said.type == MessageType.SCCRQ and said.values.keys() >= MESSAGES_3[MessageType.SCCRQ].need


def decode(body: bytes, *, secret: bytes = b"", quirks: Quirks = STRICT, vocabulary: Vocabulary = V2) -> Message:
    """Read the body of a control message (what follows the header); raise `Malformed` when no Message Type can be read.

    `secret` unhides hidden AVPs; without it they count as malformed.
    """
    head, kind = _message_type(body, vocabulary)
    row = vocabulary.messages.get(kind)
    values: dict[AnyAvp, Any] = {MESSAGE_TYPE: kind}
    reading = _Reading(values, row, vocabulary, secret, quirks)
    if row is None:
        reading.meet_unknown_type(kind, head & MANDATORY)
    elif not row.mandatory and not head & MANDATORY:
        reading.ignorable = True
    position = 8
    end = len(body)
    unpack = HEADER.unpack_from
    find = vocabulary.known.get
    unusual = vocabulary.unusual
    while end - position >= HEADER_SIZE:
        head, key = unpack(body, position)
        start, after = position + HEADER_SIZE, position + (head & LENGTH)
        if not start <= after <= end:
            reading.blame(
                MANDATORY, ErrorCode.BAD_LENGTH, f"{_title(key)} claims {head & LENGTH} of {end - position} octets"
            )
            break
        octets = body[start:after]
        position = after
        avp = find(key)
        if avp is None or head & unusual:
            clear = reading.uncover(head, key, avp, octets)
            if avp is None or clear is None:
                continue
            octets = clear
        if avp in values:
            reading.repeat(avp, octets)
        elif avp.minimum <= len(octets) <= avp.maximum:
            try:
                values[avp] = avp.decode(octets)
            except ValueError as error:
                reading.refuse(avp, head, octets, str(error))
        else:
            reading.blame(head & MANDATORY, ErrorCode.BAD_LENGTH, f"{avp} of {len(octets)} octets")
    else:
        if position < end:
            reading.blame(MANDATORY, ErrorCode.BAD_LENGTH, f"{end - position} octets after the last AVP")
    return reading.conclude(kind)


def _message_type(body: bytes, vocabulary: Vocabulary) -> tuple[int, int]:
    """Read the first AVP.

    Anything but a plain Message Type of 8 octets makes the message unreadable (RFC 2661 4.4.1). The type of a vendor,
    where there may be one (RFC 3931 5.4.1), comes with the vendor's number above its 16 bits and so is unknown to us.
    """
    if len(body) < 8:
        msg = f"body of {len(body)} octets holds no Message Type"
        raise Malformed(msg)
    head, key = HEADER.unpack_from(body)
    if (key and (key & 0xFFFF or not vocabulary.vendor_types)) or head & (vocabulary.unusual | LENGTH) != 8:
        msg = f"first AVP is no Message Type: {_title(key)}, flags and length 0x{head:04x}"
        raise Malformed(msg)
    return head, key | int.from_bytes(body[6:8], "big")


def _title(key: int) -> str:
    """Name an attribute in human readable form (RFC 2661 4.4.2, error 8)."""
    avp = KNOWN_3.get(key)
    return str(avp) if avp is not None else f"vendor {key >> 16} attribute {key & 0xFFFF}"


@attrs.define(eq=False)
class _Reading:
    """The judgement over one message while it is read; the rare paths of `decode` live here."""

    values: dict[AnyAvp, Any]
    row: MessageRow | None
    vocabulary: Vocabulary
    secret: bytes
    quirks: Quirks
    fault: Fault | None = None
    ignorable: bool = False
    notes: list[str] | None = None
    extra: list[RawAvp] | None = None
    repeated: set[AnyAvp] | None = None

    def blame(self, fatal: int, error: ErrorCode, text: str) -> None:
        """Record a defect; the first one that its M bit (`fatal`) makes fatal is the fault, every other a note."""
        if fatal and self.fault is None and not self.ignorable:
            self.fault = Fault(error, text)
        else:
            self.note(text)

    def note(self, text: str) -> None:
        """Record a defect that is ignored."""
        if self.notes is None:
            self.notes = []
        if len(self.notes) < MAX_NOTES:
            self.notes.append(text)

    def meet_unknown_type(self, kind: int, mandatory: int) -> None:
        """Clear the tunnel for an unknown type with the M bit.

        Without it the whole message is ignorable (RFC 2661 4.4.1).
        """
        vendor = f" of vendor {kind >> 16}" if kind >> 16 else ""
        self.blame(mandatory, ErrorCode.BAD_VALUE, f"unknown message type {kind & 0xFFFF}{vendor}")
        self.ignorable = not mandatory

    def uncover(self, head: int, key: int, avp: AnyAvp | None, octets: bytes) -> bytes | None:
        """Deal with an AVP that is unknown, hidden or has reserved bits that matter.

        Give the clear value when it can be read on.
        """
        if head & self.vocabulary.unusual & RESERVED:
            # RFC 2661 4.1: whatever its number, such an AVP is an unrecognized one.
            self.keep(head, key, octets, "reserved bit set on")
            return None
        if avp is None:
            self.keep(head, key, octets, "unknown AVP")
            return None
        clear = self.unhide(head, avp, octets)
        if clear is not None and not avp.hideable:
            self.note(f"{avp} must not be hidden")
        return clear

    def keep(self, head: int, key: int, octets: bytes, defect: str) -> None:
        """Preserve an unrecognized AVP; its M bit decides whether that ends the tunnel or session (RFC 2661 4.1)."""
        vendor = key >> 16
        mandatory = head & MANDATORY
        if self.extra is None:
            self.extra = []
        reserved = (head & RESERVED) >> 10
        self.extra.append(RawAvp(mandatory != 0, head & HIDDEN != 0, vendor, key & 0xFFFF, octets, reserved))
        if mandatory:
            tolerated = self.quirks.ignore_vendor_avps if vendor else self.quirks.ignore_unknown_avps
            self.blame(not tolerated, ErrorCode.UNKNOWN_MANDATORY_AVP, f"{defect} {_title(key)}")

    def unhide(self, head: int, avp: AnyAvp, octets: bytes) -> bytes | None:
        """Recover a hidden value with the last Random Vector before it (RFC 2661 4.3), or blame and give None."""
        vector: bytes | None = self.values.get(RANDOM_VECTOR)
        if vector is None:
            why = "without a Random Vector before it"
        elif not self.secret:
            why = "but there is no secret"
        else:
            try:
                return unhide(avp.number, octets, self.vocabulary.hiding_key(self.secret), vector)
            except Malformed:
                why = "with an inner length that does not fit"
        self.blame(head & MANDATORY, ErrorCode.BAD_VALUE, f"{avp} is hidden {why}")
        return None

    def repeat(self, avp: AnyAvp, octets: bytes) -> None:
        """Deal with a second AVP of one kind: a Random Vector replaces (RFC 2661 4.3), else the first one wins."""
        if avp is RANDOM_VECTOR:
            self.values[avp] = octets
        elif avp.repeats and avp.minimum <= len(octets) <= avp.maximum:
            self.extend(avp, octets)
        else:
            self.note(f"another {avp} ignored")

    def extend(self, avp: AnyAvp, octets: bytes) -> None:
        """Add one more value of a repeating attribute; a list while reading, so that thousands cost linear time."""
        gathered = self.values[avp]
        if isinstance(gathered, tuple):
            gathered = self.values[avp] = list(gathered)
            self.repeated = {avp} if self.repeated is None else self.repeated | {avp}
        gathered.extend(avp.decode(octets))

    def refuse(self, avp: AnyAvp, head: int, octets: bytes, why: str) -> None:
        """Deal with a value out of range.

        A peer that refuses a tunnel or call for which it never chose an id has only 0 to put into its StopCCN or CDN;
        that still ends it.
        """
        if self.row is not None and self.row.ends and octets in _NO_ID and avp in self.row.listed:
            self.values[avp] = 0
            self.note(f"{avp} is zero")
        else:
            error = ErrorCode.BAD_LENGTH if avp in _SIZED_BY_VALUE else ErrorCode.BAD_VALUE
            self.blame(head & MANDATORY, error, f"{avp} {why}")

    def conclude(self, kind: int) -> Message:
        """Check the values against the row of the message and give the message."""
        values = self.values
        row = self.row
        if row is not None:
            keys = values.keys()
            if not keys >= row.need:
                self.blame(MANDATORY, ErrorCode.BAD_VALUE, _missing(row, values))
            if not keys <= row.listed:
                self._note_unexpected(row)
        hides = values.pop(RANDOM_VECTOR, None) is not None
        for avp in self.repeated or ():
            values[avp] = tuple(values[avp])
        return Message(
            kind, values, tuple(self.extra or ()), self.fault, tuple(self.notes or ()), hides, self.vocabulary
        )

    def _note_unexpected(self, row: MessageRow) -> None:
        # mpd5 puts extra AVPs into SCCCN: nothing forbids them, and refusing them broke interoperation elsewhere.
        for avp in self.values:
            if avp not in row.listed:
                self.note(f"{avp} is not expected in {row.name}")


def encode(
    message: Message,
    *,
    secret: bytes = b"",
    hide: bool = False,
    random: Callable[[int], bytes] | None = None,
    vocabulary: Vocabulary = V2,
) -> bytes:
    """Build the body of a control message, Message Type first.

    Raise `LocalProtocolError` on what the protocol cannot carry.

    With `hide` every AVP that may be hidden is, which needs a `secret` and `random`, a source of that many
    unpredictable octets. Raw AVPs that arrived hidden are refused: without their Random Vector nobody can read them.
    """
    row = vocabulary.messages.get(message.type)
    if row is None:
        parts = [opening_of(message.type, mandatory=True)]
    else:
        if not message.values.keys() >= row.need:
            raise LocalProtocolError(_missing(row, message.values))
        parts = [row.opening]
    if hide:
        _append_hidden(parts, message.values, _Hider(secret, random, vocabulary))
    else:
        _append_plain(parts, message.values, vocabulary.column)
    if message.extra:
        _append_raw(parts, message.extra)
    body = b"".join(parts)
    if len(body) > MAX_BODY:
        msg = f"{message.name} of {len(body)} octets, at most {MAX_BODY} fit"
        raise LocalProtocolError(msg)
    return body


def _missing(row: MessageRow, values: Mapping[AnyAvp, Any]) -> str:
    return f"{row.name} without {', '.join(sorted(str(avp) for avp in row.need - values.keys()))}"


def _append_plain(parts: list[bytes], values: Mapping[AnyAvp, Any], column: int) -> None:
    pack_header = HEADER.pack
    for avp, value in values.items():
        if avp.repeats:
            for one in _single_values(avp, value):
                octets = encode_value(avp, one)
                parts += (pack_header(avp.heads[column] + len(octets), avp.key), octets)
        elif avp is not MESSAGE_TYPE:
            octets = encode_value(avp, value)
            parts += (pack_header(avp.heads[column] + len(octets), avp.key), octets)


def _append_hidden(parts: list[bytes], values: Mapping[AnyAvp, Any], hider: _Hider) -> None:
    for avp, value in values.items():
        if avp is MESSAGE_TYPE:
            continue
        for one in _single_values(avp, value) if avp.repeats else (value,):
            octets = encode_value(avp, one)
            if avp.hideable:
                hider.append(parts, avp, octets)
            else:
                parts.append(hider.plain(avp, octets))


def _single_values(avp: AnyAvp, value: Iterable[Any]) -> list[Any]:
    try:
        return [(one,) for one in value]
    except TypeError as error:
        msg = f"{avp} needs a tuple of values, one for each AVP"
        raise LocalProtocolError(msg) from error


def _append_raw(parts: list[bytes], extra: Iterable[RawAvp]) -> None:
    for raw in extra:
        if raw.hidden:
            msg = f"vendor {raw.vendor} attribute {raw.number} is hidden and cannot be passed on"
            raise LocalProtocolError(msg)
        parts.append(raw.pack())


@attrs.define(eq=False)
class _Hider:
    """Hides AVPs of one message, each attribute number at most once under one Random Vector.

    The key stream depends on number, secret and vector alone (RFC 2661 4.3): a second value under all three the same
    would give away the exclusive-or of both.
    """

    secret: bytes
    random: Callable[[int], bytes] | None
    vocabulary: Vocabulary
    vector: bytes = b""
    used: set[int] = attrs.Factory(set)

    def plain(self, avp: AnyAvp, octets: bytes) -> bytes:
        """Give one AVP that is not hidden."""
        return pack(avp.heads[self.vocabulary.column] - HEADER_SIZE, avp.key, octets)

    def append(self, parts: list[bytes], avp: AnyAvp, octets: bytes) -> None:
        """Add one hidden AVP, and a Random Vector before it where one is needed.

        The value is padded to whole blocks.
        """
        if not self.secret or self.random is None:
            msg = "hiding needs a shared secret and a random source"
            raise LocalProtocolError(msg)
        if not self.vector or avp.number in self.used:
            self.vector = self.random(VECTOR_SIZE)
            self.used.clear()
            parts.append(self.plain(RANDOM_VECTOR, self.vector))
        self.used.add(avp.number)
        padding = min(-(2 + len(octets)) % VECTOR_SIZE, max(0, MAX_VALUE - 2 - len(octets)))
        key = self.vocabulary.hiding_key(self.secret)
        hidden = hide_value(avp.number, octets, key, self.vector, self.random(padding))
        parts.append(pack(avp.heads[self.vocabulary.column] - HEADER_SIZE | HIDDEN, avp.key, hidden))


decode3: Final = partial(decode, vocabulary=V3)
encode3: Final = partial(encode, vocabulary=V3)
