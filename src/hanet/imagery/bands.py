"""Which bands of each date the network sees: the given ones, or those that each file states."""

from __future__ import annotations

from collections.abc import Sequence

from rasterio.enums import ColorInterp

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
    notes = _about_repeats(chosen[0]) if given else []
    for source, bands in zip(sources, chosen, strict=True):
        if not given and bands == source.stated_colours and bands != (1, 2, 3):
            notes.append(
                f"{source.short_name} states red, green and blue as bands "
                f"{','.join(map(str, bands))}; they are read in that order (--bands sets another)"
            )
        if not given and len(bands) == 3:
            notes += _about_guess(source, bands)
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


def _about_repeats(bands: tuple[int, ...]) -> list[str]:
    """A band that is chosen twice beside others; one alone for all is a grey image."""
    twice = sorted({band for band in bands if bands.count(band) > 1})
    if not twice or len(set(bands)) == 1:
        return []
    return [
        f"--bands {','.join(map(str, bands))} takes band {', '.join(map(str, twice))} more than "
        "once: the weights expect a different band in each place"
    ]


def _about_guess(source: RasterSource, bands: tuple[int, ...]) -> list[str]:
    """Bands that are read as red, green and blue although their file says something else, or says
    nothing and has more of them."""
    shown = ",".join(map(str, bands))
    kinds = [source.colours[band - 1] for band in bands]
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if any(kind in wanted and kind != right for kind, right in zip(kinds, wanted, strict=True)):
        stated = ", ".join(kind.name for kind in kinds)
        return [
            f"{source.short_name} states bands {shown} as {stated}; they are read as red, green "
            "and blue (--bands sets others)"
        ]
    if source.stated_colours is None and source.band_count > len(bands):
        return [
            f"{source.short_name} has {source.band_count} bands and does not state which are red, "
            f"green and blue; bands {shown} are read as such (--bands sets others)"
        ]
    return []
