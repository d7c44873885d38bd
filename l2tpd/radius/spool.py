"""Accounting records that no server would take yet: a file each, kept until one has.

A record's file is named after its session and status, so that a later interim record takes the place of an earlier one, and a Stop that of all interims. A
file is written beside its place and then moved there: whoever reads sees all of it or nothing. Nothing here waits for a disk to be sure of what it
was given; what was written outlives the daemon, though perhaps not the machine. A bounded number of records is kept: where there is no more room, interims
go first, for what comes after them says more, and what is said of tunnels and their links, of which a peer may cause any number without a user's password.

All of this blocks, for as long as a small file takes.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

from l2tpd.radius.accounting import Record
from l2tpd.radius.attributes import Key
from l2tpd.radius.numbers import Status

LIMIT: Final = 200_000  # records
_SUFFIX: Final = ".json"
_LESSER: Final = frozenset({Status.INTERIM, *(status for status in Status if status.name.startswith("TUNNEL_"))})


class Spool:
    """The records in one directory."""

    def __init__(self, directory: Path, limit: int = LIMIT) -> None:
        """Begin with what an earlier life has left there. Raises `OSError` when the directory cannot be made or read."""
        self._directory = directory
        self._limit = limit
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        stamped = ((file.stat().st_mtime, file.name) for file in directory.iterdir() if file.suffix == _SUFFIX)
        # The oldest first. No plain dictionaries: one whose first entries go again and again looks for the first of the others ever longer.
        self._names = OrderedDict.fromkeys(name for _, name in sorted(stamped))
        lesser = tuple(map(_suffix, _LESSER))
        self._lesser = OrderedDict.fromkeys(name for name in self._names if name.endswith(lesser))
        self._announcements = {name for name in self._names if name.endswith(_suffix(Status.ON))}

    def __len__(self) -> int:
        """Count the records."""
        return len(self._names)

    def holds(self, key: str) -> bool:
        """Tell whether records of a session are kept: what comes after them waits with them, to keep its place."""
        return any(_named(key, status) in self._names for status in Status)

    @property
    def announces(self) -> bool:
        """Tell whether an Accounting-On is kept: all that comes after it waits with it, for it ends at the server what has begun before."""
        return bool(self._announcements)

    def add(self, record: Record) -> bool:
        """Keep a record; tell whether there was room. Raises `OSError`."""
        name = _name(record)
        before = _named(record.key, Status.INTERIM) if record.status is Status.STOP else name
        taken = {name, before} & self._names.keys()
        if not taken and len(self._names) >= self._limit and not self._make_room(record):
            return False
        self._write(name, record)
        self._names[name] = None
        if record.status in _LESSER:
            self._lesser[name] = None
        self._make_youngest(name)
        if record.status is Status.ON:
            self._announcements.add(name)
        if before != name:
            self._forget(before)  # only now: without its Stop, an interim record is all that is left of a session
        return True

    def oldest(self, count: int) -> list[Record]:
        """Return the oldest records, at most so many; a file that is none is passed over for good. Raises `OSError`."""
        found: list[Record] = []
        while names := list(islice(self._names, len(found), count)):  # those that are none are no longer there
            found.extend(record for record in map(self._read, names) if record is not None)
        return found

    def done(self, record: Record) -> None:
        """Forget a record that was delivered, unless a later one has taken its place meanwhile. Raises `OSError`."""
        name = _name(record)
        kept = self._read(name) if name in self._names else None
        if kept is not None and kept.moment <= record.moment:
            self._forget(name)

    def put_off(self, records: Iterable[Record]) -> None:
        """Let records that nobody took wait behind all others, with what else there is of their sessions."""
        for record in records:
            for name in [_named(record.key, status) for status in Status]:
                if name in self._names:
                    self._make_youngest(name)

    def _make_room(self, record: Record) -> bool:
        """Let go of the oldest record of less weight."""
        if record.status in _LESSER:
            return False
        victim = next(iter(self._lesser), None)
        if victim is None:
            return False
        self._forget(victim)
        return True

    def _make_youngest(self, name: str) -> None:
        for names in (self._names, self._lesser):
            if name in names:
                names.move_to_end(name)

    def _write(self, name: str, record: Record) -> None:
        draft = self._directory / f"{name}.new"
        try:
            draft.touch(mode=0o600)
            draft.write_text(json.dumps(_as_plain(record)))
            draft.replace(self._directory / name)
        except OSError:
            with suppress(OSError):  # half a record is no use, and where the disk is full not even room
                draft.unlink()
            raise

    def _read(self, name: str) -> Record | None:
        """Return what a file holds; who cannot be read is forgotten, but left where it is for an operator to look at."""
        file = self._directory / name
        try:
            return _of_plain(json.loads(file.read_text()))
        except (ValueError, TypeError, KeyError, FileNotFoundError):
            self._drop(name)
            with suppress(FileNotFoundError):
                file.replace(file.with_suffix(".bad"))
            return None

    def _forget(self, name: str) -> None:
        if name in self._names:
            self._drop(name)
            (self._directory / name).unlink(missing_ok=True)

    def _drop(self, name: str) -> None:
        self._announcements.discard(name)
        self._names.pop(name, None)
        self._lesser.pop(name, None)


def _suffix(status: Status) -> str:
    return f".{status.name.lower()}{_SUFFIX}"


def _named(key: str, status: Status) -> str:
    return key + _suffix(status)


def _name(record: Record) -> str:
    return _named(record.key, record.status)


def _as_plain(record: Record) -> dict[str, Any]:
    return {
        "key": record.key,
        "status": int(record.status),
        "moment": record.moment,
        "attributes": [[key, [octets.hex() for octets in values]] for key, values in record.attributes.items()],
    }


def _of_plain(plain: dict[str, Any]) -> Record:
    return Record(
        key=str(plain["key"]),
        status=Status(plain["status"]),
        moment=float(plain["moment"]),
        attributes=dict(_attributes(plain["attributes"])),
    )


def _attributes(rows: list[Any]) -> Iterator[tuple[Key, tuple[bytes, ...]]]:
    for key, values in rows:
        number: Key = (int(key[0]), int(key[1])) if isinstance(key, list) else int(key)
        yield number, tuple(bytes.fromhex(octets) for octets in values)
