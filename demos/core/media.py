"""Pictures in and out: uploads opened with care, results written so that they can be compared byte by byte.

Whatever a visitor hands over (a path, bytes, a PIL picture, an array) becomes one RGBA picture or a `ValueError` whose
message a visitor understands. The number of pixels is read from the header before anything is decoded.
"""

import base64
import io
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "Picture",
    "data_uri",
    "open_image",
    "png_bytes",
    "read_data_uri",
    "safe_stem",
    "save_png",
    "zip_bytes",
    "zip_pictures",
]

Picture: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | np.ndarray"
"""A path, an encoded file's bytes, a PIL picture, or an array `(H, W)`, `(H, W, 3)` or `(H, W, 4)`."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_PIXELS = 50_000_000
MAX_SIDE = 4096
MAX_BYTES = 20 * 2**20

_DAMAGED = "This picture is damaged or cut off; please save it again and retry."


def open_image(source: Picture, max_side: int = MAX_SIDE) -> Image.Image:
    """The upright RGBA picture in `source`: first frame, EXIF rotation applied, at most `max_side` pixels a side.

    A path is trusted: pass only those that Gradio has already checked, never text that a visitor typed.

    Raises:
        ValueError: empty, not one of `FORMATS`, damaged, above `MAX_BYTES` or above `MAX_PIXELS`.
    """
    if isinstance(source, np.ndarray):
        picture = _from_array(source)
    elif isinstance(source, Image.Image):
        _check_size(source)
        picture = source
    else:
        picture = _decode(_read(source), max_side)
    picture = _to_rgba(_upright(picture))
    if max(picture.size) > max_side:
        picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    return picture


def _read(source: str | os.PathLike[str] | bytes) -> bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        try:
            with open(source, "rb") as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, ValueError):
            raise ValueError("This picture could not be found; please choose it again.") from None
    else:
        raise ValueError(f"A picture is expected here, not a {type(source).__name__}.")
    if not data:
        raise ValueError("This file is empty; please choose a picture.")
    if len(data) > MAX_BYTES:
        raise ValueError(f"This file is larger than {MAX_BYTES // 2**20} MB; please choose a smaller one.")
    return data


def _decode(data: bytes, max_side: int) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        known = ", ".join(FORMATS[:-1]) + " or " + FORMATS[-1]
        raise ValueError(f"This is not a picture that can be read here; please use {known}.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(
            f"This picture has more than {MAX_PIXELS // 10**6} million pixels; please shrink it."
        ) from None
    except Exception:
        raise ValueError(_DAMAGED) from None
    _check_size(picture)
    try:
        if picture.format == "JPEG":
            picture.draft(None, (max_side, max_side))
        picture.seek(0)
        picture.load()
    except Exception:
        raise ValueError(_DAMAGED) from None
    return picture


def _check_size(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height == 0:
        raise ValueError("This picture has no pixels; please choose another.")
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"This picture is {width} × {height} pixels, more than {MAX_PIXELS // 10**6} million; please shrink it."
        )


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim not in (2, 3) or array.size == 0 or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(f"An array of the shape {array.shape} is not a picture; (H, W), (H, W, 3) or (H, W, 4) is.")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise ValueError(f"This picture has more than {MAX_PIXELS // 10**6} million pixels; please shrink it.")
    if array.dtype != np.uint8:
        values = np.nan_to_num(array.astype(np.float32))
        array = np.clip(values * (255 if np.issubdtype(array.dtype, np.floating) else 1) + 0.5, 0, 255).astype(np.uint8)
    return Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # hostile or broken EXIF says nothing about which way is up
        return picture


def _to_rgba(picture: Image.Image) -> Image.Image:
    try:
        if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
            values = np.asarray(picture, dtype=np.float32)
            picture = Image.fromarray(np.clip(values / (257 if values.max() > 255 else 1), 0, 255).astype(np.uint8))
        return picture.convert("RGBA")
    except Exception:
        raise ValueError(_DAMAGED) from None


def png_bytes(picture: Image.Image) -> bytes:
    """`picture` as a PNG file; the same pixels give the same bytes, and no metadata is carried over."""
    buffer = io.BytesIO()
    bare = Image.frombytes(picture.mode, picture.size, picture.tobytes())
    bare.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def save_png(picture: Image.Image, path: str | os.PathLike[str]) -> Path:
    """Write `png_bytes(picture)` to `path`, creating its folder; returns the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(png_bytes(picture))
    return target


def data_uri(picture: Image.Image, format: str = "webp", quality: int = 90) -> str:
    """`picture` as a `data:` URI for an `<img>`; WebP by default: small, fast, with transparency."""
    options: dict[str, dict[str, Any]] = {
        "webp": {"quality": quality, "method": 0},
        "png": {"compress_level": 1},
        "jpeg": {"quality": quality},
    }
    if format not in options:
        raise ValueError(f"The format must be one of {', '.join(options)}.")
    buffer = io.BytesIO()
    (picture.convert("RGB") if format == "jpeg" else picture).save(buffer, format=format, **options[format])
    return f"data:image/{format};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def read_data_uri(uri: str) -> bytes:
    """The bytes in a base64 `data:` URI, for `open_image`.

    Raises:
        ValueError: another kind of URI, not base64, or above `MAX_BYTES`.
    """
    head, comma, body = uri.partition(",")
    if len(body) > MAX_BYTES * 4 // 3 + 4:
        raise ValueError(f"This file is larger than {MAX_BYTES // 2**20} MB; please choose a smaller one.")
    try:
        if not (comma and head.startswith("data:") and head.endswith(";base64")):
            raise ValueError
        return base64.b64decode(body, validate=True)
    except ValueError:
        raise ValueError("This is not a data: URI with base64 content.") from None


def safe_stem(text: str, fallback: str = "picture") -> str:
    """`text` as a file name without its ending: lower-case letters, digits and hyphens, at most 40 of them."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-") or fallback


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """A zip of `files` (name to content); the same files in the same order give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def zip_pictures(pictures: Sequence[Image.Image], stem: str = "picture") -> bytes:
    """A zip of PNG files `stem-001.png`, `stem-002.png`, … in the order given."""
    name = safe_stem(stem)
    return zip_bytes({f"{name}-{i:03d}.png": png_bytes(picture) for i, picture in enumerate(pictures, start=1)})
