"""Who may come in, by the tables of the configuration."""

from __future__ import annotations

import pytest

from l2tpd.config.model import User
from l2tpd.ppp import hashed
from l2tpd.ppp.authority import REFUSED
from l2tpd.ppp.credentials import Credentials, respond
from l2tpd.ppp.numbers import Auth
from l2tpd.ppp.users import decide, why_not

CHALLENGE = bytes(range(16))
HASHED = User(pap_hash=hashed.make("wönder".encode(), bytes(16)))


def said(kind: Auth, password: str, user: str = "alice") -> Credentials:
    if kind is Auth.PAP:
        return Credentials(kind=kind, user=user, identifier=1, response=password.encode())
    response = respond(kind, 1, CHALLENGE, user, password, bytes(16))
    assert response is not None
    return Credentials(kind=kind, user=user, identifier=1, challenge=CHALLENGE, response=response)


@pytest.mark.parametrize("kind", [Auth.PAP, Auth.CHAP, Auth.MSCHAPV2])
def test_a_password(kind: Auth) -> None:
    """It is right or wrong, whatever the protocol; MS-CHAPv2 gets its proof that we know it too."""
    verdict = decide(User(password="wonder"), said(kind, "wonder"))
    assert verdict.accepted
    assert (kind is Auth.MSCHAPV2) == verdict.message.startswith(b"S=")
    assert REFUSED == decide(User(password="wonder"), said(kind, "Wonder"))
    assert "wrong password" == why_not(User(password="wonder"), said(kind, "Wonder"))


def test_a_hash_is_for_pap() -> None:
    """The others need the password itself, and say so in the log."""
    assert decide(HASHED, said(Auth.PAP, "wönder")).accepted
    assert not decide(HASHED, said(Auth.PAP, "wonder")).accepted
    assert not decide(HASHED, said(Auth.CHAP, "wönder")).accepted
    assert "only PAP" in why_not(HASHED, said(Auth.CHAP, "wönder"))


def test_who_is_not_known_or_not_enabled() -> None:
    """Both hear the same, which says nothing about who there is."""
    right = said(Auth.PAP, "wonder")
    off = User(password="wonder", enabled=False)
    assert REFUSED == decide(None, right) == decide(off, right)
    assert ["there is no such user", "the user is not enabled"] == [why_not(user, right) for user in (None, off)]


def test_what_a_user_gets() -> None:
    """All that its table says, but its time limits, which may change while it is in."""
    keys = {"address": "10.0.0.9", "pool": "p", "routes": ("192.0.2.0/24",)}
    limits = {"max_sessions": 2}
    verdict = decide(User(password="x", **keys, **limits), said(Auth.PAP, "x"))  # type: ignore[arg-type]
    assert {**keys, **limits} == {name: getattr(verdict, name) for name in (*keys, *limits)}
