"""What every change-detection network of the package has in common: the checks on its input, and
the padding."""

from __future__ import annotations

import operator
from typing import ClassVar, Literal, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from hanet.errors import SettingsError, ShapeError

Part: TypeAlias = Literal["head", "top-down", "all"]
"""How much of a network learns: its head; the head and the path from coarse to fine before it;
everything. Each holds the one before."""


class ChangeModel(nn.Module):
    """Base of all networks: checks two dates, pads them to the stride, crops the logits back.

    A subclass writes :meth:`logits_of_padded`; it never sees a size that ``divisor`` does not
    divide.

    Args:
        bands: Bands of each image.
    """

    divisor: ClassVar[int]
    """Height and width are padded to a multiple of this, by reflection, at the bottom and on the
    right."""
    min_size_px: ClassVar[int]
    """Smallest height and width that the network takes."""
    gmac_per_megapixel: float
    """Thousand million multiply-adds for a megapixel of both dates, in tiles of 256 pixels, in the
    form that is run (:func:`hanet.models.fusion.fuse`), at the default width. Attention along whole
    rows and columns makes it more in larger tiles: 5 % for ``hanet_lite`` at 512."""
    paper: ClassVar[str]
    """Reference of the architecture."""
    name: ClassVar[str]
    """Key in ``hanet.models.MODELS``."""
    head_modules: ClassVar[tuple[str, ...]]
    """Dotted names of the modules that turn the finest features into logits; one that a network was
    made without is None."""
    top_down_modules: ClassVar[tuple[str, ...]]
    """The same for the modules between the change features of the scales and the head."""

    def __init__(self, *, bands: int = 3) -> None:
        super().__init__()
        if bands < 1:
            raise SettingsError(f"bands is {bands}; a network needs at least one")
        self.bands = bands

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 2, H, W)
        """Logits of "unchanged" (channel 0) and "changed" (channel 1) for each pixel.

        Args:
            before: Normalised image of the first date, float, (B, C, H, W).
            after: The same place at the second date, same shape.

        Returns:
            Logits (B, 2, H, W) at the size of the input.

        Raises:
            ShapeError: The two differ in shape, the bands do not fit, or the image is smaller than
                ``min_size_px``.
        """
        self._check(before, after)
        height, width = before.shape[-2:]
        before, after = (pad_to_multiple(image, self.divisor) for image in (before, after))
        return self.logits_of_padded(before, after)[..., :height, :width]

    def logits_of_padded(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 2, H, W)
        """Logits of images whose height and width ``divisor`` divides."""
        raise NotImplementedError

    @property
    def tells_direction(self) -> bool:
        """Whether the network tells built from demolished (:meth:`built_logit`)."""
        return False

    def built_logit(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 1, H, W)
        """Logit of "built" for each pixel: where something has changed, its sigmoid is the
        probability that a building stands there at the second date, and not that one stood there at
        the first. Exchanging the dates gives its negative.

        Args:
            before: As for :meth:`forward`.
            after: As for :meth:`forward`.

        Raises:
            SettingsError: The network does not tell (:attr:`tells_direction`).
            ShapeError: As for :meth:`forward`.
        """
        self._check(before, after)
        height, width = before.shape[-2:]
        before, after = (pad_to_multiple(image, self.divisor) for image in (before, after))
        return self.built_logit_of_padded(before, after)[..., :height, :width]

    def logits_and_built_of_padded(
        self,
        before: Tensor,  # noqa: ARG002 - for subclasses
        after: Tensor,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:  # (B, C, H, W) twice -> (B, 2, H, W), (B, 1, H, W)
        """Logits of change and the logit of "built" for images whose height and width ``divisor``
        divides.

        Raises:
            SettingsError: The network does not tell (:attr:`tells_direction`).
        """
        raise SettingsError(f"{self.name} does not tell built from demolished")

    def built_logit_of_padded(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 1, H, W)
        """The second of :meth:`logits_and_built_of_padded` alone."""
        return self.logits_and_built_of_padded(before, after)[1]

    def modules_of(self, part: Part) -> list[nn.Module]:
        """The modules that learn where only a part of the network does; what they hold learns too.

        Args:
            part: ``"head"``, ``"top-down"`` (with the head) or ``"all"`` (the network itself).
        """
        if part == "all":
            return [self]
        names = self.head_modules + (self.top_down_modules if part == "top-down" else ())
        found = (operator.attrgetter(name)(self) for name in names)
        return [module for module in found if module is not None]

    def _check(self, before: Tensor, after: Tensor) -> None:
        if before.ndim != 4 or before.shape != after.shape:
            raise ShapeError(
                f"before {tuple(before.shape)} and after {tuple(after.shape)} must be two "
                "tensors (B, C, H, W) of one shape"
            )
        if before.shape[1] != self.bands:
            raise ShapeError(
                f"the images have {before.shape[1]} bands, this network takes {self.bands}"
            )
        if min(before.shape[-2:]) < self.min_size_px:
            height, width = (max(size, self.min_size_px) for size in before.shape[-2:])
            raise ShapeError(
                f"the images are {before.shape[-2]}x{before.shape[-1]} pixels, {self.name} needs "
                f"at least {self.min_size_px}",
                hint=f"pad them to {height}x{width}",
            )


def pad_to_multiple(image: Tensor, divisor: int) -> Tensor:  # (B, C, H, W) -> (B, C, H', W')
    """The image with rows and columns reflected at the bottom and on the right up to the next
    multiple of ``divisor``."""
    height, width = image.shape[-2:]
    rows, columns = -height % divisor, -width % divisor
    if rows == 0 and columns == 0:
        return image
    return F.pad(image, (0, columns, 0, rows), mode="reflect")
