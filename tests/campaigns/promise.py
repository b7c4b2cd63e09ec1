"""The promise that every command keeps whatever it is given, checked on one finished command."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from campaigns.kinds import Command

LONGEST_LINE = 1000
MOST_SECONDS = 60.0
MOST_BYTES = 6 * 2**30
MOST_PROCESSES = 100
"""No case needs more of them; a fork without end would stop the machine."""

PREFIXES = ("error: ", "hint: ", "note: ", "warning: ")
"""How each line on stderr begins; whatever else stands there is a library's chatter."""

TRACEBACK = "Traceback (most recent call last)"

PROGRESS = re.compile(r".*: \d+/\d+ loss ")
"""A line of ``hanet train`` on its way, where stderr is no terminal."""

LIBRARIES = re.compile(
    r"^(ERROR \d|Warning \d|.*\w+Warning: |\d{4}-\d\d-\d\d .*onnxruntime|\[W:|\[E:|.*site-packages)"
)
"""Lines of GDAL, Python's warnings and ONNX Runtime, on stdout too."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A broken promise.

    Args:
        sort: Which: traceback, code, form, chatter, control, secret, formula, hang, processes, memory,
            outside, input, leftover.
        place: Where in our source, as far as it can be told.
        text: What was seen, shortened.
    """

    sort: str
    place: str
    text: str

    @property
    def key(self) -> str:
        """The same for problems of one cause: without numbers, quoted parts, paths, repetitions."""
        text = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "_", self.text)
        text = re.sub(r"(.)\1{9,}", r"\1...", text)
        text = re.sub(r"['\"`].*", "_", text)  # a quoted part that was cut off
        text = re.sub(r"(/[\w.@~+-]+)+/?", "/_", text)
        text = re.sub(r"[0-9]+", "N", text)
        return f"{self.sort}: {self.place} {text}".strip()[:160]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Args:
        code: Exit code; minus the signal that killed it; None where it had to be stopped.
        seconds: Wall time.
        peak_bytes: Largest resident memory.
        processes: Most processes that it was seen to have.
        stdout: What it wrote there.
        stderr: And there.
    """

    code: int | None
    seconds: float
    peak_bytes: int
    processes: int
    stdout: bytes
    stderr: bytes


Listing = dict[str, tuple[str, str]]
"""Path below a folder to sort (file, folder, link) and hash of the content or target."""


def listing(folder: Path) -> Listing:
    """What lies in a folder. Names that are not UTF-8 are kept as surrogates."""
    found: Listing = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(root, name)  # noqa: PTH118 - names may be no text
            mode = os.lstat(path).st_mode
            key = os.path.relpath(path, folder)
            if stat.S_ISLNK(mode):
                found[key] = ("link", os.readlink(path))  # noqa: PTH115
            elif stat.S_ISDIR(mode):
                found[key] = ("folder", "")
            elif stat.S_ISREG(mode):
                with open(path, "rb") as file:  # noqa: PTH123
                    found[key] = ("file", hashlib.file_digest(file, "sha256").hexdigest())
            else:
                found[key] = ("other", "")
    return found


def problems(
    command: Command, ended: Ended, *, folder: Path, before: Listing, home: Path
) -> Iterator[Problem]:
    """Every promise that this command broke.

    Args:
        command: What was typed.
        ended: How it ended.
        folder: Its working folder.
        before: What lay there before.
        home: Its HOME and TMPDIR, which stay empty.
    """
    if ended.processes > MOST_PROCESSES:
        yield Problem("processes", "", f"{ended.processes} of them, and stopped")
    elif ended.code is None:
        yield Problem("hang", "", f"no end after {ended.seconds:.0f} s")
    if ended.peak_bytes > MOST_BYTES:
        yield Problem("memory", "", f"{ended.peak_bytes / 2**30:.1f} GB")
    stdout, stderr = _text(ended.stdout), _text(ended.stderr)
    if TRACEBACK in stderr:
        yield _traceback(stderr)
    else:
        yield from _ending(command, ended, stderr)
    for name, text in (("stdout", stdout), ("stderr", stderr)):
        yield from _terminal(name, text)
    for secret in command.secrets:
        if secret in stdout + stderr:
            yield Problem("secret", "terminal", _line_with(secret, stdout + stderr))
    yield from _files(command, ended, folder, before)
    for path in listing(home):
        yield Problem("leftover", "in TMPDIR or HOME", path)


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="surrogateescape")


def _traceback(stderr: str) -> Problem:
    frames = re.findall(r'File "[^"]*/src/hanet/([^"]+)", line (\d+)', stderr)
    place = ":".join(frames[-1]) if frames else "outside hanet"
    last = [line for line in stderr.splitlines() if re.match(r"[\w.]+(:|$)", line)]
    said = last[-1] if last else stderr.splitlines()[-1]
    return Problem("traceback", place, _shortened(said))


def _ending(command: Command, ended: Ended, stderr: str) -> Iterator[Problem]:
    """Exit code, and what stands on stderr with it."""
    allowed = (0, 1, 2) if command.may_find_faults else (0, 2)
    if ended.code is not None and ended.code not in allowed:
        yield Problem("code", "", f"exit code {ended.code}: {_shortened(stderr[-200:])}")
    lines = stderr.splitlines()
    for line in lines:
        if line and not line.startswith(PREFIXES) and not PROGRESS.match(line):
            yield Problem("chatter", f"(exit {ended.code})", _shortened(line))
            break
    counts = [sum(line.startswith(prefix) for line in lines) for prefix in PREFIXES[:2]]
    if ended.code == 2 and counts != [1, 1]:
        yield Problem("form", "", f"{counts[0]} error lines and {counts[1]} hint lines")
    if ended.code in (0, 1) and counts[0]:
        yield Problem("form", "", f"exit code {ended.code} with an error line")
    for line in lines:
        if line.startswith("error: ") and re.search(r"not enough memory|memory does not", line):
            yield Problem("memory", "refused at the limit", _shortened(line))
        if line in ("error: ", "hint: "):
            yield Problem("form", "", f"an empty line {line}")


OBEYED = {
    "control characters": r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]",
    "bytes that are no UTF-8": r"[\udc80-\udcff]",
    "marks that turn the direction of text": r"[\u202a-\u202e\u2066-\u2069]",
}
"""What a terminal obeys instead of showing it."""


def _terminal(name: str, text: str) -> Iterator[Problem]:
    """What a terminal would choke on."""
    for label, pattern in OBEYED.items():
        if found := re.search(pattern, text):
            begins = text.rfind("\n", 0, found.start()) + 1
            head, near = text[begins : begins + 40], text[found.start() : found.start() + 20]
            said = head if begins + 40 > found.start() else f"{head} ... {near}"
            yield Problem("control", f"{label} on {name}:", _shortened(said))
    longest = max(text.split("\n"), key=len)
    is_value = longest.lstrip().startswith('"')  # of --json, which no one reads on a terminal
    if len(longest) > LONGEST_LINE and not is_value and TRACEBACK not in text:
        where = f"a line of more than {LONGEST_LINE} characters on {name}:"
        yield Problem("form", where, _shortened(longest[:80]))
    if name == "stdout":
        chatter = [line for line in text.splitlines() if LIBRARIES.match(line)]
        if chatter:
            yield Problem("chatter", "on stdout", _shortened(chatter[0]))


def _files(command: Command, ended: Ended, folder: Path, before: Listing) -> Iterator[Problem]:
    """What was changed, written elsewhere, or left over."""
    after = listing(folder)
    writes = [os.path.relpath(path, folder) for path in command.writes]

    keeps = [os.path.relpath(path, folder) for path in command.keeps]

    def lies_in(path: str, places: list[str]) -> bool:
        return any(path == place or path.startswith(f"{place}/") for place in places)

    def is_own(path: str) -> bool:
        return lies_in(path, writes) and not lies_in(path, keeps)

    for path in sorted(before.keys() | after.keys()):
        if before.get(path) == after.get(path):
            continue
        if not is_own(path):
            sort = "input" if path in before else "outside"
            done = "removed" if path not in after else "changed" if path in before else "made"
            yield Problem(sort, done, _shortened(path))
        elif path not in before and _is_leftover(path, ended, writes):
            yield Problem("leftover", f"(exit {ended.code})", _shortened(path))
        elif after.get(path, ("", ""))[0] == "file":
            yield from _result(command, folder, path)


def _is_leftover(path: str, ended: Ended, writes: list[str]) -> bool:
    """Hidden and partial files; a run that failed may keep the folder it can be resumed from."""
    parts = path.split("/")
    is_unfinished = path.endswith((".partial", ".tmp", ".vrt"))
    if ended.code != 0 and ".hanet" in parts:
        return parts[-1] == "lock"
    if ended.code != 0 and parts[0].endswith(".partial") and parts[0] in writes:
        return is_unfinished and len(parts) > 1
    return is_unfinished or (parts[-1].startswith(".") and path not in writes)


def _result(command: Command, folder: Path, path: str) -> Iterator[Problem]:
    """Secrets and formulas in a file of results."""
    content = (folder / path).read_bytes()
    for secret in command.secrets:
        if secret.encode() in content:
            yield Problem("secret", f"in {Path(path).name}", secret)
    if path.endswith(".csv"):
        text = content.decode("utf-8", errors="surrogateescape")
        for row in csv.reader(text.splitlines()):
            for cell in row:
                if cell[:1] in ("=", "+", "-", "@", "\t", "\r") and not _is_number(cell):
                    yield Problem("formula", f"in {Path(path).name}", _shortened(cell[:80]))
                    return


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", cell) is not None


def _line_with(part: str, text: str) -> str:
    return _shortened(next(line for line in text.splitlines() if part in line))


def _shortened(text: str) -> str:
    return text.strip().encode("unicode_escape").decode()[:300]
