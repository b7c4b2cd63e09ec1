"""What becomes of decisions when footprints are remade."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from hanet.errors import InputError, SettingsError
from hanet.footprints.settings import FootprintSettings
from hanet.review.items import Item, Source, Status
from hanet.review.journal import journal_path, read_journal
from hanet.review.ledger import signed
from hanet.review.matching import match
from hanet.review.review import Review, read_review
from reviewed_runs import finished_run, village


def item(
    identity: str,
    *box: float,
    source: Source = "found",
    status: Status = "accepted",
) -> Item:
    return Item(identity, source, shapely.box(*box), 0.7, status=status)


KEPT = item("f1", 0, 0, 10, 10)


@pytest.mark.parametrize(
    ("kept", "remade", "taken", "conflicts"),
    [
        # the same place, a little smaller or larger
        ([KEPT], [item("1-1", 1, 1, 9, 9)], {"1-1": ("f1",)}, {}),
        ([KEPT], [item("1-1", 0, 0, 10, 19)], {"1-1": ("f1",)}, {}),
        # another place
        ([KEPT], [item("1-1", 20, 0, 30, 10)], {}, {"f1": ()}),
        # only a corner in common
        ([KEPT], [item("1-1", 9, 9, 19, 19)], {}, {"f1": ()}),
        # in parts now
        (
            [KEPT],
            [item("1-1", 0, 0, 4, 10), item("1-2", 6, 0, 10, 10)],
            {"1-1": ("f1",), "1-2": ("f1",)},
            {"f1": ("1-1", "1-2")},
        ),
        # one with its neighbour now
        (
            [KEPT, item("f2", 12, 0, 22, 10)],
            [item("1-1", 0, 0, 22, 10)],
            {"1-1": ("f1", "f2")},
            {"f1": ("1-1",), "f2": ("1-1",)},
        ),
        # a rejected speck on what is a large building now: that must be looked at
        (
            [item("f1", 0, 0, 3, 3, status="rejected")],
            [item("1-1", 0, 0, 30, 30)],
            {},
            {"f1": ("1-1",)},
        ),
        # gone: what was rejected is not missed
        ([item("f1", 0, 0, 9, 9, status="rejected")], [], {}, {}),
        ([item("f1", 0, 0, 9, 9, status="unsure")], [], {}, {"f1": ()}),
        # what a person drew was never found
        ([item("d1", 0, 0, 9, 9, source="drawn")], [], {}, {}),
        # a footprint that is below the threshold now
        (
            [KEPT],
            [item("1-m1", 0, 0, 10, 10, source="missed")],
            {"1-m1": ("f1",)},
            {"f1": ("1-m1",)},
        ),
        # a missed place that was accepted is a footprint now
        (
            [item("m1", 0, 0, 10, 10, source="missed")],
            [item("1-1", 0, 0, 10, 11)],
            {"1-1": ("m1",)},
            {},
        ),
        # two kept items on the same ground do not cover twice of it
        (
            [item("f1", 0, 0, 10, 10), item("d1", 0, 0, 10, 10, source="drawn")],
            [item("1-1", 0, 0, 10, 30)],
            {},
            {"f1": ("1-1",), "d1": ("1-1",)},
        ),
        ([], [item("1-1", 0, 0, 9, 9)], {}, {}),
        ([], [], {}, {}),
    ],
)
def test_rules(
    kept: list[Item],
    remade: list[Item],
    taken: dict[str, tuple[str, ...]],
    conflicts: dict[str, tuple[str, ...]],
) -> None:
    matching = match(kept, remade)
    assert matching.taken == taken
    assert {conflict.kept: conflict.new for conflict in matching.conflicts} == conflicts
    assert all(conflict.why for conflict in matching.conflicts)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return finished_run(tmp_path / "changes", village(), outline="pixels")


def seen(review: Review, queue: str) -> list[str]:
    return sorted(item.id for item in review.items(queue))  # type: ignore[arg-type]


def test_remade_footprints_and_decisions_that_stay(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f2"], {"status": "accepted"})
        review.decide(["f3"], {"status": "accepted", "comment": "faint"})
        review.make_sample(5, seed=1)
        stages: list[tuple[str, float]] = []
        change = review.remake(
            replace(review.settings, threshold=0.6), lambda *stage: stages.append(stage)
        )
        assert change.is_whole
        assert change.generation == review.generation == 1
        assert stages[-1] == ("finding what to review", 1.0)
        assert review.threshold == 0.6
        # 1-1 is the shed; the barn is taken as f2, and f3 is below the threshold now
        assert seen(review, "found") == ["1-1", "f2", "f3"]
        assert seen(review, "missed") == ["1-m2"]
        assert [conflict.to_json() for conflict in review.conflicts] == [
            {
                "kept": "f3",
                "new": ["1-m1"],
                "why": "there is no footprint here with the new settings",
            }
        ]
        assert review.item("f3").comment == "faint"
        assert review.sample is None
        assert review.item("f2").stratum == ""
        with pytest.raises(InputError, match="no item '1-2'"):
            review.item("1-2")
        with pytest.raises(InputError, match="no item 'f1'"):
            review.item("f1")
        now = {key: item.to_json() for key, item in review.all_items().items()}
    with Review.open(out, reviewer="ben") as review:
        assert {key: item.to_json() for key, item in review.all_items().items()} == now
        assert review.threshold == 0.6
        assert [conflict.kept for conflict in review.conflicts] == ["f3"]
    assert {key: item.to_json() for key, item in read_review(out).items()} == now
    assert read_journal(out).conflicts[0].kept == "f3"


def test_nothing_is_undone_or_redone_across_a_remake(out: Path) -> None:
    """Redone, the shed would stand there twice: accepted as f1, and as 1-1, which was not taken as
    it."""
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f2"], {"status": "accepted"})
        review.decide(["f1"], {"status": "accepted"})
        review.undo()
        assert review.can_undo
        assert review.can_redo
        review.remake(replace(review.settings, threshold=0.6))
        assert not review.can_undo
        assert not review.can_redo
        with pytest.raises(InputError, match="nothing to redo since the footprints were remade"):
            review.redo()
        with pytest.raises(InputError, match="nothing to undo since the footprints were remade"):
            review.undo()
        assert seen(review, "found") == ["1-1", "f2"]
        review.decide(["f2"], {"status": "rejected"})
        review.undo()
        assert review.item("f2").status == "accepted"
        assert review.can_redo
        assert not review.can_undo
    with Review.open(out, reviewer="anna") as review:
        assert (review.can_undo, review.can_redo) == (False, True)


def test_a_journal_that_undid_across_a_remake_is_read(out: Path) -> None:
    """Undo did so before it was refused."""
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f2"], {"status": "accepted"})
        review.remake(replace(review.settings, threshold=0.6))
    for do, number, names in (("undo", 4, ["1-1", "1-2"]), ("redo", 5, ["1-1", "f2"])):
        record = signed(number, "anna", do, {f"{do}es": 2})
        with journal_path(out).open("a") as file:
            file.write(json.dumps(record) + "\n")
        with Review.open(out, reviewer="anna") as review:
            assert seen(review, "found") == names
            assert (review.can_undo, review.can_redo) == (False, False)


def test_what_was_cut_before_a_remake_stays_cut(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        review.split("f2", shapely.LineString([(20, 0), (20, 100)]))
        review.remake(replace(review.settings, threshold=0.6))
        assert seen(review, "found") == ["1-1"]
        assert seen(review, "drawn") == ["d1", "d2"]
        assert {conflict.kept for conflict in review.conflicts} == {"d1", "d2"}
        review.merge(["d1", "d2"])
        # still nobody has to look at the barn again
        assert seen(review, "found") == ["1-1"]


def test_the_smallest_area_can_be_changed_too(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"status": "rejected"})
        review.remake(replace(review.settings, min_area_m2=50.0))
        assert seen(review, "found") == ["1-1", "1-2", "f1"]
        assert review.conflicts == ()
        assert review.progress()["found"]["rejected"] == 1


def test_back_and_forth_gives_the_same_footprints(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        first = [item.geometry for item in review.items("found", order="place")]
        old = review.settings
        review.remake(replace(old, threshold=0.6))
        review.remake(old)
        assert seen(review, "found") == ["2-1", "2-2", "2-3"]
        again = [item.geometry for item in review.items("found", order="place")]
        assert all(one.equals(other) for one, other in zip(first, again, strict=True))


def test_the_same_settings_remake_nothing(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        change = review.remake(review.settings)
        assert (change.last, change.generation, change.is_whole) == (1, 0, False)


def test_a_remake_needs_a_threshold(out: Path) -> None:
    with (
        Review.open(out, reviewer="anna") as review,
        pytest.raises(SettingsError, match="threshold"),
    ):
        review.remake(FootprintSettings())


def test_decisions_go_on_while_footprints_are_remade(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        decided: list[str] = []

        def decide_meanwhile(_: str, share: float) -> None:
            if not decided:
                decided.append("f2")
                review.decide(["f2"], {"status": "rejected"})
                with pytest.raises(InputError, match="remade already"):
                    review.remake(replace(review.settings, threshold=0.7))

        review.remake(replace(review.settings, threshold=0.6), decide_meanwhile)
        assert review.item("f2").status == "rejected"
        assert seen(review, "found") == ["1-1", "f2"]


def test_many_remade_footprints_are_matched_once_each() -> None:
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 20, (400, 2)) + 40 * np.array(
        [(number % 20, number // 20) for number in range(400)]
    )
    kept = [item(f"f{n}", x, y, x + 10, y + 10) for n, (x, y) in enumerate(corners, start=1)]
    remade = [item(f"1-{n}", x, y, x + 9, y + 11) for n, (x, y) in enumerate(corners, start=1)]
    matching = match(kept, remade)
    assert matching.taken == {f"1-{n}": (f"f{n}",) for n in range(1, 401)}
    assert matching.conflicts == ()
