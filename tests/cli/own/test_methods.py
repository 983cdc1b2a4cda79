"""An optimizer and a schedule of one's own, by the how-to; mistakes in methods of one's own."""

import sys
from pathlib import Path

import pytest
import torch
from scripts.journeys.how_to import follow

from recsys_lab.cli.main import run_command
from tests.cli.flow import SMALL, in_shop, record


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "my_parts")
        yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_parts"]:
        del sys.modules[name]


def run(command: list[str], *more: str) -> int:
    return run_command([*command, *SMALL, *more])


def test_an_optimizer_and_a_schedule():
    """Both are resumed exactly: two epochs and two more are four in one go."""
    own, torchs = follow("add-an-optimizer")
    more = ["tracking=none", "recipe.schedule.every=3", "recipe.learning_rate=1e-3"]
    assert run(own, *more, "recipe.max_epochs=2", "run_dir=short") == 0
    stored = torch.load("short/checkpoints/last.ckpt", weights_only=True)
    [state] = stored["optimizer_states"]
    assert {name for kept in state["state"].values() for name in kept} == {"mean"}
    assert state["param_groups"][0]["beta"] == 0.9
    assert state["param_groups"][0]["lr"] == pytest.approx(1e-3 / 4)  # 8 steps: halved twice
    assert run_command(["train", "resume=short", "recipe.max_epochs=4"]) == 0
    assert run(own, *more, "recipe.max_epochs=4", "run_dir=long") == 0
    for name in ("epochs", "best", "test"):
        assert record("short")[name] == record("long")[name]
    best = "checkpoints/best.safetensors"
    assert Path("short", best).read_bytes() == Path("long", best).read_bytes()
    assert run(torchs, "tracking=none", "recipe.max_epochs=1", "run_dir=sgd") == 0
    [state] = torch.load("sgd/checkpoints/last.ckpt", weights_only=True)["optimizer_states"]
    assert state["param_groups"][0]["momentum"] == 0.9


def test_mistakes_in_them_are_refused_before_anything_starts(capsys):
    for name in ("add-a-sampler", "add-an-optimizer"):
        follow(name)
    rate = "search.params.recipe.learning_rate=choice(0.1,0.2)"
    for command, said in (
        (
            ["sweep", rate, "sweep.sampler={_target_: my_parts.search.Lower, draws: 0}"],
            "sweep.sampler.draws: expected an int >= 1, got 0",
        ),
        (
            ["sweep", rate, "sweep.sampler={_target_: my_parts.search.Floor, lower: 1.0}"],
            "my_parts.search.Floor is not a valid sampler: derive it from "
            "recsys_lab.sweeps.samplers.SamplerFactory",
        ),
        (
            ["train", "recipe.optimizer={_target_: my_parts.lion.Lion, bet: 0.9}"],
            "recipe.optimizer.bet: Lion has no option 'bet'; did you mean 'beta'?",
        ),
        (
            ["train", "recipe.schedule={_target_: torch.optim.lr_scheduler.StepLR}"],
            "not under an allowed prefix",
        ),
        (["train", "recipe.optimizer=adm"], "did you mean 'adam'"),
    ):
        assert run_command([*command, *SMALL]) == 2
        assert said in " ".join(capsys.readouterr().err.split())
    assert not Path("prepared").exists()
