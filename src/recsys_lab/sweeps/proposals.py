"""Proposes the next point of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.sweeps.space import identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import optuna
    from optuna.trial import FrozenTrial, Trial

    from recsys_lab.sweeps.space import Scalar, Space

_DRAWS = 50  # duplicate points in a row, before the rest of the space is enumerated
_DRAWS_BY_CHANCE = 1000


def copy_of(
    study: optuna.Study, directions: Sequence[str], trials: Sequence[FrozenTrial]
) -> optuna.Study:
    """An in-memory copy of a study, which needs no calls to the storage."""
    import optuna

    copy = optuna.create_study(sampler=study.sampler, directions=list(directions))  # type: ignore[arg-type]
    copy.add_trials(trials)
    return copy


def new_point(
    study: optuna.Study,
    directions: Sequence[str],
    space: Space,
    *,
    exhaustive: bool,
    trials: Sequence[FrozenTrial],
) -> tuple[dict[str, Scalar], dict[str, Any]] | None:
    """A point that no trial has, and the sampler's attributes of its trial.

    Args:
        study: has the sampler, and stores the sampler's attributes.
        directions: of the study.
        space: of the search.
        exhaustive: enumerate a finite space instead of asking the sampler.
        trials: all of the study.

    Returns:
        None if every point of the space was tried.
    """
    from optuna.samplers import RandomSampler

    from recsys_lab.sweeps.storage.optuna_internals import keep_samplers_notes, samplers_notes

    taken = {identity(point_of(trial)) for trial in trials}
    points = space.points()
    if not exhaustive:
        # In a copy, as each duplicate point would otherwise become a trial of the study.
        copy = copy_of(study, directions, trials)
        known = samplers_notes(study)
        keep_samplers_notes(copy, known)
        trial = _draw(copy, space, taken, _DRAWS)
        if trial is None and points is None:
            # The sampler stays in a finite branch of a space that is infinite elsewhere.
            copy.sampler = RandomSampler(seed=len(taken))
            trial = _draw(copy, space, taken, _DRAWS_BY_CHANCE)
        if trial is not None:
            # For QMC: the position in its sequence.
            now = samplers_notes(copy).items()
            keep_samplers_notes(study, {k: v for k, v in now if k not in known or known[k] != v})
            return trial.params, samplers_notes(copy, trial)
    if points is None:
        raise RuntimeError("the sampler proposed no new point of an infinite space")
    left = [point for point in points if identity(point) not in taken]
    return (left[_index(len(taken), len(left))], {}) if left else None


def _draw(
    copy: optuna.Study, space: Space, taken: set[tuple[Any, ...]], draws: int
) -> Trial | None:
    """A trial of the copy with a new point, or None after ``draws`` duplicates."""
    from optuna.trial import TrialState

    for _ in range(draws):
        trial = copy.ask()
        if identity(_suggested(copy, trial, space)) not in taken:
            return trial
        copy.tell(trial, state=TrialState.FAIL)
    return None


def _suggested(copy: optuna.Study, trial: Trial, space: Space) -> dict[str, Scalar]:
    """The point that the sampler proposes.

    Raises:
        UserError: the sampler fails, or a value is outside of the space.
    """
    sampler = f"sweep.sampler: {type(copy.sampler).__name__}"
    try:
        point = space.suggest(trial)
    except Exception as error:
        if type(copy.sampler).__module__.startswith("optuna."):
            raise
        raise UserError(
            f"{sampler} proposes no point of this space ({type(error).__name__}: {error}); fix "
            "the class, then repeat the command"
        ) from error
    for dimension in space.dimensions:
        if dimension.key in point and point[dimension.key] not in dimension:
            raise UserError(
                f"{sampler} proposes {dimension.key}={point[dimension.key]!r}, which is not in "
                f"{dimension.distribution}; fix the class, then repeat the command"
            )
    return point


def point_of(trial: FrozenTrial) -> Mapping[str, Scalar]:
    """The parameters, also of a proposed trial that has not started."""
    proposed: Mapping[str, Scalar] = trial.system_attrs.get("fixed_params", {})
    return {**proposed, **trial.params}


def _index(taken: int, left: int) -> int:
    """A pseudo-random index, so that an interrupted grid search covers the whole space."""
    return (taken * 0x9E3779B1 + 0x7F4A7C15) % (1 << 32) % left
