"""The next point of a study: one that no trial has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.sweeps.space import identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import optuna
    from optuna.trial import FrozenTrial, Trial

    from recsys_lab.sweeps.space import Scalar, Space

_DRAWS = 50  # of points that were there already, before the space is gone through
_DRAWS_BY_CHANCE = 1000


def copy_of(
    study: optuna.Study, directions: Sequence[str], trials: Sequence[FrozenTrial]
) -> optuna.Study:
    """A study of the same trials in memory: no call to it asks the storage."""
    import optuna

    copy = optuna.create_study(sampler=study.sampler, directions=list(directions))  # type: ignore[arg-type]
    copy.add_trials(trials)
    return copy


def new_point(
    study: optuna.Study, directions: Sequence[str], space: Space, *, exhaustive: bool,
    trials: Sequence[FrozenTrial],
) -> tuple[dict[str, Scalar], dict[str, Any]] | None:  # fmt: skip
    """A point that no trial has, and what the sampler wants to remember of it.

    Args:
        study: has the sampler, and keeps what that notes.
        directions: of the study.
        space: what is searched.
        exhaustive: go through a finite space instead of asking the sampler.
        trials: all of the study.

    Returns:
        None where the space has no point more.
    """
    from optuna.samplers import RandomSampler

    from recsys_lab.sweeps.storage.optuna_internals import keep_samplers_notes, samplers_notes

    taken = {identity(_point_of(trial)) for trial in trials}
    points = space.points()
    if not exhaustive:
        # Proposed in a copy: a point that is there already would else be a trial of its own.
        copy = copy_of(study, directions, trials)
        known = samplers_notes(study)
        keep_samplers_notes(copy, known)
        trial = _draw(copy, space, taken, _DRAWS)
        if trial is None and points is None:
            # The sampler stays in a finite branch of a space that is endless elsewhere.
            copy.sampler = RandomSampler(seed=len(taken))
            trial = _draw(copy, space, taken, _DRAWS_BY_CHANCE)
        if trial is not None:
            # Of QMC, how far its sequence has come.
            now = samplers_notes(copy).items()
            keep_samplers_notes(study, {k: v for k, v in now if k not in known or known[k] != v})
            return trial.params, samplers_notes(copy, trial)
    if points is None:
        raise RuntimeError("no new point was found in an endless space")
    left = [point for point in points if identity(point) not in taken]
    return (left[_place(len(taken), len(left))], {}) if left else None


def _draw(
    copy: optuna.Study, space: Space, taken: set[tuple[Any, ...]], draws: int
) -> Trial | None:
    """A trial of the copy whose point nobody has, or None after so many draws."""
    from optuna.trial import TrialState

    for _ in range(draws):
        trial = copy.ask()
        if identity(space.suggest(trial)) not in taken:
            return trial
        copy.tell(trial, state=TrialState.FAIL)
    return None


def _point_of(trial: FrozenTrial) -> Mapping[str, Scalar]:
    """The parameters, also of a trial that was proposed and not yet begun."""
    proposed: Mapping[str, Scalar] = trial.system_attrs.get("fixed_params", {})
    return {**proposed, **trial.params}


def _place(taken: int, left: int) -> int:
    """A fixed pseudo-random place, so that an interrupted grid is no corner of the space."""
    return (taken * 0x9E3779B1 + 0x7F4A7C15) % (1 << 32) % left
