"""Compares the records of runs: see `compare`.

Shapes: U users, S runs, M metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from recsys_lab.comparison.cautions import with_cautions
from recsys_lab.comparison.collect import protocol_differences
from recsys_lab.comparison.identity import CODE, code_names
from recsys_lab.comparison.paired_test import Paired, Test
from recsys_lab.comparison.per_user import (
    higher_is_better,
    largest_values,
    metrics_of_users,
    shared_metrics,
    user_results,
)
from recsys_lab.comparison.permutation_test import holm
from recsys_lab.comparison.results import Comparison, Metric, Pair, Run, Score, Slice, System
from recsys_lab.comparison.samples import Samples
from recsys_lab.comparison.systems import (
    group_runs,
    newest_of_each_seed,
    system_names,
    system_settings,
    what_differs,
)
from recsys_lab.config import UserError, did_you_mean
from recsys_lab.evaluation.intervals import FEWEST_USERS
from recsys_lab.runs.find import LeftOut
from recsys_lab.runs.record import RunRecord
from recsys_lab.runs.seeds import is_deterministic


@dataclass(frozen=True)
class Options:
    """How runs are compared.

    Attributes:
        baseline: name of a system, ``first``, or ``none`` to test all pairs.
        metric: the main metric; None for the model selection metric of the first run.
        level: significance level.
        resamples: number of bootstrap resamples.
        permutations: number of sign permutations of the users' differences.
        seed: of the bootstrap and the permutations.
        by: ``config`` groups runs into systems by their config; ``group`` and ``name`` by their
            config and this label.
    """

    baseline: str
    metric: str | None
    level: float
    resamples: int
    permutations: int
    seed: int
    by: str


def compare(
    records: Sequence[RunRecord], left_out: Sequence[LeftOut], options: Options
) -> Comparison:
    """Group runs into systems and test the systems against each other.

    Args:
        records: finished runs, of one protocol unless forced.
        left_out: requested runs that are not finished.
        options: the settings of the comparison.

    Raises:
        UserError: the baseline or the metric does not exist, or a run's files are damaged.
    """
    records, repeats = newest_of_each_seed(records, options.by)
    return _Comparer(records, [*left_out, *repeats], options).comparison()


class _Comparer:
    def __init__(
        self, records: Sequence[RunRecord], left_out: Sequence[LeftOut], options: Options
    ) -> None:
        self.records, self.left_out, self.options = records, left_out, options
        self.groups = group_runs(records, options.by)
        self.protocols = {k: tuple(v) for k, v in protocol_differences(records).items()}
        self.code_names = code_names(records)
        settings = [self._settings(group[0]) for group in self.groups]
        self.names = system_names(settings, [self._given_name(group) for group in self.groups])
        if options.baseline != "none":
            self._baseline()  # an unknown name fails before the slow tests
        self.differing = what_differs(settings)
        self.main, metrics, self.other_metrics = shared_metrics(records, options.metric)
        of_users = set.intersection(*map(metrics_of_users, records))
        self.of_users = [name for name in metrics if name in of_users]
        self.main_of_users = self.main if self.main in of_users else None
        self.results = [user_results(r, self.of_users, self.main_of_users) for r in records]
        self.same_users = self._check_users()
        self.deterministic = [self._is_deterministic(group) for group in self.groups]
        self.samples = Samples(
            self.results,
            self.of_users,
            self.groups,
            self.deterministic,
            seeds=[record.values["seed"] for record in records],
            largest=largest_values(self.of_users, self.results),
            resamples=options.resamples,
            permutations=options.permutations,
            seed=options.seed,
        )
        self.pairs = self._pairs()
        self.small_slices = 0
        self.metrics = [self._metric(name) for name in metrics]

    def comparison(self) -> Comparison:
        paired = self.samples.by_metric(together=self.same_users)
        comparison = Comparison(
            runs=tuple(self._runs()),
            systems=tuple(self._system(index, paired) for index in range(len(self.groups))),
            metrics=tuple(self.metrics),
            by=self.options.by,
            main_metric=self.main,
            baseline=None if self.options.baseline == "none" else self.names[self._baseline()],
            level=self.options.level,
            pairs=tuple(p for m in self.metrics if m.of_users for p in self._tests(m, paired)),
            slices=tuple(self._slices()) if self.same_users else (),
            differing=self.differing,
            protocol=self.records[0].values["protocol"]["fields"],
            protocol_differences=self.protocols,
            left_out=tuple(self.left_out),
            notes=(),
        )
        return with_cautions(
            comparison,
            self.records,
            same_users=self.same_users,
            other_metrics=self.other_metrics,
            small_slices=self.small_slices,
        )

    def _settings(self, run: int) -> dict[str, Any]:
        """Settings of a run's system, with the protocol fields that differ between the runs."""
        of_protocol = {f"protocol.{key}": row[run] for key, row in self.protocols.items()}
        settings = system_settings(self.records[run], self.options.by)
        code = {CODE: self.code_names[settings[CODE]]} if CODE in settings else {}
        return {**settings, **code, **of_protocol}

    def _given_name(self, group: Sequence[int]) -> str | None:
        given = {self.records[run].values["config"].get("name") for run in group}
        return given.pop() if len(given) == 1 else None

    def _is_deterministic(self, group: Sequence[int]) -> bool:
        first, *others = (self.results[run].values_UM for run in group)
        equal = all(np.array_equal(first, other, equal_nan=True) for other in others)
        return is_deterministic(self.records[group[0]].values) or (bool(others) and equal)

    def _check_users(self) -> bool:
        """Whether all runs were evaluated on the same users and targets.

        Raises:
            UserError: runs of one protocol have different users or targets.
        """
        first: dict[str, int] = {}
        for run, record in enumerate(self.records):
            protocol = record.values["protocol"]["fingerprint"]
            other = first.setdefault(protocol, run)
            if not self.results[run].rows.equals(self.results[other].rows):
                msg = (
                    f"{record.folder} and {self.records[other].folder}: the protocol is the same, "
                    "but the users or targets in test_users.parquet differ: one of the files was "
                    "changed; restore it, train again, or leave the run out"
                )
                raise UserError(msg)
        data = {record.values["data"]["fingerprint"] for record in self.records}
        rows = [self.results[run].rows for run in first.values()]
        return len(data) == 1 and all(other.equals(rows[0]) for other in rows)

    def _baseline(self) -> int:
        wanted = self.options.baseline
        if wanted == "first":
            return 0
        if wanted not in self.names:
            msg = f"baseline: there is no system {wanted!r}{did_you_mean(wanted, self.names)}"
            raise UserError(f"{msg} Systems: {'; '.join(self.names)}; also first, none.")
        return self.names.index(wanted)

    def _pairs(self) -> list[tuple[int, int]]:
        systems = range(len(self.groups))
        if self.options.baseline == "none":
            pairs = list(combinations(systems, 2))
        else:
            baseline = self._baseline()
            pairs = [(other, baseline) for other in systems if other != baseline]
        return pairs if self.same_users else []

    def _metric(self, name: str) -> Metric:
        users = self.samples.finite(name).sum() if name in self.of_users and self.same_users else 0
        return Metric(
            name, higher_is_better(name, self.records[0]), name in self.of_users, int(users)
        )

    def _system(self, index: int, paired: Mapping[str, list[tuple[Paired, int]]]) -> System:
        group = self.groups[index]
        scores = {}
        for metric in self.metrics:
            by_run = tuple(float(self.records[r].values["test"][metric.name]) for r in group)
            interval = None
            if metric.of_users:
                sample, where = paired[metric.name][index]
                interval = sample.mean(where)
            sd = float(np.std(by_run, ddof=1)) if len(by_run) > 1 else None
            scores[metric.name] = Score(float(np.mean(by_run)), sd, interval, by_run)
        return System(
            name=self.names[index],
            runs=tuple(group),
            seeds=tuple(self.records[run].values["seed"] for run in group),
            settings={key: values[index] for key, values in self.differing.items()},
            scores=scores,
            deterministic=self.deterministic[index],
        )

    def _tests(self, metric: Metric, paired: Mapping[str, list[tuple[Paired, int]]]) -> list[Pair]:
        if not self.pairs:
            return []
        sample = paired[metric.name][0][0]
        tests = [sample.test(first, second) for first, second in self.pairs]
        adjusted = holm([test.p for test in tests])
        means = [sample.mean(index).value for index in range(len(self.groups))]
        return [
            self._pair(metric, pair, test, p, means[pair[1]])
            for pair, test, p in zip(self.pairs, tests, adjusted, strict=True)
        ]

    def _pair(
        self, metric: Metric, pair: tuple[int, int], test: Test, p: float, reference: float
    ) -> Pair:
        first, second = self.names[pair[0]], self.names[pair[1]]
        value = test.difference.value
        up = (value > 0) == metric.higher_is_better
        won, lost = test.wins, test.losses
        return Pair(
            metric=metric.name,
            first=first,
            second=second,
            test=test,
            relative=value / reference if reference else None,
            p_holm=p,
            significant=p <= self.options.level and not test.few_seeds,
            better=None if value == 0 else (first if up else second),
            wins=won if metric.higher_is_better else lost,
            ties=test.ties,
            losses=lost if metric.higher_is_better else won,
        )

    def _slices(self) -> list[Slice]:
        if self.main_of_users is None:
            return []
        metric = next(m for m in self.metrics if m.name == self.main)
        shared = [
            key for key in self.results[0].slices if all(key in r.slices for r in self.results)
        ]
        slices = []
        for name, value in shared:
            values_US = np.stack([r.slices[name, value][1] for r in self.results], 1)
            values_US = values_US[np.isfinite(values_US).all(1)]
            if len(values_US) < FEWEST_USERS:
                self.small_slices += 1
                continue
            sample = self.samples.made_of(self.main, values_US)
            means = [sample.mean(index) for index in range(len(self.groups))]
            pairs = []
            for pair in self.pairs:
                test = sample.test(*pair)
                pairs.append(self._pair(metric, pair, test, test.p, means[pair[1]].value))
            slices.append(Slice(name, value, len(values_US), tuple(means), tuple(pairs)))
        return slices

    def _runs(self) -> list[Run]:
        names = {
            run: name for name, group in zip(self.names, self.groups, strict=True) for run in group
        }
        return [Run.of(record, names[run]) for run, record in enumerate(self.records)]
