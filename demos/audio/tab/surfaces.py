"""Surfaces to play on: a map of timbres, a piano, and paper that shows curves and lets them be redrawn.

Each is a `gr.HTML` whose value is JSON text; its script draws it, and fires `input` when a visitor plays. A dragged
finger fires once more only after `answered` has told the surface that the last sound has come, or after a second.
"""

import json
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

__all__ = ["answered", "curve_paper", "parsed", "piano", "timbre_map"]

FOLDER = Path(__file__).parent


def timbre_map(elem_id: str, label: str = "Map of timbres") -> gr.HTML:
    """A map on which a place is a blend of instruments; fires `ready` once when it wants its `places`.

    Its value: `places` by name, `at` the place played, `to` the place that the note glides to or null, and `invented`,
    the seed of an invented timbre or null; places are `[x, y]` in [0, 1]².
    """
    return _surface(label, elem_id, "timbre_map.js", {})


def piano(elem_id: str, pitch: int = 57, label: str = "Piano") -> gr.HTML:
    """A keyboard for mouse, finger and the computer's keys; its value: `pitch` a MIDI number, and `press` a count."""
    return _surface(label, elem_id, "piano.js", {"pitch": pitch, "press": 0})


def curve_paper(elem_id: str, label: str = "Pitch and loudness") -> gr.HTML:
    """Pitch over loudness, both redrawn by dragging over them.

    Its value: `step` seconds between values, and equally long lists `pitch` (MIDI numbers), `level` (dB) and `sure`
    (confidence in per cent).
    """
    return _surface(label, elem_id, "curve_paper.js", {})


def answered(event: Dependency, surface: gr.HTML) -> None:
    """Tell a surface that the reply to its last `input` has come."""
    key = json.dumps(surface.elem_id)
    event.then(None, js=f"() => {{ window.atelierSurfaces?.[{key}]?.answered(); }}", api_visibility="private")


def parsed(text: str | None) -> dict[str, Any]:
    """What a surface holds.

    Raises:
        ValueError: it isn't the value of a surface.
    """
    try:
        found = json.loads(text or "{}")
    except (TypeError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError("What was drawn cannot be read; please load the page again.")
    return found


def _surface(label: str, elem_id: str, script: str, value: dict[str, Any]) -> gr.HTML:
    head = f"const ID = {json.dumps(elem_id)}, LABEL = {json.dumps(label)};"
    return gr.HTML(
        json.dumps(value), label=label, elem_id=elem_id, elem_classes="at-flush",
        html_template='<div class="surface"></div>', css_template=_text("surfaces.css"), apply_default_css=False,
        js_on_load="\n".join([head, _text("surfaces.js"), _text(script)]),
    )  # fmt: skip


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
