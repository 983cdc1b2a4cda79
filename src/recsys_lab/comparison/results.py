"""The result of a comparison, as frozen dataclasses from which all tables and the report are made.

Systems are in the order in which the runs were given, and every tuple "by system" or "by run" is in
that order. Metrics are named as in the run record (``ndcg@10``).

    Comparison
      runs      Run: one training with its config, learning curve, compute and test metrics
      systems   System: the runs of one configuration over several seeds; a Score for each metric
      metrics   Metric: which direction is better, whether it has a value for each user
      pairs     Pair: two systems on one metric: difference, p-values, win/tie/loss by users
      slices    Slice: the main metric on some of the users: a mean by system, and a Pair for each
                pair that is tested overall
      differing settings by system, protocol fields by run
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.comparison.paired_test import Estimate, Test
    from recsys_lab.runs.find import LeftOut
    from recsys_lab.runs.record import RunRecord


@dataclass(frozen=True)
class Run:
    """One finished run, from its record.

    Attributes:
        folder: absolute path.
        name: as recorded.
        system: name of its system.
        seed: of the run.
        created: ISO 8601 time.
        config: as recorded, nested.
        data: name, path, fingerprint and sizes of the data.
        validation: metrics of the best epoch.
        test: metrics.
        epochs: the learning curve: a mapping for each epoch with ``epoch``, ``val/METRIC``, the
            loss and so on; empty for a fitted model.
        best_epoch: None for a fitted model.
        still_improving: whether the best epoch was the last validated one.
        seconds: wall time of the run without data preparation.
        peak_memory_mebibytes: peak resident memory.
        parameters: number of trained parameters; None for a fitted model.
        compute: all recorded costs (FLOPs, energy, ...).
        commit: of the code; None outside a git checkout.
    """

    folder: str
    name: str
    system: str
    seed: int
    created: str
    config: Mapping[str, Any]
    data: Mapping[str, Any]
    validation: Mapping[str, float]
    test: Mapping[str, float]
    epochs: tuple[Mapping[str, Any], ...]
    best_epoch: int | None
    still_improving: bool
    seconds: float
    peak_memory_mebibytes: float
    parameters: int | None
    compute: Mapping[str, Any]
    commit: str | None

    @classmethod
    def of(cls, record: RunRecord, system: str) -> Run:
        """The run of a record.

        Args:
            record: of a finished run.
            system: name of its system.
        """
        values: Mapping[str, Any] = record.values
        best = values.get("best") or {}
        compute = values["compute"]
        return cls(
            folder=str(record.folder),
            name=values["name"],
            system=system,
            seed=values["seed"],
            created=values["created"],
            config=values["config"],
            data=values["data"],
            validation=values.get("validation") or {},
            test=values["test"],
            epochs=tuple(values["epochs"]),
            best_epoch=best.get("epoch"),
            still_improving=bool(best.get("still_improving")),
            seconds=compute["seconds"] - compute.get("prepare_seconds", 0.0),
            peak_memory_mebibytes=compute["peak_memory_mebibytes"],
            parameters=values.get("parameters"),
            compute=compute,
            commit=(values.get("code") or {}).get("commit"),
        )


@dataclass(frozen=True)
class Score:
    """One system on one metric.

    Attributes:
        mean: over its runs.
        sd: sample standard deviation over its runs; None with one run.
        interval: 95% interval over users, and over seeds where there are several; None for a
            metric without a value for each user.
        by_run: the value of each run.
    """

    mean: float
    sd: float | None
    interval: Estimate | None
    by_run: tuple[float, ...]


@dataclass(frozen=True)
class System:
    """The runs of one configuration.

    Attributes:
        name: short and unique.
        runs: indices in `Comparison.runs`.
        seeds: of these runs.
        settings: the settings that differ between the systems: key -> value.
        scores: by metric.
        deterministic: whether it does not depend on the seed: its model declares so, or its runs
            are equal.
    """

    name: str
    runs: tuple[int, ...]
    seeds: tuple[int, ...]
    settings: Mapping[str, Any]
    scores: Mapping[str, Score]
    deterministic: bool


@dataclass(frozen=True)
class Metric:
    """One metric of the comparison.

    Attributes:
        name: e.g. ``ndcg@10``.
        higher_is_better: whether larger values are better.
        of_users: whether each user has a value, so that it can be tested.
        users: number of users with a value in every run; 0 without ``of_users``.
    """

    name: str
    higher_is_better: bool
    of_users: bool
    users: int


@dataclass(frozen=True)
class Pair:
    """Two systems on one metric.

    Attributes:
        metric: its name.
        first: name of a system.
        second: name of the other system: the baseline, if any.
        test: of first minus second.
        relative: difference / mean of the second; None where that mean is 0.
        p_holm: p-value adjusted for all pairs on this metric; in slices it is not adjusted.
        significant: whether p_holm is at most the level; never true with only two seeds, see
            `recsys_lab.comparison.paired_test`.
        better: name of the better system; None where the means are equal.
        wins: number of users for whom the first is better, in the metric's direction.
        ties: number of users for whom both are equal.
        losses: number of users for whom the second is better.
    """

    metric: str
    first: str
    second: str
    test: Test
    relative: float | None
    p_holm: float
    significant: bool
    better: str | None
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Slice:
    """The main metric on some of the users.

    Attributes:
        name: what the users are sliced by, e.g. ``history_length``.
        value: of the slice, e.g. ``10-19``.
        users: number of users.
        means: by system, with intervals.
        pairs: the same pairs as overall; not adjusted for the number of slices.
    """

    name: str
    value: str
    users: int
    means: tuple[Estimate, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Comparison:
    """The whole result.

    Attributes:
        runs: every run.
        systems: their systems.
        metrics: those that all runs have.
        by: what groups runs into systems, see `recsys_lab.comparison.compare.Options`.
        main_metric: used for the slices and the ranking.
        baseline: name of a system; None where all pairs are tested.
        level: significance level, e.g. 0.05.
        pairs: each pair on each metric with ``of_users``; empty where the users differ.
        slices: empty where there are none, or the users differ.
        differing: settings that differ: key -> value by system; None where a system lacks it.
        protocol: fields of the first run's protocol, nested.
        protocol_differences: field -> value by run; empty unless forced.
        left_out: requested runs that are not compared.
        notes: cautions about the numbers.
    """

    runs: tuple[Run, ...]
    systems: tuple[System, ...]
    metrics: tuple[Metric, ...]
    by: str
    main_metric: str
    baseline: str | None
    level: float
    pairs: tuple[Pair, ...]
    slices: tuple[Slice, ...]
    differing: Mapping[str, tuple[Any, ...]]
    protocol: Mapping[str, Any]
    protocol_differences: Mapping[str, tuple[str, ...]]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]

    @property
    def is_comparable(self) -> bool:
        """Whether all runs have the same protocol."""
        return not self.protocol_differences

    @property
    def metric(self) -> Metric:
        """The main metric."""
        return next(metric for metric in self.metrics if metric.name == self.main_metric)

    def pair(self, metric: str, first: str, second: str) -> Pair | None:
        """The test of two systems in this order; None where it was not made."""
        wanted = (metric, first, second)
        return next((p for p in self.pairs if (p.metric, p.first, p.second) == wanted), None)

    def ranks(self, metric: Metric) -> tuple[int, ...]:
        """Rank of each system by its mean, 1 for the best; equal means share a rank."""
        sign = -1 if metric.higher_is_better else 1
        means = [sign * system.scores[metric.name].mean for system in self.systems]
        return tuple(1 + sum(other < mean for other in means) for mean in means)
