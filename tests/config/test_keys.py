"""The key table: every key of the model has its check, and the manual describes it."""

import enum
import re
from pathlib import Path

import attrs
import pytest

from l2tpd.config import keys, words
from l2tpd.config.model import (
    Listen,
    Peer,
    Pool,
    PppSettings,
    PseudowireSettings,
    Radius,
    RadiusClient,
    RadiusServer,
    SessionInstance,
    SessionSettings,
    System,
    TunnelInstance,
    TunnelSettings,
    User,
    Version,
)
from l2tpd.config.scalars import ElementError

MANUAL = Path(keys.__file__).parents[1] / "man" / "l2tpd.toml.5.md"


UNSAYABLE = {"session_id", "peer_session_id", "vlan_id"}
"""Keys whose default only means that nothing was said: 0 is no identifier."""


def test_defaults_pass_their_own_checks() -> None:
    """Saying a default changes nothing: each one that a file can say is accepted and stays what it is."""
    for cls in (System, TunnelSettings, SessionSettings, PseudowireSettings, Peer):
        for field in attrs.fields(cls):
            if field.default is not None and field.name not in UNSAYABLE:
                assert field.default == keys.KEYS[cls][field.name](as_said(field.default)), field.name


def as_said(default: object) -> object:
    """Return what a file says to mean a value."""
    if isinstance(default, enum.Enum):
        return default.value
    if isinstance(default, bytes):
        return default.hex()
    if isinstance(default, Path):
        return str(default)
    return [as_said(element) for element in default] if isinstance(default, tuple) else default


def test_every_rule_belongs_to_a_key() -> None:
    """A rule whose key was renamed would silently stop to apply."""
    assert {row for row in (*keys.RULES, *keys.WHOLE) if row[1] not in keys.KEYS[row[0]]} == set()


@pytest.mark.parametrize(
    ("cls", "key", "value", "expected"),
    [
        (System, "log_level", "warn", "`warn` is not available here: must be one of `critical`, `error`, `warning`, `notice`, `info`, `debug`; did you mean `warning`?"),
        (System, "control_socket", "run/x", "must be an absolute path, not `run/x`"),
        (System, "metrics_address", "127.0.0.1", "`127.0.0.1` has no port"),
        (System, "metrics_address", "localhost:9701", "`localhost` is not an IPv4 or IPv6 address"),
        (System, "max_tunnels", -1, "must be at least 0, not the integer -1"),
        (System, "data_plane", "users", "`users` is not available here: must be one of `auto`, `kernel`, `user`, `null`; did you mean `user`?"),
        (System, "data_plane", 1, "must be one of `auto`, `kernel`, `user`, `null`, not the integer 1"),
        (Listen, "encap", "upd", "`upd` is not available here: must be one of `udp`, `ip`; did you mean `udp`?"),
        (System, "router_id", "0.0.0.0", "must not be 0.0.0.0, which names nobody"),  # noqa: S104
        (System, "router_id", "::1", "`::1` is not an IPv4 address"),
        (System, "router_id", "1701", "`1701` is not an IPv4 or IPv6 address"),
        (System, "router_id", 1701, "must be a string, not the integer 1701"),
        (TunnelSettings, "digest", "hmac-sha256", "`hmac-sha256` is not available here: must be one of `none`, `hmac-md5`, `hmac-sha1`; did you mean `hmac-sha1`?"),
        (TunnelSettings, "retry_cap", 7.5, "must be at least 8 (RFC 2661 5.8), not the float 7.5"),
        (TunnelSettings, "max_retries", 0, "must be from 1 to 65535, not the integer 0"),
        (TunnelSettings, "receive_window", 0, "must be from 1 to 32768, not the integer 0"),
        (TunnelSettings, "retry_timeout", 0, "must be at least 0.01, not the float 0.0"),
        (TunnelSettings, "host_name", "x" * 1018, "has 1018 octets; an AVP holds 1017 (RFC 2661 4.1)"),
        (TunnelSettings, "host_name", "a\n", "must not hold control characters"),
        (TunnelSettings, "quirks", "x", "must be an array, not the string `x`"),
        (TunnelSettings, "framing_caps", ["sync", "sync"], "names something twice"),
        (SessionSettings, "pseudowire", "pppac", "`pppac` is not available in this version (available: `ppp`, `eth`, `eth-vlan`)"),
        (SessionSettings, "session_id", 0, "must be from 1 to 4294967295, not the integer 0"),
        (SessionSettings, "peer_session_id", 2**32, "must be from 1 to 4294967295, not the integer 4294967296"),
        (SessionSettings, "cookie", "0x0011223", "must consist of hexadecimal digits, two an octet, without separators"),
        (SessionSettings, "cookie", "00:11:22:33", "must consist of hexadecimal digits, two an octet, without separators"),
        (SessionSettings, "peer_cookie", "001122", "has 6 hexadecimal digits; a cookie has 8 or 16 (RFC 3931 5.4.4)"),
        (SessionSettings, "peer_cookie", 11223344, "must be a string, not the integer 11223344"),
        (SessionSettings, "cookie_size", 5, "must be 0, 4 or 8 (RFC 3931 5.4.4), not the integer 5"),
        (SessionSettings, "cookie_size", 8.0, "must be an integer, not the float 8.0"),
        (SessionSettings, "remote_end_id", "x" * 1018, "has 1018 octets; an AVP holds 1017 (RFC 2661 4.1)"),
        (SessionSettings, "remote_end_id", "0x" + "ff" * 1018, "has 1018 octets; an AVP holds 1017 (RFC 2661 4.1)"),
        (SessionSettings, "remote_end_id", "a\n", "must not hold control characters"),
        (SessionSettings, "remote_end_id", "0x", "`0x` is followed by no digits"),
        (SessionSettings, "remote_end_id", "0xlan", "must consist of hexadecimal digits, two an octet, without separators"),
        (SessionSettings, "remote_end_id", "\udcff", "must be valid Unicode: it holds half of a surrogate pair"),
        (SessionSettings, "sublayer", "atm", "`atm` is not available here: must be one of `none`, `default`"),
        (SessionSettings, "mtu", 67, "must be from 68 to 65535, not the integer 67"),
        (SessionSettings, "vlan_id", 0, "must be from 1 to 4094, not the integer 0"),
        (SessionSettings, "vlan_id", 4095, "must be from 1 to 4094, not the integer 4095"),
        (SessionSettings, "address", "192.0.2.1/33", "`192.0.2.1/33` has no prefix length from 0 to 32"),
        (SessionSettings, "peer_address", "192.0.2.1/32", "`192.0.2.1/32` is not an IPv4 or IPv6 address"),
        (SessionSettings, "bridge", "br%d", "`br%d`: a pattern names no interface that exists"),
        (SessionSettings, "bridge", "br/0", "`br/0` is not an interface name: at most 15 octets without space, `/` and `:`"),
        (SessionSettings, "called_number", "é", "must be ASCII (RFC 2661 4.4.4, RFC 3931 5.4.3)"),
        (SessionSettings, "interface_name", "a/b", "`a/b` is not an interface name: at most 15 octets without space, `/` and `:`"),
        (SessionSettings, "rx_connect_speed", 2**32, "must be from 0 to 4294967295, not the integer 4294967296"),
        (PseudowireSettings, "mtu", 67, "must be from 68 to 65535, not the integer 67"),
        (PppSettings, "local_address", "::1", "`::1` is not an IPv4 address"),
        (PppSettings, "ppp_engine", "ppd", "`ppd` is not available here: must be one of `builtin`, `pppd`; did you mean `pppd`?"),
        (PppSettings, "dns", ["192.0.2.1", "192.0.2.2", "192.0.2.3"], "names more than two servers (RFC 1877)"),
        (PppSettings, "mppe", True, "must be one of `refuse`, `allow`, `require`, not the boolean `true`"),
        (PppSettings, "mppe_bits", [], "must name at least one"),
        (PppSettings, "mppe_bits", [64], "names 64, and MPPE has keys of 40, 56 and 128 bits (RFC 3078 2)"),
        (PppSettings, "pppd_options", "nomppe", "must be an array, not the string `nomppe`"),
        (PppSettings, "pppd_options", ["idle", ""], "must hold printable words"),
        (Radius, "interim_interval", 30, "must be at least 60 (RFC 2869 5.16), not the float 30.0"),
        (Radius, "nas_identifier", "x" * 254, "must have at most 253 octets, and no control characters (RFC 2865 5)"),
        (Radius, "spool", "spool", "must be an absolute path, not `spool`"),
        (Radius, "dynauth_listen", "127.0.0.1", "`127.0.0.1` has no port"),
        (RadiusServer, "address", "radius.example", "`radius.example` is not an IPv4 or IPv6 address"),
        (RadiusServer, "auth_port", 65536, "must be from 0 to 65535, not the integer 65536"),
        (RadiusServer, "timeout", 0, "must be from 0.1 to 60, not the float 0.0"),
        (RadiusClient, "match", "x", "`x` is not an address or a prefix such as `203.0.113.0/24`"),
        (Peer, "roles", [], "must name at least one"),
        (Peer, "versions", [], "must name at least one"),
        (Peer, "versions", "l2tpv3", "must be an array, not the string `l2tpv3`"),
        (Peer, "versions", ["auto"], "`auto` is not available here: must be one of `l2tpv2`, `l2tpv3`"),
        (Peer, "versions", ["l2tpv2", 3], "must be one of `l2tpv2`, `l2tpv3`, not the integer 3"),
        (Peer, "versions", ["l2tpv3", "l2tpv3"], "names something twice"),
        (PseudowireSettings, "bridge", "br%d", "`br%d`: a pattern names no interface that exists"),
        (TunnelInstance, "version", "static", '`static` is none: a static tunnel has `version = "l2tpv3"` and `mode = "static"`'),
        (TunnelInstance, "mode", "still", "`still` is not available here: must be one of `dynamic`, `static`, `quiescent`"),
        (TunnelInstance, "tunnel_id", 0, "must be from 1 to 4294967295, not the integer 0"),
        (TunnelInstance, "peer_tunnel_id", -1, "must be from 1 to 4294967295, not the integer -1"),
        (TunnelInstance, "local", "[::1]", "`[::1]` is not an IPv4 or IPv6 address"),
    ],
)  # fmt: skip
def test_refused(cls: type, key: str, value: object, expected: str) -> None:
    """What a rule refuses is told with the limit and its reason."""
    with pytest.raises(ValueError) as caught:
        keys.KEYS[cls][key](value)
    assert expected == str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("cookie", "0x00112233", bytes.fromhex("00112233")),
        ("cookie", "0011223344AAbbff", bytes.fromhex("0011223344aabbff")),
        ("peer_cookie", "", b""),
        ("cookie_size", 0, 0),
        ("cookie_size", 4, 4),
        ("remote_end_id", "", ""),
        ("remote_end_id", "büro 1", "büro 1"),
        ("remote_end_id", "0x62C3BC726F", "büro"),
        ("remote_end_id", "0x00ff", "\0\udcff"),
        ("remote_end_id", "0x" + "ff" * 1017, "\udcff" * 1017),
        ("remote_end_id", "0X1", "0X1"),
        ("session_id", 2**32 - 1, 2**32 - 1),
        ("vlan_id", 4094, 4094),
        ("mtu", 0, 0),
        ("address", "2001:DB8:0::1/064", "2001:db8::1/64"),
        ("address", "192.0.2.1", "192.0.2.1"),
        ("address", "", ""),
        ("peer_address", "2001:DB8:0::2", "2001:db8::2"),
        ("bridge", "", ""),
    ],
)
def test_accepted(key: str, value: object, expected: object) -> None:
    """What a key takes, in the one form in which it is kept."""
    assert expected == keys.KEYS[SessionSettings][key](value)


def test_versions_and_router_id() -> None:
    """A router id only looks like an address; versions are kept in the order in which they are said."""
    assert "224.0.0.1" == keys.KEYS[System]["router_id"]("224.0.0.1")
    assert "" == keys.KEYS[System]["router_id"]("")
    assert (Version.L2TPV3, Version.L2TPV2) == keys.KEYS[Peer]["versions"](["l2tpv3", "l2tpv2"])


def test_words_of_a_command_line_may_repeat() -> None:
    """Unlike those of other arrays; at most two name servers are told."""
    assert ("a", "1", "b", "1") == keys.KEYS[PppSettings]["pppd_options"](["a", "1", "b", "1"])
    assert ("192.0.2.1", "192.0.2.2") == keys.KEYS[PppSettings]["dns"](["192.0.2.1", "192.0.2.2"])


def test_each_wrong_element_of_an_array_is_told() -> None:
    """Mistakes inside an array carry their place."""
    with pytest.raises(ElementError) as caught:
        keys.KEYS[Peer]["match"](["192.0.2.1", "x", "::/0", "10.0.0.1/8"])
    expected = (
        ("[1]", "`x` is not an address or a prefix such as `203.0.113.0/24`"),
        (
            "[3]",
            "`10.0.0.1/8` has bits set beyond its prefix length: is `10.0.0.0/8` meant, or the one address `10.0.0.1`?",
        ),
    )
    assert expected == caught.value.found


def test_a_vocabulary_without_words() -> None:
    """Where no word is defined, every word is refused with the advice to leave the key out."""
    with pytest.raises(ValueError) as caught:
        keys.one_of(())("x")
    assert "`x` is not available here: must be left out, as no word is defined yet" == str(caught.value)


def test_no_later_word_is_available() -> None:
    """A word is available or it comes later, not both."""
    for kind, later in words.LATER.items():
        assert not {member.value for member in kind} & set(later)


def test_the_manual_describes_every_key() -> None:
    """Each table of l2tpd.toml(5) lists exactly the keys that may stand in it."""
    sections: dict[str, set[str]] = {}
    current = ""
    for line in MANUAL.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            current = line.removeprefix("## ")
        elif found := re.match(r"\*\*(\w+)\*\* = ", line):
            sections.setdefault(current, set()).add(found[1])
    headings = {
        "[system]": System,
        "[[listen]]": Listen,
        "[peer.NAME]": Peer,
        "[profile.tunnel.NAME]": TunnelSettings,
        "[profile.session.NAME]": SessionSettings,
        "[profile.pseudowire.NAME]": PseudowireSettings,
        "[profile.ppp.NAME]": PppSettings,
        "[pool.NAME]": Pool,
        "[user.NAME]": User,
        "[radius]": Radius,
        "[radius.server.NAME]": RadiusServer,
        "[radius.client.NAME]": RadiusClient,
        "[tunnel.NAME]": TunnelInstance,
        "[tunnel.NAME.session.NAME]": SessionInstance,
    }
    assert {heading: set(keys.KEYS[cls]) for heading, cls in headings.items()} == sections
