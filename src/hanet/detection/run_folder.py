"""The folder of a detection while it runs: the lock, the journal, and what makes a result whole.

| file | what |
|---|---|
| ``OUT/.hanet/lock`` | held by the running process |
| ``OUT/.hanet/journal.json`` | which run it is, its files, and the rows that are done |
| ``OUT/.hanet/probability.raw`` | probability so far |
| ``OUT/.hanet/built.raw`` | probability of "built" so far, where something has changed |
| ``OUT/.hanet/overview.raw`` | what the report shows of both dates so far |
| ``OUT/.hanet/renewal.json`` | what the folder will hold when its footprints are made again |
| ``OUT/.hanet/building/`` | files that are being made; each is moved into place when it is whole |
| ``OUT/run.json`` | written last: a folder that has it holds a finished run |

Nothing else in the folder is ever removed: the user may work there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from hanet.command_line import typed
from hanet.documents import DocumentError, moment_of, read_json
from hanet.errors import OutputError, SettingsError
from hanet.files import writing
from hanet.imagery.vector_formats import FORMATS
from hanet.types import Json
from hanet.work_folder import WorkFolder, move_into_place

RESULTS = (
    "probability.tif",
    "probability.qml",
    "built.tif",
    "built.qml",
    "mask.tif",
    "mask.qml",
    "footprints.qml",
    "report.html",
    "changes.qgz",
    "stac-item.json",
    "stac-model.json",
    "run.json",
)
"""Files of a finished run, besides footprints.*; report.html and changes.qgz unless they were
switched off, built.tif only of weights that tell built from demolished."""

BUILT = "built.tif"
"""The raster that says what was built and what demolished."""

ITEM, MODEL = "stac-item.json", "stac-model.json"
"""The result and the weights that made it, as items of STAC."""

FOOTPRINT_FILES = tuple(f"footprints{suffix}" for suffix in FORMATS.values())
"""Names that the footprints of a run may have."""

WORK, JOURNAL, RENEWAL = ".hanet", "journal.json", "renewal.json"
"""The work folder, the journal in it, and the record of footprints that are being made again (see
:mod:`hanet.detection.renewal`)."""


def result_files(formats: Sequence[str]) -> tuple[str, ...]:
    """Names of the files that a run with these vector formats may leave."""
    return (*RESULTS, *(f"footprints{FORMATS[name]}" for name in formats))


class RunState:
    """Holds the lock of an output folder for the time of a ``with``.

    Args:
        out: The folder; made if it is missing.
        identity: What decides the result: inputs, weights, settings.
        files: Names of the files that the run will leave.
        inputs: Local files that the run reads; none of them is removed or replaced.
        resume: Continue an unfinished run of the same identity.
        overwrite: Remove the result that is there.

    Attributes:
        rows_done: Rows of tiles that are on disk.
        tally: What was counted in them, by name.
        started: When the run began (UTC, ISO 8601), the first time.

    Raises:
        OutputError: The folder holds a result, another run or an input under a name that the result
            takes, is in use, damaged, or cannot be made.
    """

    def __init__(
        self,
        out: Path,
        identity: Json,
        *,
        files: Sequence[str] = RESULTS,
        inputs: Iterable[Path] = (),
        resume: bool,
        overwrite: bool,
    ) -> None:
        self.out, self._files = out, tuple(files)
        self._identity = json.loads(json.dumps(identity))
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.tally: dict[str, int] = {}
        self.rows_done = 0
        self._folder = WorkFolder(out / WORK, busy=f"another hanet detect is at work in {out}")
        self.work = self._folder.path
        self._is_new = self._is_done = self._has_placed = False
        try:
            self._begin(tuple(inputs), resume=resume, overwrite=overwrite)
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
    def built(self) -> Path:
        """Probability of "built" so far."""
        return self.work / "built.raw"

    @property
    def overview(self) -> Path:
        """Both dates so far, small."""
        return self.work / "overview.raw"

    @property
    def building(self) -> Path:
        """Where files are made before :meth:`place` gives them to the user."""
        return self._folder.building

    @property
    def _journal(self) -> Path:
        return self.work / JOURNAL

    def place(self, name: str) -> Path:
        """Moves a whole file of this name from :attr:`building` into the folder."""
        self._has_placed = True
        move_into_place(self.building / name, self.out / name)
        return self.out / name

    def write(self, name: str, text: str) -> None:
        """A file of this name with this text."""
        with writing(self.out / name):
            write_synced(self.building / name, text)
        self.place(name)

    def mark(self, rows_done: int, counted: Mapping[str, int] | None = None) -> None:
        """Records that so many rows of tiles are on disk, and adds what was counted in the last of
        them to the tally."""
        self.rows_done = rows_done
        for name, count in (counted or {}).items():
            self.tally[name] = self.tally.get(name, 0) + count
        self._write_journal()

    def start_over(self) -> None:
        """Forgets the rows that are done, on disk too: what lies there of them cannot be used."""
        self.rows_done, self.tally = 0, {}
        self._write_journal()

    def finish(self, manifest: Json) -> None:
        """Writes run.json and clears the work folder."""
        self.write("run.json", json.dumps(manifest, indent=2, allow_nan=False) + "\n")
        self._is_done = True

    def _begin(self, inputs: tuple[Path, ...], *, resume: bool, overwrite: bool) -> None:
        run, journal = self.out / "run.json", self._journal
        removed: set[str] = set()
        if overwrite:
            removed = self._left_by_runs(run, journal)
        refuse_inputs(self.out, inputs, names=sorted({*self._files, *removed}))
        check_taken(self.out, files=self._files, resume=resume, overwrite=overwrite)
        finished, unfinished = _is_there(run), _is_there(journal)
        if overwrite:
            with writing(self.out):
                for path in (*(self.out / name for name in sorted(removed)), *self._kept):
                    path.unlink(missing_ok=True)
            finished = unfinished = False
        if finished:
            self._check_same(read_run_file(run).get("identity"))
            self._is_done = True
        elif unfinished:
            self._take_up(read_run_file(journal))
        else:
            self._start()

    @property
    def _kept(self) -> tuple[Path, ...]:
        """Files of the work folder that outlive a killed process."""
        planes = (self.raw, self.built)
        vrts = (plane.with_suffix(".vrt") for plane in planes)
        return self._journal, *planes, *vrts, self.overview, self.work / RENEWAL

    def _start(self) -> None:
        self._is_new = True
        for path in self._kept:  # links too: what they lead to is not ours
            with writing(path):
                path.unlink(missing_ok=True)
        self._write_journal()

    def _take_up(self, state: Json) -> None:
        """Continues the run of a journal."""
        self._check_same(state.get("identity"))
        rows, tally = state.get("rows_done"), state.get("tally")
        try:
            started = moment_of(state.get("started"))
        except (TypeError, ValueError) as error:
            raise damaged(self._journal) from error
        if not (_is_count(rows) and isinstance(tally, dict)) or any(
            not _is_count(count) for count in tally.values()
        ):
            raise damaged(self._journal)
        if any(path.is_symlink() for path in self._kept):  # written through, they would lead away
            raise damaged(self._journal)
        self.rows_done, self.tally, self.started = int(rows or 0), dict(tally), started

    def _left_by_runs(self, run: Path, journal: Path) -> set[str]:
        """Names of the files that earlier runs left here by their own account, and that this one
        will make."""
        known = {*RESULTS, *FOOTPRINT_FILES}
        names = set(self._files)
        of_run = ("footprints", "files")
        renewal = (self.work / RENEWAL, ("manifest", *of_run))
        for path, listed in ((run, of_run), (journal, ("files",)), renewal):
            with suppress(OutputError):  # damaged: it is removed itself, and names nothing
                value: object = read_run_file(path) if _is_there(path) else None
                for key in listed:
                    value = value.get(key) if isinstance(value, dict) else None
                names |= known & {name for name in _as_list(value) if isinstance(name, str)}
        return names

    def _check_same(self, theirs: object) -> None:
        if theirs == self._identity:
            return
        known = theirs if isinstance(theirs, dict) else {}
        if known and is_of_earlier_version(known):
            raise OutputError(
                f"the run in {self.out} was begun by an earlier version, which cut pairs into "
                "other tiles",
                hint="give --overwrite to begin again, or choose another --out",
            )
        changed = sorted(k for k in self._identity if known.get(k) != self._identity[k])
        ours, other = self._identity.get("settings"), known.get("settings")
        if "settings" in changed and isinstance(ours, dict) and isinstance(other, dict):
            names = sorted(k for k in {**ours, **other} if ours.get(k) != other.get(k))
            changed[changed.index("settings")] = f"settings ({', '.join(names)[:200]})"
        raise OutputError(
            f"the run in {self.out} differs from this one in: {', '.join(changed) or 'its inputs'}",
            hint="resume with the same inputs and options, or give --overwrite",
        )

    def _write_journal(self) -> None:
        state = {
            "identity": self._identity,
            "started": self.started,
            "files": self._files,
            "rows_done": self.rows_done,
            "tally": self.tally,
        }
        partial = self.building / JOURNAL
        try:
            with writing(self._journal):
                write_synced(partial, json.dumps(state))
                partial.replace(self._journal)
        finally:
            partial.unlink(missing_ok=True)

    def _release(self) -> None:
        # an error before the first row leaves nothing behind, and a finished run only its result;
        # a merge has no rows, and its journal says whose the files are that it has placed
        is_bare = self._is_new and not self.rows_done and not self._has_placed
        if self._is_done or is_bare:
            for path in self._kept:
                path.unlink(missing_ok=True)
        self._folder.release()


def is_of_earlier_version(identity: Json) -> bool:
    """Whether it was written before version 0.4.0, which had other tiles and, with an area of
    interest, another grid."""
    return "tiles" not in identity


def refuse_inputs(out: Path, inputs: Iterable[Path], *, names: Sequence[str]) -> None:
    """Does nothing unless a file that is read has a name that is written or removed.

    Args:
        out: Folder of the run.
        inputs: Local files that the run reads.
        names: Of files in the folder.

    Raises:
        OutputError: One has.
    """
    read = tuple(inputs)
    for name in names:
        for path in read:
            if _is_same(out / name, path):
                raise OutputError(
                    f"the input {path} has a name that the result takes",
                    hint="choose another --out, or rename the input",
                )


def check_taken(out: Path, *, files: Sequence[str], resume: bool, overwrite: bool) -> None:
    """Does nothing unless a folder holds a result that is neither to be continued nor removed, or
    files of its names that no run has made.

    Before the work this is asked without the lock of the folder, and again under it.

    Args:
        out: The folder.
        files: Names that the run takes.
        resume: Whether a run is to be continued.
        overwrite: Whether what is there is to be removed.

    Raises:
        OutputError: It does.
    """
    if overwrite:
        return
    if _is_there(out / WORK / RENEWAL):
        raise OutputError(
            f"remaking the footprints in {out} was interrupted",
            hint=f"finish it with `hanet footprints {typed(out)}`, or give --overwrite",
        )
    finished, unfinished = _is_there(out / "run.json"), _is_there(out / WORK / JOURNAL)
    if finished and not resume:
        raise OutputError(
            f"{out} already holds a result", hint="choose another --out, or give --overwrite"
        )
    if unfinished and not resume:
        raise OutputError(
            f"{out} holds an unfinished run",
            hint="continue it with --resume, or give --overwrite",
        )
    foreign = [name for name in files if _is_there(out / name)]
    if foreign and not (finished or unfinished):
        raise OutputError(
            f"{out} holds {', '.join(foreign)}, which no run here has made",
            hint="choose another --out, or give --overwrite to remove them",
        )


def check_folder_choice(*, resume: bool, overwrite: bool) -> None:
    """Does nothing unless a folder is to be both continued and emptied.

    Raises:
        SettingsError: It is.
    """
    if resume and overwrite:
        raise SettingsError(
            "--resume continues the run in --out, --overwrite removes it; both are given",
            hint="give one of the two",
        )


def read_run_file(path: Path) -> Json:
    """The object in a file that a run has written.

    Raises:
        OutputError: It cannot be read, or is no object.
    """
    try:
        # names of inputs need not be UTF-8: Python writes what is not as lone surrogates
        value = read_json(path, unicode=False)
    except (OSError, DocumentError) as error:
        raise damaged(path) from error
    if not isinstance(value, dict):
        raise damaged(path)
    return value


def damaged(path: Path) -> OutputError:
    """The error for a file of a run that is not as the run wrote it."""
    return OutputError(f"{path} is damaged", hint="give --overwrite to start again")


def write_synced(path: Path, text: str) -> None:
    """Writes a file and returns when the disk has it."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _is_there(path: Path) -> bool:
    """Whether there is anything of this name, a link that leads nowhere too."""
    return path.is_symlink() or path.exists()


def _is_same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except (OSError, ValueError):
        return False


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
