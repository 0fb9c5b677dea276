"""Pictures in uploaded files and zips: what is found, what is refused, and that nothing is unpacked to disk."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from demos.core.archive import entries


def zipped(path: Path, files: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return str(path)


def test_pictures_of_files_and_zips_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"b")
    archive = zipped(
        tmp_path / "a.zip", {"set/z.jpg": b"z", "set/a.jpg": b"a", "__MACOSX/a.jpg": b"", ".DS_Store": b""}
    )
    found = entries([str(tmp_path / "b.png"), archive])
    assert [entry.name for entry in found] == ["b.png", "set/a.jpg", "set/z.jpg"]
    assert [entry.read() for entry in found] == [b"b", b"a", b"z"]


def test_what_cannot_be_read_is_an_entry_with_its_error(tmp_path: Path) -> None:
    good = {"ok.png": b"x", "inner.zip": b"PK", "notes.txt": b"x", "../../evil.png": b"climbs", "labels.csv": b"a,b"}
    found = {e.name: e for e in entries([zipped(tmp_path / "a.zip", good)])}
    assert set(found) == {"ok.png", "inner.zip", "notes.txt", "evil.png"}
    assert "zip inside a zip" in found["inner.zip"].error and "not a picture" in found["notes.txt"].error
    assert found["evil.png"].read() == b"climbs"
    assert not (tmp_path.parent / "evil.png").exists()
    with pytest.raises(ValueError, match="zip inside"):
        found["inner.zip"].read()


def test_a_zip_bomb_is_never_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.zip", {"bomb.png": b"\0" * (21 * 2**20), "ok.png": b"x"})
    found = {e.name: e for e in entries([path])}
    assert "larger than 20 MB" in found["bomb.png"].error and not found["ok.png"].error


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + b"\0" * 17])
def test_a_broken_zip_is_an_entry_with_its_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    (entry,) = entries([str(tmp_path / "a.zip")])
    assert "damaged" in entry.error


def test_a_damaged_member_says_so(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": bytes(range(256)) * 40})
    data = bytearray(Path(path).read_bytes())
    data[60:90] = b"\xff" * 30
    Path(path).write_bytes(data)
    (entry,) = entries([path])
    with pytest.raises(ValueError, match="damaged"):
        entry.read()


def test_nothing_or_too_much(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b")
    for files in ([], [str(tmp_path / "a.csv")]):
        with pytest.raises(ValueError, match="Drop some pictures"):
            entries(files)
    path = zipped(tmp_path / "a.zip", {f"{i}.png": b"x" for i in range(3)})
    assert len(entries([path], most=3)) == 3
    with pytest.raises(ValueError, match="at most 2"):
        entries([path], most=2)
    with pytest.raises(ValueError, match="At most 5"):
        entries([path, path], most=5)
