from __future__ import annotations

import gzip

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.published import files as official
from recsys_lab.data.sources.published.gowalla import Gowalla
from tests.data.sources.published.readers import rows, taken

NAME = "loc-gowalla_totalCheckins.txt"
# Newest first, as published; user 0 was at 420 and 22847 within one second, 420 first.
TEXT = """0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847
0\t2010-10-18T22:17:43Z\t30.26\t-97.76\t22847
0\t2010-10-18T22:17:43Z\t30.269\t-97.749\t420
0\tnever\t30.269\t-97.749\t420
1\t2010-10-17T23:42:03Z\t\t\t7
"""


@pytest.fixture
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def reader(make, tmp_path):
    def build(text=TEXT, name=f"{NAME}.gz", folder=False):
        file = tmp_path / name
        data = text.encode()
        file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return make(Gowalla, "data", "gowalla", path=str(tmp_path if folder else file))

    return build


@pytest.mark.parametrize(("name", "folder"), [(f"{NAME}.gz", False), (NAME, False), (NAME, True)])
def test_oldest_first(reader, scratch, name, folder):
    raw = reader(name=name, folder=folder).read_raw(scratch)
    assert rows(raw) == [
        {"user_id": 1, "item_id": 7, "timestamp": 1287358923},
        {"user_id": 0, "item_id": 420, "timestamp": None},  # for the pipeline to count
        {"user_id": 0, "item_id": 420, "timestamp": 1287440263},
        {"user_id": 0, "item_id": 22847, "timestamp": 1287440263},
        {"user_id": 0, "item_id": 22847, "timestamp": 1287532527},
    ]
    assert taken(raw, "item", "latitude") == [None, 30.269, 30.269, 30.26, 30.2359091167]
    assert raw.features.items == {"latitude": "numeric", "longitude": "numeric"}
    assert raw.about.title == "Gowalla check-ins (SNAP)"


def test_many_row_groups_are_turned_around(reader, scratch, monkeypatch):
    monkeypatch.setattr(official, "ROWS_A_GROUP", 2)
    lines = [f"{i}\t2010-10-19T23:55:{i:02}Z\t1.0\t1.0\t{i}\n" for i in range(7)]
    raw = reader("".join(lines)).read_raw(scratch)
    assert [row["user_id"] for row in rows(raw)] == [6, 5, 4, 3, 2, 1, 0]


def test_key_is_of_the_content(reader):
    first, second = reader().source_key(), reader(TEXT + "9\n").source_key()
    assert first[NAME]["sha256"] != second[NAME]["sha256"]


def test_errors(reader, scratch, make, tmp_path):
    with pytest.raises(UserError, match=r"row 1 is 'user,item'; the official file has 'user TAB"):
        reader("user,item\n").read_raw(scratch)
    (tmp_path / f"{NAME}.gz").write_bytes(gzip.compress(TEXT.encode() * 99)[:-30])
    broken = make(Gowalla, "data", "gowalla", path=str(tmp_path / f"{NAME}.gz"))
    with pytest.raises(UserError, match="damaged or cut short"):
        broken.read_raw(scratch)
    with pytest.raises(UserError, match="no such file or folder"):
        make(Gowalla, "data", "gowalla", path=str(tmp_path / "x")).read_raw(scratch)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=f"has no {NAME}"):
        make(Gowalla, "data", "gowalla", path=str(tmp_path / "empty")).read_raw(scratch)


def test_prepared(reader, run):
    data = run(reader())
    assert data.manifest["num_interactions"] == 4
    assert data.manifest["about"]["title"] == "Gowalla check-ins (SNAP)"
    assert data.items.tolist()[:3] == [1, 2, 2]  # user 0: 420, 22847, 22847
