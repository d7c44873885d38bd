"""Microsoft Point-to-Point Encryption: from a proof by MS-CHAPv2 to keys, and from packets to encrypted packets (RFC 3078, RFC 3079). Pure.

Theory of operation. MS-CHAPv2 leaves both ends with a start key for each direction. CCP agrees on a length and a mode for each direction; from then on a
`Sender` and a `Receiver` change the session key as they count packets: statelessly for every packet, else for every 256th.

RC4 under keys that a password yields, without any check of integrity: this hides packets from who merely looks on, and is no match for IPsec. A packet that
was tampered with decrypts to something else, and one with a wrong count moves the receiver's key away; nobody who can do that is kept out.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

import attrs
from Crypto.Cipher import ARC4
from Crypto.Hash import MD4

from l2tpd.errors import Malformed
from l2tpd.ppp.mschap import nt_password_hash

GROWTH: Final = 4  # octets: a count, and a protocol field inside that is never compressed
START_KEY: Final = 16  # octets

_LENGTHS: Final = {40: 8, 56: 8, 128: 16}  # octets of a session key by its strength in bits
_WEAKENED: Final = {40: b"\xd1\x26\x9e", 56: b"\xd1", 128: b""}  # what its first octets are set to (RFC 3078 7.3)
STRENGTHS: Final = frozenset(_LENGTHS)

# RFC 3079 3.4
_MASTER: Final = b"This is the MPPE Master Key"
_FROM_CLIENT: Final = b"On the client side, this is the send key; on the server side, it is the receive key."
_FROM_SERVER: Final = b"On the client side, this is the receive key; on the server side, it is the send key."
_PAD1: Final = bytes(40)
_PAD2: Final = b"\xf2" * 40

# RFC 3078 3: the bits A and D, and the coherency count below them
_FLUSHED, _ENCRYPTED = 0x8000, 0x1000
_COUNTS: Final = 0x1000
_FLAG: Final = 0xFF  # the low octet of the count in a "flag" packet (7.2)
_COUNT: Final = struct.Struct("!H")

_LATE: Final = 256  # packets; what is further behind is taken for what is ahead
_CATCHING_UP: Final = 4096  # changes of the key that packets may ask for at once, and in a second


@attrs.frozen(kw_only=True)
class Keys:
    """The start keys of one end, of 16 octets each, and what whoever gave them says of their use."""

    send: bytes = attrs.field(repr=False)
    receive: bytes = attrs.field(repr=False)
    strengths: frozenset[int] = STRENGTHS  # in bits, that may be used
    required: bool = False  # no packet may pass unencrypted


def mschapv2_keys(password: str, nt_response: bytes, *, server: bool) -> Keys:
    """Return the start keys of the authenticator (`server`) or of its peer; `nt_response` is the 24 octets that proved the password (RFC 3079 3)."""
    hash_hash = MD4.new(nt_password_hash(password)).digest()  # noqa: S303 - prescribed
    master = hashlib.sha1(hash_hash + nt_response + _MASTER).digest()[:16]
    from_client, from_server = (_start_key(master, text) for text in (_FROM_CLIENT, _FROM_SERVER))
    return Keys(send=from_server, receive=from_client) if server else Keys(send=from_client, receive=from_server)


def _start_key(master: bytes, text: bytes) -> bytes:
    return hashlib.sha1(master + _PAD1 + text + _PAD2).digest()[:START_KEY]


class SessionKey:
    """The session key of one direction, which starts at the first one (RFC 3078 7.3, RFC 3079 3)."""

    def __init__(self, start: bytes, bits: int) -> None:
        """Begin with a start key of 16 octets and a strength of 40, 56 or 128 bits."""
        self._length, self._weakened = _LENGTHS[bits], _WEAKENED[bits]
        self._started = hashlib.sha1(start[: self._length] + _PAD1)
        self.octets = self._weaken(self._interim(start[: self._length]))

    def change(self) -> None:
        """Go on to the next one."""
        interim = self._interim(self.octets)
        self.octets = self._weaken(ARC4.new(interim).encrypt(interim))

    def table(self) -> ARC4.ARC4Cipher:
        """Return RC4 at its beginning under this key."""
        return ARC4.new(self.octets)

    def _interim(self, session: bytes) -> bytes:
        digest = self._started.copy()
        digest.update(session + _PAD2)
        return digest.digest()[: self._length]

    def _weaken(self, key: bytes) -> bytes:
        return self._weakened + key[len(self._weakened) :]


class Sender:
    """Encrypts packets."""

    def __init__(self, start: bytes, bits: int, *, stateless: bool) -> None:
        """Begin before the first packet."""
        self._key, self._stateless = SessionKey(start, bits), stateless
        self._count = _COUNTS - 1
        self._flush = False
        self._cipher = self._key.table()

    def seal(self, packet: bytes) -> bytes:
        """Return the information field of protocol 0x00FD for a packet, which begins with its protocol field of 2 octets."""
        self._count = (self._count + 1) % _COUNTS
        flushed = self._stateless or self._flush or self._count & 0xFF == _FLAG
        if flushed:
            self._key.change()
            self._cipher = self._key.table()
        self._flush = False
        head = _ENCRYPTED | self._count | (_FLUSHED if flushed else 0)
        return _COUNT.pack(head) + self._cipher.encrypt(packet)

    def reset(self) -> None:
        """Have the next packet begin with a fresh table: the peer asks for it (RFC 3078 8.2).

        Its key is changed as well, which the RFC does not say but Linux does: two texts under one key stream would lay each other open (9).
        """
        self._flush = True


class Receiver:
    """Decrypts packets."""

    def __init__(self, start: bytes, bits: int, *, stateless: bool) -> None:
        """Begin before the first packet."""
        self._key, self._stateless = SessionKey(start, bits), stateless
        self._count = _COUNTS - 1
        self._cipher = self._key.table()
        self.lost = False
        """A packet was lost, and what comes cannot be read until the peer begins afresh: it has to be asked."""
        self._allowance, self._since = float(_CATCHING_UP), 0.0

    def open(self, sealed: bytes, now: float) -> bytes | None:
        """Return the packet in an information field of protocol 0x00FD, from its protocol field on; None: it cannot be read. Raises `Malformed`."""
        if len(sealed) <= _COUNT.size:
            raise Malformed("an encrypted packet without any content")
        (head,) = _COUNT.unpack_from(sealed)
        count, flushed = head % _COUNTS, bool(head & _FLUSHED)
        if not head & _ENCRYPTED or (not flushed and (self._stateless or count & 0xFF == _FLAG)):
            raise Malformed("an encrypted packet without the bits that it must have")
        keep = self._stateless_step(count, now) if self._stateless else self._stateful_step(count, flushed=flushed)
        return self._cipher.decrypt(sealed[_COUNT.size :]) if keep else None

    def _stateless_step(self, count: int, now: float) -> bool:
        """Change the key once for each packet since the last one (RFC 3078 8.1); tell whether the packet can be read: a late one cannot."""
        steps = (count - self._count) % _COUNTS
        if not 0 < steps <= _COUNTS - _LATE or not self._allowed(steps, now):
            return False
        for _ in range(steps):
            self._key.change()
        self._count, self._cipher = count, self._key.table()
        return True

    def _allowed(self, steps: int, now: float) -> bool:
        """Tell whether the key may be changed so often: two octets of a packet could keep us at it for ten milliseconds."""
        self._allowance = min(_CATCHING_UP, self._allowance + (now - self._since) * _CATCHING_UP)
        self._since = now
        if steps > 1 and steps > self._allowance:
            return False
        self._allowance -= steps - 1
        return True

    def _stateful_step(self, count: int, *, flushed: bool) -> bool:
        """Follow the count (RFC 3078 8.2); after a loss only a packet with a fresh table can be read."""
        if not self.lost:
            self._count = (self._count + 1) % _COUNTS
            self.lost = count != self._count
        elif flushed:
            for _ in range((count >> 8) - (self._count >> 8) & 0x0F):
                self._key.change()  # one for each "flag" packet that was lost
            self._count, self.lost = count, False
        if not self.lost and flushed:
            self._key.change()
            self._cipher = self._key.table()
        return not self.lost
