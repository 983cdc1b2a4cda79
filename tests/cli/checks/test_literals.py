"""Values of sources on the command line: as people write them, without quotes for Hydra."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from recsys_lab.cli.main import run_command
from recsys_lab.config.quoting import literal
from recsys_lab.config.verbs import VERBS
from recsys_lab.data.prepared import PreparedDataset

QUERY = "select user_id, item_id\nfrom clicks where a = 1 and b like 'i%' -- [all]"
ROWS = "user_id;item_id;timestamp\n" + "".join(
    f"{u};{i};{u + i}\n" for u in (1, 2) for i in (1, 2, 3)
)


KEYS = {
    "sql": ["query", "items_query", "users_query", "url", "timestamp_format"],
    "table": ["path", "items_path", "users_path", "separator"],
}
TEXTS = {
    "query": QUERY,
    "items_query": "select a, b from c",
    "users_query": "select [a] from {b} where c = 'd\\e'",
    "url": "postgresql://host:5432/db?sslmode=require",
    "path": "hive/day=2024-01-01/a, b.csv",
    "items_path": "logs[1]/{items}.csv",
    "users_path": "~/log(1).csv",
    "separator": ";",
    "timestamp_format": "%d/%m/%Y, %H:%M",
}


@pytest.mark.parametrize("source", ["sql", "table"])
def test_texts_are_taken_as_they_stand(capsys, source):
    texts = {key: TEXTS[key] for key in KEYS[source]}
    overrides = [f"data.{key}={value}" for key, value in texts.items()]
    assert run_command(["prepare", f"data={source}", *overrides, "--cfg", "job"]) == 0
    data = yaml.safe_load(capsys.readouterr().out)["data"]
    assert {key: data[key] for key in texts} == texts


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("notes", "don't know"),
        ("notes", "first try, lr=0.1"),
        ("notes", "it is 100% (really) #1 \\ done"),
        ("group", "2024"),
        ("name", "SASRec (big)"),
        ("name", "true"),
        ("run_dir", "runs/lr=0.1"),
        ("prepared_dir", "{a}, b"),
    ],
)
def test_texts_of_no_component_are_taken_as_they_stand(capsys, key, value):
    assert run_command(["train", f"{key}={value}", "--cfg", "job"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)[key] == value


def test_a_value_that_no_grammar_reads_is_a_text(capsys):
    url = "postgresql://me@host/db?sslmode=require"
    assert run_command(["sweep", f"sweep.storage={url}", "--cfg", "job"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["sweep"]["storage"] == url
    assert run_command(["train", "model.num_layers=choice(1,2"]) == 2
    assert "num_layers: expected an int >= 1, got 'choice(1,2'" in capsys.readouterr().err


def test_mappings_of_columns_and_their_types(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for typed in ("{title: text, price: numeric}", "{title:text,price:numeric}"):
        command = ["prepare", "data=table", "data.path=a.csv", f"data.item_features={typed}"]
        assert run_command([*command, "--cfg", "job"]) == 0
        made = yaml.safe_load(capsys.readouterr().out)["data"]["item_features"]
        assert made == {"title": "text", "price": "numeric"}
        assert run_command(command) == 2
        assert "data.path=a.csv: no such file" in capsys.readouterr().err  # after the check
    table = ["prepare", "data=table", "data.path=a.csv"]
    for typed, said in (
        ("{title: txt}", "to one of 'categorical', 'numeric', 'text', 'list', got {'title': 'txt'"),
        ('{"title": "text"}', "write {key: value}, with a space after each colon"),
    ):
        assert run_command([*table, f"data.item_features={typed}"]) == 2
        assert said in capsys.readouterr().err
    assert run_command([*table, "data.item_features={a: text},{b: list}", "--multirun"]) == 2
    assert capsys.readouterr().err.count("failed: data.path=a.csv: no such") == 2


def test_texts_of_several_jobs():
    for text, values in (("name=a,b", ["a", "b"]), ("group=2024,2025", ["2024", "2025"])):
        parsed = OverridesParser.create().parse_override(
            literal(text, VERBS["train"], several=True)
        )
        assert [value.text for value in parsed.sweep_iterator()] == values


def test_every_verb_that_reads_a_source_takes_them():
    for verb in ("prepare", "train", "sweep"):
        for key, value in TEXTS.items():
            [parsed] = OverridesParser.create().parse_overrides(
                [literal(f"++data.{key}={value}", VERBS[verb], several=False)]
            )
            assert parsed.value() == value


@pytest.mark.parametrize("separator", [",", "'", '"', "\\t", "\t", " ", "="])
def test_separators(separator):
    text = literal(f"data.separator={separator}", VERBS["prepare"], several=False)
    assert OverridesParser.create().parse_override(text).value() == separator


@pytest.mark.parametrize(
    ("text", "value"),
    [("'a,b.csv'", "a,b.csv"), ('"a=b"', "a=b"), ("null", None), ("${seed}", "0"), ("7", "7")],
)
def test_quotes_and_null_and_references_mean_what_they_did(capsys, text, value):
    command = ["prepare", "data=table", f"data.path={text}", "--cfg", "job", "--resolve"]
    assert run_command(command) == 0
    assert str(yaml.safe_load(capsys.readouterr().out)["data"]["path"]) == str(value)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("day=1/a.csv,day=2/a.csv", ["day=1/a.csv", "day=2/a.csv"]),
        ("'day=1/a.csv',day=2/a.csv", ["day=1/a.csv", "day=2/a.csv"]),
        ("choice(a.csv,b.csv)", ["a.csv", "b.csv"]),
        ("'x,y.csv'", ["x,y.csv"]),
        ("x,y.csv", ["x,y.csv"]),  # there is such a file
    ],
)
def test_a_multirun_takes_several_paths(tmp_path, monkeypatch, capsys, text, paths):
    monkeypatch.chdir(tmp_path)
    Path("x,y.csv").touch()
    run_command(["prepare", "data=table", f"data.path={text}", "--multirun"])
    said = capsys.readouterr().err
    for path in paths:
        assert f"data.path={path}: " in said
    assert said.count("failed: ") == len(paths)


def test_the_hint_for_a_separator_can_be_pasted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for separator, name in ((";", "a.csv"), ("\t", "b.csv"), ("|", "c.csv")):
        Path(name).write_text(ROWS.replace(";", separator))
        command = ["prepare", "data=table", f"data.path={name}", "prepared_dir=out"]
        assert run_command(command) == 2
        hint = capsys.readouterr().err.partition("Set ")[2].strip()
        assert run_command([*command, hint.replace("'", "")]) == 0, hint  # as a shell passes it
    assert len(list(Path("out").iterdir())) == 3


def test_the_folder_of_a_file_with_an_odd_or_long_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("g").mkdir()
    for name in ("part[12], (new).csv", "é" * 100 + ".csv"):
        Path("g", name).write_text(ROWS.replace(";", ","))
        assert run_command(["prepare", "data=table", f"data.path=g/{name}", "prepared_dir=o"]) == 0
    folders = sorted(Path("o").iterdir())
    assert folders[0].name.startswith("table_part_12_new_-")
    assert all(len(folder.name.encode()) <= 93 for folder in folders)
    assert all(PreparedDataset(folder).num_items == 3 for folder in folders)


@pytest.mark.parametrize("verb", ["prepare", "train"])
def test_a_password_in_a_url_reaches_no_file(tmp_path, monkeypatch, capsys, verb):
    monkeypatch.chdir(tmp_path)
    for url in ("postgresql://me:s3cret@host/db", "mysql://host/db?passwd=s3cret"):
        command = [verb, "data=sql", f"data.url={url}", "data.query=select 1, 2", "data.x=1"]
        assert run_command(command) == 2
        said = capsys.readouterr()
        assert "data.url: contains a password" in said.err
        assert "s3cret" not in said.out + said.err
    assert not list(tmp_path.iterdir())
