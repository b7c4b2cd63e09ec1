"""Object scores: connected footprints of prediction and label, matched one to one by overlap. The only user of scipy."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from hanet.metrics import Counts
from hanet.types import Mask

EIGHT_CONNECTED = np.ones((3, 3), dtype=np.int64)


def match_objects(prediction: Mask, change: Mask, *, iou: float = 0.5) -> Counts:
    """Counts of objects: a predicted footprint is right if it covers one of the label's with at least this IoU.

    At an IoU above one half a footprint can match one other at most, so no assignment has to be solved; at exactly one half ties go to the
    first. Footprints are 8-connected. ``tn`` is 0: there are no true negatives among objects.
    """
    predicted, predictions = ndimage.label(prediction, EIGHT_CONNECTED)
    labelled, labels = ndimage.label(change, EIGHT_CONNECTED)
    if not predictions or not labels:
        return Counts(fp=int(predictions), fn=int(labels))
    both = (predicted > 0) & (labelled > 0)
    pairs, common = np.unique(np.stack([predicted[both], labelled[both]]), axis=1, return_counts=True)
    area_predicted, area_labelled = np.bincount(predicted.ravel()), np.bincount(labelled.ravel())
    union = area_predicted[pairs[0]] + area_labelled[pairs[1]] - common
    matching = pairs[:, common / union >= iou]
    matched = min(len(np.unique(matching[0])), len(np.unique(matching[1])))
    return Counts(tp=matched, fp=int(predictions) - matched, fn=int(labels) - matched)
