"""The rung ``footprints``: a filter that leaves out what looks like the false alarms of reviewed
ground.

Ridge logistic regression on the features of :mod:`hanet.footprints.false_alarms`, by Newton's
method. Which probability of being a building is the least that is kept is chosen by F1 of pixels,
with each block predicted by a filter that has not seen it.

Source: Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2009, section 4.4
(Newton steps), 7.10 (choosing by folds).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from rasterio.features import rasterize

from hanet.evaluation.metrics import Counts
from hanet.footprints.components import Component
from hanet.footprints.extraction import find_components
from hanet.footprints.false_alarms import FootprintFilter, features_of
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.grid import Grid
from hanet.types import IGNORED, ByteArray, FloatArray, Mask, Window

RIDGE = 1.0
"""Penalty on the squared weights of standardised features: half a footprint's doubt a feature."""

CUTS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""Least probabilities of being a building that are tried, beside 0."""

FEWEST = 5
"""Footprints of each kind that are needed."""

LEAST_KNOWN_SHARE = 0.5
"""A footprint of which less is reviewed is neither a building nor a false alarm."""

FOLDS = 5
"""Parts of which each is predicted by a filter that has not seen it."""

FloatTable = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SeenFootprint:
    """A footprint of a reviewed tile.

    Args:
        component: It.
        block: Of its tile.
        mask: Its pixels (H, W) in the tile.
        changed: Known pixels in it that changed.
        known: Known pixels in it.
        is_whole: Whether it ends within the tile; the shape of others is not known.
    """

    component: Component
    block: str
    mask: Mask
    changed: int
    known: int
    is_whole: bool

    @property
    def is_building(self) -> bool:
        """Whether more of what is known changed than not."""
        return 2 * self.changed >= self.known


@dataclass(slots=True)
class _InMemory:
    """Probability of a tile as footprints are found in it."""

    probability: FloatArray
    grid: Grid
    is_stored: bool = False

    def read(self, window: Window) -> FloatArray:
        """See :class:`hanet.footprints.extraction.ProbabilitySource`."""
        return self.probability[window.slices]


def footprints_in(
    probability: FloatArray, label: ByteArray, *, threshold: float, block: str
) -> list[SeenFootprint]:
    """The footprints of a tile.

    Args:
        probability: (H, W) in 0-1.
        label: (H, W), 0, 1 or IGNORED.
        threshold: From which on a pixel is change.
        block: Of the tile.
    """
    height, width = probability.shape
    # without a CRS, whose pixels have no metres: touching buildings are separated by pixels there
    grid = Grid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), height, width)
    settings = FootprintSettings(threshold=threshold)
    found = []
    for component in find_components(_InMemory(probability, grid), settings):
        mask = _pixels(component, probability.shape)
        inside = label[mask]
        left, top, right, bottom = component.polygon().bounds
        found.append(
            SeenFootprint(
                component,
                block,
                mask,
                changed=int((inside == 1).sum()),
                known=int((inside != IGNORED).sum()),
                is_whole=left > 0 and top > 0 and right < width and bottom < height,
            )
        )
    return found


def filtered_mask(
    probability: FloatArray, keeping: FootprintFilter, *, threshold: float
) -> Mask:  # (H, W)
    """Changed pixels of a tile without those of footprints that a filter leaves out; those that the
    tile's edge cuts stay, since nobody knows their shape."""
    mask: Mask = probability >= np.float32(threshold)
    nothing = np.full(probability.shape, IGNORED, dtype=np.uint8)
    seen = footprints_in(probability, nothing, threshold=threshold, block="")
    whole = [one for one in seen if one.is_whole]
    kept = keeping.keeps([one.component for one in whole], None)
    for one, is_kept in zip(whole, kept, strict=True):
        if not is_kept:
            mask &= ~one.mask
    return mask


def learned_filter(
    footprints: Sequence[SeenFootprint], rest: Iterable[Counts], *, gsd_m: float
) -> FootprintFilter | str:
    """The filter that reviewed footprints teach, or in words why there is none.

    Args:
        footprints: Of all tiles to learn from.
        rest: Pixel counts of the same tiles, all footprints kept.
        gsd_m: Metres a pixel.
    """
    usable = [
        one
        for one in footprints
        if one.is_whole and one.known >= LEAST_KNOWN_SHARE * one.mask.sum() and one.known
    ]
    is_building = np.array([one.is_building for one in usable], dtype=np.bool_)
    for kind, what in ((is_building, "building"), (~is_building, "false alarm")):
        count = int(kind.sum())
        if count < FEWEST:
            several = "" if count == 1 else "s"
            return f"{count} {what}{several} among the reviewed footprints; {FEWEST} are needed"
    table = features_of([one.component for one in usable], (gsd_m, gsd_m))
    unseen = np.full(len(usable), np.nan)
    folds = _folds([one.block for one in usable])
    for fold in range(FOLDS):
        inside, outside = folds == fold, folds != fold
        if inside.any() and len(set(is_building[outside].tolist())) == 2:
            unseen[inside] = _fitted(table[outside], is_building[outside], gsd_m).probability(
                table[inside]
            )
    unseen = np.where(np.isnan(unseen), 1.0, unseen)
    whole = sum(rest, Counts())
    changed = np.array([one.changed for one in usable])
    wrong = np.array([one.known - one.changed for one in usable])

    def f1_at(cut: float) -> float:
        gone = unseen < cut
        lost, saved = int(changed[gone].sum()), int(wrong[gone].sum())
        return (
            Counts(whole.tp - lost, whole.fp - saved, whole.fn + lost, whole.tn + saved).scores().f1
        )

    cut = max((0.0, *CUTS), key=lambda cut: (f1_at(cut), -cut))
    if cut == 0.0:
        return "shape and probability do not tell false alarms from buildings here"
    return replace(_fitted(table, is_building, gsd_m), cut=cut)


def _fitted(table: FloatTable, is_building: Mask, gsd_m: float) -> FootprintFilter:
    """Newton's method on the penalised likelihood, from zero; converges since that is convex."""
    means, scales = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-6)
    inputs = np.column_stack([(table - means) / scales, np.ones(len(table))])
    penalty = np.diag([RIDGE] * table.shape[1] + [1e-6])  # the bias is free
    weights = np.zeros(inputs.shape[1])
    for _ in range(50):
        probability = np.exp(-np.logaddexp(0, -(inputs @ weights)))
        slope = inputs.T @ (probability - is_building) + penalty @ weights
        curvature = (inputs.T * (probability * (1 - probability))) @ inputs + penalty
        step = np.linalg.solve(curvature, slope)
        weights = weights - step * min(1.0, 5.0 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-9:
            break
    return FootprintFilter(
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        weights=tuple(weights[:-1].tolist()),
        bias=float(weights[-1]),
        cut=0.5,
        gsd_m=gsd_m,
        footprints=len(table),
    )


def _folds(blocks: Sequence[str]) -> npt.NDArray[np.int64]:
    """The fold of each footprint; blocks stay whole."""
    numbers = {block: number % FOLDS for number, block in enumerate(sorted(set(blocks)))}
    return np.array([numbers[block] for block in blocks], dtype=np.int64)


def _pixels(component: Component, shape: tuple[int, int]) -> Mask:
    painted = rasterize([(component.polygon(), 1)], out_shape=shape, fill=0, dtype="uint8")
    mask: Mask = painted.astype(np.bool_)
    return mask
