"""Credentials: what proves knowledge of a password, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.ppp.credentials import RESPONSE_SIZES, Credentials, chap_digest, expected_success, respond, verify
from l2tpd.ppp.numbers import Auth

SIZES = {Auth.CHAP: 16, Auth.MSCHAP: 8, Auth.MSCHAPV2: 16}
PEER = bytes(range(16))


def said(kind: Auth, password: str, user: str = "joe") -> Credentials:
    """What a peer with this password says."""
    if kind is Auth.PAP:
        return Credentials(kind=kind, user=user, identifier=1, response=password.encode("utf-8", "surrogateescape"))
    challenge = bytes(SIZES[kind])
    response = respond(kind, 1, challenge, user, password, PEER)
    assert response is not None
    assert RESPONSE_SIZES[kind] == len(response)
    return Credentials(kind=kind, user=user, identifier=1, challenge=challenge, response=response)


@given(st.sampled_from(list(Auth)), st.text(max_size=20), st.text(max_size=20))
def test_the_right_password_and_no_other(kind: Auth, password: str, other: str) -> None:
    """Whatever the characters; but nobody proves a CHAP secret without any (RFC 1994 2.3)."""
    nothing = kind is Auth.CHAP and not password
    assert (verify(said(kind, password), password) is None) is nothing
    assert (verify(said(kind, password), other) is None) == (nothing or password != other)


@pytest.mark.parametrize("kind", Auth)
def test_empty_responses_prove_nothing(kind: Auth) -> None:
    """Nor do cut ones."""
    assert verify(Credentials(kind=kind, user="joe", identifier=1, challenge=bytes(16), response=b""), "x") is None


def test_the_secret_is_not_shown() -> None:
    """A password must not end up in a log."""
    assert "hunter2" not in repr(said(Auth.PAP, "hunter2"))


def test_md5_is_over_identifier_secret_and_challenge() -> None:
    """RFC 1994 4.1; the value was computed with md5sum."""
    assert "46e47770030e2b4e26a0db72a7efec00" == chap_digest(1, "secret", b"challenge").hex()
    assert chap_digest(1, "secret", b"challenge") != chap_digest(2, "secret", b"challenge")


def test_both_ends_compute_the_same_authenticator_response() -> None:
    """RFC 2759 8.7 and 8.8, with a domain before the name on either side."""
    credentials = said(Auth.MSCHAPV2, "secret", "BIGCO\\joe")
    assert verify(credentials, "secret") == expected_success(
        credentials.challenge, credentials.response, "joe", "secret"
    )
