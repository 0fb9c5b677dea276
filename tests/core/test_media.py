"""Pictures in: every kind of good and bad upload; pictures out: the same pixels, the same bytes."""

import base64
import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demos.core.media import (
    data_uri,
    open_image,
    png_bytes,
    read_data_uri,
    safe_stem,
    save_png,
    zip_bytes,
    zip_pictures,
)


def _encode(picture: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def _empty_png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_every_kind_of_source_gives_the_same_pixels(picture: Image.Image, tmp_path: Path) -> None:
    path = save_png(picture, tmp_path / "new folder" / "a.png")
    for source in (path, str(path), path.read_bytes(), picture, np.asarray(picture)):
        opened = open_image(source)
        assert opened.mode == "RGBA"
        assert opened.tobytes() == picture.tobytes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "CMYK"])
def test_every_mode_becomes_rgba(mode: str) -> None:
    source = Image.new("L", (5, 4), 255).convert(mode)
    opened = open_image(_encode(source, "JPEG" if mode == "CMYK" else "PNG"))
    assert opened.mode == "RGBA"
    assert np.asarray(opened).min() > 250


def test_sixteen_bits_keep_their_range() -> None:
    ramp = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    assert [opened[0] for opened in np.asarray(open_image(_encode(ramp, "PNG")))[0]] == pytest.approx(
        [0, 127, 255], abs=1
    )


def test_arrays_of_numbers() -> None:
    assert open_image(np.ones((3, 4))).getpixel((0, 0)) == (255, 255, 255, 255)
    assert open_image(np.full((3, 4, 3), np.nan)).getpixel((0, 0)) == (0, 0, 0, 255)
    for shape in ((4,), (3, 4, 2), (0, 4, 3), (1, 3, 4, 3)):
        with pytest.raises(ValueError, match="is not a picture"):
            open_image(np.zeros(shape))


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("red", "blue")]
    opened = open_image(_encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert opened.getpixel((3, 3)) == (255, 0, 0, 255)


def test_a_phone_s_rotation_is_applied() -> None:
    source = Image.new("RGB", (20, 10), "blue")
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_image(_encode(source, "JPEG", exif=exif)).size == (10, 20)
    assert open_image(_encode(source, "JPEG", exif=b"Exif\0\0garbage")).size == (20, 10)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_large_pictures_are_shrunk(format: str) -> None:
    opened = open_image(_encode(Image.new("RGB", (6000, 300), "green"), format))
    assert opened.size == (4096, 205)
    assert open_image(_encode(Image.new("RGB", (600, 300)), format), max_side=100).size == (100, 50)


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize(("width", "height"), [(12_000, 12_000), (100_000, 100_000), (2**31 - 1, 1)])
def test_too_many_pixels_are_refused_before_decoding(width: int, height: int) -> None:
    with pytest.raises(ValueError, match=r"more than 50 million"):
        open_image(_empty_png(width, height))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "empty"),
        (b"%PDF-1.7 nothing to see", "not a picture that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture that can be read"),
        (_encode(Image.new("RGB", (4, 4)), "TIFF"), "not a picture that can be read"),
        (b"\x89PNG\r\n\x1a\n", "damaged|not a picture"),
        (_empty_png(50, 50), "damaged or cut off"),
        (_encode(Image.effect_noise((64, 64), 90), "PNG")[:900], "damaged or cut off"),
        (_encode(Image.effect_noise((64, 64), 90), "JPEG")[:700], "damaged or cut off"),
        (b"\0" * (20 * 2**20 + 1), "larger than 20 MB"),
    ],
    ids=["empty", "pdf", "svg", "tiff", "signature", "no data", "cut png", "cut jpeg", "20 MB"],
)
def test_bad_files_are_refused_in_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        open_image(data)


def test_what_is_no_picture_at_all(tmp_path: Path) -> None:
    for source in (tmp_path / "gone.png", tmp_path, "a\0b"):
        with pytest.raises(ValueError, match="could not be found"):
            open_image(source)
    for source in (None, 3, {"path": "x"}):
        with pytest.raises(ValueError, match="A picture is expected"):
            open_image(source)  # type: ignore[arg-type]


def test_png_bytes_are_deterministic_and_bare(picture: Image.Image) -> None:
    tagged = picture.copy()
    tagged.info["comment"] = "made on a Tuesday"
    assert png_bytes(tagged) == png_bytes(picture)
    assert open_image(png_bytes(picture)).tobytes() == picture.tobytes()


@pytest.mark.parametrize("format", ["webp", "png", "jpeg"])
def test_data_uri(picture: Image.Image, format: str) -> None:
    uri = data_uri(picture, format)
    head, data = uri.split(",", 1)
    assert head == f"data:image/{format};base64"
    decoded = Image.open(io.BytesIO(base64.b64decode(data)))
    assert decoded.size == picture.size
    if format != "jpeg":
        assert decoded.convert("RGBA").getpixel((20, 8))[3] == 0  # type: ignore[index]
    assert read_data_uri(uri) == base64.b64decode(data)
    with pytest.raises(ValueError, match="must be one of"):
        data_uri(picture, "tiff")


@pytest.mark.parametrize(
    "uri", ["", "data:", "data:image/png,x", "http://a/b.png", "data:image/png;base64,§", "x" * 99]
)
def test_bad_data_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="not a data: URI"):
        read_data_uri(uri)


def test_zip_names_and_bytes_are_deterministic(picture: Image.Image) -> None:
    data = zip_pictures([picture, picture], "A cat / 2")
    assert data == zip_pictures([picture, picture], "A cat / 2")
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.namelist() == ["a-cat-2-001.png", "a-cat-2-002.png"]
    assert archive.read("a-cat-2-001.png") == png_bytes(picture)
    assert zip_bytes({"a": b"1", "b": b"2"}) != zip_bytes({"b": b"2", "a": b"1"})


@pytest.mark.parametrize(
    ("text", "stem"), [("A Cat!", "a-cat"), ("../../etc", "etc"), ("猫", "picture"), ("x" * 99, "x" * 40)]
)
def test_safe_stem(text: str, stem: str) -> None:
    assert safe_stem(text) == stem
