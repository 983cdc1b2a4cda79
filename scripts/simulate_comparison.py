"""How often two equal systems get p <= 5%, over the seeds' share of the variance.

python scripts/simulate_comparison.py [DRAWS]
"""

from __future__ import annotations

import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from recsys_lab.runs.statistics import Paired

USERS = 60
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
SEEDS = ((2, 2), (2, 5), (3, 3), (3, 5), (5, 5), (1, 3), (1, 5))


def share_found(share: float, seeds: tuple[int, int], draws: int, seed: int = 0) -> float:
    """Share of tests with p <= 0.05 of two systems with equal means.

    Args:
        share: of the variance of a difference of means that is the seeds'; the rest is the users'.
        seeds: of the two systems.
        draws: tests.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    users_sd = np.sqrt((1 - share) * USERS / 2)
    seeds_sd = np.sqrt(share / sum(1 / count for count in seeds))
    runs = [range(seeds[0]), range(seeds[0], sum(seeds))]
    found = 0
    for _ in range(draws):
        values = [
            rng.normal(0, users_sd, (USERS, 1))
            + rng.normal(0, seeds_sd, (1, count))
            + rng.normal(0, users_sd / 2 + 1e-3, (USERS, count))
            for count in seeds
        ]
        paired = Paired(
            np.concatenate(values, 1), runs, np.zeros((1, sum(seeds))),
            deterministic=[False, False], permutations=1, seed=0,
        )  # fmt: skip
        found += paired.test(0, 1).p <= 0.05
    return found / draws


def main() -> None:
    """Print the table."""
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    table = Table(title=f"p <= 5% of equal systems, {draws:,} draws each")
    table.add_column("seeds")
    for share in SHARES:
        table.add_column(f"{share:.0%}", justify="right")
    for seeds in SEEDS:
        cells = [f"{share_found(share, seeds, draws):.1%}" for share in SHARES]
        marked = "" if 2 in seeds else " *"
        table.add_row(f"{seeds[0]} and {seeds[1]}{marked}", *cells)
    console = Console()
    console.print(table)
    console.print("columns: the seeds' share of the variance; *: a verdict is given")


if __name__ == "__main__":
    main()
