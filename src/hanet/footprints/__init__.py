"""From probability to polygons: components, touching buildings, outlines, attributes.

:mod:`hanet.footprints.extraction` reads a probability raster strip by strip and writes the
footprints; each step of it has a file. File formats: :mod:`hanet.imagery.vector_formats`.
"""
