"""Dates that users give, and dates that files name."""

from __future__ import annotations

import pytest

from hanet.detection.job import DetectionSettings
from hanet.errors import SettingsError
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.dates import check_date, check_order, date_in, is_earlier


@pytest.mark.parametrize("text", [None, "2024", "2024-05", "2024-02-29"])
def test_dates_that_are_taken(text: str | None) -> None:
    check_date(text, "the date")


@pytest.mark.parametrize(
    "text",
    ["yesterday", "", "24", "2024-13", "2023-02-29", "17.05.2024", "2024-5-7", "2024-05-17T10:00"],
)
def test_dates_that_are_refused(text: str) -> None:
    for settings in (DetectionSettings.of, FootprintSettings):
        with pytest.raises(SettingsError, match="is no date"):
            settings(before_date=text)


@pytest.mark.parametrize(
    ("tag", "day"),
    [
        ("2011:05:13 17:05:11", "2011-05-13"),
        ("2011-05-13T17:05:11Z", "2011-05-13"),
        ("20110513", "2011-05-13"),
        ("2011:00:00 00:00:00", None),
        ("13 May 2011", None),
        ("", None),
    ],
)
def test_the_day_of_a_tag(tag: str, day: str | None) -> None:
    assert date_in(tag) == day


def test_order() -> None:
    assert is_earlier("2019-12", "2020")
    assert not is_earlier("2020", "2020-05-01")  # may be later in that year
    assert not is_earlier(None, "2020")
    check_order("2020-05-01", "2020")
    with pytest.raises(SettingsError, match="earlier than"):
        DetectionSettings.of(before_date="2021", after_date="2020-12-31")
