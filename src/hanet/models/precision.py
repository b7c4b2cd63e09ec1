"""Where mixed precision must not reach: grouped dilated convolutions."""

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
