"""Which bands of each date the network sees: the given ones, or those that each file states."""

from __future__ import annotations

from collections.abc import Sequence

from hanet.errors import RasterError, SettingsError
from hanet.imagery.raster_source import RasterSource

DateBands = tuple[tuple[int, ...], tuple[int, ...]]
"""Band numbers of the before image and of the after image."""


def chosen_bands(
    sources: tuple[RasterSource, RasterSource], bands: Sequence[int] | None, band_count: int
) -> DateBands:
    """The bands of each date: the given ones for both, else those that each file states."""
    if bands is not None and len(bands) != band_count:
        raise SettingsError(
            f"{len(bands)} bands are chosen, the weights take {band_count}",
            hint="--bands 1,2,3 for three bands",
        )
    chosen = []
    for source in sources:
        mine = tuple(bands) if bands is not None else source.image_bands(band_count)
        alpha = source.alpha_band
        # a date may have none: then no bands are wanted where its own number of them is asked for
        if not mine or len(mine) < band_count or min(mine) < 1 or max(mine) > source.dataset.count:
            wanted = mine if bands is not None else range(1, max(1, band_count) + 1)
            raise RasterError(
                f"{source.name} has {source.band_count} "
                f"band{'s' if source.band_count != 1 else ''} besides alpha, "
                f"bands {','.join(map(str, wanted))} are needed",
                hint="choose others with --bands; use a grey image for all three with --bands "
                "1,1,1",
            )
        if alpha in mine:
            others = ",".join(map(str, source.image_bands(band_count)))
            raise RasterError(
                f"band {alpha} of {source.name} is its transparency, not an image",
                hint=f"choose others with --bands, for example --bands {others}"
                if others
                else "it has no other band; give the image that it belongs to",
            )
        chosen.append(mine)
    return chosen[0], chosen[1]


def about_bands(
    sources: tuple[RasterSource, RasterSource], chosen: DateBands, *, given: bool
) -> tuple[str, ...]:
    """What the files say of their bands that decided the choice, in words."""
    notes = []
    for source, bands in zip(sources, chosen, strict=True):
        if not given and bands == source.stated_colours and bands != (1, 2, 3):
            notes.append(
                f"{source.short_name} states red, green and blue as bands "
                f"{','.join(map(str, bands))}; they are read in that order (--bands sets another)"
            )
        if source.band_called_alpha is not None and source.alpha_band is None:
            notes.append(
                f"{source.short_name} calls band {source.band_called_alpha} alpha, but it holds "
                "values as an image does; it is not taken as transparency "
                f"(`gdal_edit.py -colorinterp_{source.band_called_alpha} undefined` says so)"
            )
        if source.linear_tags(bands) is None:
            notes.append(
                f"{source.short_name} states a scale or an offset that no measure has; they are "
                "ignored (`gdal_edit.py -scale 1 -offset 0` takes them out)"
            )
    return tuple(notes)
