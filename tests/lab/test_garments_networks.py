"""The garments' networks at tiny sizes: what may not leak, what must invert, what must add up."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from demos.core import logistic
from demos.families.capabilities import refusal
from demos.families.energy import DenoisingEnergy
from demos.families.vae import VAE, log_normal
from demos.lab.garments.causal import CausalNetwork
from demos.lab.garments.data import NO_LABEL, bits_per_dim, dequantised
from demos.lab.garments.energy import GarmentEnergy
from demos.lab.garments.gan import GarmentDiscriminator, GarmentGenerator, pair
from demos.lab.garments.kinds import KINDS, bits, draw, encode, given, pictures
from demos.lab.garments.layers import Given
from demos.lab.garments.subscale import SubscaleFlow
from demos.lab.garments.unet import GarmentScore
from demos.lab.garments.vae import GarmentVAE
from tests.lab.shaken import rng, shaken


def networks() -> dict[str, Any]:
    torch.manual_seed(0)
    small: dict[str, Any] = {
        "autoregressive": CausalNetwork(width=16, depth=1, mixtures=2),
        "vae": GarmentVAE(widths=(8, 8), embedding=8),
        "flow": SubscaleFlow(widths=(8, 8), depth=1, labelled=True),
        "gan": GarmentGenerator(widths=(8, 8), embedding=8),
        "energy": GarmentEnergy(widths=(8, 8), embedding=8),
        "score": GarmentScore(widths=(8, 8), embedding=8, steps=2),
    }
    return {name: shaken(network, 0.02) for name, network in small.items()}


SMALL = networks()


@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_the_256_probabilities_add_up(spread: float) -> None:
    amounts = spread * torch.randn(20, 1, 9, generator=rng())
    total = logistic.log_prob(amounts.expand(-1, 256, -1), torch.arange(256).expand(20, -1)).logsumexp(1)
    assert torch.allclose(total, torch.zeros(20), atol=2e-4)


def test_drawn_brightnesses_follow_their_probabilities_and_mean() -> None:
    amounts = torch.tensor([0.3, -0.2, -0.6, 0.4, -2.0, -1.0])
    p = logistic.log_prob(amounts.expand(256, -1), torch.arange(256)).exp()
    drawn = logistic.draw(amounts.expand(40_000, -1), rng())
    share = torch.bincount(drawn, minlength=256) / len(drawn)
    assert float((share - p).abs().max()) < 0.005
    x = torch.arange(256) / 127.5 - 1
    assert float(logistic.mean(amounts)) == pytest.approx(float((p * x).sum()), abs=0.003)


def test_brightnesses_at_the_ends_take_the_tails() -> None:
    far = torch.tensor([0.0, -5.0, -1.0])
    assert float(logistic.log_prob(far, torch.tensor(0))) == pytest.approx(0, abs=1e-4)
    assert float(logistic.log_prob(-far * torch.tensor([1, 1, -1]), torch.tensor(255))) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("place", [(0, 0), (0, 5), (3, 4), (7, 7)])
def test_no_pixel_sees_itself_or_what_comes_later(place: tuple[int, int]) -> None:
    network = shaken(CausalNetwork(width=16, depth=2, mixtures=2, side=8))
    x = (2 * torch.rand(1, 1, 8, 8, generator=rng()) - 1).requires_grad_()
    row, column = place
    (slope,) = torch.autograd.grad(network(x, torch.tensor([3]))[0, row, column].sum(), x)
    seen = slope[0, 0].flatten() != 0
    before = row * 8 + column
    assert not seen[before:].any()
    assert not before or seen[before - 1]


def test_pixel_by_pixel_says_what_the_whole_says() -> None:
    network = shaken(CausalNetwork(width=16, depth=2, mixtures=2, side=6))
    label = torch.tensor([1, NO_LABEL])
    x = 2 * torch.rand(2, 1, 6, 6, generator=rng()) - 1
    with torch.no_grad():
        whole, session = network(x, label), network.session(2, label)
        for row in range(6):
            for column in range(6):
                assert torch.allclose(session.amounts(row, column), whole[:, row, column], atol=1e-5)
                session.write(row, column, x[:, 0, row, column])


def test_only_what_is_erased_is_drawn() -> None:
    model = shaken(CausalNetwork(width=16, depth=1, mixtures=2, side=6)).given(torch.tensor([2]))
    known = torch.randint(0, 256, (1, 1, 6, 6), generator=rng())
    erased = torch.zeros(6, 6, dtype=torch.bool)
    erased[3:] = True
    made = model.sample(1, rng(1), known=known, erased=erased)
    assert torch.equal(made[..., :3, :], known[..., :3, :])
    assert not torch.equal(made[..., 3:, :], known[..., 3:, :])


def test_the_flow_under_a_label_inverts_and_knows_its_determinant() -> None:
    torch.manual_seed(0)
    network = shaken(SubscaleFlow(widths=(8, 8), depth=1, side=6, labelled=True), 0.15)
    y, label = (torch.randint(0, 256, (1, 1, 6, 6), generator=rng()) + 0.4) / 256, torch.tensor([4])
    z, log_det = network(y, label)
    slopes = torch.autograd.functional.jacobian(lambda y: network(y, label)[0], y)
    assert isinstance(slopes, Tensor)
    expected = torch.linalg.slogdet(slopes.view(36, 36).double())[1]
    assert float(log_det.detach()) == pytest.approx(float(expected), rel=1e-3)
    assert torch.allclose(256 * network.inverse(z, None, label), 256 * y, atol=1e-3)
    assert not torch.allclose(network(y, torch.tensor([NO_LABEL]))[0], z, atol=0.1)


def test_the_flow_shows_every_step_of_its_inverse() -> None:
    seen: list[tuple[int, int, tuple[int, ...]]] = []
    model = given(SMALL["flow"], torch.tensor([0, 1]))
    with torch.no_grad():
        made = model.sample(2, rng(), lambda i, n, x: seen.append((i, n, tuple(x.shape))))
    assert [(i, n) for i, n, _ in seen] == [(i, 7) for i in range(1, 8)]
    assert {shape for _, _, shape in seen} == {(2, 1, 28, 28)} == {tuple(made.shape)}


def test_more_draws_tighten_the_bound() -> None:
    x = 2 * torch.rand(24, 1, 28, 28, generator=rng()) - 1
    model = SMALL["vae"].given(torch.full((24,), NO_LABEL))
    with torch.no_grad():
        elbo = torch.stack([model.elbo(x, rng(i)) for i in range(16)]).mean(0)
        loose, tight = (model.log_prob(x, rng(3), samples=k) for k in (2, 24))
    assert elbo.mean() < loose.mean() < tight.mean()


class Standard(torch.nn.Module):
    """N(0, 1) as if it had been learnt."""

    def log_prob(self, z: Tensor) -> Tensor:
        return log_normal(z, 0.0, torch.zeros_like(z))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 3, generator=generator)


def test_a_learnt_prior_takes_the_standard_ones_place() -> None:
    torch.manual_seed(1)
    parts = torch.nn.Linear(4, 6), torch.nn.Linear(3, 4)

    def likelihood(x: Tensor, described: Tensor) -> Tensor:
        return log_normal(x, described, torch.zeros_like(x))

    plain, learnt = VAE(*parts, likelihood, 3), VAE(*parts, likelihood, 3, prior=Standard())
    x = torch.randn(2000, 4, generator=rng())
    assert torch.allclose(plain.log_prob(x, rng(2), 4), learnt.log_prob(x, rng(2), 4))
    assert torch.equal(plain.sample(5, rng(3)), learnt.sample(5, rng(3)))
    one, other = (float(model.losses(x, rng(4))["divergence"].detach()) for model in (plain, learnt))
    assert one == pytest.approx(other, rel=0.1)


class Silent(torch.nn.Module):
    """f = 0: the energy of a Gaussian."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def forward(self, y: Tensor, part: Tensor) -> Tensor:
        return torch.zeros_like(y)


def test_the_energy_of_a_gaussian_is_exact() -> None:
    model = DenoisingEnergy(Silent(), (2,), least=0.1, most=4.0, spread=0.5)
    x = torch.randn(50, 2, generator=rng())
    exact = log_normal(x, 0.0, torch.full_like(x, math.log(0.5**2 + 0.1**2)))
    offset = model.log_prob(x) - exact
    assert float(offset.std()) < 1e-5
    drawn = model.sample(6000, rng(1), steps=60)
    assert float(drawn.mean()) == pytest.approx(0, abs=0.02)
    assert float(drawn.std()) == pytest.approx(0.5, abs=0.03)


def test_denoising_prefers_the_right_spread() -> None:
    data = 0.5 * torch.randn(4000, 2, generator=rng())
    loss = {
        spread: float(DenoisingEnergy(Silent(), (2,), spread=spread).losses(data, rng(1))["loss"].detach())
        for spread in (0.3, 0.5, 0.8)
    }
    assert min(loss, key=lambda spread: loss[spread]) == 0.5


def test_the_energy_keeps_what_is_known() -> None:
    model = DenoisingEnergy(Silent(), (1, 4, 4))
    known, erased = torch.randn(1, 1, 4, 4, generator=rng()), torch.zeros(4, 4, dtype=torch.bool)
    erased[2:] = True
    made = model.sample(1, rng(1), steps=5, known=known, erased=erased)
    assert torch.equal(made[..., :2, :], known[..., :2, :])
    assert not torch.equal(made[..., 2:, :], known[..., 2:, :])


@pytest.mark.parametrize("name", KINDS)
def test_a_seed_makes_the_same_pictures_again(name: str) -> None:
    label = torch.tensor([0, 9])
    options: dict[str, Any] = {"steps": 3} if name == "energy" else {}
    one, again, other = (draw(name, SMALL[name], label, rng(seed), **options) for seed in (5, 5, 6))
    assert one.shape == (2, 1, 28, 28) and one.dtype == torch.uint8
    assert torch.equal(one, again) and not torch.equal(one, other)


@pytest.mark.parametrize("name", KINDS)
def test_every_family_does_what_its_code_says_and_no_more(name: str) -> None:
    kind, network, label = KINDS[name], SMALL[name], torch.tensor([3, NO_LABEL])
    x = torch.randint(0, 256, (2, 1, 28, 28), generator=rng(), dtype=torch.uint8)
    if refusal(kind.family, "log_prob") is None:
        told = bits(name, network, x, label, rng())
        assert told.shape == (2,) and torch.isfinite(told).all()
    else:
        with pytest.raises(NotImplementedError):
            bits(name, network, x, label, rng())
    if refusal(kind.family, "encode") is None:
        z = encode(name, network, x, label)
        assert z.shape == (2, *kind.latent)
    else:
        with pytest.raises(NotImplementedError):
            encode(name, network, x, label)
    if refusal(kind.family, "decode") is None:
        with torch.no_grad():
            made = given(network, label).decode(torch.randn(2, *kind.latent, generator=rng()))
        assert pictures(name, made).shape == (2, 1, 28, 28)
    else:
        assert not kind.latent
        with pytest.raises(NotImplementedError):
            given(network, label).decode(torch.zeros(2, 1))


@pytest.mark.parametrize("name", [name for name in KINDS if name != "gan"])
def test_losses_reach_every_weight(name: str) -> None:
    torch.manual_seed(0)
    network, label = networks()[name], torch.tensor([1, NO_LABEL, 4, 4])
    x = torch.randint(0, 256, (4, 1, 28, 28), generator=rng(), dtype=torch.uint8)
    data = x if name == "autoregressive" else dequantised(x, rng()) if name == "flow" else x / 127.5 - 1
    network.given(label).losses(data, rng())["loss"].backward()
    slopes = {key: weight.grad for key, weight in network.named_parameters()}
    assert [key for key, slope in slopes.items() if slope is None or not torch.isfinite(slope).all()] == []
    assert sum(bool(slope.any()) for slope in slopes.values() if slope is not None) > 0.9 * len(slopes)


def test_the_pair_teaches_both_networks() -> None:
    torch.manual_seed(0)
    generator, judge = GarmentGenerator(widths=(8, 8), embedding=8), GarmentDiscriminator(widths=(8, 8))
    model = pair(generator, judge, torch.tensor([1, 2, 3]))
    model.losses(2 * torch.rand(3, 1, 28, 28, generator=rng()) - 1, rng())["loss"].backward()
    assert all(w.grad is not None and torch.isfinite(w.grad).all() for w in generator.parameters())
    assert judge.stem[1].weight.grad is not None


def test_a_label_is_repeated_for_several_batches() -> None:
    told = Given(torch.nn.Embedding(11, 2), torch.tensor([3, 4]))
    told.network.forward = lambda x, label: label  # type: ignore[method-assign]
    assert told(torch.zeros(4)).tolist() == [3, 4, 3, 4]


def test_bits_of_a_model_that_knows_nothing_are_eight() -> None:
    assert float(bits_per_dim(torch.tensor(-784 * math.log(256)))) == pytest.approx(8)
    assert float(bits_per_dim(torch.tensor(0.0), continuous=True)) == pytest.approx(8)
