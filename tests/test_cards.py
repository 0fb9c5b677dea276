"""Every shipped checkpoint has a model card and a config that parse; nothing committed is a pickle or too large."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from demos.core.checkpoint import read_header, weight_files

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINTS = sorted(path for path in (ROOT / "checkpoints").glob("*") if path.is_dir())
MAX_FILE_BYTES = 16 * 10**6
MAX_TOTAL_BYTES = 150 * 10**6
PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib"}
SPACE_KEYS = {
    "title",
    "emoji",
    "colorFrom",
    "colorTo",
    "sdk",
    "sdk_version",
    "app_file",
    "license",
    "short_description",
}
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def front_matter(path: Path) -> dict[str, object]:
    """The YAML between the two first `---` lines of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("---\n"), f"{path} must begin with front matter"
    values = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(values, dict)
    return values


def committed() -> list[Path]:
    """The files that git tracks, or every visible file outside of a repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and not any(p[0] == "." for p in path.parts[1:])]


def test_there_are_checkpoints() -> None:
    assert CHECKPOINTS, "checkpoints/ holds no model"


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=lambda path: path.name)
def test_card(folder: Path) -> None:
    card = folder / "README.md"
    values = front_matter(card)
    assert {"license", "tags", "datasets"} & values.keys(), "the card's front matter says too little"
    assert values.get("license")
    text = card.read_text(encoding="utf-8").lower()
    for word in ("data", "licen", "python -m demos.", "seed", "minutes"):
        assert word in text, f"{card} does not mention “{word}”"


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=lambda path: path.name)
def test_configs_and_weights(folder: Path) -> None:
    configs = list(folder.rglob("*.json"))
    assert configs, f"{folder.name} has no config"
    for path in configs:
        assert isinstance(json.loads(path.read_text(encoding="utf-8")), dict | list), path
    folders = {path.parent for path in folder.rglob("*.safetensors")}
    assert folders, f"{folder.name} has no weights"
    for inner in folders:
        assert all(read_header(path) for path in weight_files(inner))


def test_nothing_committed_is_a_pickle_or_too_large() -> None:
    files = committed()
    assert ROOT / "app.py" in files
    assert [path for path in files if path.suffix in PICKLES] == []
    assert [path for path in files if path.stat().st_size > MAX_FILE_BYTES] == []
    weights = [path for path in files if path.is_relative_to(ROOT / "checkpoints")]
    assert sum(path.stat().st_size for path in weights) < MAX_TOTAL_BYTES


def test_the_readme_describes_a_space() -> None:
    values = front_matter(ROOT / "README.md")
    assert values.keys() >= SPACE_KEYS
    assert values["sdk"] == "gradio"
    assert {values["colorFrom"], values["colorTo"]} <= COLOURS
    assert len(str(values["short_description"])) <= 60
    assert (ROOT / str(values["app_file"])).is_file()


def test_the_readme_gives_the_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in ("python app.py", "python -m pytest"):
        assert f"python -m pip install -r requirements.txt && {command}\n" in text
