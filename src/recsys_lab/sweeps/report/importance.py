"""How much each searched key matters for the objective."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna.study import Study as OptunaStudy

FANOVA = "fANOVA (Hutter et al., 2014)"
PED_ANOVA = "PED-ANOVA (Watanabe et al., 2023)"
NEEDED = 2


def importance(study: OptunaStudy, objective: int = 0) -> tuple[Mapping[str, float], str]:
    """Share of each key in the differences between trials, largest first, and how it was found.

    fANOVA where scikit-learn is installed and all trials have the same keys, Optuna's default
    (PED-ANOVA), which needs neither, elsewhere. Empty, with the reason in place of the method,
    where nothing can be said.

    Args:
        study: at least two different values.
        objective: place among the objectives.
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
        # Of methods that are new, and that PED-ANOVA takes low values as good ones: it gets them.
        warnings.simplefilter("ignore", UserWarning)
        if always == some and find_spec("sklearn") is not None:
            evaluator: optuna.importance.BaseImportanceEvaluator
            evaluator, method = optuna.importance.FanovaImportanceEvaluator(seed=0), FANOVA
        else:
            evaluator, method = optuna.importance.PedAnovaImportanceEvaluator(), PED_ANOVA
        try:
            found = optuna.importance.get_param_importances(
                study, evaluator=evaluator, target=lambda trial: sign * trial.values[objective]
            )
        except (ValueError, RuntimeError) as error:  # e.g. a key that took one value only
            return {}, str(error)
    return {key: float(value) for key, value in found.items()}, method
