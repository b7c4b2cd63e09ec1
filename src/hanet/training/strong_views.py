"""Strong views of pairs without labels: what the network sees of a pair of which a teacher saw a
weak view, to make the pseudo label.

Both dates keep one geometry, that of the pseudo label. Photometry is drawn for each date by itself,
CutMix pastes one box of another pair into both dates and into the pseudo label.

Sources: FixMatch (Sohn et al., NeurIPS 2020) for weak against strong; CutMix (Yun et al., ICCV
2019); the ranges and probabilities are those of UniMatch (Yang et al., CVPR 2023), of its released
code for change detection where no other is named.
"""

from __future__ import annotations

import math

import kornia.enhance
import kornia.filters
import torch
from torch import Generator, Tensor

from hanet.training.augmentation import Augmentation, Batch
from hanet.training.draws import happens, per_image, uniform

JITTER_CHANCE, BLUR_CHANCE, CUTMIX_CHANCE, GREY_CHANCE = 0.8, 0.5, 0.5, 0.2
"""UniMatch's; greyscale is of its code for segmentation, that for change detection has none."""

BLUR_PX = (0.1, 2.0)
"""Standard deviation of the blur, in pixels."""

BLUR_KERNEL_PX = 13
"""Three standard deviations of the widest blur to both sides."""

BOX_AREA, BOX_RATIO = (0.02, 0.4), (0.3, 1 / 0.3)
"""Area of a box as a share of the tile, and its height over its width."""


def cutmix(batch: Batch, generator: Generator) -> Batch:
    """UniMatch's CutMix: with p 0.5, a box of 2-40 % of the tile comes from the batch's previous
    pair, in both dates and the pseudo label.

    What differs: the source draws shapes and places until one fits, here a side that would not fit
    is as long as the tile, and the place is drawn among those that fit.
    """
    count, (height, width) = len(batch.before), batch.change.shape[-2:]
    mixed = happens(count, CUTMIX_CHANCE, generator)
    area, ratio = uniform(count, *BOX_AREA, generator), uniform(count, *BOX_RATIO, generator)
    rows = ((area * ratio).sqrt().clamp(max=1.0) * height).floor()
    columns = ((area / ratio).sqrt().clamp(max=1.0) * width).floor()
    top = (uniform(count, 0.0, 1.0, generator) * (height - rows + 1)).floor()
    left = (uniform(count, 0.0, 1.0, generator) * (width - columns + 1)).floor()
    row, column = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
    first, last = (top[:, None, None], left[:, None, None]), (top + rows, left + columns)
    inside = (row >= first[0]) & (row < last[0][:, None, None])
    inside = inside & (column >= first[1]) & (column < last[1][:, None, None])
    box = (inside & mixed[:, None, None]).to(batch.before.device)
    donor = Batch(*(values.roll(1, dims=0) for values in batch))
    return Batch(
        donor.before.where(box[:, None], batch.before),
        donor.after.where(box[:, None], batch.after),
        donor.change.where(box, batch.change),
    )


def photometry(batch: Batch, generator: Generator) -> Batch:
    """UniMatch's for change detection, each date by itself: with p 0.8 brightness, contrast and
    saturation 0.5-1.5 and hue within a quarter of its circle, with p 0.5 a Gaussian blur of 0.1-2
    pixels.

    What differs: the order is always this one. Images of other bands than three keep their colours.
    """
    return Batch(
        _blurred(_jittered(batch.before, generator), generator),
        _blurred(_jittered(batch.after, generator), generator),
        batch.change,
    )


def unimatch(batch: Batch, generator: Generator) -> Batch:
    """:func:`photometry`, then :func:`cutmix`, as UniMatch trains change detection."""
    return cutmix(photometry(batch, generator), generator)


def unimatch_with_greyscale(batch: Batch, generator: Generator) -> Batch:
    """:func:`unimatch`, and each date grey with p 0.2 after the colours, as UniMatch's code for
    segmentation has it."""
    dates = []
    for image in (batch.before, batch.after):
        jittered = _grey(_jittered(image, generator), generator)
        dates.append(_blurred(jittered, generator))
    return cutmix(Batch(dates[0], dates[1], batch.change), generator)


STRONG_VIEWS: dict[str, Augmentation] = {
    "unimatch": unimatch,
    "unimatch with greyscale": unimatch_with_greyscale,
    "photometry": photometry,
    "cutmix": cutmix,
}
"""Strong views as experiments name them."""

MIXES_PAIRS = frozenset({"unimatch", "unimatch with greyscale", "cutmix"})
"""Those that need a second pair in the batch."""


def _jittered(image: Tensor, generator: Generator) -> Tensor:
    count, device = len(image), image.device
    jitters = per_image(happens(count, JITTER_CHANCE, generator).to(device))

    def amount(low: float, high: float) -> Tensor:
        return uniform(count, low, high, generator).to(device)

    brightness, contrast, saturation = (per_image(amount(0.5, 1.5)) for _ in range(3))
    hue = amount(-0.25, 0.25) * 2 * math.pi
    seen = (image * brightness).clamp(0, 1)
    mean = _luminance(seen).mean(dim=(1, 2, 3), keepdim=True)
    seen = (mean + (seen - mean) * contrast).clamp(0, 1)
    if image.shape[1] == 3:  # saturation and hue are defined for RGB
        grey = _luminance(seen)
        seen = kornia.enhance.adjust_hue((grey + (seen - grey) * saturation).clamp(0, 1), hue)
    return seen.clamp(0, 1).where(jitters, image)


def _grey(image: Tensor, generator: Generator) -> Tensor:
    grey = per_image(happens(len(image), GREY_CHANCE, generator).to(image.device))
    return _luminance(image).where(grey, image)


def _blurred(image: Tensor, generator: Generator) -> Tensor:
    count = len(image)
    sigma = uniform(count, *BLUR_PX, generator)
    chosen = torch.nonzero(happens(count, BLUR_CHANCE, generator)).flatten().tolist()
    if not chosen:
        return image
    image = image.clone()
    spread = sigma[chosen, None].expand(-1, 2).to(image.device)
    image[chosen] = kornia.filters.gaussian_blur2d(image[chosen], BLUR_KERNEL_PX, spread)
    return image


def _luminance(image: Tensor) -> Tensor:  # (B, C, H, W) -> (B, 1, H, W)
    """Of RGB by the weights of ITU-R BT.601; of other bands their mean."""
    if image.shape[1] != 3:
        return image.mean(dim=1, keepdim=True)
    weights = torch.tensor([0.299, 0.587, 0.114], device=image.device, dtype=image.dtype)
    return (image * weights[None, :, None, None]).sum(dim=1, keepdim=True)
