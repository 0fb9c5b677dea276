"""The music's figures: likelihood of the test split in every convention, broken rules beside Bach's, and speed."""

from __future__ import annotations

import time

import numpy as np
from tqdm import tqdm

from demos.audio.music.data import STRIDES
from demos.audio.music.midi import notes_of
from demos.audio.music.model import LONGEST, STEPS_A_BAR, Chorales
from demos.audio.music.rules import broken_rules
from demos.audio.music.training import score_pieces

__all__ = ["likelihoods", "rules", "speed"]

GRIDS = {1: "sixteenth", 2: "eighth", 4: "quarter"}


def likelihoods(model: Chorales, pieces: list[np.ndarray]) -> dict[str, float]:
    """Negative log-likelihood in nats, each figure named by what it is divided by.

    A frame of quarter notes is what GRU 8.54, LSTM 8.67 and RNN-NADE 5.56 are measured in, though they don't tell
    voices apart, which can only cost this model more. A cell is one voice in one sixteenth, as CoCoNet's 0.436 and
    Music Transformer's 0.335.
    """
    made = {}
    for stride in STRIDES:
        cells, frames, notes, total = score_pieces(model.network, pieces, stride).sum(0)
        made[f"per frame of {GRIDS[stride]} notes"] = -total / frames
        if stride == 1:
            made |= {"per cell of sixteenths": -total / cells, "per note": -total / notes}
    _, frames, notes, total = score_pieces(model.network, pieces, melody=True).sum(0)
    made["three voices given soprano, per frame of sixteenth notes"] = -total / frames
    made["three voices given soprano, per note"] = -total / notes
    return {name: float(value) for name, value in made.items()}


def rules(
    model: Chorales, pieces: list[np.ndarray], temperature: float = 1.0, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Broken rules per 100 beats of Bach, of harmonised test melodies, and of new chorales.

    The rows "as drawn at once" are the network's own: what it draws where nothing is drawn again for breaking a rule.
    """
    found = {"Bach": broken_rules(pieces)}
    for name, writer in (("", model), (", as drawn at once", Chorales(model.network, model.device, tries=1))):
        harmonised, composed = [], []
        for i, piece in enumerate(tqdm(pieces, f"rules{name}")):
            melody = notes_of(piece[:LONGEST, 0])
            harmonised.append(writer.harmonise(melody, temperature, seed=seed + i).grid)
            bars = min(32, max(1, len(piece) // STEPS_A_BAR))
            composed.append(writer.compose(bars, temperature, seed=seed + i).grid)
        found |= {f"harmonised{name}": broken_rules(harmonised), f"composed{name}": broken_rules(composed)}
    return found


def speed(model: Chorales, piece: np.ndarray, bars: int = 16) -> dict[str, float]:
    """Seconds to harmonise so many bars."""
    melody = notes_of(np.resize(piece[:, 0], bars * STEPS_A_BAR))
    model.harmonise(melody)
    start = time.perf_counter()
    model.harmonise(melody)
    return {f"harmonise_{bars}_bars_s": time.perf_counter() - start}
