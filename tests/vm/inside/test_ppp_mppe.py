"""Encryption of PPP by the kernel: against pppd from either end, against ourselves, and against our own ciphers on the data plane `user`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from interop.capture import capturing
from interop.daemon import Daemon
from interop.netns import CABLE, Cable
from interop.program import polled
from l2tpd.kernel.netlink import Netlink
from l2tpd.kernel.ops import Link
from l2tpd.kernel.pppunit import UnitCarrier, Units
from l2tpd.ppp.ccp import pack_offer
from l2tpd.ppp.frame import build_packet
from l2tpd.ppp.mppe import Keys
from l2tpd.ppp.numbers import CcpOption, Code, Protocol
from taken import Taken
from vm.inside import ppp, stage
from vm.inside.conftest import Start
from vm.inside.test_ppp_builtin import arrived, session

SEALED = b"\xff\x03\x00\xfd"
PATTERN = "c0ffee"
STATEFUL = "mppe_stateful = true\n"
WEAK = "mppe_bits = [40]\n"
PPPD = {"": "", STATEFUL: " mppe-stateful", WEAK: "", WEAK + STATEFUL: " mppe-stateful"}


def lns(more: str = "", word: str = "require") -> str:
    """Return the configuration of an LNS whose callers prove themselves by MS-CHAPv2 and are encrypted."""
    return ppp.LNS.replace('auth = "chap"', f'auth = "mschapv2"\nmppe = "{word}"\n{more}')


def client(cable: Cable, more: str = "", word: str = "require") -> str:
    """Return the configuration of its client, which does not call again."""
    return ppp.client_once(cable).replace('user = "alice"', f'user = "alice"\nmppe = "{word}"\n{more}')


def pppd(options: str, more: str) -> str:
    """Return options of a pppd that requires the same."""
    strength = "require-mppe-40 nomppe-128" if WEAK in more else "require-mppe-128"
    return options.replace("noccp", strength + PPPD[more]).replace("require-chap", "require-mschap-v2")


@asynccontextmanager
async def serving(cable: Cable, daemon: Start, folder: Path, more: str) -> AsyncIterator[Daemon]:
    """Our LNS, and pppd with xl2tpd as its client."""
    options = pppd(stage.LAC_OPTIONS, more)
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, lns(more)) as ours,
            stage.xl2tpd_lac(cable.them, folder / "lac", cable.us.address, options),
        ):
            yield ours


@asynccontextmanager
async def calling(cable: Cable, daemon: Start, folder: Path, more: str) -> AsyncIterator[Daemon]:
    """Our client, and pppd with xl2tpd as its LNS."""
    options = pppd(stage.LNS_OPTIONS, more)
    async with stage.xl2tpd_lns(cable.us, folder / "lns", options), daemon(cable.them, client(cable, more)) as ours:
        yield ours


@asynccontextmanager
async def both(cable: Cable, daemon: Start, folder: Path, more: str) -> AsyncIterator[Daemon]:
    """Two of ours on the kernel's data plane."""
    del folder
    with stage.secrets(cable.us):
        async with daemon(cable.us, lns(more)) as ours, daemon(cable.them, client(cable, more)):
            yield ours


@asynccontextmanager
async def mixed(cable: Cable, daemon: Start, folder: Path, more: str) -> AsyncIterator[Daemon]:
    """Our LNS, and a client of ours whose packets go through its own process."""
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, lns(more)) as ours,
            stage.l2tpd(cable.them, folder / "user", client(cable, more), data_plane="user"),
        ):
            yield ours


@pytest.mark.parametrize(
    ("pair", "more"),
    [
        (serving, ""),
        (serving, STATEFUL),
        (calling, WEAK + STATEFUL),
        (both, WEAK + STATEFUL),
        (mixed, STATEFUL),
    ],
)
async def test_packets_cross_unreadably(cable: Cable, daemon: Start, tmp_path: Path, pair: type, more: str) -> None:
    """Pings pass both ways, large ones too; on the cable there are encrypted packets, and nothing of what was in them; and after a loss they pass again."""
    path = tmp_path / "cable.pcapng"
    async with pair(cable, daemon, tmp_path, more) as ours:
        (session,) = await ppp.addressed(ours)
        host, other = (cable.them, cable.us) if pair is calling else (cable.us, cable.them)
        assert "mtu 1396" in await ppp.said(host, "ip", "link", "show", "dev", session["interface"])
        async with capturing(cable, path):
            far, near = session["ppp"]["remote_address"], session["ppp"]["local_address"]
            await stage.pings(host, far, "-p", PATTERN)
            await stage.pings(other, near, "-p", PATTERN, "-s", "1300")

            async def seen() -> bool | None:
                return (await trio.Path(path).read_bytes()).count(SEALED) >= 4 or None

            await polled(seen, lambda: "no four encrypted packets on the cable")
            assert 4 * bytes.fromhex(PATTERN) not in await trio.Path(path).read_bytes()
        host.call("tc", "qdisc", "add", "dev", CABLE, "root", "netem", "loss", "100%")
        assert 0 == await trio.to_thread.run_sync(lambda: stage.ping(host, far, count=2))
        host.call("tc", "qdisc", "del", "dev", CABLE, "root")
        await stage.pings(host, far)
        await stage.pings(other, near)
        await ours.program.says("PPP: encrypted by MPPE")


async def test_a_pppd_that_will_not_encrypt_stays_outside(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """We require it: the session ends, for that reason, and has never had an address."""
    options = stage.LAC_OPTIONS.replace("noccp", "nomppe")
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, lns()) as ours,
            stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address, options),
        ):
            event = await ours.control.event("session", "deleted")
            assert (3, "the peer does not agree on encryption") == (event["result"], event["message"])
            await ppp.nothing_left_of_pppd(cable.them)


async def test_a_pppd_that_need_not_encrypt_comes_in(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """We would, it will not: packets pass as they are."""
    theirs = stage.LAC_OPTIONS.replace("noccp", "nomppe")
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, lns(word="allow")) as ours,
            stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address, theirs),
        ):
            (session,) = await ppp.addressed(ours)
            await stage.pings(cable.us, session["ppp"]["remote_address"])


async def test_what_the_kernel_cannot_do_is_told(cable: Cable, daemon: Start) -> None:
    """It has no keys of 56 bits: who requires them gets no session, and the reason."""
    with stage.secrets(cable.us):
        async with daemon(cable.us, lns("mppe_bits = [56]\n")) as ours, daemon(cable.them, client(cable, word="allow")):
            event = await ours.control.event("session", "deleted")
            assert "no strength of encryption is both allowed and possible" == event["message"]


async def test_no_packet_of_our_own_leaves_unencrypted() -> None:
    """A Router Advertisement goes through the unit, where nothing keeps it back while CCP is not Opened: neither before, nor while it is negotiated anew."""
    keys = Keys(send=bytes(range(16)), receive=bytes(range(16, 32)))
    offer = bytes((CcpOption.MPPE, 6)) + pack_offer(frozenset({128}), stateless=True)
    request, ack = (b"\x80\xfd" + build_packet(code, 1, offer) for code in (Code.CONFIGURE_REQUEST, Code.CONFIGURE_ACK))
    with ExitStack() as stack:
        kernel, units, taken = Netlink(), Units(), Taken()
        stack.callback(kernel.close)
        stack.callback(units.close)
        peer, ours = session(kernel, stack, 1, 2), session(kernel, stack, 2, 1)
        peer.setblocking(False)
        carrier = UnitCarrier(os.dup(ours.fileno()), units)
        said: list[bytes] = []

        async def heard(what: bytes) -> bool | None:
            with suppress(BlockingIOError):
                said.append(peer.recv(2000))
            return any(what in frame for frame in said) or None

        async with trio.open_nursery() as nursery:
            nursery.start_soon(units.ear.serve)
            await carrier.open(Link(name="sealed", mtu=1400), 1400, Protocol.CCP)
            carrier.pump(taken)
            carrier.encrypt(keys, must=True)
            carrier.emit(b"early", taken)
            carrier.send(request)
            peer.send(ack)
            peer.send(request)
            await arrived(taken, 2)
            carrier.send(ack)
            carrier.encrypted()
            carrier.emit(b"sealed", taken)
            await polled(partial(heard, b"\x00\xfd"), lambda: f"nothing encrypted among {said}")
            peer.send(request)
            await arrived(taken, 3)
            carrier.send(request[:3] + b"\x02" + request[4:])
            carrier.emit(b"between", taken)
            carrier.send(b"\x80\xfd" + build_packet(Code.CODE_REJECT, 9, b"the end"))
            await polled(partial(heard, b"the end"), lambda: f"only this came: {said}")
            nursery.cancel_scope.cancel()
        assert not taken.reasons
        await carrier.finish()
    assert not [frame for frame in said if b"\x00\x57" in frame[:4]]
