"""``hanet suggest`` on small finished runs: what it chooses from, what it writes, what it refuses."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from PIL import Image
from rasterio.crs import CRS
from typer.testing import CliRunner

from hanet.cli import app
from hanet.detection.job import detect
from hanet.errors import HanetError, OutputError, RasterError, SettingsError, WeightsError
from hanet.imagery.vectors import read_features
from hanet.metadata import Metadata
from hanet.review import label_tiles, suggestion
from hanet.review.journal import journal_path, read_journal
from hanet.review.review import Review, read_review
from hanet.review.suggestion import Suggestions, reason_of, suggest, views_of
from hanet.review.tile_choice import Chosen
from hanet.review.tile_features import TileDoubt
from hanet.synthetic.scene import render_pair
from hanet.types import FloatArray
from review_pages import shown_run


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four tiles, all its buildings in the first; to be copied."""
    folder = tmp_path_factory.mktemp("kept")
    shown_run(folder)
    return folder


@pytest.fixture
def out(kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(kept, tmp_path / "run")
    return tmp_path / "run" / "out"


def _suggest(out: Path, **changes: Any) -> Suggestions:
    settings: dict[str, Any] = {"count": 2, "reviewer": "anna", "warn": _fail, **changes}
    return suggest(out, **settings)


def _fail(message: str) -> None:
    raise AssertionError(message)


def _ids(found: Suggestions) -> list[str]:
    return [one.tile.item.id for one in found.tiles]


def test_tiles_wait_in_the_review_and_lie_on_the_map(out: Path) -> None:
    found = _suggest(out)
    assert "t1" in _ids(found)
    (first,) = (one for one in found.tiles if one.tile.item.id == "t1")
    assert first.footprints == 3
    assert "near the threshold" in first.tile.reason
    assert found.candidates == 4
    state = read_journal(out)
    assert [record["do"] for record in state.records] == ["begin", "suggest"]
    assert list(state.suggested) == _ids(found)
    with Review.open(out, reviewer="anna") as review:
        tiles = [item for item in review.items("suggested") if item.source == "tile"]
        assert [item.id for item in tiles] == _ids(found)
        assert review.reason("t1") == first.tile.reason
    layer = read_features(out / "suggestions.gpkg")
    assert layer.columns["id"] == _ids(found)
    assert layer.columns["rank"] == [1, 2]
    assert CRS.from_user_input(layer.crs).to_epsg() == 32614
    at = layer.columns["id"].index("t1")
    assert layer.shapes[at].equals(shapely.box(620000, 3349872, 620128, 3350000))


def test_blank_ground_is_included_and_said_to_be(out: Path) -> None:
    found = _suggest(out, count=4)
    blank = [one for one in found.tiles if not one.footprints]
    assert len(blank) == 3
    assert all("nothing was found in it" in one.tile.reason for one in blank)
    assert all("threshold" not in one.tile.reason for one in blank)


def test_the_same_review_and_seed_give_the_same(out: Path) -> None:
    assert _suggest(out) == _suggest(out)
    assert read_journal(out).last == 3


def test_after_review_it_suggests_others(out: Path) -> None:
    first = _ids(_suggest(out))
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1", "f2", "f3"], {"status": "rejected"})
        review.decide([first[0]], {"status": "accepted"})
        review.decide([first[1]], {"status": "unsure"})
    second = _suggest(out, count=9)
    assert sorted([*first, *_ids(second)]) == ["t1", "t2", "t3", "t4"]
    assert second.candidates == 2
    assert second.notes[-1] == "only 2 tiles are left to suggest"
    with Review.open(out, reviewer="anna") as review:
        review.decide(_ids(second), {"status": "rejected"})
    with pytest.raises(OutputError, match=r"all tiles of .* with data are reviewed"):
        _suggest(out)


def test_ground_that_is_known_from_blank_tiles_is_not_suggested(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        inside = [i.id for i in review.items("blank") if i.geometry.bounds[0] >= 256]
        review.decide(inside, {"status": "rejected"})
    assert not {"t2"} & set(_ids(_suggest(out, count=4)))


def test_of_tiles_that_overlap_by_half_one_is_suggested(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_tiles, "TILE_PX", 240)  # at 0, 240 and 272 of 512 pixels
    found = _suggest(out, count=9)
    boxes = [one.tile.item.geometry for one in found.tiles]
    shared = [a.intersection(b).area for a in boxes for b in boxes if a is not b]
    assert found.candidates == 9
    assert len(boxes) == 4
    assert not any(shared)
    assert found.notes[-1] == "only 4 tiles are left to suggest"


def test_of_many_tiles_some_are_looked_at(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggestion, "MOST_TILES", 2)
    found = _suggest(out, count=2, seed=4)
    assert found.candidates == 2
    assert "t1" in _ids(found)  # the most doubtful one
    assert len({tuple(_ids(_suggest(out, seed=seed))) for seed in range(6)}) > 1


def test_flips_strengthen_doubt(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages: list[str] = []
    real = _suggest(out, weights="hanet_lite", progress=lambda stage, _: stages.append(stage))
    assert suggestion.FLIPPING in stages
    assert real.notes == ()
    told = _suggest(out)
    assert told.notes[0].startswith("flips are not compared: there are no weights 'test'")
    assert _suggest(out, flips=False).notes == ()
    with pytest.raises(WeightsError, match="no weights 'nothing'"):
        _suggest(out, weights="nothing")


class _LeftIsLikely:
    """Finds change on the left, whatever it sees: turned back, two views of four say left."""

    metadata = Metadata(name="left", model="none", divisor=16)

    def predict(self, before: FloatArray, _: FloatArray) -> FloatArray:
        probability = np.zeros((len(before), *before.shape[2:]), dtype=np.float32)
        probability[:, :, : before.shape[3] // 2] = 1.0
        return probability


def test_views_are_turned_back_and_cut_to_what_the_weights_take() -> None:
    image = np.zeros((3, 35, 40), dtype=np.float32)
    views = views_of(_LeftIsLikely(), image, image)
    assert views is not None
    assert views.shape == (4, 32, 32)
    assert views[:, 0, 0].tolist() == [1, 0, 1, 0]
    assert views_of(_LeftIsLikely(), image[:, :9], image[:, :9]) is None
    assert views_of(_LeftIsLikely(), image[:2], image[:2]) is None


@pytest.mark.parametrize(
    ("near", "rank", "novelty", "alike", "strength", "footprints", "said"),
    [
        (0.031, 0.9, 0.2, 0, 1.0, 2, "3.1% of it is near the threshold"),
        (0.0, 0.9, 0.2, 1, 1.5, 2, "flipping it changes the answer, another tile looks like it"),
        # of a tile without doubt, flips that differ by next to nothing are not worth a word
        (0.0, 0.1, 0.2, 7, 2.0, 0, "nothing was found in it, 7 tiles look like it"),
        (0.0, 0.1, 0.9, 0, 1.0, 1, "nothing that was reviewed looks like it"),
        (0.0, 0.1, 0.1, 0, 1.0, 1, "it is unlike the others"),
    ],
)
def test_reasons(
    near: float,
    rank: float,
    novelty: float,
    alike: int,
    strength: float,
    footprints: int,
    said: str,
) -> None:
    doubt = TileDoubt(0.1, near, 0.0, 1.0, (1.0, 0.0, 0.0, 0.0, 0.0))
    chosen = Chosen(0, rank, novelty, alike)
    assert reason_of(doubt, chosen, strength, footprints, has_known=True) == said


def test_a_layer_that_was_edited_is_kept(out: Path) -> None:
    _suggest(out)
    assert _suggest(out).files == (out / "suggestions.gpkg",)
    assert not list(out.glob("*kept*"))
    (out / "suggestions.gpkg").write_bytes(b"mine")
    found = _suggest(out, flips=False)
    assert found.notes == (
        "suggestions.gpkg was not as it had been written, and is kept as suggestions-kept-1.gpkg",
    )
    assert (out / "suggestions-kept-1.gpkg").read_bytes() == b"mine"
    assert len(read_features(out / "suggestions.gpkg").shapes) == 2


def test_pairs_are_chosen_from_together(kept: Path, tmp_path: Path) -> None:
    for name in ("north", "south"):
        shutil.copytree(kept, tmp_path / name)
        shutil.move(tmp_path / name / "out", tmp_path / "all" / name)
        for date in ("before", "after"):
            shutil.move(tmp_path / name / f"{date}.tif", tmp_path / "all" / f"{date}-{name}.tif")
        run = tmp_path / "all" / name / "run.json"
        manifest = json.loads(run.read_text())
        manifest["inputs"] = {d: f"../{d}-{name}.tif" for d in ("before", "after")}
        run.write_text(json.dumps(manifest))
    with (tmp_path / "all" / "pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "status"])
        rows.writerows([["north", "done"], ["south", "done"]])
    found = _suggest(tmp_path / "all", count=4)
    assert {one.pair for one in found.tiles} == {"north", "south"}
    for name in ("north", "south"):
        here = [one.tile.item.id for one in found.tiles if one.pair == name]
        assert list(read_journal(tmp_path / "all" / name).suggested) == here
        assert (tmp_path / "all" / name / "suggestions.gpkg").exists()
    with pytest.raises(SettingsError, match="--before and --after are of one pair"):
        _suggest(tmp_path / "all", before="x.tif")


def test_while_another_reviews_nothing_is_suggested(out: Path) -> None:
    with (
        Review.open(out, reviewer="anna"),
        pytest.raises(OutputError, match="another hanet review is at work"),
    ):
        _suggest(out)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"count": 0}, "--count is 0"),
        ({"seed": -1}, "--seed is -1"),
        ({"seed": 2**63}, "--seed is"),
    ],
)
def test_wrong_numbers_are_refused(out: Path, changes: dict[str, int], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        _suggest(out, **changes)
    assert not journal_path(out).exists()


def test_images_that_are_gone_are_asked_for(out: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.tif"
    shutil.move(out.parent / "before.tif", moved)
    with pytest.raises(RasterError, match="the before image of this run is not found"):
        _suggest(out)
    assert not (out / "suggestions.gpkg").exists()
    assert _ids(_suggest(out, before=str(moved)))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HanetError, match="holds no run"):
        _suggest(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_a_row_for_each_tile(out: Path) -> None:
    result = CliRunner().invoke(app, ["suggest", str(out), "--count", "2", "--no-flips"])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "column, row" in said
    assert " t1 " in said
    assert "near the threshold" in said
    assert "2 of 4 tiles suggested" in said
    assert f"review them: hanet review {out}" in said
    assert read_review(out)["t1"].status == "unreviewed"


def test_pictures_smaller_than_a_tile(tmp_path: Path) -> None:
    for date, image in zip(("before", "after"), render_pair(200, 150, 1), strict=False):
        Image.fromarray(np.moveaxis(image, 0, -1)).save(tmp_path / f"{date}.png")
    out = tmp_path / "out"
    detect(tmp_path / "before.png", tmp_path / "after.png", out=out, threads=1)
    found = _suggest(out, count=9)
    assert found.candidates == 2
    assert read_features(out / "suggestions.gpkg").shapes[0].area == 150.0**2
    assert {one.tile.item.area_m2 for one in found.tiles} == {None}
    assert {one.tile.item.area_px for one in found.tiles} == {150.0**2}
