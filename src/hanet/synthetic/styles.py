"""Rendered scenes in other styles than the renderer's own: other roofs, another light at each
date."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hanet.synthetic.painting import Date, House, Values
from hanet.synthetic.scene import Scene

ROOF_COLOURS = 4
"""Colours of roofs in a drawn style."""


class StyledScene(Scene):
    """A rendered scene with roofs and light that the plain renderer never draws.

    Args:
        seed: Decides everything.
        gsd_m: Metres a pixel.
        roofs: Colours of which each house takes one, (N, 3) in 0-255.
        dates: What to replace in the light of each date: fields of
            :class:`hanet.synthetic.painting.Date`.
        change_share: As in :class:`~hanet.synthetic.scene.Scene`.
    """

    def __init__(
        self,
        seed: int,
        *,
        gsd_m: float,
        roofs: Values,
        dates: tuple[dict[str, object], dict[str, object]],
        change_share: float = 0.12,
    ) -> None:
        super().__init__(seed, gsd_m=gsd_m, change_share=change_share)
        self._roofs = roofs
        self._dates: tuple[Date, ...] = tuple(
            replace(date, **changed)  # type: ignore[arg-type]
            for date, changed in zip(self._dates, dates, strict=True)
        )

    def houses(self, left: float, top: float, right: float, bottom: float) -> list[House]:
        """Houses as the plain renderer places them, with this style's roofs."""
        found = super().houses(left, top, right, bottom)
        choice = [math.floor(house.x * 7) % len(self._roofs) for house in found]
        return [
            replace(house, colour=self._roofs[index] + (house.x % 1 - 0.5) * 14)
            for house, index in zip(found, choice, strict=True)
        ]


def drawn_style(seed: int, *, gsd_m: float, change_share: float = 0.25) -> StyledScene:
    """A scene whose roofs, seasons, light, haze and noise are drawn, wider than the plain
    renderer's.

    Args:
        seed: Decides everything; scenes of two seeds share neither houses nor style.
        gsd_m: Metres a pixel about which the scene's own lies: within 0.8 and 1.25 times of it.
        change_share: Share of the houses that stand at one date only.

    Example:
        >>> from hanet.types import Window
        >>> before, after, change = drawn_style(7, gsd_m=0.5).render(Window(0, 0, 64, 64))
        >>> before.shape, change.shape
        ((3, 64, 64), (64, 64))
    """
    random = np.random.default_rng((seed, 17))
    grey = random.uniform(50.0, 215.0, (ROOF_COLOURS, 1))
    tint = random.normal(0.0, 0.5, 3) + random.normal(0.0, 0.3, (ROOF_COLOURS, 3))
    roofs: Values = np.clip(grey * (1.0 + 0.25 * tint), 30.0, 235.0)

    def light() -> dict[str, object]:
        return {
            "sun_azimuth": math.radians(random.uniform(0.0, 360.0)),
            "shadow_length": float(random.uniform(0.3, 1.8)),
            "green": float(random.uniform(0.0, 1.0)),
            "gain": random.uniform(0.85, 1.15, 3) * random.uniform(0.65, 1.25),
            "haze": float(random.uniform(0.0, 35.0)),
            "noise": float(random.uniform(1.0, 7.0)),
        }

    return StyledScene(
        seed,
        gsd_m=gsd_m * math.exp(random.uniform(-0.22, 0.22)),
        roofs=roofs,
        dates=(light(), light()),
        change_share=change_share,
    )
