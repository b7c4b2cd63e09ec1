"""What the suites of the adaptation share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hanet.adaptation import replay


@pytest.fixture(scope="session", autouse=True)
def _few_rendered_pairs() -> Iterator[None]:
    """Checks at home on two rendered pairs instead of 24: rendering takes a fifth of a second
    each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "HOME_TILES", 2)
        yield
