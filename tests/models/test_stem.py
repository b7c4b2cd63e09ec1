"""The two first convolutions as one: the same values, border and corners included, and the same
gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hanet.models.layers.stem import first_convolutions


@pytest.mark.parametrize(("height", "width"), [(9, 12), (4, 3), (2, 2)])
def test_one_7x7_gives_what_5x5_and_3x3_give(height: int, width: int) -> None:
    torch.manual_seed(0)
    stem, second = nn.Conv2d(3, 4, 5, padding=2).double(), nn.Conv2d(4, 6, 3, padding=1).double()
    image = torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    expected, found = second(stem(image)), first_convolutions(stem, second, image)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    inputs = (image, *stem.parameters(), *second.parameters())
    weight = torch.randn_like(expected)
    gradients = [
        torch.autograd.grad((output * weight).sum(), inputs) for output in (found, expected)
    ]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-11)
