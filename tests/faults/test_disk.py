"""The disk is full, or what was on it is gone: lines and records are lost and counted, and nothing else happens."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from l2tpd import log
from l2tpd.radius.accounting import Record
from l2tpd.radius.numbers import Status
from l2tpd.radius.spool import Spool
from pair import ANYBODY, calls, carried, free_port, hear, listen, session, stage, tunnel, until, up

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "l2tpd-test", place], check=True, timeout=20)
    try:
        yield place
    finally:
        log.close()
        subprocess.run(["umount", "--lazy", place], check=True, timeout=20)


def fill(disk: Path) -> Path:
    """Use up all that there is."""
    rest = disk / "rest"
    with rest.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return rest


@ROOT
async def test_a_full_disk_under_the_log(tmp_path: Path, disk: Path) -> None:
    """Daemons set up and end tunnels without a word in the log; lines are there again once there is room."""
    sink = log.File(disk / "log")
    log.configure("debug", sink)
    rest = fill(disk)
    async with stage(tmp_path) as on:
        port = free_port()
        await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("t", port) + session("t", "s"))
        await until(lambda: carried(lac, "t", "s"))
        while not sink.lost:  # what was left of the last block
            log.get("test").notice("x" * 1000)
        lost = sink.lost
        rest.unlink()
        lac.stop(at_once=False)
        await on.ended["lac"].wait()
    assert lost == sink.lost
    assert "stopping" in (disk / "log").read_text()


async def test_a_log_whose_directory_is_gone(tmp_path: Path) -> None:
    """The file is written on, wherever it is now; opening it anew fails with a word, and succeeds when there is a directory again."""
    folder = tmp_path / "log"
    folder.mkdir()
    log.configure("notice", log.File(folder / "l2tpd.log"))
    (folder / "l2tpd.log").unlink()
    folder.rmdir()
    try:
        async with stage(tmp_path) as on:
            daemon = await on.start("d", "")
            daemon.reopen_log()
            assert "cannot be opened again" in log.ring.lines(1)[0].text
            folder.mkdir()
            daemon.reopen_log()
            log.get("test").notice("here again")
            assert "here again" in (folder / "l2tpd.log").read_text()
    finally:
        log.close()


def record(status: Status, moment: float = 1.0, key: str = "a") -> Record:
    return Record(key=key, status=status, moment=moment, attributes={1: (bytes(100),)})


@ROOT
def test_a_full_disk_under_the_spool(disk: Path) -> None:
    """A record that cannot be kept leaves no half of it, and what was kept of its session stays; there is room for it later."""
    spool = Spool(disk / "spool")
    assert spool.add(record(Status.INTERIM))
    rest = fill(disk)
    for number in range(3):
        with pytest.raises(OSError, match="No space left"):
            spool.add(record(Status.STOP, 2.0 + number))
    assert [Status.INTERIM] == [kept.status for kept in spool.oldest(9)]
    assert [".json"] == [file.suffix for file in (disk / "spool").iterdir()]
    rest.unlink()
    assert spool.add(record(Status.STOP, 9.0))
    assert [Status.STOP] == [kept.status for kept in spool.oldest(9)]
    assert 1 == len(list((disk / "spool").iterdir()))


async def test_a_control_socket_that_somebody_removed(tmp_path: Path) -> None:
    """Who is connected stays so, tunnels come up, and the end does not trip over it, nor over what has taken its place."""
    async with stage(tmp_path) as on:
        port = free_port()
        lns = await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("t", port))
        told = hear(on, lac)
        (tmp_path / "lac.sock").unlink()
        (tmp_path / "lac.sock").write_text("mine")
        await until(lambda: up(lac, "t") and len(lns.registry))
        assert tunnel(lac, "t").core.was_up
        lac.stop(at_once=False)
        await on.ended["lac"].wait()
        await told.closed.wait()
    assert "mine" == (tmp_path / "lac.sock").read_text()
