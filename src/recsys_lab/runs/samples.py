"""Results of users under all runs of a comparison, resampled together.

Shapes: U users, S runs, R runs of one system, C columns, B resamples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.runs.statistics import Paired, resampled_means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recsys_lab.runs.user_results import UserResults

    Floats = NDArray[np.float64]


class Samples:
    """What the tests and intervals of a comparison are made of.

    Args:
        results: of every run.
        metrics: their columns, in order.
        groups: places of the runs of each system.
        deterministic: whether the seed changes nothing, by system.
        resamples: of the bootstrap.
        permutations: of the signs of users' differences.
        seed: of both.
    """

    def __init__(
        self, results: Sequence[UserResults], metrics: Sequence[str],
        groups: Sequence[Sequence[int]], deterministic: Sequence[bool], *,
        resamples: int, permutations: int, seed: int,
    ) -> None:  # fmt: skip
        self._results, self._metrics = results, metrics
        self._groups, self._deterministic = groups, deterministic
        self._resamples, self._permutations, self._seed = resamples, permutations, seed

    def finite(self, name: str) -> NDArray[np.bool_]:
        """Users that have a value of a metric in every run, (U,)."""
        values_US = self._values(name, range(len(self._results)))
        return np.asarray(np.isfinite(values_US).all(1))

    def by_metric(self, *, together: bool) -> dict[str, list[tuple[Paired, int]]]:
        """By metric, for each system: the sample that it stands in, and its place there.

        Args:
            together: whether all runs are of the same users; else each system is a sample.
        """
        if together:
            places = range(len(self._groups))
            samples = self._of(range(len(self._results)), self._groups, self._deterministic)
            return {name: [(one, place) for place in places] for name, one in samples.items()}
        alone = [
            self._of(group, [range(len(group))], [known])
            for group, known in zip(self._groups, self._deterministic, strict=True)
        ]
        return {name: [(samples[name], 0) for samples in alone] for name in self._metrics}

    def made_of(self, values: Sequence[Floats]) -> list[Paired]:
        """One for each array (U, S) of all runs; all are finite for the same users."""
        return self._made_of(values, self._groups, self._deterministic)

    def _values(self, name: str, runs: Sequence[int]) -> Floats:
        column = self._metrics.index(name)
        return np.stack([self._results[run].values_UM[:, column] for run in runs], 1)

    def _of(
        self, runs: Sequence[int], groups: Sequence[Sequence[int]], deterministic: Sequence[bool]
    ) -> dict[str, Paired]:
        """By metric; those that have a value of the same users are resampled together."""
        values = {name: self._values(name, runs) for name in self._metrics}
        by_users: dict[bytes, list[str]] = {}
        for name, values_US in values.items():
            by_users.setdefault(np.isfinite(values_US).all(1).tobytes(), []).append(name)
        found: dict[str, Paired] = {}
        for names in by_users.values():
            samples = self._made_of([values[name] for name in names], groups, deterministic)
            found |= dict(zip(names, samples, strict=True))
        return found

    def _made_of(
        self, values: Sequence[Floats], groups: Sequence[Sequence[int]],
        deterministic: Sequence[bool],
    ) -> list[Paired]:  # fmt: skip
        known_U = np.isfinite(values[0]).all(1)
        if known_U.sum() < 2:
            msg = f"runs: {known_U.sum()} users with results in all runs; at least 2 are needed"
            raise UserError(f"{msg} for an interval.")
        width = values[0].shape[1]
        values_UC = np.concatenate(values, 1)[known_U]
        means_BC = resampled_means(values_UC, self._resamples, self._seed)
        return [
            Paired(
                values_UC[:, first : first + width], groups, means_BC[:, first : first + width],
                deterministic=deterministic, permutations=self._permutations, seed=self._seed,
            )
            for first in range(0, values_UC.shape[1], width)
        ]  # fmt: skip
