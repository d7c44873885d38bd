"""The benchmark of a reload, small."""

import json
import subprocess
import sys

from bench import reloads, server
from l2tpd.config.diff import diff
from l2tpd.config.load import parse


def test_ten_tunnels_are_changed() -> None:
    """Each in one step, and in each of the ways in which a tunnel can be touched."""
    calls = server.Calls(port=1701, tunnels=20, sessions=0)
    old = "\n".join(calls.toml())
    steps = diff(parse([("f", old)]), parse([("f", reloads.changed(old))])).steps
    assert 10 == len(steps) == len({step.path for step in steps})
    assert {"in-place", "restart-tunnel"} == {step.when.value for step in steps}
    assert {"added", "changed", "removed"} == {step.verb.value for step in steps}


def test_a_reload_touches_what_it_changes() -> None:
    """Of twenty tunnels with an LNS it touches the ten, each time."""
    done = subprocess.run(
        [sys.executable, reloads.__file__, "--tunnels", "20", "--json"], stdout=subprocess.PIPE, timeout=60, check=True
    )
    phases = json.loads(done.stdout)
    assert [(10, 0)] * 2 * reloads.ROUNDS == [(phase["done"], phase["strangers"]) for phase in phases]
