"""Axes, dots, lines and parallel coordinates: places on paper."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_lab.pages.charts.parallel import Line, ParallelAxis, parallel_chart
from recsys_lab.pages.charts.xy import Axis, Series, padded, xy_chart


@given(st.floats(1e-6, 1e5), st.floats(1.001, 1e4), st.booleans())
def test_ticks_stand_on_the_axis_in_order(low, ratio, log):
    axis = Axis("a", low, low * ratio, log=log)
    shares = [share for share, _ in axis.ticks()]
    assert shares == sorted(shares)
    assert all(-1e-6 <= share <= 1 + 1e-6 for share in shares)
    assert 2 <= len(shares) <= 8 or not log
    assert axis.share(low) == pytest.approx(0)
    assert axis.share(low * ratio) == pytest.approx(1)


def test_places_on_the_axes():
    assert Axis("a", 1e-4, 1e-2, log=True).share(1e-3) == pytest.approx(0.5)
    assert Axis("a", names=["x", "y"]).ticks() == [(0.25, "x"), (0.75, "y")]
    assert Axis("a", 2, 2).share(2) == 0.5
    assert [text for _, text in Axis("a", 1, 3, whole=True).ticks()] == ["1", "2", "3"]
    assert [text for _, text in Axis("a", 0.9, 1.1, whole=True).ticks()] == ["1"]
    assert padded("a", [5.0, 5.0]).share(5) == pytest.approx(0.5)
    chart = xy_chart(
        [Series([(0, 0, "low"), (10, 1, "high")]), Series([(0, 0, ""), (10, 1, "")], "steps")],
        Axis("x", 0, 10), Axis("y", 0, 1), key="k", title="t", description="d",
    )  # fmt: skip
    root = ElementTree.fromstring(chart)
    low, high = root.iter("circle")
    assert float(low.get("cx")) < float(high.get("cx"))
    assert float(low.get("cy")) > float(high.get("cy"))  # y points down on paper
    [steps] = root.iter("polyline")
    corners = [tuple(map(float, pair.split(","))) for pair in steps.get("points").split()]
    assert corners[1] == (corners[2][0], corners[0][1])
    assert len(corners) == 3


def test_parallel_lines_without_a_value_run_below_the_axes():
    axes = [ParallelAxis("a", [(0, "0"), (1, "9")]), ParallelAxis("b", [])]
    lines = [Line([0.0, 1.0], 1.0, "best"), Line([0.5, None], 0.0, "other")]
    root = ElementTree.fromstring(parallel_chart(axes, lines, key="k", title="t", description="d"))
    other, best = root.iter("polyline")  # the strong one lies above
    assert best.find("title").text == "best"
    heights = [float(pair.split(",")[1]) for pair in other.get("points").split()]
    assert heights[1] > float(best.get("points").split()[0].split(",")[1])
    assert any(text.text == "not set" for text in root.iter("text"))
