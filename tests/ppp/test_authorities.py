"""The authorities that this machine has itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from l2tpd.config.load import parse
from l2tpd.ppp import authorities
from l2tpd.ppp.authorities import LocalUsers, SecretsFiles
from l2tpd.ppp.authority import REFUSED, Request, Verdict
from l2tpd.ppp.credentials import Credentials
from l2tpd.ppp.hashed import make
from l2tpd.ppp.numbers import Auth
from l2tpd.ppp.secrets import Secrets
from l2tpd.ppp.secrets import parse as parse_file
from l2tpd.wire.values import unpack_text


def asked(user: bytes, password: bytes) -> Request:
    said = Credentials(kind=Auth.PAP, user=unpack_text(user), identifier=1, response=password)
    return Request(credentials=said, tunnel_id=1, session_id=2, lns_name="lns")


async def test_pppds_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for this server holds, with octets that are no UTF-8; a file that is not there knows nobody."""
    path = tmp_path / "pap-secrets"
    monkeypatch.setattr(authorities, "SECRETS", {Auth.PAP: path})
    files = SecretsFiles()
    assert REFUSED == await files.check(asked(b"al\xffice", b"wonder"))
    path.write_bytes(b'al\xffice other wrong\nal\xffice lns wonder 10.0.0.9\n"bob b" * x -\n')
    verdict = await files.check(asked(b"al\xffice", b"wonder"))
    assert (True, "10.0.0.9") == (verdict.accepted, verdict.address)
    assert REFUSED == await files.check(asked(b"al\xffice", b"wrong"))
    assert REFUSED == await files.check(asked(b"bob b", b"x"))  # who may have no address at all


UNDER_ANOTHER_LOCALE = r"""
import sys, trio
from pathlib import Path
from l2tpd.ppp import authorities
from l2tpd.ppp.numbers import Auth
from ppp.test_authorities import asked
authorities.SECRETS = {Auth.PAP: Path(sys.argv[1])}
print(trio.run(authorities.SecretsFiles().check, asked("zo\u00eb".encode(), b"wonder")).accepted)
"""


def test_pppds_files_whatever_the_locale(tmp_path: Path) -> None:
    """Names are compared octet for octet, also where the daemon was started with a locale of another encoding."""
    (tmp_path / "pap-secrets").write_text("zoë * wonder *\n", encoding="utf-8")
    program = [sys.executable, "-c", UNDER_ANOTHER_LOCALE, os.fspath(tmp_path / "pap-secrets")]
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = {**os.environ, **locale, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    told = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert "True\n" == told.stdout


async def test_a_file_that_is_known_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes it is heard at once, also right behind another and with as many octets; one that has rested is looked at only."""
    path = tmp_path / "pap-secrets"
    monkeypatch.setattr(authorities, "SECRETS", {Auth.PAP: path})
    files = SecretsFiles()
    for password in (b"wonder", b"wander", b"wunder"):
        path.write_bytes(b"alice * " + password + b"\n")
        assert (await files.check(asked(b"alice", password))).accepted
    path.unlink()
    assert REFUSED == await files.check(asked(b"alice", b"wunder"))
    path.write_bytes(b"alice * wonder\n")
    monkeypatch.setattr(authorities, "_TICK", -1.0)  # every file has rested
    assert (await files.check(asked(b"alice", b"wonder"))).accepted
    monkeypatch.delattr(authorities, "_read")
    assert (await files.check(asked(b"alice", b"wonder"))).accepted
    assert REFUSED == await files.check(asked(b"alice", b"wrong"))


async def test_a_file_that_has_long_rested_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right after a start, too, when all call again: when a file was changed last is told by the file."""
    monkeypatch.setattr(authorities, "SECRETS", {Auth.PAP: Path(os.__file__)})  # as old as this Python
    files = SecretsFiles()
    assert REFUSED == await files.check(asked(b"alice", b"wonder"))
    monkeypatch.delattr(authorities, "_read")
    assert REFUSED == await files.check(asked(b"alice", b"wonder"))


async def test_many_who_come_at_once_have_a_file_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a start, or a change, all call again: a file of thousands of lines takes as long to read as it takes to let hundreds in."""
    path, reads = tmp_path / "pap-secrets", list[Path]()
    path.write_bytes(b"alice * wonder\n")

    def read(path: Path) -> Secrets:
        reads.append(path)
        return parse_file(path.read_text())

    monkeypatch.setattr(authorities, "SECRETS", {Auth.PAP: path})
    monkeypatch.setattr(authorities, "_TICK", -1.0)  # every file has rested
    monkeypatch.setattr(authorities, "_read", read)
    files, verdicts = SecretsFiles(), list[Verdict]()

    async def come() -> None:
        verdicts.append(await files.check(asked(b"alice", b"wonder")))

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(come)
    assert (50, [path]) == (sum(verdict.accepted for verdict in verdicts), reads)


async def test_the_configuration_in_force() -> None:
    """Names are compared octet for octet, and a reload counts at once."""
    old = parse([("f", '[user."zoë"]\npassword = "wonder"\n')])
    config = old
    users = LocalUsers(lambda: config)
    assert (await users.check(asked("zoë".encode(), b"wonder"))).accepted
    assert REFUSED == await users.check(asked("zoë".encode("latin-1"), b"wonder"))
    assert REFUSED == await users.check(asked("zoe\u0308".encode(), b"wonder"))
    config = parse([("f", '[user."zoë"]\npassword = "other"\n')])
    assert REFUSED == await users.check(asked("zoë".encode(), b"wonder"))


async def test_what_is_known_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is, once it was read and as long as it does not change; a user of the configuration whose password is hashed is not."""
    path = tmp_path / "pap-secrets"
    path.write_bytes(b"alice * wonder\n")
    monkeypatch.setattr(authorities, "SECRETS", {Auth.PAP: path})
    monkeypatch.setattr(authorities, "_TICK", -1.0)  # every file has rested
    files, right, wrong = SecretsFiles(), asked(b"alice", b"wonder"), asked(b"alice", b"wander")
    assert files.check_nowait(right) is None
    verdict = await files.check(right)
    assert (verdict, REFUSED) == (files.check_nowait(right), files.check_nowait(wrong))
    path.write_bytes(b"alice * wander\n")
    assert files.check_nowait(right) is None
    hashed = make(b"wonder", bytes(16))
    users = parse([("f", f'[user.alice]\npassword = "wonder"\n[user.eve]\npap_hash = "{hashed}"\n')])
    local = LocalUsers(lambda: users)
    assert (await local.check(right), REFUSED) == (local.check_nowait(right), local.check_nowait(wrong))
    assert REFUSED == local.check_nowait(asked(b"bob", b"wonder"))
    assert local.check_nowait(asked(b"eve", b"wonder")) is None
    assert (await local.check(asked(b"eve", b"wonder"))).accepted
