"""The stage: one panel a family, drawn in the browser from small frames.

A `gr.HTML` whose value is the JSON text of `demos.lab.playground.Session.frame`, the first of a session together with
`opening`; its script keeps what came before, moves points smoothly from frame to frame, and draws on canvases in the
page's own colours. It fires `ready` when it is first seen, and `away` when its tab is left during a training.
"""

import json
from pathlib import Path

import gradio as gr

__all__ = ["FAMILIES", "stage"]

FOLDER = Path(__file__).parent
FAMILIES = {
    "autoregressive": ("Autoregressive", "p(x₂ | x₁), column by column; below p(x₁). First x₁ is drawn, then x₂."),
    "vae": ("VAE", "The latent plane: where real points are encoded, coloured by their direction; rings: the prior."),
    "flow": ("Normalizing flow", "A square grid of the latent plane, warped into the data’s."),
    "gan": ("GAN", "The critic: blue, more real than usual; red, made up."),
    "energy": ("Energy-based", "The energy, deep where coloured; chains fall in by Langevin steps."),
    "score": ("Score-based", "The velocity at t = 0.35, and ways from noise to data."),
}
"""Title of each family, and what its own picture shows."""


def stage(elem_id: str) -> gr.HTML:
    """Build the stage, a panel for each of `FAMILIES`."""
    told = {name: {"title": title, "inside": inside} for name, (title, inside) in FAMILIES.items()}
    head = f"const ID = {json.dumps(elem_id)}, FAMILIES = {json.dumps(told, ensure_ascii=False)};"
    return gr.HTML(
        "", label="Models in training", elem_id=elem_id, elem_classes="at-flush",
        html_template='<div class="lab"></div>', css_template=_text("stage.css"), apply_default_css=False,
        js_on_load="\n".join([head, _text("stage_draw.js"), _text("stage.js")]),
    )  # fmt: skip


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
