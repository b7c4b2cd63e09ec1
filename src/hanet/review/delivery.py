"""What is delivered of a review: its items as a layer of one format or several, and a page that
says what they are and what was left out.

The folder of one run, or that of ``hanet detect --pairs``, whose pairs become one layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import shapely

from hanet.destination import check_folder
from hanet.detection import merged_layer
from hanet.errors import InputError, OutputError, SettingsError
from hanet.files import check_not_open, file_hash, is_there, keep_aside
from hanet.footprints.measures import on_the_map
from hanet.imagery.addresses import bare_name
from hanet.imagery.grid import in_another_crs
from hanet.imagery.qgis import reviewed_style
from hanet.imagery.vector_formats import (
    FORMATS,
    MORE_FORMATS,
    SIDECARS,
    check_crs,
    check_formats,
)
from hanet.imagery.vectors import FeatureWriter
from hanet.review.delivered_state import delivered_files, remember
from hanet.review.delivery_report import write_delivery_page
from hanet.review.items import STATUSES, Item, Status
from hanet.review.reviewed_run import apart_from_run
from hanet.review.reviewed_runs import ReviewedRun, read_runs
from hanet.review.sampling import area_of
from hanet.types import Progress

FOLDER, STEM, LAYER = "delivery", "reviewed", "reviewed"
"""Folder within the results, name of the files without suffix, and name of the layer."""

REPORT = "delivery.html"
"""The page."""

ALL_FORMATS = {**FORMATS, **MORE_FORMATS}
"""Formats by name, with the suffix of their files."""

SHORT_NAMES = {
    "reviewed_at": "reviewed",
    "probability": "probab",
    "before_date": "before",
    "after_date": "after",
}
"""Names of fields in a Shapefile."""

BATCH = 5000
"""Items that are written at once."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was delivered.

    Args:
        files: The layer in each format, and the page.
        count: Items in it.
        area: Their area, in square metres or, without a CRS, square pixels.
        has_metres: Whether it is in square metres.
        notes: What was left out, and what a format could not hold, in words.
    """

    files: tuple[Path, ...]
    count: int
    area: float
    has_metres: bool
    notes: tuple[str, ...]


def deliver(
    out: Path,
    *,
    into: Path | None = None,
    formats: Sequence[str] = ("gpkg",),
    statuses: Sequence[Status] = ("accepted",),
    taken_back: str | None = None,
    progress: Progress | None = None,
) -> Delivery:
    """Writes the reviewed items of a result folder, and a page about them; an earlier delivery is
    replaced. A layer that is no longer as it was delivered (edited in QGIS, say), or that no
    delivery has written, is kept as ``reviewed-kept-N``.

    Args:
        out: A run, or the folder of ``hanet detect --pairs``.
        into: Folder for the files; ``OUT/delivery`` if None.
        formats: Keys of :data:`ALL_FORMATS`.
        statuses: Which items.
        taken_back: The layer that was just taken back, which need not be kept.
        progress: Called with the stage and the share done.

    Raises:
        SettingsError: There is no such format or status, or the folder has a name that none can
            have.
        OutputError: There is no run, no review of it, a layer is open in another program, or a file
            cannot be written.
        InputError: A format does not take these coordinates, or pairs with and without a CRS are to
            become one layer.
    """
    folder = check_delivery(out, into=into, formats=formats, statuses=statuses)
    runs, notes = read_runs(out, progress)
    crs, crs_note = common_crs(runs)
    notes += [crs_note] if crs_note else []
    for name in formats:
        check_crs(name, crs)
    chosen = [(run, run.chosen(statuses)) for run in runs]
    notes += _left_out(runs, statuses)
    if not any(items for _, items in chosen):
        notes.append(f"no item is {' or '.join(statuses)}: the layer is empty")
    writer = FeatureWriter(
        folder,
        STEM,
        formats,
        crs=crs,
        layer=LAYER,
        fields=_fields(
            has_metres=all(run.state.grid.has_metres for run in runs), has_pairs=bool(runs[0].name)
        ),
        style=reviewed_style(),
        short_names=SHORT_NAMES,
    )
    with writer:
        for run, items in chosen:
            for batch in _batches(items):
                writer.write(_outlines(run, batch, crs), _columns(run, batch))
        # the files are moved into place when the writer closes
        notes += _kept(folder, formats, runs, taken_back)
    written = [file_hash(path) for name in formats for path in _files(folder, name)]
    try:
        for run, items in chosen:
            remember(run.out, run.state, items, written)
    except OutputError as error:
        notes.append(
            f"{error.message}: when the layer is taken back, deleted rows will not be noticed"
        )
    notes += [*writer.notes, *_left_of_earlier(folder, formats)]
    page = write_delivery_page(
        folder / REPORT,
        title=out.resolve().name,
        chosen=chosen,
        statuses=statuses,
        files=[path.name for path in writer.files],
        notes=notes,
    )
    return Delivery(
        files=(*writer.files, page),
        count=sum(len(items) for _, items in chosen),
        area=sum(area_of(item) for _, items in chosen for item in items),
        has_metres=all(run.state.grid.has_metres for run in runs),
        notes=tuple(notes),
    )


def check_delivery(
    out: Path, *, into: Path | None, formats: Sequence[str], statuses: Sequence[Status]
) -> Path:
    """The folder for the files of a delivery, where nothing but the review itself can keep them
    from being written; arguments as for :func:`deliver`.

    Raises:
        HanetError: A format, a status, the folder or a file in it is in the way.
    """
    statuses_of(statuses)
    check_formats(formats, ALL_FORMATS)
    folder = out / FOLDER if into is None else into
    check_folder(folder, "--out")
    for name in formats:
        check_not_open(folder / f"{STEM}{ALL_FORMATS[name]}")
    return folder


def statuses_of(names: Iterable[str]) -> tuple[Status, ...]:
    """The statuses of these names; ``all`` stands for every one.

    Raises:
        SettingsError: There is none of a name.
    """
    listed = list(dict.fromkeys(names))
    if listed == ["all"]:
        return STATUSES
    known: tuple[Status, ...] = get_args(Status)
    wrong = [name for name in listed if name not in known]
    if wrong or not listed:
        raise SettingsError(
            f"there is no status {', '.join(wrong)!r}",
            hint=f"the statuses are: {', '.join(known)}, or all",
        )
    return tuple(status for status in known if status in listed)


def common_crs(runs: Sequence[ReviewedRun]) -> tuple[str | None, str]:
    """The CRS of one layer of all runs, and a remark about it.

    Raises:
        InputError: Some have a CRS and others none.
    """
    shared = merged_layer.common_crs({run.name: run.state.grid.crs for run in runs})
    if shared.without:
        raise InputError(
            f"{len(shared.without)} of {len(runs)} pairs have no CRS, the first: "
            f"{shared.without[0]}; one layer cannot hold both",
            hint="deliver them one by one",
        )
    return shared.crs, shared.note


def _left_out(runs: Sequence[ReviewedRun], statuses: Sequence[Status]) -> list[str]:
    """What is not delivered and may be missed."""
    notes = []
    total = sum(run.count(status) for run in runs for status in STATUSES)
    states: dict[Status, str] = {"unreviewed": "not been reviewed", "unsure": "marked unsure"}
    for status, words in states.items():
        count = sum(run.count(status) for run in runs)
        if count and status not in statuses:
            one, many = ("has", "have") if status == "unreviewed" else ("is", "are")
            is_one = count == 1
            notes.append(
                f"{count} of {total} footprints {one if is_one else many} {words} and "
                f"{'is' if is_one else 'are'} left out (--status {','.join((*statuses, status))} "
                f"delivers {'it' if is_one else 'them'} too)"
            )
    notes += [note for run in runs if (note := apart_from_run(run.out, run.manifest, run.state))]
    conflicts = sum(len(run.state.conflicts) for run in runs)
    if conflicts:
        notes.append(
            f"{conflicts} decision{'' if conflicts == 1 else 's'} may not fit the remade "
            "footprints; the page lists them"
        )
    return notes


def _files(folder: Path, name: str) -> list[Path]:
    """The files of a format that are there, the main one first."""
    suffixes = (ALL_FORMATS[name], *SIDECARS.get(name, ()))
    paths = [folder / f"{STEM}{suffix}" for suffix in suffixes]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def _kept(
    folder: Path, formats: Sequence[str], runs: Sequence[ReviewedRun], taken_back: str | None
) -> list[str]:
    """Keeps the layers that would be replaced and are not as they were delivered; what is to be
    said of them."""
    known = frozenset[str]().union(*(delivered_files(run.out) for run in runs))
    source = None if taken_back is None else Path(bare_name(taken_back))
    notes = []
    for name in dict.fromkeys(formats):
        files = _files(folder, name)
        if source is not None and is_there(source) and any(map(source.samefile, files)):
            continue
        if any(file_hash(path) not in known for path in files):
            kept = keep_aside(files)[0]
            notes.append(
                f"{files[0].name} was not as it had been delivered, and is kept as {kept.name}"
            )
    return notes


def _left_of_earlier(folder: Path, formats: Sequence[str]) -> list[str]:
    left = [
        f"{STEM}{suffix}"
        for name, suffix in ALL_FORMATS.items()
        if name not in formats and (folder / f"{STEM}{suffix}").exists()
    ]
    return [f"of an earlier delivery, and not renewed: {', '.join(left)}"] if left else []


def _fields(*, has_metres: bool, has_pairs: bool) -> dict[str, type]:
    """Attributes in their order, with their types."""
    return {
        "id": str,
        **({"pair": str} if has_pairs else {}),
        "status": str,
        "kind": str,
        "reviewer": str,
        "reviewed_at": str,
        "comment": str,
        "probability": float,
        "area_m2" if has_metres else "area_px": float,
        "source": str,
        "before_date": str,
        "after_date": str,
    }


def _columns(run: ReviewedRun, items: Sequence[Item]) -> dict[str, list[object]]:
    settings = run.state.settings
    return {
        "id": [item.id for item in items],
        "pair": [run.name] * len(items),
        "status": [item.status for item in items],
        "kind": [item.kind or None for item in items],
        "reviewer": [item.reviewer or None for item in items],
        "reviewed_at": [item.reviewed_at or None for item in items],
        "comment": [item.comment or None for item in items],
        "probability": [_rounded(item.probability, 4) for item in items],
        "area_m2": [_rounded(item.area_m2, 2) for item in items],
        "area_px": [round(item.area_px, 2) for item in items],
        "source": [item.source for item in items],
        "before_date": [settings.before_date] * len(items),
        "after_date": [settings.after_date] * len(items),
    }


def _rounded(value: float | None, digits: int) -> float:
    """NaN, which a file holds as not set, for what is not known."""
    return math.nan if value is None else round(value, digits)


def _outlines(run: ReviewedRun, items: Sequence[Item], crs: str | None) -> list[shapely.Geometry]:
    shapes = np.empty(len(items), dtype=object)
    shapes[:] = [item.geometry for item in items]
    placed = on_the_map(shapes, run.state.grid)
    own = run.state.grid.crs
    if own is not None and crs is not None and own != crs:
        placed = in_another_crs(placed, own, crs)
    return list(placed)


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
