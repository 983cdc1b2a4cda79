"""Per-user results of all runs of a comparison, resampled together.

Shapes: U users, S runs, R runs of one system, C columns, B resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.comparison.bootstrap import resampled_means
from recsys_lab.comparison.paired_test import Paired
from recsys_lab.config import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from recsys_lab.comparison.per_user import UserResults

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Systems:
    """Columns of each system's runs, whether it ignores the seed, and its seeds."""

    groups: Sequence[Sequence[int]]
    deterministic: Sequence[bool]
    seeds: Sequence[Sequence[int]]


class Samples:
    """Makes the `Paired` samples of a comparison.

    Args:
        results: of every run.
        metrics: their columns, in order.
        groups: indices of the runs of each system.
        deterministic: whether each system ignores the seed.
        seeds: of every run.
        largest: largest value of each hit-based metric for a user; None for other metrics.
        resamples: number of bootstrap resamples.
        permutations: number of sign permutations of the users' differences.
        seed: of both.
    """

    def __init__(
        self,
        results: Sequence[UserResults],
        metrics: Sequence[str],
        groups: Sequence[Sequence[int]],
        deterministic: Sequence[bool],
        *,
        seeds: Sequence[int],
        largest: Mapping[str, float | None],
        resamples: int,
        permutations: int,
        seed: int,
    ) -> None:
        self._results, self._metrics = results, metrics
        self._groups, self._deterministic = groups, deterministic
        self._seeds, self._largest = seeds, largest
        self._resamples, self._permutations, self._seed = resamples, permutations, seed

    def finite(self, name: str) -> NDArray[np.bool_]:
        """Users that have a value of a metric in every run, (U,)."""
        values_US = self._values(name, range(len(self._results)))
        return np.asarray(np.isfinite(values_US).all(1))

    def by_metric(self, *, together: bool) -> dict[str, list[tuple[Paired, int]]]:
        """For each metric, the sample of each system and the system's index in it.

        Args:
            together: whether all runs have the same users; else each system is its own sample.
        """
        if together:
            systems = range(len(self._groups))
            samples = self._of(range(len(self._results)), self._all())
            return {name: [(one, index) for index in systems] for name, one in samples.items()}
        alone = [
            self._of(group, _Systems([range(len(group))], [known], [self._seeds_of(group)]))
            for group, known in zip(self._groups, self._deterministic, strict=True)
        ]
        return {name: [(samples[name], 0) for samples in alone] for name in self._metrics}

    def made_of(self, name: str, values_US: Floats) -> Paired:
        """A sample of one metric, (U, S), over the users with finite values in all runs."""
        return self._made_of({name: values_US}, self._all())[name]

    def _all(self) -> _Systems:
        seeds = [self._seeds_of(group) for group in self._groups]
        return _Systems(self._groups, self._deterministic, seeds)

    def _seeds_of(self, group: Sequence[int]) -> list[int]:
        return [self._seeds[run] for run in group]

    def _values(self, name: str, runs: Sequence[int]) -> Floats:
        column = self._metrics.index(name)
        return np.stack([self._results[run].values_UM[:, column] for run in runs], 1)

    def _of(self, runs: Sequence[int], systems: _Systems) -> dict[str, Paired]:
        """Samples by metric; metrics defined for the same users are resampled together."""
        values = {name: self._values(name, runs) for name in self._metrics}
        by_users: dict[bytes, list[str]] = {}
        for name, values_US in values.items():
            by_users.setdefault(np.isfinite(values_US).all(1).tobytes(), []).append(name)
        samples: dict[str, Paired] = {}
        for names in by_users.values():
            samples |= self._made_of({name: values[name] for name in names}, systems)
        return samples

    def _made_of(self, values: Mapping[str, Floats], systems: _Systems) -> dict[str, Paired]:
        first = next(iter(values.values()))
        known_U = np.isfinite(first).all(1)
        if known_U.sum() < 2:
            msg = f"runs: {known_U.sum()} users have results in all runs; an interval needs 2"
            raise UserError(f"{msg} or more")
        width = first.shape[1]
        values_UC = np.concatenate(list(values.values()), 1)[known_U]
        means_BC = resampled_means(values_UC, self._resamples, self._seed)
        return {
            name: Paired(
                values_UC[:, start : start + width],
                systems.groups,
                means_BC[:, start : start + width],
                deterministic=systems.deterministic,
                permutations=self._permutations,
                seed=self._seed,
                seeds=systems.seeds,
                largest=self._largest[name],
            )
            for name, start in zip(values, range(0, values_UC.shape[1], width), strict=True)
        }
