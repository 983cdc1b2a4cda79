"""The list of runs at any width: whole cells, short references that work, columns that differ."""

import io
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from recsys_lab.cli.main import run_command
from recsys_lab.cli.verbs import runs as verb
from recsys_lab.pages.terminal import Terminal
from recsys_lab.runs.listing import list_runs
from recsys_lab.runs.record import RunRecord
from recsys_lab.runs.references import references, resolved
from recsys_lab.runs.run_table import differing, run_table
from tests.comparison.made_runs import config, results, write_run

DAY = "runs/2026-11-23"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Three runs of SASRec, one of another model, two jobs of a multirun, one that never began."""
    monkeypatch.chdir(tmp_path)
    made = {
        f"{DAY}/130450-123456-sasrec-synthetic_shop": config(model__num_layers=1),
        f"{DAY}/130450-654321-sasrec-synthetic_shop": config(recipe__learning_rate=0.0003),
        f"{DAY}/140450-123456-sasrec-synthetic_shop": config(recipe__learning_rate=0.01, seed=1),
        f"{DAY}/150450-123456-popularity-synthetic_shop": config("Popularity"),
        f"{DAY}/160450-123456-sasrec-synthetic_shop/1": config(seed=1),
        f"{DAY}/160450-123456-sasrec-synthetic_shop/10": config(seed=2),
    }
    for number, (folder, cfg) in enumerate(made.items()):
        write_run(tmp_path / folder, {"ndcg@10": results(40, number)}, config=cfg)
    write_run(tmp_path / DAY / "170000-1-wrong", {"ndcg@10": results(40, 0)}, status="failed",
              test=None, validation=None, data=None, epochs=[],
              failure={"type": "UserError", "message": "a typo"})  # fmt: skip
    return [*made]


def listed(capsys, monkeypatch, width: int, *arguments: str) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    assert run_command(["runs", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("runs")
def test_trials_that_never_began_are_not_said_to_be_deleted_by_prune(capsys, monkeypatch):
    Path("runs/plan.json").touch()  # of a sweep, whose trials `prune` keeps
    said = " ".join(listed(capsys, monkeypatch, 200, "."))
    assert "1 run never began and is left out: all=true lists" in said
    assert "prune" not in said


@pytest.mark.parametrize("width", [30, 60, 80, 100, 200])
def test_no_cell_is_broken_at_any_width(runs, capsys, monkeypatch, width):
    lines = listed(capsys, monkeypatch, width)
    rule = next(number for number, line in enumerate(lines) if "──" in line)
    rows = [line.split() for line in lines[rule + 1 :] if line.strip()][: len(runs)]
    assert len(lines[rule]) <= width
    values = {f"{row['test/ndcg@10']:.4f}" for row in list_runs(Path("runs")) if row["main"]}
    assert {row[-1] for row in rows} <= values
    assert "1 run never began and is left out: all=true lists, recsys-lab runs prune deletes" in (
        " ".join(lines)
    )
    if width >= 80:
        heads = " ".join(lines[rule - 2 : rule])
        assert "learning_rate" in heads
        assert "num_layers" in heads
        assert any("0.0003" in row for row in rows)
    # What the first column says can be pasted.
    found = {str(resolved("run", row[0])) for row in rows}
    assert found == set(runs)


def test_columns_that_do_not_fit_become_lines(runs, capsys, monkeypatch):
    lines = listed(capsys, monkeypatch, 60, "columns=[folder,seed,test/ndcg@10]", "limit=1")
    assert lines[1].startswith("folder: 2026-11-23/1")
    assert lines[1].removeprefix("folder: ") in {run.removeprefix("runs/") for run in runs}
    assert lines[2] == "  seed: 2"


def test_runs_that_never_began_are_shown_where_wanted(runs, capsys, monkeypatch):
    assert len(json.loads("\n".join(listed(capsys, monkeypatch, 80, "format=json")))) == len(runs)
    [head, row] = listed(capsys, monkeypatch, 80, "columns=[run,seed]", "limit=1", "format=csv")
    assert (head, row) == ("run,seed", "160450-1/10,2")
    assert "left out" not in " ".join(listed(capsys, monkeypatch, 80, "where=model=popularity"))
    lines = listed(capsys, monkeypatch, 200, "all=true")
    assert any("170000-1-wrong failed: UserError: a typo" in line for line in lines) or any(
        "170000-1 failed: UserError: a typo" in line for line in lines
    )


def test_verbs_take_the_references_and_say_what_they_mean(runs, capsys):
    assert run_command(["show", "150450-1"]) == 0
    out, error = capsys.readouterr()
    assert f"run: {runs[3]}" in out
    assert f"150450-1: {runs[3]}" in error
    assert run_command(["show", "160450-1/1"]) == 0
    assert f"run: {runs[4]}\n" in capsys.readouterr().out
    assert run_command(["show", "1304"]) == 2
    said = capsys.readouterr().err
    assert f"run: 1304 means 2 runs: {runs[0]}, {runs[1]}; give more of it" in said
    assert run_command(["compare", "140450-1", "150450-1", "baseline=none"]) == 0
    assert run_command(["train", "resume=130450-6", "seed=1"]) == 2
    said = capsys.readouterr().err
    assert f"130450-6: {runs[1]}" in said  # and then what resume refuses
    Path("sweeps/130450-6").mkdir(parents=True)  # the name of a sweep, for compare
    assert run_command(["compare", "130450-6"]) == 2
    assert "contains no run" in capsys.readouterr().err
    assert run_command(["show", "nothing"]) == 2
    assert "not a run" in capsys.readouterr().err


def test_references_of_other_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "first/sasrec", {"ndcg@10": results(9, 0)})
    write_run(tmp_path / "first/popularity", {"ndcg@10": results(9, 0)})
    assert references("first", ["sasrec", "popularity"]) == ["first/sasrec", "first/popularity"]
    assert resolved("run", "first/sas") == Path("first/sasrec")
    assert resolved("run", "first/sasrec") is None  # a path
    assert references(".", ["first/sasrec"]) == ["./sasrec"]
    assert resolved("run", "./sasrec") == Path("first/sasrec")
    assert references("first/sasrec", ["."]) == ["first/sasrec"]
    assert resolved("run", str(tmp_path / "first/pop")) == tmp_path / "first/popularity"
    assert resolved("run", "pop") is None  # there is no folder runs


@pytest.mark.usefixtures("runs")
def test_keys_of_another_model_do_not_differ():
    rows = [row for row in list_runs(Path("runs")) if not row["never_began"]]
    assert differing(rows) == ["model.num_layers", "recipe.learning_rate"]
    assert differing(rows[3:4]) == []
    rows[0]["settings"]["loss._target_"] = "recsys_lab.losses.bce.BCELoss"
    assert differing(rows) == ["model.num_layers", "loss", "recipe.learning_rate"]


def test_a_list_that_is_watched_reads_only_what_changed(tmp_path, monkeypatch):
    """A run in training is read each time: it may be killed."""
    for number in range(3):
        write_run(tmp_path / str(number), {"ndcg@10": results(9, 0)})
    cfg = {**config(), "recipe": {"monitor": "val/ndcg@10", "max_epochs": 20}}
    record = RunRecord.create(tmp_path / "new", name="new", config=cfg)
    record.note_epochs([{"epoch": 0, "val/ndcg@10": 0.1}], 1.0)
    known, loaded = {}, []
    load = RunRecord.load
    monkeypatch.setattr(
        RunRecord, "load", lambda folder: loaded.append(folder.name) or load(folder)
    )
    first = list_runs(tmp_path, known)
    assert list_runs(tmp_path, known) == first
    assert loaded == ["0", "1", "2", "new", "new"]
    assert first[-1]["epoch"] == "1/20"
    time.sleep(0.01)
    record.note_epochs([*record.values["epochs"], {"epoch": 1}], 2.0)
    assert list_runs(tmp_path, known)[-1]["epoch"] == "2/20"
    console = Console(width=80, file=io.StringIO())
    for part in run_table(list_runs(tmp_path, known), None, "x", console):
        console.print(part)
    assert "2/20" in console.file.getvalue()


@pytest.mark.usefixtures("runs")
def test_watch_shows_the_table_again_until_it_is_interrupted(monkeypatch):
    file, looks = io.StringIO(), []
    terminal = Terminal(file=file, width=80, height=40, force_terminal=True, legacy_windows=False)
    monkeypatch.setattr(verb, "Terminal", lambda: terminal)
    monkeypatch.setattr(verb.sys, "stdout", SimpleNamespace(isatty=lambda: True, flush=int))

    def sleep(_):
        looks.append(file.getvalue())
        if len(looks) == 2:
            raise KeyboardInterrupt
        new = Path(DAY, "180000-123456-bert4rec-shop")
        write_run(new, {"ndcg@10": results(40, 0)}, config=config("BERT4Rec"))

    monkeypatch.setattr(verb.time, "sleep", sleep)
    assert run_command(["runs", "--watch"]) == 0
    assert ("BERT4Rec" in looks[0], "BERT4Rec" in looks[1]) == (False, True)
    assert "7 of 8 runs" in looks[1]


@pytest.mark.usefixtures("runs")
def test_watch_without_a_terminal_is_refused(capsys):
    assert run_command(["runs", "--watch"]) == 2
    assert "watch: shows the table in a terminal until Ctrl-C" in capsys.readouterr().err
