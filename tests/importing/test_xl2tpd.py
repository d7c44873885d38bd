"""xl2tpd.conf: what its sections, its secrets and its pppd options are in our configuration."""

from __future__ import annotations

import pytest

from importing.converting import comments, complaint, convert, loaded, sample
from l2tpd.config.model import Address, Mppe, PppAuthentication, Role
from l2tpd.config.resolve import PeerTable, ppp_settings, session_settings, tunnel_settings

SAMPLE = loaded("xl2tpd", sample("xl2tpd"))


def test_it_listens_where_xl2tpd_does() -> None:
    """At every address and port 1701, unless the file says another."""
    assert Address("192.0.2.1", 1701) == SAMPLE.listen[0].address
    assert Address("0.0.0.0", 1701) == loaded("xl2tpd", "[lns default]", {}).listen[0].address  # noqa: S104 - where xl2tpd listens
    assert Address("0.0.0.0", 1800) == loaded("xl2tpd", "[global]\nport=1800\n[lns a]", {}).listen[0].address  # noqa: S104 - where xl2tpd listens


def test_nobody_can_call_a_client() -> None:
    """Without a section for callers there is no listener."""
    text = "[global]\nport = 1701\n[lac a]\nlns = 192.0.2.9"
    assert () == loaded("xl2tpd", text, {}).listen
    assert "# port = 1701: no counterpart: there is no [lns] section, so nobody may call" in comments(
        "xl2tpd", text, {}
    )


def test_who_may_call_as_what() -> None:
    """The section whose `lac` ranges have the caller, then the default one; `no lac` makes a hole; a host name with a secret of its own has it."""
    table = PeerTable(SAMPLE)
    found = {
        address: table.find("somebody", address)
        for address in ("198.51.100.0", "198.51.100.255", "198.51.100.7", "203.0.113.9")
    }
    assert {
        "198.51.100.0": "wholesale",
        "198.51.100.255": "wholesale",
        "198.51.100.7": "default",
        "203.0.113.9": "default",
    } == {address: entry[0] for address, entry in found.items() if entry is not None}
    assert (Role.LNS,) == SAMPLE.peers["default"].roles
    assert "of-lac-seven" == SAMPLE.peers["lac7.example"].secret
    assert "wholesale secret" == tunnel_settings(SAMPLE, SAMPLE.peers["default"].tunnel_profile).secret


def test_access_control_closes_the_door() -> None:
    """Only those in a `lac` range come in, and no host name opens what an address does not."""
    text = "[global]\naccess control = yes\n[lns default]\nlac = 192.0.2.7\n[lns b]\nlac = 192.0.2.7 - 192.0.2.8"
    config = loaded("xl2tpd", text, {"/etc/xl2tpd/l2tp-secrets": "* lac9 s\n* * t"})
    assert {"lns": ("192.0.2.7/32",), "b": ("192.0.2.8/32",)} == {
        name: peer.match for name, peer in config.peers.items()
    }


def test_authentication_that_nobody_has_decided_is_worth_a_look() -> None:
    """pppd's own default depends on its other files and on routes; what is said, by either file, needs no look."""
    told = "pppd's own default"
    for section, options, warned in (
        ("", "", 1),
        ("", "noauth", 0),
        ("require pap = yes", "", 0),
        ("", "require-chap", 0),
    ):
        files = {"/etc/ppp/o": options}
        found = convert("xl2tpd", f"[lns default]\npppoptfile = /etc/ppp/o\n{section}", files).warnings
        assert warned == sum(told in warning for warning in found), (section, options)


def test_a_host_that_is_called_as_a_section() -> None:
    """Has an entry of its own; and an entry that nobody could belong to is not made."""
    text = "[lns a]\nlac = 192.0.2.7\n[lns default]"
    peers = loaded("xl2tpd", text, {"/etc/xl2tpd/l2tp-secrets": "* a s"}).peers
    assert {"default": "", "a": "", "a-2": "s"} == {name: peer.secret for name, peer in peers.items()}
    assert ("a", ()) == (peers["a-2"].host_name, peers["a-2"].match)


def test_a_caller_gets_what_its_section_says() -> None:
    """An address of the pool without its holes, ours, the name servers, and the proof that pppd would ask for."""
    ppp = ppp_settings(SAMPLE, "lns")
    assert ("10.64.0.1", "lns", ("198.51.100.53", "198.51.100.54")) == (ppp.local_address, ppp.pool, ppp.dns)
    assert "10.64.0.10-10.64.0.99, 10.64.0.110-10.64.0.250" == SAMPLE.pools["lns"].range
    assert (PppAuthentication.MSCHAPV2, 1410, 1410, True) == (ppp.auth, ppp.mtu, ppp.mru, ppp.proxy_arp)
    assert (Mppe.REQUIRE, (128,)) == (ppp.mppe, ppp.mppe_bits)
    assert "10.65.0.1" == ppp_settings(SAMPLE, "wholesale").local_address


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ("require-mppe", (128, 40)),
        ("require-mppe nomppe-40", (128,)),
        ("nomppe-128 require-mppe", (40,)),
        ("require-mppe-40 nomppe-40", (40,)),  # which no pppd would come up with
    ],
)
def test_strengths_of_encryption(options: str, bits: tuple[int, ...]) -> None:
    """Those that are required and not refused."""
    ppp = ppp_settings(loaded("xl2tpd", "[lns default]\npppoptfile = /o", {"/o": options}), "lns")
    assert (Mppe.REQUIRE, bits) == (ppp.mppe, ppp.mppe_bits)


def test_a_strength_is_refused_where_nothing_is_encrypted() -> None:
    """So it is here."""
    assert (
        Mppe.REFUSE is ppp_settings(loaded("xl2tpd", "[lns default]\npppoptfile = /o", {"/o": "nomppe-40"}), "lns").mppe
    )


@pytest.mark.parametrize(
    ("said", "options", "auth"),
    [
        ("", "", "chap"),
        ("", "noauth", "none"),
        ("require authentication = yes", "", "chap"),
        ("require auth = yes\nrefuse chap = yes", "refuse-mschap-v2", "chap"),
        ("require pap = yes", "", "pap"),
        ("refuse pap = yes", "auth", "chap"),
        ("", "require-mschap-v2", "mschapv2"),
        ("refuse authentication = yes", "", "chap"),
        ("require chap = no", "require-pap", "pap"),
        ("require auth = yes", "refuse-chap refuse-pap refuse-mschap-v2", "chap"),
        ("require chap = yes", "require-mppe", "mschapv2"),
    ],
)
def test_the_proof_is_that_of_pppd(said: str, options: str, auth: str) -> None:
    """What is required, by the section or by the options, is asked for; else a CHAP, unless `noauth` is said: what is refused is about ourselves."""
    text = f"[lns default]\npppoptfile = /o\n{said}"
    assert auth == ppp_settings(loaded("xl2tpd", text, {"/o": options}), "lns").auth.value


def test_a_client_is_a_tunnel_with_a_session() -> None:
    """With the first LNS, the user of the pppd options, and the redialling of the section."""
    tunnel = SAMPLE.tunnels["upstream"]
    assert ("lns.bigger.example", 1702, True, 30.0) == (*tunnel.peer, tunnel.persist, tunnel.redial_delay)
    session = session_settings(SAMPLE, "default", tunnel.sessions["upstream"].said)
    assert ("customer17@bigger.example", "it is a secret", "ppp-up") == (
        session.user, session.password, session.interface_name,
    )  # fmt: skip
    assert (20_000_000, 100_000_000) == (session.tx_connect_speed, session.rx_connect_speed)
    assert ppp_settings(SAMPLE, "to-upstream").default_route


def test_a_client_redials_only_if_told_to() -> None:
    """xl2tpd's default, which is not ours, is written down."""
    tunnel = SAMPLE.tunnels["spare"]
    assert (False, False) == (tunnel.persist, tunnel.sessions["spare"].said["persist"])
    assert any("dials this on demand" in warning for warning in convert("xl2tpd", sample("xl2tpd")).warnings)


@pytest.mark.parametrize(
    ("secrets", "secret"),
    [
        ("* * all", "all"),
        ("* lns.example own\n* * all", "own"),
        ("me lns7 only", "only"),
        ("other * no", ""),
        ("* a one\n* b two", ""),
    ],
)
def test_the_secret_of_a_client(secrets: str, secret: str) -> None:
    """The one of the LNS by name, else the one for all, else the only one; none where it cannot be told. It is not challenged with."""
    text = "[lac a]\nlns = lns.example\nhostname = me"
    config = loaded("xl2tpd", text, {"/etc/xl2tpd/l2tp-secrets": secrets})
    settings = tunnel_settings(config, "default", config.tunnels["a"].said)
    assert (secret, "none" if secret else "challenge") == (settings.secret, settings.authentication.value)


def test_what_a_file_of_its_own_says_is_told_where_it_is_missing() -> None:
    """The configuration is made all the same, and the user is told."""
    found = convert(
        "xl2tpd", "[global]\nauth file = /s\n[lns default]\npppoptfile = /o\nip range = 10.0.0.2-10.0.0.9", {}
    )
    assert {"/s", "/o"} <= {word for warning in found.warnings for word in warning.split()}
    assert any("local_address" in warning for warning in found.warnings)


def test_a_hole_may_be_a_whole_range() -> None:
    """Nothing of it is left, so there is no pool, and callers choose."""
    config = loaded("xl2tpd", "[lns default]\nip range = 10.0.0.2-10.0.0.9\nno ip range = 10.0.0.1-10.0.0.20", {})
    assert {} == config.pools


def test_without_assignment_there_is_no_pool() -> None:
    """The range is a comment then."""
    text = "[lns default]\nassign ip = no\nip range = 10.0.0.2-10.0.0.9"
    assert {} == loaded("xl2tpd", text, {}).pools
    assert any(line.startswith("# ip range = ") for line in comments("xl2tpd", text, {}))


def test_a_section_that_nobody_gets() -> None:
    """Without a `lac` range only the default one is for somebody; the profiles are there all the same."""
    config = loaded("xl2tpd", "[lns a]\ntunnel rws = 9\nlac = some.where", {})
    assert ({}, 9) == (dict(config.peers), tunnel_settings(config, "a").receive_window)


def test_what_concerns_the_daemon() -> None:
    """User space and traces."""
    config = loaded("xl2tpd", "[global]\nforce userspace = yes\ndebug avp = yes\ndebug packet = yes", {})
    assert ("user", {"avp_info", "avp_data", "protocol"}) == (config.system.data_plane.value, set(config.system.trace))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[lac a", "1: a section is written [NAME]"),
        ("[nas a]", "1: there is no section [nas]: it has [global], [lns NAME] and [lac NAME]"),
        ("port = 1", "1: a key stands in a section"),
        ("[global]\n\nport", "3: a key is written NAME = VALUE"),
        ("[global]\nport = many\n[lns default]", "2: port: `many` is not a number"),
        ("[global]\nport = 70000\n[lns default]", "2: port: there is no such port"),
        ("[global]\nlisten-addr = here\n[lns default]", "2: listen-addr: a numeric IPv4 address is needed here"),
        ("[lns default]\nchallenge = perhaps", "2: challenge: `perhaps` is neither yes nor no"),
        ("[lns default]\nip range = 10.0.0.9-10.0.0.2", "2: ip range: `10.0.0.9-10.0.0.2` ends before it begins"),
        ("[lac a]\nlns = 10.0.0.256", "2: lns: `10.0.0.256` is neither an address nor a DNS name"),
        ("[lac a]\nlns = 0.0.0.0", "2: lns: `0.0.0.0` is no address of a single peer"),
        ("[lac a]\nlns = h:0", "2: lns: `0` is no port"),
    ],
)
def test_what_is_malformed_is_told_with_its_line(text: str, said: str) -> None:
    """As FILE:LINE: what is wrong."""
    assert f"their.conf:{said}" == complaint("xl2tpd", text, {})


def test_a_client_whose_password_is_elsewhere() -> None:
    """The user is told to say it; `bps` is for both directions; what is said on dialling and redialling is not lost."""
    text = "[lac a]\nlns = 192.0.2.1\nname = alice\nbps = 1000\nautodial = no\nredial timeout = 9"
    said = loaded("xl2tpd", text, {}).tunnels["a"].sessions["a"].said
    assert (1000, 1000) == (said["tx_connect_speed"], said["rx_connect_speed"])
    assert 2 == len(convert("xl2tpd", text, {}).warnings)
    assert 2 == len(comments("xl2tpd", text, {}))


def test_secrets_of_callers_that_share_a_name() -> None:
    """Of two secrets for one host name the first holds."""
    secrets = {"/etc/xl2tpd/l2tp-secrets": "* lac1 one\n* lac1 two"}
    assert "one" == loaded("xl2tpd", "[lns default]", secrets).peers["lac1"].secret
    assert any("this host name has its secret already" in line for line in comments("xl2tpd", "[lns default]", secrets))


def test_what_is_malformed_in_a_file_of_its_own() -> None:
    """Is told with that file's name."""
    assert "/s:2: a line has three fields: who, with whom, the secret" == complaint(
        "xl2tpd", "[global]\nauth file = /s", {"/s": "# ok\na b"}
    )
    text = "[lns default]\npppoptfile = /o"
    assert "/o:1: no closing quotation in this line" == complaint("xl2tpd", text, {"/o": 'user "alice'})
    assert "/o:2: mtu: a value is missing" == complaint("xl2tpd", text, {"/o": "noccp\nmtu"})


def test_a_client_without_a_server_is_none() -> None:
    """Its keys are comments; so are those of `[lac default]`, which xl2tpd hands down to nobody."""
    text = "[lac default]\nredial = yes\n[lac a]\nautodial = yes\n[lac A]\nredial = no"
    assert {} == loaded("xl2tpd", text, {}).tunnels
    assert 3 == len(comments("xl2tpd", text, {}))


def test_a_host_that_is_called_default() -> None:
    """Its secret is for that name; `[peer.default]` would be for everybody."""
    peers = loaded("xl2tpd", "[global]\nauth file = /s\n[lns default]\n", {"/s": "* default sesame\n"}).peers
    assert {"default"} == {peer.host_name for peer in peers.values() if peer.secret}
    assert "default" not in {name for name, peer in peers.items() if peer.host_name}
