"""`l2tpctl import`: other daemons' files in, our configuration out. What the keys mean is in `l2tpctl.importing`; here are the files."""

# ruff: noqa: PLC0415 - the converters are imported when something is converted: --help should not wait for them

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from l2tpctl.answers import tell
from l2tpctl.errors import CommandError
from l2tpctl.importing import NAMES
from l2tpctl.importing.source import Read, SourceError
from l2tpctl.options import SETTINGS, json_option, stop


@click.command("import", context_settings=SETTINGS)
@click.argument("kind", metavar="FORMAT", type=click.Choice(NAMES))
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="PATH", help="A new file, for its owner alone."
)
@json_option
def import_command(kind: str, file: Path, output: Path | None) -> None:
    """Convert another daemon's configuration FILE to ours.

    FORMAT is xl2tpd, prol2tpd, openl2tpd, kl2tpd, ql2tpd or accel-ppp. What has no counterpart becomes a comment with the reason. Files that FILE
    names are looked for beside it, then where it says.
    """
    from l2tpctl.importing import formats

    try:
        found = formats.convert(kind, _text(file), str(file), _reader(file))
        if output is not None:
            _write(output, found.toml)
    except SourceError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except (CommandError, OSError) as error:
        stop(error)
    for warning in found.warnings:
        click.echo(f"look at {warning}", err=True)
    click.echo(
        f"{file}: {found.translated} keys translated, {found.same} hold here anyway, {found.lost} without a counterpart",
        err=True,
    )
    tell(
        found._asdict() | {"warnings": list(found.warnings)}, lambda: "" if output is not None else found.toml.rstrip()
    )


def _text(file: Path) -> str:
    """Read a file as UTF-8; one that is none is malformed."""
    octets = file.read_bytes()
    try:
        return octets.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise SourceError(str(file), octets.count(b"\n", 0, error.start) + 1, "this line is not UTF-8") from None


def _reader(file: Path) -> Read:
    """Read what the file names: beside it, as on a machine to which it was copied with them, else where it says."""

    def read(name: str) -> str | None:
        for path in (file.parent / Path(name).name, file.parent / name):
            try:
                if path.is_file():
                    return _text(path)
            except OSError:
                continue
        return None

    return read


def _write(path: Path, text: str) -> None:
    """Make a file that only its owner can read, from the first moment on: it may hold secrets."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as made:
        os.fchmod(made.fileno(), 0o600)
        made.write(text)
