"""What the page calls about one picture: how likely it is, how unusual, what it shows, and each family's copy of it."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demos.lab.tab.garments import FAMILIES, example, hand_html, model, of_drawing, title
from demos.lab.tab.tiles import Cell, chances, meter, row, table, tile
from demos.ui.events import JOBS, guard
from demos.ui.plots import histogram

__all__ = ["ask", "drawn", "hand_over", "score_plot", "taken"]

LANE = "lab-asking"
HERE = "picture"
GROUPS = {"fashion": "garments", "mnist": "digits", "noise": "noise"}
HEAD: list[Cell] = [("Family", ""), ("Bits/dim", "number"), ("Kind", ""), ("Percentile", "number"), ("", "bar")]
SCORE_HEAD: list[Cell] = [
    ("Score", ""), ("Value", "number"), ("Percentile", "number"), ("", "bar"), ("AUROC, digits", "number"),
]  # fmt: skip


@guard
def drawn(strokes: str, before: str, hand: Image.Image | None) -> tuple[Any, ...]:
    """The drawing as the picture in hand: picture, how it is shown, strokes; nothing if it is as it was before."""
    if strokes == before and hand is not None:
        return gr.skip(), gr.skip(), gr.skip()
    try:
        picture = of_drawing(strokes)
    except ValueError as error:
        return gr.skip(), f'<div class="hand"><p>{html.escape(str(error))}</p></div>', strokes
    return picture, hand_html(picture, "Your drawing, as the models see it: 28 × 28, bright on black."), strokes


@guard
def taken(file: str | None) -> tuple[Any, ...]:
    """An upload as the picture in hand: picture, how it is shown."""
    if not file:
        return gr.skip(), gr.skip()
    picture = model().prepare(file)
    return picture, hand_html(picture, "Your picture, as the models see it: 28 × 28, bright on black.")


@guard
def hand_over(hand: Image.Image | None) -> tuple[Any, ...]:
    """The picture to begin with, if there is none yet."""
    if hand is not None:
        return gr.skip(), gr.skip()
    picture = example()
    return picture, hand_html(picture, "A drawn T-shirt to begin with. Draw or load another, or click a sample.")


def _percent(value: float) -> str:
    return f"{value:.0f}"


def _likely(garments: Any, family: str, hand: Image.Image, chosen: str) -> tuple[str, list[Cell]]:
    can = garments.families()[family]["density"]
    if not can["able"]:
        cells: list[Cell] = [(title(family), ""), ("–", "number"), (html.escape(can["note"]), "not"), ("–", "number")]
        return "", [*cells, ("", "")]
    found = garments.log_prob(family, hand)
    said = f"{title(family)}: less likely than {_percent(found.percentile)} % of test garments"
    cells = [
        (title(family), ""), (f"{found.bits_per_dim:.2f}", "number"), (found.kind, "not"),
        (_percent(found.percentile), "number"), (meter(found.percentile, said), ""),
    ]  # fmt: skip
    return "chosen" if family == chosen else "", cells


def _groups(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {GROUPS[name]: values for name, values in found.items()}


def _plot(garments: Any, family: str, hand: Image.Image) -> str:
    """Where the picture lies among garments, digits and noise under one family, and whom that family prefers."""
    can = garments.families()[family]["density"]
    if not can["able"]:
        return f'<p class="said">{html.escape(can["note"])} So there is no place on a histogram.</p>'
    found, here = garments.histograms(family), garments.log_prob(family, hand)
    plot = histogram(
        _groups(found), {"this picture": here.bits_per_dim}, title=f"bits per dimension, {title(family)}", bins=60
    )
    usual, digits = (float(np.median(found[name])) for name in ("fashion", "mnist"))
    wrong = digits < usual
    verdict = (
        f"A typical digit takes {digits:.2f} bits per dimension and a typical garment {usual:.2f}: trained on garments "
        f"alone, this model finds digits <b>{'more' if wrong else 'less'} likely</b>"
        + (", the well-known failure of likelihoods." if wrong else ", as one would hope.")
    )
    up_to = " Bits are up to an unknown constant here." if here.kind == "unnormalised" else ""
    return f'{plot}<p class="said">{verdict}{up_to}</p>'


def _scores(garments: Any, hand: Image.Image) -> tuple[str, str]:
    """All scores of the picture, and the histogram of the one that tells garments from digits best."""
    from demos.core.metrics import auroc  # here, because the page must open without torch

    rows: list[tuple[str, list[Cell]]] = []
    told, apart = garments.scores(hand), {}
    for i, (name, score) in enumerate(told.items()):
        found = garments.score_histograms(name)
        apart[name] = auroc(found["fashion"], found["mnist"])
        said = f"{score.title}: more than {_percent(score.percentile)} % of test garments"
        cells: list[Cell] = [
            (f'<button type="button" data-index="{i}">{html.escape(score.title)}</button>', ""),
            (f"{score.value:.2f}", "number"), (_percent(score.percentile), "number"),
            (meter(score.percentile, said), ""), (f"{apart[name]:.3f}", "number"),
        ]  # fmt: skip
        rows.append(("", cells))
    best = max(apart, key=lambda name: apart[name])
    return table(SCORE_HEAD, rows), _score_histogram(garments, best, told[best])


def _score_histogram(garments: Any, name: str, score: Any) -> str:
    groups = _groups(garments.score_histograms(name))
    return histogram(groups, {"this picture": score.value}, title=score.title, bins=60)


@guard
def score_plot(hand: Image.Image | None, event: gr.EventData) -> str:
    """Where the picture lies under the score whose name was pressed."""
    garments = model()
    scores = garments.scores(hand or example())
    name = list(scores)[int(event.index)]
    return _score_histogram(garments, name, scores[name])


def _again(done: Mapping[str, str], hand: Image.Image) -> str:
    return row([tile(hand, "Seen"), *(done.get(name) or tile(None, title(name), "…") for name in FAMILIES)], "many")


def _copy(garments: Any, family: str, hand: Image.Image) -> str:
    can = garments.families()[family]["representation"]
    if not can["able"]:
        return tile(None, title(family), can["note"])
    return tile(garments.reconstruct(family, hand), title(family))


@guard
def ask(page: gr.Request, where: str, family: str, hand: Image.Image | None) -> Iterator[tuple[Any, ...]]:
    """Everything about the picture in hand as it is computed: table, plot, scores, labels, copies."""
    if where != HERE:
        return
    with JOBS.running(page, LANE, alone=True) as token:
        for answer in _answers(family, hand or example()):
            token.check()
            yield answer


def _answers(family: str, hand: Image.Image) -> Iterator[tuple[Any, ...]]:
    garments = model()
    labels = chances(garments.classify(hand))
    yield gr.skip(), _plot(garments, family, hand), gr.skip(), gr.skip(), labels, gr.skip()
    rows = {name: ("", [(title(name), ""), *[("…", "number"), ("", "")] * 2]) for name in FAMILIES}
    for name in FAMILIES:
        rows[name] = _likely(garments, name, hand, family)
        yield table(HEAD, list(rows.values())), *[gr.skip()] * 5
    yield gr.skip(), gr.skip(), *_scores(garments, hand), gr.skip(), gr.skip()
    done: dict[str, str] = {}
    for name in FAMILIES:
        done[name] = _copy(garments, name, hand)
        yield *[gr.skip()] * 5, _again(done, hand)
