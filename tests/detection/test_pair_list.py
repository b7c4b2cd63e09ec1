"""The list of ``--pairs``: what its paths mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanet.detection.pair_list import read_pairs
from hanet.errors import InputError


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
