"""The core without the daemon: two control connections set up a tunnel and a session over a transport of your own.

A `ControlConnection` reads no clock, no socket and no random source. You bring it datagrams and the time, and carry away datagrams and outputs;
whether that happens in trio, asyncio, a thread or a simulator is yours to choose. Here the transport is a pair of sockets that knows nothing of IP.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable

from l2tpd.config.model import Address, SessionSettings, TunnelSettings
from l2tpd.events import Origin, SessionEvent, TunnelEvent
from l2tpd.kernel.ops import CreateSession
from l2tpd.session.call import Kind
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.outputs import Output
from l2tpd.tunnel.site import Site
from l2tpd.tunnel.states import State
from l2tpd.wire.header import parse_control

PEER = Address("any", 0)  # the transport has one far end, so every datagram comes from the same place


class Everyone:
    """The policy on calls: everyone may have one."""

    def admit(self, tunnel: ControlConnection, kind: Kind, end_id: str) -> tuple[str, SessionSettings]:
        """Return profile and settings of a call that the peer asks for; raise `RemoteProtocolError` to refuse."""
        return "default", SessionSettings()

    def began(self, tunnel: ControlConnection) -> None:
        """Count a call, if you count."""

    def ended(self, tunnel: ControlConnection) -> None:
        """Count it as over."""


class End:
    """One end: a core and the transport under it."""

    def __init__(self, name: str, transport: socket.socket, origin: Origin) -> None:
        """Start idle; `origin` says who begins: `local` for us, `network` for the peer."""
        self.name, self.transport = name, transport
        site = Site(random=os.urandom, calls=Everyone(), hostname=name, vendor_name="embed")
        settings = TunnelSettings(secret="s3cret")  # noqa: S106 - of this example alone
        local_id = int.from_bytes(os.urandom(2), "big") or 1
        self.core = ControlConnection(local_id, site, settings, PEER, time.monotonic(), origin=origin)

    def receive(self) -> None:
        """Bring the core a datagram."""
        data, now = self.transport.recv(65535), time.monotonic()
        if self.core.state is State.IDLE:  # it asks for the tunnel; a server would make a core for each such datagram
            self.core.take_packet(*parse_control(data), PEER, now)
        else:
            self.core.receive_datagram(data, PEER, now)

    def flush(self) -> None:
        """Tell the core the time, then carry out what it asks for and send what it has to say."""
        now = time.monotonic()
        self.core.handle_timer(now)
        while outputs := self.core.take_outputs():
            for output in outputs:
                self.act(output, now)
        for datagram in self.core.datagrams_to_send(now):
            self.transport.send(datagram)

    def act(self, output: Output, now: float) -> None:
        """Carry out one thing that the core asks for."""
        match output:
            case TunnelEvent() | SessionEvent():
                print(f"{self.name}: {type(output).__name__} {output.what.value} {output.message}".rstrip())
            case CreateSession():  # your data plane begins its work; it may answer later
                self.core.plane_up(output.session_id, "embedded0", now)
            case _:  # lines for a log, and what a data plane must forget
                print(f"{self.name}: {output}")

    @property
    def serves(self) -> bool:
        """Tell whether it has a call that is established."""
        return any(call.state is CallState.ESTABLISHED for call in self.core.calls.values())


def run(*ends: End, until: Callable[[], bool]) -> None:
    """Let datagrams and time pass until something has come true."""
    for end in ends:
        end.flush()
    while not until():
        due = [when for end in ends if (when := end.core.next_timer()) is not None]
        pause = max(0.0, min(due) - time.monotonic()) if due else None
        ready = select.select([end.transport for end in ends], [], [], pause)[0]
        for end in ends:
            if end.transport in ready:
                end.receive()
            end.flush()


def main() -> None:
    """Open a tunnel and a session, look at them from both sides, and close the tunnel with a reason."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        lac, lns = End("lac", one, "local"), End("lns", other, "network")
        lac.core.open(time.monotonic())
        call = lac.core.open_session(SessionSettings(calling_number="5551234"), time.monotonic(), name="alice")
        run(lac, lns, until=lambda: lac.serves and lns.serves)
        (theirs,) = lns.core.calls.values()
        print(f"--- {call.name} is {call.state.value}; the other side knows her number: {theirs.calling_number}")
        lac.core.close(time.monotonic(), text="that was all")
        run(lac, lns, until=lambda: State.LINGERING in {lac.core.state, lns.core.state} and not lns.core.calls)
        told = lns.core.ending
        print(f"--- the other side was told: result {told.result}, {told.message}" if told else "--- nobody was told")


if __name__ == "__main__":
    main()
