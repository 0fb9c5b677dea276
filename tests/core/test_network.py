"""The base of all networks: diffusers' mixins, and imports that are hidden from one thread for a while."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from demos.core.checkpoint import load_network
from demos.core.network import ModelMixin, hidden, register_to_config


class Small(ModelMixin):
    @register_to_config
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module that nobody has imported."""
    (tmp_path / "rarely_imported.py").write_text("VALUE = 7\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "rarely_imported"
    sys.modules.pop("rarely_imported", None)


def test_what_is_hidden_is_hidden_from_this_thread_and_for_a_while(module: str) -> None:
    with ThreadPoolExecutor(1) as other, hidden(module):
        with pytest.raises(ImportError, match="hidden"):
            importlib.import_module(module)
        assert other.submit(importlib.import_module, module).result().VALUE == 7
        assert importlib.import_module(module).VALUE == 7, "what somebody has imported is there for all"
    sys.modules.pop(module)
    assert importlib.import_module(module).VALUE == 7


def test_an_error_within_the_block_ends_the_hiding(module: str) -> None:
    with pytest.raises(KeyError), hidden(module):
        raise KeyError
    assert importlib.import_module(module).VALUE == 7


def test_a_network_is_saved_and_loaded_with_its_arguments(tmp_path: Path) -> None:
    network = Small(5)
    network.save_pretrained(tmp_path)
    for again in (Small.from_pretrained(tmp_path), load_network(Small, tmp_path)):
        assert again.config["width"] == 5
        assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_moving_a_network_gives_the_network() -> None:
    network = Small()
    assert network.to("cpu", dtype=torch.float64, memory_format=torch.channels_last) is network
    assert network.layer.weight.dtype == torch.float64
    assert network.layer.weight.is_contiguous(memory_format=torch.channels_last)


def test_loading_draws_no_random_numbers_that_the_weights_replace(tmp_path: Path) -> None:
    Small(5).save_pretrained(tmp_path)
    before = torch.get_rng_state()
    load_network(Small, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert Small(5).layer.weight.std() > 0.1, "a network that is not loaded begins with random weights as ever"
