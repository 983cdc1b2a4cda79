from __future__ import annotations

import errno
import hashlib
import http.server
import os
import threading
import time
from typing import ClassVar

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.formats import download as module
from recsys_lab.data.formats.download import download
from recsys_lab.files.faults import MachineFault

DATA = bytes(range(256)) * 20_000  # 5 MB
SHA = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()


class Site(http.server.BaseHTTPRequestHandler):
    """Gives `data`; `cuts` says after how many bytes each answer breaks off."""

    data = DATA
    etag: str | None = '"one"'
    cuts: ClassVar[list[int]] = []
    asked: ClassVar[list[str | None]] = []

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
    server.handle_error = lambda *_: None  # clients that go away
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
    with pytest.raises(UserError, match=rf"its MD5 is {MD5}, expected {'0' * 32}"):
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
        if "resuming" in text:
            Site.etag, Site.data = '"two"', DATA[::-1]
        warn(text, *args)

    monkeypatch.setattr(module.log, "warning", changed)
    assert download(url, None, tmp_path, "").read_bytes() == DATA[::-1]


def test_a_connection_that_always_breaks(url, tmp_path):
    Site.cuts = [10] * 10
    with pytest.raises(
        UserError,
        match=r"the connection broke 4 times \(10 of 5,119,970 bytes received\). Nothing was",
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
        MachineFault, match=r"data.download_dir=.*no space left .*5,120,000 bytes, 1,000 are"
    ):
        download(url, None, tmp_path, "")
    monkeypatch.setattr(module.shutil, "disk_usage", usage)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.shutil, "copyfileobj", full)
    with pytest.raises(MachineFault, match=r"no space left for http.*nothing was kept"):
        download(url, None, tmp_path, "")
    assert names(tmp_path) == []

    def forbidden(self, *_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(type(tmp_path), "mkdir", forbidden)
    with pytest.raises(
        UserError, match=r"data.download_dir=.*no permission to read or write there"
    ):
        download(url, None, tmp_path / "x", "")


def test_a_file_where_the_folder_should_be(url, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"data.download_dir=.*cannot be used"):
        download(url, None, tmp_path / "file", "")
