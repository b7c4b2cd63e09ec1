"""``python -m campaigns.fuzz``: fuzzes targets one after another and keeps counts and faults."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from campaigns.fuzz.targets import TARGETS
from hanet.files import replace_file
from hanet.provenance import machine, versions

LONGEST = 16_384
"""Bytes of an input; the largest seed has 8 kB."""

MISSING = """atheris is not installed, so nothing was fuzzed; `pip install atheris` brings it on
Linux. `pytest tests/campaigns/fuzz` runs each target over its seeds without it."""

IN_MEMORY = Path("/dev/shm")


def main() -> int:
    """Exit code 1 where a reader broke its promise, 0 also where atheris is missing."""
    options = _options()
    if importlib.util.find_spec("atheris") is None:
        print(MISSING, file=sys.stderr)
        return 0
    failed = False
    for name in options.target or TARGETS:
        row = _fuzzed(name, options.seconds, options.seed, options.keep)
        failed |= bool(row["faults"])
        told = {key: value for key, value in row.items() if key != "faults"}
        print(f"{json.dumps(told)}", flush=True)
        for fault in row["faults"]:
            print(f"    {fault['fault']}: {fault['input']}\n{fault['text']}", flush=True)
        if options.out is not None:
            _add(options.out, row)
    return int(failed)


def _fuzzed(name: str, seconds: int, seed: int, keep: Path) -> dict[str, Any]:
    """One target in a process of its own."""
    keep = keep / name
    corpus = keep / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(TARGETS[name].seeds()):
        (corpus / f"seed-{number}").write_bytes(content)
    for path in keep.glob("*.bin"):  # what was a fault once
        (corpus / path.name).write_bytes(path.read_bytes())
    memory = IN_MEMORY if IN_MEMORY.is_dir() else None
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="hanet-fuzz-", dir=memory) as folder:
        command = [sys.executable, "-m", "campaigns.fuzz.one", name, folder]
        command += [f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={LONGEST}"]
        command += ["-timeout=60", "-rss_limit_mb=4096", "-print_final_stats=1", "-verbosity=1"]
        command += [f"-artifact_prefix={folder}/", str(corpus)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True,
                               errors="replace", check=False)  # fmt: skip
        faults = _kept(Path(folder), keep)
        state = _state(Path(folder))
    if ended.returncode != 0:
        text = ended.stderr[-3000:]
        faults.append({"fault": "the process ended", "input": "", "bytes": 0, "text": text})
    edges = re.findall(r"cov: (\d+)", ended.stderr)
    return {
        "target": name,
        "executions": int((re.findall(r"executed_units: (\d+)", ended.stderr) or [state])[0]),
        "seconds": round(time.perf_counter() - begun, 1),
        "edges": int(edges[-1]) if edges else 0,
        "faults": faults,
    }


def _kept(folder: Path, keep: Path) -> list[dict[str, Any]]:
    """Faults, their inputs moved to where they stay: also those that libFuzzer wrote itself."""
    for path in folder.glob("*"):
        if path.is_file() and path.name != "state.json":
            (keep / path.name).write_bytes(path.read_bytes())
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return [{**fault, "input": str(keep / fault["input"])} for fault in state["faults"]]


def _state(folder: Path) -> int:
    path = folder / "state.json"
    return int(json.loads(path.read_text())["executions"]) if path.exists() else 0


def _add(path: Path, row: dict[str, Any]) -> None:
    """Adds a run of one target to the counts of a file. A fault of an earlier run whose input, now
    a part of the corpus, is none any more has been fixed."""
    rows: dict[str, dict[str, Any]] = {}
    if path.exists():
        rows = {r["target"]: r for r in json.loads(path.read_text(encoding="utf-8"))["targets"]}
    earlier = rows.get(row["target"], {"executions": 0, "seconds": 0.0, "edges": 0, "faults": []})
    open_now = {fault["fault"] for fault in row["faults"]}
    gone = [fault["fault"] for fault in earlier["faults"] if fault["fault"] not in open_now]
    rows[row["target"]] = {
        **row,
        # without texts, which name folders of this machine
        "faults": [{"fault": f["fault"], "input": Path(f["input"]).name} for f in row["faults"]],
        "executions": earlier["executions"] + row["executions"],
        "seconds": round(earlier["seconds"] + row["seconds"], 1),
        "edges": max(earlier["edges"], row["edges"]),
        "fixed": sorted({*earlier.get("fixed", ()), *gone}),
    }
    result = {
        "campaign": "fuzz",
        "targets": [rows[name] for name in TARGETS if name in rows],
        "machine": machine(),
        "versions": {
            **versions(("numpy", "shapely", "rasterio", "onnxruntime")),
            "atheris": importlib.metadata.version("atheris"),
        },
    }
    replace_file(path, f"{json.dumps(result, indent=2)}\n".encode())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m campaigns.fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", choices=[[], *TARGETS], help="all of them if none")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz"), help="folder of inputs found")
    parser.add_argument("--out", type=Path, help="JSON file for the counts")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
