"""What the surfaces to draw on share: a frame with a bar of tools, its icons, and how a `gr.HTML` becomes one.

A surface called `name` consists of `name.html`, `name.css` and scripts. Its script finds `CONFIG`, `MARKUP` and `STYLE`
as constants; `{{icon}}` in its markup stands for one of `ICONS`, and `board.css` comes before its own style.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

__all__ = ["ICONS", "board"]

ICONS = {
    "pen": '<path d="M4 20l1.2-4.6L16.6 4a1.7 1.7 0 0 1 2.4 0l1 1a1.7 1.7 0 0 1 0 2.4L8.6 18.8z"/>'
    '<path d="M14.4 6.2l3.4 3.4"/>',
    "eraser": '<path d="M8.2 19.5l-4.4-4.4a1.6 1.6 0 0 1 0-2.3l8.7-8.7a1.6 1.6 0 0 1 2.3 0l5 5a1.6 1.6 0 0 1 0 2.3l'
    '-8.1 8.1z"/><path d="M8 8.7l7.3 7.3M7.5 19.5H20"/>',
    "undo": '<path d="M8.5 5L4 9.5 8.5 14"/><path d="M4.5 9.5H14a5.3 5.3 0 0 1 0 10.5h-3.5"/>',
    "redo": '<path d="M15.5 5L20 9.5 15.5 14"/><path d="M19.5 9.5H10a5.3 5.3 0 0 0 0 10.5h3.5"/>',
    "clear": '<path d="M4.5 6.5h15M9.5 6.5V4.3h5v2.2M6.5 6.5l.9 13.2h9.2l.9-13.2M10.3 10.5v5.5M13.7 10.5v5.5"/>',
}
"""Strokes in a box of 24 × 24."""

_FOLDER = Path(__file__).parent


def board(name: str, label: str, value: str, config: Mapping[str, Any], scripts: Sequence[str]) -> gr.HTML:
    """Build a surface.

    Args:
        name: of its files.
        label: accessible name.
        value: what it holds at first.
        config: what its script needs to know; `id` is the id of the control.
        scripts: files, in their order.
    """
    markup = re.sub(r"\{\{(\w+)\}\}", lambda m: f'<svg viewBox="0 0 24 24">{ICONS[m[1]]}</svg>', _text(f"{name}.html"))
    constants = {"CONFIG": config, "MARKUP": markup, "STYLE": _text("board.css") + _text(f"{name}.css")}
    lines = [f"const {key} = {json.dumps(constant)};" for key, constant in constants.items()]
    return gr.HTML(
        value=value,
        label=label,
        elem_id=config["id"],
        html_template=f'<div class="board-root {name}-root"></div>',
        js_on_load="\n".join([*lines, *map(_text, scripts)]),
        apply_default_css=False,
    )


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
