"""xarray's DataArrays, in and out. The only user of xarray and rioxarray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hanet.errors import RasterError, importing
from hanet.imagery.dates import date_in, day_in_tags
from hanet.imagery.grid import Grid
from hanet.types import FloatArray

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["DataArray", "data_array", "day_of", "is_data_array", "placed"]

UNEVEN = 0.01
"""Coordinates that are off an even raster by more than this part of a pixel are none."""


def is_data_array(value: object) -> bool:
    """Whether a value is a DataArray; asked without importing xarray, for which the value's owner
    has imported it already."""
    kind = type(value)
    return kind.__name__ == "DataArray" and kind.__module__.partition(".")[0] == "xarray"


def placed(array: DataArray) -> tuple[DataArray, Any, Any]:
    """A DataArray as (band, row, column), its CRS, and its affine transform.

    CRS and transform are those of its ``rio`` accessor; both are None where it states no CRS.

    Raises:
        MissingExtraError: rioxarray is not installed.
        RasterError: It has other dimensions than these, or its coordinates are not even.
    """
    _rioxarray("reading DataArrays")
    names = [str(name) for name in array.dims]
    try:
        x, y = array.rio.x_dim, array.rio.y_dim
    except Exception as error:  # rioxarray's own, which says less
        raise RasterError(
            f"the DataArray has the dimensions ({', '.join(names)}): which are rows and columns?",
            hint="name them y and x, or say it with .rio.set_spatial_dims(x_dim=..., y_dim=...)",
        ) from error
    others = [name for name in array.dims if name not in (x, y)]
    if len(others) > 1:
        raise RasterError(
            f"the DataArray has the dimensions ({', '.join(names)}); bands, y and x are needed",
            hint="choose one date: array.isel(time=0)",
        )
    turned = array.transpose(*others, y, x)
    if not others:
        turned = turned.expand_dims("band")
    if array.rio.crs is None:
        return turned, None, None
    for name in (x, y):
        _check_even(array, name)
    return turned, array.rio.crs, array.rio.transform()


def _check_even(array: DataArray, name: Any) -> None:
    if name not in array.coords or array.sizes[name] < 3:
        return
    steps = np.diff(np.asarray(array.coords[name].values, dtype=np.float64))
    mean = float(steps.mean())
    if not np.abs(steps - mean).max() <= UNEVEN * abs(mean):
        raise RasterError(
            f"the coordinates {name} of the DataArray are not even: it is no raster",
            hint="bring it to a raster first, for example with array.interp(...)",
        )


def day_of(array: DataArray) -> str | None:
    """The day that a DataArray's coordinate ``time`` or its attributes name, as YYYY-MM-DD."""
    if "time" in array.coords and array.coords["time"].size == 1:
        found = date_in(str(array.coords["time"].values.reshape(())))
        if found is not None:
            return found
    return day_in_tags({str(name): value for name, value in array.attrs.items()})


def data_array(
    values: FloatArray, grid: Grid, *, name: str, attributes: dict[str, Any]
) -> DataArray:
    """Values (H, W) of a grid as a DataArray (y, x) with coordinates of pixel centres, CRS,
    transform, and NaN as nodata.

    Raises:
        MissingExtraError: rioxarray is not installed.
    """
    _rioxarray("a DataArray")
    import xarray

    a, _, c, _, e, f = grid.transform
    coordinates = {
        "y": f + e * (np.arange(grid.height) + 0.5),
        "x": c + a * (np.arange(grid.width) + 0.5),
    }
    array = xarray.DataArray(values, coordinates, ("y", "x"), name, attributes)
    if grid.crs is not None:
        array = array.rio.write_crs(grid.crs)
    found: DataArray = array.rio.write_transform(grid.affine).rio.write_nodata(np.nan)
    return found


def _rioxarray(purpose: str) -> None:
    """Gives DataArrays their ``rio`` accessor."""
    with importing("rioxarray", extra="notebook", purpose=purpose):
        import rioxarray  # noqa: F401 - importing it is all that is needed
