"""What contradicts what inside one tunnel and inside one session, a row a contradiction.

What is needed and what clashes is seen in what finally holds, wherever it is said. What has no use is a mistake only where the instance itself says it:
a profile serves tunnels and sessions of several kinds, and what one of them has no use for another may need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

from l2tpd.config.model import (
    Encapsulation,
    HostPort,
    Mode,
    Pseudowire,
    Said,
    SessionSettings,
    Sublayer,
    TunnelInstance,
    TunnelSettings,
    Version,
)

S = TypeVar("S", TunnelSettings, SessionSettings)
Case = Callable[[TunnelInstance, S], bool]

INTERFACE_NAME = 15
"""Octets that Linux allows for the name of an interface (IFNAMSIZ less the NUL)."""


class Rule(NamedTuple, Generic[S]):
    """What is wrong with which keys in which case."""

    keys: tuple[str, ...]
    case: Case[S]
    text: str


class Book(NamedTuple, Generic[S]):
    """All rules of a kind of table."""

    needs: tuple[Rule[S], ...]  # keys that must be said
    clashes: tuple[Rule[S], ...]  # keys whose value cannot be
    useless: tuple[Rule[S], ...]  # keys that the instance may not say


def called(version: Version) -> TunnelInstance:
    """Stand for a tunnel that a peer opened, which speaks this version."""
    return TunnelInstance(name="", peer=HostPort("", 0), version=version)


CALLED = called(Version.L2TPV2)
"""Stands for a tunnel that a peer opened, where nothing else is known."""


def found(book: Book[S], tunnel: TunnelInstance, settings: S, said: Said) -> Iterable[tuple[str, str]]:
    """Yield pairs of key and text, the key empty where one is missing; `said` is what the instance itself says."""
    for rule in book.needs:
        if rule.case(tunnel, settings):
            yield from (
                ("", f"`{key}` is missing: {rule.text}") for key in rule.keys if not _value(tunnel, settings, key)
            )
    for rule in book.clashes:
        if rule.case(tunnel, settings):
            yield from ((key, rule.text) for key in rule.keys)
    for rule in book.useless:
        if not said.keys().isdisjoint(rule.keys) and rule.case(tunnel, settings):
            yield from ((key, rule.text) for key in rule.keys if key in said)


def _value(tunnel: TunnelInstance, settings: object, key: str) -> object:
    return getattr(settings, key, None) or getattr(tunnel, key, None)


NO_PORTS = 'L2TP over IP has no ports: leave the port out or say `encap = "udp"`'
_CHOSEN = 'is for `mode = "static"` and `"quiescent"` alone: in a dynamic tunnel the control protocol chooses it'

# -- cases --------------------------------------------------------------------------------------------------------------------------------


def _v2(tunnel: TunnelInstance, _: object) -> bool:
    return tunnel.version is Version.L2TPV2


def _either(tunnel: TunnelInstance, _: object) -> bool:
    return tunnel.version is Version.AUTO


def _negotiated_v2(tunnel: TunnelInstance, _: object) -> bool:
    return _v2(tunnel, _) and tunnel.mode is Mode.DYNAMIC


def _negotiated_v3(tunnel: TunnelInstance, _: object) -> bool:
    return tunnel.version is Version.L2TPV3 and tunnel.mode is Mode.DYNAMIC


def _over_ip(tunnel: TunnelInstance, _: object) -> bool:
    return tunnel.encap is Encapsulation.IP


def _dynamic(tunnel: TunnelInstance, _: object) -> bool:
    return tunnel.mode is Mode.DYNAMIC


def _not_dynamic(tunnel: TunnelInstance, _: object) -> bool:
    return tunnel.mode is not Mode.DYNAMIC


def _silent(tunnel: TunnelInstance, _: object) -> bool:
    return tunnel.mode is Mode.STATIC


def _ppp(_: object, session: SessionSettings) -> bool:
    return session.pseudowire is Pseudowire.PPP


def _ethernet(_: object, session: SessionSettings) -> bool:
    return session.pseudowire is not Pseudowire.PPP


def _vlan(_: object, session: SessionSettings) -> bool:
    return session.pseudowire is Pseudowire.ETH_VLAN


def _two_masters(_: object, session: SessionSettings) -> bool:
    return _ethernet(_, session) and bool(session.address and session.bridge)


def _far_end_alone(_: object, session: SessionSettings) -> bool:
    return _ethernet(_, session) and bool(session.peer_address and not session.address)


def _mixed_families(_: object, session: SessionSettings) -> bool:
    both = bool(session.address and session.peer_address)
    return _ethernet(_, session) and both and (":" in session.address) != (":" in session.peer_address)


def _no_room_for_numbers(tunnel: TunnelInstance, session: SessionSettings) -> bool:
    return not _v2(tunnel, session) and session.sublayer is Sublayer.NONE and session.sequencing_required


def _long_name(_: object, session: SessionSettings) -> bool:
    shortest = f"{session.interface_name.replace('%d', '0')}.{session.vlan_id}"
    return _vlan(_, session) and bool(session.interface_name) and len(shortest.encode()) > INTERFACE_NAME


# -- tables -------------------------------------------------------------------------------------------------------------------------------

TUNNEL: Book[TunnelSettings] = Book(
    needs=(Rule(("tunnel_id", "peer_tunnel_id"), _not_dynamic, "a tunnel that no control messages set up needs both"),),
    clashes=(
        Rule(
            ("encap",),
            lambda tunnel, _: _v2(tunnel, _) and _over_ip(tunnel, _),
            'L2TPv2 runs over UDP alone: `"ip"` needs `version = "l2tpv3"` (RFC 3931 4.1.1)',
        ),
        Rule(
            ("encap",),
            lambda tunnel, _: _either(tunnel, _) and _over_ip(tunnel, _),
            'from `"ip"` there is no way back to L2TPv2, which `version = "auto"` promises: say `"udp"`, or `version = "l2tpv3"` (RFC 3931 4.7.1)',
        ),
        Rule(
            ("mode",),
            lambda tunnel, _: _v2(tunnel, _) and _not_dynamic(tunnel, _),
            'L2TPv2 tunnels are set up by control messages: any mode but `"dynamic"` needs `version = "l2tpv3"`',
        ),
        Rule(
            ("mode",),
            lambda tunnel, _: _either(tunnel, _) and _not_dynamic(tunnel, _),
            '`version = "auto"` is settled by control messages: any mode but `"dynamic"` needs `version = "l2tpv3"`',
        ),
        Rule(("peer",), lambda tunnel, _: _over_ip(tunnel, _) and tunnel.peer.port != 0, NO_PORTS),
        Rule(
            ("local_port",),
            lambda tunnel, _: _over_ip(tunnel, _) and tunnel.local_port != 0,
            'L2TP over IP has no ports: leave it out or say `encap = "udp"`',
        ),
        Rule(("tunnel_id",), lambda tunnel, _: _dynamic(tunnel, _) and tunnel.tunnel_id != 0, _CHOSEN),
        Rule(("peer_tunnel_id",), lambda tunnel, _: _dynamic(tunnel, _) and tunnel.peer_tunnel_id != 0, _CHOSEN),
        Rule(
            ("hello_timeout",),
            lambda tunnel, settings: tunnel.mode is Mode.QUIESCENT and settings.hello_timeout == 0,
            'without HELLO, `mode = "quiescent"` cannot tell whether the peer is there: say more than 0, or `mode = "static"`',
        ),
    ),
    useless=(
        Rule(
            (
                "host_name", "secret", "secret_file", "authentication", "digest", "hide_avps", "tie_breaker", "receive_window",
                "framing_caps", "bearer_caps", "firmware_revision",
            ),
            _not_dynamic,
            "has no use here: no control messages set this tunnel up",
        ),
        Rule(
            ("hello_timeout", "retry_timeout", "retry_cap", "max_retries"),
            _silent,
            'has no use here: a static tunnel sends no control messages; `mode = "quiescent"` keeps alive by HELLO',
        ),
        Rule(("udp_checksum",), _over_ip, "has no use here: this tunnel does not run over UDP"),
        Rule(("digest",), _negotiated_v2, "has no use here: only L2TPv3 signs its messages (RFC 3931 5.4.1)"),
        Rule(
            ("authentication",),
            _negotiated_v3,
            "has no use here: only L2TPv2 challenges; with a secret, L2TPv3 signs its messages (RFC 3931 4.3)",
        ),
        Rule(
            ("framing_caps", "bearer_caps", "firmware_revision"),
            _negotiated_v3,
            "has no use here: only L2TPv2 announces it (RFC 2661 4.4.3)",
        ),
    ),
)  # fmt: skip
"""Rules of `[tunnel.NAME]`."""

SESSION: Book[SessionSettings] = Book(
    needs=(
        Rule(("session_id", "peer_session_id"), _not_dynamic, "a session that no control messages set up needs both"),
        Rule(("vlan_id",), _vlan, '`pseudowire = "eth-vlan"` needs it'),
    ),
    clashes=(
        Rule(
            ("pseudowire",),
            lambda tunnel, session: _v2(tunnel, session) and _ethernet(tunnel, session),
            'L2TPv2 carries `"ppp"` alone: any other needs `version = "l2tpv3"` in the tunnel',
        ),
        Rule(
            ("pseudowire",),
            lambda tunnel, session: _either(tunnel, session) and _ethernet(tunnel, session),
            '`version = "auto"` may end in L2TPv2, which carries `"ppp"` alone: any other needs `"l2tpv3"` in the tunnel (RFC 3931 4.7.3)',
        ),
        Rule(("address",), _two_masters, "an interface in a `bridge` has no address of its own: say one of the two"),
        Rule(("peer_address",), _far_end_alone, "needs an `address` of this end"),
        Rule(("peer_address",), _mixed_families, "is not of the same IP version as `address`"),
        Rule(
            ("sublayer",),
            _no_room_for_numbers,
            '`"none"` leaves no room for the sequence numbers that `sequencing_required` asks for (RFC 3931 4.6)',
        ),
        Rule(
            ("interface_name",),
            _long_name,
            f"is too long: with `.` and `vlan_id` it makes the VLAN's name, which has at most {INTERFACE_NAME} octets",
        ),
    ),
    useless=(
        Rule(("session_id", "peer_session_id", "cookie", "peer_cookie"), _dynamic, _CHOSEN),
        Rule(("sublayer",), _v2, "has no use here: only L2TPv3 has a sublayer (RFC 3931 4.6)"),
        Rule(("cookie_size",), _v2, "has no use here: only L2TPv3 has cookies (RFC 3931 4.1)"),
        Rule(("remote_end_id",), _v2, "has no use here: only L2TPv3 says it (RFC 3931 5.4.4)"),
        Rule(("address", "peer_address", "bridge"), _ppp, "has no use here: PPP sees to its interface itself"),
        Rule(("vlan_id",), lambda tunnel, session: not _vlan(tunnel, session), 'is for `pseudowire = "eth-vlan"` alone'),
        Rule(("user", "password", "password_file"), _ethernet, 'has no use here: only `pseudowire = "ppp"` knows users'),
        Rule(
            (
                "bearer_type", "framing_type", "calling_number", "called_number", "sub_address", "tx_connect_speed",
                "rx_connect_speed", "minimum_bps", "maximum_bps", "physical_channel_id", "private_group_id", "cookie_size",
                "remote_end_id",
            ),
            _not_dynamic,
            "has no use here: no control messages set this session up",
        ),
        Rule(
            (
                "bearer_type", "framing_type", "calling_number", "called_number", "sub_address", "minimum_bps", "maximum_bps",
                "private_group_id",
            ),
            _negotiated_v3,
            "has no use here: only L2TPv2 says it (RFC 2661 4.4.4)",
        ),
    ),
)  # fmt: skip
"""Rules of `[tunnel.NAME.session.NAME]`."""
