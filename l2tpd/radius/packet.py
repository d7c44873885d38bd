"""Packets of RADIUS as octets: written, read, signed and believed (RFC 2865 3, RFC 2866 3, RFC 5176 2.3, RFC 2869 5.14).

The one place that knows pyrad, which splits and joins attributes and does the sums. What is random is passed in. Whatever a network may send,
`decode` and the checks raise `Malformed` and nothing else.
"""

from __future__ import annotations

import hmac
from hashlib import md5
from operator import xor
from typing import Final

import attrs
from pyrad.dictionary import Dictionary
from pyrad.packet import AcctPacket, AuthPacket, PacketError
from pyrad.packet import Packet as RawPacket

from l2tpd.errors import LocalProtocolError, Malformed
from l2tpd.radius.attributes import (
    MESSAGE_AUTHENTICATOR,
    MS_MPPE_RECV_KEY,
    MS_MPPE_SEND_KEY,
    PROXY_STATE,
    Attributes,
)
from l2tpd.radius.numbers import Code

HEAD: Final = 20  # octets
LARGEST: Final = 4096  # octets (RFC 2865 3)
PASSWORD_LIMIT: Final = 128  # octets (RFC 2865 5.2)
ANSWERS: Final = {
    Code.ACCESS_REQUEST: frozenset({Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE}),
    Code.ACCOUNTING_REQUEST: frozenset({Code.ACCOUNTING_RESPONSE}),
    Code.DISCONNECT_REQUEST: frozenset({Code.DISCONNECT_ACK, Code.DISCONNECT_NAK}),
    Code.COA_REQUEST: frozenset({Code.COA_ACK, Code.COA_NAK}),
}
"""What a request may be answered with."""

_NO_NAMES: Final = Dictionary()  # vendors' attributes are split only with a dictionary, be it an empty one
_SIGNATURE: Final = MESSAGE_AUTHENTICATOR.key
_HIDDEN: Final = (MS_MPPE_SEND_KEY.key, MS_MPPE_RECV_KEY.key)


@attrs.frozen(kw_only=True)
class Packet:
    """A packet as it was received; `octets` are those of the packet, without padding."""

    code: int
    identifier: int
    authenticator: bytes
    attributes: Attributes
    octets: bytes = attrs.field(repr=False)
    keys: Attributes = attrs.field(factory=dict, repr=False)
    """Of the answer to an Access-Request: the values of its MS-MPPE keys in clear."""

    @property
    def signed(self) -> bool:
        """Whether it has a Message-Authenticator."""
        return _SIGNATURE in self.attributes


def decode(data: bytes) -> Packet:
    """Read a packet, whoever sent it. Raises `Malformed`."""
    try:
        raw = RawPacket(id=0, packet=data, dict=_NO_NAMES)
    except PacketError as error:
        raise Malformed(str(error)) from None
    octets = raw.raw_packet
    if len(octets) > LARGEST:
        raise Malformed(f"a packet of {len(octets)} octets")
    _check_lengths(octets)
    attributes = {key: tuple(values) for key, values in raw.items()}
    return Packet(
        code=raw.code, identifier=raw.id, authenticator=raw.authenticator, attributes=attributes, octets=octets
    )


def encode_access(
    identifier: int, authenticator: bytes, attributes: Attributes, secret: bytes, password: bytes | None = None
) -> bytes:
    """Write an Access-Request, with a Message-Authenticator; a `password` is hidden in it. Raises `LocalProtocolError`."""
    raw = AuthPacket(id=identifier, secret=secret, authenticator=authenticator, dict=_NO_NAMES)
    raw.add_message_authenticator()  # the first of all, as a server that guards against CVE-2024-3596 likes it
    _fill(raw, attributes)
    if password is not None:
        if len(password) > PASSWORD_LIMIT:
            raise LocalProtocolError("a password of more than 128 octets (RFC 2865 5.2)")
        raw[2] = [raw.PwCrypt(password)]
    return _fitting(raw.RequestPacket())


def encode_signed(code: Code, identifier: int, attributes: Attributes, secret: bytes) -> bytes:
    """Write a request that is signed by its authenticator: of accounting, or of dynamic authorization. Raises `LocalProtocolError`."""
    raw = AcctPacket(code=code, id=identifier, secret=secret, dict=_NO_NAMES)
    if _SIGNATURE in attributes:
        raw.add_message_authenticator()
    _fill(raw, attributes)
    return _fitting(raw.RequestPacket())


def encode_answer(code: Code, request: Packet, attributes: Attributes, secret: bytes, *, sign: bool) -> bytes:
    """Write the answer to a request, with the Proxy-States of the request (RFC 2865 5.33)."""
    raw = RawPacket(
        code=code, id=request.identifier, secret=secret, authenticator=request.authenticator, dict=_NO_NAMES
    )
    if sign:
        raw.add_message_authenticator()
    _fill(raw, attributes)
    if PROXY_STATE.key in request.attributes:
        raw[PROXY_STATE.key] = list(request.attributes[PROXY_STATE.key])
    return _fitting(raw.ReplyPacket())


def check_answer(request: bytes, data: bytes, secret: bytes, *, require_signature: bool) -> Packet:
    """Read the answer to a request of ours and make sure that it comes from who knows the secret. Raises `Malformed`.

    A signature is asked for of answers to Access-Requests alone: the others cannot be forged by way of MD5's collisions (CVE-2024-3596).
    """
    asked, answer = decode(request), decode(data)
    if answer.code not in ANSWERS.get(Code(asked.code), frozenset()) or answer.identifier != asked.identifier:
        raise Malformed(f"code {answer.code} is no answer to code {asked.code}")
    octets = answer.octets
    right = md5(octets[:4] + asked.authenticator + octets[HEAD:] + secret).digest()
    if not hmac.compare_digest(right, answer.authenticator):
        raise Malformed("a wrong Response Authenticator: is the secret the same at both ends?")
    if answer.signed:
        _check_signature(octets, asked.authenticator, secret)
    elif require_signature and asked.code == Code.ACCESS_REQUEST:
        raise Malformed("no Message-Authenticator")
    if asked.code == Code.ACCESS_REQUEST and PROXY_STATE.key in answer.attributes:
        raise Malformed("a Proxy-State that was not sent")  # the very sign of that attack
    hidden = {key: answer.attributes[key] for key in _HIDDEN if key in answer.attributes}
    keys = {key: (_reveal(values[0], asked.authenticator, secret),) for key, values in hidden.items()}
    return attrs.evolve(answer, keys=keys)


def _reveal(value: bytes, authenticator: bytes, secret: bytes) -> bytes:
    """Return the key in an attribute of RFC 2548 2.4.2, nothing where there is none in it."""
    hidden, clear = value[2:], b""
    before = authenticator + value[:2]
    for at in range(0, len(hidden) - 15, 16):
        pad = md5(secret + before).digest()
        before = hidden[at : at + 16]
        clear += bytes(map(xor, before, pad))
    return clear[1 : clear[0] + 1] if clear and clear[0] < len(clear) else b""


def check_request(data: bytes, secret: bytes, *, require_signature: bool) -> Packet:
    """Read a request that is signed by its authenticator (RFC 5176 2.3, RFC 2866 3). Raises `Malformed`."""
    request = decode(data)
    octets = request.octets
    right = md5(octets[:4] + bytes(16) + octets[HEAD:] + secret).digest()
    if not hmac.compare_digest(right, request.authenticator):
        raise Malformed("a wrong Request Authenticator")
    if request.signed:
        _check_signature(octets, bytes(16), secret)
    elif require_signature:
        raise Malformed("no Message-Authenticator")
    return request


def _check_signature(octets: bytes, authenticator: bytes, secret: bytes) -> None:
    """Compare the Message-Authenticator, which is computed with itself as zeros. Raises `Malformed`."""
    at = HEAD
    while octets[at] != _SIGNATURE:
        at += octets[at + 1]
    signature, end = octets[at + 2 : at + 18], at + octets[at + 1]
    if len(signature) != 16 or end != at + 18:
        raise Malformed("a Message-Authenticator of the wrong size")
    blank = octets[:4] + authenticator + octets[HEAD : at + 2] + bytes(16) + octets[end:]
    if not hmac.compare_digest(hmac.digest(secret, blank, "md5"), signature):
        raise Malformed("a wrong Message-Authenticator: is the secret the same at both ends?")


def _check_lengths(octets: bytes) -> None:
    """Make sure that the attributes fill the packet: pyrad takes a last one that ends behind it. Raises `Malformed`."""
    at = HEAD
    while at < len(octets):
        at += octets[at + 1]
    if at != len(octets):
        raise Malformed("an attribute runs over the end")


def _fill(raw: RawPacket, attributes: Attributes) -> None:
    for key, values in attributes.items():
        if key != _SIGNATURE:
            raw[key] = list(values)


def _fitting(octets: bytes) -> bytes:
    if len(octets) > LARGEST:
        raise LocalProtocolError(f"a packet of {len(octets)} octets (RFC 2865 3)")
    return octets
