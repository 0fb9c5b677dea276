"""Files between visitors and the app."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gradio.utils import get_upload_folder, is_in_or_equal

from demos.ui.files import bundled, served, uploaded


def test_what_came_with_the_app_is_copied_to_where_visitors_can_fetch_it(tmp_path: Path) -> None:
    (tmp_path / "tower.jpg").write_bytes(b"a picture")
    for path, name in (
        (bundled(tmp_path / "tower.jpg"), "tower.jpg"),
        (bundled(tmp_path / "tower.jpg", "a.jpg"), "a.jpg"),
    ):
        assert is_in_or_equal(path, get_upload_folder()) and Path(path).name == name
        assert Path(path).read_bytes() == b"a picture" == uploaded(path).read_bytes()
    with pytest.raises(FileNotFoundError):
        bundled(tmp_path / "missing.jpg")
    with pytest.raises(ValueError, match="not uploaded"):
        uploaded(tmp_path / "tower.jpg")


def test_visitors_with_the_same_result_at_once_all_get_it_whole() -> None:
    data = bytes(range(256)) * 8000

    def fetched(_: int) -> bytes:
        return Path(served(data, "same.bin").path).read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert all(found == data for found in pool.map(fetched, range(200)))
    (left,) = Path(served(data, "same.bin").path).parent.iterdir()
    assert left.name == "same.bin"
