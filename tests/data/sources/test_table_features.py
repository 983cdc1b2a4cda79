"""What a table's rows say besides who, what and when."""

from __future__ import annotations

import polars as pl
import pytest

from recsys_lab.config import UserError
from tests.data.sources.published.readers import taken
from tests.data.sources.test_table import CSV, read
from tests.data.sources.test_table_errors import fails


def test_what_else_the_log_says(table):
    text = "user_id,item_id,timestamp,stars,what\n1,1,1,5,view\n1,2,2,,\n1,3,3,x,buy\n1,4,4,nan,\n"
    raw = read(table(text, rating_column="stars", event_type_column="what"))
    assert raw.interactions["rating"].to_list() == [5.0, None, None, None]
    assert raw.interactions["event_type"].to_list() == ["view", None, "buy", None]
    assert raw.features.events == {"event_type": "categorical", "rating": "numeric"}
    assert not raw.dropped
    assert raw.unreadable == {"rating": (1, "x", "row 3")}
    text = "user_id,item_id,timestamp,stars\n1,1,1,good\n"
    with pytest.raises(UserError, match=r"rating_column=stars: .* has no numbers; .* is 'good'"):
        read(table(text, rating_column="stars"))


def test_features_of_events_items_and_users(table):
    text = (
        "user_id,item_id,timestamp,colour,weight,about,tags,age\n"
        "a,1,1,red,1.5,A nut,x  y,\na,2,2,,heavy,,,\nb,1,3,blue,2,Nut,z,31\n"
    )
    reader = table(
        text,
        event_features={"colour": "categorical", "weight": "numeric", "tags": "list"},
        item_features={"about": "text"},
        user_features={"age": "numeric"},
    )
    raw = read(reader)
    assert raw.interactions["colour"].to_list() == ["red", None, "blue"]
    assert raw.interactions["weight"].to_list() == [1.5, None, 2.0]
    assert raw.interactions["tags"].to_list() == [["x", "y"], None, ["z"]]
    assert taken(raw, "item", "about") == ["A nut", None, "Nut"]
    assert taken(raw, "user", "age") == [None, None, 31.0]
    assert raw.features.items == {"about": "text"}
    assert raw.features.users == {"age": "numeric"}
    with pytest.raises(UserError, match=r"data.item_features.abut=abut: no such column; did you m"):
        read(table(text, item_features={"abut": "text"}))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_lists_are_split_at_bars_where_there_are_any(tmp_path, table, form):
    columns = {
        "item_id": [1, 2, 3, 4],
        "bars": ["Film Noir|Drama", "Film Noir", "| Drama||War ", None],
        "blanks": ["a  b", "c", " ", ""],
        "either": ["a", "b", "a", "b"],
    }
    file = tmp_path / f"items.{form}"
    frame = pl.DataFrame(columns)
    frame.write_csv(file) if form == "csv" else frame.write_parquet(file)
    kinds = dict.fromkeys(("bars", "blanks", "either"), "list")
    items = read(table(CSV, items_path=str(file), item_features=kinds)).items
    assert items["bars"].to_list() == [
        ["Film Noir", "Drama"],
        ["Film Noir"],
        ["Drama", "War"],
        None,
    ]
    assert items["blanks"].to_list() == [["a", "b"], ["c"], [], []]
    assert items["either"].to_list() == [["a"], ["b"], ["a"], ["b"]]


def test_genres_of_the_real_movielens(shared, table, run):
    folder = shared / "ml-1m"
    reader = table(
        folder / "interactions.parquet",
        items_path=str(folder / "items.parquet"),
        timestamp_column=None,
        order_column="position",
        item_features={"genres": "list"},
    )
    data = run(reader)
    # The readme of ml-1m lists 18 genres; missing and unknown have codes of their own.
    assert data.features.entry("item.genres")["cardinality"] == 18 + 2
    assert "Sci-Fi" in data.features.values("item.genres")
    lists = data.features.column("item.genres")
    toy_story = data.item_ids().index(1)
    codes = lists.codes[lists.offsets[toy_story] : lists.offsets[toy_story + 1]]
    names = [data.features.values("item.genres")[code - 2] for code in codes]
    assert names == ["Animation", "Children's", "Comedy"]


def test_numbers_that_cannot_be_read_are_counted_and_shown(table, run, tmp_path, caplog):
    marks = ["5,0", "NA", "", "null", "3,5", "nan", " 4 "]
    rows = [f"{n % 2},{n},{n},{'' if n > 6 else marks[n]}" for n in range(8)]
    text = "\n".join(["user_id;item_id;timestamp;stars".replace(";", "\t")]
                     + [row.replace(",", "\t", 3) for row in rows])  # fmt: skip
    items = tmp_path / "items.csv"
    items.write_text("item_id,weight\n" + "".join(f"{n},{n} kg\n" for n in range(7)) + "7,7\n")
    options = {"items_path": str(items), "item_features": {"weight": "numeric"}}
    data = run(table(text, name="log.tsv", rating_column="stars", **options))
    assert data.manifest["unreadable"] == {
        "rating": {"rows": 2, "first": "5,0", "place": "row 1"},
        "items.weight": {"rows": 7, "first": "0 kg", "place": "row 1"},
    }
    [times, rating, weight] = data.manifest["warnings"]
    assert times.startswith("times: all events lie before 1990, 1970-01-01 00:00:00 to 1970-01-01")
    assert rating == (
        "rating: 2 values are not numbers and count as missing; the first is '5,0' (row 1). Write "
        "numbers as 5.0, with a point. If that is a decimal comma, set data.decimal_comma=true"
    )
    assert weight.startswith("items.weight: 7 values are not numbers")
    assert rating in caplog.text
    assert "the first is &#39;5,0&#39; (row 1)" in (data.path / "card.html").read_text()


def test_a_table_of_other_ids_is_doubted(table, run, tmp_path, caplog):
    log = CSV.splitlines()[0] + "".join(f"\nu{n % 2},i{n},{n}" for n in range(8)) + "\n"
    items = tmp_path / "items.csv"
    users = tmp_path / "users.csv"
    users.write_text("user_id,age\nu0,3\n")
    message = (
        "the table of items has 0 of the 8 items of the log (0%); the others have no values. "
        "Ids of the log look like 'i0', those of the table like 0: name the column"
    )
    for known, doubts in (
        (0, [message]),
        (3, ["has 3 of the 8 items of the log (37.5%)"]),
        (4, []),
    ):
        rows = [f"{'i' if n < known else ''}{n},red\n" for n in range(8)]
        items.write_text("item_id,colour\n" + "".join(rows))
        data = run(
            table(
                log,
                items_path=str(items),
                users_path=str(users),
                item_features={"colour": "categorical"},
            )
        )
        of_items = [said for said in data.manifest["warnings"] if "items" in said]
        assert len(of_items) == len(doubts)
        for said, doubt in zip(of_items, doubts, strict=True):
            assert doubt in said
            assert said in caplog.text
        share = data.features.entry("item.colour")["missing_share"]
        assert (share == 1) == (known == 0)


def test_features_of_tables_beside_the_log(tmp_path, table):
    items = tmp_path / "items.parquet"
    frame = pl.DataFrame({"item_id": [1, 2], "kind": ["a", ""], "price": ["3", "x"], "n": [7, 8]})
    frame.write_parquet(items)
    features = {"kind": "categorical", "price": "numeric", "n": "categorical"}
    raw = read(table(CSV, items_path=str(items), item_features=features))
    assert raw.items["kind"].to_list() == ["a", None]
    assert raw.items["price"].to_list() == [3.0, None]
    assert raw.items["n"].to_list() == [7, 8]
    with pytest.raises(
        UserError, match=r"data.item_features.kind: column 'kind' .* has no numbers"
    ):
        read(table(CSV, items_path=str(items), item_features={"kind": "numeric"}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"item_features": {"item": "categorical"}}, r"data.item_features.item: a prepared"),
        ({"item_features": {"item_id": "text"}}, r"data.item_features.item_id: a prepared"),
        ({"user_features": {"user": "numeric"}}, r"data.user_features.user: a prepared"),
        ({"event_features": {"order": "numeric"}}, r"data.event_features.order: the log has a"),
        ({"item_features": {"title": "text"}, "title_column": "name"},
         r"data.item_features.title: the title is column 'name'"),
    ],
)  # fmt: skip
def test_features_of_the_names_of_the_labs_own_columns(table, tmp_path, options, message):
    (tmp_path / "items.csv").write_text("item_id,item,title,name\n1,a,b,c\n")
    (tmp_path / "users.csv").write_text("user_id,user\n1,2\n")
    places = {f"{side}_path": str(tmp_path / f"{side}.csv") for side in ("items", "users")}
    fails(table("user_id,item_id,timestamp,order\n1,1,1,1\n", **places, **options), message)


def test_an_item_table_with_columns_like_the_labs(table, tmp_path, run):
    (tmp_path / "items.csv").write_text("item_id,item,item_raw\n1,a,x\n2,b,y\n3,c,z\n")
    log = "user_id,item_id,timestamp\n" + "".join(f"{u},{i},{i}\n" for u in "ab" for i in (1, 2, 3))
    data = run(
        table(log, items_path=str(tmp_path / "items.csv"), item_features={"item_raw": "text"})
    )
    assert data.features.text("item.item_raw") == ["x", "y", "z"]
    items = pl.read_parquet(data.path / "items.parquet")
    assert items["item"].to_list() == [0, 1, 2]
    assert items["item_raw_raw"].to_list() == ["a", "b", "c"]


def test_the_advice_on_ids_in_another_spelling_works(table, run, tmp_path):
    rows = [f"u{n % 2},{n:04d},{n}" for n in range(8)]
    log = "\n".join([CSV.splitlines()[0], *rows]) + "\n"
    items = tmp_path / "items.csv"
    items.write_text("item_id,colour\n" + "".join(f"{n},red\n" for n in range(8)))
    options = {"items_path": str(items), "item_features": {"colour": "categorical"}}
    apart = run(table(log, id_normalization=["decimal"], **options)).manifest["warnings"]
    [told] = [said for said in apart if "items" in said]
    assert told.endswith("in spelling (zeros): set data.id_normalization=[decimal,zeros]")
    joined = run(table(log, id_normalization=["decimal", "zeros"], **options))
    assert not [said for said in joined.manifest["warnings"] if "items" in said]
