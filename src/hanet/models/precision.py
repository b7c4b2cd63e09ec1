"""Where mixed precision must not reach, and where it pays: on processors that multiply matrices in bfloat16."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def convolve_in_full_precision(convolution: nn.Module, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C_out, H, W)
    """The convolution, in float32 also under autocast; without autocast it is the convolution and nothing else.

    In bfloat16 and channels-last memory, grouped convolutions of dilation 3 and 4 gave NaN gradients on the CPU, and once a crash
    (torch 2.13, 2026-11; HANET.md section 6).
    """
    device = features.device.type
    if not torch.is_autocast_enabled(device):
        convolved: Tensor = convolution(features)
        return convolved
    with torch.autocast(device, enabled=False):
        convolved = convolution(features.float())
    return convolved


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether autocast to bfloat16 is on, on a CPU with instructions for matrix products in it (AMX: Intel Xeon since 2023).

    On others bfloat16 only stores numbers; a form that does more work to be a matrix product gains nothing there.
    """
    if device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    return torch.get_autocast_dtype("cpu") == torch.bfloat16 and bool(torch.cpu.get_capabilities().get("amx_bf16"))
