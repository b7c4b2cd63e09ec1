"""Preparation: every tile is its window of the release, counts follow the published rules, and a
kill costs nothing."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio import Affine

from hanet.cli import main
from hanet.datasets.layout import list_pairs
from hanet.datasets.manifest import read_manifest
from hanet.datasets.preparation import prepare
from hanet.datasets.releases import RULES, Plan, draw_tenth, plan_release
from hanet.errors import DataSetError, OutputError, SettingsError
from hanet.files import file_hash
from hanet.imagery.images import read_image, read_label, write_png
from hanet.types import ByteArray, Mask

LAYOUT = "1. The two-period image data"


def _pixels(height: int, width: int, seed: int) -> tuple[ByteArray, ByteArray, Mask]:
    """Two images of coarse noise (small as PNG) and a label with one rectangle."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (2, 3, -(-height // 32), -(-width // 32)), dtype=np.uint8)
    images = np.kron(coarse, np.ones((32, 32), dtype=np.uint8))[:, :, :height, :width]
    change = np.zeros((height, width), dtype=np.bool_)
    change[40:90, 30:100] = True
    return images[0], images[1], change


def _levir(
    root: Path,
    *,
    scenes: int = 2,
    side: int = 512,
    splits: tuple[str, ...] = ("train", "val", "test"),
) -> Path:
    for split in splits:
        for number in range(1, scenes + 1):
            for folder, image in zip(("A", "B", "label"), _pixels(side, side, number), strict=True):
                (root / split / folder).mkdir(parents=True, exist_ok=True)
                write_png(root / split / folder / f"{split}_{number}.png", image)
    return root


def _tiff(path: Path, pixels: np.ndarray, *, west: float | None, dtype: str = "uint8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    place = (
        {}
        if west is None
        else {"crs": "EPSG:2193", "transform": Affine(0.2, 0.0, west, 0.0, -0.2, 5e6)}
    )
    bands = pixels[None] if pixels.ndim == 2 else pixels
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=dtype,
        count=len(bands),
        height=bands.shape[1],
        width=bands.shape[2],
        **place,
    ) as dataset:
        dataset.write(bands.astype(dtype))


def _whu(
    root: Path, *, widths: tuple[int, int] = (1300, 600), height: int = 700, ones: int = 1
) -> Path:
    """A release with two halves; building masks and crops beside it, as the real one has them."""
    for number, (half, width) in enumerate(zip(("train", "test"), widths, strict=True)):
        before, after, change = _pixels(height, width, number)
        west = 1000.0 + number * widths[0] * 0.2
        for year, image in (("2012", before), ("2016", after)):
            _tiff(
                root / LAYOUT / year / "whole_image" / half / "image" / f"{year}_{half}.tif",
                image,
                west=west,
            )
            _tiff(
                root / LAYOUT / year / "whole_image" / half / "label" / f"{year}_{half}.tif",
                change * 1,
                west=west,
            )
            _tiff(
                root / LAYOUT / year / "splited_images" / half / "image" / "0_0.tif",
                image[:, :512, :512],
                west=west,
            )
        _tiff(root / LAYOUT / "change_label" / half / "change_label.tif", change * ones, west=west)
    return root


def _files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): file_hash(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_levir_tiles_are_their_windows_and_the_manifest_tells_where(tmp_path: Path) -> None:
    source = _levir(tmp_path / "release")
    prepared = prepare("levir-cd", source, tmp_path / "tiles")
    assert {split: summary.tiles for split, summary in prepared.splits.items()} == {
        "train": 8,
        "val": 8,
        "test": 8,
    }
    assert prepared.differences[0] == "train has 8 tiles, 7120 are published"
    found = read_manifest(tmp_path / "tiles")
    assert found is not None
    header, tiles = found
    assert header["sources"][0]["before"]["file"] == "train/A/train_1.png"
    for tile in tiles:
        scene = tile.scene.split("/")[1]
        rows, columns = slice(tile.row, tile.row + 256), slice(tile.column, tile.column + 256)
        for folder, expected in (("A", tile.before), ("B", tile.after)):
            path = tmp_path / "tiles" / tile.split / folder / f"{tile.name}.png"
            assert file_hash(path) == expected
            whole = read_image(source / tile.split / folder / f"{scene}.png")
            np.testing.assert_array_equal(read_image(path), whole[:, rows, columns])
        label = read_label(tmp_path / "tiles" / tile.split / "label" / f"{tile.name}.png")
        np.testing.assert_array_equal(
            label, read_label(source / tile.split / "label" / f"{scene}.png")[rows, columns]
        )
        assert tile.foreground_pixels == label.sum()
    assert sum(tile.foreground_pixels for tile in tiles) == 3 * 2 * 50 * 70
    assert len(list_pairs(tmp_path / "tiles", "train")) == 8


def test_a_second_run_writes_nothing_and_mends_what_is_damaged(tmp_path: Path) -> None:
    source, target = _levir(tmp_path / "release", scenes=1), tmp_path / "tiles"
    assert prepare("levir-cd", source, target).written == 12
    whole = _files(target)
    times = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    assert prepare("levir-cd", source, target).written == 0
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*")} == times
    (target / "val" / "B" / "val_1_0_1.png").write_bytes(b"\x89PNG cut short")
    (target / "test" / "label" / "test_1_1_1.png").unlink()
    assert prepare("levir-cd", source, target).written == 2
    assert _files(target) == whole


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_killed_half_way_a_second_run_completes_it(tmp_path: Path) -> None:
    source, target = (
        _levir(tmp_path / "release", scenes=3, side=1024, splits=("train",)),
        tmp_path / "tiles",
    )
    prepare("levir-cd", source, tmp_path / "uninterrupted")
    command = [
        sys.executable,
        "-c",
        "from hanet.cli import main; main()",
        "prepare",
        "levir-cd",
        str(source),
        str(target),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    work = tmp_path / "tiles.partial"
    while process.poll() is None and len(list(work.rglob("label/[!.]*.png"))) < 5:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    half = len(list(work.rglob("label/[!.]*.png")))
    assert 5 <= half < 48
    assert not target.exists(), "half a data set must not pass for one"
    # what a crash of the machine could leave besides: an empty file, and one that was being written
    sorted(work.rglob("A/[!.]*.png"))[0].write_bytes(b"")
    (work / "train" / "A" / ".train_9.png.123.partial").write_bytes(b"\x89PNG")
    written = prepare("levir-cd", source, target).written
    assert 48 - half <= written < 48
    assert _files(target) == _files(tmp_path / "uninterrupted")
    assert not work.exists()


def test_a_full_disk_is_told_with_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _levir(tmp_path / "release", scenes=1)

    def full(image: Image.Image, *arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full)
        with pytest.raises(
            OutputError, match=r"A.train_1_0_0\.png cannot be written: No space left"
        ) as error:
            prepare("levir-cd", source, tmp_path / "tiles")
    assert "the same command continues" in str(error.value.hint)
    assert prepare("levir-cd", source, tmp_path / "tiles").written == 12
    foreign = tmp_path / "other.partial"
    foreign.mkdir()
    (foreign / "thesis.txt").touch()
    with pytest.raises(OutputError, match="did not make") as error:
        prepare("levir-cd", source, tmp_path / "other")
    assert error.value.hint == f"move or remove {foreign}"


def test_what_is_something_else_is_left_alone(tmp_path: Path) -> None:
    source = _levir(tmp_path / "release", scenes=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(OutputError, match="did not make"):
        prepare("levir-cd", source, tmp_path / "mine")
    prepare("levir-cd", source, tmp_path / "tiles")
    write_png(source / "val" / "A" / "val_1.png", np.zeros((3, 512, 512), dtype=np.uint8))
    with pytest.raises(OutputError, match="the files of the release"):
        prepare("levir-cd", source, tmp_path / "tiles")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        prepare("levir-cd", source, tmp_path / "file")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "dear"


@pytest.mark.parametrize("rule", RULES["whu-cd"])
@pytest.mark.parametrize("ones", [1, 255])
def test_whu_tiles_are_their_windows(rule: str, ones: int, tmp_path: Path) -> None:
    source = _whu(tmp_path / "release", ones=ones)
    prepare("whu-cd", source, tmp_path / "tiles", rule=rule)
    found = read_manifest(tmp_path / "tiles")
    assert found is not None
    for tile in found[1]:
        folder = source / LAYOUT
        files = [
            folder / year / "whole_image" / tile.scene / "image" / f"{year}_{tile.scene}.tif"
            for year in ("2012", "2016")
        ]
        for path, made in zip(
            [*files, folder / "change_label" / tile.scene / "change_label.tif"],
            ("A", "B", "label"),
            strict=True,
        ):
            with rasterio.open(path) as dataset:
                expected = dataset.read()[
                    :, tile.row : tile.row + 256, tile.column : tile.column + 256
                ]
            image = tmp_path / "tiles" / tile.split / made / f"{tile.name}.png"
            actual = read_label(image)[None] if made == "label" else read_image(image)
            np.testing.assert_array_equal(actual, expected > 0 if made == "label" else expected)


def _plan_of_published_size(tmp_path: Path, rule: str, *, whole: bool) -> Plan:
    """The plan of a release of the published size; files of no bytes' weight stand for the rasters
    (blocks are left out)."""
    parts = {"whole": 32507} if whole else {"train": 21243, "test": 11265}
    west = 0.0
    for part, width in parts.items():
        names = (
            {"before": 3, "after": 3, "change_label": 1}
            if whole
            else {f"2012_{part}": 3, f"2016_{part}": 3, f"change_label/{part}/change_label": 1}
        )
        for name, bands in names.items():
            path = tmp_path / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            with rasterio.open(
                path, "w", driver="GTiff", dtype="uint8", count=bands, height=15354, width=width, SPARSE_OK=True,
                tiled=True, crs="EPSG:2193", transform=Affine(0.2, 0.0, west, 0.0, -0.2, 5e6),
            ):  # fmt: skip
                pass
        west += width * 0.2
    return plan_release("whu-cd", tmp_path, rule=rule)


@pytest.mark.parametrize("whole", [True, False])
def test_whu_counts_are_the_published_ones(whole: bool, tmp_path: Path) -> None:
    plan = _plan_of_published_size(tmp_path, "paper", whole=whole)
    assert Counter(cut.split for cut in plan.cuts) == {"train": 4536, "val": 504, "test": 2760}
    by_crop: dict[str, set[str]] = {}
    for cut in plan.cuts:
        by_crop.setdefault(cut.name.rsplit("_", 2)[0], set()).add(cut.split)
    assert len(by_crop) == 1260 + 690
    assert all(len(splits) == 1 for splits in by_crop.values())
    assert any("does not say" in note for note in plan.notes)


@pytest.mark.parametrize("whole", [True, False])
def test_no_ground_stands_twice_in_the_spatial_split(whole: bool, tmp_path: Path) -> None:
    plan = _plan_of_published_size(tmp_path, "spatial", whole=whole)
    assert Counter(cut.split for cut in plan.cuts) == {
        "train": 74 * 59,
        "val": 8 * 59,
        "test": 44 * 59,
    }
    starts = {(cut.scene, cut.row, cut.column) for cut in plan.cuts}
    assert len(starts) == len(plan.cuts)
    for split in ("train", "val", "test"):
        columns = sorted({cut.column for cut in plan.cuts if cut.split == split})
        assert all(b - a == 256 for a, b in pairwise(columns)), "one strip each"
    ends = {
        split: max(cut.column for cut in plan.cuts if cut.split == split) + 256
        for split in ("train", "val")
    }
    assert ends["val"] <= min(cut.column for cut in plan.cuts if cut.split == "train")
    assert not whole or ends["train"] <= min(cut.column for cut in plan.cuts if cut.split == "test")


def test_validation_lies_away_from_a_test_half_in_the_west(tmp_path: Path) -> None:
    source = _whu(tmp_path)
    for path in source.rglob("*test*.tif"):
        with rasterio.open(path, "r+") as dataset:
            dataset.transform = Affine(0.2, 0.0, 10.0, 0.0, -0.2, 5e6)
    columns = {
        split: {
            cut.column
            for cut in plan_release("whu-cd", source, rule="spatial").cuts
            if cut.split == split
        }
        for split in ("train", "val")
    }
    assert min(columns["val"]) > max(columns["train"])


def test_the_drawn_tenth_hangs_on_the_seed_alone() -> None:
    assert len(draw_tenth(1260, 0)) == 126
    assert draw_tenth(1260, 0)[:4] == [9, 11, 12, 18], "a seed must name the same tenth for ever"
    assert draw_tenth(1260, 1) != draw_tenth(1260, 0)
    assert draw_tenth(9, 0) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "2016/whole_image/test/image/2016_test.tif").unlink(), "after "
            "raster of the part 'test' is missing"),
        (lambda folder: _tiff(folder / "change_label/test/change_label.tif", np.zeros((700, 599)), west=0), "differ in size"),
        (lambda folder: _tiff(folder / "change_label/test/change_label.tif", np.full((700, 600), 7), west=0), "it holds 7"),
        (lambda folder: _tiff(folder / "change_label/test/change_label.tif", np.full((700, 600), np.nan), west=0, dtype="float32"), "it holds nan"),
        (lambda folder: _tiff(folder / "2012/whole_image/test/image/2012_test.tif", np.zeros((700, 600)), west=0), "8-bit RGB"),
        (lambda folder: _tiff(folder / "copy/2012_test.tif", np.zeros((3, 700, 600)), west=0), "stands 2 times"),
    ],
)  # fmt: skip
def test_a_release_that_does_not_fit_is_refused(
    spoil: object, message: str, tmp_path: Path
) -> None:
    source = _whu(tmp_path / "release")
    spoil(source / LAYOUT)  # type: ignore[operator]
    with pytest.raises(DataSetError, match=message):
        prepare("whu-cd", source, tmp_path / "tiles")
    assert not (tmp_path / "tiles").exists()


def test_levir_scenes_that_differ_in_size_are_named(tmp_path: Path) -> None:
    source = _levir(tmp_path / "release", scenes=1)
    write_png(source / "val" / "label" / "val_1.png", np.zeros((512, 256), dtype=np.bool_))
    with pytest.raises(
        DataSetError, match=r"'val/val_1' differ in size: A 512x512, B 512x512, label 512x256"
    ):
        prepare("levir-cd", source, tmp_path / "tiles")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cdd", "."), "no preparation for 'cdd'"),
        (("levir-cd", ".", "paper"), "has no split 'paper'"),
        (("levir-cd", "nowhere"), "is not a folder"),
        (("levir-cd", "."), "holds no folders train, val and test"),
        (("whu-cd", "."), "before raster of the part 'train' is missing"),
    ],
)
def test_what_cannot_be_prepared_is_said(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises((SettingsError, DataSetError), match=message):
        plan_release(
            arguments[0], tmp_path / arguments[1], rule=arguments[2] if len(arguments) > 2 else None
        )


def test_a_target_that_no_file_can_have_is_refused_before_the_release_is_read(
    tmp_path: Path,
) -> None:
    with pytest.raises(SettingsError, match="the folder for the tiles is not UTF-8"):
        prepare("levir-cd", tmp_path / "nowhere", tmp_path / "latin\udce4")


def test_the_verb_tells_counts_notes_and_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _whu(tmp_path / "release")

    def typed(*arguments: object) -> tuple[str, str]:
        monkeypatch.setattr(
            sys, "argv", ["hanet", "prepare", "whu-cd", str(source), *map(str, arguments)]
        )
        main()
        printed = capsys.readouterr()
        return printed.out, printed.err

    out, err = typed(tmp_path / "tiles", "--seed", 3)
    assert "split 'paper'" in out
    assert "named by its seed 3" in err
    assert "warning: train has" in err
    assert "4536 are published" in err
    values = json.loads(typed(tmp_path / "tiles", "--seed", 3, "--json")[0])
    assert values["written"] == 0
    with pytest.raises(SystemExit):
        typed(tmp_path / "tiles")
    assert "seed 3 there, 0 asked for" in capsys.readouterr().err
