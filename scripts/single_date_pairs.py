"""Makes training pairs of tiles of one date with building masks:
FOLDER/{suburbs-0.5m,new-york-0.9m}/train/{A,B,label,built}; `built` marks what of `label` stands in
B only.

Run: python scripts/single_date_pairs.py TILES FOLDER [--suburbs 700] [--new-york 240] [--seed 0]

TILES is the folder of `us-suburbs-0.3m/{image,label}` and `nyc-0.9m/{image,label}`; FOLDER must lie
outside the repository, as imagery does. A pair of the suburbs is a mosaic of four tiles brought to
0.5 m, one of New York a part of one tile. Each piece is of one of three kinds:

- ``same``: one tile at both dates, no change;
- ``pasted``: one tile at both dates, and single buildings of other tiles pasted onto its free
  ground at one of the two dates;
- ``exclusive-or``: two tiles; what is a building at one date only is change (Zheng et al., "Change
  is Everywhere", ICCV 2021).

Each date is then recoloured by itself, sometimes hazy or blurred, and moved by up to one pixel, so
that another look alone is no change. A quarter of the tiles is held out for measuring
(``is_held_out``) and never drawn. The same seed gives the same files.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Pixels = npt.NDArray[np.float32]  # (H, W, 3) in 0-255
Mask = npt.NDArray[np.bool_]  # (H, W)

SIDE_PX = 256
"""Of a pair that is written."""

BUILDING_PX = (60, 5000)
"""Smallest and largest building that is pasted: 15 m2 to 1250 m2 at 0.5 m."""

SUBURBS_SCALE = 0.6
"""From 0.3 m to 0.5 m a pixel."""

THIN_PX = 4
"""Parts of New York's masks that are thinner are paths and kerbs, not buildings."""


class Tile(NamedTuple):
    """An image of one date and where its buildings are."""

    image: Pixels
    buildings: Mask


class Piece(NamedTuple):
    """A pair: both dates, what changed, and which part of that stands at the second date."""

    before: Pixels
    after: Pixels
    change: Mask
    built: Mask


def is_held_out(stem: str) -> bool:
    """Whether the tile of this name is for measuring only; one in four is, by the hash of its
    name."""
    return int(hashlib.sha256(stem.encode()).hexdigest(), 16) % 4 == 0


def without_thin_parts(buildings: Mask, *, thinnest_px: int) -> Mask:
    """The mask without what no square of this side fits into."""
    opened: Mask = ndimage.binary_opening(buildings, np.ones((thinnest_px, thinnest_px)))
    return opened


def exclusive_or(first: Tile, second: Tile) -> Piece:
    """Two tiles as two dates: change is what is a building in one of them only."""
    built = second.buildings & ~first.buildings
    return Piece(first.image, second.image, first.buildings ^ second.buildings, built)


def same(tile: Tile) -> Piece:
    """One tile at both dates."""
    nothing = np.zeros_like(tile.buildings)
    return Piece(tile.image, tile.image, nothing, nothing)


def pasted(
    tile: Tile, donors: list[Tile], random: np.random.Generator, *, tries: int = 12
) -> Piece:
    """One tile at both dates, and a building of each donor at one of the dates, where it finds free
    ground."""
    dates = [tile.image.copy(), tile.image.copy()]
    change, built = np.zeros_like(tile.buildings), np.zeros_like(tile.buildings)
    occupied = ndimage.binary_dilation(tile.buildings, iterations=2)
    for donor in donors:
        found = _one_building(donor, random)
        if found is None or any(
            side > room for side, room in zip(found.buildings.shape, change.shape, strict=True)
        ):
            continue
        height, width = found.buildings.shape
        date = int(random.integers(2))
        for _ in range(tries):
            row, column = (
                int(random.integers(room - side + 1))
                for room, side in zip(change.shape, found.buildings.shape, strict=True)
            )
            place = (slice(row, row + height), slice(column, column + width))
            if (occupied[place] & found.buildings).any():
                continue
            _lay(dates[date][place], found)
            change[place] |= found.buildings
            if date == 1:
                built[place] |= found.buildings
            occupied[place] |= ndimage.binary_dilation(found.buildings, iterations=2)
            break
    return Piece(dates[0], dates[1], change, built)


def _one_building(donor: Tile, random: np.random.Generator) -> Tile | None:
    """One building of a tile that its edge does not cut, with three pixels of ground around it."""
    labels, _ = ndimage.label(donor.buildings)
    height, width = labels.shape
    fitting = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        rows, columns = box
        if (
            rows.start < 3
            or columns.start < 3
            or rows.stop > height - 3
            or columns.stop > width - 3
        ):
            continue
        if BUILDING_PX[0] <= np.count_nonzero(labels[box] == number) <= BUILDING_PX[1]:
            fitting.append(
                (
                    number,
                    slice(rows.start - 3, rows.stop + 3),
                    slice(columns.start - 3, columns.stop + 3),
                )
            )
    if not fitting:
        return None
    number, rows, columns = fitting[int(random.integers(len(fitting)))]
    return Tile(donor.image[rows, columns], labels[rows, columns] == number)


def _lay(ground: Pixels, building: Tile) -> None:
    """Puts a building onto ground, in place; its surroundings fade out over three pixels."""
    distance = ndimage.distance_transform_edt(~building.buildings)
    share = np.clip(1.0 - (distance - 1.0) / 2.5, 0.0, 1.0).astype(np.float32)[..., None]
    ground[:] = share * building.image + (1.0 - share) * ground


def another_look(image: Pixels, random: np.random.Generator) -> Pixels:
    """The image as another day and sensor might show it: gains, gamma, contrast, saturation, haze,
    blur, noise."""
    values = np.clip(image / 255.0, 0.0, 1.0)
    values = values ** random.uniform(0.75, 1.3)
    values = values * random.uniform(0.75, 1.25) * random.uniform(0.92, 1.08, size=3)
    mean = values.mean()
    values = (values - mean) * random.uniform(0.75, 1.25) + mean + random.uniform(-0.06, 0.06)
    grey = values.mean(axis=-1, keepdims=True)
    values = grey + (values - grey) * random.uniform(0.5, 1.4)
    if random.random() < 0.2:
        haze = random.uniform(0.05, 0.35)
        values = (1.0 - haze) * values + haze * random.uniform(0.6, 0.95, size=3)
    if random.random() < 0.3:
        values = ndimage.gaussian_filter(values, (*(2 * [random.uniform(0.3, 1.0)]), 0))
    if random.random() < 0.3:
        values = values + random.normal(0.0, random.uniform(0.005, 0.025), size=values.shape)
    looked: Pixels = (np.clip(values, 0.0, 1.0) * 255.0).astype(np.float32)
    return looked


def shifted(image: Pixels, random: np.random.Generator) -> Pixels:
    """The image moved by up to one pixel along both axes, filled by reflection."""
    rows, columns = random.uniform(-1.0, 1.0, size=2)
    moved: Pixels = ndimage.shift(image, (rows, columns, 0.0), order=1, mode="reflect")
    return moved


def turned(tile: Tile, random: np.random.Generator) -> Tile:
    """One of the tile's eight turns and flips."""
    turns, flipped = int(random.integers(4)), bool(random.integers(2))
    image, buildings = np.rot90(tile.image, turns), np.rot90(tile.buildings, turns)
    return Tile(image[:, ::-1], buildings[:, ::-1]) if flipped else Tile(image, buildings)


def piece(tiles: list[Tile], random: np.random.Generator, *, shares: tuple[float, float]) -> Piece:
    """A pair of random tiles; ``shares`` of the kinds ``pasted`` and ``exclusive-or``, the rest is
    ``same``."""

    def draw() -> Tile:
        return turned(tiles[int(random.integers(len(tiles)))], random)

    first, kind = draw(), random.random()
    if kind < shares[0]:
        made = pasted(first, [draw() for _ in range(int(random.integers(1, 7)))], random)
    elif kind < sum(shares):
        return exclusive_or(first, draw())
    else:
        made = same(first)
    return made._replace(after=shifted(made.after, random)) if random.random() < 0.5 else made


def mosaic(pieces: list[Piece]) -> Piece:
    """Four pieces of one size as one of twice the side."""

    def join(values: list[npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
        return np.vstack([np.hstack(values[:2]), np.hstack(values[2:])])

    return Piece(*(join([part[number] for part in pieces]) for number in range(4)))  # type: ignore[arg-type]


def part_of(pair: Piece, random: np.random.Generator) -> Piece:
    """A random square of a pair, of the side that is written."""
    row, column = (int(random.integers(length - SIDE_PX + 1)) for length in pair.change.shape)
    return Piece(*(values[row : row + SIDE_PX, column : column + SIDE_PX] for values in pair))


def read_tiles(folder: Path, *, scale: float = 1.0, thinnest_px: int = 1) -> list[Tile]:
    """The tiles of a folder that are not held out."""
    tiles = []
    for path in sorted((folder / "image").iterdir()):
        if is_held_out(path.stem):
            continue
        image = Image.open(path).convert("RGB")
        label = Image.open(folder / "label" / f"{path.stem}.png").convert("L")
        size = (round(image.width * scale), round(image.height * scale))
        image = image.resize(
            size, Image.Resampling.BOX if scale == 1.0 else Image.Resampling.LANCZOS
        )
        buildings = np.asarray(label.resize(size, Image.Resampling.BOX)) > 127
        buildings = ndimage.median_filter(buildings, 3)
        if thinnest_px > 1:
            buildings = without_thin_parts(buildings, thinnest_px=thinnest_px)
        tiles.append(Tile(np.asarray(image, dtype=np.float32), buildings))
    return tiles


def write_pair(folder: Path, name: str, pair: Piece) -> None:
    """Writes a pair as ``train/{A,B,label,built}/NAME.png``."""
    values = {"A": pair.before, "B": pair.after}
    values |= {"label": pair.change * 255.0, "built": pair.built * 255.0}
    for part, pixels in values.items():
        target = folder / "train" / part
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(pixels.round().astype(np.uint8))).save(
            target / f"{name}.png"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tiles", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--suburbs", type=int, default=700)
    parser.add_argument("--new-york", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    suburbs = read_tiles(arguments.tiles / "us-suburbs-0.3m", scale=SUBURBS_SCALE)
    for number in range(arguments.suburbs):
        random = np.random.default_rng((arguments.seed, 1, number))
        pair = part_of(
            mosaic([piece(suburbs, random, shares=(0.35, 0.2)) for _ in range(4)]), random
        )
        looked = pair._replace(
            before=another_look(pair.before, random), after=another_look(pair.after, random)
        )
        write_pair(arguments.folder / "suburbs-0.5m", f"{number:04}", looked)

    new_york = read_tiles(arguments.tiles / "nyc-0.9m", thinnest_px=THIN_PX)
    for number in range(arguments.new_york):
        random = np.random.default_rng((arguments.seed, 2, number))
        pair = part_of(piece(new_york, random, shares=(0.4, 0.08)), random)
        looked = pair._replace(
            before=another_look(pair.before, random), after=another_look(pair.after, random)
        )
        write_pair(arguments.folder / "new-york-0.9m", f"{number:04}", looked)


if __name__ == "__main__":
    main()
