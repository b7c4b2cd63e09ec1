"""Files served by HTTP, runtimes against each other, and runs that the disk or an input fails."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from difference_weights import write_difference_weights
from hanet.detection.job import detect
from hanet.errors import OutputError, RasterError
from hanet.imagery.pair import open_pair
from hanet.synthetic.scene import render_scene
from small_rasters import write

TOP, LEFT = 3350000.0, 620000.0
FINAL = ("probability.tif", "mask.tif", "footprints.gpkg", "run.json", "report.html")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    render_scene(folder, size=1280, seed=1)
    return folder


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_difference_weights(
        tmp_path_factory.mktemp("weights") / "difference.onnx", tile_px=128, overlap_px=16
    )


PIECE = 4096
"""Bytes that are sent at a time."""


class _Server(ThreadingHTTPServer):
    """Serves the files of a folder by ranges and counts the bytes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.sent: dict[str, int] = {}
        self.whole: list[str] = []
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.server.folder / self.path.partition("?")[0].lstrip("/")
        self.server.asked.append(self.path)
        if not path.is_file():
            self.send_error(404)
            return
        content, asked = path.read_bytes(), self.headers.get("Range")
        first, last = 0, len(content) - 1
        if asked is not None:
            low, _, high = asked.removeprefix("bytes=").partition("-")
            first, last = int(low), min(int(high or last), last)
        body = content[first : last + 1]
        self.send_response(206 if asked is not None else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body)))
        if asked is not None:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if not with_body:
            return
        # GDAL hangs up after the head of a first answer without a range: in small pieces, little of
        # the rest is on its way by then
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
        try:
            for start in range(0, len(body), PIECE):
                self.wfile.write(body[start : start + PIECE])
                self.server.sent[path.name] = self.server.sent.get(path.name, 0) + PIECE
        except ConnectionError:
            self.close_connection = True
            return
        if asked is None:
            self.server.whole.append(path.name)

    def log_message(self, *arguments: Any) -> None:
        """Silent."""


@pytest.fixture
def server(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    for name in ("no_proxy", "NO_PROXY"):  # GDAL asks a proxy for the loopback too, if there is one
        monkeypatch.setenv(name, "127.0.0.1")
    for name in ("before", "after"):
        rasterio.shutil.copy(
            scene / f"{name}.tif",
            tmp_path / f"{name}.tif",
            driver="COG",
            compress="deflate",
            blocksize=256,
        )
    with _Server(tmp_path) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_of_a_file_behind_http_only_the_needed_ranges_are_read(
    server: _Server, scene: Path, local: Path, tmp_path: Path
) -> None:
    bbox = (
        LEFT + 10,
        TOP - 110,
        LEFT + 110,
        TOP - 10,
    )  # a fortieth of the scene, in its first four blocks
    address = f"http://127.0.0.1:{server.server_address[1]}"
    pair = f"{address}/before.tif", f"{address}/after.tif"
    detect(*pair, out=tmp_path / "far", weights=local, bbox=bbox, threads=1)
    detect(
        scene / "before.tif",
        scene / "after.tif",
        out=tmp_path / "near",
        weights=local,
        bbox=bbox,
        threads=1,
    )
    with (
        rasterio.open(tmp_path / "far" / "probability.tif") as far,
        rasterio.open(tmp_path / "near" / "probability.tif") as near,
    ):
        assert np.array_equal(far.read(), near.read())
        assert far.shape == (200, 200)
    assert server.whole == []
    for name in ("before.tif", "after.tif"):
        size = (tmp_path / name).stat().st_size
        assert 0 < server.sent[name] < 0.25 * size


def test_what_opens_a_file_is_left_nowhere(
    server: _Server,
    local: Path,
    tmp_path: Path,
    refused: Callable[..., tuple[str, str]],
) -> None:
    """Signed addresses stood in run.json, report.html, messages and the table of pairs; whoever had
    the report could fetch the images."""
    host = f"127.0.0.1:{server.server_address[1]}"

    def pair(key: str) -> tuple[str, str]:
        key = f"{key}{'0' * 300}"  # longer than a file's name may be, which ended in an OSError
        before, after = (
            f"http://user:{key}@{host}/{date}.tif?X-Amz-Signature={key}"
            for date in ("before", "after")
        )
        return before, after

    bbox = (LEFT + 10, TOP - 110, LEFT + 110, TOP - 10)
    settings: dict[str, Any] = {"weights": local, "threads": 1, "bbox": bbox}
    said: list[str] = []
    out = tmp_path / "out"
    detect(*pair("KEY-1"), out=out, note=said.append, **settings)
    assert any("X-Amz-Signature=KEY-1" in path for path in server.asked)
    with zipfile.ZipFile(out / "changes.qgz") as archive:  # its bytes are compressed
        project = archive.read("changes.qgs")
    assert f"/vsicurl/http://{host}/before.tif".encode() in project
    written = [project, *(path.read_bytes() for path in out.iterdir())]
    assert not any(
        b"KEY-1" in text or b"Amz" in text for text in (*written, "".join(said).encode())
    )
    assert f"{host}/before.tif" in (out / "report.html").read_text(encoding="utf-8")
    assert detect(*pair("KEY-2"), out=out, resume=True, **settings).was_finished
    with pytest.raises(OutputError, match="differs from this one in: before"):
        detect(pair("KEY-2")[1], pair("KEY-2")[1], out=out, resume=True, **settings)
    for gone in (
        f"http://user:KEY-3@{host}/gone.tif?sig=KEY-3",
        f"/vsizip/{{/vsicurl/http://{host}/a.zip?sig=KEY-3}}/x.tif",
    ):
        error, hint = refused(
            "detect", gone, pair("KEY-3")[1], "--out", tmp_path / "none", "--weights", local
        )
        assert "KEY-3" not in error + hint
        (tmp_path / "pairs.csv").write_text(f"before,after,name\n{gone},{pair('KEY-3')[1]},one\n")
        refused(
            "detect",
            "--pairs",
            tmp_path / "pairs.csv",
            "--out",
            tmp_path / "many",
            "--weights",
            local,
            "--overwrite",
        )
        table = (tmp_path / "many" / "pairs.csv").read_text()
        assert "failed" in table
        assert "KEY-3" not in table


def test_the_runtimes_agree(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("openvino")
    from hanet.metadata import Metadata
    from hanet.models import create
    from hanet.weights.export import export_onnx
    from hanet.weights.weights_file import save_weights

    torch.manual_seed(0)
    network = create("hanet_lite", width=16)
    about: dict[str, Any] = {
        "model": "hanet_lite",
        "model_arguments": {"width": 16},
        "tile_px": 128,
        "overlap_px": 32,
    }
    metadata = Metadata(
        name="small", temperature=0.05, **about
    )  # a network that is not trained says little otherwise
    save_weights(tmp_path / "small.safetensors", network, metadata)
    export_onnx(network.eval(), metadata, tmp_path / "small.onnx")
    files = render_scene(tmp_path / "scene", size=256, seed=1)
    stored = {}
    for runtime, suffix in (
        ("onnxruntime", "onnx"),
        ("openvino", "onnx"),
        ("torch", "safetensors"),
    ):
        out = tmp_path / runtime
        detect(
            files.before,
            files.after,
            out=out,
            weights=tmp_path / f"small.{suffix}",
            runtime=runtime,
            threads=1,
            report=False,
        )
        with rasterio.open(out / "probability.tif") as dataset:
            stored[runtime] = dataset.read(1).astype(int)
        engines = {"onnxruntime", "openvino", "torch"}
        assert engines & set(json.loads((out / "run.json").read_text())["versions"]) == {runtime}
    assert np.ptp(stored["onnxruntime"]) > 10
    # single precision in another order: at most one step of 0.4 % where a value lies on the edge of
    # two
    for other in ("openvino", "torch"):
        difference = np.abs(stored[other] - stored["onnxruntime"])
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for the size of a file")
def test_a_full_disk_ends_in_one_line_and_can_be_resumed(
    scene: Path, local: Path, tmp_path: Path
) -> None:
    # no file may grow beyond a megabyte: probability of the scene needs 1.6. The child says so to
    # itself: Python code between fork and exec can stand still where other threads held a lock
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)); "
    pair = [
        str(scene / "before.tif"),
        str(scene / "after.tif"),
        "--weights",
        str(local),
        "--threads",
        "1",
    ]
    command = [
        sys.executable,
        "-c",
        f"{limited}from hanet.cli import main; main()",
        "detect",
        *pair,
        "--no-report",
    ]
    out = tmp_path / "out"
    full = subprocess.run(
        [*command, "--out", str(out)],
        capture_output=True,
        text=True,
    )
    assert full.returncode == 2
    lines = [line for line in full.stderr.splitlines() if not line.startswith("note:")]
    assert lines[0].startswith("error: ")
    assert "cannot be written" in lines[0]
    assert [line[:5] for line in lines[1:]] == ["hint:"]
    assert not [name for name in FINAL if (out / name).exists()]
    detect(
        scene / "before.tif",
        scene / "after.tif",
        out=out,
        weights=local,
        threads=1,
        report=False,
        resume=True,
    )
    assert (out / "run.json").exists()


def test_a_disk_that_fills_while_rasters_are_finished_leaves_no_half_raster(
    scene: Path, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, calls = rasterio.shutil.copy, []

    def second_fails(*arguments: Any, **options: Any) -> None:
        calls.append(arguments[1])
        copy(*arguments, **options)
        if (
            len(calls) == 2
            # what GDAL has written of mask.tif is there, under the name that it has until it is whole
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    settings: dict[str, Any] = {
        "weights": local,
        "threads": 1,
        "report": False,
        "bbox": (LEFT, TOP - 200, LEFT + 200, TOP),
    }
    pair = scene / "before.tif", scene / "after.tif"
    with monkeypatch.context() as patch:
        patch.setattr(rasterio.shutil, "copy", second_fails)
        with pytest.raises(OutputError, match="No space left"):
            detect(*pair, out=tmp_path / "out", **settings)
    assert not [name for name in FINAL[1:] if (tmp_path / "out" / name).exists()]
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {
        ".hanet",
        "probability.tif",
        "probability.qml",
        "mask.qml",
    }  # no part that fills the disk
    detect(*pair, out=tmp_path / "out", resume=True, **settings)
    detect(*pair, out=tmp_path / "whole", **settings)
    for name in ("probability.tif", "mask.tif"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list((tmp_path / "out").glob(".*"))


def test_an_input_that_is_cut_off_in_the_middle_ends_in_words_and_can_be_resumed(
    scene: Path, local: Path, tmp_path: Path
) -> None:
    before = tmp_path / "before.tif"
    content = (scene / "before.tif").read_bytes()
    before.write_bytes(content)

    def cut(stage: str, share: float) -> None:
        if stage == "detecting" and share > 0.05:
            os.truncate(before, 4096)

    settings: dict[str, Any] = {"weights": local, "threads": 1, "report": False}
    with pytest.raises(RasterError, match=r"before\.tif (cannot be read|was changed while)"):
        detect(before, scene / "after.tif", out=tmp_path / "out", progress=cut, **settings)
    assert not [name for name in FINAL if (tmp_path / "out" / name).exists()]
    before.write_bytes(content)
    detect(before, scene / "after.tif", out=tmp_path / "out", resume=True, **settings)
    detect(before, scene / "after.tif", out=tmp_path / "whole", **settings)
    for name in ("probability.tif", "mask.tif"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    "harm",
    [
        lambda work: os.truncate(work / "probability.raw", 1000),
        lambda work: (work / "overview.raw").unlink(),
    ],
    ids=["cut short", "gone"],
)
def test_a_resume_that_finds_its_work_lost_starts_anew(
    harm: Callable[[Path], None], scene: Path, local: Path, tmp_path: Path
) -> None:
    """Rows that were done came out as nodata, tiles of a scout were counted twice."""

    def stop(stage: str, share: float) -> None:
        if stage == "detecting" and share > 0.7:
            raise KeyboardInterrupt

    pair = scene / "before.tif", scene / "after.tif"
    settings: dict[str, Any] = {
        "weights": local,
        "scout": local,
        "threads": 1,
        "bbox": (LEFT, TOP - 300, LEFT + 300, TOP),
    }
    with pytest.raises(KeyboardInterrupt):
        detect(*pair, out=tmp_path / "out", progress=stop, **settings)
    work = tmp_path / "out" / ".hanet"
    assert json.loads((work / "journal.json").read_text())["rows_done"] > 0
    harm(work)
    detect(*pair, out=tmp_path / "out", resume=True, **settings)
    detect(*pair, out=tmp_path / "whole", **settings)
    manifests = [
        json.loads((tmp_path / name / "run.json").read_text()) for name in ("out", "whole")
    ]
    assert manifests[0]["cascade"] == manifests[1]["cascade"]
    for name in ("probability.tif", "mask.tif"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_resume_with_other_settings_says_which(local: Path, tmp_path: Path) -> None:
    files = render_scene(tmp_path / "scene", size=128, seed=1)
    detect(files.before, files.after, out=tmp_path / "out", weights=local, report=False)
    with pytest.raises(
        OutputError, match=r"differs from this one in: settings \(separate, threshold\)"
    ):
        detect(
            files.before,
            files.after,
            out=tmp_path / "out",
            weights=local,
            report=False,
            separate=False,
            threshold=0.7,
            resume=True,
        )


@pytest.fixture(scope="module")
def rubbish(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Inputs that cannot be used, by name."""
    folder = tmp_path_factory.mktemp("rubbish")
    pixels = np.random.default_rng(0).integers(0, 255, (3, 64, 64)).astype(np.uint8)
    made = {"GOOD": write(folder / "good.tif", pixels)}
    made["metres_as_degrees"] = write(
        folder / "metres_as_degrees.tif", pixels, crs=rasterio.CRS.from_epsg(4326)
    )
    local_crs = rasterio.CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    made["local_crs"] = write(folder / "local_crs.tif", pixels, crs=local_crs)
    made["coarse"] = write(folder / "coarse.tif", pixels, gsd=30.0)
    made["vrt"] = folder / "broken.vrt"
    made["vrt"].write_text('<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand')
    for name, (x, y) in {"aoi_elsewhere": (10.0, 10.0), "aoi_swapped": (97.75, -95.27)}.items():
        ring = [[x, y], [x + 0.1, y], [x + 0.1, y + 0.1], [x, y]]
        feature = {
            "type": "Feature",
            "properties": {},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        made[name] = folder / f"{name}.geojson"
        made[name].write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    for name, line in {
        "short_line": "a.tif",
        "bad_name": "a.tif,b.tif,../up",
        "table_name": "a.tif,b.tif,pairs.csv",
    }.items():
        made[name] = folder / f"{name}.csv"
        made[name].write_text(f"before, after, name\n{line}\n")
    made["fine"] = folder / "fine.csv"
    made["fine"].write_text("before,after,name\na.tif,b.tif,x\n")
    made["twice"] = folder / "twice.csv"
    made["twice"].write_text("before,after,name\na.tif,b.tif,x\na.tif,b.tif,x\n")
    return {name: str(path) for name, path in made.items()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["metres_as_degrees", "metres_as_degrees"], "counts in degrees"),
        (["GOOD", "metres_as_degrees"], "counts in degrees"),
        (["local_crs", "local_crs"], "take it away with `gdal_edit.py -a_srs None FILE`"),
        (["GOOD", "local_crs"], "longitude and latitude"),
        (["coarse", "coarse"], "no house can be seen"),
        (["vrt", "GOOD"], "is not a raster that can be opened"),
        (["GTIFF_DIR:2:missing.tif", "GOOD"], "is not a raster that can be opened"),
        (["GOOD", "GOOD", "--aoi", "aoi_elsewhere"], "do not meet the pair"),
        (["GOOD", "GOOD", "--resume", "--overwrite"], "both are given"),
        (["--pairs", "fine", "--resume", "--overwrite"], "both are given"),
        (["GOOD", "GOOD", "--aoi", "aoi_swapped"], "cannot be brought"),
        (["--pairs", "short_line"], "line 2: before, after or name is missing"),
        (["--pairs", "bad_name"], "line 2: the name '../up'"),
        (["--pairs", "table_name"], "line 2: the name 'pairs.csv'"),
        (["--pairs", "twice"], "twice"),
        (["--pairs", "fine", "--threshold", "2"], "the threshold is 2.0"),
        (["--pairs", "fine", "--weights", "no_such"], "there are no weights"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_one_line_with_a_hint_and_leaves_nothing(
    words: list[str],
    said: str,
    rubbish: dict[str, str],
    tmp_path: Path,
    refused: Callable[..., tuple[str, str]],
) -> None:
    error, hint = refused(
        "detect", *(rubbish.get(word, word) for word in words), "--out", tmp_path / "out"
    )
    assert said in f"{error} {hint}"
    assert "OGR_" not in error  # GDAL's advice on its own settings
    assert not (tmp_path / "out").exists()


def test_the_list_of_pairs_is_not_written_over(
    tmp_path: Path, refused: Callable[..., tuple[str, str]]
) -> None:
    listing = tmp_path / "pairs.csv"
    listing.write_text("before,after,name\na.tif,b.tif,x\n")
    error, _ = refused("detect", "--pairs", listing, "--out", tmp_path)
    assert "would be written over the list" in error
    assert listing.read_text() == "before,after,name\na.tif,b.tif,x\n"


def test_files_that_are_of_no_run_are_not_written_over(local: Path, tmp_path: Path) -> None:
    """The truth of a rendered pair was, where the pair's own folder was given as --out."""
    files = render_scene(tmp_path / "pair", size=128, seed=1)
    truth = (tmp_path / "pair" / "mask.tif").read_bytes()
    with pytest.raises(
        OutputError, match=r"holds mask\.tif, footprints\.gpkg, which no run here has made"
    ):
        detect(files.before, files.after, out=tmp_path / "pair", weights=local, threads=1)
    assert (tmp_path / "pair" / "mask.tif").read_bytes() == truth
    assert not (tmp_path / "pair" / ".hanet").exists()
    detect(
        files.before, files.after, out=tmp_path / "pair", weights=local, threads=1, overwrite=True
    )
    assert (tmp_path / "pair" / "mask.tif").read_bytes() != truth


def test_names_may_hold_what_xml_minds(local: Path, tmp_path: Path) -> None:
    files = render_scene(tmp_path / "vor & nach <1>", size=128, seed=1)
    out = tmp_path / 'Öl & "gas" <2>'
    detect(files.before, files.after, out=out, weights=local, threads=1)
    with rasterio.open(out / "mask.tif") as dataset:
        assert set(np.unique(dataset.read(1)).tolist()) <= {0, 1, 255}
    assert "vor &amp; nach" not in (out / "report.html").read_text(
        encoding="utf-8"
    )  # names of files, not of folders


def test_too_little_memory_ends_in_one_line_and_leaves_nothing(
    local: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: Callable[..., tuple[str, str]],
) -> None:
    from hanet.weights.runtime import OnnxRuntime

    class Full:
        def run(self, *_: Any) -> Any:
            raise RuntimeError(
                "[ONNXRuntimeError] Failed to allocate memory for requested buffer of size "
                "905969664"
            )

    begin = OnnxRuntime.__init__

    def full(self: OnnxRuntime, *arguments: Any) -> None:
        begin(self, *arguments)
        self._session = Full()

    monkeypatch.setattr(OnnxRuntime, "__init__", full)
    files = render_scene(tmp_path / "scene", size=128, seed=1)
    error, hint = refused(
        "detect", files.before, files.after, "--weights", local, "--out", tmp_path / "out"
    )
    assert error.startswith("not enough memory: ")
    assert "--tile" in hint
    assert not (tmp_path / "out").exists()


def test_a_part_of_a_file_is_opened_by_the_name_that_gdal_gives_it(tmp_path: Path) -> None:
    pixels = np.full((3, 64, 64), 9, dtype=np.uint8)
    both = write(tmp_path / "both.tif", pixels)
    with open_pair(f"GTIFF_DIR:1:{both}", both) as pair:
        assert pair.grid.height == 64
