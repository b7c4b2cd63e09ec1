"""STAC on loopback: files as a static catalogue lies on a server, and a small API with pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from range_server import RangeHandler, running

PAGE = 2
"""Items of a page of the API."""

CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
]


class Server(ThreadingHTTPServer):
    """Serves a folder, and ``items`` as an API at ``/api``.

    Attributes:
        is_sparse: Whether the API says nothing of what it can, and takes no POST.
        asked: Method and path of each request.
        searches: Body of each search.
    """

    daemon_threads = True

    def __init__(self, folder: Path, items: list[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.items = folder, items
        self.is_sparse = False
        self.asked: list[tuple[str, str]] = []
        self.searches: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def landing_page(self) -> dict[str, Any]:
        search = {"rel": "search", "href": f"{self.address}/api/search"}
        words = ("GET",) if self.is_sparse else ("GET", "POST")
        kinds = [{**search, "type": "application/geo+json", "method": word} for word in words]
        return {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "api",
            "description": "a small one",
            **({} if self.is_sparse else {"conformsTo": CONFORMS}),
            "links": [
                {"rel": "self", "href": f"{self.address}/api"},
                {"rel": "root", "href": f"{self.address}/api"},
                *kinds,
            ],
        }

    def collection(self) -> dict[str, Any]:
        root = {"rel": "root", "href": f"{self.address}/api"}
        items = {"rel": "items", "href": f"{self.address}/api/collections/aerial/items"}
        return {"type": "Collection", "id": "aerial", "links": [items, root]}

    def found(self, body: dict[str, Any]) -> dict[str, Any]:
        """A page of the items of an interval; the place is taken on trust."""
        self.searches.append(body)
        start, end = body["datetime"].split("/")
        fitting = [
            item
            for item in self.items
            if start <= item["properties"]["datetime"] <= end
            and (not body.get("collections") or item["collection"] in body["collections"])
        ]
        at = int(body.get("token", 0))
        more = at + PAGE < len(fitting)
        address, following = f"{self.address}/api/search", {**body, "token": at + PAGE}
        words = {k: ",".join(v) if isinstance(v, list) else v for k, v in following.items()}
        link: dict[str, Any] = {"rel": "next", "href": f"{address}?{urlencode(words)}"}
        if not self.is_sparse:
            link = {"rel": "next", "href": address, "method": "POST", "body": following}
        return {
            "type": "FeatureCollection",
            "features": [
                {**item, "links": [{"rel": "self", "href": self.item_address(item)}]}
                for item in fitting[at : at + PAGE]
            ],
            "links": [link] if more else [],
        }

    def item_address(self, item: dict[str, Any]) -> str:
        return f"{self.address}/api/collections/{item['collection']}/items/{item['id']}"


class Handler(RangeHandler, BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path))
        self.answer_or_refuse(self.content_of(path))

    def answer_or_refuse(self, content: bytes | None) -> None:
        """One answer to a request: a second would be taken for that to the next one."""
        if content is None:
            self.send_error(404)
        else:
            self.answer(content)

    def content_of(self, path: str) -> bytes | None:
        """What lies at a path; None if nothing does."""
        if path.rstrip("/") == "/api":
            return json.dumps(self.server.landing_page()).encode()
        if path == "/api/search":
            body = dict(parse_qsl(self.path.partition("?")[2]))
            if "collections" in body:
                body["collections"] = body["collections"].split(",")
            return json.dumps(self.server.found(body)).encode()
        if path == "/api/collections/aerial":
            return json.dumps(self.server.collection()).encode()
        if path.startswith("/api/collections/"):
            item = next(i for i in self.server.items if i["id"] == path.rsplit("/", 1)[1])
            return json.dumps(item).encode()
        place = self.server.folder / path.lstrip("/")
        return place.read_bytes() if place.is_file() else None

    def do_POST(self) -> None:
        self.server.asked.append(("POST", self.path))
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(json.dumps(self.server.found(body)).encode())


@contextmanager
def serving(folder: Path, items: list[dict[str, Any]] | None = None) -> Iterator[Server]:
    with running(Server(folder, items or [])) as server:
        yield server
