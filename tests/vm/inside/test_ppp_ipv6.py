"""IPv6 in PPP of our own on the kernel's data plane: link-local addresses at both ends, ours against ours and against the real pppd."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from interop.netns import Cable, Host
from interop.program import polled
from vm.inside import ppp, stage
from vm.inside.conftest import Start

LNS = ppp.LNS.replace("auth =", "ipv6 = true\nauth =")


async def link_local(host: Host, interface: str) -> str:
    """Wait until an interface of a host has an IPv6 address, and return it."""

    async def there() -> str | None:
        words = (await ppp.said(host, "ip", "-6", "address", "show")).split(f": {interface}:")[-1].split()
        return words[words.index("inet6") + 1].split("/")[0] if "inet6" in words else None

    return await polled(there, lambda: f"{interface} of {host.namespace} has no IPv6 address")


@pytest.mark.parametrize("caller", ["ours", "pppd"])
async def test_ipv6_passes(cable: Cable, daemon: Start, tmp_path: Path, caller: str) -> None:
    """Both protocols at once: each end answers the other's pings, over IPv4 and from link-local address to link-local address."""
    ours = ppp.client(cable).replace("user =", "ipv6 = true\nuser =", 1)
    options = stage.LAC_OPTIONS.replace("noccp", "noccp +ipv6")
    interface = "ppp-hq" if caller == "ours" else "ppp0"
    with stage.secrets(cable.us):
        async with daemon(cable.us, LNS) as lns:
            end: AbstractAsyncContextManager[object] = daemon(cable.them, ours)
            if caller == "pppd":
                end = stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address, options)
            async with end:
                await ppp.addressed(lns)
                near, far = await link_local(cable.us, "ppp0"), await link_local(cable.them, interface)
                assert near.startswith("fe80::")
                assert near != far
                await stage.pings(cable.us, f"{far}%ppp0")
                await stage.pings(cable.them, f"{near}%{interface}")
                await stage.pings(cable.us, "10.9.0.2")
    for host in (cable.us, cable.them):
        await ppp.nothing_left(host)
