"""Plants faults of files into rendered pairs and scores `hanet detect` beside the same pairs
without them: F1 of changed pixels, of which those that the fault hides need not be found.

Run: python scripts/planted_faults.py [--out results/reliability/planted-faults.json]
     python scripts/planted_faults.py --table    prints the table of docs/concepts/reliability.md

Where `hanet check` advises an option or a command, the pair is scored with it too. Deterministic;
about two minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, Resampling

from hanet.detection.job import detect
from hanet.synthetic.scene import render_pair
from hanet.version import __version__

ROOT = Path(__file__).resolve().parents[1]

OUT = ROOT / "results/reliability/planted-faults.json"

SEEDS = (21, 22)

SIDE = 512

UTM = {"crs": "EPSG:32614", "transform": rasterio.Affine(0.5, 0, 620000, 0, -0.5, 3350000)}

Array = np.ndarray[Any, Any]


@dataclass
class Planted:
    """A pair with a fault, the same pair without it, and what is advised."""

    clean: tuple[Path, Path]
    faulty: tuple[Path, Path]
    seen: Array
    """Pixels (H, W) that the fault leaves to be seen."""
    options: dict[str, Any] = field(default_factory=dict)
    advised: tuple[Path, Path] | None = None
    advised_options: dict[str, Any] = field(default_factory=dict)


class Files:
    """Writes the rasters of one scene into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._count = folder, 0

    def write(self, pixels: Array, *, kinds: tuple[ColorInterp, ...] = (), **profile: Any) -> Path:
        """A GeoTIFF of an array (C, H, W)."""
        self._count += 1
        path = self.folder / f"{self._count}.tif"
        bands, height, width = pixels.shape
        facts = {"driver": "GTiff", "count": bands, "height": height, "width": width, **UTM}
        facts |= {"dtype": pixels.dtype, **({"photometric": "MINISBLACK"} if kinds else {})}
        profile = {key: value for key, value in {**facts, **profile}.items() if value is not None}
        with rasterio.open(path, "w", **profile) as file:
            file.write(pixels)
        if kinds:
            with rasterio.open(path, "r+") as file:
                file.colorinterp = kinds
        return path


def everywhere(change: Array) -> Array:
    """All pixels."""
    return np.ones_like(change)


def corner(side: int, share: float) -> Array:
    """The upper left triangle that makes up a share of a square."""
    rows, columns = np.mgrid[:side, :side]
    return np.asarray(rows + columns < side * (2 * share) ** 0.5)


def sentinel(
    kind: str, factor: float, value: float, tag: float | None = None
) -> Callable[..., Any]:
    """A corner of the after image of a value that the file does not state as nodata."""

    def plant(files: Files, before: Array, after: Array, change: Array) -> Planted:
        hole = corner(len(change), 0.076)
        first, second = (
            (image.astype(np.float64) * factor).astype(kind) for image in (before, after)
        )
        holed = np.where(hole, value, second).astype(kind)
        clean = files.write(first, nodata=tag), files.write(holed, nodata=value)
        return Planted(clean, (clean[0], files.write(holed, nodata=tag)), ~hole)

    return plant


def blocks(files: Files, before: Array, after: Array, change: Array) -> Planted:
    """Two thirds of the after image black, as blocks that were never filled."""
    hole = np.ones_like(change)
    hole[: SIDE * 2 // 3, : SIDE // 2] = False
    holed = np.where(hole, 0, after).astype(np.uint8)
    first, stated = files.write(before), files.write(holed, nodata=0)
    return Planted((first, stated), (first, files.write(holed)), ~hole, advised=(first, stated))


def outliers(share: float, value: int, spread: int) -> Callable[..., Any]:
    """Cloud, or a dark sensor error, over a share of the after image of a 16-bit pair."""

    def plant(files: Files, before: Array, after: Array, change: Array) -> Planted:
        first, second = (image.astype(np.uint16) * 4 + 2000 for image in (before, after))
        texture = np.random.default_rng(0).integers(0, spread, second.shape)
        hole = corner(len(change), share)
        clouded = np.where(hole, value + texture, second).astype(np.uint16)
        one = files.write(first)
        return Planted((one, files.write(second)), (one, files.write(clouded)), ~hole)

    return plant


def ranges(files: Files, before: Array, after: Array, change: Array, **options: Any) -> Planted:
    """One date of 11 bit, one of 14 bit with an offset."""
    first, second = before.astype(np.uint16) * 8, after.astype(np.uint16) * 64 + 200
    one = files.write(first)
    alike = files.write(after.astype(np.uint16) * 8)
    return Planted((one, alike), (one, files.write(second)), everywhere(change), options=options)


def ranges_matched(files: Files, before: Array, after: Array, change: Array) -> Planted:
    """The same with --match-radiometry."""
    return ranges(files, before, after, change, match_radiometry=True)


def eight_and_sixteen(files: Files, before: Array, after: Array, change: Array) -> Planted:
    """One date of 8 bit, one of 16."""
    one = files.write(before)
    faulty = one, files.write(after.astype(np.uint16) * 40)
    return Planted((one, files.write(after)), faulty, everywhere(change))


def tags(files: Files, before: Array, after: Array, change: Array) -> Planted:
    """Reflectance by scale and offset, which moved between the dates."""
    first, second = before.astype(np.uint16) * 12, after.astype(np.uint16) * 12
    one, alike, moved = files.write(first), files.write(second), files.write(second + 1000)
    for path, offset in ((one, 0.0), (alike, 0.0), (moved, -0.1)):
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (0.0001,) * 3, (offset,) * 3
    return Planted((one, alike), (one, moved), everywhere(change))


def overviews(files: Files, before: Array, after: Array, change: Array) -> Planted:
    """Overviews that were built before the 16-bit mosaic was filled."""
    times = 5  # overviews are read from two samples a side on
    first, second = (
        np.tile(image.astype(np.uint16) * 8, (1, times, 1)) for image in (before, after)
    )
    clean = files.write(first), files.write(second)
    old = []
    for image in (first, second):
        path = files.write(np.zeros_like(image), tiled=True, blockxsize=256, blockysize=256)
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4], Resampling.nearest)
        with rasterio.open(path, "r+") as file:
            file.write(image)
        old.append(path)
    return Planted(clean, (old[0], old[1]), everywhere(np.tile(change, (times, 1))))


def unlike_pixels(files: Files, before: Array, after: Array, change: Array) -> Planted:
    """The after image at 2 m, the before image at 0.5 m."""
    coarse = after.reshape(3, SIDE // 4, 4, SIDE // 4, 4).mean((2, 4)).astype(np.uint8)
    one = files.write(before)
    wide = files.write(coarse, transform=rasterio.Affine(2, 0, 620000, 0, -2, 3350000))
    return Planted((one, files.write(after)), (one, wide), everywhere(change))


def no_geotransform(files: Files, before: Array, after: Array, change: Array) -> Planted:
    """A CRS and no geotransform."""
    clean = files.write(before), files.write(after)
    first, second = (files.write(image, transform=None) for image in (before, after))
    return Planted(clean, (first, second), everywhere(change))


def south_and_west(files: Files, before: Array, after: Array, change: Array) -> Planted:
    """A CRS whose axes run south and west (EPSG:5513)."""
    clean = files.write(before), files.write(after)
    place = {"crs": "EPSG:5513", "transform": rasterio.Affine(0.5, 0, 1041000, 0, -0.5, 744000)}
    first, second = (files.write(image, **place) for image in (before, after))
    return Planted(clean, (first, second), everywhere(change))


def colours(kinds: tuple[ColorInterp, ...], order: Callable[[Array], Array]) -> Callable[..., Any]:
    """Bands in another order, which the file states."""

    def plant(files: Files, before: Array, after: Array, change: Array) -> Planted:
        clean = files.write(before), files.write(after)
        first, second = (files.write(order(image), kinds=kinds) for image in (before, after))
        return Planted(clean, (first, second), everywhere(change))

    return plant


def darkened(files: Files, before: Array, after: Array, change: Array) -> Planted:
    """The after image at a tenth of its brightness; the advice is --match-radiometry."""
    clean = files.write(before), files.write(after)
    faulty = clean[0], files.write((after * 0.1).astype(np.uint8))
    options = {"match_radiometry": True}
    return Planted(clean, faulty, everywhere(change), advised=faulty, advised_options=options)


def opaque(image: Array) -> Array:
    """An alpha band before the colours."""
    return np.concatenate([np.full_like(image[:1], 255), image])


def infrared(image: Array) -> Array:
    """A fourth band as near infrared, a quarter of it 0 as over water."""
    band = np.random.default_rng(0).integers(0, 255, image[:1].shape, dtype=np.uint8)
    band[:, : SIDE // 4] = 0
    band[:, : SIDE // 8, ::2] = 1
    return np.concatenate([image, band])


RED, GREEN, BLUE, ALPHA = (
    ColorInterp.red,
    ColorInterp.green,
    ColorInterp.blue,
    ColorInterp.alpha,
)

FAULTS: dict[str, Callable[[Files, Array, Array, Array], Planted]] = {
    "-9999 without a tag, float32": sentinel("float32", 0.35 / 255, -9999),
    "lowest float without a tag": sentinel("float32", 0.35 / 255, float(np.finfo("float32").min)),
    "65535 without a tag, uint16": sentinel("uint16", 8, 65535),
    "-32768 beside the tag -9999": sentinel("int16", 8, -32768, -9999),
    "0 without a tag, uint16": sentinel("uint16", 8, 0),
    "black blocks without a tag, 8 bit": blocks,
    "3 % of cloud, 16 bit": outliers(0.03, 9000, 2000),
    "5 % of cloud, 16 bit": outliers(0.05, 9000, 2000),
    "5 % of dark errors, 16 bit": outliers(0.05, 5, 300),
    "ranges eightfold apart, 16 bit": ranges,
    "the same with --match-radiometry": ranges_matched,
    "8 bit and 16 bit": eight_and_sixteen,
    "scale and offset tags that differ": tags,
    "overviews older than the pixels": overviews,
    "0.5 m and 2 m": unlike_pixels,
    "CRS without a geotransform": no_geotransform,
    "axes south and west (EPSG:5513)": south_and_west,
    "stated as blue, green, red": colours((BLUE, GREEN, RED), lambda image: image[::-1].copy()),
    "alpha first": colours((ALPHA, RED, GREEN, BLUE), opaque),
    "near infrared called alpha": colours((RED, GREEN, BLUE, ALPHA), infrared),
    "a tenth of the brightness": darkened,
}
"""Each kind by name."""


class Counts:
    """Pixels found, missed and found falsely, over scenes."""

    def __init__(self) -> None:
        self.found = self.false = self.missed = 0

    def add(self, mask: Array, truth: Array, seen: Array) -> None:
        """Counts a scene."""
        wanted = truth & seen
        self.found += int((mask & wanted).sum())
        self.false += int((mask & ~wanted).sum())
        self.missed += int((~mask & wanted).sum())

    @property
    def f1(self) -> float:
        """F1 of changed pixels."""
        return round(2 * self.found / max(1, 2 * self.found + self.false + self.missed), 4)


def detected(
    pair: tuple[Path, Path], out: Path, options: dict[str, Any]
) -> tuple[Array, list[str], int]:
    """The mask (H, W), the warnings, and the number of footprints."""
    said: list[str] = []
    result = detect(*pair, out=out, threads=1, report=False, warn=said.append, note=None, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(out / "mask.tif") as file:
            return file.read(1) == 1, said, result.footprints.count


def scored(name: str, folder: Path, seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """One kind of fault over the scenes."""
    counts: dict[str, Counts] = {}
    footprints: dict[str, int] = {}
    warned: list[str] = []
    for seed in seeds:
        before, after, change = render_pair(SIDE, SIDE, seed, change_share=0.4)
        place = folder / f"{seed}"
        place.mkdir()
        planted = FAULTS[name](Files(place), before, after, change)
        truth = np.tile(change, (len(planted.seen) // len(change), 1))
        for which, pair, options in _runs(planted):
            mask, said, count = detected(pair, place / which, options)
            counts.setdefault(which, Counts()).add(mask, truth, planted.seen)
            footprints[which] = footprints.get(which, 0) + count
            warned += said if which == "faulty" else []
    return {
        "f1": {which: count.f1 for which, count in counts.items()},
        "footprints": footprints,
        "is_warned_of": bool(warned),
    }


def _runs(planted: Planted) -> Iterator[tuple[str, tuple[Path, Path], dict[str, Any]]]:
    yield "clean", planted.clean, planted.options
    yield "faulty", planted.faulty, planted.options
    if planted.advised is not None:
        yield "advised", planted.advised, planted.advised_options


def table(results: dict[str, Any]) -> str:
    """The rows as Markdown."""
    lines = [
        "| fault | F1 without it | F1 with it | F1 as advised | warned of |",
        "|---|---:|---:|---:|---|",
    ]
    for name, row in results["faults"].items():
        f1 = row["f1"]
        advised = f"{f1['advised']:.3f}" if "advised" in f1 else ""
        lines.append(
            f"| {name} | {f1['clean']:.3f} | {f1['faulty']:.3f} | {advised} | "
            f"{'yes' if row['is_warned_of'] else ''} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(json.loads(arguments.out.read_text(encoding="utf-8"))))
        return
    faults = {}
    for name in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            faults[name] = scored(name, Path(folder))
        print(name, json.dumps(faults[name]), file=sys.stderr, flush=True)
    facts = {"hanet": __version__, "weights": "hanet_lite", "seeds": SEEDS, "side_px": SIDE}
    results = {**facts, "score": "F1 of changed pixels, counts summed", "faults": faults}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
