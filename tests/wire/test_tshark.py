"""tshark as the oracle: it dissects what we build without a complaint and reads the same values out of it.

Every message type of version 2 with every AVP that its row lists goes out once in clear and once hidden.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any, NamedTuple

import pytest

from l2tpd.wire import avp as table
from l2tpd.wire.avp import KNOWN, MESSAGE_TYPE, RANDOM_VECTOR, Avp
from l2tpd.wire.header import DataHeader, build_control, build_data, parse_control, parse_data
from l2tpd.wire.messages import Message, decode, encode, message
from l2tpd.wire.table import MESSAGES
from l2tpd.wire.values import AccmValue, CallErrors, ConnectSpeed, DisconnectCause, Q931Cause, ResultCode
from wire.oracle import (
    WARNING,
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
    table.RESULT_CODE: ResultCode(2, 6, "no more lines"),
    table.PROTOCOL_VERSION: (1, 0),
    table.FRAMING_CAPABILITIES: 3,
    table.BEARER_CAPABILITIES: 1,
    table.TIE_BREAKER: 0x1122334455667788,
    table.FIRMWARE_REVISION: 0x0690,
    table.HOST_NAME: "lac1.example.net",
    table.VENDOR_NAME: "l2tpd",
    table.ASSIGNED_TUNNEL_ID: 4711,
    table.RECEIVE_WINDOW_SIZE: 128,
    table.CHALLENGE: bytes(range(16)),
    table.Q931_CAUSE_CODE: Q931Cause(16, 0x45, "normal clearing"),
    table.CHALLENGE_RESPONSE: bytes(range(16, 32)),
    table.ASSIGNED_SESSION_ID: 815,
    table.CALL_SERIAL_NUMBER: 0x01020304,
    table.MINIMUM_BPS: 9600,
    table.MAXIMUM_BPS: 100_000_000,
    table.BEARER_TYPE: 2,
    table.FRAMING_TYPE: 1,
    table.CALLED_NUMBER: "5551212",
    table.CALLING_NUMBER: "5553434",
    table.SUB_ADDRESS: "extension 7",
    table.TX_CONNECT_SPEED: 50_000_000,
    table.PHYSICAL_CHANNEL_ID: 0x0A0B0C0D,
    table.INITIAL_RECEIVED_LCP_CONFREQ: bytes.fromhex("010405dc"),
    table.LAST_SENT_LCP_CONFREQ: bytes.fromhex("0304c023"),
    table.LAST_RECEIVED_LCP_CONFREQ: bytes.fromhex("010405d4"),
    table.PROXY_AUTHEN_TYPE: 2,
    table.PROXY_AUTHEN_NAME: "bob@example.net",
    table.PROXY_AUTHEN_CHALLENGE: bytes(range(32, 48)),
    table.PROXY_AUTHEN_ID: 9,
    table.PROXY_AUTHEN_RESPONSE: bytes(range(48, 64)),
    table.CALL_ERRORS: CallErrors(1, 2, 3, 4, 5, 6),
    table.ACCM: AccmValue(0x000A0000, 0xFFFFFFFF),
    table.PRIVATE_GROUP_ID: "group7",
    table.RX_CONNECT_SPEED: 10_000_000,
    table.SEQUENCING_REQUIRED: True,
    table.PPP_DISCONNECT_CAUSE: DisconnectCause(3, 0xC021, 1, "bye"),
    table.CONNECT_SPEED_UPDATE: (ConnectSpeed(7, 1000, 2000), ConnectSpeed(8, 3000, 4000)),
    table.CONNECT_SPEED_UPDATE_ENABLE: True,
    table.AGENT_CIRCUIT_ID: "dslam3 atm 1/2:1.32",
    table.AGENT_REMOTE_ID: "line 42",
    table.ACTUAL_DATA_RATE_UPSTREAM: 10_000_000,
    table.ACTUAL_DATA_RATE_DOWNSTREAM: 50_000_000,
    table.MINIMUM_DATA_RATE_UPSTREAM: 1,
    table.MINIMUM_DATA_RATE_DOWNSTREAM: 2,
    table.ATTAINABLE_DATA_RATE_UPSTREAM: 3,
    table.ATTAINABLE_DATA_RATE_DOWNSTREAM: 1 << 40,
    table.MAXIMUM_DATA_RATE_UPSTREAM: 5,
    table.MAXIMUM_DATA_RATE_DOWNSTREAM: 6,
    table.MINIMUM_DATA_RATE_UPSTREAM_LOW_POWER: 7,
    table.MINIMUM_DATA_RATE_DOWNSTREAM_LOW_POWER: 8,
    table.MAXIMUM_INTERLEAVING_DELAY_UPSTREAM: 9,
    table.ACTUAL_INTERLEAVING_DELAY_UPSTREAM: 10,
    table.MAXIMUM_INTERLEAVING_DELAY_DOWNSTREAM: 11,
    table.ACTUAL_INTERLEAVING_DELAY_DOWNSTREAM: 12,
    table.ACCESS_LOOP_ENCAPSULATION: bytes([1, 2, 0]),
    table.ANCP_ACCESS_LINE_TYPE: 5,
    table.IWF_SESSION: 1,
}

# What tshark calls each attribute's fields, and how it prints them. No row means that it has no field: Sequencing Required and Connect
# Speed Update Enable have no value.
FIELDS: dict[Avp[Any], dict[str, Reader]] = {
    table.RESULT_CODE: {
        "l2tp.result_code": attribute("result"),
        "l2tp.avp.error_code": attribute("error"),
        "l2tp.avp.error_message": lambda value: [value.message],
    },
    table.PROTOCOL_VERSION: {
        "l2tp.avp.protocol_version": lambda value: [str(value[0])],
        "l2tp.avp.protocol_revision": lambda value: [str(value[1])],
    },
    table.FRAMING_CAPABILITIES: {
        "l2tp.avp.sync_framing_supported": bit(1),
        "l2tp.avp.async_framing_supported": bit(2),
    },
    table.BEARER_CAPABILITIES: {
        "l2tp.avp.digital_access_supported": bit(1),
        "l2tp.avp.analog_access_supported": bit(2),
    },
    table.TIE_BREAKER: {"l2tp.tie_breaker": lambda value: [f"0x{value:016x}"]},
    table.FIRMWARE_REVISION: {"l2tp.avp.firmware_revision": number},
    table.HOST_NAME: {"l2tp.avp.host_name": text},
    table.VENDOR_NAME: {"l2tp.avp.vendor_name": text},
    table.ASSIGNED_TUNNEL_ID: {"l2tp.avp.assigned_tunnel_id": number},
    table.RECEIVE_WINDOW_SIZE: {"l2tp.avp.receive_window_size": number},
    table.CHALLENGE: {"l2tp.avp.chap_challenge": octets},
    table.Q931_CAUSE_CODE: {
        "l2tp.avp.cause_code": attribute("cause"),
        "l2tp.avp.cause_msg": attribute("message"),
        "l2tp.avp.advisory_msg": lambda value: [value.advisory],
    },
    table.CHALLENGE_RESPONSE: {"l2tp.avp.chap_challenge_response": octets},
    table.ASSIGNED_SESSION_ID: {"l2tp.avp.assigned_session_id": number},
    table.CALL_SERIAL_NUMBER: {"l2tp.avp.call_serial_number": number},
    table.MINIMUM_BPS: {"l2tp.avp.minimum_bps": number},
    table.MAXIMUM_BPS: {"l2tp.avp.maximum_bps": number},
    table.BEARER_TYPE: {"l2tp.avp.digital_bearer_type": bit(1), "l2tp.avp.analog_bearer_type": bit(2)},
    table.FRAMING_TYPE: {"l2tp.avp.sync_framing_type": bit(1), "l2tp.avp.async_framing_type": bit(2)},
    table.CALLED_NUMBER: {"l2tp.avp.called_number": text},
    table.CALLING_NUMBER: {"l2tp.avp.calling_number": text},
    table.SUB_ADDRESS: {"l2tp.avp.sub_address": text},
    table.TX_CONNECT_SPEED: {"l2tp.avp.connect_speed": number},
    table.PHYSICAL_CHANNEL_ID: {"l2tp.avp.physical_channel": number},
    table.INITIAL_RECEIVED_LCP_CONFREQ: {"l2tp.avp.initial_received_lcp_confreq": octets},
    table.LAST_SENT_LCP_CONFREQ: {"l2tp.avp.last_sent_lcp_confreq": octets},
    table.LAST_RECEIVED_LCP_CONFREQ: {"l2tp.avp.last_received_lcp_confreq": octets},
    table.PROXY_AUTHEN_TYPE: {"l2tp.avp.proxy_authen_type": number},
    table.PROXY_AUTHEN_NAME: {"l2tp.avp.proxy_authen_name": text},
    table.PROXY_AUTHEN_CHALLENGE: {"l2tp.avp.proxy_authen_challenge": octets},
    table.PROXY_AUTHEN_ID: {"l2tp.avp.proxy_authen_id": number},
    table.PROXY_AUTHEN_RESPONSE: {"l2tp.avp.proxy_authen_response": octets},
    table.CALL_ERRORS: {
        "l2tp.avp.crc_errors": attribute("crc_errors"),
        "l2tp.avp.framing_errors": attribute("framing_errors"),
        "l2tp.avp.hardware_overruns": attribute("hardware_overruns"),
        "l2tp.avp.buffer_overruns": attribute("buffer_overruns"),
        "l2tp.avp.time_out_errors": attribute("timeout_errors"),
        "l2tp.avp.alignment_errors": attribute("alignment_errors"),
    },
    table.ACCM: {
        "l2tp.avp.send_accm": attribute("send"),
        "l2tp.avp.receive_accm": attribute("receive"),
    },
    table.PRIVATE_GROUP_ID: {"l2tp.avp.private_group_id": lambda value: [value.encode().hex()]},
    table.RX_CONNECT_SPEED: {"l2tp.avp.rx_connect_speed": number},
    table.PPP_DISCONNECT_CAUSE: {
        "l2tp.avp.disconnect_code": attribute("code"),
        "l2tp.avp.control_protocol_number": attribute("protocol"),
        "l2tp.avp.cause_code_direction": attribute("direction"),
        "l2tp.avp.cause_code_message": lambda value: [value.message],
    },
    table.CONNECT_SPEED_UPDATE: {
        "l2tp.avp.csu.remote_session_id": lambda value: [str(one.session_id) for one in value],
        "l2tp.avp.csu.current_tx_speed": lambda value: [str(one.tx) for one in value],
        "l2tp.avp.csu.current_rx_speed": lambda value: [str(one.rx) for one in value],
    },
    table.AGENT_CIRCUIT_ID: {"l2tp.broadband.agent_circuit_id": text},
    table.AGENT_REMOTE_ID: {"l2tp.broadband.agent_remote_id": text},
    table.ACTUAL_DATA_RATE_UPSTREAM: {"l2tp.broadband.actual_dr_up": number},
    table.ACTUAL_DATA_RATE_DOWNSTREAM: {"l2tp.broadband.actual_dr_down": number},
    table.MINIMUM_DATA_RATE_UPSTREAM: {"l2tp.broadband.minimum_dr_up": number},
    table.MINIMUM_DATA_RATE_DOWNSTREAM: {"l2tp.broadband.minimum_dr_down": number},
    table.ATTAINABLE_DATA_RATE_UPSTREAM: {"l2tp.broadband.attainable_dr_up": number},
    table.ATTAINABLE_DATA_RATE_DOWNSTREAM: {"l2tp.broadband.attainable_dr_down": number},
    table.MAXIMUM_DATA_RATE_UPSTREAM: {"l2tp.broadband.maximum_dr_up": number},
    table.MAXIMUM_DATA_RATE_DOWNSTREAM: {"l2tp.broadband.maximum_dr_down": number},
    table.MINIMUM_DATA_RATE_UPSTREAM_LOW_POWER: {"l2tp.broadband.minimum_dr_up_low_power": number},
    table.MINIMUM_DATA_RATE_DOWNSTREAM_LOW_POWER: {"l2tp.broadband.minimum_dr_down_low_power": number},
    table.MAXIMUM_INTERLEAVING_DELAY_UPSTREAM: {"l2tp.broadband.maximum_interleaving_delay_up": number},
    table.ACTUAL_INTERLEAVING_DELAY_UPSTREAM: {"l2tp.broadband.actual_interleaving_delay_up": number},
    table.MAXIMUM_INTERLEAVING_DELAY_DOWNSTREAM: {"l2tp.broadband.maximum_interleaving_delay_down": number},
    table.ACTUAL_INTERLEAVING_DELAY_DOWNSTREAM: {"l2tp.broadband.actual_interleaving_delay_down": number},
    table.ACCESS_LOOP_ENCAPSULATION: {
        "l2tp.broadband.access_loop_encapsulation.data_link": lambda value: [f"0x{value[0]:02x}"],
        "l2tp.broadband.access_loop_encapsulation.enc1": lambda value: [f"0x{value[1]:02x}"],
        "l2tp.broadband.access_loop_encapsulation.enc2": lambda value: [f"0x{value[2]:02x}"],
    },
    table.ANCP_ACCESS_LINE_TYPE: {"l2tp.broadband.ancp_access_line_type": lambda value: [f"0x{value:08x}"]},
    table.IWF_SESSION: {"l2tp.broadband.iwf_session": lambda value: [f"0x{value:08x}"]},
}
WITHOUT_FIELD = {table.SEQUENCING_REQUIRED, table.CONNECT_SPEED_UPDATE_ENABLE}
COMMON = [
    "_ws.malformed",
    "_ws.expert.severity",
    "_ws.expert.message",
    "frame.protocols",
    "l2tp.type",
    "l2tp.version",
    "l2tp.length",
    "l2tp.tunnel",
    "l2tp.session",
    "l2tp.Ns",
    "l2tp.Nr",
    "l2tp.offset",
    "l2tp.priority",
    "l2tp.avp.message_type",
    "l2tp.avp.type",
    "l2tp.avp.broadbandtype",
    "l2tp.avp.mandatory",
    "l2tp.avp.hidden",
    "l2tp.avp.length",
    "l2tp.avp.random_vector",
]


class Case(NamedTuple):
    """One datagram that we built, with what went into it."""

    sent: Message
    hidden: bool
    datagram: bytes


def source(size: int) -> bytes:
    """Octets for Random Vectors and padding; the test needs the same ones in every run."""
    return hashlib.shake_128(b"source").digest(size)


def cases() -> list[Case]:
    """Every message type with every AVP of its row, in clear and hidden."""
    made = []
    for index, row in enumerate(MESSAGES.values()):
        avps = sorted(row.need | row.may, key=lambda avp: avp.key)
        sent = message(row.type, {avp: SAMPLES[avp] for avp in avps})
        for hide in (False, True):
            body = encode(sent, secret=SECRET, hide=hide, random=source)
            made.append(Case(sent, hide, build_control(1000 + index, 2000 + index, index, 65535 - index, body)))
    return made


CASES = cases()
DATA = [
    (DataHeader(7, 8), None, True),
    (DataHeader(7, 8), None, False),
    (DataHeader(7, 8, 9, 10), None, True),
    (DataHeader(7, 8, 9, 10, True), 4, True),
    (DataHeader(7, 8, None, None, True), 0, False),
]
BROKEN = build_control(1, 0, 0, 0, bytes.fromhex("8008 0000 0000 0001 8005 0000 0007 41"))
PPP = bytes.fromhex("ff03 c021 0101 0004")  # an LCP Configure-Request without options


@pytest.fixture(scope="module")
def dissections(tmp_path_factory: pytest.TempPathFactory) -> list[Dissection]:
    """What tshark makes of all cases, in order, by field."""
    data = [build_data(header, PPP, length=length, offset=offset) for header, offset, length in DATA]
    packets = [Packet(octets) for octets in [*(case.datagram for case in CASES), *data, BROKEN]]
    fields = COMMON + [field for row in FIELDS.values() for field in row]
    return dissect(packets, fields, tmp_path_factory.mktemp("tshark"))


@pytest.fixture(
    params=range(len(CASES)), ids=lambda i: f"{CASES[i].sent.name}-{'hidden' if CASES[i].hidden else 'clear'}"
)
def pair(request: pytest.FixtureRequest, dissections: list[Dissection]) -> tuple[Case, Dissection]:
    """One case and what tshark says of it."""
    index: int = request.param
    return CASES[index], dissections[index]


def test_every_attribute_has_a_sample_and_a_field() -> None:
    """No row of the table escapes the oracle."""
    assert set(KNOWN.values()) - {MESSAGE_TYPE, RANDOM_VECTOR} == set(SAMPLES) == set(FIELDS) | WITHOUT_FIELD


def test_no_complaint(dissections: list[Dissection]) -> None:
    """Nothing that we build, control or data, is malformed or worth a warning."""
    for seen in dissections[:-1]:
        assert [] == complaints(seen)


def test_header(pair: tuple[Case, Dissection]) -> None:
    """Ids, Ns, Nr and Length are the ones that our parser reads."""
    case, seen = pair
    header, _ = parse_control(case.datagram)
    assert (["1"], ["2"], [str(len(case.datagram))]) == (seen["l2tp.type"], seen["l2tp.version"], seen["l2tp.length"])
    assert [str(header.tunnel_id)] == seen["l2tp.tunnel"]
    assert [str(header.session_id)] == seen["l2tp.session"]
    assert ([str(header.ns)], [str(header.nr)]) == (seen["l2tp.Ns"], seen["l2tp.Nr"])


def test_our_own_decoding(pair: tuple[Case, Dissection]) -> None:
    """What we read is what we sent, hidden or not."""
    case, _ = pair
    assert case.sent == decode(parse_control(case.datagram)[1], secret=SECRET)


def test_message_type_and_avp_headers(pair: tuple[Case, Dissection]) -> None:
    """The attributes, their M and H bits and their lengths are the ones that stand in the octets."""
    case, seen = pair
    assert [str(case.sent.type)] == seen["l2tp.avp.message_type"]
    found = walk(parse_control(case.datagram)[1])
    assert [str(int(mandatory)) for mandatory, _, _, _ in found] == seen["l2tp.avp.mandatory"]
    assert [str(int(hidden)) for _, hidden, _, _ in found] == seen["l2tp.avp.hidden"]
    assert [str(length) for _, _, length, _ in found] == seen["l2tp.avp.length"]
    in_clear = [
        key for _, hidden, _, key in found if not hidden
    ]  # tshark names a hidden attribute, but gives no field for it
    ietf = [str(key) for key in in_clear if key < 0x10000]
    assert ietf == seen["l2tp.avp.type"]
    vendor = [str(key & 0xFFFF) for key in in_clear if key >= 0x10000]
    assert vendor == seen.get("l2tp.avp.broadbandtype", [])
    assert case.hidden == any(hidden for _, hidden, _, _ in found) or not case.sent.values.keys() & HIDEABLE


HIDEABLE = {avp for avp in KNOWN.values() if avp.hideable}


def walk(body: bytes) -> list[tuple[bool, bool, int, int]]:
    """M bit, H bit, length and key of each AVP, read without our decoder."""
    found = []
    while body:
        head, key = struct.unpack_from("!HI", body)
        found.append((bool(head & 0x8000), bool(head & 0x4000), head & 1023, key))
        body = body[head & 1023 :]
    return found


def test_values(pair: tuple[Case, Dissection]) -> None:
    """Each value in clear is printed by tshark as we mean it."""
    case, seen = pair
    for avp, value in decode(parse_control(case.datagram)[1], secret=SECRET).values.items():
        if avp is MESSAGE_TYPE or (case.hidden and avp.hideable):
            continue
        for field, reader in FIELDS.get(avp, {}).items():
            assert reader(value) == seen[field], field


def test_random_vector(pair: tuple[Case, Dissection]) -> None:
    """A hidden message shows the vector that we drew."""
    case, seen = pair
    if case.hidden and case.sent.values.keys() & HIDEABLE:
        assert source(16).hex() == seen["l2tp.avp.random_vector"][0]
    else:
        assert "l2tp.avp.random_vector" not in seen


@pytest.mark.parametrize("index", range(len(DATA)))
def test_data_messages(index: int, dissections: list[Dissection]) -> None:
    """Data headers with every optional field reach the PPP frame behind them."""
    header, offset, length = DATA[index]
    seen = dissections[len(CASES) + index]
    built = build_data(header, PPP, length=length, offset=offset)
    assert (header, PPP) == parse_data(built)
    assert (["0"], ["7"], ["8"]) == (seen["l2tp.type"], seen["l2tp.tunnel"], seen["l2tp.session"])
    assert (None if header.ns is None else [str(header.ns)]) == seen.get("l2tp.Ns")
    assert ([str(len(built))] if length else None) == seen.get("l2tp.length")
    assert (None if offset is None else [str(offset)]) == seen.get("l2tp.offset")
    assert [str(int(header.priority))] == seen["l2tp.priority"]
    assert seen["frame.protocols"][0].endswith("l2tp:ppp:lcp")


def test_every_message_type_is_in_the_capture() -> None:
    """No type is left out."""
    assert set(MESSAGES) == {case.sent.type for case in CASES}


def test_the_oracle_notices(dissections: list[Dissection]) -> None:
    """An AVP length of 5, sent along as the last frame, is reported: silence about the others means something."""
    assert any(int(severity) >= WARNING for severity in dissections[-1]["_ws.expert.severity"])
