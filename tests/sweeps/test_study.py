"""Many processes on one study: the budget holds exactly, no point twice, the dead lose nothing."""

import os
import subprocess
import sys
from contextlib import closing

import pytest

from recsys_lab.config import UserError
from recsys_lab.sweeps import owners
from recsys_lab.sweeps.owners import is_alive, myself
from recsys_lab.sweeps.space import identity
from recsys_lab.sweeps.storage import kind_of, study_lock
from tests.postgres import PASSWORD, USER, postgres_server
from tests.sweeps.claimers import study


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    from urllib.parse import quote_plus

    with postgres_server(tmp_path_factory.mktemp("postgres")) as port:
        yield f"postgresql://{USER}:{quote_plus(PASSWORD)}@127.0.0.1:{port}/postgres"


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "postgresql":
        return request.getfixturevalue("server")
    return {"journal": f"{tmp_path}/s.journal", "sqlite": f"sqlite:///{tmp_path}/s.db"}[
        request.param
    ]


def begin(url: str, n_trials: int, death: float) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.sweeps.claimers", url, str(n_trials), str(death)]
    return subprocess.Popen(command)


def test_the_budget_holds_with_many_processes_of_which_some_die(url):
    """Three at a time; whoever was killed is begun again, as a parent does."""
    total, codes = 25, []
    processes = [begin(url, total, 0.15) for _ in range(3)]
    while processes:
        process = processes.pop(0)
        codes.append(process.wait(timeout=120))
        if codes[-1] != 0:
            processes.append(begin(url, total, 0.15))
    assert set(codes) <= {0, -9}
    with closing(study(url)) as shared:
        trials = shared.trials()
        assert [trial.state.name for trial in trials] == ["COMPLETE"] * total
        assert len({identity(trial.params) for trial in trials}) == total
        died = sum(code == -9 for code in codes)
        assert sum(trial.user_attrs["attempts"] - 1 for trial in trials) <= died
        assert shared.claim(total) is None
        assert shared.claim(total + 1) is not None


def test_a_trial_of_a_dead_process_goes_on_with_the_same_point(tmp_path, monkeypatch):
    shared = study(f"{tmp_path}/s.journal")
    first = shared.claim(5)
    second = shared.claim(5)
    assert second.trial.number == 1  # the owner of the first one lives
    monkeypatch.setattr(owners, "_began", lambda _: None)
    again = shared.claim(5)
    assert (again.trial.number, again.point, again.attempts) == (0, first.point, 2)


def test_a_trial_that_kills_its_process_every_time_is_failed(tmp_path, monkeypatch):
    shared = study(f"{tmp_path}/s.journal")
    monkeypatch.setattr(owners, "_began", lambda _: None)
    for attempt in range(1, 11):
        assert shared.claim(1).attempts == attempt
    assert shared.claim(1) is None
    [trial] = shared.trials()
    assert trial.state.name == "FAIL"
    assert trial.user_attrs["cause"] == "its process died 10 times"


def test_who_is_alive():
    mine = {"owner": myself()}
    assert is_alive(mine)
    assert not is_alive({})
    assert not is_alive({"owner": {**mine["owner"], "began": "1"}})  # the number came again
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert not is_alive({"owner": {**mine["owner"], "pid": gone.pid}})
    elsewhere = {"owner": {"machine": "another", "pid": os.getpid(), "began": "1"}, "beat": 1000.0}
    assert is_alive(elsewhere, now=1100.0)
    assert not is_alive(elsewhere, now=1200.0)


def test_a_finite_space_ends_the_search(tmp_path):
    params = {
        "x": "choice(1,2)",
        "k": "choice(a,b)",
        "z": {"when": {"k": "b"}, "space": "range(0,2)"},
    }
    for sampler in ("tpe", "grid", "qmc", "nsga2"):
        shared = study(f"{tmp_path}/{sampler}.journal", sampler, params=params)
        points = []
        while (claim := shared.claim(100)) is not None:
            points.append(identity(claim.point))
            shared.complete(claim.trial, [claim.point["x"]])
        assert len(points) == len(set(points)) == 2 * (1 + 2)


def test_a_half_written_line_of_a_killed_writer_is_dropped(tmp_path):
    url = f"{tmp_path}/s.journal"
    shared = study(url)
    shared.complete(shared.claim(3).trial, [1.0])
    with (tmp_path / "s.journal").open("a") as journal:
        journal.write('{"op_code": 4, "work')
    other = study(url)
    other.complete(other.claim(3).trial, [2.0])
    assert [trial.value for trial in study(url).trials()] == [1.0, 2.0]


def test_the_lock_goes_with_its_process(tmp_path):
    url = f"{tmp_path}/s.journal"
    code = (
        "import os, signal; from recsys_lab.sweeps.storage import study_lock\n"
        f"with study_lock({url!r}, 's'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with study_lock(url, "s"):
        pass


def test_another_search_under_the_same_name_is_refused(tmp_path):
    url = f"{tmp_path}/s.journal"
    study(url)
    with pytest.raises(
        UserError, match=r"the study 'shared' exists with other settings \(params: "
    ):
        study(url, params={"x": "choice(7,8)"})


@pytest.mark.parametrize("wrong", ["study.txt", "mongodb://host", "sqlite:", "postgresql"])
def test_storages_that_are_none(wrong):
    with pytest.raises(UserError, match=r"sweep\.storage: got '.*'; give PATH\.journal"):
        kind_of(wrong)
