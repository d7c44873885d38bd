"""The steps of an example's README, done as they are written there: `west# l2tpd` is the command `l2tpd` on the host `west`.

Commands stand in indented lines; one that begins with the name of a host and `#` is done, everything else is there to be read. A step that is
repeated until it succeeds is `ping`, as it is for the reader, who types slower than a tunnel comes up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from examples.hosts import REPOSITORY, Host

EXAMPLES = REPOSITORY / "examples"
STEP = re.compile(r" {4,}(?P<host>[a-z]+)# (?P<command>.+?)(?:  +#.*)?")


class Step(NamedTuple):
    """A command, and where it is typed."""

    host: str
    command: str


def configurations() -> Sequence[Path]:
    """Return the configurations of all examples."""
    return sorted(path for path in EXAMPLES.glob("*/*.toml") if path.parent.name != "demo")


def steps(example: str, *headings: str) -> Iterator[Step]:
    """Return the steps in order, those before the first heading and those under the headings named here, which must all be there."""
    before, *parts = (EXAMPLES / example / "README.md").read_text().split("\n## ")
    sections = {title: text for title, _, text in (part.partition("\n") for part in parts)}
    for text in (before, *(sections[heading] for heading in headings)):
        yield from (Step(**found.groupdict()) for line in text.splitlines() if (found := STEP.fullmatch(line)))


def follow(example: str, hosts: Sequence[Host], *headings: str) -> str:
    """Do the steps on the hosts of these names, and return what was said; a step that fails fails the test."""
    there = {host.name: host for host in hosts}
    try:
        return "".join(do(there[step.host], step.command) for step in steps(example, *headings))
    except AssertionError as failure:
        for host in hosts:
            failure.add_note(f"log of {host.name}:\n{host.attempt('l2tpctl show log').stdout}")
        raise


def do(host: Host, command: str) -> str:
    if command.startswith("ping "):
        host.await_success(command.replace(" -c 3 ", " -c 1 -W 1 "))
    return host.run(command)
