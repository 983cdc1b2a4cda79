"""All uses of Optuna's private interface.

Written for Optuna 5.0; a test fails for another version, as a reminder to check this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.storages.journal._storage import JournalOperation, JournalStorageReplayResult
from optuna.trial import FrozenTrial, Trial

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.study._frozen import FrozenStudy

CREATE_TRIAL = JournalOperation.CREATE_TRIAL


def running(study: Study, trial: FrozenTrial) -> Trial:
    """A running trial, to be resumed."""
    return Trial(study, trial._trial_id)


def set_user_attribute(study: Study, trial: Trial | FrozenTrial, key: str, value: Any) -> None:
    """Store an attribute of a trial; Optuna refuses it for a trial that has ended."""
    study._storage.set_trial_user_attr(trial._trial_id, key, value)


def samplers_notes(study: Study, trial: Trial | None = None) -> dict[str, Any]:
    """The sampler's attributes of a study, or of one of its trials."""
    if trial is not None:
        return dict(study._storage.get_trial(trial._trial_id).system_attrs)
    return dict(study._storage.get_study_system_attrs(study._study_id))


def keep_samplers_notes(study: Study, notes: Mapping[str, Any], trial: Trial | None = None) -> None:
    """Store a sampler's attributes with a study, or with one of its trials."""
    for key, value in notes.items():
        if trial is not None:
            study._storage.set_trial_system_attr(trial._trial_id, key, value)
        else:
            study._storage.set_study_system_attr(study._study_id, key, value)


def leave(storage: BaseStorage) -> None:
    """Close the connections to a database."""
    engine = getattr(storage, "engine", None)
    if engine is not None:
        storage.remove_session()
        engine.dispose()


class Replay:
    """The studies and trials that the lines of a journal give so far."""

    def __init__(self) -> None:
        self._result = JournalStorageReplayResult("salvage")

    def apply(self, log: Mapping[str, Any]) -> None:
        """Apply one more line; raises many kinds of error if it does not fit those before."""
        self._result.apply_logs([dict(log)])

    def studies(self) -> Sequence[FrozenStudy]:
        """All studies, with their attributes."""
        return self._result.get_all_studies()

    def trials(self) -> Mapping[int, Sequence[int]]:
        """The trials of each study, by their ids."""
        return self._result._study_id_to_trial_ids

    def count(self) -> int:
        """Number of all trials, which is the id of the next one."""
        return len(self._result._trials)
