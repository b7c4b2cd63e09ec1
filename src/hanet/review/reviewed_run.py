"""The run that is reviewed: whether it can be, what its review begins with, and what there is to
look at in it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hanet.detection.run_folder import JOURNAL as RUN_JOURNAL
from hanet.detection.run_folder import WORK, damaged, read_run_file
from hanet.errors import OutputError, SettingsError
from hanet.footprints.settings import DEFAULT_THRESHOLD, FootprintSettings
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.review.finding import Findings, find
from hanet.review.journal import FOLDER
from hanet.review.kept_findings import findings_path, keep_findings, kept_findings
from hanet.review.state import FORMAT, ReviewState, settings_of
from hanet.types import Json, Progress
from hanet.version import __version__


def read_run(out: Path) -> Json:
    """The ``run.json`` of a finished run.

    Raises:
        OutputError: The folder holds none, or not its ``probability.tif``.
    """
    if not (out / "run.json").exists():
        if (out / WORK / RUN_JOURNAL).exists():
            raise OutputError(
                f"{out} holds a run that is not finished",
                hint="finish it first: give `hanet detect` its options again, and --resume",
            )
        raise OutputError(
            f"{out} holds no run", hint="give the --out folder of a finished `hanet detect`"
        )
    if not (out / "probability.tif").exists():
        raise OutputError(
            f"{out} has no probability.tif", hint="put it back, or run `hanet detect` again"
        )
    return read_run_file(out / "run.json")


def begin_values(out: Path, manifest: Json, probability_sha256: str) -> Json:
    """What the first record of a review holds.

    Args:
        out: The result folder.
        manifest: Its ``run.json``.
        probability_sha256: Of its ``probability.tif``.

    Raises:
        OutputError: The manifest is damaged.
        RasterError: ``probability.tif`` cannot be read.
    """
    try:
        settings = settings_of(manifest["footprints"])
    except (KeyError, TypeError, SettingsError) as error:
        raise damaged(out / "run.json") from error
    with ProbabilityRaster(out / "probability.tif") as raster:
        grid = raster.grid
        stated = raster.threshold
    if settings.threshold is None:
        settings = replace(settings, threshold=stated or DEFAULT_THRESHOLD)
    return {
        "format": FORMAT,
        "hanet": __version__,
        "probability_sha256": probability_sha256,
        "grid": grid.to_json(),
        "settings": settings.to_json(),
    }


def check_same(out: Path, state: ReviewState, sha256: str) -> None:
    """Does nothing where ``probability.tif`` has the hash of the one that the review began with.

    Raises:
        OutputError: It has not.
    """
    if state.probability_sha256 != sha256:
        raise OutputError(
            f"{out / 'probability.tif'} is not the one that the review of {out} began with",
            hint=f"put the old one back; or move {out / FOLDER} away, which keeps its decisions, "
            "and begin anew",
        )


def findings_of(
    out: Path,
    settings: FootprintSettings,
    sha256: str,
    generation: int,
    progress: Progress | None,
) -> Findings:
    """The findings of a result folder: those that are kept, or found now and kept where the disk
    takes them; the arguments are those of :func:`hanet.review.finding.find`.

    Raises:
        RasterError: ``probability.tif`` cannot be read.
    """
    path = findings_path(out / FOLDER, sha256, settings)
    kept = kept_findings(path, generation=generation)
    if kept is not None:
        return kept
    findings = find(out / "probability.tif", settings, generation=generation, progress=progress)
    with suppress(OutputError):  # on a full disk they are found again next time
        keep_findings(path, findings)
    return findings
