"""Generic netlink as bytes: the operations of the Linux data plane, what the kernel answers, and its counters. Pure.

The facts of linux/l2tp.h that matter to us stand in tables: what each operation says (`_REQUESTS`), which pseudowires a version has
(`PSEUDOWIRES`), and which counters there are (`COUNTERS`). Attributes are encoded and decoded by pyroute2's message classes, repaired here: the
released ones send a cookie as text, and do not know the two newest counters.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from pyroute2.netlink import ctrlmsg
from pyroute2.netlink.generic.l2tp import l2tpmsg

from l2tpd.config.model import Encapsulation, Pseudowire, Sublayer
from l2tpd.errors import PlaneError
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel, ModifySession, Operation

FAMILY = "l2tp"

# linux/netlink.h
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_ERROR = struct.Struct("=i")
_ATTRIBUTE = struct.Struct("=HH")
_KIND_MASK = 0x3FFF  # less the flags of nesting and byte order
_COUNT = struct.Struct("=Q")
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_CAPPED, _ACK_TLVS = 0x100, 0x200
_KIND_ERROR, _KIND_DONE = 2, 3
_NLMSGERR_ATTR_MSG = 1
_CONTROL_FAMILY, _GETFAMILY = 16, 3  # linux/genetlink.h

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


class L2tpMessage(l2tpmsg):  # type: ignore[misc]  # pyroute2 has no types
    """An L2TP message of generic netlink, with binary cookies, and counters as they come, since there may be thousands of sessions to add up."""

    nla_map = tuple(
        (name, "cdata" if "COOKIE" in name or name == "L2TP_ATTR_STATS" else kind) for name, kind in l2tpmsg.nla_map
    )


class Answer(NamedTuple):
    """One message of the kernel: an acknowledgement or the end of a dump (`final`), with `errno` 0 if all is well, or a part of the answer."""

    sequence: int
    final: bool
    errno: int = 0
    text: str = ""
    body: bytes = b""


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
    return _encoded(
        ctrlmsg(), _CONTROL_FAMILY, _GETFAMILY, sequence, _REQUEST | _ACK, [("CTRL_ATTR_FAMILY_NAME", FAMILY)]
    )


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
    return _encoded(L2tpMessage(), family, command, sequence, _REQUEST | _ACK, said)


def query(family: int, sequence: int, tunnel_id: int, session_id: int = 0) -> bytes:
    """Return the question for a session, or for a tunnel when `session_id` is 0."""
    attributes = [("L2TP_ATTR_CONN_ID", tunnel_id)]
    if session_id:
        attributes.append(("L2TP_ATTR_SESSION_ID", session_id))
    command = _SESSION_GET if session_id else _TUNNEL_GET
    return _encoded(L2tpMessage(), family, command, sequence, _REQUEST | _ACK, attributes)


def dump_tunnels(family: int, sequence: int) -> bytes:
    """Return the question for all tunnels."""
    return _encoded(L2tpMessage(), family, _TUNNEL_GET, sequence, _REQUEST | _DUMP, [])


def dump_sessions(family: int, sequence: int) -> bytes:
    """Return the question for all sessions of all tunnels."""
    return _encoded(L2tpMessage(), family, _SESSION_GET, sequence, _REQUEST | _DUMP, [])


# --- answers ----------------------------------------------------------------------------------------------------------------------


def answers(data: bytes) -> Iterator[Answer]:
    """Take apart what one reading of the socket gave."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        message = data[offset : offset + length]
        offset += (length + 3) & ~3
        if kind in {_KIND_ERROR, _KIND_DONE}:
            yield _final(message, flags, sequence)
        else:
            yield Answer(sequence, final=False, body=message)


def family_of(body: bytes) -> int:
    """Read the number of a family out of an answer."""
    message = ctrlmsg(body)
    message.decode()
    return int(message.get_attr("CTRL_ATTR_FAMILY_ID"))


def tunnel_of(body: bytes) -> TunnelFacts:
    """Read a tunnel out of an answer."""
    message = _decoded(body)
    return TunnelFacts(
        message.get_attr("L2TP_ATTR_CONN_ID"),
        message.get_attr("L2TP_ATTR_PEER_CONN_ID"),
        message.get_attr("L2TP_ATTR_PROTO_VERSION"),
        _counters(message),
    )


def session_of(body: bytes) -> SessionFacts:
    """Read a session out of an answer."""
    message = _decoded(body)
    return SessionFacts(
        tunnel_id=message.get_attr("L2TP_ATTR_CONN_ID"),
        session_id=message.get_attr("L2TP_ATTR_SESSION_ID"),
        peer_session_id=message.get_attr("L2TP_ATTR_PEER_SESSION_ID"),
        pseudowire=message.get_attr("L2TP_ATTR_PW_TYPE"),
        lns_mode=bool(message.get_attr("L2TP_ATTR_LNS_MODE")),
        send_sequence=bool(message.get_attr("L2TP_ATTR_SEND_SEQ")),
        receive_sequence=bool(message.get_attr("L2TP_ATTR_RECV_SEQ")),
        reorder_timeout=message.get_attr("L2TP_ATTR_RECV_TIMEOUT") or 0,
        interface=message.get_attr("L2TP_ATTR_IFNAME") or "",
        counters=_counters(message),
    )


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
        said.append(("L2TP_ATTR_IFNAME", operation.link.name))
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


def _encoded(message: Any, kind: int, command: int, sequence: int, flags: int, attributes: _Attributes) -> bytes:
    message["cmd"] = command
    message["version"] = _VERSION
    message["attrs"] = attributes
    message["header"].update({"type": kind, "flags": flags, "sequence_number": sequence, "pid": 0})
    message.encode()
    return bytes(message.data)


def _decoded(body: bytes) -> Any:
    message = L2tpMessage(body)
    message.decode()
    return message


def _counters(message: Any) -> dict[str, int]:
    data = message.get_attr("L2TP_ATTR_STATS") or b""
    found = ((_COUNTERS.get(kind), value) for kind, value in _attributes(data, 0))
    return {name: _COUNT.unpack_from(value)[0] for name, value in found if name and len(value) >= _COUNT.size}


def _attributes(data: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield kind and value of the attributes from an offset on, as far as they are whole."""
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _KIND_MASK, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def _final(message: bytes, flags: int, sequence: int) -> Answer:
    code = _ERROR.unpack_from(message, _HEADER.size)[0] if len(message) >= _HEADER.size + _ERROR.size else 0
    text = _extended_text(message, flags) if flags & _ACK_TLVS else ""
    return Answer(sequence, final=True, errno=-code, text=text)


def _extended_text(message: bytes, flags: int) -> str:
    """Return what the kernel says in words; it follows the request, of which a capped answer repeats only the header."""
    start = _HEADER.size + _ERROR.size
    if len(message) < start + _HEADER.size:
        return ""
    repeated = _HEADER.size if flags & _CAPPED else _HEADER.unpack_from(message, start)[0]
    words = (value for kind, value in _attributes(message, start + ((repeated + 3) & ~3)) if kind == _NLMSGERR_ATTR_MSG)
    return next(words, b"").rstrip(b"\0").decode(errors="replace")
