"""What the guided fuzzer has found worth keeping, played again, and the tape that its dialogues are read from."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import guided, targets
from fuzz.tape import SpentError, Tape


@pytest.mark.parametrize("name", targets.TARGETS)
def test_the_corpus_passes(name: str) -> None:
    """Each input that once reached something new, and those to begin with: nothing but the errors that are meant escapes."""
    kept = guided.read(name)
    assert kept
    for data in (*kept, *targets.first(name)):
        targets.TARGETS[name](data)


def test_a_tape_decides_all_that_is_at_random() -> None:
    """The same octets make the same draws, and octets are used up by draws alone."""
    tape, again = Tape(bytes(range(100))), Tape(bytes(range(100)))
    drawn = [(dice.random(), dice.randrange(10), dice.choice("abc"), dice.randbytes(4)) for dice in (tape, again)]
    assert drawn[0] == drawn[1]
    assert 1 / 65536 == Tape(b"\0\1").random()
    assert b"ab" == Tape(b"ba").randbytes(2)  # little-endian, as `Random.randbytes` is


def test_a_tape_ends() -> None:
    """What it has not is not made up."""
    tape = Tape(b"\1\2\3")
    tape.getrandbits(24)
    with pytest.raises(SpentError):
        tape.getrandbits(1)


def test_a_dialogue_ends_with_its_tape() -> None:
    """An input that is too short for anything is no failure."""
    for name in ("core", "link"):
        targets.TARGETS[name](b"")


def test_the_guide_runs(tmp_path: Path) -> None:
    """The program that `nox -s fuzz` starts looks at coverage, and comes to an end."""
    pytest.importorskip("atheris", reason="atheris has no wheel for this Python: no coverage-guided fuzzing here")
    run = guided.aim("rpc", 2, tmp_path, keep=False)
    assert "" == run.output
    assert run.inputs > 100
    assert run.covered > 10
