"""The key table: every key of the model has its check, and the manual describes it."""

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
    SessionInstance,
    SessionSettings,
    System,
    TunnelInstance,
    TunnelSettings,
)
from l2tpd.config.scalars import ElementError

MANUAL = Path(keys.__file__).parents[1] / "man" / "l2tpd.toml.5.md"


def test_defaults_pass_their_own_checks() -> None:
    """Saying a default changes nothing: each one that a file can say is accepted and stays what it is."""
    for cls in (System, TunnelSettings, SessionSettings, PseudowireSettings, Peer):
        for field in attrs.fields(cls):
            default = field.default
            if default is None or field.name == "roles":
                continue
            said = (
                default.value if hasattr(default, "value") else str(default) if isinstance(default, Path) else default
            )
            said = list(said) if isinstance(said, tuple) else said
            assert default == keys.KEYS[cls][field.name](said), field.name


def test_every_rule_belongs_to_a_key() -> None:
    """A rule whose key was renamed would silently stop to apply."""
    assert {row for row in (*keys.RULES, *keys.WHOLE) if row[1] not in keys.KEYS[row[0]]} == set()


@pytest.mark.parametrize(
    ("cls", "key", "value", "expected"),
    [
        (System, "log_level", "warn", "`warn` is not available here: must be one of `critical`, `error`, `warning`, `notice`, `info`, `debug`; did you mean `warning`?"),
        (System, "control_socket", "run/x", "must be an absolute path, not `run/x`"),
        (System, "max_tunnels", -1, "must be at least 0, not the integer -1"),
        (System, "data_plane", "user", "`user` is not available in this version (available: `auto`, `kernel`, `null`)"),
        (System, "data_plane", 1, "must be one of `auto`, `kernel`, `null`, not the integer 1"),
        (Listen, "encap", "upd", "`upd` is not available here: must be `udp`; did you mean `udp`?"),
        (TunnelSettings, "retry_cap", 7.5, "must be at least 8 (RFC 2661 5.8), not the float 7.5"),
        (TunnelSettings, "max_retries", 0, "must be from 1 to 65535, not the integer 0"),
        (TunnelSettings, "receive_window", 0, "must be from 1 to 32768, not the integer 0"),
        (TunnelSettings, "retry_timeout", 0, "must be at least 0.01, not the float 0.0"),
        (TunnelSettings, "host_name", "x" * 1018, "has 1018 octets; an AVP holds 1017 (RFC 2661 4.1)"),
        (TunnelSettings, "host_name", "a\n", "must not hold control characters"),
        (TunnelSettings, "quirks", "x", "must be an array, not the string `x`"),
        (TunnelSettings, "framing_caps", ["sync", "sync"], "names something twice"),
        (SessionSettings, "pseudowire", "eth", "`eth` is not available in this version (available: `ppp`)"),
        (SessionSettings, "called_number", "é", "must be ASCII (RFC 2661 4.4.4)"),
        (SessionSettings, "interface_name", "a/b", "`a/b` is not an interface name: at most 15 octets without space, `/` and `:`"),
        (SessionSettings, "rx_connect_speed", 2**32, "must be from 0 to 4294967295, not the integer 4294967296"),
        (PseudowireSettings, "mtu", 67, "must be from 68 to 65535, not the integer 67"),
        (Peer, "roles", [], "must name at least one"),
        (TunnelInstance, "local", "[::1]", "`[::1]` is not an IPv4 or IPv6 address"),
    ],
)  # fmt: skip
def test_refused(cls: type, key: str, value: object, expected: str) -> None:
    """What a rule refuses is told with the limit and its reason."""
    with pytest.raises(ValueError) as caught:
        keys.KEYS[cls][key](value)
    assert expected == str(caught.value)


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
        "[tunnel.NAME]": TunnelInstance,
        "[tunnel.NAME.session.NAME]": SessionInstance,
    }
    assert {heading: set(keys.KEYS[cls]) for heading, cls in headings.items()} == sections
