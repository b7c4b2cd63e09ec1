"""The rung ``threshold``: the threshold of the best F1 on reviewed ground, and the temperature that
makes its labels most likely.

Source of the temperature: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, as in
:mod:`hanet.evaluation.calibration`. It moves no pixel by itself: the threshold is moved along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hanet.adaptation.ground import PlacedTile
from hanet.adaptation.standing import Standing
from hanet.evaluation.calibration import MAX_TEMPERATURE, Calibration, at_temperature
from hanet.evaluation.histogram import HISTOGRAM_BINS, ProbabilityHistogram
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
