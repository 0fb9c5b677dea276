"""Where computation happens: device, number format, threads, and one lane per model.

Nothing is chosen at import. `pick_device(None)` follows `ATELIER_DEVICE` (set by `python app.py --device`), else takes
the best device there is.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from demos.core.cancel import check

__all__ = ["Lane", "autocast", "dtype_for", "fast_bf16", "pick_device", "precast", "set_threads"]

Network = TypeVar("Network", bound=nn.Module)

_AVAILABLE: dict[str, Callable[[], bool]] = {
    "cpu": lambda: True,
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
}


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The device called `name`: "cpu", "cuda", "cuda:1", "mps", or None and "auto" for the best there is.

    Raises:
        ValueError: an unknown name, or a device that this machine lacks.
    """
    wanted = str(name or os.environ.get("ATELIER_DEVICE") or "auto").strip().lower()
    if wanted == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if _AVAILABLE[kind]()))
    kind, _, index = wanted.partition(":")
    if kind not in _AVAILABLE or (index and not index.isdigit()):
        raise ValueError(f"There is no device called “{wanted[:40]}”; choose auto, cpu, cuda or mps.")
    if not _AVAILABLE[kind]() or (kind == "cuda" and int(index or 0) >= torch.cuda.device_count()):
        raise ValueError(f"This machine has no device “{wanted}”; choose auto or cpu.")
    return torch.device(wanted)


def fast_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 natively, and so faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(supported and supported())
    return False


def dtype_for(device: torch.device) -> torch.dtype:
    """The format to keep weights in for inference: bfloat16 on recent CUDA devices, float32 elsewhere."""
    return torch.bfloat16 if device.type == "cuda" and fast_bf16(device) else torch.float32


def autocast(device: torch.device | str, enabled: bool = True) -> contextlib.AbstractContextManager[object]:
    """bfloat16 autocast where `device` has it in hardware; elsewhere a context that does nothing."""
    device = torch.device(device)
    if enabled and fast_bf16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def precast(network: Network, device: torch.device | str) -> Network:
    """`network` after its linear layers and convolutions were converted in place, once, to what `autocast` multiplies.

    Autocast converts frozen weights anew in every call, up to a quarter of the time of a small batch; the results are
    the same. From now on the network works inside `autocast(device)` only.
    """
    if fast_bf16(torch.device(device)):
        for part in network.modules():
            if isinstance(part, (nn.Linear, nn.modules.conv._ConvNd)):
                part.to(torch.bfloat16)
    return network


def set_threads(count: int | None = None) -> int:
    """Use `count` CPU threads, by default `OMP_NUM_THREADS`, but at most as many as this process may run on.

    Returns the number in use.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    usual = int(wanted) if wanted.isdecimal() else allowed
    torch.set_num_threads(max(1, min(count or usual, allowed)))
    return torch.get_num_threads()


@dataclass(eq=False)
class _Ticket:
    """A place in the line of a lane."""

    urgent: bool


class Lane:
    """One caller at a time through a model, first come, first served; a caller in the line may give up.

    `with lane.hold(): ...` waits for its turn. With `cancelled`, the wait ends with `Cancelled` as soon as
    `cancelled()` is true. A long job calls `give_way` between its pieces: an `urgent` caller goes through there.
    """

    def __init__(self) -> None:
        self._line: deque[_Ticket] = deque()
        self._moved = threading.Condition()

    @contextlib.contextmanager
    def hold(self, cancelled: Callable[[], bool] | None = None, *, urgent: bool = False) -> Iterator[None]:
        """Hold the lane for the length of the `with` block.

        Raises:
            Cancelled: `cancelled()` became true while waiting.
        """
        ticket = _Ticket(urgent)
        with self._moved:
            self._line.append(ticket)
        try:
            with self._moved:
                while self._line[0] is not ticket:
                    self._moved.wait(0.05 if cancelled else None)
                    check(cancelled)
            check(cancelled)
            yield
        finally:
            with self._moved:
                self._line.remove(ticket)
                self._moved.notify_all()

    def give_way(self) -> None:
        """Let all who are urgent now through, and go on; for whoever holds the lane."""
        with self._moved:
            holder, *waiting = self._line
            first = [ticket for ticket in waiting if ticket.urgent]
            if not first:
                return
            self._line = deque([*first, holder, *(ticket for ticket in waiting if not ticket.urgent)])
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._line[0] is holder)

    @property
    def busy(self) -> bool:
        """Whether somebody holds the lane now."""
        return bool(self._line)
