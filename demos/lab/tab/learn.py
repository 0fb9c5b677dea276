"""A page a family: the idea, the mathematics, what it can and cannot, the papers, and the code that the app runs."""

from pathlib import Path

import gradio as gr

from demos.lab.tab.stage import FAMILIES

__all__ = ["build"]

LAB = Path(__file__).parents[1]
DELIMITERS = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
]


def build() -> None:
    """Lay out the pages inside an open `gr.Tab`."""
    with gr.Tabs():
        for name, (title, _) in FAMILIES.items():
            with gr.Tab(title, render_children=False):
                text = (LAB / "learn" / f"{name}.md").read_text(encoding="utf-8")
                gr.Markdown(text, latex_delimiters=DELIMITERS, elem_id=f"lab-learn-{name}")
                source = (LAB.parent / "families" / f"{name}.py").read_text(encoding="utf-8")
                gr.Code(source, language="python", label=f"families/{name}.py, as the app runs it", max_lines=32)
