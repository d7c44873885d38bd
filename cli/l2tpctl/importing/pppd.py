"""pppd(8): options files, which xl2tpd and kl2tpd hand to pppd, and files of secrets in pppd's form."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from l2tpctl.importing import values
from l2tpctl.importing.draft import Value
from l2tpctl.importing.rows import LATER, More, No, Places, Rows, Same, To, apply
from l2tpctl.importing.source import Item, SourceError

_NO_COMPRESSION = Same("PPP is never compressed here")
_SERIAL = Same("there is no serial line")
_CLIENT = No("a client answers whichever of PAP, CHAP and MS-CHAPv2 the peer asks for")
_SCRIPT = No('only pppd has it: `ppp_engine = "pppd"` with `pppd_options`')
_NO_MPPE = Same("PPP is encrypted only where `mppe` says so")

ADDRESSES = "LOCAL:REMOTE"
"""What an option that is a pair of addresses is called."""

AUTH_WORDS = (
    "auth", "noauth",
    "require-pap", "require-chap", "require-mschap", "require-mschap-v2", "require-eap",
    "refuse-pap", "refuse-chap", "refuse-mschap", "refuse-mschap-v2", "refuse-eap",
)  # fmt: skip
_ALIASES = {
    "+pap": "require-pap", "+chap": "require-chap", "-pap": "refuse-pap", "-chap": "refuse-chap", "+mschap": "require-mschap",
    "require-mschapv2": "require-mschap-v2", "+mschap-v2": "require-mschap-v2", "refuse-mschapv2": "refuse-mschap-v2",
    "-mschap-v2": "refuse-mschap-v2", "-mschap": "refuse-mschap", "nomppe": "nomppe", "-defaultroute": "nodefaultroute",
    "-proxyarp": "noproxyarp", "-detach": "nodetach", "-vj": "novj", "-ac": "noaccomp", "-pc": "nopcomp", "-crtscts": "nocrtscts",
}  # fmt: skip

COMMON: Rows = {
    "mtu": To("ppp", "mtu", values.within(68, 65535)),
    "mru": To("ppp", "mru", values.within(68, 65535)),
    "lcp-echo-interval": To("ppp", "lcp_echo_interval", values.within(0, 86400)),
    "lcp-echo-failure": To("ppp", "lcp_echo_failure", values.within(0, 1000)),
    "defaultroute": To("ppp", "default_route", lambda _: True),
    "nodefaultroute": To("ppp", "default_route", lambda _: False),
    "proxyarp": To("ppp", "proxy_arp", lambda _: True),
    "noproxyarp": To("ppp", "proxy_arp", lambda _: False),
    "ifname": To("session", "interface_name", values.interface),
    "debug": More("session", "trace", lambda _: ["ppp"]),
    "dump": No("what a configuration says is shown by `l2tpctl show config`"),
    "logfile": No("one log for all: `l2tpd --log-file`"),
    "logfd": No("one log for all: `l2tpd --log-file`"),
    "ipparam": No("scripts get a session's `user_data`"),
    "linkname": No("a session has its name"),
    "idle": To("ppp", "idle_timeout", values.number),
    "maxconnect": To("ppp", "session_timeout", values.number),
    "plugin": _SCRIPT,
    "ktune": Same("forwarding is for sysctl(8) to switch on"),
    "require-mppe": LATER,
    "require-mppe-128": LATER,
    "require-mppe-40": LATER,
    "nomppe-128": LATER,
    "nomppe-40": LATER,
    "mppe": No("say it as `mppe`, `mppe_bits` and `mppe_stateful`"),
    "mppe-stateful": To("ppp", "mppe_stateful", lambda _: True),
    "nomppe-stateful": Same("keys change with each packet unless `mppe_stateful` says otherwise"),
    "nomppe": _NO_MPPE,
    "multilink": No("there is no multilink here"),
    "mp": No("there is no multilink here"),
    "nomultilink": Same("there is no multilink here"),
    "nomp": Same("there is no multilink here"),
    "noendpoint": Same("there is no multilink here"),
    "connect": No("there is no serial line to dial"),
    "require-mschap": No("MS-CHAPv1 is not spoken: MS-CHAPv2 is"),
    "require-eap": No("EAP is not spoken"),
    "refuse-mschap": Same("MS-CHAPv1 is not spoken"),
    "refuse-eap": Same("EAP is not spoken"),
    "usepeerdns": Same("a client always asks for name servers"),
    "noipdefault": Same("a client takes the address that it is given"),
    "ipcp-accept-local": Same("a client takes the address that it is given"),
    "ipcp-accept-remote": Same("a client takes the address that the peer says it has"),
    "hide-password": Same("passwords are never logged"),
    "show-password": No("passwords are never logged"),
    "noipx": Same("IPX is not spoken"),
    "unit": To("session", "interface_name", lambda unit: f"ppp{values.number(unit)}"),
    "connect-delay": _SERIAL,
    "maxfail": No("a session that persists is asked for again and again"),
    "holdoff": No("the tunnel's `redial_delay` says it"),
    "remotename": No("secrets are not looked up by the peer's name"),
    "ms-wins": No("there is no option for NetBIOS name servers"),
    "+ipv6": To("ppp", "ipv6", lambda _: True),
    "noipv6": To("ppp", "ipv6", lambda _: False),
    "persist": No("the tunnel's and the session's `persist` say it"),
    "nopersist": No("the tunnel's and the session's `persist` say it"),
    "nopcomp": No("the engine decides on protocol field compression by itself"),
    "noaccomp": No("the engine decides on address and control field compression by itself"),
    "+pcomp": No("the engine decides on protocol field compression by itself"),
    **dict.fromkeys(("noccp", "nobsdcomp", "nodeflate", "novj", "novjccomp", "nopredictor1", "novjcomp"), _NO_COMPRESSION),
    **dict.fromkeys(("lock", "modem", "local", "crtscts", "nocrtscts", "xonxoff", "asyncmap", "default-asyncmap", "sync", "nodetach",
                     "updetach", "silent", "passive", "115200", "57600", "38400", "9600"), _SERIAL),
}  # fmt: skip
"""Options by pppd(8)."""

CLIENT: Rows = {
    **COMMON,
    "user": To("session", "user"),
    "name": LATER,
    "password": To("session", "password", values.secret),
    "ms-dns": No("a client tells no name servers"),
    "auth": No("the peer is not asked who it is: `auth` is the server's"),
    "noauth": Same("a client does not ask the peer who it is"),
    **{word: No("the peer is not asked who it is: `auth` is the server's") for word in AUTH_WORDS if "require" in word},
    **dict.fromkeys(("refuse-pap", "refuse-chap", "refuse-mschap-v2"), _CLIENT),
    ADDRESSES: No("a client takes the addresses that it is given"),
}

SERVER: Rows = {
    **COMMON,
    "ms-dns": More("ppp", "dns", values.ipv4),
    "user": No("a server does not prove who it is"),
    "name": No("in the files of secrets the server has the name of our tunnels, or `*`"),
    "password": No("a server does not prove who it is"),
    ADDRESSES: LATER,
    **{word: LATER for word in AUTH_WORDS if word not in COMMON},
    "login": No("there is no /etc/passwd here: passwords are in /etc/ppp/pap-secrets"),
    "radius-config-file": _SCRIPT,
}

ARITY = dict.fromkeys(
    ("mtu", "mru", "lcp-echo-interval", "lcp-echo-failure", "ifname", "logfile", "logfd", "ipparam", "linkname", "idle", "maxconnect",
     "plugin", "unit", "connect-delay", "maxfail", "holdoff", "remotename", "ms-dns", "ms-wins", "user", "name", "password", "connect",
     "asyncmap", "radius-config-file", "mppe"), 1,
)  # fmt: skip
"""How many words follow; of options that are not known, the rest of the line does."""


def options(text: str, file: str, known: Rows) -> Iterator[Item]:
    """Yield the options of a file; `ADDRESSES` stands for `LOCAL:REMOTE`."""
    for number, line in enumerate(text.split("\n"), 1):
        yield from _of_line(_split(line, file, number), file, number, known)


def _split(line: str, file: str, number: int) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError as error:
        raise SourceError(file, number, f"{str(error).lower()} in this line") from None


def _of_line(said: list[str], file: str, number: int, known: Rows) -> Iterator[Item]:
    while said:
        word, *said = said
        name = ADDRESSES if _is_address(word) else _ALIASES.get(word, word)
        count = ARITY.get(name, 0) if name in known else len(said)
        if len(said) < count:
            raise SourceError(file, number, f"{word}: a value is missing")
        value = word if name == ADDRESSES else " ".join(said[:count])
        yield Item(name, value, file, number, " ".join([word, *said[:count]]))
        said = said[count:]


def _is_address(word: str) -> bool:
    local, colon, remote = word.partition(":")
    return bool(colon) and all(not part or values.version_of(part) == 4 for part in (local, remote))


def client(items: list[Item], places: Places) -> None:
    """Say the options of a client."""
    apply(CLIENT, items, places)
    _encryption(items, places)
    for item in (item for item in items if item.name == "name"):
        if places["session"].get("user") is None:
            places["session"].set("user", item.value, item)
        else:
            places["session"].same(item, "`user` says who we are")


def server(items: list[Item], places: Places) -> None:
    """Say the options of a server, except for those that say who has to prove what, which are left to `authentication`."""
    apply(SERVER, items, places)
    _encryption(items, places)
    for item in (item for item in items if item.name == ADDRESSES):
        _server_address(item, places)


def _server_address(item: Item, places: Places) -> None:
    local, _, remote = item.value.partition(":")
    if remote:
        places["ppp"].lose(item, "addresses of callers come from a `pool`")
    elif places["ppp"].get("local_address") is None:
        places["ppp"].set("local_address", local, item)
    else:
        places["ppp"].same(item, "`local_address` says it")


def _encryption(items: list[Item], places: Places) -> None:
    """Say what `require-mppe` and its kin want: with a strength that one alone, else any that pppd has and that is not refused."""
    said = [item for item in items if item.name in ENCRYPTION]
    refused = [item for item in items if item.name in _REFUSED]
    strengths = {bits for item in said for bits in ENCRYPTION[item.name]}
    left = strengths - {_REFUSED[item.name] for item in refused}
    if said:
        places["ppp"].set("mppe", "require", *said)
        places["ppp"].set(
            "mppe_bits", tuple(sorted(left or strengths, reverse=True)), *said, *(refused if left else ())
        )
    for item in refused:
        if not said:
            places["ppp"].same(item, _NO_MPPE.reason)
        elif not left:
            places["ppp"].lose(item, "no strength would be left of those that are required")


ENCRYPTION: Mapping[str, tuple[int, ...]] = {
    "require-mppe": (128, 40),
    "require-mppe-128": (128,),
    "require-mppe-40": (40,),
}
"""Options that require encryption, and the strengths that each allows."""

_REFUSED: Mapping[str, int] = {"nomppe-128": 128, "nomppe-40": 40}

METHODS: Mapping[str, str] = {"mschapv2": "mschap-v2", "chap": "chap", "pap": "pap"}
"""Our words for a proof, the strongest first, and pppd's."""


def decides(said: Mapping[str, Item]) -> bool:
    """Tell whether these options say if, and how, callers have to prove who they are."""
    return "noauth" in said or any(f"require-{theirs}" in said for theirs in METHODS.values())


def authentication(said: Mapping[str, Item]) -> Value:
    """Tell which proof a server with these options asks for."""
    required = next((ours for ours, theirs in METHODS.items() if f"require-{theirs}" in said), "")
    if ENCRYPTION.keys() & said.keys():
        return "mschapv2"  # pppd ends what has proved itself otherwise, for that leaves no keys
    # Who says nothing gets `auth`: by Debian's /etc/ppp/options, and from any pppd where there is a default route. `refuse-*` is about ourselves.
    return required or ("none" if "noauth" in said else "chap")


def secrets(text: str, file: str) -> Iterator[tuple[str, str, Item]]:
    """Yield who, with whom, and the secret as an item, of each line of a file of secrets."""
    for number, line in enumerate(text.split("\n"), 1):
        fields = _split(line, file, number)
        if fields and len(fields) < 3:
            raise SourceError(file, number, "a line has three fields: who, with whom, the secret")
        if fields:
            yield fields[0], fields[1], Item("secret", fields[2], file, number, " ".join(fields))
