# SPDX-License-Identifier: GPL-2.0-or-later
"""Deliver reviewed layer: what a person accepted, as a layer and a page."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputFile,
    QgsProcessingOutputFolder,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterFile,
    QgsProcessingParameterVectorLayer,
)

from hanet_qgis.layers import vector_source

from .base import HanetAlgorithm
from .detect import add_figures, add_load, outputs_of

STATUSES = ("accepted", "rejected", "unsure", "unreviewed")
FORMATS = ("gpkg", "geojson", "fgb", "parquet", "shp", "kml", "csv")


class Deliver(HanetAlgorithm):
    """``hanet deliver``."""

    NAME = "deliver"
    TITLE = "Deliver reviewed layer"
    HELP = (
        "Writes the footprints that were accepted and drawn, as a layer, and a page about them: "
        "what they are, what was left out, and estimates from the sample if one was reviewed.\n\n"
        "Footprints are reviewed on the page of hanet review, or in QGIS in the columns status, "
        "kind and comment of the footprints layer: give that layer as the edited one."
    )

    OPTIONS: ClassVar[dict] = {"STATUS": "--status", "FORMAT": "--format"}

    def initAlgorithm(self, configuration=None) -> None:
        """Called by Processing."""
        self.add(
            QgsProcessingParameterFile(
                "RUN", "Folder of the run", QgsProcessingParameterFile.Folder
            ),
            "Of Detect changes, or of hanet detect, with --pairs too.",
        )
        self.add(
            QgsProcessingParameterVectorLayer(
                "EDITED",
                "Edited layer to take back first",
                [QgsProcessing.TypeVectorPolygon],
                None,
                True,
            ),
            "The footprints of the run, or a delivered layer, in which you changed outlines, "
            "status, kind or comment; rows are matched by their id. Save the edits first.",
        )
        self.add_choice(
            "STATUS",
            "What is delivered",
            "Footprints that were drawn are accepted; empty: accepted.",
            STATUSES,
            several=True,
        )
        self.add_choice(
            "FORMAT",
            "Formats",
            "The first is loaded; empty: gpkg. A Shapefile shortens names; KML holds longitudes "
            "and latitudes.",
            FORMATS,
            several=True,
        )
        self.add_text(
            "FOLDER",
            "Folder of the delivery",
            "Empty: the folder delivery in that of the run.",
            advanced=True,
        )
        self.add_more("--reviewer NAME")
        add_load(self)
        self.addOutput(QgsProcessingOutputVectorLayer("DELIVERED", "Reviewed layer"))
        self.addOutput(QgsProcessingOutputFolder("OUTPUT", "Folder of the delivery"))
        self.addOutput(QgsProcessingOutputFile("REPORT", "Page (HTML)"))
        add_figures(self)

    def prepared(self, parameters, context, feedback) -> list:
        """The edited layer."""
        layer = self.parameterAsVectorLayer(parameters, "EDITED", context)
        return [] if layer is None else ["--from", vector_source(layer)]

    def work(self, parameters, context, feedback) -> dict:
        """Takes back, then delivers."""
        run = self.parameterAsString(parameters, "RUN", context)
        folder = self.parameterAsString(parameters, "FOLDER", context).strip()
        folder = folder or str(Path(run) / "delivery")
        words = ["deliver", run, "--out", folder, *self.words, *self.options(parameters, context)]
        results = self.run_into(folder, words, feedback)
        return outputs_of(self, results, parameters, context, {"OUTPUT": folder})
