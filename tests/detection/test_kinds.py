"""Built or demolished, from the weights to the footprints."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio

from difference_weights import write_difference_weights
from hanet.detection.arrays import load
from hanet.detection.job import detect
from hanet.detection.merging import merge
from hanet.detection.planning import plan
from hanet.detection.renewal import renew_footprints
from hanet.detection.shard import run_shards
from hanet.errors import RasterError, SettingsError
from hanet.footprints.extraction import extract_footprints, find_footprints
from hanet.footprints.kinds import CLEAR_FROM, kind_of
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.types import Window
from hanet.weights.cascade import Cascade
from hanet.weights.engine import Engine
from hanet.weights.runtime import Torch, directed, open_runtime
from small_rasters import write

WHOLE = Window(0, 0, 150, 200)

SMALL: dict[str, Any] = {"tile_px": 64, "overlap_px": 16, "threads": 1, "gsd_m": "native"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "difference.onnx"
    return write_difference_weights(path, tells_direction=True, tile_px=64, overlap_px=16)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Grey ground; one square that becomes bright (built), two that were bright (demolished), and
    one that is half of each."""
    folder = tmp_path_factory.mktemp("pair")
    before, after = (np.full((3, 150, 200), 100, dtype=np.uint8) for _ in range(2))
    after[:, 10:40, 10:40] = 220
    before[:, 60:90, 10:40] = 220
    before[:, 60:90, 120:150] = 220
    after[:, 110:140, 100:115] = 220
    before[:, 110:140, 115:130] = 220
    return write(folder / "before.tif", before), write(folder / "after.tif", after)


@pytest.fixture(scope="module")
def finished(
    pair: tuple[Path, Path], weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    detect(*pair, out=out, weights=weights, formats=("gpkg", "geojson"), **SMALL)
    return out


def _kinds(layer: Path) -> list[tuple[str, float]]:
    meta, _, _, columns = pyogrio.raw.read(layer)
    values = dict(zip(meta["fields"], columns, strict=True))
    return list(zip(values["kind"], values["built_probability"].tolist(), strict=True))


def test_each_footprint_says_its_kind_and_how_probable_that_is(finished: Path) -> None:
    kinds = _kinds(finished / "footprints.gpkg")
    assert Counter(kind for kind, _ in kinds) == {"built": 1, "demolished": 2, "unclear": 1}
    for kind, probability in kinds:
        assert kind == kind_of(probability)
    assert _kinds(finished / "footprints.geojson") == kinds
    assert 'attr="kind"' in (finished / "footprints.qml").read_text()
    page = (finished / "report.html").read_text()
    assert 'class="k-built"' in page
    assert "demolished <b>(2)</b>" in page
    assert json.loads((finished / "run.json").read_text())["weights"]["tells_kinds"] is True


def test_the_raster_of_kinds_holds_what_has_changed_and_nothing_else(finished: Path) -> None:
    with ProbabilityRaster(finished / "built.tif") as built:
        values = built.read(WHOLE)
    with ProbabilityRaster(finished / "probability.tif") as probability:
        change = probability.read(WHOLE)
    assert (np.isfinite(values) == (change >= 0.1)).all()
    assert values[25, 25] > 0.99
    assert values[75, 25] < 0.01


def test_exchanged_dates_exchange_the_kinds(
    pair: tuple[Path, Path], weights: Path, finished: Path, tmp_path: Path
) -> None:
    detect(*reversed(pair), out=tmp_path / "out", weights=weights, **SMALL)
    other = {"built": "demolished", "demolished": "built", "unclear": "unclear"}
    exchanged = _kinds(tmp_path / "out" / "footprints.gpkg")
    assert [other[kind] for kind, _ in exchanged] == [
        kind for kind, _ in _kinds(finished / "footprints.gpkg")
    ]


def test_the_change_is_that_of_a_run_without_kinds(
    pair: tuple[Path, Path], weights: Path, finished: Path, tmp_path: Path
) -> None:
    detect(*pair, out=tmp_path / "out", weights=weights, kinds=False, **SMALL)
    for name in ("probability.tif", "mask.tif"):
        assert (tmp_path / "out" / name).read_bytes() == (finished / name).read_bytes()
    assert not (tmp_path / "out" / "built.tif").exists()
    assert (
        "built_probability" not in pyogrio.read_info(tmp_path / "out" / "footprints.gpkg")["fields"]
    )


def test_kinds_that_the_weights_cannot_tell_are_refused_and_not_left_out(
    pair: tuple[Path, Path], tmp_path: Path, refused: Callable[..., tuple[str, str]]
) -> None:
    plain = write_difference_weights(tmp_path / "plain.onnx", tile_px=64, overlap_px=16)
    error, hint = refused("detect", *pair, "--out", tmp_path / "out", "--weights", plain, "--kinds")
    assert error.endswith("does not tell built from demolished, which --kinds asks for")
    assert hint == "leave --kinds out, or take weights that do, like hanet_lite"
    assert not (tmp_path / "out").exists()


def test_renewed_footprints_keep_their_kinds(finished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    renew_footprints(out, threshold=0.8)
    kinds = Counter(kind for kind, _ in _kinds(out / "footprints.gpkg"))
    assert kinds["built"] >= 1
    assert kinds["demolished"] >= 2
    (out / "built.tif").unlink()  # a folder that was tidied up still can be renewed
    renew_footprints(out, threshold=0.7)
    assert "built_probability" not in pyogrio.read_info(out / "footprints.gpkg")["fields"]


def test_shards_give_the_kinds_of_one_machine(
    pair: tuple[Path, Path], weights: Path, finished: Path, tmp_path: Path
) -> None:
    made = plan(*pair, out=tmp_path / "out", shards=4, weights=weights, **SMALL)
    run_shards(made, range(len(made.shards)))
    merge(made.folder)
    for name in ("probability.tif", "built.tif"):
        assert (made.folder / name).read_bytes() == (finished / name).read_bytes()
    assert _kinds(made.folder / "footprints.gpkg") == _kinds(finished / "footprints.gpkg")


def test_an_interrupted_run_resumes_to_the_same_bytes(
    pair: tuple[Path, Path],
    weights: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hanet.detection.run_folder import RunState

    class Killed(BaseException):
        pass

    def dies(self: RunState, rows_done: int, counted: Any = None) -> None:
        original(self, rows_done, counted)
        if rows_done == 2:
            raise Killed

    original = RunState.mark
    monkeypatch.setattr(RunState, "mark", dies)
    with pytest.raises(Killed):
        detect(*pair, out=tmp_path / "out", weights=weights, **SMALL)
    monkeypatch.undo()
    detect(*pair, out=tmp_path / "out", weights=weights, resume=True, **SMALL)
    assert (tmp_path / "out" / "built.tif").read_bytes() == (finished / "built.tif").read_bytes()
    assert not (tmp_path / "out" / ".hanet").exists()


def test_weights_that_do_not_tell_leave_everything_as_it_was(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    plain = write_difference_weights(tmp_path / "plain.onnx", tile_px=64, overlap_px=16)
    detect(*pair, out=tmp_path / "out", weights=plain, **SMALL)
    assert not (tmp_path / "out" / "built.tif").exists()
    assert (
        "built_probability" not in pyogrio.read_info(tmp_path / "out" / "footprints.gpkg")["fields"]
    )
    assert directed(open_runtime(plain, Engine(threads=1))) is None
    with pytest.raises(SettingsError, match="do not tell built from demolished"):
        load(plain, threads=1).predict_kinds(*_arrays(pair))


def _arrays(pair: tuple[Path, Path]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    images = []
    for path in pair:
        with rasterio.open(path) as dataset:
            images.append(dataset.read())
    return images[0], images[1]


def test_arrays_get_both_answers(pair: tuple[Path, Path], weights: Path) -> None:
    detector = load(weights, threads=1)
    assert detector.tells_kinds
    probability, built = detector.predict_kinds(*_arrays(pair))
    np.testing.assert_array_equal(probability, detector.predict(*_arrays(pair)))
    assert (np.isnan(built) == (probability < 0.1)).all()
    assert built[25, 25] > 0.99
    assert built[75, 25] < 0.01


@pytest.mark.parametrize("flips", [False, True])
def test_flips_and_a_scout_give_both_answers(
    pair: tuple[Path, Path], weights: Path, *, flips: bool
) -> None:
    before, after = (image[None, :, :64, :64].astype(np.float32) for image in _arrays(pair))
    runtime = open_runtime(weights, Engine(threads=1, flips=flips))
    probability, built = runtime.predict_both(before, after)
    np.testing.assert_array_equal(probability, runtime.predict(before, after))
    cascade = Cascade(open_runtime(weights, Engine(threads=1)), runtime, threshold=0.2)
    assert cascade.tells_direction
    for one, other in zip(cascade.predict_both(before, after), (probability, built), strict=True):
        np.testing.assert_array_equal(one, other)
    _, nothing = cascade.predict_both(before, before)  # the scout sees nothing there
    assert (nothing == 0.5).all()


def test_a_footprint_of_which_nothing_is_known_is_unclear(tmp_path: Path, finished: Path) -> None:
    assert kind_of(None) == "unclear"
    assert [kind_of(share) for share in (CLEAR_FROM, 1 - CLEAR_FROM, 0.5)] == [
        "built",
        "demolished",
        "unclear",
    ]
    with (
        ProbabilityRaster(finished / "probability.tif") as raster,
        ProbabilityRaster(finished / "built.tif") as built,
    ):
        settings = FootprintSettings(threshold=0.05, separate=False, min_area_m2=0)
        found = find_footprints(raster, settings, built=built)
        strips = find_footprints(raster, settings, built=built, strip_rows=7)
    facts = [
        [(f.attributes["kind"], f.attributes["built_probability"]) for f in footprints]
        for footprints in (found, strips)
    ]
    assert facts[0] == facts[1]


def test_a_raster_of_another_grid_is_refused(finished: Path, tmp_path: Path) -> None:
    with rasterio.open(finished / "built.tif") as dataset:
        values, profile = dataset.read()[:, :-1], dataset.profile | {"height": dataset.height - 1}
    profile = {key: value for key, value in profile.items() if key != "driver"}
    with rasterio.open(tmp_path / "built.tif", "w", driver="GTiff", **profile) as dataset:
        dataset.write(values)
        dataset.scales = (1 / 250,)
    with pytest.raises(RasterError, match="not on the grid"):
        extract_footprints(
            finished / "probability.tif",
            tmp_path,
            settings=FootprintSettings(),
            built=tmp_path / "built.tif",
        )


def test_torch_gives_what_the_exported_file_gives(tmp_path: Path) -> None:
    import torch

    from hanet.metadata import Metadata
    from hanet.models import create
    from hanet.models.hanet_lite import HANetLite
    from hanet.weights.export import export_onnx
    from hanet.weights.weights_file import save_weights

    torch.manual_seed(0)
    model = create("hanet_lite", width=16, direction=8).eval()
    assert isinstance(model, HANetLite)
    assert model.direction is not None
    torch.nn.init.normal_(model.direction.head.weight)
    arguments = {"width": 16, "direction": 8}
    metadata = Metadata(name="one", model="hanet_lite", model_arguments=arguments)
    save_weights(tmp_path / "one.safetensors", model, metadata)
    export_onnx(model, metadata, tmp_path / "one.onnx")
    images = [np.random.default_rng(n).uniform(0, 255, (2, 3, 64, 96)) for n in range(2)]
    before, after = (image.astype(np.float32) for image in images)
    of_torch = Torch(tmp_path / "one.safetensors", Engine("torch", threads=1))
    of_onnx = open_runtime(tmp_path / "one.onnx", Engine(threads=1))
    assert of_torch.tells_direction
    assert of_onnx.tells_direction
    for one, other in zip(
        of_torch.predict_both(before, after), of_onnx.predict_both(before, after), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-4)
    _, exchanged = of_onnx.predict_both(after, before)
    np.testing.assert_allclose(of_onnx.predict_both(before, after)[1], 1 - exchanged, atol=1e-5)
