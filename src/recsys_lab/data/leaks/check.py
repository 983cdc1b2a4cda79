"""All checks of a prepared dataset, by family: a new kind is one function and one entry here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from recsys_lab.data.leaks import future, names, numbers, own_events, positions, twins
from recsys_lab.data.leaks.columns import Columns
from recsys_lab.data.leaks.finding import PHASES, Kind, Leak
from recsys_lab.data.leaks.world import World


class Family(NamedTuple):
    """Kinds that are looked for together.

    Attributes:
        kinds: by name.
        find: `World` (and `Columns`) -> the findings, in any order.
    """

    kinds: Mapping[str, Kind]
    find: Callable[..., Iterable[Leak]]


OF_LOG = (
    Family(positions.KINDS, positions.find),
    Family(own_events.KINDS, own_events.find),
    Family(twins.KINDS, twins.find),
    Family(future.KINDS, future.find),
)
"""Families that need events and the split alone."""

OF_COLUMNS = (Family(names.KINDS, names.find), Family(numbers.KINDS, numbers.find))
"""Families that read the declared columns, too."""

ALL_KINDS: Mapping[str, Kind] = {
    name: kind for family in (*OF_LOG, *OF_COLUMNS) for name, kind in family.kinds.items()
}
KINDS = tuple(ALL_KINDS)
"""What is looked for."""

KINDS_BY_TIME = tuple(name for name, kind in ALL_KINDS.items() if kind.by_time)
"""Kinds that cannot be found in a log without timestamps."""

OF_CANDIDATES = tuple(name for name, kind in ALL_KINDS.items() if kind.of_candidates)
"""Kinds that do not concern an evaluation with another choice of candidates than ``all``."""


def check_leaks(world: World) -> list[Leak]:
    """All findings that events and the split tell; nothing found gives an empty list.

    Memory is bounded: see the families.

    Args:
        world: the dataset.
    """
    return in_order(found for family in OF_LOG for found in family.find(world))


def check_columns(world: World, columns: Columns) -> list[Leak]:
    """All findings that the declared columns tell.

    Args:
        world: the dataset, with ids.
        columns: what models may read.
    """
    return in_order(found for family in OF_COLUMNS for found in family.find(world, columns))


def in_order(found: Iterable[Leak]) -> list[Leak]:
    """By phase, then in the order of `KINDS`."""
    return sorted(found, key=lambda leak: (PHASES.index(leak.phase), KINDS.index(leak.kind)))
