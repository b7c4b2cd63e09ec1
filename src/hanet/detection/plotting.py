"""A finished run drawn by matplotlib. Its only user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import shapely

from hanet.detection.result_view import ResultView
from hanet.errors import SettingsError, importing

if TYPE_CHECKING:
    import matplotlib.axes

Axes: TypeAlias = "Sequence[matplotlib.axes.Axes]"
"""Three axes: before, after, probability."""

LONGEST_PX = 1024
"""Of what is drawn."""

OUTLINE = "#ffd400"
"""As in the report."""


def plot_view(view: ResultView, axes: Axes | None) -> Axes:
    """Before, after with outlines, and probability, side by side in map coordinates.

    Args:
        view: The run, of :data:`LONGEST_PX` pixels.
        axes: Three axes to draw on; new ones if None.

    Raises:
        MissingExtraError: matplotlib is not installed.
        SettingsError: There are not three axes.
    """
    with importing("matplotlib", extra="notebook", purpose="plot()"):
        from matplotlib import pyplot
    if axes is None:
        _, made = pyplot.subplots(1, 3, figsize=(12, 4.5), layout="constrained", squeeze=False)
        axes = list(made[0])
    axes = list(np.ravel(np.asarray(axes, dtype=object)))
    if len(axes) != 3:
        raise SettingsError(f"plot() draws on 3 axes; {len(axes)} are given")
    left, bottom, right, top = view.grid.bounds
    place: dict[str, Any] = {"extent": (left, right, bottom, top), "interpolation": "nearest"}
    for index, name in enumerate(("before", "after")):
        if view.pictures is not None:
            axes[index].imshow(view.pictures[index].transpose(1, 2, 0), **place)
        day = view.dates[index]
        axes[index].set_title(f"{name}, {day}" if day else name)
    shown = axes[2].imshow(view.probability, vmin=0, vmax=1, cmap="magma", **place)
    axes[2].set_title("probability of change")
    axes[2].figure.colorbar(shown, ax=axes[2], shrink=0.8)
    for one in axes:
        _draw_outlines(one, view)
        one.set_xlim(left, right)
        one.set_ylim(bottom, top)
        one.set_aspect("equal")
        one.set_xticks([])
        one.set_yticks([])
    return axes


def _draw_outlines(axes: Any, view: ResultView) -> None:
    from matplotlib.collections import LineCollection

    rings = shapely.get_rings(shapely.get_parts(view.shapes))
    lines = [shapely.get_coordinates(ring) for ring in rings]
    axes.add_collection(LineCollection(lines, colors=OUTLINE, linewidths=1.0))
