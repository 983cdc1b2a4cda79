"""The results of a sweep, printed and written to files."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.config.secrets import scrubbed
from recsys_lab.files.atomic import write_text
from recsys_lab.pages.number_format import decimals
from recsys_lab.runs.run_table import laid_out, print_parts
from recsys_lab.sweeps.best_config import best_command, write_best
from recsys_lab.sweeps.failures import budgeted
from recsys_lab.sweeps.progress.status import counts_of, idle
from recsys_lab.sweeps.report.summary import SHOWN, point_lines
from recsys_lab.sweeps.report.write import write_report
from recsys_lab.sweeps.retrain import top_results
from recsys_lab.sweeps.storage.attributes import CAUSE, CHANGES, RETRY_OF
from recsys_lab.sweeps.winner import keeps_constraints, pick_winner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from optuna.trial import FrozenTrial
    from rich.console import Console, RenderableType

    from recsys_lab.sweeps.plan import Plan
    from recsys_lab.sweeps.study import Study


def finish(
    plan: Plan,
    study: Study,
    console: Console,
    states: Sequence[Mapping[str, Any]],
    stopped: str | None = None,
) -> None:
    """Print the best trials; write ``sweep.json`` and the best config.

    Args:
        plan: of the sweep.
        study: has the trials.
        console: the console.
        states: of the workers.
        stopped: why the sweep stopped before its end, or None.

    Raises:
        UserError: no trial is the best one, or the sweep stopped; the files are written before.
    """
    trials = study.trials()
    objectives = plan.sweep.config.objectives
    best = _best(study, trials)
    summary = {
        "name": plan.options["name"],
        "storage": plan.storage,
        "objectives": list(objectives),
        "pruner": plan.options["pruner"],
        "counts": counts_of(trials),
        "stopped": stopped,
        "best": [
            {
                "number": t.number,
                "values": t.values,
                "params": t.params,
                "folder": str(plan.trial_folder(t.number, t.user_attrs.get(CHANGES))),
            }
            for t in best
        ],
        "failures": {
            t.number: t.user_attrs.get(CAUSE, "")
            for t in budgeted(trials)
            if t.state.name == "FAIL"
        },
        "run_again": {t.user_attrs[RETRY_OF]: t.number for t in trials if RETRY_OF in t.user_attrs},
        "workers": [{**state, "idle": idle(state)} for state in states],
        "device_seconds": sum(state["now"] - state["began"] for state in states),
        **_top(plan, study),
    }
    write_text(plan.path / "sweep.json", json.dumps(scrubbed(summary), indent=2) + "\n")
    console.print("best trials", style="italic", highlight=False)
    print_parts(best_table(study, trials, best, objectives, console), console)
    console.print(", ".join(f"{count} {name}" for name, count in summary["counts"].items()))
    if plan.is_exhausted(len(budgeted(trials))):
        console.print(
            f"all {len(budgeted(trials))} points of the space were tried, fewer than "
            f"sweep.n_trials={plan.options['n_trials']}",
            soft_wrap=True,
            highlight=False,
        )
    for sentence in summary.get("said", []):
        console.print(sentence, soft_wrap=True, highlight=False)
    command = best_command(plan)
    write_report(plan, study, summary, command)
    console.print(f"report: {plan.path / 'report.html'}", soft_wrap=True)
    if stopped:
        raise UserError(stopped)
    if not best:
        raise UserError(f"{plan.folder}: {_why_none(plan, trials)}")
    # If configs were retrained with several seeds, the winner of that.
    chosen = summary.get("winner", {}).get("trial", best[0].number)
    write_best(plan, trials[chosen])
    console.print(f"retrain and test the best config: {command}", soft_wrap=True)


def _top(plan: Plan, study: Study) -> dict[str, Any]:
    """The results of the retrained configs, for ``sweep.json``; empty if there are none."""
    if not plan.options["retrain_top_n"]:
        return {}
    metric = watched_metric(plan)
    again, missing = top_results(plan, study, metric)
    values: dict[str, Any] = {"metric": metric, "top": [config.summary() for config in again]}
    sentences = []
    if missing:
        sentences.append(
            f"{len(missing)} retraining runs are not finished: see {plan.path / 'top'} "
            f"({'; '.join(missing)})"
        )
    if again:
        winner = pick_winner(again)
        values["winner"] = asdict(winner)
        sentences.append(winner.sentence)
    return {**values, "said": sentences}


def watched_metric(plan: Plan) -> str:
    """Metric that the best configs are compared by: the first accuracy metric of the objectives."""
    sweep = plan.sweep
    named = next(name for name in sweep.config.objectives if sweep.is_accuracy(name))
    return named.removeprefix("val/")


def _kept(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Finished trials that violate no constraint."""
    return [t for t in trials if t.state.name == "COMPLETE" and keeps_constraints(t)]


def _why_none(plan: Plan, trials: Sequence[FrozenTrial]) -> str:
    if not any(trial.state.name == "COMPLETE" for trial in trials):
        causes = [str(t.user_attrs[CAUSE]) for t in trials if CAUSE in t.user_attrs]
        last = f" (the last: {causes[-1]})" if causes else ""
        return (
            f"no trial finished; its sweep.json has the causes{last}. Correct them, then repeat "
            "the command with sweep.retry_failed=true"
        )
    limits = ", ".join(plan.options["constraints"])
    return (
        f"no trial satisfies the constraints ({limits}); its report.html has the trials' values. "
        "Search other values, or loosen sweep.constraints with another sweep.name"
    )


def _best(study: Study, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The best trial, or the Pareto front, of the trials that satisfy the constraints."""
    if not _kept(trials):
        return []
    copy = study.copy()
    return list(copy.best_trials) if len(study.directions) > 1 else [copy.best_trial]


def best_table(
    study: Study,
    trials: Sequence[FrozenTrial],
    best: Sequence[FrozenTrial],
    objectives: Sequence[str],
    console: Console,
) -> Iterator[RenderableType]:
    """The best trials, with whole cells at any width."""
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    sign = -1 if study.directions[0] == "maximize" else 1
    front = {trial.number for trial in best}
    complete.sort(
        key=lambda t: (t.number not in front, not keeps_constraints(t), sign * t.values[0])
    )
    shown = complete[:SHOWN]
    if not shown:
        return
    columns = [decimals(values) for values in zip(*(trial.values for trial in shown), strict=True)]
    rows = [
        {
            "trial": f"{'*' if trial.number in front else ''}{trial.number}",
            **dict(zip(objectives, values, strict=True)),
            "values": point_lines(trial.params),
        }
        for trial, *values in zip(shown, *columns, strict=True)
    ]
    yield from laid_out(rows, ["trial", *objectives, "values"], console)
