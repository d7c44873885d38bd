"""The closed vocabularies of the configuration: which words a key may say, and which a later version will add."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from l2tpd import trace
from l2tpd.config.model import Mode, Pseudowire, Version
from l2tpd.tunnel import quirks
from l2tpd.wire.numbers import BEARERS, FRAMINGS

LOG_LEVELS = ("critical", "error", "warning", "notice", "info", "debug")
TRACE_CATEGORIES = tuple(trace.WORDS)

FRAMING_CAPS = tuple(FRAMINGS)  # RFC 2661 4.4.3, Framing Capabilities
BEARER_CAPS = tuple(BEARERS)  # RFC 2661 4.4.3, Bearer Capabilities
FRAMING_TYPES = ("any", *FRAMING_CAPS)  # RFC 2661 4.4.4, Framing Type
BEARER_TYPES = ("any", *BEARER_CAPS)  # RFC 2661 4.4.4, Bearer Type

QUIRKS = tuple(quirk.name for quirk in quirks.QUIRKS if not quirk.always)  # what a profile may switch on

LATER: Mapping[type[enum.Enum], tuple[str, ...]] = {
    Pseudowire: ("pppac",),
}
"""Words of the interface that this version refuses by saying so, rather than as a spelling mistake."""

ELSEWHERE: Mapping[type[enum.Enum], Mapping[str, str]] = {
    Version: {
        mode.value: f'a {mode.value} tunnel has `version = "l2tpv3"` and `mode = "{mode.value}"`'
        for mode in (Mode.STATIC, Mode.QUIESCENT)
    },
}
"""Words of another key, which others' manuals put here: how to say that."""
