"""Each row of the quirk table in a dialogue of its own."""

from __future__ import annotations

import sys

import attrs
import pytest

from dialogue import (
    OURS,
    THEIRS,
    ZLB,
    called,
    dialled,
    hello,
    iccn,
    icrp,
    icrq,
    incoming,
    ocrq,
    reported,
    scccn,
    sccrp,
    sccrq,
    stage,
    stopccn,
    unknown,
    up,
    up_called,
)
from dialogue3 import dialled3, iccn3, icrq3, said3, sccrp3, up3, up_called3
from l2tpd.config.model import Address, SessionSettings
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.quirks import QUIRKS, Effect, effects
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import ACCM, HOST_NAME, RESULT_CODE, RX_CONNECT_SPEED, TX_CONNECT_SPEED, VENDOR_NAME, RawAvp
from l2tpd.wire.messages import message
from l2tpd.wire.numbers import MessageType
from l2tpd.wire.values import AccmValue, ResultCode


def test_every_row_has_its_dialogue() -> None:
    """A quirk without a test named after it is a claim; a test without a row is out of date."""
    module = sys.modules[__name__]
    tests = {name for name in vars(module) if name.startswith("test_quirk_")}
    assert {f"test_quirk_{row.name.replace('-', '_')}" for row in QUIRKS} == tests


def test_rows_are_complete() -> None:
    """Names are unique, every row says whose quirk it is, and either always applies or has an effect that no other row has."""
    assert len({row.name for row in QUIRKS}) == len(QUIRKS)
    assert all(row.peers and row.does and row.answer for row in QUIRKS)
    assert all(row.always == (row.effect is Effect.NONE) for row in QUIRKS)
    used = [row.effect for row in QUIRKS if not row.always]
    assert len(used) == len(set(used))
    assert set(Effect) == set(used)


def test_effects_add_up() -> None:
    """Several names give several effects; an unknown name is an error."""
    assert Effect.NONE == effects(())
    assert Effect.NO_HELLO | Effect.OMIT_VENDOR_NAME == effects(("no-hello", "no-vendor-name"))
    with pytest.raises(KeyError):
        effects(("no-such-quirk",))


def test_quirk_short_result_code() -> None:
    """A Result Code of 8 octets in all, without error code, ends the call or tunnel with that result."""
    say = up()
    call = reported(say)
    say.told()
    say.peer.say(bytes.fromhex("8008 0000 0000 000e 8008 0000 0001 0003 8008 0000 000e 01f4"), session_id=call.local_id)
    say.us << ZLB
    assert ["session down 3", "session deleted 3"] == say.told()
    say.peer >> bytes.fromhex("8008 0000 0000 0004 8008 0000 0009 0009 8008 0000 0001 0006")
    say.us << ZLB
    assert ["tunnel down 6", "tunnel deleted 6"] == say.told()
    new = up_called3()
    new.peer >> bytes.fromhex("8008 0000 0000 0004 800a 0000 003d 00000009 8008 0000 0001 0006")
    new.us << ZLB
    assert ["tunnel down 6", "tunnel deleted 6"] == new.told()


def test_quirk_sli_from_anyone() -> None:
    """SLI to an LNS, before the call is up, after it, and for no call at all is acknowledged and nothing else happens."""
    sli = message(MessageType.SLI, {ACCM: AccmValue()})
    say = up_called(late=True)
    say.peer >> icrq()
    (call,) = say.core.calls.values()
    for session_id in (call.local_id, 0, 4711):
        say.peer.say(sli, session_id=session_id)
        say.at(say.now + 0.2)
        say.us << ZLB
    say.plane_up(call)
    say.us << MessageType.ICRP
    say.peer.say(iccn(), session_id=call.local_id)
    say.us << ZLB
    say.peer.say(sli, session_id=call.local_id)
    say.us << ZLB
    say.state_is(CallState.ESTABLISHED, call)
    say.state_is(State.ESTABLISHED)


def test_quirk_extra_avps() -> None:
    """An SCCCN with AVPs that 6.3 does not list brings the tunnel up."""
    say = called()
    say.peer >> scccn(unknown(mandatory=False), host_name="mpd", vendor_name="mpd5")
    say.us << ZLB
    say.state_is(State.ESTABLISHED)
    assert 0 < say.site.counters.ignored_avps


def test_quirk_short_speed() -> None:
    """An Rx Connect Speed of 2 octets is as if it were absent; the call comes up."""
    say = up_called()
    say.peer >> icrq()
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    body = bytes.fromhex("8008 0000 0000 000c 800a 0000 0018 0000fa00 800a 0000 0013 00000001 0008 0000 0026 0100")
    say.peer.say(body, session_id=call.local_id)
    say.us << ZLB
    say.state_is(CallState.ESTABLISHED, call)
    assert (64_000, 0) == (call.tx_connect_speed, call.rx_connect_speed)


def test_quirk_restart_same_port() -> None:
    """The SCCRQ of a peer that restarted opens a second tunnel at once, while the first, which it has forgotten, lives until its HELLO fails."""
    old = up_called(hello_timeout=20.0)
    new = stage(local_id=OURS + 1, origin="network", site=old.site)
    request = new.peer >> sccrq(assigned_tunnel_id=THEIRS + 1)
    new.us << MessageType.SCCRP
    new.peer >> scccn()
    new.us << ZLB
    new.state_is(State.ESTABLISHED)
    assert old.core.peer == new.core.peer
    assert request
    old.state_is(State.ESTABLISHED)
    old.peer.deaf = True
    old.at(51.0)
    old.skip()
    old.state_is(State.CLOSED)
    new.state_is(State.ESTABLISHED)


def twins(*numbers: int, mandatory: bool = False) -> list[RawAvp]:
    """Return Cisco's own attributes of these numbers, with values that contradict those of the IETF."""
    return [RawAvp(mandatory, hidden=False, vendor=9, number=number, value=b"\xff\xff\xff\xff") for number in numbers]


def test_quirk_vendor_twins() -> None:
    """Connection and session come up with what the attributes of RFC 3931 say; what Cisco's own say is kept out of it."""
    say = dialled3()
    say.peer >> sccrp3(*twins(1, 2, 10, 13))
    connected = say.us << MessageType.SCCCN
    assert THEIRS == connected.tunnel_id
    say.peer >> ZLB
    say.peer >> icrq3(500, *twins(3, 4, 5, 6, 7, 8, 9))
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    say.peer >> iccn3(call.local_id, 500, *twins(3, 4))
    say.us << ZLB
    assert (CallState.ESTABLISHED, 500, "circuit", b"") == (call.state, call.peer_id, call.end_id, call.peer_cookie)


def test_quirk_misleading_refusal() -> None:
    """Our ICRQ has each AVP of RFC 3931 6.6, Remote Session ID with 0 among them; and an operator reads what the peer complains of."""
    say = up3()
    say.open_session()
    asked = (say.us << MessageType.ICRQ).said
    assert asked is not None
    assert {63, 64, 15, 68, 66, 71} <= {avp.number for avp in asked.values}
    text = "unsupported mandatory vendor AVP"
    code = ResultCode(2, 8, text)
    say.peer >> said3(MessageType.STOPCCN, {RESULT_CODE: code}, assigned_control_connection_id=THEIRS)
    say.us << ZLB
    assert say.core.ending is not None
    assert (2, 8, text, "peer") == attrs.astuple(say.core.ending)


def test_quirk_zero_tunnel_id() -> None:
    """Packets to tunnel 0 are taken from the tunnel's own peer, and from nobody else."""
    say = up_called(quirks=("zero-tunnel-id",))
    say.peer.tunnel_id = 0
    say.peer >> hello()
    say.us << ZLB
    say.peer.address = Address("192.0.2.66", 1701)
    say.peer >> stopccn()
    say.silent()
    say.state_is(State.ESTABLISHED)
    strict = up_called()
    strict.peer.tunnel_id = 0
    strict.peer >> hello()
    strict.silent()


def test_quirk_no_rx_speed() -> None:
    """Rx Connect Speed is not sent, though the settings have one."""
    say = up(quirks=("no-rx-speed",))
    call = say.open_session(SessionSettings(rx_connect_speed=5_000))
    say.us << MessageType.ICRQ
    say.peer.say(icrp(), session_id=call.local_id)
    connected = say.us << MessageType.ICCN
    assert connected.said is not None
    assert RX_CONNECT_SPEED not in connected.said
    assert TX_CONNECT_SPEED in connected.said


def test_quirk_rx_speed() -> None:
    """Rx Connect Speed is always sent, equal to Tx where the settings have none, in ICCN as in OCCN."""
    for settings, speed in (
        (SessionSettings(tx_connect_speed=9_000), 9_000),
        (SessionSettings(rx_connect_speed=5_000), 5_000),
    ):
        say = up(quirks=("rx-speed",))
        call = say.open_session(settings)
        say.us << MessageType.ICRQ
        say.peer.say(icrp(), session_id=call.local_id)
        say.us << message(MessageType.ICCN, {RX_CONNECT_SPEED: speed})
        asked = up(quirks=("rx-speed",))
        asked.policy.settings = settings
        asked.peer >> ocrq()
        asked.us << MessageType.OCRP
        asked.peer >> ZLB
        asked.us << message(MessageType.OCCN, {RX_CONNECT_SPEED: speed})


def test_quirk_mandatory_vendor_avps() -> None:
    """A vendor's mandatory AVP is passed over; one of the IETF's space still ends the set-up."""
    say = dialled(quirks=("mandatory-vendor-avps",))
    say.peer >> sccrp(unknown(mandatory=True, vendor=9))
    say.us << MessageType.SCCCN
    say = dialled(quirks=("mandatory-vendor-avps",))
    say.peer >> sccrp(unknown(mandatory=True))
    say.us << MessageType.STOPCCN
    say = dialled()
    say.peer >> sccrp(unknown(mandatory=True, vendor=9))
    say.us << MessageType.STOPCCN
    for quirks, answer in ((("mandatory-vendor-avps",), MessageType.SCCCN), ((), MessageType.STOPCCN)):
        new = dialled3(quirks=quirks)
        new.peer >> sccrp3(*twins(1, 2, mandatory=True))
        new.us << answer


def test_quirk_no_hello() -> None:
    """No HELLO is ever sent; those of the peer are acknowledged."""
    say = up(quirks=("no-hello",))
    say.at(10_000.0)
    say.silent()
    say.peer >> hello()
    say.us << ZLB


def test_quirk_no_vendor_name() -> None:
    """Neither SCCRQ nor SCCRP carries a Vendor Name."""
    say = stage(quirks=("no-vendor-name",))
    say.open()
    asked = say.us << message(MessageType.SCCRQ, {HOST_NAME: "us"})
    answering = stage(origin="network", quirks=("no-vendor-name",))
    answering.peer >> sccrq()
    answered = answering.us << MessageType.SCCRP
    assert asked.said is not None
    assert answered.said is not None
    assert VENDOR_NAME not in asked.said
    assert VENDOR_NAME not in answered.said


def test_quirks_leave_an_ordinary_call_alone() -> None:
    """With every quirk on, an ordinary peer still brings up a call."""
    say = up_called(quirks=tuple(row.name for row in QUIRKS))
    call = incoming(say)
    say.state_is(CallState.ESTABLISHED, call)
