"""Two configurations compared: what a reload will do."""

import json
import re
from pathlib import Path

import attrs

import l2tpd
from l2tpd.config.diff import WHEN, Verb, When, diff
from l2tpd.config.keys import KEYS
from l2tpd.config.load import parse
from l2tpd.config.model import (
    Config,
    Listen,
    Radius,
    RadiusClient,
    RadiusServer,
    SessionInstance,
    SessionSettings,
    System,
    TunnelInstance,
    TunnelSettings,
)


def plan(old: str, new: str) -> list[str]:
    """Render what leads from one text to the other, one sentence a step."""
    return str(diff(parse([("f", old)]), parse([("f", new)]))).splitlines()


TUNNEL = '[tunnel.hq]\npeer = "192.0.2.1"\n'


def test_every_key_has_its_row() -> None:
    """The table says of every key of the system, of listeners and of instances when it takes effect, and of nothing else."""
    tables = (
        System, Listen, Radius, RadiusServer, RadiusClient, TunnelInstance, TunnelSettings, SessionInstance, SessionSettings,
    )  # fmt: skip
    assert {(cls, key) for cls in tables for key in KEYS[cls]} == set(WHEN)


TABLES: dict[str, tuple[type, ...]] = {
    "system": (System,),
    "[listen]": (Listen,),
    "radius": (Radius,),
    "radius.server.NAME": (RadiusServer,),
    "radius.client.NAME": (RadiusClient,),
    "tunnel.NAME": (TunnelInstance, TunnelSettings),
    "tunnel.NAME.session.NAME": (SessionInstance, SessionSettings),
}
EFFECTS = {
    When.IN_PLACE: "at once",
    When.NEW_ONLY: "for what is set up later",
    When.RESTART_SESSION: "the session is closed and asked for again",
    When.RESTART_TUNNEL: "the tunnel is closed and opened again",
    When.RESTART_DAEMON: "after a restart of the daemon",
}


def test_the_manual_says_of_every_key_when_it_takes_effect() -> None:
    """The table of l2tpd.toml(5) is this one; keys that wait for a restart are marked where they are explained, too."""
    page = (Path(l2tpd.__file__).parent / "man" / "l2tpd.toml.5.md").read_text()
    rows = re.findall(r"^\| `\[([^`]+)\]` \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    said = {(table, key): effect for table, keys, effect in rows for key in re.findall(r"`(\w+)`", keys)}
    expected = {
        (table, key): EFFECTS[when]
        for table, classes in TABLES.items()
        for (cls, key), when in WHEN.items()
        if cls in classes
    }
    assert expected == said
    marked = re.findall(r"^\*\*(\w+)\*\* = .* \*\(restart\)\*$", page, re.MULTILINE)
    assert {key for (_, key), when in WHEN.items() if when is When.RESTART_DAEMON} == set(marked)


def test_nothing_changes() -> None:
    """Equal configurations give an empty plan, which is false."""
    config = parse([("f", TUNNEL)])
    assert not diff(config, parse([("f", TUNNEL)]))
    assert ["nothing changes"] == plan(TUNNEL, TUNNEL)


def test_the_system() -> None:
    """Levels and limits apply now; the socket and the listeners wait for a restart."""
    old = '[system]\nlog_level = "info"\n[[listen]]\naddress = "192.0.2.1"\n'
    new = '[system]\ncontrol_mode = "0600"\ntrace = ["fsm"]\nhostname = "x"\n[[listen]]\naddress = "[::]:1701"\n'
    expected = [
        'system: hostname "" -> x, applied to what is set up from now on',
        "system: control_mode 0660 -> 0600, takes effect when the daemon is restarted",
        "system: log_level info -> notice, applied now",
        "system: trace [] -> [fsm], applied now",
        "listen 192.0.2.1:1701: gone, takes effect when the daemon is restarted",
        "listen [::]:1701: new, takes effect when the daemon is restarted",
    ]
    assert expected == plan(old, new)
    assert diff(parse([("f", old)]), parse([("f", new)])).needs_daemon_restart


def test_profiles_peers_and_pools_serve_what_comes() -> None:
    """A change of a profile disturbs no tunnel, whatever the key; its secret is not shown."""
    old = '[profile.tunnel.default]\nsecret = "alpha"\n[peer.a]\nhost_name = "a"\n[pool.p]\nrange = "10.0.0.0/8"\n'
    new = f'[profile.tunnel.default]\nsecret = "beta"\nmax_retries = 7\n[peer.a]\nhost_name = "b"\n[profile.ppp.x]\n{TUNNEL}'
    expected = [
        "peer a: host_name a -> b, applied to what is set up from now on",
        "profile tunnel default: secret (a secret) -> (a secret), applied to what is set up from now on",
        "profile tunnel default: max_retries (not said) -> 7, applied to what is set up from now on",
        "profile ppp x: new, used for what is set up from now on",
        "pool p: gone, what was set up with it stays",
        "tunnel hq: new, started now",
    ]
    assert expected == plan(old, new)


def test_users_serve_what_comes() -> None:
    """Neither their passwords nor the hashes of them are shown."""
    hashed = 'pap_hash = "$scrypt$ln=14,r=8,p=1$AAAA$AAAA"'
    old = f'[user.a]\npassword = "alpha"\n[user.b]\n{hashed}\n[user.c]\npassword = "x"\n'
    new = f'[user.a]\npassword = "beta"\nenabled = false\n[user.b]\n{hashed.replace("AAAA", "BBBB")}\n'
    expected = [
        "user c: gone, what was set up with it stays",
        "user a: password (a secret) -> (a secret), applied to what is set up from now on",
        "user a: enabled true -> false, applied to what is set up from now on",
        "user b: pap_hash (a secret) -> (a secret), applied to what is set up from now on",
    ]
    assert expected == plan(old, new)


def test_limits_that_come_and_go_with_their_tables() -> None:
    """They hold at once, also for those who are here: without the table they had none. A user that says none has nothing to add."""
    old = "[profile.ppp.gone]\nidle_timeout = 5\n[user.c]\npassword = 'x'\nsession_timeout = 7\n"
    new = (
        "[profile.ppp.default]\nsession_timeout = 60\nmtu = 1400\n[profile.ppp.gold]\nidle_timeout = 0\n"
        "[user.a]\npassword = 'x'\nidle_timeout = 9\n[user.b]\npassword = 'x'\n"
    )
    expected = [
        "profile ppp gone: gone, what was set up with it stays",
        "profile ppp gone: idle_timeout 5.0 -> (not said), applied now",
        "profile ppp default: new, used for what is set up from now on",
        "profile ppp default: session_timeout (not said) -> 60.0, applied now",
        "profile ppp gold: new, used for what is set up from now on",
        "profile ppp gold: idle_timeout (not said) -> 0.0, applied now",
        "user c: gone, what was set up with it stays",
        "user c: session_timeout 7.0 -> (not said), applied now",
        "user a: new, used for what is set up from now on",
        "user a: idle_timeout (not said) -> 9.0, applied now",
        "user b: new, used for what is set up from now on",
    ]
    assert expected == plan(old, new)


def test_a_tunnels_own_keys() -> None:
    """A timer is changed in place, a secret by a new set-up, and a profile's change is the profile's matter alone."""
    old = f"{TUNNEL}hello_timeout = 10\n[tunnel.gone]\npeer = '192.0.2.2'\n[profile.tunnel.default]\nmax_retries = 6"
    new = f"{TUNNEL}secret = 'x'\nretry_timeout = 1\n[profile.tunnel.default]\nmax_retries = 7"
    expected = [
        "profile tunnel default: max_retries 6 -> 7, applied to what is set up from now on",
        "tunnel gone: gone, closed now",
        "tunnel hq: secret (no secret) -> (a secret), the tunnel is closed and opened again",
        "tunnel hq: hello_timeout 10.0 -> 60.0, applied now",
    ]
    assert expected == plan(old, new)


def test_a_tunnel_that_moves() -> None:
    """Another peer or version of the address means another set-up."""
    expected = ["tunnel hq: peer 192.0.2.1:1701 -> [::1]:1702, the tunnel is closed and opened again"]
    assert expected == plan(TUNNEL, '[tunnel.hq]\npeer = "[::1]:1702"')


def test_sessions_of_a_tunnel() -> None:
    """Sessions come, go and change without touching their tunnel; those of a restarted tunnel go with it."""
    old = parse([("f", f"{TUNNEL}[tunnel.hq.session.a]\n[tunnel.hq.session.b]\n[tunnel.hq.session.c]\n")])
    text = (
        f'{TUNNEL}[tunnel.hq.session.b]\nrole = "lns"\n[tunnel.hq.session.c]\npersist = true\n[tunnel.hq.session.d]\n'
    )
    new = parse([("f", text)])
    steps = diff(old, new)
    expected = [
        "tunnel hq session a: gone, closed now",
        "tunnel hq session b: role lac -> lns, the session is closed and asked for again",
        "tunnel hq session c: persist false -> true, applied now",
        "tunnel hq session d: new, started now",
    ]
    assert expected == str(steps).splitlines()
    assert (("hq", "a"),) == steps.sessions(Verb.REMOVED)
    assert (("hq", "b"),) == steps.sessions(Verb.CHANGED, When.RESTART_SESSION)
    assert (("hq", "c"),) == steps.sessions(Verb.CHANGED)
    assert (("hq", "d"),) == steps.sessions(Verb.ADDED)
    assert () == steps.tunnels(Verb.CHANGED, When.RESTART_TUNNEL)

    moved = diff(old, parse([("f", text.replace("192.0.2.1", "192.0.2.9"))]))
    assert ("hq",) == moved.tunnels(Verb.CHANGED, When.RESTART_TUNNEL)
    assert () == moved.sessions(Verb.ADDED)


def test_a_static_pseudowire() -> None:
    """Identities are set up anew, each for itself; a plan, which goes to the log, does not show a cookie."""
    old = (
        f'{TUNNEL}version = "l2tpv3"\nmode = "static"\ntunnel_id = 1\npeer_tunnel_id = 2\n[tunnel.hq.session.a]\n'
        'pseudowire = "eth"\nsession_id = 3\npeer_session_id = 4\npeer_cookie = "00112233"\n'
    )
    new = old.replace("session_id = 3", "session_id = 5").replace("00112233", "44556677") + 'cookie = "00112233"\n'
    again = "the session is closed and asked for again"
    expected = [
        f"tunnel hq session a: session_id 3 -> 5, {again}",
        f"tunnel hq session a: cookie (none) -> (not shown), {again}",
        f"tunnel hq session a: peer_cookie (not shown) -> (not shown), {again}",
    ]
    assert expected == plan(old, new)
    moved = (
        old.replace('"static"', '"quiescent"').replace("192.0.2.1", "192.0.2.9").replace("\nv", '\nencap = "ip"\nv', 1)
    )
    over = "the tunnel is closed and opened again"
    expected = [
        f"tunnel hq: peer 192.0.2.1:1701 -> 192.0.2.9, {over}",
        f"tunnel hq: encap udp -> ip, {over}",
        f"tunnel hq: mode static -> quiescent, {over}",
    ]
    assert expected == plan(old, moved)


def test_version_3_set_up_by_control_messages() -> None:
    """What is told at set-up means another set-up; an identifier of any octets is shown as it can be said."""
    old = f'{TUNNEL}version = "auto"\n[tunnel.hq.session.a]\ncookie_size = 4\n'
    new = (
        '[system]\nrouter_id = "10.0.0.1"\n[[listen]]\naddress = "[::]"\nencap = "ip"\n[peer.a]\nversions = ["l2tpv3"]\n'
        f'{TUNNEL}version = "l2tpv3"\ndigest = "hmac-sha1"\n[tunnel.hq.session.a]\nremote_end_id = "0x1B5b"\n'
    )
    over, again = "the tunnel is closed and opened again", "the session is closed and asked for again"
    expected = [
        'system: router_id "" -> 10.0.0.1, applied to what is set up from now on',
        "listen [::]: new, takes effect when the daemon is restarted",
        "peer a: new, used for what is set up from now on",
        f"tunnel hq: version auto -> l2tpv3, {over}",
        f"tunnel hq: digest hmac-md5 -> hmac-sha1, {over}",
        f"tunnel hq session a: cookie_size 4 -> 8, {again}",
        f'tunnel hq session a: remote_end_id "" -> 0x1b5b, {again}',
    ]
    assert expected == plan(old, new)
    every = new.replace('["l2tpv3"]', '["l2tpv3", "l2tpv2"]').replace('encap = "ip"', 'encap = "udp"')
    expected = [
        "listen [::]: gone, takes effect when the daemon is restarted",
        "listen [::]:1701: new, takes effect when the daemon is restarted",
        "peer a: versions [l2tpv3] -> [l2tpv3, l2tpv2], applied to what is set up from now on",
    ]
    assert expected == plan(new, every)


def test_a_session_with_another_profile() -> None:
    """Naming another profile means another call."""
    profile = "[profile.session.gold]\n"
    expected = ["tunnel hq session a: profile default -> gold, the session is closed and asked for again"]
    session = f"{profile}{TUNNEL}[tunnel.hq.session.a]\n"
    assert expected == plan(session, f'{session}profile = "gold"')


def test_the_plan_as_json() -> None:
    """Steps become plain values that JSON carries."""
    plain = diff(Config(), attrs.evolve(Config(), system=System(drain=True))).as_plain()
    step = {"table": ["system"], "verb": "changed", "when": "in-place", "key": "drain", "old": "false", "new": "true"}
    assert {"steps": [step], "needs_daemon_restart": False} == json.loads(json.dumps(plain))
