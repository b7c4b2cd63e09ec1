"""Sound rasters of odd content: types, nodata, CRS, places, tags, bands, and what lies beside."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from campaigns.commands import on_rasters
from campaigns.damage import hostile_text
from campaigns.kinds import Bench, Command, Kind, Kinds
from campaigns.seeds import SIDE, TRANSFORM, images

TYPES = (
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64",
    "uint64", "int64", "complex64", "complex128", "float16",
)  # fmt: skip


def odd_values(bench: Bench, verb: str) -> Command:
    """Other number types, with infinities, extremes and nodata values that do not fit."""
    random = bench.random
    kind = str(bench.pick(*TYPES))
    pixels = _pixels(verb).astype(kind)
    if kind.startswith(("float", "complex")):
        extremes = [np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-40, -9999.0]
    else:
        extremes = [np.iinfo(kind).min, np.iinfo(kind).max]
    for _ in range(random.choice((0, 1, 30))):
        place = tuple(random.randrange(size) for size in pixels.shape)
        with np.errstate(all="ignore"):
            pixels[place] = random.choice(extremes)
    if random.random() < 0.1:
        pixels[:] = random.choice(extremes)
    nodata = random.choice((None, 0, 255, -9999, 1e40, float("nan"), float("inf"), 0.5))
    path, said = _written(bench, pixels, {"nodata": nodata})
    return on_rasters(bench, verb, path, f"{kind}, nodata {nodata}{said}")


CODES = (
    "EPSG:4326", "EPSG:3857", "EPSG:2065", "EPSG:5513", "EPSG:4978", "EPSG:32761", "EPSG:3995",
    "EPSG:5773", "EPSG:4979", "EPSG:27700", "EPSG:2193", "EPSG:3067", "ESRI:102100", "ESRI:54030",
    "+proj=longlat +lon_wrap=180 +datum=WGS84", "+proj=geos +h=35785831", "+proj=gnom +lat_0=90",
    'LOCAL_CS["x",UNIT["metre",1]]', 'ENGCRS["x",EDATUM["d"],CS[Cartesian,2],AXIS["x",east],'
    'AXIS["y",north],LENGTHUNIT["metre",1]]', "+proj=utm +zone=14 +units=us-ft",
    "+proj=tmerc +lat_0=0 +lon_0=0 +k=0 +ellps=WGS84", "EPSG:9498", "OGC:CRS84", "IAU_2015:30100",
)  # fmt: skip


def odd_places(bench: Bench, verb: str) -> Command:
    """CRS of all sorts, with transforms that fit them or not: rotated, south up, huge, tiny."""
    random = bench.random
    crs = random.choice((None, *CODES, *CODES))
    a, b, c, d, e, f = TRANSFORM
    way = random.choice(("same", "rotated", "south up", "scaled", "moved", "degrees", "sheared"))
    if way == "rotated":
        b, d = 0.3, 0.3
    elif way == "south up":
        e = -e
    elif way == "scaled":
        factor = random.choice((1e-12, 1e-6, 1e-3, 1e3, 1e6, 1e12))
        a, e = a * factor, e * factor
    elif way == "moved":
        c, f = (random.choice((0.0, 1e7, -1e7, 1e20, -180.0, 180.0, 89.9999)) for _ in range(2))
    elif way == "degrees":
        a, e, c, f = 5e-6, -5e-6, random.choice((-97.7, 179.9999, -180.0, 359.0)), 30.2
    elif way == "sheared":
        a, b, d, e = 0.5, 0.5, -0.5, random.choice((-0.5, 0.5))
    path, said = _written(bench, _pixels(verb), {"crs": crs, "transform": (a, b, c, d, e, f)})
    return on_rasters(bench, verb, path, f"{crs}, {way}{said}")


TAGS = (
    "BEFORE_DATE", "AFTER_DATE", "THRESHOLD", "HANET_WEIGHTS", "TIFFTAG_DATETIME",
    "TIFFTAG_IMAGEDESCRIPTION", "TIFFTAG_SOFTWARE", "ACQUISITIONDATETIME", "AREA_OR_POINT",
)  # fmt: skip
NUMBERS = ("", "nan", "inf", "-inf", "-1", "0", "1", "1.5", "1e999", "9" * 400, "0,5", "half")
DATES = ("2020-01-01", "2020-13-45", "0000-00-00", "99999999999999999999", "2020:01:01 00:00:00")


def odd_tags(bench: Bench, verb: str) -> Command:
    """Tags that are read, with texts that are no numbers, no dates, or harmful; scales, offsets."""
    random = bench.random
    tags, said = {}, []
    for name in random.sample(TAGS, random.randint(1, 3)):
        sound = NUMBERS if name == "THRESHOLD" else DATES
        text = random.choice(sound) if random.random() < 0.5 else hostile_text(random)
        tags[name] = text.replace("\x00", "")
        said.append(f"{name}={text[:30]!r}")
    extra: dict[str, Any] = {"tags": tags}
    if random.random() < 0.4:
        extra["scale"] = random.choice((0.0, -1.0, 1e-300, 1e300, float("nan"), float("inf"), 0.01))
        extra["offset"] = random.choice((0.0, 1.0, -1e300, float("nan"), float("inf")))
        said.append(f"scale {extra['scale']}, offset {extra['offset']}")
    path, failed = _written(bench, _pixels(verb), extra)
    return on_rasters(bench, verb, path, ", ".join(said) + failed)


def odd_bands(bench: Bench, verb: str) -> Command:
    """Other counts of bands and sizes; alpha, palettes, colour orders; other drivers."""
    random = bench.random
    count = random.choice((1, 2, 3, 4, 5, 9))
    height, width = random.choice(((SIDE, SIDE), (1, 1), (1, SIDE), (SIDE, 1), (7, 300), (3, 3)))
    pixels = np.resize(_pixels(verb), (count, height, width))
    profile: dict[str, Any] = {"driver": random.choice(("GTiff", "GTiff", "PNG", "JPEG", "ENVI"))}
    if profile["driver"] == "GTiff":
        profile |= random.choice(
            (
                {"photometric": "rgb", "alpha": "yes"},
                {"interleave": "band", "compress": "lzw", "predictor": 2},
                {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True},
                {"photometric": "minisblack"},
                {"photometric": "ycbcr", "compress": "jpeg"},
                {"nbits": 1},
                {"compress": "zstd"},
            )
        )
    colours = random.choice(("", "", "alpha first", "palette", "all alpha", "undefined"))
    path, said = _written(bench, pixels, {**profile, "colours": colours})
    sort = f"{count} bands of {height}x{width}, {profile}, {colours}"
    return on_rasters(bench, verb, path, sort + said)


def beside(bench: Bench, verb: str) -> Command:
    """Garbage, loops and lies in the files beside a raster: .ovr, .msk, .aux.xml, .tfw, .prj."""
    random = bench.random
    path, said = _written(bench, _pixels(verb), {})
    suffix = random.choice(
        (".tif.ovr", ".tif.msk", ".tif.aux.xml", ".tfw", ".prj", ".IMD", ".tif.rpb")
    )
    contents = (
        b"", b"\0" * 100, b"II*\0" + b"\xff" * 60, path.read_bytes(), path.read_bytes()[:300],
        b"<PAMDataset>" * 2000, b"<PAMDataset><SRS>nowhere</SRS></PAMDataset>",
        b"<PAMDataset><GeoTransform>nan,0,0,0,0,inf</GeoTransform></PAMDataset>",
        b"<PAMDataset><Metadata><MDI key='BEFORE_DATE'>\x1b[31m</MDI></Metadata></PAMDataset>",
        b"0.5\n0\n0\n-0.5\nnan\n1e999\n", b"0\n0\n0\n0\n0\n0\n", "mêtre".encode("latin-1"),
    )  # fmt: skip
    content = random.choice(contents)
    path.with_suffix(suffix).write_bytes(content)
    return on_rasters(bench, verb, path, f"{suffix}: {content[:30]!r}{said}")


def virtual(bench: Bench, verb: str) -> Command:
    """VRTs that name themselves, each other, nothing, or too much."""
    random = bench.random
    bench.sound("probability.tif" if verb == "footprints" else "before.tif", "sound.tif")
    path = bench.folder / "odd.vrt"
    source = random.choice(("odd.vrt", "missing.tif", "sound.tif", "", "/dev/zero", "."))
    size = random.choice((SIDE, 0, -5, 2**31 - 1, SIDE * 10))
    kind = random.choice(("Byte", "Float64", "CFloat32", "Nothing"))
    band = (
        f'<VRTRasterBand dataType="{kind}" band="1"><SimpleSource><SourceFilename '
        f'relativeToVRT="1">{source}</SourceFilename><SourceBand>{random.choice((1, 7, 0))}'
        "</SourceBand></SimpleSource></VRTRasterBand>"
    )
    place = "<SRS>EPSG:32614</SRS><GeoTransform>620000,0.5,0,3350000,0,-0.5</GeoTransform>"
    text = f'<VRTDataset rasterXSize="{size}" rasterYSize="{SIDE}">{place}{band * 3}</VRTDataset>'
    if random.random() < 0.2:
        text = random.choice((text[: len(text) // 2], "<VRTDataset>" * 5000, "<VRTDataset/>"))
    path.write_text(text, encoding="utf-8")
    return on_rasters(bench, verb, path, f"VRT of {source!r}, {size} wide, {kind}")


def _pixels(verb: str) -> Any:
    before, _, change = images(SIDE, 1)
    return (change[None] * 230).astype(np.uint8) if verb == "footprints" else before


def _written(bench: Bench, pixels: Any, extra: dict[str, Any]) -> tuple[Path, str]:
    """The raster, and what rasterio did not let us write into it."""
    import rasterio
    from rasterio.enums import ColorInterp

    path = bench.folder / "odd.tif"
    tags, colours = extra.pop("tags", {}), extra.pop("colours", "")
    scale, offset = extra.pop("scale", None), extra.pop("offset", None)
    extra["transform"] = rasterio.Affine(*extra.pop("transform", TRANSFORM))
    profile = {"driver": "GTiff", "crs": "EPSG:32614", **extra}
    count, height, width = pixels.shape
    if count == 1 and scale is None and pixels.dtype.kind in "iu":
        scale = 0.004
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            shape = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
            with rasterio.open(path, "w", **{**profile, **shape}) as dataset:
                dataset.write(pixels)
                dataset.update_tags(**tags)
                if scale is not None:
                    dataset.scales = (scale,) * count
                    dataset.offsets = (offset or 0.0,) * count
                if colours == "palette":
                    dataset.write_colormap(1, {0: (0, 0, 0), 255: (255, 0, 0)})
                elif colours:
                    first = ColorInterp.undefined if colours == "undefined" else ColorInterp.alpha
                    rest = first if colours.startswith("all") else ColorInterp.gray
                    dataset.colorinterp = [first, *[rest] * (count - 1)]
        except (
            Exception
        ) as error:  # what GDAL does not write is no case; a plain file takes its place
            bench.sound("probability.tif" if count == 1 else "before.tif", path.name)
            return path, f" (not written: {type(error).__name__})"
    return path, ""


_RASTER_VERBS = ("detect", "check", "footprints", "pairs")

KINDS: Kinds = {
    "raster-values": Kind(odd_values, _RASTER_VERBS),
    "raster-places": Kind(odd_places, _RASTER_VERBS),
    "raster-tags": Kind(odd_tags, _RASTER_VERBS),
    "raster-bands": Kind(odd_bands, _RASTER_VERBS),
    "raster-beside": Kind(beside, _RASTER_VERBS),
    "raster-vrt": Kind(virtual, _RASTER_VERBS),
}
