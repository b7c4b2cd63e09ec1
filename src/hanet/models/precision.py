"""Where mixed precision pays on a CPU: on processors that multiply matrices in bfloat16."""

from __future__ import annotations

import torch


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether autocast to bfloat16 is on, on a CPU with instructions for matrix products in it (AMX: Intel Xeon since 2023).

    On others bfloat16 only stores numbers; a form that does more work to be a matrix product gains nothing there.
    """
    if device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    if torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return False
    # releases of torch that do not say are taken for "no"
    return hasattr(torch.cpu, "get_capabilities") and bool(torch.cpu.get_capabilities().get("amx_bf16"))
