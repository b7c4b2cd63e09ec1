"""The one normalisation of images: each date by its own mean and standard deviation, after the
division by the scale of the weights.

It is written in two forms. Training divides first, since augmentation works on images in 0-1.
:class:`FoldedNormalisation` does the same on raw values by one product and one sum for each band,
as graphs are exported; the two differ by rounding only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hanet.metadata import Metadata


class Normalisation(nn.Module):
    """Images in 0-1 normalised for a network; its statistics are not part of a state dict.

    Args:
        metadata: Scale and per-date statistics.
    """

    mean_before: Tensor
    std_before: Tensor
    mean_after: Tensor
    std_after: Tensor

    def __init__(self, metadata: Metadata) -> None:
        super().__init__()
        self.scale = metadata.scale
        for date in ("before", "after"):
            for kind in ("mean", "std"):
                values = torch.tensor(getattr(metadata, f"{kind}_{date}")).view(1, -1, 1, 1)
                self.register_buffer(f"{kind}_{date}", values, persistent=False)

    def forward(
        self, before: Tensor, after: Tensor
    ) -> tuple[Tensor, Tensor]:  # (B, C, H, W) twice, 0-1 -> the same, normalised
        """Both dates by their own statistics."""
        return (
            (before - self.mean_before) / self.std_before,
            (after - self.mean_after) / self.std_after,
        )

    def of_raw(
        self, before: Tensor, after: Tensor
    ) -> tuple[Tensor, ...]:  # (B, C, H, W) twice, 0 to the scale -> the same, normalised
        """Both dates scaled and normalised, channels last."""
        return channels_last(*self(self.scaled(before), self.scaled(after)))

    def scaled(self, image: Tensor) -> Tensor:
        """An image in 0 to the scale of the weights, as float32 in 0-1."""
        return image.float() / self.scale


class FoldedNormalisation(nn.Module):
    """Raw images normalised by a gain and an offset for each band.

    Args:
        metadata: Scale and per-date statistics.
    """

    gain_before: Tensor
    offset_before: Tensor
    gain_after: Tensor
    offset_after: Tensor

    def __init__(self, metadata: Metadata) -> None:
        super().__init__()
        for date in ("before", "after"):
            mean, std = (
                torch.tensor(getattr(metadata, f"{kind}_{date}")) for kind in ("mean", "std")
            )
            self.register_buffer(f"gain_{date}", (1.0 / (std * metadata.scale)).view(1, -1, 1, 1))
            self.register_buffer(f"offset_{date}", (-mean / std).view(1, -1, 1, 1))

    def forward(
        self, before: Tensor, after: Tensor
    ) -> tuple[Tensor, Tensor]:  # (B, C, H, W) twice, raw -> the same, normalised
        """Both dates by their own statistics."""
        return (
            before * self.gain_before + self.offset_before,
            after * self.gain_after + self.offset_after,
        )


def channels_last(*images: Tensor) -> tuple[Tensor, ...]:
    """The images in the memory layout that the networks run fastest in."""
    return tuple(image.contiguous(memory_format=torch.channels_last) for image in images)
