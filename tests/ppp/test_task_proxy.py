"""What a profile makes of a LAC's report and of the peer's patience, and what a session says when PPP has ended."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import taps
from l2tpd.config.load import parse
from l2tpd.config.model import SessionSettings
from l2tpd.ppp.credentials import chap_digest
from l2tpd.ppp.leases import Leases
from l2tpd.ppp.numbers import BY_PEER, Auth, Disconnect, LcpOption
from l2tpd.ppp.settings import Ipv6Settings, LinkSettings, ProxyPolicy
from l2tpd.ppp.terms import settings
from l2tpd.session.call import Call, Kind
from l2tpd.wire.avp import (
    LAST_RECEIVED_LCP_CONFREQ,
    LAST_SENT_LCP_CONFREQ,
    PROXY_AUTHEN_CHALLENGE,
    PROXY_AUTHEN_ID,
    PROXY_AUTHEN_NAME,
    PROXY_AUTHEN_RESPONSE,
    PROXY_AUTHEN_TYPE,
    Avp,
)
from ppp.test_task import LNS, PROXY, End, both, end, pair, users
from pppcable import until
from pppstage import options

__all__ = ["users"]  # a fixture

needs_tun = pytest.mark.skipif(bool(taps.why_not()), reason=f"PPP IN THIS PROCESS IS NOT TESTED: {taps.why_not()}")

TRUSTING = LNS.format(auth="chap", echo=0).replace("auth =", 'proxy_lcp = "use"\nproxy_auth = "{use}"\nauth =')
REPORT: dict[Avp[Any], Any] = {
    LAST_SENT_LCP_CONFREQ: options((LcpOption.AUTHENTICATION, Auth.CHAP.value), (LcpOption.MAGIC, b"LAC!")),
    LAST_RECEIVED_LCP_CONFREQ: options((LcpOption.MAGIC, b"host")),
    PROXY_AUTHEN_TYPE: 2,
    PROXY_AUTHEN_NAME: "alice",
    PROXY_AUTHEN_CHALLENGE: b"challenge",
    PROXY_AUTHEN_ID: 7,
    PROXY_AUTHEN_RESPONSE: chap_digest(7, "wonder", b"challenge"),
}


def of_profile(text: str) -> LinkSettings:
    """Return how a link of our LNS behaves with these keys in its profile."""
    whole = parse([("l2tpd.toml", f"[profile.ppp.default]\n{text}")])
    with Leases(lambda: whole).lease(Call(2, Kind.LNS_INCOMING, SessionSettings(), 0.0, 1)) as lease:
        return settings(lease, "lns")


def test_a_profile_that_says_nothing() -> None:
    """No report is believed, nobody is challenged twice, and there is no IPv6."""
    made = of_profile("")
    assert (ProxyPolicy.IGNORE, 0.0, None) == (made.proxy_policy, made.rechallenge, made.ipv6)


def test_what_a_profile_may_say() -> None:
    """Each key reaches the link."""
    assert () == of_profile("").required
    assert (0x8021, 0x8057) == of_profile("require_ipv4 = true\nipv6 = true\nrequire_ipv6 = true").required
    made = of_profile('ipv6 = true\nchap_rechallenge = 300.0\nproxy_lcp = "use"\nproxy_auth = "use"\nauth = "chap"')
    assert (ProxyPolicy.USE, 300.0, Ipv6Settings()) == (made.proxy_policy, made.rechallenge, made.ipv6)


async def lines_of(lns: End, enough: str) -> list[str]:
    """Run an LNS whose peer never says anything, until it has said something; return what it said."""
    client = end("", Kind.LAC_INCOMING)
    lns.cable.cut = client.cable.cut = True
    async with both(lns, client):
        await until(lambda: any(enough in line for line in lns.lines))
    return [line.removeprefix("sent ") for line in lns.lines if line.startswith("sent")]


@needs_tun
@pytest.mark.usefixtures("users")
@pytest.mark.parametrize(
    ("use", "first"),
    [("use", "CHAP Success 7"), ("rechallenge", "CHAP Challenge "), ("ignore", "LCP Configure-Request 1 ")],
)
async def test_what_an_lns_says_first(use: str, first: str) -> None:
    """By its profile: that the proxied proof was right, a Challenge of its own, or what it says to anybody."""
    lns = end(TRUSTING.format(use=use), Kind.LNS_INCOMING, interface_name="sub%d")
    lns.call.proxy = REPORT
    (said, *_) = await lines_of(lns, first)
    assert said.startswith(first)
    assert lns.call.proxy is None


@needs_tun
@pytest.mark.usefixtures("users")
async def test_a_proxied_proof_that_is_wrong() -> None:
    """The session ends for administrative reasons, and says of PPP that the peer's login failed."""
    lns = end(TRUSTING.format(use="use"), Kind.LNS_INCOMING)
    lns.call.proxy = {**REPORT, PROXY_AUTHEN_RESPONSE: bytes(16)}
    lines = await lines_of(lns, "LCP Terminate-Request")
    assert any(line.startswith("CHAP Failure 7") for line in lines)
    assert not any("IPCP" in line for line in lines)


@needs_tun
@pytest.mark.usefixtures("users")
async def test_the_cause_of_the_end_is_noted() -> None:
    """RFC 3145: for the CDN that follows."""
    lns, client = pair("chap", user="alice", password="wrong")
    async with both(lns, client):
        await until(lambda: lns.ending and client.ending)
    cause = lns.call.disconnect
    assert cause is not None
    assert (Disconnect.AUTH_FAILED, 0xC223, BY_PEER) == (cause.code, cause.protocol, cause.direction)


@needs_tun
@pytest.mark.usefixtures("users")
async def test_a_caller_has_to_prove_itself_again() -> None:
    """As often as the profile says, and the session goes on."""
    config = LNS.format(auth="chap", echo=0).replace("auth =", "chap_rechallenge = 0.3\nauth =")
    lns = end(config, Kind.LNS_INCOMING, interface_name="sub%d")
    client = end("", Kind.LAC_INCOMING, user="alice", password="wonder")
    async with both(lns, client):
        await until(lambda: 3 <= sum("sent CHAP Success" in line for line in lns.lines))
        assert lns.ending is client.ending is None


class Slow:
    """Surroundings that take their time, of which nobody may be left waiting; `left` are those for whom ARP is answered."""

    def __init__(self) -> None:
        self.left: set[str] = set()
        self.asked = trio.Event()

    async def announce(self, peer: str) -> int:
        await trio.lowlevel.checkpoint()
        self.left.add(peer)
        return 1

    async def withdraw(self, peer: str, index: int) -> None:
        del index
        self.asked.set()
        await trio.sleep(0.1)
        self.left.discard(peer)

    async def add_default(self, interface: str) -> bool:
        raise AssertionError(f"nobody wants a default route through {interface}")


@needs_tun
async def test_a_session_that_is_cancelled_while_it_tidies_up_tidies_up() -> None:
    """The peer ends its link and then the call: what the first has begun to take back must not stay because of the second."""
    lns, client = end(PROXY, Kind.LNS_INCOMING, interface_name="sub%d"), end("", Kind.LAC_INCOMING)
    slow = lns.engine.surroundings = Slow()
    async with both(lns, client):
        await until(lambda: lns.call.ppp_remote and slow.left)
        client.scope.cancel()
        await slow.asked.wait()
        lns.scope.cancel()
        await until(lambda: not slow.left)
