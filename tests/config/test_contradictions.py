"""Keys of one tunnel or session that cannot hold together, keys that are missing, and keys that have no use."""

import attrs
import pytest

from l2tpd.config.contradictions import SESSION, TUNNEL
from l2tpd.config.load import parse
from l2tpd.config.model import SessionSettings, TunnelInstance, TunnelSettings
from l2tpd.errors import ConfigError

V2 = '[tunnel.a]\npeer = "192.0.2.1"\n'
V3 = f'{V2}version = "l2tpv3"\n'
STATIC = f'{V3}mode = "static"\ntunnel_id = 1\npeer_tunnel_id = 2\n'
AUTO = f'{V2}version = "auto"\n'
QUIESCENT = STATIC.replace('"static"', '"quiescent"')
OVER_IP = f'{STATIC}encap = "ip"\n'
IDS = "session_id = 3\npeer_session_id = 4\n"
CALL = "[tunnel.a.session.s]\n"
ETH = f'{STATIC}{CALL}{IDS}pseudowire = "eth"\n'
VLAN = f'{STATIC}{CALL}{IDS}pseudowire = "eth-vlan"\n'

NO_MESSAGES = "has no use here: no control messages set this tunnel up"
SILENT = 'has no use here: a static tunnel sends no control messages; `mode = "quiescent"` keeps alive by HELLO'
CHOSEN = 'is for `mode = "static"` and `"quiescent"` alone: in a dynamic tunnel the control protocol chooses it'
OF_PPP = "has no use here: PPP sees to its interface itself"
NO_CALL = "has no use here: no control messages set this session up"


def problems(text: str) -> list[str]:
    """List what is wrong with a text, as `key.path: what`."""
    with pytest.raises(ConfigError) as caught:
        parse([("f", text)])
    return [str(problem).removeprefix("f: ") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'{V2}encap = "ip"', ['tunnel.a.encap: L2TPv2 runs over UDP alone: `"ip"` needs `version = "l2tpv3"` (RFC 3931 4.1.1)']),
        (STATIC.replace("l2tpv3", "l2tpv2"), ['tunnel.a.mode: L2TPv2 tunnels are set up by control messages: any mode but `"dynamic"` needs `version = "l2tpv3"`']),
        (f'{AUTO}encap = "ip"', [
            'tunnel.a.encap: from `"ip"` there is no way back to L2TPv2, which `version = "auto"` promises: say `"udp"`, or `version = "l2tpv3"` (RFC 3931 4.7.1)',
        ]),
        (QUIESCENT.replace("l2tpv3", "auto"), ['tunnel.a.mode: `version = "auto"` is settled by control messages: any mode but `"dynamic"` needs `version = "l2tpv3"`']),
        (f'{V2}digest = "hmac-sha1"', ["tunnel.a.digest: has no use here: only L2TPv3 signs its messages (RFC 3931 5.4.1)"]),
        (f'{QUIESCENT}digest = "none"', [f"tunnel.a.digest: {NO_MESSAGES}"]),
        (f'{V3}authentication = "none"', ["tunnel.a.authentication: has no use here: only L2TPv2 challenges; with a secret, L2TPv3 signs its messages (RFC 3931 4.3)"]),
        (f'{V3}bearer_caps = ["analog"]\nframing_caps = ["sync"]\nfirmware_revision = 2', [
            f"tunnel.a.{key}: has no use here: only L2TPv2 announces it (RFC 2661 4.4.3)" for key in ("framing_caps", "bearer_caps", "firmware_revision")
        ]),
        (f'{V3}encap = "ip"\nlocal_port = 1701', ['tunnel.a.local_port: L2TP over IP has no ports: leave it out or say `encap = "udp"`']),
        (OVER_IP.replace("192.0.2.1", "192.0.2.1:1701"), ['tunnel.a.peer: L2TP over IP has no ports: leave the port out or say `encap = "udp"`']),
        (f"{OVER_IP}local_port = 1701", ['tunnel.a.local_port: L2TP over IP has no ports: leave it out or say `encap = "udp"`']),
        (f"{OVER_IP}udp_checksum = true", ["tunnel.a.udp_checksum: has no use here: this tunnel does not run over UDP"]),
        (f'{V3}mode = "static"', [
            "tunnel.a: `tunnel_id` is missing: a tunnel that no control messages set up needs both",
            "tunnel.a: `peer_tunnel_id` is missing: a tunnel that no control messages set up needs both",
        ]),
        (QUIESCENT.replace("tunnel_id = 1\n", ""), ["tunnel.a: `tunnel_id` is missing: a tunnel that no control messages set up needs both"]),
        (f"{V2}tunnel_id = 1\npeer_tunnel_id = 2", [f"tunnel.a.tunnel_id: {CHOSEN}", f"tunnel.a.peer_tunnel_id: {CHOSEN}"]),
        (f"[profile.tunnel.default]\nhello_timeout = 0\n{QUIESCENT}", [
            'tunnel.a.hello_timeout: without HELLO, `mode = "quiescent"` cannot tell whether the peer is there: say more than 0, or `mode = "static"`',
        ]),
        (f'{STATIC}secret = "s"\nhide_avps = true', [f"tunnel.a.secret: {NO_MESSAGES}", f"tunnel.a.hide_avps: {NO_MESSAGES}"]),
        (f"{QUIESCENT}tie_breaker = true", [f"tunnel.a.tie_breaker: {NO_MESSAGES}"]),
        (f"{STATIC}hello_timeout = 5", [f"tunnel.a.hello_timeout: {SILENT}"]),
        (f'{STATIC}{CALL}pseudowire = "eth"\n', [
            "tunnel.a.session.s: `session_id` is missing: a session that no control messages set up needs both",
            "tunnel.a.session.s: `peer_session_id` is missing: a session that no control messages set up needs both",
        ]),
        (VLAN, ['tunnel.a.session.s: `vlan_id` is missing: `pseudowire = "eth-vlan"` needs it']),
        (f"{ETH}vlan_id = 5", ['tunnel.a.session.s.vlan_id: is for `pseudowire = "eth-vlan"` alone']),
        (f'{V2}{CALL}pseudowire = "eth"\n', ['tunnel.a.session.s.pseudowire: L2TPv2 carries `"ppp"` alone: any other needs `version = "l2tpv3"` in the tunnel']),
        (f'[profile.session.default]\npseudowire = "eth"\n{V2}{CALL}', [
            'tunnel.a.session.s.pseudowire: L2TPv2 carries `"ppp"` alone: any other needs `version = "l2tpv3"` in the tunnel',
        ]),
        (f'{V2}{CALL}{IDS}cookie = "00112233"', [f"tunnel.a.session.s.{key}: {CHOSEN}" for key in ("session_id", "peer_session_id", "cookie")]),
        (f'{AUTO}{CALL}pseudowire = "eth"\n', [
            'tunnel.a.session.s.pseudowire: `version = "auto"` may end in L2TPv2, which carries `"ppp"` alone: any other needs `"l2tpv3"` in the tunnel (RFC 3931 4.7.3)',
        ]),
        (f'[profile.session.lan]\npseudowire = "eth-vlan"\nvlan_id = 5\n{AUTO}session_profile = "lan"\n{CALL}', [
            'tunnel.a.session.s.pseudowire: `version = "auto"` may end in L2TPv2, which carries `"ppp"` alone: any other needs `"l2tpv3"` in the tunnel (RFC 3931 4.7.3)',
        ]),
        (f'{AUTO}{CALL}sublayer = "none"\nsequencing_required = true\n', [
            'tunnel.a.session.s.sublayer: `"none"` leaves no room for the sequence numbers that `sequencing_required` asks for (RFC 3931 4.6)',
        ]),
        (f"{V2}{CALL}cookie_size = 4", ["tunnel.a.session.s.cookie_size: has no use here: only L2TPv3 has cookies (RFC 3931 4.1)"]),
        (f'{V2}{CALL}remote_end_id = "x"', ["tunnel.a.session.s.remote_end_id: has no use here: only L2TPv3 says it (RFC 3931 5.4.4)"]),
        (f'{ETH}remote_end_id = "x"\ncookie_size = 0', [f"tunnel.a.session.s.{key}: {NO_CALL}" for key in ("cookie_size", "remote_end_id")]),
        (f'{V3}{CALL}calling_number = "5"\nminimum_bps = 1', [
            f"tunnel.a.session.s.{key}: has no use here: only L2TPv2 says it (RFC 2661 4.4.4)" for key in ("calling_number", "minimum_bps")
        ]),
        (f'{V3}{CALL}{IDS}pseudowire = "eth"', [f"tunnel.a.session.s.{key}: {CHOSEN}" for key in ("session_id", "peer_session_id")]),
        (f'{V2}{CALL}sublayer = "none"', ["tunnel.a.session.s.sublayer: has no use here: only L2TPv3 has a sublayer (RFC 3931 4.6)"]),
        (f'{V2}{CALL}address = "192.0.2.9"\nbridge = "br0"\n', [f"tunnel.a.session.s.address: {OF_PPP}", f"tunnel.a.session.s.bridge: {OF_PPP}"]),
        (f'{ETH}address = "192.0.2.9/24"\nbridge = "br0"\n', ["tunnel.a.session.s.address: an interface in a `bridge` has no address of its own: say one of the two"]),
        (f'[profile.pseudowire.default]\nbridge = "br0"\n{ETH}address = "192.0.2.9/24"\n', [
            "tunnel.a.session.s.address: an interface in a `bridge` has no address of its own: say one of the two",
        ]),
        (f'{ETH}peer_address = "192.0.2.9"\n', ["tunnel.a.session.s.peer_address: needs an `address` of this end"]),
        (f'{ETH}address = "192.0.2.9"\npeer_address = "::1"\n', ["tunnel.a.session.s.peer_address: is not of the same IP version as `address`"]),
        (f'{ETH}sublayer = "none"\nsequencing_required = true\n', [
            'tunnel.a.session.s.sublayer: `"none"` leaves no room for the sequence numbers that `sequencing_required` asks for (RFC 3931 4.6)',
        ]),
        (f'{VLAN}vlan_id = 100\ninterface_name = "abcdefghijkl"\n', [
            "tunnel.a.session.s.interface_name: is too long: with `.` and `vlan_id` it makes the VLAN's name, which has at most 15 octets",
        ]),
        (f'{ETH}user = "me"\n', ['tunnel.a.session.s.user: has no use here: only `pseudowire = "ppp"` knows users']),
        (f'{ETH}called_number = "5"\n', [f"tunnel.a.session.s.called_number: {NO_CALL}"]),
    ],
)  # fmt: skip
def test_told(text: str, expected: list[str]) -> None:
    """Each contradiction is told at the key that makes it, each key that is missing at its table."""
    assert expected == problems(text)


@pytest.mark.parametrize(
    "text",
    [
        f'[profile.tunnel.default]\nsecret = "s"\nhide_avps = true\n{STATIC}',
        f"[profile.tunnel.default]\nhide_avps = true\n{QUIESCENT}hello_timeout = 5\nmax_retries = 2\n",
        f'[profile.session.default]\nvlan_id = 7\nsublayer = "none"\nsequencing_required = true\ncookie = "00112233"\n{V2}{CALL}',
        f'[profile.session.default]\naddress = "192.0.2.9"\n[profile.pseudowire.default]\nbridge = "br0"\n{V2}{CALL}',
        f'[profile.session.default]\nuser = "me"\ncalled_number = "5"\n{ETH}',
        f'[profile.pseudowire.default]\nbridge = "br0"\n{ETH}bridge = ""\naddress = "2001:db8::1/64"\npeer_address = "2001:db8::2"',
        f'{VLAN}vlan_id = 100\ninterface_name = "abcdefghijk"\npersist = true\nuser_data = "x"\ntrace = ["data"]\n',
        f'{VLAN}vlan_id = 4094\ninterface_name = "abcdefgh%d"\ncookie = "0011223344556677"\npeer_cookie = "00112233"\n',
        f'{ETH}sequencing_required = true\nreorder_timeout = 0.5\nmtu = 1400\nbridge = "br0"',
        f'{OVER_IP}local = "192.0.2.2"\n{CALL}{IDS}pseudowire = "ppp"\nrole = "lns"\nuser = "me"\n',
        f"{STATIC}local_port = 1702\nudp_checksum = false\n",
        f"{V2}{CALL}mtu = 1300\n",
        f'{V3}encap = "ip"\nsecret = "s"\ndigest = "hmac-sha1"\nhide_avps = true\ntie_breaker = true\nhello_timeout = 5\n',
        f'{V3}digest = "none"\nlocal_port = 1701\n{CALL}pseudowire = "eth-vlan"\nvlan_id = 5\ncookie_size = 4\nremote_end_id = "0x00ff"\n',
        f'{V3}{CALL}role = "lns"\nuser = "me"\nrx_connect_speed = 1\ntx_connect_speed = 1\nphysical_channel_id = 1\nsequencing_required = true\n',
        f'{AUTO}secret = "s"\ndigest = "hmac-md5"\nauthentication = "none"\nbearer_caps = ["analog"]\n{CALL}cookie_size = 0\nremote_end_id = "x"\ncalled_number = "5"\n',
        f'[profile.tunnel.default]\ndigest = "none"\nsecret = "s"\n[profile.session.default]\ncookie_size = 4\nremote_end_id = "x"\n{V2}{CALL}',
        f'[profile.tunnel.default]\nfirmware_revision = 7\nauthentication = "none"\n[profile.session.default]\ncalled_number = "5"\n{V3}{CALL}',
    ],
)
def test_not_a_contradiction(text: str) -> None:
    """What a profile says for others, and what the instance unsays, disturbs nobody."""
    assert ["a"] == list(parse([("f", text)]).tunnels)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (STATIC.replace("l2tpv3", "l2tpv4"), "tunnel.a.version: `l2tpv4` is not available here: must be one of `l2tpv2`, `l2tpv3`, `auto`; did you mean `l2tpv3`?"),
        (STATIC.replace("tunnel_id = 1", "tunnel_id = 0"), "tunnel.a.tunnel_id: must be from 1 to 4294967295, not the integer 0"),
        (ETH.replace("session_id = 3", "session_id = true"), "tunnel.a.session.s.session_id: must be an integer, not the boolean `true`"),
        (f"{VLAN}vlan_id = 5000", "tunnel.a.session.s.vlan_id: must be from 1 to 4094, not the integer 5000"),
        (f"[profile.session.default]\nmtu = 1\n{STATIC}{CALL}", "profile.session.default.mtu: must be from 68 to 65535, not the integer 1"),
        (f'[profile.pseudowire.default]\nbridge = 1\n{ETH}peer_address = "::1"', "profile.pseudowire.default.bridge: must be a string, not the integer 1"),
        (f"[profile.tunnel.default]\nhello_timeout = false\n{V3}", "profile.tunnel.default.hello_timeout: must be a number, not the boolean `false`"),
        (f'{ETH}pseudowire_profile = "x"\n', "tunnel.a.session.s.pseudowire_profile: there is no `[profile.pseudowire.x]`"),
        (f'{AUTO}mode = "static"\ntunnel_id = 1\npeer_tunnel_id = 2\n{CALL}pseudowire = "eth"\n', 'tunnel.a.mode: `version = "auto"` is settled by control messages: any mode but `"dynamic"` needs `version = "l2tpv3"`'),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_once(text: str, expected: str) -> None:
    """Where a value is wrong already, what it may contradict is not guessed."""
    assert [expected] == problems(text)


def test_every_rule_speaks_of_keys_that_exist() -> None:
    """A rule whose key was renamed would silently stop to apply, or point nowhere."""
    for book, *classes in ((TUNNEL, TunnelSettings, TunnelInstance), (SESSION, SessionSettings)):
        known = {field.name for cls in classes for field in attrs.fields(cls)}
        assert known >= {key for rules in book for rule in rules for key in rule.keys}
        assert {field.name for field in attrs.fields(classes[0])} >= {key for rule in book.useless for key in rule.keys}
