"""The test of a chosen model: lists, metrics with intervals, slices, fairness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from recsys_lab.contracts import LIST, NO_ITEM, ListFeature
from recsys_lab.contracts.processes import is_first
from recsys_lab.data.slice_columns import BANDS, LARGEST_GROUPS, popularity_bands, slice_keys
from recsys_lab.evaluation.fairness import exposure_of_groups, metric_gaps
from recsys_lab.evaluation.slices import intervals, slice_table
from recsys_lab.experiment.off_policy import off_policy
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.runs.record import PER_USER, SLICES, RunRecord

if TYPE_CHECKING:
    from pathlib import Path

    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.evaluation.results import Results
    from recsys_lab.experiment.components import Components


@dataclass(frozen=True)
class TestResults:
    """Results of the test.

    Attributes:
        means: all metrics, e.g. ``ndcg@10`` and ``coverage@10``.
        intervals: 95% interval of every metric with per-user values.
        users: a row per user and target, with raw ids as text in ``user_id``, ``target_id`` and
            ``item_ids`` (the list), and the keys of slices.
        slices: accuracy metrics of every slice, and list metrics that do not read targets.
        fairness: ``gaps`` between groups of users, ``exposure`` of groups of items.
        off_policy: estimates from logged propensities, or None.
        diagnostics: means of the numbers about how the lists were computed.
    """

    means: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    users: pl.DataFrame
    slices: pl.DataFrame
    fairness: dict[str, list[dict[str, Any]]]
    off_policy: list[dict[str, Any]] | None
    diagnostics: dict[str, float]

    def write(self, folder: Path) -> None:
        """Write ``test_users.parquet`` and ``slices.parquet``, each atomically."""
        for name, frame in ((PER_USER, self.users), (SLICES, self.slices)):
            replace_atomically(folder / name, frame.write_parquet)


@dataclass(frozen=True)
class Gathered:
    """The lists of all users, gathered from all processes.

    Attributes:
        results: results of the test.
        means: all metrics.
        rows: a row per user and target.
        diagnostics: means of the numbers about how the lists were computed.
    """

    results: Results
    means: dict[str, float]
    rows: pl.DataFrame
    diagnostics: dict[str, float]


def rank_test_users(parts: Components) -> Gathered:
    """Rank for the test users; all processes must call it."""
    results = parts.evaluate("test")
    return Gathered(results, results.compute(), results.per_user(), results.diagnostics())


def compute_test_results(parts: Components, gathered: Gathered) -> TestResults:
    """Compute the test results from the lists; in one process."""
    results, rows = gathered.results, gathered.rows
    period = parts.protocol.config.target_period
    keys = slice_keys(parts.data, "test", period)
    of_users = [n for n, m in {**results.others, **results.beyond}.items() if m.is_of_users]
    of_lists = [n for n, m in results.beyond.items() if m.is_of_users and not m.reads_targets]
    if rows["user"].is_unique().all():  # a user's value is that of the one target
        of_lists += [n for n, m in results.others.items() if m.is_of_users]
    over_lists = parts.protocol.over_lists
    if over_lists:  # per-user values are shares of the mean over all lists
        of_lists = []
    slices = slice_table(rows, keys, results.metrics, of_lists, over_lists=over_lists)
    gaps = metric_gaps(slices.filter(pl.col("metric").is_in(list(results.metrics))))
    fairness = {"gaps": gaps.to_dicts(), "exposure": _exposure(parts, rows)}
    bounds = intervals(rows, [*results.metrics, *of_users], over_lists=over_lists)
    users = _with_raw_ids(rows, parts.data).hstack(keys.drop("user", "target"))
    logged = off_policy(parts, rows)
    return TestResults(
        gathered.means, bounds, users, slices, fairness, logged, gathered.diagnostics
    )


def run_test(parts: Components, record: RunRecord) -> None:
    """Open the test split, once, after the model is chosen; for `record`.

    All processes rank, and the first one computes and writes the results.
    """
    gathered = rank_test_users(parts)
    if not is_first():
        return
    results = compute_test_results(parts, gathered)
    results.write(record.folder)
    logged: dict[str, Any] = {}
    if results.off_policy is not None:
        logged["off_policy"] = results.off_policy
    if results.diagnostics:
        logged["diagnostics"] = results.diagnostics
    record.note_files(
        PER_USER,
        SLICES,
        test=results.means,
        intervals=results.intervals,
        fairness=results.fairness,
        **logged,
    )


def _with_raw_ids(rows: pl.DataFrame, data: PreparedDataset) -> pl.DataFrame:
    """Add raw ids as text; empty positions of the lists are dropped."""
    users = pl.Series(data.user_ids()).cast(pl.String)
    items = pl.Series(data.item_ids()).cast(pl.String)
    codes = rows["items"].explode().replace(NO_ITEM, None)
    lists = items.gather(codes).reshape((len(rows), -1)).arr.to_list()
    return rows.select(
        "user",
        users.gather(rows["user"]).alias("user_id"),
        *([LIST] if LIST in rows.columns else []),
        "target",
        items.gather(rows["target"]).alias("target_id"),
        "rank",
        "items",
        lists.list.drop_nulls().alias("item_ids"),
        pl.exclude("user", LIST, "target", "rank", "items"),
    )


def _exposure(parts: Components, rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Exposure of the popularity bands, and of the categories if ``category_feature`` is set."""
    bands = popularity_bands(parts.catalogue.counts_V.numpy())
    one_each = ListFeature(torch.from_numpy(bands), torch.arange(len(bands) + 1))
    cuts = [("popularity", one_each, list(BANDS))]
    if parts.catalogue.categories is not None:
        name = parts.protocol.config.category_feature
        assert name is not None
        cuts.append((name, *_largest(parts, name, parts.catalogue.categories)))
    return [
        {"groups": name, "k": k, **row}
        for name, groups, labels in cuts
        for k in parts.protocol.config.beyond_ks
        for row in exposure_of_groups(rows, k, parts.catalogue, groups, labels).to_dicts()
    ]


def _largest(
    parts: Components, name: str, categories: ListFeature
) -> tuple[ListFeature, list[str]]:
    """The categories with the most items; all others are merged."""
    values = list(map(str, parts.data.features.values(name)))
    counts = np.bincount(categories.codes.numpy(), minlength=len(values))
    kept = np.sort(np.argsort(-counts, kind="stable")[:LARGEST_GROUPS])
    group = np.full(len(values), len(kept))
    group[kept] = np.arange(len(kept))
    labels = [values[code] for code in kept]
    if len(kept) < len(values):
        labels.append("(other)")
    return ListFeature(torch.from_numpy(group)[categories.codes], categories.offsets), labels
