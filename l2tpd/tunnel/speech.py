"""What L2TPv2 says about a tunnel (RFC 2661 6.1 to 6.4), and how it finds out whether the peer knows the secret (5.1.1).

The tables and actions know when a message is due. What stands in it depends on the version of the protocol, and a `Speech` is the whole of that
difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from l2tpd.config.model import Authentication
from l2tpd.errors import RemoteProtocolError
from l2tpd.tunnel.facts import PeerFacts, facts_of
from l2tpd.tunnel.quirks import Effect
from l2tpd.wire import digest
from l2tpd.wire.avp import (
    ASSIGNED_TUNNEL_ID,
    BEARER_CAPABILITIES,
    CHALLENGE,
    CHALLENGE_RESPONSE,
    FIRMWARE_REVISION,
    FRAMING_CAPABILITIES,
    HOST_NAME,
    PROTOCOL_VERSION,
    RECEIVE_WINDOW_SIZE,
    TIE_BREAKER,
    VENDOR_NAME,
    Avp,
)
from l2tpd.wire.messages import Message
from l2tpd.wire.numbers import BEARERS, FRAMINGS, ErrorCode, MessageType, StopResult
from l2tpd.wire.values import ProtocolVersion

if TYPE_CHECKING:
    from l2tpd.config.model import TunnelSettings
    from l2tpd.tunnel.core import ControlConnection
    from l2tpd.tunnel.site import Site

Values = Mapping[Avp[Any], Any]

_CHALLENGE_SIZE = 16
_VERSION = ProtocolVersion(1, 0)


@attrs.frozen(kw_only=True, eq=False)
class Speech:
    """How a version of the protocol speaks of a tunnel; what finds the peer at fault raises `RemoteProtocolError` with StopCCN codes."""

    peer_id: Avp[int]  # which attribute gives the sender's id
    request: Callable[[ControlConnection], Values]  # SCCRQ
    reply: Callable[[ControlConnection, Message], Values]  # SCCRP to an SCCRQ
    confirm: Callable[[ControlConnection, Message], Values]  # SCCCN to an SCCRP
    verify: Callable[[ControlConnection, Message], None]  # of SCCRP and SCCCN: does the peer know the secret
    check: Callable[[Message, TunnelSettings, Site], None]  # of SCCRQ and SCCRP: what needs no tunnel to be checked
    facts: Callable[[Message], PeerFacts]
    timed_out: StopResult  # of a tunnel that was not established in time


def _request(core: ControlConnection) -> Values:
    values = _introduction(core)
    if core.settings.tie_breaker:
        core.tie_breaker = int.from_bytes(core.site.random(8), "big")
        values[TIE_BREAKER] = core.tie_breaker
    return values | _challenge(core)


def _reply(core: ControlConnection, said: Message) -> Values:
    answer = _answer_challenge(core, said, MessageType.SCCRP)
    return _introduction(core) | _challenge(core) | answer


def _confirm(core: ControlConnection, said: Message) -> Values:
    return _answer_challenge(core, said, MessageType.SCCCN)


def _introduction(core: ControlConnection) -> dict[Avp[Any], Any]:
    """Return what SCCRQ and SCCRP say of us (6.1, 6.2)."""
    settings = core.settings
    values: dict[Avp[Any], Any] = {
        PROTOCOL_VERSION: _VERSION,
        FRAMING_CAPABILITIES: sum(FRAMINGS[word] for word in settings.framing_caps),
        BEARER_CAPABILITIES: sum(BEARERS[word] for word in settings.bearer_caps),
        FIRMWARE_REVISION: settings.firmware_revision,
        HOST_NAME: settings.host_name or core.site.hostname,
        VENDOR_NAME: core.site.vendor_name,
        ASSIGNED_TUNNEL_ID: core.local_id,
        RECEIVE_WINDOW_SIZE: settings.receive_window,
    }
    if Effect.OMIT_VENDOR_NAME in core.quirks:
        del values[VENDOR_NAME]
    return values


def _check(said: Message, settings: TunnelSettings, site: Site) -> None:
    """Check what needs no tunnel to be checked of an SCCRQ or SCCRP. Raises `RemoteProtocolError` with what to answer.

    So a stranger whose request cannot be met is refused before anything is kept for it.
    """
    if said[PROTOCOL_VERSION].version != _VERSION.version:
        raise RemoteProtocolError(StopResult.BAD_VERSION, _VERSION.version << 8, "only protocol version 1 is spoken")
    challenge = said.get(CHALLENGE)
    if challenge is None:
        return
    if not settings.secret:
        raise RemoteProtocolError(StopResult.NOT_AUTHORIZED, ErrorCode.NONE, "no secret is shared")
    if challenge in site.challenges:
        # One secret often serves both directions; a peer that cannot answer our challenge must not get us to answer it.
        raise unauthorized(site, "a challenge of ours came back")


def _challenge(core: ControlConnection) -> dict[Avp[Any], Any]:
    if not core.settings.secret or core.settings.authentication is Authentication.NONE:
        return {}
    core.challenge = core.site.random(_CHALLENGE_SIZE)
    core.site.challenges.add(core.challenge)
    return {CHALLENGE: core.challenge}


def _answer_challenge(core: ControlConnection, said: Message, reply: MessageType) -> dict[Avp[Any], Any]:
    """Return the response that the next message owes (5.1.1)."""
    challenge = said.get(CHALLENGE)
    if challenge is None:
        return {}
    return {CHALLENGE_RESPONSE: digest.challenge_response(reply, core.secret, challenge)}


def _verify(core: ControlConnection, said: Message) -> None:
    """Refuse a peer that was challenged and does not know the secret (5.1.1: "MUST be disallowed")."""
    if not core.challenge:
        return
    response = said.get(CHALLENGE_RESPONSE)
    if response is None:
        raise unauthorized(core.site, "Challenge Response is missing")
    if not digest.verify(MessageType(said.type), core.secret, core.challenge, response):
        raise unauthorized(core.site, "Challenge Response is wrong")
    core.retire_challenge()


def unauthorized(site: Site, text: str) -> RemoteProtocolError:
    """Count a peer that does not know the secret, and return the error that says so."""
    site.counters.auth_failures += 1
    return RemoteProtocolError(StopResult.NOT_AUTHORIZED, ErrorCode.NONE, text)


V2 = Speech(
    peer_id=ASSIGNED_TUNNEL_ID,
    request=_request,
    reply=_reply,
    confirm=_confirm,
    verify=_verify,
    check=_check,
    facts=facts_of,
    timed_out=StopResult.GENERAL,  # RFC 2661 4.4.2 has no code for it
)
