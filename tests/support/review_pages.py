"""Runs that a page can show, and the page's own way of asking for things."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hanet.imagery.fingerprint import raster_fingerprint
from hanet.imagery.radiometry import Scaling
from hanet.imagery.raster_source import RasterSource
from reviewed_runs import finished_run, village
from small_rasters import write

BANDS = (1, 2, 3)


def shown_run(folder: Path, **changes: Any) -> Path:
    """The folder ``folder/out`` of a finished run of :func:`reviewed_runs.village`, with both
    images beside it.

    Args:
        folder: Made.
        changes: As for :func:`reviewed_runs.finished_run`.
    """
    probability = village()
    out = finished_run(folder / "out", probability, **changes)
    rng = np.random.default_rng(1)
    manifest = json.loads((out / "run.json").read_text())
    for date in ("before", "after"):
        blocks = rng.integers(40, 216, (3, 16, 16), dtype=np.uint8)
        pixels = blocks.repeat(32, axis=1).repeat(32, axis=2)
        path = write(folder / f"{date}.tif", pixels)
        with RasterSource(path) as source:
            manifest["identity"][date] = raster_fingerprint(source)
            manifest["pair"][date] = source.manifest()
    manifest["inputs"] = {"before": "../before.tif", "after": "../after.tif"}
    manifest["pair"] |= {
        "bands": list(BANDS),
        "scaling": Scaling.eight_bit(len(BANDS)).to_json(),
        "shift_applied": None,
        "histogram_matched": False,
    }
    (out / "run.json").write_text(json.dumps(manifest))
    return out


class Client:
    """Asks a server as the page does.

    Args:
        port: Where it listens.
        token: Of its address.
    """

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes, str]:
        """Code, content and media type of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"X-Hanet-Token": self.token}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(
                method, path, json.dumps(body) if body is not None else None, headers
            )
            response = connection.getresponse()
            return response.status, response.read(), response.headers.get("Content-Type", "")
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        status, content, _ = self.ask("GET", path)
        assert status == 200, content
        return json.loads(content)

    def post(self, path: str, **body: Any) -> Any:
        """The JSON that a question is answered with."""
        status, content, _ = self.ask("POST", path, body)
        assert status in (200, 202), content
        return json.loads(content)

    def refused(self, path: str, body: Any, *, status: int = 400) -> Any:
        """The JSON with which a question is refused."""
        got, content, _ = self.ask("POST", path, body)
        assert got == status, content
        answer = json.loads(content)
        assert set(answer) == {"error", "hint"}
        return answer


class ReviewProcess(Client):
    """``hanet review`` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], port: int, token: str) -> None:
        super().__init__(port, token)
        self.process = process

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Sends a signal; gives exit code and what was said since it began to serve."""
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=30)
        return self.process.returncode, said


@contextmanager
def review_process(out: Path, *options: str, **of_process: Any) -> Iterator[ReviewProcess]:
    """``hanet review OUT`` from the moment that it serves; killed at the end if it still runs.

    Args:
        out: The result folder.
        options: More words of the command.
        of_process: More arguments of ``subprocess.Popen``.
    """
    words = [sys.executable, "-m", "hanet", "review", str(out), "--no-browser", *options]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **of_process
    )
    assert process.stdout is not None
    try:
        said, until = "", time.monotonic() + 60
        while (found := re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", said)) is None:
            line = process.stdout.readline()
            assert line, said
            assert time.monotonic() < until, said
            said += line
        process.stdout.readline()  # how to end it
        yield ReviewProcess(process, int(found[1]), found[2])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
