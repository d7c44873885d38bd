"""A whole daemon under a hail of datagrams from strangers: what it keeps must stay within its limits, and vanish when the hail ends."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from typing import Final

import trio
import trio.lowlevel

from fuzz import seeds
from fuzz.crash import Crashes, need
from fuzz.mutate import mutated
from fuzz.words import BOTH, WORDS3, Words
from l2tpd.config.load import parse
from l2tpd.config.model import Address
from l2tpd.daemon import Daemon
from l2tpd.errors import LocalProtocolError
from l2tpd.options import Options
from l2tpd.reload import named
from l2tpd.tunnel.port import Arrived, Listener
from l2tpd.wire.digest3 import Signer
from seal import Seal

HALF_OPEN: Final = 256
BATCH: Final = 64
SOURCES: Final = 4096

_SIGNER: Final = Signer.of(seeds.SECRET)
_CONFIG: Final = """
[system]
data_plane = "null"
max_half_open = 256
max_half_open_per_source = 64
[peer.default]
secret = "sesame"
[profile.tunnel.default]
retry_timeout = 0.02
establish_timeout = 2
"""


def run(dice: Random, crashes: Crashes, *, datagrams: int, until: float) -> int:
    """Dispatch so many datagrams, or until the time is over; return how many there were."""
    return trio.run(_run, dice, crashes, datagrams, until)


async def _run(dice: Random, crashes: Crashes, datagrams: int, until: float) -> int:
    config = named(parse([("fuzz.toml", _CONFIG)]))
    daemon = Daemon(config, Options(config_path=Path("fuzz.toml"), ready=lambda: None))
    count = 0
    async with trio.open_nursery() as services:
        listener = Listener(Address("127.0.0.1", 0))
        await services.start(daemon.endpoint.sort_strays)
        await services.start(daemon.endpoint.serve, listener)
        async with trio.open_nursery() as tunnels:
            daemon.adopt(tunnels)
            while count < datagrams and time.monotonic() < until:
                count += _hail(daemon, listener, dice)
                await trio.lowlevel.checkpoint()
                _check(daemon, crashes)
            await _calm(daemon)
            daemon.adopt(None)
            tunnels.cancel_scope.cancel()
        services.cancel_scope.cancel()
    if daemon.crashes:
        crashes.note("endpoint", AssertionError(f"{daemon.crashes} bugs were contained"), b"")
    return count


def _hail(daemon: Daemon, listener: Listener, dice: Random) -> int:
    ids = {words.dialect: _ids(daemon, words) for words in BOTH}
    for _ in range(BATCH):
        words = dice.choice(BOTH)
        data = mutated(dice.choice(words.pool), dice)
        if ids[words.dialect] and dice.random() < 0.3:
            data = words.stamped(data, dice.choice(ids[words.dialect]), 0, dice.randrange(4), dice.randrange(4))
        elif dice.random() < 0.5:
            data = words.stamped(data, 0, 0, 0, 0)
        if words is WORDS3 and dice.random() < 0.7:
            data = _signed(data)
        number = dice.randrange(SOURCES)
        peer = Address(f"127.1.{number >> 8}.{number & 255}", dice.choice((1701, 40000)))
        tunnel = daemon.dispatch(Arrived(data, peer, listener.address))
        if tunnel is not None:
            tunnel.flush_contained()
    return BATCH


def _ids(daemon: Daemon, words: Words) -> list[int]:
    return [tunnel.core.local_id for tunnel in daemon.registry if tunnel.core.dialect is words.dialect]


def _signed(data: bytes) -> bytes:
    """Sign as a caller does that knows the secret; what cannot be signed is left as it is."""
    try:
        return Seal(_SIGNER).sign(data)
    except LocalProtocolError:
        return data


def _check(daemon: Daemon, crashes: Crashes) -> None:
    try:
        need(daemon.registry.half_open <= HALF_OPEN, "more half-open tunnels than are allowed")
        need(daemon.registry.sessions == sum(len(each.core.calls) for each in daemon.registry), "sessions miscounted")
    except AssertionError as breach:
        crashes.note("endpoint", breach, b"")


async def _calm(daemon: Daemon) -> None:
    """Wait until what strangers began has been given up."""
    with trio.fail_after(60):
        while daemon.registry.half_open:
            await trio.sleep(0.05)
