"""What RFC 2759 has, and no dialogue here shows: why."""

from __future__ import annotations

from conformance.demand import Demand

DEMANDS = (
    Demand(
        "6",
        "When the authenticator sets this flag [R] to '1' it disables short timeouts, expecting the peer to prompt the user",
        why="we set it never: whoever was refused calls again",
    ),
    Demand(
        "7",
        "The Change-Password packet should be sent only if the authenticator reports ERROR_PASSWD_EXPIRED",
        why="we never send it, nor take it: passwords are changed where they are kept",
    ),
)
