"""A layer of a QGIS project, as XML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from hanet.imagery.radiometry import Scaling
from hanet.imagery.raster_source import RasterSource

_NOT_XML = re.compile("[^ -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold, and the line breaks that it does not keep."""

EIGHT_BIT = (0.0, 255.0)
"""What QGIS shows of 8-bit values without a stretch."""


@dataclass(frozen=True, slots=True)
class MapLayer:
    """A layer and its place in the project.

    Args:
        name: What it is; one of a kind in the project.
        title: What the user sees.
        source: Where its data lie, as QGIS spells it.
        crs: Of its coordinates, as WKT; None for pixel coordinates.
        content: ``maplayer`` with type, style and form.
        key: Tells its project from others.
        is_shown: Whether it is switched on at first.
        is_image: Whether it is one of the inputs.
    """

    name: str
    title: str
    source: str
    crs: str | None
    content: Element
    key: str
    is_shown: bool = True
    is_image: bool = False

    @property
    def id(self) -> str:
        """Tells it from the layers of all projects."""
        return f"{self.name}_{self.key}"

    @property
    def provider(self) -> str:
        """QGIS's name for what reads it."""
        return "ogr" if self.content.get("type") == "vector" else "gdal"

    def element(self) -> Element:
        """``maplayer`` for the list of layers."""
        layer = deepcopy(self.content)
        child(layer, "id", self.id)
        child(layer, "datasource", self.source)
        child(layer, "layername", plain_text(self.title))
        add_crs(SubElement(layer, "srs"), self.crs)
        provider = child(layer, "provider", self.provider)
        if self.provider == "ogr":
            provider.set("encoding", "UTF-8")
        return layer

    def add_to_tree(self, group: Element) -> None:
        """Adds it to a group of the legend."""
        SubElement(
            group,
            "layer-tree-layer",
            {
                "id": self.id,
                "name": plain_text(self.title),
                "source": self.source,
                "providerKey": self.provider,
                "checked": "Qt::Checked" if self.is_shown else "Qt::Unchecked",
                "expanded": "0" if self.is_image else "1",
            },
        )


def image_layer(source: RasterSource, bands: Sequence[int], scaling: Scaling) -> Element:
    """``maplayer`` of an image in the bands and with the stretch that the network saw it by.

    Args:
        source: The raster.
        bands: Numbers from 1; the first three as red, green and blue, fewer than three as grey.
        scaling: Stored values of each band that become 0 and 255.
    """
    tags = source.linear_tags(tuple(bands))
    scales, offsets = tags if tags is not None else ((1.0,) * len(bands), (0.0,) * len(bands))
    # QGIS stretches measured values, as scale and offset of the file make them of stored ones
    ranges = [
        (low * scale + offset, high * scale + offset)
        for low, high, scale, offset in zip(scaling.low, scaling.high, scales, offsets, strict=True)
    ]
    alpha = str(source.alpha_band or -1)
    layer = Element("maplayer", type="raster")
    pipe = SubElement(layer, "pipe")
    if len(bands) < 3:
        renderer = SubElement(
            pipe,
            "rasterrenderer",
            {"type": "singlebandgray", "grayBand": str(bands[0]), "gradient": "BlackToWhite"},
        )
        _stretch(renderer, "contrastEnhancement", ranges[0])
    else:
        colours = ("red", "green", "blue")
        numbers = {f"{name}Band": str(band) for name, band in zip(colours, bands, strict=False)}
        renderer = SubElement(pipe, "rasterrenderer", {"type": "multibandcolor", **numbers})
        for name, reach in zip(colours, ranges, strict=False):
            _stretch(renderer, f"{name}ContrastEnhancement", reach)
    renderer.attrib |= {"opacity": "1", "alphaBand": alpha}
    # else QGIS would find a stretch of its own for what is in view
    child(SubElement(renderer, "minMaxOrigin"), "limits", "None")
    return layer


def _stretch(renderer: Element, name: str, reach: tuple[float, float]) -> None:
    enhancement = SubElement(renderer, name)
    child(enhancement, "minValue", repr(reach[0]))
    child(enhancement, "maxValue", repr(reach[1]))
    rule = "NoEnhancement" if reach == EIGHT_BIT else "StretchToMinimumMaximum"
    child(enhancement, "algorithm", rule)


def add_crs(parent: Element, crs: str | None) -> None:
    """Adds a CRS, as WKT, in which QGIS recognises those that it has a code for; None says that
    there is none."""
    system = SubElement(parent, "spatialrefsys")
    if crs is not None:
        child(system, "wkt", crs)


def child(parent: Element, name: str, text: str) -> Element:
    """Adds an element with a text."""
    element = SubElement(parent, name)
    element.text = text
    return element


def plain_text(text: str) -> str:
    """The text with a question mark for every character that XML cannot hold."""
    return _NOT_XML.sub("?", text)
