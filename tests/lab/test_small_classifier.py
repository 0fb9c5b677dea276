"""The small classifier: who is chosen, how pictures move, and that it learns what there is to learn."""

from __future__ import annotations

import pytest
import torch

from demos.lab.garments.small import Labelled, Trainee, chosen, few, moved, steps_for


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blocks(n: int, seed: int) -> Labelled:
    """Pictures of noise with a bright block whose place is the label."""
    y = torch.arange(n) % 10
    x = torch.randint(0, 60, (n, 1, 28, 28), generator=rng(seed), dtype=torch.uint8)
    for i, label in enumerate(y.tolist()):
        row, column = divmod(label, 5)
        x[i, 0, 4 + 12 * row : 12 + 12 * row, 1 + 5 * column : 6 + 5 * column] += 150
    return Labelled(x, y)


def test_the_chosen_are_in_equal_parts_and_follow_the_seed() -> None:
    y = torch.randint(10, (500,), generator=rng())
    for n in (10, 25, 100):
        at = chosen(y, n, 3)
        counts = torch.bincount(y[at], minlength=10)
        assert len(at.unique()) == n and counts.max() - counts.min() <= 1
        assert torch.equal(at, chosen(y, n, 3)) and not torch.equal(at, chosen(y, n, 4))
    with pytest.raises(ValueError, match="too few pictures of some label"):
        chosen(y, 490, 0)


def test_fewer_pictures_are_a_part_of_more() -> None:
    y = torch.arange(200) % 10
    assert set(chosen(y, 20, 1).tolist()) < set(chosen(y, 100, 1).tolist())


def test_moving_mirrors_half_and_shifts_by_two_at_most() -> None:
    x = torch.zeros(400, 1, 28, 28, dtype=torch.uint8)
    x[:, :, 10, 6] = 255
    places = moved(x, rng())[:, 0].nonzero()
    assert len(places) == 400 and x.sum() == 255 * 400
    left = places[:, 2] < 14
    assert 150 < int(left.sum()) < 250
    assert set(places[:, 1].tolist()) == {8, 9, 10, 11, 12}
    assert set(places[left, 2].tolist()) == {4, 5, 6, 7, 8}
    assert set(places[~left, 2].tolist()) == {19, 20, 21, 22, 23}


def test_it_learns_and_the_same_seed_learns_the_same() -> None:
    data, test = blocks(60, 0), blocks(100, 1)
    ends = []
    for seed in (0, 0, 1):
        trainee = Trainee(data, steps=60, seed=seed)
        before = trainee.accuracy(test)
        losses = [trainee.step() for _ in range(60)]
        assert before < 0.5 < 0.9 < trainee.accuracy(test) and losses[-1] < 0.5 * losses[0]
        ends.append(losses[-1])
    assert ends[0] == ends[1] != ends[2]


def test_generated_pictures_are_learnt_from_too() -> None:
    data, test = blocks(200, 0), blocks(100, 1)
    half = Labelled(data.x[data.y < 5], data.y[data.y < 5])
    rest = Labelled(data.x[data.y >= 5], data.y[data.y >= 5])
    accuracies = []
    for sources in ((half, None), (half, rest), (None, data)):
        trainee = Trainee(*sources, steps=80, seed=0)
        for _ in range(80):
            trainee.step()
        accuracies.append(trainee.accuracy(test))
    assert accuracies[0] <= 0.5 and min(accuracies[1:]) > 0.9


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        Trainee(None, steps=10, seed=0)


def test_more_pictures_get_more_steps() -> None:
    assert [steps_for(n) for n in (0, 100, 2500, 58_000)] == [200, 300, 700, 1200]
    assert len(few(blocks(50, 0), 20, 0).x) == 20
