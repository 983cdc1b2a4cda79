"""Time and memory of every loss at three catalogue sizes.

    python scripts/benchmark_losses.py [--items 10000 100000 1000000] [--json FILE]

Each figure is taken in a process of its own, so that its peak memory is its own: the loss with
its gradients alone, and a whole training step of SASRec (forward, loss, backward, Adam) with it;
the fastest of several. `plain` is `torch.nn.functional.cross_entropy` over all logits; `row-sparse`
is sampled_softmax with recipe.sparse_embeddings=true. Batch 128, length 50, width 64.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.progress import track
from rich.table import Table

from recsys_lab.config import build, config_dir
from recsys_lab.contracts import Batch, UsesItemCounts
from recsys_lab.runs.memory import peak_memory_mebibytes

BATCH, LENGTH, DIM = 128, 50, 64
ENOUGH = 10.0  # seconds, after which a loss is not measured again
PLAIN_BYTES = 8 << 30  # two blocks of logits above this are not tried
LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("plain", {}),
    "softmax": ("softmax", {}),
    "sampled_softmax": ("sampled_softmax", {}),
    "row-sparse": ("sampled_softmax", {}),
    "sampled_softmax, each its own": ("sampled_softmax", {"shared_negatives": False}),
    "bce": ("bce", {}),
    "gbce": ("gbce", {}),
    "bpr": ("bpr", {}),
    "sce": ("sce", {}),
}


def part(group: str, name: str, **changes: Any) -> Any:
    """One component with its shipped values."""
    return build({**shipped(group, name), **changes})


def shipped(group: str, name: str) -> dict[str, Any]:
    """A file of the lab's configs."""
    values = OmegaConf.to_container(OmegaConf.load(config_dir() / group / f"{name}.yaml"))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def plain(states_ND: torch.Tensor, targets_N: torch.Tensor, table_VD: torch.Tensor) -> torch.Tensor:
    """All logits at once."""
    return torch.nn.functional.cross_entropy(states_ND @ table_VD.T, targets_N)


def make_loss(name: str, num_items: int) -> Any:
    """The loss of a row of the table."""
    group, changes = LOSSES[name]
    loss = plain if group == "plain" else part("loss", group, **changes)
    if isinstance(loss, UsesItemCounts):
        loss.read_counts(torch.ones(num_items, dtype=torch.int64))
    return loss


def batch_of(num_items: int) -> Batch:
    """Full histories: every position is supervised."""
    lengths = (LENGTH + 1,) * BATCH
    return Batch(
        users_B=torch.arange(BATCH),
        items_T=torch.randint(num_items, (sum(lengths),)),
        offsets=torch.arange(BATCH + 1) * (LENGTH + 1),
        lengths=lengths,
    )


def fastest(work: Callable[[], None], repeats: int) -> float:
    """Seconds of the fastest call, after one that is not counted; fewer of slow ones."""
    work()
    seconds: list[float] = []
    while len(seconds) < repeats and sum(seconds) < ENOUGH:
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def measure(name: str, num_items: int, what: str, repeats: int) -> float:
    """Seconds of the loss alone, or of a step."""
    torch.manual_seed(0)
    loss = make_loss(name, num_items)
    if what == "loss":
        states_ND = torch.randn(BATCH * LENGTH, DIM, requires_grad=True)
        table_VD = torch.randn(num_items, DIM).mul_(0.1).requires_grad_()
        targets_N = torch.randint(num_items, (BATCH * LENGTH,))
        if name == "row-sparse":
            loss.sparse = True

        def work() -> None:
            states_ND.grad = table_VD.grad = None
            loss(states_ND, targets_N, table_VD).backward()

        return fastest(work, repeats)
    model = build(shipped("model", "sasrec"), num_items=num_items).train()
    recipe = part("recipe", "default", sparse_embeddings=name == "row-sparse", accelerator="cpu")
    optimizer, batch = recipe.optimizer(model, loss), batch_of(num_items)

    def step() -> None:
        optimizer.zero_grad()
        states_ND, targets_N = model.training_states(batch)
        loss(states_ND, targets_N, model.item_table()).backward()
        optimizer.step()

    return fastest(step, repeats)


def in_own_process(name: str, num_items: int, what: str, options: argparse.Namespace) -> Any:
    """Seconds and peak memory."""
    command = [sys.executable, __file__, "--alone", name, what, f"--items={num_items}"]
    command += [f"--threads={options.threads}", f"--repeats={options.repeats}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def measured(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One entry for each loss and catalogue size."""
    plan = [(name, items) for items in options.items for name in LOSSES]
    rows = []
    for name, items in track(plan, description="losses", console=Console(stderr=True)):
        row = {"loss": name, "items": items}
        if name != "plain" or 8 * BATCH * LENGTH * items <= PLAIN_BYTES:
            loss, step = (in_own_process(name, items, what, options) for what in ("loss", "step"))
            row |= {
                "loss_seconds": loss["seconds"],
                "step_seconds": step["seconds"],
                "peak_mebibytes": step["mebibytes"],
            }
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """One table for each catalogue size."""
    for items in sorted({row["items"] for row in rows}):
        these = [row for row in rows if row["items"] == items]
        base = these[0]
        table = Table(title=f"{items:,} items", title_justify="left")
        table.add_column("loss")
        for column in ("loss (s)", "/ plain", "step (s)", "/ plain", "peak (MiB)"):
            table.add_column(column, justify="right")
        for row in these:
            if "loss_seconds" not in row:
                table.add_row(row["loss"], *["does not fit"] * 5)
                continue
            cells = []
            for key in ("loss_seconds", "step_seconds"):
                share = f"{row[key] / base[key]:.3f}" if key in base else ""
                cells += [f"{row[key]:.3f}", share]
            table.add_row(row["loss"], *cells, f"{row['peak_mebibytes']:,.0f}")
        console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.alone:
        name, what = options.alone
        seconds = measure(name, options.items[0], what, options.repeats)
        print(json.dumps({"seconds": seconds, "mebibytes": peak_memory_mebibytes()}))
        return
    rows = measured(options)
    show(rows, Console())
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
