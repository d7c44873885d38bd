"""accel-ppp.conf(5): sections with `name=value` or a bare word a line. Of its protocols L2TP alone has a counterpart here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs

from l2tpctl.importing import radius, values
from l2tpctl.importing.draft import Draft, Table
from l2tpctl.importing.rows import LATER, If, More, No, Places, Rows, Same, To, apply, checked
from l2tpctl.importing.source import Item, Line, Read, Section, SourceError, heading, lines

SECRETS = "/etc/ppp/chap-secrets"
METHODS: Mapping[str, str] = {"auth_mschap_v2": "mschapv2", "auth_chap_md5": "chap", "auth_pap": "pap"}
"""Modules for a proof and our words for it, in the order in which one is asked for."""

_ANOTHER = No("another protocol")
_LOG = No("one log for all: `l2tpd --log-file`, or the system's")
_SHAPER = No("traffic is not shaped here")
_V6_POOL = No("say it as `prefix_pool`, `delegated_pool` and `ipv6_dns`, with `ipv6 = true`")

MODULES: Rows = {
    "l2tp": Same("L2TP is what we do"),
    "ippool": Same("a [pool.NAME] is used where a PPP profile names it"),
    "chap-secrets": Same("the file is used unless a PPP profile says otherwise"),
    "radius": LATER,
    "auth_mschap_v1": No("MS-CHAPv1 is not spoken: MS-CHAPv2 is"),
    **dict.fromkeys(METHODS, LATER),
    **dict.fromkeys(("pptp", "pppoe", "ipoe", "sstp"), _ANOTHER),
    **dict.fromkeys(("log_file", "log_syslog", "log_tcp", "log_pgsql"), _LOG),
    **dict.fromkeys(("pppd_compat", "sigchld"), No("scripts are in `script_directory`, l2tpd(8)")),
    "shaper": _SHAPER,
    "connlimit": No("`max_half_open_per_source` limits callers"),
    **dict.fromkeys(("ipv6pool", "ipv6_nd", "ipv6_dhcp"), _V6_POOL),
    "net-snmp": No("`metrics_address` is for Prometheus"),
    "vlan-mon": No("there are no VLANs to wait on"),
}  # fmt: skip

COMMON: Rows = {
    "max-sessions": To("system", "max_sessions", values.number),
    "max-starting": No("`max_half_open` limits tunnels that are being set up"),
    "check-ip": Same("a pool gives an address to one caller at a time"),
    "session-timeout": To("ppp", "session_timeout", values.number),
    "single-session": To("ppp", "single_session", values.among("deny", "replace")),
}

PPP: Rows = {
    "mtu": To("ppp", "mtu", values.within(68, 65535)),
    "mru": To("ppp", "mru", values.within(68, 65535)),
    "lcp-echo-interval": To("ppp", "lcp_echo_interval", values.within(0, 86400)),
    "lcp-echo-failure": To("ppp", "lcp_echo_failure", values.within(0, 1000)),
    "lcp-echo-timeout": No("`lcp_echo_failure` requests without an answer end a session"),
    "ipv4": Same("IPv4 is always negotiated"),
    "ipv6": To("ppp", "ipv6", values.one_of({"deny": False, "allow": True, "prefer": True, "require": True})),
    "min-mtu": No("a peer's MRU is taken as it is"),
    "max-mtu": No("`mtu` is the most"),
    "verbose": If(yes=More("session", "trace", lambda _: ["ppp"]), no=Same("PPP is not traced unless it is said")),
    "mppe": LATER,
    "ccp": Same("compression is never negotiated"),
    "check-ip": Same("a pool gives an address to one caller at a time"),
    **dict.fromkeys(("accomp", "pcomp"), No("the engine decides on header compression by itself")),
    **dict.fromkeys(("max-configure", "max-failure", "max-terminate", "ccp-max-configure"), No("the engine's own counts hold (RFC 1661 4.6)")),
    **dict.fromkeys(("ipv6-intf-id", "ipv6-peer-intf-id", "ipv6-accept-peer-intf-id"), No("interface identifiers are chosen at random")),
    **dict.fromkeys(("unit-cache", "unit-preallocate"), No("interfaces are made for each session")),
}  # fmt: skip

AUTH: Rows = {
    "interval": To("ppp", "chap_rechallenge", values.number),
    "timeout": No("the engine's own timers hold"),
    "max-failure": No("the engine's own counts hold"),
    "any-login": LATER,
    "noauth": LATER,
    "challenge-name": No("a challenge bears our host name"),
}

L2TP: Rows = {
    "bind": LATER,
    "port": LATER,
    "host-name": To("system", "hostname", values.avp_text),
    "hello-interval": To("tunnel", "hello_timeout", values.number),
    "recv-window": To("tunnel", "receive_window", values.within(1, 32768)),
    "timeout": LATER,
    "rtimeout": To("tunnel", "retry_timeout", values.at_least(1)),
    "rtimeout-cap": To("tunnel", "retry_cap", values.at_least(8), "at least 8 (RFC 2661 5.8)"),
    "retransmit": To("tunnel", "max_retries", values.within(1, 65535)),
    "secret": To("tunnel", "secret", values.secret),
    "hide-avps": To("tunnel", "hide_avps", values.boolean),
    "dataseq": LATER,
    "reorder-timeout": To("session", "reorder_timeout", values.milliseconds(0, 60)),
    "ppp-max-mtu": LATER,
    "ifname": To("session", "interface_name", values.interface),
    "verbose": If(yes=More("tunnel", "trace", lambda _: ["protocol"]), no=Same("nothing is traced unless it is said")),
    "mppe": LATER,
    "ip-pool": LATER,
    "use-ephemeral-ports": If(yes=No("answers come from the port that was called"), no=Same("answers come from the port that was called")),
    "avp_permissive": If(yes=No("an unknown mandatory AVP ends what it is in (RFC 2661 4.1)"), no=Same("an unknown mandatory AVP ends what it is in")),
    "dir300_quirk": If(yes=No("there is no such quirk"), no=Same("there is no such quirk")),
    "session-timeout": To("ppp", "session_timeout", values.number),
    **dict.fromkeys(("ipv6-pool", "ipv6-pool-delegate"), _V6_POOL),
}  # fmt: skip

DNS: Rows = {"dns1": More("ppp", "dns", values.ipv4), "dns2": More("ppp", "dns", values.ipv4)}

CHAP_SECRETS: Rows = {
    "gw-ip-address": LATER,
    "chap-secrets": LATER,
    "encrypted": If(yes=No("secrets of CHAP have to be there in the clear"), no=Same("secrets are in the clear")),
    "username-hash": No("names of users are in the clear"),
}

POOL: Rows = {
    "gw-ip-address": LATER,
    "gw": No("there is one `local_address` for all"),
    "shuffle": No("the address that was back the longest is given out first"),
    **dict.fromkeys(("attr", "vendor"), No("a server names a pool by Framed-Pool (RFC 2869)")),
}

LOG: Rows = {
    "level": To("system", "log_level", values.one_of({
        "0": "critical", "1": "error", "2": "warning", "3": "notice", "4": "info", "5": "debug"})),
}  # fmt: skip

ROWS: Mapping[str, Rows] = {
    "modules": MODULES, "common": COMMON, "ppp": PPP, "auth": AUTH, "l2tp": L2TP, "dns": DNS, "chap-secrets": CHAP_SECRETS, "log": LOG,
}  # fmt: skip

WHOLE: Mapping[str, No] = {
    **dict.fromkeys(("pptp", "pppoe", "ipoe", "sstp"), _ANOTHER),
    "shaper": _SHAPER,
    "core": No("one thread does all"),
    "wins": No("there is no option for NetBIOS name servers"),
    "cli": No("`l2tpctl` talks to `control_socket`"),
    "snmp": No("`metrics_address` is for Prometheus"),
    "connlimit": No("`max_half_open_per_source` limits callers"),
    "pppd-compat": No("scripts are in `script_directory`, l2tpd(8)"),
    "log-pgsql": _LOG,
    **dict.fromkeys(("ipv6-pool", "ipv6-dns", "ipv6-dhcp", "ipv6-nd", "dnsv6"), _V6_POOL),
}
"""Sections that have no counterpart as a whole."""


def convert(text: str, file: str, read: Read) -> Draft:
    """Convert accel-ppp.conf."""
    return _Conversion(Draft(file, "accel-ppp"), list(sections(text, file))).run()


def sections(text: str, file: str) -> Iterator[Section]:
    """Take the file apart."""
    here: Section | None = None
    for line in lines(text, "#"):
        title = heading(file, line)
        if title is not None:
            if here is not None:
                yield here
            here = Section(title.lower().replace("_", "-"), "", file, line.number)
        elif here is None:
            raise SourceError(file, line.number, "a key stands in a section")
        else:
            here.items.append(_item(line, file))
    if here is not None:
        yield here


def _item(line: Line, file: str) -> Item:
    name, equals, value = (part.strip() for part in line.text.partition("="))
    if not name:
        raise SourceError(file, line.number, "a key is written NAME=VALUE")
    return Item(name.lower() if equals else name, value, file, line.number, f"{name} = {value}" if equals else name)


@attrs.define(eq=False)
class _Conversion:
    draft: Draft
    sections: list[Section]
    following: dict[str, tuple[str, Item]] = attrs.field(factory=dict)

    def run(self) -> Draft:
        places = self._places()
        for section in self.sections:
            self._section(section, places)
        l2tp = self._joined("l2tp")
        self._listen(l2tp)
        self._proofs(places["ppp"])
        self._of_l2tp(l2tp, places)
        self._pools(l2tp, places["ppp"])
        self._gateway(places["ppp"])
        self._radius(places["ppp"])
        self._callers()
        if "l2tp" not in {item.name for item in self._joined("modules").items}:
            self.draft.warn(places["system"], "[modules] does not load `l2tp`: it does not serve L2TP there")
        return self.draft

    def _places(self) -> Places:
        table = self.draft.table
        system, tunnel, session = (
            table("system"),
            table("profile", "tunnel", "default"),
            table("profile", "session", "default"),
        )
        for place, key, value in (
            (system, "hostname", "accel-ppp"),
            (tunnel, "hello_timeout", 60),
            (tunnel, "retry_cap", 16),
            (tunnel, "establish_timeout", 60),
            (session, "establish_timeout", 60),
        ):
            place.default(key, value, "as in accel-ppp")
        return {
            "system": system,
            "tunnel": tunnel,
            "session": session,
            "ppp": table("profile", "ppp", "default"),
            "home": system,
        }

    def _joined(self, kind: str) -> Section:
        return Section(
            kind, "", self.draft.file, 0, [item for part in self.sections if part.kind == kind for item in part.items]
        )

    def _section(self, section: Section, places: Places) -> None:
        rows, whole = ROWS.get(section.kind), WHOLE.get(section.kind)
        if rows is not None:
            home = places[
                {"ppp": "ppp", "auth": "ppp", "dns": "ppp", "chap-secrets": "ppp", "l2tp": "tunnel"}.get(
                    section.kind, "system"
                )
            ]
            apply(rows, section.items, {**places, "home": home})
        elif section.kind not in {"ip-pool", "client-ip-range", "radius"}:
            reason = whole.reason if whole is not None else "nobody here knows this section"
            for item in section.items:
                self.draft.table().lose(attrs.evolve(item, shown=f"[{section.kind}] {item.shown}"), reason)

    # -- tunnels and sessions -----------------------------------------------------------------------------------------------------

    def _listen(self, l2tp: Section) -> None:
        address, port = l2tp.last("bind"), l2tp.last("port")
        host = "0.0.0.0"  # noqa: S104 - where accel-ppp listens
        if address is not None and values.version_of(address.value):
            host = values.host(address.value)
        if address is not None and not values.version_of(address.value):
            raise address.wrong("a numeric address is needed here")
        number = checked(port, values.number) if port is not None else values.L2TP_PORT
        if port is not None and not 1 <= number <= 65535:
            raise port.wrong("there is no such port")
        self.draft.table("listen", "0").set("address", values.join_port(host, number), *l2tp.all("bind", "port"))

    def _of_l2tp(self, l2tp: Section, places: Places) -> None:
        for item in l2tp.all("timeout"):
            for place in ("tunnel", "session"):
                apply({"timeout": To(place, "establish_timeout", values.at_least(1))}, [item], places)
        for item in [*self._joined("ppp").all("mppe"), *l2tp.all("mppe")]:  # of both, that of L2TP holds
            self._encryption(item, places["ppp"])
        for item in l2tp.all("dataseq"):
            if item.value.lower() in {"prefer", "require"}:
                places["session"].set("sequencing_required", True, item)
            else:
                places["session"].same(item, "packets are numbered only if a peer asks for it")
        for item in l2tp.all("ppp-max-mtu"):
            if places["ppp"].get("mtu") is None:
                apply({item.name: To("ppp", "mtu", values.within(68, 65535))}, [item], places)
            else:
                places["ppp"].lose(item, "`mtu` is the most")

    def _encryption(self, item: Item, ppp: Table) -> None:
        word = {"allow": "allow", "prefer": "allow", "require": "require"}.get(item.value.lower())
        if word is None:
            ppp.drop("mppe", "it is said again, which holds")
            ppp.same(item, "PPP is encrypted only where `mppe` says so")
        elif word == "require" and ppp.get("auth") != "mschapv2":
            ppp.lose(item, "encryption needs MS-CHAPv2")
        else:
            ppp.set("mppe", word, item)

    def _proofs(self, ppp: Table) -> None:
        loaded = {item.name: item for item in self._joined("modules").items if item.name in METHODS}
        auth = self._joined("auth")
        noauth = [item for item in auth.all("noauth") if checked(item, values.boolean)]
        for item in [*auth.all("noauth"), *auth.all("any-login")]:
            if item in noauth:
                continue
            if checked(item, values.boolean):
                ppp.lose(item, "whoever gives a wrong password is not let in")
            else:
                ppp.same(item, "whoever gives a wrong password is not let in")
        strongest = next((ours for theirs, ours in METHODS.items() if theirs in loaded), "mschapv2")
        ppp.set("auth", "none" if noauth else strongest, *loaded.values(), *noauth)

    def _callers(self) -> None:
        ranged = self._joined("client-ip-range")
        open_to_all = any(item.name.lower() == "disable" for item in ranged.items) or not ranged.items
        peer = self.draft.table("peer", "default" if open_to_all else "clients")
        peer.set("roles", ["lns"])
        peer.set("versions", ["l2tpv2"])
        spans: list[tuple[values.Span, Item]] = []
        for item in ranged.items:
            if open_to_all:
                peer.same(item, "[peer.default] is for all callers")
                continue
            spans += self._span(item, f"{item.name}={item.value}" if item.value else item.name, peer, values.area)
        if not open_to_all:
            prefixes = [prefix for (low, high), _ in spans for prefix in values.prefixes([(low, high)])]
            peer.set("match", list(dict.fromkeys(prefixes)), *(item for _, item in spans))

    def _span(
        self, item: Item, said: str, home: Table, read: Callable[[str], values.Span] = values.span
    ) -> list[tuple[values.Span, Item]]:
        try:
            return [(read(said), item)]
        except values.Unsayable as error:
            home.lose(item, str(error))
        except values.Wrong as error:
            raise item.wrong(str(error)) from None
        return []

    # -- addresses ----------------------------------------------------------------------------------------------------------------

    def _gateway(self, ppp: Table) -> None:
        kinds = ("ip-pool", "chap-secrets", "radius")
        items = [item for kind in kinds for item in self._joined(kind).all("gw-ip-address")]
        for item in reversed(items):
            if values.version_of(item.value.partition("/")[0]) != 4:
                ppp.lose(item, "a numeric IPv4 address is needed here")
            elif ppp.get("local_address") in {None, item.value.partition("/")[0]}:
                before = ppp.keys.get("local_address")
                ppp.set(
                    "local_address", values.ipv4(item.value.partition("/")[0]), item, *(before.items if before else ())
                )
            else:
                ppp.lose(item, "there is one `local_address` for all")
        if ppp.get("pool") is not None and ppp.get("local_address") is None:
            self.draft.warn(ppp, "a `pool` needs a `local_address`: say it")
        for item in self._joined("chap-secrets").all("chap-secrets"):
            if item.value == SECRETS:
                ppp.same(item, "callers are in this file, unless `authority` says otherwise")
            else:
                ppp.lose(item, f"callers are in {SECRETS}")
                self.draft.warn(ppp, f"callers have to be in {SECRETS}, and not in {item.value}")

    def _radius(self, ppp: Table) -> None:
        section, loaded = self._joined("radius"), self._joined("modules").all("radius")
        if section.items or loaded:
            radius.convert(self.draft, section, ppp, asked=bool(loaded))
        for item in loaded:
            ppp.same(item, "`authority` says who knows the callers")

    def _pools(self, l2tp: Section, ppp: Table) -> None:
        spans: dict[str, list[values.Span]] = {}
        said: dict[str, list[Item]] = {}
        section = self._joined("ip-pool")
        for item in section.items:
            if item.name in POOL:
                apply(POOL, [item], {"home": ppp})
            else:
                self._range(item, ppp, spans, said)
        for name, found in spans.items():
            self.draft.table("pool", self.draft.named("pool", name)).set("range", values.ranges(found), *said[name])
        self._follow(spans, ppp)
        wanted = l2tp.last("ip-pool")
        for item in l2tp.all("ip-pool"):
            if item.value not in spans:
                ppp.lose(item, "there is no such pool")
        name = wanted.value if wanted is not None else "default"
        if name in spans:
            ppp.set("pool", self.draft.named("pool", name), *(l2tp.all("ip-pool") if wanted is not None else ()))

    def _follow(self, known: Iterable[str], ppp: Table) -> None:
        """Name the pool that follows another, unless there is none or they go round."""
        for name, (after, item) in self.following.items():
            seen = {name}
            at = after
            while at in self.following and at not in seen:
                seen.add(at)
                at = self.following[at][0]
            if after not in known or at in seen:
                self.draft.warn(ppp, f"`next` leads to no pool, or round and round: {item.shown}")
            else:
                self.draft.table("pool", self.draft.named("pool", name)).set(
                    "next", self.draft.named("pool", after), item
                )

    def _range(self, item: Item, ppp: Table, spans: dict[str, list[values.Span]], said: dict[str, list[Item]]) -> None:
        """Read `RANGE[,name=POOL][,next=POOL]` or `RANGE,POOL`; a bare one has become a name with `=` in it."""
        whole = item.value if item.name == "tunnel" else f"{item.name}={item.value}" if item.value else item.name
        text, *options = (part.strip() for part in whole.split(","))
        named = [option.removeprefix("name=") for option in options if not option.startswith("next=")]
        found = self._span(item, text, ppp)
        if found:
            name = named[-1] if named and named[-1] else "default"
            spans.setdefault(name, []).append(found[0][0])
            said.setdefault(name, []).append(item)
            for after in (option.removeprefix("next=") for option in options if option.startswith("next=")):
                self.following[name] = (after, item)
