"""Where published files are taken from, and what their archives may do."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.published import files as official
from recsys_lab.data.sources.published.gowalla import Gowalla
from recsys_lab.data.sources.published.kuairand import KuaiRand
from recsys_lab.data.sources.published.lastfm import LastFM
from recsys_lab.data.sources.published.online_retail import OnlineRetail
from recsys_lab.data.sources.published.yambda import Yambda

HUB = "https://huggingface.co/datasets/yandex/yambda/resolve/main"
ZENODO = "https://zenodo.org/records/10439422/files"


@pytest.mark.parametrize(
    ("kind", "name", "options", "url", "md5", "folder"),
    [
        (Gowalla, "gowalla", {},
         "https://snap.stanford.edu/data/loc-gowalla_totalCheckins.txt.gz", None, ""),
        (LastFM, "lastfm", {},
         "http://mtg.upf.edu/static/datasets/last.fm/lastfm-dataset-1K.tar.gz", None, ""),
        (OnlineRetail, "online_retail", {},
         "https://archive.ics.uci.edu/static/public/352/online+retail.zip", None, ""),
        (KuaiRand, "kuairand", {}, f"{ZENODO}/KuaiRand-Pure.tar.gz",
         "0820331067a3784d9691136f772b35a7", ""),
        (KuaiRand, "kuairand", {"variant": "1k"}, f"{ZENODO}/KuaiRand-1K.tar.gz",
         "6b0b9c8222d67fcd4c676218edca3f1f", ""),
        (Yambda, "yambda", {"variant": "500m"}, f"{HUB}/flat/500m/likes.parquet", None,
         "yambda/500m"),
    ],
)  # fmt: skip
def test_without_a_path_it_is_downloaded(
    make, monkeypatch, tmp_path, kind, name, options, url, md5, folder
):
    asked = []

    def stand_in(url, md5, folder, notice, *, sha256):
        asked.append((url, md5, folder, sha256))
        assert kind.__name__.lower()[:4] in notice.lower().replace(" ", "").replace(".", "")
        file = tmp_path / "downloaded.txt"
        file.write_text("x")
        return file

    monkeypatch.setattr(official, "download", stand_in)
    places = {"download_dir": str(tmp_path / "d"), "sha256": "ab"}
    make(kind, "data", name, **places, **options).source_key()
    assert asked == [(url, md5, Path(tmp_path / "d" / folder), "ab")]


def test_an_unsafe_archive_is_refused(make, tmp_path):
    place = tmp_path / "bad.zip"
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("../loc-gowalla_totalCheckins.txt", "0")
    with pytest.raises(UserError, match="leads out of the folder"):
        make(Gowalla, "data", "gowalla", path=str(place)).read_raw(tmp_path)


def test_an_empty_file(make, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(UserError, match="the file is empty"):
        make(Gowalla, "data", "gowalla", path=str(tmp_path / "empty")).source_key()


def test_a_row_with_too_many_values_names_the_file(make, tmp_path):
    (tmp_path / "events.csv").write_text("timestamp,visitorid,event,itemid\n1,2,view,3,4,5,6\n")
    from recsys_lab.data.sources.published.retailrocket import Retailrocket

    reader = make(Retailrocket, "data", "retailrocket", path=str(tmp_path / "events.csv"))
    with pytest.raises(UserError, match=r"events\.csv: cannot be read in its official form"):
        reader.read_raw(tmp_path)


def test_bytes_that_are_no_text(make, tmp_path):
    file = tmp_path / "log.txt"
    line = b"0\t2010-10-19T23:55:27Z\t1\t1\t7\n"
    file.write_bytes(line + line.replace(b"2010", b"\xff\xfe10"))
    with pytest.raises(UserError, match="cannot be read in its official form"):
        make(Gowalla, "data", "gowalla", path=str(file)).read_raw(tmp_path)
