"""Uploaded files and zips: what is in them, what is labelled, what a run reports."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from demos.anomaly.folder import evaluate, read_labels, write_table


def test_labels_of_folders_and_of_a_table(tmp_path: Path) -> None:
    names = ["set/good/1.png", "set/crack/1.png", "alone.png"]
    assert read_labels([], names) == {"set/good/1.png": False, "set/crack/1.png": True}
    assert read_labels([], ["a/1.png", "b/2.png"]) == {} and read_labels([], ["good/1.png"]) == {}
    (tmp_path / "l.csv").write_bytes(b"\xef\xbb\xbffile,label\nalone.png,OK\n1.png,crack\n\0nonsense\n")
    assert read_labels([str(tmp_path / "l.csv")], names) == {
        "alone.png": False,
        "set/good/1.png": True,
        "set/crack/1.png": True,
    }


def test_a_report_counts_what_it_should() -> None:
    scores = np.array([0.1, 0.2, 0.6, 0.4, 0.8, 0.9])
    bad = np.array([False, False, False, True, True, True])
    made = evaluate(scores, bad, 0.5)
    assert made is not None
    assert made.confusion == (2, 1, 1, 2)
    assert made.auroc == pytest.approx(8 / 9)
    assert made.interval[0] <= made.auroc <= made.interval[1]
    false, true = made.roc
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(made.auroc)
    recall, precision = made.precision_recall
    assert recall[-1] == 1 and precision[-1] == pytest.approx(made.prevalence)
    assert evaluate(scores[:3], bad[:3], 0.5) is None


def test_a_table_runs_nothing_in_a_spreadsheet() -> None:
    text = write_table(["file", "score"], [["=cmd()", 0.5], ["-1.png", None], ['ü, "x".png', 1]]).decode()
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [["file", "score"], ["'=cmd()", "0.5"], ["'-1.png", ""], ['ü, "x".png', "1"]]
