"""`l2tpctl` against a control socket: what it prints, what it asks for, and how it fails."""

import grp
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result

from control.running import Daemon, program
from dialogue import sccrq
from l2tpctl.commands import l2tpctl
from l2tpd.control.views import LogLine
from l2tpd.errors import Problem
from l2tpd.ppp import hashed
from l2tpd.wire.header import build_control
from l2tpd.wire.messages import encode

Run = Callable[..., Result]

# SCCRQ, Ns 0, Nr 0: message type, protocol version, host name "lac", framing 3, assigned tunnel id 1
SCCRQ = (
    "c802 0031 0000 0000 0000 0000  8008 0000 0000 0001  8008 0000 0002 0100  8009 0000 0007 6c6163"
    "  800a 0000 0003 00000003  8008 0000 0009 0001"
).replace(" ", "")


def ok(result: Result) -> str:
    assert (0, "") == (result.exit_code, result.stderr), result.output
    return result.stdout


def document(result: Result) -> Any:
    return json.loads(ok(result))


def test_tunnels_are_listed_in_columns(run: Run) -> None:
    """One line a tunnel; N marks the one that a peer created, which has no name."""
    assert (
        "   TunId  Name  State           Time      Protocol    Peer                Sessions\n"
        "       7  hq1   UP              01:02:05  l2tpv2/udp  192.0.2.1:1701             2\n"
        "      12  hq2   WAIT-CTL-REPLY  00:00:01  l2tpv2/udp  [2001:db8::1]:1701         0\n"
        "N    300  -     UP              00:00:00  l2tpv2/udp  192.0.2.9:40000            1\n"
    ) == ok(run("show", "tunnels"))


def test_sessions_are_listed_in_columns(run: Run) -> None:
    """Of all tunnels, or of one."""
    assert 4 == len(ok(run("show", "sessions")).splitlines())
    lines = ok(run("show", "sessions", "hq1")).splitlines()
    assert ["TunId", "SessId", "Name", "State", "Time", "Type", "Interface"] == lines[0].split()
    assert ["7", "1", "one", "UP", "00:00:00", "ppp", "ppp0"] == lines[1].split()


@pytest.mark.parametrize("words", [("--json", "show", "tunnels"), ("show", "tunnels", "--json")])
def test_json_is_one_document_with_the_fields_of_the_api(run: Run, words: tuple[str, ...]) -> None:
    """Wherever `--json` stands."""
    rows = document(run(*words))["tunnels"]
    assert [7, 12, 300] == [row["id"] for row in rows]
    assert {"peer_id", "peer_address", "origin"} <= rows[0].keys()


def test_a_list_longer_than_a_page_is_shown_whole(run: Run, daemon: Daemon) -> None:
    """Pages are fetched one after the other, and the cursor does not show."""
    for number in range(1000, 3500):
        daemon.double.add_tunnel(number)
    answer = document(run("show", "tunnels", "--json"))
    assert (["tunnels"], 2503) == (list(answer), len(answer["tunnels"]))


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--local"], [7, 12]),
        (["--remote"], [300]),
        (["--state", "UP"], [7, 300]),
        (["--peer", "192.0.2.9"], [300]),
        (["--local", "--state", "up"], [7]),
    ],
)
def test_lists_are_filtered(run: Run, words: list[str], ids: list[int]) -> None:
    """By who created it, by state in either case, by peer."""
    assert ids == [row["id"] for row in document(run("show", "tunnels", "--json", *words))["tunnels"]]


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["show", "system"], ["hostname:", "lns.example", "data plane reason:", "limits:\n  max tunnels:"]),
        (["show", "tunnel", "hq1"], ["name:", "hq1", "in state:", "01:02:05", "transport:\n  ns:", "remote:"]),
        (["show", "tunnel", "@7"], ["hq1"]),
        (["show", "session", "hq1", "one"], ["interface:", "ppp0", "call:"]),
        (["show", "session", "@7", "@2"], ["two"]),
        (["list", "ppp"], ["alice", "10.0.0.2", "AUTHENTICATE", "bob"]),
        (["list", "ppp", "--user", "alice", "--address", "10.0.0.2", "--state", "UP", "--tunnel", "hq1"], ["ppp0"]),
        (["show", "ppp", "ppp0"], ["user:", "alice", "remote ipv6:", "counters:"]),
        (["show", "peers"], ["default", "lac, lns", "yes"]),
        (["show", "profiles"], ["[profile.tunnel.default]", "hello timeout: 60", "secret set:    no"]),
        (["show", "pools"], ["subscribers", "10.0.0.2-10.0.255.254"]),
        (["show", "config"], ['[system]\nhostname = "lns.example"', "[tunnel.hq]"]),
        (["show", "log"], ["notice: ready"]),
        (["statistics"], ["short frames: 2", "SCCRQ", "Received"]),
        (["plan"], ["added: tunnel.branch", "changed: system.log_level"]),
        (["reload"], ["added: tunnel.branch"]),
    ],
)
def test_what_is_shown_and_its_json(run: Run, words: list[str], texts: list[str]) -> None:
    """Each command prints what it is about, and as JSON a document."""
    shown = ok(run(*words))
    assert [] == [text for text in texts if text not in shown]
    assert isinstance(document(run("--json", *words)), dict)


def test_a_part_of_a_tunnel_or_session_is_shown(run: Run) -> None:
    """`config` and `status` together are the whole, and both say what it is called."""
    for words in (["tunnel", "hq1"], ["session", "hq1", "one"]):
        whole, config, status = (
            document(run("--json", "show", *words, *part)) for part in ([], ["config"], ["status"])
        )
        assert (whole["name"], whole["name"]) == (config["name"], status["name"])
        assert whole.keys() == config.keys() | status.keys()
        assert {"settings", "profile"} <= config.keys() - status.keys()
        assert {"state", "ended", "counters"} <= status.keys() - config.keys()
    assert "transport:" not in ok(run("show", "tunnel", "hq1", "config"))
    assert 2 == run("show", "tunnel", "hq1", "statsu").exit_code


def test_a_profile_is_traced(run: Run, daemon: Daemon) -> None:
    """Of tunnels or of sessions; one that does not exist is answered with those that do."""
    assert "traced: fsm, data\n" == ok(run("debug", "profile", "tunnel", "default", "fsm,data", "on"))
    assert [("debug profile", "tunnel", "default", ("fsm", "data"), True)] == daemon.double.asked
    result = run("debug", "profile", "tunnel", "defualt", "fsm", "off")
    text = "l2tpctl: no tunnel profile is called `defualt` (there are: default)\n"
    assert (1, text) == (result.exit_code, result.stderr)


def test_counters_are_reset_on_request(run: Run, daemon: Daemon) -> None:
    """`--reset` sets them to zero after showing them."""
    ok(run("statistics", "--reset"))
    assert [("statistics", True)] == daemon.double.asked


def test_a_log_is_cleared_without_a_word(run: Run, daemon: Daemon) -> None:
    """Nothing is printed, the log is empty."""
    assert "" == ok(run("clear", "log"))
    assert [] == daemon.double.log


def test_what_a_peer_says_cannot_steer_the_terminal(run: Run, daemon: Daemon) -> None:
    """Escape sequences and line ends are shown as what they are."""
    daemon.double.add_tunnel(1, "ev\x1b[31mil\n", peer_host_name="\x1b]0;owned\x07", last_error="[red]x[/red]")
    daemon.double.log.append(LogLine(time=0.0, level="notice", text="from peer: \x1b[2J"))
    shown = ok(run("show", "tunnels")) + ok(run("show", "tunnel", "@1")) + ok(run("show", "log"))
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "ev\\x1b[31mil\\x0a" in shown
    assert "[red]x[/red]" in shown


# --- changes


def test_a_tunnel_is_created_with_typed_keys(run: Run, daemon: Daemon) -> None:
    """Each key has the type of the configuration: a secret of digits stays text, a timeout is a number."""
    words = "--hello-timeout 30 --secret 1234 --hide-avps yes --receive-window=64 --trace fsm,data"
    assert "tunnel new is created: @77\n" == ok(
        run("create", "tunnel", "new", "--peer", "192.0.2.7:1701", *words.split())
    )
    assert [
        (
            "create tunnel",
            "new",
            {
                "peer": "192.0.2.7:1701",
                "hello_timeout": 30.0,
                "secret": "1234",
                "hide_avps": True,
                "receive_window": 64,
                "trace": ["fsm", "data"],
            },
        )
    ] == daemon.double.asked


def test_a_session_is_created_in_a_tunnel(run: Run, daemon: Daemon) -> None:
    """Keys work alike; a called number is text, an identifier of a channel a number."""
    shown = ok(run("create", "session", "hq1", "new", "--called-number", "5551234", "--physical-channel-id", "7"))
    assert "session new is created: @88 of tunnel @7\n" == shown
    assert [("create session", 7, "new", {"called_number": "5551234", "physical_channel_id": 7})] == daemon.double.asked


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--hello-timeuot", "3"], "there is no key --hello-timeuot (did you mean --hello-timeout?)"),
        (["--hello-timeout", "soon"], "--hello-timeout must be a number"),
        (["--receive-window", "3.5"], "--receive-window must be an integer"),
        (["--hide-avps", "maybe"], "--hide-avps must be true or false"),
        (["--hello-timeout"], "`--hello-timeout` needs a value"),
        (["extra"], "`extra` is not expected here"),
    ],
)
def test_a_mistake_in_the_keys_is_one_of_usage(run: Run, daemon: Daemon, words: list[str], text: str) -> None:
    """The exit status is 2 and the daemon is asked for nothing."""
    result = run("create", "tunnel", "new", "--peer", "192.0.2.7", *words)
    assert (2, []) == (result.exit_code, daemon.double.asked)
    assert text in result.stderr


def test_what_the_daemon_refuses_is_told_and_ends_with_1(run: Run) -> None:
    """The daemon's sentence goes to stderr."""
    result = run("create", "tunnel", "new", "--peer", "nowhere")
    assert (1, "l2tpctl: peer: `nowhere` is no address\n") == (result.exit_code, result.stderr)
    result = run("show", "tunnel", "hq")
    assert (1, "l2tpctl: no tunnel is called `hq` (there are: hq1, hq2)\n") == (result.exit_code, result.stderr)


def test_a_reload_that_fails_lists_every_mistake(run: Run, daemon: Daemon) -> None:
    """Each with file and key."""
    daemon.double.problems = (Problem("a.toml", "x", "unknown"), Problem("b.toml", "y.z", "wrong"))
    result = run("reload")
    assert (1, "l2tpctl: a.toml: x: unknown\nb.toml: y.z: wrong\n") == (result.exit_code, result.stderr)


def test_deleting_tells_the_reason(run: Run, daemon: Daemon) -> None:
    """By name or id, without a word when it went well."""
    assert "" == ok(run("delete", "session", "hq1", "@1", "--reason", "moved"))
    assert "" == ok(run("delete", "tunnel", "hq1", "--reason", "maintenance"))
    assert [("delete session", 7, 1, "moved"), ("delete tunnel", 7, "maintenance")] == daemon.double.asked


def test_tracing_and_drain_are_switched(run: Run, daemon: Daemon) -> None:
    """For the system, a tunnel, a session; and the log level."""
    assert "traced: fsm, data\n" == ok(run("debug", "system", "fsm,data", "on"))
    ok(run("debug", "tunnel", "hq1", "all", "on"))
    ok(run("debug", "session", "hq1", "one", "ppp", "on"))
    assert "traced: -\n" == ok(run("debug", "system", "fsm", "off"))
    assert {(None, None): (), (7, None): ("all",), (7, 1): ("ppp",)} == daemon.double.traced
    assert "log level: debug\n" == ok(run("debug", "level", "debug"))
    assert "" == ok(run("drain", "on"))
    assert daemon.double.drain
    assert 2 == run("drain", "perhaps").exit_code


# --- without a daemon, or without the right


def test_a_daemon_that_is_not_running_is_told_in_a_sentence(tmp_path: Path) -> None:
    """Status 1, no traceback, and where the socket was looked for."""
    path = tmp_path / "none.sock"
    for words in (["show", "tunnels"], ["watch"], ["create", "tunnel", "x", "--peer", "y", "--secret", "z"]):
        result = CliRunner().invoke(l2tpctl, ["--socket", str(path), *words], prog_name="l2tpctl")
        assert (1, f"l2tpctl: l2tpd is not running (no control socket at {path})\n") == (
            result.exit_code,
            result.stderr,
        )


def test_the_socket_may_come_from_the_environment(daemon: Daemon) -> None:
    """`L2TPD_SOCKET` stands in for `--socket`."""
    result = CliRunner().invoke(l2tpctl, ["show", "system", "--json"], env={"L2TPD_SOCKET": str(daemon.path)})
    assert "0.1" == document(result)["version"]


@pytest.mark.parametrize("words", [["show"], ["show", "nonsense"], ["delete", "tunnel"], ["--nonsense"]])
def test_a_mistake_on_the_command_line_ends_with_2(words: list[str]) -> None:
    """And the usage on stderr."""
    result = CliRunner().invoke(l2tpctl, words)
    assert 2 == result.exit_code
    assert "Usage:" in result.stderr


# --- decode


def test_octets_are_explained(tmp_path: Path) -> None:
    """In one word or several, with colons, from standard input; nothing of a daemon is needed."""
    spaced = [SCCRQ[at : at + 2] for at in range(0, len(SCCRQ), 2)]
    runner = CliRunner()
    first = ok(runner.invoke(l2tpctl, ["decode", SCCRQ]))
    assert "SCCRQ" in first
    assert '"lac"' in first
    assert first == ok(runner.invoke(l2tpctl, ["decode", *spaced]))
    assert first == ok(runner.invoke(l2tpctl, ["decode", ":".join(spaced)]))
    assert first == ok(runner.invoke(l2tpctl, ["decode", "-"], input=SCCRQ + "\n"))
    told = document(runner.invoke(l2tpctl, ["decode", "--json", SCCRQ]))["datagrams"]
    assert [SCCRQ] == [row["octets"] for row in told]


def test_a_capture_is_explained_packet_by_packet(tmp_path: Path) -> None:
    """Each with its number, time and addresses; the secret comes from a file."""
    octets = bytes.fromhex(SCCRQ)
    datagram = struct.pack("!HHHH", 1701, 1701, 8 + len(octets), 0) + octets
    packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0) + bytes(
        [192, 0, 2, 1, 192, 0, 2, 2]
    )
    packet += datagram
    head = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    capture = head + struct.pack("<IIII", 1000, 250_000, len(packet), len(packet)) + packet
    (tmp_path / "x.pcap").write_bytes(capture)
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "secret").chmod(0o600)
    words = ["decode", str(tmp_path / "x.pcap"), "--secret-file", str(tmp_path / "secret")]
    shown = ok(CliRunner().invoke(l2tpctl, words))
    assert shown.startswith("#1 1000.250000 192.0.2.1:1701 > 192.0.2.2:1701\ncontrol tunnel=0")
    assert shown == ok(CliRunner().invoke(l2tpctl, ["decode", "-"], input=capture))
    result = CliRunner().invoke(l2tpctl, [*words, "--port", "1702"])
    assert (1, True) == (result.exit_code, "no L2TP datagram" in result.stderr)


def test_a_secret_shows_what_is_hidden(tmp_path: Path) -> None:
    """Its octets are those of the file's first line, whatever the locale."""
    secret, file = b"gr\xfc\xdfe", tmp_path / "secret"
    file.write_bytes(secret + b"\r\nmore\n")
    file.chmod(0o600)
    octets = build_control(0, 0, 0, 0, encode(sccrq(assigned_tunnel_id=4711), secret=secret, hide=True, random=bytes))
    shown = ok(CliRunner().invoke(l2tpctl, ["decode", "--secret-file", str(file), octets.hex()]))
    assert "4711" in shown
    assert "4711" not in ok(CliRunner().invoke(l2tpctl, ["decode", octets.hex()]))


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_secret_that_others_can_read_decodes_nothing(tmp_path: Path, mode: int) -> None:
    """As everywhere else; the complaint says what to do."""
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    file.chmod(mode)
    result = CliRunner().invoke(l2tpctl, ["decode", "--secret-file", str(file), SCCRQ], prog_name="l2tpctl")
    told = f"l2tpctl: {file}: others than its owner have access (mode {mode:04o}); use `chmod 600`\n"
    assert (1, "", told) == (result.exit_code, result.stdout, result.stderr)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["zz"], "this is neither a file nor octets in hexadecimal"),
        (["missing.pcap"], "there is no file missing.pcap"),
        (["/nowhere/at/all"], "there is no file /nowhere/at/all"),
    ],
)
def test_what_cannot_be_decoded_is_told(words: list[str], text: str) -> None:
    """Status 1 and a sentence."""
    result = CliRunner().invoke(l2tpctl, ["decode", *words], prog_name="l2tpctl")
    assert (1, f"l2tpctl: {text}\n") == (result.exit_code, result.stderr)


# --- hash-password


def test_a_password_is_hashed() -> None:
    """From standard input, each time with another salt; nothing is no password."""
    runner = CliRunner()
    shown = [ok(runner.invoke(l2tpctl, ["hash-password"], input="wönder\r\n")).strip() for _ in range(2)]
    assert shown[0] != shown[1]
    assert all(hashed.matches(text, "wönder".encode()) for text in shown)
    told = document(runner.invoke(l2tpctl, ["hash-password", "--json"], input="wönder"))["pap_hash"]
    assert hashed.matches(str(told), "wönder".encode())
    result = runner.invoke(l2tpctl, ["hash-password"], input="\n", prog_name="l2tpctl")
    assert (1, "l2tpctl: there is no password on standard input\n") == (result.exit_code, result.stderr)


# --- as a program


def test_the_program_talks_to_the_daemon(daemon: Daemon) -> None:
    """A process of its own, over the real socket."""
    done = program("-m", "l2tpctl", "--socket", str(daemon.path), "--json", "show", "sessions")
    assert (0, "") == (done.returncode, done.stderr)
    assert [1, 2, 5] == [row["id"] for row in json.loads(done.stdout)["sessions"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_who_may_not_connect_is_told(daemon: Daemon) -> None:
    """A process that became user 65534 before it ran the command: the sentence names the group that may."""
    script = (
        "import os, sys, l2tpctl.commands, l2tpctl.client\n"
        "os.chdir(sys.argv.pop(1)); os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "l2tpctl.commands.main()\n"
    )
    daemon.path.parent.chmod(0o755)
    done = program("-c", script, str(daemon.path.parent), "--socket", "control.sock", "show", "system")
    group = grp.getgrgid(daemon.path.stat().st_gid).gr_name
    text = f"you may not use the control socket control.sock: root and members of the group `{group}` may"
    assert (1, f"l2tpctl: {text}\n") == (done.returncode, done.stderr)


def test_octets_are_decoded_however_many(tmp_path: Path) -> None:
    """More digits than the name of a file may have are octets all the same."""
    long = SCCRQ[:4] + f"{len(SCCRQ) // 2 + 300:04x}" + SCCRQ[8:] + "012c" + "0000" + "0007" + "61" * 294
    shown = ok(CliRunner().invoke(l2tpctl, ["decode", long]))
    assert ok(CliRunner().invoke(l2tpctl, ["decode", "-"], input=long)) == shown
    assert "SCCRQ" in shown


def test_what_the_terminal_cannot_show_is_escaped(daemon: Daemon) -> None:
    """A name of another script does not end a list."""
    tunnel = daemon.double.tunnels[7]
    daemon.double.tunnels[7] = attrs.evolve(tunnel, name="туннель")
    done = program("-m", "l2tpctl", "show", "tunnels", L2TPD_SOCKET=str(daemon.path), PYTHONIOENCODING="latin-1:strict")
    assert (0, "") == (done.returncode, done.stderr)
    assert "\\u0442\\u0443" in done.stdout


def test_help_does_not_wait_for_the_event_loop() -> None:
    """trio and cattrs are imported only by commands that use them."""
    check = "import sys; import l2tpctl.commands, l2tpctl.watch; print(sorted({'trio','cattrs'} & set(sys.modules)))"
    assert "[]\n" == program("-c", check).stdout
