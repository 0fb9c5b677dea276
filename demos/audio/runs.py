"""What every training stage of the Audio tab is given, and where its weights go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import nn

from demos.core.checkpoint import load_weights, read_config
from demos.core.fit import Budget

__all__ = ["Run", "load_network"]

Network = TypeVar("Network", bound=nn.Module)


def load_network(kind: type[Network], folder: Path, device: str | torch.device = "cpu") -> Network:
    """A frozen network in evaluation, float32, from a folder with config.json and safetensors.

    Raises:
        ValueError: the folder is damaged or holds something else.
    """
    network: Any = kind.from_config(read_config(folder))  # pyright: ignore[reportAttributeAccessIssue]
    load_weights(network, folder)
    return network.float().eval().requires_grad_(False).to(device)


@dataclass(frozen=True)
class Run:
    """One stage's surroundings.

    Attributes:
        data: folder with the archives.
        runs: folder for this stage's state, log and sounds of progress.
        out: the checkpoints' root.
    """

    data: Path
    runs: Path
    out: Path
    budget: Budget
    batch: int
    seed: int
    device: str

    @property
    def cache(self) -> Path:
        """A folder that all stages share for what is slow to compute."""
        return self.runs.parent / "cache"

    def ready(self, model: ModelMixin) -> Any:
        """The network on the device."""
        module: Any = model
        return module.to(self.device)

    def finished(self, part: str, kind: type[Network]) -> Network:
        """A network that an earlier stage wrote."""
        return load_network(kind, self.out / part, self.device)

    def write(self, part: str, network: ModelMixin) -> None:
        """Write weights in half precision to `out / part`."""
        nn.Module.half(network)
        network.save_pretrained(self.out / part, max_shard_size="15MB")
