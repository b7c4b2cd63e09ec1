"""Pairs of images chosen from STAC catalogues and APIs.

How a single item is read as an image stands in :mod:`hanet.imagery.stac_item`; how a result becomes
an item in :mod:`hanet.detection.stac_items`.
"""
