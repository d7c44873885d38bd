"""Stage `decoders`: whatever the octets are, a decoder gives an answer or raises `Malformed`, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

from fuzz import seeds, seeds3
from fuzz.crash import Crashes, need
from fuzz.mutate import mutated, splice
from l2tpd.errors import Malformed
from l2tpd.wire.describe import datagram as described
from l2tpd.wire.describe import summary
from l2tpd.wire.digest3 import Signer, sign, verify
from l2tpd.wire.header import (
    build_control,
    build_control3,
    build_data,
    parse_control,
    parse_control3,
    parse_data,
    peek,
)
from l2tpd.wire.messages import FALLBACK, MAX_NOTES, V2, V3, Quirks, Vocabulary, decode
from l2tpd.wire.numbers import DigestType

TOLERANT = Quirks(ignore_vendor_avps=True, ignore_unknown_avps=True)
SIGNERS = [Signer.of(seeds.SECRET), Signer.of(seeds.SECRET, DigestType.HMAC_SHA1)]
BATCH = 500


def decode_everything(data: bytes) -> None:
    """Feed one datagram to every decoder. Raises `Breach`, or whatever else escaped from a decoder."""
    control = _control_of(data)
    control3 = _control3_of(data)
    _data_of(data)
    try:
        seen = peek(data)
        need(0 <= seen.tunnel_id < 1 << 32, "peek gave an impossible id")
        need(seen.version == 3 or control3 is None, "a control message of version 3 that peek takes for another")
    except Malformed:
        need(control is control3 is None, "a control message that peek does not see")
    text = described(data, seeds.SECRET)
    need(all(line.isprintable() for line in text.split("\n")), "a description that could steer a terminal")
    body = data[12:] if control is None else control
    _decode_body(body, V2)
    _decode_body(body if control3 is None else control3, V3)
    if body[6:8] == b"\0\1":
        _decode_body(body, FALLBACK)


def _control_of(data: bytes) -> bytes | None:
    try:
        header, body = parse_control(data)
    except Malformed:
        return None
    again = build_control(*header, body)
    need(again[2:] == data[2 : 12 + len(body)], "a control header that does not survive being built again")
    return body


def _control3_of(data: bytes) -> bytes | None:
    right = verify(data, SIGNERS, *seeds3.NONCES)
    try:
        header, body = parse_control3(data)
    except Malformed:
        return None
    again = build_control3(header.tunnel_id, header.ns, header.nr, body)
    need(again[2:] == data[2 : 12 + len(body)], "a control header of version 3 that does not survive being built again")
    if right is None and 8 <= len(body) < 65_000:
        need(
            verify(sign(again, SIGNERS, b"a", b"b"), SIGNERS, b"a", b"b") is True, "a digest of ours that is not right"
        )
    return body


def _data_of(data: bytes) -> None:
    try:
        header, payload = parse_data(data)
    except Malformed:
        return
    need(len(payload) <= len(data), "a payload larger than its datagram")
    need(
        parse_data(build_data(header, payload, length=False)) == (header, payload),
        "a data header that does not survive being built again",
    )


def _decode_body(body: bytes, vocabulary: Vocabulary) -> None:
    for secret, quirks in ((b"", Quirks()), (seeds.SECRET, Quirks()), (seeds.SECRET, TOLERANT)):
        try:
            said = decode(body, secret=secret, quirks=quirks, vocabulary=vocabulary)
        except Malformed:
            continue
        need(len(said.notes) <= MAX_NOTES + 1, "more notes than are allowed")
        row = vocabulary.messages.get(said.type)
        complete = row is None or not row.mandatory or said.values.keys() >= row.need
        need(said.fault is not None or complete, "a required AVP is missing")
        if quirks is TOLERANT:
            need(summary(said).isprintable(), "a summary that could steer a terminal")


def inputs(dice: Random) -> Iterator[bytes]:
    """Yield datagrams for ever: mutants of the seeds, splices, mutants of mutants, and noise."""
    known = [*seeds.datagrams().values(), *seeds3.datagrams().values()]
    small = [data for data in known if len(data) < 2000]
    pool = list(small)
    while True:
        choice = dice.random()
        if choice < 0.02:
            yield dice.randbytes(dice.choice((0, 1, 2, 5, 6, 7, 8, 11, 12, 13, 19, 20, 60, 400)))
        elif choice < 0.05:
            yield dice.choice((seeds.control, seeds3.control3))(dice.randbytes(dice.randrange(200)))
        elif choice < 0.15:
            yield splice(dice.choice(pool), dice.choice(pool), dice)
        elif choice < 0.151:
            yield mutated(dice.choice(known), dice)
        else:
            made = mutated(dice.choice(pool), dice)
            if dice.random() < 0.02:  # a mutant may become the parent of others
                if len(pool) < 2000:
                    pool.append(made[:2000])
                else:
                    pool[dice.randrange(len(small), len(pool))] = made[:2000]
            yield made


def run(dice: Random, crashes: Crashes, *, datagrams: int, until: float) -> int:
    """Decode so many datagrams, or until the time is over; return how many there were."""
    count = 0
    for data in inputs(dice):
        if count >= datagrams or (count % BATCH == 0 and time.monotonic() >= until):
            return count
        count += 1
        try:
            decode_everything(data)
        except Exception as error:  # noqa: BLE001 - that nothing else escapes is what is tested
            crashes.note("decoders", error, data, _fails)
    return count


def _fails(data: bytes) -> bool:
    try:
        decode_everything(data)
    except Exception:  # noqa: BLE001 - see above
        return True
    return False
