"""STAC documents from files and servers, and what an href in one means."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from hanet.documents import DocumentError, read_json
from hanet.errors import StacError, importing
from hanet.files import is_folder
from hanet.imagery.addresses import bare_name, holds_key, lies_here
from hanet.types import Json

if TYPE_CHECKING:
    from hanet.imagery.stac_client import Server

MAX_BYTES = 64 << 20
"""Of a local document: an answer of an API that somebody kept may hold thousands of items."""

LONGEST_HREF = 8192
"""Characters; signed addresses have up to 2,000."""

READABLE = ("http", "https", "s3", "gs", "az")
"""Schemes of addresses that an href may have; :mod:`hanet.imagery.addresses` hands them to GDAL."""

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")


class Document(NamedTuple):
    """A document and where it lies.

    Args:
        value: It, an object.
        place: Path or address; hrefs in it count from there.
    """

    value: Json
    place: str


class Documents:
    """Reads STAC documents, from one server after another by one connection each."""

    def __init__(self) -> None:
        self._server: Server | None = None

    @property
    def server(self) -> Server:
        """What asks servers.

        Raises:
            MissingExtraError: pystac-client is not installed.
        """
        if self._server is None:
            with importing("pystac-client", extra="stac", purpose="reading STAC from a server"):
                from hanet.imagery.stac_client import Server
            self._server = Server()
        return self._server

    def read(self, place: str) -> Document:
        """The document at a path or an address.

        Raises:
            StacError: It is missing, no JSON, too large or too deep, or no object.
            MissingExtraError: It is an address, and pystac-client is not installed.
        """
        if is_address(place):
            if not place.lower().startswith(("http://", "https://")):
                raise StacError(
                    f"{bare_name(place)} cannot be read: STAC is read from files and from http(s)",
                    hint="download the document; the images that it names may stay where they are",
                )
            found, last = self.server.document(place), self.server.last_address
            # a redirection to a signed address serves for minutes, and for this document alone
            return Document(found, place if _has_other_key(last, place) else last)
        value = _local(place)
        if not isinstance(value, dict):
            raise StacError(
                f"{bare_name(place)} is no STAC document: it is no JSON object",
                hint="give an item or a catalogue",
            )
        return Document(value, place)


def is_address(place: str) -> bool:
    """Whether a place is an address, and not the path of a file here."""
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", place) is not None


def resolved(href: object, base: str) -> str:
    """Where an href of a document leads: a path, or an address with a scheme of :data:`READABLE`.

    Args:
        href: As the document says.
        base: Path or address of the document. What a server says leads to servers alone.

    Raises:
        StacError: It leads nowhere that may be read; the message begins with "its address".
    """
    if not isinstance(href, str) or not href.strip():
        raise StacError("its address is missing")
    if len(href) > LONGEST_HREF or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in href):
        raise StacError("its address is too long, or holds control characters")
    try:
        return _resolved(href.strip(), base)
    except ValueError as error:  # of urllib: brackets, ports
        raise StacError("its address is not valid") from error


def _resolved(href: str, base: str) -> str:
    is_remote = is_address(base)
    scheme = _SCHEME.match(href)
    kind = scheme[1].lower() if scheme is not None else ""
    if kind in READABLE and href[len(kind) : len(kind) + 3] == "://":
        if not urlsplit(href).netloc:
            raise StacError("its address names no server")
        return href
    if kind == "file" and not is_remote:
        return unquote(urlsplit(href).path)
    if scheme is not None and not (len(kind) == 1 and not is_remote):  # C:\ on Windows
        raise StacError(f"its address begins with {bare_name(scheme[0])[:20]!r}")
    if is_remote:
        return urljoin(base, href)
    if href.startswith("/vsi"):
        return href
    return str(Path(base).parent / href)


def _has_other_key(last: str, place: str) -> bool:
    """Whether an address that a redirection leads to holds a key beside the user and password of
    the one that was asked for, which stay in it on the same host."""
    own = urlsplit(place).netloc
    if urlsplit(last).netloc == own:
        last = last.replace(own, own.rpartition("@")[2], 1)
    return holds_key(last)


ROOTS = ("catalog.json", "collection.json")
"""Usual names of what a static catalogue begins with."""


def _local(place: str) -> object:
    path = Path(place)
    if is_folder(path):
        root = next((path / name for name in ROOTS if lies_here(path / name)), None)
        raise StacError(
            f"{bare_name(place)} is a folder, not a STAC document",
            hint=f"give the file in it: {bare_name(str(root))}"
            if root is not None
            else "give a catalogue or an item in it, usually catalog.json or ITEM.json",
        )
    try:
        return read_json(path, max_bytes=MAX_BYTES)
    except FileNotFoundError as error:
        raise StacError(f"there is no file {bare_name(place)}", hint="check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        what = "is no JSON" if isinstance(error, DocumentError) else "cannot be read"
        raise StacError(
            f"{bare_name(place)} {what}: {reason}", hint="give a STAC item or catalogue"
        ) from error
