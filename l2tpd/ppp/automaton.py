"""The option negotiation automaton of RFC 1661: the table of section 4.1, its Restart timer and its counters.

Theory of operation. `feed` moves the automaton by one cell and gives back the cell's actions, for the owner to carry out in their order; only
what concerns counter and timer is done here. The automaton knows neither packets nor clocks: the owner tells it the time, asks for `deadline`,
and calls `expire` when it has passed.

The table is that of the RFC with its passive option (p) and its restart option (r) not taken; a crossed connection (x) needs nothing of its
own. A dash is an event that cannot occur; feeding it raises `LocalProtocolError` and changes nothing ("no transition is taken, and the
implementation SHOULD NOT reset or freeze").
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple

import attrs

from l2tpd.errors import LocalProtocolError


class State(enum.IntEnum):
    """The states of RFC 1661 4.2, under their numbers in the table."""

    INITIAL = 0
    STARTING = 1
    CLOSED = 2
    STOPPED = 3
    CLOSING = 4
    STOPPING = 5
    REQ_SENT = 6
    ACK_RCVD = 7
    ACK_SENT = 8
    OPENED = 9


class Event(enum.StrEnum):
    """The events of RFC 1661 4.3, under their names in the table."""

    UP = "Up"
    DOWN = "Down"
    OPEN = "Open"
    CLOSE = "Close"
    TO_PLUS = "TO+"
    TO_MINUS = "TO-"
    RCR_PLUS = "RCR+"
    RCR_MINUS = "RCR-"
    RCA = "RCA"
    RCN = "RCN"
    RTR = "RTR"
    RTA = "RTA"
    RUC = "RUC"
    RXJ_PLUS = "RXJ+"
    RXJ_MINUS = "RXJ-"
    RXR = "RXR"


class Action(enum.StrEnum):
    """The actions of RFC 1661 4.4, under their names in the table."""

    TLU = "tlu"
    TLD = "tld"
    TLS = "tls"
    TLF = "tlf"
    IRC = "irc"
    ZRC = "zrc"
    SCR = "scr"
    SCA = "sca"
    SCN = "scn"
    STR = "str"
    STA = "sta"
    SCJ = "scj"
    SER = "ser"


class Cell(NamedTuple):
    """One cell of the table: what to do, in order, and where that leads."""

    actions: tuple[Action, ...]
    following: State


# fmt: off
_ROWS: Final = {  # RFC 1661 4.1
    #                  Initial Starting   Closed    Stopped       Closing Stopping Req-Sent    Ack-Rcvd    Ack-Sent    Opened
    Event.UP:        ("2",    "irc,scr/6", "-",         "-",            "-",     "-",     "-",         "-",         "-",         "-"),
    Event.DOWN:      ("-",    "-",         "0",         "tls/1",        "0",     "1",     "1",         "1",         "1",         "tld/1"),
    Event.OPEN:      ("tls/1", "1",        "irc,scr/6", "3",            "5",     "5",     "6",         "7",         "8",         "9"),
    Event.CLOSE:     ("0",    "tlf/0",     "2",         "2",            "4",     "4",     "irc,str/4", "irc,str/4", "irc,str/4", "tld,irc,str/4"),
    Event.TO_PLUS:   ("-",    "-",         "-",         "-",            "str/4", "str/5", "scr/6",     "scr/6",     "scr/8",     "-"),
    Event.TO_MINUS:  ("-",    "-",         "-",         "-",            "tlf/2", "tlf/3", "tlf/3",     "tlf/3",     "tlf/3",     "-"),
    Event.RCR_PLUS:  ("-",    "-",         "sta/2", "irc,scr,sca/8",    "4",     "5",     "sca/8",     "sca,tlu/9", "sca/8",     "tld,scr,sca/8"),
    Event.RCR_MINUS: ("-",    "-",         "sta/2", "irc,scr,scn/6",    "4",     "5",     "scn/6",     "scn/7",     "scn/6",     "tld,scr,scn/6"),
    Event.RCA:       ("-",    "-",         "sta/2",     "sta/3",        "4",     "5",     "irc/7",     "scr/6",     "irc,tlu/9", "tld,scr/6"),
    Event.RCN:       ("-",    "-",         "sta/2",     "sta/3",        "4",     "5",     "irc,scr/6", "scr/6",     "irc,scr/8", "tld,scr/6"),
    Event.RTR:       ("-",    "-",         "sta/2",     "sta/3",        "sta/4", "sta/5", "sta/6",     "sta/6",     "sta/6",     "tld,zrc,sta/5"),
    Event.RTA:       ("-",    "-",         "2",         "3",            "tlf/2", "tlf/3", "6",         "6",         "8",         "tld,scr/6"),
    Event.RUC:       ("-",    "-",         "scj/2",     "scj/3",        "scj/4", "scj/5", "scj/6",     "scj/7",     "scj/8",     "scj/9"),
    Event.RXJ_PLUS:  ("-",    "-",         "2",         "3",            "4",     "5",     "6",         "6",         "8",         "9"),
    Event.RXJ_MINUS: ("-",    "-",         "tlf/2",     "tlf/3",        "tlf/2", "tlf/3", "tlf/3",     "tlf/3",     "tlf/3",     "tld,irc,str/5"),
    Event.RXR:       ("-",    "-",         "2",         "3",            "4",     "5",     "6",         "7",         "8",         "ser/9"),
}
# fmt: on


def _cell(text: str) -> Cell | None:
    if text == "-":
        return None
    actions, _, following = text.rpartition("/")
    return Cell(tuple(Action(name) for name in actions.split(",") if name), State(int(following)))


TABLE: Final[Mapping[tuple[Event, State], Cell | None]] = {
    (event, state): _cell(row[state]) for event, row in _ROWS.items() for state in State
}
"""All 160 cells; None is the RFC's dash."""

TIMED: Final = frozenset(state for state in State if TABLE[Event.TO_PLUS, state])
"""States in which the Restart timer runs: those "identifiable by the presence of TO events" (4.1)."""

NEGOTIATING: Final = frozenset({State.REQ_SENT, State.ACK_RCVD, State.ACK_SENT})


@attrs.frozen(kw_only=True)
class Limits:
    """How often and how long to try (RFC 1661 4.6); times in seconds.

    The Restart timer begins at `restart_first` and doubles up to `restart`, for a call over L2TP is seldom as slow as the modem of the RFC.
    """

    restart: float = 3.0
    restart_first: float = 1.0
    max_configure: int = 10  # Configure-Requests without any answer
    max_terminate: int = 2  # Terminate-Requests without an answer
    max_failure: int = 5  # Configure-Naks before they become Configure-Rejects


@attrs.define(eq=False)
class Automaton:
    """One automaton: LCP's or an NCP's."""

    limits: Limits
    state: State = State.INITIAL
    deadline: float | None = None
    """When the Restart timer runs out, None while it stands still."""
    _count: int = 0
    _period: float = 0.0

    def feed(self, event: Event, now: float) -> tuple[Action, ...]:
        """Take one event and return what is to be done. Raises `LocalProtocolError` for an event that cannot occur in this state."""
        cell = TABLE[event, self.state]
        if cell is None:
            raise LocalProtocolError(f"{event.value} cannot happen in {self.state.name}")
        for action in cell.actions:
            self._keep_time(action, cell, now)
        self.state = cell.following
        if self.state not in TIMED:
            self.deadline = None
        return cell.actions

    def expire(self, now: float) -> tuple[Action, ...]:
        """Let the Restart timer run out: TO+ while the counter is above zero, else TO-."""
        return self.feed(Event.TO_PLUS if self._count > 0 else Event.TO_MINUS, now)

    def adopt(self) -> None:
        """Stand in Opened at once, because someone else has negotiated for us (RFC 2661 4.4.5)."""
        self.state, self.deadline = State.OPENED, None
        self._count, self._period = self.limits.max_configure, min(self.limits.restart_first, self.limits.restart)

    def _keep_time(self, action: Action, cell: Cell, now: float) -> None:
        limits = self.limits
        if action is Action.IRC:
            self._count = limits.max_terminate if Action.STR in cell.actions else limits.max_configure
            self._period = min(limits.restart_first, limits.restart)
        elif action is Action.ZRC:
            self._count, self._period = 0, limits.restart
            self.deadline = now + self._period
        elif action in _SENDS:
            self._count -= 1
            self.deadline = now + self._period
            self._period = min(2 * self._period, limits.restart)


_SENDS: Final = frozenset(
    {Action.SCR, Action.STR}
)  # "Only the Send-Configure-Request, Send-Terminate-Request and ..." (4.1)
