"""Failed trials: the budget without them, a sweep that stops because of them, and their retry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from recsys_lab.sweeps.failures import budgeted
from recsys_lab.sweeps.proposals import point_of
from recsys_lab.sweeps.storage.attributes import CAUSE, NUMBER, RETRY_OF
from recsys_lab.sweeps.storage.backends import study_lock

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from optuna.trial import FrozenTrial

    from recsys_lab.sweeps.plan import Plan
    from recsys_lab.sweeps.study import Study


def same_failure(
    trials: Sequence[FrozenTrial], before: Collection[int], most: int | None
) -> str | None:
    """The cause, if the last trials to end all failed with the same error; else None.

    Numbers in the causes are not compared: they may be of the trial's folder, or of its point.

    Args:
        trials: of the study.
        before: numbers of the trials that had ended when the command began.
        most: how many failures in a row stop the sweep; None: no number does.
    """
    if most is None:
        return None
    ended = [t for t in trials if t.state.is_finished() and t.number not in before]
    ended.sort(key=lambda t: (t.datetime_complete is None, t.datetime_complete, t.number))
    last = ended[-most:]
    if len(last) < most or any(t.state.name != "FAIL" for t in last):
        return None
    causes = [str(t.user_attrs.get(CAUSE, "unknown")) for t in last]
    return causes[-1] if len({re.sub(r"\d+", "0", cause) for cause in causes}) == 1 else None


def why_stopped(plan: Plan, trials: Sequence[FrozenTrial]) -> str | None:
    """What the command says when the same error has stopped the sweep; None if none has."""
    most = plan.sweep.config.max_same_failures
    cause = same_failure(trials, plan.ended, most)
    if cause is None:
        return None
    left = int(plan.options["n_trials"]) - sum(t.state.is_finished() for t in budgeted(trials))
    last = "the last trial" if most == 1 else f"the last {most} trials"
    again = "it goes on, and with sweep.retry_failed=true it also runs the failed trials again"
    if left <= 0:
        again = "with sweep.retry_failed=true it runs the failed trials again"
    return (
        f"{plan.folder}: stopped, as {last} failed with the same error: {cause}\n"
        f"{left} of {plan.options['n_trials']} trials are left. Correct the cause, then repeat the "
        f"command: {again}. If such points are expected to fail, use sweep.max_same_failures=null"
    )


def retry_failed(study: Study) -> list[int]:
    """Queue the points of the failed trials again, each once.

    The failed trials stay in the study; they no longer count against the budget.

    Returns:
        Numbers of the failed trials.
    """

    def once() -> list[int]:
        with study_lock(study.url, study.name) as assure:
            trials = study.study.get_trials(deepcopy=False)
            failed = [t for t in budgeted(trials) if t.state.name == "FAIL" and point_of(t)]
            for number, trial in enumerate(failed, start=len(trials)):
                assure()
                study.study.enqueue_trial(
                    dict(point_of(trial)), user_attrs={NUMBER: number, RETRY_OF: trial.number}
                )
            return [trial.number for trial in failed]

    return study.patiently(once)
