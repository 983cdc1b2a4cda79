"""All leak checks of a prepared dataset, by family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from recsys_lab.data.leaks import future, names, numbers, own_events, positions, twins
from recsys_lab.data.leaks.columns import Columns
from recsys_lab.data.leaks.finding import PHASES, Kind, Leak
from recsys_lab.data.leaks.world import World


class Family(NamedTuple):
    """Kinds of findings that are checked together.

    Attributes:
        kinds: by name.
        find: `World` (and `Columns`) -> findings, in any order.
    """

    kinds: Mapping[str, Kind]
    find: Callable[..., Iterable[Leak]]


OF_LOG = (
    Family(positions.KINDS, positions.find),
    Family(own_events.KINDS, own_events.find),
    Family(twins.KINDS, twins.find),
    Family(future.KINDS, future.find),
)
"""Families that only need the events and the split."""

OF_COLUMNS = (Family(names.KINDS, names.find), Family(numbers.KINDS, numbers.find))
"""Families that also read the declared columns."""

ALL_KINDS: Mapping[str, Kind] = {
    name: kind for family in (*OF_LOG, *OF_COLUMNS) for name, kind in family.kinds.items()
}
KINDS = tuple(ALL_KINDS)
"""Names of all kinds, in order."""

KINDS_BY_TIME = tuple(name for name, kind in ALL_KINDS.items() if kind.by_time)
"""Kinds that need timestamps."""

OF_CANDIDATES = tuple(name for name, kind in ALL_KINDS.items() if kind.of_candidates)
"""Kinds that only concern evaluations with ``evaluation.candidates=all``."""

TOLD = tuple(name for name, kind in ALL_KINDS.items() if kind.told)
"""Kinds that are logged during the preparation, whatever their severity."""


def check_leaks(world: World) -> list[Leak]:
    """All findings from the events and the split.

    Memory is bounded: see the families.

    Args:
        world: the dataset.
    """
    return in_order(leak for family in OF_LOG for leak in family.find(world))


def check_columns(world: World, columns: Columns) -> list[Leak]:
    """All findings from the declared columns.

    Args:
        world: the dataset, with ids.
        columns: the columns that models may read.
    """
    return in_order(leak for family in OF_COLUMNS for leak in family.find(world, columns))


def in_order(leaks: Iterable[Leak]) -> list[Leak]:
    """Findings by phase, then in the order of `KINDS`."""
    return sorted(leaks, key=lambda leak: (PHASES.index(leak.phase), KINDS.index(leak.kind)))
