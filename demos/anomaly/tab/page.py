"""What a person sees of the Anomaly tab."""

from typing import Any

import gradio as gr

from demos.anomaly.tab import handlers as on
from demos.anomaly.tab import many
from demos.anomaly.tab.endpoints import fit_detector, score_folder, score_image
from demos.anomaly.tab.handlers import CHOICES, FOLDER, SHIPPED
from demos.ui.controls import LOADING, download_button, picture_upload, progress_bar, seed_controls
from demos.ui.events import stop
from demos.ui.exchange import STYLE, fetch_button
from demos.ui.sketchpad import live, sketchpad

__all__ = ["TITLE", "build"]

TITLE = "Anomaly"
FADER = """
<label class="at-fader">Heat map
<input type="range" min="0" max="1" step="0.02" value="0.8" aria-label="Opacity of the heat map"
 oninput="document.documentElement.style.setProperty('--at-heat', this.value)"></label>
"""
FILES = ["image", ".zip"]


def build() -> None:
    """Lay out the tab inside an open `gr.Tab`."""
    own = gr.State({})
    with gr.Tabs():
        with gr.Tab("Inspect"):
            inspect = _inspect()
        with gr.Tab("Paint a defect"):
            _paint()
        with gr.Tab("Your own normal"):
            fit = _fit()
        with gr.Tab("A whole folder"):
            whole = _folder()
    with gr.Accordion("How it works", open=False):
        gr.Markdown(
            (FOLDER / "about.md").read_text(encoding="utf-8"),
            latex_delimiters=[{"left": "$", "right": "$", "display": False}],
        )
        source = (FOLDER / "densities.py").read_text(encoding="utf-8")
        gr.Code(source, language="python", label="The densities", lines=20)
    _bind(own, inspect, fit, whole)
    gr.api(score_image, api_name="score_image", concurrency_id="anomaly", concurrency_limit=1)
    gr.api(fit_detector, api_name="fit_detector", concurrency_id="anomaly-long", concurrency_limit=1)
    gr.api(score_folder, api_name="score_folder", concurrency_id="anomaly-long", concurrency_limit=1)


def _inspect() -> dict[str, Any]:
    with gr.Row():
        with gr.Column(min_width=320):
            picture = picture_upload("Picture to inspect", "anomaly-picture", 360)
            fetch_button("Take the picture of the Style tab", STYLE, "anomaly-from-style", picture)
            detector = gr.Dropdown(
                CHOICES, value=SHIPPED, label="Detector", info="What is normal; teach your own in “Your own normal”.",
                elem_id="anomaly-detector",
            )  # fmt: skip
            percent = gr.Slider(
                0.1, 30, 5, step=0.1, label="False alarms allowed, %", info="Of normal pictures.",
                elem_id="anomaly-percent",
            )  # fmt: skip
            with gr.Row():
                erase = gr.Button("Erase the defect", elem_id="anomaly-erase", min_width=120)
                halt = gr.Button("Stop", min_width=70)
            progress = progress_bar()
            heat = download_button("Download heat map", "anomaly-heat")
        with gr.Column(min_width=320):
            frame = gr.HTML('<div class="at-empty">Choose a picture.</div>', elem_id="anomaly-frame")
            gr.HTML(FADER, padding=False)
            note = gr.Markdown(LOADING, elem_id="anomaly-note")
            plot = gr.HTML(elem_id="anomaly-plot")
    gallery = gr.Gallery(
        label="Examples, all drawn by the model: choose one", columns=6, height="auto", elem_id="anomaly-examples",
        value=on.examples(), allow_preview=False, interactive=False, object_fit="contain", elem_classes="at-history",
    )  # fmt: skip
    return {"picture": picture, "detector": detector, "percent": percent, "erase": erase, "halt": halt, "heat": heat,
            "progress": progress, "frame": frame, "note": note, "plot": plot, "gallery": gallery}  # fmt: skip


def _paint() -> None:
    gr.Markdown("Paint a crack, a pit or a stain on the tile: the score follows the brush.")
    ground, erased = gr.State(None), gr.State(None)
    with gr.Row():
        with gr.Column(min_width=320):
            under = gr.HTML(elem_id="anomaly-ground", elem_classes="at-offstage")
            pad = sketchpad("Paint a defect", "", "anomaly-pad", result="#anomaly-ground img", onion=True, ground=True)
        with gr.Column(min_width=320):
            frame = gr.HTML(elem_id="anomaly-painted")
            gr.HTML(FADER, padding=False)
            note = gr.Markdown("", elem_id="anomaly-painted-note")
    with gr.Row():
        erase = gr.Button("Erase the defect", variant="primary", elem_id="anomaly-erase-painted", min_width=120)
        another = gr.Button("Another tile", elem_id="anomaly-another", min_width=120)
        halt = gr.Button("Stop", min_width=70)
    progress = progress_bar()
    seed = seed_controls(1)
    percent = gr.Slider(0.1, 30, 5, step=0.1, label="False alarms allowed, %", info="Of normal tiles.")
    lane: dict[str, Any] = {"concurrency_id": "anomaly", "concurrency_limit": 1, "api_visibility": "private"}
    inputs = [ground, pad, percent]
    live(pad, on.follow, [*inputs, erased], [frame, note, erased], **lane)
    percent.input(on.paint, inputs, [frame, note], trigger_mode="always_last", show_progress="hidden", **lane)
    erase.click(
        on.erase_painted, [ground, pad, seed.number, percent], [frame, note, progress, erased],
        show_progress="hidden", **lane,
    )  # fmt: skip
    made = another.click(on.another_tile, seed.number, [ground, under, frame, progress], show_progress="hidden", **lane)
    made.success(on.paint, inputs, [frame, note], show_progress="hidden", **lane)
    halt.click(stop, queue=False, show_progress="hidden", api_visibility="private")
    start = gr.on(None, lambda: on.ground_html(on.first_ground()), None, under, api_visibility="private")
    start.success(on.paint, inputs, [frame, note], show_progress="hidden", **lane)


def _fit() -> dict[str, Any]:
    gr.Markdown(
        "Drop 10 or more pictures of what is normal (or a zip): a detector learns from them. Nobody else sees it."
    )
    with gr.Row():
        with gr.Column(min_width=320):
            files = gr.File(label="Normal pictures, or zips", file_count="multiple", file_types=FILES, height=180)
            name = gr.Textbox("my normal", label="Name", info="Of the detector.", max_length=60)
            density = gr.Radio(
                many.CHOICE, value="gaussian", label="Density", info="The first is fast and was best on the tiles.",
                elem_id="anomaly-density",
            )  # fmt: skip
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, info="The same seed gives the same detector.")
            with gr.Row():
                go = gr.Button("Learn", variant="primary", elem_id="anomaly-fit", min_width=90)
                halt = gr.Button("Stop", min_width=70)
            progress = progress_bar()
            with gr.Row():
                load = gr.UploadButton("Load a detector file", size="sm", file_types=[".safetensors"], min_width=120)
                save = download_button("Download detector", "anomaly-save")
        with gr.Column(min_width=320):
            note = gr.Markdown("", elem_id="anomaly-fit-note")
            plot = gr.HTML(elem_id="anomaly-fit-plot")
    return {"files": files, "name": name, "density": density, "seed": seed, "go": go, "halt": halt,
            "progress": progress, "load": load, "save": save, "note": note, "plot": plot}  # fmt: skip


def _folder() -> dict[str, Any]:
    gr.Markdown(
        "Drop many pictures or a zip. Folders named “good” or “normal” beside others, or a CSV with file and label, "
        "are taken as labels."
    )
    with gr.Row():
        with gr.Column(min_width=320):
            files = gr.File(
                label="Pictures, zips, and labels as CSV",
                file_count="multiple",
                file_types=[*FILES, ".csv"],
                height=180,
            )
            detector = gr.Dropdown(CHOICES, value=SHIPPED, label="Detector", info="What is normal.")
            rule = gr.Radio(many.RULES, value=many.RULES[0], label="Threshold by", info="What is called unusual.")
            value = gr.Slider(0.1, 50, 5, step=0.1, label=many.RULES[0], elem_id="anomaly-limit")
            with gr.Row():
                go = gr.Button("Score all", variant="primary", elem_id="anomaly-folder", min_width=90)
                halt = gr.Button("Stop", min_width=70)
            progress = progress_bar()
            with gr.Row():
                table = download_button("Table as CSV", "anomaly-csv")
                maps = download_button("Heat maps as zip", "anomaly-maps")
        with gr.Column(min_width=320):
            note = gr.Markdown("", elem_id="anomaly-folder-note")
            plot = gr.HTML(elem_id="anomaly-folder-plot")
            with gr.Row():
                roc = gr.HTML(min_width=160, elem_id="anomaly-roc")
                recall = gr.HTML(min_width=160)
    rows = gr.Dataframe(
        headers=many.HEADER, datatype=["html", "html", "number", "number", "str", "str"], interactive=False,
        label="Pictures, the least normal first", max_height=460, wrap=True, elem_id="anomaly-rows",
        column_widths=["80px", "40%", "90px", "90px", "120px", "90px"],
    )  # fmt: skip
    return {"files": files, "detector": detector, "rule": rule, "value": value, "go": go, "halt": halt, "maps": maps,
            "progress": progress, "table": table, "note": note, "plot": plot, "roc": roc, "recall": recall,
            "rows": rows}  # fmt: skip


def _bind(own: gr.State, inspect: dict[str, Any], fit: dict[str, Any], whole: dict[str, Any]) -> None:
    """Connect the sections that share the visitor's detectors."""
    lane: dict[str, Any] = {"concurrency_id": "anomaly", "concurrency_limit": 1, "api_visibility": "private"}
    long: dict[str, Any] = {**lane, "concurrency_id": "anomaly-long", "show_progress": "hidden"}
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    given = [inspect["picture"], inspect["detector"], own, inspect["percent"]]
    seen = [inspect["frame"], inspect["note"], inspect["plot"]]
    gr.on(
        [inspect["picture"].change, inspect["detector"].change, inspect["percent"].input],
        on.inspect, given, seen, trigger_mode="always_last", show_progress="hidden", **lane,
    )  # fmt: skip
    inspect["erase"].click(
        on.erase_file, [inspect["picture"], gr.State(0), inspect["percent"]],
        [inspect["frame"], inspect["note"], inspect["progress"]], show_progress="hidden", **lane,
    )  # fmt: skip
    inspect["gallery"].select(on.take_example, None, inspect["picture"], **quiet)
    inspect["heat"].bind(on.save_heat, given)
    gr.on(None, on.first_example, None, inspect["picture"], api_visibility="private")
    for section in (inspect, fit, whole):
        section["halt"].click(stop, queue=False, **quiet)
    lists = [inspect["detector"], whole["detector"]]
    fit["go"].click(
        many.fit_own, [fit["files"], fit["name"], fit["density"], fit["seed"], own],
        [fit["progress"], fit["note"], fit["plot"], own, *lists], **long,
    )  # fmt: skip
    fit["load"].upload(many.load_own, [fit["load"], own], [fit["note"], own, *lists], **quiet)
    fit["save"].bind(many.save_own, [inspect["detector"], own])
    folder = gr.State(None)
    limit = [folder, whole["rule"], whole["value"]]
    shown = [whole["note"], whole["plot"], whole["roc"], whole["recall"]]
    whole["go"].click(
        many.score_all, [whole["files"], whole["detector"], own, whole["rule"], whole["value"]],
        [whole["progress"], whole["rows"], *shown, folder], **long,
    )  # fmt: skip
    whole["rule"].input(many.rule_changed, limit[:2], whole["value"], **quiet)
    whole["value"].change(many.rejudge, limit, [whole["rows"], *shown], trigger_mode="always_last", **quiet)
    whole["table"].bind(many.save_table, limit)
    whole["maps"].bind(many.save_maps, limit)
