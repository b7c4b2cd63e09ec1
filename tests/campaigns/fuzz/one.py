"""``python -m campaigns.fuzz.one TARGET FOLDER [libFuzzer's options]``: one target in a process of its
own, which libFuzzer ends. What it finds lies in the folder: ``state.json`` and an input a fault."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hanet"]):
    from campaigns.fuzz.targets import TARGETS
    from campaigns.fuzz.watch import Watch

    WARM = {name: target.seeds() for name, target in TARGETS.items() if name == sys.argv[1]}


class Found:
    """Counts of one target, written now and then: libFuzzer ends the process without a word."""

    def __init__(self, watch: Watch, folder: Path) -> None:
        self._watch, self._folder = watch, folder
        self._count, self._written = 0, 0.0
        self._faults: dict[str, dict[str, object]] = {}

    def read(self, content: bytes) -> None:
        """Reads one input; a fault is kept with the smallest input that shows it."""
        self._count += 1
        fault = self._watch.fault_of(content)
        if fault is not None:
            known = self._faults.get(fault.key)
            if known is None or len(content) < int(str(known["bytes"])):
                name = f"{hashlib.sha256(fault.key.encode()).hexdigest()[:12]}.bin"
                (self._folder / name).write_bytes(content)
                self._faults[fault.key] = {
                    "fault": fault.key,
                    "bytes": len(content),
                    "input": name,
                    "text": fault.text[-3000:],
                }
                self._written = 0.0
        if time.monotonic() - self._written > 1:
            state = {"executions": self._count, "faults": list(self._faults.values())}
            (self._folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
            self._written = time.monotonic()


def main() -> None:
    """Never returns."""
    name, folder, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["hanet"]):  # what readers import when they are used
        watch = Watch(TARGETS[name], folder=Path(folder))
        for seed in WARM[name]:
            watch.fault_of(seed)
    atheris.Setup([sys.argv[0], *options], Found(watch, Path(folder)).read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
