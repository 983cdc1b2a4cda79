"""Wrong input is refused before any list is made, with what to do."""

import json
from pathlib import Path

import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.deploy.recommend.conditions import parts_of
from recsys_lab.deploy.recommend.inputs import end_of
from tests.cli.flow import rewrite

USERS = pl.DataFrame({"user_id": ["u1", "u2"]})
EVENTS = pl.DataFrame({"user_id": ["a", None], "item_id": ["i1", "i2"], "timestamp": [1, 2]})

NOW = 1_700_000_000  # 2023-11-14T22:13:20Z
TIMES = {
    "late": [NOW + 1, NOW],
    "mixed": [NOW, NOW * 1000],
    "unread": [str(NOW), "soon"],
}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["users=users.csv", "histories=events.csv"], "users and histories: give one of them"),
        (["users=missing.csv"], "users=missing.csv: there is no such file"),
        (["users=."], "users=.: is a folder; give one CSV"),
        (["users=events.xlsx"], "a file with suffix '.xlsx' cannot be read"),
        (["users=items.csv"], "users=items.csv: has no column user_id"),
        (["users=strangers.csv"], "none of the 2 users is in the run's dataset, e.g. 'x'"),
        (["histories=events.csv"], "histories=events.csv: 1 of 2 rows have no user_id"),
        (["histories=empty.csv"], "histories=empty.csv: has no rows"),
        (["histories=items.csv"], "has no column user_id"),
        (["histories=german.csv"], "has no column user_id and item_id, as it is separated by ';'"),
        (["histories=plain.csv", "as_of=2020-01-01"], "histories=plain.csv: has no column timest"),
        (["candidates=strange.csv"], "candidates: none of the 2 ids is in the catalogue of 25"),
        (["as_of=1969-12-30"], "is before all events of the run's dataset"),
        (
            ["histories=late.csv", "as_of=2001-01-01"],
            "is of 2023-11-14T22:13:20Z",
        ),
        (["histories=mixed.csv"], "row 1 has 1700000000 (s), row 2 has 1700000000000 (ms)"),
        (["histories=unread.csv"], "row 2 has the timestamp 'soon', and 1 of 2 rows have no time"),
        (['where=category="a,b'], "the quoted value does not end with its quote"),
        (["as_of=yesterday"], "as_of=yesterday: not a valid date; expected e.g. 2024-12-31"),
        (["where=colour=red"], "where: the items have no column 'colour'"),
        (["where=categry=shoes"], "did you mean 'category'?"),
        (["where=shoes"], "where: 'shoes' is not a condition: expected column=value"),
        (["where=price<cheap"], "'price<cheap': < compares numbers here, got 'cheap'"),
        (["where=category>3"], "> compares numbers here, got '3' and values such as 'shoes'"),
        (["where=category=boots"], "where: no item of the catalogue is left to recommend"),
        (["cap=category"], "cap: got 'category', expected COLUMN:NUMBER"),
        (["cap=category:0"], "cap: got 'category:0', expected COLUMN:NUMBER"),
        (["cap=category:1,category:2"], "cap: category is given twice"),
        (["cap=kind:2"], "cap: the items have no column 'kind'"),
        (["k=0"], "k: expected"),
        (["format=xml"], "format"),
    ],
)
def test_options(recommend, options, message):
    USERS.write_csv("users.csv")
    EVENTS.write_csv("events.csv")
    EVENTS.write_csv("german.csv", separator=";")
    EVENTS.head(0).write_csv("empty.csv")
    EVENTS.head(1).drop("timestamp").write_csv("plain.csv")
    for name, times in TIMES.items():
        events = pl.DataFrame({"user_id": ["a", "a"], "item_id": ["i1", "i2"], "timestamp": times})
        events.write_csv(f"{name}.csv")
    pl.DataFrame({"item_id": ["i1"]}).write_csv("items.csv")
    pl.DataFrame({"user_id": ["x", "y"]}).write_csv("strangers.csv")
    pl.DataFrame({"item_id": ["x", "y"]}).write_csv("strange.csv")
    Path("events.xlsx").write_text("no table")
    made = recommend("sasrec", *options)
    assert made.code == 2, made.err
    assert message in made.err
    assert "Traceback" not in made.err
    assert not [file.name for file in Path().glob("lists/*")]


def test_lists_longer_than_the_beams(recommend):
    made = recommend("tiger", "k=21")
    assert made.code == 2
    assert "decoding.num_beams: got 20, expected at least 21" in made.err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "running"}, "so it has no trained model; finish it first: recsys-lab train"),
        ({"windows": []}, "a rolling back-test; load one of its windows"),
    ],
)
def test_a_run_without_a_model(shop, capsys, changes, message):
    Path("run").mkdir()
    rewrite("run", {**json.loads((shop / "sasrec" / "run.json").read_text()), **changes})
    assert run_command(["recommend", "run", "output=lists"]) == 2
    assert message in capsys.readouterr().err


def test_no_output_and_no_run(shop, capsys):
    assert run_command(["recommend", str(shop / "sasrec")]) == 2
    assert "output" in capsys.readouterr().err
    assert run_command(["recommend", "output=lists"]) == 2
    assert "recsys-lab recommend RUN_DIR output=lists" in capsys.readouterr().err


def test_a_date_includes_its_day_and_a_time_its_second():
    assert end_of("1970-01-02") == 2 * 86_400
    assert end_of("1970-01-01T00:00:07") == 8
    assert end_of("1970-01-01T01:00:00+01:00") == 1


def test_parts_have_commas_between_them_but_not_in_quotes():
    assert parts_of('a=x, b<3,c="p, q",d="say ""x, y"""') == [
        "a=x", "b<3", 'c="p, q"', 'd="say ""x, y"""',
    ]  # fmt: skip
    assert parts_of('size=5",a=1,') == ['size=5"', "a=1", ""]
