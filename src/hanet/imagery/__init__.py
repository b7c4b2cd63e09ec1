"""Pixels and shapes from and to files: two dates on one grid, and what ``hanet check`` reports.

The way in is :func:`hanet.open_pair` (:mod:`hanet.imagery.pair`): it opens both dates, chooses the
common grid, and reads any window of both as numbers in 0-255 with a mask of validity.
:mod:`hanet.imagery.preflight` examines a pair before the work.
"""
