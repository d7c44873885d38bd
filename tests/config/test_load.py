"""Texts and files become one checked configuration, or all that is wrong with them."""

import re
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.config import model
from l2tpd.config.contradictions import called
from l2tpd.config.load import load, parse, read_secret_file, said_session, said_tunnel, warnings
from l2tpd.config.model import (
    Address,
    Config,
    DataPlane,
    Encapsulation,
    HostPort,
    Mode,
    Peer,
    Pool,
    Pseudowire,
    Role,
    SessionInstance,
    System,
    TunnelInstance,
    Version,
)
from l2tpd.errors import ConfigError

MANUAL = Path(model.__file__).parents[1] / "man" / "l2tpd.toml.5.md"

EVERYTHING = """
[system]
hostname = "lns.example"
data_plane = "auto"
control_socket = "/run/l2tpd/control.sock"
script_directory = "/etc/l2tpd"
log_level = "notice"
max_tunnels = 0
max_sessions = 0

[[listen]]
address = "0.0.0.0:1701"
encap = "udp"

[peer.default]
accept = true
roles = ["lac", "lns"]
secret = "s3cret"
tunnel_profile = "default"
session_profile = "default"

[profile.tunnel.default]
hello_timeout = 60
retry_timeout = 1.0
max_retries = 5
receive_window = 128
hide_avps = false

[profile.session.default]
pseudowire_profile = "default"

[profile.ppp.default]
local_address = "10.0.0.1"
pool = "subscribers"

[pool.subscribers]
range = "10.0.0.2-10.0.255.254"

[tunnel.hq]
peer = "192.0.2.1:1701"
version = "l2tpv2"
encap = "udp"
secret = "s3cret"
persist = true

[tunnel.hq.session.branch]
pseudowire = "ppp"
interface_name = "ppp-hq"
"""


def problems(*texts: str) -> list[str]:
    """List what is wrong with texts named a.toml, b.toml …, one line a problem."""
    with pytest.raises(ConfigError) as caught:
        parse([(f"{chr(97 + index)}.toml", text) for index, text in enumerate(texts)])
    return [str(problem) for problem in caught.value.problems]


def test_every_table_of_the_interface_is_understood() -> None:
    """The example that uses every table comes out as the model's values, with seconds as floats and words as enumerations."""
    config = parse([("l2tpd.toml", EVERYTHING)])

    assert System(hostname="lns.example", data_plane=DataPlane.AUTO) == config.system
    assert [Address("0.0.0.0", 1701)] == [listener.address for listener in config.listen]  # noqa: S104
    assert {"default": Peer(secret="s3cret", roles=(Role.LAC, Role.LNS))} == config.peers
    assert 60.0 == config.tunnel_profiles["default"]["hello_timeout"]
    assert float is type(config.tunnel_profiles["default"]["hello_timeout"])
    assert {"default": {"local_address": "10.0.0.1", "pool": "subscribers"}} == config.ppp_profiles
    assert {"subscribers": Pool(range="10.0.0.2-10.0.255.254")} == config.pools
    branch = SessionInstance(name="branch", said={"pseudowire": Pseudowire.PPP, "interface_name": "ppp-hq"})
    hq = TunnelInstance(
        name="hq", peer=HostPort("192.0.2.1", 1701), said={"secret": "s3cret"}, sessions={"branch": branch}
    )
    assert {"hq": hq} == config.tunnels


def test_an_empty_configuration_is_the_defaults() -> None:
    """Nothing said is nothing wrong."""
    assert Config() == parse([])
    assert Config() == parse([("l2tpd.toml", "")])


def test_a_session_takes_its_tunnels_session_profile() -> None:
    """A session that names no profile has the one of its tunnel's `session_profile`."""
    text = '[profile.session.gold]\n[tunnel.a]\npeer = "192.0.2.1"\nsession_profile = "gold"\n[tunnel.a.session.s]\n'
    assert "gold" == parse([("a", text)]).tunnels["a"].sessions["s"].profile


STATIC = """
[profile.pseudowire.lan]
bridge = "br0"
mtu = 1400

[tunnel.site]
peer = "[2001:db8::2]"
local = "2001:db8::1"
version = "l2tpv3"
encap = "ip"
mode = "static"
tunnel_id = 1
peer_tunnel_id = 2

[tunnel.site.session.lan]
pseudowire = "eth-vlan"
pseudowire_profile = "lan"
interface_name = "site0"
session_id = 10
peer_session_id = 20
cookie = "0x0011223344556677"
peer_cookie = "8899AABB"
vlan_id = 7
"""


def test_a_static_pseudowire_is_understood() -> None:
    """Identifiers and cookies come out as numbers and octets; a peer over IP has no port."""
    site = parse([("l2tpd.toml", STATIC)]).tunnels["site"]
    said = {
        "pseudowire": Pseudowire.ETH_VLAN,
        "pseudowire_profile": "lan",
        "interface_name": "site0",
        "session_id": 10,
        "peer_session_id": 20,
        "cookie": bytes.fromhex("0011223344556677"),
        "peer_cookie": bytes.fromhex("8899aabb"),
        "vlan_id": 7,
    }
    expected = TunnelInstance(
        name="site",
        peer=HostPort("2001:db8::2", 0),
        local="2001:db8::1",
        version=Version.L2TPV3,
        encap=Encapsulation.IP,
        mode=Mode.STATIC,
        tunnel_id=1,
        peer_tunnel_id=2,
        sessions={"lan": SessionInstance(name="lan", said=said)},
    )
    assert expected == site


def test_all_mistakes_are_told_at_once() -> None:
    """Every mistake is listed with its file and key path, in one go."""
    text = '[system]\nmax_tunnel = 5\ndrain = 1\n[tunnel."a.b"]\n[profile.tunnel.x]\nretry_cap = 4\n'
    expected = [
        "a.toml: profile.tunnel.x.retry_cap: must be at least 8 (RFC 2661 5.8), not the float 4.0",
        "a.toml: system.max_tunnel: no such key; did you mean `max_tunnels`?",
        "a.toml: system.drain: must be `true` or `false`, not the integer 1",
        'a.toml: tunnel."a.b": `peer` is missing',
    ]
    assert expected == problems(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[sistem]", "sistem: no such table; did you mean `system`?"),
        ("system = 3", "system: must be a table, not the integer 3"),
        ("[listen]", "listen: must be an array of tables, written `[[listen]]`, not a table"),
        ("[[listen]]", "listen[0]: `address` is missing"),
        ("listen = [1]", "listen[0]: must be a table, not the integer 1"),
        ("profile = 1", "profile: must be a table, not the integer 1"),
        ("[profile.tunel.x]", "profile.tunel: no such kind of profile; did you mean `tunnel`?"),
        ("[peer]\nx = 1", "peer.x: must be a table, not the integer 1"),
        ("peer = []", "peer: must hold named tables, not an array"),
        ("[pool.x]", "pool.x: `range` is missing"),
        ('[tunnel."@1"]\npeer = "192.0.2.1"', 'tunnel."@1": a name may not begin with `@`'),
        ('[tunnel.a]\npeer = "192.0.2.1"\nsession = 3', "tunnel.a.session: must hold named tables, not the integer 3"),
    ],
)
def test_a_misplaced_table_is_told(text: str, expected: str) -> None:
    """What is no table where one belongs, a table that nobody knows and a key that must be there have each their sentence."""
    assert [f"a.toml: {expected}"] == problems(text)


def test_a_word_of_a_later_version_is_refused_as_such() -> None:
    """The interface has words that this version cannot serve yet: it says so and lists what it can."""
    text = "`pppac` is not available in this version (available: `ppp`, `eth`, `eth-vlan`)"
    found = problems('[tunnel.a]\npeer = "192.0.2.1"\nsession.s.pseudowire = "pppac"')
    assert [f"a.toml: tunnel.a.session.s.pseudowire: {text}"] == found


def test_a_syntax_error_names_its_line() -> None:
    """What is not TOML is told with its line; the other files are checked all the same."""
    found = problems("[system]\nhostname = lns", "[system]\ndrain = 0")
    assert "a.toml: is not TOML: Invalid value (at line 2, column 12)" == found[0]
    assert "b.toml: system.drain: must be `true` or `false`, not the integer 0" == found[1]


def test_what_the_parser_itself_cannot_take_is_a_problem() -> None:
    """Nesting without end and integers of thousands of digits are told, not raised."""
    assert problems("a = " + "[" * 100_000)[0].startswith("a.toml: is ")
    assert problems("a = " + "9" * 10_000)[0].startswith("a.toml: holds a value that cannot be read")


# -- several files ------------------------------------------------------------------------------------------------------------------------


def test_a_table_may_be_spread_over_files() -> None:
    """Two files may add keys to one table and listeners to the list."""
    config = parse(
        [
            ("a.toml", '[tunnel.a]\npeer = "192.0.2.1"\n[[listen]]\naddress = "192.0.2.9"\n'),
            ("b.toml", '[tunnel.a]\nlocal_port = 1701\n[[listen]]\naddress = "192.0.2.8"\n'),
        ]
    )
    assert 1701 == config.tunnels["a"].local_port
    assert ["192.0.2.9", "192.0.2.8"] == [listener.address.host for listener in config.listen]


def test_the_same_key_twice_names_both_files() -> None:
    """A key that two files say is nobody's."""
    found = problems("[system]\nmax_tunnels = 1", "[system]\nmax_tunnels = 1")
    assert ["b.toml: system.max_tunnels: is said in a.toml too"] == found


def test_a_problem_is_told_of_the_file_that_says_it() -> None:
    """After merging, each mistake still belongs to its own file."""
    found = problems(
        '[tunnel.a]\npeer = "192.0.2.1"\nmtu = 1\n[[listen]]\naddress = "x"',
        "[tunnel.a]\ntrace = 1\n[[listen]]\nport = 1",
    )
    expected = [
        "a.toml: listen[0].address: `x` is not an IPv4 or IPv6 address",
        "b.toml: listen[1].port: no such key",
        "b.toml: listen[1]: `address` is missing",
        "a.toml: tunnel.a.mtu: no such key",
        "b.toml: tunnel.a.trace: must be an array, not the integer 1",
    ]
    assert expected == found


def test_a_directory_is_read_in_sorted_order(tmp_path: Path) -> None:
    """Every `*.toml` of the directory counts, hidden files and others do not."""
    (tmp_path / "20.toml").write_text('[[listen]]\naddress = "192.0.2.2"')
    (tmp_path / "10.toml").write_text('[[listen]]\naddress = "192.0.2.1"')
    (tmp_path / ".30.toml").write_text("no TOML")
    (tmp_path / "README").write_text("no TOML")
    assert ["192.0.2.1", "192.0.2.2"] == [listener.address.host for listener in load(tmp_path).listen]


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """Missing, empty directory, not UTF-8, a pipe's like: each is a sentence with the path."""
    missing, latin = tmp_path / "no.toml", tmp_path / "sub" / "latin.toml"
    latin.parent.mkdir()
    found = []
    for path in (missing, latin.parent, Path("/dev/null")):
        with pytest.raises(ConfigError) as caught:
            load(path)
        found.append(str(caught.value))
    latin.write_bytes(b"# one\n# \xe9\n")
    with pytest.raises(ConfigError) as caught:
        load(latin.parent)
    expected = [
        f"{missing}: cannot be read: No such file or directory",
        f"{latin.parent}: holds no `*.toml` file",
        "/dev/null: is not a regular file",
        f"{latin}: is not UTF-8 (at line 2)",
    ]
    assert expected == [*found, str(caught.value)]


def test_a_path_that_the_system_refuses_is_told() -> None:
    """A file name beyond the system's limit is a problem like any other."""
    with pytest.raises(ConfigError, match=r"cannot be read: File name too long$"):
        load(Path("x" * 300))


def test_the_examples_of_the_manual_load() -> None:
    """Who copies the examples of l2tpd.toml(5) gets tunnels, sessions and a peer entry with their secrets."""
    texts = re.findall(r"```toml\n(.*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
    files = [(f"/etc/l2tpd/{number}.toml", text) for number, text in enumerate(texts)]
    config = parse(files, read_secret=lambda file: f"of {file}")
    assert "of /etc/l2tpd/branches.secret" == config.peers["branches"].secret
    assert "of /etc/l2tpd/hq.secret" == config.tunnels["hq"].said["secret"]
    assert ["branch"] == list(config.tunnels["hq"].sessions)
    assert bytes.fromhex("8d4f3c0a") == config.tunnels["site"].sessions["lan"].said["cookie"]
    assert [Address("::", 1701), Address("192.0.2.1", 0)] == [listener.address for listener in config.listen]
    assert (Version.L2TPV3,) == config.peers["site"].versions
    assert HostPort("192.0.2.9", 0) == config.tunnels["other-site"].peer


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    """A file of 65 MiB is refused by its size."""
    huge = tmp_path / "huge.toml"
    with huge.open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    with pytest.raises(ConfigError, match="has 68157440 octets; the limit is 67108864"):
        load(huge)


def test_a_byte_order_mark_is_overlooked(tmp_path: Path) -> None:
    """A file that an editor opened with a byte order mark loads."""
    file = tmp_path / "l2tpd.toml"
    file.write_bytes(b"\xef\xbb\xbf[system]\ndrain = true\n")
    assert load(file).system.drain


# -- secrets ------------------------------------------------------------------------------------------------------------------------------


def test_a_secret_file_is_read_beside_the_file_that_names_it(tmp_path: Path) -> None:
    """The first line lands in `secret`, without its line end; the path stays to be shown."""
    secret = tmp_path / "hq.secret"
    secret.write_text("s3cret\r\nsecond line\n")
    secret.chmod(0o600)
    file = tmp_path / "l2tpd.toml"
    file.write_text('[peer.default]\nsecret_file = "hq.secret"\n')
    assert {"default": Peer(secret="s3cret", secret_file=secret)} == load(file).peers


def test_a_secret_file_open_to_others_is_refused(tmp_path: Path) -> None:
    """Group and others may have no access at all."""
    secret = tmp_path / "s"
    secret.write_text("s3cret\n")
    secret.chmod(0o640)
    file = tmp_path / "l2tpd.toml"
    file.write_text('[peer.default]\nsecret_file = "s"\n')
    with pytest.raises(ConfigError) as caught:
        load(file)
    told = "others than its owner have access (mode 0640); use `chmod 600`"
    assert f"{file}: peer.default.secret_file: {secret}: {told}" == str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"), [("\nx", "its first line is empty"), ("a\0b", "its first line holds a NUL")]
)
def test_a_secret_file_without_a_secret_is_refused(tmp_path: Path, content: str, expected: str) -> None:
    """An empty first line would mean no secret at all."""
    secret = tmp_path / "s"
    secret.write_text(content)
    secret.chmod(0o600)
    with pytest.raises(ValueError, match=expected):
        read_secret_file(secret)


def test_secret_and_secret_file_exclude_each_other() -> None:
    """Who says both leaves open which of them holds; who parses texts alone cannot read files."""
    found = problems(
        '[peer.a]\nhost_name = "a"\nsecret = "x"\nsecret_file = "y"', '[peer.b]\nhost_name = "b"\nsecret_file = "y"'
    )
    expected = [
        "a.toml: peer.a.secret_file: `secret` is said as well: which of them holds?",
        "b.toml: peer.b.secret_file: y: a `secret_file` cannot be read here; say `secret`",
    ]
    assert expected == found


def test_warnings_tell_of_users_whom_nobody_asks_for(tmp_path: Path) -> None:
    """As long as no PPP profile names them as who knows the callers."""
    file = tmp_path / "a.toml"
    file.write_text('[user.x]\npassword = "s"\n[profile.ppp.default]\nauth = "pap"\n')
    file.chmod(0o600)
    expected = f'{file}: user: no PPP profile says `authority = "users"`, so nobody asks for these'
    assert [expected] == [str(warning) for warning in warnings(file, load(file))]
    file.write_text(file.read_text() + 'authority = "users"\n')
    assert () == warnings(file, load(file))


def test_warnings_tell_of_secrets_in_open_files_and_of_idle_peers(tmp_path: Path) -> None:
    """A readable secret, a writable file and a peer entry without a rule are worth a look; a commented secret is not."""
    file = tmp_path / "a.toml"
    file.write_text('[peer.x]\nsecret = "s"\n')
    file.chmod(0o646)
    (tmp_path / "b.toml").write_text('# secret = "s"\n')
    (tmp_path / "b.toml").chmod(0o644)
    expected = [
        f"{file}: holds a secret and everybody can read it (mode 0646)",
        f"{file}: everybody can write it (mode 0646)",
        f"{tmp_path}: peer.x: has neither `match` nor `host_name`, so no caller belongs to it",
    ]
    assert expected == [str(warning) for warning in warnings(tmp_path, load(tmp_path))]
    assert () == warnings(tmp_path / "gone.toml", Config())
    file.chmod(0o600)
    assert expected[2:] == [str(warning) for warning in warnings(tmp_path, load(tmp_path))]


# -- requests -----------------------------------------------------------------------------------------------------------------------------


def test_a_request_is_checked_as_a_file_is() -> None:
    """What `create tunnel` says becomes the instance that a file would have made."""
    tunnel = said_tunnel({"name": "hq", "peer": "lns.example", "hello_timeout": 10, "session": {"s": {}}})
    session = SessionInstance(name="s")
    expected = TunnelInstance(
        name="hq", peer=HostPort("lns.example", 1701), said={"hello_timeout": 10.0}, sessions={"s": session}
    )
    assert expected == tunnel


def test_a_bad_request_is_told_of_the_request() -> None:
    """Mistakes of a request carry `request` for a file; its files are not read; its profiles must exist."""
    with pytest.raises(ConfigError) as caught:
        said_tunnel({"name": "@1", "hello": 1, "secret_file": "/etc/shadow"})
    expected = [
        "request: name: a name may not begin with `@`",
        "request: hello: no such key",
        "request: secret_file: /etc/shadow: a `secret_file` cannot be read here; say `secret`",
        "request: `peer` is missing",
    ]
    assert expected == [str(problem) for problem in caught.value.problems]
    with pytest.raises(ConfigError, match=r"^request: profile: there is no `\[profile.tunnel.gold\]`$"):
        said_tunnel({"peer": "192.0.2.1", "profile": "gold"})


def test_a_requested_session_takes_the_tunnels_profile() -> None:
    """`create session` goes by the tunnel's session profile unless it names one, which then must exist."""
    assert SessionInstance(name="", profile="gold", said={"persist": True}) == said_session(
        {"persist": True}, Config(session_profiles={"gold": {}}), "gold"
    )
    with pytest.raises(ConfigError, match=r"^request: profile: there is no `\[profile.session.x\]`$"):
        said_session({"profile": "x"})


def test_a_requested_static_pseudowire_is_checked_against_the_configuration() -> None:
    """Identifiers that the configuration uses are taken for those that operators create, and the other way round."""
    config = parse([("l2tpd.toml", STATIC)])
    keys = {"version": "l2tpv3", "encap": "ip", "mode": "static", "peer_tunnel_id": 2, "peer": "192.0.2.1"}
    with pytest.raises(ConfigError, match=r"^request: tunnel_id: `1` belongs to `\[tunnel.site\]` already$"):
        said_tunnel({**keys, "tunnel_id": 1}, config)
    tunnel = said_tunnel({**keys, "tunnel_id": 3, "name": "t"}, config)
    session = {"pseudowire": "eth", "peer_session_id": 1}
    with pytest.raises(ConfigError, match=r"session_id: `10` belongs to `\[tunnel.site.session.lan\]` already$"):
        said_session({**session, "session_id": 10}, config, tunnel=tunnel)
    added = said_session({**session, "session_id": 11}, config, tunnel=tunnel)
    assert 11 == added.said["session_id"]
    holding = attrs.evolve(tunnel, sessions={"a": added})
    with pytest.raises(ConfigError, match=r"session_id: `11` belongs to `\[tunnel.t.session.a\]` already$"):
        said_session({**session, "session_id": 11}, config, tunnel=holding)


def test_a_session_requested_in_a_callers_tunnel_is_one_of_its_version() -> None:
    """There is no Ethernet pseudowire in the tunnel of a caller who speaks L2TPv2, or of whom nothing is known; L2TPv3 has no Called Number."""
    with pytest.raises(ConfigError, match=r'^request: pseudowire: L2TPv2 carries `"ppp"` alone'):
        said_session({"pseudowire": "eth"})
    with pytest.raises(ConfigError, match=r'^request: pseudowire: L2TPv2 carries `"ppp"` alone'):
        said_session({"pseudowire": "eth"}, tunnel=called(Version.L2TPV2))
    said = {"pseudowire": "eth", "remote_end_id": "lan", "cookie_size": 4}
    assert {**said, "pseudowire": Pseudowire.ETH} == said_session(said, tunnel=called(Version.L2TPV3)).said
    with pytest.raises(ConfigError, match=r"^request: called_number: has no use here: only L2TPv2 says it"):
        said_session({"called_number": "5"}, tunnel=called(Version.L2TPV3))


# -- anything at all ----------------------------------------------------------------------------------------------------------------------

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=12),
    st.sampled_from(["192.0.2.1", "[::1]:1701", "10.0.0.0/8", "default", "lac", "auto", "a-b", "0660"]),
)
_names = st.one_of(
    st.sampled_from(
        [
            "system",
            "listen",
            "peer",
            "profile",
            "pool",
            "tunnel",
            "session",
            "default",
            "match",
            "secret",
            "secret_file",
            "address",
            "range",
            "hide_avps",
            "trace",
            "roles",
            "local",
            "control_mode",
            "name",
            "quirks",
            "physical_channel_id",
            "[0]",
        ]
    ),
    st.text(max_size=6),
)
_trees = st.dictionaries(
    _names,
    st.recursive(
        _scalars,
        lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(_names, deeper, max_size=4),
        max_leaves=20,
    ),
    max_size=6,
)


@given(_trees)
def test_any_request_gives_a_value_or_a_config_error(tree: dict[str, object]) -> None:
    """Whatever a client sends, the answer is an instance or a list of mistakes."""
    for said in (said_tunnel, said_session):
        try:
            said(tree)
        except ConfigError as error:
            assert error.problems  # noqa: PT017


@given(
    st.lists(
        st.text(max_size=60) | st.sampled_from([EVERYTHING, EVERYTHING[:300], '[peer."a"]\nmatch=["::/0"]']), max_size=3
    )
)
def test_any_texts_give_a_config_or_a_config_error(texts: list[str]) -> None:
    """Whatever the files hold, loading ends with a configuration or with a list of mistakes."""
    try:
        assert isinstance(parse([(f"{index}.toml", text) for index, text in enumerate(texts)]), Config)
    except ConfigError as error:
        assert error.problems  # noqa: PT017
