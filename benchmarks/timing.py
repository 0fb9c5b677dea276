"""What all benchmarks share: repeat, take the median, print a Markdown table with the machine it was made on."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

__all__ = ["figures", "machine", "measure", "quantile", "table"]


def measure(job: Callable[[], object], runs: int, warmup: int = 1) -> list[float]:
    """Seconds that each of `runs` calls takes, after `warmup` calls that don't count."""
    for _ in range(warmup):
        job()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - start)
    return seconds


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all values lie, interpolated; NaN if there are none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def figures(values: Sequence[float], unit: str = "s", digits: int = 3) -> tuple[str, str, str]:
    """Median, 90 % quantile and number of runs, as cells of a table."""
    median, most = (f"{quantile(values, share):.{digits}f} {unit}" for share in (0.5, 0.9))
    return median, most, str(len(values))


def machine() -> str:
    """The processor, its cores that this process may use, torch, and how busy the machine is right now."""
    names = [platform.processor() or platform.machine()]
    if (info := Path("/proc/cpuinfo")).exists():
        names += [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line][:1]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f} before the start" if hasattr(os, "getloadavg") else ""
    return f"{names[-1]}, {cores} cores, torch {version('torch')}{load}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *notes: str) -> str:
    """A Markdown table with notes below it."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), *(f"\n{note}" for note in notes)])
