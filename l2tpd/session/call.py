"""One call of a tunnel: its facts, and the one function that feeds it an input.

A call is data. It owns no task, no timer and no socket; whatever it wants done it asks of its control connection, through the `Carrier` that is
handed to every action. The behaviour stands in `table.py` and `actions.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from l2tpd.config.model import Role, SessionSettings, Sublayer
from l2tpd.events import By, SessionEvent
from l2tpd.kernel.ops import Operation
from l2tpd.keys import Key
from l2tpd.wire.messages import Message
from l2tpd.wire.numbers import CircuitStatus
from l2tpd.wire.values import AccmValue, CallErrors, DisconnectCause

if TYPE_CHECKING:
    from l2tpd.session.speech import Speech
    from l2tpd.wire.avp import Avp


class Kind(Key):
    """Which call table applies: our role, and who asked for the call (RFC 2661 7.4, 7.5); or nobody asks, since both ends are configured."""

    LAC_INCOMING = "LAIC"
    LNS_INCOMING = "LNIC"
    LAC_OUTGOING = "LAOC"
    LNS_OUTGOING = "LNOC"
    STATIC = "static"

    @property
    def role(self) -> Role:
        """Return what we are in this call."""
        return Role.LAC if self in _LAC else Role.LNS

    @property
    def ours(self) -> bool:
        """Tell whether we asked for the call."""
        return self in _OURS


_LAC = frozenset({Kind.LAC_INCOMING, Kind.LAC_OUTGOING, Kind.STATIC})
_OURS = frozenset({Kind.LAC_INCOMING, Kind.LNS_OUTGOING, Kind.STATIC})


class State(Key):
    """The call states of RFC 2661, and one of ours: waiting for the data plane."""

    IDLE = "idle"
    WAIT_TUNNEL = "wait-tunnel"
    WAIT_REPLY = "wait-reply"
    WAIT_CONNECT = "wait-connect"
    WAIT_CS_ANSWER = "wait-cs-answer"
    WAIT_PLANE = "wait-plane"
    ESTABLISHED = "established"


@attrs.frozen
class Ending:
    """Why a tunnel or call ended: codes and text of RFC 2661 4.4.2, and which side said so.

    A call that ends with its tunnel has no result of its own: the codes of StopCCN mean other things than those of CDN.
    """

    result: int | None
    error: int | None
    message: str
    by: By


ACTIVE: Final = int(CircuitStatus.ACTIVE)
NEW: Final = int(CircuitStatus.NEW)
"""Plain integers: an operation on an enumeration costs thirty times as much."""


def clip(text: str) -> str:
    """Shorten a reason to what an error message may well be (RFC 2661 4.4.2 sets no limit below that of an AVP)."""
    return text.encode("utf-8", "replace")[:500].decode("utf-8", "ignore")


@attrs.frozen(kw_only=True)
class Ipv6Facts:
    """What PPP has settled on for IPv6; what there is not is empty."""

    local: str = ""  # link-local addresses
    remote: str = ""
    prefix: str = ""  # of the link
    delegated_prefix: str = ""  # of the networks behind the subscriber
    address: str = ""  # that the subscriber may ask for by DHCPv6


NO_IPV6 = Ipv6Facts()


@attrs.define(eq=False)
class Call:
    """The facts of one call. Times are seconds of the shell's clock; `peer_id` is 0 until the peer has assigned one."""

    local_id: int
    kind: Kind
    settings: SessionSettings
    created: float
    serial: int
    name: str = ""
    profile: str = ""
    peer_id: int = 0
    state: State = State.IDLE
    since: float = attrs.field(default=attrs.Factory(lambda self: self.created, takes_self=True))
    begun: float | None = None  # when its set-up began; None: it waits for its tunnel
    plane_asked: bool = False
    plane_up: bool = False
    was_up: bool = False
    sequencing: bool = False
    numbered: bool = False  # what the data plane was told of it
    sending: bool = True  # what the data plane was told: frames may go to the peer
    cookie: bytes = attrs.field(default=b"", repr=False)  # that the peer's data packets carry (RFC 3931 4.1)
    peer_cookie: bytes = attrs.field(default=b"", repr=False)  # that ours carry
    sublayer: Sublayer = Sublayer.DEFAULT
    end_id: str = ""  # Remote End ID (RFC 3931 5.4.4)
    tie_breaker: int | None = None  # of our request, where there may be a tie
    active: bool = True  # our circuit is
    told_active: bool = True  # what the peer was told of it
    circuit: int | None = None  # the peer's Circuit Status (RFC 3931 5.4.5)
    interface: str = ""
    ppp_user: str = ""  # who was let in, while PPP ends here
    ppp_local: str = ""  # addresses that PPP has settled on
    ppp_remote: str = ""
    ppp_ipv6: Ipv6Facts | None = None  # None: IPv6 is not spoken
    calling_number: str = ""
    called_number: str = ""
    tx_connect_speed: int = 0
    rx_connect_speed: int = 0
    proxy: Mapping[Avp[Any], Any] | None = attrs.field(
        default=None, repr=False
    )  # what a LAC says it has negotiated in our place (RFC 2661 4.4.5), until PPP takes it
    disconnect: DisconnectCause | None = None  # why PPP ended, in the words of who ended the call (RFC 3145)
    wan_errors: CallErrors | None = None
    accm: AccmValue | None = None
    ending: Ending | None = None
    trace: int = 0

    @property
    def wanted(self) -> bool:
        """Tell whether the peer wants data packets: not while its circuit is Not Active (RFC 3931 5.4.5)."""
        return self.circuit is None or bool(self.circuit & ACTIVE)


class Carrier(Protocol):
    """What a call may ask of its control connection."""

    @property
    def local_id(self) -> int:
        """Our tunnel id."""

    @property
    def peer_id(self) -> int:
        """The peer's tunnel id."""

    @property
    def name(self) -> str:
        """The tunnel's administrative name, empty when the peer opened it."""

    @property
    def speech(self) -> Speech:
        """How messages of a call are put, and read."""

    @property
    def silent_avps(self) -> frozenset[object]:
        """AVPs that this peer must not be sent (quirk table)."""

    def send(self, message: Message, peer_session_id: int, now: float) -> None:
        """Send a message reliably to a session of the peer, 0 when it has assigned no id."""

    def tell(self, event: SessionEvent) -> None:
        """Tell the outside what happened."""

    def plane(self, operation: Operation) -> None:
        """Ask the data plane for something; the answer comes back as an input."""

    def expect(self, call: Call, deadline: float) -> None:
        """Feed EXPIRED to the call at the deadline unless it is established by then."""

    def relax(self, call: Call) -> None:
        """Take the deadline back."""

    def learn_peer_id(self, call: Call, peer_session_id: int) -> None:
        """Note the id that the peer assigned, so that messages that carry only that one find the call."""

    def forget(self, call: Call, now: float) -> None:
        """Drop an ended call and quarantine its id."""
