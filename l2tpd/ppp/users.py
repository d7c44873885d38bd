"""Who may come in, from the tables `[user.NAME]` of the configuration. Pure."""

from __future__ import annotations

from l2tpd.config.model import User
from l2tpd.ppp import hashed
from l2tpd.ppp.authority import REFUSED, Verdict
from l2tpd.ppp.credentials import Credentials, mppe_keys, verify
from l2tpd.ppp.numbers import Auth


def decide(user: User | None, said: Credentials) -> Verdict:
    """Decide about a caller that claims to be this user; None: there is no such user. With a `pap_hash` this takes a tenth of a second.

    Its time limits are not laid down here, but asked for as long as it is in (`Leases.timeouts`): they may change.
    """
    message = _proven(user, said) if user is not None and user.enabled else None
    if user is None or message is None:
        return REFUSED
    return Verdict(
        accepted=True,
        message=message,
        keys=mppe_keys(said.kind, said.response, user.password, server=True),
        address=user.address,
        pool=user.pool,
        prefix=user.prefix,
        prefix_pool=user.prefix_pool,
        delegated_prefix=user.delegated_prefix,
        delegated_pool=user.delegated_pool,
        routes=user.routes,
        max_sessions=user.max_sessions,
    )


def why_not(user: User | None, said: Credentials) -> str:
    """Say for the log why a user is refused."""
    if user is None:
        return "there is no such user"
    if not user.enabled:
        return "the user is not enabled"
    if not user.password and said.kind is not Auth.PAP:
        return "of a user with a `pap_hash` only PAP can be checked"
    return "wrong password"


def _proven(user: User, said: Credentials) -> bytes | None:
    """Return the message for the Success or Ack if the credentials are right, else None."""
    if user.password:
        return verify(said, user.password)
    if said.kind is not Auth.PAP:
        return None
    return b"" if hashed.matches(user.pap_hash, said.response) else None
