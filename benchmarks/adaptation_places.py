"""Places that stand for somebody's town, each with ground to review (``pool``) and other ground
that judges (``test``): ``FOLDER/PLACE/{pool,test}/{A,B,label}``, tiles of 256 pixels or smaller.

The shipped weights were trained on three quarters of the single-date tiles of the suburbs and of
New York. Only tiles that docs/concepts/elsewhere.md holds out from training stand here, and a tile
belongs to the pool or to the test, never to both. ``scenes-1m`` are scenes of LEVIR-CD's validation
split at 1 m; the weights know that town and that resolution. ``rendered-16bit`` are scenes in a
style and with values that training never draws.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from elsewhere_masks import exclusive_or, without_thin_parts
from elsewhere_sets import (
    NYC_PX,
    NYC_TILES,
    STYLES,
    LabelledPair,
    StyledScene,
    as_sixteen_bit,
    at_half_metre,
    held_out_suburbs,
    scenes_1m,
    single_date,
    suburb,
    suburb_pairs,
)
from hanet.imagery.images import write_png
from hanet.types import Window

TILE_PX = 256

PARTS = ("pool", "test")

RENDERED_SEEDS = {"pool": range(601, 617), "test": range(701, 709)}
"""Seeds of the rendered scenes; the elsewhere sets use 501 and 502."""


def part_of(name: str) -> str:
    """The half that a tile or scene of this name belongs to."""
    digest = hashlib.sha256(f"adaptation/{name}".encode()).digest()
    return PARTS[digest[0] % 2]


def suburbs(data: Path, part: str) -> Iterator[LabelledPair]:
    """Exclusive-or pairs of held-out suburb tiles of one class of scene; 154 pixels at 0.5 m."""
    names = [name for name in held_out_suburbs(data) if part_of(name) == part]
    for before, after in suburb_pairs(names):
        dates = [at_half_metre(suburb(data, name)) for name in (before, after)]
        change = exclusive_or(dates[0].mask, dates[1].mask)
        built = change & dates[1].mask
        yield LabelledPair(f"{before}-{after}", dates[0].image, dates[1].image, change, built)


def new_york(data: Path, part: str) -> Iterator[LabelledPair]:
    """Exclusive-or pairs of held-out New York tiles; every other one of the list is of the pool."""
    folder = data / "buildings-single-date" / "nyc-0.9m"
    names = NYC_TILES[PARTS.index(part) :: 2]
    for before, after in zip(names, (*names[1:], names[0]), strict=True):
        dates = [single_date(folder, name) for name in (before, after)]
        images = [date.image[:NYC_PX, :NYC_PX] for date in dates]
        masks = [without_thin_parts(date.mask)[:NYC_PX, :NYC_PX] for date in dates]
        change = exclusive_or(*masks)
        yield LabelledPair(f"{before}-{after}", images[0], images[1], change, change & masks[1])


def coarse_scenes(data: Path, part: str) -> Iterator[LabelledPair]:
    """Validation scenes of LEVIR-CD at 1 m."""
    yield from (pair for pair in scenes_1m(data) if part_of(pair.name) == part)


def rendered(data: Path, part: str) -> Iterator[LabelledPair]:  # noqa: ARG001 - made of no data
    """Rendered scenes of 512 pixels with black roofs, noise and dusk, as a sensor of twelve bits
    stretched to eight: of the styles the one that the weights are worst at."""
    gsd_m, roofs, dates = STYLES["noisy"]
    for seed in RENDERED_SEEDS[part]:
        scene = StyledScene(seed, gsd_m=gsd_m, roofs=roofs, dates=dates)
        window = Window(256, 256, 512, 512)
        before, after, change = scene.render(window)
        pair = as_sixteen_bit(*(np.moveaxis(image, 0, -1) for image in (before, after)))
        yield LabelledPair(f"scene-{seed}", pair[0], pair[1], change, scene.built(window))


PLACES: dict[str, Callable[[Path, str], Iterator[LabelledPair]]] = {
    "new-york": new_york,
    "suburbs": suburbs,
    "scenes-1m": coarse_scenes,
    "rendered-16bit": rendered,
}
"""Name of a place to the function that makes the pairs of one of its parts."""


def make(folder: Path, data: Path, names: Sequence[str]) -> None:
    """Writes the places that are not there yet; each appears when it is whole."""
    for name in names:
        place = folder / name
        if place.is_dir():
            continue
        building = folder / f"{name}.partial"
        shutil.rmtree(building, ignore_errors=True)
        for part in PARTS:
            for kind in ("A", "B", "label"):
                (building / part / kind).mkdir(parents=True)
            for pair in PLACES[name](data, part):
                _write(building / part, pair)
        building.rename(place)


def _write(folder: Path, pair: LabelledPair) -> None:
    """The tiles of a pair, named so that those of one scene come into neighbouring places."""
    height, width = pair.change.shape
    for row in range(max(1, height // TILE_PX)):
        for column in range(max(1, width // TILE_PX)):
            window = np.s_[
                row * TILE_PX : (row + 1) * TILE_PX, column * TILE_PX : (column + 1) * TILE_PX
            ]
            name = f"{pair.name}_{row}_{column}.png"
            for kind, image in (("A", pair.before), ("B", pair.after)):
                pixels = np.ascontiguousarray(np.moveaxis(image[window], -1, 0))
                write_png(folder / kind / name, pixels)
            write_png(folder / "label" / name, pair.change[window])
