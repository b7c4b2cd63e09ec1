"""Losses: by hand, against torch, with gradients checked; and guards named after the faults of the
released code."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hanet.errors import ShapeError
from hanet.training.losses import (
    LOSSES,
    batch_balanced_contrastive,
    cross_entropy,
    dice,
    dice_of_both_classes,
    focal,
    focal_dice,
    hybrid,
    lovasz,
    lovasz_hybrid,
)
from hanet.types import IGNORED


def _logits_of(probability: list[float]) -> Tensor:
    """Logits (1, 2, 1, W) whose softmax gives these probabilities of change."""
    changed = torch.tensor(probability, dtype=torch.float64)
    return torch.stack([(1 - changed).log(), changed.log()])[None, :, None, :]


LABEL = torch.tensor([[[1, 0, 1]]])
LOGITS = _logits_of([0.5, 0.25, 0.75])


def test_cross_entropy_by_hand() -> None:
    assert cross_entropy(LOGITS, LABEL).item() == pytest.approx(-math.log(0.5 * 0.75 * 0.75) / 3)


def test_focal_by_hand() -> None:
    terms = [math.sqrt(1 - p) * math.log(p) for p in (0.5, 0.75, 0.75)]
    assert focal(LOGITS, LABEL).item() == pytest.approx(-sum(terms) / 3)
    assert focal(LOGITS, LABEL, gamma=2.0).item() == pytest.approx(
        -(0.25 * math.log(0.5) + 2 * 0.0625 * math.log(0.75)) / 3
    )


def test_focal_with_gamma_0_is_cross_entropy() -> None:
    assert focal(LOGITS, LABEL, gamma=0.0).item() == pytest.approx(
        cross_entropy(LOGITS, LABEL).item()
    )


def test_dice_by_hand() -> None:
    changed = 1 - (2 * (0.5 + 0.75) + 1) / ((0.5 + 0.25 + 0.75) + 2 + 1)
    unchanged = 1 - (2 * 0.75 + 1) / ((0.5 + 0.75 + 0.25) + 1 + 1)
    assert dice(LOGITS, LABEL).item() == pytest.approx(changed)
    assert dice_of_both_classes(LOGITS, LABEL).item() == pytest.approx((changed + unchanged) / 2)


def test_lovasz_by_hand() -> None:
    """Errors 0.5, 0.25 (changed) and 0.25: worth is what 1 - IoU gains when the pixel is wrong as
    well."""
    # sorted 0.5 (changed), then the other two in either order: 1 - IoU of 1, 2, 3 wrong pixels
    one, three = 1 - 1 / 2, 1.0
    assert lovasz(LOGITS, LABEL).item() == pytest.approx(0.5 * one + 0.25 * (three - one))


def test_lovasz_of_sure_pixels_is_one_minus_iou() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, change = (torch.rand(2, 8, 8, generator=generator) < 0.4 for _ in range(2))
    logits = torch.stack(
        [torch.where(predicted, -50.0, 50.0), torch.where(predicted, 50.0, -50.0)], dim=1
    )
    iou = (predicted & change).sum() / (predicted | change).sum()
    assert lovasz(logits, change.long()).item() == pytest.approx(1 - iou.item(), abs=1e-6)


def test_lovasz_of_no_change_is_0() -> None:
    assert lovasz(LOGITS, torch.zeros_like(LABEL)).item() == 0


def test_contrastive_by_hand() -> None:
    """Distances of 0.5, 3 and 1.5 for an unchanged and two changed pixels, then of below 0."""
    distance = torch.tensor([0.5, 3.0, 1.5], dtype=torch.float64)
    logits = torch.stack([torch.ones_like(distance), distance])[None, :, None, :]
    label = torch.tensor([[[0, 1, 1]]])
    assert batch_balanced_contrastive(logits, label).item() == pytest.approx(0.5**2 + 0.5**2 / 2)
    assert batch_balanced_contrastive(logits - torch.tensor([0.0, 9.0])[:, None, None], label) == 4


def test_the_sums() -> None:
    assert lovasz_hybrid(LOGITS, LABEL).item() == pytest.approx(
        (cross_entropy(LOGITS, LABEL) + lovasz(LOGITS, LABEL)).item()
    )
    assert hybrid(LOGITS, LABEL).item() == pytest.approx(
        (cross_entropy(LOGITS, LABEL) + dice(LOGITS, LABEL)).item()
    )
    assert focal_dice(LOGITS, LABEL).item() == pytest.approx(
        (focal(LOGITS, LABEL) + dice_of_both_classes(LOGITS, LABEL)).item()
    )


@pytest.mark.parametrize("name", LOSSES)
class TestEveryLoss:
    def test_gradients_are_those_of_finite_differences(self, name: str) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(
            2, 2, 3, 2, dtype=torch.float64, generator=generator, requires_grad=True
        )
        change = torch.tensor([[[0, 1], [1, 1], [IGNORED, 0]], [[0, 0], [0, 1], [0, 0]]])
        assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, change), (logits,))

    def test_every_sample_of_the_batch_counts(self, name: str) -> None:
        """The released code's loss kept one sample of the batch."""
        change = torch.zeros(3, 4, 4, dtype=torch.int64)
        change[:, :2] = 1
        truth = torch.stack([1.0 - change.float(), change.float()], dim=1) * 8
        right = LOSSES[name](truth, change)
        assert right < 0.1 * LOSSES[name](torch.zeros(3, 2, 4, 4), change)
        for sample in range(3):
            wrong = truth.clone()
            wrong[sample] *= -1
            assert LOSSES[name](wrong, change) > 2 * right

    def test_ignored_pixels_count_for_nothing(self, name: str) -> None:
        generator = torch.Generator().manual_seed(1)
        logits = torch.randn(1, 2, 4, 6, generator=generator)
        change = (torch.rand(1, 4, 6, generator=generator) < 0.4).to(torch.uint8)
        masked = change.clone()
        masked[:, :, 4:] = IGNORED
        expected = LOSSES[name](logits[..., :4], change[..., :4])
        assert LOSSES[name](logits, masked).item() == pytest.approx(expected.item(), rel=1e-6)

    def test_a_batch_of_ignored_pixels_has_loss_0(self, name: str) -> None:
        logits = torch.randn(1, 2, 2, 2, requires_grad=True)
        loss = LOSSES[name](logits, torch.full((1, 2, 2), IGNORED))
        loss.backward()
        assert loss.item() == 0
        assert logits.grad is not None
        assert not logits.grad.any()

    def test_extreme_logits_stay_finite_in_half_precision(self, name: str) -> None:
        logits = (
            torch.tensor([60000.0, -60000.0])
            .view(1, 2, 1, 1)
            .expand(1, 2, 3, 3)
            .half()
            .requires_grad_()
        )
        for label in (0, 1):
            loss = LOSSES[name](logits, torch.full((1, 3, 3), label))
            loss.backward()
            assert loss.dtype == torch.float32
            assert torch.isfinite(loss)
            assert logits.grad is not None
            assert torch.isfinite(logits.grad).all()

    def test_other_shapes_are_refused(self, name: str) -> None:
        with pytest.raises(ShapeError, match=r"\(1, 2, 4, 4\) and \(1, 1, 4, 4\)"):
            LOSSES[name](torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.int64))
        with pytest.raises(ShapeError):
            LOSSES[name](torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))


def test_no_change_and_no_false_alarm_has_dice_0() -> None:
    nothing = torch.tensor([50.0, -50.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    assert dice(nothing, torch.zeros(1, 4, 4, dtype=torch.int64)).item() == pytest.approx(
        0.0, abs=1e-6
    )
