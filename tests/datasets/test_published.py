"""The table of data sets: complete, consistent with itself, and shown by ``hanet datasets``."""

from __future__ import annotations

import json
import sys

import pytest

from checkout import ROOT
from hanet.cli import main
from hanet.datasets.published import (
    KNOWN_DATASETS,
    PER_DATE_STATISTICS,
    KnownDataset,
    known_dataset,
)
from hanet.errors import SettingsError
from hanet.training.experiment import read_experiment

EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.toml"))


@pytest.mark.parametrize("entry", KNOWN_DATASETS.values(), ids=lambda entry: entry.key)
def test_every_entry_says_what_it_is_and_where_to_get_it(entry: KnownDataset) -> None:
    values = entry.to_json()
    for key in ("title", "about", "scenes", "folders", "citation"):
        assert values[key], key
    assert str(values["homepage"]).startswith("http")
    assert set(values["tiles"]) == {"train", "val", "test"}


@pytest.mark.parametrize("name", PER_DATE_STATISTICS)
def test_statistics_are_shares_of_the_range(name: str) -> None:
    for values in PER_DATE_STATISTICS[name]:
        assert len(values) == 3
        assert all(0 < value < 1 for value in values)


def test_published_counts_follow_from_the_scenes() -> None:
    levir, whu = KNOWN_DATASETS["levir-cd"].tiles, KNOWN_DATASETS["whu-cd"].tiles
    assert levir == {"train": 445 * 16, "val": 64 * 16, "test": 128 * 16}
    assert (whu["train"] + whu["val"], whu["test"]) == (1260 * 4, 690 * 4)
    assert whu["val"] * 10 == whu["train"] + whu["val"]


def test_an_unknown_name_is_refused_with_the_known() -> None:
    assert known_dataset("WHU-CD").key == "whu-cd"
    with pytest.raises(SettingsError, match="'whu'") as error:
        known_dataset("whu")
    assert "whu-cd" in str(error.value.hint)


def test_experiments_take_the_statistics_of_the_table() -> None:
    assert read_experiment(EXPERIMENTS[0], {"statistics": "sysu-cd"}).statistics == "sysu-cd"
    with pytest.raises(
        SettingsError, match=r"statistics: \"sysu\" is not one of imagenet, levir-cd"
    ):
        read_experiment(EXPERIMENTS[0], {"statistics": "sysu"})


def test_the_verb_lists_all_and_shows_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["hanet", "datasets", *arguments])
        main()
        return capsys.readouterr().out

    table = typed()
    assert all(key in table for key in KNOWN_DATASETS)
    assert [entry["key"] for entry in json.loads(typed("--json"))] == list(KNOWN_DATASETS)
    one = typed("dsifn")
    assert "14400/1360/192" in one
    assert "10.1016/j.isprsjprs.2020.06.003" in one
    assert json.loads(typed("whu-cd", "--json"))["statistics"]["mean_before"] == [
        0.4907,
        0.4491,
        0.3930,
    ]
