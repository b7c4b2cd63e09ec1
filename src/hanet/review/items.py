"""What a person decides about: one place with its outline, and what was decided."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon

from hanet.documents import shown
from hanet.errors import InputError
from hanet.types import Json

Status: TypeAlias = Literal["unreviewed", "accepted", "rejected", "unsure"]
"""``accepted``: there is a change here, whatever the source of the item (in a blank tile: one that
was missed); ``rejected``: there is none. A suggested tile is accepted when every change in it is
outlined, and rejected where that cannot be said."""

Kind: TypeAlias = Literal["", "built", "demolished", "rebuilt", "other"]
"""What changed; ``""`` where nobody has said."""

Source: TypeAlias = Literal["found", "drawn", "missed", "blank", "tile"]
"""``found``: a footprint; ``drawn``: by a person, or cut or joined by one; ``missed``: a place
whose probability stays below the threshold; ``blank``: a tile in which nothing was found;
``tile``: one of the labels' grid that was suggested, whatever was found in it."""

STATUSES: tuple[Status, ...] = get_args(Status)
KINDS: tuple[Kind, ...] = get_args(Kind)
SOURCES: tuple[Source, ...] = get_args(Source)

Outline: TypeAlias = Polygon | MultiPolygon
"""In pixel coordinates: x = column, y = row, from the upper left corner of the upper left pixel."""

LONGEST_COMMENT = 1000
"""Characters of a comment."""

LONGEST_NAME = 100
"""Characters of a reviewer's name."""

_ID = re.compile(r"[fdmbt][0-9]{1,12}|[0-9]{1,9}-m?[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Item:
    """One place that a person decides about.

    Args:
        id: ``f12`` for the run's footprint 12 and ``1-12`` for footprint 12 after the first remake;
            ``d3`` drawn, ``m4`` (``1-m4``) missed, ``b5`` blank, ``t6`` a suggested tile. An item
            that was decided keeps its id and outline whatever is remade.
        source: Where it comes from.
        geometry: Its outline in pixel coordinates of the result's grid.
        probability: Mean over the item in 0-1; NaN for what was drawn and for tiles. Parts
            keep that of what they were cut from.
        area_m2: On the ellipsoid; None where the result has no CRS (:attr:`area_px` always is).
        status: What was decided.
        kind: What changed.
        comment: At most :data:`LONGEST_COMMENT` characters.
        reviewer: Who decided last; ``""`` where nobody has.
        reviewed_at: When (UTC, ISO 8601, ends with Z); ``""`` where nobody has.
        stratum: The stratum of the random sample that drew it; ``""`` where none did.
        superseded_by: Ids, with commas between them, of the items that it was cut into or joined
            to; ``""`` for an item that counts.
    """

    id: str
    source: Source
    geometry: Outline
    probability: float = math.nan
    area_m2: float | None = None
    status: Status = "unreviewed"
    kind: Kind = ""
    comment: str = ""
    reviewer: str = ""
    reviewed_at: str = ""
    stratum: str = ""
    superseded_by: str = ""

    @property
    def area_px(self) -> float:
        """Area in square pixels."""
        return float(self.geometry.area)

    @property
    def is_tile(self) -> bool:
        """Whether its geometry is a square of ground, and not the outline of anything."""
        return self.source in ("blank", "tile")

    @property
    def is_reviewed(self) -> bool:
        """Whether somebody has decided, if only that it is unsure."""
        return self.status != "unreviewed"

    def body(self) -> Json:
        """What the item is without what was decided about it: id, source, geometry (GeoJSON in
        pixel coordinates), probability (None for NaN), area_m2 and stratum."""
        return {
            "id": self.id,
            "source": self.source,
            "geometry": geometry_json(self.geometry),
            "probability": None if math.isnan(self.probability) else self.probability,
            "area_m2": self.area_m2,
            "stratum": self.stratum,
        }

    def decision(self) -> Json:
        """What was decided: status, kind and comment."""
        return {"status": self.status, "kind": self.kind, "comment": self.comment}

    def to_json(self) -> Json:
        """All of it; :meth:`from_json` reads it back."""
        decided = {"reviewer": self.reviewer, "reviewed_at": self.reviewed_at}
        return {**self.body(), **self.decision(), **decided}

    @classmethod
    def from_json(cls, values: Json) -> Item:
        """Reads what :meth:`to_json` or :meth:`body` gave.

        Raises:
            InputError: A value is missing or is not what it must be.
        """
        identity, source = values.get("id"), values.get("source")
        if not isinstance(identity, str) or not _ID.fullmatch(identity):
            raise InputError(f"{shown(identity)} is no id of an item")
        if source not in SOURCES:
            raise InputError(f"{shown(source)} is no source of an item")
        probability, area = values.get("probability"), values.get("area_m2")
        return cls(
            id=identity,
            source=source,
            geometry=outline_of_json(values.get("geometry")),
            probability=math.nan if probability is None else _number(probability, "probability", 1),
            area_m2=None if area is None else _number(area, "area_m2", 1e15),
            stratum=checked_text(values.get("stratum", ""), "stratum", LONGEST_NAME),
            reviewer=checked_text(values.get("reviewer", ""), "reviewer", LONGEST_NAME),
            reviewed_at=checked_text(values.get("reviewed_at", ""), "reviewed_at", LONGEST_NAME),
            **checked_decision({k: values[k] for k in DECIDED if k in values}),
        )


DECIDED = ("status", "kind", "comment")
"""What may be decided about an item."""


def checked_decision(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of :data:`DECIDED` that are given, checked; fit for ``dataclasses.replace``.

    Raises:
        InputError: Another key, an unknown status or kind, or a comment that is too long or holds
            control characters other than line breaks.
    """
    unknown = sorted(set(values) - set(DECIDED))
    if unknown:
        raise InputError(
            f"{shown(unknown[0])} cannot be decided", hint=f"one can decide: {', '.join(DECIDED)}"
        )
    for key, allowed in (("status", STATUSES), ("kind", KINDS)):
        if key in values and values[key] not in allowed:
            raise InputError(
                f"there is no {key} {shown(values[key])}",
                hint=f"it is one of: {', '.join(name or 'empty' for name in allowed)}",
            )
    if "comment" in values:
        checked_text(values["comment"], "comment", LONGEST_COMMENT)
    return dict(values)


def checked_text(value: object, what: str, longest: int) -> str:
    """The text, if it has at most so many characters and none that control a terminal or cannot be
    written as UTF-8.

    Raises:
        InputError: It has, or is no text.
    """
    if not isinstance(value, str):
        raise InputError(f"the {what} is {shown(value)}; it must be text")
    if len(value) > longest:
        raise InputError(
            f"the {what} has {len(value)} characters; at most {longest} are kept",
            hint="shorten it",
        )
    if any(unicodedata.category(sign) in ("Cc", "Cs") and sign != "\n" for sign in value):
        raise InputError(f"the {what} holds control characters", hint="type it without them")
    return value


def geometry_json(geometry: shapely.Geometry) -> Json:
    """A geometry as a GeoJSON object, in its own coordinates."""
    return dict(shapely.geometry.mapping(geometry))


def outline_of_json(value: object) -> Outline:
    """The outline that a GeoJSON object describes; its validity is not looked at.

    Raises:
        InputError: It is no Polygon or MultiPolygon of closed rings of finite numbers.
    """
    kind = value.get("type") if isinstance(value, dict) else None
    parts = value.get("coordinates") if isinstance(value, dict) else None
    if kind not in ("Polygon", "MultiPolygon") or not isinstance(parts, list | tuple):
        raise InputError("an outline must be a Polygon or a MultiPolygon in GeoJSON")
    if kind == "Polygon":
        return _polygon(parts)
    if not parts:
        raise InputError("an outline must have a part")
    return MultiPolygon([_polygon(part) for part in parts])


def _polygon(rings: object) -> Polygon:
    if not isinstance(rings, list | tuple) or not rings:
        raise InputError("a polygon must have an outer ring")
    closed = [_ring(ring) for ring in rings]
    return Polygon(closed[0], closed[1:])


def _ring(points: Any) -> npt.NDArray[np.float64]:
    try:
        ring = np.array(points, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("a ring must be a list of points [x, y]") from error
    if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 4:
        raise InputError("a ring must have three corners [x, y] and end at its first point")
    if not np.isfinite(ring).all() or np.abs(ring).max() > 1e9:
        raise InputError("a ring has a coordinate that is not finite, or far too large")
    if (ring[0] != ring[-1]).any():
        raise InputError("a ring must end at its first point")
    return ring


def _number(value: object, what: str, largest: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= largest:
        raise InputError(f"the {what} is {shown(value)}; it must lie in 0-{largest:g}")
    return float(value)
