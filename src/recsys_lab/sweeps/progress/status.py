"""The progress of a sweep: one line, or in a terminal a table that is kept up to date."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from recsys_lab.config import UserError
from recsys_lab.pages.number_format import decimal, duration
from recsys_lab.runs.record import RunRecord
from recsys_lab.runs.run_table import laid_out
from recsys_lab.sweeps.failures import budgeted
from recsys_lab.sweeps.report.summary import STATES, format_point, point_lines
from recsys_lab.sweeps.storage.attributes import CHANGES
from recsys_lab.sweeps.winner import keeps_constraints

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from optuna.trial import FrozenTrial
    from rich.console import Console, ConsoleOptions, RenderableType

    from recsys_lab.sweeps.plan import Plan

    State = Mapping[str, Any]

_BARS = "▁▂▃▄▅▆▇█"
_LONGEST = 40  # characters of the curve


def counts_of(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    """Trials by state, without failed ones that were run again."""
    counts = Counter(STATES[trial.state.name] for trial in budgeted(trials))
    return {name: counts[name] for name in STATES.values() if counts[name] or name == "complete"}


def status_line(
    plan: Plan, trials: Sequence[FrozenTrial], states: Sequence[State], spent: float
) -> str:
    """The progress of the sweep in one line.

    Args:
        plan: of the sweep.
        trials: of the study.
        states: of the workers of this command.
        spent: seconds since the command began.
    """
    counts = ", ".join(f"{count} {name}" for name, count in counts_of(trials).items())
    best = _best_so_far(plan, trials)
    shown = f"; {_value_of(plan, best[-1])}" if best else ""
    time = _left(plan, trials, states, spent)
    return f"{counts} of {plan.options['n_trials']}{shown}; {time}"


def status_table(
    plan: Plan, trials: Sequence[FrozenTrial], states: Sequence[State], spent: float
) -> RenderableType:
    """The progress, the best value so far, and each running trial: epoch, metric, values."""
    lines = [Text(status_line(plan, trials, states, spent))]
    best = _best_so_far(plan, trials)
    if best:
        curve = _curve([trial.values[0] for trial in best])
        lines.append(Text(f"{curve} trial {best[-1].number}: {format_point(best[-1].params)}"))
    running = {trial.number: trial for trial in trials if trial.state.name == "RUNNING"}
    rows = []
    for number, state in enumerate(states):
        found = re.fullmatch(r"trial (\d+)", str(state["doing"]))
        trial = running.pop(int(found[1]), None) if found else None
        told = _told(plan, trial) if trial else (str(state["doing"]), "", "", "")
        rows.append((str(number), str(state["device"]), f"{idle(state):.0%}", *told))
    rows += [("", "elsewhere", "", *_told(plan, trial)) for trial in running.values()]
    heads = ("worker", "device", "idle", "trial", "epoch", plan.options["objectives"][0], "values")
    return Group(*lines, _Rows([dict(zip(heads, row, strict=True)) for row in rows], heads))


@dataclass(frozen=True)
class _Rows:
    """The running trials, with whole cells at any width."""

    rows: Sequence[Mapping[str, str]]
    heads: Sequence[str]

    def __rich_console__(self, console: Console, _: ConsoleOptions) -> Iterator[RenderableType]:
        if self.rows:
            dropped = ("idle", "device", "worker")
            yield from laid_out(self.rows, self.heads, console, dropped_first=dropped)


def idle(state: State) -> float:
    """Share of a worker's time that it did not train."""
    running = state["now"] - state["since"] if state["since"] else 0.0
    whole = state["now"] - state["began"]
    return float(max(0.0, 1 - (state["busy"] + running) / whole)) if whole else 0.0


def _told(plan: Plan, trial: FrozenTrial) -> tuple[str, str, str, str]:
    """Number, epoch, last value of the first objective, and values of a running trial's keys."""
    point = point_lines(trial.params)
    folder = plan.trial_folder(trial.number, trial.user_attrs.get(CHANGES))
    try:
        values = RunRecord.load(folder).values
    except UserError:  # it has not begun, or runs on a machine with another disk
        return str(trial.number), "", "", point
    epochs = values["epochs"] or []
    total = values["config"]["recipe"]["max_epochs"]
    metric = plan.options["objectives"][0]
    known = [row[metric] for row in epochs if row.get(metric) is not None]
    value = decimal(known[-1]) if known else ""
    done = f"{epochs[-1]['epoch'] + 1} of {total}" if epochs else ""
    return str(trial.number), done, value, point


def _best_so_far(plan: Plan, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """For every finished trial, in the order of their ends, the best one until then.

    By the first objective, among those that keep the constraints.
    """
    ended = [t for t in trials if t.state.name == "COMPLETE" and keeps_constraints(t)]
    ended.sort(key=lambda t: (t.datetime_complete is None, t.datetime_complete, t.number))
    sign = 1 if plan.sweep.directions[0] == "maximize" else -1
    best: list[FrozenTrial] = []
    for trial in ended:
        improves = not best or sign * trial.values[0] > sign * best[-1].values[0]
        best.append(trial if improves else best[-1])
    return best


def _value_of(plan: Plan, trial: FrozenTrial) -> str:
    return f"best {plan.options['objectives'][0]} {trial.values[0]:.4f} (trial {trial.number})"


def _curve(values: Sequence[float]) -> str:
    """The last values as a line of bars, the lowest and highest of which are the extremes."""
    values = values[-_LONGEST:]
    low, high = min(values), max(values)
    steps = len(_BARS) - 1
    return "".join(
        _BARS[round((value - low) / (high - low) * steps) if high > low else steps]
        for value in values
    )


def _left(plan: Plan, trials: Sequence[FrozenTrial], states: Sequence[State], spent: float) -> str:
    """Time spent and left, by the trials that this command's workers have done."""
    done = sum(int(state["trials"]) for state in states)
    rest = plan.options["n_trials"] - sum(t.state.is_finished() for t in budgeted(trials))
    if not done or rest <= 0:
        return f"{duration(round(spent))} so far"
    left = spent / done * rest
    if plan.options["timeout"] is not None:
        left = min(left, max(0.0, plan.options["timeout"] - spent))
    return f"{duration(round(spent))} so far, about {duration(round(left))} left"
