"""kl2tpd.toml and ql2tpd.toml: tunnels that are called, and pseudowires without a control protocol."""

from __future__ import annotations

import pytest

from importing.converting import comments, complaint, convert, loaded, sample
from l2tpd.config.model import Encapsulation, Mode, Sublayer
from l2tpd.config.resolve import ppp_settings, session_settings, tunnel_settings

KL2TPD = loaded("kl2tpd", sample("kl2tpd"))
QL2TPD = loaded("ql2tpd", sample("ql2tpd"))
STATIC = 'version = "l2tpv3"\nencap = "{encap}"\nlocal = "192.0.2.1"\npeer = "{peer}"\ntid = {tid}\nptid = 2\n'


def test_a_client_of_version_2() -> None:
    """With milliseconds as seconds, its own address and port, and kl2tpd's defaults where they are not ours."""
    tunnel = KL2TPD.tunnels["hq"]
    settings = tunnel_settings(KL2TPD, "default", tunnel.said)
    assert ("203.0.113.2", 1701, "192.0.2.1", 1701) == (*tunnel.peer, tunnel.local, tunnel.local_port)
    assert (7.5, 1.5, 3, "branch.example") == (
        settings.hello_timeout, settings.retry_timeout, settings.max_retries, settings.host_name,
    )  # fmt: skip
    assert 0 == tunnel_settings(KL2TPD, "default", KL2TPD.tunnels["to-the-west"].said).hello_timeout


def test_the_options_of_pppd_are_read() -> None:
    """From the file that `pppd_args` names."""
    said = KL2TPD.tunnels["hq"].sessions["one"].said
    assert ("alice", "wonderland") == (said["user"], said["password"])
    ppp = ppp_settings(KL2TPD, "hq-one")
    assert (1400, True, 10, 3) == (ppp.mtu, ppp.default_route, ppp.lcp_echo_interval, ppp.lcp_echo_failure)


def test_options_that_cannot_be_read() -> None:
    """Are missing, which the user is told."""
    found = convert("kl2tpd", sample("kl2tpd"), {})
    assert any("one.args" in warning for warning in found.warnings)


def test_a_long_first_pause_lifts_the_longest() -> None:
    """`retry_timeout` may not be longer than `retry_cap`."""
    text = '[tunnel.a]\npeer = "192.0.2.1:1701"\nversion = "l2tpv2"\nencap = "udp"\nretry_timeout = 20000'
    settings = tunnel_settings(config := loaded("kl2tpd", text), "default", config.tunnels["a"].said)
    assert (20.0, 20.0) == (settings.retry_timeout, settings.retry_cap)


def test_a_session_of_pppoe_is_none() -> None:
    """It is a comment, key for key."""
    assert {"one"} == set(KL2TPD.tunnels["hq"].sessions)
    assert 3 == sum("PPPoE is not switched" in line for line in comments("kl2tpd", sample("kl2tpd")))


def test_pseudowires_without_control_protocol() -> None:
    """Static, or with a `hello_timeout` quiescent; over UDP from the port that is said, or directly over IP."""
    site, direct = QL2TPD.tunnels["site"], QL2TPD.tunnels["direct"]
    assert (Mode.QUIESCENT, 3000, 4000, 5000) == (site.mode, site.tunnel_id, site.peer_tunnel_id, site.local_port)
    assert 7.5 == site.said["hello_timeout"]
    assert (Mode.STATIC, Encapsulation.IP, "2001:db8::7", 0) == (direct.mode, direct.encap, *direct.peer)


def test_cookies_change_their_names() -> None:
    """What is called `cookie` there is what is sent: `peer_cookie` here."""
    said = QL2TPD.tunnels["site"].sessions["lan"].said
    assert (bytes.fromhex("12e9540fe26872bc"), bytes.fromhex("52e1b7f6")) == (said["cookie"], said["peer_cookie"])


def test_the_sublayer_is_none_unless_it_is_said() -> None:
    """As there; and without it packets cannot be numbered."""
    lan = session_settings(QL2TPD, "default", QL2TPD.tunnels["site"].sessions["lan"].said)
    plain = session_settings(QL2TPD, "default", QL2TPD.tunnels["direct"].sessions["a"].said)
    assert (Sublayer.DEFAULT, True) == (lan.sublayer, lan.sequencing_required)
    assert (Sublayer.NONE, False) == (plain.sublayer, plain.sequencing_required)


def test_two_sessions_with_one_interface() -> None:
    """The first has it."""
    text = "[tunnel.a]\n" + STATIC.format(encap="udp", peer="192.0.2.9", tid=1)
    for number in (1, 2):
        text += f'[tunnel.a.session.s{number}]\npseudowire = "eth"\nsid = {number}\npsid = 7\ninterface_name = "x"\n'
    found = loaded("ql2tpd", text).tunnels["a"].sessions
    assert ["x", None] == [found[name].said.get("interface_name") for name in ("s1", "s2")]


def test_a_key_outside_of_tunnels() -> None:
    """Is a comment."""
    assert ["# x = true: no counterpart: nobody here knows this key"] == comments("kl2tpd", "x = true")


def test_a_local_end_that_is_a_name() -> None:
    """Cannot be said; a port alone can."""
    text = '[tunnel.a]\npeer = "192.0.2.1:1701"\nlocal = "{}"'
    assert "" == loaded("kl2tpd", text.format("here:9")).tunnels["a"].local
    assert ("", 9) == ((found := loaded("kl2tpd", text.format(":9")).tunnels["a"]).local, found.local_port)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("kl2tpd", "[tunnel.a]\npeer = ", "2: Invalid value"),
        ("kl2tpd", "[tunnel.a", "1: Expected ']' at the end of a table declaration"),
        ("kl2tpd", "tunnel = 1", "1: `tunnel` has a name: [tunnel.NAME]"),
        ("kl2tpd", '[tunnel.a]\npeer = "a"\n[tunnel.a.session]\nsid = 1', "3: `tunnel.a.session` has a name: [tunnel.a.session.NAME]"),
        ("kl2tpd", '\n[tunnel.a]\nversion = "l2tpv3"', '3: version: kl2tpd knows "l2tpv2" alone'),
        ("kl2tpd", '[tunnel.a]\nencap = "ip"', "2: encap: `ip` carries no l2tpv2"),
        ("kl2tpd", "[tunnel.a]", "1: tunnel `a` has no `peer`"),
        ("kl2tpd", '[tunnel.a]\npeer = "192.0.2.1:x"', "2: peer: `x` is no port"),
        ("kl2tpd", '[tunnel.a]\npeer = "a"\n[tunnel.a.session.s]\npseudowire = "eth"', "4: pseudowire: `eth` is not carried by L2TPv2"),
        ("ql2tpd", '[tunnel.a]\npeer = "192.0.2.1"\ntid = 1', "1: tunnel `a` has no `ptid`"),
        ("ql2tpd", '[tunnel.a]\npeer = "192.0.2.1"\ntid = 0\nptid = 1', "3: tid: an identifier is 1 to 4294967295 (RFC 3931 4.1)"),
        ("ql2tpd", f'[tunnel.a]\n{STATIC.format(encap="udp", peer="192.0.2.9", tid=1)}[tunnel.a.session.s]\npseudowire = "eth"\nsid = 1',
         "8: session `s` has no `psid`"),
        ("ql2tpd", f'[tunnel.a]\n{STATIC.format(encap="udp", peer="192.0.2.9", tid=1)}[tunnel.a.session.s]\npseudowire = "ppp"',
         "9: pseudowire: `ppp` is not carried without a control protocol: `eth` is"),
        ("ql2tpd", f'[tunnel.a]\n{STATIC.format(encap="udp", peer="192.0.2.9", tid=1)}[tunnel.a.session.s]\nsid = 1\npsid = 2\ncookie = [1, 2]',
         "11: cookie: a cookie has 4 or 8 octets (RFC 3931 5.4.4)"),
        ("ql2tpd", f'[tunnel.a]\n{STATIC.format(encap="udp", peer="192.0.2.9", tid=1)}[tunnel.a.session.s]\nsid = 1\npsid = 2\nl2spec_type = "x"',
         "11: l2spec_type: `x` is neither none nor default"),
        ("ql2tpd", "".join(f'[tunnel.{name}]\n{STATIC.format(encap="udp", peer="192.0.2.9", tid=tid)}' for name, tid in (("a", 1), ("b", 1))),
         "13: tid: 1 is that of `a` already"),
        ("ql2tpd", "".join(f'[tunnel.{name}]\n{STATIC.format(encap="udp", peer="192.0.2.9", tid=tid)}' for name, tid in (("a", 1), ("b", 2))),
         "12: peer: `192.0.2.9` is where tunnel `a` goes, from the same port"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_told_with_its_line(kind: str, text: str, said: str) -> None:
    """As FILE:LINE: what is wrong."""
    assert complaint(kind, text).startswith(f"their.conf:{said}")
