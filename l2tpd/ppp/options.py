"""What a configuration option is: one row that says how to judge the peer's value and what to make of its opinion of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

import attrs

from l2tpd.ppp.numbers import Code

C = TypeVar("C")
"""The control protocol that the option belongs to."""


class Answer(NamedTuple):
    """What to answer to one option of a Configure-Request: the code of the packet that it belongs in, and in a Nak the data to ask for."""

    code: int
    data: bytes = b""


ACCEPT: Final = Answer(Code.CONFIGURE_ACK)
REFUSE: Final = Answer(Code.CONFIGURE_REJECT)


def suggest(data: bytes) -> Answer:
    """Answer that the option is known but should have this value."""
    return Answer(Code.CONFIGURE_NAK, data)


def accept(owner: object, data: bytes) -> Answer:
    """Judge: any value will do."""
    del owner, data
    return ACCEPT


def refuse(owner: object, data: bytes) -> Answer:
    """Judge: we do not do that."""
    del owner, data
    return REFUSE


def forgo(owner: object, data: bytes) -> bytes | None:
    """Reconsider: then not."""
    del owner, data
    return None


@attrs.frozen
class Option(Generic[C]):
    """A row: number, name, octets of data (None: any number), where it stands, and two opinions.

    `judge` is asked about the peer's value, whose size is right. `reconsider` is asked when the peer has Nak'd our value and proposes another
    one of the right size; it returns what to ask for next, or None to ask no more.
    """

    number: int
    name: str
    size: int | None
    where: str
    judge: Callable[[C, bytes], Answer] = refuse
    reconsider: Callable[[C, bytes], bytes | None] = forgo

    def answer(self, owner: C, data: bytes) -> Answer:
        """Judge a value of any size: one of the wrong size gets what a value of zeros would, and is never accepted (RFC 1661 6)."""
        if self.size is None or len(data) == self.size:
            return self.judge(owner, data)
        zeros = bytes(self.size)
        verdict = self.judge(owner, zeros) if self.size else REFUSE  # 5.3: without a value there is nothing to Nak
        return suggest(zeros) if verdict is ACCEPT else verdict


Table = Mapping[int, Option[C]]


def table(*rows: Option[C]) -> Table[C]:
    """Return the rows by number."""
    return {row.number: row for row in rows}
