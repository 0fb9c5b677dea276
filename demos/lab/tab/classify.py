"""p(y | x) against p(x | y): a classifier, and Bayes' rule with a conditional density, on the same spoilt picture."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image, ImageOps

from demos.lab.tab import figures
from demos.lab.tab.garments import CHOICES, LIVE, QUIET, example, model, title
from demos.lab.tab.tiles import chances, pane, row, tile
from demos.ui.events import guard

__all__ = ["build", "compared", "spoilt"]

FIRST = "autoregressive"


def spoilt(picture: Image.Image, noise: float, angle: float, inverted: bool) -> Image.Image:
    """A 28 × 28 picture turned by `angle` degrees, inverted, and with Gaussian noise of that size, of 255, added.

    Raises:
        ValueError: a number out of range.
    """
    if not (0 <= noise <= 128 and -180 <= angle <= 180):
        raise ValueError("Noise lies in 0 to 128, the angle in -180 to 180.")
    turned = picture.rotate(angle, Image.Resampling.BILINEAR)
    pixels = np.asarray(ImageOps.invert(turned) if inverted else turned, np.float32)
    pixels = pixels + np.random.default_rng(0).normal(0, 1, pixels.shape) * noise
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


@guard
def compared(hand: Image.Image | None, family: str, noise: float, angle: float, inverted: bool) -> tuple[Any, ...]:
    """The picture, both classifiers' probabilities, and what only the generative one can say."""
    garments, before = model(), hand or example()
    picture = spoilt(before, noise, angle, inverted)
    tiles = row([tile(before, "Picture in hand"), tile(picture, "What both see")], "of-2")
    sure = chances(garments.classify(picture))
    can = garments.families()[family]["density"]
    if not can["able"]:
        return tiles, sure, f'<p class="said">{html.escape(can["note"])} So there is no Bayes’ rule.</p>', ""
    found = garments.log_prob(family, picture)
    said = (
        f"p(y | x) always sums to 1, whatever the picture shows. The {title(family)} density also says how likely the "
        f"picture is at all: {found.bits_per_dim:.2f} bits per dimension ({found.kind}), less likely than "
        f"{found.percentile:.0f} % of test garments."
    )
    return tiles, sure, chances(garments.bayes(picture, family)), said


@guard
def measured() -> str:
    """The accuracy of both, as far as it was measured."""
    return figures.bayes_sentence(figures.read())


def build(hand: gr.State) -> None:
    """Lay out the section inside an open `gr.Tab`."""
    gr.Markdown(
        "A **discriminative** classifier learns p(y | x) and nothing else. A **generative** one learns p(x | y) for "
        "every label and turns it around by Bayes’ rule. Spoil the picture in hand (choose it in the gallery) "
        "and compare."
    )
    with gr.Row():
        with gr.Column(min_width=300):
            seen = pane(elem_id="lab-spoilt-picture", alive=True)
            noise = gr.Slider(0, 128, 0, step=1, label="Noise", info="Standard deviation, of 255.", elem_id="lab-noise")
            angle = gr.Slider(-180, 180, 0, step=1, label="Rotation", info="Degrees.", elem_id="lab-angle")
            inverted = gr.Checkbox(False, label="Inverted", info="Dark on bright.", elem_id="lab-inverted")
        with gr.Column(min_width=300):
            gr.Markdown("### p(y | x), the classifier")
            sure = pane(elem_id="lab-discriminative")
        with gr.Column(min_width=300):
            gr.Markdown("### p(x | y) p(y) / p(x), Bayes’ rule")
            bayes = pane(elem_id="lab-generative")
            family = gr.Radio(
                [choice for choice in CHOICES if choice[1] != "gan"], value=FIRST, label="Density",
                info="Whose p(x | y). A GAN has none.", elem_id="lab-bayes-family",
            )  # fmt: skip
    said = gr.Markdown("", elem_id="lab-classify-note")
    accuracy = gr.Markdown("", elem_id="lab-accuracy")
    inputs, outputs = [hand, family, noise, angle, inverted], [seen, sure, bayes, said]
    seen.ready(compared, inputs, outputs, **LIVE)
    seen.ready(measured, None, accuracy, **QUIET)
    gr.on([family.input, noise.input, angle.input, inverted.input], compared, inputs, outputs, **LIVE)
