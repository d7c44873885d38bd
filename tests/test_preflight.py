"""What `l2tpctl check` finds out about a machine and a configuration."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from l2tpctl.commands import l2tpctl
from l2tpctl.options import DEFAULT_CONFIG
from l2tpd import app, preflight
from l2tpd.config.load import parse
from l2tpd.preflight import Finding, Machine, Verdict
from pair import free_port, listen, udp

SYSTEM = '[system]\ndata_plane = "null"\ncontrol_socket = "{path}/run/control.sock"\n'


def found(tmp_path: Path, text: str, topic: str, *, system: str = "") -> list[Finding]:
    """Check a configuration; return what was found out about a topic."""
    file = tmp_path / "l2tpd.toml"
    file.write_text(SYSTEM.format(path=tmp_path) + system + text)
    return [finding for finding in preflight.examine(file) if finding.topic == topic]


def verdicts(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.verdict.value, finding.text) for finding in findings]


# --- the configuration


def test_a_correct_configuration_is_called_so(tmp_path: Path) -> None:
    """With what deserves a look in it."""
    (well, odd) = found(tmp_path, "[peer.x]\n", "configuration")
    assert (Verdict.OK, Verdict.WARNING) == (well.verdict, odd.verdict)
    assert "peer.x: has neither `match` nor `host_name`" in odd.text


def test_every_mistake_is_told_and_the_machine_is_checked_nevertheless(tmp_path: Path) -> None:
    """As `l2tpd -n` tells them."""
    file = tmp_path / "l2tpd.toml"
    file.write_text('[system]\nhostnam = "x"\nmax_tunnels = "many"\n')
    findings = list(preflight.examine(file))
    wrong = [finding.text for finding in findings if finding.topic == "configuration"]
    assert [True, True] == [text.startswith(f"{file}: system.") for text in wrong]
    assert {"data plane", "capabilities", "open files"} <= {finding.topic for finding in findings}


def test_a_machine_that_does_not_tell_of_its_processes(tmp_path: Path) -> None:
    """Without /proc nobody knows what this user may do: that is a finding, and the other checks go on."""
    (tmp_path / "l2tpd.toml").write_text(SYSTEM.format(path=tmp_path))
    program = "import sys; from pathlib import Path; from l2tpd import preflight; print(*preflight.examine(Path(sys.argv[1])), sep=chr(10))"
    words = [sys.executable, "-c", program, os.fspath(tmp_path / "l2tpd.toml")]
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    if os.geteuid() or subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode:
        pytest.skip("it takes root to hide /proc")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    told = subprocess.run([*hidden, *words], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert "they cannot be read: " in told.stdout
    assert "topic='open files'" in told.stdout


def test_a_control_socket_where_this_user_may_not_look(tmp_path: Path) -> None:
    """It cannot be made there: a finding as any other."""
    if os.geteuid():
        pytest.skip("it takes root to become somebody else")
    (tmp_path / "closed").mkdir(mode=0o700)
    machine = Machine(config=parse([("made", f'[system]\ncontrol_socket = "{tmp_path}/closed/run/control.sock"\n')]))
    os.seteuid(65534)
    try:
        (finding,) = preflight._control_socket(machine)
    finally:
        os.seteuid(0)
    assert (Verdict.ERROR, True) == (finding.verdict, "cannot be made" in finding.text)


def test_a_control_socket_whose_path_is_too_long(tmp_path: Path) -> None:
    """The daemon would not start: a finding as any other."""
    file = tmp_path / "l2tpd.toml"
    file.write_text(SYSTEM.format(path=tmp_path / ("x" * 100)))
    (finding,) = (one for one in preflight.examine(file) if one.topic == "control socket")
    assert (Verdict.ERROR, True) == (finding.verdict, "longer than 107 octets" in finding.text)


# --- addresses


def test_a_listener_is_tried(tmp_path: Path) -> None:
    """One that can be had, one that somebody has, one that is not ours."""
    with udp() as taken:
        port, other = taken.getsockname()[1], free_port()
        text = listen(other) + listen(port) + listen(other, "192.0.2.77")
        well, held, foreign = found(tmp_path, text, "listeners")
    assert ("ok", f"127.0.0.1:{other} (udp) can be had") == (well.verdict.value, well.text)
    assert ("error", f"cannot listen on 127.0.0.1:{port}: Address already in use") == (held.verdict.value, held.text)
    assert "ss -lnup" in held.remedy
    assert Verdict.ERROR is foreign.verdict


@pytest.mark.parametrize(("backlog", "callers"), [(8, 0), (0, 3)])
def test_what_a_running_daemon_has_is_left_alone(tmp_path: Path, backlog: int, callers: int) -> None:
    """Its listeners are not tried, and are no error although they are taken; also while more call it than it answers."""
    (tmp_path / "run").mkdir()
    path = str(tmp_path / "run" / "control.sock")
    with socket.socket(socket.AF_UNIX) as daemon, udp() as taken, ExitStack() as crowd:
        daemon.bind(path)
        daemon.listen(backlog)
        for _ in range(callers):
            crowd.enter_context(caller := socket.socket(socket.AF_UNIX)).setblocking(False)
            caller.connect_ex(path)
        text = listen(taken.getsockname()[1])
        (listener,) = found(tmp_path, text, "listeners")
        (control,) = found(tmp_path, text, "control socket")
    assert (Verdict.OK, True) == (listener.verdict, "was not tried" in listener.text)
    assert (Verdict.OK, True) == (control.verdict, "a daemon answers" in control.text)


@pytest.mark.parametrize(
    ("key", "who"), [("control_owner", "user `nobody-here`"), ("control_group", "group `nobody-here`")]
)
def test_who_shall_own_the_control_socket_exists(tmp_path: Path, key: str, who: str) -> None:
    """A name that nobody has is an error; no name, a number and root are not."""
    (bad,) = found(tmp_path, "", "control socket", system=f'{key} = "nobody-here"\n')
    assert (Verdict.ERROR, True) == (bad.verdict, bad.text.endswith(f"there is no {who}"))
    for name in ("", "0", "root"):
        (well,) = found(tmp_path, "", "control socket", system=f'{key} = "{name}"\n')
        assert Verdict.OK is well.verdict


# --- limits and rights


@pytest.mark.parametrize(("sessions", "verdict"), [(10, "warning"), (1000, "error")])
def test_open_files_are_compared_with_what_is_configured(tmp_path: Path, sessions: int, verdict: str) -> None:
    """Too few for the configured limits is an error, few in any case a warning. What lowers its limit is a process of its own: it cannot go back."""
    file = tmp_path / "l2tpd.toml"
    file.write_text(SYSTEM.format(path=tmp_path) + f"max_sessions = {sessions}\n")
    roots = [str(Path(__file__).parents[1] / part) for part in ("", "cli")]
    check = [sys.executable, "-m", "l2tpctl", "--json", "check", "-c", str(file)]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 500 && exec "$@"', "sh", *check],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(roots)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    (finding,) = [one for one in json.loads(done.stdout)["findings"] if one["topic"] == "open files"]
    assert (verdict, True) == (finding["verdict"], "LimitNOFILE=" in finding["remedy"])
    assert "500 files" in finding["text"]


def test_descriptors_are_counted_by_limits_or_by_what_is_opened() -> None:
    """A tunnel takes one, a session three; what the configuration opens is the least."""
    text = '[tunnel.a]\npeer = "192.0.2.1"\n[tunnel.a.session.s]\n[tunnel.a.session.t]\n'
    few, many = (preflight.descriptors(parse([("x", head + text)])) for head in ("", "[system]\nmax_tunnels = 100\n"))
    assert (99, 7) == (many - few, few - preflight.descriptors(parse([("x", "")])))


def test_capabilities_are_read_as_the_kernel_tells_them() -> None:
    """A hexadecimal mask; where there is no such line, none."""
    assert 0x3000 == preflight._effective("Name:\tx\nCapEff:\t0000000000003000\nCapBnd:\t1\n")
    assert 0 == preflight._effective("")


@pytest.mark.parametrize(
    ("plane", "ipv6", "lacks"),
    [("kernel", "true", True), ("", "true", True), ("user", "true", False), ("kernel", "false", False)],
)
def test_subscribers_of_the_kernel_are_heard_by_a_right(
    monkeypatch: pytest.MonkeyPatch, plane: str, ipv6: str, lacks: bool
) -> None:
    """Whoever lacks it is told; it takes no such right where their packets come to the process, or where nobody asks over IPv6."""
    monkeypatch.setattr(preflight, "_effective", lambda _status: 1 << 12 | 1 << 10)
    machine = Machine(config=parse([("x", f"[profile.ppp.a]\nipv6 = {ipv6}\n")]), plane=plane)
    assert lacks is any("lacks CAP_NET_RAW" in finding.text for finding in preflight._capabilities(machine))


# --- the kernel


def test_modules_are_known_by_their_files(tmp_path: Path) -> None:
    """Installed or built in, compressed or not; `-` and `_` are the same."""
    (tmp_path / "modules.dep").write_text("kernel/net/l2tp/l2tp_ppp.ko.xz: kernel/net/l2tp/l2tp_core.ko\n")
    (tmp_path / "modules.builtin").write_text("kernel/net/l2tp/l2tp-eth.ko\n")
    assert {"l2tp_ppp", "l2tp_eth"} == preflight._known_modules(tmp_path)
    assert set() == preflight._known_modules(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("", set()),
        ("[peer.default]\n", {"l2tp_ppp"}),
        ('[peer.default]\n[profile.ppp.default]\nmppe = "require"\n', {"l2tp_ppp", "ppp_mppe"}),
        ('[peer.default]\n[profile.ppp.default]\nmppe = "allow"\n', {"l2tp_ppp"}),
        ("[peer.default]\naccept = false\n", set()),
        ('[profile.session.default]\npseudowire = "eth"\n[peer.default]\n', {"l2tp_eth"}),
        ('[[listen]]\naddress = "[::]"\nencap = "ip"\n', {"l2tp_ip6"}),
        ('[tunnel.a]\npeer = "192.0.2.1"\nversion = "l2tpv3"\nencap = "ip"\n', {"l2tp_ip"}),
    ],
)
def test_modules_are_those_that_the_configuration_needs(text: str, modules: set[str]) -> None:
    """By what sessions carry, ours and callers', and by what carries the tunnels."""
    assert modules == set(preflight._needed_modules(parse([("x", text)])))


def test_a_missing_module_is_an_error_where_the_kernel_moves_packets() -> None:
    """And nothing where it does not. No kernel is without L2TP and has PPP over it, so that one of both is always to be told."""
    machine = Machine(config=parse([("x", "[peer.default]\n")]), plane="kernel")
    (finding,) = preflight._modules(machine)
    assert ("kernel modules", True) == (finding.topic, finding.text.startswith("l2tp_ppp "))
    assert [] == list(preflight._modules(attrs.evolve(machine, plane="user")))


@pytest.mark.parametrize(
    ("text", "plane", "verdict"),
    [
        ("[peer.default]\n", "kernel", None),
        ('[peer.default]\n[profile.ppp.default]\nppp_engine = "pppd"\n', "user", Verdict.ERROR),
        (
            '[profile.session.default]\npseudowire = "eth"\n[peer.default]\n[profile.ppp.default]\nppp_engine = "pppd"\n',
            "kernel",
            None,
        ),
    ],
)
def test_pppd_is_looked_for_where_it_is_configured(text: str, plane: str, verdict: Verdict | None) -> None:
    """Only sessions that carry PPP have a use for it, and only in the kernel's data plane can it run."""
    findings = list(preflight._pppd(Machine(config=parse([("x", text)]), plane=plane)))
    assert ([] if verdict is None else [verdict]) == [finding.verdict for finding in findings]


@pytest.mark.parametrize(
    ("program", "plugin", "verdict"), [(True, True, "ok"), (True, False, "warning"), (False, True, "error")]
)
def test_pppd_and_its_plugin_are_files(tmp_path: Path, program: bool, plugin: bool, verdict: str) -> None:
    """Both have to be there; a plugin may be where we do not look."""
    if program:
        (tmp_path / "pppd").touch(0o755)
    if plugin:
        (tmp_path / "lib64" / "pppd" / "2.4.9").mkdir(parents=True)
        (tmp_path / "lib64" / "pppd" / "2.4.9" / "pppol2tp.so").touch()
    assert verdict == preflight.installed_pppd(tmp_path / "pppd", tmp_path).verdict.value


# --- routes


def tunnel(peer: str, session: str) -> str:
    return f'[tunnel.a]\npeer = "{peer}"\nversion = "l2tpv3"\n[tunnel.a.session.s]\n{session}'


def test_a_session_whose_network_holds_its_own_peer(tmp_path: Path) -> None:
    """Its packets would go into it."""
    (finding,) = found(tmp_path, tunnel("192.0.2.9", 'pseudowire = "eth"\naddress = "192.0.2.1/24"\n'), "routing")
    text = "tunnel.a: its peer 192.0.2.9 belongs to 192.0.2.1/24, the network of its own session"
    assert [("error", text)] == verdicts([finding])


def test_a_peer_that_is_reached_by_a_sessions_interface(tmp_path: Path) -> None:
    """Here loopback plays the interface."""
    (finding,) = found(tmp_path, tunnel("127.0.0.1", 'pseudowire = "eth"\ninterface_name = "lo"\n'), "routing")
    assert [("error", "tunnel.a: 127.0.0.1 is reached by lo, which is the interface of a session")] == verdicts(
        [finding]
    )


def test_a_ppp_session_that_takes_the_default_route(tmp_path: Path) -> None:
    """It may, if the peer has another route: that deserves a look."""
    text = '[tunnel.a]\npeer = "127.0.0.1"\n[tunnel.a.session.s]\n[profile.ppp.default]\ndefault_route = true\n'
    (finding,) = found(tmp_path, text, "routing")
    assert (Verdict.WARNING, True) == (finding.verdict, "default_route" in finding.text)


def test_peers_that_can_be_reached(tmp_path: Path) -> None:
    """They are counted; names are not looked up."""
    text = tunnel("127.0.0.1", 'pseudowire = "eth"\n') + '[tunnel.b]\npeer = "lns.invalid"\n'
    assert [("ok", "numeric peers of tunnels that can be reached, and not by way of a tunnel: 1")] == verdicts(
        found(tmp_path, text, "routing")
    )


# --- the command


@pytest.mark.parametrize(
    ("text", "status"),
    [("", 0), ("[peer.x]\n", 0), (listen(9, "192.0.2.77"), 1), ("[nonsense]\n" + listen(9, "192.0.2.77"), 2)],
)
def test_the_exit_status_says_how_bad_it_is(tmp_path: Path, text: str, status: int) -> None:
    """A warning is none; a mistake of the configuration counts most."""
    file = tmp_path / "l2tpd.toml"
    file.write_text(SYSTEM.format(path=tmp_path) + text)
    assert status == CliRunner().invoke(l2tpctl, ["check", "-c", str(file)]).exit_code


def test_findings_are_lines_and_json(tmp_path: Path) -> None:
    """Verdict, topic, sentence, and below it what to do; as JSON a list with the same words."""
    file = tmp_path / "l2tpd.toml"
    file.write_text(SYSTEM.format(path=tmp_path) + listen(9, "192.0.2.77"))
    lines = CliRunner().invoke(l2tpctl, ["check", "-c", str(file)]).stdout.splitlines()
    assert f"OK       configuration   {file} is correct" == lines[0]
    at = next(number for number, line in enumerate(lines) if line.startswith("ERROR    listeners "))
    assert lines[at + 1].lstrip().startswith("-> ")
    told = json.loads(CliRunner().invoke(l2tpctl, ["--json", "check", "-c", str(file)]).stdout)["findings"]
    assert {"topic", "verdict", "text", "remedy"} == told[0].keys()
    assert ("configuration", "ok") == (told[0]["topic"], told[0]["verdict"])


def test_the_configuration_is_where_the_daemon_looks_for_it() -> None:
    """Unless said otherwise."""
    assert DEFAULT_CONFIG == str(app.DEFAULT_CONFIG)
