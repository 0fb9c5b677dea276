"""What a person sees of the Lab tab: a section a tab."""

import gradio as gr

from demos.lab.tab import augment, classify, compare, gallery, learn, playground
from demos.lab.tab.endpoints import augment_classifier, families, family_encode, family_log_prob, family_sample

__all__ = ["TITLE", "build"]

TITLE = "Lab"


def build() -> None:
    """Lay out the tab inside an open `gr.Tab`."""
    hand = gr.State(None)
    with gr.Tabs():
        with gr.Tab("Playground"):
            playground.build()
        with gr.Tab("Gallery", render_children=False):
            family = gallery.build(hand)
        with gr.Tab("Compare", render_children=False):
            compare.build(family)
        with gr.Tab("Classify", render_children=False):
            classify.build(hand)
        with gr.Tab("Augment", render_children=False):
            augment.build()
        with gr.Tab("Learn", render_children=False):
            learn.build()
    for endpoint in (family_sample, family_log_prob, family_encode, families, augment_classifier):
        gr.api(endpoint, api_name=endpoint.__name__, concurrency_id="lab-api", concurrency_limit=2)
