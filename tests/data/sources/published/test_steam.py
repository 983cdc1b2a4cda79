from __future__ import annotations

import gzip

import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.published import base as published
from recsys_lab.data.sources.published.steam import Steam

# The official files are lines of Python 2's repr; b reviews game 7 twice, in two lines.
REVIEWS = r"""{u'username': u'Chaos \u2122', u'hours': 0.1, u'products': 41, u'product_id': u'725280', u'page_order': 0, u'date': u'2017-12-17', u'text': u"It's\n", u'early_access': False, u'page': 1}
{u'username': u'b', u'user_id': u'76561197970982479', u'product_id': u'7', u'date': u'2017-12-18', u'early_access': True, u'found_funny': 2}
{u'username': u'b', u'user_id': u'76561197970982479', u'product_id': u'7', u'date': u'2017-12-18', u'early_access': True}
{u'username': u'b', u'product_id': u'9', u'date': u'soon'}
"""  # noqa: E501
GAMES = r"""{u'publisher': u'Kotoshiro', u'genres': [u'Action', u'Indie'], u'app_name': u'Lost', u'title': u'Lost Summoner Kitty', u'release_date': u'2018-01-04', u'tags': [u'Strategy'], u'price': 4.99, u'specs': [u'Single-player'], u'id': u'725280', u'developer': u'Kotoshir\xf6', u'sentiment': u'Mixed'}
{u'app_name': u'Untitled Game', u'price': u'Free To Play', u'id': u'7'}
{u'app_name': u'no id', u'price': u'Install Now'}
{u'title': u'second', u'id': u'7'}
{u'title': u'never reviewed', u'id': u'8'}
"""  # noqa: E501


@pytest.fixture
def reader(make):
    return lambda **options: make(Steam, "data", "steam", **options)


@pytest.fixture(params=[True, False])
def folder(tmp_path, request):
    for name, text in (("steam_reviews.json", REVIEWS), ("steam_games.json", GAMES)):
        if request.param:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (tmp_path / name).write_text(text)
    return tmp_path


def test_official_files(folder, reader):
    raw = reader(path=str(folder)).read_raw(folder)
    assert pl.read_parquet(raw.interactions.files[0]).rows() == [
        ("Chaos ™", "725280", 1513468800, "false"),  # 2017-12-17 00:00 UTC
        ("b", "7", 1513555200, "true"),
        ("b", "7", 1513555200, "true"),
        ("b", "9", None, None),
    ]
    items = {item["item_id"]: item for item in raw.items.to_dicts()}
    assert set(items) == {"725280", "7"}
    assert items["725280"] == {
        "item_id": "725280",
        "title": "Lost Summoner Kitty",
        "developer": "Kotoshirö",
        "publisher": "Kotoshiro",
        "release_date": "2018-01-04",
        "price": 4.99,
        "genres": ["Action", "Indie"],
        "tags": ["Strategy"],
        "specs": ["Single-player"],
    }
    assert items["7"]["title"] == "Untitled Game"
    assert items["7"]["price"] == 0.0
    assert items["7"]["genres"] == []
    assert raw.features.events == {"early_access": "categorical"}
    assert set(raw.features.items) <= set(raw.items.columns)
    assert "No licence is stated" in raw.about.licence


def test_users_by_id(folder, reader):
    raw = reader(path=str(folder), user_column="user_id", metadata=False).read_raw(folder)
    users = pl.read_parquet(raw.interactions.files[0])["user_id"].to_list()
    assert users == [None, "76561197970982479", "76561197970982479", None]
    assert raw.items is None
    assert raw.features.items == {}


def test_every_row_is_counted(folder, reader, run):
    extra = "".join(
        f"{{u'username': u'b', u'product_id': u'{game}', u'date': u'2017-12-19'}}\n"
        for game in ("1", "2")
    )
    plain = folder / "steam_reviews.json"
    if not plain.exists():
        (folder / "steam_reviews.json.gz").unlink()
    plain.write_text(REVIEWS + extra + "{}\n")
    data = run(reader(path=str(plain), metadata=False))
    # 7 rows: one repeated, one without a date, one without anything.
    assert data.num_interactions == 4
    dropped = {c["reason"]: c["dropped"] for c in data.manifest["counts"] if c["dropped"]}
    assert sum(dropped.values()) == 3
    assert dropped["missing user"] == 1
    assert dropped["unparseable timestamp"] == 1


def test_errors(tmp_path, reader):
    with pytest.raises(
        UserError, match=r"data.path=.*no such file or folder.*steam_reviews.json.gz"
    ):
        reader(path=str(tmp_path / "no")).read_raw(tmp_path)
    with pytest.raises(
        UserError, match=r"has no steam_reviews.json.gz. Download it from https://cseweb"
    ):
        reader(path=str(tmp_path)).read_raw(tmp_path)
    log = tmp_path / "steam_reviews.json.gz"
    log.write_bytes(gzip.compress(REVIEWS.encode()))
    with pytest.raises(UserError, match=r"no steam_games.json.gz.*or set data.metadata=false"):
        reader(path=str(log)).read_raw(tmp_path)
    log.write_bytes(gzip.compress(b"{u'username': open('x')}\n"))
    with pytest.raises(UserError, match=r"row 1 is neither JSON nor a Python literal"):
        reader(path=str(log), metadata=False).read_raw(tmp_path)
    log.write_bytes(gzip.compress(REVIEWS.encode())[:100])
    with pytest.raises(UserError, match=r"not a complete gzip archive"):
        reader(path=str(log), metadata=False).read_raw(tmp_path)


def test_download_names_the_official_files(tmp_path, reader, monkeypatch):
    asked = []

    def fake(url, md5, folder, notice, *, sha256):
        asked.append((url, md5, sha256))
        assert "No licence is stated" in notice
        file = folder / url.rsplit("/", 1)[-1]
        file.write_bytes(gzip.compress((REVIEWS if "reviews" in url else GAMES).encode()))
        return file

    monkeypatch.setattr(published, "download", fake)
    reader(download_dir=str(tmp_path), sha256="a", metadata_sha256="b").read_raw(tmp_path)
    base = "https://cseweb.ucsd.edu/~wckang"
    assert asked == [
        (f"{base}/steam_reviews.json.gz", None, "a"),
        (f"{base}/steam_games.json.gz", None, "b"),
    ]
