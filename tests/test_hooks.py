"""What the hook scripts are told: arguments and environment of l2tpd(8), one script an event."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

import l2tpd
from l2tpd import hooks
from l2tpd.events import ConfigReloaded, DaemonStopping, PppEvent, SessionEvent, TunnelEvent, What

FULL = SessionEvent(
    what=What.UP,
    tunnel_id=7,
    session_id=3,
    name="branch",
    tunnel_name="hq",
    profile="gold",
    pseudowire_profile="wide",
    pseudowire="eth",
    interface="l2tpeth0",
    user_data="customer 17",
    mtu=1460,
    address="192.0.2.1/24",
    far_address="192.0.2.2",
    bridge="br0",
    remote_end_id="site",
    ppp_user="alice",
    ppp_local="10.0.0.1",
    ppp_remote="10.0.0.2",
    ppp_cause="admin (3)",
)
"""A session of which everything is known."""

EVERYWHERE = {
    "TUNNEL_NAME": "hq",
    "SESSION_NAME": "branch",
    "SESSION_PROFILE_NAME": "gold",
    "PSEUDOWIRE_PROFILE_NAME": "wide",
    "USER_DATA": "customer 17",
    "BRIDGE": "br0",
    "REMOTE_END_ID": "site",
}
LINKED = {
    "INTERFACE_NAME": "l2tpeth0",
    "MTU": "1460",
    "LOCAL_IP": "192.0.2.1",
    "PEER_IP": "192.0.2.2",
    "NETMASK": "255.255.255.0",
}
ENDED = {"PPP_USER": "alice", "PPP_LOCAL_IP": "10.0.0.1", "PPP_PEER_IP": "10.0.0.2", "PPP_CAUSE": "admin (3)"}


def session(what: What) -> SessionEvent:
    return attrs.evolve(FULL, what=what)


PPP = PppEvent(
    what=What.UP,
    network="ipv4",
    tunnel_id=7,
    session_id=3,
    tunnel_name="hq",
    name="branch",
    profile="gold",
    user_data="customer 17",
    user="alice",
    interface="ppp0",
    mtu=1400,
    local="10.0.0.1",
    remote="10.0.0.2",
    dns=("9.9.9.9", "149.112.112.112"),
    routes=("192.0.2.0/24", "198.51.100.0/24"),
    message="maintenance",
    cause="admin (3)",
    duration=61.7,
    rx_bytes=5,
    tx_bytes=6,
)
"""PPP of which everything is known."""


def test_there_are_eight_scripts_and_those_of_pppd() -> None:
    """Created, up, down and deleted, of tunnels and of sessions; up and down of what PPP carries."""
    wanted = (
        "tunnel-created tunnel-up tunnel-down tunnel-deleted session-created session-up session-down session-deleted"
    )
    assert (*wanted.split(), "ip-up", "ip-down", "ipv6-up", "ipv6-down") == hooks.SCRIPTS
    assert hooks.SCRIPTS[:4] == tuple(hooks.script(TunnelEvent(what=what, tunnel_id=1)) for what in What)
    assert hooks.SCRIPTS[4:8] == tuple(hooks.script(session(what)) for what in What)
    ppp = [
        attrs.evolve(PPP, network=network, what=what) for network in ("ipv4", "ipv6") for what in (What.UP, What.DOWN)
    ]
    assert hooks.SCRIPTS[8:] == tuple(map(hooks.script, ppp))


def test_other_events_call_none() -> None:
    """A reload or the daemon's end is no tunnel's and no session's event."""
    assert [None, None, FULL] == [hooks.hooked(event) for event in (ConfigReloaded(), DaemonStopping(), FULL)]


def test_scripts_of_ppp_are_told_what_pppd_tells() -> None:
    """Its arguments, and its variables besides ours; the counters and the reason at the end."""
    assert ("ppp0", "7/3", "0", "10.0.0.1", "10.0.0.2") == hooks.arguments(PPP)
    known = {
        "TUNNEL_ID": "7",
        "SESSION_ID": "3",
        "TUNNEL_NAME": "hq",
        "SESSION_NAME": "branch",
        "SESSION_PROFILE_NAME": "gold",
        "USER_DATA": "customer 17",
        "IFNAME": "ppp0",
        "MTU": "1400",
        "PEERNAME": "alice",
        "IPLOCAL": "10.0.0.1",
        "IPREMOTE": "10.0.0.2",
        "USEPEERDNS": "1",
        "DNS1": "9.9.9.9",
        "DNS2": "149.112.112.112",
        "FRAMED_ROUTE": "192.0.2.0/24 198.51.100.0/24",
    }
    assert known == hooks.environment(PPP)
    ended = {
        "CONNECT_TIME": "62",
        "BYTES_RCVD": "5",
        "BYTES_SENT": "6",
        "REASON": "maintenance",
        "PPP_CAUSE": "admin (3)",
    }
    assert known | ended == hooks.environment(attrs.evolve(PPP, what=What.DOWN))
    six = hooks.environment(
        PppEvent(what=What.UP, network="ipv6", tunnel_id=7, session_id=3, local="fe80::1", remote="fe80::2")
    )
    assert {"TUNNEL_ID": "7", "SESSION_ID": "3", "LLLOCAL": "fe80::1", "LLREMOTE": "fe80::2"} == six
    assert (7, 3) == hooks.instance(PPP)


# --- arguments


@pytest.mark.parametrize("what", What)
def test_a_tunnel_script_is_told_the_tunnel(what: What) -> None:
    """Its only argument is the tunnel id; its only variable the name, which a tunnel that a peer opened has not."""
    named, nameless = TunnelEvent(what=what, tunnel_id=7, name="hq"), TunnelEvent(what=what, tunnel_id=65535)
    assert ("7",) == hooks.arguments(named)
    assert {"TUNNEL_NAME": "hq"} == hooks.environment(named)
    assert (("65535",), {}) == (hooks.arguments(nameless), hooks.environment(nameless))


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        (What.CREATED, ("7", "3")),
        (What.UP, ("7", "3", "ETH")),
        (What.DOWN, ("7", "3", "ETH")),
        (What.DELETED, ("7", "3", "ETH")),
    ],
)
def test_a_session_script_is_told_the_ids_and_later_the_type(what: What, wanted: tuple[str, ...]) -> None:
    """Tunnel id, session id, and in all scripts but the first the type."""
    assert wanted == hooks.arguments(session(what))


@pytest.mark.parametrize(
    ("pseudowire", "wanted"), [("ppp", "PPP"), ("eth", "ETH"), ("eth-vlan", "ETH_VLAN"), ("17", "17")]
)
def test_the_type_is_a_word_or_a_number(pseudowire: str, wanted: str) -> None:
    """PPP, ETH and ETH_VLAN by name, any other by its number."""
    assert wanted == hooks.arguments(attrs.evolve(FULL, pseudowire=pseudowire))[2]


# --- environment


@pytest.mark.parametrize(
    ("what", "known"),
    [
        (What.CREATED, EVERYWHERE),
        (What.UP, EVERYWHERE | LINKED),
        (What.DOWN, EVERYWHERE | LINKED | ENDED),
        (What.DELETED, EVERYWHERE | ENDED),
    ],
)
def test_each_script_knows_what_there_is(what: What, known: dict[str, str]) -> None:
    """The interface while there is one, and what became of PPP at its end; of the two for the Remote End ID there is one."""
    assert known == hooks.environment(session(what))


def test_what_is_not_known_is_not_said() -> None:
    """No variable is there with nothing in it."""
    assert {"PSEUDOWIRE_PROFILE_NAME": "default"} == hooks.environment(
        SessionEvent(what=What.UP, tunnel_id=1, session_id=2, pseudowire_profile="default")
    )


@pytest.mark.parametrize(
    ("address", "ip", "mask"),
    [
        ("192.0.2.1/24", "192.0.2.1", "255.255.255.0"),
        ("192.0.2.1/31", "192.0.2.1", "255.255.255.254"),
        ("192.0.2.1", "192.0.2.1", "255.255.255.255"),
        ("2001:db8::1/64", "2001:db8::1", "64"),
        ("2001:db8::1", "2001:db8::1", "128"),
    ],
)
def test_the_mask_is_that_of_the_address(address: str, ip: str, mask: str) -> None:
    """In the notation of its family; an address without a length is that of a host."""
    said = hooks.environment(attrs.evolve(FULL, address=address))
    assert (ip, mask) == (said["LOCAL_IP"], said["NETMASK"])


def test_the_far_end_is_an_address_without_a_length() -> None:
    """Also where the configuration gives it one."""
    assert "192.0.2.2" == hooks.environment(attrs.evolve(FULL, far_address="192.0.2.2/32"))["PEER_IP"]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("site 1", {"REMOTE_END_ID": "site 1"}),
        ("Zürich", {"REMOTE_END_ID": "Zürich"}),
        ("0x00000001", {"REMOTE_END_ID_BIN": "00000001"}),
        ("0x736974650a", {"REMOTE_END_ID_BIN": "736974650a"}),
        ("0x73ff", {"REMOTE_END_ID_BIN": "73ff"}),
        ("0x30783137", {"REMOTE_END_ID": "0x17"}),  # text that looks like digits
        ("", {}),
    ],
)
def test_the_remote_end_id_is_text_or_hexadecimal(said: str, wanted: dict[str, str]) -> None:
    """Text when all of it prints, else hexadecimal digits, never both."""
    told = hooks.environment(attrs.evolve(FULL, remote_end_id=said))
    assert wanted == {name: value for name, value in told.items() if name.startswith("REMOTE_END_ID")}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain; rm -rf / $(id)", "plain; rm -rf / $(id)"),
        ("nul\0inside", "nul?inside"),
        ("bell\a escape\x1b[2J", "bell? escape?[2J"),
        ("turned \u202e around", "turned ? around"),
        ("lone \udcff surrogate", "lone ? surrogate"),
        ("two\nlines\tof Zürich", "two\nlines\tof Zürich"),
    ],
)
def test_control_characters_do_not_reach_a_script(text: str, wanted: str) -> None:
    """What would steer a terminal or cannot be in an environment becomes a question mark; the rest is data, whatever a shell would make of it."""
    assert wanted == hooks.environment(attrs.evolve(FULL, user_data=text))["USER_DATA"]


# --- instances


def test_scripts_of_one_instance_belong_together() -> None:
    """A tunnel, its session and the session of that number in another tunnel are three."""
    found = [
        hooks.instance(event)
        for event in (TunnelEvent(what=What.UP, tunnel_id=7), FULL, attrs.evolve(FULL, tunnel_id=8))
    ]
    assert [(7, 0), (7, 3), (8, 3)] == found
    assert {(7, 3)} == {hooks.instance(session(what)) for what in What}


# --- the manual


def test_the_manual_has_them_all() -> None:
    """Every script, every type and every variable of l2tpd(8) is the program's, with the events that have it."""
    page = (Path(l2tpd.__file__).parent / "man" / "l2tpd.8.md").read_text()
    told = page.partition("## HOOK SCRIPTS\n")[2].partition("\n## ")[0]
    assert list(hooks.SCRIPTS) == re.findall(r"^`((?:tunnel|session|ip|ipv6)-\w+)`$", told, re.MULTILINE)
    assert set(hooks.TYPES.values()) <= set(re.findall(r"`([A-Z_]+)`", told))
    words = {
        hooks.ALWAYS: "session scripts",
        hooks.LINKED: "session-up, session-down",
        hooks.ENDED: "session-down, session-deleted",
    }
    rows = [(row.name, words[row.when]) for row in hooks.VARIABLES]
    of_ppp = {hooks.ALWAYS: "PPP scripts", hooks.GONE: "ip-down, ipv6-down"}
    rows += [(row.name, of_ppp[row.when]) for row in hooks.PPP_VARIABLES]
    assert [("TUNNEL_NAME", "all scripts"), *rows[1:]] == re.findall(r"^\| `(\w+)` \| ([^|]*) \|", told, re.MULTILINE)
