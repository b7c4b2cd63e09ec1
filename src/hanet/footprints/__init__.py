"""From probability to polygons: connected components, touching buildings taken apart, outlines
squared, attributes measured.

:mod:`hanet.footprints.extraction` reads a probability raster strip by strip and writes the
footprints; each step of it has a file.
"""
