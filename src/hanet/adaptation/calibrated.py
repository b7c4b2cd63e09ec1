"""The rungs ``threshold`` and ``crossed``: the threshold of the best F1 on reviewed ground, and the
temperature that makes its labels most likely.

Source of the temperature: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, as in
:mod:`hanet.evaluation.calibration`. It moves no pixel by itself: the threshold is moved along.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hanet.adaptation.ground import PlacedTile
from hanet.adaptation.standing import Standing, counts_of
from hanet.evaluation.calibration import MAX_TEMPERATURE, Calibration, at_temperature
from hanet.evaluation.histogram import HISTOGRAM_BINS, ProbabilityHistogram
from hanet.evaluation.metrics import Counts
from hanet.types import IGNORED, ByteArray


def calibrated(
    standing: Standing, tiles: Sequence[PlacedTile], labels: Mapping[str, ByteArray]
) -> Standing | str:
    """The weights with the threshold and the temperature that reviewed tiles choose; in words why
    there is none.

    Args:
        standing: The weights.
        tiles: That choose.
        labels: Of all tiles.
    """
    histogram, calibration = ProbabilityHistogram(), Calibration()
    for placed in tiles:
        name = placed.tile.name
        known = labels[name] != IGNORED
        probability, change = standing.probability[name][known], labels[name][known] == 1
        histogram.add(probability, change)
        calibration.add(probability, change)
    threshold = histogram.best_threshold()
    if histogram.counts(round(threshold * HISTOGRAM_BINS)).tp == 0:
        return "no threshold finds a changed pixel"
    temperature = calibration.temperature()
    if not 1.01 / MAX_TEMPERATURE < temperature < MAX_TEMPERATURE / 1.01:
        temperature = 1.0  # nearly all pixels are right: likelihood says nothing
    return standing.at(temperature, at_temperature(threshold, temperature))


def crossed_counts(
    standing: Standing, tiles: Sequence[PlacedTile], labels: Mapping[str, ByteArray]
) -> dict[str, Counts]:
    """Pixel counts of each block at the threshold that all other blocks choose: no block has a part
    in the threshold that it judges (cross-validation, as Roberts et al. 2017 in
    :mod:`hanet.adaptation.blocks`).

    Args:
        standing: The weights; a footprint filter of theirs has no part in the choice of a
            threshold, and is applied where counts are made.
        tiles: Of two blocks or more.
        labels: Of all tiles.
    """
    histograms: defaultdict[str, ProbabilityHistogram] = defaultdict(ProbabilityHistogram)
    for placed in tiles:
        name = placed.tile.name
        known = labels[name] != IGNORED
        histograms[placed.block].add(standing.probability[name][known], labels[name][known] == 1)
    counts: dict[str, Counts] = {}
    for block in histograms:
        others = ProbabilityHistogram()
        for name, histogram in histograms.items():
            if name != block:
                others = others + histogram
        own = [placed for placed in tiles if placed.block == block]
        counts |= counts_of(replace(standing, threshold=others.best_threshold()), own, labels)
    return counts
