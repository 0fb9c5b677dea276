"""A classifier of few real pictures, with and without generated ones: the visitor's own run, and measured curves."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from demos.core.cancel import Cancelled
from demos.core.once import once
from demos.lab.tab import experiments
from demos.lab.tab.garments import LONG, QUIET, model, title, watched
from demos.lab.tab.lines import lines
from demos.lab.tab.tiles import pane, row, sheet_of, tile
from demos.ui.controls import bar, progress_bar
from demos.ui.events import Step, guard, stop

if TYPE_CHECKING:
    from demos.lab.garments.augment import Augmentation, Trial

__all__ = ["build", "curves", "experiment", "train"]

CHOICES = ("vae", "gan", "flow")
FIRST = "gan"
HERE = "augment"
SHOWN = 25
WAITING, STAND_IN = "Waiting", "Drawing stand-ins for real pictures, once"
NEW_SEED = "() => Math.floor(Math.random() * 10000)"
LEAK = (
    "**Where a gain comes from:** three of the generators learnt from all 58,000 labelled pictures. What they add to "
    "50 real ones is knowledge of the other 57,950. The VAE “of the same n” learnt from the n real pictures alone: "
    "what it draws holds nothing that they do not, and its line says so."
)
REAL = "**Real pictures** are those of Fashion-MNIST in the folder `ATELIER_DATA`, tested on some of its test set."
STAND_INS = (
    "**No real picture is shipped with this app**, so here samples of the score-based model stand in for real ones, to "
    "learn from and to be tested on. The first run draws them. Start the app with `ATELIER_DATA` set to a folder with "
    "`fashion_mnist.npz` and real ones take their place."
)


def _archive() -> Path | None:
    """The real pictures, if `ATELIER_DATA` says where they are."""
    path = Path(os.environ.get("ATELIER_DATA", "")) / "fashion_mnist.npz"
    return path if path.is_file() else None


@once
def experiment() -> Augmentation:
    """The experiment with the shipped models."""
    from demos.lab.garments.augment import Augmentation

    return Augmentation(model(), _archive())


def _plot(trial: Trial | None) -> str:
    if trial is None or not trial.steps:
        return '<div class="blank">Press Train: two curves grow here.</div>'
    columns = {"Real only": trial.alone, "Real and generated": trial.joined}
    series = {
        name: [(step, 100 * value, 0.0) for step, value in zip(trial.steps, values, strict=True)]
        for name, values in columns.items()
    }
    ticks = [0, *(round(trial.total * part / 4) for part in (1, 2, 3, 4))]
    return lines(series, ("steps of training", experiments.RIGHT), ticks, range_y=(0, 100))


def _pictures(trial: Trial, family: str, stands_in: bool) -> str:
    first, second = (
        sheet_of([Image.fromarray(one.numpy()) for one in part.x[:SHOWN, 0]]) for part in (trial.real, trial.generated)
    )
    named = "Stand-ins for real pictures" if stands_in else "Real pictures"
    return row([tile(first, named), tile(second, f"Generated, {title(family)}")], "of-2")


@guard
def train(page: gr.Request, n: float, family: str, seed: float | None) -> Iterator[tuple[Any, ...]]:
    """Both classifiers as they learn: curves, pictures, a sentence, bar."""
    yield _plot(None), "", "", bar(0, 1, WAITING)
    trials, begun, shown = experiment(), time.monotonic(), False
    try:
        for event in watched(page, lambda on_step: trials.run(n, family, 0 if seed is None else seed, on_step), HERE):
            if not isinstance(event, Step):
                trial = event.value
                gain = 100 * (trial.joined[-1] - trial.alone[-1])
                said = (
                    f"With {len(trial.real.y)} real pictures {100 * trial.alone[-1]:.1f} % right, with "
                    f"{len(trial.generated.y)} generated ones besides {100 * trial.joined[-1]:.1f} %: "
                    f"{gain:+.1f} points. "
                    f"Tested on {trial.tested}, so two points are chance. Seed {int(seed or 0)} · "
                    f"{time.monotonic() - begun:.1f} s"
                )
                yield _plot(trial), _pictures(trial, family, not trials.real), said, bar(None)
            elif event.preview is None:
                yield gr.skip(), gr.skip(), "", bar(event.i, event.n, STAND_IN if event.n > 1 else WAITING)
            else:
                trial = event.preview
                sheets = gr.skip() if shown else _pictures(trial, family, not trials.real)
                shown = True
                yield _plot(trial), sheets, "", bar(event.i, event.n)
    except Cancelled:
        yield gr.skip(), gr.skip(), "Stopped.", bar(None)
    except ValueError:
        yield gr.skip(), gr.skip(), "", bar(None)
        raise


@guard
def curves() -> tuple[str, str]:
    """The measured chart and what it is."""
    found = experiments.read("augment")
    if not found:
        return "", experiments.not_yet("augment")
    return experiments.augment_chart(found), (
        f"Measured on Fashion-MNIST’s {found['tested']:,} test pictures: means of three seeds, bars show one standard "
        f"deviation. Half of each batch is one of {found['generated']:,} generated pictures; every line has as many "
        f"steps of the same small network. Dotted: generated pictures alone.\n\n{LEAK}"
    )


def build() -> None:
    """Lay out the section inside an open `gr.Tab`."""
    gr.Markdown(
        "Can a classifier that has few real pictures learn from **generated** ones? Two copies of one small network "
        "train side by side: one on n real pictures, one on the same and on samples of a family."
    )
    with gr.Row():
        with gr.Column(min_width=320):
            gr.Markdown("### Your run")
            gr.Markdown(REAL if _archive() else STAND_INS, elem_id="lab-nature")
            with gr.Row():
                n = gr.Slider(
                    10, 200, 50, step=10, label="Real pictures", info="In equal parts of ten classes.",
                    elem_id="lab-augment-n", min_width=180,
                )  # fmt: skip
                seed = gr.Number(
                    0, label="Seed", info="Same seed, same result.", precision=0, minimum=0,
                    elem_id="lab-augment-seed", min_width=120,
                )  # fmt: skip
            family = gr.Radio(
                [(title(name), name) for name in CHOICES], value=FIRST, label="Generated by",
                info="Families that draw in no time.", elem_id="lab-augment-family",
            )  # fmt: skip
            with gr.Row():
                go = gr.Button("Train", variant="primary", elem_id="lab-augment-train", min_width=120)
                anew = gr.Button("New seed", elem_id="lab-augment-anew", min_width=90)
                halt = gr.Button("Stop", elem_id="lab-augment-halt", min_width=70)
            progress = progress_bar()
            plot = pane(_plot(None), "lab-augment-plot", alive=True)
            said = gr.Markdown("", elem_id="lab-augment-note")
            pictures = pane(elem_id="lab-augment-pictures")
        with gr.Column(min_width=320):
            gr.Markdown("### Measured, n from 50 to 5,000")
            chart = pane(elem_id="lab-augment-measured")
            note = gr.Markdown("", elem_id="lab-augment-measured-note")
    plot.ready(curves, None, [chart, note], **QUIET)
    gr.on([go.click, seed.submit], train, [n, family, seed], [plot, pictures, said, progress], **LONG)
    anew.click(None, None, seed, js=NEW_SEED, **QUIET)
    halt.click(stop, api_visibility="private", show_progress="hidden", queue=False)
