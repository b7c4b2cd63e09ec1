"""Shards of one run: the bytes of a run on one machine, whatever happens to the machines."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from difference_weights import write_difference_weights
from hanet.cli import main
from hanet.detection import job, opening, planning
from hanet.detection import opened_plan as opened_plan_module
from hanet.detection import shard as shard_module
from hanet.detection.identity import identity_of
from hanet.detection.job import detect
from hanet.detection.merging import merge, standing_of
from hanet.detection.opened_plan import opened_plan
from hanet.detection.plan import Plan, read_plan
from hanet.detection.planning import plan
from hanet.detection.shard import run_shard, run_shards
from hanet.detection.shard_file import ShardFile
from hanet.errors import HanetError, OutputError, RasterError, SettingsError, WeightsError
from hanet.synthetic.scene import render_scene
from hanet.weights import catalogue
from small_rasters import write

SMALL: dict[str, Any] = {"tile_px": 64, "overlap_px": 16, "batch": 2, "threads": 1}

HEIGHT, WIDTH = 301, 437
"""Odd: the last tiles of rows and columns overlap by more than the others."""

Pair = tuple[Path, Path]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A rendered pair of odd size, with a corner that is nodata before and a stripe that is so
    after."""
    folder = tmp_path_factory.mktemp("pair")
    render_scene(folder, size=512, seed=1, change_share=0.4)
    paths = []
    for date, empty in (("before", np.s_[:, :120, :150]), ("after", np.s_[:, :, 200:210])):
        with rasterio.open(folder / f"{date}.tif") as dataset:
            pixels = np.maximum(dataset.read()[:, :HEIGHT, :WIDTH], 1)
        pixels[empty] = 0
        paths.append(write(folder / f"odd-{date}.tif", pixels, nodata=0))
    return paths[0], paths[1]


@pytest.fixture(scope="module")
def whole(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of one machine."""
    out = tmp_path_factory.mktemp("whole") / "out"
    detect(*pair, out=out, **SMALL)
    return out


def run_all(made: Plan, seed: int = 0) -> None:
    """All shards, in an order that no merge wants."""
    indices = list(range(len(made.shards)))
    random.Random(seed).shuffle(indices)
    run_shards(made, indices)


def assert_same_result(sharded: Path, whole: Path) -> None:
    """The same files with the same bytes, but for what names time and machines."""
    kept = {path.name for path in whole.iterdir()}
    assert {path.name for path in sharded.iterdir()} == {*kept, "plan.json"}
    manifests = [json.loads((folder / "run.json").read_text()) for folder in (sharded, whole)]
    pages = [folder / "report.html" for folder in (sharded, whole)]
    if pages[1].exists():
        texts = [
            page.read_text().replace(manifest["started"], "")
            for page, manifest in zip(pages, manifests, strict=True)
        ]
        assert texts[0] == texts[1]
    items = [
        (folder / "stac-item.json").read_text().replace(manifest["started"][:19], "")
        for folder, manifest in zip((sharded, whole), manifests, strict=True)
    ]
    assert items[0] == items[1]
    for name in kept - {"run.json", "report.html", "stac-item.json"}:
        assert (sharded / name).read_bytes() == (whole / name).read_bytes(), name
    for manifest in manifests:
        for key in ("started", "timings"):
            del manifest[key]
    assert manifests[0] == manifests[1]


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_any_number_of_shards_gives_the_bytes_of_one_machine(
    count: int, pair: Pair, whole: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    made = plan(*pair, out=tmp_path / "run", shards=count, note=said.append, **SMALL)
    assert len(made.shards) == min(count, 6 * 5)  # 6 rows of tiles, 9 columns in batches of two
    assert any("shards only" in text for text in said) == (count == 1000)
    assert read_plan(tmp_path / "run").sha256 == made.sha256
    run_all(read_plan(tmp_path / "run"), seed=count)
    result = merge(tmp_path / "run")
    assert result.footprints.count == 4
    assert_same_result(tmp_path / "run", whole)


def test_a_building_over_four_shards_is_one_footprint(pair: Pair, tmp_path: Path) -> None:
    """At a low threshold almost all is change: where four shards meet, all four have it."""
    settings = {**SMALL, "min_area_m2": 0.0, "threshold": 0.004}
    detect(*pair, out=tmp_path / "whole", **settings)
    made = plan(*pair, out=tmp_path / "run", shards=30, **settings)
    run_all(made)
    merge(tmp_path / "run")
    assert_same_result(tmp_path / "run", tmp_path / "whole")
    with rasterio.open(tmp_path / "run" / "mask.tif") as dataset:
        mask = dataset.read(1)
    corners = {(shard.window.row, shard.window.column) for shard in made.shards}
    inside = [(row, column) for row, column in corners if row and column]
    assert any((mask[r - 1 : r + 1, c - 1 : c + 1] == 1).all() for r, c in inside)


def moved_after(pair: Pair, folder: Path) -> Pair:
    """The after image moved by five pixels, darker, and in 16 bit, as the before image is."""
    paths = []
    for number, path in enumerate(pair):
        with rasterio.open(path) as dataset:
            pixels = dataset.read().astype(np.uint16) * 11
        if number:
            pixels = np.roll(pixels, (5, 4), (1, 2)) * 2 // 3
        paths.append(write(folder / f"wide-{path.name}", pixels, nodata=0))
    return paths[0], paths[1]


AREA = {
    "type": "Polygon",
    "coordinates": [
        [
            [620100, 3349990],
            [620150, 3349990],
            [620190, 3349900],
            [620105, 3349920],
            [620100, 3349990],
        ]
    ],
}
"""In the coordinates of the pair: some of its right half."""


@pytest.mark.parametrize(
    "options",
    [
        {"flips": True},
        {"scout": "hanet_lite"},
        {"report": False, "qgis": False, "formats": ("geojson", "fgb")},
        {"bbox": (620020.0, 3349880.0, 620190.3, 3349990.2)},
        {"gsd_m": 0.61, "overlap_px": 40, "batch": 3},
        {"aoi": True},
    ],
    ids=lambda options: ",".join(options),
)
def test_options_give_the_bytes_of_one_machine(
    options: dict[str, Any], pair: Pair, tmp_path: Path
) -> None:
    if "aoi" in options:
        area = tmp_path / "area.geojson"
        crs = {"type": "name", "properties": {"name": "EPSG:32614"}}
        area.write_text(json.dumps({**AREA, "crs": crs}))
        options = {"aoi": area}
    settings = {**SMALL, **options}
    detect(*pair, out=tmp_path / "whole", **settings)
    made = plan(*pair, out=tmp_path / "run", shards=9, **settings)
    run_all(made)
    merge(tmp_path / "run")
    assert_same_result(tmp_path / "run", tmp_path / "whole")
    if "scout" in options:
        cascade = json.loads((tmp_path / "run" / "run.json").read_text())["cascade"]
        assert 0 < cascade["looked_at"] < cascade["scouted"]
    if "aoi" in options:
        assert read_plan(made.path).sha256 == made.sha256
        assert (made.grid.height, made.grid.width) == (232, 244)


def test_what_is_measured_in_the_pair_is_decided_once(pair: Pair, tmp_path: Path) -> None:
    folder = tmp_path / "wide"
    folder.mkdir()
    big = tuple(
        write(folder / f"big-{path.name}", np.tile(_pixels(path), (1, 3, 2)), nodata=0)
        for path in moved_after(pair, folder)
    )
    settings = {
        **SMALL,
        "weights": write_difference_weights(folder / "quick.onnx", tells_direction=True),
        "tile_px": 256,
        "coregister": "shift",
        "match_radiometry": True,
        "report": False,
    }
    said: list[str] = []
    detect(*big, out=tmp_path / "whole", note=said.append, **settings)
    assert any("moved back" in text for text in said)
    made = plan(*big, out=tmp_path / "run", shards=3, **settings)
    assert made.decided.shift is not None
    assert made.decided.histogram is not None
    assert made.decided.scaling is not None
    assert "percentiles" in made.decided.scaling.source
    run_all(read_plan(made.path))
    merge(tmp_path / "run")
    assert_same_result(tmp_path / "run", tmp_path / "whole")


def _pixels(path: Path) -> np.ndarray[Any, Any]:
    with rasterio.open(path) as dataset:
        pixels: np.ndarray[Any, Any] = dataset.read()
    return pixels


@pytest.fixture
def made(pair: Pair, tmp_path: Path) -> Plan:
    """A plan of four shards, none of them run."""
    return plan(*pair, out=tmp_path / "run", shards=4, **SMALL)


def test_a_shard_that_is_done_is_passed_over(
    made: Plan, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all(made)
    before = [made.file_of(index).stat().st_mtime_ns for index in range(4)]
    with monkeypatch.context() as patched:
        patched.setattr(opened_plan_module, "open_sources", None)  # not even the images are opened
        assert [result.status for result in run_shards(made, range(4))] == ["was done"] * 4
    assert [made.file_of(index).stat().st_mtime_ns for index in range(4)] == before
    merge(made.folder)
    assert_same_result(made.folder, whole)
    assert merge(made.folder).was_finished
    for name, hint in (("probability.tif", "--overwrite"), ("mask.tif", "hanet footprints")):
        kept = (made.folder / name).rename(made.folder / "kept")
        with pytest.raises(OutputError, match=f"was merged, but {name} of the result is") as stop:
            merge(made.folder)  # it reported success
        assert hint in str(stop.value.hint)
        kept.rename(made.folder / name)
    # a task that comes late finds nothing to do, and leaves nothing
    assert [result.status for result in run_shards(made, [1])] == ["was done"]
    assert_same_result(made.folder, whole)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from hanet.cli import main; main()", *arguments]


def test_two_processes_on_one_shard_at_once(made: Plan, whole: Path) -> None:
    run_shards(made, [0, 1, 3])
    line = command("detect", "--plan", str(made.path), "--shard", "2", "--threads", "1")
    both = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.communicate(timeout=60)[0] == (
            f"4 of 4 shards of the plan are done: hanet merge {made.folder}\n"
        )
        assert process.returncode == 0
    assert {path.name for path in (made.folder / "shards").iterdir()} == {
        made.file_of(index).name for index in range(4)
    }
    merge(made.folder)
    assert_same_result(made.folder, whole)


@pytest.mark.parametrize("after_rows", [0, 1])
def test_a_killed_shard_leaves_nothing_that_counts(
    after_rows: int, made: Plan, whole: Path
) -> None:
    run_shards(made, [0, 1, 2])
    program = (
        "import os, signal\n"
        "from hanet.detection import shard_file\n"
        "from hanet.detection.plan import read_plan\n"
        "from hanet.detection.shard import run_shards\n"
        "write, written = shard_file.ShardWriter.write, []\n"
        "def kill(self, rows):\n"
        f"    if len(written) == {after_rows}:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    written.append(rows)\n"
        "    write(self, rows)\n"
        "shard_file.ShardWriter.write = kill\n"
        f"run_shards(read_plan({str(made.path)!r}), [3])\n"
    )
    process = subprocess.run([sys.executable, "-c", program], check=False)
    assert process.returncode == -signal.SIGKILL
    assert not made.file_of(3).exists()
    assert list((made.folder / "shards").glob(".*.partial"))
    with pytest.raises(OutputError, match="missing: 3"):
        merge(made.folder)
    run_all(made)
    merge(made.folder)
    assert_same_result(made.folder, whole)


def test_a_merge_that_is_killed_begins_again(made: Plan, whole: Path) -> None:
    run_all(made)
    program = (
        "import os, signal\n"
        "from hanet.detection import finishing\n"
        "from hanet.detection.merging import merge\n"
        "finishing.write_mask = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"merge({str(made.folder)!r})\n"
    )
    process = subprocess.run([sys.executable, "-c", program], check=False)
    assert process.returncode == -signal.SIGKILL
    assert not (made.folder / "run.json").exists()
    merge(made.folder)
    assert_same_result(made.folder, whole)


def test_shards_without_valid_ground_cost_nothing(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(*pair, out=tmp_path / "run", shards=30, **SMALL)
    monkeypatch.setattr(opened_plan_module, "load_weights", None)  # the corner is nodata before
    (result,) = run_shards(made, [0])
    assert (result.status, result.tiles) == ("done", 0)
    assert made.file_of(0).stat().st_size < 5000


@pytest.mark.parametrize("verb", ["footprints", "deliver", "review"])
def test_verbs_for_results_say_that_a_plan_must_be_merged_first(
    verb: str, made: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"hint: hanet merge {made.folder} makes " in main_says(capsys, verb, str(made.folder))


def test_a_lost_area_of_interest_is_said_in_words(pair: Pair, tmp_path: Path) -> None:
    area = tmp_path / "area.geojson"
    crs = {"type": "name", "properties": {"name": "EPSG:32614"}}
    area.write_text(json.dumps({**AREA, "crs": crs}))
    made = plan(*pair, out=tmp_path / "run", shards=1, aoi=area, **SMALL)
    area.unlink()
    with pytest.raises(RasterError, match=r"area.geojson is missing, the area of interest of "):
        run_shards(made, [0])


def test_shards_outside_the_area_of_interest_read_nothing(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    area = tmp_path / "area.geojson"
    crs = {"type": "name", "properties": {"name": "EPSG:32614"}}
    far = [[[x - 95, y - 110] for x, y in AREA["coordinates"][0]]]  # nothing between the two
    both = {"type": "MultiPolygon", "coordinates": [AREA["coordinates"], far]}
    area.write_text(json.dumps({**both, "crs": crs}))
    made = plan(*pair, out=tmp_path / "run", shards=30, aoi=area, **SMALL)
    idle = [shard.index for shard in made.shards if shard.is_empty]
    assert len(idle) > 10
    with monkeypatch.context() as patched:
        patched.setattr(opened_plan_module, "open_sources", None)
        assert {result.status for result in run_shards(made, idle)} == {"empty"}
    assert not (made.folder / "shards").exists()
    assert not set(idle) & set(standing_of(made).missing)


def test_a_plan_of_before_there_were_parts_is_run_and_merged(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rasters cover the whole pair, and it does not say among what tells plans apart how it is
    tiled; one of now does not take its place."""

    def without_tiles(*arguments: Any) -> Any:
        return {k: v for k, v in identity_of(*arguments).items() if k != "tiles"}

    area = tmp_path / "area.geojson"
    crs = {"type": "name", "properties": {"name": "EPSG:32614"}}
    area.write_text(json.dumps({**AREA, "crs": crs}))
    with monkeypatch.context() as patched:
        patched.setattr(opening, "_part_of", lambda *_: None)
        for module in (job, planning):
            patched.setattr(module, "identity_of", without_tiles)
        detect(*pair, out=tmp_path / "whole", aoi=area, **SMALL)
        made = plan(*pair, out=tmp_path / "run", shards=4, aoi=area, **SMALL)
    values = json.loads(made.path.read_text())
    assert (values["format"], "part" in values["pair"]) == (1, False)
    with pytest.raises(
        OutputError, match="was made by an earlier version, which cut pairs into other"
    ):
        plan(*pair, out=tmp_path / "run", shards=4, aoi=area, **SMALL)
    run_all(read_plan(made.path))
    merge(tmp_path / "run")
    assert_same_result(tmp_path / "run", tmp_path / "whole")
    new = plan(*pair, out=tmp_path / "new", shards=4, aoi=area, **SMALL)
    values = json.loads(new.path.read_text())
    assert values["format"] == 2  # versions that know no parts refuse it
    values["pair"]["part"][0] += 500
    new.path.write_text(json.dumps(values))
    with pytest.raises(OutputError, match="is damaged, or was changed by hand"):
        read_plan(new.path)


def test_merge_lists_what_is_missing_with_the_line_that_runs_it(
    pair: Pair,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = plan(*pair, out=tmp_path / "run", shards=9, **SMALL)
    monkeypatch.setattr(shard_module, "stream", _out_of_memory)
    with pytest.raises(MemoryError):
        run_shards(made, [4])
    monkeypatch.undo()
    run_shards(made, [0, 3, 8])
    assert main_says(capsys, "merge", str(made.folder)) == (
        f"error: 6 of 9 shards of {made.folder} cannot be merged: missing: 1-2,5-7; failed: 4 "
        "(4: no room for a tile)\n"
        f"hint: hanet detect --plan {made.path} --shard 1-2,4-7\n"
    )
    main_says(capsys, "detect", "--plan", str(made.path), "--shard", "1-2,4-7", code=0)
    main_says(capsys, "merge", str(made.folder), code=0)
    assert_same_result(made.folder, whole)


def _out_of_memory(*_: object, **__: object) -> None:
    raise MemoryError("no room for a tile")


def main_says(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """What the command line writes to stderr."""
    patched = pytest.MonkeyPatch()
    capsys.readouterr()
    with patched.context() as context:
        context.setattr(sys, "argv", ["hanet", *arguments])
        if code:
            with pytest.raises(SystemExit) as stop:
                main()
            assert stop.value.code == code
        else:
            main()
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "environment",
    [
        {
            "SLURM_ARRAY_TASK_MIN": "1",
            "SLURM_ARRAY_TASK_MAX": "3",
            "SLURM_ARRAY_TASK_COUNT": "3",
            "SLURM_ARRAY_TASK_ID": "1+task",
            "SLURM_CPUS_PER_TASK": "1",
        },
        {"AWS_BATCH_JOB_ARRAY_SIZE": "3", "AWS_BATCH_JOB_ARRAY_INDEX": "task"},
    ],
    ids=["slurm", "aws"],
)
def test_a_job_array_runs_all_shards(
    environment: dict[str, str],
    made: Plan,
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for task in (2, 0, 1, 1):
        for name, value in environment.items():
            number = {"1+task": str(1 + task), "task": str(task)}.get(value, value)
            monkeypatch.setenv(name, number)
        said = main_says(capsys, "detect", "--plan", str(made.path), "--task", "auto", code=0)
        assert f"shards {'0,3' if task == 0 else task} of 4" in said
    merge(made.folder)
    assert_same_result(made.folder, whole)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shard", "4"], "the plan has 4 shards, numbered from 0 to 3"),
        (["--task", "3/3"], "there is no task 3 of 3"),
        ([], "--shard or --task is needed"),
        (["--shard", "1", "--task", "0/2"], "--shard or --task is needed"),
        (
            ["--shard", "1", "--tile", "128", "--no-report"],
            "the plan already sets --report, --tile",
        ),
        (["--shard", "1", "--out", "other"], "the plan already sets --out"),
        (["--shard", "1", "--format", "fgb"], "the plan already sets --format\n"),
        (["--shard", "1", "--resume"], "--resume is not needed with --plan"),
        (["--shard", "1", "--overwrite"], "--overwrite is not for --plan"),
    ],
)
def test_what_a_plan_does_not_take_is_refused(
    arguments: list[str], words: str, made: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    said = main_says(capsys, "detect", "--plan", str(made.path), *arguments)
    assert words in said
    assert not (made.folder / "shards").exists()


def test_a_shard_without_a_plan_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "none is given" in main_says(capsys, "detect", "--shard", "1")


def test_there_is_no_plan_in_an_empty_folder(tmp_path: Path) -> None:
    for read in (read_plan, merge):
        with pytest.raises(OutputError, match="there is no plan"):
            read(tmp_path)


def copied(pair: Pair, folder: Path) -> Pair:
    folder.mkdir()
    before, after = (Path(shutil.copy(path, folder)) for path in pair)
    return before, after


def test_inputs_that_are_no_longer_those_of_the_plan_are_refused(
    pair: Pair, whole: Path, tmp_path: Path
) -> None:
    before, after = copied(pair, tmp_path / "images")
    made = plan(before, after, out=tmp_path / "run", shards=4, **SMALL)
    run_shards(made, [0, 1, 2])
    kept = after.read_bytes()
    after.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(RasterError, match=r"is not the after image that .*plan\.json was made"):
        run_shards(made, [3])
    after.write_bytes(kept)  # another time of change, the same bytes: it is hashed, and the same
    run_shards(made, [3])
    state = after.stat()
    after.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    os.utime(after, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(RasterError, match="is not the after image"):
        merge(made.folder)
    after.write_bytes(kept)
    merge(made.folder)
    assert_bytes_of("probability.tif", made.folder, whole)


def assert_bytes_of(name: str, *folders: Path) -> None:
    assert len({(folder / name).read_bytes() for folder in folders}) == 1


def test_inputs_may_lie_elsewhere_on_another_machine(
    pair: Pair, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = copied(pair, tmp_path / "images")
    weights = Path(
        shutil.copy(catalogue.resolve("hanet_lite", suffixes=(".onnx",)), tmp_path / "images")
    )
    made = plan(*images, out=tmp_path / "run", shards=2, weights=weights, **SMALL)
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    said = main_says(capsys, "detect", "--plan", str(made.path), "--shard", "0-1")
    assert f"{weights} is missing, the weights of {made.path}" in said
    assert "--weights FILE" in said
    there = [str(tmp_path / "elsewhere" / path.name) for path in images]
    main_says(
        capsys,
        *("detect", *there, "--plan", str(made.path), "--shard", "0-1"),
        *("--weights", str(tmp_path / "elsewhere" / weights.name)),
        code=0,
    )
    said = main_says(capsys, "merge", str(made.folder))
    assert f"{images[0]} is missing, the before image of {made.path}" in said
    assert f"hanet merge {made.folder} BEFORE AFTER" in said
    main_says(capsys, "merge", str(made.folder), *there, code=0)
    assert_bytes_of("probability.tif", made.folder, whole)


def test_a_run_folder_and_its_images_can_be_moved_together(
    pair: Pair, whole: Path, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    images = copied(pair, tmp_path / "here" / "images")
    plan(*images, out=tmp_path / "here" / "run", shards=2, **SMALL)
    (tmp_path / "here").rename(tmp_path / "there")
    run_all(read_plan(tmp_path / "there" / "run"))
    merge(tmp_path / "there" / "run")
    assert_bytes_of("probability.tif", tmp_path / "there" / "run", whole)


def test_other_weights_are_refused(pair: Pair, tmp_path: Path) -> None:
    weights = tmp_path / "mine.onnx"
    shutil.copy(catalogue.resolve("hanet_lite", suffixes=(".onnx",)), weights)
    made = plan(*pair, out=tmp_path / "run", shards=4, weights=weights, **SMALL)
    run_shards(made, [0, 1])
    with weights.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(WeightsError, match="is not the file of weights"):
        run_shards(made, [2, 3])
    assert standing_of(made).missing == [2, 3]


def test_shards_of_another_plan_are_not_merged(pair: Pair, whole: Path, tmp_path: Path) -> None:
    """For example half of them of other weights."""
    made = plan(*pair, out=tmp_path / "run", shards=4, **SMALL)
    other = plan(*pair, out=tmp_path / "other", shards=4, **{**SMALL, "overlap_px": 8})
    run_all(made)
    run_all(other)
    for index in (1, 2):
        shutil.copy(other.file_of(index), made.file_of(index))
    shutil.copy(made.file_of(0), made.file_of(3))
    with pytest.raises(OutputError, match="of another plan: 1-3") as caught:
        merge(made.folder)
    assert caught.value.hint == f"hanet detect --plan {made.path} --shard 1-3"
    run_shards(made, [1, 2, 3])
    merge(made.folder)
    assert_same_result(made.folder, whole)


def flip_byte_of_pixels(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 0xFF  # behind the header of the first member
    path.write_bytes(bytes(content))


DAMAGE: tuple[Callable[[Path], object], ...] = (
    lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_text("no archive"),
)
"""What is found when a file is opened."""


@pytest.mark.parametrize(
    ("damages", "listed"), [(DAMAGE, "0-2"), ((flip_byte_of_pixels,), "0")], ids=["file", "pixels"]
)
def test_damaged_shards_are_listed_and_run_again(
    damages: tuple[Callable[[Path], object], ...], listed: str, made: Plan, whole: Path
) -> None:
    run_all(made)
    for index, damage in enumerate(damages):
        damage(made.file_of(index))
    with pytest.raises(OutputError, match=f"damaged: {listed}$") as caught:
        merge(made.folder)
    assert caught.value.hint == f"hanet detect --plan {made.path} --shard {listed}"
    assert not (made.folder / "run.json").exists()
    ran = [result.status for result in run_shards(made, range(4))]
    assert ran.count("done") == len(damages)
    merge(made.folder)
    assert_same_result(made.folder, whole)


def test_a_shard_of_another_size_is_damaged(made: Plan) -> None:
    run_all(made)
    with ShardFile(made.file_of(0)) as file, pytest.raises(OutputError, match="bytes, not"):
        list(file.rows(replace(made.shards[0].window, height=7)))


def test_two_plans_in_one_folder_are_refused(pair: Pair, made: Plan, tmp_path: Path) -> None:
    run_shards(made, [0])
    with pytest.raises(OutputError, match="is another plan: it differs in settings"):
        plan(*pair, out=made.folder, shards=4, **{**SMALL, "overlap_px": 8})
    with pytest.raises(OutputError, match="is another plan: it differs in the shards"):
        plan(*pair, out=made.folder, shards=2, **SMALL)
    assert made.file_of(0).exists()
    said: list[str] = []
    again = plan(*pair, out=made.folder, shards=4, note=said.append, **SMALL)
    assert again.sha256 == made.sha256
    assert again.started == made.started
    assert any("is this plan already" in text for text in said)
    assert made.file_of(0).exists()
    new = plan(*pair, out=made.folder, shards=2, overwrite=True, **SMALL)
    assert len(new.shards) == 2
    assert not made.file_of(0).exists()


def test_a_plan_does_not_go_over_a_result(pair: Pair, tmp_path: Path) -> None:
    detect(*pair, out=tmp_path / "run", report=False, **{**SMALL, "tile_px": 256})
    with pytest.raises(OutputError, match="already holds a result"):
        plan(*pair, out=tmp_path / "run", shards=2, **SMALL)
    assert (tmp_path / "run" / "probability.tif").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"threshold": 0.', '"threshold": 0.1'),
        ('"rows": [\n', '"rows": [\n7,\n'),
        ('"format": 1', '"format": 2'),
        ('"tile_px": 64', '"tile_px": 0'),
        ("{", "["),
    ],
)
def test_a_plan_that_somebody_changed_is_refused(old: str, new: str, made: Plan) -> None:
    text = made.path.read_text()
    assert old in text
    made.path.write_text(text.replace(old, new, 1))
    with pytest.raises(OutputError, match=r"plan.json is (damaged|no plan of this version)"):
        read_plan(made.path)


@pytest.mark.parametrize("places", [{}, {"after": 0.5}, {"weights": ["a"]}])
def test_places_that_are_none_are_refused(places: dict[str, object], made: Plan) -> None:
    """They are no part of the plan's hash, since files may be moved."""
    values = json.loads(made.path.read_text())
    values["places"] = {**values["places"], **places} if places else {}
    made.path.write_text(json.dumps(values))
    with pytest.raises(OutputError, match=r"plan.json is damaged"):
        read_plan(made.path)


@pytest.mark.parametrize("count", [0, -1, 100_001])
def test_a_number_of_shards_out_of_range_is_refused(count: int, pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="it must be from 1"):
        plan(*pair, out=tmp_path / "run", shards=count, **SMALL)
    assert not (tmp_path / "run").exists()


def test_one_shard_that_fails_does_not_stop_the_others(
    made: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = shard_module.stream

    def fail(*arguments: Any, **options: Any) -> Any:
        if options["part"] == made.shards[1].part:
            raise RasterError("a block cannot be read")
        return stream(*arguments, **options)

    monkeypatch.setattr(shard_module, "stream", fail)
    with pytest.raises(HanetError, match="1 of 4 shards failed, the first: 1: a block"):
        run_shards(made, range(4))
    with pytest.raises(RasterError, match=r"^a block cannot be read$"):
        run_shards(made, [1])
    found = standing_of(made)
    assert (found.missing, found.failed) == ([1], {1: "a block cannot be read"})
    monkeypatch.undo()
    run_shards(made, range(4))
    assert not found.to_run == standing_of(made).to_run == []


def test_a_worker_keeps_one_plan_open_for_many_shards(made: Plan, whole: Path) -> None:
    with opened_plan(made, threads=2) as opened:
        for index in (3, 1, 0, 2):
            assert run_shard(opened, index).status == "done"
        assert run_shard(opened, 1).status == "was done"
    merge(made.folder)
    for name in ("probability.tif", "footprints.gpkg"):
        assert_bytes_of(name, made.folder, whole)


def test_a_shard_that_comes_too_late_leaves_nothing(
    made: Plan, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine ran it too, and was quicker, and all is merged meanwhile."""
    stream = shard_module.stream

    def outrun(*arguments: Any, **options: Any) -> Any:
        statistics = stream(*arguments, **options)
        with monkeypatch.context() as patched:
            patched.setattr(shard_module, "stream", stream)
            run_shards(made, range(4))
        merge(made.folder)
        return statistics

    monkeypatch.setattr(shard_module, "stream", outrun)
    assert [result.status for result in run_shards(made, [2])] == ["was done"]
    assert_same_result(made.folder, whole)


def test_a_disk_that_is_full_is_said_in_words(made: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hanet.detection.shard_file._sync", full)
    with pytest.raises(HanetError, match="cannot be written: No space left"):
        run_shards(made, [0])
    assert not list((made.folder / "shards").glob("*.zip"))
    assert not list((made.folder / "shards").glob(".*.partial"))
