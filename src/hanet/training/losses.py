"""Losses over two-channel logits. All take the whole batch as one set of pixels and compute in at
least float32.

Pixels labelled :data:`hanet.types.IGNORED` count for nothing; a batch of nothing else has loss 0.

Sources: the paper's hybrid loss (Han et al. 2023, equations 13-15: cross-entropy + Dice); the
released code's focal + Dice over both classes; Open-CD's cross-entropy
(docs/concepts/sources.md, section 3); STANet's contrastive loss, for that network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from hanet.errors import ShapeError
from hanet.types import IGNORED

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, 2, H, W) and labels (B, H, W) of 0, 1 or IGNORED give a scalar."""

DICE_SMOOTHING = 1.0
"""Added to numerator and denominator, so that a batch without change and without false alarm has
Dice loss 0.

The released code adds 1e-7 to the denominator alone.
"""

FAR = 2.0
"""Distance from which on a changed pixel adds nothing to the contrastive loss."""


def cross_entropy(logits: Tensor, change: Tensor) -> Tensor:
    """Mean cross-entropy over all pixels (equation 14)."""
    _check(logits, change)
    pixels = F.cross_entropy(_wide(logits), change.long(), ignore_index=IGNORED, reduction="sum")
    return pixels / _count(change)


def focal(logits: Tensor, change: Tensor, *, gamma: float = 0.5) -> Tensor:
    """Mean focal loss, ``-(1 - p)^gamma log p`` of the true class; gamma 0.5 is the released
    code's, 0 gives cross-entropy.

    The released code takes ``(1 - p)^gamma`` for a constant when it differentiates; here, as in the
    source, it is not.

    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, without the class
    weight.
    """
    _check(logits, change)
    valid = change != IGNORED
    label = torch.where(valid, change, 0).long()
    log_true = F.log_softmax(_wide(logits), dim=1).gather(1, label[:, None])[:, 0]
    missing = (1.0 - log_true.exp()).clamp(
        min=torch.finfo(torch.float32).eps
    )  # the gradient of 0**0.5 is infinite
    return -(missing**gamma * log_true * valid).sum() / _count(change)


def dice(logits: Tensor, change: Tensor) -> Tensor:
    """One minus the Dice coefficient of the change class (equation 15), over the whole batch."""
    _check(logits, change)
    return _dice_of_class(_wide(logits).softmax(dim=1)[:, 1], change == 1, change != IGNORED)


def dice_of_both_classes(logits: Tensor, change: Tensor) -> Tensor:
    """Mean of the Dice losses of both classes, as in the released code."""
    _check(logits, change)
    unchanged, changed = _wide(logits).softmax(dim=1).unbind(dim=1)
    valid = change != IGNORED
    return (
        _dice_of_class(unchanged, change == 0, valid) + _dice_of_class(changed, change == 1, valid)
    ) / 2


def hybrid(logits: Tensor, change: Tensor) -> Tensor:
    """The paper's loss (equation 13): cross-entropy plus Dice."""
    return cross_entropy(logits, change) + dice(logits, change)


def lovasz(logits: Tensor, change: Tensor) -> Tensor:
    """The Lovász extension of one minus the IoU of the change class, over the whole batch; 0 where
    nothing changed.

    A wrong pixel counts by what setting it right is worth to the IoU, so that the rim of a
    building, which cross-entropy hardly sees among all other pixels, has its share. Costs a sort of
    all pixels: 30 ms for 4 pairs of 256 px on one core.

    Source: Berman, Triki, Blaschko, "The Lovász-Softmax loss", CVPR 2018, equations 8 and 11.
    """
    _check(logits, change)
    valid = change != IGNORED
    label = (change[valid] == 1).to(_wide(logits).dtype)
    probability = _wide(logits).softmax(dim=1)[:, 1][valid]
    changed = label.sum()
    error, order = (label - probability).abs().sort(descending=True)
    label = label[order]
    union = changed + (1.0 - label).cumsum(0)
    lost = 1.0 - (changed - label.cumsum(0)) / union.clamp(min=1.0)
    worth = torch.cat([lost[:1], lost[1:] - lost[:-1]])
    return (error * worth).sum() * (changed > 0)


def lovasz_hybrid(logits: Tensor, change: Tensor) -> Tensor:
    """Cross-entropy plus Lovász: :func:`hybrid` with the IoU itself instead of Dice."""
    return cross_entropy(logits, change) + lovasz(logits, change)


def batch_balanced_contrastive(logits: Tensor, change: Tensor) -> Tensor:
    """STANet's loss of a metric: the mean square of the distance over unchanged pixels, plus that
    of what it lacks to :data:`FAR` over changed ones; each class counts alike, however few its
    pixels are.

    The distance is 1 more than the margin of the two logits, and 0 where that is negative: for
    ``stanet``, whose margin is its distance less 1, its distance itself. Other networks learn a
    margin of -1 or less, and of 1 or more, by it.

    Source: Chen and Shi, Remote Sensing 12(10), 2020; the margin is the released code's, which
    leaves the paper's factor of a half out.
    """
    _check(logits, change)
    unchanged, changed = _wide(logits).unbind(dim=1)
    distance = (changed - unchanged + 1.0).clamp(min=0.0)
    near, far = change == 0, change == 1
    drawn = (distance.square() * near).sum() / near.sum().clamp(min=1)
    pushed = ((FAR - distance).clamp(min=0.0).square() * far).sum() / far.sum().clamp(min=1)
    return drawn + pushed


def focal_dice(logits: Tensor, change: Tensor) -> Tensor:
    """The released code's loss: focal (gamma 0.5) plus Dice over both classes."""
    return focal(logits, change) + dice_of_both_classes(logits, change)


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "dice": dice,
    "hybrid": hybrid,
    "lovasz_hybrid": lovasz_hybrid,
    "focal_dice": focal_dice,
    "batch_balanced_contrastive": batch_balanced_contrastive,
}
"""Losses as experiments name them."""


def _wide(logits: Tensor) -> Tensor:
    """Float32, whatever the precision of the network; float64 stays (gradient checks need it)."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _count(change: Tensor) -> Tensor:
    """Pixels that count, at least 1."""
    return (change != IGNORED).sum().clamp(min=1)


def _dice_of_class(probability: Tensor, label: Tensor, valid: Tensor) -> Tensor:
    common = (probability * label).sum()
    return 1.0 - (2.0 * common + DICE_SMOOTHING) / (
        (probability * valid).sum() + label.sum() + DICE_SMOOTHING
    )


def _check(logits: Tensor, change: Tensor) -> None:
    if (
        logits.ndim != 4
        or logits.shape[1] != 2
        or change.shape != (logits.shape[0], *logits.shape[2:])
    ):
        raise ShapeError(
            f"a loss takes logits (B, 2, H, W) and labels (B, H, W), got {tuple(logits.shape)} "
            f"and {tuple(change.shape)}"
        )
