"""The server of DHCPv6 for one subscriber (RFC 8415 18.3): a prefix for the networks behind it, an address if it has one of its own, name servers and domains. Pure.

There is nothing to remember. The link has one other end, and what is offered belongs to the session: it is the same each time somebody asks, and ends
with the session. So whichever client asks there, and by whatever names it calls itself and its associations, the first association of a kind in
a message gets it and others are told that there is no more. A Release or Decline is confirmed and changes nothing. We never reconfigure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv6Address, IPv6Network
from typing import Final, NamedTuple

import attrs

from l2tpd.errors import Malformed
from l2tpd.ppp import dhcp6
from l2tpd.ppp.dhcp6 import Association, Code, Kind, Message, Option, Status

_T1, _T2 = 0.5, 0.8  # of the preferred lifetime (RFC 8415 21.4, 21.21)
_ASSOCIATIONS: Final = {Code.IA_NA, Code.IA_TA, Code.IA_PD}
_EAGER: Final = Option(Code.PREFERENCE, b"\xff")  # ask no further: nobody else is there (RFC 8415 18.2.1)
_DUID_UUID: Final = b"\0\4"  # RFC 6355


def server_duid(seed: bytes) -> bytes:
    """Return how a server calls itself: the same as long as the seed, which identifies its machine and cannot be found out from it."""
    return _DUID_UUID + hashlib.sha256(b"l2tpd DHCPv6 server" + seed).digest()[:16]


@attrs.frozen(kw_only=True)
class Offer:
    """What a subscriber may have; what there is not is empty. Lifetimes in seconds."""

    prefix: str = ""
    address: str = ""
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()  # domains
    valid: int = 0
    preferred: int = 0

    def __bool__(self) -> bool:
        """Tell whether there is anything to ask for."""
        return bool(self.prefix or self.address or self.dns or self.search)


class _Rule(NamedTuple):
    """How a message has to be for us to answer it, and what we do (RFC 8415 16)."""

    answer: Callable[[Offer, Message], tuple[Option, ...] | None]
    named: bool | None  # it must name its server, it must not, it may
    anonymous: bool = False  # the client need not name itself


def answer(octets: bytes, duid: bytes, offer: Offer, *, unicast: bool) -> bytes:
    """Return what to answer to a message, nothing if it is not for us to answer. Raises `Malformed`; `unicast`: it came to our own address."""
    message = dhcp6.parse(octets)
    rule = _RULES.get(message.kind)
    client, server = message.first(Code.CLIENT_ID), message.first(Code.SERVER_ID)
    if rule is None or not _well_addressed(rule, client, server, duid):
        return b""
    names = [Option(Code.SERVER_ID, duid)]
    if client is not None:
        names.insert(0, Option(Code.CLIENT_ID, client))
    if unicast:  # we have allowed nobody to do so (RFC 8415 18.4)
        refusal = dhcp6.status(Status.USE_MULTICAST, "use multicast")
        return _reply(Kind.REPLY, message, (*names, refusal)) if rule.named else b""
    said = rule.answer(offer, message)
    if said is None:
        return b""
    quick = message.kind == Kind.SOLICIT and message.first(Code.RAPID_COMMIT) is not None
    if quick:
        said = (Option(Code.RAPID_COMMIT, b""), *said)
    kind = Kind.ADVERTISE if message.kind == Kind.SOLICIT and not quick else Kind.REPLY
    return _reply(kind, message, (*names, *said))


def _well_addressed(rule: _Rule, client: bytes | None, server: bytes | None, duid: bytes) -> bool:
    if client is None and not rule.anonymous:
        return False
    if client is not None and not 3 <= len(client) <= dhcp6.LONGEST_DUID:
        return False
    return server == duid if rule.named else server is None or (rule.named is None and server == duid)


def _reply(kind: Kind, message: Message, options: tuple[Option, ...]) -> bytes:
    return dhcp6.build(Message(kind, message.transaction, options))


# --- what each kind of message gets; None: no answer --------------------------------------------------------------------------------


def _solicit(offer: Offer, message: Message) -> tuple[Option, ...]:
    return (_EAGER, *_assign(offer, message))


def _assign(offer: Offer, message: Message) -> tuple[Option, ...]:
    """Give each association what it may have (RFC 8415 18.3.2)."""
    return (*_granted(offer, message), *_told(offer))


def _confirm(offer: Offer, message: Message) -> tuple[Option, ...] | None:
    """Say whether addresses are right where the client is now; without any there is nothing to say (RFC 8415 18.3.3)."""
    held = [
        dhcp6.address_of(option.data)
        for whole in _associations(message)
        for option in whole.options
        if option.code == Code.ADDRESS
    ]
    if not held:
        return None
    ours = IPv6Address(offer.address).packed if offer.address else b""
    if all(address == ours for address in held):
        return (dhcp6.status(Status.SUCCESS, "these addresses are right"),)
    return (dhcp6.status(Status.NOT_ON_LINK, "not all of these addresses are right"),)


def _let_go(offer: Offer, message: Message) -> tuple[Option, ...]:
    """Confirm what changes nothing, and name the associations of which we know nothing (RFC 8415 18.3.7)."""
    unknown = [
        dhcp6.associated(Association(whole.code, whole.iaid, (dhcp6.status(Status.NO_BINDING, "no such binding"),)))
        for whole in _associations(message)
        if not _has(offer, whole.code)
    ]
    return (dhcp6.status(Status.SUCCESS, "as you say"), *unknown)


def _inform(offer: Offer, message: Message) -> tuple[Option, ...] | None:
    return None if any(option.code in _ASSOCIATIONS for option in message.options) else _told(offer)


_RULES: Final[Mapping[int, _Rule]] = {
    Kind.SOLICIT: _Rule(_solicit, named=False),
    Kind.REQUEST: _Rule(_assign, named=True),
    Kind.CONFIRM: _Rule(_confirm, named=False),
    Kind.RENEW: _Rule(_assign, named=True),
    Kind.REBIND: _Rule(_assign, named=False),
    Kind.RELEASE: _Rule(_let_go, named=True),
    Kind.DECLINE: _Rule(_let_go, named=True),
    Kind.INFORMATION_REQUEST: _Rule(_inform, named=None, anonymous=True),
}


# --- within -------------------------------------------------------------------------------------------------------------------------


def _associations(message: Message) -> Iterator[Association]:
    return (dhcp6.association(option) for option in message.options if option.code in _ASSOCIATIONS)


def _has(offer: Offer, code: int) -> bool:
    return bool({Code.IA_PD: offer.prefix, Code.IA_NA: offer.address}.get(Code(code), ""))


def _told(offer: Offer) -> tuple[Option, ...]:
    """Name servers and domains, whether or not they were asked for (RFC 8415 18.3.9 leaves that to us)."""
    servers = b"".join(IPv6Address(server).packed for server in offer.dns)
    said = Option(Code.DNS, servers), Option(Code.SEARCH, dhcp6.domains(offer.search))
    return tuple(option for option in said if option.data)


def _granted(offer: Offer, message: Message) -> Iterator[Option]:
    given: set[int] = set()
    for whole in _associations(message):
        if not _has(offer, whole.code) or whole.code in given:
            yield dhcp6.associated(whole._replace(options=(_none(whole.code),)))
            continue
        given.add(whole.code)
        options = (_what(offer, whole.code), *_expired(offer, whole))
        t1, t2 = int(_T1 * offer.preferred), int(_T2 * offer.preferred)
        yield dhcp6.associated(whole._replace(options=options), t1, t2)


def _none(code: int) -> Option:
    if code == Code.IA_PD:
        return dhcp6.status(Status.NO_PREFIX, "there is no prefix for this")
    return dhcp6.status(Status.NO_ADDRESS, "there is no address for this")


def _what(offer: Offer, code: int) -> Option:
    if code == Code.IA_PD:
        network = IPv6Network(offer.prefix)
        return dhcp6.prefix_option(network.network_address.packed, network.prefixlen, offer.preferred, offer.valid)
    return dhcp6.address_option(IPv6Address(offer.address).packed, offer.preferred, offer.valid)


def _expired(offer: Offer, whole: Association) -> Iterator[Option]:
    """Tell the client that what it had from an earlier session is no longer its own (RFC 8415 18.3.4)."""
    for option in whole.options:
        try:
            if whole.code == Code.IA_PD and option.code == Code.PREFIX:
                prefix, length = dhcp6.prefix_of(option.data)
                network = IPv6Network(offer.prefix)
                if any(prefix) and (prefix, length) != (network.network_address.packed, network.prefixlen):
                    yield dhcp6.prefix_option(prefix, length, 0, 0)
            elif whole.code == Code.IA_NA and option.code == Code.ADDRESS:
                address = dhcp6.address_of(option.data)
                if any(address) and address != IPv6Address(offer.address).packed:
                    yield dhcp6.address_option(address, 0, 0)
        except Malformed:
            continue
