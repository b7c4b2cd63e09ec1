"""A delivered layer that was edited elsewhere and comes back: what changed is recorded, what cannot
be used is refused as a whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import shapely

from hanet.detection.renewal import renew_footprints
from hanet.errors import HanetError, InputError, OutputError, VectorError
from hanet.imagery.grid import in_another_crs
from hanet.imagery.vector_formats import pixel_coordinates
from hanet.imagery.vectors import Features, read_features
from hanet.review.delivery import deliver
from hanet.review.edited import TakenBack, take_back
from hanet.review.items import STATUSES, Item
from hanet.review.journal import journal_path, read_journal
from hanet.review.review import Review
from reviewed_runs import finished_run, village

CRS = "EPSG:32614"
SHED = shapely.box(100, 100, 120, 120)
HALL = shapely.box(620_100, 3_349_900, 620_120, 3_349_910)
"""On the map; in pixels from column 200 to 240 and from row 180 to 200."""

Edit = Callable[[Features], Any]


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """f1 accepted, f2 rejected, d1 drawn; f3 and m1 not looked at."""
    out = finished_run(tmp_path_factory.mktemp("run") / "village", village(), outline="pixels")
    _review(out)
    return out


def _review(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"status": "accepted", "kind": "built", "comment": "new"})
        review.decide(["f2"], {"status": "rejected"})
        review.draw(SHED)


@pytest.fixture
def out(tmp_path: Path, reviewed: Path) -> Path:
    return Path(shutil.copytree(reviewed, tmp_path / "village"))


def _save(features: Features, path: Path, *, crs: str | None = CRS) -> Path:
    """A layer as QGIS would save it."""
    shapes = [
        shape if shape is None or shape.geom_type != "Polygon" else shapely.multipolygons([shape])
        for shape in features.shapes
    ]
    with pixel_coordinates():
        pyogrio.raw.write(
            path,
            geometry=np.array([shape and shapely.to_wkb(shape) for shape in shapes], dtype=object),
            field_data=[np.array(values, dtype=object) for values in features.columns.values()],
            fields=list(features.columns),
            driver={".gpkg": "GPKG", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile"}[path.suffix],
            geometry_type="Unknown" if path.suffix == ".gpkg" else "MultiPolygon",
            crs=crs,
            encoding="UTF-8",
        )
    return path


def _edited(out: Path, edit: Edit, *, suffix: str = ".gpkg", **deliver_as: Any) -> Path:
    """The delivered layer of a run, edited."""
    deliver(out, formats=(suffix[1:],), **deliver_as)
    features = read_features(out / "delivery" / f"reviewed{suffix}")
    edit(features)
    return _save(features, out / f"edited{suffix}")


def _row(features: Features, identity: str) -> int:
    return features.columns["id"].index(identity)


def _set(identity: str, **values: Any) -> Edit:
    def edit(features: Features) -> None:
        for key, value in values.items():
            if key == "shape":
                features.shapes[_row(features, identity)] = value
            else:
                features.columns[key][_row(features, identity)] = value

    return edit


def _remove(identity: str) -> Edit:
    def edit(features: Features) -> None:
        row = _row(features, identity)
        for values in (features.shapes, *features.columns.values()):
            del values[row]

    return edit


def _add(shape: shapely.Geometry, **values: Any) -> Edit:
    def edit(features: Features) -> None:
        features.shapes.append(shape)
        for key, column in features.columns.items():
            column.append(values.get(key))

    return edit


def _items(out: Path) -> dict[str, Item]:
    return read_journal(out).items


def _counts(back: TakenBack) -> tuple[int, int, int]:
    return back.changed, back.added, back.deleted


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp"])
@pytest.mark.parametrize("statuses", [("accepted",), STATUSES])
def test_what_nobody_edited_changes_nothing(
    suffix: str, statuses: tuple[Any, ...], out: Path
) -> None:
    before = journal_path(out).read_bytes()
    crs = "EPSG:4326" if suffix == ".geojson" else CRS
    deliver(out, formats=(suffix[1:],), statuses=statuses)
    features = read_features(out / "delivery" / f"reviewed{suffix}")
    back = take_back(out, _save(features, out / f"e{suffix}", crs=crs), reviewer="ben")
    assert _counts(back) == (0, 0, 0)
    assert journal_path(out).read_bytes() == before


@pytest.mark.parametrize("name", ["gpkg", "geojson", "fgb", "shp", "kml"])
def test_a_delivered_file_of_any_format_is_taken_back_as_it_is(name: str, out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"comment": "=1+1" + "ü" * 200})
    before = journal_path(out).read_bytes()
    deliver(out, formats=(name,), statuses=STATUSES)
    back = take_back(out, out / "delivery" / f"reviewed.{name}", reviewer="ben")
    assert (_counts(back), back.notes) == ((0, 0, 0), ())
    assert journal_path(out).read_bytes() == before


def test_geoparquet_is_refused_in_words(out: Path) -> None:
    with pytest.raises(VectorError, match="which hanet writes and does not read"):
        take_back(out, out / "delivery" / "reviewed.parquet", reviewer="ben")


def test_a_comment_may_be_shortened_or_emptied(out: Path) -> None:
    edited = _edited(out, _set("f1", comment="ne"))
    assert _counts(take_back(out, edited, reviewer="ben")) == (1, 0, 0)
    assert _items(out)["f1"].comment == "ne"
    edited = _edited(out, _set("f1", comment=None))
    take_back(out, edited, reviewer="ben")
    assert _items(out)["f1"].comment == ""


def test_status_kind_and_comment_come_back(out: Path) -> None:
    edited = _edited(out, _set("f1", status="unsure", kind="rebuilt", comment="roof only"))
    assert _counts(take_back(out, edited, reviewer="ben")) == (1, 0, 0)
    item = _items(out)["f1"]
    assert (item.status, item.kind, item.comment) == ("unsure", "rebuilt", "roof only")
    assert item.reviewer == "ben"
    assert _items(out)["f2"].reviewer == "anna"


def test_a_moved_outline_comes_back_with_its_area(out: Path) -> None:
    edited = _edited(out, _set("d1", shape=HALL))
    assert _counts(take_back(out, edited, reviewer="ben")) == (1, 0, 0)
    item = _items(out)["d1"]
    assert item.geometry.equals(shapely.box(200, 180, 240, 200))
    assert item.area_m2 == pytest.approx(200, rel=1e-3)
    assert item.status == "accepted"


def test_a_deleted_row_is_rejected(out: Path) -> None:
    edited = _edited(out, _remove("f1"))
    assert _counts(take_back(out, edited, reviewer="ben")) == (0, 0, 1)
    assert _items(out)["f1"].status == "rejected"
    assert _items(out)["d1"].status == "accepted"


def test_a_new_row_is_drawn_and_accepted(out: Path) -> None:
    edited = _edited(out, _add(HALL, kind="built"))
    assert _counts(take_back(out, edited, reviewer="ben")) == (0, 1, 0)
    item = _items(out)["d2"]
    assert (item.source, item.status, item.kind) == ("drawn", "accepted", "built")
    assert item.geometry.equals(shapely.box(200, 180, 240, 200))


def test_all_of_it_is_one_record_and_one_undo(out: Path) -> None:
    def edit(features: Features) -> None:
        _set("f1", kind="other")(features)
        _remove("d1")(features)
        _add(HALL)(features)

    edited = _edited(out, edit)
    lines = journal_path(out).read_text().splitlines()
    take_back(out, edited, reviewer="ben")
    added = journal_path(out).read_text().splitlines()[len(lines) :]
    assert [json.loads(line)["do"] for line in added] == ["taken_back"]
    assert json.loads(added[0])["file"] == "edited.gpkg"
    with Review.open(out, reviewer="anna") as review:
        review.undo()
    items = _items(out)
    assert (items["f1"].kind, items["d1"].status) == ("built", "accepted")
    assert "d2" not in items


def test_a_round_trip_delivers_what_was_edited(out: Path) -> None:
    def edit(features: Features) -> None:
        _set("f1", shape=HALL, comment="moved")(features)
        _add(shapely.box(620_000, 3_349_800, 620_010, 3_349_810))(features)

    take_back(out, _edited(out, edit), reviewer="ben")
    deliver(out)
    again = read_features(out / "delivery" / "reviewed.gpkg")
    assert again.columns["id"] == ["f1", "d1", "d2"]
    assert again.columns["comment"] == ["moved", None, None]
    assert again.shapes[0] is not None
    assert again.shapes[0].equals(HALL)


def test_a_layer_in_another_crs_is_brought_back(out: Path) -> None:
    def edit(features: Features) -> None:
        _set("d1", shape=HALL)(features)
        shapes = np.array(features.shapes, dtype=object)
        features.shapes[:] = list(in_another_crs(shapes, CRS, "EPSG:3857"))

    deliver(out)
    features = read_features(out / "delivery" / "reviewed.gpkg")
    edit(features)
    file = _save(features, out / "edited.gpkg", crs="EPSG:3857")
    assert _counts(take_back(out, file, reviewer="ben")) == (1, 0, 0)
    moved = _items(out)["d1"].geometry
    assert moved.symmetric_difference(shapely.box(200, 180, 240, 200)).area < 1


def test_pixel_coordinates_come_back_too(tmp_path: Path) -> None:
    out = finished_run(tmp_path / "village", village(), crs=None, outline="pixels")
    _review(out)
    deliver(out)
    features = read_features(out / "delivery" / "reviewed.gpkg")
    _set("d1", shape=shapely.box(100, -130, 120, -100))(features)
    file = _save(features, out / "edited.gpkg", crs=None)
    assert _counts(take_back(out, file, reviewer="ben")) == (1, 0, 0)
    assert _items(out)["d1"].geometry.equals(shapely.box(100, 100, 120, 130))


def test_the_runs_own_layer_filled_in_by_hand_comes_back(out: Path) -> None:
    """``footprints.gpkg`` has numbers for ids, and columns to fill in; what it leaves unreviewed
    stays as the review has it."""
    features = read_features(out / "footprints.gpkg")
    numbers = features.columns["id"]
    features.columns["status"] = ["accepted" if number == 3 else "unreviewed" for number in numbers]
    file = _save(features, out / "mine.gpkg")
    assert _counts(take_back(out, file, reviewer="ben")) == (1, 0, 0)
    statuses = {key: item.status for key, item in _items(out).items()}
    assert statuses == {"f1": "accepted", "f2": "rejected", "f3": "accepted", "d1": "accepted"}


def test_the_runs_own_layer_made_again_otherwise_is_refused(out: Path) -> None:
    """Its numbers are those of other footprints than the review's."""
    renew_footprints(out, threshold=0.6)
    features = read_features(out / "footprints.gpkg")
    file = _save(features, out / "mine.gpkg")
    before = journal_path(out).read_bytes()
    with pytest.raises(InputError, match="made again with other settings"):
        take_back(out, file, reviewer="ben")
    assert journal_path(out).read_bytes() == before
    renew_footprints(out, threshold=0.5)
    file = _save(read_features(out / "footprints.gpkg"), out / "mine.gpkg")
    assert _counts(take_back(out, file, reviewer="ben")) == (0, 0, 0)


def test_what_the_review_decided_meanwhile_stays(out: Path) -> None:
    edited = _edited(out, _set("f1", kind="other"), statuses=STATUSES)
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f3"], {"status": "accepted"})
        review.reshape("f2", shapely.box(300, 300, 320, 320))
        review.decide(["f1"], {"comment": "later"})
    back = take_back(out, edited, reviewer="ben")
    assert _counts(back) == (1, 0, 0)
    items = _items(out)
    assert items["f3"].status == "accepted"
    assert items["f2"].geometry.equals(shapely.box(300, 300, 320, 320))
    assert (items["f1"].kind, items["f1"].comment) == ("other", "later")


def test_what_both_changed_is_told(out: Path) -> None:
    edited = _edited(out, _set("f1", kind="other"))
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"kind": "demolished"})
    back = take_back(out, edited, reviewer="ben")
    assert any("1 items were changed in the review too" in note for note in back.notes)
    assert _items(out)["f1"].kind == "other"


def test_items_that_were_cut_since_are_left_out_and_told(out: Path) -> None:
    edited = _edited(out, _set("d1", kind="other"))
    with Review.open(out, reviewer="anna") as review:
        review.split("d1", shapely.LineString([(110, 90), (110, 130)]))
    back = take_back(out, edited, reviewer="ben")
    assert _counts(back) == (0, 0, 0)
    assert any("cut or joined" in note for note in back.notes)


def test_a_layer_of_an_earlier_delivery_deletes_nothing_of_a_later_one(out: Path) -> None:
    edited = _edited(out, _set("f1", kind="other"))
    deliver(out, statuses=STATUSES)
    assert _counts(take_back(out, edited, reviewer="ben")) == (1, 0, 0)


def test_a_part_of_a_layer_is_not_taken_for_one_with_deleted_rows(out: Path) -> None:
    def only_f3(features: Features) -> None:
        for identity in ("f1", "f2", "d1"):
            _remove(identity)(features)

    edited = _edited(out, only_f3, statuses=STATUSES)
    before = journal_path(out).read_bytes()
    with pytest.raises(InputError, match="lacks 3 of the 4 rows"):
        take_back(out, edited, reviewer="ben")
    assert journal_path(out).read_bytes() == before
    assert _counts(take_back(out, edited, reviewer="ben", deleted="kept")) == (0, 0, 0)
    assert _counts(take_back(out, edited, reviewer="ben", deleted="rejected")) == (0, 0, 2)


def test_without_a_memory_of_the_delivery_nothing_counts_as_deleted(out: Path) -> None:
    edited = _edited(out, _remove("f1"))
    (out / "review" / "delivered.json").write_text("{")
    back = take_back(out, edited, reviewer="ben")
    assert _counts(back) == (0, 0, 0)
    assert any("unknown which rows" in note for note in back.notes)


BOW = shapely.Polygon(
    [(620_100, 3_349_900), (620_120, 3_349_920), (620_120, 3_349_900), (620_100, 3_349_920)]
)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_set("f1", status="good"), r"row 1 of edited.gpkg \(f1\): there is no status"),
        (_set("f1", kind="house"), "there is no kind"),
        (_set("f1", comment="x" * 1001), "comment has 1001"),
        (_set("d1", id="f1"), "2 rows with the id f1"),
        (_set("d1", id="f99"), "no item of this id"),
        (_set("d1", shape=shapely.box(0, 0, 1, 1)), "less than one pixel within"),
        (_set("d1", shape=shapely.Point(620_100, 3_349_900)), "is a Point, no polygon"),
        (_set("d1", shape=None), r"\(d1\) has no outline"),
        (_set("d1", shape=BOW), "not valid"),
        (_add(shapely.box(0, 0, 1, 1)), "row 3 of edited.gpkg: the outline has less"),
    ],
)
def test_a_row_that_cannot_be_used_stops_all_of_it(edit: Edit, said: str, out: Path) -> None:
    def both(features: Features) -> None:
        _set("f1", kind="other")(features)
        edit(features)

    edited = _edited(out, both)
    before = journal_path(out).read_bytes()
    with pytest.raises(InputError, match=said) as error:
        take_back(out, edited, reviewer="ben")
    assert error.value.hint
    assert "\n" not in error.value.message
    assert journal_path(out).read_bytes() == before


def test_a_layer_without_ids_or_crs_is_refused(out: Path) -> None:
    edited = _edited(out, lambda features: features.columns.pop("id"))
    with pytest.raises(VectorError, match="has no column id; its columns are: status, kind"):
        take_back(out, edited, reviewer="ben")
    features = read_features(out / "delivery" / "reviewed.gpkg")
    with pytest.raises(VectorError, match="states no CRS"):
        take_back(out, _save(features, out / "bare.gpkg", crs=None), reviewer="ben")
    with pytest.raises(VectorError, match="cannot be read"):
        take_back(out, out / "missing.gpkg", reviewer="ben")


def test_while_a_review_is_open_nothing_is_taken_back(out: Path) -> None:
    edited = _edited(out, _set("f1", kind="other"))
    with (
        Review.open(out, reviewer="anna"),
        pytest.raises(OutputError, match="another hanet review"),
    ):
        take_back(out, edited, reviewer="ben")


def _pairs(tmp_path: Path) -> Path:
    out = tmp_path / "all"
    for name in ("north", "south"):
        _review(finished_run(out / name, village(), outline="pixels"))
    rows = "name,status,footprints,area,seconds,message\nnorth,done,3,1,1,\nsouth,done,3,1,1,\n"
    (out / "pairs.csv").write_text(rows, encoding="utf-8")
    return out


def test_a_merged_layer_goes_back_to_its_pairs_or_to_none(tmp_path: Path) -> None:
    out = _pairs(tmp_path)

    def edit(features: Features) -> None:
        pairs = features.columns["pair"]
        features.columns["kind"][pairs.index("south")] = "other"
        _add(HALL, pair="north")(features)

    edited = _edited(out, edit)
    assert _counts(take_back(out, edited, reviewer="ben")) == (1, 1, 0)
    assert "d2" in _items(out / "north")
    assert _items(out / "south")["f1"].kind == "other"
    journals = [journal_path(out / name).read_bytes() for name in ("north", "south")]

    def wrong(features: Features) -> None:
        features.columns["kind"][0] = "demolished"
        features.columns["status"][-1] = "good"

    wrong_file = _edited(out, wrong)
    with pytest.raises(HanetError, match="no status"):
        take_back(out, wrong_file, reviewer="ben")
    assert journals == [journal_path(out / name).read_bytes() for name in ("north", "south")]


def test_a_pair_whose_rows_were_all_deleted_is_not_forgotten(tmp_path: Path) -> None:
    out = _pairs(tmp_path)

    def without_south(features: Features) -> None:
        pairs = list(features.columns["pair"])
        for values in (features.shapes, *features.columns.values()):
            values[:] = [
                value for value, pair in zip(values, pairs, strict=True) if pair != "south"
            ]

    edited = _edited(out, without_south)
    with pytest.raises(InputError, match="lacks 2 of the 2 rows"):
        take_back(out, edited, reviewer="ben")
    assert _counts(take_back(out, edited, reviewer="ben", deleted="kept")) == (0, 0, 0)
    assert _counts(take_back(out, edited, reviewer="ben", deleted="rejected")) == (0, 0, 2)
    assert {item.status for item in _items(out / "south").values()} == {"rejected"}
    assert _items(out / "north")["f1"].status == "accepted"


def test_a_row_of_no_pair_is_refused(tmp_path: Path) -> None:
    out = _pairs(tmp_path)
    edited = _edited(out, lambda features: features.columns["pair"].__setitem__(0, "east"))
    with pytest.raises(InputError, match="there is no pair 'east'"):
        take_back(out, edited, reviewer="ben")
