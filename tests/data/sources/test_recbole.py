from __future__ import annotations

from pathlib import Path

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.recbole import RecBole
from tests.data.conftest import as_nobody, build

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


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ("movie_title:token_seq\tbrand_name:token", "A red"),  # films by title, not by maker
        ("brand_name:token\ttitle:token_seq", "hat"),
        ("tags:token_seq\tstore_name:token", "hat"),
        ("first_name:token\tlast_name:token", None),  # neither alone
        ("x_title:float_seq\ttitles:token", None),
    ],
)
def test_items_are_shown_by_the_field_that_is_named_like_a_title(folder, run, fields, shown):
    rows = "".join(f"i{item}\tA red\that\n" for item in (1, 2, 3))
    (folder / "shop.item").write_text(f"item_id:token\t{fields}\n{rows}")
    log = "".join(f"u{user}\ti{item}\t1\t{item}\ttv\n" for user in "ab" for item in (1, 2, 3))
    (folder / "shop.inter").write_text(INTER + log)
    named = run(recbole(folder))
    assert named.item_titles() == (None if shown is None else [shown] * 3)
    (folder / "shop.item").write_text(
        f"item_id:token\t{fields.replace('title', 'tilte').replace('_name', '_nmae')}\n{rows}"
    )
    other = run(recbole(folder))
    assert other.item_titles() is None
    assert other.fingerprint == named.fingerprint
    if "title:token_seq" in fields:  # still a list of words to models
        name = "movie_title" if "movie" in fields else "title"
        assert named.features.entry(f"item.{name}")["type"] == "list"


def test_ml_100k_has_titles_without_being_told(shared, run):
    data = run(recbole(shared / "ml-100k"))
    assert data.item_titles()[data.item_ids().index(3)] == "Four Rooms"


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
        (INTER + ROWS, {"item_field": "itm_id"}, r"no such field; did you mean 'item_id'"),
        (INTER + ROWS, {"rating_field": "stars"}, r"data.rating_field=stars: no such field"),
        ("user_id:token item_id:token timestamp:float\n1 2 3\n", {},
         r"separated by ' '; atomic files have tabs. Write tabs, or read it with data=table"),
        ("user_id:token,item_id:token,timestamp:float\n1,2,3\n", {}, r"separated by ','; atomic"),
        (INTER + "a\tb\tc\td\te\tf\tg\n", {}, r"cannot be read as tab-separated text"),
        ("user_id:token\titem_id:token\tuser_id:float\n1\t2\t3\n", {},
         r"the field 'user_id' is in the header twice \(user_id:token and user_id:float\)"),
        ("user_id:token\titem_id:token\titem_id:token\n1\t2\t3\n", {},
         r"the field 'item_id' is in the header twice"),
        (INTER + ROWS + "u\0\ti\t1\t1\t1\n", {}, r"shop.inter: line 5 holds a NUL byte"),
    ],
)  # fmt: skip
def test_mistakes(folder, change, options, message):
    (folder / "shop.inter").write_text(change)
    with pytest.raises(UserError, match=message):
        recbole(folder, **options).read_raw(Path())


def test_bytes_that_are_no_text_name_their_line(folder):
    (folder / "shop.item").write_bytes(
        "item_id:token\tname:token_seq\ni1\tcaf\u00e9\n".encode("latin1")
    )
    with pytest.raises(UserError, match=r"shop.item: line 2 is not UTF-8 \(byte 0xe9\)"):
        recbole(folder).read_raw(Path())


def test_fields_of_the_names_of_the_labs_own_columns(run, tmp_path):
    names = ["user", "item", "order", "row", "timestamp", "user_id", "item_id", "rating", "price"]
    header = "who:token\twhat:token\twhen:float\tstars:float\t"
    header += "\t".join(f"{name}:{'token' if name == 'price' else 'float'}" for name in names)
    # The places go against the times: an order taken for one would turn histories around.
    rows = [f"{user}\t{item}\t100\t5\t" + "\t".join([str(9 - item)] * len(names))
            for user in "ab" for item in (1, 2, 3, 4)]  # fmt: skip
    (tmp_path / "log.inter").write_text("\n".join([header, *rows]) + "\n")
    (tmp_path / "log.item").write_text(
        "what:token\titem:token\titem_raw:token\titem_id:float\n"
        + "".join(f"{item}\tv{5 - item}\tw\t{item / 2}\n" for item in (1, 2, 3, 4))
    )
    (tmp_path / "log.user").write_text("who:token\tuser:token\tuser_id:token\na\tx\ty\n")
    fields = {"user_field": "who", "item_field": "what", "time_field": "when"}
    data = run(recbole(tmp_path, rating_field="stars", **fields))
    assert data.items.tolist() == [0, 1, 2, 3] * 2
    found = set(data.features.names())
    assert found == {
        *(f"event.{name}_raw" for name in names), "event.rating",
        "item.item_raw_raw", "item.item_raw", "item.item_id_raw",
        "user.user_raw", "user.user_id_raw",
    }  # fmt: skip
    assert data.features.column("event.order_raw").tolist() == [8, 7, 6, 5] * 2
    assert data.features.column("event.rating").tolist() == [5] * 8
    assert data.features.values("item.item_raw_raw") == ["v3", "v4"]  # of training items
    assert data.features.values("item.item_raw") == ["w"]


def test_what_is_left_out_is_said(folder, caplog):
    (folder / "shop.inter").write_text(
        "user_id:token\titem_id:token\ttimestamp:float\tseen:token_seq\tvector:float_seq\tnote:token\n"
        "u1\ti1\t3\ti2 i3\t1 2\tx\n"
    )
    raw = recbole(folder, text_columns=["note"]).read_raw(Path())
    assert raw.interactions.columns == ["user_id", "item_id", "timestamp"]
    assert raw.features.events == {}
    assert [record.message for record in caplog.records] == [
        "Left out of shop.inter: vector (float_seq), seen (list), note (text): fields of events "
        "are categories or numbers",
        "Left out of shop.item: vector (float_seq): float_seq is not read",
    ]


def test_an_unreadable_folder(folder):
    folder.chmod(0)
    try:
        with as_nobody(), pytest.raises(UserError, match=r"data.path=.*shop: no permission to"):
            recbole(folder).source_key()
    finally:
        folder.chmod(0o755)


def test_which_log(folder, tmp_path):
    (folder / "other.inter").write_text(INTER)
    with pytest.raises(UserError, match=r"got 2: other.inter, shop.inter; name one of them"):
        recbole(folder).source_key()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"got 0. It holds: nothing"):
        recbole(tmp_path / "empty").source_key()
    with pytest.raises(UserError, match=r"data.path is not set"):
        build(RecBole, "data", "recbole").source_key()
    key = recbole(folder / "shop.inter").source_key()
    assert set(key) == {".inter", ".item"}


def test_fields_whose_names_are_no_file_names(run, tmp_path):
    odd = ["a/b", "../c", "*[1]", "tags", "tags_offsets", "tags_values", "x" * 300, "d.e", "é"]
    lists = {"tags"}
    header = ["item_id:token", *(f"{n}:{'token_seq' if n in lists else 'token'}" for n in odd)]
    events = [f"{name}:{kind}" for name, kind in zip(odd, ["token", "float"] * 5, strict=False)]
    (tmp_path / "log.item").write_text(
        "\t".join(header) + "\n"
        + "".join("\t".join([item, *(f"{item}{n}" for n in range(len(odd)))]) + "\n"
                  for item in "123")
    )  # fmt: skip
    (tmp_path / "log.inter").write_text(
        "\t".join(["user_id:token", "item_id:token", "timestamp:float", *events]) + "\n"
        + "".join("\t".join([u, i, i, *(str(n) for n in range(len(odd)))]) + "\n"
                  for u in "ab" for i in "123")
    )  # fmt: skip
    data = run(recbole(tmp_path))
    assert set(data.features.names()) == {f"{side}.{n}" for side in ("item", "event") for n in odd}
    for place, name in enumerate(odd):
        assert data.features.values(f"item.{name}") == [f"1{place}"]  # of the training items
        column = data.features.column(f"item.{name}")
        if name in lists:
            assert column.offsets.tolist() == [0, 1, 2, 3]
            column = column.codes
        assert column.tolist() == [2, 1, 1]
        event = data.features.column(f"event.{name}")
        assert event.tolist() == [place if place % 2 else 2] * 6
    inside = [
        file.relative_to(data.path / "features") for file in (data.path / "features").rglob("*")
    ]
    assert all(len(file.parts) == 1 and len(str(file).encode()) < 130 for file in inside)
