"""The views are the API: the keys that the contract promises are there, and none of them can hold a secret."""

import attrs

from l2tpd.control import views
from l2tpd.control.methods import plain


def names(cls: type[attrs.AttrsInstance]) -> set[str]:
    return {field.name for field in attrs.fields(cls)}


def test_a_row_of_a_tunnel_has_the_keys_of_the_contract() -> None:
    """Others rely on these."""
    promised = {"id", "peer_id", "name", "state", "version", "encap", "peer_address", "sessions", "origin"}
    assert promised <= names(views.TunnelRow)


def test_a_row_of_a_session_has_the_keys_of_the_contract() -> None:
    """Others rely on these."""
    promised = {"id", "peer_id", "tunnel_id", "name", "state", "pseudowire", "interface"}
    assert promised <= names(views.SessionRow)


def test_a_detail_view_has_all_keys_of_its_row() -> None:
    """What a list says of a tunnel or session, its detail says too."""
    assert names(views.TunnelRow) <= names(views.TunnelView)
    assert names(views.SessionRow) <= names(views.SessionView)


def test_no_view_has_a_field_for_a_secret() -> None:
    """Whether a secret is set may be told, the secret may not."""
    classes = [found for found in vars(views).values() if isinstance(found, type) and attrs.has(found)]
    assert [] == [cls.__name__ for cls in classes if "secret" in names(cls)]


def test_a_view_becomes_plain_values_within_and_without() -> None:
    """Nested views become objects, tuples lists, and nothing stays None that says something."""
    view = views.TunnelView(
        id=1,
        state="up",
        settings={"hello_timeout": 60.0, "framing_caps": ["sync"], "nested": {"deep": None}},
        remote=views.RemoteView(host_name="lac", framing_caps=("sync", "async")),
        ended=views.EndView(result=1, error=0, message="bye", by="peer"),
    )
    told = plain(view)
    assert isinstance(told, dict)
    assert {"hello_timeout": 60.0, "framing_caps": ["sync"], "nested": {"deep": None}} == told["settings"]
    assert {"result": 1, "error": 0, "message": "bye", "by": "peer"} == told["ended"]
    assert isinstance(told["remote"], dict)
    assert ["sync", "async"] == list(told["remote"]["framing_caps"])
