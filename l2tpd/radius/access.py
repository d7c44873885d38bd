"""A caller's credentials as an Access-Request, and the answer to it as a verdict (RFC 2865, 2548, 2869, 3162). Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Final

from l2tpd.errors import Malformed
from l2tpd.ppp.authority import Request, Verdict
from l2tpd.ppp.credentials import Credentials
from l2tpd.ppp.mppe import START_KEY, STRENGTHS, Keys
from l2tpd.ppp.numbers import Auth
from l2tpd.radius import attributes as row
from l2tpd.radius.accounting import Identity, describe_tunnel
from l2tpd.radius.attributes import Attributes, Draft
from l2tpd.radius.exchange import Question
from l2tpd.radius.numbers import PORT_VIRTUAL, PROTOCOL_PPP, SERVICE_FRAMED, Code
from l2tpd.radius.packet import Packet
from l2tpd.wire.values import pack_text

_ANY_ADDRESS: Final = frozenset({"255.255.255.255", "255.255.255.254"})  # the caller chooses, or we do: RFC 2865 5.8
_SERVERS: Final = 3  # of DNS that a resolver uses
_CLASSES: Final = ((0x80, 8), (0xC0, 16), (0xE0, 24))  # first octets below, and the length of the prefix: RFC 2865 5.22

_REQUIRED: Final = 2  # RFC 2548 2.4.4
_TYPES: Final = {40: 0x2, 128: 0x4}  # RFC 2548 2.4.5: strengths in bits, and their bits


def question(request: Request, identity: Identity) -> Question:
    """Return what to ask a server about a caller. Raises `LocalProtocolError` where that cannot be written."""
    said, draft = request.credentials, Draft()
    identity.put(draft)
    draft[row.USER_NAME.key] = (said.name[: row.LARGEST],)
    row.SERVICE_TYPE.put(draft, SERVICE_FRAMED)
    row.FRAMED_PROTOCOL.put(draft, PROTOCOL_PPP)
    row.NAS_PORT.put(draft, request.session_id)
    row.NAS_PORT_TYPE.put(draft, PORT_VIRTUAL)
    for attribute, text in (
        (row.CALLING_STATION_ID, request.calling_number),
        (row.CALLED_STATION_ID, request.called_number),
        (row.NAS_PORT_ID, request.interface),
        (row.CONNECT_INFO, request.speeds),
    ):
        if text:
            attribute.put(draft, text)
    describe_tunnel(request.way, request.tunnel_id, request.session_id, draft)
    password = said.response if said.kind is Auth.PAP else None
    if said.kind in _PROOFS:
        _PROOFS[said.kind](said, draft)
    return Question(code=Code.ACCESS_REQUEST, attributes=draft, password=password)


def _chap(said: Credentials, draft: Draft) -> None:
    """RFC 2865 5.3, 5.40."""
    row.CHAP_PASSWORD.put(draft, bytes((said.identifier,)) + said.response)
    row.CHAP_CHALLENGE.put(draft, said.challenge)


def _mschapv2(said: Credentials, draft: Draft) -> None:
    """RFC 2548 2.3.2: identifier, flags, and of the response all but its own flags."""
    row.MS_CHAP_CHALLENGE.put(draft, said.challenge)
    row.MS_CHAP2_RESPONSE.put(draft, bytes((said.identifier, 0)) + said.response[:48])


_PROOFS: Final[Mapping[Auth, Callable[[Credentials, Draft], None]]] = {Auth.CHAP: _chap, Auth.MSCHAPV2: _mschapv2}


def verdict(kind: Auth, answer: Packet) -> tuple[Verdict, str]:
    """Return what an answer means for a caller, and, where it is not let in, the reason for the log."""
    try:
        if answer.code != Code.ACCESS_ACCEPT:
            return Verdict(accepted=False, message=_refusal(kind, answer.attributes)), _reason(answer)
        return _accepted(kind, answer.attributes, _keys(answer))
    except Malformed as error:
        return Verdict(accepted=False), f"the server's answer makes no sense: {error}"


def _accepted(kind: Auth, said: Attributes, keys: Keys | None) -> tuple[Verdict, str]:
    service, protocol = row.SERVICE_TYPE.first(said, SERVICE_FRAMED), row.FRAMED_PROTOCOL.first(said, PROTOCOL_PPP)
    if (service, protocol) != (SERVICE_FRAMED, PROTOCOL_PPP):  # RFC 2865 5.6: what we do not offer is a rejection
        return Verdict(accepted=False), f"the server allows service {service}, protocol {protocol}, and not PPP"
    proof = row.MS_CHAP2_SUCCESS.first(said, b"")[1:]
    if kind is Auth.MSCHAPV2 and not proof:  # a caller would not believe a Success without it (RFC 2759 5)
        return Verdict(accepted=False), "the server has sent no MS-CHAP2-Success"
    if keys is None and row.MS_MPPE_POLICY.first(said, 0) == _REQUIRED:
        return Verdict(accepted=False), "the server requires encryption, and has sent no keys for it"
    address = row.FRAMED_IP_ADDRESS.first(said, "")
    return (
        Verdict(
            accepted=True,
            message=proof if kind is Auth.MSCHAPV2 else _reply(said),
            address="" if address in _ANY_ADDRESS else address,
            pool=row.FRAMED_POOL.first(said, ""),
            dns=(*row.MS_PRIMARY_DNS.of(said), *row.MS_SECONDARY_DNS.of(said))[:2],
            nbns=(*row.MS_PRIMARY_NBNS.of(said), *row.MS_SECONDARY_NBNS.of(said))[:2],
            routes=tuple(route(text) for text in (*row.FRAMED_ROUTE.of(said), *row.FRAMED_IPV6_ROUTE.of(said))),
            interface_id=row.FRAMED_INTERFACE_ID.first(said, b""),
            keys=keys,
            prefix=row.FRAMED_IPV6_PREFIX.first(said, ""),
            prefix_pool=row.FRAMED_IPV6_POOL.first(said, ""),
            delegated_prefix=row.DELEGATED_IPV6_PREFIX.first(said, ""),
            delegated_pool=row.DELEGATED_IPV6_POOL.first(said, ""),
            ipv6_address=row.FRAMED_IPV6_ADDRESS.first(said, ""),
            ipv6_dns=row.DNS_IPV6_ADDRESS.of(said)[:_SERVERS],
            mtu=row.FRAMED_MTU.first(said, 0),
            session_timeout=row.SESSION_TIMEOUT.first(said, 0),
            idle_timeout=row.IDLE_TIMEOUT.first(said, 0),
            interim_interval=row.ACCT_INTERIM_INTERVAL.first(said, 0),
            max_sessions=row.PORT_LIMIT.first(said, 0),
            state_class=row.CLASS.of(said),
        ),
        "",
    )


def _keys(answer: Packet) -> Keys | None:
    """Return what an answer brings for encryption, None unless there is a key for each direction (RFC 2548 2.4)."""
    send, receive = (one.first(answer.keys, b"") for one in (row.MS_MPPE_SEND_KEY, row.MS_MPPE_RECV_KEY))
    if min(len(send), len(receive)) < START_KEY:
        return None
    types = row.MS_MPPE_TYPES.first(answer.attributes, 0)
    strengths = frozenset(bits for bits, bit in _TYPES.items() if types & bit)
    required = row.MS_MPPE_POLICY.first(answer.attributes, 0) == _REQUIRED
    return Keys(send=send[:START_KEY], receive=receive[:START_KEY], strengths=strengths or STRENGTHS, required=required)


def route(text: str) -> str:
    """Return the prefix of a Framed-Route or Framed-IPv6-Route; its gateway and metric do not matter on a link with two ends. Raises `Malformed`."""
    first = (text.split() or [""])[0]
    host, slash, _ = first.partition("/")
    try:
        if slash or ":" in host:
            return str(ipaddress.ip_network(first, strict=False))
        octet = ipaddress.IPv4Address(host).packed[0]
    except ValueError:
        raise Malformed(f"{text!r} is no route") from None
    length = next((length for below, length in _CLASSES if octet < below), 32)
    return str(ipaddress.ip_network(f"{host}/{length}", strict=False))


def _refusal(kind: Auth, said: Attributes) -> bytes:
    """Return what the caller is told: for MS-CHAPv2 the server's words in the form of RFC 2759 6, if it has sent some."""
    error = row.MS_CHAP_ERROR.first(said, b"")[1:]
    return error if kind is Auth.MSCHAPV2 and error else _reply(said)


def _reply(said: Attributes) -> bytes:
    return pack_text("".join(row.REPLY_MESSAGE.of(said)))


def _reason(answer: Packet) -> str:
    if answer.code == Code.ACCESS_CHALLENGE:
        return "the server wants to hear more than PPP can carry without EAP"
    return "the server refuses it"
