"""Names and ids in requests, each asked as a client would."""

import attrs
import pytest

from control.double import Double, ask, example, refusal
from l2tpd.control.jsonrpc import INVALID_PARAMS, NOT_FOUND


def test_a_tunnel_is_meant_by_name_or_by_id() -> None:
    """`hq1` and `@7` are the same tunnel."""
    assert 7 == ask(example(), "tunnel.show", tunnel="hq1")["id"]
    assert "hq1" == ask(example(), "tunnel.show", tunnel="@7")["name"]


@pytest.mark.parametrize(
    ("reference", "code", "text"),
    [
        ("hq", NOT_FOUND, "no tunnel is called `hq` (there are: hq1, hq2)"),
        ("zzz", NOT_FOUND, "no tunnel is called `zzz` (there are: hq1, hq2)"),
        ("", NOT_FOUND, "no tunnel is called `` (there are: hq1, hq2)"),
        ("@8", NOT_FOUND, "no tunnel has the id 8"),
        ("@", INVALID_PARAMS, "`@` is neither a name nor an id: `@` is followed by a number"),
        ("@x", INVALID_PARAMS, "`@x` is neither a name nor an id: `@` is followed by a number"),
        ("@-7", INVALID_PARAMS, "`@-7` is neither a name nor an id: `@` is followed by a number"),
        ("@٧", INVALID_PARAMS, "`@٧` is neither a name nor an id: `@` is followed by a number"),
    ],
)
def test_a_reference_to_no_tunnel_is_answered_with_a_sentence(reference: str, code: int, text: str) -> None:
    """The sentence names the tunnels that there are."""
    error = refusal(example(), "tunnel.show", tunnel=reference)
    assert (code, text) == (error.code, error.text)


def test_a_reference_among_no_names_says_so() -> None:
    """When no tunnel has a name there is nothing to suggest."""
    assert "no tunnel is called `hq` (none has a name)" == refusal(Double(), "tunnel.show", tunnel="hq").text


def test_a_session_is_meant_within_its_tunnel() -> None:
    """By name or id, and not if it belongs to another tunnel."""
    assert 1 == ask(example(), "session.show", tunnel="hq1", session="one")["id"]
    assert "two" == ask(example(), "session.show", tunnel="@7", session="@2")["name"]
    assert NOT_FOUND == refusal(example(), "session.show", tunnel="hq2", session="@1").code
    error = refusal(example(), "session.show", tunnel="hq1", session="on")
    assert error.text.startswith("no session of this tunnel is called `on` (there are: one")


@pytest.mark.parametrize("reference", ["ppp0", "one", "@7/1", "@7/@1"])
def test_ppp_is_meant_by_interface_session_or_ids(reference: str) -> None:
    """All of them name the same."""
    double = example()
    assert "alice" == ask(double, "ppp.show", ppp=reference)["user"]
    assert {"tunnel_id": 7, "session_id": 1} == ask(double, "ppp.destroy", ppp=reference, reason="enough")
    assert [("destroy ppp", 7, 1, "enough")] == double.asked


@pytest.mark.parametrize("reference", ["ppp9", "@7/2", "@7", "", "@99/1"])
def test_ppp_that_is_not_there(reference: str) -> None:
    """A session without PPP has none either."""
    assert NOT_FOUND == refusal(example(), "ppp.show", ppp=reference).code


def test_a_shared_interface_means_nobody_in_particular() -> None:
    """The answer says by which ids they can be told apart."""
    double = example()
    double.links[300, 5] = attrs.evolve(double.links[300, 5], interface="ppp0")
    error = refusal(double, "ppp.show", ppp="ppp0")
    assert (INVALID_PARAMS, "2 sessions are called `ppp0`; say which: @7/1, @300/5") == (error.code, error.text)
    assert INVALID_PARAMS == refusal(double, "ppp.list", address="ppp0").code


@pytest.mark.parametrize("name", ["", "@7", "two\nlines", "\x1b[31m"])
def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    """A name is printable, and does not look like an id."""
    assert INVALID_PARAMS == refusal(example(), "tunnel.create", name=name).code
    assert INVALID_PARAMS == refusal(example(), "session.create", tunnel="hq1", name=name).code
