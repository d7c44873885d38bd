"""Credentials as questions, and answers as verdicts."""

from __future__ import annotations

import pytest

from l2tpd.errors import Malformed
from l2tpd.ppp.authority import Request, Verdict
from l2tpd.ppp.credentials import Credentials
from l2tpd.ppp.mppe import Keys
from l2tpd.ppp.numbers import Auth
from l2tpd.ppp.way import UNTOLD, Way
from l2tpd.radius import attributes as row
from l2tpd.radius.access import question, route, verdict
from l2tpd.radius.accounting import Identity
from l2tpd.radius.attributes import Attributes, Draft
from l2tpd.radius.numbers import Code
from l2tpd.radius.packet import Packet

US = Identity(identifier="lns", address="192.0.2.1")
RESPONSE = bytes(range(49))
MSCHAPV2 = Credentials(kind=Auth.MSCHAPV2, user="joe", identifier=9, challenge=b"c" * 16, response=RESPONSE)


def asked(said: Credentials, way: Way = UNTOLD, **more: str) -> Attributes:
    return question(Request(credentials=said, tunnel_id=1, session_id=2, way=way, **more), US).attributes


def answered(said: Attributes, kind: Auth = Auth.PAP, code: Code = Code.ACCESS_ACCEPT) -> tuple[Verdict, str]:
    return verdict(kind, Packet(code=code, identifier=0, authenticator=bytes(16), attributes=said, octets=b""))


def test_a_password_is_handed_over_to_be_hidden() -> None:
    """PAP: it is no attribute yet; other octets than text arrive as they are, as does the name."""
    said = Credentials(kind=Auth.PAP, user="j\udcffe", identifier=1, response=b"\xffpw")
    found = question(Request(credentials=said, tunnel_id=1, session_id=2), US)
    assert b"\xffpw" == found.password
    assert (b"j\xffe",) == found.attributes[1]
    assert row.USER_PASSWORD.key not in found.attributes


def test_chap_and_mschapv2_go_as_their_rfcs_say() -> None:
    """RFC 2865 5.3: identifier and response; RFC 2548 2.3.2: identifier, flags, and the response without its flags."""
    chap = asked(Credentials(kind=Auth.CHAP, user="joe", identifier=7, challenge=b"xyz", response=bytes(16)))
    assert ((b"\7" + bytes(16),), (b"xyz",)) == (chap[3], chap[60])
    v2 = asked(MSCHAPV2)
    assert ((b"\x09\0" + RESPONSE[:48],), (b"c" * 16,)) == (v2[311, 25], v2[311, 11])


def test_who_we_are_and_where_the_caller_comes_from() -> None:
    """What is not known is not said."""
    full = asked(
        MSCHAPV2,
        calling_number="030",
        called_number="42",
        interface="ppp1",
        speeds="56000",
        way=Way(peer="2001:db8::2"),
    )
    shown = [one.first(full, "") for one in (row.NAS_IDENTIFIER, row.NAS_IP_ADDRESS, row.CALLING_STATION_ID)]
    assert ["lns", "192.0.2.1", "030"] == shown
    assert ("42", "ppp1") == (row.CALLED_STATION_ID.first(full, ""), row.NAS_PORT_ID.first(full, ""))
    assert (2, 2) == (row.TUNNEL_MEDIUM_TYPE.first(full, 0), row.NAS_PORT.first(full, 0))
    assert not {30, 31, 87, 66} & asked(MSCHAPV2).keys()


def test_all_that_a_server_may_grant() -> None:
    """Each attribute has its place in the verdict."""
    said: Draft = {}
    row.FRAMED_IP_ADDRESS.put(said, "10.0.0.7")
    row.FRAMED_POOL.put(said, "others")
    row.MS_PRIMARY_DNS.put(said, "9.9.9.9")
    row.MS_SECONDARY_NBNS.put(said, "10.0.0.3")
    row.FRAMED_ROUTE.put(said, "192.0.2.0/24 10.0.0.7 1", "172.16.5.1")
    row.FRAMED_IPV6_ROUTE.put(said, "2001:db8:1::/48 :: 1")
    row.FRAMED_INTERFACE_ID.put(said, bytes(8))
    row.FRAMED_IPV6_PREFIX.put(said, "2001:db8:2::/64")
    row.FRAMED_IPV6_POOL.put(said, "links")
    row.DELEGATED_IPV6_PREFIX.put(said, "2001:db8:300::/56")
    row.DELEGATED_IPV6_POOL.put(said, "sites")
    row.FRAMED_IPV6_ADDRESS.put(said, "2001:db8:4::7")
    row.DNS_IPV6_ADDRESS.put(said, *(f"2001:db8::{number}" for number in range(1, 5)))
    row.FRAMED_MTU.put(said, 1400)
    row.SESSION_TIMEOUT.put(said, 1)
    row.IDLE_TIMEOUT.put(said, 2)
    row.ACCT_INTERIM_INTERVAL.put(said, 3)
    row.PORT_LIMIT.put(said, 4)
    row.CLASS.put(said, b"a", b"b")
    row.REPLY_MESSAGE.put(said, "wel", "come")
    expected = Verdict(
        accepted=True,
        message=b"welcome",
        address="10.0.0.7",
        pool="others",
        dns=("9.9.9.9",),
        nbns=("10.0.0.3",),
        routes=("192.0.2.0/24", "172.16.0.0/16", "2001:db8:1::/48"),
        interface_id=bytes(8),
        prefix="2001:db8:2::/64",
        prefix_pool="links",
        delegated_prefix="2001:db8:300::/56",
        delegated_pool="sites",
        ipv6_address="2001:db8:4::7",
        ipv6_dns=("2001:db8::1", "2001:db8::2", "2001:db8::3"),
        mtu=1400,
        max_sessions=4,
        session_timeout=1,
        idle_timeout=2,
        interim_interval=3,
        state_class=(b"a", b"b"),
    )
    assert (expected, "") == answered(said)


@pytest.mark.parametrize("address", ["255.255.255.254", "255.255.255.255"])
def test_an_address_that_is_none_is_ours_to_choose(address: str) -> None:
    """RFC 2865 5.8."""
    assert "" == answered({8: (row.IPV4.pack(address),)})[0].address


def test_mschapv2_needs_the_servers_proof() -> None:
    """Its words become the Success without the identifier; without them nobody is let in, for the caller would not believe it."""
    assert b"S=0123" == answered({(311, 26): (b"\x09S=0123",)}, Auth.MSCHAPV2)[0].message
    assert (False, "the server has sent no MS-CHAP2-Success") == _refused(answered({}, Auth.MSCHAPV2))


def test_refusals_have_a_reason() -> None:
    """For the caller, in the words of its protocol, and for the log."""
    said: Draft = {}
    row.REPLY_MESSAGE.put(said, "closed")
    row.MS_CHAP_ERROR.put(said, b"\x09E=647 R=0 V=3")
    found, reason = answered(said, Auth.MSCHAPV2, Code.ACCESS_REJECT)
    assert (b"E=647 R=0 V=3", "the server refuses it") == (found.message, reason)
    assert b"closed" == answered(said, Auth.CHAP, Code.ACCESS_REJECT)[0].message
    assert "EAP" in answered(said, Auth.PAP, Code.ACCESS_CHALLENGE)[1]


@pytest.mark.parametrize(
    "said",
    [
        {6: (bytes((0, 0, 0, 1)),)},
        {7: (bytes((0, 0, 0, 2)),)},
        {8: (b"\x0a",)},
        {22: (b"nowhere",)},
        {27: (b"",)},
        {96: (bytes(7),)},
    ],
)
def test_an_answer_that_cannot_be_followed_lets_nobody_in(said: Attributes) -> None:
    """A service that is not PPP (RFC 2865 5.6), or values that make no sense: in part is not at all."""
    assert not answered(said)[0].accepted


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("10.1.2.3", "10.0.0.0/8"),
        ("172.16.5.1", "172.16.0.0/16"),
        ("192.0.2.7", "192.0.2.0/24"),
        ("192.0.2.7/32 0.0.0.0 1", "192.0.2.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8::1", "2001:db8::1/128"),
    ],
)
def test_routes(text: str, prefix: str) -> None:
    """Without a length it follows from the class of the address (RFC 2865 5.22)."""
    assert prefix == route(text)


def test_no_route() -> None:
    """Of text that is none, nothing can be made."""
    for text in ("", "x", "10.0.0.0/33", "10.0.0"):
        with pytest.raises(Malformed):
            route(text)


def _refused(found: tuple[Verdict, str]) -> tuple[bool, str]:
    return found[0].accepted, found[1]


def sealed(policy: int = 0, types: int = 0, send: bytes = bytes(16), receive: bytes = b"r" * 16) -> tuple[Verdict, str]:
    """What an answer to MS-CHAPv2 with keys comes to."""
    said = {row.MS_CHAP2_SUCCESS.key: (b"\x09S=0",)}
    said |= {row.MS_MPPE_POLICY.key: (policy.to_bytes(4, "big"),)} if policy else {}
    said |= {row.MS_MPPE_TYPES.key: (types.to_bytes(4, "big"),)} if types else {}
    keys = {row.MS_MPPE_SEND_KEY.key: (send,), row.MS_MPPE_RECV_KEY.key: (receive,)}
    code = Code.ACCESS_ACCEPT
    packet = Packet(code=code, identifier=0, authenticator=bytes(16), attributes=said, octets=b"", keys=keys)
    return verdict(Auth.MSCHAPV2, packet)


@pytest.mark.parametrize(
    ("policy", "types", "required", "strengths"),
    [(0, 0, False, {40, 56, 128}), (1, 6, False, {40, 128}), (2, 4, True, {128}), (2, 2, True, {40})],
)
def test_keys_for_encryption(policy: int, types: int, required: bool, strengths: set[int]) -> None:
    """RFC 2548 2.4: what the server sends with is what its subscriber receives with; Policy 2 requires, Types name strengths."""
    found, _ = sealed(policy, types)
    assert Keys(send=bytes(16), receive=b"r" * 16, required=required, strengths=frozenset(strengths)) == found.keys


def test_required_encryption_without_keys_lets_nobody_in() -> None:
    """Nor does a key of the wrong size count."""
    assert (False, "the server requires encryption, and has sent no keys for it") == (
        (refused := sealed(policy=2, send=b""))[0].accepted,
        refused[1],
    )
    allowed, _ = sealed(policy=1, receive=bytes(8))
    assert (True, None) == (allowed.accepted, allowed.keys)
