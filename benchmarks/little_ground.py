"""What the rung ``crossed`` keeps with few reviewed tiles, and how often it is wrong.

    PYTHONPATH=scripts python benchmarks/little_ground.py FOLDER [--data ../shared/data]

FOLDER, outside the repository, gets the places of benchmarks/adaptation_places.py or has them. For
each place and number of tiles, 200 draws of tiles from its pool: what the crossed blocks say, what
the hold-out of 0.4 of the same tiles says of a threshold chosen on the others, and what the
threshold that is kept gains on the place's test tiles, of which nothing was drawn. A minute of one
core; writes results/adaptation/little-ground.json, and `make pages` the table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adaptation_places import PLACES, make
from hanet.adaptation.verdict import Verdict, judged
from hanet.datasets.layout import list_pairs
from hanet.evaluation.histogram import HISTOGRAM_BINS, ProbabilityHistogram
from hanet.evaluation.metrics import Counts
from hanet.evaluation.protocols import Protocol, predict_split, predictor_of
from hanet.files import file_hash, replace_file
from hanet.provenance import machine, versions
from hanet.types import IGNORED, Json
from hanet.weights import catalogue
from hanet.weights.engine import Engine

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "adaptation" / "little-ground.json"

DRAWS = 200
TILES = (5, 6, 8, 10, 20)
HOLD_OUT = 0.4

LOSS = 0.01
"""Of F1 on the test tiles: a threshold that was kept and loses more was kept wrongly."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile, as far as thresholds see it.

    Args:
        histogram: Of its probabilities by label.
        before: Its counts at the threshold of the weights.
    """

    histogram: ProbabilityHistogram
    before: Counts

    def at(self, threshold: float) -> Counts:
        """Its counts at another one."""
        return self.histogram.counts(round(threshold * HISTOGRAM_BINS))


def tiles_of(place: Path, part: str, weights: Path, threads: int) -> list[Tile]:
    """All tiles of a part of a place, in order."""
    predictor, metadata = predictor_of(weights, Engine(threads=threads))
    found = []
    for image in predict_split(predictor, list_pairs(place, part), Protocol("whole")):
        known = image.change != IGNORED
        probability, change = image.probability[known], image.change[known] == 1
        histogram = ProbabilityHistogram()
        histogram.add(probability, change)
        mask = probability >= np.float32(metadata.threshold)
        found.append(Tile(histogram, Counts.of(mask, change)))
    return found


def best_threshold(tiles: Sequence[Tile]) -> float:
    """The threshold that these tiles choose."""
    return sum((tile.histogram for tile in tiles), ProbabilityHistogram()).best_threshold()


def verdict_on(tiles: Sequence[Tile], after: Sequence[Counts], seed: int) -> Verdict:
    """The verdict of adaptation on tiles that are a block each."""
    names = [str(number) for number in range(len(tiles))]
    before = {name: tile.before for name, tile in zip(names, tiles, strict=True)}
    return judged(before, dict(zip(names, after, strict=True)), seed=seed)


def f1_of(counts: Sequence[Counts]) -> float:
    """Of counts summed."""
    return sum(counts, Counts()).scores().f1


def drawn(pool: Sequence[Tile], test: Sequence[Tile], count: int) -> Json:
    """What all draws of so many tiles give."""
    first = f1_of([tile.before for tile in test])
    gains: dict[str, list[float]] = {"crossed": [], "holdout": []}

    def keep(how: str, verdict: Verdict, threshold: float) -> None:
        if verdict.is_better:
            gains[how].append(f1_of([tile.at(threshold) for tile in test]) - first)

    for draw in range(DRAWS):
        generator = np.random.default_rng((draw, count))
        order = generator.permutation(len(pool))[:count].tolist()
        tiles = [pool[index] for index in order]
        crossed = [
            tile.at(best_threshold([*tiles[:number], *tiles[number + 1 :]]))
            for number, tile in enumerate(tiles)
        ]
        keep("crossed", verdict_on(tiles, crossed, draw), best_threshold(tiles))
        judging = round(HOLD_OUT * count)
        threshold = best_threshold(tiles[judging:])
        after = [tile.at(threshold) for tile in tiles[:judging]]
        keep("holdout", verdict_on(tiles[:judging], after, draw), threshold)
    return {"tiles": count, **{how: _facts(values) for how, values in gains.items()}}


def _facts(gains: Sequence[float]) -> Json:
    """How often it was kept, what was gained then, and how often it was wrong."""
    return {
        "kept": len(gains),
        "mean_gain": float(np.mean(gains)) if gains else None,
        "least_gain": min(gains) if gains else None,
        "wrong": sum(gain < -LOSS for gain in gains),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--weights", default="hanet_lite")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    if folder.resolve().is_relative_to(ROOT):
        raise SystemExit(f"error: {folder} lies in the repository, which holds no imagery")
    make(folder, arguments.data, list(PLACES))
    weights = catalogue.resolve(arguments.weights, suffixes=(".onnx",))
    places: Json = {}
    for place in PLACES:
        pool, test = (
            tiles_of(folder / place, part, weights, arguments.threads) for part in ("pool", "test")
        )
        best = best_threshold(test)
        places[place] = {
            "before": f1_of([tile.before for tile in test]),
            "best_threshold": f1_of([tile.at(best) for tile in test]),
            "draws": [drawn(pool, test, count) for count in TILES],
        }
        print(f"{place}: {places[place]}", flush=True)
    values: Json = {
        "weights": {"name": arguments.weights, "sha256": file_hash(weights)},
        "draws": DRAWS,
        "hold_out": HOLD_OUT,
        "loss": LOSS,
        "places": places,
        "versions": versions(["numpy", "onnxruntime"]),
        "machine": machine(),
    }
    replace_file(RESULT, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())


if __name__ == "__main__":
    main()
