"""The two images of a run, found again: where ``run.json`` says, beside the folder, or where the
user says that they lie now."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from hanet.documents import DocumentError, read_json
from hanet.errors import OutputError, RasterError
from hanet.files import replace_file
from hanet.imagery.addresses import bare_name, found_from, is_missing
from hanet.imagery.fingerprint import local_files, raster_fingerprint, states
from hanet.imagery.gdal import gdal_session, reading
from hanet.imagery.raster_source import RasterSource
from hanet.types import Json

DateName: TypeAlias = Literal["before", "after"]
"""One of the two dates."""

DATES: tuple[DateName, DateName] = ("before", "after")

KNOWN = "inputs.json"
"""File of the review folder that keeps the fingerprints of inputs, so that a large file is hashed
once and not whenever a review begins."""


class MissingImageError(RasterError):
    """An image of a run lies neither where the run says nor beside its folder."""


@dataclass(frozen=True, slots=True)
class Input:
    """The image of one date.

    Args:
        date: Which.
        path: What to open; it may hold a signature or a password.
        fingerprint: What it is, by :func:`hanet.imagery.fingerprint.raster_fingerprint`.
        is_the_runs: Whether the run was made from the same file.
    """

    date: DateName
    path: str
    fingerprint: Json
    is_the_runs: bool

    @property
    def name(self) -> str:
        """The last part of its name, without credentials."""
        return bare_name(self.path).rsplit("/", 1)[-1]


def find_inputs(
    out: Path,
    manifest: Json,
    *,
    given: dict[DateName, str | None],
    warn: Callable[[str], None],
) -> tuple[Input, Input]:
    """The images of both dates.

    Args:
        out: The folder of the run.
        manifest: Its ``run.json``.
        given: Where the user says that they lie; None looks for them.
        warn: Called where one is not the file that the run was made from.

    Raises:
        MissingImageError: One is not found.
        RasterError: One cannot be opened.
    """
    known = out / "review" / KNOWN
    kept = _read_known(known)
    found = []
    for date in DATES:
        path = given.get(date) or _place(out, manifest, date)
        with gdal_session(), RasterSource(path) as source, reading(source.name):
            stamp = _stamp(source)
            if kept.get(date, {}).get("stamp") != stamp:
                kept[date] = {"stamp": stamp, "fingerprint": raster_fingerprint(source)}
        one = Input(date, path, kept[date]["fingerprint"], is_the_runs=False)
        recorded = part_of(manifest, "identity").get(date)
        one = replace(one, is_the_runs=one.fingerprint == recorded)
        if not one.is_the_runs:
            warn(
                f"{one.name} is not the file that the run was made from: what is shown as the "
                f"{date} image may not be what was detected"
            )
        found.append(one)
    with suppress(OutputError):  # only the hash is computed again next time
        replace_file(known, json.dumps(kept).encode())
    return found[0], found[1]


def check_inputs(out: Path, manifest: Json, *, given: dict[DateName, str | None]) -> None:
    """Does nothing where both images can be opened; what they hold is not read. Arguments as for
    :func:`find_inputs`.

    Raises:
        MissingImageError: One is not found.
        RasterError: One cannot be opened.
    """
    with gdal_session():
        for date in DATES:
            with RasterSource(given.get(date) or _place(out, manifest, date)):
                pass


def part_of(manifest: Json, *keys: str) -> Json:
    """The object at these keys, one within the other, of a file that somebody may have changed;
    empty where there is none."""
    value: object = manifest
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _place(out: Path, manifest: Json, date: DateName) -> str:
    recorded = part_of(manifest, "inputs").get(date)
    name = part_of(manifest, "pair", date).get("path")
    places = []
    if isinstance(recorded, str):
        places.append(found_from(recorded, out.resolve()))
    if isinstance(name, str) and name:
        places += [str(folder / name) for folder in (out, out.resolve().parent, Path())]
        if not isinstance(recorded, str) and "://" in name:  # of an older run
            places.append(name)
    for place in places:
        if not is_missing(place):
            return place
    shown = bare_name(name) if isinstance(name, str) and name else "its name is not recorded"
    raise MissingImageError(
        f"the {date} image of this run is not found: {shown}",
        hint=f"say where it lies now with --{date} FILE",
    )


def _stamp(source: RasterSource) -> list[object]:
    """What shows, without reading it, whether a raster is as it was."""
    files = sorted((str(path), state) for path, state in states(local_files(source)).items())
    return [bare_name(source.path), *([path, *(state or ())] for path, state in files)]


def _read_known(path: Path) -> dict[str, Json]:
    try:
        value = read_json(path, unicode=False)
    except (OSError, DocumentError):
        return {}
    if not isinstance(value, dict):
        return {}
    return {
        date: entry
        for date, entry in value.items()
        if isinstance(entry, dict) and {"stamp", "fingerprint"} <= set(entry)
    }
