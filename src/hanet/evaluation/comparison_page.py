"""A comparison as a page: scores, a dot an image, and the images on which both differ most."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hanet.datasets.layout import Pair, list_pairs
from hanet.errors import DataSetError, InputError
from hanet.evaluation.comparison import SHOWN, Comparison, ImageDifference, scatter, wrong
from hanet.evaluation.paired import SCORES
from hanet.files import replace_file
from hanet.imagery.images import encode_jpeg, read_image, resampled
from hanet.page_template import fill_page
from hanet.types import ByteArray

SIDE_PX = 384
"""Longest side of a picture; of a whole scene more would only make the page heavy."""

PLOT_PX, MARGIN_PX = 420, 44
"""Side of the plot of all images, and the room for its numbers."""

COLOURS = (
    '<p class="soft">Errors: white is change that was found, red was found without change, blue is '
    "change that was missed.</p>"
)
"""What the pictures of ``hanet evaluate --error-maps`` show."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page may show beside numbers.

    Args:
        data: The data set that was evaluated: ``DATA/SPLIT/{A,B,label}``; no pictures if None.
        error_maps: Folders of ``hanet evaluate --error-maps`` of the first and the second result.
    """

    data: Path | None = None
    error_maps: tuple[Path | None, Path | None] = field(default=(None, None))


def write_page(path: Path, comparison: Comparison, shown: Shown) -> None:
    """Writes the page, self-contained.

    Raises:
        DataSetError: The data set lacks the split or an image of the comparison.
        InputError: A folder of error maps lacks one.
        OutputError: The disk does not take it.
    """
    replace_file(path, page(comparison, shown).encode("utf-8", errors="replace"))


def page(comparison: Comparison, shown: Shown) -> str:
    """The page as text; errors as for :func:`write_page`."""
    largest = [image for image in comparison.images[:SHOWN] if image.fewer_wrong]
    columns = _columns(comparison, shown, largest)
    values = comparison.first.values
    dots = scatter(comparison.images)
    silent = len(comparison.images) - len(dots)
    return fill_page(
        "hanet.evaluation",
        "comparison.html",
        title=html.escape(f"{comparison.first.title} and {comparison.second.title}"),
        verdict=html.escape(comparison.in_words()),
        facts=html.escape(
            f"{values.get('data')}, split {values.get('split')}, {values.get('protocol')}, "
            f"{len(comparison.images)} images. First: {comparison.first.title} "
            f"({comparison.first.path.name}); second: {comparison.second.title} "
            f"({comparison.second.path.name})."
        ),
        scores=_scores(comparison),
        scatter=_plot(dots),
        left_out="" if not silent else _left_out(silent),
        columns=max(1, len(columns)),
        pictures="".join(_figure(image, columns) for image in largest) if columns else "",
        colours=COLOURS if columns and any(shown.error_maps) else "",
        largest=_largest(largest),
    )


def _left_out(silent: int) -> str:
    who = "1 image is" if silent == 1 else f"{silent} images are"
    return f"{who} left out: nothing changed there, and nothing was found."


def _scores(comparison: Comparison) -> str:
    first, second = comparison.first.scores, comparison.second.scores
    rows = []
    for name in SCORES:
        found = comparison.differences[name]
        cells = (
            {"f1": "F1", "iou": "IoU"}.get(name, name),
            f"{100 * getattr(first, name):.2f}",
            f"{100 * getattr(second, name):.2f}",
            f"{100 * found.value:+.2f}",
            f"{100 * found.low:+.2f} to {100 * found.high:+.2f}",
        )
        rows.append(cells)
    return _table(("per cent", "first", "second", "difference", "95 %"), rows)


def _largest(images: Sequence[ImageDifference]) -> str:
    rows = [
        (
            image.name,
            f"{wrong(image.first):,}",
            f"{wrong(image.second):,}",
            f"{image.fewer_wrong:+,}",
            f"{100 * image.first.scores().f1:.1f}",
            f"{100 * image.second.scores().f1:.1f}",
        )
        for image in images
    ]
    head = ("image", "wrong pixels, first", "second", "fewer", "F1, first", "second")
    return _table(head, rows) if rows else "<p>Both make the same errors in every image.</p>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line('th', head)}{''.join(line('td', row) for row in rows)}</table>"


def _plot(dots: Sequence[tuple[str, float, float]]) -> str:
    """F1 of the second result over that of the first, a dot an image."""

    def x(value: float) -> float:
        return MARGIN_PX + value * PLOT_PX

    def y(value: float) -> float:
        return MARGIN_PX / 2 + (1 - value) * PLOT_PX

    side = PLOT_PX + 1.5 * MARGIN_PX
    parts = [_lines_at(tick, x, y) for tick in (0.0, 0.25, 0.5, 0.75, 1.0)]
    parts.append(
        f'<line class="diagonal" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>'
        f'<text x="{x(0.5):.1f}" y="{y(0) + 32:.1f}" text-anchor="middle">first</text>'
        f'<text x="{x(0.02):.1f}" y="{y(0.96):.1f}">second is better above the line</text>'
    )
    parts += [
        f'<circle cx="{x(first):.1f}" cy="{y(second):.1f}" r="4">'
        f"<title>{html.escape(name)}: {first:.3f}, {second:.3f}</title></circle>"
        for name, first, second in dots
    ]
    return (
        f'<svg viewBox="0 0 {side:.0f} {side:.0f}" role="img" aria-label="F1 of each image by both '
        f'results">{"".join(parts)}</svg>'
    )


def _lines_at(tick: float, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    """The lines across the plot at a number, and the number on both axes."""
    return (
        f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{y(0):.1f}" y2="{y(1):.1f}"/>'
        f'<line x1="{x(0):.1f}" x2="{x(1):.1f}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text x="{x(tick):.1f}" y="{y(0) + 16:.1f}" text-anchor="middle">{tick:g}</text>'
        f'<text x="{x(0) - 8:.1f}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """One kind of picture: its title, and the file of each image."""

    title: str
    paths: dict[str, Path]


def _columns(
    comparison: Comparison, shown: Shown, images: Sequence[ImageDifference]
) -> list[_Column]:
    columns = []
    if shown.data is not None:
        pairs = {
            pair.name: pair for pair in list_pairs(shown.data, comparison.first.values["split"])
        }
        missing = [image.name for image in images if image.name not in pairs]
        if missing:
            raise DataSetError(
                f"{shown.data} has no image {missing[0]!r} in split "
                f"{comparison.first.values['split']}",
                hint="give the data set that was evaluated",
            )
        columns += [
            _Column(title, {image.name: place(pairs[image.name]) for image in images})
            for title, place in _PLACES.items()
        ]
    for title, folder in zip(("first", "second"), shown.error_maps, strict=True):
        if folder is None:
            continue
        paths = {image.name: folder / f"{image.name}.png" for image in images}
        for path in paths.values():
            if not path.is_file():
                raise InputError(
                    f"there is no {path}", hint="make it with hanet evaluate --error-maps"
                )
        columns.append(_Column(f"{title}: errors", paths))
    return columns


def _label(pair: Pair) -> Path:
    assert pair.label is not None  # it was evaluated
    return pair.label


_PLACES = {"before": lambda pair: pair.before, "after": lambda pair: pair.after, "label": _label}
"""Pictures of a pair by their title."""


def _figure(image: ImageDifference, columns: Sequence[_Column]) -> str:
    name = html.escape(image.name)
    cells = "".join(
        f'<div><img src="{_embedded(column.paths[image.name])}" alt="{title} of {name}">'
        f"<span>{title}</span></div>"
        for column in columns
        for title in (html.escape(column.title),)
    )
    how = "fewer" if image.fewer_wrong > 0 else "more"
    caption = f"{name}: {abs(image.fewer_wrong):,} {how} wrong pixels by the second"
    return f'<figure><figcaption>{caption}</figcaption><div class="row">{cells}</div></figure>'


def _embedded(path: Path) -> str:
    pixels = read_image(path)
    if pixels.max() == 1:  # a label of 0 and 1
        pixels = pixels * np.uint8(255)
    content = encode_jpeg(_fitted(pixels), quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def _fitted(pixels: ByteArray) -> ByteArray:
    _, height, width = pixels.shape
    factor = SIDE_PX / max(height, width)
    if factor >= 1:
        return pixels
    return resampled(
        pixels,
        (0.0, 0.0, float(width), float(height)),
        height=max(1, round(height * factor)),
        width=max(1, round(width * factor)),
    )
