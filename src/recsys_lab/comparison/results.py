"""The result of comparing runs, as plain frozen data: every table and the report are made from it.

Order: systems stand in the order in which the runs were given; everything "by system" or "by run"
is a tuple in that order. Metrics are named as in the run record (``ndcg@10``).

    Comparison
      runs      Run: one training; config, learning curve, compute, its own test numbers
      systems   System: runs of one configuration over several seeds; a Score for each metric
      metrics   Metric: which direction is better, whether there is a value of each user
      pairs     Pair: two systems on one metric: difference, p-values, win/tie/loss by users
      slices    Slice: the main metric on a part of the users: a mean by system, and a Pair for each
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
    """One finished run, as its record tells it.

    Attributes:
        folder: absolute path; holds ``test_users.parquet`` with every user's list.
        name: as recorded.
        system: its system's name.
        seed: of the run.
        created: ISO 8601 time.
        config: as recorded, nested.
        data: name, path, fingerprint and sizes of the data.
        validation: metrics of the best epoch.
        test: metrics.
        epochs: the learning curve: a mapping for each epoch with ``epoch``, ``val/METRIC``, the
            loss and so on; empty for a fitted model.
        best_epoch: None for a fitted model.
        still_improving: whether the best epoch was the last that was validated.
        seconds: wall time of the run but for preparing the data, which the first run on them pays.
        peak_memory_mebibytes: largest resident memory.
        parameters: trained numbers; None for a fitted model.
        compute: everything recorded of compute, also keys not named here (FLOPs, energy, ...).
        commit: of the code; None outside a checkout.
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
        """What a record says, with the name of the system that the run belongs to."""
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
        sd: over its runs, with R - 1 below; None with one run.
        interval: 95% interval, over users, and over seeds too where there are several; None for a
            metric that has no value of each user.
        by_run: the value of each of its runs.
    """

    mean: float
    sd: float | None
    interval: Estimate | None
    by_run: tuple[float, ...]


@dataclass(frozen=True)
class System:
    """The runs of one configuration.

    Attributes:
        name: short, no two alike.
        runs: places in `Comparison.runs`.
        seeds: of these runs.
        settings: key -> value, of those that differ between the systems.
        scores: by metric.
        deterministic: whether the seed is known to change nothing: its model says so, or its
            several runs are equal.
    """

    name: str
    runs: tuple[int, ...]
    seeds: tuple[int, ...]
    settings: Mapping[str, Any]
    scores: Mapping[str, Score]
    deterministic: bool


@dataclass(frozen=True)
class Metric:
    """What is known of a metric.

    Attributes:
        name: e.g. ``ndcg@10``.
        higher_is_better: else lower is.
        of_users: whether each user has a value, so that it can be tested.
        users: how many users have one in every run (0 when not of_users).
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
        second: name of the other: the baseline, where there is one.
        test: differences are first minus second.
        relative: difference / mean of the second; None where that is 0.
        p_holm: the p-value adjusted for all pairs on this metric (for slices: not adjusted).
        significant: whether p_holm is at most the level; never where a system has two seeds
            alone, with which that happens too often by chance.
        better: the name of the better one, None where the means are equal.
        wins: users for whom the first is better (in the metric's own direction).
        ties: users for whom they are equal.
        losses: users for whom the second is better.
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
    """The main metric on some users.

    Attributes:
        name: how users are cut, e.g. ``history_length``.
        value: e.g. ``10-19``.
        users: how many.
        means: by system, with intervals.
        pairs: the same pairs as overall; their intervals are not adjusted for the number of slices.
    """

    name: str
    value: str
    users: int
    means: tuple[Estimate, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Comparison:
    """Everything that was found.

    Attributes:
        runs: every run.
        systems: their systems.
        metrics: those that all runs have.
        by: what makes a system besides the config, see `judging.Options`.
        main_metric: the one of the slices and of the order.
        baseline: name of a system; None where all pairs are tested.
        level: of significance, e.g. 0.05.
        pairs: for each metric of users, each pair; empty where the users are not the same.
        slices: empty where there are none, or the users are not the same.
        differing: settings that differ: key -> value by system; None where a system has no such.
        protocol: fields of the (first run's) protocol, nested.
        protocol_differences: field -> value by run; not empty only when forced.
        left_out: runs that were asked for and are not here.
        notes: what must be said beside the numbers.
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
        """Whether all runs were judged under one protocol."""
        return not self.protocol_differences

    @property
    def metric(self) -> Metric:
        """The main metric."""
        return next(metric for metric in self.metrics if metric.name == self.main_metric)

    def pair(self, metric: str, first: str, second: str) -> Pair | None:
        """The test of two systems in this order, if it was made."""
        wanted = (metric, first, second)
        return next((p for p in self.pairs if (p.metric, p.first, p.second) == wanted), None)

    def ranks(self, metric: Metric) -> tuple[int, ...]:
        """Place of each system by its mean, 1 the best; equal means share a place."""
        sign = -1 if metric.higher_is_better else 1
        means = [sign * system.scores[metric.name].mean for system in self.systems]
        return tuple(1 + sum(other < mean for other in means) for mean in means)
