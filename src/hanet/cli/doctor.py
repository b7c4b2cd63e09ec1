"""``hanet doctor``: tells what a bug report needs, and whether the installation works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hanet.bench.installation import Trial
    from hanet.types import Json


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("doctor")(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
) -> None:
    """Print what a bug report needs; test the installation.

    Prints versions, formats, processor, memory and weights: no paths, no names of users or
    machines. Then tests a place on the map, a raster, a layer and a tile; exit code 1 if one of
    them fails.
    """
    import json
    from dataclasses import asdict

    from hanet.bench.installation import describe, trials

    facts, tried = describe(), trials()
    if as_json:
        print(json.dumps({**facts, "trials": [asdict(trial) for trial in tried]}, indent=2))
    else:
        _print(facts, tried)
    if not all(trial.worked for trial in tried):
        raise typer.Exit(1)


def _print(facts: Json, tried: list[Trial]) -> None:
    """The facts as lines that can be pasted."""
    from hanet.cli.console import stdout

    machine, threads = facts["machine"], facts["threads"]
    lines = [
        ("hanet", facts["hanet"]),
        ("python", facts["python"]),
        ("system", facts["system"]),
        ("processor", f"{machine['processor']}, {machine['cores']} cores for this process"),
        ("threads", f"{threads['count']}, by {threads['source']}"),
        ("instructions", _listed(machine["instructions"])),
        ("memory", f"{machine['memory_gb']} GB" if machine["memory_gb"] else "not told"),
        ("packages", _versions(facts["packages"])),
        *((f"[{extra}]", _versions(found)) for extra, found in facts["extras"].items()),
        ("libraries", _versions(facts["libraries"])),
        *((f"can {what}", names) for what, names in _formats(facts["formats"]).items()),
        *(("weights", _weights(entry)) for entry in facts["weights"]),
        ("variables", _versions(facts["environment"]) or "none that matter"),
    ]
    for name, text in lines:
        stdout.print(f"{name:<14} {text}", markup=False, soft_wrap=True)
    stdout.print()
    for trial in tried:
        word = "works " if trial.worked else "FAILED"
        stdout.print(f"{word} {trial.name}: {trial.said}", markup=False, soft_wrap=True)


def _listed(names: list[str] | None) -> str:
    return "not told" if names is None else ", ".join(names) or "none that matter"


def _versions(found: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {value or '(not installed)'}" for name, value in found.items())


def _formats(found: dict[str, str]) -> dict[str, str]:
    """Names of formats by what can be done with them."""
    by_word: dict[str, list[str]] = {}
    for name, word in found.items():
        by_word.setdefault("not" if word == "missing" else word, []).append(name)
    return {word: ", ".join(names) for word, names in by_word.items()}


def _weights(entry: Json) -> str:
    trouble = f"; {entry['trouble']}" if entry["trouble"] else ""
    return f"{entry['file']}, {entry['megabytes']} MB, sha256 {entry['sha256'][:12]}{trouble}"
