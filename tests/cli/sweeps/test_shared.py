"""One study seen by many: two commands at once, and Optuna's dashboard."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote_plus

import optuna
import pytest
from scripts.journeys.boxes import STORAGE, TRIALS, finished, journey

from recsys_lab.cli.main import run_command
from recsys_lab.sweeps.space import identity
from recsys_lab.sweeps.storage.backends import open_storage
from recsys_lab.sweeps.storage.optuna_internals import leave
from tests.cli.flow import COUNTS
from tests.support.postgres import PASSWORD, USER, free_port, postgres_server
from tests.sweeps.claimers import study

BASE = ["sweep", *COUNTS, "sweep.name=mine", "sweep.pruner=none", "sweep.sampler=random"]
DAYS = "search.params.model.window_days=choice(1,2,3,4,5,6,7,8,9,10,11,12)"


@pytest.mark.parametrize("storage", ["study.journal", "sqlite:///study.db"])
def test_two_commands_at_once_hold_the_budget(shop, storage):
    command = [
        sys.executable, "-m", "recsys_lab", *BASE, DAYS, "sweep.workers=1", "sweep.n_trials=12",
        f"sweep.storage={storage}",
    ]  # fmt: skip
    parents = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    said = [parent.communicate(timeout=300)[0] for parent in parents]
    assert [parent.returncode for parent in parents] == [0, 0], said
    opened = open_storage(storage)
    trials = optuna.load_study(study_name="mine", storage=opened).trials
    leave(opened)
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 12
    assert len({identity(trial.params) for trial in trials}) == 12
    folders = sorted(path.name for path in (shop / "sweeps/mine/trials").iterdir())
    assert folders == [f"{number:04d}" for number in range(12)]
    written = (shop / "sweeps/mine/configs/experiment/best.yaml").read_text()
    best = trials[int(re.search(r"Trial (\d+) of", written)[1])]
    assert best.value == max(trial.value for trial in trials)
    assert (shop / "sweeps/mine/report.html").is_file()
    workers = [json.loads(p.read_text()) for p in (shop / "sweeps/mine/workers").glob("*.json")]
    assert sum(worker["trials"] for worker in workers) == 12
    assert len(workers) == 2


@pytest.mark.usefixtures("shop")
def test_a_box_is_lost_and_another_one_ends_the_sweep(tmp_path_factory, monkeypatch, capsys):
    """The journey of ``scripts/journeys/boxes.py`` on a server, whose password is not told."""
    said: list[str] = []

    def run(arguments):
        code = run_command(list(arguments))
        said.append("".join(capsys.readouterr()))
        return code, said[-1]

    with postgres_server(tmp_path_factory.mktemp("postgres")) as port:
        url = f"postgresql://{USER}:{quote_plus(PASSWORD)}@127.0.0.1:{port}/postgres"
        monkeypatch.setenv(STORAGE, url)
        journey(run, [*COUNTS, DAYS])
        storage = open_storage(url)
        points = [identity(trial.params) for trial in finished(storage)]
        leave(storage)
    assert len(set(points)) == TRIALS
    heard = "".join(said)
    assert "a box is lost after" in heard
    assert quote_plus(PASSWORD) not in heard


def test_the_dashboard_reads_the_study(tmp_path):
    journal = tmp_path / "study.journal"
    shared = study(str(journal), "random")
    for value in (0.25, 0.5):
        shared.complete(shared.claim(2).trial, [value])
    port = free_port()
    program = Path(sys.executable).with_name("optuna-dashboard")
    server = subprocess.Popen(
        [program, "--port", str(port), str(journal)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        studies = _asked(f"http://127.0.0.1:{port}/api/studies")["study_summaries"]
        assert [found["study_name"] for found in studies] == ["shared"]
        trials = _asked(f"http://127.0.0.1:{port}/api/studies/{studies[0]['study_id']}")["trials"]
    finally:
        server.terminate()
        server.communicate(timeout=300)
    assert {trial["number"]: trial["values"] for trial in trials} == {0: [0.25], 1: [0.5]}


def _asked(url: str) -> dict:
    """What a server says as JSON, once it has started."""
    until = time.time() + 300
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except OSError:
            if time.time() > until:
                raise
            time.sleep(0.3)
