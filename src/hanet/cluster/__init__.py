"""Detections shared out to many machines by Dask.

Its tasks are shards of a plan (:mod:`hanet.detection.shard`), never arrays: only names and numbers
travel, images are read and results are written by each machine itself.

:mod:`hanet.cluster.tasks` is what runs on a worker, :mod:`hanet.cluster.workers` hands tasks to the
workers of a scheduler (the only file that imports Dask), :mod:`hanet.cluster.detection` knows which
task comes when.
"""
