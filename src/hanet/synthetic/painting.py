"""Brushes of the rendered scenes: houses with shadows, plots, discs, textures and noise, each a
function of places in the world."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from hanet.types import FloatArray, Window

Values = npt.NDArray[np.float64]

ROOFS = np.array(
    [
        [150, 148, 145],
        [120, 112, 106],
        [95, 92, 92],
        [168, 158, 146],
        [136, 108, 90],
        [196, 194, 190],
        [110, 118, 126],
    ],
    dtype=np.float64,
)
"""Roof colours: greys and browns of shingle, light metal, slate."""


@dataclass(frozen=True, slots=True)
class House:
    """A house in metres: centre, half sides, angle, colour, and the dates at which it stands."""

    x: float
    y: float
    half_length: float
    half_width: float
    angle: float
    colour: Values
    height: float
    stands: tuple[bool, bool]

    def local(self, x: Values, y: Values) -> tuple[Values, Values]:
        """Coordinates along and across the house."""
        dx, dy = x - self.x, y - self.y
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return dx * cosine + dy * sine, dy * cosine - dx * sine

    def polygon(self) -> shapely.Polygon:
        """The footprint in metres (x right, y down)."""
        corners = [(self.half_length, self.half_width), (-self.half_length, self.half_width)]
        corners += [(-self.half_length, -self.half_width), (self.half_length, -self.half_width)]
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return shapely.Polygon(
            [(self.x + u * cosine - v * sine, self.y + u * sine + v * cosine) for u, v in corners]
        )


@dataclass(frozen=True, slots=True)
class Date:
    """Light and season of one date.

    Args:
        sun_azimuth: Radians clockwise from north.
        shadow_length: Metres of shadow for a metre of height.
        green: How lush the ground is, 0-1.
        gain: (3,) factor on each band.
        haze: Added to all bands, 0-255.
        shift_m: How far the image is moved to the right and down.
        noise: Standard deviation, 0-255.
    """

    sun_azimuth: float
    shadow_length: float
    green: float
    gain: Values
    haze: float
    shift_m: tuple[float, float]
    noise: float


def local_part(
    house: House, x: Values, y: Values, reach: float
) -> tuple[slice, slice, Values, Values]:
    """The rows and columns near a house, and the coordinates along and across it there."""
    radius = math.hypot(house.half_length, house.half_width) + reach
    columns = slice(
        int(np.searchsorted(x, house.x - radius)), int(np.searchsorted(x, house.x + radius))
    )
    rows = slice(
        int(np.searchsorted(y, house.y - radius)), int(np.searchsorted(y, house.y + radius))
    )
    u, v = house.local(x[columns][None, :], y[rows][:, None])
    return rows, columns, u, v


def paint_shadow(image: Values, house: House, x: Values, y: Values, date: Date) -> None:
    """The shadow of a house, away from the sun."""
    reach = house.height * date.shadow_length
    rows, columns, u, v = local_part(house, x, y, reach)
    toward = date.sun_azimuth + math.pi / 2 - house.angle
    shade = np.zeros(np.broadcast_shapes(u.shape, v.shape), dtype=np.bool_)
    for share in (0.25, 0.5, 0.75, 1.0):
        du, dv = reach * share * math.cos(toward), reach * share * math.sin(toward)
        shade |= (np.abs(u - du) <= house.half_length) & (np.abs(v - dv) <= house.half_width)
    image[:, rows, columns] *= np.where(shade, 0.45, 1.0)


def paint_roof(image: Values, house: House, x: Values, y: Values, date: Date) -> None:
    """A hipped roof, each face lit by where it looks."""
    rows, columns, u, v = local_part(house, x, y, 0.5)
    inside = (np.abs(u) <= house.half_length) & (np.abs(v) <= house.half_width)
    hip = house.half_length - house.half_width
    on_hip = np.abs(u) - hip > np.abs(v)
    toward = date.sun_azimuth - math.pi / 2 - house.angle
    facing = np.where(on_hip, np.sign(u) * math.cos(toward), np.sign(v) * math.sin(toward))
    ridge = (np.abs(v) < 0.35) & ~on_hip | (np.abs(np.abs(u) - hip - np.abs(v)) < 0.35)
    shingles = 1 + 0.03 * np.sin(v * 7.0)
    light = (1 + 0.22 * facing) * np.where(ridge, 1.12, 1.0) * shingles
    roof = house.colour[:, None, None] * light
    image[:, rows, columns] = np.where(inside, roof, image[:, rows, columns])


def paint_bare_plot(image: Values, house: House, x: Values, y: Values) -> None:
    """Bare soil where a house will stand."""
    rows, columns, u, v = local_part(house, x, y, 4.0)
    bare = (np.abs(u) <= house.half_length + 3) & (np.abs(v) <= house.half_width + 3)
    soil = np.array([176.0, 156.0, 128.0])[:, None, None] * (
        1 + 0.04 * np.sin(3.1 * u) * np.cos(2.3 * v)
    )
    image[:, rows, columns] = np.where(
        bare, 0.7 * soil + 0.3 * image[:, rows, columns], image[:, rows, columns]
    )


def paint_disc(
    image: Values,
    x: Values,
    y: Values,
    centre_x: float,
    centre_y: float,
    radius: float,
    colour: Values | None,
    away: tuple[float, float],
) -> None:
    """A crown of a tree with a ragged rim, darker on the side away from the sun; without a colour
    its shadow, which halves what is there.

    Args:
        image: (3, h, w), painted on.
        x: Metres of the columns, (w,).
        y: Metres of the rows, (h,).
        centre_x: Of the disc, in metres.
        centre_y: Of the disc, in metres.
        radius: In metres.
        colour: (3,), 0-255; None for a shadow.
        away: Direction away from the sun, of length 1.
    """
    columns = slice(
        int(np.searchsorted(x, centre_x - radius)), int(np.searchsorted(x, centre_x + radius))
    )
    rows = slice(
        int(np.searchsorted(y, centre_y - radius)), int(np.searchsorted(y, centre_y + radius))
    )
    dx, dy = (x[columns][None, :] - centre_x) / radius, (y[rows][:, None] - centre_y) / radius
    inside = dx**2 + dy**2 < 1 - 0.25 * np.sin(5 * np.arctan2(dy, dx) + centre_x) ** 2
    part = image[:, rows, columns]
    if colour is None:
        image[:, rows, columns] = np.where(inside, part * 0.5, part)
        return
    light = 1 - 0.35 * (dx * away[0] + dy * away[1])
    image[:, rows, columns] = np.where(inside, colour[:, None, None] * light, part)


def paint_car(
    image: Values,
    x: Values,
    y: Values,
    car_x: float,
    car_y: float,
    colour: Values,
    *,
    is_down: bool,
) -> None:
    """A car of 4.4 x 1.8 m with dark windows, along the columns or the rows."""
    half_x, half_y = (0.9, 2.2) if is_down else (2.2, 0.9)
    columns = slice(
        int(np.searchsorted(x, car_x - half_x)), int(np.searchsorted(x, car_x + half_x))
    )
    rows = slice(int(np.searchsorted(y, car_y - half_y)), int(np.searchsorted(y, car_y + half_y)))
    along = np.abs(
        (y[rows][:, None] if is_down else x[columns][None, :]) - (car_y if is_down else car_x)
    )
    glass = np.where((along > 0.7) & (along < 1.3), 0.5, 1.0)
    image[:, rows, columns] = colour[:, None, None] * np.broadcast_to(
        glass, image[0, rows, columns].shape
    )


def texture(
    seed: tuple[int, ...], x: Values, y: Values, wavelength_m: float
) -> Values:  # (h, w), about -1 to 1
    """Smooth noise: random values on a world lattice, bilinear between them."""
    columns, rows = x / wavelength_m, y / wavelength_m
    first_column, first_row = math.floor(columns[0]), math.floor(rows[0])
    count_x, count_y = (
        math.floor(columns[-1]) - first_column + 2,
        math.floor(rows[-1]) - first_row + 2,
    )
    lattice = hash_noise(
        seed,
        np.arange(first_row, first_row + count_y)[:, None],
        np.arange(first_column, first_column + count_x)[None, :],
    )
    c, r = np.floor(columns).astype(int) - first_column, np.floor(rows).astype(int) - first_row
    fc, fr = (columns - np.floor(columns))[None, :], (rows - np.floor(rows))[:, None]
    top = lattice[r][:, c] * (1 - fc) + lattice[r][:, c + 1] * fc
    low = lattice[r + 1][:, c] * (1 - fc) + lattice[r + 1][:, c + 1] * fc
    return np.asarray(top * (1 - fr) + low * fr)


def world_noise(seed: tuple[int, ...], window: Window) -> FloatArray:  # (4, h, w)
    """Noise of each band with mean 0 and spread 1, a function of the pixel's place in the world."""
    rows, columns = (
        np.arange(window.row, window.row_end)[:, None],
        np.arange(window.column, window.column_end)[None, :],
    )
    bands = [hash_noise((*seed, band), rows, columns) for band in range(4)]
    return (np.stack(bands) * math.sqrt(3)).astype(np.float32)


def hash_noise(
    seed: tuple[int, ...], rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> Values:
    """Uniform values in -1 to 1 from integer places: a multiply-xorshift hash (as in
    SplitMix64)."""
    key = np.uint64(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    with np.errstate(over="ignore"):
        state = (
            rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            + columns.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
            + key
        )
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return np.asarray(state >> np.uint64(11)).astype(np.float64) / 2.0**52 - 1.0
