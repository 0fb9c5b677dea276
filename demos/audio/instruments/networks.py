"""The instruments' networks: what a sound is like, how to play it, and how loud a note is over time.

An encoder hears a note and says which timbre z it has; a decoder turns pitch, level, time since onset and z into the
amplitudes of partials and of noise that a synthesiser plays (DDSP, Engel et al. 2020, arXiv:2001.04643). Each kind of
instrument has a centre, p(z | kind) = N(centre, `SPREAD`²), and the centres together are the prior from which a new
instrument is invented. A second, small network draws how loud a note that nobody has played yet is over time: flow
matching, because a player never does the same twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.audio.classifier import Listener
from demos.audio.instruments.data import FLOOR_DB, HOP, INSTRUMENTS, MEL, SAMPLE_RATE
from demos.audio.synthesiser import FRAMES_A_BLOCK, echoes, filtered_noise, harmonic_parts
from demos.core.network import ModelMixin, register_to_config
from demos.families.score import euler, schedule

__all__ = ["SPREAD", "InstrumentModel", "Player", "amplitude"]

SPREAD = 0.3
RELEASE_SECONDS = 0.5
PLAYER_STEPS, PLAYER_TEMPERATURE = 4, 0.6
TIME_WAVES = 6
LEAST_STIFFNESS = 2e-5


def amplitude(x: Tensor) -> Tensor:
    """Any number to (0, 2), nearly exponential below zero: 2 sigmoid(x)^log 10 (DDSP, equation 5)."""
    return 2 * torch.sigmoid(x.float()) ** math.log(10)


def moments(onset: Tensor) -> Tensor:
    """Seconds since the onset `(...)` as features `(..., 6)` that resolve the attack finely and the decay coarsely."""
    rates = onset.new_tensor([60.0, 20.0, 7.0, 2.5, 0.8])
    return torch.cat([torch.exp(-onset[..., None] * rates), torch.log1p(10 * onset)[..., None]], -1)


def pitch_features(f0_hz: Tensor) -> Tensor:
    """Height of a pitch `(...)` as features `(..., 7)`: octaves from A4, and waves of eight down to two octaves."""
    octave = torch.log2(f0_hz.clamp(16, 8000) / 440)
    angle = octave[..., None] * (2 * math.pi / f0_hz.new_tensor([8.0, 4.0, 2.0]))
    return torch.cat([octave[..., None] / 3, angle.sin(), angle.cos()], -1)


class FrameNorm(nn.Module):
    """Scales each frame of `(B, C, M)` to unit power over its channels, whatever sounds before and after it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        power = x.square().mean(1, keepdim=True)
        return x * (self.weight * torch.rsqrt(power + 1e-6)).to(x.dtype)


class Block(nn.Module):
    """Residual dilated convolution whose channels are scaled and shifted by the timbre."""

    def __init__(self, width: int, latent: int, dilation: int) -> None:
        super().__init__()
        self.norm = FrameNorm(width)
        self.conv = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, padding_mode="replicate")
        self.modulate = nn.Conv1d(latent, 2 * width, 1)
        self.out = nn.Conv1d(width, width, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        scale, shift = self.modulate(z).chunk(2, 1)
        return x + self.out(F.gelu(self.conv(self.norm(x)) * (1 + scale) + shift))


class Player(nn.Module):
    """How loud a note is over time as somebody plays it: a velocity for flow matching over level curves.

    A curve is the level in dB below the note's peak, over 10, plus 1, one value each 5 ms.
    """

    def __init__(self, latent: int, width: int = 96, dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 1)) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1 + 7 + 12, width, 1)
        self.blocks = nn.ModuleList([Block(width, latent + 2 * TIME_WAVES, d) for d in dilations])
        self.norm = FrameNorm(width)
        self.head = nn.Conv1d(width, 1, 1)

    def forward(self, x: Tensor, t: Tensor, z: Tensor, f0_hz: Tensor, onset: Tensor, left: Tensor) -> Tensor:
        """Velocity `(B, M)`.

        Args:
            x: `(B, M)` curve on the way from data (t = 0) to noise (t = 1).
            t: `(B,)`.
            z: `(B, Z)` timbre.
            f0_hz: `(B,)`.
            onset: `(B, M)` seconds since the onset.
            left: `(B, M)` seconds until the note's end; half a second and more are one.
        """
        angle = t[:, None] * (math.pi * 2.0 ** torch.arange(TIME_WAVES, device=t.device) / 2)
        given = torch.cat([z, angle.sin(), angle.cos()], 1)[..., None]
        note = pitch_features(f0_hz)[:, None].expand(-1, x.shape[1], -1)
        time = torch.cat([moments(onset), moments(left.clamp(0, RELEASE_SECONDS))], -1)
        h = self.stem(torch.cat([x[..., None], note, time], -1).transpose(1, 2))
        for block in self.blocks:
            h = block(h, given)
        return self.head(F.gelu(self.norm(h)))[:, 0].float()

    @staticmethod
    def curve(below: Tensor) -> Tensor:
        """Levels in dB below the peak as `forward` takes them; 60 dB and more are one. `curves` undoes it."""
        return below.clamp_min(-60) / 10 + 1

    def curves(self, z: Tensor, f0_hz: Tensor, onset: Tensor, left: Tensor, noise: Tensor) -> Tensor:
        """Level curves `(B, M)` in dB below the peak, drawn from `noise` `(B, M)`; the rest as in `forward`.

        The noise is scaled by `PLAYER_TEMPERATURE`: less far from what is usual than players sometimes go.
        """
        calm = PLAYER_TEMPERATURE * noise
        x = euler(lambda x, t, _: self(x, t, z, f0_hz, onset, left), calm, schedule(PLAYER_STEPS, shift=1.0))
        return 10 * (x - 1)


class InstrumentModel(ModelMixin):
    """Encoder, decoder, player and synthesiser; the arguments of the constructor are the shipped ones."""

    @register_to_config
    def __init__(
        self,
        latent: int = 16,
        width: int = 256,
        encoder_width: int = 128,
        dilations: tuple[int, ...] = (1, 3, 9, 1, 3, 9, 27),
        partials: int = 100,
        bands: int = 65,
        room_seconds: float = 0.25,
        instruments: tuple[str, ...] = INSTRUMENTS,
    ) -> None:
        super().__init__()
        self.partials, self.bands = partials, bands
        self.timbre = Listener(MEL.mels, encoder_width)
        self.posterior = nn.Linear(2 * encoder_width, 2 * latent)
        self.centres = nn.Parameter(0.5 * torch.randn(len(instruments), latent))
        self.stem = nn.Conv1d(7 + 1 + 6, width, 1)
        self.blocks = nn.ModuleList([Block(width, latent, d) for d in dilations])
        self.norm = FrameNorm(width)
        self.head = nn.Conv1d(width, 1 + partials + bands, 1)
        self.stiffness = nn.Linear(latent + 7, 1)
        self.player = Player(latent)
        self.room = nn.Parameter(torch.zeros(int(room_seconds * SAMPLE_RATE)))
        self.wetness = nn.Linear(latent, 1)
        self.register_buffer("places", torch.zeros(len(instruments), 2))
        nn.init.constant_(self.stiffness.bias, -6.0)

    def encode(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | sound), each `(B, Z)`, for log-mel frames `(B, mels, M)`."""
        mean, log_var = self.posterior(self.timbre(mel)).float().chunk(2, 1)
        return mean, log_var.clamp(-10, 2)

    def stretch(self, z: Tensor, f0_hz: Tensor) -> Tensor:
        """Stiffness B of the string `(B,)` in [0, 0.02) for timbres `(B, Z)` and pitches `(B,)`; winds reach 0."""
        x = self.stiffness(torch.cat([z, pitch_features(f0_hz)], 1))[:, 0]
        return F.relu(0.02 * torch.sigmoid(x.float()) - LEAST_STIFFNESS)

    def controls(self, f0_hz: Tensor, level: Tensor, onset: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Amplitudes of partials `(B, M, partials)` and of noise `(B, M, bands)`.

        Args:
            f0_hz: `(B, M)`.
            level: `(B, M)` dB below full scale; `FLOOR_DB` and less are silence, exactly.
            onset: `(B, M)` seconds since the onset.
            z: `(B, Z)` one timbre, or `(B, M, Z)` one a frame.
        """
        z = (z[:, None] if z.ndim == 2 else z).transpose(1, 2)
        given = torch.cat([pitch_features(f0_hz), level[..., None] / 20 + 1.5, moments(onset)], -1)
        h = self.stem(given.transpose(1, 2))
        for block in self.blocks:
            h = block(h, z)
        loud, shape, noise = self.head(self.norm(h)).transpose(1, 2).float().split([1, self.partials, self.bands], 2)
        gain = (10 ** (level / 20) - 10 ** (FLOOR_DB / 20)).clamp_min(0)[..., None]
        share = amplitude(shape)
        share = share / share.sum(2, keepdim=True).clamp_min(1e-5)
        return 2 * amplitude(loud) * share * gain, amplitude(noise - 3) * gain

    def echo(self, z: Tensor) -> Tensor:
        """Impulse response `(B, L)` of the learned room, as wet as the timbre `(B, Z)` asks for."""
        decay = torch.exp(-torch.arange(len(self.room), device=z.device) / (0.08 * SAMPLE_RATE))
        return torch.sigmoid(self.wetness(z).float()) * (self.room.float() * decay)

    def parts(
        self,
        f0_hz: Tensor,
        level: Tensor,
        onset: Tensor,
        z: Tensor,
        generator: torch.Generator,
        stretch: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """Sound `(B, (M - 1) * HOP)` in parts of `FRAMES_A_BLOCK` frames, each made when it is asked for.

        Args:
            f0_hz, level, onset, z: as for `controls`.
            generator: draws the noise.
            stretch: `(B,)` stiffness of the strings; None to ask the network.
        """
        mean = z if z.ndim == 2 else z.mean(1)
        tones, noise = self.controls(f0_hz, level, onset, z)
        if stretch is None:
            stretch = self.stretch(mean, f0_hz.log().mean(1).exp())
        hiss = filtered_noise(noise, HOP, generator).split(FRAMES_A_BLOCK * HOP, 1)
        tonal = harmonic_parts(f0_hz, tones, SAMPLE_RATE, HOP, stretch)
        return echoes((a + b for a, b in zip(tonal, hiss, strict=True)), self.echo(mean))

    def forward(
        self,
        f0_hz: Tensor,
        level: Tensor,
        onset: Tensor,
        z: Tensor,
        generator: torch.Generator,
        stretch: Tensor | None = None,
    ) -> Tensor:
        """Sound `(B, (M - 1) * HOP)`; the arguments are those of `parts`."""
        return torch.cat(list(self.parts(f0_hz, level, onset, z, generator, stretch)), 1)
