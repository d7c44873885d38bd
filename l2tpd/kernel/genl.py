"""Generic netlink as bytes: the operations of the Linux data plane, what the kernel answers, and its counters. Pure.

The facts of linux/l2tp.h that matter to us stand in tables: what each operation says (`_REQUESTS`), which pseudowires a version has
(`PSEUDOWIRES`), and which counters there are (`COUNTERS`). Number and width of an attribute are what pyroute2's table of them says. Its message
classes do the family, which is asked for once; of the rest there may be thousands a second, for which they are too slow (134 us to read a
session), and the released ones send a cookie as text and do not know the two newest counters.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pyroute2.netlink import ctrlmsg
from pyroute2.netlink.generic import l2tp

from l2tpd.config.model import Encapsulation, Pseudowire, Sublayer
from l2tpd.errors import PlaneError
from l2tpd.kernel import nlmsg
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel, ModifySession, Operation

FAMILY = "l2tp"

_CONTROL_FAMILY, _GETFAMILY = 16, 3  # linux/genetlink.h
_GENERIC = struct.Struct("=BB2x")  # linux/genetlink.h: command, version
_ASKED = nlmsg.REQUEST | nlmsg.ACK
_FIRST = nlmsg.HEADER.size + _GENERIC.size  # where the attributes begin

# linux/l2tp.h
_TUNNEL_CREATE, _TUNNEL_DELETE, _TUNNEL_GET = 1, 2, 4
_SESSION_CREATE, _SESSION_DELETE, _SESSION_MODIFY, _SESSION_GET = 5, 6, 7, 8
_VERSION = 1
_ENCAPSULATIONS: Mapping[Encapsulation, int] = {Encapsulation.UDP: 0, Encapsulation.IP: 1}
_SUBLAYERS: Mapping[Sublayer, int] = {Sublayer.NONE: 0, Sublayer.DEFAULT: 1}
NO_NUMBERS = "data packets without an L2-specific sublayer have no place for numbers"
COOKIE_OCTETS = (0, 4, 8)  # RFC 3931 4.1

# The kernel knows a VLAN pseudowire (4) only by name: it is an Ethernet one with a VLAN link on it, which puts the same on the wire (RFC 4719 3.2).
PSEUDOWIRES: Mapping[int, Mapping[Pseudowire, int]] = {
    2: {Pseudowire.PPP: 7},
    3: {Pseudowire.PPP: 7, Pseudowire.ETH: 5, Pseudowire.ETH_VLAN: 5},
}
"""By version, L2TP_PWTYPE_* of what the kernel can carry."""

_COUNTERS: Mapping[int, str] = {
    1: "tx_packets",
    2: "tx_bytes",
    3: "tx_errors",
    4: "rx_packets",
    5: "rx_bytes",
    6: "rx_seq_discards",
    7: "rx_oos_packets",
    8: "rx_errors",
    10: "rx_cookie_discards",
    11: "rx_invalid",
}
COUNTERS = tuple(_COUNTERS.values())
"""What the kernel counts of a tunnel and of a session (nested in L2TP_ATTR_STATS); older kernels lack the last two."""

_SCALARS: Mapping[str, tuple[int, struct.Struct]] = {
    "uint8": (5, struct.Struct("=HHB3x")),
    "uint16": (6, struct.Struct("=HHH2x")),
    "uint32": (8, struct.Struct("=HHI")),
    "uint64": (12, struct.Struct("=HHQ")),
}
"""By pyroute2's name of a number's width: the length of an attribute with such a value, and the whole of it: length, kind, value, padding."""

_ATTRIBUTES: Mapping[str, tuple[int, tuple[int, struct.Struct] | None]] = {
    name: (number, _SCALARS.get(kind)) for number, (name, kind) in enumerate(l2tp.l2tpmsg.nla_map)
}
"""By name: the number of an attribute, and how it is built; None where its value comes as octets."""


class TunnelFacts(NamedTuple):
    """A tunnel as the kernel shows it."""

    tunnel_id: int
    peer_tunnel_id: int
    version: int
    counters: Mapping[str, int]


class SessionFacts(NamedTuple):
    """A session as the kernel shows it."""

    tunnel_id: int
    session_id: int
    peer_session_id: int
    pseudowire: int
    lns_mode: bool
    send_sequence: bool
    receive_sequence: bool
    reorder_timeout: int  # milliseconds
    interface: str  # empty: it has none, or has PPP, whose interface the kernel does not tell
    counters: Mapping[str, int]


# --- requests ---------------------------------------------------------------------------------------------------------------------


def resolve_family(sequence: int) -> bytes:
    """Return the question for the number of the family `l2tp`; the kernel tries to load the module for it."""
    message = ctrlmsg()
    message["cmd"], message["version"] = _GETFAMILY, _VERSION
    message["attrs"] = [("CTRL_ATTR_FAMILY_NAME", FAMILY)]
    message["header"].update({"type": _CONTROL_FAMILY, "flags": _ASKED, "sequence_number": sequence, "pid": 0})
    message.encode()
    return bytes(message.data)


def request(operation: Operation, family: int, sequence: int, *, descriptor: int = -1, version: int = 2) -> bytes:
    """Return the request that carries out an operation.

    `descriptor` is the tunnel's socket, where one is created, and `version` that of the tunnel, where a session is. Raises `PlaneError` for what the
    kernel does not have.
    """
    command, attributes = _REQUESTS[type(operation)]
    said = attributes(operation)
    if isinstance(operation, CreateTunnel):
        said.append(("L2TP_ATTR_FD", descriptor))
    elif isinstance(operation, CreateSession):
        said += _of_version(operation, version)
    return _encoded(family, command, sequence, _ASKED, said)


def query(family: int, sequence: int, tunnel_id: int, session_id: int = 0) -> bytes:
    """Return the question for a session, or for a tunnel when `session_id` is 0."""
    attributes = [("L2TP_ATTR_CONN_ID", tunnel_id)]
    if session_id:
        attributes.append(("L2TP_ATTR_SESSION_ID", session_id))
    command = _SESSION_GET if session_id else _TUNNEL_GET
    return _encoded(family, command, sequence, _ASKED, attributes)


def dump_tunnels(family: int, sequence: int) -> bytes:
    """Return the question for all tunnels."""
    return _encoded(family, _TUNNEL_GET, sequence, nlmsg.REQUEST | nlmsg.DUMP, [])


def dump_sessions(family: int, sequence: int) -> bytes:
    """Return the question for all sessions of all tunnels."""
    return _encoded(family, _SESSION_GET, sequence, nlmsg.REQUEST | nlmsg.DUMP, [])


# --- answers ----------------------------------------------------------------------------------------------------------------------


def family_of(body: bytes) -> int:
    """Read the number of a family out of an answer."""
    message = ctrlmsg(body)
    message.decode()
    return int(message.get_attr("CTRL_ATTR_FAMILY_ID"))


def tunnel_of(body: bytes) -> TunnelFacts:
    """Read a tunnel out of an answer."""
    said = dict(nlmsg.attributes(body, _FIRST))
    return TunnelFacts(
        _number(said, l2tp.L2TP_ATTR_CONN_ID),
        _number(said, l2tp.L2TP_ATTR_PEER_CONN_ID),
        _number(said, l2tp.L2TP_ATTR_PROTO_VERSION),
        _counters(said),
    )


def session_of(body: bytes) -> SessionFacts:
    """Read a session out of an answer."""
    said = dict(nlmsg.attributes(body, _FIRST))
    return SessionFacts(
        tunnel_id=_number(said, l2tp.L2TP_ATTR_CONN_ID),
        session_id=_number(said, l2tp.L2TP_ATTR_SESSION_ID),
        peer_session_id=_number(said, l2tp.L2TP_ATTR_PEER_SESSION_ID),
        pseudowire=_number(said, l2tp.L2TP_ATTR_PW_TYPE),
        lns_mode=bool(_number(said, l2tp.L2TP_ATTR_LNS_MODE)),
        send_sequence=bool(_number(said, l2tp.L2TP_ATTR_SEND_SEQ)),
        receive_sequence=bool(_number(said, l2tp.L2TP_ATTR_RECV_SEQ)),
        reorder_timeout=_number(said, l2tp.L2TP_ATTR_RECV_TIMEOUT),
        interface=nlmsg.text(said.get(l2tp.L2TP_ATTR_IFNAME, b"")),
        counters=_counters(said),
    )


def counters_of(body: bytes) -> dict[str, int]:
    """Read what is counted of a tunnel or session out of an answer, and nothing else: there may be thousands to add up."""
    return _counters(dict(nlmsg.attributes(body, _FIRST)))


# --- within -----------------------------------------------------------------------------------------------------------------------

_Attributes = list[tuple[str, Any]]


def _create_tunnel(operation: CreateTunnel) -> _Attributes:
    return [
        ("L2TP_ATTR_CONN_ID", operation.tunnel_id),
        ("L2TP_ATTR_PEER_CONN_ID", operation.peer_tunnel_id),
        ("L2TP_ATTR_PROTO_VERSION", operation.version),
        ("L2TP_ATTR_ENCAP_TYPE", _ENCAPSULATIONS[operation.encap]),
    ]


def _delete_tunnel(operation: DeleteTunnel) -> _Attributes:
    return [("L2TP_ATTR_CONN_ID", operation.tunnel_id)]


def _create_session(operation: CreateSession) -> _Attributes:
    said: _Attributes = [
        ("L2TP_ATTR_CONN_ID", operation.tunnel_id),
        ("L2TP_ATTR_SESSION_ID", operation.session_id),
        ("L2TP_ATTR_PEER_SESSION_ID", operation.peer_session_id),
        *_numbering(operation),
    ]
    if operation.reorder_timeout:
        said.append(("L2TP_ATTR_RECV_TIMEOUT", operation.reorder_timeout))
    return said


def _of_version(operation: CreateSession, version: int) -> _Attributes:
    """Return what depends on the version of the tunnel. Raises `PlaneError` for what it does not have."""
    kinds, pseudowire = PSEUDOWIRES[version], operation.pseudowire
    if pseudowire not in kinds:
        raise PlaneError(errno.EPROTONOSUPPORT, f"the kernel has no pseudowire `{pseudowire.value}` for L2TPv{version}")
    said: _Attributes = [("L2TP_ATTR_PW_TYPE", kinds[pseudowire])]
    # Without this the kernel follows the numbering of what it receives, as the LAC of RFC 2661 5.4 has to. Version 3 has no such rule: ours holds.
    said.append(("L2TP_ATTR_LNS_MODE", int(operation.lns_mode or version == 3)))
    return said + _of_header(operation) if version == 3 else said


def _of_header(operation: CreateSession) -> _Attributes:
    """Return what stands in the header of a version 3 data packet behind the session id (RFC 3931 4.1)."""
    if operation.sequencing and operation.sublayer is Sublayer.NONE:
        raise PlaneError(errno.EINVAL, NO_NUMBERS)
    said: _Attributes = [("L2TP_ATTR_L2SPEC_TYPE", _SUBLAYERS[operation.sublayer])]
    # The kernel's cookie is the one that it sends.
    for name, cookie in (("L2TP_ATTR_COOKIE", operation.peer_cookie), ("L2TP_ATTR_PEER_COOKIE", operation.cookie)):
        if len(cookie) not in COOKIE_OCTETS:
            raise PlaneError(errno.EINVAL, f"a cookie has 4 or 8 octets, not {len(cookie)}")
        if cookie:
            said.append((name, cookie))
    if operation.link.name and operation.pseudowire is not Pseudowire.PPP:
        said.append(("L2TP_ATTR_IFNAME", operation.link.name.encode() + b"\0"))
    return said


def _modify_session(operation: ModifySession) -> _Attributes:
    return [
        ("L2TP_ATTR_CONN_ID", operation.tunnel_id),
        ("L2TP_ATTR_SESSION_ID", operation.session_id),
        *_numbering(operation),
    ]


def _numbering(operation: CreateSession | ModifySession) -> _Attributes:
    return [
        ("L2TP_ATTR_SEND_SEQ", int(operation.sequencing)),
        ("L2TP_ATTR_RECV_SEQ", int(operation.sequencing)),
    ]


def _delete_session(operation: DeleteSession) -> _Attributes:
    return [("L2TP_ATTR_CONN_ID", operation.tunnel_id), ("L2TP_ATTR_SESSION_ID", operation.session_id)]


_REQUESTS: Mapping[type, tuple[int, Callable[[Any], _Attributes]]] = {
    CreateTunnel: (_TUNNEL_CREATE, _create_tunnel),
    DeleteTunnel: (_TUNNEL_DELETE, _delete_tunnel),
    CreateSession: (_SESSION_CREATE, _create_session),
    ModifySession: (_SESSION_MODIFY, _modify_session),
    DeleteSession: (_SESSION_DELETE, _delete_session),
}


def _encoded(family: int, command: int, sequence: int, flags: int, attributes: _Attributes) -> bytes:
    parts = [_GENERIC.pack(command, _VERSION), *(_attribute(name, value) for name, value in attributes)]
    return nlmsg.message(family, flags, sequence, b"".join(parts))


def _attribute(name: str, value: Any) -> bytes:
    kind, scalar = _ATTRIBUTES[name]
    if scalar is None:
        return nlmsg.attribute(kind, value)
    length, layout = scalar
    return layout.pack(length, kind, value)


def _number(said: Mapping[int, bytes], kind: int) -> int:
    return nlmsg.number(said.get(kind, b""))


def _counters(said: Mapping[int, bytes]) -> dict[str, int]:
    found = nlmsg.attributes(said.get(l2tp.L2TP_ATTR_STATS, b""))
    return {_COUNTERS[kind]: nlmsg.number(value) for kind, value in found if kind in _COUNTERS}
