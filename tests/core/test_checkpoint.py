"""Checkpoints: round trips, shards, and that damaged or hostile files end in a sentence."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from demos.core import checkpoint
from demos.core.atomic import atomic
from demos.core.checkpoint import (
    find,
    load_weights,
    read_config,
    read_header,
    save_weights,
    verify,
    weight_files,
)


def _net(seed: int = 0, width: int = 6) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def _same(a: nn.Module, b: nn.Module) -> bool:
    x, y = a.state_dict(), b.state_dict()
    return x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x)


@pytest.mark.parametrize(("max_bytes", "count"), [(checkpoint.MAX_SHARD_BYTES, 1), (100, 3)])
def test_round_trip(tmp_path: Path, max_bytes: int, count: int) -> None:
    net, other = _net(0), _net(1)
    files = save_weights(net, tmp_path, config={"width": 6}, max_bytes=max_bytes)
    assert len(files) == count
    assert files == weight_files(tmp_path)
    assert read_config(tmp_path) == {"width": 6}
    assert not _same(net, other)
    load_weights(other, tmp_path)
    assert _same(net, other)


def test_smaller_format_keeps_integers(tmp_path: Path) -> None:
    net = _net()
    save_weights(net, tmp_path, dtype=torch.bfloat16)
    header = read_header(tmp_path / "model.safetensors")
    assert header["0.weight"].dtype == "BF16"
    assert header["1.num_batches_tracked"].dtype == "I64"
    other = _net(1)
    load_weights(other, tmp_path)
    assert other.state_dict()["0.weight"].dtype is torch.float32
    assert torch.equal(other.state_dict()["0.weight"], net.state_dict()["0.weight"].bfloat16().float())


def test_changing_the_number_of_shards_leaves_no_old_files(tmp_path: Path) -> None:
    save_weights(_net(), tmp_path, max_bytes=100)
    save_weights(_net(1), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_shared_tensors_are_saved(tmp_path: Path) -> None:
    tensor = torch.arange(6.0).view(2, 3)
    save_weights({"a": tensor, "b": tensor.T}, tmp_path)
    assert read_header(tmp_path / "model.safetensors")["b"].shape == (3, 2)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "state.bin"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic(target) as part:
        part.write_bytes(b"half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["state.bin"]
    assert target.read_bytes() == b"old"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A folder with a checkpoint of `_net()`."""
    save_weights(_net(), tmp_path)
    return tmp_path


def _with_header(data: bytes, change: Callable[[dict], object]) -> bytes:
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "short": lambda _: b"\x01\x02",
    "text": lambda _: b"hello, this is no safetensors file at all",
    "cut off": lambda data: data[:-1],
    "trailing": lambda data: data + b"\0",
    "huge header": lambda data: struct.pack("<Q", 2**63) + data[8:],
    "no json": lambda data: data[:8] + b"\xff" * (len(data) - 8),
    "list": lambda _: struct.pack("<Q", 2) + b"[]",
    "nested": lambda _: struct.pack("<Q", 200_000) + b"[" * 200_000,
    "pickle": lambda _: b"\x80\x04\x95" + b"\0" * 64,
    "outside": lambda data: _with_header(data, lambda h: h["0.bias"].update(data_offsets=[10**9, 10**9 + 24])),
    "negative": lambda data: _with_header(data, lambda h: h["0.bias"].update(data_offsets=[-24, 0])),
    "overlap": lambda data: _with_header(data, lambda h: h["0.bias"].update(data_offsets=h["2.bias"]["data_offsets"])),
    "wrong size": lambda data: _with_header(data, lambda h: h["0.bias"].update(shape=[7])),
    "bool shape": lambda data: _with_header(data, lambda h: h["0.bias"].update(shape=[True, 6])),
    "unknown kind": lambda data: _with_header(data, lambda h: h["0.bias"].update(dtype="Q7")),
    "no place": lambda data: _with_header(data, lambda h: h["0.bias"].pop("data_offsets")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_refused(good: Path, damage: str) -> None:
    path = good / "model.safetensors"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    net = _net(1)
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged or is not a safetensors file"):
        load_weights(net, good)
    assert _same(net, _net(1))


def test_a_header_that_only_reads_well_is_still_accepted(good: Path) -> None:
    path = good / "model.safetensors"
    path.write_bytes(_with_header(path.read_bytes(), lambda h: h["__metadata__"].update(note="x")))
    load_weights(_net(1), good)


@pytest.mark.parametrize(
    ("net", "sentence"),
    [
        (nn.Sequential(nn.Linear(5, 6)), "unknown to this network"),
        (nn.Sequential(*_net(), nn.Linear(2, 2)), "lacks 2 tensors"),
        (_net(width=7), "has the shape"),
        ({name: tensor.int() for name, tensor in _net().state_dict().items()}, "has the format"),
    ],
    ids=["extra", "missing", "shape", "format"],
)
def test_weights_of_another_network_are_refused(
    good: Path, net: nn.Module | dict[str, torch.Tensor], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        verify(weight_files(good), net)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    net = _net()
    net.state_dict()["0.weight"][0, 0] = float("nan")
    save_weights(net, tmp_path)
    with pytest.raises(ValueError, match=r"“0\.weight” holds numbers that are not finite"):
        load_weights(_net(), tmp_path)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "gone.safetensors", "weights.bin"])
def test_an_index_cannot_point_elsewhere(good: Path, name: str) -> None:
    (good / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"0.bias": name}}))
    with pytest.raises(ValueError, match="not a file beside it"):
        weight_files(good)


def test_find(tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere" / "sketch").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "checkpoints" / "sketch").mkdir(parents=True)
    root = tmp_path / "checkpoints"
    assert find("sketch", root) == find("checkpoints/sketch", root) == (root / "sketch").resolve()
    assert find(good) == good.resolve()
    with pytest.raises(ValueError, match="no checkpoint “nothing”"):
        find("nothing", root)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000], ids=["empty", "list", "cut off", "nested"])
def test_bad_configs_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json"):
        read_config(tmp_path)
