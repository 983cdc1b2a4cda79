"""What is searched: config keys and the values that each may take."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Dimension:
    """One key and its values: a list, or numbers between two ends.

    Attributes:
        key: dotted config key, or a config group.
        values: the list; empty for numbers.
        low: smallest number.
        high: largest number.
        step: distance of neighbouring numbers; None for all.
        log: whether numbers are drawn by their logarithm.
        integer: whether numbers are whole.
        when: other key -> value that must be chosen for this key to be searched.
    """

    key: str
    values: tuple[Scalar, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    integer: bool = False
    when: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def distribution(self) -> BaseDistribution:
        """The dimension as a distribution of Optuna."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        if self.values:
            return CategoricalDistribution(self.values)
        if self.integer:
            step = 1 if self.step is None else int(self.step)
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=step)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def __contains__(self, value: Scalar) -> bool:
        """Whether it may be chosen."""
        kind = self.distribution
        try:
            return kind._contains(kind.to_internal_repr(value))
        except (TypeError, ValueError):
            return False

    @property
    def every(self) -> tuple[Scalar, ...] | None:
        """All values; None if there are infinitely many."""
        if self.values:
            return self.values
        if not self.integer and self.step is None:
            return None
        step = self.step or 1
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        values = (self.low + index * step for index in range(count))
        return tuple(int(v) if self.integer else v for v in values)

    @property
    def extremes(self) -> tuple[Scalar, ...]:
        """Every listed value, or both ends: if these are valid, all values are."""
        if self.values:
            return self.values
        ends = dict.fromkeys((self.low, self.high))
        return tuple(int(v) if self.integer else v for v in ends)


@dataclass(frozen=True)
class Space:
    """All that is searched.

    Attributes:
        dimensions: those without a condition first.
    """

    dimensions: tuple[Dimension, ...]

    def suggest(self, trial: Trial) -> dict[str, Scalar]:
        """A point, in the order of the dimensions, without keys whose condition fails."""
        point: dict[str, Scalar] = {}
        for dimension in self.dimensions:
            if _holds(dimension, point):
                point[dimension.key] = trial._suggest(dimension.key, dimension.distribution)
        return point

    def points(self) -> Iterator[dict[str, Scalar]] | None:
        """Every point; None if there are infinitely many."""
        if any(dimension.every is None for dimension in self.dimensions):
            return None
        return self._points()

    def _points(self) -> Iterator[dict[str, Scalar]]:
        seen: set[tuple[Any, ...]] = set()
        axes = [dimension.every or () for dimension in self.dimensions]
        for values in itertools.product(*axes):
            point: dict[str, Scalar] = {}
            for dimension, value in zip(self.dimensions, values, strict=True):
                if _holds(dimension, point):
                    point[dimension.key] = value
            if identity(point) not in seen:
                seen.add(identity(point))
                yield point


def identity(point: Mapping[str, Scalar]) -> tuple[Any, ...]:
    """A key of a point that does not depend on the order of its keys."""
    return tuple(sorted((key, type(value).__name__, value) for key, value in point.items()))


def refuse_endless(space: Space, sampler: str) -> None:
    """Refuse an infinite space for a sampler that tries every point.

    Args:
        space: of the search.
        sampler: its name, for the message.

    Raises:
        UserError: with the keys that have infinitely many values.
    """
    endless = [d.key for d in space.dimensions if d.every is None]
    if endless:
        raise UserError(
            f"sweep.sampler: got {sampler}, which tries every point, and {', '.join(endless)} has "
            "infinitely many values; use choice(a,b) or range(a,b,step=c), or another sampler"
        )


def _holds(dimension: Dimension, point: Mapping[str, Scalar]) -> bool:
    return all(point.get(key) == value for key, value in dimension.when.items())


def as_override(key: str, value: Scalar) -> str:
    """The override that sets a key to a value."""
    if value is None:
        return f"{key}=null"
    if isinstance(value, bool):
        return f"{key}={str(value).lower()}"
    return f"{key}={value}" if isinstance(value, str) else f"{key}={value!r}"


def as_overrides(point: Mapping[str, Scalar], groups: Sequence[str]) -> list[str]:
    """The overrides of a point, config groups first: their choice brings the other keys."""
    ordered = sorted(point.items(), key=lambda pair: pair[0] not in groups)
    return [as_override(key, value) for key, value in ordered]
