"""The benchmark of floods, small."""

import json
import subprocess
import sys

from bench import flood, run


def test_every_kind_is_a_discipline() -> None:
    """The benchmark names them without importing what floods."""
    programs = {each.program for each in run.FULL if each.name.startswith("flood-")}
    assert {f"flood.py --only {kind}" for kind in flood.KINDS} == programs


def test_a_flood_of_calls_costs_no_tunnel() -> None:
    """Ten tunnels stay up, and newcomers come in."""
    arguments = ["--tunnels", "10", "--seconds", "3", "--only", "icrq", "--json"]
    done = subprocess.run([sys.executable, flood.__file__, *arguments], stdout=subprocess.PIPE, timeout=120, check=True)
    (phase,) = json.loads(done.stdout)
    assert (10, 0, True) == (phase["tunnels"], phase["lost"], phase["alive"])
    assert phase["done"] > 0 < phase["came_in"]
