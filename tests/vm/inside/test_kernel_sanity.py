"""What the data plane relies on in a kernel, proven without l2tpd."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trio

from interop.netns import Cable, Host
from vm.inside import stage
from vm.inside.families import family

pytestmark = pytest.mark.stock

NEW_UNIT = 0xC004743E  # PPPIOCNEWUNIT
SHARES_PORTS = (6, 11)
"""The first kernel that finds the session of a datagram whatever tunnel's socket it came in on."""


def test_the_kernel_speaks_l2tp(cable: Cable) -> None:
    """The generic netlink family resolves, and iproute2 gets an answer from it: no tunnels in a fresh namespace."""
    assert family("l2tp") > 0
    said = subprocess.run(cable.us.command("ip", "l2tp", "show", "tunnel"), check=True, capture_output=True, text=True)
    assert "" == said.stdout


def test_an_unknown_family_has_no_number() -> None:
    """What the refusal to skip is built on can tell presence from absence."""
    assert 0 == family("no such family")


def test_ppp_units_can_be_made() -> None:
    """A fresh unit of /dev/ppp is a network interface, and goes with its descriptor."""
    unit = os.open("/dev/ppp", os.O_RDWR)
    (number,) = struct.unpack("i", fcntl.ioctl(unit, NEW_UNIT, struct.pack("i", -1)))
    assert Path(f"/sys/class/net/ppp{number}").exists()
    os.close(unit)
    assert not Path(f"/sys/class/net/ppp{number}").exists()


@pytest.mark.parametrize("encap", ["udp", "ip"])
def test_static_ethernet_pseudowire(cable: Cable, encap: str) -> None:
    """Two ends configured by hand with `ip l2tp` carry pings, over UDP and over IP."""
    for near, far in ((cable.us, cable.them), (cable.them, cable.us)):
        ports = ("udp_sport", "5000", "udp_dport", "5000") if encap == "udp" else ()
        ends = ("local", near.address, "remote", far.address)
        near.call("ip", "l2tp", "add", "tunnel", "tunnel_id", "7", "peer_tunnel_id", "7", "encap", encap, *ends, *ports)
        near.call(
            "ip", "l2tp", "add", "session", "name", "pw0", "tunnel_id", "7", "session_id", "9", "peer_session_id", "9"
        )
        addressed(near, "pw0", f"10.7.0.{near.address[-1]}")
    assert 3 == stage.ping(cable.us, "10.7.0.2")


async def test_ppp_between_two_xl2tpd(cable: Cable, tmp_path: Path) -> None:
    """An xl2tpd client with the real pppd dials an xl2tpd LNS, both with kernel support, is given an address, and pings it."""
    lac_folder, lns_folder = tmp_path / "lac", tmp_path / "lns"
    async with (
        stage.xl2tpd_lns(cable.us, lns_folder) as lns,
        stage.xl2tpd_lac(cable.them, lac_folder, cable.us.address) as lac,
    ):
        await stage.pings(cable.them, "10.9.0.1", "-I", "10.9.0.10")
        assert 3 == await trio.to_thread.run_sync(stage.ping, cable.us, "10.9.0.10")
        for program in (lns, lac):
            assert "Using l2tp kernel support" in program.log


def test_two_tunnels_on_one_pair_of_ports(cable: Cable) -> None:
    """Of two managed tunnels with the same addresses and ports, kernels before 6.11 starve the first; later ones carry both."""
    with managed(cable.us, cable.them, 1, 2), managed(cable.them, cable.us, 1, 2):
        for number in (1, 2):
            for host in (cable.us, cable.them):
                addressed(host, f"pw{number}", f"10.{number}.0.{host.address[-1]}")
        received = [stage.ping(cable.us, f"10.{number}.0.2") for number in (1, 2)]
    assert ([3, 3] if stage.KERNEL >= SHARES_PORTS else [0, 3]) == received


def test_control_packets_come_up_on_the_last_socket(cable: Cable) -> None:
    """Control packets for either tunnel arrive on the socket that was connected last, on every kernel: only the tunnel id tells them apart."""
    with managed(cable.us, cable.them, 1, 2) as ours, managed(cable.them, cable.us, 1, 2) as theirs:
        assert "sent" == ask(theirs, "send 1")
        assert "sent" == ask(theirs, "send 2")
        assert 3 == stage.ping(cable.us, cable.them.address)  # by then whatever was sent before has come in
        assert "0 2" == ask(ours, "count")


@contextmanager
def managed(near: Host, far: Host, *numbers: int) -> Iterator[subprocess.Popen[str]]:
    """Keep managed tunnels between the same ports while the block runs."""
    script = Path(__file__).with_name("managed.py")
    argv = near.command(sys.executable, str(script), near.address, far.address, *map(str, numbers))
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (stage.REPOSITORY, stage.REPOSITORY / "tests")))}
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=env)
        )
        stack.callback(process.terminate)
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        yield process


def ask(process: subprocess.Popen[str], line: str) -> str:
    """Give a command to a `managed.py` and return its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    return process.stdout.readline().strip()


def addressed(host: Host, interface: str, address: str) -> None:
    """Give an interface an address and switch it on."""
    host.call("ip", "address", "add", f"{address}/24", "dev", interface)
    host.call("ip", "link", "set", interface, "up")
