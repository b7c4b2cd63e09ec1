"""``hanet deliver`` as it is typed."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hanet.cli import main
from hanet.review.journal import read_journal
from hanet.review.labels import Labels
from hanet.review.review import Review
from reviewed_runs import finished_run, village

Typed = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = finished_run(tmp_path_factory.mktemp("run") / "village", village(), outline="pixels")
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"status": "accepted"})
    return out


@pytest.fixture
def out(tmp_path: Path, reviewed: Path) -> Path:
    return Path(shutil.copytree(reviewed, tmp_path / "village"))


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    def run(*arguments: object, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["hanet", "deliver", *map(str, arguments)])
        if code:
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code == code
        else:
            main()
        captured = capsys.readouterr()
        return captured.out, captured.err

    return run


def test_it_says_what_was_written_and_what_was_left_out(out: Path, typed: Typed) -> None:
    said, notes = typed(out)
    assert said.splitlines()[0] == "1 footprint delivered, 38 m²"
    assert f"{out / 'delivery' / 'reviewed.gpkg'}" in said
    assert f"{out / 'delivery' / 'delivery.html'}" in said
    assert "2 of 3 footprints have not been reviewed and are left out" in notes


def test_footprints_made_again_say_that_the_review_keeps_its_own(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hanet", "footprints", str(out), "--threshold", "0.6"])
    main()
    said = " ".join(capsys.readouterr().err.split())
    assert "the review of" in said
    assert "has footprints of its own (threshold 0.5): numbers and counts of" in said
    assert "(threshold 0.6) are others" in said
    monkeypatch.setattr(sys, "argv", ["hanet", "footprints", str(out), "--threshold", "0.5"])
    main()
    assert "of its own" not in capsys.readouterr().err


def test_an_edited_layer_is_taken_back_before_it_is_delivered(out: Path, typed: Typed) -> None:
    typed(out, "--status", "all")
    layer = out / "delivery" / "reviewed.gpkg"

    with sqlite3.connect(layer) as store:
        # what SpatiaLite's functions in the layer's triggers would need is not at hand here
        for (trigger,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            store.execute(f'DROP TRIGGER "{trigger}"')
        store.execute("UPDATE reviewed SET status = 'accepted', kind = 'other' WHERE id = 'f2'")
    said, _ = typed(out, "--from", layer, "--reviewer", "ben")
    assert "1 changed, 0 new, 0 deleted (now rejected)" in said
    assert "2 footprints delivered" in said
    item = read_journal(out).items["f2"]
    assert (item.status, item.kind, item.reviewer) == ("accepted", "other", "ben")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--format", "dxf"), "there is no format 'dxf'"),
        (("--status", "fine"), "there is no status 'fine'"),
        (("--split", "val"), "--split has no effect without --labels"),
        (("--deleted", "kept"), "--deleted has no effect without --from"),
        (("--from", "e.gpkg", "--deleted", "some"), "--deleted is 'some'"),
        (("--from", "missing.gpkg"), "missing.gpkg cannot be read"),
        (("--labels", "set", "--tile", "9999"), "tiles of 9999 pixels do not fit"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_and_a_hint(
    arguments: tuple[str, ...],
    said: str,
    out: Path,
    typed: Typed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    _, error = typed(out, *arguments, code=2)
    lines = [line for line in error.splitlines() if not line.startswith("note: ")]
    assert lines[0].startswith("error: ")
    assert said in lines[0]
    assert lines[1].startswith("hint: ")
    assert len(lines) == 2


def test_what_has_not_been_reviewed_says_how_to_begin(tmp_path: Path, typed: Typed) -> None:
    out = finished_run(tmp_path / "new", village())
    _, error = typed(out, code=2)
    assert "has not been reviewed yet" in error
    assert f"hanet review {out}" in error.replace("\n", "")


def _pairs(out: Path, names: tuple[str, ...]) -> None:
    """Reviewed pairs with their images; in the one called ``open`` nothing is decided."""
    for name in names:
        run = finished_run(out / name, village(), outline="pixels")
        with Review.open(run, reviewer="anna") as review:
            if name != "open":
                review.decide(["f1"], {"status": "accepted"})
    rows = "".join(f"{name},done,3,1,1,\n" for name in names)
    (out / "pairs.csv").write_text(f"name,status,footprints,area,seconds,message\n{rows}")


def test_all_pairs_are_checked_before_labels_are_written(
    tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, labels = tmp_path / "all", tmp_path / "labels"
    _pairs(out, ("north", "open", "south"))
    written: list[str] = []

    def write(runs: dict[str, Path], root: Path, **options: object) -> list[Labels]:
        written.extend(runs)
        return [Labels(root / "train", 1, 1.0, 1.0) for _ in runs]

    monkeypatch.setattr("hanet.review.labels.write_labels", write)
    monkeypatch.setattr("hanet.review.inputs.check_inputs", lambda *_, **__: None)
    taken = labels / "train" / "label" / "south_0_0.png"
    taken.parent.mkdir(parents=True)
    taken.touch()
    _, error = typed(out, "--labels", labels, code=2)
    assert "holds tiles of south already" in error.replace("\n", " ")
    assert written == []
    taken.unlink()
    _, notes = typed(out, "--labels", labels)
    assert "the pair open gives no labels" in notes
    assert written == ["north", "south"]


def test_one_image_is_not_taken_for_those_of_many_pairs(tmp_path: Path, typed: Typed) -> None:
    out = tmp_path / "all"
    _pairs(out, ("north", "south"))
    _, error = typed(out, "--labels", tmp_path / "labels", "--before", "b.tif", code=2)
    assert "--before and --after are of one pair" in error
    assert not (out / "delivery").exists()
