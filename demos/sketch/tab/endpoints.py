"""What a program calls: typed functions for `gradio_client` and MCP."""

from typing import Any

import gradio as gr
from PIL import Image

from demos.core.media import open_image, png_bytes, read_data_uri
from demos.sketch.tab.handlers import STYLES, model
from demos.ui.events import guard
from demos.ui.files import served, uploaded

__all__ = ["sketch_styles", "sketch_to_image"]


@guard
def sketch_to_image(
    sketch: gr.FileData | str,
    prompt: str = "",
    style: str = "fluent_3d",
    count: int = 1,
    steps: int = 8,
    guidance: float = 2.0,
    faithfulness: float = 1.0,
    seed: int = 0,
) -> list[gr.FileData]:
    """Turn a drawing into pictograms with transparent background.

    Args:
        sketch: a picture of a drawing (file, or data: URI), or the JSON of its strokes; empty to go by words alone.
        prompt: words such as "cat face"; words that the model does not know are ignored.
        style: one of the names that sketch_styles lists, or a blend such as "fluent_3d:2, noto:1".
        count: how many pictures, 1 to 16.
        steps: solver steps, 1 to 50; 2 is a fast draft, 8 is good.
        guidance: weight of the words, 0 to 4.
        faithfulness: how closely to follow the lines, 0 to 2.
        seed: the same seed and settings give the same pictures; -1 for a random one.

    Returns:
        PNG files, 512 x 512, RGBA.
    """
    from demos.sketch.model import Settings

    settings = Settings(prompt, style, steps, guidance, faithfulness, seed)
    result = model().draw(_drawn(sketch), settings, count=count, size=512)
    return [served(png_bytes(p), f"sketch-{s}.png") for p, s in zip(result.pictures, result.seeds, strict=True)]


def _drawn(sketch: Any) -> Image.Image | str | None:
    """A picture or strokes from whatever form a client sends them in; foreign addresses are never fetched."""
    text = sketch.strip() if isinstance(sketch, str) else ""
    if isinstance(sketch, str) and text[:1] in ("", "{", "["):
        return text
    if text.startswith("data:"):
        return open_image(read_data_uri(text))
    if not text:
        return open_image(uploaded(sketch)) if sketch else None
    try:
        path = uploaded(text.rpartition("/file=")[2])
    except ValueError:
        if "/file=" in text:
            raise
        return text
    return open_image(path)


@guard
def sketch_styles() -> list[str]:
    """The names of the styles that sketch_to_image knows."""
    return list(STYLES.values())
