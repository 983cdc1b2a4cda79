"""One study that many processes share: every trial is claimed once and counted once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recsys_lab.sweeps.agreement import refuse_another
from recsys_lab.sweeps.failures import MOST_DEATHS, budgeted, describe_deaths
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
"""Starts of a trial besides releases and recorded deaths: its processes' parents died, too."""


@dataclass(frozen=True)
class Claim:
    """A trial that this process runs.

    Attributes:
        trial: the trial.
        point: key -> value.
        attempts: how often it was started, this time included.
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
        space: of the search.
        spec: settings that must be equal for two commands to share the study; JSON-serialisable.
        sampler: proposes points.
        pruner: stops bad trials.
        exhaustive: try every point of a finite space instead of asking the sampler.
        most_deaths: number of crashes after which a trial has failed.
        patience: seconds that every call waits for a storage that does not answer.
        worker: name of this process, if it is a worker. A worker also waits for the storage when
            it opens the study; a new command does not, as its URL may be wrong.

    Attributes:
        id: unique among all studies, also in other storages.
        patiently: makes a call to the storage, and repeats it while the storage does not answer.

    Raises:
        UserError: the storage cannot be opened, or has a study of this name with another spec.
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
        """Close the connections to the storage."""
        from recsys_lab.sweeps.storage.optuna_internals import leave

        leave(self._storage)

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        return self.patiently(self._trials)

    def _trials(self) -> list[FrozenTrial]:
        """All trials, without retries: the lock may be lost while its holder waits."""
        return self.study.get_trials(deepcopy=False)

    def copy(self) -> optuna.Study:
        """A copy of the study in memory, which needs no storage."""
        return copy_of(self.study, self.directions, self.trials())

    def join(self) -> int:
        """Count this process, and return its number among all processes of the study."""

        def count() -> int:
            with study_lock(self.url, self.name):
                number = int(self.study.user_attrs.get(WORKERS, 0))
                self.study.set_user_attr(WORKERS, number + 1)
                return number

        return self.patiently(count)

    def claim(self, n_trials: int) -> Claim | None:
        """A trial whose process died, or a new one; None when nothing is left to do.

        Args:
            n_trials: of the study, never exceeded, however many processes claim trials.
        """
        # Safe to repeat: a trial that was claimed but has no owner yet can be claimed again.
        return self.patiently(lambda: self._claim(n_trials))

    def _claim(self, n_trials: int) -> Claim | None:
        from optuna.trial import TrialState

        from recsys_lab.sweeps.storage.optuna_internals import keep_samplers_notes, running

        with study_lock(self.url, self.name) as assure:
            trials = self._trials()
            for old in trials:
                if old.state == TrialState.RUNNING and not is_alive(old.user_attrs):
                    claim = self._sign(running(self.study, old), assure)
                    if claim is not None:
                        return claim
            if all(t.state != TrialState.WAITING for t in trials):
                if len(budgeted(trials)) >= n_trials:
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
            else:  # a process died between proposing a point and claiming it
                attributes = {}
            trial = self.study.ask()
            keep_samplers_notes(self.study, attributes, trial)
            return self._sign(trial, assure)

    def bury(self, worker: str, cause: str, *, death: bool = True) -> int | None:
        """Free the trial of a dead worker; it fails once its processes have died too often.

        Args:
            worker: its name.
            cause: how its process ended, e.g. "was killed by SIGKILL".
            death: whether that counts against the trial.

        Returns:
            The number of the trial that the worker had not released, or None.
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
        """Let other processes claim a trial, unless its owner has changed since it was read."""

        def once() -> None:
            with study_lock(self.url, self.name):
                now = self._trials()[trial.number]
                if now.user_attrs.get(OWNER) == trial.user_attrs.get(OWNER):
                    self._set(now, OWNER, None)

        self.patiently(once)

    def fail(self, trial: Trial, cause: str) -> None:
        """End a trial as failed."""
        self.patiently(lambda: self._fail(trial, cause))

    def prune(self, trial: Trial) -> None:
        """End a trial as pruned."""
        from optuna.trial import TrialState

        self.patiently(lambda: self._tell(trial, state=TrialState.PRUNED))

    def complete(self, trial: Trial, values: Sequence[float]) -> None:
        """End a trial with its values, one for each objective."""
        self.patiently(lambda: self._tell(trial, values=list(values)))

    def release(self, trial: Trial) -> None:
        """Give a trial back unfinished, so that another process can resume it."""
        released = int(trial.user_attrs.get(RELEASED, 0)) + 1

        def once() -> None:
            self._set(trial, RELEASED, released)
            self._set(trial, OWNER, None)

        self.patiently(once)

    def note(self, trial: Trial, key: str, value: Any) -> None:
        """Store an attribute of a trial."""
        from optuna.exceptions import UpdateFinishedTrialError

        with suppress(UpdateFinishedTrialError):
            self.patiently(lambda: trial.set_user_attr(key, value))

    def _fail(self, trial: Trial | FrozenTrial, cause: str) -> None:
        from optuna.trial import TrialState

        self._set(trial, CAUSE, cause)
        self._tell(trial, state=TrialState.FAIL)

    def _tell(self, trial: Trial | FrozenTrial, **end: Any) -> None:
        # It may have ended: by this call, whose answer was lost, or by a process that resumed it.
        self.study.tell(trial.number, skip_if_finished=True, **end)

    def _set(self, trial: Trial | FrozenTrial, key: str, value: Any) -> None:
        """Store an attribute of a trial; ignored if another process has ended the trial."""
        from optuna.exceptions import UpdateFinishedTrialError

        from recsys_lab.sweeps.storage.optuna_internals import set_user_attribute

        with suppress(UpdateFinishedTrialError):
            set_user_attribute(self.study, trial, key, value)

    def _sign(self, trial: Trial, assure: Callable[[], None]) -> Claim | None:
        """Own a trial; None, and the trial fails, if its processes have died too often."""
        attempts = int(trial.user_attrs.get(ATTEMPTS, 0)) + 1
        explained = int(trial.user_attrs.get(RELEASED, 0)) + len(trial.user_attrs.get(DEATHS, {}))
        assure()
        if attempts - explained > MOST_ATTEMPTS:
            self._fail(trial, f"its process died {MOST_ATTEMPTS} times")
            return None
        point = self.space.suggest(trial)
        trial.set_user_attr(BEAT, sign_of_life())
        trial.set_user_attr(ATTEMPTS, attempts)
        # Last: until then any process may claim it.
        trial.set_user_attr(OWNER, process_identity(self.worker))
        return Claim(trial, point, attempts)
