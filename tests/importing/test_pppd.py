"""pppd's options files: words, with values and without, for a client and for a server."""

from __future__ import annotations

import pytest

from l2tpctl.importing import pppd
from l2tpctl.importing.draft import Draft, Table
from l2tpctl.importing.rows import Places, Rows


def places() -> Places:
    draft = Draft("f", "xl2tpd")
    return {name: draft.table(name) for name in ("home", "ppp", "session")}


def said(text: str, known: Rows) -> list[tuple[str, str]]:
    return [(item.name, item.value) for item in pppd.options(text, "f", known)]


def keys(table: Table) -> dict[str, object]:
    return {key: entry.value for key, entry in table.keys.items()}


def test_words_are_taken_apart() -> None:
    """Several on a line, quotes, comments, other spellings; of an option that is not known the rest of the line is its value."""
    text = "mtu 1400 mru 1400 noccp # no\n+chap\nuser 'alice b' \\\nsomething new at all\n10.0.0.1:\n:10.0.0.2"
    assert [
        ("mtu", "1400"), ("mru", "1400"), ("noccp", ""), ("require-chap", ""), ("user", "alice b"), ("something", "new at all"),
        (pppd.ADDRESSES, "10.0.0.1:"), (pppd.ADDRESSES, ":10.0.0.2"),
    ] == said(text.replace("\\", ""), pppd.CLIENT)  # fmt: skip


def test_a_client() -> None:
    """`user` says who it is, else `name`; what is for a server is a comment."""
    for text, user in (
        ("name alice", "alice"),
        ("name machine\nuser alice", "alice"),
        ("user alice\nname machine", "alice"),
    ):
        there = places()
        pppd.client(list(pppd.options(text, "f", pppd.CLIENT)), there)
        assert {"user": user} == keys(there["session"])
    pppd.client(
        list(pppd.options("ms-dns 10.0.0.1\nauth\n10.0.0.1:10.0.0.2\nunit 7", "f", pppd.CLIENT)), there := places()
    )
    assert (3, {"interface_name": "ppp7"}) == (len(there["home"].remarks), keys(there["session"]))


@pytest.mark.parametrize(
    ("text", "address", "remarks"),
    [
        ("10.0.0.1:", "10.0.0.1", 0),
        ("10.0.0.1:10.0.0.2", None, 1),
        (":", "10.9.9.9", 1),
        ("10.0.0.1:\n10.0.0.3:", "10.0.0.1", 1),
    ],
)
def test_the_addresses_of_a_server(text: str, address: str | None, remarks: int) -> None:
    """Its own is `local_address` unless that is said; callers have theirs from a pool."""
    there = places()
    if address == "10.9.9.9":
        there["ppp"].set("local_address", address)
    pppd.server(list(pppd.options(text, "f", pppd.SERVER)), there)
    assert (address, remarks) == (there["ppp"].get("local_address"), len(there["ppp"].remarks))


def test_a_server_does_not_prove_who_it_is() -> None:
    """`user`, `name` and `password` are comments; name servers are told."""
    there = places()
    pppd.server(list(pppd.options("user a\nname b\npassword c\nms-dns 10.0.0.1", "f", pppd.SERVER)), there)
    assert (3, {"dns": ["10.0.0.1"]}) == (len(there["home"].remarks), keys(there["ppp"]))


def test_an_address_that_is_none_of_ours() -> None:
    """Is a comment, as everything that our daemon would refuse."""
    there = places()
    pppd.server(list(pppd.options("ms-dns dns.example\nlcp-echo-interval 100000", "f", pppd.SERVER)), there)
    assert ({}, 2) == (keys(there["ppp"]), len(there["ppp"].remarks))
