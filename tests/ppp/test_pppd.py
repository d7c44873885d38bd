"""PPP by a program. What the real pppd does with a kernel that has PPP is proven in the virtual machine; here a script stands in for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from l2tpd.config.load import parse
from l2tpd.config.model import Config, Pool, PppAuthentication, PppSettings, SessionSettings
from l2tpd.events import PppEvent, What
from l2tpd.ppp import leases
from l2tpd.ppp import pppd as module
from l2tpd.ppp.lease import Lease
from l2tpd.ppp.leases import Leases
from l2tpd.ppp.pppd import EXITS, Order, Pppd, arguments, meaning, secret_options, take_line
from l2tpd.session.call import Call, Kind

CONFIG = """
[profile.ppp.default]
local_address = "10.0.0.1"
pool = "subscribers"
[pool.subscribers]
range = "10.0.0.1-10.0.0.3"
"""


def ordered(ppp: PppSettings | None = None, *, sequencing: bool = False, **lease: Any) -> Order:
    """Return an order for a session of an LNS, unless `lease` says otherwise."""
    given = Lease(ppp=ppp or PppSettings(), **{"lns": True, **lease})
    return Order(tunnel_id=1, session_id=2, channel=7, lease=given, sequencing=sequencing)


def call(kind: Kind = Kind.LNS_INCOMING, settings: SessionSettings | None = None) -> Call:
    """Return an established call."""
    return Call(2, kind, settings or SessionSettings(), 0.0, 1)


def after(said: list[str], word: str) -> str:
    """Return the word that follows another on a command line."""
    return said[said.index(word) + 1]


# --- the command line -----------------------------------------------------------------------------------------------------------


def test_an_lns() -> None:
    """The plugin first, on the session's socket; our address and the caller's; nobody has to prove anything unless it is said."""
    said = arguments(ordered(PppSettings(dns=("9.9.9.9", "1.1.1.1")), local="10.0.0.1", remote="10.0.0.2"))
    assert ["/usr/sbin/pppd", "plugin", "pppol2tp.so", "pppol2tp", "7"] == said[:5]
    assert ("1", "2") == (after(said, "pppol2tp_tunnel_id"), after(said, "pppol2tp_session_id"))
    assert {"pppol2tp_lns_mode", "nodetach", "noauth", "10.0.0.1:10.0.0.2", "nodefaultroute", "noproxyarp"} <= set(said)
    assert "9.9.9.9 ms-dns 1.1.1.1" in " ".join(said)
    assert ("1400", "1400", "30", "3") == tuple(
        after(said, word) for word in ("mtu", "mru", "lcp-echo-interval", "lcp-echo-failure")
    )
    assert not {
        "pppol2tp_send_seq",
        "maxconnect",
        "idle",
        "ifname",
        "user",
        "file",
        "noipdefault",
        "ipcp-accept-remote",
    } & set(said)


def test_limits_are_whole_seconds() -> None:
    """Never 0, which would be none."""
    said = arguments(ordered(PppSettings(session_timeout=0.2, idle_timeout=60.4)))
    assert ("1", "60") == (after(said, "maxconnect"), after(said, "idle"))


@pytest.mark.parametrize("auth", PppAuthentication)
def test_what_callers_must_prove(auth: PppAuthentication) -> None:
    """Each word of the configuration is a requirement of pppd's; `none` says so, since pppd may think otherwise."""
    said = arguments(ordered(PppSettings(auth=auth)))
    required = {word for word in said if word.startswith("require-")}
    words = {"none": set(), "pap": {"require-pap"}, "chap": {"require-chap"}, "mschapv2": {"require-mschap-v2"}}
    assert words[auth.value] == required
    assert ("noauth" if auth is PppAuthentication.NONE else "auth") in said


def test_a_client() -> None:
    """It takes what it is given, asks the LNS to prove nothing, and gives no addresses, whatever the profile says for callers."""
    ppp = PppSettings(auth=PppAuthentication.CHAP, dns=("9.9.9.9",), default_route=True, proxy_arp=True)
    order = ordered(ppp, sequencing=True, lns=False, user="alice", password="x", interface="ppp-hq")
    said = arguments(order, 5)
    assert {"noauth", "noipdefault", "ipcp-accept-local", "ipcp-accept-remote", "defaultroute", "proxyarp"} <= set(said)
    assert {"pppol2tp_send_seq", "pppol2tp_recv_seq"} <= set(said)
    assert ("alice", "ppp-hq", "/proc/self/fd/5") == (after(said, "user"), after(said, "ifname"), after(said, "file"))
    assert not {"require-chap", "ms-dns", "pppol2tp_lns_mode"} & set(said)


def test_the_operator_has_the_last_word() -> None:
    """Options of the profile stand at the end."""
    said = arguments(ordered(PppSettings(mru=1300, pppd_options=("mtu", "1200"))))
    assert ["mtu", "1200"] == said[-2:]
    assert "1300" == after(said, "mru")


def test_the_password_travels_as_a_file_of_options() -> None:
    """Quoted for pppd's parser; without one there is no file, and no representation shows it."""
    assert b"" == secret_options(ordered())
    order = ordered(password='a"b\\c d')
    assert b'password "a\\"b\\\\c d"\n' == secret_options(order)
    assert "password=" not in repr(order)


# --- what it says ---------------------------------------------------------------------------------------------------------------


def test_the_log_tells_interface_and_addresses() -> None:
    """In the words of pppd 2.4 and 2.5; a rename comes after the first name."""
    one = call()
    lines = [
        "Plugin pppol2tp.so loaded.",
        "Using interface ppp0",
        "Renamed interface ppp0 to ppp-hq",
        "local  LL address fe80::1",
        "local  IP address 10.0.0.1",
        "remote IP address 10.0.0.2",
    ]
    assert [False, False, False, False, False, True] == [take_line(one, line) for line in lines]
    assert ("ppp-hq", "10.0.0.1", "10.0.0.2") == (one.interface, one.ppp_local, one.ppp_remote)


def test_every_exit_has_a_meaning() -> None:
    """All of pppd(8), a status that no version has had yet, and signals; where only the log knows why, its last line stands behind."""
    assert set(range(22)) == set(EXITS)
    assert all(1 <= known.result <= 5 for known in EXITS.values())
    assert (3, "authentication to the PPP peer failed") == meaning(19, "whatever")
    assert (1, "PPP negotiation failed: LCP: timeout") == meaning(10, "LCP: timeout")
    assert (1, "pppd ended with status 77") == meaning(77, "")
    assert (1, "pppd was killed by SIGKILL") == meaning(-9, "")


# --- running --------------------------------------------------------------------------------------------------------------------


class Scene:
    """A Pppd with a script in place of the program, and what came of it."""

    def __init__(self, folder: Path, config: str = CONFIG) -> None:
        """Take a configuration."""
        self.config: Config = parse([("l2tpd.toml", config)])
        self.lines: list[str] = []
        self.folder = folder
        self.leases = Leases(lambda: self.config)
        self.heard: Callable[[str], None] = self.lines.append
        self.pppd = Pppd(self.leases, lambda _tunnel, _session, line: self.heard(line))

    def script(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        """Put a shell script in place of pppd."""
        program = self.folder / "pppd"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        monkeypatch.setattr(module, "PROGRAM", str(program))

    async def run(self, one: Call) -> tuple[int, str]:
        """Run it on a call, with a descriptor that it must close."""
        channel = os.open("/dev/null", os.O_RDWR)
        ended = await self.pppd.run(1, one, channel)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(channel)
        return ended


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """An LNS with two addresses to give."""
    return Scene(tmp_path)


async def test_a_life(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines become facts of the call while it runs; its exit becomes the reason; the address goes back and the facts go."""
    scene.script(
        monkeypatch,
        'echo "Using interface ppp3"; echo "local  IP address $1"; echo "remote IP address 10.0.0.2"; echo "$@"; exit 16',
    )
    one = call()
    assert (1, "the PPP peer hung up") == await scene.run(one)
    assert ["Using interface ppp3", "remote IP address 10.0.0.2"] == [scene.lines[0], scene.lines[2]]
    assert "10.0.0.1:10.0.0.2" in scene.lines[3].split()
    assert ("ppp3", "plugin", "10.0.0.2") == (one.interface, one.ppp_local, one.ppp_remote)
    assert 0 == scene.leases.fill("subscribers").used


async def test_its_events(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each network by itself, and at the end what pppd has counted, and why."""
    words = (
        "Using interface ppp3",
        "local  IP address 10.0.0.1",
        "remote IP address 10.0.0.2",
        "local  LL address fe80::1",
        "remote LL address fe80::2",
        "Sent 20 bytes, received 30 bytes.",
    )
    scene.script(monkeypatch, "".join(f'echo "{word}"; ' for word in words) + "exit 16")
    told: list[PppEvent] = []
    scene.pppd.instances.tell = told.append
    await scene.run(call())
    assert [
        (What.UP, "ipv4", "ppp3", "10.0.0.1", "10.0.0.2"),
        (What.UP, "ipv6", "ppp3", "fe80::1", "fe80::2"),
        (What.DOWN, "ipv4", "ppp3", "10.0.0.1", "10.0.0.2"),
        (What.DOWN, "ipv6", "ppp3", "fe80::1", "fe80::2"),
    ] == [(one.what, one.network, one.interface, one.local, one.remote) for one in told]
    assert [("the PPP peer hung up", 20, 30)] * 2 == [(one.message, one.tx_bytes, one.rx_bytes) for one in told[2:]]


async def test_a_network_that_ends_alone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the link goes on for the other: its addresses are shown no longer, until it is back."""
    four, six = (
        "local  IP address 10.0.0.1\nremote IP address 10.0.0.2",
        "local  LL address fe80::1\nremote LL address fe80::2",
    )
    gone = "IPCP terminated by peer (enough)"
    late = "IPV6CP: timeout sending Config-Requests"
    words = f"Using interface ppp3\n{four}\n{six}\n{gone}\ngone\n{four}\n{late}\nback"
    scene.script(monkeypatch, f"printf '{words}\n'; exit 16")
    told: list[PppEvent] = []
    scene.pppd.instances.tell = told.append
    one, shown = call(), dict[str, str]()
    scene.heard = lambda line: shown.update({line: one.ppp_remote})
    await scene.run(one)
    assert ("", "10.0.0.2") == (shown["gone"], shown["back"])
    assert [
        (What.UP, "ipv4", ""),
        (What.UP, "ipv6", ""),
        (What.DOWN, "ipv4", gone),
        (What.UP, "ipv4", ""),
        (What.DOWN, "ipv6", late),
        (What.DOWN, "ipv4", "the PPP peer hung up"),
    ] == [(event.what, event.network, event.message) for event in told]


async def test_an_operator_ends_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the signal upon which pppd says goodbye itself; it is there until it has ended."""
    scene.script(monkeypatch, 'trap "echo goodbye; exit 5" TERM; echo ready; while :; do sleep 0.05; done')
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run, call())
        while "ready" not in scene.lines:
            await trio.sleep(0.01)
        (instance,) = scene.pppd.instances
        assert ("pppd", "establish") == (instance.engine, instance.state)
        instance.disconnect("enough")
    assert "goodbye" in scene.lines
    assert not list(scene.pppd.instances)


async def test_a_talkative_program(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand lines at once are ten thousand lines; empty ones say nothing, and one without an end is cut."""
    scene.script(monkeypatch, 'seq 10000; echo; head -c 100000 /dev/zero | tr "\\0" x; echo; exit 1')
    _, text = await scene.run(call())
    assert [str(number) for number in range(1, 10_001)] == scene.lines[:10_000]
    assert 10_001 == len(scene.lines)
    assert text.startswith("pppd met a fatal error: xxx")


async def test_the_password_comes_through_a_pipe(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program can read it once; it is neither in its arguments nor in its environment."""
    scene.script(monkeypatch, 'for last; do :; done; echo "args $*"; echo "env $(env)"; echo "file $(cat "$last")"')
    settings = SessionSettings(user="alice", password="open sesame")
    await scene.run(call(Kind.LAC_INCOMING, settings))
    (told,) = [line for line in scene.lines if "open sesame" in line]
    assert 'file password "open sesame"' == told


async def test_cancelled_it_is_asked_to_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM first: a pppd that listens has time to say goodbye, and is reaped."""
    scene.script(monkeypatch, 'trap "echo goodbye; exit 5" TERM; echo ready; while :; do sleep 0.05; done')
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run, call())
        while "ready" not in scene.lines:
            await trio.sleep(0.01)
        assert 1 == scene.leases.fill("subscribers").used
        nursery.cancel_scope.cancel()
    assert 0 == scene.leases.fill("subscribers").used


async def test_deaf_it_is_killed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that does not listen is killed when its time is up; no child is left, dead or alive."""
    monkeypatch.setattr(module, "GRACE", 0.1)
    scene.script(monkeypatch, 'trap "" TERM; echo "$$"; while :; do sleep 0.05; done')
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run, call())
        while not scene.lines:
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(int(scene.lines[0]), 0)


async def test_killed_by_somebody(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its violent death is an end like others, and has a name."""
    scene.script(monkeypatch, "kill -9 $$")
    assert (1, "pppd was killed by SIGKILL") == await scene.run(call())
    assert signal.SIGKILL.name in meaning(-signal.SIGKILL, "").text


async def test_not_installed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end says which program is missing, and keeps no address."""
    monkeypatch.setattr(module, "PROGRAM", "/nowhere/pppd")
    assert (5, "/nowhere/pppd cannot be run: No such file or directory") == await scene.run(call())
    assert 0 == scene.leases.fill("subscribers").used


async def test_a_pool_runs_dry(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own address is not for callers; who comes when all are out is refused until one is back."""
    scene.script(monkeypatch, "echo up; exec sleep 60")
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(scene.run, call())
        while 2 > len(scene.lines):
            await trio.sleep(0.01)
        result, text = await scene.run(call())
        assert (4, "every address of 10.0.0.1-10.0.0.3 is in use") == (result, text)
        nursery.cancel_scope.cancel()
    assert 0 == scene.leases.fill("subscribers").used


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({}, "there is no pool `subscribers`"),
        ({"subscribers": Pool(range="2001:db8::/64")}, "the pool `subscribers` holds IPv6 addresses"),
        (CONFIG.replace('local_address = "10.0.0.1"', ""), "has a pool but no local_address"),
    ],
)
async def test_what_a_configuration_may_lack(scene: Scene, config: str | dict[str, Pool], complaint: str) -> None:
    """A call that cannot get what its profile promises is refused in words."""
    said = {"default": {"pool": "subscribers", "local_address": "10.0.0.1"}}
    made = Config(ppp_profiles=said, pools=config) if isinstance(config, dict) else parse([("l2tpd.toml", config)])
    scene.config = made
    result, text = await scene.run(call())
    assert 4 == result
    assert complaint in text


async def test_a_pool_grows(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """New ranges serve what comes from now on; what is out stays out."""
    scene.script(monkeypatch, 'echo "$@"; exec sleep 60')
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run, call())
        while not scene.lines:
            await trio.sleep(0.01)
        scene.config = parse([("l2tpd.toml", CONFIG.replace("10.0.0.3", "10.0.0.200"))])
        nursery.start_soon(scene.run, call())
        while 2 > len(scene.lines):
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert ["10.0.0.1:10.0.0.2", "10.0.0.1:10.0.0.3"] == [
        word for line in scene.lines for word in line.split() if ":" in word
    ]


async def test_interface_names_from_a_pattern(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """`%d` becomes the lowest number that neither we nor the machine use."""
    monkeypatch.setattr(leases, "_exists", lambda name: name == "hq0")
    scene.script(monkeypatch, 'echo "$@"; exec sleep 60')
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(scene.run, call(settings=SessionSettings(interface_name="hq%d")))
        while 2 > len(scene.lines):
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert ["hq1", "hq2"] == sorted(after(line.split(), "ifname") for line in scene.lines)


def test_interfaces_of_this_machine() -> None:
    """The loopback is there, and nothing is called so."""
    assert [True, False] == [leases._exists(name) for name in ("lo", "nosuch0")]
