"""What training costs, against a closed form and a clock."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from recsys_lab.losses.softmax import SoftmaxLoss
from recsys_lab.training import cost, energy
from recsys_lab.training.cost import CostMonitor
from recsys_lab.training.energy import EnergyCounter
from recsys_lab.training.flops import recurrent_flops


def step(meter: CostMonitor, work, events: int) -> None:
    batch = SimpleNamespace(items_T=torch.zeros(events), share=None)
    meter.on_train_batch_start(None, None, batch, 0)
    work()
    meter.on_train_batch_end(None, None, None, batch, 0)


def test_arithmetic_equals_the_closed_form_and_is_scaled_to_all_events():
    """A product of (n, 8) and (8, 5) costs 2 n 8 5, and twice that for its gradients."""
    weight = torch.randn(8, 5, requires_grad=True)

    def work():
        x = torch.randn(30, 8, requires_grad=True)
        (x @ weight).sum().backward()

    meter = CostMonitor()
    for _ in range(7):
        step(meter, work, events=30)
    values = meter.values()
    assert values["training_flops"] == 7 * 3 * 2 * 30 * 8 * 5
    assert (values["events"], values["steps"]) == (210, 7)


@pytest.mark.parametrize("memory_mib", [1, 64])  # several blocks, and one
def test_the_default_loss_costs_three_products(memory_mib):
    """Logits, the states' gradient and the table's are 2 N D V each; none is free."""
    N, D, V = 300, 16, 2000
    options = {"temperature": 1.0, "cosine": False, "kernel": "blocks"}
    loss = SoftmaxLoss(SoftmaxLoss.Config(memory_mib=memory_mib, **options))
    states_ND = torch.randn(N, D, requires_grad=True)
    table_VD = torch.randn(V, D, requires_grad=True)
    meter = CostMonitor()
    step(meter, lambda: loss(states_ND, torch.arange(N), table_VD).backward(), events=N)
    assert meter.values()["training_flops"] == 6 * N * D * V


@pytest.mark.parametrize(("dropout", "products"), [(0.1, 6), (0.0, 7)])
def test_attention_is_counted_whatever_the_kernel(dropout, products):
    """Scores and their mix are 2 L L D each, backward twice that; one kernel forms scores anew."""
    B, H, L, D = 2, 3, 5, 4
    q = torch.randn(B, H, L, D, requires_grad=True)

    def work():
        mixed = F.scaled_dot_product_attention(q, q, q, dropout_p=dropout, is_causal=True)
        mixed.sum().backward()

    meter = CostMonitor()
    step(meter, work, events=B * L)
    assert meter.values()["training_flops"] == products * 2 * B * H * L * L * D


def test_recurrent_layers_in_one_kernel_cost_what_their_products_do():
    """CUDA's kernel by its shapes equals the products that a CPU does one by one."""
    layers = torch.nn.GRU(8, 12, num_layers=2, batch_first=True)
    x = torch.randn(4, 6, 8)
    meter = CostMonitor()
    step(meter, lambda: layers(x), events=24)
    shapes = [weight.shape for weight in layers.parameters()]
    expected = 2 * 4 * 6 * 3 * 12 * (8 + 12 + 12 + 12)
    assert recurrent_flops(x.shape, shapes) == meter.values()["training_flops"] == expected


def test_waiting_and_working_are_told_apart(monkeypatch):
    now = 100.0

    def pass_time(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: now))
    meter = CostMonitor()
    meter.on_train_epoch_start(None, None)
    for _ in range(2):
        step(meter, lambda: pass_time(0.5), events=10)
        pass_time(1)  # the next batch is late
    pass_time(2)  # validation
    meter.on_train_epoch_start(None, None)
    step(meter, lambda: pass_time(0.5), events=10)
    assert (meter.step_seconds, meter.wait_seconds) == (1.5, 1)
    assert meter.values()["events_per_second"] == 30 / 2.5


def test_a_resumed_run_counts_on():
    first = CostMonitor()
    step(first, lambda: None, events=4)
    second = CostMonitor()
    second.load_state_dict(first.state_dict())
    step(second, lambda: None, events=4)
    assert (second.events, second.steps) == (8, 2)
    assert second.step_seconds >= first.step_seconds


def zone(folder, name: str, microjoules: int, size: int = 10_000_000) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{microjoules}\n")
    (folder / name / "max_energy_range_uj").write_text(f"{size}\n")


def test_energy_is_that_of_all_packages_and_survives_their_beginning_anew(monkeypatch, tmp_path):
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    assert CostMonitor().values()["joules"] is None
    zone(tmp_path, "intel-rapl:0", 5_000_000)
    zone(tmp_path, "intel-rapl:1", 9_000_000)
    zone(tmp_path, "intel-rapl:0:0", 1_000_000)  # the cores of package 0: counted there already
    meter = CostMonitor()
    zone(tmp_path, "intel-rapl:0", 7_500_000)
    zone(tmp_path, "intel-rapl:1", 500_000)
    zone(tmp_path, "intel-rapl:0:0", 2_000_000)
    meter.on_train_epoch_end(None, None)
    assert meter.values()["joules"] == 2.5 + 1.5
    zone(tmp_path, "intel-rapl:0", 7_600_000)
    meter.on_train_epoch_end(None, None)
    assert meter.values()["joules"] == 4.1


def test_a_gpu_s_energy_is_found_by_its_name_not_its_number(monkeypatch):
    """A process that may see one GPU alone calls it 0, whatever its number in the machine."""
    millijoules = {"GPU-first": 100_000, "GPU-second": 5_000}
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: millijoules[handle],
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    only = SimpleNamespace(uuid="second")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: only)
    counter = EnergyCounter()
    millijoules["GPU-second"] += 7_000
    assert counter.readable
    assert counter.spent() == 7.0
    only.uuid = "third"  # NVML knows no such GPU
    assert not EnergyCounter().readable
