"""Names of files as GDAL takes them: paths, addresses, parts of files; and the same without what
opens them to others.

A signed address, or one with a password, is a key. It serves to read and stands nowhere else:
manifests, pages and messages show it without its query and user, and ``--resume`` knows a file by
what is left, since a signature is another one every day.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import parse_qsl

REMOTE = ("http://", "https://", "s3://", "gs://", "az://", "/vsi", "zip://", "ftp://")
"""Beginnings of paths that GDAL opens by itself."""

PART_OF_FILE = re.compile(r"[A-Z][A-Z0-9_]+:")
"""Beginning of a GDAL name for a part of a file: ``NETCDF:"scenes.nc":red``,
``GTIFF_DIR:2:both.tif``."""

_ADDRESS = re.compile(
    r"""(?P<archive>/vsi(?:zip|tar|gzip|7z|rar)/+\{?)?          # what lies in an archive follows the archive's own address
    (?:(?P<options>/vsi[a-z0-9_]+)\?(?P<pairs>[^\s"'{}]*)       # /vsicurl?header.Authorization=...&url=https%3A%2F%2F...
    |(?P<scheme>(?:/vsi[a-z0-9_]+/)?(?:[a-z][a-z0-9+.-]*://|https?:/|ftp:/))  # a Path has lost one of the slashes
    (?:[^\s"'{}/?\#]*@)?(?P<place>[^\s"'{}?\#]*)(?P<query>[?\#][^\s"'{}]*)?)""",
    re.IGNORECASE | re.VERBOSE,
)

_SIGNING = re.compile(
    r"x-(amz|goog|oss|cos|obs|ms)-.*|q-.*|(aws|google|oss)?access(key)?id|signature|sig|expires|policy|key-pair-id|"
    r"(access_?|auth_?|session_?|id_)?token|(api|subscription|access)[-_]?key|key|auth.*|password|secret|hdn(ts|ea)|md5|hmac|jwt"
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


def lies_here(path: str | Path) -> bool:
    """Whether there is a file or folder of this name; signed addresses are longer than any may be,
    which is no error."""
    try:
        return Path(path).exists()
    except OSError:
        return False


def without_credentials(text: str) -> str:
    """A name or a message in which addresses have lost user, password and query.

    Example:
        >>> without_credentials("https://me:pw@host/a.tif?X-Amz-Signature=77 cannot be read")
        'https://host/a.tif cannot be read'
    """
    return _ADDRESS.sub(_bare, text)


def bare_name(name: str) -> str:
    """A name to be shown: as :func:`without_credentials`, whatever blanks its query holds."""
    is_address = "://" in name or name.startswith("/vsi")
    return without_credentials(re.sub(r"\s", "%20", name) if is_address else name)


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


def _bare(found: re.Match[str]) -> str:
    archive, query = found["archive"] or "", found["query"] or ""
    if found["options"]:
        return f"{archive}{found['options']}/{without_credentials(_url(found))}"
    inside = re.search(r"/[^=&?]*$", query) if archive and not archive.endswith("{") else None
    return f"{archive}{found['scheme']}{found['place']}{inside[0] if inside else ''}"


def _url(found: re.Match[str]) -> str:
    return next((value for key, value in parse_qsl(found["pairs"]) if key == "url"), "")


def _query(found: re.Match[str]) -> str:
    if found["options"]:
        inner = _ADDRESS.search(_url(found))
        return _query(inner) if inner else ""
    return found["query"] or ""


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
