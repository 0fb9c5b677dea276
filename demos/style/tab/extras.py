"""What a person sees below the picture: all presets on it, a film of the strength, many pictures."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demos.style.tab import handlers as on
from demos.style.tab import many
from demos.style.tab.looks import LANE, PAIR, QUIET, THUMBNAILS
from demos.ui.controls import download_button, progress_bar
from demos.ui.events import stop

__all__ = ["film", "grid", "many_pictures"]


def grid(inputs: list[Any], key: gr.State, source: gr.State, tabs: gr.Tabs) -> None:
    """Every preset on the picture; a click chooses one."""
    with gr.Accordion("All presets on this picture", open=False):
        with gr.Row():
            go = gr.Button("Paint all", size="md", elem_id="style-all", min_width=90)
            halt = gr.Button("Stop", size="md", min_width=70)
        progress = progress_bar()
        pictures = gr.Gallery(label="Choose one to see it large", columns=6, elem_id="style-grid", **THUMBNAILS)
    go.click(on.all_presets, inputs, [pictures, progress], show_progress="hidden", **LANE)
    halt.click(stop, queue=False, **QUIET)
    pictures.select(on.pick_preset, None, [key, source, tabs], **QUIET)


def film(inputs: list[Any], gif: gr.State) -> None:
    """The strength from 0 to 1 and back, to look at and to download."""
    with gr.Accordion("A film of the strength", open=False):
        with gr.Row():
            frames = gr.Slider(
                4, 48, 16, step=1, label="Pictures", info="From strength 0 to 1; then back.", min_width=140
            )
            go = gr.Button("Make the film", size="md", elem_id="style-film", min_width=100)
            halt = gr.Button("Stop", size="md", min_width=70)
        progress = progress_bar()
        frame = gr.HTML(elem_id="style-film-frame", elem_classes="at-flush", css_template=PAIR)
        download_button("Download GIF", "style-gif").bind(on.save_film, gif)
    go.click(on.film, [frames, *inputs], [frame, progress, gif], show_progress="hidden", **LANE)
    halt.click(stop, queue=False, **QUIET)


def many_pictures(inputs: list[Any]) -> None:
    """Files or a zip, repainted one after the other."""
    with gr.Accordion("Many pictures", open=False), gr.Row():
        with gr.Column(min_width=320):
            files = gr.File(
                label="Pictures, or a zip of them", file_count="multiple", file_types=["image", ".zip"], height=180,
                elem_id="style-files",
            )  # fmt: skip
            with gr.Row():
                go = gr.Button("Repaint all", size="md", elem_id="style-many", min_width=90)
                halt = gr.Button("Stop", size="md", min_width=70)
            progress = progress_bar()
            made = gr.File(label="Repainted pictures", interactive=False, elem_id="style-made")
        with gr.Column(min_width=320):
            newest = gr.HTML(on.framed(None), elem_classes="at-flush", css_template=PAIR)
            note = gr.Markdown("All are repainted as the picture above.", elem_id="style-many-note")
    lane = {**LANE, "concurrency_id": "style-many", "show_progress": "hidden"}
    go.click(many.restyle_all, [files, *inputs], [progress, newest, note, made], **lane)
    halt.click(stop, queue=False, **QUIET)
