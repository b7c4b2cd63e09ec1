"""``hanet models``: which weights there are, and how good they are."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("models")(models)


def models(as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False) -> None:
    """List the weights that have a name: data, scores with protocol, resolution, size, terms."""
    import json

    from rich.table import Table

    from hanet import catalogue
    from hanet.cli.console import stdout

    entries = [(entry, entry.metadata()) for entry in catalogue.installed()]
    if as_json:
        print(
            json.dumps(
                [{"file": str(e.path), "bytes": e.path.stat().st_size, **json.loads(m.to_json())} for e, m in entries],
                indent=2,
            )
        )
        return
    table = Table(show_edge=False, show_lines=True)
    for name in ("name", "network", "trained on", "scores (change class)", "m/px", "size", "terms"):
        table.add_column(name, overflow="fold")
    for entry, metadata in entries:
        scores = [
            f"{s.dataset}, {s.split}, {s.protocol}: F1 {s.f1:.4f}, IoU {s.iou:.4f} (P {s.precision:.4f}, R {s.recall:.4f})"
            for s in metadata.scores
        ]
        default = " (default)" if entry.name == catalogue.DEFAULT and entry.path.suffix == ".onnx" else ""
        table.add_row(
            f"{entry.name}{entry.path.suffix}{default}",
            metadata.model,
            metadata.training_data,
            "\n".join(scores) or "not measured",
            f"{metadata.gsd_m:g}",
            f"{entry.path.stat().st_size / 1e6:.1f} MB",
            metadata.licence or "not stated",
        )
    stdout.print(table)
    if not entries:
        stdout.print(f"none; put files into a folder and name it in {catalogue.FOLDERS_VARIABLE}")
