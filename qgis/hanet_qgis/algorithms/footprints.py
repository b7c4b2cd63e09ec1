# SPDX-License-Identifier: GPL-2.0-or-later
"""Footprints from probability: another threshold, without detecting again."""

from __future__ import annotations

from typing import ClassVar

from qgis.core import (
    QgsProcessingException,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterRasterLayer,
)

from hanet_qgis.layers import raster_source

from .base import HanetAlgorithm
from .detect import (
    add_figures,
    add_footprints,
    add_load,
    add_threshold,
    outputs_of,
    separate_words,
)


class Footprints(HanetAlgorithm):
    """``hanet footprints``."""

    NAME = "footprints"
    TITLE = "Footprints from probability"
    HELP = (
        "Makes footprints from a raster of probability with another threshold, smallest area or "
        "outline, without detecting again.\n\n"
        "Into the folder of the run itself, footprints, mask, report and run.json are made again "
        "together; remove their layers from the project before. Footprints that were edited are "
        "kept under another name."
    )
    OPTIONS: ClassVar[dict] = {
        "THRESHOLD": "--threshold",
        "MIN_AREA": "--min-area-m2",
        "OUTLINE": "--outline",
        "MIN_HOLE": "--min-hole-m2",
        "BEFORE_DATE": "--before-date",
        "AFTER_DATE": "--after-date",
    }

    def initAlgorithm(self, configuration=None) -> None:
        """Called by Processing."""
        self.add(
            QgsProcessingParameterRasterLayer("PROBABILITY", "Probability"),
            "probability.tif of a run, or one band of probability from elsewhere.",
        )
        add_threshold(self)
        add_footprints(self)
        self.add_number(
            "MIN_HOLE",
            "Smallest hole (m²)",
            "Smaller holes in footprints are closed; empty: 10; 0 keeps all.",
            advanced=True,
        )
        self.add_more("--connectivity 4")
        add_load(self)
        self.add(
            QgsProcessingParameterFolderDestination("OUTPUT", "Folder of the footprints"),
            "A new one, or that of the run.",
        )
        self.addOutput(QgsProcessingOutputVectorLayer("FOOTPRINTS", "Footprints"))
        add_figures(self)

    def prepared(self, parameters, context, feedback) -> list:
        """The raster."""
        layer = self.parameterAsRasterLayer(parameters, "PROBABILITY", context)
        if layer is None or not layer.isValid():
            raise QgsProcessingException(self.invalidRasterError(parameters, "PROBABILITY"))
        return [raster_source(layer, feedback)]

    def work(self, parameters, context, feedback) -> dict:
        """The footprints; the layer is loaded afterwards."""
        folder = self.folder(parameters, "OUTPUT", context)
        words = ["footprints", *self.words, "--out", folder, *self.options(parameters, context)]
        words += separate_words(self, parameters, context)
        results = self.run_into(folder, words, feedback)
        return outputs_of(self, results, parameters, context, {"OUTPUT": folder})
