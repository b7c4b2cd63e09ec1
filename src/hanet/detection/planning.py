"""``plan``: looks at a pair, decides everything that must be decided once, and cuts the work into
shards that any machine can run."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from hanet.detection.beforehand import check_disk, check_run
from hanet.detection.cutting import cut
from hanet.detection.identity import identity_of
from hanet.detection.loading import LoadedWeights, load_weights, tile_plan
from hanet.detection.manifest import weights_record
from hanet.detection.opening import Notices, OpenedPair, opened
from hanet.detection.plan import PLAN, SHARDS, Plan, Shard, read_plan, unlike
from hanet.detection.run_folder import RunState, is_of_earlier_version, result_files
from hanet.detection.settings import DetectionSettings
from hanet.errors import OutputError, SettingsError
from hanet.files import check_name, make_folder, writing
from hanet.imagery.addresses import place_from
from hanet.imagery.fingerprint import states
from hanet.imagery.raster_source import RasterSource
from hanet.listeners import listeners
from hanet.types import Json
from hanet.weights import catalogue

DEFAULT_SHARDS = 64
"""Shards of a plan unless the user says otherwise."""

SHARD_PIXELS = 16_000_000
"""Pixels of a shard where the number of shards comes from the size of the grid: half a minute of
one core, beside which opening the pair and the halo cost little (results/scaling)."""

MOST_SHARDS = 100_000
"""More files in one folder than file systems like."""


def plan(
    before: str | Path,
    after: str | Path,
    *,
    out: str | Path,
    shards: int | None = DEFAULT_SHARDS,
    weights: str | Path = catalogue.DEFAULT,
    overwrite: bool = False,
    note: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    **settings: Any,
) -> Plan:
    """Writes ``plan.json`` into the folder of a run; nothing is inferred yet.

    The same plan again changes nothing, and shards that are done stay done.

    Args:
        before: Raster of the first date: a path, or anything that GDAL opens.
        after: The same place later.
        out: Folder of the run, on a file system that all machines share.
        shards: How many pieces to cut the work into; fewer where there are not as many batches of
            tiles. None takes one for each :data:`SHARD_PIXELS` of the grid.
        weights: A name that ``hanet models`` lists, or a file.
        overwrite: Remove the plan, the shards and the result that ``out`` holds.
        note: Called with each decision, in words.
        warn: Called with what will hurt the result, in words; if None ``note``, and without
            that Python's warnings.
        settings: Fields of :class:`hanet.detection.settings.DetectionSettings`.

    Raises:
        HanetError: Whatever keeps the pair from being detected, or another plan in ``out``.

    Example:
        >>> made = plan("before.tif", "after.tif", out="changes", shards=64)
        >>> len(made.shards)
        64
    """
    folder = Path(out)
    check_name(folder, "--out")
    if shards is not None and not 1 <= shards <= MOST_SHARDS:
        raise SettingsError(
            f"--shards is {shards}; it must be from 1 to {MOST_SHARDS}",
            hint="a few for each machine: what is interrupted is run again from its beginning",
        )
    chosen = DetectionSettings.of(**settings)
    # a plan that is there may be this one
    may_be_there = overwrite or (folder / PLAN).exists()
    check_run(folder, chosen, (before, after), resume=False, overwrite=may_be_there)
    loaded = load_weights(weights, chosen)
    tell, alarm = listeners(note, warn)
    notices = Notices(tell, alarm)
    # the shards and what is merged of them go there too
    room = partial(check_disk, folder, planes=2 if loaded.keeps_kinds(chosen) else 1)
    with opened(
        str(before),
        str(after),
        settings=chosen,
        metadata=loaded.metadata,
        notices=notices,
        room=room,
    ) as pair:
        fitted = loaded.for_grid(pair.pair.whole, chosen)
        notices.say_tiles(asked_px=chosen.tile_px, taken_px=fitted.tile_px)
        notices.say_scout(loaded.scout_work)
        notices.say_filter(is_used=fitted.footprint_filter is not None)
        pixels = pair.pair.grid.height * pair.pair.grid.width
        count = min(MOST_SHARDS, math.ceil(pixels / SHARD_PIXELS)) if shards is None else shards
        made = _plan_of(pair, fitted, chosen, folder, weights, count, notices)
        # files that were replaced while they were looked at would give shards of two pairs
        pair.check_unchanged()
        if not overwrite and (known := _same_plan(made)) is not None:
            tell(f"{made.path} is this plan already; shards that are done stay")
            return known
        with RunState(
            folder,
            made.identity,
            files=(*result_files(chosen.formats), PLAN),
            inputs=pair.files,
            resume=False,
            overwrite=overwrite,
        ):
            remove_shards(folder)
            made.write()
    if shards is not None and len(made.shards) < shards:
        count = len(made.shards)
        tell(f"there is work for {count} shard{'' if count == 1 else 's'} only")
    return made


def remove_shards(folder: Path) -> None:
    """Removes the files of shards from the folder of a run; others in it stay."""
    shards = folder / SHARDS
    if shards.is_symlink() or not shards.is_dir():
        return
    with writing(shards):
        for pattern in ("[0-9]*.zip", "[0-9]*.failed.json", ".[0-9]*.partial"):
            for path in shards.glob(pattern):
                path.unlink(missing_ok=True)
    with suppress(OSError):  # a file of the user's
        shards.rmdir()


def _plan_of(
    pair: OpenedPair,
    loaded: LoadedWeights,
    settings: DetectionSettings,
    folder: Path,
    weights: str | Path,
    count: int,
    notices: Notices,
) -> Plan:
    sources = {"before": pair.pair.before, "after": pair.pair.after}
    tiles = tile_plan(pair.pair.whole, loaded, settings, within=pair.decided.part)
    parts = cut(tiles, count)
    identity = identity_of(pair.pair, loaded, settings)
    make_folder(folder)  # places are counted from it
    named = {
        "aoi": None if settings.aoi is None else place_from(str(settings.aoi), folder),
        "weights": _weights_place(weights, loaded.weights, folder),
        "scout": None
        if settings.scout is None or loaded.scout is None
        else _weights_place(settings.scout, loaded.scout, folder),
    }
    return Plan(
        folder=folder,
        settings=settings,
        decided=pair.decided,
        bands=(pair.pair.bands, pair.pair.bands_after),
        preflight=pair.preflight,
        rasters={date: raster_facts(source) for date, source in sources.items()},
        identity=identity,
        weights=weights_record(loaded, sha256=identity["weights"]),
        threshold=loaded.threshold,
        tile_px=loaded.tile_px,
        overlap_px=loaded.overlap_px,
        shards=tuple(
            Shard(index, part, window, not pair.pair.meets_aoi(window))
            for index, part in enumerate(parts)
            for window in (tiles.window(part),)
        ),
        said=tuple(notices.said),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        places={
            **{date: source.place_from(folder) for date, source in sources.items()},
            **named,
        },
        states={date: state_of(source) for date, source in sources.items()},
    )


def raster_facts(source: RasterSource) -> Json:
    """What tells a raster from another one of the same name, as far as opening it tells."""
    dataset = source.dataset
    return {
        "height": dataset.height,
        "width": dataset.width,
        "bands": dataset.count,
        "type": dataset.dtypes[0],
        "transform": list(dataset.transform[:6]),
    }


def state_of(source: RasterSource) -> list[int] | None:
    """Size and time of the last change of a raster's own file; None for what is no local file."""
    if not source.is_local:
        return None
    (state,) = states([Path(source.path)]).values()
    return None if state is None else list(state)


def _weights_place(given: str | Path, file: Path, folder: Path) -> str | None:
    """A name of the catalogue as it is: each machine has its own file of it; else where the file
    lies."""
    is_name = Path(given).suffix not in catalogue.SUFFIXES and not Path(given).is_dir()
    return str(given) if is_name else place_from(str(file), folder)


def _same_plan(made: Plan) -> Plan | None:
    """The plan that the folder holds, if it is this one; None where it holds none.

    Raises:
        OutputError: It holds another one.
    """
    if not made.path.exists():
        return None
    known = read_plan(made.path)
    if known.sha256 == made.sha256:
        return known
    if is_of_earlier_version(known.identity):
        raise OutputError(
            f"{made.path} was made by an earlier version, which cut pairs into other tiles",
            hint="its shards can still be run and merged; or give --overwrite to make it again",
        )
    differing = unlike(made.identity, known.identity) or ["the shards"]
    raise OutputError(
        f"{made.path} is another plan: it differs in {', '.join(differing)}",
        hint="choose another --out, or give --overwrite to remove it and its shards",
    )
