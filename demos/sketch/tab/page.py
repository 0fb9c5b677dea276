"""What a person sees of the Sketch tab."""

from typing import Any

import gradio as gr

from demos.core.seed import MAX_SEED
from demos.sketch.tab import handlers as on
from demos.sketch.tab.endpoints import sketch_styles, sketch_to_image
from demos.sketch.tab.handlers import FOLDER, FRAMES, STYLES
from demos.ui.controls import LOADING, download_button, history, progress_bar, seed_controls
from demos.ui.events import stop
from demos.ui.exchange import STYLE, fetch_button
from demos.ui.sketchpad import live, sketchpad

__all__ = ["TITLE", "build"]

TITLE = "Sketch"
FIRST = "cat"


def build() -> None:
    """Lay out the tab inside an open `gr.Tab`."""
    first = next(item for item in on.examples() if item["title"] == FIRST)
    results, shown, way = gr.State(None), gr.State(None), gr.State(None)
    thumbnails: dict[str, Any] = {"height": "auto", "format": "png", "interactive": False, "object_fit": "contain"}
    with gr.Row():
        with gr.Column(min_width=320):
            pad = sketchpad("Draw here", on.strokes_of(first), "sketch-pad", result="#sketch-frame img", overtakes=True)
        with gr.Column(min_width=320):
            frame = gr.HTML(on.framed(None), elem_id="sketch-frame", elem_classes="at-frame")
            note = gr.Markdown(LOADING, elem_id="sketch-note", elem_classes="at-note")
    with gr.Row():
        with gr.Column(min_width=320):
            words = gr.Dropdown(
                on.vocabulary(), value=first["prompt"].split(), multiselect=True, allow_custom_value=True,
                label="Words", info="What it is, and its colours; unknown words are ignored.", elem_id="sketch-words",
            )  # fmt: skip
            prompt = gr.Textbox(first["prompt"], visible="hidden")
            style = gr.Radio(
                list(STYLES.items()), value=first["style"], label="Style", info="Whose hand draws it.",
                elem_id="sketch-style",
            )  # fmt: skip
            with gr.Accordion("More control", open=False):
                faithfulness = gr.Slider(0, 2, 1.0, step=0.1, label="Follow the lines", info="Low: a suggestion only.")
                guidance = gr.Slider(0, 4, 2.0, step=0.1, label="Follow the words", info="High: typical and bold.")
                second = gr.Dropdown(list(STYLES.items()), value="noto", label="Blend with", info="A second style.")
                blend = gr.Slider(0, 1, 0, step=0.05, label="Share of the second style", info="0: the first alone.")
                upload = gr.UploadButton("Trace a picture or SVG", size="sm", file_types=["image", ".svg", ".json"])
                fetch_button("Trace the picture of the Style tab", STYLE, "sketch-from-style", pad, on.bring)
        with gr.Column(min_width=320):
            with gr.Row():
                refine = gr.Button("Refine", variant="primary", elem_id="sketch-refine", min_width=90)
                more = gr.Button("More like this", elem_id="sketch-more", min_width=90)
                halt = gr.Button("Stop", elem_id="sketch-stop", min_width=70)
            progress = progress_bar()
            with gr.Row():
                steps = gr.Slider(4, 30, 8, step=1, label="Steps", info="8 are usually enough.", min_width=140)
                count = gr.Slider(1, 16, 4, step=1, label="Pictures", info="How many at once.", min_width=140)
            seed = seed_controls(first["seed"], locked=True)
            with gr.Row():
                png = download_button("Download PNG", "sketch-png")
                archive = download_button("All as zip", "sketch-zip")
    gallery = gr.Gallery(
        label="Variations: choose one to see it large", columns=8, elem_id="sketch-gallery", elem_classes="at-history",
        allow_preview=False, **thumbnails,
    )  # fmt: skip
    shelf = gr.Gallery(
        label="Examples: choose one to begin with", columns=4, elem_id="sketch-examples", allow_preview=False,
        elem_classes="at-shelf", **thumbnails,
    )  # fmt: skip
    with gr.Accordion("Repaint a part", open=False):
        gr.Markdown("Brush over the part of the picture that should change, then repaint.")
        mask = sketchpad(
            "Brush over a part", "", "sketch-mask", "360px", result="#sketch-frame img", onion=True, tool="brush"
        )
        again = gr.Button("Repaint", elem_id="sketch-repaint")
    with gr.Accordion("Between two seeds", open=False):
        with gr.Row():
            other = gr.Number(
                1, label="Other seed", precision=0, minimum=0, maximum=MAX_SEED, info="The picture at the far end."
            )
            go = gr.Button("Compute the way", elem_id="sketch-walk")
        position = gr.Slider(
            0, 1, 0, step=1 / (FRAMES - 1), label="From this seed to the other", info="Compute the way first.",
            interactive=False, elem_id="sketch-position",
        )  # fmt: skip
    with gr.Accordion("Steps of the denoising", open=False):
        strip = gr.Gallery(label="What the model expects at each step", columns=10, **thumbnails)
    with gr.Accordion("Make a data set", open=False):
        with gr.Row():
            label = gr.Textbox("my drawing", label="Label", info="Written into labels.csv.", max_length=60)
            amount = gr.Slider(8, 256, 32, step=8, label="Pictures", info="Labelled variations of the drawing.")
        make = gr.Button("Make the data set", elem_id="sketch-data")
        filling = progress_bar()
        made = gr.File(label="Data set", interactive=False, elem_id="sketch-made")
    with gr.Accordion("This session", open=False):
        session, kept = history()
    with gr.Accordion("How it works", open=False):
        gr.Markdown(
            (FOLDER / "about.md").read_text(encoding="utf-8"),
            latex_delimiters=[{"left": "$", "right": "$", "display": False}],
        )
        gr.Code((FOLDER / "unet.py").read_text(encoding="utf-8"), language="python", label="The network", lines=20)

    inputs = [pad, prompt, seed.number, style, second, blend, guidance, faithfulness]
    job = [kept, seed.lock, steps, count]
    outputs = [frame, note, progress, gallery, results, shown, kept, session, strip, seed.number]
    lane: dict[str, Any] = {"concurrency_id": "sketch", "concurrency_limit": 1, "api_visibility": "private"}
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    changes = [c.change for c in (prompt, style, second, seed.number)]
    slides = [c.input for c in (blend, guidance, faithfulness)]
    # Gradio's page copies all that a component is at each of its events: with the menu, its thousands of words.
    words.change(None, words, prompt, js="(words) => (words ?? []).join(' ')")
    live(
        pad, on.draw_live, [shown, *inputs], [frame, note, shown], [*changes, *slides], on.OVERTAKING,
        concurrency_id=on.DRAFTING, concurrency_limit=1, **quiet,
    )  # fmt: skip
    pad.rest(
        on.finish, [shown, *inputs], [frame, note, shown], trigger_mode="always_last",
        concurrency_id=on.FINISHING, concurrency_limit=1, **quiet,
    )  # fmt: skip
    for button, handler, more_inputs in (
        (refine, on.refine, job),
        (more, on.more_like, [shown, *job, gr.State(0.6)]),
        (again, on.repaint, [shown, mask, *job]),
    ):
        button.click(handler, [*more_inputs, *inputs], outputs, show_progress="hidden", **lane)
    halt.click(stop, queue=False, **quiet)
    gallery.select(on.pick, results, [frame, note, shown], **quiet)
    go.click(on.walk, [other, steps, *inputs], [way, position, frame, shown], **lane)
    position.input(on.show_between, [way, position], [frame, shown], **quiet)
    make.click(on.make_data_set, [label, amount, *inputs], [filling, made], show_progress="hidden", **lane)
    png.bind(on.save_png, shown)
    archive.bind(on.save_zip, results)
    upload.upload(on.bring, upload, pad, **quiet)
    shelf.select(on.take_example, None, [pad, words, prompt, style, seed.number], **quiet)
    gr.on(None, on.example_pictures, None, shelf, api_visibility="private")
    gr.api(sketch_to_image, api_name="sketch_to_image", concurrency_id="sketch", concurrency_limit=1)
    gr.api(sketch_styles, api_name="sketch_styles")
