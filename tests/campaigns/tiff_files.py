"""Damaged TIFFs: bytes, tags, chains of directories, places that are no numbers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from campaigns.commands import on_rasters
from campaigns.damage import damaged
from campaigns.kinds import Bench, Command, Kind, Kinds
from campaigns.seeds import SIDE, images

BYTE, ASCII, SHORT, LONG, RATIONAL, DOUBLE, LONG8 = 1, 2, 3, 4, 5, 12, 16
_CODES = {BYTE: "B", ASCII: "s", SHORT: "H", LONG: "I", DOUBLE: "d", LONG8: "Q"}

SCALE, TIE_POINT, MATRIX, GEO_KEYS = 33550, 33922, 34264, 34735
STRIP_OFFSETS, TILE_WIDTH = 273, 322

UTM_KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32614)


@dataclass(slots=True)
class Field:
    """An entry of a directory; ``count`` may say more or fewer values than there are."""

    tag: int
    kind: int
    values: Sequence[float] | bytes
    count: int | None = None

    def payload(self) -> bytes:
        """The values as they lie in the file."""
        if isinstance(self.values, bytes):
            return self.values
        code = _CODES.get(self.kind, "I")
        if code in "BHIQ":
            limit = 256 ** struct.calcsize(code)
            return struct.pack(f"<{len(self.values)}{code}", *(int(v) % limit for v in self.values))
        return struct.pack(f"<{len(self.values)}d", *self.values)


def fields_of(verb: str) -> list[Field]:
    """The directory of a sound raster: a picture, or for footprints a probability."""
    bands = 1 if verb == "footprints" else 3
    fields = [
        Field(256, LONG, [SIDE]),
        Field(257, LONG, [SIDE]),
        Field(258, SHORT, [8] * bands),
        Field(259, SHORT, [1]),
        Field(262, SHORT, [1 if bands == 1 else 2]),
        Field(STRIP_OFFSETS, LONG, [8]),
        Field(277, SHORT, [bands]),
        Field(278, LONG, [SIDE]),
        Field(279, LONG, [SIDE * SIDE * bands]),
        Field(284, SHORT, [1]),
        Field(339, SHORT, [1] * bands),
        Field(SCALE, DOUBLE, [0.5, 0.5, 0]),
        Field(TIE_POINT, DOUBLE, [0, 0, 0, 620000, 3350000, 0]),
        Field(GEO_KEYS, SHORT, UTM_KEYS),
    ]
    if bands == 1:
        item = b'<Item name="SCALE" sample="0" role="scale">0.004</Item>'
        fields.append(Field(42112, ASCII, b"<GDALMetadata>" + item + b"</GDALMetadata>\0"))
        fields.append(Field(42113, ASCII, b"255\0"))
    return fields


def tiff_bytes(verb: str, directories: list[list[Field]], links: list[int] | None = None) -> bytes:
    """A little-endian TIFF of one strip and a chain of directories.

    Args:
        verb: What it is for: decides the pixels.
        directories: The fields of each directory.
        links: For each directory the number of the next one; -1 ends the chain, -2 leads beyond
            the end of the file. One behind the other where None.
    """
    before, _, change = images(SIDE, 1)
    pixels = (change * 230).astype("uint8") if verb == "footprints" else before.transpose(1, 2, 0)
    content = bytearray(b"II*\0" + bytes(4) + pixels.tobytes())
    starts, link_places = [], []
    for fields in directories:
        entries = []
        for each in fields:
            payload = each.payload()
            size = struct.calcsize(_CODES.get(each.kind, "I")) if each.kind != ASCII else 1
            count = each.count if each.count is not None else len(payload) // size
            if len(payload) <= 4:
                value = payload.ljust(4, b"\0")
            else:
                content += bytes(len(content) % 2)
                value = struct.pack("<I", len(content))
                content += payload
            entries.append(struct.pack("<HHI", each.tag, each.kind, count % 2**32) + value)
        content += bytes(len(content) % 2)
        starts.append(len(content))
        content += struct.pack("<H", len(entries)) + b"".join(entries)
        link_places.append(len(content))
        content += bytes(4)
    content[4:8] = struct.pack("<I", starts[0])
    for number, place in enumerate(link_places):
        following = links[number] if links else number + 1
        if following == -2:
            target = len(content) + 1000
        else:
            target = starts[following] if 0 <= following < len(starts) else 0
        content[place : place + 4] = struct.pack("<I", target)
    return bytes(content)


def _odd(bench: Bench, content: bytes) -> Path:
    path = bench.folder / "odd.tif"
    path.write_bytes(content)
    return path


def broken_bytes(bench: Bench, verb: str) -> Command:
    """Bytes of a sound file damaged, of one that GDAL wrote or of a plain one."""
    if bench.random.random() < 0.5:
        name = "probability.tif" if verb == "footprints" else "before.tif"
        content = (bench.seeds / name).read_bytes()
    else:
        content = tiff_bytes(verb, [fields_of(verb)])
    content, what = damaged(content, bench.random, head=400)
    return on_rasters(bench, verb, _odd(bench, content), what)


OTHER_TAGS = (
    254, 255, 266, 269, 270, 274, 280, 281, 282, 296, 305, 306, 317, 320, 321, 322, 323, 324, 325,
    330, 338, 340, 341, 347, 400, 529, 530, 532, 33432, 34377, 34736, 34737, 42112, 42113, 50844,
    50674, 65000,
)  # fmt: skip
"""Tags that a picture need not have: FillOrder, dates, predictor, tiles, masks, JPEG, RPCs ..."""


def broken_tags(bench: Bench, verb: str) -> Command:
    """One to three entries of another type, count or value, or that should not be there."""
    random, fields, said = bench.random, fields_of(verb), []
    for _ in range(random.randint(1, 3)):
        if random.random() < 0.6:
            field = random.choice(fields)
        else:
            field = Field(random.choice(OTHER_TAGS), random.choice(list(_CODES)), [1])
            fields.append(field)
        said.append(f"tag {field.tag}: {_spoil(field, random)}")
    fields.sort(key=lambda field: field.tag)
    content = tiff_bytes(verb, [fields])
    return on_rasters(bench, verb, _odd(bench, content), "; ".join(said))


def _spoil(field: Field, random: Random) -> str:
    way = random.choice(("kind", "count", "values", "values", "text"))
    if way == "kind":
        field.kind = random.choice((0, BYTE, ASCII, SHORT, LONG, RATIONAL, DOUBLE, LONG8, 200))
    elif way == "count":
        field.count = random.choice((0, 2, 3, 100, 65535, 2**31 - 1, 2**32 - 1))
    elif way == "text":
        field.kind = ASCII
        field.values = random.choice(
            (b"\0", b"nan\0", b"-1e999\0", b"\xff\xfe\0", b"x" * 3000 + b"\0")
        )
    else:
        number = random.choice((0, 1, 2, 5, 7, 8, 50000, 65535, 2**31, 2**32 - 1, -1))
        field.values = [number] * random.choice((1, 1, 3, 40))
    return way


def broken_directories(bench: Bench, verb: str) -> Command:
    """Chains of directories that loop, lead nowhere or never end; entries unsorted or doubled."""
    random, fields = bench.random, fields_of(verb)
    way = random.choice(("loop", "many", "nowhere", "unsorted", "doubled", "lacking", "masks"))
    directories, links = [fields], None
    if way == "loop":
        directories = [fields] * random.choice((1, 2, 3))
        links = [random.randrange(len(directories)) for _ in directories]
    elif way == "many":
        few = [field for field in fields if random.random() < 0.8]
        directories = [fields, *([few] * random.choice((2, 30, 400)))]
    elif way == "nowhere":
        directories = [fields, fields]
        links = random.choice(([-2, -1], [1, -2]))
    elif way == "unsorted":
        random.shuffle(fields)
    elif way == "doubled":
        directories = [[*fields, *random.sample(fields, 3)]]
    elif way == "lacking":
        del fields[random.randrange(len(fields))]
    else:
        mask = [
            Field(254, LONG, [4]),
            *(f for f in fields if f.tag not in (SCALE, TIE_POINT, GEO_KEYS)),
        ]
        if random.random() < 0.5:
            del mask[random.randrange(len(mask))]
        directories = [fields, mask]
    content = tiff_bytes(verb, directories, links)
    return on_rasters(bench, verb, _odd(bench, content), f"directories: {way}")


ODD_NUMBERS = (0.0, -0.5, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"), 1e9, 180.0)


def broken_places(bench: Bench, verb: str) -> Command:
    """Pixel sizes, tie points and matrices that are no numbers, none at all or far away."""
    random, fields = bench.random, fields_of(verb)
    way = random.choice(("scale", "tie point", "matrix", "keys", "several ties"))
    by_tag = {field.tag: field for field in fields}
    if way == "scale":
        by_tag[SCALE].values = [random.choice((*ODD_NUMBERS, 0.5)) for _ in range(3)]
    elif way == "tie point":
        by_tag[TIE_POINT].values = [random.choice((*ODD_NUMBERS, 0.0)) for _ in range(6)]
    elif way == "matrix":
        fields = [field for field in fields if field.tag not in (SCALE, TIE_POINT)]
        fields.append(
            Field(MATRIX, DOUBLE, [random.choice((*ODD_NUMBERS, 0.5)) for _ in range(16)])
        )
    elif way == "keys":
        keys = list(UTM_KEYS)
        for _ in range(random.randint(1, 3)):
            keys[random.randrange(len(keys))] = random.choice(
                (0, 1, 2, 3, 4326, 5513, 32767, 65535)
            )
        by_tag[GEO_KEYS].values = keys
    else:
        ties = [random.choice((*ODD_NUMBERS, 3.0, 620000.0)) for _ in range(24)]
        fields = [field for field in fields if field.tag != SCALE]
        by_tag[TIE_POINT].values = ties
    content = tiff_bytes(verb, [sorted(fields, key=lambda field: field.tag)])
    return on_rasters(bench, verb, _odd(bench, content), f"place: {way}")


_RASTER_VERBS = ("detect", "check", "footprints", "pairs")

KINDS: Kinds = {
    "tiff-bytes": Kind(broken_bytes, _RASTER_VERBS),
    "tiff-tags": Kind(broken_tags, _RASTER_VERBS),
    "tiff-ifds": Kind(broken_directories, _RASTER_VERBS),
    "tiff-places": Kind(broken_places, _RASTER_VERBS),
}
