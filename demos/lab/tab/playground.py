"""What a person sees of the playground: six models in the plane, side by side, and what can be done with them."""

from typing import Any

import gradio as gr

from demos.lab.tab import handlers as on
from demos.lab.tab.stage import FAMILIES, stage
from demos.ui.sketchpad import sketchpad

__all__ = ["build"]

DISTRIBUTIONS = ["Moons", "Rings", "Spirals", "Eight Gaussians", "Checkerboard", "Pinwheel", "Letters"]
BREAKS = [("Nothing", ""), ("Mode collapse", "mode collapse"), ("Posterior collapse", "posterior collapse"),
          ("Divergence", "divergence"), ("Overfitting", "overfitting")]  # fmt: skip
PACES = ["Slow motion", "Slow", "Full speed"]


def build() -> None:
    """Lay out the playground inside an open `gr.Tab`."""
    with gr.Row(equal_height=True):
        distribution = gr.Dropdown(
            [*DISTRIBUTIONS, "Your drawing", "Your points"], value="Moons", label="Distribution",
            info="What all of them learn.", elem_id="lab-distribution", min_width=180,
        )  # fmt: skip
        broken = gr.Dropdown(
            BREAKS, value="", label="Break it", info="Ways to fail, on purpose.", elem_id="lab-break", min_width=180
        )
        pace = gr.Radio(
            PACES, value="Full speed", label="Speed", info="Slow motion: four steps a second.", elem_id="lab-pace",
            min_width=340,
        )  # fmt: skip
    families = gr.CheckboxGroup(
        [(title, name) for name, (title, _) in FAMILIES.items()], value=list(FAMILIES), label="Families",
        show_label=False, container=False, elem_id="lab-families",
    )  # fmt: skip
    with gr.Row():
        go = gr.Button("Train", variant="primary", elem_id="lab-train", min_width=100)
        hold = gr.Button("Pause", elem_id="lab-pause", min_width=80)
        one = gr.Button("One step", elem_id="lab-step", min_width=80)
        anew = gr.Button("Restart", elem_id="lab-restart", min_width=80)
    told = gr.Markdown("", elem_id="lab-told")
    show = stage("lab-stage")
    with gr.Row():
        with gr.Column(min_width=320), gr.Accordion("Draw your own distribution", open=False):
            pad = sketchpad("Draw where points should lie", "", "lab-pad", "420px", filename="distribution")
            learn = gr.Button("Learn my drawing", variant="primary", elem_id="lab-learn")
            upload = gr.UploadButton(
                "Or points from a CSV file", file_types=[".csv", ".txt"], elem_id="lab-upload", size="sm"
            )
        with gr.Column(min_width=320), gr.Accordion("Settings", open=False):
            capacity = gr.Slider(8, 192, 64, step=8, label="Capacity", info="Units in a hidden layer.")
            rate = gr.Slider(
                0.1, 100, 1, step=0.1, label="Learning rate", info="Times each family's own; changes at once."
            )
            steps = gr.Slider(100, 10_000, 2000, step=100, label="Steps", info="Of each model.")
            noise = gr.Slider(0.02, 0.5, 0.08, step=0.01, label="Noise", info="Blur of the data.")
            points = gr.Number(
                20_000, label="Training points", minimum=20, maximum=20_000, precision=0, info="Few: overfitting."
            )
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, info="The same seed, the same data.")
    listed = gr.State("")
    controls = [distribution, families, capacity, rate, steps, noise, points, seed, broken, pad, listed]
    _bind(
        {"show": show, "pace": pace, "controls": controls, "go": go, "hold": hold, "one": one, "anew": anew,
         "learn": learn, "upload": upload, "told": told}
    )  # fmt: skip


def _bind(part: dict[str, Any]) -> None:
    """Connect the controls with the stage."""
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    live: dict[str, Any] = {**quiet, "concurrency_id": "lab", "concurrency_limit": 32, "trigger_mode": "multiple"}
    show, pace, controls = part["show"], part["pace"], part["controls"]
    distribution, families, capacity, rate, steps, noise, points, _seed, broken, pad, listed = controls
    given = [pace, *controls]
    for begin in (part["go"].click, show.ready):
        begin(on.train, given, show, **live)
    gr.on([part["anew"].click, distribution.input, families.input], on.restart, given, show, **live)
    part["one"].click(on.step, given, show, **live)
    for end in (part["hold"].click, show.away):
        end(on.pause, queue=False, **quiet)
    pace.input(on.set_pace, pace, queue=False, **quiet)
    rate.release(on.set_rate, rate, queue=False, **quiet)
    drawn = part["learn"].click(on.own_drawing, pad, distribution, **quiet)
    drawn.success(on.restart, given, show, **live)
    listing = part["upload"].upload(on.own_points, part["upload"], [listed, distribution], **quiet)
    listing.success(on.restart, given, show, **live)
    preset = broken.input(
        on.broken, broken, [distribution, families, capacity, rate, steps, noise, points, part["told"]], **quiet
    )
    preset.success(on.restart, given, show, **live)
