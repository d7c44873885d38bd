"""What subscribers ask, heard by one socket from interfaces that pass for PPP's: TUN interfaces that say they are."""

from __future__ import annotations

import fcntl
import math
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

import taps
from faults.means import no_descriptor_left
from heap import small
from l2tpd.kernel import overhear
from l2tpd.kernel.overhear import Loud, Overhearer
from l2tpd.kernel.tuntap import open_tap
from l2tpd.ppp import packet6
from l2tpd.supervise import crashes

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"NOTHING IS OVERHEARD: {taps.why_not()}")

SET_LINK = 0x400454CD  # linux/if_tun.h: TUNSETLINK
PPP = 512
PEER, ROUTERS = b"\xfe\x80" + bytes(13) + b"\x02", b"\xff\x02" + bytes(13) + b"\x02"
SOLICITATION = packet6.icmp(PEER, ROUTERS, b"\x85" + bytes(7))
ECHO = packet6.icmp(PEER, ROUTERS, b"\x80" + bytes(7))
ANSWER = packet6.udp(PEER, ROUTERS, b"abc")
DHCP = ANSWER[:40] + ANSWER[42:44] + ANSWER[40:42] + ANSWER[44:]


@pytest.fixture
def place() -> Iterator[ExitStack]:
    with ExitStack() as stack, taps.namespace():
        yield stack


def interface(stack: ExitStack, name: str, kind: int = PPP) -> int:
    """Make an interface that is up; what is written to it has been received by it."""
    descriptor, _ = open_tap(name, frames=False)
    stack.callback(os.close, descriptor)
    fcntl.ioctl(descriptor, SET_LINK, kind)
    taps.ip("link", "set", name, "up")
    return descriptor


def hear(heard: list[tuple[str, bytes]], name: str, packet: bytes) -> None:
    """Note what has come by an interface."""
    heard.append((name, packet))


def crash(packet: bytes) -> None:
    """Be an owner with a bug."""
    raise RuntimeError(packet)


async def test_what_asks_the_router_is_heard(place: ExitStack, caplog: pytest.LogCaptureFixture) -> None:
    """Solicitations and DHCPv6 by PPP interfaces whose owners listen, each by its own owner; nothing else. One that crashes is no other's loss."""
    first, second, other = (interface(place, name) for name in ("ppp0", "ppp1", "ppp2"))
    ethernet = interface(place, "eth0", kind=1)
    heard: list[tuple[str, bytes]] = []
    hearer, before = Overhearer(), crashes["link"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hearer.serve)
        takers = {name: partial(hear, heard, name) for name in ("ppp0", "ppp1", "eth0")}
        for name, taker in takers.items():
            hearer.add(name, taker)
        await trio.testing.wait_all_tasks_blocked()
        for descriptor in (ethernet, other, first):
            for packet in (ECHO, ANSWER, SOLICITATION):
                os.write(descriptor, packet)
        os.write(second, DHCP)
        with trio.fail_after(10), small():
            while len(heard) < 2:
                await trio.sleep(0.001)
        hearer.remove("ppp0", takers["ppp0"])
        hearer.remove("ppp1", crash)
        hearer.add("ppp2", crash)
        for descriptor in (first, other, second):
            os.write(descriptor, SOLICITATION)
        with trio.fail_after(10):
            while len(heard) < 3:
                await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    assert "what is asked by ppp2 crashed" in caplog.text
    assert before + 1 == crashes["link"]
    assert [("ppp0", SOLICITATION), ("ppp1", DHCP), ("ppp1", SOLICITATION)] == heard


async def test_the_socket_comes_when_there_are_descriptors(
    place: ExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where none is to be had when the first subscriber comes, that is said once, and all are heard later."""
    monkeypatch.setattr(overhear, "_AGAIN", 0.01)
    first = interface(place, "ppp0")
    heard: list[tuple[str, bytes]] = []
    hearer = Overhearer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hearer.serve)
        with no_descriptor_left():
            hearer.add("ppp0", partial(hear, heard, "ppp0"))
            await trio.sleep(0.05)
        with trio.fail_after(10):
            while not heard:
                os.write(first, SOLICITATION)
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert 1 == caplog.text.count("subscribers are not heard")


async def test_many_ask_at_once(place: ExitStack) -> None:
    """All of them are heard, though nobody listens for a moment."""
    first = interface(place, "ppp0")
    with overhear.opened() as sock:
        for _ in range(400):
            os.write(first, SOLICITATION)
        heard = 0
        with suppress(BlockingIOError):
            while True:
                heard += sock.recv(2000) == SOLICITATION
    assert 400 == heard


async def test_who_was_not_heard_is_heard_again_though_the_filter_has_to_wait(
    place: ExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When its time is up there is no memory for a filter that lets it through; later there is."""
    memory = Path("/proc/sys/net/core/optmem_max")
    if not memory.exists():
        pytest.skip("before Linux 6.8 the memory for filters is the whole machine's")
    monkeypatch.setattr(overhear, "_AGAIN", 0.01)
    first, heard = interface(place, "ppp0"), Counter[str]()
    hearer = Overhearer(deaf=0.2)
    hearer.add("ppp0", partial(count, heard, "ppp0"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hearer.serve)
        with trio.fail_after(20):
            while "asks too much" not in caplog.text:
                for _ in range(overhear.LOUD + 1):
                    os.write(first, SOLICITATION)
                await trio.lowlevel.checkpoint()
            plenty = memory.read_text()
            memory.write_text("0")
            await trio.sleep(0.5)
            memory.write_text(plenty)
            await trio.testing.wait_all_tasks_blocked(0.05)
            before = heard.total()
            while heard.total() == before:
                os.write(first, SOLICITATION)
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_one_that_asks_without_end_crowds_nobody_out(place: ExitStack, caplog: pytest.LogCaptureFixture) -> None:
    """After so many questions in a second it takes no place among those that wait; in time it is heard again. The log says it once."""
    first, second = (interface(place, name) for name in ("ppp0", "ppp1"))
    heard: Counter[str] = Counter()
    hearer = Overhearer(deaf=1.0)
    for name in ("ppp0", "ppp1"):
        hearer.add(name, partial(count, heard, name))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hearer.serve)
        with trio.fail_after(20):
            written = 0
            while "asks too much" not in caplog.text:
                for _ in range(overhear.LOUD + 1):
                    os.write(first, SOLICITATION)
                written += overhear.LOUD + 1
                await trio.lowlevel.checkpoint()
            for _ in range(20_000):  # without a pause: more than the socket would have room for
                os.write(first, SOLICITATION)
            os.write(second, DHCP)
            while not heard["ppp1"]:
                await trio.lowlevel.checkpoint()
            assert heard["ppp0"] <= written
            while heard["ppp0"] <= written:
                os.write(first, SOLICITATION)
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert 1 == caplog.text.count("asks too much")


def count(heard: Counter[str], name: str, _packet: bytes) -> None:
    """Count what has come by an interface."""
    heard[name] += 1


def test_who_is_not_heard_is_heard_again() -> None:
    """In so many seconds. What has gone meanwhile is not among them."""
    loud = Loud(10.0)
    assert not any(loud.asks("lo", 5.0) for _ in range(overhear.LOUD))
    assert loud.asks("lo", 5.9)
    assert 15.9 == loud.next_timer
    assert not loud.asks("lo", 5.9)
    assert 1 == len(loud.indices)
    assert not loud.release(15.8)
    assert loud.release(15.9)
    assert (0, math.inf) == (len(loud.indices), loud.next_timer)
    assert not any(loud.asks("gone", 20.0) for _ in range(2 * overhear.LOUD))
    assert 0 == len(loud.indices)


def test_what_had_waited_keeps_nobody_else_deaf(place: ExitStack) -> None:
    """Questions that came before the filter may be as many as are too many once more; who is due first is heard first all the same."""
    for name in ("ppp0", "ppp1"):
        interface(place, name)
    loud = Loud(10.0)
    for name, now in (("ppp0", 5.0), ("ppp1", 5.0), ("ppp0", 6.5)):
        assert 1 == sum(loud.asks(name, now) for _ in range(2 * overhear.LOUD))
    assert 15.0 == loud.next_timer
    assert loud.release(15.0)
    assert 16.5 == loud.next_timer


def test_so_many_are_not_heard_at_a_time_and_no_more(place: ExitStack) -> None:
    """What the kernel takes as a filter; the next one has its place once another is heard again."""
    del place
    most = overhear._MOST_DEAF
    names = [name for number in range(most // 2 + 1) for name in (f"a{number}", f"b{number}")]
    taps.batch("\n".join(f"link add {a} type veth peer name {b}" for a, b in zip(names[::2], names[1::2], strict=True)))
    loud = Loud(10.0)

    def is_deaf(name: str, now: float) -> bool:
        return any(loud.asks(name, now) for _ in range(overhear.LOUD + 1))

    assert all(is_deaf(name, 5.0) for name in names[:most])
    assert not is_deaf(names[most], 5.0)
    assert most == len(loud.indices)
    with overhear.opened() as sock:
        overhear._attach(sock, loud.indices)
    assert loud.release(15.0)
    assert is_deaf(names[most], 15.0)
