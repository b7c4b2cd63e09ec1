"""Released data sets as they are unpacked: which files make a scene, and which tiles of which split
are to be cut from it.

Geometry and names only; pixels are read by ``hanet.datasets.scene_readers`` and written by
``hanet.datasets.preparation``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hanet.datasets.layout import (
    BEFORE,
    TileWindow,
    list_pairs,
    list_splits,
    tile_name,
    tile_windows,
)
from hanet.datasets.scene_readers import SourceScene, raster_facts
from hanet.errors import DataSetError, SettingsError
from hanet.files import is_folder
from hanet.imagery.images import image_size

TILE_PX = 256
"""Side of a prepared tile, as all papers on these sets take it."""

CROP_PX = 512
"""Side of the crops in which WHU-CD is released and from which the paper's tiles come."""

SPLITS = ("train", "val", "test")

WHU_WIDTHS = {"train": 21243, "test": 11265, "whole": 32507}
"""Columns of WHU-CD's halves and of the whole pair. The halves share a column: 21243 + 11265 =
32507 + 1."""

VALIDATION_SHARE = 10
"""One part in so many of WHU-CD's training half becomes val."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A tile to be: its split and name, its scene (a position in the plan), and its upper left
    pixel there."""

    split: str
    name: str
    scene: int
    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be cut from where.

    Args:
        dataset: Key of the data set.
        rule: Name of the split.
        seed: Decides what the rule leaves open; None where it leaves nothing open.
        scenes: The scenes.
        cuts: The tiles, by scene, row, column.
        notes: What a user of the tiles has to know, in sentences.
    """

    dataset: str
    rule: str
    seed: int | None
    scenes: tuple[SourceScene, ...]
    cuts: tuple[Cut, ...]
    notes: tuple[str, ...]


RULES: dict[str, tuple[str, ...]] = {"levir-cd": ("official",), "whu-cd": ("paper", "spatial")}
"""Names of the splits of each data set that can be prepared; the first is the default."""


def plan_release(
    dataset: str, source: str | Path, *, rule: str | None = None, seed: int | None = None
) -> Plan:
    """The plan of a data set.

    Args:
        dataset: ``"levir-cd"`` or ``"whu-cd"``.
        source: Folder of the unpacked release.
        rule: Name of the split; the first of ``RULES[dataset]`` if None.
        seed: For rules that choose at random; 0 if None.

    Raises:
        SettingsError: There is no such data set or rule, or the rule takes no seed.
        DataSetError: Files are missing, ambiguous, or do not fit each other.
    """
    if dataset not in RULES:
        raise SettingsError(
            f"there is no preparation for {dataset!r}",
            hint=f"{' and '.join(RULES)} can be prepared; hanet datasets",
        )
    rule = rule or RULES[dataset][0]
    if rule not in RULES[dataset]:
        raise SettingsError(
            f"{dataset} has no split {rule!r}",
            hint=f"its splits are named {' and '.join(RULES[dataset])}",
        )
    if seed is not None and rule != "paper":
        raise SettingsError(
            f"the split {rule!r} of {dataset} has no random part", hint="leave --seed out"
        )
    folder = Path(source)
    if not is_folder(folder):
        raise DataSetError(
            f"{folder} is not a folder", hint="give the folder of the unpacked release"
        )
    if dataset == "levir-cd":
        return _plan_levir(folder)
    return _plan_whu(folder, rule, seed or 0)


def _plan_levir(folder: Path) -> Plan:
    root = _folder_with_splits(folder)
    notes = [
        f"{name!r} is no split of LEVIR-CD and is left out"
        for name in list_splits(root)
        if name not in SPLITS
    ]
    scenes: list[SourceScene] = []
    cuts: list[Cut] = []
    for split in SPLITS:
        if split not in list_splits(root):
            notes.append(f"the release lacks {split}/, and so do the tiles")
            continue
        pairs = list_pairs(root, split)
        if pairs[0].label is None:
            raise DataSetError(
                f"{root / split} has no folder label", hint="unpack the whole archive of the split"
            )
        for pair in pairs:
            assert pair.label is not None
            height, width = image_size(pair.before)
            scene = SourceScene(
                f"{split}/{pair.name}",
                pair.before,
                pair.after,
                pair.label,
                height,
                width,
                is_raster=False,
            )
            cuts += [
                Cut(
                    split,
                    tile_name(pair.name, tile.row, tile.column),
                    len(scenes),
                    tile.window.row,
                    tile.window.column,
                )
                for tile in _grid(scene)
            ]
            scenes.append(scene)
    notes += _odd_sizes(scenes, published=(1024, 1024))
    return Plan("levir-cd", "official", None, tuple(scenes), tuple(cuts), tuple(notes))


def _folder_with_splits(folder: Path) -> Path:
    """The folder itself or the one folder in it that holds splits: archives often unpack into one
    more folder."""
    if list_splits(folder):
        return folder
    inside = [
        child for child in sorted(folder.iterdir()) if is_folder(child) and list_splits(child)
    ]
    if len(inside) == 1:
        return inside[0]
    raise DataSetError(
        f"{folder} holds no folders train, val and test with A, B and label",
        hint=f"{folder} itself holds {BEFORE}: give the folder above it"
        if is_folder(folder / BEFORE)
        else "give the folder into which train.zip, val.zip and test.zip were unpacked",
    )


def _grid(scene: SourceScene) -> list[TileWindow]:
    if min(scene.height, scene.width) < TILE_PX:
        raise DataSetError(
            f"{scene.before} is {scene.height}x{scene.width} pixels, smaller than a tile of "
            f"{TILE_PX}",
            hint="give the released images, not what was made from them",
        )
    return tile_windows(scene.height, scene.width, tile_px=TILE_PX, edges="drop")


def _odd_sizes(scenes: Sequence[SourceScene], *, published: tuple[int, int]) -> list[str]:
    odd = [scene for scene in scenes if (scene.height, scene.width) != published]
    if not odd:
        return []
    lost = sum(1 for scene in odd if scene.height % TILE_PX or scene.width % TILE_PX)
    note = (
        f"{len(odd)} of {len(scenes)} scenes are not {published[0]}x{published[1]} as published; "
        f"{odd[0].name} is {odd[0].height}x{odd[0].width}"
    )
    return [note + (f"; of {lost} a right or lower rest is left out" if lost else "")]


def _plan_whu(folder: Path, rule: str, seed: int) -> Plan:
    scenes, halves, notes = _whu_halves(folder)
    cuts: list[Cut] = []
    if rule == "paper":
        for half in halves:
            cuts += _paper_cuts(half, seed)
        notes.append(
            "the paper draws its tenth for val at random and does not say how: this tenth is "
            "another one, "
            f"named by its seed {seed}; it takes whole crops of {CROP_PX}, so that no crop "
            "stands in two splits"
        )
        notes.append(
            f"the released crops of {CROP_PX} at the right and lower edge are moved inwards and "
            "overlap their neighbours: "
            "some ground stands twice in a split, and where a neighbour was drawn for val, in "
            "train and val"
        )
    else:
        for half in halves:
            cuts += _spatial_cuts(half, at_end=half.test_is_west)
        notes.append(
            "val is the outermost tenth of the training half, on the side away from test; the "
            "release has no val"
        )
        notes.append(
            "no ground stands twice; a rest of less than a tile at the right and lower edge is "
            "left out"
        )
    cuts.sort(key=lambda cut: (cut.scene, cut.row, cut.column))
    return Plan(
        "whu-cd", rule, seed if rule == "paper" else None, tuple(scenes), tuple(cuts), tuple(notes)
    )


@dataclass(frozen=True, slots=True)
class _Half:
    """Columns ``start`` to ``end`` of a scene that are all train or all test."""

    split: str
    scene: int
    height: int
    start: int
    end: int
    test_is_west: bool


def _paper_cuts(half: _Half, seed: int) -> list[Cut]:
    width = half.end - half.start
    if min(half.height, width) < CROP_PX:
        raise DataSetError(
            f"the {half.split} half is {half.height}x{width} pixels, smaller than a crop of "
            f"{CROP_PX}"
        )
    crops = tile_windows(half.height, width, tile_px=CROP_PX, edges="overlap")
    drawn = set(draw_tenth(len(crops), seed)) if half.split == "train" else set()
    quarters = tile_windows(CROP_PX, CROP_PX, tile_px=TILE_PX)
    return [
        Cut(
            "val" if number in drawn else half.split,
            tile_name(f"{half.split}_{number}", quarter.row, quarter.column),
            half.scene,
            crop.window.row + quarter.window.row,
            half.start + crop.window.column + quarter.window.column,
        )
        for number, crop in enumerate(crops)
        for quarter in quarters
    ]


def draw_tenth(count: int, seed: int) -> list[int]:
    """A tenth (rounded down) of the numbers 0 .. count - 1, ascending: those with the smallest
    SHA-256 of seed and number.

    Hashes and not a generator of random numbers, so that a seed names the same tenth in every
    version of every library.
    """
    ranked = sorted(
        range(count), key=lambda number: hashlib.sha256(f"whu-cd:{seed}:{number}".encode()).digest()
    )
    return sorted(ranked[: count // VALIDATION_SHARE])


def _spatial_cuts(half: _Half, *, at_end: bool) -> list[Cut]:
    width = half.end - half.start
    if min(half.height, width) < TILE_PX:
        raise DataSetError(
            f"the {half.split} half is {half.height}x{width} pixels, smaller than a tile of "
            f"{TILE_PX}"
        )
    columns = width // TILE_PX
    strip = max(1, columns // VALIDATION_SHARE) if half.split == "train" and columns > 1 else 0
    kept = range(columns - strip, columns) if at_end else range(strip)
    return [
        Cut(
            "val" if tile.column in kept else half.split,
            tile_name(half.split, tile.row, tile.column),
            half.scene,
            tile.window.row,
            half.start + tile.window.column,
        )
        for tile in tile_windows(half.height, width, tile_px=TILE_PX, edges="drop")
    ]


def _whu_halves(folder: Path) -> tuple[list[SourceScene], list[_Half], list[str]]:
    """Scenes and halves of a release of either form."""
    found = _whu_files(folder)
    if all(("whole", role) in found for role in ("before", "after", "label")):
        scene = _raster_scene("whole", found)
        width = scene.width
        end = round(width * WHU_WIDTHS["train"] / WHU_WIDTHS["whole"])
        start = width - round(width * WHU_WIDTHS["test"] / WHU_WIDTHS["whole"])
        note = (
            f"the whole pair does not say where its halves lie: columns 0 to {end} are taken for "
            f"train and {start} to {width} "
            "for test, by their published widths; take the release with two halves to be sure"
        )
        halves = [
            _Half("train", 0, scene.height, 0, end, False),
            _Half("test", 0, scene.height, start, width, False),
        ]
        return [scene], halves, [note]
    scenes = [_raster_scene(split, found) for split in ("train", "test")]
    west = [scene.west for scene in scenes]
    test_is_west = west[0] is not None and west[1] is not None and west[1] < west[0]
    halves = [
        _Half(scene.name, number, scene.height, 0, scene.width, test_is_west)
        for number, scene in enumerate(scenes)
    ]
    notes = (
        []
        if None not in west
        else ["the halves carry no coordinates: test is taken to lie east of train"]
    )
    notes += [
        f"the {scene.name} half is {scene.width} columns wide, {WHU_WIDTHS[scene.name]} are "
        "published"
        for scene in scenes
        if scene.width != WHU_WIDTHS[scene.name]
    ]
    return scenes, halves, notes


def _whu_files(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """The rasters of a release by part (whole, train, test) and role; building masks and ready-made
    crops are passed over."""
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in {".tif", ".tiff"} or path.name.startswith("."):
            continue
        inside = path.relative_to(folder)
        place = _whu_place(inside)
        if place is not None:
            found.setdefault(place, []).append(path)
    return found


def _whu_place(path: Path) -> tuple[str, str] | None:
    stem, parent = path.stem.lower(), path.parent.name.lower()
    if any(part.lower().startswith("split") for part in path.parts[:-1]):
        return None
    if stem == "change_label":
        return (parent if parent in ("train", "test") else "whole"), "label"
    for year, role in (("2012", "before"), ("2016", "after")):
        for part in ("train", "test"):
            if stem == f"{year}_{part}" and parent != "label":
                return part, role
    return ("whole", stem) if stem in ("before", "after") else None


def _raster_scene(part: str, found: dict[tuple[str, str], list[Path]]) -> SourceScene:
    files = {}
    for role in ("before", "after", "label"):
        paths = found.get((part, role), [])
        if len(paths) != 1:
            what = (
                "is missing"
                if not paths
                else f"stands {len(paths)} times: {', '.join(map(str, paths))}"
            )
            there = (
                ", ".join(sorted(str(path) for place in found.values() for path in place))
                or "no raster of it"
            )
            raise DataSetError(
                f"the {role} raster of the part {part!r} {what}",
                hint=f"a release holds {{2012,2016}}/whole_image/SPLIT/image/YEAR_SPLIT.tif with "
                "change_label/SPLIT/change_label.tif, "
                f"or before.tif, after.tif and change_label.tif; found: {there}",
            )
        files[role] = paths[0]
    scene = SourceScene(part, files["before"], files["after"], files["label"], 0, 0, is_raster=True)
    height, width, west = raster_facts(scene)
    return replace(scene, height=height, width=width, west=west)
