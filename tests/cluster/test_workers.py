"""Detections on the workers of a Dask scheduler: the bytes of one machine, whatever is lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from difference_weights import write_difference_weights
from hanet.cluster import detection
from hanet.cluster.detection import detect_on_cluster, detect_pairs_on_cluster
from hanet.cluster.tasks import forget
from hanet.cluster.work import Task
from hanet.cluster.workers import Workers
from hanet.detection.job import detect
from hanet.detection.pair_list import PairJob, detect_pairs
from hanet.errors import ClusterError, HanetError, OutputError, SettingsError
from hanet.imagery.vectors import read_features
from hanet.synthetic.scene import SceneFiles, render_scene

pytest.importorskip("distributed")

SETTINGS: dict[str, Any] = {"tile_px": 64, "overlap_px": 16}
SAME = ("probability.tif", "mask.tif", "footprints.gpkg")


class Scheduler:
    """A real scheduler with real workers, each a process that can be killed.

    Attributes:
        address: Where it listens.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._processes = folder, []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        options = ["--host", "127.0.0.1", "--port", str(port), "--dashboard-address", "127.0.0.1:0"]
        self.process = self._started("scheduler", *options)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("the scheduler does not listen")

    def worker(self) -> subprocess.Popen[bytes]:
        """One more worker of one process and thread, without a nanny that would start it again."""
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "60"]
        return self._started("worker", self.address, *options)

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def _started(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        log = self._folder / f"{what}-{len(self._processes)}.log"
        command = [sys.executable, "-m", "distributed.cli.dask_" + what, *options]
        with log.open("wb") as file:
            process = subprocess.Popen(command, cwd=self._folder, stdout=file, stderr=file)
        self._processes.append(process)
        return process


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Scheduler]:
    started = Scheduler(tmp_path)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SceneFiles:
    return render_scene(tmp_path_factory.mktemp("scene"), size=330, seed=1, change_share=0.4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "difference.onnx"
    return write_difference_weights(path, tile_px=64, overlap_px=16)


@pytest.fixture(scope="module")
def whole(scene: SceneFiles, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run on one machine."""
    out = tmp_path_factory.mktemp("whole") / "run"
    detect(scene.before, scene.after, out=out, weights=weights, threads=1, **SETTINGS)
    return out


def _assert_same(found: Path, whole: Path) -> None:
    for name in SAME:
        assert (found / name).read_bytes() == (whole / name).read_bytes(), name
    assert not (found / "shards").exists()


class InBackground:
    """A detection in a thread, so that a test can break its cluster meanwhile."""

    def __init__(self, run: Callable[[], Any]) -> None:
        self.error: BaseException | None = None

        def guarded() -> None:
            try:
                run()
            except BaseException as error:
                self.error = error

        self._thread = threading.Thread(target=guarded, daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive()


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _shards_done(out: Path) -> int:
    return len(list((out / "shards").glob("[0-9]*.zip")))


@pytest.mark.slow
def test_processes_on_this_machine_write_the_same_bytes(
    scene: SceneFiles, weights: Path, whole: Path, tmp_path: Path
) -> None:
    notes: list[str] = []
    shares: list[float] = []
    result = detect_on_cluster(
        scene.before,
        scene.after,
        cluster="local:2",
        shards=7,
        out=tmp_path / "run",
        weights=weights,
        note=notes.append,
        progress=lambda _, share: shares.append(share),
        **SETTINGS,
    )
    _assert_same(tmp_path / "run", whole)
    assert result.footprints.count == len(read_features(whole / "footprints.gpkg").shapes)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any("7 of 7 shards" in note for note in notes)


@pytest.mark.slow
def test_a_list_of_small_and_cut_pairs_ends_in_one_map(
    scene: SceneFiles, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [
        PairJob("a", str(scene.before), str(scene.after), {"before_date": "2011"}),
        PairJob("gone", "gone.tif", str(scene.after)),
        PairJob("b", str(scene.after), str(scene.before), {"after_date": "2020"}),
    ]
    common: dict[str, Any] = {"resume": False, "overwrite": False, "weights": weights, **SETTINGS}
    here = detect_pairs(jobs, out=tmp_path / "here", threads=1, **common)
    there = detect_pairs_on_cluster(
        jobs, cluster="local:2", shards=3, out=tmp_path / "there", **common
    )
    for name in ("footprints.gpkg", "a/probability.tif", "b/probability.tif"):
        one, other = (tmp_path / place / name for place in ("here", "there"))
        assert one.read_bytes() == other.read_bytes(), name
    assert [row["name"] for row in there.rows] == ["a", "gone", "b"]
    assert [row["status"] for row in there.rows] == [row["status"] for row in here.rows]
    assert [row["status"] for row in there.rows] == ["done", "failed", "done"]
    assert "gone.tif" in there.rows[1]["message"]
    assert there.merged is not None
    # all that is done is passed over
    again = detect_pairs_on_cluster(
        jobs, cluster="local:1", shards=3, out=tmp_path / "there", **(common | {"resume": True})
    )
    assert again.merged is not None
    assert not again.merged.is_new


@pytest.mark.slow
def test_a_worker_that_is_killed_and_one_that_comes_late(
    scheduler: Scheduler, scene: SceneFiles, weights: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    first = scheduler.worker()
    run = InBackground(
        lambda: detect_on_cluster(
            scene.before,
            scene.after,
            cluster=scheduler.address,
            shards=16,
            out=out,
            weights=weights,
            **SETTINGS,
        )
    )
    _wait_for(lambda: _shards_done(out) >= 2)
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = _shards_done(out)
    assert done < 16
    scheduler.worker()  # nobody is left: it comes late, and takes the rest
    run.join()
    assert run.error is None
    _assert_same(out, whole)


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_told_and_resume_continues(
    scheduler: Scheduler, scene: SceneFiles, weights: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    scheduler.worker()
    settings: dict[str, Any] = {"shards": 16, "out": out, "weights": weights, **SETTINGS}
    pair = scene.before, scene.after
    run = InBackground(lambda: detect_on_cluster(*pair, cluster=scheduler.address, **settings))
    _wait_for(lambda: _shards_done(out) >= 2)
    os.kill(scheduler.process.pid, signal.SIGKILL)
    run.join()
    assert isinstance(run.error, ClusterError)
    assert "has gone" in run.error.message
    assert "--resume" in str(run.error.hint)
    assert 2 <= _shards_done(out) < 16
    with pytest.raises(OutputError, match="holds a plan already"):
        detect_on_cluster(*pair, cluster="local:1", **settings)
    notes: list[str] = []
    detect_on_cluster(*pair, cluster="local:1", resume=True, note=notes.append, **settings)
    # the worker may have ended the shard that it was at when the scheduler went
    (said,) = [note for note in notes if note.endswith("of 16 shards are to be run")]
    assert 0 < int(said.split()[0]) <= 14
    _assert_same(out, whole)


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    """It must not kill all workers of a cluster one after another."""
    waiting = [Task("die", os._exit, (1,), 0)]  # type: ignore[arg-type] - the worker ends with it
    with Workers("local:2", forget=forget) as workers:
        ended = list(workers.outcomes(lambda: waiting.pop() if waiting else None))
    ((_, outcome),) = ended
    assert "lost" in outcome.error


def test_no_scheduler_is_one_line(scene: SceneFiles, weights: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1"
    ) as caught:
        detect_on_cluster(
            scene.before,
            scene.after,
            cluster=f"tcp://127.0.0.1:{port}",
            out=tmp_path / "run",
            weights=weights,
            **SETTINGS,
        )
    assert "\n" not in caught.value.message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "address", ["", "local:", "local:0", "local:many", "two words", "-x", "host"]
)
def test_what_is_no_address_is_refused(address: str, weights: Path, tmp_path: Path) -> None:
    if address == "local:":
        address = "local:-1"
    with pytest.raises(SettingsError, match="--cluster"):
        detect_on_cluster("a.tif", "b.tif", cluster=address, out=tmp_path, weights=weights)


def test_settings_are_checked_before_anything_is_started(tmp_path: Path) -> None:
    with pytest.raises(HanetError, match="no setting 'treshold'"):
        detect_on_cluster("a.tif", "b.tif", cluster="local:2", out=tmp_path, treshold=0.5)
    assert detection.HOPELESS > 1
