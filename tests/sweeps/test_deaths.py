"""Processes that end in the middle of a trial: counted exactly, told, never taken for others'."""

import subprocess

import pytest

from recsys_lab.sweeps.failures import describe_deaths, describe_exit
from recsys_lab.sweeps.heartbeat import process_identity
from tests.sweeps.claimers import study


def claimed(url: str, worker: str, n_trials: int = 2):
    """A trial that a worker has taken, whose process is gone while its parent lives."""
    shared = study(url, worker=worker)
    claim = shared.claim(n_trials)
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    me = process_identity(worker)
    owner = {**me, "pid": gone.pid, "parent": {"pid": me["pid"], "began": me["began"]}}
    claim.trial.set_user_attr("owner", owner)
    return claim


def test_a_trial_has_failed_after_so_many_deaths_and_says_how(tmp_path):
    url = f"{tmp_path}/s.journal"
    parent = study(url)
    for life in range(3):
        claim = claimed(url, f"w{life}")
        assert claim.trial.number == 0
        # Until the parent has said how the process ended, nobody takes the trial.
        assert study(url).claim(1) is None
        assert parent.bury("another", "was killed by SIGKILL") is None
        assert parent.bury(f"w{life}", "was killed by SIGKILL") == 0
        assert parent.bury(f"w{life}", "was killed by SIGKILL") is None  # the answer was lost
    [trial] = parent.trials()
    assert trial.state.name == "FAIL"
    said = "its process was killed by SIGKILL 3 times; out of memory?"
    assert trial.user_attrs["cause"] == said
    assert parent.claim(1) is None
    assert parent.claim(2).trial.number == 1


def test_a_stop_is_no_death(tmp_path):
    url = f"{tmp_path}/s.journal"
    parent = study(url, most_deaths=1)
    claimed(url, "w0")
    assert parent.bury("w0", "ended with exit code 130", death=False) == 0
    again = parent.claim(1)
    assert (again.trial.number, again.attempts) == (0, 2)
    assert "deaths" not in again.trial.user_attrs


def test_a_trial_that_others_took_is_not_freed(tmp_path):
    url = f"{tmp_path}/s.journal"
    claim = claimed(url, "w0")
    parent = study(url)
    [before] = parent.trials()
    claim.trial.set_user_attr("owner", process_identity("w1"))
    parent.free(before)
    [now] = parent.trials()
    assert now.user_attrs["owner"]["worker"] == "w1"
    parent.free(now)
    assert parent.trials()[0].user_attrs["owner"] is None


def test_the_end_of_a_trial_that_others_finished_changes_nothing(tmp_path):
    url = f"{tmp_path}/s.journal"
    mine = study(url)
    claim = mine.claim(1)
    study(url).complete(claim.trial, [1.0])
    mine.note(claim.trial, "a", 1)
    mine.fail(claim.trial, "out of memory")
    [trial] = mine.trials()
    assert (trial.state.name, trial.value) == ("COMPLETE", 1.0)


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ([-11], "its process was killed by SIGSEGV"),
        ([7, 7], "its process ended with exit code 7 2 times"),
        ([-9, 1], "its process died 2 times: it was killed by SIGKILL; ended with exit code 1; "
         "out of memory?"),
        ([-63], "its process was killed by signal 63"),
    ],
)  # fmt: skip
def test_how_processes_ended(codes, said):
    assert describe_deaths([describe_exit(code) for code in codes]) == said
    assert describe_exit(1, "ValueError: x") == "ended with exit code 1 (ValueError: x)"
