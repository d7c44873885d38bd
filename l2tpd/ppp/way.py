"""How a caller came to us. Pure values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from l2tpd.session.call import Call


@attrs.frozen(kw_only=True)
class Way:
    """The tunnel by which callers come; what is not known is empty."""

    peer: str = ""  # the address that it comes from
    local: str = ""  # ours
    peer_name: str = ""  # as its Host Name AVPs say (RFC 2661 4.4.3)
    local_name: str = ""
    name: str = ""  # in our configuration


UNTOLD: Final = Way()
"""A tunnel of which nothing is known."""


def speeds(call: Call) -> str:
    """Return the speeds that a LAC has told of a call, in bits a second, as Connect-Info has them: to the caller first (RFC 2869 5.11). Empty: none."""
    to_caller, from_caller = call.tx_connect_speed, call.rx_connect_speed or call.tx_connect_speed  # RFC 2661 4.4.4
    if not to_caller:
        return ""
    return str(to_caller) if to_caller == from_caller else f"{to_caller}/{from_caller}"
