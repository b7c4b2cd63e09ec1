"""The doctor: a sound data set passes, and each illness is named with what it would do to
training."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from hanet.cli import main
from hanet.datasets import doctor, perceptual_hash
from hanet.datasets.doctor import Diagnosis, diagnose, nearest_statistics
from hanet.datasets.layout import list_pairs
from hanet.datasets.manifest import TileRecord, write_manifest
from hanet.datasets.perceptual_hash import (
    ORIENTATIONS,
    hash_pairs,
    near_duplicates,
    thumbnail,
    turned,
)
from hanet.datasets.published import PER_DATE_STATISTICS
from hanet.errors import DataSetError
from hanet.files import file_hash
from hanet.imagery.images import encode_jpeg, read_image, write_png
from hanet.training.experiment import Experiment
from hanet.types import ByteArray

SIDE = 64

SOUND = {"black-labels"}
"""Findings on the sound data set."""


@pytest.fixture(autouse=True)
def _tiles_as_small_as_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of 64 pixels are quick to make, and smaller than a tile is by default."""
    monkeypatch.setattr(doctor, "TILE_PX", SIDE)


def _image(seed: int) -> ByteArray:
    """Ground of its own: smooth noise, so that thumbnails hold structure."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.moveaxis(
        np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)), -1, 0
    ).copy()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A sound data set: three splits of four pairs, 1/16 changed, one black label each."""
    root = tmp_path / "data"
    for place, split in enumerate(("train", "val", "test")):
        for number in range(4):
            change = np.zeros((SIDE, SIDE), dtype=np.bool_)
            change[8:24, 8:24] = number > 0
            seed = 1000 * place + 10 * number
            for folder, image in (("A", _image(seed)), ("B", _image(seed + 1)), ("label", change)):
                (root / split / folder).mkdir(parents=True, exist_ok=True)
                write_png(root / split / folder / f"{split}_{number}.png", image)
    return root


def _codes(diagnosis: Diagnosis, *levels: str) -> set[str]:
    return {finding.code for finding in diagnosis.findings if finding.level in levels}


def test_a_sound_data_set_is_fit_and_its_figures_are_right(data: Path) -> None:
    diagnosis = diagnose(data)
    assert diagnosis.is_fit
    assert _codes(diagnosis, "error", "warning") == set()
    assert _codes(diagnosis, "note") == SOUND
    train = diagnosis.splits[0]
    assert (train.name, len(train.pairs), train.foreground, train.changed) == (
        "train",
        4,
        3,
        3 * 16 * 16,
    )
    found = train.statistics()
    assert found is not None
    for folder, mean, std in (
        ("A", found.mean_before, found.std_before),
        ("B", found.mean_after, found.std_after),
    ):
        pixels = (
            np.stack([read_image(data / "train" / folder / f"train_{n}.png") for n in range(4)])
            / 255.0
        )
        np.testing.assert_allclose(mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
        np.testing.assert_allclose(std, pixels.std(axis=(0, 2, 3)), rtol=1e-9)


def _relabel(
    data: Path, split: str, change: Callable[[np.ndarray], np.ndarray], suffix: str = ".png"
) -> None:
    for path in sorted((data / split / "label").iterdir()):
        values = change(np.asarray(Image.open(path).convert("L")))
        path.unlink()
        Image.fromarray(values).save(path.with_suffix(suffix))


def _copy_pair(
    data: Path,
    name: str,
    target: str,
    change: Callable[[ByteArray], ByteArray] = lambda image: image,
) -> None:
    split, other = name.split("_")[0], target.split("_")[0]
    for folder in ("A", "B"):
        image = change(read_image(data / split / folder / f"{name}.png"))
        write_png(data / other / folder / f"{target}.png", np.ascontiguousarray(image))
    shutil.copy(data / split / "label" / f"{name}.png", data / other / "label" / f"{target}.png")


ILLNESSES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    # what is done to the data: code of the finding, its level
    "a folder under another name": (lambda d: (d / "train/A").rename(d / "train/time1"), "missing-folder", "error"),
    "no labels in val": (lambda d: shutil.rmtree(d / "val/label"), "missing-folder", "error"),
    "no labels in test": (lambda d: shutil.rmtree(d / "test/label"), "missing-folder", "warning"),
    "an empty folder": (lambda d: [p.unlink() for p in (d / "val/B").iterdir()], "empty-folder", "error"),
    "no val": (lambda d: (d / "val").rename(d / "valid"), "missing-split", "error"),
    "no test": (lambda d: shutil.rmtree(d / "test"), "missing-split", "note"),
    "a name without partner": (lambda d: (d / "train/B/train_2.png").unlink(), "unpaired", "error"),
    "a name twice": (lambda d: (d / "val/A/val_1.jpg").write_bytes(encode_jpeg(_image(10))), "name-twice", "error"),
    "a file cut short": (lambda d: (d / "train/A/train_1.png").write_bytes((d / "train/A/train_1.png").read_bytes()[:99]), "unreadable", "error"),
    "no image at all": (lambda d: (d / "train/label/train_1.png").write_text("hello"), "unreadable", "error"),
    "a label of another size": (lambda d: write_png(d / "val/label/val_1.png", np.zeros((SIDE, 32), dtype=np.bool_)), "sizes-differ", "error"),
    "an after date of another size": (lambda d: write_png(d / "val/B/val_1.png", _image(5)[:, :, 1:]), "sizes-differ", "error"),
    "pairs of two sizes": (lambda d: [write_png(d / f"train/{f}/train_0.png", _image(s)[:, :48]) for f, s in (("A", 1), ("B", 2))] and write_png(d / "train/label/train_0.png", np.zeros((48, SIDE), dtype=np.bool_)), "several-sizes", "note"),
    "a pair smaller than a tile": (lambda d: [write_png(d / f"train/{f}/train_0.png", _image(s)[:, :48]) for f, s in (("A", 1), ("B", 2))] and write_png(d / "train/label/train_0.png", np.zeros((48, SIDE), dtype=np.bool_)), "smaller-than-a-tile", "warning"),
    "coloured labels": (lambda d: write_png(d / "train/label/train_1.png", _image(3)), "label-encoding", "error"),
    "labels of many greys": (lambda d: write_png(d / "train/label/train_1.png", _image(3)[0]), "label-encoding", "error"),
    "JPEG labels": (lambda d: _relabel(d, "train", lambda v: np.roll(v, 3, axis=0), ".jpg"), "jpeg-labels", "warning"),
    "labels of 0 and 1": (lambda d: _relabel(d, "train", lambda v: v // 255), "label-encodings", "note"),
    "inverted labels": (lambda d: _relabel(d, "val", lambda v: 255 - v), "inverted", "error"),
    "one inverted label": (lambda d: write_png(d / "train/label/train_0.png", np.ones((SIDE, SIDE), dtype=np.bool_)), "full-labels", "warning"),
    "black labels": (lambda d: _relabel(d, "train", lambda v: v * 0), "all-black", "error"),
    "little change in val": (lambda d: [write_png(d / f"val/label/val_{n}.png", np.eye(SIDE, dtype=np.bool_) & (n == 1)) for n in range(4)], "shares-differ", "warning"),
    "one date twice": (lambda d: shutil.copy(d / "train/A/train_1.png", d / "train/B/train_1.png"), "same-dates", "error"),
    "one date twice, unchanged": (lambda d: shutil.copy(d / "train/A/train_0.png", d / "train/B/train_0.png"), "same-dates", "warning"),
    "a black image": (lambda d: write_png(d / "train/A/train_0.png", np.zeros((3, SIDE, SIDE), dtype=np.uint8)), "one-colour", "warning"),
    "grey images": (lambda d: [write_png(d / f"train/{f}/train_0.png", _image(s)[:1].repeat(3, 0)) for f, s in (("A", 70), ("B", 71))], "grey-images", "note"),
    "a pair in train and val": (lambda d: _copy_pair(d, "val_1", "train_9"), "in-two-splits", "error"),
    "a turned pair in train and test": (lambda d: _copy_pair(d, "test_1", "train_9", lambda i: np.rot90(i, axes=(1, 2))), "near-in-two-splits", "error"),
    "a flipped, dimmed pair in train and val": (lambda d: _copy_pair(d, "val_1", "train_9", lambda i: (i[..., ::-1] * 0.7 + 20).astype(np.uint8)), "near-in-two-splits", "error"),
    "a pair twice in train": (lambda d: _copy_pair(d, "train_1", "train_9"), "repeated", "note"),
}  # fmt: skip


@pytest.mark.parametrize("illness", ILLNESSES)
def test_each_illness_is_found_and_weighed(illness: str, data: Path) -> None:
    spoil, code, level = ILLNESSES[illness]
    assert code not in SOUND
    spoil(data)
    diagnosis = diagnose(data)
    found = [finding for finding in diagnosis.findings if finding.code == code]
    assert [finding.level for finding in found] == [level]
    assert found[0].effect
    assert found[0].fix or level == "note"
    assert diagnosis.is_fit == (level != "error")
    unexpected = _codes(diagnosis, "error") - {code}
    json.dumps(
        diagnosis.to_json(), allow_nan=False
    )  # a date without images had statistics that are no number
    assert unexpected <= {"unpaired"}, (
        "one illness, one error (an empty folder's partners are unpaired besides)"
    )


def test_names_are_listed(data: Path) -> None:
    _copy_pair(data, "val_1", "train_9", lambda image: image[:, ::-1])
    (data / "train" / "B" / "train_2.png").unlink()
    findings = {finding.code: finding for finding in diagnose(data).findings}
    assert findings["near-in-two-splits"].names == ("train_9 ~ val_1",)
    assert findings["near-in-two-splits"].split == "train, val"
    assert findings["unpaired"].names == ("train_2",)


def test_a_tile_that_is_not_the_manifests_is_found(data: Path) -> None:
    files = {folder: data / "train" / folder / "train_1.png" for folder in ("A", "B", "label")}
    hashes = [file_hash(path) for path in files.values()]
    write_manifest(data, header={}, tiles=[TileRecord("train", "train_1", *hashes, "s", 0, 0, 256)])
    assert "manifest" not in _codes(diagnose(data), "error")
    write_png(files["label"], np.eye(SIDE, dtype=np.bool_))
    finding = next(finding for finding in diagnose(data).findings if finding.code == "manifest")
    assert (finding.level, finding.names) == ("error", ("train/label/train_1",))


def test_a_tile_is_as_large_as_experiments_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert Experiment.model_fields["tile_px"].default == doctor.TILE_PX


def test_of_small_pairs_the_fix_names_the_key_and_its_value(data: Path) -> None:
    """They were called fit for training, which refused them by a hint that named no key."""
    for folder in ("A", "B", "label"):
        path = data / "train" / folder / "train_1.png"
        Image.open(path).crop((0, 0, 48, 40)).save(path)
    finding = next(f for f in diagnose(data).findings if f.code == "smaller-than-a-tile")
    assert "tile_px = 40" in finding.fix
    assert finding.names == ("train_1 40x48",)


def test_the_fix_for_16_bit_is_to_scale_them(data: Path) -> None:
    """It was to download them again."""
    path = data / "train" / "A" / "train_1.png"
    place = from_origin(620000, 3350000, 1, 1)
    with rasterio.open(
        path.with_suffix(".tif"), "w", "GTiff", SIDE, SIDE, 3, None, place, "uint16"
    ) as image:
        image.write(read_image(path).astype(np.uint16) * 12)
    path.unlink()
    finding = next(f for f in diagnose(data).findings if f.code == "unreadable")
    assert "gdal_translate" in finding.fix
    assert "download" not in finding.fix


def test_a_folder_of_dates_before_splits_is_told_the_layout(tmp_path: Path) -> None:
    """A/train was taken for a split, and the folder above it asked for."""
    for folder in ("A", "B", "label"):
        (tmp_path / folder / "train").mkdir(parents=True)
    for read in (diagnose, lambda root: list_pairs(root, "train")):
        with pytest.raises(DataSetError) as error:
            read(tmp_path)
        assert "train/A is needed" in str(error.value.hint)
    (tmp_path / "A" / "x.png").write_bytes(b"")
    with pytest.raises(DataSetError) as error:
        diagnose(tmp_path)
    assert "list" in str(error.value.hint)


@pytest.mark.parametrize("folder", ["nowhere", "data/train", "data/train/A"])
def test_what_is_no_data_set_is_said(folder: str, data: Path) -> None:
    with pytest.raises(DataSetError) as error:
        diagnose(data.parent / folder)
    assert error.value.hint


def test_nearest_statistics() -> None:
    assert nearest_statistics(PER_DATE_STATISTICS["whu-cd"]) == ("whu-cd", 0.0)


def test_the_verb_ends_with_1_where_training_would_be_wrong(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["hanet", "check-data", str(data), *arguments])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), capsys.readouterr().out
        return 0, capsys.readouterr().out

    code, out = typed()
    assert code == 0
    assert "fit for training" in out
    assert max(map(len, out.splitlines()[:12])) <= 80
    _relabel(data, "train", lambda values: 255 - values)
    code, out = typed()
    assert code == 1
    assert "error: train: 95.3% of all pixels are changed: the labels are probably inverted" in out
    assert "effect on training: the network learns to mark unchanged ground" in out
    code, out = typed("--json")
    values = json.loads(out)
    assert (code, values["fit_for_training"]) == (1, False)
    assert values["findings"][0]["code"] == "inverted"
    assert values["splits"]["val"]["foreground_pairs"] == 3


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
def test_the_hash_of_an_orientation_is_that_of_the_turned_image(orientation: int) -> None:
    pairs = np.stack(
        [np.stack([thumbnail(_image(n)), thumbnail(_image(n + 50))]) for n in range(5)]
    )
    np.testing.assert_array_equal(
        hash_pairs(pairs)[orientation], hash_pairs(turned(pairs, orientation))[0]
    )  # type: ignore[arg-type]


def test_thumbnails_are_means_of_cells() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 96, 70), dtype=np.uint8)
    grey, edges = image.astype(np.float64).mean(axis=0), np.arange(33) * 70 // 32
    expected = [
        [grey[3 * r : 3 * r + 3, edges[c] : edges[c + 1]].mean() for c in range(32)]
        for r in range(32)
    ]
    assert np.abs(thumbnail(image) - np.array(expected)).max() <= 0.51
    assert thumbnail(image[:, :5, :7]).shape == (32, 32)


def test_flat_images_are_not_taken_for_one_another() -> None:
    random = np.random.default_rng(0)
    flat = np.clip(random.normal(90, 0.4, (6, 2, 32, 32)), 0, 255).astype(np.uint8)
    assert near_duplicates(flat) == []


def test_bits_are_counted_alike_with_numpy_1(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.random.default_rng(0).integers(0, 2**63, (3, 4), dtype=np.uint64)
    expected = perceptual_hash._bits(words)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    np.testing.assert_array_equal(perceptual_hash._bits(words), expected)


@pytest.mark.real_data
def test_real_tiles_are_found_again_and_never_mistaken(shared_data: Path) -> None:
    folder = shared_data / "levir-cd" / "tiles-256" / "val"
    stems = sorted(path.stem for path in (folder / "A").iterdir())[:60]
    images = [[read_image(folder / date / f"{stem}.jpg") for date in ("A", "B")] for stem in stems]
    plain = np.stack([np.stack([thumbnail(image) for image in pair]) for pair in images])
    assert near_duplicates(plain) == []
    altered = []
    for number, pair in enumerate(images):
        dim = [(turned(image, number % 8) * 0.8 + 15).astype(np.uint8) for image in pair]
        packed = [Image.open(BytesIO(encode_jpeg(image, quality=60))) for image in dim]
        altered.append(
            np.stack([thumbnail(np.moveaxis(np.asarray(image), -1, 0)) for image in packed])
        )
    found = near_duplicates(plain, np.stack(altered))
    assert [(near.first, near.second, near.orientation) for near in found] == [
        (n, n, n % 8) for n in range(60)
    ]


def test_splits_that_are_lists_of_names_are_read(data: Path, tmp_path: Path) -> None:
    """The layout of BIT and ChangeFormer was called a split itself."""
    shared = tmp_path / "shared"
    (shared / "list").mkdir(parents=True)
    for split in ("train", "val", "test"):
        for folder in ("A", "B", "label"):
            shutil.copytree(data / split / folder, shared / folder, dirs_exist_ok=True)
        names = sorted(path.name for path in (data / split / "A").iterdir())
        (shared / "list" / f"{split}.txt").write_text("\n".join(names))
    one, other = diagnose(data), diagnose(shared)
    assert other.to_json() == {**one.to_json(), "root": str(shared)}
    (shared / "B" / "val_2.png").unlink()
    [finding] = [f for f in diagnose(shared).findings if f.level == "error"]
    assert (finding.code, finding.split, finding.names) == ("unpaired", "val", ("val_2",))
    shutil.rmtree(shared / "label")
    fixes = [f.fix for f in diagnose(shared).findings if f.code == "missing-folder"]
    assert fixes == ["put the images into label"] * 3


def test_ground_that_nobody_knows_is_a_note_and_no_part_of_the_shares(data: Path) -> None:
    """All but the changed sixteenth of a split is unknown: it is not inverted by that."""
    for number in range(4):
        path = data / "train" / "label" / f"train_{number}.png"
        label = read_image(path)[0]
        label[32:] = 128
        write_png(path, label)
    diagnosis = diagnose(data)
    found = {finding.code: finding for finding in diagnosis.findings if finding.split == "train"}
    assert diagnosis.is_fit
    assert "4, 50% of all pixels" in found["ignored"].message
    train = next(split for split in diagnosis.splits if split.name == "train")
    assert train.pixels == 4 * SIDE * SIDE // 2
    assert train.changed == 3 * 16 * 16
