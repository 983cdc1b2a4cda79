"""The full-ranking protocol: every item of the catalogue is a candidate.

Shapes: B users, K list length, G targets.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
import torch
from annotated_types import Ge, MinLen

from recsys_lab.evaluation.metrics import hits_of, make_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from recsys_lab.contracts import EvaluationBatch, RankedLists, Recommender


class FullRanking:
    """Rank the whole catalogue for every user and compare with the held-out targets.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `FullRanking`.

        Attributes:
            metrics: what is computed.
            ks: list lengths at which it is computed.
            exclude_seen: leave items of the user's history out of the lists. A target that
                the user had before can then not be hit; the manifest counts these.
            list_length: places stored per user, at least the largest of ks.
            score_mebibytes: memory for one block of users x items scores.
        """

        metrics: Annotated[list[Literal["ndcg", "hr", "recall", "mrr"]], MinLen(1)]
        ks: Annotated[list[Annotated[int, Ge(1)]], MinLen(1)]
        exclude_seen: bool
        list_length: Annotated[int, Ge(1)]
        score_mebibytes: Annotated[int, Ge(1)]

    def __init__(self, config: Config) -> None:
        self.config = config
        self.list_length = max(config.list_length, *config.ks)

    def batch_size(self, num_items: int) -> int:
        """Users whose scores fit the memory budget, at most 256: larger ones leave the cache."""
        return max(1, min(256, self.config.score_mebibytes * 2**20 // (4 * num_items)))

    def fields(self, tie_rule: str) -> dict[str, Any]:
        """What makes two results comparable: candidates, filter, tie rule of equal scores."""
        return {
            "candidates": "all items",
            "exclude_seen": self.config.exclude_seen,
            "score_ties": tie_rule,
        }

    def results(self) -> Results:
        """An empty set of results."""
        return Results(self.config.metrics, self.config.ks)


class Results:
    """Collects ranked lists of one phase and gives means and per-user rows.

    Args:
        metrics: names, keys of `recsys_lab.evaluation.metrics.METRICS`.
        ks: list lengths.

    Attributes:
        metrics: the metrics by name, e.g. ``ndcg@10``.
    """

    def __init__(self, metrics: Sequence[str], ks: Sequence[int]) -> None:
        self.metrics = make_metrics(metrics, ks)
        self._rows: list[dict[str, np.ndarray[Any, Any]]] = []

    def update(self, batch: EvaluationBatch, ranked: RankedLists, keep_lists: bool = False) -> None:
        """Add the lists of B users.

        Args:
            batch: the users and their targets.
            ranked: their lists.
            keep_lists: also keep per-user rows for `per_user`.
        """
        hits_BK, num_targets_B = hits_of(ranked.items_BK, batch.target_rows, batch.target_items)
        users_B = batch.history.users_B
        for metric in self.metrics.values():
            metric.update(users_B, hits_BK, num_targets_B)
        if keep_lists:
            self._rows.append(_rows(batch, ranked))

    def compute(self) -> dict[str, float]:
        """Means over users, keyed ``"ndcg@10"`` and so on."""
        return {name: float(metric.compute()) for name, metric in self.metrics.items()}

    def per_user(self) -> pl.DataFrame:
        """One row per user and target, in user order.

        Columns: ``user`` (index), ``target`` (item index), ``rank`` (from 1; null when the
        target is not in the list), ``items`` (the list), and a column per metric.
        """
        columns = {key: np.concatenate([r[key] for r in self._rows]) for key in self._rows[0]}
        width = columns["items"].shape[1]
        frame = pl.DataFrame(
            {
                "user": columns["user"],
                "target": columns["target"],
                "rank": columns["rank"],
                "items": pl.Series(columns["items"], dtype=pl.Array(pl.Int32, width)),
            }
        ).with_columns(pl.col("rank").replace(0, None))
        for name, metric in self.metrics.items():
            values = pl.DataFrame(
                {
                    "user": torch.cat(metric.users).cpu().numpy(),
                    name: torch.cat(metric.values).cpu().numpy(),
                }
            )
            frame = frame.join(values, on="user", how="left", maintain_order="left")
        return frame.sort("user", maintain_order=True)


def _rows(batch: EvaluationBatch, ranked: RankedLists) -> dict[str, np.ndarray[Any, Any]]:
    items_GK = ranked.items_BK[batch.target_rows]
    match_GK = items_GK == batch.target_items.unsqueeze(1)
    rank_G = torch.where(match_GK.any(1), match_GK.int().argmax(1) + 1, 0)
    return {
        "user": batch.history.users_B[batch.target_rows].cpu().numpy(),
        "target": batch.target_items.int().cpu().numpy(),
        "rank": rank_G.int().cpu().numpy(),
        "items": items_GK.int().cpu().numpy(),
    }


def evaluate(
    model: Recommender,
    batches: Iterable[EvaluationBatch],
    protocol: FullRanking,
    device: torch.device | str = "cpu",
) -> Results:
    """Rank for every user of ``batches`` and keep the per-user rows."""
    results = protocol.results()
    with torch.inference_mode():
        for on_host in batches:
            batch = on_host.to(device)
            results.update(batch, rank(model, batch, protocol), keep_lists=True)
    return results


def rank(model: Recommender, batch: EvaluationBatch, protocol: FullRanking) -> RankedLists:
    """The lists of one batch under a protocol; validation and test both come through here."""
    exclude = (batch.seen_rows, batch.seen_items) if protocol.config.exclude_seen else None
    # Full precision even while training is mixed: bfloat16 scores have 8 bits, so they tie.
    with torch.autocast(batch.target_items.device.type, enabled=False):
        return model.recommend(batch.history, protocol.list_length, exclude)


def fingerprint(fields: Mapping[str, Any]) -> str:
    """A hash of what must be equal for two results to be compared, 16 hex digits."""
    text = json.dumps(fields, sort_keys=True, default=asdict)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
