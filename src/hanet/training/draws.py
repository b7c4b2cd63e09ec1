"""Random numbers for the images of a batch, all from a generator that the caller hands in; on the
CPU, so that every device draws alike."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    """A number in ``low`` to ``high`` for each image, (B,)."""
    return torch.rand(count, generator=generator) * (high - low) + low


def happens(count: int, probability: float, generator: Generator) -> Tensor:
    """Whether something happens to each image, boolean (B,)."""
    return torch.rand(count, generator=generator) < probability


def integers(count: int, below: int, generator: Generator) -> list[int]:
    """A whole number in 0 to ``below - 1`` for each image."""
    drawn: list[int] = torch.randint(below, (count,), generator=generator).tolist()
    return drawn


def per_image(values: Tensor) -> Tensor:  # (B,) -> (B, 1, 1, 1)
    """One value for all pixels of each image."""
    return values[:, None, None, None]
