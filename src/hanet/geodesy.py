"""Areas, perimeters and centroids on the WGS84 ellipsoid, for polygons given in longitude and latitude."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanet.grid import WGS84_A, WGS84_E2

Coordinates = npt.NDArray[np.float64]
"""Points (N, 2): longitude and latitude in degrees."""

_E = float(np.sqrt(WGS84_E2))


def equal_area(points: Coordinates) -> Coordinates:
    """The points on the ellipsoid's cylindrical equal-area map, in metres: any area measured there is the area on the ellipsoid.

    Source: Snyder, "Map Projections: A Working Manual", USGS 1987, equations 10-12 to 10-15 and 3-12.
    """
    longitude, latitude = np.radians(points).T
    sine = np.sin(latitude)
    q = (1 - WGS84_E2) * (sine / (1 - WGS84_E2 * sine**2) + np.arctanh(_E * sine) / _E)
    return np.stack([WGS84_A * longitude, WGS84_A * q / 2], axis=1)


def ring_area_m2(ring: Coordinates) -> float:
    """Area inside a closed ring (first point repeated at the end), in square metres; never negative."""
    longitude = np.unwrap(ring[:, 0], period=360.0)  # a ring may cross the date line
    x, y = equal_area(np.stack([longitude - longitude[0], ring[:, 1]], axis=1)).T
    y = y - y[0]  # near the ring, so that the products keep their digits
    return float(abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2)


def line_length_m(line: Coordinates) -> float:
    """Length of a line in metres, from the radii of curvature at the middle of each segment; good to 1e-6 below a kilometre a segment."""
    longitude, latitude = np.radians(line).T
    longitude = np.unwrap(longitude)
    bend = 1 - WGS84_E2 * np.sin((latitude[1:] + latitude[:-1]) / 2) ** 2
    meridian = WGS84_A * (1 - WGS84_E2) / bend**1.5
    parallel = WGS84_A / np.sqrt(bend) * np.cos((latitude[1:] + latitude[:-1]) / 2)
    return float(np.hypot(meridian * np.diff(latitude), parallel * np.diff(longitude)).sum())
