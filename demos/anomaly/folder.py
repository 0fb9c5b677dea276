"""Many pictures at once: what lies in uploaded files and zips, which of it is labelled, and the report of a run.

Nothing is unpacked to the disk, so a zip's paths can't climb anywhere; sizes are read from the zip's directory before
anything is decompressed, and what is too large, nested or damaged becomes one entry with its error.
"""

from __future__ import annotations

import csv
import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from demos.anomaly.calibration import auroc, bootstrap
from demos.core.media import MAX_BYTES

__all__ = ["Entry", "Report", "entries", "evaluate", "read_labels", "write_table"]

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
MOST, MOST_BYTES = 5000, 2 * 2**30
LONGEST_LABELS = 2**20
NORMAL = {"good", "ok", "normal", "okay", "pass", "negative", "0", "false", "no"}
TRAINING = {"train", "training"}


@dataclass(frozen=True)
class Entry:
    """One file to be scored: its name with the folders it lay in, how to read it, or why it can't be read."""

    name: str
    archive: Path | None
    inside: str
    error: str = ""

    def read(self) -> bytes:
        """The file's content.

        Raises:
            ValueError: damaged, encrypted, or larger than it says.
        """
        if self.error:
            raise ValueError(self.error)
        if self.archive is None:
            with open(self.inside, "rb") as file:
                return file.read(MAX_BYTES + 1)
        try:
            with zipfile.ZipFile(self.archive) as files, files.open(self.inside) as file:
                return file.read(MAX_BYTES + 1)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, ValueError, KeyError):
            raise ValueError("This file in the zip is damaged or encrypted.") from None
        except Exception as error:  # zlib.error and lzma.LZMAError share no base
            raise ValueError("This file in the zip is damaged.") from error


def entries(files: Sequence[str | os.PathLike[str]]) -> list[Entry]:
    """Pictures among uploaded files and inside uploaded zips, in the order of their names.

    Args:
        files: paths that Gradio has already checked.

    Returns:
        Files that are neither picture nor CSV have an `error`; a CSV (labels) and hidden files are left out.

    Raises:
        ValueError: no files, no pictures, or more than 5,000 of them.
    """
    found: list[Entry] = []
    for path in map(Path, files):
        if path.suffix.lower() == ".zip":
            found += _inside(path)
        elif path.suffix.lower() != ".csv":
            found.append(Entry(path.name, None, str(path)))
        if len(found) > MOST:
            raise ValueError(f"At most {MOST:,} pictures can be scored at once; these are more.")
    if not found:
        raise ValueError("Drop some pictures, or a zip of pictures.")
    return sorted(found, key=lambda entry: entry.name)


def _inside(path: Path) -> list[Entry]:
    try:
        with zipfile.ZipFile(path) as files:
            infos = [info for info in files.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return [Entry(path.name, None, str(path), "This zip is damaged.")]
    if len(infos) > MOST:
        raise ValueError(f"“{path.name}” holds {len(infos):,} files; at most {MOST:,} can be scored at once.")
    found, total = [], 0
    for info in infos:
        place = PurePosixPath(info.filename.replace("\\", "/"))
        if any(part.startswith((".", "__MACOSX")) and part not in (".", "..") for part in place.parts):
            continue
        suffix = place.suffix.lower()
        if suffix == ".csv":
            continue
        name = "/".join(part for part in place.parts if part not in ("/", ".", ".."))
        total += info.file_size
        error = ""
        if suffix == ".zip":
            error = "A zip inside a zip is not opened."
        elif suffix not in PICTURES:
            error = "This is not a picture that can be read here."
        elif info.file_size > MAX_BYTES or total > MOST_BYTES:
            error = f"This file is larger than {MAX_BYTES // 2**20} MB; it is left out."
        found.append(Entry(name or "?", path, info.filename, error))
    return found


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
