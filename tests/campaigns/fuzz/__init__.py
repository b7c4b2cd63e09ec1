"""Coverage-guided fuzzing of whatever reads bytes of unknown origin.

Each target of ``targets.py`` is a reader with the errors that may leave it. ``python -m
campaigns.fuzz TARGET --seconds 60`` lets atheris (libFuzzer) look for bytes after which another
error leaves it, code would have been run, a file was written, or time and memory have no bound.
``test_fuzz.py`` runs every target over its seeds, for which atheris is not needed.
"""
