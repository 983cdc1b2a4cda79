"""Interface of splits: the log they read and the rows they return.

Shapes: U users, T events concatenated by user, V items, n rows of one phase.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lab.config.targets import own_source_hash


@dataclass(frozen=True)
class FlatLog:
    """All events, grouped by user, oldest first; the arrays may be memory-mapped.

    Attributes:
        items: item of every event, int32 (T,).
        offsets: user u owns events ``offsets[u] .. offsets[u + 1]``, int64 (U + 1,).
        timestamps: seconds since the epoch, int64 (T,), or None.
        num_items: V.
        parts: the part of a published split of every event, ascending within a user: see
            `recsys_lab.data.raw.PART`; int8 (T,), or None.
        is_target: which events may be targets, bool (T,); None: all.
        sessions: index of the first event of every session, ascending, int64; None: unknown.
        baskets: likewise for every basket.
    """

    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64] | None
    num_items: int
    parts: NDArray[np.int8] | None = None
    is_target: NDArray[np.bool_] | None = None
    sessions: NDArray[np.int64] | None = None
    baskets: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Segments:
    """A split as rows of indices into the flat arrays, all int64, ascending by user, then index.

    Attributes:
        train: (user, start, end), (n, 3): users with training events.
        validation: (user, history start, history end, target end), (n, 4): targets are the
            events ``history end .. target end``.
        test: likewise.
        counts: numbers to report with the split, by name, e.g. of targets dropped as cold.
        dropped_targets: indices in the target ranges of both phases that are not targets, int64,
            ascending. They remain events: a test history may hold one.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    counts: Mapping[str, int] = field(default_factory=dict)
    dropped_targets: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def rows(self, phase: str) -> NDArray[np.int64]:
        """The rows of ``validation`` or ``test``."""
        return self.validation if phase == "validation" else self.test


class Split(ABC):
    """Base class of splits: a rule that assigns events to training, validation and test.

    A subclass has a ``Config`` with the options of `recsys_lab.data.splits.options`.

    Args:
        config: its options.

    Attributes:
        name: of the rule, as recorded and in errors.
        held_out_phases: phases whose users have no other part.
    """

    name: str
    held_out_phases: Collection[str] = ()

    def __init__(self, config: Any) -> None:
        self.config = config

    def settings(self) -> dict[str, Any]:
        """What is recorded in the manifest and the protocol fingerprint, ready for JSON.

        Options at a default in Python are left out: they were added later, and their default is
        the earlier behaviour, whose fingerprints stay valid.
        """
        older = {entry.name: entry.default for entry in fields(self.config)}
        chosen = asdict(self.config).items()
        kept = {name: value for name, value in chosen if value != older[name]}
        code = own_source_hash(type(self))
        return {"name": self.name, **kept, **({} if code is None else {"code": code})}

    @abstractmethod
    def segments(self, log: FlatLog) -> Segments:
        """Split the events.

        Raises:
            UserError: if the log lacks what the rule needs (times), or no training events or
                targets are left.
        """
