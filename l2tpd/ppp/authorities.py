"""The authorities that this machine has itself: pppd's secrets files, and the users of the configuration. What takes long is done in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from l2tpd import log
from l2tpd.ppp import secrets, users
from l2tpd.ppp.authority import Request, Verdict
from l2tpd.ppp.numbers import Auth

if TYPE_CHECKING:
    from l2tpd.config.model import Config, User

SECRETS: Mapping[Auth, Path] = {
    Auth.PAP: Path("/etc/ppp/pap-secrets"),
    Auth.CHAP: Path("/etc/ppp/chap-secrets"),
    Auth.MSCHAPV2: Path("/etc/ppp/chap-secrets"),
}
"""Where users stand, as pppd has them."""

_TICK: Final = 1.0  # seconds: a file may change twice between two of its times, and be of the same size
_THREADS = 8  # for each authority, of its own: a dead resolver may hold all those of the common limit

_log = log.get("ppp")


class _Known(NamedTuple):
    """What stands in a file that is recognised by its mark, seen `since` then; `settled` if it was read so late that nothing can have changed unseen."""

    mark: tuple[int, ...]
    since: float
    settled: bool
    secrets: secrets.Secrets


class SecretsFiles:
    """Asks pppd's files: looked at for each who asks to come in, and read again in a thread when they have changed, once for all who wait."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._limit = trio.CapacityLimiter(1)
        self._reading = trio.Lock()
        self._known: dict[Path, _Known] = {}

    def check_nowait(self, request: Request) -> Verdict | None:
        """Look a caller up in what is known of a file, unless that has changed."""
        path = SECRETS[request.credentials.kind]
        known = self._current(path, _mark(path))
        return None if known is None else _decide(known.secrets, request)

    async def check(self, request: Request) -> Verdict:
        """Look a caller up; in a file that cannot be read there is nobody."""
        return _decide(await self._secrets(SECRETS[request.credentials.kind]), request)

    async def _secrets(self, path: Path) -> secrets.Secrets:
        """Return what stands in a file; who comes while it is read waits, for it may be all that there is to do by then."""
        if (known := self._current(path, _mark(path))) is not None:
            return known.secrets
        async with self._reading:
            mark, now = _mark(path), trio.current_time()
            if (known := self._current(path, mark)) is not None:
                return known.secrets
            before = self._known.get(path)
            since = before.since if before is not None and before.mark == mark else now
            settled = bool(mark) and (now - since > _TICK or _has_rested(mark))
            found = await trio.to_thread.run_sync(_read, path, limiter=self._limit)
            self._known[path] = _Known(mark, since, settled, found)
            return found

    def _current(self, path: Path, mark: tuple[int, ...]) -> _Known | None:
        """Return what is known of a file with this mark, if it may be taken as it is."""
        known = self._known.get(path)
        return known if known is not None and known.settled and known.mark == mark else None


class LocalUsers:
    """Asks the configuration in force."""

    def __init__(self, config: Callable[[], Config]) -> None:
        """Ask what `config` returns."""
        self._config = config
        self._limit = trio.CapacityLimiter(_THREADS)

    def check_nowait(self, request: Request) -> Verdict | None:
        """Decide about a caller, unless its password is hashed: that takes long on purpose."""
        said = request.credentials
        user = self._config().users.get(said.user)
        if user is not None and user.pap_hash:
            return None
        return _told(request, user, users.decide(user, said))

    async def check(self, request: Request) -> Verdict:
        """Decide about a caller."""
        said = request.credentials
        user = self._config().users.get(said.user)
        return _told(request, user, await trio.to_thread.run_sync(users.decide, user, said, limiter=self._limit))


def _decide(found: secrets.Secrets, request: Request) -> Verdict:
    said = request.credentials
    return secrets.decide(secrets.find(found, said.user, request.lns_name), said)


def _told(request: Request, user: User | None, verdict: Verdict) -> Verdict:
    """Say why a user is refused, and return what was decided."""
    if not verdict.accepted:
        said = request.credentials
        ids = {"tid": request.tunnel_id, "sid": request.session_id}
        _log.info("PPP: a user is refused", **ids, user=said.user, reason=users.why_not(user, said))
    return verdict


def _mark(path: Path) -> tuple[int, ...]:
    """Return what changes with a file, last the time of its last change in nanoseconds; nothing where it cannot be told."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _has_rested(mark: tuple[int, ...]) -> bool:
    """Tell whether the last change of a file lies so far back that another one would show: by the clock on the wall, which may have been set back since."""
    return time.time() - mark[-1] / 1e9 > _TICK


def _read(path: Path) -> secrets.Secrets:
    try:
        return secrets.parse(path.read_text("utf-8", "surrogateescape"))  # as names come over the line
    except OSError as error:
        _log.warning("no users can be looked up", file=str(path), reason=str(error.strerror))
        return {}
