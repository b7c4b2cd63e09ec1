"""The guide "It does not work well in my town", run for real on Joplin, Missouri.

    python benchmarks/joplin.py FOLDER [--data ../shared/data] [--minutes 10] [--threads 2]

The pair shows one place before and after the tornado of 2011. Its common grid has two halves with
100 m between them: the west is reviewed and learned from, the east is scored. Who labelled what,
by which rule, and what is doubtful: benchmarks/joplin_labels/README.md.

1. detects in both halves with the shipped weights;
2. puts the decisions of ``checked.geojson`` into the review of the west, as a person does by the
   page: footprints that are right are accepted, those on a changed building with another outline
   get that outline, the others are rejected, missed buildings are drawn, tiles accepted;
3. adapts the weights to that review;
4. detects in the east with what was written, and with the candidate of each rung, kept or not;
5. scores all of them on the tiles of ``scored.geojson``, which nothing has seen, and what was
   written on every fourth tile of tiles-256/val, where the shipped weights are at home.

FOLDER, outside the repository, gets the results and the weights; what is there already is not done
again. The scores go into results/adaptation/joplin.json.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import rasterize

from hanet.adaptation.adapt import adapt
from hanet.adaptation.ladder import RungName
from hanet.adaptation.sources import reviewed_results
from hanet.adaptation.standing import Standing, cooled
from hanet.datasets.layout import list_pairs
from hanet.detection.job import detect
from hanet.evaluation.footprint_matching import match_numbered
from hanet.evaluation.metrics import Counts
from hanet.evaluation.paired import paired_differences
from hanet.evaluation.protocols import Protocol, predict_split, predictor_of
from hanet.files import file_hash, replace_file
from hanet.imagery.grid import Grid, in_another_crs
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.imagery.vectors import read_features
from hanet.provenance import machine, versions
from hanet.review.items import Item, Outline
from hanet.review.label_tiles import SuggestedTile, label_tiles, tile_item, within
from hanet.review.review import Review
from hanet.types import IGNORED, FloatArray, Json, Mask, Window
from hanet.weights import catalogue
from hanet.weights.engine import Engine

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "adaptation" / "joplin.json"
LABELS = Path(__file__).parent / "joplin_labels"

HALVES = {
    "west": (366676.8, 4103282.4, 367224.0, 4104256.8),
    "east": (367324.2, 4103282.4, 367871.4, 4104256.8),
}
"""(left, bottom, right, top) in EPSG:26915: all that both dates show, without the 100 m between."""

REVIEWER = "assistant"

SAME = 0.9
"""Intersection over union from which on a footprint was accepted as it was found."""

MEANT = 0.3
"""Share of a footprint or of an outline that is common to both, from which on the footprint was
found for that building, though with another outline."""

HOME_EVERY = 4
"""Every so many tiles of tiles-256/val say what is lost at home."""

PICTURED = 26
"""The scored tile that the guide shows."""

LEAST_PX = 28
"""Footprints of less than 10 m2 are no objects, as ``hanet detect`` leaves them out."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Labels in pixel coordinates of a half.

    Args:
        tiles: Ground that was looked at, by number.
        changed: Outlines of what changed.
        unsure: Ground that counts for nothing.
    """

    tiles: dict[int, Outline]
    changed: list[Outline]
    unsure: list[Outline]


def labels_of(path: Path, grid: Grid) -> Layer:
    """Reads labels, which lie in longitude and latitude, onto a grid."""
    found = read_features(path)
    assert found.crs is not None
    assert grid.crs is not None
    a, _, c, _, e, f = grid.transform
    shapes = shapely.transform(
        in_another_crs(np.array(found.shapes, dtype=object), found.crs, grid.crs),
        lambda xy: (xy - (c, f)) / (a, e),
    )
    kinds, numbers = found.columns["what"], found.columns["tile"]
    of_kind = {
        kind: [shape for shape, one in zip(shapes, kinds, strict=True) if one == kind]
        for kind in ("changed", "unsure")
    }
    tiles = {
        int(number): shape
        for shape, kind, number in zip(shapes, kinds, numbers, strict=True)
        if kind == "tile"
    }
    return Layer(tiles, of_kind["changed"], of_kind["unsure"])


def review(out: Path, labels: Layer) -> Json:
    """Puts the decisions into the review of a result; what was decided, in numbers."""
    kept = out / "decisions.json"
    if kept.exists():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    with Review.open(out, reviewer=REVIEWER) as opened:
        windows = label_tiles(opened.grid)
        tiles = [tile_item(number - 1, windows[number - 1]) for number in labels.tiles]
        opened.suggest(
            [SuggestedTile(tile, "reviewed") for tile in tiles], count=len(tiles), seed=1
        )
        ground = shapely.unary_union([within(tile) for tile in tiles])
        found = [item for item in opened.items("found") if item.geometry.intersects(ground)]
        outlines = matched(found, labels.changed)
        accepted = [
            item.id
            for item in found
            if item.id in outlines and _iou(item.geometry, outlines[item.id]) >= SAME
        ]
        corrected = [identity for identity in outlines if identity not in accepted]
        rejected = [item.id for item in found if item.id not in outlines]
        for identity in corrected:
            opened.reshape(identity, outlines[identity])
        yes = {"status": "accepted", "kind": "demolished"}
        opened.decide([*accepted, *corrected], yes)
        if rejected:
            opened.decide(rejected, {"status": "rejected"})
        used = {id(outline) for outline in outlines.values()}
        missed = [outline for outline in labels.changed if id(outline) not in used]
        for outline in missed:
            opened.draw(outline, yes)
        for outline in labels.unsure:
            opened.draw(outline, {"status": "unsure"})
        opened.decide([tile.id for tile in tiles], {"status": "accepted"})
    numbers = {
        "tiles": len(tiles),
        "accepted": len(accepted),
        "outline_drawn_again": len(corrected),
        "rejected": len(rejected),
        "missed_and_drawn": len(missed),
        "unsure": len(labels.unsure),
    }
    kept.write_text(json.dumps(numbers), encoding="utf-8")
    return numbers


def matched(found: Sequence[Item], outlines: Sequence[Outline]) -> dict[str, Outline]:
    """For which building each footprint was found, by its id, those that overlap most first; a
    footprint that was found for none is missing."""
    tree = shapely.STRtree(outlines)
    pairs = []
    for item in found:
        for number in tree.query(item.geometry, predicate="intersects").tolist():
            outline = outlines[number]
            common = item.geometry.intersection(outline).area
            if common >= MEANT * min(item.geometry.area, outline.area):
                pairs.append((_iou(item.geometry, outline), item.id, number))
    taken: dict[str, Outline] = {}
    used: set[int] = set()
    for _, identity, number in sorted(pairs, reverse=True):
        if identity not in taken and number not in used:
            taken[identity] = outlines[number]
            used.add(number)
    return taken


def _iou(first: Outline, second: Outline) -> float:
    common = float(first.intersection(second).area)
    return common / float(first.area + second.area - common)


@dataclass(frozen=True, slots=True)
class Truth:
    """The labels of the scored tiles as pixels.

    Args:
        windows: Of each tile.
        known: (H, W) where it is known and both dates have data.
        changed: (H, W) number of the changed building, 0 where there is none.
    """

    windows: list[Window]
    known: Mask
    changed: npt.NDArray[np.int64]

    @classmethod
    def of(cls, labels: Layer, valid: Mask) -> Truth:
        """Rasterizes labels."""
        windows = []
        for tile in labels.tiles.values():
            left, top, right, bottom = (round(value) for value in tile.bounds)
            windows.append(Window(top, left, bottom - top, right - left))
        known = valid & (numbered(labels.unsure, valid.shape) == 0)
        return cls(windows, known, numbered(labels.changed, valid.shape) * known)

    def pixels(self, mask: Mask) -> list[Counts]:
        """Pixel counts of each tile."""
        return [
            Counts.of(mask[at][self.known[at]], self.changed[at][self.known[at]] > 0)
            for at in (window.slices for window in self.windows)
        ]

    def objects(self, footprints: Sequence[Outline]) -> list[Counts]:
        """Counts of footprints in each tile, cut by its edges."""
        numbers = numbered(footprints, self.known.shape) * self.known
        return [
            match_numbered(numbers[at], self.changed[at], min_area_px=LEAST_PX)
            for at in (window.slices for window in self.windows)
        ]


def numbered(shapes: Sequence[Outline], size: tuple[int, ...]) -> npt.NDArray[np.int64]:  # (H, W)
    """The number from 1 of the shape at each pixel; 0 for none."""
    if not shapes:
        return np.zeros(size, dtype=np.int64)
    painted = rasterize(
        [(shape, number + 1) for number, shape in enumerate(shapes)],
        out_shape=size,
        fill=0,
        dtype="int32",
    )
    return np.asarray(painted, dtype=np.int64)


def probability_of(out: Path) -> FloatArray:  # (H, W), NaN without data
    """The probability of a result."""
    with ProbabilityRaster(out / "probability.tif") as raster:
        grid = raster.grid
        return raster.read(Window(0, 0, grid.height, grid.width))


def grid_of(out: Path) -> Grid:
    """The grid of a result."""
    with ProbabilityRaster(out / "probability.tif") as raster:
        return raster.grid


def footprints_of(out: Path, grid: Grid) -> list[Outline]:
    """The footprints of a result in pixel coordinates."""
    a, _, c, _, e, f = grid.transform
    shapes = [shape for shape in read_features(out / "footprints.gpkg").shapes if shape is not None]
    return [shapely.transform(shape, lambda xy: (xy - (c, f)) / (a, e)) for shape in shapes]


def told(counts: Sequence[Counts]) -> Json:
    """Summed counts with their scores."""
    total = sum(counts, Counts())
    scores = total.scores()
    return {
        **asdict(total),
        "precision": scores.precision,
        "recall": scores.recall,
        "f1": scores.f1,
    }


def differences(before: Sequence[Counts], after: Sequence[Counts]) -> Json:
    """Differences with 95 % intervals over tiles."""
    found = paired_differences(before, after)
    return {name: asdict(found[name]) for name in ("f1", "precision", "recall")}


@dataclass(frozen=True, slots=True)
class Town:
    """The pair, and where its results lie: what is there already is not done again.

    Args:
        folder: For results and weights.
        rasters: Before and after.
        threads: Of the engines.
    """

    folder: Path
    rasters: tuple[Path, Path]
    threads: int

    def detected(self, name: str, half: str, weights: str | Path = catalogue.DEFAULT) -> Path:
        """The result of a half."""
        out = self.folder / name
        if not (out / "run.json").exists():
            before, after = map(str, self.rasters)
            detect(
                before,
                after,
                out=out,
                weights=weights,
                overwrite=True,
                bbox=HALVES[half],
                threads=self.threads,
            )
        return out

    def adapted(self, west: Path, truth: Truth, *, minutes: float) -> tuple[Json, Json]:
        """Adapts to the review of the west: the result of that, and the scores of each rung's
        candidate, by their names."""
        result, scores = self.folder / "joplin.json", self.folder / "rungs.json"
        rungs: Json = {}

        def see(rung: RungName, candidate: Standing) -> None:
            out = self.detected(f"east-{rung}", "east", candidate.onnx)
            probability = np.nan_to_num(probability_of(out), nan=0.0)
            mask = candidate.mask_of(cooled(probability, candidate.temperature))
            rungs[rung] = told(truth.pixels(mask))

        if not (result.exists() and scores.exists()):
            adapt(
                reviewed_results([west]),
                out=self.folder / "joplin",
                overwrite=True,
                minutes=minutes,
                threads=self.threads,
                place="Joplin",
                tried=see,
            )
            scores.write_text(json.dumps(rungs), encoding="utf-8")
        found: Json = json.loads(result.read_text(encoding="utf-8"))
        rungs = json.loads(scores.read_text(encoding="utf-8"))
        return found, rungs


def run(folder: Path, data: Path, *, minutes: float, threads: int) -> Json:
    """The whole of it; the values of the result file."""
    rasters = (data / "joplin" / "before_utm15n.tif", data / "joplin" / "after_wgs84.tif")
    town = Town(folder, rasters, threads)
    shipped = catalogue.resolve(catalogue.DEFAULT, suffixes=(".onnx",))
    west, east = (town.detected(half, half) for half in HALVES)
    decisions = review(west, labels_of(LABELS / "checked.geojson", grid_of(west)))
    grid = grid_of(east)
    scored = labels_of(LABELS / "scored.geojson", grid)
    probability = probability_of(east)
    truth = Truth.of(scored, ~np.isnan(probability))
    found, rungs = town.adapted(west, truth, minutes=minutes)
    threshold = np.float32(catalogue.read_metadata(shipped).threshold)
    rungs["before"] = told(truth.pixels(np.nan_to_num(probability, nan=0.0) >= threshold))
    outs = {"before": east}
    written = folder / "joplin.onnx"
    if written.exists():
        outs["after"] = town.detected("east-adapted", "east", written)
    footprints = {name: footprints_of(out, grid) for name, out in outs.items()}
    size = grid.height, grid.width
    pixels = {name: truth.pixels(numbered(shapes, size) > 0) for name, shapes in footprints.items()}
    objects = {name: truth.objects(shapes) for name, shapes in footprints.items()}
    return {
        "place": "Joplin, Missouri: before and after the tornado of 2011, 0.6 m",
        "weights": {"name": catalogue.DEFAULT, "sha256": file_hash(shipped)},
        "images_sha256": {path.name: file_hash(path) for path in rasters},
        "labels_sha256": {
            name: file_hash(LABELS / name) for name in ("checked.geojson", "scored.geojson")
        },
        "review": decisions,
        "scored_tiles": len(truth.windows),
        "scored_buildings": len(scored.changed),
        "written": written.exists(),
        "pixels": {name: told(counts) for name, counts in pixels.items()},
        "objects": {name: told(counts) for name, counts in objects.items()},
        "difference": {
            kind: differences(counts["before"], counts["after"])
            for kind, counts in (("pixels", pixels), ("objects", objects))
            if "after" in counts
        },
        "masks": rungs,
        "home": home_of(data, [shipped, *([written] if written.exists() else [])], threads),
        "kinds": {name: kinds_of(out, scored, grid) for name, out in outs.items()},
        **{key: found[key] for key in ("rungs", "verdict", "ground", "rendered")},
        "minutes": found["minutes"],
        "peak_mb": found["peak_mb"],
        "picture": picture(scored, footprints),
        "versions": versions(["numpy", "onnxruntime", "torch"]),
        "machine": machine(),
    }


def home_of(data: Path, weights: Sequence[Path], threads: int) -> Json:
    """Scores of weights on every fourth tile of tiles-256/val, where the shipped ones are at
    home."""
    pairs = list_pairs(data / "levir-cd" / "tiles-256", "val")[::HOME_EVERY]
    found: Json = {"tiles": len(pairs)}
    for name, path in zip(("before", "after"), weights, strict=False):
        predictor, metadata = predictor_of(path, Engine(threads=threads))
        total = Counts()
        for image in predict_split(predictor, pairs, Protocol("whole")):
            known = image.change != IGNORED
            mask = image.probability >= np.float32(metadata.threshold)
            total += Counts.of(mask[known], image.change[known] == 1)
        found[name] = told([total])
    return found


def kinds_of(out: Path, scored: Layer, grid: Grid) -> dict[str, int]:
    """How many footprints on the scored tiles are said to be of which kind; all of the change there
    is demolition."""
    ground = shapely.unary_union(list(scored.tiles.values()))
    kinds = read_features(out / "footprints.gpkg").columns["kind"]
    here = zip(footprints_of(out, grid), kinds, strict=True)
    return dict(Counter(str(kind) for shape, kind in here if shape.intersects(ground)))


def picture(scored: Layer, footprints: Mapping[str, Sequence[Outline]]) -> Json:
    """Outlines in one of the scored tiles, for the drawing of the guide: rings in its pixels."""
    tile = scored.tiles[PICTURED]
    left, top, right, bottom = tile.bounds
    layers = {"changed": scored.changed, "unsure": scored.unsure, **footprints}
    rings: Json = {"tile": PICTURED, "size_px": [round(right - left), round(bottom - top)]}
    for name, shapes in layers.items():
        parts = shapely.get_parts([shape.intersection(tile) for shape in shapes])
        rings[name] = [
            [[round(x - left, 1), round(y - top, 1)] for x, y in part.exterior.coords]
            for part in parts
            if isinstance(part, shapely.Polygon) and not part.is_empty
        ]
    return rings


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    if folder.resolve().is_relative_to(ROOT):
        raise SystemExit(f"error: {folder} lies in the repository, which holds no imagery")
    folder.mkdir(parents=True, exist_ok=True)
    values = run(folder, arguments.data, minutes=arguments.minutes, threads=arguments.threads)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(arguments.out, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())


if __name__ == "__main__":
    main()
