"""Candidates, blocklist, conditions and caps, against brute force over whole lists."""

from copy import copy
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from recsys_lab.experiment.recommend.item_rules import Cap, CappedLists
from recsys_lab.experiment.recommend.ranker import HistoryRanker
from recsys_lab.models.ranking import top_k
from tests.cli.flow import ITEMS
from tests.deploy.recommend.conftest import RUNS, catalogue

K = 4


def whole_lists(recommend, name):
    """The list of each user of the whole catalogue, best first."""
    k = {"tiger": 20}.get(name, ITEMS)  # its beams
    return recommend(name, f"k={k}", output=f"whole-{name}").rows


def filtered(rows: pl.DataFrame, allowed: set[str]) -> list[tuple]:
    """The first K allowed items of each whole list."""
    kept = rows.filter(pl.col("item_id").is_in(list(allowed)))
    return [
        (user, item)
        for (user,), part in kept.group_by("user_id", maintain_order=True)
        for item in part["item_id"].to_list()[:K]
    ]


def pairs(rows: pl.DataFrame) -> list[tuple]:
    return rows.select("user_id", "item_id").rows()


@pytest.mark.parametrize("name", ["popularity", "sasrec"])
def test_candidates_and_blocklist(recommend, name):
    pl.DataFrame({"item_id": [f"i{n}" for n in range(0, ITEMS, 2)] + ["new"]}).write_csv("in.csv")
    pl.DataFrame({"item_id": ["i4", "i8", "i9"]}).write_ndjson("out.jsonl")
    made = recommend(name, f"k={K}", "candidates=in.csv", "blocklist=out.jsonl")
    assert made.code == 0, made.err
    allowed = {f"i{n}" for n in range(0, ITEMS, 2)} - {"i4", "i8"}
    assert pairs(made.rows) == filtered(whole_lists(recommend, name), allowed)
    assert "candidates: 1 of 14 ids are not in the catalogue" in made.out
    assert made.manifest["counts"]["items"] == len(allowed)


def test_a_search_finds_candidates_that_are_not_its_best(recommend):
    allowed = ["i19", "i22", "i24"]
    pl.DataFrame({"item_id": allowed}).write_csv("in.csv")
    made = recommend("tiger", "k=3", "exclude_seen=false", "candidates=in.csv")
    lists = made.rows.group_by("user_id").agg(pl.col("item_id").sort())["item_id"].to_list()
    assert lists == [allowed] * len(lists)


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ("category=SHOES", lambda row: row["category"] == "shoes"),
        ("category!=shoes", lambda row: row["category"] not in ("shoes", None)),
        ("price<12.5,category=hats", lambda row: row["price"] < 12.5 and row["category"] == "hats"),
        ("tags=red", lambda row: "red" in row["tags"]),
        ("tags!=red", lambda row: "red" not in row["tags"] and row["tags"]),
        ("price>=5, price!=6", lambda row: row["price"] >= 5 and row["price"] != 6),
    ],
)
def test_conditions_on_item_columns(recommend, where, holds):
    made = recommend("sasrec", f"k={K}", f"where={where}")
    assert made.code == 0, made.err
    allowed = {row["item_id"] for row in catalogue().to_dicts() if holds(row)}
    assert pairs(made.rows) == filtered(whole_lists(recommend, "sasrec"), allowed)


def listed(value):
    return value if isinstance(value, list) else [value]


def capped(rows: pl.DataFrame, caps: dict[str, int], k: int) -> list[tuple]:
    """Greedy selection from each whole list, by its definition."""
    values = {row["item_id"]: row for row in catalogue().to_dicts()}
    kept = []
    for (user,), part in rows.group_by("user_id", maintain_order=True):
        counts, length = {}, 0
        for item in part["item_id"]:
            keys = [
                (column, value)
                for column in caps
                for value in listed(values[item][column])
                if value is not None
            ]
            if length < k and all(counts.get(key, 0) < caps[key[0]] for key in keys):
                counts.update({key: counts.get(key, 0) + 1 for key in keys})
                kept.append((user, item))
                length += 1
    return kept


@pytest.mark.parametrize(
    ("name", "caps", "k"),
    [
        ("popularity", {"category": 1}, 5),
        ("sasrec", {"category": 2}, 4),
        ("sasrec", {"category": 1, "tags": 2}, 8),
        ("sasrec", {"price": 1}, 3),
        ("tiger", {"category": 1}, 3),
    ],
)
def test_caps_per_value_of_a_column(recommend, name, caps, k):
    text = ",".join(f"{column}:{most}" for column, most in caps.items())
    made = recommend(name, f"k={k}", f"cap={text}")
    assert made.code == 0, made.err
    assert pairs(made.rows) == capped(whole_lists(recommend, name), caps, k)
    assert made.rows["rank"].to_list()[:2] == [1, 2]


def test_capped_lists_against_the_definition():
    rng = np.random.default_rng(0)
    values = pl.Series(
        [[f"v{c}" for c in rng.integers(0, 4, rng.integers(0, 3))] for _ in range(30)]
    )
    cap = Cap.of("x", 2, values)
    items = np.stack([rng.permutation(30) for _ in range(5)])
    lists = CappedLists((cap,), 5, 6)
    for part in np.split(items, 3, axis=1):  # in three steps
        lists.add(part, -np.arange(10, dtype=np.float32)[None].repeat(5, 0))
    for row, order in zip(lists.items_BK, items, strict=True):
        counts, wanted = {}, []
        for item in order:
            kinds = set(values[int(item)])
            if len(wanted) < 6 and all(counts.get(kind, 0) < 2 for kind in kinds):
                wanted.append(item)
                counts.update({kind: counts.get(kind, 0) + 1 for kind in kinds})
        assert row[row >= 0].tolist() == wanted


def test_a_model_of_ones_own_may_index_with_the_pairs(opened):
    run = opened("popularity")

    class Own:
        window = None

        def recommend(self, batch, k, exclude):
            scores_BV = torch.arange(ITEMS).float().repeat(batch.size, 1)
            scores_BV[exclude] = -torch.inf
            return top_k(scores_BV, k, None, batch.users_B)

    parts = copy(run.ranker._parts)
    parts.model = Own()
    own = HistoryRanker(parts)
    *_, fifth, fourth, third, second, last = run.items["item_id"]
    rules, _ = own.rules(blocklist=[last, third])
    lists = own.recommend([[second], ["i0"]], 2, rules=rules).lists
    assert lists["item_id"].to_list() == [fourth, fifth, second, fourth]


@pytest.mark.parametrize("name", RUNS)
def test_python_has_candidates_and_blocklist_too(opened, name):
    run = opened(name)
    with pytest.warns(UserWarning, match="1 ids of candidates or blocklist are not in the catal"):
        found = run.recommend(
            [["i0"], ["i3"]], k=3, candidates=["i1", "i2", "i5", "gone"], blocklist=["i2"]
        )
    lists = found.group_by("history").agg(pl.col("item_id").sort())["item_id"].to_list()
    assert lists == [["i1", "i5"]] * 2


def test_a_quoted_value_may_have_commas_and_quotes(recommend):
    made = recommend("popularity", f"k={ITEMS}", 'where=title="Thing ""21"", new"')
    assert set(made.rows["item_id"]) == {"i21"}


@pytest.mark.parametrize(("unit", "ticks"), [("s", 1), ("ms", 1000), ("us", 10**6)])
def test_times_in_any_unit_give_the_same_lists(recommend, unit, ticks):
    times = [1_700_000_000, 1_700_086_400, 1_700_172_800]
    events = {"user_id": ["a", "a", "b"], "item_id": ["i1", "i2", "i3"]}
    pl.DataFrame({**events, "timestamp": [t * ticks for t in times]}).write_csv("events.csv")
    made = recommend("popularity", f"k={ITEMS}", "histories=events.csv", "as_of=2023-11-14")
    note = f"histories=events.csv: times are read as {unit} since the epoch, by their size"
    assert note in made.manifest["notes"]
    # The first event alone is of that day.
    by_user = dict(made.rows.group_by("user_id").agg("item_id").rows())
    assert set(by_user["a"]) == {f"i{n}" for n in range(ITEMS)} - {"i1"}
    assert len(by_user["b"]) == ITEMS


def test_a_blank_line_is_no_user(recommend):
    Path("users.csv").write_text("user_id,note\nu1,x\n,y\nu2,z\n")
    made = recommend("popularity", "k=2", "users=users.csv")
    assert made.rows["user_id"].unique(maintain_order=True).to_list() == ["u1", "u2"]
    assert made.manifest["counts"]["unknown_users"] == 0
    assert "users=users.csv: 1 rows without user_id were skipped" in made.manifest["notes"]
