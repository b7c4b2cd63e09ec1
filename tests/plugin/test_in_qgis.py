"""The plugin in QGIS itself: each algorithm, its layers with their styles, stopping, and what goes
wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely

from checkout import ROOT
from difference_weights import write_difference_weights
from hanet.detection.job import detect
from hanet.synthetic.scene import SceneFiles, render_scene
from hanet_shim import write_script, write_shim
from qgis_python import qgis_python

PLUGINS = ROOT / "qgis"
"""The folder that holds the plugin, as QGIS's own does."""

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> SceneFiles:
    return render_scene(tmp_path_factory.mktemp("a pair"), size=320, seed=1, change_share=0.4)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> SceneFiles:
    """A pair that the shipped weights take seconds for."""
    return render_scene(tmp_path_factory.mktemp("a large pair"), size=1024, seed=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "difference.onnx"
    return write_difference_weights(path, tile_px=128, overlap_px=16)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shim(tmp_path_factory.mktemp("a command") / "hanet")


@pytest.fixture(scope="module")
def qgis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """The process that has imported QGIS, and starts one for each job."""
    script = ROOT / "tests" / "support" / "run_in_qgis.py"
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "PYTHONPATH": "", "HOME": str(home)}
    with subprocess.Popen(
        [qgis_python(), str(script), str(PLUGINS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        yield process


@pytest.fixture
def run(
    qgis: subprocess.Popen[str],
    command: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """Runs an algorithm in QGIS with a profile of its own; what run_in_qgis.py says."""

    def typed(algorithm: str, parameters: dict[str, Any], **job: Any) -> dict[str, Any]:
        environment = {
            **os.environ,
            "QT_QPA_PLATFORM": "offscreen",
            "PYTHONPATH": "",
            "HOME": str(tmp_path / "home"),
            **job.pop("environment", {}),
        }
        answer = tmp_path_factory.mktemp("answer") / "answer.json"
        job = {"command": str(command), **job, "algorithm": f"hanet:{algorithm}"}
        job |= {"parameters": parameters, "environment": environment, "answer": str(answer)}
        assert qgis.stdin is not None
        assert qgis.stdout is not None
        print(json.dumps(job), file=qgis.stdin, flush=True)
        code = qgis.stdout.readline()
        assert code == "0\n", answer.with_name(f"{answer.name}.log").read_text()
        found: dict[str, Any] = json.loads(answer.read_text())
        return found

    return typed


def _layers(pair: SceneFiles) -> dict[str, Any]:
    return {"BEFORE": {"raster": str(pair.before)}, "AFTER": {"raster": str(pair.after)}}


def _said(found: dict[str, Any], *kinds: str) -> str:
    return "\n".join(text for kind, text in found["log"] if not kinds or kind in kinds)


def test_detection_gives_styled_layers_and_progress(
    run: Run, pair: SceneFiles, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "größe 1"
    found = run("detect", {**_layers(pair), "WEIGHTS": str(weights), "OUTPUT": str(out)})
    assert found["ok"], _said(found)
    assert found["layers"] == {
        f"Changed buildings ({out.name})": {
            "renderer": "graduatedSymbol",
            "shown": True,
            "valid": True,
            "count": found["outputs"]["COUNT"],
        },
        f"Probability of change ({out.name})": {
            "renderer": "singlebandpseudocolor",
            "shown": False,
            "valid": True,
            "count": None,
        },
        f"Change mask ({out.name})": {
            "renderer": "paletted",
            "shown": False,
            "valid": True,
            "count": None,
        },
    }
    assert [name.partition(" (")[0] for name in found["layers"]] == [
        "Changed buildings",
        "Probability of change",
        "Change mask",
    ], "from the top"
    assert found["outputs"]["COUNT"] > 0
    assert found["outputs"]["FOOTPRINTS"] == str(out / "footprints.gpkg")
    assert found["outputs"]["REPORT"] == str(out / "report.html")
    stages = [text for kind, text in found["log"] if kind == "stage"]
    assert stages[:2] == ["detecting", "writing rasters"]
    of_command = [share for share in found["shares"] if share > 1]
    assert 0 < of_command[0] <= 100
    assert "console" not in {kind for kind, _ in found["log"]}
    assert found["algorithms"] == [
        f"hanet:{name}"
        for name in ("check_installation", "check_pair", "deliver", "detect", "footprints")
    ]
    assert found["helped"], "a parameter has no help"


def test_options_reach_the_command(
    run: Run, pair: SceneFiles, weights: Path, tmp_path: Path
) -> None:
    more = {
        "WEIGHTS": str(weights),
        "THRESHOLD": 0.25,
        "MIN_AREA": 0,
        "RESOLUTION": "native",
        "OUTLINE": "pixels",
        "GRID": "before",
        "SEPARATE": False,
        "MATCH": True,
        "BEFORE_DATE": "2019-05",
        "MORE": "--connectivity 4",
        "LOAD": False,
        "OUTPUT": str(tmp_path / "out"),
    }
    found = run("detect", {**_layers(pair), **more})
    assert found["ok"], _said(found)
    assert found["layers"] == {}
    run_file = json.loads((tmp_path / "out" / "run.json").read_text())
    footprints = run_file["footprints"]
    assert (run_file["threshold"], footprints["min_area_m2"], footprints["outline"]) == (
        0.25,
        0.0,
        "pixels",
    )
    assert (footprints["separate"], footprints["connectivity"]) == (False, 4)
    assert footprints["before_date"] == "2019-05"
    settings = run_file["identity"]["settings"]
    assert (settings["grid"], settings["match_radiometry"]) == ("before", "True")


@pytest.mark.parametrize("kind", ["extent", "layer", "selection"])
def test_an_area_of_interest_limits_the_result(
    run: Run, pair: SceneFiles, weights: Path, tmp_path: Path, kind: str
) -> None:
    """The left half as an extent, as a layer, and as the selected one of two polygons."""
    left, half, bottom, top = 620000, 620080, 3349840, 3350000
    parameters: dict[str, Any] = {}
    if kind == "extent":
        parameters["EXTENT"] = f"{left},{half},{bottom},{top} [EPSG:32614]"
    else:
        boxes = [shapely.box(left, bottom, half, top)]
        if kind == "selection":
            boxes.append(shapely.box(half, bottom, 620160, top))
        store = tmp_path / "areas.gpkg"
        shapes = shapely.to_wkb(np.array(boxes))
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # that it has no CRS
            pyogrio.raw.write(
                store, shapes, field_data=[], fields=[], geometry_type="Polygon", crs=None
            )
        # the user gave the layer its CRS in QGIS; the file states none
        parameters["AREA"] = {"vector": str(store), "crs": "EPSG:32614"}
        if kind == "selection":
            parameters["AREA"]["select"] = [1]
    out = tmp_path / "out"
    found = run(
        "detect",
        {**_layers(pair), **parameters, "WEIGHTS": str(weights), "LOAD": False, "OUTPUT": str(out)},
    )
    assert found["ok"], _said(found)
    assert found["outputs"]["COUNT"] > 0
    bounds = pyogrio.read_info(out / "footprints.gpkg", layer="footprints")["total_bounds"]
    assert bounds[2] <= half + 1


def test_an_area_is_a_layer_or_an_extent(run: Run, pair: SceneFiles, tmp_path: Path) -> None:
    both = {"AREA": {"vector": str(pair.footprints)}, "EXTENT": "0,1,0,1 [EPSG:32614]"}
    found = run("detect", {**_layers(pair), **both, "OUTPUT": str(tmp_path / "out")})
    assert not found["ok"]
    assert "not both" in found["reason"]


def test_a_check_says_what_it_found(run: Run, pair: SceneFiles, tmp_path: Path) -> None:
    coarse = render_scene(tmp_path / "coarse", size=320, seed=1, gsd_m=1.0)
    found = run(
        "check_pair",
        {"BEFORE": {"raster": str(pair.before)}, "AFTER": {"raster": str(coarse.after)}},
    )
    assert found["ok"], _said(found)
    assert found["outputs"]["WARNINGS"] > 0
    assert "Hint: " in _said(found, "warning")
    assert "320 x 320 pixels of 0.5 m, 3 bands of uint8, EPSG:32614" in _said(found, "info")


def test_footprints_with_another_threshold(
    run: Run, pair: SceneFiles, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = detect(pair.before, pair.after, out=out, weights=weights, threads=1)
    probability = {"PROBABILITY": {"raster": str(out / "probability.tif")}, "THRESHOLD": 0.95}
    found = run("footprints", {**probability, "OUTPUT": str(tmp_path / "strict")})
    assert found["ok"], _said(found)
    assert found["outputs"]["COUNT"] <= done.footprints.count
    (layer,) = found["layers"].values()
    assert layer["renderer"] == "graduatedSymbol"
    # into the folder of the run: everything in it is made again
    found = run("footprints", {**probability, "OUTPUT": str(out)})
    assert found["ok"], _said(found)
    assert json.loads((out / "run.json").read_text())["threshold"] == 0.95


def test_what_was_decided_in_qgis_is_delivered(
    run: Run, pair: SceneFiles, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = detect(pair.before, pair.after, out=out, weights=weights, threads=1)
    layer = f"{out / 'footprints.gpkg'}|layername=footprints"
    words = {"RUN": str(out), "EDITED": {"vector": layer}}
    found = run(
        "deliver", {**words, "STATUS": ["accepted", "unreviewed"], "FORMAT": ["gpkg", "csv"]}
    )
    assert found["ok"], _said(found)
    assert found["outputs"]["COUNT"] == done.footprints.count
    assert found["layers"] == {
        "Reviewed (delivery)": {
            "renderer": "categorizedSymbol",
            "shown": True,
            "valid": True,
            "count": done.footprints.count,
        }
    }
    assert (out / "delivery" / "reviewed.csv").is_file()
    assert found["outputs"]["REPORT"] == str(out / "delivery" / "delivery.html")
    unsaved = run("deliver", words, dirty=True)
    assert not unsaved["ok"]
    assert "edits that are not saved" in _said(unsaved, "error")


@pytest.mark.parametrize("was_there", [False, True])
def test_stopping_leaves_no_file_and_no_process(
    run: Run, large: SceneFiles, tmp_path: Path, was_there: bool
) -> None:
    """The command is a script that starts hanet as its child, as some installations do."""
    inner = write_shim(tmp_path / "inner", "--batch", "1")
    mark = tmp_path / "pid"
    outer = write_script(tmp_path / "hanet", f'"{inner}" "$@" & echo $! > "{mark}"; wait $!')
    out = tmp_path / "deep" / "er" / "out"
    if was_there:
        out.mkdir(parents=True)
    found = run(
        "detect", {**_layers(large), "OUTPUT": str(out)}, command=str(outer), cancel="detecting"
    )
    assert found["canceled"]
    assert found["outputs"] == {}
    assert "Stopped; nothing is left of it." in _said(found, "info")
    assert out.is_dir() == was_there
    assert (tmp_path / "deep").is_dir() == was_there
    assert not was_there or list(out.iterdir()) == []
    pid, ends = mark.read_text().strip(), time.monotonic() + 10
    # a process that was killed ends when the system comes to it
    while not _is_gone(pid) and time.monotonic() < ends:
        time.sleep(0.1)
    assert _is_gone(pid)


def _is_gone(pid: str) -> bool:
    """Whether a process has ended; it may be dead and not yet waited for."""
    words = ["ps", "-o", "stat=", "-p", pid]
    state = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    return state[:1] in ("", "Z")


def test_what_some_weights_alone_give_is_a_layer_too(
    run: Run, pair: SceneFiles, tmp_path: Path
) -> None:
    """Which building was built and which demolished; the command is played."""
    files = [{"path": str(pair.mask), "kind": "built"}, {"path": "new.xyz", "kind": "new kind"}]
    lines = [
        {"event": "start", "contract": 1, "version": "9", "verb": "detect", "more": [1]},
        {"event": "new event"},
        {"event": "result", "message": "done", "files": files, "footprints": 0, "area": 0.0},
        {"event": "end", "exit_code": 0},
    ]
    said = "\n".join(map(json.dumps, lines))
    played = write_script(tmp_path / "hanet", f"echo text of a library >&2\necho '{said}' >&2")
    out = str(tmp_path / "out")
    found = run("detect", {**_layers(pair), "OUTPUT": out}, command=str(played))
    assert found["ok"], _said(found)
    assert found["outputs"]["BUILT"] == str(pair.mask)
    assert list(found["layers"]) == ["Built or demolished (out)"]
    assert "text of a library" in _said(found, "console")


def test_a_command_that_does_not_listen_is_killed(
    run: Run, tmp_path: Path, pair: SceneFiles
) -> None:
    start = '{"event": "start", "contract": 1, "version": "9", "verb": "detect"}'
    stage = '{"event": "progress", "stage": "sleeping", "share": 0.5, "overall": null}'
    deaf = write_script(
        tmp_path / "hanet",
        f"trap '' INT TERM\nmkdir -p \"$5\"; echo half > \"$5/half.tif\"\necho '{start}' >&2\n"
        f"echo '{stage}' >&2\nsleep 500",
    )
    out = tmp_path / "out"
    found = run("detect", {**_layers(pair), "OUTPUT": str(out)}, command=str(deaf), cancel="sleep")
    assert found["canceled"]
    assert found["shares"][0] == 50.0
    assert not out.exists()


def test_an_error_comes_with_its_hint_in_the_log(
    run: Run, pair: SceneFiles, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = run("detect", {**_layers(pair), "WEIGHTS": "no such", "OUTPUT": str(out)})
    assert not found["ok"]
    said = _said(found, "error")
    assert "no such" in said
    assert "\nHint: " in said
    assert not out.exists()


def test_a_folder_that_holds_something_is_left_alone(
    run: Run, pair: SceneFiles, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    found = run("detect", {**_layers(pair), "OUTPUT": str(tmp_path)})
    assert not found["ok"]
    assert "is not empty" in _said(found, "error")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_layer_that_is_no_file_is_refused_with_what_to_do(
    run: Run, pair: SceneFiles, tmp_path: Path
) -> None:
    service = "type=xyz&url=http://127.0.0.1:9/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=18&zmin=0"
    layers = {**_layers(pair), "AFTER": {"wms": service}}
    found = run("detect", {**layers, "OUTPUT": str(tmp_path / "out")})
    assert not found["ok"]
    said = _said(found, "error")
    assert "is no file" in said
    assert "Export > Save As" in said


def test_a_source_that_only_gdal_opens_is_passed_on(
    run: Run, pair: SceneFiles, tmp_path: Path
) -> None:
    packed = shutil.make_archive(str(tmp_path / "pair"), "zip", pair.before.parent)
    layers = {
        "BEFORE": {"raster": f"/vsizip/{packed}/{pair.before.name}"},
        "AFTER": {"raster": str(pair.after), "crs": "EPSG:32615"},
    }
    found = run("check_pair", layers)
    assert found["ok"], _said(found)
    assert "is no plain file" in _said(found, "info")
    assert "hanet believes the file" in _said(found, "warning")


def test_the_installation_is_checked(run: Run, command: Path) -> None:
    found = run("check_installation", {})
    assert found["ok"], _said(found)
    assert found["outputs"]["COMMAND"] == str(command)
    assert "All is well" in _said(found, "info")
    assert "hanet_lite.onnx (default)" in _said(found, "console")


def test_without_a_setting_the_command_is_that_on_the_path(run: Run, command: Path) -> None:
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    found = run("check_installation", {}, command="", environment={"PATH": path})
    assert found["outputs"] == {
        "COMMAND": str(command),
        "VERSION": found["outputs"]["VERSION"],
    }


def test_where_pipx_puts_it_is_looked_too(run: Run, command: Path, tmp_path: Path) -> None:
    folder = tmp_path / "home" / ".local" / "bin"
    folder.mkdir(parents=True)
    shutil.copy(command, folder / "hanet")
    found = run("check_installation", {}, command="", environment={"PATH": "/usr/bin:/bin"})
    assert found["outputs"]["COMMAND"] == str(folder / "hanet")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "There is no file"),
        ("", "is not installed, or not on PATH"),
        ("echo something else", "is not the hanet command"),
        (
            'if [ "$1" = --version ]; then echo hanet 0.3.0; echo python 3.11; else echo no >&2; exit 2; fi',
            "too old",
        ),
        (
            'if [ "$1" = --version ]; then echo hanet 9.0.0; else echo '
            '\'{"event": "start", "contract": 2, "version": "9.0.0", "verb": "models"}\' >&2; fi',
            "is newer than this plugin",
        ),
        (
            'if [ "$1" = --version ]; then echo hanet 1.0.0; else echo '
            '\'{"event": "start", "contract": 1, "version": "1.0.0", "verb": "models"}\' >&2; '
            "echo out of luck >&2; kill -9 $$; fi",
            "broke off",
        ),
    ],
)
def test_a_command_that_does_not_do_says_why(
    run: Run, tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "hanet"
    if text:
        write_script(path, text)
    chosen = "" if text == "" else str(path)
    found = run("check_installation", {}, command=chosen, environment={"PATH": "/usr/bin:/bin"})
    assert not found["ok"]
    error = _said(found, "error")
    assert said in error
    if said in ("is not installed, or not on PATH", "too old"):
        assert "pipx install hanet" in error or "pipx upgrade hanet" in error
    if said == "broke off":
        assert "out of luck" in error
