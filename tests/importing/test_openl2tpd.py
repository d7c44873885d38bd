"""openl2tpd.conf: commands, and what they say once everything is inherited."""

from __future__ import annotations

import pytest

from importing.converting import comments, complaint, loaded, sample
from l2tpctl.importing.openl2tpd import commands
from l2tpd.config.resolve import PeerTable, ppp_settings, pseudowire_settings, session_settings, tunnel_settings

SAMPLE = loaded("openl2tpd", sample("openl2tpd"))


def test_commands_are_taken_apart() -> None:
    """A line goes on behind a backslash; a semicolon ends a command; values may stand in quotes; `#` begins a comment."""
    text = 'tunnel create \\\n  a="b c;d" # no\n\nsystem modify x=1; ; peer profile create y=2\n'
    assert [
        (1, ["tunnel", "create", 'a="b c;d"']),
        (4, ["system", "modify", "x=1"]),
        (4, ["peer", "profile", "create", "y=2"]),
    ] == list(commands(text, "f"))


def test_profiles_are_inherited() -> None:
    """What a tunnel does not say, its profile does, then the profile `default`."""
    tunnel = SAMPLE.tunnels["upstream"]
    settings = tunnel_settings(SAMPLE, tunnel.profile, tunnel.said)
    assert ("for wholesale", True, 8, 30.0, 20) == (
        settings.secret, settings.hide_avps, settings.max_retries, settings.hello_timeout, settings.receive_window,
    )  # fmt: skip
    assert ("203.0.113.2", "192.0.2.1", 1701, False) == (
        tunnel.peer.host,
        tunnel.local,
        tunnel.local_port,
        settings.udp_checksum,
    )


def test_what_persists_comes_back_at_the_daemons_pace() -> None:
    """`tunnel_persist_pend_timeout` is a pause that does not grow; without `persist` a tunnel is opened once."""
    tunnel = SAMPLE.tunnels["upstream"]
    assert (True, 20.0, 20.0) == (tunnel.persist, tunnel.redial_delay, tunnel.redial_delay_max)
    assert not SAMPLE.tunnels["other"].persist
    assert (
        300.0 == loaded("openl2tpd", "tunnel create dest_ipaddr=192.0.2.9 persist=yes").tunnels["tunnel"].redial_delay
    )


def test_sessions() -> None:
    """An incoming call with its user, and an outgoing one with its numbers."""
    one, out = (SAMPLE.tunnels["upstream"].sessions[name] for name in ("one", "out"))
    settings = session_settings(SAMPLE, "default", one.said)
    assert ("alice", "wonder land", "ppp7", 0.25) == (
        settings.user, settings.password, settings.interface_name, settings.reorder_timeout,
    )  # fmt: skip
    assert (100_000_000, 20_000_000) == (settings.tx_connect_speed, settings.rx_connect_speed)
    assert ("lns", "5550002", 64000) == (out.said["role"].value, out.said["called_number"], out.said["minimum_bps"])


def test_a_tunnel_hands_its_ppp_profile_down() -> None:
    """Where neither the session nor its profile says one; it may come from the tunnel's profile."""
    name = session_settings(SAMPLE, "default", SAMPLE.tunnels["upstream"].sessions["one"].said).pseudowire_profile
    assert "subscribers" == pseudowire_settings(SAMPLE, name).ppp_profile
    assert 20 == ppp_settings(SAMPLE, "subscribers").lcp_echo_interval


def test_peers_are_found_by_name_and_by_address() -> None:
    """As openl2tpd does it; everybody else is the default peer."""
    table = PeerTable(SAMPLE)
    found = [table.find(*who) for who in (("x", "198.51.100.9"), ("lac7.example", "9.9.9.9"), ("x", "9.9.9.9"))]
    assert ["carrier", "lac7.example", "default"] == [entry[0] for entry in found if entry is not None]
    carrier = SAMPLE.peers["carrier"]
    assert ("wholesale", "lns") == (carrier.tunnel_profile, carrier.roles[0].value)
    below = session_settings(SAMPLE, carrier.session_profile).pseudowire_profile
    assert "subscribers" == pseudowire_settings(SAMPLE, below).ppp_profile


def test_callers_have_to_prove_who_they_are() -> None:
    """As there, unless a profile says that they need not; the strongest proof that is allowed is asked for."""

    def auth(said: str) -> str:
        return ppp_settings(loaded("openl2tpd", f"ppp profile modify profile_name=default {said}")).auth.value

    assert ["chap", "none", "none", "pap", "mschapv2"] == [
        auth(said)
        for said in ("mtu=1400", "auth_none=yes", "auth_peer=no", "auth_chap=no auth_mschapv2=no", "auth_chap=no")
    ]


@pytest.mark.parametrize(
    ("said", "comment"),
    [
        ("tunnel profile create profile_name=a hide_avps=yes", "hide_avps=yes: no counterpart: without a secret"),
        ("tunnel create dest_ipaddr=192.0.2.1 tunnel_id=7", "tunnel_id=7: no counterpart: it is chosen at random"),
        ("tunnel create dest_ipaddr=192.0.2.1 src_ipaddr=2001:db8::1", "src_ipaddr=2001:db8::1: no counterpart: it is not of"),
        ("tunnel create dest_ipaddr=192.0.2.1 profile_name=x", "profile_name=x: no counterpart: there is no such profile"),
        ("ppp profile modify remote_ipaddr=10.0.0.2", "remote_ipaddr=10.0.0.2: no counterpart: addresses of callers"),
        ("ppp profile modify multilink=no", "multilink=no: holds here anyway: there is no multilink here"),
        ("peer profile create profile_name=default peer_ipaddr=10.0.0.2", "peer_ipaddr=10.0.0.2: no counterpart: `default` is"),
        ("peer profile create profile_name=a peer_ipaddr=0.0.0.0", "peer_ipaddr=0.0.0.0: no counterpart: there is no address"),
        ("peer profile create profile_name=a peer_ipaddr=lac.example", "peer_ipaddr=lac.example: no counterpart: a numeric"),
        ("peer profile create profile_name=a ppp_profile_name=x", "ppp_profile_name=x: no counterpart: there is no such"),
        ("session profile create profile_name=a netmask=255.0.0.0", "netmask=255.0.0.0: no counterpart: there is no address"),
        ("tunnel profile modify auth_mode=simple", "auth_mode=simple: no counterpart: that a peer profile has to be there"),
        ("session profile create profile_name=a session_type=LNIC", "session_type=LNIC: no counterpart: of such words only"),
        ("session profile create profile_name=a connect_speed=4294967296", "connect_speed=4294967296: no counterpart: only 0 to"),
        ("session profile create profile_name=a minimum_bps=9 maximum_bps=8", "minimum_bps=9: no counterpart: the lowest speed"),
        ("tunnel profile modify session_profile_name=a", "session_profile_name=a: no counterpart: nothing that would have"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_a_comment(said: str, comment: str) -> None:
    """With its reason, where it belongs."""
    assert any(line.startswith(f"# {comment}") for line in comments("openl2tpd", said)), comments("openl2tpd", said)


def test_a_tunnels_profile_hands_profiles_down() -> None:
    """Of its sessions, and of PPP in them, unless the session's profile says another."""
    text = (
        "ppp profile create profile_name=p; session profile create profile_name=s; session profile create profile_name=t ppp_profile_name=p\n"
        "tunnel profile create profile_name=x session_profile_name=s ppp_profile_name=p\n"
        "tunnel create tunnel_name=a dest_ipaddr=192.0.2.1 profile_name=x; session create tunnel_name=a session_name=one\n"
        "session create tunnel_name=a session_name=two profile_name=t"
    )
    tunnel = loaded("openl2tpd", text).tunnels["a"]
    assert ("s", "p") == (tunnel.session_profile, tunnel.sessions["one"].said["pseudowire_profile"])
    assert {} == dict(tunnel.sessions["two"].said)


def test_two_peers_with_one_prefix() -> None:
    """The first has it; of names that become alike, each keeps its own."""
    text = "peer profile create profile_name=a peer_ipaddr=10.0.0.1\npeer profile create profile_name=b peer_ipaddr=10.0.0.1"
    assert [("10.0.0.1/32",), ()] == [loaded("openl2tpd", text).peers[name].match for name in ("a", "b")]


def test_peers_that_share_a_session_profile() -> None:
    """Only one of them can hand it a PPP profile."""
    text = (
        "ppp profile create profile_name=p; ppp profile create profile_name=q; session profile create profile_name=s\n"
        "peer profile create profile_name=a session_profile_name=s ppp_profile_name=p\n"
        "peer profile create profile_name=b session_profile_name=s ppp_profile_name=q\n"
        "peer profile create profile_name=c we_can_be_lac=no we_can_be_lns=no"
    )
    config = loaded("openl2tpd", text)
    assert "p" == session_settings(config, "s").pseudowire_profile
    assert any("the session profile says another" in line for line in comments("openl2tpd", text))
    assert not config.peers["c"].accept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tunnel destroy", "1: `tunnel destroy` is no command that a configuration has"),
        ("system", "1: `system` is no command that a configuration has"),
        ('system modify a="b', '1: `"` makes no sense here'),
        ("system modify =b", "1: `=b` is no parameter"),
        ("tunnel create tunnel_name=a", "1: tunnel `a` has no address of its peer"),
        ("\nsession create tunnel_name=a", "2: there is no tunnel `a`"),
        ("system modify udp_port=0", "1: udp_port: there is no such port"),
        ("tunnel create dest_ipaddr=a peer_udp_port=99999", "1: peer_udp_port: there is no such port"),
        ("tunnel profile modify auth_mode=what", "1: auth_mode: `what` is none of none, simple, challenge"),
        ("peer profile create profile_name=a peer_ipaddr=10.0.0.0 netmask=255.0.255.0", "1: netmask: `0.0.0.0/255.0.255.0` is neither an address nor a prefix"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_told_with_its_line(text: str, said: str) -> None:
    """As FILE:LINE: what is wrong."""
    assert f"their.conf:{said}" == complaint("openl2tpd", text)
