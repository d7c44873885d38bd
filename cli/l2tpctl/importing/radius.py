"""The section `[radius]` of accel-ppp.conf(5): servers with their options, how we are called, and who may end sessions."""

from __future__ import annotations

import attrs

from l2tpctl.importing import values
from l2tpctl.importing.draft import Draft, Table
from l2tpctl.importing.rows import LATER, If, No, Rows, Same, To, apply, checked
from l2tpctl.importing.source import Item, Section

NAME_LIMIT = 253  # octets, RFC 2865 5: an attribute less its header
_SAYS = No("what a server says of a user is taken as RFC 2865 has it")


def _name(text: str) -> str:
    if not text or not text.isprintable() or len(text.encode()) > NAME_LIMIT:
        raise values.Unsayable(f"an attribute holds {NAME_LIMIT} octets of printable text")
    return text


def _interim(text: str) -> int:
    seconds = values.number(text)
    return max(seconds, 60) if seconds else 0


ROWS: Rows = {
    "nas-identifier": To("radius", "nas_identifier", _name),
    "nas-ip-address": To("radius", "nas_address", values.host),
    "acct-interim-interval": To("radius", "interim_interval", _interim),
    "acct-interim-jitter": No("records come a tenth sooner or later"),
    "server": LATER,
    "timeout": LATER,
    "max-try": LATER,
    "dae-server": LATER,
    "dae-allowed": LATER,
    "gw-ip-address": LATER,
    "blast-protection": If(yes=Same("requests always have a Message-Authenticator"), no=No("requests always have a Message-Authenticator")),
    "verbose": No("nothing of RADIUS is traced apart"),
    "interim-verbose": No("nothing of RADIUS is traced apart"),
    **dict.fromkeys(("auth-server", "acct-server", "dm_coa_secret"), No("it is obsolete: `server` and `dae-server` say it")),
    **dict.fromkeys(("default-realm", "strip-realm"), No("a user's name is sent as it came")),
    **dict.fromkeys(("acct-delay-time", "acct-delay-start", "acct-on", "acct-timeout", "sid-in-auth", "nas-port-id-in-req"),
                    No("requests have what RFC 2866 wants")),
    **dict.fromkeys(("attr-tunnel-type", "framed-route-strict"), _SAYS),
    "bind": No("requests leave by route"),
    "require-nas-identification": No("who may send them is said by [radius.client.NAME]"),
}  # fmt: skip

_OPTIONS: Rows = {
    "auth-port": To("server", "auth_port", values.within(0, 65535)),
    "acct-port": To("server", "acct_port", values.within(0, 65535)),
    "fail-timeout": To("server", "dead_time", values.number),
    "fail-time": To("server", "dead_time", values.number),
}


def convert(draft: Draft, section: Section, ppp: Table, *, asked: bool) -> None:
    """Convert the section; `asked` tells whether the module is loaded, so that callers are looked up by RADIUS."""
    home = draft.table("radius")
    apply(ROWS, section.items, {"home": home, "radius": home})
    servers = [made for item in section.all("server") if (made := _server(draft, item, home)) is not None]
    for server in servers:
        _pace(section, server)
    for item in section.all("timeout", "max-try") if not servers else ():
        home.lose(item, "there is no server")
    _listener(draft, section, home)
    if asked and any(server.get("auth_port") != 0 for server in servers):
        ppp.set("authority", "radius")
    elif asked:
        draft.warn(
            ppp, "callers are looked up by RADIUS there, but no server is said: here they are in /etc/ppp/chap-secrets"
        )


def _server(draft: Draft, item: Item, home: Table) -> Table | None:
    """Make a table of `ADDRESS,SECRET[,OPTION=VALUE]...`."""
    address, *rest = (part.strip() for part in item.value.split(","))
    shared, *options = rest or [""]
    if not values.version_of(address) or not shared:
        home.lose(item, "a numeric address and a secret are needed here")
        return None
    server = draft.table("radius", "server", draft.named("radius", f"{address} {item.line}", like=address))
    server.set("address", values.host(address), item)
    server.set("secret", shared, item)
    for option in options:
        _option(item, option, server)
    return server


def _option(item: Item, option: str, server: Table) -> None:
    name, _, value = (part.strip() for part in option.partition("="))
    said = attrs.evolve(item, name=name, value=value, shown=option)
    row = _OPTIONS.get(name, No("servers are asked in the order of their tables"))
    apply({name: row}, [said], {"home": server, "server": server})


def _pace(section: Section, server: Table) -> None:
    places = {"home": server}
    apply({"timeout": To("home", "timeout", values.within(1, 60))}, section.all("timeout"), places)
    apply(
        {"max-try": To("home", "retries", lambda text: min(max(values.number(text) - 1, 0), 10))},
        section.all("max-try"),
        places,
    )


def _listener(draft: Draft, section: Section, home: Table) -> None:
    """Say where requests to end or change sessions come to, and who may send them: whoever knows the secret, unless it is said."""
    allowed, item = section.all("dae-allowed"), section.last("dae-server")
    where, shared = [part.strip() for part in f"{item.value if item else ''},".split(",")][:2]
    host, port = checked(item, lambda _: values.split_port(where)) if item is not None else ("", 0)
    if item is None or not values.version_of(host) or not port or not shared:
        for lost in (*section.all("dae-server"), *allowed):
            home.lose(lost, "a numeric address with a port and a secret are needed here")
        return
    home.set("dynauth_listen", values.join_port(values.host(host), port), *section.all("dae-server"))
    anyone = "::/0" if values.version_of(host) == 6 else "0.0.0.0/0"
    sources = [(prefix, one) for one in allowed for prefix in checked(one, _prefixes)]
    for source, said in sources or [(anyone, item)]:
        client = draft.table("radius", "client", draft.named("radius client", source))
        client.set("match", source, said)
        client.set("secret", shared, item)


def _prefixes(text: str) -> list[str]:
    return [values.prefix(part.strip()) for part in text.split(",")]
