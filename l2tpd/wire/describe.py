"""Messages as text for logs, captures and `l2tpctl decode`.

Everything that a peer wrote goes through `printable`, so that no name can forge a log line or steer a terminal.
Secrets (challenge responses, proxied passwords) and octets of unknown meaning are shown by their length alone. What came
hidden is shown where the secret is known, unless it is to be concealed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from l2tpd.errors import Malformed
from l2tpd.wire.avp import (
    BEARER_CAPABILITIES,
    BEARER_TYPE,
    CIRCUIT_STATUS,
    DATA_SEQUENCING,
    FRAMING_CAPABILITIES,
    FRAMING_TYPE,
    HEADER,
    HEADER_SIZE,
    HIDDEN,
    L2_SPECIFIC_SUBLAYER,
    LENGTH,
    MESSAGE_TYPE,
    PROTOCOL_VERSION,
    PROXY_AUTHEN_TYPE,
    PSEUDOWIRE_CAPABILITIES,
    PSEUDOWIRE_TYPE,
    RESULT_CODE,
)
from l2tpd.wire.header import parse_control, parse_control3, parse_data, peek
from l2tpd.wire.messages import FALLBACK, V3, Message, Vocabulary, decode
from l2tpd.wire.numbers import (
    Bearer,
    CallResult,
    CircuitStatus,
    ErrorCode,
    Framing,
    MessageType,
    ProxyAuthenType,
    PseudowireType,
    SequencingLevel,
    StopResult,
    SublayerType,
    name_of,
)

if TYPE_CHECKING:
    import enum
    from collections.abc import Iterator

    from l2tpd.wire.avp import RawAvp
    from l2tpd.wire.table import AnyAvp
    from l2tpd.wire.values import ResultCode

_MAX_TEXT: Final = 128
"""Characters of one value in a summary; the dump shows all of it."""

_SURROGATE: Final = range(0xDC80, 0xDD00)
_FLAGS: Final[dict[AnyAvp, type[enum.IntFlag]]] = {
    FRAMING_CAPABILITIES: Framing,
    FRAMING_TYPE: Framing,
    BEARER_CAPABILITIES: Bearer,
    BEARER_TYPE: Bearer,
    CIRCUIT_STATUS: CircuitStatus,
}
_NAMES: Final[dict[AnyAvp, type[enum.IntEnum]]] = {
    PROXY_AUTHEN_TYPE: ProxyAuthenType,
    PSEUDOWIRE_TYPE: PseudowireType,
    L2_SPECIFIC_SUBLAYER: SublayerType,
    DATA_SEQUENCING: SequencingLevel,
}
_OVER_IP: Final = bytes(4)
"""What stands before a control message over IP (RFC 3931 4.1.1.2); no other datagram begins so."""

_NONE: Final[frozenset[int]] = frozenset()


def printable(text: str) -> str:
    """Neutralise what may harm a log or a terminal: controls, escapes, line ends, direction marks, lone surrogates.

    Octets that were no UTF-8 appear as backslash, x and two digits. A backslash doubles, so that the result is
    unambiguous.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    code = ord(character)
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    if code in _SURROGATE:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def summary(message: Message) -> str:
    """Give one line: the type, each AVP with its value, and the fault if there is one."""
    parts = [f"{name}={_shorten(value)}" for name, value in _lines(message)]
    line = " ".join([message.name, *parts])
    return f"{line} FAULT={message.fault.text!r}" if message.fault else line


def dump(message: Message, *, concealed: frozenset[int] = _NONE) -> str:
    """Give the type, then one indented line for each AVP, each ignored defect and the fault; no value of what is `concealed`, by key."""
    lines = [f"{message.name} ({message.type})"]
    lines += [f"  {name}: {value}" for name, value in _lines(message, concealed)]
    lines += [f"  note: {note}" for note in message.notes]
    if message.fault:
        lines.append(f"  fault: {message.fault.text} (error {int(message.fault.error)})")
    return "\n".join(lines)


def datagram(octets: bytes, secret: bytes = b"", *, conceal: bool = False) -> str:
    """Describe any datagram in one or more lines; whatever the octets are, a text comes back.

    With `conceal` what the `secret` unhides serves to judge the message, and is not shown.
    """
    try:
        octets = octets.removeprefix(_OVER_IP)
        seen = peek(octets)
        if seen.version not in {2, 3}:
            return f"L2TP version {seen.version}, {len(octets)} octets, not decoded"
        if not seen.control:
            return _payload(octets) if seen.version == 2 else _payload3(seen.session_id, octets)
        return (_control if seen.version == 2 else _control3)(octets, secret, conceal=conceal)
    except Malformed as error:
        return f"malformed ({error}), {len(octets)} octets"


def _control(octets: bytes, secret: bytes, *, conceal: bool) -> str:
    header, body = parse_control(octets)
    line = f"control tunnel={header.tunnel_id} session={header.session_id} ns={header.ns} nr={header.nr}"
    return f"{line} {_body(body, secret, FALLBACK, conceal=conceal)}"


def _control3(octets: bytes, secret: bytes, *, conceal: bool) -> str:
    header, body = parse_control3(octets)
    line = f"control connection={header.tunnel_id} ns={header.ns} nr={header.nr}"
    return f"{line} {_body(body, secret, V3, conceal=conceal)}"


def _body(body: bytes, secret: bytes, vocabulary: Vocabulary, *, conceal: bool) -> str:
    if not body:
        return "ZLB"
    try:
        message = decode(body, secret=secret, vocabulary=vocabulary)
    except Malformed as error:
        return f"malformed ({error})"
    return dump(message, concealed=_hidden(body) if conceal else _NONE)


def _hidden(body: bytes) -> frozenset[int]:
    """Return the keys of the AVPs that came hidden; a body that is cut short is read as far as it goes."""
    keys, position = set(), 0
    while len(body) - position >= HEADER_SIZE:
        head, key = HEADER.unpack_from(body, position)
        position += max(head & LENGTH, HEADER_SIZE)
        if head & HIDDEN:
            keys.add(key)
    return frozenset(keys)


def _payload3(session_id: int, octets: bytes) -> str:
    # How long the cookie is and whether a sublayer follows only the session knows (RFC 3931 4.1).
    return f"data session={session_id} {max(0, len(octets) - 8)} octets with cookie and sublayer"


def _payload(octets: bytes) -> str:
    header, payload = parse_data(octets)
    sequence = "" if header.ns is None else f" ns={header.ns} nr={header.nr}"
    priority = " priority" if header.priority else ""
    return f"data tunnel={header.tunnel_id} session={header.session_id}{sequence}{priority} {len(payload)} octets"


def _lines(message: Message, concealed: frozenset[int] = _NONE) -> Iterator[tuple[str, str]]:
    for avp, value in message.values.items():
        if avp is MESSAGE_TYPE:
            continue
        if avp.key in concealed:
            yield avp.name, "<hidden>"
        elif avp.sensitive:
            sizes = map(len, value) if avp.repeats else (len(value),)
            yield avp.name, ", ".join(f"<{size} octets>" for size in sizes)
        else:
            yield avp.name, _value(message, avp, value)
    for raw in message.extra:
        yield _raw(raw)


def _raw(raw: RawAvp) -> tuple[str, str]:
    bits = ("M" if raw.mandatory else "") + ("H" if raw.hidden else "") + (f"r{raw.reserved:x}" if raw.reserved else "")
    name = f"AVP {raw.vendor}/{raw.number}" + (f" [{bits}]" if bits else "")
    return name, f"<{len(raw.value)} octets>"


def _value(message: Message, avp: AnyAvp, value: Any) -> str:
    if avp is RESULT_CODE:
        return _result(message, value)
    if avp is PROTOCOL_VERSION:
        return f"{value[0]}.{value[1]}"
    if avp is PSEUDOWIRE_CAPABILITIES:
        return ", ".join(name_of(PseudowireType, kind) for kind in value)
    names = _NAMES.get(avp)
    if names is not None:
        return name_of(names, value)
    flags = _FLAGS.get(avp)
    return _plain(value) if flags is None else _bits(flags, value)


def _bits(flags: type[enum.IntFlag], value: int) -> str:
    names = [str(flag.name).lower() for flag in flags if value & flag]
    return f"0x{value:x}" + (f" ({', '.join(names)})" if names else "")


def _result(message: Message, value: ResultCode) -> str:
    results = StopResult if message.type == MessageType.STOPCCN else CallResult
    text = f"{value.result} {name_of(results, value.result)}"
    if value.error is not None:
        text += f", error {value.error} {name_of(ErrorCode, value.error)}"
    return f"{text}, {_quoted(value.message)}" if value.message else text


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bytes):
        return value.hex() or "(empty)"
    if isinstance(value, tuple):
        return ", ".join(_plain(one) for one in value)
    if attrs.has(type(value)):
        return " ".join(f"{field.name}={_plain(getattr(value, field.name))}" for field in attrs.fields(type(value)))
    return str(value)


def _quoted(text: str) -> str:
    # An unescaped quote would let a name pose as the next field of the line.
    return '"' + printable(text).replace('"', '\\"') + '"'


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}...({len(text)})"
