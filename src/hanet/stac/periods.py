"""The time in which an image is looked for, as users and STAC write it."""

from __future__ import annotations

from calendar import monthrange
from typing import NamedTuple

from hanet.errors import SettingsError
from hanet.imagery.dates import check_date


class Period(NamedTuple):
    """From one moment to another, both in it (UTC, ISO 8601 to the second).

    Args:
        start: The first.
        end: The last.
    """

    start: str
    end: str

    @property
    def interval(self) -> str:
        """As an API of STAC is asked."""
        return f"{self.start}/{self.end}"

    def holds(self, start: str, end: str) -> bool:
        """Whether all of a time lies in it."""
        return self.start <= start and end <= self.end


def parse_period(text: str, option: str) -> Period:
    """The period that a user means.

    Args:
        text: A day, a month, a year, or two of them with ``/`` between: ``2019``, ``2019-05``,
            ``2019-04/2019-09``.
        option: What gave it, for the error.

    Raises:
        SettingsError: It is not a period, or ends before it begins.

    Example:
        >>> parse_period("2024-02", "--after").end
        '2024-02-29T23:59:59Z'
    """
    first, mark, last = (part.strip() for part in text.partition("/"))
    for part in (first, last) if mark else (first,):
        check_date(part, option)
    period = Period(_first_of(first), _last_of(last if mark else first))
    if period.end < period.start:
        raise SettingsError(
            f"{option} {text} ends before it begins", hint=f"{option} {last}/{first}"
        )
    return period


def _first_of(date: str) -> str:
    year, month, day = [*date.split("-"), "01", "01"][:3]
    return f"{year}-{month}-{day}T00:00:00Z"


def _last_of(date: str) -> str:
    parts = date.split("-")
    year, month = [*parts, "12"][:2]
    day = parts[2] if len(parts) == 3 else f"{monthrange(int(year), int(month))[1]:02d}"
    return f"{year}-{month}-{day}T23:59:59Z"
