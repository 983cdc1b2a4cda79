"""What training costs, against a closed form and a clock."""

import time
from types import SimpleNamespace

import torch

from recsys_lab.training import meter as module
from recsys_lab.training.meter import Meter


def step(meter: Meter, work, events: int) -> None:
    batch = SimpleNamespace(items_T=torch.zeros(events))
    meter.on_train_batch_start(None, None, batch, 0)
    work()
    meter.on_train_batch_end(None, None, None, batch, 0)


def test_arithmetic_equals_the_closed_form_and_is_scaled_to_all_events():
    """A product of (n, 8) and (8, 5) costs 2 n 8 5, and twice that for its gradients."""
    weight = torch.randn(8, 5, requires_grad=True)

    def work():
        x = torch.randn(30, 8, requires_grad=True)
        (x @ weight).sum().backward()

    meter = Meter()
    for _ in range(7):
        step(meter, work, events=30)
    values = meter.values()
    assert values["training_flops"] == 7 * 3 * 2 * 30 * 8 * 5
    assert (values["events"], values["steps"]) == (210, 7)


def test_waiting_and_working_are_told_apart():
    meter = Meter()
    meter.on_train_epoch_start(None, None)
    for _ in range(2):
        step(meter, lambda: time.sleep(0.05), events=10)
        time.sleep(0.1)  # the next batch is late
    time.sleep(0.2)  # validation
    meter.on_train_epoch_start(None, None)
    step(meter, lambda: time.sleep(0.05), events=10)
    assert 0.15 <= meter.step_seconds < 0.3
    assert 0.1 <= meter.wait_seconds < 0.15
    rate = meter.values()["events_per_second"]
    assert abs(rate - 30 / (meter.step_seconds + meter.wait_seconds)) < 0.1


def test_a_resumed_run_counts_on():
    first = Meter()
    step(first, lambda: None, events=4)
    second = Meter()
    second.load_state_dict(first.state_dict())
    step(second, lambda: None, events=4)
    assert (second.events, second.steps) == (8, 2)
    assert second.step_seconds >= first.step_seconds


def test_energy_is_the_counter_s_difference(monkeypatch, tmp_path):
    counter = tmp_path / "energy_uj"
    counter.write_text("5000000\n")
    monkeypatch.setattr(module, "_RAPL", counter)
    meter = Meter()
    counter.write_text("9500000\n")
    meter.on_train_epoch_end(None, None)
    assert meter.values()["joules"] == 4.5
    monkeypatch.setattr(module, "_RAPL", tmp_path / "absent")
    assert Meter().values()["joules"] is None
