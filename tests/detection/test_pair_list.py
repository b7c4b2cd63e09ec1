"""The list of ``--pairs``: what its paths mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hanet.detection import pair_list
from hanet.detection.job import DetectionResult
from hanet.detection.pair_list import PairJob, read_pairs
from hanet.errors import InputError, OutputError
from hanet.footprints.extraction import FootprintSummary


def test_relative_paths_count_from_the_list_and_names_of_gdal_stay(tmp_path: Path) -> None:
    """GDAL's names for parts of files were taken for files beside the list."""
    (tmp_path / "OLD:a.tif").touch()
    listing = tmp_path / "pairs.csv"
    listing.write_text(
        "before,after,name\n"
        "a.tif,sub/b.tif,files\n"
        f"{tmp_path / 'a.tif'},OLD:a.tif,there\n"
        '"NETCDF:""scenes.nc"":red",GTIFF_DIR:2:both.tif,parts\n'
        "/vsicurl/https://host/a.tif,https://host/b.tif,far\n"
    )
    files, there, parts, far = read_pairs(listing)
    assert (files.before, files.after) == (str(tmp_path / "a.tif"), str(tmp_path / "sub" / "b.tif"))
    assert (there.before, there.after) == (str(tmp_path / "a.tif"), str(tmp_path / "OLD:a.tif"))
    assert (parts.before, parts.after) == ('NETCDF:"scenes.nc":red', "GTIFF_DIR:2:both.tif")
    assert (far.before, far.after) == ("/vsicurl/https://host/a.tif", "https://host/b.tif")


def test_a_list_that_is_no_table_is_refused_in_words(tmp_path: Path) -> None:
    listing = tmp_path / "pairs.csv"
    listing.write_text(f'before,after,name\n"{"x" * 200_000}",b,c\n')
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(listing)


def test_a_list_in_another_encoding_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes("before,after,name\n".encode("utf-16"))
    with pytest.raises(InputError, match=r"cannot be read: it is not UTF-8 \(byte 0\)"):
        read_pairs(path)


def test_a_pair_may_have_its_own_dates_and_other_columns_are_reported(tmp_path: Path) -> None:
    """Date columns were passed over in silence."""
    listing = tmp_path / "pairs.csv"
    listing.write_text(
        "name,before,after,before_date,after_date,sensor\n"
        "both,a.tif,b.tif,2011-05, 2020-01-31,x\n"
        "one,a.tif,b.tif,,2020\n"
    )
    warnings: list[str] = []
    both, one = read_pairs(listing, warn=warnings.append)
    assert both.dates == {"before_date": "2011-05", "after_date": "2020-01-31"}
    assert one.dates == {"after_date": "2020"}
    assert len(warnings) == 1
    assert '"sensor"' in warnings[0]


@pytest.mark.parametrize("dates", ["31.1.2020,2021", "2020,2011"])
def test_dates_that_are_none_or_in_the_wrong_order_are_refused(tmp_path: Path, dates: str) -> None:
    listing = tmp_path / "pairs.csv"
    listing.write_text(f"name,before,after,before_date,after_date\na,a.tif,b.tif,{dates}\n")
    with pytest.raises(InputError, match=r"line 2: .*date"):
        read_pairs(listing)


def test_dates_of_a_pair_go_before_the_settings_and_no_cell_is_a_formula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []

    def refuse(before: str, after: str, **settings: Any) -> None:
        given.append(settings)
        raise InputError("=HYPERLINK(1)")

    monkeypatch.setattr(pair_list, "detect", refuse)
    jobs = [PairJob("@name", "a.tif", "b.tif", {"after_date": "2020"}), PairJob("n", "a", "b")]
    result = pair_list.detect_pairs(
        jobs, out=tmp_path, resume=False, overwrite=False, before_date="2011", after_date="2019"
    )
    assert [(g["before_date"], g["after_date"]) for g in given] == [
        ("2011", "2020"),
        ("2011", "2019"),
    ]
    assert result.rows[0]["name"] == "@name"
    assert result.merged is None
    lines = (tmp_path / "pairs.csv").read_text().splitlines()[1:]
    assert lines == ["'@name,failed,,,,,'=HYPERLINK(1)", "n,failed,,,,,'=HYPERLINK(1)"]


@pytest.mark.parametrize(("has_metres", "row"), [(True, "7,12.5,,3.0,"), (False, "7,,12.5,3.0,")])
def test_the_area_says_its_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_metres: bool, row: str
) -> None:
    """A column "area" held square metres in one line and square pixels in the next."""
    summary = FootprintSummary(7, 12.5, has_metres, (), 0.5)
    result = DetectionResult(tmp_path, summary, megapixels=1.0, seconds=3.0)
    monkeypatch.setattr(pair_list, "detect", lambda *_, **__: result)
    jobs = [PairJob("n", "a", "b", {})]
    made = pair_list.detect_pairs(jobs, out=tmp_path, resume=False, overwrite=False)
    assert (tmp_path / "pairs.csv").read_text().splitlines() == [
        "name,status,footprints,area_m2,area_px,seconds,message",
        f"n,done,{row}",
    ]
    assert "the pair n is left out of the layer" in made.notes[0]  # there is no folder of it


def test_the_folder_of_a_single_pair_is_refused(tmp_path: Path) -> None:
    """Its footprints and its report have the names that those of all pairs take."""
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(OutputError, match="holds a run of a single pair"):
        pair_list.detect_pairs([], out=tmp_path, resume=True, overwrite=False)


def test_results_of_a_list_are_not_replaced_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``--resume`` each finished pair became a failed one: "already holds a result", and
    table, layer and page lost it."""
    monkeypatch.setattr(pair_list, "detect", lambda *_, **__: pytest.fail("a pair is detected"))
    (tmp_path / "pairs.csv").write_text("name,status\nn,done\n")
    with pytest.raises(OutputError, match="already holds the results of a list") as caught:
        pair_list.detect_pairs(
            [PairJob("n", "a", "b", {})], out=tmp_path, resume=False, overwrite=False
        )
    assert "--resume" in (caught.value.hint or "")
    assert (tmp_path / "pairs.csv").read_text() == "name,status\nn,done\n"


@pytest.mark.parametrize(
    "name", ["pairs.csv", "Report.HTML", "footprints.gpkg.", "pairs.json", ".."]
)
def test_no_pair_has_the_name_of_a_file_of_all(tmp_path: Path, name: str) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text(f"before,after,name\na.tif,b.tif,{name}\n")
    with pytest.raises(InputError, match="is not a plain folder name"):
        read_pairs(listing)


@pytest.mark.parametrize(
    ("first", "second"),
    [("East", "east"), ("east", "east."), ("Ärger", "a\u0308rger"), ("STRASSE", "straße")],
)
def test_names_that_are_one_folder_elsewhere_are_refused(
    tmp_path: Path, first: str, second: str
) -> None:
    """On Windows and macOS the second pair would take the place of the first."""
    listing = tmp_path / "list.csv"
    listing.write_text(f"before,after,name\na.tif,b.tif,{first}\nb.tif,a.tif,{second}\n", "utf-8")
    with pytest.raises(InputError, match="one folder on Windows or macOS"):
        read_pairs(listing)


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text("before,after,name\na.tif,b.tif,east\nb.tif,a.tif,east\n")
    with pytest.raises(InputError, match="stands there twice"):
        read_pairs(listing)


def test_names_that_windows_does_not_take_are_warned_of(tmp_path: Path) -> None:
    listing = tmp_path / "list.csv"
    names = ("CON", "nul.tif", "lpt9", "a:b", "end.", "2024", "console", "com")
    listing.write_text("before,after,name\n" + "".join(f"a.tif,b.tif,{name}\n" for name in names))
    warnings: list[str] = []
    assert [job.name for job in read_pairs(listing, warn=warnings.append)] == list(names)
    (said,) = warnings
    assert 'the name "CON", "nul.tif", "lpt9", "a:b", "end.";' in said
