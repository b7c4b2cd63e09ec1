"""What all tests share: where the real imagery lies, and one thread for torch so that two test processes do not fight."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real imagery beside the repository; skips where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real imagery (../shared/data) is not here")
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def _one_thread_for_torch() -> None:
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)
