"""Loading: texts or files in, a checked `Config` or every mistake out.

`parse` is pure. `load` reads one file, or every `*.toml` of a directory in sorted order as one configuration. Both raise `ConfigError` with all
problems at once, each with its file and key path; neither lets another exception out, whatever the text is.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from l2tpd.config.checks import Checker
from l2tpd.config.contradictions import CALLED
from l2tpd.config.document import Document
from l2tpd.config.model import Config, PppAuthority, SessionInstance, TunnelInstance
from l2tpd.config.scalars import exact_str, instance_name
from l2tpd.config.structure import ReadSecret, Structurer
from l2tpd.errors import ConfigError, Problem
from l2tpd.rights import exposed

FILE_LIMIT: Final = 64 * 1024 * 1024  # octets; 65,000 tunnels take about 10 MB
SECRET_FILE_LIMIT: Final = 64 * 1024  # octets
REQUEST: Final = "request"  # what stands for the file name where a control request is checked

_NO_CONFIG = Config()
_SAYS_SECRET = re.compile(r"^[^#\n]*\b(?:secret|password|pap_hash)[\"']?\s*=", re.MULTILINE)


def no_files(file: Path) -> str:
    """Refuse to read a secret: for those who parse texts without leave to open files."""
    raise ValueError("a `secret_file` cannot be read here; say `secret`")


def parse(files: Sequence[tuple[str, str]], *, read_secret: ReadSecret = no_files) -> Config:
    """Turn (name, text) pairs into one configuration; raise `ConfigError` with every problem."""
    return _finished(_read_all(files, Document()), read_secret)


def load(path: Path) -> Config:
    """Read a file, or every `*.toml` of a directory; raise `ConfigError` with every problem.

    Secrets named by `secret_file` are read too, relative to the file that names them.
    """
    document = Document()
    files = []
    for file in _files(path, document):
        try:
            files.append((str(file), _text_of(file, FILE_LIMIT)))
        except ValueError as error:
            document.problems.append(Problem(str(file), "", str(error)))
    return _finished(_read_all(files, document), read_secret_file)


def warnings(path: Path, config: Config) -> tuple[Problem, ...]:
    """Tell what deserves a look although the configuration is valid: files open to others, peers that nobody can match, users of nobody's."""
    found = [warning for file in _files(path, Document()) for warning in _exposed(file)]
    for name, peer in config.peers.items():
        if name != "default" and not peer.match and not peer.host_name:
            found.append(
                Problem(str(path), f"peer.{name}", "has neither `match` nor `host_name`, so no caller belongs to it")
            )
    if config.users and all(said.get("authority") is not PppAuthority.USERS for said in config.ppp_profiles.values()):
        found.append(Problem(str(path), "user", 'no PPP profile says `authority = "users"`, so nobody asks for these'))
    return tuple(found)


def read_secret_file(file: Path) -> str:
    """Read the first line of a file that only its owner can read; raise `ValueError` if it is not one."""
    text = _text_of(file, SECRET_FILE_LIMIT)
    complaint = exposed(file.stat().st_mode)
    if complaint:
        raise ValueError(complaint)
    secret = text.partition("\n")[0].removesuffix("\r")
    if not secret:
        raise ValueError("its first line is empty")
    if "\0" in secret:
        raise ValueError("its first line holds a NUL")
    return secret


def said_tunnel(table: Mapping[str, object], config: Config = _NO_CONFIG) -> TunnelInstance:
    """Check what a request says of a new tunnel as a file's `[tunnel.NAME]` would be, with the key `name` besides; raise `ConfigError`.

    Profiles that it names must exist in `config`. The name may be left out and then is empty.
    """
    document, said, name = _request(table)
    tunnel = Structurer(document, no_files).tunnel(name, said, ())
    if tunnel is None:
        raise ConfigError(tuple(document.problems))
    Checker(config, document).requested_tunnel(tunnel)
    _raise_problems(document)
    return tunnel


def said_session(
    table: Mapping[str, object],
    config: Config = _NO_CONFIG,
    session_profile: str = "default",
    tunnel: TunnelInstance = CALLED,
) -> SessionInstance:
    """Check what a request says of a new session; `session_profile` is the one that its tunnel hands down. Raise `ConfigError`.

    `tunnel` is that tunnel, as far as it is ours to say; by default it is one that a peer opened.
    """
    document, said, name = _request(table)
    session = Structurer(document, no_files).session(name, said, (), session_profile)
    Checker(config, document).requested_session(session, attrs.evolve(tunnel, session_profile=session_profile))
    _raise_problems(document)
    return session


# -- inside -------------------------------------------------------------------------------------------------------------------------------


def _finished(document: Document, read_secret: ReadSecret) -> Config:
    config = Structurer(document, read_secret).config()
    Checker(config, document).everything()
    _raise_problems(document)
    return config


def _read_all(files: Sequence[tuple[str, str]], document: Document) -> Document:
    for name, text in files:
        document.add_text(name, text)
    return document


def _raise_problems(document: Document) -> None:
    if document.problems:
        raise ConfigError(tuple(document.problems))


def _request(table: Mapping[str, object]) -> tuple[Document, dict[str, object], str]:
    document = Document()
    document.add_tree(REQUEST, {})
    said = dict(table)
    name = ""
    try:
        if "name" in said:
            name = instance_name(exact_str(said.pop("name")))
    except ValueError as error:
        document.wrong(("name",), str(error))
    return document, said, name


def _files(path: Path, document: Document) -> list[Path]:
    try:
        if not path.is_dir():
            return [path]
        files = sorted(file for file in path.iterdir() if file.suffix == ".toml" and not file.name.startswith("."))
    except (OSError, ValueError) as error:
        document.problems.append(Problem(str(path), "", _reason(error)))
        return []
    if not files:
        document.problems.append(Problem(str(path), "", "holds no `*.toml` file"))
    return files


def _text_of(file: Path, limit: int) -> str:
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            # Opening a pipe would wait for its writer.
            raise ValueError("is not a regular file")
        if status.st_size > limit:
            raise ValueError(f"has {status.st_size} octets; the limit is {limit}")
        octets = file.read_bytes()
    except OSError as error:
        raise ValueError(_reason(error)) from None
    try:
        return octets.decode("utf-8-sig")  # some editors open a file with a byte order mark
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise ValueError(f"is not UTF-8 (at line {line})") from None


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot be read: {text}"


def _exposed(file: Path) -> list[Problem]:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        secret = bool(mode & 0o004) and _SAYS_SECRET.search(_text_of(file, FILE_LIMIT)) is not None
    except (OSError, ValueError):
        return []  # `load` has told, or the file went since
    found = []
    if secret:
        found.append(Problem(str(file), "", f"holds a secret and everybody can read it (mode {mode:04o})"))
    if mode & 0o002:
        found.append(Problem(str(file), "", f"everybody can write it (mode {mode:04o})"))
    return found
