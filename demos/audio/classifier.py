"""A small classifier of sounds: which instrument, which digit, whose voice.

It judges generated sounds and is trained on real ones alone. Its features, means and deviations over time of a few
strided convolutions, also serve the instruments' encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from demos.core.network import ModelMixin, register_to_config

__all__ = ["Classifier", "Listener"]


class Listener(nn.Module):
    """Log-mel frames `(B, mels, M)` to features `(B, 2 * width)`: convolutions, then mean and deviation over time."""

    def __init__(self, mels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv1d(mels, width, 5, 2, 2), nn.GELU()]
        for _ in range(3):
            layers += [nn.Conv1d(width, width, 5, 2, 2), nn.GroupNorm(8, width), nn.GELU()]
        self.body = nn.Sequential(*layers)

    def forward(self, mel: Tensor) -> Tensor:
        """Features of frames."""
        h = self.body((mel + 5) / 3).float()
        return torch.cat([h.mean(2), (h.var(2, unbiased=False) + 1e-5).sqrt()], 1)


class Classifier(ModelMixin):
    """Logits `(B, len(classes))` for log-mel frames `(B, mels, M)`."""

    @register_to_config
    def __init__(self, mels: int = 80, width: int = 128, classes: tuple[str, ...] = (), dropout: float = 0.3) -> None:
        super().__init__()
        self.listener = Listener(mels, width)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, len(classes)))

    def forward(self, mel: Tensor) -> Tensor:
        """Logits of frames."""
        return self.head(self.listener(mel))
