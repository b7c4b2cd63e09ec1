"""Where things lie in this checkout and beside it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The top of the checkout."""

SHARED_DATA = ROOT.parent / "shared" / "data"
"""Real imagery beside the checkout; not part of the repository, and not everywhere."""

PLAIN_HANET = ROOT / "tests" / "support" / "plain_hanet.py"
"""The plain network that parity tests and ratios compare with."""
