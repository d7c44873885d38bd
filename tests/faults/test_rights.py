"""The daemon as another user than root: with three capabilities everything works, and without one of them all but what takes it, which is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import taps
from faults.others import THREE, nobodys, refused, require_readable
from faults.scenes import POOL
from l2tpd.daemon import Daemon
from l2tpd.tunnel.states import State
from pair import ANYBODY, QUICK, free_port, listen, stage, until

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"no interfaces: {taps.why_not()}")

CALLS = """
[tunnel.ppp]
peer = "127.0.0.1:{port}"
host_name = "ppp"
{quick}
[tunnel.ppp.session.s]
[tunnel.raw]
peer = "127.0.0.1"
local = "127.0.0.2"
version = "l2tpv3"
encap = "ip"
host_name = "raw"
{quick}
[tunnel.low]
peer = "127.0.0.1:{port}"
local = "127.0.0.3"
local_port = 999
host_name = "low"
{quick}
"""
"""One tunnel for each capability: an interface, protocol 115 by a raw socket, and a port that the system keeps back."""

SAID = {
    "net_admin": "no packets will move: .*no interface can be made: that takes root, or the capability CAP_NET_ADMIN",
    "net_raw": r"cannot open a socket from 127\.0\.0\.2 to 127\.0\.0\.1.*Operation not permitted; that takes the capability CAP_NET_RAW",
    "net_bind_service": r"cannot open a socket from 127\.0\.0\.3 .*Permission denied; that takes the capability CAP_NET_BIND_SERVICE",
}
LISTENERS = {
    "net_raw": '[[listen]]\naddress = "127.0.0.4"\nencap = "ip"\n',
    "net_bind_service": '[[listen]]\naddress = "127.0.0.4:998"\n',
}


@pytest.fixture(autouse=True)
def _namespace() -> Iterator[None]:
    """A network namespace of the test's own."""
    require_readable()
    with taps.namespace():
        yield


def here(lns: Daemon) -> set[str]:
    """Return how those call themselves whose tunnels are up."""
    return {
        tunnel.core.facts.host_name
        for tunnel in lns.registry
        if tunnel.core.state is State.ESTABLISHED and tunnel.core.facts
    }


def addressed(lns: Daemon) -> bool:
    """Tell whether a caller's PPP has its address."""
    return any(call.ppp_remote for tunnel in lns.registry for call in tunnel.core.calls.values())


@pytest.mark.parametrize("missing", ["", *sorted(THREE)])
async def test_without_a_capability(tmp_path: Path, missing: str) -> None:
    """It says which one is missing for what; all else is up, PPP with an interface of its own included."""
    async with stage(tmp_path, seconds=60, data_plane="user") as on:
        port = free_port()
        listening = listen(port) + '[[listen]]\naddress = "127.0.0.1"\nencap = "ip"\n'
        lns = await on.start("lns", listening + ANYBODY + POOL.format(keys=""))
        async with nobodys(THREE - {missing}, CALLS.format(port=port, quick=QUICK)) as program:
            if missing:
                await program.says(SAID[missing])
            up = {"ppp", "raw", "low"} - {{"net_raw": "raw", "net_bind_service": "low"}.get(missing, "")}
            await until(lambda: here(lns) == up)
            if missing != "net_admin":
                await until(lambda: addressed(lns))
                assert 2 == taps.ip("-brief", "link", "show", "type", "tun").count("ppp")


@pytest.mark.parametrize("missing", LISTENERS)
async def test_a_listener_that_takes_more(missing: str) -> None:
    """What it is told to listen on it listens on, or it does not start and says what it lacks."""
    said = await refused(THREE - {missing}, LISTENERS[missing])
    assert f"that takes the capability CAP_{missing.upper()}" in said
