"""What the page calls about many pictures: learn what is normal from them, or score a whole folder."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from demos.anomaly.folder import evaluate, read_labels, write_table
from demos.anomaly.tab.handlers import CHOICES, Own, far, judge, model, tinted
from demos.core.archive import Entry, entries
from demos.core.cancel import Cancelled
from demos.core.media import data_uri, open_image, png_bytes, safe_stem, zip_bytes
from demos.ui.controls import bar
from demos.ui.events import JOBS, Step, guard, stream
from demos.ui.files import served
from demos.ui.plots import curve, histogram

if TYPE_CHECKING:
    from demos.anomaly.detectors import Detector
    from demos.anomaly.model import Fitted, Row

MOST_DETECTORS = 8
THUMBNAIL = 48
MOST_THUMBNAILS = 300
MOST_MAPS = 500
RULES = ["False alarms allowed, %", "Part of this folder, %", "Score above"]
CHOICE = [("Gaussians", "gaussian"), ("Normalizing flow", "flow"), ("Memory of patches", "memory")]
HEADER = ["", "picture", "score", "p-value", "verdict", "label"]


def read(found: Sequence[Entry]) -> tuple[list[bytes], list[str], dict[str, str]]:
    """Content and name of every entry that can be read, and the errors of the others."""
    content, names, errors = [], [], {}
    for entry in found:
        try:
            content.append(entry.read())
            names.append(entry.name)
        except ValueError as error:
            errors[entry.name] = str(error)
    return content, names, errors


def detector_bytes(detector: "Detector") -> bytes:
    """A detector as the content of its file."""
    from demos.anomaly.detectors import save_detector

    with TemporaryDirectory() as folder:
        return save_detector(detector, Path(folder) / "detector.safetensors").read_bytes()


def choices(own: Own) -> list[tuple[str, str]]:
    """What the list of detectors offers."""
    return [*CHOICES, *((f"{name}, yours", name) for name in own)]


def added(own: Own | None, detector: "Detector") -> tuple[Own, str]:
    """The visitor's detectors with one more, and its key; the oldest goes when there are too many."""
    own = dict(own or {})
    key = name = detector.about.name or "own"
    number = 2
    while key in own or key in model().detectors:
        key, number = f"{name} {number}", number + 1
    own[key] = detector
    while len(own) > MOST_DETECTORS:
        own.pop(next(iter(own)))
    return own, key


def fit_note(fitted: "Fitted", names: Sequence[str], errors: dict[str, str]) -> str:
    """What a visitor is told about a new detector, in Markdown."""
    about = fitted.detector.about
    unusual = sorted(fitted.scores, key=lambda i: -fitted.scores[i])[:3]
    lines = [
        f"### “{escape(about.name)}” is ready",
        f"Learned from {len(fitted.scores) + max(0, about.pictures - about.calibration)} pictures in "
        f"{fitted.seconds:.0f} s. Choose it in **Inspect** or **A whole folder**.",
        "",
        f"Least normal among them: {', '.join(f'{escape(names[i])} ({fitted.scores[i]:.2f})' for i in unusual)}.",
    ]
    if about.separation >= 0:
        lines.append(
            f"Anomalies pasted into pictures it had not seen are told apart with an AUROC of {about.separation:.2f}."
        )
    left = {**{names[i]: why for i, why in fitted.skipped.items()}, **errors}
    if left:
        lines += [
            "",
            f"Left out, {len(left)}: " + " ".join(f"{escape(n)}: {why}" for n, why in list(left.items())[:5]),
        ]
    return "\n".join(lines)


@guard
def fit_own(
    page: gr.Request, files: list[str] | None, name: str, density: str, seed: int | None, own: Own
) -> Iterator[tuple[Any, ...]]:
    """Learn what is normal: bar, note, histogram, own, the two lists of detectors."""
    content, names, errors = read(entries(files or []))
    start = time.monotonic()
    try:
        with JOBS.running(page, "anomaly") as token:
            for event in stream(
                lambda on_step: model().fit(content, name, seed, density=density, on_step=on_step), token
            ):
                if isinstance(event, Step):
                    done = event.i / event.n
                    left = (time.monotonic() - start) * (1 - done) / max(done, 0.02)
                    yield bar(event.i, event.n, f"about {left:.0f} s left"), *[gr.skip()] * 5
                    continue
                own, key = added(own, event.value.detector)
                lists = gr.Dropdown(choices(own), value=key)
                scores = histogram({"held-out normal pictures": list(event.value.scores.values())})
                yield bar(None), fit_note(event.value, names, errors), scores, own, lists, lists
    except Cancelled:
        yield bar(None), "Stopped; nothing was kept.", *[gr.skip()] * 4


@guard
def load_own(file: str | None, own: Own) -> tuple[Any, ...]:
    """A detector from its file: note, own, the two lists of detectors."""
    from demos.anomaly.detectors import load_detector

    if not file:
        raise ValueError("Choose a detector file that was downloaded here before.")
    own, key = added(own, load_detector(Path(file), model().fingerprint))
    lists = gr.Dropdown(choices(own), value=key)
    return f"“{escape(key)}” is loaded.", own, lists, lists


@guard
def save_own(key: str, own: Own) -> str:
    """The chosen detector as a file."""
    return served(detector_bytes(judge(own, key)), f"{safe_stem(key, 'detector')}.safetensors").path


@dataclass
class Folder:
    """The results of a run over many pictures, kept for one visitor."""

    rows: "list[Row]" = field(default_factory=list)
    thumbnails: dict[str, str] = field(default_factory=dict)
    labels: dict[str, bool] = field(default_factory=dict)
    calibration: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def scores(self) -> np.ndarray:
        """Scores of the pictures that have one."""
        return np.array([row.score for row in self.rows if row.score is not None])

    def threshold(self, rule: str, value: float) -> float:
        """The score above which a picture is called unusual."""
        from demos.anomaly.calibration import threshold

        if rule == RULES[2]:
            return value
        if rule == RULES[1]:
            scores = self.scores()
            return float(np.quantile(scores, 1 - min(max(value / 100, 0), 1))) if len(scores) else np.inf
        return threshold(self.calibration, min(max(value / 100, 0.001), 0.5))[0]


def cells(folder: Folder, limit: float, most: int | None = None) -> list[list[Any]]:
    """The table's rows, the least normal first, errors last."""
    known = sorted((r for r in folder.rows if r.score is not None), key=lambda r: -(r.score or 0))
    rows = []
    for i, row in enumerate(known[:most]):
        small = folder.thumbnails.get(row.name) if i < MOST_THUMBNAILS else None
        image = f'<img src="{small}" alt="" style="height:{THUMBNAIL}px;max-width:none">' if small else ""
        label = folder.labels.get(row.name)
        word = "" if label is None else "unusual" if label else "normal"
        said = "unusual" if (row.score or 0) > limit else "normal"
        rows.append([image, escape(row.name), round(row.score or 0, 3), round(row.p_value or 0, 4), said, word])
    rows += [["", escape(row.name), None, None, row.error, ""] for row in folder.rows if row.score is None]
    return rows


def report(folder: Folder, limit: float) -> tuple[Any, ...]:
    """Note, histogram, ROC and precision–recall curve of a run."""
    scores = folder.scores()
    failed = len(folder.rows) - len(scores)
    note = f"**{(scores > limit).sum()}** of {len(scores)} pictures are unusual (score above {limit:.2f})."
    note += f" {failed} could not be read." if failed else ""
    marks = {"threshold": limit}
    known = [(r.score, folder.labels[r.name]) for r in folder.rows if r.score is not None and r.name in folder.labels]
    labelled = np.array([label for _, label in known], bool)
    values = np.array([score for score, _ in known], float)
    made = evaluate(values, labelled, limit) if len(known) else None
    if made is None:
        return note, histogram({"pictures": scores}, marks, most=far(limit)), "", ""
    tn, fp, fn, tp = made.confusion
    low, high = made.interval
    note += (
        f"\n\nAUROC **{made.auroc:.3f}** (95 % interval {low:.3f} to {high:.3f}).\n\n"
        f"| labelled | called normal | called unusual |\n|---|---:|---:|\n"
        f"| normal | {tn} | {fp} |\n| unusual | {fn} | {tp} |"
    )
    groups = {"normal": values[~labelled], "unusual": values[labelled]}
    false, true = fp / max(1, fp + tn), tp / max(1, tp + fn)
    roc = curve(*made.roc, ("false alarms", "found"), chance=[(0, 0), (1, 1)], at=(false, true))
    share = made.prevalence
    place = (true, tp / (tp + fp)) if tp + fp else None
    recall = curve(*made.precision_recall, ("found", "precision"), chance=[(0, share), (1, share)], at=place)
    return note, histogram(groups, marks, most=far(limit)), roc, recall


@guard
def score_all(
    page: gr.Request, files: list[str] | None, key: str, own: Own, rule: str, value: float
) -> Iterator[tuple[Any, ...]]:
    """Score all pictures as they come: bar, table, note, histogram, ROC, precision–recall, folder."""
    detector, found = judge(own, key), entries(files or [])
    folder = Folder(calibration=detector.calibration.numpy())
    folder.labels = read_labels(files or [], [entry.name for entry in found])
    start = shown = time.monotonic()
    with JOBS.running(page, "anomaly") as token:
        for entry in found:
            if token.cancelled():
                break
            row, content = score_entry(entry, detector)
            folder.rows.append(row)
            if content and row.score is not None:
                folder.thumbnails[row.name] = thumbnail(content)
            if time.monotonic() - shown > 0.8:
                shown, done = time.monotonic(), len(folder.rows)
                label = f"{done} of {len(found)}, {done / (shown - start):.0f} a second"
                yield bar(done, len(found), label), cells(folder, folder.threshold(rule, value), 12), *[gr.skip()] * 5
    limit = folder.threshold(rule, value)
    yield bar(None), cells(folder, limit), *report(folder, limit), folder


def score_entry(entry: Entry, detector: "Detector") -> "tuple[Row, bytes]":
    """One row and the file's content; what can't be read becomes a row with its error."""
    from demos.anomaly.model import Row

    try:
        content = entry.read()
    except ValueError as error:
        return Row(entry.name, error=str(error)), b""
    return next(model().score_many([(entry.name, content)], detector)), content


def thumbnail(content: bytes) -> str:
    """A small picture for the table."""
    picture = open_image(content, 2 * THUMBNAIL)
    picture.thumbnail((2 * THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    return data_uri(picture, quality=70)


@guard
def rejudge(folder: Folder | None, rule: str, value: float) -> tuple[Any, ...]:
    """The same scores by another threshold: table, note, histogram, ROC, precision–recall."""
    if folder is None:
        return (gr.skip(),) * 5
    limit = folder.threshold(rule, value)
    return cells(folder, limit), *report(folder, limit)


@guard
def rule_changed(folder: Folder | None, rule: str) -> Any:
    """A slider that fits the rule."""
    if rule == RULES[2]:
        scores = folder.scores() if folder is not None else np.zeros(0)
        low, high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 10.0)
        return gr.Slider(low, max(high, low + 0.1), value=(low + high) / 2, step=0.01, label=rule)
    return gr.Slider(0.1, 50, value=5, step=0.1, label=rule)


def table_bytes(folder: Folder, limit: float) -> bytes:
    """A run as CSV."""
    rows = []
    for row in folder.rows:
        label = folder.labels.get(row.name)
        word = "" if label is None else "anomalous" if label else "normal"
        said = "" if row.score is None else "anomalous" if row.score > limit else "normal"
        rows.append([row.name, row.score, row.p_value, said, word, row.error])
    return write_table(["file", "score", "p_value", "verdict", "label", "error"], rows)


@guard
def save_table(folder: Folder | None, rule: str, value: float) -> str:
    """The table as CSV."""
    if folder is None:
        raise ValueError("Score a folder first; then there is a table.")
    return served(table_bytes(folder, folder.threshold(rule, value)), "scores.csv").path


def maps_bytes(folder: Folder, limit: float) -> bytes:
    """Heat maps of the least normal pictures on black, as a zip of PNG files."""
    known = sorted((r for r in folder.rows if r.heat is not None), key=lambda r: -(r.score or 0))[:MOST_MAPS]
    files = {}
    for i, row in enumerate(known, 1):
        name = f"{i:03d}-{safe_stem(Path(row.name).stem)}.png"
        paper = Image.new("RGBA", (row.heat.shape[1], row.heat.shape[0]), "black")  # pyright: ignore
        files[name] = png_bytes(
            Image.alpha_composite(paper, tinted(np.asarray(row.heat, np.float32), max(limit, 1e-3)))
        )
    return zip_bytes(files)


@guard
def save_maps(folder: Folder | None, rule: str, value: float) -> str:
    """Heat maps of the least normal pictures as a zip."""
    if folder is None:
        raise ValueError("Score a folder first; then there are heat maps.")
    return served(maps_bytes(folder, folder.threshold(rule, value)), "heat-maps.zip").path


__all__ = ["Folder", "fit_own", "load_own", "rejudge", "save_maps", "save_own", "save_table", "score_all"]
