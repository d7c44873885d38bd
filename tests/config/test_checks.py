"""Mistakes between tables: missing names, doubles, contradictions after inheritance."""

import pytest

from l2tpd.config.checks import names_in
from l2tpd.config.load import parse
from l2tpd.config.model import Config, Pool
from l2tpd.errors import ConfigError

TUNNEL = '[tunnel.a]\npeer = "192.0.2.1"\n'


def static(name: str, *, peer: str = "192.0.2.1", tunnel_id: int, more: str = "", **sessions: int) -> str:
    """Write a static tunnel with sessions, given as NAME=ID."""
    calls = "".join(
        f'[tunnel.{name}.session.{call}]\npseudowire = "eth"\nsession_id = {number}\npeer_session_id = 1\n'
        for call, number in sessions.items()
    )
    head = f'version = "l2tpv3"\nmode = "static"\ntunnel_id = {tunnel_id}\npeer_tunnel_id = 1\n'
    return f'[tunnel.{name}]\npeer = "{peer}"\n{head}{more}\n{calls}'


IP = 'encap = "ip"'
POOLS = "".join(f'[pool.{name}]\nrange = "10.0.0.0/24"\nnext = "{{{name}}}"\n' for name in "abc")
HASH = "$scrypt$ln=14,r=8,p=1$AAAA$AAAA"
UNSIGNED = '`"none"` leaves the `secret` without use: in L2TPv3 nothing but the digest proves that a peer knows it (RFC 3931 4.3)'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[peer.default]\ntunnel_profile = "gold"', "peer.default.tunnel_profile: there is no `[profile.tunnel.gold]`"),
        ('[peer.default]\nsession_profile = "x"\n[profile.session.xy]', "peer.default.session_profile: there is no `[profile.session.x]`; did you mean `xy`?"),
        (f'{TUNNEL}profile = "x"', "tunnel.a.profile: there is no `[profile.tunnel.x]`"),
        (f'{TUNNEL}session_profile = "x"\n[tunnel.a.session.s]', "tunnel.a.session_profile: there is no `[profile.session.x]`"),
        (f'{TUNNEL}[tunnel.a.session.s]\nprofile = "x"', "tunnel.a.session.s.profile: there is no `[profile.session.x]`"),
        (f'{TUNNEL}[tunnel.a.session.s]\npseudowire_profile = "x"', "tunnel.a.session.s.pseudowire_profile: there is no `[profile.pseudowire.x]`"),
        ('[profile.session.a]\npseudowire_profile = "x"', "profile.session.a.pseudowire_profile: there is no `[profile.pseudowire.x]`"),
        ('[profile.pseudowire.a]\nppp_profile = ""', "profile.pseudowire.a.ppp_profile: must name a `[profile.ppp.NAME]`"),
        ('[profile.ppp.a]\npool = "x"', "profile.ppp.a.pool: there is no `[pool.x]`"),
        ('[profile.ppp.a]\npool = "x"\n[pool.x]\nrange = "1"', "pool.x.range: `1` is not an address or a prefix such as `203.0.113.0/24`"),
        ('[pool.a]\nrange = "10.0.0.0/24"\nnext = "b"', "pool.a.next: there is no `[pool.b]`"),
        ('[pool.a]\nrange = "10.0.0.0/24"\nnext = "a"', "pool.a.next: leads back to this pool: a -> a"),
        (POOLS.format(a="b", b="c", c="b"), "pool.b.next: leads back to this pool: b -> c -> b"),
        ('[pool.a]\nrange = ["10.0.0.0/24", "10.0.1.1"]\nexclude = ["x"]', "pool.a.exclude[0]: `x` is not an address or a prefix such as `203.0.113.0/24`"),
        ('[pool.a]\nrange = "10.0.0.0/24"\nquarantine = -1', "pool.a.quarantine: must be at least 0, not the float -1.0"),
        ("[user.a]\nenabled = false", "user.a: `password`, `password_file` or `pap_hash` is missing"),
        (f'[user.a]\npassword = "x"\npap_hash = "{HASH}"', "user.a.pap_hash: is said as well as `password`: which of them holds?"),
        ('[user.a]\npap_hash = "x"', "user.a.pap_hash: is not of the form `$scrypt$ln=14,r=8,p=1$SALT$HASH`"),
        ('[user.a]\npassword = "x"\npool = "p"', "user.a.pool: there is no `[pool.p]`"),
        ('[user.a]\npassword = "x"\ndelegated_pool = "p"', "user.a.delegated_pool: there is no `[pool.p]`"),
        (
            '[user.a]\npassword = "x"\nprefix = "2001:db8::/64"\n[user.b]\npassword = "x"\nprefix = "2001:db8::/64"',
            "user.b.prefix: `2001:db8::/64` belongs to `[user.a]` already",
        ),
        ('[user.a]\npassword = "x"\nprefix = "2001:db8::/56"', "user.a.prefix: `2001:db8::/56` has not the 64 bits that a link needs (RFC 4862 5.5.3)"),
        (
            '[user.a]\npassword = "x"\ndelegated_prefix = "10.0.0.0/8"',
            "user.a.delegated_prefix: `10.0.0.0/8` is not an IPv6 prefix of at most 64 bits",
        ),
        (
            '[profile.ppp.a]\nprefix_pool = "p"\n[pool.p]\nrange = "2001:db8::/40"\nprefix_length = 56',
            "profile.ppp.a.prefix_pool: `p` holds no prefixes of 64 bits, which a link needs (RFC 4862 5.5.3)",
        ),
        (
            '[profile.ppp.a]\npool = "p"\n[pool.p]\nrange = "2001:db8::/40"',
            "profile.ppp.a.pool: `p` holds IPv6 addresses, which IPCP cannot give (RFC 1332)",
        ),
        (
            '[profile.ppp.a]\ndelegated_pool = "p"\n[pool.p]\nrange = "10.0.0.0/8"',
            "profile.ppp.a.delegated_pool: `p` holds addresses, not prefixes: it says no `prefix_length`",
        ),
        ('[pool.a]\nrange = "2001:db8::/60"\nprefix_length = 56', "pool.a.prefix_length: no prefix of 56 bits lies within `2001:db8::/60`"),
        ('[pool.a]\nrange = "10.0.0.0/8"\nprefix_length = 56', "pool.a.prefix_length: is for IPv6: prefixes of IPv4 are not handed out"),
        ('[pool.a]\nrange = "2001:db8::/32"\nprefix_length = 8', "pool.a.prefix_length: must be from 16 to 64, not the integer 8"),
        (
            '[pool.a]\nrange = "2001:db8::/32"\nprefix_length = 56\nnext = "b"\n[pool.b]\nrange = "2001:db9::/32"\nprefix_length = 48',
            "pool.a.next: `b` has another `prefix_length`",
        ),
        (
            '[pool.a]\nrange = "2001:db8::/48"\nprefix_length = 64\n[pool.b]\nrange = "2001:db8:0:8000::/49"\nprefix_length = 56',
            "pool.b.range: has prefixes in common with `a`, which hands them out in another length",
        ),
        ('[profile.ppp.a]\nipv6_dns = ["fe80::1"]', "profile.ppp.a.ipv6_dns[0]: `fe80::1` is not an IPv6 address that can be reached from elsewhere"),
        ('[profile.ppp.a]\nipv6_search = ["a..b"]', "profile.ppp.a.ipv6_search[0]: `a..b` is neither an address nor a DNS name"),
        (f'[profile.ppp.a]\nipv6_search = ["{"a." * 100}", "{"b." * 99}", "{"c." * 60}"]', "profile.ppp.a.ipv6_search: has names of more than 512 octets together"),
        ('[profile.ppp.a]\nipv6_dns = ["::1", "::2", "::3", "::4"]', "profile.ppp.a.ipv6_dns: names more than three servers"),
        ("[profile.ppp.a]\nra_interval = 3", "profile.ppp.a.ra_interval: must be from 4 to 1800, not the float 3.0"),
        ('[user.a]\npassword = "x"\naddress = "2001:db8::1"', "user.a.address: `2001:db8::1` is not an IPv4 address"),
        ('[user.a]\npassword = "x"\nroutes = ["192.0.2.1/24"]', "user.a.routes[0]: `192.0.2.1/24` has bits set beyond its prefix length: is `192.0.2.0/24` meant, or the one address `192.0.2.1`?"),
        ('[user."a b"]\npassword = "x"\naddress = "192.0.2.1"\n[user.c]\npassword = "x"\naddress = "192.0.2.1"', 'user.c.address: `192.0.2.1` belongs to `[user."a b"]` already'),
        (f'[user.{"n" * 256}]\npassword = "x"', f"user.{'n' * 256}: the name of a user has 1 to 255 octets"),
        ('[profile.ppp.a]\nppp_engine = "pppd"\ndns_handover = "resolved"', "profile.ppp.a.dns_handover: has no use here: a pppd hands name servers over itself, by `usepeerdns`; leave out one of `dns_handover` and `ppp_engine`"),
        ("[profile.ppp.a]\nrequire_ipv6 = true", "profile.ppp.a.require_ipv6: needs `ipv6 = true`"),
        ('[profile.ppp.a]\nppp_engine = "pppd"\nauthority = "users"', "profile.ppp.a.authority: has no use here: a pppd looks its users up itself; leave out one of `authority` and `ppp_engine`"),
        ('[profile.ppp.a]\nppp_engine = "pppd"\nmppe = "allow"', "profile.ppp.a.mppe: has no use here: a pppd is told by `pppd_options`"),
        ('[profile.ppp.a]\nauth = "chap"\nmppe = "require"', 'profile.ppp.a.mppe: `"require"` needs `auth = "mschapv2"`: no other proof leaves keys'),
        ('[profile.ppp.a]\nlocal_address = "192.0.2.1"\nmppe = "require"', 'profile.ppp.a.mppe: `"require"` needs `auth = "mschapv2"`: no other proof leaves keys'),
        ('[peer.a]\nhost_name = "x"\n[peer.b]\nhost_name = "x"', "peer.b.host_name: `x` belongs to `[peer.a]` already"),
        ('[peer.a]\nmatch = ["192.0.2.1"]\n[peer.b]\nmatch = ["192.0.2.0/24", "192.0.2.1/32"]', "peer.b.match[1]: `192.0.2.1/32` belongs to `[peer.a]` already"),
        ('[peer.default]\nmatch = ["192.0.2.1"]', "peer.default.match: `[peer.default]` is for callers that no other entry matches, so it takes no `match` and no `host_name`: name this entry"),
        ('[[listen]]\naddress = "[::]:1701"\n[[listen]]\naddress = "[0::0]"', "listen[1].address: `[::]:1701` is `listen[0]` already"),
        (f"{TUNNEL}hide_avps = true", "tunnel.a.hide_avps: hiding AVPs needs a `secret` (RFC 2661 4.3)"),
        (f"[profile.tunnel.default]\nhide_avps = true\n{TUNNEL}", "tunnel.a.hide_avps: hiding AVPs needs a `secret` (RFC 2661 4.3)"),
        ("[profile.tunnel.default]\nhide_avps = true\n[peer.default]", "peer.default.hide_avps: hiding AVPs needs a `secret` (RFC 2661 4.3)"),
        (f'[profile.tunnel.default]\nsecret = "s"\nhide_avps = true\n{TUNNEL}secret = ""', "tunnel.a.hide_avps: hiding AVPs needs a `secret` (RFC 2661 4.3)"),
        (f"{TUNNEL}retry_timeout = 9", "tunnel.a.retry_cap: is shorter than `retry_timeout`, which it is to limit"),
        (f"{TUNNEL}redial_delay = 90", "tunnel.a.redial_delay: is longer than `redial_delay_max`"),
        (f"{TUNNEL}[tunnel.a.session.s]\nmaximum_bps = 1\nminimum_bps = 2", "tunnel.a.session.s.minimum_bps: is greater than `maximum_bps`"),
        (f'{TUNNEL}local = "::1"', "tunnel.a.local: is not of the same IP version as `peer`"),
        ('[tunnel.a]\npeer = "[::1]"\nlocal = "192.0.2.1"', "tunnel.a.local: is not of the same IP version as `peer`"),
        (f'{TUNNEL}[tunnel.a.session.s]\ninterface_name = "ppp7"\n[tunnel.a.session.t]\ninterface_name = "ppp7"', "tunnel.a.session.t.interface_name: `ppp7` belongs to `[tunnel.a.session.s]` already"),
        (static("a", tunnel_id=1) + static("b", peer="192.0.2.2", tunnel_id=1, more=IP), "tunnel.b.tunnel_id: `1` belongs to `[tunnel.a]` already"),
        (static("a", tunnel_id=1) + static("b", peer="192.0.2.1:1701", tunnel_id=2, more="local_port = 1701"), "tunnel.b.peer: `192.0.2.1:1701 from port 1701` belongs to `[tunnel.a]` already"),
        (static("a", tunnel_id=1, s=7, t=7), "tunnel.a.session.t.session_id: `7` belongs to `[tunnel.a.session.s]` already"),
        (static("a", tunnel_id=1, more=IP, s=7) + static("b", tunnel_id=2, more=IP, s=7), "tunnel.b.session.s.session_id: `7` belongs to `[tunnel.a.session.s]` already"),
        (static("a", tunnel_id=1, more=IP, s=7) + static("b", tunnel_id=2, s=7), "tunnel.b.session.s.session_id: `7` belongs to `[tunnel.a.session.s]` already"),
        (static("a", tunnel_id=1, s=7) + static("b", tunnel_id=2, more=IP, s=7), "tunnel.b.session.s.session_id: `7` belongs to `[tunnel.a.session.s]` already"),
        ('[[listen]]\naddress = "192.0.2.1:115"\nencap = "ip"', 'listen[0].address: L2TP over IP has no ports: leave the port out or say `encap = "udp"`'),
        ('[[listen]]\naddress = "[::]"\nencap = "ip"\n[[listen]]\naddress = "[::]"\n[[listen]]\naddress = "[0::0]"\nencap = "ip"', "listen[2].address: `[::]` is `listen[0]` already"),
        ('[profile.session.a]\nremote_end_id = "lan"\n[profile.session.b]\nremote_end_id = "0x6c616e"', "profile.session.b.remote_end_id: `lan` belongs to `[profile.session.a]` already"),
        ('[profile.session.a]\nremote_end_id = "0x00ff"\n[profile.session.default]\nremote_end_id = "0x00FF"', "profile.session.default.remote_end_id: `0x00ff` belongs to `[profile.session.a]` already"),
        (f'{TUNNEL}version = "l2tpv3"\nsecret = "s"\ndigest = "none"', f"tunnel.a.digest: {UNSIGNED}"),
        (f'[profile.tunnel.default]\ndigest = "none"\n{TUNNEL}version = "auto"\nsecret = "s"', f"tunnel.a.digest: {UNSIGNED}"),
        ('[profile.tunnel.default]\ndigest = "none"\n[peer.default]\nsecret = "s"', f"peer.default.digest: {UNSIGNED}"),
        ('[profile.tunnel.default]\ndigest = "none"\nsecret = "s"\n[peer.default]\nversions = ["l2tpv3"]', f"peer.default.digest: {UNSIGNED}"),
    ],
)  # fmt: skip
def test_told_once(text: str, expected: str) -> None:
    """Each mistake between tables is one problem at the key that makes it."""
    with pytest.raises(ConfigError) as caught:
        parse([("f", text)])
    assert [f"f: {expected}"] == [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "text",
    [
        '[profile.tunnel.default]\nhide_avps = true\n[peer.default]\nsecret = "s"',
        "[profile.tunnel.default]\nhide_avps = true\n[peer.default]\naccept = false",
        f'[profile.tunnel.x]\nsecret = "s"\n{TUNNEL}profile = "x"\nhide_avps = true',
        '[tunnel.a]\npeer = "lns.example"\nlocal = "::1"\n[tunnel.b]\npeer = "lns.example"\nlocal = "192.0.2.1"',
        '[peer.a]\nmatch = ["192.0.2.0/24"]\n[peer.b]\nmatch = ["192.0.2.0/25"]',
        f'{TUNNEL}[tunnel.a.session.s]\ninterface_name = "ppp%d"\n[tunnel.a.session.t]\ninterface_name = "ppp%d"',
        static("a", tunnel_id=1, s=7) + static("b", peer="192.0.2.2", tunnel_id=2, s=7),
        static("a", tunnel_id=1, s=7) + static("b", tunnel_id=2, more="local_port = 1702", s=8),
        static("a", tunnel_id=1, more=IP, s=7) + static("b", tunnel_id=2, more=IP, s=8),
        '[profile.session.lan]\npseudowire = "eth"\n[peer.x]\nhost_name = "x"\nsession_profile = "lan"',
        '[[listen]]\naddress = "192.0.2.1"\nencap = "ip"\n[[listen]]\naddress = "192.0.2.1"\nencap = "udp"',
        '[profile.session.a]\nremote_end_id = ""\n[profile.session.b]\nremote_end_id = ""',
        '[profile.session.a]\nremote_end_id = "lan"\n[profile.session.b]\nremote_end_id = "Lan"',
        f'[profile.tunnel.default]\ndigest = "none"\n{TUNNEL}version = "auto"\n[peer.default]',
        f'[profile.tunnel.default]\ndigest = "none"\nsecret = "s"\n{TUNNEL}version = "l2tpv3"\nsecret = ""',
        '[profile.tunnel.default]\ndigest = "none"\n[peer.default]\nsecret = "s"\nversions = ["l2tpv2"]',
        '[profile.tunnel.default]\ndigest = "none"\n[peer.default]\nsecret = "s"\naccept = false',
        '[profile.ppp.a]\nuser = "alice"\nmppe = "require"',
        '[profile.ppp.a]\nauth = "pap"\nmppe = "allow"',
        '[profile.ppp.a]\npool = ""\n[profile.pseudowire.a]\nppp_profile = "a"',
        POOLS.format(a="b", b="c", c=""),
        f'[user."DOMAIN\\\\ali ce"]\npap_hash = "{HASH}"\n[user."ü"]\npassword = "x"',
    ],
)
def test_not_a_mistake(text: str) -> None:
    """What only looks like a contradiction loads."""
    assert Config() != parse([("f", text)])


def test_the_default_profiles_always_exist() -> None:
    """A profile called `default` can be referred to although no file mentions it; a pool cannot."""
    names = names_in(Config(pools={"p": Pool(range="10.0.0.0/8")}))
    assert {"default"} == names["profile.tunnel"]
    assert {"p"} == names["pool"]
