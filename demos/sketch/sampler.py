"""From a drawing, words and a style to latents and pictures: the Sketch tab's networks at work, tensors in and out.

Guidance extrapolates from what the network says without the drawing and without the words,

    v = v(nothing) + lines * (v(drawing) - v(nothing)) + text * (v(drawing, words) - v(drawing)),

(classifier-free guidance with two conditions, Brooks et al. 2023, arXiv:2211.09800): three evaluations a step, or one
once the network has been distilled, when the two weights are inputs of the network. What is to be finished, in
`FINISHED` steps or more, is drawn by the undistilled network (`flow`). A draft of fewer steps is its student's (`unet`)
but for the first half of the way, where the colours are decided and a student errs most: see `drafted`.

The page draws with `SketchSampler` alone: importing `diffusers.DiffusionPipeline` takes seconds and pays only for who
saves, loads or pushes all parts as one (`demos.sketch.pipeline`).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from demos.families.score import Velocity, euler, schedule, shifted, unshifted
from demos.sketch.networks import Autoencoder, Upscaler
from demos.sketch.palette import Palette
from demos.sketch.unet import SketchUNet

__all__ = [
    "FINISHED",
    "PARTS",
    "TYPICAL_LINES",
    "TYPICAL_TEXT",
    "SketchSampler",
    "beyond",
    "drafted",
    "extrapolated",
    "guided",
]

FINISHED = 4
"""From so many steps on the undistilled network draws alone; fewer are too few for its solver."""
TYPICAL_LINES, TYPICAL_TEXT = 1.5, 2.0
"""The usual weights of the drawing and of the words."""
HALF_WAY = schedule(2)[1]
"""The time in the middle of the schedule."""
LOOSER = 5 / 6
"""Factor of the drawing's weight for the student's part of a draft: it follows lines more closely than the flow."""
CALM = 0.88
"""Guidance is off from the noise, t = 1, down to this time."""
BEYOND = 4.0
"""But outside what is drawn: there the drawing has this weight."""
GAP = 3
"""What is so near to a line, in pixels, is not outside; gaps of twice that do not open an outline."""
CROSS, REACHED = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), 2
PARTS = {
    "autoencoder": Autoencoder, "unet": SketchUNet, "upscaler": Upscaler, "flow": SketchUNet, "palette": Palette,
}  # fmt: skip
"""The folders of a checkpoint."""


def guided(unet: SketchUNet, drawing: Tensor, words: Tensor, style: Tensor, lines: float, text: float) -> Velocity:
    """Velocity with the given weights of lines and of words; features of the drawing are computed once.

    A distilled network takes one evaluation a step if words weigh `TYPICAL_TEXT`. It has learned little of other
    weights of words; there it takes two, with the words and without, and goes along the line through both. For an
    undistilled network see `extrapolated`. All evaluations of a step are one batch.
    """
    n = len(drawing)
    if not unet.config["distilled"]:
        return extrapolated(unet, drawing, words, style, drawing.new_tensor([[lines, text]]).expand(n, 2))
    features = unet.encode_condition(drawing)
    weights = drawing.new_tensor([[lines, TYPICAL_TEXT]])
    if text == TYPICAL_TEXT:
        return lambda x, t, step: unet(x, t, features, words, style, step, weights.expand(n, 2)).float()
    tokens = torch.cat([torch.zeros_like(words), words])

    def mixed(x: Tensor, t: Tensor, step: Tensor) -> Tensor:
        given = (features.repeat(2, 1, 1, 1), tokens, style.repeat(2, 1), step.repeat(2), weights.expand(2 * n, 2))
        silent, told = unet(x.repeat(2, 1, 1, 1), t.repeat(2), *given).float().split(n)
        return silent + text / TYPICAL_TEXT * (told - silent)

    return mixed


def extrapolated(unet: SketchUNet, drawing: Tensor, words: Tensor, style: Tensor, weights: Tensor) -> Velocity:
    """Velocity of an undistilled network, every entry with its own weights `(B, 2)` of drawing and words.

    Three evaluations a step, two without words, or one where no weight differs from 1. Later than `CALM` no weight is
    above it: there, where the composition is decided, exaggeration costs variety (Kynkäänniemi et al. 2024,
    arXiv:2404.07724). Only outside what is drawn the drawing weighs `BEYOND` there, and words never more than 1, or the
    network adds things to a plain drawing that nobody drew.
    """
    silent = torch.zeros_like(words)
    blank, drawn = unet.encode_condition(torch.cat([torch.zeros_like(drawing[:1]), drawing])).split([1, len(drawing)])
    features, tokens = (blank.expand_as(drawn), drawn, drawn), (silent, silent, words)
    outside = (weights[:, 0] / TYPICAL_LINES).clamp(max=1).view(-1, 1, 1, 1) * beyond(drawing)
    needed = (0, 1, 2) if words.any() else (0, 1)

    def evaluated(x: Tensor, t: Tensor, *given: int) -> tuple[Tensor, ...]:
        n = len(given)
        conditions = (torch.cat([part[i] for i in given]) for part in (features, tokens, [style] * 3))
        return unet(x.repeat(n, 1, 1, 1), t.repeat(n), *conditions).float().split(len(x))

    def velocity(x: Tensor, t: Tensor, step: Tensor) -> Tensor:
        calm = t[:, None] > CALM
        limited = torch.where(calm, weights.clamp(max=1), weights)
        more = (BEYOND - 1) * outside * calm[..., None, None]
        if (limited == 1).all() and not more.any():
            return evaluated(x, t, 2)[0]
        lines, text = limited[..., None, None].split(1, 1)
        v = evaluated(x, t, *needed)
        v0, v1, v2 = v[0], v[1], v[-1]  # without words v2 is v1
        return v0 + (lines + more) * (v1 - v0) + (text - outside * (text - 1).clamp(min=0)) * (v2 - v1)

    return velocity


def beyond(drawing: Tensor) -> Tensor:
    """Cells of the latent outside all that is drawn and all that it encloses, `(B, 1, 16, 16)`: 1 there, 0 elsewhere.

    Nothing is outside an empty drawing `(B, 5, 128, 128)`.
    """
    found = torch.zeros(len(drawing), 1, 16, 16)
    for cells, ink in zip(found[:, 0], (drawing[:, [0, 4]] > 0.2).any(1).byte().cpu().numpy(), strict=True):
        if ink.any():
            reached = np.pad(cv2.dilate(ink, CROSS, iterations=GAP), 1)
            cv2.floodFill(reached, None, (0, 0), REACHED)
            cells[:] = torch.from_numpy((reached[1:-1, 1:-1] == REACHED).reshape(16, 8, 16, 8).all((1, 3)))
    return found.to(drawing)


def drafted(flow: Velocity, student: Velocity) -> Velocity:
    """Steps of two evaluations: the one that begins at the noise by the flow, later ones by its student.

    The flow's is of second order, with the velocity at its middle. From t = 1 to 0.75 that lies just below `CALM`, so
    that the drawing and the words are followed as they should be. The student jumps twice, over half of the step each.
    """

    def velocity(x: Tensor, t: Tensor, step: Tensor) -> Tensor:
        first, last = t[0].item(), (t - step)[0].item()
        if first == 1:
            return flow(euler(flow, x, [first, (first + last) / 2]), t - step / 2, step)
        middle = shifted((unshifted(first) + unshifted(last)) / 2)
        return (x - euler(student, x, [first, middle, last])) / (first - last)

    return velocity


class SketchSampler:
    """Autoencoder, velocity networks, upscaler and the colours of flat styles.

    `flow` is the undistilled network; without it `unet` draws whatever the number of steps. Without `palette` colours
    stay as they were drawn.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        unet: SketchUNet,
        upscaler: Upscaler,
        flow: SketchUNet | None = None,
        palette: Palette | None = None,
    ) -> None:
        self.autoencoder, self.unet, self.upscaler, self.flow = autoencoder, unet, upscaler, flow
        self.palette = palette

    def noise(self, seeds: list[int]) -> Tensor:
        """Standard normal latents `(n, Z, 16, 16)`, drawn on the CPU: a seed means the same on every device."""
        shape = (1, self.autoencoder.config["latent_channels"], 16, 16)
        drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.cat(drawn).to(self.unet.device)

    @torch.inference_mode()
    def latents(
        self,
        drawing: Tensor,
        words: Tensor,
        style: Tensor,
        noise: Tensor,
        *,
        steps: int = 8,
        lines: float = TYPICAL_LINES,
        text: float = TYPICAL_TEXT,
        quick: bool = False,
        start: float = 1.0,
        project: Callable[[Tensor, float], Tensor] | None = None,
        on_step: Callable[[int, int, Tensor], None] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Tensor:
        """Sample latents `(B, Z, 16, 16)`.

        Args:
            drawing: `(B, 5, 128, 128)` in [0, 1]: ink, premultiplied colour, cover of the colour.
            words: `(B, T)` indices into the vocabulary, 0 for padding.
            style: `(B, styles)` weights that sum to one.
            noise: `(B, Z, 16, 16)`, the state at time `start`.
            steps: of the solver; 2 and more make use of the undistilled network, `FINISHED` and more of no other.
            lines: weight of the drawing, 1 for none of the extrapolation.
            text: weight of the words.
            quick: whether the distilled network draws alone, whatever the number of steps.
            project, on_step: see `demos.families.score.euler`.
            check: called before each evaluation; may raise to stop.
        """

        def checked(network: SketchUNet, lines: float) -> Velocity:
            velocity = guided(network, drawing, words, style, lines, text)

            def after_check(x: Tensor, t: Tensor, step: Tensor) -> Tensor:
                check()
                return velocity(x, t, step)

            return after_check

        flow = None if quick else self.flow
        network = self.unet if flow is None or steps < FINISHED else flow
        if flow is not None and 1 < steps < FINISHED and start == 1:
            velocity = drafted(checked(flow, lines), checked(network, LOOSER * lines))
            times = [1.0, *schedule(steps - 1, HALF_WAY)]
        else:
            velocity, times = checked(network, lines), schedule(steps, start)
        order = 1 if network.config["distilled"] else 2
        return euler(velocity, noise, times, order=order, project=project, on_step=on_step)

    @torch.inference_mode()
    def decode(self, latents: Tensor, drawing: Tensor, style: Tensor) -> Tensor:
        """Premultiplied RGBA pictures `(B, 4, 128, 128)` in [-1, 1].

        Where the drawing has colour strokes its colours count, else those of the style if it is a flat one.
        """
        pictures = self.autoencoder.from_latent(latents)
        if self.palette is None:
            return pictures
        return self.palette(pictures, style * ~drawing[:, 4].flatten(1).any(1, keepdim=True))

    @torch.inference_mode()
    def upscale(self, pictures: Tensor) -> Tensor:
        """Pictures of twice the side."""
        return self.upscaler(pictures)

    def generate(self, drawing: Tensor, words: Tensor, style: Tensor, seeds: list[int], **settings: float) -> Tensor:
        """Pictures `(B, 4, 128, 128)` in [-1, 1]: `latents` from the noise of `seeds`, decoded."""
        latents = self.latents(drawing, words, style, self.noise(seeds), **settings)  # pyright: ignore
        return self.decode(latents, drawing, style)
