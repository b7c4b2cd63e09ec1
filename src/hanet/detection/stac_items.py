"""``stac-item.json`` and ``stac-model.json``: a result and the weights that made it, as items of
STAC 1.1 that catalogues take.

Both are made of ``run.json``; no library is needed. They carry no time of writing, so that the same
inputs give the same bytes. Nothing in them opens an address, and no path from the root is told.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from calendar import monthrange
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from rasterio.crs import CRS

from hanet.detection.run_folder import BUILT, FOOTPRINT_FILES, ITEM, MODEL
from hanet.imagery.addresses import bare_name, is_gdal_name
from hanet.imagery.grid import Grid
from hanet.imagery.ground import ground_of
from hanet.imagery.item_names import is_item_name, parse_item_name
from hanet.types import Json

VERSION = "1.1.0"
"""Of STAC."""

_EXTENSIONS = "https://stac-extensions.github.io/{}/schema.json"

PROCESSING = _EXTENSIONS.format("processing/v1.1.0")
PROJECTION = _EXTENSIONS.format("projection/v2.0.0")
MLM = _EXTENSIONS.format("mlm/v1.5.0")
"""Extensions of the items, by their schemas."""

GEOTIFF = "image/tiff; application=geotiff; profile=cloud-optimized"
GEOJSON = "application/geo+json"

FORMATS = {
    ".gpkg": "application/geopackage+sqlite3",
    ".geojson": GEOJSON,
    ".fgb": "application/vnd.flatgeobuf",
    ".parquet": "application/vnd.apache.parquet",
}
"""Media types of footprints."""

ALWAYS = ("1900-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
"""The time of a model that has none, as the examples of the MLM extension give it."""


def stac_items(manifest: Json, files: Collection[str], folder: Path) -> dict[str, Json]:
    """Both items of a run, by the names of their files.

    Args:
        manifest: What ``run.json`` holds.
        files: Names of the files that the folder holds beside ``run.json``.
        folder: Of the run.

    Raises:
        LookupError: The manifest lacks a part; or
        TypeError: it holds another value in its place; or
        ValueError: the same.
        GridError: Its CRS is not tied to the earth.
    """
    return {ITEM: _item(manifest, files, folder), MODEL: _model(manifest["weights"])}


def item_text(item: Json) -> str:
    """An item as its file holds it."""
    return json.dumps(item, indent=2, allow_nan=False) + "\n"


def _item(manifest: Json, files: Collection[str], folder: Path) -> Json:
    grid = Grid.from_json(manifest["pair"]["grid"])
    ground, found = ground_of(grid), manifest["footprints"]
    weights, software = manifest["weights"], manifest["hanet"]
    names = [_image_id(manifest["pair"][date]) for date in ("before", "after")]
    properties: Json = {
        "title": f"Changed buildings between {names[0]} and {names[1]}",
        "description": "Probability of change of buildings between two images, found by "
        f"{weights['name']}: {found['count']} footprints at a probability of at least "
        f"{found['threshold']:g}.",
        **_times(manifest),
        "processing:level": "L4",
        "processing:lineage": f"hanet detect: {names[0]} and {names[1]} on one grid, probability "
        f"by {weights['name']}, mask and footprints from {found['threshold']:g} on",
        "processing:software": {"hanet": str(software)},
        "hanet:threshold": found["threshold"],
        "hanet:footprints": found["count"],
        f"hanet:changed_area_{found['unit']}": found["area"],
        **_projection(grid),
    }
    if grid.gsd_m is not None:
        properties["gsd"] = round(grid.gsd_m, 4)
    properties |= _conditions(manifest["pair"])
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": [PROCESSING, PROJECTION],
        "id": f"{_id(f'hanet-{names[0]}-{names[1]}')}-{_mark(manifest['identity'])}",
        "geometry": None if ground is None else ground.geometry,
        **({} if ground is None else {"bbox": ground.bbox}),
        "properties": properties,
        "links": [*_origins(manifest, folder), _link_to_model(weights)],
        "assets": _assets(manifest, files),
    }


def _times(manifest: Json) -> Json:
    """From the first date to the second; of dates that nobody knows the time of the run."""
    dates = manifest["footprints"]
    before, after = dates.get("before_date"), dates.get("after_date")
    if before is None and after is None:
        return {"datetime": _zulu(manifest["started"])}
    pair = manifest["pair"]
    start = None if before is None else _stated(pair["before"], before, is_end=False)
    end = None if after is None else _stated(pair["after"], after, is_end=True)
    if start is None or end is None or end < start:
        return {"datetime": start or _stated(pair["after"], after, is_end=False)}
    return {"datetime": None, "start_datetime": start, "end_datetime": end}


def _stated(facts: Json, date: str, *, is_end: bool) -> str:
    """The moment that the item of an image states, if that is the date that counts; else the first
    or last second of the date."""
    times = facts.get("stac", {}).get("datetime", "").split("/")
    if times[0].startswith(date):
        return _zulu(times[-1 if is_end else 0])
    return _moment(date, is_end=is_end)


def _zulu(moment: str) -> str:
    """A time of ``run.json``, which is in UTC, as STAC spells it."""
    found = re.match(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", moment)
    if found is None:
        raise ValueError(f"{moment!r} is no time")
    return f"{found[0]}Z"


def _moment(date: str, *, is_end: bool) -> str:
    """First or last second of a day, a month or a year."""
    year, month, day = [*date.split("-"), None, None][:3]
    if not is_end:
        return f"{year}-{month or '01'}-{day or '01'}T00:00:00Z"
    month = month or "12"
    if day is None:
        day = f"{monthrange(int(year or 0), int(month))[1]:02d}"
    return f"{year}-{month}-{day}T23:59:59Z"


def _conditions(pair: Json) -> Json:
    """What the items of both dates say of clouds."""
    cloud = {
        date: facts["cloud_cover_percent"]
        for date in ("before", "after")
        if (facts := pair[date].get("stac")) and facts.get("cloud_cover_percent") is not None
    }
    return {f"hanet:{date}_cloud_cover": share for date, share in cloud.items()}


def _projection(grid: Grid) -> Json:
    if grid.crs is None:
        return {"proj:code": None, "proj:shape": [grid.height, grid.width]}
    code = CRS.from_string(grid.crs).to_epsg()
    return {
        "proj:code": f"EPSG:{code}" if code else None,
        **({} if code else {"proj:wkt2": grid.crs}),
        "proj:shape": [grid.height, grid.width],
        "proj:transform": list(grid.transform),
        "proj:bbox": list(grid.bounds),
    }


def _assets(manifest: Json, files: Collection[str]) -> Json:
    byte = {"data_type": "uint8", "nodata": 255}
    known: Json = {
        "probability": {
            "href": "./probability.tif",
            "title": "Probability of change",
            "description": "value times 0.004",
            "type": GEOTIFF,
            "roles": ["data"],
            **byte,
        },
        "mask": {
            "href": "./mask.tif",
            "title": "Mask of change: 1 change, 0 none",
            "type": GEOTIFF,
            "roles": ["data", "mask"],
            **byte,
        },
        "built": {
            "href": f"./{BUILT}",
            "title": "Probability that a change is a new building",
            "description": "value times 0.004",
            "type": GEOTIFF,
            "roles": ["data"],
            **byte,
        },
        **{
            "footprints" if number == 0 else f"footprints-{PurePosixPath(name).suffix[1:]}": {
                "href": f"./{name}",
                "title": "Footprints of change",
                "type": FORMATS[PurePosixPath(name).suffix],
                "roles": ["data"],
            }
            for number, name in enumerate(manifest["footprints"]["files"])
            if name in FOOTPRINT_FILES
        },
        "report": {
            "href": "./report.html",
            "title": "Report",
            "type": "text/html",
            "roles": ["overview"],
        },
        "run": {
            "href": "./run.json",
            "title": "What was run, and how",
            "type": "application/json",
            "roles": ["metadata"],
        },
    }
    there = {*files, "run.json"}
    return {name: asset for name, asset in known.items() if asset["href"][2:] in there}


def _origins(manifest: Json, folder: Path) -> list[Json]:
    """Links to what both dates came from: their items where there are some, else their files.
    What lay in memory has none."""
    deepest = len(folder.resolve().parts) - 1
    links = []
    for date in ("before", "after"):
        # runs of version 0.2 keep no places
        facts, place = manifest["pair"][date], manifest.get("inputs", {}).get(date)
        if place is not None and parse_item_name(place).place.startswith("../" * deepest):
            # with it in common is the root alone: the path would tell of the whole machine
            href, kind = _by_hash(manifest["identity"][date]), None
        else:
            href, kind = _origin(facts, place)
        if href is not None:
            title = f"{date}: {_image_id(facts)}"
            typed = {} if kind is None else {"type": kind}
            links.append({"rel": "derived_from", "href": href, **typed, "title": title})
    return links


def _by_hash(identity: Json) -> str | None:
    """A file by its content (RFC 6920); None where only parts of it were hashed."""
    digest = identity.get("sha256")
    return None if digest is None else f"ni:///sha-256;{_base64(digest)}"


def _base64(digest: str) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")


def _origin(facts: Json, place: str | None) -> tuple[str | None, str | None]:
    stated = facts.get("stac")
    if place is None:  # its address holds a key, or it lay in memory
        name = stated["place"] if stated is not None else facts["path"]
        place = name if "://" in name else None
    if place is None:
        return None, None
    if stated is not None and is_item_name(place):
        return _href(parse_item_name(place).place), GEOJSON
    is_tiff = re.search(r"\.tiff?\Z", place, re.IGNORECASE) is not None
    return _href(place), "image/tiff; application=geotiff" if is_tiff else None


def _href(place: str) -> str:
    """A place as a reference: addresses as they may be printed, paths with their blanks escaped."""
    shown = bare_name(place)
    if is_gdal_name(place):
        return shown
    return quote(shown) if shown.startswith((".", "/")) else f"./{quote(shown)}"


def _link_to_model(weights: Json) -> Json:
    return {
        "rel": "derived_from",
        "href": f"./{MODEL}",
        "type": GEOJSON,
        "title": f"weights: {weights['name']}",
    }


def _model(weights: Json) -> Json:
    """The weights by the MLM extension. Their file does not lie in the folder: its content is named
    by hash (RFC 6920), by which whoever has it knows it."""
    is_onnx = str(weights["file"]).endswith(".onnx")
    properties = _model_properties(weights, is_onnx=is_onnx)
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": [MLM],
        "id": _id(f"{weights['name']}-{weights['sha256'][:12]}"),
        "geometry": None,
        "properties": properties,
        "links": [],
        "assets": {
            "weights": {
                "href": f"ni:///sha-256;{_base64(weights['sha256'])}",
                "title": weights["file"],
                "description": f"SHA-256 {weights['sha256']}",
                "type": "application/octet-stream",
                "roles": ["mlm:model", "mlm:weights"],
                "bands": properties["bands"],
                "mlm:artifact_type": "onnx" if is_onnx else "safetensors.torch.save_file",
            }
        },
    }


def _model_properties(weights: Json, *, is_onnx: bool) -> Json:
    bands = list(weights.get("bands") or ("red", "green", "blue"))
    gsd_m = weights.get("gsd_m")  # runs of old versions do not say it
    at = f" at {gsd_m:g} m a pixel" if gsd_m is not None else ""
    image = {
        "bands": bands,
        "input": {
            "shape": [-1, len(bands), -1, -1],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "description": f"Values in 0-255{at}; the file normalises them itself.",
    }
    outputs = {"probability": "Probability of change in 0-1."}
    if weights.get("tells_kinds") is True:
        outputs["built"] = "Probability that a change is a new building, in 0-1."
    return {
        "title": weights["name"],
        "description": _described(weights),
        "datetime": None,
        "start_datetime": ALWAYS[0],
        "end_datetime": ALWAYS[1],
        "license": "other",
        **({} if gsd_m is None else {"gsd": gsd_m}),
        # STAC allows bands of an item where an asset has them; MLM looks at those of the item
        "bands": [{"name": band} for band in bands],
        "mlm:name": _model_name(weights["name"]),
        "mlm:architecture": str(weights.get("network") or weights["name"]),
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": "ONNX" if is_onnx else "PyTorch",
        "mlm:pretrained": True,
        "mlm:input": [{"name": date, **image} for date in ("before", "after")],
        "mlm:output": [
            {
                "name": name,
                "description": described,
                "tasks": ["semantic-segmentation"],
                "result": {
                    "shape": [-1, 1, -1, -1],
                    "dim_order": ["batch", "class", "height", "width"],
                    "data_type": "float32",
                },
            }
            for name, described in outputs.items()
        ],
    }


def _described(weights: Json) -> str:
    parts = {
        "Trained on": weights.get("training_data"),
        "Terms": weights.get("licence"),
        "Cite": weights.get("citation"),
    }
    return " ".join(
        ["Change of buildings between two images.", *(f"{k}: {v}." for k, v in parts.items() if v)]
    )


def _image_id(facts: Json) -> str:
    """What one date is called: the id of its item, or the name of its file."""
    if (stated := facts.get("stac")) is not None:
        return str(stated["id"])
    return PurePosixPath(bare_name(str(facts["path"]))).stem


def _id(text: str) -> str:
    """An id that is a file name and a part of an address everywhere."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-")[:200]


def _mark(identity: Json) -> str:
    """Tells apart the results of images of the same names: a catalogue takes each id once. With
    another threshold it stays."""
    kept = {
        key: identity.get(key) for key in ("before", "after", "grid", "aoi", "weights", "scout")
    }
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]


def _model_name(text: Any) -> str:
    """A name as MLM wants it: a letter, then letters, digits and ``_.-``."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", str(text)).strip("-_.")
    return plain if re.match(r"[A-Za-z].*..\Z", plain) else f"weights-{plain or 'unnamed'}"
