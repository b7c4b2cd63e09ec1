"""Builds the plugin for QGIS as one zip: the same bytes on every machine.

Run: python scripts/qgis_plugin.py [--out dist] [--repository URL --email ADDRESS]
"""

from __future__ import annotations

import argparse
import configparser
import sys
import zipfile
from pathlib import Path

PLUGIN = Path(__file__).resolve().parents[1] / "qgis" / "hanet_qgis"
"""The folder that QGIS loads; the zip holds it under its name."""

NEEDED = (
    "name",
    "qgisMinimumVersion",
    "description",
    "about",
    "version",
    "author",
    "email",
    "repository",
    "tracker",
)
"""What the QGIS repository refuses an upload without."""

LARGEST_BYTES = 1_000_000
"""Of a zip; the repository takes more, and a plugin without binaries needs much less."""

DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file in the zip: the earliest that a zip can state."""


def build(out: Path, *, repository: str | None = None, email: str | None = None) -> Path:
    """Writes ``hanet_qgis-VERSION.zip`` into a folder and gives its path.

    Args:
        out: The folder; made if it is missing.
        repository: Address of the source, from which that of its issues is made.
        email: Of the maintainers.

    Raises:
        SystemExit: A file is binary, or the zip is too large.
    """
    text = metadata(repository=repository, email=email)
    version = _parsed(text)["version"]
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{PLUGIN.name}-{version}.zip"
    files = sorted(
        file for file in PLUGIN.rglob("*") if file.is_file() and "__pycache__" not in file.parts
    )
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            data = text.encode() if file.name == "metadata.txt" else file.read_bytes()
            data = data.replace(b"\r\n", b"\n")  # a checkout on Windows
            if b"\0" in data:
                raise SystemExit(f"{file} is binary; a plugin holds text only")
            # stored, not compressed: compressors differ in their bytes
            info = zipfile.ZipInfo(file.relative_to(PLUGIN.parent).as_posix(), DATE)
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data)
    if path.stat().st_size > LARGEST_BYTES:
        raise SystemExit(f"{path} has {path.stat().st_size} bytes; {LARGEST_BYTES} are allowed")
    return path


def metadata(*, repository: str | None = None, email: str | None = None) -> str:
    """``metadata.txt`` with the addresses that are given."""
    text = (PLUGIN / "metadata.txt").read_text(encoding="utf-8").rstrip("\n")
    lines = [f"email={email}"] if email else []
    if repository:
        source = repository.rstrip("/")
        lines += [f"homepage={source}", f"repository={source}", f"tracker={source}/issues"]
    return "\n".join([text, *lines, ""])


def missing(text: str) -> list[str]:
    """Names of what the QGIS repository wants and ``metadata.txt`` lacks."""
    return [name for name in NEEDED if not _parsed(text).get(name)]


def _parsed(text: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser["general"]


def main() -> None:
    """As it is typed."""
    parser = argparse.ArgumentParser(description="Build the plugin for QGIS as one zip.")
    parser.add_argument("--out", type=Path, default=Path("dist"))
    parser.add_argument("--repository", help="address of the source, for an upload")
    parser.add_argument("--email", help="of the maintainers, for an upload")
    given = parser.parse_args()
    path = build(given.out, repository=given.repository or None, email=given.email or None)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    lacking = missing(metadata(repository=given.repository, email=given.email))
    if lacking:
        print(
            f"it can be installed from the file; for an upload it lacks {', '.join(lacking)} "
            "(--repository, --email)",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
