"""DHCPv6: who asks for what, and gets it; and its messages as octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import Malformed
from l2tpd.ppp import delegation, dhcp6
from l2tpd.ppp.delegation import Offer
from l2tpd.ppp.dhcp6 import Association, Code, Kind, Message, Option, Status

US = delegation.server_duid(b"a machine")
CLIENT = Option(Code.CLIENT_ID, b"\0\3\0\1abcdef")
SERVER = Option(Code.SERVER_ID, US)
OFFER = Offer(prefix="2001:db8:100::/56", dns=("2001:db8::53",), valid=86400, preferred=43200)
PREFIX = bytes.fromhex("20010db8010000000000000000000000")
PD = Option(Code.IA_PD, b"iaid" + bytes(8))
NA = Option(Code.IA_NA, b"iaid" + bytes(8))
FOR_SERVER = (Kind.REQUEST, Kind.RENEW, Kind.RELEASE, Kind.DECLINE)


def ask(kind: int, *options: Option, offer: Offer = OFFER, unicast: bool = False) -> Message | None:
    said = delegation.answer(dhcp6.build(Message(kind, b"abc", options)), US, offer, unicast=unicast)
    return dhcp6.parse(said) if said else None


def granted(message: Message | None) -> list[Association]:
    assert message is not None
    return [dhcp6.association(option) for option in message.options if option.code in {Code.IA_PD, Code.IA_NA}]


def status_of(options: tuple[Option, ...]) -> list[int]:
    return [int.from_bytes(option.data[:2], "big") for option in options if option.code == Code.STATUS]


def test_an_exchange_as_octets() -> None:
    """A Solicit and its Advertise as RFC 8415 8 and 21 lay them out."""
    solicit = bytes.fromhex("01 616263 0001 000a 00030001616263646566 0019 000c 69616964 00000000 00000000")
    names = bytes.fromhex("0001 000a 00030001616263646566 0002 0012") + US
    prefix = "001a 0019 0000a8c0 00015180 38 20010db8010000000000000000000000"
    whole = bytes.fromhex("0019 0029 69616964 00005460 00008700" + prefix)
    dns = bytes.fromhex("0017 0010 20010db8000000000000000000000053")
    said = bytes.fromhex("02 616263") + names + bytes.fromhex("0007 0001 ff") + whole + dns
    assert said == delegation.answer(solicit, US, OFFER, unicast=False)


def test_rapid_commit() -> None:
    """A Solicit that asks for it gets a Reply with the same option (18.3.1)."""
    reply = ask(Kind.SOLICIT, CLIENT, PD, Option(Code.RAPID_COMMIT, b""))
    assert reply is not None
    assert (Kind.REPLY, b"") == (reply.kind, reply.first(Code.RAPID_COMMIT))


@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.RENEW])
def test_who_names_us_gets_a_reply(kind: Kind) -> None:
    """Each time with the same prefix."""
    reply = ask(kind, CLIENT, SERVER, PD)
    (whole,) = granted(reply)
    assert reply is not None
    assert Kind.REPLY == reply.kind
    assert (PREFIX, 56) == dhcp6.prefix_of(whole.options[0].data)


def test_rebind_names_nobody() -> None:
    """And gets the prefix by whoever has it."""
    (whole,) = granted(ask(Kind.REBIND, CLIENT, PD))
    assert (PREFIX, 56) == dhcp6.prefix_of(whole.options[0].data)


def test_a_prefix_of_an_earlier_session() -> None:
    """Its lifetimes are zero now, beside the right one (18.3.4); a hint without a prefix, and one that is cut off, are passed over."""
    old = dhcp6.prefix_option(bytes.fromhex("20010db8ff0000000000000000000000"), 56, 0, 0)
    hint = dhcp6.prefix_option(bytes(16), 48, 0, 0)
    short = Option(Code.PREFIX, b"short")
    renew = dhcp6.associated(Association(Code.IA_PD, b"iaid", (old, hint, short)))
    (whole,) = granted(ask(Kind.RENEW, CLIENT, SERVER, renew))
    assert [OFFER.valid, 0] == [int.from_bytes(option.data[4:8], "big") for option in whole.options]


def test_there_is_one_prefix() -> None:
    """The first association in a message has it, others hear NoPrefixAvail; and NoAddrsAvail who wants an address."""
    second = Option(Code.IA_PD, b"next" + bytes(8))
    temporary = Option(Code.IA_TA, b"temp")
    advertise = ask(Kind.SOLICIT, CLIENT, PD, second, NA, temporary)
    first, other, address = granted(advertise)
    assert [Code.PREFIX] == [option.code for option in first.options]
    assert [Status.NO_PREFIX] == status_of(other.options)
    assert [Status.NO_ADDRESS] == status_of(address.options)
    assert advertise is not None
    data = advertise.first(Code.IA_TA)
    assert data is not None
    assert (b"temp", [Status.NO_ADDRESS]) == (data[:4], status_of(dhcp6.parse_options(data[4:])))


def test_an_address_of_its_own() -> None:
    """A subscriber that has one may ask for it, and hears whether what it holds is right (18.3.3); one that it held before has expired."""
    offer = Offer(address="2001:db8::7", valid=600, preferred=300)
    ours, other = bytes.fromhex("20010db8" + 11 * "00" + "07"), bytes.fromhex("20010db8" + 11 * "00" + "08")
    held = [
        dhcp6.associated(Association(Code.IA_NA, b"iaid", (dhcp6.address_option(one, 9, 9),))) for one in (ours, other)
    ]
    (whole,) = granted(ask(Kind.REQUEST, CLIENT, SERVER, held[1], offer=offer))
    assert [(ours, 600), (other, 0)] == [
        (one.data[:16], int.from_bytes(one.data[20:24], "big")) for one in whole.options
    ]
    confirmed = [ask(Kind.CONFIRM, CLIENT, one, offer=offer) for one in held]
    assert [[Status.SUCCESS], [Status.NOT_ON_LINK]] == [status_of(one.options) for one in confirmed if one is not None]
    assert ask(Kind.CONFIRM, CLIENT, NA, offer=offer) is None
    assert [Status.NO_PREFIX] == status_of(granted(ask(Kind.SOLICIT, CLIENT, PD, offer=offer))[0].options)


@pytest.mark.parametrize("kind", [Kind.RELEASE, Kind.DECLINE])
def test_letting_go(kind: Kind) -> None:
    """It is confirmed; of an association that there cannot be, NoBinding is said (18.3.7)."""
    reply = ask(kind, CLIENT, SERVER, PD, NA)
    assert reply is not None
    assert [Status.SUCCESS] == status_of(reply.options)
    (unknown,) = granted(reply)
    assert (Code.IA_NA, [Status.NO_BINDING]) == (unknown.code, status_of(unknown.options))


def test_information() -> None:
    """Name servers for whoever asks, named or not; not with an association (16.12)."""
    for options in ((), (CLIENT,), (CLIENT, SERVER)):
        reply = ask(Kind.INFORMATION_REQUEST, *options)
        assert reply is not None
        assert 16 == len(reply.first(Code.DNS) or b"")
    assert ask(Kind.INFORMATION_REQUEST, CLIENT, PD) is None
    assert ask(Kind.INFORMATION_REQUEST, CLIENT, Option(Code.SERVER_ID, b"other")) is None


@pytest.mark.parametrize("kind", list(Kind))
def test_who_is_not_answered(kind: Kind) -> None:
    """RFC 8415 16: who does not say who it is, or names the wrong server, or one where none may be named; and what servers say."""
    other = Option(Code.SERVER_ID, b"another server")
    wrong: list[tuple[Option, ...]] = [
        (other, PD),
        (CLIENT, other, PD),
        (PD,),
        (Option(Code.CLIENT_ID, b"x" * 131), PD),
    ]
    wrong += [(CLIENT, PD)] if kind in FOR_SERVER else []
    wrong += [(CLIENT, SERVER, PD)] if kind in {Kind.SOLICIT, Kind.REBIND, Kind.CONFIRM} else []
    assert [None] * len(wrong) == [ask(kind, *options) for options in wrong]
    if kind in {Kind.ADVERTISE, Kind.REPLY}:
        assert ask(kind, CLIENT, SERVER, PD) is None


@pytest.mark.parametrize("kind", [Kind.SOLICIT, *FOR_SERVER])
def test_nobody_was_told_to_use_our_address(kind: Kind) -> None:
    """A message for a server hears UseMulticast, any other nothing (18.4)."""
    reply = ask(kind, CLIENT, PD, *([SERVER] if kind in FOR_SERVER else []), unicast=True)
    assert ([Status.USE_MULTICAST] if kind in FOR_SERVER else None) == (reply and status_of(reply.options))


def test_the_name_of_the_server() -> None:
    """A DUID-UUID (RFC 6355) that is the same each time, another on each machine, and does not tell which."""
    assert US == delegation.server_duid(b"a machine") != delegation.server_duid(b"another")
    assert (18, b"\0\4") == (len(US), US[:2])
    assert b"machine" not in US


@pytest.mark.parametrize("octets", [b"", b"\1ab", b"\1abc\0", b"\1abc\0\1\0\5abc", b"\1abc\0\1\0\3abc\0\x19\0\3abc"])
def test_what_is_no_message(octets: bytes) -> None:
    """It is dropped."""
    with pytest.raises(Malformed):
        delegation.answer(octets, US, OFFER, unicast=False)


@given(st.binary(max_size=120), st.booleans())
def test_any_octets(tail: bytes, whole: bool) -> None:
    """Nothing but `Malformed` comes of them, and no answer is longer than what three associations may get."""
    start = b"\1abc" + dhcp6.build_options([CLIENT]) if whole else b""
    try:
        said = delegation.answer(start + tail, US, OFFER, unicast=False)
    except Malformed:
        return
    assert len(said) <= 2000
