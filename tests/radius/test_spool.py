"""Records on disk: kept, found again in another life, and forgotten."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from types import FrameType

import attrs
import pytest

from l2tpd.radius.accounting import Record
from l2tpd.radius.numbers import Status
from l2tpd.radius.spool import Spool

START = Record(
    key="A-1", status=Status.START, moment=10.0, attributes={1: (b"joe\xff",), (311, 28): (b"\x01", b"\x02")}
)
INTERIM = attrs.evolve(START, status=Status.INTERIM, moment=20.0)
STOP = attrs.evolve(START, status=Status.STOP, moment=30.0)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_kept_is_found_in_another_life(tmp_path: Path) -> None:
    """Unharmed, octets and vendors' attributes included, the oldest first; readable by its owner alone."""
    spool = Spool(tmp_path / "deep" / "spool")
    assert spool.add(START)
    assert spool.add(STOP)
    again = Spool(tmp_path / "deep" / "spool")
    assert [START, STOP] == sorted(again.oldest(10), key=lambda one: one.moment)
    assert [START] == [*spool.oldest(1)]
    assert 0 == sum(path.stat().st_mode & 0o077 for path in (tmp_path / "deep" / "spool").iterdir())


def test_a_later_interim_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    """It says all that the other said; a Stop makes both needless."""
    spool = Spool(tmp_path)
    later = attrs.evolve(INTERIM, moment=25.0)
    spool.add(INTERIM)
    spool.add(later)
    assert [later] == spool.oldest(10)
    spool.add(STOP)
    assert [STOP] == spool.oldest(10)
    assert spool.holds("A-1")
    assert not spool.holds("A-2")


def test_what_was_delivered_is_forgotten_but_not_what_took_its_place(tmp_path: Path) -> None:
    """A record may be replaced while its delivery is under way."""
    spool = Spool(tmp_path)
    later = attrs.evolve(INTERIM, moment=25.0)
    spool.add(later)
    spool.done(INTERIM)
    assert [later] == spool.oldest(10)
    spool.done(later)
    spool.done(later)
    assert ([], 0) == (files(tmp_path), len(spool))


def test_there_is_room_for_so_many_and_interims_go_first(tmp_path: Path) -> None:
    """A Stop takes the room of an interim record; what finds none is refused, and the caller told."""
    spool = Spool(tmp_path, limit=2)
    other = attrs.evolve(INTERIM, key="A-2")
    assert spool.add(START)
    assert spool.add(other)
    assert not spool.add(INTERIM)
    assert spool.add(STOP)
    assert [START, STOP] == spool.oldest(10)
    assert not spool.add(attrs.evolve(STOP, key="A-3"))
    assert 2 == len(spool)


def test_the_oldest_of_the_lesser_goes_first(tmp_path: Path) -> None:
    """Of those that another life has left as well; one that was written anew, or that no server would take, is the youngest."""
    kept = [attrs.evolve(INTERIM, key=f"A-{number}", moment=float(number)) for number in range(5)]
    spool = Spool(tmp_path, limit=5)
    for record in kept[:3]:
        spool.add(record)
    spool = Spool(tmp_path, limit=5)
    for record in (*kept[3:], kept[0]):
        spool.add(record)
    spool.put_off([kept[1]])
    for number in range(5):
        assert spool.add(attrs.evolve(START, key=f"B-{number}"))
        left = [record.key for record in spool.oldest(10) if record.status is Status.INTERIM]
        assert ["A-2", "A-3", "A-4", "A-0", "A-1"][number + 1 :] == left
    assert not spool.add(attrs.evolve(START, key="B-5"))


def test_room_costs_the_same_however_many_wait(tmp_path: Path) -> None:
    """Nobody goes through all records, neither for that nor for the oldest of them."""
    costs = [_steps_of_a_full_spool(tmp_path / str(records), records) for records in (20, 200)]
    assert costs[0] == costs[1]


def _steps_of_a_full_spool(folder: Path, records: int) -> int:
    """Count what is called to make room for a record, behind so many that stay, and to read one."""
    spool = Spool(folder, limit=records + 1)
    for number in range(records):
        spool.add(attrs.evolve(START, key=f"A-{number}"))
    spool.add(INTERIM)
    steps = 0

    def step(_frame: FrameType, event: str, _of: object) -> None:
        nonlocal steps
        steps += event in {"call", "c_call"}

    gc.disable()  # what it finds at that moment, and who wants to know of it, is called as well
    sys.setprofile(step)
    try:
        spool.add(attrs.evolve(START, key="B-1"))
        spool.oldest(1)
    finally:
        sys.setprofile(None)
        gc.enable()
    assert records + 1 == len(spool)
    return steps


@pytest.mark.parametrize("status", [status for status in Status if "TUNNEL" in status.name])
def test_tunnels_keep_no_session_out(tmp_path: Path, status: Status) -> None:
    """A peer may begin links, and have them refused, as fast as it likes: where there is no more room, what is told of them goes."""
    spool = Spool(tmp_path, limit=1)
    assert spool.add(attrs.evolve(START, key="A-2", status=status))
    assert not spool.add(attrs.evolve(START, key="A-3", status=status))
    assert spool.add(STOP)
    assert [STOP] == spool.oldest(10)


def test_a_file_that_is_none_of_ours_stops_nobody(tmp_path: Path) -> None:
    """It is set aside for an operator to look at, and the rest is delivered; one that has gone is not missed."""
    (tmp_path / "A-0.stop.json").write_text("{ no JSON")
    (tmp_path / "A-9.stop.json").write_text('{"key": "A-9", "status": 99}')
    (tmp_path / "note.txt").write_text("mine")
    spool = Spool(tmp_path)
    spool.add(START)
    spool.add(STOP)
    (tmp_path / "A-1.stop.json").unlink()
    assert [START] == spool.oldest(10)
    assert ["A-0.stop.bad", "A-1.start.json", "A-9.stop.bad", "note.txt"] == files(tmp_path)
    assert 1 == len(spool)


def test_what_nobody_takes_lets_others_by(tmp_path: Path) -> None:
    """It waits behind all others, with what else there is of its session, in its order; and nothing is lost."""
    spool = Spool(tmp_path)
    others = [attrs.evolve(START, key=f"B-{number}") for number in range(3)]
    for record in (START, STOP, *others):
        spool.add(record)
    assert [START, STOP] == spool.oldest(2)
    spool.put_off([START])
    assert [*others, START, STOP] == spool.oldest(10)
    spool.put_off([attrs.evolve(START, key="nobody")])
    assert [*others, START, STOP] == spool.oldest(10)


def test_an_accounting_on_is_known_until_it_is_gone(tmp_path: Path) -> None:
    """Also in another life; delivered, or found to be unreadable, it is in nobody's way."""
    announcement = attrs.evolve(START, key="A-0", status=Status.ON)
    spool = Spool(tmp_path)
    seen = [spool.announces]
    spool.add(announcement)
    seen += [spool.announces, Spool(tmp_path).announces]
    spool.done(announcement)
    seen += [spool.announces]
    assert [False, True, True, False] == seen
    spool.add(announcement)
    (tmp_path / "A-0.on.json").write_text("{ no JSON")
    assert ([], False) == (spool.oldest(1), spool.announces)
