"""xl2tpd.conf(5), with the l2tp-secrets(5) and the pppd options files that it names.

A `[lac NAME]` becomes a tunnel with one session. A `[lns NAME]` becomes the profiles of those who call, and a peer entry of those addresses
that may: xl2tpd takes the first section with a `lac` range that has the caller's address, else `[lns default]` unless `access control` is on.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from l2tpctl.importing import pppd, values
from l2tpctl.importing.draft import Draft, Table, Value
from l2tpctl.importing.rows import LATER, If, More, No, Row, Rows, Same, To, apply, checked
from l2tpctl.importing.source import Item, Line, Read, Section, SourceError, heading, lines

AUTH_FILE = "/etc/xl2tpd/l2tp-secrets"
REDIAL_TIMEOUT = 30  # seconds


def _traced(*categories: str) -> Row:
    return If(yes=More("system", "trace", lambda _: list(categories)), no=Same("nothing is traced unless it is said"))


GLOBAL: Rows = {
    "listen-addr": LATER,
    "port": LATER,
    "access control": LATER,
    "auth file": LATER,
    "force userspace": If(yes=To("system", "data_plane", lambda _: "user"), no=Same("the kernel is used where it can be")),
    "max retries": To("defaults", "max_retries", values.within(1, 65535)),
    "debug avp": _traced("avp_info", "avp_data"),
    "debug network": _traced("transport"),
    "debug packet": _traced("protocol"),
    "debug state": _traced("fsm"),
    "debug tunnel": _traced("func"),
    "ipsec saref": If(yes=No("the security association of a packet is not looked at"), no=Same("it is not looked at")),
    "saref refinfo": No("the security association of a packet is not looked at"),
    "rand source": Same("identifiers and challenges are always from the operating system"),
}  # fmt: skip

_ALIASES = {
    "require auth": "require authentication", "refuse auth": "refuse authentication", "unix auth": "unix authentication",
    "listen addr": "listen-addr",
}  # fmt: skip

COMMON: Rows = {
    "hidden bit": To("tunnel", "hide_avps", values.boolean),
    "tunnel rws": To("tunnel", "receive_window", values.within(1, 32768)),
    "hostname": To("tunnel", "host_name", values.avp_text),
    "call rws": No("the RFC has no flow control of sessions any more (RFC 2661 D)"),
    "length bit": Same("packets with it are understood, and ours have what the data plane puts there"),
    "flow bit": If(yes=No("it does nothing in xl2tpd; here `sequencing_required` asks for numbered packets"), no=Same("packets are not numbered")),
    "challenge": To("tunnel", "authentication", lambda text: "challenge" if values.boolean(text) else "none"),
    "pppoptfile": LATER,
    "ppp debug": If(yes=More("session", "trace", lambda _: ["ppp"]), no=Same("PPP is not traced unless it is said")),
    "pass peer": No("scripts get the peer's address without being asked to"),
}  # fmt: skip

LAC: Rows = {
    **COMMON,
    "lns": LATER,
    "autodial": If(yes=Same("a tunnel that is configured is dialled"), no=LATER),
    "redial": LATER,
    "redial timeout": LATER,
    "max redials": No("a tunnel that persists is dialled until it is deleted"),
    "name": To("session", "user"),
    "tx bps": To("session", "tx_connect_speed", values.within(0, 2**32 - 1)),
    "rx bps": To("session", "rx_connect_speed", values.within(0, 2**32 - 1)),
    "bps": LATER,
    "defaultroute": To("ppp", "default_route", values.boolean),
    "local ip": No("a client takes the address that it is given", "session"),
    "remote ip": No("a client takes the address that the peer says it has", "session"),
    **{f"{verb} {what}": No("the peer is not asked who it is, and whatever it asks for is answered") for verb in ("require", "refuse")
       for what in ("pap", "chap", "authentication")},
    "unix authentication": No("the peer is not asked who it is"),
    "exclusive": No("it is for `[lns]` sections"),
}  # fmt: skip

_SPEED = No("speeds are what the caller announces")
LNS: Rows = {
    **COMMON,
    "ip range": LATER,
    "no ip range": LATER,
    "assign ip": LATER,
    "lac": LATER,
    "no lac": LATER,
    "local ip": To("ppp", "local_address", values.ipv4),
    "local ip range": LATER,
    "name": No("in the files of secrets the server has the name of our tunnels, or `*`"),
    "unix authentication": No("there is no /etc/passwd here: passwords are in /etc/ppp/pap-secrets"),
    "exclusive": If(yes=No("`max_tunnels` of a peer entry counts all who belong to it"), no=Same("a peer may have several tunnels")),
    "tx bps": _SPEED,
    "rx bps": _SPEED,
    "bps": _SPEED,
    "defaultroute": To("ppp", "default_route", values.boolean),
    **{f"{verb} {what}": LATER for verb in ("require", "refuse") for what in ("pap", "chap", "authentication")},
}  # fmt: skip

_PROOFS = {"require authentication": "auth"}
"""Keys that are options of pppd by another name; the others only lose the space."""


def convert(text: str, file: str, read: Read) -> Draft:
    """Convert xl2tpd.conf."""
    return _Conversion(Draft(file, "xl2tpd"), read, list(sections(text, file))).run()


def sections(text: str, file: str) -> Iterator[Section]:
    """Take the file apart."""
    here: Section | None = None
    for line in lines(text, ";"):
        title = heading(file, line)
        if title is not None:
            kind, _, name = title.partition(" ")
            if kind.lower() not in {"global", "lns", "lac"}:
                raise SourceError(
                    file, line.number, f"there is no section [{kind}]: it has [global], [lns NAME] and [lac NAME]"
                )
            if here is not None:
                yield here
            here = Section(kind.lower(), name.strip(), file, line.number)
        elif here is None:
            raise SourceError(file, line.number, "a key stands in a section")
        else:
            here.items.append(_item(line, file))
    if here is not None:
        yield here


def _item(line: Line, file: str) -> Item:
    key, equals, value = line.text.partition("=")
    name = " ".join(key.lower().split())
    if not equals or not name:
        raise SourceError(file, line.number, "a key is written NAME = VALUE")
    return Item(_ALIASES.get(name, name), value.strip(), file, line.number, f"{name} = {value.strip()}")


@attrs.define(eq=False)
class _Conversion:
    draft: Draft
    read: Read
    sections: list[Section]
    secrets: list[tuple[str, str, Item]] = attrs.field(factory=list)
    options: dict[tuple[str, bool], list[Item]] = attrs.field(factory=dict)
    taken: list[values.Span] = attrs.field(
        factory=list
    )  # by the sections before: xl2tpd takes the first, we the longest prefix

    def run(self) -> Draft:
        self.draft.table("system")
        defaults = self.draft.table("profile", "tunnel", "default")
        defaults.default("hello_timeout", 60, "as in xl2tpd")
        whole = Section(
            "global", "", self.draft.file, 0, [item for part in self._kind("global") for item in part.items]
        )
        apply(
            GLOBAL,
            whole.items,
            {"home": self.draft.table("system"), "system": self.draft.table("system"), "defaults": defaults},
        )
        self._secrets_of(whole)
        for lac in self._named("lac"):
            self._lac(lac)
        served = list(self._named("lns"))
        for lns in served:
            self._lns(lns, whole)
        self._listen(whole, bool(served))
        self._overridden()
        return self.draft

    def _kind(self, kind: str) -> list[Section]:
        return [section for section in self.sections if section.kind == kind]

    def _named(self, kind: str) -> Iterator[Section]:
        """Yield the sections of a kind, those of one name as one. `[lac default]` is none: it goes into no other, whatever the manual says."""
        found: dict[str, Section] = {}
        for section in self._kind(kind):
            before = found.setdefault(section.name.lower(), attrs.evolve(section, items=[]))
            before.items.extend(section.items)
        if kind == "lac" and "default" in found:
            self._unused(found.pop("default"), "xl2tpd hands it down to no other section")
        yield from found.values()

    # -- secrets ------------------------------------------------------------------------------------------------------------------

    def _secrets_of(self, whole: Section) -> None:
        named = whole.last("auth file")
        path = named.value if named is not None else AUTH_FILE
        found = self.read(path)
        self.secrets = list(pppd.secrets(found, path)) if found is not None else []
        home = self.draft.table("system")
        if named is not None and found is None:
            self.draft.warn(home, f"{path} could not be read: say the secrets of tunnels yourself")
        for item in whole.all("auth file"):
            if found is None:
                home.lose(item, "it could not be read")
            else:
                home.same(item, "the secrets are where they are used")

    def _shared(self, section: Section) -> list[tuple[str, Item]]:
        """Return the secrets of a section: the peer's host name, and the secret."""
        ours = section.last("hostname")
        return [(them, item) for us, them, item in self.secrets if ours is None or us in {"*", ours.value}]

    def _leftover_secrets(self) -> None:
        known = self.draft.fates()
        for us, them, item in self.secrets:
            if item not in known:
                self.draft.table().lose(item, f"nobody here is `{us}` towards `{them}`")

    # -- clients ------------------------------------------------------------------------------------------------------------------

    def _lac(self, section: Section) -> None:
        lns = section.all("lns")
        if not lns:
            return self._unused(section, f"[lac {section.name}] says no `lns`")
        name = self.draft.named("tunnel", section.name or "lac")
        tunnel, session = self.draft.table("tunnel", name), self.draft.table("tunnel", name, "session", name)
        places = {"tunnel": tunnel, "session": session, "home": tunnel, "ppp": self._ppp(name, session)}
        self._peer(lns, tunnel)
        apply(LAC, section.items, places)
        for item in section.all("bps"):
            for key in ("tx_connect_speed", "rx_connect_speed"):
                apply({"bps": To("session", key, values.within(0, 2**32 - 1))}, [item], places)
        self._redial(section, tunnel, session)
        pppd.client(self._options(section, pppd.CLIENT, places["ppp"]), {**places, "home": places["ppp"]})
        self._lac_secret(section, tunnel)
        if session.get("user") is not None and session.get("password") is None:
            self.draft.warn(
                session,
                "pppd has the password of `user` from /etc/ppp/chap-secrets or pap-secrets: say `password` or `password_file`",
            )
        return None

    def _peer(self, lns: list[Item], tunnel: Table) -> None:
        first, *others = lns
        tunnel.set("peer", checked(first, values.peer), first)
        for item in others:
            tunnel.lose(item, "a tunnel has one peer: make another [tunnel.NAME] for a second one")
        tunnel.note(
            "xl2tpd calls from the port that it listens on, we from any: say `local_port` where a firewall wants to know."
        )

    def _redial(self, section: Section, tunnel: Table, session: Table) -> None:
        redial, pause, dial = section.last("redial"), section.last("redial timeout"), section.last("autodial")
        again = redial is not None and checked(redial, values.boolean)
        for table in (tunnel, session):
            table.set("persist", again, *section.all("redial"), note="" if redial else "xl2tpd redials only if told to")
        seconds = max(1, checked(pause, values.number)) if pause is not None else REDIAL_TIMEOUT
        for key in ("redial_delay", "redial_delay_max") if again else ():
            tunnel.set(key, seconds, *section.all("redial timeout"), note="" if pause else "as in xl2tpd")
        for item in section.all("redial timeout") if not again else ():
            tunnel.lose(item, "nothing is redialled: `redial` does not say so")
        for item in section.all("autodial"):
            if not checked(item, values.boolean):
                tunnel.lose(item, "a tunnel that is configured is dialled at once")
        if dial is None or not checked(dial, values.boolean):
            self.draft.warn(
                tunnel,
                "xl2tpd dials this on demand; we dial at once. `l2tpctl create tunnel` dials one that is not configured.",
            )

    def _lac_secret(self, section: Section, tunnel: Table) -> None:
        shared = self._shared(section)
        host = values.split_port(str(tunnel.get("peer")))[0]
        fitting = [item for them, item in shared if them == host] or [item for them, item in shared if them == "*"]
        if not fitting and len(shared) == 1:
            fitting = [item for _, item in shared]
        if fitting:
            tunnel.set("secret", fitting[0].value, fitting[0])
            tunnel.default("authentication", "none", "xl2tpd challenges only if told to")
        elif shared:
            self.draft.warn(
                tunnel, "l2tp-secrets has several secrets, by the peer's host name: say the right one as `secret`"
            )

    # -- servers ------------------------------------------------------------------------------------------------------------------

    def _lns(self, section: Section, whole: Section) -> None:
        name = self._profile(section)
        tunnel, session = self.draft.table("profile", "tunnel", name), self.draft.table("profile", "session", name)
        ppp = self._ppp(name, session)
        places = {"tunnel": tunnel, "session": session, "home": tunnel, "ppp": ppp}
        apply(LNS, section.items, places)
        self._local_range(section, ppp)
        options = self._options(section, pppd.SERVER, ppp)
        pppd.server(options, {**places, "home": ppp})
        self._proofs(section, options, ppp)
        self._pool(section, name, ppp)
        self._callers(section, name, whole)

    def _profile(self, section: Section) -> str:
        """Return the name of a section's profiles; `default` would be everybody's here."""
        fallback = section.name.lower() in {"", "default"}
        return self.draft.named("lns", section.name.lower(), like="lns" if fallback else section.name)

    def _local_range(self, section: Section, ppp: Table) -> None:
        for item in section.all("local ip range"):
            try:
                first = values.ranges([values.span(item.value)]).partition("-")[0]
            except ValueError as error:
                ppp.lose(item, str(error))
                continue
            ppp.set("local_address", first, item, note="the first of `local ip range`: there is one for all")

    def _proofs(self, section: Section, options: list[Item], ppp: Table) -> None:
        words = {*pppd.AUTH_WORDS, *pppd.ENCRYPTION} - {word for word, row in pppd.COMMON.items() if row is not LATER}
        said = {item.name: item for item in options if item.name in words}
        for item in section.items:
            verb, _, what = item.name.partition(" ")
            if verb == "refuse":
                ppp.same(item, "it is about how xl2tpd proves itself to callers, which we do not")
            elif verb == "require":
                word = _PROOFS.get(item.name, f"{verb}-{what}")
                if checked(item, values.boolean):
                    said[word] = item
                else:
                    ppp.same(item, "it is so unless it is said otherwise")
        if not pppd.decides(said):
            self.draft.warn(
                ppp, "who proves what was left to pppd's own default: `auth` asks for CHAP, see whether callers do that"
            )
        ppp.set("auth", pppd.authentication(said), *said.values(), *(item for item in options if item.name in said))

    def _pool(self, section: Section, name: str, ppp: Table) -> None:
        assign = section.last("assign ip")
        ranged = section.all("ip range", "no ip range")
        if assign is not None and not checked(assign, values.boolean):
            ppp.same(assign, "without a `pool` callers may choose their address")
            for item in ranged:
                ppp.lose(item, "`assign ip` says that it is not used")
            return
        for item in section.all("assign ip"):
            ppp.same(item, "the `pool` says it")
        spans = self._spans(ranged, ppp, "ip range")
        if spans:
            said = tuple(item for item in ranged if item not in {remark.item for remark in ppp.remarks})
            self.draft.table("pool", name).set("range", values.ranges(spans), *said)
            ppp.set("pool", name, *said)
        if spans and ppp.get("local_address") is None:
            self.draft.warn(
                ppp, "xl2tpd has an address of this machine for its end: say `local_address`, which a `pool` needs"
            )

    def _spans(self, items: list[Item], home: Table, allowing: str) -> list[values.Span]:
        spans: list[values.Span] = []
        for item in items:
            try:
                found = values.area(item.value) if allowing == "lac" else values.span(item.value)
            except values.Unsayable as error:
                home.lose(item, str(error))
            except values.Wrong as error:
                raise item.wrong(str(error)) from None
            else:
                spans = (
                    [*values.without(spans, found), found] if item.name == allowing else values.without(spans, found)
                )
        return spans

    def _callers(self, section: Section, name: str, whole: Section) -> None:
        """Say who gets the profiles of a section: those in its ranges, and of the default one everybody else, unless that is shut."""
        control = whole.last("access control")
        closed = control is not None and checked(control, values.boolean)
        fallback = section.name.lower() in {"default", ""} and not closed
        if fallback:
            self._as(self.draft.table("peer", "default"), name, *whole.all("access control"))
        if not self._ranges(section, name) and not fallback:
            profile = self.draft.table("profile", "tunnel", name)
            self.draft.warn(
                profile, "nobody has this profile: xl2tpd gives it to no caller either, as it has no `lac` range"
            )
        else:
            self._caller_secrets(section, name, closed)

    def _ranges(self, section: Section, name: str) -> bool:
        """Make the peer entry of those in a section's ranges; tell whether there is anybody."""
        home = self.draft.table("profile", "tunnel", name)
        spans = self._spans(section.all("lac", "no lac"), home, "lac")
        for span in self.taken:
            spans = values.without(spans, span)
        self.taken += spans
        if spans:
            lost = {remark.item for remark in home.remarks}
            peer = self.draft.table("peer", self.draft.named("peer", f"[lns {name}]", like=name))
            said = [item for item in section.all("lac", "no lac") if item not in lost]
            peer.set("match", _new(self.draft, values.prefixes(spans)), *said)
            self._as(peer, name)
        return bool(spans)

    def _as(self, peer: Table, profile: str, *items: Item) -> None:
        peer.set("roles", ["lns"])
        peer.set("versions", ["l2tpv2"])
        peer.set("tunnel_profile", profile, *items)
        peer.set("session_profile", profile)

    def _caller_secrets(self, section: Section, name: str, closed: bool) -> None:
        profile = self.draft.table("profile", "tunnel", name)
        for them, item in self._shared(section):
            if them == "*":
                profile.set("secret", item.value, item)
            elif closed:
                profile.lose(item, "a peer entry by host name would let callers in from any address")
            else:
                self._known(them, name, item)
        profile.default("authentication", "none", "xl2tpd challenges only if told to")

    def _known(self, them: str, profile: str, item: Item) -> None:
        like = "host-default" if them == "default" else them  # [peer.default] is for those that nobody else is for
        peer = self.draft.table("peer", self.draft.named("peer", them, like=like))
        if peer.get("host_name") is None and them.isprintable():
            peer.set("host_name", them, item)
            peer.set("secret", item.value, item)
            self._as(peer, profile)
        elif item not in {said for entry in peer.keys.values() for said in entry.items}:
            peer.lose(item, "this host name has its secret already")

    # -- what both have -----------------------------------------------------------------------------------------------------------

    def _ppp(self, name: str, session: Table) -> Table:
        family = "client" if session.name[0] == "tunnel" else "lns"
        profile = self.draft.named("ppp", name if family == "lns" else f"to-{name}")
        session.set("pseudowire_profile", profile)
        self.draft.table("profile", "pseudowire", profile).set("ppp_profile", profile)
        return self.draft.table("profile", "ppp", profile)

    def _options(self, section: Section, known: Rows, ppp: Table) -> list[Item]:
        """Return the options of the files that a section names; a file is read once, so that its options count once."""
        found: list[Item] = []
        for item in section.all("pppoptfile"):
            said = self.read(item.value)
            if said is None:
                ppp.lose(item, "it could not be read")
                self.draft.warn(ppp, f"{item.value} could not be read: its options are missing here")
            else:
                ppp.same(item, "its options are here")
                at = (item.value, known is pppd.SERVER)
                found += self.options.setdefault(at, list(pppd.options(said, item.value, known)))
        return found

    def _unused(self, section: Section, why: str) -> None:
        for item in section.items:
            self.draft.table().lose(item, why)

    def _overridden(self) -> None:
        self._leftover_secrets()
        known = self.draft.fates()
        for section in self.sections:
            for item in section.items:
                if item not in known:
                    self.draft.table().lose(item, "nothing that would have it is there")

    def _listen(self, whole: Section, serving: bool) -> None:
        home = self.draft.table("system")
        for item in whole.all("access control"):
            if item not in self.draft.fates():
                home.same(item, "who may call is said by the [peer] entries")
        said = whole.all("listen-addr", "port")
        if not serving:
            for item in said:
                home.lose(item, "there is no [lns] section, so nobody may call")
            return
        address, port = whole.last("listen-addr"), whole.last("port")
        number = checked(port, values.number) if port is not None else values.L2TP_PORT
        if port is not None and not 1 <= number <= 65535:
            raise port.wrong("there is no such port")
        host = checked(address, values.ipv4) if address is not None else "0.0.0.0"  # noqa: S104 - where xl2tpd listens
        self.draft.table("listen", "0").set("address", values.join_port(host, number), *said)


def _new(draft: Draft, prefixes: list[str]) -> Value:
    """Return the prefixes that no other entry has; xl2tpd takes the first section."""
    taken = {old for peer in draft.family("peer") for old in _list(peer.get("match"))}
    return [prefix for prefix in prefixes if prefix not in taken]


def _list(value: Value | None) -> list[str]:
    return value if isinstance(value, list) else []
