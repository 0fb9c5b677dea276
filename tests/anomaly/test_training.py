"""What the networks learn from, and the figures: batches, losses that fall, masks of an archive, tables."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from demos.anomaly.data import Tile, batches, load_tiles, split_held_out
from demos.anomaly.evaluate import COLUMNS, measure, reconstruction, table
from demos.anomaly.paste import SEEN
from demos.anomaly.pretext import SIDES, Pretext, image_logit, localiser_loss, window_batches
from tests.anomaly.conftest import spoiled, surface, tiny_field, tiny_inspector


def tile(i: int, defect: str = "free", **size: int) -> Tile:
    pixels = surface(i, **size)
    mask = np.zeros(pixels.shape, bool)
    if defect != "free":
        changed = spoiled(pixels, 9, 0.8)
        mask, pixels = changed != pixels, changed
    return Tile(f"{i}.jpg", pixels, defect, mask)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_archive_is_read_with_its_masks(tmp_path: Path) -> None:
    mask = np.zeros((100, 60), np.uint8)
    mask[40:60, 20:40] = 255
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as files:
        files.writestr("magnetic_tile/metadata.csv", "image,mask,split,defect\na,,train,free\nb,m,test,crack\n")
        files.writestr("a", png(surface(0, 100, 60)))
        files.writestr("b", png(surface(1, 100, 60)))
        files.writestr("m", png(mask))
    (normal,), (bad,) = (load_tiles(tmp_path / "a.zip", split, 0.5) for split in ("train", "test"))
    assert normal.pixels.shape == (50, 30) and not normal.mask.any() and not normal.defective
    assert bad.defective and bad.mask[20:30, 10:20].all() and bad.mask.sum() == 100


def test_the_held_out_fifth_depends_on_names_alone() -> None:
    tiles = [tile(i, height=16, width=16) for i in range(400)]
    train, held = split_held_out(tiles)
    assert 50 < len(held) < 110 and len(train) + len(held) == 400
    assert split_held_out(tiles[::-1])[1] == held[::-1]


def test_batches_are_of_like_size_and_use_every_picture() -> None:
    rng = np.random.default_rng(0)
    sizes = [(int(h), int(w)) for h, w in rng.integers(100, 400, (96, 2))]
    stream = batches(sizes, 8, rng)
    picks = [next(stream) for _ in range(12)]
    assert sorted(np.concatenate(picks)) == list(range(96))
    spread = np.mean([np.ptp(np.array(sizes)[p][:, 1]) for p in picks])
    assert spread < 100


def test_batches_are_what_they_say() -> None:
    rng = np.random.default_rng(0)
    large = [tile(i, height=240, width=230) for i in range(3)]
    for _ in range(4):
        batch = next(window_batches(large, [], 8, rng, share=1.0))
        side = batch.x.shape[2]
        assert side in SIDES and len(batch.x) == round(8 * (SIDES[0] / side) ** 2)
        assert batch.label.shape == (len(batch.x), 1, side // 2, side // 2)
        assert (batch.label.flatten(1).amax(1) > SEEN / 2).all() and batch.mask.all()
    small = next(window_batches([tile(i) for i in range(12)], [], 8, rng, share=0.0))
    assert small.x.shape[2:] == (96, 80) and not small.label.any()
    colour = [np.dstack([surface(i), surface(i + 1), surface(i + 2)]) for i in range(5)]
    mixed = next(window_batches(large, colour, 24, rng))
    grey = (mixed.x[:, 0] == mixed.x[:, 1]).all(-1).all(-1)
    assert grey.any() and not grey.all()


def test_the_loss_prefers_the_truth() -> None:
    label, seen = torch.zeros(2, 1, 20, 20), torch.ones(2, 1, 20, 20)
    label[0, 0, 4:9, 4:9] = 1
    right, wrong, blind = (8 * label - 4), (4 - 8 * label), torch.full_like(label, -4)
    losses = [tuple(v.item() for v in localiser_loss(logits, label, seen)) for logits in (right, blind, wrong)]
    assert losses[0][0] < losses[1][0] < losses[2][0]
    assert losses[0][1] < losses[1][1]
    hidden = seen.clone()
    hidden[0, 0, 4:9, 4:9] = 0
    assert image_logit(right, hidden)[0] < image_logit(right, seen)[0]


def test_a_few_steps_lower_the_losses() -> None:
    torch.manual_seed(0)
    model = Pretext(tiny_inspector().train().requires_grad_(True))
    colour = [np.repeat(surface(i)[..., None], 3, 2) for i in range(3)]
    batch = next(window_batches([tile(0)], colour, 4, np.random.default_rng(0), share=1.0))
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    seen: list[dict[str, float]] = []
    for _ in range(26):
        terms = model.losses(batch, torch.zeros_like(batch.x))
        seen.append({k: v.item() for k, v in terms.items()})
        optimiser.zero_grad()
        sum(terms.values(), torch.zeros(())).backward()
        optimiser.step()
    assert set(seen[0]) == {"pixels", "image", "restore"}
    last = {k: np.mean([terms[k] for terms in seen[-6:]]) for k in seen[0]}
    assert last["pixels"] < 0.7 * seen[0]["pixels"] and last["image"] < 0.3 * seen[0]["image"]
    assert min(terms["restore"] for terms in seen[6:]) < seen[0]["restore"]


def test_a_perfect_map_has_perfect_figures() -> None:
    tiles = [tile(i) for i in range(6)] + [tile(i, "crack") for i in range(6, 12)]

    def noise(t: Tile) -> np.ndarray:
        return np.random.default_rng(t.pixels.sum()).random(t.mask.shape).astype(np.float32)

    right = measure(tiles, lambda t: t.mask + 0.1 * noise(t), 20, limit=0.5)
    assert right["auroc"] == right["crack"] == 1 and right["pixel"] > 0.999 and right["aupro"] > 0.98
    assert right["alarms"] == 0 and np.isnan(right["fray"])
    chance = measure(tiles, noise, 20, limit=-1.0)
    assert chance["pixel"] == pytest.approx(0.5, abs=0.05) and chance["alarms"] == 1
    text = table({"a": [right, chance], "b": [right]})
    assert text.count("\n") == 3 and "1.000" in text and "±" in text
    assert all(title in text for title, _ in COLUMNS.values())


def test_reconstruction_gives_a_map_of_half_the_size() -> None:
    field: Any = tiny_field()
    heat = reconstruction(field, surface(0, 50, 70))
    assert heat.shape == (25, 35) and np.isfinite(heat).all() and heat.min() >= 0
