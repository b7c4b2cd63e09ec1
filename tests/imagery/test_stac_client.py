"""What is asked of servers of STAC: where redirections may lead, and how long a server may take."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from hanet.errors import StacError
from hanet.imagery import stac_client
from hanet.imagery.stac_documents import Documents
from hanet.imagery.stac_item import read_item_image
from range_server import RangeHandler, running
from stac_scenes import item

SIGNED = "/store/7.json?X-Amz-Signature=secret"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    to = ""
    asked: list[tuple[str, str | None]]

    def handle_error(self, *connection: object) -> None:
        """A client that hangs up is what the tests are about."""


class Handler(RangeHandler, BaseHTTPRequestHandler):
    """Redirects from ``/items`` to the server's ``to``; drips at ``/drips``, stops at
    ``/stops``."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        if self.path.startswith("/items"):
            self.send_response(302)
            self.send_header("Location", self.server.to)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if self.path.startswith("/drips"):  # a header that never ends
            for _ in range(400):
                self.wfile.write(b"H")
                time.sleep(0.05)
            return None
        if self.path.startswith("/stops"):  # in the middle of a document
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"{")
            time.sleep(1)
            return None
        if self.path.startswith("/busy"):
            self.send_response(429)
            self.send_header("Retry-After", "1000")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if self.path.startswith("/page"):
            return self.answer(b"<html>please log in</html>")
        self.answer(json.dumps(item("x")).encode())
        return None


@contextmanager
def serving(to: str = "") -> Iterator[tuple[Server, str, str]]:
    """The server, and its address by two names, of which the first holds a password."""
    with running(Server(("127.0.0.1", 0), Handler)) as server:
        port = server.server_address[1]
        server.asked, server.to = [], to.format(port=port)
        yield server, f"http://me:pw@127.0.0.1:{port}", f"http://127.0.0.1:{port}"


def test_an_item_may_be_redirected_to_a_signed_address_of_another_host() -> None:
    """Its images lie beside the item that was asked for, and no password goes along."""
    with serving(f"http://localhost:{{port}}{SIGNED}") as (server, address, bare):
        image = read_item_image(f"STAC:{address}/items/7.json")
    assert image.asset.href == f"{address}/items/image.tif"
    assert image.facts()["place"] == f"{bare}/items/7.json"
    assert [key is None for _, key in server.asked] == [False, True]


def test_hrefs_count_from_where_a_plain_redirection_leads() -> None:
    with serving("http://localhost:{port}/catalogue/7.json?f=json") as (server, _, bare):
        image = read_item_image(f"STAC:{bare}/items/7")
    assert image.asset.href == f"http://localhost:{server.server_address[1]}/catalogue/image.tif"


def test_a_password_of_the_same_host_is_no_signature() -> None:
    """Hrefs counted from the address that was asked for, in another folder."""
    with serving("/catalogue/7.json") as (_, address, bare):
        image = read_item_image(f"STAC:{address}/items/7")
    assert image.asset.href == f"{address}/catalogue/image.tif"
    assert image.facts()["place"] == f"{bare}/catalogue/7.json"


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("file:///etc/passwd", "no address of a server"),
        ("ftp://127.0.0.1:1/x.json", "no address of a server"),
        ("/items/again", "more than 5 times"),
    ],
)
def test_a_redirection_leads_to_servers_of_the_web_alone(to: str, why: str) -> None:
    with serving(to) as (_, address, _), pytest.raises(StacError, match=why) as caught:
        Documents().read(f"{address}/items/7.json")
    assert "pw" not in caught.value.message


def test_a_redirection_never_leads_from_https_to_http(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(adapter: object, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        del adapter
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = 302, str(request.url), request
        answer.raw = io.BytesIO()
        answer.headers["location"] = "http://127.0.0.1:1/7.json"
        return answer

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    with pytest.raises(StacError, match="from https to http"):
        Documents().read("https://127.0.0.1:1/items/7.json")


def test_a_server_that_drips_ends_in_words_and_is_asked_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each byte is within the limit of a socket: nothing ended it."""
    monkeypatch.setattr(stac_client, "LONGEST_S", 0.3)
    documents = Documents()
    with serving() as (server, _, bare):
        for _ in range(stac_client.MOST_LATE):
            with pytest.raises(StacError, match=r"within 0 seconds"):
                documents.read(f"{bare}/drips.json")
        count = len(server.asked)
        with pytest.raises(StacError, match="not asked again"):
            documents.read(f"{bare}/drips.json")
        assert len(server.asked) == count


def test_a_server_that_stops_in_the_middle_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was called a lost connection, and waited for at each of its documents."""
    monkeypatch.setattr(stac_client, "PATIENCE_S", (5.0, 0.2))
    documents = Documents()
    with serving() as (server, _, bare):
        for _ in range(stac_client.MOST_LATE):
            with pytest.raises(StacError, match="does not answer in time"):
                documents.read(f"{bare}/stops.json")
        count = len(server.asked)
        with pytest.raises(StacError, match="not asked again"):
            documents.read(f"{bare}/stops.json")
        assert len(server.asked) == count


@pytest.mark.parametrize(
    ("path", "message"),
    [("/busy", "the server answers 429"), ("/page", "it is not JSON: Expecting value")],
)
def test_a_busy_server_and_a_page_in_place_of_a_document_are_said(
    path: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that asked for 1000 seconds was waited for until the limit of two minutes."""
    monkeypatch.setattr(stac_client, "LONGEST_WAIT_S", 0.01)
    monkeypatch.setattr(stac_client, "LONGEST_S", 30.0)
    with serving() as (_, __, bare), pytest.raises(StacError) as caught:
        Documents().read(bare + path)
    assert message in caught.value.message
