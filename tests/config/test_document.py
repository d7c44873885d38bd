"""Several texts are one document that remembers who said what."""

from l2tpd.config.document import Document, dotted


def test_paths_are_written_as_toml_writes_them() -> None:
    """Bare keys stand bare, others in quotes, places in arrays in brackets."""
    assert "tunnel.hq.peer" == dotted(("tunnel", "hq", "peer"))
    assert 'tunnel."a.b".peer' == dotted(("tunnel", "a.b", "peer"))
    assert "listen[1].address" == dotted(("listen", "[1]", "address"))
    assert 'peer."a\\nb\\""' == dotted(("peer", 'a\nb"'))


def test_the_file_of_a_key_is_the_one_that_says_it() -> None:
    """A key belongs to its own file although another file opened the table; what nobody says belongs to all."""
    document = Document()
    document.add_text("a", "[tunnel.x]\npersist = true")
    document.add_text("b", "[tunnel.x]\nlocal_port = 1")

    assert "a" == document.file_of(("tunnel", "x", "persist"))
    assert "b" == document.file_of(("tunnel", "x", "local_port"))
    assert "a" == document.file_of(("tunnel", "x"))
    assert "a, b" == document.file_of(("system",))
    assert {"tunnel": {"x": {"persist": True, "local_port": 1}}} == document.tree


def test_a_value_does_not_replace_a_table() -> None:
    """A key that is a table here and a number there is said twice."""
    document = Document()
    document.add_text("a", "[tunnel.x]\npersist = true")
    document.add_text("b", "tunnel = 1")
    assert ["b: tunnel: is said in a too"] == [str(problem) for problem in document.problems]
