"""What a program calls: typed functions for `gradio_client` and MCP."""

from typing import Any

import gradio as gr

from demos.anomaly.tab.handlers import heat_png, model
from demos.anomaly.tab.many import Folder, detector_bytes, read, score_entry, table_bytes
from demos.core.archive import entries
from demos.core.media import safe_stem
from demos.ui.events import guard
from demos.ui.files import picture_file, served, uploaded

__all__ = ["fit_detector", "score_folder", "score_image"]


def _detector(detector: Any) -> Any:
    """A shipped detector by its name, or the one in an uploaded file."""
    from demos.anomaly.detectors import load_detector

    if isinstance(detector, str) and detector in model().detectors:
        return model().detectors[detector]
    if isinstance(detector, str) and "/file=" not in detector:
        raise ValueError(f"There is no such detector; the shipped ones are {', '.join(model().detectors)}.")
    path = detector.rpartition("/file=")[2] if isinstance(detector, str) else detector
    return load_detector(uploaded(path), model().fingerprint)


def _paths(files: Any) -> list[str]:
    if not isinstance(files, list):
        raise ValueError("A list of files is expected here.")
    return [str(uploaded(file)) for file in files]


@guard
def score_image(
    image: gr.FileData | str, detector: gr.FileData | str = "magnetic_tile", false_alarm_rate: float = 0.05
) -> tuple[dict[str, Any], gr.FileData]:
    """Say how unusual a picture is under a model of what is normal, and where.

    Args:
        image: a picture (file, or data: URI).
        detector: the name of a shipped detector, or a detector file that fit_detector made.
        false_alarm_rate: the share of normal pictures that may be called anomalous, 0.001 to 0.5.

    Returns:
        The score, its conformal p-value, the threshold, whether the picture is anomalous, and the suspicious regions
        (x, y, width, height, area in pixels, peak); and the heat map, a grey PNG where 128 is the threshold.
    """
    found = model().inspect(picture_file(image), _detector(detector), false_alarm_rate=false_alarm_rate)
    names = ("x", "y", "width", "height")
    regions = [
        {**dict(zip(names, region.box, strict=True)), "area": region.area, "peak": round(region.peak, 3)}
        for region in found.regions
    ]
    answer = {
        "score": found.score,
        "p_value": found.p_value,
        "threshold": found.threshold,
        "anomalous": found.anomalous,
        "regions": regions,
    }
    return answer, served(heat_png(found), "heat-map.png")


@guard
def fit_detector(files: list[gr.FileData], name: str, seed: int = 0) -> tuple[gr.FileData, dict[str, Any]]:
    """Learn what is normal from 10 to 5,000 pictures of normal things.

    Args:
        files: pictures, or zips of pictures.
        name: what to call the detector.
        seed: the same pictures and seed give the same detector.

    Returns:
        The detector file, for score_image and score_folder; and a report: how many pictures were used, which were left
        out and why, seconds, and the held-out score of every picture.
    """
    content, names, errors = read(entries(_paths(files)))
    fitted = model().fit(content, name, seed)
    report = {
        "pictures": len(content) - len(fitted.skipped),
        "skipped": {**errors, **{names[i]: why for i, why in fitted.skipped.items()}},
        "seconds": round(fitted.seconds, 2),
        "scores": {names[i]: score for i, score in fitted.scores.items()},
        "pasted_auroc": fitted.detector.about.separation,
    }
    return served(detector_bytes(fitted.detector), f"{safe_stem(name, 'detector')}.safetensors"), report


@guard
def score_folder(
    files: list[gr.FileData], detector: gr.FileData | str = "magnetic_tile", false_alarm_rate: float = 0.05
) -> gr.FileData:
    """Score many pictures; one that can't be read becomes a row with its error.

    Args:
        files: pictures, or zips of pictures.
        detector: the name of a shipped detector, or a detector file that fit_detector made.
        false_alarm_rate: the share of normal pictures that may be called anomalous, 0.001 to 0.5.

    Returns:
        A CSV: file, score, p_value, verdict, label, error.
    """
    judge, found = _detector(detector), entries(_paths(files))
    limit, _ = judge.threshold(false_alarm_rate)
    folder = Folder([score_entry(entry, judge)[0] for entry in found])
    return served(table_bytes(folder, limit), "scores.csv")
