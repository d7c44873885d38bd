"""Encryption of packets that this process moves: two ends on a cable of frames on which somebody listens, each interface in a namespace of its own."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

import attrs
import pytest

import taps
from l2tpd.ppp import authorities
from l2tpd.ppp.numbers import Auth
from l2tpd.session.call import Kind
from l2tpd.wire.numbers import CallResult
from ppp.test_task import LNS, End, end
from ppp.test_task_ipv6 import Place, running
from pppcable import Cable, until

pytestmark = pytest.mark.skipif(
    bool(taps.why_not()), reason=f"ENCRYPTION BY THIS PROCESS IS NOT TESTED: {taps.why_not()}"
)

REQUIRED = 'mppe = "require"\n'


@attrs.define(eq=False)
class Tapped(Cable):
    """One end of a cable that keeps what comes, and may lose some of it."""

    frames: list[bytes] = attrs.field(factory=list)
    lose: int = 0  # encrypted packets

    def hear(self, frame: bytes) -> None:
        self.frames.append(frame)
        if self.lose and frame.startswith(b"\xff\x03\x00\xfd"):
            self.lose -= 1
        else:
            super().hear(frame)


@pytest.fixture(autouse=True)
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have alice in the secrets files."""
    path = tmp_path / "secrets"
    path.write_text("alice * wonder 10.9.0.77\n")
    monkeypatch.setattr(authorities, "SECRETS", dict.fromkeys((Auth.PAP, Auth.CHAP, Auth.MSCHAPV2), path))


def ends(lns: str = REQUIRED, client: str = REQUIRED, auth: str = "mschapv2") -> tuple[End, End, Tapped, Tapped]:
    """An LNS and a client whose PPP profiles say this as well, and what comes to each of them."""
    server = end(
        LNS.format(auth=auth, echo=0).replace("auth =", lns + "auth ="), Kind.LNS_INCOMING, interface_name="sub"
    )
    caller = end(
        "[profile.ppp.default]\n" + client, Kind.LAC_INCOMING, interface_name="isp", user="alice", password="wonder"
    )
    server.cable, caller.cable = near, far = Tapped(), Tapped()
    return server, caller, near, far


async def answers(place: Place, address: str, within: int = 5) -> bool:
    """Send one ping, and tell whether it is answered."""
    command = ["ping", "-c", "1", "-W", str(within), address]
    done = await place.thread.run(partial(subprocess.run, command, check=False, capture_output=True, timeout=20))
    return done.returncode == 0


def up(*sides: End) -> bool:
    return all(side.call.ppp_remote and side.call.interface for side in sides)


@pytest.mark.parametrize("stateful", ["", "mppe_stateful = true\n"])
@pytest.mark.parametrize("bits", [40, 56, 128])
async def test_packets_cross_unreadably(bits: int, stateful: str) -> None:
    """Nothing but 0x00FD passes, both ways, and the interfaces leave 4 octets for it."""
    said = f"{REQUIRED}{stateful}mppe_bits = [{bits}]\n"
    lns, client, near, far = ends(said, said)
    async with running(lns, client) as (home, away):
        await until(lambda: up(lns, client))
        assert await answers(away, "10.9.0.1")
        assert await answers(home, "10.9.0.77")
        assert "mtu 1396" in await home.ip("link", "show", "dev", "sub")
        (shown,) = lns.engine.instances
        assert f"MPPE, {bits} bits, {'stateful' if stateful else 'stateless'}" == shown.report.encryption
    for side in (near, far):
        sealed = [frame for frame in side.frames if frame.startswith(b"\xff\x03\x00\xfd")]
        assert sealed
        assert not any(frame.startswith(b"\xff\x03\x00\x21") for frame in side.frames)
        assert not any(bytes((10, 9, 0, 77)) in frame for frame in sealed)


@pytest.mark.parametrize("stateful", ["", "mppe_stateful = true\n"])
async def test_a_lost_packet_is_got_over(stateful: str) -> None:
    """Statelessly at once; else after a Reset-Request and its Reset-Ack (RFC 3078 8)."""
    lns, client, near, far = ends(REQUIRED + stateful, REQUIRED + stateful)
    async with running(lns, client) as (home, _):
        await until(lambda: up(lns, client))
        far.lose = 1
        assert not await answers(home, "10.9.0.77", within=1)
        tried = [await answers(home, "10.9.0.77", within=1) for _ in range(2)]
        assert [not stateful, True] == tried
    resets = [frame for frame in near.frames if frame.startswith(b"\xff\x03\x80\xfd\x0e")]
    assert bool(stateful) == bool(resets)


@pytest.mark.parametrize(("lns", "client"), [(REQUIRED, ""), ("", REQUIRED)])
async def test_who_will_not_encrypt_stays_outside(lns: str, client: str) -> None:
    """Whoever requires it ends the call, for a reason of the administration's; no packet of IPv4 passes."""
    server, caller, *cables = ends(lns, client)
    async with running(server, caller):
        await until(lambda: server.ending and caller.ending)
    ending = (server if lns else caller).ending
    assert ending is not None
    assert (CallResult.ADMIN, "the peer does not agree on encryption") == ending
    assert not any(frame.startswith(b"\xff\x03\x00\x21") for cable in cables for frame in cable.frames)


@pytest.mark.parametrize(
    ("lns", "client", "sealed"), [("allow", "refuse", False), ("allow", "allow", True), ("require", "allow", True)]
)
async def test_who_may_encrypt_does_if_the_other_will(lns: str, client: str, sealed: bool) -> None:
    """Otherwise packets pass as they are."""
    server, caller, near, _ = ends(f'mppe = "{lns}"\n', f'mppe = "{client}"\n')
    async with running(server, caller) as (_, away):
        await until(lambda: up(server, caller))
        assert await answers(away, "10.9.0.1")
    assert sealed == any(frame.startswith(b"\xff\x03\x00\xfd") for frame in near.frames)


async def test_a_proof_without_keys_is_not_enough() -> None:
    """A client that requires encryption, and is asked for CHAP with MD5."""
    lns, client, _, _ = ends('mppe = "allow"\n', REQUIRED, auth="chap")
    async with running(lns, client):
        await until(lambda: client.ending)
    assert client.ending is not None
    assert "encryption is required" in client.ending[1]
