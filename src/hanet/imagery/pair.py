"""A pair of rasters on one grid: open, check, align, read windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.features import geometry_mask
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow
from shapely import get_parts, multipolygons
from shapely.affinity import translate
from shapely.geometry import box, shape

from hanet.errors import RasterError, SettingsError, VectorError
from hanet.imagery.addresses import bare_name
from hanet.imagery.gdal import gdal_session, reading
from hanet.imagery.grid import Bounds, Grid, crs_name
from hanet.imagery.overviews import read_for
from hanet.imagery.pair_grid import GridChoice, choose_grid
from hanet.imagery.radiometry import HistogramMatch, Scaling, estimate_scaling
from hanet.imagery.raster_source import RasterSource
from hanet.imagery.reflection import mirrored
from hanet.imagery.registration import Shift
from hanet.imagery.vectors import json_geometry, read_polygons
from hanet.types import FloatArray, Json, Mask, Window

SAMPLE_PX = 1024
"""Longest side of the decimated overlap from which scaling and histogram match are estimated."""

INVALID_VALUE = 127.0
"""What both dates show at an invalid pixel: the same, so that it is no change."""


DateBands = tuple[tuple[int, ...], tuple[int, ...]]
"""Band numbers of the before image and of the after image."""


class PairBlock(NamedTuple):
    """Pixels of a window."""

    before: FloatArray  # (C, h, w), 0-255
    after: FloatArray  # (C, h, w), 0-255
    valid: Mask  # (h, w): valid in both dates and inside the area of interest


class RasterPair:
    """Two rasters read on one grid; made by :func:`open_pair`, closed by ``with``.

    One thread at a time may read; it need not be the one that opened.

    Attributes:
        grid: The common grid.
        notes: What was decided, in words.
        scaling: Rule from raw values to 0-255.
        before: The raster of the first date.
        after: The raster of the second date.
    """

    def __init__(
        self,
        before: RasterSource,
        after: RasterSource,
        choice: GridChoice,
        *,
        stack: ExitStack,
        bands: DateBands,
        shift: Shift | None,
        histogram: HistogramMatch | None,
        aoi: list[Any] | None,
    ) -> None:
        self.before, self.after, self.grid = before, after, choice.grid
        self.notes: tuple[str, ...] = choice.notes
        self.bands, self.bands_after, self.shift, self.histogram = *bands, shift, histogram
        self._aoi, self._stack = aoi, stack
        self._readers = (
            stack.enter_context(_DateReader(before, choice.grid, bands[0], None)),
            stack.enter_context(_DateReader(after, choice.grid, bands[1], shift)),
        )
        self.scaling = Scaling.eight_bit(len(self.bands))

    def __enter__(self) -> RasterPair:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes both rasters."""
        self._stack.close()

    def read(self, window: Window) -> PairBlock:
        """Pixels of a window in 0-255; it may reach beyond the grid: outside is invalid and filled
        by reflection.

        Raises:
            RasterError: A raster cannot be read there (truncated, vanished, connection lost).
        """
        whole = Window(0, 0, self.grid.height, self.grid.width)
        inside = window.intersection(whole)
        if inside.is_empty:
            raise SettingsError(
                f"the window {window} lies outside the grid of {self.grid.height}x{self.grid.width}"
            )
        (before, valid_before), (after, valid_after) = (
            reader.read(inside) for reader in self._readers
        )
        valid = valid_before & valid_after
        if self._aoi is not None:
            valid &= self._inside_aoi(inside)
        before, after = self.scaling.apply(before), self.scaling.apply(after)
        if self.histogram is not None:
            after = self.histogram.apply(after)
        if not valid.all():
            before[:, ~valid] = INVALID_VALUE
            after[:, ~valid] = INVALID_VALUE
        if inside == window:
            return PairBlock(before, after, valid)
        return reflected_beyond(PairBlock(before, after, valid), inside, window)

    def sample(self, *, longest_px: int = SAMPLE_PX, raw: bool = False) -> PairBlock:
        """The whole overlap, decimated to at most ``longest_px`` a side: single pixels, so that
        their spread is that of the rasters.

        Args:
            longest_px: Longest side of the result.
            raw: Values before scaling and histogram match.
        """
        coarse = self.grid.decimated(longest_px=longest_px)
        whole = Window(0, 0, coarse.height, coarse.width)
        with self._coarse_readers(coarse) as (first, second):
            (before, valid_before), (after, valid_after) = first.read(whole), second.read(whole)
        if not raw:
            before, after = self.scaling.apply(before), self.scaling.apply(after)
            if self.histogram is not None:
                after = self.histogram.apply(after)
        return PairBlock(before, after, valid_before & valid_after)

    @contextmanager
    def _coarse_readers(self, coarse: Grid) -> Iterator[tuple[_DateReader, _DateReader]]:
        """Readers on a coarser grid. Warped views of their own: decimating a fine view would warp
        every pixel of it first."""
        with (
            read_for(self.before, coarse) as before,
            read_for(self.after, coarse) as after,
            _DateReader(before, coarse, self.bands, None, nearest=True) as first,
            _DateReader(
                after, coarse, self.bands_after, self._shift_on(coarse), nearest=True
            ) as second,
        ):
            yield first, second

    def manifest(self) -> Json:
        """What was read and how, for ``run.json``."""
        return {
            "before": self.before.manifest(),
            "after": self.after.manifest(),
            "grid": self.grid.to_json(),
            "gsd_m": self.grid.gsd_m,
            "bands": list(self.bands),
            **({"bands_after": list(self.bands_after)} if self.bands_after != self.bands else {}),
            "scaling": self.scaling.to_json(),
            "shift_applied": self.shift.to_json() if self.shift else None,
            "histogram_matched": self.histogram is not None,
            "notes": list(self.notes),
        }

    def _shift_on(self, coarse: Grid) -> Shift | None:
        if self.shift is None:
            return None
        rows, columns = coarse.height / self.grid.height, coarse.width / self.grid.width
        return replace(
            self.shift,
            rows_px=self.shift.rows_px * rows,
            columns_px=self.shift.columns_px * columns,
        )

    def _inside_aoi(self, window: Window) -> Mask:
        part = self.grid.part(window)
        inside: Mask = geometry_mask(
            self._aoi or [], out_shape=window.shape, transform=part.affine, invert=True
        )
        return inside


class _DateReader:
    """Reads one date on the grid: straight where the grids coincide, else through a warped view."""

    def __init__(
        self,
        source: RasterSource,
        grid: Grid,
        bands: tuple[int, ...],
        shift: Shift | None,
        *,
        nearest: bool = False,
    ) -> None:
        self._source, self._bands, self._grid = source, list(bands), grid
        self._vrt: Any = None
        self._alpha = source.alpha_band
        self._offset = (0, 0)
        if shift is None and (offset := source.offset_in(grid)) is not None:
            self._offset = offset
            return
        self._vrt = self._warped(source, grid, shift, nearest=nearest)
        self._alpha = (
            source.alpha_band or self._vrt.count
        )  # the band that the view adds is its last

    def __enter__(self) -> _DateReader:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._vrt is not None:
            self._vrt.close()

    def read(self, window: Window) -> tuple[FloatArray, Mask]:
        """Raw values (C, h, w) as float32 and validity (h, w) of a window inside the grid."""
        row, column = self._offset
        moved = Window(window.row + row, window.column + column, window.height, window.width)
        dataset = self._vrt if self._vrt is not None else self._source.dataset
        # GDAL's own masks heed alpha only as the second or fourth band of a byte or 16-bit raster
        bands = self._bands if self._alpha is None else [*self._bands, self._alpha]
        with reading(self._source.name):
            values = dataset.read(
                bands, window=RasterioWindow(moved.column, moved.row, moved.width, moved.height)
            )
        valid = (
            self._source.marked_valid(moved)
            if self._vrt is None
            else np.ones(window.shape, dtype=np.bool_)
        )
        if self._alpha is not None:
            valid &= values[-1] > 0
            values = values[:-1]
        if self._source.nodata_beside_alpha is not None:
            valid &= (values != self._source.nodata_beside_alpha).any(axis=0)
        if values.dtype.kind == "f":
            valid &= np.isfinite(values).all(axis=0)
            values = np.where(
                valid, values, 0
            )  # infinite, or a nodata value near it, would overflow when it is scaled
        return values.astype(np.float32), valid

    @staticmethod
    def _warped(
        source: RasterSource, grid: Grid, shift: Shift | None, *, nearest: bool
    ) -> WarpedVRT:
        dataset = source.for_warping()
        options: dict[str, Any] = {}
        place = grid.affine
        if shift is not None:
            # what belongs to a pixel lies lower and further right by the shift, in the pixels of
            # the grid: its view begins there
            place = place @ rasterio.Affine.translation(shift.columns_px, shift.rows_px)
        own = source.transform_beside(grid)
        if own != dataset.transform:
            options["src_transform"] = own
        if (
            source.nodata_beside_alpha is not None
        ):  # heeded when it is read: GDAL would make another value of it
            options |= {"src_nodata": None, "nodata": None}
        ratio = (grid.gsd_m or 1.0) / (source.gsd_m or 1.0)
        smooth = Resampling.average if ratio > 1.5 else Resampling.bilinear
        with reading(source.name):
            return WarpedVRT(
                dataset,
                src_crs=source.crs_beside(grid),
                crs=grid.crs or source.pixel_crs,
                transform=place,
                width=grid.width,
                height=grid.height,
                resampling=Resampling.nearest if nearest and ratio > 1 else smooth,
                add_alpha=source.alpha_band
                is None,  # with nodata too: a mask of its own warps in a third of the time
                warp_mem_limit=64,
                **options,
            )


def open_pair(
    before: str | Path,
    after: str | Path,
    *,
    grid: Literal["finer", "before", "after"] = "finer",
    gsd_m: float | Literal["native"] | None = None,
    target_gsd_m: float | None = None,
    bbox: Bounds | None = None,
    aoi: Path | None = None,
    bands: Sequence[int] | None = None,
    band_count: int = 3,
    scaling: Scaling | None = None,
    shift: Shift | None = None,
    histogram: HistogramMatch | None = None,
) -> RasterPair:
    """Both dates on one grid: the intersection of their extents, in the finer one's CRS and pixels.

    Args:
        before: A local path, or anything that GDAL opens (``/vsicurl/``, ``https://``, ``s3://``
            ...).
        after: The other date.
        grid: Whose CRS and pixels the common grid takes.
        gsd_m: Ground sample distance of the grid in metres; ``"native"`` keeps the chosen raster's.
        target_gsd_m: The weights' resolution: without ``gsd_m``, a grid off it by more than a
            quarter, or of pixels far from square, is resampled to it.
        bbox: (left, bottom, right, top) in the grid's CRS to cut to.
        aoi: Vector file whose polygons are the area of interest; pixels outside are invalid.
        bands: Band numbers from 1, counted over all bands of the file, in the order of the network
            and for both dates; if None those that each file states as red, green and blue, else its
            first ``band_count`` besides alpha. One may be given repeatedly.
        band_count: Bands that the network takes.
        scaling: Rule from raw values to 0-255; 8-bit values stay and others are stretched between
            robust percentiles if None.
        shift: Shift of the after image on the grid, to be taken back in its warped view.
        histogram: Match of the after image's values, from
            :func:`hanet.imagery.radiometry.match_histogram`.

    Raises:
        RasterError: A file is missing, unreadable, of an unusable type, or lacks bands.
        GridError: No overlap, or a georeference on one side only.
        VectorError: ``aoi`` cannot be read, or lies elsewhere.
        SettingsError: ``bbox`` or ``bands`` make no sense.

    Example:
        >>> from hanet.types import Window
        >>> with open_pair("before.tif", "after.tif") as pair:
        ...     block = pair.read(Window(0, 0, 512, 512))
    """
    stack = ExitStack()
    try:
        stack.enter_context(gdal_session())
        first, second = (stack.enter_context(RasterSource(path)) for path in (before, after))
        chosen = _chosen_bands((first, second), bands, band_count)
        choice = choose_grid(
            first, second, grid=grid, gsd_m=gsd_m, target_gsd_m=target_gsd_m, bbox=bbox
        )
        notes = _about_bands((first, second), chosen, given=bands is not None)
        choice = replace(choice, notes=(*choice.notes, *notes))
        polygons = None
        if aoi is not None:
            polygons = [
                _beside(polygon, choice.grid) for polygon in read_polygons(aoi, crs=choice.grid.crs)
            ]
            _check_meets(polygons, aoi, choice.grid)
        pair = RasterPair(
            first,
            second,
            choice,
            stack=stack,
            bands=chosen,
            shift=shift,
            histogram=histogram,
            aoi=polygons,
        )
        pair.scaling = scaling or _default_scaling(pair)
        return pair
    except BaseException:
        stack.close()
        raise


def _beside(polygon: Json, grid: Grid) -> Json:
    """The polygon, each part with its longitudes counted as the grid's are."""
    parts = [part for part in get_parts(shape(polygon)) if part.geom_type == "Polygon"]
    turns = [grid.turn_of(part.bounds[0], part.bounds[2]) for part in parts]
    if not any(turns):
        return polygon
    moved = [translate(part, xoff=turn) for part, turn in zip(parts, turns, strict=True)]
    return json_geometry(multipolygons(moved))


def _check_meets(polygons: list[Json], aoi: Path, grid: Grid) -> None:
    left, bottom, right, top = grid.bounds
    if any(shape(polygon).intersects(box(left, bottom, right, top)) for polygon in polygons):
        return
    where = (
        f"in {crs_name(grid.crs)}"
        if grid.crs is not None
        else "in pixels: x is the column, y minus the row"
    )
    raise VectorError(
        f"the polygons {bare_name(str(aoi))} do not meet the pair, which reaches "
        f"from {left:.10g}, {bottom:.10g} to {right:.10g}, {top:.10g} {where}",
        hint="check their CRS, and that they show the same place",
    )


def _chosen_bands(
    sources: tuple[RasterSource, RasterSource], bands: Sequence[int] | None, band_count: int
) -> DateBands:
    """The bands of each date: the given ones for both, else those that each file states."""
    if bands is not None and len(bands) != band_count:
        raise SettingsError(
            f"{len(bands)} bands are chosen, the weights take {band_count}",
            hint="--bands 1,2,3 for three bands",
        )
    chosen = []
    for source in sources:
        mine = tuple(bands) if bands is not None else source.image_bands(band_count)
        alpha = source.alpha_band
        if len(mine) < band_count or min(mine) < 1 or max(mine) > source.dataset.count:
            wanted = mine if bands is not None else range(1, band_count + 1)
            raise RasterError(
                f"{source.name} has {source.band_count} "
                f"band{'s' if source.band_count != 1 else ''} besides alpha, "
                f"bands {','.join(map(str, wanted))} are needed",
                hint="choose others with --bands; a grey image can stand for all three with "
                "--bands 1,1,1",
            )
        if alpha in mine:
            raise RasterError(
                f"band {alpha} of {source.name} is its transparency, not an image",
                hint=f"choose others with --bands, for example "
                f"--bands {','.join(map(str, source.image_bands(band_count)))}",
            )
        chosen.append(mine)
    return chosen[0], chosen[1]


def _about_bands(
    sources: tuple[RasterSource, RasterSource], chosen: DateBands, *, given: bool
) -> tuple[str, ...]:
    """What the files say of their bands that decided the choice, in words."""
    notes = []
    for source, bands in zip(sources, chosen, strict=True):
        if not given and bands == source.stated_colours and bands != (1, 2, 3):
            notes.append(
                f"{source.short_name} states red, green and blue as bands "
                f"{','.join(map(str, bands))}; they are read in that order (--bands sets another)"
            )
        if source.band_called_alpha is not None and source.alpha_band is None:
            notes.append(
                f"{source.short_name} calls band {source.band_called_alpha} alpha, but it holds "
                "values as an image does; it is not taken as transparency "
                f"(`gdal_edit.py -colorinterp_{source.band_called_alpha} undefined` says so)"
            )
    return tuple(notes)


def _default_scaling(pair: RasterPair) -> Scaling:
    if pair.before.is_eight_bit and pair.after.is_eight_bit:
        return Scaling.eight_bit(len(pair.bands))
    sample = pair.sample(raw=True)
    return estimate_scaling(
        sample.before, sample.after, valid_before=sample.valid, valid_after=sample.valid
    )


def reflected_beyond(block: PairBlock, inside: Window, window: Window) -> PairBlock:
    """The block of ``inside`` grown to ``window``, reflected at its edges and invalid there."""
    rows = mirrored(window.row - inside.row, window.height, inside.height)
    columns = mirrored(window.column - inside.column, window.width, inside.width)
    valid = np.zeros(window.shape, dtype=np.bool_)
    valid[inside.relative_to(window).slices] = block.valid
    before, after = (
        image[:, rows[:, None], columns[None, :]] for image in (block.before, block.after)
    )
    return PairBlock(before, after, valid)
