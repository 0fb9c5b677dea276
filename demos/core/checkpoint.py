"""Checkpoints on disk: found, verified before a byte of weights is used, written so that a kill leaves the old ones.

A safetensors file is eight bytes with the length of a JSON header, the header (name to dtype, shape, place), then the
numbers. Everything is checked against the header before loading: a corrupt or hostile file ends in a `ValueError` with
one sentence, never in a crash or in half-loaded weights. Format: https://github.com/huggingface/safetensors
"""

import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from demos.core.atomic import atomic
from demos.core.network import ModelMixin

__all__ = [
    "MAX_SHARD_BYTES",
    "ROOT",
    "TensorSpec",
    "find",
    "load_network",
    "load_weights",
    "read_config",
    "read_header",
    "save_weights",
    "verify",
    "weight_files",
]

Network = TypeVar("Network", bound=ModelMixin)
ROOT = Path(__file__).resolve().parents[2] / "checkpoints"
MAX_SHARD_BYTES = 15_000_000

_MAX_HEADER_BYTES = 16 * 2**20
_BITS = {
    "F64": 64,
    "F32": 32,
    "F16": 16,
    "BF16": 16,
    "I64": 64,
    "I32": 32,
    "I16": 16,
    "I8": 8,
    "U8": 8,
    "BOOL": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
}


@dataclass(frozen=True)
class TensorSpec:
    """What a header says of one tensor."""

    dtype: str
    shape: tuple[int, ...]


def find(checkpoint: str | os.PathLike[str], root: Path = ROOT) -> Path:
    """The folder of a checkpoint: a name below `checkpoints/` (looked up first), or a path to any folder.

    Raises:
        ValueError: there is no such folder.
    """
    given = Path(checkpoint)
    below = root / (given.relative_to("checkpoints") if given.parts[:1] == ("checkpoints",) else given)
    for folder in (below, given):
        if folder.is_dir():
            return folder.resolve()
    raise ValueError(f"There is no checkpoint “{checkpoint}”: neither a folder nor a name in {root.name}/.")


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """The settings in `folder/config.json`.

    Raises:
        ValueError: missing, or not a JSON object.
    """
    try:
        config = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise ValueError(f"{folder.name}/{name} is missing or is not valid JSON.") from None
    if not isinstance(config, dict):
        raise ValueError(f"{folder.name}/{name} must hold a JSON object.")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: the shards that its index names, or its only file.

    Raises:
        ValueError: none, several without an index, or an index that names a missing file or one outside the folder.
    """
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if not indices:
        files = sorted(folder.glob("*.safetensors"))
        if len(files) != 1:
            raise ValueError(f"{folder.name}/ must hold one safetensors file or an index; it holds {len(files)} files.")
        return files
    places = read_config(folder, indices[0].name).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise ValueError(f"{folder.name}/{indices[0].name} has no usable weight_map.")
    names = sorted(set(places.values()))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors") or not (folder / name).is_file():
            raise ValueError(f"{folder.name}/{indices[0].name} names “{name[:80]}”, which is not a file beside it.")
    return [folder / name for name in names]


def read_header(path: Path) -> dict[str, TensorSpec]:
    """Names, formats and shapes of the tensors in a safetensors file, checked against the file's length.

    Raises:
        ValueError: not a safetensors file, cut off, or with tensors that overlap or lie outside the file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
                raise ValueError
            header = json.loads(file.read(length).decode("utf-8"))
        header.pop("__metadata__", None)
        specs, spans = {}, []
        for name, entry in header.items():
            shape = tuple(entry["shape"])
            begin, end = entry["data_offsets"]
            if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
                raise ValueError
            if (end - begin) * 8 != math.prod(shape) * _BITS[entry["dtype"]]:
                raise ValueError
            specs[name] = TensorSpec(entry["dtype"], shape)
            spans.append((begin, end))
        edges = [0, *(edge for span in sorted(spans) for edge in span), size - 8 - length]
        if any(edges[i] != edges[i + 1] for i in range(0, len(edges), 2)):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{path.name} is damaged or is not a safetensors file.") from None
    return specs


def verify(files: list[Path], expected: nn.Module | Mapping[str, Tensor]) -> None:
    """Check that `files` together hold exactly the tensors of `expected`, each with its shape.

    Raises:
        ValueError: a damaged file, or a tensor that is missing, superfluous, twice there, of another shape or kind.
    """
    wanted = expected.state_dict() if isinstance(expected, nn.Module) else expected
    found: dict[str, TensorSpec] = {}
    for path in files:
        specs = read_header(path)
        twice = sorted(found.keys() & specs.keys())
        if twice:
            raise ValueError(f"{path.name} repeats the tensor “{twice[0]}”.")
        found |= specs
    where = files[0].parent.name if files else "The checkpoint"
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing:
        raise ValueError(f"{where} lacks {len(missing)} tensors of this network, for example “{missing[0][:80]}”.")
    if extra:
        raise ValueError(f"{where} holds {len(extra)} tensors unknown to this network, such as “{extra[0][:80]}”.")
    for name, tensor in wanted.items():
        spec = found[name]
        if spec.shape != tuple(tensor.shape):
            raise ValueError(
                f"{where}: “{name}” has the shape {spec.shape}, the network expects {tuple(tensor.shape)}."
            )
        if tensor.is_floating_point() != ("F" in spec.dtype):
            raise ValueError(f"{where}: “{name}” has the format {spec.dtype}, the network expects {tensor.dtype}.")


def load_weights(module: nn.Module, folder: Path) -> None:
    """Verify the weights in `folder` against `module`, then copy them in, converted to the module's own formats.

    Raises:
        ValueError: as `weight_files` and `verify`, or a weight that is not a finite number; `module` is unchanged then.
    """
    files = weight_files(folder)
    verify(files, module)
    state: dict[str, Tensor] = {}
    for path in files:
        try:
            state |= load_file(path)
        except Exception:
            raise ValueError(f"{path.name} is damaged or is not a safetensors file.") from None
    bad = next((name for name, tensor in state.items() if not torch.isfinite(tensor.float()).all()), None)
    if bad is not None:
        raise ValueError(f"{folder.name}: “{bad}” holds numbers that are not finite.")
    module.load_state_dict(state)


class _Unfilled(TorchFunctionMode):
    """Parameters made in this thread are not filled with the random numbers that a checkpoint's replace at once."""

    FILLS = {nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_}

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return kwargs["tensor"] if function in self.FILLS else function(*args, **(kwargs or {}))


def load_network(kind: type[Network], folder: Path, device: str | torch.device = "cpu") -> Network:
    """A frozen network in evaluation and float32, from config.json and safetensors in `folder`.

    Raises:
        ValueError: the folder is damaged or holds something else.
    """
    with _Unfilled():
        network: Any = kind.from_config(read_config(folder))
    load_weights(network, folder)
    return network.float().eval().requires_grad_(False).to(device)


def save_weights(
    state: nn.Module | Mapping[str, Tensor],
    folder: Path,
    *,
    config: Mapping[str, Any] | None = None,
    stem: str = "model",
    dtype: torch.dtype | None = None,
    max_bytes: int = MAX_SHARD_BYTES,
) -> list[Path]:
    """Write weights, and `config` as config.json, into `folder`; every file appears complete or not at all.

    Floating-point tensors are converted to `dtype` if given. Above `max_bytes` the weights are split into
    `stem-00001-of-0000n.safetensors` and an index, Hugging Face's layout. Files of an older layout are removed last.
    """
    tensors = {
        name: tensor.detach().to("cpu", dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype)
        for name, tensor in (state.state_dict() if isinstance(state, nn.Module) else state).items()
    }
    shards: list[dict[str, Tensor]] = [{}]
    room = max_bytes
    for name, tensor in tensors.items():
        if shards[-1] and tensor.nbytes > room:
            shards.append({})
            room = max_bytes
        shards[-1][name] = tensor.clone(memory_format=torch.contiguous_format)
        room -= tensor.nbytes
    single = len(shards) == 1
    index = folder / f"{stem}.safetensors.index.json"
    names = [
        f"{stem}.safetensors" if single else f"{stem}-{i:05d}-of-{len(shards):05d}.safetensors"
        for i in range(1, len(shards) + 1)
    ]
    for name, shard in zip(names, shards, strict=True):
        with atomic(folder / name) as part:
            save_file(shard, part, metadata={"format": "pt"})
    if single:
        index.unlink(missing_ok=True)
    else:
        places = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        total = sum(tensor.nbytes for tensor in tensors.values())
        _write_json(index, {"metadata": {"total_size": total}, "weight_map": places})
    if config is not None:
        _write_json(folder / "config.json", config)
    for old in folder.glob(f"{stem}*.safetensors"):
        if old.name not in names:
            old.unlink()
    return [folder / name for name in names]


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    with atomic(path) as part:
        part.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
