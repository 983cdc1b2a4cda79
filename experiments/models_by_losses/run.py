"""Every trained model with every loss: one step runs, and the loss falls on one batch.

    python experiments/models_by_losses/run.py [--write experiments/models_by_losses/README.md]

Small sizes, 30 steps of Adam on one batch of 16 histories over 60 items; the cells say the loss
before and after. Negatives and hidden events are drawn anew at every step.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from recsys_lab.config import build, config_dir
from recsys_lab.config.targets import import_class
from recsys_lab.contracts import Batch, MakesLoss, UsesItemCounts

ITEMS, USERS, STEPS = 60, 16, 30
SMALL = {
    "hidden_dim": 16, "max_length": 12, "feedforward_dim": 32, "recurrent_dim": 24,
    "num_heads": 2, "num_layers": 1,
}  # fmt: skip
HEAD = """# Every model with every loss

The loss on one batch before and after {steps} steps of Adam ({users} histories, {items} items,
small sizes); negatives and hidden events are drawn anew at every step. Made by

```bash
python experiments/models_by_losses/run.py --write experiments/models_by_losses/README.md
```

"""


def options(group: str, name: str) -> dict[str, Any]:
    """A component's shipped values."""
    values = OmegaConf.to_container(OmegaConf.load(config_dir() / group / f"{name}.yaml"))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != "defaults"}


def models() -> dict[str, dict[str, Any]]:
    """The trained models by name, made small; not those that make their own loss."""
    found = {}
    for path in sorted((config_dir() / "model").glob("*.yaml")):
        values = options("model", path.stem)
        values |= {key: SMALL[key] for key, v in values.items() if key in SMALL and v is not None}
        model = import_class(values["_target_"], "model")
        if issubclass(model, nn.Module) and not issubclass(model, MakesLoss):
            found[path.stem] = values
    return found


def losses() -> list[str]:
    """Names of the losses."""
    return sorted(path.stem for path in (config_dir() / "loss").glob("*.yaml"))


def batch() -> Batch:
    """Histories of a few events each, along a circle of the items."""
    generator = torch.Generator().manual_seed(0)
    lengths = tuple(4 + user % 6 for user in range(USERS))
    items = [(user * 3 + place) % ITEMS for user, n in enumerate(lengths) for place in range(n)]
    return Batch(
        users_B=torch.arange(USERS),
        items_T=torch.tensor(items),
        offsets=torch.tensor((0, *lengths)).cumsum(0),
        lengths=lengths,
        timestamps_T=torch.randint(10**6, (sum(lengths),), generator=generator).sort().values,
    )


def before_and_after(model_options: dict[str, Any], loss_name: str) -> tuple[float, float]:
    """Mean loss of the first and of the last five steps."""
    torch.manual_seed(0)
    model = build(model_options, num_items=ITEMS).train()
    loss = build(options("loss", loss_name))
    given = batch()
    if isinstance(loss, UsesItemCounts):
        loss.read_counts(torch.bincount(given.items_T, minlength=ITEMS))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    values = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        states_ND, targets_N = model.training_states(given)
        value = loss(states_ND, targets_N, model.item_table())
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    return sum(values[:5]) / 5, sum(values[-5:]) / 5


def measured(console: Console) -> dict[str, dict[str, tuple[float, float]]]:
    """Loss before and after, by model and loss."""
    plan = [(name, values, loss) for name, values in models().items() for loss in losses()]
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for name, values, loss in track(plan, description="models x losses", console=console):
        found.setdefault(name, {})[loss] = before_and_after(values, loss)
    return found


def markdown(found: dict[str, dict[str, tuple[float, float]]]) -> str:
    """The page."""
    names = losses()
    lines = [f"| model | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for model, row in found.items():
        cells = (f"{row[name][0]:.2f} → {row[name][1]:.2f}" for name in names)
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return HEAD.format(steps=STEPS, users=USERS, items=ITEMS) + "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    found = measured(Console(stderr=True))
    table = Table(title="loss before and after", title_justify="left")
    for column in ("model", *losses()):
        table.add_column(column)
    for model, row in found.items():
        table.add_row(model, *(f"{row[name][0]:.2f} > {row[name][1]:.2f}" for name in losses()))
    Console().print(table)
    if chosen.write:
        chosen.write.parent.mkdir(parents=True, exist_ok=True)
        chosen.write.write_text(markdown(found))


if __name__ == "__main__":
    main()
