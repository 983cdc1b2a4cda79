"""``recsys-lab init``: what it proposes for a file, and that the printed commands work."""

from __future__ import annotations

import gzip
import json
import shlex
import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import yaml

from recsys_lab.cli.main import run_command

START = datetime(2024, 3, 1, 9, 5)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def till(**changes: pl.Expr) -> pl.DataFrame:
    """Twelve customers with four receipts of three lines each, two returns and postage."""
    rows = [
        {
            "BelegNr": 100 * user + visit,
            "Kunde": 1000 + user,
            "Artikel": "POST"
            if (user, line) == (3, 0)
            else f"A{(5 * user + 3 * visit + line) % 17}",
            "Bezeichnung": "Porto" if (user, line) == (3, 0) else "Tee, grün",
            "Menge": -1 if (user, visit) == (4, 1) else 2,
            "Preis": 3.5,
            "Datum": START + timedelta(days=9 * visit, hours=user),
        }
        for user in range(12)
        for visit in range(4)
        for line in range(3)
        for n in [3 * visit + line]
    ]
    return pl.DataFrame(rows).with_columns(**changes)


def read(name: str, capsys: pytest.CaptureFixture[str]) -> tuple[dict, str, str]:
    """The config, its text, and what was printed."""
    text = Path(f"conf/experiment/{name}.yaml").read_text()
    return yaml.safe_load(text), text, capsys.readouterr().out


def printed(out: str, what: str) -> list[str]:
    """The arguments of a printed command."""
    (line,) = [line for line in out.splitlines() if line.startswith(f"{what}: ")]
    words = shlex.split(line.partition(": ")[2])
    assert words[0] == "recsys-lab"
    return words[1:]


def german(path: str) -> None:
    frame = till(
        Preis=pl.lit("3,50"), Datum=pl.col("Datum").dt.strftime("%d.%m.%Y %H:%M"),
        Kunde=pl.col("Kunde").cast(pl.Float64),
    )  # fmt: skip
    frame.write_csv(path, separator=";")


FORMS = {
    "till.csv": german,
    "my till.tsv": lambda path: till().write_csv(path, separator="\t"),
    "till.txt": lambda path: till().write_csv(path, separator="|"),
    "till.csv.gz": lambda path: Path(path).write_bytes(gzip.compress(till().write_csv().encode())),
    "till.jsonl": lambda path: Path(path).write_text(till().write_ndjson()),
    "till.parquet": lambda path: till().write_parquet(path),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_proposed_is_right_and_the_printed_command_works(form, capsys):
    FORMS[form](form)
    assert run_command(["init", form]) == 0
    config, text, out = read("my_till" if form[0] == "m" else "till", capsys)
    data = config["data"]
    assert {key: data[f"{key}_column"] for key in ("user", "item", "timestamp", "basket")} == {
        "user": "Kunde", "item": "Artikel", "timestamp": "Datum", "basket": "BelegNr",
    }  # fmt: skip
    assert (data["quantity_column"], data["price_column"]) == ("Menge", "Preis")
    assert (data["title_column"], data["keep_returns"]) == ("Bezeichnung", False)
    assert "3 rows (2.08%) have a negative quantity" in text
    assert config["filter"]["exclude_items"] == ["POST"]
    assert config["split"]["unit"] == "basket"
    if form == "till.csv":
        assert data["separator"] == ";"
        assert data["decimal_comma"] is True
        assert data["timestamp_format"] == "%d.%m.%Y %H:%M"
    assert run_command(printed(out, "prepare the data and see its card")) == 0
    told = " ".join(capsys.readouterr()).split()
    (manifest,) = Path("prepared").glob("*/manifest.json")
    made = json.loads(manifest.read_text())
    for warning in made["warnings"]:
        assert " ".join(told).count(" ".join(warning.split())) == 1
    assert bool(made["warnings"]) == (form == "till.csv")  # customers such as 1000.0
    dropped = {entry["step"]: entry["dropped"] for entry in made["counts"]}
    assert (dropped["returns"], dropped["excluded items"]) == (3, 4)
    assert made["num_interactions"] == 144 - 3 - 4
    assert made["statistics"]["time"]["first"] == "2024-03-01T09:05:00Z"
    users = pl.read_parquet(manifest.parent / "users.parquet")["user_id"]
    assert users.to_list() == list(range(1000, 1012))
    assert not [leak for leak in made["leaks"] if leak["kind"] == "same_basket"]


def test_what_is_ambiguous_or_absent_is_said(capsys):
    days = pl.col("Datum").dt.day() % 12 + 1
    slashed = pl.format("{}/{}/2024", days, (days + 3) % 12 + 1)
    till(Datum=slashed, other_customer_id=pl.lit(1)).write_csv("a.csv")
    assert run_command(["init", "a.csv", "time=Datum"]) == 0
    config, text, out = read("a", capsys)
    assert config["data"]["timestamp_format"] in ("%m/%d/%Y", "%d/%m/%Y")
    assert "# ambiguous: %" in text
    assert "gap: times: %" in out
    assert "both read every value" in " ".join(out.split())
    till(Datum=pl.lit("soon")).write_csv("b.csv")
    assert run_command(["init", "b.csv"]) == 0
    config, text, out = read("b", capsys)
    assert config["data"]["timestamp_column"] is None
    assert "# Gap: column 'Datum' is named like a time, but no known format reads it" in text
    assert run_command(printed(out, "prepare the data and see its card")) == 0
    log = till().rename({"Kunde": "customer_id"}).with_columns(client_no=pl.col("customer_id"))
    log.write_csv("c.csv")
    assert run_command(["init", "c.csv"]) == 0
    config, text, _ = read("c", capsys)
    assert config["data"]["user_column"] == "customer_id"
    assert "by its name; also possible: client_no" in text


def test_seconds_are_not_ambiguous_and_what_is_odd_about_values_is_said(capsys):
    """Returns with the minus behind, and one customer's number with and without zeros."""
    odd = pl.int_range(pl.len()) % 3 == 0
    till(
        Datum=pl.col("Datum").dt.strftime("%d.%m.%Y %H:%M:%S"),
        Menge=pl.when(odd).then(pl.lit("1-")).otherwise(pl.lit("1")),
        Kunde=pl.when(odd).then(pl.lit("00") + pl.col("Kunde").cast(str)).otherwise("Kunde"),
    ).write_csv("a.csv")
    assert run_command(["init", "a.csv"]) == 0
    config, text, out = read("a", capsys)
    assert config["data"]["timestamp_format"] == "%d.%m.%Y %H:%M:%S"
    assert "ambiguous" not in text
    assert "gap: quantity: 48 values are not numbers and count as missing; the first is '1-'" in out
    assert "gap: users: 12 of 24 ids differ from another one in spelling only (zeros: 12)" in out


def test_the_header_that_is_advised_fits_the_file(capsys):
    till().select(
        pl.col("Datum").dt.strftime("%d.%m.%Y %H:%M"), "Kunde", "Artikel", "Menge"
    ).write_csv("bare.csv", separator=";", include_header=False)
    assert run_command(["init", "bare.csv"]) == 2
    command = capsys.readouterr().err.partition("e.g. ")[2].strip()
    assert command.startswith("sed '1i timestamp;user_id;item_id;column_4' bare.csv")
    subprocess.run(command, shell=True, check=True)
    assert run_command(["init", "with_header.csv"]) == 0
    data = read("with_header", capsys)[0]["data"]
    assert data["timestamp_format"] == "%d.%m.%Y %H:%M"


def test_a_file_that_begins_with_the_newest_day_is_doubted(capsys):
    days = till(Datum=pl.col("Datum").dt.strftime("%d.%m.%Y")).sort("Datum", maintain_order=True)
    days.reverse().write_csv("down.csv")
    days.write_csv("up.csv")
    assert run_command(["init", "down.csv"]) == 0
    assert "newest to the oldest, and 141 events are at the time" in read("down", capsys)[2]
    assert run_command(["init", "up.csv"]) == 0
    assert "newest" not in read("up", capsys)[2]


def test_dates_written_as_numbers_and_mostly_missing_users(capsys):
    few = pl.when(pl.int_range(pl.len()) % 3 > 0).then("Kunde")
    till(Datum=pl.col("Datum").dt.strftime("%Y%m%d"), Kunde=few).write_csv("a.csv")
    assert run_command(["init", "a.csv", "rows=144"]) == 0
    config, text, out = read("a", capsys)
    assert config["data"]["timestamp_format"] == "%Y%m%d"
    assert config["filter"]["max_bad_rows"] == pytest.approx(1 / 3 + 0.1, abs=0.01)
    assert "33.3% of the rows lack a user" in text
    assert run_command(printed(out, "prepare the data and see its card")) == 0
    assert run_command(["init", "a.csv", "rows=90", "name=part"]) == 0
    assert "the first 90 rows of a.csv" in " ".join(read("part", capsys)[1].split())


def test_further_traps_of_tills(capsys):
    """Two-digit years, the clock in a column of its own, types of events, an empty receipt."""
    clock = pl.col("Datum").dt.strftime("%H:%M")
    row = pl.int_range(pl.len())
    kinds = pl.when(row % 3 > 0).then(pl.lit("view")).when(row % 9 > 0).then(pl.lit("buy"))
    kinds = kinds.otherwise(pl.lit("cart"))  # the rarest, but no purchase
    till(
        Datum=pl.col("Datum").dt.strftime("%d.%m.%y"), Uhrzeit=clock, event_type=kinds,
        BelegNr=pl.lit(None, pl.Int64),
    ).write_csv("a.csv")  # fmt: skip
    assert run_command(["init", "a.csv"]) == 0
    config, text, out = read("a", capsys)
    assert config["data"]["timestamp_format"] == "%d.%m.%y"
    assert "basket_column" not in config["data"]
    assert "event types: view " in text
    assert "; [buy] would predict these from all events before" in text
    assert "gap: column 'Uhrzeit' holds times of day, apart from the date in 'Datum'" in out
    assert "gap: column 'BelegNr' is named like the basket, but only 0% of the rows" in out
    command = printed(out, "prepare the data and see its card")
    assert run_command([*command, "split.target_events=[buy]", "split.unit=event"]) == 0


def test_no_file_is_overwritten(capsys):
    till().write_csv("till.csv")
    assert run_command(["init", "till.csv"]) == 0
    before = Path("conf/experiment/till.yaml").read_bytes()
    capsys.readouterr()
    assert run_command(["init", "till.csv"]) == 2
    said = capsys.readouterr().err
    assert "till.yaml exists, and init never overwrites a file" in said
    advice = said.rpartition("e.g. ")[2].strip()
    assert run_command(["init", "till.csv", advice]) == 0
    assert Path("conf/experiment/till.yaml").read_bytes() == before
    assert run_command(["init", "till.csv", "name=../x"]) == 2
    Path("blocked").write_text("")
    assert run_command(["init", "till.csv", "output=blocked"]) == 2
    assert "output: cannot write blocked/experiment/till.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["no header", "Latin-1"])
def test_advice_on_bad_files_works(fault, capsys):
    rows = till().select("Kunde", "Artikel", "Datum")
    if fault == "no header":
        rows.write_csv("a.csv", include_header=False)
    else:
        text = till(Bezeichnung=pl.lit("Tee grün")).write_csv()
        Path("a.csv").write_bytes(text.encode("latin-1"))
    assert run_command(["init", "a.csv"]) == 2
    said = capsys.readouterr().err
    command = said[said.index("sed " if fault == "no header" else "iconv ") :]
    command, _, then = command.partition(", then: ")
    subprocess.run(command, shell=True, check=True)
    words = shlex.split(then)[1:] if then else ["init", command.rpartition("> ")[2].strip()]
    assert run_command(words) == 0


def test_a_time_that_no_name_shows_and_a_column_for_two_roles(capsys):
    frame = till().rename({"Datum": "Verkauf"})
    frame.write_csv("kasse.csv", datetime_format="%d.%m.%Y %H:%M", separator=";")
    assert run_command(["init", "kasse.csv"]) == 0
    config, text, _ = read("kasse", capsys)
    assert config["data"]["timestamp_column"] == "Verkauf"
    assert config["data"]["timestamp_format"] == "%d.%m.%Y %H:%M"
    assert "'Verkauf' is proposed, as its values are dates" in " ".join(text.split())
    frame.with_columns(Abholung=pl.col("Verkauf")).write_csv("zwei.csv")
    assert run_command(["init", "zwei.csv"]) == 0
    config, text, _ = read("zwei", capsys)
    assert config["data"]["timestamp_column"] is None
    words = " ".join(text.replace("# ", " ").split())
    assert "Columns of dates: Verkauf, Abholung; name one: time=COLUMN" in words
    assert "no row is a duplicate, as there are no times" in text
    assert run_command(["init", "kasse.csv", "name=b", "user=Kunde", "item=Kunde"]) == 2
    assert "one column cannot be both" in capsys.readouterr().err
    same = ["data=table", "data.path=kasse.csv", "data.separator=;", "data.user_column=Kunde"]
    same += ["data.item_column=Kunde", "data.timestamp_column=null"]
    assert run_command(["prepare", *same]) == 2
    assert "both are 'Kunde'" in capsys.readouterr().err


def test_of_a_folder_of_several_tables_each_file_is_named_with_the_command(capsys):
    """The command for the log works; a folder of parts of one table is still one log."""
    till().head(200).select("Kunde", "Artikel", "Datum").write_csv("a.csv")
    for folder in ("of shop", "parts"):
        Path(folder).mkdir()
        shutil.copy("a.csv", f"{folder}/events.csv")
    Path("of shop/items.csv").write_text("Artikel,price\n1,2\n")
    assert run_command(["init", "of shop"]) == 2
    said, *lines = capsys.readouterr().err.splitlines()
    assert "events.csv has Artikel, Datum, Kunde; items.csv has Artikel, price" in said
    told = [shlex.split(line)[1:] for line in lines[1:]]
    assert told == [["init", "of shop/events.csv"], ["init", "of shop/items.csv"]]
    assert run_command(told[0]) == 0
    shutil.copy("a.csv", "parts/more.csv")
    Path("parts/z.csv").touch()
    assert run_command(["init", "parts"]) == 0
    (Path("lines") / "deep").mkdir(parents=True)
    Path("lines/deep/log.txt").write_text("1 2\n")
    capsys.readouterr()
    assert run_command(["init", "lines"]) == 2
    assert capsys.readouterr().err.endswith(":\n  recsys-lab init lines/deep/log.txt\n")


def test_an_atomic_file_needs_no_proposal(capsys):
    Path("r").mkdir()
    rows = "".join(f"{n % 5}\t{n}\t{n}\n" for n in range(40))
    Path("r/r.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n" + rows)
    assert run_command(["init", "r/r.inter"]) == 2
    said = capsys.readouterr().err
    assert "r.inter is an atomic file of RecBole" in said
    assert run_command(shlex.split(said.rpartition("recsys-lab ")[2])) == 0
