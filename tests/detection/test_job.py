"""Detection end to end with the shipped weights on a rendered pair: outputs, resume after a kill,
bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio

from checkout import ROOT
from hanet.cli import main
from hanet.detection.job import detect
from hanet.errors import OutputError
from hanet.synthetic.scene import render_scene
from hanet.weights import catalogue
from small_rasters import write

SMALL: dict[str, Any] = {"tile_px": 128, "overlap_px": 16, "batch": 2, "threads": 1}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    render_scene(folder, size=640, seed=1, change_share=0.4)
    return folder


def test_a_rendered_pair_gives_all_outputs_and_finds_buildings(scene: Path, tmp_path: Path) -> None:
    result = detect(
        scene / "before.tif",
        scene / "after.tif",
        out=tmp_path / "out",
        formats=("gpkg", "geojson"),
        threads=1,
    )
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "probability.tif",
        "probability.qml",
        "built.tif",
        "built.qml",
        "mask.qml",
        "mask.tif",
        "footprints.gpkg",
        "footprints.geojson",
        "footprints.qml",
        "run.json",
        "report.html",
        "changes.qgz",
        "stac-item.json",
        "stac-model.json",
    }
    with (
        rasterio.open(tmp_path / "out" / "mask.tif") as mask,
        rasterio.open(scene / "mask.tif") as truth,
    ):
        assert mask.crs == truth.crs
        assert mask.transform == truth.transform
        found, change = mask.read(1) == 1, truth.read(1) == 1
    assert (found & change).sum() / found.sum() > 0.6
    assert (found & change).sum() / change.sum() > 0.3
    assert (
        pyogrio.read_info(tmp_path / "out" / "footprints.gpkg", layer="footprints")["features"]
        == result.footprints.count
        > 0
    )
    manifest = json.loads((tmp_path / "out" / "run.json").read_text())
    assert manifest["weights"]["sha256"] == manifest["identity"]["weights"]
    assert manifest["threads"] == {"count": 1, "source": "--threads"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "http://" not in page.replace("http://qgis.org", "")
    assert "<svg" in page
    with pytest.raises(OutputError, match="already holds a result"):
        detect(scene / "before.tif", scene / "after.tif", out=tmp_path / "out")


def test_a_share_of_the_cpus_is_respected_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    pixels = np.random.default_rng(0).integers(0, 255, (3, 64, 64), dtype=np.uint8)
    pair = [write(tmp_path / f"{date}.tif", pixels) for date in ("before", "after")]
    detect(*pair, out=tmp_path / "out", report=False, qgis=False)
    manifest = json.loads((tmp_path / "out" / "run.json").read_text())
    assert manifest["threads"] == {"count": 1, "source": "SLURM_CPUS_PER_TASK"}


def test_invalid_pixels_are_nodata_and_windows_of_them_are_skipped(
    scene: Path, tmp_path: Path
) -> None:
    with rasterio.open(scene / "before.tif") as dataset:
        pixels = dataset.read()
    pixels[:, :, :400] = 0
    before = write(tmp_path / "before.tif", pixels, nodata=0)
    detect(before, scene / "after.tif", out=tmp_path / "out", report=False, **SMALL)
    with rasterio.open(tmp_path / "out" / "probability.tif") as dataset:
        probability = dataset.read(1)
    assert (probability[:, :400] == 255).all()
    assert (probability[:, 400:] != 255).mean() > 0.99
    assert json.loads((tmp_path / "out" / "run.json").read_text())["timings"]["tiles_skipped"] > 0


@pytest.fixture(scope="module")
def strip(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Command line of a detection in many rows of few tiles, of which some hold no change."""
    folder = tmp_path_factory.mktemp("strip")
    paths = []
    for date in ("before", "after"):
        with rasterio.open(scene / f"{date}.tif") as dataset:
            paths.append(write(folder / f"{date}.tif", dataset.read()[:, :, :192]))
    options = ["--tile", "64", "--overlap", "16", "--batch", "1", "--threads", "1", "--no-report"]
    return ["detect", *map(str, paths), *options]


@pytest.fixture(scope="module")
def undisturbed(
    strip: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[tuple[str, ...]], Path]:
    """The result of the strip with further options, made once."""

    @cache
    def made(further: tuple[str, ...]) -> Path:
        out = tmp_path_factory.mktemp("undisturbed") / "out"
        _typed(*strip, *further, "--out", str(out))
        return out

    return made


def _typed(*words: str) -> None:
    """``hanet WORDS`` in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["hanet", *words])
        main()


@pytest.mark.parametrize(
    ("rows_before_the_kill", "further"), [(1, ()), (3, ()), (1, ("--scout", "hanet_lite"))]
)
def test_a_killed_run_resumes_to_the_same_bytes(
    strip: list[str],
    undisturbed: Callable[[tuple[str, ...]], Path],
    tmp_path: Path,
    rows_before_the_kill: int,
    further: tuple[str, ...],
) -> None:
    killed, whole = tmp_path / "killed", undisturbed(further)
    arguments = [*strip, *further, "--out", str(killed)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from hanet.cli import main; main()", *arguments],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    journal = killed / ".hanet" / "journal.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        journal.exists() and json.loads(journal.read_text())["rows_done"] >= rows_before_the_kill
    ):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "run.json").exists()
    assert not (killed / "probability.tif").exists()
    assert json.loads(journal.read_text())["rows_done"] >= rows_before_the_kill
    _typed(*arguments, "--resume")
    for name in ("probability.tif", "mask.tif"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert not (killed / ".hanet").exists()
    manifests = [json.loads((folder / "run.json").read_text()) for folder in (killed, whole)]
    assert manifests[0]["cascade"] == manifests[1]["cascade"]
    if further:
        assert 0 < manifests[0]["cascade"]["looked_at"] < manifests[0]["cascade"]["scouted"]


def test_many_pairs_pass_over_failures(scene: Path, tmp_path: Path) -> None:
    from hanet.detection.pair_list import detect_pairs, read_pairs

    listing = tmp_path / "pairs.csv"
    listing.write_text(
        f"name,before,after\ngood,{scene / 'before.tif'},{scene / 'after.tif'}\nbad,missing.tif,{scene / 'after.tif'}\n"
    )
    result = detect_pairs(
        read_pairs(listing),
        out=tmp_path / "out",
        resume=False,
        overwrite=False,
        report=False,
        **SMALL,
    )
    assert [row["status"] for row in result.rows] == ["done", "failed"], [
        row["message"] for row in result.rows
    ]
    assert (tmp_path / "out" / "good" / "footprints.gpkg").exists()
    assert result.merged is not None
    merged = pyogrio.read_info(tmp_path / "out" / "footprints.gpkg", layer="footprints")
    assert merged["features"] == result.merged.count == result.rows[0]["footprints"] > 0


GOOD = "GOOD"
PIXELS = np.random.default_rng(0).integers(0, 255, (3, 64, 64)).astype(np.uint8)


def _rubbish(folder: Path) -> dict[str, Path]:
    """Inputs that cannot be used, by name."""
    made = {name: folder / f"{name}.tif" for name in ("empty", "text", "missing")}
    made["empty"].touch()
    made["text"].write_text("this is no TIFF\n" * 40)
    made["folder"] = folder
    made["truncated"] = write(folder / "truncated.tif", PIXELS, compress="deflate")
    made["truncated"].write_bytes(made["truncated"].read_bytes()[:200])
    made["complex"] = write(folder / "complex.tif", PIXELS.astype(np.complex64))
    made["one_band"] = write(folder / "one_band.tif", PIXELS[:1])
    made["elsewhere"] = write(folder / "elsewhere.tif", PIXELS, left=900000.0)
    made["other_zone"] = write(folder / "other_zone.tif", PIXELS, crs=rasterio.CRS.from_epsg(32633))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has no georeference is the point
        made["no_crs"] = write(
            folder / "no_crs.tif", PIXELS, crs=None, transform=rasterio.Affine.identity()
        )
    made["degenerate"] = write(
        folder / "degenerate.tif", PIXELS, transform=rasterio.Affine(0.5, 0, 620000, 0, 0, 3350000)
    )
    palette = folder / "palette.tif"
    with rasterio.open(write(palette, PIXELS[:1], photometric="palette"), "r+") as dataset:
        dataset.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})
    made["palette"] = palette
    made["csv"] = folder / "pairs.csv"
    made["csv"].write_text("first,second\n1,2\n")
    made["not_onnx"] = folder / "broken.onnx"
    made["not_onnx"].write_bytes(b"rubbish" * 100)
    made["not_safetensors"] = folder / "broken.safetensors"
    made["not_safetensors"].write_bytes(b"\xff" * 100)
    made["pickle"] = folder / "old.pth"
    made["pickle"].write_bytes(b"\x80\x02.")
    made["point"] = folder / "point.geojson"
    made["point"].write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, '
        '"geometry": {"type": "Point", "coordinates": [0, 0]}}]}'
    )
    return made


CASES = [
    *(
        [name, GOOD]
        for name in (
            "empty",
            "text",
            "missing",
            "folder",
            "truncated",
            "complex",
            "one_band",
            "elsewhere",
            "other_zone",
            "no_crs",
            "degenerate",
            "palette",
        )
    ),
    *(
        [GOOD, name]
        for name in (
            "empty",
            "text",
            "missing",
            "folder",
            "truncated",
            "complex",
            "one_band",
            "elsewhere",
            "no_crs",
        )
    ),
    [GOOD],
    [],
    [GOOD, GOOD, GOOD],
    [GOOD, GOOD, "--treshold", "0.5"],
    *([GOOD, GOOD, "--threshold", value] for value in ("0", "1", "-3", "nan", "half")),
    [GOOD, GOOD, "--tile", "100"],
    [GOOD, GOOD, "--tile", "0"],
    [GOOD, GOOD, "--overlap", "512"],
    [GOOD, GOOD, "--overlap", "-1"],
    [GOOD, GOOD, "--batch", "0"],
    [GOOD, GOOD, "--threads", "0"],
    [GOOD, GOOD, "--bands", "1,2"],
    [GOOD, GOOD, "--bands", "1,2,9"],
    [GOOD, GOOD, "--bands", "red"],
    [GOOD, GOOD, "--bbox", "1,2,3"],
    [GOOD, GOOD, "--bbox", "9,9,1,1"],
    [GOOD, GOOD, "--bbox", "nan,nan,nan,nan"],
    [GOOD, GOOD, "--bbox", "0,0,1,1"],
    *([GOOD, GOOD, "--gsd", value] for value in ("-1", "nan", "inf", "0.0001")),
    [GOOD, GOOD, "--gsd", "fine"],
    [GOOD, GOOD, "--grid", "mine"],
    [GOOD, GOOD, "--scaling", "9,1"],
    [GOOD, GOOD, "--scaling", "1"],
    [GOOD, GOOD, "--coregister", "maybe"],
    [GOOD, GOOD, "--outline", "round"],
    [GOOD, GOOD, "--connectivity", "6"],
    [GOOD, GOOD, "--min-area-m2", "-1"],
    [GOOD, GOOD, "--before-date", "yesterday"],
    [GOOD, GOOD, "--after-date", "2023-02-29"],
    [GOOD, GOOD, "--before-date", "2021-05", "--after-date", "2020"],
    [GOOD, GOOD, "--format", "shp"],
    [GOOD, GOOD, "--runtime", "cuda"],
    [GOOD, GOOD, "--precision", "bf16"],
    [GOOD, GOOD, "--precision", "fp16"],
    [GOOD, GOOD, "--weights", "hanet_light"],
    *(
        [GOOD, GOOD, "--weights", name]
        for name in ("not_onnx", "not_safetensors", "pickle", "missing")
    ),
    [GOOD, GOOD, "--aoi", "missing"],
    [GOOD, GOOD, "--aoi", "text"],
    [GOOD, GOOD, "--aoi", "point"],
    [GOOD, GOOD, "--pairs", "csv"],
    ["--pairs", "csv"],
    ["--pairs", "missing"],
]


@pytest.fixture(scope="module")
def rubbish(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("rubbish")
    return {**_rubbish(folder), GOOD: write(folder / "good.tif", PIXELS)}


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_bad_input_gives_one_line_and_leaves_nothing(
    case: list[str],
    rubbish: dict[str, Path],
    tmp_path: Path,
    refused: Callable[..., tuple[str, str]],
) -> None:
    refused("detect", *(rubbish.get(word, word) for word in case), "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "case",
    [
        ["scene", "FILE", "--size", "64"],
        ["detect", "--pairs", "PAIRS", "--out", "FILE"],
        ["scene", "OUT", "--seed", "-1"],
        ["scene", "OUT", "--gsd", "0"],
        ["scene", "OUT", "--after-crs", "EPSG:99999"],
    ],
)
def test_other_verbs_too_end_in_one_line(
    case: list[str],
    rubbish: dict[str, Path],
    tmp_path: Path,
    refused: Callable[..., tuple[str, str]],
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "pairs.csv").write_text(f"before,after,name\n{rubbish[GOOD]},{rubbish[GOOD]},one\n")
    places = {"FILE": tmp_path / "file", "PAIRS": tmp_path / "pairs.csv", "OUT": tmp_path / "out"}
    refused(*(places.get(word, word) for word in case))
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows says it in other words")
def test_a_file_in_the_place_of_the_folder_is_not_called_a_full_disk(
    rubbish: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="cannot be written") as refusal:
        detect(rubbish[GOOD], rubbish[GOOD], out=tmp_path / "out", **SMALL)
    assert refusal.value.hint == "choose a folder that you may write to"


def test_no_argument_at_all_shows_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hanet"])
    main()
    assert "detect" in capsys.readouterr().out


def test_ctrl_c_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hanet.detection.job.detect", interrupted)
    monkeypatch.setattr(sys, "argv", ["hanet", "detect", "a.tif", "b.tif", "--out", "out"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130
    assert [line for line in capsys.readouterr().err.splitlines() if line] == [
        "error: stopped",
        "hint: the same command with --resume continues",
    ]


def test_far_too_coarse_pixels_are_warned_of_and_their_cost_is_told(tmp_path: Path) -> None:
    pair = [
        write(tmp_path / f"{date}.tif", PIXELS[:, :16, :16], gsd=5.0)
        for date in ("before", "after")
    ]
    told: dict[str, tuple[list[str], list[str]]] = {}
    for name, gsd in (("resampled", None), ("native", "native")):
        notes, warnings_told = told.setdefault(name, ([], []))
        given: dict[str, Any] = {**SMALL, "gsd_m": gsd, "report": False, "tile_px": 64}
        detect(*pair, out=tmp_path / name, note=notes.append, warn=warnings_told.append, **given)
    for _, warnings_told in told.values():
        assert any("do not trust the result" in text for text in warnings_told)
    assert any("100 times as many pixels" in text for text in told["resampled"][0])
    assert not any("resamples" in text for text in told["native"][0])


def test_the_default_weights_are_there_and_say_what_they_are() -> None:
    metadata = catalogue.read_metadata(catalogue.resolve(catalogue.DEFAULT))
    assert metadata.name == "hanet_lite"
    assert metadata.scores
    assert metadata.licence.startswith("academic")


def test_arrays_give_what_the_detector_gives(scene: Path, tmp_path: Path) -> None:
    import hanet

    paths, images = [], []
    for date in ("before", "after"):
        with rasterio.open(scene / f"{date}.tif") as dataset:
            images.append(dataset.read()[:, :330, :380])
        paths.append(write(tmp_path / f"{date}.tif", images[-1]))
    tiles = {"tile_px": 256, "overlap_px": 32}
    probability = hanet.load(threads=1).predict(*images, **tiles)
    detect(*paths, out=tmp_path / "out", report=False, threads=1, **tiles)
    with rasterio.open(tmp_path / "out" / "probability.tif") as dataset:
        stored = dataset.read(1) / 250
    assert np.abs(probability - stored).max() <= 0.0021


def test_every_verb_has_help_and_stands_in_the_readme() -> None:
    from typer.testing import CliRunner

    from hanet.cli import VERBS, app

    readme = (ROOT / "README.md").read_text()
    for verb in VERBS:
        result = CliRunner().invoke(app, [verb, "--help"])
        assert result.exit_code == 0
        assert f"hanet {verb}" in readme
    shown = CliRunner().invoke(app, ["--help"]).stdout
    assert "..." not in shown.partition("Commands")[2]  # no summary is cut


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda image: image.astype(np.float32) / 255, "look like 0-1"),
        (lambda image: image.astype(np.uint16) * 16, "reach from 0 to"),
        (lambda image: np.where(image > 9, image, np.nan).astype(np.float32), "nan"),
        (lambda image: image.astype(np.float32) - 128, "reach from -128"),
    ],
    ids=["0-1", "16 bit", "nan", "negative"],
)
def test_arrays_out_of_range_are_refused(change: Callable[[Any], Any], said: str) -> None:
    import hanet
    from hanet.errors import InputError, SettingsError

    image = np.arange(3 * 64 * 64, dtype=np.uint32).reshape(3, 64, 64) % 256
    detector = hanet.load(threads=1)
    with pytest.raises(InputError, match=said):
        detector.predict(change(image), change(image))
    black = np.zeros((3, 64, 64), dtype=np.float32)
    with pytest.raises(
        SettingsError, match="multiple of 16"
    ):  # it was an error of the engine's, of many lines
        detector.predict(black, black, tile_px=100)
    with pytest.raises(
        SettingsError, match="at least 32"
    ):  # a multiple, but less than the network takes
        detector.predict(black, black, tile_px=16)
    assert detector.predict(black, black).shape == (64, 64)
    assert detector.predict(image.astype(np.float32), image.astype(np.uint16)).shape == (64, 64)


def test_models_tell_their_speed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hanet", "models", "--json"])
    main()
    lite = next(
        entry for entry in json.loads(capsys.readouterr().out) if entry["name"] == "hanet_lite"
    )
    assert lite["speed_class"] == "fast"
    assert 0 < lite["gmac_per_megapixel"] < 40


def test_check_tells_the_distance_to_the_weights_resolution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {}
    for gsd_m in (0.5, 0.25, 5.0):
        pair = tmp_path / f"{gsd_m}"
        render_scene(pair, size=128, seed=1, gsd_m=gsd_m)
        rasters = [str(pair / name) for name in ("before.tif", "after.tif")]
        monkeypatch.setattr(sys, "argv", ["hanet", "check", *rasters])
        main()
        said[gsd_m] = next(
            line for line in capsys.readouterr().out.splitlines() if "was trained at" in line
        )
        monkeypatch.setattr(sys, "argv", ["hanet", "check", "--json", *rasters])
        main()
        facts = json.loads(capsys.readouterr().out)
        assert facts["times_as_coarse_as_weights"] == pytest.approx(gsd_m / 0.5, rel=0.01)
    assert "hanet_lite was trained at" in said[0.5]
    assert "the same" in said[0.5]
    assert "times as fine" in said[0.25]
    assert "10 times as coarse" in said[5.0]


def test_a_cascade_spares_tiles_and_finds_the_same_where_it_looks(
    scene: Path, tmp_path: Path
) -> None:
    pair = (scene / "before.tif", scene / "after.tif")
    detect(*pair, out=tmp_path / "alone", report=False, **SMALL)
    said: list[str] = []
    result = detect(
        *pair, out=tmp_path / "cascade", scout="hanet_lite", report=False, note=said.append, **SMALL
    )
    assert any("it saves work only where it passes on less than 75% of" in text for text in said)
    manifest = json.loads((tmp_path / "cascade" / "run.json").read_text())
    assert manifest["identity"]["scout"] == manifest["identity"]["weights"]
    counts = manifest["cascade"]
    assert 0 < counts["looked_at"] < counts["scouted"] == manifest["tiles"]["count"]
    assert result.share_looked_at == counts["looked_at"] / counts["scouted"]
    with (
        rasterio.open(tmp_path / "alone" / "mask.tif") as alone,
        rasterio.open(tmp_path / "cascade" / "mask.tif") as cascade,
    ):
        assert (alone.read(1) == cascade.read(1)).mean() > 0.98
