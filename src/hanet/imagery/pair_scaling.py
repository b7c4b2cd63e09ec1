"""The rule from a pair's values to 0-255 where nobody gives one, by what its files state and what
their values say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hanet.imagery.bands import DateBands
from hanet.imagery.radiometry import LARGEST, Scaling, estimate_scaling
from hanet.imagery.raster_source import LinearTags, RasterSource
from hanet.imagery.unstated import unstated_nodata
from hanet.types import FloatArray, Mask

Sample = tuple[FloatArray, FloatArray, Mask]
"""Stored values (C, H, W) of both dates, and the pixels (H, W) valid at both."""


def needs_look(
    before: RasterSource, after: RasterSource, bands: DateBands, *, given: Scaling | None
) -> bool:
    """Whether the values of the pair must be looked at before they can be read: those of 8 bit are
    taken as they are, and who has a rule with what stands for no data has looked."""
    if given is not None and given.nodata is not None:
        return False
    if given is not None or _tags(before, after, bands) is None:
        return not (before.is_eight_bit and after.is_eight_bit)
    return True


def scaling_of(
    before: RasterSource,
    after: RasterSource,
    bands: DateBands,
    sample: Sample,
    *,
    given: Scaling | None,
) -> Scaling:
    """The given rule, else the one that the values call for; in either case with the values that
    stand for no data without being stated."""
    first, second, valid = sample
    marks = (
        None if before.is_eight_bit else unstated_nodata(first, valid),
        None if after.is_eight_bit else unstated_nodata(second, valid),
    )
    for value, image in zip(marks, (first, second), strict=True):
        if value is not None:
            valid = valid & (image != np.float32(value)).any(axis=0)
    rule = given or _estimated(before, after, bands, (first, second, valid))
    return replace(rule, nodata=marks)


def _estimated(
    before: RasterSource, after: RasterSource, bands: DateBands, sample: Sample
) -> Scaling:
    first, second, valid = sample
    tags = _tags(before, after, bands)
    if tags is not None:
        images = [_measured(first, tags[0]), _measured(second, tags[1])]
        rule = estimate_scaling(*images, valid_before=valid, valid_after=valid)
        if rule.after is None:  # by their tags both dates lie on one scale
            own = (_in_stored_values(rule, tag) for tag in tags)
            return replace(next(own), after=next(own))
    plain = Scaling.eight_bit(len(bands[0]))
    if before.is_eight_bit and after.is_eight_bit:
        return plain
    if before.is_eight_bit:
        other = estimate_scaling(second, second, valid_before=valid, valid_after=valid)
        return replace(plain, after=_alone(other, "the after image"))
    if after.is_eight_bit:
        other = estimate_scaling(first, first, valid_before=valid, valid_after=valid)
        return replace(_alone(other, "the before image"), after=plain)
    return estimate_scaling(first, second, valid_before=valid, valid_after=valid)


def _alone(rule: Scaling, whose: str) -> Scaling:
    return replace(rule, source=rule.source.replace("both dates together", f"{whose} alone"))


def _measured(image: FloatArray, tags: LinearTags) -> FloatArray:
    scales, offsets = (np.array(part, dtype=np.float32)[:, None, None] for part in tags)
    with np.errstate(over="ignore"):
        measured: FloatArray = np.clip(image * scales + offsets, -LARGEST, LARGEST)
    return measured


def _in_stored_values(rule: Scaling, tags: LinearTags) -> Scaling:
    """A rule for measured values as one for stored ones."""
    bounds = [
        tuple((value - offset) / scale for value, scale, offset in zip(ends, *tags, strict=True))
        for ends in (rule.low, rule.high)
    ]
    source = f"{rule.source}, by the scale and offset that the files state"
    return Scaling(bounds[0], bounds[1], source)


def _tags(
    before: RasterSource, after: RasterSource, bands: DateBands
) -> tuple[LinearTags, LinearTags] | None:
    """Scale and offset of the bands of both dates; None where they say nothing, since they are the
    same, or cannot be used."""
    first, second = before.linear_tags(bands[0]), after.linear_tags(bands[1])
    return None if first is None or second is None or first == second else (first, second)
