"""Makes the elsewhere sets, each in the layout SET/val/{A,B,label,built}, as
docs/concepts/elsewhere.md describes them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from elsewhere_masks import (
    built_inside,
    change_inside,
    exclusive_or,
    is_held_out,
    outlines,
    resample_image,
    resample_mask,
    without_thin_parts,
)
from elsewhere_planting import Tile, Values, jpeg, plant
from hanet.evaluation.protocols import ProtocolName
from hanet.imagery.radiometry import match_histogram
from hanet.synthetic.styles import StyledScene
from hanet.types import ByteArray, FloatArray, Mask, Window

SPLIT = "val"

SUBURB_CLASSES = (
    "denseresidential",
    "mediumresidential",
    "sparseresidential",
    "mobilehomepark",
    "intersection",
)
"""Classes of scene whose masks show houses; in others tanks, aircraft bridges and parking decks
stand in the masks or miss from them."""

SUBURBS_LEFT_OUT = {
    "sparseresidential03": "shows ground of a tile that is not held out",
    "sparseresidential11": "shows ground of a tile that is not held out; pools in the mask",
    "sparseresidential52": "shows ground of a tile that is not held out",
    "sparseresidential36": "the shadow is in the mask",
    "denseresidential48": "the mask is too coarse",
    "denseresidential18": "the mask is too coarse",
    "intersection79": "trees in the mask",
    "mediumresidential03": "trees in the mask",
}
"""Held-out suburb tiles that no set takes, and why (looked at one by one, 2026-11-28)."""

NYC_TILES = (
    "nyc_train_258", "nyc_train_293", "nyc_train_495", "nyc_train_562", "nyc_train_692",
    "nyc_val_129", "nyc_val_182", "nyc_val_241", "nyc_val_436", "nyc_val_497", "nyc_val_499",
    "nyc_val_629", "nyc_val_846", "nyc_val_893", "nyc_val_905", "nyc_val_909", "nyc_val_1063",
    "nyc_val_1094",
)  # fmt: skip
"""Held-out New York tiles whose masks look right and whose ground no tile outside shows: 18 of
53."""

SUBURB_PX, SUBURB_AT_HALF_METRE_PX, NYC_PX = 256, 154, 512
FRANCE_PX, FRANCE_AT_HALF_METRE_PX = 510, 204
"""Sides in pixels; 510 of the 512 at 0.2 m are 204 whole pixels of 0.5 m."""


class LabelledPair(NamedTuple):
    """A pair of a set: stem, two dates (H, W, 3), change (H, W), and the new buildings of it."""

    name: str
    before: ByteArray
    after: ByteArray
    change: Mask
    built: Mask


@dataclass(frozen=True, slots=True)
class ElsewhereSet:
    """A set of the protocol.

    Args:
        pairs: Makes its pairs from the folder of shared data.
        protocol: How it is scored: ``"whole"`` for images smaller than a tile, else ``"tiles"``.
        chooses: Whether it counts in the mean that chooses weights.
        xor: Whether its pairs are exclusive-or pairs, a kind that training may draw.
    """

    pairs: Callable[[Path], Iterator[LabelledPair]]
    protocol: ProtocolName
    chooses: bool
    xor: bool = False


def generator_of(*words: str) -> np.random.Generator:
    """A generator that depends on the words alone."""
    digest = hashlib.sha256("/".join(words).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def write_set(name: str, pairs: Iterator[LabelledPair], folder: Path) -> int:
    """Writes ``FOLDER/NAME/val/{A,B,label,built}``, in place of what was there; gives the number of
    pairs."""
    shutil.rmtree(folder / name, ignore_errors=True)
    places = [folder / name / SPLIT / part for part in ("A", "B", "label", "built")]
    for place in places:
        place.mkdir(parents=True)
    count = 0
    for count, pair in enumerate(pairs, start=1):  # noqa: B007 - the last number is the result
        masks = (mask.astype(np.uint8) * np.uint8(255) for mask in (pair.change, pair.built))
        for place, pixels in zip(places, (pair.before, pair.after, *masks), strict=True):
            Image.fromarray(np.ascontiguousarray(pixels)).save(place / f"{pair.name}.png")
    return count


def france(data: Path) -> Iterator[LabelledPair]:
    """Fifteen French pairs at 0.5 m; masks from the drawn outlines."""
    for path in sorted((data / "france-0.2m").glob("*_before.jpg")):
        name = path.stem.removesuffix("_before")
        before, after, drawn = (
            _read(path.with_name(f"{name}_{part}.jpg"))[:FRANCE_PX, :FRANCE_PX]
            for part in ("before", "after", "outlines")
        )
        # Filled before it is cut: along the last two rows and columns the outlines are closed.
        whole = _read(path.with_name(f"{name}_outlines.jpg"))
        lines = outlines(whole)
        change = change_inside(lines)
        built = built_inside(lines, change)
        change, built = (mask[: drawn.shape[0], : drawn.shape[1]] for mask in (change, built))
        size = FRANCE_AT_HALF_METRE_PX
        yield LabelledPair(
            name,
            resample_image(before, size),
            resample_image(after, size),
            resample_mask(change, size),
            resample_mask(built, size),
        )


def suburbs_xor(data: Path) -> Iterator[LabelledPair]:
    """Held-out suburb tiles in pairs of one class of scene, at 0.5 m."""
    for before, after in suburb_pairs(held_out_suburbs(data)):
        dates = [at_half_metre(suburb(data, name)) for name in (before, after)]
        change = exclusive_or(dates[0].mask, dates[1].mask)
        built = change & dates[1].mask
        yield LabelledPair(f"{before}-{after}", dates[0].image, dates[1].image, change, built)


def suburbs_planted(data: Path) -> Iterator[LabelledPair]:
    """Held-out suburb tiles with themselves: another look, few buildings new or gone, at 0.5 m."""
    for name, donor in suburb_pairs(held_out_suburbs(data)):
        pair = plant(suburb(data, name), suburb(data, donor), generator_of("suburbs-planted", name))
        size = SUBURB_AT_HALF_METRE_PX
        yield LabelledPair(
            name,
            resample_image(pair.before, size),
            resample_image(pair.after, size),
            resample_mask(pair.change, size),
            resample_mask(pair.built, size),
        )


def nyc_xor(data: Path) -> Iterator[LabelledPair]:
    """Held-out New York tiles in pairs at about 0.9 m, each with the next."""
    folder = data / "buildings-single-date" / "nyc-0.9m"
    for before, after in zip(NYC_TILES, (*NYC_TILES[1:], NYC_TILES[0]), strict=True):
        dates = [single_date(folder, name) for name in (before, after)]
        images = [date.image[:NYC_PX, :NYC_PX] for date in dates]
        masks = [without_thin_parts(date.mask)[:NYC_PX, :NYC_PX] for date in dates]
        change = exclusive_or(*masks)
        built = change & masks[1]
        yield LabelledPair(f"{before}-{after}", images[0], images[1], change, built)


def scenes_1m(data: Path) -> Iterator[LabelledPair]:
    """scenes-512-1m/val as it is."""
    yield from _levir(data / "levir-cd" / "scenes-512-1m")


def val_shifted(data: Path) -> Iterator[LabelledPair]:
    """tiles-256/val, each tile with one of the looks of :data:`LOOKS`."""
    names = list(LOOKS)
    for pair in _levir(data / "levir-cd" / "tiles-256"):
        generator = generator_of("val-shifted", pair.name)
        look = LOOKS[names[int(generator.integers(len(names)))]]
        dates = [pair.before, pair.after]
        which = int(generator.integers(3))  # before, after, both
        for index in (0, 1) if which == 2 else (which,):
            dates[index] = look(dates[index])
        yield LabelledPair(pair.name, dates[0], dates[1], pair.change, pair.built)


def cast(image: ByteArray, gains: tuple[float, float, float]) -> ByteArray:
    """Each band times its gain."""
    return _bytes(image * np.array(gains))


def haze(image: ByteArray, amount: float) -> ByteArray:
    """Bluish white mixed in."""
    return _bytes(image * (1 - amount) + np.array([205.0, 212.0, 222.0]) * amount)


def gamma(image: ByteArray, exponent: float) -> ByteArray:
    """The image's values in 0-1 to this power."""
    return _bytes(255.0 * (image / 255.0) ** exponent)


LOOKS: dict[str, Callable[[ByteArray], ByteArray]] = {
    "warm": lambda image: cast(image, (1.25, 1.0, 0.7)),
    "cold": lambda image: cast(image, (0.72, 1.0, 1.25)),
    "haze": lambda image: haze(image, 0.4),
    "bright": lambda image: gamma(image, 0.55),
    "deep": lambda image: gamma(image, 1.8),
    "blurred": lambda image: _bytes(ndimage.gaussian_filter(image.astype(float), (1.5, 1.5, 0))),
    "jpeg": lambda image: jpeg(image, quality=20),
    "dark": lambda image: cast(image, (0.4, 0.4, 0.4)),
}
"""Looks stronger than training's augmentation draws (gain 0.75-1.3, of a band 0.9-1.1)."""


TILED = np.array(
    [[186.0, 98.0, 66.0], [170.0, 84.0, 58.0], [198.0, 120.0, 84.0], [150.0, 76.0, 60.0]]
)
TIN = np.array(
    [[92.0, 140.0, 176.0], [84.0, 132.0, 104.0], [214.0, 216.0, 220.0], [158.0, 74.0, 66.0]]
)
BLACK = np.array([[52.0, 52.0, 56.0], [66.0, 62.0, 60.0], [78.0, 78.0, 82.0]])
SNOWY = np.array([[226.0, 230.0, 238.0], [212.0, 218.0, 228.0], [150.0, 152.0, 160.0]])

STYLES: dict[str, tuple[float, Values, tuple[dict[str, object], dict[str, object]]]] = {
    "tiled": (0.5, TILED, ({"green": 0.0, "gain": np.array([1.12, 1.0, 0.86])}, {"green": 0.15})),
    "low-sun": (
        0.5,
        TIN,
        ({"shadow_length": 2.4, "sun_azimuth": 1.2}, {"shadow_length": 2.2, "sun_azimuth": 5.0}),
    ),
    "hazy": (0.5, TIN, ({"haze": 60.0, "gain": np.array([0.62, 0.64, 0.68])}, {"haze": 4.0})),
    "snow": (
        0.5,
        SNOWY,
        ({"green": 1.0}, {"green": 0.0, "gain": np.array([1.2, 1.32, 1.6]), "haze": 20.0}),
    ),
    "noisy": (0.5, BLACK, ({"noise": 11.0}, {"noise": 9.0, "gain": np.array([0.5, 0.5, 0.55])})),
    "coarse": (0.8, TILED, ({"green": 0.9}, {"green": 0.9})),
    "fine": (0.35, BLACK, ({"green": 0.05}, {"green": 0.5})),
    "sixteen-bit": (0.5, TILED, ({"haze": 30.0}, {"gain": np.array([0.55, 0.5, 0.42])})),
}
"""Metres a pixel, roofs and light of each style; ``sixteen-bit`` is also stretched, see
:func:`as_sixteen_bit`."""

SEEDS_OF_STYLES = range(501, 503)
"""Seeds of the scenes: the demo, tests and cards use 1-99, training those from 1000 on."""


def rendered_styles(data: Path) -> Iterator[LabelledPair]:  # noqa: ARG001 - made of no data
    """Rendered scenes of 512 px in the styles of :data:`STYLES`."""
    for style, (gsd_m, roofs, dates) in STYLES.items():
        for seed in SEEDS_OF_STYLES:
            scene = StyledScene(seed, gsd_m=gsd_m, roofs=roofs, dates=dates)
            window = Window(256, 256, 512, 512)
            before, after, change = scene.render(window)
            pair = [np.moveaxis(image, 0, -1) for image in (before, after)]
            if style == "sixteen-bit":
                pair = as_sixteen_bit(*pair)
            name = f"{style}-{seed}"
            yield LabelledPair(name, pair[0], pair[1], change, scene.built(window))


def as_sixteen_bit(before: ByteArray, after: ByteArray) -> list[ByteArray]:
    """Both dates as `hanet detect` reads a sensor of twelve bits: percentiles 0.5 and 99.5 of both
    dates together become 0 and 255."""
    both = np.stack([before, after]).astype(np.float64) * 12.0 + 150.0
    low, high = np.percentile(both, (0.5, 99.5), axis=(0, 1, 2))
    return [_bytes((image - low) * 255.0 / (high - low)) for image in both]


SETS: dict[str, ElsewhereSet] = {
    "france": ElsewhereSet(france, "whole", chooses=False),
    "suburbs-xor": ElsewhereSet(suburbs_xor, "whole", chooses=True, xor=True),
    "suburbs-planted": ElsewhereSet(suburbs_planted, "whole", chooses=True),
    "nyc-xor": ElsewhereSet(nyc_xor, "tiles", chooses=True, xor=True),
    "scenes-1m": ElsewhereSet(scenes_1m, "tiles", chooses=True),
    "rendered-styles": ElsewhereSet(rendered_styles, "tiles", chooses=True),
    "val-shifted": ElsewhereSet(val_shifted, "tiles", chooses=True),
}
"""The sets in the order of the table."""


def matched(pairs: Iterator[LabelledPair]) -> Iterator[LabelledPair]:
    """The pairs with the after image matched to the before image, as `--match-radiometry` does it
    where the pair is the whole overlap."""
    for pair in pairs:
        before, after = (
            np.moveaxis(image, -1, 0).astype(np.float32) for image in (pair.before, pair.after)
        )
        table = match_histogram(before, after, valid=np.ones(pair.change.shape, dtype=bool))
        after_matched = _bytes(np.moveaxis(table.apply(after), 0, -1))
        yield pair._replace(after=after_matched)


MATCHED: dict[str, ElsewhereSet] = {
    "france-matched": ElsewhereSet(lambda data: matched(france(data)), "whole", chooses=False),
    "val-shifted-matched": ElsewhereSet(
        lambda data: matched(val_shifted(data)), "tiles", chooses=False
    ),
}
"""What matching of radiometry does; made and scored only when named."""


def suburb_pairs(names: list[str]) -> list[tuple[str, str]]:
    """Each tile with another of its class of scene, in an order that the names alone decide."""
    pairs = []
    for scene_class in SUBURB_CLASSES:
        ordered = sorted(
            (name for name in names if name.rstrip("0123456789") == scene_class),
            key=lambda name: hashlib.sha256(f"order/{name}".encode()).hexdigest(),
        )
        if len(ordered) > 1:
            pairs += list(zip(ordered, ordered[1:] + ordered[:1], strict=True))
    return pairs


def held_out_suburbs(data: Path) -> list[str]:
    """The held-out tiles that the sets take: right class, not left out, at least 4 % building."""
    folder = data / "buildings-single-date" / "us-suburbs-0.3m"
    names = sorted(path.stem for path in (folder / "label").iterdir())
    names = [name for name in names if name.rstrip("0123456789") in SUBURB_CLASSES]
    names = [name for name in names if is_held_out(name) and name not in SUBURBS_LEFT_OUT]
    return [name for name in names if suburb(data, name).mask.mean() >= 0.04]


def suburb(data: Path, name: str) -> Tile:
    """A held-out suburb tile at 0.3 m."""
    return single_date(data / "buildings-single-date" / "us-suburbs-0.3m", name)


def single_date(folder: Path, name: str) -> Tile:
    """A held-out tile of one date; ValueError for one that training sees."""
    if not is_held_out(name):
        raise ValueError(f"{name} is not held out: training sees it")
    mask = np.asarray(Image.open(folder / "label" / f"{name}.png").convert("L")) > 0
    return Tile(_read(folder / "image" / f"{name}.jpg"), mask)


def at_half_metre(tile: Tile) -> Tile:
    """A suburb tile at 0.5 m."""
    size = SUBURB_AT_HALF_METRE_PX
    return Tile(resample_image(tile.image, size), resample_mask(tile.mask, size))


def _levir(root: Path) -> Iterator[LabelledPair]:
    folder = root / "val"
    for label in sorted((folder / "label").iterdir()):
        before, after = (
            _read(next((folder / part).glob(f"{label.stem}.*"))) for part in ("A", "B")
        )
        change = np.asarray(Image.open(label).convert("L")) > 127
        # nearly all changes of LEVIR-CD are new buildings, and its labels do not say which are not
        yield LabelledPair(label.stem, before, after, change, change)


def _read(path: Path) -> ByteArray:
    return np.asarray(Image.open(path).convert("RGB"))


def _bytes(values: Values | FloatArray) -> ByteArray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
