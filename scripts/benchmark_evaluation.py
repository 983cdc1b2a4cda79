"""Full ranking with the seen filter, against the bare matrix product and top-k.

    python scripts/benchmark_evaluation.py [--users 100000] [--items 100000] [--json FILE]

Both rank every item for every user, 100 places each, from states of width 64; each in processes
of its own, so that its peak memory is its own, and in turns, so that both meet the same machine.
"bare" is ``(states @ table.T).topk(100)`` and nothing else. "lab" is what `recsys-lab evaluate`
does: batches of histories, seen pairs left out, ties broken, metrics of configs/evaluation/
full_ranking.yaml, the row of every user. Blocks of users are as large as the lab's memory budget
allows (evaluation.score_mib).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmark_losses import shipped
from recsys_lab.config import build
from recsys_lab.contracts import Batch, Exclude, RankedLists
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.evaluation.catalogue import Catalogue
from recsys_lab.evaluation.metrics.registry import make_beyond
from recsys_lab.evaluation.protocols.base import evaluate
from recsys_lab.models.ranking import top_k
from recsys_lab.runs.memory import peak_memory_mebibytes

WIDTH, PLACES, HISTORY = 64, 100, 50


def protocol_of() -> Any:
    """As shipped, with lists of 100."""
    return build({**shipped("evaluation", "full_ranking"), "max_k": PLACES})


def vectors(rows: int, seed: int) -> torch.Tensor:
    """Random vectors, (rows, width)."""
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed))


def bare(users: int, items: int) -> float:
    """Seconds of the product and the top-k."""
    states_UD, table_VD = vectors(users, 1), vectors(items, 2)
    size = protocol_of().batch_size(items)
    begun = time.perf_counter()
    with torch.inference_mode():
        for block_BD in states_UD.split(size):
            (block_BD @ table_VD.T).topk(PLACES)
    return time.perf_counter() - begun


class Fixed:
    """Scores by a product, as every dense model does."""

    def __init__(self, users: int, items: int) -> None:
        self.states_UD, self.table_VD = vectors(users, 1), vectors(items, 2)

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """See `Recommender`."""
        scores_BV = self.states_UD[batch.users_B] @ self.table_VD.T
        return top_k(scores_BV, k, exclude, batch.users_B)


def log_of(users: int, items: int) -> SimpleNamespace:
    """A history of 50 events and one target for each user; popular items more often."""
    rng = np.random.default_rng(3)
    events = (items * rng.random(users * (HISTORY + 1)) ** 3).astype(np.int32)
    starts = np.arange(users) * (HISTORY + 1)
    rows = np.stack([np.arange(users), starts, starts + HISTORY, starts + HISTORY + 1], 1)
    return SimpleNamespace(
        items=events, timestamps=None, dropped_targets=np.empty(0, np.int64),
        segments=lambda _: rows,
    )  # fmt: skip


def lab(users: int, items: int) -> float:
    """Seconds of a whole evaluation."""
    protocol, data, model = protocol_of(), log_of(users, items), Fixed(users, items)
    protocol.num_items = items
    catalogue = Catalogue(torch.from_numpy(np.bincount(data.items, minlength=items)))
    begun = time.perf_counter()
    batches = EvaluationBatches(
        data, "test", batch_size=protocol.batch_size(items), window=HISTORY, exclude_seen=True
    )
    beyond = make_beyond(protocol.config.beyond_accuracy, protocol.config.beyond_ks, catalogue)
    results = evaluate(model, batches, protocol, beyond=beyond)
    results.compute()
    results.per_user()
    return time.perf_counter() - begun


def measure(kind: str, users: int, items: int) -> dict[str, float]:
    """Seconds and peak memory in a process of its own."""
    arguments = ["--only", kind, "--users", str(users), "--items", str(items)]
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure both and show them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=lambda text: int(float(text)), default=100_000)
    parser.add_argument("--items", type=lambda text: int(float(text)), default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=("bare", "lab"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        seconds = {"bare": bare, "lab": lab}[given.only](given.users, given.items)
        print(json.dumps({"seconds": seconds, "peak_mebibytes": peak_memory_mebibytes()}))
        return
    rounds = [
        {kind: measure(kind, given.users, given.items) for kind in ("bare", "lab")}
        for _ in range(given.rounds)
    ]
    table = Table(
        title=f"{given.users:,} users x {given.items:,} items, width {WIDTH}, top {PLACES}, "
        f"{protocol_of().batch_size(given.items)} users a block",
        title_justify="left",
    )
    for name in ("", "s", "x bare", "peak MiB"):
        table.add_column(name, justify="right")
    best = {k: min((r[k] for r in rounds), key=lambda m: m["seconds"]) for k in ("bare", "lab")}
    for kind, found in best.items():
        ratio = found["seconds"] / best["bare"]["seconds"]
        peak = f"{found['peak_mebibytes']:,.0f}"
        table.add_row(kind, f"{found['seconds']:.2f}", f"{ratio:.2f}", peak)
    Console().print(table)
    if given.json:
        given.json.write_text(json.dumps({**vars(given), "json": None, "best": best}, indent=2))


if __name__ == "__main__":
    main()
