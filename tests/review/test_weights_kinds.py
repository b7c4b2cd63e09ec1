"""The kind that the weights say, and the person who decides."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pyogrio
import pytest
from rasterio.features import rasterize

from difference_weights import write_difference_weights
from hanet.detection.job import detect
from hanet.review.edited import take_back
from hanet.review.review import Review
from hanet.review.weights_kinds import weights_kinds
from hanet.types import Json
from review_server import serving
from small_rasters import write

TILES: dict[str, Any] = {"tile_px": 64, "overlap_px": 16}

SMALL: dict[str, Any] = {**TILES, "threads": 1, "gsd_m": "native"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished run: one square was built, one demolished, one is half of each."""
    weights = write_difference_weights(tmp_path / "one.onnx", tells_direction=True, **TILES)
    before, after = (np.full((3, 150, 200), 100, dtype=np.uint8) for _ in range(2))
    after[:, 10:40, 10:40] = 220
    before[:, 60:90, 10:40] = 220
    after[:, 110:140, 100:115] = 220
    before[:, 110:140, 115:130] = 220
    pair = [write(tmp_path / f"{n}.tif", i) for n, i in (("before", before), ("after", after))]
    detect(*pair, out=tmp_path / "out", weights=weights, **SMALL)
    return tmp_path / "out"


def test_accepting_takes_the_kind_of_the_weights_and_a_person_gives_another(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        items = review.items("found")
        said = dict(zip([i.id for i in items], weights_kinds(out, items), strict=True))
        assert Counter(said.values()) == {"built": 1, "demolished": 1, "": 1}
        for identity, kind in said.items():
            (changed,) = review.decide([identity], {"status": "accepted"}).changed
            assert (changed.status, changed.kind) == ("accepted", kind)
        built = next(identity for identity, kind in said.items() if kind == "built")
        review.decide([built], {"kind": "other"})
        review.decide([built], {"status": "accepted"})  # again: the person's answer stays
        assert review.item(built).kind == "other"


def test_the_page_can_ask_before_it_accepts(out: Path) -> None:
    """Kinds were seen only after they had been taken over."""
    with serving(out) as address:
        place, _, token = address.partition("?token=")

        def asked(question: str) -> Json:
            request = Request(f"{place}api/{question}", headers={"X-Hanet-Token": token})
            with urlopen(request) as answer:
                return dict(json.load(answer))

        assert asked("review")["tells_kinds"] is True
        ids = [item["id"] for item in asked("items")["items"]]
        kinds = Counter(asked(f"kind?id={identity}")["kind"] for identity in ids)
        assert kinds == {"built": 1, "demolished": 1, "": 1}
        with pytest.raises(HTTPError, match="400"):
            asked("kind?id=f99")
    (out / "built.tif").unlink()
    with serving(out) as address:
        place, _, token = address.partition("?token=")
        assert asked("review")["tells_kinds"] is False


def test_one_undo_takes_status_and_kind_back_and_rejecting_gives_none(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        first = review.items("found")[0].id
        review.decide([first], {"status": "accepted"})
        review.undo()
        assert (review.item(first).status, review.item(first).kind) == ("unreviewed", "")
        review.decide([first], {"status": "rejected"})
        assert review.item(first).kind == ""


def test_items_that_are_accepted_together_get_each_its_own_kind(out: Path) -> None:
    with Review.open(out, reviewer="anna") as review:
        everything = review.items("found")
        ids = [item.id for item in everything]
        said = dict(zip(ids, weights_kinds(out, everything), strict=True))
        by_person = next(key for key, kind in said.items() if kind == "built")
        review.decide([by_person], {"kind": "rebuilt"})
        review.decide(ids, {"status": "accepted"})
        kept = {item.id: (item.status, item.kind) for item in review.items("found")}
        expected = {key: ("accepted", kind) for key, kind in said.items()}
        assert kept == {**expected, by_person: ("accepted", "rebuilt")}
    with Review.open(out, reviewer="anna") as review:  # so says the journal, too
        assert {item.id: (item.status, item.kind) for item in review.items("found")} == kept
        review.undo()
        assert {(item.status, item.kind) for item in review.items("found")} == {
            ("unreviewed", ""),
            ("unreviewed", "rebuilt"),
        }


def test_the_runs_own_layer_taken_back_says_nothing_that_nobody_has_said(out: Path) -> None:
    with Review.open(out, reviewer="anna"):
        pass
    result = take_back(out, out / "footprints.gpkg", reviewer="bert")
    assert (result.changed, result.added, result.deleted) == (0, 0, 0)
    assert "unclear" in pyogrio.raw.read(out / "footprints.gpkg", columns=["kind"])[3][0]


def test_nothing_is_painted_on_a_grid_that_rasterio_warns_of(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It silences itself in one thread only: the page, which asks by several, got an error 500."""
    places: list[Any] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        places.append(options["transform"])
        return rasterize(*arguments, **options)

    monkeypatch.setattr("hanet.review.weights_kinds.rasterize", watched)
    with Review.open(out, reviewer="anna") as review:
        assert len(weights_kinds(out, review.items("found"))) == len(places) == 3
    assert all((place.c, place.f) != (0, 0) for place in places)
