"""What a verb says of a finished run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanet.detection.result import DetectionResult

KINDS = {
    "probability.tif": "probability",
    "built.tif": "built",
    "mask.tif": "mask",
    "run.json": "manifest",
    "report.html": "report",
    "changes.qgz": "project",
    "stac-item.json": "item",
    "stac-model.json": "model",
}
"""What a run writes beside its footprints: each file with its kind."""


def say_result(result: DetectionResult) -> None:
    """Prints what was found, the files, and what to look at."""
    from hanet.cli.console import print_note, print_result, stdout

    out = result.out
    unit = "m²" if result.footprints.has_metres else "square pixels"
    if result.was_finished:
        print_note(f"{out} already holds the result of this run; nothing was computed")
    if result.footprints.why_nothing:
        print_note(result.footprints.why_nothing)
    speed = f" in {result.seconds:.1f} s ({result.megapixels / result.seconds:.2f} megapixels/s)"
    buildings = "changed building" if result.footprints.count == 1 else "changed buildings"
    size = f"{result.megapixels:.{1 if result.megapixels >= 0.1 else 2}f}"
    sentence = (
        f"{result.footprints.count} {buildings}, {result.footprints.area_m2:,.0f} {unit}, "
        f"{size} megapixels{'' if result.was_finished else speed}"
    )
    if result.share_looked_at is not None:
        sentence += (
            f"\nthe scout passed {result.share_looked_at:.0%} of the tiles on to the weights"
        )
    names = [path.name for path in result.footprints.files]
    made = {out / name: kind for name, kind in (dict.fromkeys(names, "footprints") | KINDS).items()}
    print_result(
        sentence,
        {path: kind for path, kind in made.items() if path.exists()},
        footprints=result.footprints.count,
        area=result.footprints.area_m2,
        has_metres=result.footprints.has_metres,
        threshold=result.footprints.threshold,
        megapixels=result.megapixels,
        seconds=result.seconds,
        was_finished=result.was_finished,
    )
    if (out / "report.html").exists():
        in_qgis = "changes.qgz" if (out / "changes.qgz").exists() else names[0]
        stdout.print(
            f"look at {out / 'report.html'} in a browser, or open {out / in_qgis} in QGIS",
            soft_wrap=True,
            markup=False,
        )
