"""What the table of attributes says of their use, compared with what is really sent and taken; and whether it has each attribute of the RFCs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from l2tpd.config.model import Address
from l2tpd.ppp.accountant import Cause, Subscriber, Traffic
from l2tpd.ppp.authority import Request
from l2tpd.ppp.credentials import Credentials
from l2tpd.ppp.numbers import Auth
from l2tpd.ppp.way import Way
from l2tpd.radius import attributes as row
from l2tpd.radius.access import question, verdict
from l2tpd.radius.accounting import Books, Identity, Record
from l2tpd.radius.attributes import ROWS, Attribute, Attributes, Draft, Key, used
from l2tpd.radius.dynauth import Client, Demand, Desk
from l2tpd.radius.exchange import Exchange, Question, Server
from l2tpd.radius.ignored import IGNORED
from l2tpd.radius.numbers import MICROSOFT, Code, ErrorCause
from l2tpd.radius.packet import Packet, check_answer, check_request, decode, encode_answer, encode_signed
from l2tpd.radius.tally import LOGIN, Tally
from radius.samples import SAMPLES

SECRET = b"secret"
NOW = 1_700_000_000.0
SERVER = Address("192.0.2.10", 1812)
KINDS = (Auth.PAP, Auth.CHAP, Auth.MSCHAPV2)
WAY = Way(peer="192.0.2.1", local="192.0.2.2", peer_name="lac", local_name="lns", name="region")
WHO = (Identity(identifier="lns", address="198.51.100.1"), Identity(identifier="lns", address="2001:db8::1"))

SIGNATURE = row.MESSAGE_AUTHENTICATOR  # is written by whoever writes packets, and not put into them

RFCS: dict[str, tuple[Key, ...]] = {
    "RFC 2865": (*range(1, 17), 18, 19, 20, *range(22, 40), *range(60, 64)),
    "RFC 2866": (*range(40, 52),),
    "RFC 2867": (68, 86),
    "RFC 2868": (64, 65, 66, 67, 69, 81, 82, 83, 90, 91),
    "RFC 2869": (52, 53, 55, *range(70, 81), 84, 85, 87, 88),
    "RFC 3162": (*range(95, 101),),
    "RFC 4818": (123,),
    "RFC 5176": (101,),
    "RFC 6911": (*range(168, 173),),
    "RFC 2548": tuple((MICROSOFT, number) for number in (*range(1, 32), 33)),
}
"""The numbers that each RFC assigns."""


def test_each_attribute_of_the_rfcs_has_a_use_or_a_reason() -> None:
    """And not both; where it is from is said rightly, as far as the RFC."""
    useful = {one.key: one.where for one in ROWS if one.use}
    useless = {one.key: one.where for one in IGNORED}
    assert not useful.keys() & useless.keys()
    assert {key: rfc for rfc, keys in RFCS.items() for key in keys} == {
        key: where.rpartition(" ")[0] for key, where in (useful | useless).items()
    }
    assert len(IGNORED) == len(useless)


def test_what_is_ignored_is_named_alike() -> None:
    """A row that can be read and is not used stands in both tables."""
    named = {one.key: (one.name, one.where) for one in ROWS if not one.use}
    assert named == {one.key: (one.name, one.where) for one in IGNORED if one.key in named}


def on_the_wire(asked: Question) -> Attributes:
    """Return the attributes of a question as a server gets them."""
    exchange = Exchange([Server(address=SERVER, secret=SECRET)], bytes, Tally(LOGIN))
    exchange.ask(asked, 0.0)
    (datagram,) = exchange.datagrams_to_send()
    return decode(datagram.octets).attributes


def test_what_an_access_request_holds() -> None:
    """Over all ways to prove who one is."""
    sent: set[Key] = set()
    for kind in KINDS:
        said = Credentials(kind=kind, user="joe", identifier=9, challenge=b"c" * 16, response=bytes(49))
        request = Request(
            credentials=said, tunnel_id=1, session_id=2, way=WAY, calling_number="030", called_number="42",
            interface="ppp1", speeds="56000",
        )  # fmt: skip
        for who in WHO:
            sent |= on_the_wire(question(request, who)).keys()
    assert used("q") == sent


def records(who: Identity) -> Iterator[Record | None]:
    books = Books("A", lambda: who, lambda: 600.0, lambda: 0.5)
    joe = Subscriber(
        user="joe", address="10.0.0.7", interface_id=b"12345678", prefix="2001:db8::/64",
        delegated_prefix="2001:db8:100::/56", ipv6_address="2001:db8::7", interface="ppp1", tunnel_id=1, session_id=2, way=WAY, calling_number="030",
        called_number="42", speeds="56000", by_radius=True, state_class=(b"a",), traffic=Traffic,
        disconnect=lambda _: None, limit=lambda *_: None,
    )  # fmt: skip
    yield books.announce(on=True, wall=NOW)
    yield books.open("k", joe, 0.0, NOW)
    yield books.interim("k", Traffic(), 600.0, NOW)
    yield books.close("k", Traffic(), Cause.USER_REQUEST, 700.0, NOW)


def test_what_an_accounting_request_holds() -> None:
    """Over all statuses."""
    sent: set[Key] = set()
    for record in (record for who in WHO for record in records(who)):
        assert record is not None
        asked = Question(code=Code.ACCOUNTING_REQUEST, attributes=record.attributes, born=0.0)
        sent |= on_the_wire(asked).keys()
    assert used("b") == sent


class Watched(dict[Key, tuple[bytes, ...]]):
    """Attributes that remember which of them were looked for."""

    def __init__(self, attributes: Attributes) -> None:
        super().__init__(attributes)
        self.looked_for: set[Key] = set()

    def get(self, key: Key, default: object = None) -> object:  # type: ignore[override]
        """Return an attribute's values."""
        self.looked_for.add(key)
        return super().get(key, default)


@pytest.mark.parametrize(("code", "use"), [(Code.ACCESS_ACCEPT, "a"), (Code.ACCESS_REJECT, "r")])
def test_what_is_taken_from_an_answer(code: Code, use: str) -> None:
    """Over all ways to prove who one is; the signature is looked at before that."""
    taken = {SIGNATURE.key}
    for kind in KINDS:
        proof = {row.MS_CHAP2_SUCCESS.key: (b"\x09S=0",)} if code is Code.ACCESS_ACCEPT else {}
        said = Watched(proof)
        keys = Watched(dict.fromkeys((row.MS_MPPE_SEND_KEY.key, row.MS_MPPE_RECV_KEY.key), (bytes(16),)))
        verdict(kind, Packet(code=code, identifier=0, authenticator=bytes(16), attributes=said, octets=b"", keys=keys))
        taken |= said.looked_for
        if code is Code.ACCESS_ACCEPT:
            taken |= keys.looked_for
    assert used(use) == taken


@pytest.mark.parametrize("code", [Code.DISCONNECT_REQUEST, Code.COA_REQUEST])
@pytest.mark.parametrize("attribute", [one for one in ROWS if one is not SIGNATURE], ids=lambda one: one.name)
def test_what_a_request_for_a_session_may_hold(attribute: Attribute[object], code: Code) -> None:
    """All else is refused as not supported (RFC 5176 3.5, 401)."""
    said: Draft = {}
    row.EVENT_TIMESTAMP.put(said, int(NOW))
    row.USER_NAME.put(said, "joe")
    row.SESSION_TIMEOUT.put(said, *([60] if code is Code.COA_REQUEST else []))
    if attribute is not row.EVENT_TIMESTAMP:
        said.pop(attribute.key, None)
        attribute.put(said, SAMPLES[id(attribute.value)])
    said = {key: values for key, values in said.items() if values}
    uses = {"d", "i", "c"} if code is Code.COA_REQUEST else {"d", "i"}
    assert bool(set(attribute.use) & uses) == (_cause(code, said) != ErrorCause.UNSUPPORTED_ATTRIBUTE)


def _cause(code: Code, said: Attributes) -> int:
    octets = encode_signed(code, 1, said, SECRET)
    answer = _desk().receive(octets, SERVER, NOW)
    if not isinstance(answer, bytes):
        return 0
    return row.ERROR_CAUSE.first(check_answer(octets, answer, SECRET, require_signature=True).attributes, 0)


def _desk() -> Desk:
    return Desk([Client(prefix="192.0.2.0/24", secret=SECRET)], lambda: WHO[0], 300.0)


def test_what_answers_to_such_requests_hold() -> None:
    """Of an ACK and of a NAK."""
    said: Draft = {}
    row.EVENT_TIMESTAMP.put(said, int(NOW))
    row.USER_NAME.put(said, "joe")
    row.PROXY_STATE.put(said, b"p")
    octets, desk = encode_signed(Code.DISCONNECT_REQUEST, 1, said, SECRET), _desk()
    demand = desk.receive(octets, SERVER, NOW)
    assert isinstance(demand, Demand)
    answers = [desk.answer(demand, cause, NOW) for cause in (None, ErrorCause.SESSION_CONTEXT_NOT_FOUND)]
    assert used("n") == {key for answer in answers for key in decode(answer).attributes}


def test_vendors_attributes_are_told_apart_on_the_wire() -> None:
    """RFC 2865 5.26: one of Microsoft's is found under its own number, one of somebody else's under his."""
    said: Draft = {row.MS_PRIMARY_DNS.key: (bytes(4),), (9, 1): (b"cisco",)}
    octets = encode_signed(Code.COA_REQUEST, 1, {55: (bytes(4),)}, SECRET)
    request = check_request(octets, SECRET, require_signature=False)
    answer = decode(encode_answer(Code.COA_ACK, request, said, SECRET, sign=False))
    assert said == answer.attributes
