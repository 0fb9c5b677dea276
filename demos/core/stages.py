"""A training program: its presets, the surroundings of a stage, and the command line that all programs share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from demos.core.checkpoint import load_network
from demos.core.fit import Budget
from demos.core.network import ModelMixin

__all__ = ["Preset", "Run", "train_stage"]

Network = TypeVar("Network", bound=ModelMixin)


@dataclass(frozen=True)
class Preset:
    """Batch size and default minutes of every stage."""

    batch: Mapping[str, int]
    minutes: Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """The surroundings of one stage.

    Attributes:
        data: folder with the archives.
        runs: folder for this stage's state, log and progress.
        out: folder that the weights go to.
        init: folder with weights to begin with.
    """

    data: Path
    runs: Path
    out: Path
    budget: Budget
    batch: int
    seed: int
    device: str
    init: Path | None = None

    @property
    def cache(self) -> Path:
        """A folder that all stages share for what is slow to compute."""
        return self.runs.parent / "cache"

    def ready(self, network: nn.Module) -> Any:
        """The network on the device, in the layout that convolutions like."""
        return network.to(self.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def started(self, network: ModelMixin, part: str = "") -> Any:
        """The network to train, with the weights of `init` (or of its folder `part`) if there are any."""
        module: Any = network
        if self.init:
            module.load_state_dict(load_network(type(module), self.init / part).state_dict())
        return self.ready(module)

    def finished(self, part: str, kind: type[Network]) -> Network:
        """A network that an earlier stage wrote, frozen."""
        return self.ready(load_network(kind, self.out / part))

    def write(self, part: str, network: Any) -> None:
        """Write weights in half precision to `out / part`."""
        nn.Module.half(network)
        network.save_pretrained(self.out / part, max_shard_size="15MB")


def train_stage(
    program: str,
    stages: Mapping[str, Callable[[Run], None]],
    presets: Mapping[str, Preset],
    out: str,
    arguments: Sequence[str] | None = None,
    module: str = "",
) -> Run:
    """Read the command line of `python -m demos.<program>.train` and train one stage; what it was given comes back.

    A program that is another module is called by its name; `.runs/<program>` keeps the states.
    """
    name = module or f"demos.{program}.train"
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description="Train one network.")
    parser.add_argument("stage", choices=stages)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATELIER_DATA"), help="folder with the archives")
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--runs", type=Path, default=Path(".runs", program))
    parser.add_argument("--preset", choices=presets, default="cpu")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--init", type=Path, help="begin with the weights in this folder, where a stage can")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(arguments)
    if args.data is None:
        parser.error("--data DIR (or ATELIER_DATA) is needed")
    preset = presets[args.preset]
    budget = Budget(args.minutes or preset.minutes[args.stage], args.steps)
    batch = args.batch or preset.batch[args.stage]
    torch.manual_seed(args.seed)
    torch.set_flush_denormal(True)
    runs = args.runs / args.stage
    run = Run(Path(args.data), runs, args.out, budget, batch, args.seed, args.device, args.init)
    stages[args.stage](run)
    return run
