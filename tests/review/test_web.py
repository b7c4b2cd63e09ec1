"""The web server lets in who has the token and comes from this page, and answers everyone in
words."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from hanet.errors import InputError, OutputError
from hanet.review.web import MAX_BODY, Answer, LocalServer, Question, json_answer

TOKEN = "a-token-of-a-test"


def _answers(question: Question) -> Answer:
    if question.path == ("api", "long"):
        return json_answer({"text": "word " * 1000})
    if question.path == ("api", "refused"):
        raise InputError("there is no such item", hint="load the page again")
    if question.path == ("api", "full"):
        raise OutputError("the disk is full")
    if question.path == ("api", "bug"):
        raise ZeroDivisionError("inner")
    if question.path == ("api", "key"):
        raise OutputError("https://me:secret@example.org/a.tif?sig=77 cannot be read")
    if question.path == ("api", "nothing"):
        return Answer(status=HTTPStatus.NO_CONTENT)
    if question.path == ("api", "number"):
        return json_answer({"n": question.whole("n"), "x": question.number("x", default=0.5)})
    return json_answer(
        {
            "method": question.method,
            "path": question.path,
            "query": dict(question.query),
            "body": question.body,
        }
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outer = tmp_path_factory.mktemp("web")
    (outer / "secret.txt").write_text("not of the page")
    page = outer / "page"
    (page / "vendor").mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html><title>Page</title>")
    (page / "main.js").write_text("// words\n" * 500)
    (page / "vendor" / "map.js").write_text("// map")
    (page / "notes.py").write_text("# not for the browser")
    return page


@pytest.fixture(scope="module")
def web(page: Path) -> Iterator[LocalServer]:
    server = LocalServer(0, pages=page, answers=_answers, token=TOKEN)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Got:
    """An answer, read whole."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.content = response.status, response.headers, response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.content)


def ask(
    web: LocalServer,
    path: str,
    *,
    method: str = "GET",
    body: Any = None,
    token: str | None = TOKEN,
    **headers: str,
) -> Got:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent.setdefault("X-Hanet-Token", token)
        if body is not None and not isinstance(body, bytes | str):
            body = json.dumps(body)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        connection.request(method, path, body=body, headers=sent)
        return Got(connection.getresponse())
    finally:
        connection.close()


def test_it_listens_on_this_machine_only(web: LocalServer) -> None:
    assert web.server_address[0] == "127.0.0.1"
    assert web.address == f"http://127.0.0.1:{web.port}/?token={TOKEN}"


def test_the_token_opens_it_as_header_or_in_the_address(web: LocalServer) -> None:
    assert ask(web, "/api/x").status == 200
    got = ask(web, f"/api/x?a=1&token={TOKEN}", token=None)
    assert got.json["query"] == {"a": "1"}  # without the token


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper()])
@pytest.mark.parametrize("path", ["/", "/api/x", "/tiles/before/0/0/0", "/nothing"])
def test_without_the_token_nothing_is_told(web: LocalServer, token: str | None, path: str) -> None:
    got = ask(web, path, token=token)
    assert got.status == 401
    assert "token" in got.json["error"]
    assert "terminal" in got.json["hint"]


def test_a_token_of_other_letters_is_wrong_not_a_failure(web: LocalServer) -> None:
    got = ask(web, "/api/x?token=%C3%A4%ED%A0%80", token=None)
    assert got.status == 401


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost",
        "attacker.localhost:{port}",
        "[::1]:{port}",
        "",
    ],
)
def test_another_name_is_not_answered(web: LocalServer, host: str) -> None:
    for path in ("/api/x", "/page/main.js"):
        got = ask(web, path, Host=host.format(port=web.port))
        assert got.status == 403
        assert "no other name" in got.json["error"]


def test_its_own_names_are(web: LocalServer) -> None:
    for name in ("localhost", "127.0.0.1", "LOCALHOST"):
        assert ask(web, "/api/x", Host=f"{name}:{web.port}").status == 200


def test_at_the_port_of_http_its_names_need_no_port(
    web: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Browsers leave it out."""
    assert len(web.names) == 2
    monkeypatch.setattr(LocalServer, "port", 80)
    assert set(web.names) == {"127.0.0.1:80", "localhost:80", "127.0.0.1", "localhost"}


@pytest.mark.parametrize("path", ["http://[::1/api/x", "/api/x?" + "a=1&" * 60])
def test_an_address_that_cannot_be_read_is_refused(
    web: LocalServer, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = _raw(
        web, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\n\r\n".encode()
    ).decode()
    assert answer.startswith("HTTP/1.1 400")
    assert "the address cannot be read" in answer
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "origin", ["http://example.org", "https://127.0.0.1:{port}", "null", "http://127.0.0.1"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_page_is_not_answered(web: LocalServer, origin: str, method: str) -> None:
    body = {} if method == "POST" else None
    got = ask(web, "/api/x", method=method, body=body, Origin=origin.format(port=web.port))
    assert got.status == 403
    own = ask(web, "/api/x", method=method, body=body, Origin=f"http://localhost:{web.port}")
    assert own.status == 200


def test_the_page_and_its_files(web: LocalServer) -> None:
    got = ask(web, "/")
    assert got.status == 200
    assert got.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"<title>Page" in got.content
    script = ask(web, "/page/vendor/map.js", token=None)  # no secret stands in them
    assert script.status == 200
    assert script.headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path",
    [
        "/page/../secret.txt",
        "/page/%2e%2e/secret.txt",
        "/page/..%2fsecret.txt",
        "/page//etc/passwd",
        "/page/vendor/../../secret.txt",
        "/page/%2Fetc%2Fpasswd",
        "/page/main.js%00.txt",
        "/page/notes.py",
        "/page/",
        "/page/nothing.js",
    ],
)
def test_no_other_file_is_told(web: LocalServer, path: str) -> None:
    got = ask(web, path)
    assert got.status == 404
    assert "no such file" in got.json["error"]


def test_every_answer_forbids_the_network(web: LocalServer) -> None:
    for path, token in (("/", TOKEN), ("/page/main.js", None), ("/api/x", TOKEN), ("/api/x", "no")):
        got = ask(web, path, token=token)
        policy = got.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
        assert "unsafe-eval" not in policy
        assert got.headers["Referrer-Policy"] == "no-referrer"
        assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert ask(web, "/api/x").headers["Cache-Control"] == "no-store"


def test_long_text_is_packed_for_who_takes_it(web: LocalServer) -> None:
    plain = ask(web, "/api/long")
    assert plain.headers["Content-Encoding"] is None
    packed = ask(web, "/api/long", Accept_Encoding="gzip, deflate")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.content) < len(plain.content) / 10
    assert gzip.decompress(packed.content) == plain.content
    assert ask(web, "/api/x", Accept_Encoding="gzip").headers["Content-Encoding"] is None


def test_a_question_arrives_as_it_was_asked(web: LocalServer) -> None:
    got = ask(web, "/api/a%20b?x=1&y=", method="POST", body={"ids": ["f1"], "set": {"status": "ä"}})
    assert got.json == {
        "method": "POST",
        "path": ["api", "a b"],
        "query": {"x": "1", "y": ""},
        "body": {"ids": ["f1"], "set": {"status": "ä"}},
    }


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b"[1]", 400, "a JSON object"),
        (b"\xff\xfe", 400, "not UTF-8"),
        (b'{"a": NaN}', 400, "not JSON"),
        (b'{"a": 1, "a": 2}', 400, "twice"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, 400, "deep"),
        (b"[" * 100_000, 400, "deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", 400, "64 bits"),
        (b'{"a": [' + b"0," * 500_001 + b"0]}", 400, "values"),
        (b'{"a": "' + b"x" * MAX_BODY + b'"}', 413, "bytes"),
    ],
    ids=lambda value: value[:12].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_what_is_no_question_is_refused_in_words(
    web: LocalServer, body: bytes, status: int, words: str
) -> None:
    got = ask(web, "/api/x", method="POST", body=body)
    assert got.status == status
    assert words in got.json["error"]
    assert "Traceback" not in got.content.decode()
    assert ask(web, "/api/x").status == 200  # it goes on


def test_a_form_of_another_page_is_refused(web: LocalServer) -> None:
    got = ask(web, "/api/x", method="POST", body=b"{}", Content_Type="text/plain")
    assert got.status == 415


@pytest.mark.parametrize("length", ["-1", "1e3", "٣", "9" * 5000, "0x10", " "])
def test_a_length_that_is_none_is_refused(web: LocalServer, length: str) -> None:
    answer = _raw(
        web,
        f"POST /api/x HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\nX-Hanet-Token: {TOKEN}\r\n"
        f"Content-Length: {length}\r\n\r\n".encode(),
    )
    assert answer.split()[1] in (b"411", b"413")


def test_chunks_are_refused(web: LocalServer) -> None:
    answer = _raw(
        web,
        f"POST /api/x HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\nX-Hanet-Token: {TOKEN}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".encode(),
    )
    assert answer.split()[1] == b"411"
    assert answer.count(b"HTTP/1.1") == 1  # the rest is not taken for a question


def _raw(web: LocalServer, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as connection:
        connection.sendall(sent)
        got = b""
        while part := connection.recv(1 << 16):
            got += part
        return got


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"BREW /x HTTP/1.1\r\n\r\n",
    ],
    ids=["long", "nonsense", "method"],
)
def test_what_is_no_http_is_answered_in_json(web: LocalServer, sent: bytes) -> None:
    head, _, body = _raw(web, sent).partition(b"\r\n\r\n")
    assert head.split()[1][:1] in (b"4", b"5")
    assert json.loads(body)["error"]
    assert b"<html" not in body


def test_other_methods_are_refused_in_words(web: LocalServer) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        got = ask(web, "/api/x", method=method)
        assert got.status == 405
        assert got.json["error"] == f"{method} is not answered"
        assert got.headers["Allow"] == "GET, HEAD, POST"


def test_a_head_has_no_body(web: LocalServer) -> None:
    got = ask(web, "/api/long", method="HEAD")
    assert got.status == 200
    assert got.content == b""
    assert int(got.headers["Content-Length"]) > 5000


def test_errors_say_whose_fault_it_is(web: LocalServer, capfd: pytest.CaptureFixture[str]) -> None:
    refused = ask(web, "/api/refused")
    assert (refused.status, refused.json) == (
        400,
        {"error": "there is no such item", "hint": "load the page again"},
    )
    assert ask(web, "/api/full").status == 503
    key = ask(web, "/api/key").content.decode()
    assert "secret" not in key
    assert "77" not in key
    assert capfd.readouterr().err == ""
    bug = ask(web, "/api/bug")
    assert bug.status == 500
    assert "ZeroDivisionError" in bug.json["error"]
    assert "inner" not in bug.content.decode()
    assert "inner" in capfd.readouterr().err  # the terminal says where


def test_nothing_is_an_answer_too(web: LocalServer) -> None:
    got = ask(web, "/api/nothing")
    assert got.status == 204
    assert got.content == b""


@pytest.mark.parametrize(
    "query", ["n=1.5", "n=x", "n=", "", "n=inf", "n=nan", "n=1&x=1e999", "n=" + "9" * 400]
)
def test_numbers_are_numbers(web: LocalServer, query: str) -> None:
    got = ask(web, f"/api/number?{query}")
    assert got.status == 400
    assert "must be" in got.json["error"]
    assert ask(web, "/api/number?n=3&x=2").json == {"n": 3, "x": 2.0}


def test_a_connection_serves_many_questions(web: LocalServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
    try:
        connection.connect()
        first = connection.sock
        for number in range(3):
            connection.request("GET", f"/api/{number}", headers={"X-Hanet-Token": TOKEN})
            assert json.loads(connection.getresponse().read())["path"] == ["api", str(number)]
            assert connection.sock is first
    finally:
        connection.close()


@pytest.mark.parametrize("port", [-1, 65536, 10**9])
def test_a_port_that_is_none_is_refused(page: Path, port: int) -> None:
    with pytest.raises(OutputError, match="cannot be used") as error:
        LocalServer(port, pages=page, answers=_answers)
    assert "--port" in str(error.value.hint)


def test_a_port_that_is_taken_is_refused(web: LocalServer, page: Path) -> None:
    with pytest.raises(OutputError, match=f"port {web.port} of this machine cannot be used"):
        LocalServer(web.port, pages=page, answers=_answers)


def test_tokens_are_long_and_never_the_same(page: Path) -> None:
    tokens = []
    for _ in range(3):
        server = LocalServer(0, pages=page, answers=_answers)
        tokens.append(server.token)
        server.server_close()
    assert len(set(tokens)) == 3
    assert min(map(len, tokens)) >= 32
