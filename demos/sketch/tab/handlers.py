"""What the page calls: every function answers one event of the Sketch tab."""

import csv
import functools
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from demos.core.cancel import Cancelled, OnStep
from demos.core.media import data_uri, png_bytes, zip_bytes, zip_pictures
from demos.core.once import Once, once
from demos.core.seed import random_seed
from demos.core.strokes import Drawing, rasterise, render
from demos.ui.controls import bar, remember
from demos.ui.events import JOBS, Step, guard, stream
from demos.ui.files import served

if TYPE_CHECKING:
    from demos.sketch.model import Pictures, Settings, SketchModel

FOLDER = Path(__file__).parents[1]
STYLES = {
    "3D": "fluent_3d",
    "Flat": "fluent_flat",
    "Ink": "fluent_high_contrast",
    "Noto": "noto",
    "Twemoji": "twemoji",
    "EmojiTwo": "emojitwo",
}
LIVE_STEPS, FINISHED_STEPS = 2, 8
LIVE_SIDE, FINISHED_SIDE = 128, 512
DRAFTING, OVERTAKING = "sketch-drafting", "sketch-overtaking"
"""The lanes of drafts and of those that overtake one under way and end it."""
FINISHING = "sketch-finishing"
"""The lane in which drafts are finished: a newer draft ends it, and need not wait for it."""
RECENT = 32
"""So many finished pictures of all visitors are kept."""
FRAMES = 9
LARGEST_DATA_SET = 256


@dataclass(frozen=True)
class Request:
    """Everything on the page that shapes a picture. Two equal requests give the same live picture."""

    strokes: str
    prompt: str
    seed: int
    style: str
    second: str
    blend: float
    guidance: float
    faithfulness: float

    @classmethod
    def of(cls, strokes: str | None, prompt: str | None, seed: int | None, *controls: Any) -> "Request":
        """The request that the controls describe, in the order of the fields; the same strokes have the same text."""
        drawing = Drawing.from_json(strokes or "")
        return cls(drawing.to_json() if drawing.strokes else "", prompt or "", int(seed or 0), *controls)

    def settings(self, steps: int, seed: int | None = None, quick: bool = False) -> "Settings":
        """The model's settings."""
        from demos.sketch.model import Settings

        mixed = self.second and self.second != self.style and self.blend > 0
        style = {self.style: 1 - self.blend, self.second: self.blend} if mixed else self.style
        chosen = self.seed if seed is None else seed
        return Settings(self.prompt, style, int(steps), self.guidance, self.faithfulness, chosen, quick)


@dataclass(frozen=True)
class Shown:
    """The picture in the big frame and what made it; one a visitor, kept on the server.

    A `draft` may be finished without being asked.
    """

    picture: Image.Image
    latent: np.ndarray
    seed: int
    request: Request
    draft: bool = False


@once
def model() -> "SketchModel":
    """The model, loaded at its first use."""
    from demos.sketch.model import SketchModel

    return SketchModel.load("sketch")


def warm() -> None:
    """Begin to load the model in the background: its tab is the first that a visitor sees.

    No more than that: drawing anything would compete with the browser of a person who starts the app and opens it.
    """
    threading.Thread(target=model, daemon=True).start()


@functools.cache
def vocabulary() -> list[str]:
    """Words that the model knows, read from its config alone."""
    config = FOLDER.parents[1] / "checkpoints" / "sketch" / "unet" / "config.json"
    return list(json.loads(config.read_text(encoding="utf-8"))["vocabulary"])


@functools.cache
def examples() -> list[dict[str, Any]]:
    """The drawings in `examples/`, with their words and styles."""
    return [json.loads(f.read_text(encoding="utf-8")) for f in sorted((FOLDER / "examples").glob("*.json"))]


drawn_once = threading.Event()
"""Set when the model has drawn for the first time."""


@Once
def example_pictures() -> list[tuple[Image.Image, str]]:
    """Every example's drawing beside what the model makes of it, once a process.

    A page asks for them when it opens, shortly before it asks for the picture in its frame, which shall come first.
    """
    model()
    drawn_once.wait(2)
    pairs = []
    for item in examples():
        request = Request.of("", item["prompt"], item["seed"], item["style"], "", 0, 2.0, 1.0)
        picture = model().draw(Drawing.from_json(item), request.settings(FINISHED_STEPS)).pictures[0]
        pair = Image.new("RGB", (512, 256), "white")
        pair.paste(render(Drawing.from_json(item), 256), (0, 0))
        pair.paste(picture, (256, 0), picture)
        pairs.append((pair, item["title"]))
    return pairs


def strokes_of(example: dict[str, Any]) -> str:
    """An example's drawing as the sketchpad's value."""
    return json.dumps({key: example[key] for key in ("version", "size", "strokes")})


def framed(picture: Image.Image | None) -> str:
    """The big frame's content: an `<img>` with the picture inside, so that no second request is needed."""
    if picture is None:
        return '<div class="at-empty">Your picture appears here.</div>'
    return f'<img alt="The picture that the model made of your drawing" src="{data_uri(picture)}">'


def _note(result: "Pictures", steps: int, seconds: float) -> str:
    ignored = f" · not known and ignored: {', '.join(result.ignored[:8])}" if result.ignored else ""
    plural = "s" if steps > 1 else ""
    return f"seed {result.seeds[0]} · {steps} step{plural} · {1000 * seconds:.0f} ms{ignored}"


recent: dict[Request, tuple[str, Shown]] = {}
"""Notes and pictures finished lately: what is undone, chosen again or shown to everyone is not computed again."""


def _drawn(request: Request, steps: int, draft: bool = False, **options: Any) -> tuple[str, Shown]:
    """Note and picture; `options` go to the model."""
    sketch, start = model(), time.perf_counter()
    result = sketch.draw(request.strokes, request.settings(steps, quick=draft), **options)
    drawn_once.set()
    return _note(result, steps, time.perf_counter() - start), _shown(result, 0, request, draft)


def _finished(request: Request, **options: Any) -> tuple[str, Shown]:
    """Note and large picture in `FINISHED_STEPS`, kept in `recent`; `options` go to the model."""
    finished = recent[request] = _drawn(request, FINISHED_STEPS, size=FINISHED_SIDE, **options)
    for oldest in list(recent)[:-RECENT]:
        recent.pop(oldest, None)
    return finished


def _shown(result: "Pictures", index: int, request: Request, draft: bool = False) -> Shown:
    return Shown(result.pictures[index], result.latents[index], result.seeds[index], request, draft)


@guard
def draw_live(page: gr.Request, shown: Shown | None, *inputs: Any) -> tuple[Any, ...]:
    """The picture of the moment, small and by the distilled network alone, or finished if it was finished before.

    A draft of this visitor that is still under way is given up: its drawing has changed.
    """
    request = Request.of(*inputs)
    JOBS.stop(page, DRAFTING)
    if shown is not None and shown.request == request:
        return gr.skip(), gr.skip(), gr.skip()
    JOBS.stop(page, FINISHING)
    if not request.prompt and not request.strokes:
        return framed(None), "Draw a line: the picture follows.", None
    with JOBS.running(page, DRAFTING) as token:
        note, shown = recent.get(request) or _drawn(request, LIVE_STEPS, True, size=LIVE_SIDE, check=token.check)
        token.check()
    return framed(shown.picture), note, shown


@guard
def finish(page: gr.Request, shown: Shown | None, *inputs: Any) -> tuple[Any, ...]:
    """What a draft was to be drawn of in more steps and larger, now that the hand rests; the draft may be lost."""
    request = Request.of(*inputs)
    if (shown is not None and not shown.draft) or not (request.prompt or request.strokes):
        return gr.skip(), gr.skip(), gr.skip()
    with JOBS.running(page, FINISHING, alone=True) as token:
        note, shown = _finished(request, check=token.check)
        token.check()
    return framed(shown.picture), note, shown


@guard
def refine(
    page: gr.Request, kept: list[Any], keep_seed: bool, steps: int, count: int, *inputs: Any
) -> Iterator[tuple[Any, ...]]:
    """Finished pictures with many steps, streamed; the first replaces the live one."""
    request, settings = _chosen(keep_seed, steps, *inputs)
    job = functools.partial(model().draw, request.strokes, settings, count=int(count), size=512)
    yield from _run(page, kept, request, settings.steps, job)


@guard
def more_like(
    page: gr.Request, shown: Shown | None, kept: list[Any], keep_seed: bool, steps: int, count: int, strength: float,
    *inputs: Any,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """Variations of the picture in the frame."""
    if shown is None:
        raise ValueError("Make a picture first; then there is something to vary.")
    request, settings = _chosen(keep_seed, steps, *inputs)
    job = functools.partial(
        model().more_like, shown.latent, request.strokes, settings, strength=strength, count=int(count), size=512
    )
    yield from _run(page, kept, request, settings.steps, job)


@guard
def repaint(
    page: gr.Request, shown: Shown | None, mask: str | None, kept: list[Any], keep_seed: bool, steps: int, count: int,
    *inputs: Any,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """The picture in the frame, drawn again where the visitor brushed."""
    if shown is None:
        raise ValueError("Make a picture first; then a part of it can be painted again.")
    ink, colour = rasterise(Drawing.from_json(mask or ""), 128)
    where = np.maximum(ink, colour[..., 3] / 255)
    request, settings = _chosen(keep_seed, steps, *inputs)
    job = functools.partial(model().repaint, shown.latent, where, request.strokes, settings, count=int(count), size=512)
    yield from _run(page, kept, request, settings.steps, job)


def _chosen(keep_seed: bool, steps: int, *inputs: Any) -> tuple[Request, "Settings"]:
    """The request, with a fresh seed unless the visitor keeps the one shown."""
    strokes, prompt, seed, *controls = inputs
    request = Request.of(strokes, prompt, seed if keep_seed else random_seed(), *controls)
    return request, request.settings(steps)


def _run(
    page: gr.Request, kept: list[Any], request: Request, steps: int, job: Callable[..., "Pictures"]
) -> Iterator[tuple[Any, ...]]:
    """Stream a job into frame, note, bar, gallery, results, shown, kept, session, strip and seed."""
    start, strip = time.perf_counter(), []
    JOBS.stop(page, FINISHING)

    def run(on_step: OnStep) -> "Pictures":
        return job(on_step=on_step)

    try:
        with JOBS.running(page, "sketch") as token:
            for event in stream(run, token):
                if isinstance(event, Step):
                    previews = event.preview or []
                    strip += previews[:1]
                    frame = framed(previews[0]) if previews else gr.skip()
                    yield (frame, gr.skip(), bar(event.i, event.n), *[gr.skip()] * 7)
                    continue
                result = event.value
                note = _note(result, steps, time.perf_counter() - start)
                shown = _shown(result, 0, request)
                kept = remember(kept, result.pictures)
                yield (
                    framed(shown.picture), note, bar(None), result.pictures, (result, request), shown, kept, kept,
                    strip, request.seed,
                )  # fmt: skip
    except Cancelled:
        yield (gr.skip(), gr.skip(), bar(None), *[gr.skip()] * 7)


@guard
def pick(results: Any, event: gr.SelectData) -> tuple[Any, ...]:
    """A variation from the gallery becomes the picture in the frame."""
    shown = _shown(results[0], event.index, results[1])
    return framed(shown.picture), f"seed {shown.seed}", shown


@guard
def walk(other: int | None, steps: int, *inputs: Any) -> tuple[Any, ...]:
    """All pictures on the way from the seed to another one."""
    request = Request.of(*inputs)
    seeds = (request.seed, int(other or 0))
    result = model().between(request.strokes, request.settings(steps), seeds=seeds, frames=FRAMES)
    return (
        (result, request),
        gr.Slider(value=0, interactive=True),
        framed(result.pictures[0]),
        _shown(result, 0, request),
    )


@guard
def show_between(way: Any, position: float) -> tuple[Any, ...]:
    """The picture at a place on the way."""
    if way is None:
        raise ValueError("Compute the way between the two seeds first.")
    shown = _shown(way[0], round(position * (len(way[0].pictures) - 1)), way[1])
    return framed(shown.picture), shown


@guard
def make_data_set(page: gr.Request, label: str, amount: int, *inputs: Any) -> Iterator[tuple[Any, ...]]:
    """A zip of labelled variations of the drawing, for training a classifier."""
    request = Request.of(*inputs)
    amount = int(min(max(amount, 1), LARGEST_DATA_SET))
    name = label.strip()[:60] or "drawing"
    files, rows = {}, [("file", "label", "seed")]
    with JOBS.running(page, "sketch") as token:
        for first in range(0, amount, 8):
            if token.cancelled():
                yield bar(None), gr.skip()
                return
            settings = request.settings(FINISHED_STEPS, (request.seed + first) % 2**32)
            result = model().draw(request.strokes, settings, count=min(8, amount - first))
            for picture, seed in zip(result.pictures, result.seeds, strict=True):
                file = f"pictures/{len(files):04d}.png"
                files[file] = png_bytes(picture)
                rows.append((file, name, str(seed)))
            yield bar(len(files), amount, f"{len(files)} of {amount} pictures"), gr.skip()
    csv.writer(table := io.StringIO()).writerows(rows)
    files["labels.csv"] = table.getvalue().encode()
    yield bar(None), served(zip_bytes(files), "data-set.zip").path


@guard
def save_png(shown: Shown | None) -> str:
    """The picture in the frame as a PNG file with transparency."""
    if shown is None:
        raise ValueError("There is no picture yet; draw something first.")
    return served(png_bytes(shown.picture), f"atelier-{shown.seed}.png").path


@guard
def save_zip(results: Any) -> str:
    """All variations as a zip."""
    if results is None:
        raise ValueError("There are no variations yet; press “Refine” first.")
    return served(zip_pictures(results[0].pictures, "atelier"), "atelier.zip").path


@guard
def bring(file: str | None) -> Any:
    """An uploaded picture or SVG, traced into strokes."""
    from demos.core.trace import import_drawing

    return import_drawing(file) if file else gr.skip()


@guard
def take_example(event: gr.SelectData) -> tuple[Any, ...]:
    """An example's drawing, words, the same as one text, style and seed."""
    item = examples()[event.index]
    return strokes_of(item), item["prompt"].split(), item["prompt"], item["style"], item["seed"]
