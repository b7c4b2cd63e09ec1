"""A STAC item as an image: which of its assets is read, and what it says of the image."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hanet.documents import shown
from hanet.errors import SettingsError, StacError
from hanet.imagery.addresses import bare_name, without_credentials
from hanet.imagery.item_names import parse_item_name
from hanet.imagery.stac_documents import Document, Documents, is_address, resolved
from hanet.types import Json

IMAGES = re.compile(r"image/(tiff|vnd\.stac\.geotiff|jp2|x\.geotiff|png|jpeg)\b", re.IGNORECASE)
"""Media types of what can be an image of the ground."""

GEOTIFF = re.compile(r"image/(tiff|vnd\.stac\.geotiff|x\.geotiff)\b", re.IGNORECASE)
CLOUD_OPTIMISED = re.compile(r"profile=\"?cloud-optimized", re.IGNORECASE)

_IMAGE_FILE = re.compile(r"\.(tiff?|jp2|vrt|img)\Z", re.IGNORECASE)
"""Endings of images whose media type is not said."""

BESIDE = {"thumbnail", "overview", "metadata", "graphic", "iso-19115"}
"""Roles of what lies beside the image."""

MARKS = re.compile(
    r"mask|cloud(?!-optimi[sz]ed)|snow|saturation|quality|qa\b|label|shadow|angle|azimuth|zenith"
)
"""Roles of layers that say something about pixels."""

FIRST = ("visual", "image", "data", "analytic", "ortho", "cog")
"""Usual names of the asset that is the image, the likeliest first."""

LONGEST_ID = 300
"""Characters of an id that are kept."""

MOST_NAMED = 8
"""Assets that a message names."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of an item.

    Args:
        name: Its key.
        href: Path or address, resolved; it may hold a signature.
        media_type: As the item says; "" where it does not.
        roles: Of the item's words those that are text.
    """

    name: str
    href: str
    media_type: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class StacItem:
    """What an item says.

    Args:
        place: Path or address that its hrefs count from.
        id: Its id.
        collection: Its collection's id; None without one.
        start: First moment (UTC, ISO 8601) of the images in it.
        end: Last moment.
        cloud: Percent of it under clouds; None where it does not say. So are the next four.
        off_nadir: Degrees from the vertical.
        sun_elevation: Degrees over the horizon.
        sun_azimuth: Degrees from north.
        gsd_m: Metres a pixel.
        geometry: GeoJSON geometry in WGS84; None where there is none.
        bbox: (west, south, east, north) in degrees; None where there is none.
        assets: What it says of its files, by name.
    """

    place: str
    id: str
    collection: str | None
    start: str
    end: str
    cloud: float | None
    off_nadir: float | None
    sun_elevation: float | None
    sun_azimuth: float | None
    gsd_m: float | None
    geometry: Json | None
    bbox: tuple[float, float, float, float] | None
    assets: Json

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells it from all others: ids are unique within a collection; an item without one
        is known by where it lies too, and by its time where several lie in one file."""
        return self.collection or self.place, self.id, self.start

    @property
    def date(self) -> str | None:
        """The day, or of a longer time the month or the year that all of it lies in; None where it
        reaches from year to year."""
        for length in (10, 7, 4):
            if self.start[:length] == self.end[:length]:
                return self.start[:length]
        return None

    def facts(self) -> Json:
        """What a manifest keeps, without what opens an address."""
        return {
            "id": self.id,
            "collection": self.collection,
            "place": bare_name(self.place) if is_address(self.place) else Path(self.place).name,
            "datetime": self.start if self.start == self.end else f"{self.start}/{self.end}",
            "cloud_cover_percent": self.cloud,
            "off_nadir_degrees": self.off_nadir,
            "sun_elevation_degrees": self.sun_elevation,
            "sun_azimuth_degrees": self.sun_azimuth,
        }


@dataclass(frozen=True, slots=True)
class ItemImage:
    """An item and the asset of it that is read.

    Args:
        item: It.
        asset: The image.
    """

    item: StacItem
    asset: Asset

    def facts(self) -> Json:
        """What a manifest keeps."""
        return {**self.item.facts(), "asset": _text(self.asset.name)}


def read_item_image(name: str) -> ItemImage:
    """The item that a name of :mod:`hanet.imagery.item_names` leads to, and its image.

    Args:
        name: Path or address of the item; ``|asset=NAME`` after it chooses an asset.

    Raises:
        StacError: It cannot be read, is no item, or has no asset of this name, none that can be the
            image, or several.
        MissingExtraError: It is an address, and pystac-client is not installed.
    """
    place, wanted = parse_item_name(name)
    item = item_of(single(Documents().read(place)))
    return ItemImage(item, choose_asset(item, wanted))


def single(document: Document) -> Document:
    """The item of an answer that holds one; any other document is given back.

    Raises:
        StacError: The answer holds none, or several.
    """
    value, place = document
    if value.get("type") != "FeatureCollection":
        return document
    features = value.get("features")
    count = len(features) if isinstance(features, list) else 0
    if not isinstance(features, list) or count != 1 or not isinstance(features[0], dict):
        raise StacError(
            f"{bare_name(place)} holds {count} items; one is needed",
            hint="give the item's own file or address, or let hanet pairs choose",
        )
    return Document(features[0], own_place(features[0], place))


def own_place(value: Json, place: str) -> str:
    """Where an item in an answer lies by itself: its self link; the answer's place without one."""
    links = value.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "self":
            try:
                return resolved(link.get("href"), place)
            except StacError:
                return place
    return place


def item_of(document: Document) -> StacItem:
    """The item that a document is.

    Raises:
        StacError: It is not an item, or does not say when it was taken.
    """
    value, place = document
    name = bare_name(place)
    kind = value.get("type")
    if kind != "Feature" or not isinstance(value.get("assets"), dict):
        is_several = kind in ("Catalog", "Collection")
        raise StacError(
            f"{name} is no STAC item" + (f", but a {str(kind).lower()} of items" * is_several),
            hint="hanet pairs CATALOG chooses two of its items"
            if is_several
            else "an item is a GeoJSON Feature with assets",
        )
    properties = value.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    start, end = _times(properties, name)
    collection = value.get("collection")
    return StacItem(
        place=place,
        id=_text(value.get("id")) or "without id",
        collection=_text(collection) if isinstance(collection, str) else None,
        start=start,
        end=end,
        cloud=_number(properties.get("eo:cloud_cover"), 0, 100),
        off_nadir=_off_nadir(properties),
        sun_elevation=_number(properties.get("view:sun_elevation"), -90, 90),
        sun_azimuth=_number(properties.get("view:sun_azimuth"), 0, 360),
        gsd_m=_number(properties.get("gsd"), 1e-6, 1e6),
        geometry=value["geometry"] if isinstance(value.get("geometry"), dict) else None,
        bbox=_bbox(value.get("bbox")),
        assets=value["assets"],
    )


def choose_asset(item: StacItem, wanted: str | None = None) -> Asset:
    """The asset that is the image.

    Without a name: of the assets that are GeoTIFF (or JPEG 2000, PNG, JPEG) by their media type,
    and neither thumbnails nor masks, those with the role ``visual``, else those with ``data``, else
    the others; of several the cloud-optimised, then the one with a usual name.

    Args:
        item: The item.
        wanted: Its name; chosen if None.

    Raises:
        StacError: There is none of this name, none that can be the image, several that are as good,
            or its address cannot be used.
        SettingsError: The name is empty.
    """
    if wanted is not None:
        if not wanted.strip():
            raise SettingsError("the name of the asset is empty", hint="--asset visual")
        if wanted not in item.assets:
            raise StacError(
                f"the item {item.id} has no asset {wanted!r}",
                hint=f"its assets are: {_named(list(item.assets)) or 'none'}",
            )
        return _asset(item, wanted)
    best = _likeliest(item)
    if not best:
        raise StacError(
            f"the item {item.id} has no asset that is an image by its media type",
            hint=f"name one with --asset; its assets are: {_named(list(item.assets)) or 'none'}",
        )
    if len(best) > 1:
        raise StacError(
            f"several assets of the item {item.id} can be the image: {_named(best)}",
            hint=f"name one, for example --asset {best[0]}",
        )
    return _asset(item, best[0])


def _likeliest(item: StacItem) -> list[str]:
    """Names of the assets that are the image, for all that the item says."""
    # a name goes into messages, lists and manifests: one that cannot stand there must be asked for
    images = [
        name for name in item.assets if name == _text(name) and _can_be_image(item.assets[name])
    ]
    ranks = [
        [name for name in images if "visual" in _roles(item.assets[name])],
        [name for name in images if "data" in _roles(item.assets[name])],
        images,
    ]
    best = next((rank for rank in ranks if rank), [])
    for is_better in (_is_geotiff, _is_cloud_optimised):
        best = [name for name in best if is_better(item.assets[name])] or best
    usual = [name for name in FIRST if name in best]
    return usual[:1] or best


def _can_be_image(asset: object) -> bool:
    if not isinstance(asset, dict):
        return False
    roles = _roles(asset)
    if roles & BESIDE or any(MARKS.search(role) for role in roles):
        return False
    if kind := _media_type(asset):
        return IMAGES.match(kind) is not None
    href = asset.get("href")
    return isinstance(href, str) and _IMAGE_FILE.search(re.split(r"[?#]", href)[0]) is not None


def _is_geotiff(asset: Json) -> bool:
    return not _media_type(asset) or GEOTIFF.match(_media_type(asset)) is not None


def _is_cloud_optimised(asset: Json) -> bool:
    return CLOUD_OPTIMISED.search(_media_type(asset)) is not None


def _asset(item: StacItem, name: str) -> Asset:
    facts = item.assets[name]
    facts = facts if isinstance(facts, dict) else {}
    try:
        href = resolved(facts.get("href"), item.place)
    except StacError as error:
        raise StacError(
            f"the asset {_text(name)} of the item {item.id} cannot be read: {error.message}",
            hint="hanet reads images at http(s), s3, gs and az addresses; a server's item names no "
            "local file",
        ) from error
    return Asset(name, href, _media_type(facts), frozenset(_roles(facts)))


def _roles(asset: Json) -> set[str]:
    roles = asset.get("roles")
    listed = roles if isinstance(roles, list) else []
    return {role.lower() for role in listed if isinstance(role, str)}


def _media_type(asset: Json) -> str:
    kind = asset.get("type")
    return kind.strip() if isinstance(kind, str) else ""


def _times(properties: Json, name: str) -> tuple[str, str]:
    """First and last moment."""
    moment = _moment(properties.get("datetime"))
    if moment is not None:
        return moment, moment
    start = _moment(properties.get("start_datetime"))
    end = _moment(properties.get("end_datetime"))
    if start is None or end is None or end < start:
        raise StacError(
            f"{name} does not say when its image was taken: datetime is "
            f"{shown(properties.get('datetime'), length=40)}",
            hint="an item needs datetime, or start_datetime and end_datetime",
        )
    return start, end


def _moment(value: object) -> str | None:
    """A time of RFC 3339 in UTC, to the second; None for what is none."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        found = datetime.fromisoformat(value.strip().upper())
        in_utc = found.astimezone(UTC) if found.tzinfo is not None else found
    except (ValueError, OverflowError):
        return None
    return in_utc.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def _off_nadir(properties: Json) -> float | None:
    found = _number(properties.get("view:off_nadir"), 0, 90)
    return found if found is not None else _number(properties.get("view:incidence_angle"), 0, 90)


def _number(value: Any, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and low <= value <= high else None


def _bbox(value: object) -> tuple[float, float, float, float] | None:
    """West, south, east, north; of a box with heights without them."""
    if not isinstance(value, list) or len(value) not in (4, 6):
        return None
    numbers = [_number(part, -1e6, 1e6) for part in value]
    half = len(numbers) // 2
    (west, south), (east, north) = numbers[:2], numbers[half : half + 2]
    if west is None or south is None or east is None or north is None or south > north:
        return None
    return west, south, east, north


def _text(value: object) -> str:
    """Text of a document, fit for messages and files."""
    text = "".join(sign if sign.isprintable() else " " for sign in str(value or ""))
    return without_credentials(" ".join(text.split()))[:LONGEST_ID]


def _named(names: list[str]) -> str:
    listed = ", ".join(_text(name)[:60] for name in names[:MOST_NAMED])
    return f"{listed} ..." if len(names) > MOST_NAMED else listed
