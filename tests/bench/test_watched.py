"""The benchmark of watchers and scripts, small."""

import json

from bench import watched


def line(what: str, tunnel_id: int) -> bytes:
    return json.dumps({"params": {"object": "tunnel", "what": what, "tunnel_id": tunnel_id}}).encode() + b"\n"


def test_what_a_watcher_was_told_is_counted() -> None:
    """Events, those lost, and those that came after a later one of the same tunnel."""
    lost = json.dumps({"params": {"object": "lost", "count": 3}}).encode() + b"\n"
    octets = line("created", 1) + line("up", 2) + lost + line("created", 2) + line("up", 1)
    assert {"events": 4, "lost": 3, "disordered": 1} == watched.told(octets)


def test_watchers_and_scripts_beside_tunnels() -> None:
    """Everybody is told everything, the stalled watcher too as long as it fits, and each tunnel has its script."""
    phase = watched.run("scripted", 50, 3, scripts=True)
    found = {key: phase[key] for key in ("done", "events", "unreported", "disordered", "scripts_lost")}
    assert {"done": 50, "events": 100, "unreported": 0, "disordered": 0, "scripts_lost": 0} == found
