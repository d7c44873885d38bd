"""RFC 2661 appendix B: the control message examples, packet by packet."""

from __future__ import annotations

from l2tpd.tunnel.channel import Channel, ChannelSettings, Transmission

SETTINGS = ChannelSettings()


def say(speaker: Channel[str], listener: Channel[str], now: float, *packets: tuple[str, int, int]) -> None:
    """Expect these packets of `speaker`, as in the RFC (message, Nr, Ns), and bring them to `listener`."""
    sent = speaker.transmit(now)
    assert list(packets) == [(packet.item or "ZLB", packet.nr, packet.ns) for packet in sent]
    for packet in sent:
        listener.receive(packet.ns, packet.nr, packet.item, now)


def test_b_1_lock_step_tunnel_establishment() -> None:
    """SCCRQ 0/0, SCCRP Nr 1 Ns 0, SCCCN Nr 1 Ns 1, and a final ZLB Nr 2 Ns 1."""
    lac, lns = Channel[str](SETTINGS, 0.0), Channel[str](SETTINGS, 0.0)
    lac.send("SCCRQ", 0.0)
    say(lac, lns, 0.0, ("SCCRQ", 0, 0))
    lns.send("SCCRP", 0.1)
    say(lns, lac, 0.1, ("SCCRP", 1, 0))
    lac.send("SCCCN", 0.2)
    say(lac, lns, 0.2, ("SCCCN", 1, 1))
    say(lns, lac, 0.3, ("ZLB", 2, 1))
    assert lac.idle
    assert lns.idle
    say(lac, lns, 0.4)


def established() -> tuple[Channel[str], Channel[str]]:
    """A LAC and an LNS after B.1."""
    lac, lns = Channel[str](SETTINGS, -1.0), Channel[str](SETTINGS, -1.0)
    lac.send("SCCRQ", -1.0)
    say(lac, lns, -1.0, ("SCCRQ", 0, 0))
    lns.send("SCCRP", -1.0)
    say(lns, lac, -1.0, ("SCCRP", 1, 0))
    lac.send("SCCCN", -1.0)
    say(lac, lns, -1.0, ("SCCCN", 1, 1))
    say(lns, lac, -1.0, ("ZLB", 2, 1))
    return lac, lns


def test_b_2_lost_packet_with_retransmission() -> None:
    """The ICRP is lost: both sides' timers fire, the copy of the ICRQ is answered by a ZLB, and the call goes on."""
    lac, lns = established()
    lac.send("ICRQ", 0.0)
    say(lac, lns, 0.0, ("ICRQ", 1, 2))
    lns.send("ICRP", 0.05)
    assert [Transmission(ns=1, nr=3, item="ICRP")] == lns.transmit(0.05), "this packet is lost"
    assert (1.0, 1.05) == (lac.next_timer(), lns.next_timer())
    lac.handle_timer(1.0)
    say(lac, lns, 1.0, ("ICRQ", 1, 2))
    say(lns, lac, 1.02, ("ZLB", 3, 2))
    assert lac.idle
    lns.handle_timer(1.05)
    say(lns, lac, 1.05, ("ICRP", 3, 1))
    lac.send("ICCN", 1.1)
    say(lac, lns, 1.1, ("ICCN", 2, 3))
    say(lns, lac, 1.15, ("ZLB", 4, 2))
    assert lac.idle
    assert lns.idle
    assert 1 == lns.stats.duplicates
