"""Writes ``report.html`` and ``report.md`` of a sweep, with the importance of each key."""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from recsys_lab.config.secrets import scrubbed
from recsys_lab.files.atomic import write_text
from recsys_lab.sweeps.report.markdown import markdown
from recsys_lab.sweeps.report.page import html
from recsys_lab.sweeps.report.summary import SweepSummary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from optuna.study import Study as OptunaStudy

    from recsys_lab.sweeps.plan import Plan
    from recsys_lab.sweeps.study import Study

FANOVA = "fANOVA (Hutter et al., 2014)"
PED_ANOVA = "PED-ANOVA (Watanabe et al., 2023)"
NEEDED = 2


def write_report(plan: Plan, study: Study, summary: Mapping[str, Any], command: str) -> None:
    """Write both files into the sweep's folder.

    Args:
        plan: of the sweep.
        study: has the trials.
        summary: the contents of ``sweep.json``.
        command: trains the best config again.
    """
    story = SweepSummary(
        name=str(plan.options["name"]),
        options=plan.options,
        base=scrubbed(plan.base),
        space=plan.search.space,
        directions=plan.sweep.directions,
        trials=study.trials(),
        best=[trial["number"] for trial in summary["best"]],
        importance=importance(study.copy()),
        workers=worker_notes(plan.path / "workers"),
        metric=summary.get("metric", ""),
        top=summary.get("top", []),
        sentences=summary.get("said", []),
        command=command,
    )
    write_text(plan.path / "report.html", html(story))
    write_text(plan.path / "report.md", markdown(story))


def worker_notes(folder: Path) -> list[dict[str, Any]]:
    """The last status of every worker, those of earlier commands included."""
    notes = []
    for file in sorted(folder.glob("*.json")):
        with suppress(ValueError, OSError):
            notes.append(json.loads(file.read_text()))
    return notes


def importance(study: OptunaStudy, objective: int = 0) -> tuple[Mapping[str, float], str]:
    """Share of each key in the variance between trials, largest first, and the method.

    fANOVA if scikit-learn is installed and all trials have the same keys, otherwise Optuna's
    default, PED-ANOVA, which needs neither. Empty, with the reason in place of the method, if the
    importance cannot be computed.

    Args:
        study: needs two finished trials with different values.
        objective: index of the objective.
    """
    import optuna

    complete = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
    if len(complete) < NEEDED:
        return {}, f"needs {NEEDED} finished trials, there are {len(complete)}"
    if len({trial.values[objective] for trial in complete}) < NEEDED:
        return {}, "all finished trials have the same value"
    always = set.intersection(*(set(trial.params) for trial in complete))
    some = set.union(*(set(trial.params) for trial in complete))
    sign = -1 if study.directions[objective].name == "MAXIMIZE" else 1
    with warnings.catch_warnings():
        # Of experimental methods; and that PED-ANOVA takes low values as good: `sign` sees to it.
        warnings.simplefilter("ignore", UserWarning)
        if always == some and find_spec("sklearn") is not None:
            evaluator: optuna.importance.BaseImportanceEvaluator
            evaluator, method = optuna.importance.FanovaImportanceEvaluator(seed=0), FANOVA
        else:
            evaluator, method = optuna.importance.PedAnovaImportanceEvaluator(), PED_ANOVA
        try:
            shares = optuna.importance.get_param_importances(
                study, evaluator=evaluator, target=lambda trial: sign * trial.values[objective]
            )
        except (ValueError, RuntimeError) as error:  # e.g. a key that took one value only
            return {}, str(error)
    return {key: float(value) for key, value in shares.items()}, method
