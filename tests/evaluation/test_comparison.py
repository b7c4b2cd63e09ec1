"""Two results compared: verdict, order of the images, page, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hanet.cli import app
from hanet.errors import InputError
from hanet.evaluation.comparison import compare
from hanet.evaluation.scoring import Pictures, evaluate_predictions
from hanet.imagery.images import write_png

RUNNER = CliRunner()
NAMES = [f"tile_{number}" for number in range(12)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve pairs with one changed square each but the last, in which nothing changed."""
    random = np.random.default_rng(0)
    root = tmp_path / "data"
    for number, name in enumerate(NAMES):
        label = np.zeros((32, 32), dtype=np.bool_)
        if number < 11:
            label[4:20, 6:22] = True
        for folder in ("A", "B"):
            (root / "val" / folder).mkdir(parents=True, exist_ok=True)
            write_png(
                root / "val" / folder / f"{name}.png",
                random.integers(0, 255, (3, 32, 32), dtype=np.uint8),
            )
        (root / "val" / "label").mkdir(exist_ok=True)
        write_png(root / "val" / "label" / f"{name}.png", label)
    return root


@pytest.fixture
def scored(data: Path, tmp_path: Path) -> Callable[..., Path]:
    """Evaluates masks that miss so many rows of each square; ``maps`` writes error maps too."""

    def run(name: str, missed: dict[str, int]) -> Path:
        folder, out = tmp_path / f"{name}-masks", tmp_path / f"{name}.json"
        folder.mkdir()
        for number, tile in enumerate(NAMES):
            mask = np.zeros((32, 32), dtype=np.bool_)
            if number < 11:
                mask[4 + missed.get(tile, 0) : 20, 6:22] = True
            write_png(folder / f"{tile}.png", mask)
        result = evaluate_predictions(
            folder,
            data / "val" / "label",
            pictures=Pictures(error_maps=tmp_path / f"{name}-maps"),
        )
        out.write_text(json.dumps(result.to_json()))
        return out

    return run


def test_better_everywhere_is_better(scored: Callable[..., Path]) -> None:
    found = compare(scored("a", dict.fromkeys(NAMES, 6)), scored("b", dict.fromkeys(NAMES, 2)))
    assert found.differences["f1"].low > 0
    assert found.in_words().startswith("b is better: +")
    back = compare(found.second.path, found.first.path)
    assert back.in_words().startswith("b is better: -")


def test_the_images_of_the_largest_difference_come_first(scored: Callable[..., Path]) -> None:
    found = compare(scored("a", {"tile_3": 4}), scored("b", {"tile_7": 9}))
    assert [image.name for image in found.images[:2]] == ["tile_7", "tile_3"]
    assert [image.fewer_wrong for image in found.images[:3]] == [-144, 64, 0]


def test_the_same_result_twice_differs_in_nothing(scored: Callable[..., Path]) -> None:
    first = scored("a", {"tile_1": 3})
    found = compare(first, first)
    assert found.in_words().startswith("the difference may be chance")
    assert not any(image.fewer_wrong for image in found.images)


def test_the_verb_prints_and_writes_a_page(
    scored: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    first, second = scored("a", dict.fromkeys(NAMES, 6)), scored("b", {"tile_2": 1})
    page = tmp_path / "page.html"
    result = RUNNER.invoke(
        app,
        [
            *("compare", str(first), str(second), "--out", str(page), "--data", str(data)),
            *("--first-maps", str(tmp_path / "a-maps"), "--second-maps", str(tmp_path / "b-maps")),
        ],
    )
    assert result.exit_code == 0, result.output
    assert "b is better" in result.stdout
    text = page.read_text(encoding="utf-8")
    # the ten of the largest difference: before, after, label, two maps each
    assert text.count("<figure>") == 10
    assert text.count("data:image/jpeg;base64,") == 50
    assert text.count("<circle") == 11
    assert "1 image is left out" in text
    assert "6 fewer wrong pixels by the second" in text
    assert "blue is change that was missed" in text


def test_json_says_what_the_table_says(scored: Callable[..., Path]) -> None:
    first, second = scored("a", {"tile_3": 4}), scored("b", {})
    result = RUNNER.invoke(app, ["compare", str(first), str(second), "--json"])
    found = json.loads(result.stdout)
    assert found["images"] == 12
    assert found["largest"][0]["name"] == "tile_3"
    assert found["second"]["scores"]["f1"] == 1.0
    assert found["differences"]["f1"]["value"] == pytest.approx(1 - found["first"]["scores"]["f1"])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("split", "test", "different splits: val and test"),
        ("protocol", "whole", "different protocols: masks as given and whole"),
        ("labels_sha256", "0", "different labels;"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    scored: Callable[..., Path], key: str, value: str, said: str
) -> None:
    first = scored("a", {})
    other = first.with_name("other.json")
    other.write_text(json.dumps({**json.loads(first.read_text()), key: value}))
    with pytest.raises(InputError, match=said):
        compare(first, other)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values.pop("per_image"), "older version"),
        (lambda values: values.pop("split"), "no result"),
        (lambda values: values["per_image"]["tp"].pop(), "do not fit"),
        (lambda values: values["per_image"]["tp"].__setitem__(0, -1), "do not fit"),
        (lambda values: values["per_image"]["tp"].__setitem__(0, True), "do not fit"),
        (lambda values: values["per_image"]["name"].__setitem__(0, "tile_1"), "do not fit"),
        (lambda values: values["per_image"].pop("fn"), "no columns"),
    ],
)
def test_damaged_results_are_refused(
    scored: Callable[..., Path], change: Callable[[dict[str, object]], object], said: str
) -> None:
    first = scored("a", {})
    values = json.loads(first.read_text())
    change(values)
    other = first.with_name("other.json")
    other.write_text(json.dumps(values))
    with pytest.raises(InputError, match=said):
        compare(first, other)


def test_files_that_are_no_results_are_refused_in_one_line(tmp_path: Path) -> None:
    for content in (b"", b"[]", b"\x89PNG"):
        (tmp_path / "x.json").write_bytes(content)
        result = RUNNER.invoke(app, ["compare", str(tmp_path / "x.json"), str(tmp_path / "x.json")])
        assert isinstance(result.exception, InputError)
    with pytest.raises(InputError, match="cannot be read"):
        compare(tmp_path / "missing.json", tmp_path / "missing.json")


def test_a_page_of_other_images_is_refused(scored: Callable[..., Path], tmp_path: Path) -> None:
    first, second = scored("a", {"tile_3": 4}), scored("b", {})
    result = RUNNER.invoke(
        app,
        [
            *("compare", str(first), str(second), "--out", str(tmp_path / "page.html")),
            *("--first-maps", str(tmp_path)),
        ],
    )
    assert isinstance(result.exception, InputError)
    assert not (tmp_path / "page.html").exists()
