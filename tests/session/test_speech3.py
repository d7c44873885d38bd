"""What is said about a session of version 3, and what is learnt (RFC 3931 6.6 to 6.14); its dialogues are in `conformance/rfc3931/`."""

from __future__ import annotations

from typing import Any

import pytest

from dialogue import octets
from dialogue3 import iccn3, icrp3, icrq3
from l2tpd.config.model import Pseudowire, SessionSettings, Sublayer
from l2tpd.errors import RemoteProtocolError
from l2tpd.session.call import Call, Kind
from l2tpd.session.speech3 import BY_TYPE, PSEUDOWIRES, V3
from l2tpd.wire.avp import PHYSICAL_CHANNEL_ID, RESULT_CODE, RX_CONNECT_SPEED_BPS
from l2tpd.wire.messages import V3 as WORDS
from l2tpd.wire.messages import decode, encode, message
from l2tpd.wire.numbers import MessageType
from l2tpd.wire.values import ResultCode


def call(kind: Kind = Kind.LAC_INCOMING, name: str = "", **settings: Any) -> Call:
    made = Call(0x01020304, kind, SessionSettings(**settings), 0.0, 1, name)
    V3.prepare(made, octets("us"))
    return made


@pytest.mark.parametrize("kind", V3.says)
@pytest.mark.parametrize("pseudowire", Pseudowire)
def test_each_message_is_whole(kind: MessageType, pseudowire: Pseudowire) -> None:
    """What is said of any call passes the table of section 6, before and after the peer has told its id."""
    made = call(pseudowire=pseudowire, vlan_id=5, sequencing_required=True, rx_connect_speed=9, physical_channel_id=3)
    for made.peer_id in (0, 0xFFFFFFFF):
        said = decode(encode(message(kind, V3.says[kind](made)), vocabulary=WORDS), vocabulary=WORDS)
        assert (None, ()) == (said.fault, said.notes)
        assert (0x01020304, made.peer_id) == (V3.peer_id(said), V3.our_id(said))


def test_a_cdn_names_both_ids() -> None:
    """The peer's is 0 while it is not known."""
    for theirs in (0, 77):
        said = message(MessageType.CDN, V3.cdn(1, theirs, ResultCode(3)))
        assert (1, theirs, 3) == (V3.peer_id(said), V3.our_id(said), said[RESULT_CODE].result)


def test_what_a_message_does_not_say_is_0_or_empty() -> None:
    """HELLO has neither ids nor an end."""
    hello = message(MessageType.HELLO)
    assert (0, 0, "") == (V3.peer_id(hello), V3.our_id(hello), V3.end_id(hello))


@pytest.mark.parametrize(
    ("name", "configured", "end_id"), [("", "", ""), ("name", "", "name"), ("name", "circuit", "circuit")]
)
def test_what_the_circuit_is_called(name: str, configured: str, end_id: str) -> None:
    """As the configuration says, or as the session is called."""
    assert end_id == call(name=name, remote_end_id=configured).end_id


@pytest.mark.parametrize("kind", set(Kind) - {Kind.STATIC})
def test_who_asks_draws_a_tie_breaker(kind: Kind) -> None:
    """An answer needs none."""
    assert kind.ours is (call(kind).tie_breaker is not None)


@pytest.mark.parametrize("size", [0, 4, 8])
def test_cookies_are_drawn(size: int) -> None:
    """As long as configured."""
    assert size == len(call(cookie_size=size).cookie)


def test_pseudowires_have_one_number_each() -> None:
    """And each number leads back."""
    assert set(Pseudowire) == set(PSEUDOWIRES) == set(BY_TYPE.values())


def test_the_pseudowire_that_is_asked_for_is_settled_on() -> None:
    """The settings stay the same object where nothing differs."""
    settings = SessionSettings()
    assert settings is V3.settle(icrq3(pseudowire_type=7), settings)
    assert Pseudowire.ETH is V3.settle(icrq3(pseudowire_type=5), settings).pseudowire
    vlan = SessionSettings(vlan_id=5)
    assert Pseudowire.ETH_VLAN is V3.settle(icrq3(pseudowire_type=4), vlan).pseudowire


@pytest.mark.parametrize(("number", "result"), [(1, 14), (0xFFFF, 14), (4, 5)], ids=["frame relay", "none", "no VLAN"])
def test_what_cannot_be_carried_is_refused(number: int, result: int) -> None:
    """5.4.4: 14 for a type that we do not have; a VLAN pseudowire needs a VLAN."""
    with pytest.raises(RemoteProtocolError) as refusal:
        V3.settle(icrq3(pseudowire_type=number), SessionSettings())
    assert result == refusal.value.result


def test_an_answer_without_an_end_id_leaves_ours() -> None:
    """ICRP has none."""
    made = call(remote_end_id="circuit")
    V3.learn(made, icrp3(1))
    assert "circuit" == made.end_id


def test_speeds_that_are_not_told_again_stay() -> None:
    """An ICCN need not repeat what the ICRQ has said."""
    made = call(Kind.LNS_INCOMING)
    V3.learn(made, icrq3(tx_connect_speed_bps=7, rx_connect_speed_bps=8))
    V3.connected(made, iccn3(1))
    assert (7, 8) == (made.tx_connect_speed, made.rx_connect_speed)
    V3.connected(made, iccn3(1, tx_connect_speed_bps=9))
    assert (9, 8) == (made.tx_connect_speed, made.rx_connect_speed)


@pytest.mark.parametrize(
    ("settled", "sequenced", "said", "result"),
    [
        (1, None, {}, None),
        (1, None, {"l2_specific_sublayer": 1}, None),
        (1, None, {"l2_specific_sublayer": 0}, 2),
        (1, None, {"l2_specific_sublayer": 9}, 2),
        (0, None, {"l2_specific_sublayer": 0}, None),
        (0, None, {"l2_specific_sublayer": 1}, 2),
        (0, None, {"data_sequencing": 0}, None),
        (0, None, {"data_sequencing": 2}, 15),
        (1, None, {"data_sequencing": 2}, None),
        (1, 2, {"l2_specific_sublayer": 0}, 15),
        (1, 2, {"l2_specific_sublayer": 0, "data_sequencing": 0}, 2),
    ],
)
def test_what_iccn_may_change(settled: int, sequenced: int | None, said: dict[str, int], result: int | None) -> None:
    """Numbers may begin where they have a place; the sublayer is settled for good."""
    made = call(Kind.LNS_INCOMING)
    V3.learn(made, icrq3(l2_specific_sublayer=settled, data_sequencing=sequenced))
    if result is None:
        V3.connected(made, iccn3(1, **said))
        assert bool(said.get("data_sequencing", sequenced)) is made.sequencing
        assert (Sublayer.DEFAULT if settled else Sublayer.NONE) is made.sublayer
    else:
        with pytest.raises(RemoteProtocolError) as refusal:
            V3.connected(made, iccn3(1, **said))
        assert result == refusal.value.result


def test_optional_facts_are_told_where_there_are_any() -> None:
    """Rx Connect Speed and Physical Channel ID."""
    plain, rich = (
        V3.says[MessageType.ICRQ](made) for made in (call(), call(rx_connect_speed=5, physical_channel_id=0))
    )
    assert {RX_CONNECT_SPEED_BPS, PHYSICAL_CHANNEL_ID}.isdisjoint(plain)
    assert (5, 0) == (rich[RX_CONNECT_SPEED_BPS], rich[PHYSICAL_CHANNEL_ID])
