"""Areas, perimeters and centroids on the WGS84 ellipsoid, for polygons given in longitude and
latitude."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WGS84_A = 6378137.0
"""Semi-major axis of the WGS84 ellipsoid in metres."""

WGS84_E2 = 0.0066943799901413165
"""Square of the first eccentricity of WGS84."""

Coordinates = npt.NDArray[np.float64]
"""Points (N, 2): longitude and latitude in degrees."""

Starts = npt.NDArray[np.int64]
"""Positions of the first points of rings or lines that stand one after the other."""

_E = float(np.sqrt(WGS84_E2))


def equal_area(points: Coordinates) -> Coordinates:
    """The points on the ellipsoid's cylindrical equal-area map, in metres: any area measured there
    is the area on the ellipsoid.

    Source: Snyder, "Map Projections: A Working Manual", USGS 1987, equations 10-12 to 10-15 and
    3-12.
    """
    longitude, latitude = np.radians(points).T
    sine = np.sin(latitude)
    q = (1 - WGS84_E2) * (sine / (1 - WGS84_E2 * sine**2) + np.arctanh(_E * sine) / _E)
    return np.stack([WGS84_A * longitude, WGS84_A * q / 2], axis=1)


def ring_area_m2(ring: Coordinates) -> float:
    """Area inside a closed ring (first point repeated at the end), in square metres; never
    negative."""
    return float(abs(signed_ring_areas_m2(ring, np.zeros(1, dtype=np.int64))[0]))


def line_length_m(line: Coordinates) -> float:
    """Length of a line in metres, from the radii of curvature at the middle of each segment; good
    to 1e-6 below a kilometre a segment."""
    return float(line_lengths_m(line, np.zeros(1, dtype=np.int64))[0])


def signed_ring_areas_m2(points: Coordinates, starts: Starts) -> npt.NDArray[np.float64]:
    """Area inside each of many closed rings in square metres, positive where a ring runs against
    the clock.

    Args:
        points: The rings' points, one ring after the other, each with its first point repeated at
            its end; a ring may cross the date line and spans less than 180 degrees of longitude.
        starts: Position of each ring's first point, rising from 0.
    """
    first = np.repeat(points[starts], np.diff(starts, append=len(points)), axis=0)
    turned = (points[:, 0] - first[:, 0] + 180.0) % 360.0 - 180.0
    x, y = equal_area(np.stack([turned, points[:, 1]], axis=1)).T
    y = y - equal_area(first)[:, 1]  # near the ring, so that the products keep their digits
    products = np.zeros(len(points))
    products[:-1] = x[:-1] * y[1:] - x[1:] * y[:-1]
    products[starts[1:] - 1] = 0.0  # from one ring to the next
    return np.asarray(np.add.reduceat(products, starts) / 2)


def line_lengths_m(points: Coordinates, starts: Starts) -> npt.NDArray[np.float64]:
    """Length of each of many lines in metres; the arguments are those of
    :func:`signed_ring_areas_m2`."""
    longitude, latitude = np.radians(points).T
    bend = 1 - WGS84_E2 * np.sin((latitude[1:] + latitude[:-1]) / 2) ** 2
    meridian = WGS84_A * (1 - WGS84_E2) / bend**1.5
    parallel = WGS84_A / np.sqrt(bend) * np.cos((latitude[1:] + latitude[:-1]) / 2)
    east = (np.diff(longitude) + np.pi) % (2 * np.pi) - np.pi
    lengths = np.zeros(len(points))
    lengths[:-1] = np.hypot(meridian * np.diff(latitude), parallel * east)
    lengths[starts[1:] - 1] = 0.0
    return np.asarray(np.add.reduceat(lengths, starts))
