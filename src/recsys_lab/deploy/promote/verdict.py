"""What the promotion gate reads and returns; the tests are in `recsys_lab.deploy.promote.gate`.

Shapes: U users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Outcome = Literal["passed", "refused", "unsure", "too small"]


@dataclass(frozen=True)
class Rules:
    """The settings of the gate.

    Attributes:
        margin: largest loss that is allowed, as a share of the champion's mean.
        level: of the one-sided tests.
        min_users: fewest users of a slice, and of all, for a test; at least 2.
        when_unsure: whether to ``refuse`` or ``promote`` if neither a loss within the margin nor
            one beyond it is shown over all users.
        coverage: largest loss of coverage, as a share of the champion's; None: not checked.
        latency: largest time of a batch, as a multiple of the champion's; None: not measured.
        latency_ms: milliseconds of a batch that are always allowed.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """

    margin: float
    level: float = 0.05
    min_users: int = 30
    when_unsure: Literal["refuse", "promote"] = "refuse"
    coverage: float | None = 0.1
    latency: float | None = 2.0
    latency_ms: float = 20.0
    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Values:
    """A metric of the same users under both models, larger is better, each (U,)."""

    candidate: Floats
    champion: Floats


@dataclass(frozen=True)
class Measured:
    """What the gate decides from.

    Attributes:
        metric: name of the metric, e.g. ``ndcg@10``.
        overall: its values of all users.
        slices: its values of the users of each guarded slice, ``NAME=VALUE``.
        largest: largest value of a hit metric for a user; None for other metrics.
        coverage: share of the catalogue in the lists of (candidate, champion).
        latency: milliseconds of a batch of (candidate, champion); None: not measured.
        empty: number of users without any recommendation of (candidate, champion).
    """

    metric: str
    overall: Values
    slices: Mapping[str, Values]
    largest: float | None = 1.0
    coverage: tuple[float, float] | None = None
    latency: tuple[float, float] | None = None
    empty: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Check:
    """One check of the gate.

    Attributes:
        name: what is compared.
        outcome: ``refused`` refuses the candidate; so does ``unsure``, unless
            `Rules.when_unsure` says otherwise.
        reason: a sentence.
        candidate: its value.
        champion: its value.
        users: number of users; None for checks that are not over users.
        low: one-sided lower bound at the level of candidate - champion; None without a test.
        high: one-sided upper bound.
        p: of the test that decides: for all users that the loss is within the margin, for a slice
            that it is beyond it, for a first champion that it is worse than popularity.
        p_holm: of a slice, corrected for the number of slices.
    """

    name: str
    outcome: Outcome
    reason: str
    candidate: float | None = None
    champion: float | None = None
    users: int | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The checks, and whether all of them allow the promotion."""

    passed: bool
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> list[str]:
        """Why the candidate is refused; or the main result of a passed one."""
        wrong = [check.reason for check in self.checks if check.outcome in ("refused", "unsure")]
        return [self.checks[0].reason] if self.passed and not wrong else wrong
