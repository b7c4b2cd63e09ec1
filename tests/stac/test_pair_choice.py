"""``hanet pairs`` and ``hanet detect`` on catalogues: files, a server on loopback, a small API."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from difference_weights import write_difference_weights
from hanet.cli import main
from hanet.detection.pair_list import read_pairs
from hanet.errors import MissingExtraError, OutputError, StacError
from hanet.imagery import stac_client
from hanet.imagery.stac_documents import Documents
from hanet.imagery.stac_item import read_item_image
from hanet.stac.pair_choice import choose_pairs
from hanet.stac.periods import Period, parse_period
from stac_scenes import GEOTIFF, item, write_area, write_catalogue
from stac_server import Server, serving

BEFORE, AFTER = (parse_period(year, "") for year in ("2019", "2024"))
WHEN: dict[str, Period] = {"before": BEFORE, "after": AFTER}
KEY = "X-Amz-Signature=secret"
TYPED = ("--before", "2019", "--after", "2024")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("catalogue")


@pytest.fixture(scope="module")
def items(folder: Path) -> list[dict[str, Any]]:
    return write_catalogue(folder)


@pytest.fixture(scope="module")
def served(folder: Path, items: list[dict[str, Any]]) -> Iterator[Server]:
    """The catalogue on a server, and its items as an API, with signed addresses of the images."""
    moved = []
    for one in items:
        href = f"/items/{one['id']}/image.tif?{KEY}"
        moved.append({**one, "assets": {"visual": {**one["assets"]["visual"], "href": href}}})
    with serving(folder, moved) as server:
        yield server


@pytest.fixture(scope="module")
def aoi(folder: Path, items: list[dict[str, Any]]) -> Path:
    return folder / "aoi.geojson"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_pairs_of_a_catalogue_of_files(folder: Path, aoi: Path, tmp_path: Path) -> None:
    made = choose_pairs(str(folder / "catalog.json"), aoi=aoi, out=tmp_path / "list.csv", **WHEN)
    assert list(made.pairs) == ["001_2019-05-03_2024-05-10", "002_2019-05-04_2024-12-10"]
    assert made.share > 0.98
    first, second = rows(tmp_path / "list.csv")
    assert first["before_date"] == "2019-05-03"
    assert "cloud 3 % and 1 %; off-nadir 8° and 12°; height of the sun 61° and 63°" in first["why"]
    assert "in no pair above" in second["why"]
    verdicts = {row["item"]: (row["verdict"], row["rule"]) for row in rows(made.written[1])}
    assert verdicts == {
        "before-west": ("chosen", ""),
        "before-east": ("chosen", ""),
        "before-cloudy": ("left out", "cloud"),
        "after-west": ("chosen", ""),
        "after-east": ("chosen", ""),
        "after-far": ("left out", "area"),
        "old": ("left out", "date"),
    }
    warnings: list[str] = []
    jobs = read_pairs(tmp_path / "list.csv", warn=warnings.append)
    assert warnings == []
    image = read_item_image(jobs[0].before)
    assert Path(image.asset.href).resolve() == folder / "items" / "before-west" / "image.tif"
    assert jobs[0].dates == {"before_date": "2019-05-03", "after_date": "2024-05-10"}


def test_pairs_of_a_catalogue_on_a_server(served: Server, aoi: Path, tmp_path: Path) -> None:
    served.asked.clear()
    catalogue = f"{served.address}/catalog.json"
    made = choose_pairs(catalogue, aoi=aoi, out=tmp_path / "list.csv", **WHEN)
    assert len(made.pairs) == 2
    first = rows(tmp_path / "list.csv")[0]
    place = f"{served.address}/items/before-west/item.json"
    assert first["before"] == f"STAC:{place}|asset=visual"
    paths = [path for _, path in served.asked]
    assert len(paths) == len(set(paths)) == 10  # three documents and seven items, each once
    assert "/elsewhere/never.json" not in paths  # its collection lies elsewhere by its extent


def test_pairs_of_an_api(served: Server, aoi: Path, tmp_path: Path) -> None:
    served.searches.clear()
    made = choose_pairs(
        f"{served.address}/api", aoi=aoi, out=tmp_path / "list.csv", collections=["aerial"], **WHEN
    )
    assert len(made.pairs) == 2
    assert {one.rule for one in made.items} == {"", "cloud", "area"}  # dates were the server's part
    place = f"{served.address}/api/collections/aerial/items/before-west"
    assert rows(tmp_path / "list.csv")[0]["before"] == f"STAC:{place}|asset=visual"
    first, second = served.searches[0], served.searches[1]
    assert first["datetime"] == "2019-01-01T00:00:00Z/2019-12-31T23:59:59Z"
    assert first["intersects"]["type"] == "Polygon"
    assert first["collections"] == ["aerial"]
    assert second["token"] == 2  # the next page
    image = read_item_image(f"STAC:{place}")
    assert image.asset.href == f"{served.address}/items/before-west/image.tif?{KEY}"
    assert all("secret" not in path.read_text() for path in made.written)
    none = {"aoi": aoi, "out": tmp_path / "none.csv", **WHEN}
    with pytest.raises(StacError, match="no item of the area in these periods"):
        choose_pairs(f"{served.address}/api", collections=["other"], **none)


def test_an_api_that_says_little_of_itself_is_asked_too(
    served: Server, aoi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "is_sparse", True)
    served.searches.clear()
    made = choose_pairs(f"{served.address}/api/", aoi=aoi, out=tmp_path / "list.csv", **WHEN)
    assert len(made.pairs) == 2
    assert len(made.items) == 6  # of pages of two
    assert all("intersects" in body for body in served.searches)
    served.searches.clear()
    collection = f"{served.address}/api/collections/aerial"
    made = choose_pairs(collection, aoi=aoi, out=tmp_path / "of-one.csv", **WHEN)
    assert len(made.pairs) == 2
    assert all(body["collections"] == ["aerial"] for body in served.searches)


def test_an_answer_of_an_api_that_somebody_kept(
    items: list[dict[str, Any]], aoi: Path, tmp_path: Path
) -> None:
    """Items without a place of their own are named by their images; one whose address holds a key
    cannot be kept."""

    def at(href: str, one: dict[str, Any]) -> dict[str, Any]:
        return {**one, "assets": {"image": {"href": href, "type": GEOTIFF}}}

    kept = [at(f"https://host/{one['id']}.tif", one) for one in items]
    kept[2]["properties"] = {**kept[2]["properties"], "eo:cloud_cover": 0}
    kept[2] = at("https://host/x.tif?X-Amz-Signature=secret", kept[2])
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps({"type": "FeatureCollection", "features": kept}))
    made = choose_pairs(str(answer), aoi=aoi, out=tmp_path / "list.csv", **WHEN)
    first = rows(tmp_path / "list.csv")[0]
    assert (first["before"], first["after"]) == (
        "https://host/before-west.tif",
        "https://host/after-west.tif",
    )
    keyed = next(one for one in made.items if one.name == "before-cloudy")
    assert keyed.rule == "address"
    assert all("secret" not in path.read_text() for path in made.written)


def test_items_without_a_collection_may_share_an_id(
    folder: Path, items: list[dict[str, Any]], aoi: Path, tmp_path: Path
) -> None:
    """A folder a year, with a file of the same id in each, is the usual catalogue of one's own."""
    links = []
    for year, one in (("2019", items[0]), ("2024", items[3])):
        href = str(folder / "items" / one["id"] / "image.tif")
        assets = {"visual": {**one["assets"]["visual"], "href": href}}
        alike = {**one, "id": "ortho", "collection": None, "assets": assets}
        (tmp_path / f"{year}.json").write_text(json.dumps(alike))
        links.append({"rel": "item", "href": f"{year}.json"})
    links.append(links[0])  # met twice, it is still one
    place = tmp_path / "catalog.json"
    place.write_text(json.dumps({"type": "Catalog", "id": "own", "links": links}))
    made = choose_pairs(str(place), aoi=aoi, out=tmp_path / "list.csv", **WHEN)
    (row,) = rows(tmp_path / "list.csv")
    assert (row["before"], row["after"]) == (
        "STAC:2019.json|asset=visual",
        "STAC:2024.json|asset=visual",
    )
    assert len(made.items) == 2


def test_a_next_page_that_is_had_by_post_is_told_and_not_asked_for(
    served: Server, items: list[dict[str, Any]], aoi: Path, tmp_path: Path
) -> None:
    served.asked.clear()
    body = {"token": 2}
    link = {"rel": "next", "method": "POST", "href": f"{served.address}/api/search", "body": body}
    answer = {"type": "FeatureCollection", "features": items, "links": [link]}
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    made = choose_pairs(str(tmp_path / "answer.json"), aoi=aoi, out=tmp_path / "list.csv", **WHEN)
    assert served.asked == []
    assert len(made.pairs) == 2
    (told,) = [one for one in made.items if one.rule == "unreadable"]
    assert "POST" in told.why


@pytest.mark.parametrize("name", ["area.geojson", "catalog.json"])
def test_the_list_replaces_nothing_that_is_read(aoi: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "area.geojson").write_bytes(aoi.read_bytes())
    (tmp_path / "catalog.json").write_text('{"type": "Catalog"}')
    kept = (tmp_path / name).read_bytes()
    with pytest.raises(OutputError, match="is read by this command"):
        choose_pairs(
            str(tmp_path / "catalog.json"),
            aoi=tmp_path / "area.geojson",
            out=tmp_path / name,
            overwrite=True,
            **WHEN,
        )
    assert (tmp_path / name).read_bytes() == kept


def test_a_pair_of_items_on_a_server_is_detected(
    served: Server, tmp_path: Path, hanet: Callable[..., str]
) -> None:
    """Dates, clouds and links come from the items; the images are read at their addresses."""
    weights = write_difference_weights(tmp_path / "difference.onnx")
    places = [
        f"{served.address}/api/collections/aerial/items/{name}"
        for name in ("before-west", "after-west")
    ]
    hanet("detect", "--stac", *places, "--out", tmp_path / "out", "--weights", weights,
          "--tile", 64, "--threads", 1, "--no-report", "--no-qgis")  # fmt: skip
    manifest = json.loads((tmp_path / "out" / "run.json").read_text())
    assert manifest["inputs"] == {
        "before": f"STAC:{places[0]}",
        "after": f"STAC:{places[1]}",
    }
    assert manifest["footprints"]["count"] == 1
    assert manifest["footprints"]["before_date"] == "2019-05-03"
    assert manifest["pair"]["after"]["stac"]["cloud_cover_percent"] == 1.0
    result = json.loads((tmp_path / "out" / "stac-item.json").read_text())
    assert [link["href"] for link in result["links"]] == [*places, "./stac-model.json"]
    assert result["properties"]["end_datetime"] == "2024-05-10T10:00:00Z"
    for path in (tmp_path / "out").iterdir():
        assert b"secret" not in path.read_bytes(), path.name


@pytest.fixture
def hanet(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Types ``hanet WORDS``, which must succeed; gives what it prints."""

    def typed(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["hanet", *map(str, words)])
        main()  # exits where it fails
        return capfd.readouterr().out

    return typed


def test_the_verbs_go_hand_in_hand(
    folder: Path, aoi: Path, tmp_path: Path, hanet: Callable[..., str]
) -> None:
    weights = write_difference_weights(tmp_path / "difference.onnx")
    listing = tmp_path / "pairs.csv"
    said = hanet("pairs", folder / "catalog.json", "--aoi", aoi, *TYPED, "--out", listing)
    assert "2 pairs of 7 items; together they show 9" in said
    assert f"next: hanet detect --pairs {listing}" in said
    hanet("detect", "--pairs", listing, "--out", tmp_path / "many", "--weights", weights,
          "--tile", 64, "--threads", 1, "--no-report", "--no-qgis")  # fmt: skip
    assert [row["status"] for row in rows(tmp_path / "many" / "pairs.csv")] == ["done", "done"]
    result = json.loads(
        (tmp_path / "many" / "001_2019-05-03_2024-05-10" / "stac-item.json").read_text()
    )
    places = [tmp_path / "many" / "x" / link["href"] for link in result["links"][:2]]
    assert [place.resolve().parent.name for place in places] == ["before-west", "after-west"]


Refused = Callable[..., tuple[str, str]]


def test_what_keeps_items_from_being_detected_is_one_line(
    folder: Path, items: list[dict[str, Any]], tmp_path: Path, refused: Refused
) -> None:
    good = folder / "items" / "before-west" / "item.json"

    def said(value: object, *options: object) -> str:
        path = tmp_path / "item.json"
        path.write_text(json.dumps(value))
        error, hint = refused("detect", "--stac", good, path, "--out", tmp_path / "out", *options)
        assert hint
        assert not (tmp_path / "out").exists()
        return error

    image = {"href": "image.tif", "type": GEOTIFF}
    assert said([]).endswith("is no STAC document: it is no JSON object")
    assert "is no STAC item, but a catalog of items" in said({"type": "Catalog"})
    assert "no asset that is an image" in said(item("one", assets={}))
    assert "several assets of the item one" in said(item("one", assets={"a": image, "b": image}))
    assert "has no asset 'nir'" in said(item("one"), "--asset", "nir")
    assert "does not say when" in said(item("one", datetime=None))
    assert "there is no file" in said(item("one"))
    for href in ("javascript:alert(1)", "a\x07.tif", "", 3):
        error = said(item("one", assets={"a": {**image, "href": href}}))
        assert "the asset a of the item one cannot be read: its address" in error
    far = folder / "items" / "after-far" / "item.json"
    error, _ = refused("detect", good, far, "--out", tmp_path / "out")
    assert "overlap" in error
    assert not (tmp_path / "out").exists()


def test_what_keeps_pairs_from_being_chosen_is_one_line(
    folder: Path, aoi: Path, tmp_path: Path, refused: Refused
) -> None:
    catalogue, out = folder / "catalog.json", tmp_path / "pairs.csv"

    def said(*words: object) -> tuple[str, str]:
        error, hint = refused("pairs", *words, "--out", out)
        assert list(tmp_path.glob("*.csv")) == []
        return error, hint

    error, hint = said(catalogue, "--aoi", aoi, *TYPED, "--max-cloud", 0)
    assert (
        "no pair fits: of 7 items 5 too cloudy, 1 outside the area, 1 not in either period" in error
    )
    assert "0 before, 0 after are left" in error
    assert hint == "give a higher --max-cloud"
    elsewhere = write_area(tmp_path / "far.geojson", (5.0, 50.0, 5.1, 50.1))
    error, hint = said(catalogue, "--aoi", elsewhere, *TYPED)
    assert hint == "give longer periods, or another catalogue"
    error, _ = said(catalogue, "--aoi", aoi, "--before", "2024", "--after", "2019")
    assert "--before ends on 2024-12-31, and --after begins on 2019-01-01" in error
    error, _ = said(folder / "items" / "old" / "item.json", "--aoi", aoi, *TYPED)
    assert "is a single item" in error
    error, _ = said(aoi, "--aoi", aoi, *TYPED)  # a file of features that are no items
    assert "no pair fits: of 1 items 1 unreadable" in error
    error, hint = said(folder, "--aoi", aoi, *TYPED)
    assert error.endswith("is a folder, not a STAC document")
    assert hint == f"give the file in it: {catalogue}"
    error, hint = said(folder / "items", "--aoi", aoi, *TYPED)
    assert "usually catalog.json" in hint
    error, _ = said(tmp_path / "none.json", "--aoi", aoi, *TYPED)
    assert "there is no file" in error
    error, _ = said("http://127.0.0.1:1/catalog.json", "--aoi", aoi, *TYPED)
    assert "cannot be read: there is no connection to the server" in error
    error, _ = said(catalogue, "--aoi", tmp_path / "no.gpkg", *TYPED)
    assert "no.gpkg" in error
    out.write_text("somebody's")
    error, hint = refused("pairs", catalogue, "--aoi", aoi, *TYPED, "--out", out)
    assert "is there already" in error
    assert out.read_text() == "somebody's"


def test_a_server_that_answers_nonsense_is_refused(
    folder: Path, aoi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "served"
    bad.mkdir()
    (bad / "deep.json").write_text("[" * 5000)
    (bad / "text.json").write_text("<html>sorry</html>")
    (bad / "large.json").write_text(json.dumps({"type": "Catalog", "links": ["x" * 200_000]}))
    loop = {"type": "Catalog", "links": [
        {"rel": "child", "href": "loop.json"}, {"rel": "item", "href": "file:///etc/passwd"},
        {"rel": "item", "href": "text.json"}, {"rel": "item"}, 7,
    ]}  # fmt: skip
    (bad / "loop.json").write_text(json.dumps(loop))
    monkeypatch.setattr(stac_client, "MAX_BYTES", 100_000)
    with serving(bad) as server:
        for name, message in (
            ("deep.json", "cannot be read: it is nested"),
            ("text.json", "cannot be read: "),
            ("large.json", "cannot be read: it has more than"),
            ("none.json", "cannot be read: the server answers 404"),
        ):
            with pytest.raises(StacError, match=message):
                Documents().read(f"{server.address}/{name}")
        with pytest.raises(StacError, match="of 3 items 3 unreadable"):
            choose_pairs(f"{server.address}/loop.json", aoi=aoi, out=tmp_path / "l.csv", **WHEN)


def test_addresses_need_the_extra_and_files_do_not(
    folder: Path, aoi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "hanet.imagery.stac_client")
    monkeypatch.setitem(sys.modules, "pystac_client", None)
    with pytest.raises(MissingExtraError, match="reading STAC from a server needs"):
        Documents().read("https://host/catalog.json")
    made = choose_pairs(str(folder / "catalog.json"), aoi=aoi, out=tmp_path / "list.csv", **WHEN)
    assert len(made.pairs) == 2
