"""Files of captured messages: made as tcpdump names them, and as tshark and `l2tpctl decode` read them."""

from __future__ import annotations

import io
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pcapng import FileScanner
from pcapng.blocks import EnhancedPacket, SectionHeader

from faults.means import no_descriptor_left
from l2tpctl.captures import datagrams
from l2tpctl.errors import CommandError
from l2tpctl.ring import Ring, packet
from l2tpd.control.jsonrpc import Json
from l2tpd.wire.header import build_control

HELLO = build_control(7, 0, 3, 4, bytes.fromhex("8008 0000 0000 0006"))
PORTS = frozenset({1701})


def message(number: int = 0, /, **more: Json) -> dict[str, Json]:
    """Return what the daemon tells of a message, `number` seconds after the first one."""
    return {
        "object": "message",
        "time": 1_700_000_000.123456 + number,
        "direction": "in",
        "encap": "udp",
        "source": "192.0.2.1:40000",
        "destination": "192.0.2.2:1701",
        "tunnel_id": 7,
        "name": "hq",
        "octets": HELLO.hex(),
        "text": f"control number {number}",
        **more,
    }


def packets(path: Path) -> list[EnhancedPacket]:
    """Return the packets of a file that must be whole."""
    return [block for block in FileScanner(io.BytesIO(path.read_bytes())) if isinstance(block, EnhancedPacket)]


def numbers(path: Path) -> list[int]:
    """Return which messages a file holds."""
    return [int(block.options["opt_comment"].rpartition(" ")[2]) for block in packets(path)]


# --- files


def test_one_file(tmp_path: Path) -> None:
    """It is whole after each message; time to the microsecond, direction, comment, what was lost, who wrote it."""
    path = tmp_path / "out.pcapng"
    with Ring(path, "1.2") as ring:
        ring.write(message(1))
        assert [1] == numbers(path)
        ring.write(message(2, direction="out", name=""), lost=5)
    one, two = packets(path)
    assert ("inbound", "outbound") == (one.options["epb_flags"].inout, two.options["epb_flags"].inout)
    assert ("tunnel @7 hq\ncontrol number 1", "tunnel @7\ncontrol number 2") == tuple(
        block.options["opt_comment"] for block in (one, two)
    )
    assert 1_700_000_001_123_456 == round(one.timestamp * 1_000_000)
    assert 5 == two.options["epb_dropcount"]
    assert "epb_dropcount" not in one.options
    head = next(iter(FileScanner(io.BytesIO(path.read_bytes()))))
    assert isinstance(head, SectionHeader)
    assert "l2tpd 1.2" == head.options["shb_userappl"]
    assert {"shb_hardware", "shb_os"} <= set(head.options)


def test_what_is_captured_is_for_the_owner_alone(tmp_path: Path) -> None:
    """The file can be read by nobody else, whatever the umask says."""
    before = os.umask(0)
    try:
        with Ring(tmp_path / "out", "1"):
            assert 0o600 == stat.S_IMODE((tmp_path / "out").stat().st_mode)
    finally:
        os.umask(before)


def test_a_file_that_was_there_becomes_the_owners_alone(tmp_path: Path) -> None:
    """What others could read before they can read no longer when there is something in it; a device keeps its mode."""
    (tmp_path / "out").touch()
    (tmp_path / "out").chmod(0o666)
    with Ring(tmp_path / "out", "1"):
        assert 0o600 == stat.S_IMODE((tmp_path / "out").stat().st_mode)
    before = Path("/dev/null").stat().st_mode
    with Ring(Path("/dev/null"), "1"):
        assert before == Path("/dev/null").stat().st_mode


def test_a_row_of_files(tmp_path: Path) -> None:
    """Each takes messages until it has reached its size; their names are those of tcpdump, and all can be read alone."""
    with Ring(tmp_path / "out", "1", size=1000) as ring:
        for number in range(30):
            ring.write(message(number))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert {"out", "out1", "out2", "out3"} <= set(names)
    order = [tmp_path / f"out{number or ''}" for number in range(len(names))]
    assert list(range(30)) == [number for path in order for number in numbers(path)]
    assert all(1000 <= path.stat().st_size < 1300 for path in order[:-1])


def test_a_ring_of_files(tmp_path: Path) -> None:
    """No more than so many, of which the oldest is overwritten; digits so that they sort."""
    with Ring(tmp_path / "out", "1", size=1000, count=11) as ring:
        for number in range(200):
            ring.write(message(number))
    assert [f"out{number:02}" for number in range(11)] == sorted(path.name for path in tmp_path.iterdir())
    kept = sorted(number for path in tmp_path.iterdir() for number in numbers(path))
    assert list(range(kept[0], 200)) == kept
    assert kept[0] > 0


def test_a_ring_goes_on_without_another_descriptor(tmp_path: Path) -> None:
    """The next file has that of the last; only who begins is told that there is none."""
    with Ring(tmp_path / "r", "1", size=1, count=2) as ring, no_descriptor_left():
        for number in range(3):
            ring.write(message(number))
        with pytest.raises(OSError, match="Too many open files"):
            Ring(tmp_path / "other", "1")
    assert ([1], [2]) == (numbers(tmp_path / "r0"), numbers(tmp_path / "r1"))


def test_a_longer_file_of_that_name_is_overwritten(tmp_path: Path) -> None:
    """Nothing of it is left behind our end."""
    (tmp_path / "out").write_bytes(bytes(100_000))
    with Ring(tmp_path / "out", "1") as ring:
        ring.write(message(3))
    assert [3] == numbers(tmp_path / "out")


def test_an_endless_comment_is_cut(tmp_path: Path) -> None:
    """An option of pcapng has 65535 octets, whatever a peer makes us say; no character is cut in two."""
    with Ring(tmp_path / "out", "1") as ring:
        ring.write(message(text="ж" * 60_000))
    (block,) = packets(tmp_path / "out")
    assert 30_000 < len(block.options["opt_comment"]) < 33_000
    assert {"ж"} == set(block.options["opt_comment"].rpartition("\n")[2])


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How to get it is told, before any file is made."""
    monkeypatch.setitem(sys.modules, "pcapng", None)
    with pytest.raises(CommandError, match="pip install"):
        Ring(tmp_path / "out", "1")
    assert [] == list(tmp_path.iterdir())


# --- packets


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("192.0.2.1:1701", "198.51.100.2:40000"),
        ("[2001:db8::1]:40000", "[2001:db8::2]:1701"),
        ("[fe80::1%eth0]:1701", "[fe80::2]:9"),
    ],
)
@given(octets=st.binary(min_size=1, max_size=300))
def test_a_packet_is_read_as_it_was_told(source: str, destination: str, octets: bytes) -> None:
    """Addresses, ports and octets come back; every checksum sums up to nothing (RFC 1071)."""
    told = packet(message(source=source, destination=destination, octets=octets.hex()))
    file = (
        struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
        + struct.pack("<IIII", 0, 0, *[len(told)] * 2)
        + told
    )
    (found,) = datagrams(file, PORTS)
    assert (source.replace("%eth0", ""), destination, octets) == (found.source, found.destination, found.octets)
    start = 40 if told[0] >> 4 == 6 else 20
    ends = told[8:40] if start == 40 else told[12:20]
    assert start == 40 or summed(told[:20]) == 0xFFFF
    assert 0xFFFF == summed(ends + struct.pack("!HH", 17, len(told) - start) + told[start:])


def summed(octets: bytes) -> int:
    """Add words as RFC 1071 does, in a way of its own: the sum modulo 65535, where 0 is written as 65535."""
    return int.from_bytes(octets + bytes(len(octets) % 2), "big") % 0xFFFF or 0xFFFF


@pytest.mark.parametrize(("source", "destination"), [("192.0.2.1", "192.0.2.2"), ("[2001:db8::1]", "[2001:db8::2]")])
def test_over_ip(tmp_path: Path, source: str, destination: str) -> None:
    """Protocol 115, and a session id of 0 before a control message (RFC 3931 4.1.1.2)."""
    with Ring(tmp_path / "out", "1") as ring:
        ring.write(message(source=source, destination=destination, encap="ip", octets="c803000c00000007000300 04"))
    fields = ["ip.proto", "ipv6.nxt", "l2tp.ccid", "l2tp.Ns", "_ws.malformed"]
    argv = [
        "tshark",
        "-n",
        "-r",
        str(tmp_path / "out"),
        "-T",
        "fields",
        *(word for one in fields for word in ("-e", one)),
    ]
    seen = subprocess.run(argv, capture_output=True, check=True, text=True, timeout=60).stdout.rstrip("\n").split("\t")
    assert ["115", "0x00000007", "3", ""] == [seen[0] + seen[1], *seen[2:]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": "nowhere:1"},
        {"destination": "192.0.2.1:x"},
        {"octets": "zz"},
        {"source": "192.0.2.1:1:1"},
        {"source": "192.0.2.1:99999"},
        {"octets": "00" * 65536},
    ],
)
def test_what_cannot_be_a_message_is_told(wrong: dict[str, Json]) -> None:
    """A sentence, not a traceback."""
    with pytest.raises(CommandError, match="cannot be read"):
        packet(message(**wrong))


@pytest.mark.parametrize("at", [-1, 1e308, 10**400], ids=["before", "never", "endless"])
def test_a_time_that_is_none_is_the_beginning(tmp_path: Path, at: float) -> None:
    """So is a number of lost messages as high as can be, or not told: the message is worth more than either."""
    with Ring(tmp_path / "file", "1.2") as ring:
        ring.write(message(time=at), -1)
        ring.write(message(time=at), 1 << 70)
    one, two = packets(tmp_path / "file")
    assert (0, 0) == (one.timestamp, two.timestamp)
    assert "epb_dropcount" not in one.options
    assert (1 << 64) - 1 == two.options["epb_dropcount"]
