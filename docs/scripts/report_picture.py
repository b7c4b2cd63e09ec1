"""Takes ``docs/images/report.png``: the report of the rendered demo, as a browser shows it.

    make demo && PYTHONPATH=src:tests/support python docs/scripts/report_picture.py demo/result

Needs Chromium. Not part of ``make pages``: a browser's pixels differ from version to version.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from chromium_page import chromium_page

PICTURE = Path(__file__).resolve().parents[1] / "images" / "report.png"
WIDTH, HEIGHT = 1200, 940


def main(result: Path) -> None:
    """Shows the largest footprint of a result and takes the picture."""
    with tempfile.TemporaryDirectory() as profile, chromium_page(Path(profile)) as page:
        address = (result / "report.html").resolve().as_uri()
        page.open(address, width=WIDTH, height=HEIGHT)
        largest = page.run("document.querySelector('.card').dataset.id")
        page.run(f"document.querySelector('.card[data-id=\"{largest}\"] button').click()")
        page.run("document.activeElement.blur()")
        page.painted()
        page.screenshot(PICTURE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
