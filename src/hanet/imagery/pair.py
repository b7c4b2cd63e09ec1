"""A pair of rasters on one grid: open, check, align, read windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from hanet.errors import SettingsError
from hanet.imagery.area import Area, area_of
from hanet.imagery.bands import DateBands, about_bands, chosen_bands
from hanet.imagery.date_reader import DateReader
from hanet.imagery.gdal import gdal_session
from hanet.imagery.grid import Bounds, Grid
from hanet.imagery.in_memory import RasterInput, open_input
from hanet.imagery.overviews import read_for
from hanet.imagery.pair_grid import GridChoice, choose_grid
from hanet.imagery.pair_scaling import needs_look, scaling_of
from hanet.imagery.pixel_windows import PixelWindow, window_of
from hanet.imagery.radiometry import HistogramMatch, Scaling
from hanet.imagery.raster_source import RasterSource
from hanet.imagery.reflection import mirrored
from hanet.imagery.registration import Shift
from hanet.types import FloatArray, Json, Mask, Window

SAMPLE_PX = 1024
"""Longest side of the decimated overlap from which scaling and histogram match are estimated."""

LARGEST_BLOCK_BYTES = 2 << 30
"""Of both dates and their validity, where somebody asks for everything."""

INVALID_VALUE = 127.0
"""What both dates show at an invalid pixel: the same, so that it is no change."""


Sources = tuple[RasterSource, RasterSource]
"""The raster of the first date and that of the second one, open."""


class PairBlock(NamedTuple):
    """Pixels of a window."""

    before: FloatArray  # (C, h, w), 0-255
    after: FloatArray  # (C, h, w), 0-255
    valid: Mask  # (h, w): valid in both dates and inside the area of interest

    def blanked(self) -> PairBlock:
        """The block as pictures show it: one grey where it is not valid."""
        if self.valid.all():
            return self
        before, after = (
            np.where(self.valid, image, np.float32(INVALID_VALUE))
            for image in (self.before, self.after)
        )
        return PairBlock(before, after, self.valid)


@dataclass(frozen=True, slots=True)
class PairSettings:
    """How two rasters become one pair.

    Args:
        grid: Whose CRS and pixels the common grid takes; see
            :func:`hanet.imagery.pair_grid.choose_grid`.
        gsd_m: Ground sample distance of the grid in metres; ``"native"`` keeps the chosen raster's.
        target_gsd_m: The weights' resolution: without ``gsd_m``, a grid off it by more than a
            quarter, or of pixels far from square, is resampled to it.
        bbox: (left, bottom, right, top) in the grid's CRS to cut to.
        aoi: Vector file whose polygons are the area of interest; pixels outside are invalid, and
            keep their values.
        bands: Band numbers from 1, counted over all bands of the file, in the order of the network
            and for both dates; if None those that each file states as red, green and blue, else its
            first ``band_count`` besides alpha. One may be given repeatedly.
        band_count: Bands that the network takes.
        scaling: Rule from raw values to 0-255; 8-bit values stay and others are stretched between
            robust percentiles if None.
        shift: Shift of the after image on the grid, to be taken back in its warped view.
        histogram: Match of the after image's values, from
            :func:`hanet.imagery.radiometry.match_histogram`.
        choice: The grid and its notes as they were chosen before; ``grid``, ``gsd_m``,
            ``target_gsd_m`` and ``bbox`` choose it if None.
        part: The part of that grid that is the pair's, around the area of interest; all of it if
            None.
    """

    grid: Literal["finer", "before", "after"] = "finer"
    gsd_m: float | Literal["native"] | None = None
    target_gsd_m: float | None = None
    bbox: Bounds | None = None
    aoi: Path | None = None
    bands: Sequence[int] | None = None
    band_count: int = 3
    scaling: Scaling | None = None
    shift: Shift | None = None
    histogram: HistogramMatch | None = None
    choice: GridChoice | None = None
    part: Window | None = None


class RasterPair:
    """Two rasters read on one grid; made by :func:`open_pair`, closed by ``with``.

    One thread at a time may read; it need not be the one that opened.

    Attributes:
        grid: The common grid, or the part of it that is the pair's.
        whole: The common grid, on which both dates are read and looked at.
        notes: What was decided, in words.
        aoi_notes: What was passed over in the file of the area of interest, in words.
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
        aoi: Area | None,
        part: Window | None = None,
    ) -> None:
        self.before, self.after, self.whole = before, after, choice.grid
        self._part = part or Window(0, 0, self.whole.height, self.whole.width)
        self.grid = self.whole if part is None else self.whole.part(part)
        self.notes: tuple[str, ...] = choice.notes
        self.aoi_notes: tuple[str, ...] = () if aoi is None else aoi.notes
        self.bands, self.bands_after, self.shift, self.histogram = *bands, shift, histogram
        self._aoi, self._stack = aoi, ExitStack()
        self.read_by(Scaling.eight_bit(len(self.bands)), stack=stack)

    def read_by(self, scaling: Scaling, *, stack: ExitStack) -> None:
        """Reads by this rule from now on, until the stack closes; values that it calls no data are
        invalid."""
        self.scaling = scaling
        marks = scaling.nodata or (None, None)
        before = DateReader(self.before, self.whole, self.bands, None, marks[0])
        after = DateReader(self.after, self.whole, self.bands_after, self.shift, marks[1])
        self._readers = stack.enter_context(before), stack.enter_context(after)

    def __enter__(self) -> RasterPair:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the views on both rasters, and the rasters where :func:`open_pair` opened them."""
        self._stack.close()

    def keep_open(self, others: ExitStack) -> None:
        """Takes over what shall be closed after what it has taken over before."""
        first = self._stack
        self._stack = others
        others.push(first)

    def read(self, window: PixelWindow | None = None) -> PairBlock:
        """Pixels of a window in 0-255; it may reach beyond the grid: outside is invalid and filled
        by reflection. Pixels outside the area of interest are invalid and keep their values; of a
        window that it does not reach into nothing is read.

        Args:
            window: A :class:`hanet.types.Window`, a rasterio window, or slices of rows and columns;
                everything if None.

        Raises:
            RasterError: A raster cannot be read there (truncated, vanished, connection lost).
            SettingsError: The window lies outside, or everything is too large to be held.

        Example:
            >>> pair.read(numpy.s_[0:512, 0:512]).before.shape
            (3, 512, 512)
        """
        own = Window(0, 0, self.grid.height, self.grid.width)
        if window is None:
            self._check_fits()
            window = own
        elif not isinstance(window, Window):
            window = window_of(window, height=own.height, width=own.width)
        whole = Window(0, 0, self.whole.height, self.whole.width).relative_to(self._part)
        inside = window.intersection(whole)
        if inside.is_empty:
            raise SettingsError(
                f"the window {window} lies outside the grid of {self.grid.height}x{self.grid.width}"
            )
        seen = inside.intersection(own)
        if seen.is_empty or not self.meets_aoi(seen):
            block = self._outside_aoi(inside)
        else:
            block = self._read(inside)
        return block if inside == window else reflected_beyond(block, inside, window)

    def _check_fits(self) -> None:
        needed = self.grid.height * self.grid.width * (2 * 4 * len(self.bands) + 1)
        if needed > LARGEST_BLOCK_BYTES:
            raise SettingsError(
                f"both dates of {self.grid.height} x {self.grid.width} pixels take "
                f"{needed / 1e9:,.1f} GB at once",
                hint="read windows: pair.read(numpy.s_[0:4096, 0:4096])",
            )

    def meets_aoi(self, window: Window) -> bool:
        """Whether the area of interest reaches into a window of the grid; True without one. Where
        it does not, nothing is read and no pixel is valid."""
        return self._aoi is None or self._aoi.meets(self._on_whole(window))

    def _on_whole(self, window: Window) -> Window:
        """A window of the grid in pixels of the whole one."""
        return window.relative_to(Window(-self._part.row, -self._part.column, 0, 0))

    def _read(self, window: Window) -> PairBlock:
        window = self._on_whole(window)
        (before, valid_before), (after, valid_after) = (
            reader.read(window) for reader in self._readers
        )
        valid = valid_before & valid_after
        before, after = self.scaling.apply(before), self.scaling.of_after.apply(after)
        if self.histogram is not None:
            after = self.histogram.apply(after)
        if not valid.all():
            before[:, ~valid] = INVALID_VALUE
            after[:, ~valid] = INVALID_VALUE
        # the pixels around the area stay: a network that does not see them judges its edge worse
        if self._aoi is not None:
            valid &= self._aoi.inside(window)
        return PairBlock(before, after, valid)

    def _outside_aoi(self, window: Window) -> PairBlock:
        shape = (len(self.bands), *window.shape)
        before, after = (np.full(shape, INVALID_VALUE, dtype=np.float32) for _ in range(2))
        return PairBlock(before, after, np.zeros(window.shape, dtype=np.bool_))

    def sample(self, *, longest_px: int = SAMPLE_PX, raw: bool = False) -> PairBlock:
        """The whole overlap, decimated to at most ``longest_px`` a side: single pixels, so that
        their spread is that of the rasters.

        Args:
            longest_px: Longest side of the result.
            raw: Values before scaling and histogram match.
        """
        coarse = self.whole.decimated(longest_px=longest_px)
        whole = Window(0, 0, coarse.height, coarse.width)
        with self._coarse_readers(coarse) as (first, second):
            (before, valid_before), (after, valid_after) = first.read(whole), second.read(whole)
        if not raw:
            before, after = self.scaling.apply(before), self.scaling.of_after.apply(after)
            if self.histogram is not None:
                after = self.histogram.apply(after)
        return PairBlock(before, after, valid_before & valid_after)

    @contextmanager
    def _coarse_readers(self, coarse: Grid) -> Iterator[tuple[DateReader, DateReader]]:
        """Readers on a coarser grid. Warped views of their own: decimating a fine view would warp
        every pixel of it first."""
        marks = self.scaling.nodata or (None, None)
        with (
            read_for(self.before, coarse) as before,
            read_for(self.after, coarse) as after,
            DateReader(before, coarse, self.bands, None, marks[0], nearest=True) as first,
            DateReader(
                after, coarse, self.bands_after, self._shift_on(coarse), marks[1], nearest=True
            ) as second,
        ):
            yield first, second

    def manifest(self) -> Json:
        """What was read and how, for ``run.json``."""
        return {
            "before": self.before.manifest(),
            "after": self.after.manifest(),
            "grid": self.grid.to_json(),
            **({"part_of": self.whole.to_json()} if self.whole != self.grid else {}),
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
        rows, columns = coarse.height / self.whole.height, coarse.width / self.whole.width
        return replace(
            self.shift,
            rows_px=self.shift.rows_px * rows,
            columns_px=self.shift.columns_px * columns,
        )


def open_pair(
    before: RasterInput,
    after: RasterInput,
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
        before: A local path, anything that GDAL opens (``/vsicurl/``, ``https://``, ``s3://`` ...),
            an open rasterio dataset (also of a ``MemoryFile``, or a ``WarpedVRT``), a DataArray
            with CRS and transform, or a :class:`hanet.imagery.in_memory.Raster`.
        after: The other date.
        grid: Field of :class:`PairSettings`, as all that follow.
        gsd_m: As there.
        target_gsd_m: As there.
        bbox: As there.
        aoi: As there.
        bands: As there.
        band_count: As there.
        scaling: As there.
        shift: As there.
        histogram: As there.

    Raises:
        RasterError: A file is missing, unreadable, of an unusable type, or lacks bands.
        GridError: No overlap, or a georeference on one side only.
        VectorError: ``aoi`` cannot be read, or lies elsewhere.
        SettingsError: ``bbox`` or ``bands`` make no sense.

    Example:
        >>> with open_pair("before.tif", "after.tif") as pair:
        ...     before, after, valid = pair.read(numpy.s_[0:512, 0:512])
    """
    settings = PairSettings(
        grid, gsd_m, target_gsd_m, bbox, aoi, bands, band_count, scaling, shift, histogram
    )
    with ExitStack() as stack:
        sources = stack.enter_context(open_sources(before, after))
        pair = pair_on(sources, settings)
        pair.keep_open(stack.pop_all())
        return pair


@contextmanager
def open_sources(before: RasterInput, after: RasterInput) -> Iterator[Sources]:
    """Both rasters, open for the time of a ``with``.

    Raises:
        InputError: One is nothing that stands for a raster.
        RasterError: One is missing, unreadable or of an unusable type.
    """
    with ExitStack() as stack:
        stack.enter_context(gdal_session())
        yield (
            open_input(before, what="before", stack=stack),
            open_input(after, what="after", stack=stack),
        )


def pair_on(sources: Sources, settings: PairSettings) -> RasterPair:
    """A pair of rasters that are open already: closing it leaves them open, so that several pairs,
    on several grids, can be made of them without opening a file again.

    Raises:
        HanetError: As :func:`open_pair`.
    """
    with ExitStack() as stack:
        stack.enter_context(gdal_session())
        bands = chosen_bands(sources, settings.bands, settings.band_count)
        choice = settings.choice or _chosen(sources, settings, bands)
        pair = RasterPair(
            *sources,
            choice,
            stack=stack,
            bands=bands,
            shift=settings.shift,
            histogram=settings.histogram,
            aoi=None if settings.aoi is None else area_of(settings.aoi, choice.grid),
            part=settings.part,
        )
        scaling = settings.scaling
        if needs_look(*sources, bands, given=scaling):
            scaling = scaling_of(*sources, bands, pair.sample(raw=True)[:3], given=scaling)
        if scaling is not None:
            pair.read_by(scaling, stack=stack)
        pair.keep_open(stack.pop_all())
        return pair


def grid_of(sources: Sources, settings: PairSettings) -> Grid:
    """The grid that :func:`pair_on` gives the pair, from what the rasters state: no pixel is read.

    Raises:
        HanetError: As :func:`open_pair`.
    """
    with gdal_session():
        bands = chosen_bands(sources, settings.bands, settings.band_count)
        return (settings.choice or _chosen(sources, settings, bands)).grid


def _chosen(sources: Sources, settings: PairSettings, bands: DateBands) -> GridChoice:
    choice = choose_grid(
        *sources,
        grid=settings.grid,
        gsd_m=settings.gsd_m,
        target_gsd_m=settings.target_gsd_m,
        bbox=settings.bbox,
    )
    notes = about_bands(sources, bands, given=settings.bands is not None)
    return replace(choice, notes=(*choice.notes, *notes))


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
