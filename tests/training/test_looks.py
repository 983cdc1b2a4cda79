"""What a training shows of its steps: values by hand, read later than computed; and a profile."""

import json
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from recsys_lab.config import build
from recsys_lab.contracts import fetch_later
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.experiment import learning
from recsys_lab.tracking.epoch_logger import EpochLogger
from recsys_lab.training import step_log
from recsys_lab.training.fit import fit
from recsys_lab.training.profile import ROWS, SKIPPED, TABLE, TRACE, Profile
from recsys_lab.training.step_log import StepLog
from tests.training.test_accumulation import Unequal, batches, model_of, softmax
from tests.training.test_resume import options

CLIP, WARMUP = 0.05, 2


def trained(folder, size, *callbacks, log=None, **changes):
    recipe = build(options("recipe", "default", accelerator="cpu", batch_size=size, **changes))
    protocol, data = build(options("evaluation", "full_ranking")), Unequal()
    protocol.attach(data)
    fit(
        model_of("sasrec"), softmax, recipe, protocol, batches(size),
        EvaluationBatches(data, "validation", batch_size=7, window=9, exclude_seen=True),
        folder, loggers=[EpochLogger("x", log)] if log else [], console=Console(quiet=True),
        on_epoch=len, callbacks=callbacks,
    )  # fmt: skip


def by_hand(size, epochs):
    """Loss and gradient norm of each step of Adam with clipping and warm-up."""
    model, loader = model_of("sasrec"), batches(size)
    optimizer = torch.optim.Adam(model.parameters(), 0.01, betas=(0.9, 0.98))
    losses, norms, rates = [], [], []
    for _ in range(epochs):
        for batch in loader:
            rates.append(0.01 * min(1, (len(rates) + 1) / WARMUP))
            optimizer.param_groups[0]["lr"] = rates[-1]
            states_ND, targets_N = model.training_states(batch)
            loss = softmax(states_ND, targets_N, model.item_table())
            optimizer.zero_grad()
            loss.backward()
            norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)))
            optimizer.step()
            losses.append(float(loss.detach()))
    return losses, norms, rates


def test_values_of_steps_are_those_by_hand(tmp_path):
    """Four steps an epoch, every third one shown: the mean loss since the last one, or the start of
    the epoch; the norm before clipping; the rate of the step itself."""
    shown = []
    trained(
        tmp_path, 3, StepLog(3), log=lambda metrics, step: shown.append((step, dict(metrics))),
        max_epochs=2, gradient_clip=CLIP, warmup_steps=WARMUP, learning_rate=0.01,
    )  # fmt: skip
    losses, norms, rates = by_hand(3, 2)
    of_steps = {step: metrics for step, metrics in shown if "step/loss" in metrics}
    assert list(of_steps) == [2, 5]
    for step, means_of in ((2, losses[0:3]), (5, losses[4:6])):
        assert of_steps[step] == pytest.approx(
            {
                "step/loss": sum(means_of) / len(means_of),
                "step/gradient_norm": norms[step],
                "step/learning_rate": rates[step],
            },
            rel=1e-5,
        )
    steps = [step for step, _ in shown]
    assert steps == sorted(steps)  # W&B drops what comes late


def test_a_value_is_read_after_a_later_step(tmp_path, monkeypatch):
    """So that no step waits for its own."""
    steps, seen = [], []

    def noting(values_n):
        read, made = fetch_later(values_n), len(steps)
        return lambda: seen.append((made, len(steps))) or read()

    monkeypatch.setattr(step_log, "fetch_later", noting)
    adam = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda *a, **k: steps.append(0) or adam(*a, **k))
    trained(tmp_path, 3, StepLog(1), log=lambda *_: None, max_epochs=1)
    assert seen == [(1, 2), (2, 3), (3, 4), (4, 4)]  # the last one at the end of the epoch


def test_nothing_is_computed_between(tmp_path, monkeypatch):
    norms = []
    real = torch.nn.utils.get_total_norm
    monkeypatch.setattr(
        "recsys_lab.training.module.get_total_norm", lambda g: norms.append(0) or real(g)
    )
    trained(tmp_path / "some", 1, StepLog(5), log=lambda *_: None, max_epochs=1)
    assert len(norms) == 11 // 5
    trained(tmp_path / "none", 1, log=lambda *_: None, max_epochs=1)
    assert len(norms) == 11 // 5


def test_a_profile_has_the_asked_steps(tmp_path):
    trained(tmp_path / "run", 1, Profile(2, tmp_path / "profile"), max_epochs=2)
    events = json.loads((tmp_path / "profile" / TRACE).read_text())["traceEvents"]
    names = [event.get("name", "") for event in events]
    assert sum(name.startswith("Optimizer.step#Adam") for name in names) == 2
    assert "aten::mm" in names
    head, *rows = (tmp_path / "profile" / TABLE).read_text().splitlines()[1:]
    assert "Self CPU" in head
    assert sum("aten::" in row for row in rows) in range(1, ROWS + 1)
    assert {path.name for path in (tmp_path / "profile").iterdir()} == {TRACE, TABLE}


def test_a_training_too_short_for_a_profile_says_so(tmp_path, caplog):
    profile = Profile(2, tmp_path / "profile")
    profile._seen = SKIPPED
    profile.on_train_end(SimpleNamespace(), SimpleNamespace())
    assert "the training had 3 steps, and the first 3 are not profiled" in caplog.text
    assert not (tmp_path / "profile").exists()


@pytest.mark.parametrize("first", [True, False])
def test_of_several_processes_one_writes_the_profile(tmp_path, monkeypatch, first):
    monkeypatch.setattr(learning, "is_first", lambda: first)
    recipe = SimpleNamespace(config=SimpleNamespace(log_every=None, profile=3))
    assert len(learning._looks(recipe, tmp_path, [])) == first
