"""The digits' models at tiny sizes: nothing leaks, probabilities add up, bounds lie in order, figures are written."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from demos.lab import digits as program
from demos.lab.digits import DIGITS, binarised, main, measure
from demos.lab.garments.binary import BinaryMADE, BinaryVAE, bernoulli
from demos.lab.garments.data import bits_per_dim, dequantised
from demos.lab.garments.gated import GatedPixelCNN, in_blocks, out_of_blocks
from demos.lab.garments.repeats import NEIGHBOURS, Repeats, sources
from demos.lab.garments.shrinkage import Shrinkage
from demos.lab.garments.subscale import SubscaleFlow
from demos.lab.tab import figures
from tests.lab.shaken import rng, shaken


def pixelcnn(values: int = 2, side: int = 4, depth: int = 2, shake: float = 0.3) -> GatedPixelCNN:
    torch.manual_seed(0)
    more = {"deep": True, "repeats": 8} if values > 2 else {}
    return shaken(GatedPixelCNN(values, width=8, depth=depth, inner=8, side=side, **more), shake)


def small_flow(side: int = 6) -> SubscaleFlow:
    torch.manual_seed(0)
    return shaken(SubscaleFlow(widths=(8, 8), depth=1, side=side), 0.3)


SMALL: dict[str, Callable[[], Any]] = {
    "made": lambda: BinaryMADE(36, width=40),
    "pixelcnn": lambda: pixelcnn(side=6),
    "vae": lambda: BinaryVAE(36, latent=4, width=16, depth=1, context=4, steps=2),
    "linked": lambda: BinaryVAE(36, latent=4, width=16, depth=1, context=4, steps=2, linked=True),
    "autoregressive": lambda: pixelcnn(256, 6, shake=0.1),
    "flow": small_flow,
}


def everything(length: int) -> Tensor:
    return torch.tensor(list(itertools.product((0, 1), repeat=length)))


def test_made_is_blind_to_its_own_and_to_later_pixels_and_sees_all_earlier_ones() -> None:
    torch.manual_seed(0)
    network = shaken(BinaryMADE(9, width=64, depth=2)).double()
    x = torch.rand(9, dtype=torch.float64)
    slopes = torch.func.jacrev(lambda x: network(x[None])[0, :, 1])(x)
    assert slopes.triu().eq(0).all()
    assert slopes.tril(-1)[tuple(torch.tril_indices(9, 9, -1))].ne(0).all()


def test_the_gated_network_is_blind_to_later_pixels_and_sees_those_before() -> None:
    side = 8
    network = pixelcnn(256, side, depth=4)
    where = torch.arange(side**2)
    values = torch.randint(0, 256, (1, side**2), generator=rng())
    said = network(values)[0]
    seen = torch.zeros(side**2, side**2, dtype=torch.bool)
    for i in range(side**2):
        other = values.clone()
        other[0, i] = 255 - other[0, i]
        seen[:, i] = (network(other)[0] - said).abs().amax(-1) > 1e-6
    assert not seen[where[:, None] <= where].any()
    assert seen[where[:, None] > where].float().mean() > 0.99


def test_the_embedding_s_gradient_ends_at_the_pixel() -> None:
    network = pixelcnn(2, 6)
    kept: list[Tensor] = []
    network.look.register_forward_hook(lambda module, given, out: kept.append(out.requires_grad_()) or None)
    said = network(torch.randint(0, 2, (1, 36), generator=rng()))
    for i in (0, 3, 13, 35):
        (slope,) = torch.autograd.grad(said[0, i].square().sum(), kept[0], retain_graph=True, allow_unused=True)
        assert slope[0, i:].eq(0).all()
        assert slope[0, :i].ne(0).any(-1).all()


def test_values_come_from_where_the_order_has_been() -> None:
    side = 6
    order = in_blocks(torch.arange(side**2).view(1, 1, side, side))[0].tolist()
    found = sources(torch.tensor(order), side).tolist()
    for at, (pixel, row) in enumerate(zip(order, found, strict=True)):
        for source, (down, right) in zip(row, NEIGHBOURS, strict=True):
            y, x = pixel // side + down, pixel % side + right
            earlier = 0 <= y < side and 0 <= x < side and order.index(y * side + x) < at
            assert source == (order.index(y * side + x) if earlier else -1)


def test_values_of_neighbours_and_those_seen_before_are_made_likelier() -> None:
    order = in_blocks(torch.arange(16).view(1, 1, 4, 4))[0]
    layer = Repeats(order, 4, 3, 5, values=8)
    x = in_blocks(torch.tensor([[[[0, 4, 4, 0], [7, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]]]))
    features, logits = torch.randn(1, 16, 3, generator=rng()), torch.zeros(1, 16, 8)
    assert torch.equal(layer(features, x, logits), logits)
    gains = layer.gains.bias.data.view(3, -1)
    gains[1, NEIGHBOURS.index((0, -1))] = 2.0
    gains[2, NEIGHBOURS.index((-1, 0))] = 3.0
    gains[1, -1] = 1.0
    changed = out_of_blocks(torch.arange(16)[None], 4)[0, 0]
    said = layer(features, x, logits)[0].detach()
    assert said[changed[0, 0]].eq(0).all()
    log2 = np.log(2)
    assert said[changed[0, 2]].tolist() == pytest.approx([0, 0, 0, 0, 2 + log2, 0, 0, log2])
    assert said[changed[1, 1]].tolist() == pytest.approx([0, 0, 0, 0, log2, 3, 0, 2 + log2])
    assert said[changed[3, 3]].tolist() == pytest.approx([0, 0, 0, 0, np.log(3), 0, 0, log2])


def test_codes_of_rows_and_columns_move_with_the_ink_and_come_from_the_rows_above() -> None:
    torch.manual_seed(0)
    layer, side = Shrinkage(10, 12, 4), 10
    x = torch.zeros(1, side, side, dtype=torch.long)
    x[0, 1:7, 2:7] = torch.randint(1, 256, (6, 5), generator=rng())

    def codes(pictures: Tensor) -> Tensor:
        counts = torch.nn.functional.one_hot(pictures, 256).sum(2).cumsum(1)[:, 1::2]
        counts[..., 0] = 0
        above = torch.cat([torch.zeros_like(counts[:, :1]), counts[:, :-1]], 1)
        return layer(pictures, above.float().log1p())

    said, moved = codes(x), codes(x.roll((2, 3), (1, 2)))
    assert torch.allclose(said[:, 2:8, :7], moved[:, 4:, 3:], atol=1e-6)
    assert not torch.allclose(said[:, 2:8, :7], moved[:, 4:, 2:9], atol=1e-2)
    other = x.clone()
    other[:, 4:] = torch.randint(1, 256, (1, 6, side), generator=rng(1))
    assert torch.equal(codes(other)[:, :6], said[:, :6])
    assert not torch.allclose(codes(other)[:, 6:], said[:, 6:], atol=1e-2)


def test_blocks_are_undone() -> None:
    x = torch.arange(2 * 36).view(2, 1, 6, 6)
    values = in_blocks(x)
    assert values[0, :6].tolist() == [0, 1, 6, 7, 2, 3]
    assert torch.equal(out_of_blocks(values, 6), x)


@pytest.mark.parametrize("network", [lambda: BinaryMADE(6, width=16), lambda: pixelcnn(side=2), lambda: pixelcnn()])
def test_all_pictures_together_have_probability_one(network: Callable[[], Any]) -> None:
    model = shaken(network()).family()
    with torch.no_grad():
        total = torch.cat([model.log_prob(part) for part in everything(model.length).split(4096)]).double().exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-4)


def test_samples_follow_their_probabilities() -> None:
    model = pixelcnn(side=2).family()
    drawn = model.sample(4000, rng())
    shares = torch.bincount(drawn @ torch.tensor([8, 4, 2, 1]), minlength=16) / 4000
    with torch.no_grad():
        assert torch.allclose(shares, model.log_prob(everything(4)).exp(), atol=0.03)


@pytest.mark.parametrize("linked", [False, True])
def test_the_bound_lies_below_the_importance_weighted_one_and_that_below_the_probability(linked: bool) -> None:
    torch.manual_seed(0)
    model = shaken(BinaryVAE(4, latent=2, width=16, depth=1, context=3, steps=2, linked=linked), 0.1).family()
    x = everything(4).float()
    with torch.no_grad():
        z = model.prior.sample(20_000, rng(2))
        logits = model.decoder(z)
        given_z = [model.log_likelihood(one.expand(len(z), -1), logits) for one in x]
        exact = torch.stack(given_z).logsumexp(1) - np.log(len(z))
        elbo = torch.stack([model.elbo(x, rng(i)) for i in range(100)]).mean(0)
        weighted = torch.stack([model.log_prob(x, rng(i), 50) for i in range(20)]).mean(0)
    assert exact.exp().sum().item() == pytest.approx(1, abs=1e-3)
    assert (elbo < weighted).all() and weighted.mean() < exact.mean() + 0.03
    assert torch.allclose(weighted, exact, atol=0.15)


def test_linked_pixels_are_drawn_as_their_probabilities_say() -> None:
    torch.manual_seed(0)
    network = shaken(BinaryVAE(3, latent=2, width=16, depth=1, context=3, steps=2, linked=True), 0.5)
    model, z = network.family(), torch.randn(1, 2, generator=rng())
    with torch.no_grad():
        network.link.weight.mul_(4)
        logits = model.decoder(z).expand(4000, -1)
        drawn = model.observe(logits, rng()).long()
        shares = torch.bincount(drawn @ torch.tensor([4, 2, 1]), minlength=8) / 4000
        x = everything(3).float()
        expected = model.log_likelihood(x, logits[:8]).exp()
        alone = bernoulli(x, logits[:8]).exp()
        assert model.decode(z).isfinite().all()
    assert torch.allclose(shares, expected, atol=0.03) and not torch.allclose(shares, alone, atol=0.1)


def test_the_flow_turns_back_and_its_slope_is_its_log_determinant() -> None:
    network = small_flow(6)
    y = (torch.randint(0, 256, (3, 1, 6, 6), generator=rng()) + 0.25 + 0.5 * torch.rand(3, 1, 6, 6)) / 256
    with torch.no_grad():
        z, log_det = network(y)
        assert torch.allclose(network.inverse(z, None), y, atol=2e-4)
    slopes = torch.autograd.functional.jacobian(lambda y: network(y[None])[0][0], y[0]).view(36, 36)
    assert torch.linalg.slogdet(slopes.double())[1].item() == pytest.approx(log_det[0].item(), rel=1e-3)


def test_the_flow_s_density_is_the_picture_s_probability_whatever_was_added() -> None:
    model = small_flow(2 * 3).family()
    x = torch.randint(0, 256, (4, 1, 6, 6), generator=rng(), dtype=torch.uint8)
    with torch.no_grad():
        one, two = (model.log_prob(dequantised(x, rng(seed))) for seed in (1, 2))
        assert torch.allclose(one, two, atol=1e-2)
        first = torch.zeros(256, 1, 6, 6)
        first[:, 0, 5, 4] = (torch.arange(256) + 0.5) / 256
        column = (model.log_prob(first) - model.log_prob(first[:1])).double()
        network: Any = model.transform
        logits = network.scales[0][2]([torch.zeros(1, 3, 3, dtype=torch.long)] * 3, None)[0, 2, 2]
    expected = logits.log_softmax(-1) - logits.log_softmax(-1)[0]
    assert torch.allclose(column.float(), expected, atol=2e-3)


def test_training_sends_the_same_gradients_as_the_density() -> None:
    grads = []
    y = dequantised(torch.randint(0, 256, (4, 1, 6, 6), generator=rng(), dtype=torch.uint8), rng(1))
    for training in (False, True):
        network = small_flow(6).train(training)
        network.family().losses(y, rng())["loss"].backward()
        grads.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    assert torch.allclose(*grads, atol=1e-3)


def test_binarised_pixels_are_ones_as_often_as_they_are_bright() -> None:
    x = torch.tensor([0, 64, 255], dtype=torch.uint8).view(1, 1, 1, 3).expand(4000, 1, 1, 3)
    ones = binarised(x, rng()).float().mean(0).flatten()
    assert ones[0] == 0 and ones[2] == 1 and ones[1].item() == pytest.approx(64 / 255, abs=0.03)
    assert torch.equal(binarised(x, rng(3)), binarised(x, rng(3)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pictures = np.random.default_rng(0).integers(0, 256, (60, 6, 6), dtype=np.uint8)
    labels = np.zeros(60, np.uint8)
    np.savez(tmp_path / "mnist.npz", x_train=pictures, y_train=labels, x_test=pictures[:20], y_test=labels[:20])
    monkeypatch.setattr(program, "DIGITS", {name: replace(one, network=SMALL[name]) for name, one in DIGITS.items()})
    monkeypatch.setattr(program, "DRAWS", 4)
    monkeypatch.setattr(program, "bits_per_dim", lambda log_prob, **kind: bits_per_dim(log_prob * 784 / 36, **kind))
    return tmp_path


@pytest.mark.parametrize("name", DIGITS)
def test_a_model_trains_goes_on_and_is_measured(folder: Path, name: str) -> None:
    runs, path = folder / "runs", folder / "digits.json"
    options = ["--data", str(folder), "--runs", str(runs), "--out", str(runs / "out"), "--batch", "4"]
    for steps in ("2", "4"):
        main([name, *options, "--steps", steps])
    found = measure(folder, runs, path)
    assert json.loads(path.read_text()) == found and found["pictures"] == 20 and list(found["models"]) == [name]
    row = found["models"][name]
    assert row["steps"] == 4 and row["parameters"] > 0 and row["core_minutes"] > 0
    least, most = (3, 36) if row["unit"] == "nats" else (7, 10)
    assert least < row["value"] < most
    assert ("importance" in row) == (name in ("vae", "linked"))
    before, other = row["value"], "flow" if name == "made" else "made"
    path.write_text(json.dumps({"models": {name: {"value": 0}, other: {"value": 1}}}))
    again = measure(folder, runs, path)["models"]
    assert again[name]["value"] == before and again[other] == {"value": 1}
    assert list(again) == [known for known in DIGITS if known in (name, other)]


def test_the_page_shows_what_was_measured_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "digits.json"
    monkeypatch.setattr(figures, "DIGITS", path)
    assert figures.digits_table() == ""
    path.write_text("[]")
    assert figures.digits_table() == ""
    row = {"title": "A <b>", "unit": "nats", "kind": "lower bound", "value": 83.26, "importance": 81.04, "draws": 8,
           "parameters": 1234, "core_minutes": 12.4, "steps": 5, "published": {"VAE": 86.76}}  # fmt: skip
    exact = {**row, "unit": "bits/dim", "kind": "exact", "value": 0.8312}
    del exact["importance"]
    path.write_text(json.dumps({"note": "Said & done.", "models": {"vae": row, "flow": exact}}))
    shown = figures.digits_table()
    for words in ("A &lt;b&gt;", "83.3 nats", "lower bound; with 8 draws 81.0", "VAE: 86.76", "1,234", ">12<",
                  "0.831 bits/dim", ">exact<", "Said &amp; done."):  # fmt: skip
        assert words in shown


def test_missing_or_wrong_data_and_nothing_to_measure_are_said_in_a_sentence(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(SystemExit, match=r"mnist\.npz is not there"):
        main(["made", "--data", str(tmp_path / "nowhere"), "--runs", str(tmp_path / "runs"), "--steps", "1"])
    with pytest.raises(SystemExit, match="No model is finished"):
        main(["measure", "--data", str(folder), "--runs", str(tmp_path / "none"), "--out", str(tmp_path / "d.json")])
    assert not (tmp_path / "d.json").exists()
    np.savez(tmp_path / "mnist.npz", x_test=np.zeros((3, 4, 5), np.uint8), y_test=np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match="square uint8 pictures"):
        measure(tmp_path, tmp_path / "runs", tmp_path / "d.json")
    (tmp_path / "mnist.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="is no archive"):
        measure(tmp_path, tmp_path / "runs", tmp_path / "d.json")
