"""SVG in a few words: boxes, arrows, texts and curves on a light card, which reads the same on a
dark page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

INK, MUTED, CARD, LINE = "#1f2d33", "#5b6b72", "#fbfbf7", "#b8c2c6"
BEFORE, AFTER, CHANGE, ATTENTION, NEUTRAL = "#cfe3f5", "#fde0c2", "#f6c9c4", "#cfeae0", "#e9edef"
"""Fills: the before date, the after date, what changed, attention, anything else."""

CURVES = ("#0f766e", "#c2410c", "#1d4ed8", "#7e22ce")
"""Strokes of curves; they differ in lightness too, and each has its own dash pattern."""

DASHES = ("", "8 4", "3 3", "10 3 2 3")


def number(value: float) -> str:
    """A coordinate with at most two decimals, the same on every machine."""
    return f"{round(value + 0.0, 2):g}"


class Drawing:
    """A picture under construction.

    Args:
        width: In pixels.
        height: In pixels.
        title: What it shows, for those who cannot see it.
    """

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self._parts: list[str] = []

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = NEUTRAL,
        stroke: str = INK,
        radius: float = 0,
        dash: str = "",
        line: float = 1.2,
    ) -> None:
        """A rectangle by its upper left corner."""
        self._parts.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}" rx="{number(radius)}" '
            f'fill="{fill}" stroke="{stroke}" stroke-width="{number(line)}"{_dashed(dash)}/>'
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *lines: str,
        fill: str = NEUTRAL,
        size: float = 13,
    ) -> None:
        """A rounded rectangle with centred lines of text, the first one bold."""
        self.rect(x, y, width, height, fill=fill, radius=5)
        step = size * 1.3
        top = y + height / 2 - step * (len(lines) - 1) / 2 + size * 0.36
        for index, line in enumerate(lines):
            self.text(
                x + width / 2,
                top + index * step,
                line,
                size=size if index == 0 else size - 1,
                bold=index == 0,
                anchor="middle",
            )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 13,
        bold: bool = False,
        anchor: str = "start",
        colour: str = INK,
        turn: float = 0,
    ) -> None:
        """A line of text; y is its baseline."""
        weight = ' font-weight="600"' if bold else ""
        turned = f' transform="rotate({number(turn)} {number(x)} {number(y)})"' if turn else ""
        self._parts.append(
            f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" '
            f'text-anchor="{anchor}" fill="{colour}"{weight}{turned}>'
            f"{escape(text, quote=False)}</text>"
        )

    def line(
        self,
        points: Iterable[tuple[float, float]],
        *,
        colour: str = INK,
        width: float = 1.4,
        dash: str = "",
        arrow: bool = False,
    ) -> None:
        """A line through points, with an arrow head at its end if wanted."""
        path = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        head = ' marker-end="url(#head)"' if arrow else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" '
            f'stroke-width="{number(width)}" stroke-linejoin="round"{_dashed(dash)}{head}/>'
        )

    def arrow(self, *points: tuple[float, float]) -> None:
        """A line with a head."""
        self.line(points, arrow=True)

    def dot(self, x: float, y: float, radius: float, *, fill: str = INK) -> None:
        """A filled circle."""
        self._parts.append(
            f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" fill="{fill}"/>'
        )

    def polygon(
        self, points: Sequence[tuple[float, float]], *, fill: str, stroke: str = "none"
    ) -> None:
        """A filled polygon."""
        path = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self._parts.append(f'<polygon points="{path}" fill="{fill}" stroke="{stroke}"/>')

    def to_svg(self) -> str:
        """The file."""
        body = "\n".join(self._parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" '
            'role="img" font-family="Verdana, DejaVu Sans, '
            f'sans-serif">\n<title>{escape(self.title)}</title>\n'
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto">'
            f'<path d="M0,0.5 L8,4 L0,7.5 z" fill="{INK}"/></marker></defs>\n'
            f'<rect width="{self.width}" height="{self.height}" rx="10" '
            f'fill="{CARD}"/>\n{body}\n</svg>\n'
        )


class Plot:
    """Axes within a drawing, linear in both directions.

    Args:
        drawing: Where it goes.
        area: (x, y, width, height) of the rectangle within the axes.
        x_range: Values at its left and right.
        y_range: Values at its bottom and top.
    """

    def __init__(
        self,
        drawing: Drawing,
        area: tuple[float, float, float, float],
        x_range: tuple[float, float],
        y_range: tuple[float, float],
    ) -> None:
        self.drawing, self.area, self.x_range, self.y_range = drawing, area, x_range, y_range

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a value lies."""
        left, top, width, height = self.area
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        return left + width * (x - x0) / (x1 - x0), top + height * (1 - (y - y0) / (y1 - y0))

    def axes(
        self, *, x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: str, y_label: str
    ) -> None:
        """Grid lines, their numbers and labels."""
        left, top, width, height = self.area
        for tick in y_ticks:
            _, y = self.at(self.x_range[0], tick)
            self.drawing.line([(left, y), (left + width, y)], colour=LINE, width=0.7)
            self.drawing.text(left - 8, y + 4, f"{tick:g}", size=11, anchor="end", colour=MUTED)
        for tick in x_ticks:
            x, _ = self.at(tick, self.y_range[0])
            self.drawing.line([(x, top + height), (x, top + height + 5)], width=1)
            self.drawing.text(
                x, top + height + 18, f"{tick:g}", size=11, anchor="middle", colour=MUTED
            )
        self.drawing.line([(left, top), (left, top + height), (left + width, top + height)])
        self.drawing.text(left + width / 2, top + height + 36, x_label, size=12, anchor="middle")
        self.drawing.text(left - 48, top + height / 2, y_label, size=12, anchor="middle", turn=-90)

    def curve(
        self,
        points: Iterable[tuple[float, float]],
        number: int,
        label: str = "",
        *,
        label_at: tuple[float, float] | None = None,
    ) -> None:
        """A curve in the colours of its number, with its name at a place of the drawing."""
        colour, dash = CURVES[number % 4], DASHES[number % 4]
        self.drawing.line([self.at(x, y) for x, y in points], colour=colour, width=2.4, dash=dash)
        if label and label_at:
            x, y = label_at
            self.drawing.line([(x, y - 4), (x + 28, y - 4)], colour=colour, width=2.4, dash=dash)
            self.drawing.text(x + 36, y, label, size=12)


def _dashed(pattern: str) -> str:
    return f' stroke-dasharray="{pattern}"' if pattern else ""
