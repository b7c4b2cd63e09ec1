"""Footprints of a run made again: all files together, whatever happens in between."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyogrio
import pytest
import rasterio

from difference_weights import write_difference_weights
from hanet.detection import renewal
from hanet.detection.job import detect
from hanet.detection.renewal import renew_footprints
from hanet.errors import HanetError, OutputError, SettingsError
from hanet.synthetic.scene import render_scene

STRICT = 0.9


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    render_scene(folder, size=320, seed=1, change_share=0.5)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "difference.onnx"
    return write_difference_weights(path, tile_px=128, overlap_px=16)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, scene: Path, weights: Path) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    detect(
        scene / "before.tif", scene / "after.tif", out=out, weights=weights, threads=1,
        before_date="2019-05-01",
    )  # fmt: skip
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of every file by name, of run.json without the moment of renewal."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.name in ("run.json", "report.html"):
                content = _without_moment(content)
            found[str(path.relative_to(out))] = hashlib.sha256(content).hexdigest()
    return found


def _without_moment(content: bytes) -> bytes:
    at = content.find(b"at", content.find(b"renewed")) if b"renewed" in content else -1
    return content if at < 0 else content[:at] + content[at + 60 :]


def run_of(out: Path) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((out / "run.json").read_text())
    return run


def assert_agrees(out: Path, threshold: float) -> None:
    """Every file that says so says this threshold, and the counts are those of the footprints."""
    run = run_of(out)
    assert run["threshold"] == run["footprints"]["threshold"] == threshold
    count = pyogrio.read_info(out / "footprints.gpkg", layer="footprints")["features"]
    assert run["footprints"]["count"] == count
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f"<b>{threshold:.3g}</b><span>probability threshold</span>" in page
    assert f"<div><b>{count:,}</b><span>footprint" in page
    assert page.count('<path id="f') == count
    with rasterio.open(out / "probability.tif") as file:
        probability = file.read(1)
    with rasterio.open(out / "mask.tif") as file:
        assert float(file.tags()["THRESHOLD"]) == threshold
        mask = file.read(1)
    assert ((mask == 1) == ((probability >= threshold * 250) & (probability < 255))).all()


def test_everything_that_depends_on_the_settings_is_renewed(out: Path) -> None:
    before = digests(out)
    renewal_of = renew_footprints(out, threshold=STRICT)
    assert_agrees(out, STRICT)
    names = [path.name for path in renewal_of.files]
    assert names == ["footprints.gpkg", "mask.tif", "report.html", "stac-item.json", "run.json"]
    assert renewal_of.kept == ()
    after = digests(out)
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == set(names)
    assert before.keys() == after.keys()


def test_the_same_settings_give_the_same_footprints_and_mask(out: Path) -> None:
    before = digests(out)
    renew_footprints(out)
    after = digests(out)
    for name in ("footprints.gpkg", "mask.tif", "probability.tif"):
        assert before[name] == after[name]


def test_what_is_not_given_stays_as_the_last_renewal_left_it(out: Path) -> None:
    detected = run_of(out)["footprints"]
    renew_footprints(out, threshold=STRICT)
    renew_footprints(out, min_area_m2=60)
    run = run_of(out)
    assert_agrees(out, STRICT)
    assert run["footprints"]["min_area_m2"] == 60
    assert run["footprints"]["before_date"] == "2019-05-01"
    assert run["renewed"]["detected"] == detected
    assert run["identity"] == run_of(out)["identity"]


def test_a_further_format_is_added_and_renewed_from_then_on(out: Path) -> None:
    renew_footprints(out, formats=["geojson"])
    assert run_of(out)["footprints"]["files"] == ["footprints.gpkg", "footprints.geojson"]
    renew_footprints(out, threshold=STRICT)
    features = json.loads((out / "footprints.geojson").read_text())["features"]
    assert len(features) == run_of(out)["footprints"]["count"]


def test_a_renewed_run_can_be_resumed_and_overwritten(
    out: Path, scene: Path, weights: Path
) -> None:
    renew_footprints(out, threshold=STRICT, formats=["geojson"])
    given: dict[str, Any] = {"weights": weights, "threads": 1, "before_date": "2019-05-01"}
    pair = scene / "before.tif", scene / "after.tif"
    result = detect(*pair, out=out, resume=True, **given)
    assert result.was_finished
    assert result.footprints.threshold == STRICT
    detect(*pair, out=out, overwrite=True, **given)
    assert "renewed" not in run_of(out)
    assert not (out / "footprints.geojson").exists()  # of other settings than the run's now


def test_footprints_that_somebody_edited_are_kept(out: Path) -> None:
    path = out / "footprints.gpkg"
    edited = path.read_bytes() + b"edited"
    path.write_bytes(edited)
    (out / "footprints-kept-1.gpkg").write_bytes(b"an earlier one")
    kept = renew_footprints(out, threshold=STRICT).kept
    assert kept == (out / "footprints-kept-2.gpkg",)
    assert kept[0].read_bytes() == edited
    assert (out / "footprints-kept-1.gpkg").read_bytes() == b"an earlier one"
    assert_agrees(out, STRICT)


def test_what_is_not_ours_is_not_touched(out: Path) -> None:
    (out / "footprints.geojson").write_text("mine")
    with pytest.raises(OutputError, match="which no run here has made"):
        renew_footprints(out, formats=["geojson"])
    assert (out / "footprints.geojson").read_text() == "mine"
    (out / "review").mkdir()
    (out / "review" / "journal.jsonl").write_text("mine")
    (out / "notes.txt").write_text("mine")
    renew_footprints(out, threshold=STRICT)
    assert (out / "review" / "journal.jsonl").read_text() == "mine"
    assert (out / "notes.txt").read_text() == (out / "footprints.geojson").read_text() == "mine"


def test_a_layer_that_is_open_elsewhere_is_not_replaced(out: Path) -> None:
    """The log of the open database would be applied to the new file."""
    (out / "footprints.gpkg-wal").write_bytes(b"")
    before = digests(out)
    with pytest.raises(OutputError, match="open in another program"):
        renew_footprints(out, threshold=STRICT)
    assert digests(out) == before


def test_a_run_without_a_report_gets_none(scene: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pair = scene / "before.tif", scene / "after.tif"
    detect(*pair, out=out, weights=weights, threads=1, report=False)
    (out / "report.html").write_text("mine")
    assert not renew_footprints(out, threshold=STRICT).has_report
    assert (out / "report.html").read_text() == "mine"
    assert run_of(out)["threshold"] == STRICT


def test_a_report_that_was_moved_away_is_not_made(out: Path) -> None:
    (out / "report.html").unlink()
    assert not renew_footprints(out, threshold=STRICT).has_report
    assert not (out / "report.html").exists()


def test_a_report_without_pictures_stops_the_renewal_before_anything_is_changed(out: Path) -> None:
    (out / "report.html").write_text("<html>another</html>")
    before = digests(out)
    with pytest.raises(OutputError, match="no pictures of this run"):
        renew_footprints(out, threshold=STRICT)
    assert digests(out) == before


@pytest.mark.parametrize("given", [{"threshold": 2.0}, {"after_date": "2018-01-01"}], ids=str)
def test_settings_that_cannot_be_are_refused(out: Path, given: dict[str, Any]) -> None:
    before = digests(out)
    with pytest.raises(HanetError):
        renew_footprints(out, **given)
    assert digests(out) == before


@pytest.mark.parametrize(
    "harm",
    [
        lambda run: run.pop("footprints"),
        lambda run: run["footprints"].pop("outline"),
        lambda run: run["footprints"].update(files=["../../other.gpkg"]),
        lambda run: run["footprints"].update(threshold="high"),
        lambda run: run["pair"]["grid"].update(height=7),
        lambda run: run.update(weights=None),
        lambda run: run.pop("said"),
    ],
)
def test_a_damaged_manifest_is_refused(out: Path, harm: Any) -> None:
    run = run_of(out)
    harm(run)
    (out / "run.json").write_text(json.dumps(run))
    before = digests(out)
    with pytest.raises(OutputError, match="damaged"):
        renew_footprints(out, threshold=STRICT)
    assert digests(out) == before


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no finished run"):
        renew_footprints(tmp_path)
    assert list(tmp_path.iterdir()) == []


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def die_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Lets the process die before the ``step``-th change that the user could see: a file that is
    moved into place, the record that comes and goes, run.json that goes."""
    done: list[str] = []

    def counted(name: str, plain: Any) -> Any:
        def act(*given: Any, **options: Any) -> Any:
            done.append(name)
            if len(done) == step + 1:
                raise Killed
            return plain(*given, **options)

        return act

    monkeypatch.setattr(renewal, "move_into_place", counted("move", renewal.move_into_place))
    for method in ("replace", "unlink"):
        plain = getattr(Path, method)

        def act(path: Path, *given: Any, plain: Any = plain, **options: Any) -> Any:
            is_seen = path.name in ("run.json", "renewal.json")
            return (counted(path.name, plain) if is_seen else plain)(path, *given, **options)

        monkeypatch.setattr(Path, method, act)


def test_a_kill_at_any_step_is_noticed_and_the_next_call_repairs(
    finished: Path, tmp_path: Path, scene: Path, weights: Path
) -> None:
    whole = Path(shutil.copytree(finished, tmp_path / "whole"))
    renew_footprints(whole, threshold=STRICT)
    wanted = digests(whole)
    outcomes = set()
    for at in range(20):
        out = Path(shutil.copytree(finished, tmp_path / f"killed-{at}"))
        with pytest.MonkeyPatch.context() as patch:
            die_at(patch, at)
            try:
                renew_footprints(out, threshold=STRICT)
                is_over = True
            except Killed:
                is_over = False
        if is_over:
            break
        record = out / ".hanet" / "renewal.json"
        if record.exists():
            outcomes.add("noticed")
            with pytest.raises(OutputError, match="was interrupted"):
                detect(
                    scene / "before.tif", scene / "after.tif", out=out, weights=weights, threads=1,
                    resume=True, before_date="2019-05-01",
                )  # fmt: skip
            renew_footprints(out)  # without a word of what was wanted
        elif run_of(out).get("renewed"):
            outcomes.add("done")
        else:
            outcomes.add("as before")
            assert {k: v for k, v in digests(out).items() if not k.startswith(".")} == digests(
                finished
            )
            renew_footprints(out, threshold=STRICT)
        assert digests(out) == wanted, at
    else:
        pytest.fail("the renewal never came to its end")
    assert {"noticed", "as before"} <= outcomes
    assert at >= 7  # record, run.json away, three files, run.json, record away


def test_an_interrupted_renewal_is_removed_with_the_run(
    out: Path, scene: Path, weights: Path
) -> None:
    (out / ".hanet").mkdir()
    (out / ".hanet" / "renewal.json").write_text(
        json.dumps({"manifest": {"footprints": {"files": ["footprints.geojson"]}}})
    )
    (out / "run.json").unlink()
    (out / "footprints.geojson").write_text("of the renewal")
    pair = scene / "before.tif", scene / "after.tif"
    detect(*pair, out=out, weights=weights, threads=1, overwrite=True)
    assert not (out / ".hanet").exists()
    assert not (out / "footprints.geojson").exists()


def hanet(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hanet", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_sigkill_in_the_middle_leaves_a_folder_that_is_repaired(out: Path) -> None:
    command = [sys.executable, "-m", "hanet", "footprints", str(out), "--threshold", str(STRICT)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (out / ".hanet").exists() and time.monotonic() < end:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert renew_footprints(out, threshold=STRICT).footprints.threshold == STRICT
    assert_agrees(out, STRICT)
    assert not (out / ".hanet").exists()


def test_the_verb_renews_by_folder_and_by_raster(out: Path, tmp_path: Path) -> None:
    found = hanet("footprints", out, "--threshold", STRICT)
    assert found.returncode == 0, found.stderr
    count = run_of(out)["footprints"]["count"]
    assert found.stdout.startswith(f"{count} footprint")
    assert f"threshold {STRICT}" in found.stdout
    assert str(out / "report.html") in found.stdout.replace("\n", "")
    given = os.path.relpath(out, tmp_path) + "/../out"
    again = hanet("footprints", out / "probability.tif", "--out", tmp_path / given)
    assert again.returncode == 0, again.stderr
    assert_agrees(out, STRICT)
    elsewhere = hanet("footprints", out, "--out", tmp_path / "strict", "--threshold", 0.95)
    assert elsewhere.returncode == 0, elsewhere.stderr
    left = {path.name for path in (tmp_path / "strict").iterdir()}
    assert left == {"footprints.gpkg", "footprints.qml"}
    assert_agrees(out, STRICT)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["footprints", "{empty}"], "holds no finished run"),
        (["footprints", "{out}/probability.tif"], "a folder for the files is needed"),
        (["footprints", "{out}-of-last-year"], "there is no file or folder"),
        (["footprints", "{copy}", "--out", "{out}"], "describe its own footprints"),
    ],
)
def test_the_verb_refuses_what_it_cannot_renew(
    out: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    copy = shutil.copy(out / "probability.tif", tmp_path / "copy.tif")
    before = digests(out)
    places = {"out": out, "empty": tmp_path / "empty", "copy": copy}
    found = hanet(*(word.format(**places) for word in words))
    assert found.returncode == 2
    assert said in " ".join(found.stderr.split())
    assert digests(out) == before


def test_a_format_without_a_name_is_refused(out: Path) -> None:
    with pytest.raises(SettingsError, match="no format"):
        renew_footprints(out, formats=["shp"])
