"""Whole runs of generative models: trained, stopped, resumed, evaluated."""

from pathlib import Path

import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.models.generative.generative_decoder import GenerativeDecoder
from recsys_lab.models.generative.rpg import RPG
from tests.cli.flow import SMALL, in_shop, record

CODES = ["semantic_ids=random", "semantic_ids.codes=4", "tracking=none", "recipe.max_epochs=2"]


@pytest.fixture
def shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        yield


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("name", "kind", "choices"),
    [
        ("generative_decoder", GenerativeDecoder, ["decoding=beam", "decoding.num_beams=25"]),
        ("rpg", RPG, ["decoding=beam", "decoding.num_beams=25"]),
    ],
)
def test_stopped_within_an_epoch_and_resumed_it_is_the_same_run(
    name, kind, choices, monkeypatch, capsys
):
    command = ["train", *SMALL, f"model={name}", *CODES, *choices]
    assert run_command([*command, "run_dir=whole"]) == 0
    plain, calls = kind.training_loss, []

    def stops(self, batch):
        calls.append(batch)
        if len(calls) == 7:  # in the second epoch, after its checkpoint
            raise KeyboardInterrupt
        return plain(self, batch)

    every = "recipe.checkpoint_every_steps=2"
    with monkeypatch.context() as patched:
        patched.setattr(kind, "training_loss", stops)
        assert run_command([*command, every, "run_dir=stopped"]) == 130
    assert run_command(["train", "resume=stopped"]) == 0
    assert record("stopped")["test"] == record("whole")["test"]
    weights = [Path(f, "checkpoints/best.safetensors").read_bytes() for f in ("whole", "stopped")]
    assert weights[0] == weights[1]
    capsys.readouterr()
    assert run_command(["evaluate", "stopped"]) == 0
    assert "equal to the run record" in capsys.readouterr().out
