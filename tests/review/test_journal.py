"""The journal: what is told as saved is on the disk, and comes back whatever happens to the rest."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import shapely

from hanet.documents import MAX_VALUES
from hanet.errors import InputError, OutputError
from hanet.footprints.settings import FootprintSettings
from hanet.review.items import Item
from hanet.review.journal import Journal, ReviewState, journal_path, read_journal
from hanet.types import Json

GRID = {"crs": None, "transform": [1.0, 0.0, 0.0, 0.0, -1.0, 0.0], "height": 50, "width": 60}
FIRST = Item("f1", "found", shapely.box(2, 3, 6, 9), 0.75)
SECOND = Item("f2", "found", shapely.box(12, 3, 16, 9), 0.5)


def begin(**changes: Any) -> Json:
    return {
        "do": "begin",
        "format": 1,
        "hanet": "1.0",
        "probability_sha256": "00",
        "grid": GRID,
        "settings": FootprintSettings(threshold=0.5).to_json(),
        **changes,
    }


def decide(item: Item, status: str) -> Json:
    return {
        "do": "decide",
        "items": [item.body()],
        "set": {"status": status},
        "was": [item.decision()],
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "review").mkdir()
    return tmp_path


def write(journal: Journal, *records: Json) -> None:
    for record in records:
        last = journal.state.last if journal.state else 0
        journal.append({"n": last + 1, "at": "2026-11-28T12:00:00.000Z", "by": "anna", **record})


def written(out: Path, *records: Json) -> list[bytes]:
    """A journal with these records; its lines."""
    journal = Journal(journal_path(out))
    write(journal, *records)
    journal.close()
    return journal_path(out).read_bytes().splitlines(keepends=True)


def statuses(state: ReviewState | None) -> dict[str, str]:
    assert state is not None
    return {key: item.status for key, item in state.items.items()}


def test_what_was_appended_is_read_back(out: Path) -> None:
    lines = written(out, begin(), decide(FIRST, "accepted"), decide(SECOND, "unsure"))
    assert [json.loads(line)["n"] for line in lines] == [1, 2, 3]
    state = read_journal(out)
    assert statuses(state) == {"f1": "accepted", "f2": "unsure"}
    assert state.items["f1"].reviewer == "anna"
    assert state.items["f1"].reviewed_at == "2026-11-28T12:00:00.000Z"
    assert state.items["f1"].geometry.equals(FIRST.geometry)
    assert state.settings.threshold == 0.5
    assert (state.grid.height, state.grid.width) == (50, 60)


def test_what_could_not_be_read_back_is_not_written(out: Path) -> None:
    lines = written(out, begin(), decide(FIRST, "accepted"))
    journal = Journal(journal_path(out))
    with pytest.raises(InputError, match="lone surrogate"):
        write(journal, {**decide(SECOND, "unsure"), "file": "\ud800"})
    journal.close()
    assert journal_path(out).read_bytes() == b"".join(lines)
    assert statuses(read_journal(out)) == {"f1": "accepted"}


def test_a_record_of_very_many_values_is_read_back(out: Path) -> None:
    many = {**decide(FIRST, "accepted"), "corners": [0] * (MAX_VALUES + 1)}
    written(out, begin(), many)
    assert statuses(read_journal(out)) == {"f1": "accepted"}


def test_undo_and_redo_only_add_lines(out: Path) -> None:
    journal = Journal(journal_path(out))
    write(journal, begin(), decide(FIRST, "accepted"), decide(FIRST, "rejected"))
    write(journal, {"do": "undo", "undoes": 3})
    assert statuses(journal.state) == {"f1": "accepted"}
    write(journal, {"do": "undo", "undoes": 2})
    assert statuses(journal.state) == {}
    write(journal, {"do": "redo", "redoes": 2}, {"do": "redo", "redoes": 3})
    assert statuses(journal.state) == {"f1": "rejected"}
    journal.close()
    assert statuses(read_journal(out)) == {"f1": "rejected"}
    assert len(journal_path(out).read_bytes().splitlines()) == 7


def test_cut_at_any_byte_the_whole_records_before_it_remain(out: Path) -> None:
    lines = written(out, begin(), decide(FIRST, "accepted"), decide(SECOND, "unsure"))
    expected = [{}, {"f1": "accepted"}, {"f1": "accepted", "f2": "unsure"}]
    content = b"".join(lines)
    path = journal_path(out)
    ends = [len(b"".join(lines[: count + 1])) for count in range(3)]
    near_an_end = {end + off for end in ends for off in (-2, -1, 0, 1, 2)}
    for cut in sorted({*range(ends[0], len(content), 23), *near_an_end}):
        if not ends[0] <= cut <= len(content):
            continue
        path.write_bytes(content[:cut])
        # a line that lacks only its line break is whole
        whole = sum(end <= cut + 1 for end in ends)
        assert statuses(read_journal(out)) == expected[whole - 1]
        journal = Journal(path)
        assert statuses(journal.state) == expected[whole - 1]
        write(journal, decide(FIRST, "rejected"))
        journal.close()
        assert statuses(read_journal(out)) == {**expected[whole - 1], "f1": "rejected"}
        torn = path.with_name("journal.torn")
        if cut > ends[whole - 1]:
            assert torn.read_bytes() == content[ends[whole - 1] : cut]


def test_a_journal_cut_within_its_first_line_begins_again(out: Path) -> None:
    lines = written(out, begin())
    journal_path(out).write_bytes(lines[0][:20])
    with pytest.raises(OutputError, match="empty"):
        read_journal(out)
    journal = Journal(journal_path(out))
    assert journal.state is None
    write(journal, begin(), decide(FIRST, "accepted"))
    journal.close()
    assert statuses(read_journal(out)) == {"f1": "accepted"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: b"\0" * (len(line) - 1) + b"\n",
        lambda line: line.replace(b'"n":2', b'"n":7'),
        lambda line: line.replace(b'"do":"decide"', b'"do":"dream"'),
        lambda line: line.replace(b'"status":"accepted"', b'"status":"fine"'),
        lambda line: line.replace(b'"items"', b'"atoms"'),
        lambda line: line.replace(b"Polygon", b"Polyglot"),
        lambda _: b"[]\n",
        lambda _: b"",
    ],
)
def test_a_damaged_line_in_the_middle_is_refused_by_its_number(out: Path, damage: Any) -> None:
    lines = written(out, begin(), decide(FIRST, "accepted"), decide(SECOND, "unsure"))
    content = lines[0] + damage(lines[1]) + lines[2]
    journal_path(out).write_bytes(content)
    with pytest.raises(OutputError, match="damaged in line 2"):
        read_journal(out)
    with pytest.raises(OutputError, match="damaged in line 2"):
        Journal(journal_path(out))
    assert journal_path(out).read_bytes() == content


def test_a_journal_of_another_format_is_refused(out: Path) -> None:
    lines = written(out, begin())
    journal_path(out).write_bytes(lines[0].replace(b'"format":1', b'"format":2'))
    with pytest.raises(OutputError, match="has format 2; this version reads format 1"):
        Journal(journal_path(out))


def test_a_folder_without_a_journal_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="has not been reviewed yet"):
        read_journal(tmp_path)


def test_a_link_in_place_of_the_journal_is_refused(out: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    journal_path(out).symlink_to(elsewhere)
    with pytest.raises(OutputError, match="is a link"):
        Journal(journal_path(out))
    assert elsewhere.read_text() == "mine"


def test_a_record_that_cannot_come_next_writes_nothing(out: Path) -> None:
    journal = Journal(journal_path(out))
    write(journal, begin(), decide(FIRST, "accepted"))
    size = journal_path(out).stat().st_size
    for wrong in (
        {"do": "undo", "undoes": 1},
        {"do": "redo", "redoes": 2},
        decide(FIRST, "fine"),
        {**decide(FIRST, "unsure"), "n": 9},
        {"do": "remake", "settings": {}, "generation": 5, "taken": {}, "conflicts": []},
        {"do": "draw", "item": FIRST.body(), "set": {}},
    ):
        with pytest.raises(InputError):
            write(journal, wrong)
        assert journal_path(out).stat().st_size == size
        assert statuses(journal.state) == {"f1": "accepted"}
    journal.close()


def test_a_full_disk_leaves_journal_and_state_as_before(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(journal_path(out))
    write(journal, begin(), decide(FIRST, "accepted"))
    content = journal_path(out).read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left"):
            write(journal, decide(FIRST, "rejected"))
        # it could not be made sure either that the line is gone again
        with pytest.raises(OutputError, match="could not be put right"):
            write(journal, decide(FIRST, "rejected"))
    assert journal_path(out).read_bytes() == content
    assert statuses(journal.state) == {"f1": "accepted"}
    journal.close()
    again = Journal(journal_path(out))
    write(again, decide(FIRST, "rejected"))
    again.close()
    assert statuses(read_journal(out)) == {"f1": "rejected"}
