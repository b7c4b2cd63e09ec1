"""Addresses with users, passwords, tokens and signatures: none of it may be seen anywhere.

Nothing answers at them (port 1 of this machine, made-up drivers), so that each ends in an error.
"""

from __future__ import annotations

from campaigns import commands
from campaigns.kinds import Bench, Command, Kind, Kinds

SECRET = "s3cr3tPassw0rd"
HOST = "127.0.0.1:1"

FORMS = (
    "https://user:{s}@{h}/a.tif", "http://{s}@{h}/a.tif", "https://{h}/a.tif?sig={s}",
    "https://{h}/a.tif?token={s}&x=1", "https://{h}/a.tif#{s}",
    "https://{h}/a.tif?X-Amz-Signature={s}",
    "/vsicurl/https://user:{s}@{h}/a.tif", "/vsicurl/https://{h}/a.tif?se=1&sig={s}",
    "/vsicurl?userpwd=user:{s}&url=http%3A%2F%2F{h}%2Fa.tif",
    "/vsicurl?header.Authorization=Bearer%20{s}&url=http://{h}/a.tif",
    "/vsizip//vsicurl/https://user:{s}@{h}/a.zip/a.tif",
    "/vsizip/{{/vsicurl/https://{h}/a.zip?token={s}}}/a.tif",
    "/vsitar//vsigzip//vsicurl/https://user:{s}@{h}/a.tar.gz/a.tif",
    "/vsicurl_streaming/https://user:{s}@{h}/a.tif", "/vsis3_streaming/bucket/a.tif?k={s}",
    "/vsiaz/box/a.tif?sv=1&sig={s}", "/vsigs/bucket/a.tif?access_token={s}",
    "s3://key:{s}@bucket/a.tif", "gs://bucket/a.tif?token={s}", "ftp://user:{s}@{h}/a.tif",
    'NETCDF:"https://user:{s}@{h}/a.nc":red', "HDF5:https://user:{s}@{h}/a.h5://red",
    "GTIFF_DIR:1:https://user:{s}@{h}/a.tif", "PG:dbname=x host=127.0.0.1 port=1 password={s}",
    "PG:host=127.0.0.1 port=1 password='{s}' user=me", "postgresql://user:{s}@{h}/db",
    "MYSQL:db,host=127.0.0.1,port=1,user=me,password={s}", "WMS:http://user:{s}@{h}/wms?layers=a",
    "WFS:http://{h}/wfs?token={s}", "WCS:http://{h}/wcs?key={s}", "https://us er:{s}@{h}/a.tif",
    "https://user:a/{s}@{h}/a.tif", "https://user:a%40{s}@{h}/a.tif", "HTTPS://USER:{s}@{h}/A.TIF",
    "https:/user:{s}@{h}/a.tif", "https://{h}/a.tif?a=1&PASSWORD={s}", "https://{h}/{s}@/a?key={s}",
    "MSSQL:server=127.0.0.1;database=x;uid=me;pwd={s}", "CARTO:x tables=a AUTH={s}",
    "ES:http://user:{s}@{h}", "AmigoCloud:1 AMIGOCLOUD_API_KEY={s}",
    "vrt://https://u:{s}@{h}/a.tif",
    "zip+https://user:{s}@{h}/a.zip!a.tif", "CSW:http://user:{s}@{h}/csw", "https://[::1]:1/?k={s}",
    "STACIT:\"https://{h}/s?token={s}\"",
    "DODS:http://u:{s}@{h}/x",
    "OGCAPI:http://u:{s}@{h}",
)  # fmt: skip


NOWHERE = {
    "GDAL_HTTP_TIMEOUT": "3",
    "GDAL_HTTP_CONNECTTIMEOUT": "2",
    "AWS_NO_SIGN_REQUEST": "YES",
    "AWS_S3_ENDPOINT": HOST,
    "AWS_ENDPOINT_URL": f"http://{HOST}",
    "AWS_EC2_METADATA_DISABLED": "true",
    "GS_NO_SIGN_REQUEST": "YES",
    "CPL_GS_ENDPOINT": f"http://{HOST}/",
    "CPL_GCE_SKIP": "YES",
    "AZURE_NO_SIGN_REQUEST": "YES",
    "AZURE_STORAGE_CONNECTION_STRING": f"BlobEndpoint=http://{HOST}/;SharedAccessSignature=x",
}
"""Settings that send the stores of all clouds to where nothing answers, and do so soon."""


def address(bench: Bench, verb: str) -> Command:
    """An address that holds a secret, in each place where a file can be named."""
    random = bench.random
    form = random.choice(FORMS)
    name = form.format(s=SECRET, h=HOST)
    if verb == "pairs":
        listing = bench.folder / "list.csv"
        cell = '"' + name.replace('"', '""') + '"'
        sound = bench.sound("after.tif").name
        listing.write_text(f"name,before,after\na,{cell},{sound}\nb,{sound},{sound}\n")
        command = commands.pairs(bench, listing, form)
    elif verb == "footprints":
        words = ["footprints", name, "--out", "out"]
        command = Command(words, form, writes=(bench.folder / "out",))
    elif verb == "check":
        command = Command(["check", bench.sound("before.tif").name, name], form)
    elif random.random() < 0.55:
        command = commands.sound_detect(bench, f"--aoi {form}", "--aoi", name)
    elif random.random() < 0.5:
        command = commands.detect(bench, name, bench.sound("after.tif").name, form)
    else:
        option = random.choice(("--weights", "--scout"))
        command = commands.sound_detect(bench, f"{option} {form}", option, name)
    return Command(
        command.arguments, command.what, command.writes, secrets=(SECRET,), environment=NOWHERE
    )


KINDS: Kinds = {"credentials": Kind(address, ("detect", "check", "footprints", "pairs"))}
