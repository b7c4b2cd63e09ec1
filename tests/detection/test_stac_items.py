"""``stac-item.json`` and ``stac-model.json``: valid, true to the run, and nothing private in them."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from difference_weights import write_difference_weights
from hanet.detection.job import detect
from hanet.detection.renewal import renew_footprints
from hanet.detection.stac_items import stac_items
from hanet.files import file_hash
from small_rasters import write
from stac_validation import problems

QUIET: dict[str, Any] = {"tile_px": 64, "overlap_px": 16, "threads": 1, "report": False}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_difference_weights(tmp_path_factory.mktemp("weights") / "difference.onnx")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """A house of 16 x 16 m that was built between two dates."""
    folder = tmp_path_factory.mktemp("run")
    pixels = np.full((3, 64, 64), 60, dtype=np.uint8)
    write(folder / "a b.tif", pixels)
    pixels[:, 16:48, 16:48] = 220
    write(folder / "after.tif", pixels)
    detect(
        folder / "a b.tif",
        folder / "after.tif",
        out=folder / "out",
        weights=weights,
        before_date="2019",
        after_date="2024-02",
        formats=("gpkg", "geojson"),
        **QUIET,
    )
    return folder / "out"


def read(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text())
    assert isinstance(value, dict)
    return value


def manifest_with(run: Path, **changes: Any) -> dict[str, Any]:
    """The run's manifest, in which a path of keys with dots has another value."""
    manifest = read(run / "run.json")
    for path, value in changes.items():
        *keys, last = path.split("__")
        part = manifest
        for key in keys:
            part = part[key]
        part[last] = value
    return manifest


def item_with(run: Path, **changes: Any) -> dict[str, Any]:
    manifest = manifest_with(run, **changes)
    item = stac_items(manifest, ["probability.tif", "mask.tif"], run)["stac-item.json"]
    assert problems(item) == []
    return item


def test_both_items_are_valid_and_say_what_the_run_found(run: Path) -> None:
    item, manifest = read(run / "stac-item.json"), read(run / "run.json")
    assert problems(item) == []
    assert problems(read(run / "stac-model.json")) == []
    properties = item["properties"]
    assert properties["start_datetime"] == "2019-01-01T00:00:00Z"
    assert properties["end_datetime"] == "2024-02-29T23:59:59Z"
    assert properties["hanet:footprints"] == manifest["footprints"]["count"] == 1
    assert properties["hanet:changed_area_m2"] == manifest["footprints"]["area"] > 200
    assert properties["proj:code"] == "EPSG:32614"
    assert properties["proj:transform"] == [0.5, 0.0, 620000.0, 0.0, -0.5, 3350000.0]
    west, south, east, north = item["bbox"]
    assert (round(west, 3), round(south, 3)) == (-97.752, 30.275)
    assert 0.0003 < east - west < 0.0004
    assert 0.0002 < north - south < 0.0004
    ring = item["geometry"]["coordinates"][0]
    assert len(ring) == 5
    assert ring[0] == ring[-1]
    for name, asset in item["assets"].items():
        assert (run / asset["href"]).is_file(), name
    assert set(item["assets"]) == {
        "probability", "mask", "footprints", "footprints-geojson", "run"
    }  # fmt: skip


def test_a_result_links_to_both_images_and_to_the_weights(run: Path) -> None:
    item, model = read(run / "stac-item.json"), read(run / "stac-model.json")
    links = [link["href"] for link in item["links"] if link["rel"] == "derived_from"]
    assert links == ["../a%20b.tif", "../after.tif", "./stac-model.json"]
    manifest = read(run / "run.json")
    asset = model["assets"]["weights"]
    assert manifest["weights"]["sha256"] in asset["description"]
    assert re.fullmatch(r"ni:///sha-256;[A-Za-z0-9_-]{43}", asset["href"])


def test_the_model_keeps_what_mlm_asks_since_1_5(run: Path) -> None:
    """The schema of 1.5.0 is in no package. It adds to 1.4.0: dimensions called "bands" exactly
    where bands are named, an artifact type for each model and for nothing else, no entry point
    outside code, and fields of assets that items must not have."""
    model = read(run / "stac-model.json")
    assert model["stac_extensions"] == ["https://stac-extensions.github.io/mlm/v1.5.0/schema.json"]
    properties = model["properties"]
    for one in properties["mlm:input"]:
        assert bool(one.get("bands")) == ("bands" in one["input"]["dim_order"])
    for one in properties["mlm:output"]:
        assert bool(one.get("bands")) == ("bands" in one["result"]["dim_order"])
    assert not {"mlm:artifact_type", "mlm:compile_method", "mlm:entrypoint"} & set(properties)
    for asset in model["assets"].values():
        assert ("mlm:model" in asset["roles"]) == ("mlm:artifact_type" in asset)
        assert not {"mlm:name", "mlm:input", "mlm:output", "mlm:entrypoint"} & set(asset)


def test_the_renewed_item_says_the_new_threshold_and_the_same_run_gives_the_same_bytes(
    run: Path,
) -> None:
    before = (run / "stac-item.json").read_bytes()
    model = file_hash(run / "stac-model.json")
    renewed = renew_footprints(run, threshold=0.99, min_area_m2=10_000.0)
    assert run / "stac-item.json" in renewed.files
    item = read(run / "stac-item.json")
    assert problems(item) == []
    assert item["properties"]["hanet:threshold"] == 0.99
    assert item["properties"]["hanet:footprints"] == 0
    stored = read(run / "run.json")["renewed"]["detected"]
    renew_footprints(run, threshold=stored["threshold"], min_area_m2=stored["min_area_m2"])
    assert (run / "stac-item.json").read_bytes() == before
    assert file_hash(run / "stac-model.json") == model


def test_a_pair_without_place_and_dates_gives_a_valid_item(run: Path) -> None:
    item = item_with(
        run,
        pair__grid={"crs": None, "transform": [1, 0, 0, 0, -1, 0], "height": 64, "width": 64},
        footprints__before_date=None,
        footprints__after_date=None,
        started="2026-11-28T10:00:00+00:00",
        inputs={},
    )
    assert item["geometry"] is None
    assert "bbox" not in item
    assert item["properties"]["datetime"] == "2026-11-28T10:00:00Z"
    assert [link["href"] for link in item["links"]] == ["./stac-model.json"]


@pytest.mark.parametrize(
    ("dates", "found"),
    [
        (("2019-05-03", None), {"datetime": "2019-05-03T00:00:00Z"}),
        ((None, "2020-12"), {"datetime": "2020-12-01T00:00:00Z"}),
        (
            ("2019-05", "2020"),
            {
                "datetime": None,
                "start_datetime": "2019-05-01T00:00:00Z",
                "end_datetime": "2020-12-31T23:59:59Z",
            },
        ),
    ],
)
def test_the_time_of_a_result(
    run: Path, dates: tuple[str | None, str | None], found: dict[str, str | None]
) -> None:
    item = item_with(run, footprints__before_date=dates[0], footprints__after_date=dates[1])
    times = {key: value for key, value in item["properties"].items() if "datetime" in key}
    assert times == found


def test_an_item_of_an_image_is_linked_and_its_time_kept(run: Path) -> None:
    stated = {
        "id": "scene 7",
        "place": "https://host/items/7",
        "datetime": "2019-05-03T10:11:12Z",
        "cloud_cover_percent": 4.0,
    }
    item = item_with(
        run,
        pair__before__stac=stated,
        footprints__before_date="2019-05-03",
        inputs__before="STAC:https://host/items/7|asset=visual",
    )
    assert item["properties"]["start_datetime"] == "2019-05-03T10:11:12Z"
    assert item["properties"]["hanet:before_cloud_cover"] == 4.0
    link = item["links"][0]
    assert link["href"] == "https://host/items/7"
    assert link["type"] == "application/geo+json"
    assert re.fullmatch(r"hanet-scene-7-after-[0-9a-f]{8}", item["id"])


def test_results_of_images_of_one_name_have_ids_of_their_own(run: Path) -> None:
    """Every pair of a list of PLACE/before.tif and PLACE/after.tif was "hanet-before-after", and of
    a catalogue of all only the last one was kept."""
    ids = [
        item_with(run, **changes)["id"]
        for changes in (
            {},
            {"identity__before": {"sha256": "77"}},
            {"identity__weights": "77"},
            {"footprints__threshold": 0.9, "identity__settings": {}},
        )
    ]
    assert len(set(ids)) == 3
    assert ids[0] == ids[3]


def test_nothing_that_opens_an_address_stands_in_an_item(run: Path) -> None:
    """Of an image at a signed address run.json keeps no place, and its name without the key."""
    item = item_with(
        run,
        inputs__before=None,
        pair__before__path="https://host/a.tif",
        inputs__after="https://me:pw@host/b.tif?sig=77",
    )
    assert [link["href"] for link in item["links"][:2]] == [
        "https://host/a.tif",
        "https://host/b.tif",
    ]
    text = json.dumps(stac_items(read(run / "run.json"), [], run))
    assert str(Path.home()) not in text
    assert str(run.parent) not in text


def test_an_image_that_shares_the_root_alone_is_named_by_its_hash(run: Path) -> None:
    """Its path would tell of the machine from the top."""
    up = "../" * (len(run.parts) - 1)
    item = item_with(
        run, inputs__before=f"{up}home/me/a.tif", inputs__after=f"STAC:{up}home/me/item.json"
    )
    identity = read(run / "run.json")["identity"]
    for link, date in zip(item["links"], ("before", "after"), strict=False):
        assert "home" not in json.dumps(link)
        name = link["href"].removeprefix("ni:///sha-256;")
        assert base64.urlsafe_b64decode(f"{name}=").hex() == identity[date]["sha256"]


def test_ground_across_the_date_line_has_two_parts(run: Path) -> None:
    item = item_with(
        run,
        pair__grid={
            "crs": "EPSG:32660",
            "transform": [10.0, 0, 820_000.0, 0, -10.0, 0.0],
            "height": 100,
            "width": 3000,
        },
    )
    assert item["geometry"]["type"] == "MultiPolygon"
    west, south, east, north = item["bbox"]
    assert 179 < west < 180
    assert -180 < east < -179
    assert south < north <= 0
