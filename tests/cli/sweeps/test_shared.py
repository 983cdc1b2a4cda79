"""One study seen by many: two commands at once, and Optuna's dashboard."""

import json
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote_plus

import optuna
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.sweeps.space import identity
from recsys_lab.sweeps.storage.backends import open_storage
from tests.cli.flow import COUNTS, record
from tests.support.postgres import PASSWORD, USER, free_port, postgres_server
from tests.sweeps.claimers import study

BASE = ["sweep", *COUNTS, "sweep.name=mine", "sweep.pruner=none", "sweep.sampler=random"]
DAYS = "search.params.model.window_days=choice(1,2,3,4,5,6,7,8,9,10,11,12)"


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def storage(request, tmp_path_factory):
    if request.param != "postgresql":
        yield {"journal": "study.journal", "sqlite": "sqlite:///study.db"}[request.param]
        return
    with postgres_server(tmp_path_factory.mktemp("postgres")) as port:
        yield f"postgresql://{USER}:{quote_plus(PASSWORD)}@127.0.0.1:{port}/postgres"


def test_two_commands_at_once_hold_the_budget(shop, storage, monkeypatch):
    """On the server, as on boxes: one box is lost, the other one ends the sweep alone."""
    loses_one = storage.startswith("postgresql")
    monkeypatch.setenv("SWEEP_STORAGE", storage)
    command = [
        sys.executable, "-m", "recsys_lab", *BASE, DAYS, "sweep.workers=1", "sweep.n_trials=12",
        "sweep.storage=env:SWEEP_STORAGE",
    ]  # fmt: skip
    parents = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    if loses_one:
        while not any((shop / "sweeps/mine/trials").glob("*")):
            assert parents[0].poll() is None
            time.sleep(0.05)
        parents[0].kill()
    said = [parent.communicate(timeout=300)[0] for parent in parents]
    assert [parent.returncode for parent in parents] == [-9 if loses_one else 0, 0], said
    assert quote_plus(PASSWORD) not in "".join(said)
    opened = open_storage(storage)
    trials = optuna.load_study(study_name="mine", storage=opened).trials
    if hasattr(opened, "engine"):
        opened.remove_session()
        opened.engine.dispose()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 12
    assert len({identity(trial.params) for trial in trials}) == 12
    folders = sorted(path.name for path in (shop / "sweeps/mine/trials").iterdir())
    assert folders == [f"{number:04d}" for number in range(12)]
    written = (shop / "sweeps/mine/configs/experiment/best.yaml").read_text()
    best = trials[int(re.search(r"Trial (\d+) of", written)[1])]
    assert best.value == max(trial.value for trial in trials)
    assert (shop / "sweeps/mine/report.html").is_file()
    if loses_one:
        [advised] = re.findall(r"train and test the best config: recsys-lab (.*)", said[1])
        assert run_command([*shlex.split(advised), "run_dir=again"]) == 0
        assert record("again")["validation"]["ndcg@10"] == best.value
        assert "test" in record("again")
        return
    workers = [json.loads(p.read_text()) for p in (shop / "sweeps/mine/workers").glob("*.json")]
    assert sum(worker["trials"] for worker in workers) == 12
    assert len(workers) == 2


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
