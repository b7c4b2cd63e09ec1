"""Does `hanet suggest` choose better tiles to review than chance?

    python benchmarks/suggestion.py FOLDER [--seeds 10] [--counts 5 20] [--places nyc suburbs ...]

A place is ground that training never saw, cut into tiles, of which some scenes are the pool and
others the test. For each seed a random four fifths of the pool are offered; from them tiles are
chosen by :func:`hanet.review.tile_choice.select_tiles`, at random, or by doubt alone. The weights
then learn from the labels of these tiles, and are scored on the test tiles.

What learns is the threshold, as the rung `threshold` of `hanet adapt` does it
(:mod:`hanet.adaptation.calibrated`), or the last layer and then the threshold. The last layer is a
logistic regression over the decoder's features and the old answer, drawn towards the old answer, on
2048 random pixels of each tile at half the resolution: done in a second, so that many seeds can be
compared. It is cheaper than the rung `head`, and is not in `hanet adapt`.

FOLDER keeps the features of each place and a JSON of each case; what is there is not computed
again. FOLDER lies outside the repository: the features are made of imagery. The summary goes into
results/suggestion.json.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from elsewhere_sets import (
    STYLES,
    LabelledPair,
    StyledScene,
    as_sixteen_bit,
    nyc_xor,
    suburbs_planted,
    suburbs_xor,
)
from hanet.evaluation.histogram import ProbabilityHistogram
from hanet.files import replace_file
from hanet.provenance import machine
from hanet.review.suggestion import views_of
from hanet.review.tile_choice import select_tiles, strengths_of
from hanet.review.tile_features import disagreement, doubt_of, features_of
from hanet.types import FloatArray, Json, Mask, Window
from hanet.weights import catalogue
from hanet.weights.runtime import open_runtime

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "suggestion.json"

TILE_PX, PIXELS = 256, 2048
"""Side of a tile, and pixels of it that are learned from or scored."""

OFFERED = 0.8
"""Share of the pool that a seed offers."""

PULL = 30.0
"""How strongly the new last layer is drawn towards the old answer, in pixels."""

STEPS = 15
"""Of Newton's method, more than it needs."""

NOWHERE = (math.nan, math.nan)

LEARNERS = ("threshold", "last layer")

CHOICES = ("suggest", "random", "doubt")

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of a place: where it lies, what it shows, and whether it is of the test."""

    position: tuple[float, float]
    pair: LabelledPair
    is_test: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A place, inferred once.

    Args:
        features: (N, F) what tiles look like.
        doubt: (N,) of the probability.
        flips: (N,) how much their flips disagree.
        blank: (N,) whether nothing was found.
        positions: (N, 2); :data:`NOWHERE` for pairs of scenes that lie nowhere.
        is_test: (N,).
        pixels: (N, P, D) decoder features, the last one the old answer before the sigmoid.
        changed: (N, P).
    """

    features: Floats
    doubt: Floats
    flips: Floats
    blank: npt.NDArray[np.bool_]
    positions: Floats
    is_test: npt.NDArray[np.bool_]
    pixels: npt.NDArray[np.float16]
    changed: npt.NDArray[np.bool_]


def tiles_of_pairs(
    pairs: Iterator[LabelledPair], side: int, pool: Callable[[int], bool | None]
) -> Iterator[Tile]:
    """Tiles of pairs; ``pool(number)`` says whether a pair is of the pool, the test, or neither."""
    for number, pair in enumerate(pairs):
        is_pool = pool(number)
        if is_pool is None:
            continue
        height, width = pair.change.shape
        for row in range(0, height - side + 1, side):
            for column in range(0, width - side + 1, side):
                part = np.s_[row : row + side, column : column + side]
                cut = LabelledPair(
                    f"{pair.name}_{row}_{column}",
                    pair.before[part],
                    pair.after[part],
                    pair.change[part],
                    pair.built[part],
                )
                yield Tile(NOWHERE, cut, not is_pool)


def nyc(data: Path) -> Iterator[Tile]:
    """New York: neighbours in the ring share a scene, so the pairs between the two parts drop."""
    ring = {12: None, 17: None}
    yield from tiles_of_pairs(nyc_xor(data), TILE_PX, lambda n: ring.get(n, n < 12))


def suburbs(pairs: Callable[[Path], Iterator[LabelledPair]]) -> Callable[[Path], Iterator[Tile]]:
    """US suburbs, whole pairs of 144 px: of each ten in a row six are of the pool and two of the
    test; those between share a scene with both, and drop."""
    parts = (True,) * 6 + (None,) + (False,) * 2 + (None,)
    return lambda data: tiles_of_pairs(pairs(data), 144, lambda n: parts[n % 10])


def rendered(style: str) -> Callable[[Path], Iterator[Tile]]:
    """A town in a style that training never draws; another town of it is the test."""

    def tiles(_: Path) -> Iterator[Tile]:
        gsd_m, roofs, dates = STYLES[style]
        for seed in (611, 612):
            scene = StyledScene(seed, gsd_m=gsd_m, roofs=roofs, dates=dates)
            for row in range(8):
                for column in range(8):
                    window = Window(row * TILE_PX, column * TILE_PX, TILE_PX, TILE_PX)
                    before, after, change = scene.render(window)
                    pair = [np.moveaxis(image, 0, -1) for image in (before, after)]
                    if style == "sixteen-bit":
                        pair = as_sixteen_bit(*pair)
                    name = f"{style}-{seed}-{row}-{column}"
                    cut = LabelledPair(name, pair[0], pair[1], change, scene.built(window))
                    yield Tile((float(row), float(column)), cut, seed == 612)

    return tiles


PLACES: dict[str, Callable[[Path], Iterator[Tile]]] = {
    "nyc": nyc,
    "suburbs": suburbs(suburbs_xor),
    "suburbs-planted": suburbs(suburbs_planted),
    "rendered-snow": rendered("snow"),
}


def inferred(tiles: Iterator[Tile], weights: str) -> Place:
    """Everything of a place that does not depend on a choice."""
    import torch

    from hanet.models.normalisation import Normalisation
    from hanet.weights.weights_file import load_weights

    runtime = open_runtime(catalogue.resolve(weights, suffixes=(".onnx",)))
    model, metadata = load_weights(catalogue.resolve(weights, suffixes=(".safetensors",)))
    decoded: list[torch.Tensor] = []
    model.head.register_forward_pre_hook(lambda _, inputs: decoded.append(inputs[0]))  # type: ignore[union-attr]
    normalised = Normalisation(metadata)
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            *("features", "doubt", "flips", "blank", "positions", "is_test", "pixels", "changed"),
        )
    }
    for number, tile in enumerate(tiles):
        dates = [
            np.moveaxis(image, -1, 0).astype(np.float32)
            for image in (tile.pair.before, tile.pair.after)
        ]
        views = views_of(runtime, *dates)
        assert views is not None, "tiles have sides that the weights take"
        doubt = doubt_of(views[0], metadata.threshold)
        with torch.inference_mode():
            model(*normalised(*(torch.from_numpy(image)[None] / 255.0 for image in dates)))
        features = decoded.pop()[0].numpy()  # (D, h/2, w/2)
        answer = np.clip(views[0][::2, ::2], 1e-4, 1 - 1e-4)
        answer = np.log(answer / (1 - answer))
        pixels = np.concatenate([features, answer[None]]).reshape(len(features) + 1, -1).T
        some = np.random.default_rng(number).choice(len(pixels), PIXELS, replace=False)
        columns["features"].append(features_of(dates[0], dates[1], doubt))
        columns["doubt"].append(doubt.doubt)
        columns["flips"].append(disagreement(views))
        columns["blank"].append(doubt.changed == 0)
        columns["positions"].append(tile.position)
        columns["is_test"].append(tile.is_test)
        columns["pixels"].append(pixels[some].astype(np.float16))
        columns["changed"].append(tile.pair.change[::2, ::2].ravel()[some])
    return Place(**{name: np.array(values) for name, values in columns.items()})


def kept(folder: Path, name: str, data: Path, weights: str) -> Place:
    """The place, from the folder or computed now."""
    path = folder / f"{name}.npz"
    if not path.exists():
        place = inferred(PLACES[name](data), weights)
        partial = path.with_name(f"{name}.partial.npz")
        np.savez(partial, **{field: getattr(place, field) for field in Place.__slots__})
        partial.rename(path)
    with np.load(path) as arrays:
        return Place(**{field: arrays[field] for field in Place.__slots__})


def chosen(place: Place, choice: str, *, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Rows of the tiles that are reviewed."""
    generator = np.random.default_rng(seed)
    pool = np.flatnonzero(~place.is_test)
    offered = np.sort(generator.permutation(pool)[: round(OFFERED * len(pool))])
    if choice == "random":
        return generator.permutation(offered)[:count]
    doubt = place.doubt[offered] * strengths_of(place.doubt[offered], place.flips[offered])
    if choice == "doubt":
        return offered[np.argsort(-doubt, kind="stable")[:count]]
    picked = select_tiles(
        place.features[offered],
        doubt,
        None if np.isnan(place.positions).any() else place.positions[offered],
        count=count,
        seed=seed,
        blank=place.blank[offered],
    )
    return offered[[one.index for one in picked]]


def learned(pixels: FloatArray, changed: Mask) -> Callable[[FloatArray], Floats]:
    """The new last layer: (M, D) pixels and whether they changed give a function from pixels to the
    answer before the sigmoid."""
    values = pixels.astype(np.float64)
    middle, spread = values.mean(axis=0), values.std(axis=0) + 1e-6

    def columns(some: FloatArray) -> Floats:
        standard = (some.astype(np.float64) - middle) / spread
        return np.column_stack([standard[:, :-1], some[:, -1], np.ones(len(some))])

    table = columns(pixels)
    old = np.zeros(table.shape[1])
    old[-2] = 1.0  # the old answer as it is
    signs = np.where(changed, -1.0, 1.0)

    def loss(weights: Floats) -> float:
        misfit = float(np.logaddexp(0.0, signs * (table @ weights)).sum())
        return misfit + 0.5 * PULL * float(((weights - old) ** 2).sum())

    weights, lowest = old.copy(), loss(old)
    for _ in range(STEPS):
        answer = 1.0 / (1.0 + np.exp(-np.clip(table @ weights, -30, 30)))
        slope = table.T @ (answer - changed) + PULL * (weights - old)
        curvature = (table * (answer * (1 - answer))[:, None]).T @ table
        step = np.linalg.solve(curvature + PULL * np.eye(len(weights)), slope)
        # a whole step overshoots where the old answer is very sure
        tried = [weights - length * step for length in (1.0, 0.5, 0.25, 0.125, 0.03)]
        best = min(tried, key=loss)
        if not loss(best) < lowest:
            break
        weights, lowest = best, loss(best)
    return lambda some: columns(some) @ weights


def f1_of(answer: Floats, changed: Mask) -> float:
    """F1 of what is above 0."""
    found = answer > 0
    right = int((found & changed).sum())
    return 2 * right / max(1, int(found.sum()) + int(changed.sum()))


def score(place: Place, rows: npt.NDArray[np.int64], learner: str) -> float:
    """F1 on the test after learning from tiles; the threshold is the best one on the same tiles."""
    depth = place.pixels.shape[-1]
    test = place.pixels[place.is_test].reshape(-1, depth).astype(np.float32)
    pixels = place.pixels[rows].reshape(-1, depth).astype(np.float32)
    changed = place.changed[rows].ravel()
    answer = (lambda some: some[:, -1]) if learner == "threshold" else learned(pixels, changed)
    histogram = ProbabilityHistogram()
    histogram.add((1.0 / (1.0 + np.exp(-answer(pixels)))).astype(np.float32), changed)
    threshold = histogram.best_threshold()
    margin = np.log(threshold / (1.0 - threshold))
    return f1_of(answer(test) - margin, place.changed[place.is_test].ravel())


def score_before(place: Place) -> float:
    """F1 on the test of the weights as they are, at 0.5."""
    answers = place.pixels[place.is_test][:, :, -1].ravel().astype(np.float64)
    return f1_of(answers, place.changed[place.is_test].ravel())


def kept_case(folder: Path, name: str, place: Place, choice: str, *, count: int, seed: int) -> Json:
    """What one choice leads to, from the folder or computed now."""
    path = folder / f"{name}-{choice}-{count}-{seed}.json"
    if not path.exists():
        rows = chosen(place, choice, count=count, seed=seed)
        values = {
            "choice": choice,
            "seed": seed,
            "tiles": rows.tolist(),
            "blank_tiles": int(place.blank[rows].sum()),
            "changed_share": float(place.changed[rows].mean()),
            **{learner: score(place, rows, learner) for learner in LEARNERS},
        }
        replace_file(path, json.dumps(values).encode())
    values = json.loads(path.read_text())
    assert isinstance(values, dict)
    return values


def summary(cases: list[Json], learner: str) -> Json:
    """Means over seeds, and the difference from random choice with its 95 % interval over seeds."""
    found: Json = {}
    for choice in CHOICES:
        of_choice = {one["seed"]: one[learner] for one in cases if one["choice"] == choice}
        found[choice] = {"f1": mean(of_choice.values()), "seeds": len(of_choice)}
        if choice == "random":
            continue
        chance = {one["seed"]: one[learner] for one in cases if one["choice"] == "random"}
        gains = [of_choice[seed] - chance[seed] for seed in of_choice if seed in chance]
        wide = 1.96 * stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else None
        found[choice]["over_random"] = mean(gains)
        found[choice]["interval_95"] = (
            [mean(gains) - wide, mean(gains) + wide] if wide is not None else None
        )
    return found


def main() -> None:
    """Computes what is missing, and writes the summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--weights", default=catalogue.DEFAULT)
    parser.add_argument("--places", nargs="+", choices=PLACES, default=list(PLACES))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--counts", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    if options.folder.resolve().is_relative_to(ROOT):
        raise SystemExit(f"error: {options.folder} lies in the repository, which holds no imagery")
    cases_folder = options.folder / "cases"
    cases_folder.mkdir(parents=True, exist_ok=True)
    found: Json = {}
    for name in options.places:
        place = kept(options.folder, name, options.data, options.weights)
        found[name] = {
            "pool": int((~place.is_test).sum()),
            "test": int(place.is_test.sum()),
            "blank_share": float(place.blank.mean()),
            "f1_before": score_before(place),
            "f1_all_of_the_pool": {
                learner: score(place, np.flatnonzero(~place.is_test), learner)
                for learner in LEARNERS
            },
        }
        for count in options.counts:
            cases = [
                kept_case(cases_folder, name, place, choice, count=count, seed=seed)
                for seed in range(1, options.seeds + 1)
                for choice in CHOICES
            ]
            for learner in LEARNERS:
                means = summary(cases, learner)
                found[name][f"{learner}, {count} tiles"] = means
                told = ", ".join(f"{one} {100 * means[one]['f1']:.1f}" for one in CHOICES)
                print(f"{name}, {learner}, {count} tiles: {told}", flush=True)
    seeds, counts = options.seeds, " ".join(map(str, options.counts))
    result = {
        "what": "F1 after the threshold or the last layer learned from tiles chosen by hanet "
        "suggest, by chance and by doubt alone; see the head of the program",
        "command": f"python benchmarks/suggestion.py FOLDER --seeds {seeds} --counts {counts}",
        "weights": options.weights,
        "machine": machine(),
        "places": found,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(options.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
