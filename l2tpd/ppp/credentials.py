"""What a peer says to prove who it is, and how to check it against a password. Pure; who looks the password up is not this module's affair."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Container, Mapping
from typing import Final

import attrs

from l2tpd.ppp.mppe import Keys, mschapv2_keys
from l2tpd.ppp.mschap import authenticator_response, challenge_response, generate_nt_response, nt_password_hash
from l2tpd.ppp.numbers import Auth
from l2tpd.wire.values import pack_text

MSCHAP_CHALLENGE: Final = 8  # octets (RFC 2433 5)
MSCHAPV2_CHALLENGE: Final = 16  # octets (RFC 2759 3)
RESPONSE_SIZES: Final[Mapping[Auth, int]] = {Auth.CHAP: 16, Auth.MSCHAP: 49, Auth.MSCHAPV2: 49}
"""Octets of a Response's value (RFC 1994 4.1, RFC 2433 6, RFC 2759 4)."""

CHALLENGE_SIZES: Final[Mapping[Auth, Container[int]]] = {
    Auth.CHAP: range(1, 256),
    Auth.MSCHAP: {MSCHAP_CHALLENGE},
    Auth.MSCHAPV2: {MSCHAPV2_CHALLENGE},
}
"""Octets that a Challenge's value may have (ditto)."""


@attrs.frozen(kw_only=True)
class Credentials:
    """One attempt of a peer. `user` is UTF-8, other octets as lone surrogates; with PAP `response` is the password and `challenge` empty."""

    kind: Auth
    user: str
    identifier: int
    challenge: bytes = b""
    response: bytes = attrs.field(repr=False)

    @property
    def name(self) -> bytes:
        """The very octets that the peer gave as its name."""
        return pack_text(self.user)


def chap_digest(identifier: int, password: str, challenge: bytes) -> bytes:
    """Return the value of a Response with MD5 (RFC 1994 4.1)."""
    return hashlib.md5(bytes((identifier,)) + pack_text(password) + challenge).digest()


def verify(credentials: Credentials, password: str) -> bytes | None:
    """Return the message for the Success or Ack if the credentials prove knowledge of the password, else None."""
    if credentials.kind is Auth.CHAP and not password:  # RFC 1994 2.3: "MUST be at least 1 octet"
        return None
    if not hmac.compare_digest(_RIGHT[credentials.kind](credentials, password), _proof(credentials)):
        return None
    if credentials.kind is not Auth.MSCHAPV2:
        return b""
    peer_challenge, _, nt_response = _parts(credentials.response)
    return authenticator_response(password, nt_response, peer_challenge, credentials.challenge, credentials.name)


def mppe_keys(kind: Auth, response: bytes, password: str, *, server: bool) -> Keys | None:
    """Return the start keys that a proof leaves its two ends with; only MS-CHAPv2's does. `server`: the keys of who has asked for it."""
    return mschapv2_keys(password, _parts(response)[2], server=server) if kind is Auth.MSCHAPV2 else None


def _parts(response: bytes) -> tuple[bytes, bytes, bytes]:
    """Split an MS-CHAPv2 response: peer challenge, reserved, NT response (RFC 2759 4); the flags are ignored."""
    return response[:16], response[16:24], response[24:48]


def _proof(credentials: Credentials) -> bytes:
    """Return the part of the response that depends on the password."""
    if credentials.kind in {Auth.MSCHAP, Auth.MSCHAPV2}:
        return credentials.response[24:48]
    return credentials.response


def _mschapv2(credentials: Credentials, password: str) -> bytes:
    peer_challenge = _parts(credentials.response)[0]
    return generate_nt_response(credentials.challenge, peer_challenge, credentials.name, password)


_RIGHT: Final[Mapping[Auth, Callable[[Credentials, str], bytes]]] = {
    Auth.PAP: lambda said, password: pack_text(password),
    Auth.CHAP: lambda said, password: chap_digest(said.identifier, password, said.challenge),
    Auth.MSCHAP: lambda said, password: challenge_response(said.challenge, nt_password_hash(password)),
    Auth.MSCHAPV2: _mschapv2,
}


def respond(kind: Auth, identifier: int, challenge: bytes, user: str, password: str, random: bytes) -> bytes | None:
    """Return the value of our Response, None for a challenge of the wrong size; `random` is 16 octets for MS-CHAPv2."""
    if len(challenge) not in CHALLENGE_SIZES[kind]:
        return None
    if kind is Auth.CHAP:
        return chap_digest(identifier, password, challenge)
    if kind is Auth.MSCHAP:  # RFC 2433 6: no LAN Manager response, and the flag that says so
        return bytes(24) + challenge_response(challenge, nt_password_hash(password)) + b"\1"
    return random + bytes(8) + generate_nt_response(challenge, random, pack_text(user), password) + b"\0"


def expected_success(challenge: bytes, response: bytes, user: str, password: str) -> bytes:
    """Return how the message of an MS-CHAPv2 Success must begin (RFC 2759 5); `response` is the value of our Response."""
    peer_challenge, _, nt_response = _parts(response)
    return authenticator_response(password, nt_response, peer_challenge, challenge, pack_text(user))
