"""``hanet evaluate`` as it is typed."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hanet.cli import main
from hanet.errors import SettingsError
from hanet.imagery.images import read_image, read_label, write_png
from hanet.metadata import Metadata
from hanet.models import create
from hanet.weights.weights_file import load_weights, save_weights


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of 32x48 in val and in test."""
    root, random = tmp_path_factory.mktemp("data") / "scenes", np.random.default_rng(0)
    for split in ("val", "test"):
        for name in ("one", "two"):
            change = np.zeros((32, 48), dtype=np.bool_)
            change[4:20, 8:30] = True
            for folder, image in (
                ("A", random.integers(0, 256, (3, 32, 48), dtype=np.uint8)),
                ("B", random.integers(0, 256, (3, 32, 48), dtype=np.uint8)),
                ("label", change),
            ):
                (root / split / folder).mkdir(parents=True, exist_ok=True)
                write_png(root / split / folder / f"{name}.png", image)
    return root


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder as training leaves it, with a small network that is not trained."""
    torch.manual_seed(0)
    metadata = Metadata(name="small", model="hanet_lite", model_arguments={"width": 16})
    save_weights(
        tmp_path / "run" / "weights" / "best.safetensors", create("hanet_lite", width=16), metadata
    )
    return tmp_path / "run"


class Typed:
    """Runs the command line and keeps what it printed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> tuple[str, str]:
        self._monkeypatch.setattr(sys, "argv", ["hanet", "evaluate", *map(str, arguments)])
        main()
        printed = self._capsys.readouterr()
        return printed.out, printed.err

    def fails(
        self, *arguments: object, prints: Callable[[str], bool] = lambda text: not text
    ) -> str:
        with pytest.raises(SystemExit) as stop:
            self(*arguments)
        assert stop.value.code == 2
        printed = self._capsys.readouterr()
        assert prints(printed.out)
        assert "Traceback" not in printed.err
        return printed.err


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(monkeypatch, capsys)


def test_scores_are_written_although_nothing_could_be_stored(
    run: Path, scenes: Path, tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A split without a temperature, or weights that changed meanwhile, cost the whole
    evaluation."""

    def refuses(*arguments: object, **settings: object) -> None:
        raise SettingsError("the split has no temperature")

    monkeypatch.setattr("hanet.evaluation.threshold_choice.store_choices", refuses)
    files = tmp_path / "scores.json", tmp_path / "images.csv"
    words = (run, "--data", scenes, "--split", "val", "--calibrate", "--json")
    counts = dict[str, int]()

    def printed(text: str) -> bool:
        counts.update(json.loads(text)["counts"])
        return True

    error = typed.fails(*words, "--out", files[0], "--per-image", files[1], prints=printed)
    assert "the split has no temperature" in error
    values = json.loads(files[0].read_text())
    assert sum(values["counts"].values()) == 2 * 32 * 48
    assert "stored" not in values
    assert len(files[1].read_text().splitlines()) == 3
    assert counts == values["counts"]  # what was asked of the screen stands there


def test_a_run_folder_gives_table_json_csv_and_pictures(
    run: Path, scenes: Path, tmp_path: Path, typed: Typed
) -> None:
    out, _ = typed(
        run, "--data", scenes, "--split", "val", "--protocol", "tiles", "--tile", 32, "--threshold", 0.4,
        "--out", tmp_path / "r" / "scores.json", "--per-image", tmp_path / "images.csv", "--error-maps", tmp_path / "maps",
        "--masks", tmp_path / "masks",
    )  # fmt: skip
    values = json.loads((tmp_path / "r" / "scores.json").read_text())
    assert (values["protocol"], values["threshold"], values["data"]) == ("tiles-32", 0.4, "scenes")
    assert sum(values["counts"].values()) == 2 * 32 * 48
    assert "small on scenes, split val: tiles-32, 2 images, threshold 0.4" in out
    assert f"{100 * values['scores']['f1']:.2f}" in out
    rows = list(csv.DictReader((tmp_path / "images.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["one", "two"]
    for key in ("tp", "fp", "fn", "tn"):
        assert sum(int(row[key]) for row in rows) == values["counts"][key]
    maps = [read_image(tmp_path / "maps" / f"{name}.png") for name in ("one", "two")]
    white = sum(int((picture == 255).all(axis=0).sum()) for picture in maps)
    assert white == values["counts"]["tp"]
    assert sum(int(read_label(path).sum()) for path in (tmp_path / "masks").iterdir()) == (
        values["counts"]["tp"] + values["counts"]["fp"]
    )


def test_json_goes_to_stdout_alone(run: Path, scenes: Path, tmp_path: Path, typed: Typed) -> None:
    out, _ = typed(
        run,
        "--data",
        scenes,
        "--split",
        "test",
        "--protocol",
        "whole",
        "--json",
        "--out",
        tmp_path / "s.json",
    )
    assert out == (tmp_path / "s.json").read_text()
    assert json.loads(out)["protocol"] == "whole"


def test_sweep_stores_the_threshold_in_the_run(
    run: Path, scenes: Path, tmp_path: Path, typed: Typed
) -> None:
    arguments = (run, "--data", scenes, "--split", "val", "--tile", 32)
    out, err = typed(*arguments, "--sweep", "--out", tmp_path / "s.json", "--data-name", "ours")
    values = json.loads((tmp_path / "s.json").read_text())
    metadata = load_weights(run / "weights" / "best.safetensors")[1]
    assert metadata.threshold == values["stored"]["threshold"] == values["sweep"]["best_threshold"]
    assert metadata.scores[0].dataset == "ours"
    assert "stored in" in err
    assert f"at {metadata.threshold:.3f}" in out
    again = json.loads(typed(*arguments, "--json")[0])
    assert again["threshold"] == metadata.threshold
    assert again["weights_sha256"] == values["stored"]["weights_sha256"]


def test_calibrate_stores_the_temperature(run: Path, scenes: Path, typed: Typed) -> None:
    typed(run, "--data", scenes, "--split", "val", "--calibrate", "--json")
    metadata = load_weights(run / "weights" / "best.safetensors")[1]
    assert metadata.temperature != 1.0


def test_the_test_split_chooses_nothing(run: Path, scenes: Path, typed: Typed) -> None:
    arguments = (run, "--data", scenes, "--split", "test", "--sweep")
    before = (run / "weights" / "best.safetensors").read_bytes()
    assert "never on the test split" in typed.fails(*arguments)
    out, _ = typed(*arguments, "--no-store", "--json")
    assert "sweep" in json.loads(out)
    assert (run / "weights" / "best.safetensors").read_bytes() == before


def test_weights_that_have_a_name_are_changed_by_their_path_only(
    run: Path, scenes: Path, tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``hanet evaluate hanet_lite --sweep`` in a checkout changed the weights of the project."""
    file = tmp_path / "mine.safetensors"
    file.write_bytes((run / "weights" / "best.safetensors").read_bytes())
    before = file.read_bytes()
    monkeypatch.setenv("HANET_WEIGHTS", str(tmp_path))
    arguments = ("--data", scenes, "--split", "val", "--tile", 32, "--sweep")
    assert "--no-store" in typed.fails("mine", *arguments)
    typed("mine", *arguments, "--no-store")
    assert file.read_bytes() == before
    typed(file, *arguments)
    assert file.read_bytes() != before


def test_masks_of_anybody(scenes: Path, typed: Typed) -> None:
    labels = scenes / "val" / "label"
    out, _ = typed("--predictions", labels, "--labels", labels)
    assert "predictions on scenes, split val: masks as given, 2 images" in out
    assert out.count(" 100.00") == 7 + 3 + 2  # pixels, footprints, interval
    assert max(len(line) for line in out.splitlines()) <= 80
    assert (
        json.loads(typed("--predictions", labels, "--labels", labels, "--json")[0])["scores"]["f1"]
        == 1.0
    )


def test_a_sweep_of_masks_is_refused_before_they_are_read(
    scenes: Path, tmp_path: Path, typed: Typed
) -> None:
    labels = scenes / "val" / "label"
    error = typed.fails(
        "--predictions", labels, "--labels", labels, "--sweep", "--masks", tmp_path / "masks"
    )
    assert "these are masks" in error
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either MODEL"),
        (("MODEL", "--predictions", "LABELS", "--labels", "LABELS"), "give either MODEL"),
        (("--predictions", "LABELS"), "give either MODEL"),
        (("MODEL",), "--data and --split are needed"),
        (("MODEL", "--data", "DATA", "--split", "vall"), "splits found"),
        (
            ("MODEL", "--data", "DATA", "--split", "val", "--protocol", "tile"),
            "the protocols are tiles and whole",
        ),
        (
            ("MODEL", "--data", "DATA", "--split", "val", "--protocol", "whole", "--tile", "64"),
            "--tile cannot be combined with --protocol whole",
        ),
        (("MODEL", "--data", "DATA", "--split", "val", "--threshold", "1.5"), "between 0 and 1"),
        (("MODEL", "--data", "DATA", "--split", "val", "--runtime", "tensorrt"), "runtime"),
        (("MODEL", "--data", "DATA", "--split", "val", "--flips", "--sweep"), "with flips"),
        (
            ("MODEL", "--data", "DATA", "--split", "val", "--precision", "bf16", "--sweep"),
            "in bf16 the threshold",
        ),
        (
            ("MODEL", "--data", "DATA", "--split", "val", "--tiles-of-scenes", "row-major"),
            "cannot be combined with",
        ),
        (
            ("--predictions", "LABELS", "--labels", "LABELS", "--split", "val"),
            "--split cannot be combined with --predictions",
        ),
        (
            ("--predictions", "LABELS", "--labels", "LABELS", "--tiles-of-scenes", "spiral"),
            "row-major or column-major",
        ),
        (
            ("--predictions", "LABELS", "--labels", "LABELS", "--out", "/proc/none/s.json"),
            "/proc/none cannot be written",
        ),
        (("--predictions", "LABELS", "--labels", "LABELS", "--per-image", "LABELS"), "is a folder"),
        (("nowhere", "--data", "DATA", "--split", "val"), "no weights 'nowhere'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_makes_no_sense_is_said(
    arguments: tuple[str, ...], message: str, run: Path, scenes: Path, typed: Typed
) -> None:
    places = {"MODEL": run, "DATA": scenes, "LABELS": scenes / "val" / "label"}
    error = typed.fails(*(places.get(word, word) for word in arguments))
    assert message in error
    assert "hint:" in error
