"""Few labels: which pairs keep theirs, and what is learned from the others."""

from __future__ import annotations

import csv
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from hanet.errors import DataSetError, HanetError, OutputError, SettingsError, TrainingError
from hanet.imagery.images import read_image, write_png
from hanet.models import create
from hanet.models.normalisation import Normalisation
from hanet.training import fit
from hanet.training.augmentation import Batch
from hanet.training.build import build_metadata
from hanet.training.consistency import Consistency, consistency_loss, pseudo_label
from hanet.training.experiment import Experiment, experiment_of
from hanet.training.keeper import Keeper, resumed_from
from hanet.training.labels import kept_positions, training_pairs
from hanet.training.losses import cross_entropy
from hanet.training.stream import BatchStream, training_data
from hanet.training.strong_views import (
    BOX_AREA,
    MIXES_PAIRS,
    STRONG_VIEWS,
    cutmix,
    photometry,
    unimatch_with_greyscale,
)
from hanet.types import IGNORED
from hanet.weights.weights_file import read_safetensors_metadata, read_tensors
from rendered_tiles import render_tiles

SMALL: dict[str, object] = {
    "name": "test",
    "model": "hanet_lite",
    "width": 8,
    "tile_px": 64,
    "iterations": 6,
    "batch": 2,
    "learning_rate": 2e-3,
    "augmentation": "official",
    "ema_decay": 0.5,
    "labels_kept": 0.5,
    "unlabelled_weight": 1.0,
    "confidence": 0.5,
    "validate_every": 3,
    "checkpoint_every": 1,
}


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight rendered pairs of 64x64 as train and val."""
    return render_tiles(tmp_path_factory.mktemp("tiles"), count=8)


def _experiment(**changes: object) -> Experiment:
    return experiment_of({**SMALL, **changes}, source="test")


def _images(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    before, after = torch.rand(2, count, 3, 32, 32, generator=generator)
    return before, after


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels_kept": 0.0}, "labels_kept is 0.0, it should be greater than 0"),
        ({"labels_kept": 1.5}, "labels_kept is 1.5, it should be less than or equal to 1"),
        ({"confidence": 0.4}, "confidence is 0.4"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"unlabelled_weight": -1.0}, "unlabelled_weight is -1.0"),
        ({"unlabelled_strong": "weak"}, "is not one of unimatch"),
        ({"labels_kept": 1.0}, "has no pairs without labels"),
        ({"ema_decay": 0.0}, "set ema_decay"),
        ({"unlabelled_weight": 0.0, "unlabelled_folders": ["more"]}, "unlabelled_weight is more"),
        ({"unlabelled_batch": 1}, "mixes two pairs"),
        ({"unlabelled_folders": ["."], "unlabelled_split": "val"}, "chooses the weights"),
        ({"unlabelled_folders": ["more/../"], "unlabelled_split": "val/"}, "chooses the weights"),
        ({"learns": "direction", "direction": 4, "detail": 4}, "learns = 'change'"),
        ({"loss": "batch_balanced_contrastive"}, "distances"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_values_that_cannot_be_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        _experiment(**changes)
    assert "\n" not in caught.value.message


def test_a_share_keeps_some_labels_and_a_smaller_one_some_of_those() -> None:
    shares = [0.05, 0.1, 0.2, 0.5]
    kept = [set(kept_positions(200, share=share, seed=7)) for share in shares]
    assert [len(one) for one in kept] == [10, 20, 40, 100]
    assert all(smaller < larger for smaller, larger in pairwise(kept))
    assert kept_positions(200, share=0.05, seed=7) == kept_positions(200, share=0.05, seed=7)
    assert kept[0] != set(kept_positions(200, share=0.05, seed=8))
    with pytest.raises(SettingsError, match="keeps no label") as caught:
        kept_positions(8, share=0.01, seed=0)
    assert "0.12" in str(caught.value.hint)


def test_each_pair_is_for_one_thing_even_in_a_folder_that_is_named_twice(tiles: Path) -> None:
    pairs = training_pairs(_experiment(data_folders=[".", "."]), tiles)
    labelled, left_out = (
        [{pair.name for pair in part.pairs} for part in group]
        for group in (pairs.labelled, pairs.left_out)
    )
    assert labelled[0] == labelled[1]
    assert len(left_out) == 1, "of the others each is seen once in an epoch"
    assert not labelled[0] & left_out[0]
    assert labelled[0] | left_out[0] == {str(number) for number in range(8)}
    assert list(pairs.uses().values()).count("used") == 4


def test_a_label_that_was_left_out_is_never_read(tiles: Path, tmp_path: Path) -> None:
    """Whatever is in its file: the run is the same without it."""
    experiment = _experiment(iterations=2, validate_every=2)
    data = tmp_path / "data"
    shutil.copytree(tiles, data)
    fit(experiment, data=data, out=tmp_path / "run", accelerator="cpu")
    for pair in training_pairs(experiment, data).left_out[0].pairs:
        assert pair.label is not None
        pair.label.write_bytes(b"no image at all")
    fit(experiment, data=data, out=tmp_path / "again", accelerator="cpu")
    one, other = (
        (tmp_path / run / "weights" / "last.safetensors").read_bytes() for run in ("run", "again")
    )
    assert one == other


def test_a_folder_without_labels_is_seen_beside_the_labelled_one(
    tiles: Path, tmp_path: Path
) -> None:
    """Also one where some pairs have a label, and others none."""
    data = tmp_path / "data"
    shutil.copytree(tiles, data)
    shutil.copytree(tiles / "train", data / "more" / "extra")
    (data / "more" / "extra" / "label" / "3.png").unlink()
    experiment = _experiment(
        labels_kept=1.0,
        unlabelled_folders=["more"],
        unlabelled_split="extra",
        iterations=2,
        validate_every=2,
    )
    result = fit(experiment, data=data, out=tmp_path / "run", accelerator="cpu")
    note = read_safetensors_metadata(result.best_weights).notes[-1]
    assert note.startswith("labels of 8 of 8 training pairs were used, 8 pairs were seen without")
    with (tmp_path / "run" / "labels.csv").open(newline="") as file:
        rows = {row["pair"]: row["label"] for row in csv.DictReader(file)}
    assert rows["more/extra/3"] == "none"
    assert rows["./train/3"] == "used"
    more = render_tiles(data / "small", count=1)
    write_png(more / "train" / "A" / "0.png", read_image(more / "train" / "A" / "0.png")[:, :32])
    for changes, message in (
        ({"unlabelled_folders": ["small"], "unlabelled_split": ""}, "differ in size"),
        ({"unlabelled_folders": ["none"], "unlabelled_split": ""}, "is not|does not hold"),
        ({"unlabelled_folders": ["more"], "tile_px": 128}, "smaller than the 128x128"),
    ):
        with pytest.raises(DataSetError, match=message):
            training_data(_experiment(**{"unlabelled_split": "extra", **changes}), data)
    shutil.rmtree(data / "train" / "label")
    with pytest.raises(DataSetError, match="has no labels") as caught:
        training_data(experiment, data)
    assert "unlabelled_folders" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels_kept": 0.01}, "keeps no label"),
        ({"labels_kept": 0.99}, "leaves no pair without a label"),
    ],
)
def test_a_share_that_leaves_nothing_stops_before_the_run(
    changes: dict[str, object], message: str, tiles: Path, tmp_path: Path
) -> None:
    with pytest.raises(HanetError, match=message):
        fit(_experiment(**changes), data=tiles, out=tmp_path / "run", accelerator="cpu")
    assert not (tmp_path / "run").exists()


def test_kept_labels_without_change_are_told_of(tiles: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiles, data)
    experiment = _experiment(labels_kept=0.25)
    for pair in training_pairs(experiment, data).labelled[0].pairs:
        assert pair.label is not None
        write_png(pair.label, torch.zeros(64, 64, dtype=torch.bool).numpy())
    with pytest.raises(DataSetError, match="no label that was kept") as caught:
        fit(experiment, data=data, out=tmp_path / "run", accelerator="cpu")
    assert "labels_seed" in str(caught.value.hint)


def test_without_consistency_the_other_pairs_are_not_even_decoded(
    tiles: Path, tmp_path: Path
) -> None:
    experiment = _experiment(unlabelled_weight=0.0, iterations=2, validate_every=2)
    assert len(training_data(experiment, tiles)) == 4
    result = fit(experiment, data=tiles, out=tmp_path / "run", accelerator="cpu")
    note = read_safetensors_metadata(result.best_weights).notes[-1]
    assert note == (
        "labels of 4 of 8 training pairs were used (labels_kept 0.5, labels_seed 0), "
        "the other pairs were not seen"
    )
    assert "consistency_loss" not in (tmp_path / "run" / "log.csv").read_text()


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_stream_draws_both_kinds_and_ranks_share_them(ranks: int) -> None:
    experiment = _experiment(batch=4, unlabelled_batch=6)
    pixels, names = torch.tensor([0, 7, 0, 3]).numpy(), [str(number) for number in range(5)]

    def stream(rank: int, of: int, first: int = 0) -> list[list[tuple[int, int]]]:
        batches = iter(
            BatchStream(
                experiment,
                pixels,
                unlabelled_names=names,
                first_iteration=first,
                rank=rank,
                ranks=of,
            )
        )
        return [next(batches) for _ in range(8)]

    one, parts = stream(0, 1), [stream(rank, ranks) for rank in range(ranks)]
    for step, whole in enumerate(one):
        assert {key[0] < 4 for key in whole[:4]} == {True}
        assert {key[0] in range(4, 9) for key in whole[4:]} == {True}
        mine, theirs = 4 // ranks, 6 // ranks
        assert {len(part[step]) for part in parts} == {mine + theirs}
        assert [key for part in parts for key in part[step][:mine]] == whole[:4]
        assert [key for part in parts for key in part[step][mine:]] == whole[4:]
    assert stream(0, 1, first=3)[:5] == one[3:], "a resumed run goes on in the same stream"
    drawn = [key for whole in one for key in whole[4:]]
    assert {position for position, _ in drawn} == set(range(4, 9))
    assert len({seed for _, seed in drawn}) == len(drawn)


def test_batches_without_labels_that_processes_cannot_share_are_refused() -> None:
    pixels = torch.tensor([1, 1, 1, 1]).numpy()
    for pairs, message in ((5, "an unlabelled_batch of 5"), (2, "each process has one")):
        with pytest.raises(TrainingError, match=message):
            BatchStream(
                _experiment(batch=4, unlabelled_batch=pairs),
                pixels,
                unlabelled_names=["a", "b"],
                ranks=2,
            )


def test_a_pseudo_label_is_the_likelier_class_where_it_is_sure() -> None:
    margin = torch.tensor([[-4.0, -2.0, 2.0, 4.0]])  # probabilities 0.018, 0.12, 0.88, 0.98
    logits = torch.stack([-margin / 2, margin / 2], dim=1)[:, :, None]
    assert pseudo_label(logits, confidence=0.95).flatten().tolist() == [0, IGNORED, IGNORED, 1]
    assert pseudo_label(logits, confidence=0.85).flatten().tolist() == [0, 0, 1, 1]


def test_pixels_without_a_pseudo_label_get_no_gradient_and_make_the_loss_smaller() -> None:
    logits = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    label = torch.ones(2, 8, 8, dtype=torch.int64)
    whole, everything = consistency_loss(logits, label)
    assert float(whole.detach()) == pytest.approx(float(cross_entropy(logits, label).detach()))
    assert float(everything) == 1.0
    label[:, :, 2:] = IGNORED
    loss, share = consistency_loss(logits, label)
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[..., 2:].any()
    assert logits.grad[..., :2].all()
    assert float(share) == 0.25
    of_quarter = cross_entropy(logits.detach()[..., :2], label[..., :2])
    assert float(loss.detach()) == pytest.approx(float(of_quarter) / 4)
    nothing, share = consistency_loss(logits, torch.full_like(label, IGNORED))
    assert float(nothing.detach()) == float(share) == 0.0


def test_cutmix_pastes_one_box_into_both_dates_and_the_pseudo_label() -> None:
    count, side = 400, 32
    number = torch.arange(count).float()[:, None, None, None]
    before = (number / count).expand(-1, 3, side, side)
    change = (torch.arange(count) % 2)[:, None, None].expand(-1, side, side).clone()
    change[::5, :, ::2] = IGNORED
    mixed = cutmix(Batch(before, before + 1.0, change), torch.Generator().manual_seed(0))
    foreign = mixed.before[:, 0] != before[:, 0]
    assert torch.equal(mixed.after, mixed.before + 1.0), "one box for both dates"
    donor = change.roll(1, dims=0)
    assert torch.equal(mixed.change, donor.where(foreign, change)), "and for the pseudo label"
    assert torch.equal(
        mixed.before[:, 0], before.roll(1, dims=0)[:, 0].where(foreign, before[:, 0])
    )
    boxes = [one.nonzero() for one in foreign if one.any()]
    assert 160 < len(boxes) < 240, "about half of the pairs"
    for box in boxes:
        height, width = (box.amax(dim=0) - box.amin(dim=0) + 1).tolist()
        assert len(box) == height * width
    areas = [len(box) / side**2 for box in boxes]
    assert BOX_AREA[0] / 2 < min(areas) < 0.06
    assert 0.3 < max(areas) <= BOX_AREA[1]


@pytest.mark.parametrize("name", sorted(STRONG_VIEWS))
def test_a_strong_view_is_seeded_and_leaves_its_argument_alone(name: str) -> None:
    before, after = _images(6)
    change = torch.zeros(6, 32, 32, dtype=torch.int64)
    batch = Batch(before.clone(), after.clone(), change.clone())
    first, again, other = (
        STRONG_VIEWS[name](batch, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.before, other.before)
    assert torch.equal(batch.before, before)
    assert torch.equal(batch.change, change)
    for date in first[:2]:
        assert date.shape == before.shape
        assert float(date.min()) >= 0.0
        assert float(date.max()) <= 1.0


def test_each_date_has_its_own_photometry_and_no_pixel_moves() -> None:
    before, _ = _images(300)
    batch = Batch(before, before.clone(), torch.zeros(300, 32, 32, dtype=torch.int64))
    seen = photometry(batch, torch.Generator().manual_seed(0))
    assert torch.equal(seen.change, batch.change)
    same = (seen.before == seen.after).flatten(1).all(dim=1)
    untouched = (seen.before == before).flatten(1).all(dim=1)
    assert same.float().mean() < 0.06, "one in a hundred: neither date is touched"
    assert 0.05 < untouched.float().mean() < 0.16, "0.2 without jitter times 0.5 without blur"
    flat = Batch(*(part.clone() for part in batch))
    flat.before[:] = 0.5
    level = photometry(flat, torch.Generator().manual_seed(0)).before
    assert (level.flatten(2).std(dim=2) < 1e-3).all(), "nothing but colour and blur"
    four = torch.rand(8, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    assert photometry(
        Batch(four, four, batch.change[:8]), torch.Generator().manual_seed(0)
    ).before.shape == (8, 4, 32, 32)


def test_a_fifth_of_the_dates_is_grey_where_greyscale_is_asked_for() -> None:
    before, after = _images(300)
    batch = Batch(before, after, torch.zeros(300, 32, 32, dtype=torch.int64))
    seen = unimatch_with_greyscale(batch, torch.Generator().manual_seed(0)).before
    corner = seen[:, :, 0, 0]
    grey = (corner - corner[:, :1]).abs().amax(dim=1) < 1e-4
    assert 0.12 < grey.float().mean() < 0.3
    assert STRONG_VIEWS.keys() > MIXES_PAIRS


def test_the_teacher_sees_a_weak_view_without_gradient_and_keeps_its_statistics() -> None:
    network = create("hanet_lite", width=8).eval()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    asked: list[torch.Tensor] = []

    def teacher() -> object:
        network.register_forward_pre_hook(lambda _, images: asked.append(images[0]))
        return network

    experiment = _experiment(unlabelled_views=2, unlabelled_strong="photometry")
    normalisation = Normalisation(build_metadata(experiment, network))
    pairs = Batch(*_images(3), torch.full((3, 32, 32), IGNORED))
    views = Consistency(experiment, teacher).views(  # type: ignore[arg-type]
        pairs, normalisation, torch.Generator().manual_seed(0)
    )
    assert [len(part) for part in views] == [6, 6, 6]
    assert not views.change.requires_grad
    assert torch.equal(views.change[:3], views.change[3:]), "one pseudo label for both views"
    assert not torch.equal(views.before[:3], views.before[3:])
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    (weak,) = asked
    given = normalisation(pairs.before, pairs.after)[0]
    assert torch.allclose(
        weak.flatten(2).sort(dim=2).values, given.flatten(2).sort(dim=2).values
    ), "the pixels of the pair, turned"


def test_a_run_learns_from_pairs_without_labels_and_says_so(tiles: Path, tmp_path: Path) -> None:
    plain = fit(
        _experiment(unlabelled_weight=0.0), data=tiles, out=tmp_path / "plain", accelerator="cpu"
    )
    both = fit(_experiment(), data=tiles, out=tmp_path / "both", accelerator="cpu")
    first, second = (read_tensors(one.best_weights) for one in (plain, both))
    assert any(not torch.equal(first[name], second[name]) for name in first)
    with (tmp_path / "both" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["confident_share"] for row in rows] == ["1", "1"], "every pixel at confidence 0.5"
    assert all(0 < float(row["consistency_loss"]) < float(row["loss"]) for row in rows)
    note = read_safetensors_metadata(both.best_weights).notes[-1]
    assert "labels of 4 of 8 training pairs were used" in note
    assert "4 pairs were seen without a label: weak-to-strong consistency, weight 1" in note


@pytest.mark.parametrize("changes", [{}, {"cut": "jittered tiles", "unlabelled_views": 2}])
def test_a_killed_run_resumes_to_the_same_bytes(
    changes: dict[str, object], tiles: Path, tmp_path: Path
) -> None:
    experiment = _experiment(**changes)
    fit(experiment, data=tiles, out=tmp_path / "whole", accelerator="cpu")

    class Killed(BaseException):
        pass

    def die(state: dict[str, float]) -> None:
        if state["iteration"] == 4:  # one step after a validation: a row of the log is half full
            raise Killed

    with pytest.raises(Killed):
        fit(experiment, data=tiles, out=tmp_path / "killed", accelerator="cpu", watch=die)
    assert resumed_from(tmp_path / "killed" / "checkpoints" / "last.ckpt")[0] == 4
    other = experiment.model_copy(update={"confidence": 0.9})
    with pytest.raises(OutputError, match="confidence"):
        fit(other, data=tiles, out=tmp_path / "killed", resume=True, accelerator="cpu")
    fit(experiment, data=tiles, out=tmp_path / "killed", resume=True, accelerator="cpu")
    for name in ("weights/last.safetensors", "weights/best.safetensors", "labels.csv"):
        whole, killed = ((tmp_path / run / name).read_bytes() for run in ("whole", "killed"))
        assert whole == killed, name
    logs = []
    for run in ("whole", "killed"):
        with (tmp_path / run / "log.csv").open(newline="") as file:
            logs.append([(r["loss"], r["consistency_loss"], r["f1"]) for r in csv.DictReader(file)])
    assert logs[0] == logs[1]


def test_a_run_is_not_resumed_with_other_pairs_without_labels(tiles: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiles, data)
    shutil.copytree(tiles / "train", data / "more" / "train")
    experiment = _experiment(
        labels_kept=1.0, unlabelled_folders=["more"], iterations=2, validate_every=2
    )
    fit(experiment, data=data, out=tmp_path / "run", accelerator="cpu")
    for folder in ("A", "B", "label"):
        (data / "more" / "train" / folder / "3.png").unlink()
    with pytest.raises(TrainingError, match="without labels then 8, now 7"):
        fit(experiment, data=data, out=tmp_path / "run", resume=True, accelerator="cpu")


def test_runs_of_before_resume_without_these_keys(tiles: Path, tmp_path: Path) -> None:
    """Their checkpoints know neither consistency nor pairs without labels."""
    state = {"best_f1": 0.5, "last_f1": 0.5, "minutes": 1.0, "losses": [0.5]}
    experiment = _experiment(labels_kept=1.0, unlabelled_weight=0.0)
    stream = BatchStream(experiment, training_data(experiment, tiles).foreground_pixels)
    keeper = Keeper.__new__(Keeper)
    keeper.stream, keeper.teacher = stream, ""
    keeper.load_state_dict({**state, "data": stream.data_identity()})
    assert set(stream.data_identity()) == {"tiles", "foreground", "foreground_sha256"}
    assert keeper.best_f1 == 0.5


def test_mixed_precision_stands_it(tiles: Path, tmp_path: Path) -> None:
    experiment = _experiment(precision="bf16", iterations=2, validate_every=2)
    result = fit(experiment, data=tiles, out=tmp_path / "run", accelerator="cpu")
    assert result.finished
