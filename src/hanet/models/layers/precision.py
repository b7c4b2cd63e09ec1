"""Mixed precision: a network run in it, and where it pays: on processors that multiply matrices in
bfloat16."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InBfloat16(nn.Module):
    """A network under autocast to bfloat16 on the CPU, its result in float32.

    The attentions too: with channel attention, or the others, or all in float32 the mean difference
    of probability stays the same 0.0005 (``hanet`` after 900 steps of training, 20 tiles of
    LEVIR-CD's val, AMX, 2026-11-25).

    Args:
        network: Gives one tensor of two, or several.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor | tuple[Tensor, ...]:  # (B, C, H, W) twice -> what the network gives, float32
        """The network's result."""
        with torch.autocast("cpu", torch.bfloat16):
            result: Tensor | tuple[Tensor, ...] = self.network(before, after)
        return (
            tuple(part.float() for part in result) if isinstance(result, tuple) else result.float()
        )


def has_bfloat16() -> bool:
    """Whether this CPU has instructions for products in bfloat16 that we know of: AVX-512 BF16 or
    AMX."""
    return _has("avx512_bf16") or _has("amx_bf16")


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether autocast to bfloat16 is on, on a CPU with instructions for matrix products in it
    (AMX: Intel Xeon since 2023).

    On others bfloat16 only stores numbers; a form that does more work to be a matrix product gains
    nothing there.
    """
    if device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    return torch.get_autocast_dtype("cpu") == torch.bfloat16 and _has("amx_bf16")


def _has(instructions: str) -> bool:
    """Whether torch knows this CPU to have them; releases that do not say are taken for "no"."""
    return hasattr(torch.cpu, "get_capabilities") and bool(
        torch.cpu.get_capabilities().get(instructions)
    )
