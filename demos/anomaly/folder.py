"""Many pictures at once: which of them are labelled, and the report of a run."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from demos.anomaly.calibration import auroc, bootstrap

__all__ = ["Report", "evaluate", "read_labels", "write_table"]

LONGEST_LABELS = 2**20
NORMAL = {"good", "ok", "normal", "okay", "pass", "negative", "0", "false", "no"}
TRAINING = {"train", "training"}


def read_labels(files: Sequence[str | os.PathLike[str]], names: Sequence[str]) -> dict[str, bool]:
    """Which pictures are known to be anomalous: from a CSV, or else from the names of their folders.

    A CSV has a file name and a label in its first two columns. "good", "ok", "normal", "pass", "0" and "no" mean
    normal, anything else anomalous. Folders count if at least one of them has such a name and one has not.

    Args:
        files: the uploaded paths, CSV files among them.
        names: of the pictures, see `Entry.name`.

    Returns:
        Anomalous or not, by name; empty without labels.
    """
    table: dict[str, bool] = {}
    for path in (p for p in map(Path, files) if p.suffix.lower() == ".csv"):
        with open(path, "rb") as file:
            text = file.read(LONGEST_LABELS).decode("utf-8", "replace")
        for row in csv.reader(io.StringIO(text.replace("\0", ""))):
            if len(row) >= 2:
                table[row[0].strip()] = row[1].strip().lower() not in NORMAL
    if table:
        both = ((name, table.get(name, table.get(PurePosixPath(name).name))) for name in names)
        return {name: label for name, label in both if label is not None}
    folders = {name: PurePosixPath(name).parent.name.lower() for name in names if "/" in name}
    normal = {folder for folder in folders.values() if folder in NORMAL or folder in TRAINING}
    if not normal or normal == set(folders.values()):
        return {}
    return {name: folder not in normal for name, folder in folders.items()}


@dataclass(frozen=True)
class Report:
    """What labels say of the scores.

    Attributes:
        auroc: with `interval`, its 95 % bootstrap interval.
        roc: false positive rates and true positive rates.
        precision_recall: recalls and precisions.
        prevalence: the share of anomalous pictures.
        confusion: counts at the threshold: true negative, false positive, false negative, true positive.
    """

    auroc: float
    interval: tuple[float, float]
    roc: tuple[np.ndarray, np.ndarray]
    precision_recall: tuple[np.ndarray, np.ndarray]
    prevalence: float
    confusion: tuple[int, int, int, int]


def evaluate(scores: np.ndarray, anomalous: np.ndarray, threshold: float) -> Report | None:
    """Curves and counts of labelled scores `(N,)`; None unless both kinds are among them.

    Args:
        scores: higher is less normal.
        anomalous: `(N,)` bool, the labels.
        threshold: what exceeds it is called anomalous.
    """
    good, bad = scores[~anomalous], scores[anomalous]
    if not len(good) or not len(bad):
        return None
    cuts = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    true = np.array([(bad >= cut).sum() for cut in cuts]) / len(bad)
    false = np.array([(good >= cut).sum() for cut in cuts]) / len(good)
    called = np.array([(scores >= cut).sum() for cut in cuts[1:]])
    precision = true[1:] * len(bad) / called
    said = scores > threshold
    confusion = (
        int((~said & ~anomalous).sum()), int((said & ~anomalous).sum()),
        int((~said & anomalous).sum()), int((said & anomalous).sum()),
    )  # fmt: skip
    interval = bootstrap(good, bad, np.random.default_rng(0))
    return Report(auroc(good, bad), interval, (false, true), (true[1:], precision), len(bad) / len(scores), confusion)


def write_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """A CSV; a text that a spreadsheet would run as a formula gets an apostrophe in front."""
    csv.writer(text := io.StringIO()).writerow(header)
    for row in rows:
        csv.writer(text).writerow([f"'{v}" if isinstance(v, str) and v[:1] in "=+-@\t\r" and v else v for v in row])
    return text.getvalue().encode("utf-8")
