"""The readers: pickles, weights, rasters, documents, reviews, names and addresses."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock
from xml.sax.saxutils import quoteattr

from campaigns.addresses_with_keys import FORMS, HOST
from campaigns.fuzz import seeds
from campaigns.fuzz.watch import Target
from campaigns.seeds import METADATA
from hanet.conversion.checkpoint_file import entries, open_checkpoint
from hanet.conversion.inert_pickle import read_pickle
from hanet.conversion.network_in_file import recognise
from hanet.documents import DocumentError, parse_json, parse_toml, shown
from hanet.errors import HanetError, OutputError, StacError, WeightsError
from hanet.files import LONGEST_NAME_BYTES, check_name
from hanet.imagery.addresses import (
    address_identity,
    bare_name,
    gdal_name,
    holds_key,
    without_credentials,
)
from hanet.imagery.dates import check_date, date_in
from hanet.imagery.gdal import gdal_session
from hanet.imagery.raster_source import RasterSource
from hanet.imagery.stac_documents import Document, Documents, resolved
from hanet.imagery.stac_item import choose_asset, item_of, single
from hanet.metadata import Metadata
from hanet.review.items import geometry_json, outline_of_json
from hanet.review.journal import Journal, journal_path, read_journal
from hanet.stac.catalogue import Unusable, entries_of
from hanet.stac.choice import Area, Rules, rate
from hanet.stac.periods import Period
from hanet.types import Window
from hanet.weights.onnx_rewrite import with_further_temperature, with_other_metadata
from hanet.weights.onnx_size import largest_constant_shape
from hanet.weights.runtime import read_onnx_metadata
from hanet.weights.weights_file import read_safetensors_metadata

SECRET = "Zq7xK9"
"""Stands in the middle of what must not be seen, and nowhere else."""

LARGEST_TENSOR = 2**20
"""Numbers of a tensor that is read."""


def _pickle(content: bytes, _: Path) -> None:
    value, mentioned = read_pickle(io.BytesIO(content))
    for one in mentioned:
        assert str(one.name).isprintable() or ascii(one.name)
    _walk(value)


def _walk(value: Any) -> None:
    """Everything in containers is inert: nothing was made but Python's own and our records."""
    level, seen = [value], set[int]()
    while level:
        one = level.pop()
        if id(one) in seen or len(seen) > 10_000:
            continue
        seen.add(id(one))
        home = type(one).__module__
        assert home in ("builtins", "collections") or home.startswith("hanet.conversion."), home
        if isinstance(one, dict):
            level += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            level += one


def _checkpoint(content: bytes, folder: Path) -> None:
    path = _file(folder / "checkpoint.pth", content)
    checkpoint = open_checkpoint(path)
    values = entries(checkpoint.content) or {}
    for value in list(values.values())[:20]:
        try:
            tensor = checkpoint.tensor(value, name="it")
            if tensor.count <= LARGEST_TENSOR:
                assert checkpoint.read(tensor, name="it").size == tensor.count
        except HanetError:
            continue
    with suppress(WeightsError):  # the seeds are no whole networks
        recognise(checkpoint)


def _onnx(content: bytes, folder: Path) -> None:
    path = _file(folder / "weights.onnx", content)
    assert largest_constant_shape(path) >= 0
    about = read_onnx_metadata(path)  # what cannot be opened is never rewritten
    for changed in (with_other_metadata(content, about), with_further_temperature(content, 2.0)):
        assert read_onnx_metadata(_file(folder / "changed.onnx", changed)) == about


def _onnx_parts(content: bytes, folder: Path) -> None:
    """Our own parsers alone, without the engine, which is slow and refuses most."""
    assert largest_constant_shape(_file(folder / "weights.onnx", content)) >= 0
    about = Metadata.from_json(json.dumps(METADATA))
    with suppress(WeightsError):
        with_other_metadata(content, about)
    with_further_temperature(content, 2.0)


def _safetensors(content: bytes, folder: Path) -> None:
    read_safetensors_metadata(_file(folder / "weights.safetensors", content))


def _metadata(content: bytes, _: Path) -> None:
    about = Metadata.from_json(_text(content))
    assert Metadata.from_json(about.to_json()) == about
    assert about.min_size_px > 0


def _raster(content: bytes, folder: Path) -> None:
    path = _file(folder / "image.tif", content)
    with gdal_session(), RasterSource(path) as source:
        _all_facts(source)
        height, width = source.dataset.shape
        window = Window(0, 0, min(height, 16), min(width, 16))
        values = source.read_raw(window, tuple(range(1, min(source.dataset.count, 3) + 1)))
        assert values.shape[1:] == source.marked_valid(window).shape == window.shape
    assert [one.name for one in folder.iterdir()] == [path.name]


def _tags(content: bytes, folder: Path) -> None:
    """Tags of any name and value, as a raster's own would be."""
    items = [
        f"<MDI key={quoteattr(key)}>{value}</MDI>"
        for key, _, value in (line.partition("=") for line in _xml_text(content).split("\n"))
    ]
    tags = f"<Metadata>{''.join(items)}</Metadata>"
    imagery = f'<Metadata domain="IMAGERY">{"".join(items)}</Metadata>'
    band = '<VRTRasterBand dataType="Byte" band="1"/>'
    text = f'<VRTDataset rasterXSize="4" rasterYSize="4">{tags}{imagery}{band}</VRTDataset>'
    with RasterSource(_file(folder / "image.vrt", text.encode())) as source:
        _all_facts(source)
    for line in _xml_text(content).split("\n"):
        found = date_in(line)
        if found is not None:
            check_date(found, "a date that was found")


def _all_facts(source: RasterSource) -> None:
    """What a run asks of a raster, which must be fit for a manifest."""
    facts = [source.manifest(), source.orientation, source.written, source.validity]
    facts += [source.overview_factors, source.stated_colours, source.alpha_band, source.remarks]
    facts += [source.image_bands(3), source.linear_tags((1,)), source.grid.to_json()]
    json.dumps(facts, allow_nan=False, default=list)
    assert all(line.isprintable() for line in source.remarks)


def _json(content: bytes, _: Path) -> None:
    value = parse_json(content)
    text = json.dumps(value, allow_nan=False)
    assert parse_json(text) == value
    assert shown(value).isascii()


def _toml(content: bytes, _: Path) -> None:
    shown(parse_toml(content))


def _outline(content: bytes, _: Path) -> None:
    outline = outline_of_json(parse_json(content))
    assert outline_of_json(geometry_json(outline)).equals_exact(outline)


def _address(content: bytes, _: Path) -> None:
    """A form of an address, what stands around the secret in it, what stands around the address."""
    if len(content) < 2:
        return
    form = FORMS[content[0] % len(FORMS)]
    before, after, left, right, *_rest = [*_text(content[1:]).split("\n"), "", "", "", ""]
    allowed = PASSWORD if ":{s}@" in form else PARAMETER
    if "://{s}@" in form:  # a user without a password: a slash in it would end the host
        allowed = USER
    before, after = ("".join(c for c in part if c in allowed)[:200] for part in (before, after))
    address = form.format(s=f"{before}{SECRET}{after}", h=HOST)
    text = f"{left} {address} {right}"
    for bare in (without_credentials(text), bare_name(address), address_identity(address)["path"]):
        assert SECRET not in bare, f"{text!r} is shown as {bare!r}"


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
PARAMETER = LETTERS + "-._~!$*()+/:%"
USER = PARAMETER.replace("/", "") + "&=,;@"
PASSWORD = PARAMETER + "&=,;@"
"""What browsers and libraries take for a part of a parameter, of a user or a password. For all of
them ? and # end the host, so that nobody can tell them from a password's."""


def _words(content: bytes, _: Path) -> None:
    """Any text, short and repeated: in bounded time, which regular expressions may not have."""
    text = _text(content)[:2000]
    gdal_name(text.replace("\0", ""))
    for one in (text, (text * 8000)[:8000]):
        holds_key(one)
        without_credentials(one)


def _name(content: bytes, _: Path) -> None:
    text = content.decode("utf-8", "surrogateescape")  # as Python gives names of files
    check_name(text, "--out")
    assert "\0" not in text
    assert "\n" not in text
    assert max((len(p.encode()) for p in Path(text).parts), default=0) <= LONGEST_NAME_BYTES


def _journal(content: bytes, folder: Path) -> None:
    path = journal_path(folder)
    path.parent.mkdir()
    path.write_bytes(content)
    try:
        state = read_journal(folder)
    except OutputError:
        state = None
    journal = Journal(path)
    journal.close()
    kept = path.read_bytes()
    assert content.startswith(kept) or kept == content + b"\n", "it is not what it was"
    assert len(content) - len(kept) <= len(content) - content.rfind(b"\n") - 1, "lines are lost"
    if state is not None:
        assert journal.state is not None
        assert (journal.state.last, journal.state.items) == (state.last, state.items)
        assert state.last == len(kept.splitlines()), "a record is not counted"


def _stac(content: bytes, folder: Path) -> None:
    path = _file(folder / "item.json", content)
    document = Documents().read(str(path))
    for place in (document.place, "https://host/item.json"):
        item = item_of(single(Document(document.value, place)))
        facts = json.dumps([item.facts(), item.identity, item.date], allow_nan=False)
        assert facts
        Rules().broken_by(item)
        area = Area(seeds.AREA)
        assert 0 <= area.share(area.part_of(item)) <= 1 + 1e-9
        assert 0 <= rate(item, item).quality <= 1
        asset = choose_asset(item)
        assert place != "https://host/item.json" or "://" in asset.href, asset.href


def _catalogue(content: bytes, folder: Path) -> None:
    path = _file(folder / "catalog.json", content)
    (folder / "item.json").write_bytes(seeds.stac_item())
    period = Period("2019-01-01", "2019-12-31")
    found = entries_of(
        str(path),
        area=seeds.AREA.__geo_interface__,
        bounds=seeds.AREA.bounds,
        periods=(period, period),
    )
    for entry in found:
        if isinstance(entry, Unusable):
            assert f"{entry.place}{entry.why}".isprintable()
            assert SECRET not in entry.place


def _href(content: bytes, _: Path) -> None:
    for base in ("folder/item.json", "https://host/items/item.json"):
        found = resolved(_text(content), base)
        assert not base.startswith("https") or found.partition("://")[0].lower() in (
            "http", "https", "s3", "gs", "az",
        ), found  # fmt: skip


def _no_server(_: Documents) -> Any:
    raise StacError("there is no network here")


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _xml_text(content: bytes) -> str:
    """What XML can hold."""
    text = "".join(c for c in _text(content) if c >= " " or c == "\n")
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace("\ufffe", "").replace("\uffff", "")
    )


def _without_network(read: Callable[[bytes, Path], None]) -> Callable[[bytes, Path], None]:
    """The same reader without a network, only while it reads: other tests of the process have one."""

    @wraps(read)
    def alone(content: bytes, folder: Path) -> None:
        with mock.patch.object(Documents, "server", property(_no_server)):
            read(content, folder)

    return alone


TARGETS: dict[str, Target] = {
    "pickle": Target(_pickle, seeds.pickles),
    "checkpoint": Target(_checkpoint, seeds.checkpoints),
    "onnx": Target(_onnx, seeds.onnx),
    "onnx-parts": Target(_onnx_parts, seeds.onnx),
    "safetensors": Target(_safetensors, seeds.safetensors),
    "metadata": Target(_metadata, seeds.metadata),
    "raster": Target(_raster, seeds.rasters),
    "tags": Target(_tags, seeds.tags),
    "json": Target(_json, seeds.documents, (DocumentError,)),
    "toml": Target(_toml, seeds.tomls, (DocumentError,)),
    "outline": Target(_outline, seeds.outlines, (DocumentError,)),
    "address": Target(_address, seeds.addresses),
    "words": Target(_words, seeds.words),
    "name": Target(_name, seeds.names),
    "journal": Target(_journal, seeds.journals),
    "stac": Target(_without_network(_stac), seeds.stac),
    "catalogue": Target(_without_network(_catalogue), seeds.catalogues),
    "href": Target(_without_network(_href), seeds.hrefs),
}
"""By the name that ``python -m campaigns.fuzz`` takes."""
