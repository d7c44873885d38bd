"""What tests in a guest start: l2tpd with the kernel's data plane, xl2tpd with the real pppd, and commands in a namespace."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import trio

from interop.daemon import Daemon, daemon
from interop.netns import Host
from interop.program import SLOWNESS, Program, polled, running, spawn
from vm.inside.families import family

REPOSITORY = Path(__file__).parents[3]

KERNEL = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
"""Version of the kernel that we run on."""

LNS = """\
[global]
listen-addr = {address}
[lns default]
ip range = 10.9.0.10-10.9.7.250
local ip = 10.9.0.1
require chap = yes
refuse pap = yes
name = lns
pppoptfile = {folder}/options
length bit = yes
"""

LAC = """\
[global]
listen-addr = {address}
[lac tunnel]
lns = {lns}
pppoptfile = {folder}/options
name = alice
autodial = yes
length bit = yes
"""

LNS_OPTIONS = "noccp novj auth require-chap mtu 1400 mru 1400 nodefaultroute\n"
LAC_OPTIONS = "noccp novj noauth user alice password secret mtu 1400 mru 1400 nodefaultroute\n"
SECRETS = "alice * secret *\n"


def require_kernel() -> None:
    """Raise `RuntimeError` where the kernel lacks what all these tests are about: none of them may be skipped."""
    missing = [] if family("l2tp") else ["the generic netlink family l2tp (module l2tp_netlink)"]
    try:
        os.close(os.open("/dev/ppp", os.O_RDWR))
    except OSError as error:
        missing.append(f"/dev/ppp ({error.strerror}; module ppp_generic)")
    if missing:
        raise RuntimeError(f"the kernel {os.uname().release} lacks {' and '.join(missing)}")


def ping(host: Host, address: str, *options: str, count: int = 3) -> int:
    """Return how many of some pings, 200 ms apart, were answered."""
    argv = host.command("ping", "-n", "-q", "-c", str(count), "-i", "0.2", "-W", "1", *options, address)
    said = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60).stdout
    received = re.search(r"(\d+) received", said)  # nothing is said where the network is unreachable
    return int(received[1]) if received else 0


async def pings(host: Host, address: str, *options: str) -> None:
    """Wait until a ping is answered."""

    async def answered() -> bool | None:
        count = await trio.to_thread.run_sync(lambda: ping(host, address, *options, count=1))
        return True if count else None

    await polled(answered, lambda: f"{address} does not answer pings from {host.namespace}")


async def transfer(server: Host, client: Host, address: str, octets: int, *options: str) -> int:
    """Send so many octets by TCP to `address` of the server, or from it with `--reverse`; return how many were received."""
    iperf = Program("iperf3", await spawn(server.command("iperf3", "-s", "-1", "--forceflush", "-B", address)))
    async with running(iperf, signal.SIGTERM):
        await iperf.says("Server listening")
        argv = client.command("iperf3", "-c", address, "-n", str(octets), "-w", "128K", "-J", *options)
        done = await trio.run_process(argv, capture_stdout=True, check=False)
        assert 0 == done.returncode, done.stdout.decode()
    return int(json.loads(done.stdout)["end"]["sum_received"]["bytes"])


def l2tpd(host: Host, folder: Path, config: str, *, data_plane: str = "kernel") -> AbstractAsyncContextManager[Daemon]:
    """Run l2tpd in a namespace, with `config` behind the tables that all tests share; it has the time to end its pppds."""
    return daemon(host, folder, config, data_plane=data_plane, stop_timeout=5.0 * SLOWNESS)


@asynccontextmanager
async def xl2tpd_lns(host: Host, folder: Path, options: str = LNS_OPTIONS) -> AsyncIterator[Program]:
    """Run xl2tpd as an LNS with the real pppd: 10.9.0.1, peers from .10 on, CHAP as alice with the password `secret`."""
    async with _xl2tpd(host, folder, LNS, options) as program:
        yield program


@asynccontextmanager
async def xl2tpd_lac(host: Host, folder: Path, lns: str, options: str = LAC_OPTIONS) -> AsyncIterator[Program]:
    """Run xl2tpd as a client with the real pppd, calling `lns` as alice: once, and for half a minute, so that the LNS has to be there."""
    async with _xl2tpd(host, folder, LAC, options, lns=lns) as program:
        yield program


@asynccontextmanager
async def _xl2tpd(host: Host, folder: Path, config: str, options: str, **fields: str) -> AsyncIterator[Program]:
    folder.mkdir(parents=True)
    (folder / "xl2tpd.conf").write_text(config.format(address=host.address, folder=folder, **fields))
    (folder / "options").write_text(f"{options}logfile {folder}/pppd.log\n")
    files = ("-c", f"{folder}/xl2tpd.conf", "-p", f"{folder}/pid", "-C", f"{folder}/control")
    with secrets(host):
        program = Program("xl2tpd", await spawn(host.command("xl2tpd", "-D", *files)))
        async with running(program, signal.SIGTERM):
            await program.says(r"Listening on IP address .*, port 1701")
            yield program
        print(
            f"--- pppd wrote:\n{(folder / 'pppd.log').read_text() if (folder / 'pppd.log').exists() else '(nothing)'}"
        )


@contextmanager
def secrets(host: Host, text: str = SECRETS) -> Iterator[None]:
    """Give a namespace chap-secrets and pap-secrets of its own, which `ip netns exec` puts over the machine's."""
    folder = Path("/etc/netns") / host.namespace / "ppp"
    folder.mkdir(parents=True)
    try:
        for name in ("chap-secrets", "pap-secrets"):
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        yield
    finally:
        shutil.rmtree(folder.parent)
