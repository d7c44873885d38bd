"""What L2TPv3 says about a control connection (RFC 3931 6.1 to 6.4), alone or besides L2TPv2 in one request (4.7.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from l2tpd.config.model import Digest
from l2tpd.session.speech3 import PSEUDOWIRES
from l2tpd.tunnel import speech
from l2tpd.tunnel.facts import facts_of_v3
from l2tpd.tunnel.quirks import Effect
from l2tpd.tunnel.speech import Speech, Values
from l2tpd.wire.avp import (
    ASSIGNED_CONTROL_CONNECTION_ID,
    CONTROL_MESSAGE_NONCE,
    HOST_NAME,
    PSEUDOWIRE_CAPABILITIES,
    RECEIVE_WINDOW_SIZE,
    ROUTER_ID,
    TIE_BREAKER,
    VENDOR_NAME,
    Avp,
)
from l2tpd.wire.messages import Message
from l2tpd.wire.numbers import StopResult

if TYPE_CHECKING:
    from l2tpd.config.model import TunnelSettings
    from l2tpd.tunnel.core import ControlConnection
    from l2tpd.tunnel.site import Site

CAPABILITIES = tuple(int(number) for number in PSEUDOWIRES.values())


def _request(core: ControlConnection) -> Values:
    values = _introduction(core)
    if core.settings.tie_breaker:
        core.tie_breaker = int.from_bytes(core.site.random(8), "big")
        values[TIE_BREAKER] = core.tie_breaker
    return values


def _both(core: ControlConnection) -> Values:
    """Ask in a way that a peer of either version can answer (RFC 3931 4.7.3)."""
    return {**_introduction(core), **speech.V2.request(core)}


def _introduction(core: ControlConnection) -> dict[Avp[Any], Any]:
    """Return what SCCRQ and SCCRP say of us (6.1, 6.2)."""
    settings = core.settings
    values: dict[Avp[Any], Any] = {
        HOST_NAME: settings.host_name or core.site.hostname,
        ROUTER_ID: core.site.router_id,
        ASSIGNED_CONTROL_CONNECTION_ID: core.local_id,
        PSEUDOWIRE_CAPABILITIES: CAPABILITIES,
        RECEIVE_WINDOW_SIZE: settings.receive_window,
        VENDOR_NAME: core.site.vendor_name,
    }
    if core.guard is not None and core.guard.nonce:
        values[CONTROL_MESSAGE_NONCE] = core.guard.nonce
    if Effect.OMIT_VENDOR_NAME in core.quirks:
        del values[VENDOR_NAME]
    return values


def _check(said: Message, settings: TunnelSettings, site: Site) -> None:
    """Refuse a peer that wants messages signed where we do not sign them (4.3: both sides do, or neither). Raises `RemoteProtocolError`."""
    nonce = said.get(CONTROL_MESSAGE_NONCE)
    if nonce is None:
        return
    if not settings.secret or settings.digest is Digest.NONE:
        raise speech.unauthorized(
            site, "no secret is shared" if not settings.secret else "messages are not signed here"
        )
    if nonce in site.challenges:
        # Sent back to us, our own request and answer would carry the right digests: both sides' nonces would fall into the same order.
        raise speech.unauthorized(site, "a nonce of ours came back")


V3 = Speech(
    peer_id=ASSIGNED_CONTROL_CONNECTION_ID,
    request=_request,
    reply=lambda core, _said: _introduction(core),
    confirm=lambda _core, _said: {},
    verify=lambda _core, _said: None,  # every message was, before anything in it was believed
    check=_check,
    facts=facts_of_v3,
    timed_out=StopResult.FSM_ERROR,  # RFC 3931 5.4.2: "Finite state machine error or timeout"
)
EITHER = Speech(
    peer_id=speech.V2.peer_id,
    request=_both,
    reply=speech.V2.reply,
    confirm=speech.V2.confirm,
    verify=speech.V2.verify,
    check=speech.V2.check,
    facts=speech.V2.facts,
    timed_out=speech.V2.timed_out,
)
