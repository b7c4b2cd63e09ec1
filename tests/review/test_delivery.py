"""The delivered layer and its page: what is in them, and what they say is not."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import shapely

from hanet.errors import InputError, OutputError, SettingsError
from hanet.imagery.qgis import KIND_COLOURS
from hanet.imagery.vectors import read_features
from hanet.review.delivery import ALL_FORMATS, deliver, statuses_of
from hanet.review.items import STATUSES
from hanet.review.review import Review
from hanet.review.reviewed_runs import run_folders
from reviewed_runs import finished_run, village

SHED = shapely.box(100, 100, 120, 120)


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """f1 accepted, f2 rejected, f3 unsure, m1 not looked at, and d1 drawn."""
    out = finished_run(
        tmp_path_factory.mktemp("run") / "village",
        village(),
        outline="pixels",
        before_date="2017",
        after_date="2023-05",
    )
    _review(out)
    return out


def _review(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"status": "accepted", "kind": "built", "comment": "=1+1 <b>"})
        review.decide(["f2"], {"status": "rejected"})
        review.decide(["f3"], {"status": "unsure"})
        review.draw(SHED, {"kind": "demolished"})


@pytest.fixture
def out(tmp_path: Path, reviewed: Path) -> Path:
    return Path(shutil.copytree(reviewed, tmp_path / "village"))


def _column(path: Path, name: str) -> list[object]:
    return read_features(path).columns[name]


def test_accepted_and_drawn_ones_are_delivered_with_all_that_was_said(out: Path) -> None:
    delivery = deliver(out)
    layer = read_features(out / "delivery" / "reviewed.gpkg")
    assert layer.columns["id"] == ["f1", "d1"]
    assert layer.columns["status"] == ["accepted", "accepted"]
    assert layer.columns["kind"] == ["built", "demolished"]
    assert layer.columns["reviewer"] == ["anna", "anna"]
    assert layer.columns["comment"] == ["=1+1 <b>", None]
    assert layer.columns["source"] == ["found", "drawn"]
    assert layer.columns["probability"] == [0.7, None]
    assert layer.columns["area_m2"] == pytest.approx([37.5, 100.0], rel=1e-3)
    assert layer.columns["before_date"] == ["2017", "2017"]
    assert str(layer.columns["reviewed_at"][0]).endswith("Z")
    assert layer.crs == "EPSG:32614"
    drawn = layer.shapes[1]
    assert drawn is not None
    assert drawn.equals(shapely.box(620_050, 3_349_940, 620_060, 3_349_950))
    assert (delivery.count, delivery.has_metres) == (2, True)
    assert delivery.area == pytest.approx(137.5, rel=1e-3)


def test_what_is_left_out_is_told(out: Path) -> None:
    notes = deliver(out).notes
    assert any("1 of 4 footprints is marked unsure and is left out" in note for note in notes)
    assert not any("have not been reviewed" in note for note in notes)


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ("rejected", ["f2"]),
        ("unsure,accepted", ["f1", "f3", "d1"]),
        ("all", ["f1", "f2", "f3", "d1"]),
    ],
)
def test_other_statuses_are_delivered_where_asked_for(
    asked: str, ids: list[str], out: Path
) -> None:
    deliver(out, statuses=statuses_of(asked.split(",")))
    assert sorted(map(str, _column(out / "delivery" / "reviewed.gpkg", "id"))) == sorted(ids)


def test_every_format_holds_the_same_rows(out: Path) -> None:
    delivery = deliver(out, formats=tuple(ALL_FORMATS))
    folder = out / "delivery"
    for name in ("gpkg", "geojson", "fgb", "shp"):
        ids = _column(folder / f"reviewed{ALL_FORMATS[name]}", "id")
        assert sorted(map(str, ids)) == ["d1", "f1"]
    assert read_features(folder / "reviewed.kml").columns["Name"] == ["f1", "d1"]
    with (folder / "reviewed.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["f1", "d1"]
    assert rows[0]["comment"] == "'=1+1 <b>"
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.read_table(folder / "reviewed.parquet")["id"].to_pylist() == ["f1", "d1"]
    assert {path.name for path in delivery.files} == {
        *(f"reviewed{suffix}" for suffix in ALL_FORMATS.values()),
        "delivery.html",
    }
    assert any("reviewed_at is reviewed" in note for note in delivery.notes)


def test_the_page_shows_threshold_counts_and_outlines_and_runs_nothing(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        review.make_sample(50, seed=1)
        review.decide(["m1"], {"status": "accepted"})
    deliver(out)
    page = (out / "delivery" / "delivery.html").read_text(encoding="utf-8")
    assert "<b>0.5</b><span>settled threshold" in page
    assert "=1+1 &lt;b&gt;" in page
    assert page.count("<path") == 3
    assert 'class="demolished"' in page
    assert "precision" in page
    assert "<script" not in page
    assert "$" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_numbers_stand_below_their_names(out: Path) -> None:
    """The names of columns were to the left, numbers to the right; probability was no number."""
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f3"], {"comment": "17"})
    deliver(out, statuses=statuses_of(["all"]))
    page = (out / "delivery" / "delivery.html").read_text(encoding="utf-8")
    assert "<th>kind</th><th class=n>delivered</th><th class=n>area in m²</th>" in page
    assert "<th>id</th><th>kind</th><th class=n>area in m²</th><th class=n>probability</th>" in page
    assert "<td class=n></td><td>accepted</td>" in page  # what was drawn has no probability
    assert "<td>17</td>" in page


def test_footprints_made_again_beside_a_review_are_told(out: Path) -> None:
    """Report and delivery show two thresholds then, and number 2 of the one is not f2 of the
    other."""
    assert not [note for note in deliver(out).notes if "of its own" in note]
    manifest = json.loads((out / "run.json").read_text())
    manifest["footprints"] |= {"threshold": 0.8, "outline": "simple"}
    (out / "run.json").write_text(json.dumps(manifest))
    (note,) = [note for note in deliver(out).notes if "of its own" in note]
    assert "(threshold 0.5, outline pixels): numbers and counts of" in note
    assert "report.html (threshold 0.8, outline simple) are others" in note
    page = (out / "delivery" / "delivery.html").read_text(encoding="utf-8")
    assert "footprints of its own" in page


def test_kinds_have_the_colours_of_the_report_and_of_qgis(out: Path) -> None:
    """Built was red and demolished blue here, where elsewhere demolished is red."""
    deliver(out)
    page = (out / "delivery" / "delivery.html").read_text(encoding="utf-8")
    for kind in ("built", "demolished"):
        assert f"--{kind}: {KIND_COLOURS[kind]};" in page


def test_an_earlier_delivery_is_replaced_and_other_formats_of_it_are_told(out: Path) -> None:
    deliver(out, formats=("gpkg", "csv"))
    notes = deliver(out, statuses=("rejected",)).notes
    assert _column(out / "delivery" / "reviewed.gpkg", "id") == ["f2"]
    assert "of an earlier delivery, and not renewed: reviewed.csv" in notes


def test_a_layer_that_is_not_as_delivered_is_kept(out: Path, tmp_path: Path) -> None:
    formats = ("gpkg", "shp", "geojson")
    deliver(out, formats=formats)
    folder = out / "delivery"
    for name in ("reviewed.gpkg", "reviewed.dbf", "reviewed.geojson"):
        (folder / name).write_bytes(b"edited")
    again = deliver(out, formats=formats, taken_back=str(folder / "reviewed.geojson"))
    kept = ["reviewed.gpkg", "reviewed.shp"]
    assert [note for note in again.notes if "is kept" in note] == [
        f"{name} was not as it had been delivered, and is kept as {name.replace('.', '-kept-1.')}"
        for name in kept
    ]
    assert (folder / "reviewed-kept-1.gpkg").read_bytes() == b"edited"
    assert (folder / "reviewed-kept-1.dbf").read_bytes() == b"edited"
    assert (folder / "reviewed-kept-1.shp").exists()
    assert not (folder / "reviewed-kept-1.geojson").exists()
    assert _column(folder / "reviewed.gpkg", "id") == ["f1", "d1"]
    third = deliver(out, formats=formats)
    assert not [note for note in third.notes if "is kept" in note]

    foreign = tmp_path / "elsewhere" / "reviewed.gpkg"
    foreign.parent.mkdir()
    foreign.write_bytes(b"of somebody else")
    deliver(out, into=foreign.parent)
    assert (foreign.parent / "reviewed-kept-1.gpkg").read_bytes() == b"of somebody else"


def test_a_layer_that_is_open_in_another_program_is_not_replaced(out: Path) -> None:
    layer = deliver(out).files[0]
    before = layer.read_bytes()
    layer.with_name("reviewed.gpkg-wal").touch()
    with pytest.raises(OutputError, match="is open in another program"):
        deliver(out, statuses=STATUSES)
    assert layer.read_bytes() == before


def test_nothing_accepted_gives_an_empty_layer_and_says_so(tmp_path: Path) -> None:
    out = finished_run(tmp_path / "village", village(), outline="pixels")
    with Review.open(out, reviewer="anna"):
        pass
    delivery = deliver(out)
    assert delivery.count == 0
    assert read_features(out / "delivery" / "reviewed.gpkg").shapes == []
    assert any("no item is accepted" in note for note in delivery.notes)
    assert any("3 of 3 footprints have not been reviewed" in note for note in delivery.notes)


def test_without_a_crs_areas_are_in_pixels_and_kml_is_refused(tmp_path: Path) -> None:
    out = finished_run(tmp_path / "village", village(), crs=None, outline="pixels")
    _review(out)
    with pytest.raises(InputError, match="KML"):
        deliver(out, formats=("gpkg", "kml"))
    assert not (out / "delivery").exists()
    delivery = deliver(out)
    layer = read_features(out / "delivery" / "reviewed.gpkg")
    assert layer.columns["area_px"] == [150.0, 400.0]
    assert "area_m2" not in layer.columns
    assert delivery.area == 550.0


def _pairs(tmp_path: Path, *, second_crs: str | None) -> Path:
    out = tmp_path / "all"
    for name, crs in (("north", "EPSG:32614"), ("south", second_crs), ("new", "EPSG:32614")):
        finished_run(out / name, village(), crs=crs, outline="pixels")
        if name != "new":
            _review(out / name)
    table = "name,status,footprints,area,seconds,message\n"
    rows = ("north,done,3,1,1,", "south,done,3,1,1,", "new,done,3,1,1,", "lost,failed,,,,no file")
    (out / "pairs.csv").write_text(table + "\n".join(rows) + "\n", encoding="utf-8")
    return out


def test_a_table_that_somebody_changed_leads_out_of_no_folder(tmp_path: Path) -> None:
    """The pair ``..`` was the folder above; a row without a name, or with one of two thousand
    letters, a traceback."""
    finished_run(tmp_path, village())
    out = tmp_path / "all"
    finished_run(out / "north", village())
    _review(out / "north")
    _review(tmp_path)
    rows = ["status,name", "done,north", "done,..", "done", f"done,{'x' * 2000}", "done,a\0b"]
    (out / "pairs.csv").write_text("\n".join(rows), encoding="utf-8")
    assert list(run_folders(out)) == ["north"]
    assert deliver(out).count == 2


def test_many_pairs_become_one_layer_and_one_page(tmp_path: Path) -> None:
    out = _pairs(tmp_path, second_crs="EPSG:32614")
    delivery = deliver(out)
    layer = read_features(out / "delivery" / "reviewed.gpkg")
    assert layer.columns["pair"] == ["north", "north", "south", "south"]
    assert layer.columns["id"] == ["f1", "d1", "f1", "d1"]
    assert "the pair new is left out: it has not been reviewed" in delivery.notes
    assert "the pair lost is left out: its detection failed" in delivery.notes
    page = (out / "delivery" / "delivery.html").read_text(encoding="utf-8")
    assert page.count('class="map"') == 2


def test_pairs_in_several_crs_are_delivered_in_wgs84(tmp_path: Path) -> None:
    out = _pairs(tmp_path, second_crs="EPSG:32615")
    delivery = deliver(out)
    layer = read_features(out / "delivery" / "reviewed.gpkg")
    assert layer.crs == "EPSG:4326"
    left = [shape.bounds[0] for shape in layer.shapes if shape is not None]
    assert left == pytest.approx([-97.752, -97.7518, -91.752, -91.7518], abs=1e-3)
    assert any("have 2 CRS" in note for note in delivery.notes)


def test_pairs_with_and_without_a_crs_are_refused(tmp_path: Path) -> None:
    out = _pairs(tmp_path, second_crs=None)
    with pytest.raises(InputError, match="1 of 2 pairs have no CRS, the first: south"):
        deliver(out)


def test_what_has_not_been_reviewed_is_refused(tmp_path: Path) -> None:
    out = finished_run(tmp_path / "village", village(), outline="pixels")
    with pytest.raises(OutputError, match="has not been reviewed yet"):
        deliver(out)
    with pytest.raises(OutputError, match="holds no run"):
        deliver(tmp_path / "nowhere")


def test_a_probability_that_cannot_be_read_is_said_in_words(out: Path) -> None:
    (out / "probability.tif").unlink()
    (out / "probability.tif").mkdir()
    with pytest.raises(OutputError, match=r"probability\.tif cannot be read"):
        deliver(out)
    with pytest.raises(OutputError, match=r"probability\.tif cannot be read"):
        Review.open(out, reviewer="anna")


def test_unknown_formats_and_statuses_are_refused(out: Path) -> None:
    with pytest.raises(SettingsError, match="no format 'dxf'"):
        deliver(out, formats=("gpkg", "dxf"))
    with pytest.raises(SettingsError, match="no format is given"):
        deliver(out, formats=())
    with pytest.raises(SettingsError, match="no status 'good'"):
        statuses_of(["good"])


def test_the_same_review_delivers_the_same_bytes(out: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        deliver(out, into=tmp_path / name, formats=("gpkg", "geojson", "csv", "shp"))
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
