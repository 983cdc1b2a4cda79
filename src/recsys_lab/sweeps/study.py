"""One study that many processes share: every trial is claimed once and counted once."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.sweeps.owners import BEAT, OWNER, is_alive, myself
from recsys_lab.sweeps.patience import patiently
from recsys_lab.sweeps.space import Scalar, Space, identity
from recsys_lab.sweeps.storage import open_storage, study_lock

if TYPE_CHECKING:
    import optuna
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

ATTEMPTS, CAUSE = "attempts", "cause"
RELEASED = "released"
"""Of a trial: how often its process was asked to stop and left it whole: no deaths."""
CHANGES = "changes"
"""Of a trial that ran out of memory: config key -> value that it was tried again with."""
FIRST_STEP = "seconds_to_first_step"
"""Of a trial: from the end of its process's last one to its own first training step."""
ID, SPEC, WORKERS = "id", "spec", "workers"
"""Of a study: like no other's; what two commands must agree on; processes that have joined."""
DATA = "data"
"""In the spec: fingerprint of the prepared dataset, where all trials have the same."""
MOST_ATTEMPTS = 10
_DRAWS = 50  # of points that were there already, before the space is gone through
_DRAWS_BY_CHANCE = 1000


@dataclass(frozen=True)
class Claim:
    """A trial that this process has to run.

    Attributes:
        trial: the trial.
        point: key -> value.
        attempts: how often it was begun, this time included.
    """

    trial: Trial
    point: Mapping[str, Scalar]
    attempts: int


class Study:
    """Opens or creates a study and hands out its trials.

    Args:
        url: of the storage: see `recsys_lab.sweeps.storage.open_storage`.
        name: of the study.
        directions: ``maximize`` or ``minimize``, one for each objective.
        space: what is searched.
        spec: everything that must be equal for two commands to share the study, for JSON.
        sampler: proposes points.
        pruner: stops bad trials.
        exhaustive: go through a finite space instead of asking the sampler.

    Attributes:
        id: like no other study's, also of this name in another storage.

    Raises:
        UserError: the storage cannot be opened, or holds a study of this name with another spec.
    """

    def __init__(
        self, url: str, name: str, *, directions: Sequence[str], space: Space,
        spec: Mapping[str, Any], sampler: BaseSampler, pruner: BasePruner, exhaustive: bool = False,
    ) -> None:  # fmt: skip
        import optuna

        wanted: Any = list(directions)
        self.url, self.name = url, name
        self.space = space
        self.exhaustive = exhaustive
        with study_lock(url, name):
            # Under the lock, too: this makes the tables of a new database.
            self._storage = storage = open_storage(url)
            self.study = optuna.create_study(
                storage=storage, sampler=sampler, pruner=pruner, study_name=name,
                directions=wanted, load_if_exists=True,
            )  # fmt: skip
            stored = self.study.user_attrs.get(SPEC)
            if ID not in self.study.user_attrs:
                self.study.set_user_attr(ID, secrets.token_hex(8))
            if stored is None:
                self.study.set_user_attr(SPEC, spec)
            else:
                _refuse_another(name, stored, spec)
            self.id: str = self.study.user_attrs[ID]

    def close(self) -> None:
        """Leave the database."""
        engine = getattr(self._storage, "engine", None)
        if engine is not None:
            self._storage.remove_session()
            engine.dispose()

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        return patiently(lambda: self.study.get_trials(deepcopy=False))

    def join(self) -> int:
        """The number of this process among all that ever worked on the study."""

        def count() -> int:
            with study_lock(self.url, self.name):
                number = int(self.study.user_attrs.get(WORKERS, 0))
                self.study.set_user_attr(WORKERS, number + 1)
                return number

        return patiently(count)

    def claim(self, n_trials: int) -> Claim | None:
        """A trial whose process died, or a new one; None when nothing is left to do.

        Args:
            n_trials: of the study in all; it is never exceeded, however many processes ask.
        """
        # Once more does no harm: a trial that was taken and not signed is nobody's.
        return patiently(lambda: self._claim(n_trials))

    def _claim(self, n_trials: int) -> Claim | None:
        from optuna.trial import Trial, TrialState

        with study_lock(self.url, self.name):
            trials = self.trials()
            for found in trials:
                if found.state == TrialState.RUNNING and not is_alive(found.user_attrs):
                    claim = self._sign(Trial(self.study, found._trial_id))
                    if claim is not None:
                        return claim
            if all(t.state != TrialState.WAITING for t in trials):
                if len(trials) >= n_trials:
                    return None
                point = self._new_point(trials)
                if point is None:
                    return None
                values, attributes = point
                self.study.enqueue_trial(values)
            else:  # somebody died between proposing a point and taking it
                attributes = {}
            trial = self.study.ask()
            for key, value in attributes.items():
                self.study._storage.set_trial_system_attr(trial._trial_id, key, value)
            return self._sign(trial)

    def fail(self, trial: Trial, cause: str) -> None:
        """The trial ended by an error of its own."""
        from optuna.trial import TrialState

        self.note(trial, CAUSE, cause)
        self._tell(trial, state=TrialState.FAIL)

    def prune(self, trial: Trial) -> None:
        """The trial was stopped because others do better."""
        from optuna.trial import TrialState

        self._tell(trial, state=TrialState.PRUNED)

    def complete(self, trial: Trial, values: Sequence[float]) -> None:
        """The trial came to its end."""
        self._tell(trial, values=list(values))

    def release(self, trial: Trial) -> None:
        """The process stops and leaves the trial, whole, to whoever comes next."""
        self.note(trial, RELEASED, int(trial.user_attrs.get(RELEASED, 0)) + 1)
        self.disown(trial)

    def disown(self, trial: Trial | FrozenTrial) -> None:
        """Nobody works on a running trial any more, whatever its owner's machine says."""
        number = trial._trial_id
        patiently(lambda: self.study._storage.set_trial_user_attr(number, OWNER, None))

    def note(self, trial: Trial, key: str, value: Any) -> None:
        """Keep something with a trial."""
        patiently(lambda: trial.set_user_attr(key, value))

    def _tell(self, trial: Trial, **end: Any) -> None:
        # Finished already: by this call, whose answer was lost.
        patiently(lambda: self.study.tell(trial, skip_if_finished=True, **end))

    def _sign(self, trial: Trial) -> Claim | None:
        """Take a trial; None, and the trial failed, where it killed too many processes."""
        attempts = int(trial.user_attrs.get(ATTEMPTS, 0)) + 1
        if attempts - int(trial.user_attrs.get(RELEASED, 0)) > MOST_ATTEMPTS:
            self.fail(trial, f"its process died {MOST_ATTEMPTS} times")
            return None
        point = self.space.suggest(trial)
        trial.set_user_attr(BEAT, time.time())
        trial.set_user_attr(ATTEMPTS, attempts)
        trial.set_user_attr(OWNER, myself())  # last: until then whoever asks may take it
        return Claim(trial, point, attempts)

    def _new_point(
        self, trials: Sequence[FrozenTrial]
    ) -> tuple[dict[str, Scalar], dict[str, Any]] | None:
        """A point that no trial has, and what the sampler wants to remember of it."""
        import optuna
        from optuna.samplers import RandomSampler

        taken = {identity(_point_of(trial)) for trial in trials}
        points = self.space.points()
        if not self.exhaustive:
            # Proposed in a copy: a point that is there already would else be a trial of its own.
            copy = optuna.create_study(sampler=self.study.sampler, directions=self.study.directions)
            copy.add_trials(trials)
            known = _system_attributes(self.study)
            for key, value in known.items():
                copy._storage.set_study_system_attr(copy._study_id, key, value)
            trial = self._draw(copy, taken, _DRAWS)
            if trial is None and points is None:
                # The sampler stays in a finite branch of a space that is endless elsewhere.
                copy.sampler = RandomSampler(seed=len(taken))
                trial = self._draw(copy, taken, _DRAWS_BY_CHANCE)
            if trial is not None:
                self._remember(known, _system_attributes(copy))
                attributes = copy._storage.get_trial(trial._trial_id).system_attrs
                return trial.params, dict(attributes)
        if points is None:
            raise RuntimeError("no new point was found in an endless space")
        left = [point for point in points if identity(point) not in taken]
        return (left[_place(len(taken), len(left))], {}) if left else None

    def _draw(self, copy: optuna.Study, taken: set[tuple[Any, ...]], draws: int) -> Trial | None:
        """A trial of the copy whose point nobody has, or None after so many draws."""
        from optuna.trial import TrialState

        for _ in range(draws):
            trial = copy.ask()
            if identity(self.space.suggest(trial)) not in taken:
                return trial
            copy.tell(trial, state=TrialState.FAIL)
        return None

    def _remember(self, known: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Keep what the sampler noted of the study: of QMC how far its sequence has come."""
        for key, value in now.items():
            if key not in known or known[key] != value:
                self.study._storage.set_study_system_attr(self.study._study_id, key, value)


def _system_attributes(study: optuna.Study) -> dict[str, Any]:
    return dict(study._storage.get_study_system_attrs(study._study_id))


def _point_of(trial: FrozenTrial) -> Mapping[str, Scalar]:
    """The parameters, also of a trial that was proposed and not yet begun."""
    proposed: Mapping[str, Scalar] = trial.system_attrs.get("fixed_params", {})
    return {**proposed, **trial.params}


def _place(taken: int, left: int) -> int:
    """A fixed pseudo-random place, so that an interrupted grid is no corner of the space."""
    return (taken * 0x9E3779B1 + 0x7F4A7C15) % (1 << 32) % left


def _refuse_another(name: str, stored: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    spec = json.loads(json.dumps(spec))
    if stored.get(DATA) != spec.get(DATA):
        raise UserError(
            f"sweep.name: the data have changed since the sweep '{name}' began (fingerprint "
            f"{stored.get(DATA)}, now {spec.get(DATA)}), and trials on other data cannot be "
            "compared; bring the original data back, or give another sweep.name"
        )
    differing = [key for key in {**stored, **spec} if stored.get(key) != spec.get(key)]
    if differing:
        said = "; ".join(
            f"{key}: {stored.get(key)} there, {spec.get(key)} now" for key in differing
        )
        raise UserError(
            f"sweep.name: the study '{name}' exists with other settings ({said}). Give the same "
            "command to go on with it, or another sweep.name"
        )
