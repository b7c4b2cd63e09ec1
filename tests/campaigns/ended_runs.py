"""How runs that were sent a signal or met a full disk ended, and what their folders hold."""

from __future__ import annotations

import hashlib
import re
import signal
from io import BytesIO
from pathlib import Path
from typing import Any

from command_server import Command

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

TIME_OF_START = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
"""A GeoPackage and a STAC item state when their run began, a record of a review when it was made:
another moment for the undisturbed run."""


def contents(out: Path, leave_out: frozenset[str] = frozenset()) -> dict[str, str]:
    """SHA-256 of every file below a folder by its name; of those left out, that they are there."""
    found = {}
    for path in sorted(out.rglob("*")) if out.is_dir() else []:
        name = str(path.relative_to(out))
        if path.is_file() and "tensorboard" not in name:
            is_timed = path.name in leave_out
            content = b"" if is_timed else _untimed(path)
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def _untimed(path: Path) -> bytes:
    """The bytes of a file without what says when or how long its run ran."""
    content = path.read_bytes()
    if path.suffix != ".ckpt":
        return TIME_OF_START.sub(b"", content)
    import torch  # the other verbs do without

    stored = torch.load(BytesIO(content), weights_only=True)
    stored["callbacks"]["Keeper"].pop("minutes")
    return repr(_values(stored)).encode()


def _values(value: Any) -> object:
    """What a checkpoint holds, whatever object stands twice in it: a pickle of a resumed run names
    by reference what that of another repeats."""
    if isinstance(value, dict):
        return [(repr(key), _values(part)) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [_values(part) for part in value]
    import torch

    if isinstance(value, torch.Tensor):
        numbers = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return str(value.dtype), tuple(value.shape), hashlib.sha256(numbers).hexdigest()
    return repr(value)


def wrong_end(command: Command, code: int, sent: signal.Signals | None) -> str:
    """What is wrong with how a run ended; empty where nothing is."""
    if "Traceback" in command.output:
        return f"traceback: {command.output[-600:]}"
    # hanet train saves and ends with 143 on Ctrl-C as on SIGTERM
    allowed = {0, 2} if sent is None else {0, -sent, 128 + sent, 128 + signal.SIGTERM}
    return "" if code in allowed else f"exit code {code}: {command.output[-300:]}"
