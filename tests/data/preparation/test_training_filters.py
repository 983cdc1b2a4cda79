"""Filters that look at the training part alone."""

from __future__ import annotations

import logging

import numpy as np
import polars as pl
import pytest

from recsys_lab.data.splits.global_temporal import GlobalTemporal
from recsys_lab.data.splits.leave_one_out import LeaveOneOut
from recsys_lab.data.splits.unseen_users import UnseenUsers
from tests.data.conftest import Given

CUT = 1_600_000_000


def by_time(make, **options):
    """Validation from the moment 10 before the cut, test from the cut on."""
    return make(
        GlobalTemporal, "split", "global_temporal", test_start="2020-09-13T12:26:40",
        test_quantile=None, validation_start="2020-09-13T12:26:30", validation_quantile=None,
        target="last", **options,
    )  # fmt: skip


def around_the_cut():
    """Item 1: one event before validation, many after; item 2: many before, none after."""
    rows = [(user, 0, CUT - 100 + user) for user in range(6)]
    rows += [(user, 2, CUT - 80 + user) for user in range(4)]
    rows += [(0, 1, CUT - 60)]
    rows += [(user, 0, CUT - 5) for user in range(6)]
    rows += [(user, 1, CUT + 10 + user) for user in range(6)]
    rows += [(user, 0, CUT + 30 + user) for user in range(6)]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


@pytest.mark.parametrize("counts", ["whole", "training"])
def test_items_are_counted_before_the_cut(run, make, caplog, counts):
    with caplog.at_level(logging.WARNING):
        data = run(
            Given(interactions=around_the_cut()),
            split=by_time(make), min_item_count=5 if counts == "whole" else 4, counts=counts,
        )  # fmt: skip
    # With 5 of the whole log item 2 goes; with 4 of the training part item 1 does.
    assert data.item_ids() == ([0, 1] if counts == "whole" else [0, 2])
    told = (
        "1 of 2 items (50.0%) have fewer than filter.min_item_count=5 training events"
        in caplog.text
    )
    assert told == (counts == "whole")
    dropped = {c["reason"]: c["dropped"] for c in data.manifest["counts"] if c["dropped"]}
    if counts == "training":
        assert dropped == {
            "user with fewer than 0 or item with fewer than 4 training events (2 passes)": 7
        }


def test_whole_is_as_ever_in_records(run, make):
    """Fingerprints of what was prepared before there was a choice stay."""
    frame = around_the_cut()
    whole = run(Given(interactions=frame), split=by_time(make), min_item_count=2)
    assert "counts" not in whole.manifest["settings"]["filter"]
    other = run(Given(interactions=frame), split=by_time(make), counts="training", min_item_count=2)
    assert other.manifest["settings"]["filter"]["counts"] == "training"
    assert other.fingerprint != whole.fingerprint


def random_log(seed, rows=1500):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "user_id": rng.integers(0, 60, rows),
            "item_id": rng.zipf(1.4, rows) % 90,
            "timestamp": CUT + rng.integers(-1000, 200, rows),
        }
    )


@pytest.mark.parametrize("split", ["leave_one_out", "by_time", "unseen_users"])
@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_the_limits_hold_of_the_split_that_results(run, make, split, engine):
    made = {
        "leave_one_out": lambda: make(LeaveOneOut, "split", "leave_one_out"),
        "by_time": lambda: by_time(make),
        "unseen_users": lambda: make(UnseenUsers, "split", "unseen_users"),
    }[split]()
    options = {"min_user_count": 5, "min_item_count": 4, "max_history": 12}
    log = Given(interactions=random_log(1))
    data = run(log, split=made, engine=engine, counts="training", **options)
    _, starts, ends = data.segments("train").T
    assert data.num_users > 20
    assert (data.training_item_counts() >= 4).all()
    assert (ends - starts >= 5).all()
    assert (ends - starts).max() == 12
    if split == "unseen_users":  # their input counts
        rows = data.segments("test")
        assert (rows[:, 2] - rows[:, 1]).min() >= 5
        assert (rows[:, 2] - rows[:, 1]).max() <= 12
    else:
        assert len(ends) == data.num_users
    # Nothing goes but for its reason: rows in are rows out and dropped.
    counts = data.manifest["counts"]
    assert counts[0]["rows"] - sum(c["dropped"] for c in counts) == data.num_interactions
    steps = [c["step"] for c in counts]
    assert steps[-2:] == ["history", "k-core"]
    kept = run(Given(interactions=random_log(1)), split=made, counts="whole", **options)
    assert kept.fingerprint != data.fingerprint


def test_the_test_period_decides_nothing(run, make, tmp_path):
    """Other events after the cut leave the training part as it is."""
    frame = random_log(2)
    early = pl.col("timestamp") < CUT - 10
    rng = np.random.default_rng(9)
    drawn = pl.Series(rng.integers(0, 90, len(frame)))
    other = frame.with_columns(
        pl.when(early).then(pl.col("item_id")).otherwise(drawn).alias("item_id")
    )
    found = {}
    for counts in ("training", "whole"):
        parts = []
        for one in (frame, other):
            data = run(
                Given(interactions=one), split=by_time(make), min_item_count=8, max_history=20,
                counts=counts, root=tmp_path / f"{counts}-{len(parts)}",
            )  # fmt: skip
            ids = np.array(data.item_ids())
            parts.append(
                {
                    data.user_ids()[user]: ids[data.items[start:end]].tolist()
                    for user, start, end in data.segments("train")
                }
            )
        found[counts] = parts[0] == parts[1]
    assert found == {"training": True, "whole": False}


def test_each_count_once(run, make):
    frame = random_log(3)
    options = {"min_user_count": 12, "min_item_count": 10, "counts": "training"}
    once = run(Given(interactions=frame), split=by_time(make), iterative=False, **options)
    core = run(Given(interactions=frame), split=by_time(make), **options)
    assert once.manifest["counts"][-1]["reason"].endswith("(1 pass)")
    assert core.num_interactions < once.num_interactions
    # By hand: items by their training events, then users by those that are left.
    train = frame.filter(pl.col("timestamp") < CUT - 10).unique()
    frequent = train.group_by("item_id").len().filter(pl.col("len") >= 10)["item_id"].to_list()
    left = train.filter(pl.col("item_id").is_in(frequent))
    users = left.group_by("user_id").len().filter(pl.col("len") >= 12)["user_id"].to_list()
    kept = frame.unique().filter(pl.col("item_id").is_in(frequent), pl.col("user_id").is_in(users))
    assert once.num_interactions == len(kept)
