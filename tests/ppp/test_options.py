"""Rows of options: values of the right size are judged, others get what a value of zeros would."""

from __future__ import annotations

import pytest

from l2tpd.ppp.ipcp import Ipcp
from l2tpd.ppp.ipv6cp import Ipv6cp
from l2tpd.ppp.lcp import Lcp
from l2tpd.ppp.numbers import IpcpOption, Ipv6cpOption, LcpOption
from l2tpd.ppp.options import ACCEPT, REFUSE, Answer, Option, suggest, table


def judge(owner: str, data: bytes) -> Answer:
    return {b"\0\0": suggest(b"\0\1"), b"\1\1": ACCEPT}.get(data, REFUSE)


def row(size: int | None, verdict: Answer | None = None) -> Option[str]:
    return Option(1, "Test", size, "RFC 0", judge if verdict is None else lambda owner, data: verdict)


@pytest.mark.parametrize("data", [b"", b"\1", b"\1\1\1"])
def test_a_wrong_size_is_never_accepted(data: bytes) -> None:
    """It gets a suggestion of the right size, or a refusal where there is no value to suggest."""
    assert suggest(b"\0\1") == row(2).answer("", data)
    assert suggest(b"\0\0") == row(2, ACCEPT).answer("", data)
    assert REFUSE == row(2, REFUSE).answer("", data)
    assert (REFUSE if data else ACCEPT) == row(0, ACCEPT).answer("", data)


def test_any_size_is_judged_where_none_is_fixed() -> None:
    """Such as authentication protocols, whose data depends on the protocol."""
    assert (ACCEPT, REFUSE) == (row(None).answer("", b"\1\1"), row(None).answer("", b"\1\1\1"))


def test_a_table_is_by_number() -> None:
    """One row each."""
    assert {1} == set(table(row(2)))


@pytest.mark.parametrize(
    ("protocol", "numbers", "rfcs"),
    [
        (Lcp, LcpOption, ("RFC 1661", "RFC 1662", "RFC 1570", "RFC 1990")),
        (Ipcp, IpcpOption, ("RFC 1332", "RFC 1877")),
        (Ipv6cp, Ipv6cpOption, ("RFC 5072",)),
    ],
)
def test_every_row_is_a_known_option_and_says_where_it_stands(
    protocol: type[Lcp | Ipcp | Ipv6cp], numbers: type[LcpOption | IpcpOption | Ipv6cpOption], rfcs: tuple[str, ...]
) -> None:
    """The tables are the documentation."""
    for number, entry in protocol.OPTIONS.items():
        assert number == entry.number == numbers(number)
        assert entry.where.startswith(rfcs)
