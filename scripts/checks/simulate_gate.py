"""How often the promotion gate is wrong, on simulated hits of the same users under two models.

A candidate that is worse by exactly the margin (promoted: at most 5%), an equal one (refused
because of a slice: at most 5%; by all users: as often as its power says), and one that is equal
but for a harm in one slice (refused).

python scripts/checks/simulate_gate.py [DRAWS]
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from recsys_lab.deploy.promote.gate import judge
from recsys_lab.deploy.promote.verdict import Measured, Rules, Values, Verdict

SLICES = {"target_popularity=cold": 0.05, "history_length=1-4": 0.15, "user_country=b": 0.3}
"""Guarded slices, and the share of the users in each; every user is in one of the rest too."""
REST = "history_length=5-9"
COMMON = 0.7
"""Share of the users for whom both models give the same list."""


@dataclass(frozen=True)
class Case:
    """A simulated pair of models.

    Attributes:
        users: number of users.
        hits: share of them with a hit under the champion.
        margin: of the gate.
        loss: share of the champion's hits that the candidate loses, of all users.
        harmed: the slice with another loss, or None.
        harm: the share of the hits lost there.
    """

    users: int
    hits: float
    margin: float
    loss: float = 0.0
    harmed: str | None = None
    harm: float = 0.0


def draw(case: Case, rng: np.random.Generator) -> Measured:
    """Values of ``ndcg`` of lists of 10 with one target: a user's ease, then hit and rank."""
    chance_U = np.minimum(1, 2 * case.hits * rng.beta(2, 2, case.users))
    parts = {name: rng.random(case.users) < share for name, share in SLICES.items()}
    parts[REST] = ~parts["history_length=1-4"]
    champion_U, other_U = _lists(rng, chance_U), _lists(rng, chance_U)
    candidate_U = np.where(rng.random(case.users) < COMMON, champion_U, other_U)
    loss_U = np.full(case.users, case.loss)
    if case.harmed is not None:
        loss_U[parts[case.harmed]] = case.harm
    candidate_U = candidate_U * (rng.random(case.users) >= loss_U)
    slices = {name: Values(candidate_U[in_U], champion_U[in_U]) for name, in_U in parts.items()}
    return Measured("ndcg@10", Values(candidate_U, champion_U), slices)


def _lists(rng: np.random.Generator, chance_U: np.ndarray) -> np.ndarray:
    rank_U = 1 + np.minimum(9, np.floor(10 * rng.random(len(chance_U)) ** 1.5))
    values: np.ndarray = (rng.random(len(chance_U)) < chance_U) / np.log2(1 + rank_U)
    return values


def verdicts(case: Case, draws: int, seed: int = 0, resamples: int = 1000) -> list[Verdict]:
    """The verdict on each of many draws."""
    rules = Rules(margin=case.margin, resamples=resamples)
    rng = np.random.default_rng(seed)
    return [judge(draw(case, rng), rules) for _ in range(draws)]


def counted(found: list[Verdict]) -> dict[str, float]:
    """Shares of verdicts: promoted; unsure or harm by all users; harm in any slice."""
    counts: Counter[str] = Counter()
    for verdict in found:
        overall, *others = verdict.checks
        counts["promoted"] += verdict.passed
        counts[overall.outcome] += 1
        counts["slice"] += any(check.outcome == "refused" for check in others)
    return {name: number / len(found) for name, number in counts.items()}


CASES = {
    "worse by the margin": Case(5000, 0.3, 0.1, loss=0.1),
    "worse by the margin, few hits": Case(2000, 0.03, 0.2, loss=0.2),
    "equal, many users": Case(20_000, 0.3, 0.05),
    "equal, few users": Case(1000, 0.1, 0.05),
    "equal, few hits": Case(2000, 0.03, 0.2),
    "harm in cold items only": Case(20_000, 0.3, 0.05, 0.0, "target_popularity=cold", 0.6),
    "harm in short histories only": Case(20_000, 0.3, 0.05, 0.0, "history_length=1-4", 0.3),
}


def main() -> None:
    """Print the table."""
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    table = Table(title=f"verdicts of the gate, {draws:,} draws each", title_justify="left")
    for head in ("candidate", "users", "margin", "promoted", "unsure", "harm", "harm in a slice"):
        table.add_column(head, justify="left" if head == "candidate" else "right")
    for name, case in CASES.items():
        shares = counted(verdicts(case, draws))
        cells = (shares.get(key, 0.0) for key in ("promoted", "unsure", "refused", "slice"))
        table.add_row(name, f"{case.users:,}", f"{case.margin:.0%}", *(f"{x:.1%}" for x in cells))
    console = Console()
    console.print(table)
    console.print("promoted and unsure are by when_unsure=refuse; harm and unsure: over all users")


if __name__ == "__main__":
    main()
