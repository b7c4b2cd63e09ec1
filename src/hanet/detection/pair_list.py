"""Many pairs in one go: each into its own folder; failures are recorded in a table and do not stop
the others; resumable as a whole."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hanet.detection.job import check_settings, detect
from hanet.detection.run_folder import check_folder_choice
from hanet.documents import shown
from hanet.errors import HanetError, InputError, SettingsError
from hanet.files import check_name, make_folder, replace_file, table_cell
from hanet.imagery.addresses import is_gdal_name, lies_here
from hanet.imagery.dates import check_date, check_order
from hanet.types import Progress

COLUMNS = ("name", "status", "footprints", "area_m2", "area_px", "seconds", "message")
"""Columns of the table of results; of the areas one is filled: that in pixels for pairs without a
CRS."""

TABLE = "pairs.csv"
"""Its name in the folder of results."""

PAIRS = "detecting pairs"
"""The stage that progress is reported of."""

NEEDED, DATES = ("before", "after", "name"), ("before_date", "after_date")
"""Columns of the list: those that it must have, and those that it may have."""


@dataclass(frozen=True, slots=True)
class PairJob:
    """One row of the list.

    Args:
        name: Folder of the result.
        before: Raster of the first date.
        after: Raster of the second date.
        dates: ``before_date`` and ``after_date`` where the row has them; they take the place of the
            settings of these names.
    """

    name: str
    before: str
    after: str
    dates: Mapping[str, str] = field(default_factory=dict)


def read_pairs(path: Path, *, warn: Callable[[str], None] | None = None) -> list[PairJob]:
    """The pairs of a CSV file with the columns before, after, name, and optionally before_date and
    after_date.

    Relative paths count from the file's folder; names that GDAL opens by itself (``https://``,
    ``/vsi``, ``NETCDF:``) stay as they are.

    Args:
        path: The list.
        warn: Called with the columns that are ignored, in words.

    Raises:
        InputError: The file is missing, lacks a column, a name is empty, doubled, or leads out of
            the output folder, or a date is not one.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = list(reader.fieldnames or ())
            missing = set(NEEDED) - set(columns)
            if missing:
                raise InputError(
                    f"{path} lacks the columns {', '.join(sorted(missing))}",
                    hint="its first line is: before,after,name",
                )
            unknown = [name for name in columns if name not in (*NEEDED, *DATES)]
            if unknown and warn is not None:
                warn(
                    f"{path}: columns that are not used: {', '.join(map(shown, unknown[:5]))}; "
                    f"those used are {', '.join((*NEEDED, *DATES))}"
                )
            rows = [_job(row, f"{path}, line {reader.line_num}", path) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f"{path} cannot be read: {reason}",
            hint="give a CSV whose first line is: before,after,name",
        ) from error
    if not rows:
        raise InputError(f"{path} lists no pair")
    for name, count in Counter(row.name for row in rows).items():
        if count > 1:
            raise InputError(
                f"{path}: the name {name!r} stands there twice",
                hint="each pair goes into a folder of its name",
            )
    return rows


def detect_pairs(
    jobs: list[PairJob],
    *,
    out: Path,
    resume: bool,
    overwrite: bool,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Detects every pair; ``pairs.csv`` in ``out`` is rewritten after each. With ``resume``
    finished pairs are skipped.

    Args:
        jobs: The pairs.
        out: Folder of the table and of the pairs' own folders.
        resume: Continue unfinished pairs, skip finished ones.
        overwrite: Remove the results that are there.
        progress: Called with :data:`PAIRS` and the share of the pairs that are done.
        note: As for :func:`hanet.detection.job.detect`.
        warn: Likewise.
        settings: Likewise.

    Returns:
        One row a pair with the :data:`COLUMNS`; status is done or failed.

    Raises:
        HanetError: The weights or settings would not do for any pair, or the table cannot be
            written.
    """
    check_name(out, "--out")
    check_folder_choice(resume=resume, overwrite=overwrite)
    check_settings(**settings)
    rows: list[dict[str, Any]] = []
    make_folder(out)
    for number, job in enumerate(jobs, start=1):
        if progress is not None:
            progress(PAIRS, (number - 1) / len(jobs))
        if note is not None:
            note(f"pair {number} of {len(jobs)}: {job.name}")
        row: dict[str, Any] = {**dict.fromkeys(COLUMNS, ""), "name": job.name, "status": "done"}
        try:
            result = detect(
                job.before,
                job.after,
                out=out / job.name,
                resume=resume,
                overwrite=overwrite,
                note=note,
                warn=warn,
                **{**settings, **job.dates},
            )
            found = result.footprints
            row |= {
                "footprints": found.count,
                "area_m2" if found.has_metres else "area_px": round(found.area_m2, 2),
                "seconds": round(result.seconds, 2),
            }
        except HanetError as error:
            row |= {"status": "failed", "message": error.message}
        rows.append(row)
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: table_cell(cell) if isinstance(cell, str) else cell for key, cell in row.items()}
            for row in rows
        )
        replace_file(out / TABLE, text.getvalue().encode())
    if progress is not None:
        progress(PAIRS, 1.0)
    return rows


def _job(row: Mapping[str, str | None], where: str, listing: Path) -> PairJob:
    """A row of the list, checked."""
    before, after, name = ((row[column] or "").strip() for column in NEEDED)
    if not (before and after and name):
        raise InputError(
            f"{where}: before, after or name is missing", hint="each line is: before,after,name"
        )
    check_name(name, f"the name in {where}")
    if name in (".", "..", TABLE) or Path(name).name != name:
        raise InputError(
            f"{where}: the name {name!r} is not a plain folder name",
            hint="each pair goes into a folder of its name",
        )
    dates = {column: text for column in DATES if (text := (row.get(column) or "").strip())}
    try:
        for column, text in dates.items():
            check_date(text, column)
        check_order(*(dates.get(column) for column in DATES))
    except SettingsError as error:
        raise InputError(f"{where}: {error.message}", hint=error.hint) from error
    return PairJob(name, _placed(before, listing), _placed(after, listing), dates)


def _placed(text: str, listing: Path) -> str:
    beside = listing.parent / text
    return text if is_gdal_name(text) and not lies_here(beside) else str(beside)
