"""MS-CHAP against the examples of RFC 2433 B.2, RFC 2759 9.2 and 9.3."""

from __future__ import annotations

from l2tpd.ppp.mschap import (
    authenticator_response,
    challenge_hash,
    challenge_response,
    des_key,
    generate_nt_response,
    nt_password_hash,
)

USER, PASSWORD = b"User", "clientPass"
AUTHENTICATOR = bytes.fromhex("5B5D7C7D7B3F2F3E3C2C602132262628")
PEER = bytes.fromhex("21402324255E262A28295F2B3A337C7E")
NT_RESPONSE = bytes.fromhex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")


def test_challenge_hash_of_rfc_2759() -> None:
    """9.2: "8-octet Challenge"; a domain before the name does not count (4)."""
    assert bytes.fromhex("D02E4386BCE91226") == challenge_hash(PEER, AUTHENTICATOR, USER)
    assert challenge_hash(PEER, AUTHENTICATOR, USER) == challenge_hash(PEER, AUTHENTICATOR, b"BIGCO\\User")


def test_password_hash_of_rfc_2759() -> None:
    """9.2: "16-octet PasswordHash"."""
    assert bytes.fromhex("44EBBA8D5312B8D611474411F56989AE") == nt_password_hash(PASSWORD)


def test_nt_response_of_rfc_2759() -> None:
    """9.2: "24 octet NT-Response"."""
    assert NT_RESPONSE == generate_nt_response(AUTHENTICATOR, PEER, USER, PASSWORD)


def test_authenticator_response_of_rfc_2759() -> None:
    """9.2: "42-octet AuthenticatorResponse"."""
    right = b"S=407A5589115FD0D6209F510FE9C04566932CDA56"
    assert right == authenticator_response(PASSWORD, NT_RESPONSE, PEER, AUTHENTICATOR, USER)


def test_nt_response_of_rfc_2433() -> None:
    """B.2: version 1 encrypts the challenge itself."""
    right = bytes.fromhex("4E9D3C8F9CFD385D5BF4D3246791956CA4C351AB409A3D61")
    assert right == challenge_response(bytes.fromhex("102DB5DF085D3041"), nt_password_hash("MyPw"))


def test_des_keys_of_rfc_2759() -> None:
    """9.3: seven octets become eight of odd parity."""
    assert bytes.fromhex("FD0B5B5E7F6E34D9") == des_key(bytes.fromhex("FC156AF7EDCD6C"))
    assert bytes.fromhex("0E6E796737EA08FE") == des_key(bytes.fromhex("0EDDE333 7D427F".replace(" ", "")))
