"""What weights run on: the engine, its threads, its precision, and whether flips are averaged."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hanet.errors import SettingsError
from hanet.threads import Threads, check_threads, threads_for

RuntimeName = Literal["onnxruntime", "openvino", "torch"]
RUNTIMES: tuple[RuntimeName, ...] = ("onnxruntime", "openvino", "torch")
"""Names of the engines."""

RuntimePrecision = Literal["fp32", "bf16"]
RUNTIME_PRECISIONS: tuple[RuntimePrecision, ...] = ("fp32", "bf16")
"""Number formats that an engine computes in: float32, or bfloat16 where the processor has
instructions for it."""

DEFAULT_RUNTIME: RuntimeName = "onnxruntime"
"""The engine of a light installation."""

DEFAULT_PRECISION: RuntimePrecision = "fp32"
"""The precision that thresholds and published scores belong to."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How weights are run; the same weights file serves every precision and thread count.

    Args:
        runtime: ``onnxruntime`` and ``openvino`` run ``.onnx`` files, ``torch`` runs
            ``.safetensors``.
        threads: Threads of the engine; as many as this process may use if None (see
            :mod:`hanet.threads`).
        precision: ``"bf16"`` computes in bfloat16, with OpenVINO or torch, on a processor that has
            instructions for it.
        flips: Average over the four combinations of vertical and horizontal flips, at four times
            the cost.

    Raises:
        SettingsError: A value is not allowed.
    """

    runtime: RuntimeName = DEFAULT_RUNTIME
    threads: int | None = None
    precision: RuntimePrecision = DEFAULT_PRECISION
    flips: bool = False

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise SettingsError(
                f"there is no runtime {self.runtime!r}",
                hint=f"the runtimes are: {', '.join(RUNTIMES)}",
            )
        if self.threads is not None:
            check_threads(self.threads)
        if self.precision not in RUNTIME_PRECISIONS:
            raise SettingsError(
                f"there is no precision {self.precision!r}",
                hint=f"the precisions are: {', '.join(RUNTIME_PRECISIONS)}",
            )

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the weights files that the engine runs."""
        return (".safetensors",) if self.runtime == "torch" else (".onnx",)


DEFAULT_ENGINE = Engine()
"""ONNX Runtime in float32 on all cores that this process may use, without flips."""


def threads_of(engine: Engine) -> Threads:
    """How many threads an engine takes, and who says so; of torch no more than it takes already,
    which a program may have chosen."""
    torch = sys.modules.get("torch") if engine.runtime == "torch" else None
    own = [] if torch is None else [Threads(int(torch.get_num_threads()), "torch")]
    return threads_for(engine.threads, also=own)


def runtime_of(weights: Path) -> RuntimeName:
    """The engine that a kind of weights file is made for.

    Example:
        >>> runtime_of(Path("hanet_lite.safetensors"))
        'torch'
    """
    return "torch" if weights.suffix == ".safetensors" else DEFAULT_RUNTIME
