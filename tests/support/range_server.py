"""HTTP on loopback that gives the range of bytes that was asked for, as stores of images do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

AnyServer = TypeVar("AnyServer", bound=ThreadingHTTPServer)


class RangeHandler(BaseHTTPRequestHandler):
    """Answers requests without a word on the terminal; ``do_GET`` is the test's, and serves HEAD
    too."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *words: object) -> None:
        pass

    def do_GET(self) -> None:
        raise NotImplementedError

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer(self, content: bytes) -> tuple[int, int]:
        """Sends what was asked of the content; where that begins, and where it ends (after it)."""
        asked = self.headers.get("Range")
        start, _, end = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
        first, last = int(start), min(int(end or len(content)), len(content) - 1)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[first : last + 1])
        return first, last + 1


@contextmanager
def running(server: AnyServer) -> Iterator[AnyServer]:
    """A server in a thread of its own, which ends with the block."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
