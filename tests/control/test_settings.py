"""Configuration values as they may be told: plain, complete, and without secrets."""

import json
from pathlib import Path

from l2tpd.config.model import (
    Address,
    Config,
    HostPort,
    Listen,
    Peer,
    Role,
    SessionSettings,
    System,
    TunnelInstance,
    TunnelSettings,
)
from l2tpd.control.settings import told


def test_a_secret_is_never_told_only_whether_there_is_one() -> None:
    """`secret` becomes `secret_set`, wherever it stands."""
    config = Config(
        peers={"lac": Peer(secret="s3cret")},
        tunnel_profiles={"default": {"secret": "s3cret"}},
        tunnels={"hq": TunnelInstance(name="hq", peer=HostPort("192.0.2.1", 1701), said={"secret": "s3cret"})},
    )
    text = json.dumps(told(config))
    assert "s3cret" not in text
    assert 3 == text.count('"secret_set": true')
    assert told(TunnelSettings())["secret_set"] is False


def test_values_are_told_as_the_configuration_writes_them() -> None:
    """Addresses, words and paths become text, tuples become lists."""
    peer = told(Peer(match=("192.0.2.0/24",), roles=(Role.LNS,), secret_file=Path("/etc/l2tpd/secret")))
    assert (["192.0.2.0/24"], ["lns"], "/etc/l2tpd/secret") == (peer["match"], peer["roles"], peer["secret_file"])
    assert "[2001:db8::1]:1701" == told(Listen(address=Address("2001:db8::1", 1701)))["address"]
    assert "lns.example:1701" == told(TunnelInstance(name="x", peer=HostPort("lns.example", 1701)))["peer"]
    assert "192.0.2.1" == told(TunnelInstance(name="x", peer=HostPort("192.0.2.1", 0)))["peer"]
    assert ("auto", "0660") == (told(System())["data_plane"], told(System())["control_mode"])


def test_a_cookie_is_told_as_digits() -> None:
    """Both ends have to compare them; an object's own text, which may get into a log, has none."""
    settings = SessionSettings(cookie=b"\x00\x11\x22\xff")
    assert ("001122ff", "") == (told(settings)["cookie"], told({"peer_cookie": b""})["peer_cookie"])
    assert "cookie=" not in repr(settings)
