"""Whatever is done, and however it ends: the journal alone gives it back."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanet.errors import HanetError, OutputError
from hanet.review.finding import Findings, find
from hanet.review.items import Item
from hanet.review.journal import journal_path, read_journal
from hanet.review.label_tiles import SuggestedTile, label_tiles, tile_item
from hanet.review.review import Review, read_review
from hanet.review.reviewed_sample import estimates_json
from hanet.review.work import Work
from hanet.types import Json, Progress
from reviewed_runs import finished_run, village

STATUSES = st.sampled_from(["accepted", "rejected", "unsure", "unreviewed"])
PLACES = st.integers(0, 400)
OPERATIONS = st.one_of(
    st.tuples(st.just("decide"), st.integers(0, 99), STATUSES),
    st.tuples(st.just("comment"), st.integers(0, 99), st.text(max_size=8)),
    st.tuples(st.just("draw"), PLACES, PLACES),
    st.tuples(st.just("reshape"), st.integers(0, 99), PLACES),
    st.tuples(st.just("split"), st.integers(0, 99), st.floats(0.1, 0.9)),
    st.tuples(st.just("merge"), st.integers(0, 99), st.integers(0, 99)),
    st.tuples(st.just("take_back"), st.integers(0, 99), STATUSES),
    st.tuples(st.just("remake"), st.sampled_from([0.3, 0.5, 0.6]), st.none()),
    st.tuples(st.just("sample"), st.integers(1, 8), st.integers(0, 9)),
    st.tuples(st.just("suggest"), st.integers(1, 8), st.text(max_size=8)),
    st.tuples(st.just("undo"), st.none(), st.none()),
    st.tuples(st.just("redo"), st.none(), st.none()),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose findings are kept, and nothing decided."""
    out = finished_run(tmp_path_factory.mktemp("run"), village(256), outline="pixels")
    with Review.open(out, reviewer="anna"):
        pass
    journal_path(out).unlink()
    return out


def do(review: Review, what: str, first: object, second: object) -> None:
    """An operation on the item that a number falls on."""
    listed = sorted(review.all_items())

    def chosen(number: object) -> Item:
        assert isinstance(number, int)
        return review.item(listed[number % len(listed)])

    if what == "decide":
        review.decide([chosen(first).id], {"status": second})
    elif what == "comment":
        review.decide([chosen(first).id], {"comment": second})
    elif what == "draw":
        review.draw(shapely.box(first, second, first + 9, second + 7))
    elif what == "reshape":
        review.reshape(chosen(first).id, shapely.box(second, 30, second + 8, 50))
    elif what == "split":
        left, top, right, bottom = chosen(first).geometry.bounds
        x = left + (right - left) * float(str(second))
        review.split(chosen(first).id, shapely.LineString([(x, top - 1), (x, bottom + 1)]))
    elif what == "merge":
        review.merge([chosen(first).id, chosen(second).id])
    elif what == "take_back":
        review.take_back("edited.gpkg", [replace(chosen(first), status=second)])
    elif what == "remake":
        review.remake(replace(review.settings, threshold=first))
    elif what == "sample":
        review.make_sample(first, second)
    elif what == "suggest":
        tile = tile_item(0, label_tiles(review.grid)[0])
        review.suggest([SuggestedTile(tile, str(second))], count=int(str(first)), seed=0)
    else:
        getattr(review, what)()


def counted(review: Review) -> Json:
    """The progress, which must be what one counts in the queues."""
    progress = review.progress()
    for name in ("found", "missed", "blank", "sample"):
        statuses = [item.status for item in review.items(name)]
        counts = {status: statuses.count(status) for status in ("accepted", "rejected", "unsure")}
        reviewed = len(statuses) - statuses.count("unreviewed")
        assert progress[name] == {"total": len(statuses), "reviewed": reviewed, **counts}
    assert progress["drawn"] == len(review.items("drawn"))
    return progress


def everything(review: Review) -> Json:
    return {
        "items": {key: item.to_json() for key, item in review.all_items().items()},
        "queues": {
            name: [item.id for item in review.items(name)]
            for name in ("found", "sample", "suggested")
        },
        "reasons": [review.reason(identity) for identity in review.all_items()],
        "progress": counted(review),
        "settings": review.settings.to_json(),
        "can": (review.can_undo, review.can_redo, review.last, review.generation),
        "conflicts": [conflict.to_json() for conflict in review.conflicts],
        "next": review.next_drawn(),
    }


@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(OPERATIONS, max_size=12))
def test_any_sequence_is_rebuilt_from_the_journal(
    run: Path,
    tmp_path_factory: pytest.TempPathFactory,
    operations: list[tuple[str, object, object]],
) -> None:
    folder = tmp_path_factory.mktemp("any")
    out = Path(shutil.copytree(run, folder / "changes"))
    with Review.open(out, reviewer="anna") as review:
        for operation in operations:
            before = everything(review)
            try:
                do(review, *operation)
            except HanetError:
                # what is refused leaves no trace
                assert everything(review) == before
            assert len(journal_path(out).read_bytes().splitlines()) == review.last
        expected = everything(review)
    with Review.open(out, reviewer="ben") as review:
        assert everything(review) == expected
    shutil.rmtree(folder)


def test_killed_at_any_moment_what_was_told_as_saved_is_there(run: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(run, tmp_path / "changes"))
    code = (
        "import sys; from pathlib import Path; from hanet.review.review import Review\n"
        f"review = Review.open(Path({str(out)!r}), reviewer='anna')\n"
        "for number in range(10**6):\n"
        "    review.decide(['f1'], {'comment': str(number)})\n"
        "    sys.stdout.write(f'{number}\\n'); sys.stdout.flush()\n"
    )
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        saved = read_journal(out).items["f1"].comment
        # the one that was being told when it was killed may be saved, too
        assert int(saved) - int(told[-1]) in (0, 1)
        # the lock of the killed process keeps nobody out
        with Review.open(out, reviewer="ben") as review:
            assert review.item("f1").comment == saved
            review.decide(["f1"], {"comment": "100000"})


@pytest.mark.skipif(os.name == "nt", reason="file size limits are of POSIX")
def test_a_disk_that_takes_half_a_line_keeps_the_rest_as_it_was(run: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(run, tmp_path / "changes"))
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Review.open(out, reviewer="anna") as review:
            review.decide(["f1"], {"status": "accepted"})
            before, content = everything(review), journal_path(out).read_bytes()
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) + 60, old[1]))
            operations: list[Callable[[], object]] = [
                lambda: review.decide(["f1"], {"status": "rejected"}),
                lambda: review.draw(shapely.box(50, 50, 60, 60)),
                lambda: review.make_sample(3, 1),
                review.undo,
            ]
            for operation in operations:
                with pytest.raises(OutputError, match="cannot be written"):
                    operation()
                assert everything(review) == before
                assert journal_path(out).read_bytes() == content
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
            # there is room again
            review.decide(["f1"], {"status": "rejected"})
            assert read_journal(out).items["f1"].status == "rejected"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


def test_findings_that_a_killed_remake_left_are_removed(run: Path, tmp_path: Path) -> None:
    """Killed after it kept new findings, before it removed the old ones and wrote its record."""
    out = tmp_path / "run"
    shutil.copytree(run, out)
    with Review.open(out, reviewer="anna"):
        pass
    (kept,) = (out / "review").glob("findings-*")
    shutil.copy(kept, kept.with_name("findings-0123456789abcdef.npz"))
    with Review.open(out, reviewer="anna"):
        assert list((out / "review").glob("findings-*")) == [kept]


def test_findings_that_cannot_be_kept_are_found_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(run, tmp_path / "changes"))
    for path in (out / "review").glob("findings-*"):
        path.unlink()

    def full(*_: object) -> None:
        raise OutputError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("hanet.review.reviewed_run.keep_findings", full)
        with Review.open(out, reviewer="anna") as review:
            expected = sorted(review.all_items())
    assert not list((out / "review").glob("findings-*"))
    with Review.open(out, reviewer="anna") as review:
        assert sorted(review.all_items()) == expected
    assert len(list((out / "review").glob("findings-*"))) == 1


def test_a_torn_end_is_kept_aside(run: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(run, tmp_path / "changes"))
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"status": "accepted"})
        review.decide(["f2"], {"status": "accepted"})
    content = journal_path(out).read_bytes()
    journal_path(out).write_bytes(content[:-30])
    with Review.open(out, reviewer="anna") as review:
        assert review.item("f1").status == "accepted"
        assert review.item("f2").status == "unreviewed"
        assert review.last == 2
    kept = (out / "review" / "journal.torn").read_bytes()
    assert content.endswith(kept + content[-30:])
    assert json.loads(content.splitlines()[1])["n"] == 2


def test_footprints_of_another_version_are_matched_with_what_was_decided(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(run, tmp_path / "changes"))
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"status": "accepted"})
        shed = review.item("f1").geometry
    for path in (out / "review").glob("findings-*"):
        path.unlink()

    def in_another_order(*args: Any, **how: Any) -> Findings:
        findings = find(*args, **how)
        return replace(findings, found=findings.found[::-1]).of_generation(0)

    monkeypatch.setattr("hanet.review.reviewed_run.find", in_another_order)
    # without the match, footprint 1 of this version would pass for the one that was accepted
    for items in (read_review(out), Review.open(out, reviewer="anna")):
        found = items if isinstance(items, dict) else items.all_items()
        names = sorted(key for key, item in found.items() if item.source == "found")
        assert names == ["1-1", "1-2", "f1"]
        assert found["f1"].geometry.equals(shed)
        assert found["f1"].status == "accepted"
        if isinstance(items, Review):
            items.close()
    assert read_journal(out).generation == 1


@pytest.fixture(scope="module")
def records(run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    """A journal with a record of each kind."""
    out = Path(shutil.copytree(run, tmp_path_factory.mktemp("all") / "changes"))
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1"], {"status": "accepted"})
        review.draw(shapely.box(100, 100, 109, 107))
        review.reshape("d1", shapely.box(100, 90, 109, 107))
        review.split("f2", shapely.LineString([(20, 0), (20, 99)]))
        review.take_back("edited.gpkg", [replace(review.item("f1"), comment="seen")])
        review.undo()
        review.redo()
        review.merge(["d1", "d2"])
        review.remake(replace(review.settings, threshold=0.6))
        review.make_sample(5, 1)
        tile = tile_item(0, label_tiles(review.grid)[0])
        review.suggest([SuggestedTile(tile, "much doubt")], count=1, seed=1)
    found = [json.loads(line) for line in journal_path(out).read_text().splitlines()]
    kinds = "begin decide draw reshape split taken_back undo redo merge remake sample suggest"
    assert [record["do"] for record in found] == kinds.split()
    return found


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_journal_that_somebody_changed_is_read_or_refused(
    records: list[Json], tmp_path: Path, data: st.DataObject
) -> None:
    changed = json.loads(json.dumps(records))
    place = changed[data.draw(st.integers(0, len(changed) - 1))]
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not (isinstance(inner, dict | list) and inner) or data.draw(st.integers(0, 3)) == 0:
            break
        place = inner
    values = st.sampled_from([None, True, -1, 7, 0.5, 1e300, 2**63, "", "x", "\x07", [], {}, [[]]])
    if isinstance(place, dict) and data.draw(st.booleans()):
        del place[key]
    else:
        place[key] = data.draw(values)
    out = tmp_path / "changed"
    (out / "review").mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(record) + "\n" for record in changed)
    journal_path(out).write_text(text)
    with suppress(OutputError):
        state = read_journal(out)
        assert state.last == len(records)
        for item in state.items.values():
            json.dumps(item.to_json(), allow_nan=False)
        json.dumps(estimates_json(state))


def test_what_a_killed_process_was_writing_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    out = finished_run(tmp_path / "out", village())
    folder = out / "review"
    folder.mkdir()
    left = folder / ".findings-0123456789abcdef.npz.77.partial"
    mine = folder / ".notes.77.partial"
    for path in (left, mine):
        path.write_bytes(b"x")
    with Review.open(out, reviewer="anna"):
        pass
    assert not left.exists()
    assert mine.exists()


def test_the_end_of_the_program_waits_for_what_is_at_work() -> None:
    """A file was left half written where Ctrl-C came while footprints were made again."""
    work, ends = Work(), []

    def do(progress: Progress) -> Json:
        try:
            while True:
                progress("stage", 0.5)
                time.sleep(0.01)
        finally:
            time.sleep(0.1)
            ends.append("cleared")

    assert work.start("stage", do)
    work.close()
    assert ends == ["cleared"]
