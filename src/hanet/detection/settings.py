"""What a user may choose of a detection."""

from __future__ import annotations

import difflib
import math
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np

from hanet.errors import SettingsError
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.addresses import bare_name
from hanet.imagery.dates import check_order
from hanet.imagery.grid import Bounds
from hanet.imagery.vector_formats import FORMATS, check_names
from hanet.types import Json
from hanet.weights.engine import (
    DEFAULT_PRECISION,
    DEFAULT_RUNTIME,
    Engine,
    RuntimeName,
    RuntimePrecision,
)

RENAMED = {"split": "separate"}
"""Settings that had another name in version 0.3."""


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """Everything about a detection that a user may choose; None takes what the weights state.

    Args:
        runtime: Engine: onnxruntime, openvino or torch.
        precision: What the engine computes in: fp32, or bf16 (openvino and torch, on processors
            that have it).
        threads: Threads of the engine; as many as this process may use if None (see
            :mod:`hanet.threads`).
        flips: Average over the four flips of every tile: a better result for four times the work. A
            scout does not.
        scout: Weights that look at every tile at half its resolution first; the others then see
            only tiles in which they find something (see :mod:`hanet.weights.cascade`). None lets
            the weights see every tile.
        tile_px: Side of a tile; no larger one is taken than the pair needs.
        overlap_px: Overlap of neighbouring tiles.
        batch: Tiles inferred at once.
        grid: Whose CRS and pixels the result takes: before, after, or finer (of two equally fine
            ones, within 5 %, the one in metres before one in degrees).
        gsd_m: Metres a pixel of the result, or "native".
        bbox: (left, bottom, right, top) in the grid's CRS.
        aoi: Vector file with the area of interest; the result covers its bounds and a margin, of a
            pair without a CRS all pixels.
        bands: Band numbers from 1.
        scaling: (low, high) raw values that become 0 and 255.
        coregister: "shift" corrects a confident global shift of the after image; "off" does not.
        match_radiometry: Give the after image the before image's histogram.
        footprints: How footprints are made. :meth:`of` and :func:`hanet.detect` take its fields
            beside the others: ``threshold``, ``min_area_m2``, ``outline``, ``separate``,
            ``connectivity``, ``before_date``, ``after_date``.
        filter_footprints: Leave out what the weights' footprint filter takes for false alarms, if
            they have one (``hanet adapt`` makes such weights).
        kinds: State for each footprint whether it was built or demolished, and keep ``built.tif``,
            from which ``hanet footprints`` does it again; None does so where the weights tell, and
            True needs weights that do.
        formats: Vector formats.
        report: Write report.html.
        qgis: Write changes.qgz, a project for QGIS.
    """

    runtime: RuntimeName = DEFAULT_RUNTIME
    precision: RuntimePrecision = DEFAULT_PRECISION
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
    footprints: FootprintSettings = field(default_factory=FootprintSettings)
    filter_footprints: bool = True
    kinds: bool | None = None
    formats: tuple[str, ...] = ("gpkg",)
    report: bool = True
    qgis: bool = True

    def __post_init__(self) -> None:
        for name, count in (("bbox", 4), ("scaling", 2)):
            value = getattr(self, name)
            if value is not None and len(value) != count:
                raise SettingsError(f"{name} is {value}; it must be {count} numbers")
        if self.batch < 1:
            raise SettingsError(f"the batch is {self.batch}; it must be at least 1")
        if self.coregister not in ("off", "shift"):
            raise SettingsError(f"coregister is {self.coregister!r}", hint="off or shift")
        check_names(self.formats, FORMATS)
        if (
            self.scaling is not None
            and not -math.inf < self.scaling[0] < self.scaling[1] < math.inf
        ):
            raise SettingsError(f"the scaling {self.scaling} is not LOW,HIGH with LOW below HIGH")
        check_order(self.footprints.before_date, self.footprints.after_date)

    @classmethod
    def of(cls, **settings: Any) -> DetectionSettings:
        """The settings of these names; those of footprints stand beside the others.

        Raises:
            SettingsError: There is no setting of a name, or a value is not allowed.
        """
        of_footprints = {entry.name for entry in fields(FootprintSettings)}
        own = {entry.name for entry in fields(cls)} - {"footprints"}
        known = sorted(own | of_footprints)
        for name in settings:
            if name not in known:
                near = [RENAMED[name]] if name in RENAMED else []
                near = near or difflib.get_close_matches(name, known, n=1)
                hint = (
                    f"did you mean {near[0]}?" if near else f"the settings are: {', '.join(known)}"
                )
                raise SettingsError(f"hanet.detect has no setting {name!r}", hint=hint)
        if isinstance(given := settings.get("formats"), str):
            raise SettingsError(
                f"formats is {given!r}; it must be several names", hint=f"formats=({given!r},)"
            )
        plain = {name: _plain(value) for name, value in settings.items()}
        return cls(
            **{name: value for name, value in plain.items() if name in own},
            footprints=FootprintSettings(
                **{name: value for name, value in plain.items() if name in of_footprints}
            ),
        )

    @property
    def engine(self) -> Engine:
        """What the weights run on.

        Raises:
            SettingsError: A value is not allowed.
        """
        return Engine(self.runtime, self.threads, self.precision, self.flips)

    def identity(self) -> Json:
        """What decides the bytes of the result, for ``--resume``: all but the number of threads.

        Of files the name; what they hold is compared by :mod:`hanet.imagery.fingerprint`.
        ``flips``, ``qgis``, ``kinds`` and the filter are included only if they are not as by
        default, so that runs begun before the options existed can be resumed.
        """
        values = asdict(self) | {"aoi": _file_name(self.aoi), "scout": _file_name(self.scout)}
        values |= values.pop("footprints")
        left_out = {"threads"} | ({"qgis"} if self.qgis else set())
        left_out |= set() if self.flips else {"flips"}
        left_out |= {"filter_footprints"} if self.filter_footprints else set()
        left_out |= {"footprint_filter"} if self.footprints.footprint_filter is None else set()
        left_out |= {"kinds"} if self.kinds is not False else set()
        return {key: str(value) for key, value in values.items() if key not in left_out}


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
