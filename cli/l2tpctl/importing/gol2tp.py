"""kl2tpd.toml(5) and ql2tpd.toml(5), of go-l2tp: TOML with `[tunnel.NAME]` and `[tunnel.NAME.session.NAME]`.

kl2tpd is a client of L2TPv2, which hands PPP to pppd with the options of a file. ql2tpd sets up L2TPv3 Ethernet pseudowires without a control
protocol; with `hello_timeout` its tunnels are quiescent. What it calls `cookie` is what it sends, as `ip l2tp` does: our `peer_cookie`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from l2tpctl.importing import pppd, values
from l2tpctl.importing.draft import Draft, Table, Value
from l2tpctl.importing.rows import LATER, If, No, Places, Rows, Same, To, apply, checked
from l2tpctl.importing.source import Item, Read, Section, SourceError


def _id(text: str) -> int:
    found = values.number(text)
    if not 1 <= found < 2**32:
        raise values.Wrong("an identifier is 1 to 4294967295 (RFC 3931 4.1)")
    return found


_CHOSEN = No("the control protocol chooses it")
_SILENT = No("a tunnel without a control protocol has no such messages")

TUNNEL: Rows = {
    "peer": LATER,
    "local": LATER,
    "version": LATER,
    "encap": LATER,
    "window_size": No("the peer's window and congestion decide (RFC 2661 5.8)"),
    "hello_timeout": LATER,
}

KL2TPD_TUNNEL: Rows = {
    **TUNNEL,
    "hello_timeout": To("tunnel", "hello_timeout", values.milliseconds(0, 10**9)),
    "retry_timeout": To("tunnel", "retry_timeout", values.milliseconds(0.01, 10**9)),
    "max_retries": To("tunnel", "max_retries", values.within(1, 65535)),
    "host_name": To("tunnel", "host_name", values.avp_text),
    "framing_caps": To("tunnel", "framing_caps", values.words({"sync": ("sync",), "async": ("async",)})),
    "tid": _CHOSEN,
    "ptid": _CHOSEN,
}

KL2TPD_SESSION: Rows = {
    "pseudowire": LATER,
    "pppd_args": LATER,
    "sid": _CHOSEN,
    "psid": _CHOSEN,
    "seqnum": To("session", "sequencing_required", values.boolean),
    "reorder_timeout": To("session", "reorder_timeout", values.milliseconds(0, 60)),
    "interface_name": To("session", "interface_name", values.interface),
    **dict.fromkeys(("cookie", "peer_cookie", "l2spec_type"), No("L2TPv2 has no such thing")),
    **dict.fromkeys(("pppoe_session_id", "pppoe_peer_mac"), No("PPPoE is not switched into tunnels")),
}

QL2TPD_TUNNEL: Rows = {
    **TUNNEL,
    "tid": To("tunnel", "tunnel_id", _id),
    "ptid": To("tunnel", "peer_tunnel_id", _id),
    **dict.fromkeys(("retry_timeout", "max_retries", "host_name", "framing_caps"), _SILENT),
}

QL2TPD_SESSION: Rows = {
    "pseudowire": LATER,
    "sid": To("session", "session_id", _id),
    "psid": To("session", "peer_session_id", _id),
    "seqnum": If(yes=LATER, no=Same("packets are not numbered")),
    "reorder_timeout": To("session", "reorder_timeout", values.milliseconds(0, 60)),
    "cookie": LATER,
    "peer_cookie": LATER,
    "interface_name": To("session", "interface_name", values.interface),
    "l2spec_type": LATER,
    "pppd_args": No("an Ethernet pseudowire has no PPP"),
}


def kl2tpd(text: str, file: str, read: Read) -> Draft:
    """Convert kl2tpd.toml."""
    return _Conversion(Draft(file, "kl2tpd"), read, text, "l2tpv2").run()


def ql2tpd(text: str, file: str, read: Read) -> Draft:
    """Convert ql2tpd.toml."""
    return _Conversion(Draft(file, "ql2tpd"), read, text, "l2tpv3").run()


@attrs.define(eq=False)
class _Conversion:
    draft: Draft
    read: Read
    text: str
    version: str

    def run(self) -> Draft:
        self.draft.table("system")
        if self.version == "l2tpv2":
            defaults = self.draft.table("profile", "tunnel", "default")
            for key, value in (("hello_timeout", 0), ("max_retries", 3)):
                defaults.default(key, value, "as in kl2tpd")
        for section, sessions in self._sections(self._tree()):
            self._tunnel(section, sessions)
        self._doubles()
        return self.draft

    # -- reading ------------------------------------------------------------------------------------------------------------------

    def _tree(self) -> Mapping[str, Any]:
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r" \(at line (\d+), column \d+\)\Z", str(error))
            line = int(found[1]) if found else self.text.count("\n") + 1
            raise SourceError(self.draft.file, line, re.sub(r" \(at [^)]*\)\Z", "", str(error))) from None

    def _sections(self, tree: Mapping[str, Any]) -> Iterator[tuple[Section, list[Section]]]:
        tunnels = self._tables(tree.get("tunnel", {}), "tunnel")
        for key, value in tree.items():
            if key != "tunnel":
                self.draft.table().lose(self._item(key, value, 1), "nobody here knows this key")
        for name, keys in tunnels.items():
            sessions = self._tables(keys.pop("session", {}), f"tunnel.{name}.session")
            section = self._section(f"tunnel.{name}", name, keys)
            yield (
                section,
                [self._section(f"tunnel.{name}.session.{call}", call, said) for call, said in sessions.items()],
            )

    def _tables(self, value: Any, path: str) -> dict[str, dict[str, Any]]:
        if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
            raise SourceError(self.draft.file, self._line(path, ""), f"`{path}` has a name: [{path}.NAME]")
        return {name: dict(table) for name, table in value.items()}

    def _section(self, path: str, name: str, keys: Mapping[str, Any]) -> Section:
        items = [self._item(key, value, self._line(path, key)) for key, value in keys.items()]
        return Section(path, name, self.draft.file, self._line(path, ""), items)

    def _item(self, key: str, value: Any, line: int) -> Item:
        return Item(key, _text(value), self.draft.file, line)

    def _line(self, path: str, key: str) -> int:
        """Tell the line of a key, or of its table; the TOML reader keeps none, so this looks at how it is usually written."""
        at = 1
        lines = self.text.split("\n")
        for number, line in enumerate(lines, 1):
            if line.replace(" ", "").replace('"', "").startswith(f"[{path}]"):
                at = number
                break
        found = (
            number for number, line in enumerate(lines[at:], at + 1) if re.match(rf"\s*{re.escape(key)}\s*=", line)
        )
        return next(found, at) if key else at

    # -- converting ---------------------------------------------------------------------------------------------------------------

    def _tunnel(self, section: Section, sessions: list[Section]) -> None:
        name = self.draft.named("tunnel", section.name)
        tunnel = self.draft.table("tunnel", name)
        self._ends(section, tunnel)
        rows = KL2TPD_TUNNEL if self.version == "l2tpv2" else QL2TPD_TUNNEL
        apply(rows, section.items, {"home": tunnel, "tunnel": tunnel})
        if self.version == "l2tpv3":
            self._static(section, tunnel)
        for call in sessions:
            if self.version == "l2tpv2":
                self._ppp(call, tunnel)
            else:
                self._ethernet(call, tunnel)

    def _ends(self, section: Section, tunnel: Table) -> None:
        version, encap = section.last("version"), section.last("encap")
        if version is not None and version.value != self.version:
            raise version.wrong(f'{self.draft.format} knows "{self.version}" alone')
        tunnel.set("version", self.version, *section.all("version"))
        by_ip = encap is not None and encap.value == "ip"
        if encap is not None and encap.value not in ({"udp", "ip"} if self.version == "l2tpv3" else {"udp"}):
            raise encap.wrong(f"`{encap.value}` carries no {self.version}")
        tunnel.set("encap", "ip" if by_ip else "udp", *section.all("encap"))
        peer, local = section.last("peer"), section.last("local")
        if peer is None:
            raise section.wrong(f"tunnel `{section.name}` has no `peer`")
        host, port = checked(peer, values.split_port)
        tunnel.set("peer", checked(peer, lambda _: values.peer(values.join_port(host, 0 if by_ip else port))), peer)
        if local is not None:
            self._local(local, tunnel, by_ip=by_ip)

    def _local(self, local: Item, tunnel: Table, *, by_ip: bool) -> None:
        host, port = checked(local, values.split_port)
        if host and not values.version_of(host):
            return tunnel.lose(local, "a numeric address is needed here")
        if host:
            tunnel.set("local", values.host(host), local)
        if port and not by_ip:
            tunnel.set("local_port", port, local)
        return None

    def _static(self, section: Section, tunnel: Table) -> None:
        for key in ("tid", "ptid"):
            if section.last(key) is None:
                raise section.wrong(f"tunnel `{section.name}` has no `{key}`")
        hello = section.last("hello_timeout")
        tunnel.set("mode", "static", *section.all("hello_timeout"))
        if hello is not None and checked(hello, values.number):
            tunnel.set("mode", "quiescent", *section.all("hello_timeout"))
            tunnel.set("hello_timeout", checked(hello, values.milliseconds(0, 10**9)), *section.all("hello_timeout"))

    def _ppp(self, section: Section, tunnel: Table) -> None:
        wire = section.last("pseudowire")
        if wire is not None and wire.value == "pppac":
            for item in section.items:
                tunnel.lose(item, "PPPoE is not switched into tunnels, so this session is none here")
            return
        if wire is not None and wire.value != "ppp":
            raise wire.wrong(f"`{wire.value}` is not carried by L2TPv2")
        session = self._session(section, tunnel)
        session.set("pseudowire", "ppp", *section.all("pseudowire"))
        profile = self.draft.named("ppp", f"{tunnel.name[1]}-{session.name[3]}")
        session.set("pseudowire_profile", profile)
        self.draft.table("profile", "pseudowire", profile).set("ppp_profile", profile)
        places = {"home": session, "session": session, "ppp": self.draft.table("profile", "ppp", profile)}
        apply(KL2TPD_SESSION, section.items, places)
        self._arguments(section, places)

    def _arguments(self, section: Section, places: Places) -> None:
        for item in section.all("pppd_args"):
            said = self.read(item.value)
            if said is None:
                places["session"].lose(item, "it could not be read")
                self.draft.warn(places["session"], f"{item.value} could not be read: its options are missing here")
            else:
                places["session"].same(item, "its options are here")
                pppd.client(list(pppd.options(said, item.value, pppd.CLIENT)), places)

    def _session(self, section: Section, tunnel: Table) -> Table:
        name = self.draft.named(f"session {tunnel.name[1]}", section.name)
        return self.draft.table("tunnel", tunnel.name[1], "session", name)

    def _ethernet(self, section: Section, tunnel: Table) -> None:
        wire = section.last("pseudowire")
        if wire is not None and wire.value != "eth":
            raise wire.wrong(f"`{wire.value}` is not carried without a control protocol: `eth` is")
        for key in ("sid", "psid"):
            if section.last(key) is None:
                raise section.wrong(f"session `{section.name}` has no `{key}`")
        session = self._session(section, tunnel)
        session.set("pseudowire", "eth", *section.all("pseudowire"))
        apply(QL2TPD_SESSION, section.items, {"home": session, "session": session})
        for theirs, ours in (("cookie", "peer_cookie"), ("peer_cookie", "cookie")):
            for item in section.all(theirs):
                session.set(ours, _cookie(item), item, note=f"{theirs} there")
        self._sublayer(section, session)

    def _sublayer(self, section: Section, session: Table) -> None:
        said, numbered = section.last("l2spec_type"), section.last("seqnum")
        if said is not None and said.value not in {"none", "default"}:
            raise said.wrong(f"`{said.value}` is neither none nor default")
        session.set("sublayer", said.value if said is not None else "none", *section.all("l2spec_type"),
                    note="" if said is not None else "as in ql2tpd")  # fmt: skip
        if numbered is not None and checked(numbered, values.boolean):
            session.set("sequencing_required", True, numbered)

    def _doubles(self) -> None:
        """Refuse what ql2tpd refuses as well: identifiers that two have."""
        if self.version == "l2tpv2":
            return
        tunnels = self.draft.family("tunnel")
        self._unique(tunnels, "tunnel_id")
        by_ip = [table for table in tunnels if table.get("encap") == "ip"]
        calls = {table.name: self.draft.family(*table.name, "session") for table in tunnels}
        for table in tunnels:
            anywhere = tunnels if table in by_ip else by_ip
            others = [call for other in anywhere if other is not table for call in calls[other.name]]
            self._unique([*others, *calls[table.name]], "session_id")
        ends: dict[tuple[Value | None, ...], Table] = {}
        for table in tunnels:
            entry = table.keys["peer"]
            host, port = values.split_port(str(entry.value))
            way = (table.get("local"), table.get("local_port") or values.L2TP_PORT, host, port or values.L2TP_PORT)
            if table not in by_ip and ends.setdefault(way, table) is not table:
                raise entry.items[0].wrong(
                    f"`{entry.value}` is where tunnel `{ends[way].name[1]}` goes, from the same port"
                )

    def _unique(self, tables: list[Table], key: str) -> None:
        seen: dict[Value, Table] = {}
        for table in tables:
            entry = table.keys.get(key)
            if entry is not None and seen.setdefault(entry.value, table) is not table:
                raise entry.items[0].wrong(f"{entry.value} is that of `{seen[entry.value].name[-1]}` already")


def _text(value: Any) -> str:
    """Write a value of TOML as text: octets as hexadecimal digits, words with commas."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and value and all(isinstance(octet, int) and 0 <= octet < 256 for octet in value):
        return bytes(value).hex()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _cookie(item: Item) -> str:
    if not re.fullmatch(r"(?:[0-9a-f]{8}){0,2}", item.value):
        raise item.wrong("a cookie has 4 or 8 octets (RFC 3931 5.4.4)")
    return item.value
