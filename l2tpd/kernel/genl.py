"""Generic netlink as bytes: the operations of the Linux data plane, what the kernel answers, and its counters. Pure.

The facts of linux/l2tp.h that matter to L2TPv2 stand in two tables: what each operation says (`_REQUESTS`), and which counters there are
(`COUNTERS`). Attributes are encoded and decoded by pyroute2's message classes, repaired here: the released ones send a cookie as text, and
do not know the two newest counters.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from pyroute2.netlink import ctrlmsg
from pyroute2.netlink.generic.l2tp import l2tpmsg

from l2tpd.config.model import Pseudowire
from l2tpd.errors import PlaneError
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel, Operation

FAMILY = "l2tp"

# linux/netlink.h
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_ERROR = struct.Struct("=i")
_ATTRIBUTE = struct.Struct("=HH")
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_CAPPED, _ACK_TLVS = 0x100, 0x200
_KIND_ERROR, _KIND_DONE = 2, 3
_NLMSGERR_ATTR_MSG = 1
_CONTROL_FAMILY, _GETFAMILY = 16, 3  # linux/genetlink.h

# linux/l2tp.h
_TUNNEL_CREATE, _TUNNEL_DELETE, _TUNNEL_GET = 1, 2, 4
_SESSION_CREATE, _SESSION_DELETE, _SESSION_GET = 5, 6, 8
_VERSION = 1
_L2TPV2 = 2
_ENCAP_UDP = 0
PSEUDOWIRES: Mapping[Pseudowire, int] = {Pseudowire.PPP: 7}  # L2TP_PWTYPE_PPP is the only one of L2TPv2

COUNTERS = (
    "tx_packets",
    "tx_bytes",
    "tx_errors",
    "rx_packets",
    "rx_bytes",
    "rx_seq_discards",
    "rx_oos_packets",
    "rx_errors",
    "rx_cookie_discards",
    "rx_invalid",
)
"""What the kernel counts of a tunnel and of a session; older kernels lack the last two."""


class L2tpMessage(l2tpmsg):  # type: ignore[misc]  # pyroute2 has no types
    """An L2TP message of generic netlink, with binary cookies and every counter."""

    nla_map = tuple((name, "cdata" if "COOKIE" in name else kind) for name, kind in l2tpmsg.nla_map)

    class l2tp_stats(l2tpmsg.l2tp_stats):  # type: ignore[misc]  # noqa: N801 - the name by which nla_map finds it
        """The nested counters."""

        nla_map = (
            *l2tpmsg.l2tp_stats.nla_map,
            ("L2TP_ATTR_RX_COOKIE_DISCARDS", "uint64"),
            ("L2TP_ATTR_RX_INVALID", "uint64"),
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
    counters: Mapping[str, int]


# --- requests ---------------------------------------------------------------------------------------------------------------------


def resolve_family(sequence: int) -> bytes:
    """Return the question for the number of the family `l2tp`; the kernel tries to load the module for it."""
    return _encoded(
        ctrlmsg(), _CONTROL_FAMILY, _GETFAMILY, sequence, _REQUEST | _ACK, [("CTRL_ATTR_FAMILY_NAME", FAMILY)]
    )


def request(operation: Operation, family: int, sequence: int, descriptor: int = -1) -> bytes:
    """Return the request that carries out an operation; `descriptor` is the tunnel's socket, where one is created.

    Raises `PlaneError` for a pseudowire that the kernel does not have.
    """
    command, attributes = _REQUESTS[type(operation)]
    said = attributes(operation)
    if isinstance(operation, CreateTunnel):
        said.append(("L2TP_ATTR_FD", descriptor))
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
        counters=_counters(message),
    )


# --- within -----------------------------------------------------------------------------------------------------------------------

_Attributes = list[tuple[str, Any]]


def _create_tunnel(operation: CreateTunnel) -> _Attributes:
    return [
        ("L2TP_ATTR_CONN_ID", operation.tunnel_id),
        ("L2TP_ATTR_PEER_CONN_ID", operation.peer_tunnel_id),
        ("L2TP_ATTR_PROTO_VERSION", _L2TPV2),
        ("L2TP_ATTR_ENCAP_TYPE", _ENCAP_UDP),
    ]


def _delete_tunnel(operation: DeleteTunnel) -> _Attributes:
    return [("L2TP_ATTR_CONN_ID", operation.tunnel_id)]


def _create_session(operation: CreateSession) -> _Attributes:
    if operation.pseudowire not in PSEUDOWIRES:
        raise PlaneError(0, f"the kernel has no pseudowire `{operation.pseudowire.value}` for L2TPv2")
    said: _Attributes = [
        ("L2TP_ATTR_CONN_ID", operation.tunnel_id),
        ("L2TP_ATTR_SESSION_ID", operation.session_id),
        ("L2TP_ATTR_PEER_SESSION_ID", operation.peer_session_id),
        ("L2TP_ATTR_PW_TYPE", PSEUDOWIRES[operation.pseudowire]),
        # Not an LNS, the kernel follows the sequencing of what it receives (RFC 2661 5.4).
        ("L2TP_ATTR_LNS_MODE", int(operation.lns_mode)),
        ("L2TP_ATTR_SEND_SEQ", int(operation.sequencing)),
        ("L2TP_ATTR_RECV_SEQ", int(operation.sequencing)),
    ]
    if operation.reorder_timeout:
        said.append(("L2TP_ATTR_RECV_TIMEOUT", operation.reorder_timeout))
    return said


def _delete_session(operation: DeleteSession) -> _Attributes:
    return [("L2TP_ATTR_CONN_ID", operation.tunnel_id), ("L2TP_ATTR_SESSION_ID", operation.session_id)]


_REQUESTS: Mapping[type, tuple[int, Callable[[Any], _Attributes]]] = {
    CreateTunnel: (_TUNNEL_CREATE, _create_tunnel),
    DeleteTunnel: (_TUNNEL_DELETE, _delete_tunnel),
    CreateSession: (_SESSION_CREATE, _create_session),
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
    stats = message.get_attr("L2TP_ATTR_STATS")
    if stats is None:
        return {}
    found = {name: stats.get_attr(f"L2TP_ATTR_{name.upper()}") for name in COUNTERS}
    return {name: value for name, value in found.items() if value is not None}


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
    offset = start + ((repeated + 3) & ~3)
    while offset + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, offset)
        if length < _ATTRIBUTE.size:
            return ""
        if kind & 0x3FFF == _NLMSGERR_ATTR_MSG:
            return message[offset + _ATTRIBUTE.size : offset + length].rstrip(b"\0").decode(errors="replace")
        offset += (length + 3) & ~3
    return ""
