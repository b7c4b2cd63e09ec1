"""The page's questions over the loopback: what is told as saved is on the disk, whatever happens
next."""

from __future__ import annotations

import http.client
import json
import resource
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanet.errors import OutputError, RasterError
from hanet.review.inputs import Input
from hanet.review.journal import journal_path, read_journal
from hanet.review.server import ReviewServer, opened, until_stopped
from hanet.review.web import LocalServer
from review_pages import Client, review_process, shown_run
from small_rasters import write

NOWHERE: dict[Any, Any] = {"before": None, "after": None}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds a run; to be copied."""
    folder = tmp_path_factory.mktemp("kept")
    shown_run(folder)
    return folder


@pytest.fixture
def out(kept: Path, tmp_path: Path) -> Path:
    """A result folder of the test's own."""
    shutil.copytree(kept, tmp_path / "run")
    return tmp_path / "run" / "out"


class Served:
    """A server in this process with one client."""

    def __init__(self, server: ReviewServer) -> None:
        self.server, self.client = server, _client(server)


def _client(server: ReviewServer) -> Client:
    return Client(server.port, server.address.partition("token=")[2])


@contextmanager
def serving(out: Path, **changes: Any) -> Iterator[ReviewServer]:
    """A server of a folder, at work in a thread."""
    given: dict[str, Any] = {
        "reviewer": "anna",
        "given": NOWHERE,
        "port": 0,
        "progress": lambda *_: None,
        "warn": lambda _: None,
        **changes,
    }
    stop = threading.Event()
    with opened(out, **given) as server:
        thread = threading.Thread(target=server.serve, args=(stop,))
        thread.start()
        try:
            yield server
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def served(out: Path) -> Iterator[Served]:
    with serving(out) as server:
        yield Served(server)


@pytest.fixture
def client(served: Served) -> Client:
    return served.client


@pytest.fixture(scope="module")
def looked_at(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewServer]:
    """A server that several tests ask, none of which changes anything."""
    folder = tmp_path_factory.mktemp("looked_at") / "run"
    shutil.copytree(kept, folder)
    with serving(folder / "out") as server:
        yield server


@pytest.fixture
def reader(looked_at: ReviewServer) -> Client:
    return _client(looked_at)


def _square(x: float, y: float, side: float = 20) -> dict[str, Any]:
    corners = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {"type": "Polygon", "coordinates": [corners]}


def test_the_page_learns_what_it_shows(reader: Client, looked_at: ReviewServer) -> None:
    facts = reader.get("/api/review")
    assert facts["title"] == "out"
    assert facts["reviewer"] == "anna"
    assert facts["grid"]["crs"] == "EPSG:32614"
    assert facts["grid"]["stretch"] == [1.0, 1.0]
    assert facts["grid"]["metres_per_px"] == pytest.approx(0.5, rel=1e-3)
    assert facts["display"] == {"width": 512, "height": 512, "tile": 256, "levels": 2}
    assert facts["dates"]["before"] == {"name": "before.tif", "date": None}
    assert facts["weights"] == {"name": "test", "terms": "MIT"}
    assert (facts["threshold"], facts["min_area_m2"]) == (0.5, 10.0)
    assert facts["progress"]["found"]["total"] == 3
    assert not facts["can_undo"]
    assert facts["warnings"] == []
    assert str(looked_at.review.out.parent) not in json.dumps(
        facts
    )  # where it lies is nobody's concern


def test_queues_come_in_order(reader: Client) -> None:
    found = reader.get("/api/items?queue=found&order=doubt")["items"]
    assert [round(item["probability"], 2) for item in found] == [0.55, 0.7, 0.9]
    assert found[0]["doubt"] > found[1]["doubt"] > found[2]["doubt"]
    assert found[2]["box"] == [10, 10, 40, 30]
    assert found[2]["area_m2"] == pytest.approx(150, rel=0.01)
    largest = reader.get("/api/items?queue=found&order=size")["items"]
    assert largest[0]["id"] == found[2]["id"]
    random = [
        [
            item["id"]
            for item in reader.get(f"/api/items?queue=blank&order=random&seed={s}")["items"]
        ]
        for s in (1, 1, 2)
    ]
    assert random[0] == random[1] != random[2]
    assert len(reader.get("/api/items?queue=missed")["items"]) == 1
    for wrong in ("queue=others", "order=others", "seed=-1&order=random", "seed=x"):
        status, content, _ = reader.ask("GET", f"/api/items?{wrong}")
        assert status == 400, content


def test_outlines_come_by_place(reader: Client) -> None:
    everywhere = reader.get("/api/shapes?box=0,0,512,512")["features"]
    assert len(everywhere) == 4
    here = reader.get("/api/shapes?box=0,0,45,35")["features"]
    assert len(here) == 1
    assert here[0]["geometry"]["type"] == "Polygon"
    assert len(reader.get("/api/shapes?box=0,0,512,512&limit=2")["features"]) == 2
    for wrong in (
        "",
        "box=1,2,3",
        "box=1,2,3,x",
        "box=nan,0,1,1",
        "box=1,2,3,4,5",
        "box=0,0,1,1e999",
    ):
        assert reader.ask("GET", f"/api/shapes?{wrong}")[0] == 400


def test_a_pixel_has_a_place_on_the_ground(reader: Client) -> None:
    place = reader.get("/api/where?x=10&y=20")
    assert (place["x_crs"], place["y_crs"]) == (620005.0, 3349990.0)
    assert place["lon"] == pytest.approx(-97.75, abs=0.01)
    assert place["lat"] == pytest.approx(30.28, abs=0.01)
    assert reader.ask("GET", "/api/where?x=10")[0] == 400
    far = reader.get("/api/where?x=1e14&y=1e14")
    assert far["lon"] is None


def test_tiles_are_pictures(reader: Client) -> None:
    for layer, kind in (("before", "jpeg"), ("after", "jpeg"), ("probability", "png")):
        status, content, media_type = reader.ask("GET", f"/tiles/{layer}/1/1/0")
        assert (status, media_type) == (200, f"image/{kind}")
        assert len(content) > 100
    assert reader.ask("GET", "/tiles/before/1/2/0")[:2] == (204, b"")
    assert reader.ask("GET", "/tiles/before/9/0/0")[:2] == (204, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/tiles/others/0/0/0",
        "/tiles/before/0/0",
        "/tiles/before/0/0/0/0",
        "/tiles/before/-1/0/0",
        "/tiles/before/a/0/0",
        "/tiles/before/0/%D9%A3/0",
        "/tiles/before/0/0/9999999999999",
        "/tiles/..%2Fbefore/0/0/0",
        "/tiles",
        "/api",
        "/api/others",
        "/api/review/more",
        "/others",
    ],
)
def test_what_is_not_there_is_said_in_words(reader: Client, path: str) -> None:
    status, content, _ = reader.ask("GET", path)
    assert status == 404
    assert json.loads(content)["error"]


def test_a_question_of_the_wrong_method_is_told_the_right_one(reader: Client) -> None:
    assert reader.refused("/api/items", {}, status=405)["error"] == "/api/items is asked by GET"
    status, content, _ = reader.ask("GET", "/api/decide")
    assert (status, json.loads(content)["error"]) == (405, "/api/decide is asked by POST")


def test_an_image_that_cannot_be_read_is_said_in_words(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RasterError("before.tif cannot be read", hint="is its disk there?")

    monkeypatch.setattr("hanet.review.dates.ShownDate.read", broken)
    status, content, _ = served.client.ask("GET", "/tiles/before/0/0/0")
    assert status == 503
    assert json.loads(content) == {
        "error": "before.tif cannot be read",
        "hint": "is its disk there?",
    }


def test_a_decision_is_in_the_journal_when_it_is_told(client: Client, out: Path) -> None:
    ids = [item["id"] for item in client.get("/api/items?queue=found")["items"]]
    answer = client.post("/api/decide", ids=ids[:2], set={"status": "accepted", "kind": "built"})
    state = read_journal(out)
    assert {key: item.status for key, item in state.items.items()} == dict.fromkeys(
        ids[:2], "accepted"
    )
    assert answer["last"] == state.last == 2
    assert sorted(item["id"] for item in answer["changed"]) == sorted(ids[:2])
    assert all(item["geometry"]["type"] == "Polygon" for item in answer["changed"])
    assert answer["progress"]["found"] == {
        "total": 3,
        "reviewed": 2,
        "accepted": 2,
        "rejected": 0,
        "unsure": 0,
    }
    assert answer["can_undo"]
    assert state.items[ids[0]].reviewer == "anna"
    comment = client.post("/api/decide", ids=ids[:1], set={"comment": "häuser\nzwei"})
    assert comment["changed"][0]["comment"] == "häuser\nzwei"


def test_everything_that_can_be_corrected(client: Client, out: Path) -> None:
    drawn = client.post("/api/draw", geometry=_square(100, 100), set={"kind": "built"})
    (item,) = drawn["changed"]
    assert (item["source"], item["status"], item["kind"]) == ("drawn", "accepted", "built")
    assert item["area_m2"] == pytest.approx(100, rel=0.01)
    moved = client.post("/api/reshape", id=item["id"], geometry=_square(104, 100, 30))
    assert moved["changed"][0]["box"] == [104, 100, 134, 130]
    line = {"type": "LineString", "coordinates": [[120, 90], [120, 140]]}
    cut = client.post("/api/split", id=item["id"], line=line)
    parts = [part["id"] for part in cut["changed"]]
    assert len(parts) == 2
    assert cut["removed"] == [item["id"]]
    joined = client.post("/api/merge", ids=parts)
    assert sorted(joined["removed"]) == sorted(parts)
    assert joined["progress"]["drawn"] == 1
    undone = client.post("/api/undo")
    assert undone["can_redo"]
    assert sorted(part["id"] for part in undone["changed"]) == sorted(parts)
    redone = client.post("/api/redo")
    assert not redone["can_redo"]
    assert redone["progress"]["drawn"] == 1
    assert read_journal(out).last == redone["last"] == 7


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("decide", {}, "object"),
        ("decide", {"ids": "f1", "set": {"status": "accepted"}}, "list"),
        ("decide", {"ids": [1], "set": {"status": "accepted"}}, "list"),
        ("decide", {"ids": [], "set": {"status": "accepted"}}, "nothing"),
        ("decide", {"ids": ["f1"], "set": {}}, "nothing"),
        ("decide", {"ids": ["f1"], "set": []}, "object"),
        ("decide", {"ids": ["f1"], "set": {"status": "good"}}, "status"),
        ("decide", {"ids": ["f1"], "set": {"geometry": 1}}, "decided"),
        ("decide", {"ids": ["f1"], "set": {"comment": "x" * 1001}}, "1001"),
        ("decide", {"ids": ["f1", "f999"], "set": {"status": "accepted"}}, "f999"),
        ("decide", {"ids": ["f1"] * 100_001, "set": {"status": "accepted"}}, "100000"),
        ("draw", {}, "outline"),
        ("draw", {"geometry": {"type": "Point", "coordinates": [1, 2]}}, "outline"),
        ("draw", {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [9, 9], [9, 0], [0, 9], [0, 0]]]}}, "cross"),
        ("draw", {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1e300, 0], [9, 9], [0, 0]]]}}, "large"),
        ("draw", {"geometry": {"type": "Polygon", "coordinates": [[["a", 0], [9, 0], [9, 9], [0, 0]]]}}, "point"),
        ("reshape", {"id": 7, "geometry": _square(0, 0)}, "id"),
        ("reshape", {"id": "f999", "geometry": _square(0, 0)}, "f999"),
        ("split", {"id": "f1"}, "LineString"),
        ("split", {"id": "f1", "line": {"type": "LineString", "coordinates": [[1, 1]]}}, "LineString"),
        ("split", {"id": "f1", "line": {"type": "LineString", "coordinates": [[1, 1], [2]]}}, "points"),
        ("split", {"id": "f1", "line": {"type": "LineString", "coordinates": [["a", 1], [2, 2]]}}, "points"),
        ("split", {"id": "f1", "line": {"type": "LineString", "coordinates": [[500, 500], [510, 510]]}}, "cut"),
        ("merge", {"ids": ["f1"]}, "two"),
        ("undo", {}, "undo"),
        ("redo", {}, "redo"),
        ("remake", {}, "threshold"),
        ("remake", {"threshold": "x", "min_area_m2": 1}, "threshold"),
        ("remake", {"threshold": True, "min_area_m2": 1}, "threshold"),
        ("remake", {"threshold": 1.5, "min_area_m2": 1}, "threshold"),
        ("remake", {"threshold": 0.5, "min_area_m2": -1}, "smallest"),
        ("sample", {"count": 1.5, "seed": 1}, "count"),
        ("sample", {"count": 10}, "seed"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    reader: Client, looked_at: ReviewServer, path: str, body: dict[str, Any], words: str
) -> None:
    journal = journal_path(looked_at.review.out)
    before = journal.read_bytes()
    answer = reader.refused(f"/api/{path}", body)
    assert words in f"{answer['error']} {answer['hint']}"
    assert journal.read_bytes() == before


def test_another_tab_hears_of_it(client: Client, served: Served) -> None:
    other = Client(client.port, client.token)
    start = other.get("/api/review")["last"]
    assert other.get(f"/api/since?n={start}")["changed"] == []
    client.post("/api/decide", ids=["f1"], set={"status": "rejected"})
    client.post("/api/draw", geometry=_square(200, 200))
    news = other.get(f"/api/since?n={start}")
    assert [item["id"] for item in news["changed"]] == ["d1", "f1"]
    assert news["last"] == start + 2
    assert news["progress"]["found"]["rejected"] == 1
    other.post("/api/decide", ids=["f2"], set={"status": "accepted"})
    assert [item["id"] for item in client.get(f"/api/since?n={news['last']}")["changed"]] == ["f2"]
    assert client.get("/api/since?n=999")["whole"]  # a number that this server has not given


def test_many_clients_lose_nothing(client: Client, out: Path) -> None:
    ids = [item["id"] for item in client.get("/api/items?queue=blank")["items"]][:12]
    answers: list[int] = []

    def work(mine: list[str]) -> None:
        for identity in mine:
            answer = client.post("/api/decide", ids=[identity], set={"status": "rejected"})
            answers.append(answer["last"])

    threads = [threading.Thread(target=work, args=(ids[k::4],)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == list(range(2, 14))
    assert set(read_journal(out).items) == set(ids)


def test_footprints_are_remade_in_the_background(client: Client, out: Path) -> None:
    shed = client.get("/api/items?queue=found")["items"][1]["id"]
    client.post("/api/decide", ids=[shed], set={"status": "accepted"})
    begun = client.post("/api/remake", threshold=0.8, min_area_m2=10)
    assert not begun["done"] or begun["share"] == 1.0
    work = _finished(client)
    assert work["error"] is None
    assert [conflict["kept"] for conflict in work["conflicts"]] == [shed]
    facts = client.get("/api/review")
    assert (facts["threshold"], facts["generation"]) == (0.8, 1)
    items = {item["id"]: item for item in client.get("/api/items?queue=found")["items"]}
    assert items[shed]["status"] == "accepted"
    assert client.get("/api/since?n=2")["whole"]
    assert read_journal(out).settings.threshold == 0.8


def _finished(client: Client) -> dict[str, Any]:
    until = threading.Event()
    for _ in range(600):
        work: dict[str, Any] = client.get("/api/work")
        if work["done"]:
            return work
        until.wait(0.05)
    raise AssertionError("it did not end")


def test_only_one_thing_is_at_work(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    go, review, client = threading.Event(), served.server.review, served.client
    monkeypatch.setattr(review, "remake", lambda *_: go.wait(30))
    assert client.ask("POST", "/api/remake", {"threshold": 0.4, "min_area_m2": 1})[0] == 202
    assert not client.get("/api/work")["done"]
    again = {"threshold": 0.6, "min_area_m2": 1}
    assert "already" in client.refused("/api/remake", again, status=409)["error"]
    client.post("/api/decide", ids=["f1"], set={"status": "accepted"})  # others go on
    go.set()
    assert _finished(client)["error"] is None
    monkeypatch.setattr(review, "remake", _full)
    client.post("/api/remake", **again)
    assert _finished(client)["error"] == "the disk is full"


def _full(*_: object) -> None:
    raise OutputError("the disk is full", hint="make room")


def test_a_sample_is_drawn_and_estimated(client: Client, out: Path) -> None:
    drawn = client.post("/api/sample", count=10, seed=3)
    assert drawn["progress"]["sample"]["total"] > 3
    sample = client.get("/api/items?queue=sample&order=random")["items"]
    assert all(item["stratum"] for item in sample)
    client.post("/api/decide", ids=[item["id"] for item in sample], set={"status": "rejected"})
    estimates = client.get("/api/estimates")
    assert "precision" in json.dumps(estimates)
    assert read_journal(out).sample is not None


def test_images_that_are_not_the_runs_are_said_on_the_page_too(out: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.tif", np.full((3, 512, 512), 9, dtype=np.uint8))
    said: list[str] = []
    given = {"before": None, "after": str(other)}
    with serving(out, given=given, warn=said.append) as server:
        facts = _client(server).get("/api/review")
    assert facts["warnings"] == said
    assert len(said) == 1
    assert "other.tif is not the file that the run was made from" in said[0]


def test_no_name_holds_a_key() -> None:
    image = Input("after", "https://me:secret@example.org/a.tif?sig=77", {}, is_the_runs=True)
    assert image.name == "a.tif"


def test_a_second_server_is_refused(served: Served, out: Path) -> None:
    with pytest.raises(OutputError, match="another hanet review") as error, serving(out):
        pass
    assert error.value.hint
    assert served.client.get("/api/review")["reviewer"] == "anna"  # the first one goes on


def test_a_port_that_is_taken_leaves_nothing_locked(out: Path, tmp_path: Path) -> None:
    taken = LocalServer(0, pages=tmp_path, answers=lambda _: pytest.fail("asked"))
    try:
        with pytest.raises(OutputError, match=f"port {taken.port}"), serving(out, port=taken.port):
            pass
    finally:
        taken.server_close()
    with serving(out):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_and_are_given_back(number: signal.Signals) -> None:
    earlier = signal.getsignal(number)
    with until_stopped() as stop:
        assert not stop.is_set()
        signal.raise_signal(number)
        assert stop.wait(5)
    assert signal.getsignal(number) is earlier


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """Under nohup the page outlives the terminal."""
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with until_stopped() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.wait(0.2)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, earlier)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_cleanly(out: Path, number: signal.Signals) -> None:
    with review_process(out) as process:
        process.post("/api/decide", ids=["f1"], set={"status": "accepted"})
        code, said = process.end(number)
    assert code == 0
    assert "Traceback" not in said
    assert said.startswith("ended: 1 of 3 footprints reviewed (1 accepted, 0 rejected, 0 unsure)")


def test_killed_at_any_moment_it_has_lost_nothing_that_was_told_as_saved(out: Path) -> None:
    told: list[str] = []

    def work(client: Client, ids: list[str]) -> None:
        for identity in ids:
            try:
                client.post("/api/decide", ids=[identity], set={"status": "rejected"})
            except (OSError, http.client.HTTPException):
                return
            told.append(identity)

    for number in (1, 2):
        with review_process(out) as process:
            ids = [item["id"] for item in process.get("/api/items?queue=blank")["items"]]
            rest = [identity for identity in ids if identity not in told]
            thread = threading.Thread(target=work, args=(process, rest))
            thread.start()
            while len(told) < 4 * number and thread.is_alive():
                thread.join(0.01)
            process.process.kill()
            thread.join()
    assert len(told) >= 8
    with serving(out) as server:
        items = _client(server).get("/api/items?queue=blank")["items"]
    status = {item["id"]: item["status"] for item in items}
    assert all(status[identity] == "rejected" for identity in told)


def test_a_second_process_is_refused(out: Path, refused: Any) -> None:
    with review_process(out):
        error, hint = refused("review", out, "--no-browser")
    assert "another hanet review" in error
    assert hint


def test_on_a_full_disk_what_is_told_as_saved_is_saved(out: Path) -> None:
    with serving(out):
        pass  # footprints and fingerprints are kept now
    journal = journal_path(out)
    limit = journal.stat().st_size + 2500
    told, refusals = [], []

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    with review_process(out, preexec_fn=small_files) as process:
        for item in process.get("/api/items?queue=blank")["items"][:12]:
            body = {"ids": [item["id"]], "set": {"status": "rejected"}}
            status, content, _ = process.ask("POST", "/api/decide", body)
            if status == 200:
                told.append(item["id"])
            else:
                refusals.append((status, json.loads(content)))
        statuses = {i["id"]: i["status"] for i in process.get("/api/items?queue=blank")["items"]}
        code, said = process.end(signal.SIGTERM)
    assert told
    assert refusals
    assert all(
        status == 503 and "cannot be written" in words["error"] for status, words in refusals
    )
    assert all(words["hint"] for _, words in refusals)
    assert code == 0
    assert "Traceback" not in said
    decided = {key for key, status in statuses.items() if status == "rejected"}
    assert decided == set(told)  # the page shows no more than is saved
    assert set(read_journal(out).items) == set(told)
    with serving(out) as server:  # and goes on where there is room again
        _client(server).post("/api/decide", ids=["f1"], set={"status": "accepted"})
    assert set(read_journal(out).items) == {*told, "f1"}
