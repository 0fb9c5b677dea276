"""The layer rule: `app -> tab -> {model, ui}`, `model -> families -> core`, and nothing heavy when the app starts."""

import ast
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = {"core", "families", "ui"}
FILES = sorted(path.relative_to(ROOT) for path in (ROOT / "demos").rglob("*.py"))
HEAVY = ("torch", "diffusers", "transformers", "accelerate", "scipy", "skimage", "matplotlib")


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at any depth, with dots."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(name: str) -> str:
    """The layer of a dotted module: core, families, ui, tab, model (the rest of a use case), app or other."""
    parts = name.split(".")
    if parts[0] == "app":
        return "app"
    if parts[0] != "demos" or len(parts) < 3:
        return "other"
    if parts[1] in SHARED:
        return parts[1]
    return "tab" if parts[2] == "tab" else "model"


ALLOWED = {
    "core": {"core"},
    "families": {"core", "families"},
    "ui": {"core", "ui"},
    "model": {"core", "families", "model"},
    "tab": {"core", "families", "model", "ui", "tab"},
}


def broken(path: Path, imported: set[str]) -> list[str]:
    """The imports of `path` that the rule forbids."""
    name = ".".join(path.with_suffix("").parts)
    mine, package = layer(name), path.parts[1]
    bad = []
    for other in sorted(imported):
        theirs, parts = layer(other), other.split(".")
        crosses = theirs in ("model", "tab") and parts[1] != package
        sibling = mine == theirs == "families" and parts[2] != Path(path.parts[2]).stem
        if theirs != "other" and mine in ALLOWED and (theirs not in ALLOWED[mine] or crosses or sibling):
            bad.append(other)
        if parts[0] == "gradio" and mine not in ("ui", "tab"):
            bad.append(other)
    return bad


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_downwards(path: Path) -> None:
    assert broken(path, imports(path)) == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("demos/core/fit.py", "demos.families.score"),
        ("demos/core/fit.py", "demos.ui.events"),
        ("demos/families/flow.py", "demos.families.vae"),
        ("demos/families/flow.py", "demos.sketch.model"),
        ("demos/sketch/model.py", "demos.audio.model"),
        ("demos/sketch/tab.py", "demos.audio.tab"),
        ("demos/sketch/model.py", "demos.sketch.tab"),
        ("demos/sketch/model.py", "demos.ui.controls"),
        ("demos/sketch/model.py", "gradio"),
        ("demos/core/media.py", "gradio.utils"),
        ("demos/ui/controls.py", "demos.sketch.model"),
        ("demos/ui/controls.py", "demos.families.flow"),
        ("demos/sketch/model.py", "app.build"),
    ],
)
def test_the_rule_notices(path: str, name: str) -> None:
    assert broken(Path(path), {name}) == [name]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("demos/sketch/tab.py", "gradio"),
        ("demos/sketch/tab.py", "demos.sketch.model.Model"),
        ("demos/sketch/model.py", "demos.families.flow"),
        ("demos/families/flow.py", "demos.core.fit"),
        ("demos/families/score/net.py", "demos.families.score.solver"),
        ("demos/ui/events.py", "demos.core.cancel"),
    ],
)
def test_the_rule_permits(path: str, name: str) -> None:
    assert broken(Path(path), {name}) == []


def imported(code: str, names: Collection[str]) -> str:
    """Which of the modules a fresh interpreter has imported after `code`."""
    code = f"{code}; import sys; print(sorted(set({names}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_starting_the_app_imports_nothing_heavy() -> None:
    assert imported("import app; app.build()", HEAVY) == "[]"


def test_the_first_picture_waits_only_for_what_it_needs() -> None:
    draw = "from demos.core.strokes import Drawing; from demos.sketch.model import Settings, SketchModel; "
    draw += "SketchModel.load().draw(Drawing(), Settings('cat', steps=2))"
    pipelines = {"diffusers.pipelines.pipeline_utils", "diffusers.hooks", "transformers"}
    asked = pipelines | {"diffusers", "torch._dynamo", "scipy.ndimage", "skimage"}
    assert imported(draw, asked) == "['diffusers']"


def test_app_is_short() -> None:
    assert len((ROOT / "app.py").read_text(encoding="utf-8").splitlines()) <= 60
