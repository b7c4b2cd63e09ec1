"""Many pairs in one go: each into its own folder, then one layer and one page of all; failures are
recorded in a table and do not stop the others; resumable as a whole."""

from __future__ import annotations

import csv
import io
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from hanet.detection.beforehand import check_results
from hanet.detection.job import DetectionResult, check_settings, detect
from hanet.detection.merged_layer import (
    RECORD,
    MergedLayer,
    merge_footprints,
    read_pair,
)
from hanet.detection.pairs_report import write_pairs_report
from hanet.detection.run_folder import FOOTPRINT_FILES, JOURNAL, WORK, check_folder_choice
from hanet.detection.settings import DetectionSettings
from hanet.documents import shown
from hanet.errors import HanetError, InputError, OutputError, SettingsError
from hanet.files import (
    check_name,
    is_there,
    is_windows_name,
    make_folder,
    one_folder,
    replace_file,
    table_cell,
)
from hanet.imagery.addresses import found_from
from hanet.imagery.dates import check_date, check_order
from hanet.listeners import listeners
from hanet.types import Json, Progress
from hanet.weights import catalogue
from hanet.weights.runtime import reusing_runtimes

COLUMNS = ("name", "status", "footprints", "area_m2", "area_px", "seconds", "message")
"""Columns of the table of results; of the areas one is filled: that in pixels for pairs without a
CRS."""

TABLE, REPORT = "pairs.csv", "report.html"
"""Names of the table and of the page about all pairs in the folder of results."""

TAKEN = (TABLE, REPORT, RECORD, *FOOTPRINT_FILES, "footprints.qml")
"""Names in that folder that no pair can have."""

_NO_FOLDERS = {"", *map(one_folder, TAKEN)}
"""Those, and names of dots alone, as :func:`hanet.files.one_folder` gives them."""

PAIRS = "detecting pairs"
"""The stage that progress is reported of, before :data:`hanet.detection.merged_layer.MERGING`."""

NEEDED, DATES, REMARK = ("before", "after", "name"), ("before_date", "after_date"), "why"
"""Columns of the list: those that it must have, those that it may have, and the one of
``hanet pairs`` that is for people."""


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
        warn: Called with the columns that are ignored and with names that Windows does not take, in
            words; Python's warnings if None.

    Raises:
        InputError: The file is missing, lacks a column, a name is empty, doubled, leads out of the
            output folder, or differs from another only in what Windows or macOS take no notice of,
            or a date is not one.
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
            unknown = [name for name in columns if name not in (*NEEDED, *DATES, REMARK)]
            if unknown:
                listeners(None, warn)[1](
                    f"{path}: columns that are not used: {', '.join(map(shown, unknown[:5]))}; "
                    f"those used are {', '.join((*NEEDED, *DATES))}"
                )
            rows = [_job(row, f"{path}, line {reader.line_num}", path) for row in reader]
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} cannot be read: it is not UTF-8 (byte {error.start})",
            hint="save the list as CSV in UTF-8; its first line is: before,after,name",
        ) from error
    except (OSError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f"{path} cannot be read: {reason}",
            hint="give a CSV whose first line is: before,after,name",
        ) from error
    if not rows:
        raise InputError(f"{path} lists no pair")
    _check_names([row.name for row in rows], path, listeners(None, warn)[1])
    return rows


def detect_pairs(
    jobs: Sequence[PairJob],
    *,
    out: Path,
    resume: bool,
    overwrite: bool,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    weights: str | Path = catalogue.DEFAULT,
    **settings: Any,
) -> PairsResult:
    """Detects every pair, then makes one layer and one page of all that are done. With ``resume``
    finished pairs are skipped.

    Args:
        jobs: The pairs.
        out: Folder of the table, of the pairs' own folders, and of the layer and page of all.
        resume: Continue unfinished pairs, skip finished ones.
        overwrite: Remove the results that are there.
        progress: Called with :data:`PAIRS` and the share of the pairs that are done, then with
            those of the merge.
        note: As for :func:`hanet.detection.job.detect`.
        warn: As for it.
        weights: As for it.
        settings: As for it.

    Raises:
        HanetError: The weights or settings would not do for any pair, ``out`` holds the result of a
            single pair, or a table, layer or page cannot be written.
    """
    check_pairs_folder(out, resume=resume, overwrite=overwrite)
    check_results(out, DetectionSettings.of(**settings))
    with reusing_runtimes({}):
        check_settings(weights=weights, **settings)
        with PairTable(out) as table:
            for number, job in enumerate(jobs, start=1):
                if progress is not None:
                    progress(PAIRS, (number - 1) / len(jobs))
                if note is not None:
                    note(f"pair {number} of {len(jobs)}: {job.name}")
                try:
                    result = detect(
                        job.before,
                        job.after,
                        out=out / job.name,
                        resume=resume,
                        overwrite=overwrite,
                        note=note,
                        warn=warn,
                        weights=weights,
                        **{**settings, **job.dates},
                    )
                    table.done(job.name, result)
                except HanetError as error:
                    table.failed(job.name, error.message)
    if progress is not None:
        progress(PAIRS, 1.0)
    chosen = DetectionSettings.of(**settings)
    return merge_pairs(table.rows, out, settings=chosen, progress=progress)


@dataclass(frozen=True, slots=True)
class PairsResult:
    """What a list of pairs gave.

    Args:
        rows: One a pair with the :data:`COLUMNS`; status is done or failed.
        merged: One layer of all that are done; None where none is.
        report: The page about all; None where none was asked for.
        notes: Remarks about the layer.
    """

    rows: tuple[Json, ...]
    merged: MergedLayer | None
    report: Path | None
    notes: tuple[str, ...]


class PairTable:
    """The table of results, ``pairs.csv``: written at most once a second while pairs end, and at
    the end of a ``with``; ten thousand pairs would otherwise write ten thousand growing tables.

    Args:
        out: Folder of the results; made.
        places: Where each pair stands in the list, by name, where pairs end in another order.

    Attributes:
        rows: As for :class:`PairsResult`.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, out: Path, places: Mapping[str, int] | None = None) -> None:
        make_folder(out)
        self._places = places or {}
        self.rows: list[Json] = []
        self._path, self._written = out / TABLE, 0.0

    def __enter__(self) -> PairTable:
        return self

    def __exit__(self, *error: object) -> None:
        self._write()

    def done(self, name: str, result: DetectionResult) -> None:
        """A pair is done."""
        found = result.footprints
        area = {"area_m2" if found.has_metres else "area_px": round(found.area_m2, 2)}
        seconds = round(result.seconds, 2)
        self._add(
            {"name": name, "status": "done", "footprints": found.count, "seconds": seconds, **area}
        )

    def failed(self, name: str, message: str) -> None:
        """A pair has failed."""
        self._add({"name": name, "status": "failed", "message": message})

    def _add(self, row: Json) -> None:
        insort(
            self.rows,
            {**dict.fromkeys(COLUMNS, ""), **row},
            key=lambda one: self._places.get(one["name"], 0),
        )
        if monotonic() - self._written >= 1.0:
            self._write()

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: table_cell(cell) if isinstance(cell, str) else cell for key, cell in row.items()}
            for row in self.rows
        )
        replace_file(self._path, text.getvalue().encode())
        self._written = monotonic()


def check_pairs_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Does nothing for a folder that may take the results of a list.

    Raises:
        SettingsError: Its name is not allowed, or it is to be both continued and emptied.
        OutputError: It holds the result of a single pair, whose files have the names that those of
            all pairs take; or results of a list that are neither to be continued nor removed, whose
            table and layer would be lost.
    """
    check_name(out, "--out")
    check_folder_choice(resume=resume, overwrite=overwrite)
    if is_there(out / "run.json") or is_there(out / WORK / JOURNAL):
        raise OutputError(
            f"{out} holds a run of a single pair", hint="choose another --out for the list"
        )
    if is_there(out / TABLE) and not (resume or overwrite):
        raise OutputError(
            f"{out} already holds the results of a list of pairs",
            hint="--resume skips what is done and tries the rest, --overwrite makes all again; or "
            "choose another --out",
        )


def merge_pairs(
    rows: Sequence[Json],
    out: Path,
    *,
    settings: DetectionSettings,
    progress: Progress | None = None,
) -> PairsResult:
    """One layer and one page of all pairs that are done; see
    :func:`hanet.detection.merged_layer.merge_footprints`.

    Args:
        rows: The table of results.
        out: Folder of the pairs.
        settings: Say in which formats, and whether a page is written.
        progress: Called with the stage and the share done.

    Raises:
        OutputError: A file cannot be written.
    """
    pairs, notes = [], []
    for row in rows:
        if row["status"] == "done":
            try:
                pairs.append(read_pair(row["name"], out / row["name"]))
            except OutputError as error:
                notes.append(f"the pair {row['name']} is left out of the layer: {error.message}")
    merged = None
    if pairs:
        merged = merge_footprints(pairs, out, formats=settings.formats, progress=progress)
        notes += merged.notes
    report = None
    if settings.report:
        report = out / REPORT
        write_pairs_report(
            report, title=out.resolve().name, rows=rows, pairs=pairs, merged=merged, notes=notes
        )
    return PairsResult(tuple(rows), merged, report, tuple(notes))


def _check_names(names: Sequence[str], path: Path, warn: Callable[[str], None]) -> None:
    """Refuses names that are one folder somewhere: the second pair would take the place of the
    first there. Warns of those that only Windows does not take."""
    known: dict[str, str] = {}
    for name in names:
        folder = one_folder(name)
        if folder not in known:
            known[folder] = name
            continue
        first = known[folder]
        if first == name:
            raise InputError(
                f"{path}: the name {name!r} stands there twice",
                hint="each pair goes into a folder of its name",
            )
        raise InputError(
            f"{path}: {first!r} and {name!r} are one folder on Windows or macOS",
            hint="choose names that differ by more than case, accents, and dots at the end",
        )
    strange = [name for name in names if not is_windows_name(name)]
    if strange:
        warn(
            f"{path}: Windows takes no folder of the name {', '.join(map(shown, strange[:5]))}; "
            "results of such names cannot be used there"
        )


def _job(row: Mapping[str, str | None], where: str, listing: Path) -> PairJob:
    """A row of the list, checked."""
    before, after, name = ((row[column] or "").strip() for column in NEEDED)
    if not (before and after and name):
        raise InputError(
            f"{where}: before, after or name is missing", hint="each line is: before,after,name"
        )
    check_name(name, f"the name in {where}")
    if one_folder(name) in _NO_FOLDERS or Path(name).name != name:
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
    folder = listing.parent
    return PairJob(name, found_from(before, folder), found_from(after, folder), dates)
