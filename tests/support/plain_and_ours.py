"""The plain network and ours with the same weights."""

from __future__ import annotations

import torch
from torch import nn

from hanet.conversion.layouts.hanet import is_dead, official_names
from hanet.models import create
from plain_hanet import PlainHANet


def _shaken(network: nn.Module, generator: torch.Generator) -> None:
    """Attention gammas away from zero, batch norm statistics away from their start."""
    for name, tensor in network.state_dict().items():
        if name.endswith("gamma"):
            tensor.fill_(0.3)
        elif name.endswith("running_mean"):
            tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype) * 0.1)
        elif name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) + 0.5)


def plain_and_ours(width: int, dtype: torch.dtype) -> tuple[nn.Module, nn.Module, dict[str, str]]:
    torch.manual_seed(0)
    plain, ours = PlainHANet(width=width).to(dtype), create("hanet", width=width).to(dtype)
    _shaken(plain, torch.Generator().manual_seed(1))
    names = official_names()
    theirs = {name: tensor for name, tensor in plain.state_dict().items() if not is_dead(name)}
    assert set(theirs) == set(names)
    ours.load_state_dict({names[name]: tensor for name, tensor in theirs.items()})
    return plain, ours, names
