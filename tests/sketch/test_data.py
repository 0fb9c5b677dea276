"""The pictograms: words, premultiplied pixels, and the split that must never move."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demos.sketch.data import HELD_OUT, STYLES, Pictograms, load_pictograms, premultiply, words_of

Archive = Callable[..., Path]


def encoded(colour: tuple[int, int, int, int], side: int = 16) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (side, side), colour).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Write an archive of `n` concepts in two styles; every seventh lacks the second."""

    def write(n: int, backwards: bool = False) -> Path:
        rows = [f"{i:04x},thing {i},Objects,part {i % 3}|Shiny" for i in range(n)]
        table = "\n".join(["code,name,group,keywords", *rows[:: -1 if backwards else 1]])
        path = tmp_path / f"{n}{backwards}.zip"
        with zipfile.ZipFile(path, "w") as files:
            files.writestr("emoji/metadata.csv", table)
            for i in range(n):
                files.writestr(f"emoji/noto/{i:04x}.webp", encoded((i % 256, 9, 9, 255)))
                if i % 7:
                    files.writestr(f"emoji/twemoji/{i:04x}.webp", encoded((9, i % 256, 9, 255)))
        return path

    return write


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Cat Face", ("cat", "face")),
        ("red, RED; red!", ("red",)),
        ("b a b", ("b", "a")),
        ("rock’n’roll 1st", ("rock", "n", "roll", "1st")),
        ("<b>été</b>\n", ("b", "t")),
        ("", ()),
        ("—… 猫", ()),
    ],
)
def test_words_are_lower_case_in_order_and_single(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


def test_premultiplied_pixels_never_exceed_their_alpha() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 4), dtype=np.uint8)
    small = premultiply(Image.fromarray(noise, "RGBA"), 32)
    assert small.shape == (32, 32, 4) and small.dtype == np.uint8
    assert (small[..., :3] <= small[..., 3:]).all()


def test_the_colour_of_transparent_pixels_does_not_bleed() -> None:
    half = Image.new("RGBA", (64, 64), (0, 255, 0, 0))
    half.paste((200, 40, 30, 255), (0, 0, 33, 64))
    small = premultiply(half, 16).astype(int)
    assert small[8, 2].tolist() == [200, 40, 30, 255] and small[8, 14].tolist() == [0, 0, 0, 0]
    edge = small[8, 8]
    assert 0 < edge[3] < 255
    assert edge[:3] / edge[3] * 255 == pytest.approx([200, 40, 30], abs=6)


def test_pictures_are_read_with_style_concept_and_words(archive: Archive) -> None:
    data = load_pictograms(archive(120), 8)
    assert data.pixels.shape == (240 - 18, 8, 8, 4)
    assert data.names[5] == "thing 5" and data.words[5] == ("thing", "5", "part", "2", "shiny")
    at = np.flatnonzero(data.concept == 5)
    assert [STYLES[s] for s in data.style[at]] == ["noto", "twemoji"]
    assert data.pixels[at, 4, 4].tolist() == [[5, 9, 9, 255], [9, 5, 9, 255]]
    assert (np.diff(data.concept) >= 0).all()
    only = load_pictograms(archive(120), 8, ("twemoji",))
    assert set(only.style) == {STYLES.index("twemoji")}


def test_a_hundred_concepts_are_held_out_in_every_style(archive: Archive) -> None:
    data = load_pictograms(archive(130), 8)
    train, held = data.split()
    assert data.held_out.sum() == HELD_OUT == 100
    assert sorted([*train, *held]) == list(range(len(data.pixels)))
    assert len(set(data.concept[held])) == 100
    assert not set(data.concept[held]) & set(data.concept[train])


def test_the_split_follows_from_the_codes_alone(archive: Archive) -> None:
    def held(data: Pictograms) -> set[str]:
        return {name for name, out in zip(data.names, data.held_out, strict=True) if out}

    expected = sorted(range(130), key=lambda i: hashlib.sha256(f"{i:04x}".encode()).hexdigest())[:100]
    assert held(load_pictograms(archive(130), 8)) == {f"thing {i}" for i in expected}
    assert held(load_pictograms(archive(130, backwards=True), 8)) == {f"thing {i}" for i in expected}


def test_a_missing_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_pictograms(tmp_path / "no.zip")


def test_the_held_out_concepts_of_the_real_archive(tmp_path: Path) -> None:
    real = Path(os.environ.get("ATELIER_DATA", "")) / "emoji.zip"
    if not real.is_file():
        pytest.skip("the training data is not here: set ATELIER_DATA to the folder of emoji.zip")
    path = tmp_path / "table.zip"
    with zipfile.ZipFile(real) as source, zipfile.ZipFile(path, "w") as target:
        table = source.read("emoji/metadata.csv")
        target.writestr("emoji/metadata.csv", table)
        code = table.decode().splitlines()[1].split(",")[0]
        target.writestr(f"emoji/noto/{code}.webp", encoded((1, 2, 3, 255)))
    data = load_pictograms(path, 8)
    names = sorted(name for name, out in zip(data.names, data.held_out, strict=True) if out)
    assert len(data.names) == 1417 and len(names) == 100
    assert hashlib.sha256("\n".join(names).encode()).hexdigest()[:16] == "7b20fdabca53dd68"
