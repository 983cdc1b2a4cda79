"""What is read out of odd spellings of times, ids and missing values; what is told of it."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.columns.missing import COMMON
from recsys_lab.data.preparation.source_warnings import number_warnings, time_warnings
from recsys_lab.data.sources.recbole import RecBole
from tests.data.bad_input.inputs import NOW, events, files, zoned
from tests.data.sources.test_table import read

MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2023-11-14 22:13:20+00", "2023-11-14T22:13:20Z", "20231114T221320Z", "20231114T221320",
        "2023-11-14 22:13:20 UTC", "2023-11-14T22:13:20+0000", "2023-11-15 03:43:20+05:30",
        "2023-11-14 18:13:20 -04", "2023-11-14 22:13:20,000",
    ],
)  # fmt: skip
def test_iso_8601_in_all_its_forms_is_one_moment(table, text):
    log = "user_id;item_id;timestamp\n" + "".join(f"u;i{n};{text}\n" for n in range(3))
    times = read(table(log, separator=";")).interactions["timestamp"]
    assert times.to_list() == [int(MOMENT.timestamp())] * 3


def test_times_with_and_without_a_zone_are_told(table):
    head, zoned = "user_id,item_id,timestamp\n", "u,i,2023-11-14T22:13:20+01:00\n"
    plain = "u,i,2023-11-14 22:13:20\nu,i,2023-11-15\n"
    [told] = read(table(head + zoned + plain)).warnings
    assert "1 times have a time zone and 2 have none, such as '2023-11-14 22:13:20'" in told
    assert read(table(head + zoned)).warnings == read(table(head + plain)).warnings == []


def test_minutes_with_a_zone(table):
    log = "user_id,item_id,timestamp\nu,i,2023-11-14T22:13Z\n"
    assert read(table(log)).interactions["timestamp"].to_list() == [NOW[0] - 20]


def test_a_zone_that_is_an_offset_is_read_in_utc(table, tmp_path):
    assert read(table(zoned(tmp_path))).interactions["timestamp"].to_list() == NOW


def test_advice_on_numbers_of_the_calendar_works(table):
    log = "user_id,item_id,timestamp\nu,a,20231114221320\nu,b,20231114221321\n"
    with pytest.raises(UserError, match=r"timestamp_format=%Y%m%d%H%M%S") as caught:
        read(table(log))
    form = str(caught.value).partition("data.timestamp_format=")[2].partition(",")[0]
    assert read(table(log, timestamp_format=form)).interactions["timestamp"].to_list() == NOW[:2]


def test_a_named_unit_settles_what_sizes_cannot(table):
    log = "user_id,item_id,timestamp\n" + f"u,a,{NOW[0]}\nu,b,{NOW[1]}\nu,c,{NOW[2]}000\n"
    with pytest.raises(UserError, match=r"mix units.*data.timestamp_unit=s"):
        read(table(log))
    times = read(table(log, timestamp_unit="s")).interactions["timestamp"].to_list()
    assert times == [NOW[0], NOW[1], NOW[2] * 1000]


def test_words_for_a_missing_value_leave_integers_integers(table):
    rows = [f"{n % 3},{n % 5},{NOW[0] + n}" for n in range(30)]
    words = ["NULL", "None", "nan", r"\N", "<NA>", "N/A", "-", "na", " null "]
    lost = [f"{word},{n},{NOW[0]}" for n, word in enumerate(words)]
    raw = read(table("\n".join(["user_id,item_id,timestamp", *rows, *lost]) + "\n"))
    users = raw.interactions["user_id"]
    assert (users.dtype, users.null_count(), users.n_unique()) == (pl.Int64, len(words), 4)
    assert [said.split(":")[0] for said in raw.warnings] == ["user_id"]
    assert "9 rows of column 'user_id' hold words for a missing value" in raw.warnings[0]
    kept = read(table("user_id,item_id,timestamp\nNA,1,1\nNULL,1,2\n", missing_values=[]))
    assert kept.interactions["user_id"].to_list() == ["NA", "NULL"]
    own = read(table("user_id,item_id,timestamp\nNA,1,1\nNULL,1,2\n", missing_values=["na"]))
    assert own.interactions["user_id"].to_list() == [None, "NULL"]


@pytest.mark.parametrize("word", COMMON)
def test_one_rule_for_features(table, word):
    log = (
        "user_id,item_id,timestamp,colour,price\n"
        + f"u,i,{NOW[0]},{word},{word}\nu,j,{NOW[1]},red,2\n"
    )
    raw = read(table(log, price_column="price", event_features={"colour": "categorical"}))
    assert raw.interactions["colour"].to_list() == [None, "red"]
    assert raw.interactions["price"].to_list() == [None, 2.0]
    assert not raw.unreadable


SPELLINGS = {
    "blanks": ("a", " a "),
    "case": ("Ann", "ANN"),
    "unicode": ("caf\u00e9", "cafe\u0301"),
    "decimal": ("100", "100.0"),
    "zeros": ("00042", "42"),
}


@pytest.mark.parametrize("difference", SPELLINGS)
@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_ids_that_differ_in_spelling_only_are_told_and_joined(table, run, difference, engine):
    one, two = SPELLINGS[difference]
    rows = [(one, two)[n % 2] + f",i{n % 4},{NOW[0] + n}" for n in range(8)]
    rows += [f"other,i{n},{NOW[0] + n}" for n in range(4)]
    log = "\n".join(["user_id,item_id,timestamp", *rows]) + "\n"
    apart = run(table(log, id_normalization=[]), engine=engine)
    assert apart.num_users == 3
    [told] = [said for said in apart.manifest["warnings"] if said.startswith("users:")]
    assert "1 of 3 ids differ from another one in spelling only" in told
    cure = ",".join(d for d in SPELLINGS if d in (difference, "decimal"))
    assert f"data.id_normalization=[{cure}]" in told
    joined = run(table(log, id_normalization=[difference]), engine=engine)
    assert joined.num_users == 2
    assert not [said for said in joined.manifest["warnings"] if said.startswith("users:")]


def test_advice_on_shortened_ids_works(table):
    log = "user_id,item_id,timestamp\n" + f"u,1E+10,{NOW[0]}\nu,1E+11,{NOW[1]}\n"
    with pytest.raises(UserError, match=r"set data.id_normalization=\[\]"):
        read(table(log))
    kept = read(table(log, id_normalization=[])).interactions
    assert kept["item_id"].to_list() == ["1E+10", "1E+11"]


def test_spellings_are_told_before_a_refusal_that_they_lead_to(table, run, caplog):
    """Each user twice, with and without a blank, has too few events of each spelling."""
    rows = [f"{blank}u{n},i{m},{NOW[0] + m}" for n in range(3) for m, blank in enumerate(" " * 2)]
    rows += [f"u{n},I{m} ,{NOW[0] + 9 + m}" for n in range(3) for m in range(2)]
    with pytest.raises(UserError, match="no validation target is left"):
        run(table("\n".join(["user_id,item_id,timestamp", *rows]) + "\n"))
    assert "users: 3 of 6 ids differ from another one in spelling only (blanks: 3)" in caplog.text
    assert "items: 2 of 4 ids differ from another one in spelling only (in several" in caplog.text


def test_files_of_one_log_are_told_of(table, tmp_path):
    log = "user_id,item_id,timestamp\n" + f"u,i,{NOW[0]}\n"
    make = files(a=log, b="", c=log.replace("timestamp", "timestamp,note").replace("0\n", "0,x\n"))
    raw = read(table(make(tmp_path)))
    assert len(raw.interactions) == 2
    assert "empty files (0 bytes) are left out: b.csv" in raw.warnings[0]
    assert (
        "c.csv has columns that not every file has and that are not read: note" in raw.warnings[1]
    )


def test_dates_and_moments_of_two_files_are_one_kind(table, tmp_path):
    day = pl.Series([NOW[0] * 1000] * 6).cast(pl.Datetime("ms"))
    make = files(
        a=events(timestamp=day.cast(pl.Date)),
        b=events(timestamp=day.dt.replace_time_zone("Asia/Kolkata")),
    )
    times = read(table(make(tmp_path))).interactions["timestamp"].unique(maintain_order=True)
    midnight = NOW[0] // 86_400 * 86_400
    assert times.to_list() == [midnight, NOW[0] - 19_800]


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([0, *NOW], "1 event (14.3%) lies before 1990, the earliest at 1970-01-01 00:00:00"),
        ([*NOW, 32_503_680_000], "1 event (14.3%) lies in the future, the last at 3000-01-01"),
        ([0, 86_400 * 365 * 41 + NOW[0] // 2], "span more than 40 years"),
        (NOW, "all events lie within one day, 2023-11-14 22:13:20 to 2023-11-14 22:13:25"),
        ([44_000, 44_001], "all events lie before 1990, 1970-01-01 12:13:20"),
    ],
)
def test_times_that_are_hardly_meant_are_told(times, said):
    found = time_warnings(pl.Series(times).to_numpy())
    assert any(said in one for one in found)


def test_plausible_times_are_not_doubted():
    assert time_warnings(pl.Series([NOW[0], NOW[0] - 86_400 * 300]).to_numpy()) == []
    assert time_warnings(None) == []


def test_decimal_commas_are_an_option(table):
    values = {
        "3,5": 3.5, "1.234,5": 1234.5, "1.234.567": 1_234_567.0, "-0,25": -0.25, "7": 7.0,
        " ,5 ": 0.5, "-": None, "": None, "5.0": None, "1,2,3": None, "12.34,5": None,
    }  # fmt: skip
    lines = [f"u;i{n};{NOW[0] + n};{value};{value}" for n, value in enumerate(values)]
    log = "\n".join(["user_id;item_id;timestamp;price;size", *lines, ""])
    options = {"separator": ";", "price_column": "price", "event_features": {"size": "numeric"}}
    raw = read(table(log, decimal_comma=True, **options))
    for column in ("price", "size"):
        assert raw.interactions[column].to_list() == list(values.values())
        assert raw.unreadable[column] == (3, "5.0", "row 9")
    # Without it they are no numbers, and the option is named.
    plain = read(table(log, **options))
    assert plain.interactions["price"].to_list()[:2] == [None, None]
    assert plain.unreadable["price"][:2] == (7, "3,5")
    [said, _] = number_warnings(plain.unreadable)
    assert said.endswith("If that is a decimal comma, set data.decimal_comma=true")
    with pytest.raises(UserError, match=r"first value is '3,5'\. If .*decimal_comma=true"):
        read(table("\n".join(log.splitlines()[:2]) + "\n", **options))


def test_decimal_commas_in_tables_and_atomic_files(table, make, tmp_path):
    (tmp_path / "items.csv").write_text('item_id,price\ni0,"2,5"\ni1,"1.000,75"\n')
    items = read(
        table(
            f"user_id,item_id,timestamp\nu,i0,{NOW[0]}\n", items_path=str(tmp_path / "items.csv"),
            item_features={"price": "numeric"}, decimal_comma=True,
        )
    ).items  # fmt: skip
    assert items["price"].to_list() == [2.5, 1000.75]
    file = tmp_path / "log.inter"
    file.write_text(
        f"user_id:token\titem_id:token\ttimestamp:float\tprice:float\n1\t2\t{NOW[0]}\t2,5\n"
    )
    raw = read(make(RecBole, "data", "recbole", path=str(file), decimal_comma=True))
    assert raw.interactions["price"].to_list() == [2.5]
