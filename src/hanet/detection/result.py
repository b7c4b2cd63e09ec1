"""A finished run, as Python and notebooks see it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from hanet.detection.manifest import read_result
from hanet.detection.pictures import Pictures, read_pictures
from hanet.detection.qgis_project import PROJECT
from hanet.detection.result_view import ResultView, view_of
from hanet.detection.run_folder import BUILT, read_run_file
from hanet.errors import HanetError, OutputError
from hanet.footprints.extraction import FootprintSummary
from hanet.footprints.geojson import feature_collection
from hanet.footprints.stored import read_footprints
from hanet.imagery.grid import Grid
from hanet.imagery.pixel_windows import PixelWindow
from hanet.imagery.probability_array import ProbabilityArray, read_probability
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.imagery.vector_formats import FORMATS
from hanet.types import Json

if TYPE_CHECKING:
    from hanet.detection.plotting import Axes


class TemporaryFolder:
    """A folder that exists as long as this object does."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="hanet-"))
        self.remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class ResultPaths:
    """Files of a finished run.

    Args:
        probability: ``probability.tif``: whole numbers with a scale of 0.004, nodata 255.
        mask: ``mask.tif``: 1 change, 0 none, nodata 255.
        footprints: The files of the footprints by their formats.
        run: ``run.json``.
        built: ``built.tif``: what was built and what demolished; None of weights that do not tell.
        report: ``report.html``; None where none was asked for.
        project: ``changes.qgz`` for QGIS; None where none was asked for.
    """

    probability: Path
    mask: Path
    footprints: dict[str, Path]
    run: Path
    built: Path | None = None
    report: Path | None = None
    project: Path | None = None


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """A finished run. Notebooks show it as both dates with outlines and counts.

    Args:
        out: Its folder.
        footprints: Count, area and files; called, it gives all footprints as a GeoDataFrame.
        megapixels: Of the grid.
        seconds: Wall time of this call.
        notes: What was decided, in words.
        share_looked_at: With a scout: share of the tiles that the weights saw, in 0-1; None
            without, or where no tile was valid.
        was_finished: The folder already held the result of this run; nothing was computed.
        folder: What removes ``out`` when the result is gone; None where it stays.

    Example:
        >>> result = hanet.detect("before.tif", "after.tif")
        >>> result.footprints().to_crs(4326).explore()
    """

    out: Path
    footprints: FootprintSummary
    megapixels: float
    seconds: float
    notes: tuple[str, ...] = ()
    share_looked_at: float | None = None
    was_finished: bool = field(default=False)
    folder: TemporaryFolder | None = field(default=None, repr=False, compare=False)

    def kept_by(self, folder: TemporaryFolder) -> DetectionResult:
        """The same, whose folder stays as long as the result or its footprints are held."""
        return replace(self, folder=folder, footprints=replace(self.footprints, folder=folder))

    @property
    def paths(self) -> ResultPaths:
        """The files of the run; of a run without ``out`` they go with the result."""
        names = {suffix: name for name, suffix in FORMATS.items()}

        def there(name: str) -> Path | None:
            return self.out / name if (self.out / name).exists() else None

        return ResultPaths(
            self.out / "probability.tif",
            self.out / "mask.tif",
            {names[path.suffix]: path for path in self.footprints.files},
            self.out / "run.json",
            there(BUILT),
            there("report.html"),
            there(PROJECT),
        )

    def probability(self, window: PixelWindow | None = None) -> ProbabilityArray:
        """Probability of change with its grid.

        Args:
            window: Which part: a :class:`hanet.types.Window`, a rasterio window, or slices of rows
                and columns; everything if None.

        Raises:
            RasterError: The file is gone, or cannot be read.
            SettingsError: The window does not lie inside, or the part is too large to be held.

        Example:
            >>> result.probability(numpy.s_[0:512, 0:512]).values.shape
            (512, 512)
        """
        return read_probability(self.paths.probability, window)

    def plot(self, axes: Axes | None = None) -> Axes:
        """Before, after with outlines, and probability, side by side.

        Args:
            axes: Three matplotlib axes to draw on; new ones if None.

        Returns:
            The axes.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from hanet.detection.plotting import LONGEST_PX, plot_view

        return plot_view(self._view(LONGEST_PX), axes)

    @property
    def grid(self) -> Grid:
        """The pixels of the result on the map."""
        with ProbabilityRaster(self.paths.probability) as raster:
            return raster.grid

    def _pictures(self) -> Pictures | None:
        """Both dates as the report shows them; None without a report that holds them."""
        report = self.paths.report
        if report is None:
            return None
        try:
            return read_pictures(report, self.grid)
        except OutputError:  # of another version, or changed since
            return None

    def manifest(self) -> Json:
        """What ``run.json`` holds: inputs, weights, settings, what was said.

        Raises:
            OutputError: It is gone or damaged.
        """
        return read_run_file(self.paths.run)

    @property
    def __geo_interface__(self) -> Json:
        """The footprints as a GeoJSON FeatureCollection in WGS84; in pixel coordinates where the
        pair has no CRS."""
        return feature_collection(*read_footprints(self.footprints.files))

    def _repr_html_(self) -> str | None:
        """What a notebook shows; None, which means the plain text, where the files are gone."""
        from hanet.detection.result_picture import LONGEST_PX, result_html

        try:
            return result_html(self._view(LONGEST_PX))
        except HanetError:
            return None

    def _view(self, longest_px: int) -> ResultView:
        name = "temporary" if self.folder is not None else self.out.name or str(self.out)
        return view_of(
            self.out, self.footprints, self._pictures(), name=name, longest_px=longest_px
        )


def open_result(out: str | Path) -> DetectionResult:
    """A finished run from its folder.

    Args:
        out: The folder that ``hanet detect`` or :func:`hanet.detect` wrote.

    Raises:
        OutputError: It holds no finished run, or its ``run.json`` is damaged.

    Example:
        >>> hanet.open_result("changes").footprints.count
        17
    """
    begun, folder = perf_counter(), Path(out)
    if not (folder / "run.json").exists():
        raise OutputError(
            f"{folder} holds no finished run",
            hint="give the folder of hanet detect; its --resume continues an unfinished run",
        )
    return result_of(folder, begun)


def result_of(folder: Path, begun: float) -> DetectionResult:
    """The result that the folder of a finished run holds, for a call that began at a time.

    Raises:
        OutputError: Its ``run.json`` is damaged.
    """
    stored = read_result(folder)
    seconds = perf_counter() - begun
    return DetectionResult(folder, stored.footprints, stored.megapixels, seconds, was_finished=True)
