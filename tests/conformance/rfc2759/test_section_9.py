"""RFC 2759 8 and 9, the computations and the examples of the RFC, through the packets in which they stand."""

from __future__ import annotations

from l2tpd.ppp.credentials import Credentials, expected_success, respond, verify
from l2tpd.ppp.mschap import challenge_hash, des_key, nt_password_hash
from l2tpd.ppp.numbers import Auth

# 9.2: "0-to-256-char UserName", "AuthenticatorChallenge", "PeerChallenge" and what comes of them
USER, PASSWORD = "User", "clientPass"
AUTHENTICATOR_CHALLENGE = bytes.fromhex("5B5D7C7D7B3F2F3E3C2C602132262628")
PEER_CHALLENGE = bytes.fromhex("21402324255E262A28295F2B3A337C7E")
CHALLENGE = bytes.fromhex("D02E4386BCE91226")
PASSWORD_HASH = bytes.fromhex("44EBBA8D5312B8D611474411F56989AE")
NT_RESPONSE = bytes.fromhex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")
AUTHENTICATOR_RESPONSE = b"S=407A5589115FD0D6209F510FE9C04566932CDA56"
VALUE = PEER_CHALLENGE + bytes(8) + NT_RESPONSE + b"\0"


def test_9_2_what_the_hashes_come_to() -> None:
    """8.2, 8.3: the 8 octet challenge, and the password hash."""
    assert CHALLENGE == challenge_hash(PEER_CHALLENGE, AUTHENTICATOR_CHALLENGE, USER.encode())
    assert PASSWORD_HASH == nt_password_hash(PASSWORD)


def test_9_2_the_response_of_the_example() -> None:
    """8.1, 4: the Value of our Response is that of the RFC, octet by octet."""
    assert VALUE == respond(Auth.MSCHAPV2, 1, AUTHENTICATOR_CHALLENGE, USER, PASSWORD, PEER_CHALLENGE)


def test_9_2_the_authenticator_response_of_the_example() -> None:
    """8.7: both sides come to the same."""
    said = Credentials(kind=Auth.MSCHAPV2, user=USER, identifier=1, challenge=AUTHENTICATOR_CHALLENGE, response=VALUE)
    assert AUTHENTICATOR_RESPONSE == verify(said, PASSWORD)
    assert AUTHENTICATOR_RESPONSE == expected_success(AUTHENTICATOR_CHALLENGE, VALUE, USER, PASSWORD)


def test_9_3_des_keys_have_odd_parity() -> None:
    """9.3: the raw and the parity-corrected key of the example, and every octet odd."""
    assert bytes.fromhex("FD0B5B5E7F6E34D9") == des_key(bytes.fromhex("FC156AF7EDCD6C"))
    assert all(octet.bit_count() & 1 for octet in des_key(bytes(7)) + des_key(b"\xff" * 7))
