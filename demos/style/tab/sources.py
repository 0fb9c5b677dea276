"""What a visitor begins with, and the styles by their keys.

A key names a style: a preset's name, `sample:7` for what the density over codes gives with seed 7, `picture` for the
visitor's own picture, `drawing` for the visitor's own drawing. Nothing else about a style has to be kept.
"""

import functools
import importlib.util
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gradio.media import get_image
from PIL import Image

from demos.core.once import once
from demos.core.strokes import Drawing, Stroke, parse_colour, render

if TYPE_CHECKING:
    from demos.style.model import StyleModel

__all__ = [
    "DRAWING",
    "PICTURE",
    "choices",
    "contents",
    "first_drawing",
    "model",
    "style_of",
    "style_pictures",
    "titles",
]

FOLDER = Path(__file__).parents[1]
PICTURE, DRAWING, SAMPLE = "picture", "drawing", "sample:"
WAVES = ("#3e7bf0", "#f9c81d", "#1b1b1f", "#16b8b0", "#e5484d", "#f4f2ef")


@once
def model() -> "StyleModel":
    """The model, loaded at its first use."""
    from demos.style.model import StyleModel

    return StyleModel.load("style")


@functools.cache
def titles() -> dict[str, str]:
    """Presets: what a person reads, by name; read from the config alone."""
    config = FOLDER.parents[1] / "checkpoints" / "style" / "presets" / "config.json"
    return dict(json.loads(config.read_text(encoding="utf-8"))["titles"])


def _bundled(name: str) -> str:
    """A picture that comes with scikit-image, found without importing it."""
    spec = importlib.util.find_spec("skimage")
    return str(Path((spec and spec.origin) or "").parent / "data" / name)


@functools.cache
def contents() -> list[tuple[str, str]]:
    """Path and title of pictures to repaint."""
    own = [(str(get_image(f"{name.lower()}.jpg")), name) for name in ("Tower", "Cheetah", "Lion")]
    names = {"Chelsea": "chelsea.png", "Astronaut": "astronaut.png", "Coffee": "coffee.png", "Rocket": "rocket.jpg"}
    return [(_bundled(file), title) for title, file in names.items()] + own


@functools.cache
def style_pictures() -> list[tuple[str, str]]:
    """Path and title of pictures that serve as styles."""
    names = {"Tissue": "ihc.png", "Galaxies": "hubble_deep_field.jpg", "Retina": "retina.jpg", "Coffee": "coffee.png"}
    return [(_bundled(file), title) for title, file in names.items()]


@functools.cache
def first_drawing() -> str:
    """Waves in six colours: a drawing that serves as a style until the visitor draws another."""
    strokes, x = [], np.linspace(-20, 532, 24)
    for i in range(16):
        y = 34 * i + 18 * np.sin(x / 48 + 0.9 * i) * math.cos(0.7 * i)
        points = np.stack([x, y, np.full_like(x, 0.5)], 1).astype(np.float32)
        strokes.append(Stroke(points, 38.0, parse_colour(WAVES[i % len(WAVES)]), "brush"))
    return Drawing(tuple(strokes)).to_json()


def named(key: str) -> str:
    """What a person reads for a key."""
    words = {PICTURE: "my picture", DRAWING: "my drawing"}
    return titles().get(key) or words.get(key) or f"sample {key.removeprefix(SAMPLE)}"


def choices(keys: list[str]) -> list[tuple[str, str]]:
    """What a list of styles offers: the gallery's, and the visitor's picture and drawing."""
    return [(named(key), key) for key in (*keys, PICTURE, DRAWING)]


def style_of(key: str, picture: str | None, drawing: str | None) -> Any:
    """The style behind a key, as the model takes it.

    Raises:
        ValueError: no such style, or the visitor has not given it yet.
    """
    if key == PICTURE:
        if not picture:
            raise ValueError("Choose a picture of the style in “Picture”.")
        return picture
    if key == DRAWING:
        return drawn(drawing)
    if key.startswith(SAMPLE):
        return model().sample_styles(key.removeprefix(SAMPLE))[0][0]
    if key not in titles():
        raise ValueError("Choose a style.")
    return key


def drawn(strokes: str | None) -> Image.Image:
    """The visitor's drawing as a picture.

    Raises:
        ValueError: nothing is drawn.
    """
    drawing = Drawing.from_json(strokes or "")
    if drawing.is_empty:
        raise ValueError("Draw something in “Drawing”: it becomes the style.")
    return render(drawing, 512)


@functools.lru_cache(maxsize=256)
def thumbnail(key: str) -> Image.Image:
    """What a style of the gallery looks like, made by the model from the code."""
    return model().thumbnail(style_of(key, None, None), 96)


def sampled(seed: int) -> tuple[str, list[str]]:
    """The key of a style drawn with a seed, and its neighbours' titles."""
    return f"{SAMPLE}{seed}", model().sample_styles(seed)[0][1]
