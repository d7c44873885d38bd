"""PPP between each pair of ends, xl2tpd with the real pppd and us: addresses, pings, TCP both ways, and a clean end from either side."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from interop.daemon import Daemon
from interop.netns import Cable
from vm.inside import ppp, stage
from vm.inside.conftest import Start

OCTETS = 4 << 20

HangUp = Callable[[], Awaitable[object]]


@attrs.frozen(kw_only=True)
class Call:
    """An LNS on the near host and a client on the far one with a tunnel between them; who of them is ours, and how each of them hangs up."""

    ours: tuple[Daemon, ...]
    lns_hangs_up: HangUp
    client_hangs_up: HangUp


@asynccontextmanager
async def xl2tpd_calls_us(cable: Cable, daemon: Start, folder: Path) -> AsyncIterator[Call]:
    """Ours is the LNS."""
    with stage.secrets(cable.us):
        async with daemon(cable.us, ppp.LNS) as lns, stage.xl2tpd_lac(cable.them, folder, cable.us.address):
            control = trio.Path(folder / "control")
            yield Call(
                ours=(lns,),
                lns_hangs_up=lambda: delete_tunnel(lns),
                client_hangs_up=lambda: control.write_text("d tunnel\n"),
            )


@asynccontextmanager
async def we_call_xl2tpd(cable: Cable, daemon: Start, folder: Path) -> AsyncIterator[Call]:
    """Ours is the client."""
    async with stage.xl2tpd_lns(cable.us, folder) as lns, daemon(cable.them, ppp.client_once(cable)) as client:

        async def interrupt() -> None:
            lns.signal(signal.SIGINT)
            await lns.ended()

        yield Call(ours=(client,), lns_hangs_up=interrupt, client_hangs_up=lambda: delete_tunnel(client))


@asynccontextmanager
async def we_call_ourselves(cable: Cable, daemon: Start, folder: Path) -> AsyncIterator[Call]:
    """Both are ours."""
    del folder
    with stage.secrets(cable.us):
        async with daemon(cable.us, ppp.LNS) as lns, daemon(cable.them, ppp.client_once(cable)) as client:
            yield Call(
                ours=(lns, client),
                lns_hangs_up=lambda: delete_tunnel(lns),
                client_hangs_up=lambda: delete_tunnel(client),
            )


async def delete_tunnel(daemon: Daemon) -> None:
    """Let the operator of one of ours end the only tunnel that is up."""
    (tunnel,) = [row for row in await daemon.tunnels() if row["state"] == "up"]
    await daemon.control.call("tunnel.delete", tunnel=f"@{tunnel['id']}")


Pair = Callable[[Cable, Start, Path], AbstractAsyncContextManager[Call]]
PAIRS: tuple[Pair, ...] = (xl2tpd_calls_us, we_call_xl2tpd, we_call_ourselves)


@pytest.mark.parametrize("pair", [pytest.param(pair, marks=pytest.mark.stock, id=pair.__name__) for pair in PAIRS])
async def test_packets_pass_until_the_client_hangs_up(cable: Cable, daemon: Start, tmp_path: Path, pair: Pair) -> None:
    """Pings and TCP pass both ways, through the session as the kernel counts it; after the client's goodbye that is told, and nothing is left on either side."""
    async with pair(cable, daemon, tmp_path / "xl2tpd") as call:
        session = (await ppp.addressed(call.ours[-1]))[0]["ppp"]
        if call.ours[-1].program is not call.ours[0].program:
            await ppp.addressed(call.ours[0])
        client = session["local_address"] if pair is not xl2tpd_calls_us else session["remote_address"]
        await stage.pings(cable.us, client)
        await stage.pings(cable.them, "10.9.0.1")
        before = await counted(call.ours[0])
        assert OCTETS // 2 < await stage.transfer(cable.us, cable.them, "10.9.0.1", OCTETS)
        between = await counted(call.ours[0])
        assert OCTETS // 2 < await stage.transfer(cable.us, cable.them, "10.9.0.1", OCTETS, "--reverse")
        after = await counted(call.ours[0])
        inward, outward = ("rx_bytes", "tx_bytes") if pair is not we_call_xl2tpd else ("tx_bytes", "rx_bytes")
        assert OCTETS // 2 < between[inward] - before[inward]
        assert OCTETS // 2 < after[outward] - between[outward]
        await call.client_hangs_up()
        told = await call.ours[0].control.event("ppp", "down", network="ipv4")
        assert OCTETS // 2 < min(told["rx_bytes"], told["tx_bytes"])
        await nothing_left_of(call, cable)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.__name__)
async def test_the_lns_hangs_up(cable: Cable, daemon: Start, tmp_path: Path, pair: Pair) -> None:
    """After the goodbye of the LNS nothing is left on either side."""
    async with pair(cable, daemon, tmp_path / "xl2tpd") as call:
        for ours in call.ours:
            await ppp.addressed(ours)
        await call.lns_hangs_up()
        await nothing_left_of(call, cable)


async def counted(daemon: Daemon) -> Mapping[str, int]:
    """Return the counters of the only session."""
    (session,) = await daemon.sessions()
    counters: Mapping[str, int] = (await ppp.shown(daemon, session))["counters"]
    return counters


async def nothing_left_of(call: Call, cable: Cable) -> None:
    """Wait until the goodbye has reached everything on both sides."""
    for ours in call.ours:
        await ours.empty()
    for host in (cable.us, cable.them):
        await ppp.nothing_left(host)
