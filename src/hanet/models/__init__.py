"""The networks by name, and the contract they share.

``forward(before, after) -> logits``: two float tensors (B, C, H, W), normalised by the weights' own
statistics, give logits (B, 2, H, W); class 0 is unchanged, class 1 is changed. Every class states
``divisor`` (the stride that it pads its input to), ``min_size_px`` (the smallest height and width
it takes) and ``paper`` (what to cite).
"""

from __future__ import annotations

import inspect
from typing import Any

from hanet.errors import SettingsError
from hanet.models.bit import BIT
from hanet.models.changeformer import ChangeFormer
from hanet.models.contract import ChangeModel
from hanet.models.fc_siam import FCEF, FCSiamConc, FCSiamDiff
from hanet.models.hanet import HANet
from hanet.models.hanet_lite import HANetLite
from hanet.models.mspsnet import MSPSNet
from hanet.models.snunet import SNUNet
from hanet.models.stanet import STANet
from hanet.models.tinycd import TinyCD

MODELS: dict[str, type[ChangeModel]] = {
    "hanet": HANet,
    "hanet_lite": HANetLite,
    "fc_ef": FCEF,
    "fc_siam_conc": FCSiamConc,
    "fc_siam_diff": FCSiamDiff,
    "mspsnet": MSPSNet,
    "snunet": SNUNet,
    "bit": BIT,
    "tinycd": TinyCD,
    "changeformer": ChangeFormer,
    "stanet": STANet,
}
"""Model names as experiments, weights files and the command line use them."""


def create(name: str, **arguments: Any) -> ChangeModel:
    """A freshly initialised network.

    Args:
        name: A key of :data:`MODELS`.
        arguments: Keyword arguments of the class, for example ``width=40``.

    Raises:
        SettingsError: No model has this name, or it does not take these arguments.

    Example:
        >>> create("hanet_lite", bands=4).bands
        4
    """
    if name not in MODELS:
        raise SettingsError(
            f"there is no model {name!r}", hint=f"the models are: {', '.join(MODELS)}"
        )
    known = inspect.signature(MODELS[name]).parameters
    strange = [key for key in arguments if key not in known]
    if strange:
        raise SettingsError(
            f"the model {name!r} does not take {', '.join(strange)}",
            hint=f"it takes: {', '.join(known)}",
        )
    try:
        return MODELS[name](**arguments)
    except TypeError as error:
        raise SettingsError(f"the model {name!r} cannot be made of {arguments}: {error}") from error


__all__ = ["MODELS", "ChangeModel", "create"]
