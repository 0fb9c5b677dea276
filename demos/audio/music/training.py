"""The training stage of the music: chorales in all keys that fit, with a random part of them given."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from demos.audio.music.data import STRIDES, Chorales, load_chorales, to_tokens
from demos.audio.music.networks import ChoraleModel
from demos.core.fit import fit
from demos.core.stages import Run

__all__ = ["score_pieces", "train_music"]

WINDOW, CONTEXT = 256, 128


@torch.inference_mode()
def score_pieces(model: ChoraleModel, pieces: list[np.ndarray], stride: int = 1, melody: bool = False) -> np.ndarray:
    """Exact log-probability in nats of pieces, each as `(cells, frames, notes, log_prob)`; `(P, 4)`.

    Pieces longer than a window are scored in parts: each part sees the last `CONTEXT` steps before it.

    Args:
        stride: every how many sixteenths a frame is taken: 4 for the quarter-note frames of the older literature.
        melody: whether the soprano is given; its cells and notes then don't count.
    """
    model.eval()
    device = next(model.parameters()).device
    rows = []
    for piece in pieces:
        grid = piece[::stride]
        x = torch.from_numpy(to_tokens(grid))[None].to(device)
        given = torch.zeros_like(x, dtype=torch.bool)
        given[..., 0] = melody
        phase = (torch.arange(x.shape[1], device=device) * stride % 16)[None]
        index = torch.tensor([STRIDES.index(stride)], device=device)
        total, done = 0.0, 0
        while done < x.shape[1]:
            first = max(0, done - CONTEXT) if done else 0
            part = slice(first, first + WINDOW)
            log_prob = model.log_prob(x[:, part], given[:, part], phase[:, part], index)
            total += log_prob[:, done - first :].double().sum().item()
            done = min(x.shape[1], first + WINDOW)
        voices = grid[:, 1:] if melody else grid
        starts = np.concatenate([voices[:1] >= 0, (voices[1:] != voices[:-1]) & (voices[1:] >= 0)])
        rows.append([voices.size, len(grid), starts.sum(), total])
    return np.array(rows)


def music_losses(model: ChoraleModel, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mean negative log-likelihood a cell of what is not given."""
    log_prob = model.log_prob(batch["x"], batch["given"], batch["phase"], batch["stride"], batch["valid"])
    count = (~batch["given"] & batch["valid"][..., None]).sum().clamp_min(1)
    return {"loss": -log_prob.sum() / count}


def train_music(run: Run) -> None:
    """Maximum likelihood; the weights with the best validation score are those that are written."""
    pieces = load_chorales(run.data / "Jsb16thSeparated.json")
    chorales = Chorales(pieces["train"], WINDOW)
    model = run.started(ChoraleModel())
    best: dict[str, Any] = {"nll": np.inf, "state": None}

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        return music_losses(model, {k: v.to(run.device) for k, v in chorales.batch(run.batch, rng).items()})

    def report(ema: Any, step: int) -> dict[str, float]:
        cells, _, _, total = score_pieces(ema, pieces["valid"]).sum(0)
        nll = -total / cells
        if nll < best["nll"]:
            best.update(nll=nll, state={k: v.clone() for k, v in ema.state_dict().items()})
        return {"valid_nll_a_cell": round(float(nll), 4)}

    ema: Any = fit(
        model, losses, run.runs, budget=run.budget, lr=1e-3, ema_decay=0.998, weight_decay=0.05, seed=run.seed,
        report=report, report_seconds=120,
    )  # fmt: skip
    if best["state"] is not None:
        ema.load_state_dict(best["state"])
    run.write("music", ema)
