"""How long a session may last and be idle, which each of the others says in words of its own."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from importing.converting import comments, loaded
from l2tpd.config.resolve import ppp_settings


@pytest.mark.parametrize(
    ("kind", "text", "files", "profile", "limits"),
    [
        ("xl2tpd", "[lns default]\npppoptfile = /o", {"/o": "idle 1800\nmaxconnect 60"}, "lns", (60.0, 1800.0)),
        ("accel-ppp", "[modules]\nl2tp\n[common]\nsession-timeout=60", {}, "default", (60.0, 0.0)),
        (
            "prol2tpd",
            'ppp profile "gold" { idle_timeout 1800\nmax_connect_time 60\n}',
            {},
            "gold",
            (60.0, 1800.0),
        ),
    ],
)
def test_limits_of_a_profile(
    kind: str, text: str, files: Mapping[str, str], profile: str, limits: tuple[float, float]
) -> None:
    """They are keys of ours, and no comment says otherwise."""
    settings = ppp_settings(loaded(kind, text, files), profile)
    assert limits == (settings.session_timeout, settings.idle_timeout)
    assert not [line for line in comments(kind, text, files) if "idle" in line or "connect" in line]
