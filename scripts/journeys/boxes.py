"""A sweep on GPU boxes: one is lost in the middle, another joins, and nothing is lost with it.

Here the boxes are processes on CPUs. Each runs the same command; the first is killed (SIGKILL)
while it works. Then the report, and the best config, trained again and tested.

    [SWEEP_STORAGE=postgresql://...] python -m scripts.journeys.boxes FOLDER

Without the variable, the boxes share a journal file in the folder.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from recsys_lab.sweeps.storage.backends import open_storage
from recsys_lab.sweeps.storage.optuna_internals import leave

from .steps import Run, advised, do, in_process_of_its_own, require, said, start

STORAGE = "SWEEP_STORAGE"
NAME = "boxes"
STUDY = Path("sweeps", NAME)
TRIALS = 8
SEARCH = (
    "data.num_users=200", "data.num_items=60", "recipe.max_epochs=2", "tracking=none",
    "search.params.model.hidden_dim=choice(8,16,32)",
    "search.params.recipe.learning_rate=choice(1e-3,2e-3,4e-3,8e-3)",
)  # fmt: skip
"""A space of 12 small models."""


def journey(run: Run, search: Sequence[str] = SEARCH) -> None:
    """Do everything in the current folder, with the storage of the variable `STORAGE`.

    Args:
        run: see `steps.Run`.
        search: what to search; has at least `TRIALS` points.

    Raises:
        SystemExit: a step did not give what it should, e.g. a finished trial was lost.
    """
    command = ["sweep", *search, f"sweep.name={NAME}", f"sweep.storage=env:{STORAGE}",
               "sweep.sampler=random", "sweep.pruner=none", "sweep.workers=1",
               f"sweep.n_trials={TRIALS}"]  # fmt: skip
    storage = open_storage(os.environ[STORAGE])
    text = _one_is_lost_one_ends(command, storage)
    trials = finished(storage)
    leave(storage)
    numbers = [trial.number for trial in trials]
    require(numbers == list(range(TRIALS)), f"asked for {TRIALS} trials, finished are {numbers}")
    folders = sorted(path.name for path in (STUDY / "trials").iterdir())
    require(folders == [f"{number:04d}" for number in numbers], f"folders of trials: {folders}")
    report = STUDY / "report.html"
    require(report.is_file(), f"there is no {report}")
    do(run, [*advised(text, "retrain and test the best config"), "run_dir=best"])
    values = json.loads(Path("best/run.json").read_text())
    best = max(trial.values[0] for trial in trials)
    again = values["validation"]["ndcg@10"]
    require(again == best, f"the best trial had val/ndcg@10 {best}, trained again {again}")
    require("test" in values, "the best config was not tested")
    print("The journey is at its end: every step gave what it should.")


def _one_is_lost_one_ends(command: Sequence[str], storage: BaseStorage) -> str:
    """Run the command on two boxes, kill the first; what the second says."""
    counts = [0]
    with start(command) as first:
        _watch(storage, counts, lambda: counts[-1] > 0 or first.poll() is not None)
        require(counts[-1] < TRIALS, "the first box ended the sweep before it was lost")
        with start(command) as second:
            heard: list[str] = []
            listener = threading.Thread(target=lambda: heard.append(said(second.stdout)))
            listener.start()
            first.kill()
            print(f"a box is lost after {counts[-1]} of {TRIALS} trials", flush=True)
            _watch(storage, counts, lambda: second.poll() is not None)
            listener.join()
    require(second.returncode == 0, f"the second box ended with exit status {second.returncode}")
    return heard[0]


def _watch(storage: BaseStorage, counts: list[int], is_over: Callable[[], bool]) -> None:
    """Note the number of finished trials until something is so; it never falls."""
    while not is_over():
        time.sleep(0.3)
        number = len(finished(storage))
        require(number >= counts[-1], f"{counts[-1]} trials had finished, now {number}")
        if number > counts[-1]:
            print(f"finished trials: {number}", flush=True)
            counts.append(number)


def finished(storage: BaseStorage) -> list[optuna.trial.FrozenTrial]:
    """The trials that are complete; none before the study exists."""
    if NAME not in optuna.get_all_study_names(storage):
        return []
    study = optuna.load_study(study_name=NAME, storage=storage)
    return study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    os.chdir(folder)
    os.environ.setdefault(STORAGE, "study.journal")
    journey(in_process_of_its_own)
