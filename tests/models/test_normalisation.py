"""One normalisation in two forms that agree, each date by its own statistics."""

from __future__ import annotations

import numpy as np
import torch

from hanet.metadata import Metadata
from hanet.models.normalisation import FoldedNormalisation, Normalisation

METADATA = Metadata(
    "a",
    "hanet",
    scale=1023.0,
    mean_before=(0.1, 0.2, 0.3),
    std_before=(0.5, 0.25, 0.125),
    mean_after=(0.4, 0.5, 0.6),
    std_after=(0.2, 0.4, 0.8),
)


def _images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    before, after = (1023.0 * torch.rand(2, 3, 5, 7, generator=generator) for _ in range(2))
    return before, after


def test_each_date_is_scaled_and_normalised_by_its_own_statistics() -> None:
    before, after = _images()
    found = Normalisation(METADATA).of_raw(before, after)
    for image, normalised, mean, std in (
        (before, found[0], METADATA.mean_before, METADATA.std_before),
        (after, found[1], METADATA.mean_after, METADATA.std_after),
    ):
        for band in range(3):
            expected = (image[:, band].double().numpy() / 1023.0 - mean[band]) / std[band]
            np.testing.assert_allclose(normalised[:, band].numpy(), expected, atol=1e-5)
        assert normalised.is_contiguous(memory_format=torch.channels_last)


def test_the_form_of_graphs_is_the_same_function() -> None:
    images = _images()
    divided, folded = (
        Normalisation(METADATA).of_raw(*images),
        FoldedNormalisation(METADATA)(*images),
    )
    for one, other in zip(divided, folded, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_the_statistics_of_training_are_not_part_of_a_checkpoint() -> None:
    assert Normalisation(METADATA).state_dict() == {}


def test_whole_numbers_are_divided_as_they_are() -> None:
    image = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    scaled = Normalisation(Metadata("a", "hanet")).scaled(image)
    assert scaled.dtype == torch.float32
    assert torch.equal(scaled, torch.ones(1, 3, 1, 1))
