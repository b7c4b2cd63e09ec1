# SPDX-License-Identifier: GPL-2.0-or-later
"""Check pair: what of two images may hurt the result, before hours are spent on it."""

from __future__ import annotations

from typing import ClassVar

from qgis.core import (
    QgsProcessingException,
    QgsProcessingOutputNumber,
    QgsProcessingParameterRasterLayer,
)

from hanet_qgis.command import run
from hanet_qgis.layers import raster_source

from .base import HanetAlgorithm, figure

GRIDS = ("finer", "before", "after")


class CheckPair(HanetAlgorithm):
    """``hanet check``."""

    NAME = "check_pair"
    TITLE = "Check pair"
    HELP = (
        "Compares two images of one place before detection: CRS, grid, overlap, bands, nodata, "
        "brightness, shift, and the resolution against that of the weights. The log says what may "
        "hurt the result, and what fixes it."
    )
    OPTIONS: ClassVar[dict] = {"WEIGHTS": "--weights", "BANDS": "--bands", "GRID": "--grid"}

    def initAlgorithm(self, configuration=None) -> None:
        """Called by Processing."""
        add_pair(self)
        self.add_text("WEIGHTS", "Weights", WEIGHTS_HELP)
        self.add_text("BANDS", "Bands for red, green, blue", BANDS_HELP, advanced=True)
        self.add_choice("GRID", "Grid", GRID_HELP, GRIDS, advanced=True)
        self.addOutput(QgsProcessingOutputNumber("WARNINGS", "Number of warnings"))

    def prepared(self, parameters, context, feedback) -> list:
        """Both images."""
        return pair_of(self, parameters, context, feedback)

    def work(self, parameters, context, feedback) -> dict:
        """The findings go to the log."""
        results = run(["check", *self.words, *self.options(parameters, context)], feedback)
        facts = figure(results, "check") or {}
        for name in ("before", "after"):
            date = facts.get(name, {})
            feedback.pushInfo(
                f"{name}: {date.get('width')} x {date.get('height')} pixels of "
                f"{_number(date.get('gsd_m'))} m, {date.get('bands')} bands of {date.get('type')}, "
                f"{date.get('crs') or 'no CRS'}, date {date.get('date') or 'not stated'}"
            )
        feedback.pushInfo(
            f"the weights were trained at {_number(facts.get('target_gsd_m'))} m a pixel; valid at "
            f"both dates: {100 * facts.get('valid_share', 0):.0f} % of the common grid"
        )
        return {"WARNINGS": figure(results, "warnings")}


WEIGHTS_HELP = (
    "A name that Check installation lists, or the path of a weights file; empty: hanet_lite."
)
BANDS_HELP = "Band numbers from 1, for example 3,2,1; empty: 1,2,3."
GRID_HELP = (
    "Whose CRS and pixels the result has: those of the finer image, of the before or of the after "
    "image; empty: the finer."
)


def add_pair(algorithm: HanetAlgorithm) -> None:
    """The two images."""
    for name, title, date in (
        ("BEFORE", "Before image", "first"),
        ("AFTER", "After image", "second"),
    ):
        algorithm.add(
            QgsProcessingParameterRasterLayer(name, title),
            f"Image of the {date} date, in the raw values of its file: how the layer is drawn does "
            "not matter. The two may differ in CRS, grid and resolution.",
        )


def pair_of(algorithm: HanetAlgorithm, parameters, context, feedback) -> list:
    """The names by which the command opens both images."""
    layers = [
        algorithm.parameterAsRasterLayer(parameters, name, context) for name in ("BEFORE", "AFTER")
    ]
    for name, layer in zip(("BEFORE", "AFTER"), layers):
        if layer is None or not layer.isValid():
            raise QgsProcessingException(algorithm.invalidRasterError(parameters, name))
    return [raster_source(layer, feedback) for layer in layers]


def _number(value) -> str:
    return "?" if value is None else f"{value:.3g}"
