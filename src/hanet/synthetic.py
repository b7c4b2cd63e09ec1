"""Renders a pair of VHR scenes with true changes: streets, houses with shadows, trees, lawns; buildings appear and vanish.

The layout is a pure function of the seed and of lots on a world grid, so any window can be rendered by itself and windows
fit without seams.
What is no change differs too: season, sun, haze, colour, noise, a sub-pixel shift, cars.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.windows import Window as RasterioWindow

from hanet.errors import OutputError, SettingsError
from hanet.raster_output import writing
from hanet.types import ByteArray, FloatArray, Mask, Window
from hanet.vectors import FeatureWriter

LOT_M = 22.0
"""Side of a building lot in metres."""

BLOCK_LOTS = 5
"""Lots between two streets."""

MARGIN_M = 30.0
"""How far a house's shadow or a tree's crown can reach from its lot."""

STRIP_ROWS = 512
"""Rows rendered at once: memory grows with the width only."""

ORIGIN = (620_000.0, 3_350_000.0)
"""Map coordinates of the upper left corner: near Austin, Texas, in UTM zone 14N."""

Values = npt.NDArray[np.float64]

ROOFS = np.array(
    [[150, 148, 145], [120, 112, 106], [95, 92, 92], [168, 158, 146], [136, 108, 90], [196, 194, 190], [110, 118, 126]],
    dtype=np.float64,
)
"""Roof colours: greys and browns of shingle, light metal, slate."""


@dataclass(frozen=True, slots=True)
class SceneFiles:
    """What was written."""

    before: Path
    after: Path
    mask: Path
    footprints: Path
    buildings_changed: int


@dataclass(frozen=True, slots=True)
class _House:
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
        return shapely.Polygon([(self.x + u * cosine - v * sine, self.y + u * sine + v * cosine) for u, v in corners])


@dataclass(frozen=True, slots=True)
class _Date:
    """Light and season of one date."""

    sun_azimuth: float
    shadow_length: float
    green: float
    gain: Values
    haze: float
    shift_m: tuple[float, float]
    noise: float


class Scene:
    """A world of one seed; renders any window.

    Args:
        seed: Decides everything.
        gsd_m: Metres a pixel.
        change_share: Share of the lots whose house appears or vanishes.
    """

    def __init__(self, seed: int, *, gsd_m: float = 0.5, change_share: float = 0.15) -> None:
        if not 0 <= change_share <= 1 or gsd_m <= 0:
            raise SettingsError(f"change_share is {change_share} and gsd {gsd_m}; they must lie in 0-1 and above 0")
        self.seed, self.gsd_m, self.change_share = seed, gsd_m, change_share
        random = np.random.default_rng((seed, 7))
        self._dates = tuple(self._draw_date(random, index) for index in range(2))

    @staticmethod
    def _draw_date(random: np.random.Generator, index: int) -> _Date:
        return _Date(
            sun_azimuth=math.radians(random.uniform(100, 250)),
            shadow_length=random.uniform(0.6, 1.3),
            green=float(random.uniform(0.1, 0.6) if index == 0 else random.uniform(0.3, 0.9)),
            gain=random.uniform(0.82, 1.12, 3) * random.uniform(0.85, 1.1),
            haze=float(random.uniform(0, 18)),
            shift_m=(0.0, 0.0) if index == 0 else (random.uniform(-0.3, 0.3), random.uniform(-0.3, 0.3)),
            noise=float(random.uniform(1.5, 4.0)),
        )

    def houses(self, left: float, top: float, right: float, bottom: float) -> list[_House]:
        """Houses whose lots meet a rectangle in metres."""
        found = []
        for row in range(math.floor(top / LOT_M), math.floor(bottom / LOT_M) + 1):
            for column in range(math.floor(left / LOT_M), math.floor(right / LOT_M) + 1):
                house = self._house(row, column)
                if house is not None:
                    found.append(house)
        return found

    def _house(self, row: int, column: int) -> _House | None:
        if row % BLOCK_LOTS == 0 or column % BLOCK_LOTS == 0 or row < 0 or column < 0:
            return None  # streets, and nothing beyond the scene's upper left edge
        random = np.random.default_rng((self.seed, 1, row, column))
        if random.random() > self._density(row, column):
            return None
        chance = random.random()
        stands = (False, True) if chance < 0.85 * self.change_share else (True, chance >= self.change_share)
        length, width = random.uniform(5.5, 9.0), random.uniform(4.0, 6.2)
        return _House(
            x=(column + 0.5) * LOT_M + random.uniform(-1.5, 1.5),
            y=(row + 0.5) * LOT_M + random.uniform(-1.5, 1.5),
            half_length=length,
            half_width=width,
            angle=random.choice([0.0, math.pi / 2]) + random.normal(0, 0.06),
            colour=ROOFS[random.integers(len(ROOFS))] + random.normal(0, 6, 3),
            height=random.uniform(3.5, 7.0),
            stands=stands,
        )

    def _density(self, row: int, column: int) -> float:
        """Share of built lots of a block: fields, suburbs."""
        block = np.random.default_rng((self.seed, 2, row // BLOCK_LOTS, column // BLOCK_LOTS))
        return float(block.choice([0.05, 0.6, 0.9], p=[0.25, 0.3, 0.45]))

    def render(self, window: Window) -> tuple[ByteArray, ByteArray, Mask]:
        """before (3, h, w), after (3, h, w) and the true change (h, w) of a window of pixels."""
        images = tuple(self._render_date(window, index) for index in range(2))
        x, y = self._metres(window, (0.0, 0.0))
        change = np.zeros(window.shape, dtype=np.bool_)
        for house in self._near(x, y):
            if house.stands[0] != house.stands[1]:
                rows, columns, u, v = _local_part(house, x, y, 0.0)
                change[rows, columns] |= (np.abs(u) <= house.half_length) & (np.abs(v) <= house.half_width)
        return images[0], images[1], change

    def _metres(self, window: Window, shift: tuple[float, float]) -> tuple[Values, Values]:
        """Metres of the pixel centres: x (w,), y (h,)."""
        x: Values = np.asarray(
            (np.arange(window.column, window.column_end) + 0.5) * self.gsd_m + shift[0], dtype=np.float64
        )
        y: Values = np.asarray((np.arange(window.row, window.row_end) + 0.5) * self.gsd_m + shift[1], dtype=np.float64)
        return x, y

    def _near(self, x: Values, y: Values) -> list[_House]:
        return self.houses(x[0] - MARGIN_M, y[0] - MARGIN_M, x[-1] + MARGIN_M, y[-1] + MARGIN_M)

    def _render_date(self, window: Window, index: int) -> ByteArray:
        date = self._dates[index]
        x, y = self._metres(window, date.shift_m)
        image = self._ground(x, y, date, index)
        houses = self._near(x, y)
        for house in houses:
            if house.stands[index]:
                _paint_shadow(image, house, x, y, date)
        for house in houses:
            if house.stands[index]:
                _paint_roof(image, house, x, y, date)
            elif not house.stands[0] and index == 0:
                _paint_bare_plot(image, house, x, y)
        self._paint_trees(image, x, y, date)
        image = image * date.gain[:, None, None] + date.haze
        # noise is drawn for whole world tiles, so that windows agree where they overlap
        image += _world_noise((self.seed, 11, index), window) * date.noise
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    def _ground(self, x: Values, y: Values, date: _Date, index: int) -> Values:
        texture = _texture((self.seed, 3), x, y, 9.0) + 0.5 * _texture((self.seed, 4), x, y, 2.0)
        dry, lush = np.array([158.0, 142.0, 112.0]), np.array([82.0, 104.0, 62.0])
        moisture = np.clip(date.green + 0.35 * _texture((self.seed, 5 + index), x, y, 40.0), 0, 1)
        image = dry[:, None, None] * (1 - moisture) + lush[:, None, None] * moisture
        image = image * (1 + 0.16 * texture)
        lot_x, lot_y = x / LOT_M % BLOCK_LOTS, y / LOT_M % BLOCK_LOTS
        road = (np.abs(lot_x - 0.5) < 0.2)[None, :] | (np.abs(lot_y - 0.5) < 0.2)[:, None]
        kerb = ((np.abs(lot_x - 0.5) < 0.27)[None, :] | (np.abs(lot_y - 0.5) < 0.27)[:, None]) & ~road
        grain = 1 + 0.05 * texture
        image = np.where(road, np.array([128.0, 126.0, 124.0])[:, None, None] * grain, image)
        return np.asarray(np.where(kerb, np.array([176.0, 172.0, 162.0])[:, None, None] * grain, image))

    def _paint_trees(self, image: Values, x: Values, y: Values, date: _Date) -> None:
        step = 11.0
        random_cells = (
            (row, column)
            for row in range(math.floor((y[0] - 12) / step), math.floor((y[-1] + 12) / step) + 1)
            for column in range(math.floor((x[0] - 12) / step), math.floor((x[-1] + 12) / step) + 1)
        )
        for row, column in random_cells:
            random = np.random.default_rng((self.seed, 9, row + 10, column + 10))
            if random.random() > 0.3:
                continue
            centre_x, centre_y = (column + random.random()) * step, (row + random.random()) * step
            radius = random.uniform(1.5, 4.0)
            if self._is_blocked(centre_x, centre_y, radius):
                continue
            shade = random.uniform(0.75, 1.1)
            sun = (-math.sin(date.sun_azimuth), math.cos(date.sun_azimuth))
            for dx, dy, colour in (
                (sun[0] * radius * date.shadow_length, sun[1] * radius * date.shadow_length, None),
                (0.0, 0.0, np.array([62.0, 82.0, 50.0]) * shade * (0.8 + 0.3 * date.green)),
            ):
                _paint_disc(image, x, y, centre_x + dx, centre_y + dy, radius, colour, sun)

    def _is_blocked(self, x: float, y: float, radius: float) -> bool:
        """Whether a tree would stand on a house of either date or on a street."""
        lot_x, lot_y = x / LOT_M, y / LOT_M
        if abs(lot_x % BLOCK_LOTS - 0.5) < 0.5 or abs(lot_y % BLOCK_LOTS - 0.5) < 0.5:
            return True
        house = self._house(math.floor(lot_y), math.floor(lot_x))
        return house is not None and math.hypot(x - house.x, y - house.y) < house.half_length + radius


def render_pair(
    height: int, width: int, seed: int, *, gsd_m: float = 0.5, change_share: float = 0.15
) -> tuple[ByteArray, ByteArray, Mask]:
    """A small rendered pair in memory: before (3, H, W), after (3, H, W), change (H, W)."""
    return Scene(seed, gsd_m=gsd_m, change_share=change_share).render(Window(0, 0, height, width))


def render_scene(
    out: Path,
    *,
    size: int = 2048,
    seed: int = 1,
    gsd_m: float = 0.5,
    change_share: float = 0.15,
    overwrite: bool = False,
    report: Callable[[float], None] | None = None,
) -> SceneFiles:
    """Renders a pair as GeoTIFFs with its true mask and footprints, strip by strip.

    Args:
        out: Folder; gets before.tif, after.tif, mask.tif and footprints.gpkg.
        size: Side in pixels.
        seed: Decides everything.
        gsd_m: Metres a pixel.
        change_share: Share of the lots whose house changes.
        overwrite: Replace files that are there.
        report: Called with the share done, in 0-1.

    Raises:
        OutputError: The files exist, or the disk is full.
        SettingsError: A number is out of range.
    """
    if size < 64:
        raise SettingsError(f"the size is {size}; a scene needs at least 64 pixels")
    names = ("before.tif", "after.tif", "mask.tif")
    paths = [out / name for name in names]
    if any(path.exists() for path in paths) and not overwrite:
        raise OutputError(f"{out} already holds a scene", hint="choose another folder, or give --overwrite")
    scene = Scene(seed, gsd_m=gsd_m, change_share=change_share)
    crs = CRS.from_epsg(32614)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        transform = rasterio.Affine(gsd_m, 0, ORIGIN[0], 0, -gsd_m, ORIGIN[1])
        profile = {
            "driver": "GTiff",
            "height": size,
            "width": size,
            "dtype": "uint8",
            "crs": crs,
            "transform": transform,
        }
        profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "bigtiff": "if_safer"}
        partials = [path.with_name(f".{path.name}.partial") for path in paths]
        files = [rasterio.open(p, "w", count=3 if i < 2 else 1, **profile) for i, p in enumerate(partials)]
        for row in range(0, size, STRIP_ROWS):
            for column in range(0, size, 2048):
                window = Window(row, column, min(STRIP_ROWS, size - row), min(2048, size - column))
                before, after, change = scene.render(window)
                where = RasterioWindow(column, row, window.width, window.height)
                for file, pixels in zip(files, (before, after, change[None].astype(np.uint8)), strict=True):
                    file.write(pixels, window=where)
                if report is not None:
                    report(min(1.0, (row + window.height * (column + window.width) / size) / size))
        for file, partial, path in zip(files, partials, paths, strict=True):
            file.close()
            partial.replace(path)
    with FeatureWriter(out, "footprints", ("gpkg",), crs=crs.to_wkt(), layer="truth", fields={"kind": str}) as writer:
        changed = _write_truth(scene, size * gsd_m, writer)
    return SceneFiles(paths[0], paths[1], paths[2], writer.files[0], changed)


def _write_truth(scene: Scene, side_m: float, writer: FeatureWriter) -> int:
    """Footprints of the changed houses inside the scene, lot row by lot row; their number."""
    frame, changed = shapely.box(0, 0, side_m, side_m), 0
    shapes: list[shapely.Geometry] = []
    kinds: list[str] = []
    for row in range(math.floor(side_m / LOT_M) + 1):
        for house in scene.houses(0, (row + 0.5) * LOT_M, side_m, (row + 0.5) * LOT_M):
            shape = house.polygon().intersection(frame)
            if house.stands[0] != house.stands[1] and shape.area > 0:
                shapes.append(shapely.transform(shape, lambda xy: xy * (1, -1) + ORIGIN))
                kinds.append("appeared" if house.stands[1] else "vanished")
        if len(shapes) >= 4096 or (row + 1) * LOT_M > side_m:
            changed += len(shapes)
            writer.write(shapes, {"kind": kinds})
            shapes, kinds = [], []
    return changed


def _local_part(house: _House, x: Values, y: Values, reach: float) -> tuple[slice, slice, Values, Values]:
    """The rows and columns near a house, and the coordinates along and across it there."""
    radius = math.hypot(house.half_length, house.half_width) + reach
    columns = slice(int(np.searchsorted(x, house.x - radius)), int(np.searchsorted(x, house.x + radius)))
    rows = slice(int(np.searchsorted(y, house.y - radius)), int(np.searchsorted(y, house.y + radius)))
    u, v = house.local(x[columns][None, :], y[rows][:, None])
    return rows, columns, u, v


def _paint_shadow(image: Values, house: _House, x: Values, y: Values, date: _Date) -> None:
    reach = house.height * date.shadow_length
    rows, columns, u, v = _local_part(house, x, y, reach)
    toward = date.sun_azimuth + math.pi / 2 - house.angle
    shade = np.zeros(np.broadcast_shapes(u.shape, v.shape), dtype=np.bool_)
    for share in (0.25, 0.5, 0.75, 1.0):
        du, dv = reach * share * math.cos(toward), reach * share * math.sin(toward)
        shade |= (np.abs(u - du) <= house.half_length) & (np.abs(v - dv) <= house.half_width)
    image[:, rows, columns] *= np.where(shade, 0.45, 1.0)


def _paint_roof(image: Values, house: _House, x: Values, y: Values, date: _Date) -> None:
    rows, columns, u, v = _local_part(house, x, y, 0.5)
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


def _paint_bare_plot(image: Values, house: _House, x: Values, y: Values) -> None:
    rows, columns, u, v = _local_part(house, x, y, 4.0)
    bare = (np.abs(u) <= house.half_length + 3) & (np.abs(v) <= house.half_width + 3)
    soil = np.array([176.0, 156.0, 128.0])[:, None, None] * (1 + 0.04 * np.sin(3.1 * u) * np.cos(2.3 * v))
    image[:, rows, columns] = np.where(bare, 0.7 * soil + 0.3 * image[:, rows, columns], image[:, rows, columns])


def _paint_disc(
    image: Values,
    x: Values,
    y: Values,
    centre_x: float,
    centre_y: float,
    radius: float,
    colour: Values | None,
    sun: tuple[float, float],
) -> None:
    columns = slice(int(np.searchsorted(x, centre_x - radius)), int(np.searchsorted(x, centre_x + radius)))
    rows = slice(int(np.searchsorted(y, centre_y - radius)), int(np.searchsorted(y, centre_y + radius)))
    dx, dy = (x[columns][None, :] - centre_x) / radius, (y[rows][:, None] - centre_y) / radius
    inside = dx**2 + dy**2 < 1 - 0.25 * np.sin(5 * np.arctan2(dy, dx) + centre_x) ** 2
    part = image[:, rows, columns]
    if colour is None:
        image[:, rows, columns] = np.where(inside, part * 0.5, part)
        return
    light = 1 - 0.35 * (dx * sun[0] + dy * sun[1])
    image[:, rows, columns] = np.where(inside, colour[:, None, None] * light, part)


def _texture(seed: tuple[int, ...], x: Values, y: Values, wavelength_m: float) -> Values:  # (h, w), about -1 to 1
    """Smooth noise: random values on a world lattice, bilinear between them."""
    columns, rows = x / wavelength_m, y / wavelength_m
    first_column, first_row = math.floor(columns[0]), math.floor(rows[0])
    count_x, count_y = math.floor(columns[-1]) - first_column + 2, math.floor(rows[-1]) - first_row + 2
    lattice = _hash_noise(
        seed,
        np.arange(first_row, first_row + count_y)[:, None],
        np.arange(first_column, first_column + count_x)[None, :],
    )
    c, r = np.floor(columns).astype(int) - first_column, np.floor(rows).astype(int) - first_row
    fc, fr = (columns - np.floor(columns))[None, :], (rows - np.floor(rows))[:, None]
    top = lattice[r][:, c] * (1 - fc) + lattice[r][:, c + 1] * fc
    low = lattice[r + 1][:, c] * (1 - fc) + lattice[r + 1][:, c + 1] * fc
    return np.asarray(top * (1 - fr) + low * fr)


def _world_noise(seed: tuple[int, ...], window: Window) -> FloatArray:  # (3, h, w)
    """Noise of each band with mean 0 and spread 1, a function of the pixel's place in the world."""
    rows, columns = np.arange(window.row, window.row_end)[:, None], np.arange(window.column, window.column_end)[None, :]
    bands = [_hash_noise((*seed, band), rows, columns) for band in range(3)]
    return (np.stack(bands) * math.sqrt(3)).astype(np.float32)


def _hash_noise(seed: tuple[int, ...], rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Values:
    """Uniform values in -1 to 1 from integer places: a multiply-xorshift hash (as in SplitMix64)."""
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
