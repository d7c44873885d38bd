"""Tables of a configuration, and whether frames get through: what tests of Ethernet pseudowires have in common."""

from __future__ import annotations

import json

import trio

from interop.netns import Host

PING = ("ping", "-n", "-q", "-c", "1", "-w", "10", "-i", "0.2")  # again and again for 10 s, until there is one answer


def table(header: str, **keys: object) -> str:
    """Write one TOML table, which holds text, numbers, booleans and arrays of these."""
    # Of such values JSON and TOML have the same notation.
    return f"[{header}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()) + "\n"


def endpoint(host: Host, encap: str, version: int) -> str:
    """Write the address that a host's peers call, over IPv4 or IPv6."""
    address = f"[{host.address6}]" if version == 6 else host.address
    return address + (":1701" if encap == "udp" else "")


async def unreachable(host: Host, *addresses: str, interface: str = "") -> set[str]:
    """Ping all addresses at the same time from a host, by one interface if it is named; return those that never answered."""
    silent: set[str] = set()
    by = ("-I", interface) if interface else ()

    async def ping(address: str) -> None:
        done = await trio.run_process(
            host.command(*PING, *by, address), check=False, capture_stdout=True, capture_stderr=True
        )
        if done.returncode:
            silent.add(address)

    async with trio.open_nursery() as nursery:
        for address in addresses:
            nursery.start_soon(ping, address)
    return silent


def interfaces(host: Host) -> set[str]:
    """Return the names of a host's interfaces."""
    return {row["ifname"] for row in json.loads(host.ask("ip", "-j", "link"))}
