"""Which tunnel, session or PPP a request means: by name or by `@ID`; and what a new one may be called."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from itertools import islice

from l2tpd.control.jsonrpc import INVALID_PARAMS, NOT_FOUND
from l2tpd.control.operator import Operator
from l2tpd.errors import ControlError


def tunnel_id(operator: Operator, reference: str) -> int:
    """Return the identifier of the tunnel meant by a name or `@ID`; raises `ControlError`."""
    number = _number(reference)
    found = number if number is not None or not reference else operator.find_tunnel(reference)
    if found is None:
        raise ControlError(
            NOT_FOUND, f"no tunnel is called `{reference[:100]}`{there_are(operator.tunnel_names(), reference)}"
        )
    if found not in operator.tunnel_ids():
        raise ControlError(NOT_FOUND, f"no tunnel has the id {found}")
    return found


def session_id(operator: Operator, tunnel: int, reference: str) -> int:
    """Return the identifier of the session of a tunnel meant by a name or `@ID`; raises `ControlError`."""
    number = _number(reference)
    found = number if number is not None or not reference else operator.find_session(tunnel, reference)
    if found is None:
        names = operator.session_names(tunnel)
        raise ControlError(
            NOT_FOUND, f"no session of this tunnel is called `{reference[:100]}`{there_are(names, reference)}"
        )
    if found not in operator.session_ids(tunnel):
        raise ControlError(NOT_FOUND, f"no session of this tunnel has the id {found}")
    return found


def ppp_ids(operator: Operator, reference: str) -> tuple[int, int]:
    """Return tunnel and session id of the PPP meant by a name or `@TUNNEL/SESSION`; raises `ControlError`."""
    ids = re.fullmatch(r"@(\d{1,10})/@?(\d{1,10})", reference, re.ASCII)
    found = [(int(ids[1]), int(ids[2]))] if ids else operator.find_ppp(reference) if reference else []
    if len(found) > 1:
        first = ", ".join(f"@{tunnel}/{session}" for tunnel, session in found[:5])
        raise ControlError(
            INVALID_PARAMS,
            f"{len(found)} sessions are called `{reference[:100]}`; say which: {first}{', …' * (len(found) > 5)}",
        )
    if not found or operator.ppp_row(*found[0]) is None:
        raise ControlError(
            NOT_FOUND, f"there is no PPP called `{reference[:100]}`: an interface, a session or @TUNNEL/SESSION"
        )
    return found[0]


def new_name(name: str) -> str:
    """Return a name for a new tunnel or session, if it may be one."""
    if not name or name.startswith("@") or not name.isprintable():
        raise ControlError(INVALID_PARAMS, "`name` must be printable, not empty, and not begin with `@`")
    return name


def there_are(names: Iterable[str], wanted: str) -> str:
    """Say which names there are instead, close ones if there are any; looks at a bounded number of them."""
    known = list(islice(names, 500))
    if not known:
        return " (none has a name)"
    close = difflib.get_close_matches(wanted[:100], known, 5, 0.5)
    shown = sorted(close or known)[:5]
    return f" (there are: {', '.join(shown)}{', …' if len(known) > len(shown) else ''})"


def _number(reference: str) -> int | None:
    """Return the number of an `@ID`, or None for a name."""
    if not reference.startswith("@"):
        return None
    digits = reference[1:]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        raise ControlError(
            INVALID_PARAMS, f"`{reference[:100]}` is neither a name nor an id: `@` is followed by a number"
        )
    return int(digits)
