"""Checkpoints in the layouts of the HANet authors and of Open-CD, built from the plain network
under their class and module names."""

from __future__ import annotations

import collections
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import plain_hanet
from plain_hanet import PlainHANet


class HAN(PlainHANet):
    """The official network: with the four convolutions that no forward pass uses."""

    def __init__(self, *, width: int = 8, head: str = "official") -> None:
        super().__init__(width=width, head=head)
        for m in (1, 2, 3, 4):
            channels = width * 2 ** (m - 1)
            setattr(self, f"c{m}_conv", nn.Conv2d(channels, channels, kernel_size=3, padding=1))


class HistoryBuffer:
    """As mmengine's: arrays, and functions of its own class in its state."""

    def __init__(self) -> None:
        self._log_history = np.arange(5.0)
        self._count_history = np.ones(5, dtype=np.int64)
        self.statistics_methods = {"mean": HistoryBuffer.mean}

    def mean(self) -> float:
        return float(self._log_history.mean())


def network(*, width: int = 8, head: str = "official", seed: int = 0) -> HAN:
    """A network whose every part matters: gammas off zero, statistics of batch norm off their
    start."""
    torch.manual_seed(seed)
    module = HAN(width=width, head=head)
    generator = torch.Generator().manual_seed(seed + 1)
    for name, tensor in module.state_dict().items():
        if name.endswith("gamma"):
            tensor.fill_(0.3)
        elif name.endswith("running_mean"):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
        elif name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif name.endswith("num_batches_tracked"):
            tensor.fill_(7)
    return module.eval()


@contextmanager
def classes_in(module_name: str, *classes: type, source: Path | None = None) -> Iterator[None]:
    """While it lasts, the classes seem to come from a module of this name; afterwards no such
    module can be imported.

    With a source file the old container quotes it for each class of a network.
    """
    parts = module_name.split(".")
    names = [".".join(parts[: n + 1]) for n in range(len(parts))]
    old = {cls: cls.__module__ for cls in classes}
    modules = {name: types.ModuleType(name) for name in names}
    sys.modules.update(modules)
    if source is not None:
        modules[module_name].__file__ = str(source)
    try:
        for cls in classes:
            cls.__module__ = module_name
            setattr(modules[module_name], cls.__name__, cls)
        yield
    finally:
        for cls, name in old.items():
            cls.__module__ = name
        for name in names:
            del sys.modules[name]


def save_module(
    path: Path,
    module: nn.Module,
    *,
    module_name: str = "models.HANet",
    zipped: bool = True,
    source: bool = True,
) -> None:
    """``torch.save(model, path)`` as the authors do it, every class of the network under
    ``module_name``."""
    plain = [
        value
        for value in vars(plain_hanet).values()
        if isinstance(value, type) and value.__module__ == "plain_hanet"
    ]
    code = path.with_name(f"{module_name}.py")
    code.write_text(
        "\n".join(Path(file).read_text() for file in (str(plain_hanet.__file__), __file__))
    )
    with (
        classes_in(module_name, HAN, *plain, source=code if source else None),
        warnings.catch_warnings(),
    ):
        if not source:
            warnings.filterwarnings("ignore", message="Couldn't retrieve source code")
        torch.save(module, path, _use_new_zipfile_serialization=zipped)


def open_cd_state(module: HAN) -> dict[str, torch.Tensor]:
    """Open-CD's names: the network in a backbone, its classifier in a decode head."""
    state = collections.OrderedDict()
    for name, tensor in module.state_dict().items():
        renamed = (
            name.replace("conv_seg.", "decode_head.conv_seg.")
            if name.startswith("conv_seg.")
            else f"backbone.{name}"
        )
        state[renamed] = tensor
    return state


def save_open_cd(path: Path, module: HAN, *, state_prefix: str = "") -> None:
    """A checkpoint as mmengine's runner writes it, with optimizer, message hub and meta of its own
    classes."""
    state = collections.OrderedDict(
        (f"{state_prefix}{name}", tensor) for name, tensor in open_cd_state(module).items()
    )
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    module.train()(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)).sum().backward()
    saved = {name: tensor.clone() for name, tensor in state.items()}
    optimizer.step()
    content: dict[str, Any] = {
        "meta": {
            "epoch": 1,
            "iter": 40000,
            "cfg": "model = dict(type='DIEncoderDecoder')",
            "dataset_meta": {"classes": ("a", "b")},
        },
        "state_dict": collections.OrderedDict(saved),
        "message_hub": {
            "log_scalars": collections.OrderedDict(loss=HistoryBuffer()),
            "resumed_keys": {"loss": True},
        },
        "optimizer": optimizer.state_dict(),
        "param_schedulers": [{"last_step": 40000, "_enable": True}],
    }
    with classes_in("mmengine.logging.history_buffer", HistoryBuffer):
        torch.save(content, path)
    module.load_state_dict(_back(saved, state_prefix))
    module.eval()


def _back(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix).removeprefix("backbone.").removeprefix("decode_head."): tensor
        for name, tensor in state.items()
    }
