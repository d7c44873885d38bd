"""Parameters are read strictly: nothing is coerced, nothing unknown is passed over, every error names its key."""

from typing import get_args

import attrs
import pytest

from l2tpd.control import params as p
from l2tpd.control.jsonrpc import INVALID_PARAMS, Json
from l2tpd.errors import ControlError
from l2tpd.ppp.link import Phase
from l2tpd.session.call import State as SessionState
from l2tpd.tunnel.states import State as TunnelState


def test_parameters_that_are_left_out_have_their_defaults() -> None:
    """No parameters ask for the first page of everything."""
    assert p.TunnelFilter(cursor=None, limit=p.PAGE, origin=None, state=None, peer=None) == p.read(p.TunnelFilter, {})


def test_given_parameters_arrive() -> None:
    """Words, lists and tables are taken as they are."""
    assert p.Debug(tunnel="hq", categories=("fsm", "all"), on=False) == p.read(
        p.Debug, {"tunnel": "hq", "categories": ["fsm", "all"], "on": False}
    )
    assert p.TunnelKeys(name="hq", keys={"peer": "x", "hello_timeout": 3}) == p.read(
        p.TunnelKeys, {"name": "hq", "keys": {"peer": "x", "hello_timeout": 3}}
    )
    assert p.Kinds(tunnel=("up",), session=()) == p.read(p.Kinds, {"tunnel": ["up"], "session": []})


@pytest.mark.parametrize(
    ("cls", "params", "text"),
    [
        (p.TunnelRef, {}, "`tunnel` is missing"),
        (p.TunnelRef, {"tunnel": 7}, "`tunnel` must be a string"),
        (p.TunnelRef, {"tunnel": None}, "`tunnel` must be a string"),
        (p.TunnelRef, {"tunnel": "hq", "tunel": "hq"}, "`tunel` is not a parameter (did you mean `tunnel`?)"),
        (p.Nothing, {"x": 1}, "`x` is not a parameter"),
        (p.TunnelFilter, {"limit": "7"}, "`limit` must be an integer"),
        (p.TunnelFilter, {"limit": True}, "`limit` must be an integer"),
        (p.TunnelFilter, {"limit": 7.0}, "`limit` must be an integer"),
        (p.TunnelFilter, {"origin": "remote"}, "`origin` must be one of local, network"),
        (p.Drain, {"drain": 1}, "`drain` must be true or false"),
        (p.Drain, {"drain": "false"}, "`drain` must be true or false"),
        (p.Debug, {"categories": "fsm"}, "`categories` must be a list"),
        (p.Debug, {"categories": ["fsm", 7]}, "`categories` must be a string"),
        (p.Kinds, {"session": ["upp"]}, "`session` must be one of created, up, down, deleted"),
        (p.TunnelKeys, {"name": "hq", "keys": []}, "`keys` must be an object"),
        (p.Debug, {"on": 1, "tunnel": 2}, "`tunnel` must be a string; `on` must be true or false"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(cls: type[object], params: dict[str, Json], text: str) -> None:
    """The error is invalid params, and its sentence names every wrong key."""
    with pytest.raises(ControlError) as caught:
        p.read(cls, params)
    assert INVALID_PARAMS == caught.value.code
    assert sorted(text.split("; ")) == sorted(caught.value.text.split("; "))


def test_a_huge_unknown_key_is_not_echoed() -> None:
    """A key of a megabyte comes back as a hundred characters of it."""
    with pytest.raises(ControlError) as caught:
        p.read(p.Nothing, {"k" * 1_000_000: 1})
    assert len(caught.value.text) < 200


def test_every_class_of_parameters_has_a_description() -> None:
    """The manual is made from these; a class without a docstring would leave a hole."""
    classes = [found for found in vars(p).values() if isinstance(found, type) and attrs.has(found)]
    assert [] == [cls.__name__ for cls in classes if not cls.__doc__]


def test_a_state_is_one_that_a_list_shows() -> None:
    """An unknown one would match nothing for ever; the error names those that there are, which are all that the machines have."""
    tunnels = {"waiting" if state is TunnelState.IDLE else state.value for state in TunnelState}
    sessions, ppp = {state.value for state in SessionState}, {phase.value for phase in Phase} | {"up"}
    cases: tuple[tuple[type[p.TunnelFilter | p.SessionFilter | p.PppFilter], object, set[str]], ...] = (
        (p.TunnelFilter, p.TunnelState, tunnels - {"established"} | {"up"}),
        (p.SessionFilter, p.SessionState, sessions - {"established"} | {"up"}),
        (p.PppFilter, p.PppState, ppp),
    )
    for cls, known, had in cases:
        assert had == set(get_args(known))
        for word in had:
            assert word == p.read(cls, {"state": word}).state
        with pytest.raises(ControlError) as caught:
            p.read(cls, {"state": "bogus"})
        assert f"`state` must be one of {', '.join(get_args(known))}" in str(caught.value)
