"""The contents of a sweep's report, read from its trials and run records."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recsys_lab.config.choice import say
from recsys_lab.pages.number_format import counted, decimals
from recsys_lab.sweeps.failures import budgeted
from recsys_lab.sweeps.storage.attributes import ATTEMPTS, CAUSE, CHANGES, FIRST_STEP, RELEASED
from recsys_lab.sweeps.winner import keeps_constraints

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from recsys_lab.sweeps.space import Space

STATES = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}
SHOWN = 10
"""Trials in a table of the best."""


@dataclass(frozen=True)
class SweepSummary:
    """The contents of a report.

    Attributes:
        name: of the sweep.
        options: of `recsys_lab.sweeps.settings.Sweep`.
        base: overrides that all trials have.
        space: what was searched.
        directions: ``maximize`` or ``minimize``, one for each objective.
        trials: by number.
        best: numbers of the best trial, or of the Pareto front, best first.
        importance: share of each key, and the method; or nothing, and the reason.
        workers: status of the worker processes: ``began``, ``now``, ``busy``, in seconds.
        metric: by which the retrained configs were compared.
        top: their results, by config (`recsys_lab.sweeps.winner.RetrainedConfig.summary`).
        sentences: about the retrained configs.
        command: trains the best config again.
    """

    name: str
    options: Mapping[str, Any]
    base: Sequence[str]
    space: Space
    directions: Sequence[str]
    trials: Sequence[FrozenTrial]
    best: Sequence[int]
    importance: tuple[Mapping[str, float], str]
    workers: Sequence[Mapping[str, Any]]
    metric: str
    top: Sequence[Mapping[str, Any]]
    sentences: Sequence[str]
    command: str

    @property
    def objectives(self) -> Sequence[str]:
        """Their names."""
        return [str(name) for name in self.options["objectives"]]

    @property
    def complete(self) -> list[FrozenTrial]:
        """Trials that finished."""
        return [trial for trial in self.trials if trial.state.name == "COMPLETE"]

    @property
    def counts(self) -> Mapping[str, int]:
        """Trials by state, without failed ones that were run again."""
        return Counter(STATES[trial.state.name] for trial in budgeted(self.trials))

    @property
    def failures(self) -> list[tuple[str, str]]:
        """Number and cause of each failed trial."""
        failed = [trial for trial in budgeted(self.trials) if trial.state.name == "FAIL"]
        return [
            (str(trial.number), str(trial.user_attrs.get(CAUSE, "unknown"))) for trial in failed
        ]

    @property
    def ranked(self) -> list[FrozenTrial]:
        """Finished trials: the best or the front, then the others by the first objective.

        Those that violate a constraint come last.
        """
        sign = -1 if self.directions[0] == "maximize" else 1
        ranks = {number: rank for rank, number in enumerate(self.best)}
        last = len(ranks)
        key = {
            t.number: (ranks.get(t.number, last), not keeps_constraints(t), sign * t.values[0])
            for t in self.complete
        }
        return sorted(self.complete, key=lambda trial: key[trial.number])


def head_facts(story: SweepSummary) -> list[tuple[str, str]]:
    """What was searched, with which budget and how."""
    options, counts = story.options, story.counts
    ended = sum(counts[name] for name in ("complete", "pruned", "failed"))
    states = [f"{counts[name]} {name}" for name in STATES.values() if counts[name]]
    resumed = sum(
        int(trial.user_attrs.get(ATTEMPTS, 1)) - int(trial.user_attrs.get(RELEASED, 0)) > 1
        for trial in story.trials
    )
    halved = sum(CHANGES in trial.user_attrs for trial in story.trials)
    facts = [
        (
            "Objectives",
            ", ".join(
                f"{name} ({direction})"
                for name, direction in zip(story.objectives, story.directions, strict=True)
            ),
        ),
        ("Budget", f"{counted(options['n_trials'], 'trial')}, of which {ended} ended"),
        ("Trials", ", ".join(states) or "none"),
        ("Pruned", _share(counts["pruned"], ended)),
        ("Sampler", say(options["sampler"])),
        ("Pruner", say(options["pruner"])),
        ("Resumed after a crash", str(resumed)),
        ("Retried with half the batch", str(halved)),
        *cost_facts(story),
    ]
    if options["constraints"]:
        facts.insert(1, ("Constraints", ", ".join(map(str, options["constraints"]))))
    return facts


def cost_facts(story: SweepSummary) -> list[tuple[str, str]]:
    """Device-hours and idle share of the worker processes, and times of trials."""
    spans = [float(note["now"] - note["began"]) for note in story.workers]
    hours, whole = sum(spans) / 3600, sum(spans)
    # The last status of a killed worker was written during a trial.
    running = sum(float(note["now"] - note["since"]) for note in story.workers if note["since"])
    busy = running + sum(float(note["busy"]) for note in story.workers)
    idle = _share(max(0.0, whole - busy), whole)
    ran = [
        (trial.datetime_complete - trial.datetime_start).total_seconds()
        for trial in story.trials
        if trial.datetime_complete and trial.datetime_start
    ]
    began = [
        trial.user_attrs[FIRST_STEP] for trial in story.trials if FIRST_STEP in trial.user_attrs
    ]
    return [
        ("Device-hours", f"{hours:.3f} by {counted(len(spans), 'worker')}"),
        ("Idle share of the workers", idle),
        ("Median time of a trial", _median(ran)),
        ("Median time to a trial's first step", _median(began)),
    ]


def best_rows(story: SweepSummary) -> list[list[str]]:
    """Rows of the best trials: number (starred: the best or the front), values, parameters."""
    return _rows(story, story.ranked[:SHOWN])


def front_rows(story: SweepSummary) -> list[list[str]]:
    """Rows of the whole Pareto front, by the first objective."""
    sign = -1 if story.directions[0] == "maximize" else 1
    front = [trial for trial in story.complete if trial.number in story.best]
    return _rows(story, sorted(front, key=lambda t: (sign * t.values[0], t.number)))


def _rows(story: SweepSummary, trials: Sequence[FrozenTrial]) -> list[list[str]]:
    columns = [decimals(column) for column in zip(*(t.values for t in trials), strict=True)]
    return [
        [
            f"{trial.number}*" if trial.number in story.best else str(trial.number),
            *(column[place] for column in columns),
            format_point(trial.params),
        ]
        for place, trial in enumerate(trials)
    ]


def top_rows(story: SweepSummary) -> list[list[str]]:
    """Rows of the retrained configs."""
    return [
        [
            str(config["trial"]),
            str(len(config["runs"])),
            "-" if config["searched"] is None else f"{config['searched']:.4f}",
            format_spread(config["validation"]),
            format_spread(config["test"]),
            format_point(config["params"]),
        ]
        for config in story.top
    ]


NONE_ENDED = "No trial finished"
NONE_KEEPS = "No trial satisfies the constraints"
TOP_HEADS = ("Trial", "Seeds", "Search", "Validation", "Test", "Parameters")


def space_rows(story: SweepSummary) -> list[list[str]]:
    """Rows of what was searched: key, values, condition."""
    rows = []
    for dimension in story.space.dimensions:
        if dimension.values:
            values = ", ".join(map(str, dimension.values))
        else:
            values = f"{dimension.low:g} to {dimension.high:g}"
            values += ", integer" if dimension.integer else ""
            values += f", step {dimension.step:g}" if dimension.step else ""
            values += ", log scale" if dimension.log else ""
        when = ", ".join(f"{key}={value}" for key, value in dimension.when.items())
        rows.append([dimension.key, values, when or "always"])
    return rows


def format_point(params: Mapping[str, Any]) -> str:
    """``key=value, ...`` with floats to three significant digits."""
    return ", ".join(f"{key}={brief(value)}" for key, value in params.items())


def point_lines(params: Mapping[str, Any]) -> str:
    """The same for a cell of a table, a key on each line."""
    return ",\n".join(format_point({key: value}) for key, value in params.items())


def format_spread(spread: Mapping[str, float | None]) -> str:
    """Mean and standard deviation."""
    sd = spread["sd"]
    return f"{spread['mean']:.4f}" + ("" if sd is None else f" ± {sd:.4f}")


def brief(value: Any) -> str:
    """A float to three significant digits; anything else as it is."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _median(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.1f} s" if seconds else "-"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"
