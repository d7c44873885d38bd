"""What a peer says of itself while the tunnel is set up, and what follows from it for the calls that it can serve."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import attrs

from l2tpd.config.model import Pseudowire
from l2tpd.session.call import Kind
from l2tpd.session.speech import BEARER_BITS, FRAMING_BITS
from l2tpd.session.speech3 import PSEUDOWIRES
from l2tpd.wire.avp import (
    BEARER_CAPABILITIES,
    FIRMWARE_REVISION,
    FRAMING_CAPABILITIES,
    HOST_NAME,
    PREFERRED_LANGUAGE,
    PSEUDOWIRE_CAPABILITIES,
    RECEIVE_WINDOW_SIZE,
    ROUTER_ID,
    VENDOR_NAME,
)

if TYPE_CHECKING:
    from l2tpd.config.model import SessionSettings
    from l2tpd.wire.messages import Message

_DEFAULT_WINDOW = 4  # RFC 2661 4.4.3: what an absent Receive Window Size means
_BEARERS = {bits: word for word, bits in BEARER_BITS.items()}
_FRAMINGS = {bits: word for word, bits in FRAMING_BITS.items()}


@attrs.frozen
class PeerFacts:
    """What the peer says of itself in SCCRQ or SCCRP (RFC 2661 6.1, 6.2)."""

    host_name: str
    vendor_name: str
    firmware_revision: int
    framing_caps: int
    bearer_caps: int
    receive_window: int
    router_id: int = 0  # version 3 (RFC 3931 5.4.3), as are the following
    pseudowires: tuple[int, ...] = ()
    preferred_language: str = ""

    def lack(self, kind: Kind, settings: SessionSettings) -> str:
        """Say why the peer cannot serve a call that we ask for; nothing when it can.

        RFC 2661 6.9: no OCRQ to a peer that sent no Bearer Capabilities; 4.4.3: none for a bearer or framing that it did not offer. RFC 3931 5.4.4: no
        pseudowire that is not in the peer's list.
        """
        if self.pseudowires:
            able = PSEUDOWIRES[settings.pseudowire] in self.pseudowires
            return "" if able else f"the peer does not carry {settings.pseudowire.value}"
        if settings.pseudowire is not Pseudowire.PPP:
            return "version 2 carries PPP alone"
        if kind is not Kind.LNS_OUTGOING:
            return ""
        if not BEARER_BITS[settings.bearer_type] & self.bearer_caps:
            return f"the peer has no {settings.bearer_type} bearer"
        if not FRAMING_BITS[settings.framing_type] & self.framing_caps:
            return f"the peer has no {settings.framing_type} framing"
        return ""

    def within(self, kind: Kind, settings: SessionSettings) -> SessionSettings:
        """Return the settings of a call that the peer does not `lack`, with no bearer and framing left that it did not offer (RFC 2661 4.4.4)."""
        if self.pseudowires or kind is not Kind.LNS_OUTGOING:
            return settings
        bearer = _BEARERS[BEARER_BITS[settings.bearer_type] & self.bearer_caps]
        framing = _FRAMINGS[FRAMING_BITS[settings.framing_type] & self.framing_caps]
        alike = (bearer, framing) == (settings.bearer_type, settings.framing_type)
        return settings if alike else _asking(settings, bearer, framing)


@lru_cache(maxsize=256)
def _asking(settings: SessionSettings, bearer: str, framing: str) -> SessionSettings:
    """Return settings that all calls of their kind share."""
    return attrs.evolve(settings, bearer_type=bearer, framing_type=framing)


def facts_of(said: Message) -> PeerFacts:
    """Return what an SCCRQ or SCCRP without a fault says of its sender."""
    return PeerFacts(
        said[HOST_NAME],
        said.get(VENDOR_NAME) or "",
        said.get(FIRMWARE_REVISION) or 0,
        said[FRAMING_CAPABILITIES],
        said.get(BEARER_CAPABILITIES) or 0,
        said.get(RECEIVE_WINDOW_SIZE) or _DEFAULT_WINDOW,
    )


def facts_of_v3(said: Message) -> PeerFacts:
    """Return what an SCCRQ or SCCRP of version 3 without a fault says of its sender (RFC 3931 6.1, 6.2)."""
    return PeerFacts(
        said[HOST_NAME],
        said.get(VENDOR_NAME) or "",
        0,
        0,
        0,
        said.get(RECEIVE_WINDOW_SIZE) or _DEFAULT_WINDOW,
        said.get(ROUTER_ID) or 0,
        said[PSEUDOWIRE_CAPABILITIES],
        said.get(PREFERRED_LANGUAGE) or "",
    )
