"""The chorale model: four voices, sixteenth by sixteenth, given any part of the score.

What is given (a melody, everything but one bar, nothing) is read in both directions by an encoder; a causal decoder
then goes through time, and within each step through soprano, alto, tenor and bass. The likelihood of the cells that are
not given is exact and takes one pass,

    log p(x_erased | x_given) = sum over t, v of log p(x_tv | x_<t, x_t<v, x_given),

so that one network harmonises, continues, fills and composes. Filling as autoregression given both sides: GLM, Du et
al. 2022, arXiv:2103.10360; two levels of time: RQ-Transformer, Lee et al. 2022, arXiv:2203.01941.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from demos.audio.music.data import STRIDES, TOKENS
from demos.core.network import ModelMixin, register_to_config
from demos.families.autoregressive import Block, Memory, draw, log_prob_of

__all__ = ["ChoraleModel"]

VOICES = 4


class ChoraleModel(ModelMixin):
    """Tokens `(B, T, 4)` in 0 to `TOKENS` - 1; the arguments of the constructor are the shipped ones."""

    bound = "exact"

    @register_to_config
    def __init__(
        self, width: int = 192, heads: int = 6, encoder_depth: int = 3, decoder_depth: int = 5, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.score = nn.Embedding(VOICES * (TOKENS + 1), width)
        self.past = nn.Embedding(VOICES * (TOKENS + 1), width)
        self.above = nn.Embedding(VOICES * TOKENS, width)
        self.phase = nn.Embedding(16, width)
        self.stride = nn.Embedding(len(STRIDES), width)
        self.encoder = nn.ModuleList([Block(width, heads, False, dropout) for _ in range(encoder_depth)])
        self.decoder = nn.ModuleList([Block(width, heads, True, dropout) for _ in range(decoder_depth)])
        self.mix = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.voices = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, TOKENS)) for _ in range(VOICES)]
        )
        for table in (self.score, self.past, self.above, self.phase, self.stride):
            nn.init.normal_(table.weight, std=0.3)

    def read(self, x: Tensor, given: Tensor, phase: Tensor, stride: Tensor, valid: Tensor | None = None) -> Tensor:
        """Features `(B, T, width)` of what is given; the arguments are those of `forward`."""
        offset = torch.arange(VOICES, device=x.device) * (TOKENS + 1)
        h = self.score(torch.where(given, x, TOKENS) + offset).sum(2) + self._when(phase, stride)
        for block in self.encoder:
            h, _ = block(h, mask=valid)
        return self.mix(h)

    def _when(self, phase: Tensor, stride: Tensor) -> Tensor:
        return self.phase(phase) + self.stride(stride)[:, None]

    def _before(self, x: Tensor) -> Tensor:
        """Embedding `(B, T, width)` of frames `(B, T, 4)`; token `TOKENS` is the start."""
        return self.past(x + torch.arange(VOICES, device=x.device) * (TOKENS + 1)).sum(2)

    def _logits(self, h: Tensor, frame: Tensor, voice: int) -> Tensor:
        """Logits `(..., TOKENS)` of a voice from `h` `(..., width)` and the voices above it in `frame` `(..., 4)`."""
        for v in range(voice):
            h = h + self.above(frame[..., v] + v * TOKENS)
        return self.voices[voice](h)

    def forward(self, x: Tensor, given: Tensor, phase: Tensor, stride: Tensor, valid: Tensor | None = None) -> Tensor:
        """Logits `(B, T, 4, TOKENS)` of every cell given the cells before it and all that are given.

        Args:
            x: `(B, T, 4)` tokens.
            given: `(B, T, 4)` bool.
            phase: `(B, T)` sixteenth within the bar, 0 to 15.
            stride: `(B,)` index into `STRIDES`: how many sixteenths a step is.
            valid: `(B, T)` bool, false for padding at the end.
        """
        start = torch.full_like(x[:, :1], TOKENS)
        h = self._before(torch.cat([start, x[:, :-1]], 1)) + self.read(x, given, phase, stride, valid)
        h = self.drop(h + self._when(phase, stride))
        for block in self.decoder:
            h, _ = block(h)
        h = self.norm(h)
        return torch.stack([self._logits(h, x, v) for v in range(VOICES)], 2)

    def log_prob(self, x: Tensor, given: Tensor, phase: Tensor, stride: Tensor, valid: Tensor | None = None) -> Tensor:
        """Exact log-probability in nats of each cell `(B, T, 4)`; 0 for cells that are given or padding."""
        logits = self(x, given, phase, stride, valid)
        counts = ~given if valid is None else ~given & valid[..., None]
        return torch.where(counts, log_prob_of(logits, x), 0.0)

    @torch.no_grad()
    def fill(
        self,
        x: Tensor,
        given: Tensor,
        phase: Tensor,
        stride: Tensor,
        generator: torch.Generator,
        temperature: float = 1.0,
        on_step: Callable[[int, int, Tensor], None] | None = None,
        cost: Callable[[Tensor, Tensor], Tensor] | None = None,
        tries: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """Draw the cells that are not given, a frame of four voices at a time.

        With a `cost`, the first of `tries` draws of each frame that costs least is taken. Where one costs nothing, this
        is rejection sampling from p(frame | past, given, cost = 0).

        Args:
            cost: of candidates `(B, tries, 4)` after frames `(B, 1, 4)`, tokens both: `(B, tries)` whole numbers.
            tries: how many candidates.
            on_step: called as `on_step(t, T, x)` after each time step; may raise to stop.

        Returns:
            Tokens and their log-probabilities at temperature 1, each `(B, T, 4)`.
        """
        x = torch.where(given, x, 0)
        context = self.read(x, given, phase, stride) + self._when(phase, stride)
        memories: list[Memory | None] = [None] * len(self.decoder)
        before = torch.full_like(x[:, :1], TOKENS)
        surprise = torch.zeros(x.shape, device=x.device)
        rows, order = torch.arange(len(x), device=x.device), torch.arange(tries, device=x.device)
        for t in range(x.shape[1]):
            h = self._before(before) + context[:, t : t + 1]
            for i, block in enumerate(self.decoder):
                h, memories[i] = block(h, memories[i])
            h = self.norm(h).expand(-1, tries, -1)
            frames, nats = (a[:, t, None].repeat(1, tries, 1) for a in (x, surprise))
            for v in range(VOICES):
                if given[:, t, v].all():
                    continue
                kept, logits = given[:, t, None, v], self._logits(h, frames, v)
                frames[..., v] = torch.where(kept, frames[..., v], draw(logits, generator, temperature))
                nats[..., v] = torch.where(kept, 0.0, log_prob_of(logits, frames[..., v]))
            costs = torch.zeros_like(frames[..., 0]) if cost is None else cost(before, frames)
            chosen = (costs * tries + order).argmin(1)
            x[:, t], surprise[:, t] = frames[rows, chosen], nats[rows, chosen]
            before = x[:, t : t + 1]
            if on_step is not None:
                on_step(t + 1, x.shape[1], x)
        return x, surprise
