"""What subscribers ask, heard by one socket from interfaces that pass for PPP's: TUN interfaces that say they are."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial

import pytest
import trio

import taps
from faults.means import no_descriptor_left
from l2tpd.kernel import overhear
from l2tpd.kernel.overhear import Overhearer
from l2tpd.kernel.tuntap import open_tap
from l2tpd.ppp import packet6

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
    hearer = Overhearer()
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
        with trio.fail_after(10):
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
    assert "what a subscriber asks crashed" in caplog.text
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
