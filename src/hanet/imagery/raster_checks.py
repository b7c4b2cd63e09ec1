"""What a raster must be before it is used: a file that is there, with a transform and a CRS that
place its pixels."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

from hanet.errors import GridError, RasterError
from hanet.imagery.addresses import bare_name
from hanet.imagery.gdal import SERVICES


def check_local(path: Path) -> None:
    """Refuses a path at which there is no file that could be read."""
    name = bare_name(str(path))
    try:
        str(path).encode()
    except UnicodeEncodeError as error:  # GDAL takes names in UTF-8
        raise RasterError(
            f"the name of {name.encode('ascii', 'backslashreplace').decode()} is not UTF-8",
            hint="rename the file",
        ) from error
    try:
        path.stat()
    except FileNotFoundError as error:
        raise RasterError(f"there is no file {name}", hint="check the path") from error
    except (OSError, ValueError) as error:  # too long a name, a folder that is a file, a NUL
        reason = getattr(error, "strerror", None) or error
        raise RasterError(f"{name} cannot be read: {reason}", hint="check the path") from error
    if path.is_dir():
        raise RasterError(f"{name} is a folder, not a raster", hint="give the file itself")
    if not os.access(path, os.R_OK):
        raise RasterError(
            f"{name} may not be read: permission denied", hint="change its permissions"
        )
    if path.stat().st_size == 0:
        raise RasterError(f"{name} is empty (0 bytes)", hint="copy or download it again")


_SERVICE = re.compile(
    rf"(?:{'|'.join(SERVICES)}|DODS|CSW|WFS|PG|postgres(?:ql)?|MYSQL|MSSQL|MONGODBV?3?|OCI|CARTO|ES|"
    r"PLSCENES|AMIGOCLOUD|OAPIF|ODBC|HANA|NGW|ELASTIC|(?:ESRIJSON|GEOJSON|TOPOJSON)(?=:http)):(?!\\)",
    re.IGNORECASE,
)
"""How GDAL is told to ask a service or a database; a letter alone would be a Windows drive."""

_BY_LIBNETCDF = re.compile(r"NETCDF:\s*\"?\s*(?!/vsi)[^\"]*://", re.IGNORECASE)
"""An address inside netCDF's own name, which its library fetches by itself, past GDAL's settings
and with words of its own on the terminal."""


def names_service(name: str) -> bool:
    """Whether GDAL would ask a service or a database for what has this name."""
    return _SERVICE.match(name) is not None


def service_name(name: str) -> str:
    """The name of a service fit to be shown within a sentence: of a database the kind alone, since
    whatever follows may be a part of what opens it."""
    return bare_name(name) if "://" in name else f"{name.partition(':')[0]}:..."


def check_no_service(name: str) -> None:
    """Refuses a name by which GDAL would ask a service or a database instead of reading a file."""
    if names_service(name):
        raise a_service(service_name(name))
    if _BY_LIBNETCDF.match(name):
        raise RasterError(
            f"{bare_name(name)} is netCDF behind an address",
            hint='download the file and name its variable: NETCDF:"FILE.nc":VARIABLE',
        )


def a_service(name: str) -> RasterError:
    """What to say of a name, fit to be shown, that leads to a service or a database."""
    return RasterError(
        f"{name} is a service or a database; hanet reads rasters of files",
        hint="export the area to a GeoTIFF, for example with `gdal_translate`, and give that",
    )


def check_degrees(name: str, bounds: tuple[float, float, float, float]) -> None:
    """Refuses bounds in degrees that lie on no globe."""
    left, bottom, right, top = bounds
    if left < -540 or right > 540 or bottom < -90.1 or top > 90.1:
        raise GridError(
            f"the CRS of {name} counts in degrees, but its upper left corner lies at "
            f"{left:.10g}, {top:.10g}",
            hint="its CRS is wrong; set the right one, for example with `gdal_edit.py -a_srs "
            "EPSG:CODE`",
        )


def check_transform(name: str, transform: tuple[float, ...]) -> None:
    """Refuses a geotransform that gives no pixel a place: not finite, no extent, beyond any map."""
    a, b, _, d, e, _ = transform
    finite = all(math.isfinite(value) and abs(value) < 1e15 for value in transform)
    if finite and a * e != b * d and all(math.hypot(*side) > 1e-15 for side in ((a, d), (b, e))):
        return
    shown = ", ".join(f"{value:.6g}" for value in transform)
    raise GridError(
        f"the geotransform of {name} is degenerate: ({shown})",
        hint="set the right one, for example with `gdal_edit.py -a_ullr LEFT TOP RIGHT BOTTOM`",
    )
