from __future__ import annotations

import gzip
import io
import json
import tarfile

import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.published.yelp import BUSINESSES, REVIEWS, Yelp

RECORDS = [
    ("u1", "b1", 3.0, "2018-07-07 22:09:11"),
    ("u2", "b1", 5.0, "2012-01-03 15:28:18"),
    ("u1", "b2", 1.0, "2012-01-03"),  # old versions have days
    ("u1", "b3", 2.0, "yesterday"),
]
TIMES = [1531001351, 1325604498, 1325548800, None]
LOG = "".join(
    json.dumps(
        {
            "review_id": f"r{row}",
            "user_id": user,
            "business_id": item,
            "stars": stars,
            "useful": 0,
            "text": 'Crêpes,\n"good" {"a": 1}',
            "date": date,
        },
        ensure_ascii=row % 2 == 0,
    )
    + "\n"
    for row, (user, item, stars, date) in enumerate(RECORDS)
)
PLACES = "".join(
    json.dumps(record) + "\n"
    for record in [
        {
            "business_id": "b1",
            "name": "Crêperie &amp; Co",
            "city": "Montréal",
            "state": "QC",
            "latitude": 45.5,
            "longitude": -73,
            "stars": 4.5,
            "categories": "Food, Coffee & Tea",
            "hours": None,
            "attributes": {"a": "True"},
        },
        {"business_id": "b2", "name": "", "categories": None, "latitude": None},
        {"business_id": "b1", "name": "second row"},
        {"business_id": "b9", "name": "never reviewed", "categories": ["Bars"]},
    ]
)
FILES = {REVIEWS: LOG.encode(), BUSINESSES: PLACES.encode()}


def write(folder, form, files=FILES):
    if form == "folder":
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return folder
    if form == "file":
        write(folder, "folder", files)
        return folder / REVIEWS
    place = folder / f"yelp_dataset.{form}"
    with tarfile.open(place, "w" if form == "tar" else "w:gz") as archive:
        for name, data in {"Dataset_User_Agreement.pdf": b"%PDF", **files}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return place


@pytest.fixture
def reader(make):
    return lambda **options: make(Yelp, "data", "yelp", **options)


@pytest.mark.parametrize("form", ["folder", "file", "tar", "tgz"])
def test_official_files(tmp_path, reader, form):
    yelp = reader(path=str(write(tmp_path, form)))
    raw = yelp.read_raw(tmp_path)
    assert pl.read_parquet(raw.interactions.files[0]).rows() == [
        (user, item, stars, time)
        for (user, item, stars, _), time in zip(RECORDS, TIMES, strict=True)
    ]
    items = {item["item_id"]: item for item in raw.items.to_dicts()}
    assert set(items) == {"b1", "b2"}
    assert items["b1"] == {
        "item_id": "b1",
        "title": "Crêperie & Co",
        "city": "Montréal",
        "state": "QC",
        "latitude": 45.5,
        "longitude": -73.0,
        "categories": ["Food", "Coffee & Tea"],
    }
    assert items["b2"]["title"] is None
    assert items["b2"]["categories"] == []
    assert yelp.source_key()[REVIEWS]["bytes"] == len(LOG.encode())
    assert "academic use only" in raw.about.licence


def test_archive_and_folder_are_one_source(tmp_path, reader):
    keys = []
    for form in ("folder", "tar", "tgz"):
        (tmp_path / form).mkdir()
        keys.append(reader(path=str(write(tmp_path / form, form))).source_key())
    assert keys[0] == keys[1] == keys[2]


def test_every_row_is_counted(tmp_path, reader, run):
    more = [{"user_id": "u1", "business_id": "b4", "stars": 1, "date": "2013-01-01 00:00:00"}, {}]
    log = LOG + "".join(json.dumps(record) + "\n" for record in more)
    data = run(reader(path=str(write(tmp_path, "folder", {**FILES, REVIEWS: log.encode()}))))
    assert data.num_interactions == 4
    dropped = {c["reason"]: c["dropped"] for c in data.manifest["counts"] if c["dropped"]}
    assert dropped == {"missing user": 1, "unparseable timestamp": 1}
    assert data.manifest["about"]["title"] == "Yelp Open Dataset"


def test_errors(tmp_path, reader):
    with pytest.raises(
        UserError, match=r"data.path is not set.*accept its terms at https://.*\.tar"
    ):
        reader().read_raw(tmp_path)
    with pytest.raises(
        UserError, match=r"data.path=.*no such file or folder. Pass yelp_dataset.tar"
    ):
        reader(path=str(tmp_path / "no")).read_raw(tmp_path)
    with pytest.raises(UserError, match=rf"has no {REVIEWS}, {BUSINESSES}"):
        reader(path=str(tmp_path)).read_raw(tmp_path)
    log = tmp_path / REVIEWS
    log.write_text(LOG)
    with pytest.raises(UserError, match=rf"has no {BUSINESSES}.*or set data.metadata=false"):
        reader(path=str(log)).read_raw(tmp_path)
    assert reader(path=str(log), metadata=False).read_raw(tmp_path).items is None
    log.write_text(LOG + '{"user_id": "u')
    with pytest.raises(UserError, match=rf"{REVIEWS}: row 5 is neither JSON nor"):
        reader(path=str(log), metadata=False).read_raw(tmp_path)
    place = write(tmp_path, "tgz")
    place.write_bytes(place.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"yelp_dataset.tgz: not a complete tar archive"):
        reader(path=str(place)).read_raw(tmp_path)


def test_a_gzipped_log(tmp_path, reader):
    log = tmp_path / f"{REVIEWS}.gz"
    log.write_bytes(gzip.compress(LOG.encode()))
    raw = reader(path=str(log), metadata=False).read_raw(tmp_path)
    assert len(pl.read_parquet(raw.interactions.files[0])) == 4
