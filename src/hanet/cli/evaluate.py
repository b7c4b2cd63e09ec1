"""``hanet evaluate``: scores by the published protocols."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hanet.evaluation import Evaluation


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("evaluate")(evaluate)


def evaluate(
    model: Annotated[str | None, typer.Argument(help="A name, a weights file, or a run folder.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data set: a folder with SPLIT/{A,B,label}.")] = None,
    split: Annotated[str | None, typer.Option(help="Its split.")] = None,
    protocol: Annotated[str | None, typer.Option(help="tiles (cuts larger images), or whole.")] = None,
    tile: Annotated[int | None, typer.Option(help="Side of a tile in pixels.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Probability from which on a pixel is change; the weights' own if left out.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Score these masks instead of a model; needs --labels.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Labels for --predictions, matched by name.")] = None,
    runtime: Annotated[str | None, typer.Option(help="onnxruntime, openvino or torch.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime.")] = None,
    batch: Annotated[int | None, typer.Option(help="Tiles at once.")] = None,
    flips: Annotated[bool, typer.Option("--flips", help="Average over test-time flips: four times the work.")] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file for counts, scores, interval, hashes, versions.")] = None,
    per_image: Annotated[Path | None, typer.Option(help="CSV file with the counts of each image.")] = None,
    error_maps: Annotated[
        Path | None, typer.Option(help="Folder for pictures: white TP, red FP, black TN, blue FN.")
    ] = None,
    sweep: Annotated[
        bool,
        typer.Option("--sweep", help="On a validation split: store the best threshold in a .safetensors weights file."),
    ] = False,
) -> None:
    """Score weights or masks: precision, recall, F1, IoU of the change class over a whole split."""
    import json

    from hanet.cli.console import stdout
    from hanet.errors import SettingsError
    from hanet.weights import replace_file

    if (predictions is None) != (labels is None) or (predictions is None) == (model is None):
        raise SettingsError(
            "either a MODEL with --data, or --predictions with --labels",
            hint="hanet evaluate hanet_lite --data DIR --split val",
        )
    extra: dict[str, Any] = {}
    if predictions is not None and labels is not None:
        from hanet.evaluation import evaluate_predictions

        result = evaluate_predictions(predictions, labels, error_maps=error_maps)
    else:
        if data is None or split is None:
            raise SettingsError(
                "--data and --split are needed", hint="hanet evaluate hanet_lite --data DIR --split val"
            )
        given = {"protocol": protocol, "tile_px": tile, "batch": batch}
        given = {key: value for key, value in given.items() if value is not None}
        result, extra = _of_model(str(model), data, split, threshold, runtime, threads, flips, error_maps, sweep, given)
    if out is not None:
        replace_file(out, json.dumps({**extra, **result.to_json()}, indent=2).encode() + b"\n")
    if per_image is not None:
        _write_table(per_image, result)
    stdout.print(_table(result, extra.get("weights", str(predictions))))


def _of_model(
    model: str,
    data: Path,
    split: str,
    threshold: float | None,
    runtime: str | None,
    threads: int | None,
    flips: bool,
    error_maps: Path | None,
    sweep: bool,
    given: dict[str, Any],
) -> tuple[Evaluation, dict[str, Any]]:
    from dataclasses import replace

    from hanet import catalogue
    from hanet.cli.console import print_note
    from hanet.cli.progress import stage_progress
    from hanet.errors import SettingsError
    from hanet.evaluation import evaluate as run
    from hanet.predictors import predictor_of
    from hanet.weights import file_hash, update_safetensors_metadata

    path = catalogue.resolve(model, suffixes=(".safetensors",) if runtime == "torch" or sweep else catalogue.SUFFIXES)
    if sweep and (split == "test" or path.suffix != ".safetensors"):
        raise SettingsError(
            "--sweep chooses a threshold: on a validation split, for .safetensors weights", hint="then export them"
        )
    predictor, metadata = predictor_of(path, runtime=runtime, threads=threads, flips=flips)  # type: ignore[arg-type]
    used = threshold if threshold is not None else metadata.threshold
    with stage_progress() as progress:
        result = run(
            predictor,
            data,
            split=split,
            threshold=used,
            error_maps=error_maps,
            report=lambda done, images: progress("evaluating", done / images),
            **given,
        )
    extra = {"weights": metadata.name, "weights_sha256": file_hash(path), "data": data.name, "flips": flips}
    if sweep and result.histogram is not None:
        best = result.histogram.best_threshold()
        update_safetensors_metadata(path, replace(metadata, threshold=best))
        print_note(f"threshold {best:g} (F1 {result.to_json()['sweep']['best_f1']:.4f}) is stored in {path}")
    return result, extra


def _table(result: Evaluation, name: str) -> Any:
    from rich.table import Table

    table = Table(
        show_edge=False, title=f"{name}: {result.protocol}, split {result.split}, {len(result.per_image)} images"
    )
    scores, (low, high) = result.scores, result.interval()
    for column in ("precision", "recall", "F1", "95 % interval", "IoU", "OA", "kappa", "mIoU", "objects F1"):
        table.add_column(column, justify="right")
    values = (scores.iou, scores.oa, scores.kappa, scores.miou, result.objects.scores().f1)
    table.add_row(
        f"{scores.precision:.4f}",
        f"{scores.recall:.4f}",
        f"{scores.f1:.4f}",
        f"{low:.3f}-{high:.3f}",
        *(f"{v:.4f}" for v in values),
    )
    return table


def _write_table(path: Path, result: Evaluation) -> None:
    from hanet.weights import replace_file

    lines = ["name,tp,fp,fn,tn,f1"]
    lines += [f"{name},{c.tp},{c.fp},{c.fn},{c.tn},{c.scores().f1:.6f}" for name, c in result.per_image.items()]
    replace_file(path, ("\n".join(lines) + "\n").encode())
