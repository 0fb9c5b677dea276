"""What the page calls about one picture: inspect it, paint a defect, erase it."""

import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import gradio as gr
import numpy as np
from PIL import Image

from demos.core.cancel import Cancelled
from demos.core.media import data_uri, open_image, png_bytes
from demos.core.once import once
from demos.core.strokes import Drawing, rasterise
from demos.ui.controls import bar
from demos.ui.events import JOBS, Step, guard, stream
from demos.ui.files import bundled, served
from demos.ui.plots import histogram

if TYPE_CHECKING:
    from demos.anomaly.detectors import Detector
    from demos.anomaly.model import AnomalyModel, Inspection

FOLDER = Path(__file__).parents[1]
SHIPPED = "magnetic_tile"
CHOICES = [("Magnetic tiles, shipped", SHIPPED)]
GROUND = 256
MOST_LISTED = 8
Own = dict[str, Any]
"""A visitor's detectors by name; not spelled out, because Gradio reads the types of a handler while it runs."""


@once
def model() -> "AnomalyModel":
    """The model, loaded at its first use."""
    from demos.anomaly.model import AnomalyModel

    return AnomalyModel.load("anomaly")


@functools.cache
def examples() -> list[tuple[str, str]]:
    """Path and title of the pictures in `examples/`, all of them made by the model itself."""
    return [(str(file), file.stem.partition("-")[2]) for file in sorted((FOLDER / "examples").glob("*.png"))]


def judge(own: Own | None, key: str | None) -> "Detector":
    """The visitor's own detector of that name, or a shipped one; text is never taken for a path."""
    known = {**model().detectors, **(own or {})}
    if key not in known:
        raise ValueError("Choose a detector.")
    return known[key]


def rate_of(percent: float | None) -> float:
    """False alarms in per cent, as the model takes them."""
    return (percent or 0) / 100


def tinted(heat: np.ndarray, threshold: float) -> Image.Image:
    """A heat map as a transparent picture: clear where usual, from violet at the threshold to yellow beyond."""
    above = heat / max(threshold, 1e-6)
    colour = cv2.applyColorMap((110 + 72 * above).clip(0, 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    alpha = (255 * (above - 0.35).clip(0, 1)).astype(np.uint8)
    return Image.fromarray(np.dstack([colour[..., ::-1], alpha]), "RGBA")


def view(found: "Inspection") -> str:
    """Picture, heat map and outlines over each other; the page's slider fades the heat map."""
    height, width = found.heat.shape
    outlines = "".join(
        f'<polygon points="{" ".join(f"{x},{y}" for x, y in region.contour)}"/>' for region in found.regions[:60]
    )
    fit = min(1.0, 640 / max(height, width))
    size = (max(1, round(width * fit)), max(1, round(height * fit)))
    heat = tinted(cv2.resize(found.heat, size, interpolation=cv2.INTER_AREA), found.threshold)
    picture = Image.fromarray(found.picture).resize(size, Image.Resampling.LANCZOS)
    return (
        f'<div class="at-heat" style="aspect-ratio:{width}/{height};--wide:{width / height:.4f}">'
        f'<img alt="The inspected picture" src="{data_uri(picture)}">'
        f'<img class="at-heat-map" alt="Heat map: where it is unusual" src="{data_uri(heat)}">'
        f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{outlines}</svg></div>'
    )


def plain(picture: Image.Image, alt: str) -> str:
    """A picture in the frame without a heat map."""
    return (
        f'<div class="at-heat" style="aspect-ratio:{picture.width}/{picture.height};'
        f'--wide:{picture.width / picture.height:.4f}"><img alt="{alt}" src="{data_uri(picture)}"></div>'
    )


def verdict(found: "Inspection", seconds: float | None = None) -> str:
    """The verdict, its figures and the places, in Markdown."""
    word = "Unusual" if found.anomalous else "Normal"
    of = round(1 / found.p_value)
    share = "Most normal pictures score" if of < 2 else f"One in {of} normal pictures scores"
    took = f" · {1000 * seconds:.0f} ms" if seconds is not None else ""
    lines = [
        f"### {word}",
        f"Score **{found.score:.2f}**, threshold {found.threshold:.2f}. "
        f"{share} this high (p = {found.p_value:.3f}).{took}",
    ]
    if found.regions:
        lines += ["", "| place | at x, y | size | share | peak |", "|---|---|---|---|---|"]
        for i, region in enumerate(found.regions[:MOST_LISTED], 1):
            left, top, width, height = region.box
            lines.append(
                f"| {i} | {left}, {top} | {width} × {height} px | {100 * region.share:.2f} % | {region.peak:.1f} |"
            )
    return "\n".join(lines)


def scores_plot(detector: "Detector", found: "Inspection") -> str:
    """Scores of normal pictures, the threshold and this picture's score."""
    marks = {"threshold": found.threshold, "this picture": found.score}
    return histogram({"normal pictures": detector.calibration.numpy()}, marks, most=far(found.threshold))


def far(threshold: float) -> float:
    """Where a histogram of scores ends: what is yet more unusual is not worth the room."""
    return 4 * threshold if threshold > 0 else np.inf


@guard
def inspect(file: str | None, key: str, own: Own, percent: float) -> tuple[Any, ...]:
    """Frame, verdict and histogram of a picture."""
    if not file:
        return '<div class="at-empty">Choose a picture to inspect.</div>', "", ""
    detector = judge(own, key)
    start = time.perf_counter()
    found = model().inspect(file, detector, false_alarm_rate=rate_of(percent))
    seconds = time.perf_counter() - start
    return view(found), verdict(found, seconds), scores_plot(detector, found)


@guard
def first_example() -> str | None:
    """What the tab shows when it opens."""
    return next((bundled(path) for path, title in examples() if "clean" not in title), None)


@guard
def take_example(event: gr.SelectData) -> str:
    """The example that was chosen."""
    return bundled(examples()[event.index][0])


@guard
def save_heat(file: str | None, key: str, own: Own, percent: float) -> str:
    """The heat map as a grey PNG: 128 is the threshold."""
    if not file:
        raise ValueError("Choose a picture first.")
    found = model().inspect(file, judge(own, key), false_alarm_rate=rate_of(percent))
    return served(heat_png(found), "heat-map.png").path


def heat_png(found: "Inspection") -> bytes:
    """A heat map as a grey PNG of the picture's size; 128 is the threshold, 255 twice that and more."""
    grey = (128 * found.heat / max(found.threshold, 1e-6)).clip(0, 255).astype(np.uint8)
    return png_bytes(Image.fromarray(grey))


def painted(ground: Image.Image, strokes: str | None) -> tuple[Image.Image, np.ndarray]:
    """A square picture with what was painted on it, and where `(H, W)` in [0, 1]: lines are dark, strokes coloured."""
    pixels = np.asarray(ground.convert("RGB"), np.float32)
    if not strokes:
        return ground.convert("RGB"), np.zeros(pixels.shape[:2], np.float32)
    ink, colour = rasterise(Drawing.from_json(strokes), GROUND)
    alpha = colour[..., 3:].astype(np.float32) / 255
    pixels = pixels * (1 - alpha) + alpha * colour[..., :3]
    pixels = pixels * (1 - ink[..., None]) + ink[..., None] * 24
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8)), np.maximum(ink, alpha[..., 0])


def ground_html(ground: Image.Image) -> str:
    """The tile under the paint, where the drawing surface finds it."""
    return f'<img alt="" src="{data_uri(ground)}">'


@functools.cache
def first_ground() -> Image.Image:
    """The tile to paint on when the tab opens: the first clean example."""
    path = next(path for path, title in examples() if "clean" in title)
    return open_image(path).convert("RGB").resize((GROUND, GROUND), Image.Resampling.LANCZOS)


@guard
def paint(ground: Image.Image | None, strokes: str | None, percent: float) -> tuple[str, str]:
    """Frame and verdict of the tile as it is painted at the moment."""
    picture, _ = painted(ground or first_ground(), strokes)
    start = time.perf_counter()
    found = model().inspect(picture, SHIPPED, false_alarm_rate=rate_of(percent))
    return view(found), verdict(found, time.perf_counter() - start)


@guard
def follow(ground: Image.Image | None, strokes: str | None, percent: float, erased: str | None) -> tuple[Any, ...]:
    """Frame and verdict as by `paint`, and no strokes that were `erased`.

    An answer about strokes that were erased while it waited for its turn would take the erased tile away again.
    """
    if strokes and strokes == erased:
        return gr.skip(), gr.skip(), gr.skip()
    return *paint(ground, strokes, percent), None


@guard
def another_tile(page: gr.Request, seed: int | None) -> Iterator[tuple[Any, ...]]:
    """A new normal tile from the model, drawn step by step: ground, its picture, frame, bar."""
    try:
        with JOBS.running(page, "anomaly") as token:
            job = functools.partial(model().sample_normal, seed, height=GROUND, width=GROUND)
            for event in stream(lambda on_step: job(on_step=on_step), token):
                if isinstance(event, Step):
                    frame = plain(event.preview[0], "A tile in the making") if event.preview else gr.skip()
                    yield gr.skip(), gr.skip(), frame, bar(event.i, event.n)
                    continue
                tile = event.value[0].convert("RGB").resize((GROUND, GROUND), Image.Resampling.LANCZOS)
                yield tile, ground_html(tile), plain(tile, "A tile that the model drew"), bar(None)
    except Cancelled:
        yield gr.skip(), gr.skip(), gr.skip(), bar(None)


@guard
def erase_painted(
    page: gr.Request, ground: Image.Image | None, strokes: str | None, seed: int | None, percent: float
) -> Iterator[tuple[Any, ...]]:
    """The painted tile as the model would have it, drawn step by step: frame, verdict, bar, the erased strokes.

    Strokes are erased once the last step is done; `Stop` before that leaves them.
    """
    picture, where = painted(ground or first_ground(), strokes)
    found = model().inspect(picture, SHIPPED, false_alarm_rate=rate_of(percent))
    mask = np.maximum(where, (found.heat > found.threshold) * found.anomalous)
    if not mask.any():
        raise ValueError("Paint a defect on the tile first; then there is something to erase.")
    for frame, note, state, erased in _erase(page, picture, mask, seed, percent):
        yield frame, note, state, strokes if erased else gr.skip()


@guard
def erase_file(page: gr.Request, file: str | None, seed: int | None, percent: float) -> Iterator[tuple[Any, ...]]:
    """A picture of a tile without what is suspicious in it: frame, verdict, bar."""
    if not file:
        raise ValueError("Choose a picture first.")
    found = model().inspect(file, SHIPPED, false_alarm_rate=rate_of(percent))
    mask = (found.heat > found.threshold) * found.anomalous
    if not mask.any():
        raise ValueError("Nothing in this picture is unusual for a magnetic tile, so there is nothing to erase.")
    for *shown, _ in _erase(page, Image.fromarray(found.picture), mask, seed, percent):
        yield tuple(shown)


def _erase(
    page: gr.Request, picture: Image.Image, mask: np.ndarray, seed: int | None, percent: float
) -> Iterator[tuple[Any, Any, Any, bool]]:
    """Frame, verdict, bar and whether it is done. `Stop` brings the picture itself back."""

    def judged(picture: Any) -> tuple[str, str]:
        found = model().inspect(picture, SHIPPED, false_alarm_rate=rate_of(percent))
        return view(found), verdict(found)

    try:
        with JOBS.running(page, "anomaly") as token:
            job = functools.partial(model().erase, picture, mask.astype(np.float32), seed)
            for event in stream(lambda on_step: job(on_step=on_step), token):
                if isinstance(event, Step):
                    frame = plain(event.preview, "The tile in the making") if event.preview else gr.skip()
                    yield frame, gr.skip(), bar(event.i, event.n), False
                    continue
                frame, note = judged(event.value)
                yield frame, "The model's own normal version.\n\n" + note, bar(None), True
    except Cancelled:
        yield *judged(picture), bar(None), False
