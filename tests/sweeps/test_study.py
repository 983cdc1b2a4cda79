"""Many processes on one study: the budget holds exactly, no point twice, the dead lose nothing."""

import subprocess
import sys
from collections import Counter
from contextlib import closing
from types import SimpleNamespace

import pytest

from recsys_lab.config import UserError
from recsys_lab.sweeps import heartbeat as owners
from recsys_lab.sweeps.heartbeat import is_alive, process_identity
from recsys_lab.sweeps.samplers import Qmc, Tpe
from recsys_lab.sweeps.space import identity
from recsys_lab.sweeps.storage import retry as patience
from recsys_lab.sweeps.storage.backends import StorageAway, kind_of, study_lock
from tests.support.postgres import PASSWORD, USER, free_port, postgres_server
from tests.sweeps.claimers import study
from tests.sweeps.clock import Clock


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
        codes.append(process.wait(timeout=300))
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
    mine = {"owner": process_identity()}
    assert is_alive(mine)
    assert not is_alive({})
    assert not is_alive({"owner": {**mine["owner"], "began": "1"}})  # the number came again
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert not is_alive({"owner": {**mine["owner"], "pid": gone.pid}})


def test_a_trial_that_is_left_whole_is_no_death_and_anybodys_at_once(tmp_path):
    shared = study(f"{tmp_path}/s.journal")
    for attempt in range(1, 15):
        claim = shared.claim(1)
        assert (claim.trial.number, claim.attempts) == (0, attempt)
        shared.release(claim.trial)
    assert shared.claim(1).trial.user_attrs["released"] == 14


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sequence_goes_on_over_claims_and_workers(tmp_path, workers):
    url = f"{tmp_path}/s.journal"
    params = {"x": "interval(0,1)", "y": "interval(0,1)"}
    several = [
        study(url, "qmc", seed=Qmc().worker_seed(3, number), params=params)
        for number in range(workers)
    ]
    points = []
    for place in range(70):
        shared = several[place % workers]
        claim = shared.claim(70)
        points.append(tuple(claim.point.values()))
        shared.complete(claim.trial, [0.0])
    assert len(set(points)) == 70
    # A Sobol sequence without gaps: every quarter of the square has its share of 64 points.
    boxes = Counter((x > 0.5, y > 0.5) for x, y in points[1:65])
    assert set(boxes.values()) == {16}


def test_workers_have_seeds_by_their_number_in_the_study(tmp_path):
    url = f"{tmp_path}/s.journal"
    assert [study(url).join() for _ in range(3)] == [0, 1, 2]
    assert len({Tpe().worker_seed(0, number) for number in range(3)}) == 3
    assert Tpe().worker_seed(0, 1) == Tpe().worker_seed(0, 1) != Tpe().worker_seed(1, 1)


def test_a_storage_that_is_away_for_a_moment_costs_nothing(tmp_path, monkeypatch, caplog):
    from optuna.exceptions import StorageInternalError

    clock = Clock(monkeypatch, patience)
    shared = study(f"{tmp_path}/s.journal", patience=2.5)
    away = []

    def hiccup(method):
        real = getattr(type(shared.study._storage), method)

        def call(*args, **kwargs):
            if away and away.pop() == method:
                raise StorageInternalError("the server was restarted")
            return real(shared.study._storage, *args, **kwargs)

        monkeypatch.setattr(shared.study._storage, method, call)

    hiccup("set_trial_user_attr")
    hiccup("set_trial_state_values")
    away.append("set_trial_user_attr")  # between taking the trial and signing it
    claim = shared.claim(1)
    assert claim.trial.number == 0
    away.append("set_trial_state_values")
    shared.complete(claim.trial, [1.0])
    assert [trial.state.name for trial in shared.trials()] == ["COMPLETE"]
    clock.slept.clear()
    other = shared.claim(2)
    away.extend(["set_trial_user_attr"] * 2)
    shared.note(other.trial, "a", 1)
    assert clock.slept == [1.0, 1.5]  # and it answered when 2.5 s were over
    clock.slept.clear()
    away.extend(["set_trial_user_attr"] * 3)
    with pytest.raises(StorageInternalError):
        shared.note(other.trial, "a", 2)
    assert clock.slept == [1.0, 1.5]
    assert "not answered for 1 s; retrying for 2 s: the server was restarted" in caplog.text
    with pytest.raises(ZeroDivisionError):  # an error of another kind at once
        shared.patiently(lambda: 1 / 0)


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


def test_a_sampler_that_stays_in_a_finite_branch_leaves_it_when_that_is_used_up(tmp_path):
    from optuna.samplers import RandomSampler

    class Stuck(RandomSampler):
        def sample_independent(self, study, trial, name, distribution):
            if name == "k":
                return "a"
            return super().sample_independent(study, trial, name, distribution)

    params = {"k": "choice(a,b)", "z": {"when": {"k": "b"}, "space": "interval(0,1)"}}
    shared = study(f"{tmp_path}/s.journal", params=params)
    shared.study.sampler = Stuck(seed=0)
    points = []
    for _ in range(4):
        claim = shared.claim(4)
        points.append(claim.point)
        shared.complete(claim.trial, [1.0])
    assert [point["k"] for point in points] == ["a", "b", "b", "b"]
    assert len({point["z"] for point in points[1:]}) == 3


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
        "import os, signal; from recsys_lab.sweeps.storage.backends import study_lock\n"
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


def test_another_sampler_or_pruner_is_refused_unless_an_older_version_recorded_none(tmp_path):
    url = f"{tmp_path}/s.journal"
    study(url, spec={"sampler": "tpe", "pruner": "none"})
    with pytest.raises(
        UserError, match=r"\(sampler: stored tpe, got random\)\. Use the same settings to resume it"
    ):
        study(url, spec={"sampler": "random", "pruner": "none"})
    older = f"{tmp_path}/older.journal"
    study(older, spec={"data": "abc"})
    study(older, spec={"data": "abc", "sampler": "random", "pruner": "none"})


def test_changed_data_are_no_part_of_the_same_search(tmp_path):
    url = f"{tmp_path}/s.journal"
    study(url, spec={"data": "abc"})
    study(url, spec={"data": "abc"})
    message = r"the data have changed since the sweep 'shared' began \(fingerprint abc, now xyz\)"
    with pytest.raises(UserError, match=message):
        study(url, spec={"data": "xyz"})


def test_a_server_that_does_not_answer_is_told_without_the_password():
    url = f"postgresql://shop:s3cret@127.0.0.1:{free_port()}/db"
    with pytest.raises(
        StorageAway, match=r"postgresql://shop:\*\*\*@127.*cannot be opened"
    ) as error_tail:
        study(url)
    assert "s3cret" not in str(error_tail.value)


@pytest.mark.parametrize(("answer", "said"), [(0, "held the study 's' for 600 seconds"), (1, None)])
def test_a_lock_that_mysql_does_not_give_is_none(monkeypatch, answer, said):
    import sqlalchemy

    asked = []

    class Connection:
        def execute(self, text, value):
            asked.append((str(text), value))
            return SimpleNamespace(scalar=lambda: answer)

        def close(self):
            asked.append("closed")

    engine = SimpleNamespace(connect=Connection)
    monkeypatch.setattr(sqlalchemy, "create_engine", lambda *_, **__: engine)
    lock = study_lock("mysql://me:abc@host/db", "s")
    if said:
        with pytest.raises(UserError, match=said), lock:
            pytest.fail("it went on without the lock")
    else:
        with lock:
            assert asked[0][0] == "SELECT GET_LOCK(:n, 600)"
        assert asked[1][0] == "SELECT RELEASE_LOCK(:n)"
    assert asked[-1] == "closed"


@pytest.mark.parametrize("wrong", ["study.txt", "mongodb://host", "sqlite:", "postgresql"])
def test_storages_that_are_none(wrong):
    with pytest.raises(UserError, match=r"sweep\.storage: got '.*'; give PATH\.journal"):
        kind_of(wrong)
