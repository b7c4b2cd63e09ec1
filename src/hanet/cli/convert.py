"""``hanet convert``: released checkpoints of HANet and other networks to weights files, without
running anything from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanet.cli.options import OutAsOption, file_to_write
from hanet.command_line import typed

if TYPE_CHECKING:
    from hanet.conversion.convert import Conversion


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("convert")(convert)


def convert(
    file: Annotated[
        Path,
        typer.Argument(
            help="A checkpoint that torch.save wrote: HANet's, by its authors or Open-CD, or one "
            "of MSPSNet, SNUNet-CD, BIT, ChangeFormer, TinyCD or STANet (either of its two files)."
        ),
    ],
    out: Annotated[Path | None, typer.Argument(help="The .safetensors file to write.")] = None,
    into: OutAsOption = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="What it was trained on: levir-cd, whu-cd or another that hanet datasets lists. "
            "Needed for the HANet authors' files: they were normalised by that data set's "
            "statistics."
        ),
    ] = None,
    statistics: Annotated[
        str | None,
        typer.Option(
            help="How images were normalised, if not as in the authors' code: imagenet, half "
            "(values scaled to -1 to 1), none (0-255 unchanged), or the statistics of a data set."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the weights (default: the file's name).")
    ] = None,
) -> None:
    """Make a weights file from a released checkpoint.

    Reads a whole module, a state dict, or a training checkpoint; no code in it is run.
    """
    from hanet.cli.console import print_note, print_result
    from hanet.errors import importing

    out = file_to_write(out, into, usage="hanet convert FILE OUT.safetensors")
    with importing("torch", extra="train", purpose="hanet convert"):
        from hanet.conversion.convert import convert as run

    result = run(file, out, dataset=dataset, statistics=statistics, name=name)
    for note in result.notes:
        print_note(note)
    print_result("\n".join(_summary(result)), {result.path: "weights"}, unlisted=True)


def _summary(result: Conversion) -> list[str]:
    metadata = result.metadata
    arguments = (f"{key.replace('_', ' ')} {value}" for key, value in result.arguments.items())
    lines = [
        f"found      {result.source}",
        f"network    {', '.join([result.model, *arguments])}, {result.parameters:,} parameters",
    ]
    if result.dead:
        modules = sorted({name.rpartition(".")[0] for name in result.dead})
        lines.append(
            f"dropped    {', '.join(modules)}: {result.dead_parameters:,} parameters that the "
            "logits do not depend on"
        )
    if result.beside:
        shown = ", ".join(result.beside[:3]) + (" ..." if len(result.beside) > 3 else "")
        lines.append(f"left out   {len(result.beside)} tensors beside the network: {shown}")
    if result.strangers:
        shown = ", ".join(result.strangers[:4]) + (" ..." if len(result.strangers) > 4 else "")
        lines.append(
            f"inert      {len(result.strangers)} names of unknown packages, none of them loaded: "
            f"{shown}"
        )
    mean = "; ".join(
        " ".join(f"{v:g}" for v in values) for values in (metadata.mean_before, metadata.mean_after)
    )
    lines.append(
        f"normalised by mean {mean}"
        + (f" ({metadata.training_data})" if metadata.training_data else "")
    )
    lines.append(f"written    {result.path}")
    lines.append(
        f"next       hanet evaluate {typed(result.path)} --data DATA --split test, or hanet export "
        f"{typed(result.path)} OUT.onnx"
    )
    return lines
