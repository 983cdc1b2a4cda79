"""Bad input ends in a clear error or a counted row, and leaves nothing behind."""

from __future__ import annotations

import gzip
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.filters import Filters
from recsys_lab.data.pipeline import Preparation, prepare
from recsys_lab.data.splits.leave_one_out import LeaveOneOut
from recsys_lab.data.table import Table

from .bad_cases import COUNTED, READ, REFUSED
from .bad_downloads import PUBLISHED, Published
from .bad_inputs import GOOD, Bad
from .conftest import ROOT, build, engines

REPORT = Path(__file__).with_name("BAD_INPUT.md")


def attempt(case: Bad, folder: Path) -> str:
    """What the preparation of an input ends with."""
    (folder / "input").mkdir()
    path = case.make(folder / "input")
    reader = build(Table, "data", "table", path=str(path), **case.options)
    filters = build(Filters, "filter", "default")
    parts = Preparation(filters, build(LeaveOneOut, "split", "leave_one_out"), engines("polars"))
    root = folder / "prepared"
    try:
        data = prepare(reader, parts, root, "log")
    except UserError as error:
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


def attempt_published(case: Published, folder: Path) -> str:
    """The error that a damaged publication ends with."""
    before = {file.name for file in folder.parent.iterdir()}
    with pytest.raises(UserError) as caught:
        case.use(folder)
    assert {file.name for file in folder.parent.iterdir()} == before
    left = {file.name for file in folder.rglob("*") if file.is_file()}
    assert left <= {"ml-1m.zip", "file"}, "half a file was left behind"
    return str(caught.value)


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: case.what)
def test_published_sets_that_are_not_right(case, tmp_path):
    message = attempt_published(case, tmp_path)
    assert re.search(case.message, message, re.DOTALL), message


def test_without_permission(tmp_path):
    (tmp_path / "input").mkdir()
    secret = tmp_path / "input" / "log.csv"
    secret.write_text(GOOD)
    secret.chmod(0)
    reader = build(Table, "data", "table", path=str(secret))
    user = os.geteuid()
    if user == 0:  # the superuser may read everything: be nobody for a moment
        os.seteuid(65534)
    try:
        with pytest.raises(UserError, match=r"(log.csv|data.path=.*): no permission to read it"):
            reader.source_key()
    finally:
        os.seteuid(user)


FULL = """
import resource, sys
from pathlib import Path
from tests.data.conftest import build, engines
from recsys_lab.config import UserError
from recsys_lab.data.filters import Filters
from recsys_lab.data.pipeline import Preparation, prepare
from recsys_lab.data.splits.leave_one_out import LeaveOneOut
from recsys_lab.data.table import Table
reader = build(Table, "data", "table", path=sys.argv[1])
parts = Preparation(build(Filters, "filter", "default"),
                    build(LeaveOneOut, "split", "leave_one_out"), engines("polars"))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    prepare(reader, parts, Path(sys.argv[2]), "log")
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("form", ["csv", "csv.gz"])
def test_no_space_left(tmp_path, form):
    """A limit on the size of files stands for a full disk."""
    log = tmp_path / f"log.{form}"
    text = "user_id,item_id,timestamp\n" + "".join(f"{n % 99},{n},{n}\n" for n in range(9_000))
    log.write_bytes(text.encode() if form == "csv" else gzip.compress(text.encode()))
    root = tmp_path / "prepared"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(log), str(root), "20000"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"prepared_dir=.*: no space left .*nothing was kept", done.stdout)
    assert not list(root.iterdir())


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
    message = re.sub(r"(as Parquet: ).*?(\. The file may)", r"\1...\2", message, flags=re.DOTALL)
    message = re.sub(r"(cannot be read \().*?(\)\. Check)", r"\1...\2", message)
    message = re.sub(r"(cannot be undone \().*?(\)\. Get)", r"\1...\2", message)
    return " ".join(message.split()).replace("|", "\\|").replace("<", "&lt;")


def report() -> str:
    """The table of inputs and what each ends with."""
    lines = ["# What bad input ends with", "",
             "Made by `python -m tests.data.test_bad_input`; a test keeps it up to date. Every",
             "refused input leaves no dataset, whole or half, behind.", ""]  # fmt: skip
    parts = {
        "Refused": (REFUSED, attempt),
        "Published sets, refused": (PUBLISHED, attempt_published),
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
        "write it anew: python -m tests.data.test_bad_input"
    )


if __name__ == "__main__":
    REPORT.write_text(report(), encoding="utf-8")
