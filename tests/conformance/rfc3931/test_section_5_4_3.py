"""RFC 3931 section 5.4.3: the attributes of control connections, and ties between them, in dialogues and on listeners of a daemon."""

from __future__ import annotations

import os

import pytest

from dialogue import ZLB, stage
from dialogue3 import dialled3, hello3, sccrp3, sccrq3, stopccn3, up3, up_called3
from house import free_port, house, until
from house3 import Peer3
from l2tpd.config.load import parse
from l2tpd.errors import ConfigError
from l2tpd.tunnel.dialect import V3
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import (
    ASSIGNED_CONTROL_CONNECTION_ID,
    HOST_NAME,
    PSEUDOWIRE_CAPABILITIES,
    RECEIVE_WINDOW_SIZE,
    RESULT_CODE,
    ROUTER_ID,
    TIE_BREAKER,
    VENDOR_NAME,
)
from l2tpd.wire.numbers import MessageType, StopResult

LARGEST = 2**64 - 1


@pytest.mark.parametrize("asked", [True, False], ids=["SCCRQ", "SCCRP"])
def test_6_1_and_6_2_what_we_say_of_ourselves(asked: bool) -> None:
    """Host Name, Router ID, Assigned Control Connection ID and the list of pseudowires MUST be present; the window and our vendor may."""
    say = stage(dialect=V3, origin="local" if asked else "network", host_name="lcce.example", receive_window=33)
    say.site.router_id = 0xC0000201
    if asked:
        say.open()
    else:
        say.peer >> sccrq3()
    (heard,) = say.skip()
    assert heard.said is not None
    said = heard.said
    assert ("lcce.example", 0xC0000201) == (said[HOST_NAME], said[ROUTER_ID])
    assert (7, 33, "l2tpd") == (said[ASSIGNED_CONTROL_CONNECTION_ID], said[RECEIVE_WINDOW_SIZE], said[VENDOR_NAME])
    assert (7, 5, 4) == said[PSEUDOWIRE_CAPABILITIES]


def test_5_4_3_a_router_id_is_no_address() -> None:
    """Implementations MUST NOT assume that Router Identifier is a valid IP address": 0 and all ones are taken like any other."""
    for router_id in (0, 0xFFFFFFFF):
        say = dialled3()
        say.peer >> sccrp3(router_id=router_id)
        say.us << MessageType.SCCCN
        assert say.core.facts is not None
        assert router_id == say.core.facts.router_id


def test_5_4_3_ids_have_32_bits_and_the_header_says_0_before_one_is_known() -> None:
    """Before the Assigned Control Connection ID AVP is received ..., all control messages MUST be sent ... with a Control Connection ID value of 0"."""
    say = stage(dialect=V3, local_id=0xFEDCBA98)
    say.open()
    asked = say.us << MessageType.SCCRQ
    assert 0 == asked.tunnel_id
    say.peer >> sccrp3(assigned_control_connection_id=0x89ABCDEF)
    connected = say.us << MessageType.SCCCN
    assert (0x89ABCDEF, 0xFEDCBA98) == (connected.tunnel_id, say.peer.tunnel_id)
    say.peer >> hello3()
    acknowledged = say.us << ZLB
    assert 0x89ABCDEF == acknowledged.tunnel_id


def test_5_4_3_an_assigned_id_of_0_is_refused() -> None:
    """the zero value MUST NOT be sent as an Assigned Control Connection ID value."""
    say = dialled3()
    body = say.peer.body(sccrp3(assigned_control_connection_id=1))
    one = bytes.fromhex("800a 0000 003d 00000001")
    assert one in body
    say.peer >> body.replace(one, one[:-1] + b"\0")
    say.us << MessageType.STOPCCN


def test_5_4_3_a_stopccn_before_any_sccrp_must_name_the_id_of_our_sccrq() -> None:
    """This policy allows the peer to try to identify the appropriate control connection via a reverse lookup"; the header says 0."""
    say = stage(dialect=V3, local_id=0x01020304)
    say.open()
    say.us << MessageType.SCCRQ
    say.peer >> ZLB
    say.close()
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert (0, 0x01020304) == (stopped.tunnel_id, stopped.said[ASSIGNED_CONTROL_CONNECTION_ID])


def test_6_4_the_stopccn_must_name_our_id_once_we_have_told_it() -> None:
    """Note that the Assigned Control Connection ID MUST be present if the StopCCN is sent after an SCCRQ or SCCRP message has been sent."""
    for say in (up3(), up_called3()):
        say.close()
        stopped = say.us << MessageType.STOPCCN
        assert stopped.said is not None
        assert 7 == stopped.said[ASSIGNED_CONTROL_CONNECTION_ID]


@pytest.mark.parametrize("connection_id", [None, 9])
def test_6_4_a_stopccn_may_leave_the_id_out(connection_id: int | None) -> None:
    """The following AVPs MAY be present in the StopCCN": it ends the connection that its header names."""
    for say in (up3(), up_called3()):
        say.peer >> stopccn3(connection_id=connection_id)
        say.us << ZLB
        say.state_is(State.LINGERING)


def test_6_4_a_stopccn_with_another_id_than_the_peers_is_somebody_elses() -> None:
    """Acknowledged, for its number is used up, and not obeyed."""
    say = up3()
    say.peer >> stopccn3(connection_id=4711)
    say.us << ZLB
    say.state_is(State.ESTABLISHED)


async def test_5_4_3_a_caller_that_gives_up_is_found_by_a_reverse_lookup() -> None:
    """Its StopCCN goes to id 0, for our SCCRP was lost; its own id says which connection is meant."""
    async with house() as there:
        with Peer3(there.address) as peer, Peer3(there.address) as stranger:
            await peer.ask(sccrq3(assigned_control_connection_id=77))
            await stranger.ask(sccrq3(assigned_control_connection_id=78))
            await stranger.throw(stranger.packet(stopccn3(connection_id=77), 0, 1, 0))
            await stranger.silence()
            assert 2 == len(there.tunnels)
            await peer.throw(peer.packet(stopccn3(connection_id=77), 0, 1, 0))
            acknowledged = await peer.heard()
            assert (77, 2, None) == (acknowledged.connection_id, acknowledged.nr, acknowledged.type)


# --- Control Connection Tie Breaker -------------------------------------------------------------------------------------------------


def test_5_4_3_a_tie_breaker_is_sent_where_a_single_connection_is_wanted() -> None:
    """an 8-octet random value", in the SCCRQ alone; it MAY be omitted, and is by default."""
    values = set()
    for wanted in (True, True, False):
        say = stage(dialect=V3, tie_breaker=wanted)
        say.site.random = os.urandom
        say.open()
        asked = say.us << MessageType.SCCRQ
        assert asked.said is not None
        values.add(asked.said.get(TIE_BREAKER))
    assert 3 == len(values)
    assert None in values


CALLING = """
[peer.default]
[tunnel.t]
peer = "127.0.0.1:{port}"
version = "l2tpv3"
tie_breaker = {breaker}
persist = false
"""


@pytest.mark.parametrize(
    ("breaker", "theirs", "answer", "lives"),
    [
        (True, LARGEST, MessageType.STOPCCN, True),
        (True, None, MessageType.STOPCCN, True),
        (True, 0, MessageType.SCCRP, False),
        (False, LARGEST, MessageType.SCCRP, False),
        (False, None, MessageType.SCCRP, True),
    ],
    ids=["we win", "only ours", "we lose", "only theirs", "none"],
)
async def test_5_4_3_the_lower_tie_breaker_wins(
    breaker: bool, theirs: int | None, answer: MessageType, lives: bool
) -> None:
    """the "loser" MUST discard its control connection. A StopCCN SHOULD be sent by the winner"; where neither sends one there are two connections."""
    port = free_port()
    async with house(CALLING.format(port=port, breaker=str(breaker).lower())) as there:
        with Peer3(there.address, port=port) as peer:
            mine = there.the_tunnel()
            await until(lambda: mine.core.state is State.WAIT_CTL_REPLY)
            await peer.throw(peer.packet(sccrq3(tie_breaker=theirs)))
            heard = await peer.heard()
            while heard.type == MessageType.SCCRQ:  # ours, which called this peer
                heard = await peer.heard()
            assert answer == heard.type
            assert lives is (mine.core.state is State.WAIT_CTL_REPLY)
            if answer == MessageType.STOPCCN:
                assert heard.said is not None
                assert StopResult.EXISTS == heard.said[RESULT_CODE].result
                assert [mine] == there.tunnels


async def test_5_4_3_with_equal_tie_breakers_both_must_discard_and_restart_with_another() -> None:
    """both sides MUST discard their control connections and restart control connection negotiation with a new, random tie breaker value."""
    port = free_port()
    again = CALLING.format(port=port, breaker="true").replace("persist = false", "redial_delay = 0.01")
    async with house(again) as there:
        with Peer3(there.address, port=port) as peer:
            asked = (await peer.heard()).said
            assert asked is not None
            await peer.throw(peer.packet(sccrq3(tie_breaker=asked[TIE_BREAKER])))
            refused = await peer.heard()
            while refused.type == MessageType.SCCRQ:
                refused = await peer.heard()
            assert (MessageType.STOPCCN, 9) == (refused.type, refused.connection_id)
            restarted = await peer.heard()
            assert MessageType.SCCRQ == restarted.type
            assert restarted.said is not None
            assert asked[ASSIGNED_CONTROL_CONNECTION_ID] != restarted.said[ASSIGNED_CONTROL_CONNECTION_ID]
            assert asked[TIE_BREAKER] != restarted.said[TIE_BREAKER]


async def test_5_4_3_our_vendor_name_must_be_ascii() -> None:
    """Human-readable text for this AVP MUST be provided in the US-ASCII charset": nobody can configure another."""
    with pytest.raises(ConfigError, match=r"system\.vendor_name: must be ASCII"):
        parse([("test.toml", '[system]\nvendor_name = "Hëllo"\n')])
    async with house(system='vendor_name = "Hello"') as there:
        with Peer3(there.address) as peer:
            answer = (await peer.ask(sccrq3())).said
            assert answer is not None
            assert "Hello" == answer[VENDOR_NAME]


async def test_5_4_1_nonces_and_vectors_are_the_systems_random_octets() -> None:
    """a cryptographically random value [RFC1750]": also tie breakers and cookies; dialogues have a source that they can repeat."""
    async with house() as there:
        assert os.urandom is there.daemon.site.random
