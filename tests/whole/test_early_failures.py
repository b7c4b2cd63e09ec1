"""What keeps a result from being written is found before the work, by every verb: a folder that
cannot be written, a full disk, a missing driver or package, a result that is there already.

Each case types a command whose inputs are good or missing, and takes one thing away. It must end
with exit code 2, one line and a hint, before a pixel was read, and leave nothing behind.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, get_type_hints

import numpy as np
import pyogrio
import pytest
import rasterio
from rasterio.env import Env

import hanet
from checkout import ROOT
from hanet import destination
from hanet.cli import VERBS, app
from hanet.detection.planning import plan
from hanet.imagery.images import write_png
from hanet.review.review import Review
from hanet.weights import catalogue
from reviewed_runs import finished_run, village
from small_rasters import write

Refused = Callable[..., tuple[str, str]]


@dataclass(frozen=True)
class Case:
    """A command that would write something.

    Args:
        words: Of the command line; ``{name}`` stands for a path of :func:`places`, ``{new}`` for
            one that is not there.
        target: The file or folder that is written, as in ``words``.
        option: The parameter of the verb that names it.
        rasters: Drivers of GDAL without which rasterio cannot write the result.
        vectors: The same of pyogrio.
        packages: Optional packages that it needs.
        is_there: Whether the target is there before: then no file can stand in its place.
    """

    words: str
    target: str
    option: str
    rasters: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    is_there: bool = False


RASTERS = ("GTiff", "COG", "VRT")
FORMATS = "--format gpkg,geojson,fgb,parquet"
LAYERS = ("GPKG", "GeoJSON", "FlatGeobuf")
PAIR = "{before} {after}"

CASES = [
    Case(f"detect {PAIR} --out {{new}} {FORMATS}", "{new}", "out", RASTERS, LAYERS, ("pyarrow",)),
    Case(
        f"detect --pairs {{pairs}} --out {{new}} {FORMATS}",
        "{new}", "out", RASTERS, LAYERS, ("pyarrow",),
    ),
    Case(
        f"detect {PAIR} --out {{new}} --cluster local:1 {FORMATS}",
        "{new}", "out", RASTERS, LAYERS, ("pyarrow",),
    ),
    Case(
        f"detect {PAIR} --out {{new}} --runtime openvino", "{new}", "out", packages=("openvino",)
    ),
    Case(
        "detect --plan {plan}/plan.json --shard 0",
        "{plan}", "plan", packages=("openvino",), is_there=True,
    ),
    Case(
        "pairs {missing} --aoi {missing} --before 2019 --after 2021 --out {new}", "{new}", "out"
    ),
    Case(f"plan {PAIR} --out {{new}} {FORMATS}", "{new}", "out", RASTERS, LAYERS, ("pyarrow",)),
    Case("merge {plan}", "{plan}", "run", RASTERS, LAYERS, ("pyarrow",), is_there=True),
    Case(
        f"footprints {{run}} {FORMATS}",
        "{run}", "probability", RASTERS, LAYERS, ("pyarrow",), is_there=True,
    ),
    Case(
        f"footprints {{run}}/probability.tif --out {{new}} {FORMATS}",
        "{new}", "out", (), LAYERS, ("pyarrow",),
    ),
    Case("suggest {run}", "{run}", "out", (), ("GPKG",), is_there=True),
    Case("review {run} --no-browser", "{run}", "out", is_there=True),
    Case(
        f"deliver {{run}} --out {{new}} {FORMATS},shp,kml,csv",
        "{new}", "into", (), (*LAYERS, "ESRI Shapefile", "KML"), ("pyarrow",),
    ),
    Case("deliver {run}", "{run}", "out", (), ("GPKG",), is_there=True),
    Case("deliver {run} --labels {new}", "{new}", "labels"),
    Case(
        "adapt {run} --out {new} --rungs head",
        "{new}.onnx", "out", packages=("torch", "pytorch_lightning", "onnx", "kornia"),
    ),
    Case("scene {new}", "{new}", "out", ("GTiff",), ("GPKG",)),
    Case(
        "train {experiment} --data {missing} --out {new}", "{new}", "out",
        packages=("tensorboard",),
    ),
    Case("evaluate hanet_lite --data {missing} --split val --out {new}", "{new}", "out"),
    Case("evaluate hanet_lite --data {missing} --split val --per-image {new}", "{new}", "per_image"),
    Case("evaluate hanet_lite --data {missing} --split val --error-maps {new}", "{new}", "error_maps"),
    Case("evaluate hanet_lite --data {missing} --split val --masks {new}", "{new}", "masks"),
    Case(
        "evaluate {weights} --runtime onnxruntime --data {missing} --split val --sweep",
        "{weights}", "model", packages=("torch", "onnx"), is_there=True,
    ),
    Case("compare {missing} {missing} --out {new}", "{new}", "out"),
    Case("export hanet_lite {new}.onnx", "{new}.onnx", "out", packages=("onnx",)),
    Case("export hanet_lite --out {new}.onnx", "{new}.onnx", "into", packages=("onnx",)),
    Case("bench inference --json {new}", "{new}", "json"),
    Case("convert {missing} {new}.safetensors", "{new}.safetensors", "out"),
    Case("convert {missing} --out {new}.safetensors", "{new}.safetensors", "into"),
    Case("prepare levir-cd {release} {new}", "{new}", "target"),
]  # fmt: skip

WRITE_NOTHING = {"check", "models", "doctor", "datasets", "check-data"}

READ = {
    "detect": {"pairs", "aoi"},
    "pairs": {"aoi"},
    "plan": {"aoi"},
    "adapt": {"labels"},
    "train": {"experiment", "data"},
    "evaluate": {"data", "predictions", "labels"},
    "compare": {"first", "second", "data", "first_maps", "second_maps"},
    "export": {"calibration"},
    "bench": {"plain"},
    "convert": {"file"},
    "prepare": {"source"},
    "check-data": {"data"},
}
"""Parameters that are paths and are only read."""

NAMES = [case.words.split(" --format")[0] for case in CASES]


def test_every_verb_and_every_path_that_it_writes_to_has_a_case() -> None:
    assert {case.words.split()[0] for case in CASES} | WRITE_NOTHING == set(VERBS)
    for command in app.registered_commands:
        verb, function = str(command.name), command.callback
        kinds = {name: str(kind) for name, kind in get_type_hints(function).items()}
        paths = {name for name, kind in kinds.items() if "Path" in kind}
        tested = {case.option for case in CASES if case.words.split()[0] == verb}
        assert paths - READ.get(verb, set()) <= tested, verb


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the commands of :data:`CASES` are given."""
    root = tmp_path_factory.mktemp("places")
    pixels = np.random.default_rng(1).integers(60, 200, (3, 512, 512), dtype=np.uint8)
    before, after = (write(root / f"{date}.tif", pixels) for date in ("before", "after"))
    run = finished_run(root / "run", village(), outline="pixels")
    with Review.open(run, reviewer="anna") as review:
        review.decide(["f1"], {"status": "accepted"})
    (root / "pairs.csv").write_text("before,after,name\nbefore.tif,after.tif,one\n")
    formats = ("gpkg", "geojson", "fgb", "parquet")
    made = plan(before, after, out=root / "plan", formats=formats, runtime="openvino", tile_px=128)
    assert made.path.exists()
    weights = root / "copy.onnx"
    shutil.copy(catalogue.resolve(catalogue.DEFAULT), weights)
    for split in ("train", "val", "test"):
        for part, image in (("A", pixels), ("B", pixels), ("label", np.zeros((256, 256), bool))):
            (root / "release" / split / part).mkdir(parents=True)
            write_png(root / "release" / split / part / "1.png", image[..., :256, :256])
    return {
        "before": before,
        "after": after,
        "run": run,
        "pairs": root / "pairs.csv",
        "plan": root / "plan",
        "weights": weights,
        "experiment": ROOT / "experiments" / "hanet-gpu.toml",
        "release": root / "release",
        "missing": root / "missing",
    }


@pytest.fixture
def paths(places: dict[str, Path], tmp_path: Path) -> Iterator[dict[str, Path]]:
    """:func:`places` with one for what is new; they must be as they were in the end."""
    root = places["run"].parent
    was = _state(root), _state(tmp_path)
    yield {**places, "new": tmp_path / "new"}
    assert (_state(root), _state(tmp_path)) == was


@pytest.fixture(scope="module")
def _all_is_imported() -> None:
    """A module that is imported first while functions are replaced would keep what replaces them,
    for all tests after these."""
    for found in walk_packages(hanet.__path__, "hanet."):
        if not found.name.endswith("__main__"):
            import_module(found.name)


@pytest.fixture(autouse=True)
def _no_pixel_is_read(_all_is_imported: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading, rendering, hashing, measuring and training are faults here."""

    def never(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("the work has begun")

    for name in (
        "hanet.imagery.date_reader:DateReader.read",
        "hanet.imagery.raster_output:ProbabilityRaster.read",
        "hanet.imagery.fingerprint:raster_fingerprint",
        "hanet.imagery.images:read_image",
        "hanet.synthetic.scene:Scene.image",
        "hanet.datasets.preparation:_hashed",
        "hanet.detection.shard:run_shard",
        "hanet.review.review:findings_of",
        "hanet.bench.inference:inference",
        "hanet.training.fitting:_training_tiles",
        "hanet.adaptation.adapt:_ground",
        "hanet.cluster.detection:Workers",
    ):
        module, _, attribute = name.partition(":")
        *owners, last = attribute.split(".")
        owner: Any = import_module(module)
        for part in owners:
            owner = getattr(owner, part)
        monkeypatch.setattr(owner, last, never)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_place_that_cannot_be_written_is_found_first(
    case: Case, paths: dict[str, Path], refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = _target(case, paths)
    ground = target if target.is_dir() else target.parent

    def of_ground(folder: Path) -> str | None:
        return "Read-only file system" if folder == ground else None

    monkeypatch.setattr(destination, "why_not_writable", of_ground)
    error, hint = refused(*_words(case, paths))
    assert "cannot be written: Read-only file system" in error
    assert hint == "choose a folder that you may write to"


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_full_disk_is_found_first(
    case: Case, paths: dict[str, Path], refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination, "free_bytes", lambda _: 1_200_000)
    error, hint = refused(*_words(case, paths))
    assert "the disk has 1.2 MB left" in error
    assert "make room" in hint


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.is_there],
    ids=[name for case, name in zip(CASES, NAMES, strict=True) if not case.is_there],
)  # fmt: skip
def test_a_name_that_is_too_long_or_leads_through_a_file_is_found_first(
    case: Case, paths: dict[str, Path], refused: Refused
) -> None:
    for new, said in ((paths["new"] / ("x" * 250), "is too long"), (paths["pairs"] / "x", "file")):
        error, _ = refused(*_words(case, {**paths, "new": new}))
        assert said in error


MISSING = [
    (case, kind, name)
    for case in CASES
    for kind in ("rasters", "vectors", "packages")
    for name in getattr(case, kind)
]


@pytest.mark.parametrize(
    ("case", "kind", "name"),
    MISSING,
    ids=[f"{case.words.split(' --format')[0]}-{name}" for case, _, name in MISSING],
)
def test_a_missing_driver_or_package_is_found_first(
    case: Case,
    kind: str,
    name: str,
    paths: dict[str, Path],
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind == "rasters":
        known = Env.drivers
        monkeypatch.setattr(Env, "drivers", lambda self: _without(known(self), name))
    elif kind == "vectors":
        modes = _without(pyogrio.list_drivers(), name)
        monkeypatch.setattr(pyogrio, "list_drivers", lambda: modes)
    else:
        monkeypatch.setitem(sys.modules, name, None)
    error, hint = refused(*_words(case, paths))
    if kind == "packages":
        assert f"needs the package {name!r}, which is not installed" in error
        assert hint.startswith("pip install 'hanet[")
    else:
        assert f"cannot write {name}" in error
        assert "hanet doctor" in hint


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"detect {PAIR} --out {{run}}", "already holds a result"),
        (f"detect {PAIR} --out {{foreign}}", "holds mask.tif, which no run here has made"),
        (f"detect {PAIR} --out {{input}}", "has a name that the result takes"),
        ("detect --pairs {pairs} --out {run}", "holds a run of a single pair"),
        (f"detect {PAIR} --out {{run}} --cluster local:1", "already holds a result"),
        (f"plan {PAIR} --out {{run}}", "already holds a result"),
        ("scene {foreign}", "already holds a scene"),
        ("adapt {run} --out {weights_name}", "is there already"),
        ("train {experiment} --data {missing} --out {trained}", "already holds a training run"),
        ("prepare levir-cd {release} {foreign}", "holds files that hanet prepare did not make"),
    ],
)
def test_what_is_there_already_is_found_first(
    words: str, said: str, paths: dict[str, Path], tmp_path: Path, refused: Refused
) -> None:
    kept = tmp_path.parent / f"{tmp_path.name}-kept"
    for name in ("foreign/mask.tif", "trained/experiment.json", "input/mask.tif"):
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (kept / name).write_bytes(b"")
    (kept / "input/mask.tif").unlink()
    (kept / "input/mask.tif").hardlink_to(paths["before"])
    more = {name: kept / name for name in ("foreign", "trained", "input")}
    more["weights_name"] = paths["weights"].with_suffix("")
    was = _state(kept)
    error, _ = refused(*_filled(words, {**paths, **more}))
    assert said in error
    assert _state(kept) == was


@pytest.mark.parametrize("verb", ["detect", "plan"])
def test_room_for_the_pixels_of_a_large_pair_is_looked_for_before_one_is_read(
    verb: str, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = {"driver": "GTiff", "count": 3, "height": 20_000, "width": 20_000, "dtype": "uint8"}
    place = rasterio.Affine(0.5, 0, 620000, 0, -0.5, 3350000)
    large = tmp_path / "large.tif"
    with rasterio.open(
        large, "w", crs="EPSG:32614", transform=place, tiled=True, sparse_ok=True, **profile
    ):
        pass
    monkeypatch.setattr(destination, "free_bytes", lambda _: 500_000_000)
    error, hint = refused(verb, large, large, "--out", tmp_path / "out")
    assert "out needs 832.0 MB, the disk has 500.0 MB left" in error
    assert "--bbox" in hint
    assert not (tmp_path / "out").exists()


def test_room_for_a_scene_is_looked_for_before_it_is_rendered(
    tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination, "free_bytes", lambda _: 500_000_000)
    error, _ = refused("scene", tmp_path / "out", "--size", 20_000)
    assert "out needs 1.7 GB, the disk has 500.0 MB left" in error


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_whether_a_folder_can_be_written_is_tried() -> None:
    """Not read from rights, by which root may write everywhere."""
    assert destination.why_not_writable(Path("/proc"))


def test_trying_leaves_nothing(tmp_path: Path) -> None:
    destination.check_folder(tmp_path / "new" / "folder", "--out")
    assert not list(tmp_path.iterdir())


def test_a_store_that_does_not_know_its_room_is_not_full(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil._ntuple_diskusage(0, 0, 0)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    destination.check_room(Path("store"), 10**12)


def _filled(words: str, paths: dict[str, Path]) -> list[str]:
    return [word.format(**paths) for word in words.split()]


def _words(case: Case, paths: dict[str, Path]) -> list[str]:
    return _filled(case.words, paths)


def _target(case: Case, paths: dict[str, Path]) -> Path:
    return Path(case.target.format(**paths))


def _without(values: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if key != name}


def _state(folder: Path) -> dict[str, tuple[int, int] | None]:
    """Every file and folder with size and time of change; of folders the names alone."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
