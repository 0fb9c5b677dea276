"""Several measured lines in one chart, as an SVG for `pane`: means and spreads, over numbers or their logarithm."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence

__all__ = ["MOST", "Point", "lines"]

Point = tuple[float, float, float]
"""Place, value, and the spread that is drawn above and below it."""
MOST = 6
WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40


def lines(
    series: Mapping[str, Sequence[Point]],
    titles: tuple[str, str],
    ticks: Sequence[float],
    *,
    log: bool = False,
    levels: Mapping[str, float] | None = None,
    range_y: tuple[float, float] | None = None,
) -> str:
    """Up to `MOST` lines, the first in ink, and a legend; an empty text without any point.

    Args:
        series: points by the line's name, ascending.
        titles: of the horizontal and the vertical axis.
        ticks: numbers under the horizontal axis; the first and the last are its ends.
        log: whether the horizontal axis is logarithmic.
        levels: dotted horizontal lines in the colour of the line of that name.
        range_y: ends of the vertical axis; None takes those of the values, at full tenths of a power of ten.
    """
    levels = levels or {}
    if not any(series.values()):
        return ""
    values = [v for points in series.values() for _, mean, spread in points for v in (mean - spread, mean + spread)]
    low, high, step = _rounded(*(range_y or (min([*values, *levels.values()]), max([*values, *levels.values()]))))
    warp: Callable[[float], float] = math.log if log else float
    across = _straight(warp(ticks[0]), warp(ticks[-1]), LEFT, WIDTH - RIGHT)
    up = _straight(low, high, HEIGHT - BOTTOM, TOP)
    parts, said = _axes(lambda v: across(warp(v)), up, titles, ticks, (low, high, step)), []
    for i, (name, points) in enumerate(series.items()):
        if name in levels:
            at = f"{up(levels[name]):.1f}"
            parts.append(f'<path class="line-{i} level" d="M{LEFT} {at}H{WIDTH - RIGHT}"/>')
        places = [(across(warp(x)), up(mean), up(mean - spread), up(mean + spread)) for x, mean, spread in points]
        if not places:
            continue
        parts.append(f'<path class="line-{i}" d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in places)}"/>')
        bars = "".join(f"M{x:.1f} {a:.1f}V{b:.1f}" for x, _, a, b in places if a != b)
        parts.append(f'<path class="line-{i} spread" d="{bars}"/>' if bars else "")
        if len(places) <= 20:
            parts += [f'<circle class="line-{i}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y, _, _ in places]
        said.append(f"{name} from {points[0][1]:.3g} to {points[-1][1]:.3g}")
    keys = "".join(
        f'<li><svg viewBox="0 0 22 8" aria-hidden="true"><path class="line-{i}" d="M1 4H21"/></svg>'
        f"{html.escape(name)}</li>"
        for i, name in enumerate(series)
    )
    label = html.escape(f"{titles[1]} by {titles[0]}: {'; '.join(said)}")
    return (
        f'<div class="lines"><ul>{keys}</ul><svg class="at-plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg></div>'
    )


def _straight(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    """The straight map that takes `low` to `first` and `high` to `last`."""
    return lambda value: first + (value - low) * (last - first) / (high - low)


def _rounded(low: float, high: float) -> tuple[float, float, float]:
    """Ends of an axis around both, and the distance of its numbers, at least three and at most seven of them."""
    if high - low < 1e-6:
        low, high = low - 1, high + 1
    wide = high - low
    size = 10.0 ** math.floor(math.log10(wide))
    step = next(size * part for part in (0.2, 0.5, 1, 2) if wide / (size * part) <= 5.5)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def _axes(
    across: Callable[[float], float],
    up: Callable[[float], float],
    titles: tuple[str, str],
    ticks: Sequence[float],
    y: tuple[float, float, float],
) -> list[str]:
    low, high, step = y
    floor, parts = HEIGHT - BOTTOM, []
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    for i in range(round((high - low) / step) + 1):
        value = low + i * step
        parts.append(f'<path class="at-axis" d="M{LEFT} {up(value):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{up(value) + 4:.1f}" text-anchor="end">{value:.{digits}f}</text>')
    for i, tick in enumerate(ticks):
        anchor = "end" if i == len(ticks) - 1 else "middle"
        parts.append(f'<text x="{across(tick):.1f}" y="{floor + 16}" text-anchor="{anchor}">{tick:,g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(titles[0])}</text>')
    parts.append(
        f'<text transform="translate(12 {(TOP + floor) / 2}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(titles[1])}</text>"
    )
    return parts
