"""Two hosts joined by a cable: a pair of network namespaces, each with one end of a veth pair, an IPv4 and an IPv6 address.

Both hosts own UDP port 1701, as in the field, and nothing of the machine's own network is touched. Needs root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import attrs

CABLE = "cable0"
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - of a host that we made


@attrs.frozen(kw_only=True)
class Host:
    """One network namespace and the addresses it has on the cable."""

    namespace: str
    address: str
    address6: str

    def command(self, *argv: str) -> list[str]:
        """Return the command line that runs `argv` in this namespace; `ip netns exec` becomes the program, so the pid is the program's."""
        return ["ip", "netns", "exec", self.namespace, *argv]

    def call(self, *argv: str) -> None:
        """Run a command in this namespace to its end; raises `CalledProcessError`."""
        self.ask(*argv)

    def ask(self, *argv: str) -> str:
        """Run a command in this namespace to its end and return what it wrote; raises `CalledProcessError`."""
        return subprocess.run(self.command(*argv), check=True, capture_output=True, text=True, timeout=20).stdout


@attrs.frozen(kw_only=True)
class Cable:
    """The two ends: `us` is where l2tpd runs, `them` where its peer does."""

    us: Host
    them: Host


def require_root() -> None:
    """Raise when we may not make network namespaces."""
    if os.geteuid() != 0:
        message = "the interop tests make network namespaces and run other people's daemons in them: run them as root"
        raise PermissionError(message)


@contextmanager
def cable(tag: str) -> Iterator[Cable]:
    """Make two namespaces named after `tag` (unique on this machine) and the cable between them; remove them at the end."""
    require_root()
    ends = Cable(
        us=Host(namespace=f"{tag}-us", address="192.0.2.1", address6="2001:db8::1"),
        them=Host(namespace=f"{tag}-them", address="192.0.2.2", address6="2001:db8::2"),
    )
    with ExitStack() as stack:
        for host in (ends.us, ends.them):
            _ip("netns", "add", host.namespace)
            stack.callback(_ip, "netns", "delete", host.namespace)
        far_end = ("peer", "name", CABLE, "netns", ends.them.namespace)
        _ip("link", "add", CABLE, "netns", ends.us.namespace, "type", "veth", *far_end)
        for host in (ends.us, ends.them):
            _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", CABLE)
            _ip("-n", host.namespace, "address", "add", f"{host.address6}/64", "dev", CABLE, "nodad")
            # l2tpns joins its cluster's multicast group on `lo`, which needs the flag.
            _ip("-n", host.namespace, "link", "set", "lo", "up", "multicast", "on")
            _ip("-n", host.namespace, "link", "set", CABLE, "up")
        yield ends


def _ip(*argv: str) -> None:
    subprocess.run(["ip", *argv], check=True, capture_output=True, timeout=20)
