"""Files for which ``recsys-lab init`` proposes nothing, and what each ends with."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.proposal.propose import propose
from tests.data.bad_input.inputs import GOOD, HEAD, ROWS, Bad, lines, text

PROPOSALS = [
    Bad("an empty file", text(""), r"log.csv: the file is empty \(0 bytes\)"),
    Bad("a header and nothing else", text(HEAD), "has a header but no rows"),
    Bad("a single column", text("user_id\n1\n2\n"), "has a single column, 'user_id'"),
    Bad("no header", text(ROWS), "no names of columns but values, such as '1700000000'"),
    Bad("a column name twice", text("user_id,item_id,user_id\n1,2,3\n"),
        "has 2 columns named 'user_id'"),
    Bad("a program", text(bytes(range(256)) * 9, "log.csv"), "line 1 holds a NUL byte"),
    Bad("a workbook", text(b"PK\x03\x04" * 9, "log.xlsx"), "suffix '.xlsx' cannot be read"),
    Bad("Latin-1", text(GOOD.replace("u3", "Zo\xeb").encode("latin-1")),
        "line 5 is not UTF-8 .*iconv -f windows-1252 -t utf-8 .*log.csv > log-utf8.csv, then: "
        "recsys-lab init log-utf8.csv"),
    Bad("columns that are named like nothing", text("a,b,c\n1,2,3\n1,3,4\n"),
        "no column is named like the user and the item, and init does not guess. "
        "Name them: user=COLUMN item=COLUMN. Columns: a, b, c"),
    Bad("users with one event each", text("user,item,date\n1,2,2024-01-01\n2,3,2024-01-02\n"),
        "no user of column 'user' has 3 events"),
    Bad("times in seconds and in milliseconds",
        text(GOOD.replace(",1700000001\n", ",1700000001000\n")), "mix units, by their size"),
    Bad("JSON in one piece", text(lines("[", '{"user_id": 1}'), "log.jsonl"), "not valid JSON"),
    Bad("no such file", lambda folder: folder / "nowhere.csv", "no such file"),
]  # fmt: skip


def attempt_proposal(case: Bad, folder: Path) -> str:
    """The error of a proposal."""
    for name in ("input", "scratch"):
        (folder / name).mkdir()
    path = str(case.make(folder / "input"))
    with pytest.raises(UserError) as error:
        propose(path, 1000, {"user": None, "item": None, "timestamp": None}, folder / "scratch")
    return str(error.value)
