"""What prol2tpd and openl2tpd have in common: the same objects and, but for a few, the same parameters; only their files look different.

Both choose settings for a caller through a peer profile, found by its Host Name or its address, and both have profiles called `default`, as we
have. A PPP profile is ours too; a session gets at it through a pseudowire profile, which we make of the same name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import attrs

from l2tpctl.importing import values
from l2tpctl.importing.draft import Draft, Table, Value
from l2tpctl.importing.parameters import (
    CALL,
    CALL_PROFILES,
    PEER,
    PEER_ADDRESS,
    PPP,
    PPP_PROFILES,
    PROFILE,
    PROOFS,
    PSEUDOWIRE,
    SYSTEM,
    TUNNEL,
    TUNNEL_PROFILES,
    received,
    sent,
)
from l2tpctl.importing.rows import To, apply, checked, put
from l2tpctl.importing.source import Item, Section

KINDS = (
    "system", "peer profile", "tunnel profile", "session profile", "ppp profile", "pseudowire profile", "ethernet profile",
    "ippool", "tunnel", "session",
)  # fmt: skip

RETRY_PAUSE = 300  # seconds, tunnel_persist_pend_timeout


class Object(NamedTuple):
    """One object of theirs; `parent` is the name of a session's tunnel."""

    kind: str
    name: str
    parent: str
    section: Section


def convert(draft: Draft, objects: list[Object]) -> Draft:
    """Convert the objects of either suite."""
    return _Conversion(draft, objects).run()


@attrs.define(eq=False)
class _Conversion:
    draft: Draft
    objects: list[Object]

    def run(self) -> Draft:
        self._defaults()
        for kind, convert in (
            ("system", self._system),
            ("tunnel profile", self._tunnel_profile),
            ("ppp profile", self._ppp_profile),
            ("pseudowire profile", self._pseudowire_profile),
            ("ethernet profile", self._pseudowire_profile),
            ("session profile", self._session_profile),
            ("ippool", self._pool),
            ("peer profile", self._peer),
            ("tunnel", self._tunnel),
            ("session", self._session),
        ):
            for one in self._of(kind):
                convert(one)
        self._tunnels_calls()
        self._listen()
        self._unused()
        return self.draft

    def _of(self, kind: str) -> Iterator[Object]:
        return (one for one in self.objects if one.kind == kind)

    # -- the daemon ---------------------------------------------------------------------------------------------------------------

    def _defaults(self) -> None:
        table = self.draft.table
        table("system")
        note = f"as in {self.draft.format}"
        tunnels, ppp = table("profile", "tunnel", "default"), table("profile", "ppp", "default")
        for profile, key, value in (
            (tunnels, "hello_timeout", 60),
            (tunnels, "authentication", "none"),
            (ppp, "auth", "chap"),
            (ppp, "lcp_echo_interval", 0),
        ):
            profile.default(key, value, note)
        default = table("peer", "default")
        if not any(one.kind == "peer profile" and (one.name or "default") == "default" for one in self.objects):
            self.draft.warn(
                default,
                f"{self.draft.format} takes calls from everybody: delete it where only peers that are named may call",
            )

    def _system(self, one: Object) -> None:
        places = {
            "home": self.draft.table("system"),
            "tunnels": self.draft.table("profile", "tunnel", "default"),
            "sessions": self.draft.table("profile", "session", "default"),
        }
        apply(SYSTEM, one.section.items, places)

    def _listen(self) -> None:
        home = self.draft.table("system")
        items = [item for one in self._of("system") for item in one.section.items]
        ports = [item for item in items if item.name in {"udp_port", "port"}]
        addresses = [item for item in items if item.name in {"listen", "listen_address", "local_address"}]
        port = checked(ports[-1], values.number) if ports else values.L2TP_PORT
        if not 1 <= port <= 65535:
            raise ports[-1].wrong("there is no such port")
        seen: set[str] = set()
        for item in addresses:
            host, said = checked(item, values.split_port)
            where = values.join_port(host, said or port)
            if not values.version_of(host) or where in seen:
                home.lose(item, "a numeric address that is not said twice is needed here")
                continue
            seen.add(where)
            self.draft.table("listen", str(len(seen) - 1)).set("address", where, item, *ports)
        if not seen:
            self.draft.table("listen", "0").set("address", f"0.0.0.0:{port}", *ports)

    # -- profiles -----------------------------------------------------------------------------------------------------------------

    def _profile(self, kind: str, name: str) -> Table:
        name = name or "default"
        return self.draft.table("profile", kind, "default" if name == "default" else self.draft.named(kind, name))

    def _tunnel_profile(self, one: Object) -> None:
        home = self._profile("tunnel", one.name)
        apply(PROFILE, one.section.items, {"home": home})
        self._auth_mode(one.section, home)

    def _auth_mode(self, section: Section, home: Table) -> None:
        for item in section.all("auth_mode"):
            word = item.value.lower()
            if word in {"none", "challenge"}:
                home.set("authentication", word, item)
            elif word == "simple":
                home.lose(
                    item, "that a peer profile has to be there for a caller is said by leaving out [peer.default]"
                )
            else:
                raise item.wrong(f"`{item.value}` is none of none, simple, challenge")

    def _session_profile(self, one: Object) -> None:
        self._call(one.section, self._profile("session", one.name))

    def _call(self, section: Section, home: Table) -> None:
        apply(CALL, section.items, {"home": home})
        for item in section.all("connect_speed"):
            self._speeds(item, home)
        self._address(section, home)
        self._of_ppp(section, home)

    def _speeds(self, item: Item, home: Table) -> None:
        for row in (To("home", "tx_connect_speed", sent), To("home", "rx_connect_speed", received)):
            put(row, item, {"home": home})

    def _address(self, section: Section, home: Table) -> None:
        address, masks = section.last("local_ipaddr"), section.all("netmask")
        if address is not None:
            put(To("home", "address", values.interface_address), address, {"home": home})
        if "address" in home.keys and masks:
            said = home.keys["address"]
            home.set("address", f"{said.value}{_length(masks[-1])}", *section.all("local_ipaddr", "netmask"))
        for item in masks if "address" not in home.keys else ():
            home.lose(item, "there is no address that it would be for")

    def _of_ppp(self, section: Section, home: Table) -> None:
        for item in section.all(*PPP_PROFILES):
            name = self._pseudowire_of(item)
            if name is None:
                home.lose(item, "there is no such profile")
            else:
                home.set("pseudowire_profile", name, item)

    def _pseudowire_of(self, item: Item) -> str | None:
        """Return the pseudowire profile of ours that leads to a profile of theirs."""
        if item.value == "default":
            return "default"
        wanted = {"ppp profile"} if "ppp_" in item.name else {"pseudowire profile", "ethernet profile"}
        known = any(one.kind in wanted and one.name == item.value for one in self.objects)
        return self.draft.named("pseudowire", item.value) if known else None

    def _ppp_profile(self, one: Object) -> None:
        home = self._profile("ppp", one.name)
        apply(PPP, one.section.items, {"home": home})
        self._proofs(one.section, home)
        if home.name[-1] != "default":
            self.draft.table("profile", "pseudowire", self.draft.named("pseudowire", one.name)).set(
                "ppp_profile", home.name[-1]
            )

    def _proofs(self, section: Section, home: Table) -> None:
        """Say the strongest proof of those that may be asked for; all may unless it is said otherwise."""
        said = {item.name: (item, checked(item, values.boolean)) for item in section.all(*PROOFS)}
        if not said:
            return
        allowed = {name: yes for name, (_, yes) in said.items()}
        nothing = allowed.get("auth_none", False) or not allowed.get("auth_peer", True)
        ours = (word for word in ("chap", "mschapv2", "pap") if allowed.get(f"auth_{word}", True))
        home.set("auth", "none" if nothing else next(ours, "chap"), *(item for item in section.all(*PROOFS)))

    def _pseudowire_profile(self, one: Object) -> None:
        name = "default" if one.name == "default" else self.draft.named("pseudowire", one.name)
        home = self.draft.table("profile", "pseudowire", name)
        apply(PSEUDOWIRE, one.section.items, {"home": home})
        for item in one.section.all("ppp_profile_name", "ppp_profile"):
            known = item.value == "default" or any(item.value == other.name for other in self._of("ppp profile"))
            if known:
                home.set("ppp_profile", self._profile("ppp", item.value).name[-1], item)
            else:
                home.lose(item, "there is no such profile")

    def _pool(self, one: Object) -> None:
        home = self.draft.table("pool", self.draft.named("pool", one.name or "pool"))
        spans: list[values.Span] = []
        taken = []
        for item in one.section.items:
            try:
                spans += [values.span(part) for part in item.value.replace(",", " ").split()]
                taken.append(item)
            except values.Unsayable as error:
                home.lose(item, str(error))
            except values.Wrong as error:
                raise item.wrong(str(error)) from None
        if spans:
            home.set("range", values.ranges(spans), *taken)
        else:
            del self.draft.tables[home.name]
            self.draft.table().remarks += home.remarks

    # -- peers --------------------------------------------------------------------------------------------------------------------

    def _peer(self, one: Object) -> None:
        default = (one.name or "default") == "default"
        home = self.draft.table("peer", "default" if default else self.draft.named("peer", one.name))
        apply(PEER, one.section.items, {"home": home})
        self._match(one, home, default)
        self._roles(one.section, home)
        for item in one.section.all("tunnel_profile_name", "tunnel_profile", "default_tunnel_profile_name"):
            self._refer("tunnel", item, home, "tunnel_profile")
        for item in one.section.all(*CALL_PROFILES):
            self._refer("session", item, home, "session_profile")
        self._peer_ppp(one, home)

    def _match(self, one: Object, home: Table, default: bool) -> None:
        names = one.section.all("peer_name")
        addresses = one.section.all("peer_ipaddr", "ip", "peer_ip", "address", "netmask")
        if default:
            for item in (*names, *addresses):
                home.lose(item, "`default` is for those that no other entry is for")
            return
        host_name = names[-1].value if names else one.name
        if host_name.isprintable() and host_name not in {peer.get("host_name") for peer in self.draft.family("peer")}:
            home.set("host_name", host_name, *names, note="" if names else "which a peer profile's name may be, too")
        else:
            for item in names:
                home.lose(item, "another entry has this host name")
        self._addresses(one.section, home, addresses)

    def _addresses(self, section: Section, home: Table, addresses: list[Item]) -> None:
        address, mask = section.last("peer_ipaddr", "ip", "peer_ip", "address"), section.last("netmask")
        if address is None or address.value in {"0.0.0.0", "::"}:  # noqa: S104 - which is theirs for no address
            for item in addresses:
                home.lose(item, "there is no address that could match")
            return
        if not values.version_of(address.value.partition("/")[0]):
            for item in addresses:
                home.lose(item, "a numeric address is needed here")
            return
        plain = "/" not in address.value
        prefix = checked(address, lambda text: values.prefix(text + (_length(mask) if plain else "")))
        if prefix in {known for peer in self.draft.family("peer") for known in _strings(peer.get("match"))}:
            for item in addresses:
                home.lose(item, "another entry has this prefix")
        else:
            home.set("match", [prefix], *addresses)

    def _roles(self, section: Section, home: Table) -> None:
        items = section.all("we_can_be_lac", "we_can_be_lns")
        can = {item.name[-3:]: checked(item, values.boolean) for item in items}
        roles = [role for role in ("lac", "lns") if can.get(role, True)]
        if items and roles:
            home.set("roles", roles, *items)
        elif items:
            home.set("accept", False, *items)

    def _refer(self, kind: str, item: Item, home: Table, key: str) -> None:
        """Name a profile of ours in a key of ours."""
        if item.value == "default" or any(item.value == one.name for one in self._of(f"{kind} profile")):
            home.set(key, self._profile(kind, item.value).name[-1], item)
        else:
            home.lose(item, "there is no such profile")

    def _peer_ppp(self, one: Object, home: Table) -> None:
        """Hand a peer's PPP profile down: to its session profile, unless that says one itself."""
        for item in one.section.all(*PPP_PROFILES):
            name = self._pseudowire_of(item)
            profile = str(home.get("session_profile") or "default")
            session = self.draft.table("profile", "session", profile)
            if name is None:
                home.lose(item, "there is no such profile")
            elif profile == "default":
                made = self.draft.table("profile", "session", self.draft.named("session", f"of-{home.name[-1]}"))
                made.set("pseudowire_profile", name, item)
                home.set(
                    "session_profile",
                    made.name[-1],
                    *home.keys["session_profile"].items if "session_profile" in home.keys else (),
                )
            elif session.get("pseudowire_profile") in {None, name}:
                before = session.keys.get("pseudowire_profile")
                session.set("pseudowire_profile", name, *(before.items if before else ()), item)
            else:
                home.lose(item, "the session profile says another")

    # -- tunnels ------------------------------------------------------------------------------------------------------------------

    def _tunnel(self, one: Object) -> None:
        home = self.draft.table("tunnel", self.draft.named("tunnel", one.name or "tunnel"))
        self._far_end(one.section, home)
        apply(TUNNEL, one.section.items, {"home": home})
        self._auth_mode(one.section, home)
        for item in one.section.all(*TUNNEL_PROFILES):
            self._refer("tunnel", item, home, "profile")
        for item in one.section.all(*CALL_PROFILES):
            self._refer("session", item, home, "session_profile")
        self._persistence(home)

    def _far_end(self, section: Section, home: Table) -> None:
        peer, port = section.last(*PEER_ADDRESS), section.last("peer_udp_port", "udp_port", "peer_port")
        if peer is None:
            raise section.wrong(f"tunnel `{home.name[-1]}` has no address of its peer")
        number = checked(port, values.number) if port is not None else 0
        if number > 65535:
            raise (port or peer).wrong("there is no such port")
        home.set(
            "peer",
            checked(peer, lambda text: values.peer(text, number)),
            *section.all(*PEER_ADDRESS, "peer_udp_port", "udp_port", "peer_port"),
        )

    def _persistence(self, home: Table) -> None:
        home.default("persist", False, f"as in {self.draft.format}")
        pauses = [item for one in self._of("system") for item in one.section.all("tunnel_persist_pend_timeout")]
        if home.get("persist"):
            seconds = checked(pauses[-1], values.at_least(1)) if pauses else RETRY_PAUSE
            for key in ("redial_delay", "redial_delay_max"):
                home.set(key, seconds, *pauses, note="" if pauses else f"as in {self.draft.format}")

    def _session(self, one: Object) -> None:
        tunnel = self.draft.tables.get(("tunnel", self.draft.named("tunnel", one.parent or "tunnel")))
        if tunnel is None:
            raise one.section.wrong(f"there is no tunnel `{one.parent}`")
        name = self.draft.named(f"session {tunnel.name[1]}", one.name or "session")
        home = self.draft.table("tunnel", tunnel.name[1], "session", name)
        self._call(one.section, home)
        for item in one.section.all("profile_name", "profile", *CALL_PROFILES):
            self._refer("session", item, home, "profile")

    def _tunnels_calls(self) -> None:
        """Hand down what a tunnel, or its profile, says of its sessions' profiles."""
        for one in self._of("tunnel"):
            tunnel = self.draft.table("tunnel", self.draft.named("tunnel", one.name or "tunnel"))
            profiles = [self._sections("tunnel profile", str(item.value)) for item in one.section.all(*TUNNEL_PROFILES)]
            inherited = [item for sections in profiles for section in sections for item in section.items]
            for item in inherited:
                if item.name in CALL_PROFILES and tunnel.get("session_profile") is None:
                    self._refer("session", item, tunnel, "session_profile")
            own = one.section.all(*PPP_PROFILES)
            for item in own or [item for item in inherited if item.name in PPP_PROFILES]:
                self._hand_down(item, tunnel)

    def _sections(self, kind: str, name: str) -> list[Section]:
        return [one.section for one in self._of(kind) if one.name == name]

    def _hand_down(self, item: Item, tunnel: Table) -> None:
        name = self._pseudowire_of(item)
        calls = [
            call
            for call in self.draft.family("tunnel", tunnel.name[1], "session")
            if call.get("pseudowire_profile") is None
        ]
        for call in calls:
            profile = str(call.get("profile") or tunnel.get("session_profile") or "default")
            if name is not None and self.draft.table("profile", "session", profile).get("pseudowire_profile") is None:
                call.set("pseudowire_profile", name, item)

    def _unused(self) -> None:
        known = self.draft.fates()
        for one in self.objects:
            for item in one.section.items:
                if item not in known:
                    self.draft.table().lose(item, "nothing that would have it is there, or that says it itself")


def _length(mask: Item | None) -> str:
    """Return the prefix length of a netmask, with its slash; nothing where there is none."""
    if mask is None:
        return ""
    return "/" + str(checked(mask, lambda text: values.prefix(f"0.0.0.0/{text}"))).rpartition("/")[2]


def _strings(value: Value | None) -> list[str]:
    return value if isinstance(value, list) else []
