"""The ladder on probability made by hand: which rungs are kept, and against what."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanet.adaptation.calibrated import calibrated, crossed_counts
from hanet.adaptation.ground import Gatherer, Ground
from hanet.adaptation.ladder import RUNGS, Ladder, RungName, Trainer, chosen_rungs
from hanet.adaptation.standing import Standing, counts_of, labels_of
from hanet.errors import SettingsError
from hanet.metadata import Metadata
from hanet.review.label_tiles import TILE_PX
from hanet.types import ByteArray, FloatArray
from hanet.weights import catalogue

TILES = 12


def label() -> ByteArray:
    """Two buildings of 24 x 30 pixels."""
    pixels = np.zeros((TILE_PX, TILE_PX), dtype=np.uint8)
    pixels[20:44, 20:50] = 255
    pixels[120:144, 60:90] = 255
    return pixels


def probability(number: int, *, buildings: float, stripes: float) -> FloatArray:
    """The buildings, and two stripes where nothing changed; a little else in each tile."""
    found = np.full((TILE_PX, TILE_PX), 0.02, dtype=np.float32)
    found[20:44, 20:50] = buildings
    found[120 + number % 3 : 144, 60:90] = buildings
    found[60:64, 30 : 150 + number] = stripes
    found[30 : 200 + number, 200:203] = stripes
    return found


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return ground_of(TILES, tmp_path / "ground")


@pytest.fixture
def little_ground(tmp_path: Path) -> Ground:
    """Six tiles, two of which are the hold-out."""
    return ground_of(6, tmp_path / "little")


def ground_of(tiles: int, folder: Path) -> Ground:
    gatherer = Gatherer(folder)
    for number in range(tiles):
        images = np.full((3, TILE_PX, TILE_PX), 9 * number, dtype=np.uint8)
        gatherer.add("town", 0, number, before=images, after=images, label=label())
    return gatherer.finish(hold_out=0.4, seed=0)


def standing(ground: Ground, **values: float) -> Standing:
    names = [placed.tile.name for placed in ground.tiles]
    shown = {name: probability(number, **values) for number, name in enumerate(names)}
    return Standing(Path("old.onnx"), Path("old.safetensors"), Metadata("old", "hanet"), shown, 0.5)


def outcomes(
    ground: Ground, start: Standing, rungs: tuple[RungName, ...], **more: Any
) -> list[str]:
    climb = Ladder(ground, start, folder=ground.folder.parent, **more).climb(rungs)
    return [result.outcome for result in climb.results]


def test_a_threshold_is_kept_where_it_helps(ground: Ground) -> None:
    """Buildings at 0.4 are missed at 0.5; stripes lie below both."""
    climb = Ladder(
        ground, standing(ground, buildings=0.4, stripes=0.1), folder=ground.folder.parent
    ).climb(("threshold", "footprints"))
    assert [result.outcome for result in climb.results] == ["kept", "not tried"]
    assert climb.verdict.before.f1 == 0.0
    assert climb.verdict.after.f1 > 0.98
    assert "0 false alarms" in climb.results[1].why


def test_a_filter_is_kept_where_shape_tells_and_no_threshold_does(ground: Ground) -> None:
    """Stripes are surer than buildings."""
    climb = Ladder(
        ground, standing(ground, buildings=0.8, stripes=0.95), folder=ground.folder.parent
    ).climb(("threshold", "footprints"))
    assert climb.results[1].outcome == "kept"
    assert climb.kept.footprint_filter is not None
    assert climb.kept.footprint_filter.footprints > 20
    assert climb.verdict.precision.low > 0.1
    assert climb.verdict.after.recall == climb.verdict.before.recall


def test_each_rung_is_tried_against_what_is_kept(ground: Ground) -> None:
    """The same gain twice is kept once."""
    start = standing(ground, buildings=0.4, stripes=0.1)
    assert outcomes(ground, start, ("threshold",)) == ["kept"]
    climb = Ladder(ground, start, folder=ground.folder.parent).climb(("threshold",))
    again = Ladder(ground, climb.kept, folder=ground.folder.parent).climb(("threshold",))
    assert [result.outcome for result in again.results] == ["not kept"]
    assert again.kept is climb.kept


@dataclass(frozen=True)
class Copied:
    """What stands for training: the weights as they were, under another name."""

    weights: Path
    finished: bool = True


@pytest.fixture
def trainer() -> Trainer:
    lite = catalogue.resolve("hanet_lite", suffixes=(".onnx",))

    def tune(rung: str, *, start: Path, folder: Path, **_: object) -> Copied:
        folder.mkdir(parents=True)
        path = folder / f"{rung}.safetensors"
        path.write_bytes(start.read_bytes())
        return Copied(path)

    return Trainer(tune, lambda _, onnx: Path(shutil.copy(lite, onnx)), 1.0)  # type: ignore[arg-type]


def trainable(ground: Ground, folder: Path) -> Standing:
    """Weights that find the buildings, with a file to train from."""
    tensors = folder / "old.safetensors"
    tensors.write_bytes(b"old")
    return replace(standing(ground, buildings=0.8, stripes=0.1), torch=tensors)


def test_what_training_makes_worse_is_not_kept(
    ground: Ground, trainer: Trainer, tmp_path: Path
) -> None:
    """The images are blank, so that real weights find nothing in them."""
    start = trainable(ground, tmp_path)
    climb = Ladder(ground, start, folder=tmp_path, trainer=trainer, threads=1).climb(("head",))
    assert [result.outcome for result in climb.results] == ["not kept"]
    assert climb.kept is climb.start
    assert climb.results[0].verdict is not None
    assert climb.results[0].verdict.f1.high < 0


def test_without_training_its_rungs_are_not_tried(ground: Ground) -> None:
    start = standing(ground, buildings=0.8, stripes=0.1)
    climb = Ladder(ground, start, folder=ground.folder, why_none="no torch").climb(RUNGS)
    trained = {one.rung: one for one in climb.results if one.rung in ("head", "top-down", "all")}
    assert [one.outcome for one in trained.values()] == ["not tried"] * 3
    assert {one.why for one in trained.values()} == {"no torch"}


def test_a_stop_while_training_is_a_stop_of_all(ground: Ground, tmp_path: Path) -> None:
    def stopped(*_: object, **__: object) -> Copied:
        return Copied(tmp_path / "none", finished=False)

    trainer = Trainer(stopped, lambda _, __: None, 1.0)  # type: ignore[arg-type]
    start = standing(ground, buildings=0.8, stripes=0.1)
    ladder = Ladder(ground, start, folder=tmp_path, trainer=trainer)
    with pytest.raises(KeyboardInterrupt):
        ladder.climb(("head",))


def test_little_ground_keeps_a_threshold_that_other_blocks_confirm(little_ground: Ground) -> None:
    start = standing(little_ground, buildings=0.4, stripes=0.1)
    shown: list[RungName] = []
    climb = Ladder(
        little_ground,
        start,
        folder=little_ground.folder.parent,
        tried=lambda rung, _: shown.append(rung),
    ).climb(("threshold", "crossed"))
    first, crossed = climb.results
    assert first.outcome == "not kept"
    assert first.verdict is not None
    assert not first.verdict.can_be_told
    assert crossed.outcome == "kept"
    assert climb.is_crossed()
    assert climb.verdict is crossed.verdict
    assert climb.verdict.blocks == 6
    assert climb.verdict.f1.low > 0
    assert climb.kept.threshold < 0.4
    assert shown == ["threshold", "crossed"]


def test_little_ground_keeps_nothing_where_nothing_is_gained(little_ground: Ground) -> None:
    start = standing(little_ground, buildings=0.8, stripes=0.1)
    climb = Ladder(little_ground, start, folder=little_ground.folder.parent).climb(("crossed",))
    assert [result.outcome for result in climb.results] == ["not kept"]
    assert climb.kept is climb.start
    assert climb.verdict.blocks == 6
    assert climb.verdict.f1.value == 0.0  # what is kept against what there was
    assert climb.best is not climb.start  # what --force writes
    assert climb.best_verdict is climb.results[0].verdict


def test_what_no_threshold_finds_is_not_crossed(little_ground: Ground) -> None:
    start = standing(little_ground, buildings=0.0, stripes=0.0)
    for found in start.probability.values():
        found[:] = 0.0
    climb = Ladder(little_ground, start, folder=little_ground.folder.parent).climb(("crossed",))
    assert climb.results[0].why == "no threshold finds a changed pixel"
    assert not climb.is_crossed()


def test_blocks_are_crossed_only_where_nothing_else_was_kept(ground: Ground) -> None:
    climb = Ladder(
        ground, standing(ground, buildings=0.4, stripes=0.1), folder=ground.folder.parent
    ).climb(("threshold", "crossed"))
    assert [result.outcome for result in climb.results] == ["kept", "not tried"]
    assert not climb.is_crossed()
    assert climb.verdict.blocks < TILES


def test_no_block_has_a_part_in_its_threshold(little_ground: Ground) -> None:
    """One block in which all is changed from 0.05 on drags the threshold of the others down, and is
    itself judged by theirs."""
    start = standing(little_ground, buildings=0.4, stripes=0.1)
    labels = labels_of(little_ground)
    odd = little_ground.tiles[0]
    labels[odd.tile.name] = np.ones((TILE_PX, TILE_PX), dtype=np.uint8)
    start.probability[odd.tile.name][:] = 0.05
    counts = crossed_counts(start, little_ground.tiles, labels)
    assert counts[odd.block].tp == 0  # the others choose a threshold between 0.1 and 0.4
    for placed in little_ground.tiles[1:]:
        others = [one for one in little_ground.tiles if one is not placed]
        chosen = calibrated(start, others, labels)
        assert not isinstance(chosen, str)
        assert counts[placed.block] == counts_of(chosen, [placed], labels)[placed.block]


def test_what_cannot_be_judged_is_not_trained(
    little_ground: Ground, trainer: Trainer, tmp_path: Path
) -> None:
    start = trainable(little_ground, tmp_path)

    ladder = Ladder(little_ground, start, folder=tmp_path, trainer=trainer, threads=1)
    (result,) = ladder.climb(("head",)).results
    assert result.outcome == "not tried"
    assert result.why == "2 blocks in the hold-out cannot judge it; 5 are needed"


def test_names_of_rungs() -> None:
    assert chosen_rungs(None) == RUNGS
    assert chosen_rungs(["all", "light"]) == ("threshold", "footprints", "all", "crossed")
    with pytest.raises(SettingsError, match="no rung 'tail'"):
        chosen_rungs(["tail"])
