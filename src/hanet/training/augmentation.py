"""Augmentation of a batch: one geometry for both dates and the label, photometry for each date.

Works on whole batches of float tensors in 0-1, before normalisation; every random number comes from
the generator that the caller hands in, so that a step of training is a pure function of its seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import kornia.enhance
import kornia.filters
import kornia.geometry.transform
import torch
from torch import Generator, Tensor
from torch.nn.functional import max_pool2d

from hanet.training.draws import happens, integers, per_image, uniform
from hanet.types import IGNORED


class Batch(NamedTuple):
    """A batch of pairs with labels."""

    before: Tensor  # (B, C, H, W), float in 0-1
    after: Tensor  # (B, C, H, W), float in 0-1
    change: Tensor  # (B, H, W), int64, 0, 1 or IGNORED


Augmentation: TypeAlias = Callable[[Batch, Generator], Batch]
"""A batch and a generator give a new batch of the same shapes; tiles must be square."""


def no_augmentation(batch: Batch, generator: Generator) -> Batch:  # noqa: ARG001 - the signature is the table's
    """The batch as it is."""
    return batch


def quarter_turns_and_flips(batch: Batch, generator: Generator) -> Batch:
    """The official code's: a rotation by a random multiple of 90 degrees, and flips along both
    axes, each with p 0.5."""
    turns, flips = (
        integers(len(batch.before), 4, generator),
        integers(len(batch.before), 4, generator),
    )

    def one(image: Tensor, turn: int, flip: int) -> Tensor:
        axes = [axis for bit, axis in ((1, -2), (2, -1)) if flip & bit]
        turned = torch.rot90(image, turn, (-2, -1))
        return torch.flip(turned, axes) if axes else turned

    def every(images: Tensor) -> Tensor:
        return torch.stack([one(*item) for item in zip(images, turns, flips, strict=True)])

    return Batch(*(every(part) for part in batch))


def open_cd(batch: Batch, generator: Generator) -> Batch:
    """Open-CD's (docs/concepts/sources.md, section 3): rotation up to 180 degrees p 0.5, flips
    along both axes p 0.5 each, photometry of each date.

    Brightness within 10/255 of the value range, contrast (before the colours or after them) and
    saturation 0.8-1.2, hue within 10/180 of its circle, each with p 0.5. What a rotation brings in
    from outside is black, and its label IGNORED, as there. What differs: Open-CD turns the whole
    image and takes the crop from that, we turn the crop, so that more of them have such corners.
    """
    count, device = len(batch.before), batch.before.device
    angle = torch.where(
        happens(count, 0.5, generator),
        uniform(count, -180.0, 180.0, generator),
        torch.zeros(count),
    )
    across, down = happens(count, 0.5, generator), happens(count, 0.5, generator)
    turned = _warp(
        batch,
        angle=angle + 180.0 * down,  # a flip of the rows is one of the columns and a half turn
        zoom=torch.ones(count),
        mirrored=across ^ down,
        centre_shift=torch.zeros(count, 2),
        padding="zeros",
    )

    def photometry(image: Tensor) -> Tensor:
        def amount(low: float, high: float, neutral: float) -> Tensor:
            drawn = uniform(count, low, high, generator)
            return torch.where(
                happens(count, 0.5, generator), drawn, torch.full((count,), neutral)
            ).to(device)

        image = (image + per_image(amount(-10 / 255, 10 / 255, 0.0))).clamp(0, 1)
        contrast, comes_last = amount(0.8, 1.2, 1.0), happens(count, 0.5, generator).to(device)
        image = (image * per_image(contrast.where(~comes_last, 1.0))).clamp(0, 1)
        saturation, hue = amount(0.8, 1.2, 1.0), amount(-10 / 180, 10 / 180, 0.0) * 2 * math.pi
        if image.shape[1] == 3:  # saturation and hue are defined for RGB
            image = kornia.enhance.adjust_hue(
                kornia.enhance.adjust_saturation(image, saturation), hue
            )
        return (image * per_image(contrast.where(comes_last, 1.0))).clamp(0, 1)

    return Batch(photometry(turned.before), photometry(turned.after), turned.change)


def strong(batch: Batch, generator: Generator) -> Batch:
    """Ours, for little data: turns and flips always, zoom, free rotation, and photometry of each
    date by itself.

    - zoom 0.8-1.8 with p 0.6, around a random part of the tile; free rotation with p 0.3 (else by
      quarters); filled by reflection;
    - each date: gain 0.75-1.3, gain of each band 0.9-1.1, contrast 0.75-1.3, offset within 0.08,
      saturation 0.6-1.4;
    - each date: Gaussian blur of 0.3-1.2 pixels with p 0.15, noise of up to 0.03 with p 0.15.

    Measured on the part of LEVIR-CD in docs/what-helped.md.
    """
    count = len(batch.before)
    free = happens(count, 0.3, generator)
    quarters = torch.tensor(integers(count, 4, generator)) * 90.0
    angle = torch.where(free, uniform(count, 0.0, 360.0, generator), quarters)
    zoom = torch.exp(uniform(count, math.log(0.8), math.log(1.8), generator))
    zoom = torch.where(happens(count, 0.6, generator), zoom, torch.ones(count))
    room = (1.0 - 1.0 / zoom).clamp(min=0.0)[
        :, None
    ]  # how far the view may move inside the tile, in half tiles
    moved = _warp(
        batch,
        angle=angle,
        zoom=zoom,
        mirrored=happens(count, 0.5, generator),
        centre_shift=room
        * torch.stack([uniform(count, -1.0, 1.0, generator) for _ in range(2)], dim=1),
        padding="reflection",
    )
    return Batch(
        _photometry(moved.before, generator), _photometry(moved.after, generator), moved.change
    )


def moderate(batch: Batch, generator: Generator, *, zoom_chance: float = 0.25) -> Batch:
    """Between the official one and :func:`strong`, for runs that are short of time rather than of
    data.

    Turns and flips always, which cost no sharpness; with p ``zoom_chance`` a zoom of 0.8-1.4 about
    the centre too; each date's photometry of :func:`strong` at half its ranges. Half-strength
    ranges shrink towards 1 (factors) or 0 (offsets).
    """
    count = len(batch.before)
    zoomed = torch.nonzero(happens(count, zoom_chance, generator)).flatten()
    zoom = torch.exp(uniform(count, math.log(0.8), math.log(1.4), generator))
    turned = quarter_turns_and_flips(batch, generator)
    if len(zoomed):
        part = _warp(
            Batch(*(values[zoomed] for values in turned)),
            angle=torch.zeros(len(zoomed)),
            zoom=zoom[zoomed],
            mirrored=torch.zeros(len(zoomed), dtype=torch.bool),
            centre_shift=torch.zeros(len(zoomed), 2),
            padding="reflection",
        )
        for values, replaced in zip(turned, part, strict=True):
            values[zoomed] = replaced
    return Batch(
        _photometry(turned.before, generator, strength=0.5),
        _photometry(turned.after, generator, strength=0.5),
        turned.change,
    )


def strong_with_time_exchange(batch: Batch, generator: Generator) -> Batch:
    """:func:`strong`, and before and after exchanged with p 0.5.

    For labels that mark any change of the class, whichever way round; a network so trained sees
    demolished buildings as well as new ones.
    """
    batch = strong(batch, generator)
    exchanged = per_image(happens(len(batch.before), 0.5, generator).to(batch.before.device))
    return Batch(
        torch.where(exchanged, batch.after, batch.before),
        torch.where(exchanged, batch.before, batch.after),
        batch.change,
    )


def moderate_without_zoom(batch: Batch, generator: Generator) -> Batch:
    """:func:`moderate` that leaves the scale alone; every pixel stays as sharp as it was."""
    return moderate(batch, generator, zoom_chance=0.0)


def moderate_with_copy_paste(batch: Batch, generator: Generator) -> Batch:
    """:func:`moderate` after changed buildings of another pair were pasted in, in both dates, with
    p 0.5; see :func:`copy_paste`."""
    return moderate(copy_paste(batch, generator), generator)


def copy_paste(
    batch: Batch, generator: Generator, *, chance: float = 0.5, margin_px: int = 4
) -> Batch:
    """Pastes the changed buildings of the batch's previous pair, with p ``chance``.

    Both dates are taken, with ``margin_px`` of ground around each building, so that what stood
    there before comes along and the label stays true. Nothing is blended: the seam is the same in
    both dates.
    """
    donor = Batch(*(values.roll(1, dims=0) for values in batch))
    changed = (donor.change == 1).to(batch.before.dtype)[:, None]
    region = max_pool2d(changed, kernel_size=2 * margin_px + 1, stride=1, padding=margin_px) > 0
    region &= per_image(happens(len(batch.before), chance, generator).to(region.device))
    return Batch(
        donor.before.where(region, batch.before),
        donor.after.where(region, batch.after),
        donor.change.where(region[:, 0], batch.change),
    )


def half_with_photometry(batch: Batch, generator: Generator) -> Batch:
    """Turns and flips always; about half of the pairs as they are otherwise, the other half as
    other places and days may show them.

    Turns and flips alone do best on imagery like the training set's, photometry is for other
    imagery: so each gets its half. In the second, each date has the photometry of :func:`strong` at
    half its ranges, and with p 0.3 haze: 5-35 % of a light grey. One pair in five has before and
    after exchanged, in both halves: what is torn down is change too.
    """
    count = len(batch.before)
    turned = quarter_turns_and_flips(batch, generator)
    exchanged = per_image(happens(count, 0.2, generator).to(batch.before.device))
    before = torch.where(exchanged, turned.after, turned.before)
    after = torch.where(exchanged, turned.before, turned.after)
    other = torch.nonzero(happens(count, 0.5, generator)).flatten()
    for date in (before, after):  # new tensors, so that the argument stays as it is
        if len(other):
            date[other] = _hazy(_photometry(date[other], generator, strength=0.5), generator)
    return Batch(before, after, turned.change)


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": no_augmentation,
    "official": quarter_turns_and_flips,
    "open-cd": open_cd,
    "moderate": moderate,
    "moderate without zoom": moderate_without_zoom,
    "moderate with copy-paste": moderate_with_copy_paste,
    "half with photometry": half_with_photometry,
    "strong": strong,
    "strong with time exchange": strong_with_time_exchange,
}
"""Augmentations as experiments name them."""

KEEPS_ORDER = frozenset({"none", "official", "moderate without zoom"})
"""Those that never exchange before and after and leave labels of other meanings as they are."""


def _photometry(image: Tensor, generator: Generator, *, strength: float = 1.0) -> Tensor:
    """One date's random photometry; see :func:`strong`. ``strength`` shrinks the ranges of factors
    and offset."""
    count, bands, device = len(image), image.shape[1], image.device

    def factor(low: float, high: float, channels: int = 1) -> Tensor:
        neutral = 1.0 if low > 0 else 0.0
        drawn = torch.stack([uniform(count, low, high, generator) for _ in range(channels)], dim=1)
        return (neutral + strength * (drawn - neutral))[:, :, None, None].to(device)

    image = image * (factor(0.75, 1.3) * factor(0.9, 1.1, bands))
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    image = (image - mean) * factor(0.75, 1.3) + (mean + factor(-0.08, 0.08))
    grey = image.mean(dim=1, keepdim=True)
    image = grey + (image - grey) * factor(0.6, 1.4)
    sigma = uniform(count, 0.3, 1.2, generator)
    blurred = torch.nonzero(happens(count, 0.15, generator)).flatten().tolist()
    if blurred:
        image = image.clone()
        spread = sigma[blurred, None].expand(-1, 2).to(device)
        image[blurred] = kornia.filters.gaussian_blur2d(image[blurred], 7, spread)
    noisy = happens(count, 0.15, generator)
    amount = torch.where(noisy, uniform(count, 0.0, 0.03, generator), torch.zeros(count)).to(device)
    if bool(noisy.any()):
        noise = torch.randn(image.shape, generator=generator).to(device)
        image = image + noise * per_image(amount)
    return image.clamp(0, 1)


def _hazy(image: Tensor, generator: Generator) -> Tensor:
    """One date's random haze: with p 0.3, 5-35 % of a light grey over all of it."""
    count = len(image)
    share = torch.where(
        happens(count, 0.3, generator), uniform(count, 0.05, 0.35, generator), torch.zeros(count)
    )
    share, light = (
        per_image(values.to(image.device))
        for values in (share, uniform(count, 0.6, 0.95, generator))
    )
    return image + share * (light - image)


def _warp(
    batch: Batch,
    *,
    angle: Tensor,
    zoom: Tensor,
    mirrored: Tensor,
    centre_shift: Tensor,
    padding: str,
) -> Batch:
    """Both dates and the label through one affine map about the centre: bilinear; the label is cut
    at one half.

    ``angle`` in degrees, ``zoom`` above 1 enlarges, ``centre_shift`` (x, y) in half tiles moves the
    view before turning. The label is IGNORED where more than half of a pixel comes from ignored
    ones or, with the padding "zeros", from outside.
    """
    height, width = batch.change.shape[-2:]
    device = batch.before.device
    centre = torch.tensor([(width - 1) / 2, (height - 1) / 2]).expand(len(zoom), 2)
    half = torch.tensor([width / 2, height / 2])
    matrix = kornia.geometry.transform.get_affine_matrix2d(
        translations=-centre_shift * half * zoom[:, None],
        center=centre,
        scale=zoom[:, None].expand(-1, 2),
        angle=angle,
    )
    mirror = torch.eye(3).repeat(len(zoom), 1, 1)
    mirror[mirrored, 0, 0], mirror[mirrored, 0, 2] = -1.0, float(width - 1)
    matrix = (matrix @ mirror)[:, :2].to(device)
    label, known = (
        mask[:, None].to(batch.before.dtype)
        for mask in (batch.change == 1, batch.change != IGNORED)
    )
    stacked = torch.cat([batch.before, batch.after, label, known], dim=1)
    warped = kornia.geometry.transform.warp_affine(
        stacked, matrix, (height, width), mode="bilinear", padding_mode=padding, align_corners=True
    )
    bands = batch.before.shape[1]
    change = (warped[:, -2] > 0.5).to(batch.change.dtype).where(warped[:, -1] >= 0.5, IGNORED)
    return Batch(warped[:, :bands], warped[:, bands : 2 * bands], change)
