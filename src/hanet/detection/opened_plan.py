"""A plan whose inputs are open and known to be those that it was made for: images, area of interest
and weights, found on this machine and compared by their hashes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hanet.command_line import typed
from hanet.detection.identity import aoi_identity
from hanet.detection.loading import LoadedWeights, load_weights
from hanet.detection.opening import OpenedPair, watched
from hanet.detection.plan import Plan
from hanet.detection.planning import raster_facts, state_of
from hanet.errors import RasterError, SettingsError, VectorError, WeightsError
from hanet.files import file_hash
from hanet.imagery.addresses import found_from, is_missing, lies_here
from hanet.imagery.fingerprint import raster_fingerprint
from hanet.imagery.gdal import reading
from hanet.imagery.item_names import parse_item_name
from hanet.imagery.pair import Sources, open_sources, pair_on
from hanet.types import FloatArray, Json
from hanet.weights import catalogue
from hanet.weights.runtime import directed


class PlannedWeights:
    """The weights of a plan that are loaded when the first tile is to be inferred: a
    shard without valid ground needs none.

    Args:
        plan: The plan.
        weights: Where they lie on this machine; where the plan says if None.
        threads: Threads of the engine; as the plan says if None.

    Raises:
        WeightsError: They are missing, or not those of the plan.
    """

    def __init__(
        self, plan: Plan, *, weights: str | Path | None = None, threads: int | None = None
    ) -> None:
        self._loaded: LoadedWeights | None = None
        self._tells_direction = plan.has_kinds
        self._file = _weights_file(plan, "weights", weights)
        scout = _weights_file(plan, "scout", None) if plan.settings.scout is not None else None
        self._settings = replace(
            plan.settings, scout=scout, threads=threads or plan.settings.threads
        )

    @property
    def loaded(self) -> LoadedWeights:
        """They, loaded."""
        if self._loaded is None:
            self._loaded = load_weights(self._file, self._settings)
        return self._loaded

    @property
    def threads(self) -> Json | None:
        """Threads of the engine, for manifests; None as long as no tile was inferred."""
        return None if self._loaded is None else self._loaded.threads.to_json()

    def predict(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """See :class:`hanet.weights.runtime.Predicts`."""
        return self.loaded.runtime.predict(before, after)

    @property
    def tells_direction(self) -> bool:
        """See :class:`hanet.weights.runtime.DirectedRuntime`; as the plan says."""
        return self._tells_direction

    def predict_both(self, before: FloatArray, after: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See :class:`hanet.weights.runtime.DirectedRuntime`."""
        telling = directed(self.loaded.runtime)
        assert telling is not None
        return telling.predict_both(before, after)

    def take_counts(self) -> dict[str, int]:
        """See :meth:`hanet.detection.loading.LoadedWeights.take_counts`."""
        return {} if self._loaded is None else self._loaded.take_counts()


@dataclass(frozen=True, slots=True)
class OpenedPlan:
    """A plan whose inputs are open and known to be those that it was made for.

    Args:
        plan: The plan.
        opened: The pair.
        weights: What runs.
    """

    plan: Plan
    opened: OpenedPair
    weights: PlannedWeights


@contextmanager
def opened_plan(
    plan: Plan,
    *,
    before: str | None = None,
    after: str | None = None,
    weights: str | Path | None = None,
    threads: int | None = None,
) -> Iterator[OpenedPlan]:
    """A plan ready to run shards of, for the time of a ``with``. One thread at a time may run one.

    Args:
        plan: The plan.
        before: Where the image of the first date lies on this machine; where the plan says if None.
        after: The same of the other date.
        weights: The same of the weights.
        threads: Threads of the engine; as the plan says if None.

    Raises:
        HanetError: An input or the weights are missing, or not those of the plan.
    """
    ready = PlannedWeights(plan, weights=weights, threads=threads)
    with opened_pair(plan, before=before, after=after) as opened:
        yield OpenedPlan(plan, opened, ready)


@contextmanager
def opened_pair(
    plan: Plan, *, before: str | None, after: str | None, is_hashed: bool = False
) -> Iterator[OpenedPair]:
    """The pair of a plan, read as the plan decided; nothing is looked at again.

    Args:
        plan: The plan.
        before: Where the image of the first date lies; where the plan says if None.
        after: The same of the other date.
        is_hashed: Hash the files even where size and time are those of the plan.

    Raises:
        HanetError: A file is missing, or not that of the plan.
    """
    aoi = _aoi(plan)
    names = (before or _place(plan, "before"), after or _place(plan, "after"))
    with open_sources(*names) as sources:
        _check_sources(plan, sources, is_hashed=is_hashed)
        files = watched(sources, aoi)
        with pair_on(sources, replace(plan.decided, aoi=aoi)) as pair:
            if (pair.bands, pair.bands_after) != plan.bands:
                raise _changed(plan, pair.before.name, "before")
            yield OpenedPair(pair, plan.decided, plan.preflight, files)


def _place(plan: Plan, name: str) -> str:
    """Where an input lies, by the plan.

    Raises:
        RasterError: The plan does not say, or there is no such file on this machine.
    """
    place = plan.places.get(name)
    if place is None:
        raise RasterError(
            f"{plan.path} does not say where the {name} image lies: its address contains a key, "
            "and keys are not saved",
            hint="give both: hanet detect BEFORE AFTER --plan RUN/plan.json --shard N",
        )
    found = found_from(place, plan.folder.resolve())
    if is_missing(found):
        is_image = name in ("before", "after")
        what = f"{name} image" if is_image else "area of interest"
        raise RasterError(
            f"{Path(parse_item_name(found).place).resolve()} is missing, the {what} of {plan.path}",
            hint="where the images lie elsewhere: hanet detect BEFORE AFTER --plan "
            f"{typed(plan.path)} --shard N, and hanet merge {typed(plan.folder)} BEFORE AFTER"
            if is_image
            else "bring it back: the plan finds it by its path from its own folder",
        )
    return found


def _aoi(plan: Plan) -> Path | None:
    """The file of the area of interest, known to be that of the plan."""
    if plan.settings.aoi is None:
        return None
    path = _place(plan, "aoi")
    if aoi_identity(path) != plan.identity["aoi"]:
        raise VectorError(
            f"the area of interest {path} is not the one that {plan.path} was made for",
            hint="bring it back, or make the plan again with hanet plan ... --overwrite",
        )
    return Path(path)


def _check_sources(plan: Plan, sources: Sources, *, is_hashed: bool) -> None:
    for date, source in zip(("before", "after"), sources, strict=True):
        identity = plan.identity[date]
        # a file of the same size and time is not read to be hashed, for every shard again
        is_known = not is_hashed and plan.states[date] == state_of(source) is not None
        whole = {key: value for key, value in identity.items() if key != "parts"}
        with reading(source.name):
            found = raster_fingerprint(source, whole=whole if is_known else None)
        if found != identity or raster_facts(source) != plan.rasters[date]:
            raise _changed(plan, source.name, date)


def _changed(plan: Plan, name: str, date: str) -> RasterError:
    return RasterError(
        f"{name} is not the {date} image that {plan.path} was made for",
        hint="bring that one back, give it as hanet detect BEFORE AFTER --plan ..., or make the "
        "plan again with hanet plan ... --overwrite",
    )


def _weights_file(plan: Plan, role: str, given: str | Path | None) -> Path:
    """The file of the weights or of the scout, known to be that of the plan."""
    place = given if given is not None else plan.places[role]
    if place is None:
        raise SettingsError(f"{plan.path} does not say where the {role} lie")
    is_file = given is None and Path(place).suffix in catalogue.SUFFIXES
    name = found_from(str(place), plan.folder.resolve()) if is_file else place
    if is_file and not lies_here(name):
        raise WeightsError(
            f"{Path(name).resolve()} is missing, the {role} of {plan.path}",
            hint="where the file lies elsewhere: hanet detect --plan RUN/plan.json --weights FILE"
            if role == "weights"
            else "bring it back: the plan finds it by its path from its own folder",
        )
    path = catalogue.resolve(name, suffixes=plan.settings.engine.suffixes)
    if file_hash(path) != plan.identity[role]:
        raise WeightsError(
            f"{path.name} here is not the file of {role} that {plan.path} was made for",
            hint="give that file with --weights FILE; shards of other weights cannot be merged",
        )
    return path
