"""Runs the shards of a plan: each reads its rectangle and a halo, and writes the bytes of its
rectangle as a run on one machine would.

Byte for byte the same: a shard owns whole batches of tiles, those of the halo are inferred in the
batches of the whole run, and they are added up in its order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np

from hanet.detection.identity import aoi_identity
from hanet.detection.loading import LoadedWeights, load_weights
from hanet.detection.opening import OpenedPair, watched
from hanet.detection.overview import overview_window, part_of_overview, shown_bands
from hanet.detection.plan import SHARDS, Plan, Shard
from hanet.detection.planning import raster_facts, remove_shards, state_of
from hanet.detection.shard_file import Receipt, ShardError, ShardFile, ShardWriter
from hanet.detection.streaming import StreamStatistics, stream
from hanet.detection.tiling import Chunk
from hanet.errors import HanetError, RasterError, SettingsError, VectorError, WeightsError
from hanet.files import file_hash, replace_file
from hanet.imagery.addresses import found_from, is_missing, lies_here
from hanet.imagery.fingerprint import raster_fingerprint
from hanet.imagery.gdal import reading
from hanet.imagery.item_names import parse_item_name
from hanet.imagery.pair import PairBlock, RasterPair, Sources, open_sources, pair_on
from hanet.imagery.raster_output import NODATA, encode_probability
from hanet.provenance import machine, versions
from hanet.types import ByteArray, FloatArray, Json, Mask, Progress, Window
from hanet.weights import catalogue
from hanet.weights.runtime import directed

Status = Literal["done", "was done", "empty"]


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What became of a shard.

    Args:
        index: Its number.
        status: Computed now; passed over, as its file was there and whole; or without anything to
            do, as the area of interest does not reach into it.
        seconds: Wall time.
        tiles: Tiles inferred, those of the halo included.
    """

    index: int
    status: Status
    seconds: float = 0.0
    tiles: int = 0


class PlannedWeights:
    """The weights of a plan that are loaded when the first tile is to be inferred: a
    shard without valid ground needs none.

    Args:
        plan: The plan.
        weights: Where they lie on this machine; where the plan says if None.
        threads: Threads of the engine; as the plan says if None.

    Raises:
        WeightsError: They are missing, or not those of the plan.
    """

    def __init__(
        self, plan: Plan, *, weights: str | Path | None = None, threads: int | None = None
    ) -> None:
        self._loaded: LoadedWeights | None = None
        self._tells_direction = plan.has_kinds
        self._file = _weights_file(plan, "weights", weights)
        scout = _weights_file(plan, "scout", None) if plan.settings.scout is not None else None
        self._settings = replace(
            plan.settings, scout=scout, threads=threads or plan.settings.threads
        )

    @property
    def loaded(self) -> LoadedWeights:
        """They, loaded."""
        if self._loaded is None:
            self._loaded = load_weights(self._file, self._settings)
        return self._loaded

    @property
    def threads(self) -> Json | None:
        """Threads of the engine, for manifests; None as long as no tile was inferred."""
        return None if self._loaded is None else self._loaded.threads.to_json()

    def predict(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """See :class:`hanet.weights.runtime.Predicts`."""
        return self.loaded.runtime.predict(before, after)

    @property
    def tells_direction(self) -> bool:
        """See :class:`hanet.weights.runtime.DirectedRuntime`; as the plan says."""
        return self._tells_direction

    def predict_both(self, before: FloatArray, after: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See :class:`hanet.weights.runtime.DirectedRuntime`."""
        telling = directed(self.loaded.runtime)
        assert telling is not None
        return telling.predict_both(before, after)

    def take_counts(self) -> dict[str, int]:
        """See :meth:`hanet.detection.loading.LoadedWeights.take_counts`."""
        return {} if self._loaded is None else self._loaded.take_counts()


@dataclass(frozen=True, slots=True)
class OpenedPlan:
    """A plan whose inputs are open and known to be those that it was made for.

    Args:
        plan: The plan.
        opened: The pair.
        weights: What runs.
    """

    plan: Plan
    opened: OpenedPair
    weights: PlannedWeights


@contextmanager
def opened_plan(
    plan: Plan,
    *,
    before: str | None = None,
    after: str | None = None,
    weights: str | Path | None = None,
    threads: int | None = None,
) -> Iterator[OpenedPlan]:
    """A plan ready to run shards of, for the time of a ``with``. One thread at a time may run one.

    Args:
        plan: The plan.
        before: Where the image of the first date lies on this machine; where the plan says if None.
        after: The same of the other date.
        weights: The same of the weights.
        threads: Threads of the engine; as the plan says if None.

    Raises:
        HanetError: An input or the weights are missing, or not those of the plan.
    """
    ready = PlannedWeights(plan, weights=weights, threads=threads)
    with opened_pair(plan, before=before, after=after) as opened:
        yield OpenedPlan(plan, opened, ready)


@contextmanager
def opened_pair(
    plan: Plan, *, before: str | None, after: str | None, is_hashed: bool = False
) -> Iterator[OpenedPair]:
    """The pair of a plan, read as the plan decided; nothing is looked at again.

    Args:
        plan: The plan.
        before: Where the image of the first date lies; where the plan says if None.
        after: The same of the other date.
        is_hashed: Hash the files even where size and time are those of the plan.

    Raises:
        HanetError: A file is missing, or not that of the plan.
    """
    aoi = _aoi(plan)
    names = (before or _place(plan, "before"), after or _place(plan, "after"))
    with open_sources(*names) as sources:
        _check_sources(plan, sources, is_hashed=is_hashed)
        files = watched(sources, aoi)
        with pair_on(sources, replace(plan.decided, aoi=aoi)) as pair:
            if (pair.bands, pair.bands_after) != plan.bands:
                raise _changed(plan, pair.before.name, "before")
            yield OpenedPair(pair, plan.decided, plan.preflight, files)


def run_shards(
    plan: Plan,
    indices: Sequence[int],
    *,
    before: str | None = None,
    after: str | None = None,
    weights: str | Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    done: Callable[[ShardResult], None] | None = None,
) -> list[ShardResult]:
    """Runs shards one after another; one that fails does not stop the others.

    Args:
        plan: The plan.
        indices: Numbers of the shards.
        before: As for :func:`opened_plan`, like all that follow.
        after: As there.
        weights: As there.
        threads: As there.
        progress: Called with the shard and the share of it that is done.
        done: Called with each result.

    Raises:
        HanetError: There is no such shard, the plan cannot be opened here, or a shard failed, which
            is said when all others are done.
    """
    shards = [plan.shard(index) for index in indices]
    results: list[ShardResult] = []

    def keep(result: ShardResult) -> None:
        results.append(result)
        if done is not None:
            done(result)

    waiting = []
    for shard in shards:  # what is done needs neither images nor weights
        if (status := standing(plan, shard)) is None:
            waiting.append(shard)
        else:
            keep(ShardResult(shard.index, status))
    if not waiting:
        return results
    errors: list[tuple[int, HanetError]] = []
    with opened_plan(plan, before=before, after=after, weights=weights, threads=threads) as opened:
        for shard in waiting:
            try:
                keep(run_shard(opened, shard.index, progress=progress))
            except HanetError as error:
                errors.append((shard.index, error))
    if len(indices) == 1 and errors:
        raise errors[0][1]
    if errors:
        index, first = errors[0]
        raise HanetError(
            f"{len(errors)} of {len(indices)} shards failed, the first: {index}: {first.message}",
            hint=first.hint,
        ) from first
    return results


def run_shard(opened: OpenedPlan, index: int, *, progress: Progress | None = None) -> ShardResult:
    """Computes a shard and writes its file; one that is done is passed over.

    It may run twice, even at once: both write the same bytes, and whichever is whole last takes the
    place.

    Args:
        opened: The plan.
        index: Number of the shard.
        progress: Called with the shard and the share of it that is done.

    Raises:
        HanetError: It could not be computed; why stands in ``shards`` until it is.
    """
    plan, begun = opened.plan, perf_counter()
    shard = plan.shard(index)
    if (status := standing(plan, shard)) is not None:
        return ShardResult(index, status)
    try:
        statistics = _Run(opened, shard, progress or (lambda _, __: None)).run()
    except (HanetError, MemoryError, OSError) as error:
        if is_merged(plan):  # another one was quicker, and the folder of shards is gone
            return ShardResult(index, "was done")
        _keep_failure(plan, shard, error)
        raise
    with suppress(OSError):
        plan.failure_of(index).unlink(missing_ok=True)
    if is_merged(plan):
        remove_shards(plan.folder)
    return ShardResult(index, "done", perf_counter() - begun, statistics.tiles)


def standing(plan: Plan, shard: Shard) -> Status | None:
    """How a shard stands that need not be run; None for one that must."""
    if shard.is_empty:
        return "empty"
    path = plan.file_of(shard.index)
    if not path.exists():
        return "was done" if is_merged(plan) else None
    try:
        with ShardFile(path) as file:
            if (file.receipt.plan, file.receipt.shard) != (plan.sha256, shard.index):
                return None
            file.check()
    except ShardError:
        return None
    return "was done"


def count_done(plan: Plan) -> int:
    """Shards that left a file or have nothing to do; files are counted, not looked into."""
    if is_merged(plan):
        return len(plan.shards)
    names = {path.name for path in (plan.folder / SHARDS).glob("[0-9]*.zip")}
    return sum(shard.is_empty or plan.file_of(shard.index).name in names for shard in plan.shards)


def is_merged(plan: Plan) -> bool:
    """Whether the folder of a plan holds the result of all shards."""
    return (plan.folder / "run.json").exists()


class _Run:
    """One shard on its way through the stream."""

    def __init__(self, opened: OpenedPlan, shard: Shard, progress: Progress) -> None:
        self._opened, self._shard, self._progress = opened, shard, progress
        self._pair: RasterPair = opened.opened.pair
        self._tally: dict[str, int] = {}
        self._band: ByteArray | None = None
        self._planes = 2 if opened.plan.has_kinds else 1
        self._overview: ByteArray | None = None
        self._shown = overview_window(self._pair.grid, shard.window)
        self._bands = shown_bands(len(self._pair.bands))
        if opened.plan.settings.report:
            shape = (self._shown.height, 2 * self._bands, self._shown.width)
            self._overview = np.full(shape, NODATA, dtype=np.uint8)

    def run(self) -> StreamStatistics:
        """Streams it, and writes its file."""
        plan, shard = self._opened.plan, self._shard
        with ShardWriter(plan.file_of(shard.index)) as self._writer:
            statistics = stream(
                self._pair,
                self._opened.weights,
                plan.tiles,
                part=shard.part,
                write=self._write,
                write_built=self._write_built if self._planes == 2 else None,
                see=self._see,
                inferred=self._inferred,
                after_row=self._after_row,
                progress=lambda _, share: self._progress(f"shard {shard.index}", share),
            )
            # before anything is kept that was made of pixels of two files
            self._opened.opened.check_unchanged()
            self._writer.finish(self._receipt(statistics), self._overview)
        return statistics

    def _see(self, chunk: Chunk, block: PairBlock) -> None:
        if self._overview is None or chunk not in self._shard.part:
            return
        place, part = part_of_overview(
            block, self._pair.grid, window=chunk.window, own=chunk.final, bands=self._bands
        )
        if not place.is_empty:
            rows, columns = place.relative_to(self._shown).slices
            self._overview[rows, :, columns] = part

    def _write(self, window: Window, probability: FloatArray, valid: Mask) -> None:
        if self._band is None:  # the first chunk of a row; all chunks of it are as high
            shape = (window.height, self._planes, self._shard.window.width)
            self._band = np.empty(shape, dtype=np.uint8)
        _, columns = window.relative_to(self._shard.window).slices
        self._band[:, 0, columns] = encode_probability(probability, valid)

    def _write_built(self, window: Window, probability: FloatArray, asked: Mask) -> None:
        assert self._band is not None
        _, columns = window.relative_to(self._shard.window).slices
        self._band[:, 1, columns] = encode_probability(probability, asked)

    def _after_row(self, _: int) -> None:
        assert self._band is not None
        self._writer.write(self._band)
        self._band = None

    def _inferred(self, chunk: Chunk) -> None:
        # what the scout did in the halo counts for the shard whose own that is
        counts = self._opened.weights.take_counts()
        if chunk in self._shard.part:
            for name, count in counts.items():
                self._tally[name] = self._tally.get(name, 0) + count

    def _receipt(self, statistics: StreamStatistics) -> Receipt:
        return Receipt(
            plan=self._opened.plan.sha256,
            shard=self._shard.index,
            planes=self._planes,
            tally=self._tally,
            tiles={"inferred": statistics.tiles, "skipped": statistics.skipped},
            seconds={name: round(value, 3) for name, value in statistics.seconds.items()},
            machine={**machine(), "threads": self._opened.weights.threads},
            versions=versions(["numpy", "rasterio", self._opened.plan.settings.runtime]),
        )


def _keep_failure(plan: Plan, shard: Shard, error: BaseException) -> None:
    """Writes down why a shard failed, for who merges; a disk that does not take it is no further
    error."""
    message = error.message if isinstance(error, HanetError) else str(error) or "out of memory"
    facts = {"plan": plan.sha256, "shard": shard.index, "message": message[:1000]}
    with suppress(HanetError, OSError):
        replace_file(plan.failure_of(shard.index), json.dumps(facts).encode())


def _place(plan: Plan, name: str) -> str:
    """Where an input lies, by the plan.

    Raises:
        RasterError: The plan does not say, or there is no such file on this machine.
    """
    place = plan.places.get(name)
    if place is None:
        raise RasterError(
            f"{plan.path} does not say where the {name} image lies: its address holds a key, which "
            "no file keeps",
            hint="give both: hanet detect BEFORE AFTER --plan RUN/plan.json --shard N",
        )
    found = found_from(place, plan.folder.resolve())
    if is_missing(found):
        is_image = name in ("before", "after")
        what = f"{name} image" if is_image else "area of interest"
        raise RasterError(
            f"{Path(parse_item_name(found).place).resolve()} is missing, the {what} of {plan.path}",
            hint="where the images lie elsewhere: hanet detect BEFORE AFTER --plan "
            f"{plan.path} --shard N, and hanet merge {plan.folder} BEFORE AFTER"
            if is_image
            else "bring it back: the plan finds it by its path from its own folder",
        )
    return found


def _aoi(plan: Plan) -> Path | None:
    """The file of the area of interest, known to be that of the plan."""
    if plan.settings.aoi is None:
        return None
    path = _place(plan, "aoi")
    if aoi_identity(path) != plan.identity["aoi"]:
        raise VectorError(
            f"the area of interest {path} is not the one that {plan.path} was made for",
            hint="bring it back, or make the plan again with hanet plan ... --overwrite",
        )
    return Path(path)


def _check_sources(plan: Plan, sources: Sources, *, is_hashed: bool) -> None:
    for date, source in zip(("before", "after"), sources, strict=True):
        identity = plan.identity[date]
        # a file of the same size and time is not read to be hashed, for every shard again
        is_known = not is_hashed and plan.states[date] == state_of(source) is not None
        whole = {key: value for key, value in identity.items() if key != "parts"}
        with reading(source.name):
            found = raster_fingerprint(source, whole=whole if is_known else None)
        if found != identity or raster_facts(source) != plan.rasters[date]:
            raise _changed(plan, source.name, date)


def _changed(plan: Plan, name: str, date: str) -> RasterError:
    return RasterError(
        f"{name} is not the {date} image that {plan.path} was made for",
        hint="bring that one back, give it as hanet detect BEFORE AFTER --plan ..., or make the "
        "plan again with hanet plan ... --overwrite",
    )


def _weights_file(plan: Plan, role: str, given: str | Path | None) -> Path:
    """The file of the weights or of the scout, known to be that of the plan."""
    place = given if given is not None else plan.places[role]
    if place is None:
        raise SettingsError(f"{plan.path} does not say where the {role} lie")
    is_file = given is None and Path(place).suffix in catalogue.SUFFIXES
    name = found_from(str(place), plan.folder.resolve()) if is_file else place
    if is_file and not lies_here(name):
        raise WeightsError(
            f"{Path(name).resolve()} is missing, the {role} of {plan.path}",
            hint="where the file lies elsewhere: hanet detect --plan RUN/plan.json --weights FILE"
            if role == "weights"
            else "bring it back: the plan finds it by its path from its own folder",
        )
    path = catalogue.resolve(name, suffixes=plan.settings.engine.suffixes)
    if file_hash(path) != plan.identity[role]:
        raise WeightsError(
            f"{path.name} here is not the file of {role} that {plan.path} was made for",
            hint="give that file with --weights FILE; shards of other weights cannot be merged",
        )
    return path
