from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import zipfile

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.formats import archives
from recsys_lab.data.formats.archives import find_members, member_key, open_member


def packed(folder, form, files):
    """The files in a folder, zip, tar or tar.gz."""
    place = folder / f"set.{form}"
    if form == "folder":
        (place / "deep").mkdir(parents=True)
        for name, data in files.items():
            (place / "deep" / name).write_bytes(data)
    elif form == "zip":
        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(f"set/deep/{name}", data)
    else:
        with tarfile.open(place, "w:gz" if form != "tar" else "w") as archive:
            for name, data in files.items():
                info = tarfile.TarInfo(f"./deep/{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return place


def read_members(place, names, option):
    found = {}
    for name in names:
        with open_member(place, name, option) as stream:
            found[name] = stream.read()
    return found


FORMS = ["folder", "zip", "tar", "tar.gz", "tgz"]
FILES = {"a.csv": b"1,2\n" * 50_000, "b.json": b'{"x": "\xc3\xa9"}\n'}


@pytest.mark.parametrize("form", FORMS)
def test_members(tmp_path, form):
    place = packed(tmp_path, form, FILES)
    assert find_members(place, ["b.json", "no.txt", "a.csv"], "data.path") == ["b.json", "a.csv"]
    assert read_members(place, ["b.json", "a.csv"], "data.path") == FILES
    assert member_key(place, ["a.csv"], "data.path") == {
        "a.csv": {"bytes": 200_000, "sha256": hashlib.sha256(FILES["a.csv"]).hexdigest()}
    }
    with pytest.raises(UserError, match=r"data.path=.*has no c.csv; expected c.csv or c.csv.gz"):
        read_members(place, ["b.json", "c.csv"], "data.path")
    with (
        pytest.raises(UserError, match=r"has no c.csv"),
        open_member(place, "c.csv", "data.path"),
    ):
        pass


@pytest.mark.parametrize("form", FORMS)
def test_gzip_inside(tmp_path, form):
    place = packed(tmp_path, form, {"a.csv.gz": gzip.compress(FILES["a.csv"])})
    assert find_members(place, ["a.csv"], "data.path") == ["a.csv"]
    with open_member(place, "a.csv", "data.path") as stream:
        assert stream.read() == FILES["a.csv"]


@pytest.mark.parametrize("zipped", [False, True])
def test_single_files(tmp_path, zipped):
    place = tmp_path / "renamed.txt"  # a browser unpacks and keeps .gz, or packs and drops it
    place.write_bytes(gzip.compress(FILES["a.csv"]) if zipped else FILES["a.csv"])
    with open_member(place, "a.csv", "data.path") as stream:
        assert stream.read() == FILES["a.csv"]


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz", "gz"])
def test_cut_short(tmp_path, form):
    place = tmp_path / "a.csv.gz"
    data = os.urandom(100_000)
    place.write_bytes(gzip.compress(data))
    if form != "gz":
        place = packed(tmp_path, form, {"a.csv": data})
    place.write_bytes(place.read_bytes()[:50_000])
    with (
        pytest.raises(
            UserError, match=r"data.path=.*not a complete \w+ archive .*download it again"
        ),
        open_member(place, "a.csv", "data.path") as stream,
    ):
        stream.read()


def test_flipped_bits(tmp_path):
    place = packed(tmp_path, "zip", {"a.csv": os.urandom(10_000)})
    data = bytearray(place.read_bytes())
    data[5_000] ^= 255
    place.write_bytes(data)
    with pytest.raises(UserError, match=r"not a complete zip archive \(Bad CRC-32"):
        read_members(place, ["a.csv"], "data.path")


@pytest.mark.parametrize("form", ["zip", "tar.gz", "gz", "gz in zip"])
def test_bombs(tmp_path, form, monkeypatch):
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 20)
    zeros = bytes(20 << 20)  # 1000 times larger than packed
    place = tmp_path / "a.csv.gz"
    place.write_bytes(gzip.compress(zeros))
    if form == "gz in zip":
        place = packed(tmp_path, "zip", {"a.csv.gz": place.read_bytes()})
    elif form != "gz":
        place = packed(tmp_path, form, {"a.csv": zeros})
    with (
        pytest.raises(UserError, match=r"data.path=.*unpacks to more than .* as a zip bomb does"),
        open_member(place, "a.csv", "data.path") as stream,
    ):
        shutil.copyfileobj(stream, io.BytesIO())


def test_a_bomb_beside_the_wanted_member(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 20)
    place = packed(tmp_path, "tar.gz", {"x": bytes(20 << 20), "a.csv": b"1,2\n"})
    with pytest.raises(UserError, match=r"zip bomb"):
        read_members(place, ["a.csv"], "data.path")


def test_well_packed_text_is_no_bomb(tmp_path):
    text = b"196,242,3.0,881250949\n" * 500_000  # 11 MB, packs 300 times: small files may
    place = packed(tmp_path, "zip", {"a.csv": text})
    assert read_members(place, ["a.csv"], "data.path")["a.csv"] == text


@pytest.mark.parametrize("member", ["../a.csv", "/etc/a.csv", "x/../../a.csv", "c:\\a.csv"])
@pytest.mark.parametrize("form", ["zip", "tar"])
def test_members_that_lead_out(tmp_path, form, member):
    place = tmp_path / f"set.{form}"
    if form == "zip":
        with zipfile.ZipFile(place, "w") as archive:
            archive.writestr(member, "1,2\n")
    else:
        with tarfile.open(place, "w") as archive:
            archive.addfile(tarfile.TarInfo(member))
    with pytest.raises(UserError, match=r"unsafe archive, its member .* leads out of the folder"):
        read_members(place, ["a.csv"], "data.path")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices(tmp_path, kind):
    place = tmp_path / "set.tar"
    with tarfile.open(place, "w") as archive:
        info = tarfile.TarInfo("a.csv")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(UserError, match=r"its member 'a.csv' is a link or a device"):
        read_members(place, ["a.csv"], "data.path")


def test_not_an_archive(tmp_path):
    place = tmp_path / "set.zip"
    place.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match=r"not a complete zip archive \(File is not a zip file\)"):
        read_members(place, ["a.csv"], "data.path")
