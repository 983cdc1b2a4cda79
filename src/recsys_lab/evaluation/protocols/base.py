"""What all protocols share: lists of all users of a phase, compared with the held-out targets.

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

from recsys_lab.evaluation.list_checks import check_lists
from recsys_lab.evaluation.metrics.areas import BYTES_A_SCORE
from recsys_lab.evaluation.metrics.names import WITHOUT_K
from recsys_lab.evaluation.metrics.registry import reads_history
from recsys_lab.evaluation.metrics.values import TargetValues, refuse_idle_options
from recsys_lab.evaluation.protocols.options import Options
from recsys_lab.evaluation.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from recsys_lab.contracts import EvaluationBatch, Exclude, RankedLists, Recommender
    from recsys_lab.evaluation.catalogue import RankedData
    from recsys_lab.evaluation.metrics.registry import BeyondMetric


class RankingProtocol:
    """Which items are candidates for whom, and what is computed from the lists.

    Args:
        config: the options.

    Attributes:
        over_lists: whether means are those over all lists, with ``mean_over: lists``; after
            `attach` not where each user has one list: then it is the same as users, also in
            `fields`.
    """

    config: Options
    num_items: int
    bytes_per_score = 4
    reads_times = False
    """Whether `EvaluationBatch.target_times_B` must be filled in."""

    def __init__(self, config: Options) -> None:
        refuse_idle_options(config)
        self.config = config
        self.values: TargetValues | None = None
        self.over_lists = config.mean_over == "lists"
        self.max_k = max(config.max_k, *config.ks, *config.beyond_ks)
        self.ranks_all = bool({*config.metrics} & {*WITHOUT_K})
        if self.ranks_all:
            self.bytes_per_score += BYTES_A_SCORE

    def attach(self, data: RankedData) -> None:
        """Read what the protocol needs of the prepared dataset; before anything is ranked."""
        self.num_items = data.num_items
        if self.config.value_feature is not None:
            self.values = TargetValues(self.config, data)
        self.over_lists = self.config.mean_over == "lists" and any(
            _some_have_several(np.asarray(data.segments(phase))[:, 0])
            for phase in ("validation", "test")
        )

    @abstractmethod
    def candidates(self) -> dict[str, Any]:
        """The choice of candidates in the protocol's fingerprint."""

    @abstractmethod
    def exclude(self, batch: EvaluationBatch) -> Exclude | None:
        """The pairs of a batch that must not be recommended."""

    def batch_size(self, num_items: int) -> int:
        """Users whose scores fit the memory budget, at most 256: larger ones leave the cache."""
        budget = self.config.score_mib * 2**20
        return max(1, min(256, budget // (self.bytes_per_score * num_items)))

    def fields(self, tie_rule: str) -> dict[str, Any]:
        """What makes two results comparable: candidates, filter, tie rule of equal scores."""
        return {
            **self.candidates(),
            "exclude_seen": self.config.exclude_seen,
            "score_ties": tie_rule,
            **({"mean_over": "lists"} if self.over_lists else {}),
        }

    @property
    def reads_history(self) -> bool:
        """Whether the metrics beyond accuracy need the whole history of each user."""
        return reads_history(self.config.beyond_accuracy)

    def results(self, beyond: Mapping[str, BeyondMetric] | None = None) -> Results:
        """An empty set of results: accuracy, and the metrics given."""
        config = self.config
        return Results(
            config.metrics, config.ks, self.max_k, beyond, self.num_items,
            over_lists=self.over_lists,
        )  # fmt: skip


def _some_have_several(users_n: NDArray[np.int64]) -> bool:
    """Of the users of the rows of a phase, those of each together."""
    return bool((users_n[1:] == users_n[:-1]).any())


def evaluate(
    model: Recommender,
    batches: Iterable[EvaluationBatch],
    protocol: RankingProtocol,
    device: torch.device | str = "cpu",
    beyond: Mapping[str, BeyondMetric] | None = None,
) -> Results:
    """Rank for every user of ``batches`` and keep the per-user rows.

    Under torch.distributed each process is given the batches of its own users.
    """
    results = protocol.results(beyond)
    with torch.inference_mode():
        for on_host in batches:
            batch = on_host.to(device)
            judge(results, model, batch, protocol, keep_lists=True)
    return results


def judge(
    results: Results,
    model: Recommender,
    batch: EvaluationBatch,
    protocol: RankingProtocol,
    *,
    keep_lists: bool = False,
) -> None:
    """Rank for one batch and add it; validation and test both come through here."""
    exclude = protocol.exclude(batch)
    results.update(batch, rank(model, batch, protocol, exclude), keep_lists, exclude)


def rank(
    model: Recommender, batch: EvaluationBatch, protocol: RankingProtocol, exclude: Exclude | None
) -> RankedLists:
    """The lists of one batch under a protocol.

    Raises:
        ValueError: the lists are none: see `recsys_lab.evaluation.list_checks`.
    """
    length = max(protocol.max_k, protocol.num_items if protocol.ranks_all else 0)
    # Full precision even while training is mixed: bfloat16 scores have 8 bits, so they tie.
    with torch.autocast(batch.target_items.device.type, enabled=False):
        lists = model.recommend(batch.history, length, exclude)
    check_lists(lists, length, exclude, protocol.num_items, type(model).__name__)
    return lists


def fingerprint(fields: Mapping[str, Any]) -> str:
    """A hash of what must be equal for two results to be compared, 16 hex digits."""
    text = json.dumps(fields, sort_keys=True, default=asdict)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
