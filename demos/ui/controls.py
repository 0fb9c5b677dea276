"""Controls that several tabs share: a seed with lock and dice, an upload, a progress bar, a gallery of the session."""

import html
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gradio as gr
from gradio.components import Component

from demos.core.seed import MAX_SEED

__all__ = [
    "HISTORY_LIMIT",
    "LOADING",
    "SeedControls",
    "bar",
    "download_button",
    "history",
    "picture_upload",
    "progress_bar",
    "remember",
    "seed_controls",
]

HISTORY_LIMIT = 48
LOADING = "The model is being loaded: the first picture takes some seconds."
"""What stands where a tab's first answer will be told of."""

_DICE = f"() => Math.floor(Math.random() * {MAX_SEED + 1})"


class SeedControls(NamedTuple):
    """The seed's number, whether it stays, and the button that rolls another."""

    number: gr.Number
    lock: gr.Checkbox
    dice: gr.Button


def seed_controls(value: int = 0, locked: bool = False) -> SeedControls:
    """A row with seed, lock and dice, bound to each other; the dice rolls in the browser."""
    with gr.Row(elem_classes="at-seed", equal_height=True):
        number = gr.Number(
            value,
            label="Seed",
            info="The same seed and settings give the same result.",
            precision=0,
            minimum=0,
            maximum=MAX_SEED,
            min_width=140,
            scale=3,
        )
        lock = gr.Checkbox(locked, label="Keep", info="Use this seed again.", min_width=110, scale=2)
        dice = gr.Button("⚄ New seed", size="sm", min_width=90, scale=1, elem_classes="at-dice")
    dice.click(None, None, number, js=_DICE, show_progress="hidden", api_visibility="private")
    return SeedControls(number, lock, dice)


class Download(NamedTuple):
    """A button that makes a file first and downloads it then; Gradio's own needs the file before the click."""

    button: gr.Button
    file: gr.DownloadButton

    def bind(self, fn: Callable[..., str], inputs: Component | Sequence[Component]) -> None:
        """`fn(*inputs)` gives the path of the file."""
        press = f"() => setTimeout(() => document.querySelector('#{self.file.elem_id}')?.click(), 50)"
        made = self.button.click(fn, inputs, self.file, api_visibility="private", show_progress="hidden")
        made.success(None, js=press, api_visibility="private")


def download_button(label: str, elem_id: str) -> Download:
    """A small button that downloads what its handler makes; `bind` it."""
    button = gr.Button(label, size="sm", elem_id=elem_id, min_width=100)
    return Download(button, gr.DownloadButton(label, visible="hidden", elem_id=f"{elem_id}-file"))


def picture_upload(label: str, elem_id: str, height: int | str, value: str | None = None) -> gr.Image:
    """A picture from a file, the camera or the clipboard, which reaches handlers as a path.

    The model alone opens the file: of a damaged one Gradio itself would say nothing but “Error”.
    """
    image = gr.Image(
        value, label=label, type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"],
        height=height, elem_id=elem_id, buttons=[],
    )  # fmt: skip
    image.preprocess = lambda payload: payload.path if payload else None
    return image


def progress_bar() -> gr.HTML:
    """An empty bar; update it with `bar(i, n)`. It keeps its height, so nothing jumps."""
    return gr.HTML(bar(None), elem_classes="at-progress", container=False, padding=False)


def bar(i: int | None, n: int = 1, label: str = "") -> str:
    """A bar with `i` of `n` steps done, as HTML; None for `i` draws it empty and quiet."""
    if i is None:
        return '<div class="at-bar" aria-hidden="true"><span style="width:0%"></span></div>'
    percent = round(100 * min(max(i, 0), max(n, 1)) / max(n, 1))
    text = html.escape(label or f"Step {i} of {n}")
    return (
        f'<div class="at-bar" role="progressbar" aria-label="{text}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percent}"><span style="width:{percent}%"></span></div><div class="at-bar-text">{text}</div>'
    )


def history(label: str = "This session", columns: int = 6) -> tuple[gr.Gallery, gr.State]:
    """A gallery of what this visitor made since the page opened, and the state behind it."""
    state = gr.State([])
    gallery = gr.Gallery(
        label=label,
        columns=columns,
        height="auto",
        object_fit="contain",
        format="png",
        interactive=False,
        elem_classes="at-history",
    )
    return gallery, state


def remember(items: Sequence[Any], new: Sequence[Any], limit: int = HISTORY_LIMIT) -> list[Any]:
    """`new` before `items`, at most `limit` of them: what to put into the state and the gallery of `history`."""
    return [*new, *items][:limit]
