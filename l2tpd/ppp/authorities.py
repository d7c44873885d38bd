"""The authorities that this machine has itself: pppd's secrets files, and the users of the configuration. What takes long is done in threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from l2tpd import log
from l2tpd.ppp import secrets, users
from l2tpd.ppp.authority import Request, Verdict
from l2tpd.ppp.numbers import Auth

if TYPE_CHECKING:
    from l2tpd.config.model import Config

SECRETS: Mapping[Auth, Path] = {
    Auth.PAP: Path("/etc/ppp/pap-secrets"),
    Auth.CHAP: Path("/etc/ppp/chap-secrets"),
    Auth.MSCHAPV2: Path("/etc/ppp/chap-secrets"),
}
"""Where users stand, as pppd has them."""

_THREADS = 8  # for each authority, of its own: a dead resolver may hold all those of the common limit

_log = log.get("ppp")


class SecretsFiles:
    """Asks pppd's files, which are read each time."""

    def __init__(self) -> None:
        """Begin without threads."""
        self._limit = trio.CapacityLimiter(_THREADS)

    async def check(self, request: Request) -> Verdict:
        """Look a caller up; in a file that cannot be read there is nobody."""
        return await trio.to_thread.run_sync(_by_file, request, limiter=self._limit)


class LocalUsers:
    """Asks the configuration in force."""

    def __init__(self, config: Callable[[], Config]) -> None:
        """Ask what `config` returns."""
        self._config = config
        self._limit = trio.CapacityLimiter(_THREADS)

    async def check(self, request: Request) -> Verdict:
        """Decide about a caller."""
        said = request.credentials
        user = self._config().users.get(said.user)
        if user is not None and user.pap_hash:  # which takes long on purpose
            verdict = await trio.to_thread.run_sync(users.decide, user, said, limiter=self._limit)
        else:
            verdict = users.decide(user, said)
        if not verdict.accepted:
            ids = {"tid": request.tunnel_id, "sid": request.session_id}
            _log.info("PPP: a user is refused", **ids, user=said.user, reason=users.why_not(user, said))
        return verdict


def _by_file(request: Request) -> Verdict:
    said = request.credentials
    path = SECRETS[said.kind]
    try:
        text = path.read_text("utf-8", "surrogateescape")  # as names come over the line
    except OSError as error:
        _log.warning("no users can be looked up", file=str(path), reason=str(error.strerror))
        text = ""
    return secrets.decide(secrets.find(_parsed(text), said.user, request.lns_name), said)


_parsed = lru_cache(maxsize=4)(secrets.parse)  # of thousands of lines, for each who asks to come in
