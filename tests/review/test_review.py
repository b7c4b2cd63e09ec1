"""The review of a folder: what can be done, who is kept out, and what is refused."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely import LineString, Point, Polygon

from hanet.errors import HanetError, InputError, OutputError
from hanet.review.journal import journal_path, read_journal
from hanet.review.label_tiles import SuggestedTile, label_tiles, tile_item
from hanet.review.review import Review, read_review
from reviewed_runs import finished_run, village

BARN = shapely.box(10, 10, 40, 30)


@pytest.fixture(scope="module")
def reviewed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose findings are kept, and nothing decided."""
    out = finished_run(tmp_path_factory.mktemp("run"), village(), outline="pixels")
    with Review.open(out, reviewer="anna"):
        pass
    journal_path(out).unlink()
    return out


@pytest.fixture
def out(tmp_path: Path, reviewed_once: Path) -> Path:
    return Path(shutil.copytree(reviewed_once, tmp_path / "changes"))


@pytest.fixture
def review(out: Path) -> Iterator[Review]:
    with Review.open(out, reviewer="anna") as opened:
        yield opened


def ids(review: Review, queue: str, **how: object) -> list[str]:
    return [item.id for item in review.items(queue, **how)]


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in journal_path(out).read_text().splitlines()]


def test_a_new_review_holds_what_the_run_found(review: Review) -> None:
    assert sorted(ids(review, "found")) == ["f1", "f2", "f3"]
    assert ids(review, "missed") == ["m1"]
    assert len(ids(review, "blank")) == 14
    assert ids(review, "drawn") == []
    assert ids(review, "sample") == []
    assert review.last == 1
    assert not review.can_undo
    assert not review.can_redo
    assert review.threshold == 0.5
    assert review.progress()["found"] == {
        "total": 3,
        "reviewed": 0,
        "accepted": 0,
        "rejected": 0,
        "unsure": 0,
    }


def test_the_first_record_says_what_is_reviewed(review: Review) -> None:
    (begin,) = lines(review.out)
    assert begin["do"] == "begin"
    assert begin["by"] == "anna"
    assert begin["settings"]["threshold"] == 0.5
    assert (begin["grid"]["width"], begin["grid"]["height"]) == (512, 512)
    assert len(begin["probability_sha256"]) == 64


def test_orders(review: Review) -> None:
    assert ids(review, "found", order="doubt") == ["f3", "f1", "f2"]
    assert ids(review, "found", order="size") == ["f2", "f3", "f1"]
    assert ids(review, "found", order="place") == ["f2", "f3", "f1"]
    shuffled = [ids(review, "blank", order="random", seed=seed) for seed in (1, 1, 2)]
    assert shuffled[0] == shuffled[1] != shuffled[2]
    with pytest.raises(InputError, match="no order 'alphabet'"):
        review.items("found", order="alphabet")
    with pytest.raises(InputError, match="no queue 'all'"):
        review.items("all")
    with pytest.raises(InputError, match="seed"):
        review.items("found", order="random", seed=-1)


def test_a_decision_is_saved_with_the_outline_before_it_is_told(review: Review) -> None:
    change = review.decide(["f2"], {"status": "accepted", "kind": "built"})
    assert (change.last, change.removed, change.is_whole) == (2, (), False)
    (item,) = change.changed
    assert (item.id, item.status, item.kind, item.reviewer) == ("f2", "accepted", "built", "anna")
    record = lines(review.out)[-1]
    assert record["was"] == [{"status": "unreviewed", "kind": "", "comment": ""}]
    saved = read_journal(review.out).items["f2"]
    assert saved.to_json() == item.to_json()
    assert saved.geometry.equals(BARN)
    assert review.progress()["found"]["accepted"] == 1


def test_many_are_decided_at_once_or_none(review: Review) -> None:
    with pytest.raises(InputError, match="no item 'f9'"):
        review.decide(["f1", "f9"], {"status": "accepted"})
    assert review.last == 1
    change = review.decide(["f1", "m1", "b2", "f1"], {"status": "rejected"})
    assert sorted(item.id for item in change.changed) == ["b2", "f1", "m1"]
    assert review.progress()["blank"]["rejected"] == 1
    review.undo()
    assert review.progress()["blank"]["reviewed"] == 0


@pytest.mark.parametrize(
    ("ids", "values"),
    [
        ([], {"status": "accepted"}),
        (["f1"], {}),
        (["f1"], {"status": "yes"}),
        (["d1"], {"kind": ""}),
    ],
)
def test_decisions_that_cannot_be_made(review: Review, ids: list[str], values: dict) -> None:
    with pytest.raises(InputError):
        review.decide(ids, values)
    assert review.last == 1


def test_undo_and_redo(review: Review) -> None:
    review.decide(["f1"], {"status": "accepted"})
    review.decide(["f1"], {"comment": "a shed"})
    change = review.undo()
    assert [(item.id, item.status, item.comment) for item in change.changed] == [
        ("f1", "accepted", "")
    ]
    review.undo()
    assert review.item("f1").status == "unreviewed"
    assert not review.can_undo
    with pytest.raises(InputError, match="nothing to undo"):
        review.undo()
    review.redo()
    assert review.item("f1").status == "accepted"
    review.decide(["f3"], {"status": "unsure"})
    assert not review.can_redo  # another way was taken
    with pytest.raises(InputError, match="nothing to redo"):
        review.redo()


def test_what_was_drawn_is_accepted_and_measured(review: Review) -> None:
    change = review.draw(shapely.box(200, 200, 220, 210), {"kind": "built"})
    (item,) = change.changed
    assert (item.id, item.source, item.status, item.kind) == ("d1", "drawn", "accepted", "built")
    assert math.isnan(item.probability)
    assert item.area_m2 == pytest.approx(200 * 0.25, rel=2e-3)
    assert review.undo().removed == ("d1",)
    assert review.draw(shapely.box(0, 0, 9, 9)).changed[0].id == "d2"  # d1 may be redone elsewhere
    assert review.progress()["drawn"] == 1


def test_what_is_drawn_over_the_edge_is_cut_there(review: Review) -> None:
    (item,) = review.draw(shapely.box(-5, 100, 10, 110)).changed
    assert item.geometry.bounds == (0, 100, 10, 110)


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (Polygon([(0, 0), (10, 10), (10, 0), (0, 10)]), "not valid"),
        (shapely.box(600, 600, 700, 700), "less than one pixel within"),
        (shapely.box(5, 5, 5.5, 5.5), "less than one pixel within"),
        (Polygon(), "must be a polygon"),
        (Point(3, 3).buffer(9, quad_segs=9000), "36000 corners|36001 corners"),
        (LineString([(0, 0), (9, 9)]), "must be a polygon"),
        (Polygon([(0, 0), (math.inf, 10), (10, 0)]), "not finite"),
    ],
)
def test_outlines_that_cannot_be_drawn(review: Review, geometry: Polygon, message: str) -> None:
    with pytest.raises(InputError, match=message):
        review.draw(geometry)
    with pytest.raises(InputError, match=message):
        review.reshape("f1", geometry)
    assert review.last == 1


def test_a_new_outline_keeps_the_decision(review: Review) -> None:
    review.decide(["f2"], {"status": "unsure"})
    (item,) = review.reshape("f2", shapely.box(10, 10, 50, 30)).changed
    assert item.status == "unsure"
    assert item.area_m2 == pytest.approx(800 * 0.25, rel=2e-3)
    assert read_journal(review.out).items["f2"].geometry.bounds == (10, 10, 50, 30)
    (back,) = review.undo().changed
    assert back.geometry.equals(BARN)
    with pytest.raises(InputError, match="blank tile"):
        review.reshape("b2", BARN)


def test_an_item_cut_in_two(review: Review) -> None:
    review.decide(["f2"], {"status": "accepted", "comment": "two barns"})
    change = review.split("f2", LineString([(20, 0), (20, 100)]))
    assert change.removed == ("f2",)
    assert [(item.id, item.geometry.bounds) for item in change.changed] == [
        ("d1", (10, 10, 20, 30)),
        ("d2", (20, 10, 40, 30)),
    ]
    assert {item.status for item in change.changed} == {"accepted"}
    assert {item.comment for item in change.changed} == {"two barns"}
    assert change.changed[0].probability == pytest.approx(0.9, abs=0.002)
    assert sum(item.area_m2 for item in change.changed) == pytest.approx(150, rel=2e-3)
    assert ids(review, "found", order="place") == ["f3", "f1"]
    with pytest.raises(InputError, match="no item 'f2'"):
        review.decide(["f2"], {"status": "accepted"})
    change = review.undo()
    assert change.removed == ("d1", "d2")
    assert [item.id for item in change.changed] == ["f2"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (LineString([(0, 0), (5, 5)]), "does not cut"),
        (LineString([(0, 20), (25, 20)]), "does not cut"),
        (LineString([(10.01, 0), (10.01, 99)]), "less than one pixel"),
        (Point(20, 20), "by a line"),
        (LineString([(x, y) for x in np.arange(10.2, 40, 0.25) for y in (0, 99)]), "more than 50"),
    ],
)
def test_lines_that_cut_nothing(review: Review, line: LineString, message: str) -> None:
    with pytest.raises(InputError, match=message):
        review.split("f2", line)
    assert review.last == 1


def test_items_joined(review: Review) -> None:
    review.decide(["f1", "f2"], {"status": "accepted"})
    review.decide(["f1"], {"comment": "left"})
    change = review.merge(["f1", "f2"])
    assert change.removed == ("f1", "f2")
    (whole,) = change.changed
    assert (whole.id, whole.status, whole.comment) == ("d1", "accepted", "left")
    assert whole.geometry.area == 30 * 20 + 15 * 10
    expected = (0.9 * 600 + 0.7 * 150) / 750
    assert whole.probability == pytest.approx(expected, abs=0.002)
    with pytest.raises(InputError, match="takes two"):
        review.merge(["d1", "d1"])
    with pytest.raises(InputError, match="blank tile"):
        review.merge(["d1", "b2"])


def test_items_that_disagree_are_open_when_joined(review: Review) -> None:
    review.decide(["f1"], {"status": "accepted", "kind": "built"})
    review.decide(["f2"], {"status": "rejected", "kind": "built"})
    (whole,) = review.merge(["f1", "f2"]).changed
    assert (whole.status, whole.kind) == ("unreviewed", "built")


def test_a_sample_is_a_queue_of_its_own(review: Review) -> None:
    review.decide(["f1"], {"status": "accepted"})
    change = review.make_sample(8, seed=3)
    assert len(change.changed) == 8
    drawn = ids(review, "sample", order="random")
    assert sorted(drawn) == sorted(item.id for item in change.changed)
    assert {"f1", "f2", "f3", "m1"} <= set(drawn)
    assert review.item("f1").status == "accepted"
    assert review.item("f1").stratum.startswith("found")
    review.decide(["f2"], {"status": "rejected"})
    assert review.progress()["sample"]["reviewed"] == 2
    review.undo()
    assert review.item("f2").stratum.startswith("found")
    state = read_journal(review.out)
    assert state.sample is not None
    assert [body["id"] for body in state.sample["items"]] == drawn
    assert set(state.items) == set(drawn)
    estimates = review.estimates()
    assert estimates is not None
    assert estimates["threshold"] == 0.5


def test_another_sample_takes_the_place_of_the_first(review: Review) -> None:
    first = {item.id for item in review.make_sample(8, seed=3).changed}
    change = review.make_sample(6, seed=4)
    second = set(ids(review, "sample"))
    assert len(second) == 6
    assert {item.id for item in change.changed} == first | second
    for identity in first - second:
        assert review.item(identity).stratum == ""


def test_shapes_in_a_box(review: Review) -> None:
    def seen(*box: float, limit: int = 99) -> list[str]:
        return sorted(item.id for item in review.shapes(box, limit=limit))

    assert seen(0, 0, 512, 512) == ["f1", "f2", "f3", "m1"]
    assert seen(0, 0, 45, 45) == ["f2"]
    assert seen(0, 0, 512, 512, limit=1) == ["f2"]
    assert seen(300, 300, 400, 400) == []
    review.draw(shapely.box(310, 310, 320, 320))
    assert seen(300, 300, 400, 400) == ["d1"]
    review.reshape("d1", shapely.box(100, 310, 120, 320))
    assert seen(300, 300, 400, 400) == []
    review.split("f2", LineString([(20, 0), (20, 100)]))
    assert seen(0, 0, 45, 45) == ["d2", "d3"]


def test_what_another_tab_did(review: Review) -> None:
    start = review.last
    review.decide(["f1"], {"status": "accepted"})
    review.draw(shapely.box(310, 310, 320, 320))
    review.undo()
    change = review.since(start)
    assert (change.last, change.removed, change.is_whole) == (4, ("d1",), False)
    assert [(item.id, item.status) for item in change.changed] == [("f1", "accepted")]
    assert review.since(change.last).changed == ()
    assert review.since(0).is_whole
    assert review.since(99).is_whole


def test_a_second_server_is_kept_out_in_words(review: Review) -> None:
    with pytest.raises(OutputError, match="another hanet review is at work") as refusal:
        Review.open(review.out, reviewer="ben")
    assert refusal.value.hint == "use its page, or end it first"


def test_a_closed_review_is_opened_again_as_it_was(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"status": "accepted"})
        review.draw(shapely.box(310, 310, 320, 320))
        before = {key: item.to_json() for key, item in review.all_items().items()}
        review.draw(shapely.box(410, 310, 420, 320))
        review.undo()
    with Review.open(out, reviewer="ben") as review:
        assert {key: item.to_json() for key, item in review.all_items().items()} == before
        assert review.can_redo
        review.redo()
        assert review.item("d2").reviewer == "anna"
    files = sorted(path.name for path in (out / "review").iterdir())
    assert files[0].startswith("findings-")
    assert files[1:] == ["journal.jsonl"]


def test_reading_needs_no_lock(review: Review) -> None:
    review.decide(["f1"], {"status": "accepted"})
    items = read_review(review.out)
    assert items["f1"].status == "accepted"
    assert items["f2"].status == "unreviewed"
    assert items["m1"].source == "missed"


def test_a_folder_without_a_run(tmp_path: Path, out: Path) -> None:
    with pytest.raises(OutputError, match="holds no run"):
        Review.open(tmp_path, reviewer="anna")
    assert not (tmp_path / "review").exists()
    (out / "run.json").unlink()
    (out / ".hanet").mkdir()
    (out / ".hanet" / "journal.json").write_text("{}")
    with pytest.raises(OutputError, match="not finished"):
        Review.open(out, reviewer="anna")


def test_a_run_without_probability(out: Path) -> None:
    (out / "probability.tif").unlink()
    with pytest.raises(OutputError, match=r"no probability\.tif"):
        Review.open(out, reviewer="anna")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"footprints": {"threshold": 7}}'])
def test_a_damaged_run_json(out: Path, text: str) -> None:
    (out / "run.json").write_text(text)
    with pytest.raises(OutputError, match=r"run\.json is damaged"):
        Review.open(out, reviewer="anna")


def test_another_probability_than_the_review_began_with(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"status": "accepted"})
    finished_run(out, np.roll(village(), 5))
    with pytest.raises(OutputError, match="not the one that the review") as refusal:
        Review.open(out, reviewer="anna")
    assert "move" in (refusal.value.hint or "")
    with pytest.raises(OutputError, match="not the one that the review"):
        read_review(out)


@pytest.mark.parametrize("name", ["", "  ", "a\nb\x00", "x" * 101])
def test_reviewers_without_a_name(out: Path, name: str) -> None:
    with pytest.raises(InputError):
        Review.open(out, reviewer=name)
    assert not journal_path(out).exists()


def test_the_layer_of_the_run_is_never_changed(out: Path) -> None:
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"status": "rejected"})
        review.split("f2", LineString([(20, 0), (20, 100)]))
        review.remake(replace(review.settings, threshold=0.3))
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_a_review_folder_that_cannot_be_one(out: Path, tmp_path: Path) -> None:
    shutil.move(out / "review", tmp_path / "elsewhere")
    (out / "review").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="is a link"):
        Review.open(out, reviewer="anna")
    (out / "review").unlink()
    (out / "review").write_text("mine")
    with pytest.raises(OutputError, match="cannot be written"):
        Review.open(out, reviewer="anna")
    assert (out / "review").read_text() == "mine"


def test_a_disk_that_is_full_at_the_beginning(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left"):
            Review.open(out, reviewer="anna")
    with Review.open(out, reviewer="anna") as review:  # and the lock was let go
        assert review.last == 1


def test_edited_items_are_taken_back_in_one_step(review: Review) -> None:
    review.decide(["f1"], {"status": "accepted"})
    edited = replace(review.item("f2"), status="rejected", comment="by QGIS")
    new = replace(edited, id=review.next_drawn(), source="drawn", geometry=shapely.box(0, 0, 5, 5))
    change = review.take_back("edited.gpkg", [edited, new])
    assert [item.id for item in change.changed] == ["d1", "f2"]
    assert review.item("f2").comment == "by QGIS"
    assert lines(review.out)[-1]["file"] == "edited.gpkg"
    review.undo()
    assert review.item("f2").status == "unreviewed"
    with pytest.raises(InputError, match="no item 'd1'"):
        review.item("d1")
    with pytest.raises(InputError, match="d1 is no new id"):
        review.take_back("edited.gpkg", [new])


def test_an_outline_that_comes_back_as_it_was_is_left_alone(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a footprint may have more corners than a person may draw
    monkeypatch.setattr("hanet.review.corrections.MOST_CORNERS", 4)
    same = replace(review.item("f2"), status="accepted")
    review.take_back("edited.gpkg", [same])
    assert review.item("f2").status == "accepted"
    with pytest.raises(InputError, match="at most 4"):
        review.take_back("edited.gpkg", [replace(same, geometry=BARN.buffer(1))])


def test_threads_that_decide_at_once_lose_nothing(review: Review) -> None:
    wrong: list[BaseException] = []

    def work(identity: str) -> None:
        try:
            for number in range(8):
                review.decide([identity], {"comment": f"{identity} {number}"})
                review.items("found")
                review.progress()
        except HanetError as error:  # pragma: no cover - a failure of the test
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("f1", "f2", "f3", "m1")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert review.last == 1 + 4 * 8
    items = read_journal(review.out).items
    assert {key: item.comment for key, item in items.items()} == {
        key: f"{key} 7" for key in ("f1", "f2", "f3", "m1")
    }


def suggest(review: Review, *numbers: int) -> None:
    windows = label_tiles(review.grid)
    tiles = [
        SuggestedTile(tile_item(number, windows[number]), f"reason {number}") for number in numbers
    ]
    review.suggest(tiles, count=len(tiles), seed=7)


def test_suggested_tiles_come_after_what_lies_in_them(review: Review) -> None:
    suggest(review, 3, 0)
    assert ids(review, "suggested") == ["t4", "f3", "f1", "f2", "t1"]
    assert review.reason("t4") == "reason 3"
    assert review.reason("f1") == ""
    assert review.item("t4").geometry.equals(shapely.box(256, 256, 512, 512))
    assert review.progress()["suggested"]["total"] == 2
    review.draw(shapely.box(300, 300, 310, 310))
    review.decide(["m1"], {"status": "rejected"})
    assert ids(review, "suggested") == ["d1", "t4", "f3", "m1", "f1", "f2", "t1"]
    assert {item.id for item in review.shapes((0, 0, 512, 512), limit=99)} == {
        *("f1", "f2", "f3", "m1", "d1")
    }


def test_a_tile_is_not_complete_before_all_footprints_in_it_are_decided(review: Review) -> None:
    suggest(review, 0, 3)
    review.decide(["f1"], {"status": "accepted"})
    with pytest.raises(InputError, match=r"t1 is not complete: 2 of the footprints .*f2, f3"):
        review.decide(["t1"], {"status": "accepted"})
    review.decide(["t1"], {"status": "rejected"})
    review.decide(["t4"], {"status": "accepted"})
    review.decide(["f2", "f3", "t1"], {"status": "accepted"})
    assert review.progress()["suggested"]["accepted"] == 2
    review.undo()
    assert review.item("t1").status == "rejected"


def test_a_new_suggestion_takes_the_place_of_what_nobody_decided(review: Review) -> None:
    suggest(review, 0, 1, 2)
    review.decide(["t2"], {"status": "unsure"})
    suggest(review, 3)
    tiles = [item.id for item in review.items("suggested") if item.source == "tile"]
    assert tiles == ["t4", "t2"]
    with pytest.raises(InputError, match="no item 't1'"):
        review.item("t1")
    review.undo()
    assert ids(review, "suggested") == ["t4"]
    assert read_review(review.out)["t4"].source == "tile"


def test_a_suggested_tile_has_no_outline_to_correct(review: Review) -> None:
    suggest(review, 3)
    for wrong in (
        lambda: review.reshape("t4", shapely.box(0, 0, 5, 5)),
        lambda: review.split("t4", LineString([(300, 0), (300, 999)])),
        lambda: review.merge(["t4", "f1"]),
    ):
        with pytest.raises(InputError, match="t4 is a suggested tile, which has no outline"):
            wrong()


@pytest.mark.parametrize(
    ("numbers", "changes", "said"),
    [
        ([0, 0], {}, "names a tile twice"),
        ([0], {"count": 0}, "count of a suggestion is 0"),
        ([0], {"seed": -1}, "seed of a suggestion is -1"),
    ],
)
def test_wrong_suggestions_are_refused(
    review: Review, numbers: list[int], changes: dict[str, int], said: str
) -> None:
    tiles = [SuggestedTile(tile_item(n, label_tiles(review.grid)[n]), "") for n in numbers]
    with pytest.raises(InputError, match=said):
        review.suggest(tiles, **{"count": 1, "seed": 1, **changes})
    assert review.last == 1
