"""What a config of anybody may read of the environment, and paths that no file can have."""

import sqlite3
from pathlib import Path

import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError
from recsys_lab.config.environment import ALLOWED, for_workers, guarded, refuse_secret
from tests.cli.flow import COUNTS, in_shop
from tests.tracking.test_tracking import RUN, tracking

SOURCE = """# @package _global_
defaults: [{override /data: sql}]
data:
  url: sqlite:///clicks.db
  query: SELECT 1 AS user_id, 2 AS item_id, 3 AS timestamp
  query_is_ordered: true
  password_env: SHOP_SECRET
"""
PREPARE = ["prepare", "--config-dir", "conf", "experiment=theirs"]


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    monkeypatch.delenv(ALLOWED, raising=False)
    monkeypatch.setenv("SHOP_SECRET", "p4ss-of-the-shop")
    monkeypatch.setenv("SHOP_CITY", "Hull")
    with in_shop(tmp_path, monkeypatch):
        sqlite3.connect("clicks.db").close()
        yield


def experiment(text: str) -> None:
    Path("conf/experiment").mkdir(parents=True)
    Path("conf/experiment/theirs.yaml").write_text(text)


def test_a_secret_is_read_only_where_the_command_or_the_list_names_it(capsys, monkeypatch):
    experiment(SOURCE)
    assert run_command(PREPARE) == 2
    said = capsys.readouterr().err
    assert "data.password_env=SHOP_SECRET: the config reads the environment variable" in said
    assert f"export {ALLOWED}=SHOP_SECRET" in said
    assert "p4ss" not in said
    run_command([*PREPARE, "data.password_env=SHOP_SECRET"])
    assert "the config reads" not in capsys.readouterr().err
    assert run_command(PREPARE) == 2  # the command before counts no more
    assert "the config reads" in capsys.readouterr().err
    for listed in ("SHOP_SECRET", "OTHER, SHOP_*"):
        monkeypatch.setenv(ALLOWED, listed)
        run_command(PREPARE)
        assert "the config reads" not in capsys.readouterr().err


def test_so_it_is_in_interpolations(capsys):
    experiment("# @package _global_\nnotes: from ${oc.env:SHOP_CITY}\n")
    command = ["train", *COUNTS, "--config-dir", "conf", "experiment=theirs"]
    assert run_command([*command, "run_dir=one"]) == 0
    experiment_file = Path("conf/experiment/theirs.yaml")
    experiment_file.write_text(
        "# @package _global_\ntracking: {project: '${oc.env:SHOP_SECRET}'}\n"
    )
    assert run_command([*command, "run_dir=two"]) == 2
    said = capsys.readouterr().err
    assert "SHOP_SECRET" in said
    assert "p4ss" not in said


def test_what_a_command_names_its_workers_may_read(monkeypatch):
    assert for_workers() == {}
    with guarded(["data.password_env=SHOP_SECRET", "notes=SHOP_CITY"]):
        assert for_workers() == {ALLOWED: "SHOP_SECRET"}
        refuse_secret("SHOP_SECRET", "x")
    monkeypatch.setenv(ALLOWED, "SHOP_SECRET")
    with guarded([]):
        refuse_secret("SHOP_SECRET", "x")
        with pytest.raises(UserError, match="OTHER_TOKEN, which is named like a secret"):
            refuse_secret("OTHER_TOKEN", "x")


def test_credentials_of_mlflow_go_to_the_server_of_the_environment_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    theirs = "http://127.0.0.1:9"
    chosen = tracking("mlflow", mlflow_uri=theirs)
    with pytest.raises(UserError, match=f"export MLFLOW_TRACKING_URI={theirs}"):
        chosen.start(RUN, tmp_path, {})


def test_a_multirun_keeps_no_secret(capsys):
    command = ["train", *COUNTS, "--multirun", "seed=0,1", "run_dir=several"]
    token = "ghp_" + "a1B2" * 9
    assert run_command([*command, f"notes='push with {token}'"]) == 2
    assert "notes: contains a secret, which multirun.yaml would keep" in capsys.readouterr().err
    assert not Path("several").exists()
    assert run_command([*command, "notes=no token"]) == 0


LONG = "x" * 300


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", LONG],
        ["show", LONG],
        ["compare", LONG],
        ["runs", LONG],
        ["train", f"resume={LONG}"],
        ["train", "--config-dir", LONG],
        ["train", *COUNTS, f"run_dir={LONG}"],
        ["train", *COUNTS, "run_dir=loop/run"],
        ["sweep", *COUNTS, f"sweep.name={LONG}", "search.params.seed=choice(1,2)"],
    ],
    ids=lambda command: " ".join(command).replace(LONG, "LONG"),
)
def test_a_path_that_no_file_can_have_is_told(capsys, command):
    Path("loop").symlink_to("loop")
    assert run_command(command) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "File name too long" in said or "links" in said


def test_a_long_list_is_no_path(capsys):
    assert run_command(["train", *COUNTS, "run_dir=runs/one"]) == 0
    columns = ",".join(["name", *["compute.seconds"] * 20])
    assert run_command(["runs", "runs", f"columns=[{columns}]", "format=csv"]) == 0
    assert "compute.seconds" in capsys.readouterr().out


def test_runs_that_cannot_be_read_are_listed(capsys):
    Path("runs/one").mkdir(parents=True)
    Path("runs/one/run.json").touch()
    assert run_command(["runs", "runs"]) == 0
    assert "unreadable" in capsys.readouterr().out
