"""One resumable training loop for every family.

The caller gives a module and a function that draws a batch and returns its losses; the loop owns the optimiser, the
learning rate (linear warm-up, then cosine to zero over the budget), an exponential moving average of the weights, bf16
autocast, the log and the state on disk. The budget is a number of steps or of minutes; minutes spent before an
interruption count. State is written as one safetensors file through a temporary name, so that a kill at any moment
leaves the last complete state behind.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from demos.core.device import autocast
from demos.core.muon import Muon

__all__ = ["Budget", "fit"]

Losses = Callable[[torch.Generator, float], dict[str, Tensor]]
Report = Callable[[nn.Module, int], dict[str, float]]


@dataclass(frozen=True)
class Budget:
    """How long to train: `steps` if given, else `minutes` of wall-clock time."""

    minutes: float = 10.0
    steps: int | None = None

    def spent(self, step: int, seconds: float) -> float:
        """Fraction of the budget that is used up, in [0, 1]."""
        part = step / self.steps if self.steps else seconds / (60 * self.minutes)
        return min(1.0, part)


class _State:
    """Everything that a resumed run needs, as named tensors."""

    def __init__(
        self, model: nn.Module, ema: nn.Module, optimiser: torch.optim.Optimizer, rng: torch.Generator
    ) -> None:
        self.model, self.ema, self.optimiser, self.rng = model, ema, optimiser, rng
        self.step, self.seconds = 0, 0.0

    def save(self, path: Path) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.state_dict().items()}
        for i, slots in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{i}.{k}": torch.as_tensor(v) for k, v in slots.items()}
        tensors["rng"] = self.rng.get_state()
        meta = {"progress": json.dumps({"step": self.step, "seconds": self.seconds})}
        part = path.with_suffix(".part")
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, part, metadata=meta)
        os.replace(part, path)

    def load(self, path: Path) -> None:
        with safe_open(path, "pt") as file:
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a mapping)
            progress = json.loads(file.metadata()["progress"])
        self.step, self.seconds = progress["step"], progress["seconds"]

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        self.ema.load_state_dict(part("ema."))
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in part("optimiser.").items():
            index, name = key.split(".")
            slots.setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": slots})
        self.rng.set_state(tensors["rng"])


def fit(
    model: nn.Module,
    losses: Losses,
    out: Path,
    *,
    budget: Budget,
    lr: float = 1e-3,
    warmup: int = 200,
    weight_decay: float = 1e-2,
    matrices: Iterable[nn.Parameter] = (),
    ema_decay: float = 0.999,
    clip: float = 1.0,
    seed: int = 0,
    resume: bool = True,
    report: Report | None = None,
    report_seconds: float = 60.0,
) -> nn.Module:
    """Train `model` in place and return the moving average of its weights.

    Args:
        model: the module, on the device where it is to be trained.
        losses: called with a generator and the spent fraction of the budget; draws a batch, returns named scalar
            losses, of which `"loss"` is minimised. Runs under `demos.core.device.autocast`.
        out: folder for `state.safetensors` and `log.jsonl` (one line of metrics a report).
        budget: minutes or steps.
        matrices: weights for Muon; the rest is AdamW's.
        report: called with the averaged model about once a minute; its figures join the log.

    Raises:
        FloatingPointError: the loss became NaN or infinite.
    """
    out.mkdir(parents=True, exist_ok=True)
    state_path = out / "state.safetensors"
    device = next(model.parameters()).device
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    chosen = {id(weight): weight for weight in matrices}
    others = [p for p in trained if id(p) not in chosen]
    optimiser = Muon(others, chosen.values(), lr=lr, betas=(0.9, 0.99), weight_decay=weight_decay)
    rng = torch.Generator().manual_seed(seed)
    state = _State(model, ema, optimiser, rng)
    if resume and state_path.exists():
        state.load(state_path)
    start = last_report = last_save = time.monotonic() - state.seconds
    last_report = last_save = time.monotonic()
    sums: dict[str, float] = {}
    count = 0
    bar = tqdm(initial=state.step, total=budget.steps, desc=out.name, unit="step", mininterval=10)
    while (spent := budget.spent(state.step, time.monotonic() - start)) < 1:
        rate = lr * min(1.0, (state.step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * spent))
        for group in optimiser.param_groups:
            group["lr"] = rate
        model.train()
        with autocast(device):
            terms = losses(rng, spent)
        if not torch.isfinite(terms["loss"]):
            raise FloatingPointError(f"the loss is {terms['loss'].item()} at step {state.step}")
        optimiser.zero_grad(set_to_none=True)
        terms["loss"].backward()
        nn.utils.clip_grad_norm_(trained, clip)
        optimiser.step()
        decay = min(ema_decay, (1 + state.step) / (10 + state.step))
        with torch.no_grad():
            averaged, current = ([v for v in m.state_dict().values() if v.is_floating_point()] for m in (ema, model))
            torch._foreach_lerp_(averaged, current, 1 - decay)
        state.step += 1
        count += 1
        bar.update()
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        now = time.monotonic()
        state.seconds = now - start
        if now - last_report > report_seconds or budget.spent(state.step, state.seconds) >= 1:
            line: dict[str, float] = {"step": state.step, "minutes": round(state.seconds / 60, 2)}
            line |= {k: round(v / count, 5) for k, v in sums.items()}
            line["steps_per_s"] = round(count / (now - last_report), 3)
            if report is not None:
                line |= report(ema, state.step)
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            bar.set_postfix({k: line[k] for k in sums})
            sums, count, last_report = {}, 0, time.monotonic()
        if now - last_save > 110:
            state.save(state_path)
            last_save = time.monotonic()
    state.save(state_path)
    bar.close()
    return ema
