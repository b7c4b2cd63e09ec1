"""What a detection must not lose, and that it ends the same however often it was interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import rasterio

from difference_weights import write_difference_weights
from hanet.detection.job import detect
from hanet.errors import HanetError, OutputError, RasterError
from hanet.footprints.extraction import extract_footprints
from hanet.footprints.settings import FootprintSettings
from hanet.synthetic.scene import render_scene

KEPT = ("probability.tif", "mask.tif", "footprints.gpkg", "probability.qml", "mask.qml")
"""Files that are the same, byte for byte, whenever the same inputs are detected."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    render_scene(folder, size=512, seed=1)
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("weights") / "difference.onnx"
    weights = write_difference_weights(path, tile_px=128, overlap_px=16)
    return {"weights": weights, "threads": 1}


def _bytes(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in KEPT}


@pytest.mark.parametrize(
    "choice", [{}, {"coregister": "shift"}, {"match_radiometry": True}], ids=str
)
def test_each_raster_is_opened_twice_at_most(
    scene: Path,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    choice: dict[str, Any],
) -> None:
    opened: Counter[str] = Counter()
    plain = rasterio.open

    def count(name: Any, *given: Any, **options: Any) -> Any:
        opened[Path(str(name)).name] += 1
        return plain(name, *given, **options)

    monkeypatch.setattr(rasterio, "open", count)
    detect(scene / "before.tif", scene / "after.tif", out=tmp_path / "out", **settings, **choice)
    assert 1 <= opened["before.tif"] <= 2
    assert 1 <= opened["after.tif"] <= 2


@pytest.mark.parametrize("stage", ["detecting", "writing rasters", "outlining footprints"])
def test_an_interrupted_run_ends_with_the_bytes_of_another(
    scene: Path, settings: dict[str, Any], tmp_path: Path, stage: str
) -> None:
    """footprints.gpkg bore the time of writing."""
    pair = scene / "before.tif", scene / "after.tif"

    def stop(name: str, share: float) -> None:
        if name == stage and (share > 0.4 or stage != "detecting"):
            raise KeyboardInterrupt

    detect(*pair, out=tmp_path / "whole", **settings)
    time.sleep(0.01)
    with pytest.raises(KeyboardInterrupt):
        detect(*pair, out=tmp_path / "out", progress=stop, **settings)
    detect(*pair, out=tmp_path / "out", resume=True, **settings)
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "whole")
    assert not list((tmp_path / "out").glob(".*"))


def test_run_json_says_when_the_run_began_the_first_time(
    scene: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    pair = scene / "before.tif", scene / "after.tif"

    def stop(name: str, share: float) -> None:
        if name == "writing rasters":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detect(*pair, out=tmp_path / "out", progress=stop, **settings)
    journal = tmp_path / "out" / ".hanet" / "journal.json"
    state = json.loads(journal.read_text()) | {"started": "2026-01-02T03:04:05+00:00"}
    journal.write_text(json.dumps(state))
    detect(*pair, out=tmp_path / "out", resume=True, **settings)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["started"] == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize("harm", ["overwritten", "removed"])
@pytest.mark.parametrize("when", ["detecting", "writing the report"])
def test_an_input_that_changes_in_the_middle_is_an_error(
    scene: Path, settings: dict[str, Any], tmp_path: Path, harm: str, when: str
) -> None:
    """The report then showed neither the old nor the new image."""
    after = tmp_path / "after.tif"
    shutil.copy(scene / "after.tif", after)

    def change(stage: str, share: float) -> None:
        if stage != when or not after.exists():
            return
        if harm == "removed":
            after.unlink()
        else:
            replacement = tmp_path / "new.tif"
            shutil.copy(scene / "before.tif", replacement)
            os.utime(replacement, (1, 1))
            replacement.replace(after)

    with pytest.raises(RasterError, match=r"after\.tif (was|cannot)"):
        detect(scene / "before.tif", after, out=tmp_path / "out", progress=change, **settings)
    assert not (tmp_path / "out" / "run.json").exists()
    assert not (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize("choice", [{}, {"overwrite": True}, {"resume": True}], ids=str)
@pytest.mark.parametrize("name", ["mask.tif", "probability.tif"])
def test_an_input_in_the_folder_of_the_result_is_never_lost(
    scene: Path, settings: dict[str, Any], tmp_path: Path, name: str, choice: dict[str, Any]
) -> None:
    before = tmp_path / "out" / name
    before.parent.mkdir()
    shutil.copy(scene / "before.tif", before)
    content = before.read_bytes()
    with pytest.raises(OutputError, match="has a name that the result takes"):
        detect(before, scene / "after.tif", out=tmp_path / "out", **settings, **choice)
    assert before.read_bytes() == content
    assert [path.name for path in before.parent.iterdir()] == [name]


def test_an_area_of_interest_in_the_folder_of_the_result_is_never_lost(
    scene: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    aoi = tmp_path / "out" / "footprints.gpkg"
    aoi.parent.mkdir()
    shutil.copy(scene / "footprints.gpkg", aoi)
    content = aoi.read_bytes()
    pair = scene / "before.tif", scene / "after.tif"
    with pytest.raises(OutputError, match="has a name that the result takes"):
        detect(*pair, out=tmp_path / "out", aoi=aoi, overwrite=True, **settings)
    assert aoi.read_bytes() == content


def test_a_source_of_a_mosaic_in_the_folder_of_the_result_is_never_lost(
    scene: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    import rasterio.shutil

    source, mosaic = tmp_path / "out" / "mask.tif", tmp_path / "mosaic.vrt"
    source.parent.mkdir()
    shutil.copy(scene / "before.tif", source)
    rasterio.shutil.copy(source, mosaic, driver="VRT")
    with pytest.raises(OutputError, match="has a name that the result takes"):
        detect(mosaic, scene / "after.tif", out=source.parent, overwrite=True, **settings)
    assert source.exists()


@pytest.mark.parametrize("name", ["!projects", "a!b", "semi;colon", "a.zip", 'quote\'s "x"'])
def test_a_folder_of_any_name_gets_the_result(
    scene: Path, settings: dict[str, Any], tmp_path: Path, name: str
) -> None:
    """Of names with an exclamation mark pyogrio made a part of an archive, at the very end."""
    formats = ("gpkg", "geojson", "fgb")
    pair = scene / "before.tif", scene / "after.tif"
    result = detect(*pair, out=tmp_path / name, formats=formats, report=False, **settings)
    assert [path.exists() for path in result.footprints.files] == [True] * 3
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_all_files_of_a_run_have_the_same_permissions(
    scene: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    before = os.umask(0o002)
    try:
        detect(scene / "before.tif", scene / "after.tif", out=tmp_path / "out", **settings)
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "out").iterdir()}
    assert set(modes.values()) == {"0o664"}, modes


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: run | {"footprints": None},
        lambda run: run | {"pair": {}},
        lambda run: run | {"footprints": run["footprints"] | {"area": "wide"}},
        lambda run: run | {"footprints": run["footprints"] | {"count": 1e400}},
        lambda run: run | {"footprints": run["footprints"] | {"files": ["../../etc/passwd"]}},
        lambda run: run | {"footprints": run["footprints"] | {"unit": [1]}},
        lambda run: run | {"identity": 3},
        lambda run: [run],
    ],
    ids=range(8),
)
def test_a_damaged_run_json_ends_in_words(
    scene: Path, settings: dict[str, Any], tmp_path: Path, damage: Any
) -> None:
    pair = scene / "before.tif", scene / "after.tif"
    detect(*pair, out=tmp_path / "out", report=False, **settings)
    path = tmp_path / "out" / "run.json"
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(OutputError) as caught:
        detect(*pair, out=tmp_path / "out", report=False, resume=True, **settings)
    assert "--overwrite" in str(caught.value.hint)
    detect(*pair, out=tmp_path / "out", report=False, overwrite=True, **settings)


def test_killed_footprints_leave_nothing_that_the_next_run_does_not_clear(
    scene: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    pair = scene / "before.tif", scene / "after.tif"
    detect(*pair, out=tmp_path / "run", report=False, **settings)
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from hanet.footprints import extraction\n"
        "from hanet.footprints.settings import FootprintSettings\n"
        "def die(stage, share):\n"
        f"    os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
        "extraction.extract_footprints(sys.argv[1], Path(sys.argv[2]), "
        "settings=FootprintSettings(), progress=die)\n"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", script, str(tmp_path / "run" / "probability.tif"), str(out)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert [path.name for path in out.iterdir()] == [".footprints.hanet"]
    (out / ".footprints.backup").mkdir()
    extract_footprints(tmp_path / "run" / "probability.tif", out, settings=FootprintSettings())
    assert {path.name for path in out.iterdir()} == {
        "footprints.gpkg",
        "footprints.qml",
        ".footprints.backup",
    }
    again = (out / "footprints.gpkg").read_bytes()
    assert again == (tmp_path / "run" / "footprints.gpkg").read_bytes()


def test_a_name_that_no_file_can_have_is_refused_before_the_work(
    scene: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("n" * 300, "nul\0", "\x1b[1m", "latin\udce4"):
        with pytest.raises(HanetError) as caught:
            detect(scene / "before.tif", scene / "after.tif", out=tmp_path / name, **settings)
        assert caught.value.hint
    assert not list(tmp_path.iterdir())
