"""A capture of the cable, and tshark's judgement of it: an oracle that owes nothing to our own decoder."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

from interop.netns import CABLE, Cable
from interop.program import Program, polled, running, spawn

# fmt: off
MESSAGES = {
    1: "SCCRQ", 2: "SCCRP", 3: "SCCCN", 4: "StopCCN", 6: "HELLO",
    7: "OCRQ", 8: "OCRP", 9: "OCCN", 10: "ICRQ", 11: "ICRP", 12: "ICCN", 14: "CDN",
    15: "WEN", 16: "SLI", 20: "ACK",
}
# fmt: on
"""RFC 2661 3.2 and RFC 3931 3.1, written down apart from the product's own table."""

WARN = 0x0060_0000
"""Wireshark's severity of an expert item from which on something is wrong: notes and chats are below, errors above."""

L2TP = 115
"""The IP protocol of L2TPv3 without UDP (RFC 3931 4.1.1)."""

MARK = b"end of the interop capture"
MARK_PORT = 9  # discard

FIELDS = [
    "frame.number",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "l2tp.type",
    "l2tp.version",
    "l2tp.tunnel",
    "l2tp.ccid",
    "l2tp.session",
    "l2tp.Ns",
    "l2tp.avp.message_type",
    "l2tp.avp.assigned_tunnel_id",
    "l2tp.avp.assigned_control_conn_id",
    "l2tp.avp.message_digest",
    "l2tp.result_code",
    "l2tp.avp.error_code",
    "l2tp.avp.error_message",
    "l2tp.avp.type",
    "l2tp.avp.hidden",
    "_ws.expert.severity",
    "_ws.expert.message",
    "_ws.malformed",
]
"""What we ask tshark for: a column each."""


@attrs.frozen(kw_only=True)
class Packet:
    """One L2TP packet as tshark understood it; `result` and `error` are those of its Result Code AVP, `message` is "ZLB" without AVPs.

    In version 3 `tunnel_id` is the control connection id of the header, and `digest` the Message Digest AVP: an octet for the
    algorithm (RFC 3931 5.4.1: 0 is HMAC-MD5, 1 is HMAC-SHA-1), and the digest, in hexadecimal digits.
    """

    frame: int
    source: str
    target: str
    control: bool
    version: int
    tunnel_id: int
    session_id: int
    ns: int
    message: str
    assigned: str  # the Assigned Tunnel ID or Control Connection ID, where there is one
    digest: str
    result: int | None
    error: int | None
    text: str
    avps: tuple[int, ...]  # their types, in order
    hidden: int  # how many of them are
    faults: str  # expert items of severity warning or error, malformation; empty: sound


@attrs.frozen
class Wire:
    """All L2TP datagrams of a capture in their order, with the questions that tests ask."""

    packets: tuple[Packet, ...]

    def faults(self) -> list[str]:
        """Say what tshark holds against any packet."""
        return [f"frame {p.frame} {p.source} {p.message}: {p.faults}" for p in self.packets if p.faults]

    def sent(self, source: str, message: str) -> list[Packet]:
        """Return the datagrams of one type that this address sent."""
        return [p for p in self.packets if p.source == source and p.message == message]

    def codes(self, source: str, message: str) -> list[tuple[int | None, int | None]]:
        """Return result and error of each StopCCN or CDN that this address sent, retransmissions once."""
        return list(dict.fromkeys((p.result, p.error) for p in self.sent(source, message)))

    def dialogue(self) -> str:
        """Write the capture down, for the reader of a failure."""
        return "\n".join(map(_shown, self.packets))

    def messages(self, source: str) -> list[str]:
        """Name the messages that this address sent, in order and each once: neither acknowledgements, data nor retransmissions."""
        unique = {(p.tunnel_id, p.ns, p.assigned): p.message for p in self.packets if p.source == source and p.control}
        return [message for message in unique.values() if message not in {"ZLB", "ACK"}]


def _shown(p: Packet) -> str:
    code = "" if p.result is None else f" result {p.result} error {p.error} {p.text!r}"
    fault = f" !! {p.faults}" if p.faults else ""
    return f"{p.frame:4} v{p.version} {p.source:>12} > {p.tunnel_id}/{p.session_id} {p.message}{code}{fault}"


class Capture(Program):
    """dumpcap on our end of the cable."""

    def __init__(self, name: str, process: trio.Process, cable: Cable, path: Path) -> None:
        """Take over a dumpcap that writes to `path`."""
        super().__init__(name, process)
        self.secret = ""  # that signs the messages of version 3 in it, for tshark to verify them
        self._cable = cable
        self._path = path

    async def finish(self) -> Wire:
        """Stop when everything that was on the cable before is in the file, and return tshark's reading."""
        # The mark is the last packet; dumpcap writes in order, so whatever was on the cable before it is in the file too.
        shell = f"printf '{MARK.decode()}' > /dev/udp/{self._cable.them.address}/{MARK_PORT}"
        await trio.to_thread.run_sync(self._cable.us.call, "bash", "-c", shell)

        async def marked() -> bool | None:
            return MARK in await trio.Path(self._path).read_bytes() or None

        await polled(marked, lambda: "dumpcap did not write the last packet down")
        self.signal(signal.SIGINT)
        await self.ended()
        return await trio.to_thread.run_sync(read, self._path, self.secret)


@asynccontextmanager
async def capturing(cable: Cable, path: Path) -> AsyncIterator[Capture]:
    """Capture everything that may be L2TP on the cable into `path` while the block runs."""
    wanted = f"udp or ip proto {L2TP} or ip6 proto {L2TP}"
    argv = cable.us.command("dumpcap", "-q", "-i", CABLE, "-f", wanted, "-w", str(path))
    async with running(Capture("dumpcap", await spawn(argv), cable, path), signal.SIGINT) as capture:
        await capture.says(r"^File: ")  # said once the interface is open
        yield capture


def read(path: Path, secret: str = "") -> Wire:
    """Let tshark dissect a capture file, and verify with the secret what is signed in it; raises `CalledProcessError` when it cannot read it."""
    fields = [f"-e{field}" for field in FIELDS]
    only = f"l2tp || ip.proto == {L2TP} || ipv6.nxt == {L2TP} || (udp && udp.dstport != {MARK_PORT})"
    shape = ["-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=;"]
    verify = ["-o", f"l2tp.shared_secret:{secret}"]
    argv = ["tshark", "-n", "-r", str(path), *verify, "-Y", only, *shape, *fields]
    # C.UTF-8: tshark escapes what the locale cannot show. HOME: no user's preferences change the judgement.
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60, env=env)
    return Wire(tuple(_packet(line.split("\t")) for line in done.stdout.splitlines()))


def _packet(columns: Sequence[str]) -> Packet:
    row = dict(zip(FIELDS, columns, strict=True))
    control = row["l2tp.type"] in {"1", "True"}
    kind = _number(row["l2tp.avp.message_type"])
    return Packet(
        frame=int(row["frame.number"]),
        source=row["ip.src"] or row["ipv6.src"],
        target=row["ip.dst"] or row["ipv6.dst"],
        control=control,
        version=_number(row["l2tp.version"]) or 0,
        tunnel_id=_number(row["l2tp.tunnel"] or row["l2tp.ccid"]) or 0,
        session_id=_number(row["l2tp.session"]) or 0,
        ns=_number(row["l2tp.Ns"]) or 0,
        message=MESSAGES.get(kind, f"message {kind}") if kind is not None else "ZLB" if control else "data",
        assigned=row["l2tp.avp.assigned_tunnel_id"] or row["l2tp.avp.assigned_control_conn_id"],
        digest=row["l2tp.avp.message_digest"],
        result=_number(row["l2tp.result_code"]),
        error=_number(row["l2tp.avp.error_code"]),
        text=row["l2tp.avp.error_message"],
        avps=tuple(int(word, 0) for word in row["l2tp.avp.type"].split(";") if word),
        hidden=sum(bit in {"1", "True"} for bit in row["l2tp.avp.hidden"].split(";")),
        faults=_faults(row),
    )


def _faults(row: dict[str, str]) -> str:
    severities = [int(word, 0) for word in row["_ws.expert.severity"].split(";") if word]
    faults = [f"expert: {row['_ws.expert.message']}"] if any(severity >= WARN for severity in severities) else []
    faults += ["malformed"] if row["_ws.malformed"] else []
    faults += ["not L2TP"] if not row["l2tp.type"] else []
    return ", ".join(faults)


def _number(text: str) -> int | None:
    return int(text.split(";", maxsplit=1)[0], 0) if text else None
