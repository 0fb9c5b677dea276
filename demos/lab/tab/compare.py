"""What a person sees of the comparison: the families as a tree, who can what, measured figures, and their traps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demos.lab.tab import figures
from demos.lab.tab.garments import LIVE, QUIET, model
from demos.lab.tab.spoiling import MOST, measured
from demos.lab.tab.stage import FAMILIES
from demos.lab.tab.taxonomy import taxonomy
from demos.lab.tab.tiles import Cell, pane, sheet, sheet_of, table
from demos.ui.events import guard

__all__ = ["build", "experiment", "open_family", "shown"]

CARDS = {"Bits per dimension": "likelihood", "FID": "fid", "Precision, recall, density, coverage": "overlap",
         "Two-sample test": "two_sample", "AUROC": "auroc"}  # fmt: skip
TEXTS = Path(__file__).parents[1] / "metrics"
ON_SHEET = 36
TO_GALLERY = """() => {
  const tab = (name) => [...document.querySelectorAll('[role=tab]')].find((one) => one.textContent.trim() === name);
  tab('Gallery')?.click();
}"""


@guard
def shown() -> tuple[Any, ...]:
    """Capabilities, rows of the table, charts, scores, and whether anything was measured."""
    found = figures.read()
    if not found:
        return figures.capability_table(), [], "", "", figures.NOT_YET, gr.Column(visible=False)
    threads = "one thread" if found["threads"] == 1 else f"{found['threads']} threads"
    said = (
        f"Measured by `python -m demos.lab.evaluate`: means of {found['sets']} sets of {found['samples']:,} samples, "
        f"each against as many test pictures, with {threads}. Click a column’s head to sort. The floor: what training "
        "pictures reach."
    )
    tables = figures.rows(found), figures.charts(found), figures.auroc_table(found)
    return figures.capability_table(), *tables, said, gr.Column(visible=True)


@guard
def open_family(event: gr.EventData) -> str:
    """The family whose box was pressed."""
    return list(FAMILIES)[int(event.index)]


@guard
def experiment(noise: float, labels: float, copied: float, count: float) -> tuple[Any, ...]:
    """Measures of spoilt samples beside those of unspoilt ones, and what the spoilt look like."""
    garments = model()
    usual = measured(garments, 0, 10, 0, int(count))
    spoilt = measured(garments, noise, int(labels), copied / 100, int(count))
    head: list[Cell] = [("Measure", ""), ("Unspoilt", "number"), ("Spoilt", "number")]
    rows: list[tuple[str, list[Cell]]] = []
    for words, name, digits in (
        ("FID", "fid", 2), ("Precision", "precision", 2), ("Recall", "recall", 2), ("Density", "density", 2),
        ("Coverage", "coverage", 2), ("MMD²", "mmd", 3), ("p-value of the two-sample test", "p_value", 3),
    ):  # fmt: skip
        before, after = (f"{getattr(one, name):.{digits}f}" for one in (usual, spoilt))
        rows.append(("chosen" if before != after else "", [(words, ""), (before, "number"), (after, "number")]))
    at = np.random.default_rng(0).permutation(len(spoilt.pictures))[:ON_SHEET]
    pictures = [Image.fromarray(spoilt.pictures[i]) for i in at]
    return table(head, rows), sheet(sheet_of(pictures), "The spoilt samples")


def build(family: gr.Radio) -> None:
    """Lay out the comparison inside an open `gr.Tab`; a family's box opens it in the gallery by its radio."""
    gr.Markdown("### Families by what they say of p(x)\nPress a box to open the family in the gallery.")
    tree = pane(taxonomy(), "lab-tree", alive=True)
    gr.Markdown("### Who can do what, read from the code")
    able = pane(elem_id="lab-able")
    gr.Markdown("### Measured")
    said = gr.Markdown("", elem_id="lab-measured-note")
    with gr.Column(visible=False) as part:
        rows = gr.Dataframe(
            headers=figures.HEADERS, datatype="auto", interactive=False,
            show_label=False, label="Measured figures", elem_id="lab-measured", column_widths=["190px", "140px"],
        )  # fmt: skip
        charts = pane(elem_id="lab-charts")
        aurocs = pane(elem_id="lab-aurocs")
    pane(figures.digits_table(), "lab-digits")
    gr.Markdown("### The measures and their traps")
    for title, name in CARDS.items():
        with gr.Accordion(title, open=False):
            gr.Markdown((TEXTS / f"{name}.md").read_text(encoding="utf-8"))
    gr.Markdown(
        "### Spoil samples and watch the measures\nBoth sets are samples of one model, the GAN, so that nothing but "
        "the spoiling tells them apart."
    )
    with gr.Row():
        with gr.Column(min_width=320):
            picture = pane(sheet(None, "The spoilt samples appear here."), "lab-spoilt")
        with gr.Column(min_width=320):
            with gr.Row():
                noise = gr.Slider(
                    0, 64, 0, step=1, label="Noise", info="Of 255.", elem_id="lab-spoil-noise", min_width=140
                )
                labels = gr.Slider(
                    1, 10, 10, step=1, label="Classes left", info="Fewer kinds.", elem_id="lab-spoil-labels",
                    min_width=140,
                )  # fmt: skip
                copied = gr.Slider(
                    0, 100, 0, step=5, label="Copied, %", info="Learnt by heart.", elem_id="lab-spoil-copied",
                    min_width=140,
                )  # fmt: skip
                count = gr.Slider(
                    40, MOST, 200, step=40, label="Pictures", info="In either set.", elem_id="lab-spoil-count",
                    min_width=140,
                )  # fmt: skip
            found = pane(elem_id="lab-spoil-table")
    inputs, outputs = [noise, labels, copied, count], [found, picture]
    tree.ready(shown, None, [able, rows, charts, aurocs, said, part], **QUIET).then(experiment, inputs, outputs, **LIVE)
    tree.select(open_family, None, family, **QUIET).then(None, None, None, js=TO_GALLERY, **QUIET)
    gr.on([slider.input for slider in (noise, labels, copied, count)], experiment, inputs, outputs, **LIVE)
