"""``hanet export``: weights to ONNX, with parity checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hanet.cli.options import OutAsOption, file_to_write


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("export")(export)


def export(
    model: Annotated[str, typer.Argument(help="A name, a .safetensors file, or a run folder.")],
    out: Annotated[Path | None, typer.Argument(help="The .onnx file to write.")] = None,
    into: OutAsOption = None,
    static: Annotated[
        int | None,
        typer.Option(help="Fix height and width in pixels; default: any size."),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32 (default), or int8, which needs --calibration.")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Data set with SPLIT/{A,B,label} for int8: images like those you will process."
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            help="two (default): before and after, raw values; one: a single raster with the bands "
            "of both dates in 0-1, for QGIS Deepness."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the weights in the file's metadata.")
    ] = None,
) -> None:
    """Convert weights to ONNX.

    The file takes raw values, gives probability and contains the metadata. It is written only if
    its output matches torch.
    """
    from dataclasses import replace

    from hanet.cli.console import print_result
    from hanet.datasets.calibration_tiles import read_calibration_tiles
    from hanet.errors import WeightsError, importing
    from hanet.weights import catalogue
    from hanet.weights.quantisation import CalibrationTiles
    from hanet.weights.weights_file import load_weights

    out = file_to_write(out, into, usage="hanet export MODEL OUT.onnx")
    with importing("torch", extra="train", purpose="hanet export"):
        from hanet.weights.export import check_target, export_onnx

    check_target(out)
    source = catalogue.resolve(model, suffixes=(".safetensors",))
    if source.suffix != ".safetensors":
        raise WeightsError(
            f"{source} is an .onnx file already",
            hint="give the .safetensors file that it was made from",
        )
    network, metadata = load_weights(source)
    if name is not None:
        metadata = replace(metadata, name=name)

    def read_tiles(side_px: int | None) -> CalibrationTiles:
        assert calibration is not None
        return read_calibration_tiles(
            calibration, divisor=network.divisor, scale=metadata.scale, side_px=side_px
        )

    chosen: dict[str, Any] = {
        "static_size": static,
        "precision": precision,
        "calibration": read_tiles if calibration is not None else None,
        "inputs": inputs,
    }
    result = export_onnx(
        network, metadata, out, **{key: value for key, value in chosen.items() if value is not None}
    )
    if result.mean_difference is None or result.changed_mask_share is None:
        parity = f"largest difference from torch {result.largest_difference:.1e} in probability"
    else:
        parity = (
            f"mean difference from torch {result.mean_difference:.4f} in probability, "
            f"{100 * result.changed_mask_share:.2f} % of the mask, over {len(result.checked)} tiles"
        )
    print_result(
        f"{result.path}: {result.bytes / 1e6:.2f} MB, {parity}",
        {result.path: "weights"},
        unlisted=True,
    )
