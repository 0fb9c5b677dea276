"""Devices by name, and the lane that lets one caller compute at a time."""

import threading
import time

import pytest
import torch
from torch import nn

from demos.core import device
from demos.core.cancel import Cancelled
from demos.core.device import Lane, autocast, dtype_for, pick_device, precast, set_threads

CPU = torch.device("cpu")


def test_cpu_by_name_and_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_device("CPU") == CPU
    monkeypatch.setenv("ATELIER_DEVICE", "cpu")
    assert pick_device() == CPU


def test_auto_prefers_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATELIER_DEVICE", raising=False)
    monkeypatch.setattr(device, "_AVAILABLE", {"cpu": lambda: True, "cuda": lambda: False, "mps": lambda: True})
    assert pick_device("auto").type == "mps"
    monkeypatch.setattr(device, "_AVAILABLE", dict.fromkeys(("cuda", "mps"), lambda: False) | {"cpu": lambda: True})
    assert pick_device("auto") == CPU


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "cpu;rm", "gpu"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="choose auto, cpu, cuda or mps"):
        pick_device(name)


def test_missing_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_AVAILABLE", dict.fromkeys(("cuda", "mps", "cpu"), lambda: False))
    with pytest.raises(ValueError, match="This machine has no device"):
        pick_device("cuda")


def test_number_format_and_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dtype_for(CPU) is torch.float32
    a = torch.ones(4, 4)
    for fast, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(device, "fast_bf16", lambda _, fast=fast: fast)
        with autocast(CPU):
            assert (a @ a).dtype is expected
    monkeypatch.setattr(device, "fast_bf16", lambda _: True)
    with autocast(CPU, enabled=False):
        assert (a @ a).dtype is torch.float32


@pytest.mark.parametrize("fast", [True, False])
def test_weights_converted_ahead_change_no_result(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr(device, "fast_bf16", lambda _: fast)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(3, 8, 3), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(8 * 6, 4))
    x = torch.randn(2, 3, 8)
    with torch.no_grad(), autocast(CPU):
        before = network(x)
        after = precast(network, CPU)(x)
    assert before.dtype == after.dtype and torch.equal(before, after)
    kinds = [p.dtype for p in network.parameters()]
    multiplied = torch.bfloat16 if fast else torch.float32
    assert kinds == [multiplied] * 2 + [torch.float32] * 2 + [multiplied] * 2


def test_threads_are_bounded_and_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        assert set_threads(1) == 1
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        assert set_threads(10**6) == set_threads()
        for text, count in (("1", 1), ("100000", set_threads()), ("4,2", set_threads()), ("0", 1)):
            monkeypatch.setenv("OMP_NUM_THREADS", text)
            assert set_threads() == count, text
    finally:
        torch.set_num_threads(before)


def test_lane_admits_one_at_a_time() -> None:
    lane, inside, most = Lane(), [], []

    def work() -> None:
        with lane.hold():
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5
    assert not lane.busy


def test_who_comes_first_is_served_first() -> None:
    lane, served, threads = Lane(), [], []

    def work(i: int) -> None:
        with lane.hold((lambda: False) if i % 2 else None):
            served.append(i)

    with lane.hold():
        for i in range(8):
            threads.append(threading.Thread(target=work, args=(i,)))
            threads[-1].start()
            time.sleep(0.03)
    for thread in threads:
        thread.join()
    assert served == list(range(8))


def test_the_urgent_pass_a_long_job_where_it_gives_way() -> None:
    lane, served, threads = Lane(), [], []

    def work(i: int) -> None:
        with lane.hold(urgent=i % 2 > 0):
            served.append(i)

    with lane.hold():
        lane.give_way()
        for i in range(6):
            threads.append(threading.Thread(target=work, args=(i,)))
            threads[-1].start()
            time.sleep(0.03)
        assert served == []
        lane.give_way()
        assert served == [1, 3, 5]
    for thread in threads:
        thread.join()
    assert served == [1, 3, 5, 0, 2, 4]


def test_waiting_can_be_given_up() -> None:
    lane, stop = Lane(), threading.Event()
    threading.Timer(0.1, stop.set).start()
    with lane.hold(), pytest.raises(Cancelled), lane.hold(stop.is_set):
        pytest.fail("two callers hold the lane")
    assert not lane.busy


def test_lane_is_free_after_an_error() -> None:
    lane = Lane()
    with pytest.raises(RuntimeError), lane.hold():
        raise RuntimeError
    assert not lane.busy
