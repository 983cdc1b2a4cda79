"""What a sweep shows while it runs."""

import io
import json
from types import SimpleNamespace

from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from rich.console import Console

from recsys_lab.runs.record import RunRecord
from recsys_lab.sweeps.progress.status import status_line, status_table

WIDTH, RATE = "model.hidden_dim", "recipe.learning_rate"
SPACE = {WIDTH: IntDistribution(1, 99), RATE: FloatDistribution(1e-9, 1)}


def trial(number, width, value=None, **attributes):
    state = TrialState.RUNNING if value is None else TrialState.COMPLETE
    made = create_trial(
        state=state, value=value, params={WIDTH: width, RATE: 0.00304}, distributions=SPACE,
        user_attrs=attributes,
    )  # fmt: skip
    made.number = number
    return made


def plan(folder, **options):
    options = {"n_trials": 6, "timeout": None, "objectives": ["val/ndcg@10"], **options}
    return SimpleNamespace(
        options=options,
        sweep=SimpleNamespace(directions=["maximize"]),
        trial_folder=lambda number, _: folder / str(number),
    )


def state(doing, trials=0):
    times = {"now": 100.0, "began": 0.0, "since": 90.0, "busy": 80.0}
    return {"device": "cpu", "doing": doing, "trials": trials, **times}


def text(shown, width=120):
    console = Console(file=io.StringIO(), width=width)
    console.print(shown)
    return console.file.getvalue()


def test_the_line_names_the_metric_the_best_trial_and_the_time_left(tmp_path):
    trials = [trial(0, 8, 0.1), trial(1, 16, 0.25), trial(2, 32)]
    assert status_line(plan(tmp_path), trials, [state("trial 2", trials=2)], 90) == (
        "2 complete, 1 running of 6; best val/ndcg@10 0.2500 (trial 1); 1.5 min so far, about "
        "3 min left"
    )
    limited = plan(tmp_path, timeout=100)
    assert status_line(limited, trials, [state("trial 2", trials=2)], 90).endswith("10 s left")
    assert status_line(plan(tmp_path), [], [], 3) == "0 complete of 6; 3 s so far"
    ended = [trial(number, number + 1, 0.1) for number in range(6)]
    assert status_line(plan(tmp_path), ended, [state("-", 6)], 9).endswith("; 9 s so far")


def test_a_failed_trial_that_ran_again_is_counted_once(tmp_path):
    failed = trial(0, 8)
    failed.state = TrialState.FAIL
    assert status_line(plan(tmp_path), [failed], [], 3).startswith("0 complete, 1 failed of 6")
    again = [failed, trial(1, 8, 0.1, retry_of=0)]
    assert status_line(plan(tmp_path), again, [], 3).startswith("1 complete of 6; best")


def test_the_table_has_each_trials_epoch_metric_and_parameters(tmp_path):
    record = RunRecord.create(
        tmp_path / "3", name="mine 3", config={"seed": 0, "recipe": {"max_epochs": 20}}
    )
    record.note_epochs([{"epoch": n, "val/ndcg@10": 0.1 * n} for n in range(3)], 1.0)
    record.note_epochs([*record.values["epochs"], {"epoch": 3, "train/loss": 1.0}], 2.0)
    trials = [trial(0, 8, 0.1), trial(1, 16, 0.25), trial(2, 4, 0.2), trial(3, 32), trial(4, 64)]
    workers = [state("trial 3", trials=3), state("looking for a trial")]
    shown = text(status_table(plan(tmp_path), trials, workers, 30))
    rows = [line.split() for line in shown.splitlines()]
    [of_3] = [row for row in rows if f"{WIDTH}=32," in row]
    assert " ".join(of_3).startswith("0 cpu 10% 3 4 of 20 0.2000 model.hidden")
    [of_4] = [row for row in rows if f"{WIDTH}=64," in row]
    assert "elsewhere" in of_4  # another command's, which shares the study
    assert any("looking" in row for row in rows)
    assert "val/ndcg@10" in shown
    assert f"▁██ trial 1: {WIDTH}=16, {RATE}=0.00304" in shown
    for width in (80, 70, 60, 40, 32):  # no word is broken: others give way, then each is a line
        narrow = text(status_table(plan(tmp_path), trials, workers, 30), width)
        assert max(map(len, narrow.splitlines())) <= width
        words = {"0.2000", f"{WIDTH}=32,", f"{WIDTH}=64,", f"{RATE}=0.00304", "looking"}
        assert words <= {*narrow.split()}
        assert "4 of 20" in narrow
    assert "  epoch: 4 of 20\n  val/ndcg@10: 0.2000\n  values: model.hidden_dim=32,\n" in narrow


def test_a_record_that_is_not_there_yet_costs_no_row(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0/run.json").write_text(json.dumps({})[:1])
    shown = text(status_table(plan(tmp_path), [trial(0, 8)], [state("trial 0")], 1))
    assert f"{WIDTH}=8" in shown
