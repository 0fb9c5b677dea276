"""The base of every network here: `diffusers`' saving, loading and pushing, without what an app does not need of it.

`save_pretrained`, `from_pretrained` and `push_to_hub` work, and networks can be parts of a `DiffusionPipeline`.
Importing `diffusers.ModelMixin` also imports torch's compiler, for a decorator that only compiled models need, and
transformers, for the name of a type; diffusers does without either where there is none. They would be the larger part
of all imports before the first picture, so they are hidden for the moment. Whoever needs them imports them then:
optimisers ask for the compiler, pipelines for transformers.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any

import torch
from torch import nn
from typing_extensions import Self

__all__ = ["ModelMixin", "hidden", "register_to_config"]


class _Hider(MetaPathFinder):
    def __init__(self, name: str) -> None:
        self.name, self.thread = name, threading.get_ident()

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname == self.name and threading.get_ident() == self.thread:
            raise ModuleNotFoundError(f"{fullname} is hidden for now", name=fullname)


@contextmanager
def hidden(name: str) -> Iterator[None]:
    """Importing the module `name`, unless that has happened already, fails in this thread within the block."""
    sys.meta_path.insert(0, hider := _Hider(name))
    try:
        yield
    finally:
        sys.meta_path.remove(hider)


with hidden("torch._dynamo"):
    from diffusers.configuration_utils import ConfigMixin, register_to_config

    with hidden("transformers"):  # only here: diffusers has looked by now whether it is installed
        from diffusers.models import modeling_utils


class ModelMixin(modeling_utils.ModelMixin, ConfigMixin):
    """A `torch` module whose arguments, decorated with `register_to_config`, are its `config`.

    The name is diffusers' because a `DiffusionPipeline` looks for it in the module of each of its parts. `to` and
    `device` are torch's: those of diffusers import the hooks with which it offloads large models.
    """

    def to(self, *args: Any, **kwargs: Any) -> Self:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As `torch.nn.Module.to`."""
        nn.Module.to(self, *args, **kwargs)
        return self

    @property
    def device(self) -> torch.device:
        """Where the first parameter is."""
        return next(self.parameters()).device
