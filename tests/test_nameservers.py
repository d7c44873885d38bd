"""Who is told of a peer's name servers, and in what words."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.config.model import DnsHandover
from l2tpd.events import PppEvent, What
from l2tpd.nameservers import Call, handover

UP = PppEvent(what=What.UP, network="ipv4", tunnel_id=1, session_id=2, interface="isp", dns=("9.9.9.9", "1.1.1.1"))


@pytest.mark.parametrize(
    ("word", "up", "down"),
    [
        (
            "resolvconf",
            Call("resolvconf", ("-a", "isp.l2tpd"), b"nameserver 9.9.9.9\nnameserver 1.1.1.1\n"),
            Call("resolvconf", ("-d", "isp.l2tpd")),
        ),
        ("resolved", Call("resolvectl", ("dns", "isp", "9.9.9.9", "1.1.1.1")), Call("resolvectl", ("revert", "isp"))),
        ("", None, None),
    ],
)
def test_each_is_told_in_its_own_words(word: str, up: Call | None, down: Call | None) -> None:
    """And told again when they are gone; where there are none, nobody is."""
    event = attrs.evolve(UP, dns_handover=word)
    assert (up, down) == (handover(event), handover(attrs.evolve(event, what=What.DOWN)))
    assert handover(attrs.evolve(event, dns=())) is None


def test_every_word_of_the_configuration_means_somebody() -> None:
    """But for that which means nobody."""
    known = [word for word in DnsHandover if handover(attrs.evolve(UP, dns_handover=word.value)) is not None]
    assert [DnsHandover.RESOLVCONF, DnsHandover.RESOLVED] == known
