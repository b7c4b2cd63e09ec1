"""Items of STAC as images: which asset is read, where it lies, what the item says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hanet.errors import StacError
from hanet.imagery import stac_documents
from hanet.imagery.addresses import absolute, found_from, is_missing, place_from
from hanet.imagery.item_names import is_item_name, item_name, parse_item_name
from hanet.imagery.raster_source import RasterSource
from hanet.imagery.stac_documents import Document, Documents, resolved
from hanet.imagery.stac_item import choose_asset, item_of, read_item_image
from stac_scenes import GEOTIFF, item, write_catalogue


def asset(kind: str | None = GEOTIFF, *roles: str, href: str = "a.tif") -> dict[str, Any]:
    return {"href": href, "roles": list(roles), **({} if kind is None else {"type": kind})}


def chosen(assets: dict[str, Any], wanted: str | None = None) -> str:
    found = choose_asset(item_of(Document(item("one", assets=assets), "item.json")), wanted)
    return found.name


@pytest.mark.parametrize(
    ("assets", "name"),
    [
        ({"a": asset(GEOTIFF, "data"), "thumb": asset("image/png", "thumbnail")}, "a"),
        ({"a": asset(GEOTIFF, "data"), "b": asset(GEOTIFF, "visual")}, "b"),
        ({"jp2": asset("image/jp2", "visual"), "b": asset(GEOTIFF, "visual")}, "b"),
        ({"a": asset("image/tiff", "data"), "b": asset(GEOTIFF, "data")}, "b"),
        ({"a": asset(GEOTIFF, "data"), "image": asset(GEOTIFF, "data")}, "image"),
        ({"scl": asset(GEOTIFF, "data", "snow-ice"), "b": asset(GEOTIFF)}, "b"),
        ({"a": asset(GEOTIFF, "data"), "b": asset(GEOTIFF, "visual", "cloud-optimized")}, "b"),
        ({"m": asset(GEOTIFF, "data-mask"), "b": asset(GEOTIFF)}, "b"),
        ({"meta": asset("application/json", "metadata"), "b": asset(None, href="b.TIF?x=1")}, "b"),
        ({"b": asset("Image/Tiff; Application=GeoTIFF"), "not": "an asset"}, "b"),
    ],
)
def test_the_image_of_an_item(assets: dict[str, Any], name: str) -> None:
    assert chosen(assets) == name


@pytest.mark.parametrize(
    ("assets", "message"),
    [
        ({}, "no asset that is an image"),
        ({"a": asset("application/json")}, "no asset that is an image"),
        ({"a": asset(None, href="a.zip")}, "no asset that is an image"),
        ({"red": asset(), "green": asset()}, "several assets of the item one can be"),
    ],
)
def test_an_item_without_one_image_is_refused_and_a_name_helps(
    assets: dict[str, Any], message: str
) -> None:
    with pytest.raises(StacError, match=message):
        chosen(assets)
    with pytest.raises(StacError, match="has no asset 'nir'"):
        chosen(assets, "nir")
    for name in assets:
        assert chosen(assets, name) == name


@pytest.mark.parametrize(
    ("href", "base", "found"),
    [
        ("./a.tif", "/data/x/item.json", "/data/x/a.tif"),
        ("../a.tif", "x/item.json", "x/../a.tif"),
        ("/big/a.tif", "item.json", "/big/a.tif"),
        ("file:///big/a%20b.tif", "item.json", "/big/a b.tif"),
        ("/vsis3/bucket/a.tif", "item.json", "/vsis3/bucket/a.tif"),
        ("https://host/a.tif?sig=1", "item.json", "https://host/a.tif?sig=1"),
        ("s3://bucket/a.tif", "https://host/c/item.json", "s3://bucket/a.tif"),
        ("../a.tif", "https://host/c/x/item.json", "https://host/c/a.tif"),
        ("/etc/passwd", "https://host/c/item.json", "https://host/etc/passwd"),
        (
            "/vsisubfile/0_9,/etc/passwd",
            "https://host/i",
            "https://host/vsisubfile/0_9,/etc/passwd",
        ),
    ],
)
def test_an_href_counts_from_its_document(href: str, base: str, found: str) -> None:
    assert resolved(href, base) == found


@pytest.mark.parametrize("base", ["https://host/item.json", "item.json"])
@pytest.mark.parametrize(
    "href",
    [
        None,
        "  ",
        7,
        "javascript:alert(1)",
        "data:image/tiff;base64,AAAA",
        "a\x00.tif",
        "a\n.tif",
        "\x1b[31ma.tif",
        "\ud800.tif",
        "x" * 9000,
        "https:///a.tif",
        "http://[::1",
        'NETCDF:"/etc/x.nc":red',
        "PG:host=1.2.3.4",
        "ftp://host/a.tif",
    ],
)
def test_hostile_hrefs_lead_nowhere(href: object, base: str) -> None:
    with pytest.raises(StacError, match="its address"):
        resolved(href, base)


def test_what_a_server_says_leads_to_no_local_file() -> None:
    with pytest.raises(StacError, match="begins with 'file:'"):
        resolved("file:///etc/passwd", "https://host/item.json")
    with pytest.raises(StacError, match="begins with 'C:'"):
        resolved("C:\\secret.tif", "https://host/item.json")


@pytest.mark.parametrize(
    ("times", "date"),
    [
        ({"datetime": "2019-05-03T10:11:12.5Z"}, "2019-05-03"),
        ({"datetime": "2019-05-03T01:00:00+02:00"}, "2019-05-02"),
        ({"start_datetime": "2019-05-03T00:00:00Z", "end_datetime": "2019-05-28T00:00:00Z"}, "2019-05"),
        ({"start_datetime": "2019-01-01T00:00:00Z", "end_datetime": "2019-12-31T00:00:00Z"}, "2019"),
        ({"start_datetime": "2019-01-01T00:00:00Z", "end_datetime": "2021-12-31T00:00:00Z"}, None),
    ],
)  # fmt: skip
def test_the_date_of_an_item(times: dict[str, str], date: str | None) -> None:
    value = item("one", datetime=None)
    value["properties"] |= times
    assert item_of(Document(value, "item.json")).date == date


@pytest.mark.parametrize(
    "times",
    [
        {},
        {"datetime": "yesterday"},
        {"datetime": 20190503},
        {"datetime": "2019-02-30T00:00:00Z"},
        {"start_datetime": "2019-01-01T00:00:00Z"},
        {"start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2019-01-01T00:00:00Z"},
    ],
)
def test_an_item_that_does_not_say_when_is_refused(times: dict[str, Any]) -> None:
    value = item("one", datetime=None)
    value["properties"] |= times
    with pytest.raises(StacError, match="does not say when its image was taken"):
        item_of(Document(value, "item.json"))


@pytest.mark.parametrize(
    "facts",
    [
        {"eo:cloud_cover": "many", "gsd": True, "view:off_nadir": 300},
        {"eo:cloud_cover": 1e400, "gsd": -1, "view:off_nadir": None},
        {"eo:cloud_cover": [3], "view:sun_azimuth": {}, "view:sun_elevation": -91},
    ],
)
def test_numbers_that_are_none_are_unknown(facts: dict[str, Any]) -> None:
    found = item_of(Document(item("one", **facts), "item.json"))
    assert (found.cloud, found.gsd_m, found.off_nadir) == (None, None, None)
    assert (found.sun_azimuth, found.sun_elevation) == (None, None)


def test_an_id_brings_no_control_characters_and_no_keys_into_messages() -> None:
    value = item("a\x1b[31m\nhttps://host/x?sig=secret", assets={})
    found = item_of(Document(value, "item.json"))
    assert found.id == "a [31m https://host/x"
    assert json.loads(json.dumps(found.facts()))["id"] == found.id


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[" * 3000, "is no JSON: "),
        ("[1]", "is no JSON object"),
        ('{"type": "Feature"}', "is no STAC item"),
        ('{"type": "Catalog", "links": []}', "a catalog of items"),
        ('{"type": "FeatureCollection", "features": []}', "holds 0 items"),
        ('{"a": 1, "a": 2}', "is no JSON: "),
    ],
)
def test_what_is_no_item_is_refused_in_words(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "item.json").write_text(text)
    with pytest.raises(StacError, match=message):
        read_item_image(str(tmp_path / "item.json"))


def test_a_huge_document_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stac_documents, "MAX_BYTES", 100)
    (tmp_path / "item.json").write_text(json.dumps(item("one")))
    with pytest.raises(StacError, match="is no JSON: "):
        read_item_image(str(tmp_path / "item.json"))


def test_items_at_addresses_that_nobody_reads_are_refused() -> None:
    with pytest.raises(StacError, match="is read from files and from http"):
        Documents().read("s3://bucket/item.json")


def test_names_of_items() -> None:
    assert [
        is_item_name(name)
        for name in ("a.json", "A.GeoJSON", "https://h/a.json?x=1", "STAC:https://h/items/7",
                     "a.tif|asset=x", "a.tif", "a.json.tif", "https://h/items/7", 'NETCDF:"a":b')
    ] == [True] * 5 + [False] * 4  # fmt: skip
    assert item_name("STAC:a.json|asset=old", "new") == "STAC:a.json|asset=new"
    assert item_name("a.json|asset=kept", None) == "STAC:a.json|asset=kept"
    assert parse_item_name("a.json") == ("a.json", None)


def test_an_item_is_found_again_from_a_folder_of_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "item.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    kept = place_from("STAC:scenes/item.json|asset=visual", tmp_path / "out")
    assert kept == "STAC:../scenes/item.json|asset=visual"
    found = found_from(kept, tmp_path / "out")
    assert not is_missing(found)
    assert is_missing(found_from("STAC:none.json", tmp_path / "out"))
    assert absolute("scenes/item.json|asset=a") == f"{tmp_path}/scenes/item.json|asset=a"
    assert place_from("https://host/i.json", tmp_path) == "https://host/i.json"
    assert place_from("https://me:pw@host/i.json|asset=a", tmp_path) is None


def test_an_item_is_a_raster_with_a_date(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "catalogue")
    place = tmp_path / "catalogue" / "items" / "before-west" / "item.json"
    with RasterSource(place) as source:
        assert source.path == str(place.parent / "image.tif")
        assert source.date == "2019-05-03"
        assert source.item_file == place
        facts = source.manifest()
        assert source.place_from(tmp_path) == "catalogue/items/before-west/item.json"
    assert facts["stac"] == {
        "id": "before-west",
        "collection": "aerial",
        "place": "item.json",
        "datetime": "2019-05-03T10:00:00Z",
        "cloud_cover_percent": 3.0,
        "off_nadir_degrees": 8.0,
        "sun_elevation_degrees": 61.0,
        "sun_azimuth_degrees": 140.0,
        "asset": "visual",
    }
