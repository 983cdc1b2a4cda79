"""Base class of the protocols, and evaluation of a model under a protocol.

Shapes: B users, K list length, V items.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recsys_lab.contracts import (
    NO_ITEM,
    RankedLists,
    RanksCandidates,
    fetch,
    matmul_precision,
    traits,
    without_autocast,
)
from recsys_lab.contracts.read_ahead import read_ahead
from recsys_lab.evaluation.metrics.areas import BYTES_A_SCORE
from recsys_lab.evaluation.metrics.checks import check_metrics
from recsys_lab.evaluation.metrics.registry import all_named
from recsys_lab.evaluation.metrics.values import TargetValues
from recsys_lab.evaluation.protocols.excluded import is_excluded
from recsys_lab.evaluation.protocols.options import Options
from recsys_lab.evaluation.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from recsys_lab.contracts import Batch, EvaluationBatch, Exclude, Recommender
    from recsys_lab.evaluation.catalogue import RankedData
    from recsys_lab.evaluation.metrics.user_mean import BeyondMetric


class RankingProtocol:
    """Selects the candidates of each user and the metrics of the lists.

    Args:
        config: the options.

    Attributes:
        over_lists: whether metrics are means over all lists (``mean_over: lists``); after `attach`
            false if each user has one list, which equals means over users.
        ranks_all: whether a metric reads whole lists.
        reads_history: whether a metric reads the whole history of each user.
    """

    config: Options
    num_items: int
    bytes_per_score = 4
    reads_times = False
    """Whether `EvaluationBatch.target_times_B` is needed."""
    ranks_few = False
    """Whether a user has few candidates: they are given to models that are `RanksCandidates`."""

    def __init__(self, config: Options) -> None:
        check_metrics(config)
        self.config = config
        self.values: TargetValues | None = None
        self.over_lists = config.mean_over == "lists"
        self.max_k = max(config.max_k, *config.ks, *config.beyond_ks)
        kinds = [metric.kind for metric in all_named(config)]
        self.ranks_all = not all(kind.has_k for kind in kinds)
        self.reads_history = any(kind.reads_history for kind in kinds)
        if self.ranks_all:
            self.bytes_per_score += BYTES_A_SCORE

    def attach(self, data: RankedData) -> None:
        """Read what the protocol needs from the prepared dataset; called before ranking."""
        self.num_items = data.num_items
        if self.config.value_feature is not None:
            self.values = TargetValues(self.config, data)
        self.over_lists = self.config.mean_over == "lists" and any(
            _some_have_several(np.asarray(data.segments(phase))[:, 0])
            for phase in ("validation", "test")
        )

    @abstractmethod
    def candidates(self) -> dict[str, Any]:
        """The candidates, for the protocol's fingerprint."""

    @abstractmethod
    def exclude(self, batch: EvaluationBatch) -> Exclude | None:
        """The pairs of a batch that must not be recommended."""

    def batch_size(self, num_items: int) -> int:
        """Number of users whose scores fit the memory budget, at most 256 (cache size)."""
        budget = self.config.score_mib * 2**20
        return max(1, min(256, budget // (self.bytes_per_score * num_items)))

    def fields(self, tie_rule: str) -> dict[str, Any]:
        """Fields that must be equal to compare results: candidates, seen items, tie rule."""
        return {
            **self.candidates(),
            "exclude_seen": self.config.exclude_seen,
            "score_ties": tie_rule,
            **({"mean_over": "lists"} if self.over_lists else {}),
        }

    def results(
        self,
        beyond: Mapping[str, BeyondMetric] | None = None,
        diagnostics: Sequence[str] = (),
    ) -> Results:
        """Empty results with the accuracy metrics and the given metrics beyond accuracy.

        Diagnostics are those of whole catalogues: a search has none if the candidates are few.
        """
        config, searched = self.config, () if self.ranks_few else diagnostics
        return Results(
            config.metrics,
            config.ks,
            self.max_k,
            beyond,
            self.num_items,
            over_lists=self.over_lists,
            diagnostics=searched,
        )


def _some_have_several(users_n: NDArray[np.int64]) -> bool:
    """Whether a user has several rows; the rows of a user are consecutive."""
    return bool((users_n[1:] == users_n[:-1]).any())


def evaluate(
    model: Recommender,
    batches: Iterable[EvaluationBatch],
    protocol: RankingProtocol,
    device: torch.device | str = "cpu",
    beyond: Mapping[str, BeyondMetric] | None = None,
) -> Results:
    """Rank for every user of ``batches`` and store the per-user rows.

    Under torch.distributed, each process passes the batches of its users.
    """
    results = protocol.results(beyond, traits(model).diagnostics)
    with torch.inference_mode():
        for on_host in read_ahead(batches, torch.device(device).type):
            batch = on_host.to(device, non_blocking=True)
            evaluate_batch(results, model, batch, protocol, keep_lists=True)
    return results


def evaluate_batch(
    results: Results,
    model: Recommender,
    batch: EvaluationBatch,
    protocol: RankingProtocol,
    *,
    keep_lists: bool = False,
) -> None:
    """Rank for one batch and add its lists to the results."""
    exclude = protocol.exclude(batch)
    results.update(batch, rank(model, batch, protocol, exclude), keep_lists, exclude)


def rank(
    model: Recommender, batch: EvaluationBatch, protocol: RankingProtocol, exclude: Exclude | None
) -> RankedLists:
    """The lists of one batch under a protocol.

    Raises:
        ValueError: the lists are not valid: see `check_lists`.
    """
    length = max(protocol.max_k, protocol.num_items if protocol.ranks_all else 0)
    few = protocol.ranks_few and isinstance(model, RanksCandidates)
    return ranked_lists(
        model, batch.history, length, exclude, protocol.num_items, only_candidates=few
    )


def ranked_lists(
    model: Recommender,
    history: Batch,
    k: int,
    exclude: Exclude | None,
    num_items: int,
    *,
    only_candidates: bool = False,
) -> RankedLists:
    """The k best items for each user of a batch, checked.

    Args:
        model: the model.
        history: B users.
        k: list length.
        exclude: the pairs that must not be recommended.
        num_items: V.
        only_candidates: whether the model, a `RanksCandidates`, is given the pairs that are not
            excluded instead, because they are few.

    Raises:
        ValueError: the lists are not valid: see `check_lists`.
    """
    # Full precision even while training is mixed: bfloat16 scores have 8 bits and TF32's come from
    # numbers of 11, so they tie.
    with without_autocast(history.items_T.device.type), matmul_precision("highest"):
        if only_candidates and exclude is not None:
            assert isinstance(model, RanksCandidates)
            lists = model.rank_candidates(history, _others(exclude, history.size, num_items), k)
        else:
            lists = model.recommend(history, k, exclude)
    check_lists(lists, k, exclude, num_items, type(model).__name__)
    return lists


def _others(pairs: Exclude, num_users: int, num_items: int) -> Exclude:
    """All other (row, item) pairs of a batch, sorted by row."""
    rows, items = pairs
    is_other_BV = torch.ones(num_users, num_items, dtype=torch.bool, device=items.device)
    is_other_BV[rows, items] = False
    other_rows, other_items = is_other_BV.nonzero(as_tuple=True)
    return other_rows, other_items


def fingerprint(fields: Mapping[str, Any]) -> str:
    """A hash of the fields that must be equal to compare results, 16 hex digits."""
    text = json.dumps(fields, sort_keys=True, default=asdict)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_lists(
    lists: RankedLists, k: int, exclude: Exclude | None, num_items: int, model: str
) -> None:
    """Check that lists are valid.

    A list with a duplicate item can have an NDCG above 1; an excluded item would be a forbidden
    hit; a list that is not sorted by score is truncated wrongly.

    Args:
        lists: lists of B users, shapes (B, K).
        k: the requested K.
        exclude: (rows, items) of the pairs that must not be recommended.
        num_items: V.
        model: name of the recommender, for the error.

    Raises:
        ValueError: names the model, the row of the batch and the rank.
    """
    if not isinstance(lists, RankedLists):
        raise _error(model, f"a {type(lists).__name__}, expected RankedLists")
    items_BK, scores_BK = lists.items_BK, lists.scores_BK
    if items_BK.shape != scores_BK.shape or items_BK.shape[1] != k:
        raise _error(
            model, f"lists of shape {tuple(items_BK.shape)} with scores of shape "
            f"{tuple(scores_BK.shape)}, expected (users, {k}) for both"
        )  # fmt: skip
    is_none_BK = items_BK == NO_ITEM
    outside_BK = (items_BK >= num_items) | ((items_BK < 0) & ~is_none_BK)
    # Scores of padding are ignored.
    rises_BK = (scores_BK[:, 1:] > scores_BK[:, :-1]) & ~is_none_BK[:, 1:]
    ordered_BK = items_BK.sort(dim=1).values
    twice_BK = (ordered_BK[:, 1:] == ordered_BK[:, :-1]) & (ordered_BK[:, 1:] != NO_ITEM)
    mistakes = [
        (f"an item outside the catalogue of {num_items:,}", outside_BK, items_BK),
        ("an item after padding", is_none_BK[:, :-1] & ~is_none_BK[:, 1:], items_BK),
        ("a score that is NaN", scores_BK.isnan(), items_BK),
        ("a score below that of the next rank", rises_BK, items_BK),
        ("an item twice", twice_BK, ordered_BK),
    ]
    if exclude is not None:
        items_BK = items_BK.masked_fill(outside_BK, NO_ITEM)
        mistakes.append(("an excluded item", is_excluded(items_BK, exclude, num_items), items_BK))
    found = fetch(torch.stack([is_wrong_BK.any() for _, is_wrong_BK, _ in mistakes]))
    for is_found, (what, is_wrong_BK, of_BK) in zip(found, mistakes, strict=True):
        if is_found:
            row, column = is_wrong_BK.nonzero()[0].tolist()
            raise _error(
                model,
                f"{what}: item {int(of_BK[row, column])} near rank {column + 1} of row {row} of a "
                "batch",
            )


def _error(model: str, what: str) -> ValueError:
    return ValueError(
        f"{model}.recommend returned {what}. Lists have distinct items, best first, without the "
        "excluded pairs, padded with NO_ITEM; recsys_lab.models.ranking.top_k makes such lists "
        "from scores, with the tie rule"
    )
