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
        typer.Argument(help="Name of weights, a weights file, or a run folder (its best weights)."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Data set: a folder with SPLIT/{A,B,label}.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Its split, for example val.")] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="tiles: images are cut and each tile predicted by itself; whole: whole images."
        ),
    ] = None,
    tile: Annotated[
        int | None, typer.Option(help="Side of a tile in pixels; 256 if left out.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Probability from which on a pixel is change; the weights' own if left out. "
            "With --predictions: these are grey images of probability, 0 to 255."
        ),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Score these masks instead of a model; needs --labels.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels for --predictions, matched by name.")
    ] = None,
    tiles_of_scenes: Annotated[
        str | None,
        typer.Option(
            help="--predictions are numbered tiles of the scenes in --labels: column-major (the "
            "authors' released "
            "LEVIR-CD results) or row-major."
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            help="onnxruntime, openvino or torch; by the kind of the weights file if left out."
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="fp32 (the default), or bf16 by openvino or torch on processors that have it."
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of the runtime; all cores if left out.")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Tiles at once; 8 of 256 pixels if left out, fewer of larger ones. Whole images "
            "go one by one."
        ),
    ] = None,
    flips: Annotated[
        bool, typer.Option("--flips", help="Average over test-time flips: four times the work.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file for counts, scores, interval, calibration, hashes, versions."),
    ] = None,
    per_image: Annotated[
        Path | None, typer.Option(help="CSV file with the counts and scores of each image.")
    ] = None,
    error_maps: Annotated[
        Path | None, typer.Option(help="Folder for pictures: white TP, red FP, black TN, blue FN.")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Folder for the predicted masks, as PNG.")
    ] = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Scores at every threshold; that of the best F1 is stored in the weights file. "
            "For a validation split.",
        ),
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Store the temperature that makes probabilities honest in the .safetensors "
            "file; masks stay as they are.",
        ),
    ] = False,
    no_store: Annotated[
        bool,
        typer.Option("--no-store", help="Leave the weights file as it is, whatever --sweep finds."),
    ] = False,
    data_name: Annotated[
        str | None,
        typer.Option(help="What results call the data set; its folder's name if left out."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON instead of the table.")
    ] = False,
) -> None:
    """Score weights or masks on a whole split.

    Precision, recall, F1 and IoU of the change class, with intervals and the protocol they were
    taken by.
    """
    from hanet.cli.console import stdout
    from hanet.cli.evaluation_tables import as_csv, as_text, print_evaluation
    from hanet.cli.progress import stage_progress
    from hanet.errors import HanetError, SettingsError
    from hanet.evaluation.scoring import Pictures
    from hanet.files import replace_file

    if (predictions is None) != (labels is None) or (predictions is None) == (model is None):
        raise SettingsError(
            "either a MODEL with --data and --split, or --predictions with --labels",
            hint="hanet evaluate hanet_lite --data DIR --split val",
        )
    if sweep and predictions is not None and threshold is None:
        raise SettingsError(
            "--sweep needs probabilities, and these are masks",
            hint="give a --threshold for grey images",
        )
    _make_room([out, per_image], [error_maps, masks])
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
    with stage_progress() as progress:
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
    if out is not None:
        replace_file(out, as_text(values).encode())
    if per_image is not None:
        replace_file(per_image, as_csv(result).encode())
    if as_json:
        typer.echo(as_text(values), nl=False)
    else:
        print_evaluation(stdout, result, values)
    if failure is not None:
        raise failure


def _make_room(files: list[Path | None], folders: list[Path | None]) -> None:
    """Makes folders before the work, so that nobody waits for scores that cannot be written."""
    from hanet.errors import OutputError

    for folder in [file.parent for file in files if file is not None] + [
        folder for folder in folders if folder is not None
    ]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"the folder {folder} cannot be made: {error.strerror}", hint="choose another"
            ) from error
    for file in files:
        if file is not None and file.is_dir():
            raise OutputError(f"{file} is a folder", hint="give the name of a file in it")


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
            f"{', '.join(given)} and {beside} do not go together", hint="leave one of them out"
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
                f"{model} is the name of weights that other commands use too, and would be changed",
                hint=f"take --no-store, or give the file if it shall change: {path}",
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
