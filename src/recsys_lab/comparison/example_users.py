"""Draws example users for a comparison's report, with their history and every system's list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from recsys_lab.comparison.examples import SHOWN, Example, Examples
from recsys_lab.comparison.results import Comparison, Run
from recsys_lab.config import UserError
from recsys_lab.contracts import NO_ITEM
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.evaluation.slices import last_lists
from recsys_lab.runs.record import PER_USER, RunRecord

DISAGREED, ANY, HISTORY = 4, 2, 10
_SEED = 0


def example_users(comparison: Comparison) -> Examples:
    """Draw users with a fixed seed: some for whom the systems differ, and some of the others."""
    runs = [comparison.runs[system.runs[0]] for system in comparison.systems]
    if not comparison.pairs or not comparison.metric.of_users:
        return Examples("None: the users of the systems differ.", ())
    folder = Path(runs[0].data["path"])
    if not folder.is_dir():
        return Examples(f"None: the prepared data {folder} no longer exists.", ())
    try:
        data = PreparedDataset(folder)
    except UserError as error:
        return Examples(f"None: {error}.", ())
    if data.fingerprint != runs[0].data["fingerprint"]:
        return Examples(f"None: the prepared data {runs[0].data['path']} has changed since.", ())
    tables = [_rows(run, comparison.main_metric) for run in runs]
    values_US = np.stack([table["value"].to_numpy() for table in tables], 1)
    differ = np.flatnonzero((values_US != values_US[:, :1]).any(1))
    generator = np.random.default_rng(_SEED)
    first = generator.choice(differ, min(DISAGREED, len(differ)), replace=False)
    rest = np.setdiff1d(np.arange(len(values_US)), first)
    others = generator.choice(rest, min(ANY, len(rest)), replace=False)
    text = (
        f"{len(first)} users drawn from the {len(differ):,} for whom {comparison.main_metric} "
        f"differs between the systems, then {len(others)} from the others (random seed {_SEED}), "
        f"and the top {SHOWN} of each system's first seed. Hits are green and bold."
    )
    titles = data.item_titles()
    if titles is None:
        text += " The data has no titles: items are shown by their ids."
        titles = [str(item) for item in data.item_ids()]
    rows = [int(row) for row in (*first, *others)]
    users = [_example(data, titles, [t.row(row, named=True) for t in tables]) for row in rows]
    return Examples(text, users)


def _rows(run: Run, metric: str) -> pl.DataFrame:
    """One row per user, in order: targets, list and the value of the metric."""
    rows = last_lists(RunRecord.load(Path(run.folder)).table(PER_USER))
    return (
        rows.select("user", "target", "items", metric)
        .sort("user", "target", maintain_order=True)
        .group_by("user", maintain_order=True)
        .agg("target", pl.col("items").first(), pl.col(metric).first().alias("value"))
    )


def _example(
    data: PreparedDataset, titles: Sequence[str], rows: list[dict[str, object]]
) -> Example:
    user, targets = rows[0]["user"], rows[0]["target"]
    assert isinstance(user, int)
    assert isinstance(targets, list)
    segments = np.asarray(data.segments("test"))
    _, start, end, _ = segments[np.flatnonzero(segments[:, 0] == user)[-1]]
    lists = []
    for row in rows:
        listed = row["items"]
        assert isinstance(listed, list)
        kept = [item for item in listed if item != NO_ITEM]
        lists.append([(titles[item], item in targets) for item in kept])
    return Example(
        user=str(data.user_ids()[user]),
        history=[titles[item] for item in data.items[max(start, end - HISTORY) : end]],
        targets=[titles[item] for item in targets],
        lists=lists,
    )
