"""Logs and columns that show the answer: how each is made, and which finding tells of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.leaks.fatal import fatal, words_of
from recsys_lab.data.preparation.contents import Preparation
from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.data.prepare import prepare
from recsys_lab.data.sources.table import Table
from tests.data.bad_input.inputs import HEAD
from tests.data.conftest import build, engines
from tests.data.splits.toys import make

START, DAY, USERS = 1_700_000_000, 86_400, 24
# Each user has 5 of 17 items, an item a day; nobody has one twice.
EVENTS = [(user, (3 * user + 5 * step) % 17, START + DAY * step + 60 * user)
          for user in range(USERS) for step in range(5)]  # fmt: skip
LAST = {user: item for user, item, _ in EVENTS}
CUTS = {"test_quantile": 0.8, "validation_quantile": 0.6}


def written(folder: Path, name: str, head: str, rows: Any) -> Path:
    """A CSV file of some rows."""
    file = folder / f"{name}.csv"
    file.write_text(head + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return file


def log(folder: Path, rows: Any = EVENTS) -> Path:
    """The log of some events."""
    return written(folder, "log", HEAD, [(f"u{u}", f"i{i}", t) for u, i, t in rows])


@dataclass(frozen=True)
class Leaking:
    """One input that shows the answer.

    Attributes:
        what: for people, in the table.
        make: writes it into a folder and returns the options of the table.
        kind: of the finding.
        split: name and options.
        filters: options of the filters.
    """

    what: str
    make: Callable[[Path], dict[str, Any]]
    kind: str
    split: tuple[str, dict[str, Any]] = ("leave_one_out", {})
    filters: dict[str, Any] = field(default_factory=dict)


def _doubled(gap: int) -> Callable[[Path], dict[str, Any]]:
    rows = [(u, i, t + more) for u, i, t in EVENTS for more in (0, gap)]
    return lambda folder: {"path": log(folder, rows)}


def _respelled(folder: Path) -> dict[str, Any]:
    first = {user: item for user, item, _ in reversed(EVENTS)}
    rows = [(f"u{u}", f"i{i}", t) for u, i, t in EVENTS]
    rows += [(f"u{u}", f"I{i}", START + 9 * DAY) for u, i in first.items()]
    return {"path": written(folder, "log", HEAD, rows)}


def _told_by_users(folder: Path) -> dict[str, Any]:
    users = [(f"u{user}", f"i{item}") for user, item in LAST.items()]
    table = written(folder, "users", "user_id,favourite\n", users)
    return {"path": log(folder), "users_path": table, "user_features": {"favourite": "categorical"}}


def _told_by_texts(folder: Path) -> dict[str, Any]:
    texts: dict[int, list[str]] = {}
    for user, item, _ in EVENTS:
        texts.setdefault(item, []).append(f"u{user} says: fine.")
    rows = [(f"i{item}", " ".join(said)) for item, said in texts.items()]
    table = written(folder, "items", "item_id,reviews\n", rows)
    return {"path": log(folder), "items_path": table, "item_features": {"reviews": "text"}}


def _counted(folder: Path) -> dict[str, Any]:
    """40 items of unlike popularity, drawn."""
    share = 1 / np.arange(3, 43)
    drawn = np.random.default_rng(2).choice(40, (90, 10), p=share / share.sum())
    days = range(10)
    rows = [(u, drawn[u, day], START + DAY * day + u) for u in range(90) for day in days]
    sold = [(f"i{item}", sum(i == item for _, i, _ in rows)) for item in range(40)]
    table = written(folder, "items", "item_id,sales\n", sold)
    return {"path": log(folder, rows), "items_path": table, "item_features": {"sales": "numeric"}}


def _new_items(folder: Path) -> dict[str, Any]:
    return {"path": log(folder, [*EVENTS, *((u, 17 + u, START + 6 * DAY) for u in range(USERS))])}


LEAKING = [
    Leaking("every event twice, a second apart", _doubled(1), "repeats_last_event"),
    Leaking("a view half a minute before each purchase", _doubled(30), "repeats_last_event"),
    Leaking("each person under two ids",
            lambda folder: {"path": log(folder, [(u + n * USERS, i, t) for u, i, t in EVENTS
                                                 for n in (0, 1)])}, "twin_users"),
    Leaking("an item of the history in capital letters as the target", _respelled,
            "respelled_targets"),
    Leaking("a column of the users that is the target", _told_by_users, "column_names_target"),
    Leaking("reviews of the whole log as texts of items", _told_by_texts, "column_names_target"),
    Leaking("sales of the whole log as a column of items", _counted, "column_knows_test_counts",
            ("global_temporal", CUTS)),
    Leaking("a k-core of the whole log", lambda folder: {"path": log(folder)},
            "filters_read_the_future", ("global_temporal", CUTS), {"min_item_count": 5}),
    Leaking("items that are new after the cut", _new_items, "unreleased_candidates",
            ("global_temporal", {**CUTS, "target": "first"})),
]  # fmt: skip


def attempt_leaking(case: Leaking, folder: Path) -> str:
    """The finding of the test by which ``fail_on_leaks=warning`` stops."""
    (folder / "input").mkdir()
    options = {key: str(value) if isinstance(value, Path) else value
               for key, value in case.make(folder / "input").items()}  # fmt: skip
    name, chosen = case.split
    filters = build(Filters, "filter", "default", **case.filters)
    parts = Preparation(filters, make(name, **chosen), engines("polars"))
    data = prepare(build(Table, "data", "table", **options), parts, folder / "prepared", "log")
    with pytest.raises(UserError, match="fail_on_leaks=warning: this dataset leaks") as error:
        fatal(data.manifest, words_of("warning"))
    found = [line.strip() for line in str(error.value).splitlines() if " (test): " in line]
    assert [line.split(" (")[0] for line in found] == [case.kind], error.value
    return found[0]
