"""Members that are found in a table by what they are, not by their names."""

from __future__ import annotations

import pickle

import pytest

from l2tpd.config.model import Pseudowire, Role, Sublayer
from l2tpd.keys import Key
from l2tpd.session.call import Kind
from l2tpd.session.call import State as CallState
from l2tpd.session.inputs import Input as CallInput
from l2tpd.tunnel.inputs import Input
from l2tpd.tunnel.states import State


@pytest.mark.parametrize("kind", [Role, Pseudowire, Sublayer, Kind, CallState, CallInput, Input, State])
def test_members_are_good_keys(kind: type[Key]) -> None:
    """Each finds its own row, however it was come by."""
    table = {member: member.value for member in kind}
    assert [member.value for member in kind] == [table[kind(value)] for value in table.values()]
    assert list(kind) == [pickle.loads(pickle.dumps(member)) for member in table]  # noqa: S301 - our own
    assert all(object.__hash__(member) == hash(member) for member in kind)
