"""Aims and marks: what we want to reach, and what other daemons reached.

The marks were measured on two cores, over loopback, control plane only (no PPP, no kernel data path): server on one
core, generator on the other, fresh server per run. CPU seconds per 1,000 set-ups travels best between machines.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

SOURCE = "measured on two cores, loopback, control plane only"
Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A figure that we want to reach: at least `value`, or at most when `ceiling`."""

    figure: str
    text: str
    value: float
    ceiling: bool = False

    def met(self, figure: float) -> bool:
        """Tell whether `figure` reaches the aim."""
        return figure <= self.value if self.ceiling else figure >= self.value


RATIOS = (
    ("v3.tunnel_cpu", "v2.cpu_per_1000", "v3.cpu_per_1000"),
    ("v3.session_cpu", "v2.sessions_cpu_per_1000", "v3.sessions_cpu_per_1000"),
    ("v3-secret.tunnel_cpu", "v2-secret.cpu_per_1000", "v3-secret.cpu_per_1000"),
    ("v3-secret.session_cpu", "v2-secret.sessions_cpu_per_1000", "v3-secret.sessions_cpu_per_1000"),
)
"""Figures that are the ratio of two others, which were measured side by side: of processor time, so that they are those of the rates as well."""

AIMS = (
    Aim(figure="c.tunnels_per_s", text="tunnels/s, many tunnels", value=2000),
    Aim(figure="b.sessions_per_s", text="sessions/s, 100 a tunnel", value=2000),
    Aim(figure="c.bytes_per_tunnel", text="bytes a tunnel", value=16 * 1024, ceiling=True),
    Aim(figure="b.bytes_per_session", text="bytes a session", value=2 * 1024, ceiling=True),
    Aim(figure="c.growth", text="cost of a set-up: last tenth / second tenth", value=1.2, ceiling=True),
    Aim(figure="hold.cpu_share", text="share of a core, holding with HELLOs", value=0.25, ceiling=True),
    Aim(figure="hold.lost", text="tunnels lost while holding", value=0, ceiling=True),
    Aim(figure="hold.unanswered", text="HELLOs unanswered", value=0, ceiling=True),
    Aim(figure="a.failed", text="set-ups lost, (a)", value=0, ceiling=True),
    Aim(figure="b.failed", text="set-ups lost, (b)", value=0, ceiling=True),
    Aim(figure="c.failed", text="set-ups lost, (c)", value=0, ceiling=True),
    Aim(figure="one-source.failed", text="set-ups lost, one address and port", value=0, ceiling=True),
    Aim(figure="secret.failed", text="set-ups lost, with a secret", value=0, ceiling=True),
    Aim(figure="v3.failed", text="set-ups lost, version 3", value=0, ceiling=True),
    Aim(figure="v3-secret.failed", text="set-ups lost, version 3 with a secret", value=0, ceiling=True),
    Aim(figure="v3.tunnel_cpu", text="processor time of a tunnel, version 2 / version 3", value=0.8),
    Aim(figure="v3.session_cpu", text="processor time of a session, version 2 / version 3", value=0.8),
    Aim(figure="v3-secret.tunnel_cpu", text="processor time of a tunnel with a secret, 2 / 3", value=0.8),
    Aim(figure="v3-secret.session_cpu", text="processor time of a session with a secret, 2 / 3", value=0.8),
    Aim(figure="reconnect.failed", text="set-ups lost when all LACs come at once", value=0, ceiling=True),
    Aim(figure="churn.failed", text="set-ups lost in the churn", value=0, ceiling=True),
    Aim(figure="rotate.failed", text="set-ups lost in the churn from fresh sources", value=0, ceiling=True),
    Aim(figure="lac.failed", text="tunnels that our LAC did not open", value=0, ceiling=True),
    Aim(figure="loss.failed", text="set-ups lost for good at 5 % loss", value=0, ceiling=True),
    Aim(figure="fuzz.harmed", text="victims and probes harmed by hostile datagrams", value=0, ceiling=True),
    Aim(figure="watched.cpu_ratio", text="processor time with 20 watchers / without", value=1.25, ceiling=True),
    Aim(figure="watched.unreported", text="events neither told nor reported lost", value=0, ceiling=True),
    Aim(figure="watched.disordered", text="events told out of order", value=0, ceiling=True),
    Aim(figure="scripted.unreported", text="the same while scripts run", value=0, ceiling=True),
    Aim(figure="scripted.disordered", text="out of order while scripts run", value=0, ceiling=True),
    Aim(figure="scripted.scripts_lost", text="scripts that did not run", value=0, ceiling=True),
    Aim(figure="reload.longest_ms", text="longest stall of the loop by a reload, ms", value=250, ceiling=True),
    Aim(figure="reload.strangers", text="tunnels touched that nothing had changed about", value=0, ceiling=True),
    Aim(figure="flood-sccrq-one.lost", text="tunnels lost in a flood from one source", value=0, ceiling=True),
    Aim(figure="flood-sccrq-one.shut_out", text="newcomers shut out by it", value=0, ceiling=True),
    Aim(figure="flood-sccrq-many.lost", text="tunnels lost in a flood from 100,000 sources", value=0, ceiling=True),
    Aim(figure="flood-sccrq-many.longest_ms", text="longest wait of a peer meanwhile, ms", value=1000, ceiling=True),
    Aim(figure="flood-sccrq-stop.lost", text="tunnels lost in a flood of given up requests", value=0, ceiling=True),
    Aim(figure="flood-icrq.lost", text="tunnels lost in a flood of calls", value=0, ceiling=True),
    Aim(figure="flood-icrq.shut_out", text="newcomers shut out by it", value=0, ceiling=True),
    Aim(figure="flood-junk.lost", text="tunnels lost in a flood of junk", value=0, ceiling=True),
    Aim(figure="flood-junk.shut_out", text="newcomers shut out by it", value=0, ceiling=True),
    Aim(figure="ppp.per_second", text="subscribers of PPP a second, 1,000", value=400),
    Aim(figure="ppp-many.per_second", text="subscribers of PPP a second, 10,000", value=400),
    Aim(figure="ppp-many.bytes_each", text="bytes a subscriber of PPP", value=20 * 1024, ceiling=True),
    Aim(figure="ppp-user.per_second", text="subscribers a second, user plane, 1,000", value=400),
    Aim(figure="ppp-user-many.failed", text="subscribers lost, user plane, 10,000", value=0, ceiling=True),
    Aim(figure="ppp-shared.per_second", text="subscribers a second on one interface, 10,000", value=400),
    Aim(figure="ppp-shared.failed", text="subscribers lost on one interface", value=0, ceiling=True),
    Aim(figure="ppp-reconnect.seconds", text="s for 24,000 subscribers to come back at once", value=90, ceiling=True),
    Aim(figure="ppp-reconnect.failed", text="subscribers left out of that", value=0, ceiling=True),
    Aim(figure="left_over", text="tunnels and sessions left after the teardown", value=0, ceiling=True),
    Aim(figure="tracebacks", text="tracebacks logged", value=0, ceiling=True),
)

# peer -> figure -> mark
MARKS: dict[str, Figures] = {
    "l2tpns 2.4.1 (450-490 tunnels)": {
        "a.tunnels_per_s": 14_400,
        "a.cpu_per_1000": 0.069,
        "b.sessions_per_s": 9_300,
        "b.cpu_per_1000": 0.066,
        "b.bytes_per_session": 227,
        "c.tunnels_per_s": 40_600,
        "c.cpu_per_1000": 0.022,
        "c.bytes_per_tunnel": 1_190,
        "churn.per_second": 50,
        "fuzz.victims_alive": 2,
    },
    "accel-ppp 89637ee (up to 4,500)": {
        "a.tunnels_per_s": 994,
        "a.cpu_per_1000": 0.215,
        "b.sessions_per_s": 2_930,
        "b.cpu_per_1000": 0.141,
        "b.bytes_per_session": 4_300,
        "c.tunnels_per_s": 3_080,
        "c.cpu_per_1000": 0.088,
        "c.bytes_per_tunnel": 1_420,
        "teardown.per_second": 54_600,
        "churn.per_second": 27,
        "loss.seconds": 5.1,
        "fuzz.victims_alive": 8,
    },
    "xl2tpd 1.3.18": {
        "a.tunnels_per_s": 633,
        "a.cpu_per_1000": 0.873,
        "b.sessions_per_s": 726,
        "b.cpu_per_1000": 0.587,
        "b.bytes_per_session": 14_000,
        "c.tunnels_per_s": 1_660,
        "c.cpu_per_1000": 0.615,
        "c.bytes_per_tunnel": 10_800,
        "hold.cpu_share": 0.546,
        "hold.lost": 1_224,
        "teardown.per_second": 35,
        "churn.per_second": 30_200,
        "loss.seconds": 15.1,
        "fuzz.victims_alive": 4,
    },
    "openl2tp 1.8": {
        "a.tunnels_per_s": 569,
        "a.cpu_per_1000": 0.196,
        "b.sessions_per_s": 5_700,
        "b.cpu_per_1000": 0.077,
        "b.bytes_per_session": 805,
        "churn.per_second": 65,
        "loss.seconds": 20.0,
        "fuzz.victims_alive": 0,
    },
    "kl2tpd 0.1.8 (LAC only)": {"lac.tunnels_per_s": 2_080, "lac.cpu_per_1000": 0.41},
}

LOWER_IS_BETTER = ("cpu", "bytes", "lost", "seconds")


def ratios(figures: Figures) -> Iterator[tuple[str, float]]:
    """Yield the ratios whose parts were measured."""
    for name, part, whole in RATIOS:
        if figures.get(whole) and part in figures:
            yield name, round(figures[part] / figures[whole], 3)


def compared(figures: Figures) -> Iterator[dict[str, object]]:
    """Yield a row for each mark whose figure we have: ratio above 1 means that we are better."""
    for peer, marks in MARKS.items():
        for name, mark in marks.items():
            ours = figures.get(name)
            if ours is not None:
                yield {"peer": peer, "figure": name, "theirs": mark, "ours": ours, "ratio": _ratio(name, ours, mark)}


def _ratio(name: str, ours: float, mark: float) -> float | None:
    lower = name.partition(".")[2].startswith(LOWER_IS_BETTER)
    above, below = (mark, ours) if lower else (ours, mark)
    return round(above / below, 3) if below else None


def judged(figures: Figures) -> Iterator[dict[str, object]]:
    """Yield a row for each aim whose figure we have."""
    for aim in AIMS:
        figure = figures.get(aim.figure)
        if figure is not None:
            bound = "<=" if aim.ceiling else ">="
            yield {"aim": aim.text, "wanted": f"{bound} {aim.value:g}", "measured": figure, "met": aim.met(figure)}
