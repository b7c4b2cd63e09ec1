"""``hanet export``: weights to ONNX, with parity checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("export")(export)


def export(
    model: Annotated[str, typer.Argument(help="A name, a .safetensors file, or a run folder.")],
    out: Annotated[Path, typer.Argument(help="The .onnx file to write.")],
    static: Annotated[int | None, typer.Option(help="Fix height and width to this; free if left out.")] = None,
    name: Annotated[str | None, typer.Option(help="Name that the file's metadata gives the weights.")] = None,
) -> None:
    """Write weights as ONNX: raw values in, probability out, metadata inside; refused where it differs from torch."""
    from dataclasses import replace

    from hanet import catalogue
    from hanet.cli.console import stdout
    from hanet.export import export_onnx
    from hanet.weights import load_weights

    network, metadata = load_weights(catalogue.resolve(model, suffixes=(".safetensors",)))
    if name is not None:
        metadata = replace(metadata, name=name)
    result = export_onnx(network, metadata, out, static_size=static)
    stdout.print(
        f"{result.path}: {result.bytes / 1e6:.2f} MB, largest difference from torch {result.largest_difference:.1e} in probability",
        soft_wrap=True,
    )
