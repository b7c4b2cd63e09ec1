"""The items of a catalogue: a static one is walked, an API is asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hanet.errors import StacError
from hanet.imagery.addresses import bare_name
from hanet.imagery.stac_documents import Document, Documents, resolved
from hanet.imagery.stac_item import StacItem, item_of, own_place
from hanet.stac.periods import Period
from hanet.types import Json

MOST_DOCUMENTS = 20_000
"""Documents of a static catalogue that are read; at ten a second half an hour."""

MOST_ITEMS = 5_000
"""Items of an API for one period."""

_DOWN = ("child", "item", "items", "next")
"""Relations of links that lead on."""


class Unusable(NamedTuple):
    """A part of a catalogue that says nothing.

    Args:
        place: Where it lies, fit to be shown.
        why: What is wrong.
    """

    place: str
    why: str


class Entry(NamedTuple):
    """An item of a catalogue.

    Args:
        item: It.
        has_own_place: Whether it can be read by itself, at ``item.place``; False of one that stands
            in a file with others.
    """

    item: StacItem
    has_own_place: bool


def entries_of(
    catalogue: str,
    *,
    area: Json,
    bounds: tuple[float, float, float, float],
    periods: Sequence[Period],
    collections: Sequence[str] | None = None,
) -> Iterator[Entry | Unusable]:
    """Items of a catalogue, each once. An API gives those that touch the area in the periods alone;
    of a static catalogue collections are passed over whose extent says that they do not.

    Args:
        catalogue: Path or address of a catalogue, a collection, an API's landing page, or a file of
            items.
        area: GeoJSON geometry in WGS84.
        bounds: West, south, east and north of it.
        periods: Times in which images are looked for.
        collections: Ids of collections; all if None.

    Raises:
        StacError: The catalogue cannot be read, or is none, or has too many parts.
        MissingExtraError: It is an address, and pystac-client is not installed.
    """
    seen: set[tuple[str, str, str]] = set()
    for entry in _Walk(area, bounds, periods, collections).over(catalogue):
        if isinstance(entry, Unusable):
            yield entry
        elif (key := entry.item.identity) not in seen:
            seen.add(key)
            yield entry


class _Walk:
    """One way through a catalogue."""

    def __init__(
        self,
        area: Json,
        bounds: tuple[float, float, float, float],
        periods: Sequence[Period],
        collections: Sequence[str] | None,
    ) -> None:
        self._area, self._bounds, self._periods = area, bounds, periods
        self._collections = collections
        self._documents = Documents()

    def over(self, catalogue: str) -> Iterator[Entry | Unusable]:
        waiting, known = deque([catalogue]), {catalogue}
        for number in range(MOST_DOCUMENTS):
            if not waiting:
                return
            place = waiting.popleft()
            try:
                document = self._documents.read(place)
            except StacError as error:
                if number == 0:
                    raise
                yield Unusable(bare_name(place), error.message)
                continue
            if number == 0:
                _check_catalogue(document)
            if (api := _api_of(document)) is not None:
                yield from self._asked(*api)
                continue
            yield from self._items_in(document)
            for link in self._onward(document):
                if isinstance(link, Unusable):
                    yield link
                elif link not in known:
                    known.add(link)
                    waiting.append(link)
        if waiting:
            raise StacError(
                f"{bare_name(catalogue)} has more than {MOST_DOCUMENTS} documents",
                hint="give a catalogue or collection within it, or the API that serves it",
            )

    def _asked(self, root: str, own: str | None) -> Iterator[Entry | Unusable]:
        names = [own] if own is not None else self._collections
        for period in self._periods:
            found = self._documents.server.search(
                root,
                collections=list(names) if names else None,
                intersects=self._area,
                datetime=period.interval,
                most=MOST_ITEMS,
            )
            for value in found:
                yield from self._entry(value, root)

    def _items_in(self, document: Document) -> Iterator[Entry | Unusable]:
        value, place = document
        if value.get("type") == "Feature":
            try:
                item = item_of(document)
            except StacError as error:
                yield Unusable(bare_name(place), error.message)
            else:
                if self._is_wanted(item):
                    yield Entry(item, True)
        for feature in _objects(value.get("features")):
            yield from self._entry(feature, place)

    def _entry(self, value: Json, place: str) -> Iterator[Entry | Unusable]:
        """An item in an answer."""
        own = own_place(value, place)
        try:
            item = item_of(Document(value, own))
        except StacError as error:
            yield Unusable(bare_name(own), error.message)
            return
        if self._is_wanted(item):
            yield Entry(item, own != place)

    def _is_wanted(self, item: StacItem) -> bool:
        return not self._collections or item.collection in self._collections

    def _onward(self, document: Document) -> Iterator[str | Unusable]:
        value, place = document
        if value.get("type") == "Collection" and not self._may_hold(value):
            return
        for link in _objects(value.get("links")):
            if link.get("rel") not in _DOWN:
                continue
            if str(link.get("method", "GET")).upper() != "GET":
                # asked without its body the API would give everything that it has
                why = (
                    "its next page can be requested by POST only: give the API itself, or the "
                    "whole answer"
                )
                yield Unusable(bare_name(place), why)
                continue
            try:
                yield resolved(link.get("href"), place)
            except StacError as error:
                yield Unusable(
                    bare_name(place), f"one of its links cannot be followed: {error.message}"
                )

    def _may_hold(self, collection: Json) -> bool:
        """Whether a collection's extent and id leave room for what is looked for."""
        own = collection.get("id")
        if self._collections and isinstance(own, str) and own not in self._collections:
            # collections within it may have the name
            return any(link.get("rel") == "child" for link in _objects(collection.get("links")))
        extent = collection.get("extent")
        extent = extent if isinstance(extent, dict) else {}
        box = _first(extent.get("spatial"), "bbox")
        sides = [float(part) for part in box if isinstance(part, int | float)]
        if len(sides) == len(box) and len(box) in (4, 6):
            half = len(box) // 2
            west, south, east, north = sides[0], sides[1], sides[half], sides[half + 1]
            left, bottom, right, top = self._bounds
            is_apart = west <= east and (east < left or right < west)
            if is_apart or north < bottom or top < south:
                return False
        span = _first(extent.get("temporal"), "interval")
        if len(span) == 2:
            start, end = (part if isinstance(part, str) else None for part in span)
            start, end = start or "", end or "9999"
            return any(p.start[:10] <= end[:10] and start[:10] <= p.end[:10] for p in self._periods)
        return True


def _check_catalogue(document: Document) -> None:
    kind = document.value.get("type")
    if kind in ("Catalog", "Collection", "FeatureCollection"):
        return
    what = "a single item" if kind == "Feature" else "no STAC catalogue"
    raise StacError(
        f"{bare_name(document.place)} is {what}",
        hint="give a catalogue, a collection, an API's landing page, or a file of items",
    )


def _api_of(document: Document) -> tuple[str, str | None] | None:
    """Landing page of the API that a document is of, and the collection that it is; None of a
    static one."""
    value, place = document
    links = _objects(value.get("links"))
    relations = {str(link.get("rel")): link for link in reversed(links)}
    if "search" in relations:
        return place, None
    if value.get("type") != "Collection" or "items" not in relations or "root" not in relations:
        return None
    try:
        root = resolved(relations["root"].get("href"), place)
    except StacError:
        return None
    own = value.get("id")
    return (root, own) if isinstance(own, str) and root.startswith("http") else None


def _objects(value: object) -> list[Json]:
    listed = value if isinstance(value, list) else []
    return [part for part in listed if isinstance(part, dict)]


def _first(value: object, key: str) -> list[object]:
    """The first entry of a list of lists."""
    listed = value.get(key) if isinstance(value, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    return first if isinstance(first, list) else []
