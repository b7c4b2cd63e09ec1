"""What a user may choose of a detection."""

from __future__ import annotations

import difflib
import math
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np

from hanet.errors import SettingsError
from hanet.footprints.outlines import Outline
from hanet.imagery.addresses import bare_name
from hanet.imagery.dates import check_date, check_order
from hanet.imagery.grid import Bounds
from hanet.imagery.vectors import FORMATS
from hanet.types import Json
from hanet.weights.runtime import RuntimeName, RuntimePrecision


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """Everything about a detection that a user may choose; None takes what the weights say.

    Args:
        runtime: Engine: onnxruntime, openvino or torch.
        precision: What the engine computes in: fp32, or bf16 (openvino and torch, on processors
            that have it).
        threads: Threads of the engine.
        flips: Average over the four flips of every tile: a better result for four times the work. A
            scout does not.
        scout: Weights that look at every tile at half its resolution first; the others then see
            only tiles in which they find something (see :mod:`hanet.weights.cascade`). None lets
            the weights see every tile.
        tile_px: Side of a tile; no larger one is taken than the pair needs.
        overlap_px: Overlap of neighbouring tiles.
        batch: Tiles inferred at once.
        grid: Whose CRS and pixels the result takes: finer, before or after.
        gsd_m: Metres a pixel of the result, or "native".
        bbox: (left, bottom, right, top) in the grid's CRS.
        aoi: Vector file with the area of interest.
        bands: Band numbers from 1.
        scaling: (low, high) raw values that become 0 and 255.
        coregister: "shift" takes a confident global shift of the after image back; "off" leaves it.
        match_radiometry: Give the after image the before image's histogram.
        threshold: Probability from which on a pixel counts as change.
        connectivity: See :class:`hanet.footprints.extraction.FootprintSettings`.
        min_area_m2: Likewise.
        outline: Likewise.
        split: Likewise.
        before_date: Date of the before image (YYYY-MM-DD, YYYY-MM or YYYY); what the file says if
            None.
        after_date: Likewise; not earlier than ``before_date``.
        formats: Vector formats.
        report: Write report.html.
    """

    runtime: RuntimeName = "onnxruntime"
    precision: RuntimePrecision = "fp32"
    threads: int | None = None
    flips: bool = False
    scout: str | Path | None = None
    tile_px: int | None = None
    overlap_px: int | None = None
    batch: int = 2
    grid: Literal["finer", "before", "after"] = "finer"
    gsd_m: float | Literal["native"] | None = None
    bbox: Bounds | None = None
    aoi: Path | None = None
    bands: tuple[int, ...] | None = None
    scaling: tuple[float, float] | None = None
    coregister: Literal["off", "shift"] = "off"
    match_radiometry: bool = False
    threshold: float | None = None
    connectivity: Literal[4, 8] = 8
    min_area_m2: float = 10.0
    outline: Outline = "square"
    split: bool = False
    before_date: str | None = None
    after_date: str | None = None
    formats: tuple[str, ...] = ("gpkg",)
    report: bool = True

    def __post_init__(self) -> None:
        for name, count in (("bbox", 4), ("scaling", 2)):
            value = getattr(self, name)
            if value is not None and len(value) != count:
                raise SettingsError(f"{name} is {value}; it must be {count} numbers")
        if self.batch < 1:
            raise SettingsError(f"the batch is {self.batch}; it must be at least 1")
        if self.coregister not in ("off", "shift"):
            raise SettingsError(f"coregister is {self.coregister!r}", hint="off or shift")
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats:
            wrong = (
                f"there is no format {', '.join(unknown)!r}" if unknown else "no format is given"
            )
            raise SettingsError(wrong, hint=f"the formats are: {', '.join(FORMATS)}")
        if (
            self.scaling is not None
            and not -math.inf < self.scaling[0] < self.scaling[1] < math.inf
        ):
            raise SettingsError(f"the scaling {self.scaling} is not LOW,HIGH with LOW below HIGH")
        check_date(self.before_date, "the date of the before image")
        check_date(self.after_date, "the date of the after image")
        check_order(self.before_date, self.after_date)

    @classmethod
    def of(cls, **settings: Any) -> DetectionSettings:
        """The settings of these names.

        Raises:
            SettingsError: There is none of a name, or a value is not allowed.
        """
        known = [entry.name for entry in fields(cls)]
        for name in settings:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = (
                    f"did you mean {near[0]}?" if near else f"the settings are: {', '.join(known)}"
                )
                raise SettingsError(f"hanet.detect has no setting {name!r}", hint=hint)
        if isinstance(given := settings.get("formats"), str):
            raise SettingsError(
                f"formats is {given!r}; it must be several names", hint=f"formats=({given!r},)"
            )
        return cls(**{name: _plain(value) for name, value in settings.items()})

    def identity(self) -> Json:
        """What decides the bytes of the result, for ``--resume``: all but the number of threads.

        Of files the name; what they hold is compared by :mod:`hanet.imagery.fingerprint`. ``flips``
        is named where they are taken only, as runs that began before there were any go on.
        """
        told = {"aoi": _file_name(self.aoi), "scout": _file_name(self.scout)}
        left_out = {"threads"} if self.flips else {"threads", "flips"}
        return {
            key: str(value) for key, value in (asdict(self) | told).items() if key not in left_out
        }


def _file_name(path: str | Path | None) -> str | None:
    return PurePath(bare_name(str(path))).name if path is not None else None


def _plain(value: Any) -> Any:
    """numpy's numbers, lists and dates as manifests hold and compare them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, date):
        return value.strftime("%Y-%m-%d")
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(_plain(part) for part in value)
    return value
