"""Sound files that the cases damage: a pair of rasters, weights, a data set, runs. Made once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from campaigns.commands import EXPERIMENT

SIDE = 40
"""Pixels of the sound rasters along each side."""

CRS = "EPSG:32614"
TRANSFORM = (0.5, 0.0, 620000.0, 0.0, -0.5, 3350000.0)

METADATA: dict[str, Any] = {
    "format": 1,
    "name": "difference",
    "model": "difference",
    "divisor": 1,
    "tile_px": 32,
    "overlap_px": 8,
    "licence": "Apache-2.0",
    "training_data": "none",
    "scores": [
        {
            "dataset": "a",
            "split": "val",
            "protocol": "tiles-256",
            "precision": 0.5,
            "recall": 0.5,
            "f1": 0.5,
            "iou": 0.3333,
            "source": "",
        }
    ],
}
"""Metadata of the small ONNX network: what every weights file of ours holds."""


SEED_COMMANDS = (
    ["detect", "before.tif", "after.tif", "--out", "out", "--weights", "difference.onnx",
     "--threads", "1"],
    ["prepare", "levir-cd", "release", "tiles"],
    ["train", "experiment.toml", "--data", "dataset", "--out", "train-run", "--accelerator", "cpu",
     "--threads", "1"],
    ["plan", "before.tif", "after.tif", "--out", "planned", "--weights", "difference.onnx",
     "--threads", "1", "--shards", "2"],
    ["detect", "--plan", "planned/plan.json", "--shard", "0"],
    ["detect", "--plan", "planned/plan.json", "--shard", "1"],
    ["evaluate", "difference.onnx", "--data", "dataset", "--split", "val", "--tile", "64",
     "--threads", "1", "--out", "scores.json", "--error-maps", "maps"],
)  # fmt: skip
"""What makes the finished runs that cases start from, in the folder of the sound files."""

COMMANDS_AFTER_REVIEW = (
    ["suggest", "reviewed", "--count", "2", "--no-flips"],
    ["deliver", "reviewed", "--format", "gpkg,geojson,csv,fgb,kml", "--status", "all"],
    ["adapt", "reviewed", "--labels", "dataset", "--out", "mine", "--threads", "1", "--force",
     "--weights", "difference.onnx", "--rungs", "threshold,footprints", "--keep"],
)  # fmt: skip
"""What is made of the reviewed result."""


def make_seeds(folder: Path) -> None:
    """Makes all sound files but the finished runs, which need commands."""
    before, after, change = images(SIDE, 1)
    write_raster(folder / "before.tif", before)
    write_raster(folder / "after.tif", after)
    probability = np.where(change, 230, 10).astype(np.uint8)[None]
    write_raster(folder / "probability.tif", probability, nodata=255, scale=0.004)
    (folder / "difference.onnx").write_bytes(onnx_bytes(METADATA))
    _write_data_set(folder / "dataset", side=64, splits=("train", "val"), count=3)
    _write_data_set(folder / "release", side=256, splits=("train", "val", "test"), count=1)
    _write_torch_files(folder)
    (folder / "polygons.geojson").write_text(json.dumps(polygons()), encoding="utf-8")
    _write_catalogue(folder / "stac")


def make_review(folder: Path) -> None:
    """A reviewed copy of the finished run: decisions of all kinds, a sample, an undo."""
    import shutil

    import shapely

    from hanet.review.review import Review

    shutil.copytree(folder / "out", folder / "reviewed")
    with Review.open(folder / "reviewed", reviewer="anna") as review:
        first, second = (item.id for item in review.items("found"))
        review.decide([first], {"status": "accepted", "kind": "built", "comment": "a house"})
        review.decide([second], {"status": "rejected"})
        review.draw(shapely.box(2, 25, 8, 30), {"kind": "demolished"})
        review.reshape(first, shapely.box(10, 10, 21, 20))
        review.undo()
        review.make_sample(4, seed=1)


def images(side: int, number: int) -> tuple[Any, Any, Any]:
    """A grey pair with two squares that changed, and the change: (3, H, W), (3, H, W), (H, W)."""
    generator = np.random.default_rng(number)
    before = generator.integers(60, 90, (3, side, side), dtype=np.uint8)
    change = np.zeros((side, side), dtype=bool)
    quarter = side // 4
    change[quarter : 2 * quarter, quarter : 2 * quarter] = True
    change[-quarter:, -quarter:] = True
    after = np.where(change, 220, before).astype(np.uint8)
    return before, after, change


def write_raster(path: Path, pixels: Any, *, scale: float | None = None, **profile: Any) -> Path:
    """A GeoTIFF of an array (C, H, W) on the grid of the sound pair."""
    import rasterio

    bands, height, width = pixels.shape
    place = {"crs": CRS, "transform": rasterio.Affine(*TRANSFORM), "driver": "GTiff"}
    shape = {"count": bands, "height": height, "width": width, "dtype": pixels.dtype}
    with rasterio.open(path, "w", **{**place, **shape, **profile}) as dataset:
        dataset.write(pixels)
        if scale is not None:
            dataset.scales = (scale,) * bands
    return path


def polygons() -> dict[str, Any]:
    """A GeoJSON with one square in the middle of the sound pair."""
    left, top = TRANSFORM[2] + 2, TRANSFORM[5] - 2
    ring = [[left, top], [left + 10, top], [left + 10, top - 10], [left, top - 10], [left, top]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32614"}}
    feature = {"type": "Feature", "properties": {"name": "a"}, "geometry": geometry}
    return {"type": "FeatureCollection", "crs": crs, "features": [feature]}


def onnx_model() -> Any:
    """A network whose probability is a steep function of the difference of both dates."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "weights": np.full((1, 3, 3, 3), 1 / 27, dtype=np.float32),
        "middle": np.float32(50),
        "slope": np.float32(0.1),
    }
    nodes = [
        helper.make_node("Sub", ["after", "before"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["size"]),
        helper.make_node("Conv", ["size", "weights"], ["mean"], pads=[1] * 4),
        helper.make_node("Sub", ["mean", "middle"], ["centred"]),
        helper.make_node("Mul", ["centred", "slope"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    float32 = TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info(name, float32, ["b", 3, "h", "w"])
        for name in ("before", "after")
    ]
    outputs = [helper.make_tensor_value_info("probability", float32, ["b", 1, "h", "w"])]
    stored = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "difference", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def onnx_bytes(metadata: dict[str, Any] | str, model: Any = None) -> bytes:
    """A model as a file, with metadata as an object or as a text."""
    model = onnx_model() if model is None else model
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = "hanet", text
    return bytes(model.SerializeToString())


def safetensors_bytes(header: dict[str, Any] | bytes, body: bytes) -> bytes:
    """A safetensors file of a header, as an object or as it is, and the numbers behind it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def split_safetensors(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and numbers of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _write_data_set(root: Path, *, side: int, splits: tuple[str, ...], count: int) -> None:
    from PIL import Image

    for number, split in enumerate(splits * count):
        before, after, change = images(side, number)
        for name, pixels in (("A", before), ("B", after), ("label", change * np.uint8(255))):
            path = root / split / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels if pixels.ndim == 2 else pixels.transpose(1, 2, 0)).save(path)


def _write_catalogue(folder: Path) -> None:
    """Two items of the sound pair, and a catalogue of them."""
    from rasterio.warp import transform_bounds

    folder.mkdir()
    left, top = TRANSFORM[2], TRANSFORM[5]
    box = (left, top - SIDE / 2, left + SIDE / 2, top)
    west, south, east, north = transform_bounds(CRS, "EPSG:4326", *box)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    for date, time in (("before", "2019-05-03T10:00:00Z"), ("after", "2024-05-10T10:00:00Z")):
        asset = {"href": f"../{date}.tif", "type": "image/tiff; application=geotiff"}
        item = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": date,
            "collection": "aerial",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "bbox": [west, south, east, north],
            "properties": {"datetime": time, "eo:cloud_cover": 3, "view:off_nadir": 8, "gsd": 0.5},
            "links": [],
            "assets": {"visual": {**asset, "roles": ["visual"]}},
        }
        (folder / f"{date}.json").write_text(json.dumps(item), encoding="utf-8")
    links = [{"rel": "item", "href": f"./{date}.json"} for date in ("before", "after")]
    catalogue = {"type": "Catalog", "stac_version": "1.0.0", "id": "root", "description": "all"}
    text = json.dumps({**catalogue, "links": links})
    (folder / "catalog.json").write_text(text, encoding="utf-8")


def _write_torch_files(folder: Path) -> None:
    import torch

    from hanet.models import create

    torch.manual_seed(0)
    small = create("hanet_lite", width=8)
    state = {name: tensor.contiguous() for name, tensor in small.state_dict().items()}
    about = {**METADATA, "name": "small", "model": "hanet_lite", "divisor": 32, "tile_px": 64}
    about |= {"model_arguments": {"width": 8}}
    header: dict[str, Any] = {"__metadata__": {"hanet": json.dumps(about), "format": "pt"}}
    body = b""
    kinds = {torch.float32: "F32", torch.int64: "I64"}
    for name, tensor in sorted(state.items(), key=lambda item: -item[1].element_size()):
        numbers = tensor.numpy().tobytes()
        place = {"dtype": kinds[tensor.dtype], "shape": list(tensor.shape)}
        header[name] = {**place, "data_offsets": [len(body), len(body) + len(numbers)]}
        body += numbers
    (folder / "small.safetensors").write_bytes(safetensors_bytes(header, body))
    official = create("hanet", width=4).state_dict()
    torch.save(official, folder / "checkpoint.pth")
    torch.save(official, folder / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": official, "epoch": 3}, folder / "nested.pth")
    (folder / "experiment.toml").write_text(EXPERIMENT, encoding="utf-8")
