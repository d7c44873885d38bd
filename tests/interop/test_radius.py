"""RADIUS with FreeRADIUS as the server: who comes in, what accounting is told also by way of dead servers, and what radclient can ask of us."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from interop.freeradius import SECRET, FreeRadius
from interop.program import polled
from l2tpd.config.load import parse
from l2tpd.config.model import Config
from l2tpd.ppp.accountant import Cause, Subscriber, Traffic
from l2tpd.ppp.authority import Request
from l2tpd.ppp.credentials import Credentials, expected_success, respond
from l2tpd.ppp.numbers import Auth
from l2tpd.ppp.way import Way
from l2tpd.radius.client import Radius
from l2tpd.wire.values import pack_text

USERS = """\
joe Cleartext-Password := "secret"
    Framed-IP-Address = 10.9.0.7,
    Framed-Route = "192.0.2.0/24 10.9.0.7 1",
    Framed-Pool = "others",
    Framed-MTU = 1400,
    Session-Timeout = 3600,
    Idle-Timeout = 600,
    Acct-Interim-Interval = 60,
    MS-Primary-DNS-Server = 9.9.9.9,
    MS-Secondary-DNS-Server = 1.1.1.1,
    Framed-Interface-Id = 0:0:0:1,
    Port-Limit = 2,
    Class = 0x0102ff,
    Reply-Message = "welcome"

telnet Cleartext-Password := "secret"
    Service-Type = Login-User

DEFAULT Auth-Type := Reject
    Reply-Message = "who are you?"
"""
PASSWORDS = {Auth.PAP: "pap", Auth.CHAP: "chap", Auth.MSCHAPV2: "mschapv2"}


def free_ports(count: int) -> list[int]:
    """Return UDP ports of loopback that nobody has."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def credentials(kind: Auth, user: str, password: str) -> Credentials:
    """Say who we are as a PPP peer does."""
    challenge = b"" if kind is Auth.PAP else bytes(range(16))
    proof = (
        pack_text(password) if kind is Auth.PAP else respond(kind, 7, challenge, user, password, bytes(range(50, 66)))
    )
    assert proof is not None
    return Credentials(kind=kind, user=user, identifier=7, challenge=challenge, response=proof)


def request(said: Credentials) -> Request:
    return Request(
        credentials=said,
        tunnel_id=11,
        session_id=22,
        way=Way(peer="198.51.100.1"),
        calling_number="0301234567",
        called_number="42",
        interface="ppp7",
    )


@attrs.define(eq=False)
class Stage:
    """One or more servers that can be started, and our side of it."""

    folder: Path
    servers: list[FreeRadius]
    radius: Radius
    dynauth: int
    text: str  # of the configuration
    configs: list[Config]  # the last one is in force
    ended: list[str] = attrs.field(factory=list)
    limits: list[tuple[float | None, float | None]] = attrs.field(factory=list)

    def subscriber(self, **facts: object) -> Subscriber:
        """Make somebody whose network is up."""
        known: dict[str, object] = {
            "user": "joe",
            "address": "10.9.0.7",
            "interface": "ppp7",
            "tunnel_id": 11,
            "session_id": 22,
            "way": Way(peer="198.51.100.1"),
            "calling_number": "0301234567",
            "called_number": "42",
            "traffic": lambda: Traffic(
                input_octets=5 << 32 | 17, output_octets=1000, input_packets=3, output_packets=4
            ),
            "disconnect": self.ended.append,
            "limit": lambda *limits: self.limits.append(limits),
        }
        return Subscriber(**{**known, **facts})  # type: ignore[arg-type]

    def records(self, status: str) -> list[dict[str, str]]:
        """Return what all servers together were told under an Acct-Status-Type."""
        return [one for server in self.servers for one in server.records() if one["Acct-Status-Type"] == status]

    async def told(self, status: str, count: int, within: float = 30.0) -> list[dict[str, str]]:
        """Wait until servers were told so many records."""

        async def enough() -> list[dict[str, str]] | None:
            found = self.records(status)
            return found if len({one["Acct-Session-Id"] for one in found}) >= count else None

        return await polled(enough, lambda: f"{len(self.records(status))} {status} instead of {count}", within)

    async def radclient(self, what: str, *attributes: str, when: float | None = None) -> str:
        """Send a request of RFC 5176 and return what radclient wrote."""
        stamp = [] if when == 0 else [f"Event-Timestamp = {int(when or time.time())}"]
        done = await trio.run_process(
            ["radclient", "-x", "-r", "1", "-t", "2", f"127.0.0.1:{self.dynauth}", what, SECRET],
            stdin="\n".join([*attributes, *stamp]).encode(),
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return done.stdout.decode()


@asynccontextmanager
async def staged(
    folder: Path, servers: int = 1, *, own_secret: str = SECRET, patience: float = 4.0, retries: int = 1
) -> AsyncIterator[Stage]:
    """Make servers, none of which is started yet, and our side of them."""
    ports = free_ports(2 * servers + 1)
    theirs = [
        FreeRadius(folder / f"server{number}", ports[2 * number], ports[2 * number + 1], USERS)
        for number in range(servers)
    ]
    tables = "".join(
        f'[radius.server.s{number}]\naddress = "127.0.0.1"\nsecret = "{own_secret}"\nauth_port = {one.auth_port}\n'
        f"acct_port = {one.acct_port}\ntimeout = {patience}\nretries = {retries}\ndead_time = 2\n"
        for number, one in enumerate(theirs)
    )
    text = (
        f'[system]\nhostname = "lns.example"\n[radius]\nnas_address = "192.0.2.99"\nspool = "{folder}/spool"\n'
        f'dynauth_listen = "127.0.0.1:{ports[-1]}"\n[radius.client.all]\nmatch = "127.0.0.0/8"\nsecret = "{SECRET}"\n{tables}'
    )
    configs = [parse([("f", text)])]
    radius = Radius(lambda: configs[-1])
    async with trio.open_nursery() as nursery:
        await nursery.start(radius.run)
        yield Stage(folder, theirs, radius, ports[-1], text, configs)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", [Auth.PAP, Auth.CHAP, Auth.MSCHAPV2], ids=PASSWORDS.get)
async def test_who_comes_in_and_who_does_not(tmp_path: Path, kind: Auth) -> None:
    """The server's users come in with what it says of them; others, and those with a wrong password, do not."""
    async with staged(tmp_path) as stage, stage.servers[0].running():
        said = credentials(kind, "joe", "secret")
        found = await stage.radius.check(request(said))
        assert found.accepted
        assert ("10.9.0.7", "others", 1400) == (found.address, found.pool, found.mtu)
        assert (("9.9.9.9", "1.1.1.1"), ("192.0.2.0/24",)) == (found.dns, found.routes)
        assert (3600, 600, 60) == (found.session_timeout, found.idle_timeout, found.interim_interval)
        assert (bytes((0, 0, 0, 0, 0, 0, 0, 1)), (b"\x01\x02\xff",)) == (found.interface_id, found.state_class)
        if kind is Auth.MSCHAPV2:
            right = expected_success(said.challenge, said.response, "joe", "secret")
            assert found.message.startswith(right), "the server has proved that it knows the password"
        else:
            assert b"welcome" == found.message
        wrong = await stage.radius.check(request(credentials(kind, "joe", "wrong")))
        assert not wrong.accepted
        stranger = await stage.radius.check(request(credentials(kind, "eve", "secret")))
        assert (False, b"who are you?") == (stranger.accepted, stranger.message)
        assert not (await stage.radius.check(request(credentials(kind, "telnet", "secret")))).accepted


async def test_a_user_name_of_odd_octets_arrives_as_it_is(tmp_path: Path) -> None:
    """Octets that are no text, quotation marks and spaces go to the server, and into the accounting, unharmed."""
    name = 'o"d \udcff\udc80 é'
    async with staged(tmp_path) as stage, stage.servers[0].running() as program:
        assert not (await stage.radius.check(request(credentials(Auth.PAP, name, "x")))).accepted
        await program.says(r'User-Name = "o\\"d ')
        stage.radius.end(stage.radius.begin(stage.subscriber(user=name)), Cause.USER_REQUEST)
        (stop,) = await stage.told("Stop", 1)
        shown = stop["User-Name"].replace('\\"', '"').encode("utf-8", "surrogateescape")
        assert pack_text(name) == shown.replace(b"\\377", b"\xff").replace(b"\\200", b"\x80")


async def test_accounting_tells_the_whole_story(tmp_path: Path) -> None:
    """On; Start and Stop of a session under one identifier, with right counters though no interim record was ever due, and one in between that says what is new; Off."""
    async with staged(tmp_path) as stage, stage.servers[0].running():
        await stage.told("Accounting-On", 1)
        account = stage.radius.begin(stage.subscriber(state_class=(b"\x01\xff",), by_radius=True))
        stage.radius.renew(account, stage.subscriber(state_class=(b"\x01\xff",), by_radius=True, interface="ppp8"))
        (interim,) = await stage.told("Interim-Update", 1)
        assert ("ppp8", "17", "5") == tuple(
            interim[name] for name in ("NAS-Port-Id", "Acct-Input-Octets", "Acct-Input-Gigawords")
        )
        stage.radius.end(account, Cause.SESSION_TIMEOUT)
        (start,), (stop,) = await stage.told("Start", 1), await stage.told("Stop", 1)
        assert account == start["Acct-Session-Id"] == stop["Acct-Session-Id"]
        expected = {
            "User-Name": "joe",
            "Framed-IP-Address": "10.9.0.7",
            "NAS-Identifier": "lns.example",
            "NAS-IP-Address": "192.0.2.99",
            "NAS-Port": "22",
            "NAS-Port-Id": "ppp8",
            "NAS-Port-Type": "Virtual",
            "Service-Type": "Framed-User",
            "Framed-Protocol": "PPP",
            "Calling-Station-Id": "0301234567",
            "Called-Station-Id": "42",
            "Tunnel-Type:0": "L2TP",
            "Tunnel-Medium-Type:0": "IPv4",
            "Tunnel-Client-Endpoint:0": "198.51.100.1",
            "Acct-Tunnel-Connection": "11/22",
            "Acct-Authentic": "RADIUS",
            "Class": "0x01ff",
            "Acct-Input-Octets": "17",
            "Acct-Input-Gigawords": "5",
            "Acct-Output-Octets": "1000",
            "Acct-Output-Gigawords": "0",
            "Acct-Input-Packets": "3",
            "Acct-Output-Packets": "4",
            "Acct-Terminate-Cause": "Session-Timeout",
            "Acct-Delay-Time": "0",
            "Acct-Session-Time": "0",
        }
        assert expected == {name: stop.get(name) for name in expected}
        await stage.radius.finish()
        (off,) = stage.records("Accounting-Off")
        assert "Admin-Reboot" == off["Acct-Terminate-Cause"]


async def test_a_thousand_log_ins_at_once(tmp_path: Path) -> None:
    """More than 256 are under way, and each gets its own answer."""
    # So many datagrams do not fit into the server's socket: some are lost, and on a busy machine more than once.
    async with staged(tmp_path, patience=2.0, retries=6) as stage, stage.servers[0].running():
        found: dict[int, bool] = {}

        async def log_in(number: int) -> None:
            password = "secret" if number % 2 else "wrong"
            found[number] = (await stage.radius.check(request(credentials(Auth.PAP, "joe", password)))).accepted

        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(log_in, number)
        assert {number: bool(number % 2) for number in range(1000)} == found


async def test_the_second_server_answers_for_the_first(tmp_path: Path) -> None:
    """The first is dead: one log-in waits for it, those behind it do not."""
    async with staged(tmp_path, 2, patience=0.5) as stage, stage.servers[1].running():
        assert (await stage.radius.check(request(credentials(Auth.CHAP, "joe", "secret")))).accepted
        async with stage.servers[0].running() as first:
            assert (await stage.radius.check(request(credentials(Auth.CHAP, "joe", "secret")))).accepted
            assert "Access-Request" not in first.log, "it is passed over while it counts as dead"


async def test_without_servers_log_ins_fail_in_bounded_time(tmp_path: Path) -> None:
    """Nobody waits for ever, and the caller is told to come back."""
    async with staged(tmp_path, 2, patience=0.5) as stage:
        with trio.fail_after(20):
            found = await stage.radius.check(request(credentials(Auth.PAP, "joe", "secret")))
        assert (False, b"try again later") == (found.accepted, found.message)


async def test_a_server_with_another_secret_lets_nobody_in(tmp_path: Path) -> None:
    """Its answers are not believed, whatever they say, until a reload has brought the right one."""
    async with staged(tmp_path, own_secret="another", patience=1.0) as stage, stage.servers[0].running():
        assert not (await stage.radius.check(request(credentials(Auth.PAP, "joe", "secret")))).accepted
        stage.configs.append(parse([("f", stage.text.replace('secret = "another"', f'secret = "{SECRET}"'))]))
        stage.radius.apply()
        assert (await stage.radius.check(request(credentials(Auth.PAP, "joe", "secret")))).accepted


async def test_nothing_is_lost_when_the_server_dies_under_load(tmp_path: Path) -> None:
    """Sessions come and go while the server is killed and started anew, and we are as well: each Start and each Stop arrives in the end."""
    accounts: list[str] = []
    async with staged(tmp_path, patience=0.5) as stage:
        (server,) = stage.servers

        async def load(count: int) -> None:
            for number in itertools.count():
                account = stage.radius.begin(stage.subscriber(session_id=number))
                stage.radius.end(account, Cause.USER_REQUEST)
                accounts.append(account)
                if number == count:
                    return
                await trio.sleep(0.005)

        async with trio.open_nursery() as nursery:
            async with server.running() as program:
                nursery.start_soon(load, 300)
                await stage.told("Stop", 20)
                program.signal(signal.SIGKILL)
                await program.ended()
            await trio.sleep(0.5)
        folder = stage.radius
        with trio.fail_after(30):
            while folder._under_way or folder._to_keep:
                await trio.sleep(0.05)
        assert any((tmp_path / "spool").iterdir())
    async with trio.open_nursery() as nursery:
        await nursery.start(stage.radius.run)
        async with server.running():
            await stage.told("Start", len(accounts), within=60)
            stops = await stage.told("Stop", len(accounts), within=60)
            assert set(accounts) == {one["Acct-Session-Id"] for one in stops}
            assert 0 == stage.radius.lost
            with trio.fail_after(30):
                while any((tmp_path / "spool").iterdir()):
                    await trio.sleep(0.05)
        nursery.cancel_scope.cancel()


async def test_disconnect_and_change_by_radclient(tmp_path: Path) -> None:
    """A server ends and changes the sessions that it means; the rest is refused with a cause, and the old or strange is passed over."""
    async with staged(tmp_path) as stage:
        account = stage.radius.begin(stage.subscriber())
        stage.radius.begin(stage.subscriber(user="jane", address="10.9.0.8"))
        coa = await stage.radclient("coa", f"Acct-Session-Id = {account}", "Session-Timeout = 60", "Idle-Timeout = 5")
        assert "CoA-ACK" in coa
        assert [(60.0, 5.0)] == stage.limits
        unknown = await stage.radclient("disconnect", "User-Name = nobody")
        assert "Disconnect-NAK" in unknown
        assert "Session-Context-Not-Found" in unknown
        assert "Unsupported-Attribute" in await stage.radclient("coa", "User-Name = joe", 'Filter-Id = "x"')
        assert "Missing-Attribute" in await stage.radclient("disconnect", "NAS-Identifier = lns.example")
        mismatch = await stage.radclient("disconnect", "User-Name = joe", "NAS-Identifier = other")
        assert "NAS-Identification-Mismatch" in mismatch
        assert "No reply" in await stage.radclient("disconnect", "User-Name = joe", when=time.time() - 1000)
        assert "No reply" in await stage.radclient("disconnect", "User-Name = joe", when=0)
        assert [] == stage.ended
        assert "Disconnect-ACK" in await stage.radclient(
            "disconnect", "User-Name = joe", "Framed-IP-Address = 10.9.0.7"
        )
        assert ["ended by RADIUS"] == stage.ended
