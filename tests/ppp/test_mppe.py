"""MPPE: the keys of RFC 3079 3.5, the steps of RFC 3078 7 and 8, and what a hostile count costs."""

from __future__ import annotations

import pytest
from Crypto.Cipher import ARC4

from l2tpd.errors import Malformed
from l2tpd.ppp.mppe import GROWTH, Keys, Receiver, Sender, SessionKey, mschapv2_keys

PASSWORD = "clientPass"
NT_RESPONSE = bytes.fromhex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")
START = bytes.fromhex("8B7CDC149B993A1BA118CB153F56DCCB")
PACKET = bytes.fromhex("0021 4500 0014") + bytes(16)

MODES = pytest.mark.parametrize("stateless", [True, False])
STRENGTHS = pytest.mark.parametrize("bits", [40, 56, 128])


def test_start_keys_of_rfc_3079() -> None:
    """3.5.3, step 3: the authenticator's key for sending is what its peer receives with."""
    server, client = (mschapv2_keys(PASSWORD, NT_RESPONSE, server=server) for server in (True, False))
    assert START == server.send == client.receive
    assert server.receive == client.send != START
    assert START.hex() not in repr(server)


@pytest.mark.parametrize(
    ("bits", "key", "message"),
    [
        (40, "D1269EC49FA62E3E", "929137917E5803D668D75898"),
        (56, "D15C00C49FA62E3E", "3F106833FA448DA842BC57B8"),
        (128, "405CB2247A7956E6E211007AE27B22D4", "81848317DF68846272FB5ABE"),
    ],
)
def test_session_keys_and_messages_of_rfc_3079(bits: int, key: str, message: str) -> None:
    """3.5.1 to 3.5.3: the initial session key, and "test message" under it; the last octet for 56 bits is misprinted there as 58."""
    session = SessionKey(START, bits)
    assert bytes.fromhex(key) == session.octets
    assert bytes.fromhex(message) == session.table().encrypt(b"test message")


def test_a_changed_key_is_weakened_as_well() -> None:
    """RFC 3078 7.3: the first three octets of 40-bit keys, the first one of 56-bit keys, none of 128-bit keys."""
    keys = {bits: SessionKey(START, bits) for bits in (40, 56, 128)}
    for key in keys.values():
        key.change()
    assert (b"\xd1\x26\x9e", b"\xd1", 8, 16) == (
        keys[40].octets[:3],
        keys[56].octets[:1],
        len(keys[56].octets),
        len(keys[128].octets),
    )
    assert b"\xd1" != keys[128].octets[:1]


def ends(bits: int = 128, *, stateless: bool = True) -> tuple[Sender, Receiver]:
    return Sender(START, bits, stateless=stateless), Receiver(START, bits, stateless=stateless)


@MODES
@STRENGTHS
def test_packets_come_out_as_they_went_in(bits: int, stateless: bool) -> None:
    """Over several changes of the key and once around the count, each longer by what is set aside for that."""
    sender, receiver = ends(bits, stateless=stateless)
    for number in range(4200):
        framed = PACKET + bytes((number & 0xFF,))
        sealed = sender.seal(framed)
        assert GROWTH == len(sealed) - len(framed[2:])
        assert framed == receiver.open(sealed, number / 1000)


def test_a_stateless_packet_has_the_bits_and_the_count() -> None:
    """RFC 3078 3: A is set on every packet, D as well, and the count begins at 0; the key changes before the first packet (7.1)."""
    sender, _ = ends()
    first, second = sender.seal(PACKET), sender.seal(PACKET)
    assert (0x9000, 0x9001) == (int.from_bytes(first[:2], "big"), int.from_bytes(second[:2], "big"))
    key = SessionKey(START, 128)
    key.change()
    assert ARC4.new(key.octets).encrypt(PACKET) == first[2:]
    assert first[2:] != second[2:]


def test_a_stateful_flag_packet_is_flushed() -> None:
    """RFC 3078 7.2: the first packet goes under the initial key, and the key changes before a packet whose count ends in 0xFF."""
    sender, _ = ends(stateless=False)
    sealed = [sender.seal(PACKET) for _ in range(257)]
    heads = [int.from_bytes(one[:2], "big") for one in sealed]
    assert (0x1000, 0x10FE, 0x90FF, 0x1100) == (heads[0], heads[0xFE], heads[0xFF], heads[0x100])
    assert SessionKey(START, 128).table().encrypt(PACKET) == sealed[0][2:]


@STRENGTHS
def test_a_stateless_receiver_catches_up(bits: int) -> None:
    """RFC 3078 8.1: N key changes for N packets; what comes late is passed over, and so is a copy."""
    sender, receiver = ends(bits)
    sealed = [sender.seal(PACKET) for _ in range(300)]
    assert PACKET == receiver.open(sealed[0], 0.0)
    assert PACKET == receiver.open(sealed[299], 0.0)
    assert None is receiver.open(sealed[150], 0.0)
    assert None is receiver.open(sealed[299], 0.0)
    assert not receiver.lost
    assert PACKET == receiver.open(sender.seal(PACKET), 0.0)


@pytest.mark.parametrize("missed", [2047, 2048, 3838])
def test_a_stateless_receiver_catches_up_after_a_long_silence(missed: int) -> None:
    """An outage of seconds is no reason to be deaf for ever."""
    sender, receiver = ends()
    for _ in range(missed):
        sender.seal(PACKET)
    assert PACKET == receiver.open(sender.seal(PACKET), 0.0)
    assert PACKET == receiver.open(sender.seal(PACKET), 0.0)


@pytest.mark.parametrize("missed", [1, 200, 256, 700])
def test_a_stateful_receiver_begins_afresh_after_a_loss(missed: int) -> None:
    """RFC 3078 8.2: nothing is read until a packet with A comes, be there as many flag packets among the lost ones as there may."""
    sender, receiver = ends(stateless=False)
    assert PACKET == receiver.open(sender.seal(PACKET), 0.0)
    for _ in range(missed):
        sender.seal(PACKET)
    assert None is receiver.open(sender.seal(PACKET), 0.0)
    assert receiver.lost
    sender.reset()
    sender.reset()  # a Reset-Request that was repeated changes nothing more
    assert PACKET == receiver.open(sender.seal(PACKET), 0.0)
    assert PACKET == receiver.open(sender.seal(PACKET), 0.0)


@pytest.mark.parametrize(
    ("stateless", "sealed"),
    [
        (True, ""),
        (True, "90"),
        (True, "9000"),
        (True, "800041"),
        (True, "100041"),
        (False, "000041"),
        (False, "10ff41"),
    ],
)
def test_what_lacks_its_bits_is_malformed(stateless: bool, sealed: str) -> None:
    """RFC 3078 3: D always, A on every stateless packet and on every flag packet; and something has to be encrypted."""
    with pytest.raises(Malformed):
        ends(stateless=stateless)[1].open(bytes.fromhex(sealed), 0.0)


def test_forged_counts_cost_a_bounded_number_of_changes() -> None:
    """Two leaps of half the count are all that packets may ask for at once; the next second allows as many again, and an honest packet always passes."""
    _, receiver = ends()
    leaps = [0x9000 | (at * 2048 - 1) % 4096 for at in range(1, 5)]
    took = [receiver.open(leap.to_bytes(2, "big") + b"\0", 0.0) is not None for leap in leaps]
    assert [True, True, False, False] == took
    assert None is not receiver.open(b"\x90\x00\0", 0.0)
    assert None is not receiver.open(b"\x98\x00\0", 1.0)


def test_keys_say_what_they_are_for() -> None:
    """Whoever hands keys out may narrow the strengths, and require that they are used."""
    keys = Keys(send=START, receive=START, strengths=frozenset({40}), required=True)
    assert (frozenset({40}), True) == (keys.strengths, keys.required)
