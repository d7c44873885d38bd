"""The whole way: a client of ours calls our LNS, which asks FreeRADIUS, moves packets, keeps accounts and obeys radclient."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

import taps
from interop.daemon import Daemon
from interop.freeradius import SECRET, FreeRadius
from interop.program import polled
from interop.scene import Scene

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"NO SESSION OF RADIUS IS TESTED: {taps.why_not()}")

RIGHT = "secret"
USERS = """\
joe Cleartext-Password := "secret"
    Framed-IP-Address = 10.9.0.77,
    Class = 0x0102
jane Cleartext-Password := "secret"
    Framed-IP-Address = 255.255.255.254,
    Session-Timeout = 2
jill Cleartext-Password := "secret"
    Framed-Pool = "others"
jim Cleartext-Password := "secret", Pool-Name := "main"
jack Cleartext-Password := "secret"
    Framed-Pool = "nobody's"
"""
LNS = """\
[peer.default]
roles = ["lns"]
[profile.ppp.default]
local_address = "10.9.0.1"
pool = "subscribers"
auth = "{auth}"
authority = "radius"
[pool.subscribers]
range = "10.9.0.2-10.9.0.9"
[pool.others]
range = "10.9.1.2-10.9.1.9"
[radius]
spool = "{spool}"
dynauth_listen = "127.0.0.1:3799"
[radius.server.one]
address = "127.0.0.1"
secret = "{secret}"
timeout = 1.5
retries = 1
dead_time = 1
[radius.client.one]
match = "127.0.0.1"
secret = "{secret}"
"""
CLIENT = """\
[tunnel.up]
peer = "192.0.2.1"
[tunnel.up.session.line]
pseudowire = "ppp"
user = "{user}"
password = "{password}"
calling_number = "0301234567"
"""


def server(scene: Scene, folder: Path) -> FreeRadius:
    return FreeRadius(folder / "radius", 1812, 1813, USERS, prefix=tuple(scene.us.command()))


async def dialled(
    scene: Scene, folder: Path, auth: str = "chap", user: str = "joe", password: str = RIGHT
) -> tuple[Daemon, Daemon]:
    """Start the LNS and the client."""
    text = LNS.format(auth=auth, spool=folder / "spool", secret=SECRET)
    lns = await scene.daemon(text, data_plane="user")
    client = await scene.daemon(
        CLIENT.format(user=user, password=password), host=scene.them, listen=scene.them.address, data_plane="user"
    )
    return lns, client


async def addressed(daemon: Daemon) -> Mapping[str, Any]:
    """Wait until the only session has an address, and return what is shown of it."""

    async def probe() -> Mapping[str, Any] | None:
        for row in await daemon.sessions():
            if row["interface"]:
                shown: Mapping[str, Any] = await daemon.control.call(
                    "session.show", tunnel=f"@{row['tunnel_id']}", session=f"@{row['id']}"
                )
                return shown
        return None

    return await polled(probe, lambda: f"PPP is not up:\n{daemon.program.log}")


async def told(radius: FreeRadius, status: str, count: int = 1) -> dict[str, str]:
    """Wait for so many records of a kind; return the last."""

    async def probe() -> dict[str, str] | None:
        found = [one for one in radius.records() if one["Acct-Status-Type"] == status]
        return found[count - 1] if len(found) >= count else None

    return await polled(probe, lambda: f"no {status} among {radius.records()}")


async def radclient(scene: Scene, what: str, *attributes: str) -> str:
    said = "\n".join([*attributes, f"Event-Timestamp = {int(time.time())}"])
    argv = scene.us.command("radclient", "-x", "127.0.0.1:3799", what, SECRET)
    done = await trio.run_process(argv, stdin=said.encode(), capture_stdout=True, stderr=subprocess.STDOUT, check=False)
    return done.stdout.decode()


@pytest.mark.parametrize("auth", ["pap", "chap", "mschapv2"])
async def test_a_subscriber_comes_in_by_radius(scene: Scene, tmp_path: Path, auth: str) -> None:
    """It has the address that the server says, packets pass, and accounting knows how many when it hangs up."""
    radius = server(scene, tmp_path)
    async with radius.running():
        lns, client = await dialled(scene, tmp_path, auth)
        assert "10.9.0.77" in str(await addressed(lns))
        await addressed(client)
        scene.them.call("ping", "-c", "3", "-W", "5", "10.9.0.1")
        start = await told(radius, "Start")
        assert ("joe", "10.9.0.77") == (start["User-Name"], start["Framed-IP-Address"])
        assert ("0301234567", scene.them.address) == (start["Calling-Station-Id"], start["Tunnel-Client-Endpoint:0"])
        ends = [start[f"Tunnel-{end}:0"] for end in ("Server-Endpoint", "Client-Auth-Id", "Server-Auth-Id")]
        assert [scene.us.address, "l2tpd.example", "l2tpd.example"] == ends
        await client.control.call("tunnel.delete", tunnel="up")
        stop = await told(radius, "Stop")
        assert start["Acct-Session-Id"] == stop["Acct-Session-Id"]
        assert ("RADIUS", "0x0102") == (stop["Acct-Authentic"], stop["Class"])
        assert 3 <= int(stop["Acct-Input-Packets"])
        assert 3 * 84 <= int(stop["Acct-Output-Octets"]) < 100 * 84
        await scene.end()
        assert "Admin-Reboot" == (await told(radius, "Accounting-Off"))["Acct-Terminate-Cause"]


async def test_a_wrong_password_does_not_come_in(scene: Scene, tmp_path: Path) -> None:
    """The session ends with a CDN that says so, and the log has the reason."""
    async with server(scene, tmp_path).running():
        lns, _ = await dialled(scene, tmp_path, "mschapv2", password="wrong")
        down = await lns.control.event("session", "down")
        assert 3 == down["result"]
        assert "the server refuses it" in lns.program.log


async def test_tunnels_and_their_sessions_have_accounts_too(scene: Scene, tmp_path: Path) -> None:
    """FreeRADIUS takes all of RFC 2867 3 that there is to tell, beside the records of subscribers."""
    radius = server(scene, tmp_path)
    async with radius.running():
        text = LNS.format(auth="chap", spool=tmp_path / "spool", secret=SECRET)
        lns = await scene.daemon(text.replace("[radius]\n", "[radius]\ntunnel_accounting = true\n"), data_plane="user")
        client = CLIENT.format(user="joe", password="wrong")
        lac = await scene.daemon(client, host=scene.them, listen=scene.them.address, data_plane="user")
        await lns.control.event("session", "down")
        keys = {"pseudowire": "ppp", "user": "joe", "password": RIGHT}
        await lac.control.call("session.create", tunnel="up", name="again", keys=keys)
        start = await told(radius, "Start")
        await addressed(lac)
        scene.them.call("ping", "-c", "3", "-W", "5", "10.9.0.1")
        await lac.control.call("tunnel.delete", tunnel="up")
        stop = await told(radius, "Tunnel-Stop")
        begun, links = await told(radius, "Tunnel-Start"), [await told(radius, "Tunnel-Link-Stop", n) for n in (1, 2)]
        assert (begun["Acct-Session-Id"], scene.them.address) == (
            stop["Acct-Session-Id"],
            stop["Tunnel-Client-Endpoint:0"],
        )
        tunnel, _, session = start["Acct-Tunnel-Connection"].partition("/")
        assert tunnel == stop["Acct-Tunnel-Connection"]
        assert (f"{tunnel}/{session}", "joe") == (links[1]["Acct-Tunnel-Connection"], links[1]["User-Name"])
        subscriber = await told(radius, "Stop")
        assert "joe" == subscriber["User-Name"]
        counters = [f"Acct-{side}-{what}" for side in ("Input", "Output") for what in ("Octets", "Packets")]
        for record in (links[1], stop):
            assert [subscriber[name] for name in counters] == [record[name] for name in counters]
        assert 3 <= int(stop["Acct-Input-Packets"])
        assert "Tunnel-Link-Start" in {one["Acct-Status-Type"] for one in radius.records()}


async def test_the_server_ends_a_session(scene: Scene, tmp_path: Path) -> None:
    """Disconnect-Request: an ACK, a CDN to the caller, and a Stop that says who wanted it."""
    radius = server(scene, tmp_path)
    async with radius.running():
        lns, _ = await dialled(scene, tmp_path)
        await addressed(lns)
        start = await told(radius, "Start")
        assert "Disconnect-ACK" in await radclient(
            scene, "disconnect", f'Acct-Session-Id = "{start["Acct-Session-Id"]}"', "User-Name = joe"
        )
        await lns.control.event("session", "down")
        assert "RADIUS: disconnect" in lns.program.log
        assert "Admin-Reset" == (await told(radius, "Stop"))["Acct-Terminate-Cause"]


async def test_the_server_shortens_a_session(scene: Scene, tmp_path: Path) -> None:
    """CoA-Request with a Session-Timeout: the session ends when its time is up, counted from its beginning."""
    radius = server(scene, tmp_path)
    async with radius.running():
        lns, _ = await dialled(scene, tmp_path)
        await addressed(lns)
        assert "CoA-ACK" in await radclient(scene, "coa", "User-Name = joe", "Session-Timeout = 1")
        await lns.control.event("session", "down")
        assert "Session-Timeout" == (await told(radius, "Stop"))["Acct-Terminate-Cause"]


async def test_a_session_outlives_the_server(scene: Scene, tmp_path: Path) -> None:
    """The server dies: packets go on passing, and the Stop of a session that ends meanwhile waits until the server is back."""
    radius = server(scene, tmp_path)
    async with radius.running():
        lns, client = await dialled(scene, tmp_path)
        await addressed(lns)
        await addressed(client)
        await told(radius, "Start")
    scene.them.call("ping", "-c", "1", "-W", "5", "10.9.0.1")
    await client.control.call("tunnel.delete", tunnel="up")
    await lns.empty()

    async def kept() -> bool | None:
        return any(path.name.endswith(".stop.json") for path in (tmp_path / "spool").iterdir()) or None

    await polled(kept, lambda: f"no Stop in the spool; the daemon wrote:\n{lns.program.log}")
    async with radius.running():

        async def delivered() -> bool | None:
            return any(one["Acct-Status-Type"] == "Stop" for one in radius.records()) or None

        await polled(delivered, lambda: "the Stop did not come", within=40)
        await scene.end()


async def test_time_and_pool_of_a_user(scene: Scene, tmp_path: Path) -> None:
    """An address of 255.255.255.254 means one of ours (RFC 2865 5.8); the Session-Timeout ends the session."""
    radius = server(scene, tmp_path)
    async with radius.running():
        lns, _ = await dialled(scene, tmp_path, user="jane")
        assert "10.9.0.2" in str(await addressed(lns))
        await lns.control.event("session", "down")
        assert "Session-Timeout" == (await told(radius, "Stop"))["Acct-Terminate-Cause"]


async def test_the_server_has_a_pool_of_its_own(scene: Scene, tmp_path: Path) -> None:
    """FreeRADIUS's rlm_ippool says the address; our Stop gives it back, so that three come in one after the other although it has no more than two."""
    radius = server(scene, tmp_path)
    radius.pool = "10.9.2.2", "10.9.2.3"
    async with radius.running():
        lns, client = await dialled(scene, tmp_path, user="jim")
        keys = {"pseudowire": "ppp", "user": "jim", "password": RIGHT}
        for number in range(3):
            assert (await addressed(lns))["ppp"]["remote_address"] in radius.pool
            await client.control.call("session.delete", tunnel="up", session=f"again{number}" if number else "line")
            await told(radius, "Stop", number + 1)
            await client.control.call("session.create", tunnel="up", name=f"again{number + 1}", keys=keys)


async def test_the_server_names_a_pool(scene: Scene, tmp_path: Path) -> None:
    """Framed-Pool is one of ours by its name (RFC 2869 5.18), and accounting has the address; without such a pool nobody comes in by it."""
    radius = server(scene, tmp_path)
    async with radius.running():
        lns, client = await dialled(scene, tmp_path, user="jill")
        assert "10.9.1.2" == (await addressed(lns))["ppp"]["remote_address"]
        assert "10.9.1.2" == (await told(radius, "Start"))["Framed-IP-Address"]
        await client.control.call("tunnel.delete", tunnel="up")
        await lns.empty()
        stranger = CLIENT.format(user="jack", password=RIGHT)
        await scene.daemon(stranger, host=scene.them, listen="127.0.0.1", data_plane="user")
        down = await lns.control.event("session", "down", by="us")
        assert "there is no pool `nobody's`" in down["message"]
