"""Bad input ends in a clear error or a counted row, and leaves nothing behind."""

from __future__ import annotations

import gzip
import os
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.preparation.contents import Preparation
from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.data.prepare import prepare
from recsys_lab.data.sources.published.gowalla import Gowalla
from recsys_lab.data.sources.published.steam import Steam
from recsys_lab.data.sources.published.yelp import Yelp
from recsys_lab.data.sources.recbole import RecBole
from recsys_lab.data.sources.table import Table
from recsys_lab.data.splits.leave_one_out import LeaveOneOut
from recsys_lab.files.faults import MachineFault
from tests.data.bad_input.cases import COUNTED, READ, REFUSED
from tests.data.bad_input.downloads import PUBLISHED, Published
from tests.data.bad_input.files import DATABASES, PLACES
from tests.data.bad_input.inputs import GOOD, HEAD, Bad
from tests.data.bad_input.leaks import LEAKING, attempt_leaking
from tests.data.bad_input.proposals import PROPOSALS, attempt_proposal
from tests.data.conftest import ROOT, as_nobody, build, engines

REPORT = Path(__file__).with_name("BAD_INPUT.md")


def attempt(case: Bad, folder: Path) -> str:
    """What the preparation of an input ends with."""
    (folder / "input").mkdir()
    path = case.make(folder / "input")
    reader = build(Table, "data", "table", path=str(path), **case.options)
    filters = build(Filters, "filter", "default", max_bad_rows=case.max_bad_rows)
    parts = Preparation(filters, build(LeaveOneOut, "split", "leave_one_out"), engines("polars"))
    root = folder / "prepared"
    try:
        data = prepare(reader, parts, root, "log")
    except (UserError, MachineFault) as error:
        assert not root.exists() or not list(root.iterdir()), "something was left behind"
        return str(error)
    assert len(list(root.iterdir())) == 1, "a scratch folder was left behind"
    counts = data.manifest["counts"]
    dropped = [f"{entry['reason']}: {entry['dropped']}" for entry in counts if entry["dropped"]]
    assert sum(e["dropped"] for e in counts) + data.num_interactions == counts[0]["rows"]
    return ", ".join(dropped) or f"{data.num_interactions} rows"


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.what)
def test_it_ends_in_a_clear_error(case, tmp_path):
    message = attempt(case, tmp_path)
    assert re.search(case.message, message, re.DOTALL), message
    assert "Traceback" not in message
    # The message names the file, or the option that is wrong.
    assert "data." in message or "log" in message or "data." in case.message, message


@pytest.mark.parametrize("case", COUNTED + READ, ids=lambda case: case.what)
def test_it_is_counted_or_read(case, tmp_path):
    message = attempt(case, tmp_path)
    assert re.fullmatch(case.message, message), message


@pytest.mark.parametrize("case", LEAKING, ids=lambda case: case.what)
def test_what_shows_the_answer_is_found(case, tmp_path):
    assert attempt_leaking(case, tmp_path).startswith(f"{case.kind} (test): ")


@pytest.mark.parametrize("case", PROPOSALS, ids=lambda case: case.what)
def test_no_config_is_proposed_for_it(case, tmp_path):
    message = attempt_proposal(case, tmp_path)
    assert re.search(case.message, message, re.DOTALL), message


def attempt_published(case: Published, folder: Path) -> str:
    """The error that a damaged publication, or a place that refuses, ends with."""
    before = {file.name for file in folder.parent.iterdir()}
    with pytest.raises((UserError, MachineFault)) as caught:
        case.use(folder)
    assert {file.name for file in folder.parent.iterdir()} == before
    left = {file.name for file in folder.rglob("*") if file.is_file()}
    assert left <= {"ml-1m.zip", "file", "shop.db"}, "half a file was left behind"
    return str(caught.value)


@pytest.mark.parametrize("case", PUBLISHED + DATABASES + PLACES, ids=lambda case: case.what)
def test_published_sets_and_places_that_are_not_right(case, tmp_path):
    message = attempt_published(case, tmp_path)
    assert re.search(case.message, message, re.DOTALL), message


def test_without_permission(tmp_path):
    (tmp_path / "input").mkdir()
    secret = tmp_path / "input" / "log.csv"
    secret.write_text(GOOD)
    secret.chmod(0)
    reader = build(Table, "data", "table", path=str(secret))
    with (
        as_nobody(),
        pytest.raises(UserError, match=r"(log.csv|data.path=.*): no permission to read it"),
    ):
        reader.source_key()


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        (Table, "table", "locked"),
        (Table, "table", "locked/*.csv"),
        (Table, "table", "."),  # a part of a log would be read as the whole
        (Gowalla, "gowalla", "locked/loc-gowalla_totalCheckins.txt"),
        (Gowalla, "gowalla", "locked"),
        (Steam, "steam", "locked/steam_reviews.json.gz"),
        (Yelp, "yelp", "locked"),
        (RecBole, "recbole", "locked"),
        (RecBole, "recbole", "locked/log.inter"),
    ],
)
def test_folders_without_permission(tmp_path, kind, name, path):
    tmp_path.chmod(0o755)
    for place in tmp_path.parents[:-2]:
        place.chmod(place.stat().st_mode | 0o111)
    locked = tmp_path / "locked"
    locked.mkdir()
    for file in (tmp_path / "a.csv", locked / "b.csv", locked / "log.inter"):
        file.write_text(GOOD)
    locked.chmod(0)
    try:
        reader = build(kind, "data", name, path=str(tmp_path / path))
        with (
            as_nobody(),
            pytest.raises(UserError, match=r"data.path=.*locked.*: no permission to read it"),
        ):
            reader.source_key()
    finally:
        locked.chmod(0o755)


FULL = """
import resource, sys
from pathlib import Path
from tests.data.conftest import build, engines
from recsys_lab.config import UserError
from recsys_lab.files.faults import MachineFault
from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.data.prepare import Preparation, prepare
from recsys_lab.data.splits.leave_one_out import LeaveOneOut
from recsys_lab.data.sources import hub
from recsys_lab.data.sources import table as rows_at_hand
from recsys_lab.data.sources import sql
from recsys_lab.data.sources import table
log, root, case = sys.argv[1:]
if case == "sql":
    query = "SELECT * FROM log"
    reader = build(sql.SQL, "data", "sql", url=f"sqlite:///{log}", query=query)
elif case == "hub":
    reader = build(hub.Hub, "data", "hub", path=log, streaming=True)
else:
    reader = build(table.Table, "data", "table", path=log)
if case == "large text":
    rows_at_hand.IN_MEMORY = 0
engine = engines("duckdb" if case == "duckdb" else "polars")
parts = Preparation(build(Filters, "filter", "default"),
                    build(LeaveOneOut, "split", "leave_one_out"), engine)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    prepare(reader, parts, Path(root), "log")
except MachineFault as error:
    print(error)
"""


def long_log(folder: Path, case: str) -> Path:
    """9,000 rows in the form that a case of `FULL` reads."""
    rows = [(n % 99, n * 7919 % 10**6, n) for n in range(9_000)]
    text = HEAD + "".join(f"{user},{item},{time}\n" for user, item, time in rows)
    log = folder / "log"
    if case == "sql":
        with closing(sqlite3.connect(log)) as connection:
            connection.execute(f"CREATE TABLE log ({HEAD})")
            connection.executemany("INSERT INTO log VALUES (?, ?, ?)", rows)
            connection.commit()
        return log
    if case == "hub":
        log.mkdir()
        pl.read_csv(text.encode()).write_parquet(log / "train.parquet")
        return log
    file = folder / ("log.csv.gz" if case == "gzip" else "log.csv")
    file.write_bytes(gzip.compress(text.encode()) if case == "gzip" else text.encode())
    return file


@pytest.mark.parametrize("case", ["text", "gzip", "large text", "duckdb", "sql", "hub"])
def test_no_space_left(tmp_path, case):
    """A limit on the size of files stands for a full disk."""
    log, root, spare = long_log(tmp_path, case), tmp_path / "prepared", tmp_path / "spare"
    spare.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(log), str(root), case],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "TMPDIR": str(spare), "HF_HOME": str(tmp_path / "hub")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    where = {"sql": r"data.query: no space left for its rows in .*prepared",
             "hub": r"data.path=.*: no space left for its rows in .*prepared"}  # fmt: skip
    message = where.get(case, r"prepared_dir=.*: no space left while preparing")
    assert re.search(message + r".*File too large.*[Nn]othing was kept", done.stdout), done.stdout
    assert not root.exists() or not list(root.iterdir())
    assert not list(spare.rglob("*.parquet"))


def test_a_long_line_takes_little_memory(tmp_path):
    case = next(case for case in REFUSED if case.what == "a line of 64 MB")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    attempt(case, tmp_path)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 60_000  # KiB


def tidy(message: str, folder: str) -> str:
    """A message without what differs from machine to machine and version to version."""
    message = message.replace(f"{folder}/input/", "").replace(f"{folder}/input", "FOLDER")
    message = message.replace(f"{folder}/", "").replace(folder, "FOLDER")
    message = re.sub(r"127\.0\.0\.1:\d+", "HOST", message)
    message = re.sub(r"port \d+", "port N", message)
    message = re.sub(r"(as Parquet: ).*?(\. The file may)", r"\1...\2", message, flags=re.DOTALL)
    message = re.sub(r"(cannot be read \().*?(\)\. Check)", r"\1...\2", message)
    message = re.sub(r"(cannot be undone \().*?(\)\. Download)", r"\1...\2", message)
    return " ".join(message.split()).replace("|", "\\|").replace("<", "&lt;")


def report() -> str:
    """The table of inputs and what each ends with."""
    lines = ["# What bad input ends with", "",
             "Made by `python -m tests.data.bad_input.test_bad_input`; a test keeps it up to date.",
             "Every refused input leaves no dataset, whole or half, behind.", ""]  # fmt: skip
    parts = {
        "Refused": (REFUSED, attempt),
        "Published sets, refused": (PUBLISHED, attempt_published),
        "Databases, refused": (DATABASES, attempt_published),
        "Places, refused": (PLACES, attempt_published),
        "Leaking, found; stops under `fail_on_leaks=warning`": (LEAKING, attempt_leaking),
        "`recsys-lab init`, refused": (PROPOSALS, attempt_proposal),
        "Dropped and counted": (COUNTED, attempt),
        "Read": (READ, attempt),
    }
    for title, (cases, end) in parts.items():
        lines += [f"## {title}", "", "| input | result |", "| --- | --- |"]
        for case in cases:
            with tempfile.TemporaryDirectory() as outer:
                folder = Path(outer) / "x"
                folder.mkdir()
                lines.append(f"| {case.what} | {tidy(end(case, folder), str(folder))} |")
        lines.append("")
    return "\n".join(lines)


def test_the_table_is_up_to_date():
    assert REPORT.read_text(encoding="utf-8") == report(), (
        "write it anew: python -m tests.data.bad_input.test_bad_input"
    )


if __name__ == "__main__":
    REPORT.write_text(report(), encoding="utf-8")
