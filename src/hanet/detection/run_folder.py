"""The folder of a detection while it runs: the lock, the journal, and what makes a result whole.

OUT/.hanet/lock              held by the running process
OUT/.hanet/journal.json      what the run is, how many rows of tiles are safely on disk, and what
was counted in them OUT/.hanet/probability.raw   probability so far OUT/.hanet/overview.raw
what the report shows of both dates so far OUT/run.json                 written last: a folder that
has it holds a finished run
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from hanet.errors import OutputError, SettingsError
from hanet.files import writing
from hanet.imagery.vectors import FORMATS
from hanet.types import Json

RESULTS = ("probability.tif", "probability.qml", "mask.tif", "mask.qml", "report.html", "run.json")
"""Files of a finished run, besides footprints.*."""


class RunState:
    """Holds the lock of an output folder for the time of a ``with``.

    Args:
        out: The folder; made if it is missing.
        identity: What decides the result: inputs, weights, settings.
        resume: Go on with an unfinished run of the same identity.
        overwrite: Throw away what is there.

    Attributes:
        rows_done: Rows of tiles that are on disk.
        tally: What was counted in them, by name.

    Raises:
        OutputError: The folder holds a result or another run, is in use, or cannot be made.
    """

    def __init__(self, out: Path, identity: Json, *, resume: bool, overwrite: bool) -> None:
        self.out, self.work = out, out / ".hanet"
        self._identity = json.loads(json.dumps(identity))
        self._made = [path for path in (out, self.work) if not path.exists()]
        self._lock = self._take_lock()
        self.tally: dict[str, int] = {}
        self.rows_done = 0
        try:
            self._clear_unfinished_files()
            self.rows_done = self._begin(resume=resume, overwrite=overwrite)
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> RunState:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()

    @property
    def is_finished(self) -> bool:
        """Whether the folder holds a finished run of this identity."""
        return (self.out / "run.json").exists()

    @property
    def raw(self) -> Path:
        """Probability so far."""
        return self.work / "probability.raw"

    @property
    def overview(self) -> Path:
        """Both dates so far, small."""
        return self.work / "overview.raw"

    def mark(self, rows_done: int, counted: Mapping[str, int] | None = None) -> None:
        """Sets down that so many rows of tiles are on disk, and adds what was counted in the last
        of them to the tally."""
        self.rows_done = rows_done
        for name, count in (counted or {}).items():
            self.tally[name] = self.tally.get(name, 0) + count
        self._write_journal()

    def start_anew(self) -> None:
        """Forgets the rows that are done, on disk too: what lies there of them cannot be used."""
        self.rows_done, self.tally = 0, {}
        self._write_journal()

    def finish(self, manifest: Json) -> None:
        """Writes run.json and clears the work folder."""
        text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
        self._write_whole(self.out / "run.json", text)
        shutil.rmtree(self.work, ignore_errors=True)

    def _begin(self, *, resume: bool, overwrite: bool) -> int:
        finished, journal = (self.out / "run.json"), (self.work / "journal.json")
        if overwrite:
            for path in (*self._results, journal, self.raw, self.overview):
                path.unlink(missing_ok=True)
        if finished.exists():
            theirs = _read_json(finished).get("identity")
            if not resume:
                raise OutputError(
                    f"{self.out} already holds a result",
                    hint="choose another --out, or give --overwrite",
                )
            self._check_same(theirs)
            return 0
        if journal.exists():
            state = _read_json(journal)
            if not resume:
                raise OutputError(
                    f"{self.out} holds an unfinished run",
                    hint="go on with --resume, or give --overwrite",
                )
            self._check_same(state.get("identity"))
            self.tally = {str(name): int(count) for name, count in state.get("tally", {}).items()}
            return int(state.get("rows_done", 0))
        foreign = [path.name for path in self._results if path.exists()]
        if foreign:
            raise OutputError(
                f"{self.out} holds {', '.join(foreign)}, which no run here has made",
                hint="choose another --out, or give --overwrite to throw them away",
            )
        self.rows_done = 0
        self._write_journal()
        return 0

    def _clear_unfinished_files(self) -> None:
        """Removes what a killed run was writing beside its results; while the lock is held no other
        run writes here.

        Whatever else the folder holds is somebody's: it may be where the user works.
        """
        for path in self.out.glob(".footprints.*"):
            shutil.rmtree(path, ignore_errors=True)
        for result in RESULTS:
            for path in self.out.glob(f".{result}.*"):
                if path.suffix in (".partial", ".vrt"):
                    path.unlink(missing_ok=True)

    @property
    def _results(self) -> list[Path]:
        """Files that a run may leave."""
        footprints = (f"footprints{suffix}" for suffix in FORMATS.values())
        return [self.out / name for name in (*RESULTS, *footprints)]

    def _check_same(self, theirs: Json | None) -> None:
        if theirs == self._identity:
            return
        known = theirs if isinstance(theirs, dict) else {}
        changed = sorted(k for k in self._identity if known.get(k) != self._identity[k])
        ours, other = self._identity.get("settings"), known.get("settings")
        if "settings" in changed and isinstance(ours, dict) and isinstance(other, dict):
            names = sorted(k for k in {**ours, **other} if ours.get(k) != other.get(k))
            changed[changed.index("settings")] = f"settings ({', '.join(names)})"
        raise OutputError(
            f"the run in {self.out} is another one: {', '.join(changed)} differ",
            hint="resume with the same inputs and options, or give --overwrite",
        )

    def _write_journal(self) -> None:
        state = {"identity": self._identity, "rows_done": self.rows_done, "tally": self.tally}
        self._write_whole(self.work / "journal.json", json.dumps(state))

    def _write_whole(self, path: Path, text: str) -> None:
        partial = self.work / f"{path.name}.partial"
        try:
            with writing(path):
                with partial.open("w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def _take_lock(self) -> IO[str]:
        """The operating system lets go of the lock when the process ends, however it ends."""
        while True:
            with writing(self.out):
                self.work.mkdir(parents=True, exist_ok=True)
                file = (self.work / "lock").open("w", encoding="utf-8")
            try:
                _lock(file)
            except OSError as error:
                file.close()
                raise OutputError(
                    f"another hanet detect is at work in {self.out}",
                    hint="wait for it, or choose another --out",
                ) from error
            if os.name == "nt" or _is_file_at(file, self.work / "lock"):
                return file
            # its holder removed it between our two calls: a lock on it would keep nobody out
            file.close()

    def _release(self) -> None:
        path = self.work / "lock"
        if (
            os.name == "nt"
        ):  # pragma: no cover - the tests run on Linux; there no open file can be removed
            self._lock.close()
            with suppress(OSError):  # another run has opened it by now
                path.unlink()
        # the other way round another process could take it in between, and we would remove what it
        # holds
        else:
            if _is_file_at(self._lock, path):
                path.unlink()
            self._lock.close()
        for path in reversed(self._made):  # an error before the first row leaves nothing behind
            if (
                path == self.work
                and path.exists()
                and not self.rows_done
                and {p.name for p in path.iterdir()}
                <= {"journal.json", self.raw.name, self.overview.name}
            ):
                shutil.rmtree(path, ignore_errors=True)
            elif path.exists() and not any(path.iterdir()):
                path.rmdir()


def check_folder_choice(*, resume: bool, overwrite: bool) -> None:
    """Does nothing unless a folder is to be both gone on with and thrown away.

    Raises:
        SettingsError: It is.
    """
    if resume and overwrite:
        raise SettingsError(
            "--resume keeps what --out holds, --overwrite throws it away; both are given",
            hint="give one of the two",
        )


def _lock(file: IO[str]) -> None:
    """Raises OSError where another process holds the lock."""
    if os.name == "nt":  # pragma: no cover - the tests run on Linux
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_file_at(file: IO[str], path: Path) -> bool:
    """Whether the open file is still the one that bears this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _read_json(path: Path) -> Json:
    try:
        value: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path} is damaged: {error}", hint="give --overwrite to start anew"
        ) from error
    return value
