"""The exact engine on the page: previews as it goes, the time left, Stop and Continue."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from demos.core.cancel import Cancelled
from demos.style.tab import sources
from demos.style.tab.handlers import GALLERY, MIX, PART, Request, Shown, framed, masks, opened
from demos.ui.controls import bar, remember
from demos.ui.events import JOBS, Step, guard, stream

if TYPE_CHECKING:
    from demos.style.model import Unfinished

__all__ = ["Run", "begin", "go_on"]

NEEDED = (
    "The exact engine works with patches of a style's picture, and a preset is only a code: "
    "choose a picture in “Picture”, or draw one in “Drawing”."
)


@dataclass
class Run:
    """A run of the exact engine: what was asked for, and how far it came; one a visitor, kept on the server."""

    request: Request
    keep: float
    size: int
    state: "Unfinished" = field(repr=False)


@guard
def begin(page: gr.Request, kept: list[Any], keep: float, size: int, *inputs: Any) -> Iterator[tuple[Any, ...]]:
    """Rebuild the picture from the beginning."""
    from demos.style.model import Unfinished

    request = Request.of(*inputs)
    if request.source in (GALLERY, MIX):
        raise ValueError(NEEDED)
    sentence = request.missing()
    if sentence:
        raise ValueError(sentence)
    yield from _work(page, kept, Run(request, keep, int(size), Unfinished()))


@guard
def go_on(page: gr.Request, kept: list[Any], run: Run | None) -> Iterator[tuple[Any, ...]]:
    """Go on where the last run was stopped."""
    if run is None or run.state.pixels is None:
        raise ValueError("There is nothing to go on with; press “Rebuild exactly” first.")
    if run.state.finished:
        raise ValueError("The last run is finished; press “Rebuild exactly” for another.")
    yield from _work(page, kept, run)


def _work(page: gr.Request, kept: list[Any], run: Run) -> Iterator[tuple[Any, ...]]:
    """Frame, note, bar, shown, run, kept, session."""
    request, content = run.request, opened(run.request.content)
    mask = masks(request.mask, content.size)[0] if request.where == PART else None
    ((style, _),) = request.mix()
    begun, first, before, last = time.monotonic(), run.state.step, content, None
    yield gr.skip(), "The exact engine begins…", bar(run.state.step, 100, "Beginning"), None, run, gr.skip(), gr.skip()

    def job(on_step: Any) -> Any:
        return sources.model().rebuild(
            content, style, keep=run.keep, mask=mask, size=run.size, state=run.state, on_step=on_step,
            **request.options(),
        )  # fmt: skip

    try:
        with JOBS.running(page, "style") as token:
            for event in stream(job, token):
                if isinstance(event, Step):
                    if before.size != event.preview.size:
                        before = content.resize(event.preview.size, Image.Resampling.LANCZOS)
                    last, left = event.preview, _left(event, first, time.monotonic() - begun)
                    yield framed(before, last), gr.skip(), bar(event.i, event.n, left), *[gr.skip()] * 4
                    continue
                made = event.value
                note = f"Rebuilt exactly from {request.title()} · {made.picture.width} × {made.picture.height} px"
                note += f" · seed {made.seed} · {time.monotonic() - begun:.0f} s"
                kept = remember(kept, [made.picture])
                shown = Shown(made.picture, made.seed)
                yield framed(made.content, made.picture), note, bar(None), shown, run, kept, kept
    except Cancelled:
        state = run.state
        word = f"after {state.step} of {state.steps} steps" if state.steps else "before the first step was done"
        shown = Shown(last, request.seed) if last is not None else None
        yield gr.skip(), f"Stopped {word}; “Continue” goes on.", bar(None), shown, run, gr.skip(), gr.skip()


def _left(step: Step, first: int, seconds: float) -> str:
    """How long it will take, from the pixels that the steps still have to go through."""
    from demos.style import exact

    size = step.preview.size
    costs = [r.height * r.width for r in exact.plan(size[1], size[0])]
    costs += [size[0] * size[1]] * (step.n - len(costs))
    left = seconds * sum(costs[step.i :]) / max(1, sum(costs[first : step.i]))
    return f"Step {step.i} of {step.n}, about {left:.0f} s left"
