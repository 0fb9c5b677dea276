"""What a person sees of the Style tab."""

from typing import Any

import gradio as gr

from demos.style.tab import extras, rebuilding, sources
from demos.style.tab import handlers as on
from demos.style.tab.endpoints import restyle, style_presets
from demos.style.tab.handlers import DRAWING, EVERYWHERE, GALLERY, MIX, PART, PICTURE
from demos.style.tab.looks import FADER, HEIGHT, KEYS, LANE, PAIR, QUIET, THUMBNAILS
from demos.ui.controls import LOADING, download_button, history, picture_upload, progress_bar, seed_controls
from demos.ui.events import stop
from demos.ui.exchange import SKETCH, fetch_button
from demos.ui.sketchpad import live, sketchpad

__all__ = ["TITLE", "build"]

TITLE = "Style"
FIRST = "vangogh_starry_night_1889"


def build() -> None:
    """Lay out the tab inside an open `gr.Tab`."""
    presets = list(sources.titles())
    keys, key, source = gr.State(presets), gr.State(FIRST), gr.State(GALLERY)
    shown, run, gif = gr.State(None), gr.State(None), gr.State(None)
    top, styles, more = _top(), _styles(presets, source), _more(presets)
    inputs = [
        top["content"], source, key, styles["picture"], styles["drawing"], *styles["mixed"], *styles["weights"],
        more["where"], more["mask"], more["second"], top["strength"], more["keep_colours"], more["brush"],
        more["size"], more["seed"].number,
    ]  # fmt: skip
    extras.grid(inputs, key, source, styles["tabs"])
    extras.film(inputs, gif)
    extras.many_pictures(inputs)
    with gr.Accordion("This session", open=False):
        session, kept = history()
    with gr.Accordion("How it works", open=False):
        gr.Markdown(
            (sources.FOLDER / "about.md").read_text(encoding="utf-8"),
            latex_delimiters=[{"left": "$", "right": "$", "display": False}],
        )
        for name, label in (("exact.py", "The exact engine"), ("networks.py", "The networks of the fast engine")):
            gr.Code((sources.FOLDER / name).read_text(encoding="utf-8"), language="python", label=label, lines=20)

    outputs = [top["frame"], top["note"], shown]
    changes = [component.change for component in (top["content"], key, source, styles["picture"], more["where"])]
    changes += [c.change for c in (*styles["mixed"], more["second"], more["keep_colours"], more["seed"].number)]
    changes += [s.release for s in (top["strength"], more["brush"], more["size"], *styles["weights"])]
    live(styles["drawing"], on.repaint, inputs, outputs, changes, **LANE)
    live(more["mask"], on.repaint, inputs, outputs, **LANE)
    top["strength"].input(
        on.follow, [shown, *inputs], outputs[:2], trigger_mode="always_last", show_progress="hidden", **LANE
    )
    exact = [top["frame"], top["note"], top["progress"], shown, run, kept, session]
    long = {**LANE, "concurrency_id": "style-exact", "show_progress": "hidden"}
    top["exact"].click(rebuilding.begin, [kept, more["content"], more["exact_size"], *inputs], exact, **long)
    top["resume"].click(rebuilding.go_on, [kept, run], exact, **long)
    top["halt"].click(stop, queue=False, **QUIET)
    top["examples"].select(on.take_content, None, top["content"], **QUIET)
    styles["gallery"].select(on.pick, keys, key, **QUIET)
    styles["examples"].select(on.take_style, None, styles["picture"], **QUIET)
    lists = [*styles["mixed"], more["second"]]
    styles["sample"].click(on.sample, keys, [styles["gallery"], keys, key, styles["said"], *lists], **LANE)
    more["keep"].click(on.keep, [shown, kept], [kept, session], **QUIET)
    more["png"].bind(on.save_png, shown)
    begin = gr.on(None, lambda: presets, None, keys, **QUIET)
    first = begin.then(on.repaint, inputs, outputs, show_progress="hidden", **LANE)
    first.then(on.gallery, keys, styles["gallery"], show_progress="hidden", **LANE)
    gr.api(restyle, api_name="restyle", concurrency_id="style-api", concurrency_limit=2)
    gr.api(style_presets, api_name="style_presets")


def _top() -> dict[str, Any]:
    with gr.Row():
        with gr.Column(min_width=320):
            content = picture_upload("Picture to repaint", "style-content", HEIGHT, sources.contents()[0][0])
        with gr.Column(min_width=320):
            frame = gr.HTML(on.framed(None), elem_id="style-frame", elem_classes="at-flush", css_template=PAIR)
    strength = gr.Slider(
        0, 1, 1, step=0.02, label="Strength", info="The picture follows as you slide.", elem_id="style-strength"
    )
    note = gr.Markdown(LOADING, elem_id="style-note", elem_classes="at-note")
    with gr.Row():
        with gr.Column(min_width=320):
            examples = gr.Gallery(
                sources.contents(), label="Pictures to begin with", columns=4, elem_id="style-examples",
                **THUMBNAILS,
            )  # fmt: skip
            fetch_button("Take the picture of the Sketch tab", SKETCH, "style-sketch", content)
        with gr.Column(min_width=320):
            gr.HTML(FADER, padding=False, js_on_load=KEYS)
            with gr.Row():
                exact = gr.Button("Rebuild exactly", variant="primary", size="md", elem_id="style-exact", min_width=140)
                halt = gr.Button("Stop", size="md", elem_id="style-stop", min_width=70)
                resume = gr.Button("Continue", size="md", elem_id="style-continue", min_width=90)
            progress = progress_bar()
    return {"content": content, "frame": frame, "strength": strength, "note": note, "examples": examples,
            "exact": exact, "halt": halt, "resume": resume,
            "progress": progress}  # fmt: skip


def _styles(presets: list[str], source: gr.State) -> dict[str, Any]:
    with gr.Tabs(selected=GALLERY, elem_id="style-tabs") as tabs:
        with gr.Tab("Styles", id=GALLERY) as gallery_tab:
            gallery = gr.Gallery(
                label="Choose a style; each is painted from its code", columns=10, elem_id="style-gallery",
                **THUMBNAILS,
            )  # fmt: skip
            with gr.Row(equal_height=True):
                sample = gr.Button("Sample a style", size="md", elem_id="style-sample", min_width=120, scale=1)
                said = gr.Markdown("A new one, drawn from a density over styles.", elem_id="style-said")
        with gr.Tab("Picture", id=PICTURE) as picture_tab, gr.Row():
            picture = picture_upload("Picture of the style", "style-picture", 260, sources.style_pictures()[0][0])
            examples = gr.Gallery(
                sources.style_pictures(), label="Pictures of styles", columns=4, elem_id="style-pictures",
                **THUMBNAILS,
            )  # fmt: skip
        with gr.Tab("Drawing", id=DRAWING) as drawing_tab:
            drawing = sketchpad(
                "Draw a style",
                sources.first_drawing(),
                "style-drawing",
                "420px",
                result="#style-frame .after",
                tool="brush",
            )
        with gr.Tab("Mix", id=MIX) as mix_tab:
            mixed, weights = [], []
            first = [FIRST, next(name for name in presets if name != FIRST), None, None]
            for i, name in enumerate(first):
                with gr.Row():
                    mixed.append(gr.Dropdown(
                        sources.choices(presets), value=name, label=f"Style {i + 1}", info="Empty: none.",
                        elem_id=f"style-mix-{i + 1}", min_width=160,
                    ))  # fmt: skip
                    weights.append(gr.Slider(
                        0, 1, 0.5, step=0.05, label="Weight", info="Only the proportions count.", min_width=160,
                        elem_id=f"style-weight-{i + 1}",
                    ))  # fmt: skip
    for tab, name in ((gallery_tab, GALLERY), (picture_tab, PICTURE), (drawing_tab, DRAWING), (mix_tab, MIX)):
        tab.select(lambda name=name: name, None, source, **QUIET)
    return {"tabs": tabs, "gallery": gallery, "sample": sample, "said": said, "picture": picture,
            "examples": examples, "drawing": drawing, "mixed": mixed, "weights": weights}  # fmt: skip


def _more(presets: list[str]) -> dict[str, Any]:
    with gr.Row():
        with gr.Column(min_width=320):
            with gr.Row():
                brush = gr.Slider(
                    0.5, 4, 1, step=0.1, label="Brush", info="Size of the strokes.", min_width=140,
                    elem_id="style-brush",
                )  # fmt: skip
                size = gr.Slider(
                    256, 1024, 512, step=64, label="Longest side", info="In pixels.",
                    min_width=140, elem_id="style-size",
                )  # fmt: skip
            keep_colours = gr.Checkbox(
                False, label="Keep the colours", info="Only light and dark are repainted.", elem_id="style-colours"
            )
        with gr.Column(min_width=320):
            seed = seed_controls(0, locked=True)
            with gr.Row():
                png = download_button("Download PNG", "style-png")
                keep = gr.Button("Keep in this session", size="sm", elem_id="style-keep", min_width=100)
    with gr.Accordion("Exact engine: more control", open=False), gr.Row():
        content = gr.Slider(
            0.05, 2, 0.5, step=0.05, label="Content", info="How much of the picture stays.", min_width=140
        )
        exact_size = gr.Slider(
            128, 512, 256, step=64, label="Longest side, exact", info="Twice as large takes four times as long.",
            min_width=140, elem_id="style-exact-size",
        )  # fmt: skip
    with gr.Accordion("Only a part, or two styles", open=False):
        where = gr.Radio(
            [EVERYWHERE, PART], value=EVERYWHERE, label="Repaint", info="Paint first, or choose first.",
            elem_id="style-where",
        )  # fmt: skip
        gr.Markdown(
            "Brush over the picture in a warm colour where the chosen style goes, and in a cold colour (green, teal, "
            "blue, purple) where the second one goes. Nothing else changes."
        )
        with gr.Row():
            with gr.Column(min_width=280):
                mask = sketchpad(
                    "", "", "style-mask", "420px", result="#style-content img", onion=True, tool="brush", ground=True
                )
            with gr.Column(min_width=280):
                second = gr.Dropdown(
                    sources.choices(presets), value=None, label="Second style", info="Empty: the chosen one as well.",
                    elem_id="style-second",
                )  # fmt: skip
    return {"brush": brush, "size": size, "keep_colours": keep_colours, "seed": seed, "png": png, "keep": keep,
            "content": content, "exact_size": exact_size, "where": where, "mask": mask,
            "second": second}  # fmt: skip
