"""The machine's own network changes under a daemon, or refuses to take what it sends."""

from __future__ import annotations

import errno
from pathlib import Path

import attrs
import pytest

import taps
from faults.scenes import address_removed
from l2tpd.config.model import Address
from l2tpd.tunnel.port import DatagramSocket
from pair import ANYBODY, calls, carried, free_port, listen, session, stage, tunnel, until, up


@pytest.mark.skipif(bool(taps.why_not()), reason=f"no namespaces: {taps.why_not()}")
async def test_an_address_of_ours_is_removed(tmp_path: Path) -> None:
    """Its tunnel is found dead and cannot be dialled again until the address is back; a tunnel from another address does not notice."""
    with taps.namespace():
        await address_removed(tmp_path)


@attrs.define(eq=False)
class Refusing:
    """A socket that refuses every second packet."""

    inner: DatagramSocket
    number: int
    count: int = 0
    refused: int = 0

    def _take(self) -> None:
        self.count += 1
        if self.count % 2:
            self.refused += 1
            raise OSError(self.number, "refused by script")

    def send(self, packet: bytes | memoryview, /) -> int:
        self._take()
        return self.inner.send(packet)

    def sendto(self, packet: bytes | memoryview, peer: Address, /) -> int:
        self._take()
        return self.inner.sendto(packet, peer)

    def recvfrom_into(self, buffer: memoryview, /) -> tuple[int, tuple[str, int]]:
        return self.inner.recvfrom_into(buffer)

    def fileno(self) -> int:
        return self.inner.fileno()

    def connect(self, peer: Address, /) -> None:
        self.inner.connect(peer)

    def getsockname(self) -> tuple[str, int]:
        return self.inner.getsockname()

    def close(self) -> None:
        self.inner.close()


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.EAGAIN, errno.ENETDOWN, errno.EPERM, errno.ECONNREFUSED])
async def test_what_cannot_be_sent_is_loss(tmp_path: Path, number: int) -> None:
    """Full buffers, a link that is down, a firewall, an ICMP error: all of them are counted, and repaired like any loss."""
    async with stage(tmp_path) as on:
        port = free_port()
        await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("t", port, "retry_timeout = 0.02\nmax_retries = 10\n"))
        await until(lambda: up(lac, "t"))
        mine = tunnel(lac, "t")
        assert mine.sock is not None
        mine.sock = refusing = Refusing(mine.sock, number)
        keys = "retry_timeout = 0.02\nmax_retries = 10\n"
        on.write("lac", calls("t", port, keys) + "".join(session("t", f"s{one}") for one in range(5)))
        await lac.reloader.reload()
        await until(lambda: all(carried(lac, "t", f"s{one}") for one in range(5)))
        assert mine is tunnel(lac, "t")
        assert refusing.refused == mine.send_failures == lac.site.counters.send_failures > 0
