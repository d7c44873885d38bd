"""The OpenRPC description follows from the method table and describes every parameter."""

from typing import Any

from l2tpd.control.methods import METHODS
from l2tpd.control.openrpc import document, schema_of
from l2tpd.control.params import KINDS, Kinds, Page, TunnelFilter
from l2tpd.control.views import TunnelView

DOCUMENT: Any = document(METHODS.values(), "0.1")
DESCRIBED: dict[str, Any] = {row["name"]: row for row in DOCUMENT["methods"]}


def test_every_method_is_described() -> None:
    """Each with a sentence, what it takes, what it returns and which right it needs."""
    assert list(METHODS) == list(DESCRIBED)
    for row in DESCRIBED.values():
        assert row["summary"].endswith(".")
        assert row["x-access"] in {"read", "write"}
        assert row["result"]["schema"] != {}


def test_what_a_create_takes_are_the_keys_of_the_configuration() -> None:
    """The types are those of the model, so that a client can read `--hello-timeout 30` as a number."""
    keys = {p["name"]: p for p in DESCRIBED["tunnel.create"]["params"]}["keys"]["schema"]["properties"]
    assert {"type": "number"} == keys["hello_timeout"]
    assert {"type": "string"} == keys["secret"]
    assert {"type": "boolean"} == keys["hide_avps"]
    assert {"type": "string"} == keys["peer"]
    assert {"type": "string", "enum": ["l2tpv2", "l2tpv3", "auto"]} == keys["version"]
    assert {"type": "string", "enum": ["none", "hmac-md5", "hmac-sha1"]} == keys["digest"]
    assert "said" not in keys
    keys = {p["name"]: p for p in DESCRIBED["session.create"]["params"]}["keys"]["schema"]["properties"]
    assert {"type": "string"} == keys["called_number"]
    assert ({"type": "string"}, {"type": "integer"}) == (keys["cookie"], keys["session_id"])
    assert ({"type": "string"}, {"type": "integer"}) == (keys["remote_end_id"], keys["cookie_size"])
    assert {"type": "string", "enum": ["lac", "lns"]} == keys["role"]
    assert {"anyOf": [{"type": "integer"}, {"type": "null"}]} == keys["physical_channel_id"]


def test_required_parameters_are_marked() -> None:
    """`tunnel` must be given, `reason` need not."""
    taken = {p["name"]: p["required"] for p in DESCRIBED["tunnel.delete"]["params"]}
    assert {"tunnel": True, "reason": False} == taken


def test_types_become_schemas() -> None:
    """Words become an enumeration, lists arrays, views objects."""
    assert {
        "type": "object",
        "properties": {"cursor": schema_of(str | None), "limit": {"type": "integer"}},
    } == schema_of(Page)
    kinds: Any = schema_of(Kinds)
    assert {"type": "string", "enum": list(KINDS)} == kinds["properties"]["tunnel"]["items"]
    view: Any = schema_of(TunnelView)
    assert {"type": "object"} == view["properties"]["settings"]
    assert "ns" in view["properties"]["transport"]["properties"]
    wanted: Any = schema_of(TunnelFilter)
    assert {"type": "string", "enum": ["local", "network"]} == wanted["properties"]["origin"]["anyOf"][0]
