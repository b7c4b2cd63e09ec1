"""What `hanet train` says at the end of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanet.cli import main
from hanet.training.fitting import TrainingResult

EXPERIMENT = """
name = "mine"
model = "hanet_lite"
learning_rate = 1e-3
iterations = 5
validation_folder = "tiles"
"""


@pytest.mark.parametrize(("best_f1", "is_said"), [(0.0, True), (0.4, False)])
def test_a_run_that_found_nothing_says_what_to_try(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    best_f1: float,
    is_said: bool,
) -> None:
    weights = tmp_path / "run" / "weights" / "best.safetensors"
    result = TrainingResult(5, True, best_f1, weights, 0.1, 100.0)
    monkeypatch.setattr("hanet.training.fit", lambda *_, **__: result)
    experiment = tmp_path / "mine.toml"
    experiment.write_text(EXPERIMENT)
    folders = ["--data", str(tmp_path), "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", ["hanet", "train", str(experiment), *folders])
    main()
    said = " ".join("".join(capsys.readouterr()).split())
    assert f"best validation F1 {best_f1:.4f}" in said
    assert ("no changed pixel of the validation split was found" in said) is is_said
    if is_said:
        assert "pfbs = 'fixed-X'" in said
        assert f"{tmp_path / 'tiles'} --split val --sweep" in said
