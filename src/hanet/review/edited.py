"""A delivered layer that was edited elsewhere, for example in QGIS, taken back into the review.

Rows are matched by id, and everything is checked before anything is written.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon

from hanet.errors import HanetError, InputError, VectorError
from hanet.files import table_cell
from hanet.imagery.addresses import bare_name
from hanet.imagery.grid import Grid, crs_name, in_another_crs
from hanet.imagery.vector_formats import LONGEST_TEXT_BYTES
from hanet.imagery.vectors import Features, read_features
from hanet.review.corrections import checked_outline
from hanet.review.delivered_state import DeliveredLayer, delivery_of, was_delivered
from hanet.review.items import DECIDED, Item, Outline, checked_decision, outline_of_json
from hanet.review.journal import read_journal
from hanet.review.review import Review
from hanet.review.reviewed_run import settings_of_run
from hanet.review.reviewed_runs import run_folders
from hanet.review.state import ReviewState, settings_of
from hanet.review.weights_kinds import weights_kinds
from hanet.types import Json, Progress

Deleted: TypeAlias = Literal["rejected", "kept"]
"""What becomes of items whose rows are gone."""

MOVED_PX = 0.1
"""How far a corner must have moved, in pixels, to be an edit: formats round coordinates, to a
centimetre in GeoJSON."""

MOST_GONE = 0.5
"""Share of the delivered rows from which on a layer that lacks them is taken for a part that was
exported, not for one in which so many were deleted."""


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What came back, over all pairs.

    Args:
        changed: Items with another outline, status, kind or comment.
        added: New ones.
        deleted: Items whose rows are gone, rejected.
        notes: What else there is to say, in words.
    """

    changed: int
    added: int
    deleted: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the layer.

    Args:
        where: What messages call it.
        id: None where it is new.
        is_number: Whether the file has the run's own number in its place.
        geometry: In the file's CRS.
        values: Status, kind and comment, where it has them.
    """

    where: str
    id: str | None
    is_number: bool
    geometry: shapely.Geometry
    values: dict[str, str]


@dataclass(slots=True)
class _Plan:
    """What is to be recorded of one run."""

    review: Review
    items: list[Item] = field(default_factory=list)
    changed: int = 0
    added: int = 0
    deleted: int = 0
    notes: list[str] = field(default_factory=list)


def take_back(
    out: Path,
    file: str | Path,
    *,
    reviewer: str,
    deleted: Deleted | None = None,
    progress: Progress | None = None,
) -> TakenBack:
    """Takes an edited layer back into the review; one step to undo for each run.

    What a row changes counts: what the review has decided meanwhile about the rest stays. Rows
    without an id are new items, accepted unless they say otherwise.

    Args:
        out: The folder that it was delivered from.
        file: Any vector file that GDAL reads with a column ``id``, or ``FILE|layername=NAME``; of
            several pairs also ``pair``.
        reviewer: Who edited it.
        deleted: What becomes of items that were delivered and have no row now; None rejects them
            unless more than half are gone.
        progress: Called with the stage and the share done.

    Raises:
        VectorError: The file cannot be read, lacks the id or the pair, or is in a CRS that does not
            fit.
        InputError: A row has an unknown or doubled id, an unknown status or kind, or an outline
            that cannot be used; or most rows are gone. Nothing has been recorded.
        OutputError: Another review is at work, or the journal cannot be written.
    """
    name = bare_name(str(file))
    features = read_features(file)
    folders = run_folders(out)
    with ExitStack() as stack:
        by_pair = _by_pair(features, name, folders)
        plans = []
        for pair, rows in by_pair.items():
            review = stack.enter_context(
                Review.open(folders[pair], reviewer=reviewer, progress=progress)
            )
            plans.append(_planned(_Plan(review), rows, features.crs, name, deleted))
        for plan in plans:
            if plan.items:
                plan.review.take_back(Path(name).name[:200], plan.items)
    return TakenBack(
        changed=sum(plan.changed for plan in plans),
        added=sum(plan.added for plan in plans),
        deleted=sum(plan.deleted for plan in plans),
        notes=(*features.notes, *(note for plan in plans for note in plan.notes)),
    )


def _by_pair(features: Features, name: str, folders: Mapping[str, Path]) -> dict[str, list[_Row]]:
    """The rows of each pair; those of a single run under ``""``."""
    columns = {key.lower(): values for key, values in features.columns.items()}
    if "name" in columns and name.lower().endswith(".kml"):
        columns["id"] = columns["name"]  # its own id is the number of the placemark
    if "id" not in columns:
        raise VectorError(
            f"{name} has no column id; its columns are: {', '.join(features.columns) or 'none'}",
            hint="edit a layer that hanet deliver wrote, and keep its column id",
        )
    is_single = "" in folders
    if not is_single and "pair" not in columns:
        raise VectorError(
            f"{name} has no column pair, and there are {len(folders)} pairs",
            hint="edit the layer that hanet deliver wrote for all of them, or give one pair's "
            "folder",
        )
    rows: defaultdict[str, list[_Row]] = defaultdict(list)
    for number, shape in enumerate(features.shapes):
        pair = "" if is_single else _text(columns["pair"][number])
        identity, is_number = _id(columns["id"][number])
        where = f"row {number + 1} of {Path(name).name}" + (f" ({identity})" if identity else "")
        if pair not in folders:
            raise InputError(
                f"{where}: there is no pair {pair!r}" if pair else f"{where} names no pair",
                hint=f"the pairs are: {', '.join(list(folders)[:10])}",
            )
        if shape is None or shape.is_empty:
            raise InputError(f"{where} has no outline", hint="draw it, or delete the row")
        values: dict[str, str] = {
            key: _text(columns[key][number]) for key in DECIDED if key in columns
        }
        rows[pair].append(_Row(where, identity or None, is_number, shape, values))
    for pair, folder in folders.items():
        if is_single or was_delivered(folder):
            rows.setdefault(pair, [])  # all of its rows may have been deleted
    doubled = [
        (pair, key, count)
        for pair, listed in rows.items()
        for key, count in Counter(row.id for row in listed if row.id).items()
        if count > 1
    ]
    if doubled:
        pair, key, count = doubled[0]
        raise InputError(
            f"{name} has {count} rows with the id {key}{f' of {pair}' if pair else ''}",
            hint="where an item was cut into parts, keep the id in one row and clear it in the "
            "others",
        )
    return dict(rows)


def _planned(
    plan: _Plan, rows: Sequence[_Row], crs: str | None, name: str, deleted: Deleted | None
) -> _Plan:
    """What the rows of a run come to, all of it checked."""
    review = plan.review
    now = review.all_items()
    outlines = _in_pixels([row.geometry for row in rows], crs, review.grid, name)
    known = [row.id for row in rows if row.id is not None]
    state = read_journal(review.out)
    delivery = delivery_of(review.out, state, known)
    if known and all(row.is_number for row in rows if row.id):
        delivery = _the_runs_own(review, state, name)
    base = delivery.base(state) if delivery is not None else None
    later = state.records[delivery.last :] if delivery is not None else []
    gone_since = both = 0
    for row, outline in zip(rows, outlines, strict=True):
        shape = _checked(row, outline, review.grid)
        if row.id is None:
            item = Item(review.next_drawn(plan.added), "drawn", shape, status="accepted")
            plan.items.append(replace(item, **_decided(row, item)))
            plan.added += 1
            continue
        current = now.get(row.id)
        if current is None:
            old = state.get(row.id)
            if old is None:
                raise InputError(
                    f"{row.where}: the review has no item of this id",
                    hint="is it the layer of this folder, delivered after the footprints were last "
                    "remade? Clear the id of what is new",
                )
            gone_since += 1
            continue
        if current.is_tile:
            raise InputError(f"{row.where} is a tile", hint="clear the id of what is new")
        was = (base.get(row.id) if base is not None else None) or _untouched(current, later)
        edited = _edits(row, shape, was)
        if _is_of_weights(review, row, was, edited):
            del edited["kind"]
        if not edited:
            continue
        both += any(getattr(current, key) != getattr(was, key) for key in edited)
        plan.items.append(replace(current, **edited))
        plan.changed += 1
    if delivery is not None:
        missing = [now[key] for key in sorted(delivery.ids - set(known)) if key in now]
        _delete(plan, missing, len(delivery.ids), name, deleted)
    elif rows:
        plan.notes.append(
            f"it is unknown which rows {name} had when it was delivered: no row counts as deleted"
        )
    if gone_since:
        plan.notes.append(
            f"{gone_since} rows are left out: the review has cut or joined their items since"
        )
    if both:
        plan.notes.append(
            f"{both} items were changed in the review too after the layer was delivered: the "
            "layer's values count (undo takes them back)"
        )
    return plan


def _the_runs_own(review: Review, state: ReviewState, name: str) -> DeliveredLayer:
    """``footprints.gpkg`` itself, which held all footprints before anybody had decided.

    Raises:
        InputError: It was made again with other settings: its numbers are not the review's.
    """
    begun = settings_of(state.records[0]["settings"])
    if settings_of_run(review.out, review.manifest) != begun:
        raise InputError(
            f"the ids of {name} are numbers of footprints that were made again with other "
            "settings after the review had begun",
            hint="edit the layer that hanet deliver writes instead",
        )
    count = int(review.manifest["footprints"]["count"])
    return DeliveredLayer(1, frozenset(f"f{number}" for number in range(1, count + 1)))


def _delete(
    plan: _Plan, missing: Sequence[Item], delivered: int, name: str, deleted: Deleted | None
) -> None:
    """Rejects the items whose rows are gone."""
    listed = [item for item in missing if item.status != "rejected"]
    if not listed or deleted == "kept":
        return
    if deleted is None and len(missing) > MOST_GONE * delivered:
        raise InputError(
            f"{name} lacks {len(missing)} of the {delivered} rows that were delivered, and what is "
            "deleted becomes rejected",
            hint="give --deleted rejected if they were deleted, --deleted kept if it is a part",
        )
    plan.items += [replace(item, status="rejected") for item in listed]
    plan.deleted += len(listed)


def _untouched(current: Item, later: Sequence[Json]) -> Item:
    """The item as it was before these records, when nobody had decided on it."""
    for record in later:
        bodies = [*record.get("items", ()), record.get("item", {})]
        mine = [body for body in bodies if body.get("id") == current.id]
        if not mine or record["do"] in ("sample", "taken_back"):
            continue
        outline = record["was"] if record["do"] == "reshape" else mine[0]["geometry"]
        shape = outline_of_json(outline)
        return replace(current, geometry=shape, status="unreviewed", kind="", comment="")
    return current


def _edits(row: _Row, shape: Outline, was: Item) -> dict[str, Any]:
    """The fields of an item that a row changes."""
    edits: dict[str, Any] = {
        key: value for key, value in _decided(row, was).items() if value != getattr(was, key)
    }
    if _has_moved(shape, was.geometry):
        edits["geometry"] = shape
    return edits


def _is_of_weights(review: Review, row: _Row, was: Item, edited: Mapping[str, Any]) -> bool:
    """Whether the kind of a row in the run's own layer is what the weights wrote there, of an item
    that is not accepted: nobody has said it."""
    kind = edited.get("kind")
    if not kind or not row.is_number or was.kind or edited.get("status") == "accepted":
        return False
    return weights_kinds(review.out, [was]) == [kind]


def _decided(row: _Row, was: Item) -> dict[str, Any]:
    """Status, kind and comment of a row, checked; an empty status says nothing."""
    values = {key: value for key, value in row.values.items() if key != "status" or value}
    values |= {key: values[key].lower() for key in ("status", "kind") if key in values}
    if values.get("kind") == "unclear":  # so the weights say; a person would leave it empty
        values["kind"] = was.kind
    if "comment" in values and _is_as_written(values["comment"], was.comment):
        del values["comment"]
    try:
        return checked_decision(values)
    except InputError as error:
        raise InputError(f"{row.where}: {error.message}", hint=error.hint) from error


def _is_as_written(text: str, was: str) -> bool:
    """Whether a comment is what a format made of the delivered one: a Shapefile cuts long ones, CSV
    puts an apostrophe before what a spreadsheet would run."""
    is_cut = len(text.encode()) > LONGEST_TEXT_BYTES - 4 and was.startswith(text)
    return is_cut or text in (table_cell(was), was.strip())


def _has_moved(shape: Outline, was: Outline) -> bool:
    """Whether two outlines differ by more than formats round."""
    first, second = shapely.boundary(shape), shapely.boundary(was)
    return (
        max(
            float(shapely.hausdorff_distance(first, second)),
            float(shapely.hausdorff_distance(second, first)),
        )
        > MOVED_PX
    )


def _in_pixels(
    shapes: Sequence[shapely.Geometry], crs: str | None, grid: Grid, name: str
) -> list[shapely.Geometry]:
    """Geometries of the file in pixel coordinates of the grid."""
    if grid.crs is not None and crs is None:
        raise VectorError(
            f"{name} states no CRS", hint="set it, for example with `ogr2ogr -a_srs EPSG:CODE`"
        )
    # GeoJSON without a CRS member counts as WGS84, whatever its coordinates are
    placed = np.empty(len(shapes), dtype=object)
    placed[:] = list(shapes)
    if grid.crs is not None and crs is not None and crs_name(crs) != crs_name(grid.crs):
        placed = in_another_crs(placed, crs, grid.crs)
    a, _, c, _, e, f = grid.transform
    return list(shapely.transform(placed, lambda xy: (xy - (c, f)) / (a, e)))


def _checked(row: _Row, outline: shapely.Geometry, grid: Grid) -> Outline:
    """The outline of a row, cut to the grid."""
    if outline.geom_type == "MultiPolygon" and len(outline.geoms) == 1:
        outline = outline.geoms[0]
    if not isinstance(outline, Polygon | MultiPolygon):
        raise InputError(
            f"{row.where} is a {outline.geom_type}, no polygon", hint="draw it as a polygon"
        )
    try:
        return checked_outline(outline, grid)
    except HanetError as error:
        raise InputError(f"{row.where}: {error.message}", hint=error.hint) from error


def _id(value: object) -> tuple[str, bool]:
    """An id as the review writes it, and whether the file has a number in its place: that of one of
    the run's own footprints."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = _text(value)
    return (f"f{text}", True) if text.isdigit() else (text, False)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
