"""What is said about a control connection of version 3, alone or in a request that either version may answer."""

from __future__ import annotations

import pytest

from dialogue import stage
from dialogue3 import sccrq3
from l2tpd.config.model import Digest, TunnelSettings
from l2tpd.errors import RemoteProtocolError
from l2tpd.tunnel import speech3
from l2tpd.tunnel.dialect import EITHER, V3, Dialect
from l2tpd.wire.avp import (
    ASSIGNED_CONTROL_CONNECTION_ID,
    ASSIGNED_TUNNEL_ID,
    CHALLENGE,
    CONTROL_MESSAGE_NONCE,
    HOST_NAME,
    PROTOCOL_VERSION,
    ROUTER_ID,
    TIE_BREAKER,
    VENDOR_NAME,
)
from l2tpd.wire.numbers import StopResult


@pytest.mark.parametrize("dialect", [V3, EITHER], ids=["3", "either"])
def test_a_request_says_who_we_are(dialect: Dialect) -> None:
    """The configured name before that of the host; the router id of the daemon."""
    for name, told in (("lcce", "lcce"), ("", "us")):
        core = stage(dialect=dialect, host_name=name).core
        said = dialect.control.request(core)
        assert (told, 1, 7) == (said[HOST_NAME], said[ROUTER_ID], said[ASSIGNED_CONTROL_CONNECTION_ID])
        assert TIE_BREAKER not in said


@pytest.mark.parametrize("dialect", [V3, EITHER], ids=["3", "either"])
def test_the_tie_breaker_that_is_sent_is_remembered(dialect: Dialect) -> None:
    """One for both versions."""
    core = stage(dialect=dialect, tie_breaker=True).core
    told = dialect.control.request(core)[TIE_BREAKER]
    assert told == core.tie_breaker


def test_a_request_for_either_version_names_one_id_twice() -> None:
    """And has both versions' means of authentication."""
    core = stage(dialect=EITHER, secret="s").core
    said = EITHER.control.request(core)
    assert said[ASSIGNED_TUNNEL_ID] == said[ASSIGNED_CONTROL_CONNECTION_ID] == core.local_id
    assert (1, 0) == said[PROTOCOL_VERSION]
    assert {said[CHALLENGE], said[CONTROL_MESSAGE_NONCE]} == core.site.challenges


def test_an_answer_has_no_tie_breaker_and_no_challenge() -> None:
    """RFC 3931 6.2."""
    core = stage(dialect=V3, secret="s", tie_breaker=True, origin="network").core
    said = V3.control.reply(core, sccrq3())
    assert {TIE_BREAKER, CHALLENGE}.isdisjoint(said)
    assert core.guard is not None
    assert core.guard.nonce == said[CONTROL_MESSAGE_NONCE]
    assert {} == V3.control.confirm(core, sccrq3())


def test_our_vendor_can_be_left_out() -> None:
    """For peers that it frightens."""
    assert VENDOR_NAME in V3.control.request(stage(dialect=V3).core)
    assert VENDOR_NAME not in V3.control.request(stage(dialect=V3, quirks=("no-vendor-name",)).core)


@pytest.mark.parametrize(
    ("settings", "nonce", "text"),
    [
        (TunnelSettings(), b"theirs", "no secret"),
        (TunnelSettings(secret="s", digest=Digest.NONE), b"theirs", "not signed"),
        (TunnelSettings(secret="s"), b"ours", "came back"),
    ],
)
def test_who_is_refused(settings: TunnelSettings, nonce: bytes, text: str) -> None:
    """Result 4, and counted as one that does not know the secret."""
    site = stage(dialect=V3).site
    site.challenges.add(b"ours")
    with pytest.raises(RemoteProtocolError, match=text) as refusal:
        V3.control.check(sccrq3(control_message_nonce=nonce), settings, site)
    assert (StopResult.NOT_AUTHORIZED, 1) == (refusal.value.result, site.counters.auth_failures)


def test_who_is_not() -> None:
    """A peer that signs as we do, and one that does not sign where none is wanted."""
    site = stage(dialect=V3).site
    V3.control.check(sccrq3(control_message_nonce=b"theirs"), TunnelSettings(secret="s"), site)
    V3.control.check(sccrq3(), TunnelSettings(), site)
    assert 0 == site.counters.auth_failures


def test_every_pseudowire_is_offered() -> None:
    """By the numbers of IANA."""
    assert {4, 5, 7} == set(speech3.CAPABILITIES)
