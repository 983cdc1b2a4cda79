"""What a split reads and gives.

Shapes: U users, T events laid end to end by user, V items, n rows of one phase.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FlatLog:
    """All events by user, oldest first; the arrays may be memory-mapped.

    Attributes:
        items: item of every event, int32 (T,).
        offsets: user u owns events ``offsets[u] .. offsets[u + 1]``, int64 (U + 1,).
        timestamps: seconds since the epoch, int64 (T,), or None.
        num_items: V.
        parts: the part of a published split that an event is in, ascending within a user: see
            `recsys_lab.data.raw.PART`; int8 (T,), or None.
        is_target: which events may be targets, bool (T,); None: all.
        sessions: place of the first event of every session, ascending, int64; None: not known.
        baskets: likewise of every basket.
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
    """One split as rows of places in the flat arrays, all int64, ascending by user, then place.

    Attributes:
        train: (user, start, end), (n, 3): users with training events.
        validation: (user, history start, history end, target end), (n, 4): targets are the
            events ``history end .. target end``.
        test: likewise.
        counts: what people must know of the split, by name, e.g. targets dropped as cold.
        dropped_targets: places of both phases that are no targets although they lie among them,
            int64, ascending. Nothing else changes for them: a test history may hold one.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    counts: Mapping[str, int] = field(default_factory=dict)
    dropped_targets: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def rows(self, phase: str) -> NDArray[np.int64]:
        """The rows of ``validation`` or ``test``."""
        return self.validation if phase == "validation" else self.test


class Split:
    """A rule that gives every event its part.

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

        Without options that have a default in Python and are at it: they were added later, and
        their default is what was done before there was a choice, whose fingerprints stay valid.
        """
        older = {entry.name: entry.default for entry in fields(self.config)}
        chosen = asdict(self.config).items()
        kept = {name: value for name, value in chosen if value != older[name]}
        return {"name": self.name, **kept}

    def segments(self, log: FlatLog) -> Segments:
        """Split the events.

        Raises:
            UserError: when the log lacks what the rule needs (times), or nothing is left to train
                on or to find.
        """
        raise NotImplementedError
