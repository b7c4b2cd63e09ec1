"""hanet adapt from reviewed ground to written weights, by the rungs that need no training."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.features import shapes as shapes_of

from hanet.adaptation.adapt import adapt
from hanet.adaptation.replay import HomeCheck
from hanet.adaptation.sources import LabelFolder
from hanet.adaptation.written import AGREEMENT, _difference
from hanet.cli import main
from hanet.errors import HanetError, OutputError
from hanet.evaluation.metrics import Counts
from hanet.imagery.fingerprint import raster_fingerprint
from hanet.imagery.images import write_png
from hanet.imagery.pair import open_pair
from hanet.review.review import Review
from hanet.synthetic.scene import render_pair
from hanet.types import ByteArray, Json
from hanet.weights import catalogue
from hanet.weights.onnx_rewrite import with_further_temperature, with_other_metadata
from reviewed_runs import finished_run

SIDE = 1024
UTM = "EPSG:32614"


@pytest.fixture(scope="module")
def shy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """hanet_lite with a threshold that finds next to nothing."""
    path = catalogue.resolve("hanet_lite", suffixes=(".onnx",))
    metadata = replace(catalogue.read_metadata(path), name="shy", threshold=0.999)
    shown = tmp_path_factory.mktemp("weights") / "shy.onnx"
    shown.write_bytes(with_other_metadata(path.read_bytes(), metadata))
    return shown


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen rendered pairs, all of them known."""
    root = tmp_path_factory.mktemp("town")
    for number in range(15):
        before, after, change = render_pair(256, 256, 300 + number, change_share=0.5)
        for kind, pixels in (("A", before), ("B", after), ("label", change)):
            (root / "train" / kind).mkdir(parents=True, exist_ok=True)
            write_png(root / "train" / kind / f"scene{number}.png", pixels)
    return root


@pytest.fixture(scope="module")
def adapted(shy: Path, labels: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Json]:
    """Folder and result of shy weights that learned a threshold."""
    folder, said = tmp_path_factory.mktemp("out"), list[str]()
    adapt(
        [LabelFolder(labels)],
        out=folder / "mine",
        weights=shy,
        rungs=["light"],
        threads=1,
        note=said.append,
    )
    assert any("for this place alone: where shy worked well" in text for text in said), said
    return folder, json.loads((folder / "mine.json").read_text())


def test_a_threshold_that_helps_is_kept_and_written(adapted: tuple[Path, Json]) -> None:
    folder, result = adapted
    assert {path.name for path in folder.iterdir()} == {"mine.onnx", "mine.md", "mine.json"}
    first = result["rungs"][0]
    assert (first["rung"], first["outcome"]) == ("threshold", "kept")
    assert first["verdict"]["f1"]["low"] > 0
    metadata = catalogue.read_metadata(folder / "mine.onnx")
    assert metadata.threshold < 0.9
    assert metadata.name == "mine"
    assert metadata.scores[0].f1 == pytest.approx(result["verdict"]["after"]["f1"])
    assert result["rendered"]["tiles"] == 2
    assert result["rendered"]["has_lost"] is False
    card = (folder / "mine.md").read_text()
    assert "no loss of more than a point was measured (2 rendered" in card
    assert "for this place alone: where shy worked well" in card
    ground = result["ground"]
    assert ground["learn"]["tiles"] + ground["watch"]["tiles"] == 9
    assert ground["holdout"]["tiles"] == 6


def test_a_loss_elsewhere_is_said(
    labels: Path, shy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    high, low = Counts(9, 1, 1, 9).scores(), Counts(5, 5, 5, 5).scores()
    lost = HomeCheck({"plain": high, "hazy": high}, {"plain": high, "hazy": low}, 2)
    monkeypatch.setattr("hanet.adaptation.adapt.home_check", lambda *_, **__: lost)
    warned: list[str] = []
    adapt(
        [LabelFolder(labels)],
        out=tmp_path / "mine",
        weights=shy,
        rungs=["threshold"],
        threads=1,
        warn=warned.append,
    )
    said = "worse elsewhere (2 rendered pairs; plain F1 0.9000 before, 0.9000 after; hazy F1 0.9000"
    assert any(said in text for text in warned)
    assert said in (tmp_path / "mine.md").read_text()
    assert json.loads((tmp_path / "mine.json").read_text())["rendered"]["has_lost"] is True


def test_terms_and_history_travel_with_the_weights(
    adapted: tuple[Path, Json], shy: Path, labels: Path
) -> None:
    folder, _ = adapted
    old, new = (catalogue.read_metadata(path) for path in (shy, folder / "mine.onnx"))
    assert new.licence == old.licence
    assert new.citation == old.citation
    assert new.training_data == f"{old.training_data}; 15 reviewed tiles of {labels.name}"
    assert any("before the adaptation, as shy" in note for note in new.notes)
    card = (folder / "mine.md").read_text()
    assert old.licence in card
    assert "| f1 |" in card


def test_the_written_file_is_evaluated_as_any_other(
    adapted: tuple[Path, Json], shy: Path, labels: Path
) -> None:
    from hanet.evaluation.scoring import evaluate

    folder, _ = adapted
    before, after = (
        evaluate(path, labels, split="train", threads=1).scores.f1
        for path in (shy, folder / "mine.onnx")
    )
    assert after > before + 0.05


def test_weights_that_are_right_already_stay(labels: Path, tmp_path: Path, capsys: Any) -> None:
    """Nothing is written under the new name but the result, and the exit code says so."""
    code = run("adapt", "--labels", labels, "--out", tmp_path / "mine", "--rungs", "threshold")
    assert code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]
    said = capsys.readouterr()
    assert "old weights stay" in " ".join(said.err.split())
    assert "hanet suggest" in said.err


def test_weights_that_are_far_too_sure_are_cooled(shy: Path, labels: Path, tmp_path: Path) -> None:
    """Their surest pixels are stored as 0 and 1, from which no temperature moves them: what is
    written differs there from what was judged, and that is no error."""
    sure = tmp_path / "sure.onnx"
    metadata = replace(catalogue.read_metadata(shy), threshold=1e-8)
    content = with_further_temperature(shy.read_bytes(), 0.2)
    sure.write_bytes(with_other_metadata(content, metadata))
    out, rungs = tmp_path / "mine", ["threshold"]
    adapt([LabelFolder(labels)], out=out, weights=sure, rungs=rungs, threads=1)
    assert catalogue.read_metadata(tmp_path / "mine.onnx").temperature > 3


def test_a_file_that_is_not_what_was_judged_is_noticed() -> None:
    judged = np.array([0.0, 0.3, 1.0], np.float32)
    assert _difference(np.array([0.001, 0.3, 0.999], np.float32), judged, 2.5) < AGREEMENT
    assert _difference(np.array([0.0, 0.31, 1.0], np.float32), judged, 2.5) > AGREEMENT
    assert _difference(np.array([0.0, 0.31, 1.0], np.float32), judged, 0.5) > AGREEMENT


def test_what_to_review_next_is_a_result_and_no_raster_of_a_pair(tmp_path: Path) -> None:
    from hanet.cli.adapt import _reviewed

    assert _reviewed(["before.tif", "after.tif", str(tmp_path)]) == str(tmp_path)
    assert _reviewed(["before.tif", "after.tif"]) == "OUT"


@pytest.fixture
def few(labels: Path, tmp_path: Path) -> Path:
    """Five of the tiles: two in the hold-out, five blocks in all."""
    folder = tmp_path / "few"
    for kind in ("A", "B", "label"):
        (folder / "train" / kind).mkdir(parents=True)
        for number in range(5):
            shutil.copy(labels / "train" / kind / f"scene{number}.png", folder / "train" / kind)
    return folder


def test_too_few_blocks_cannot_tell(few: Path, shy: Path, tmp_path: Path, capsys: Any) -> None:
    arguments = ("adapt", "--labels", few, "--weights", shy, "--rungs", "threshold", "--out")
    assert run(*arguments, tmp_path / "mine") == 1
    assert "cannot tell" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "mine.onnx").exists()
    assert run(*arguments, tmp_path / "my town", "--force") == 0
    assert "my town.onnx' --out FOLDER" in " ".join(capsys.readouterr().err.split())
    assert "does not show that these weights are better" in (tmp_path / "my town.md").read_text()


def test_five_blocks_are_enough_for_a_threshold(
    few: Path, shy: Path, tmp_path: Path, capsys: Any
) -> None:
    """Each block judges the threshold of the others; the words say so."""
    words = ("adapt", "--labels", few, "--weights", shy, "--rungs", "light", "--out")
    assert run(*words, tmp_path / "mine", "--progress", "json") == 0
    said = capsys.readouterr()
    assert "F1 on all 5 blocks, crossed: before" in said.out
    assert "only the threshold was adapted" in said.err
    (told,) = [line for line in map(json.loads, said.err.splitlines()) if line["event"] == "result"]
    names = {Path(file["path"]).name: file["kind"] for file in told["files"]}
    assert names == {"mine.onnx": "weights", "mine.md": "card", "mine.json": "adaptation"}
    low, high = told["f1_difference_interval_95"]
    assert 0 < low < told["f1_difference"] < high
    assert told["f1_difference"] == pytest.approx(told["f1_after"] - told["f1_before"])
    assert (told["can_be_told"], told["has_weights"], told["is_forced"]) == (True, True, False)
    card = (tmp_path / "mine.md").read_text()
    assert "**On all 5 reviewed blocks**" in card
    assert "| chose the threshold, and judged that of the others | 5 | 5 | " in card
    assert "| judged | " not in card  # all of them chose, too
    metadata = catalogue.read_metadata(tmp_path / "mine.onnx")
    assert metadata.scores[0].split == "crossed"
    assert metadata.threshold < 0.9


def test_an_interrupted_one_goes_on_to_the_same(
    adapted: tuple[Path, Json], shy: Path, labels: Path, tmp_path: Path
) -> None:
    given: Json = {"weights": shy, "rungs": ["light"], "threads": 1, "out": tmp_path / "mine"}

    def stop(stage: str, share: float) -> None:
        if stage == "looking at reviewed tiles" and share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt([LabelFolder(labels)], progress=stop, **given)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.adapt"]
    with pytest.raises(OutputError, match="not finished"):
        adapt([LabelFolder(labels)], **given)
    with pytest.raises(OutputError, match="other weights, ground or settings"):
        adapt([LabelFolder(labels)], resume=True, seed=3, **given)
    adapt([LabelFolder(labels)], resume=True, **given)
    folder, _ = adapted
    for name in ("mine.onnx",):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert not (tmp_path / "mine.adapt").exists()


def test_after_ctrl_c_it_says_how_to_continue(
    labels: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hanet.adaptation.adapt.standing_of", stopped)
    code = run("adapt", "--labels", labels, "--rungs", "light", "--out", tmp_path / "mine")
    assert code == 130
    assert "--resume continues" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.adapt"]


def run(*arguments: object) -> int:
    """The exit code of a command line, run as ``hanet`` runs it."""
    import sys

    before, sys.argv = sys.argv, ["hanet", *map(str, arguments)]
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = before
    return 0


def raster(path: Path, values: ByteArray, *, bands: int = 3) -> None:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands,
        height=values.shape[1],
        width=values.shape[2],
        dtype="uint8",
        crs=UTM,
        transform=rasterio.Affine(0.5, 0, 620000, 0, -0.5, 3350000),
    ) as file:
        file.write(values[:bands])


def geojson(path: Path, polygons: list[shapely.Polygon], *, crs: str = UTM) -> Path:
    """Polygons in pixels of :func:`raster` as a file on the map."""
    features = []
    for polygon in polygons:
        placed = shapely.transform(polygon, lambda xy: xy * (0.5, -0.5) + (620000, 3350000))
        features.append(
            {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(placed)}
        )
    name = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{crs.replace(':', '::')}"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": name, "features": features}))
    return path


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered pair of 1024 pixels, what changed in it and where somebody looked as layers, and a
    reviewed result of it."""
    folder = tmp_path_factory.mktemp("pair")
    before, after, change = render_pair(SIDE, SIDE, 77, change_share=0.5)
    raster(folder / "before.tif", before)
    raster(folder / "after.tif", after)
    buildings = [
        shapely.geometry.shape(piece)
        for piece, _ in shapes_of(change.astype(np.uint8), mask=change.astype(bool))
    ]
    geojson(folder / "truth.geojson", buildings)
    geojson(folder / "checked.geojson", [shapely.box(0, 0, SIDE, 900)])
    out = finished_run(folder / "out", np.where(change, 0.9, 0.02).astype(np.float32))
    with open_pair(folder / "before.tif", folder / "after.tif") as pair:
        manifest = json.loads((out / "run.json").read_text())
        manifest["pair"] = json.loads(json.dumps(pair.manifest()))
        manifest["identity"] |= {
            "before": raster_fingerprint(pair.before),
            "after": raster_fingerprint(pair.after),
        }
    (out / "run.json").write_text(json.dumps(manifest))
    with Review.open(out, reviewer="anna") as review:
        found = [item.id for item in review.items("found")]
        review.decide(found, {"status": "accepted"})
        review.decide([item.id for item in review.items("blank")], {"status": "rejected"})
    return folder


def test_a_reviewed_result_is_adapted_to(town: Path, shy: Path, tmp_path: Path) -> None:
    code = run(
        "adapt", town / "out", "--weights", shy, "--rungs", "light", "--out", tmp_path / "mine",
        "--keep",
    )  # fmt: skip
    result = json.loads((tmp_path / "mine.json").read_text())
    assert code == 0
    assert result["sources"] == ["the review of out"]
    assert result["verdict"]["after"]["f1"] > result["verdict"]["before"]["f1"]
    tiles = json.loads((tmp_path / "mine.adapt" / "ground" / "tiles.json").read_text())["tiles"]
    assert {tile["place"] for tile in tiles} == {"out"}
    assert all(tile["bounds"] for tile in tiles)


def test_polygons_over_a_pair_are_adapted_to(town: Path, shy: Path, tmp_path: Path) -> None:
    code = run(
        "adapt", town / "before.tif", town / "after.tif", "--polygons", town / "truth.geojson",
        "--aoi", town / "checked.geojson", "--weights", shy, "--rungs", "threshold",
        "--out", tmp_path / "mine",
    )  # fmt: skip
    result = json.loads((tmp_path / "mine.json").read_text())
    assert code == 0
    assert result["rungs"][0]["outcome"] == "kept"
    ground = result["ground"]
    known = sum(ground[name]["known_px"] for name in ("learn", "watch", "holdout"))
    assert known == SIDE * 900  # what was not looked at is not known


def refused(tmp_path: Path, capsys: Any, *arguments: object) -> str:
    """What is said of arguments that cannot be adapted to; nothing is left behind."""
    assert run("adapt", *arguments, "--out", tmp_path / "new" / "mine") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error:")]
    assert len(errors) == 1
    assert any(line.startswith("hint:") for line in lines)
    assert not (tmp_path / "new").exists()
    return errors[0]


def test_a_result_that_nobody_reviewed(tmp_path: Path, capsys: Any) -> None:
    out = finished_run(tmp_path / "run", np.full((300, 300), 0.02, dtype=np.float32))
    assert "has not been reviewed" in refused(tmp_path, capsys, out)


def test_a_review_without_a_decision(town: Path, tmp_path: Path, capsys: Any) -> None:
    out = Path(shutil.copytree(town / "out", tmp_path / "run"))
    shutil.rmtree(out / "review")
    Review.open(out, reviewer="anna").close()
    assert refused(tmp_path, capsys, out) == "error: there is no reviewed ground"


def test_a_review_whose_run_says_nothing(town: Path, tmp_path: Path, capsys: Any) -> None:
    out = Path(shutil.copytree(town / "out", tmp_path / "run"))
    (out / "run.json").write_text("{}")
    said = refused(tmp_path, capsys, out)
    assert said == "error: the before image of this run is not found: its name is not recorded"


def test_only_one_class(town: Path, tmp_path: Path, capsys: Any) -> None:
    out = Path(shutil.copytree(town / "out", tmp_path / "run"))
    shutil.rmtree(out / "review")
    shutil.copy(town / "before.tif", tmp_path)
    shutil.copy(town / "after.tif", tmp_path)
    with Review.open(out, reviewer="anna") as review:
        review.decide([item.id for item in review.items("blank")], {"status": "rejected"})
    assert "no changed pixel" in refused(tmp_path, capsys, out)


def test_a_hold_out_that_would_be_empty(labels: Path, tmp_path: Path, capsys: Any) -> None:
    for kind in ("A", "B", "label"):
        (tmp_path / "one" / "train" / kind).mkdir(parents=True)
        shutil.copy(labels / "train" / kind / "scene0.png", tmp_path / "one" / "train" / kind)
    assert "hold-out" in refused(tmp_path, capsys, "--labels", tmp_path / "one")


def test_labels_beside_the_raster(town: Path, tmp_path: Path, capsys: Any) -> None:
    far = geojson(tmp_path / "far.geojson", [shapely.box(9000, 9000, 9100, 9100)])
    pair = (town / "before.tif", town / "after.tif")
    for polygons, aoi in ((far, town / "checked.geojson"), (town / "truth.geojson", far)):
        said = refused(tmp_path, capsys, *pair, "--polygons", polygons, "--aoi", aoi)
        assert "outside the pair" in said
    inside = geojson(tmp_path / "inside.geojson", [shapely.box(0, 1000, 20, 1020)])
    aoi = geojson(tmp_path / "area.geojson", [shapely.box(500, 0, 600, 100)])
    assert "lies in the area" in refused(
        tmp_path, capsys, *pair, "--polygons", inside, "--aoi", aoi
    )


def test_labels_of_another_size(labels: Path, tmp_path: Path, capsys: Any) -> None:
    copy = Path(shutil.copytree(labels, tmp_path / "copy"))
    write_png(copy / "train" / "label" / "scene3.png", np.zeros((100, 256), dtype=bool))
    assert "differ in size" in refused(tmp_path, capsys, "--labels", copy)


def test_weights_of_other_bands(labels: Path, tmp_path: Path, capsys: Any) -> None:
    import torch  # noqa: F401

    from hanet.metadata import Metadata
    from hanet.models import create
    from hanet.weights.weights_file import save_weights

    bands = ("red", "green", "blue", "nir")
    four = {"mean_before": (0.5,) * 4, "std_before": (0.2,) * 4}
    four |= {"mean_after": (0.5,) * 4, "std_after": (0.2,) * 4}
    metadata = Metadata("four", "fc_siam_diff", {"bands": 4}, bands, **four)
    path = tmp_path / "four.safetensors"
    save_weights(path, create("fc_siam_diff", bands=4), metadata)
    said = refused(tmp_path, capsys, "--labels", labels, "--weights", path)
    assert "4 bands" in said


def test_a_result_of_another_resolution(town: Path, tmp_path: Path, capsys: Any) -> None:
    probability = np.full((512, 512), 0.02, dtype=np.float32)
    probability[10:40, 10:40] = 0.9
    out = finished_run(tmp_path / "run", probability, gsd=2.0)
    with Review.open(out, reviewer="anna") as review:
        review.decide([item.id for item in review.items("found")], {"status": "accepted"})
    assert "2 m a pixel" in refused(tmp_path, capsys, out)


def test_two_reviews_that_contradict_each_other(town: Path, tmp_path: Path, capsys: Any) -> None:
    other = Path(shutil.copytree(town / "out", tmp_path / "other"))
    with Review.open(other, reviewer="bert") as review:
        largest = max(review.items("found"), key=lambda item: item.area_px)
        review.decide([largest.id], {"status": "rejected"})
    said = refused(tmp_path, capsys, town / "out", other)
    assert "contradict each other at latitude 30." in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--rungs", "colour"), "there is no rung"),
        (("--hold-out", "1.5"), "hold-out"),
        (("--minutes", "0"), "--minutes"),
        (("--weights", "nothing"), "no weights"),
        (("--aoi", "area.gpkg"), "--polygons"),
        (("--bands", "3,2,1"), "--polygons"),
    ],
)
def test_options_that_make_no_sense(
    labels: Path, tmp_path: Path, capsys: Any, options: tuple[str, ...], message: str
) -> None:
    assert run("adapt", "--labels", labels, *options, "--out", tmp_path / "new" / "mine") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["mine.onnx", "hanet_lite", "mine.json"])
def test_names_that_weights_cannot_get(labels: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(HanetError, match="--out"):
        adapt([LabelFolder(labels)], out=tmp_path / name)


@pytest.mark.parametrize("out", ["", ".", "..", "/"])
def test_a_folder_is_no_name_of_weights(out: str) -> None:
    with pytest.raises(HanetError, match="is no name"):
        adapt([], out=out)


@pytest.mark.parametrize("force", [False, True])
def test_weights_of_that_name_are_not_replaced(labels: Path, tmp_path: Path, force: bool) -> None:
    """Nor are they where unproven ones may be written: that is another question."""
    (tmp_path / "mine.onnx").write_bytes(b"old")
    with pytest.raises(OutputError, match="is there already") as error:
        adapt([LabelFolder(labels)], out=tmp_path / "mine", force=force)
    assert "--overwrite" in error.value.hint
    assert (tmp_path / "mine.onnx").read_bytes() == b"old"


def test_weights_of_that_name_are_replaced_where_somebody_says_so(
    labels: Path, shy: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.onnx").write_bytes(b"old")
    given: Json = {"weights": shy, "rungs": ["threshold"], "threads": 1, "overwrite": True}
    adapt([LabelFolder(labels)], out=tmp_path / "mine", **given)
    assert catalogue.read_metadata(tmp_path / "mine.onnx").name == "mine"


@pytest.mark.parametrize("name", ["mine.md", "mine.json"])
def test_files_of_somebody_else_are_not_replaced(labels: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"hanet": "notes"}')
    with pytest.raises(OutputError, match="is there already"):
        adapt([LabelFolder(labels)], out=tmp_path / "mine")
    assert (tmp_path / name).read_text() == '{"hanet": "notes"}'
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_one_that_was_killed_while_its_files_were_put_in_place_goes_on(
    adapted: tuple[Path, Json],
    shy: Path,
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hanet.adaptation.written import put_in_place

    def killed(made: list[Path], out: Path) -> None:
        put_in_place(made[:1], out)
        raise KeyboardInterrupt

    given: Json = {"weights": shy, "rungs": ["light"], "threads": 1, "out": tmp_path / "mine"}
    with monkeypatch.context() as patch:
        patch.setattr("hanet.adaptation.adapt.put_in_place", killed)
        with pytest.raises(KeyboardInterrupt):
            adapt([LabelFolder(labels)], **given)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.onnx", "mine.adapt"}
    adapt([LabelFolder(labels)], resume=True, **given)
    folder, _ = adapted
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in folder.iterdir()}


def test_nothing_loads_torch_by_itself() -> None:
    import subprocess
    import sys

    code = (
        "import sys, hanet.adaptation.adapt, hanet.adaptation.polygons, hanet.cli\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
