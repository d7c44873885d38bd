"""Control messages of whole daemons captured, and judged by tshark: what is in the file, what our comments say, and that nobody else notices."""

from __future__ import annotations

import hashlib
import hmac
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

import house
from dialogue import hello, sccrq, stopccn
from l2tpctl import client
from l2tpctl.capture import Capture, Tally, follow
from l2tpd.bus import DEFAULT_SIZE
from l2tpd.config.model import Address
from l2tpd.daemon import Daemon
from l2tpd.tunnel.port import any_address
from l2tpd.wire.header import build_control
from l2tpd.wire.messages import encode
from pair import (
    ANYBODY,
    Stage,
    calls,
    carried,
    console,
    free_port,
    listen,
    other_end,
    session,
    stage,
    tunnel,
    udp,
    until,
    up,
)

WARNING = 0x400000  # Wireshark's PI_WARN; PI_ERROR is above it, notes and chats below
BAD = "0"  # of a checksum's status in tshark
FIELDS = [
    "frame.time_epoch",
    "frame.packet_flags_direction",
    "frame.drop_count",
    "frame.comment",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "udp.srcport",
    "udp.dstport",
    "ip.checksum.status",
    "udp.checksum.status",
    "l2tp.type",
    "l2tp.avp.message_type",
    "l2tp.avp.hidden",
    "udp.payload",
    "_ws.malformed",
    "_ws.expert.severity",
    "_ws.expert.message",
]
IN, OUT = "0x00000001", "0x00000002"
ACK = "20"  # the message type that version 3 acknowledges with

SECRET = "open sesame"  # in no comment
HIDING = f'secret = "{SECRET}"\nhide_avps = true\nretry_timeout = 1\nredial_delay = 0.05\nredial_delay_max = 0.1\n'
NAME = "subscriber-42"
CALLED = "5551234"

Packet = dict[str, str]


def tshark(path: Path, *ports: int) -> list[Packet]:
    """Let tshark dissect a file; L2TP is on these UDP ports."""
    argv = ["tshark", "-n", "-r", str(path), "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
    argv += ["-o", f"l2tp.shared_secret:{SECRET}"]
    argv += [word for port in ports for word in ("-d", f"udp.port=={port},l2tp")]
    argv += ["-T", "fields", "-E", "separator=/t", *(word for field in FIELDS for word in ("-e", field))]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    return [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in done.stdout.splitlines()]


def read(path: Path, *ports: int) -> list[Packet]:
    """Return what tshark reads. Every packet is sound, with right checksums and digests.

    Digests only where the ends have two addresses: tshark asks the address alone, not the port, whose nonce comes first.
    """
    packets = tshark(path, *ports)
    for packet in packets:
        severities = [int(word, 0) for word in packet["_ws.expert.severity"].split(",") if word]
        assert not packet["_ws.malformed"], packet
        assert not [one for one in severities if one >= WARNING], packet
        assert BAD not in {packet["ip.checksum.status"], packet["udp.checksum.status"]}, packet
        assert packet["l2tp.type"] in {"1", "True"}, packet
    return packets


def comments(packets: Sequence[Packet]) -> str:
    return "\n".join(packet["frame.comment"] for packet in packets)


def kinds(packets: Sequence[Packet]) -> list[str]:
    """Return direction and message type of those packets that have one."""
    return [
        {IN: "<", OUT: ">"}[packet["frame.packet_flags_direction"]] + packet["l2tp.avp.message_type"]
        for packet in packets
        if packet["l2tp.avp.message_type"]
    ]


def exchanged(packets: Sequence[Packet]) -> list[str]:
    """Return the same without acknowledgements, and each but once: on a busy machine a message may have been sent again."""
    return [kind for kind in dict.fromkeys(kinds(packets)) if kind[1:] != ACK]


@attrs.define(eq=False)
class Captured:
    """A capture that runs until its block ends."""

    path: Path
    tally: Tally = attrs.field(factory=Tally)


@asynccontextmanager
async def capturing(on: Stage, daemon: Daemon, file: str = "out.pcapng", **wanted: Any) -> AsyncIterator[Captured]:
    """Capture what a daemon says and hears; at the end of the block everything up to there is in the file."""
    captured, before = Captured(on.directory / file), len(daemon.tap.subscribers)
    asked = Capture(path=daemon.config.system.control_socket, file=captured.path, **wanted)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow, asked, captured.tally)
        await until(lambda: len(daemon.tap.subscribers) > before)
        queue = daemon.tap.subscribers[-1]
        yield captured
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert queue._next_nowait() is None
        nursery.cancel_scope.cancel()


async def stopped(daemon: Daemon, name: str) -> None:
    """Delete a tunnel and wait until it is gone at this end."""
    found = tunnel(daemon, name)
    daemon.dialer.remove(name, "enough")
    await until(lambda: found.core.local_id not in daemon.registry.by_id)


def dialled(name: str, port: int, keys: str = "", **more: Any) -> str:
    """Return a tunnel that hides AVPs, with one session that says a name."""
    words = (
        f'called_number = "{CALLED}"\nsub_address = "{NAME}"\n'
        if "l2tpv3" not in keys
        else f'remote_end_id = "{NAME}"\npseudowire = "eth"\n'
    )
    return calls(name, port, HIDING + keys, **more) + session(name, "one", words)


FAR = "127.0.0.2"
CALLED_HIDING = f'[profile.tunnel.default]\nhide_avps = true\n[peer.default]\nversions = ["l2tpv2", "l2tpv3"]\nsecret = "{SECRET}"\n'


# --- what is captured


async def test_a_whole_life_in_both_directions(tmp_path: Path) -> None:
    """From SCCRQ to StopCCN, at the end that calls and at the one that is called: the same messages, the other way round."""
    async with stage(tmp_path) as on:
        port = free_port()
        lns = await on.start("lns", listen(port) + CALLED_HIDING)
        async with capturing(on, lns, "lns.pcapng") as theirs:
            lac = await on.start("lac", dialled("hq", port))
            await until(lambda: carried(lac, "hq", "one"))
            async with capturing(on, lac, "lac.pcapng", tunnels=("hq",)) as ours:
                await stopped(lac, "hq")
        heard, said = read(theirs.path, port), read(ours.path, port)
    assert ["<1", ">2", "<3", "<10", ">11", "<12", "<4"] == exchanged(heard)
    assert [">4"] == exchanged(said)
    assert heard[-2]["l2tp.avp.message_type"] == "4"
    assert (len(heard), 0) == (theirs.tally.captured, theirs.tally.lost)
    for packet in heard:
        inbound = packet["frame.packet_flags_direction"] == IN
        assert str(port) == packet["udp.dstport" if inbound else "udp.srcport"]
        assert ("127.0.0.1", "127.0.0.1") == (packet["ip.src"], packet["ip.dst"])
    times = [float(packet["frame.time_epoch"]) for packet in heard]
    assert sorted(times) == times
    assert "tunnel @" in comments(said)
    assert " hq\\n" in comments(said)


@pytest.mark.parametrize("version", ["l2tpv2", "l2tpv3"])
async def test_hidden_avps_are_shown_when_asked_for_and_never_a_secret(tmp_path: Path, version: str) -> None:
    """Who does not ask is told that something is hidden; nobody is told a secret, a response to a challenge, or a cookie."""
    async with stage(tmp_path) as on:
        port = free_port(FAR)
        keys = f'version = "{version}"\n'
        lns = await on.start("lns", listen(port, FAR) + CALLED_HIDING)
        async with (
            capturing(on, lns, "plain.pcapng") as plain,
            capturing(on, lns, "shown.pcapng", show_hidden=True) as shown,
        ):
            lac = await on.start("lac", dialled("hq", port, keys, host=FAR))
            await until(lambda: carried(lac, "hq", "one"))
        closed, opened = (comments(read(one.path, port)) for one in (plain, shown))
    assert "<hidden>" in closed
    assert NAME not in closed
    assert NAME in opened
    assert "<hidden>" not in opened
    assert " octets>" in opened
    for text in (closed, opened):
        assert SECRET not in text
        assert "fault" not in text


def digest_of(message: bytes, nonces: bytes) -> bytes:
    """Compute the Message Digest by the letter of RFC 3931 5.4.1, of the octets on the wire, with nothing of ours.

    shared_key = HMAC_MD5 (shared_secret, 2); Message Digest = HMAC_Hash (shared_key, local_nonce + remote_nonce + control_message), where the AVP
    stands behind the Message Type (octets 12 to 19), its six octets of header and its Digest Type are there, and the digest itself is zeros.
    """
    key = hmac.new(SECRET.encode(), b"\x02", hashlib.md5).digest()
    size, hashed = {0: (16, hashlib.md5), 1: (20, hashlib.sha1)}[message[26]]
    assert (6 + 1 + size, 59) == (int.from_bytes(message[20:22], "big") & 0x3FF, int.from_bytes(message[24:26], "big"))
    return hmac.new(key, nonces + message[:27] + bytes(size) + message[27 + size :], hashed).digest()


def nonce_in(message: bytes) -> bytes:
    """Find the Control Message Authentication Nonce, attribute 73 of the IETF, in the octets of an SCCRQ or SCCRP."""
    position = 12
    while message[position + 2 : position + 6] != b"\0\0\0\x49":
        position += int.from_bytes(message[position : position + 2], "big") & 0x3FF
    return message[position + 6 : position + (int.from_bytes(message[position : position + 2], "big") & 0x3FF)]


@pytest.mark.parametrize("algorithm", ["hmac-md5", "hmac-sha1"])
async def test_digests_cover_what_is_hidden_as_it_stands_on_the_wire(tmp_path: Path, algorithm: str) -> None:
    """Every message of both daemons, with nonces that are found in its octets; tshark says the same (in `read`)."""
    async with stage(tmp_path) as on:
        port = free_port(FAR)
        keys = f'version = "l2tpv3"\ndigest = "{algorithm}"\n'
        lns = await on.start(
            "lns", listen(port, FAR) + CALLED_HIDING.replace("true\n", f'true\ndigest = "{algorithm}"\n', 1)
        )
        async with capturing(on, lns) as captured:
            lac = await on.start("lac", dialled("hq", port, keys, host=FAR))
            await until(lambda: carried(lac, "hq", "one"))
            await stopped(lac, "hq")
        packets = read(captured.path, port)
    messages = [(row["frame.packet_flags_direction"], bytes.fromhex(row["udp.payload"])) for row in packets]
    assert ["<1", ">2", "<3", "<10", ">11", "<12", "<4"] == exchanged(packets)
    nonces = {way: nonce_in(octets) for way, octets in reversed(messages) if octets[18:20] in {b"\0\1", b"\0\2"}}
    for way, octets in messages:
        local, remote = nonces[way], nonces[OUT if way == IN else IN]
        expected = digest_of(octets, b"" if octets[18:20] == b"\0\1" else local + remote)
        assert expected == octets[27 : 27 + len(expected)]
    hiding = {row["l2tp.avp.message_type"] for row in packets if {"1", "True"} & set(row["l2tp.avp.hidden"].split(","))}
    assert {"2", "10", "11", "12"} == hiding


@pytest.mark.skipif(os.geteuid() != 0, reason="L2TP OVER IP IS NOT CAPTURED: that takes root")
async def test_over_ip(tmp_path: Path) -> None:
    """Directly over IP: protocol 115, the four zeros before a control message, and digests that are right for tshark too."""
    async with stage(tmp_path) as on:
        peer = f'[peer.default]\nversions = ["l2tpv3"]\nsecret = "{SECRET}"\n'
        lns = await on.start("lns", '[[listen]]\naddress = "127.0.0.2"\nencap = "ip"\n' + peer)
        async with capturing(on, lns, peers=("127.0.0.1",)) as captured:
            keys = f'local = "127.0.0.1"\nversion = "l2tpv3"\nencap = "ip"\nsecret = "{SECRET}"\n'
            lac = await on.start("lac", f'[tunnel.hq]\npeer = "127.0.0.2"\n{keys}')
            await until(lambda: up(lac, "hq"))
            await stopped(lac, "hq")
        packets = read(captured.path)
    assert ["<1", ">2", "<3", "<4"] == exchanged(packets)
    ends = {("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "127.0.0.1")}
    assert ends == {(row["ip.src"], row["ip.dst"]) for row in packets}
    assert {""} == {row["udp.srcport"] for row in packets}


async def test_over_ipv6_from_an_address_by_route(tmp_path: Path) -> None:
    """Both addresses are known although the socket that calls was bound to none."""
    async with stage(tmp_path) as on:
        port = free_port()
        lns = await on.start("lns", f'[[listen]]\naddress = "[::]:{port}"\n' + ANYBODY)
        lac = await on.start("lac", "")
        async with (
            capturing(on, lns, "lns.pcapng") as theirs,
            capturing(on, lac, "lac.pcapng", peers=("::/0",)) as ours,
        ):
            console(lac).create_tunnel("hq", {"peer": f"[::1]:{port}"})
            await until(lambda: up(lac, "hq") and other_end(lns, tunnel(lac, "hq")).core.was_up)
        heard, said = read(theirs.path, port), read(ours.path, port)
    assert ["<1", ">2", "<3"] == exchanged(heard)
    assert [">1", "<2", ">3"] == exchanged(said)
    assert {("::1", "::1")} == {(row["ipv6.src"], row["ipv6.dst"]) for row in heard + said}


# --- whose messages


async def test_only_the_chosen_tunnel_and_its_successors(tmp_path: Path) -> None:
    """A name means each tunnel that has it, one after the other; an id the one; a peer whatever it says."""
    async with stage(tmp_path) as on:
        port = free_port()
        lns = await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("hq", port) + calls("annex", port))
        await until(lambda: up(lac, "hq") and up(lac, "annex"))
        first = tunnel(lac, "hq").core.local_id
        async with (
            capturing(on, lac, "name.pcapng", tunnels=("hq",)) as named,
            capturing(on, lac, "id.pcapng", tunnels=(f"@{first}",)) as numbered,
            capturing(on, lac, "nobody.pcapng", peers=("192.0.2.0/24",)) as nobody,
        ):
            for found in list(lns.registry):
                found.close(1, "enough")
            await until(lambda: tunnel(lac, "hq").core.local_id != first and up(lac, "hq") and up(lac, "annex"))
        by_name, by_id = read(named.path, port), read(numbered.path, port)
        assert ["<4", ">1", "<2", ">3"] == exchanged(by_name)
        assert ["<4"] == exchanged(by_id)
        assert "annex" not in comments(by_name)
        assert [] == read(nobody.path, port)


async def test_what_comes_for_no_tunnel_and_what_is_answered(tmp_path: Path) -> None:
    """A request that is refused, a packet to an unknown tunnel, one that cannot be read, one of a wrong version: whoever watches the peer sees them."""
    async with stage(tmp_path) as on:
        port = free_port()
        lns = await on.start("lns", listen(port) + "[peer.default]\naccept = false\n")
        async with capturing(on, lns, peers=("127.0.0.1",)) as captured:
            with udp() as stranger:
                request = build_control(0, 0, 0, 0, encode(sccrq(assigned_tunnel_id=9)))
                for datagram in (request, build_control(77, 0, 5, 0, encode(hello())), request[:20], b"\0\2\0\1\0\1"):
                    stranger.sendto(datagram, ("127.0.0.1", port))
                await until(lambda: lns.site.counters.data_dropped)
        text = comments(tshark(captured.path, port))
    shown = [line.partition("\\n")[2] for line in text.splitlines()]
    assert shown[0].startswith("control tunnel=0 session=0 ns=0 nr=0 SCCRQ")
    assert shown[1].startswith("control tunnel=9 session=0 ns=0 nr=1 StopCCN")
    assert shown[2].startswith("control tunnel=77 session=0 ns=5 nr=0 HELLO")
    assert shown[3].startswith("malformed")
    assert 4 == len(shown)  # data is no control message


async def test_a_tunnel_that_ends_while_it_is_watched(tmp_path: Path) -> None:
    """Its StopCCN and the acknowledgement are seen, also those of a copy that comes when all is over; nobody is disturbed."""
    async with stage(tmp_path) as on:
        port = free_port()
        lns = await on.start("lns", listen(port) + ANYBODY)
        with house.Peer(Address("127.0.0.1", port)) as lac:
            caller = await lac.connect()
            async with capturing(on, lns, tunnels=(f"@{caller.theirs}",)) as captured:
                await caller.stop()
                await until(lambda: caller.theirs not in lns.registry.by_id)
                await caller.repeat(stopccn(tunnel_id=caller.tunnel_id))
                await caller.hear(None)
            await (await lac.connect(2)).alive()
        packets = read(captured.path, port)
    assert ["<4", "<4"] == kinds(packets)
    assert [IN, OUT, IN, OUT] == [packet["frame.packet_flags_direction"] for packet in packets]


# --- who does not keep up


async def test_a_watcher_that_stalls_loses_messages_and_stops_nobody(tmp_path: Path) -> None:
    """The daemon answers as before, keeps a bounded number, and tells how many are missing; not one is unaccounted for."""
    async with stage(tmp_path) as on:
        port = free_port()
        lns = await on.start("lns", listen(port) + ANYBODY)
        hello_to_nobody = build_control(77, 0, 5, 0, encode(hello()) + bytes(200))
        async with client.connected(lns.config.system.control_socket) as stalled:
            await stalled.call("capture.start", {})
            (queue,) = lns.tap.subscribers
            with udp() as stranger:
                sent = 0
                while not queue.lost:
                    for _ in range(50):
                        stranger.sendto(hello_to_nobody, ("127.0.0.1", port))
                    sent += 50
                    await until(lambda: lns.site.counters.no_tunnel == sent)  # noqa: B023
            assert len(queue._waiting) + len(queue._taken) <= DEFAULT_SIZE
            with house.Peer(Address("127.0.0.1", port)) as lac:
                await (await lac.connect()).alive()
            seen = missing = 0
            while seen + missing < sent + len(("SCCRQ", "SCCRP", "SCCCN", "ZLB", "HELLO", "ZLB")):
                message = await stalled.next_event()
                assert message is not None
                seen += message["object"] == "message"
                missing += int(str(message["count"])) if message["object"] == "lost" else 0
        await until(lambda: not lns.tap.subscribers)
    assert missing
    assert seen >= DEFAULT_SIZE


async def test_nobody_watches_any_more_when_the_daemon_ends(tmp_path: Path) -> None:
    """The end of the daemon is the end of a capture, with everything written down."""
    async with stage(tmp_path) as on:
        port = free_port()
        lns = await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("hq", port))
        await until(lambda: up(lac, "hq"))
        tally, file = Tally(), tmp_path / "out.pcapng"
        async with trio.open_nursery() as nursery:
            asked = Capture(path=lac.config.system.control_socket, file=file)
            nursery.start_soon(follow, asked, tally)
            await until(lambda: lac.tap.subscribers)
            lac.stop(at_once=False)
        assert kinds(read(file, port))[0] == ">4"
        assert tally.captured >= 1
        assert not lns.crashes


async def test_without_a_route_our_address_is_unknown(tmp_path: Path) -> None:
    """A message is captured all the same."""
    async with stage(tmp_path) as on:
        lac = await on.start("lac", calls("hq", 9, host="255.255.255.255"))
        assert any_address(tunnel(lac, "hq").core.peer) == tunnel(lac, "hq")._called_from().host
