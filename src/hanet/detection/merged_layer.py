"""The footprints of many pairs as one layer, pair by pair in a stream: memory grows neither with
the pairs nor with their footprints."""

from __future__ import annotations

import heapq
import json
import math
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from hanet.command_line import typed
from hanet.detection.manifest import says_kinds
from hanet.detection.run_folder import FOOTPRINT_FILES, damaged, read_run_file
from hanet.documents import DocumentError, read_json
from hanet.errors import OutputError
from hanet.files import check_not_open, file_hash, keep_aside, replace_file
from hanet.footprints.extraction import LAYER
from hanet.footprints.measures import field_types
from hanet.footprints.review_columns import to_fill_in
from hanet.imagery.grid import Grid, crs_name, in_another_crs, wkt_of
from hanet.imagery.qgis import footprint_style
from hanet.imagery.vector_formats import FORMATS
from hanet.imagery.vectors import FeatureWriter, footprint_batches
from hanet.types import Json, Progress
from hanet.version import __version__

STEM, RECORD = "footprints", "pairs.json"
"""Name of the layer's files without suffix, and of the file that says what they were made of."""

MERGED_CRS = "EPSG:4326"
"""Of one layer of pairs that have several."""

MERGING = "merging footprints"
"""The stage that progress is reported of."""

LISTED = 200
"""Footprints that are remembered by themselves: the largest."""

BATCH = 1000
"""Footprints that are written at once."""

READ_FIRST = (".gpkg", ".fgb", ".parquet", ".geojson")
"""Which file of a pair is read, if it has several: GeoJSON holds seven digits only."""


@dataclass(frozen=True, slots=True)
class FinishedPair:
    """What the folder of a finished pair says.

    Args:
        name: Of the pair.
        out: Its folder.
        grid: Its pixels.
        dates: Of the before and the after image, where they are known.
        count: Footprints.
        area: Their area in square metres; in square pixels without a CRS.
        layer: The file of its footprints that is read.
        sha256: Of that file.
        has_report: Whether there is a page to link to.
        has_kinds: Whether its footprints say what was built and what demolished.
    """

    name: str
    out: Path
    grid: Grid
    dates: tuple[str | None, str | None]
    count: int
    area: float
    layer: Path
    sha256: str
    has_report: bool
    has_kinds: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A footprint of the merged layer.

    Args:
        pair: Name of its pair.
        id: Its number there.
        area: In square metres; in square pixels without a CRS.
        probability: Mean; None where it is not known.
        longitude: Of its centroid; None where it is not known.
        latitude: Of its centroid.
    """

    pair: str
    id: int
    area: float
    probability: float | None
    longitude: float | None
    latitude: float | None


@dataclass(frozen=True, slots=True)
class MergedLayer:
    """What was merged.

    Args:
        files: The layer in each format.
        count: Footprints in it.
        area: Their area, in square metres or square pixels.
        has_metres: Whether it is in square metres.
        largest: The largest footprints, the largest first.
        notes: What was left out or kept aside, in words.
        is_new: False where the layer that was there is of the same footprints, and stayed.
    """

    files: tuple[Path, ...]
    count: int
    area: float
    has_metres: bool
    largest: tuple[Place, ...] = ()
    notes: tuple[str, ...] = ()
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class CommonCrs:
    """The CRS of one layer of many results.

    Args:
        crs: None where no result has one.
        note: A remark about it; empty where all have this one.
        without: Names of the results that have no CRS, where others have one: one layer cannot
            hold both.
    """

    crs: str | None
    note: str = ""
    without: tuple[str, ...] = ()


def common_crs(crs_of: Mapping[str, str | None]) -> CommonCrs:
    """The CRS of one layer of results with these: their own if it is the same, else longitude and
    latitude."""
    found = set(crs_of.values())
    known = {crs for crs in found if crs is not None}
    if not known:
        return CommonCrs(None)
    without = tuple(name for name, crs in crs_of.items() if crs is None)
    if len(known) == 1:
        return CommonCrs(next(iter(known)), without=without)
    names = ", ".join(sorted(map(crs_name, known)))
    note = f"the pairs have {len(known)} CRS ({names}): the layer has WGS84"
    return CommonCrs(MERGED_CRS, note, without)


def read_pair(name: str, out: Path) -> FinishedPair:
    """What the folder of a finished pair says.

    Raises:
        OutputError: It holds no finished run, or a damaged one, or its footprints are gone.
    """
    path = out / "run.json"
    manifest = read_run_file(path)
    try:
        facts = manifest["footprints"]
        grid = Grid.from_json(manifest["pair"]["grid"])
        count, area = int(facts["count"]), float(facts["area"])
        names = [str(name) for name in facts["files"]]
        dates = tuple(facts.get(date) for date in ("before_date", "after_date"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(path) from error
    files = [out / name for name in names if name in FOOTPRINT_FILES and (out / name).is_file()]
    if not files:
        raise OutputError(
            f"the footprints of {out} are gone",
            hint=f"make them again: `hanet footprints {typed(out)}`",
        )
    if grid.crs is not None:  # ten thousand pairs of one country hold its text once
        grid = Grid(sys.intern(grid.crs), grid.transform, grid.height, grid.width)
    layer = min(files, key=lambda file: READ_FIRST.index(file.suffix))
    try:
        sha256 = file_hash(layer)
    except OSError as error:
        raise OutputError(f"{layer} cannot be read: {error.strerror or error}") from error
    has_report = (out / "report.html").is_file()
    return FinishedPair(
        name,
        out,
        grid,
        (dates[0], dates[1]),
        count,
        area,
        layer,
        sha256,
        has_report,
        says_kinds(manifest),
    )


def merge_footprints(
    pairs: Sequence[FinishedPair],
    out: Path,
    *,
    formats: Sequence[str],
    progress: Progress | None = None,
) -> MergedLayer:
    """Writes the footprints of pairs as ``OUT/footprints.*``, in the order of the pairs, each with
    the name of its pair and its dates; ``OUT/pairs.json`` says what they were made of.

    Nothing is done where the same footprints were merged before. A file of this name that no merge
    has written, or that was changed since, is kept as ``footprints-kept-N``.

    Args:
        pairs: Finished pairs.
        out: Folder for the files.
        formats: Keys of :data:`hanet.imagery.vector_formats.FORMATS`.
        progress: Called with the stage and the share done.

    Raises:
        InputError: The file of a pair cannot be read.
        OutputError: A file cannot be written, or is open in another program.
    """
    shared = common_crs({pair.name: pair.grid.crs for pair in pairs})
    crs, notes = shared.crs, [shared.note] if shared.note else []
    if shared.without:
        count, first = len(shared.without), shared.without[0]
        notes.append(
            f"{count} of {len(pairs)} pairs have no CRS and are not in the merged layer, the "
            f"first: {first}"
        )
        pairs = [pair for pair in pairs if pair.grid.crs is not None]
    formats = tuple(dict.fromkeys(formats))
    sources = {pair.name: pair.sha256 for pair in pairs}
    earlier = _record(out)
    if (stored := _as_stored(earlier, out, sources, formats)) is not None:
        return stored
    files = [out / f"{STEM}{FORMATS[name]}" for name in formats]
    for path in files:
        check_not_open(path)
    # in pixels where one of them knows no metres
    model = next((pair.grid for pair in pairs if not pair.grid.has_metres), pairs[0].grid)
    has_kinds = any(pair.has_kinds for pair in pairs)
    types, tally = field_types(model, has_kinds=has_kinds), _Tally(has_metres=model.has_metres)
    writer = FeatureWriter(
        out,
        STEM,
        formats,
        crs=crs,
        layer=LAYER,
        fields={"pair": str, **types},
        style=footprint_style(has_kinds=has_kinds),
        to_fill_in=to_fill_in(types),
    )
    with writer:
        for shapes, columns in _gathered(pairs, crs, types, tally, progress):
            writer.write(list(shapes), columns)
        # the files are moved into place when the writer closes
        kept = keep_unknown(files, _known_files(earlier))
    merged = MergedLayer(
        writer.files, tally.count, tally.area, model.has_metres, tally.largest, tuple(notes)
    )
    _remember(out, merged, sources, formats)
    return replace(merged, notes=(*notes, *kept))


def keep_unknown(paths: Sequence[Path], known: Container[str]) -> list[str]:
    """Renames those files whose SHA-256 is not known, and returns remarks about them.

    Raises:
        OutputError: One cannot be read or renamed.
    """
    notes = []
    for path in paths:
        try:
            is_own = not path.is_file() or path.is_symlink() or file_hash(path) in known
        except OSError as error:
            raise OutputError(f"{path} cannot be read: {error.strerror or error}") from error
        if not is_own:
            kept = keep_aside([path])[0]
            notes.append(f"{path.name} was not as it had been written, and is kept as {kept.name}")
    return notes


@dataclass(slots=True)
class _Tally:
    """What goes by on the way into the layer."""

    has_metres: bool
    count: int = 0
    area: float = 0.0
    _heap: list[tuple[float, int, Place]] = field(default_factory=list)

    def see(self, columns: Mapping[str, list[Any]]) -> None:
        for index, area in enumerate(columns["area_m2" if self.has_metres else "area_px"]):
            self.count += 1
            if not math.isfinite(area):
                continue
            self.area += area
            if len(self._heap) < LISTED or area > self._heap[0][0]:
                known = ("probability_mean", "centroid_longitude", "centroid_latitude")
                values = (columns[name][index] if name in columns else math.nan for name in known)
                facts = (value if math.isfinite(value) else None for value in values)
                place = Place(columns["pair"][index], columns["id"][index], area, *facts)
                # of equal ones the first, by the number that comes second
                push = heapq.heappush if len(self._heap) < LISTED else heapq.heapreplace
                push(self._heap, (area, -self.count, place))

    @property
    def largest(self) -> tuple[Place, ...]:
        return tuple(place for _, _, place in sorted(self._heap, reverse=True))


Rows = tuple[npt.NDArray[np.object_], dict[str, list[Any]]]


def _gathered(
    pairs: Sequence[FinishedPair],
    crs: str | None,
    types: Mapping[str, type],
    tally: _Tally,
    progress: Progress | None,
) -> Iterator[Rows]:
    """Outlines and columns of all pairs, several small pairs at once: opening the layer once a
    pair would cost more than its footprints."""
    shapes: list[npt.NDArray[np.object_]] = []
    columns: dict[str, list[Any]] = {}
    for number, pair in enumerate(pairs):
        if progress is not None:
            progress(MERGING, number / len(pairs))
        for part, values in _read(pair, crs, types):
            shapes.append(part)
            for name, column in values.items():
                columns.setdefault(name, []).extend(column)
            if sum(map(len, shapes)) >= BATCH:
                tally.see(columns)
                yield np.concatenate(shapes), columns
                shapes, columns = [], {}
    if shapes:
        tally.see(columns)
        yield np.concatenate(shapes), columns
    if progress is not None:
        progress(MERGING, 1.0)


def _read(pair: FinishedPair, crs: str | None, types: Mapping[str, type]) -> Iterator[Rows]:
    """The footprints of a pair in the CRS of the layer. What is no polygon is left out: people draw
    in these files."""
    own = pair.grid.crs
    if pair.layer.suffix == FORMATS["geojson"] and own is not None:
        own = wkt_of(MERGED_CRS)
    moves = own is not None and crs is not None and not _is_same(own, crs)
    dates = dict(zip(("before_date", "after_date"), pair.dates, strict=True))
    for wkb, stored in footprint_batches(pair.layer):
        shapes = shapely.from_wkb(wkb, on_invalid="ignore")
        usable = np.flatnonzero((shapely.get_dimensions(shapes) == 2) & ~shapely.is_empty(shapes))
        shapes = shapes[usable]
        if not len(shapes):
            continue
        columns: dict[str, list[Any]] = {"pair": [pair.name] * len(shapes)}
        for name, kind in types.items():
            values = np.asarray(stored[name])[usable].tolist() if name in stored else []
            values = values or [None] * len(shapes)
            if kind is str:
                columns[name] = [value or dates.get(name) for value in values]
            else:
                columns[name] = [_number(value, kind) for value in values]
        assert crs is None or own is not None
        yield (in_another_crs(shapes, own, crs) if moves and own and crs else shapes), columns


def _is_same(first: str, second: str) -> bool:
    return first == second or wkt_of(first) == wkt_of(second)


def _number(value: object, kind: type) -> float | int:
    """The value; for one that is not set NaN or, of whole numbers, 0."""
    is_number = isinstance(value, int | float) and math.isfinite(value)
    number = float(value) if is_number and isinstance(value, int | float) else math.nan
    return (int(number) if is_number else 0) if kind is int else number


def _record(out: Path) -> Json:
    """What an earlier merge has left; empty where there was none."""
    with suppress(OSError, DocumentError):
        value = read_json(out / RECORD)
        if isinstance(value, dict):
            return value
    return {}


def _known_files(record: Json) -> frozenset[str]:
    files = record.get("files")
    return frozenset(map(str, files.values())) if isinstance(files, dict) else frozenset()


def _as_stored(
    record: Json, out: Path, sources: Mapping[str, str], formats: Sequence[str]
) -> MergedLayer | None:
    """The layer of an earlier merge of the same footprints, if it wrote all these formats and their
    files are there; whatever a person has changed in them since stays."""
    listed = record.get("sources")
    if not isinstance(listed, dict) or list(listed.items()) != list(sources.items()):
        return None
    files = tuple(out / f"{STEM}{FORMATS[name]}" for name in formats)
    if not all(path.is_file() for path in files) or record.get("hanet") != __version__:
        return None
    written = record.get("files")
    if not isinstance(written, dict) or any(path.name not in written for path in files):
        return None  # a file of a format left out by that merge is of one before it
    try:
        return MergedLayer(
            files,
            int(record["count"]),
            float(record["area"]),
            record["unit"] == "m2",
            tuple(Place(**place) for place in record["largest"]),
            tuple(map(str, record["notes"])),
            is_new=False,
        )
    except (KeyError, TypeError, ValueError):
        return None


def _remember(
    out: Path, merged: MergedLayer, sources: Mapping[str, str], formats: Sequence[str]
) -> None:
    record: Json = {
        "hanet": __version__,
        "count": merged.count,
        "area": round(merged.area, 2),
        "unit": "m2" if merged.has_metres else "px",
        "formats": list(formats),
        "files": {path.name: file_hash(path) for path in merged.files},
        "notes": list(merged.notes),
        "largest": [asdict(place) for place in merged.largest],
        "sources": dict(sources),
    }
    replace_file(out / RECORD, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
