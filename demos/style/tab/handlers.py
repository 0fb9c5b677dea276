"""What the page calls about one picture: repaint it as a slider moves, sample styles, grid of presets, film."""

import base64
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from demos.core.cancel import Cancelled
from demos.core.media import data_uri, png_bytes
from demos.core.seed import random_seed
from demos.core.strokes import Drawing, rasterise
from demos.style.tab import sources
from demos.style.tab.sources import DRAWING, PICTURE, style_of
from demos.ui.controls import bar, remember
from demos.ui.events import JOBS, Step, guard, stream
from demos.ui.files import bundled, served

if TYPE_CHECKING:
    from demos.style.model import Layer, Restyled

LIVE_SIZE = 288
GRID_SIZE, FILM_SIZE = 224, 288
MOST_SAMPLES = 8
GALLERY, MIX = "gallery", "mix"
EVERYWHERE, PART = "The whole picture", "Where I paint"
COLD = 16


@dataclass(frozen=True)
class Request:
    """Everything on the page that shapes a picture; two equal requests give the same picture."""

    content: str | None
    source: str
    key: str
    picture: str | None
    drawing: str
    mixed: tuple[str, ...]
    weights: tuple[float, ...]
    where: str
    mask: str
    second: str
    strength: float
    keep_colours: bool
    brush: float
    size: float
    seed: int

    @classmethod
    def of(cls, *inputs: Any) -> "Request":
        """The request that the controls describe: four styles and four weights of a mixture lie among the fields."""
        content, source, key, picture, drawing, *rest = inputs
        names, weights, (where, mask, second, *numbers, seed) = rest[:4], rest[4:8], rest[8:]
        fields: list[Any] = [
            content, source, key, picture, drawing or "", tuple(name or "" for name in names), tuple(weights),
            where, mask or "", second or "", *numbers, int(seed or 0),
        ]  # fmt: skip
        return cls(*fields)

    def missing(self) -> str:
        """What a visitor should do before there is a result, or an empty text."""
        if not self.content:
            return "Choose a picture to repaint."
        if self.where == PART and Drawing.from_json(self.mask).is_empty:
            return "Paint on the picture where the style should go."
        try:
            self.mix()
        except ValueError as error:
            return str(error)
        return ""

    def mix(self) -> list[tuple[Any, float]]:
        """The styles and their weights."""
        if self.source != MIX:
            key = self.key if self.source == GALLERY else self.source
            return [(style_of(key, self.picture, self.drawing), 1.0)]
        pairs = [(n, w) for n, w in zip(self.mixed, self.weights, strict=True) if n and w > 0]
        if not pairs:
            raise ValueError("Choose at least one style with a weight above 0.")
        return [(style_of(name, self.picture, self.drawing), weight) for name, weight in pairs]

    def layers(self) -> "list[Layer]":
        """What goes where."""
        from demos.style.model import Layer

        if self.where != PART:
            return [Layer(self.mix())]
        warm, cold = masks(self.mask, opened(self.content).size)
        second = [(style_of(self.second, self.picture, self.drawing), 1.0)] if self.second else self.mix()
        return [Layer(mix, mask) for mix, mask in ((self.mix(), warm), (second, cold)) if mask.any()]

    def options(self) -> dict[str, Any]:
        """The model's settings but for strength and size."""
        return {"brush": self.brush, "keep_colours": self.keep_colours, "seed": self.seed}

    def restyled(self, size: float) -> "Restyled":
        """The picture by the fast engine, its long side at most `size` pixels."""
        return sources.model().restyle(
            opened(self.content), self.layers(), strength=self.strength, size=int(size), **self.options()
        )

    def title(self) -> str:
        """The style in words."""
        if self.source == MIX:
            return " + ".join(sources.named(n) for n, w in zip(self.mixed, self.weights, strict=True) if n and w > 0)
        return sources.named(self.key if self.source == GALLERY else self.source)


@dataclass(frozen=True)
class Shown:
    """The picture in the frame; the request is None if the exact engine made it."""

    picture: Image.Image
    seed: int
    request: Request | None = None


@functools.lru_cache(maxsize=16)
def opened(path: str | None) -> Image.Image:
    """A visitor's picture at no more than the model's largest size, kept for the next move of a slider."""
    from demos.style.model import LIMITS
    from demos.style.model import opened as checked

    if not path:
        raise ValueError("Choose a picture to repaint.")
    return checked(path, int(LIMITS["size"][1]))


def masks(strokes: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where warm and where cold colours are painted on a picture of `size` that lies centred on the square paper.

    Returns:
        Two arrays `(h, w)` in [0, 1] with the picture's proportions. A line of the pen is warm.
    """
    ink, colour = rasterise(Drawing.from_json(strokes), 512)
    cold = colour[..., 2].astype(int) > colour[..., 0].astype(int) + COLD
    alpha = colour[..., 3].astype(np.float32) / 255
    height, width = (max(1, round(512 * side / max(size))) for side in reversed(size))
    top, left = (512 - height) // 2, (512 - width) // 2
    part = np.s_[top : top + height, left : left + width]
    return np.maximum(ink, alpha * ~cold)[part], (alpha * cold * (1 - ink))[part]


def framed(before: Image.Image | None, after: Image.Image | None = None, alt: str = "The repainted picture") -> str:
    """The frame: content and result over each other, of which the page's slider shows one or the other."""
    if before is None or after is None:
        return '<div class="pair"><p>Your picture appears here.</p></div>'
    return (
        f'<div class="pair"><img class="before" alt="The picture as it was" src="{data_uri(before)}">'
        f'<img class="after" alt="{alt}" src="{data_uri(after)}"></div>'
    )


def _note(request: Request, found: "Restyled", seconds: float) -> str:
    size = f"{found.picture.width} × {found.picture.height} px"
    return f"{request.title()} · {size} · seed {found.seed} · {1000 * seconds:.0f} ms"


@guard
def follow(shown: Shown | None, *inputs: Any) -> tuple[Any, ...]:
    """Frame and note while the strength slides: a smaller picture, unless the large one is there already."""
    request = Request.of(*inputs)
    if (shown is not None and shown.request == request) or request.missing():
        return gr.skip(), gr.skip()
    _, start = sources.model(), time.perf_counter()
    found = request.restyled(min(LIVE_SIZE, request.size))
    return framed(found.content, found.picture), _note(request, found, time.perf_counter() - start)


@guard
def repaint(*inputs: Any) -> tuple[Any, ...]:
    """Frame, note and the picture at its full size."""
    request = Request.of(*inputs)
    sentence = request.missing()
    if sentence:
        return gr.skip() if request.content else framed(None), sentence, None
    _, start = sources.model(), time.perf_counter()
    found = request.restyled(request.size)
    note = _note(request, found, time.perf_counter() - start)
    return framed(found.content, found.picture), note, Shown(found.picture, found.seed, request)


@guard
def gallery(keys: list[str]) -> list[tuple[Image.Image, str]]:
    """What every style of the gallery looks like."""
    return [(sources.thumbnail(key), sources.named(key)) for key in keys]


@guard
def sample(keys: list[str]) -> tuple[Any, ...]:
    """One more style in the gallery: its pictures, keys, key, note, and five lists of styles."""
    key, neighbours = sources.sampled(random_seed())
    presets = [k for k in keys if k in sources.titles()]
    keys = [*presets, *[k for k in keys if k not in presets][1 - MOST_SAMPLES :], key]
    pictures = [(sources.thumbnail(k), sources.named(k)) for k in keys]
    note = f"**{sources.named(key)}** lies near {', '.join(neighbours[:-1])} and {neighbours[-1]}."
    lists = [gr.Dropdown(sources.choices(keys))] * 5
    return gr.Gallery(pictures, selected_index=len(keys) - 1), keys, key, note, *lists


@guard
def pick(keys: list[str], event: gr.SelectData) -> str:
    """The key of a chosen thumbnail."""
    return keys[event.index]


@guard
def pick_preset(event: gr.SelectData) -> tuple[Any, ...]:
    """The preset that was chosen among all: key, source, tabs."""
    return list(sources.titles())[event.index], GALLERY, gr.Tabs(selected=GALLERY)


@guard
def take_content(event: gr.SelectData) -> str:
    """The example that was chosen as content."""
    return bundled(sources.contents()[event.index][0])


@guard
def take_style(event: gr.SelectData) -> str:
    """The example that was chosen as a picture of the style."""
    return bundled(sources.style_pictures()[event.index][0])


@guard
def all_presets(page: gr.Request, *inputs: Any) -> Iterator[tuple[Any, ...]]:
    """The content in every preset, as they come: pictures, bar."""
    request, made = Request.of(*inputs), []
    content, count = opened(request.content), len(sources.titles())
    options = {**request.options(), "strength": request.strength, "size": GRID_SIZE}
    with JOBS.running(page, "style") as token:
        for title, picture in sources.model().all_presets(content, **options):
            made.append((picture, title))
            if token.cancelled():
                break
            yield made if len(made) % 4 == 0 else gr.skip(), bar(len(made), count, f"{len(made)} of {count}")
    yield made, bar(None)


@guard
def film(page: gr.Request, frames: int, *inputs: Any) -> Iterator[tuple[Any, ...]]:
    """The strength going from 0 to 1 and back: frame, bar, the GIF."""
    request = Request.of(*inputs)
    content, layers = opened(request.content), request.layers()
    job = functools.partial(
        sources.model().film, content, layers, frames=int(frames), size=FILM_SIZE, **request.options()
    )
    try:
        with JOBS.running(page, "style") as token:
            for event in stream(lambda on_step: job(on_step=on_step), token):
                if isinstance(event, Step):
                    yield gr.skip(), bar(event.i, event.n), gr.skip()
                    continue
                uri = f"data:image/gif;base64,{base64.b64encode(event.value).decode('ascii')}"
                yield f'<div class="pair"><img alt="Film of the strength" src="{uri}"></div>', bar(None), event.value
    except Cancelled:
        yield gr.skip(), bar(None), gr.skip()


@guard
def save_film(data: bytes | None) -> str:
    """The film as a file."""
    if not data:
        raise ValueError("Make the film first.")
    return served(data, "strength.gif").path


@guard
def save_png(shown: Shown | None) -> str:
    """The picture in the frame as a PNG file."""
    if shown is None:
        raise ValueError("There is no result yet; choose a picture and a style.")
    return served(png_bytes(shown.picture), f"style-{shown.seed}.png").path


@guard
def keep(shown: Shown | None, kept: list[Any]) -> tuple[Any, ...]:
    """The picture in the frame goes into the session's gallery."""
    if shown is None:
        raise ValueError("There is no result yet; choose a picture and a style.")
    kept = remember(kept, [shown.picture])
    return kept, kept


__all__ = [
    "DRAWING", "EVERYWHERE", "GALLERY", "MIX", "PART", "PICTURE", "Request", "Shown", "all_presets",
    "film", "follow", "framed", "gallery", "keep", "masks", "opened", "pick", "pick_preset", "repaint", "sample",
    "save_film", "save_png", "take_content", "take_style",
]  # fmt: skip
