"""The options of a sweep, as they stand in its config."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, MinLen

from recsys_lab.config import Chosen, UserError, build_chosen, class_of_chosen
from recsys_lab.config.choice import say
from recsys_lab.config.errors import did_you_mean, report
from recsys_lab.evaluation.metrics.names import BEYOND
from recsys_lab.moved import current_metric
from recsys_lab.sweeps.pruners import PRUNERS, PrunerFactory
from recsys_lab.sweeps.samplers import SAMPLERS, SamplerFactory
from recsys_lab.sweeps.space import Space
from recsys_lab.sweeps.space_syntax import read_space
from recsys_lab.sweeps.storage.backends import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MEASURES = ("seconds", "parameters", "peak_memory_mebibytes")
"""Of a trial's record, the smaller the better."""


class Sweep:
    """How a search is done.

    Args:
        config: the options.
        own_metrics: see `recsys_lab.evaluation.metrics.registry.own_metrics`.

    Raises:
        UserError: an objective or constraint that cannot be, or methods that do not fit them.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Sweep`.

        Attributes:
            name: of the study; the same name goes on with it.
            dir: the sweep's files stand in ``dir/name``.
            storage: of the study: PATH.journal, sqlite:///FILE, postgresql://..., mysql://...;
                null for a journal among the sweep's files.
            n_trials: trials of the study in all, whoever runs them.
            timeout: seconds after which this command begins no more trials, and stops those that
                it trains at their next whole step; the next command, with a timeout of its own,
                goes on with them. null for none.
            workers: processes, each with a device of its own; auto: one for each GPU, else one
                for every two cores.
            sampler: see `recsys_lab.sweeps.samplers`; a name of the lab or a class of your own.
            pruner: see `recsys_lab.sweeps.pruners`, likewise; for one objective only.
            objectives: val/METRIC, seconds, parameters or peak_memory_mebibytes; each is made
                larger or smaller, as is better for it.
            constraints: MEASURE<=NUMBER or val/METRIC>=NUMBER: trials that break one are worse
                than all that do not.
            max_deaths: a trial whose process was killed, or ended by itself, so many times has
                failed; the others go on.
            storage_patience: seconds that a storage may be away; then the command ends, and
                nothing is lost.
            retry_out_of_memory: a trial that runs out of memory is tried again with half the batch
                and twice the batches a step, three times at most.
            retrain_top_n: number of the best configs that are trained again after the trials (or
                the timeout), with seeds of their own, and then tested; 0 for none.
            retrain_seeds: runs of each of them.
            seed: of the sampler; every process has a seed of its own that is made from it.
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
        storage_patience: Annotated[float, Ge(0)]
        retry_out_of_memory: bool
        retrain_top_n: Annotated[int, Ge(0)]
        retrain_seeds: Annotated[int, Ge(1)]
        seed: Annotated[int, Ge(0)]

    def __init__(
        self, config: Config, own_metrics: Mapping[str, Mapping[str, bool]] | None = None
    ) -> None:
        config = replace(config, objectives=[current_metric(name) for name in config.objectives])
        self.config = config
        self._own = own_metrics or {}
        self.sampler: SamplerFactory = build_chosen(SAMPLERS, config.sampler)
        self.pruner: PrunerFactory = build_chosen(PRUNERS, config.pruner)
        for name in config.objectives:
            check_measure("sweep.objectives", name)
        if len(config.objectives) > 1:
            self._check_several()
        if config.retrain_top_n and not any(map(self.is_accuracy, config.objectives)):
            raise UserError(
                "sweep.retrain_top_n: the best are compared by an accuracy metric of the "
                f"validation, and sweep.objectives has none: {', '.join(config.objectives)}; add "
                "one, or use sweep.retrain_top_n=0"
            )
        if config.storage is not None:
            kind_of(config.storage)
        if config.constraints and not self.sampler.knows_constraints:
            raise UserError(
                f"sweep.constraints: the sampler {say(config.sampler)} knows none; use "
                f"sweep.sampler={_samplers_that(lambda kind: kind.knows_constraints)}"
            )
        self.limits = [read_limit(text) for text in config.constraints]

    def _check_several(self) -> None:
        config = self.config
        if self.pruner.prunes:
            raise UserError(
                f"sweep.pruner: got {say(config.pruner)} with {len(config.objectives)} objectives, "
                "of which no single one says that a trial is bad; use sweep.pruner=none"
            )
        if not self.sampler.several_objectives:
            raise UserError(
                f"sweep.sampler: {say(config.sampler)} knows one objective, and sweep.objectives "
                f"has {len(config.objectives)}; use "
                f"sweep.sampler={_samplers_that(lambda kind: kind.several_objectives)}"
            )

    @property
    def directions(self) -> list[str]:
        """``maximize`` or ``minimize`` for each objective: the metrics know what is better."""
        return [self._direction(name) for name in self.config.objectives]

    @property
    def measures(self) -> list[tuple[str, str]]:
        """All that is measured of a trial, each with the option that names it."""
        objectives = [("sweep.objectives", name) for name in self.config.objectives]
        return [*objectives, *(("sweep.constraints", name) for name, _, _ in self.limits)]

    @property
    def beyond(self) -> list[str]:
        """Metrics beyond accuracy of the validation that a trial is measured by."""
        named = {name for _, name in self.measures}
        return sorted(
            n.removeprefix("val/") for n in named - {*MEASURES} if not self.is_accuracy(n)
        )

    def is_accuracy(self, name: str) -> bool:
        """Whether a measure is known after every validation; what is beyond accuracy is not."""
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
        UserError: a space that is not understood.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Search`.

        Attributes:
            params: config key or group -> space, in Hydra's syntax, or -> {space: ..., when: {key:
                value}}; null takes a key out again.
        """

        params: dict[str, Any]

    def __init__(self, config: Config) -> None:
        self.config = config
        self.space: Space = read_space(config.params)


def _samplers_that(has: Callable[[type[SamplerFactory]], bool]) -> str:
    """The names of the lab's samplers of which something is true."""
    return ", ".join(n for n in SAMPLERS.names if has(class_of_chosen(SAMPLERS, n)))


def check_computed(sweep: Sweep, accuracy: Sequence[str], beyond: Sequence[str]) -> None:
    """Refuse metrics that no trial will have.

    Args:
        sweep: names them.
        accuracy: what validation computes, e.g. ``ndcg@10``.
        beyond: what it can compute besides, at the end of a trial.

    Raises:
        UserError: with all of them.
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
    """Refuse what a search may not look at, or what no trial has.

    Raises:
        UserError: it is the test split's, or unknown.
    """
    if name.startswith("test/"):
        raise UserError(
            f"{where}: got {name}; a search that looks at the test split chooses by it, and the "
            f"test is none any more. Use val/{name.removeprefix('test/')}"
        )
    if not name.startswith("val/") and name not in MEASURES:
        raise UserError(f"{where}: got {name}; use val/METRIC, {', '.join(MEASURES)}")


def read_limit(text: str) -> tuple[str, str, float]:
    """A constraint as measure, sign and number.

    Raises:
        UserError: it is none.
    """
    for sign in ("<=", ">="):
        name, found, number = text.partition(sign)
        if found:
            check_measure("sweep.constraints", name.strip())
            try:
                return name.strip(), sign, float(number)
            except ValueError:
                break
    raise UserError(f"sweep.constraints: got '{text}'; write MEASURE<=NUMBER or val/METRIC>=NUMBER")


def constraint_violation(limit: tuple[str, str, float], value: float) -> float:
    """How far a value breaks a constraint, at most 0 where it does not."""
    _, sign, number = limit
    return value - number if sign == "<=" else number - value
