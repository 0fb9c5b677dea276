"""What a program calls: typed functions for `gradio_client` and MCP."""

import gradio as gr

from demos.core.media import png_bytes
from demos.style.tab import sources
from demos.ui.events import guard
from demos.ui.files import picture_file, served

__all__ = ["restyle", "style_presets"]

ENGINES = ("fast", "exact")
FAST_SIZE, EXACT_SIZE = 1024, 256


@guard
def restyle(
    content: gr.FileData | str,
    style: gr.FileData | str | None = None,
    preset: str | None = None,
    strength: float = 1.0,
    keep_colours: bool = False,
    engine: str = "fast",
    seed: int = 0,
) -> gr.FileData:
    """Repaint a picture in the style of another one, or of a preset; give exactly one of style and preset.

    Args:
        content: the picture to repaint (file, or data: URI).
        style: a picture of the style (file, or data: URI).
        preset: one of the names that style_presets lists.
        strength: 0 gives the content back; 1 repaints it fully. The exact engine has no strength.
        keep_colours: keep the colours of the content, take only light and dark from the result.
        engine: "fast", a trained network, up to 1,024 pixels a side; or "exact", which rebuilds the picture from
            patches of the style's picture, up to 256 pixels a side, and takes longer; it knows no presets.
        seed: the same seed and settings give the same picture; -1 for a random one.

    Returns:
        A PNG file of the content's proportions.
    """
    if engine not in ENGINES:
        raise ValueError(f"There is no such engine; choose {' or '.join(ENGINES)}.")
    if bool(style) == bool(preset):
        raise ValueError("Give exactly one of style (a picture) and preset (a name that style_presets lists).")
    picture = picture_file(content)
    if engine == "exact":
        if preset:
            raise ValueError("A preset is only a code; the exact engine needs a picture of the style.")
        if strength != 1:
            raise ValueError("The exact engine has no strength; leave it at 1, or choose the fast engine.")
        goal = picture_file(style)
        found = sources.model().rebuild(picture, goal, keep_colours=keep_colours, size=EXACT_SIZE, seed=seed)
    else:
        from demos.style.model import Layer

        chosen = sources.model().presets.code(str(preset)) if preset else picture_file(style)
        found = sources.model().restyle(
            picture, Layer([(chosen, 1.0)]), strength=strength, keep_colours=keep_colours, size=FAST_SIZE, seed=seed
        )
    return served(png_bytes(found.picture), f"style-{found.seed}.png")


@guard
def style_presets() -> list[str]:
    """The names of the presets that restyle knows."""
    return list(sources.titles())
