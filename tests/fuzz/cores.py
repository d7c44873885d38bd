"""Stage `cores`: control connections in every state, against a peer that has gone mad and against strangers.

After each step the books of the core are checked (`scene.Scene.check`); what a stranger says must change nothing at all. A core that has died
is replaced, so that there is always a crowd in all states.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Final

from fuzz import scene
from fuzz.crash import Breach, Crashes, need
from fuzz.mutate import mutated, splice
from fuzz.scene import OTHER_PORT, PEER, STRANGER, Scene
from fuzz.words import BOTH, WORDS2, WORDS3, Words
from l2tpd.config.model import Address
from l2tpd.errors import Malformed
from l2tpd.tunnel.outputs import Remark
from l2tpd.tunnel.states import State

CROWD: Final = 48
BATCH: Final = 100
REPEATABLE: Final = 32
SILENT: Final = 6_000
"""Datagrams in one step of a peer that never acknowledges."""
DRAIN: Final = 64
LIFE: Final = 2_000
"""Steps after which a core is replaced although it lives."""


def idle(dice: Random, words: Words) -> Scene:
    return scene.scene(dice, "network", words)


def dialled(dice: Random, words: Words) -> Scene:
    return scene.scene(dice, "local", words)


def closing(dice: Random, words: Words) -> Scene:
    made = scene.up(dice, words) if dice.random() < 0.7 else scene.called(dice, words)
    made.core.close(made.now, text="over")
    made.settle()
    return made


def lingering(dice: Random, words: Words) -> Scene:
    made = scene.up(dice, words)
    made.say(words.bodies["stopccn"])
    return made


STATES: Final[dict[str, Callable[[Random, Words], Scene]]] = {
    "idle": idle,
    "dialled": dialled,
    "called": scene.called,
    "up": scene.up,
    "closing": closing,
    "lingering": lingering,
}
_WEIGHTS: Final = (1, 3, 3, 14, 2, 2)


# --- the steps: each feeds one datagram, or lets something else happen, and returns the datagram ----------------------------------


def mad_peer(made: Scene) -> bytes:
    """Say something wrong with right ids and right numbers, or nearly right ones."""
    dice, core = made.dice, made.core
    if core.state is State.ESTABLISHED and dice.random() < 0.7:
        session, theirs = dice.choice((*core.calls, 0)), dice.choice((0x101, dice.randrange(1, 2000)))
        data = made.words.dialect.build(0, 0, 0, 0, made.words.about(dice.choice(made.words.calls), theirs, session))
        if dice.random() < 0.3:
            data = mutated(data, dice, repair=1.0)
    else:
        session = dice.choice((*core.calls, 0, 0, dice.randrange(0x10000)))
        pool = made.words.pool
        data = dice.choice(pool)
        data = splice(data, dice.choice(pool), dice) if dice.random() < 0.1 else mutated(data, dice, repair=0.97)
    ns = core.channel.nr + dice.choice((0, 0, 0, 0, 0, 1, 1, 2, 3, -1, 127, 128))
    nr = core.channel.ns - dice.choice((0, 0, 0, 0, 1, 2, -1))
    return _feed(made, made.stamped(data, core.local_id, session, ns, nr), PEER)


def repeated(made: Scene) -> bytes:
    """Repeat an old datagram, late and out of order."""
    data = made.dice.choice(made.heard) if made.heard else b"\xc8\x02"
    return _feed(made, data, PEER)


def garbled(made: Scene) -> bytes:
    """Mutate a whole datagram, header and all."""
    core = made.core
    data = made.stamped(made.dice.choice(made.words.pool), core.local_id, 0, core.channel.nr, core.channel.ns)
    return _feed(made, mutated(data, made.dice), PEER)


def stranger(made: Scene) -> bytes:
    """Say what the true peer could say, from elsewhere: nothing may come of it."""
    dice, core = made.dice, made.core
    data = dice.choice(made.words.pool)
    if dice.random() < 0.5:
        data = mutated(data, dice)
    session = dice.choice((*core.calls, 0))
    data = made.stamped(
        data,
        dice.choice((core.local_id, core.local_id, 0)),
        session,
        core.channel.nr + dice.choice((0, 0, 1)),
        core.channel.ns,
    )
    # RFC 2661 8.1: until the first reply the peer may answer from another port
    address = STRANGER if core.state is State.WAIT_CTL_REPLY or dice.random() < 0.5 else OTHER_PORT
    ignored(made, data, address)
    return data


def forged_ack(made: Scene) -> bytes:
    """Acknowledge what was never sent: it must not count, and the message that it rides on must not either."""
    dice, core = made.dice, made.core
    if core.state not in {State.WAIT_CTL_CONN, State.ESTABLISHED}:
        return mad_peer(made)
    words = made.words
    body = dice.choice((words.dialect.ack, words.bodies["stopccn"], words.bodies["cdn"]))
    data = made.packet(body, 0, core.channel.nr, core.channel.ns + dice.randrange(1, 0x4000))
    before, bad = made.portrait(), core.channel.stats.bad_nr
    made.core.receive_datagram(data, PEER, made.now)
    after = made.portrait()
    need(core.channel.stats.bad_nr == bad + 1, "a forged Nr that was not noticed")
    need(before[:3] + before[4:] == after[:3] + after[4:], "a forged Nr that changed something")
    made.settle()
    return data


def ignored(made: Scene, data: bytes, address: Address) -> None:
    """Feed what must change nothing and be answered by nothing."""
    core = made.core
    if core.state is State.IDLE:
        return
    made.settle()
    before = made.portrait()
    core.receive_datagram(data, address, made.now)
    need(made.portrait() == before, "a stranger who changed something")
    need(all(isinstance(output, Remark) for output in core.take_outputs()), "a stranger who made something happen")
    need(not core.datagrams_to_send(made.now), "a stranger who was answered")


def silent_peer(made: Scene) -> bytes:
    """Open calls and end them at once, again and again, without ever acknowledging an answer."""
    core = made.core
    data = b""
    for place in range(SILENT):
        name = "cdn" if place % 2 else made.dice.choice(("icrq", "ocrq"))
        data = made.packet(made.words.bodies[name], 0, core.channel.nr, 0)
        core.receive_datagram(data, PEER, made.now)
        if place % DRAIN == DRAIN - 1:  # as a reader does that finds many datagrams waiting
            made.settle()
    made.settle()
    return data


def time_passes(made: Scene) -> bytes:
    """Let the next timer fire, or some time pass."""
    dice, core = made.dice, made.core
    due = core.next_timer()
    made.now = (
        max(made.now, due) if due is not None and dice.random() < 0.3 else made.now + dice.choice((0.001, 0.1, 0.5))
    )
    core.handle_timer(made.now)
    made.settle()
    return b""


def operator(made: Scene) -> bytes:
    """Let the operator or the data plane do something."""
    dice, core = made.dice, made.core
    choice = dice.random()
    session = dice.choice((*core.calls, 1))
    if choice < 0.5:
        scene.open_session(made)
    elif choice < 0.7:
        core.close_session(session, made.now, "operator")
    elif choice < 0.8 and made.waiting:
        made.fail_plane(dice.choice(made.waiting))
    elif made.waiting:
        core.plane_up(made.waiting.pop(), "ppp1", made.now)
    elif choice < 0.9:
        core.probe(made.now)
    elif choice < 0.95:
        core.reconfigure(scene.settings_of(dice), made.now)
    elif choice < 0.96:
        core.close(made.now, text="operator")
    made.settle()
    return b""


STEPS: Final = (mad_peer, repeated, garbled, stranger, forged_ack, time_passes, operator, silent_peer)
_STEP_WEIGHTS: Final = (60, 8, 8, 12, 4, 6, 4, 0.01)


def _feed(made: Scene, data: bytes, address: Address) -> bytes:
    if made.core.state is State.IDLE:
        try:
            made.words.dialect.parse(data)
        except Malformed:
            return data  # the listener has dropped it
    made.heard.append(data)
    del made.heard[:-REPEATABLE]
    made.feed(data, address)
    return data


# --- the stage ------------------------------------------------------------------------------------------------------------------


def run(dice: Random, crashes: Crashes, *, datagrams: int, until: float) -> int:
    """Feed so many datagrams, or until the time is over; return how many there were."""
    crowd = [_fresh(dice) for _ in range(CROWD)]
    ages = [dice.randrange(LIFE) for _ in crowd]
    count = steps = 0
    while count < datagrams and (steps % BATCH or time.monotonic() < until):
        steps += 1
        place = dice.randrange(CROWD)
        made = crowd[place]
        (step,) = dice.choices(STEPS, _STEP_WEIGHTS)
        count += SILENT if step is silent_peer else step not in {time_passes, operator}
        ages[place] += 1
        try:
            step(made)
        except Exception as error:  # noqa: BLE001 - that nothing escapes is what is tested
            crashes.note(f"cores-{made.before.value}", error, made.heard[-1] if made.heard else b"")
            crowd[place] = _fresh(dice)
        if made.core.state is State.CLOSED or ages[place] > LIFE:
            crowd[place] = _fresh(dice)
            ages[place] = 0
    return count


def _fresh(dice: Random) -> Scene:
    (make,) = dice.choices(tuple(STATES.values()), _WEIGHTS)
    return make(dice, dice.choice(BOTH))


def play(data: bytes, seed: int = 1) -> None:
    """Give one datagram to a core in each state: as it is, and with right ids and numbers. Raises whatever goes wrong."""
    words = WORDS3 if data[1:2] == b"\3" else WORDS2
    for make in STATES.values():
        for right in (False, True):
            made = make(Random(seed), words)
            core = made.core
            session = next(iter(core.calls), 0)
            ready = made.stamped(data, core.local_id, session, core.channel.nr, core.channel.ns) if right else data
            ignored(made, ready, STRANGER)
            _feed(made, ready, PEER)
            while (due := core.next_timer()) is not None and due < made.now + 40:
                made.now = max(due, made.now + 0.001)
                core.handle_timer(made.now)
                made.settle()
            if core.channel.failed:
                need(core.state is State.CLOSED, "a tunnel that outlives its peer")


__all__ = ["STATES", "Breach", "play", "run"]
