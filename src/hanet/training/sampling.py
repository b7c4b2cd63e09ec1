"""PFBS, progressive foreground-balanced sampling (Han et al. 2023, section III-A): which tiles an
epoch sees.

A tile with at least one changed pixel is foreground, any other is background. Early epochs see
foreground only; then background comes in, all at once or a constant number more each epoch. No
pixel of change is added or synthesised.

Schedules are integer functions of the epoch and the count of background tiles. The sampler turns a
schedule into draws that are a pure function of (seed, epoch), so that epochs can be drawn in any
order, by any process, and again after a resume.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from hanet.documents import shown
from hanet.errors import SettingsError, TrainingError


@dataclass(frozen=True, slots=True)
class Schedule:
    """How many background tiles an epoch sees.

    Both lengths 0 is the paper's *Normal*, one of them its *Fixed-X* or *Linear-Y*, both *Fixed-X
    Linear-Y*.

    Args:
        fixed: X, the epochs at the start that see foreground only.
        linear: Y, the epochs after them over which background grows to the whole set.

    Example:
        >>> [Schedule(linear=15).background_count(epoch, background=3336) for epoch in (1, 2, 16)]
        [0, 222, 3336]
    """

    fixed: int = 0
    linear: int = 0

    def __post_init__(self) -> None:
        if self.fixed < 0 or self.linear < 0:
            raise SettingsError(
                f"a PFBS schedule cannot have negative lengths: fixed {self.fixed}, linear "
                f"{self.linear}"
            )

    @property
    def name(self) -> str:
        """``normal``, ``fixed-X``, ``linear-Y`` or ``fixed-X-linear-Y``; :func:`parse` reads it."""
        parts = [
            f"{kind}-{length}"
            for kind, length in (("fixed", self.fixed), ("linear", self.linear))
            if length
        ]
        return "-".join(parts) or "normal"

    def background_count(self, epoch: int, *, background: int) -> int:
        """Background tiles in the pool of an epoch.

        The first max(1, X) epochs have none (Linear-Y, too, starts with one epoch of foreground
        only); the k-th epoch after them has ``k * background // Y``, all of them for Y = 0. The
        normal schedule has all from epoch 1 on.

        Args:
            epoch: Counted from 1.
            background: Background tiles in the whole set.
        """
        if epoch < 1:
            raise SettingsError(f"epoch is {epoch}; epochs count from 1")
        if self.fixed == 0 and self.linear == 0:
            return background
        grown = epoch - max(1, self.fixed)
        if grown <= 0:
            return 0
        return (
            background if self.linear == 0 else min(background, grown * background // self.linear)
        )


NORMAL = Schedule()
"""The whole set in every epoch."""


def fixed(epochs: int) -> Schedule:
    """Fixed-X: foreground only for X epochs, then the whole set."""
    return Schedule(fixed=epochs)


def linear(epochs: int) -> Schedule:
    """Linear-Y: one epoch of foreground only, then the same number of background tiles more each
    epoch, all from epoch Y + 1 on."""
    return Schedule(linear=epochs)


def fixed_linear(fixed_epochs: int, linear_epochs: int) -> Schedule:
    """Fixed-X Linear-Y: foreground only for X epochs, then growth over Y epochs."""
    return Schedule(fixed=fixed_epochs, linear=linear_epochs)


_NAME = re.compile(
    r"normal|(?:fixed-(?P<fixed>\d{1,9}))?-?(?:(?<![a-z])linear-(?P<linear>\d{1,9}))?"
)


def parse(name: str) -> Schedule:
    """The schedule of a name: ``normal``, ``fixed-15``, ``linear-35``, ``fixed-10-linear-10``;
    capitals do not matter.

    Raises:
        SettingsError: There is no such sampling.
    """
    match = _NAME.fullmatch(name.strip().lower())
    if match is None or not name.strip():
        raise SettingsError(
            f"{shown(name)} is not a PFBS schedule",
            hint="normal, fixed-X, linear-Y or fixed-X-linear-Y, X and Y in epochs",
        )
    lengths = {key: int(value) for key, value in match.groupdict().items() if value}
    schedule = Schedule(**lengths)
    if name.strip().lower() != schedule.name:
        raise SettingsError(
            f"{shown(name)} is not a PFBS schedule", hint=f"did you mean {schedule.name!r}?"
        )
    return schedule


def released_code_background(position: int, *, pool: int, foreground: int) -> bool:
    """Whether the released code draws a tile from outside the pool at a position, the difference
    that docs/concepts/sources.md, section 2, describes.

    Its labels are sorted, foreground first. A position beyond the pool wraps to ``position %
    pool``; where that is a background tile, the code takes the tile at ``position`` itself, so that
    the ramp also draws background that is not yet in the pool.
    """
    return position >= pool and position % pool >= foreground


class ForegroundBalancedSampler(Sampler[int]):
    """Positions of the tiles of one epoch after another, by a PFBS schedule.

    The background tiles are shuffled once, by the seed; an epoch's pool is all foreground tiles and
    the first ``schedule.background_count`` of that order, so that pools grow and never swap tiles.
    An epoch takes shuffled passes through its pool until it has its length: every tile of the pool
    equally often, give or take one.

    Args:
        foreground_pixels: Changed pixels of each tile of the data set.
        schedule: The schedule, or its name.
        length: ``"set"``: as many draws as the data set has tiles (the official code; early epochs
            repeat foreground). ``"pool"``: each tile of the pool once. A number: that many draws.
        ramp: ``"paper"``, or ``"released code"`` for the ramp of the official repository (see
            :func:`released_code_background`).
        seed: With the epoch, decides all draws.
        unit: What the schedule's X and Y count. With ``"iterations"`` they count steps of ``batch``
            draws from the start of the run, and the pool grows from one step to the next, also
            within an epoch. An epoch is then ``draws // batch`` steps; the draws left over at its
            end fill no step.
        batch: Pairs a step over all ranks; needed for ``unit="iterations"``.
        rank: This process, from 0.
        ranks: Processes. Each draws every ``ranks``-th position; the ends that do not fill all
            ranks are left out, so all are equally long.

    Raises:
        SettingsError: A value is out of range.
        TrainingError: There is no tile, or no foreground tile although the schedule starts with
            foreground only.

    Example:
        >>> sampler = ForegroundBalancedSampler([5, 0, 0, 9], schedule="fixed-1", seed=0)
        >>> sorted(sampler.draws(1))
        [0, 0, 3, 3]
    """

    def __init__(
        self,
        foreground_pixels: Sequence[int] | npt.NDArray[np.int64],
        *,
        schedule: Schedule | str = NORMAL,
        length: Literal["set", "pool"] | int = "set",
        ramp: Literal["paper", "released code"] = "paper",
        seed: int = 0,
        unit: Literal["epochs", "iterations"] = "epochs",
        batch: int = 1,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        counts = np.asarray(foreground_pixels, dtype=np.int64)
        self.schedule = parse(schedule) if isinstance(schedule, str) else schedule
        self.length, self.ramp, self.seed, self.unit, self.batch = length, ramp, seed, unit, batch
        self.rank, self.ranks = rank, ranks
        self._check(counts)
        self.foreground = np.flatnonzero(counts > 0)
        self.background = np.random.default_rng((seed, 0)).permutation(np.flatnonzero(counts == 0))
        self.epoch, self._position = 1, 0

    def _check(self, counts: npt.NDArray[np.int64]) -> None:
        if isinstance(self.length, str) and self.length not in ("set", "pool"):
            raise SettingsError(
                f"length is {self.length!r}; it must be 'set', 'pool' or a number of draws"
            )
        if isinstance(self.length, int) and self.length < 1:
            raise SettingsError(f"length is {self.length}; an epoch needs at least one draw")
        if self.unit not in ("epochs", "iterations") or self.ramp not in ("paper", "released code"):
            raise SettingsError(
                f"unit is {self.unit!r} and ramp {self.ramp!r}; see the documentation for what "
                "they may be"
            )
        if self.unit == "iterations" and self.length == "pool":
            raise SettingsError(
                "a schedule in iterations needs epochs of one length: length 'set' or a number"
            )
        if self.seed < 0:
            raise SettingsError(f"seed is {self.seed}; it must not be negative")
        if self.ramp == "released code" and self.unit == "iterations":
            raise SettingsError("the ramp of the released code counts epochs; take unit 'epochs'")
        if self.batch < 1 or not 0 <= self.rank < self.ranks:
            raise SettingsError(
                f"batch is {self.batch}, rank {self.rank} of {self.ranks}; batch counts from 1, "
                "ranks from 0"
            )
        if len(counts) == 0:
            raise TrainingError("the training set has no tile")
        if not (counts > 0).any() and self.schedule != NORMAL:
            raise TrainingError(
                f"no training tile has a changed pixel, and {self.schedule.name} starts with "
                "foreground only",
                hint="check the labels: 0 is unchanged, 255 (or 1) is changed",
            )

    @property
    def tiles(self) -> int:
        """Tiles of the whole set."""
        return len(self.foreground) + len(self.background)

    def pool(self, epoch: int) -> npt.NDArray[np.int64]:
        """Positions of the tiles that an epoch may draw at its start: foreground first, then its
        background."""
        return self._pool(self._schedule_step(epoch))

    def foreground_share(self, epoch: int) -> float:
        """Share of foreground tiles among the draws of an epoch, in 0-1."""
        is_foreground = np.zeros(self.tiles, dtype=np.bool_)
        is_foreground[self.foreground] = True
        return float(is_foreground[self.draws(epoch)].mean())

    def draw_count(self, epoch: int) -> int:
        """How many draws an epoch has, over all ranks; costs nothing."""
        if self.unit == "iterations":
            return self._steps * self.batch
        if self.length == "pool":
            return len(self.foreground) + self._background_count(epoch)
        return self.tiles if isinstance(self.length, str) else self.length

    def draws(self, epoch: int) -> npt.NDArray[np.int64]:
        """All draws of an epoch, over all ranks; a pure function of the seed and the epoch."""
        random = np.random.default_rng((self.seed, epoch))
        if self.unit == "iterations":
            return self._draws_by_iteration(epoch, random)
        pool, length = self.pool(epoch), self.draw_count(epoch)
        if self.ramp == "released code":
            return random.permutation(self._released_code_draws(pool, length))
        passes = [random.permutation(pool) for _ in range(-(-length // len(pool)))]
        return np.concatenate(passes)[:length]

    def set_epoch(self, epoch: int) -> None:
        """The next iteration gives this epoch, from its start."""
        self.epoch, self._position = epoch, 0

    def __len__(self) -> int:
        """This rank's draws of the current epoch, from its start."""
        return self.draw_count(self.epoch) // self.ranks

    def __iter__(self) -> Iterator[int]:
        """This rank's draws of the current epoch from the current position on; at its end the next
        epoch is current."""
        mine = self.draws(self.epoch)[: len(self) * self.ranks][self.rank :: self.ranks]
        for draw in mine[self._position :].tolist():
            self._position += 1
            yield draw
        self.set_epoch(self.epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Where the sampler stands, and what it must be resumed with.

        With loader workers that read ahead, ``position`` counts draws handed out, not draws trained
        on; a trainer that knows its own step sets the position from that.
        """
        return {"epoch": self.epoch, "position": self._position, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where :meth:`state_dict` was taken.

        Raises:
            TrainingError: The state is of another data set, schedule or seed.
        """
        theirs = {key: value for key, value in state.items() if key not in ("epoch", "position")}
        if theirs != self._identity():
            different = sorted(
                key for key, value in self._identity().items() if theirs.get(key) != value
            )
            raise TrainingError(
                f"the sampler's state is of another run: {', '.join(different)} differ"
            )
        self.epoch, self._position = state["epoch"], state["position"]

    def _identity(self) -> dict[str, Any]:
        return {
            "tiles": self.tiles,
            "foreground": len(self.foreground),
            "foreground_sha256": hashlib.sha256(
                self.foreground.astype("<i8").tobytes()
            ).hexdigest(),
            "schedule": self.schedule.name,
            "length": self.length,
            "ramp": self.ramp,
            "unit": self.unit,
            "batch": self.batch if self.unit == "iterations" else None,
            "seed": self.seed,
            "ranks": self.ranks,
        }

    def _pool(self, schedule_step: int) -> npt.NDArray[np.int64]:
        return np.concatenate(
            [self.foreground, self.background[: self._background_count(schedule_step)]]
        )

    def _background_count(self, schedule_step: int) -> int:
        return self.schedule.background_count(schedule_step, background=len(self.background))

    def _schedule_step(self, epoch: int) -> int:
        """What the schedule takes for its epoch at the start of an epoch."""
        return epoch if self.unit == "epochs" else 1 + (epoch - 1) * self._steps

    @property
    def _steps(self) -> int:
        """Iterations of an epoch, where the schedule counts them."""
        draws = self.tiles if isinstance(self.length, str) else self.length
        return max(1, draws // self.batch)

    def _draws_by_iteration(self, epoch: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Shuffled passes through a pool that may grow at every step; what is new joins the rest of
        the pass at once."""
        first = self._schedule_step(epoch)
        pool = self._pool(first)
        rest = random.permutation(pool)
        taken = []
        for step in range(first, first + self._steps):
            new = self._background_count(step) + len(self.foreground) - len(pool)
            if new > 0:
                pool = self._pool(step)
                rest = random.permutation(np.concatenate([rest, pool[-new:]]))
            while len(rest) < self.batch:
                rest = np.concatenate([rest, random.permutation(pool)])
            taken.append(rest[: self.batch])
            rest = rest[self.batch :]
        return np.concatenate(taken)

    def _released_code_draws(
        self, pool: npt.NDArray[np.int64], length: int
    ) -> npt.NDArray[np.int64]:
        everything = np.concatenate([self.foreground, self.background])
        sizes = {"pool": len(pool), "foreground": len(self.foreground)}
        taken = [
            position % self.tiles
            if released_code_background(position % self.tiles, **sizes)
            else position % len(pool)
            for position in range(length)
        ]
        return everything[taken]
