"""Pictures that go from one tab to another: a button fetches what another tab's frame shows in this browser.

Nothing about the other tab is known but the place of its picture in the page, so tabs stay independent.
"""

import json
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from demos.core.media import open_image, png_bytes, read_data_uri
from demos.ui.events import guard
from demos.ui.files import served

__all__ = ["SKETCH", "STYLE", "fetch_button", "fetched"]

SKETCH, STYLE = ("Sketch", "#sketch-frame img"), ("Style", "#style-frame .after")
"""Title of a tab, and where its picture is."""


@guard
def fetched(tab: str, uri: str | None) -> str:
    """The path of a picture that the page handed over as a data: URI.

    Raises:
        gr.Error: there is none, or it is no picture.
    """
    if not uri:
        raise ValueError(f"There is no picture in the {tab} tab yet; open it and make one.")
    return served(png_bytes(open_image(read_data_uri(uri))), f"{tab.lower()}.png").path


def fetch_button(
    label: str, source: tuple[str, str], elem_id: str, target: Component, use: Callable[[str], Any] = str
) -> gr.Button:
    """A button, already bound, that puts what `use` makes of the path of another tab's picture into `target`."""
    tab, place = source
    button, sent = gr.Button(label, size="sm", elem_id=elem_id), gr.Textbox(visible=False)
    script = f"() => document.querySelector({json.dumps(place)})?.src ?? ''"
    button.click(
        lambda uri: use(fetched(tab, uri)), sent, target, js=script, api_visibility="private", show_progress="hidden"
    )
    return button
