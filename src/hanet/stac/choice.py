"""Which two images make a pair: rules that throw items out, and a rating of what is left.

What is rated is what makes two images of an unchanged place look different: clouds, buildings that
lean in other directions, shadows, seasons. The weights of the rating are our judgement, not a
measurement; the list names each part, so that people can choose otherwise.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import shapely
from shapely.affinity import scale

from hanet.errors import StacError
from hanet.imagery.stac_item import StacItem

POINTS_OF_CLOUD = 1.0
"""Points lost for each percent of clouds, in the mean of both dates."""

POINTS_OF_OFF_NADIR = 0.5
"""For each degree from the vertical, in the mean of both: facades are seen and hide ground."""

POINTS_OF_LEAN = 1.0
"""For each degree between both: a building leans by another length."""

POINTS_OF_SUN_HEIGHT = 0.3
"""For each degree of the sun's height between both: shadows of another length."""

POINTS_OF_SUN_DIRECTION = 0.1
"""For each degree of the sun's direction between both."""

POINTS_OF_SEASON = 20.0
"""For half a year between both seasons; less in proportion."""

UNKNOWN_CLOUD, UNKNOWN_OFF_NADIR, UNKNOWN_LEAN = 10.0, 10.0, 5.0
UNKNOWN_SUN_HEIGHT, UNKNOWN_SUN_DIRECTION = 10.0, 30.0
"""What is taken where an item does not say: worse than a good image, better than a bad one."""

LOWEST_QUALITY = 0.02
"""Of a pair of which all points are lost, so that the ground that it shows still counts."""

WORTH = 0.1
"""Share of the ground of a further pair, within the area, that must be new."""

COVERED = 0.999
"""Share of the area that counts as all of it."""

FARTHEST_DEGREES = 720.0
"""Longitudes of whoever counts on beyond the date line; larger ones are no place."""

MOST_COMBINATIONS = 300_000
"""Pairs that are rated."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an item must keep; what it does not say throws it out of nothing.

    Args:
        max_cloud: Percent.
        max_off_nadir: Degrees from the vertical.
        min_sun_elevation: Degrees over the horizon.
    """

    max_cloud: float = 20.0
    max_off_nadir: float = 30.0
    min_sun_elevation: float = 15.0

    def broken_by(self, item: StacItem) -> tuple[str, str] | None:
        """The rule that an item breaks, and how; None for one that keeps all."""
        if item.cloud is not None and item.cloud > self.max_cloud:
            return "cloud", f"cloud {item.cloud:.0f} %, more than {self.max_cloud:g} %"
        if item.off_nadir is not None and item.off_nadir > self.max_off_nadir:
            return (
                "off-nadir",
                f"off-nadir {item.off_nadir:.0f}°, more than {self.max_off_nadir:g}°",
            )
        if item.sun_elevation is not None and item.sun_elevation < self.min_sun_elevation:
            return (
                "sun",
                f"sun {item.sun_elevation:.0f}° high, less than {self.min_sun_elevation:g}°",
            )
        return None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item that keeps the rules.

    Args:
        item: It.
        shape: Its ground within the area, flat (see :class:`Area`).
    """

    item: StacItem
    shape: shapely.Geometry


class Area:
    """The area of interest, on a plane on which shares of it can be measured: degrees whose
    longitudes are shortened as at its middle latitude.

    Args:
        shape: It, in degrees of WGS84.
    """

    def __init__(self, shape: shapely.Geometry) -> None:
        self.shape = shape
        self.bounds: tuple[float, float, float, float] = shape.bounds
        middle = (self.bounds[1] + self.bounds[3]) / 2
        self._across = max(0.01, math.cos(math.radians(middle)))
        self.flat = self._flattened(shape)

    def part_of(self, item: StacItem) -> shapely.Geometry:
        """What of the area an item shows, flat; empty where it shows nothing or says no place."""
        shown = _shape_of(item)
        if shown is None:
            return shapely.Polygon()
        return shapely.intersection(self._flattened(shown), self.flat)

    def share(self, shape: shapely.Geometry) -> float:
        """Share of the area that a flat shape within it has, in 0-1."""
        return float(shape.area / self.flat.area)

    def _flattened(self, shape: shapely.Geometry) -> shapely.Geometry:
        return scale(shape, xfact=self._across, yfact=1.0, origin=(0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Rating:
    """How alike two images were taken.

    Args:
        quality: From :data:`LOWEST_QUALITY` to 1.
        words: Each part, in words.
    """

    quality: float
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChosenPair:
    """Two items that go together.

    Args:
        before: The earlier.
        after: The later.
        rating: How alike they were taken.
        share: Share of the area that both show, in 0-1.
        added: Share that no pair chosen before shows.
    """

    before: StacItem
    after: StacItem
    rating: Rating
    share: float
    added: float

    @property
    def why(self) -> str:
        """Why it was chosen, in words."""
        added = "" if self.added > self.share - 0.005 else f", {self.added:.0%} in no pair above"
        return (
            f"shows {self.share:.0%} of the area{added}; quality {self.rating.quality:.2f}: "
            + "; ".join(self.rating.words)
        )


def rate(before: StacItem, after: StacItem) -> Rating:
    """How alike two images were taken, for :data:`POINTS_OF_CLOUD` and the others."""
    clouds = [_known(item.cloud, UNKNOWN_CLOUD) for item in (before, after)]
    angles = [_known(item.off_nadir, UNKNOWN_OFF_NADIR) for item in (before, after)]
    lean = _apart(before.off_nadir, after.off_nadir)
    height = _apart(before.sun_elevation, after.sun_elevation)
    direction = _turned(before.sun_azimuth, after.sun_azimuth)
    season = season_days(before.start, after.start)
    points = (
        POINTS_OF_CLOUD * sum(clouds) / 2
        + POINTS_OF_OFF_NADIR * sum(angles) / 2
        + POINTS_OF_LEAN * _known(lean, UNKNOWN_LEAN)
        + POINTS_OF_SUN_HEIGHT * _known(height, UNKNOWN_SUN_HEIGHT)
        + POINTS_OF_SUN_DIRECTION * _known(direction, UNKNOWN_SUN_DIRECTION)
        + POINTS_OF_SEASON * season / 182.5
    )
    words = (
        f"{before.start[:10]} and {after.start[:10]}, {season} days of the season apart",
        f"cloud {_both(before.cloud, after.cloud, ' %')}",
        f"off-nadir {_both(before.off_nadir, after.off_nadir, '°')}",
        f"height of the sun {_both(before.sun_elevation, after.sun_elevation, '°')}, "
        f"direction {_both(before.sun_azimuth, after.sun_azimuth, '°')}",
    )
    return Rating(max(LOWEST_QUALITY, 1.0 - points / 100.0), words)


def season_days(first: str, second: str) -> int:
    """Days between two days of the year, over the end of the year where that is nearer.

    Example:
        >>> season_days("2019-12-30T00:00:00Z", "2024-01-02T00:00:00Z")
        3
    """
    days = [date.fromisoformat(moment[:10]).timetuple().tm_yday for moment in (first, second)]
    apart = abs(days[0] - days[1])
    return min(apart, 365 - min(apart, 365))


def choose(
    before: Sequence[Candidate], after: Sequence[Candidate], area: Area, *, most: int
) -> list[ChosenPair]:
    """Pairs that together show the area, the best first: of each step the pair whose quality times
    the ground that it adds is largest, until all is shown or nothing adds enough (:data:`WORTH`).

    Args:
        before: Items of the first period.
        after: Items of the second.
        area: What is to be shown.
        most: So many pairs at most.

    Raises:
        StacError: There are too many combinations.
    """
    first, second, shapes = _overlapping(before, after)
    ratings = [rate(before[i].item, after[j].item) for i, j in zip(first, second, strict=True)]
    # what a pair adds only shrinks while others are chosen: the best by what was known is looked at
    # again, and chosen if it is still the best
    values = [
        (-rating.quality * shape.area, index)
        for index, (rating, shape) in enumerate(zip(ratings, shapes, strict=True))
        if shape.area > 0.0
    ]
    heapq.heapify(values)
    left, chosen = area.flat, list[ChosenPair]()
    while values and len(chosen) < most and area.share(left) > 1.0 - COVERED:
        _, index = heapq.heappop(values)
        shape, rating = shapes[index], ratings[index]
        added = shapely.intersection(shape, left)
        if added.area < WORTH * shape.area:
            continue
        value = -rating.quality * added.area
        if values and value > values[0][0]:
            heapq.heappush(values, (value, index))
            continue
        pair = before[first[index]].item, after[second[index]].item
        shares = area.share(shape), area.share(added)
        chosen.append(ChosenPair(*pair, rating, *shares))
        left = shapely.difference(left, shape)
    return chosen


def _overlapping(
    before: Sequence[Candidate], after: Sequence[Candidate]
) -> tuple[list[int], list[int], list[shapely.Geometry]]:
    """Numbers of the items of both dates that show the same ground, and that ground."""
    if not before or not after:
        return [], [], []
    later = np.array([one.shape for one in after], dtype=object)
    earlier = np.array([one.shape for one in before], dtype=object)
    first, second = shapely.STRtree(later).query(earlier, predicate="intersects")
    if len(first) > MOST_COMBINATIONS:
        raise StacError(
            f"{len(before)} and {len(after)} items make {len(first)} pairs, more than "
            f"{MOST_COMBINATIONS}",
            hint="give shorter periods, a smaller area or a lower --max-cloud",
        )
    shapes = shapely.intersection(earlier[first], later[second])
    return first.tolist(), second.tolist(), list(shapes)


def _shape_of(item: StacItem) -> shapely.Geometry | None:
    """The ground of an item in degrees: its geometry, else its box."""
    if item.geometry is not None:
        try:
            stated = shapely.geometry.shape(item.geometry)
            if all(abs(side) <= FARTHEST_DEGREES for side in stated.bounds):
                found = shapely.make_valid(stated)
                if found.area > 0.0:
                    return found
        except (shapely.errors.ShapelyError, LookupError, TypeError, ValueError, AttributeError):
            pass  # damaged: the box may do
    if item.bbox is None or any(abs(side) > FARTHEST_DEGREES for side in item.bbox):
        return None
    west, south, east, north = item.bbox
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union(
        shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)
    )


def _known(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _apart(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else abs(first - second)


def _turned(first: float | None, second: float | None) -> float | None:
    apart = _apart(first, second)
    return None if apart is None else min(apart % 360.0, 360.0 - apart % 360.0)


def _said(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:.0f}{unit}"


def _both(first: float | None, second: float | None, unit: str) -> str:
    """What two items say; one word where neither does."""
    if first is None and second is None:
        return "unknown"
    return f"{_said(first, unit)} and {_said(second, unit)}"
