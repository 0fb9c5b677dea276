"""Small charts as SVG text for `gr.HTML`: they take the page's own colours, so light and dark need nothing more.

Gradio's `gr.Plot` draws a picture in one theme (matplotlib), fetches a megabyte (Plotly), or leaves a Vega-Lite chart
without the page's width and colours.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

__all__ = ["curve", "histogram"]

Numbers = Sequence[float] | np.ndarray
WIDTH, NARROW, HEIGHT = 480, 270, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 26, 40


def histogram(
    groups: Mapping[str, Numbers],
    marks: Mapping[str, float] | None = None,
    *,
    title: str = "score",
    bins: int = 40,
    most: float = math.inf,
) -> str:
    """Bars of one to three groups of numbers over each other, and named vertical lines.

    Args:
        groups: numbers by name, the first in a quiet colour, the second in the accent, the third in ink. What is not
            finite is left out.
        marks: places of the lines by name, the first dashed.
        title: of the horizontal axis.
        bins: how many bars.
        most: what lies above is counted in the last bar, and drawn at its end.
    """
    marks = {name: float(value) for name, value in (marks or {}).items() if np.isfinite(value)}
    finite = {
        name: (v := np.asarray(values, float))[np.isfinite(v)].clip(None, most) for name, values in groups.items()
    }
    ends = np.concatenate([*finite.values(), np.array(list(marks.values()), float).clip(None, most)])
    if not len(ends):
        return ""
    low, high = float(ends.min()), float(ends.max())
    edges = np.linspace(low, high if high > low else low + 1, bins + 1).tolist()
    counts = {name: np.histogram(values, edges)[0] for name, values in finite.items()}
    top = max(1, *(int(count.max()) for count in counts.values()))
    x, y = _scale(edges[0], edges[-1], LEFT, WIDTH - RIGHT), _scale(0, top, HEIGHT - BOTTOM, TOP)
    parts = _axes(WIDTH, (edges[0], edges[-1]), top, title, "pictures")
    legend = []
    for i, (name, count) in enumerate(counts.items()):
        legend.append((f"at-bars-{i}", name))
        for j in np.flatnonzero(count):
            left, right, above = x(edges[j]), x(edges[j + 1]), y(count[j])
            parts.append(
                f'<rect class="at-bars-{i}" x="{left + 0.4:.1f}" y="{above:.1f}" '
                f'width="{max(1.0, right - left - 0.8):.1f}" height="{HEIGHT - BOTTOM - above:.1f}"/>'
            )
    for i, (name, value) in enumerate(marks.items()):
        legend.append((f"at-mark-{i}", f"{name} {value:.2f}"))
        place = x(min(value, most))
        parts.append(_line(f"at-mark-{i}", place, TOP, place, HEIGHT - BOTTOM))
    spoken = "; ".join(f"{len(v)} {name}" for name, v in finite.items())
    return _svg(WIDTH, parts, legend, f"Histogram of {title}: {spoken}")


def curve(
    x: Numbers,
    y: Numbers,
    titles: tuple[str, str],
    *,
    chance: Sequence[tuple[float, float]] = (),
    at: tuple[float, float] | None = None,
) -> str:
    """One line in the unit square, with the line of chance and the point in use.

    Args:
        x, y: places of the line, equally many, in [0, 1].
        titles: of the axes.
        chance: the two ends of a dashed line.
        at: a point to be marked.
    """
    across, up = _scale(0, 1, LEFT, NARROW - RIGHT), _scale(0, 1, HEIGHT - BOTTOM, TOP)
    parts = _axes(NARROW, (0, 1), 1, *titles)
    if chance:
        (x1, y1), (x2, y2) = chance
        parts.append(_line("at-chance", across(x1), up(y1), across(x2), up(y2)))
    points = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in zip(x, y, strict=True))
    parts.append(f'<polyline class="at-line" points="{points}"/>')
    if at is not None:
        parts.append(f'<circle class="at-point" cx="{across(at[0]):.1f}" cy="{up(at[1]):.1f}" r="4.5"/>')
    return _svg(NARROW, parts, [], f"{titles[1]} against {titles[0]}")


def _scale(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    """The straight map that takes `low` to `first` and `high` to `last`."""
    return lambda value: first + (value - low) * (last - first) / (high - low)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _axes(width: int, ends: tuple[float, float], top: float, x_title: str, y_title: str) -> list[str]:
    """Grid, numbers and titles: five numbers across, the two ends upwards."""
    low, high = ends
    right = width - RIGHT
    floor, x = HEIGHT - BOTTOM, _scale(low, high, LEFT, right)
    digits = int(np.clip(2 - np.floor(np.log10(max(high - low, 1e-9))), 0, 4))
    parts = [_line("at-axis", LEFT, floor, right, floor), _line("at-axis", LEFT, TOP, right, TOP)]
    for value in np.linspace(low, high, 5):
        parts.append(f'<text x="{x(value):.1f}" y="{floor + 15}" text-anchor="middle">{value:.{digits}f}</text>')
    parts += [
        f'<text x="{LEFT - 6}" y="{floor}" text-anchor="end">0</text>',
        f'<text x="{LEFT - 6}" y="{TOP + 8}" text-anchor="end">{top:g}</text>',
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(x_title)}</text>',
        f'<text transform="translate(13 {(TOP + floor) / 2}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(y_title)}</text>",
    ]
    return parts


def _svg(width: int, parts: Sequence[str], legend: Sequence[tuple[str, str]], spoken: str) -> str:
    keys, at = [], float(LEFT)
    for kind, name in legend:
        box = f'<rect class="{kind}" x="{at}" y="7" width="12" height="10"/>'
        shape = _line(kind, at + 6, 6, at + 6, 18) if "mark" in kind else box
        keys.append(f'{shape}<text x="{at + 18:.0f}" y="16">{html.escape(name)}</text>')
        at += 34 + 6.2 * len(name)
    body = "".join([*parts, *keys])
    label = html.escape(spoken)
    return f'<svg class="at-plot" viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{label}">{body}</svg>'
