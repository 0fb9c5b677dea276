"""The program that measures the garments' models, on tiny ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from demos.lab import evaluate as program
from demos.lab.tab import compare, figures
from tests.lab.tiny_garments import tiny_garments


def test_rows_are_means_of_sets_and_those_not_asked_for_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (120, 28, 28), dtype=np.uint8)
    labels = np.arange(120, dtype=np.uint8) % 10
    names = {"x_train": pictures, "y_train": labels, "x_test": pictures[:40], "y_test": labels[:40]}
    np.savez(tmp_path / "fashion_mnist.npz", **names)
    monkeypatch.setattr(program, "SAMPLES", 40)
    path = tmp_path / "figures.json"
    kept = {"title": "Energy-based", "fid": 70.0, "parameters": 3}
    path.write_text(json.dumps({"families": {"energy": kept, "gan": {"minutes": 19.0}}}))
    found = program.evaluate(tiny_garments(), tmp_path, path, tmp_path / "runs", ["gan"])
    families, floor = found["families"], found["floor"]
    assert families["energy"] == kept and families["gan"]["minutes"] == 19.0
    assert 0 < families["gan"]["spread"]["fid"] < families["gan"]["fid"] and families["gan"]["seconds_per_64"] > 0
    assert floor["fid"] < families["gan"]["fid"] and 0 <= floor["spread"]["coverage"] < 1
    assert json.loads(path.read_text())["families"]["gan"]["fid"] == pytest.approx(families["gan"]["fid"], abs=1e-4)
    monkeypatch.setattr(figures, "FIGURES", path)
    monkeypatch.setattr(figures, "DCGAN", tmp_path / "dcgan.json")
    said = compare.shown()
    assert "means of 3 sets of 40 samples" in str(said)
    assert [row[0] for row in said[1]][0::2] == ["GAN", "Floor: real pictures"]
