"""PPP by the system's pppd: one process for each session, with the plugin pppol2tp.so on the session's PPPoX socket.

Theory of operation. `Pppd.run` is called in the session's own task. It spawns pppd on a descriptor that the data plane made, reads what pppd says
until it ends, and returns what its exit status means. Cancelled, it asks pppd to end, insists after `GRACE` seconds, and reaps it: a process
of ours never outlives its session, and its death concerns no other.

The interface and the addresses are read from pppd's own log, which comes over a pipe: it says each once, in words that have not changed in
twenty years, and there is nothing to poll and no script to install. The password never stands on the command line, where everybody could read
it, nor in a file: pppd reads it from a pipe.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import attrs
import trio

from l2tpd import log
from l2tpd.config.model import PppAuthentication
from l2tpd.errors import LocalProtocolError
from l2tpd.events import Network, PppEvent, What
from l2tpd.kernel.pppunit import interface_traffic
from l2tpd.ppp.accountant import Traffic
from l2tpd.ppp.instances import Instances, Limits, Report
from l2tpd.ppp.lease import Lease
from l2tpd.ppp.leases import Leases
from l2tpd.supervise import goodbye
from l2tpd.wire.numbers import CallResult

if TYPE_CHECKING:
    from l2tpd.session.call import Call

PROGRAM = "/usr/sbin/pppd"

GRACE = 5.0
"""Seconds that pppd has to end by itself: more than the 3 that it waits for the answer to one Terminate-Request (RFC 1661 4.6)."""

_LINE_LIMIT = 4096
_LAST_WORDS = 0.5  # seconds; a script that pppd has started may hold the pipe open
_REQUIRE: Mapping[PppAuthentication, Sequence[str]] = {
    PppAuthentication.NONE: ("noauth",),
    PppAuthentication.PAP: ("auth", "require-pap"),
    PppAuthentication.CHAP: ("auth", "require-chap"),
    PppAuthentication.MSCHAPV2: ("auth", "require-mschap-v2"),
}


_AS_CLIENT = ("noauth", "noipdefault", "ipcp-accept-local", "ipcp-accept-remote")


class Exit(NamedTuple):
    """What an exit status of pppd means: the result of the CDN (RFC 2661 4.4.2) and the words of it."""

    result: int
    text: str


EXITS: Mapping[int, Exit] = {  # pppd(8), EXIT STATUS
    0: Exit(CallResult.ADMIN, "PPP was ended"),
    1: Exit(CallResult.LOST_CARRIER, "pppd met a fatal error"),
    2: Exit(CallResult.NO_FACILITIES_PERMANENT, "pppd does not accept its options"),
    3: Exit(CallResult.NO_FACILITIES_PERMANENT, "pppd needs root"),
    4: Exit(CallResult.NO_FACILITIES_PERMANENT, "the kernel has no PPP"),
    5: Exit(CallResult.ADMIN, "PPP was ended by a signal"),
    6: Exit(CallResult.NO_FACILITIES_TEMPORARY, "the PPP device is locked"),
    7: Exit(CallResult.NO_FACILITIES_TEMPORARY, "the PPP device cannot be opened"),
    8: Exit(CallResult.LOST_CARRIER, "the connect script failed"),
    9: Exit(CallResult.LOST_CARRIER, "the pty command failed"),
    10: Exit(CallResult.LOST_CARRIER, "PPP negotiation failed"),
    11: Exit(CallResult.ADMIN, "the peer failed to authenticate itself"),
    12: Exit(CallResult.ADMIN, "PPP was idle"),
    13: Exit(CallResult.ADMIN, "the time for this connection is used up"),
    14: Exit(CallResult.LOST_CARRIER, "callback was negotiated"),
    15: Exit(CallResult.LOST_CARRIER, "the PPP peer does not answer echo requests"),
    16: Exit(CallResult.LOST_CARRIER, "the PPP peer hung up"),
    17: Exit(CallResult.LOST_CARRIER, "PPP is looped back"),
    18: Exit(CallResult.LOST_CARRIER, "the init script failed"),
    19: Exit(CallResult.ADMIN, "authentication to the PPP peer failed"),
    20: Exit(CallResult.ADMIN, "the peer used up its time"),
    21: Exit(CallResult.ADMIN, "a connection of the peer was ended"),
}

_DETAILED = frozenset({1, 2, 4, 7, 10})
"""Exits whose reason only the last line of the log tells."""

_SAID = (
    # "Renamed" comes after "Using" where a name was asked for.
    ("interface", re.compile(r"Using interface (\S+)")),
    ("interface", re.compile(r"Renamed interface \S+ to (\S+)")),
    ("ppp_local", re.compile(r"local +IP address (\S+)")),
    ("ppp_remote", re.compile(r"remote +IP address (\S+)")),
)
"""Which field of the call a line of pppd's log sets."""

_LINK_LOCAL = re.compile(r"(local|remote) +LL address (\S+)")
_OVER = re.compile(r"(IPCP|IPV6CP)(?: terminated by peer|: timeout sending Config-Requests)")
_NETWORKS: Mapping[str, Network] = {"IPCP": "ipv4", "IPV6CP": "ipv6"}
_MOVED = re.compile(r"Sent (\d+) bytes, received (\d+) bytes")


_FAILURE = re.compile(r"fail|refuse|error|authori[sz]ed", re.IGNORECASE)
"""A line of pppd's log that an operator wants to see in normal service."""


@attrs.frozen(kw_only=True)
class Order:
    """Which session one pppd is for, and what it has been given."""

    tunnel_id: int
    session_id: int
    channel: int
    lease: Lease
    sequencing: bool = False


def arguments(order: Order, secrets: int = -1) -> list[str]:
    """Return the command line of pppd; `secrets` is the descriptor from which it reads further options, -1 if there are none.

    The options of the operator come last, so that they win.
    """
    lease, ppp = order.lease, order.lease.ppp
    said = [
        *(PROGRAM, "plugin", "pppol2tp.so", "pppol2tp", str(order.channel)),
        *("pppol2tp_tunnel_id", str(order.tunnel_id), "pppol2tp_session_id", str(order.session_id)),
        *(["pppol2tp_lns_mode"] if lease.lns else []),
        # Said again: a caller may ask for sequence numbers in its ICCN, when the kernel has the session already (RFC 2661 4.4.6).
        *(["pppol2tp_send_seq", "pppol2tp_recv_seq"] if order.sequencing else []),
        *("nodetach", "logfd", "2", "lcp-max-terminate", "1", "novj", "nobsdcomp", "nodeflate", "hide-password"),
        *("mtu", str(lease.mtu), "mru", str(ppp.mru or lease.mtu)),
        *("lcp-echo-interval", str(ppp.lcp_echo_interval), "lcp-echo-failure", str(ppp.lcp_echo_failure)),
        *(["maxconnect", _seconds(ppp.session_timeout)] if ppp.session_timeout else []),
        *(["idle", _seconds(ppp.idle_timeout)] if ppp.idle_timeout else []),
        *(["ifname", lease.interface] if lease.interface else []),
        *("defaultroute" if ppp.default_route else "nodefaultroute", "proxyarp" if ppp.proxy_arp else "noproxyarp"),
    ]
    said += _as_lns(lease) if lease.lns else list(_AS_CLIENT)
    if lease.user:
        said += ["user", lease.user]
    if secrets >= 0:
        said += ["file", f"/proc/self/fd/{secrets}"]
    return [*said, *ppp.pppd_options]


def _seconds(limit: float) -> str:
    """Return a limit as pppd takes it: whole seconds, of which 0 would be none."""
    return str(max(round(limit), 1))


def _as_lns(lease: Lease) -> list[str]:
    return [
        *_REQUIRE[lease.ppp.auth],
        *(["ipcp-accept-remote"] if not lease.remote else []),
        *([f"{lease.local}:{lease.remote}"] if lease.local or lease.remote else []),
        *(word for server in lease.ppp.dns for word in ("ms-dns", server)),
    ]


def secret_options(order: Order) -> bytes:
    """Return the options that only pppd may read, as a file of options."""
    if not order.lease.password:
        return b""
    quoted = order.lease.password.replace("\\", "\\\\").replace('"', '\\"')
    return f'password "{quoted}"\n'.encode()


def meaning(status: int, last_line: str) -> Exit:
    """Return what the end of a pppd means; `last_line` is the last that it said, `status` negative for a signal."""
    if status < 0:
        return Exit(CallResult.LOST_CARRIER, f"pppd was killed by {signal.Signals(-status).name}")
    known = EXITS.get(status, Exit(CallResult.LOST_CARRIER, f"pppd ended with status {status}"))
    return known._replace(text=f"{known.text}: {last_line}") if status in _DETAILED and last_line else known


def take_line(call: Call, line: str) -> bool:
    """Take interface and addresses out of a line of pppd's log; tell whether the call now has all of them."""
    for field, pattern in _SAID:
        if found := pattern.match(line):
            setattr(call, field, found[1])
            return field == "ppp_remote"
    return False


@attrs.define(eq=False, kw_only=True)
class _Running:
    """The pppd of one session, as others see it."""

    process: trio.Process
    order: Order
    call: Call
    tell: Callable[[PppEvent], None]
    engine: str = "pppd"
    sets_down: bool = True
    report: Report = attrs.field(init=False)
    last: str = ""  # that it said
    _moved: Traffic | None = None  # by its own count, when its interface is gone
    _near: str = ""  # its link-local address

    def __attrs_post_init__(self) -> None:
        self.report = Report(self.order.tunnel_id, self.call, self.tell, self._traffic)

    @property
    def state(self) -> str:
        """Whether a network is up; how far it is before that, only pppd knows."""
        return "up" if self.report.networks else "establish"

    def limits(self, now: float) -> Limits:
        """Return how long the session may last; only pppd knows what is left of it."""
        del now
        ppp = self.order.lease.ppp
        return Limits(session_timeout=ppp.session_timeout, idle_timeout=ppp.idle_timeout)

    def disconnect(self, text: str) -> None:
        """Have pppd say goodbye, for which it has words of its own."""
        del text
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)

    def configured(self) -> None:
        """Leave things as they are: a pppd has its options from its command line."""

    def take(self, line: str, now: float) -> bool:
        """Note what a line of its log says; tell whether IPv4 is up with it."""
        if found := _MOVED.match(line):
            self._moved = Traffic(output_octets=int(found[1]), input_octets=int(found[2]))
        if found := _LINK_LOCAL.match(line):
            if found[1] == "remote":
                self._up("ipv6", self._near, found[2], now)
            self._near = found[2]
        if found := _OVER.match(line):
            self._down(_NETWORKS[found[1]], line, now)
        whole = take_line(self.call, line)
        if whole:
            self._up("ipv4", self.call.ppp_local, self.call.ppp_remote, now)
        return whole

    def _up(self, network: Network, local: str, remote: str, now: float) -> None:
        event = PppEvent(
            what=What.UP,
            network=network,
            tunnel_id=self.order.tunnel_id,
            session_id=self.order.session_id,
            interface=self.call.interface,
            mtu=self.order.lease.mtu,
            local=local,
            remote=remote,
        )
        self.report.up(event, now)

    def _down(self, network: Network, text: str, now: float) -> None:
        """Say that one network is down, and show its addresses no longer: the link may go on for the other."""
        self.report.down(network, None, text, now)
        if network == "ipv4":
            self.call.ppp_local = self.call.ppp_remote = ""

    def _traffic(self) -> Traffic:
        return self._moved or interface_traffic(self.call.interface)


class Pppd:
    """Runs PPP for every session of a daemon, each by a process."""

    def __init__(self, leases: Leases, remark: Callable[[int, int, str], None]) -> None:
        """Give sessions what `leases` has for them; `remark` is told each line of a pppd, with tunnel and session."""
        self._leases = leases
        self._remark = remark
        self.instances = Instances()
        self._log = log.get("ppp")

    async def run(self, tunnel_id: int, call: Call, channel: int) -> tuple[int, str]:
        """Run PPP on a call until it ends by itself; return the result code for the CDN and the reason in words."""
        try:
            with ExitStack() as held:
                held.callback(os.close, channel)
                with self._leases.lease(call, at_once=True) as lease:
                    order = Order(
                        tunnel_id=tunnel_id,
                        session_id=call.local_id,
                        channel=channel,
                        lease=lease,
                        sequencing=call.sequencing,
                    )
                    process = await _spawn(order)
                    held.close()  # pppd has it now; the last to close it would wait for the kernel, which must not be this thread
                    running = _Running(process=process, order=order, call=call, tell=self.instances.tell)
                    with self.instances.holding(running):
                        return await self._serve(running)
        except LocalProtocolError as error:
            return CallResult.NO_FACILITIES_TEMPORARY, str(error)
        except OSError as error:
            return CallResult.NO_FACILITIES_PERMANENT, f"{PROGRAM} cannot be run: {error.strerror}"

    # --- the process ----------------------------------------------------------------------------------------------------------

    async def _serve(self, running: _Running) -> tuple[int, str]:
        process, order = running.process, running.order
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, running)
                await process.wait()
                nursery.cancel_scope.deadline = trio.current_time() + _LAST_WORDS
        finally:
            await _end(process)  # noqa: ASYNC102 - shielded, with a deadline
            ended = meaning(process.returncode or 0, running.last)
            running.report.over(ended.text, trio.current_time())
            running.report.count = Traffic  # who know each other are freed by the cycle collector alone
            self._log.notice("PPP ended", tid=order.tunnel_id, sid=order.session_id, reason=ended.text)
        return ended.result, ended.text

    async def _read(self, running: _Running) -> None:
        """Read the log of a pppd until it is closed; keep the last line."""
        rest = b""
        async for chunk in _output(running.process):
            *whole, rest = (rest + chunk).split(b"\n")
            rest = rest[-_LINE_LIMIT:]
            for line in whole:
                if text := line.decode(errors="replace").strip():
                    if not any(pattern.match(text) for _, pattern in _SAID):  # news of a success is no reason to end
                        running.last = text
                    self._take(running, text)

    def _take(self, running: _Running, line: str) -> None:
        order, call = running.order, running.call
        self._remark(order.tunnel_id, order.session_id, line)
        if _FAILURE.search(line):
            self._log.warning(line, tid=order.tunnel_id, sid=order.session_id)
        if running.take(line, trio.current_time()):
            self._log.notice(
                "PPP up",
                tid=order.tunnel_id,
                sid=order.session_id,
                interface=call.interface,
                local=call.ppp_local,
                remote=call.ppp_remote,
            )


async def _spawn(order: Order) -> trio.Process:
    """Start pppd. Raises `OSError`."""
    with ExitStack() as stack:
        secrets = _secret_pipe(order, stack)
        descriptors = [order.channel] if secrets < 0 else [order.channel, secrets]
        return await trio.lowlevel.open_process(
            arguments(order, secrets),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=descriptors,
            start_new_session=True,  # an operator's Ctrl-C is for the daemon, which says goodbye first
        )


def _secret_pipe(order: Order, stack: ExitStack) -> int:
    """Return a descriptor from which the secret options can be read once, or -1 when there are none."""
    options = secret_options(order)
    if not options:
        return -1
    reading, writing = os.pipe2(os.O_CLOEXEC)
    stack.callback(os.close, reading)
    try:
        os.write(writing, options)  # far below what a pipe holds
    finally:
        os.close(writing)
    return reading


def _output(process: trio.Process) -> trio.abc.ReceiveStream:
    if process.stdout is None:
        raise LocalProtocolError("pppd was started without a pipe")
    return process.stdout


async def _end(process: trio.Process) -> None:
    """See to it that a process is over: ask, insist, reap."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        with goodbye(GRACE):
            await process.wait()
    if process.returncode is None:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
    with trio.CancelScope(shield=True):
        await trio.lowlevel.checkpoint()
        await _output(process).aclose()
