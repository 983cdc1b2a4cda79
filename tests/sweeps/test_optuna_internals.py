"""What is used of Optuna beyond its documented interface, on the version that it was read of."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

import recsys_lab.sweeps
from recsys_lab.sweeps.storage.optuna_internals import (
    CREATE_TRIAL,
    Replay,
    keep_samplers_notes,
    running,
    samplers_notes,
    set_user_attribute,
)


def test_the_version():
    """Raised on purpose: whoever raises Optuna reads `optuna_internals` beside its new source."""
    assert optuna.__version__.split(".")[:2] == ["5", "0"]


def test_nothing_else_uses_them():
    private = re.compile(r"\._(storage|study_id|trial_id|storages?)\b|optuna\S*\._")
    files = Path(recsys_lab.sweeps.__file__).parent.rglob("*.py")
    users = {
        f.name for f in files if re.search(private, f.read_text().replace("self._storage", ""))
    }
    assert users == {"optuna_internals.py"}


def test_notes_attributes_and_a_trial_that_was_begun():
    study = optuna.create_study()
    keep_samplers_notes(study, {"seen": 3})
    assert samplers_notes(study) == {"seen": 3}
    trial = study.ask()
    keep_samplers_notes(study, {"place": 1}, trial)
    assert samplers_notes(study, trial) == {"place": 1}
    set_user_attribute(study, trial, "owner", "me")
    again = running(study, study.get_trials()[0])
    assert (again.number, again.user_attrs) == (0, {"owner": "me"})
    study.tell(again, 1.0)
    assert study.trials[0].state == TrialState.COMPLETE


def test_a_journal_is_replayed_line_by_line():
    replay = Replay()
    assert (list(replay.studies()), replay.count()) == ([], 0)
    replay.apply({"op_code": 0, "worker_id": "w", "study_name": "s", "directions": [1]})
    replay.apply(
        {"op_code": CREATE_TRIAL, "worker_id": "w", "study_id": 0,
         "datetime_start": "2026-01-01T00:00:00.000000"}
    )  # fmt: skip
    assert [study.study_name for study in replay.studies()] == ["s"]
    assert {study: list(trials) for study, trials in replay.trials().items()} == {0: [0]}
    assert replay.count() == 1
    with pytest.raises(LookupError):
        replay.apply({"op_code": CREATE_TRIAL})
