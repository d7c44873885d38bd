"""What our daemon would refuse is taken out, whatever stands in a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2tpctl.importing import accel, formats, gol2tp, parameters, pppd, radius, xl2tpd
from l2tpctl.importing.formats import Outcome
from l2tpctl.importing.source import SourceError
from l2tpd.config.load import parse

VALUES = [
    "yes", "no", "0", "1", "7", "70", "1500", "99999", "4294967295", "99999999999", "10.0.0.1", "10.0.0.1-10.0.0.9", "10.0.0.5-10.0.0.2",
    "10.0.0.0/24", "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "0.0.0.0", "255.255.255.0", "host.example", "ünï", "name=x", "l2tp%d",  # noqa: S104 - a value
    "challenge", "none", "sync,async", "lac", "lns", "both", "any", "eth", "eth_vlan", "ppp", "l2tpv2", "l2tpv3", "ip", "udp", "default",
    "p1", "p2", "t1", "hex:00ff", "hex:0g", "10.0.0.1:1701", "[2001:db8::1]:1701", "*", "/o", "100:200", "deny", "LNOC", "LAIC", "ALL",
    "require", "10.0.0.2-254,name=pp,next=q", "10.0.0.0/24,pp", "192.0.2.9,secret,auth-port=0,acct-port=x,weight=1", "192.0.2.1:3799,secret", "10.0.0.1,10.0.0.0/8", "'", "{", "}", "\x7f",
]  # fmt: skip
NAMES = st.sampled_from(["default", "p1", "p2", "t1"])
Pairs = st.SearchStrategy[list[tuple[str, str]]]


def pairs(rows: Mapping[str, object] | Sequence[str]) -> Pairs:
    """Some keys of a table with any values."""
    return st.lists(st.tuples(st.sampled_from(sorted(rows)), st.sampled_from(VALUES)), max_size=6)


def ini(sections: Mapping[str, Mapping[str, object]]) -> st.SearchStrategy[str]:
    """A file of sections, each with some of its keys."""
    one = st.sampled_from(sorted(sections)).flatmap(lambda title: st.tuples(st.just(title), pairs(sections[title])))
    return st.lists(one, max_size=6).map(
        lambda found: "\n".join(f"[{title}]\n" + "\n".join(f"{key} = {value}" for key, value in keys) for title, keys in found)
    )  # fmt: skip


XL2TPD = ini({
    "global": xl2tpd.GLOBAL, "lns default": xl2tpd.LNS, "lns p1": xl2tpd.LNS, "lns to-t1": xl2tpd.LNS, "lac t1": {**xl2tpd.LAC, "lns": 0},
    "lac t2": xl2tpd.LAC,
})  # fmt: skip
ACCEL = ini(
    {
        **accel.ROWS,
        "ip-pool": {**accel.POOL, "10.0.0.0/24": 0, "tunnel": 0},
        "client-ip-range": {"10.0.0.0/8": 0},
        "radius": {**radius.ROWS, "server": 0},
    }
)
OBJECTS: Mapping[str, Mapping[str, object]] = {
    "system": parameters.SYSTEM, "peer profile": parameters.PEER, "tunnel profile": parameters.PROFILE, "session profile": parameters.CALL,
    "ppp profile": parameters.PPP, "pseudowire profile": parameters.PSEUDOWIRE, "ippool": {"range": 0}, "tunnel": parameters.TUNNEL,
    "session": parameters.CALL,
}  # fmt: skip
SAID = st.sampled_from(sorted(OBJECTS)).flatmap(lambda kind: st.tuples(st.just(kind), NAMES, pairs(OBJECTS[kind])))


def command(kind: str, name: str, keys: list[tuple[str, str]]) -> str:
    """A command of l2tpconfig, a parameter a line so that one that is malformed can be left out."""
    label = {"tunnel": "tunnel_name=t1 dest_ipaddr=192.0.2.9", "session": f"tunnel_name=t1 session_name={name}"}.get(
        kind, f"profile_name={name}"
    )
    return "\n".join(f'{kind} modify {label} {key}="{value}"' for key, value in keys)


def block(kind: str, name: str, keys: list[tuple[str, str]]) -> str:
    """A block of prol2tpd; a session names the tunnel `t1`."""
    more = {"tunnel": "peer lns.example", "session": "tunnel_name t1"}.get(kind, "")
    name = "t1" if kind == "tunnel" else name
    return "\n".join([f'{kind} "{name}" {{', *(f'{key} "{value}"' for key, value in keys), more, "}"])


OPENL2TPD = st.lists(SAID, max_size=6).map(
    lambda said: "\n".join(command(*one) for one in said if one[0] in {*OBJECTS} - {"ippool", "pseudowire profile"})
)
PROL2TPD = st.lists(SAID, max_size=6).map(lambda said: "\n".join(block(*one) for one in said))


def go(kind: str) -> st.SearchStrategy[str]:
    """A file of go-l2tp with one tunnel and two sessions; a key that is said twice is no TOML, so the last one stands."""
    tunnel, session = (
        (gol2tp.KL2TPD_TUNNEL, gol2tp.KL2TPD_SESSION)
        if kind == "kl2tpd"
        else (gol2tp.QL2TPD_TUNNEL, gol2tp.QL2TPD_SESSION)
    )
    fixed = {"peer": "192.0.2.9", "tid": "1", "ptid": "2"}
    ends = st.sampled_from([("udp", "192.0.2.1"), ("ip", "2001:db8::1")])
    made = st.tuples(ends, pairs(tunnel), pairs(session), pairs(session))

    def written(found: tuple[tuple[str, str], *tuple[list[tuple[str, str]], ...]]) -> str:
        (encap, local), *keys = found
        heads = ("[tunnel.t]", "[tunnel.t.session.a]", "[tunnel.t.session.b]")
        first = ({**fixed, "encap": encap, "local": local}, {"sid": "1", "psid": "7"}, {"sid": "2", "psid": "7"})
        tables = zip(heads, ({**dict(said), **one} for one, said in zip(first, keys, strict=True)), strict=True)
        return "\n".join(
            head + "".join(f"\n{key} = {literal(value)}" for key, value in said.items()) for head, said in tables
        )

    return made.map(written)


def literal(value: str) -> str:
    return value if re.fullmatch(r"0|[1-9]\d*", value) else f'"{value.replace(chr(127), "")}"'


OPTIONS = st.lists(
    st.sampled_from(sorted({*pppd.SERVER, *pppd.CLIENT, "10.0.0.1:10.0.0.2", "unknown"})).map(lambda word: f"{word} 7"),
    max_size=5,
)


def patient(kind: str, text: str, options: str) -> Outcome:
    """Convert what is left of a text when the lines that are malformed are taken out one by one, as an operator would."""
    files = {"/o": options, "/etc/xl2tpd/l2tp-secrets": "* * secret\nme lac1 other"}
    while True:
        try:
            return formats.convert(kind, text, "f", files.get)
        except SourceError as error:
            file, number, _ = str(error).split(":", 2)
            lines = files.get(file, text).split("\n")
            lines[int(number) - 1] = ""
            if file in files:
                files[file] = "\n".join(lines)
            else:
                text = "\n".join(lines)


def check(kind: str) -> Callable[[str, list[str]], None]:
    def run(text: str, options: list[str]) -> None:
        found = patient(kind, text, "\n".join(options))
        parse([("ours.toml", found.toml)])

    return run


PATIENT = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


@PATIENT
@given(XL2TPD, OPTIONS)
def test_xl2tpd(text: str, options: list[str]) -> None:
    """Any keys with any values make a configuration that our daemon takes."""
    check("xl2tpd")(text, options)


@PATIENT
@given(ACCEL)
def test_accel(text: str) -> None:
    """Likewise."""
    check("accel-ppp")(text, [])


@PATIENT
@given(OPENL2TPD)
def test_openl2tpd(text: str) -> None:
    """Likewise."""
    check("openl2tpd")(text, [])


@PATIENT
@given(PROL2TPD)
def test_prol2tpd(text: str) -> None:
    """Likewise."""
    check("prol2tpd")(text, [])


@PATIENT
@given(go("kl2tpd"), OPTIONS)
def test_kl2tpd(text: str, options: list[str]) -> None:
    """Likewise."""
    check("kl2tpd")(text, options)


@PATIENT
@given(go("ql2tpd"))
def test_ql2tpd(text: str) -> None:
    """Likewise."""
    check("ql2tpd")(text, [])
