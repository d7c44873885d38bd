"""L2TPv3 control messages over UDP for the load generator, beside those of version 2 in `packets` (RFC 3931).

Written from the RFC alone and without a line of `l2tpd`. `Version3` answers to the same names as the module `packets`, so that the
engine and the LACs speak either. Of our control connection ids the upper half is zero.
"""

import hashlib
import hmac
import os

from bench import packets
from bench.packets import HEADER, HEADER_LENGTH, SEQUENCE, U16, U32, MalformedError, avp, u16_avp, u32_avp

ACK = 20  # RFC 3931 3.1

# RFC 3931 5.4
MESSAGE_DIGEST, ROUTER_ID, ASSIGNED_CONNECTION_ID, PSEUDOWIRES = 59, 60, 61, 62
LOCAL_SESSION_ID, REMOTE_SESSION_ID, REMOTE_END_ID, PSEUDOWIRE, CIRCUIT_STATUS, NONCE = 63, 64, 66, 68, 71, 73

# RFC 3931 6.2, 6.4, 6.7, 6.12
REQUIRED = {
    packets.SCCRP: (packets.HOST_NAME, ROUTER_ID, ASSIGNED_CONNECTION_ID, PSEUDOWIRES),
    packets.STOPCCN: (packets.RESULT_CODE,),
    packets.ICRP: (LOCAL_SESSION_ID, REMOTE_SESSION_ID, CIRCUIT_STATUS),
    packets.CDN: (packets.RESULT_CODE, LOCAL_SESSION_ID, REMOTE_SESSION_ID),
}

ETHERNET = 5  # IANA, L2TPv3 Pseudowire Types
ACTIVE_AND_NEW = 3  # RFC 3931 5.4.5
NONCE_LENGTH = 16

TYPE_END = HEADER_LENGTH + 8  # of the Message Type; the digest follows it (RFC 3931 5.4.1)
DIGEST_OFFSET = TYPE_END + 7
DIGEST_LENGTH = 16
NO_DIGEST = bytes(DIGEST_LENGTH)
_BLANK_DIGEST = avp(MESSAGE_DIGEST, b"\0" + NO_DIGEST)  # HMAC-MD5


class Signer:
    """What signs the messages of one control connection and verifies the peer's (RFC 3931 5.4.1)."""

    __slots__ = ("_key", "_ours", "_theirs", "nonce")

    def __init__(self, secret: bytes) -> None:
        """Choose a nonce."""
        shared = hmac.digest(secret, b"\2", "md5")
        self._key = hmac.new(shared, b"", hashlib.md5)
        self.nonce = os.urandom(NONCE_LENGTH)
        self._ours = self._theirs = self._key

    def meet(self, nonce: bytes) -> None:
        """Learn the peer's nonce."""
        self._ours, self._theirs = self._key.copy(), self._key.copy()
        self._ours.update(self.nonce + nonce)
        self._theirs.update(nonce + self.nonce)

    def seal(self, packet: bytearray) -> bytearray:
        """Write the digest into a message, where there is room for it."""
        packet[DIGEST_OFFSET : DIGEST_OFFSET + DIGEST_LENGTH] = NO_DIGEST
        packet[DIGEST_OFFSET : DIGEST_OFFSET + DIGEST_LENGTH] = _digest(self._ours, packet)
        return packet

    def believes(self, data: bytes) -> bool:
        """Tell whether a message carries the right digest; an SCCRP brings the nonce that it needs."""
        if data[TYPE_END:DIGEST_OFFSET] != _BLANK_DIGEST[:7]:
            return False
        if packets.message_type(data) == packets.SCCRP:
            self.meet(packets.avps(data, packets.SCCRP, REQUIRED).get(NONCE, b""))
        blank = data[:DIGEST_OFFSET] + NO_DIGEST + data[DIGEST_OFFSET + DIGEST_LENGTH :]
        return hmac.compare_digest(_digest(self._theirs, blank), data[DIGEST_OFFSET : DIGEST_OFFSET + DIGEST_LENGTH])


def _digest(key: hmac.HMAC, message: bytes | bytearray) -> bytes:
    signing = key.copy()
    signing.update(message)
    return signing.digest()


class Version3:
    """The messages of version 3, with room for a digest where they are `signed`."""

    CONTROL = 0xC803  # RFC 3931 3.2.1: T, L and S set, Ver 3

    def __init__(self, *, signed: bool) -> None:
        """Prepare the templates."""
        self._digest = _BLANK_DIGEST if signed else b""
        self._id = TYPE_END + len(self._digest) + 6  # value of the first AVP after the digest
        self._host = self._id + 4 + 6
        ids = u32_avp(LOCAL_SESSION_ID, 0) + u32_avp(REMOTE_SESSION_ID, 0)
        status = u16_avp(CIRCUIT_STATUS, ACTIVE_AND_NEW)
        self._sccrq = self._message(
            packets.SCCRQ,
            u32_avp(ASSIGNED_CONNECTION_ID, 0),
            avp(packets.HOST_NAME, b"0" * packets.HOST_DIGITS + b"-storm-lac"),
            u32_avp(ROUTER_ID, 1),
            u16_avp(PSEUDOWIRES, ETHERNET),
            avp(packets.VENDOR_NAME, b"storm", mandatory=False),
            u16_avp(packets.RECEIVE_WINDOW_SIZE, packets.WINDOW),
        )
        self._scccn = self._message(packets.SCCCN)
        ended = avp(packets.RESULT_CODE, SEQUENCE.pack(1, 0))
        self._stopccn = self._message(packets.STOPCCN, u32_avp(ASSIGNED_CONNECTION_ID, 0), ended)
        self._hello = self._message(packets.HELLO)
        call = (u32_avp(packets.CALL_SERIAL_NUMBER, 0), u16_avp(PSEUDOWIRE, ETHERNET), avp(REMOTE_END_ID, b"storm"))
        self._icrq = self._message(packets.ICRQ, ids, *call, status)
        self._iccn = self._message(packets.ICCN, ids)
        self._cdn = self._message(packets.CDN, ids, avp(packets.RESULT_CODE, SEQUENCE.pack(3, 0)))
        self._ack = self._message(ACK)

    def _message(self, kind: int, *avps: bytes) -> bytes:
        body = avp(packets.MESSAGE_TYPE, U16.pack(kind)) + self._digest + b"".join(avps)
        return HEADER.pack(self.CONTROL, HEADER_LENGTH + len(body), 0, 0, 0, 0) + body

    # What we say

    def sccrq(self, tunnel: int, index: int, nonce: bytes = b"") -> bytearray:
        """Build the SCCRQ of LAC number `index` that assigns `tunnel`."""
        packet = bytearray(self._sccrq + (avp(NONCE, nonce) if nonce else b""))
        U16.pack_into(packet, 2, len(packet))
        U32.pack_into(packet, self._id, tunnel)
        packet[self._host : self._host + packets.HOST_DIGITS] = b"%07d" % index
        return packet

    def scccn(self, peer: int, answer: bytes = b"") -> bytearray:
        """Build the SCCCN to `peer`; it answers no challenge."""
        return self._to(peer, self._scccn)

    def stopccn(self, peer: int, tunnel: int) -> bytearray:
        """Build the StopCCN to `peer` for our `tunnel`: result 1, general request to clear."""
        packet = self._to(peer, self._stopccn)
        U32.pack_into(packet, self._id, tunnel)
        return packet

    def hello(self, peer: int) -> bytearray:
        """Build a HELLO to `peer`."""
        return self._to(peer, self._hello)

    def icrq(self, peer: int, session: int, serial: int) -> bytearray:
        """Build the ICRQ to `peer` that assigns `session`."""
        packet = self._of_call(peer, self._icrq, session, 0)
        U32.pack_into(packet, self._id + 20, serial & 0xFFFFFFFF)
        return packet

    def iccn(self, peer: int, peer_session: int, session: int) -> bytearray:
        """Build the ICCN of a call."""
        return self._of_call(peer, self._iccn, session, peer_session)

    def cdn(self, peer: int, peer_session: int, session: int) -> bytearray:
        """Build a CDN for our `session`: result 3, administrative reasons."""
        return self._of_call(peer, self._cdn, session, peer_session)

    def zlb(self, peer: int, ns: int, nr: int) -> bytearray:
        """Build the ACK that takes the place of the Zero-Length Body message (RFC 3931 4.2)."""
        packet = self._to(peer, self._ack)
        packets.stamp(packet, ns, nr)
        return packet

    def _of_call(self, peer: int, template: bytes, session: int, peer_session: int) -> bytearray:
        packet = self._to(peer, template)
        U32.pack_into(packet, self._id, session)
        U32.pack_into(packet, self._id + 10, peer_session)
        return packet

    def _to(self, peer: int, template: bytes) -> bytearray:
        packet = bytearray(template)
        U32.pack_into(packet, 4, peer)
        return packet

    # What we hear

    def ids(self, high: int, low: int) -> tuple[int, int]:
        """Return control connection and session id of a header."""
        return high << 16 | low, 0

    def only_acknowledges(self, data: bytes) -> bool:
        """Tell whether a message is an ACK or has no body."""
        return len(data) == HEADER_LENGTH or packets.message_type(data) == ACK

    def avps(self, data: bytes, kind: int) -> dict[int, bytes]:
        """Read the IETF AVPs of message `kind`; raises `MalformedError`."""
        return packets.avps(data, kind, REQUIRED)

    def tunnel_of(self, found: dict[int, bytes]) -> int:
        """Read the id that the peer has assigned to a control connection; raises `MalformedError`."""
        return u32(found.get(ASSIGNED_CONNECTION_ID, bytes(4)))

    def session_of(self, found: dict[int, bytes]) -> int:
        """Read the id that the peer has assigned to a session; raises `MalformedError`."""
        return u32(found[LOCAL_SESSION_ID])

    def our_session(self, found: dict[int, bytes], addressed: int) -> int:
        """Tell which of our sessions a message is about; raises `MalformedError`."""
        return u32(found[REMOTE_SESSION_ID])


def u32(value: bytes) -> int:
    """Read a 32 bit value; raises `MalformedError` when it has another length."""
    if len(value) != 4:
        raise MalformedError("32 bit value of another length")
    return int.from_bytes(value, "big")
