"""``hanet evaluate``: scores by the published protocols."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hanet.evaluation.scoring import Evaluation


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("evaluate")(evaluate)


def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(help="Name of weights, a weights file, or a run folder (best weights)."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Data set: a folder with SPLIT/{A,B,label}.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the data set, for example val.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="tiles (default): cut images and predict each tile by itself; whole: whole images."
        ),
    ] = None,
    tile: Annotated[int | None, typer.Option(help="Side of a tile in pixels; default 256.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Lowest probability that counts as change; default: the weights' own threshold. "
            "With --predictions: the images are grey probabilities, 0 to 255."
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Folder of masks to score instead of a model; needs --labels."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Folder of labels for --predictions, matched by name.")
    ] = None,
    tiles_of_scenes: Annotated[
        str | None,
        typer.Option(
            help="How the masks in --predictions are numbered where they are tiles of the scenes "
            "in --labels: column-major (the authors' released LEVIR-CD results) or row-major."
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            help="onnxruntime, openvino or torch; default: by the type of the weights file."
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="fp32 (default), or bf16 with openvino or torch on processors that support it."
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Threads of the runtime; default: as many as this process may use."),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Tiles per batch; default: 8 of 256 pixels, fewer if larger. Whole images run one "
            "by one."
        ),
    ] = None,
    flips: Annotated[
        bool,
        typer.Option("--flips", help="Average over four flips of each image; four times the work."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Write counts, scores, calibration, hashes and versions as JSON."),
    ] = None,
    per_image: Annotated[
        Path | None, typer.Option(help="Write counts and scores of each image as CSV.")
    ] = None,
    error_maps: Annotated[
        Path | None,
        typer.Option(help="Folder for maps: white TP, red FP, black TN, blue FN."),
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder for predicted masks as PNG.")] = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Score every threshold and store the one with the best F1 in the weights file. "
            "For a validation split.",
        ),
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Store the temperature that calibrates probabilities in the .safetensors file; "
            "masks do not change.",
        ),
    ] = False,
    no_store: Annotated[
        bool,
        typer.Option("--no-store", help="Do not change the weights file."),
    ] = False,
    data_name: Annotated[
        str | None,
        typer.Option(help="Name of the data set in results; default: the folder's name."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON instead of the table.")
    ] = False,
) -> None:
    """Score weights or masks on a whole split.

    Prints precision, recall, F1 and IoU of the change class with confidence intervals and the
    protocol.
    """
    from hanet.cli.console import tell_result
    from hanet.cli.progress import stage_progress
    from hanet.errors import HanetError, SettingsError
    from hanet.evaluation.scoring import Pictures

    _check_subject(model, predictions, labels)
    if sweep and predictions is not None and threshold is None:
        raise SettingsError(
            "--sweep needs probabilities; these are masks",
            hint="for grey images of probability give --threshold",
        )
    _check_places(
        {"--out": out, "--per-image": per_image}, {"--error-maps": error_maps, "--masks": masks}
    )
    stores = model is not None and (sweep or calibrate) and not no_store
    common: dict[str, Any] = {
        "pictures": Pictures(error_maps=error_maps, masks=masks),
        "data_name": data_name,
    }
    cut = {"name": protocol, "tile_px": tile, "batch": batch}
    engine = {
        "runtime": runtime,
        "precision": precision,
        "threads": threads,
        "flips": flips or None,
    }
    with stage_progress({"evaluating": 1.0}) as progress:
        common |= {"progress": progress, "threshold": threshold}
        if predictions is not None and labels is not None:
            _refuse(
                {"data": data, "split": split, "calibrate": calibrate or None, **cut, **engine},
                "--predictions",
            )
            result = _of_predictions(predictions, labels, tiles_of_scenes, common)
        else:
            _refuse({"tiles_of_scenes": tiles_of_scenes}, "a MODEL")
            result = _of_model(
                str(model), data, split, cut, {**engine, **common}, stores, calibrate
            )
    values = result.to_json(curve=sweep)
    failure: HanetError | None = None
    try:
        if stores:
            values["stored"] = _store(result, sweep, calibrate, out)
    except HanetError as error:  # what cannot be stored costs no scores
        failure = error
    _say(result, values, out=out, per_image=per_image, as_json=as_json)
    written = {out: "scores", per_image: "table", error_maps: "pictures", masks: "masks"}
    tell_result(
        f"F1 {values['scores']['f1']:.4f} on {result.data}",
        {path: kind for path, kind in written.items() if path is not None},
        evaluation=values,
    )
    if failure is not None:
        raise failure


def _say(
    result: Evaluation,
    values: dict[str, Any],
    *,
    out: Path | None,
    per_image: Path | None,
    as_json: bool,
) -> None:
    """Files of scores, and what is printed of them."""
    from hanet.cli.console import stdout
    from hanet.cli.evaluation_tables import as_csv, as_text, print_evaluation
    from hanet.files import replace_file

    if out is not None:
        replace_file(out, as_text(values).encode())
    if per_image is not None:
        replace_file(per_image, as_csv(result).encode(errors="replace"))
    if as_json:
        typer.echo(as_text(values), nl=False)
    else:
        print_evaluation(stdout, result, values)


def _check_subject(model: str | None, predictions: Path | None, labels: Path | None) -> None:
    """Does nothing where either weights or masks are to be scored."""
    from hanet.errors import SettingsError

    if (predictions is None) != (labels is None) or (predictions is None) == (model is None):
        raise SettingsError(
            "give either MODEL with --data and --split, or --predictions with --labels",
            hint="hanet evaluate hanet_lite --data DIR --split val",
        )


def _check_places(files: dict[str, Path | None], folders: dict[str, Path | None]) -> None:
    """Does nothing where all that options name can be written, so that nobody waits for scores that
    cannot."""
    from hanet.destination import check_file, check_folder

    for option, path in files.items():
        if path is not None:
            check_file(path, option)
    for option, path in folders.items():
        if path is not None:
            check_folder(path, option)


def _refuse(options: dict[str, Any], beside: str) -> None:
    from hanet.errors import SettingsError

    names = {"name": "protocol", "tile_px": "tile"}
    given = [
        f"--{names.get(key, key).replace('_', '-')}"
        for key, value in options.items()
        if value is not None
    ]
    if given:
        raise SettingsError(
            f"{', '.join(given)} cannot be combined with {beside}", hint="leave one of them out"
        )


def _of_predictions(
    predictions: Path, labels: Path, tiles_of_scenes: str | None, common: dict[str, Any]
) -> Evaluation:
    from hanet.errors import SettingsError
    from hanet.evaluation.scoring import evaluate_predictions

    if tiles_of_scenes not in (None, "row-major", "column-major"):
        raise SettingsError(
            f"--tiles-of-scenes is {tiles_of_scenes!r}", hint="row-major or column-major"
        )
    return evaluate_predictions(predictions, labels, tiles_of_scenes=tiles_of_scenes, **common)  # type: ignore[arg-type]


def _of_model(
    model: str,
    data: Path | None,
    split: str | None,
    cut: dict[str, Any],
    given: dict[str, Any],
    stores: bool,
    calibrate: bool,
) -> Evaluation:
    from hanet.errors import SettingsError
    from hanet.evaluation.scoring import Protocol
    from hanet.evaluation.scoring import evaluate as run
    from hanet.evaluation.threshold_choice import refuse_to_store
    from hanet.weights import catalogue
    from hanet.weights.engine import DEFAULT_PRECISION, Engine

    if data is None or split is None:
        raise SettingsError(
            "--data and --split are needed", hint="hanet evaluate hanet_lite --data DIR --split val"
        )
    if cut["name"] == "whole":
        _refuse({"tile_px": cut["tile_px"], "batch": cut["batch"]}, "--protocol whole")
    if stores:
        engine = Engine(
            given["runtime"] or "torch",
            given["threads"],
            given["precision"] or DEFAULT_PRECISION,
            bool(given["flips"]),
        )
        path = catalogue.resolve(model, suffixes=engine.suffixes)
        refuse_to_store(path, split=split, engine=engine, temperature=calibrate)
        if not path.is_relative_to(model):  # a name: what every other verb takes by it would change
            raise SettingsError(
                f"{model} is a name that other commands use too; its file would change",
                hint=f"use --no-store, or give the file itself to change it: {path}",
            )
        model = str(path)
    protocol = Protocol(**{key: value for key, value in cut.items() if value is not None})
    return run(
        model,
        data,
        split=split,
        protocol=protocol,
        **{k: v for k, v in given.items() if v is not None},
    )


def _store(result: Evaluation, sweep: bool, calibrate: bool, out: Path | None) -> dict[str, Any]:
    from hanet.cli.console import print_note
    from hanet.evaluation.threshold_choice import store_choices

    stored = store_choices(
        result, threshold=sweep, temperature=calibrate, source=out.name if out else ""
    )
    print_note(
        f"stored in {stored.path}: threshold {stored.threshold:.3f} (F1 {stored.f1:.4f} on this "
        "split), "
        f"temperature {stored.temperature:.3f}"
    )
    return {
        "threshold": stored.threshold,
        "temperature": stored.temperature,
        "weights_sha256": stored.sha256,
    }
