"""Every command block of README, tutorials, guides, concepts and cards runs on small rendered data,
or says why not; what a page shows as printed is printed.

The blocks of a page run one after another in a folder of its own, where there are ``before.tif``
and ``after.tif``, a data set ``LEVIR-CD``, the release ``WHU``, a run ``runs/mine``, masks of
somebody else in ``THEIR-MASKS`` and ``test256``, and ``experiments``. Python blocks also find the
arrays ``before`` and ``after``. A block that cannot run has ``<!-- not run: REASON -->`` right
before it. Other comments: :data:`command_blocks.BLOCK`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio import Affine

from checkout import ROOT
from command_blocks import RUN, SHOWN, blocks_of, write_shims
from hanet.review.review import Review
from hanet.synthetic.scene import render_pair, render_scene

PAGES = [
    ROOT / "README.md",
    *sorted(
        path
        for part in ("tutorials", "guides", "concepts", "models")
        for path in (ROOT / "docs" / part).glob("*.md")
    ),
]
WITH_COMMANDS = [page for page in PAGES if any(block.runs for block in blocks_of(page))]


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader of the pages is supposed to have."""
    folder = tmp_path_factory.mktemp("materials")
    render_scene(folder / "scene", size=256, seed=1)
    for date in ("before", "after"):
        (folder / "scene" / f"{date}.tif").rename(folder / f"{date}.tif")
    shutil.rmtree(folder / "scene")
    for split, first_seed in (("train", 10), ("val", 20), ("test", 30)):
        _write_split(folder / "LEVIR-CD" / split, first_seed)
    _write_whu(folder / "WHU")
    labels = folder / "LEVIR-CD" / "test" / "label"
    shutil.copytree(labels, folder / "THEIR-MASKS")
    _write_tiles(labels, folder / "test256")
    weights = folder / "runs" / "mine" / "weights"
    weights.mkdir(parents=True)
    shutil.copy(ROOT / "weights" / "hanet_lite.safetensors", weights / "best.safetensors")
    shutil.copytree(ROOT / "experiments", folder / "experiments")
    write_shims(folder / "shims")
    return folder


def _write_split(folder: Path, first_seed: int) -> None:
    for part in ("A", "B", "label"):
        (folder / part).mkdir(parents=True)
    for number in (1, 2):
        before, after, change = render_pair(256, 256, first_seed + number, change_share=0.6)
        name = f"{folder.name}_{number}.png"
        for part, image in (("A", before), ("B", after)):
            Image.fromarray(np.moveaxis(image, 0, -1)).save(folder / part / name)
        Image.fromarray(change.astype(np.uint8) * 255).save(folder / "label" / name)


def _write_whu(folder: Path) -> None:
    """A small release of WHU-CD: two halves side by side, as its archive lays them."""
    for half, width, west in (("train", 1300, 0.0), ("test", 600, 260.0)):
        before, after, change = render_pair(700, width, len(half), gsd_m=0.2)
        files = {
            f"2012/whole_image/{half}/image/2012_{half}.tif": before,
            f"2016/whole_image/{half}/image/2016_{half}.tif": after,
            f"change_label/{half}/change_label.tif": change[None].astype(np.uint8),
        }
        place = {"crs": "EPSG:2193", "transform": Affine(0.2, 0.0, west, 0.0, -0.2, 5e6)}
        for name, image in files.items():
            (folder / name).parent.mkdir(parents=True)
            size = {"count": len(image), "height": 700, "width": width}
            with rasterio.open(
                folder / name, "w", driver="GTiff", dtype="uint8", **size, **place
            ) as dataset:
                dataset.write(image)


def _write_tiles(labels: Path, folder: Path) -> None:
    """Labels cut into 4x4 tiles, numbered down the columns, as the authors of HANet released
    theirs."""
    folder.mkdir()
    for number in (1, 2):
        label = np.asarray(Image.open(labels / f"test_{number}.png"))
        for tile in range(16):
            column, row = divmod(tile, 4)
            part = label[64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
            Image.fromarray(part).save(folder / f"test256_{16 * (number - 1) + tile + 1}.png")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_has_a_known_language_and_reasons_are_given(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language in (*RUN, *SHOWN), f"line {block.line}: ```{block.language}"
        assert block.reason is None or len(block.reason.split()) >= 3, (
            f"line {block.line}: why is it not run?"
        )


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_command_blocks_run(
    page: Path,
    materials: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = tmp_path / "place"
    shutil.copytree(materials, place)
    monkeypatch.chdir(place)
    before, after, _ = render_pair(128, 128, 1)
    names = {"before": before, "after": after}
    printed = ""
    for block in blocks_of(page):
        if block.runs:
            block.run(names, monkeypatch, place / "shims")
            printed += "".join(capsys.readouterr())
        elif block.printed:
            block.check_shown(printed)
        elif page.parent.name == "tutorials" and block.text.startswith("hanet review"):
            _accept_everything(Path("changes"))


def _accept_everything(run: Path) -> None:
    """What stands for a person on the page of ``hanet review``."""
    with Review.open(run, reviewer="anna") as review:
        review.decide([item.id for item in review.items("found")], {"status": "accepted"})


def test_a_block_is_found_with_its_reason_and_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "a\n\n<!-- not run: needs a GPU -->\n```sh\nhanet train\n```\n\n```sh\nfalse\n```\n",
        encoding="utf-8",
    )
    refused, failing = blocks_of(page)
    assert (refused.reason, refused.text, refused.line) == ("needs a GPU", "hanet train\n", 5)
    assert failing.reason is None
    assert failing.runs
    write_shims(tmp_path / "shims")
    with pytest.raises(AssertionError, match=r"page\.md, line 9"):
        failing.run({}, pytest.MonkeyPatch(), tmp_path / "shims")


def test_a_block_may_run_shorter_and_show_what_is_printed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- run with --set iterations=1: an hour -->\n```sh\nhanet train\n```\n\n"
        "<!-- printed -->\n```text\n F1 0.93  after 100\n...\n```\n",
        encoding="utf-8",
    )
    short, shown = blocks_of(page)
    assert short.runs
    assert short.more == ("--set", "iterations=1")
    assert not short.printed
    assert shown.printed
    assert not shown.runs
    shown.check_shown("F1 1.4e-06 after 2\nmore")
    with pytest.raises(AssertionError, match="shows what is not printed"):
        shown.check_shown("F2 0.93 after 100")
