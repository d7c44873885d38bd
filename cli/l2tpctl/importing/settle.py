"""Take out of a draft what our daemon would refuse: keys that need or exclude each other once profiles are inherited. l2tpd.toml(5) has the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from l2tpctl.importing.draft import Draft, Table, Value
from l2tpctl.importing.values import join_port, split_port, version_of

TX_SPEED = 1_000_000_000  # bits per second: what `maximum_bps` is unless it is said
RETRY_CAP = 8  # seconds: what `retry_cap` is unless it is said
INTERFACE = 15  # octets

Facts = Mapping[str, Value | None]


class Unfit(NamedTuple):
    """Keys that a tunnel or session itself may not say in a case."""

    keys: tuple[str, ...]
    case: Callable[[Facts], bool]
    reason: str


def _v2(facts: Facts) -> bool:
    return facts["version"] in {None, "l2tpv2"}


def _v3(facts: Facts) -> bool:
    return facts["version"] == "l2tpv3"


def _dynamic_v3(facts: Facts) -> bool:
    return _v3(facts) and facts.get("mode") in {None, "dynamic"}


def _ppp(facts: Facts) -> bool:
    return facts["pseudowire"] in {None, "ppp"}


UNFIT_TUNNEL = (
    Unfit(("framing_caps", "bearer_caps", "firmware_revision"), _v3, "only L2TPv2 announces it (RFC 2661 4.4.3)"),
    Unfit(("authentication",), _v3, "only L2TPv2 challenges; with a secret, L2TPv3 signs its messages (RFC 3931 4.3)"),
    Unfit(("udp_checksum", "local_port"), lambda facts: facts["encap"] == "ip", "this tunnel does not run over UDP"),
)

UNFIT_SESSION = (
    Unfit(("cookie_size", "remote_end_id", "sublayer"), _v2, "only L2TPv3 has it"),
    Unfit(("bearer_type", "framing_type", "calling_number", "called_number", "sub_address", "minimum_bps", "maximum_bps",
           "private_group_id"), _dynamic_v3, "only L2TPv2 says it (RFC 2661 4.4.4)"),
    Unfit(("address", "peer_address", "bridge"), _ppp, "PPP sees to its interface itself"),
    Unfit(("vlan_id",), lambda facts: facts["pseudowire"] != "eth-vlan", "only a VLAN pseudowire has it"),
    Unfit(("user", "password"), lambda facts: not _ppp(facts), "only PPP knows users"),
)  # fmt: skip


def settle(draft: Draft) -> Draft:
    """Make the draft one that our daemon takes."""
    _ends(draft)
    for table in draft.family("tunnel"):
        _tunnel(draft, table)
        for call in draft.family(*table.name, "session"):
            _session(draft, table, call)
    for profile in draft.family("profile", "session"):
        _speeds(draft, profile)
        _ethernet(draft, profile)
    _pacing(draft)
    _hiding(draft)
    _interfaces(draft)
    _sizes(draft)
    return draft


def _said(draft: Draft, table: Table, key: str, *profiles: tuple[str, Value | None]) -> Value | None:
    """Return what holds for a key: what the table says, else its profile, else the profile `default`."""
    tables = [table, *(draft.tables.get(("profile", kind, str(name or "default"))) for kind, name in profiles)]
    tables += [draft.tables.get(("profile", kind, "default")) for kind, _ in profiles]
    return next((one.get(key) for one in tables if one is not None and one.get(key) is not None), None)


def _drop(table: Table, unfit: tuple[Unfit, ...], facts: Facts) -> None:
    for rule in unfit:
        if rule.case(facts):
            for key in rule.keys:
                table.drop(key, rule.reason)


def _tunnel(draft: Draft, table: Table) -> None:
    if table.get("encap") == "ip" and _v2({"version": table.get("version")}):
        table.drop("encap", "L2TPv2 runs over UDP alone (RFC 3931 4.1.1)")
    facts = {key: table.get(key) for key in ("version", "encap", "mode")}
    _drop(table, UNFIT_TUNNEL, facts)
    host, port = split_port(str(table.get("peer")))
    if table.get("encap") == "ip" and port:
        table.keys["peer"] = table.keys["peer"]._replace(value=join_port(host, 0), note="over IP there is no port")
    local = table.get("local")
    if local is not None and version_of(host) not in {0, version_of(str(local))}:
        table.drop("local", "it is not of the same IP version as `peer`")


def _session(draft: Draft, tunnel: Table, call: Table) -> None:
    profile = ("session", call.get("profile") or tunnel.get("session_profile"))
    if _v2({"version": tunnel.get("version")}) and _said(draft, call, "pseudowire", profile) not in {None, "ppp"}:
        call.drop("pseudowire", "L2TPv2 carries PPP alone")
        if _said(draft, call, "pseudowire", profile) not in {None, "ppp"}:
            call.default("pseudowire", "ppp", "L2TPv2 carries nothing else")
    wire = _said(draft, call, "pseudowire", profile)
    if wire == "eth-vlan" and _said(draft, call, "vlan_id", profile) is None:
        call.drop("pseudowire", "there is no VLAN said")
        call.default("pseudowire", "eth", "there is no VLAN said")
        wire = "eth"
    _drop(call, UNFIT_SESSION, {"version": tunnel.get("version"), "mode": tunnel.get("mode"), "pseudowire": wire})
    _ethernet(draft, call, profile)
    _numbers(draft, call, profile)
    _speeds(draft, call, profile)


def _ethernet(draft: Draft, table: Table, *profiles: tuple[str, Value | None]) -> None:
    """See to it that bridge and addresses go together, as far as they hold for a session."""
    bridges = (_said(draft, table, "bridge", *profiles), _bridge_below(draft, table, *profiles))
    if any(bridges) and _said(draft, table, "address", *profiles) is not None:
        table.drop("address", "an interface in a bridge has no address of its own")
    address, far = _said(draft, table, "address", *profiles), _said(draft, table, "peer_address", *profiles)
    if far is not None and (address is None or (":" in str(address)) != (":" in str(far))):
        table.drop("peer_address", "there is no `address` of the same IP version")


def _bridge_below(draft: Draft, table: Table, *profiles: tuple[str, Value | None]) -> Value | None:
    name = _said(draft, table, "pseudowire_profile", *profiles)
    below = draft.table("profile", "pseudowire", str(name or "default")) if name is not None else Table(())
    return _said(draft, below, "bridge", ("pseudowire", name))


def _numbers(draft: Draft, call: Table, profile: tuple[str, Value | None]) -> None:
    plain = _said(draft, call, "sublayer", profile) == "none"
    if plain and call.get("sequencing_required"):
        call.drop("sequencing_required", "numbers need `l2spec_type` default (RFC 3931 4.6)")


def _speeds(draft: Draft, table: Table, *profiles: tuple[str, Value | None]) -> None:
    profiles = profiles or (("session", "default"),)
    most = _said(draft, table, "maximum_bps", *profiles)
    least = _said(draft, table, "minimum_bps", *profiles)
    if isinstance(least, int) and least > (most if isinstance(most, int) else TX_SPEED):
        key = "minimum_bps" if "minimum_bps" in table.keys else "maximum_bps"
        table.drop(key, "the lowest speed would be greater than the highest")


def _pacing(draft: Draft) -> None:
    """Lift the longest pause to the first one, which it limits."""
    for table in (*draft.family("profile", "tunnel"), *draft.family("tunnel")):
        first, most = table.get("retry_timeout"), _said(draft, table, "retry_cap", ("tunnel", table.get("profile")))
        if isinstance(first, int | float) and first > (most if isinstance(most, int | float) else RETRY_CAP):
            table.keys.pop("retry_cap", None) if not _items(table, "retry_cap") else table.drop(
                "retry_cap", "the first pause is longer"
            )
            table.default("retry_cap", first, "not less than `retry_timeout`")


def _items(table: Table, key: str) -> bool:
    return key in table.keys and bool(table.keys[key].items)


def _hiding(draft: Draft) -> None:
    """Hide only what a secret hides (RFC 2661 4.3)."""
    for table in (*draft.family("tunnel"), *draft.family("profile", "tunnel")):
        if table.get("hide_avps") and _said(draft, table, "secret", ("tunnel", table.get("profile"))) is None:
            table.drop("hide_avps", "without a secret nothing can be hidden (RFC 2661 4.3)")


def _interfaces(draft: Draft) -> None:
    """Let the first of several sessions have an interface's name; a VLAN's has to leave room for the VLAN."""
    seen: set[Value] = set()
    for table in _calls(draft):
        name = table.get("interface_name")
        vlan = table.get("vlan_id")
        if vlan is not None and len(f"{name}.{vlan}".encode()) > INTERFACE and name is not None:
            table.drop("interface_name", "with the VLAN's number it is too long")
        elif name is not None and "%" not in str(name) and str(name) in seen:
            table.drop("interface_name", "another session has this interface")
        seen.add(str(name))


def _calls(draft: Draft) -> Iterator[Table]:
    return (call for tunnel in draft.family("tunnel") for call in draft.family(*tunnel.name, "session"))


def _ends(draft: Draft) -> None:
    """Leave a Remote End ID to one profile: it selects one (RFC 3931 5.4.4)."""
    seen: set[Value] = set()
    for profile in draft.family("profile", "session"):
        end = profile.get("remote_end_id")
        if end is not None and str(end) in seen:
            profile.drop("remote_end_id", "another profile has it")
        seen.add(str(end))


def _sizes(draft: Draft) -> None:
    """Name at most two servers (RFC 1877)."""
    for profile in draft.family("profile", "ppp"):
        dns = profile.get("dns")
        if isinstance(dns, list) and len(dns) > 2:
            profile.keys["dns"] = profile.keys["dns"]._replace(value=dns[:2], note="there are at most two (RFC 1877)")
