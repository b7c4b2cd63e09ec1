"""Both images of a finished run, open on its grid and read as the detection read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from hanet.errors import OutputError
from hanet.imagery.gdal import gdal_session
from hanet.imagery.grid import Grid
from hanet.imagery.pair import RasterPair
from hanet.imagery.pair_grid import GridChoice
from hanet.imagery.radiometry import match_histogram
from hanet.imagery.raster_source import RasterSource
from hanet.review.dates import Rules
from hanet.review.inputs import DateName, Input, find_inputs
from hanet.types import Json


def find_images(
    out: Path,
    manifest: Json,
    grid: Grid,
    *,
    given: dict[DateName, str | None],
    warn: Callable[[str], None],
) -> tuple[tuple[Input, Input], Rules]:
    """The images of a run, and how it read them.

    Args:
        out: The result folder.
        manifest: Its ``run.json``.
        grid: Of the result.
        given: Where the user says that the images lie; None looks for them.
        warn: Called where one is not the file that the run was made from.

    Raises:
        RasterError: An image is not found or cannot be read.
        OutputError: ``run.json`` does not say how they were read.
    """
    inputs = find_inputs(out, manifest, given=given, warn=warn)
    rules = Rules.of(manifest)
    if manifest["pair"].get("histogram_matched"):
        # of an area of interest the whole pair was matched
        whole = manifest["pair"].get("part_of")
        rules = with_histogram(rules, grid if whole is None else _grid(whole), inputs)
    return inputs, rules


def _grid(values: Json) -> Grid:
    try:
        return Grid.from_json(values)
    except (KeyError, TypeError, ValueError) as error:
        raise OutputError(
            "run.json does not say how the images were read",
            hint="give the folder of a finished run of hanet detect",
        ) from error


@contextmanager
def opened_images(inputs: tuple[Input, Input], rules: Rules, grid: Grid) -> Iterator[RasterPair]:
    """Both images on the result's grid, as :func:`find_images` found them.

    Raises:
        RasterError: One cannot be read.
    """
    with (
        gdal_session(),
        ExitStack() as stack,
        RasterSource(inputs[0].path) as before,
        RasterSource(inputs[1].path) as after,
    ):
        pair = RasterPair(
            before,
            after,
            GridChoice(grid, ()),
            stack=stack,
            bands=rules.bands,
            shift=rules.shift,
            histogram=rules.histogram,
            aoi=None,
        )
        pair.read_by(rules.scaling, stack=stack)
        yield pair


def with_histogram(rules: Rules, grid: Grid, inputs: tuple[Input, Input]) -> Rules:
    """The rules with the histogram match of the detection, computed from the images as it did."""
    with opened_images(inputs, rules, grid) as pair:
        sample = pair.sample()
    histogram = match_histogram(sample.before, sample.after, valid=sample.valid)
    return replace(rules, histogram=histogram)
