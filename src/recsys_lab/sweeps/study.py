"""One study that many processes share: every trial is claimed once and counted once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recsys_lab.sweeps.agreement import refuse_another
from recsys_lab.sweeps.failures import MOST_DEATHS, describe_deaths
from recsys_lab.sweeps.heartbeat import is_alive, process_identity, sign_of_life
from recsys_lab.sweeps.proposals import copy_of, new_point
from recsys_lab.sweeps.space import Scalar, Space
from recsys_lab.sweeps.storage.attributes import (
    ATTEMPTS,
    BEAT,
    CAUSE,
    DEATHS,
    ID,
    NUMBER,
    OWNER,
    RELEASED,
    SPEC,
    WORKERS,
)
from recsys_lab.sweeps.storage.backends import open_storage, study_lock
from recsys_lab.sweeps.storage.retry import Patience

if TYPE_CHECKING:
    import optuna
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

STORAGE_PATIENCE = 600.0
MOST_ATTEMPTS = 10
"""Of a trial, besides releases and noted deaths: whoever began its processes died as well."""


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
        url: of the storage: see `recsys_lab.sweeps.storage.backends.open_storage`.
        name: of the study.
        directions: ``maximize`` or ``minimize``, one for each objective.
        space: what is searched.
        spec: everything that must be equal for two commands to share the study, for JSON.
        sampler: proposes points.
        pruner: stops bad trials.
        exhaustive: go through a finite space instead of asking the sampler.
        most_deaths: of a trial's processes, after which it has failed.
        patience: seconds that every call waits for a storage that is away.
        worker: name in the sweep of a process that goes on with the study. It waits for a storage
            that is away when it opens it, too; a new command does not: its address may be wrong.

    Attributes:
        id: like no other study's, also of this name in another storage.
        patiently: makes a call that asks the storage, again while that is away.

    Raises:
        UserError: the storage cannot be opened, or holds a study of this name with another spec.
    """

    def __init__(
        self, url: str, name: str, *, directions: Sequence[str], space: Space,
        spec: Mapping[str, Any], sampler: BaseSampler, pruner: BasePruner, exhaustive: bool = False,
        most_deaths: int = MOST_DEATHS, patience: float = STORAGE_PATIENCE,
        worker: str | None = None,
    ) -> None:  # fmt: skip
        self.url, self.name, self.worker = url, name, worker
        self.directions = list(directions)
        self.space = space
        self.exhaustive = exhaustive
        self.most_deaths = most_deaths
        self.patiently = Patience(patience)

        def opened() -> tuple[optuna.Study, str]:
            return self._open(sampler, pruner, spec)

        self.study, self.id = self.patiently(opened) if worker else opened()

    def _open(
        self, sampler: BaseSampler, pruner: BasePruner, spec: Mapping[str, Any]
    ) -> tuple[optuna.Study, str]:
        """The study and its id."""
        import optuna

        wanted: Any = self.directions
        with study_lock(self.url, self.name):
            # Under the lock, too: this makes the tables of a new database.
            self._storage = storage = open_storage(self.url)
            study = optuna.create_study(
                storage=storage, sampler=sampler, pruner=pruner, study_name=self.name,
                directions=wanted, load_if_exists=True,
            )  # fmt: skip
            stored = study.user_attrs.get(SPEC)
            if ID not in study.user_attrs:
                study.set_user_attr(ID, secrets.token_hex(8))
            if stored is None:
                study.set_user_attr(SPEC, spec)
            else:
                refuse_another(self.name, stored, spec)
            return study, str(study.user_attrs[ID])

    def close(self) -> None:
        """Leave the database."""
        from recsys_lab.sweeps.storage.optuna_internals import leave

        leave(self._storage)

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        return self.patiently(self._trials)

    def _trials(self) -> list[FrozenTrial]:
        """The same, asked once: who holds the lock does not wait, for the lock may be gone."""
        return self.study.get_trials(deepcopy=False)

    def copy(self) -> optuna.Study:
        """The study as it is now, in memory: whatever is asked of it cannot fail."""
        return copy_of(self.study, self.directions, self.trials())

    def join(self) -> int:
        """The number of this process among all that ever worked on the study."""

        def count() -> int:
            with study_lock(self.url, self.name):
                number = int(self.study.user_attrs.get(WORKERS, 0))
                self.study.set_user_attr(WORKERS, number + 1)
                return number

        return self.patiently(count)

    def claim(self, n_trials: int) -> Claim | None:
        """A trial whose process died, or a new one; None when nothing is left to do.

        Args:
            n_trials: of the study in all; it is never exceeded, however many processes ask.
        """
        # Once more does no harm: a trial that was taken and not signed is nobody's.
        return self.patiently(lambda: self._claim(n_trials))

    def _claim(self, n_trials: int) -> Claim | None:
        from optuna.trial import TrialState

        from recsys_lab.sweeps.storage.optuna_internals import keep_samplers_notes, running

        with study_lock(self.url, self.name) as assure:
            trials = self._trials()
            for found in trials:
                if found.state == TrialState.RUNNING and not is_alive(found.user_attrs):
                    claim = self._sign(running(self.study, found), assure)
                    if claim is not None:
                        return claim
            if all(t.state != TrialState.WAITING for t in trials):
                if len(trials) >= n_trials:
                    return None
                point = new_point(
                    self.study, self.directions, self.space,
                    exhaustive=self.exhaustive, trials=trials,
                )  # fmt: skip
                if point is None:
                    return None
                values, attributes = point
                assure()
                self.study.enqueue_trial(values, user_attrs={NUMBER: len(trials)})
            else:  # somebody died between proposing a point and taking it
                attributes = {}
            trial = self.study.ask()
            keep_samplers_notes(self.study, attributes, trial)
            return self._sign(trial, assure)

    def bury(self, worker: str, cause: str, *, death: bool = True) -> int | None:
        """A worker is gone: its trial is anybody's, or has failed where it killed too many.

        Args:
            worker: its name.
            cause: how its process ended, e.g. "was killed by SIGKILL".
            death: whether that counts against the trial.

        Returns:
            The number of the trial that it had not given back, or None.
        """

        def once() -> int | None:
            with study_lock(self.url, self.name):
                for trial in self._trials():
                    owner = trial.user_attrs.get(OWNER) or {}
                    if not trial.state.is_finished() and owner.get("worker") == worker:
                        self._end_of(trial, worker, cause if death else None)
                        return int(trial.number)
            return None

        return self.patiently(once)

    def _end_of(self, trial: FrozenTrial, worker: str, cause: str | None) -> None:
        if cause is not None:
            deaths = {**trial.user_attrs.get(DEATHS, {}), worker: cause}
            self._set(trial, DEATHS, deaths)
            if len(deaths) >= self.most_deaths:
                self._fail(trial, describe_deaths([*deaths.values()]))
                return
        self._set(trial, OWNER, None)

    def free(self, trial: FrozenTrial) -> None:
        """Nobody works on a trial that was seen any more, unless others took it since."""

        def once() -> None:
            with study_lock(self.url, self.name):
                now = self._trials()[trial.number]
                if now.user_attrs.get(OWNER) == trial.user_attrs.get(OWNER):
                    self._set(now, OWNER, None)

        self.patiently(once)

    def fail(self, trial: Trial, cause: str) -> None:
        """The trial ended by an error of its own."""
        self.patiently(lambda: self._fail(trial, cause))

    def prune(self, trial: Trial) -> None:
        """The trial was stopped because others do better."""
        from optuna.trial import TrialState

        self.patiently(lambda: self._tell(trial, state=TrialState.PRUNED))

    def complete(self, trial: Trial, values: Sequence[float]) -> None:
        """The trial came to its end."""
        self.patiently(lambda: self._tell(trial, values=list(values)))

    def release(self, trial: Trial) -> None:
        """The process stops and leaves the trial, whole, to whoever comes next."""
        released = int(trial.user_attrs.get(RELEASED, 0)) + 1

        def once() -> None:
            self._set(trial, RELEASED, released)
            self._set(trial, OWNER, None)

        self.patiently(once)

    def note(self, trial: Trial, key: str, value: Any) -> None:
        """Keep something with a trial."""
        from optuna.exceptions import UpdateFinishedTrialError

        with suppress(UpdateFinishedTrialError):
            self.patiently(lambda: trial.set_user_attr(key, value))

    def _fail(self, trial: Trial | FrozenTrial, cause: str) -> None:
        from optuna.trial import TrialState

        self._set(trial, CAUSE, cause)
        self._tell(trial, state=TrialState.FAIL)

    def _tell(self, trial: Trial | FrozenTrial, **end: Any) -> None:
        # Finished already: by this call, whose answer was lost, or by others who took it over.
        self.study.tell(trial.number, skip_if_finished=True, **end)

    def _set(self, trial: Trial | FrozenTrial, key: str, value: Any) -> None:
        """Keep something with a trial, which may have ended: others may have taken it over."""
        from optuna.exceptions import UpdateFinishedTrialError

        from recsys_lab.sweeps.storage.optuna_internals import set_user_attribute

        with suppress(UpdateFinishedTrialError):
            set_user_attribute(self.study, trial, key, value)

    def _sign(self, trial: Trial, assure: Callable[[], None]) -> Claim | None:
        """Take a trial; None, and the trial failed, where it killed too many processes."""
        attempts = int(trial.user_attrs.get(ATTEMPTS, 0)) + 1
        error_tail = int(trial.user_attrs.get(RELEASED, 0)) + len(trial.user_attrs.get(DEATHS, {}))
        assure()
        if attempts - error_tail > MOST_ATTEMPTS:
            self._fail(trial, f"its process died {MOST_ATTEMPTS} times")
            return None
        point = self.space.suggest(trial)
        trial.set_user_attr(BEAT, sign_of_life())
        trial.set_user_attr(ATTEMPTS, attempts)
        trial.set_user_attr(
            OWNER, process_identity(self.worker)
        )  # last: until then anybody may take it
        return Claim(trial, point, attempts)
