"""A document of any shape becomes the model's values or problems, without an exception."""

from hypothesis import given
from hypothesis import strategies as st

from l2tpd.config.checks import Checker
from l2tpd.config.document import Document
from l2tpd.config.keys import KEYS
from l2tpd.config.load import no_files
from l2tpd.config.model import Config, Listen, Peer, Pool, SessionSettings, System, TunnelInstance, TunnelSettings
from l2tpd.config.structure import Structurer

_values = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.floats(),
        st.dates(),
        st.text(max_size=10),
        st.sampled_from(
            ["192.0.2.1:1701", "fe80::1", "10.0.0.0/8", "2001:db8::/32", "lac", "l2tpv2", "udp", "x", "default"]
        ),
    ),
    lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.text(max_size=3), deeper, max_size=2),
    max_leaves=6,
)


def _table_of(*classes: type) -> st.SearchStrategy[object]:
    keys = [key for cls in classes for key in KEYS[cls]]
    return st.dictionaries(st.sampled_from(keys) | st.text(max_size=3), _values, max_size=6) | _values


def _named(table: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.dictionaries(st.sampled_from(["default", "x", "a b", ""]), table, max_size=3) | _values


_documents = st.fixed_dictionaries(
    {},
    optional={
        "system": _table_of(System),
        "listen": st.lists(_table_of(Listen), max_size=3) | _values,
        "peer": _named(_table_of(Peer)),
        "profile": st.dictionaries(
            st.sampled_from(["tunnel", "session", "pseudowire", "ppp", "x"]),
            _named(_table_of(TunnelSettings, SessionSettings)),
        ),
        "pool": _named(_table_of(Pool)),
        "tunnel": _named(_table_of(TunnelInstance, TunnelSettings)),
    },
)


@given(_documents, _documents)
def test_documents_of_nearly_the_right_shape(first: dict[str, object], second: dict[str, object]) -> None:
    """Known keys with any values, in two files: every outcome is a configuration with its list of problems, each of a file."""
    document = Document()
    document.add_tree("a.toml", first)
    document.add_tree("b.toml", second)
    config = Structurer(document, no_files).config()
    Checker(config, document).everything()

    assert isinstance(config, Config)
    assert {"a.toml", "b.toml", "a.toml, b.toml"} >= {problem.file for problem in document.problems}
