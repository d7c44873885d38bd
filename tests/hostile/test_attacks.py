"""The table of attacks is complete and its names are true; and those attacks that have no other place."""

from __future__ import annotations

import ast
import gc
import os
import random
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import attrs
import pytest
import trio

from bench.measure import Process
from dialogue import icrq, scccn
from hostile.attacks import ATTACKS, VULNERABILITIES, Attack
from house import House, Peer, house
from l2tpd import hooks, log
from l2tpd.config.model import Address
from l2tpd.control.jsonrpc import MAX_LINE, Request, write_request
from l2tpd.events import SessionEvent, TunnelEvent, What
from l2tpd.tunnel.port import Arrived
from l2tpd.wire.numbers import MessageType
from pppstage import LCP, REJECT, REQUEST, begin, options

TESTS = Path(__file__).parents[1]
LONGEST = 1017
"""Octets of an AVP's value."""

EVIL = "$(reboot);`id`\n\x1b[2J%s{0}/../../etc/passwd'\""

# --- the table


@cache
def named(path: str) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((TESTS / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", [*VULNERABILITIES.values(), *ATTACKS.values()], ids=lambda row: row.text[:30])
def test_every_attack_is_tried_or_does_not_apply(row: Attack) -> None:
    """A row names tests that there are, or says why it needs none."""
    assert bool(row.tests) != bool(row.reason)
    for test in row.tests:
        path, _, name = test.partition("::")
        assert name in named(path), test


def test_no_attack_is_missing() -> None:
    """Nineteen that the protocols invite to, and what has a number of its own among those of other programs."""
    assert list(range(1, 20)) == list(ATTACKS)
    assert 26 == len(VULNERABILITIES)
    known = """2002-0872 2002-0873 2004-0649 2006-5873 2008-3584 2018-11574 2020-7465 2020-7466 2020-8597 2020-15173 2021-42054 2022-0982 2022-24704
        2024-3596 2025-9615"""
    assert {f"CVE-{number}" for number in known.split()} == {
        name for name in VULNERABILITIES if name.startswith("CVE-")
    }


# --- what has no other place


async def ask(there: House, method: str) -> bytes:
    """Return the line that answers a request at the control socket."""
    async with await trio.open_unix_socket(str(there.daemon.config.system.control_socket)) as stream:
        await stream.send_all(write_request(Request(id=1, method=method, params={})))
        answer = b""
        while not answer.endswith(b"\n"):
            answer += await stream.receive_some()
        return answer


async def test_the_longest_names_and_numbers_pass_to_their_end() -> None:
    """A tunnel and a call in which every text is as long as an AVP can be are as good as any, and shown."""
    long = "x" * LONGEST
    async with house() as there:
        with Peer(there.address) as lac:
            caller = await lac.connect(host_name=long, vendor_name=long)
            await caller.say(icrq(500, calling_number=long, called_number=long, sub_address=long))
            assert MessageType.ICRP == (await lac.hear(1)).type
            for method in ("tunnel.list", "session.list"):
                answer = await ask(there, method)
                assert len(answer) < MAX_LINE
                assert 1 == answer.count(b'"peer_id"')
            await caller.alive()


async def test_ids_cannot_be_guessed() -> None:
    """They come from the system's random source, in no order and from the whole space."""
    async with house(system="max_half_open = 1000") as there:
        assert os.urandom is there.daemon.site.random
        with Peer(there.address) as lac:
            ids = [(await lac.call(number)).theirs for number in range(1, 201)]
    assert 200 == len(set(ids))
    assert 50 < sum(one < 0x8000 for one in ids) < 150  # six standard deviations
    assert 50 < sum(one < other for one, other in pairwise(ids)) < 150


async def test_junk_at_the_listener_grows_nothing() -> None:
    """Two hundred thousand datagrams of any octets, half of them behind a good header: no tunnel, no answer, no memory."""
    dice = random.Random(1)
    noise = [dice.randbytes(dice.choice((0, 1, 5, 11, 12, 13, 60, 500))) for _ in range(500)]
    noise += [bytes.fromhex("c802") + (12 + len(one)).to_bytes(2, "big") + bytes(8) + one for one in noise]
    async with house() as there:
        us, dispatch, before = Process(os.getpid()), there.daemon.dispatch, 0
        for turn in range(220):
            peer = Address(f"203.0.113.{turn}", 1701)
            for data in noise:
                dispatch(Arrived(data, peer, there.address))
            await trio.lowlevel.checkpoint()
            if turn == 20:
                gc.collect()
                before = us.rss()
        gc.collect()
        assert us.rss() - before < 4 << 20
        assert [] == there.tunnels
        assert 0 == len(there.daemon.lingering)


def test_a_thousand_addresses_do_not_fill_the_log() -> None:
    """Each may have a few lines said of it, but all together no more than a hundred a second."""
    limit = log.RateLimit()
    said = sum(limit.admit(f"2001:db8::{number:x}", number / 10_000) is not None for number in range(10_000))
    assert 100 <= said <= 200
    assert limit.admit("quiet", 2.0) is not None


def test_a_request_full_of_options_is_answered_within_the_mru() -> None:
    """Options that nobody knows, and a callback, up to the MRU: one Configure-Reject that fits, and the link goes on."""
    scene = begin()
    scene.heard()
    strange = [(13, b"\x06"), *((number, b"") for number in range(64, 255))] * 3
    asked = options(*strange)[:1496]
    (said,) = scene.say(LCP, REQUEST, 1, asked)
    assert (LCP, REJECT) == said[:2]
    assert 4 + len(said.data) <= 1500
    (granted,) = scene.say(LCP, REQUEST, 2, b"")
    assert 2 == granted.identifier


async def test_a_stranger_gets_no_response_to_its_challenge() -> None:
    """Whoever is no peer is refused, and has nothing to guess the secret of others from."""
    async with house('[peer.far]\nmatch = ["192.0.2.0/24"]\nsecret = "s3cret"\n') as there:
        with Peer(there.address) as stranger:
            assert (MessageType.STOPCCN, 4, 0) == await stranger.refused(challenge=bytes(16))
            assert [] == there.tunnels


async def test_a_secret_is_no_matter_of_taste() -> None:
    """Where one is configured, a caller that challenges nobody is challenged, and has to answer."""
    async with house('[peer.default]\nsecret = "s3cret"\n') as there:
        with Peer(there.address) as lac:
            caller = await lac.call()
            assert len(there.the_tunnel().core.challenge) >= 16
            await caller.say(scccn())
            assert (MessageType.STOPCCN, 4, 0) == (await lac.hear(1)).refusal
            assert not there.the_tunnel().core.was_up
            assert 1 == there.counter("auth_failures")


_AS_ANOTHER = """
import os, socket, sys
os.chdir(sys.argv[1]); os.setgroups([]); os.setgid(65534); os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
try:
    client.connect("control.sock")
except PermissionError:
    sys.exit("kept out")
lines = client.makefile("rwb")
for method, params in (("system.show", "{}"), ("drain.set", '{"drain":true}')):
    lines.write(f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}\\n'.encode()); lines.flush()
    print(b'"result"' in lines.readline())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("group", "wanted"), [("0", ""), ("65534", "True\nFalse\n")], ids=["other", "member"])
async def test_the_group_may_read_and_never_write(group: str, wanted: str) -> None:
    """A process that became user and group 65534, and connects for real."""
    keys = f'control_group = "{group}"\ncontrol_mode = "0660"'
    async with house(system=keys) as there:
        place = there.daemon.config.system.control_socket.parent
        place.chmod(0o711)
        # -S: coverage would begin by itself, and complain at the end that another user cannot write here
        done = await trio.run_process(
            [sys.executable, "-S", "-c", _AS_ANOTHER, str(place)], capture_stdout=True, capture_stderr=True, check=False
        )
        assert wanted == done.stdout.decode(), done.stderr
        assert (b"kept out\n" if not wanted else b"") == done.stderr
        assert not there.daemon.policy.drain


@pytest.mark.parametrize("kind", [TunnelEvent, SessionEvent])
@pytest.mark.parametrize("what", What)
def test_what_a_peer_says_of_itself_is_never_an_argument(kind: type[TunnelEvent | SessionEvent], what: What) -> None:
    """Whatever texts an event has, a script's arguments are numbers and fixed words, and its environment has no control characters."""
    told: dict[str, object] = {field.name: EVIL for field in attrs.fields(kind) if field.type == "str"}
    told |= {"what": what, "tunnel_id": 7, "session_id": 9, "pseudowire": "ppp", "address": "", "far_address": ""}
    known = {field.name for field in attrs.fields(kind)}
    event = kind(**{name: value for name, value in told.items() if name in known})  # type: ignore[arg-type]
    assert all(word.isalnum() for word in hooks.arguments(event))
    environment = "".join(hooks.environment(event).values())
    assert environment.replace("\n", "").isprintable()
    assert "/" not in hooks.script(event)
