# SPDX-License-Identifier: GPL-2.0-or-later
"""Layers of QGIS as the command takes them, and what the command writes as layers of QGIS."""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsFeature,
    QgsFields,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)

AREA_LAYER = "area"
"""Name of the layer in the file of an area of interest."""


def raster_source(layer: QgsRasterLayer, feedback) -> str:
    """The name by which the command opens the raster of a layer: a path, or what GDAL takes in its
    place (``/vsicurl/...``, ``NETCDF:...``).

    Raises:
        QgsProcessingException: The layer is not read through GDAL.
    """
    provider = layer.dataProvider()
    if provider.name() != "gdal":
        raise QgsProcessingException(
            f"The layer '{layer.name()}' is no file: QGIS draws it from a service or a database "
            f"({provider.name()}), and hanet opens files itself.\n"
            "Hint: save it first: right-click the layer > Export > Save As, format GeoTIFF, output "
            "mode 'Raw data'; then choose the new layer."
        )
    source, *options = layer.source().split("|")
    if options:
        feedback.pushWarning(
            f"The layer '{layer.name()}' is opened in QGIS with {', '.join(options)}; hanet opens "
            f"{source} without that."
        )
    if not Path(source).exists():
        feedback.pushInfo(
            f"The layer '{layer.name()}' is no plain file: hanet opens {source} through its own "
            "GDAL, without the logins and proxies of QGIS."
        )
    if layer.crs() != provider.crs():
        feedback.pushWarning(
            f"QGIS was told that the layer '{layer.name()}' is in {_named(layer.crs())}, but the "
            f"file says {_named(provider.crs())}; hanet believes the file.\nHint: write it into "
            "the file with Raster > Projections > Assign projection."
        )
    return source


def vector_source(layer: QgsVectorLayer) -> str:
    """The file of a vector layer, with the layer in it, as ``hanet deliver --from`` takes it.

    Raises:
        QgsProcessingException: It is no file, or not saved.
    """
    if layer.isEditable() and layer.isModified():
        raise QgsProcessingException(
            f"The layer '{layer.name()}' has edits that are not saved.\n"
            "Hint: save them (Layer > Save Layer Edits), and stop editing."
        )
    path, *parts = layer.source().split("|")
    if layer.providerType() != "ogr" or not Path(path).is_file():
        raise QgsProcessingException(
            f"The layer '{layer.name()}' is no file ({layer.providerType()}).\n"
            "Hint: choose the layer that was delivered, as it was edited; or save this one as a "
            "GeoPackage with its column id."
        )
    names = [part for part in parts if part.startswith("layername=")]
    return "|".join([path, *names])


def write_area(path: str, geometries, crs, context: QgsProcessingContext) -> str:
    """Writes polygons as a file that ``--aoi`` takes: GeoPackage in their own CRS; gives the path
    with its layer.

    Raises:
        QgsProcessingException: There is no polygon, or the file cannot be written.
    """
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName, options.layerName = "GPKG", AREA_LAYER
    writer = QgsVectorFileWriter.create(
        path, QgsFields(), QgsWkbTypes.MultiPolygon, crs, context.transformContext(), options
    )
    if writer.hasError() != QgsVectorFileWriter.WriterError.NoError:
        raise QgsProcessingException(f"{path} cannot be written: {writer.errorMessage()}")
    count = 0
    for geometry in geometries:
        if geometry.isEmpty():
            continue
        geometry.convertToMultiType()
        feature = QgsFeature()
        feature.setGeometry(geometry)
        writer.addFeature(feature)
        count += 1
    del writer  # it writes when it goes
    if not count:
        raise QgsProcessingException(
            "The area of interest holds no polygon.\nHint: select one, or leave it empty."
        )
    return f"{path}|layername={AREA_LAYER}"


class Placed(QgsProcessingLayerPostProcessorInterface):
    """What happens to a layer once QGIS has loaded it: the style beside its file, and its place.

    Args:
        rank: Its place among the layers of its run: those of lower rank lie above it.
        loaded: The layers of its run that were loaded, by rank; it enters itself.
    """

    def __init__(self, rank: int, loaded: dict) -> None:
        super().__init__()
        self._rank, self._loaded = rank, loaded

    def postProcessLayer(self, layer: QgsMapLayer, context, feedback) -> None:
        """Called by Processing, which loads layers in the order of their names, each on top."""
        style = style_of(layer.source().split("|")[0])
        if style is not None:
            layer.loadNamedStyle(style)
            layer.triggerRepaint()
        if context.project() is None:
            return
        self._loaded[self._rank] = layer.id()
        root = context.project().layerTreeRoot()
        for rank in sorted(self._loaded, reverse=True):
            node = root.findLayer(self._loaded[rank])
            if node is not None:
                node.setItemVisibilityChecked(rank == 0)
                parent = node.parent()
                parent.insertChildNode(0, node.clone())
                parent.removeChildNode(node)


KEPT: list = []
"""What Processing calls later: it holds no reference that Python counts, and deletes each itself,
so that each layer needs its own."""


def load(layers, context) -> None:
    """Has Processing load layers when the algorithm has ended; of them the first is shown.

    Args:
        layers: Path of the file, name of the layer, and name of the algorithm's output that it is;
            the topmost first.
        context: Of the algorithm.
    """
    loaded: dict = {}
    for rank, (path, name, output) in enumerate(layers):
        details = QgsProcessingContext.LayerDetails(name, context.project(), output)
        KEPT.append(Placed(rank, loaded))
        details.setPostProcessor(KEPT[-1])
        context.addLayerToLoadOnCompletion(path, details)


def style_of(path: str):
    """The style that the command wrote beside a layer; None where there is none."""
    style = Path(path).with_suffix(".qml")
    return str(style) if style.is_file() else None


def _named(crs) -> str:
    return (crs.authid() or crs.description() or "a CRS of its own") if crs.isValid() else "no CRS"
