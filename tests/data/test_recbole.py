from __future__ import annotations

from pathlib import Path

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.recbole import RecBole

from .conftest import build

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\tdevice:token\n"
ROWS = 'u1\ti1\t3\t10.5\ttv\nu1\ti2\t4\t10\t"web\nu2\ti1\t\t30\t\n'


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "shop"
    place.mkdir()
    (place / "shop.inter").write_text(INTER + ROWS)
    (place / "shop.item").write_text(
        "item_id:token\tname:token_seq\ttags:token_seq\tprice:float\tvector:float_seq\n"
        "i1\tA red hat\tx y\t2.5\t1 2\ni2\t\t\t\t\n"
    )
    return place


def recbole(path, **options):
    return build(RecBole, "data", "recbole", path=str(path), **options)


def test_fields_by_type(folder):
    raw = recbole(
        folder, rating_field="rating", text_columns=["name"], title_column="name"
    ).read_raw(Path())
    log = raw.interactions
    assert log["user_id"].to_list() == ["u1", "u1", "u2"]
    assert log["timestamp"].to_list() == [10, 10, 30]
    assert log["order"].to_list() == [10_500_000, 10_000_000, 30_000_000]
    assert log["rating"].to_list() == [3, 4, None]
    assert log["device"].to_list() == ["tv", '"web', None]
    assert raw.features.events == {"device": "categorical", "rating": "numeric"}
    assert raw.features.items == {"name": "text", "tags": "list", "price": "numeric"}
    assert raw.items["tags"].to_list()[0] == ["x", "y"]
    assert raw.items["title"].to_list() == ["A red hat", None]
    assert raw.users is None


def test_ml_100k(shared, run):
    reader = recbole(
        shared / "ml-100k",
        rating_field="rating",
        text_columns=["movie_title"],
        title_column="movie_title",
    )
    data = run(reader)
    assert (data.num_interactions, data.num_users, data.num_items) == (100_000, 943, 1682)
    place = data.user_ids().index(196)  # the first line: 196 rated film 242 with 3 stars
    start, end = data.offsets[place : place + 2]
    films = [data.item_ids()[i] for i in data.items[start:end]]
    event = start + films.index(242)
    assert data.timestamps[event] == 881_250_949
    assert data.features.column("event.rating")[event] == 3
    assert data.item_titles()[data.item_ids().index(2)] == "GoldenEye"
    genres = data.features.column("item.class")
    first = data.item_ids().index(1)
    codes = genres.codes[genres.offsets[first] : genres.offsets[first + 1]]
    names = data.features.values("item.class")
    assert [names[code - 2] for code in codes] == ["Animation", "Children's", "Comedy"]
    age = data.features.column("user.age")[data.user_ids().index(1)]
    assert data.features.values("user.age")[age - 2] == "24"


def test_other_names_than_ml_100k(tmp_path):
    file = tmp_path / "log.inter"
    file.write_text("session_id:token\tsku:token\n7\tx\n")
    options = {"user_field": "session_id", "item_field": "sku", "time_field": None}
    assert recbole(file, **options).read_raw(Path()).interactions.rows() == [(7, "x")]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ("user_id,item_id\n1,2\n", {}, r"the header 'user_id,item_id' has no type"),
        ("user_id:int\titem_id:token\n1\t2\n", {}, r"the header 'user_id:int' has no type"),
        (INTER, {}, r"the file has a header but no rows"),
        (INTER + ROWS, {"item_field": "itm_id"}, r"no such field. Did you mean 'item_id'"),
        (INTER + ROWS, {"rating_field": "stars"}, r"data.rating_field=stars: no such field"),
        (INTER + ROWS.replace("4", "four"), {"rating_field": "rating"},
         r"field 'rating' is of type float but holds 'four' in row 2"),
        (INTER + "a\tb\tc\td\te\tf\tg\n", {}, r"cannot be read as tab-separated text"),
    ],
)  # fmt: skip
def test_mistakes(folder, change, options, message):
    (folder / "shop.inter").write_text(change)
    with pytest.raises(UserError, match=message):
        recbole(folder, **options).read_raw(Path())


def test_which_log(folder, tmp_path):
    (folder / "other.inter").write_text(INTER)
    with pytest.raises(UserError, match=r"it has 2: other.inter, shop.inter; name one of them"):
        recbole(folder).source_key()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"it has 0. It holds: nothing"):
        recbole(tmp_path / "empty").source_key()
    with pytest.raises(UserError, match=r"data.path is not set"):
        build(RecBole, "data", "recbole").source_key()
    key = recbole(folder / "shop.inter").source_key()
    assert set(key) == {".inter", ".item"}
