"""`hanet` is the paper's network: it agrees with the plain, literal version in outputs and in every
gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hanet.conversion.layouts.hanet import is_dead
from hanet.models import create
from plain_and_ours import plain_and_ours

PUBLISHED_PARAMETERS = 3_029_444
DEAD_PARAMETERS = 417_880


def _images(height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    before, after = (
        torch.randn(2, 3, height, width, generator=generator, dtype=dtype) * 0.3 for _ in range(2)
    )
    return before, after


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 80)])
def test_outputs_and_gradients_agree_in_float64(training: bool, height: int, width: int) -> None:
    plain, ours, names = plain_and_ours(8, torch.float64)
    plain.train(training)
    ours.train(training)
    images = _images(height, width, torch.float64)
    outputs = [network(*images) for network in (plain, ours)]
    scale = outputs[0].abs().max().item()
    assert torch.allclose(*outputs, rtol=0, atol=1e-9 * max(1.0, scale))
    weight = torch.randn(
        outputs[0].shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    for output in outputs:
        (output * weight).sum().backward()
    ours_by_name = dict(ours.named_parameters())
    for name, parameter in plain.named_parameters():
        if is_dead(name):
            continue
        gradient, expected = ours_by_name[names[name]].grad, parameter.grad
        assert gradient is not None
        assert expected is not None
        tolerance = 1e-9 * max(1.0, expected.abs().max().item())
        assert torch.allclose(gradient, expected, rtol=0, atol=tolerance), name


def test_full_width_agrees_in_float32_at_256() -> None:
    plain, ours, _ = plain_and_ours(40, torch.float32)
    images = tuple(image[:1] for image in _images(256, 256, torch.float32))
    with torch.inference_mode():
        expected, found = plain.eval()(*images), ours.eval()(*images)
    assert (expected - found).abs().max() <= 1e-3 * (expected.max() - expected.min())


def test_parameters_are_the_published_ones_without_the_dead() -> None:
    ours = sum(p.numel() for p in create("hanet").parameters())
    assert ours == PUBLISHED_PARAMETERS - DEAD_PARAMETERS == 2_611_564
