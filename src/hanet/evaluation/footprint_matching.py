"""Object scores: connected footprints of prediction and label, matched one to one by overlap. The
only user of scipy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from hanet.errors import SettingsError, ShapeError
from hanet.evaluation.metrics import Counts
from hanet.types import Mask

MATCHING_IOU = 0.5
"""A predicted footprint is right if it overlaps one of the label's by at least this."""

EIGHT_CONNECTED = np.ones((3, 3), dtype=np.int64)
"""Pixels that touch at a corner are of one footprint, as in ``hanet footprints``."""


def match_objects(
    prediction: Mask, change: Mask, *, iou: float = MATCHING_IOU, min_area_px: int = 1
) -> Counts:
    """Counts of footprints: right, wrong and missed ones.

    Pairs that overlap enough are matched one to one, as many as can be. Above an IoU of one half a
    footprint has at most one such partner; at one half and below it may have several, and the
    matching decides.

    Args:
        prediction: Predicted change (H, W).
        change: The label (H, W).
        iou: Intersection over union from which on two footprints may be matched, above 0.
        min_area_px: Footprints of fewer pixels are left out, on both sides, before matching.

    Returns:
        Counts; ``tn`` is 0, since there are no true negatives among objects.

    Raises:
        ShapeError: The shapes differ.
        SettingsError: ``iou`` is not above 0 and at most 1.
    """
    numbered = [
        np.asarray(ndimage.label(mask, EIGHT_CONNECTED)[0], dtype=np.int64)
        for mask in (prediction, change)
    ]
    return match_numbered(*numbered, iou=iou, min_area_px=min_area_px)


def match_numbered(
    prediction: npt.NDArray[np.int64],
    change: npt.NDArray[np.int64],
    *,
    iou: float = MATCHING_IOU,
    min_area_px: int = 1,
) -> Counts:
    """The same of footprints that are numbered already, so that two may touch: the number of each
    pixel (H, W), 0 for none.

    Raises:
        ShapeError: The shapes differ.
        SettingsError: ``iou`` is not above 0 and at most 1.
    """
    if prediction.shape != change.shape:
        raise ShapeError(f"the prediction is {prediction.shape}, the label {change.shape}")
    if not 0.0 < iou <= 1.0:
        raise SettingsError(f"iou is {iou}; it must be above 0 and at most 1")
    predicted, predicted_areas = _large_enough(prediction, min_area_px)
    labelled, labelled_areas = _large_enough(change, min_area_px)
    predictions, labels = int((predicted_areas > 0).sum()), int((labelled_areas > 0).sum())
    both = (predicted > 0) & (labelled > 0)
    # One number a pair of footprints, so that a pass over the pixels finds all overlaps.
    pair, common = np.unique(
        predicted[both] * len(labelled_areas) + labelled[both], return_counts=True
    )
    first, second = np.divmod(pair, len(labelled_areas))
    enough = common >= iou * (predicted_areas[first] + labelled_areas[second] - common)
    graph = sparse.csr_matrix(
        (np.ones(int(enough.sum()), dtype=np.int8), (first[enough], second[enough])),
        shape=(len(predicted_areas), len(labelled_areas)),
    )
    matched = int((maximum_bipartite_matching(graph) >= 0).sum()) if graph.nnz else 0
    return Counts(tp=matched, fp=predictions - matched, fn=labels - matched)


def _large_enough(
    numbers: npt.NDArray[np.int64], min_area_px: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Number of the footprint of each pixel, 0 for none; and the pixels of each number, 0 for none
    and for the too small."""
    areas = np.bincount(numbers.ravel())
    areas[0] = 0
    areas[areas < min_area_px] = 0
    return np.where(areas[numbers] > 0, numbers, 0), areas
