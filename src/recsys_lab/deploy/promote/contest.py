"""Measures a candidate and its opponent on the candidate's holdout.

Shapes: U users.
"""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.data.slice_columns import slice_keys
from recsys_lab.deploy.promote.contender import Contender, NotFinite
from recsys_lab.deploy.promote.verdict import Measured, Values
from recsys_lab.evaluation.metrics.registry import largest_value
from recsys_lab.evaluation.slices import hits_from_ranks, list_keys, values_of_users

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.deploy.promote.holdout import Holdout
    from recsys_lab.evaluation.results import Results
    from recsys_lab.experiment.components import Components

SIDES = ("candidate", "champion")
LATENCY_USERS = 32
"""Users of the batch whose time is measured."""
_REPEATS, _SECONDS = 20, 20.0  # of the measurement, at most
_WARM_UP = 2


class Contest:
    """Two models and the users that both rank for.

    Args:
        holdout: the users.
        parts: components of the candidate and of its opponent.
        metric: name of the metric; None for the first of ``preferred``, then the protocol's first.
        preferred: the model selection metric of the candidate.
        guard: patterns of the columns of slices, e.g. ``user_*``.

    Attributes:
        metric: name of the metric that decides.
        num_slices: number of guarded slices.
        means: all metrics of both sides, once measured.
        contenders: the candidate and its opponent.

    Raises:
        NotFinite: a weight is not finite; says whose.
        UserError: the metric or a column does not exist, or the two share no item.
    """

    def __init__(
        self,
        holdout: Holdout,
        parts: Sequence[Components],
        *,
        metric: str | None,
        preferred: str,
        guard: Sequence[str],
    ) -> None:
        self._holdout = holdout
        known = holdout.results(1).metrics
        self.metric = _chosen(metric, preferred, known)
        period = holdout.protocol.config.target_period
        self._keys = slice_keys(holdout.data, "test", period)
        self._guarded = _guarded(guard, self._keys.columns[2:])
        self.contenders = [
            _of(side, lambda one=one: Contender(one, holdout))
            for side, one in zip(SIDES, parts, strict=True)
        ]
        if not self.contenders[1].num_shared:
            raise UserError(
                f"the champion knows none of the {len(holdout.item_ids):,} items of the candidate's"
                f" data, e.g. {holdout.item_ids[0]!r}: the two datasets spell item ids differently,"
                " or are of different shops; use another registry, or prepare the data again"
            )
        self.num_slices = sum(self._keys[name].n_unique() for name in self._guarded)
        self.means: dict[str, dict[str, float]] = {}

    def measure(self, *, latency: bool) -> Measured:
        """Rank for all users with both models.

        Args:
            latency: whether to measure the time of a batch.

        Raises:
            NotFinite: a score is not finite; says whose.
        """
        results = self._ranked()
        self.means = {side: of.compute() for side, of in zip(SIDES, results, strict=True)}
        rows = [of.per_user() for of in results]
        assert all(of[["user", "target"]].equals(rows[0][["user", "target"]]) for of in rows)
        coverage = f"coverage@{self._k}"
        candidate, champion = (self.means[side][coverage] for side in SIDES)
        first, second = self.contenders
        return Measured(
            metric=self.metric,
            overall=Values(*(_of_users(of, self.metric) for of in rows)),
            slices=self._slices(results[0], rows),
            largest=largest_value(self.metric, self._most_targets(rows[0])),
            coverage=(candidate, champion),
            latency=self._latency() if latency else None,
            empty=(first.num_empty, second.num_empty),
        )

    def facts(self) -> dict[str, Any]:
        """What was measured on, for the decision."""
        sides = {
            side: {
                "known_items": contender.num_shared,
                "skipped_events": contender.num_unknown,
                "empty_lists": contender.num_empty,
            }
            for side, contender in zip(SIDES, self.contenders, strict=True)
        }
        lists = len(self._holdout)
        return {
            "metric": self.metric,
            "lists": lists,
            "users": self._keys["user"].n_unique(),
            "items": len(self._holdout.item_ids),
            "latency_users": min(LATENCY_USERS, lists),
            **sides,
        }

    @property
    def _k(self) -> int:
        return int(self.metric.partition("@")[2])

    def _ranked(self) -> list[Results]:
        results = [self._holdout.results(self._k) for _ in SIDES]
        size = min(
            self._holdout.protocol.batch_size(self._holdout.data.num_items),
            *(contender.users_at_once for contender in self.contenders),
        )
        for rows, batch, exclude in self._holdout.batches(size):
            for side, contender, of in zip(SIDES, self.contenders, results, strict=True):
                with_rows = batch.history.size
                lists = _of(side, lambda c=contender: c.rank(rows, exclude, with_rows))  # noqa: B023
                of.update(batch, lists, keep_lists=True, exclude=exclude)
        return results

    def _slices(self, of: Results, rows: Sequence[pl.DataFrame]) -> dict[str, Values]:
        slices = {}
        for name in self._guarded:
            column = self._keys[name]
            assert isinstance(column.dtype, pl.Enum)
            for value in column.dtype.categories:
                mask = column == value
                if mask.any():
                    slices[f"{name}={value}"] = Values(
                        *(
                            values_of_users(
                                of.metrics[self.metric],
                                *hits_from_ranks(one.filter(mask)),
                                over_lists=self._holdout.protocol.over_lists,
                            )
                            for one in rows
                        )
                    )
        return slices

    def _most_targets(self, rows: pl.DataFrame) -> int | None:
        if self._holdout.protocol.over_lists:
            return None
        return int(rows.group_by(list_keys(rows)).len()["len"].max() or 0)  # type: ignore[arg-type]

    def _latency(self) -> tuple[float, float]:
        """Median milliseconds of each model for the same batch, in turns."""
        rows, _, exclude = next(self._holdout.batches(min(LATENCY_USERS, len(self._holdout))))
        seconds: list[list[float]] = [[], []]
        start = time.perf_counter()
        for repeat in range(_WARM_UP + _REPEATS):
            for of, contender in zip(seconds, self.contenders, strict=True):
                took = contender.milliseconds(rows, exclude)
                if repeat >= _WARM_UP:
                    of.append(took)
            if seconds[0] and time.perf_counter() - start > _SECONDS:
                break
        return median(seconds[0]), median(seconds[1])


def _of(side: str, work: Any) -> Any:
    """The result of a side's work; errors about numbers name the side."""
    try:
        return work()
    except NotFinite as error:
        raise NotFinite(f"the {side}: {error}") from None


def _of_users(rows: pl.DataFrame, metric: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    users = rows.unique("user", keep="first", maintain_order=True)
    return users[metric].cast(pl.Float64).to_numpy()


def _chosen(metric: str | None, preferred: str, known: Any) -> str:
    if metric is None:
        return preferred if preferred in known else next(iter(known))
    if metric not in known:
        raise UserError(
            f"metric: got {metric!r}, expected a hit metric of the candidate's protocol"
            f"{did_you_mean(metric, known)} It has: {', '.join(known)}"
        )
    if not known[metric].higher_is_better:
        raise UserError(f"metric: {metric} is better when lower; the gate needs one that is higher")
    return metric


def _guarded(patterns: Sequence[str], columns: Sequence[str]) -> list[str]:
    for pattern in patterns:
        if not set(pattern) & set("*?[") and pattern not in columns:
            raise UserError(
                f"guard: the holdout has no slices {pattern!r}{did_you_mean(pattern, columns)} It "
                f"has: {', '.join(columns)}"
            )
    return [name for name in columns if any(fnmatchcase(name, pattern) for pattern in patterns)]
