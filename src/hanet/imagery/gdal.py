"""GDAL's settings and GDAL's words: both libraries that carry it (rasterio, pyogrio) come through
this door, and nothing that GDAL says reaches the terminal by itself."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import rasterio

from hanet.errors import RasterError
from hanet.imagery.addresses import without_credentials
from hanet.imagery.grid import GDAL_ERRORS
from hanet.imagery.silence import silence

BLOCK_CACHE_BYTES = 64 * 2**20
"""Bound of GDAL's cache of decoded blocks. rasterio counts in bytes; GDAL's own, 5 % of the
machine's memory, would not be flat."""

PATIENCE: dict[str, str] = {
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1024",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",
}
"""How long a server may take: seconds until it accepts, and seconds in which it gives less than a
kilobyte each. Each counts only where the user has not set it, as an environment variable or in
GDAL's configuration."""

BY_GET = {"CPL_VSIL_CURL_USE_HEAD": "NO"}
"""Files are asked for by GET alone: a signed address, and one to which a server redirects, may be
signed for nothing else. GDAL hangs up after the head of the first answer, and only what was on its
way by then is transferred for nothing. It counts unless the user has set it."""

SERVICES = {
    "DAAS",
    "EEDA",
    "EEDAI",
    "OGCAPI",
    "PLMOSAIC",
    "PostGISRaster",
    "WCS",
    "WMS",
    "WMTS",
}
"""Drivers of GDAL that ask a service for pixels instead of reading a file. They keep caches in
folders of their own choice (``~/.gdal``, ``gdalwmscache``), and what a service draws is for looking
at: its pixels change with scale and day."""

LOG = "rasterio._env"
"""The logger to which rasterio hands GDAL's messages inside its environment."""


def patience() -> dict[str, str]:
    """Those of :data:`PATIENCE` and :data:`BY_GET` that the user has not set. Where
    ``GDAL_HTTP_TIMEOUT`` is set, no speed is asked for."""
    chosen = {**os.environ, **(rasterio.env.getenv() if rasterio.env.hasenv() else {})}
    timed = {"GDAL_HTTP_LOW_SPEED_TIME", "GDAL_HTTP_LOW_SPEED_LIMIT"}
    return {
        key: value
        for key, value in {**PATIENCE, **BY_GET}.items()
        if key not in chosen and not ("GDAL_HTTP_TIMEOUT" in chosen and key in timed)
    }


@contextmanager
def gdal_session() -> Iterator[None]:
    """GDAL set up for windowed reading of local and remote files, with bounded caches; the settings
    end with the block."""
    silence()
    with rasterio.Env(
        GDAL_CACHEMAX=BLOCK_CACHE_BYTES,
        VSI_CACHE=True,
        GDAL_HTTP_MULTIRANGE="YES",
        GDAL_HTTP_MERGE_CONSECUTIVE_RANGES="YES",
        **patience(),
    ):
        yield


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns what GDAL says while a raster is read into a RasterError with the raster's name."""
    try:
        yield
    except (*GDAL_ERRORS, OSError) as error:
        raise RasterError(
            f"{name} cannot be read: {reason_of(error.__cause__ or error, name)}",
            hint="the file may be truncated or damaged, or its disk or connection gone; `gdalinfo "
            "-checksum` checks it",
        ) from error


@contextmanager
def remarks() -> Iterator[list[str]]:
    """Collects what GDAL says in this thread, in lines fit to be printed, each once."""
    said: list[str] = []
    collector = _Collector(said)
    log = logging.getLogger(LOG)
    log.addHandler(collector)
    try:
        yield said
    finally:
        log.removeHandler(collector)


class _Collector(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said, self._thread = said, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        line = one_line(record.getMessage()) if record.thread == self._thread else ""
        if line and line not in self._said:
            self._said.append(line)


def reason_of(error: BaseException, name: str) -> str:
    """The first line of an error's message without the name of the file that it begins with, as
    GDAL's often do: a message of ours has said it already.

    Example:
        >>> reason_of(ValueError("a.gpkg: No such file"), "maps/a.gpkg")
        'No such file'
    """
    line = first_line(error)
    for said in (name, f"/vsicurl/{name}", name.rsplit("/", 1)[-1]):
        found = re.match(rf"(['\"`]?){re.escape(said)}['\"`]?(?:\s*[:,]\s*|\s+)(?=\S)", line)
        if found is not None and (found[1] or found[0][-1] != said[-1]):
            line = line[found.end() :]
            break
    return line.partition(".; ")[0].rstrip(".")  # what follows is advice on libraries


def first_line(error: BaseException) -> str:
    """The first line of an error's message, fit to be printed; its type where it has none."""
    if isinstance(error, UnicodeDecodeError):  # by rasterio, of a CRS's name
        return "a text in it is not UTF-8"
    lines = str(error).splitlines()
    return one_line(lines[0]) if lines and lines[0].strip() else type(error).__name__


_SOURCE = re.compile(r"(?:^|(?<=\s))(?:/|[A-Za-z]:[\\/])\S+\.(?:cpp|cc|c|hpp|h),? (?:line )?\d+: ")
"""Where in its own source a library met the error."""

_NO_ADDRESS = "Missing url parameter"

_QUERY = re.compile(r"^sqlite3_\w+\(.*\) failed: ")
"""What a library asked a database, before what it said."""

_ADVICE = re.compile(r"\. [^.]*?\bconfig(?:uration)? option\b.*$")
"""Advice on settings of GDAL."""


def one_line(message: str, *, longest: int = 300) -> str:
    """A library's message on one line, without credentials, control characters, places in its
    source and advice on its settings; what it says several times stands once; cut short.

    Example:
        >>> one_line("/src/gdal/ogr/dxf.cpp, 3684: error at line 18; error at line 18")
        'error at line 18'
    """
    text = " ".join(
        "".join(c if c.isprintable() else " " for c in without_credentials(message)).split()
    )
    text = _ADVICE.sub("", _QUERY.sub("", _SOURCE.sub("", text)))
    parts = dict.fromkeys(text.split("; "))
    if any(part != _NO_ADDRESS for part in parts):  # said of /vsicurl/ for each of its options
        parts.pop(_NO_ADDRESS, None)
    text = "; ".join(parts)
    return text if len(text) <= longest else f"{text[:longest]} ..."
