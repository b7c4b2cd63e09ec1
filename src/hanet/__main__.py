"""``python -m hanet`` is the command ``hanet``; torchrun and a run of several processes start it
so."""

from __future__ import annotations

from hanet.cli import main

if __name__ == "__main__":
    main()
