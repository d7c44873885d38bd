"""RFC 3931 section 4.1 on the sockets of a daemon: UDP and its port, its checksums, and both encapsulations."""

from __future__ import annotations

import os
import socket

import pytest
import trio

from dialogue3 import sccrq3
from house import free_port, house
from house3 import Peer3
from l2tpd.config.model import Address, Encapsulation
from l2tpd.tunnel.dialect import V3
from l2tpd.wire.header import build_control3, peek
from l2tpd.wire.messages import encode3
from l2tpd.wire.numbers import MessageType

CALLED, CALLER = "127.17.1.1", "127.17.1.2"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="whole packets are for root")


@pytest.fixture
def registered() -> None:
    """Skip a test of port 1701 where another L2TP daemon of this machine has it on all addresses."""
    for host in (CALLED, CALLER):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((host, 1701))
            except OSError as error:
                pytest.skip(f"port 1701: {error}")


@pytest.mark.usefixtures("registered")
async def test_4_1_2_2_control_messages_must_go_to_the_registered_port() -> None:
    """using the registered UDP port 1701": where the configuration names none, of a peer that we call; and it is where we are called."""
    calling = f'[tunnel.t]\npeer = "{CALLER}"\nversion = "l2tpv3"\n[[listen]]\naddress = "{CALLED}"\n[peer.default]\n'
    with Peer3(Address(CALLED, 1701), host=CALLER, port=1701) as peer:
        async with house(calling):
            assert MessageType.SCCRQ == (await peer.heard()).type
            await peer.throw(peer.packet(sccrq3()))
            answer = await peer.heard()
            while answer.type == MessageType.SCCRQ:
                answer = await peer.heard()
            assert MessageType.SCCRP == answer.type


@ROOT
@pytest.mark.parametrize("wanted", ["true", "false"])
async def test_4_1_2_3_udp_checksums_must_be_enabled_for_control_messages(wanted: str) -> None:
    """Also where the operator wants none, for the option is about data."""
    port = free_port()
    text = f'[tunnel.t]\npeer = "127.0.0.1:{port}"\nversion = "l2tpv3"\nudp_checksum = {wanted}\n'
    with (
        Peer3(Address("127.0.0.1", port), port=port),
        trio.socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as ear,
    ):
        async with house(text):
            with trio.fail_after(60):
                while True:
                    packet = (await ear.recv(2000))[20:]
                    if port.to_bytes(2, "big") == packet[2:4]:
                        break
        assert peek(packet[8:]).control
        assert bytes(2) != packet[6:8]


@ROOT
@pytest.mark.parametrize("encap", Encapsulation)
async def test_4_1_l2tp_over_ip_must_be_supported_and_over_udp_should_be(encap: Encapsulation) -> None:
    """A request is answered over whichever it came; over IP it stands behind 32 bits of zeros (4.1.1.2)."""
    request = build_control3(0, 0, 0, encode3(sccrq3()))
    if encap is Encapsulation.UDP:
        async with house() as there:
            with Peer3(there.address) as peer:
                assert MessageType.SCCRP == (await peer.ask(sccrq3())).type
        return
    listening = (
        '[[listen]]\naddress = "127.17.1.3"\nencap = "ip"\n[peer.default]\n[profile.tunnel.default]\ndigest = "none"\n'
    )
    raw = trio.socket.socket(socket.AF_INET, socket.SOCK_RAW, 115)
    with raw:
        await raw.bind(("127.17.1.4", 0))
        async with house(listening):
            await raw.sendto(bytes(4) + request, ("127.17.1.3", 0))
            with trio.fail_after(60):
                packet = (await raw.recv(2000))[20:]
        assert bytes(4) == packet[:4]
        header, body = V3.parse(packet[4:])
        assert (9, MessageType.SCCRP) == (header.tunnel_id, body[7])
