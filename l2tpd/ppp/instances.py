"""PPP of all sessions that have it end here: what is told of each, and what an operator may do to it. Pure; time comes in seconds.

A session's PPP is up while at least one network protocol is. What goes up goes down again, once, before its session does, whoever ends which first:
`Instances.over` is for those who end the session, and nothing is told of its PPP from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

import attrs

from l2tpd.events import Network, PppEvent, What
from l2tpd.ppp.describe import disconnect_text

if TYPE_CHECKING:
    from l2tpd.ppp.accountant import Traffic
    from l2tpd.session.call import Call
    from l2tpd.wire.values import DisconnectCause

Key = tuple[int, int]
"""Our tunnel id and session id."""


class _Up(NamedTuple):
    """A network that is up, and since when, in seconds."""

    event: PppEvent
    since: float


@attrs.define(eq=False)
class Report:
    """What is told of one session's PPP. `count` returns what the session has moved so far."""

    tunnel_id: int
    call: Call
    tell: Callable[[PppEvent], None]
    count: Callable[[], Traffic]
    _up: dict[Network, _Up] = attrs.field(factory=dict)
    encryption: str = ""  # how packets pass encrypted; empty: they do not
    _over: bool = False

    @property
    def key(self) -> Key:
        """Whose PPP it is."""
        return self.tunnel_id, self.call.local_id

    @property
    def networks(self) -> dict[Network, PppEvent]:
        """The networks that are up, as they came up."""
        return {network: up.event for network, up in self._up.items()}

    @property
    def interfaces(self) -> set[str]:
        """The interfaces of networks that are up, which may be one for all or for many sessions."""
        return {up.event.interface for up in self._up.values()}

    def duration(self, now: float) -> float:
        """Return for how long a network has been up, 0: none is."""
        return now - min((up.since for up in self._up.values()), default=now)

    def up(self, event: PppEvent, now: float) -> None:
        """Say that a network is up, with what is known of its session; nothing is said once the session is over."""
        if self._over:
            return
        self.down(event.network, None, "negotiated anew", now)  # where nobody has said that it was: a pppd does not
        call = self.call
        told = attrs.evolve(
            event, name=call.name, profile=call.profile, user_data=call.settings.user_data, user=call.ppp_user
        )
        self._up[told.network] = _Up(told, now)
        self.tell(told)

    def down(self, network: Network, cause: DisconnectCause | None, text: str, now: float) -> None:
        """Say that a network is down, if it was up; `cause` and `text` are why, as far as that is known."""
        if network in self._up:
            self._down(network, cause, text, now, self.count())

    def _down(self, network: Network, cause: DisconnectCause | None, text: str, now: float, traffic: Traffic) -> None:
        (before, since), call = self._up.pop(network), self.call
        by = call.ending.by if call.ending else "us"
        self.tell(
            attrs.evolve(
                before,
                what=What.DOWN,
                message=text,
                cause=disconnect_text(cause, by) if cause else "",
                duration=now - since,
                rx_packets=traffic.input_packets,
                rx_bytes=traffic.input_octets,
                tx_packets=traffic.output_packets,
                tx_bytes=traffic.output_octets,
            )
        )

    def all_down(self, cause: DisconnectCause | None, text: str, now: float) -> None:
        """Say that every network is down that was up."""
        if not self._up:
            return
        traffic = self.count()  # once: the kernel is asked for it
        for network in list(self._up):
            self._down(network, cause, text, now, traffic)

    def over(self, text: str, now: float) -> None:
        """Say that everything is down, and nothing any more."""
        self.all_down(self.call.disconnect, text, now)
        self._over = True


@attrs.frozen(kw_only=True)
class Limits:
    """How long a session may last and be idle, in seconds; 0: for ever. `left` is what it still has of the first, None: no end is set."""

    session_timeout: float = 0.0
    idle_timeout: float = 0.0
    left: float | None = None


class Instance(Protocol):
    """PPP of one session."""

    @property
    def report(self) -> Report:
        """What is told of it."""

    @property
    def engine(self) -> str:
        """Who runs it: builtin, pppd."""

    @property
    def sets_down(self) -> bool:
        """Whether it sets its interface down itself, for reasons of its own."""

    @property
    def state(self) -> str:
        """How far it is: the phases of RFC 1661 3.2, and `up` while a network is."""

    def limits(self, now: float) -> Limits:
        """Return how long it may last."""

    def disconnect(self, text: str) -> None:
        """End it politely, telling the peer why; the session follows."""

    def configured(self) -> None:
        """Take note that the configuration has changed."""


@attrs.define(eq=False)
class Holding:
    """Has an instance among all; no generator, which would take ten times the memory for each session."""

    _all: dict[Key, Instance]
    _instance: Instance

    def __enter__(self) -> None:
        self._all[self._instance.report.key] = self._instance

    def __exit__(self, *_: object) -> None:
        key = self._instance.report.key
        if self._all.get(key) is self._instance:
            del self._all[key]


class Instances:
    """The PPP that there is; `tell` is told of every event."""

    def __init__(self, tell: Callable[[PppEvent], None] = lambda _: None) -> None:
        """Begin without any."""
        self.tell = tell
        self._all: dict[Key, Instance] = {}

    def __iter__(self) -> Iterator[Instance]:
        """Yield all of them; more may come and go meanwhile."""
        return iter(list(self._all.values()))

    def get(self, key: Key) -> Instance | None:
        """Return the PPP of a session, None: it has none, or not here."""
        return self._all.get(key)

    def called(self, name: str) -> list[Instance]:
        """Return those whose interface or session has this name."""
        return [one for one in self._all.values() if name == one.report.call.name or name in one.report.interfaces]

    def holding(self, instance: Instance) -> Holding:
        """Have an instance among all, as long as it lasts."""
        return Holding(self._all, instance)

    def over(self, key: Key, text: str, now: float) -> None:
        """Say that the networks of a session are down, which is about to end."""
        instance = self._all.get(key)
        if instance is not None:
            instance.report.over(text, now)
