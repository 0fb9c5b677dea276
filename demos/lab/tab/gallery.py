"""What a person sees of the gallery: six families on pictures of garments, asked the same questions."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demos.lab.tab import asking, completing, latents, sampling
from demos.lab.tab.garments import ANY, CHOICES, EXAMPLE, FIRST, LABELS, LIVE, LONG, QUIET
from demos.lab.tab.tiles import pane, sheet
from demos.ui.controls import download_button, picture_upload, progress_bar
from demos.ui.events import stop
from demos.ui.sketchpad import live, sketchpad

__all__ = ["build"]

NEW_SEED = "() => Math.floor(Math.random() * 10000)"
STOPPING: dict[str, Any] = {**QUIET, "queue": False}


def build(hand: gr.State) -> gr.Radio:
    """Lay out the gallery inside an open `gr.Tab` and give its choice of family.

    `hand` is the visitor's picture in hand, which other sections share.
    """
    where = gr.State("samples")
    with gr.Row():
        family = gr.Radio(
            CHOICES, value=FIRST, label="Family", info="All learnt the same 60,000 pictures of garments.",
            elem_id="lab-family", scale=4, min_width=320,
        )  # fmt: skip
        with gr.Column(scale=1, min_width=250):
            held = pane(elem_id="lab-hand", alive=True)
    held.ready(asking.hand_over, hand, [hand, held], **LIVE)
    with gr.Tabs(elem_id="lab-gallery-tabs"):
        with gr.Tab("Samples", render_children=True) as tab:
            _samples(where, family, hand, held, tab)
        with gr.Tab("All six", render_children=True) as tab:
            _all_six(where, tab)
        with gr.Tab("A picture", render_children=True) as tab:
            _picture(where, family, hand, held, tab)
        with gr.Tab("Latent space", render_children=True) as tab:
            _latent(where, family, hand, tab)
        with gr.Tab("Complete", render_children=True) as tab:
            _complete(where, family, hand, tab)
    return family


def _chosen(tab: gr.Tab, where: gr.State, name: str) -> Any:
    """The event of a section that is opened."""
    return tab.select(lambda: name, None, where, **STOPPING)


def _class(label: str, info: str, elem_id: str) -> gr.Dropdown:
    return gr.Dropdown([ANY, *LABELS], value=ANY, label=label, info=info, elem_id=elem_id, min_width=140)


def _seed(elem_id: str) -> gr.Number:
    return gr.Number(
        0, label="Seed", info="Same seed, same result.", precision=0, minimum=0, elem_id=elem_id, min_width=120
    )


def _samples(where: gr.State, family: gr.Radio, hand: gr.State, held: gr.HTML, tab: gr.Tab) -> None:
    drawn, shown = gr.State([]), gr.State(None)
    with gr.Row():
        with gr.Column(min_width=320):
            show = pane(sheet(None, "The first samples are on their way."), "lab-sheet", alive=True)
        with gr.Column(min_width=320):
            with gr.Row():
                label = _class("Class", "What they show.", "lab-class")
                count = gr.Slider(
                    1, 64, 16, step=1, label="Pictures", info="How many.", elem_id="lab-count", min_width=140
                )
                seed = _seed("lab-gallery-seed")
            with gr.Row():
                again = gr.Button("New samples", variant="primary", elem_id="lab-again", min_width=120)
                halt = gr.Button("Stop", elem_id="lab-halt", min_width=70)
            progress = progress_bar()
            note = gr.Markdown("", elem_id="lab-sheet-note")
            gr.Markdown("How the first picture came about, from left to right:")
            way = pane(elem_id="lab-way")
            gr.Markdown("Click a picture to take it in hand: the other sections then work on it.")
            able = pane(elem_id="lab-family-can")
            png = download_button("Download PNG", "lab-png")
    inputs, outputs = [shown, family, label, count, seed], [show, way, note, progress, drawn, shown, able]
    show.ready(sampling.draw, inputs, outputs, **LONG)
    gr.on([label.input, count.release, seed.change], sampling.draw, inputs, outputs, **LONG)
    family.input(sampling.draw_if, [where, *inputs], outputs, **LONG)
    _chosen(tab, where, "samples").then(sampling.draw, inputs, outputs, **LONG)
    again.click(None, None, seed, js=NEW_SEED, **QUIET)
    halt.click(stop, **STOPPING)
    png.bind(sampling.save, [drawn, shown])
    show.select(sampling.pick, [drawn, shown], [show, hand, held], **QUIET)


def _all_six(where: gr.State, tab: gr.Tab) -> None:
    shown = gr.State(None)
    with gr.Row():
        label = _class("Class", "The same for all six.", "lab-six-class")
        seed = _seed("lab-six-seed")
    with gr.Row():
        again = gr.Button("New samples", variant="primary", elem_id="lab-six-again", min_width=120)
        halt = gr.Button("Stop", elem_id="lab-six-halt", min_width=70)
    progress = progress_bar()
    show = pane(sampling.empty_six(), "lab-six")
    inputs, outputs = [shown, label, seed], [show, progress, shown]
    gr.on([label.input, seed.change], sampling.draw_all, inputs, outputs, **LONG)
    _chosen(tab, where, "six").then(sampling.draw_all, inputs, outputs, **LONG)
    again.click(None, None, seed, js=NEW_SEED, **QUIET)
    halt.click(stop, **STOPPING)


def _picture(where: gr.State, family: gr.Radio, hand: gr.State, held: gr.HTML, tab: gr.Tab) -> None:
    before = gr.State(EXAMPLE)
    with gr.Row():
        with gr.Column(min_width=320), gr.Tabs():
            with gr.Tab("Draw", render_children=True):
                pad = sketchpad("Draw a garment", EXAMPLE, "lab-garment", "460px", filename="garment")
            with gr.Tab("Load"):
                upload = picture_upload("A picture of a garment, on an even ground", "lab-garment-file", 360)
        with gr.Column(min_width=320):
            gr.Markdown(
                "### How likely is it?\nFewer bits: more likely. Percentile: the share of test garments with fewer."
            )
            likely = pane(elem_id="lab-likely")
            plot = pane(elem_id="lab-likely-plot")
    with gr.Row():
        with gr.Column(min_width=320):
            gr.Markdown(
                "### Is it a garment at all?\nDraw a digit or a scribble and see. Press a score for its histogram."
            )
            scores = pane(elem_id="lab-scores", alive=True)
        with gr.Column(min_width=320):
            where_it_lies = pane(elem_id="lab-score-plot")
            gr.Markdown("### Which garment?\np(y | x) of a classifier that knows only the ten classes.")
            labels = pane(elem_id="lab-labels")
    gr.Markdown("### Encoded and decoded again")
    copies = pane(elem_id="lab-copies")
    inputs, outputs = [where, family, hand], [likely, plot, scores, where_it_lies, labels, copies]
    asked = {**LONG, "concurrency_id": "lab-ask"}
    drawing = live(pad, asking.drawn, [pad, before, hand], [hand, held, before], **LIVE)
    drawing.then(asking.ask, inputs, outputs, **asked)
    upload.change(asking.taken, upload, [hand, held], **LIVE).success(asking.ask, inputs, outputs, **asked)
    family.input(asking.ask, inputs, outputs, **asked)
    _chosen(tab, where, "picture").then(asking.ask, inputs, outputs, **asked)
    scores.select(asking.score_plot, hand, where_it_lies, **LIVE)


def _latent(where: gr.State, family: gr.Radio, hand: gr.State, tab: gr.Tab) -> None:
    slots = gr.State({})
    with gr.Row():
        with gr.Column(min_width=320):
            show = pane(sheet(None, "Your picture appears here."), "lab-walk")
            note = gr.Markdown("", elem_id="lab-walk-note", elem_classes="at-note")
        with gr.Column(min_width=320):
            gr.Markdown("### Walk\nAlong the directions in which latents of garments differ most.")
            with gr.Row():
                amounts = [
                    gr.Slider(
                        -4, 4, 0, step=0.1, label=f"Direction {i + 1}", info="Standard deviations.", min_width=200,
                        elem_id=f"lab-direction-{i + 1}",
                    )
                    for i in range(latents.DIRECTIONS)
                ]  # fmt: skip
            home = gr.Button("Back to the picture", size="sm", elem_id="lab-home")
    gr.Markdown("### Between two, and sums\nThree pictures to mix. Put the picture in hand into a place:")
    with gr.Row():
        with gr.Column(min_width=320):
            shelf = pane(elem_id="lab-shelf")
            with gr.Row():
                puts = [gr.Button(f"Use as {name}", size="sm", min_width=70) for name in latents.SLOTS]
            count = gr.Slider(2, 16, 8, step=1, label="Pictures", info="From A to B.", elem_id="lab-between-count")
        with gr.Column(min_width=320):
            gr.Markdown("From A to B")
            way = pane(elem_id="lab-between")
            gr.Markdown("C + A − B, in the latent space")
            total = pane(elem_id="lab-sum")
    walking, mixing = [where, family, hand, *amounts], [where, family, slots, count]
    gr.on([family.input, *[amount.input for amount in amounts]], latents.walk, walking, [show, note], **LIVE)
    gr.on([family.input, count.input], latents.between, mixing, [way, total], **LIVE)
    home.click(latents.reset, None, amounts, **QUIET).then(latents.walk, walking, [show, note], **LIVE)
    opened = _chosen(tab, where, "latent").then(latents.walk, walking, [show, note], **LIVE)
    filled = opened.then(latents.first_slots, [where, slots], [slots, shelf], **LIVE)
    filled.then(latents.between, mixing, [way, total], **LIVE)
    for name, button in zip(latents.SLOTS, puts, strict=True):
        placed = button.click(latents.put, [gr.State(name), slots, hand], [slots, shelf], **QUIET)
        placed.then(latents.between, mixing, [way, total], **LIVE)


def _complete(where: gr.State, family: gr.Radio, hand: gr.State, tab: gr.Tab) -> None:
    done = gr.State(False)
    with gr.Row():
        with gr.Column(min_width=320):
            region = gr.Radio(
                completing.REGIONS, value=completing.REGIONS[0], label="Erased", info="What is drawn anew.",
                elem_id="lab-region",
            )  # fmt: skip
            under = gr.HTML(elem_id="lab-ground", elem_classes="at-offstage")
            pad = sketchpad(
                "Brush over a part", "", "lab-hole", "460px", result="#lab-ground img", onion=True, tool="brush",
                ground=True,
            )  # fmt: skip
        with gr.Column(min_width=320):
            with gr.Row():
                label = _class("Class", "What the whole should be.", "lab-complete-class")
                seed = _seed("lab-complete-seed")
            with gr.Row():
                one = gr.Button("Complete", variant="primary", elem_id="lab-complete", min_width=100)
                every = gr.Button("By all six", elem_id="lab-complete-all", min_width=100)
                halt = gr.Button("Stop", elem_id="lab-complete-halt", min_width=70)
            progress = progress_bar()
            show = pane(elem_id="lab-completed")
    inputs = [family, hand, region, pad, label, seed]
    opened = _chosen(tab, where, "complete").then(completing.ground, [where, hand], under, **QUIET)
    opened.then(completing.complete_first, [done, *inputs], [show, progress, done], **LONG)
    one.click(completing.complete, [gr.State(False), *inputs], [show, progress], **LONG)
    every.click(completing.complete, [gr.State(True), *inputs], [show, progress], **LONG)
    pad.input(completing.brushed, [pad, region], region, **QUIET)
    halt.click(stop, **STOPPING)
