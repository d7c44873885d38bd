"""What an RFC demands, sentence by sentence, and the tests that would fail if we did not do it: the form of the tables `demands.py`."""

from __future__ import annotations

from typing import NamedTuple


class Demand(NamedTuple):
    """A sentence with MUST, SHOULD or the like, or with a lower-case word that binds as well.

    `words` are enough of the sentence to find it. `tests` are names of test functions of the folder of the RFC, or elsewhere `FILE::NAME` with the file from
    the root of the tests, with spaces between. `times` is how many sentences of the section say the same. `why` is the reason where there is no test,
    and where the tests show that something else is done.
    """

    section: str
    words: str
    tests: str = ""
    times: int = 1
    why: str = ""
