"""Small sound inputs of each target, and those that were faults once."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tempfile
import warnings
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from campaigns.addresses_with_keys import FORMS
from campaigns.seeds import METADATA, TRANSFORM, onnx_bytes, safetensors_bytes
from hanet.conversion.checkpoint_file import LEGACY_MAGIC

AREA = shapely.box(-97.8, 30.2, -97.7, 30.3)
"""In degrees; where the sound items lie."""


def pickles() -> list[bytes]:
    """A state dict as torch pickles it, old and new opcodes, and what asks for code."""
    values: list[Any] = [{"a": [1, 2.5, None, True], "b": ("x", b"y")}, {1, 2}, "ä" * 300]
    plain = [pickle.dumps(value, protocol) for value in values for protocol in (0, 2, 4, 5)]
    return [
        *plain,
        _state_dict(),
        b"cos\nsystem\n(S'echo ran'\ntR.",
        b"\x80\x02ctorch.nn.modules.conv\nConv2d\n)\x81}X\x01\x00\x00\x00ak\x07sb.",
        b"\x80\x02]q\x00h\x00a.",
        b"\x80\x02ccollections\nOrderedDict\n)Rq\x00X\x01\x00\x00\x00aK\x01s.",
    ]


def _state_dict() -> bytes:
    """``{"conv.weight": tensor of 2 x 2}`` as ``torch.save`` pickles it."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage
    tensor += b"K\x00(K\x02K\x02t(K\x02K\x01t\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}X\x0b\x00\x00\x00conv.weight" + tensor + b"s."


def checkpoints() -> list[bytes]:
    """Both containers."""
    numbers = struct.pack("<4f", 1, 2, 3, 4)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", _state_dict())
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", numbers)
    system = {"protocol_version": 1001, "little_endian": True}
    head = [pickle.dumps(value, 2) for value in (LEGACY_MAGIC, 1001, system)]
    old = _state_dict().replace(b"K\x04tQ", b"K\x04NtQ")
    legacy = b"".join(head) + old + pickle.dumps(["0"], 2) + struct.pack("<q", 4) + numbers
    return [
        buffer.getvalue(),
        legacy,
        b"\x89HDF\r\n\x1a\n",
        b"PK\x03\x04",
        b"PK\x05\x06" + bytes(18),
    ]


def onnx() -> list[bytes]:
    """A sound one, one without metadata, one with a dimension whose name is not UTF-8."""
    sound = onnx_bytes(METADATA)
    other = sound.replace(b"\x12\x01h", b"\x12\x01\xb3")
    return [
        sound,
        other,
        onnx_bytes("{}"),
        sound[:200],
        b"\x3a\x80\x80\x80\x80\x10",
        b"\x3a\x02\x0a\x00",
    ]


def safetensors() -> list[bytes]:
    """Headers, sound and odd."""
    about = {"__metadata__": {"hanet": json.dumps(METADATA)}}
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return [
        safetensors_bytes({**about, "a": tensor}, bytes(8)),
        safetensors_bytes({"__metadata__": {}}, b""),
        safetensors_bytes({"__metadata__": []}, b""),
        safetensors_bytes({"__metadata__": {"hanet": 1}}, b""),
        safetensors_bytes(b"[]", b""),
        b"\xff" * 8,
    ]


def metadata() -> list[bytes]:
    """Sound, with every key, of another format, of wrong types."""
    every = {
        **METADATA,
        "mean_before": [0.5] * 3,
        "std_before": [0.2] * 3,
        "threshold": 0.4,
        "notes": ["a"],
        "extra": {"x": [1, {"y": None}]},
        "model_arguments": {"width": 8},
        "footprint_filter": {"a": 1.0},
        "smallest_px": 32,
        "gmac_per_megapixel": 4.5,
    }
    texts = [METADATA, every, {"format": 2}, {"format": 1, "name": [], "model": {}}, [1], None]
    return [json.dumps(text).encode() for text in texts]


@cache
def rasters() -> list[bytes]:
    """Tiny GeoTIFFs: tags of all kinds, alpha, a mask, overviews, a palette, float, no place."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    found = []
    place: dict[str, Any] = {"crs": "EPSG:32614", "transform": rasterio.Affine(*TRANSFORM)}
    shape: dict[str, Any] = {"driver": "GTiff", "height": 16, "width": 16}
    profiles: list[dict[str, Any]] = [
        {**place, "count": 3, "dtype": "uint8"},
        {**place, "count": 4, "dtype": "uint16", "nodata": 0, "photometric": "rgb", "alpha": "yes"},
        {"count": 1, "dtype": "float32", "nodata": float("nan")},
        {**place, "count": 1, "dtype": "uint8", "photometric": "palette"},
        {**place, "crs": "EPSG:4326", "count": 1, "dtype": "int16", "tiled": True, "blockxsize": 16,
         "blockysize": 16, "compress": "deflate"},
        {**place, "crs": "+proj=tmerc +lon_0=-99 +k=0.9 +datum=WGS84 +units=m", "count": 1,
         "dtype": "uint8"},
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for number, profile in enumerate(profiles):
            path = Path(name) / f"{number}.tif"
            with rasterio.open(path, "w", **shape, **profile) as dataset:
                kind = np.dtype(profile["dtype"])
                dataset.write(np.ones((profile["count"], 16, 16), dtype=kind))
                dataset.update_tags(TIFFTAG_DATETIME="2019:05:03 10:00:00", ACQUISITION_DATE="x")
                dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2019-05-03T10:00:00Z")
                if number == 1:
                    dataset.scales, dataset.offsets = (0.1,) * 4, (5.0,) * 4
                if number == 4:
                    dataset.build_overviews([2, 4])
            found.append(path.read_bytes())
    return [*found, found[-1].replace(b"unknown", b"unknow\xe7")]  # the name of the CRS


def tags() -> list[bytes]:
    """Lines of a name and a value each."""
    return [
        b"ACQUISITIONDATETIME=2019-05-03T10:00:00Z\nTIFFTAG_DATETIME=2019:05:03 10:00:00",
        b"EXIF_Orientation=6\nAREA_OR_POINT=Point\nACQUISITION_DATE=20190503",
        "EXIF_Orientation=²\nTIFFTAG_DATETIME=٢٠١٩:٠٥:٠٣".encode(),
        b"EXIF_Orientation=" + b"9" * 5000,
    ]


def documents() -> list[bytes]:
    """JSON."""
    return [
        b'{"a": [1, -2.5e3, true, null, "\\u00e4"], "b": {"c": []}}',
        b'\xef\xbb\xbf{"a": 1}', b'{"a": 1, "a": 2}', b"NaN", b"1e999", b"[" * 20 + b"]" * 20,
        b'"\\ud800"', b"9" * 5000, b'{"a": "\x1b[31m"}', b"-0", b"1E400",
    ]  # fmt: skip


def tomls() -> list[bytes]:
    """TOML."""
    return [
        b'name = "a"\nwidth = 8\n[table]\nx = [1, 2.5, true]\n"q.k".b = 2019-05-03T10:00:00Z\n',
        b"a." * 40 + b"b = 1", b'a = """x\ny"""', b"a = '''x", b"a = 0x" + b"f" * 40,
        b"a = nan\nb = inf", b"[[a]]\n[[a]]\nb = {c = 1}", b"a = " + b"[" * 40,
    ]  # fmt: skip


def outlines() -> list[bytes]:
    """GeoJSON."""
    ring = [[0, 0], [9, 0], [9, 9], [0, 0]]
    return [
        json.dumps({"type": "Polygon", "coordinates": [ring]}).encode(),
        json.dumps({"type": "MultiPolygon", "coordinates": [[ring], [ring, ring]]}).encode(),
        b'{"type": "Polygon", "coordinates": [[[0, 0, 0], [9, 0, 0], [9, 9, 0], [0, 0, 0]]]}',
        b'{"type": "Polygon", "coordinates": [[[1e999, "a"], [], {}]]}',
    ]


def addresses() -> list[bytes]:
    """One of each form, with parts of a password and a message around it."""
    around = b"a%40\nb$\ncannot be read:\n(403)"
    return [bytes([number]) + around for number in range(len(FORMS))]


def words() -> list[bytes]:
    """Beginnings of addresses, repeated by the target."""
    found = [form.format(s="p", h="h:1").encode() for form in FORMS[::8]]
    return [
        *found,
        b"http://a:b ",
        b"/vsizip/{",
        b"a:b@",
        b"token=",
        b"PG:a/b@",
        b"PG:a/",
        b"https%3A",
        b" ",
    ]


def names() -> list[bytes]:
    """Paths."""
    return [
        b"out/a b", "Häuser/٣".encode(), b"a" * 300, b"x/" * 200, b"a\x1b[31m", b"s3://a", b"/vsimem/a",
        b"\xed\xb3\xbf", b"..", b"", b"/", b"C:\\a", "a\u202eb".encode(), b"a\n",
    ]  # fmt: skip


@cache
def journals() -> list[bytes]:
    """A review with all that can be done in it, and its beginnings."""
    from hanet.review.journal import journal_path
    from hanet.review.review import Review
    from reviewed_runs import finished_run, village

    with tempfile.TemporaryDirectory() as name:
        out = finished_run(Path(name) / "run", village(128), outline="pixels")
        with Review.open(out, reviewer="anna") as review:
            first, second = (item.id for item in review.items("found")[:2])
            review.decide([first], {"status": "accepted", "kind": "built", "comment": "ä"})
            review.draw(shapely.box(2, 90, 8, 99))
            review.reshape(second, shapely.box(20, 90, 28, 99))
            review.split("d1", shapely.LineString([(0, 95), (20, 95)]))
            review.merge(["d2", "d3"])
            review.undo()
            review.redo()
            review.make_sample(2, seed=1)
        whole = journal_path(out).read_bytes()
    lines = whole.splitlines(keepends=True)
    starts = [b"".join(lines[:number]) for number in (1, 2, 4)]
    return [whole, *starts, whole[:-5], whole[:-1], starts[1] + lines[1], b"", b"\n", b"{}\n"]


def stac_item(**changes: Any) -> bytes:
    """An item in :data:`AREA`."""
    asset = {"href": "before.tif", "type": "image/tiff; application=geotiff", "roles": ["visual"]}
    item = {
        "type": "Feature",
        "id": "before",
        "collection": "aerial",
        "geometry": AREA.__geo_interface__,
        "bbox": AREA.bounds,
        "properties": {"datetime": "2019-05-03T10:00:00Z", "eo:cloud_cover": 3, "gsd": 0.5,
                       "view:off_nadir": 8, "view:sun_elevation": 50, "view:sun_azimuth": 140},
        "links": [{"rel": "self", "href": "https://host/item.json"}],
        "assets": {"visual": asset, "thumbnail": {"href": "a.png", "type": "image/png"}},
        **changes,
    }  # fmt: skip
    return json.dumps(item).encode()


def stac() -> list[bytes]:
    """Items, an answer that holds one, odd times and places."""
    times = {
        "datetime": None,
        "start_datetime": "2019-01-01",
        "end_datetime": "2019-12-31T00:00:00Z",
    }
    one = json.loads(stac_item())
    return [
        stac_item(),
        stac_item(properties=times, geometry=None),
        stac_item(assets={"a": {"href": "s3://b/a.tif"}}),
        stac_item(geometry={"type": "Polygon", "coordinates": [[[1e308, 0], [0, 1], [2, 2]]]}),
        json.dumps({"type": "FeatureCollection", "features": [one]}).encode(),
    ]


def catalogues() -> list[bytes]:
    """A catalogue, a collection, a file of items, an API."""
    links = [{"rel": "item", "href": "./item.json"}, {"rel": "child", "href": "./catalog.json"}]
    catalogue = {"type": "Catalog", "id": "root", "description": "all", "links": links}
    extent = {"spatial": {"bbox": [AREA.bounds]}, "temporal": {"interval": [[None, None]]}}
    collection = {**catalogue, "type": "Collection", "extent": extent}
    api = {**catalogue, "conformsTo": ["https://api.stacspec.org/v1.0.0/item-search"],
           "links": [{"rel": "search", "href": "https://u:Zq7xK9@host/search"}]}  # fmt: skip
    items = {"type": "FeatureCollection", "features": [json.loads(stac_item()), 7], "links": links}
    return [json.dumps(value).encode() for value in (catalogue, collection, api, items)]


def hrefs() -> list[bytes]:
    """Where an asset may be said to lie."""
    texts = ("a.tif", "../a.tif?x=1", "https://h/a.tif", "s3://b/a", "file:///a", "//h/a", "http://[",
             "/vsicurl/http://h", "C:\\a.tif", "javascript:1", " a ")  # fmt: skip
    return [text.encode() for text in texts]
