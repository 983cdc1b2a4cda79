"""``train`` in several processes: the model, record and files of one, whatever their number."""

import os
import signal
import threading
from pathlib import Path

import pytest
import torch

from recsys_lab.cli import processes
from recsys_lab.cli.main import run_command
from tests.cli.flow import SMALL, in_shop, record, until
from tests.cli.together import STOPS, largest_difference, together

BASE = ["train", *SMALL, "tracking=csv", "evaluation.beyond_accuracy=[coverage]"]
STEPS = ["recipe.max_epochs=9", "recipe.max_steps=12", "recipe.validate_every_epochs=2"]
NEGATIVES = ["loss=gbce", "loss.sampling=mixed", "loss.num_negatives=8"]
EQUAL = {
    # Groups of four batches, of which the last has one batch of four histories.
    "softmax": ["recipe.batch_size=7", "recipe.accumulate_grad_batches=4", "recipe.crop=random"],
    "negatives": NEGATIVES,
    # 60 histories: the last batch has one, and a process has none of its own.
    "cloze": ["model=bert4rec", "model.attention_dropout=0", "recipe.batch_size=59"],
}
DROPOUT = [*BASE, "recipe.batch_size=4", "model.dropout=0.3", *NEGATIVES]


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory):
    """Each run in one process and in two; ``whole`` is also stopped and continued."""
    with pytest.MonkeyPatch.context() as patch, in_shop(tmp_path_factory.mktemp("t"), patch):
        root = str(Path(__file__).parents[2])
        patch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
        equal = {
            name: [*BASE, *STEPS, "model.dropout=0", *more, f"run_dir={name}"]
            for name, more in EQUAL.items()
        }
        for command in [*equal.values(), [*DROPOUT, "run_dir=alone"]]:
            assert run_command([*command[:-1], f"{command[-1]}_1"]) == 0
        codes = together(
            2,
            [
                *([*command[:-1], f"{command[-1]}_2"] for command in equal.values()),
                [*DROPOUT, "run_dir=whole"],
                [f"{STOPS}20", *DROPOUT, "run_dir=stopped"],  # the fifth step of an epoch
                ["train", "resume=stopped"],
                ["train", "resume=alone_1", "recipe.max_epochs=4"],
                ["train", "model=popularity", "data=table", "data.path=log.csv"],
            ],
        )
        yield codes


def test_all_end_together_and_the_first_one_tells(runs):
    assert runs[0] == [0, 0, 0, 0, 130, 0, 0, 2]
    assert runs[1] == runs[0]


@pytest.mark.parametrize("name", EQUAL)
def test_the_model_and_its_metrics_are_those_of_one_process(name):
    assert largest_difference(f"{name}_1", f"{name}_2") < 1e-5
    one, two = record(f"{name}_1"), record(f"{name}_2")
    assert (one["machine"]["processes"], two["machine"]["processes"]) == (1, 2)
    for row, other in zip(one["epochs"], two["epochs"], strict=True):
        assert row == pytest.approx(other, rel=1e-5)
    assert one["test"] == pytest.approx(two["test"], rel=1e-5)
    assert one["compute"]["events"] == two["compute"]["events"]


def test_one_process_writes_the_files():
    names = [{p.name for p in Path(f"softmax_{world}").rglob("*")} for world in (1, 2)]
    assert names[0] == names[1]
    metrics = [Path(f"softmax_{world}/csv/metrics.csv").read_text() for world in (1, 2)]
    assert metrics[0].count("\n") == metrics[1].count("\n")


def test_a_run_stopped_within_an_epoch_goes_on_to_the_last_bit():
    weights = [Path(f, "checkpoints/best.safetensors").read_bytes() for f in ("whole", "stopped")]
    assert weights[0] == weights[1]
    assert record("stopped")["test"] == record("whole")["test"]
    assert record("stopped")["epochs"] == record("whole")["epochs"]


def test_a_run_goes_on_with_another_number_of_processes():
    noted = record("alone_1")
    assert noted["machine"]["processes"] == 2
    assert [row["epoch"] for row in noted["epochs"]] == [0, 1, 2, 3]
    state = torch.load("alone_1/checkpoints/last.ckpt", weights_only=True)
    assert state["callbacks"]["Keeper"]["place"] == {"epoch": 3, "batch": 15}


@pytest.mark.usefixtures("quick_start")
def test_a_process_that_is_killed_ends_the_others(monkeypatch, capfd):
    started, start = [], processes._start

    def noted(*arguments):
        started.append(start(*arguments))
        return started[-1]

    def kill():
        until(Path("killed/checkpoints/last.ckpt").exists)
        started[1].send_signal(signal.SIGKILL)

    monkeypatch.setattr(processes, "_start", noted)
    killer = threading.Thread(target=kill)
    killer.start()
    command = [*DROPOUT, "recipe.max_epochs=10000", "recipe.patience=null", "recipe.devices=2"]
    assert run_command([*command, "run_dir=killed"]) == 1
    killer.join()
    assert all(process.returncode for process in started)
    said = capfd.readouterr().err
    assert "process 2 of 2 was killed by SIGKILL, and the others were ended" in said
    assert "Resume with: recsys-lab train resume=" in said
    assert "Traceback" not in said
    assert record("killed")["failure"]["message"].startswith("one of the 2 processes of the run")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["recipe.compile=true"], "recipe.compile: got True, but the compiled model"),
        (["loss=sce"], "loss: SCELoss chooses the items of its buckets by the states of a whole"),
        (["recipe.batch_size=1"], "recipe.batch_size: got 1, of all processes together, expected"),
        (["--multirun", "seed=1,2"], "recipe.devices: got 2 processes with --multirun"),
        (["recipe.devices=0"], "recipe.devices"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_starts(options, said, capsys):
    assert run_command([*BASE, "recipe.devices=2", "run_dir=refused", *options]) == 2
    assert said in capsys.readouterr().err
    assert not Path("refused").exists()


def test_other_processes_than_those_started_are_refused(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert run_command([*BASE, "recipe.devices=2"]) == 2
    assert "recipe.devices: got 2, but 3 processes were started" in capsys.readouterr().err
