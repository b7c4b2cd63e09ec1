"""Weights as they stand on a rung of the ladder: the file that runs, what it gives for the reviewed
tiles, and how changed pixels are made of that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hanet.adaptation.false_alarms import filtered_mask
from hanet.adaptation.ground import Ground, PlacedTile
from hanet.evaluation.metrics import Counts
from hanet.footprints.false_alarms import FootprintFilter
from hanet.imagery.images import read_change, read_image
from hanet.metadata import Metadata
from hanet.types import IGNORED, ByteArray, FloatArray, Mask, Progress
from hanet.weights.engine import Engine
from hanet.weights.runtime import open_runtime

AT_ONCE = 4
"""Tiles that go through the weights together."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Weights on a rung.

    Args:
        onnx: The file that runs; threshold, temperature and filter may differ from its own.
        torch: The file to train from that it was made of; None where there is none.
        metadata: Of ``onnx``.
        probability: Of change in 0-1 for each tile by name, (256, 256), at ``temperature``.
        threshold: Probability from which on a pixel is change, at ``temperature``.
        temperature: By which logits are divided, beside the file's own.
        footprint_filter: Leaves out false alarms; None leaves none out.
    """

    onnx: Path
    torch: Path | None
    metadata: Metadata
    probability: Mapping[str, FloatArray]
    threshold: float
    temperature: float = 1.0
    footprint_filter: FootprintFilter | None = None

    def mask(self, name: str) -> Mask:  # (256, 256)
        """Changed pixels of a tile, without footprints that the filter leaves out."""
        return self.mask_of(self.probability[name])

    def mask_of(self, probability: FloatArray) -> Mask:  # (H, W) -> (H, W)
        """Changed pixels of probability at ``temperature``, as :meth:`mask`."""
        if self.footprint_filter is None:
            return np.asarray(probability >= np.float32(self.threshold))
        return filtered_mask(probability, self.footprint_filter, threshold=self.threshold)

    def at(self, temperature: float, threshold: float) -> Standing:
        """At a further temperature, with a threshold that is meant there."""
        return replace(
            self,
            probability={
                name: cooled(probability, temperature)
                for name, probability in self.probability.items()
            },
            threshold=threshold,
            temperature=self.temperature * temperature,
        )


def standing_of(
    onnx: Path,
    torch: Path | None,
    ground: Ground,
    *,
    threads: int | None,
    progress: Progress | None = None,
) -> Standing:
    """Weights as their file says, with what they give for all tiles of the ground.

    Raises:
        HanetError: The file cannot be run on tiles of 256 pixels.
    """
    runtime = open_runtime(onnx, Engine(threads=threads))
    found: dict[str, FloatArray] = {}
    tiles = ground.tiles
    for start in range(0, len(tiles), AT_ONCE):
        if progress is not None:
            progress("looking at reviewed tiles", start / len(tiles))
        part = tiles[start : start + AT_ONCE]
        files = [ground.files(placed) for placed in part]
        images = [
            np.stack([read_image(paths[date]) for paths in files]).astype(np.float32)
            for date in (0, 1)
        ]
        for placed, probability in zip(part, runtime.predict(images[0], images[1]), strict=True):
            found[placed.tile.name] = probability
    metadata = runtime.metadata
    stored = metadata.footprint_filter
    keeping = FootprintFilter.from_json(stored) if stored is not None else None
    return Standing(onnx, torch, metadata, found, metadata.threshold, footprint_filter=keeping)


def labels_of(ground: Ground) -> dict[str, ByteArray]:
    """The label of each tile by name, (256, 256): 0, 1 or IGNORED."""
    return {placed.tile.name: read_change(ground.files(placed)[2]) for placed in ground.tiles}


def counts_of(
    standing: Standing, tiles: Sequence[PlacedTile], labels: Mapping[str, ByteArray]
) -> dict[str, Counts]:
    """Pixel counts of known pixels, summed over the tiles of each block."""
    counts: defaultdict[str, Counts] = defaultdict(Counts)
    for placed in tiles:
        name = placed.tile.name
        known = labels[name] != IGNORED
        counts[placed.block] += Counts.of(standing.mask(name)[known], labels[name][known] == 1)
    return dict(counts)


def cooled(probability: FloatArray, temperature: float) -> FloatArray:
    """Probabilities whose logits are divided by a temperature; 0 and 1 stay what they are."""
    if temperature == 1.0:
        return probability
    with np.errstate(divide="ignore"):
        logit = np.log(probability.astype(np.float64)) - np.log1p(-probability.astype(np.float64))
    cool: FloatArray = np.exp(-np.logaddexp(0, -logit / temperature)).astype(np.float32)
    return cool
