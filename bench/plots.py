"""Pictures of the measurements, under bench/out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.engines import ENGINES, LIBRARY
from bench.identification import Found
from bench.measures import Floats, PairDistances, joined
from bench.scoring import Rule
from bench.tables import OUT, Row

mpl.use("Agg")
from matplotlib import pyplot as plt

_COLOURS = dict(zip(ENGINES, ("#777777", "#1f77b4", "#d62728", "#2ca02c"), strict=True))
_DETECTORS = ("#d62728", "#2ca02c", "#1f77b4")
_PERCENT = FuncFormatter(lambda value, _: f"{100 * value:g} %")
_DPI = 110
_BINS = 120
_LEAST_SHOWN = 0.5  # identified


def roc(found: Mapping[str, PairDistances], rules: Mapping[str, Rule]) -> Path:
    """True against false match rate over every pair, with where each rule draws the line."""
    figure, axis = _figure("One person or two? Every pair of photos", 7.5, 5.0)
    least = 1.0
    for name, one in found.items():
        fmr, tmr = one.roc()
        least = min(least, 1 / max(int((~one.same).sum()), 1))
        axis.step(np.maximum(fmr, 1e-9), tmr, where="post", color=_COLOURS[name], label=name, linewidth=_weight(name))
        at_fmr, at_tmr = one.rates(rules[name].pair_threshold)
        axis.plot([max(at_fmr, 1e-9)], [at_tmr], "o", color=_COLOURS[name], markersize=6, zorder=5)
    axis.plot([], [], "o", color="black", markersize=6, label="where the rule draws the line")
    _rate_axis(axis, least)
    bottom = min(float(np.interp(least * 2, *one.roc())) for one in found.values())
    axis.set_ylim(max(0.0, bottom - 0.05), 1.005)
    axis.set_xlabel("false match rate: pairs of different people taken for one")
    axis.set_ylabel("true match rate")
    axis.legend(loc="lower right", fontsize="small")
    return _save(figure, "roc")


def distances(found: Mapping[str, PairDistances], rules: Mapping[str, Rule]) -> Path:
    """How far apart photos of one person and of different people are, by engine."""
    figure, axes = plt.subplots(len(found), 1, figsize=(7.5, 1.9 * len(found)), sharex=False, squeeze=False)
    for (name, one), axis in zip(found.items(), axes[:, 0], strict=True):
        bins = np.linspace(0, float(one.distances.max()), _BINS)
        axis.hist(one.distances[one.same], bins, density=True, color=_COLOURS[name], alpha=0.7, label="one person")
        axis.hist(
            one.distances[~one.same], bins, density=True, histtype="step", color="black", label="different people"
        )
        axis.axvline(rules[name].pair_threshold, color="black", linestyle="--", linewidth=1, label="the rule's line")
        axis.set_title(f"{name} ({'plain distance' if name == LIBRARY else 'unit length'})", loc="left", fontsize=9)
        axis.set_yticks([])
        axis.set_xlim(0, bins[-1])
        _plain(axis)
    axes[0, 0].legend(fontsize="small", loc="upper left")
    axes[-1, 0].set_xlabel("distance between two photos")
    figure.suptitle("How far apart photos are (densities)", fontsize=11)
    figure.tight_layout()
    return _save(figure, "distances")


def open_set(found: Mapping[str, Found]) -> Path:
    """Identified against strangers named; and the promised against the measured share of strangers named."""
    figure, (curve, promise) = plt.subplots(1, 2, figsize=(12, 4.8), width_ratios=(3, 2))
    figure.suptitle("Who is it, or a stranger? Open-set identification", fontsize=11)
    least = 1.0
    for name, one in found.items():
        together = joined(one.galleries)
        strangers, identified = _curve(together.strangers, together.nearest[together.right], len(together.nearest))
        least = min(least, 1 / max(len(together.strangers), 1))
        curve.step(strangers, identified, where="post", color=_COLOURS[name], label=name, linewidth=_weight(name))
        points = np.array([_mean_point(one, number) for number in range(len(one.lines[0]))])
        curve.plot(np.maximum(points[:, 1], 1e-9), points[:, 0], "o", color=_COLOURS[name], markersize=6, zorder=5)
        promised = [line.promised for line in one.lines[0]]
        if None not in promised:
            promise.plot(promised, points[:, 1], "o-", color=_COLOURS[name], label=name, linewidth=_weight(name))
    curve.plot([], [], "o", color="black", markersize=6, label="where the rule draws the line")
    _rate_axis(curve, least)
    curve.set_xlabel("strangers named")
    curve.set_ylabel("probes identified")
    curve.set_ylim(_LEAST_SHOWN, 1.005)
    curve.legend(loc="lower right", fontsize="small")
    _promise(promise)
    figure.tight_layout()
    return _save(figure, "open-set")


def throughput(rows: Sequence[Row]) -> Path:
    """Photos a second of CPU for each photo and engine, with the ratios to face_recognition."""
    photos = list(dict.fromkeys(str(row["photo"]) for row in rows))
    figure, axis = _figure("From file to descriptors", 9.5, 4.8)
    width = 0.8 / len(ENGINES)
    for number, name in enumerate(ENGINES):
        mine = [row for row in rows if row["engine"] == name]
        rates = [1000 / _number(row["CPU ms"]) for row in mine]
        places = np.arange(len(photos)) + (number - (len(ENGINES) - 1) / 2) * width
        bars = axis.bar(places, rates, width * 0.94, color=_COLOURS[name], label=name)
        labels = ["" if name == LIBRARY else f"{_number(row['x']):.1f}x" for row in mine]
        axis.bar_label(bars, labels, fontsize=7, padding=2)
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xticks(np.arange(len(photos)), photos)
    axis.set_ylabel("photos a second and core")
    axis.margins(y=0.12)
    axis.legend(fontsize="small")
    return _save(figure, "throughput")


def detection(rows: Sequence[Row]) -> Path:
    """Recall by size of face for each detector."""
    columns = [column for column in rows[0] if column.startswith("recall")]
    figure, axis = _figure("Faces found, by the marked face's shorter side", 7.5, 4.2)
    width = 0.8 / len(rows)
    for number, row in enumerate(rows):
        places = np.arange(len(columns)) + (number - (len(rows) - 1) / 2) * width
        shares = [_number(row[column] or 0.0) for column in columns]
        label = f"{row['detector']}, {_number(row['detect CPU ms']):.0f} ms"
        bars = axis.bar(places, shares, width * 0.94, label=label, color=_DETECTORS[number % len(_DETECTORS)])
        axis.bar_label(bars, [f"{100 * share:.0f} %" for share in shares], fontsize=8, padding=2)
    axis.set_xticks(np.arange(len(columns)), [column.removeprefix("recall ") for column in columns])
    axis.set_ylim(0, 1.07)
    axis.yaxis.set_major_formatter(_PERCENT)
    axis.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return _save(figure, "detection")


def _curve(strangers: Floats, right: Floats, probes: int) -> tuple[Floats, Floats]:
    """Shares of strangers named and of probes identified, at every threshold at which a stranger comes in."""
    thresholds = np.sort(strangers[np.isfinite(strangers)])
    identified = np.searchsorted(np.sort(right), thresholds, side="left") / max(probes, 1)
    return np.arange(len(thresholds)) / max(len(strangers), 1) + 1e-9, identified


def _mean_point(found: Found, number: int) -> tuple[float, float]:
    """Identified and strangers named at a line, mean over the galleries."""
    shares = [
        one.at(lines[number].threshold, lines[number].margin)
        for one, lines in zip(found.galleries, found.lines, strict=True)
    ]
    identified, _, strangers = np.mean(shares, axis=0)
    return float(identified), float(strangers)


def _promise(axis: Axes) -> None:
    """Measured over promised, with the band of a factor of two."""
    ends = np.array([5e-4, 0.03])
    axis.fill_between(ends, ends / 2, ends * 2, color="#eeeeee", label="within a factor of two")
    axis.plot(ends, ends, color="black", linewidth=0.8, linestyle=":")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(*ends)
    axis.set_ylim(ends[0] / 2, ends[1] * 2)
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(_PERCENT)
    axis.set_xlabel("strangers named, as promised")
    axis.set_ylabel("strangers named, as measured")
    axis.legend(fontsize="small", loc="upper left")
    _plain(axis)


def _rate_axis(axis: Axes, least: float) -> None:
    axis.set_xscale("log")
    axis.set_xlim(least, 1.0)
    axis.xaxis.set_major_formatter(_PERCENT)
    axis.yaxis.set_major_formatter(_PERCENT)
    axis.grid(visible=True, which="major", color="#e5e5e5", linewidth=0.8)
    axis.set_axisbelow(True)
    _plain(axis)


def _figure(title: str, width: float, height: float) -> tuple[Figure, Axes]:
    figure, axis = plt.subplots(figsize=(width, height))
    axis.set_title(title, fontsize=11)
    _plain(axis)
    return figure, axis


def _plain(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)


def _weight(name: str) -> float:
    """The default profile stands out."""
    return 2.2 if name == "balanced" else 1.3


def _number(value: str | float | None) -> float:
    assert isinstance(value, int | float)
    return value


def _save(figure: Figure, name: str) -> Path:
    OUT.mkdir(exist_ok=True)
    file = OUT / f"{name}.png"
    figure.savefig(file, dpi=_DPI, bbox_inches="tight")
    plt.close(figure)
    return file
