"""Files between visitors and endpoints: what came in is checked, what goes out is served and later deleted.

`gr.api` passes values through untouched, so an endpoint that takes or gives files must do itself what Gradio's
components do: accept only files that were uploaded here, and put results into the cache that Gradio serves.
"""

import contextlib
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from gradio.processing_utils import hash_bytes
from gradio.route_utils import API_PREFIX
from gradio.utils import get_upload_folder, is_in_or_equal
from gradio_client.utils import encode_file_path

from demos.core.atomic import atomic
from demos.core.media import read_data_uri

__all__ = ["bundled", "picture_file", "served", "uploaded"]


def uploaded(file: Any) -> Path:
    """The path of a file that a visitor uploaded to this app: a `gr.FileData`, its dictionary, or a path.

    Raises:
        ValueError: not a file, or a file anywhere else than in the app's upload folder.
    """
    path = file.get("path") if isinstance(file, dict) else getattr(file, "path", file)
    if not isinstance(path, (str, Path)) or not str(path).strip():
        raise ValueError("A file is expected here; please upload one.")
    with contextlib.suppress(OSError, ValueError):
        real = Path(path).resolve()
        if is_in_or_equal(real, Path(get_upload_folder()).resolve()) and real.is_file():
            return real
    raise ValueError("This file was not uploaded to this app; please upload it first.")


def picture_file(image: Any) -> Path | bytes:
    """A picture from whatever form a client sends it in, still closed; foreign addresses are never fetched.

    Raises:
        ValueError: neither an uploaded file nor a data: URI of a picture.
    """
    if isinstance(image, str) and image.startswith("data:"):
        return read_data_uri(image)
    return uploaded(image.rpartition("/file=")[2] if isinstance(image, str) else image)


def served(data: bytes, name: str) -> gr.FileData:
    """Put `data` into Gradio's cache as a file called `name`, where visitors can fetch it until `delete_cache`.

    A file that is there already is not written again: another visitor with the same result may be fetching it.
    """
    file = Path(get_upload_folder(), hash_bytes(data), Path(name).name).resolve()
    if file.exists():
        file.touch()
    else:
        with atomic(file) as part:
            part.write_bytes(data)
    path = str(file)
    page = LocalContext.blocks.get(None)
    if page is not None:
        page.upload_file_set.add(path)
    return gr.FileData(
        path=path, url=f"{API_PREFIX}/file={encode_file_path(path)}", orig_name=Path(path).name, size=len(data)
    )


def bundled(path: str | Path, name: str = "") -> str:
    """A copy, where visitors can fetch it, of a file that came with the app or its packages; its path.

    Gradio lets no event give a file that lies outside the folder in which the app was started.
    """
    return served(Path(path).read_bytes(), name or Path(path).name).path
