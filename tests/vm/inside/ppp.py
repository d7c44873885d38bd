"""What the tests of PPP sessions share: configurations of both ends, and looking for what should be gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import trio

from interop.daemon import Daemon
from interop.netns import Cable, Host
from interop.program import PATIENCE, SLOWNESS, polled

QUICK = f"""\
[profile.tunnel.default]
hello_timeout = {2 * SLOWNESS}
retry_timeout = {0.5 * SLOWNESS}
max_retries = 3

"""
ECHO = f"""\
lcp_echo_interval = {SLOWNESS:.0f}
lcp_echo_failure = 3
"""

LNS = (
    QUICK
    + """\
[profile.ppp.default]
local_address = "10.9.0.1"
pool = "subscribers"
auth = "chap"
pppd_options = ["noccp"]
"""
    + ECHO
    + """
[pool.subscribers]
range = "10.9.0.0/18"

[peer.default]
"""
)
"""Callers prove who they are and get 10.9.0.2 and so on; we are 10.9.0.1."""

CLIENT = (
    QUICK
    + """\
[profile.ppp.default]
user = "alice"
password = "secret"
pppd_options = ["noccp"]
"""
    + ECHO
    + """
[tunnel.hq]
peer = "{lns}"
redial_delay = 0.2
redial_delay_max = 1.0

[tunnel.hq.session.one]
persist = true
interface_name = "ppp-hq"
"""
)
"""A tunnel to an LNS with one session, as alice."""


def client(cable: Cable) -> str:
    """Return the configuration of a client on the far host that calls the near one."""
    return CLIENT.format(lns=cable.us.address)


def client_once(cable: Cable) -> str:
    """As `client`, but it does not call again."""
    return (
        client(cable)
        .replace("redial_delay =", "persist = false\nredial_delay =")
        .replace("persist = true", "persist = false")
    )


def patient(config: str) -> str:
    """Have a side ask rarely whether the other one is there."""
    hello, echo = f"hello_timeout = {2 * SLOWNESS}", f"lcp_echo_interval = {SLOWNESS:.0f}\n"
    assert hello in config
    assert echo in config
    return config.replace(hello, "hello_timeout = 60.0").replace(echo, "lcp_echo_interval = 60\n")


async def said(host: Host, *argv: str) -> str:
    """Return what a command in a namespace writes."""
    done = await trio.run_process(host.command(*argv), capture_stdout=True)
    return done.stdout.decode()


async def pids(host: Host, name: str) -> list[int]:
    """Return the processes of a namespace that run a program."""
    there = (await trio.run_process(["ip", "netns", "pids", host.namespace], capture_stdout=True)).stdout.split()
    return [int(pid) for pid in there if _command(int(pid)) == name]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


async def leftovers(host: Host) -> str:
    """Return what the kernel still has of tunnels and sessions in a namespace, its PPP interfaces and pppds."""
    tunnels = await said(host, "ip", "l2tp", "show", "tunnel") + await said(host, "ip", "l2tp", "show", "session")
    links = [line for line in (await said(host, "ip", "-o", "link")).splitlines() if "ppp" in line]
    return "\n".join([*tunnels.splitlines(), *links, *map(str, await pids(host, "pppd"))])


async def nothing_left(host: Host) -> None:
    """Wait until a namespace has no tunnel, no session, no PPP interface and no pppd."""
    found = ""

    async def gone() -> bool | None:
        nonlocal found
        found = await leftovers(host)
        return None if found else True

    await polled(gone, lambda: f"this is left in {host.namespace}:\n{found}")


async def shown(daemon: Daemon, session: Any) -> Any:
    """Return everything that `show session` tells of a session in a list."""
    return await daemon.control.call("session.show", tunnel=f"@{session['tunnel_id']}", session=f"@{session['id']}")


async def addressed(daemon: Daemon, count: int = 1) -> list[Any]:
    """Wait until PPP is up on so many sessions; return all that is told of them."""

    async def enough() -> list[Any] | None:
        try:
            rows = [await shown(daemon, row) for row in await daemon.sessions() if row["state"] == "up"]
        except AssertionError:
            return None  # one of them has ended meanwhile
        ready = [row for row in rows if row["ppp"] and row["ppp"]["remote_address"]]
        return ready if len(ready) >= count else None

    return await polled(
        enough, lambda: f"no {count} sessions with addresses; l2tpd wrote:\n{daemon.program.log}", within=2 * PATIENCE
    )


async def nothing_left_of_pppd(host: Host) -> None:
    """Wait until no pppd runs in a namespace."""

    async def gone() -> bool | None:
        return None if await pids(host, "pppd") else True

    await polled(gone, lambda: f"a pppd still runs in {host.namespace}")


def kill(numbers: list[int], signal: int) -> None:
    """Send a signal to processes, of which there must be at least one."""
    assert numbers
    for pid in numbers:
        os.kill(pid, signal)


def by_pppd(config: str) -> str:
    """Return a configuration whose PPP is run by pppd."""
    return config.replace("pppd_options", 'ppp_engine = "pppd"\npppd_options')
