"""Charts: from numbers to the geometry of an SVG. Pure.

A chart is drawn in a box of WIDTH by HEIGHT that is stretched to its place on the page; its labels stand beside it
as text, evenly spaced, so that they keep their size. The template charts.html draws what is computed here.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600.0, 150.0
_STEPS = (1.0, 2.0, 5.0, 10.0)
_MOST_STEPS = 4
_LEAST = 1e-9  # less is nothing
Values = Sequence[float | None]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """A line, and the area below it: path data of SVG."""

    name: str
    line: str
    area: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a histogram."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """What is to be drawn."""

    up: tuple[str, ...]
    """Labels of the vertical axis, from top to bottom, evenly spaced."""
    across: tuple[str, ...]
    """Labels of the horizontal axis, from left to right, evenly spaced."""
    shapes: tuple[Shape, ...] = ()
    bars: tuple[Bar, ...] = ()
    marks: tuple[Point, ...] = ()
    """Points that stand out."""
    verticals: tuple[float, ...] = ()
    """Where lines from top to bottom stand, such as that of a threshold."""

    @property
    def rows(self) -> tuple[float, ...]:
        """Where the grid's horizontal lines are."""
        return tuple(_short(HEIGHT * row / (len(self.up) - 1)) for row in range(len(self.up)))


def scale(highest: float, *, whole: bool = False) -> tuple[float, ...]:
    """Round numbers from 0 to at least the highest, evenly spaced, two to five of them; `whole`: integers only."""
    if not _LEAST < highest < math.inf:
        return (0.0, 1.0)
    rough = highest / _MOST_STEPS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in _STEPS if factor * power >= rough * (1 - 1e-9))
    step = max(step, 1.0) if whole else step
    return tuple(step * number for number in range(math.ceil(highest / step * (1 - 1e-9)) + 1))


def lines(
    moments: Sequence[float],
    series: Mapping[str, Values],
    *,
    begin: float,
    end: float,
    across: Sequence[str] = (),
    filled: Sequence[str] = (),
) -> Chart:
    """Values over time, each a line that has gaps where values are None; `filled`: series with an area below."""
    highest = max((value for values in series.values() for value in values if value is not None), default=0.0)
    ticks = scale(highest)
    shapes = []
    for name, values in series.items():
        runs = _runs(moments, values, begin, end, ticks[-1])
        area = " ".join(_closed(run) for run in runs) if name in filled else ""
        shapes.append(Shape(name, " ".join(_path(run) for run in runs), area))
    return Chart(_labels(ticks), tuple(across), tuple(shapes))


def stack(
    moments: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    begin: float,
    end: float,
    across: Sequence[str] = (),
) -> Chart:
    """Counts over time, one on top of the other; each holds until the next moment."""
    totals = [0.0] * len(moments)
    layers = []
    for name, values in series.items():
        below, totals = totals, [under + value for under, value in zip(totals, values, strict=True)]
        layers.append((name, below, totals))
    ticks = scale(max(totals, default=0.0), whole=True)
    shapes = []
    for name, below, above in layers:
        top, bottom = (_stairs(_placed(moments, values, begin, end, ticks[-1])) for values in (above, below))
        area = f"{_path([*top, *reversed(bottom)])} Z" if top else ""
        shapes.append(Shape(name, _path(top), area))
    return Chart(_labels(ticks), tuple(across), tuple(shapes))


def histogram(
    groups: Mapping[str, Sequence[float]],
    *,
    low: float,
    high: float,
    bins: int = 40,
    thresholds: Sequence[float] = (),
) -> Chart:
    """How values are spread from `low` to `high`, each group in shares of its own; what lies outside is at the ends."""
    heights = {name: _shares(values, low, high, bins) for name, values in groups.items()}
    ticks = scale(max((share for shares in heights.values() for share in shares), default=0.0))
    width = WIDTH / bins
    bars = [
        Bar(
            name,
            _short(number * width),
            _short(_y(share, ticks[-1])),
            _short(width),
            _short(HEIGHT * share / ticks[-1]),
        )
        for name, shares in heights.items()
        for number, share in enumerate(shares)
        if share
    ]
    across = tuple(f"{low + (high - low) * part / 4:g}" for part in range(5))
    verticals = tuple(_short(WIDTH * (value - low) / (high - low)) for value in thresholds if low <= value <= high)
    return Chart(tuple(f"{100 * tick:g} %" for tick in reversed(ticks)), across, bars=tuple(bars), verticals=verticals)


def curve(points: Sequence[Point], *, marks: Sequence[Point] = (), decades: int = 4) -> Chart:
    """A ROC curve: share of false matches, from 10^-decades to 1 by powers of ten, against share of true ones."""

    def placed(point: Point) -> Point:
        wrong = max(point[0], 10.0**-decades)
        return WIDTH * (1 + math.log10(min(wrong, 1.0)) / decades), HEIGHT * (1 - min(max(point[1], 0.0), 1.0))

    corners = _stairs([placed(point) for point in sorted(points)])
    shape = Shape("curve", _path(corners), _closed(corners))
    across = tuple(f"{100 * 10.0**-power:g} %" for power in range(decades, -1, -1))
    up = tuple(f"{percent} %" for percent in (100, 75, 50, 25, 0))
    return Chart(up, across, (shape,), marks=tuple(_rounded(placed(mark)) for mark in marks))


def _shares(values: Sequence[float], low: float, high: float, bins: int) -> list[float]:
    edges = [low + (high - low) * number / bins for number in range(1, bins)]
    counts = [0] * bins
    for value in values:
        counts[bisect_right(edges, value)] += 1
    return [count / len(values) if values else 0.0 for count in counts]


def _labels(ticks: Sequence[float]) -> tuple[str, ...]:
    return tuple(f"{tick:g}" for tick in reversed(ticks))


def _x(moment: float, begin: float, end: float) -> float:
    return WIDTH * min(max((moment - begin) / (end - begin), 0.0), 1.0)


def _y(value: float, top: float) -> float:
    return HEIGHT * (1 - value / top)


def _placed(moments: Sequence[float], values: Sequence[float], begin: float, end: float, top: float) -> list[Point]:
    return [(_x(moment, begin, end), _y(value, top)) for moment, value in zip(moments, values, strict=True)]


def _runs(moments: Sequence[float], values: Values, begin: float, end: float, top: float) -> list[list[Point]]:
    """The points of a line, in pieces where there are gaps."""
    runs: list[list[Point]] = [[]]
    for moment, value in zip(moments, values, strict=True):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((_x(moment, begin, end), _y(value, top)))
    return [run for run in runs if run]


def _stairs(points: Sequence[Point]) -> list[Point]:
    """The points, with a corner before each that is not on the level of the one before."""
    corners: list[Point] = []
    for x, y in points:
        if corners and corners[-1][1] != y:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return corners


def _path(points: Sequence[Point]) -> str:
    return "M" + " L".join(f"{_short(x):g},{_short(y):g}" for x, y in points) if points else ""


def _closed(points: Sequence[Point]) -> str:
    """The area between a line and the bottom."""
    if not points:
        return ""
    return f"{_path([(points[0][0], HEIGHT), *points, (points[-1][0], HEIGHT)])} Z"


def _short(number: float) -> float:
    return round(number, 1)


def _rounded(point: Point) -> Point:
    return _short(point[0]), _short(point[1])
