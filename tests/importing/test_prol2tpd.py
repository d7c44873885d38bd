"""prol2tpd.conf: blocks, and what is more in them than openl2tpd has."""

from __future__ import annotations

import pytest

from importing.converting import comments, complaint, loaded, sample
from l2tpd.config.model import Address, Version
from l2tpd.config.resolve import ppp_settings, session_settings

SAMPLE = loaded("prol2tpd", sample("prol2tpd"))


def test_the_daemon() -> None:
    """Its name, its Router ID, its limits and where it listens."""
    system = SAMPLE.system
    assert ("lns.example", "192.0.2.1", 200, "info") == (
        system.hostname,
        system.router_id,
        system.max_tunnels,
        system.log_level,
    )
    assert [Address("192.0.2.1", 1701)] == [listener.address for listener in SAMPLE.listen]
    assert "0.0.0.9" == loaded("prol2tpd", "system {\nrouter_id 9\n}").system.router_id


def test_sessions_in_their_tunnel_and_beside_it() -> None:
    """A session stands in a tunnel, or names one."""
    assert {"lan", "voice"} == set(SAMPLE.tunnels["site"].sessions)
    assert "alice" == SAMPLE.tunnels["old"].sessions["dial"].said["user"]


def test_pseudowires_of_l2tpv3() -> None:
    """Ethernet with a bridge of its profile, a VLAN, and Remote End IDs as text or octets."""
    lan, voice = (
        session_settings(SAMPLE, "default", SAMPLE.tunnels["site"].sessions[name].said) for name in ("lan", "voice")
    )
    assert ("eth", "br0", 1400, "lan", 4) == (
        lan.pseudowire.value,
        lan.bridge,
        lan.mtu,
        lan.remote_end_id,
        lan.cookie_size,
    )
    assert ("eth-vlan", 7, "\x00\x17*") == (voice.pseudowire.value, voice.vlan_id, voice.remote_end_id)


def test_the_version_that_is_not_said() -> None:
    """A tunnel of Ethernet is of version 3; any other of version 2."""
    text = 'tunnel "a" {\npeer 192.0.2.1\nsession "s" {\npseudowire_type eth\n}\n}\ntunnel "b" { peer 192.0.2.2 }'
    found = {name: tunnel.version for name, tunnel in loaded("prol2tpd", text).tunnels.items()}
    assert {"a": Version.L2TPV3, "b": Version.L2TPV2} == found


def test_pools() -> None:
    """They are here, unlike openl2tpd's."""
    assert "10.80.0.2-10.80.255.254" == SAMPLE.pools["subscribers"].range
    assert {} == loaded("prol2tpd", 'ippool "a" {\nrange 2001:db8::/64\n}').pools
    assert "10.80.0.1" == ppp_settings(SAMPLE, "subscribers").local_address


@pytest.mark.parametrize(
    ("said", "comment"),
    [
        ('tunnel "t" {\npeer 192.0.2.1\nversion l2tpv3\nframing_caps sync\n}', "framing_caps sync: no counterpart: only L2TPv2"),
        ('tunnel "t" {\npeer 192.0.2.1\nversion l2tpv2\nencap ip\n}', "encap ip: no counterpart: L2TPv2 runs over UDP alone"),
        ('tunnel "t" {\npeer 192.0.2.1\nsession "s" {\ncookie_size 4\n}\n}', "cookie_size 4: no counterpart: only L2TPv3"),
        ('tunnel "t" {\npeer 192.0.2.1\nsession "s" {\nbridge br0\n}\n}', "bridge br0: no counterpart: PPP sees to"),
        ('tunnel "t" {\npeer 192.0.2.1\nversion l2tpv3\nsession "s" {\npseudowire eth_vlan\n}\n}', "pseudowire eth_vlan: no counterpart: there"),
        ('tunnel "t" {\npeer 192.0.2.1\nversion l2tpv2\nsession "s" {\npseudowire eth\n}\n}', "pseudowire eth: no counterpart: L2TPv2"),
        ('teapot "short" {\nstout true\n}', "teapot short: stout true: no counterpart: nobody here knows such a block"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_a_comment(said: str, comment: str) -> None:
    """With its reason, and the result is what our daemon takes."""
    loaded("prol2tpd", said)
    assert any(line.startswith(f"# {comment}") for line in comments("prol2tpd", said)), comments("prol2tpd", said)


def test_addresses_and_bridges_exclude_each_other() -> None:
    """The bridge stays; an address of the far end needs one of ours."""
    text = (
        'tunnel "t" {\npeer 192.0.2.1\nversion l2tpv3\nsession "s" {\npseudowire eth\nlocal_ipaddr 10.0.0.1\nnetmask 255.255.255.0\n'
        "peer_ipaddr 10.0.0.2\n%s}\n}"
    )
    said = loaded("prol2tpd", text % "").tunnels["t"].sessions["s"].said
    assert ("10.0.0.1/24", "10.0.0.2") == (said["address"], said["peer_address"])
    assert {"pseudowire", "bridge"} == set(loaded("prol2tpd", text % "bridge br0\n").tunnels["t"].sessions["s"].said)


def test_what_clashes_only_once_profiles_are_inherited() -> None:
    """Speeds, Remote End IDs that two profiles have, a VLAN's long name, a port over IP, pseudowires that L2TPv2 does not carry."""
    text = """
session profile "slow" {
    minimum_bps 2000
    remote_end_id x
    pseudowire eth
}
session profile "same" { remote_end_id x }
pseudowire profile "p" { ppp_profile "none" }
pseudowire profile "q" { ppp_profile "default" }
peer profile "a" { peer_name "one" }
peer profile "b" { peer_name "one" }
tunnel "two" {
    peer 192.0.2.1
    session "s" {
        profile "slow"
        maximum_bps 1000
        pseudowire_profile "default"
    }
}
tunnel "three" {
    peer 192.0.2.2:1701
    encap ip
    version l2tpv3
    session "v" {
        pseudowire eth_vlan
        vlan_id 1000
        interface_name abcdefghijkl
    }
}
"""
    config = loaded("prol2tpd", text)
    assert {"maximum_bps", "interface_name"} & set().union(
        *(call.said for tunnel in config.tunnels.values() for call in tunnel.sessions.values())
    ) == set()
    assert [{"remote_end_id", "minimum_bps", "pseudowire"}, set()] == [
        set(config.session_profiles[name]) for name in ("slow", "same")
    ]
    assert ("192.0.2.2", 0) == config.tunnels["three"].peer
    assert ["one", ""] == [config.peers[name].host_name for name in ("a", "b")]
    assert "ppp" == config.tunnels["two"].sessions["s"].said["pseudowire"].value
    assert "default" == config.pseudowire_profiles["q"]["ppp_profile"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("}", "1: there is nothing that this `}` would end"),
        ("system {", "1: this block is not ended by `}`"),
        ("hostname x", "1: a parameter stands in a block"),
        ("{\n}", '1: a block has a kind, as in `tunnel "one" {`'),
        ('system {\nhostname "x\n}', "2: no closing quotation in this line"),
        ('tunnel "a" {\n}', "1: tunnel `a` has no address of its peer"),
        ('session profile "s" {\nremote_end_id hex:0g\n}', "2: remote_end_id: `0g` is not hexadecimal"),
        ("ippool p {\nrange 10.0.0.9-10.0.0.1\n}", "2: range: `10.0.0.9-10.0.0.1` ends before it begins"),
    ],
)
def test_what_is_malformed_is_told_with_its_line(text: str, said: str) -> None:
    """As FILE:LINE: what is wrong."""
    assert f"their.conf:{said}" == complaint("prol2tpd", text)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("hex:00:17:2a", "\0\x17*"), ("hex:0017 2a", "\0\x17*"), ("0xzz", "0xzz"), ("lan", "lan")],
)
def test_a_remote_end_id_keeps_its_octets(theirs: str, ours: str) -> None:
    """Also where they are no text, or text that would be taken for digits."""
    text = f'session profile "s" {{\nremote_end_id "{theirs}"\npseudowire eth\n}}'
    assert ours == loaded("prol2tpd", text).session_profiles["s"]["remote_end_id"]
