"""accel-ppp.conf: an LNS with its pools, its callers and its proofs."""

from __future__ import annotations

import pytest

from importing.converting import comments, complaint, convert, loaded, sample
from l2tpd.config.model import Address, Mppe, PppAuthentication, SingleSession
from l2tpd.config.resolve import PeerTable, ppp_settings, session_settings, tunnel_settings

SAMPLE = loaded("accel-ppp", sample("accel-ppp"))


def test_the_lns() -> None:
    """Where it listens, who it says it is, and its tunnels."""
    assert ([Address("192.0.2.1", 1701)], "lns.example") == (
        [one.address for one in SAMPLE.listen],
        SAMPLE.system.hostname,
    )
    settings = tunnel_settings(SAMPLE)
    assert ("for-wholesale", True, 30.0, 2.0, 7, 64) == (
        settings.secret, settings.hide_avps, settings.hello_timeout, settings.retry_timeout, settings.max_retries,
        settings.receive_window,
    )  # fmt: skip


def test_defaults_that_are_not_ours() -> None:
    """Are written down: the name, and the longest pause, which may not be below RFC 2661's 8 seconds."""
    config = loaded("accel-ppp", "[modules]\nl2tp\n[l2tp]\nrtimeout=1")
    assert ("accel-ppp", 16.0, 60.0) == (
        config.system.hostname, tunnel_settings(config).retry_cap, session_settings(config).establish_timeout,
    )  # fmt: skip
    assert 8.0 == tunnel_settings(SAMPLE).retry_cap


def test_ppp() -> None:
    """The strongest proof that is loaded, sizes, name servers, and the addresses."""
    ppp = ppp_settings(SAMPLE)
    assert (PppAuthentication.MSCHAPV2, 1400, ("198.51.100.53", "198.51.100.54")) == (ppp.auth, ppp.mtu, ppp.dns)
    assert ("10.90.0.1", "subs", 3600.0) == (ppp.local_address, ppp.pool, ppp.chap_rechallenge)
    assert SingleSession.REPLACE is ppp.single_session
    assert {"subs", "default", "more"} == set(SAMPLE.pools)
    assert "default" == SAMPLE.pools["more"].next
    assert "10.90.0.2-10.90.0.254, 10.90.1.1-10.90.1.254" == SAMPLE.pools["subs"].range


def test_nobody_comes_in_unproved_unless_the_source_says_so() -> None:
    """`noauth` does; to have no module loaded that we could do the same with does not."""
    for text, auth in (("[modules]\nl2tp", "mschapv2"), ("[modules]\nauth_pap\n[auth]\nnoauth=1", "none")):
        assert PppAuthentication(auth) is ppp_settings(loaded("accel-ppp", text)).auth


def test_radius() -> None:
    """The servers in their order, how we are called, and who may end sessions; callers are looked up there if the module is loaded."""
    said = SAMPLE.radius
    assert ("lns1", "192.0.2.1", 60.0, "192.0.2.1:3799") == (
        said.nas_identifier, said.nas_address, said.interim_interval, said.dynauth_listen,
    )  # fmt: skip
    first, second = said.servers.values()
    assert ("198.51.100.9", "testing123", 0, 30.0, 3.0, 3) == (
        first.address, first.secret, first.acct_port, first.dead_time, first.timeout, first.retries,
    )  # fmt: skip
    assert ("198.51.100.8", 1812, 1813) == (second.address, second.auth_port, second.acct_port)
    assert {("198.51.100.9/32", "of-the-office"), ("198.51.100.64/26", "of-the-office")} == {
        (client.match, client.secret) for client in said.clients.values()
    }
    assert "radius" == ppp_settings(SAMPLE).authority.value


def test_who_may_end_sessions_where_nothing_says_so() -> None:
    """Whoever knows the secret, as there."""
    for listen, anyone in (("192.0.2.1", "0.0.0.0/0"), ("[2001:db8::1]", "::/0")):
        (client,) = loaded("accel-ppp", f"[radius]\ndae-server={listen}:3799,s").radius.clients.values()
        assert anyone == client.match


def test_radius_without_a_server() -> None:
    """Asks nobody: the user is told."""
    config = loaded("accel-ppp", "[modules]\nradius\nl2tp")
    assert "secrets" == ppp_settings(config).authority.value
    assert 1 == len(convert("accel-ppp", "[modules]\nradius\nl2tp").warnings)


def test_pools_that_follow_each_other() -> None:
    """Unless they go round, or there is none."""
    text = "[ip-pool]\n10.0.0.0/24,name=a,next=b\n10.1.0.0/24,name=b,next=a\n10.2.0.0/24,name=c,next=d"
    assert {""} == {pool.next for pool in loaded("accel-ppp", text).pools.values()}


def test_who_may_call() -> None:
    """Those of `client-ip-range`; without one everybody."""
    table = PeerTable(SAMPLE)
    assert [True, True, False, False] == [
        table.find("x", address) is not None for address in ("198.51.100.0", "203.0.113.9", "203.0.113.10", "192.0.2.1")
    ]
    assert {"default"} == set(loaded("accel-ppp", "[client-ip-range]\ndisable").peers)
    assert {"default"} == set(loaded("accel-ppp", "[l2tp]").peers)


@pytest.mark.parametrize(
    ("said", "comment"),
    [
        ("[l2tp]\nip-pool=x", "ip-pool = x: no counterpart: there is no such pool"),
        ("[ppp]\nmtu=1400\n[l2tp]\nppp-max-mtu=1420", "ppp-max-mtu = 1420: no counterpart: `mtu` is the most"),
        ("[modules]\nauth_pap\n[ppp]\nmppe=require", "mppe = require: no counterpart: encryption needs MS-CHAPv2"),
        ("[l2tp]\nmppe=deny", "mppe = deny: holds here anyway: PPP is encrypted only where `mppe` says so"),
        ("[auth]\nany-login=1", "any-login = 1: no counterpart: whoever gives a wrong password is not let in"),
        ("[auth]\nany-login=0", "any-login = 0: holds here anyway: whoever gives a wrong password is not let in"),
        ("[chap-secrets]\nchap-secrets=/x", "chap-secrets = /x: no counterpart: callers are in /etc/ppp/chap-secrets"),
        ("[chap-secrets]\ngw-ip-address=x", "gw-ip-address = x: no counterpart: a numeric IPv4 address"),
        ("[ip-pool]\ngw-ip-address=10.0.0.1\n[chap-secrets]\ngw-ip-address=10.0.0.2", "gw-ip-address = 10.0.0.1: no counterpart: there is one"),
        ("[ip-pool]\n2001:db8::/64", "2001:db8::/64: no counterpart: a range of numeric IPv4"),
        ("[radius]\nserver=here,secret", "server = here,secret: no counterpart: a numeric address and a secret are needed here"),
        ("[radius]\nmax-try=3", "max-try = 3: no counterpart: there is no server"),
        ("[radius]\ndae-server=192.0.2.1", "dae-server = 192.0.2.1: no counterpart: a numeric address with a port and a secret"),
        ("[radius]\nserver=192.0.2.1,s,weight=2", "weight=2: no counterpart: servers are asked in the order of their tables"),
        ("[pppoe]\ninterface=eth0", "[pppoe] interface = eth0: no counterpart: another protocol"),
        ("[new]\nx=1", "[new] x = 1: no counterpart: nobody here knows this section"),
        ("[l2tp]\ndataseq=deny", "dataseq = deny: holds here anyway: packets are numbered only if"),
        ("[client-ip-range]\ndisable\n10.0.0.0/8", "10.0.0.0/8: holds here anyway: [peer.default] is for all"),
        ("[client-ip-range]\n10.0.0.0/8\nfe80::/10", "fe80::/10: no counterpart: a range of numeric IPv4"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_a_comment(said: str, comment: str) -> None:
    """With its reason, and the result is what our daemon takes."""
    loaded("accel-ppp", said)
    assert any(line.startswith(f"# {comment}") for line in comments("accel-ppp", said)), comments("accel-ppp", said)


def test_what_the_user_has_to_see_to() -> None:
    """Another file of secrets, a pool without an address of ours, and no L2TP at all."""
    text = "[chap-secrets]\nchap-secrets=/x\n[ip-pool]\n10.0.0.0/24"
    assert 3 == len(convert("accel-ppp", text).warnings)


def test_numbered_packets_and_the_size_of_l2tp() -> None:
    """`dataseq=require` and `ppp-max-mtu`, where nothing else says the size."""
    config = loaded("accel-ppp", "[l2tp]\ndataseq=require\nppp-max-mtu=1420")
    assert (True, 1420) == (session_settings(config).sequencing_required, ppp_settings(config).mtu)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("l2tp", "1: a key stands in a section"),
        ("[l2tp]\n=1", "2: a key is written NAME=VALUE"),
        ("[l2tp", "1: a section is written [NAME]"),
        ("[l2tp]\nport=0", "2: port: there is no such port"),
        ("[l2tp]\nbind=here", "2: bind: a numeric address is needed here"),
        ("[l2tp]\nrtimeout=soon", "2: rtimeout: `soon` is not a number"),
        ("[ip-pool]\n10.0.0.9-2", "2: 10.0.0.9-2: `10.0.0.9-2` ends before it begins"),
    ],
)
def test_what_is_malformed_is_told_with_its_line(text: str, said: str) -> None:
    """As FILE:LINE: what is wrong."""
    assert f"their.conf:{said}" == complaint("accel-ppp", text)


@pytest.mark.parametrize(
    ("word", "ours"), [("require", Mppe.REQUIRE), ("prefer", Mppe.ALLOW), ("allow", Mppe.ALLOW), ("deny", Mppe.REFUSE)]
)
def test_encryption(word: str, ours: Mppe) -> None:
    """Who asks for it gets it; with MS-CHAPv2, which is asked for unless something else is loaded."""
    assert ours is ppp_settings(loaded("accel-ppp", f"[modules]\nl2tp\n[ppp]\nmppe={word}")).mppe


@pytest.mark.parametrize(
    ("ppp", "l2tp", "ours"),
    [("prefer", "require", Mppe.REQUIRE), ("require", "prefer", Mppe.ALLOW), ("require", "deny", Mppe.REFUSE)],
)
def test_what_is_said_of_encryption_for_l2tp_holds(ppp: str, l2tp: str, ours: Mppe) -> None:
    """Whatever is said of all PPP beside it."""
    text = f"[modules]\nl2tp\nauth_mschap_v2\n[l2tp]\nmppe={l2tp}\n[ppp]\nmppe={ppp}"
    assert ours is ppp_settings(loaded("accel-ppp", text)).mppe
