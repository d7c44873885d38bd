"""Stage `decoders`: whatever the octets are, a decoder gives an answer or raises `Malformed`, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

from fuzz import seeds
from fuzz.crash import Crashes, need
from fuzz.mutate import mutated, splice
from l2tpd.errors import Malformed
from l2tpd.wire.describe import datagram as described
from l2tpd.wire.describe import summary
from l2tpd.wire.header import build_control, build_data, parse_control, parse_data, peek
from l2tpd.wire.messages import MAX_NOTES, MESSAGES, Quirks, decode

TOLERANT = Quirks(ignore_vendor_avps=True, ignore_unknown_avps=True)
BATCH = 500


def decode_everything(data: bytes) -> None:
    """Feed one datagram to every decoder. Raises `Breach`, or whatever else escaped from a decoder."""
    control = _control_of(data)
    _data_of(data)
    try:
        seen = peek(data)
        need(0 <= seen.tunnel_id < 1 << 32, "peek gave an impossible id")
    except Malformed:
        need(control is None, "a control message that peek does not see")
    text = described(data, seeds.SECRET, reveal=True)
    need(all(line.isprintable() for line in text.split("\n")), "a description that could steer a terminal")
    _decode_body(data[12:] if control is None else control)


def _control_of(data: bytes) -> bytes | None:
    try:
        header, body = parse_control(data)
    except Malformed:
        return None
    again = build_control(*header, body)
    need(again[2:] == data[2 : 12 + len(body)], "a control header that does not survive being built again")
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


def _decode_body(body: bytes) -> None:
    for secret, quirks in ((b"", Quirks()), (seeds.SECRET, Quirks()), (seeds.SECRET, TOLERANT)):
        try:
            said = decode(body, secret=secret, quirks=quirks)
        except Malformed:
            continue
        need(len(said.notes) <= MAX_NOTES + 1, "more notes than are allowed")
        row = MESSAGES.get(said.type)
        complete = row is None or not row.mandatory or said.values.keys() >= row.need
        need(said.fault is not None or complete, "a required AVP is missing")
        if quirks is TOLERANT:
            need(summary(said).isprintable(), "a summary that could steer a terminal")


def inputs(dice: Random) -> Iterator[bytes]:
    """Yield datagrams for ever: mutants of the seeds, splices, mutants of mutants, and noise."""
    known = list(seeds.datagrams().values())
    small = [data for data in known if len(data) < 2000]
    pool = list(small)
    while True:
        choice = dice.random()
        if choice < 0.02:
            yield dice.randbytes(dice.choice((0, 1, 2, 5, 6, 7, 8, 11, 12, 13, 19, 20, 60, 400)))
        elif choice < 0.05:
            yield seeds.control(dice.randbytes(dice.randrange(200)))
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
