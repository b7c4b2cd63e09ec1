"""report.html in headless Chromium: the swipe moves, nothing is said on the console, nothing is
asked of the network."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from difference_weights import write_difference_weights
from hanet.detection.job import detect
from hanet.synthetic.scene import render_scene

PROBE = """<script>
window.addEventListener("load", () => {
  const said = [], swipe = document.getElementById("swipe"), box = swipe.getBoundingClientRect();
  const at = () => swipe.style.getPropertyValue("--at");
  const point = (type, share) => swipe.dispatchEvent(new PointerEvent(type, {
    bubbles: true, buttons: 1, pointerId: 1, clientX: box.left + share * box.width, clientY: box.top + 5 }));
  point("pointerdown", 0.25); said.push("down=" + parseFloat(at()).toFixed(0));
  point("pointermove", 0.75); said.push("move=" + parseFloat(at()).toFixed(0));
  const slider = document.getElementById("slider");
  slider.value = 10; slider.dispatchEvent(new Event("input")); said.push("slider=" + parseFloat(at()).toFixed(0));
  said.push("clip=" + getComputedStyle(swipe.querySelector(".before")).clipPath);
  const show = document.getElementById("show");
  show.click(); said.push("outlines=" + getComputedStyle(document.getElementById("outlines")).display);
  show.click(); said.push("again=" + getComputedStyle(document.getElementById("outlines")).display);
  const pictures = [...document.images];
  said.push("pictures=" + pictures.length + " broken=" + pictures.filter((p) => !p.complete || !p.naturalWidth).length);
  said.push("asked=" + performance.getEntriesByType("resource").filter((e) => !e.name.startsWith("data:")).length);
  said.push("overflow=" + Math.max(0, document.documentElement.scrollWidth - window.innerWidth));
  document.body.setAttribute("data-probe", said.join("; "));
});
</script>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    """Chromium's path; skips where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    files = render_scene(folder / "scene", size=320, seed=1, change_share=0.4)
    weights = write_difference_weights(folder / "difference.onnx", tile_px=128, overlap_px=16)
    detect(files.before, files.after, out=folder / "out", weights=weights, threads=1)
    return folder / "out" / "report.html"


@pytest.mark.parametrize("width", [1200, 500])
def test_the_swipe_moves_and_the_console_is_silent(
    chromium: str, report: Path, tmp_path: Path, width: int
) -> None:
    page = tmp_path / "probed.html"
    page.write_text(
        report.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8"
    )
    switches = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    switches += [
        "--enable-logging=stderr",
        "--v=0",
        f"--window-size={width},900",
        "--virtual-time-budget=4000",
    ]
    result = subprocess.run(
        [chromium, *switches, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
    assert console == []
    found = re.search(r'data-probe="([^"]*)"', result.stdout)
    assert found is not None
    said = dict(part.split("=", 1) for part in re.split("; | (?=broken=)", found[1]))
    assert (said["down"], said["move"], said["slider"]) == ("25", "75", "10")
    assert said["clip"] == "inset(0px 90% 0px 0px)"
    assert (said["outlines"], said["again"]) == ("none", "block")
    assert int(said["pictures"]) > 2
    assert said["broken"] == "0"
    assert said["asked"] == "0"
    assert said["overflow"] == "0"


def test_the_pair_is_told_in_words_with_units(report: Path) -> None:
    table = re.search(r"<table>.*?</table>", report.read_text(encoding="utf-8"), re.DOTALL)
    assert table is not None
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in table[0].split("</tr>")]
    told = {row[0]: row[1:] for row in rows if row}
    assert told["size"] == ["320 × 320 pixels"] * 2
    assert told["pixel"] == ["0.5 m"] * 2
    assert told["date"] == ["not known"] * 2
    assert told["invalid pixels"] == ["not marked"] * 2
    assert "_" not in "".join(told)


def test_no_footprint_has_two_chips(report: Path) -> None:
    numbers = re.findall(r"<p><b>#(\d+)</b>", report.read_text(encoding="utf-8"))
    assert len(numbers) == len(set(numbers)) > 0
