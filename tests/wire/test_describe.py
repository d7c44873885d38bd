"""Descriptions: readable, bounded, and harmless whatever the peer wrote."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.wire import avp as table
from l2tpd.wire.avp import Avp, RawAvp
from l2tpd.wire.describe import datagram, dump, printable, summary
from l2tpd.wire.header import DataHeader, build_control, build_control3, build_data
from l2tpd.wire.messages import FALLBACK, V3, decode, encode, encode3, message
from l2tpd.wire.numbers import MessageType
from l2tpd.wire.values import AccmValue, ConnectSpeed, ExtendedAvp, MessageDigest, ResultCode

SCCRQ = message(
    MessageType.SCCRQ,
    {
        table.PROTOCOL_VERSION: (1, 0),
        table.FRAMING_CAPABILITIES: 3,
        table.HOST_NAME: "lac1",
        table.ASSIGNED_TUNNEL_ID: 4711,
    },
)
ICRQ_3 = message(
    MessageType.ICRQ,
    {
        table.LOCAL_SESSION_ID: 257,
        table.REMOTE_SESSION_ID: 0,
        table.CALL_SERIAL_NUMBER: 1,
        table.PSEUDOWIRE_TYPE: 5,
        table.REMOTE_END_ID: "branch",
        table.CIRCUIT_STATUS: 0x43,
        table.ASSIGNED_COOKIE: bytes(range(1, 9)),
        table.L2_SPECIFIC_SUBLAYER: 1,
        table.DATA_SEQUENCING: 2,
    },
    vocabulary=V3,
)
ICCN = message(
    MessageType.ICCN,
    {
        table.TX_CONNECT_SPEED: 1000,
        table.FRAMING_TYPE: 1,
        table.PROXY_AUTHEN_TYPE: 3,
        table.PROXY_AUTHEN_NAME: "bob",
        table.PROXY_AUTHEN_RESPONSE: b"hunter2",
        table.LAST_SENT_LCP_CONFREQ: b"",
    },
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lac1.example", "lac1.example"),
        ("café Ω ж 日本", "café Ω ж 日本"),
        ("a\nb\r\t\0", "a\\x0ab\\x0d\\x09\\x00"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202eevil\u200b\u2028", "\\u202eevil\\u200b\\u2028"),
        ("\x85\xa0\xad\x9b", "\\u0085\\u00a0\\u00ad\\u009b"),
        ("\udcff\udc80", "\\xff\\x80"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
        ("C:\\x41", "C:\\\\x41"),
        ("\x7f", "\\x7f"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """Letters of any script stay, everything that moves a cursor or forges a line becomes visible."""
    assert shown == printable(text)


@given(st.text())
def test_printable_is_printable_and_unambiguous_for_octets(text: str) -> None:
    """No text leaves an unprintable character behind."""
    assert printable(text).isprintable()


@given(st.binary(), st.binary())
def test_different_octets_look_different(one: bytes, other: bytes) -> None:
    """The escaping can be undone, so that two names never look the same for it."""
    shown = [printable(octets.decode("utf-8", "surrogateescape")) for octets in (one, other)]
    assert (one == other) == (shown[0] == shown[1])


def test_summary_is_one_line() -> None:
    """Type, then name=value for each AVP."""
    expected = (
        "SCCRQ Protocol Version=1.0 Framing Capabilities=0x3 (synchronous, asynchronous)"
        ' Host Name="lac1" Assigned Tunnel ID=4711'
    )
    assert expected == summary(SCCRQ)


def test_secrets_are_redacted() -> None:
    """A proxied password and a challenge response show their length only."""
    assert "Proxy Authen Response=<7 octets>" in summary(ICCN)
    assert "hunter2" not in dump(ICCN)
    assert b"hunter2".hex() not in dump(ICCN) + summary(ICCN)
    response = message(MessageType.SCCCN, {table.CHALLENGE_RESPONSE: bytes(16)})
    assert "SCCCN Challenge Response=<16 octets>" == summary(response)


def test_unknown_octets_are_redacted() -> None:
    """Nobody knows what a vendor puts there."""
    hello = message(MessageType.HELLO, {}, [RawAvp(True, True, 9, 12, b"secret", 5), RawAvp(False, False, 9, 1, b"x")])
    assert "HELLO AVP 9/12 [MHr5]=<6 octets> AVP 9/1=<1 octets>" == summary(hello)


def test_a_name_cannot_pose_as_another_field() -> None:
    """Quotes inside a value are escaped."""
    evil = message(MessageType.HELLO, {table.HOST_NAME: 'x" Assigned Tunnel ID=1\nSCCRQ'})
    assert 'HELLO Host Name="x\\" Assigned Tunnel ID=1\\x0aSCCRQ"' == summary(evil)


def test_dump_is_indented() -> None:
    """One line for each AVP, then notes and the fault."""
    body = encode(
        message(MessageType.CDN, {table.RESULT_CODE: ResultCode(2, 8, "AVP 9"), table.ASSIGNED_SESSION_ID: 7})
    )
    seen = decode(body + bytes.fromhex("8008 0000 000e 0001 8006 0000 03e7"))
    expected = (
        "CDN (14)\n"
        '  Result Code: 2 ERROR, error 8 UNKNOWN_MANDATORY_AVP, "AVP 9"\n'
        "  Assigned Session ID: 7\n"
        "  AVP 0/999 [M]: <0 octets>\n"
        "  note: another Assigned Session ID (14) ignored\n"
        "  fault: unknown AVP vendor 0 attribute 999 (error 8)"
    )
    assert expected == dump(seen)
    assert summary(seen).endswith("FAULT='unknown AVP vendor 0 attribute 999'")


def test_values_of_each_kind() -> None:
    """Composite and repeated values, enumerations, empty octets."""
    assert "SLI ACCM=send=1 receive=2" == summary(message(MessageType.SLI, {table.ACCM: AccmValue(1, 2)}))
    speeds = message(MessageType.CSUN, {table.CONNECT_SPEED_UPDATE: (ConnectSpeed(1, 2, 3), ConnectSpeed(4))})
    assert "CSUN Connect Speed Update=session_id=1 tx=2 rx=3, session_id=4 tx=0 rx=0" == summary(speeds)
    assert "Proxy Authen Type=PAP" in summary(ICCN)
    assert "Last Sent LCP CONFREQ=(empty)" in summary(ICCN)
    stop = message(MessageType.STOPCCN, {table.RESULT_CODE: ResultCode(99)})
    assert "StopCCN Result Code=99 99" == summary(stop)
    assert "HELLO Bearer Type=0x0" == summary(message(MessageType.HELLO, {table.BEARER_TYPE: 0}))


def test_long_values_are_cut_in_the_summary_only() -> None:
    """A line of a log stays a line."""
    long = message(MessageType.HELLO, {table.VENDOR_NAME: "v" * 1017})
    assert "...(1019)" in summary(long)
    assert "v" * 1017 in dump(long)


def test_datagrams() -> None:
    """Control, ZLB, data, other versions and rubbish each have a text."""
    assert "control tunnel=1 session=0 ns=2 nr=3 ZLB" == datagram(build_control(1, 0, 2, 3, b""))
    control = datagram(build_control(0, 0, 0, 0, encode(SCCRQ)))
    assert control.startswith("control tunnel=0 session=0 ns=0 nr=0 SCCRQ (1)\n  Protocol Version: 1.0\n")
    assert "data tunnel=1 session=2 3 octets" == datagram(build_data(DataHeader(1, 2), b"PPP"))
    sequenced = build_data(DataHeader(1, 2, 3, 4, True), b"PPP")
    assert "data tunnel=1 session=2 ns=3 nr=4 priority 3 octets" == datagram(sequenced)
    assert "L2TP version 1, 12 octets, not decoded" == datagram(bytes.fromhex("c001 000c 00000001 0000 0000"))
    assert "malformed (shorter than the flags of a header), 0 octets" == datagram(b"")
    assert datagram(build_control(1, 0, 2, 3, b"x")).startswith("control tunnel=1 session=0 ns=2 nr=3 malformed (body")


def test_datagrams_of_version_3() -> None:
    """Control over UDP and over IP, ZLB, ACK and data."""
    control = build_control3(7, 2, 3, encode3(ICRQ_3))
    shown = (
        "control connection=7 ns=2 nr=3 ICRQ (10)\n"
        "  Local Session ID: 257\n"
        "  Remote Session ID: 0\n"
        "  Call Serial Number: 1\n"
        "  Pseudowire Type: ETHERNET\n"
        '  Remote End ID: "branch"\n'
        "  Circuit Status: 0x43 (active, new, standby)\n"
        "  Assigned Cookie: <8 octets>\n"
        "  L2-Specific Sublayer: DEFAULT\n"
        "  Data Sequencing: ALL"
    )
    assert shown == datagram(control) == datagram(bytes(4) + control)
    assert "control connection=1 ns=2 nr=3 ZLB" == datagram(build_control3(1, 2, 3, b""))
    assert "control connection=1 ns=2 nr=3 ACK (20)" == datagram(build_control3(1, 2, 3, encode3(message(20))))
    data = bytes.fromhex("0003 0000 01020304") + b"cookieframe"
    assert "data session=16909060 11 octets with cookie and sublayer" == datagram(data)
    assert "data session=0 0 octets with cookie and sublayer" == datagram(data[:5])
    assert datagram(build_control3(1, 2, 3, b"x")).startswith("control connection=1 ns=2 nr=3 malformed (body")
    assert datagram(bytes.fromhex("8803 000c 00000001 0000 0000")).startswith("malformed (control message without")


def test_lists_digests_and_unknown_types() -> None:
    """Capabilities by name or number; a digest by its length, since a guessed secret could be tried on it."""
    values: dict[Avp[Any], Any] = {
        table.PSEUDOWIRE_CAPABILITIES: (5, 99),
        table.MESSAGE_DIGEST: (MessageDigest(0, bytes(16)),) * 2,
    }
    said = message(MessageType.HELLO, values, vocabulary=V3)
    assert "HELLO Pseudowire Capabilities List=ETHERNET, 99 Message Digest=<17 octets>, <17 octets>" == summary(said)
    vendor = message(MessageType.HELLO, {table.EXTENDED_VENDOR_ID: (ExtendedAvp(65536, 1, b"A"),)}, vocabulary=V3)
    assert "HELLO Extended Vendor ID=vendor=65536 number=1 value=41" == summary(vendor)


def test_an_sccrq_for_either_version_shows_both() -> None:
    """The attributes of version 3 in a message of version 2 have their names (RFC 3931 4.7.3)."""
    both = message(MessageType.SCCRQ, {**SCCRQ.values, table.ASSIGNED_CONTROL_CONNECTION_ID: 9}, vocabulary=FALLBACK)
    shown = datagram(build_control(0, 0, 0, 0, encode(both, vocabulary=FALLBACK)))
    assert "Assigned Tunnel ID: 4711" in shown
    assert "Assigned Control Connection ID: 9" in shown


def test_datagram_with_a_secret_shows_hidden_values() -> None:
    """Given the secret, hidden AVPs are read, and secrets still redacted."""
    body = encode(ICCN, secret=b"s", hide=True, random=lambda size: b"r" * size)
    shown = datagram(build_control(1, 2, 3, 4, body), b"s")
    assert 'Proxy Authen Name: "bob"' in shown
    assert "Proxy Authen Response: <7 octets>" in shown


def test_what_came_hidden_is_concealed_where_that_is_asked_for() -> None:
    """With the secret the message is judged as it is; its hidden values are shown, or not even hinted at."""
    body = encode(ICCN, secret=b"sesame", hide=True, random=bytes)
    packet = build_control(1, 2, 3, 4, body)
    shown, concealed = datagram(packet, b"sesame"), datagram(packet, b"sesame", conceal=True)
    assert 'Proxy Authen Name: "bob"' in shown
    assert "Proxy Authen Response: <7 octets>" in shown
    assert "Proxy Authen Name: <hidden>" in concealed
    assert "Proxy Authen Response: <hidden>" in concealed
    assert "fault" not in concealed
    assert "bob" not in concealed
    assert datagram(build_control(1, 2, 3, 4, encode(ICCN)), conceal=True) == datagram(
        build_control(1, 2, 3, 4, encode(ICCN))
    )


@given(st.binary(max_size=60), st.booleans())
def test_concealing_ends_whatever_the_lengths_say(octets: bytes, version_3: bool) -> None:
    """AVPs that claim nothing, or more than there is, are no trap."""
    for body in (octets, encode(SCCRQ) + octets):
        packet = build_control3(1, 2, 3, body) if version_3 else build_control(1, 0, 2, 3, body)
        assert datagram(packet, b"sesame", conceal=True)
