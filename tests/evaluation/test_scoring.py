"""Evaluation: protocols against plain counting, masks of others, what is stored into weights."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hanet.errors import DataSetError, OutputError, SettingsError, ShapeError, WeightsError
from hanet.evaluation.metrics import Counts
from hanet.evaluation.protocols import predictor_of
from hanet.evaluation.scoring import Pictures, Protocol, error_map, evaluate, evaluate_predictions
from hanet.evaluation.threshold_choice import store_choices
from hanet.files import file_hash
from hanet.imagery.images import read_image, read_label, write_png
from hanet.metadata import Metadata
from hanet.models import create
from hanet.synthetic.scene import render_pair
from hanet.types import IGNORED, ByteArray, FloatArray, Mask
from hanet.weights.engine import Engine
from hanet.weights.weights_file import load_weights, save_weights

SIZES = {"a": (20, 28), "b": (16, 16), "c": (9, 40)}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pairs of odd sizes; after minus before is near 200 where the label says change, and
    near 50 elsewhere."""
    root, random = tmp_path_factory.mktemp("data") / "scenes", np.random.default_rng(0)
    for name, size in SIZES.items():
        change = np.zeros(size, dtype=np.bool_)
        change[2:7, 3:12] = True
        difference = np.clip(np.where(change, 160, 90) + random.normal(0, 40, size), 0, 255).astype(
            np.uint8
        )
        for folder, image in (
            ("A", np.zeros_like(difference)),
            ("B", difference),
            ("label", change),
        ):
            (root / "val" / folder).mkdir(parents=True, exist_ok=True)
            write_png(root / "val" / folder / f"{name}.png", image)
    return root


def by_pixel(before: ByteArray, after: ByteArray) -> FloatArray:
    """A predictor without neighbourhood: the difference is the probability."""
    probability: FloatArray = (after.astype(np.float32) - before.astype(np.float32)).mean(
        axis=1
    ) / np.float32(255)
    return probability


def _plainly(root: Path, threshold: float) -> dict[str, Counts]:
    found = {}
    for name in SIZES:
        after, change = (
            read_image(root / "val" / "B" / f"{name}.png")[0],
            read_label(root / "val/label" / f"{name}.png"),
        )
        found[name] = Counts.of(
            after.astype(np.float32) / np.float32(255) >= np.float32(threshold), change
        )
    return found


@pytest.mark.parametrize(
    "protocol", [Protocol("whole"), Protocol(tile_px=16, batch=3), Protocol(tile_px=7, batch=100)]
)
def test_every_pixel_counts_once_whatever_the_protocol(scenes: Path, protocol: Protocol) -> None:
    result = evaluate(by_pixel, scenes, split="val", protocol=protocol, threshold=0.4)
    assert {image.name: image.pixels for image in result.images} == _plainly(scenes, 0.4)
    assert result.counts == sum(_plainly(scenes, 0.4).values(), Counts())
    assert result.counts.total == sum(height * width for height, width in SIZES.values())
    assert result.histogram is not None
    assert result.histogram.counts(400) == result.counts


def test_a_full_disk_is_told_of_in_words(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that could not be written ended in a traceback."""

    def full(*arguments: object, **settings: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    for pictures in (Pictures(masks=tmp_path / "masks"), Pictures(error_maps=tmp_path / "maps")):
        with pytest.raises(OutputError, match=r"a\.png cannot be written: No space left on device"):
            evaluate(by_pixel, scenes, split="val", pictures=pictures)


def test_a_tile_knows_nothing_of_its_neighbours(scenes: Path, tmp_path: Path) -> None:
    def by_mean(before: ByteArray, after: ByteArray) -> FloatArray:
        mean = (after.astype(np.float64) - before).mean(axis=(1, 2, 3)) / 255
        return np.broadcast_to(mean[:, None, None], after[:, 0].shape).astype(np.float32)

    pictures = Pictures(masks=tmp_path)
    evaluate(
        by_mean,
        scenes,
        split="val",
        protocol=Protocol(tile_px=16, batch=2),
        threshold=0.37,
        pictures=pictures,
    )
    for name, (height, width) in SIZES.items():
        after = read_image(scenes / "val" / "B" / f"{name}.png")[0].astype(np.float64)
        filled = np.pad(after, ((0, -height % 16), (0, -width % 16)), mode="reflect")
        expected = np.zeros((height, width), dtype=np.bool_)
        for row in range(0, height, 16):
            for column in range(0, width, 16):
                mean = filled[row : row + 16, column : column + 16].mean() / 255
                expected[row : row + 16, column : column + 16] = mean >= 0.37
        assert np.array_equal(read_label(tmp_path / f"{name}.png"), expected)


def test_pieces_of_several_images_share_a_batch(scenes: Path) -> None:
    shapes: list[tuple[int, ...]] = []

    def watched(before: ByteArray, after: ByteArray) -> FloatArray:
        shapes.append(before.shape)
        return by_pixel(before, after)

    evaluate(
        watched, scenes, split="val", protocol=Protocol(tile_px=16, batch=4)
    )  # 4 + 1 + 3 tiles
    assert shapes == [(4, 3, 16, 16), (4, 3, 16, 16)]
    shapes.clear()
    evaluate(watched, scenes, split="val", protocol=Protocol("whole"))
    assert [shape[2:] for shape in shapes] == list(SIZES.values())


def test_the_file_of_results(scenes: Path) -> None:
    result = evaluate(by_pixel, scenes, split="val", protocol=Protocol(tile_px=16), threshold=0.4)
    values = json.loads(json.dumps(result.to_json(curve=True), allow_nan=False))
    assert (values["protocol"], values["data"], values["split"], values["images"]) == (
        "tiles-16",
        "scenes",
        "val",
        3,
    )
    assert set(values["counts"]) == {"tp", "fp", "fn", "tn"}
    assert all(isinstance(count, int) for count in values["counts"].values())
    assert set(values["scores"]) == {"precision", "recall", "f1", "iou", "oa", "kappa", "miou"}
    low, high = values["f1_interval_95"]
    assert low <= values["scores"]["f1"] <= high
    assert values["sweep"]["best_scores"]["f1"] >= values["scores"]["f1"]
    assert (
        len(values["sweep"]["curve"]["threshold"]) == len(values["sweep"]["curve"]["recall"]) == 99
    )
    assert values["objects"]["labelled"] == 3
    assert "sweep" not in result.to_json()
    assert {"hanet", "python", "numpy"} <= set(values["versions"])


def test_the_hash_names_the_data_not_its_place(scenes: Path, tmp_path: Path) -> None:
    first = evaluate(by_pixel, scenes, split="val").data_sha256
    shutil.copytree(scenes, tmp_path / "moved")
    assert evaluate(by_pixel, tmp_path / "moved", split="val").data_sha256 == first
    label = tmp_path / "moved" / "val" / "label" / "a.png"
    write_png(label, ~read_label(label))
    assert evaluate(by_pixel, tmp_path / "moved", split="val").data_sha256 != first


def test_error_maps_show_all_four() -> None:
    prediction, change = (
        np.array([[True, True, False, False]]),
        np.array([[True, False, False, True]]),
    )
    colours = [tuple(pixel) for pixel in error_map(prediction, change)[:, 0].T.tolist()]
    assert colours == [(255, 255, 255), (255, 0, 0), (0, 0, 0), (0, 0, 255)]


def test_ignored_pixels_count_nowhere(scenes: Path, tmp_path: Path) -> None:
    """The lower half of every label is unknown: the scores are those of the upper half, and what
    is predicted below is no false alarm."""
    halves, ignored = tmp_path / "halves", tmp_path / "ignored"
    for root in (halves, ignored):
        shutil.copytree(scenes, root)
    for path in sorted((scenes / "val").glob("*/*.png")):
        image = read_image(path)
        half = image.shape[1] // 2
        place = path.relative_to(scenes)
        write_png(halves / place, image[:, :half])
        if path.parent.name == "label":
            image[:, half:] = 128
        write_png(ignored / place, image)
    expected, got = (
        evaluate(by_pixel, root, split="val", protocol=Protocol("whole"))
        for root in (halves, ignored)
    )
    assert got.scores == expected.scores
    assert got.histogram is not None
    assert expected.histogram is not None
    assert (got.histogram.changed == expected.histogram.changed).all()
    assert sum(image.pixels.total for image in got.images) == sum(
        image.pixels.total for image in expected.images
    )


def test_error_maps_are_grey_where_nobody_knows() -> None:
    prediction = np.array([[True, False]])
    label = np.array([[IGNORED, IGNORED]], dtype=np.uint8)
    assert (error_map(prediction, label) == 128).all()


def test_larger_tiles_are_fewer_at_once() -> None:
    """Eight tiles of 512 pixels took 10 GB with hanet by ONNX Runtime."""
    assert [Protocol(tile_px=side).at_once for side in (64, 256, 320, 512, 1024)] == [8, 8, 4, 1, 1]
    assert Protocol(tile_px=512, batch=8).at_once == 8
    assert Protocol("whole", batch=8).at_once == 1


def test_what_cannot_be_evaluated_is_refused(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="threshold"):
        evaluate(by_pixel, scenes, split="val", threshold=1.0)
    with pytest.raises(SettingsError, match="protocol"):
        Protocol("tile")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="batch is 0"):
        Protocol(batch=0)
    shutil.copytree(scenes, tmp_path / "scenes")
    write_png(tmp_path / "scenes" / "val" / "B" / "b.png", np.zeros((16, 15), dtype=np.uint8))
    with pytest.raises(DataSetError, match="'b' differ in size: A 16x16, B 16x15, label 16x16"):
        evaluate(by_pixel, tmp_path / "scenes", split="val")
    shutil.rmtree(tmp_path / "scenes" / "val" / "label")
    with pytest.raises(DataSetError, match="no label"):
        evaluate(by_pixel, tmp_path / "scenes", split="val")


# -- masks of others


def test_masks_written_by_an_evaluation_score_the_same(scenes: Path, tmp_path: Path) -> None:
    result = evaluate(
        by_pixel, scenes, split="val", threshold=0.4, pictures=Pictures(masks=tmp_path / "masks")
    )
    again = evaluate_predictions(tmp_path / "masks", scenes / "val" / "label")
    assert again.images == result.images
    assert (again.protocol, again.data, again.split) == ("masks as given", "scenes", "val")
    assert again.threshold is None
    assert "calibration" not in again.to_json(curve=True)


def test_grey_images_are_probabilities_if_a_threshold_is_given(scenes: Path) -> None:
    result = evaluate_predictions(scenes / "val" / "B", scenes / "val" / "label", threshold=0.4)
    expected = evaluate(by_pixel, scenes, split="val", threshold=0.4)
    assert result.images == expected.images
    assert result.to_json()["average_precision"] == expected.to_json()["average_precision"]
    with pytest.raises(DataSetError, match="no label we can read"):
        evaluate_predictions(scenes / "val" / "B", scenes / "val" / "label")


def test_masks_without_a_partner_or_of_another_size_are_refused(
    scenes: Path, tmp_path: Path
) -> None:
    labels = scenes / "val" / "label"
    masks = Path(shutil.copytree(labels, tmp_path / "masks"))
    write_png(masks / "a.png", np.zeros((4, 4), dtype=np.bool_))
    with pytest.raises(DataSetError, match=r"a\.png is 4x4 pixels, its label 20x28"):
        evaluate_predictions(masks, labels)
    shutil.copy(labels / "b.png", masks / "d.png")
    with pytest.raises(DataSetError, match=r"1 predictions have no label .* the first: d"):
        evaluate_predictions(masks, labels)
    (masks / "b.png").unlink()
    with pytest.raises(DataSetError, match=r"1 labels have no prediction .* the first: b"):
        evaluate_predictions(masks, labels)
    with pytest.raises(DataSetError, match="holds no image"):
        evaluate_predictions(tmp_path, labels)
    with pytest.raises(DataSetError, match="not a folder"):
        evaluate_predictions(tmp_path / "nowhere", labels)


@pytest.fixture
def numbered(tmp_path: Path) -> tuple[Path, Path, dict[int, Mask]]:
    """Two scenes of 8x8 as test_1 and test_2, and the folder for their 16 tiles of 2x2 each."""
    random = np.random.default_rng(4)
    labels, tiles = tmp_path / "label", tmp_path / "tiles"
    labels.mkdir()
    tiles.mkdir()
    scenes = {number: random.random((8, 8)) < 0.5 for number in (1, 2)}
    for number, scene in scenes.items():
        write_png(labels / f"test_{number}.png", scene)
    return tiles, labels, scenes


def test_the_authors_tiles_are_put_together(numbered: tuple[Path, Path, dict[int, Mask]]) -> None:
    """Their file n is scene (n - 1) // 16 + 1, column ((n - 1) % 16) // 4, row (n - 1) % 4."""
    tiles, labels, scenes = numbered
    for n in range(1, 33):
        scene, column, row = (n - 1) // 16 + 1, ((n - 1) % 16) // 4, (n - 1) % 4
        write_png(
            tiles / f"test256_{n}.png",
            scenes[scene][2 * row : 2 * row + 2, 2 * column : 2 * column + 2],
        )
    result = evaluate_predictions(tiles, labels, tiles_of_scenes="column-major")
    assert result.counts.fp == result.counts.fn == 0
    assert result.protocol == "masks put together, column-major"
    assert evaluate_predictions(tiles, labels, tiles_of_scenes="row-major").counts.fp > 0


def test_released_predictions_score_as_their_scenes(tmp_path: Path) -> None:
    """Rendered scenes in files of exactly the released names, suffixes and all; more than nine, so
    that names do not sort as numbers."""
    folders = {name: tmp_path / name for name in ("test256", "label", "whole")}
    for folder in folders.values():
        folder.mkdir()
    for scene in range(1, 11):
        _, _, change = render_pair(192, 192, scene, change_share=0.7)
        predicted = np.roll(change, (2, 1), axis=(0, 1))  # shifted, so wrong at the edges
        write_png(folders["label"] / f"test_{scene}.png", change)
        write_png(folders["whole"] / f"test_{scene}.png", predicted)
        for tile in range(16):
            n, column, row = 16 * (scene - 1) + tile + 1, tile // 4, tile % 4
            part = predicted[48 * row : 48 * row + 48, 48 * column : 48 * column + 48]
            write_png(folders["test256"] / f"test256_{n}.png", part)
    released = evaluate_predictions(
        folders["test256"], folders["label"], tiles_of_scenes="column-major"
    )
    whole = evaluate_predictions(folders["whole"], folders["label"])
    assert released.counts.fp > 0
    assert released.counts.fn > 0
    assert {image.name: image.pixels for image in released.images} == {
        image.name: image.pixels for image in whole.images
    }
    other = evaluate_predictions(folders["test256"], folders["label"], tiles_of_scenes="row-major")
    assert (
        other.scores.f1 < 0.7 * released.scores.f1
    )  # only the tiles on a scene's diagonal stay in place


def test_tiles_row_by_row_are_put_together(numbered: tuple[Path, Path, dict[int, Mask]]) -> None:
    tiles, labels, scenes = numbered
    for n in range(8):  # two rows of four columns a scene, tiles of 4x2
        scene, row, column = n // 8 + 1, n // 4, n % 4
        write_png(
            tiles / f"t{n + 1}.png",
            scenes[scene][4 * row : 4 * row + 4, 2 * column : 2 * column + 2],
        )
    (labels / "test_2.png").unlink()
    result = evaluate_predictions(tiles, labels, tiles_of_scenes="row-major")
    assert result.counts.fp == result.counts.fn == 0


def test_tiles_that_do_not_fit_are_refused(numbered: tuple[Path, Path, dict[int, Mask]]) -> None:
    tiles, labels, _ = numbered
    nothing = np.zeros((2, 2), dtype=np.bool_)
    for n in range(1, 32):
        write_png(tiles / f"test256_{n}.png", nothing)
    with pytest.raises(DataSetError, match="need 32 predictions, there are 31"):
        evaluate_predictions(tiles, labels, tiles_of_scenes="column-major")
    write_png(tiles / "test256_40.png", nothing)
    with pytest.raises(DataSetError, match="without gaps"):
        evaluate_predictions(tiles, labels, tiles_of_scenes="column-major")
    write_png(tiles / "test256_40.png", np.zeros((2, 3), dtype=np.bool_))
    with pytest.raises(DataSetError, match="must be equal"):
        evaluate_predictions(tiles, labels, tiles_of_scenes="column-major")
    write_png(tiles / "other_31.png", nothing)
    with pytest.raises(DataSetError, match="same number"):
        evaluate_predictions(tiles, labels, tiles_of_scenes="column-major")


# -- weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A small network, not trained and far too sure."""
    torch.manual_seed(0)
    path = tmp_path / "small.safetensors"
    model = create("hanet_lite", width=16)
    with torch.no_grad():
        for parameter in list(model.parameters())[-2:]:
            parameter *= 30
    metadata = Metadata(
        name="small", model="hanet_lite", model_arguments={"width": 16}, notes=("kept",)
    )
    save_weights(path, model, metadata)
    return path


def test_weights_bring_threshold_hash_and_name(weights: Path, scenes: Path) -> None:
    result = evaluate(weights, scenes, split="val", protocol=Protocol(tile_px=32))
    values = result.to_json()
    assert values["threshold"] == 0.5
    assert values["weights_sha256"] == file_hash(weights)
    assert (values["weights"], values["weights_file"], values["runtime"]) == (
        "small",
        "small.safetensors",
        "torch",
    )
    assert "torch" in values["versions"]


def test_flips_are_the_mean_over_four(weights: Path, scenes: Path) -> None:
    from hanet.evaluation.protocols import predictor_of

    before, after = (
        np.random.default_rng(k).integers(0, 255, (1, 3, 64, 96), dtype=np.uint8) for k in (1, 2)
    )
    plain, flipped = (
        predictor_of(weights, Engine("torch", flips=flips))[0] for flips in (False, True)
    )
    parts = [
        np.flip(plain(np.flip(before, axes).copy(), np.flip(after, axes).copy()), axes)
        for axes in ((), (-1,), (-2,), (-1, -2))
    ]
    assert flipped(before, after) == pytest.approx(np.mean(parts, axis=0), abs=1e-6)
    assert evaluate(weights, scenes, split="val", flips=True).to_json()["flips"] is True


def test_other_bands_are_refused(tmp_path: Path, scenes: Path) -> None:
    model = create("hanet_lite", width=16, bands=4)
    statistics = {
        f"{kind}_{date}": (0.5,) * 4 for kind in ("mean", "std") for date in ("before", "after")
    }
    metadata = Metadata(
        name="four",
        model="hanet_lite",
        model_arguments={"width": 16, "bands": 4},
        bands=("r", "g", "b", "n"),
        **statistics,
    )
    save_weights(tmp_path / "four.safetensors", model, metadata)
    with pytest.raises(ShapeError, match="takes 4 bands"):
        evaluate(tmp_path / "four.safetensors", scenes, split="val")


def test_the_best_threshold_is_stored_and_used(weights: Path, scenes: Path) -> None:
    first = evaluate(weights, scenes, split="val", data_name="three scenes")
    tensors = {
        name: tensor.clone() for name, tensor in load_weights(weights)[0].state_dict().items()
    }
    stored = store_choices(first, threshold=True, source="scores.json")
    assert stored.sha256 == file_hash(weights) != first.to_json()["weights_sha256"]
    second = evaluate(weights, scenes, split="val")
    assert (
        second.threshold == stored.threshold == first.to_json(curve=True)["sweep"]["best_threshold"]
    )
    assert second.scores.f1 == stored.f1 >= first.scores.f1
    model, metadata = load_weights(weights)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in model.state_dict().items())
    assert metadata.notes == ("kept",)
    (score,) = metadata.scores
    assert (score.dataset, score.split, score.protocol, score.source) == (
        "three scenes",
        "val",
        "tiles-256",
        "scores.json",
    )
    assert score.f1 == stored.f1


def test_a_stored_temperature_leaves_the_masks_alone(weights: Path, scenes: Path) -> None:
    first = evaluate(weights, scenes, split="val")
    assert first.calibration is not None
    stored = store_choices(first, threshold=False, temperature=True)
    assert stored.temperature == pytest.approx(first.calibration.temperature())
    assert stored.temperature != pytest.approx(1.0, abs=0.05)
    second = evaluate(weights, scenes, split="val")
    assert second.images == first.images
    assert second.calibration is not None
    assert second.calibration.temperature() == pytest.approx(1.0, abs=0.02)
    assert (
        second.calibration.negative_log_likelihood() < first.calibration.negative_log_likelihood()
    )


def test_tiles_that_the_network_does_not_take_are_refused_and_small_images_filled(
    weights: Path, scenes: Path
) -> None:
    """Scores of a network that saw less than it needs were given as if nothing were."""
    with pytest.raises(
        SettingsError,
        match="a tile of 31 pixels is too small for small: its network needs at least 32",
    ):
        evaluate(weights, scenes, split="val", protocol=Protocol(tile_px=31))
    predict, _ = predictor_of(weights)
    images = [read_image(scenes / "val" / folder / "c.png")[None] for folder in "AB"]  # 9 x 40
    filled = [np.pad(image, ((0, 0), (0, 0), (0, 23), (0, 8)), mode="reflect") for image in images]
    np.testing.assert_array_equal(predict(*images), predict(*filled)[:, :9, :40])


def test_onnx_files_score_alike_and_keep_a_threshold(
    weights: Path, scenes: Path, tmp_path: Path
) -> None:
    from hanet.weights.export import export_onnx

    model, metadata = load_weights(weights)
    export_onnx(model, metadata, tmp_path / "small.onnx")
    protocol = Protocol(tile_px=32)
    by_torch, by_onnx = (
        evaluate(path, scenes, split="val", protocol=protocol)
        for path in (weights, tmp_path / "small.onnx")
    )
    assert by_onnx.scores.f1 == pytest.approx(by_torch.scores.f1, abs=0.01)
    stored = store_choices(by_onnx, threshold=True)
    assert (
        evaluate(tmp_path / "small.onnx", scenes, split="val", protocol=protocol).threshold
        == stored.threshold
    )
    with pytest.raises(WeightsError, match="part of its graph"):
        store_choices(by_onnx, threshold=False, temperature=True)


def test_nothing_is_chosen_on_a_test_split_or_for_other_weights(
    weights: Path, scenes: Path, tmp_path: Path
) -> None:
    result = evaluate(weights, scenes, split="val")
    with pytest.raises(SettingsError, match="never on the test split"):
        store_choices(replace(result, split="test"), threshold=True)
    assert result.weights is not None
    with pytest.raises(SettingsError, match="flips"):
        store_choices(
            replace(result, weights=replace(result.weights, engine=Engine("torch", flips=True))),
            threshold=True,
        )
    with pytest.raises(SettingsError, match="for weights only"):
        store_choices(evaluate(by_pixel, scenes, split="val"), threshold=True)
    before = file_hash(weights)
    with pytest.raises(WeightsError, match="has changed"):
        store_choices(replace(result, weights=replace(result.weights, sha256="0")), threshold=True)
    assert file_hash(weights) == before


def test_weights_of_the_package_stay_as_they_are(scenes: Path) -> None:
    from hanet.weights import catalogue

    shipped = catalogue.resolve("hanet_lite", suffixes=(".onnx",))
    result = evaluate(by_pixel, scenes, split="val")
    from hanet.evaluation.result import WeightsUsed

    used = WeightsUsed(shipped, file_hash(shipped), catalogue.read_metadata(shipped), Engine())
    with pytest.raises(WeightsError, match="belongs to the installed package"):
        store_choices(replace(result, weights=used), threshold=True)


@pytest.mark.real_data
def test_tiles_of_scenes_score_as_the_scenes_cut(shared_data: Path, tmp_path: Path) -> None:
    """The shipped weights on one real scene: whole, in tiles, and as tiles that were predicted one
    by one before."""
    root = tmp_path / "one"
    source = shared_data / "levir-cd" / "scenes-1024" / "val"
    name = sorted(path.stem for path in (source / "label").iterdir())[0]
    for folder in ("A", "B", "label"):
        (root / "val" / folder).mkdir(parents=True)
        (path,) = (source / folder).glob(f"{name}.*")
        shutil.copy(path, root / "val" / folder)
    masks = Pictures(masks=tmp_path / "masks")
    cut = evaluate("hanet_lite", root, split="val", threads=1, pictures=masks)
    assert cut.scores.f1 > 0.5
    mask = read_label(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "tiles").mkdir()
    for n in range(16):
        column, row = n // 4 * 256, n % 4 * 256
        write_png(
            tmp_path / "tiles" / f"test256_{n + 1}.png",
            mask[row : row + 256, column : column + 256],
        )
    (tmp_path / "scene").mkdir()
    (label,) = (root / "val" / "label").iterdir()
    shutil.copy(label, tmp_path / "scene" / f"test_1{label.suffix}")
    again = evaluate_predictions(
        tmp_path / "tiles", tmp_path / "scene", tiles_of_scenes="column-major"
    )
    assert again.counts == cut.counts
