"""``hanet suggest``: which tiles of a result to review next, put into its review and onto a map.

1. The probability of every tile says how doubtful it is.
2. Of large results some two thousand tiles remain: the most doubtful ones, and others at random.
3. Both images say what these look like.
4. The most doubtful ones are inferred again in four flips, where the weights are at hand: doubt
   that depends on how the images lie counts more.
5. :func:`hanet.review.tile_choice.select_tiles` chooses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from hanet.destination import check_folder
from hanet.detection.pair_list import TABLE
from hanet.errors import HanetError, OutputError, SettingsError
from hanet.imagery.images import IGNORED_GREY
from hanet.imagery.libraries import check_drivers
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.review.finding import measured
from hanet.review.inputs import DateName, check_inputs, part_of
from hanet.review.items import Item
from hanet.review.label_tiles import SuggestedTile, label_tiles, tile_item, within
from hanet.review.labels import Painter
from hanet.review.review import Review
from hanet.review.reviewed_run import read_run
from hanet.review.reviewed_runs import run_folders
from hanet.review.run_images import find_images, opened_images
from hanet.review.sampling import LARGEST_SEED
from hanet.review.suggestion_layer import Suggested, write_layer
from hanet.review.tile_choice import Chosen, select_tiles, strengths_of
from hanet.review.tile_features import TileDoubt, disagreement, doubt_of, features_of
from hanet.types import FloatArray, Progress, Window
from hanet.weights import catalogue
from hanet.weights.engine import Engine
from hanet.weights.runtime import Runtime, open_runtime

MOST_TILES = 2000
"""Tiles that are looked at in the images; of more, half are the most doubtful ones and half are
drawn at random."""

FLIPPED_EACH = 4
"""Tiles that are inferred again in flips for each one that is asked for."""

LEAST_VALID = 0.5
"""Share of a tile that must have data."""

LEAST_KNOWN = 0.5
"""Share of a tile that is known, from which on it counts as reviewed; so does, within one
suggestion, a tile of which another covers as much."""

READING, LOOKING, FLIPPING = "reading probability", "looking at tiles", "comparing flips"
"""Names of the stages, for progress."""

APART = 4.0
"""How far apart two pairs lie, where the longer side of the largest is 1."""


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What :func:`suggest` gives.

    Args:
        tiles: The most useful first.
        candidates: How many tiles there were to choose from.
        files: The layers that were written.
        folders: Of the pairs in which tiles were suggested.
        notes: Remarks for the user.
    """

    tiles: tuple[Suggested, ...]
    candidates: int
    files: tuple[Path, ...]
    folders: tuple[Path, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Tile:
    """A tile that may be chosen, or that is known."""

    run: _Run
    number: int
    window: Window
    doubt: TileDoubt
    is_known: bool
    is_open: bool
    features: npt.NDArray[np.float64] | None = None
    disagreement: float = math.nan  # of its flips


@dataclass(slots=True)
class _Run:
    """A result folder, its review open."""

    name: str
    review: Review
    tiles: list[_Tile] = field(default_factory=list)


def suggest(
    out: Path,
    *,
    count: int,
    seed: int = 1,
    reviewer: str,
    weights: str | Path | None = None,
    flips: bool = True,
    threads: int | None = None,
    before: str | None = None,
    after: str | None = None,
    warn: Callable[[str], None],
    progress: Progress | None = None,
) -> Suggestions:
    """Chooses tiles, lays them into the review's queue of suggested tiles, and writes a layer of
    them. A review is begun where there is none. What was reviewed is not suggested again; the same
    state of the review and the same seed give the same tiles.

    Args:
        out: The folder of a finished ``hanet detect``, or of its ``--pairs``.
        count: How many tiles, at least 1.
        seed: Decides between tiles that are equally good, and which ones of a large result are
            looked at.
        reviewer: Who signs it in the journal.
        weights: A name or file, for the flips; those of the run if None.
        flips: Whether the most doubtful tiles are inferred again.
        threads: For that; as many as this process may use if None.
        before: Where the before image lies now; where the run says if None. Of one pair only.
        after: The same for the after image.
        warn: Called where an image is not the one that the run was made from.
        progress: Called with the stage and the share done.

    Raises:
        SettingsError: The count or the seed is out of range, or an image is given for many pairs.
        OutputError: There is no finished run, another process reviews it, no tile is left, or the
            disk does not take it.
        RasterError: An image or ``probability.tif`` is not found or cannot be read.
        WeightsError: The weights that were given cannot be used.
    """
    _check(count, seed)
    folders = run_folders(out)
    if (before or after) and "" not in folders:
        raise SettingsError(
            f"--before and --after are of one pair, and {out} holds several",
            hint="give the folder of one pair",
        )
    if not folders:
        raise OutputError(f"no pair of {out / TABLE} was detected", hint="see its column status")
    given: dict[DateName, str | None] = {"before": before, "after": after}
    told = progress or (lambda _stage, _share: None)
    check_drivers(vectors=("GPKG",))
    for folder in folders.values():
        check_folder(folder, "the folder of the run")
        check_inputs(folder, read_run(folder), given=given)
    runtime, not_flipped = _runtime(folders, weights, threads) if flips else (None, "")
    with ExitStack() as stack:
        runs = [
            _Run(name, stack.enter_context(Review.open(folder, reviewer=reviewer, progress=told)))
            for name, folder in folders.items()
        ]
        for number, run in enumerate(runs):
            run.tiles = _tiles_of(run, _part(told, number, len(runs)))
        tiles = _kept([tile for run in runs for tile in run.tiles], seed)
        if not any(tile.is_open for tile in tiles):
            raise OutputError(
                f"all tiles of {out} with data are reviewed",
                hint="adapt to what was reviewed: hanet adapt",
            )
        notes = [not_flipped] if not_flipped else []
        wanted = _to_flip(tiles, count) if runtime is not None else []
        for number, run in enumerate(runs):
            told_here = _part(told, number, len(runs))
            _look(run, tiles, wanted, runtime, given=given, warn=warn, progress=told_here)
        tiles = [tile for tile in tiles if tile.features is not None]
        strengths = _strengths(tiles)
        chosen = _choose(tiles, strengths, count=count, seed=seed)
        suggested = [_suggested(tiles, one, strengths[one.index]) for one in chosen]
        files = []
        used = [run for run in runs if any(one.pair == run.name for one in suggested)]
        for run in runs:
            here = [one for one in suggested if one.pair == run.name]
            run.review.suggest([one.tile for one in here], count=count, seed=seed)
            path, note = write_layer(run.review.out, here, run.review.grid)
            files.append(path)
            notes += [note] if note else []
    if len(suggested) < count:
        notes.append(f"only {len(suggested)} tiles are left to suggest")
    return Suggestions(
        tiles=tuple(suggested),
        candidates=sum(tile.is_open for tile in tiles),
        files=tuple(files),
        folders=tuple(run.review.out for run in used),
        notes=tuple(notes),
    )


def _check(count: int, seed: int) -> None:
    if count < 1:
        raise SettingsError(f"--count is {count}; it must be at least 1", hint="for example 20")
    if not 0 <= seed <= LARGEST_SEED:
        raise SettingsError(f"--seed is {seed}; it must lie in 0 to {LARGEST_SEED}")


def _part(progress: Progress, number: int, total: int) -> Progress:
    """Progress of one run among several."""
    return lambda stage, share: progress(stage, (number + share) / total)


def _tiles_of(run: _Run, progress: Progress) -> list[_Tile]:
    """The tiles of a run that have data."""
    review = run.review
    items = review.all_items()
    painter = Painter(items.values())
    windows = label_tiles(review.grid)
    tiles = []
    with ProbabilityRaster(review.out / "probability.tif") as raster:
        for number, window in enumerate(windows):
            progress(READING, number / len(windows))
            doubt = doubt_of(raster.read(window), review.threshold)
            if doubt.valid < LEAST_VALID:
                continue
            known = float((painter.label(window) != IGNORED_GREY).mean()) >= LEAST_KNOWN
            item = items.get(tile_item(number, window).id)
            is_open = not known and (item is None or not item.is_reviewed)
            tiles.append(_Tile(run, number, window, doubt, known, is_open))
    return tiles


def _kept(tiles: list[_Tile], seed: int) -> list[_Tile]:
    """At most :data:`MOST_TILES` of them, in the same order; of those that are known at most a
    third, at random."""
    if len(tiles) <= MOST_TILES:
        return tiles
    generator = np.random.default_rng(seed)
    known = generator.permutation([at for at, tile in enumerate(tiles) if not tile.is_open])
    kept = set(known[: MOST_TILES // 3].tolist())
    others = [at for at, tile in enumerate(tiles) if tile.is_open]
    others.sort(key=lambda at: (-tiles[at].doubt.doubt, at))
    half = (MOST_TILES - len(kept)) // 2
    rest = generator.permutation(others[half:])[: MOST_TILES - len(kept) - half]
    kept |= {*others[:half], *rest.tolist()}
    return [tile for at, tile in enumerate(tiles) if at in kept]


def _runtime(
    folders: Mapping[str, Path], weights: str | Path | None, threads: int | None
) -> tuple[Runtime | None, str]:
    """What infers tiles again, or why nothing does."""
    names = {part_of(read_run(folder), "weights").get("name") for folder in folders.values()}
    name = weights if weights is not None else names.pop() if len(names) == 1 else None
    try:
        if name is None:
            return None, "the pairs have several weights: flips are not compared"
        engine = Engine(threads=threads)
        return open_runtime(catalogue.resolve(str(name), suffixes=engine.suffixes), engine), ""
    except HanetError as error:
        if weights is not None:
            raise
        return None, f"flips are not compared: {error.message} (give --weights)"


def _to_flip(tiles: Sequence[_Tile], count: int) -> list[_Tile]:
    """The most doubtful ones."""
    listed = [tile for tile in tiles if tile.is_open and tile.doubt.doubt > 0]
    return sorted(listed, key=lambda tile: -tile.doubt.doubt)[: FLIPPED_EACH * count]


def _look(
    run: _Run,
    tiles: Sequence[_Tile],
    wanted: Sequence[_Tile],
    runtime: Runtime | None,
    *,
    given: dict[DateName, str | None],
    warn: Callable[[str], None],
    progress: Progress,
) -> None:
    """Gives the tiles of a run their features, and the wanted ones how much flips disagree."""
    mine = [tile for tile in tiles if tile.run is run]
    if not mine:
        return
    review = run.review
    again = {id(tile) for tile in wanted}
    inputs, rules = find_images(review.out, review.manifest, review.grid, given=given, warn=warn)
    with opened_images(inputs, rules, review.grid) as pair:
        for number, tile in enumerate(mine):
            progress(LOOKING, number / len(mine))
            block = pair.read(tile.window)
            if block.valid.mean() >= LEAST_VALID:
                tile.features = features_of(block.before, block.after, tile.doubt)
        doubtful = [tile for tile in mine if id(tile) in again and tile.features is not None]
        for number, tile in enumerate(doubtful if runtime is not None else ()):
            progress(FLIPPING, number / len(doubtful))
            block = pair.read(tile.window)
            assert runtime is not None, "nothing is enumerated without one"
            views = views_of(runtime, block.before, block.after)
            if views is not None:
                tile.disagreement = disagreement(views)


def views_of(
    runtime: Runtime, before: FloatArray, after: FloatArray
) -> FloatArray | None:  # (C, h, w) twice -> (4, h, w)
    """Probability of a tile in its four flips, each turned back; None where the tile is too small
    or has other bands than the weights take."""
    divisor, bands = runtime.metadata.divisor, runtime.metadata.bands
    height, width = (side // divisor * divisor for side in before.shape[1:])
    if not (height and width) or len(before) != len(bands):
        return None
    dates = [image[None, :, :height, :width] for image in (before, after)]
    views = []
    for axes in ((), (-1,), (-2,), (-1, -2)):
        flipped = [np.ascontiguousarray(np.flip(image, axes)) for image in dates]
        views.append(np.flip(runtime.predict(*flipped)[0], axes))
    return np.stack(views)


def _strengths(tiles: Sequence[_Tile]) -> npt.NDArray[np.float64]:
    return strengths_of(
        np.array([tile.doubt.doubt for tile in tiles]),
        np.array([tile.disagreement for tile in tiles]),
    )


def _choose(
    tiles: Sequence[_Tile], strengths: npt.NDArray[np.float64], *, count: int, seed: int
) -> list[Chosen]:
    runs = list({id(tile.run): tile.run for tile in tiles}.values())
    side = max(max(run.review.grid.height, run.review.grid.width) for run in runs)
    # pairs that lie elsewhere are apart, whatever their coordinates
    first = {id(run): APART * number for number, run in enumerate(runs)}
    positions = [
        [tile.window.row / side + first[id(tile.run)], tile.window.column / side] for tile in tiles
    ]
    return select_tiles(
        np.stack([tile.features for tile in tiles if tile.features is not None]),
        np.array([tile.doubt.doubt for tile in tiles]) * strengths,
        np.array(positions),
        np.array([tile.is_known for tile in tiles]),
        count=count,
        seed=seed,
        blank=np.array([tile.doubt.changed == 0 for tile in tiles]),
        open_ones=np.array([tile.is_open for tile in tiles]),
        same_ground=_same_ground(tiles),
    )


def _same_ground(tiles: Sequence[_Tile]) -> dict[int, list[int]]:
    """Which tiles of its run would be known once a tile is reviewed: the last row and column of the
    labels' tiles overlap those before them."""
    boxes = [shapely.box(*_corners(tile.window)) for tile in tiles]
    tree = shapely.STRtree(boxes)
    beside: dict[int, list[int]] = {}
    for at, other in tree.query(boxes).T.tolist():
        if at != other and tiles[at].run is tiles[other].run:
            shared = tiles[at].window.intersection(tiles[other].window)
            if shared.height * shared.width >= LEAST_KNOWN * boxes[other].area:
                beside.setdefault(at, []).append(other)
    return beside


def _corners(window: Window) -> tuple[int, int, int, int]:
    return window.column, window.row, window.column_end, window.row_end


def _suggested(tiles: Sequence[_Tile], chosen: Chosen, strength: float) -> Suggested:
    tile = tiles[chosen.index]
    review = tile.run.review
    item = tile_item(tile.number, tile.window)
    item = replace(item, area_m2=measured([item.geometry], review.grid)[0])
    footprints = _footprints(review, item)
    has_known = any(other.is_known for other in tiles)
    reason = reason_of(tile.doubt, chosen, strength, footprints, has_known=has_known)
    return Suggested(tile.run.name, SuggestedTile(item, reason), footprints, tile.doubt.near)


def _footprints(review: Review, tile: Item) -> int:
    ground = within(tile)
    found = review.shapes(ground.bounds, limit=100_000)
    return sum(
        item.source in ("found", "drawn") and shapely.intersects(item.geometry, ground)
        for item in found
    )


def reason_of(
    doubt: TileDoubt, chosen: Chosen, strength: float, footprints: int, *, has_known: bool
) -> str:
    """Why a tile was chosen, in words.

    Args:
        doubt: Of the tile.
        chosen: What the choice says of it.
        strength: Of its doubt by flips; 1 where they were not compared.
        footprints: That reach into it.
        has_known: Whether anything was reviewed before.
    """
    words = []
    is_doubtful = chosen.doubt_rank >= 0.5  # flips of a tile without doubt differ by nothing much
    if doubt.near >= 0.005 and is_doubtful:
        words.append(f"{doubt.near:.1%} of it is near the threshold")
    if strength >= 1.25 and is_doubtful:
        words.append("flipping it changes the answer")
    if not footprints:
        words.append("nothing was found in it")
    if has_known and chosen.novelty >= 0.5:
        words.append("nothing that was reviewed looks like it")
    if chosen.stands_for == 1:
        words.append("another tile looks like it")
    elif chosen.stands_for > 1:
        words.append(f"{chosen.stands_for} tiles look like it")
    return ", ".join(words) or "it is unlike the others"
