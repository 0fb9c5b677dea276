"""The measured figures as the page shows them; what was not measured is not shown."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demos.lab.tab.garments import FAMILIES, model, title, within
from demos.lab.tab.tiles import Cell, meter, table

__all__ = [
    "FIGURES",
    "HEADERS",
    "NOT_YET",
    "auroc_table",
    "bayes_sentence",
    "capability_table",
    "charts",
    "digits_table",
    "found_in",
    "read",
    "rows",
]

FIGURES = Path(__file__).resolve().parents[3] / "checkpoints" / "lab" / "figures.json"
DIGITS, DCGAN = FIGURES.with_name("digits.json"), FIGURES.with_name("dcgan.json")
NOT_YET = "Nothing has been measured yet: run `python -m demos.lab.evaluate --data DIR`, and the figures appear here."
COLUMNS: Mapping[str, tuple[str, int]] = {
    "parameters": ("Parameters", 0),
    "minutes": ("Minutes of training", 1),
    "bits_per_dim": ("Bits/dim", 3),
    "bits_per_dim_given_label": ("Bits/dim, label told", 3),
    "fid": ("FID (our classifier)", 2),
    "precision": ("Precision", 3),
    "recall": ("Recall", 3),
    "density": ("Density", 3),
    "coverage": ("Coverage", 3),
    "seconds_per_64": ("Seconds for 64", 2),
}
"""Columns by their name in the file, with their title and the digits that are shown."""
HEADERS = ["Family", "Kind of density", *[name for name, _ in COLUMNS.values()]]
SMALL, LARGE = "smaller is better", "larger is better"
CHARTS = {"bits_per_dim": SMALL, "fid": SMALL, "precision": LARGE, "recall": LARGE, "coverage": LARGE,
          "seconds_per_64": SMALL}  # fmt: skip
QUESTIONS = {"generation": "Draw x ~ p(x)", "density": "How likely is x", "representation": "What is in x",
             "completion": "Complete a part"}  # fmt: skip


def found_in(path: Path, key: str) -> dict[str, Any]:
    """What a program wrote into a JSON file; empty before it ran, that is without anything under `key`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get(key) else {}


def read() -> dict[str, Any]:
    """What `demos.lab.evaluate` wrote; empty before it ran."""
    return found_in(FIGURES, "families")


def rows(figures: Mapping[str, Any]) -> list[list[Any]]:
    """A row a family, the baseline and the floor, in the order of `HEADERS`; None where nothing was measured."""
    found = []
    named = [(title(name), figures.get("families", {}).get(name)) for name in FAMILIES]
    beside = [("Baseline: DCGAN", found_in(DCGAN, "fid")), ("Floor: real pictures", figures.get("floor"))]
    for name, row in [*named, *beside]:
        if row:
            values = [
                None if row.get(key) is None else round(row[key], digits) if digits else int(row[key])
                for key, (_, digits) in COLUMNS.items()
            ]
            found.append([name, row.get("kind") or "–", *values])
    return found


def _bars(key: str, figures: Mapping[str, Any]) -> str:
    named, digits = COLUMNS[key]
    families = figures["families"]
    values = {title(name): families[name][key] for name in FAMILIES if families.get(name, {}).get(key) is not None}
    if not values:
        return ""
    most = max(values.values())
    bars = "".join(
        f"<span>{n}</span>{meter(100 * v / most, f'{n}: {v:.{digits}f}')}<span>{v:.{digits}f}</span>"
        for n, v in values.items()
    )
    return f'<div><div class="bars"><h4>{named}<span class="soft"> · {CHARTS[key]}</span></h4>{bars}</div></div>'


def charts(figures: Mapping[str, Any]) -> str:
    """A small bar chart for each of `CHARTS`."""
    return f'<div class="charts">{"".join(_bars(key, figures) for key in CHARTS)}</div>'


def capability_table() -> str:
    """Who can do what, read from the families' code."""
    head: list[Cell] = [("Family", ""), *[(words, "") for words in QUESTIONS.values()], ("Parameters", "number")]
    body: list[tuple[str, list[Cell]]] = []
    for name, row in model().families().items():
        cells: list[Cell] = [(title(name), "")]
        cells += [_answer(row[question]["able"], _note(row, question)) for question in QUESTIONS]
        body.append(("", [*cells, (f"{row['parameters']:,}", "number")]))
    return table(head, body)


def capability_list(family: str) -> str:
    """What one family can and cannot do, read from its code."""
    row = model().families()[family]
    parts = [(words, row[question]["able"], _note(row, question)) for question, words in QUESTIONS.items()]
    return table(
        [("Asked", ""), (title(family), "")],
        [("", [(words, ""), _answer(can, note)]) for words, can, note in parts],
    )


def _note(row: Mapping[str, Any], question: str) -> str:
    return html.escape(row[question]["note"].removeprefix(f"{row['title']}: "))


def _answer(can: bool, note: str) -> Cell:
    return (f"Yes{f': {note}' if note else ''}", "yes") if can else (f"No: {note}", "not")


def auroc_table(figures: Mapping[str, Any]) -> str:
    """How well each score tells garments from digits and from noise."""
    found = figures.get("auroc")
    if not found:
        return ""
    head: list[Cell] = [("Score", ""), ("Against MNIST", "number"), ("", "bar"), ("Against noise", "number")]
    body: list[tuple[str, list[Cell]]] = []
    for row in found.values():
        said = f"{row['title']}: {row['mnist']:.3f}"
        cells: list[Cell] = [
            (html.escape(row["title"]), ""), (f"{row['mnist']:.3f}", "number"), (meter(100 * row["mnist"], said), ""),
            (f"{row['noise']:.3f}", "number"),
        ]  # fmt: skip
        body.append(("", cells))
    return f"<h3>What tells garments from digits</h3>{table(head, body)}"


def digits_table() -> str:
    """Figures on MNIST beside published ones, as `demos.lab.digits` wrote them; empty before it ran."""
    found = found_in(DIGITS, "models")
    if not found:
        return ""
    head: list[Cell] = [("Model", ""), ("Measured", "number"), ("Kind", ""), ("Published", ""),
                        ("Parameters", "number"), ("Core minutes", "number")]  # fmt: skip
    body: list[tuple[str, list[Cell]]] = []
    for row in found["models"].values():
        digits = 1 if row["unit"] == "nats" else 3
        measured = f"{row['value']:.{digits}f} {row['unit']}"
        published = "; ".join(f"{name}: {value:.2f}" for name, value in row["published"].items())
        cells: list[Cell] = [
            (html.escape(row["title"]), ""), (measured, "number"), (html.escape(_kind(row)), ""),
            (html.escape(published), ""), (f"{row['parameters']:,}", "number"),
            (f"{row['core_minutes']:.0f}", "number"),
        ]  # fmt: skip
        body.append(("", cells))
    note = f'<p class="soft">{html.escape(found["note"])}</p>'
    return f"<h3>On MNIST, beside published figures</h3>{table(head, body)}{note}"


def _kind(row: Mapping[str, Any]) -> str:
    weighted = row.get("importance")
    return row["kind"] if weighted is None else f"{row['kind']}; with {row['draws']} draws {weighted:.1f}"


def bayes_sentence(figures: Mapping[str, Any]) -> str:
    """The accuracy of both classifiers on test pictures, if it was measured."""
    found = figures.get("bayes")
    if not found:
        return NOT_YET
    return (
        f"Measured on {found['n']:,} test pictures: the classifier names {100 * found['discriminative']:.1f} % right, "
        f"Bayes’ rule with the {within(found['family'])} density {100 * found['generative']:.1f} %."
    )
