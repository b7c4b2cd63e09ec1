"""A small web server for one person on this machine: what it lets in, and how it answers.

It listens at 127.0.0.1 only. Other programs and other web pages on the machine reach that too, so
each question must name this server as its host (a page of a foreign name that leads here does not),
come from no other page, and carry the token that was printed in the terminal.
"""

from __future__ import annotations

import gzip
import json
import os
import secrets
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from hanet.documents import DocumentError, parse_json
from hanet.errors import HanetError, OutputError, RasterError
from hanet.imagery.addresses import without_credentials
from hanet.types import Json

HOST = "127.0.0.1"
"""The only address that is listened at."""

MAX_BODY = 8 * 2**20
"""Bytes of a question: the ids of 100,000 footprints, or an outline of as many corners."""

MOST_PASSED_OVER = 4 * MAX_BODY
"""Longest question, in bytes, that is heard to its end to be refused in words."""

MAX_VALUES = 500_000
"""Values in the JSON of a question."""

MOST_FIELDS = 50
"""Fields in the address of a question."""

WORTH_PACKING = 1400
"""Bytes from which on text is compressed; a shorter one fits into one packet anyway."""

PATIENCE_S = 60.0
"""How long an open connection may stay silent."""

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: files of this server, nothing else."""

SAFETY = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Sent with every answer."""

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}
"""Of the files of a page; files of other kinds are not sent."""

JSON_TYPE = "application/json"


class RefusedError(HanetError):
    """A question that is not answered.

    Args:
        status: The code of the answer, 400 to 599.
        message: Why, in words.
        hint: What to do about it.
    """

    def __init__(self, status: HTTPStatus, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked.

    Args:
        method: GET or POST.
        path: Parts of the path, for example ``("api", "items")``.
        query: Values by name, without the token; of a name that comes twice the last.
        body: The JSON object of a POST; empty for a GET.
    """

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    body: Json

    def number(self, name: str, *, default: float | None = None) -> float:
        """A number of the query.

        Raises:
            RefusedError: It is missing, or is no finite number.
        """
        text = self.query.get(name)
        if text is None and default is not None:
            return default
        try:
            value = float(text or "")
        except ValueError:
            value = float("nan")
        if not abs(value) < 1e15:
            refuse(HTTPStatus.BAD_REQUEST, f"{name} must be a number")
        return value

    def whole(self, name: str, *, default: int | None = None) -> int:
        """A whole number of the query.

        Raises:
            RefusedError: It is missing, or is none.
        """
        value = self.number(name, default=default)
        if value != int(value):
            refuse(HTTPStatus.BAD_REQUEST, f"{name} must be a whole number")
        return int(value)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back.

    Args:
        content: Its bytes.
        media_type: What they are.
        status: The code.
        caching: Value of Cache-Control.
        headers: Others.
    """

    content: bytes = b""
    media_type: str = JSON_TYPE
    status: HTTPStatus = HTTPStatus.OK
    caching: str = "no-store"
    headers: Mapping[str, str] = field(default_factory=dict)


Answers: TypeAlias = Callable[[Question], Answer]
"""Answers a question; its HanetErrors are told to who asked."""


def json_answer(values: Any, *, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """Values as JSON."""
    text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    return Answer(text.encode(), status=status)


def refuse(status: HTTPStatus, message: str, *, hint: str | None = None) -> NoReturn:
    """Raises a :class:`RefusedError`."""
    raise RefusedError(status, message, hint=hint)


class LocalServer(ThreadingHTTPServer):
    """Listens at a port of 127.0.0.1 from the moment that it is made.

    Args:
        port: Which; 0 takes a free one.
        pages: Folder of the page: ``index.html`` and what it loads.
        answers: Answers what is no file of the page.
        token: What every question must carry; made anew if None.

    Attributes:
        token: It.

    Raises:
        OutputError: The port is taken.
    """

    daemon_threads = True  # an idle connection must not keep the program from ending
    allow_reuse_address = os.name != "nt"  # on Windows two programs would share the port

    def __init__(
        self, port: int, *, pages: Path, answers: Answers, token: str | None = None
    ) -> None:
        self.token = token or secrets.token_urlsafe(24)
        self.answers = answers
        self.pages = {
            path.relative_to(pages).as_posix(): path
            for path in sorted(pages.rglob("*"))
            if path.is_file() and path.suffix in MEDIA_TYPES
        }
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "there is no such port"
            raise OutputError(
                f"port {port} of this machine cannot be used: {reason}",
                hint="choose another one with --port, or leave --port out to take any free one",
            ) from error

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        """What to open in a browser; it holds the token."""
        return f"http://{HOST}:{self.port}/?token={self.token}"

    @property
    def names(self) -> tuple[str, ...]:
        """What a browser on this machine may call this server; it leaves out the port of HTTP."""
        names = HOST, "localhost"
        return (*(f"{name}:{self.port}" for name in names), *(names if self.port == 80 else ()))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of connections that the other side has closed."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: LocalServer
    protocol_version = default_request_version = "HTTP/1.1"
    server_version, sys_version = "hanet", ""
    timeout = PATIENCE_S
    disable_nagle_algorithm = True  # else each answer waits for the acknowledgement of the last
    wbufsize = 1 << 16

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Every method of HTTP, which the library looks up as ``do_GET`` and so on, is answered by
        one function."""
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self._answer

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the terminal is for what the person must know."""

    def send_error(self, code: int, message: str | None = None, *_: Any) -> None:
        """What the library itself refuses (a line that is too long, a strange method)."""
        self.close_connection = True
        status = HTTPStatus(code)
        words = message or status.phrase
        self._send(json_answer({"error": words, "hint": ""}, status=status))

    def _answer(self) -> None:
        try:
            answer = self._answered()
        except RefusedError as error:
            answer = _told(error, error.status)
        except (OutputError, RasterError) as error:  # the disk or a file, not the question
            answer = _told(error, HTTPStatus.SERVICE_UNAVAILABLE)
        except HanetError as error:
            answer = _told(error, HTTPStatus.BAD_REQUEST)
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # a bug: who asked is told, and it can be reported
            traceback.print_exc()
            words = f"hanet has failed: {type(error).__name__}"
            fault = HanetError(words, hint="please report what the terminal shows")
            answer = _told(fault, HTTPStatus.INTERNAL_SERVER_ERROR)
        self._send(answer)

    def _answered(self) -> Answer:
        # closed unless the question turns out to be whole: what was not read of it would be taken
        # for the next one
        keep, self.close_connection = not self.close_connection, True
        self._check_origin()
        if self.command not in ("GET", "HEAD", "POST"):
            refuse(
                HTTPStatus.METHOD_NOT_ALLOWED, f"{self.command} is not answered", hint="GET or POST"
            )
        try:
            place = urlsplit(self.path)
            query = dict(parse_qsl(place.query, keep_blank_values=True, max_num_fields=MOST_FIELDS))
        except ValueError as error:  # a bracket that is not closed, too many fields
            refuse(HTTPStatus.BAD_REQUEST, f"the address cannot be read: {error}")
        path = tuple(unquote(part) for part in place.path.split("/") if part)
        token = query.pop("token", None)
        if path[:1] == ("page",) and self.command != "POST":
            self.close_connection = not keep
            return self._file("/".join(path[1:]))
        self._check_token(token)
        body = self._body() if self.command == "POST" else {}
        self.close_connection = not keep
        if not path and self.command != "POST":
            return self._file("index.html")
        method = "POST" if self.command == "POST" else "GET"
        return self.server.answers(Question(method, path, query, body))

    def _check_origin(self) -> None:
        names = self.server.names
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].lower() not in names:
            refuse(
                HTTPStatus.FORBIDDEN,
                "this server answers to no other name",
                hint="open the address that hanet review has printed",
            )
        origins = {f"http://{name}" for name in names}
        if any(origin.lower() not in origins for origin in self.headers.get_all("Origin") or []):
            refuse(HTTPStatus.FORBIDDEN, "another page must not ask this server")

    def _check_token(self, given: str | None) -> None:
        token = self.headers.get("X-Hanet-Token") or given or ""
        if not secrets.compare_digest(token.encode(errors="replace"), self.server.token.encode()):
            refuse(
                HTTPStatus.UNAUTHORIZED,
                "the token of this address is missing or wrong",
                hint="open the address that hanet review has printed in the terminal",
            )

    def _body(self) -> Json:
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not length.isascii() or not length.isdigit():
            refuse(HTTPStatus.LENGTH_REQUIRED, "a question must state its Content-Length")
        # int() of very many digits is refused by Python itself
        if len(length) > 12 or int(length) > MAX_BODY:
            if len(length) <= 12 and int(length) <= MOST_PASSED_OVER:
                self._pass_over(int(length))
            refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a question may have {MAX_BODY} bytes",
                hint="send fewer items at once",
            )
        content = self.rfile.read(int(length))
        if len(content) < int(length):
            raise ConnectionResetError
        if self.headers.get_content_type() != JSON_TYPE:
            refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a question must be {JSON_TYPE}")
        try:
            body = parse_json(content, max_bytes=MAX_BODY, max_values=MAX_VALUES)
        except DocumentError as error:
            refuse(HTTPStatus.BAD_REQUEST, f"the question is not JSON as it must be: {error}")
        if not isinstance(body, dict):
            refuse(HTTPStatus.BAD_REQUEST, "the question must be a JSON object")
        return body

    def _pass_over(self, length: int) -> None:
        """Reads so many bytes for nothing: one who still sends hears no answer, only that the
        connection broke."""
        while length > 0 and (part := self.rfile.read(min(length, 1 << 16))):
            length -= len(part)

    def _file(self, name: str) -> Answer:
        path = self.server.pages.get(name)  # names that were listed: no other path can be asked for
        if path is None:
            refuse(HTTPStatus.NOT_FOUND, "the page has no such file")
        try:
            content = path.read_bytes()
        except OSError as error:
            refuse(HTTPStatus.NOT_FOUND, f"a file of the page cannot be read: {error.strerror}")
        return Answer(content, MEDIA_TYPES[path.suffix], caching="no-cache")

    def _send(self, answer: Answer) -> None:
        content, headers = answer.content, dict(answer.headers)
        is_text = answer.media_type.startswith(("text/", JSON_TYPE, "image/svg"))
        if is_text and len(content) >= WORTH_PACKING and self._takes_gzip():
            content = gzip.compress(content, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        self.send_response(answer.status)
        headers |= {
            "Content-Type": answer.media_type,
            "Content-Length": str(len(content)),
            "Cache-Control": answer.caching,
            "Vary": "Accept-Encoding",
            **SAFETY,
        }
        if answer.status == HTTPStatus.NO_CONTENT:
            headers = {key: headers[key] for key in headers if not key.startswith("Content-")}
            content = b""
        if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET, HEAD, POST"
        if self.close_connection:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()
        if self.close_connection:
            self._leave_politely()

    def _takes_gzip(self) -> bool:
        # of a question that was refused for its form there may be no headers
        headers = getattr(self, "headers", None)
        return headers is not None and "gzip" in headers.get("Accept-Encoding", "")

    def _leave_politely(self) -> None:
        """Reads a little of what was not read: closing on it would reset the connection before the
        answer has arrived."""
        try:
            self.connection.settimeout(0.2)
            for _ in range(64):
                if not self.rfile.read1(1 << 16):
                    return
        except (OSError, ValueError):
            return


def _told(error: HanetError, status: HTTPStatus) -> Answer:
    words = {"error": without_credentials(error.message), "hint": error.hint or ""}
    return json_answer(words, status=status)
