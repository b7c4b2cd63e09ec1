"""Reviewed ground as labels: what is known is change or none, the rest is ignored, and the tiles of
both dates are what the detection saw."""

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

from hanet.datasets.doctor import diagnose
from hanet.datasets.layout import list_pairs
from hanet.datasets.torch_datasets import TileDataset
from hanet.errors import OutputError, RasterError, SettingsError
from hanet.imagery.fingerprint import raster_fingerprint
from hanet.imagery.images import read_change, read_image
from hanet.imagery.pair import open_pair
from hanet.review.label_tiles import SuggestedTile, label_tiles, tile_item
from hanet.review.labels import Labels, write_labels
from hanet.review.review import Review
from hanet.types import IGNORED, ByteArray, Window
from reviewed_runs import finished_run, village

SIDE = 512


def _raster(path: Path, seed: int, *, dtype: str = "uint8", empty: bool = False) -> ByteArray:
    """Noise on the grid of :func:`finished_run`; ``empty`` leaves its left 32 columns without
    data."""
    values = np.random.default_rng(seed).integers(1, 250, (3, SIDE, SIDE)).astype(dtype)
    if dtype == "uint16":
        values *= 10
    if empty:
        values[:, :, :32] = 0
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=3,
        height=SIDE,
        width=SIDE,
        dtype=dtype,
        crs="EPSG:32614",
        transform=rasterio.Affine(0.5, 0, 620000, 0, -0.5, 3350000),
        nodata=0 if empty else None,
    ) as file:
        file.write(values)
    return values


def _run(folder: Path, **images: Any) -> Path:
    """A reviewed run beside its two images, with all that ``run.json`` says of how they are read."""
    out = finished_run(folder / "village", village(), outline="pixels")
    _raster(folder / "before.tif", 1, **images)
    _raster(folder / "after.tif", 2, **images)
    with open_pair(folder / "before.tif", folder / "after.tif") as pair:
        manifest = json.loads((out / "run.json").read_text())
        manifest["pair"] = json.loads(json.dumps(pair.manifest()))
        manifest["identity"] |= {
            "before": raster_fingerprint(pair.before),
            "after": raster_fingerprint(pair.after),
        }
    (out / "run.json").write_text(json.dumps(manifest))
    return out


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """f1 (the shed) accepted, f2 (the barn) rejected, f3 unsure, a building drawn, and one blank
    tile without anything."""
    out = _run(tmp_path_factory.mktemp("plain"))
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"status": "accepted"})
        review.decide(["f2"], {"status": "rejected"})
        review.decide(["f3"], {"status": "unsure"})
        review.draw(shapely.box(300, 300, 320, 310))
        tile = next(i for i in review.items("blank") if i.geometry.bounds[:2] == (128.0, 0.0))
        review.decide([tile.id], {"status": "rejected"})
    return out.parent


@pytest.fixture
def folder(tmp_path: Path, plain: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "run"))


def _write(folder: Path, **changes: Any) -> Labels:
    settings: dict[str, Any] = {"split": "train", "warn": _fail, **changes}
    name = settings.pop("name", "village")
    (written,) = write_labels({name: folder / "village"}, folder / "set", **settings)
    return written


def _fail(message: str) -> None:
    raise AssertionError(message)


def _label(folder: Path, name: str) -> ByteArray:
    return read_change(folder / "set" / "train" / "label" / f"{name}.png")


def test_known_ground_is_change_or_none_and_all_else_is_ignored(folder: Path) -> None:
    written = _write(folder)
    expected = np.full((SIDE, SIDE), IGNORED, dtype=np.uint8)
    expected[0:128, 128:256] = 0
    expected[10:30, 10:40] = 0
    expected[10:20, 60:75] = 1
    expected[300:310, 300:320] = 1
    assert np.array_equal(_label(folder, "village_0_0"), expected[:256, :256])
    assert np.array_equal(_label(folder, "village_1_1"), expected[256:, 256:])
    assert written.tiles == 2
    known = (expected != IGNORED).sum()
    assert written.known_share == pytest.approx(known / (2 * 256**2))
    assert written.changed_share == pytest.approx((expected == 1).sum() / known)


def test_only_tiles_with_known_ground_are_written(folder: Path) -> None:
    _write(folder)
    for kind in ("A", "B", "label"):
        names = {path.name for path in (folder / "set" / "train" / kind).iterdir()}
        assert names == {"village_0_0.png", "village_1_1.png"}


def test_both_dates_are_what_the_detection_reads(folder: Path) -> None:
    _write(folder)
    with open_pair(folder / "before.tif", folder / "after.tif") as pair:
        block = pair.read(Window(256, 256, 256, 256))
    for kind, image in (("A", block.before), ("B", block.after)):
        tile = read_image(folder / "set" / "train" / kind / "village_1_1.png")
        assert np.array_equal(tile, np.rint(image).astype(np.uint8))


def test_sixteen_bits_are_scaled_as_in_the_run(tmp_path: Path) -> None:
    out = _run(tmp_path, dtype="uint16")
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"status": "accepted"})
    _write(tmp_path)
    with open_pair(tmp_path / "before.tif", tmp_path / "after.tif") as pair:
        block = pair.read(Window(0, 0, 256, 256))
    tile = read_image(tmp_path / "set" / "train" / "A" / "village_0_0.png")
    assert np.array_equal(tile, np.rint(np.clip(block.before, 0, 255)).astype(np.uint8))


def test_ground_without_data_is_ignored(tmp_path: Path) -> None:
    out = _run(tmp_path, empty=True)
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f2"], {"status": "accepted"})
    _write(tmp_path)
    label = _label(tmp_path, "village_0_0")
    assert (label[10:30, 10:32] == IGNORED).all()
    assert (label[10:30, 32:40] == 1).all()


def test_training_and_the_doctor_take_the_tiles(folder: Path) -> None:
    _write(folder)
    _write(folder, split="val", name="other")
    tiles = TileDataset(list_pairs(folder / "set", "train"))
    assert tiles.foreground_pixels.tolist() == [150, 200]
    findings = {finding.code for finding in diagnose(folder / "set").findings}
    assert "ignored" in findings
    assert "label-encoding" not in findings


def test_of_a_tile_in_which_something_was_missed_only_what_was_drawn_is_known(folder: Path) -> None:
    with Review.open(folder / "village", reviewer="anna") as review:
        tile = next(i for i in review.items("blank") if i.status == "rejected")
        review.decide([tile.id], {"status": "accepted"})
        review.draw(shapely.box(130, 10, 140, 20))
    _write(folder)
    label = _label(folder, "village_0_0")[:128, 128:]
    assert (label == 1).sum() == 100
    assert (label == IGNORED).sum() == 128 * 128 - 100


def _suggest(review: Review, *numbers: int) -> None:
    windows = label_tiles(review.grid)
    tiles = [SuggestedTile(tile_item(one, windows[one]), "much doubt") for one in numbers]
    review.suggest(tiles, count=len(tiles), seed=1)


def test_ground_beside_the_outlines_of_a_complete_tile_is_unchanged(folder: Path) -> None:
    with Review.open(folder / "village", reviewer="anna") as review:
        _suggest(review, 0)
        review.decide(["t1"], {"status": "accepted"})
    _write(folder)
    expected = np.zeros((256, 256), dtype=np.uint8)
    expected[10:20, 60:75] = 1
    expected[50:64, 20:36] = IGNORED  # f3, which is unsure; the place under the threshold is ground
    assert np.array_equal(_label(folder, "village_0_0"), expected)


def test_a_complete_tile_without_any_footprint_is_unchanged(tmp_path: Path) -> None:
    out = _run(tmp_path)
    with Review.open(out, reviewer="anna") as review:
        _suggest(review, 1)
        review.decide(["t2"], {"status": "accepted"})
    written = _write(tmp_path)
    assert (written.tiles, written.known_share, written.changed_share) == (1, 1.0, 0.0)
    assert (_label(tmp_path, "village_0_1") == 0).all()


@pytest.mark.parametrize("status", ["rejected", "unsure", "unreviewed"])
def test_a_tile_that_is_not_complete_says_nothing(folder: Path, status: str) -> None:
    before = _write(folder)
    shutil.rmtree(folder / "set")
    with Review.open(folder / "village", reviewer="anna") as review:
        _suggest(review, 0, 3)
        review.decide(["t1", "t4"], {"status": status})
    assert _write(folder) == before


def test_what_a_remake_finds_in_a_complete_tile_is_ignored_until_it_is_decided(
    folder: Path,
) -> None:
    with Review.open(folder / "village", reviewer="anna") as review:
        _suggest(review, 0)
        review.decide(["t1"], {"status": "accepted"})
        review.remake(replace(review.settings, threshold=0.3))
        (conflict,) = review.conflicts
        assert (conflict.kept, len(conflict.new)) == ("t1", 1)
        assert "must be decided now" in conflict.why
    _write(folder)
    label = _label(folder, "village_0_0")
    assert (label[50:64, 60:80] == IGNORED).all()
    assert (label[100:, 100:] == 0).all()


def test_a_second_set_of_tiles_of_the_same_name_is_refused(folder: Path) -> None:
    _write(folder)
    with pytest.raises(OutputError, match="holds tiles of village already"):
        _write(folder)
    _write(folder, name="village_of_2023")


def _tiles(folder: Path) -> dict[str, bytes]:
    """All files of the data set, hidden ones too, by their names."""
    files = sorted(path for path in (folder / "set").rglob("*") if path.is_file())
    return {str(path.relative_to(folder / "set")): path.read_bytes() for path in files}


def test_a_delivery_that_was_killed_among_its_tiles_is_made_again(folder: Path) -> None:
    """It was refused by the tiles that it had left itself."""
    _write(folder)
    whole = _tiles(folder)
    split = folder / "set" / "train"
    (split / ".village.unfinished").touch()  # as a killed process leaves it
    sorted(split.glob("label/*.png"))[0].unlink()
    (split / "A" / ".village_0_0.png.17.partial").write_bytes(b"half")
    (split / "A" / "village_7_7.png").write_bytes(b"of a review that went on since")
    (split / "A" / "village_of_2023_0_0.png").write_bytes(b"another one")
    _write(folder)
    assert _tiles(folder) == {**whole, "train/A/village_of_2023_0_0.png": b"another one"}


def test_of_labels_that_fail_in_the_middle_nothing_is_left(folder: Path) -> None:
    (folder / "set" / "train" / "A").mkdir(parents=True)
    mine = folder / "set" / "train" / "A" / "mine.png"
    mine.write_bytes(b"mine")

    def stop(stage: str, share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _write(folder, progress=stop)
    assert _tiles(folder) == {"train/A/mine.png": b"mine"}


def test_labels_of_two_runs_are_written_both_or_not_at_all(folder: Path) -> None:
    shutil.copytree(folder / "village", folder / "town")
    runs = {"village": folder / "village", "town": folder / "town"}
    shares = []

    def stop(stage: str, share: float) -> None:
        shares.append(share)
        if shares.count(0.0) == 2:  # the second run begins
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_labels(runs, folder / "set", split="train", warn=_fail, progress=stop)
    assert _tiles(folder) == {}
    written = write_labels(runs, folder / "set", split="train", warn=_fail)
    assert [one.tiles for one in written] == [2, 2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": "a/b"}, "not a plain name"),
        ({"split": ""}, "not a plain name"),
        ({"split": ".."}, "not a plain name"),
        ({"tile_px": 1024}, "do not fit a result of 512 x 512"),
        ({"tile_px": 0}, "do not fit"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], said: str, folder: Path) -> None:
    with pytest.raises(SettingsError, match=said):
        _write(folder, **changes)
    assert not (folder / "set").exists()


def test_nothing_decided_gives_no_labels(tmp_path: Path) -> None:
    out = _run(tmp_path)
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"status": "unsure"})
    with pytest.raises(OutputError, match=r"nothing in .* has been accepted or rejected"):
        _write(tmp_path)


def test_images_that_moved_are_asked_for(folder: Path) -> None:
    (folder / "before.tif").rename(folder / "moved.tif")
    with pytest.raises(RasterError, match="the before image of this run is not found"):
        _write(folder)
    assert not (folder / "set").exists()
    written = _write(folder, before=str(folder / "moved.tif"), warn=lambda _: None)
    assert written.tiles == 2
