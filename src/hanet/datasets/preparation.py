"""``prepare``: scenes of a released data set into tiles of 256 pixels with a manifest.

Tiles grow in ``TARGET.partial`` beside the target, each file appearing only when it is whole; the
folder is renamed to ``TARGET`` as the last step. So a target that is there is whole, whenever a run
was killed, and the next run continues from the tiles that are there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from hanet.datasets.layout import AFTER, BEFORE, LABEL
from hanet.datasets.manifest import TileRecord, read_manifest, write_manifest
from hanet.datasets.published import KNOWN_DATASETS
from hanet.datasets.releases import SPLITS, TILE_PX, Cut, Plan, plan_release
from hanet.datasets.scene_readers import Pixels, SourceScene, open_scene
from hanet.destination import check_folder
from hanet.documents import DocumentError, read_json
from hanet.documents import shown as in_short
from hanet.errors import DataSetError, OutputError
from hanet.files import check_name, file_hash, is_folder, replace_file, writing
from hanet.imagery.images import read_image, read_label, write_png
from hanet.provenance import versions
from hanet.threads import threads_for
from hanet.types import ByteArray, Json, Mask, Progress, Window

PACKED = 0.4
"""Bytes on the disk for each value of an image, at least: PNGs of aerial imagery take 0.6
(tiles-256-lossless, 2026-11-28)."""

IDENTITY_NAME = ".preparation.json"
"""File in the growing folder that says what is being prepared."""


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """What a split holds.

    Args:
        tiles: Pairs of tiles.
        published: How many papers count; None where they count none of this rule.
        foreground_tiles: Tiles with at least one changed pixel.
        changed_share: Changed pixels of all pixels.
    """

    tiles: int
    published: int | None
    foreground_tiles: int
    changed_share: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared data set.

    Args:
        root: Its folder.
        rule: Name of the split.
        splits: Summary of each split.
        written: Tiles that this run wrote; the others were there and whole.
        notes: What a user of the tiles has to know, in sentences.
        differences: Where the counts are not the published ones, in sentences.
    """

    root: Path
    rule: str
    splits: dict[str, SplitSummary]
    written: int
    notes: tuple[str, ...]
    differences: tuple[str, ...]

    def to_json(self) -> Json:
        """All fields, for ``--json``."""
        splits = {
            name: {
                "tiles": s.tiles,
                "published": s.published,
                "foreground_tiles": s.foreground_tiles,
                "changed_share": s.changed_share,
            }
            for name, s in self.splits.items()
        }
        return {
            "root": str(self.root),
            "rule": self.rule,
            "splits": splits,
            "written": self.written,
            "notes": list(self.notes),
            "differences": list(self.differences),
        }


def prepare(
    dataset: str,
    source: str | Path,
    target: str | Path,
    *,
    rule: str | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Cuts a released data set into ``TARGET/SPLIT/{A,B,label}/NAME.png`` and writes
    ``TARGET/manifest.json``.

    Run again, it writes nothing if all is whole, what is missing or damaged if something is, and
    what a killed run left undone. The same release, rule and seed give the same files. Memory holds
    a band of 256 rows of a raster, or one image.

    Args:
        dataset: ``"levir-cd"`` or ``"whu-cd"``.
        source: Folder of the unpacked release.
        target: Folder for the tiles; must not hold anything else.
        rule: Name of the split: ``"official"`` for LEVIR-CD, ``"paper"`` or ``"spatial"`` for
            WHU-CD.
        seed: Which tenth the paper's split takes for val.
        progress: Told how far it is.

    Raises:
        SettingsError: Data set or rule is not known, or the target's name is too long, not UTF-8,
            or holds control characters.
        DataSetError: The release lacks files, or they are damaged or do not fit each other.
        RasterError: A raster cannot be read.
        OutputError: The target holds something else, or cannot be written.
    """
    progress = progress or _say_nothing
    check_name(target, "the folder for the tiles")
    root = Path(target)
    plan = plan_release(dataset, source, rule=rule, seed=seed)
    _check_target(root, plan)
    header = _header(plan, Path(source), progress)
    identity = _identity(header)
    known = _finished(root, identity)
    work = root if known is not None else _begin(root, identity)
    records, written = _cut_all(plan, work, known, progress)
    tiles = sorted(records, key=lambda tile: (SPLITS.index(tile.split), tile.name))
    splits = _summaries(plan, tiles)
    differences = _differences(splits)
    totals = {
        name: {"tiles": s.tiles, "published": s.published, "foreground_tiles": s.foreground_tiles}
        for name, s in splits.items()
    }
    if known is None or written:
        with _writing(work):
            write_manifest(
                work, header={**header, "totals": totals, "differences": differences}, tiles=tiles
            )
            _clear(work)
    if known is None:
        _publish(work, root)
    return Prepared(root, plan.rule, splits, written, plan.notes, tuple(differences))


def _check_target(root: Path, plan: Plan) -> None:
    """Does nothing where a target can take the tiles; asked before the release is hashed, which
    takes minutes."""
    if root.name in ("", ".."):
        raise OutputError(
            f"{root} is not a name for a new folder",
            hint="give the name of a folder that is empty or does not exist",
        )
    check_folder(root.parent, "the folder for the tiles")
    asked: Json = {"dataset": plan.dataset, "rule": plan.rule, "seed": plan.seed}
    known, work = _finished(root, asked), _growing_folder(root)
    begun = is_folder(work) and any(work.iterdir())
    if begun:
        _check_begun(work, asked)
    size = 0 if known is not None or begun else len(plan.cuts) * 2 * 3 * TILE_PX**2
    # beside the target the tiles grow
    check_folder(work, "the folder for the tiles", needed_bytes=round(PACKED * size))


def _growing_folder(root: Path) -> Path:
    """Where the tiles of a target are written until all are there."""
    return root.with_name(f"{root.name}.partial")


def _header(plan: Plan, source: Path, progress: Progress) -> Json:
    """What the manifest says besides the tiles and the totals."""
    total = len(plan.scenes) * 3
    sources = []
    for number, scene in enumerate(plan.scenes):
        files: Json = {}
        for position, (role, path) in enumerate(
            (("before", scene.before), ("after", scene.after), ("label", scene.label))
        ):
            name = path.relative_to(source).as_posix()
            check_name(name, "a file of the release")  # it goes into the manifest
            files[role] = {"file": name, "sha256": _hashed(path)}
            progress("hashing the release", (number * 3 + position + 1) / total)
        sources.append({"scene": scene.name, "height": scene.height, "width": scene.width, **files})
    return {
        "dataset": plan.dataset,
        "rule": plan.rule,
        "seed": plan.seed,
        "tile_px": TILE_PX,
        "notes": list(plan.notes),
        # another version may pack the same pixels in other bytes
        "png_by": f"pillow {versions(['pillow'])['pillow']}",
        "sources": sources,
    }


def _hashed(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        raise DataSetError(
            f"{path} cannot be read: {error.strerror}", hint="copy or unpack it again"
        ) from error


def _identity(header: Json) -> Json:
    """What decides the tiles; the release by its content and not by its place."""
    content = [
        [scene[role]["sha256"] for role in ("before", "after", "label")]
        for scene in header["sources"]
    ]
    names = [scene["scene"] for scene in header["sources"]]
    digest = hashlib.sha256(json.dumps([names, content]).encode()).hexdigest()
    return {
        **{key: header[key] for key in ("dataset", "rule", "seed", "tile_px")},
        "release": digest,
    }


def _finished(root: Path, identity: Json) -> dict[tuple[str, str], TileRecord] | None:
    """The tiles of a finished target of this identity; None where there is no finished target."""
    if root.exists() and not root.is_dir():
        raise OutputError(f"{root} is a file", hint="give the name of a folder")
    found = read_manifest(root)
    if found is None:
        if root.is_dir() and any(path.name != IDENTITY_NAME for path in root.iterdir()):
            raise OutputError(
                f"{root} holds files that hanet prepare did not make",
                hint="choose a folder that is empty or not there",
            )
        return None
    header, tiles = found
    try:
        theirs = _identity(header)
    except (KeyError, TypeError, AttributeError):  # a manifest that others wrote or changed
        theirs = {}
    _check_same(root, theirs, identity)
    return {(tile.split, tile.name): tile for tile in tiles}


def _check_same(folder: Path, theirs: Json, identity: Json) -> None:
    differ = [key for key in identity if theirs.get(key) != identity[key]]
    if differ:
        shown = ", ".join(
            "the files of the release"
            if key == "release"
            else f"{key} {in_short(theirs.get(key))} there, {in_short(identity[key])} asked for"
            for key in differ
        )
        raise OutputError(
            f"{folder} was made from something else: {shown}",
            hint=f"choose another folder, or remove {folder}",
        )


def _begin(root: Path, identity: Json) -> Path:
    """The growing folder, made or taken up again."""
    work = _growing_folder(root)
    with _writing(work):
        if not work.is_dir() or not any(work.iterdir()):
            replace_file(work / IDENTITY_NAME, json.dumps(identity).encode())
            return work
    _check_begun(work, identity)
    return work


def _check_begun(work: Path, identity: Json) -> None:
    """Does nothing for a growing folder of this identity."""
    try:
        theirs = read_json(work / IDENTITY_NAME)
    except (OSError, DocumentError):
        theirs = None
    if not isinstance(theirs, dict):
        raise OutputError(
            f"{work} holds files that hanet prepare did not make", hint=f"move or remove {work}"
        )
    _check_same(work, theirs, identity)


def _cut_all(
    plan: Plan, work: Path, known: dict[tuple[str, str], TileRecord] | None, progress: Progress
) -> tuple[list[TileRecord], int]:
    """Records of all tiles, and how many had to be written."""
    with _writing(work):
        for split in {cut.split for cut in plan.cuts}:
            for folder in (BEFORE, AFTER, LABEL):
                (work / split / folder).mkdir(parents=True, exist_ok=True)
    records: list[TileRecord] = []
    written = 0
    workers = min(4, threads_for().count)
    with ThreadPoolExecutor(workers) as pool:
        for number, cuts in groupby(plan.cuts, key=lambda cut: cut.scene):
            scene = plan.scenes[number]
            of_scene = list(cuts)
            there = list(
                pool.map(lambda cut, scene=scene: _whole(work, cut, scene, known), of_scene)
            )
            records += [record for record in there if record is not None]
            missing = [cut for cut, record in zip(of_scene, there, strict=True) if record is None]
            progress("cutting tiles", len(records) / len(plan.cuts))
            if not missing:
                continue
            for record in _cut_scene(scene, missing, work, pool):
                records.append(record)
                written += 1
                progress("cutting tiles", len(records) / len(plan.cuts))
    return records, written


def _cut_scene(
    scene: SourceScene, cuts: list[Cut], work: Path, pool: ThreadPoolExecutor
) -> Iterator[TileRecord]:
    with open_scene(scene) as reader:
        for row, of_band in groupby(cuts, key=lambda cut: cut.row):
            band = list(of_band)
            first, last = band[0].column, band[-1].column + TILE_PX
            pixels = reader.read(Window(row, first, TILE_PX, last - first))
            tiles = [pixels.cut(0, cut.column - first, TILE_PX) for cut in band]
            yield from pool.map(lambda cut, tile: _write(work, cut, scene, tile), band, tiles)


def _write(work: Path, cut: Cut, scene: SourceScene, tile: Pixels) -> TileRecord:
    files = _files(work, cut)
    images: tuple[ByteArray | Mask, ...] = tile
    for path, image in zip(files, images, strict=True):
        with _writing(path):
            write_png(path, image)
    return _record(cut, scene, files, int(tile.change.sum()))


def _whole(
    work: Path, cut: Cut, scene: SourceScene, known: dict[tuple[str, str], TileRecord] | None
) -> TileRecord | None:
    """Record of a tile that is there and whole; of a finished target the hashes must be the
    manifest's."""
    files = _files(work, cut)
    if not all(path.is_file() for path in files):
        return None
    if known is not None:
        expected = known.get((cut.split, cut.name))
        if expected is None:
            return None
        return (
            expected if _record(cut, scene, files, expected.foreground_pixels) == expected else None
        )
    try:
        shapes = {read_image(path).shape[-2:] for path in files[:2]}
        change = read_label(files[2])
    except DataSetError:  # a crash of the machine can leave what a killed process cannot
        return None
    if {*shapes, change.shape} != {(TILE_PX, TILE_PX)}:
        return None
    return _record(cut, scene, files, int(change.sum()))


def _files(work: Path, cut: Cut) -> tuple[Path, ...]:
    return tuple(work / cut.split / folder / f"{cut.name}.png" for folder in (BEFORE, AFTER, LABEL))


def _record(cut: Cut, scene: SourceScene, files: tuple[Path, ...], foreground: int) -> TileRecord:
    before, after, label = (file_hash(path) for path in files)
    return TileRecord(
        cut.split, cut.name, before, after, label, scene.name, cut.row, cut.column, foreground
    )


def _clear(work: Path) -> None:
    """Removes what killed runs were writing."""
    for path in work.rglob(".*.partial"):
        path.unlink(missing_ok=True)


def _publish(work: Path, root: Path) -> None:
    with _writing(root):
        if hasattr(os, "sync"):
            os.sync()  # the tiles before the name that vouches for them
        if root.is_dir():
            (root / IDENTITY_NAME).unlink(missing_ok=True)
            root.rmdir()
        work.rename(root)
        (root / IDENTITY_NAME).unlink(missing_ok=True)


def _summaries(plan: Plan, tiles: list[TileRecord]) -> dict[str, SplitSummary]:
    published = KNOWN_DATASETS[plan.dataset].tiles if plan.rule in ("official", "paper") else {}
    summaries = {}
    for split in SPLITS:
        counts = [tile.foreground_pixels for tile in tiles if tile.split == split]
        share = sum(counts) / (len(counts) * TILE_PX**2) if counts else 0.0
        summaries[split] = SplitSummary(
            len(counts), published.get(split), sum(map(bool, counts)), share
        )
    return summaries


def _differences(splits: dict[str, SplitSummary]) -> list[str]:
    return [
        f"{split} has {s.tiles} tiles, {s.published} are published"
        for split, s in splits.items()
        if s.published is not None and s.tiles != s.published
    ]


def _say_nothing(stage: str, share: float) -> None:
    del stage, share


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Turns what the disk says into an OutputError that names the place, and says how to
    continue."""
    hint = "make room or choose another folder; the same command continues where it stopped"
    try:
        with writing(place):
            yield
    except OutputError as error:
        error.hint = hint
        raise
