"""How soon the six families have learnt the moons, and how many frames a second are shown meanwhile.

    python -m benchmarks.playground

One visitor's session trains as on the page: a thread trains, another draws frames and renews the figures that the table
shows, and a browser, where there is one, draws them. A family has learnt the moons when 1,000 samples of it lie within
`GOAL` of as many real points by sliced Wasserstein distance. A Gaussian with the data's own mean and covariance is
printed for comparison, and so are two sets of real points.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

import app
from benchmarks.chromium import chromium
from benchmarks.timing import machine, table
from demos.lab import tab
from demos.lab.figures import sliced_wasserstein
from demos.lab.learners import FAMILIES
from demos.lab.playground import Session, Settings
from demos.lab.tab.handlers import PERIOD_S, REST_S
from demos.lab.trainer import Trainer, compute_alone

__all__ = ["GOAL", "learn", "main", "watch_page"]

GOAL = 0.08


def gaussian_distance(session: Session) -> float:
    """What a Gaussian with the mean and covariance of the held-out points reaches."""
    held = session.held
    factor = torch.linalg.cholesky(held.T.cov())
    noise = torch.randn(len(held) // 2, 2, generator=torch.Generator().manual_seed(0))
    return sliced_wasserstein(held.mean(0) + noise @ factor.T, held[len(held) // 2 :])


def learn(session: Session, seconds: float, goal: float = GOAL) -> tuple[dict[str, float], float, float]:
    """Train and draw frames until every family is within `goal`, or for so many seconds.

    Returns:
        Seconds until each family's figure was within the goal, without those that never were; frames a second; and
        seconds of processor time for each second.
    """
    trainer, reached = Trainer(), {}
    start, worked, frames = time.perf_counter(), time.process_time(), 0
    with ThreadPoolExecutor(1, initializer=compute_alone) as painter:
        trainer.join(session)
        while len(reached) < len(session.learners) and time.perf_counter() - start < seconds:
            begun = time.perf_counter()
            families = painter.submit(session.frame).result()["families"]
            frames, now = frames + 1, time.perf_counter()
            for name, part in families.items():
                distance = (part["figures"] or {}).get("distance")
                if distance is not None and distance <= goal:
                    reached.setdefault(name, now - start)
            time.sleep(max(REST_S, PERIOD_S - (now - begun)))
    trainer.leave(session)
    took = time.perf_counter() - start
    return reached, frames / took, (time.process_time() - worked) / took


def watch_page(browser: Any, url: str, seconds: float) -> float:
    """Frames a second that a page draws on average while it trains."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(120_000)
    page.goto(url)
    state = "window.atelierLab?.['lab-stage']?.state"
    page.wait_for_function(f"{state}?.families.score?.steps > 0")
    rates, until = [], time.monotonic() + seconds
    while time.monotonic() < until and page.evaluate(f"{state}.state") == "training":
        page.wait_for_timeout(1000)
        rates.append(page.evaluate("window.atelierLab['lab-stage'].rate()"))
    page.close()
    return sum(rates[2:]) / max(1, len(rates) - 2)


def shown(seconds: float, serve: Callable[..., Any] = app.serve) -> float | None:
    """Frames a second in a browser; None where there is none."""
    page = app.build((tab,))
    options = vars(app.parse(["--host", "127.0.0.1", "--log-level", "warning"]))
    _, url, _ = serve(page, **options, prevent_thread_lock=True, quiet=True)
    try:
        with chromium() as browser:
            return None if browser is None else watch_page(browser, url, seconds)
    finally:
        page.close()


def main() -> None:
    """Read the options, measure, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.playground", description="Six families on the moons.")
    parser.add_argument("--seconds", type=float, default=60, help="give up after so long")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    where = machine()
    session = Session(Settings(seed=options.seed))
    reached, rate, busy = learn(session, options.seconds)
    rows = []
    for name, learner in session.learners.items():
        seconds = f"{reached[name]:.1f} s" if name in reached else "not reached"
        rows.append((FAMILIES[name].title, seconds, str(learner.steps), f"{learner.seconds:.1f} s"))
    every = f"{max(reached.values()):.1f} s" if len(reached) == len(session.learners) else "not reached"
    rows += [("All six", every, "", ""), ("Frames a second, drawn on the server", f"{rate:.1f}", "", "")]
    if (page_rate := shown(15)) is not None:
        rows.append(("Frames a second, shown in a browser", f"{page_rate:.1f}", "", ""))
    print(
        table(
            (f"within {GOAL} of real points", "after", "steps", "training"),
            rows,
            f"Two sets of real points: {session.floor:.3f}; a Gaussian with their moments: "
            f"{gaussian_distance(session):.3f}. Processor time: {busy:.2f} s a second.",
            where,
        )
    )


if __name__ == "__main__":
    main()
