"""Pictures among uploaded files and inside uploaded zips.

Nothing is unpacked to the disk, so a zip's paths can't climb anywhere; sizes are read from the zip's directory before
anything is decompressed, and what is too large, nested or damaged becomes one entry with its error.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from demos.core.media import MAX_BYTES

__all__ = ["Entry", "entries"]

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
MOST, MOST_BYTES = 5000, 2 * 2**30


@dataclass(frozen=True)
class Entry:
    """One picture: its name with the folders it lay in, how to read it, or why it can't be read."""

    name: str
    archive: Path | None
    inside: str
    error: str = ""

    def read(self) -> bytes:
        """The file's content.

        Raises:
            ValueError: damaged, encrypted, or larger than it says.
        """
        if self.error:
            raise ValueError(self.error)
        if self.archive is None:
            with open(self.inside, "rb") as file:
                return file.read(MAX_BYTES + 1)
        try:
            with zipfile.ZipFile(self.archive) as files, files.open(self.inside) as file:
                return file.read(MAX_BYTES + 1)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, ValueError, KeyError):
            raise ValueError("This file in the zip is damaged or encrypted.") from None
        except Exception as error:  # zlib.error and lzma.LZMAError share no base
            raise ValueError("This file in the zip is damaged.") from error


def entries(files: Sequence[str | os.PathLike[str]], most: int = MOST) -> list[Entry]:
    """Pictures among uploaded files and inside uploaded zips, in the order of their names.

    Args:
        files: paths that Gradio has already checked.
        most: how many pictures may be there.

    Returns:
        Files that are neither picture nor CSV have an `error`; a CSV (labels) and hidden files are left out.

    Raises:
        ValueError: no files, no pictures, or more than `most` of them.
    """
    found: list[Entry] = []
    for path in map(Path, files):
        if path.suffix.lower() == ".zip":
            found += _inside(path, most)
        elif path.suffix.lower() != ".csv":
            found.append(Entry(path.name, None, str(path)))
        if len(found) > most:
            raise ValueError(f"At most {most:,} pictures at once; these are more.")
    if not found:
        raise ValueError("Drop some pictures, or a zip of pictures.")
    return sorted(found, key=lambda entry: entry.name)


def _inside(path: Path, most: int) -> list[Entry]:
    try:
        with zipfile.ZipFile(path) as files:
            infos = [info for info in files.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return [Entry(path.name, None, str(path), "This zip is damaged.")]
    if len(infos) > most:
        raise ValueError(f"“{path.name}” holds {len(infos):,} files; at most {most:,} pictures at once.")
    found, total = [], 0
    for info in infos:
        place = PurePosixPath(info.filename.replace("\\", "/"))
        if any(part.startswith((".", "__MACOSX")) and part not in (".", "..") for part in place.parts):
            continue
        suffix = place.suffix.lower()
        if suffix == ".csv":
            continue
        name = "/".join(part for part in place.parts if part not in ("/", ".", ".."))
        total += info.file_size
        error = ""
        if suffix == ".zip":
            error = "A zip inside a zip is not opened."
        elif suffix not in PICTURES:
            error = "This is not a picture that can be read here."
        elif info.file_size > MAX_BYTES or total > MOST_BYTES:
            error = f"This file is larger than {MAX_BYTES // 2**20} MB; it is left out."
        found.append(Entry(name or "?", path, info.filename, error))
    return found
