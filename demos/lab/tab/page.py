"""What a person sees of the Lab tab: a section a tab."""

import gradio as gr

from demos.lab.tab import learn, playground

__all__ = ["TITLE", "build"]

TITLE = "Lab"


def build() -> None:
    """Lay out the tab inside an open `gr.Tab`."""
    with gr.Tabs():
        with gr.Tab("Playground"):
            playground.build()
        with gr.Tab("Learn", render_children=False):
            learn.build()
