"""p(y | x) against p(x | y): a classifier, and Bayes' rule with a conditional density, on the same spoilt picture."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr
from PIL import Image

from demos.lab.garments.spoil import spoilt
from demos.lab.tab import experiments, figures
from demos.lab.tab.garments import CHOICES, LIVE, QUIET, example, model, within
from demos.lab.tab.tiles import chances, pane, row, tile
from demos.ui.events import guard

__all__ = ["build", "by_labels", "compared", "measured", "on_digits", "spoilt", "when_spoilt"]

FIRST = "autoregressive"


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
        f"p(y | x) always sums to 1, whatever the picture shows. The {within(family)} density also says how likely the "
        f"picture is at all: {found.bits_per_dim:.2f} bits per dimension ({found.kind}), less likely than "
        f"{found.percentile:.0f} % of test garments."
    )
    return tiles, sure, chances(garments.bayes(picture, family)), said


@guard
def measured() -> str:
    """The accuracy of both, as far as it was measured."""
    return figures.bayes_sentence(figures.read())


@guard
def by_labels() -> tuple[str, str]:
    """The chart of accuracy by the number of labels, and what it is."""
    found = experiments.read("labels")
    if not found:
        return "", experiments.not_yet("labels")
    return experiments.label_chart(found), (
        f"Of {found['pictures']:,} training pictures n have a label. The **discriminative** classifier, a small "
        f"network, learns from those n alone. The **generative** one learns from all: a VAE from the pictures without "
        f"their labels, then p(z | y) from n labels and from the rest without. It is asked by Bayes’ rule with the "
        f"importance-weighted p(x | y), {found['draws']} draws. {found['tested']:,} test pictures, means of three "
        f"seeds; bars: one standard deviation."
    )


@guard
def when_spoilt() -> tuple[str, str]:
    """The charts of accuracy under noise and rotation, and what they are."""
    found = experiments.read("robustness")
    if not found:
        return "", experiments.not_yet("robustness")
    return experiments.robustness_charts(found), (
        f"{experiments.inverted_sentence(found)}Both as shipped, on {found['tested']:,} test pictures; generative: "
        "the autoregressive model, its exact p(x | y). Neither saw spoilt pictures in training. A density counts every "
        "pixel: noise on the plain ground, where no training picture has any, decides, and most garments become "
        "shirts, sneakers or bags."
    )


@guard
def on_digits() -> tuple[str, str]:
    """What both say about digits, which are of no class, and where a density puts them."""
    found = experiments.read("robustness")
    if "digits" not in found:
        return "", experiments.not_yet("robustness")
    return experiments.digits_charts(found), experiments.digits_sentence(found)


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
    sections = []
    for words, name, handler in (
        ("Accuracy by the number of labels", "by-labels", by_labels),
        ("Noise, rotation, inversion", "when-spoilt", when_spoilt),
        ("Pictures of neither class: digits", "on-digits", on_digits),
    ):
        gr.Markdown(f"### {words}")
        sections.append((handler, [pane(elem_id=f"lab-{name}"), gr.Markdown("", elem_id=f"lab-{name}-note")]))
    inputs, outputs = [hand, family, noise, angle, inverted], [seen, sure, bayes, said]
    seen.ready(compared, inputs, outputs, **LIVE)
    seen.ready(measured, None, accuracy, **QUIET)
    for handler, places in sections:
        seen.ready(handler, None, places, **QUIET)
    gr.on([family.input, noise.input, angle.input, inverted.input], compared, inputs, outputs, **LIVE)
