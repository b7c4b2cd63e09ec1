"""Dates of images as text: ISO 8601, a year, a month or a day."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from hanet.errors import SettingsError

_WHOLE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_IN_TAGS = re.compile(r"(\d{4})[-:/.]?(\d{2})[-:/.]?(\d{2})(?!\d)")


def check_date(text: str | None, name: str) -> None:
    """Does nothing for None, 2024, 2024-05 and 2024-05-17.

    Args:
        text: What a user gave.
        name: What it is, for the error.

    Raises:
        SettingsError: It is no such date.
    """
    if text is None:
        return
    found = _WHOLE.fullmatch(text)
    if found is None or not _exists(*found.groups()):
        raise SettingsError(
            f"{name} {text!r} is no date",
            hint="YYYY-MM-DD, YYYY-MM or YYYY, for example 2024-05-17",
        )


def date_in(text: str) -> str | None:
    """The day that a tag of a file names, as YYYY-MM-DD; None where it names none.

    Example:
        >>> date_in("2011:05:13 17:05:11")
        '2011-05-13'
    """
    found = _IN_TAGS.match(text.strip())
    return "-".join(found.groups()) if found is not None and _exists(*found.groups()) else None


def day_in_tags(tags: Mapping[str, object]) -> str | None:
    """The day of acquisition that the tags of a file state, as YYYY-MM-DD; None where they state
    none."""
    for key in ("ACQUISITIONDATETIME", "ACQUISITIONDATE"):
        if found := date_in(str(tags.get(key, ""))):
            return found
    return None


def is_earlier(first: str | None, second: str | None) -> bool:
    """Whether the first date is certainly before the second: what both say is compared, a year with
    a day by their years."""
    if first is None or second is None:
        return False
    common = min(len(first), len(second))
    return first[:common] < second[:common]


def check_order(before: str | None, after: str | None) -> None:
    """Does nothing unless both dates are given and the after image's is the earlier one.

    Raises:
        SettingsError: It is.
    """
    if is_earlier(after, before):
        raise SettingsError(
            f"the after image's date {after} is earlier than the before image's {before}",
            hint="swap the images, or the dates",
        )


def _exists(year: str, month: str | None, day: str | None) -> bool:
    try:
        date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        return False
    return True
