"""Renders a pair of VHR scenes with true changes: streets, houses with shadows, trees, lawns;
buildings appear and vanish.

The layout is a pure function of the seed and of lots on a world grid, so any window can be rendered
by itself and windows fit without seams. What is no change differs too: season, sun, haze, colour,
noise, a sub-pixel shift, cars.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.windows import Window as RasterioWindow

from hanet.destination import check_folder
from hanet.errors import OutputError, SettingsError
from hanet.files import check_name, is_there, make_folder, writing
from hanet.imagery.gdal import gdal_session
from hanet.imagery.grid import GDAL_ERRORS
from hanet.imagery.libraries import check_drivers
from hanet.imagery.vectors import FeatureWriter
from hanet.synthetic.painting import (
    ROOFS,
    Date,
    House,
    Values,
    local_part,
    paint_bare_plot,
    paint_car,
    paint_disc,
    paint_roof,
    paint_shadow,
    texture,
    world_noise,
)
from hanet.synthetic.scene_format import SceneFormat, onto_own_grid
from hanet.types import ByteArray, Mask, Progress, Window

LOT_M = 22.0
"""Side of a building lot in metres."""

BLOCK_LOTS = 5
"""Lots between two streets."""

MARGIN_M = 30.0
"""How far a house's shadow or a tree's crown can reach from its lot."""

CARS_SHARE = 0.35
"""Share of the street's pieces, as long as a lot, that have a car."""

STRIP_ROWS = 512
"""Rows rendered at once: memory grows with the width only."""

PACKED = 0.6
"""Bytes on the disk for each of the values, at least: 0.70 of the demo pair (2026-11-28)."""

ORIGIN = (620_000.0, 3_350_000.0)
"""Map coordinates of the upper left corner: near Austin, Texas, in UTM zone 14N."""


@dataclass(frozen=True, slots=True)
class SceneFiles:
    """What was written."""

    before: Path
    after: Path
    mask: Path
    footprints: Path
    buildings_changed: int


class Scene:
    """A world of one seed; renders any window.

    Args:
        seed: Decides everything.
        gsd_m: Metres a pixel.
        change_share: Share of the houses that stand at one date only; 85 % of them appear, the
            others vanish.
    """

    def __init__(self, seed: int, *, gsd_m: float = 0.5, change_share: float = 0.15) -> None:
        if not 0 <= change_share <= 1:
            raise SettingsError(
                f"the change share is {change_share}; it must lie in 0-1", hint="for example 0.15"
            )
        if not 0 < gsd_m < math.inf:
            raise SettingsError(
                f"gsd is {gsd_m}; it must be above 0 metres", hint="for example 0.5"
            )
        if seed < 0:
            raise SettingsError(f"the seed is {seed}; it must be 0 or more")
        self.seed, self.gsd_m, self.change_share = seed, gsd_m, change_share
        random = np.random.default_rng((seed, 7))
        self._dates = tuple(self._draw_date(random, index) for index in range(2))

    @staticmethod
    def _draw_date(random: np.random.Generator, index: int) -> Date:
        return Date(
            sun_azimuth=math.radians(random.uniform(100, 250)),
            shadow_length=random.uniform(0.6, 1.3),
            green=float(random.uniform(0.1, 0.6) if index == 0 else random.uniform(0.3, 0.9)),
            gain=random.uniform(0.82, 1.12, 3) * random.uniform(0.85, 1.1),
            haze=float(random.uniform(0, 18)),
            shift_m=(0.0, 0.0)
            if index == 0
            else (random.uniform(-0.3, 0.3), random.uniform(-0.3, 0.3)),
            noise=float(random.uniform(1.5, 4.0)),
        )

    def houses(self, left: float, top: float, right: float, bottom: float) -> list[House]:
        """Houses whose lots meet a rectangle in metres."""
        found = []
        for row in range(math.floor(top / LOT_M), math.floor(bottom / LOT_M) + 1):
            for column in range(math.floor(left / LOT_M), math.floor(right / LOT_M) + 1):
                house = self._house(row, column)
                if house is not None:
                    found.append(house)
        return found

    def _house(self, row: int, column: int) -> House | None:
        if row % BLOCK_LOTS == 0 or column % BLOCK_LOTS == 0 or row < 0 or column < 0:
            return None  # streets, and nothing beyond the scene's upper left edge
        random = np.random.default_rng((self.seed, 1, row, column))
        if random.random() > self._density(row, column):
            return None
        chance = random.random()
        stands = (
            (False, True)
            if chance < 0.85 * self.change_share
            else (True, chance >= self.change_share)
        )
        length, width = random.uniform(5.5, 9.0), random.uniform(4.0, 6.2)
        return House(
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
        before, after = (
            np.clip(np.rint(self.image(window, index)[:3]), 0, 255).astype(np.uint8)
            for index in range(2)
        )
        return before, after, self.change(window)

    def change(self, window: Window) -> Mask:
        """The true change (h, w)."""
        return self.built(window) | self._standing(window, (True, False))

    def built(self, window: Window) -> Mask:
        """The new buildings (h, w); the rest of :meth:`change` was demolished."""
        return self._standing(window, (False, True))

    def _standing(self, window: Window, dates: tuple[bool, bool]) -> Mask:
        """The houses that stand at just these dates."""
        x, y = self._metres(window, (0.0, 0.0))
        found = np.zeros(window.shape, dtype=np.bool_)
        for house in self._near(x, y):
            if house.stands == dates:
                rows, columns, u, v = local_part(house, x, y, 0.0)
                found[rows, columns] |= (np.abs(u) <= house.half_length) & (
                    np.abs(v) <= house.half_width
                )
        return found

    def _metres(self, window: Window, shift: tuple[float, float]) -> tuple[Values, Values]:
        """Metres of the pixel centres: x (w,), y (h,)."""
        x: Values = np.asarray(
            (np.arange(window.column, window.column_end) + 0.5) * self.gsd_m + shift[0],
            dtype=np.float64,
        )
        y: Values = np.asarray(
            (np.arange(window.row, window.row_end) + 0.5) * self.gsd_m + shift[1], dtype=np.float64
        )
        return x, y

    def _near(self, x: Values, y: Values) -> list[House]:
        return self.houses(x[0] - MARGIN_M, y[0] - MARGIN_M, x[-1] + MARGIN_M, y[-1] + MARGIN_M)

    def image(self, window: Window, index: int) -> Values:
        """Red, green, blue and near infrared (4, h, w) of a date, about 0-255, not yet rounded or
        cut."""
        date = self._dates[index]
        x, y = self._metres(window, date.shift_m)
        image = self._ground(x, y, date, index)
        houses = self._near(x, y)
        for house in houses:
            if house.stands[index]:
                paint_shadow(image, house, x, y, date)
        for house in houses:
            if house.stands[index]:
                paint_roof(image, house, x, y, date)
            elif not house.stands[0] and index == 0:
                paint_bare_plot(image, house, x, y)
        self._paint_cars(image, x, y, index)
        self._paint_trees(image, x, y, date)
        # leaves are as bright in near infrared as they are greener than red
        infrared = 0.9 * image.mean(axis=0) + 5.0 * np.maximum(0.0, image[1] - image[0])
        image = (
            np.concatenate([image * date.gain[:, None, None], infrared[None] * date.gain.mean()])
            + date.haze
        )
        # noise is drawn for whole world tiles, so that windows agree where they overlap
        image += world_noise((self.seed, 11, index), window) * date.noise
        return image

    def _ground(self, x: Values, y: Values, date: Date, index: int) -> Values:
        structure = texture((self.seed, 3), x, y, 9.0) + 0.5 * texture((self.seed, 4), x, y, 2.0)
        dry, lush = np.array([158.0, 142.0, 112.0]), np.array([82.0, 104.0, 62.0])
        moisture = np.clip(date.green + 0.35 * texture((self.seed, 5 + index), x, y, 40.0), 0, 1)
        image = dry[:, None, None] * (1 - moisture) + lush[:, None, None] * moisture
        image = image * (1 + 0.16 * structure)
        lot_x, lot_y = x / LOT_M % BLOCK_LOTS, y / LOT_M % BLOCK_LOTS
        road = (np.abs(lot_x - 0.5) < 0.2)[None, :] | (np.abs(lot_y - 0.5) < 0.2)[:, None]
        kerb = (
            (np.abs(lot_x - 0.5) < 0.27)[None, :] | (np.abs(lot_y - 0.5) < 0.27)[:, None]
        ) & ~road
        grain = 1 + 0.05 * structure
        image = np.where(road, np.array([128.0, 126.0, 124.0])[:, None, None] * grain, image)
        return np.asarray(
            np.where(kerb, np.array([176.0, 172.0, 162.0])[:, None, None] * grain, image)
        )

    def _paint_cars(self, image: Values, x: Values, y: Values, index: int) -> None:
        """Cars on the streets, others at each date: no change."""
        for row in range(math.floor(y[0] / LOT_M), math.floor(y[-1] / LOT_M) + 1):
            for column in range(math.floor(x[0] / LOT_M), math.floor(x[-1] / LOT_M) + 1):
                if (row % BLOCK_LOTS == 0) == (column % BLOCK_LOTS == 0):
                    continue  # a lot, or a crossing
                random = np.random.default_rng((self.seed, 13, index, row + 10, column + 10))
                if random.random() > CARS_SHARE:
                    continue
                along, lane = random.uniform(0.2, 0.8), 0.5 + random.choice([-0.09, 0.09])
                is_down = column % BLOCK_LOTS == 0
                car_x = (column + (lane if is_down else along)) * LOT_M
                car_y = (row + (along if is_down else lane)) * LOT_M
                colour = random.choice([35.0, 90.0, 205.0, 235.0]) + random.normal(0, 12, 3)
                paint_car(image, x, y, car_x, car_y, colour, is_down=is_down)

    def _paint_trees(self, image: Values, x: Values, y: Values, date: Date) -> None:
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
            away = (
                -math.sin(date.sun_azimuth),
                math.cos(date.sun_azimuth),
            )  # from the sun: x right, y down
            for dx, dy, colour in (
                (
                    away[0] * radius * date.shadow_length,
                    away[1] * radius * date.shadow_length,
                    None,
                ),
                (0.0, 0.0, np.array([62.0, 82.0, 50.0]) * shade * (0.8 + 0.3 * date.green)),
            ):
                paint_disc(image, x, y, centre_x + dx, centre_y + dy, radius, colour, away)

    def _is_blocked(self, x: float, y: float, radius: float) -> bool:
        """Whether a tree would stand on a house of either date or on a street."""
        lot_x, lot_y = x / LOT_M, y / LOT_M
        if abs(lot_x % BLOCK_LOTS - 0.5) < 0.5 or abs(lot_y % BLOCK_LOTS - 0.5) < 0.5:
            return True
        house = self._house(math.floor(lot_y), math.floor(lot_x))
        return (
            house is not None and math.hypot(x - house.x, y - house.y) < house.half_length + radius
        )


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
    progress: Progress | None = None,
    **look: Any,
) -> SceneFiles:
    """Renders a pair as GeoTIFFs with its true mask and footprints, strip by strip.

    Args:
        out: Folder; gets before.tif, after.tif, mask.tif and footprints.gpkg. Mask and footprints
            lie on the before image's grid.
        size: Side of the before image in pixels.
        seed: Decides everything.
        gsd_m: Metres a pixel.
        change_share: Share of the houses that appear or vanish.
        overwrite: Replace files that are there.
        progress: Called with the stage and the share done.
        look: Fields of :class:`hanet.synthetic.scene_format.SceneFormat`.

    Raises:
        OutputError: The files exist, or the disk is full.
        SettingsError: A number is out of range, or ``out`` has a name that no folder can have.
    """
    check_name(out, "the folder for the scene")
    choice = SceneFormat(**look)
    if size < 64:
        raise SettingsError(f"the size is {size}; a scene needs at least 64 pixels")
    scene = Scene(seed, gsd_m=gsd_m, change_share=change_share)
    shift = tuple(round(metres / gsd_m) for metres in choice.after_offset_m)
    if max(shift) > size - 64:
        raise SettingsError(
            f"with an offset of {choice.after_offset_m} m the dates would hardly overlap"
        )
    names = ("before.tif", "after.tif", "mask.tif")
    paths = [out / name for name in names]
    if any(is_there(path) for path in paths) and not overwrite:
        raise OutputError(
            f"{out} already holds a scene", hint="choose another folder, or give --overwrite"
        )
    values = 2 * choice.bands * choice.bits // 8 + 1
    check_folder(out, "the folder for the scene", needed_bytes=round(PACKED * values * size**2))
    check_drivers(rasters=("GTiff",), vectors=("GPKG",))
    crs = CRS.from_epsg(32614)
    profile = {"driver": "GTiff", "height": size, "width": size, "crs": crs, "bigtiff": "if_safer"}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    partials = [path.with_name(f".{path.name}.partial") for path in paths]
    native = partials[1] if not choice.has_own_grid else out / ".after.native.partial"
    make_folder(out)
    try:
        with writing(out, engine_errors=GDAL_ERRORS):
            _write_images(
                scene, (partials[0], native, partials[2]), choice, profile, shift, progress
            )
            if choice.has_own_grid:
                onto_own_grid(native, partials[1], choice, {**profile, **choice.profile()})
            for partial, path in zip(partials, paths, strict=True):
                partial.replace(path)
    finally:
        for partial in (*partials, native):
            partial.unlink(missing_ok=True)
    left, top = (pixels * gsd_m for pixels in shift)
    frame = shapely.box(left, top, size * gsd_m, size * gsd_m)
    with FeatureWriter(
        out, "footprints", ("gpkg",), crs=crs.to_wkt(), layer="truth", fields={"kind": str}
    ) as writer:
        changed = _write_truth(scene, frame, writer)
    return SceneFiles(paths[0], paths[1], paths[2], writer.files[0], changed)


def _write_images(
    scene: Scene,
    paths: tuple[Path, Path, Path],
    choice: SceneFormat,
    profile: dict[str, Any],
    shift: tuple[int, ...],
    progress: Progress | None,
) -> None:
    """before, after and mask on the scene's own grid; the after image begins ``shift`` (columns,
    rows) further on."""
    size, gsd_m = profile["height"], scene.gsd_m
    at = rasterio.Affine(gsd_m, 0, ORIGIN[0], 0, -gsd_m, ORIGIN[1])
    moved = at @ rasterio.Affine.translation(*shift)
    images = {**profile, **choice.profile()}
    with (
        gdal_session(),
        rasterio.open(paths[0], "w", transform=at, **images) as before,
        rasterio.open(paths[1], "w", transform=moved, **images) as after,
        rasterio.open(paths[2], "w", transform=at, count=1, dtype="uint8", **profile) as mask,
    ):
        for row in range(0, size, STRIP_ROWS):
            for column in range(0, size, 2048):
                window = Window(row, column, min(STRIP_ROWS, size - row), min(2048, size - column))
                where = RasterioWindow(column, row, window.width, window.height)
                for date, file in enumerate((before, after)):
                    seen = replace(
                        window, row=row + date * shift[1], column=column + date * shift[0]
                    )
                    empty = choice.empty(window, size=size, date=date)
                    file.write(choice.encode(scene.image(seen, date), empty=empty), window=where)
                change = scene.change(window)
                change[: max(0, shift[1] - row)] = change[:, : max(0, shift[0] - column)] = False
                mask.write(change[None].astype(np.uint8), window=where)
                if progress is not None:
                    done = (row + window.height * (column + window.width) / size) / size
                    progress("rendering", min(1.0, done))


def _write_truth(scene: Scene, frame: shapely.Polygon, writer: FeatureWriter) -> int:
    """Footprints of the changed houses inside a frame in metres, lot row by lot row; their
    number."""
    changed = 0
    left, top, right, bottom = frame.bounds
    shapes: list[shapely.Geometry] = []
    kinds: list[str] = []
    for row in range(math.floor(top / LOT_M), math.floor(bottom / LOT_M) + 1):
        for house in scene.houses(left, (row + 0.5) * LOT_M, right, (row + 0.5) * LOT_M):
            shape = house.polygon().intersection(frame)
            if house.stands[0] != house.stands[1] and shape.area > 0:
                shapes.append(shapely.transform(shape, lambda xy: xy * (1, -1) + ORIGIN))
                kinds.append("appeared" if house.stands[1] else "vanished")
        if len(shapes) >= 4096 or (row + 1) * LOT_M > bottom:
            changed += len(shapes)
            writer.write(shapes, {"kind": kinds})
            shapes, kinds = [], []
    return changed
