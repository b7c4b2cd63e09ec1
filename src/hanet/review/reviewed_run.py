"""The run that is reviewed: whether it can be, what its review begins with, and what there is to
look at in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hanet.command_line import typed
from hanet.detection.plan import PLAN
from hanet.detection.run_folder import JOURNAL as RUN_JOURNAL
from hanet.detection.run_folder import WORK, damaged, read_run_file
from hanet.errors import OutputError, SettingsError
from hanet.files import file_hash
from hanet.footprints.settings import DEFAULT_THRESHOLD, FootprintSettings
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.review.finding import Findings, find
from hanet.review.journal import FOLDER
from hanet.review.kept_findings import findings_path, keep_findings, kept_findings
from hanet.review.matching import match, tile_conflicts
from hanet.review.state import FORMAT, ReviewState, settings_of
from hanet.types import Json, Progress
from hanet.version import __version__

DECIDING = {
    "threshold": "threshold",
    "min_area_m2": "smallest area",
    "min_hole_m2": "smallest hole",
    "connectivity": "connectivity",
    "outline": "outline",
    "separate": "separate",
}
"""Settings that decide which footprints there are, in words."""


def read_run(out: Path) -> Json:
    """The ``run.json`` of a finished run.

    Raises:
        OutputError: The folder holds none, or not its ``probability.tif``.
    """
    if not (out / "run.json").exists():
        if (out / PLAN).exists():
            raise OutputError(
                f"{out} holds a plan that is not merged",
                hint=f"hanet merge {typed(out)} makes the result, or says which shards are missing",
            )
        if (out / WORK / RUN_JOURNAL).exists():
            raise OutputError(
                f"{out} holds a run that is not finished",
                hint="finish it first: give `hanet detect` its options again, and --resume",
            )
        below = [typed(path.parent) for path in sorted(out.glob("*/run.json"))]
        if len(below) > 1:
            raise OutputError(f"{out} holds several runs", hint=f"give one of them: {below[0]}")
        raise OutputError(
            f"{out} holds no run",
            hint=f"give the folder of the run: {below[0]}"
            if below
            else "give the --out folder of a finished `hanet detect`",
        )
    if not (out / "probability.tif").exists():
        raise OutputError(
            f"{out} has no probability.tif", hint="put it back, or run `hanet detect` again"
        )
    return read_run_file(out / "run.json")


def settings_of_run(out: Path, manifest: Json) -> FootprintSettings:
    """How the run made its footprints; the threshold is given.

    Args:
        out: The result folder.
        manifest: Its ``run.json``.

    Raises:
        OutputError: The manifest is damaged.
        RasterError: ``probability.tif`` cannot be read.
    """
    try:
        settings = settings_of(manifest["footprints"])
    except (KeyError, TypeError, SettingsError) as error:
        raise damaged(out / "run.json") from error
    if settings.threshold is not None:
        return settings
    with ProbabilityRaster(out / "probability.tif") as raster:
        return replace(settings, threshold=raster.threshold or DEFAULT_THRESHOLD)


def apart_from_run(out: Path, manifest: Json, state: ReviewState) -> str:
    """In words, that the footprints of a review are not those of the folder: made again on the page
    or by ``hanet footprints``, they have other numbers, areas and counts. Empty where the settings
    are the same.

    Args:
        out: The result folder.
        manifest: Its ``run.json``; a damaged one says nothing here.
        state: What the journal says.
    """
    try:
        ours = settings_of(manifest["footprints"]).to_json()
    except (KeyError, TypeError, SettingsError):
        return ""
    theirs = state.settings.to_json()
    differing = [name for name in DECIDING if ours.get(name) != theirs.get(name)]
    if not differing:
        return ""
    of_review, of_report = (
        ", ".join(f"{DECIDING[name]} {_said(made.get(name))}" for name in differing)
        for made in (theirs, ours)
    )
    return (
        f"the review of {out} has footprints of its own ({of_review}): numbers and counts of "
        f"{out / 'report.html'} ({of_report}) are others"
    )


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def begin_values(
    out: Path, settings: FootprintSettings, findings: Findings, probability_sha256: str
) -> Json:
    """What the first record of a review holds.

    Args:
        out: The result folder.
        settings: How its footprints were made.
        findings: What there is to look at in it.
        probability_sha256: Of its ``probability.tif``.

    Raises:
        RasterError: ``probability.tif`` cannot be read.
    """
    with ProbabilityRaster(out / "probability.tif") as raster:
        grid = raster.grid
    return {
        "format": FORMAT,
        "hanet": __version__,
        "probability_sha256": probability_sha256,
        "grid": grid.to_json(),
        "settings": settings.to_json(),
        "findings": findings.digest(),
    }


def remake_values(state: ReviewState, settings: FootprintSettings, findings: Findings) -> Json:
    """What the record of a remake holds: the findings of the next generation, matched with what
    was decided."""
    touched = state.touched()
    kept = [item for item in touched if not item.is_tile]
    matching = match(kept, (*findings.found, *findings.missed))
    tiles = [item for item in touched if item.source == "tile"]
    conflicts = (*matching.conflicts, *tile_conflicts(tiles, findings.found, matching.taken))
    return {
        "settings": settings.to_json(),
        "generation": state.generation + 1,
        "findings": findings.digest(),
        "taken": {new: list(ids) for new, ids in matching.taken.items()},
        "conflicts": [conflict.to_json() for conflict in conflicts],
    }


def findings_at_hand(
    out: Path,
    state: ReviewState,
    *,
    keep: Callable[[Path, Findings], None] | None = None,
    progress: Progress | None = None,
) -> tuple[Findings, Json | None]:
    """The findings of a review's settings, and the values of a remake where they are not those
    that the review speaks of: another version of hanet may find others. ``keep`` and ``progress``
    are those of :func:`findings_of`.

    Raises:
        RasterError: ``probability.tif`` cannot be read.
    """
    findings = findings_of(
        out, state.settings, state.probability_sha256, keep=keep, progress=progress
    )
    if state.findings in ("", findings.digest()):
        return findings.of_generation(state.generation), None
    findings = findings.of_generation(state.generation + 1)
    return findings, remake_values(state, state.settings, findings)


def probability_hash(out: Path) -> str:
    """SHA-256 of the ``probability.tif`` of a result folder.

    Raises:
        OutputError: It cannot be read.
    """
    path = out / "probability.tif"
    try:
        return file_hash(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be read: {error.strerror or error}",
            hint="is it a file that you may read?",
        ) from error


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
    *,
    keep: Callable[[Path, Findings], None] | None = None,
    progress: Progress | None = None,
) -> Findings:
    """The findings of a result folder, as a first generation: those that are kept, else found now
    and given to ``keep``.

    Args:
        out: The folder.
        settings: How footprints are made.
        sha256: Of its ``probability.tif``.
        keep: Called with the path and what was found; by default it is forgotten.
        progress: As for :func:`hanet.review.finding.find`.

    Raises:
        RasterError: ``probability.tif`` cannot be read.
    """
    path = findings_path(out / FOLDER, sha256, settings)
    findings = kept_findings(path)
    if findings is None:
        findings = find(out / "probability.tif", settings, progress=progress)
        if keep is not None:
            keep(path, findings)
    return findings


def keep_if_there_is_room(path: Path, findings: Findings) -> None:
    """Keeps findings for the next time; on a full disk they are found again then."""
    with suppress(OutputError):
        keep_findings(path, findings)
