"""A small classifier that tells buildings from false alarms by shape and probability, learned from
reviewed footprints; it travels with the weights.

Logistic regression on eight features of a connected set of changed pixels, as it is before its
outline is drawn, so that it means the same whatever outline is asked for. Without a CRS a pixel is
taken for one of the weights' resolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from hanet.errors import SettingsError
from hanet.footprints.components import Component
from hanet.types import Json

FEATURES = (
    "log_area_m2",
    "compactness",
    "elongation",
    "fill",
    "corners",
    "logit_mean",
    "logit_max",
    "logit_spread",
)
"""Area in logarithms; 4 pi area / perimeter²; sides of the smallest rectangle around it in
logarithms of their ratio; the share of that rectangle that it fills; corners for its size;
probability's mean, maximum, and how far they lie apart, as logits."""

MOST_LOGIT = 8.0
"""Logits beyond are taken for this: probability is stored in steps of 1/250."""

FloatTable = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FootprintFilter:
    """Keeps what is a building with at least the probability ``cut``.

    Args:
        means: Of each of :data:`FEATURES` over the footprints that it was learned from.
        scales: Standard deviation of each, above 0.
        weights: Of each standardised feature.
        bias: Added to their sum: the logit of being a building.
        cut: Least probability of being a building that is kept, in 0-1; 0 keeps all.
        gsd_m: Metres a pixel where a raster has no CRS.
        footprints: Number that it was learned from.
        features: Their names; others than :data:`FEATURES` are of a later version.

    Raises:
        SettingsError: A value cannot be.
    """

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    cut: float
    gsd_m: float
    footprints: int = 0
    features: tuple[str, ...] = FEATURES

    def __post_init__(self) -> None:
        if self.features != FEATURES:
            raise SettingsError(
                "the footprint filter has other features than this version of hanet knows",
                hint="update hanet, or give --no-footprint-filter",
            )
        rows = (self.means, self.scales, self.weights)
        numbers = np.array([*self.means, *self.scales, *self.weights, self.bias, self.gsd_m])
        fits = (
            all(len(row) == len(FEATURES) for row in rows)
            and bool(np.isfinite(numbers).all())
            and min(self.scales) > 0
            and self.gsd_m > 0
            and 0 <= self.cut <= 1
        )
        if not fits:
            raise SettingsError(
                "the footprint filter holds values that it cannot have",
                hint="the weights file may be damaged; copy it again",
            )

    def keeps(
        self, components: Sequence[Component], metres: tuple[float, float] | None
    ) -> npt.NDArray[np.bool_]:  # (N,)
        """Which components it keeps.

        Args:
            components: Whole ones.
            metres: (width, height) of a pixel; None without a CRS.
        """
        if not components or self.cut == 0:
            return np.ones(len(components), dtype=np.bool_)
        table = features_of(components, metres or (self.gsd_m, self.gsd_m))
        kept: npt.NDArray[np.bool_] = self.probability(table) >= self.cut
        return kept

    def probability(self, table: FloatTable) -> FloatTable:  # (N, features) -> (N,)
        """Of being a building, in 0-1."""
        logit = (table - self.means) / self.scales @ np.array(self.weights) + self.bias
        found: FloatTable = np.exp(-np.logaddexp(0, -logit))
        return found

    def to_json(self) -> Json:
        """For metadata and manifests."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: object) -> FootprintFilter:
        """What :meth:`to_json` gave.

        Raises:
            SettingsError: It is not a footprint filter.
        """
        if not isinstance(values, Mapping):
            raise SettingsError(
                "the footprint filter is no object", hint="the file may be damaged; copy it again"
            )
        given: dict[str, Any] = dict(values)
        try:
            for name in ("means", "scales", "weights"):
                given[name] = tuple(float(number) for number in given[name])
            given["features"] = tuple(str(name) for name in given["features"])
            for name in ("bias", "cut", "gsd_m"):
                given[name] = float(given[name])
            return cls(**given)
        except (KeyError, TypeError, ValueError) as error:
            raise SettingsError(
                "the footprint filter is damaged", hint="copy the file that holds it again"
            ) from error


def features_of(
    components: Sequence[Component], metres: tuple[float, float]
) -> FloatTable:  # (N, len(FEATURES))
    """:data:`FEATURES` of whole components, whose pixels are ``metres`` (width, height) large."""
    shapes = np.empty(len(components), dtype=object)
    shapes[:] = [component.polygon() for component in components]
    shapes = np.asarray(shapely.transform(shapes, lambda xy: xy * metres))
    pixel = min(metres)
    area, perimeter = shapely.area(shapes), shapely.length(shapes)
    around = np.asarray(shapely.minimum_rotated_rectangle(shapes))
    sides = np.array([_sides(rectangle) for rectangle in around]).reshape(-1, 2)
    corners = shapely.get_num_coordinates(shapes)
    mean = _logit([component.probability_sum / component.pixels for component in components])
    largest = _logit([component.probability_max for component in components])
    return np.column_stack(
        [
            np.log(area),
            4 * np.pi * area / perimeter**2,
            np.log(sides[:, 1] / np.maximum(sides[:, 0], pixel / 2)),
            area / np.maximum(sides[:, 0] * sides[:, 1], pixel**2 / 2),
            np.log(corners) - 0.5 * np.log(area / pixel**2),
            mean,
            largest,
            largest - mean,
        ]
    )


def _sides(rectangle: shapely.Geometry) -> tuple[float, float]:
    """The shorter and the longer side."""
    points = shapely.get_coordinates(rectangle)
    if len(points) < 4:
        return 0.0, float(shapely.length(rectangle))
    first, second = (float(np.hypot(*(points[k + 1] - points[k]))) for k in range(2))
    return min(first, second), max(first, second)


def _logit(probability: Sequence[float]) -> FloatTable:
    values = np.asarray(probability, dtype=np.float64)
    with np.errstate(divide="ignore"):
        logit: FloatTable = np.log(values) - np.log1p(-values)
    return np.clip(logit, -MOST_LOGIT, MOST_LOGIT)
