"""Masks for the elsewhere sets: filled outlines, cleaned building masks, and the hold-out rule."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from hanet.types import ByteArray, Mask

EIGHT = np.ones((3, 3), dtype=bool)
"""Pixels that touch at a corner belong together."""

HELD_OUT_SHARE = 4
"""One tile in this many is held out of training."""

HUES = {"new": (135.0, 172.0), "demolished": (-14.0, 14.0), "unchanged": (38.0, 62.0)}
"""Degrees of hue of each kind of outline: green, red, yellow. Measured on the fifteen French pairs,
2026-11-28: the lines are (0, 255, 128), (255, 0, 0) and (255, 215, 0), bled by JPEG."""

MIN_SATURATION, MIN_VALUE = 140, 130
"""Of a line, 0-255. Roofs, tennis courts and lawns in those pictures stay below."""

HALF_LINE_PX = 2
"""A line is 5 px wide and its middle is the outermost pixel of the building."""


def is_held_out(stem: str) -> bool:
    """Whether a single-date tile belongs to the elsewhere sets; training takes the others only."""
    return int(hashlib.sha256(stem.encode()).hexdigest(), 16) % HELD_OUT_SHARE == 0


def outlines(picture: ByteArray) -> dict[str, Mask]:
    """The lines drawn in a picture, by kind.

    Args:
        picture: RGB (H, W, 3): an image with outlines drawn over it.

    Returns:
        Masks (H, W) named as in :data:`HUES`.
    """
    values = np.asarray(Image.fromarray(picture).convert("HSV")).astype(np.float64)
    hue = (values[..., 0] * 360 / 255 + 180) % 360 - 180
    strong = (values[..., 1] > MIN_SATURATION) & (values[..., 2] > MIN_VALUE)
    return {kind: strong & (hue > low) & (hue < high) for kind, (low, high) in HUES.items()}


def change_inside(lines: dict[str, Mask]) -> Mask:
    """What the green and the red lines enclose: buildings that are new or were demolished.

    Lines of both colours are filled together, because a red line hides a green one where they
    cross. They also run along the edge of the picture where it cuts a building, so every outline is
    closed. A gap of up to two pixels is closed; half a line's width is taken off all round, but not
    at the edge of the picture.

    Args:
        lines: Masks (H, W) as :func:`outlines` gives them.

    Raises:
        ValueError: A line longer than 40 pixels encloses nothing: there is a gap in it.
    """
    drawn = lines["new"] | lines["demolished"]
    pad = 2 * HALF_LINE_PX
    closed = ndimage.binary_closing(np.pad(drawn, pad), EIGHT)
    filled = ndimage.binary_fill_holes(closed)[pad:-pad, pad:-pad]
    inside: Mask = ndimage.binary_erosion(filled, EIGHT, iterations=HALF_LINE_PX, border_value=1)
    numbered, count = ndimage.label(filled, EIGHT)
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        part = numbered[box] == number
        if max(part.shape) > 40 and not (inside[box] & part).any():
            raise ValueError(
                f"outline {number} of {count} encloses nothing: {max(part.shape)} px long"
            )
    return inside


def built_inside(lines: dict[str, Mask], change: Mask) -> Mask:
    """The parts of :func:`change_inside` whose outline is green rather than red: new buildings.

    Args:
        lines: Masks (H, W) as :func:`outlines` gives them.
        change: What they enclose.
    """
    numbered, count = ndimage.label(change, EIGHT)
    built = np.zeros_like(change)
    for number in range(1, count + 1):
        part = numbered == number
        near = ndimage.binary_dilation(part, EIGHT, iterations=2 * HALF_LINE_PX + 1)
        if (near & lines["new"]).sum() > (near & lines["demolished"]).sum():
            built |= part
    return built


def without_thin_parts(mask: Mask, *, width_px: int = 4) -> Mask:
    """The mask without paths, kerbs and specks: parts narrower than ``width_px`` in either
    direction.

    What stays keeps its outline, apart from thin tails longer than half that width.
    """
    opened = ndimage.binary_opening(mask, np.ones((width_px, width_px), dtype=bool))
    return np.asarray(ndimage.binary_dilation(opened, EIGHT, iterations=width_px // 2) & mask)


def exclusive_or(before: Mask, after: Mask) -> Mask:
    """The change between two unrelated tiles: a building stands at one date and not at the
    other."""
    return before ^ after


def buildings(mask: Mask) -> list[Mask]:
    """The connected parts of a mask (H, W), each as a mask of that size."""
    numbered, count = ndimage.label(mask, EIGHT)
    return [numbered == number for number in range(1, count + 1)]


def resample_image(image: ByteArray, size: int) -> ByteArray:
    """An image (H, W, 3) at ``size`` by ``size`` pixels: each is the mean of the area it covers."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BOX))


def resample_mask(mask: Mask, size: int) -> Mask:
    """A mask (H, W) at ``size`` by ``size`` pixels: a pixel is set if at least half its area is."""
    share = Image.fromarray(mask.astype(np.float32)).resize((size, size), Image.Resampling.BOX)
    values: npt.NDArray[np.float32] = np.asarray(share)
    return values >= 0.5
