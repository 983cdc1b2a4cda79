"""What `runs prune` deletes, and what it never does."""

import json
from pathlib import Path

import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.cli.verbs import prune as verb
from recsys_lab.deploy.registry import Registry
from recsys_lab.runs.record import only_process
from tests.comparison.made_runs import config, results, write_run

VALUES = {"ndcg@10": results(9, 0)}
WITHOUT = {"test": None, "validation": None, "epochs": [], "data": None}
ALL = "what=[never_began,failed,interrupted]"


def run_of(folder: str, status: str, **changes) -> Path:
    return write_run(Path(folder), VALUES, status=status, **{"test": None, **changes})


@pytest.fixture
def _runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_of("runs/day/wrong", "failed", **WITHOUT)
    run_of("runs/day/stopped_early", "interrupted", **WITHOUT)
    run_of("runs/day/failed", "failed")
    run_of("runs/other/stopped", "interrupted")
    write_run(Path("runs/day/fine"), VALUES)
    run_of("runs/day/pruned", "pruned")


def left() -> set[str]:
    return {str(file.parent) for file in Path().rglob("run.json")}


@pytest.mark.usefixtures("_runs")
def test_only_what_never_began_goes_and_only_with_a_yes(capsys, monkeypatch):
    everything = left()
    assert run_command(["runs", "prune"]) == 2
    out, error = capsys.readouterr()
    assert "runs/day/wrong (failed, 0.0 MiB)\n" in out
    assert "nobody can be asked: add yes=true. Nothing was deleted" in error
    assert left() == everything
    monkeypatch.setattr(verb.sys, "stdin", type("Tty", (), {"isatty": lambda _: True})())
    for answer, goes in (("", False), ("n", False), ("y", True)):
        monkeypatch.setattr("builtins.input", lambda _, said=answer: said)
        assert run_command(["runs", "prune"]) == 0
        assert (everything - left() == {"runs/day/wrong", "runs/day/stopped_early"}) == goes
    assert run_command(["runs", "prune"]) == 0
    assert "runs: nothing to delete (never_began)" in capsys.readouterr().out


@pytest.mark.usefixtures("_runs")
def test_failed_and_interrupted_go_by_option_and_empty_folders_with_them(capsys):
    assert run_command(["runs", "prune", ALL, "older_than=1", "yes=true"]) == 0
    assert "nothing to delete" in capsys.readouterr().out
    assert run_command(["runs", "prune", "dir=runs", ALL, "yes=true"]) == 0
    assert left() == {"runs/day/fine", "runs/day/pruned"}
    assert Path("runs").is_dir()
    assert not Path("runs/other").exists()
    assert "deleted: 4 of 4" in capsys.readouterr().out


@pytest.mark.usefixtures("_runs")
def test_what_others_need_stays_with_its_reason(capsys):
    run_of("sweeps/mine/trials/0000", "failed", **WITHOUT)
    Path("sweeps/mine/study.id").write_text("x")
    run_of("runs/a/champion", "failed")
    Registry("registry").promote(Path("runs/a/champion").absolute(), {"x": 1}, against=None)
    run_of("runs/a/parent", "failed")
    write_run(Path("elsewhere/child"), VALUES)
    child = config()
    child["init_from"] = str(Path("runs/a/parent").absolute())
    write_run(Path("sweeps/other/trials/0001"), VALUES, config=child)
    run_of("runs/a/vectors", "interrupted")
    codes = {"_target_": "x.Y", "vectors": ["text", "runs/a/vectors"]}
    write_run(Path("runs/a/tiger"), VALUES, config=config(semantic_ids=codes))
    run_of("runs/a/old", "failed")
    write_run(Path("runs/a/again"), VALUES, retrain={"run": str(Path("runs/a/old").absolute())})
    run_of("runs/a/outer", "failed")
    run_of("runs/a/outer/inner", "finished")
    run_of("runs/a/working", "running")
    run_of("runs/a/damaged", "failed")
    Path("runs/a/damaged/run.json").write_text("{")
    everything = left()
    with only_process(Path("runs/a/working")):
        assert run_command(["runs", "prune", ".", ALL, "yes=true"]) == 0
    out = capsys.readouterr().out
    for kept in (
        "sweeps/mine/trials/0000 (failed): part of the sweep",
        "runs/a/champion (failed): a champion of the registry registry",
        "runs/a/parent (failed): sweeps/other/trials/0001 began from it",
        "runs/a/vectors (interrupted): runs/a/tiger began from it",
        "runs/a/old (failed): runs/a/again began from it",
        "runs/a/outer (failed): other runs are inside of it",
    ):
        assert f"kept: {kept}" in out, out
    gone = {"runs/day/wrong", "runs/day/stopped_early", "runs/day/failed", "runs/other/stopped"}
    assert everything - left() == gone
    # A killed run, whose process is gone, is an interrupted one.
    assert run_command(["runs", "prune", "dir=runs/a", ALL, "yes=true"]) == 0
    assert not Path("runs/a/working").exists()


@pytest.mark.usefixtures("_runs")
def test_a_run_that_changed_meanwhile_stays(capsys, monkeypatch):
    def agreed(_):
        record = Path("runs/day/wrong/run.json")
        values = json.loads(record.read_text())
        record.write_text(json.dumps({**values, "status": "finished"}))
        return True

    monkeypatch.setattr(verb, "_agreed", agreed)
    assert run_command(["runs", "prune"]) == 0
    assert "kept: runs/day/wrong: it has changed meanwhile" in capsys.readouterr().out
    assert "runs/day/wrong" in left()


def test_of_a_back_test_only_the_whole_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_of("runs/whole", "failed", **WITHOUT)
    run_of("runs/whole/window_0", "failed", **WITHOUT)
    assert run_command(["runs", "prune", "yes=true"]) == 0
    assert left() == set()
