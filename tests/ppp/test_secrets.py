"""Secrets files as pppd has them."""

from __future__ import annotations

import pytest

from l2tpd.ppp.credentials import Credentials
from l2tpd.ppp.numbers import Auth
from l2tpd.ppp.secrets import Secret, decide, find, parse
from l2tpd.wire.values import pack_text

FILE = """
# client   server  secret        addresses
alice      *       "won der"     10.0.0.5
bob        lns     it\\'s
*          *       any           *
carol      lns     'c # d'       10.0.0.6 10.0.0.7   # two of them
broken
mallory    *       "open
"""


def test_lines_are_read_as_pppd_reads_them() -> None:
    """Quotes, backslashes, comments; what makes no sense is passed over, and takes nothing else with it."""
    assert [
        Secret("alice", "*", "won der", ("10.0.0.5",)),
        Secret("bob", "lns", "it's", ()),
        Secret("*", "*", "any", ("*",)),
        Secret("carol", "lns", "c # d", ("10.0.0.6", "10.0.0.7")),
    ] == [one for lines in parse(FILE).values() for one in lines]


@pytest.mark.parametrize(
    ("client", "server", "secret"),
    [("alice", "lns", "won der"), ("bob", "lns", "it's"), ("bob", "other", "any"), ("nobody", "lns", "any")],
)
def test_the_best_line_holds(client: str, server: str, secret: str) -> None:
    """A name that is written out goes before a star, wherever the line stands."""
    found = find(parse(FILE), client, server)
    assert found is not None
    assert secret == found.secret


def test_nobody_is_known() -> None:
    """An empty file, or one without a line that fits."""
    assert find({}, "alice", "lns") is None
    assert find(parse("alice lns x\n"), "alice", "other") is None


@pytest.mark.parametrize(
    ("addresses", "accepted", "own"),
    [
        ("-", False, ""),
        ("- -- mtu 1400", False, ""),
        ("10.0.0.5 -- mtu 1400", True, "10.0.0.5"),
        ("a-host-name", True, ""),
    ],
)
def test_what_the_addresses_of_a_line_mean(addresses: str, accepted: bool, own: str) -> None:
    """`-` lets nobody in, whatever options of pppd's follow behind `--`; a host name is no address."""
    said = Credentials(kind=Auth.PAP, user="alice", identifier=1, challenge=b"", response=pack_text("pw"))
    verdict = decide(find(parse(f"alice * pw {addresses}\n"), "alice", "lns"), said)
    assert (accepted, own) == (verdict.accepted, verdict.address)
