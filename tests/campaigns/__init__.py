"""A seeded campaign of damaged and hostile inputs against the whole command line.

Each file of this package holds a family of inputs (damaged TIFFs, hostile metadata, odd names ...)
as a table ``KINDS``. A case is a pure function of verb, kind, seed and number: it makes a tiny
input in a folder of its own and says which command to type. The runner types it and checks the
promise of ``promise.py``.

    python -m campaigns --cases 5000 --seed 7                             the long one
    python -m campaigns --verb detect --kind tiff-ifds --seed 7 --case 3  one case, told in full
"""
