"""What commands do with the answers of a daemon that means ill, or is none: a sentence at the most, and nothing that a terminal obeys."""

import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from l2tpctl.commands import l2tpctl
from l2tpctl.watch import l2tpwatch
from l2tpd.control.jsonrpc import Json

TITLE = "\x1b]0;pwned\x07"
HUGE = 10**400
KEYS = ("tunnels", "sessions", "peers", "pools", "tables", "lines", "profiles", "ppp", "messages", "counters", "data")

COMMANDS = (
    "show system",
    "show tunnels",
    "--json show tunnels",
    "show tunnel x",
    "show sessions",
    "show session x y",
    "show peers",
    "show profiles",
    "show pools",
    "show config",
    "show log",
    "list ppp",
    "show ppp x",
    "statistics",
    "plan",
    "debug level info",
    "create tunnel n --peer p",
    "create session x n",
    "top -n 1 -i 0.05",
    "--json top -n 1 -i 0.05",
)


def result(value: Json) -> bytes:
    return b'"result":' + json.dumps(value).encode()


def rows_of(number: float, text: Json = TITLE) -> bytes:
    """Return an answer to every command: rows and objects of this number and this text."""
    row: dict[str, Json] = dict.fromkeys(
        ("id", "tunnel_id", "in_state", "time", "sent", "rx_bytes", "uptime", "used"), number
    )
    row |= dict.fromkeys(("name", "state", "version", "level", "text", "interface", "user", "message", "kind"), text)
    told: dict[str, Json] = {key: [row, text, number, None] for key in KEYS}
    told |= {"id": text, "tunnel_id": text, "uptime": number, "log_level": text, TITLE: [text]}
    told |= {key: {TITLE: number} for key in ("tunnels_by_state", "sessions_by_state", "counters", "data")}
    return result(told)


ANSWERS = {
    "null": result(None),
    "text": result(TITLE),
    "list": result([1, TITLE]),
    "failure": b'"error":' + json.dumps({"code": 1, "message": f"{TITLE}\nand {TITLE}"}).encode(),
    "huge": rows_of(HUGE),
    "high": rows_of(1e308),
    "low": rows_of(-1e308),
    "nested": rows_of(7, text=[{TITLE: [{}]}]),
    "deep": b'"result":{"id":' + b"[" * 700 + b"]" * 700 + b"}",
}


@contextmanager
def speaking(path: Path, answer: Callable[[int], bytes]) -> Iterator[None]:
    """Answer every request on a socket with what `answer` makes of its id."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(answer(json.loads(line)["id"]))

    with socketserver.ThreadingUnixStreamServer(os.fspath(path), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def harmless(outcome: Result) -> None:
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit), repr(outcome.exception)
    assert outcome.exit_code in {0, 1}
    assert "\x1b" not in outcome.output
    assert "\x07" not in outcome.output


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_no_answer_harms(tmp_path: Path, answer: bytes) -> None:
    """Of another shape, with numbers that nothing has, nested without end, with orders for a terminal: each command ends as it should."""
    path = tmp_path / "socket"
    with speaking(path, lambda number: b'{"jsonrpc":"2.0","id":%d,%s}\n' % (number, answer)):
        for command in COMMANDS:
            harmless(CliRunner().invoke(l2tpctl, ["--socket", str(path), *command.split()]))


@pytest.mark.parametrize(("command", "shown"), [("show tunnels", "first"), ("--json show tunnels", '"name": "first"')])
def test_rows_are_printed_as_they_come(tmp_path: Path, command: str, shown: str) -> None:
    """Not when the last is there: of many, none has to be kept. Where the rest does not come, the status and a sentence say so."""
    path = tmp_path / "socket"
    first = result({"tunnels": [{"name": "first"}], "cursor": "1"})
    failure = b'"error":{"code":1,"message":"no more"}'
    with speaking(path, lambda number: b'{"jsonrpc":"2.0","id":%d,%s}\n' % (number, first if number == 1 else failure)):
        outcome = CliRunner().invoke(l2tpctl, ["--socket", str(path), *command.split()], prog_name="l2tpctl")
    assert (1, "l2tpctl: no more\n") == (outcome.exit_code, outcome.stderr)
    assert shown in outcome.stdout


EVENTS: tuple[dict[str, Json], ...] = (
    {"object": "tunnel", "what": TITLE, "tunnel_id": TITLE, "version": TITLE, "encap": TITLE, "time": 1e308},
    {"object": "tunnel", "what": [TITLE], "time": HUGE, "name": {TITLE: TITLE}, "peer_address": [TITLE]},
    {"object": "session", "what": "up", "pseudowire": TITLE, "time": -1e308},
    {"object": ["tunnel"], "what": None},
    {"object": "lost", "count": TITLE},
    {"object": TITLE, "what": TITLE},
)


@pytest.mark.parametrize("words", ["", "-v -p", "-c"])
def test_no_event_harms(tmp_path: Path, words: str) -> None:
    """Events that are none of ours are lines like others, or none."""
    path = tmp_path / "socket"
    told = b"".join(
        json.dumps({"jsonrpc": "2.0", "method": "event", "params": event}).encode() + b"\n" for event in EVENTS
    )
    good = b'{"jsonrpc":"2.0","method":"event","params":{"object":"tunnel","what":"up","tunnel_id":7}}\n'
    with speaking(path, lambda number: b'{"jsonrpc":"2.0","id":%d,"result":{}}\n%s%s' % (number, told, good)):
        outcome = CliRunner().invoke(l2tpwatch, ["--socket", str(path), "-n", "4", *words.split()])
    harmless(outcome)
    assert (0, 4) == (outcome.exit_code, len(outcome.stdout.splitlines()))


def test_a_shell_does_not_wait_long_for_words_that_complete_another(tmp_path: Path) -> None:
    """A daemon that hangs completes nothing, and a name that orders something of the terminal is none."""

    def completed(path: Path) -> list[str]:
        line = f"l2tpctl --socket {path} show tunnel "
        asked = {"_L2TPCTL_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": "5"}
        shown = CliRunner(env=asked).invoke(l2tpctl, prog_name="l2tpctl").stdout
        return [line.partition(",")[2] for line in shown.split()]

    tunnels = b'[{"id":1,"name":"hq"},{"id":2,"name":"\\u001b]0;pwned\\u0007"}]'
    with speaking(
        tmp_path / "a", lambda number: b'{"jsonrpc":"2.0","id":%d,"result":{"tunnels":%s}}\n' % (number, tunnels)
    ):
        assert ["hq"] == completed(tmp_path / "a")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(tmp_path / "b"))
        silent.listen()
        assert [] == completed(tmp_path / "b")
