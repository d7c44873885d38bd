"""tshark as the oracle for version 3: it reads the same values out of what we build, and agrees with our digests.

Every message type with every AVP that its row lists, in clear and hidden, over UDP and over IP; and for the digests whole set-ups,
because tshark remembers the nonces of a control connection.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from l2tpd.wire import avp as table
from l2tpd.wire.avp import EXTENDED_VENDOR_ID, KNOWN_3, MESSAGE_DIGEST, Avp
from l2tpd.wire.digest3 import Signer, sign
from l2tpd.wire.header import build_control3, parse_control3
from l2tpd.wire.messages import MESSAGES_3, V3, Message, decode3, encode3, message
from l2tpd.wire.numbers import DigestType, MessageType
from l2tpd.wire.values import CallErrors, ResultCode
from wire.oracle import (
    L2TP,
    UDP,
    Dissection,
    Packet,
    Reader,
    attribute,
    bit,
    complaints,
    dissect,
    number,
    octets,
    text,
)

SECRET = b"sesame"

SAMPLES: dict[Avp[Any], Any] = {
    table.RESULT_CODE: ResultCode(2, 6, "no more circuits"),
    table.TIE_BREAKER: 0x1122334455667788,
    table.HOST_NAME: "lcce1.example.net",
    table.VENDOR_NAME: "l2tpd",
    table.RECEIVE_WINDOW_SIZE: 128,
    table.CALL_SERIAL_NUMBER: 0x01020304,
    table.PHYSICAL_CHANNEL_ID: 0x0A0B0C0D,
    table.CALL_ERRORS: CallErrors(1, 2, 3, 4, 5, 6),
    table.ROUTER_ID: 0xC0000201,
    table.ASSIGNED_CONTROL_CONNECTION_ID: 0x01020304,
    table.PSEUDOWIRE_CAPABILITIES: (5, 4, 7),
    table.LOCAL_SESSION_ID: 0x0A0B0C0D,
    table.REMOTE_SESSION_ID: 0x11121314,
    table.ASSIGNED_COOKIE: bytes(range(8)),
    table.REMOTE_END_ID: "branch office",
    table.PSEUDOWIRE_TYPE: 5,
    table.L2_SPECIFIC_SUBLAYER: 1,
    table.DATA_SEQUENCING: 2,
    table.CIRCUIT_STATUS: 3,
    table.PREFERRED_LANGUAGE: "en",
    table.CONTROL_MESSAGE_NONCE: bytes(range(16)),
    table.TX_CONNECT_SPEED_BPS: 10**10,
    table.RX_CONNECT_SPEED_BPS: 10**9,
}

# What tshark calls each attribute's fields, and how it prints them.
FIELDS: dict[Avp[Any], dict[str, Reader]] = {
    table.RESULT_CODE: {
        "l2tp.result_code": attribute("result"),
        "l2tp.avp.error_code": attribute("error"),
        "l2tp.avp.error_message": lambda value: [value.message],
    },
    table.TIE_BREAKER: {"l2tp.tie_breaker": lambda value: [f"0x{value:016x}"]},
    table.HOST_NAME: {"l2tp.avp.host_name": text},
    table.VENDOR_NAME: {"l2tp.avp.vendor_name": text},
    table.RECEIVE_WINDOW_SIZE: {"l2tp.avp.receive_window_size": number},
    table.CALL_SERIAL_NUMBER: {"l2tp.avp.call_serial_number": number},
    table.PHYSICAL_CHANNEL_ID: {"l2tp.avp.physical_channel": number},
    table.CALL_ERRORS: {
        "l2tp.avp.crc_errors": attribute("crc_errors"),
        "l2tp.avp.alignment_errors": attribute("alignment_errors"),
    },
    table.ROUTER_ID: {"l2tp.avp.router_id": number},
    table.ASSIGNED_CONTROL_CONNECTION_ID: {"l2tp.avp.assigned_control_conn_id": number},
    table.PSEUDOWIRE_CAPABILITIES: {"l2tp.avp.pw_type": lambda value: [str(kind) for kind in value]},
    table.LOCAL_SESSION_ID: {"l2tp.avp.local_session_id": number},
    table.REMOTE_SESSION_ID: {"l2tp.avp.remote_session_id": number},
    table.ASSIGNED_COOKIE: {"l2tp.avp.assigned_cookie": octets},
    table.REMOTE_END_ID: {"l2tp.avp.remote_end_id": text},
    table.PSEUDOWIRE_TYPE: {"l2tp.avp.pseudowire_type": number},
    table.L2_SPECIFIC_SUBLAYER: {"l2tp.avp.layer2_specific_sublayer": number},
    table.DATA_SEQUENCING: {"l2tp.avp.data_sequencing": number},
    table.CIRCUIT_STATUS: {"l2tp.avp.circuit_status": bit(1), "l2tp.avp.circuit_type": bit(2)},
    table.PREFERRED_LANGUAGE: {"l2tp.avp.preferred_language": text},
    table.CONTROL_MESSAGE_NONCE: {"l2tp.avp.nonce": octets},
    table.TX_CONNECT_SPEED_BPS: {"l2tp.avp.tx_connect_speed_v3": number},
    table.RX_CONNECT_SPEED_BPS: {"l2tp.avp.rx_connect_speed_v3": number},
}
COMMON = [
    "_ws.malformed",
    "_ws.expert.severity",
    "_ws.expert.message",
    "l2tp.type",
    "l2tp.version",
    "l2tp.length",
    "l2tp.ccid",
    "l2tp.Ns",
    "l2tp.Nr",
    "l2tp.avp.message_type",
    "l2tp.avp.mandatory",
    "l2tp.avp.hidden",
    "l2tp.avp.length",
    "l2tp.avp.random_vector",
    "l2tp.incorrect_digest",
]


class Case(NamedTuple):
    """One control message that we built, with what went into it."""

    sent: Message
    hidden: bool
    protocol: int
    octets: bytes


def source(size: int) -> bytes:
    """Octets for Random Vectors and padding; the test needs the same ones in every run."""
    return hashlib.shake_128(b"source").digest(size)


def cases() -> list[Case]:
    """Every message type with every AVP of its row, in clear and hidden, over UDP and IP in turn."""
    made = []
    for index, row in enumerate(MESSAGES_3.values()):
        avps = sorted((row.need | row.may) - {MESSAGE_DIGEST, EXTENDED_VENDOR_ID}, key=lambda avp: avp.key)
        sent = message(row.type, {avp: SAMPLES[avp] for avp in avps}, vocabulary=V3)
        for hidden in (False, True):
            body = encode3(sent, secret=SECRET, hide=hidden, random=source)
            octets = build_control3(0x10000000 + index, index, 65535 - index, body)
            made.append(Case(sent, hidden, L2TP if index % 2 ^ hidden else UDP, octets))
    return made


CASES = cases()


@pytest.fixture(scope="module")
def dissections(tmp_path_factory: pytest.TempPathFactory) -> list[Dissection]:
    """What tshark makes of all cases, in order, by field."""
    packets = [Packet(bytes(4 if case.protocol == L2TP else 0) + case.octets, False, case.protocol) for case in CASES]
    fields = COMMON + [field for row in FIELDS.values() for field in row]
    return dissect(packets, fields, tmp_path_factory.mktemp("tshark3"))


@pytest.fixture(
    params=range(len(CASES)),
    ids=lambda i: f"{CASES[i].sent.name}-{'hidden' if CASES[i].hidden else 'clear'}-{CASES[i].protocol}",
)
def pair(request: pytest.FixtureRequest, dissections: list[Dissection]) -> tuple[Case, Dissection]:
    """One case and what tshark says of it."""
    index: int = request.param
    return CASES[index], dissections[index]


def test_every_attribute_of_every_message_is_shown_to_the_oracle() -> None:
    """The digest has a capture of its own, and tshark does not know the Extended Vendor ID."""
    listed = {avp for row in MESSAGES_3.values() for avp in row.need | row.may}
    assert listed - {MESSAGE_DIGEST, EXTENDED_VENDOR_ID} == set(SAMPLES) == set(FIELDS)
    assert set(MESSAGES_3) == {case.sent.type for case in CASES}
    assert {UDP, L2TP} == {case.protocol for case in CASES}


def test_no_complaint(pair: tuple[Case, Dissection]) -> None:
    """Nothing that we build is malformed or worth a warning."""
    assert [] == complaints(pair[1])


def test_header(pair: tuple[Case, Dissection]) -> None:
    """The id of 32 bits, Ns, Nr and Length are the ones that our parser reads; over IP they stand behind the zeros."""
    case, seen = pair
    header, _ = parse_control3(case.octets)
    assert (["1"], ["3"], [str(len(case.octets))]) == (seen["l2tp.type"], seen["l2tp.version"], seen["l2tp.length"])
    assert [f"0x{header.tunnel_id:08x}"] == seen["l2tp.ccid"]
    assert ([str(header.ns)], [str(header.nr)]) == (seen["l2tp.Ns"], seen["l2tp.Nr"])


def test_avp_headers(pair: tuple[Case, Dissection]) -> None:
    """M and H bits and lengths are the ones that stand in the octets."""
    case, seen = pair
    found = walk(parse_control3(case.octets)[1])
    assert [str(case.sent.type)] == seen["l2tp.avp.message_type"]
    assert [str(int(head >> 15)) for head in found] == seen["l2tp.avp.mandatory"]
    assert [str(int(head >> 14 & 1)) for head in found] == seen["l2tp.avp.hidden"]
    assert [str(head & 1023) for head in found] == seen["l2tp.avp.length"]
    hideable = any(avp.hideable for avp in case.sent.values)
    assert ([source(16).hex()] if case.hidden and hideable else None) == seen.get("l2tp.avp.random_vector")


def walk(body: bytes) -> list[int]:
    """The flags and length of each AVP, read without our decoder."""
    found = []
    while body:
        found.append(int.from_bytes(body[:2], "big"))
        body = body[found[-1] & 1023 :]
    return found


def test_values(pair: tuple[Case, Dissection]) -> None:
    """Each value in clear is printed by tshark as we mean it, and ours is the same."""
    case, seen = pair
    assert case.sent == decode3(parse_control3(case.octets)[1], secret=SECRET)
    for avp, value in case.sent.values.items():
        if not (case.hidden and avp.hideable):
            for field, reader in FIELDS.get(avp, {}).items():
                assert reader(value) == seen[field], field


Signing = Callable[[bytes, bytes, bytes], bytes]
NONCE_A, NONCE_B = bytes(range(16)), bytes(range(50, 73))
ID_A, ID_B = 0x0A0A0A0A, 0x0B0B0B0B


def set_up(signing: Signing, protocol: int) -> list[Packet]:
    """A asks, B replies, A confirms, B calls, A acknowledges and answers: signed by each with its own nonce first."""
    introduction: dict[Avp[Any], Any] = {
        table.HOST_NAME: "lcce",
        table.ROUTER_ID: 1,
        table.PSEUDOWIRE_CAPABILITIES: (5,),
    }
    a = {**introduction, table.ASSIGNED_CONTROL_CONNECTION_ID: ID_A, table.CONTROL_MESSAGE_NONCE: NONCE_A}
    b = {**introduction, table.ASSIGNED_CONTROL_CONNECTION_ID: ID_B, table.CONTROL_MESSAGE_NONCE: NONCE_B}
    session: dict[Avp[Any], Any] = {table.LOCAL_SESSION_ID: 5, table.REMOTE_SESSION_ID: 0, table.CIRCUIT_STATUS: 1}
    call = {**session, table.CALL_SERIAL_NUMBER: 1, table.PSEUDOWIRE_TYPE: 5, table.REMOTE_END_ID: "x"}
    dialogue: Sequence[tuple[bool, int, int, int, Message]] = (
        (False, 0, 0, 0, message(MessageType.SCCRQ, a)),
        (True, ID_A, 0, 1, message(MessageType.SCCRP, b)),
        (False, ID_B, 1, 1, message(MessageType.SCCCN)),
        (True, ID_A, 1, 2, message(MessageType.ICRQ, call)),
        (False, ID_B, 2, 2, message(MessageType.ACK)),
        (False, ID_B, 2, 2, message(MessageType.ICRP, {**session, table.REMOTE_SESSION_ID: 5})),
        (True, ID_A, 2, 3, message(MessageType.HELLO)),
    )
    packets = []
    for back, connection_id, ns, nr, said in dialogue:
        nonces = (NONCE_B, NONCE_A) if back else (NONCE_A, NONCE_B)
        octets = signing(build_control3(connection_id, ns, nr, encode3(said)), *nonces)
        packets.append(Packet(bytes(4 if protocol == L2TP else 0) + octets, back, protocol))
    return packets


@pytest.mark.parametrize("protocol", [UDP, L2TP])
@pytest.mark.parametrize("algorithm", list(DigestType))
def test_digests(algorithm: int, protocol: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With the secret tshark finds every digest of the set-up right."""
    signer = Signer.of(SECRET, algorithm)
    packets = set_up(lambda octets, *nonces: sign(octets, [signer], *nonces), protocol)
    folder = tmp_path_factory.mktemp("digests")
    seen = dissect(packets, [*COMMON, "l2tp.avp.message_digest"], folder, f"l2tp.shared_secret:{SECRET.decode()}")
    for packet, one in zip(packets, seen, strict=True):
        size = len(signer.digest(b""))
        start = (4 if protocol == L2TP else 0) + 26
        assert [packet.payload[start : start + 1 + size].hex()] == one["l2tp.avp.message_digest"]
        assert "l2tp.incorrect_digest" not in one
        assert [] == complaints(one)


def test_digests_of_integrity_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without a secret the digest of an SCCRQ is computed with an empty one."""
    packets = set_up(lambda octets, *_: sign(octets, [Signer.of(b"")]), UDP)[:1]
    (seen,) = dissect(packets, COMMON, tmp_path_factory.mktemp("integrity"))
    assert [] == complaints(seen)


@pytest.mark.parametrize("wrong", ["secret", "order", "octet"])
def test_the_oracle_notices(wrong: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Another secret, the nonces the wrong way round, one bit of the message: silence about the others means something."""

    def signing(octets: bytes, sender: bytes, receiver: bytes) -> bytes:
        signer = Signer.of(b"Sesame" if wrong == "secret" else SECRET)
        signed = sign(octets, [signer], *((receiver, sender) if wrong == "order" else (sender, receiver)))
        return signed[:8] + bytes([signed[8] ^ (wrong == "octet")]) + signed[9:]

    seen = dissect(
        set_up(signing, UDP), COMMON, tmp_path_factory.mktemp("wrong"), f"l2tp.shared_secret:{SECRET.decode()}"
    )
    assert ["l2tp.incorrect_digest" in one for one in seen] == [wrong != "order", *[True] * 6]


def test_hidden_rows_are_those_of_the_rfc() -> None:
    """What may be hidden is, once hiding is asked for: the oracle has seen the H bit on each of them."""
    seen = set()
    for case in CASES:
        if case.hidden:
            body = parse_control3(case.octets)[1]
            while body:
                head, key = struct.unpack_from("!HI", body)
                seen |= {key} if head & 0x4000 else set()
                body = body[head & 1023 :]
    assert {avp.key for avp in SAMPLES if avp.hideable} == seen
    assert seen <= set(KNOWN_3)
