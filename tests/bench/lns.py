"""A fast LNS without configuration or PPP, for LACs to be measured against and as the generator's own counterpart."""

import os
from array import array
from collections import Counter
from time import monotonic, process_time

from bench import packets
from bench.engine import Address, Engine, Link, Sent
from bench.measure import milliseconds, rate


class Accepted(Link):
    """One accepted tunnel seen from the LNS."""

    __slots__ = ("asked", "began", "challenge", "key", "up")

    def __init__(self, local: int, dest: Address, source: bytes, key: tuple[Address, int]) -> None:
        """Make the tunnel that `key` (peer address and its tunnel id) asked for."""
        super().__init__(local, dest, source)
        self.key = key
        self.challenge = b""
        self.began = 0.0
        self.up = False
        self.asked: dict[int, int] = {}


class Lns:
    """All tunnels of the LNS, as the role of one engine."""

    def __init__(self, engine: Engine[Accepted], secret: bytes = b"") -> None:
        """Take the engine over."""
        self.engine = engine
        engine.role = self
        self.secret = secret
        self.up = self.calls_up = self.tunnels = self.calls = 0
        self.latency = array("d")
        self.stopccns: Counter[str] = Counter()
        self._known: dict[tuple[Address, int], Accepted] = {}
        self._serial = 0
        self._cpu = process_time()
        self._first = self._last = 0.0

    def serve(self, tunnels: int = 0, calls: int = 0, seconds: float = 0.0) -> None:
        """Serve until so many tunnels and calls came up and `seconds` more have passed; for ever when all are 0."""
        while not (tunnels or calls) or self.tunnels < tunnels or self.calls < calls:
            self.engine.turn(1.0)
        end = monotonic() + seconds
        while monotonic() < end:
            self.engine.turn(0.1)

    def report(self) -> dict[str, object]:
        """Return what was seen: totals, rates between the first SCCRQ and the last set-up, SCCRP to SCCCN times."""
        wall = self._last - self._first
        return {
            "phase": "lns",
            "tunnels": self.tunnels,
            "sessions": self.calls,
            "tunnels_up": self.up,
            "sessions_up": self.calls_up,
            "seconds": round(wall, 3),
            "tunnels_per_s": round(rate(self.tunnels, wall), 1),
            "sessions_per_s": round(rate(self.calls, wall), 1),
            "scccn": milliseconds(self.latency),
            "generator_cpu": round(process_time() - self._cpu, 3),
            "datagrams": self.engine.counts,
            "complaints": self.engine.complaints,
            "stopccn": self.stopccns,
        }

    def stranger(self, data: bytes, hit: bytes, sender: Address) -> None:
        """Accept an SCCRQ; acknowledge a repeated StopCCN; ignore all else."""
        try:
            kind = packets.message_type(data) if len(data) > packets.HEADER_LENGTH else 0
            if kind == packets.SCCRQ and data[4:6] == b"\0\0":
                self._sccrq(packets.avps(data, packets.SCCRQ), hit, sender)
            elif kind == packets.STOPCCN:
                self._late_stopccn(data, hit, sender)
            else:
                self.engine.counts["strangers"] += 1
        except packets.MalformedError as error:
            self.engine.complaints[str(error)] += 1

    def _sccrq(self, found: dict[int, bytes], hit: bytes, sender: Address) -> None:
        remote = packets.u16(found.get(packets.ASSIGNED_TUNNEL_ID, b""))
        if (sender, remote) in self._known or not remote:
            self.engine.counts["duplicates"] += 1
            return
        call = Accepted(self.engine.free_id(), sender, hit, (sender, remote))
        call.remote = remote
        call.nr = 1
        call.window = max(1, packets.u16(found.get(packets.RECEIVE_WINDOW_SIZE, b"\0\4")))
        call.challenge = os.urandom(16) if self.secret else b""
        challenge = found.get(packets.CHALLENGE, b"")
        answer = packets.response(packets.SCCRP, self.secret, challenge) if challenge else b""
        self.engine.links[call.local] = self._known[call.key] = call
        self._first = self._first or monotonic()
        call.began = monotonic()
        self.engine.send(call, packets.sccrp(remote, call.local, call.challenge, answer), packets.SCCRP)

    def _late_stopccn(self, data: bytes, hit: bytes, sender: Address) -> None:
        """Acknowledge a StopCCN for a tunnel that is gone, from what it says itself: no state lingers."""
        self.engine.counts["duplicates"] += 1
        remote = packets.u16(packets.avps(data, packets.STOPCCN)[packets.ASSIGNED_TUNNEL_ID])
        _, _, _, _, ns, nr = packets.HEADER.unpack_from(data)
        passing = Accepted(0, sender, hit, (sender, remote))
        self.engine.transmit(passing, packets.zlb(remote, nr, (ns + 1) & 0xFFFF))

    def message(self, link: Accepted, kind: int, session: int, data: bytes, sender: Address) -> None:
        """Answer the next message of a tunnel."""
        match kind:
            case packets.ICRQ:
                self._icrq(link, data)
            case packets.ICCN if session in link.asked:
                self.calls += 1
                self.calls_up += 1
                self._last = monotonic()
            case packets.SCCCN:
                self._scccn(link, data)
            case packets.CDN if link.asked.pop(session, None) is not None:
                self.calls_up -= 1
            case packets.STOPCCN:
                self._stopccn(link, data)
            case packets.HELLO:
                self.engine.counts["hellos received"] += 1
            case _:
                self.engine.counts["unexpected"] += 1

    def _scccn(self, call: Accepted, data: bytes) -> None:
        answer = packets.avps(data, packets.SCCCN).get(packets.CHALLENGE_RESPONSE, b"")
        if call.challenge and not packets.response_is_right(packets.SCCCN, self.secret, call.challenge, answer):
            self.engine.complaints["wrong Challenge Response in SCCCN"] += 1
            self._drop(call)
            return
        self._last = monotonic()
        self.latency.append(self._last - call.began)
        call.up = True
        self.tunnels += 1
        self.up += 1

    def _icrq(self, call: Accepted, data: bytes) -> None:
        remote = packets.u16(packets.avps(data, packets.ICRQ).get(packets.ASSIGNED_SESSION_ID, b""))
        self._serial = session = self._serial % 0xFFFF + 1
        call.asked[session] = remote
        self.engine.send(call, packets.icrp(call.remote, remote, session), packets.ICRP, session)

    def _stopccn(self, call: Accepted, data: bytes) -> None:
        result, error = packets.result_code(packets.avps(data, packets.STOPCCN)[packets.RESULT_CODE])
        self.stopccns[f"{result}/{error}"] += 1
        self.engine.acknowledge(call)
        self._drop(call)

    def _drop(self, call: Accepted) -> None:
        if call.up:
            self.up -= 1
            self.calls_up -= len(call.asked)
        self._known.pop(call.key, None)
        self.engine.forget(call)

    def acknowledged(self, sent: Sent[Accepted]) -> None:
        """Need nothing more: the LNS waits for messages, not for acknowledgements."""

    def silent(self, link: Accepted) -> None:
        """Drop a tunnel whose LAC is gone."""
        self._drop(link)
