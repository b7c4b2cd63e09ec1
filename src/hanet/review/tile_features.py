"""What a tile looks like, and how doubtful it is, in a few numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanet.types import FloatArray

COARSE_PX = 4
"""Pixels that are averaged for coarse texture: houses rather than roof tiles."""

STEPS = (0.05, 0.2, 0.5, 0.8)
"""Bounds of the classes of probability whose shares are told apart."""

NEAR = 0.5
"""Doubt from which on a pixel is near the threshold: from half of it to half way to 1."""


@dataclass(frozen=True, slots=True)
class TileDoubt:
    """What the probability of a tile says.

    Args:
        doubt: Mean over its valid pixels, in 0-1.
        near: Share of them that are near the threshold (:data:`NEAR`).
        changed: Share of them from the threshold on.
        valid: Share of its pixels that are valid.
        shares: Share of each class of :data:`STEPS`, the lowest first.
    """

    doubt: float
    near: float
    changed: float
    valid: float
    shares: tuple[float, ...]


def doubt_of(probability: FloatArray, threshold: float) -> TileDoubt:  # (h, w)
    """What a tile's probability says; a pixel's doubt is 1 at the threshold and 0 at 0 and 1
    (:func:`hanet.review.ordering.doubt`), and squared, so that the faint glow of a whole tile does
    not outweigh one doubtful building.

    Args:
        probability: In 0-1, NaN where invalid.
        threshold: Of the footprints, between 0 and 1.
    """
    valid = probability[~np.isnan(probability)].astype(np.float64)
    if not valid.size:
        return TileDoubt(0.0, 0.0, 0.0, 0.0, (0.0,) * (len(STEPS) + 1))
    room = np.where(valid >= threshold, 1.0 - threshold, threshold)
    doubt = 1.0 - np.abs(valid - threshold) / room
    classes = np.bincount(np.digitize(valid, STEPS), minlength=len(STEPS) + 1)
    return TileDoubt(
        doubt=float((doubt**2).mean()),
        near=float((doubt >= NEAR).mean()),
        changed=float((valid >= threshold).mean()),
        valid=valid.size / probability.size,
        shares=tuple((classes / valid.size).tolist()),
    )


def features_of(
    before: FloatArray, after: FloatArray, doubt: TileDoubt
) -> npt.NDArray[np.float64]:  # (C, h, w) twice -> (F,)
    """Colour and texture of both dates, how they differ, and the classes of probability.

    Args:
        before: Values in 0-255.
        after: The other date, same shape.
        doubt: Of the tile.
    """
    dates = [_rgb(image) for image in (before, after)]
    light = [image.mean(axis=0) for image in dates]
    texture = [_gradient(image) for image in light]
    numbers: list[float] = []
    for image, brightness, edges in zip(dates, light, texture, strict=True):
        red, green, blue = image.mean(axis=(1, 2)).tolist()
        numbers += [red, green, blue, 2 * green - red - blue, float(brightness.std())]
        numbers += [float(edges.mean()), float(_gradient(_coarse(brightness)).mean())]
    numbers += [
        float(np.abs(light[1] - light[0]).mean()),
        float((light[1] - light[0]).std()),
        float(np.abs(texture[1] - texture[0]).mean()),
        _correlation(*light),
    ]
    # square roots: one per cent of change is more apart from none than thirty from twenty-nine
    return np.array([*numbers, *np.sqrt(doubt.shares)], dtype=np.float64)


def disagreement(views: FloatArray) -> float:  # (V, h, w)
    """How much probabilities of the same ground differ: the mean standard deviation of a pixel."""
    return float(views.std(axis=0).mean())


def _rgb(image: FloatArray) -> FloatArray:  # (C, h, w) -> (3, h, w)
    return image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)


def _coarse(image: FloatArray) -> FloatArray:
    """Means over squares of :data:`COARSE_PX`, where it is large enough."""
    height, width = (side // COARSE_PX for side in image.shape)
    if min(height, width) < 2:
        return image
    whole = image[: height * COARSE_PX, : width * COARSE_PX]
    means: FloatArray = whole.reshape(height, COARSE_PX, width, COARSE_PX).mean(axis=(1, 3))
    return means


def _gradient(image: FloatArray) -> FloatArray:
    """How steep brightness is, in a value a pixel; 0 where a side has one pixel."""
    if min(image.shape) < 2:
        return np.zeros_like(image)
    down, right = np.gradient(image)
    steepness: FloatArray = np.hypot(down, right)
    return steepness


def _correlation(one: FloatArray, other: FloatArray) -> float:
    """Of two images, in -1 to 1; 1 where either is constant."""
    spread = float(one.std() * other.std())
    if spread < 1e-6:
        return 1.0
    return float(((one - one.mean()) * (other - other.mean())).mean() / spread)
