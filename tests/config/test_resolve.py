"""Inheritance of profiles and the search for a caller's peer entry."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.config.model import Config, Peer, Sublayer, System
from l2tpd.config.resolve import (
    PeerTable,
    listener_settings,
    ppp_settings,
    pseudowire_settings,
    session_settings,
    tunnel_settings,
)
from l2tpd.errors import LocalProtocolError

CONFIG = Config(
    system=System(hostname="us.example"),
    peers={
        "default": Peer(),
        "name": Peer(host_name="lac1", match=("198.51.100.0/24",), secret="own", tunnel_profile="gold"),
        "wide": Peer(match=("192.0.0.0/8", "2001:db8::/32")),
        "narrow": Peer(match=("192.0.2.0/24", "192.0.2.7/32", "2001:db8:1::/48")),
    },
    tunnel_profiles={
        "default": {"hello_timeout": 30.0, "max_retries": 7},
        "gold": {"hello_timeout": 10.0, "secret": "gold", "secret_file": Path("/gold")},
    },
    session_profiles={"default": {"user_data": "x"}},
    pseudowire_profiles={"p": {"mtu": 1400}},
    ppp_profiles={"default": {"pool": "a"}},
)


def test_instance_over_profile_over_default_over_built_in() -> None:
    """A key is taken from where it is said nearest to the instance."""
    settings = tunnel_settings(CONFIG, "gold", {"retry_cap": 9.0})
    assert (9.0, 10.0, 7, 1.0) == (
        settings.retry_cap,
        settings.hello_timeout,
        settings.max_retries,
        settings.retry_timeout,
    )
    assert "x" == session_settings(CONFIG).user_data
    assert 1400 == pseudowire_settings(CONFIG, "p").mtu
    assert "a" == ppp_settings(CONFIG).pool


def test_a_session_has_from_its_pseudowire_profile_what_nobody_nearer_says() -> None:
    """`mtu`, `bridge` and `sublayer` come from the pseudowire profile, unless the session or its profile says them, be it to unset them."""
    config = Config(
        session_profiles={"x": {"pseudowire_profile": "p", "mtu": 1300}},
        pseudowire_profiles={
            "default": {"sublayer": Sublayer.NONE},
            "p": {"mtu": 1400, "bridge": "br0", "ppp_profile": "q"},
        },
    )
    settings = session_settings(config, "x")
    assert (1300, "br0", Sublayer.NONE) == (settings.mtu, settings.bridge, settings.sublayer)
    settings = session_settings(config, said={"pseudowire_profile": "p", "bridge": "", "mtu": 0})
    assert (0, "", Sublayer.NONE) == (settings.mtu, settings.bridge, settings.sublayer)
    assert (0, "", Sublayer.NONE) == (
        session_settings(config).mtu,
        session_settings(config).bridge,
        session_settings(config).sublayer,
    )
    with pytest.raises(LocalProtocolError, match="there is no profile `gone`"):
        session_settings(config, said={"pseudowire_profile": "gone"})


def test_the_host_name_falls_back_to_the_systems() -> None:
    """An empty Host Name is the system's."""
    assert "us.example" == tunnel_settings(CONFIG).host_name
    assert "us.example" == tunnel_settings(CONFIG, said={"host_name": ""}).host_name
    assert "me" == tunnel_settings(CONFIG, said={"host_name": "me"}).host_name


def test_a_secret_drops_the_file_of_the_one_it_replaces() -> None:
    """An instance's own secret is not shown as coming from its profile's file."""
    assert Path("/gold") == tunnel_settings(CONFIG, "gold").secret_file
    assert None is tunnel_settings(CONFIG, "gold", {"secret": "x"}).secret_file


def test_equal_settings_are_one_object() -> None:
    """Thousands of tunnels of a profile share their settings, also those of an equal configuration loaded later."""
    again = Config(system=CONFIG.system, tunnel_profiles=CONFIG.tunnel_profiles)
    assert tunnel_settings(CONFIG, "gold") is tunnel_settings(CONFIG, "gold")
    assert tunnel_settings(CONFIG, "gold") is tunnel_settings(again, "gold")
    assert session_settings(CONFIG) is session_settings(CONFIG)


def test_a_profile_that_does_not_exist_is_the_callers_fault() -> None:
    """Asking for a profile that the configuration lacks is refused."""
    with pytest.raises(LocalProtocolError, match="there is no profile `lead`"):
        tunnel_settings(CONFIG, "lead")


@pytest.mark.parametrize(
    ("host_name", "address", "expected"),
    [
        ("lac1", "192.0.2.7", "name"),
        ("lac1", "not numeric", "name"),
        ("LAC1", "198.51.100.1", "name"),
        ("x", "192.0.2.7", "narrow"),
        ("x", "192.0.3.7", "wide"),
        ("x", "::ffff:192.0.3.7", "wide"),
        ("x", "2001:db8:1::5", "narrow"),
        ("x", "2001:db8:2::5", "wide"),
        ("x", "fe80::1%lo", "default"),
        ("x", "10.0.0.1", "default"),
        ("", "", "default"),
    ],
)
def test_a_caller_is_found(host_name: str, address: str, expected: str) -> None:
    """By Host Name, then by the longest prefix, then the default."""
    assert (expected, CONFIG.peers[expected]) == PeerTable(CONFIG).find(host_name, address)


def test_without_a_default_nobody_unknown_is_accepted() -> None:
    """No entry, no peer."""
    table = PeerTable(Config(peers={"a": Peer(match=("192.0.2.0/24",))}))
    assert None is table.find("x", "10.0.0.1")
    assert None is PeerTable(Config()).find("x", "10.0.0.1")


def test_the_settings_of_a_caller() -> None:
    """A peer entry's own secret overrides its tunnel profile's; the table keeps the result."""
    table = PeerTable(CONFIG)
    assert ("own", 10.0) == (table.settings("name").secret, table.settings("name").hello_timeout)
    assert "gold" == listener_settings(CONFIG, Peer(tunnel_profile="gold")).secret
    assert table.settings("name") is table.settings("name")
    assert listener_settings(CONFIG, CONFIG.peers["name"]) is table.settings("name")


_networks = st.builds(
    lambda number, length: ipaddress.IPv4Network((number >> (32 - length) << (32 - length), length)),
    st.integers(0xC0000200, 0xC000021F),
    st.integers(24, 32),
)


@given(st.sets(_networks, max_size=12), st.integers(0xC0000200, 0xC000021F))
def test_the_longest_prefix_wins(networks: set[ipaddress.IPv4Network], number: int) -> None:
    """The table agrees with a plain search through all prefixes."""
    config = Config(peers={str(network): Peer(match=(str(network),)) for network in networks})
    address = ipaddress.IPv4Address(number)
    matching = [network for network in networks if address in network]
    expected = str(max(matching, key=lambda network: network.prefixlen)) if matching else None
    found = PeerTable(config).find("x", str(address))
    assert expected == (found and found[0])
