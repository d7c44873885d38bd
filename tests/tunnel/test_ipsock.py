"""Sockets of protocol 115, between two addresses of the loopback interface: what leaves, what arrives, and with which face."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from heap import small
from l2tpd.config.model import Address
from l2tpd.errors import StartupError
from l2tpd.tunnel.ipsock import PROTOCOL, IpListener, IpSocket, raw_socket
from l2tpd.tunnel.port import BUFFER
from l2tpd.wire.header import build_control3

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="RAW SOCKETS ARE NOT TESTED: that takes root")

CONTROL = build_control3(7, 1, 2, b"body")
DATA = b"\0\3\0\0" + b"\0\0\0\5" + b"frame" * 10

Pair = tuple[IpSocket, IpSocket]


@pytest.fixture(params=[("127.0.0.1", "127.0.0.2"), ("::1", "::1")], ids=["IPv4", "IPv6"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Both ends of a tunnel; over IPv6, where the loopback interface has one address, each hears itself as well."""
    here, there = request.param
    one, other = raw_socket(here, there), raw_socket(there, here)
    yield one, other
    one.close()
    other.close()


def got(sock: IpSocket) -> tuple[bytes, tuple[str, int]]:
    with small():
        size, sender = sock.recvfrom_into(BUFFER)
    return bytes(BUFFER[:size]), sender


@pytest.mark.parametrize("packet", [CONTROL, DATA], ids=["control", "data"])
@pytest.mark.parametrize(
    "send", [IpSocket.send, lambda sock, packet: sock.sendto(packet, None)], ids=["send", "sendto"]
)
def test_what_is_sent_arrives_as_it_was(pair: Pair, packet: bytes, send: Callable[[IpSocket, bytes], int]) -> None:
    """Both kinds of packets keep the face that they have over UDP."""
    one, other = pair
    send(one, packet)
    assert (packet, (one.getsockname()[0], 0)) == got(other)
    with socket.socket(fileno=os.dup(other.fileno())) as same:  # as data planes look at it
        assert one.getsockname()[0] == same.getpeername()[0]
    with pytest.raises(BlockingIOError):
        got(other)


@pytest.mark.parametrize(("packet", "wire"), [(CONTROL, bytes(4) + CONTROL), (DATA, DATA[4:])], ids=["control", "data"])
def test_on_the_wire(packet: bytes, wire: bytes) -> None:
    """Control messages follow a session id of 0, data packets begin with theirs (RFC 3931 4.1.1.1, 4.1.1.2)."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOL) as ear:
        ear.settimeout(5)
        ear.bind(("127.0.0.2", 0))
        one = raw_socket("127.0.0.1", "127.0.0.2")
        one.send(packet)
        one.close()
        assert wire == ear.recv(65535)[20:]


def test_options_of_the_ip_header_are_no_part_of_the_packet() -> None:
    """A header of 24 octets: what follows it is found all the same."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOL) as mouth:
        mouth.bind(("127.0.0.2", 0))
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x94\x04\0\0")  # RFC 2113, Router Alert
        one = raw_socket("127.0.0.1", "127.0.0.2")
        mouth.sendto(DATA[4:], ("127.0.0.1", 0))
        assert DATA == got(one)[0]
        mouth.sendto(bytes(4) + CONTROL, ("127.0.0.1", 0))
        assert CONTROL == got(one)[0]
        one.close()


@pytest.mark.parametrize("junk", [b"", b"\0", b"\0\0\0"])
def test_less_than_a_session_id_is_no_packet(junk: bytes) -> None:
    """Its size is 0, which the reader skips."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOL) as mouth:
        mouth.bind(("127.0.0.2", 0))
        one = raw_socket("127.0.0.1", "127.0.0.2")
        mouth.sendto(junk, ("127.0.0.1", 0))
        assert b"" == got(one)[0]
        one.close()


def test_a_session_id_alone_is_a_packet() -> None:
    """Without a frame, but of a session; zero alone is an empty control message, which its reader finds malformed."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOL) as mouth:
        mouth.bind(("127.0.0.2", 0))
        one = raw_socket("", "127.0.0.2")
        here = one.getsockname()
        mouth.sendto(b"\0\0\0\5", here)
        assert DATA[:8] == got(one)[0]
        mouth.sendto(bytes(4), here)
        assert b"" == got(one)[0]
        one.close()


def test_strangers_are_not_heard() -> None:
    """A connected socket takes packets of its peer only, and stays with it."""
    one, stranger = raw_socket("127.0.0.1", "127.0.0.2"), raw_socket("127.0.0.3", "127.0.0.1")
    one.connect(Address("127.0.0.3", 0))
    stranger.send(CONTROL)
    with pytest.raises(BlockingIOError):
        got(one)
    assert one.fileno() >= 0
    one.close()
    stranger.close()
    assert -1 == one.fileno()


def test_an_address_that_is_not_ours() -> None:
    """The error of the system, and nothing left open."""
    with pytest.raises(OSError, match="assign"):
        raw_socket("192.0.2.1", "127.0.0.1")


@pytest.mark.parametrize(
    ("listen", "called", "caller"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
        ("0.0.0.0", "127.0.0.3", "127.0.0.2"),  # noqa: S104 - the wildcard is what is tested
        ("::1", "::1", "::1"),
        ("::", "::1", "::1"),
    ],
)
def test_a_listener_takes_what_names_no_connection(listen: str, called: str, caller: str) -> None:
    """A request, with the address that was called; neither data nor what belongs to a tunnel. Its answer leaves from there."""
    request = build_control3(0, 0, 0, b"request!")
    listener, lac = IpListener(Address(listen, 0), kernel=False), raw_socket(caller, called)
    try:
        for packet in (CONTROL, DATA, request):
            lac.send(packet)
        for _ in range(2):
            with pytest.raises(OSError, match="not for a listener"):
                listener.receive_nowait()
        with small():
            arrived = listener.receive_nowait()
        assert (request, Address(caller, 0), Address(called, 0)) == arrived
        assert listener.serves(arrived.local)
        assert not listener.serves(Address(called, 1701))
        with pytest.raises(BlockingIOError):
            listener.receive_nowait()
        if called != caller:  # else it would hear itself first
            listener.send_nowait(CONTROL, arrived.peer, arrived.local)
            assert (CONTROL, (called, 0)) == got(lac)
        tunnel = listener.open_tunnel(arrived.peer, arrived.local, 1, 2)
        assert (called, 0) == tunnel.getsockname()
        tunnel.close()
    finally:
        listener.close()
        lac.close()


def test_a_listener_on_an_address_that_is_not_ours() -> None:
    """The address, and what the system says."""
    with pytest.raises(StartupError, match=r"cannot listen on 192\.0\.2\.1 for L2TP over IP: Cannot assign"):
        IpListener(Address("192.0.2.1", 0), kernel=False)
