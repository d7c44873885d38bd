"""The bus: order is kept, nobody waits, and what a slow subscriber loses it is told."""

import gc
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing

from l2tpd.bus import Bus, Fan, Subscription
from l2tpd.capture import Tap
from l2tpd.events import DaemonStopping, Event, Lost, Stamped, TunnelEvent, What
from l2tpd.supervise import crashes


def up(number: int) -> TunnelEvent:
    return TunnelEvent(what=What.UP, tunnel_id=number)


async def drain(subscription: Subscription) -> list[Stamped | Lost]:
    return [item async for item in subscription]


def events(items: Sequence[Stamped | Lost]) -> list[Event]:
    return [item.event for item in items if isinstance(item, Stamped)]


async def test_events_arrive_in_order_with_the_time_of_their_publication() -> None:
    """Two events reach a subscriber as they were published, stamped by the bus's clock."""
    times = iter([1.5, 2.5])
    bus = Bus(lambda: next(times))
    subscription = bus.subscribe()
    bus.publish(up(1))
    bus.publish(up(2))
    bus.close()
    assert [Stamped(1.5, up(1)), Stamped(2.5, up(2))] == await drain(subscription)


async def test_a_full_subscriber_loses_the_newest_and_finds_the_gap_where_it_was() -> None:
    """Of six events into a queue of two, the first two arrive, then the gap of three, then the one published after reading on."""
    bus = Bus()
    subscription = bus.subscribe(size=2)
    for number in range(5):
        bus.publish(up(number))
    first = [await anext(subscription), await anext(subscription)]
    bus.publish(up(5))
    bus.close()
    assert [up(0), up(1)] == events(first)
    gap, last = await drain(subscription)
    assert Lost(3) == gap
    assert isinstance(last, Stamped)
    assert up(5) == last.event
    assert 3 == subscription.lost


async def test_a_gap_at_the_end_is_told_too() -> None:
    """Events lost last are told although nothing follows them."""
    bus = Bus()
    subscription = bus.subscribe(size=1)
    bus.publish(up(0))
    bus.publish(up(1))
    bus.close()
    assert [up(0), Lost(1)] == [item if isinstance(item, Lost) else item.event for item in await drain(subscription)]


async def test_a_subscriber_hears_only_what_it_wants() -> None:
    """The filter decides, and what it refuses takes no place in the queue."""
    bus = Bus()
    subscription = bus.subscribe(lambda event: isinstance(event, DaemonStopping), size=1)
    bus.publish(up(1))
    bus.publish(DaemonStopping())
    bus.close()
    assert [DaemonStopping()] == events(await drain(subscription))


async def test_a_waiting_subscriber_wakes_up(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    """A subscriber that waits is woken by the next event."""
    bus = Bus()
    subscription = bus.subscribe()

    async def later() -> None:
        await trio.sleep(3)
        bus.publish(up(1))

    nursery.start_soon(later)
    item = await anext(subscription)
    assert [up(1)] == events([item])


async def test_a_closed_subscription_ends_and_is_forgotten(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """Closing ends the iteration, even one that waits, and the bus no longer knows the subscriber."""
    bus = Bus()
    subscription = bus.subscribe()
    nursery.start_soon(drain, subscription)
    await trio.sleep(1)
    subscription.close()
    subscription.close()
    bus.publish(up(1))
    assert [] == await drain(subscription)
    with pytest.raises(StopAsyncIteration):
        await anext(subscription)


async def test_one_slow_subscriber_does_not_take_events_from_another() -> None:
    """A full queue is the loss of its owner alone."""
    bus = Bus()
    slow, quick = bus.subscribe(size=1), bus.subscribe(size=10)
    for number in range(3):
        bus.publish(up(number))
    bus.close()
    assert [up(0), up(1), up(2)] == events(await drain(quick))
    assert 2 == slow.lost


async def test_a_subscriber_that_never_reads_costs_a_bounded_amount() -> None:
    """A hundred thousand events leave no more than the queue's size of them in memory."""
    bus = Bus()
    subscription = bus.subscribe(size=100)
    before = held()
    for number in range(100_000):
        bus.publish(up(number))
    assert 100_000 - 100 == subscription.lost
    assert held() - before <= 110


def held() -> int:
    """Count the events that somebody holds, other tests too."""
    gc.collect()
    return sum(isinstance(found, TunnelEvent) for found in gc.get_objects())


async def test_who_reads_late_catches_up_in_one_go() -> None:
    """What waits is taken in its order, as much as is asked for, the gap at its place; then there is nothing, and no waiting for it."""
    bus = Bus()
    subscription = bus.subscribe(size=4)
    for number in range(6):
        bus.publish(up(number))
    first = await anext(subscription)
    assert [up(0), up(1)] == events([first, *subscription.rest(1)])
    *items, gap = subscription.rest(10)
    assert [up(2), up(3)] == events(items)
    assert Lost(2) == gap
    assert [] == subscription.rest(10)


@pytest.mark.parametrize("fan", [Bus(), Tap()], ids=["events", "captured messages"])
async def test_a_bug_in_what_a_subscriber_wants(fan: Fan[Any]) -> None:
    """It costs that subscriber the item: neither who publishes nor who else listens hears of it; it is counted."""

    def broken(item: object) -> bool:
        return bool(1 / (item != 1))

    before, ill, well = crashes["bus"], fan.attach(broken), fan.attach(None)
    for number in (1, 2):
        fan.offer(number)
    fan.close()
    assert [[2], [1, 2]] == [[item async for item in queue] for queue in (ill, well)]
    assert before + 1 == crashes["bus"]
