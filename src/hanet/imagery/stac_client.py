"""STAC documents of servers, by pystac-client: bounded in size and depth as files are. The only
file that imports it."""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import pystac
import requests
from pystac_client import Client
from pystac_client.exceptions import APIError, ParametersError
from pystac_client.stac_api_io import StacApiIO
from urllib3 import Retry
from urllib3.exceptions import ReadTimeoutError

from hanet.documents import DocumentError, parse_json
from hanet.errors import StacError
from hanet.imagery.addresses import bare_name
from hanet.imagery.gdal import one_line
from hanet.types import Json

MAX_BYTES = 32 << 20
"""Of one document; a page of a search with a thousand items has some MB."""

PATIENCE_S = (15.0, 30.0)
"""Seconds until a server accepts, and between two of its bytes: as GDAL is told
(:data:`hanet.imagery.gdal.PATIENCE`)."""

LONGEST_S = 120.0
"""Seconds until a document is there, redirections and retries included: a server that gives a byte
now and then is patient with nobody."""

LONGEST_WAIT_S = 5.0
"""Seconds between two tries, whatever the server asks for."""

MOST_LATE = 3
"""Documents for which a host may be late; then it is asked no more."""

MOST_REDIRECTIONS = 5
"""Of one document."""

PAGE = 250
"""Items asked for at once; servers may give fewer."""

_WRONG = (
    APIError,
    ParametersError,
    pystac.STACError,
    requests.RequestException,
    DocumentError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    NotImplementedError,
    OSError,
)
"""What pystac-client raises at servers that are down, and at documents that are not as they should
be."""


class LateError(OSError):
    """A server has not given a document in time."""


class _BriefRetry(Retry):
    """Waits as a busy server asks (``Retry-After``), but never longer than :data:`LONGEST_WAIT_S`:
    who asks for an hour gets its answer 429 reported."""

    def get_retry_after(self, response: Any) -> float | None:
        """Seconds to wait before the next try."""
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, LONGEST_WAIT_S)


class Server(StacApiIO):
    """Reads JSON from addresses; keeps the connection.

    Redirections lead from http(s) to http(s), never from https to http; user, password and token
    stay with the host that they are of.

    Attributes:
        last_address: Where the last document came from, redirections followed.
    """

    def __init__(self) -> None:
        # a refused connection is final: the address is wrong, or the server down
        retry = _BriefRetry(
            total=4,
            connect=0,
            backoff_factor=0.5,
            status_forcelist=(429, 502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
        )
        super().__init__(timeout=PATIENCE_S, max_retries=retry)
        self.session.max_redirects = MOST_REDIRECTIONS
        self.session.hooks["response"].append(_check_redirection)
        self.last_address = ""
        self._late: Counter[str] = Counter()

    def read_text(self, source: Any, *args: Any, **options: Any) -> str:
        """As pystac-client does it, but for local files, which no server names."""
        href = getattr(source, "href", source)
        if not str(href).lower().startswith(("http://", "https://")):
            raise APIError("a document of a server refers to a file that is not on a server")
        return str(super().read_text(source, *args, **options))

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """The text of an answer, of at most :data:`MAX_BYTES`, within :data:`LONGEST_S`.

        Raises:
            LateError: It is not there in time, or its host has been late too often.
        """
        host = urlsplit(href).netloc
        if self._late[host] >= MOST_LATE:
            raise LateError("the server was late too often and is not asked again")
        try:
            content, self.last_address = _within(
                LONGEST_S, lambda: self._asked(href, method, headers, parameters)
            )
        except (LateError, requests.RequestException) as error:
            self._late[host] += _is_late(error)
            raise
        return content.decode("utf-8")

    def _asked(
        self,
        href: str,
        method: str | None,
        headers: dict[str, str] | None,
        parameters: dict[str, Any] | None,
    ) -> tuple[bytes, str]:
        """The bytes of an answer, and where it came from."""
        word, is_post = (method or "GET").upper(), (method or "GET").upper() == "POST"
        with self.session.request(
            word,
            href,
            params=None if is_post else parameters,
            json=parameters or {} if is_post else None,
            headers=headers,
            timeout=self.timeout,
            stream=True,
        ) as answer:
            if not 200 <= answer.status_code < 300:
                raise APIError(f"the server answers {answer.status_code}")
            parts, size = [], 0
            for part in answer.iter_content(1 << 16):
                parts.append(part)
                size += len(part)
                if size > MAX_BYTES:
                    raise APIError(f"it has more than {MAX_BYTES >> 20} MB")
            return b"".join(parts), str(answer.url)

    def json_loads(self, txt: str, *_: Any, **__: Any) -> dict[str, Any]:
        """The object in a text, by the one door for JSON."""
        value = parse_json(txt, max_bytes=MAX_BYTES)
        if not isinstance(value, dict):
            raise DocumentError("it is no object")
        return value

    def document(self, address: str) -> Json:
        """The object that a document is.

        Raises:
            StacError: The server cannot be reached, or gives no JSON object.
        """
        try:
            return self.json_loads(self.request(address))
        except _WRONG as error:
            raise _unreachable(address, error) from error

    def search(
        self,
        root: str,
        *,
        collections: list[str] | None,
        intersects: Json,
        datetime: str,
        most: int,
    ) -> list[Json]:
        """Items of an API.

        Args:
            root: Its landing page.
            collections: Their names; all if None.
            intersects: GeoJSON geometry in WGS84 that they must touch.
            datetime: Interval as ``2019-01-01/2019-12-31``.
            most: So many at most.

        Raises:
            StacError: The API cannot be reached, or answers what no API should.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what an API leaves out in its landing page
                client = Client.open(root, stac_io=self, timeout=PATIENCE_S)
                # it has a link of a search: what it forgot to say of it does not matter
                client.add_conforms_to("ITEM_SEARCH")
                found = client.search(
                    collections=collections,
                    intersects=intersects,
                    datetime=datetime,
                    limit=min(PAGE, most),
                    max_items=most,
                )
                return [item for item in found.items_as_dicts() if isinstance(item, dict)]
        except _WRONG as error:
            raise _unreachable(root, error) from error


Got = TypeVar("Got")


def _within(seconds: float, get: Callable[[], Got]) -> Got:
    """What a function gives, or a :class:`LateError` after so many seconds. What it still waits for
    is left to itself: no limit of a socket ends a line that is never whole."""
    results: list[Got] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(get())
        except BaseException as error:  # raised again below, in who asked
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise LateError(f"the server has not given it within {seconds:.0f} seconds")
    return results[0]


def _is_late(error: BaseException) -> bool:
    """Whether it is of a server that was waited for in vain; requests calls silence in the middle
    of a body a lost connection."""
    silence = isinstance(error, requests.ConnectionError) and isinstance(
        next(iter(error.args), None), ReadTimeoutError
    )
    return silence or isinstance(error, LateError | requests.Timeout)


def _check_redirection(answer: requests.Response, *_: Any, **__: Any) -> None:
    """Does nothing unless an answer leads where a redirection must not."""
    if not answer.is_redirect:
        return
    target = urlsplit(urljoin(answer.url, answer.headers["location"]))
    why = ""
    if target.scheme not in ("http", "https"):
        why = "it is redirected to what is no address of a server"
    elif target.scheme == "http" and urlsplit(answer.url).scheme == "https":
        why = "it is redirected from https to http, which others can read and change"
    if why:
        answer.close()
        raise APIError(why)


def _unreachable(address: str, error: BaseException) -> StacError:
    return StacError(
        f"{bare_name(address)} cannot be read: {one_line(_reason(error), longest=160)}",
        hint="check the address in a browser; the server may be down, or require a key",
    )


def _reason(error: BaseException) -> str:
    """What is wrong, without the request that libraries repeat."""
    if isinstance(error, requests.TooManyRedirects):
        return f"it is redirected more than {MOST_REDIRECTIONS} times"
    if isinstance(error, requests.RequestException) and _is_late(error):
        return "the server does not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "there is no connection to the server"
    if isinstance(error, DocumentError) and isinstance(error.__cause__, ValueError):
        return f"it is not JSON: {error}"
    return str(error) or type(error).__name__
