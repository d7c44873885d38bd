"""UDP sockets: what a listener tells of a datagram, what leaves from where, and what a new socket got too early."""

from __future__ import annotations

import os
import socket

import pytest

from faults.means import no_descriptor_left
from heap import small
from house import free_port
from l2tpd.config.model import Address
from l2tpd.errors import StartupError
from l2tpd.tunnel.port import (
    Arrived,
    Listener,
    any_address,
    bound,
    connected,
    omit_checksums,
    source_towards,
    take_strays,
)


@pytest.mark.parametrize(
    ("listen", "called"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.3"), ("::1", "::1"), ("::", "::1")],  # noqa: S104 - tested here
)
def test_a_listener_knows_which_address_was_called(listen: str, called: str) -> None:
    """And answers from it."""
    address = Address(called, free_port())
    listener = Listener(address._replace(host=listen))
    with listener.socket, bound(Address(called, 0), share=False) as peer:
        name = Address(*peer.getsockname()[:2])
        with pytest.raises(BlockingIOError):
            listener.receive_nowait()
        peer.sendto(b"request", address)
        with small():
            arrived = listener.receive_nowait()
        assert Arrived(b"request", name, address) == arrived
        listener.send_nowait(b"answer", name, address)
        data, source = peer.recvfrom(100)
        assert (b"answer", tuple(address)) == (data, source[:2])


def test_an_address_in_use_is_reported() -> None:
    """A second daemon must not share the first one's port by accident."""
    address = Address("127.0.0.1", free_port())
    with Listener(address).socket, pytest.raises(StartupError, match=r"cannot listen on 127\.0\.0\.1"):
        Listener(address)


def test_an_address_of_somebody_else_is_reported() -> None:
    """With the address in the message."""
    with pytest.raises(StartupError, match=r"192\.0\.2\.1:1701"):
        Listener(Address("192.0.2.1", 1701))


def test_a_socket_that_is_not_to_be_had_names_its_listener() -> None:
    """For want of descriptors, or of IPv6 in this machine: it is the listener that fails, and which one is said."""
    with no_descriptor_left(), pytest.raises(StartupError, match=r"cannot listen on \[::1\]:1701: "):
        Listener(Address("::1", 1701))


def test_what_a_listener_serves() -> None:
    """Its own address; a wildcard all of its family on its port."""
    port = free_port()
    one = Listener(Address("127.0.0.1", port))
    with one.socket:
        assert one.serves(Address("127.0.0.1", port))
        assert not one.serves(Address("127.0.0.2", port))
    wildcard = Listener(Address(any_address(Address("127.0.0.1", 1)), port))
    with wildcard.socket:
        assert wildcard.serves(Address("127.0.0.2", port))
        assert not wildcard.serves(Address("127.0.0.2", port + 1))
        assert not wildcard.serves(Address("::1", port))


def test_tunnels_share_the_listeners_port_with_it() -> None:
    """Each connected socket gets its own peer's packets, the listener everybody else's."""
    listener = Listener(Address("127.0.0.1", free_port()))
    here = Address("127.0.0.1", 0)
    with listener.socket, bound(here, share=False) as caller, bound(here, share=False) as stranger:
        name = Address(*caller.getsockname())
        with listener.open_tunnel(name, listener.address, 1, 2) as tunnel:
            assert (tuple(listener.address), tuple(name)) == (tunnel.getsockname(), tunnel.getpeername())
            caller.sendto(b"mine", listener.address)
            stranger.sendto(b"new", listener.address)
            assert b"mine" == tunnel.recv(100)
            assert b"new" == listener.receive_nowait().data
            with pytest.raises(BlockingIOError):
                listener.receive_nowait()


def test_what_came_before_the_connection_is_not_lost() -> None:
    """It is returned in order, once, with its sender."""
    here = Address("127.0.0.1", 0)
    with bound(here, share=True) as early, bound(here, share=False) as peer:
        local = Address(*early.getsockname())
        for data in (b"1", b"2"):
            peer.sendto(data, local)
        early.connect(("127.0.0.1", 9))
        name = Address(*peer.getsockname())
        assert [Arrived(b"1", name, local), Arrived(b"2", name, local)] == take_strays(early, local)
        assert [] == take_strays(early, local)


def test_a_socket_that_cannot_be_connected_is_closed() -> None:
    """No descriptor stays behind; a left one would be reported as a ResourceWarning."""
    with pytest.raises(OSError):
        connected(Address("127.0.0.1", 0), Address("192.0.2.1", 1701), share=False)


def test_the_source_towards_a_peer() -> None:
    """Is where the route leaves from."""
    assert "127.0.0.1" == source_towards(Address("127.0.0.1", 1701))
    assert "::1" == source_towards(Address("::1", 1701))


def test_no_socket_outlives_an_exec() -> None:
    """Hook scripts and pppd inherit none."""
    with bound(Address("127.0.0.1", 0), share=True) as sock:
        assert not sock.get_inheritable()
        assert socket.SOCK_DGRAM == sock.type
        assert not sock.getblocking()


@pytest.mark.skipif(os.geteuid() != 0, reason="reading whole packets takes root")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_data_without_checksums_and_control_messages_with_them(host: str) -> None:
    """The option is for data packets, which leave by the descriptor; nobody may switch a control message's checksum off (RFC 3931 4.1.2.3)."""
    here = Address(host, 0)
    with bound(here, share=False) as peer:
        there = Address(*peer.getsockname()[:2])
        sock = omit_checksums(connected(here, there, share=False))
        port = sock.getsockname()[1].to_bytes(2, "big")
        with sock, socket.socket(sock.family, socket.SOCK_RAW, socket.IPPROTO_UDP) as ear:
            ear.settimeout(5)

            def summed() -> bool:
                while True:
                    packet = ear.recv(100)
                    header = packet[20 if sock.family == socket.AF_INET else 0 :]
                    if header[:2] == port:
                        return header[6:8] != bytes(2)

            os.write(sock.fileno(), b"data")
            sock.send(b"control")
            sock.sendto(b"control", there)
            os.write(sock.fileno(), b"data")
            assert [False, True, True, False] == [summed() for _ in range(4)]
        assert not sock.getblocking()
