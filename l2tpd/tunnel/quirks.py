"""Peers that read RFC 2661 and RFC 3931 in their own way, and what we do about each.

A row is a fact about other people's software. `always` rows cost nobody anything, so the protocol core simply behaves that way; the others are
switched on for a peer by naming them in the `quirks` key of its tunnel profile. Each row has a dialogue test of its own.
"""

from __future__ import annotations

import enum
import functools
from typing import TYPE_CHECKING, NamedTuple

from l2tpd.tunnel.channel import ChannelSettings
from l2tpd.wire.messages import STRICT, Quirks

if TYPE_CHECKING:
    from l2tpd.config.model import TunnelSettings

_TOLERANT = Quirks(ignore_vendor_avps=True)


class Effect(enum.Flag):
    """What a switched-on quirk changes."""

    NONE = 0
    ACCEPT_ZERO_TUNNEL_ID = (
        enum.auto()
    )  # take packets whose header names tunnel 0 as meant for the tunnel of their sender
    OMIT_RX_CONNECT_SPEED = enum.auto()
    SEND_RX_CONNECT_SPEED = enum.auto()
    IGNORE_UNKNOWN_MANDATORY = enum.auto()  # go on without vendor AVPs that claim to be mandatory
    NO_HELLO = enum.auto()
    OMIT_VENDOR_NAME = enum.auto()


class Quirk(NamedTuple):
    """One known deviation."""

    name: str
    peers: str
    does: str
    answer: str
    always: bool = False
    effect: Effect = Effect.NONE


QUIRKS: tuple[Quirk, ...] = (
    Quirk(
        "short-result-code",
        "MikroTik RouterOS",
        "Result Code AVP of 8 octets, without an error code",
        "legal (RFC 2661 4.4.2): accepted",
        always=True,
    ),
    Quirk(
        "sli-from-anyone",
        "Cisco Meraki",
        "SLI to a peer that is not the LAC, or before the call is up",
        "acknowledged and ignored",
        always=True,
    ),
    Quirk(
        "extra-avps",
        "mpd5 before 5.9",
        "AVPs in SCCCN that the RFC does not list there",
        "kept and ignored",
        always=True,
    ),
    Quirk("short-speed", "several", "Rx Connect Speed of 2 octets", "ignored as RFC 2661 7.1 asks", always=True),
    Quirk(
        "restart-same-port",
        "any client after a crash",
        "SCCRQ from the address and port of a live tunnel",
        "served at once",
        always=True,
    ),
    Quirk(
        "vendor-twins",
        "Cisco IOS",
        "attributes of its own number space (vendor 9: 1 to 9, 12, 13), older than those of L2TPv3, beside these",
        "ignored where their M bit is clear (RFC 3931 5.2); where it is set, see mandatory-vendor-avps",
        always=True,
    ),
    Quirk(
        "misleading-refusal",
        "Cisco IOS",
        "StopCCN 2 that speaks of an unsupported mandatory vendor AVP where it misses one, as Remote Session ID in ICRQ",
        "all that RFC 3931 6 demands is sent; its text is told as it came",
        always=True,
    ),
    Quirk(
        "zero-tunnel-id",
        "D-Link DIR-300",
        "tunnel id 0 in packets of an established tunnel",
        "accepted from the tunnel's own peer",
        effect=Effect.ACCEPT_ZERO_TUNNEL_ID,
    ),
    Quirk(
        "no-rx-speed",
        "WatchGuard, some releases",
        "drops the call when Rx Connect Speed is present",
        "never sent",
        effect=Effect.OMIT_RX_CONNECT_SPEED,
    ),
    Quirk(
        "rx-speed",
        "WatchGuard, other releases",
        "drops the call when Rx Connect Speed is absent",
        "always sent",
        effect=Effect.SEND_RX_CONNECT_SPEED,
    ),
    Quirk(
        "mandatory-vendor-avps",
        "Windows, Cisco",
        "vendor AVPs with the M bit set that mean nothing to us",
        "ignored",
        effect=Effect.IGNORE_UNKNOWN_MANDATORY,
    ),
    Quirk("no-hello", "Android before 12", "never acknowledges HELLO", "no HELLO is sent", effect=Effect.NO_HELLO),
    Quirk(
        "no-vendor-name",
        "old Cisco ASA",
        "refuses an SCCRQ with an unknown Vendor Name",
        "not sent",
        effect=Effect.OMIT_VENDOR_NAME,
    ),
)

BY_NAME = {quirk.name: quirk for quirk in QUIRKS}


def effects(names: tuple[str, ...]) -> Effect:
    """Return the effects of these quirks together. Raises KeyError for a name that no row has."""
    total = Effect.NONE
    for name in names:
        total |= BY_NAME[name].effect
    return total


def decoding(quirks: Effect) -> Quirks:
    """Return what the decoder tolerates under these effects."""
    return _TOLERANT if Effect.IGNORE_UNKNOWN_MANDATORY in quirks else STRICT


@functools.lru_cache(maxsize=256)
def channel_settings(settings: TunnelSettings, quirks: Effect, retries: int | None = None) -> ChannelSettings:
    """Return the channel's part of the settings, one object for all tunnels that share it; `retries` instead of the configured ones."""
    return ChannelSettings(
        retry_timeout=settings.retry_timeout,
        retry_cap=settings.retry_cap,
        max_retries=settings.max_retries if retries is None else retries,
        receive_window=settings.receive_window,
        hello_timeout=0.0 if Effect.NO_HELLO in quirks else settings.hello_timeout,
    )
