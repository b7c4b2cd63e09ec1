"""Servers that misbehave: each ends in the right pixels or in an error in words, in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from hanet.errors import RasterError, VectorError
from hanet.imagery.gdal import BY_GET, PATIENCE, patience
from hanet.imagery.pair import open_pair
from hanet.imagery.vectors import read_polygons
from hanet.types import Window
from range_server import RangeHandler
from small_rasters import write

SIDE = 512

SIGNED = "/store/7?sig=secret"
"""Where a server redirects to, on a host of another name."""

LONGEST_S = 40
"""No case may take longer; each ends within a few seconds on an idle machine."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    content = b""
    fault = "none"
    requests = count()
    keys: set[str | None]

    def handle_error(self, *connection: object) -> None:
        """A client that hangs up is what the tests are about."""


class Handler(RangeHandler, BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content, fault = self.server.content, self.server.fault
        number = next(self.server.requests)
        if fault == "silent":
            time.sleep(LONGEST_S)
            return
        if fault == "redirect" and not self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", f"/moved{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault == "signed elsewhere" and self.command + self.path != f"GET{SIGNED}":
            if self.path == SIGNED:  # signed for GET alone
                self.send_error(403)
                return
            self.send_response(302)
            self.send_header(
                "Location", f"http://localhost:{self.server.server_address[1]}{SIGNED}"
            )
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.server.keys |= {self.headers.get("Authorization")} if self.path == SIGNED else set()
        if fault == "403 after half" and number >= 2:
            self.send_error(403)
            return
        first, last = 0, len(content) - 1
        asked = self.headers.get("Range")
        if asked and fault != "no ranges":
            start, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        else:
            self.send_response(200)
        body = content[first : last + 1]
        length = len(body) + {"too long": 5000, "too short": -len(body) // 2}.get(fault, 0)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "cut" and number >= 2:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        if fault == "drips":
            for place in range(len(body)):
                self.wfile.write(body[place : place + 1])
                time.sleep(0.05)
            return
        if fault == "slow":
            for place in range(0, len(body), 1 << 15):
                self.wfile.write(body[place : place + (1 << 15)])
                time.sleep(0.02)
            return
        self.wfile.write(body[: max(0, length)])
        self.close_connection = fault.startswith("too")


@contextmanager
def serving(content: bytes, fault: str) -> Iterator[str]:
    """Address of a server of one file."""
    server = Server(("127.0.0.1", 0), Handler)
    server.content, server.fault, server.requests = content, fault, count()
    server.keys = set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://me:pw@127.0.0.1:{server.server_address[1]}"
        assert server.keys <= {None}  # the user's password stays with the host that it is of
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, str]]:
    """The limits as a user sets them, low."""
    monkeypatch.setenv("GDAL_HTTP_LOW_SPEED_TIME", "2")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    return patience


@pytest.mark.parametrize(
    "fault",
    [
        "none",
        "no ranges",
        "slow",
        "silent",
        "cut",
        "too long",
        "too short",
        "redirect",
        "signed elsewhere",
        "drips",
        "403 after half",
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_server_ends_in_pixels_or_in_words(
    fault: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, SIDE, SIDE), dtype=np.uint8)
    local = write(tmp_path / "a.tif", pixels, tiled=True, blockxsize=128, blockysize=128)
    begun = time.monotonic()
    with serving(local.read_bytes(), fault) as address:
        try:
            with open_pair(f"{address}/{fault.replace(' ', '-')}.tif", local) as pair:
                block = pair.read(Window(0, 0, SIDE, SIDE))
        except RasterError as error:
            said = str(error)
        else:
            said = ""
            assert np.array_equal(block.before, pixels)
    assert time.monotonic() - begun < LONGEST_S
    assert "\n" not in said
    if fault in {"none", "slow", "redirect", "signed elsewhere"}:
        assert not said
    if fault in {"silent", "no ranges", "403 after half", "drips"}:
        assert said
    assert "secret" not in said
    assert "pw" not in said
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("impatient")
def test_a_silent_server_of_polygons_ends_in_words() -> None:
    """The verb waited for ever."""
    begun = time.monotonic()
    with (
        serving(b"", "silent") as address,
        pytest.raises(VectorError, match=r"cannot be read"),
    ):
        read_polygons(f"{address}/a.geojson", crs=None)
    assert time.monotonic() - begun < LONGEST_S


def test_limits_that_the_user_sets_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (*PATIENCE, *BY_GET, "GDAL_HTTP_TIMEOUT"):
        monkeypatch.delenv(key, raising=False)
    assert patience() == {**PATIENCE, **BY_GET}
    monkeypatch.setenv("GDAL_HTTP_CONNECTTIMEOUT", "3")
    assert "GDAL_HTTP_CONNECTTIMEOUT" not in patience()
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "600")
    assert not any("LOW_SPEED" in key for key in patience())
