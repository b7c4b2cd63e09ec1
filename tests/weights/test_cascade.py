"""The cascade: the stronger network sees a tile exactly where the scout saw something."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hanet.errors import SettingsError
from hanet.metadata import Metadata
from hanet.types import FloatArray
from hanet.weights.cascade import Cascade, CascadeCounts, enlarged, reduced

METADATA = Metadata(name="local", model="local", divisor=4)


class Local:
    """Probability is the difference of the first band over 255, plus what it is told to add;
    remembers the shapes it saw."""

    def __init__(self, metadata: Metadata = METADATA, *, added: float = 0.0) -> None:
        self.metadata, self.added = metadata, added
        self.shapes: list[tuple[int, ...]] = []

    def predict(self, before: FloatArray, after: FloatArray) -> FloatArray:
        self.shapes.append(before.shape)
        return (np.abs(after - before)[:, 0] / 255.0 + self.added).astype(np.float32)


def pair(height: int = 16, width: int = 16) -> tuple[FloatArray, FloatArray]:
    """Three tiles; only the second changes, by 51 of 255 in one square of 2x2 pixels."""
    before = np.full((3, 3, height, width), 100.0, dtype=np.float32)
    after = before.copy()
    after[1, :, 4:6, 8:10] += 51.0
    return before, after


def test_only_suspicious_tiles_reach_the_stronger_network() -> None:
    scout, strong = Local(), Local(added=0.5)
    cascade = Cascade(scout, strong, reduction=2, threshold=0.15)
    probability = cascade.predict(*pair())
    assert scout.shapes == [(3, 3, 8, 8)]
    assert strong.shapes == [(1, 3, 16, 16)]
    np.testing.assert_array_equal(probability[0], 0.0)
    np.testing.assert_array_equal(probability[2], 0.0)
    np.testing.assert_array_equal(probability[1], strong.predict(*pair())[1])
    assert (cascade.counts.scouted, cascade.counts.looked_at) == (3, 1)
    assert cascade.counts.share_looked_at == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("scout", "strong", "work"), [(27.0, 27.0, 0.25), (228.0, 27.0, 2.11), (None, 27.0, None)]
)
def test_it_knows_what_the_scout_costs(
    scout: float | None, strong: float, work: float | None
) -> None:
    """The slow network before the fast one cost twice the work that it was to save."""
    metadata = [
        replace(METADATA, gmac_per_megapixel=each, smallest_px=4) for each in (scout, strong)
    ]
    assert Cascade(*map(Local, metadata)).scout_work == pytest.approx(work, abs=0.01)


def test_the_scout_never_sees_less_than_its_network_takes() -> None:
    """At half its resolution a tile of 32 pixels was 16, which hanet_lite does not take."""
    scout = Local(replace(METADATA, model="hanet_lite", divisor=16))
    assert Cascade(scout, Local(), reduction=2, threshold=0.15).predict(*pair(32, 80)).shape == (
        3,
        32,
        80,
    )
    assert scout.shapes == [(3, 3, 32, 48)]


def test_what_nobody_suspects_keeps_the_scouts_probability() -> None:
    strong = Local(added=0.5)
    probability = Cascade(Local(), strong, reduction=2, threshold=0.25).predict(*pair())
    assert strong.shapes == []
    expected = np.zeros((16, 16), dtype=np.float32)
    expected[4:6, 8:10] = 0.2
    np.testing.assert_allclose(probability[1], expected, atol=1e-7)


def test_at_threshold_0_the_stronger_network_decides_alone() -> None:
    strong = Local(added=0.25)
    probability = Cascade(Local(), strong, threshold=0.0).predict(*pair())
    np.testing.assert_array_equal(probability, Local(added=0.25).predict(*pair()))


def test_a_tile_in_which_the_scout_fails_reaches_the_stronger_network() -> None:
    before, after = pair()
    after[2, 0, 3, 3] = np.nan
    scout, strong = Local(), Local(added=0.5)
    Cascade(scout, strong, reduction=2, threshold=0.25).predict(before, after)
    assert strong.shapes == [(1, 3, 16, 16)]


def test_taken_counts_begin_again() -> None:
    cascade = Cascade(Local(), Local(), reduction=2, threshold=0.15)
    cascade.predict(*pair())
    assert cascade.take_counts() == CascadeCounts(scouted=3, looked_at=1)
    assert cascade.take_counts() == CascadeCounts()
    cascade.predict(*pair())
    assert cascade.take_counts() == CascadeCounts(scouted=3, looked_at=1)


def test_sizes_that_the_scout_cannot_halve_are_padded() -> None:
    scout = Local()
    probability = Cascade(scout, Local(), reduction=2, threshold=1.0).predict(*pair(20, 12))
    assert scout.shapes == [(3, 3, 12, 8)]
    assert probability.shape == (3, 20, 12)


def test_reducing_takes_means_and_enlarging_repeats() -> None:
    image = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(reduced(image, 2)[0, 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(
        enlarged(np.array([[[1.0, 2.0]]], dtype=np.float32), 2)[0], [[1, 1, 2, 2]] * 2
    )
    assert reduced(image, 1) is image


def test_a_scout_of_other_images_is_refused() -> None:
    infrared = Local(replace(METADATA, bands=("nir", "red", "green")))
    with pytest.raises(SettingsError, match="the scout takes the bands nir, red, green"):
        Cascade(infrared, Local())


def test_a_scout_may_have_another_scale() -> None:
    """Both take values in 0-255, whatever their own scale is."""
    reflectance = Local(replace(METADATA, scale=1.0))
    assert Cascade(reflectance, Local(), threshold=0.0).predict(*pair()).shape == (3, 16, 16)


@pytest.mark.parametrize("wrong", [{"reduction": 0}, {"threshold": 1.5}, {"threshold": -0.1}])
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        Cascade(Local(), Local(), **wrong)  # type: ignore[arg-type]
