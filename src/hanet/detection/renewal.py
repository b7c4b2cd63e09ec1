"""Footprints, mask and report of a finished run made again from its probability, with other
settings: all of them together, so that none shows another threshold than the others.

Everything is made in the work folder first. Then

1. ``OUT/.hanet/renewal.json`` records what the folder will hold,
2. ``run.json`` is removed: the folder no longer holds a finished run,
3. the files are moved into place one by one,
4. ``run.json`` comes last, and the record goes.

A kill before 1 changes nothing. After it the record says so to everybody who opens the folder, and
the next ``hanet footprints OUT`` makes everything again from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hanet.command_line import typed
from hanet.destination import check_folder
from hanet.detection.highlights import Highlights
from hanet.detection.manifest import footprints_record, says_kinds
from hanet.detection.pictures import read_pictures
from hanet.detection.report import write_report
from hanet.detection.run_folder import (
    BUILT,
    FOOTPRINT_FILES,
    ITEM,
    MODEL,
    RENEWAL,
    WORK,
    read_run_file,
    write_synced,
)
from hanet.detection.stac_items import item_text, stac_items
from hanet.errors import GridError, OutputError, SettingsError
from hanet.files import check_not_open, file_hash, keep_aside, writing
from hanet.footprints.extraction import FootprintSummary, extract_footprints
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.dates import check_order
from hanet.imagery.libraries import RASTERS_OF_RESULTS, check_drivers
from hanet.imagery.raster_output import ProbabilityRaster, write_mask
from hanet.imagery.vector_formats import FORMATS, check_formats
from hanet.types import Json, Progress
from hanet.version import __version__
from hanet.work_folder import WorkFolder, move_into_place

STEM = "footprints"
"""Of a run's footprint files."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """What was made again.

    Args:
        footprints: Count, area and files.
        files: All files that were replaced, run.json last.
        kept: Footprint files that somebody had changed, under the names that they have now.
        has_report: False where the folder held no report to take the pictures from.
    """

    footprints: FootprintSummary
    files: tuple[Path, ...]
    kept: tuple[Path, ...]
    has_report: bool


def holds_run(out: Path) -> bool:
    """Whether a folder holds a finished run, or one whose renewal was interrupted."""
    return (out / "run.json").exists() or (out / WORK / RENEWAL).exists()


def renew_footprints(
    out: Path,
    *,
    formats: Sequence[str] = (),
    progress: Progress | None = None,
    **given: Any,
) -> Renewal:
    """Makes footprints, ``mask.tif``, ``report.html``, ``stac-item.json`` and ``run.json`` of a run
    again.

    The report keeps its pictures: the images themselves are not needed. Nothing else in the folder
    is touched. A footprint file that is no longer as hanet wrote it (edited in QGIS, say) is kept
    as ``footprints-kept-N``.

    Args:
        out: Folder of the run.
        formats: Vector formats beside those that the run has: none may be left with the old
            footprints.
        progress: Called with a stage and the share done.
        given: Fields of :class:`hanet.footprints.settings.FootprintSettings`; the others stay as
            ``run.json`` has them. ``filter_footprints`` True takes the filter that the run was
            detected with, False none.

    Raises:
        SettingsError: A value is not allowed.
        OutputError: The folder holds no finished run, is in use or damaged, holds a file of a name
            that is needed and that no run here has made, or cannot be written.
        RasterError: ``probability.tif`` cannot be read.
    """
    if not holds_run(out):
        raise OutputError(
            f"{out} holds no finished run", hint="give the folder of a run, or probability.tif"
        )
    check_folder(out, "the folder of the run")
    check_drivers(rasters=RASTERS_OF_RESULTS)
    with WorkFolder(out / WORK, busy=f"another hanet is at work in {out}") as folder:
        record = folder.path / RENEWAL
        manifest, known = _manifest(out, record)
        settings = _settings(manifest, given, out)
        names = _names(out, manifest, formats)
        made = folder.building / "renewed"
        parts = folder.building / "parts"
        with writing(made):
            made.mkdir()
            parts.mkdir()
        new, summary = _make(out, made, parts, manifest, settings, names, progress)
        kept = _settle(out, made, record, known, new)
    order = [*new["footprints"]["files"], "mask.tif"]
    order += [name for name in ("report.html", ITEM) if name in new["renewed"]["files"]]
    moved = replace(summary, files=tuple(out / path.name for path in summary.files))
    files = tuple(out / name for name in (*order, "run.json"))
    return Renewal(moved, files, kept, "report.html" in order)


def _manifest(out: Path, record: Path) -> tuple[Json, list[Json]]:
    """The manifest to begin from: that of an interrupted renewal, whose settings are the last that
    somebody asked for, else that of the run; and the hashes of all footprint files that hanet may
    have left here."""
    path = record if record.exists() else out / "run.json"
    if record.is_symlink():  # written through, it would lead away
        raise _damaged(out, record)
    try:
        value = read_run_file(path)
    except OutputError as error:
        raise _damaged(out, path) from error
    manifest: Any = value.get("manifest") if path == record else value
    earlier = value.get("known") if path == record else []
    try:
        files = manifest["footprints"]["files"]
        shape = manifest["pair"]["grid"]["height"], manifest["pair"]["grid"]["width"]
        with ProbabilityRaster(out / "probability.tif") as raster:
            fits = shape == (raster.grid.height, raster.grid.width)
        fits = fits and set(files) <= set(FOOTPRINT_FILES) and bool(files)
        fits = fits and isinstance(manifest["weights"]["name"], str)
    except (KeyError, TypeError) as error:
        raise _damaged(out, path) from error
    if not fits:
        raise _damaged(out, path)
    known = [part for part in earlier if isinstance(part, dict)] if earlier else []
    return dict(manifest), [*known, _part_of(manifest["footprints"], "sha256")]


def _damaged(out: Path, path: Path) -> OutputError:
    return OutputError(
        f"{path} is damaged",
        hint="make footprints of the probability in another folder: hanet footprints "
        f"{typed(out / 'probability.tif')} --out FOLDER",
    )


def _settings(manifest: Json, given: Mapping[str, Any], out: Path) -> FootprintSettings:
    """The recorded settings with those that were given."""
    known = manifest["footprints"]
    # a run without a filter says nothing of it
    names = {entry.name for entry in fields(FootprintSettings)}
    names -= {"footprint_filter"} - set(known)
    try:
        stored = FootprintSettings(**{name: known[name] for name in names})
    except (KeyError, TypeError, SettingsError) as error:
        raise _damaged(out, out / "run.json") from error
    given = dict(given)
    if (is_wanted := given.pop("filter_footprints", None)) is not None:
        first = _part_of(_part_of(manifest, "renewed"), "detected") or known
        given["footprint_filter"] = first.get("footprint_filter") if is_wanted else None
    settings = FootprintSettings(**{**{name: getattr(stored, name) for name in names}, **given})
    if given.keys() & {"before_date", "after_date"}:
        # the order of the run's own dates was its matter, and it has warned about them
        check_order(settings.before_date, settings.after_date)
    return settings


def _names(out: Path, manifest: Json, formats: Sequence[str]) -> dict[str, str]:
    """Formats of the footprints, those of the run first, with the names of their files."""
    files = manifest["footprints"]["files"]
    own = [name for name, suffix in FORMATS.items() if f"{STEM}{suffix}" in files]
    own.sort(key=lambda name: files.index(f"{STEM}{FORMATS[name]}"))
    names = tuple(dict.fromkeys([*own, *formats]))
    check_formats(names, FORMATS)
    wanted = {name: f"{STEM}{FORMATS[name]}" for name in names}
    for name, file in wanted.items():
        if name not in own and ((out / file).exists() or (out / file).is_symlink()):
            raise OutputError(
                f"{out} holds {file}, which no run here has made",
                hint="move it away, or choose another --out",
            )
        check_not_open(out / file)
    return wanted


def _make(
    out: Path,
    made: Path,
    parts: Path,
    manifest: Json,
    settings: FootprintSettings,
    names: Mapping[str, str],
    progress: Progress | None,
) -> tuple[Json, FootprintSummary]:
    """All files in a folder of their own; the new manifest and what came out."""
    probability, report = out / "probability.tif", out / "report.html"
    with ProbabilityRaster(probability) as raster:
        # read before anything is made: what cannot be renewed is better known early
        is_ours = _part_of(_part_of(manifest, "identity"), "settings").get("report") != "False"
        pictures = read_pictures(report, raster.grid) if is_ours and report.exists() else None
    highlights = Highlights()
    summary = extract_footprints(
        probability,
        made,
        settings=settings,
        formats=tuple(names),
        progress=progress,
        witness=highlights,
        building=parts,
        built=_built(out, manifest),
    )
    if progress is not None:
        progress("writing the mask", 0.0)
    tags = _tags(manifest, settings, summary.threshold)
    write_mask(probability, made / "mask.tif", threshold=summary.threshold, tags=tags)
    files = [*names.values(), "mask.tif"] + (["report.html"] if pictures is not None else [])
    # runs of older versions have the style in the GeoPackage; a user's own stays
    style = out / f"{STEM}.qml"
    files += [] if style.exists() or style.is_symlink() else [style.name]
    files += [ITEM, MODEL]
    new = _renewed(manifest, settings, summary, files)
    if pictures is not None:
        if progress is not None:
            progress("writing the report", 0.0)
        try:
            write_report(
                made / "report.html",
                probability=probability,
                pictures=pictures,
                manifest=new,
                highlights=highlights,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # of the manifest
            raise _damaged(out, out / "run.json") from error
    try:
        items = stac_items(new, [*files, *(path.name for path in out.iterdir())], out)
    except (LookupError, TypeError, ValueError, AttributeError, GridError) as error:
        raise _damaged(out, out / "run.json") from error
    for name, item in items.items():
        write_synced(made / name, item_text(item))
    write_synced(made / "run.json", json.dumps(new, indent=2, allow_nan=False) + "\n")
    return new, summary


def _tags(manifest: Json, settings: FootprintSettings, threshold: float) -> dict[str, str]:
    """Of the mask."""
    tags = {
        "TIFFTAG_SOFTWARE": f"hanet {__version__}",
        "HANET_WEIGHTS": manifest["weights"]["name"],
        "THRESHOLD": str(threshold),
    }
    dates = {"BEFORE_DATE": settings.before_date, "AFTER_DATE": settings.after_date}
    return tags | {name: date for name, date in dates.items() if date is not None}


def _renewed(
    manifest: Json, settings: FootprintSettings, summary: FootprintSummary, files: list[str]
) -> Json:
    """The new manifest; it keeps what the detection itself had found."""
    return {
        **manifest,
        "threshold": summary.threshold,
        "footprints": footprints_record(settings, summary),
        "renewed": {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "hanet": __version__,
            "files": files,
            "detected": _part_of(manifest, "renewed").get("detected", manifest["footprints"]),
        },
    }


def _built(out: Path, manifest: Json) -> Path | None:
    """The raster of kinds that the run kept; None of runs that say nothing of kinds, or from which
    somebody has removed it."""
    return out / BUILT if says_kinds(manifest) and (out / BUILT).exists() else None


def _settle(out: Path, made: Path, record: Path, known: list[Json], new: Json) -> tuple[Path, ...]:
    """Moves everything into place; the footprint files that somebody had changed, where they are
    now."""
    files = new["renewed"]["files"]
    for name in files:
        with writing(made / name), (made / name).open("r+b") as file:
            os.fsync(file.fileno())
    kept: list[Path] = []
    with writing(record):
        partial = made / RENEWAL
        write_synced(partial, json.dumps({"manifest": new, "known": known}))
        partial.replace(record)
    with writing(out / "run.json"):
        (out / "run.json").unlink(missing_ok=True)
    for name in files:
        path = out / name
        is_file = name in FOOTPRINT_FILES and path.is_file() and not path.is_symlink()
        if is_file and file_hash(path) not in [hashes.get(name) for hashes in known]:
            kept += keep_aside([path])
        move_into_place(made / name, path)
    move_into_place(made / "run.json", out / "run.json")
    with writing(record):
        record.unlink()
    return tuple(kept)


def _part_of(value: Json, name: str) -> Json:
    """An object in an object of a file that others may have changed; empty where it is none."""
    part = value.get(name)
    return part if isinstance(part, dict) else {}
