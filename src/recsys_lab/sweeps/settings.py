"""The options of a sweep: how to search (`Sweep`) and what (`Search`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, MinLen

from recsys_lab.config import Chosen, UserError, build_chosen, class_of_chosen, did_you_mean
from recsys_lab.config.choice import say
from recsys_lab.config.errors import report
from recsys_lab.evaluation.metrics.names import BEYOND
from recsys_lab.moved import current_metric
from recsys_lab.sweeps.pruners import AUTO, PRUNERS, PrunerFactory
from recsys_lab.sweeps.samplers import SAMPLERS, SamplerFactory
from recsys_lab.sweeps.space import Space
from recsys_lab.sweeps.space_syntax import read_space
from recsys_lab.sweeps.storage.backends import kind_of

MEASURES = ("seconds", "parameters", "peak_memory_mebibytes")
"""Measures of a trial's record besides metrics; smaller is better."""


class Sweep:
    """How a search is done.

    Args:
        config: the options.
        own_metrics: see `recsys_lab.evaluation.metrics.registry.own_metrics`.

    Raises:
        UserError: an objective or constraint is invalid, or the sampler or pruner cannot use it.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Sweep`.

        Attributes:
            name: of the study; a command with the name of an existing study resumes it.
            dir: folder of the sweep's files, in ``dir/name``.
            storage: of the study: PATH.journal, sqlite:///FILE, postgresql://..., mysql://..., or
                env:NAME for an environment variable that holds one of these; null for a journal
                among the sweep's files.
            n_trials: number of trials of the study, over all commands that share it.
            timeout: seconds after which this command starts no more trials, and stops running
                ones at their next training step; the next command resumes them. null for none.
            workers: number of processes, one device each; auto: one for each GPU, else one for
                every two cores.
            sampler: proposes the points: a name of `recsys_lab.sweeps.samplers`, or a class.
            pruner: stops bad trials early: a name of `recsys_lab.sweeps.pruners`, or a class;
                for one objective only. "auto" is median if the objective is a metric that every
                validation computes, else none; the choice is printed and recorded.
            objectives: val/METRIC, seconds, parameters or peak_memory_mebibytes; each one knows
                whether larger is better.
            constraints: MEASURE<=NUMBER or val/METRIC>=NUMBER; a trial that violates one ranks
                below all that do not.
            max_deaths: crashes of a trial's process after which the trial has failed.
            storage_patience: seconds to wait for a storage that does not answer before the
                command ends; nothing is lost.
            max_same_failures: trials in a row that fail with the same error, after which the sweep
                stops with it; null: never. Trials of earlier commands do not count.
            retry_failed: run the failed trials of earlier commands again, instead of counting them
                against n_trials.
            retry_out_of_memory: retry a trial that runs out of memory with half the batch and
                twice the gradient accumulation, three times at most.
            retrain_top_n: number of the best configs that are retrained with other seeds after the
                search (or the timeout), and then tested; 0 for none.
            retrain_seeds: runs of each retrained config.
            seed: of the sampler; each process derives its own seed from it.
        """

        name: Annotated[str, MinLen(1)]
        dir: str
        storage: str | None
        n_trials: Annotated[int, Ge(1)]
        timeout: Annotated[float, Gt(0)] | None
        workers: Annotated[int, Ge(1)] | Literal["auto"]
        sampler: Annotated[Chosen, SAMPLERS]
        pruner: Annotated[Chosen, PRUNERS]
        objectives: Annotated[list[str], MinLen(1)]
        constraints: list[str]
        max_deaths: Annotated[int, Ge(1)]
        max_same_failures: Annotated[int, Ge(1)] | None = field(default=None, kw_only=True)
        retry_failed: bool = field(default=False, kw_only=True)
        storage_patience: Annotated[float, Ge(0)]
        retry_out_of_memory: bool
        retrain_top_n: Annotated[int, Ge(0)]
        retrain_seeds: Annotated[int, Ge(1)]
        seed: Annotated[int, Ge(0)]

    def __init__(
        self, config: Config, own_metrics: Mapping[str, Mapping[str, bool]] | None = None
    ) -> None:
        config = replace(config, objectives=[current_metric(name) for name in config.objectives])
        self._own = own_metrics or {}
        if config.pruner == AUTO:
            prunes = len(config.objectives) == 1 and self.is_accuracy(config.objectives[0])
            config = replace(config, pruner="median" if prunes else "none")
        self.config = config
        self.sampler: SamplerFactory = build_chosen(SAMPLERS, config.sampler)
        self.pruner: PrunerFactory = build_chosen(PRUNERS, config.pruner)
        for name in config.objectives:
            check_measure("sweep.objectives", name)
        if len(config.objectives) > 1:
            self._check_several()
        if config.retrain_top_n and not any(map(self.is_accuracy, config.objectives)):
            raise UserError(
                "sweep.retrain_top_n: the best configs are compared by an accuracy metric of the "
                f"validation split, and sweep.objectives={', '.join(config.objectives)} has none; "
                "add one, e.g. val/ndcg@10, or use sweep.retrain_top_n=0"
            )
        if config.storage is not None:
            kind_of(config.storage)
        if config.constraints and not self.sampler.knows_constraints:
            raise UserError(
                f"sweep.constraints: the sampler {say(config.sampler)} does not support any; use "
                f"sweep.sampler={_samplers_that(lambda kind: kind.knows_constraints)}"
            )
        self.limits = [read_limit(text) for text in config.constraints]

    def _check_several(self) -> None:
        config = self.config
        if self.pruner.prunes:
            raise UserError(
                f"sweep.pruner: got {say(config.pruner)} with {len(config.objectives)} objectives; "
                "pruning needs a single objective; use sweep.pruner=auto or none"
            )
        if not self.sampler.several_objectives:
            raise UserError(
                f"sweep.sampler: {say(config.sampler)} supports one objective, and "
                f"sweep.objectives has {len(config.objectives)}; use "
                f"sweep.sampler={_samplers_that(lambda kind: kind.several_objectives)}"
            )

    @property
    def directions(self) -> list[str]:
        """``maximize`` or ``minimize`` for each objective, by its metric."""
        return [self._direction(name) for name in self.config.objectives]

    @property
    def measures(self) -> list[tuple[str, str]]:
        """Option and measure of every objective and constraint."""
        objectives = [("sweep.objectives", name) for name in self.config.objectives]
        return [*objectives, *(("sweep.constraints", name) for name, _, _ in self.limits)]

    @property
    def beyond(self) -> list[str]:
        """Beyond-accuracy metrics, without ``val/``, that objectives and constraints need."""
        named = {name for _, name in self.measures}
        return sorted(
            n.removeprefix("val/") for n in named - {*MEASURES} if not self.is_accuracy(n)
        )

    def is_accuracy(self, name: str) -> bool:
        """Whether a measure is an accuracy metric, which is known after every validation."""
        kind = _kind(name)
        beyond = self._own[kind]["beyond"] if kind in self._own else kind in BEYOND.names
        return name.startswith("val/") and not beyond

    def _direction(self, name: str) -> str:
        from recsys_lab.evaluation.metrics.registry import known_as  # torch: not needed before

        kind = _kind(name)
        if name in MEASURES:
            larger = False
        elif kind in self._own:
            larger = self._own[kind]["higher_is_better"]
        else:
            metric = known_as(kind)
            larger = metric is None or bool(metric.higher_is_better)
        return "maximize" if larger else "minimize"


def _kind(name: str) -> str:
    return name.removeprefix("val/").partition("@")[0]


class Search:
    """What is searched.

    Args:
        config: the options.

    Raises:
        UserError: the space cannot be parsed.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Search`.

        Attributes:
            params: config key or group -> space in Hydra's syntax, or -> {space: ..., when: {key:
                value}}; null removes a key.
        """

        params: dict[str, Any]

    def __init__(self, config: Config) -> None:
        self.config = config
        self.space: Space = read_space(config.params)


def _samplers_that(has: Callable[[type[SamplerFactory]], bool]) -> str:
    """Names of the lab's samplers that have a property."""
    return ", ".join(n for n in SAMPLERS.names if has(class_of_chosen(SAMPLERS, n)))


def check_computed(sweep: Sweep, accuracy: Sequence[str], beyond: Sequence[str]) -> None:
    """Refuse objectives and constraints on metrics that are not computed.

    Args:
        sweep: has the objectives and constraints.
        accuracy: metrics that validation computes, e.g. ``ndcg@10``.
        beyond: beyond-accuracy metrics that can be computed at the end of a trial.

    Raises:
        UserError: with all such metrics.
    """
    known = [f"val/{name}" for name in (*accuracy, *beyond)]
    problems = [
        f"{where}: got {name}, which validation does not compute{did_you_mean(name, known)} "
        f"Computed: {', '.join(known)}; for others extend evaluation.metrics and evaluation.ks, or "
        "evaluation.beyond_accuracy and evaluation.beyond_ks"
        for where, name in sweep.measures
        if name not in (*known, *MEASURES)
    ]
    if problems:
        raise UserError(report(problems))


def check_measure(where: str, name: str) -> None:
    """Refuse a metric of the test split, and unknown measures.

    Raises:
        UserError: the measure is one of these.
    """
    if name.startswith("test/"):
        raise UserError(
            f"{where}: got {name}; a search must not use the test split, or its test results are "
            f"biased. Use val/{name.removeprefix('test/')}"
        )
    if not name.startswith("val/") and name not in MEASURES:
        raise UserError(f"{where}: got {name}, expected val/METRIC, {', '.join(MEASURES)}")


def read_limit(text: str) -> tuple[str, str, float]:
    """A constraint as measure, sign and number.

    Raises:
        UserError: the text is not a constraint.
    """
    for sign in ("<=", ">="):
        name, matched, number = text.partition(sign)
        if matched:
            check_measure("sweep.constraints", name.strip())
            try:
                return name.strip(), sign, float(number)
            except ValueError:
                break
    raise UserError(
        f"sweep.constraints: got '{text}', expected MEASURE<=NUMBER or val/METRIC>=NUMBER"
    )


def constraint_violation(limit: tuple[str, str, float], value: float) -> float:
    """How far a value violates a constraint; at most 0 if it does not."""
    _, sign, number = limit
    return value - number if sign == "<=" else number - value
