# SPDX-License-Identifier: GPL-2.0-or-later
"""Detect changes: two images in; probability, mask and footprints out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar

from qgis.core import (
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingOutputRasterLayer,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFolderDestination,
)

from hanet_qgis.layers import load, write_area

from .base import HanetAlgorithm, figure, files_of, names_in
from .check_pair import BANDS_HELP, GRID_HELP, GRIDS, WEIGHTS_HELP, add_pair, pair_of

OUTLINES = ("square", "simple", "pixels")


class Detect(HanetAlgorithm):
    """``hanet detect``."""

    NAME = "detect"
    TITLE = "Detect changes"
    HELP = (
        "Finds the buildings that changed between two very-high-resolution images of one place. "
        "Gives footprints, probability and mask as layers, and in the folder a report for the "
        "browser and a project for QGIS.\n\n"
        "Run Check pair first: it says what may hurt the result. What is stopped leaves nothing "
        "behind. The command must be installed: Check installation says how."
    )
    OPTIONS: ClassVar[dict] = {
        "WEIGHTS": "--weights",
        "THRESHOLD": "--threshold",
        "RESOLUTION": "--gsd",
        "GRID": "--grid",
        "MIN_AREA": "--min-area-m2",
        "OUTLINE": "--outline",
        "BEFORE_DATE": "--before-date",
        "AFTER_DATE": "--after-date",
        "BANDS": "--bands",
        "SCALING": "--scaling",
        "SCOUT": "--scout",
    }

    def initAlgorithm(self, configuration=None) -> None:
        """Called by Processing."""
        add_pair(self)
        self.add_text("WEIGHTS", "Weights", WEIGHTS_HELP)
        add_threshold(self)
        self.add(
            QgsProcessingParameterFeatureSource(
                "AREA", "Area of interest: layer", [QgsProcessing.TypeVectorPolygon], None, True
            ),
            "Polygons; only within them is anything detected. With 'Selected features only', only "
            "within those.",
        )
        self.add(
            QgsProcessingParameterExtent("EXTENT", "Area of interest: extent", None, True),
            "A rectangle in place of a layer.",
        )
        self.add_text(
            "RESOLUTION",
            "Resolution to work at",
            "Metres a pixel, or native; empty: the pair's own, or that of the weights where the "
            "two differ by more than a quarter.",
            advanced=True,
        )
        self.add_choice("GRID", "Grid of the result", GRID_HELP, GRIDS, advanced=True)
        add_footprints(self)
        self.add_flag(
            "COREGISTER",
            "Correct a shift between the dates",
            "Shifts the after image if a common shift is measured with confidence.",
            advanced=True,
        )
        self.add_flag(
            "MATCH",
            "Match the brightness of the dates",
            "Matches the histogram of the after image to that of the before image; only where "
            "Check pair advises it.",
            advanced=True,
        )
        self.add_flag(
            "FLIPS", "Average over flips", "Better results for four times the work.", advanced=True
        )
        self.add_text(
            "SCOUT",
            "Scout weights",
            "Fast weights that look at every tile first; only where they find something do the "
            "weights look.",
            advanced=True,
        )
        self.add_text("BANDS", "Bands for red, green, blue", BANDS_HELP, advanced=True)
        self.add_text(
            "SCALING",
            "Values that become 0 and 255",
            "LOW,HIGH of 16-bit or floating-point images, for example 0,3000; empty: from the "
            "image's own values.",
            advanced=True,
        )
        self.add_more("--threads 4")
        add_load(self)
        self.add(
            QgsProcessingParameterFolderDestination("OUTPUT", "Folder of the result"),
            "New or empty. hanet review and Deliver reviewed layer take it.",
        )
        self.addOutput(QgsProcessingOutputVectorLayer("FOOTPRINTS", "Footprints"))
        self.addOutput(QgsProcessingOutputRasterLayer("PROBABILITY", "Probability"))
        self.addOutput(QgsProcessingOutputRasterLayer("MASK", "Mask"))
        self.addOutput(QgsProcessingOutputRasterLayer("BUILT", "Built or demolished"))
        self.addOutput(QgsProcessingOutputFile("REPORT", "Report (HTML)"))
        add_figures(self)

    def checkParameterValues(self, parameters, context):
        """Called by Processing before it runs."""
        if parameters.get("AREA") and parameters.get("EXTENT"):
            return False, "Give the area of interest as a layer or as an extent, not both."
        return super().checkParameterValues(parameters, context)

    def prepared(self, parameters, context, feedback) -> list:
        """Both images."""
        self.source = self.parameterAsSource(parameters, "AREA", context)
        return pair_of(self, parameters, context, feedback)

    def work(self, parameters, context, feedback) -> dict:
        """Detects; the layers are loaded afterwards."""
        folder = self.folder(parameters, "OUTPUT", context)
        if names_in(folder):
            raise QgsProcessingException(
                f"{folder} is not empty.\nHint: choose a new folder. To make footprints again with "
                "another threshold, use Footprints from probability."
            )
        words = ["detect", *self.words, "--out", folder, *self.options(parameters, context)]
        words += separate_words(self, parameters, context)
        for name, option in (
            ("COREGISTER", ["--coregister", "shift"]),
            ("MATCH", ["--match-radiometry"]),
            ("FLIPS", ["--flips"]),
        ):
            words += option if self.parameterAsBool(parameters, name, context) else []
        with tempfile.TemporaryDirectory(prefix="hanet-") as temporary:
            words += self.area(f"{temporary}/area.gpkg", parameters, context)
            results = self.run_into(folder, words, feedback)
        return outputs_of(self, results, parameters, context, {"OUTPUT": folder})

    def area(self, path: str, parameters, context) -> list:
        """The area of interest as an option; it is written as a file, so that selections, filters,
        edits and the CRS that QGIS gives a layer count."""
        if self.source is not None:
            shapes = (feature.geometry() for feature in self.source.getFeatures())
            return ["--aoi", write_area(path, shapes, self.source.sourceCrs(), context)]
        if parameters.get("EXTENT"):
            crs = self.parameterAsExtentCrs(parameters, "EXTENT", context)
            shape = self.parameterAsExtentGeometry(parameters, "EXTENT", context, crs)
            return ["--aoi", write_area(path, [shape], crs, context)]
        return []


def add_threshold(algorithm: HanetAlgorithm) -> None:
    """The threshold."""
    algorithm.add_number(
        "THRESHOLD",
        "Threshold",
        "A pixel with at least this probability is change: lower finds more and is wrong more "
        "often. Empty: that of the weights, or of the run.",
        most=1.0,
    )


def add_footprints(algorithm: HanetAlgorithm) -> None:
    """How footprints are made."""
    algorithm.add_number(
        "MIN_AREA",
        "Smallest footprint (m²)",
        "Smaller ones are left out; empty: 10. In square pixels without a CRS.",
    )
    algorithm.add_choice(
        "OUTLINE",
        "Outline",
        "square (right angles where the building has them), simple (fewer corners) or pixels "
        "(their edges); empty: square.",
        OUTLINES,
        advanced=True,
    )
    algorithm.add_flag(
        "SEPARATE",
        "Separate touching buildings",
        "Makes footprints of their own of touching buildings that each have a core of high "
        "probability.",
        default=True,
        advanced=True,
    )
    for name, title in (
        ("BEFORE_DATE", "Date of the before image"),
        ("AFTER_DATE", "Date of the after image"),
    ):
        algorithm.add_text(
            name,
            title,
            "For the attributes: YYYY-MM-DD, YYYY-MM or YYYY; empty: what the file states.",
            advanced=True,
        )


def separate_words(algorithm: HanetAlgorithm, parameters, context) -> list:
    """The option of the box in :func:`add_footprints`."""
    separate = algorithm.parameterAsBool(parameters, "SEPARATE", context)
    return [] if separate else ["--no-separate"]


def add_load(algorithm: HanetAlgorithm) -> None:
    """Whether layers are loaded."""
    algorithm.add_flag(
        "LOAD",
        "Load the layers into the project",
        "With the styles that hanet wrote beside them.",
        default=True,
    )


def add_figures(algorithm: HanetAlgorithm) -> None:
    """What a model or a script may want to know."""
    algorithm.addOutput(QgsProcessingOutputNumber("COUNT", "Number of footprints"))
    algorithm.addOutput(QgsProcessingOutputNumber("AREA_OF_CHANGE", "Their area (m², or px²)"))


def outputs_of(algorithm: HanetAlgorithm, results, parameters, context, outputs) -> dict:
    """The outputs of results, whose layers are loaded if the user wants them."""
    name = Path(outputs["OUTPUT"]).name
    layers = (
        ("FOOTPRINTS", "footprints", f"Changed buildings ({name})"),
        ("PROBABILITY", "probability", f"Probability of change ({name})"),
        ("BUILT", "built", f"Built or demolished ({name})"),
        ("MASK", "mask", f"Change mask ({name})"),
        ("DELIVERED", "reviewed", f"Reviewed ({name})"),
    )
    found, wanted = dict(outputs), []
    for output, kind, title in layers:
        paths = files_of(results, kind)
        if paths and algorithm.outputDefinition(output) is not None:
            found[output] = paths[0]
            wanted.append((paths[0], title, output))
    if algorithm.parameterAsBool(parameters, "LOAD", context):
        load(wanted, context)
    for path in files_of(results, "report"):
        found["REPORT"] = path
    found["COUNT"] = figure(results, "footprints")
    found["AREA_OF_CHANGE"] = figure(results, "area")
    return found
