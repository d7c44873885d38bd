"""RFC 3931 sections 5.2 and 5.3 in dialogues: what an unrecognized AVP ends, and who may hide."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dialogue import SECRET, ZLB, Dialogue, stage, unknown
from dialogue3 import (
    called3,
    dialled3,
    hello3,
    iccn3,
    icrp3,
    icrq3,
    incoming3,
    occn3,
    ocrp3,
    ocrq3,
    scccn3,
    sccrp3,
    sccrq3,
    sli3,
    up3,
    up_called3,
    wen3,
)
from l2tpd.config.model import Digest, Role, SessionSettings
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.dialect import V3
from l2tpd.wire.avp import LOCAL_SESSION_ID, REMOTE_END_ID, REMOTE_SESSION_ID, RESULT_CODE, RawAvp
from l2tpd.wire.messages import Message
from l2tpd.wire.numbers import MessageType

Scene = Callable[[], Dialogue]
Saying = Callable[[Dialogue, RawAvp], Message]


def only_call(say: Dialogue) -> int:
    (session_id,) = say.core.calls
    return session_id


def asking() -> Dialogue:
    say = up3()
    say.open_session(SessionSettings(remote_end_id="ours"))
    say.us << MessageType.ICRQ
    return say


def answered() -> Dialogue:
    say = up_called3()
    say.peer >> icrq3()
    say.us << MessageType.ICRP
    return say


def also(said: Message, avp: RawAvp) -> Message:
    said.extra = (avp,)
    return said


def called_back() -> Dialogue:
    """We have asked for an outgoing call, and wait for the circuit."""
    say = placing()
    say.peer >> ocrp3(only_call(say))
    say.us << ZLB
    return say


def placing() -> Dialogue:
    say = up3()
    say.open_session(SessionSettings(role=Role.LNS))
    say.us << MessageType.OCRQ
    return say


def connected() -> Dialogue:
    say = up_called3()
    incoming3(say)
    return say


CONTROL: dict[str, tuple[Scene, Saying]] = {
    "SCCRQ": (lambda: stage(dialect=V3, origin="network"), lambda _, avp: sccrq3(avp)),
    "SCCRP": (dialled3, lambda _, avp: sccrp3(avp)),
    "SCCCN": (called3, lambda _, avp: scccn3(avp)),
    "HELLO": (up3, lambda _, avp: hello3(avp)),
}
SESSION: dict[str, tuple[Scene, Saying]] = {
    "ICRQ": (up_called3, lambda _, avp: icrq3(0x10000500, avp)),
    "OCRQ": (up_called3, lambda _, avp: ocrq3(0x10000500, avp)),
    "ICRP": (asking, lambda say, avp: icrp3(only_call(say), 0x10000500, avp)),
    "ICCN": (answered, lambda say, avp: iccn3(only_call(say), 0x10000500, avp)),
    "OCRP": (placing, lambda say, avp: ocrp3(only_call(say), 0x10000500, avp)),
    "OCCN": (called_back, lambda say, avp: occn3(only_call(say), 0x10000500, avp)),
    "WEN": (connected, lambda say, avp: also(wen3(only_call(say)), avp)),
    "SLI": (connected, lambda say, avp: also(sli3(only_call(say), 3), avp)),
}


@pytest.mark.parametrize("name", CONTROL)
@pytest.mark.parametrize("vendor", [0, 9])
def test_5_2_the_control_connection_must_be_issued_a_stopccn(name: str, vendor: int) -> None:
    """with Result Code of 2 and Error Code of 8"; "The Error Message SHOULD contain the attribute of the offending AVP in text form" (5.4.2)."""
    scene, saying = CONTROL[name]
    say = scene()
    say.peer >> saying(say, unknown(mandatory=True, vendor=vendor))
    stopped = (say.us << MessageType.STOPCCN).said
    assert stopped is not None
    assert (2, 8) == (stopped[RESULT_CODE].result, stopped[RESULT_CODE].error)
    assert "999" in stopped[RESULT_CODE].message


@pytest.mark.parametrize("name", SESSION)
@pytest.mark.parametrize("vendor", [0, 9])
def test_5_2_the_session_must_be_issued_a_cdn(name: str, vendor: int) -> None:
    """with a Result Code of 2 and Error Code of 8", to the peer's session id; the connection stays."""
    scene, saying = SESSION[name]
    say = scene()
    say.peer >> saying(say, unknown(mandatory=True, vendor=vendor))
    ended = (say.us << MessageType.CDN).said
    assert ended is not None
    assert (2, 8, 0x10000500) == (ended[RESULT_CODE].result, ended[RESULT_CODE].error, ended[REMOTE_SESSION_ID])
    assert ended[LOCAL_SESSION_ID] != 0
    assert {} == say.core.calls
    say.peer >> hello3()
    say.us << ZLB


@pytest.mark.parametrize("name", CONTROL | SESSION)
def test_5_2_without_the_m_bit_it_must_be_ignored(name: str) -> None:
    """processing the control message as if the AVP were not present"."""
    scene, saying = (CONTROL | SESSION)[name]
    heard = []
    for avp in (unknown(mandatory=False), unknown(mandatory=False, vendor=9), None):
        say = scene()
        said = saying(say, unknown(mandatory=False) if avp is None else avp)
        said.extra = () if avp is None else said.extra
        say.peer >> said
        answer, *_ = say.skip()
        heard.append(answer.said.type if answer.said else None)
    assert 1 == len(set(heard))
    assert MessageType.STOPCCN not in heard


def test_5_3_hidden_avps_of_the_peer_are_read() -> None:
    """With the secret that both share; without one nobody could, and the session ends."""
    say = up_called3(secret=SECRET)
    say.peer.hides = True
    say.peer >> icrq3(end_id="a hidden circuit")
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    assert ("a hidden circuit", CallState.WAIT_CONNECT) == (call.end_id, call.state)
    plain = up_called3()
    plain.peer.hides, plain.peer.secret = True, SECRET.encode()
    plain.peer >> icrq3(end_id="a hidden circuit")
    assert plain.skip()
    assert {} == plain.core.calls


def test_5_3_at_least_one_random_vector_must_precede_what_we_hide() -> None:
    """and MUST precede the first AVP having an H bit of 1"; the values cannot be seen on the wire."""
    say = up3(secret=SECRET, hide_avps=True)
    say.core.open_session(SessionSettings(remote_end_id="a hidden circuit"), 0.0)
    (datagram,) = say.core.datagrams_to_send(0.0)
    say.core.take_outputs()
    order, position = [], 12
    while position < len(datagram):
        order.append((int.from_bytes(datagram[position + 4 : position + 6], "big"), bool(datagram[position] & 0x40)))
        position += int.from_bytes(datagram[position : position + 2], "big") & 0x3FF
    assert order.index((36, False)) < [hidden for _, hidden in order].index(True)
    assert [(0, False), (59, False)] == order[:2]
    assert (REMOTE_END_ID.number, True) in order
    assert b"a hidden circuit" not in datagram


def hidden_in(datagram: bytes) -> list[int]:
    """Return the attributes of a message that have the H bit."""
    found, position = [], 12
    while position < len(datagram):
        if datagram[position] & 0x40:
            found.append(int.from_bytes(datagram[position + 4 : position + 6], "big"))
        position += int.from_bytes(datagram[position : position + 2], "big") & 0x3FF
    return found


@pytest.mark.parametrize(
    ("secret", "digest", "hides"),
    [("", Digest.HMAC_MD5, False), (SECRET, Digest.NONE, False), (SECRET, Digest.HMAC_MD5, True)],
)
def test_5_3_the_h_bit_must_only_be_set_with_a_secret_and_authentication(
    secret: str, digest: Digest, *, hides: bool
) -> None:
    """(1) a shared secret exists between the LCCEs and (2) Control Message Authentication is enabled": whatever the settings say."""
    say = up3(secret=secret, digest=digest, hide_avps=True)
    say.core.open_session(SessionSettings(remote_end_id="circuit"), 0.0)
    (datagram,) = say.core.datagrams_to_send(0.0)
    say.core.take_outputs()
    assert hides is (REMOTE_END_ID.number in hidden_in(datagram))
    assert hides is bool(hidden_in(datagram))


def test_5_4_1_a_random_vector_is_another_one_in_each_message() -> None:
    """MUST contain a cryptographically random value": never twice the same; where a daemon draws it from is shown in `test_section_5_4_3.py`."""
    say, vectors = up3(secret=SECRET, hide_avps=True), set()
    for _ in range(10):
        say.core.open_session(SessionSettings(), 0.0)
        (datagram,) = say.core.datagrams_to_send(0.0)
        place = datagram.index(bytes.fromhex("8016 0000 0024"))
        vectors.add(datagram[place + 6 : place + 22])
        say.peer.nr += 1
        say.peer >> ZLB
    assert 10 == len(vectors)
