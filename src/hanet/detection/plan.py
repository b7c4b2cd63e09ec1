"""``plan.json``: everything about a detection that is decided once, before its shards are run.

One grid, one scaling, one shift, one histogram, one threshold and one set of tiles for all shards,
on whatever machine they run; and the hashes of weights and inputs, so that a machine that holds
others says so. :mod:`hanet.detection.planning` makes it, :mod:`hanet.detection.opened_plan` opens
its inputs, :mod:`hanet.detection.shard` runs its shards, :mod:`hanet.detection.merging` makes one
result of them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, astuple, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hanet.detection.manifest import keeps_kinds
from hanet.detection.settings import DetectionSettings
from hanet.detection.tiling import Part, TilePlan
from hanet.documents import DocumentError, moment_of, read_json
from hanet.errors import HanetError, OutputError, SettingsError
from hanet.files import replace_file
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.grid import Grid
from hanet.imagery.pair import PairSettings
from hanet.imagery.pair_grid import GridChoice
from hanet.imagery.radiometry import HistogramMatch, Scaling
from hanet.imagery.registration import Shift
from hanet.types import Json, Window

FORMAT, FORMAT_OF_PART = 1, 2
"""Versions of the document, the second one of a part of a pair; others are refused."""

PLAN, SHARDS = "plan.json", "shards"
"""In the folder of the run: the document, and the folder of the shards' files."""

UNHASHED = ("sha256", "started", "places", "states")
"""What may differ between plans of the same: when it was made, and where files lay."""

PLACED = ("before", "after", "aoi", "weights", "scout")
"""Inputs whose places are stored."""

MAX_BYTES = 256 << 20
"""Of the document: 100,000 shards take 10 MB, the outline of a CRS and all findings little."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One piece of the work.

    Args:
        index: Its number, from 0.
        part: Chunks whose final pixels are its own.
        window: These pixels.
        is_empty: The area of interest does not reach into it: there is nothing to do.
    """

    index: int
    part: Part
    window: Window
    is_empty: bool = False


@dataclass(frozen=True)
class Plan:
    """A detection cut into shards; :func:`read_plan` reads it.

    Args:
        folder: Of the run: the document, the shards and in the end the result lie there.
        settings: As the user chose; the paths in it are names alone, see ``places``.
        decided: How both rasters become the pair, with everything that was decided by looking at
            them.
        bands: Bands that are read of each date.
        preflight: What was found in the pair, for the manifest.
        rasters: What each date was when the plan was made: size, bands, type, place.
        identity: What decides the bytes of the result.
        weights: What the manifest says of the weights.
        threshold: Probability from which on a pixel counts as change.
        tile_px: Side of a tile.
        overlap_px: Overlap of neighbouring tiles.
        shards: All of them, by their number.
        said: What the plan said to its user.
        started: When it was made (UTC, ISO 8601).
        places: Where ``before``, ``after``, ``aoi``, ``weights`` and ``scout`` lie: local files by
            their path from ``folder``, addresses and names as they are; None for what is not
            there, or would keep a password.
        states: Size and time of the local files of both dates, so that files that are as they were
            need not be hashed for every shard; None for others.
    """

    folder: Path
    settings: DetectionSettings
    decided: PairSettings
    bands: tuple[tuple[int, ...], tuple[int, ...]]
    preflight: Json
    rasters: Json
    identity: Json
    weights: Json
    threshold: float
    tile_px: int
    overlap_px: int
    shards: tuple[Shard, ...]
    said: tuple[Json, ...]
    started: str
    places: Json
    states: Json

    @property
    def path(self) -> Path:
        """The document."""
        return self.folder / PLAN

    @property
    def grid(self) -> Grid:
        """That of the result."""
        assert self.decided.choice is not None
        whole, part = self.decided.choice.grid, self.decided.part
        return whole if part is None else whole.part(part)

    @property
    def format(self) -> int:
        """Version of the document."""
        return FORMAT if self.decided.part is None else FORMAT_OF_PART

    @property
    def has_kinds(self) -> bool:
        """Whether the result says what was built and what demolished."""
        return keeps_kinds(self.weights, self.settings)

    @cached_property
    def tiles(self) -> TilePlan:
        """All tiles of the grid."""
        return _tiles(self.decided, self.settings, self.tile_px, self.overlap_px)

    @cached_property
    def sha256(self) -> str:
        """Known by it: the same inputs, weights, settings, decisions and shards have the same."""
        hashed = {key: value for key, value in self.to_json().items() if key not in UNHASHED}
        text = json.dumps(hashed, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def shard(self, index: int) -> Shard:
        """The shard of a number.

        Raises:
            SettingsError: There is none.
        """
        if not 0 <= index < len(self.shards):
            count = len(self.shards)
            raise SettingsError(
                f"there is no shard {index}: {self.path} has {count}, numbered from 0",
                hint=f"give a number from 0 to {count - 1}",
            )
        return self.shards[index]

    def file_of(self, index: int) -> Path:
        """Where the result of a shard lies when it is done."""
        return self.folder / SHARDS / f"{index:04d}.zip"

    def failure_of(self, index: int) -> Path:
        """Where it stands why a shard failed."""
        return self.folder / SHARDS / f"{index:04d}.failed.json"

    def to_json(self) -> Json:
        """The document without its hash."""
        return {
            "format": self.format,
            "started": self.started,
            "places": self.places,
            "states": self.states,
            "settings": _settings_json(self.settings),
            "identity": self.identity,
            "weights": self.weights,
            "threshold": self.threshold,
            "pair": {
                **_pair_json(self.decided),
                "bands": [list(bands) for bands in self.bands],
                "rasters": self.rasters,
            },
            "preflight": self.preflight,
            "said": list(self.said),
            "tiles": {"tile_px": self.tile_px, "overlap_px": self.overlap_px},
            "shards": [
                {
                    "rows": [shard.part.rows.start, shard.part.rows.stop],
                    "chunks": [shard.part.chunks.start, shard.part.chunks.stop],
                    "empty": shard.is_empty,
                }
                for shard in self.shards
            ],
        }

    def write(self) -> None:
        """Writes the document.

        Raises:
            OutputError: The disk does not take it.
        """
        values = {**self.to_json(), "sha256": self.sha256}
        text = json.dumps(values, indent=1, allow_nan=False)
        replace_file(self.path, f"{text}\n".encode())


def read_plan(path: str | Path) -> Plan:
    """The plan of a file, or of the folder of a run.

    Raises:
        OutputError: It is missing, damaged, changed by hand, or of another version of hanet.
    """
    path = Path(path)
    path = path / PLAN if path.is_dir() else path
    try:
        # names of inputs need not be UTF-8: Python writes what is not as lone surrogates
        values = read_json(path, max_bytes=MAX_BYTES, unicode=False)
        if not isinstance(values, dict):
            raise DocumentError("it is no object")
        if values.get("format") not in (FORMAT, FORMAT_OF_PART):
            raise OutputError(
                f"{path} is no plan of this version of hanet",
                hint="make it again with hanet plan, or run it with the hanet that made it",
            )
        plan = _plan_of(values, path.parent)
        is_whole = (values["format"], values.get("sha256")) == (plan.format, plan.sha256)
    except OSError as error:
        raise OutputError(
            f"there is no plan {path}: {error.strerror}",
            hint="make one: hanet plan BEFORE AFTER --out RUN --shards 64",
        ) from error
    except (DocumentError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path) from error
    except OutputError:
        raise
    except HanetError as error:  # a value that no plan can hold
        raise _damaged(path) from error
    if not is_whole:
        raise _damaged(path)
    return plan


def _damaged(path: Path) -> OutputError:
    return OutputError(
        f"{path} is damaged, or was changed by hand",
        hint="make it again: hanet plan BEFORE AFTER --out RUN --overwrite",
    )


def _plan_of(values: Json, folder: Path) -> Plan:
    pair, tiles = values["pair"], values["tiles"]
    settings = _settings_from(values["settings"])
    decided = _pair_from(pair, settings)
    tile_px, overlap_px = int(tiles["tile_px"]), int(tiles["overlap_px"])
    plan = _tiles(decided, settings, tile_px, overlap_px)
    first, second = (tuple(int(band) for band in bands) for bands in pair["bands"])
    return Plan(
        folder=folder,
        settings=settings,
        decided=decided,
        bands=(first, second),
        preflight=dict(values["preflight"]),
        rasters=dict(pair["rasters"]),
        identity=dict(values["identity"]),
        weights=dict(values["weights"]),
        threshold=float(values["threshold"]),
        tile_px=tile_px,
        overlap_px=overlap_px,
        shards=tuple(_shard_of(index, entry, plan) for index, entry in enumerate(values["shards"])),
        said=tuple(values["said"]),
        started=moment_of(values["started"]),
        places={name: _place(values["places"][name]) for name in PLACED},
        states={date: values["states"][date] for date in ("before", "after")},
    )


def _tiles(
    decided: PairSettings, settings: DetectionSettings, tile_px: int, overlap_px: int
) -> TilePlan:
    assert decided.choice is not None
    grid, part = decided.choice.grid, decided.part
    return TilePlan(grid.height, grid.width, tile_px, overlap_px, settings.batch, part)


def _place(value: object) -> str | None:
    if not isinstance(value, str | None):
        raise TypeError("a place is text")
    return value


def _shard_of(index: int, entry: Json, plan: TilePlan) -> Shard:
    part = Part(range(*entry["rows"]), range(*entry["chunks"]))
    return Shard(index, part, plan.window(part), bool(entry["empty"]))


def _settings_json(settings: DetectionSettings) -> Json:
    values = asdict(settings)
    for name in ("aoi", "scout"):
        values[name] = None if values[name] is None else str(values[name])
    return json.loads(json.dumps(values))  # type: ignore[no-any-return]


def _settings_from(values: Json) -> DetectionSettings:
    plain: Json = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    if plain["aoi"] is not None:
        plain["aoi"] = Path(plain["aoi"])
    return DetectionSettings(
        **{**plain, "footprints": FootprintSettings(**values["footprints"])},
    )


def _pair_json(decided: PairSettings) -> Json:
    """Exactly: what manifests round would move pixels."""
    choice, scaling = decided.choice, decided.scaling
    assert choice is not None
    assert scaling is not None
    return {
        "grid": choice.grid.to_json(),
        # not in plans without an area of interest, nor in those of before there were parts
        **({} if decided.part is None else {"part": list(astuple(decided.part))}),
        "notes": list(choice.notes),
        "scaling": scaling.to_json(),
        "shift": None if decided.shift is None else asdict(decided.shift),
        "histogram": None if decided.histogram is None else decided.histogram.tables.tolist(),
        "band_count": decided.band_count,
    }


def _pair_from(values: Json, settings: DetectionSettings) -> PairSettings:
    shift, histogram = values["shift"], values["histogram"]
    grid = Grid.from_json(values["grid"])
    return PairSettings(
        bands=settings.bands,
        band_count=int(values["band_count"]),
        aoi=settings.aoi,
        scaling=Scaling.from_json(values["scaling"]),
        shift=None if shift is None else Shift(**shift),
        histogram=None if histogram is None else _match(histogram),
        choice=GridChoice(grid, tuple(str(note) for note in values["notes"])),
        part=_part(values.get("part"), grid),
    )


def _part(sides: list[int] | None, grid: Grid) -> Window | None:
    if sides is None:
        return None
    part = Window(*(int(side) for side in sides))
    if part.is_empty or part.intersection(Window(0, 0, grid.height, grid.width)) != part:
        raise ValueError("a part beyond the grid")
    return part


def _match(tables: list[list[float]]) -> HistogramMatch:
    return HistogramMatch(np.array(tables, dtype=np.float32))


def unlike(ours: Json, theirs: Json) -> list[str]:
    """Names of the entries of an identity that differ."""
    return sorted(key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key))
