"""Charts: ticks, places, thinning, words."""

import re

import pytest

from segtune.report.chart import MAX_POINTS, line_chart, thinned, ticks


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.61, False, [0, 0.2, 0.4, 0.6, 0.8]),
        (0, 4e-6, False, [0, 1e-6, 2e-6, 3e-6, 4e-6]),
        (0, 1234, False, [0, 500, 1000, 1500]),
        (0.5, 1.5, True, [0, 1, 2]),
        (1, 2, True, [1, 2]),
        (1, 500, True, [0, 100, 200, 300, 400, 500]),
        (7, 9, True, [7, 8, 9]),
    ],
)
def test_ticks_are_round_and_cover(low, high, whole, expected):
    assert ticks(low, high, whole) == expected


@pytest.mark.parametrize("count", [1, 2, 9, 500, 5000])
def test_all_points_lie_in_the_plot(count):
    chart = line_chart("loss", "epoch", [(float(x), 1 / x) for x in range(1, count + 1)], marked=count)
    circles = [tuple(map(float, place)) for place in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', chart)]
    assert len(circles) <= MAX_POINTS + 2
    assert all(0 <= x <= 360 and 0 <= y <= 230 for x, y in circles)
    assert chart.count("marked") == 1
    assert len(chart) < 200_000


@pytest.mark.parametrize("value", [0.0, 1e-12, 1e9])
def test_any_value_can_be_drawn(value):
    assert "<svg" in line_chart("loss", "epoch", [(1.0, value), (2.0, value)])


def test_thinning_keeps_the_ends_and_the_marked():
    kept = thinned([(float(x), 0.0) for x in range(1, 2001)], marked=777)
    assert {1.0, 777.0, 2000.0} <= {x for x, _ in kept}
    assert len(kept) <= MAX_POINTS + 2


def test_words_say_what_the_curve_does():
    chart = line_chart("a <b>", "epoch", [(1.0, 0.5), (2.0, 0.125), (3.0, 0.25)])
    assert "a &lt;b&gt;: from 0.5 at epoch 1 to 0.25 at epoch 3; lowest 0.125, highest 0.5" in chart
