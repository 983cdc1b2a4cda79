"""What follows a search: the best with several seeds and their test, the report; memory."""

import json
import statistics
import time

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from rich.console import Console

from recsys_lab.cli.main import run_command
from recsys_lab.config import config_dir, config_values
from recsys_lab.sweeps import worker as sweep_worker
from recsys_lab.sweeps.deadline import Deadline
from recsys_lab.sweeps.plan import Plan
from recsys_lab.sweeps.results import finish
from recsys_lab.sweeps.worker_status import WorkerStatus
from tests.cli.flow import SMALL, record, train

BASE = [*SMALL, "tracking=none", "sweep.name=mine", "recipe.max_epochs=2"]
WIDTH = "search.params.model.hidden_dim=choice(4,8,100000000)"


def sweep(*overrides: str) -> int:
    return run_command(["sweep", *BASE, *overrides])


def summary(shop) -> dict:
    return json.loads((shop / "sweeps/mine/sweep.json").read_text())


def work(shop, name: str, **options) -> Plan:
    """A worker of a sweep of one trial in this process, and what follows it."""
    usual = OmegaConf.load(config_dir() / "sweep.yaml").sweep
    usual.name = name
    plan = Plan(
        folder=str(shop / "sweeps" / name),
        storage=str(shop / "sweeps" / name / "study.journal"),
        options=config_values(usual) | {"n_trials": 1, **options},
        params={"model.hidden_dim": "choice(4,8)"},
        base=[*SMALL, "tracking=none", "recipe.max_epochs=2"],
        config_dir=None,
    )
    plan.store()
    (plan.path / "workers").mkdir()
    notes = WorkerStatus(plan.path / "workers/0.json", time.time())
    sweep_worker.Worker(plan, "0", Deadline(None), notes).run()
    return plan


@pytest.mark.usefixtures("in_process")
def test_the_best_again_with_other_seeds_and_only_then_tested(shop, capfd):
    more = ["sweep.n_trials=3", "sweep.workers=1", "sweep.sampler=grid", "sweep.retrain_top_n=2",
            "sweep.retrain_seeds=2"]  # fmt: skip
    assert sweep(WIDTH, *more) == 0
    said = capfd.readouterr().out
    found = summary(shop)
    [cause] = found["failures"].values()  # a width of 100,000,000 is seen before it is tried
    assert cause.startswith("cannot fit: needs about ")
    assert found["counts"] == {"complete": 2, "failed": 1}
    for folder in shop.glob("sweeps/mine/trials/*"):
        assert "test" not in record(folder)
    folders = {path.name for path in shop.glob("sweeps/mine/top/*")}
    numbers = {config["trial"] for config in found["top"]}
    assert folders == {f"{number:04d}-seed{seed}" for number in numbers for seed in (1, 2)}
    for config in found["top"]:
        trial = record(shop / f"sweeps/mine/trials/{config['trial']:04d}")
        assert config["searched"] == trial["validation"]["ndcg@10"]
        runs = [record(shop / f"sweeps/mine/top/{config['trial']:04d}-seed{s}") for s in (1, 2)]
        assert [run["seed"] for run in runs] == [1, 2]
        assert {run["config"]["group"] for run in runs} == {"mine"}
        for phase in ("validation", "test"):
            values = [run[phase]["ndcg@10"] for run in runs]
            assert config[phase] == {
                "mean": statistics.fmean(values), "sd": statistics.stdev(values)
            }  # fmt: skip
            assert [row[phase] for row in config["runs"]] == values
    winner = max(found["top"], key=lambda config: config["validation"]["mean"])
    assert found["winner"]["trial"] == winner["trial"]
    assert f"Trial {winner['trial']} is the best of 2 by validation over 2 seeds" in said
    text = (shop / "sweeps/mine/configs/experiment/best.yaml").read_text()
    assert yaml.safe_load(text)["model"]["hidden_dim"] == winner["params"]["model.hidden_dim"]
    _pages(shop, winner["trial"])
    _goes_on(shop, more)


def _pages(shop, winner: int) -> None:
    for name in ("report.html", "report.md"):
        text = (shop / "sweeps/mine" / name).read_text()
        assert f"Trial {winner} is the best of 2" in text
        assert "cannot fit: needs about" in text
    assert "<script" not in (shop / "sweeps/mine/report.html").read_text()


def _goes_on(shop, more: list[str]) -> None:
    """The same command again makes what is missing, and nothing else; the report once more."""
    runs = sorted(shop.glob("sweeps/mine/top/*/run.json"))
    before = [path.stat().st_mtime_ns for path in runs]
    gone = runs[0].parent
    for path in sorted(gone.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (shop / "sweeps/mine/report.html").unlink()
    top = summary(shop)["top"]
    assert sweep(WIDTH, *more) == 0
    assert record(gone)["status"] == "finished"
    assert [path.stat().st_mtime_ns for path in runs[1:]] == before[1:]
    assert summary(shop)["top"] == top  # to the last digit
    assert (shop / "sweeps/mine/report.html").exists()


def test_out_of_memory_is_told_or_tried_again_with_half_the_batch(shop, monkeypatch):
    """A stand-in for the run: what needs more than 4 users a batch has no room."""
    real, tried = sweep_worker.recorded, []

    def recorded(cfg, folder, console, run, prepared):
        tried.append((folder.name, cfg.recipe.batch_size, cfg.recipe.accumulate_grad_batches))
        if cfg.recipe.batch_size > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(cfg, folder, console, run, prepared)

    monkeypatch.setattr(sweep_worker, "recorded", recorded)
    plan = work(shop, "mine", retry_out_of_memory=True)
    assert tried == [("0000", 16, 1), ("0000-batch8", 8, 2), ("0000-batch4", 4, 4)]
    study = plan.study(0)
    [trial] = study.trials()
    assert trial.user_attrs["changes"] == {
        "recipe.batch_size": 4, "recipe.accumulate_grad_batches": 4
    }  # fmt: skip
    assert trial.user_attrs["out_of_memory"] == [
        "out of memory: CUDA out of memory. Tried to allocate 2 GiB"
    ] * 2  # fmt: skip
    finish(plan, study, Console(), [])
    [best] = summary(shop)["best"]
    assert best["folder"].endswith("0000-batch4")
    arguments = ["--config-dir", "sweeps/mine/configs", "experiment=best", "run_dir=again"]
    assert run_command(["train", *arguments]) == 0
    assert record("again")["config"]["recipe"]["batch_size"] == 4
    assert record("again")["validation"]["ndcg@10"] == trial.value
    # 60 users are 15 batches, so 4 steps an epoch.
    assert [epoch["step"] for epoch in record("again")["epochs"]] == [4, 8]
    # Told only, where it is not wanted: the sweep goes on.
    tried.clear()
    other = work(shop, "other", retry_out_of_memory=False).study(0)
    assert tried == [("0000", 16, 1)]
    assert other.trials()[0].user_attrs["cause"].startswith("out of memory: CUDA")


def test_multirun_has_a_directory_each_and_one_group(shop):
    assert train("--multirun", "seed=3,4", "run_dir=many", "model=popularity", base=SMALL[:2]) == 0
    found = [record(shop / "many" / number) for number in ("0", "1")]
    assert [values["seed"] for values in found] == [3, 4]
    assert {values["config"]["group"] for values in found} == {"many"}
    train("--multirun", "seed=3", "run_dir=more", "model=popularity", "group=g", base=SMALL[:2])
    assert record(shop / "more/0")["config"]["group"] == "g"
