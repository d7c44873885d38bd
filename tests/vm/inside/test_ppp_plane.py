"""The Linux plane on the real kernel, without a daemon: idempotence, words of refusal, and that cancelling leaves nothing behind."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import attrs
import pytest
import trio

from interop.netns import Cable
from interop.program import polled
from l2tpd.config.model import DataPlane, Pseudowire
from l2tpd.errors import PlaneError
from l2tpd.kernel.adapter import Adapter
from l2tpd.kernel.choose import choose
from l2tpd.kernel.netlink import LinuxPlane, Netlink
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel
from l2tpd.kernel.plane import MovingPlane
from vm.inside import ethernet, stage
from vm.inside.ethernet import WAYS

pytestmark = pytest.mark.stock

TUNNEL, SESSION = 4001, 77
CREATE = CreateSession(tunnel_id=TUNNEL, session_id=SESSION, peer_session_id=78, pseudowire=Pseudowire.PPP)
FRAME = bytes.fromhex("c021 01 07 0004")  # RFC 1661 5.1: LCP, an empty Configure-Request
CANCELS = 40


@pytest.fixture
def kernel() -> Iterator[Netlink]:
    """A look at the kernel apart from the plane's own."""
    with closing(Netlink()) as netlink:
        yield netlink


@pytest.fixture
def plane() -> Iterator[LinuxPlane]:
    """A plane in the namespace that the tests themselves are in."""
    with closing(LinuxPlane(Netlink(), os.uname().release)) as made:
        yield made


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    """A socket as a tunnel has one."""
    with _connected(9) as made:
        yield made


def _connected(port: int, local: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", local))
    made.connect(("127.0.0.1", port))
    return made


def tunnel(sock: socket.socket, tunnel_id: int = TUNNEL) -> CreateTunnel:
    """Return the operation that makes a tunnel on a socket."""
    return CreateTunnel(tunnel_id=tunnel_id, peer_tunnel_id=4002, socket=sock)


async def empty(kernel: Netlink) -> None:
    """Wait until the kernel has no tunnel and no session: it forgets a tunnel after the request is answered."""

    async def nothing() -> bool | None:
        return None if kernel.tunnels() or kernel.sessions() else True

    await polled(nothing, lambda: f"left: {kernel.tunnels()} {kernel.sessions()}")


async def test_auto_takes_the_kernel() -> None:
    """`data_plane = "auto"` and `"kernel"` both take it here, and say why."""
    for word, reason in (
        (DataPlane.AUTO, f"Linux {os.uname().release} has L2TP and PPP"),
        (DataPlane.KERNEL, "configured"),
    ):
        chosen = await choose(word)
        assert ("kernel", reason, "") == (chosen.plane.name, chosen.reason, chosen.warning)
        assert isinstance(chosen.plane, MovingPlane)
        chosen.plane.close()


async def test_a_tunnel_with_a_session(plane: LinuxPlane, kernel: Netlink, sock: socket.socket) -> None:
    """What was asked for is what the kernel has; a create and a delete may be repeated; everything goes with the tunnel."""
    await plane.perform(tunnel(sock))
    await plane.perform(tunnel(sock))
    numbered = CreateSession(
        tunnel_id=TUNNEL,
        session_id=SESSION,
        peer_session_id=78,
        pseudowire=Pseudowire.PPP,
        lns_mode=True,
        sequencing=True,
        reorder_timeout=250,
    )
    first, second = await plane.perform(numbered), await plane.perform(numbered)
    assert first == second
    assert 0 <= first.channel
    (facts,) = kernel.sessions()
    assert (TUNNEL, SESSION, 78, 7) == facts[:4]
    assert facts.lns_mode
    assert facts.send_sequence
    assert facts.receive_sequence
    assert facts.reorder_timeout in range(230, 271)  # the kernel counts in ticks
    assert [(TUNNEL, 4002, 2)] == [facts[:3] for facts in kernel.tunnels()]
    assert 0 == (await plane.statistics(TUNNEL, SESSION))["rx_packets"]
    assert 0 == (await plane.statistics(TUNNEL))["tx_packets"]
    for _ in range(2):
        await plane.perform(DeleteSession(tunnel_id=TUNNEL, session_id=SESSION))
    assert [] == kernel.sessions()
    await plane.perform(numbered)
    for _ in range(2):
        await plane.perform(DeleteTunnel(tunnel_id=TUNNEL))
    await empty(kernel)


@pytest.mark.parametrize(("version", "way"), [(2, "udp4"), (2, "udp6"), *((3, way) for way in WAYS)])
async def test_frames_go_across(cable: Cable, version: int, way: str) -> None:
    """PPP frames go both ways between two planes, whatever carries the tunnel."""
    create = attrs.evolve(CREATE, cookie=b"1234" if version == 3 else b"", peer_cookie=b"1234" if version == 3 else b"")
    mirrored = attrs.evolve(create, tunnel_id=4002, session_id=78, peer_session_id=SESSION)
    ends = ((cable.us, WAYS[way], TUNNEL, 4002, create), (cable.them, WAYS[way].back(), 4002, TUNNEL, mirrored))
    with ExitStack() as stack:
        channels = []
        for host, here, tunnel_id, peer_tunnel_id, session in ends:
            plane = stack.enter_context(ethernet.opened(host))
            with ethernet.entered(host):
                sock = stack.enter_context(ethernet.carrier(here, tunnel_id, peer_tunnel_id))
            made = CreateTunnel(
                tunnel_id=tunnel_id, peer_tunnel_id=peer_tunnel_id, version=version, encap=here.encap, socket=sock
            )
            await plane.perform(made)
            channels.append((await plane.perform(session)).channel)
        for sender, receiver in (channels, reversed(channels)):
            os.write(sender, FRAME)
            await trio.lowlevel.wait_readable(receiver)
            assert FRAME == os.read(receiver, 2048)


async def test_refusals_have_words(plane: LinuxPlane, sock: socket.socket) -> None:
    """A refusal says what was refused and why, in the kernel's words where it has any."""
    with pytest.raises(PlaneError, match="the kernel has no tunnel for session 4001/77"):
        await plane.perform(CREATE)
    with pytest.raises(PlaneError, match="No such device"):
        await plane.statistics(TUNNEL)
    sock.close()
    with pytest.raises(PlaneError, match="tunnel 4001 has no socket any more"):
        await plane.perform(tunnel(sock))


async def test_what_others_made_is_left_alone(plane: LinuxPlane, kernel: Netlink, sock: socket.socket) -> None:
    """A tunnel that somebody else made under the same id is neither taken over nor deleted."""
    kernel.carry_out(tunnel(sock), descriptor=sock.fileno())
    with (
        _connected(10) as ours,
        pytest.raises(PlaneError, match="the kernel refused tunnel 4001: File exists") as refused,
    ):
        await plane.perform(tunnel(ours))
    assert errno.EEXIST == refused.value.errno
    await plane.perform(DeleteTunnel(tunnel_id=TUNNEL))
    assert [TUNNEL] == [facts.tunnel_id for facts in kernel.tunnels()]
    sock.close()
    await empty(kernel)


async def test_everything_goes_with_its_socket(plane: LinuxPlane, kernel: Netlink, sock: socket.socket) -> None:
    """Closing the socket ends tunnel and session, which is why a crashed run leaves nothing; deleting what is gone is done."""
    await plane.perform(tunnel(sock))
    await plane.perform(CREATE)
    sock.close()
    await empty(kernel)
    await plane.perform(DeleteSession(tunnel_id=TUNNEL, session_id=SESSION))
    await plane.perform(DeleteTunnel(tunnel_id=TUNNEL))


async def test_a_second_tunnel_on_the_same_path(plane: LinuxPlane, kernel: Netlink, sock: socket.socket) -> None:
    """Where the kernel would starve the first tunnel, the second is refused with what to do; elsewhere both are made."""
    await plane.perform(tunnel(sock))
    with _connected(9, sock.getsockname()[1]) as same:
        if stage.KERNEL >= (6, 11):
            await plane.perform(tunnel(same, 4003))
            assert 2 == len(kernel.tunnels())
        else:
            with pytest.raises(PlaneError, match="give one of them another `local_port`"):
                await plane.perform(tunnel(same, 4003))
            assert 1 == len(kernel.tunnels())


async def test_cancelling_leaves_nothing(plane: LinuxPlane, kernel: Netlink) -> None:
    """A session is cancelled at any moment of its creation, forty times over: the kernel has nothing of it afterwards."""
    adapter = Adapter(plane, lambda _operation, error: pytest.fail(str(error)))
    async with trio.open_nursery() as nursery:
        await nursery.start(adapter.run)
        for number in range(CANCELS):
            with _connected(9) as sock:
                with trio.move_on_after(number * 0.0005):
                    await adapter.submit(tunnel(sock))
                    await adapter.submit(CREATE)
                adapter.delete(DeleteTunnel(tunnel_id=TUNNEL))
                while adapter.waiting:
                    await trio.lowlevel.checkpoint()
                await empty(kernel)
        nursery.cancel_scope.cancel()
    await empty(kernel)
