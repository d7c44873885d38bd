"""What a configuration says of a tunnel of version 3 is what is told of it, and what is told can be said again."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from l2tpd.config.diff import diff
from l2tpd.config.keys import KEYS
from l2tpd.config.load import parse, said_session
from l2tpd.config.model import Config, SessionInstance, SessionSettings, TunnelInstance
from l2tpd.config.resolve import session_settings
from l2tpd.control.settings import told

Table = dict[str, Any]

IDS = st.integers(1, 2**32 - 1)
COOKIES = st.sampled_from([0, 4, 8]).flatmap(lambda size: st.binary(min_size=size, max_size=size)).map(bytes.hex)
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
NAMES = st.text(LETTERS, min_size=1, max_size=10)
OF_STATIC = st.fixed_dictionaries(
    {"session_id": IDS, "peer_session_id": IDS}, optional={"cookie": COOKIES, "peer_cookie": COOKIES}
)
OF_NEGOTIATED = st.fixed_dictionaries(
    {}, optional={"cookie_size": st.sampled_from([0, 4, 8]), "remote_end_id": st.text(f"{LETTERS} -é", max_size=10)}
)
SIGNING = st.fixed_dictionaries({}, optional={"digest": st.sampled_from(["none", "hmac-md5", "hmac-sha1"])})


@st.composite
def addresses(draw: st.DrawFn) -> Table:
    """An address of an interface, with or without a length, perhaps with one of the far end; or a bridge; or nothing."""
    if draw(st.booleans()):
        return draw(st.fixed_dictionaries({}, optional={"bridge": NAMES}))
    first, bits = draw(
        st.sampled_from([(ipaddress.IPv4Address("10.0.0.1"), 32), (ipaddress.IPv6Address("2001:db8::1"), 128)])
    )
    length = draw(st.none() | st.integers(0, bits))
    said = {"address": str(first) if length is None else f"{first}/{length}"}
    return said | draw(st.fixed_dictionaries({}, optional={"peer_address": st.just(str(first + 1))}))


@st.composite
def sessions(draw: st.DrawFn, negotiated: bool = False) -> Table:
    """A session of a static tunnel, or of one that control messages set up, with any keys that go together."""
    numbered = draw(
        st.fixed_dictionaries(
            {}, optional={"sequencing_required": st.booleans(), "reorder_timeout": st.integers(0, 60)}
        )
    )
    sublayers = ["default"] if numbered.get("sequencing_required") else ["default", "none"]
    vlan = draw(st.fixed_dictionaries({}, optional={"vlan_id": st.integers(1, 4094)}))
    return {
        **draw(
            st.fixed_dictionaries(
                {"pseudowire": st.just("eth-vlan" if vlan else "eth")},
                optional={
                    "sublayer": st.sampled_from(sublayers),
                    "mtu": st.just(0) | st.integers(68, 65535),
                    "interface_name": NAMES,
                    "persist": st.booleans(),
                },
            )
        ),
        **draw(OF_NEGOTIATED if negotiated else OF_STATIC),
        **numbered,
        **vlan,
        **draw(addresses()),
    }


@st.composite
def tunnels(draw: st.DrawFn) -> tuple[Table, Table]:
    """A tunnel of version 3 over UDP or IP, and the session in it."""
    encap = draw(st.sampled_from(["udp", "ip"]))
    ports = {"local_port": st.integers(0, 65535), "udp_checksum": st.booleans()} if encap == "udp" else {}
    peer = draw(st.sampled_from(["192.0.2.1", "[2001:db8::1]", "lns.example"]))
    if encap == "udp":
        peer += draw(st.sampled_from(["", ":1701", ":65535"]))
    head = {"peer": peer, "encap": encap, "version": "l2tpv3"}
    if draw(st.booleans()):
        return head | draw(SIGNING) | draw(st.fixed_dictionaries({}, optional=ports)), draw(sessions(negotiated=True))
    more = st.fixed_dictionaries(
        {"mode": st.sampled_from(["static", "quiescent"]), "tunnel_id": IDS, "peer_tunnel_id": IDS}, optional=ports
    )
    return head | draw(more), draw(sessions())


def text(tunnel: Table, session: Table) -> str:
    """Write the tables as TOML: what JSON says of strings, numbers and booleans, TOML says too."""
    lines = [("[tunnel.a]", tunnel), ("[tunnel.a.session.s]", session)]
    return "\n".join(
        line
        for head, table in lines
        for line in (head, *(f"{key} = {json.dumps(value)}" for key, value in table.items()))
    )


def sayable(instance: TunnelInstance | SessionInstance) -> Table:
    """Return what is told of an instance under the keys that its table takes; 0 as an identifier is how none is told."""
    keys = KEYS[type(instance)]
    plain: Mapping[str, Any] = told(instance)
    return {key: value for key, value in plain.items() if key in keys and value not in (0, "")} | dict(plain["said"])


@given(tunnels())
def test_what_is_told_can_be_said_again(tables: tuple[Table, Table]) -> None:
    """Saying what `show` tells gives the same configuration, of which a reload changes nothing."""
    config = parse([("a.toml", text(*tables))])
    tunnel = config.tunnels["a"]
    session = tunnel.sessions["s"]
    again = parse([("a.toml", text(sayable(tunnel), sayable(session)))])
    assert config == again
    assert not diff(config, again)


@st.composite
def systems(draw: st.DrawFn) -> Table:
    """A router id, listeners each at its own place, and which versions a caller may speak."""
    router = st.integers(1, 2**32 - 1).map(lambda number: str(ipaddress.IPv4Address(number)))
    places = st.tuples(
        st.sampled_from(["192.0.2.1", "[2001:db8::1]", "[::]"]), st.sampled_from(["", ":1701", ":65535"])
    )
    udp = places.map(lambda place: {"address": "".join(place)})
    ip = places.map(lambda place: {"address": place[0], "encap": "ip"})
    versions = st.lists(st.sampled_from(["l2tpv2", "l2tpv3"]), min_size=1, unique=True)
    return {
        "system": draw(st.fixed_dictionaries({}, optional={"router_id": router})),
        "listen": draw(st.lists(udp | ip, unique_by=lambda said: (_place(said), said.get("encap")))),
        "peer": {"default": draw(st.fixed_dictionaries({}, optional={"versions": versions}))},
    }


def _place(said: Table) -> str:
    return str(said["address"]).removesuffix(":1701")


def whole(said: Table) -> str:
    """Write what `systems` gives, or what is told of it, as TOML."""
    heads = [("[system]", said["system"]), *(("[[listen]]", table) for table in said["listen"])]
    heads += [("[peer.default]", said["peer"]["default"])]
    return "\n".join(
        line for head, table in heads for line in (head, *(f"{key} = {json.dumps(table[key])}" for key in table))
    )


@given(systems())
def test_a_system_that_is_told_can_be_said_again(said: Table) -> None:
    """Router id, listeners over UDP and IP, and versions are told as they can be said."""
    config = parse([("a.toml", whole(said))])
    plain: Mapping[str, Any] = told(config)
    again = {
        "system": {"router_id": plain["system"]["router_id"]},
        "listen": plain["listen"],
        "peer": {"default": {"versions": plain["peers"]["default"]["versions"]}},
    }
    assert config == parse([("a.toml", whole(again))])


@given(sessions())
def test_what_is_said_is_told(said: Table) -> None:
    """Every key that a session says is among its settings as it was said, cookies as their digits; the rest are defaults."""
    tunnel = parse([("a.toml", text(HEAD, said))]).tunnels["a"]
    session = tunnel.sessions["s"]
    assert told(SessionSettings()) | said == told(session_settings(Config(), said=session.said))
    assert session.said == said_session(said, tunnel=_without_sessions(tunnel)).said


HEAD: Table = {
    "peer": "192.0.2.1",
    "version": "l2tpv3",
    "mode": "static",
    "tunnel_id": 1,
    "peer_tunnel_id": 2,
}


def _without_sessions(tunnel: TunnelInstance) -> TunnelInstance:
    return TunnelInstance(name=tunnel.name, peer=tunnel.peer, version=tunnel.version, mode=tunnel.mode)
