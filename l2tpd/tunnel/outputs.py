"""What a control connection may ask of its shell, beside the datagrams: telling the world, the log, and the data plane."""

from __future__ import annotations

from typing import NamedTuple

from l2tpd.events import SessionEvent, TunnelEvent
from l2tpd.kernel.ops import Operation
from l2tpd.trace import Category


class Remark(NamedTuple):
    """A line for the log: a trace line of one category, or, without a category, a complaint about the peer."""

    category: Category | None
    text: str
    session_id: int = 0


Output = TunnelEvent | SessionEvent | Remark | Operation
"""An event to publish, a line to log, or an operation whose result comes back through `plane_up` or `plane_failed`."""
