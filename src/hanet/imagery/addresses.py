"""Names of files as GDAL takes them: paths, addresses, parts of files; and the same without what
opens them to others.

A signed address, or one with a password, is a key. It serves to read and stands nowhere else:
manifests, pages and messages show it without its query and user, and ``--resume`` knows a file by
what is left, since a signature is another one every day.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import parse_qsl

from hanet.imagery.item_names import is_item_name, parse_item_name, with_place

REMOTE = ("http://", "https://", "s3://", "gs://", "az://", "/vsi", "zip://", "ftp://")
"""Beginnings of paths that GDAL opens by itself."""

_GDAL_PREFIXES = {
    "https": "/vsicurl/https://",
    "http": "/vsicurl/http://",
    "ftp": "/vsicurl/ftp://",
    "s3": "/vsis3/",
    "gs": "/vsigs/",
    "az": "/vsiaz/",
    "zip": "/vsizip/",
}
"""How GDAL itself spells the schemes of :data:`REMOTE`, which rasterio translates."""

PART_OF_FILE = re.compile(r"[A-Z][A-Z0-9_]+:")
"""Beginning of a GDAL name for a part of a file: ``NETCDF:"scenes.nc":red``,
``GTIFF_DIR:2:both.tif``."""

_ARCHIVE = r"(?P<archive>(?:/vsi(?:zip|tar|gzip|7z|rar|subfile|cached|crypt|sparse)/+\{*){0,20})"
"""What lies in an archive follows the archive's own address; of more than 20 in each other, the
outer ones count as text. Without a bound, texts full of such names take quadratic time."""

_OPTIONS = r"(?P<options>/vsi[a-z0-9_]+)\?(?P<pairs>[^\s\"'{}]*)"
"""``/vsicurl?header.Authorization=...&url=https%3A%2F%2F...``"""

_STORE = r"(?P<store>/vsi(?:s3|gs|az|adls|oss|swift|webhdfs|hdfs)(?:_streaming)?/)"
"""A bucket of a store, by GDAL's name."""

_SCHEMES = "https?|ftps?|file|s3|gs|az|abfss?|wasbs?|oss|postgres(?:ql)?|mysql|mongodb|hdfs|swift"

_SCHEME = rf"(?P<scheme>(?:/vsi[a-z0-9_]{{1,20}}/)?(?:(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{{0,19}}://|(?:{_SCHEMES}):(?:/|\\{{1,4}})))"
"""A ``Path`` has lost one of the slashes; written as on Windows they lean back, twice as many in a
quoted text."""

_ADDRESS = re.compile(
    rf"{_ARCHIVE}(?:{_OPTIONS}|(?:{_STORE}|{_SCHEME})(?P<rest>[^\s\"'{{}}]*))", re.IGNORECASE
)

_BLANK_IN_PASSWORD = re.compile(
    rf"({_SCHEMES})(:/+)[^\s\"'/?\#@:]{{0,4000}}+:(?!\d*+(?:[/?\#\s\"']|$))"
    rf"(?:[^\s\"'@]{{0,4000}}+\s[^\"'@\n]{{0,4000}}+|[^\"'@\n]{{0,4000}}+\n[^\"'@\n]{{0,4000}}+|"
    rf"[^\s\"'/]{{0,4000}}+\s[^\"'/@\n]{{0,4000}}+)@"
    rf"(?:[^\s\"']{{0,400}}@)?",
    re.IGNORECASE,
)
"""An address whose password continues after a blank, which may be the end of a line; what follows
``user:`` is no port. Nothing is tried twice, and there are bounds: 8 kB of such beginnings without
an end took 20 s."""

_BLANK_IN_USER = re.compile(
    rf"({_SCHEMES})(:/+)[^\s\"'/?\#@:]{{0,80}}\s[^\"'/?\#@:\n]{{0,80}}:[^\"'@\n]{{0,400}}@"
    r"(?:[^\s\"']{0,400}@)?",
    re.IGNORECASE,
)
"""The same with a blank in the user's name."""

_DATABASE = re.compile(
    r"\b(?P<driver>PG|MYSQL|MSSQL|ODBC|OCI|HANA|MONGODBV3|MONGODB|SQLANYWHERE|INGRES|ES)"
    r":(?!\\|/[^/])(?P<settings>[^\n=]{0,4000}+=[^\n]*|[^\s/]{0,4000}+/[^\s@]{0,4000}+@[^\n]*|"
    r"[a-z]+://[^\n]*)",
    re.IGNORECASE,
)
"""A connection to a database; whatever follows it on its line may be a part of it. Tried once and
bounded, as the passwords with blanks are."""

_PLACE_SETTING = re.compile(r"\b(?:host|port|dbname|database|server)=[^\s;,'\"@]+", re.IGNORECASE)
"""What of a connection says where, and opens nothing."""

_ENCODED = re.compile(rf"\b({_SCHEMES})%3A[^\s\"']*", re.IGNORECASE)
"""An address that was encoded as a whole, to be a part of another."""

_USER_ALONE = re.compile(
    r"(?<![^\s\"'(/=])[^\s\"'@:/]{1,200}:(?!/)[^\s\"'@/]{1,200}@(?=[\w\[][\w.\]:-]{0,200}[:/])"
)
"""User and password in front of a host whose scheme is missing: libraries cut it off."""

_SECRET = re.compile(
    r"(?P<name>(?<![\w.-])[\w.-]*(?:pass(?:word|wd|phrase)|\bpwd|userpwd|secret\w*|token|\bsig|signature|"
    r"api[-_]?key|access[-_]?key(?:[-_]?id)?|credentials?|authorization|\bauth)\s*=\s*|<UserPwd>|"
    r"\bauthorization:\s*(?:(?:basic|bearer|digest)\s+)?|\bbearer\s+(?=[\w.~+/-]{16}))"
    r"(?P<value>\"[^\"]*\"|'[^']*'|[^\s&;,\"'<>{}]+)",
    re.IGNORECASE,
)
"""A secret that stands outside an address: a setting of a driver, a header."""

_SIGNING = re.compile(
    r"x-(amz|goog|oss|cos|obs|ms)-.*|q-.*|(aws|google|oss)?access(key)?id|signature|sig|expires|"
    r"policy|key-pair-id|(access_?|auth_?|session_?|id_)?token|(api|subscription|access)[-_]?key|"
    r"key|auth.*|password|secret|hdn(ts|ea)|md5|hmac|jwt|(j|php)?sess(ion)?_?id"
)
"""Parameters that say who may read, not what: AWS, Google, Azure, CloudFront, Akamai and the
like."""

_SIGNING_OF_AZURE = re.compile(
    r"s[vrteprs]|srt|sip|spr|sk(oid|tid|[tesv])|sdd|saoid|suoid|scid|ses"
)
"""Further ones that stand beside a ``sig``."""


def is_gdal_name(name: str) -> bool:
    """Whether a name is spelled as one that GDAL opens by itself, which is no local path."""
    return name.startswith(REMOTE) or PART_OF_FILE.match(name) is not None


def with_slashes(path: str | Path) -> str:
    """An address as it was before a ``Path`` took one of two slashes: ``/vsicurl/http:/a/b``.

    Example:
        >>> with_slashes("/vsizip/vsicurl/https:/a.org/b.zip/c.gpkg")
        '/vsizip//vsicurl/https://a.org/b.zip/c.gpkg'
    """
    text = re.sub(rf"(?<![a-z0-9])({_SCHEMES}|zip):/(?=[^/])", r"\1://", str(path))
    return re.sub(r"^((?:/vsi[a-z0-9]+/)+)(?=vsi[a-z0-9]+/)", r"\1/", text)


def lies_here(path: str | Path) -> bool:
    """Whether there is a file or folder of this name; signed addresses are longer than any may be,
    which is no error."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def _is_file(text: str) -> bool:
    return lies_here(text) and Path(text).is_file()


def without_credentials(text: str) -> str:
    """A name or a message in which nothing is left that opens an address: no user, password,
    query, token or header. The one function that decides what may be printed.

    What is not understood is cut down to what says where it lies.

    Example:
        >>> without_credentials("https://me:pw@host/a.tif?X-Amz-Signature=77 cannot be read")
        'https://host/a.tif cannot be read'
    """
    text = _DATABASE.sub(_bare_database, text)
    text = _BLANK_IN_USER.sub(r"\1\2", _BLANK_IN_PASSWORD.sub(r"\1\2", text))
    text = _ENCODED.sub(r"\1://...", _ADDRESS.sub(_bare, text))
    return _SECRET.sub(r"\g<name>...", _USER_ALONE.sub("", text))


def _bare_database(found: re.Match[str]) -> str:
    places = _PLACE_SETTING.findall(found["settings"])
    return f"{found['driver']}:{' '.join(places) or '...'}"


def bare_name(name: str) -> str:
    """A name to be shown: as :func:`without_credentials`, whatever blanks its query holds."""
    is_address = "://" in name or name.startswith("/vsi")
    return without_credentials(re.sub(r"\s", "%20", name) if is_address else name)


def place_from(name: str, folder: Path) -> str | None:
    """Where an input lies, as a folder of results keeps it: a local file, also one of a STAC item,
    by its path from there (with ``/``), so that both can be moved together; an address as it is, or
    None where that would keep a user, a password or a signature."""
    if lies_here(name) or not is_item_name(name):
        return _kept(name, folder)
    place = _kept(parse_item_name(name).place, folder)
    return None if place is None else with_place(name, lambda _: place)


def _kept(place: str, folder: Path) -> str | None:
    if lies_here(place):
        path = Path(place).resolve()
        try:
            return Path(os.path.relpath(path, folder.resolve())).as_posix()
        except ValueError:  # another drive, on Windows
            return path.as_posix()
    return place if without_credentials(place) == place else None


def found_from(name: str, folder: Path) -> str:
    """The inverse of :func:`place_from`: a name that a file in a folder holds, as it is opened from
    here. Relative paths count from the folder; addresses and names of GDAL stay as they are."""

    def found(place: str) -> str:
        beside = folder / place
        return place if is_gdal_name(place) and not lies_here(beside) else str(beside)

    return found(name) if lies_here(folder / name) else with_place(name, found)


def is_missing(name: str) -> bool:
    """Whether a name is that of a local file, a STAC item's among them, that is not there."""
    place = parse_item_name(name).place if is_item_name(name) else name
    return not (lies_here(name) or is_gdal_name(place) or lies_here(place))


def absolute(name: str) -> str:
    """A name as it is opened from every folder: a local file by its whole path."""

    def whole(place: str) -> str:
        is_local = lies_here(place) and not is_gdal_name(place)
        return str(Path(place).absolute()) if is_local else place

    return whole(name) if lies_here(name) else with_place(name, whole)


def address_identity(name: str) -> dict[str, str]:
    """What tells an address from others: all but user and signature. Of the query's other
    parameters, which may name the file, a hash."""
    rest = [
        part
        for found in _ADDRESS.finditer(re.sub(r"\s", "%20", name))
        for part in _naming(_query(found))
    ]
    digest = (
        {"query_sha256": hashlib.sha256("\n".join(sorted(rest)).encode()).hexdigest()}
        if rest
        else {}
    )
    return {"path": bare_name(name), **digest}


def holds_key(address: str) -> bool:
    """Whether an address opens to everyone what it names: by a user, a password or a signature in
    it. Other parameters of its query are none.

    Example:
        >>> holds_key("https://host/a.tif?X-Amz-Signature=77"), holds_key("https://host/a?page=2")
        (True, False)
    """
    found = _ADDRESS.search(address)
    if found is None:
        return False
    query = _query(found)
    count = len(parse_qsl(query[1:].replace("#", "&"), keep_blank_values=True))
    authority = re.split(r"[/?#]", found["rest"] or "", maxsplit=1)[0]
    return "@" in authority or len(_naming(query)) < count


def gdal_name(name: str) -> str:
    """A name of :data:`REMOTE` or :data:`PART_OF_FILE` as GDAL itself opens it, in whatever folder
    it is asked: with its own prefix for a scheme, and with absolute paths.

    Example:
        >>> gdal_name("s3://bucket/a.tif")
        '/vsis3/bucket/a.tif'
    """
    scheme, _, rest = name.partition("://")
    if scheme in _GDAL_PREFIXES:
        inside = re.sub("!/*", "/", rest, count=1) if scheme == "zip" else rest
        return gdal_name(_GDAL_PREFIXES[scheme] + inside)
    prefix, rest = re.findall(r"\A((?:/vsi[a-z0-9_]+/)*)(.*)", name, re.DOTALL)[0]
    if prefix:
        path = Path(rest)
        is_here = any(lies_here(place) for place in (path, *path.parents[:-1]))
        return f"{prefix}{path.absolute()}" if is_here else name
    parts = re.split(r'([:"]+)', name)
    return "".join(str(Path(part).absolute()) if _is_file(part) else part for part in parts)


def _bare(found: re.Match[str]) -> str:
    archive = found["archive"] or ""
    if found["options"]:
        return f"{archive}{found['options']}/{without_credentials(_url(found))}"
    slashes, place, query = _parts(found)
    inside = re.search(r"/[^=&?@]*$", query) if archive and not archive.endswith("{") else None
    start = found["store"] or found["scheme"]
    return f"{archive}{start}{slashes}{place}{inside[0] if inside else ''}"


def _parts(found: re.Match[str]) -> tuple[str, str, str]:
    """Slashes that are too many behind a scheme, which browsers pass over, and what
    :func:`_place_and_query` makes of the rest; a path of a file begins with one."""
    rest = found["rest"] or ""
    is_path = "file:" in (found["scheme"] or "").lower()
    bare = rest if is_path else rest.lstrip("/\\")
    return (rest[: len(rest) - len(bare)], *_place_and_query(bare))


def _place_and_query(rest: str) -> tuple[str, str]:
    """What follows a scheme, without user and password, and its query; a password may hold any
    character that an address must not."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    name, colon, port = authority.partition(":")
    is_port = not colon or port.isdigit() or name.startswith("[")
    before_query = re.split(r"[?#]", rest, maxsplit=1)[0]
    if "@" in authority or (colon and "@" in before_query):
        cut = before_query.rindex("@") + 1
        if not is_port and "@" not in authority and "@" in rest:
            cut = rest.rindex("@") + 1
        rest = rest[cut:]
    elif not is_port:  # a password, as no port has letters: where it ends nobody can tell
        rest = rest[rest.rindex("@") + 1 :] if "@" in rest else "..."
    # an address may have parameters in its path too: ;jsessionid=...
    place = re.split(r"[?#]|;(?=[^/?#;]*=)", rest, maxsplit=1)[0]
    return place, rest[len(place) :]


def _url(found: re.Match[str]) -> str:
    return next((value for key, value in parse_qsl(found["pairs"]) if key == "url"), "")


def _query(found: re.Match[str]) -> str:
    if found["options"]:
        inner = _ADDRESS.search(_url(found))
        return _query(inner) if inner else ""
    return _parts(found)[2]


def _naming(query: str) -> list[str]:
    pairs = parse_qsl(query[1:].replace("#", "&"), keep_blank_values=True)
    by_azure = any(name.lower() == "sig" for name, _ in pairs)
    return [
        f"{name}={value}"
        for name, value in pairs
        if not _is_signing(name.lower(), by_azure=by_azure)
    ]


def _is_signing(name: str, *, by_azure: bool) -> bool:
    return bool(_SIGNING.fullmatch(name) or (by_azure and _SIGNING_OF_AZURE.fullmatch(name)))
