from __future__ import annotations

import dataclasses
import hashlib
import http.server
import threading
import zipfile
from functools import partial

import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.published import movielens, movielens_editions
from recsys_lab.data.sources.published.movielens import GENRES, MovieLens

FLAGS = "|".join("1" if genre in ("Comedy", "Drama") else "0" for genre in GENRES)
FILES = {
    "100k": {
        "u.data": "196\t242\t3\t881250949\n196\t10\t4\t881250948\n196\t7\t4\t881250950\n"
        "22\t242\t1\t878887116\n",
        "u.item": f"242|Kolya (1996)|24-Jan-1997||http://x|{FLAGS}\n"
        f'10|Misérables, "Les" (1995)|01-Jan-1995|||{FLAGS.replace("1", "0")}\n'
        f"7|Twelve|01-Jan-1995||http://y|{FLAGS}\n",
        "u.user": "196|49|M|writer|55105\n22|25|M|writer|40206\n",
    },
    "1m": {
        "ratings.dat": "196::242::3::881250949\n196::10::4::881250948\n196::7::4::881250950\n"
        "22::242::1::878887116\n",
        "movies.dat": '242::Kolya (1996)::Comedy|Drama\n10::Misérables, "Les" (1995)::Drama\n'
        "7::Alien: Twelve::Comedy\n",
        "users.dat": "196::M::49::20::55105\n22::M::25::15::40206\n",
    },
    "10m": {
        "ratings.dat": "196::242::3::881250949\n196::10::4.5::881250948\n"
        "196::7::4::881250950\n22::242::1::878887116\n",
        "movies.dat": '242::Kolya (1996)::Comedy|Drama\n10::Misérables, "Les" (1995)::Drama\n'
        "7::Alien: Twelve::Comedy\n",
    },
    **{
        variant: {
            "ratings.csv": "userId,movieId,rating,timestamp\n196,242,3.0,881250949\n"
            "196,10,4.5,881250948\n196,7,4.0,881250950\n22,242,1.0,878887116\n",
            "movies.csv": "movieId,title,genres\n242,Kolya (1996),Comedy|Drama\n"
            '10,"Misérables, ""Les"" (1995)",Drama\n7,Alien: Twelve,(no genres listed)\n',
        }
        for variant in ("20m", "32m")
    },
}
FOLDERS = {"100k": "ml-100k", "1m": "ml-1m", "10m": "ml-10M100K", "20m": "ml-20m", "32m": "ml-32m"}
ENCODINGS = {"100k": "latin-1", "1m": "latin-1"}


def write(folder, variant, form):
    """Tiny files in the official form, as a folder or a zip."""
    name = FOLDERS[variant]
    files = {
        file: text.encode(ENCODINGS.get(variant, "utf-8")) for file, text in FILES[variant].items()
    }
    if form == "folder":
        (folder / name).mkdir()
        for file, data in files.items():
            (folder / name / file).write_bytes(data)
        return folder / name
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
        for file, data in files.items():
            archive.writestr(f"{name}/{file}", data)
    return folder / f"{name}.zip"


def read(raw):
    assert len(raw.interactions.files) == 1
    return pl.read_parquet(raw.interactions.files[0])


@pytest.fixture
def reader(make):
    def build(variant, **options):
        return make(MovieLens, "data", f"movielens_{variant}", **options)

    return build


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize("variant", list(FILES))
def test_official_files(tmp_path, reader, variant, form):
    raw = reader(variant, path=str(write(tmp_path, variant, form))).read_raw(tmp_path)
    assert read(raw).rows() == [
        (196, 242, 3.0, 881250949),
        (196, 10, 4.5 if variant in ("10m", "20m", "32m") else 4.0, 881250948),
        (196, 7, 4.0, 881250950),
        (22, 242, 1.0, 878887116),
    ]
    films = {film["item_id"]: film for film in raw.items.to_dicts()}
    assert films[242]["title"] == "Kolya (1996)"
    assert films[242]["genres"] == ["Comedy", "Drama"]
    assert films[242]["year"] == 1996
    assert films[10]["title"] == 'Misérables, "Les" (1995)'
    assert films[7]["year"] is None
    assert films[7]["genres"] == {"100k": ["Comedy", "Drama"]}.get(
        variant, [] if variant in ("20m", "32m") else ["Comedy"]
    )
    assert raw.features.items == {"title": "text", "genres": "list", "year": "numeric"}
    assert "GroupLens" in raw.about.licence
    if variant in ("100k", "1m"):
        assert raw.users["age"].to_list() == [49, 25]
        assert raw.users["zip_code"].to_list() == ["55105", "40206"]
    else:
        assert raw.users is None
        assert raw.features.users == {}


def test_prepared(tmp_path, reader, run):
    data = run(reader("1m", path=str(write(tmp_path, "1m", "zip"))))
    assert data.user_ids() == [22, 196]
    assert data.item_ids() == [7, 10, 242]
    assert data.items.tolist() == [2, 1, 2, 0]  # user 196 by time: 10, 242, 7
    assert data.timestamps.tolist() == [878887116, 881250948, 881250949, 881250950]
    assert data.item_titles()[1:] == ['Misérables, "Les" (1995)', "Kolya (1996)"]


def test_odd_rows_are_nulls_or_errors(tmp_path, reader):
    place = write(tmp_path, "20m", "folder")
    log = place / "ratings.csv"
    log.write_text(FILES["20m"]["ratings.csv"] + "x,242,5.0,881250951\n22,7,,881250952\n22,7,1.0\n")
    rows = read(reader("20m", path=str(place)).read_raw(tmp_path)).rows()[4:]
    assert rows == [
        (None, 242, 5.0, 881250951),
        (22, 7, None, 881250952),
        (22, 7, 1.0, None),
    ]
    log.write_text("user,movie\n1,2\n")
    with pytest.raises(UserError, match=r"ratings.csv .*row 1 is 'user,movie'; expected 'userId"):
        reader("20m", path=str(place)).read_raw(tmp_path)
    log.write_text(FILES["20m"]["ratings.csv"] + "1,2,3,4,5\n")
    with pytest.raises(UserError, match=r"ratings.csv .*row 6 is not in the official format"):
        reader("20m", path=str(place)).read_raw(tmp_path)
    log.write_text(FILES["20m"]["ratings.csv"])
    (place / "movies.csv").write_bytes(b"movieId,title,genres\n1,\xff,Drama\n")
    with pytest.raises(UserError, match=r"movies.csv .*not in the official format.*0xff"):
        reader("20m", path=str(place)).read_raw(tmp_path)


def test_zip_and_folder_are_one_source(tmp_path, reader):
    places = [write(tmp_path, "1m", form) for form in ("folder", "zip")]
    keys = [reader("1m", path=str(place)).source_key() for place in places]
    assert keys[0] == keys[1]
    text = FILES["1m"]["users.dat"].encode()
    assert keys[0]["users.dat"]["sha256"] == hashlib.sha256(text).hexdigest()


def test_wrong_places(tmp_path, reader):
    with pytest.raises(UserError, match=r"no such file or folder.*ml-1m.zip.*data.path=null"):
        reader("1m", path=str(tmp_path / "ml-1m.zip")).read_raw(tmp_path)
    with pytest.raises(UserError, match=r"has no ratings.dat, movies.dat, users.dat; expected"):
        reader("1m", path=str(write(tmp_path, "100k", "zip"))).read_raw(tmp_path)
    with pytest.raises(UserError, match=r"has no ratings.dat"):
        reader("1m", path=str(tmp_path)).read_raw(tmp_path)
    broken = tmp_path / "broken.zip"
    broken.write_bytes((tmp_path / "ml-100k.zip").read_bytes()[:200])
    with pytest.raises(UserError, match=r"not a complete zip archive \(File is not a zip file\)"):
        reader("100k", path=str(broken)).read_raw(tmp_path)
    folder = write(tmp_path, "100k", "folder")
    (folder / "u.data").write_text("1\t2\t3\t4\t5\t6\n")
    with pytest.raises(
        UserError, match=r"u.data \(MovieLens 100k\): row 1 is not in the official format"
    ):
        reader("100k", path=str(folder)).read_raw(tmp_path)


@pytest.mark.parametrize("member", ["../u.data", "/etc/u.data", "a\\..\\..\\u.data"])
def test_unsafe_archives_are_refused(tmp_path, reader, member):
    place = write(tmp_path, "100k", "zip")
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr(member, "1\t2\t3\t4\n")
    with pytest.raises(UserError, match=r"unsafe archive, its member .* leads out of the folder"):
        reader("100k", path=str(place)).read_raw(tmp_path)


class Quiet(http.server.SimpleHTTPRequestHandler):
    asked = 0

    def do_GET(self):
        type(self).asked += 1
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A local web site with the official zip; gives (its folder, a way to point editions to it)."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "site"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def publish(md5=None):
        place = write(folder, "100k", "zip")
        edition = dataclasses.replace(
            movielens_editions.EDITIONS["100k"],
            md5=md5 or hashlib.md5(place.read_bytes()).hexdigest(),
        )
        monkeypatch.setitem(movielens_editions.EDITIONS, "100k", edition)
        monkeypatch.setattr(movielens, "URL", f"http://127.0.0.1:{server.server_port}")
        return place

    Quiet.asked = 0
    yield publish
    server.shutdown()
    thread.join()
    server.server_close()


def test_download_once(site, tmp_path, reader, run, caplog):
    site()
    folder = tmp_path / "downloads"
    for _ in range(2):
        assert run(reader("100k", download_dir=str(folder))).num_interactions == 4
    assert [p.name for p in folder.iterdir()] == ["ml-100k.zip"]
    assert Quiet.asked == 1
    assert "need GroupLens' permission" in caplog.text


def test_download_errors(site, tmp_path, reader, monkeypatch):
    folder = tmp_path / "downloads"
    again = reader("100k", download_dir=str(folder))
    place = site(md5="0" * 32)
    again = reader("100k", download_dir=str(folder))
    with pytest.raises(UserError, match=r"its MD5 is [0-9a-f]{32}, expected 0{32}"):
        again.read_raw(tmp_path)
    place.unlink()
    with pytest.raises(UserError, match=r"HTTP Error 404.*data.path=<the file"):
        again.read_raw(tmp_path)
    monkeypatch.setattr(movielens, "URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"could not be downloaded.*refused.*Without a network"):
        reader("100k", download_dir=str(folder)).read_raw(tmp_path)
    assert list(folder.iterdir()) == []
    (folder / "ml-100k.zip").write_bytes(b"old")
    with pytest.raises(UserError, match=r"ml-100k.zip is not the published.*delete it"):
        reader("100k", download_dir=str(folder)).read_raw(tmp_path)
