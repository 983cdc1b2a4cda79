"""One SASRec training step with a full softmax over a very large catalogue.

    python scripts/benchmark_large_catalogue.py [--items 1000000] [--json FILE]

The step (forward, loss, backward, Adam) runs in a process of its own, so that its peak memory
is its own. Beside it, in the same run, the three matrix products that no exact full softmax can
do without (logits, gradient of the states, gradient of the table), taken bare, in row blocks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmark_losses import shipped
from recsys_lab.config import build
from recsys_lab.contracts import Batch
from recsys_lab.runs.memory import peak_memory_mebibytes

BATCH, LENGTH, DIM = 128, 50, 64


def batch_of(num_items: int) -> Batch:
    """Full histories: every position is supervised."""
    generator = torch.Generator().manual_seed(0)
    lengths = (LENGTH + 1,) * BATCH
    return Batch(
        users_B=torch.arange(BATCH),
        items_T=torch.randint(num_items, (sum(lengths),), generator=generator),
        offsets=torch.arange(BATCH + 1) * (LENGTH + 1),
        lengths=lengths,
    )


def step_seconds(num_items: int, steps: int) -> list[float]:
    """Seconds of each training step."""
    model = build(shipped("model", "sasrec"), num_items=num_items).train()
    loss_of = build(shipped("loss", "softmax"))
    optimizer = build(shipped("recipe", "default")).optimizer(model, loss_of)
    batch, seconds = batch_of(num_items), []
    for _ in range(steps):
        begun = time.perf_counter()
        states_ND, targets_N = model.training_states(batch)
        loss_of(states_ND, targets_N, model.item_table()).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - begun)
    return seconds


def product_seconds(num_items: int, rows: int = 128) -> float:
    """Seconds of the three matrix products, logits in one reused block of rows."""
    states_ND, table_VD = torch.randn(BATCH * LENGTH, DIM), torch.randn(num_items, DIM)
    block = torch.empty(rows, num_items)
    grad_ND, grad_VD = torch.empty_like(states_ND), torch.zeros_like(table_VD)
    seconds = 0.0
    for first in range(0, len(states_ND), rows):
        part = slice(first, first + rows)
        begun = time.perf_counter()
        torch.mm(states_ND[part], table_VD.T, out=block)
        torch.mm(block, table_VD, out=grad_ND[part])
        grad_VD.addmm_(block.T, states_ND[part])
        seconds += time.perf_counter() - begun
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--step-alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.step_alone:
        seconds = step_seconds(options.items, options.steps)
        print(json.dumps({"seconds": min(seconds), "mebibytes": peak_memory_mebibytes()}))
        return
    products = product_seconds(options.items)
    alone = [sys.executable, __file__, "--step-alone", f"--items={options.items}"]
    alone += [f"--threads={options.threads}", f"--steps={options.steps}"]
    step = json.loads(subprocess.run(alone, check=True, capture_output=True, text=True).stdout)
    result = {
        "items": options.items,
        "positions": BATCH * LENGTH,
        "step_seconds": step["seconds"],
        "three_products_seconds": products,
        "ratio": step["seconds"] / products,
        "step_peak_mebibytes": step["mebibytes"],
    }
    table = Table(title="one training step, full softmax", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in result.items():
        table.add_row(name, f"{value:,.2f}" if isinstance(value, float) else f"{value:,}")
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
