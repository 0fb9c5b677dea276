"""The figures of `demos.lab.experiments` as charts and sentences; what was not measured is not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from demos.lab.tab import figures
from demos.lab.tab.lines import Point, lines
from demos.ui.plots import histogram

__all__ = [
    "augment_chart",
    "digits_charts",
    "digits_sentence",
    "inverted_sentence",
    "label_chart",
    "not_yet",
    "read",
    "robustness_charts",
]

ARMS = {
    "real": "Real only",
    "moved": "Mirrored and moved",
    "own": "With VAE of the same n",
    "vae": "With VAE",
    "gan": "With GAN",
    "score": "With score-based",
}
"""Lines of the chart on augmentation, by their name in the file."""
CLASSIFIERS = {"discriminative": "Discriminative", "generative": "Generative"}
WAYS = {"noise": "noise, of 255", "rotation": "rotation, degrees"}
SCORES = {"autoregressive": "−log p", "complexity": "−log p less PNG"}
RIGHT = "right, %"
SURE = 0.9


def read(stage: str) -> dict[str, Any]:
    """What a stage of `demos.lab.experiments` wrote; empty before it ran."""
    return figures.found_in(figures.FIGURES.with_name(f"{stage}.json"), "rows")


def not_yet(stage: str) -> str:
    """What is said instead of figures."""
    return f"Nothing has been measured yet: run `python -m demos.lab.experiments {stage} --data DIR`."


def _points(rows: Sequence[Mapping[str, Any]], value: str = "accuracy") -> list[Point]:
    """Mean and standard deviation in percent for each number of pictures."""
    places = sorted({row["n"] for row in rows})
    values = [[100 * row[value] for row in rows if row["n"] == place] for place in places]
    return [(x, float(np.mean(v)), float(np.std(v))) for x, v in zip(places, values, strict=True)]


def augment_chart(found: Mapping[str, Any]) -> str:
    """Accuracy by the number of real pictures, a line for each way of having more of them."""
    rows = found.get("rows", [])
    series = {name: _points([row for row in rows if row["arm"] == arm and row["n"]]) for arm, name in ARMS.items()}
    none = {name: _points([row for row in rows if row["arm"] == arm and not row["n"]]) for arm, name in ARMS.items()}
    ticks = sorted({row["n"] for row in rows if row["n"]})
    return lines(
        {name: points for name, points in series.items() if points},
        ("real pictures", RIGHT),
        ticks,
        log=True,
        levels={name: points[0][1] for name, points in none.items() if points},
    )


def label_chart(found: Mapping[str, Any]) -> str:
    """Accuracy of both classifiers by the number of labels."""
    rows = found.get("rows", [])
    series = {name: _points([row for row in rows if row["classifier"] == kind]) for kind, name in CLASSIFIERS.items()}
    ticks = sorted({row["n"] for row in rows})
    return lines(series, ("labels", RIGHT), ticks, log=True)


def robustness_charts(found: Mapping[str, Any]) -> str:
    """Accuracy of both classifiers under noise and rotation, side by side."""
    charts = []
    for way, words in WAYS.items():
        rows = sorted(
            (row for row in found["rows"] if row["way"] == way or row["amount"] == 0), key=lambda row: row["amount"]
        )
        series = {
            name: [(row["amount"], 100 * row[kind]["accuracy"], 0.0) for row in rows]
            for kind, name in CLASSIFIERS.items()
        }
        charts.append(lines(series, (words, RIGHT), [row["amount"] for row in rows], range_y=(0, 100)))
    return f'<div class="pair">{"".join(charts)}</div>'


def inverted_sentence(found: Mapping[str, Any]) -> str:
    """What inversion does to both."""
    row = next((row for row in found["rows"] if row["way"] == "inversion"), None)
    if row is None:
        return ""
    told = [
        f"the {name.lower()} classifier names {100 * row[kind]['accuracy']:.0f} % right and is "
        f"{100 * row[kind]['confidence']:.0f} % sure on average"
        for kind, name in CLASSIFIERS.items()
    ]
    return f"Inverted, {told[0]}; {told[1]}. "


def digits_sentence(found: Mapping[str, Any]) -> str:
    """What the charts of `digits_charts` show."""
    digits = found["digits"]
    sure, bayes = (100 * float(np.mean(np.asarray(digits[kind]["digits"]) > SURE)) for kind in CLASSIFIERS)
    raw, rest = (100 * float(np.mean(np.asarray(digits["percentiles"][score]) > 95)) for score in SCORES)
    return (
        f"p(y | x) must name a garment for every digit: the discriminative classifier is more than {100 * SURE:.0f} % "
        f"sure of {sure:.0f} % of the digits, the generative one of {bayes:.0f} %. Only p(x) can say that a picture is "
        f"neither; but −log p alone puts just {raw:.0f} % of the digits above the 95th percentile of garments, less "
        f"the size of a PNG file {rest:.0f} %."
    )


def digits_charts(found: Mapping[str, Any]) -> str:
    """How sure both are of garments and of digits, and where digits lie among garments by two scores."""
    digits = found.get("digits")
    if not digits:
        return ""
    sure = [
        histogram(digits[kind], title=f"highest p(y | x), {name.lower()}", bins=20)
        for kind, name in CLASSIFIERS.items()
    ]
    lie = [
        histogram({"digits": digits["percentiles"][score]}, title=f"percentile of digits, {words}", bins=20)
        for score, words in SCORES.items()
    ]
    return f'<div class="pair">{"".join(f"<div>{plot}</div>" for plot in (*sure, *lie))}</div>'
