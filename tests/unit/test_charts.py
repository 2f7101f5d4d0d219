"""Charts, as geometry."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_web.pages.charts import HEIGHT, WIDTH, curve, histogram, lines, scale, stack


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (0, (0, 1)),
        (math.inf, (0, 1)),
        (math.nan, (0, 1)),
        (0.3, (0, 0.1, 0.2, 0.3)),
        (4, (0, 1, 2, 3, 4)),
        (58, (0, 20, 40, 60)),
        (100, (0, 50, 100)),
        (1234, (0, 500, 1000, 1500)),
    ],
)
def test_ticks_are_round(highest: float, ticks: tuple[float, ...]) -> None:
    assert scale(highest) == pytest.approx(ticks)


def test_counts_have_whole_ticks() -> None:
    assert scale(2, whole=True) == (0, 1, 2)
    assert scale(1, whole=True) == (0, 1)


@given(st.floats(1e-6, 1e9))
def test_ticks_reach_what_is_shown_and_are_few(highest: float) -> None:
    ticks = scale(highest)
    assert 2 <= len(ticks) <= 5
    assert ticks[-1] >= highest * (1 - 1e-6)


def test_a_line_goes_from_left_to_right_and_has_gaps() -> None:
    chart = lines([0, 5, 10, 15, 20], {"wait": [0, 2, None, 4, 4]}, begin=0, end=20, across=("then", "now"))
    (shape,) = chart.shapes
    assert shape.line == "M0,150 L150,75 M450,0 L600,0"
    assert shape.area == ""
    assert (chart.up, chart.across) == (("4", "3", "2", "1", "0"), ("then", "now"))
    assert chart.rows == (0, 37.5, 75, 112.5, 150)


def test_the_area_below_a_line_reaches_the_bottom() -> None:
    chart = lines([0, 10], {"wait": [1, 1]}, begin=0, end=10, filled=("wait",))
    assert chart.shapes[0].area == "M0,150 L0,0 L600,0 L600,150 Z"


def test_workers_are_stacked_in_steps() -> None:
    chart = stack([0, 5, 10], {"ready": [1, 1, 1], "booting": [0, 1, 1]}, begin=0, end=10)
    ready, booting = chart.shapes
    assert ready.line == "M0,75 L300,75 L600,75"
    assert booting.line == "M0,75 L300,75 L300,0 L600,0"
    assert booting.area == "M0,75 L300,75 L300,0 L600,0 L600,75 L300,75 L0,75 Z"
    assert chart.up == ("2", "1", "0")


def test_nothing_to_show_is_an_empty_chart() -> None:
    assert [shape.line for shape in lines([], {"wait": []}, begin=0, end=1).shapes] == [""]
    assert [shape.area for shape in stack([], {"ready": []}, begin=0, end=1).shapes] == [""]
    assert histogram({"same": []}, low=0, high=1).bars == ()
    assert curve([]).shapes[0].line == ""


def test_a_histogram_shows_shares_and_leaves_nobody_out() -> None:
    groups = {"same": [0.1, 0.2, 0.3, -5.0], "different": [1.9, 99.0]}
    chart = histogram(groups, low=0, high=2, bins=4, thresholds=[0.5, 7.0])
    assert [(bar.name, bar.x, bar.width, bar.height) for bar in chart.bars] == [
        ("same", 0, 150, HEIGHT),
        ("different", 450, 150, HEIGHT),
    ]
    assert chart.verticals == (150,)
    assert chart.across == ("0", "0.5", "1", "1.5", "2")
    assert (chart.up[0], chart.up[-1]) == ("100 %", "0 %")


def test_a_roc_curve_is_drawn_over_powers_of_ten() -> None:
    chart = curve([(1.0, 1.0), (0.01, 0.5), (0.0, 0.25)], marks=[(0.01, 0.5)], decades=4)
    assert chart.shapes[0].line == "M0,112.5 L300,112.5 L300,75 L600,75 L600,0"
    assert chart.marks == ((300, 75),)
    assert chart.across == ("0.01 %", "0.1 %", "1 %", "10 %", "100 %")


@given(st.lists(st.tuples(st.floats(-10, 110), st.one_of(st.none(), st.floats(0, 1e6))), max_size=20))
def test_nothing_is_drawn_outside(points: list[tuple[float, float | None]]) -> None:
    moments, values = (
        [moment for moment, _ in sorted(points, key=lambda point: point[0])],
        [value for _, value in points],
    )
    chart = lines(moments, {"any": values}, begin=0, end=100, filled=("any",))
    for x, y in re.findall(r"(-?[\d.e+]+),(-?[\d.e+-]+)", chart.shapes[0].line + chart.shapes[0].area):
        assert 0 <= float(x) <= WIDTH
        assert -0.1 <= float(y) <= HEIGHT + 0.1
