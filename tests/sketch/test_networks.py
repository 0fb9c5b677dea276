"""The Sketch networks in small: shapes, ranges, gradients, save and load, and what the conditions mean."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from demos.core.cancel import Cancelled
from demos.families.score import euler, schedule
from demos.sketch.data import STYLES
from demos.sketch.networks import Autoencoder, Upscaler
from demos.sketch.palette import FLAT, GRID, Palette, mean_shift
from demos.sketch.pipeline import SketchPipeline
from demos.sketch.sampler import BEYOND, FINISHED, GAP, LOOSER, beyond, drafted, guided
from demos.sketch.unet import SketchUNet

VOCABULARY = ("cat", "cup", "red", "round")
Networks = dict[str, Any]


def awake(network: Any) -> Any:
    """Fill the layers that begin at zero, except those that the student adds."""
    generator = torch.Generator().manual_seed(1)
    for name, weight in network.named_parameters():
        if name.endswith("weight") and not weight.any() and not name.startswith(("step", "guidance")):
            weight.data.normal_(std=0.1, generator=generator)
    return network.eval()


def tiny_unet(distilled: bool = False) -> SketchUNet:
    torch.manual_seed(0)
    return awake(
        SketchUNet(
            latent_channels=4,
            widths=(16, 32),
            embedding=24,
            word_channels=8,
            vocabulary=VOCABULARY,
            distilled=distilled,
        )
    )


def tiny_autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    return awake(Autoencoder(latent_channels=4, encoder_widths=(8, 8, 16), decoder_widths=(8, 8, 16), depth=1))


def tiny_upscaler() -> Upscaler:
    torch.manual_seed(0)
    return awake(Upscaler(width=8, depth=2))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def given(n: int = 2) -> Networks:
    """Random conditions as `SketchPipeline.latents` takes them."""
    words = torch.tensor([[1, 3, 0], [2, 0, 0]])[:n]
    return {"drawing": numbers(n, 5, 128, 128).sigmoid(), "words": words, "style": torch.eye(6)[[0, 3]][:n]}


def velocity(unet: SketchUNet, words: Tensor | None = None, **student: Tensor) -> Tensor:
    it, x, t = given(), numbers(2, 4, 16, 16, seed=3), torch.tensor([0.8, 0.2])
    words = it["words"] if words is None else words
    return unet(x, t, unet.encode_condition(it["drawing"]), words, it["style"], **student)


def finite_gradients(network: nn.Module, but: tuple[str, ...] = ()) -> None:
    for name, weight in network.named_parameters():
        if not name.startswith(but or ("-",)):
            assert weight.grad is not None and torch.isfinite(weight.grad).all() and weight.grad.any(), name


def framed_drawing(gap: int = 0, channel: int = 0) -> Tensor:
    """A square of one-pixel lines from 40 to 88, its right side open for `gap` pixels."""
    drawing = torch.zeros(5, 128, 128)
    drawing[channel, [40, 88], 40:89] = 1
    drawing[channel, 40:89, [40, 88]] = 1
    drawing[channel, 64 : 64 + gap, 88] = 0
    return drawing


def test_outside_is_what_no_line_touches_or_encloses() -> None:
    closed, open_ones = framed_drawing(), framed_drawing(4 * GAP)
    inside = torch.zeros(16, 16)
    inside[4:12, 4:12] = 1  # with GAP pixels around the lines
    for drawing in (closed, framed_drawing(2 * GAP), framed_drawing(channel=4)):
        assert torch.equal(beyond(drawing[None])[0, 0], 1 - inside)
    found = beyond(torch.stack([open_ones, torch.zeros_like(closed)]))
    assert found.shape == (2, 1, 16, 16) and not found[1].any()
    assert found[0, 0, 7, 7] == 1 and found[0, 0, 5, 7] == 0 and found[0, 0, 0, 0] == 1


class TestAutoencoder:
    """Pictures to latents and back."""

    def test_shapes_and_ranges(self) -> None:
        model, x = tiny_autoencoder(), numbers(2, 4, 64, 128).tanh()
        mean, log_var = model.encode(x)
        assert mean.shape == log_var.shape == (2, 4, 8, 16)
        assert log_var.min() >= -12 and log_var.max() <= 4
        assert model.decode(mean).shape == x.shape == model(x).shape
        far = model.from_latent(1000 * numbers(1, 4, 4, 4))
        assert far.shape == (1, 4, 32, 32) and far.abs().max() == 1

    def test_standardised_latents_go_and_come(self) -> None:
        model, x = tiny_autoencoder(), numbers(3, 4, 64, 64).tanh()
        mean, _ = model.encode(x)
        model.shift.copy_(mean.mean((0, 2, 3), keepdim=True))
        model.scale.copy_(mean.std((0, 2, 3), keepdim=True))
        z = model.to_latent(x)
        assert torch.allclose(z.mean((0, 2, 3)), torch.zeros(4), atol=1e-5)
        assert torch.allclose(z.std((0, 2, 3)), torch.ones(4), atol=1e-5)
        assert torch.allclose(model.from_latent(z), model(x).clamp(-1, 1), atol=1e-5)

    def test_gradients_are_finite(self) -> None:
        model, x = tiny_autoencoder(), numbers(2, 4, 64, 64).tanh()
        mean, log_var = model.encode(x)
        z = mean + (0.5 * log_var).exp() * numbers(*mean.shape, seed=4)
        ((model.decode(z) - x).square().mean() + mean.square().mean() + log_var.exp().mean()).backward()
        finite_gradients(model)


class TestUpscaler:
    """Twice the side."""

    def test_it_begins_as_bilinear(self) -> None:
        model, x = Upscaler(width=8, depth=1), numbers(2, 4, 16, 24).tanh()
        model.load_state_dict({**model.state_dict(), "head.0.bias": torch.zeros(16)})
        made = model(x)
        assert made.shape == (2, 4, 32, 48)
        assert torch.allclose(made, nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear"))

    def test_range_and_gradients(self) -> None:
        model = tiny_upscaler()
        assert model(100 * numbers(1, 4, 8, 8)).abs().max() == 1
        model(numbers(2, 4, 8, 8).tanh()).square().mean().backward()
        finite_gradients(model)


class TestSketchUNet:
    """The velocity and its conditions."""

    def test_shape_and_gradients(self) -> None:
        unet = tiny_unet(distilled=True)
        v = velocity(unet, step=torch.tensor([0.5, 0.1]), guidance=torch.tensor([[1.5, 2.0], [1.0, 0.0]]))
        assert v.shape == (2, 4, 16, 16) and torch.isfinite(v).all()
        v.square().mean().backward()
        finite_gradients(unet)

    def test_words_have_indices_from_one(self) -> None:
        assert tiny_unet().index == {"cat": 1, "cup": 2, "red": 3, "round": 4}

    @pytest.mark.parametrize("condition", ["drawing", "words", "style", "t"])
    def test_every_condition_matters(self, condition: str) -> None:
        unet, it = tiny_unet(), {**given(), "t": torch.tensor([0.9, 0.2])}
        other = {"drawing": numbers(2, 5, 128, 128, seed=8).sigmoid(), "words": torch.tensor([[2, 0, 0], [4, 1, 0]])}
        other |= {"style": torch.eye(6)[[1, 2]], "t": torch.tensor([0.4, 0.7])}

        def call(it: Networks) -> Tensor:
            x = numbers(2, 4, 16, 16, seed=3)
            return unet(x, it["t"], unet.encode_condition(it["drawing"]), it["words"], it["style"])

        changed = (call(it) - call({**it, condition: other[condition]})).abs().amax((1, 2, 3))
        assert changed.min() > 1e-3

    def test_padding_changes_nothing(self) -> None:
        unet = tiny_unet()
        short = velocity(unet, torch.tensor([[1, 3], [2, 0]]))
        for length in (3, 12):
            padded = torch.zeros(2, length, dtype=torch.long)
            padded[:, :2] = torch.tensor([[1, 3], [2, 0]])
            assert torch.allclose(velocity(unet, padded), short, atol=1e-5)

    def test_no_words_at_all_are_possible(self) -> None:
        unet = tiny_unet()
        silent = velocity(unet, torch.zeros(2, 4, dtype=torch.long))
        assert torch.isfinite(silent).all()
        assert not torch.allclose(silent, velocity(unet), atol=1e-3)

    def test_the_entries_of_a_batch_are_independent(self) -> None:
        unet, it, x = tiny_unet(), given(), numbers(2, 4, 16, 16, seed=3)
        both = unet(x, torch.tensor([0.9, 0.2]), unet.encode_condition(it["drawing"]), it["words"], it["style"])
        features = unet.encode_condition(it["drawing"][1:])
        alone = unet(x[1:], torch.tensor([0.2]), features, it["words"][1:], it["style"][1:])
        assert torch.allclose(both[1:], alone, atol=1e-4)

    def test_what_the_student_adds_begins_without_effect(self) -> None:
        unet, step, weights = tiny_unet(), torch.tensor([0.5, 0.1]), torch.tensor([[1.5, 2.0], [3.0, 0.0]])
        plain = velocity(unet)
        assert torch.equal(velocity(unet, step=step), plain)
        assert torch.equal(velocity(unet, guidance=weights), plain)
        assert torch.equal(velocity(unet, step=step, guidance=weights), plain)
        unet.guidance.weight.data.normal_(generator=torch.Generator().manual_seed(0))
        assert not torch.allclose(velocity(unet, guidance=weights), plain, atol=1e-3)
        unet.step.weight.data.normal_(generator=torch.Generator().manual_seed(0))
        assert not torch.allclose(velocity(unet, step=step), plain, atol=1e-3)


def run(network: Any) -> Tensor:
    """One call of any of the networks."""
    with torch.no_grad():
        return velocity(network) if isinstance(network, SketchUNet) else network(numbers(1, 4, 32, 32).tanh())


@pytest.mark.parametrize("make", [tiny_autoencoder, tiny_upscaler, tiny_unet])
def test_networks_are_saved_and_loaded(make: Any, tmp_path: Path) -> None:
    network = make()
    if isinstance(network, Autoencoder):
        network.shift += 0.5
    network.save_pretrained(tmp_path)
    assert {p.suffix for p in tmp_path.iterdir()} == {".json", ".safetensors"}
    again = type(network).from_pretrained(tmp_path).eval()
    assert torch.equal(run(network), run(again))
    for name, value in network.config.items():
        assert name.startswith("_") or (again.config[name], name) == (
            list(value) if type(value) is tuple else value,
            name,
        )
    network.half().save_pretrained(tmp_path)
    (weights,) = tmp_path.glob("*.safetensors")
    assert {tensor.dtype for tensor in load_file(weights).values()} == {torch.float16}
    half = type(network).from_pretrained(tmp_path).float().eval()
    assert torch.allclose(run(half), run(again), atol=0.05, rtol=0.05)


class TestPalette:
    """Colours of flat styles."""

    def test_colours_move_to_the_nearest_that_the_pictures_have(self) -> None:
        pixels = np.zeros((2, 8, 8, 4), np.uint8)
        pixels[0], pixels[1, :4] = (200, 30, 40, 255), (30, 60, 220, 255)
        table = mean_shift(pixels)
        assert table.shape == (3, GRID, GRID, GRID) and table.min() >= 0 and table.max() <= 1

        def moved(*colour: float) -> np.ndarray:
            r, g, b = np.rint(np.array(colour) / 255 * (GRID - 1)).astype(int)
            return 255 * table[:, r, g, b]

        assert np.abs(moved(215, 45, 25) - (200, 30, 40)).max() < 6
        assert np.abs(moved(20, 75, 205) - (30, 60, 220)).max() < 6
        assert np.abs(moved(40, 200, 60) - (40, 200, 60)).max() < 6  # far from both: it stays

    def test_a_style_counts_by_its_weight_and_others_stay(self) -> None:
        palette = Palette()
        x = numbers(3, 4, 16, 16).tanh().clamp(min=-0.9)
        x[:, :3] = torch.minimum(x[:, :3], x[:, 3:])  # premultiplied
        x[:, 3, :4], x[:, :3, :4] = -1, -1  # transparent
        style = torch.eye(6)[[STYLES.index("twemoji"), STYLES.index("noto"), STYLES.index("twemoji")]]
        style[2] = (style[1] + style[2]) / 2
        assert torch.allclose(palette(x, style), x, atol=1e-5)  # at first every colour is its own
        palette.table[FLAT.index("twemoji")] = 0.5
        full, none, half = palette(x, style)
        alpha = (x[0, 3:] + 1) / 2
        assert torch.allclose((full[:3] + 1) / 2, 0.5 * alpha.expand(3, -1, -1), atol=1e-5)
        assert torch.allclose(none, x[1], atol=1e-5)
        assert torch.allclose(half, (palette(x[2:], style[:1])[0] + x[2]) / 2, atol=1e-5)
        assert torch.equal(full[3], x[0, 3]) and (full[:, :4] == -1).all()


class TestPipeline:
    """All networks together."""

    @pytest.fixture
    def pipeline(self) -> SketchPipeline:
        return SketchPipeline(tiny_autoencoder(), tiny_unet(), tiny_upscaler())

    def test_noise_belongs_to_its_seed(self, pipeline: SketchPipeline) -> None:
        noise = pipeline.noise([3, 4, 3])
        assert noise.shape == (3, 4, 16, 16)
        assert torch.equal(noise[0], noise[2]) and not torch.equal(noise[0], noise[1])
        assert torch.equal(pipeline.noise([4])[0], noise[1])

    def test_pictures_follow_from_the_seeds(self, pipeline: SketchPipeline) -> None:
        made = pipeline.generate(**given(), seeds=[5, 6], steps=3, lines=1.5, text=2.0)
        assert made.shape == (2, 4, 128, 128) and made.abs().max() <= 1
        assert torch.equal(made, pipeline.generate(**given(), seeds=[5, 6], steps=3, lines=1.5, text=2.0))
        assert not torch.equal(made, pipeline.generate(**given(), seeds=[7, 6], steps=3, lines=1.5, text=2.0))
        assert pipeline.upscale(made).shape == (2, 4, 256, 256)

    def test_it_is_saved_and_loaded(self, pipeline: SketchPipeline, tmp_path: Path) -> None:
        pipeline.save_pretrained(tmp_path)
        assert not [p for p in tmp_path.rglob("*") if p.suffix in (".bin", ".pt", ".ckpt", ".pkl")]
        parts = {"autoencoder": Autoencoder, "unet": SketchUNet, "upscaler": Upscaler}
        loaded = {name: kind.from_pretrained(tmp_path / name) for name, kind in parts.items()}
        again = SketchPipeline.from_pretrained(tmp_path, **loaded)
        assert isinstance(again, SketchPipeline)
        settings = {"seeds": [5, 6], "steps": 2}
        assert torch.equal(pipeline.generate(**given(), **settings), again.generate(**given(), **settings))
        assert again.flow is None

    def test_what_is_finished_is_left_to_the_undistilled_network(self, tmp_path: Path) -> None:
        unet, flow = tiny_unet(distilled=True), tiny_unet()
        both = SketchPipeline(tiny_autoencoder(), unet, tiny_upscaler(), flow, Palette())
        both.save_pretrained(tmp_path)
        both = SketchPipeline.from_parts(tmp_path)
        assert both.flow is not None
        calls: list[bool] = []
        for network in (both.unet, both.flow):
            network.register_forward_hook(lambda module, *_: calls.append(cast(SketchUNet, module).config["distilled"]))
        for steps in (1, 2, FINISHED - 1, FINISHED, 30):
            both.generate(**given(), seeds=[1, 2], steps=steps)
            draft = [False, False] + [True, True] * (steps - 1)
            assert calls == (draft if 1 < steps < FINISHED else [steps == 1] * steps)
            calls.clear()
        both.latents(**given(), noise=both.noise([1, 2]), steps=2, start=0.5)
        student = SketchPipeline(both.autoencoder, both.unet, both.upscaler)
        student.generate(**given(), seeds=[1, 2], steps=FINISHED)
        assert calls == [True] * (2 + FINISHED)

    def test_a_step_of_a_draft_is_one_of_second_order_or_two_jumps(self) -> None:
        asked: list[tuple[float, float]] = []

        def student(x: Tensor, t: Tensor, step: Tensor) -> Tensor:
            asked.append((t[0].item(), step[0].item()))
            return x

        x = numbers(2, 4, 16, 16)
        drawn = euler(drafted(lambda x, t, step: x * t.view(-1, 1, 1, 1), student), x, [1.0, *schedule(2, 0.75)])
        jumps = [(t, t - after) for t, after in pairwise(schedule(4, 0.75))]
        assert asked == [pytest.approx(jump) for jump in jumps]
        begun = 1 - 0.25 * 0.875 * (1 - 0.125)  # x' = t x
        assert torch.allclose(drawn, x * begun * math.prod(1 - step for _, step in jumps), atol=1e-6)

    def test_a_student_follows_the_lines_of_a_draft_less(self) -> None:
        both = SketchPipeline(tiny_autoencoder(), tiny_unet(distilled=True), tiny_upscaler(), tiny_unet())
        asked: list[tuple[float, float]] = []
        both.unet.register_forward_hook(lambda module, args, out: asked.extend(map(tuple, args[-1].tolist())))
        for steps in (1, 2):
            both.generate(**given(), seeds=[1, 2], steps=steps, lines=1.2)
        assert asked == [pytest.approx((1.2, 2.0))] * 2 + [pytest.approx((1.2 * LOOSER, 2.0))] * 4

    def test_colour_strokes_count_more_than_the_colours_of_the_style(self, pipeline: SketchPipeline) -> None:
        palette = Palette()
        palette.table.fill_(0.5)
        pipeline.register_modules(palette=palette)
        drawing = numbers(2, 5, 128, 128).sigmoid()
        drawing[1, 1:] = 0
        style = torch.eye(6)[[STYLES.index("twemoji")] * 2]
        latents = numbers(2, 4, 16, 16)
        own = pipeline.autoencoder.from_latent(latents)
        coloured, plain = pipeline.decode(latents, drawing, style)
        assert torch.allclose(coloured, own[0], atol=1e-5) and not torch.allclose(plain, own[1], atol=0.1)

    def test_weights_of_one_are_the_plain_conditional_velocity(self, pipeline: SketchPipeline) -> None:
        unet, it = pipeline.unet, given()
        x, t = numbers(2, 4, 16, 16, seed=3), torch.tensor([0.8, 0.2])
        with torch.no_grad():
            mixed = guided(unet, **it, lines=1.0, text=1.0)(x, t, t)
            assert torch.allclose(mixed, velocity(unet), atol=1e-4)
            nothing = guided(unet, **it, lines=0.0, text=0.0)(x, t, t)
            silent = torch.zeros_like(it["words"])
            empty = unet(x, t, unet.encode_condition(torch.zeros_like(it["drawing"])), silent, it["style"])
            assert torch.allclose(nothing, empty, atol=1e-4)
            drawn = velocity(unet, silent)
            far = guided(unet, **it, lines=2.0, text=3.0)(x, t, t)
        assert torch.allclose(far, empty + 2 * (drawn - empty) + 3 * (velocity(unet) - drawn), atol=1e-3)

    def test_near_the_noise_nothing_is_exaggerated(self) -> None:
        unet, it = tiny_unet(), given()
        sizes: list[int] = []
        unet.register_forward_hook(lambda module, args, out: sizes.append(len(out)))
        x, late, early = numbers(2, 4, 16, 16, seed=3), torch.tensor([1.0, 0.93]), torch.tensor([0.8, 0.2])
        with torch.no_grad():
            plain, exaggerated = (guided(unet, **it, lines=w, text=w)(x, late, late) for w in (1.0, 2.0))
            assert sizes == [2, 2] and torch.equal(plain, exaggerated)
            less = guided(unet, **it, lines=0.5, text=0.0)(x, late, late)
            assert sizes[2:] == [6] and not torch.allclose(less, plain, atol=1e-3)
            plain, exaggerated = (guided(unet, **it, lines=w, text=w)(x, early, early) for w in (1.0, 2.0))
            assert sizes[3:] == [2, 6] and not torch.allclose(plain, exaggerated, atol=1e-3)

    @pytest.mark.parametrize(("lines", "weight"), [(1.5, BEYOND), (3.0, BEYOND), (0.9, 1 + 0.6 * (BEYOND - 1))])
    def test_near_the_noise_only_what_is_outside_the_drawing_is_exaggerated(self, lines: float, weight: float) -> None:
        unet, it = tiny_unet(), given()
        it["drawing"] = torch.stack([framed_drawing(), torch.zeros(5, 128, 128)])
        x, late = numbers(2, 4, 16, 16, seed=3), torch.tensor([1.0, 0.93])
        with torch.no_grad():
            made = guided(unet, **it, lines=lines, text=1.0)(x, late, late)
            features = unet.encode_condition(it["drawing"])
            silent = torch.zeros_like(it["words"])
            nothing, drawn, told = (
                unet(x, late, features[rows], words, it["style"])
                for rows, words in (([1, 1], silent), ([0, 1], silent), ([0, 1], it["words"]))
            )
        plain = nothing + min(lines, 1) * (drawn - nothing) + told - drawn
        outside = beyond(it["drawing"]).bool().expand_as(made)
        assert 0.5 < outside[0].float().mean() < 0.9 and not outside[1].any()
        assert torch.allclose(made[~outside], plain[~outside], atol=1e-4)
        assert torch.allclose(made[outside], (plain + (weight - 1) * (drawn - nothing))[outside], atol=1e-3)
        assert not torch.allclose(made[outside], plain[outside], atol=1e-2)

    def test_words_are_exaggerated_only_where_something_is_drawn(self) -> None:
        unet, it = tiny_unet(), given()
        it["drawing"] = torch.stack([framed_drawing(), torch.zeros(5, 128, 128)])
        x, early = numbers(2, 4, 16, 16, seed=3), torch.tensor([0.8, 0.2])
        outside = beyond(it["drawing"]).bool().expand_as(x)

        def told(lines: float, text: float) -> Tensor:
            with torch.no_grad():
                return guided(unet, **it, lines=lines, text=text)(x, early, early)

        assert torch.equal(told(1.5, 3.0)[outside], told(1.5, 1.0)[outside])
        assert not torch.allclose(told(1.5, 3.0)[~outside], told(1.5, 1.0)[~outside], atol=1e-2)
        assert not torch.allclose(told(1.5, 0.5)[outside], told(1.5, 1.0)[outside], atol=1e-2)
        assert not torch.allclose(told(0.0, 3.0)[outside], told(0.0, 1.0)[outside], atol=1e-2), "no drawing to follow"

    def test_without_words_a_step_takes_an_evaluation_less(self) -> None:
        unet, it = tiny_unet(), given()
        x, early = numbers(2, 4, 16, 16, seed=3), torch.tensor([0.8, 0.2])
        sizes: list[int] = []
        unet.register_forward_hook(lambda module, args, out: sizes.append(len(out)))
        with torch.no_grad():
            guided(unet, **it, lines=1.5, text=2.0)(x, early, early)
            it["words"] = torch.zeros_like(it["words"])
            made = guided(unet, **it, lines=1.5, text=2.0)(x, early, early)
            assert sizes == [6, 4]
            assert torch.allclose(made, guided(unet, **it, lines=1.5, text=7.0)(x, early, early))

    def test_a_distilled_network_takes_one_evaluation_with_the_weights(self) -> None:
        unet, it = tiny_unet(distilled=True), given()
        unet.guidance.weight.data.normal_(generator=torch.Generator().manual_seed(0))
        sizes: list[int] = []
        unet.register_forward_hook(lambda module, args, out: sizes.append(len(out)))
        x, t, step = numbers(2, 4, 16, 16, seed=3), torch.tensor([0.8, 0.2]), torch.tensor([0.5, 0.5])
        with torch.no_grad():
            made = guided(unet, **it, lines=1.5, text=2.0)(x, t, step)
            assert sizes == [2]
            weights = torch.tensor([[1.5, 2.0]] * 2)
            assert torch.allclose(made, velocity(unet, step=step, guidance=weights), atol=1e-5)
            assert not torch.allclose(made, guided(unet, **it, lines=0.5, text=0.0)(x, t, step), atol=1e-3)
            sizes.clear()
            silent, half = (guided(unet, **it, lines=1.5, text=w)(x, t, step) for w in (0.0, 1.0))
            assert sizes == [4, 4]
            nothing = torch.zeros_like(it["words"])
            assert torch.allclose(silent, velocity(unet, nothing, step=step, guidance=weights), atol=1e-4)
            assert torch.allclose(half, (silent + made) / 2, atol=1e-4)

    def test_cancelled_leaves_the_sampling_at_its_step(self, pipeline: SketchPipeline) -> None:
        seen: list[int] = []

        def on_step(i: int, n: int, estimate: Tensor) -> None:
            seen.append(i)
            if i == 2:
                raise Cancelled

        with pytest.raises(Cancelled):
            pipeline.latents(**given(), noise=pipeline.noise([1, 2]), steps=30, on_step=on_step)
        assert seen == [1, 2]
