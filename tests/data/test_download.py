from __future__ import annotations

import errno
import gzip
import hashlib
import http.server
import io
import os
import tarfile
import threading
import time
import zipfile

import pytest

from recsys_lab.config import UserError
from recsys_lab.data import archives
from recsys_lab.data import download as module
from recsys_lab.data.archives import find_members, member_key, open_member
from recsys_lab.data.download import download, read_members

DATA = bytes(range(256)) * 20_000  # 5 MB
SHA = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()


class Site(http.server.BaseHTTPRequestHandler):
    """Gives `data`; `cuts` says after how many bytes each answer breaks off."""

    data = DATA
    etag: str | None = '"one"'
    cuts: list[int] = []
    asked: list[str | None] = []

    def do_GET(self):
        cls = type(self)
        asked = self.headers.get("Range")
        cls.asked.append(asked)
        start = 0
        if asked and self.headers.get("If-Range") == cls.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        body = cls.data[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(cls.data) - 1}/{len(cls.data)}")
        if cls.etag:
            self.send_header("ETag", cls.etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: cls.cuts.pop(0)] if cls.cuts else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    Site.data, Site.etag, Site.cuts, Site.asked = DATA, '"one"', [], []
    yield f"http://127.0.0.1:{server.server_port}/log.csv.gz"
    server.shutdown()
    thread.join()
    server.server_close()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_first_use_is_trusted_and_checked_later(url, tmp_path, caplog):
    folder = tmp_path / "a" / "b"
    file = download(url, None, folder, "No licence is stated.")
    assert file.read_bytes() == DATA
    assert "No licence is stated." in caplog.text
    record = folder / "log.csv.gz.sha256"
    assert record.read_text() == f"{SHA}  log.csv.gz\n"
    assert download(url, None, folder, "") == file
    assert download(url, None, folder, "", sha256=SHA.upper()) == file
    assert Site.asked == [None]
    file.write_bytes(DATA + b"x")
    with pytest.raises(UserError, match=rf"has changed since its first use: .*says {SHA}"):
        download(url, None, folder, "")
    assert file.exists()  # what the user has is never deleted


def test_a_file_put_there_by_hand_is_remembered(url, tmp_path):
    (tmp_path / "log.csv.gz").write_bytes(b"mine")
    download(url, None, tmp_path, "")
    assert (
        (tmp_path / "log.csv.gz.sha256").read_text().startswith(hashlib.sha256(b"mine").hexdigest())
    )
    assert Site.asked == []


def test_hashes(url, tmp_path):
    with pytest.raises(
        UserError, match=rf"data.sha256={'0' * 64}: .*log.csv.gz .*has the SHA-256 {SHA}"
    ):
        download(url, None, tmp_path, "", sha256="0" * 64)
    with pytest.raises(UserError, match=rf"its MD5 is {MD5}, {'0' * 32} is expected"):
        download(url, "0" * 32, tmp_path, "")
    assert names(tmp_path) == []
    download(url, MD5, tmp_path, "")
    assert names(tmp_path) == ["log.csv.gz"]  # a published hash needs no record
    with pytest.raises(UserError, match=r"data.sha256=ffff"):
        download(url, MD5, tmp_path, "", sha256="ffff")


def test_a_broken_connection_goes_on(url, tmp_path):
    Site.cuts = [1_000_000, 2_000_000]
    assert download(url, MD5, tmp_path, "").read_bytes() == DATA
    assert Site.asked == [None, "bytes=1000000-", "bytes=3000000-"]
    assert names(tmp_path) == ["log.csv.gz"]


def test_without_a_name_of_the_content_it_begins_again(url, tmp_path):
    Site.etag, Site.cuts = None, [1_000_000]
    assert download(url, MD5, tmp_path, "").read_bytes() == DATA
    assert Site.asked == [None, None]


def test_content_that_changes_in_between_is_not_mixed(url, tmp_path, monkeypatch):
    Site.cuts = [1_000_000]
    warn = module.log.warning

    def changed(text, *args):
        if "going on" in text:
            Site.etag, Site.data = '"two"', DATA[::-1]
        warn(text, *args)

    monkeypatch.setattr(module.log, "warning", changed)
    assert download(url, None, tmp_path, "").read_bytes() == DATA[::-1]


def test_a_connection_that_always_breaks(url, tmp_path):
    Site.cuts = [10] * 10
    with pytest.raises(
        UserError, match=r"the connection broke 4 times \(10 of 4,?\d+,\d+ bytes|broke 4"
    ):
        download(url, None, tmp_path, "")
    assert len(Site.asked) == module.ATTEMPTS
    assert names(tmp_path) == []


def test_interruption_leaves_nothing(url, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.shutil, "copyfileobj", stop)
    with pytest.raises(KeyboardInterrupt):
        download(url, None, tmp_path, "")
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_swept(url, tmp_path):
    old, new = tmp_path / ".log.csv.gz-0123abcd", tmp_path / ".log.csv.gz-4567abcd"
    for half in (old, new):
        half.write_bytes(b"half")
    os.utime(old, (time.time() - 100_000,) * 2)
    download(url, MD5, tmp_path, "")
    assert names(tmp_path) == [".log.csv.gz-4567abcd", "log.csv.gz"]


def test_no_space_and_no_permission(url, tmp_path, monkeypatch):
    usage = module.shutil.disk_usage
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(path)._replace(free=1_000))
    with pytest.raises(
        UserError, match=r"data.download_dir=.*no space left .*5,120,000 bytes, 1,000 are"
    ):
        download(url, None, tmp_path, "")
    monkeypatch.setattr(module.shutil, "disk_usage", usage)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.shutil, "copyfileobj", full)
    with pytest.raises(UserError, match=r"no space left for http.*nothing was kept"):
        download(url, None, tmp_path, "")
    assert names(tmp_path) == []

    def forbidden(self, *_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(
        module.Path if hasattr(module, "Path") else type(tmp_path), "mkdir", forbidden
    )
    with pytest.raises(
        UserError, match=r"data.download_dir=.*no permission to read or write there"
    ):
        download(url, None, tmp_path / "x", "")


def test_a_file_where_the_folder_should_be(url, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"data.download_dir=.*cannot be used"):
        download(url, None, tmp_path / "file", "")


# archives


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
    with pytest.raises(UserError, match=r"data.path=.*has no c.csv; expected are b.json, c.csv"):
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
        pytest.raises(UserError, match=r"data.path=.*is not a whole \w+ archive .*get it again"),
        open_member(place, "a.csv", "data.path") as stream,
    ):
        stream.read()


def test_flipped_bits(tmp_path):
    place = packed(tmp_path, "zip", {"a.csv": os.urandom(10_000)})
    data = bytearray(place.read_bytes())
    data[5_000] ^= 255
    place.write_bytes(data)
    with pytest.raises(UserError, match=r"is not a whole zip archive \(Bad CRC-32"):
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
        while stream.read(1 << 20):
            pass


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
    place = tmp_path / "set.bin"
    place.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match=r"is not a whole zip archive \(File is not a zip file\)"):
        read_members(place, ["a.csv"], "data.path")
