"""A hidden folder beside results in which files are made, under a lock, before they are moved into
place.

Whatever else lies beside it belongs to the user: a killed run leaves files here only, and the next
run removes them from here only.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from filelock import lock_descriptor

from hanet.errors import OutputError
from hanet.files import is_there, make_folder, writing

LOCK = "lock"
"""Name of the file that is locked."""

BUILDING = "building"
"""Name of the folder in which files are made."""


class WorkFolder:
    """The folder, locked until :meth:`release`; made if it is missing, with its parents.

    Args:
        path: Where.
        busy: What to say where another process holds it.
        hint: What to do about that.

    Attributes:
        path: The folder.
        building: A folder in it, empty at first, in which files are made.

    Raises:
        OutputError: Another process holds it, it is a link, or it cannot be made.
    """

    def __init__(
        self, path: Path, *, busy: str, hint: str = "wait for it, or choose another --out"
    ) -> None:
        self.path, self.building = path, path / BUILDING
        self._made = [folder for folder in (path.parent, path) if not is_there(folder)]
        self._lock = self._take_lock(busy, hint)
        try:
            self._clear()
            with writing(self.building):
                self.building.mkdir()
        except BaseException:
            self.release()
            raise

    def __enter__(self) -> WorkFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Removes what was being made, and the folder if nothing else is left in it; then lets go
        of the lock."""
        with suppress(OSError):
            self._clear()
        path = self.path / LOCK
        if os.name == "nt":  # pragma: no cover - Windows removes no open file
            self._lock.close()
            with suppress(OSError):  # another process has opened it by now
                path.unlink()
        # the other way round another process could take it in between, and we would remove what it
        # holds
        else:
            if _is_file_at(self._lock, path):
                path.unlink()
            self._lock.close()
        for folder in (self.path, *(made for made in self._made if made != self.path)):
            with suppress(OSError):  # not empty, or gone
                folder.rmdir()

    def _clear(self) -> None:
        if self.building.is_symlink():
            self.building.unlink()  # the link alone: what it leads to is not ours
        elif self.building.exists():
            shutil.rmtree(self.building, ignore_errors=True)

    def _take_lock(self, busy: str, hint: str) -> IO[bytes]:
        """The operating system lets go of the lock when the process ends, however it ends."""
        while True:
            with writing(self.path):  # asking fails where a name is too long
                is_link = self.path.is_symlink()
            if is_link:
                raise OutputError(
                    f"{self.path} is a link; hanet writes through none",
                    hint="remove it, or choose another --out",
                )
            make_folder(self.path)
            with writing(self.path.parent):
                flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
                file = os.fdopen(os.open(self.path / LOCK, flags, 0o666), "r+b")
            try:
                is_ours = lock_descriptor(file.fileno(), blocking=False)
            except OSError:  # for example no lock left on a file server
                is_ours = False
            if not is_ours:
                file.close()
                raise OutputError(busy, hint=hint)
            if os.name == "nt" or _is_file_at(file, self.path / LOCK):
                return file
            # its holder removed it between our two calls: a lock on it would keep nobody out
            file.close()


def move_into_place(partial: Path, path: Path) -> None:
    """Gives a file that was made elsewhere its name, with the permissions that the umask leaves:
    some libraries set narrower ones. A link of that name is replaced, not followed.

    Raises:
        OutputError: The place cannot be written.
    """
    with writing(path):
        probe = partial.with_name(f"{partial.name}.mode")
        probe.unlink(missing_ok=True)
        probe.touch()
        mode = probe.stat().st_mode & 0o777
        probe.unlink()
        partial.chmod(mode)
        partial.replace(path)


def _is_file_at(file: IO[bytes], path: Path) -> bool:
    """Whether the open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False
