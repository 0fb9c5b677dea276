"""A vector canvas: strokes drawn with mouse, finger, pen or keys travel as small JSON instead of pixels.

The control is a `gr.HTML` whose script draws capsule chains exactly as `demos.core.strokes.render` does. Its value is
the JSON text that `demos.core.strokes.Drawing.from_json` reads. It fires `input` whenever the drawing changes: about
every 80 ms while a stroke is drawn, always when it ends, on undo, on redo, when Python sets another value, and once at
the start when the page restores a drawing or shows an example. `live` binds a handler so that at most one request of a
page is under way: the script holds the next event back until the reply has come. If a change is finished before that,
a sketchpad that `overtakes` fires `overtake` instead, unless it has just done so: what is under way is to be given up.
Soon after the last reply, if nothing has changed since and no stroke is being drawn, it fires `rest`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from demos.ui.board import board

__all__ = ["live", "sketchpad"]

_DESCRIPTION = (
    "Drawing paper. Draw with mouse, finger or pen, or use the arrow keys to move and the space bar to put the pen "
    "down and lift it. B pen, C colour brush, E eraser, X stroke eraser, brackets change the width, Control Z undoes."
)


def sketchpad(
    label: str = "Draw here",
    value: str = "",
    elem_id: str = "sketchpad",
    max_width: str = "560px",
    result: str = "",
    filename: str = "sketch",
    onion: bool = False,
    tool: str = "pen",
    ground: bool = False,
    overtakes: bool = False,
) -> gr.HTML:
    """Build the drawing surface.

    Args:
        label: Accessible name, also shown faintly on the empty paper.
        value: Strokes as JSON text; empty for blank paper. A drawing kept by the visitor's browser goes first.
        elem_id: Id of the control, unique on the page; also the key under which the browser keeps the drawing.
        max_width: CSS width that the square paper doesn't exceed.
        result: CSS selector of the `<img>` that the onion view shows under the lines; empty hides that button.
        filename: Name of exported files, without extension.
        onion: Whether the onion view is on at first.
        tool: The tool at hand at first: "pen", "brush" or "eraser".
        ground: Whether the onion view is the ground to paint on, at full strength instead of faint.
        overtakes: Whether a finished change doesn't wait for the reply to the one before; then `live` has to be told.

    Returns:
        The component; its value is the strokes' JSON text.
    """
    config = {
        "id": elem_id,
        "label": label,
        "description": _DESCRIPTION,
        "width": max_width,
        "result": result,
        "filename": filename,
        "onion": onion,
        "tool": tool,
        "ground": ground,
        "overtakes": overtakes,
    }
    return board("sketchpad", label, value, config, ("sketchpad_strokes.js", "sketchpad.js"))


def live(
    pad: gr.HTML,
    fn: Callable[..., Any],
    inputs: Component | Sequence[Component],
    outputs: Component | Sequence[Component],
    triggers: Sequence[Callable[..., Any]] = (),
    overtaking: str = "",
    **options: Any,
) -> Dependency:
    """Run a handler at each change of a sketchpad, one request at a time.

    Args:
        pad: What `sketchpad` returned.
        fn: The handler.
        inputs: Its inputs, among them `pad`.
        outputs: Its outputs; `pad` should not be among them.
        triggers: Further events that run the same handler, for example `prompt.input`.
        overtaking: The `concurrency_id` of requests of a pad that `overtakes`. The handler runs beside the one that it
            overtakes, and has to stop it.
        options: Passed to `gr.on`, for example `concurrency_id`.

    Returns:
        The dependency, for a further `then`.
    """
    options = {"show_progress": "hidden", "trigger_mode": "always_last", **options}
    acknowledge = f"() => {{ window.atelierSketchpads?.[{json.dumps(pad.elem_id)}]?.acknowledge(); }}"
    event = gr.on([pad.input, *triggers], fn, inputs, outputs, **options)
    event.then(None, js=acknowledge)
    if overtaking:
        pad.overtake(fn, inputs, outputs, **{**options, "concurrency_id": overtaking}).then(None, js=acknowledge)
    return event
