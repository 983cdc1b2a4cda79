"""How often verdicts are wrong and intervals hold the truth.

Two equal systems that get p <= 5%, over the seeds' share of the variance; the same over users
alone, of hits that are rare; and intervals of the means of few users.

python scripts/checks/simulate_comparison.py [DRAWS]
"""

from __future__ import annotations

import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from recsys_lab.comparison.paired_test import Paired
from recsys_lab.evaluation.intervals import mean_interval

USERS = 60
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
SEEDS = ((2, 2), (2, 5), (3, 3), (3, 5), (5, 5), (1, 3), (1, 5))
COMMON = (0.0, 0.5, 0.9)
"""Part of the seeds' variance that both systems have in common, seed by seed."""
HITS = (0.02, 0.05, 0.1, 0.3, 0.6)
PEOPLE = (30, 50, 100, 300, 1000)


def share_found(
    share: float, seeds: tuple[int, int], draws: int, seed: int = 0, common: float | None = None
) -> float:
    """Share of tests with p <= 0.05 of two systems with equal means.

    Args:
        share: of the variance of a difference of means that is the seeds'; the rest is the users'.
        seeds: of the two systems.
        draws: tests.
        seed: of the draws.
        common: part of the seeds' effects that runs of one seed share, the seeds being the same;
            None: other seeds.
    """
    rng = np.random.default_rng(seed)
    users_sd = np.sqrt((1 - share) * USERS / 2)
    seeds_sd = np.sqrt(share / sum(1 / count for count in seeds))
    runs = [range(seeds[0]), range(seeds[0], sum(seeds))]
    found = 0
    for _ in range(draws):
        both = np.sqrt(common or 0.0) * rng.normal(0, seeds_sd, (1, max(seeds)))
        values = [
            rng.normal(0, users_sd, (USERS, 1))
            + np.sqrt(1 - (common or 0.0)) * rng.normal(0, seeds_sd, (1, count))
            + both[:, :count]
            + rng.normal(0, users_sd / 2 + 1e-3, (USERS, count))
            for count in seeds
        ]
        paired = Paired(
            np.concatenate(values, 1), runs, np.zeros((1, sum(seeds))),
            deterministic=[False, False], permutations=1, seed=0,
            seeds=None if common is None else [range(count) for count in seeds],
        )  # fmt: skip
        found += paired.test(0, 1).p <= 0.05
    return found / draws


def draw_hits(
    rng: np.random.Generator, metric: str, users: int, chance_U: np.ndarray | float
) -> np.ndarray:
    """Values of ``hr``, ``ndcg`` or ``mrr`` of lists of 10 with one target, (U,)."""
    place_U = 1 + np.minimum(9, np.floor(10 * rng.random(users) ** 1.5))
    sizes = {"hr": np.ones(users), "ndcg": 1 / np.log2(1 + place_U), "mrr": 1 / place_U}
    values: np.ndarray = sizes[metric] * (rng.random(users) < chance_U)
    return values


def share_covered(metric: str, users: int, hits: float, draws: int, seed: int = 0) -> float:
    """Share of intervals of a mean over users that hold the true mean."""
    rng = np.random.default_rng(seed)
    true = hits * draw_hits(rng, metric, 2_000_000, 1.0).mean()
    held = 0
    for _ in range(draws):
        low, high = mean_interval(draw_hits(rng, metric, users, hits), 1.0) or (0.0, 0.0)
        held += low <= true <= high
    return held / draws


def share_found_of_users(metric: str, users: int, hits: float, draws: int, seed: int = 0) -> float:
    """Share of tests with p <= 0.05 of one run each of two equal systems; users differ in ease."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(draws):
        chance_U = np.minimum(1, 2 * hits * rng.beta(2, 2, users))
        values = np.stack([draw_hits(rng, metric, users, chance_U) for _ in range(2)], 1)
        paired = Paired(
            values, [[0], [1]], np.zeros((1, 2)), deterministic=[False, False], permutations=1,
            seed=0, largest=1.0,
        )  # fmt: skip
        found += paired.test(0, 1).p <= 0.05
    return found / draws


def _table(title: str, first: str, heads: list[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for head in heads:
        table.add_column(head, justify="right")
    return table


def main() -> None:
    """Print the tables."""
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    console = Console()
    heads = [f"{share:.0%}" for share in SHARES]
    table = _table(f"p <= 5% of equal systems, {draws:,} draws each", "seeds", heads)
    for seeds in SEEDS:
        cells = [f"{share_found(share, seeds, draws):.1%}" for share in SHARES]
        table.add_row(f"{seeds[0]} and {seeds[1]}{'' if 2 in seeds else ' *'}", *cells)
    for number in (2, 3, 5):
        for common in COMMON:
            cells = [
                f"{share_found(share, (number, number), draws, common=common):.1%}"
                for share in SHARES
            ]
            name = f"{number} matched, {common:.0%} in common{'' if number == 2 else ' *'}"
            table.add_row(name, *cells)
    console.print(table)
    console.print("columns: the seeds' share of the variance; *: a verdict is given")
    hits = [f"{chance:.0%}" for chance in HITS]
    for title, measure in (
        ("95% intervals that hold the mean", share_covered),
        ("p <= 5% of one run each of equal systems", share_found_of_users),
    ):
        table = _table(f"{title}, {draws:,} draws each", "users", hits)
        for metric in ("hr", "ndcg", "mrr"):
            for users in PEOPLE:
                cells = [f"{measure(metric, users, chance, draws):.1%}" for chance in HITS]
                table.add_row(f"{metric}, {users}", *cells)
        console.print(table)
    console.print("columns: users with a hit")


if __name__ == "__main__":
    main()
