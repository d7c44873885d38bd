"""How tunnels, sessions and counters look to an operator: cores in, views out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from l2tpd.config.model import Role
from l2tpd.config.scalars import end_id_as_said
from l2tpd.control import views
from l2tpd.control.jsonrpc import Json
from l2tpd.control.settings import told
from l2tpd.ppp.way import Way
from l2tpd.session.call import NO_IPV6, Call, Ending, Kind
from l2tpd.session.call import State as CallState
from l2tpd.trace import WORDS, Category
from l2tpd.tunnel.states import State
from l2tpd.wire.numbers import BEARERS, FRAMINGS, CircuitStatus, MessageType, PseudowireType, name_of

if TYPE_CHECKING:
    from l2tpd.config.model import Address, Peer, Pool, TunnelInstance
    from l2tpd.ppp.addresses import Fill
    from l2tpd.ppp.instances import Instance
    from l2tpd.tunnel.core import ControlConnection
    from l2tpd.tunnel.facts import PeerFacts
    from l2tpd.tunnel.site import Counters


class Shell(Protocol):
    """What is shown of a tunnel beside its core."""

    @property
    def core(self) -> ControlConnection:
        """Return the control connection."""

    @property
    def local(self) -> Address:
        """Return our address."""


class Waiting(Protocol):
    """What is shown of whatever keeps a tunnel open."""

    @property
    def instance(self) -> TunnelInstance:
        """Return the instance's configuration."""

    @property
    def attempts(self) -> int:
        """Return how often it was tried since the tunnel was last up."""

    @property
    def last_error(self) -> str:
        """Return what kept the last attempt from sending anything."""

    @property
    def last_ending(self) -> Ending | None:
        """Return how the tunnel ended last."""


def state(core: ControlConnection) -> str:
    """Return the word for a tunnel's state; `up` is the RFC's established state and nothing else."""
    if core.state is State.ESTABLISHED:
        return views.UP
    return "waiting" if core.state is State.IDLE else core.state.value


def session_state(call: Call) -> str:
    """Return the word for a session's state; `up` also means that the data plane carries it."""
    return _call_state(call.state)


def _call_state(state: CallState) -> str:
    return views.UP if state is CallState.ESTABLISHED else state.value


def tunnel_row(tunnel: Shell, now: float) -> views.TunnelRow:
    """Return the list row of a tunnel."""
    return views.TunnelRow(**_row(tunnel, now))


def tunnel(tunnel: Shell, line: Waiting | None, retry_in: float | None, now: float) -> views.TunnelView:
    """Describe a tunnel; `line` is what keeps it open, if anything does."""
    core = tunnel.core
    ending = core.ending or (line.last_ending if line else None)
    return views.TunnelView(
        **_row(tunnel, now),
        mode=core.dialect.mode.value,
        profile=core.profile if core.origin == "local" else "",
        peer=core.profile if core.origin == "network" else "",
        persist=line.instance.persist if line else False,
        created=now - core.created,
        settings=settings(core.settings),
        remote=_remote(core.facts) if core.facts else views.RemoteView(),
        transport=_transport(core),
        ended=_ended(ending),
        last_error=line.last_error if line else "",
        attempts=line.attempts if line else 0,
        retry_in=retry_in,
        trace=words(core.trace),
    )


def session_row(core: ControlConnection, call: Call, now: float) -> views.SessionRow:
    """Return the list row of a session."""
    return views.SessionRow(**_session_row(core, call, now))


def session(core: ControlConnection, call: Call, now: float) -> views.SessionView:
    """Describe a session."""
    asked = call.settings
    return views.SessionView(
        **_session_row(core, call, now),
        profile=call.profile,
        pseudowire_profile=asked.pseudowire_profile,
        peer_tunnel_id=core.peer_id,
        persist=asked.persist,
        created=now - call.created,
        user_data=asked.user_data,
        settings=settings(asked),
        call=_call(call) if core.dialect.header == 2 else _call3(call),
        call_errors=views.CallErrorsView(**attrs.asdict(call.wan_errors)) if call.wan_errors else None,
        send_accm=call.accm.send if call.accm else None,
        receive_accm=call.accm.receive if call.accm else None,
        ended=_ended(call.ending),
        ppp=_ppp(call),
        trace=words(call.trace),
    )


def traffic(row: views.SessionRow, counters: Mapping[str, int]) -> views.TrafficRow:
    """Tell what a session has carried, by the counters that its data plane has of it."""
    return views.TrafficRow(
        id=row.id,
        tunnel_id=row.tunnel_id,
        tunnel_name=row.tunnel_name,
        name=row.name,
        interface=row.interface,
        **{name: counters.get(name, 0) for name in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")},
    )


_OUTGOING = frozenset({Kind.LAC_OUTGOING, Kind.LNS_OUTGOING})


def _call(call: Call) -> views.CallView:
    """Describe what was said about a call: by us where that was for us to say, else by the peer."""
    asked, kind = call.settings, call.kind
    lac = kind.role is Role.LAC  # the LAC announces speeds, in ICCN or OCCN
    return views.CallView(
        role=kind.role.value,
        direction="incoming" if kind in {Kind.LAC_INCOMING, Kind.LNS_INCOMING} else "outgoing",
        call_serial_number=call.serial,
        tx_connect_speed=asked.tx_connect_speed if lac else call.tx_connect_speed,
        rx_connect_speed=asked.rx_connect_speed if lac else call.rx_connect_speed,
        bearer_type=asked.bearer_type if kind.ours else "",
        framing_type=asked.framing_type if kind.ours else "",
        calling_number=asked.calling_number if kind.ours else call.calling_number,
        called_number=asked.called_number if kind.ours else call.called_number,
        sub_address=asked.sub_address if kind.ours else "",
        private_group_id=asked.private_group_id if kind.ours else "",
        physical_channel_id=asked.physical_channel_id if kind.ours else None,
        sequencing_required=call.sequencing,
    )


def _call3(call: Call) -> views.CallView:
    """Describe what was said about a call of version 3, or configured."""
    asked, kind = call.settings, call.kind
    return views.CallView(
        direction="" if kind is Kind.STATIC else "outgoing" if kind in _OUTGOING else "incoming",
        call_serial_number=call.serial,
        tx_connect_speed=asked.tx_connect_speed if kind.ours else call.tx_connect_speed,
        rx_connect_speed=asked.rx_connect_speed if kind.ours else call.rx_connect_speed,
        sequencing_required=call.sequencing,
        remote_end_id=end_id_as_said(call.end_id),
        circuit=_circuit(call.active),
        peer_circuit="" if call.circuit is None else _circuit(bool(call.circuit & CircuitStatus.ACTIVE)),
        sublayer=call.sublayer.value,
        cookie=call.cookie.hex(),
        peer_cookie=call.peer_cookie.hex(),
    )


def _ppp(call: Call) -> views.PppView | None:
    """Describe PPP, as far as it has come; None: it has not, or it does not end here."""
    if not (call.ppp_user or call.ppp_remote or call.ppp_ipv6):
        return None
    six = call.ppp_ipv6 or NO_IPV6
    return views.PppView(
        state=views.UP if call.ppp_remote or call.ppp_ipv6 else "authenticated",
        user=call.ppp_user,
        local_address=call.ppp_local,
        remote_address=call.ppp_remote,
        local_ipv6=six.local,
        remote_ipv6=six.remote,
        ipv6_prefix=six.prefix,
        delegated_prefix=six.delegated_prefix,
        ipv6_address=six.address,
    )


def ppp_row(instance: Instance, core: ControlConnection, now: float) -> views.PppRow:
    """Return the list row of a session's PPP."""
    return views.PppRow(**_ppp_row(instance, core, now))


def ppp(instance: Instance, core: ControlConnection, now: float) -> views.PppDetail:
    """Describe the PPP of a session."""
    report, limits = instance.report, instance.limits(now)
    networks, traffic = report.networks.values(), report.count()
    return views.PppDetail(
        **_ppp_row(instance, core, now),
        engine=instance.engine,
        encryption=report.encryption,
        mtu=max((event.mtu for event in networks), default=0),
        dns=tuple(server for event in networks for server in event.dns),
        routes=tuple(route for event in networks for route in event.routes),
        session_timeout=limits.session_timeout,
        session_left=limits.left,
        idle_timeout=limits.idle_timeout,
        counters={
            "rx_packets": traffic.input_packets,
            "rx_bytes": traffic.input_octets,
            "tx_packets": traffic.output_packets,
            "tx_bytes": traffic.output_octets,
        },
    )


def _ppp_row(instance: Instance, core: ControlConnection, now: float) -> dict[str, Any]:
    report = instance.report
    four, six = (report.networks.get(network) for network in ("ipv4", "ipv6"))
    return {
        "tunnel_id": core.local_id,
        "session_id": report.call.local_id,
        "tunnel_name": core.name,
        "name": report.call.name,
        "state": instance.state,
        "user": report.call.ppp_user,
        "interface": report.call.interface,
        "local_address": four.local if four else "",
        "remote_address": four.remote if four else "",
        "local_ipv6": six.local if six else "",
        "remote_ipv6": six.remote if six else "",
        "uptime": report.duration(now),
    }


def _circuit(active: bool) -> str:
    return "active" if active else "inactive"


def peer(name: str, entry: Peer, tunnels: int) -> views.PeerView:
    """Describe a peer entry."""
    return views.PeerView(
        name=name,
        match=entry.match,
        host_name=entry.host_name,
        accept=entry.accept,
        roles=tuple(role.value for role in entry.roles),
        secret_set=bool(entry.secret),
        max_tunnels=entry.max_tunnels,
        tunnel_profile=entry.tunnel_profile,
        session_profile=entry.session_profile,
        tunnels=tunnels,
    )


def pool(name: str, settings: Pool, fill: Fill | None) -> views.PoolView:
    """Describe an address pool; `fill` is how full it is, None while nothing hands out its addresses."""
    said = views.PoolView(
        name=name,
        range=settings.range,
        exclude=settings.exclude,
        prefix_length=settings.prefix_length,
        next=settings.next,
    )
    return said if fill is None else attrs.evolve(said, **fill._asdict())


def census(tunnels: Iterable[Shell]) -> Mapping[str, int]:
    """Count tunnels by state."""
    return Counter(state(tunnel.core) for tunnel in tunnels)


def session_census(counted: Mapping[CallState, int]) -> Mapping[str, int]:
    """Name the states of sessions that have been counted."""
    return {_call_state(state): count for state, count in counted.items() if count}


def statistics(counters: Counters, since: float, more: Mapping[str, int]) -> views.StatisticsView:
    """Describe the daemon's counters."""
    single = {key: value for key, value in attrs.asdict(counters).items() if isinstance(value, int)}
    kinds = sorted(counters.sent.keys() | counters.received.keys() | counters.bad.keys())
    messages = tuple(
        views.MessageCount(
            message=name_of(MessageType, kind),
            sent=counters.sent.get(kind, 0),
            received=counters.received.get(kind, 0),
            bad=counters.bad.get(kind, 0),
        )
        for kind in kinds
    )
    return views.StatisticsView(since=since, counters={**single, **more}, messages=messages)


def words(mask: int) -> tuple[str, ...]:
    """Return the words of a trace mask."""
    return tuple(word for word, category in WORDS.items() if category is not Category.ALL and mask & int(category))


def settings(table: object) -> dict[str, Json]:
    """Return a settings object or said keys as JSON can carry them; what an instance says stands among its own keys."""
    shown = told(table, without={"sessions"})  # they are tables of their own, and may be many
    said = shown.pop("said", None)
    return {**shown, **said} if isinstance(said, dict) else shown


def _row(tunnel: Shell, now: float) -> dict[str, Any]:
    core = tunnel.core
    return {
        "id": core.local_id,
        "peer_id": core.peer_id,
        "name": core.name,
        "version": core.dialect.version.value,
        "encap": core.encap.value,
        "state": state(core),
        "local_address": str(tunnel.local),
        "peer_address": str(core.peer),
        "peer_host_name": core.facts.host_name if core.facts else "",
        "sessions": len(core.calls),
        "origin": core.origin,
        "in_state": now - core.since,
    }


def way(tunnel: Shell) -> Way:
    """Describe a tunnel to those who deal with its callers."""
    core = tunnel.core
    return Way(
        peer=core.peer.host,
        local="" if tunnel.local.host in {"0.0.0.0", "::"} else tunnel.local.host,  # noqa: S104 - compared, not bound
        peer_name=core.facts.host_name if core.facts else "",
        local_name=core.settings.host_name or core.site.hostname,
        name=core.name,
    )


def _session_row(core: ControlConnection, call: Call, now: float) -> dict[str, Any]:
    return {
        "id": call.local_id,
        "peer_id": call.peer_id,
        "tunnel_id": core.local_id,
        "tunnel_name": core.name,
        "name": call.name,
        "state": session_state(call),
        "pseudowire": call.settings.pseudowire.value,
        "interface": call.interface,
        "origin": "local" if call.kind.ours else "network",
        "in_state": now - call.since,
    }


def _remote(facts: PeerFacts) -> views.RemoteView:
    return views.RemoteView(
        host_name=facts.host_name,
        vendor_name=facts.vendor_name,
        firmware_revision=facts.firmware_revision,
        protocol_version="" if facts.pseudowires else "1.0",  # the only one that is accepted
        framing_caps=tuple(word for word, bit in FRAMINGS.items() if facts.framing_caps & bit),
        bearer_caps=tuple(word for word, bit in BEARERS.items() if facts.bearer_caps & bit),
        receive_window=facts.receive_window,
        router_id=str(IPv4Address(facts.router_id)) if facts.router_id else "",
        pseudowires=tuple(name_of(PseudowireType, number).lower() for number in facts.pseudowires),
        preferred_language=facts.preferred_language,
    )


def _transport(core: ControlConnection) -> views.TransportView:
    channel, stats = core.channel, core.channel.stats
    return views.TransportView(
        ns=channel.ns,
        nr=channel.nr,
        receive_window=core.settings.receive_window,
        peer_window=channel.peer_window,
        cwnd=channel.cwnd,
        ssthresh=channel.ssthresh,
        in_flight=channel.in_flight,
        queued=channel.queued,
        messages_sent=stats.sent,
        messages_received=stats.received,
        retransmits=stats.retransmitted,
        zlb_sent=stats.zlb_sent,
        zlb_received=stats.zlb_received,
        duplicates=stats.duplicates,
        out_of_order=stats.out_of_order,
        discarded=stats.out_of_window + stats.bad_nr,
    )


def _ended(ending: Ending | None) -> views.EndView | None:
    return (
        None
        if ending is None
        else views.EndView(result=ending.result, error=ending.error, message=ending.message, by=ending.by)
    )
