"""Fleet and backlog over time, one row a trace."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from bench.simulation.model import Outcome
from bench.simulation.traces import Trace

mpl.use("Agg")
from matplotlib import pyplot as plt

_POINTS = 2000  # a line has no more than about so many


def draw(pictures: Sequence[tuple[Trace, dict[str, Outcome]]], file: Path) -> None:
    """Write the picture; each outcome's seconds are (waiting, ready, booting)."""
    figure, axes = plt.subplots(len(pictures), 2, figsize=(15, 2.7 * len(pictures)), squeeze=False)
    for (fleet, backlog), (trace, outcomes) in zip(axes, pictures, strict=True):
        for number, (name, outcome) in enumerate(outcomes.items()):
            step = max(len(outcome.seconds) // _POINTS, 1)
            minutes = [second / 60 for second in range(0, len(outcome.seconds), step)]
            shown = outcome.seconds[::step]
            style = {"linewidth": 2.0 if number == 0 else 0.9, "zorder": 10 - number, "label": name}
            fleet.plot(minutes, [ready + booting for _, ready, booting in shown], **style)
            backlog.plot(minutes, [waiting for waiting, _, _ in shown], **style)
        fleet.set_ylabel(f"{trace.name}\nworkers")
        backlog.set_ylabel("photos waiting")
        backlog.set_yscale("symlog")
    for axis in axes[-1]:
        axis.set_xlabel("minutes")
    axes[0][1].legend(loc="upper right", fontsize="small")
    figure.tight_layout()
    figure.savefig(file, dpi=90)
    plt.close(figure)
