"""Every loss under autocast is the loss of the same states and table in full precision."""

import pytest
import torch
import yaml

from recsys_lab.config import build, config_dir

N, V, D = 40, 30, 16
NAMES = sorted(path.stem for path in (config_dir() / "loss").glob("*.yaml"))
WHOLE = ("softmax", "sce")  # they draw no negatives
CASES = [(name, {}) for name in WHOLE] + [
    (name, {"shared_negatives": shared})
    for name in NAMES
    if name not in WHOLE
    for shared in (False, True)
]


def value_and_gradients(name, states_ND, table_VD, targets_N, half=False, **options):
    values = yaml.safe_load((config_dir() / "loss" / f"{name}.yaml").read_text())
    loss = build({**values, **options})
    if hasattr(loss, "read_counts"):
        loss.read_counts(torch.arange(V))
        loss.read_targets(torch.arange(V))
    states_ND, table_VD = states_ND.detach().requires_grad_(), table_VD.detach().requires_grad_()
    torch.manual_seed(3)  # the same negatives and directions
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        value = loss(states_ND, targets_N, table_VD)
    value.backward()
    return value, states_ND.grad, table_VD.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize(("name", "drawing"), CASES)
def test_autocast_changes_nothing(name, drawing, cosine, dtype):
    torch.manual_seed(0)
    states_ND, table_VD = torch.randn(N, D).to(dtype), torch.randn(V, D)
    targets_N = torch.randint(V, (N,))
    options = {"cosine": cosine, "temperature": 0.3, **drawing}
    full = value_and_gradients(name, states_ND.float(), table_VD, targets_N, **options)
    half = value_and_gradients(name, states_ND, table_VD, targets_N, half=True, **options)
    assert half[0].dtype == torch.float32
    assert torch.equal(half[0], full[0])
    torch.testing.assert_close(half[1], full[1].to(dtype))
    torch.testing.assert_close(half[2], full[2])
