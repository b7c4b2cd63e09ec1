"""A small catalogue: images side by side, taken under several lights, and their items."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hanet.imagery.ground import ground_of
from hanet.imagery.raster_source import RasterSource
from small_rasters import write

GEOTIFF = "image/tiff; application=geotiff; profile=cloud-optimized"

SIDE = 64
"""Pixels of an image, of half a metre."""

Scene = tuple[str, float, str, float, float, float, float]
"""Id, metres to the east, time, cloud in percent, off-nadir angle, height and direction of the
sun."""

SCENES: tuple[Scene, ...] = (
    ("before-west", 0, "2019-05-03T10:00:00Z", 3, 8, 61, 140),
    ("before-east", 24, "2019-05-04T10:00:00Z", 5, 9, 60, 141),
    ("before-cloudy", 0, "2019-06-01T10:00:00Z", 70, 2, 61, 140),
    ("after-west", 0, "2024-05-10T10:00:00Z", 1, 12, 63, 150),
    ("after-east", 24, "2024-12-10T10:00:00Z", 2, 10, 30, 160),
    ("after-far", 4000, "2024-05-10T10:00:00Z", 2, 10, 60, 160),
    ("old", 0, "2015-05-10T10:00:00Z", 2, 10, 60, 160),
)


def item(
    name: str,
    *,
    datetime: str | None = "2019-05-03T10:00:00Z",
    assets: dict[str, Any] | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """An item with one image beside it."""
    image = {"href": "./image.tif", "type": GEOTIFF, "roles": ["visual"]}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "aerial",
        "geometry": facts.pop("geometry", None),
        "bbox": facts.pop("bbox", None),
        "properties": {"datetime": datetime, **facts},
        "links": [],
        "assets": {"visual": image} if assets is None else assets,
    }


def write_catalogue(folder: Path, scenes: Sequence[Scene] = SCENES) -> list[dict[str, Any]]:
    """``catalog.json`` over a collection of items in folders of their own, and ``aoi.geojson`` over
    the two first of them; gives the items, whose hrefs are relative to each one's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    items, boxes = [], []
    for name, east, time, cloud, off_nadir, height, direction in scenes:
        place = folder / "items" / name
        place.mkdir(parents=True)
        pixels = np.full((3, SIDE, SIDE), 60, dtype=np.uint8)
        if time > "2020":  # a house of 8 x 8 m
            pixels[:, 24:40, 24:40] = 220
        write(place / "image.tif", pixels, left=620_000.0 + east)
        with RasterSource(place / "image.tif") as source:
            ground = ground_of(source.grid)
        assert ground is not None
        light = {
            "eo:cloud_cover": cloud,
            "view:off_nadir": off_nadir,
            "view:sun_elevation": height,
            "view:sun_azimuth": direction,
        }
        items.append(item(name, datetime=time, geometry=ground.geometry, bbox=ground.bbox, **light))
        (place / "item.json").write_text(json.dumps(items[-1]))
        boxes.append(ground.bbox)
    write_documents(folder, [scene[0] for scene in scenes])
    west, south, east_end, north = boxes[0][0], boxes[0][1], boxes[1][2], boxes[1][3]
    write_area(folder / "aoi.geojson", (west, south, east_end, north))
    return items


def write_documents(folder: Path, names: Sequence[str]) -> None:
    links = [{"rel": "item", "href": f"../items/{name}/item.json"} for name in names]
    collection = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": "aerial",
        "description": "images from the air",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[-98.0, 30.0, -97.0, 31.0]]},
            "temporal": {"interval": [["2015-01-01T00:00:00Z", None]]},
        },
        "links": links,
    }
    elsewhere = {
        **collection,
        "id": "elsewhere",
        "extent": {**collection["extent"], "spatial": {"bbox": [[5.0, 50.0, 6.0, 51.0]]}},
        "links": [{"rel": "item", "href": "./never.json"}],
    }
    catalog = {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "root",
        "description": "all",
        "links": [
            {"rel": "self", "href": "./catalog.json"},
            {"rel": "child", "href": "./aerial/collection.json"},
            {"rel": "child", "href": "./elsewhere/collection.json"},
        ],
    }
    for name, value in (
        ("catalog", catalog),
        ("aerial/collection", collection),
        ("elsewhere/collection", elsewhere),
    ):
        path = folder / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value))


def write_area(path: Path, box: tuple[float, float, float, float]) -> Path:
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "properties": {}, "geometry": geometry}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path
