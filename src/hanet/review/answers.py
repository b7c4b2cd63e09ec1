"""What the page may ask, and what it is told: a table of routes over a review and its tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeAlias

import numpy as np
import shapely
from shapely import LineString

from hanet.detection.run_folder import BUILT
from hanet.documents import shown
from hanet.errors import GridError
from hanet.imagery.grid import crs_name, to_wgs84
from hanet.review.inputs import Input, part_of
from hanet.review.items import KINDS, STATUSES, Item, geometry_json, outline_of_json
from hanet.review.review import Change, Review
from hanet.review.tiles import LAYERS, Tiles
from hanet.review.web import Answer, Question, RefusedError, json_answer, refuse
from hanet.review.weights_kinds import weights_kinds
from hanet.review.work import Work
from hanet.types import Json, Progress
from hanet.version import __version__

MOST_IDS = 100_000
"""Items that may be decided at once."""

MOST_SHAPES = 5000
"""Outlines that are told at once, where nobody asks for fewer."""

LONGEST_LINE = 10_000
"""Corners of a line that cuts an outline."""

LONGEST_TEXT = 1000
"""Characters of a name or a licence that are told."""

TILES_STAY = "private, max-age=86400, immutable"
"""Tiles do not change while a server runs, and another one has another token in its addresses."""

Route: TypeAlias = Callable[[Question], Answer]


class Desk:
    """Answers the page's questions; closed by ``with``. Any number of threads may ask.

    Args:
        review: What is decided.
        tiles: What is shown.
        inputs: The images of both dates.
        warnings: What the person was warned of.
    """

    def __init__(
        self,
        review: Review,
        tiles: Tiles,
        *,
        inputs: tuple[Input, Input],
        warnings: Sequence[str] = (),
    ) -> None:
        self._review, self._tiles, self._inputs = review, tiles, inputs
        self._warnings, self._work = tuple(warnings), Work()
        self._routes: dict[tuple[str, str], Route] = {
            ("GET", "review"): self._facts,
            ("GET", "items"): self._items,
            ("GET", "shapes"): self._shapes,
            ("GET", "where"): self._where,
            ("GET", "kind"): self._kind,
            ("GET", "since"): self._since,
            ("GET", "work"): lambda _: json_answer(self._work.to_json()),
            ("GET", "estimates"): self._estimates,
            ("POST", "decide"): self._decide,
            ("POST", "draw"): self._draw,
            ("POST", "reshape"): self._reshape,
            ("POST", "split"): self._split,
            ("POST", "merge"): self._merge,
            ("POST", "undo"): lambda _: self._changed(self._review.undo()),
            ("POST", "redo"): lambda _: self._changed(self._review.redo()),
            ("POST", "remake"): self._remake,
            ("POST", "sample"): self._sample,
        }

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *exception: object) -> None:
        self._work.close()

    def answer(self, question: Question) -> Answer:
        """The answer to a question.

        Raises:
            HanetError: What was asked cannot be done; nothing has changed then.
        """
        path, method = question.path, question.method
        if path[:1] == ("tiles",) and method == "GET":
            return self._tile(question)
        if len(path) == 2 and path[0] == "api":
            route = self._routes.get((method, path[1]))
            if route is not None:
                return route(question)
            other = "GET" if method == "POST" else "POST"
            if (other, path[1]) in self._routes:
                refuse(HTTPStatus.METHOD_NOT_ALLOWED, f"/api/{path[1]} is asked by {other}")
        raise RefusedError(HTTPStatus.NOT_FOUND, "there is nothing at this address")

    # -- what there is

    def _facts(self, _: Question) -> Answer:
        review, manifest, display = self._review, self._review.manifest, self._tiles.display
        grid, settings = review.grid, review.settings
        weights = part_of(manifest, "weights")
        facts: Json = {
            "title": review.out.resolve().name,
            "reviewer": review.reviewer,
            "version": __version__,
            "grid": {
                "width": grid.width,
                "height": grid.height,
                "stretch": list(display.stretch),
                "metres_per_px": display.gsd_m,
                "crs": crs_name(grid.crs) if grid.crs is not None else None,
                "transform": list(grid.transform),
                "units": "m2" if grid.has_metres else "px",
            },
            "display": display.to_json(),
            "dates": {
                image.date: {
                    "name": image.name,
                    "date": getattr(settings, f"{image.date}_date")
                    or _text(part_of(manifest, "pair", image.date).get("date")),
                }
                for image in self._inputs
            },
            "weights": {
                "name": _text(weights.get("name")),
                "terms": _text(weights.get("licence")),
            },
            "threshold": review.threshold,
            "min_area_m2": settings.min_area_m2,
            "settings": settings.to_json(),
            "statuses": list(STATUSES),
            "kinds": list(KINDS),
            "tells_kinds": (review.out / BUILT).exists(),
            "warnings": list(self._warnings),
            "conflicts": [conflict.to_json() for conflict in review.conflicts],
        }
        return json_answer({**facts, **self._standing()})

    def _standing(self) -> Json:
        """Where the review stands."""
        review = self._review
        return {
            "last": review.last,
            "generation": review.generation,
            "progress": review.progress(),
            "can_undo": review.can_undo,
            "can_redo": review.can_redo,
        }

    def _items(self, question: Question) -> Answer:
        queue, order = question.query.get("queue", "found"), question.query.get("order", "doubt")
        seed = question.whole("seed", default=0)
        # an unknown queue or order is refused by the review, in its words
        items = self._review.items(queue, order=order, seed=seed)  # type: ignore[arg-type]
        return json_answer({"items": self._rows(items)})

    def _rows(self, items: Sequence[Item]) -> list[Json]:
        boxes = shapely.bounds(np.array([item.geometry for item in items], dtype=object))
        threshold = self._review.doubt
        return [
            {
                "id": item.id,
                "source": item.source,
                "status": item.status,
                "kind": item.kind,
                "comment": item.comment,
                "probability": None if math.isnan(item.probability) else round(item.probability, 4),
                "doubt": round(threshold(item), 4),
                "area_m2": round(item.area_px if item.area_m2 is None else item.area_m2, 2),
                "box": box,
                "stratum": item.stratum,
                "reason": self._review.reason(item.id),
            }
            for item, box in zip(items, np.round(boxes, 2).reshape(-1, 4).tolist(), strict=True)
        ]

    def _shapes(self, question: Question) -> Answer:
        parts = question.query.get("box", "").split(",")
        box = [_real(part) for part in parts]
        if len(box) != 4 or None in box:
            refuse(HTTPStatus.BAD_REQUEST, "box must be x0,y0,x1,y1 in pixels")
        left, top, right, bottom = (value or 0.0 for value in box)
        limit = min(MOST_SHAPES, max(0, question.whole("limit", default=MOST_SHAPES)))
        items = self._review.shapes((left, top, right, bottom), limit=limit)
        features = [{"id": item.id, "geometry": geometry_json(item.geometry)} for item in items]
        return json_answer({"features": features})

    def _where(self, question: Question) -> Answer:
        grid = self._review.grid
        x, y = question.number("x"), question.number("y")
        nowhere = dict.fromkeys(("lon", "lat", "x_crs", "y_crs"))
        if grid.crs is None:
            return json_answer(nowhere)
        x_crs, y_crs = grid.affine @ (x, y)
        try:
            longitudes, latitudes = to_wgs84(grid.crs, [x_crs], [y_crs])
        except GridError:  # far outside, where the CRS ends
            return json_answer(nowhere)
        place = {"lon": longitudes[0], "lat": latitudes[0], "x_crs": x_crs, "y_crs": y_crs}
        is_somewhere = all(math.isfinite(value) for value in place.values())
        return json_answer(place if is_somewhere else nowhere)

    def _kind(self, question: Question) -> Answer:
        """The kind that an item gets if it is accepted without one."""
        item = self._review.item(question.query.get("id", ""))
        return json_answer({"kind": weights_kinds(self._review.out, [item])[0]})

    def _tile(self, question: Question) -> Answer:
        _, *place = question.path
        if len(place) != 4 or place[0] not in LAYERS or not all(map(_is_count, place[1:])):
            refuse(
                HTTPStatus.NOT_FOUND,
                "there is no such tile",
                hint=f"/tiles/{'|'.join(LAYERS)}/z/x/y",
            )
        z, x, y = (int(part) for part in place[1:])
        layer = next(name for name in LAYERS if name == place[0])
        tile = self._tiles.tile(layer, z, x, y)
        if tile is None:
            return Answer(status=HTTPStatus.NO_CONTENT, caching=TILES_STAY)
        return Answer(tile.content, tile.media_type, caching=TILES_STAY)

    # -- what is decided

    def _changed(self, change: Change) -> Answer:
        """What the page must show anew, told after the disk has it."""
        rows = self._rows(change.changed)
        for row, item in zip(rows, change.changed, strict=True):
            row["geometry"] = geometry_json(item.geometry)
        return json_answer(
            {
                **self._standing(),
                "last": change.last,
                "generation": change.generation,
                "whole": change.is_whole,
                "changed": rows,
                "removed": list(change.removed),
            }
        )

    def _since(self, question: Question) -> Answer:
        return self._changed(self._review.since(question.whole("n")))

    def _decide(self, question: Question) -> Answer:
        decided = _object(question.body, "set")
        return self._changed(self._review.decide(_ids(question.body), decided))

    def _draw(self, question: Question) -> Answer:
        outline = outline_of_json(question.body.get("geometry"))
        decided = _object(question.body, "set") if "set" in question.body else {}
        return self._changed(self._review.draw(outline, decided))

    def _reshape(self, question: Question) -> Answer:
        outline = outline_of_json(question.body.get("geometry"))
        return self._changed(self._review.reshape(_id(question.body), outline))

    def _split(self, question: Question) -> Answer:
        line = _line(question.body.get("line"))
        return self._changed(self._review.split(_id(question.body), line))

    def _merge(self, question: Question) -> Answer:
        return self._changed(self._review.merge(_ids(question.body)))

    def _sample(self, question: Question) -> Answer:
        count, seed = (_whole(question.body, name) for name in ("count", "seed"))
        return self._changed(self._review.make_sample(count, seed=seed))

    def _remake(self, question: Question) -> Answer:
        settings = replace(
            self._review.settings,
            threshold=_value(question.body, "threshold"),
            min_area_m2=_value(question.body, "min_area_m2"),
        )

        def do(progress: Progress) -> Json:
            self._review.remake(settings, progress)
            return {"conflicts": [conflict.to_json() for conflict in self._review.conflicts]}

        if not self._work.start("making footprints again", do):
            refuse(
                HTTPStatus.CONFLICT, "the footprints are being remade already", hint="wait for it"
            )
        return json_answer(self._work.to_json(), status=HTTPStatus.ACCEPTED)

    def _estimates(self, _: Question) -> Answer:
        return json_answer(self._review.estimates())


def _text(value: object) -> str | None:
    """A text of ``run.json``, which somebody may have changed."""
    return value[:LONGEST_TEXT] if isinstance(value, str) else None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _real(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e12 else None


def _id(body: Json) -> str:
    value = body.get("id")
    if not isinstance(value, str):
        refuse(HTTPStatus.BAD_REQUEST, f"id must be text, not {shown(value)}")
    return value


def _ids(body: Json) -> list[str]:
    value = body.get("ids")
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        refuse(HTTPStatus.BAD_REQUEST, "ids must be a list of ids")
    if len(value) > MOST_IDS:
        refuse(HTTPStatus.BAD_REQUEST, f"at most {MOST_IDS} items can be decided at once")
    return value


def _object(body: Json, name: str) -> Json:
    value = body.get(name)
    if not isinstance(value, dict):
        refuse(HTTPStatus.BAD_REQUEST, f"{name} must be an object, not {shown(value)}")
    return value


def _value(body: Json, name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(HTTPStatus.BAD_REQUEST, f"{name} must be a number, not {shown(value)}")
    return float(value)


def _whole(body: Json, name: str) -> int:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(HTTPStatus.BAD_REQUEST, f"{name} must be a whole number, not {shown(value)}")
    return value


def _line(value: Any) -> LineString:
    points = value.get("coordinates") if isinstance(value, dict) else None
    kind = value.get("type") if isinstance(value, dict) else None
    if kind != "LineString" or not isinstance(points, list) or not 2 <= len(points) <= LONGEST_LINE:
        refuse(HTTPStatus.BAD_REQUEST, "line must be a LineString in GeoJSON")
    try:
        corners = np.array(points, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        corners = np.full((1, 1), np.nan)
    if corners.ndim != 2 or corners.shape[1] != 2 or not (np.abs(corners) < 1e9).all():
        refuse(HTTPStatus.BAD_REQUEST, "a line must be a list of points [x, y]")
    return LineString(corners)
