"""Addresses are shown without what opens them, and known again by what is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanet.imagery.addresses import (
    address_identity,
    bare_name,
    gdal_name,
    place_from,
    without_credentials,
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("https://host/a.tif?X-Amz-Signature=KEY&X-Amz-Date=1", "https://host/a.tif"),
        ("https://user:KEY@host:8080/a.tif", "https://host:8080/a.tif"),
        ("https://KEY@host/a.tif?mail=a@b", "https://host/a.tif"),
        ("/vsicurl/https://user:KEY@host/a.tif?sig=KEY", "/vsicurl/https://host/a.tif"),
        (
            "/vsicurl?header.Authorization=KEY&url=https%3A%2F%2Fhost%2Fa.tif%3Fsig%3DKEY",
            "/vsicurl/https://host/a.tif",
        ),
        (
            "/vsizip/{/vsicurl/https://host/a.zip?sig=KEY}/in/x.tif",
            "/vsizip/{/vsicurl/https://host/a.zip}/in/x.tif",
        ),
        (
            "/vsizip//vsicurl/https://host/a.zip?sig=KEY/in/x.tif",
            "/vsizip//vsicurl/https://host/a.zip/in/x.tif",
        ),
        ('NETCDF:"https://host/a b.nc?token=KEY KEY":red', 'NETCDF:"https://host/a%20b.nc":red'),
        ("https:/user:KEY@host/a.gpkg?sig=KEY", "https:/host/a.gpkg"),  # a Path has lost a slash
        ("https://host/a.tif#access_token=KEY", "https://host/a.tif"),
        ("s3://bucket/before/a.tif", "s3://bucket/before/a.tif"),
        ("/vsis3/bucket/a.tif", "/vsis3/bucket/a.tif"),
        ("/data/what?/a#1@home.tif", "/data/what?/a#1@home.tif"),
        ("C:/data/a#1.tif", "C:/data/a#1.tif"),
    ],
)
def test_what_is_shown(name: str, shown: str) -> None:
    assert bare_name(name) == shown
    assert address_identity(name)["path"] == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("https://user:KEY/KEY@host/a.tif", "https://host/a.tif"),
        (r"https:\\user:KEY@host:1\a.tif", r"https:\\host:1\a.tif"),
        (r"https:\user:KEY@host\a.tif", r"https:\host\a.tif"),
        ("https://user:KEY KEY@host/a.tif", "https://host/a.tif"),
        ("https://us er:KEY@host/a.tif", "https://host/a.tif"),
        ("https://u s er:KEY KEY@host/a.tif", "https://host/a.tif"),
        ("https://user:K@EY/KEY@host/a.tif?x=1", "https://host/a.tif"),
        ("https://user:K?EY#KEY@host/a.tif", "https://host/a.tif"),
        ("https://user:KEY", "https://..."),
        ("postgresql://user:KEY@host/db?sslpassword=KEY", "postgresql://host/db"),
        ("PG:host=here user=KEY password=KEY dbname=towns", "PG:host=here dbname=towns"),
        ("PG:postgresql://user:KEY@host/db", "PG:..."),
        ("MYSQL:towns,user=KEY,password=KEY,port=3306", "MYSQL:port=3306"),
        ("OCI:KEY/KEY@server", "OCI:..."),
        ("/vsis3_streaming/bucket/a.tif?k=KEY", "/vsis3_streaming/bucket/a.tif"),
        ("/vsiaz/box/a.tif?sv=1&sig=KEY", "/vsiaz/box/a.tif"),
        ('NETCDF:"https://u:KEY@host/a.nc":red', 'NETCDF:"https://host/a.nc":red'),
        (
            "/vsizip/{/vsitar/{/vsicurl/https://u:KEY@host/a.tar?sig=KEY}/b.zip}/x.tif",
            "/vsizip/{/vsitar/{/vsicurl/https://host/a.tar}/b.zip}/x.tif",
        ),
        ("/vsicurl?userpwd=u:KEY&url=https%3A%2F%2Fhost%2Fa.tif", "/vsicurl/https://host/a.tif"),
        ("/vsicurl?userpwd=u:KEY", "/vsicurl/"),
        ("s3://KEY:KEY@bucket/a.tif", "s3://bucket/a.tif"),
        ("WFS:https://u:KEY@host/wfs?token=KEY", "WFS:https://host/wfs"),
        ("https://host:8080/a@2x.tif", "https://2x.tif"),  # rather too little than a password
        ("https://host/a@2x.tif", "https://host/a@2x.tif"),
    ],
)
def test_of_what_is_not_understood_only_the_place_is_shown(name: str, shown: str) -> None:
    assert bare_name(name) == shown
    assert "KEY" not in without_credentials(f"cannot open '{name}': no such file")
    assert "KEY" not in without_credentials(f"{name} does not exist")


@pytest.mark.parametrize(
    "message",
    [
        "option password=KEY was refused",
        "Authorization: Bearer KEYKEYKEYKEYKEYKEY was refused",
        "<UserPwd>me:KEY</UserPwd>",
        "AWS_SECRET_ACCESS_KEY=KEY is set",
        'unsupported option: header.Authorization="Basic KEY KEY"',
    ],
)
def test_secrets_outside_an_address_are_cut(message: str) -> None:
    assert "KEY" not in without_credentials(message).replace("ACCESS_KEY", "")


@pytest.mark.parametrize(
    "message",
    [
        "there is no file /data/a=b/before.tif",
        "--set pfbs = 'normal' is no number",
        "C:/data/before.tif cannot be read: TIFFReadDirectory:Failed to read directory",
        "the key 'token' is missing; the keys are: name, model",
        "error: 08:15:00 at 10:30",
    ],
)
def test_ordinary_messages_stay(message: str) -> None:
    assert without_credentials(message) == message


def test_messages_lose_them_too() -> None:
    said = (
        "'/vsicurl/https://u:KEY@host/a.tif?sig=KEY' does not exist, (see "
        "https://other/b?key=KEY) why?"
    )
    assert (
        without_credentials(said)
        == "'/vsicurl/https://host/a.tif' does not exist, (see https://other/b why?"
    )


@pytest.mark.parametrize(
    "again",
    [
        "https://host/a.tif?id=1&X-Amz-Signature=2&X-Amz-Expires=9",
        "https://me:pw@host/a.tif?X-Goog-Signature=3&id=1",
        "https://host/a.tif?id=1&sv=2024&se=2026-11-27&sr=b&sp=r&sig=4",
        "https://host/a.tif?Expires=1&id=1&Signature=5&Key-Pair-Id=6&access_token=7",
    ],
)
def test_a_signature_is_no_part_of_what_a_file_is(again: str) -> None:
    assert address_identity(again) == address_identity("https://host/a.tif?id=1")


def test_what_names_the_file_is() -> None:
    names = [
        "https://host/a.tif",
        "https://host/a.tif?id=1",
        "https://host/a.tif?id=2&sig=3",
        "https://host/a.tif?sv=1",  # a parameter of Azure's only beside a signature
        "https://host/b.tif?id=1",
        "/vsizip//vsicurl/https://host/a.zip?sig=1/x.tif",
        "/vsizip//vsicurl/https://host/a.zip?sig=1/y.tif",
        "/vsicurl?use_head=no&url=https%3A%2F%2Fhost%2Fa.tif%3Fid%3D1",
    ]
    identities = [address_identity(name) for name in names]
    assert all(one != other for index, one in enumerate(identities) for other in identities[:index])
    assert "3" not in str(identities[2]["path"])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("http:///KEY@host/a.tif", "http:///host/a.tif"),
        ("https:////user:KEY@host/a.tif?sig=KEY", "https:////host/a.tif"),
        ("file:///data/a@b.tif", "file:///data/a@b.tif"),
        ("https://us er:?~?@KEY~?@@host/a.tif", "https://host/a.tif"),
        ("https://me:a b@KEY@host/a.tif", "https://host/a.tif"),
        ("https://me:a@b KEY@host/a.tif", "https://host/a.tif"),
        ("https://us er:@w/KEY@host/a.tif", "https://host/a.tif"),
        ("/vsizip//vsicurl/https://me:7?/KEY@host/a.zip", "/vsizip//vsicurl/https://me:7/a.zip"),
        ("/vsis3//bucket/a.tif?sig=KEY", "/vsis3//bucket/a.tif"),
    ],
)
def test_slashes_blanks_and_further_signs_hide_no_user(name: str, shown: str) -> None:
    assert without_credentials(name) == shown
    assert "KEY" not in str(address_identity(name))


@pytest.mark.parametrize("part", ["x", "9", "a/", "x.", "http:", "token "])
def test_long_texts_are_read_in_one_pass(part: str) -> None:
    """A pattern that begins anew at every letter took 20 s for 16,000 of them, and no end for an
    option of 100,000: far beyond pytest's own limit."""
    text = part * (400_000 // len(part))
    assert without_credentials(text) == text


@pytest.mark.parametrize(
    "part", ["http://a:b ", "http://a:b@ ", "http://a b:c ", "/vsizip/{", "PG:a/", "ES:a "]
)
def test_beginnings_of_addresses_that_never_end_are_tried_once(part: str) -> None:
    """8,000 letters of the first took 16 s, and eight times as long for twice as many."""
    assert "a:b" not in without_credentials(part * (50_000 // len(part)))


def test_a_setting_of_a_driver_that_nobody_knows_loses_its_key() -> None:
    assert "secret" not in without_credentials("CARTO:x tables=a AUTH=secret cannot be opened")


def test_a_folder_of_results_keeps_where_its_inputs_lie_but_no_key(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "before.tif").touch()
    out = tmp_path / "results" / "town"
    assert place_from(str(tmp_path / "images" / "before.tif"), out) == "../../images/before.tif"
    plain = "https://example.org/before.tif"
    assert place_from(plain, out) == plain
    assert place_from("/vsizip/archive.zip/before.tif", out) == "/vsizip/archive.zip/before.tif"
    for key in ("https://me:pw@example.org/b.tif", "s3://bucket/b.tif?X-Amz-Signature=77"):
        assert place_from(key, out) is None


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("https://host/a.tif", "/vsicurl/https://host/a.tif"),
        ("ftp://host/a.tif", "/vsicurl/ftp://host/a.tif"),
        ("s3://bucket/a.tif", "/vsis3/bucket/a.tif"),
        ("gs://bucket/a.tif", "/vsigs/bucket/a.tif"),
        ("az://box/a.tif", "/vsiaz/box/a.tif"),
        ("/vsicurl/https://host/a.tif", "/vsicurl/https://host/a.tif"),
        ("/vsizip/{/vsicurl/https://host/a.zip}/x.tif", "/vsizip/{/vsicurl/https://host/a.zip}/x.tif"),
        ("zip:///nowhere/a.zip!/x.tif", "/vsizip//nowhere/a.zip/x.tif"),
        ("zip://nowhere.zip!x.tif", "/vsizip/nowhere.zip/x.tif"),
    ],
)  # fmt: skip
def test_names_are_spelled_for_gdal(name: str, spelled: str) -> None:
    assert gdal_name(name) == spelled


def test_parts_of_local_files_are_found_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.zip", "scenes.nc", "both.tif"):
        (tmp_path / name).touch()
    assert gdal_name("/vsizip/a.zip/in/x.tif") == f"/vsizip/{tmp_path}/a.zip/in/x.tif"
    assert gdal_name("zip://a.zip!/x.tif") == f"/vsizip/{tmp_path}/a.zip/x.tif"
    assert gdal_name('NETCDF:"scenes.nc":red') == f'NETCDF:"{tmp_path}/scenes.nc":red'
    assert gdal_name("GTIFF_DIR:2:both.tif") == f"GTIFF_DIR:2:{tmp_path}/both.tif"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host/a;jsessionid=secret", "https://host/a"),
        ("https://host/a;b.tif", "https://host/a;b.tif"),
        ("file:/me:secret@host/a is missing", "file:/host/a is missing"),
        ("file:///home/me/a@b.tif", "file:///home/me/a@b.tif"),
        ("//me:secret@host:80/a is missing", "//host:80/a is missing"),
        ("me:secret@host:80/a: No such file", "host:80/a: No such file"),
        ("https%3A%2F%2Fme%3Asecret%40host is missing", "https://... is missing"),
        ("a.tif: 3@4 bands", "a.tif: 3@4 bands"),
        ("a:b@2x.tif", "a:b@2x.tif"),
    ],
)
def test_users_and_sessions_are_cut_in_forms_that_are_no_whole_address(
    text: str, shown: str
) -> None:
    assert without_credentials(text) == shown
