"""What accounting is told of tunnels and their sessions."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.events import ConfigReloaded, Event, PppEvent, SessionEvent, TunnelEvent, What
from l2tpd.ppp.accountant import Traffic
from l2tpd.ppp.way import Way
from l2tpd.radius import attributes as row
from l2tpd.radius.accounting import Books, Identity, Record
from l2tpd.radius.numbers import Status
from l2tpd.radius.tunnels import TunnelBooks

WAY = Way(peer="192.0.2.1", local="192.0.2.2", peer_name="lac", local_name="lns", name="region")
NOW = 1_700_000_000.0
TUNNEL = TunnelEvent(what=What.UP, tunnel_id=7, origin="network")
SESSION = SessionEvent(what=What.UP, tunnel_id=7, session_id=3)
ETHERNET = attrs.evolve(SESSION, session_id=4, pseudowire="eth", interface="eth7")
PPP = PppEvent(what=What.DOWN, network="ipv4", tunnel_id=7, session_id=3)
CARRIED = {"eth7": Traffic(input_octets=1 << 32, output_octets=2, input_packets=3, output_packets=4)}


@attrs.define
class Keeper:
    """Follows events, one a second."""

    books: TunnelBooks = attrs.field(
        factory=lambda: TunnelBooks(
            Books("A", lambda: Identity(identifier="lns"), lambda: 600.0, lambda: 0.5),
            lambda _tunnel_id: WAY,
            CARRIED.__getitem__,
        )
    )
    now: float = 0.0

    def hear(self, event: Event, *, wanted: bool = True) -> Record | None:
        self.now += 1.0
        return self.books.follow(event, self.now, NOW + self.now, wanted=wanted)

    def told(self, event: Event) -> Record:
        record = self.hear(event)
        assert record is not None
        assert record.status == row.ACCT_STATUS_TYPE.first(record.attributes, 0)
        return record


def gone(event: TunnelEvent | SessionEvent, *, up: bool = True, result: int | None = None) -> Event:
    return attrs.evolve(event, what=What.DELETED, up=up, result=result)


def test_a_tunnel_and_a_session_begin_and_end() -> None:
    """Each under an account of its own, with its ends, its identifiers, how long it was, and why it has ended."""
    keeper = Keeper()
    start, link = keeper.told(TUNNEL), keeper.told(SESSION)
    assert (Status.TUNNEL_START, Status.TUNNEL_LINK_START) == (start.status, link.status)
    said = [row.ACCT_TUNNEL_CONNECTION.of(record.attributes)[0] for record in (start, link)]
    assert ["7", "7/3"] == said
    for record in (start, link):
        assert ("192.0.2.1",) == row.TUNNEL_CLIENT_ENDPOINT.of(record.attributes)
        assert ("lns",) == row.TUNNEL_SERVER_AUTH_ID.of(record.attributes)
        assert (int(record.moment),) == row.EVENT_TIMESTAMP.of(record.attributes)
    assert start.key != link.key
    assert keeper.hear(attrs.evolve(SESSION, what=What.DOWN)) is None
    over, end = keeper.told(gone(attrs.evolve(SESSION, ppp_user="joe"), result=1)), keeper.told(gone(TUNNEL, result=6))
    assert (Status.TUNNEL_LINK_STOP, Status.TUNNEL_STOP) == (over.status, end.status)
    assert (link.key, start.key) == (over.key, end.key)
    assert [(2,), (4,)] == [row.ACCT_SESSION_TIME.of(record.attributes) for record in (over, end)]
    assert [(2,), (7,)] == [row.ACCT_TERMINATE_CAUSE.of(record.attributes) for record in (over, end)]
    assert ("joe",) == row.USER_NAME.of(over.attributes)
    assert 0 == len(keeper.books)


def test_what_was_carried() -> None:
    """PPP tells it as it ends, of whatever else the interface while it is there; a tunnel has carried what its sessions have."""
    keeper, columns = (
        Keeper(),
        (row.ACCT_INPUT_OCTETS, row.ACCT_OUTPUT_OCTETS, row.ACCT_INPUT_PACKETS, row.ACCT_OUTPUT_PACKETS),
    )
    for begun in (TUNNEL, SESSION, ETHERNET):
        keeper.told(begun)
    more = attrs.evolve(PPP, rx_bytes=500, tx_bytes=60, rx_packets=7, tx_packets=8)
    for quiet in (PPP, more, attrs.evolve(more, network="ipv6", rx_bytes=0), attrs.evolve(more, session_id=9)):
        assert keeper.hear(quiet) is None
    for session in (SESSION, ETHERNET):
        assert keeper.hear(attrs.evolve(session, what=What.DOWN)) is None
    records = [keeper.told(gone(event)).attributes for event in (SESSION, ETHERNET, TUNNEL)]
    assert [(500, 60, 7, 8), (0, 2, 3, 4), (500, 62, 10, 12)] == [
        tuple(column.first(record, -1) for column in columns) for record in records
    ]
    assert [0, 1, 1] == [row.ACCT_INPUT_GIGAWORDS.first(record, -1) for record in records]
    assert [3, 4, -1] == [row.NAS_PORT.first(record, -1) for record in records]


def test_who_asks_for_a_tunnel_is_its_client() -> None:
    """RFC 2868 3.3: we, where it is ours; of its sessions it is the same, whoever has called."""
    keeper = Keeper()
    for record in (keeper.told(attrs.evolve(TUNNEL, origin="local")), keeper.told(SESSION)):
        assert ("192.0.2.2",) == row.TUNNEL_CLIENT_ENDPOINT.of(record.attributes)
        assert ("192.0.2.1",) == row.TUNNEL_SERVER_ENDPOINT.of(record.attributes)
        assert ("lns",) == row.TUNNEL_CLIENT_AUTH_ID.of(record.attributes)


def test_what_does_not_come_about() -> None:
    """A tunnel that we wanted, and a session of one that was told of. Strangers who ask in vain are nobody's business."""
    keeper = Keeper()
    assert keeper.hear(gone(TUNNEL, up=False, result=4)) is None
    rejected = keeper.told(gone(attrs.evolve(TUNNEL, origin="local"), up=False, result=4))
    assert (Status.TUNNEL_REJECT, (9,)) == (rejected.status, row.ACCT_TERMINATE_CAUSE.of(rejected.attributes))
    assert keeper.hear(gone(SESSION, up=False, result=3)) is None
    keeper.told(TUNNEL)
    rejected = keeper.told(gone(SESSION, up=False, result=3))
    assert (Status.TUNNEL_LINK_REJECT, (6,)) == (rejected.status, row.ACCT_TERMINATE_CAUSE.of(rejected.attributes))
    assert 1 == len(keeper.books)


@pytest.mark.parametrize("event", [TUNNEL, gone(TUNNEL), gone(attrs.evolve(TUNNEL, origin="local"), up=False)])
def test_what_is_not_wanted_is_not_told(event: Event) -> None:
    """What had begun unheard ends unheard, and so do its sessions."""
    keeper = Keeper()
    assert keeper.hear(event, wanted=False) is None
    assert keeper.hear(SESSION) is keeper.hear(gone(SESSION)) is None
    assert keeper.hear(ConfigReloaded()) is None
    assert 0 == len(keeper.books)


def test_what_was_told_to_begin_is_told_to_end() -> None:
    """Though nobody wants to hear more of it."""
    keeper = Keeper()
    keeper.told(TUNNEL)
    record = keeper.hear(gone(TUNNEL), wanted=False)
    assert record is not None
    assert (Status.TUNNEL_STOP, (3,)) == (record.status, row.ACCT_TERMINATE_CAUSE.of(record.attributes))
