"""Charts are well-formed SVG that shows what it was given."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np

from demos.ui.plots import curve, histogram
from demos.ui.theme import CSS


def parts(svg: str, tag: str, kind: str) -> list[ElementTree.Element]:
    return [e for e in ElementTree.fromstring(svg).iter(tag) if e.get("class") == kind]


def number(element: ElementTree.Element, name: str) -> float:
    return float(element.get(name) or "nan")


def test_bars_are_as_high_as_their_counts() -> None:
    svg = histogram({"normal": [0, 0, 0, 1], "bad": [1, 1]}, bins=2)
    quiet, loud = (parts(svg, "rect", f"at-bars-{i}")[:-1] for i in (0, 1))
    heights = [number(e, "height") for e in quiet]
    assert len(quiet) == 2 and math.isclose(heights[0], 3 * heights[1], rel_tol=0.01)
    assert len(loud) == 1 and math.isclose(number(loud[0], "height"), 2 * heights[1], rel_tol=0.01)


def test_three_groups_have_colours_of_their_own() -> None:
    svg = histogram({"garments": [1, 2], "digits": [2, 3], "noise": [8, 9]}, bins=4)
    for i in range(3):
        assert len(parts(svg, "rect", f"at-bars-{i}")) >= 2 and f".at-bars-{i} {{ fill" in CSS
    assert "garments" in svg and "2 noise" in svg


def test_marks_lie_where_their_numbers_are() -> None:
    svg = histogram({"normal": [0, 10]}, {"threshold": 5, "this": 10, "nowhere": math.nan})
    ends = [number(e, "x1") for e in parts(svg, "line", "at-axis")]
    (threshold, _), (this, _) = (parts(svg, "line", f"at-mark-{i}") for i in (0, 1))
    left, right = ends[0], number(parts(svg, "line", "at-axis")[0], "x2")
    assert math.isclose(number(threshold, "x1"), (left + right) / 2, abs_tol=0.2)
    assert math.isclose(number(this, "x1"), right, abs_tol=0.2)
    assert "nowhere" not in svg


def test_strange_numbers_are_left_out() -> None:
    assert histogram({"normal": []}) == ""
    svg = histogram({"normal": [math.nan, math.inf, 3.0]})
    assert len(parts(svg, "rect", "at-bars-0")) == 2
    assert ElementTree.fromstring(histogram({"normal": [2.0] * 5})) is not None


def test_what_is_too_far_away_is_in_the_last_bar() -> None:
    svg = histogram({"normal": [0, 1, 2, 900]}, {"threshold": 2, "this": 5000}, bins=4, most=4)
    axis = parts(svg, "line", "at-axis")[0]
    (this, _) = parts(svg, "line", "at-mark-1")
    assert math.isclose(number(this, "x1"), number(axis, "x2"), abs_tol=0.1) and "5000" in svg
    assert len(parts(svg, "rect", "at-bars-0")) == 5


def test_names_are_escaped() -> None:
    svg = histogram({"<script>": [1, 2]}, {"a & b": 1.5}, title="<x>")
    assert "<script>" not in svg and ElementTree.fromstring(svg) is not None


def test_a_curve_runs_from_corner_to_corner() -> None:
    svg = curve(np.array([0, 0.5, 1]), np.array([0, 0.9, 1]), ("x", "y"), chance=[(0, 0), (1, 1)], at=(0.5, 0.9))
    (line,) = parts(svg, "polyline", "at-line")
    (x0, y0), (x1, y1), (x2, y2) = (map(float, p.split(",")) for p in (line.get("points") or "").split())
    assert x0 < x1 < x2 and y0 > y1 > y2
    (point,) = parts(svg, "circle", "at-point")
    assert math.isclose(number(point, "cx"), x1, abs_tol=0.1) and math.isclose(number(point, "cy"), y1, abs_tol=0.1)
    (chance,) = parts(svg, "line", "at-chance")
    assert math.isclose(number(chance, "x1"), x0, abs_tol=0.1) and math.isclose(number(chance, "y2"), y2, abs_tol=0.1)
